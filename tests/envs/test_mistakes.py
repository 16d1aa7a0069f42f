"""`mistake(rng)`: the expert's answer but for the part that decides, which is wrong."""

import gymnasium
import numpy as np
import pytest

import envs  # noqa: F401

WRONG = {
    "amft/GeneralPoints-v0": {"wrong_value"},
    "amft/VIRL-v0": {"wrong_action", "wrong_instruction"},
    "amft/Math-v0": {"wrong_answer"},
}
CASES = [
    ("amft/GeneralPoints-v0", {"modality": "text"}),
    ("amft/GeneralPoints-v0", {"modality": "text", "thought": "steps", "face_rule": "rank"}),
    ("amft/VIRL-v0", {"modality": "text"}),
    ("amft/VIRL-v0", {"modality": "text", "actions": "relative", "city": "newyork"}),
    ("amft/Math-v0", {}),
    ("amft/Math-v0", {"source": "gsm_symbolic"}),
]


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_a_mistake_is_judged_as_one_and_comes_from_its_generator(name, arguments):
    env = gymnasium.make(name, disable_env_checker=True, **arguments).unwrapped
    for seed in range(12):
        env.reset(seed=seed)
        first = env.mistake(np.random.default_rng(seed))
        assert first == env.mistake(np.random.default_rng(seed))
        assert first != env.expert()
        *_, info = env.step(first)
        assert info["verdict"] in WRONG[name]


def test_free_walkers_mistake_is_another_action():
    env = gymnasium.make("amft/VIRL-v0", mode="free", modality="text").unwrapped
    env.reset(seed=0)
    assert env.mistake(np.random.default_rng(0)) != env.expert()


def test_countdown_has_mistakes_too():
    env = gymnasium.make("amft/Math-v0", source="countdown").unwrapped
    for seed in range(8):
        env.reset(seed=seed)
        *_, info = env.step(env.mistake(np.random.default_rng(seed)))
        assert info["verdict"] != "correct"
