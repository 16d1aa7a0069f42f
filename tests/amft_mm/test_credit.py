"""Credit: returns, baselines, failed episodes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.trajectory import Trajectory, Turn
from amft_mm.data.rollouts import with_wrong_rewards
from amft_mm.learning.credit import advantages

rewards = st.lists(
    st.none() | st.lists(st.floats(-5, 5), min_size=1, max_size=6), min_size=1, max_size=8
)


def flat(found):
    return [None if a is None else a.tolist() for a in found]


def test_by_hand():
    group = [[0.0, 1.0], [1.0], None, [0.0, 0.0, 4.0]]
    assert flat(advantages(group, baseline="none")) == [[1, 1], [1], None, [4, 4, 4]]
    assert flat(advantages(group, baseline="mean")) == [[-1, -1], [-1], None, [2, 2, 2]]
    assert flat(advantages(group, baseline="others")) == [[-1.5, -1.5], [-1.5], None, [3, 3, 3]]
    std = np.std([1, 1, 4], ddof=1)
    assert flat(advantages(group, baseline="std"))[3] == pytest.approx([2 / std] * 3)
    by_turn = advantages(group, credit="turn", baseline="none", gamma=0.5)
    assert flat(by_turn) == [[0.5, 1.0], [1.0], None, [1.0, 2.0, 4.0]]
    compared = advantages(group, credit="turn", baseline="mean")
    assert flat(compared) == [[-1, -1.5], [-1], None, [2, 1.5, 0.0]]


@given(rewards, st.sampled_from(["episode", "turn"]), st.sampled_from(["mean", "others", "std"]))
def test_every_turn_gets_a_finite_number_and_failures_none(group, credit, baseline):
    found = advantages(group, credit=credit, baseline=baseline)
    for given_, got in zip(group, found, strict=True):
        assert (given_ is None) == (got is None)
        if given_ is not None:
            assert len(got) == len(given_)
            assert np.isfinite(got).all()


@given(rewards, st.sampled_from(["mean", "others", "std"]), st.floats(-3, 3))
def test_a_constant_for_all_changes_nothing(group, baseline, constant):
    """Of the return, that is: it is added at the first turn."""
    moved = [None if r is None else [r[0] + constant, *r[1:]] for r in group]
    for a, b in zip(
        advantages(group, baseline=baseline), advantages(moved, baseline=baseline), strict=True
    ):
        assert a is None or np.allclose(a, b, atol=1e-6)


@given(rewards)
def test_a_failed_member_moves_nobody(group):
    found = advantages([*group, None], baseline="std")
    assert flat(found)[:-1] == flat(advantages(group, baseline="std"))
    assert found[-1] is None


def test_equal_returns_teach_nothing():
    for baseline in ("mean", "others", "std"):
        assert flat(advantages([[1.0], [0.5, 0.5]], baseline=baseline)) == [[0.0], [0.0, 0.0]]
    assert flat(advantages([[3.0]], baseline="others")) == [[0.0]]


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"credit": "turns"}, "'turn'"), ({"baseline": "sdt"}, "'std'"), ({"gamma": 1.1}, "gamma")],
)
def test_mistakes_are_named(settings, words):
    with pytest.raises(ValueError, match=words):
        advantages([[1.0]], **settings)


def test_wrong_rewards_are_a_share_and_the_same_each_time():
    def episode(task, member, *rewards):
        turns = [Turn(reward, None, "") for reward in rewards]
        return Trajectory(None, "", task, member, 0, turns, success=rewards[-1] > 0)

    episodes = [
        episode(task, member, 0.5, float(task % 2)) for task in range(50) for member in range(8)
    ]
    noisy = with_wrong_rewards(episodes, 0.3, 0, 1)
    flipped = [a.success != b.success for a, b in zip(episodes, noisy, strict=True)]
    assert np.mean(flipped) == pytest.approx(0.3, abs=0.07)
    assert noisy == with_wrong_rewards(episodes, 0.3, 0, 1)
    assert with_wrong_rewards(episodes, 0.0, 0, 1) == episodes
    assert with_wrong_rewards([episode(0, 0, 0.0)], 1.0, 0, 1)[0].rewards == [1.0]
    assert with_wrong_rewards([episode(0, 0, 0.5, 1.0)], 1.0, 0, 1)[0].rewards == [-0.5, -1.0]
