"""The rival of bridge: the adapter's gradient, what holds w still, and a run that goes on."""

import shutil
import time

import pytest
import torch

from agents.anatomy import decoder_of, eye_of
from agents.policy import Policy
from amft_mm.config.command_line import configuration
from amft_mm.data.sources import Sources
from amft_mm.learning.learner import Learner, OptimizerSettings
from amft_mm.methods.rival import Rival
from amft_mm.runs import checkpoints
from amft_mm.runs.metrics import read_rows
from amft_mm.runs.processes import ProcessGroup
from amft_mm.train import train
from tests.agents.families import build_family
from tests.amft_mm.test_train import TINY, rows, run

SETTINGS = OptimizerSettings(lr=1e-3)


def rivals(**settings):
    policy = Policy.load("tiny-random", dtype=torch.float64)
    learner = Learner(policy, SETTINGS, ProcessGroup(), 1000)
    rival = Rival(policy, learner, **settings)
    rival.begin()
    return policy, learner, rival


def gradients(learner, seed):
    random = torch.Generator().manual_seed(seed)
    for p in learner.parameters:
        p.grad = torch.randn(p.shape, generator=random, dtype=p.dtype)


@pytest.mark.parametrize("family", ["gemma3", "internvl"])
def test_an_adapter_joins_every_layer_of_the_language_model_and_none_of_the_eye(family, tmp_path):
    """Defect: those whose names ended in `_proj` and had no "visual" in them, which some eyes' have."""
    build_family(family, tmp_path)
    policy = Policy.load(str(tmp_path), device="cpu", freeze_vision=False)
    rival = Rival(policy, Learner(policy, SETTINGS, ProcessGroup(), 1000))
    eye = {id(p) for p in eye_of(policy.model)}
    layers = [m for m in decoder_of(policy.model).modules() if isinstance(m, torch.nn.Linear)]
    assert {id(p) for p in rival._matrices} == {id(layer.weight) for layer in layers}
    assert not eye & {id(p) for p in rival._matrices}


def test_the_adapter_s_gradient_is_that_of_a_sum_of_matrices():
    """W = theta + B A: autograd's gradients of A and B, and ours from the gradient of W."""
    _, learner, rival = rivals(rank=3)
    for b in rival._b:
        torch.nn.init.normal_(b)
    gradients(learner, 0)
    ours = rival._projected()
    for k, (a, b, w) in enumerate(zip(rival._a, rival._b, rival._matrices, strict=True)):
        wanted = torch.autograd.grad(((b @ a) * w.grad).sum(), [a, b])
        assert torch.allclose(ours[k], wanted[0])
        assert torch.allclose(ours[k + len(rival._a)], wanted[1])


def test_w_follows_imitation_and_the_lead_over_the_rival():
    _, learner, rival = rivals(rank=2)
    of = {}
    with rival.playing():
        gradients(learner, 1)
        of["rival"] = rival._projected()
    gradients(learner, 2)
    of["own"] = rival._projected()
    rival.explored()
    gradients(learner, 3)
    of["shown"] = rival._projected()
    rival.imitated(0.3)
    for gain, shown, own, other in zip(
        rival._gains, of["shown"], of["own"], of["rival"], strict=True
    ):
        assert torch.allclose(gain, 0.3 * shown + 0.7 * (own - other))


def test_both_models_get_the_same_adapter():
    _, learner, rival = rivals(rank=2)
    for seed in range(3):
        gradients(learner, seed)
        rival.imitated(1.0)
        rival.step()
    moved = dict(zip(learner.parameters, rival._shadow, strict=True))
    assert any(float(b.detach().abs().max()) > 0 for b in rival._b)
    for own, shadow in moved.items():
        assert torch.equal(own, shadow)  # neither has made a step of its own


def test_a_model_with_an_adapter_has_no_rival():
    policy = Policy.load("tiny-random", lora={"r": 2})
    with pytest.raises(ValueError, match="lora"):
        Rival(policy, Learner(policy, SETTINGS, ProcessGroup(), 1000))


def test_each_has_the_time_that_it_takes(tmp_path, monkeypatch):
    """Defect: where no episodes are kept, playing the model's own was told as the rival's time."""
    rollouts = Sources.rollouts

    def slow(self, *given):
        time.sleep(0.2)
        return rollouts(self, *given)

    monkeypatch.setattr(Sources, "rollouts", slow)
    words = [
        "env=math",
        "method=bridge",
        "record.rollouts=0",
        "eval.every=0",
        f"out={tmp_path}/run",
    ]
    train(configuration("train", [*TINY, *words, "train.warmup_steps=0", "train.steps=1"]))
    row = read_rows(tmp_path / "run")[0]
    assert row["time/rollout"] > 0.2
    assert row["time/rival"] > 0.2


# Rewards at random, so that there is something to explore.
MIX = ("env=math", "seed=1", "train.steps=4", "eval.every=0", "train.lr=0.001", "demos.n=8")
MIX = (*MIX, "train.reward_noise=0.5", "train.warm_from=warm")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("rival")
    warm = run(place, "env=math", "seed=1", "train.steps=0", "demos.n=8", "out=warm")
    assert warm.returncode == 0, warm.stderr
    return place


def mixed(place, *settings):
    done = run(place, *MIX, *settings)
    assert done.returncode == 0, done.stderr


def last_state(folder):
    return checkpoints.load(max(folder.glob("checkpoints/step_*")))


def is_among(tensor, others):
    return any(torch.equal(tensor, other) for other in others)


@pytest.mark.slow
def test_without_pace_the_model_is_a_fixed_mix_and_the_rival_explores_alone(place):
    """To the bit: neither of the two models disturbs the other."""
    mixed(place, "method=bridge", "method.rival.pace=0", "train.tasks=4", "out=bridge")
    mixed(place, "method=fixed", "train.minibatches=1", "out=fixed")  # of 2 tasks
    mixed(place, "method=grpo", "train.minibatches=1", "out=grpo")
    bridge, fixed, grpo = (last_state(place / name) for name in ("bridge", "fixed", "grpo"))
    for name, value in bridge["model"].items():
        assert torch.equal(value, fixed["model"][name])
    shadows = bridge["companions"]["rival"]["shadow"]
    assert all(is_among(shadow, grpo["model"].values()) for shadow in shadows)
    assert not any(is_among(shadow, bridge["model"].values()) for shadow in shadows)


@pytest.mark.slow
def test_a_run_with_a_rival_goes_on_to_the_bit(place):
    mixed(place, "method=bridge", "out=whole")
    shutil.copytree(place / "whole", place / "parts")
    shutil.rmtree(max(place.glob("parts/checkpoints/step_*")))
    mixed(place, "method=bridge", "out=parts", "resume=true")
    assert rows(place / "parts") == rows(place / "whole")
    whole, parts = last_state(place / "whole"), last_state(place / "parts")
    for one, other in zip(
        *(state["companions"]["rival"]["a"] for state in (whole, parts)), strict=True
    ):
        assert torch.equal(one, other)
