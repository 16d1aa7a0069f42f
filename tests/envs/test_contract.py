"""What every world promises, on every registered world and on small ones made here."""

import copy
import pickle
from enum import StrEnum

import gymnasium
import numpy as np
import pytest

from envs import EndedBy, Outcome, Scene, World
from envs.contract import one_of, picture_size, whole_number

WORLDS = {
    "general_points": ("amft/GeneralPoints-v0", {"size": (56, 56)}),
    "general_points_text": ("amft/GeneralPoints-v0", {"modality": "text", "prompts": "varied"}),
    "virl": ("amft/VIRL-v0", {"size": (56, 56)}),
    "virl_free": ("amft/VIRL-v0", {"modality": "text", "mode": "free"}),
    "math": ("amft/Math-v0", {"attempts": 2}),
    "frozen_lake": ("amft/FrozenLake-v0", {"size": (56, 56)}),
    "sokoban": ("amft/Sokoban-v0", {"modality": "text"}),
    "discrete": ("amft/Discrete-v0", {"game": "FrozenLake-v1", "modality": "text"}),
}
KEYS = {"verdict", "success", "feedback", "ended_by", "new_image"}


@pytest.fixture(params=WORLDS)
def make(request):
    name, arguments = WORLDS[request.param]
    return lambda: gymnasium.make(name, **arguments)


def test_info_keeps_the_contract_from_reset_to_end(make):
    env = make()
    _, info = env.reset(seed=1)
    assert info.keys() >= KEYS
    assert (info["verdict"], info["success"], info["feedback"], info["ended_by"]) == (
        None,
        False,
        "",
        None,
    )
    while not info["ended_by"]:
        _, reward, terminated, truncated, info = env.step(env.unwrapped.expert())
        assert info.keys() >= KEYS
        assert info["verdict"] in env.unwrapped.verdicts
        assert isinstance(reward, float)
        assert (terminated or truncated) == (info["ended_by"] is not None)
        assert info["success"] == (info["ended_by"] == "success")
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step("again")


def test_two_instances_roll_alike(make):
    """The habit of every environment suite: same seed, same words as actions, same everything."""
    first, second = make(), make()
    for seed in range(3):
        (a, ai), (b, bi) = first.reset(seed=seed), second.reset(seed=seed)
        for action in ("nonsense", first.unwrapped.expert(), '{"action": "forward()"}'):
            assert a["text"] == b["text"]
            assert np.array_equal(a.get("image"), b.get("image"))
            assert ai == bi
            if ai["ended_by"]:
                break
            a, ra, *_, ai = first.step(action)
            b, rb, *_, bi = second.step(action)
            assert ra == rb


def test_unseeded_resets_go_on_from_the_seed(make):
    first, second = make(), make()
    first.reset(seed=5)
    second.reset(seed=5)
    for _ in range(3):
        assert first.reset()[0]["text"] == second.reset()[0]["text"]


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_copy_in_the_middle_of_an_episode_goes_on_alike(make, duplicate):
    env = make().unwrapped
    env.reset(seed=2)
    env.step("nonsense")
    twin = duplicate(env)
    action = env.expert()
    assert twin.expert() == action
    (a, ra, *_), (b, rb, *_) = env.step(action), twin.step(action)
    assert (a["text"], ra) == (b["text"], rb)
    assert env.reset()[0]["text"] == twin.reset()[0]["text"]


def test_what_an_agent_is_given_is_its_own(make):
    env = make()
    observation, _ = env.reset(seed=3)
    if "image" in observation:
        observation["image"][:] = 0
        assert env.step("nonsense")[0]["image"].any()


def test_misuse_is_said_clearly(make):
    env = make().unwrapped
    with pytest.raises(gymnasium.error.ResetNeeded, match="reset"):
        env.step("too early")
    env.reset(seed=0)
    for action in (None, 3, b"x", ["forward()"]):
        with pytest.raises(TypeError, match="string"):
            env.step(action)


