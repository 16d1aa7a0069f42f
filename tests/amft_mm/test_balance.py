"""Controllers: mu goes where the utility says, holds where it says nothing, and never drifts."""

import math

import numpy as np
import pytest
import torch

from amft_mm.config.overrides import check_overrides
from amft_mm.learning.mixed_step import MixedStep
from amft_mm.methods.balance import BALANCES, Gradients, Signal, balance


def looks(controller, cosines, start=1):
    for step, cosine in enumerate(cosines, start):
        seen = Signal(step, cosine, 1.0, 1.0) if cosine is not None else Signal(step)
        controller.update(seen)
    return controller.mu(len(cosines))


@pytest.mark.parametrize("name", BALANCES)
def test_every_balance_stays_between_0_and_1_and_comes_back_as_it_was(name):
    mine, other = (balance(name, 40, {}) for _ in range(2))
    rng = np.random.default_rng(0)
    for step in range(40):
        mine.update(Signal(step, float(rng.normal()), 1.0, 1.0, entropy=2.0))
        assert 0.0 <= mine.mu(step) <= 1.0
    other.load_state_dict(mine.state_dict())
    assert other.mu(40) == mine.mu(40)
    assert other.state_dict() == mine.state_dict()


def test_schedules():
    at = {name: balance(name, 11, {}).mu for name in ("sft", "rl", "linear", "cosine")}
    assert [at["sft"](0), at["rl"](0)] == [1.0, 0.0]
    assert [at["linear"](s) for s in (0, 5, 10)] == [1.0, 0.5, 0.0]
    assert at["cosine"](5) == pytest.approx(0.5)
    assert at["cosine"](2) > at["linear"](2)
    switch = balance("sft_then_rl", 10, {"switch": 3})
    assert [switch.mu(s) for s in (2, 3)] == [1.0, 0.0]


def test_amft_climbs_and_descends_with_the_signal():
    up, down = (balance("amft", 100, {"start": 0.5}) for _ in range(2))
    assert looks(up, [0.3] * 40) > 0.9
    assert looks(down, [-0.3] * 40) < 0.1


def test_amft_holds_without_a_signal():
    """A run in which every group fails must not drift."""
    mu = balance("amft", 100, {"start": 0.37})
    assert looks(mu, [None] * 50) == pytest.approx(0.37)


def test_amft_moves_less_on_noise_than_on_a_signal_a_tenth_as_large():
    rng = np.random.default_rng(0)
    moved = []
    for _ in range(30):
        noisy = balance("amft", 100, {"start": 0.5})
        moved.append(abs(looks(noisy, rng.normal(0, 1.0, 60)) - 0.5))
    steady = balance("amft", 100, {"start": 0.5})
    assert np.median(moved) < abs(looks(steady, [0.1] * 60) - 0.5) / 2


def test_amft_does_not_depend_on_the_scale_of_the_gradients():
    a, b = (balance("amft", 100, {}) for _ in range(2))
    for step in range(20):
        product = math.sin(step) + 0.5
        a.update(Signal(step, product, 1.0, 1.0))
        b.update(Signal(step, product * 1e-9, 1e-3, 1e-6))
    assert a.mu(0) == pytest.approx(b.mu(0))


def test_amft_paper_is_the_formula():
    paper = balance("amft_paper", 100, {"start": 0.6, "eta_mu": 0.1, "eta_h": 0.01, "every": 2})
    paper.update(Signal(0, 5.0, 1.0, 1.0, entropy=2.0))
    assert paper.mu(0) == 0.6
    paper.update(Signal(2, 0.5, 1.0, 1.0, entropy=1.5))
    assert paper.mu(2) == pytest.approx(0.6 + 0.1 * 0.5 + 0.01 * (2.0 - 1.5))
    paper.update(Signal(4, 100.0, 1.0, 1.0, entropy=2.0))
    assert paper.mu(4) == 0.95
    for wrong in ({"entropy_sign": 0}, {"every": 0}, {"start": 2.0}, {"nonsense": 1}):
        with pytest.raises(ValueError, match="balance"):
            balance("amft_paper", 10, wrong)


