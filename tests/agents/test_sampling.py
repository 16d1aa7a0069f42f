"""Choosing tokens: the right distribution, the right log-probabilities, each row by itself."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.engines.base import Sampling
from agents.engines.sampling import choose, truncated

NONE = torch.zeros(0, dtype=torch.long)


def logits_of(seed, rows=1, vocabulary=7):
    return torch.from_numpy(np.random.default_rng(seed).normal(0, 2, (rows, vocabulary)))


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 1000),
    st.sampled_from([0.5, 1.0, 1.7]),
    st.sampled_from([0.3, 0.8, 1.0]),
    st.sampled_from([0, 1, 3]),
)
def test_tokens_come_as_often_as_the_distribution_says(seed, temperature, top_p, top_k):
    """Against a plain reading of top-k, then top-p, by sorted lists."""
    logits = logits_of(seed)[0]
    weights = np.exp(logits.numpy() / temperature)
    order = np.argsort(-weights)
    if top_k:
        weights[order[top_k:]] = 0
    weights /= weights.sum()
    held = 0.0
    for token in order:
        if held >= top_p:
            weights[token] = 0
        held += weights[token]
    weights /= weights.sum()
    count = 4000
    uniforms = (torch.arange(count) + 0.5) / count  # evenly: frequencies are exact to 1 / count
    ids, _, sampled = choose(
        logits.expand(count, -1), uniforms, Sampling(temperature, top_p, top_k), NONE
    )
    shares = np.bincount(ids.numpy(), minlength=7) / count
    assert np.abs(shares - weights).max() <= 2 / count
    assert np.allclose(sampled.exp().numpy(), weights[ids.numpy()], atol=1e-5)


def test_log_probs_of_the_policy_know_the_temperature_and_nothing_of_what_is_left_out():
    """The learner scores the model at that temperature: the ratio of what was just sampled is 1."""
    logits = logits_of(1, rows=5)
    for sampling, temperature in (
        (Sampling(), 1),
        (Sampling(0.0), 1),
        (Sampling(0.3, 0.5, 2), 0.3),
    ):
        ids, whole, _ = choose(logits, torch.full((5,), 0.4), sampling, torch.tensor([0]))
        expected = torch.log_softmax(logits.float() / temperature, -1)[torch.arange(5), ids]
        assert torch.allclose(whole, expected, atol=1e-6)


def test_temperature_zero_takes_the_likeliest():
    logits = logits_of(2, rows=9)
    ids, _, sampled = choose(logits, torch.rand(9), Sampling(temperature=0.0), NONE)
    assert torch.equal(ids, logits.argmax(-1))
    assert sampled.tolist() == [0.0] * 9


@pytest.mark.parametrize("temperature", [0.0, 1.0, 2.0])
def test_banned_tokens_are_never_chosen(temperature):
    logits = torch.tensor([[50.0, 1.0, 0.0]]).expand(200, -1)
    ids, whole, _ = choose(logits, torch.rand(200), Sampling(temperature), torch.tensor([0]))
    assert 0 not in ids.tolist()
    assert whole.max() < -20  # the model by itself would have written the banned one


def test_a_row_does_not_depend_on_its_neighbours():
    logits, uniforms = logits_of(3, rows=6), torch.rand(6)
    together = choose(logits, uniforms, Sampling(0.9, 0.9), NONE)
    for row in range(6):
        alone = choose(logits[row : row + 1], uniforms[row : row + 1], Sampling(0.9, 0.9), NONE)
        assert [part[0] for part in alone] == [part[row] for part in together]


def test_luck_at_its_ends_stays_in_the_vocabulary():
    logits = torch.zeros(2, 5)
    ids, _, _ = choose(logits, torch.tensor([0.0, 1.0 - 2**-24]), Sampling(), NONE)
    assert ids.tolist() == [0, 4]


def test_truncation_keeps_at_least_one():
    assert torch.isfinite(truncated(logits_of(4), Sampling(top_p=1e-9))).sum() == 1


@pytest.mark.parametrize(
    "given",
    [{"temperature": -1}, {"temperature": 2.5}, {"top_p": 0}, {"top_p": 1.1}, {"top_k": -1}],
)
def test_settings_that_make_no_sense_are_refused(given):
    with pytest.raises(ValueError, match=next(iter(given))):
        Sampling(**given)
