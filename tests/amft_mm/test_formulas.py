"""Losses by their authors' formulas: small numbers, worked by hand from the sources that the modules name."""

from math import log

import numpy as np
import pytest
import torch

from amft_mm.learning.credit import advantages
from amft_mm.learning.tokens import Tokens, Totals
from amft_mm.methods.exploration import exploration
from amft_mm.methods.imitation import imitation

DOUBLE = torch.float64


def numbers(values):
    return torch.tensor(values, dtype=DOUBLE)


def tokens(p, ratios=None, lengths=None, **more):
    """Tokens of these probabilities, with these ratios to the old ones."""
    log_probs = numbers(p).log().requires_grad_()
    old = None if ratios is None else log_probs.detach() - numbers(ratios).log()
    more = {
        name: numbers(v) if name != "given" else torch.tensor(v) > 0 for name, v in more.items()
    }
    more.setdefault("entropies", torch.zeros(len(p), dtype=DOUBLE))
    return Tokens(log_probs, lengths=lengths or [len(p)], old_log_probs=old, **more)


def worked(name, told, totals=None, **settings):
    """The loss, and its gradient by the log-probabilities."""
    totals = totals or Totals(len(told.log_probs), len(told.lengths))
    value = exploration(name).loss(told, totals, **settings)
    value.backward()
    return float(value.detach()), told.log_probs.grad.tolist()


def near(values):
    return pytest.approx(values, abs=1e-5)


def test_dual_clip_ends_what_a_large_ratio_pulls_at_a_bad_token():
    """Without, a ratio of 50 with A = -1 pulls 50 times."""
    told = tokens([0.5, 0.5, 0.5], [50, 2, 50], advantages=[-1, -1, 1])
    assert worked("ppo", told) == (near((50 + 2 - 1.2) / 3), near([50 / 3, 2 / 3, 0]))
    told = tokens([0.5, 0.5, 0.5], [50, 2, 50], advantages=[-1, -1, 1])
    assert worked("ppo", told, dual=3.0) == (near((3 + 2 - 1.2) / 3), near([0, 2 / 3, 0]))
    assert told.notes == {"clip/share": (1.0, 3), "clip/dual": (1.0, 3)}


def test_a_ratio_without_bound_times_no_advantage_is_nothing():
    """exp of a large log-ratio is infinite, and times 0 no number."""
    told = tokens([0.5], advantages=[0])
    told.old_log_probs = numbers([-2000.0])
    assert worked("ppo", told, clip=None) == (0.0, [0.0])


def test_cispo_bounds_the_ratio_and_keeps_every_token():
    told = tokens([0.5, 0.2, 0.1], [0.5, 2, 8], advantages=[1, 1, -1])
    loss = (0.5 * -log(0.5) + 2 * -log(0.2) + 5 * log(0.1)) / 3
    assert worked("cispo", told) == (near(loss), near([-0.5 / 3, -2 / 3, 5 / 3]))


def test_dppo_masks_by_how_far_a_probability_has_moved():
    """A rare token with a ratio of 100 is kept (counted 20 times); 0.5 to 0.7 is too far upwards, not
    downwards; 0.99 to 0.8 is too far downwards."""
    told = tokens([0.001, 0.7, 0.7, 0.8], [100, 1.4, 1.4, 0.8 / 0.99], advantages=[1, 1, -1, -1])
    _, pulls = worked("dppo", told, length=1.0)
    assert pulls == near([-20, 0, 1.4, 0])
    # KL(0.5 || 0.7) = 0.08718 is beyond 0.05, KL(0.5 || 0.6) = 0.02041 is not.
    told = tokens([0.7, 0.6, 0.7], [1.4, 1.2, 1.4], advantages=[1, 1, -1])
    assert worked("dppo", told, divergence="kl", length=1.0)[1] == near([0, -1.2, 1.4])


def test_sapo_gates_good_and_bad_tokens_by_their_own_temperature():
    """4 sigmoid(1) = 2.924234; 4 / 1.05 sigmoid(1.05) = 2.821998."""
    told = tokens([0.5, 0.5], [2, 2], [1, 1], advantages=[1, -1])
    value, pulls = worked("sapo", told)
    assert value == near((-2.924234 + 2.821998) / 2)
    assert pulls == near([-1.572895 / 2, 1.536218 / 2])


@pytest.mark.parametrize(
    ("advantage", "value", "pulls"),
    [(1, -0.740818, [0, -0.370409]), (-1, 1.349859, [0.674929, 0])],
)
def test_gmpo_clips_each_ratio_before_their_geometric_mean(advantage, value, pulls):
    """Logs 1 and -1: 0.4 and -1 where A > 0, exp(-0.3); 1 and -0.4 where A < 0, exp(0.3)."""
    told = tokens([0.5, 0.5], np.exp([1, -1]), advantages=[advantage] * 2)
    assert worked("gmpo", told) == (near(value), near(pulls))