def learnt_mu(name, demonstrated, noise, steps=90, **settings):
    """A problem with a known answer: rewards pull theta to `target` by noisy gradients, and
    demonstrations to `demonstrated` by clean ones. Returns mu's mean over the last third, which
    ends before theta is at its target."""
    torch.manual_seed(0)
    target = torch.full((20,), 1.0, dtype=torch.float64)
    demos = torch.full((20,), demonstrated, dtype=torch.float64)
    theta = torch.zeros(20, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.AdamW([theta], lr=0.01, betas=(0.9, 0.95), weight_decay=0.0)
    for _ in range(20):  # the warm-up's state is carried over
        theta.grad = torch.randn(20, dtype=torch.float64)
        optimizer.step()
        theta.data.zero_()
    mixed, controller = MixedStep(optimizer, None, 0.9), balance(name, steps, settings)
    found = []
    for step in range(steps):
        theta.grad = (theta.detach() - target) + noise * torch.randn(20, dtype=torch.float64)
        norm = float(theta.grad.norm())
        product = -mixed.along() if mixed.z else None
        mixed.take_exploration()
        controller.update(Signal(step, product, norm, mixed.z_norm(), entropy=1.0))
        theta.grad = theta.detach() - demos
        scale = norm / max(float(theta.grad.norm()), 1e-9)
        mixed.mix(controller.mu(step), scale)
        mixed.step()
        found.append(controller.mu(step))
    return float(np.mean(found[-steps // 3 :]))


def test_mu_rises_where_demonstrations_help_and_falls_where_they_are_corrupt():
    """The published code's sign does the opposite."""
    assert learnt_mu("amft", demonstrated=3.0, noise=3.0) > 0.85
    assert learnt_mu("amft", demonstrated=-3.0, noise=3.0) < 0.15
    wrong = {"start": 0.5, "eta_mu": 1.0, "every": 1}
    assert learnt_mu("amft_paper", 3.0, 3.0, **wrong) > 0.5
    assert learnt_mu("amft_paper", -3.0, 3.0, **wrong) < 0.5


GRADIENTS = [np.random.default_rng(seed).normal(size=(2, 6)) * [[1.0], [3.0]] for seed in range(8)]
GRADIENTS += [-abs(GRADIENTS[0]) * [[1], [-1]]]  # a plain conflict


def mixed_by(name, explored, imitated):
    """The two as a balance weighs them."""
    norms = [float(np.linalg.norm(g)) for g in (explored, imitated)]
    seen = Gradients(*norms, float(explored @ imitated))
    weights = balance(name, 10, {}).weights(0, seen)
    return weights[0] * explored + weights[1] * imitated


@pytest.mark.parametrize(("explored", "imitated"), GRADIENTS)
def test_pcgrad_goes_against_neither(explored, imitated):
    mixed = mixed_by("pcgrad", explored, imitated)
    assert mixed @ explored > -1e-12
    assert mixed @ imitated > -1e-12
    if explored @ imitated >= 0:
        assert np.allclose(mixed, (explored + imitated) / 2)


@pytest.mark.parametrize(("explored", "imitated"), GRADIENTS)
def test_mgda_is_the_shortest_mix(explored, imitated):
    shares = np.linspace(0, 1, 2001)[:, None]
    lengths = np.linalg.norm((1 - shares) * explored + shares * imitated, axis=1)
    assert np.linalg.norm(mixed_by("mgda", explored, imitated)) <= lengths.min() + 1e-9


@pytest.mark.parametrize(("explored", "imitated"), GRADIENTS)
def test_norm_matching_and_the_gate(explored, imitated):
    equal = mixed_by("norm_matching", explored, imitated)
    assert equal @ explored / np.linalg.norm(explored) == pytest.approx(
        equal @ imitated / np.linalg.norm(imitated)
    )
    gated = mixed_by("cosine_gate", explored, imitated)
    expected = (explored + imitated) / 2 if explored @ imitated >= 0 else explored
    assert np.allclose(gated, expected)


@pytest.mark.parametrize("mu", [0.0, 0.5, 1.0])
def test_the_gate_leaves_a_step_at_a_conflict_whatever_mu_is(mu):
    """With mu = 1 nothing would be left, and the share of nothing in nothing is no number."""
    gate = balance("cosine_gate", 10, {"mu": mu})
    assert gate.weigh(0, mu, lambda: Gradients(1.0, 1.0, -0.5)) == (0.0, 1.0)
    assert gate.weigh(0, mu, lambda: Gradients(1.0, 1.0, 0.5)) == (mu, 1.0)


def test_the_old_name_of_norm_matching_is_refused_with_the_new_one():
    """It is not the method that is known as GradNorm."""
    with pytest.raises(ValueError, match="gradnorm is called norm_matching now"):
        balance("gradnorm", 10, {})
    with pytest.raises(SystemExit, match="gradnorm is called norm_matching now"):
        check_overrides("train", ["method=gradnorm"])


@pytest.mark.parametrize("name", ["norm_matching", "pcgrad", "mgda", "cosine_gate", "sasr"])
@pytest.mark.parametrize("norms", [(0.0, 1.0), (1.0, 0.0), (0.0, 0.0)])
def test_a_gradient_that_is_not_there_takes_nothing_away(name, norms):
    """Where all groups fare alike exploration has no gradient: imitation has to go on."""
    explored, imitated = balance(name, 10, {}).weights(0, Gradients(*norms, 0.0))
    assert explored + imitated > 0
    if name != "sasr" and norms == (0.0, 1.0):
        assert imitated > 0


def test_sasr_imitates_less_as_the_gradient_of_imitation_fades():
    sasr = balance("sasr", 1000, {})
    often = np.mean([sasr.weights(step, Gradients(1.0, 1.0, 0.0))[1] for step in range(500)])
    seldom = np.mean([sasr.weights(step, Gradients(1.0, 0.1, 0.0))[1] for step in range(500)])
    assert often == pytest.approx(1 / 2, abs=0.1)
    assert seldom == pytest.approx(0.1 / 1.1, abs=0.05)


def test_chord_mu_falls_over_200_steps_however_long_the_run_is():
    """As in the authors' configuration: no warm-up, 0.9 to 0.05 in 200 steps, and constant from there."""
    for steps in (40, 1000):
        mu = [balance("chord_mu", steps, {}).mu(step) for step in (0, 100, 200, 900)]
        assert mu == pytest.approx([0.9, 0.475, 0.05, 0.05])
    rising = balance("chord_mu", 100, {"warmup": 10, "decay": 20})
    assert [rising.mu(step) for step in (0, 5, 10, 20, 30)] == pytest.approx(
        [0.0, 0.45, 0.9, 0.475, 0.05]
    )
