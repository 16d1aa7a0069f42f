"""Imitation and exploration losses: the identities that any implementation must satisfy."""

from dataclasses import fields
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from amft_mm.learning.tokens import Tokens, Totals
from amft_mm.methods.exploration import EXPLORATION, exploration
from amft_mm.methods.imitation import IMITATION, imitation

DOUBLE = torch.float64


class Problem:
    """A table of logits for each token: small enough to differentiate everything."""

    def __init__(self, seed, lengths=(3, 1, 4, 2), vocabulary=5, off_policy=0.0):
        generator = torch.Generator().manual_seed(seed)
        self.lengths = list(lengths)
        count = sum(lengths)
        self.logits = torch.randn(
            count, vocabulary, generator=generator, dtype=DOUBLE, requires_grad=True
        )
        self.ids = torch.randint(vocabulary, (count,), generator=generator)
        self.advantages = torch.randn(count, generator=generator, dtype=DOUBLE)
        self.noise = off_policy * torch.randn(count, generator=generator, dtype=DOUBLE)
        self.reference = torch.randn(count, generator=generator, dtype=DOUBLE)
        self.given = torch.zeros(count, dtype=torch.bool)
        """None, unless a test says so."""
        self.outcomes = torch.tensor([1.0, 0.0, 1.0, 0.0], dtype=DOUBLE)
        """Of the four conversations, in two groups of two."""

    def tokens(self, keep=None):
        """All conversations, or those that are named."""
        keep = range(len(self.lengths)) if keep is None else keep
        starts = [sum(self.lengths[:i]) for i in range(len(self.lengths) + 1)]
        places = [t for i in keep for t in range(starts[i], starts[i + 1])]
        scores = torch.log_softmax(self.logits[places], -1)
        lengths = [self.lengths[i] for i in keep]
        log_probs = scores.gather(-1, self.ids[places, None])[:, 0]
        return Tokens(
            log_probs,
            -(scores.exp() * scores).sum(-1),
            lengths,
            old_log_probs=log_probs.detach() + self.noise[places],
            advantages=self.advantages[places],
            reference_log_probs=log_probs.detach() + self.reference[places],
            measured=scores.exp().max(-1).values,
            given=self.given[places] if self.given.any() else None,
            outcomes=torch.repeat_interleave(
                self.outcomes[list(keep)], torch.tensor(lengths, dtype=torch.long)
            ),
            success_rates=torch.full((len(places),), 0.5, dtype=DOUBLE),
        )

    @property
    def totals(self):
        outcomes = self.outcomes[: len(self.lengths)]
        good = torch.repeat_interleave(outcomes, torch.tensor(self.lengths)).bool()
        won, lost = (int((~self.given & which).sum()) for which in (good, ~good))
        given = int(self.given.sum())
        return Totals(sum(self.lengths), len(self.lengths), given, won, lost)


def gradient(problem, loss):
    problem.logits.grad = None
    loss.backward()
    return problem.logits.grad.clone()


