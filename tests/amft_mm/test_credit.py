"""Credit: returns, baselines, failed episodes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.conversation import Conversation, Limits
from agents.trajectory import Trajectory, Turn
from amft_mm.data.overlong import with_length_penalty
from amft_mm.data.rollouts import credited, with_wrong_rewards
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
    last = 4 - np.mean([4, 1, 1, 1])
    assert flat(compared) == [[-1, -1.5], [-1], None, [2, 1.5, last]]


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


def test_the_one_that_goes_on_longest_is_compared_with_all_turns_of_the_others():
    """It had no credit at all."""
    group = [[0.0, 0.0, 3.0], [1.0], [0.0, 2.0]]
    alone = advantages(group, credit="turn", baseline="others")[0][2]
    assert alone == pytest.approx(3.0 - np.mean([1.0, 2.0, 2.0]))
    meant = advantages(group, credit="turn", baseline="mean")[0][2]
    assert meant == pytest.approx(3.0 - np.mean([3.0, 1.0, 2.0, 2.0]))
    normed = advantages(group, credit="turn", baseline="std")[0][2]
    assert normed == pytest.approx(meant / np.std([3.0, 1.0, 2.0, 2.0], ddof=1))
    assert flat(advantages([[1.0, 2.0]], credit="turn", baseline="others")) == [[0.0, 0.0]]


def test_gigpo_adds_the_advantage_among_equal_states():
    """By hand: returns 1, 0, 0; from turn on, with gamma 1/2: [.5, 1], [0, 0], [0]."""
    rewards = [[0.0, 1.0], [0.0, 0.0], [0.0]]
    states = [["start", "door"], ["start", "start"], ["start"]]
    found = advantages(
        rewards, credit="gigpo", baseline="mean", gamma=0.5, weight=2.0, states=states
    )
    start = np.mean([0.5, 0.0, 0.0, 0.0])  # one member met it twice
    first = [2 / 3 + 2 * (0.5 - start), 2 / 3 + 2 * 0.0]  # the door was met once
    assert flat(found)[0] == pytest.approx(first)
    assert flat(found)[1] == pytest.approx([-1 / 3 - 2 * start] * 2)
    assert flat(found)[2] == pytest.approx([-1 / 3 - 2 * start])


@given(rewards, st.sampled_from(["mean", "others", "std"]), st.floats(0, 1))
def test_gigpo_without_its_states_is_credit_by_episode(group, baseline, gamma):
    apart = [
        None if r is None else [f"{i} {t}" for t in range(len(r))] for i, r in enumerate(group)
    ]
    found = advantages(group, credit="gigpo", baseline=baseline, gamma=gamma, states=apart)
    assert flat(found) == flat(advantages(group, baseline=baseline))
    unweighted = advantages(
        group, credit="gigpo", baseline=baseline, gamma=gamma, weight=0.0, states=apart
    )
    assert flat(unweighted) == flat(found)


def test_survivors_are_not_compared_with_those_who_left_by_their_turn():
    """Two members walk through the same three states, one of them after a lost turn: by the number of
    the turn it looks better than its like, by the state it does not."""
    rewards = [[0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0]]
    states = [["a", "b", "c"], ["lost", "a", "b", "c"]]
    by_turn = advantages(rewards, credit="turn", baseline="mean", gamma=0.5)
    assert by_turn[1][2] != 0
    by_state = advantages(rewards, credit="gigpo", baseline="mean", gamma=0.5, states=states)
    assert flat(by_state) == [[0.0] * 3, [0.0] * 4]


def shown(policy, *turns, stop="success"):
    """An episode of answers to what was shown."""
    conversation, made = Conversation(policy, Limits(max_new_tokens=10)), []
    for text, picture, facts, answer in turns:
        conversation.observe(text, picture)
        conversation.act(answer, [-0.5] * len(answer), [-0.5] * len(answer))
        made.append(Turn(0.0, None, "", facts))
    return Trajectory(conversation, "", 0, 0, 0, made, stop=stop)


def test_a_state_is_what_the_world_showed_unless_it_names_it(tiny):
    red, blue = (np.full((28, 28, 3), value, np.uint8) for value in ((255, 0, 0), (0, 0, 255)))
    end = [tiny.chat_format.stop_id]
    episode = shown(
        tiny,
        ("look", red, {}, end),
        ("look", None, {}, end),  # the same picture
        ("look", blue, {}, end),
        ("see", None, {}, end),
        ("look", red, {"state_key": [1, 2]}, end),
        ("see", blue, {"state_key": [1, 2]}, end),
    )
    a, b, c, d, e, f = episode.states()
    assert a == b
    assert len({a, c, d, e}) == 4
    assert e == f


def test_pictures_of_other_shapes_are_other_states(tiny):
    """Defect: they were compared by their bytes alone, as by an engine that reads a prompt for several."""
    end = [tiny.chat_format.stop_id]
    wide, high = np.zeros((28, 56, 3), np.uint8), np.zeros((56, 28, 3), np.uint8)
    first, second = shown(tiny, ("look", wide, {}, end), ("look", high, {}, end)).states()
    assert first != second


def test_what_a_limit_ended_is_told_from_what_the_world_ended(tiny):
    end = tiny.chat_format.stop_id
    whole, part = ("look", None, {}, [5, end]), ("look", None, {}, [5, 5])
    assert not shown(tiny, whole).cut
    assert not shown(tiny, part, whole).cut  # it went on
    assert shown(tiny, whole, part).cut
    assert shown(tiny, whole, stop="out_of_turns").cut
    assert shown(tiny, whole, stop="out_of_tokens").cut


def test_what_limits_cut_is_not_learnt_from_and_counts_in_its_group(tiny):
    end = tiny.chat_format.stop_id
    good, bad, cut = (shown(tiny, ("look", None, {}, ids)) for ids in ([5, end], [9, end], [5, 5]))
    good.turns[0] = Turn(1.0, None, "")
    by_episode = {"credit": "episode", "baseline": "mean"}
    everything = credited([good, bad, cut], by_episode)
    masked = credited([good, bad, cut], by_episode, mask_cut=True)
    assert [e.advantages.tolist() for e in masked] == [
        e.advantages.tolist() for e in everything[:2]
    ]
    assert masked[0].advantages == pytest.approx([2 / 3])
    assert credited([cut, cut], by_episode, mask_cut=True) == []


def test_answers_near_their_limit_cost(tiny):
    """DAPO's formula by hand: a limit of 10, a band of 4 before it, a penalty of 2."""
    lengths = [5, 6, 7, 9, 10]
    episodes = [shown(tiny, ("look", None, {}, [5] * n)) for n in lengths]
    shaped = with_length_penalty(episodes, band=0.4, penalty=2.0)
    assert [t.total_reward for t in shaped] == pytest.approx([0, 0, -0.5, -1.5, -2.0])
    assert [t.total_reward for t in episodes] == [0] * 5
    with pytest.raises(ValueError, match="band=0"):
        with_length_penalty(episodes, band=0.0)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"credit": "turns"}, "'turn'"),
        ({"baseline": "sdt"}, "'std'"),
        ({"gamma": 1.1}, "gamma"),
        ({"gamma": 0.9}, "credit=turn or gigpo"),  # it was ignored
        ({"weight": 0.5}, "is of credit=gigpo"),
        ({"credit": "gigpo"}, "needs `states`"),
    ],
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


@given(
    st.lists(st.booleans(), min_size=2, max_size=9),
    st.floats(-5, 5),
    st.floats(0.5, 10),
)
def test_against_the_lowest_two_outcomes_count_as_0_and_1_whatever_they_are_worth(
    solved, worst, more
):
    """Defect: over the mean itself, groups of negative returns taught nothing, and those near 0 all."""
    worth = [[worst + more * success] for success in solved]
    share = sum(solved) / len(solved)
    there = {True: 1 / share - 1 if share else 0.0, False: -1.0 if share and share < 1 else 0.0}
    wanted = [[there[success]] for success in solved]
    assert np.allclose(flat(advantages(worth, baseline="lowest")), wanted)
