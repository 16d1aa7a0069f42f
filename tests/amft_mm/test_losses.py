"""Imitation and exploration losses: the identities that any implementation must satisfy."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from amft_mm.exploration import EXPLORATION, exploration
from amft_mm.imitation import IMITATION, imitation
from amft_mm.tokens import Tokens, Totals

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

    def tokens(self, keep=None):
        """All conversations, or those that are named."""
        keep = range(len(self.lengths)) if keep is None else keep
        starts = [sum(self.lengths[:i]) for i in range(len(self.lengths) + 1)]
        places = [t for i in keep for t in range(starts[i], starts[i + 1])]
        scores = torch.log_softmax(self.logits[places], -1)
        log_probs = scores.gather(-1, self.ids[places, None])[:, 0]
        return Tokens(
            log_probs,
            -(scores.exp() * scores).sum(-1),
            [self.lengths[i] for i in keep],
            old_log_probs=log_probs.detach() + self.noise[places],
            advantages=self.advantages[places],
        )

    @property
    def totals(self):
        return Totals(sum(self.lengths), len(self.lengths))


def gradient(problem, loss):
    problem.logits.grad = None
    loss.backward()
    return problem.logits.grad.clone()


LOSSES = {**IMITATION, **EXPLORATION}


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 1000),
    st.sampled_from(sorted(LOSSES)),
    st.permutations(range(4)),
    st.integers(0, 4),
)
def test_micro_batches_change_nothing(seed, name, order, cut):
    """Any division of a batch, an empty part too, in any order."""
    problem = Problem(seed, off_policy=0.1)
    whole = gradient(problem, LOSSES[name](problem.tokens(), problem.totals))
    parts = [list(order[:cut]), list(order[cut:])]
    divided = sum(gradient(problem, LOSSES[name](problem.tokens(p), problem.totals)) for p in parts)
    assert torch.allclose(whole, divided, atol=1e-12)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_an_empty_batch_is_zero_and_no_nan(name):
    empty = Tokens(*(torch.zeros(0, dtype=DOUBLE, requires_grad=True) for _ in "le"), [])
    empty.advantages = torch.zeros(0, dtype=DOUBLE)
    value = LOSSES[name](empty, Totals(0, 0))
    assert value.item() == 0.0
    value.backward()


def test_sft_is_the_mean_cross_entropy_over_all_tokens():
    problem = Problem(1)
    expected = torch.nn.functional.cross_entropy(problem.logits, problem.ids)
    assert torch.allclose(imitation("sft")(problem.tokens(), problem.totals), expected)


def test_dft_weighs_each_token_by_its_probability():
    problem = Problem(2)
    dft = gradient(problem, imitation("dft")(problem.tokens(), problem.totals))
    sft = gradient(problem, imitation("sft")(problem.tokens(), problem.totals))
    p = problem.tokens().log_probs.detach().exp()
    assert torch.allclose(dft, p[:, None] * sft)


@pytest.mark.parametrize("alpha", [0.0, 1e-12])
def test_trsft_becomes_sft_as_alpha_goes_to_zero(alpha):
    problem = Problem(3)
    trsft = gradient(problem, imitation("trsft")(problem.tokens(), problem.totals, alpha=alpha))
    sft = gradient(problem, imitation("sft")(problem.tokens(), problem.totals))
    assert torch.allclose(trsft, sft)


def test_trsft_pulls_less_only_below_alpha():
    problem = Problem(4)
    p = problem.tokens().log_probs.detach().exp()
    alpha = float(p.median())
    trsft = gradient(problem, imitation("trsft")(problem.tokens(), problem.totals, alpha=alpha))
    sft = gradient(problem, imitation("sft")(problem.tokens(), problem.totals))
    assert torch.allclose(trsft, (p / alpha).clamp(max=1)[:, None] * sft)
    assert (p < alpha).any()


@pytest.mark.parametrize("name", sorted(EXPLORATION))
def test_on_policy_each_is_the_policy_gradient_in_its_own_measure(name):
    """Ratio 1: the gradient is -A grad log pi, each token with the method's weight."""
    problem = Problem(5)
    problem.advantages = torch.repeat_interleave(
        torch.tensor([1.0, -0.5, 2.0, 0.3], dtype=DOUBLE), torch.tensor(problem.lengths)
    )
    got = gradient(problem, exploration(name)(problem.tokens(), problem.totals))
    tokens = problem.tokens()
    own = tokens.own_length
    weights = {
        "reinforce": torch.full_like(own, 1 / 4),
        "rloo": torch.full_like(own, 1 / 4),
        "grpo": 1 / own / 4,
        "dr_grpo": torch.full_like(own, 1 / 4 / 512),
        "dapo": torch.full_like(own, 1 / 10),
        "ppo": torch.full_like(own, 1 / 10),
        "gspo": 1 / own / 4,
    }[name]
    expected = gradient(problem, -(weights * problem.advantages * tokens.log_probs).sum())
    assert torch.allclose(got, expected, atol=1e-12)


def test_no_old_log_probs_means_that_the_weights_are_those_that_sampled():
    problem = Problem(6)
    tokens = problem.tokens()
    tokens.old_log_probs = None
    one = gradient(problem, exploration("grpo")(tokens, problem.totals))
    two = gradient(problem, exploration("grpo")(problem.tokens(), problem.totals))
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
    exploration("dapo")(tokens, Totals(4, 1)).backward()
    moves = tokens.log_probs.grad != 0
    assert moves.tolist() == [False, True, True, False]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda p: imitation("stf"), "Did you mean 'sft'"),
        (lambda p: exploration("grop"), "Did you mean 'grpo'"),
        (lambda p: imitation("trsft")(p.tokens(), p.totals, alpha=2.0), "alpha"),
        (lambda p: exploration("grpo")(p.tokens(), p.totals, clip=-1), "clip"),
        (lambda p: exploration("dr_grpo")(p.tokens(), p.totals, length=0), "length"),
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
        exploration("grpo")(tokens, problem.totals)