LOSSES = {name: module.loss for name, module in (IMITATION | EXPLORATION).items()}
LOSSES["sed"] = partial(IMITATION["sed"].loss, tau=0.5)


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 1000),
    st.sampled_from(sorted(LOSSES)),
    st.permutations(range(4)),
    st.integers(0, 4),
)
def test_micro_batches_change_nothing(seed, name, order, cut):
    """Any division of a batch, an empty part too, in any order, with given tokens among them."""
    problem = Problem(seed, off_policy=0.1)
    problem.given[:2] = True
    whole = gradient(problem, LOSSES[name](problem.tokens(), problem.totals))
    parts = [list(order[:cut]), list(order[cut:])]
    divided = sum(gradient(problem, LOSSES[name](problem.tokens(p), problem.totals)) for p in parts)
    assert torch.allclose(whole, divided, atol=1e-12)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_an_empty_batch_is_zero_and_no_nan(name):
    empty = Tokens(*(torch.zeros(0, dtype=DOUBLE, requires_grad=True) for _ in "le"), [])
    for field in fields(Tokens):
        if getattr(empty, field.name) is None and field.name != "given":
            zeros = torch.zeros(0, dtype=DOUBLE, requires_grad=field.name == "measured")
            setattr(empty, field.name, zeros)
    value = LOSSES[name](empty, Totals(0, 0))
    assert value.item() == 0.0
    value.backward()


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_group_of_one_and_a_batch_of_which_nothing_counts_are_numbers(name):
    """No advantage, a success rate of 0 or 1, all given, none that counts, an answer without tokens."""
    for change in ("alone", "given", "masked"):
        problem = Problem(1, lengths=(3, 0, 1))
        problem.outcomes = problem.outcomes[:3]
        problem.advantages[:] = 0.0
        problem.given[:] = change == "given"
        tokens = problem.tokens()
        tokens.success_rates = tokens.outcomes
        if change == "masked":
            tokens.weights = torch.zeros(4, dtype=DOUBLE)
        loss = LOSSES[name](tokens, problem.totals)
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient(problem, loss)).all()


def test_sft_is_the_mean_cross_entropy_over_all_tokens():
    problem = Problem(1)
    expected = torch.nn.functional.cross_entropy(problem.logits, problem.ids)
    assert torch.allclose(imitation("sft").loss(problem.tokens(), problem.totals), expected)


def test_dft_weighs_each_token_by_its_probability():
    problem = Problem(2)
    dft = gradient(problem, imitation("dft").loss(problem.tokens(), problem.totals))
    sft = gradient(problem, imitation("sft").loss(problem.tokens(), problem.totals))
    p = problem.tokens().log_probs.detach().exp()
    assert torch.allclose(dft, p[:, None] * sft)


@pytest.mark.parametrize("alpha", [0.0, 1e-12])
def test_trsft_becomes_sft_as_alpha_goes_to_zero(alpha):
    problem = Problem(3)
    trsft = gradient(
        problem, imitation("trsft").loss(problem.tokens(), problem.totals, alpha=alpha)
    )
    sft = gradient(problem, imitation("sft").loss(problem.tokens(), problem.totals))
    assert torch.allclose(trsft, sft)


def test_trsft_pulls_less_only_below_alpha():
    problem = Problem(4)
    p = problem.tokens().log_probs.detach().exp()
    alpha = float(p.median())
    trsft = gradient(
        problem, imitation("trsft").loss(problem.tokens(), problem.totals, alpha=alpha)
    )
    sft = gradient(problem, imitation("sft").loss(problem.tokens(), problem.totals))
    assert torch.allclose(trsft, (p / alpha).clamp(max=1)[:, None] * sft)
    assert (p < alpha).any()


def test_asft_without_its_penalty_is_dft():
    problem = Problem(2)
    asft = gradient(problem, imitation("asft").loss(problem.tokens(), problem.totals, lam=0.0))
    dft = gradient(problem, imitation("dft").loss(problem.tokens(), problem.totals))
    assert torch.allclose(asft, dft)


def test_sed_without_its_term_is_sft_and_with_it_pulls_to_a_half():
    problem = Problem(2)
    totals = problem.totals
    sft = gradient(problem, imitation("sft").loss(problem.tokens(), totals))
    known = imitation("sed").loss(problem.tokens(), totals, tau=0.0)
    assert torch.allclose(gradient(problem, known), sft)
    open_ended = imitation("sed").loss(problem.tokens(), totals, tau=1.0, lam=2.0)
    half = ((problem.tokens().log_probs.exp() - 0.5) ** 2).mean()
    expected = imitation("sft").loss(problem.tokens(), totals) + 2.0 * half
    assert torch.allclose(open_ended, expected)