@pytest.mark.parametrize(
    ("returns", "expected"),
    [
        ([1, 0, 0, 1], [1, -1, -1, 1]),
        ([1, 0, 0, 0], [3, -1, -1, -1]),
        ([0, 0, 0], [0, 0, 0]),
        ([-1, -1, 1], [-1, -1, 2]),  # as of 0, 0 and 1
        ([1, 1], [0, 0]),
        ([1], [0]),
    ],
)
def test_maxrl_divides_by_the_mean_of_outcomes(returns, expected):
    found = advantages([[r] for r in returns], baseline="lowest")
    assert np.concatenate(found).tolist() == near(expected)


def test_maxrl_climbs_the_mean_log_likelihood_of_what_succeeded():
    """Less that of all: (1 / K) sum over successes - (1 / N) sum over all."""
    credit = np.concatenate(advantages([[1.0], [0.0], [0.0], [1.0]], baseline="lowest"))
    told = tokens([0.5] * 4, lengths=[1] * 4, advantages=credit)
    assert worked("maxrl", told)[1] == near([-(1 / 2 - 1 / 4), 1 / 4, 1 / 4, -(1 / 2 - 1 / 4)])


def test_a_plain_gradient_is_bounded_where_a_clip_is_asked_for():
    """Several updates on one batch of rollouts made a token 20 times as likely, and it pulled 20 times."""
    for settings, pulls in (({}, [-20, 20, -1]), ({"clip": 0.2, "dual": 3.0}, [0, 0, -1])):
        told = tokens([0.5] * 3, [20, 20, 1], lengths=[1] * 3, advantages=[1, -1, 1])
        assert worked("maxrl", told, **settings)[1] == near([pull / 3 for pull in pulls])


@pytest.mark.parametrize(
    ("settings", "pulls"),
    [
        # w = 1 - q = 1/2. Good: -w. Bad, r = 1.2: (1 - 0.6) / 0.5 = 0.8 counts as 1, pull w r = 0.6.
        # Bad, r = 0.8: 1.2 stays, pull w r / 1.2 = 1/3.
        ({}, [-0.5, 0.6, 1 / 3]),
        ({"lowest": 0.01}, [-0.5, 0.75, 1 / 3]),
        ({"weight": "std"}, [-1.0, 1.2, 2 / 3]),
    ],
)
def test_nft_bounds_what_failures_say_at_1(settings, pulls):
    told = tokens([0.5] * 3, [1.3, 1.2, 0.8], outcomes=[1, 0, 0], success_rates=[0.5, 0.5, 0.5])
    assert worked("nft", told, Totals(1, 1), **settings)[1] == near(pulls)


@pytest.mark.parametrize("failures", [1, 7])
def test_srft_gives_demonstrations_a_mean_of_their_own(failures):
    """However many rollouts there are: in one mean over everything they fade as groups grow.

    Demonstration, p = 1/2 twice, A = 1, H = 0: w = 0.5, surrogate -1/2. Success, p = 1/4, H = log 2: w = 0.2.
    """
    count = 3 + failures
    told = tokens(
        [0.5, 0.5, 0.25] + [0.8] * failures,
        lengths=[2, 1] + [1] * failures,
        advantages=[1, 1] + [0] * (count - 2),
        outcomes=[1, 1, 1] + [0] * failures,
        given=[1, 1] + [0] * (count - 2),
        entropies=[0, 0, log(2)] + [0] * failures,
    )
    value, pulls = worked("srft", told, Totals(count, 2 + failures, 2, 1, failures))
    assert value == near(0.5 * log(2) - 0.5 + 0.2 * log(4) + log(0.8))
    assert pulls == near([-0.5, -0.5, -0.2] + [1 / failures] * failures)


def test_by_one_constant_length_and_without_a_clip():
    """luffy, hpt, relift and trapo explore by the sum of -r A over one length."""
    for name in ("dr_grpo", "luffy", "trapo"):
        told = tokens([0.5] * 3, [3, 0.1, 1], [2, 1], advantages=[1, 1, -2])
        value, pulls = worked(name, told, clip=None, length=10.0)
        assert value == near(-(3 + 0.1 - 2) / 10 / 2)
        assert pulls == near([-3 / 20, -0.1 / 20, 2 / 20])


def test_luffy_shapes_what_was_given_in_the_same_measure():
    """f(p) = 0.4 / 0.5; its slope by log p is 0.1 * 0.4 / 0.25 = 0.16."""
    told = tokens([0.4, 0.5], lengths=[1, 1], advantages=[2, -1], given=[1, 0])
    assert worked("luffy", told, length=4.0) == (near((-0.8 * 2 + 1) / 8), near([-0.32 / 8, 1 / 8]))


def test_sed_pulls_to_a_half_where_many_tokens_would_do():
    """-log p + (p - 1/2)^2 where the likeliest two hold less than tau: by log p, -1 + 2 (p - 1/2) p."""
    told = tokens([0.9, 0.3, 0.8])
    told.measured = numbers([0.99, 0.5, 0.95])
    value = imitation("sed").loss(told, Totals(3, 1), tau=0.95)
    value.backward()
    assert float(value.detach()) == near(-(log(0.9) + log(0.3) + log(0.8)) / 3 + 0.04 / 3)
    assert told.log_probs.grad.tolist() == near([-1 / 3, (-1 - 0.12) / 3, -1 / 3])
    with pytest.raises(ValueError, match="sed needs tau"):
        imitation("sed").loss(tokens([0.5]), Totals(1, 1))