def test_a_refused_reset_leaves_no_episode_open():
    """The ended episode went on, and never ended again."""
    env = gymnasium.make("amft/GeneralPoints-v0", modality="text", attempts=1).unwrapped
    env.reset(seed=0)
    assert env.step("1+1")[2]
    with pytest.raises(ValueError, match="hand"):
        env.reset(seed=1, options={"hand": ["nope"] * 4})
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step("1+1")
    env.reset(seed=1)
    assert env.step("1+1")[2]


@pytest.mark.parametrize("world", ["GeneralPoints", "VIRL", "Math"])
def test_unknown_reset_options_are_named(world):
    with pytest.raises(ValueError, match="reset option='hnad' is not one of"):
        gymnasium.make(f"amft/{world}-v0").reset(options={"hnad": 1})


def test_worlds_run_in_processes_and_say_how():
    name, arguments = WORLDS["general_points"]
    vector = gymnasium.make_vec(
        name, 2, vectorization_mode="async", vector_kwargs={"shared_memory": False}, **arguments
    )
    observations, _ = vector.reset(seed=0)
    assert observations["image"].shape == (2, 56, 56, 3)
    vector.close()
    with pytest.raises(ValueError, match="shared_memory"):
        gymnasium.make_vec(name, 2, vectorization_mode="async", **arguments)


class Verdict(StrEnum):
    DONE = "done"


class Blank(World):
    """Promises pictures, and shows none."""

    verdicts = Verdict

    def begin(self, rng, options):
        return Scene("look")


class TwoPictures(World):
    """Shows a new picture at every second step."""

    verdicts = Verdict

    def begin(self, rng, options):
        self.count = 0
        self.picture = np.zeros((8, 8, 3), np.uint8)
        return Scene("look", self.picture)

    def respond(self, text):
        self.count += 1
        if self.count % 2 == 0:
            self.picture = self.picture + 1
        ended = EndedBy.OUT_OF_STEPS if self.count == 4 else None
        return Outcome(Verdict.DONE, 1, Scene("on", self.picture), ended_by=ended)


def test_the_size_of_a_picture_is_a_pair():
    """Defect: a TypeError of an asterisk."""
    with pytest.raises(ValueError, match=r"image_size=5 is not a pair \(height, width\)"):
        Blank(image_size=5)


def test_a_promised_picture_must_come():
    with pytest.raises(ValueError, match="Blank promised pictures"):
        Blank(image_size=(8, 8)).reset()


def test_new_pictures_are_marked_and_time_limits_truncate():
    env = TwoPictures(image_size=(8, 8))
    assert env.reset()[1]["new_image"]
    steps = [env.step("") for _ in range(4)]
    assert [info["new_image"] for *_, info in steps] == [False, True, False, True]
    assert [(terminated, truncated) for _, _, terminated, truncated, _ in steps][2:] == [
        (False, False),
        (False, True),
    ]


class Painting(TwoPictures):
    """Paints at every second step, on the picture that it has."""

    def respond(self, text):
        self.count += 1
        self.picture[:4] += self.count % 2 == 0
        return Outcome(Verdict.DONE, 1, Scene("on", self.picture))


def test_a_picture_that_is_painted_on_is_new():
    """Defect: as the same array it counted as the picture of before, and no player was shown it."""
    env = Painting(image_size=(8, 8))
    before, _ = env.reset()
    steps = [env.step("") for _ in range(4)]
    assert [info["new_image"] for *_, info in steps] == [False, True, False, True]
    assert before["image"].sum() == 0 < steps[-1][0]["image"].sum()


def test_arguments_are_named_with_what_is_allowed():
    with pytest.raises(
        ValueError, match=r"mode='fre' is not one of 'free', 'rail'\. Did you mean 'free'\?"
    ):
        one_of("mode", "fre", ("free", "rail"))
    with pytest.raises(ValueError, match="flag=1 is not one of"):
        one_of("flag", 1, (False, True))
    for value in (True, 2.0, "2", None, 11):
        with pytest.raises(ValueError, match="count"):
            whole_number("count", value, 1, 10)
    for value in (5, (1,), (10, "x"), None):
        with pytest.raises(ValueError, match="size"):
            picture_size("size", value, low=1)