def test_chord_phi_and_shaping_weigh_by_probability():
    problem = Problem(2)
    p = problem.tokens().log_probs.detach().exp()[:, None]
    sft = gradient(problem, imitation("sft").loss(problem.tokens(), problem.totals))
    phi = gradient(problem, imitation("chord_phi").loss(problem.tokens(), problem.totals))
    shaped = gradient(problem, imitation("shaped").loss(problem.tokens(), problem.totals))
    assert torch.allclose(phi, p * (1 - p) * sft)
    assert torch.allclose(shaped, 0.1 * p / (p + 0.1) ** 2 * sft)


def test_pear_weighs_by_what_follows_in_the_same_conversation():
    """Against the sum written out; and with the policy as its own reference and gamma 1 it is sft."""
    problem = Problem(2)
    tokens = problem.tokens()
    apart = (tokens.log_probs.detach() - tokens.reference_log_probs).clamp(-0.08, 0.3)
    weights, place = [], 0
    for length in problem.lengths:
        own = apart[place : place + length]
        weights += [
            float(torch.exp((length - t - 1) * torch.tensor(0.9).log() + own[t + 1 :].sum()))
            for t in range(length)
        ]
        place += length
    expected = -(torch.tensor(weights, dtype=DOUBLE) * tokens.log_probs).mean()
    got = imitation("pear").loss(tokens, problem.totals, gamma=0.9)
    assert torch.allclose(got, expected, atol=1e-6)
    problem.reference[:] = 0.0
    pear = gradient(problem, imitation("pear").loss(problem.tokens(), problem.totals, gamma=1.0))
    sft = gradient(problem, imitation("sft").loss(problem.tokens(), problem.totals))
    assert torch.allclose(pear, sft)


@pytest.mark.parametrize("weight", ["mean", "std"])
def test_nft_is_on_policy_the_policy_gradient_of_outcomes(weight):
    """With w = 1 - q, of outcomes less their mean; with sqrt((1 - q) / q), also divided by their std."""
    problem = Problem(5)
    nft = exploration("nft").loss(problem.tokens(), problem.totals, weight=weight)
    got = gradient(problem, nft)
    tokens = problem.tokens()
    problem.advantages = (tokens.outcomes - 0.5) / (1.0 if weight == "mean" else 0.5)
    expected = gradient(problem, exploration("dapo").loss(problem.tokens(), problem.totals))
    assert torch.allclose(got, expected)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_nft_learns_nothing_from_groups_that_fare_alike(rate):
    problem = Problem(5)
    tokens = problem.tokens()
    tokens.success_rates[:] = rate
    assert not gradient(problem, exploration("nft").loss(tokens, problem.totals)).any()


def test_nft_is_bounded_where_the_policy_has_gone_too_far():
    """1 - q r below 0 has no logarithm: the bound keeps the value, the gradient goes straight through."""
    problem = Problem(5)
    tokens = problem.tokens()
    tokens.old_log_probs = tokens.log_probs.detach() - 5.0
    loss = exploration("nft").loss(tokens, problem.totals)
    assert torch.isfinite(loss)
    assert torch.isfinite(gradient(problem, loss)).all()


@pytest.mark.parametrize("kind", ["mse", "log_cosh", "kl"])
def test_lco_rests_where_the_logit_has_moved_by_its_advantage(kind):
    """At log r = A / beta for mse and log cosh, at the moved distribution for kl, nothing pulls."""
    problem = Problem(6)
    tokens = problem.tokens()
    now = tokens.log_probs.detach()
    if kind == "kl":  # the old distribution: this one with the chosen logit moved back
        logit = now - torch.log1p(-now.exp()) - problem.advantages / 2.0
        tokens.old_log_probs = torch.nn.functional.logsigmoid(logit)
    else:
        tokens.old_log_probs = now - problem.advantages / 2.0
    loss = exploration("lco").loss(tokens, problem.totals, beta=2.0, kind=kind)
    assert gradient(problem, loss).abs().max() < 1e-9
    assert abs(float(loss.detach())) < 1e-9


