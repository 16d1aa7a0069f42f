"""Plain Gymnasium games as worlds. Gymnasium's own pictures need pygame; its texts do not."""

import importlib.util
import re

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.adapters import DiscreteGame, GameVerdict, best_actions, read_action
from envs.contract import EndedBy

ON_ICE = ("left", "down", "right", "up")
needs_pygame = pytest.mark.skipif(
    importlib.util.find_spec("pygame") is None, reason="Gymnasium draws these games with pygame"
)


@pytest.fixture(autouse=True)
def _no_window(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")


def make(game="FrozenLake-v1", modality="text", **arguments):
    if game.startswith("FrozenLake"):
        arguments.setdefault("is_slippery", False)
    return gymnasium.make("amft/Discrete-v0", game=game, modality=modality, **arguments)


def play_expert(env, seed):
    observation, info = env.reset(seed=seed)
    while not info["ended_by"]:
        observation, _, terminated, truncated, info = env.step(env.unwrapped.expert())
        assert terminated or truncated or not info["ended_by"]
    return observation, info


class Corridor(gymnasium.Env):
    """Shows itself by its observations; its actions are -1 (back), 0 (stay), 1 (ahead)."""

    action_space = spaces.Discrete(3, start=-1)

    def __init__(self, shape=(8, 8, 3)):
        self.observation_space = spaces.Box(0, 255, shape, np.uint8)
        self.moves = []

    def _look(self):
        return np.full(self.observation_space.shape, 10 * self.at, np.uint8)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = (options or {}).get("at", 2)
        return self._look(), {"at": self.at}

    def step(self, action):
        self.moves.append(action)
        self.at += action
        over = self.at in (0, 4)
        return self._look(), float(self.at == 4), over, False, {"at": self.at}


GAMES = ["FrozenLake-v1", "CliffWalking-v1"]


@pytest.mark.parametrize("game", GAMES)
@pytest.mark.parametrize("modality", ["text", pytest.param("visual", marks=needs_pygame)])
def test_games_that_gymnasium_ships(game, modality):
    env = make(game, modality, render_mode="rgb_array")
    check_env(env.unwrapped)
    for seed in range(3):
        observation, info = play_expert(env, seed)
        assert info["success"]
        assert info["ended_by"] is EndedBy.SUCCESS
    assert ("image" in observation) == (modality == "visual")
    assert env.render().shape == (540, 960, 3)


@needs_pygame
def test_pictures_move_and_can_be_resized():
    env = make(modality="visual", size=(112, 84))
    before = env.reset(seed=0)[0]["image"]
    after, *_, info = env.step('{"action": "right"}')
    assert before.shape == after["image"].shape == (112, 84, 3)
    assert (before != after["image"]).any()
    assert info["new_image"]


def test_the_text_says_where_you_are():
    env = make()
    observation, _ = env.reset(seed=0)
    assert "Actions: left, down, right, up." in observation["text"]
    assert observation["text"].endswith("[S]FFF\nFHFH\nFFFH\nHFFG")
    observation, *_ = env.step("down")
    assert observation["text"].endswith("SFFF\n[F]HFH\nFFFH\nHFFG")


def test_the_taxi_tells_apart_its_passenger_and_the_goal():
    text = make("Taxi-v4").reset(seed=3)[0]["text"].split("wall.")[1]
    assert len(re.findall(r"\[.\]", text)) == 1
    assert len(re.findall(r"\(.\)", text)) == 1
    assert len(re.findall(r"<.>", text)) == 1
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ('{"action": "down"}', 1),
        ("I think:\n```json\n{'action': 'Right',}\n```", 2),
        ('{"action": 3}', 3),
        ('{"action": "3"}', 3),
        ("up", 3),
        ("Up.", 3),
        ("The lake is icy.\nAction: left", 0),
        ("2", 2),
        ("left()", 0),
        ('{"action": "jump"}', None),
        ('{"action": null}', None),
        ('{"action": ["left"]}', None),
        ('{"move": "left"}', None),
        ("left or right", None),
        ("4", None),
        ("-1", None),
        ("", None),
    ],
)
def test_reading_an_action(text, action):
    assert read_action(text, ON_ICE) == action


def test_names_that_are_numbers_are_names():
    """Of the actions -1, 0 and 1 the answer 0 did -1, which is at place 0."""
    assert [read_action(text, ["-1", "0", "1"]) for text in ("-1", "0", "1", "2")] == [0, 1, 2, 2]
    # As a command line gives them, they raised AttributeError.
    env = make(action_names=[1, 2, 3, 4])
    assert "Actions: 1, 2, 3, 4." in env.reset(seed=0)[0]["text"]
    assert env.step("4")[4]["action"] == "4"


