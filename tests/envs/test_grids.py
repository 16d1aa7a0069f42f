"""`amft/FrozenLake-v0` and `amft/Sokoban-v0`: lakes and rooms that can be won, divided by their layout."""

import json

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from envs.grids import frozen_lake, sokoban
from envs.grids.sokoban import MOVES, Room, moved_to, solution

WORLDS = {
    "amft/FrozenLake-v0": frozen_lake.SPLITS,
    "amft/Sokoban-v0": sokoban.SPLITS,
}
EVERY = [(world, split) for world, splits in WORLDS.items() for split in splits]


def make(world, modality="text", **arguments):
    return gymnasium.make(world, modality=modality, **arguments)


def layout(text):
    """The drawn grid of an observation."""
    return [row.split(" ") for row in text.splitlines()[3:]]


@pytest.mark.parametrize("modality", ["text", "visual"])
@pytest.mark.parametrize("world", WORLDS)
def test_gymnasium_accepts_it(world, modality):
    check_env(make(world, modality, render_mode="rgb_array").unwrapped)


@pytest.mark.parametrize(("world", "split"), EVERY)
def test_the_expert_wins_but_where_the_ice_is_slippery(world, split):
    env, won = make(world, split=split), 0
    for seed in range(15):
        _, info = env.reset(seed=seed)
        total = 0.0
        while not info["ended_by"]:
            _, reward, _, _, info = env.step(env.unwrapped.expert())
            total += reward
        won += info["success"]
        if world == "amft/Sokoban-v0":
            assert total > 10 - 0.1 * sokoban.LONGEST
    assert won == 15 or (split == "ood_slippery" and won > 0)


@pytest.mark.parametrize("world", WORLDS)
def test_training_and_evaluation_share_no_layout(world):
    def dealt(split):
        env = make(world, split=split)
        return {str(layout(env.reset(seed=seed)[0]["text"])) for seed in range(150)}

    assert not dealt("train") & dealt("id")


@pytest.mark.parametrize("world", WORLDS)
def test_one_seed_decides_everything(world):
    first, second = make(world, "visual"), make(world, "visual")
    for seed in range(5):
        (one, _), (other, _) = first.reset(seed=seed), second.reset(seed=seed)
        assert np.array_equal(one["image"], other["image"])
        assert np.array_equal(first.step("up")[0]["image"], second.step("up")[0]["image"])


def test_splits_change_size_boxes_and_words():
    lake, room = "amft/FrozenLake-v0", "amft/Sokoban-v0"
    assert len(layout(make(lake).reset(seed=0)[0]["text"])) == 4
    assert len(layout(make(lake, split="ood_size").reset(seed=0)[0]["text"])) == 6
    assert "slippery" in make(lake, split="ood_slippery").reset(seed=0)[0]["text"]
    assert len(layout(make(room, split="ood_size").reset(seed=0)[0]["text"])) == 8
    two = layout(make(room, split="ood_boxes").reset(seed=0)[0]["text"])
    assert sum(row.count("B") for row in two) == 2
    env = make(room, split="ood_words")
    text = env.reset(seed=0)[0]["text"]
    assert "3 is left" in text
    assert "Actions: 1, 2, 3, 4." in text
    assert json.loads(env.unwrapped.expert())["action"] in "1234"
    assert env.step("up")[4]["verdict"] == "not_an_action"


def test_walls_hold_and_boxes_are_pushed_one_at_a_time():
    floor = frozenset((1, j) for j in range(1, 6))
    room = Room(floor, frozenset({(1, 5)}))
    right, left = MOVES.index((0, 1)), MOVES.index((0, -1))
    pushed = moved_to(room, (1, 1), frozenset({(1, 2)}), right)
    assert pushed == ((1, 2), frozenset({(1, 3)}))
    assert moved_to(room, (1, 1), frozenset({(1, 2), (1, 3)}), right) is None
    assert moved_to(room, (1, 4), frozenset({(1, 5)}), right) is None
    assert moved_to(room, (1, 1), frozenset(), left) is None
    assert moved_to(room, (1, 2), frozenset({(1, 3)}), left) == ((1, 1), frozenset({(1, 3)}))
    assert solution(room, (1, 1), frozenset({(1, 2)})) == (right,) * 3
    assert solution(room, (1, 3), frozenset({(1, 2)})) is None  # it can not get behind the box


def test_a_box_pays_once_and_costs_when_it_leaves():
    env = make("amft/Sokoban-v0", split="ood_boxes", max_steps=100)
    for seed in range(30):
        _, info = env.reset(seed=seed)
        rewards, stored = [], [0]
        while not info["ended_by"]:
            _, reward, _, _, info = env.step(env.unwrapped.expert())
            rewards.append(reward)
            stored.append(info["game"]["stored"])
        gains = np.diff(stored) - 0.1
        gains[-1] += 10
        assert rewards == pytest.approx(gains)


def test_rooms_that_cannot_be_are_said_and_not_waited_for(monkeypatch):
    """Defect: the reset never came back."""
    monkeypatch.setattr(sokoban, "_TRIES", 200)
    env = make("amft/Sokoban-v0", length=5, boxes=3, split="ood_boxes")
    with pytest.raises(
        ValueError, match=r"5 x 5 with 4 boxes.*in 200 tries; choose a larger length"
    ):
        env.reset(seed=0)


def test_an_episode_has_an_end():
    env = make("amft/FrozenLake-v0", max_steps=3)
    env.reset(seed=0)
    for _ in range(2):
        assert env.step("left")[4]["ended_by"] is None
    assert env.step("left")[4]["ended_by"] == "out_of_steps"


@pytest.mark.parametrize(
    ("world", "arguments", "words"),
    [
        ("amft/FrozenLake-v0", {"split": "ood"}, "split"),
        ("amft/FrozenLake-v0", {"length": 2}, "length=2"),
        ("amft/FrozenLake-v0", {"max_steps": 0}, "max_steps=0"),
        ("amft/FrozenLake-v0", {"max_steps": "ten"}, "max_steps='ten'"),  # raised in every episode
        ("amft/Sokoban-v0", {"boxes": 0}, "boxes=0"),
        ("amft/Sokoban-v0", {"modality": "sound"}, "modality"),
        ("amft/Sokoban-v0", {"max_steps": 0}, "max_steps=0"),
    ],
)
def test_a_bad_argument_is_named(world, arguments, words):
    with pytest.raises(ValueError, match=words):
        gymnasium.make(world, **arguments)