def test_luffy_shapes_what_was_given_and_nothing_else():
    problem = Problem(8)
    without = gradient(problem, exploration("luffy").loss(problem.tokens(), problem.totals))
    plain = exploration("ppo").loss(problem.tokens(), problem.totals, clip=None)
    assert torch.equal(without, gradient(problem, plain))
    problem.given[3:4] = True  # the second conversation
    got = gradient(problem, exploration("luffy").loss(problem.tokens(), problem.totals))
    p = problem.tokens().log_probs.detach().exp()[3]
    assert torch.allclose(got[3], without[3] * 0.1 * p / (p + 0.1) ** 2)
    got[3] = without[3]
    assert torch.allclose(got, without)


def test_trapo_imitates_what_was_given_whatever_came_of_it():
    problem = Problem(8)
    problem.given[:2] = True
    got = gradient(problem, exploration("trapo").loss(problem.tokens(), problem.totals))
    imitated = gradient(problem, imitation("trsft").loss(problem.tokens(), problem.totals))
    explored = gradient(problem, exploration("dapo").loss(problem.tokens(), problem.totals))
    assert torch.allclose(got[:2], imitated[:2])
    assert torch.allclose(got[2:], explored[2:])


def test_prefix_rft_learns_from_the_given_tokens_of_the_highest_entropy():
    problem = Problem(8, lengths=(10, 2))
    problem.given[:10] = True
    got = gradient(problem, exploration("prefix_rft").loss(problem.tokens(), problem.totals))
    moved = got.abs().sum(-1) > 0
    entropies = problem.tokens().entropies.detach()[:10]
    assert set(torch.where(moved[:10])[0].tolist()) == set(entropies.topk(2).indices.tolist())
    assert moved[10:].all()


def test_srft_tells_what_is_clipped_of_demonstrations_alone():
    """Defect: a token's own probability was held for its ratio, and most of what the agent wrote was told as
    clipped."""
    log_probs = torch.tensor([0.5, 0.9, 0.5, 0.5], dtype=torch.float64).log()
    tokens = Tokens(
        log_probs,
        torch.zeros(4),
        [2, 2],
        advantages=torch.tensor([1.0, 1.0, -1.0, -1.0]),
        given=torch.tensor([True, True, False, False]),
        outcomes=torch.tensor([1.0, 1.0, 0.0, 0.0]),
    )
    exploration("srft").loss(tokens, Totals(4, 2, 2, 0, 2), clip=0.2)
    assert tokens.notes == {"clip/share": (0.0, 2)}


def test_srft_weighs_by_the_entropy_of_each_conversation():
    problem = Problem(8)
    problem.lengths = [3, 3, 2, 2]
    problem.given[6:] = True  # the third and fourth conversation are demonstrations
    tokens = problem.tokens()
    got = gradient(problem, exploration("srft").loss(tokens, problem.totals))
    entropy = [float(part.detach().mean()) for part in tokens.entropies.split(problem.lengths)]
    signs = [
        -0.1 * np.exp(entropy[0]) / 3,
        1.0 / 3,
        -0.5 * np.exp(-entropy[2]) / 4,
        -0.5 * np.exp(-entropy[3]) / 4,
    ]
    weights = torch.tensor(np.repeat(signs, problem.lengths), dtype=DOUBLE)
    log_probs = problem.tokens().log_probs
    ratio = log_probs[6:].exp()
    joined = torch.minimum(
        ratio * problem.advantages[6:], ratio.clamp(0.8, 1.2) * problem.advantages[6:]
    )
    expected = (weights * log_probs).sum() - joined.sum() / 4
    assert torch.allclose(got, gradient(problem, expected))