@settings(max_examples=500, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_any_string_is_a_legal_action(text):
    env = DiscreteGame(Corridor(), mistakes=1)
    env.reset(seed=0)
    assert env.step(text)[4]["verdict"] in GameVerdict
    env.reset(seed=0)
    assert env.step(f'{{"action": "{text}"}}')[4]["verdict"] in GameVerdict


def test_the_game_stands_still_when_no_action_is_named():
    game = Corridor()
    env = DiscreteGame(game, action_names=["back", "stay", "ahead"], unreadable_reward=-0.5)
    first, _ = env.reset(seed=0)
    observation, reward, terminated, _, info = env.step("whatever")
    assert info["verdict"] is GameVerdict.NOT_AN_ACTION
    assert (reward, terminated, info["new_image"]) == (-0.5, False, False)
    assert "Actions: back, stay, ahead." in info["feedback"]
    assert np.array_equal(observation["image"], first["image"])
    assert game.moves == []


def test_so_many_mistakes_in_a_row_end_the_episode():
    env = DiscreteGame(Corridor(), mistakes=2)
    env.reset(seed=0)
    for answer in ("?", "action 1", "?"):
        *_, terminated, _, info = env.step(answer)
        assert not terminated
    *_, terminated, _, info = env.step("?")
    assert terminated
    assert info["ended_by"] is EndedBy.OUT_OF_ATTEMPTS


def test_names_start_where_the_action_space_does():
    game = Corridor()
    env = DiscreteGame(game, action_names=["back", "stay", "ahead"])
    env.reset(seed=0)
    env.step("back")
    env.step("stay")
    env.step("ahead")
    assert game.moves == [-1, 0, 1]


@pytest.mark.parametrize("shape", [(8, 8, 3), (8, 8, 1), (8, 8)])
def test_image_observations_need_no_rendering(shape):
    env = DiscreteGame(Corridor(shape))
    observation, info = env.reset(seed=0, options={"at": 3})
    assert observation["image"].shape == (8, 8, 3)
    assert (observation["image"] == 30).all()
    assert info["game"] == {"at": 3}


@pytest.mark.parametrize(
    ("success", "move", "ended_by"),
    [
        ("reward", "ahead", EndedBy.SUCCESS),
        ("reward", "back", EndedBy.FAILURE),
        ("end", "back", EndedBy.SUCCESS),
        ("last", "ahead", EndedBy.FAILURE),
        (lambda reward, by_itself: reward == 0.0, "back", EndedBy.SUCCESS),
    ],
)
def test_what_success_is(success, move, ended_by):
    env = DiscreteGame(Corridor(), action_names=["back", "stay", "ahead"], success=success)
    env.reset(seed=0)
    env.step(move)
    *_, info = env.step(move)
    assert info["ended_by"] is ended_by
    assert info["success"] == (ended_by is EndedBy.SUCCESS)


@pytest.mark.parametrize(
    ("success", "truncates", "ended_by"),
    [("reward", True, EndedBy.OUT_OF_STEPS), ("last", False, EndedBy.SUCCESS)],
)
def test_a_time_limit(success, truncates, ended_by):
    game = gymnasium.wrappers.TimeLimit(Corridor(), 2)
    env = DiscreteGame(game, action_names=["back", "stay", "ahead"], success=success)
    env.reset(seed=0)
    assert env.step("stay")[4]["ended_by"] is None
    _, _, terminated, truncated, info = env.step("stay")
    assert (terminated, truncated) == (not truncates, truncates)
    assert info["ended_by"] is ended_by


def test_the_expert_of_slippery_ice_is_the_known_best():
    """Planning on the slippery 4 x 4 lake reaches the goal in about 82 % of the episodes."""
    env = gymnasium.make("FrozenLake-v1", max_episode_steps=5_000)
    policy = best_actions(env.unwrapped.P)
    wins = 0.0
    for seed in range(300):
        state, _ = env.reset(seed=seed)
        done = False
        while not done:
            state, reward, terminated, truncated, _ = env.step(policy[state])
            done = terminated or truncated
        wins += reward
    assert 0.74 < wins / 300 < 0.9


def test_games_without_a_table_have_no_expert():
    env = DiscreteGame(Corridor())
    env.reset(seed=0)
    with pytest.raises(NotImplementedError, match="Corridor"):
        env.expert()


def test_one_seed_decides_everything():
    plays = []
    for _ in range(2):
        env = make(is_slippery=True)
        texts = [env.reset(seed=5)[0]["text"]]
        for action in ("right", "down", "right", "left", "down"):
            observation, _, terminated, truncated, _ = env.step(action)
            texts.append(observation["text"])
            if terminated or truncated:
                break
        plays.append(texts)
    assert plays[0] == plays[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"modality": "sound"}, ["modality='sound'", "'visual'"]),
        ({"action_names": ["a", "b"]}, ["action_names", "4 different names"]),
        ({"action_names": ["a", "A", "b", "c"]}, ["4 different names"]),
        ({"action_names": "ldru"}, ["action_names='ldru'", "4 different names"]),
        ({"success": "win"}, ["success='win'", "'reward'"]),
        ({"mistakes": 0}, ["mistakes=0"]),
        ({"game": "CartPole-v1"}, ["'ansi'", "CartPole-v1 offers"]),
        ({"game": "Pendulum-v1", "modality": "visual"}, ["Discrete"]),
        ({"action_names": 5}, ["action_names=5", "4 different names"]),
        ({"is_slipery": False}, ["no argument is_slipery", "Did you mean 'is_slippery'"]),
        ({"game": "FrozenLak-v1"}, ["game='FrozenLak-v1' cannot be made", "FrozenLake"]),
    ],
)
def test_bad_arguments_are_named(arguments, words):
    """Of what a game takes, too: an argument that it does not know was a TypeError."""
    with pytest.raises(ValueError) as caught:
        make(**arguments)
    for word in words:
        assert word in str(caught.value)