@pytest.mark.parametrize("name", sorted(EXPLORATION.keys() - {"nft", "srft"}))
def test_on_policy_each_is_the_policy_gradient_in_its_own_measure(name):
    """Ratio 1: the gradient is -A grad log pi, each token with the method's weight."""
    problem = Problem(5)
    problem.advantages = torch.repeat_interleave(
        torch.tensor([1.0, -0.5, 2.0, 0.3], dtype=DOUBLE), torch.tensor(problem.lengths)
    )
    got = gradient(problem, LOSSES[name](problem.tokens(), problem.totals))
    tokens = problem.tokens()
    own = tokens.own_length
    weights = {
        "reinforce": torch.full_like(own, 1 / 4),
        "rloo": torch.full_like(own, 1 / 4),
        "maxrl": torch.full_like(own, 1 / 4),
        "grpo": 1 / own / 4,
        "sapo": 1 / own / 4,
        "dr_grpo": torch.full_like(own, 1 / 4 / 512),
        "dppo": torch.full_like(own, 1 / 4 / 512),
        "rl_plus": torch.full_like(own, 1 / 4 / 512),
        "gspo": 1 / own / 4,
        "gmpo": 1 / own / 4,
    }.get(name, torch.full_like(own, 1 / 10))
    expected = gradient(problem, -(weights * problem.advantages * tokens.log_probs).sum())
    assert torch.allclose(got, expected, atol=1e-12)


@pytest.mark.parametrize(
    "name", sorted(n for n in EXPLORATION if hasattr(exploration(n), "BY_ADVANTAGE"))
)
@pytest.mark.parametrize("given", [False, True])
def test_what_says_that_it_goes_by_advantage_has_no_gradient_without(name, given):
    """Such conversations are spared the backward pass: off policy, and where an expert wrote, too."""
    problem = Problem(5, off_policy=0.5)
    problem.advantages[: problem.lengths[0]] = 0.0
    problem.given[:2] = given
    exploration(name).loss(problem.tokens(), problem.totals).backward()
    assert not problem.logits.grad[: problem.lengths[0]].any()
    assert problem.logits.grad[problem.lengths[0] :].any()


def test_no_old_log_probs_means_that_the_weights_are_those_that_sampled():
    problem = Problem(6)
    tokens = problem.tokens()
    tokens.old_log_probs = None
    one = gradient(problem, exploration("grpo").loss(tokens, problem.totals))
    two = gradient(problem, exploration("grpo").loss(problem.tokens(), problem.totals))
    assert torch.allclose(one, two)


def test_clipping_stops_what_has_gone_far_enough_and_never_the_way_back():
    log_ratios = torch.tensor([1.0, 1.0, -1.0, -1.0], dtype=DOUBLE)
    tokens = Tokens(
        torch.zeros(4, dtype=DOUBLE, requires_grad=True),
        torch.zeros(4, dtype=DOUBLE),
        [4],
        old_log_probs=-log_ratios,
        advantages=torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=DOUBLE),
    )
    exploration("dapo").loss(tokens, Totals(4, 1)).backward()
    moves = tokens.log_probs.grad != 0
    assert moves.tolist() == [False, True, True, False]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda p: imitation("stf"), "Did you mean 'sft'"),
        (lambda p: exploration("grop"), "Did you mean 'grpo'"),
        (lambda p: imitation("trsft").loss(p.tokens(), p.totals, alpha=2.0), "alpha"),
        (lambda p: exploration("grpo").loss(p.tokens(), p.totals, clip=-1), "clip"),
        (lambda p: exploration("dr_grpo").loss(p.tokens(), p.totals, length=0), "length"),
        (lambda p: Tokens(torch.zeros(3), torch.zeros(3), [2]), "add up"),
        (lambda p: Tokens(torch.zeros(3), torch.zeros(2), [3]), "entropies"),
    ],
)
def test_mistakes_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call(Problem(0))


def test_exploration_without_advantages_is_a_mistake():
    problem = Problem(7)
    tokens = problem.tokens()
    tokens.advantages = None
    with pytest.raises(ValueError, match="advantages"):
        exploration("grpo").loss(tokens, problem.totals)
