"""A world as plain data, which every protocol passes on, and a world as TRL plays it."""

import base64
import inspect
import io
from enum import StrEnum

import gymnasium
import numpy as np
import pytest
from PIL import Image

from envs import Outcome, Scene, Tool, World
from envs.protocols.session import Session, SessionError
from envs.trl import environment_factory

GP = "amft/GeneralPoints-v0"
TEXT = {"modality": "text"}


def test_a_task_is_the_instance_of_its_number():
    session, env = Session(GP, TEXT), gymnasium.make(GP, split="id", **TEXT)
    for index in (0, 7):
        shown = session.reset(split="id", index=index)
        assert shown["text"] == env.reset(seed=index)[0]["text"]
        assert (shown["done"], shown["reward"], shown["image"]) == (False, 0.0, None)
    shown = session.answer(session.expert())
    assert (shown["verdict"], shown["reward"], shown["done"]) == ("correct", 5.0, True)
    assert (shown["success"], shown["ended_by"]) == (True, "success")


def test_a_reset_without_a_split_is_of_the_sessions_own():
    """Defect: the split of an evaluation stayed, so that a client trained on its tasks."""
    own = gymnasium.make(GP, split="train", **TEXT)
    session = Session(GP, {"split": "train", **TEXT})
    session.reset(split="id", index=3)
    session.splits()  # which leaves the episode as it is
    assert session.answer(session.expert())["success"]
    assert session.reset(seed=7)["text"] == own.reset(seed=7)[0]["text"]


def test_pictures_come_when_they_are_new():
    session = Session(GP, {"size": [84, 84]})
    shown = session.reset(seed=1)
    picture = Image.open(io.BytesIO(base64.b64decode(shown["image"])))
    env = gymnasium.make(GP, size=(84, 84))
    assert np.array_equal(np.asarray(picture), env.reset(seed=1)[0]["image"])
    assert session.answer("1+1")["image"] is None
    assert session.pictures()[0].size == (84, 84)


def test_splits_are_those_that_can_be_made():
    assert {"train", "ood_large", "ood_fake"} <= set(Session(GP, TEXT).splits())
    assert "ood_large" not in Session(GP).splits()
    assert gymnasium.make("amft/Math-v0").unwrapped.splits == ("train", "id", "ood_hard")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"split": "nowhere"}, "'nowhere'"),
        ({"seed": 1, "index": 2}, "give one of them"),
        ({"seed": -1}, "whole number"),
        ({"seed": "1"}, "whole number"),
    ],
)
def test_what_can_not_be_done_is_told(asked, words):
    with pytest.raises(SessionError, match=words):
        Session(GP, TEXT).reset(**asked)


def test_answers_outside_of_an_episode_are_told():
    session = Session(GP, {**TEXT, "attempts": 1})
    with pytest.raises(SessionError, match="reset first"):
        session.answer("1")
    session.reset(seed=0)
    assert session.answer("1")["done"]
    with pytest.raises(SessionError, match="reset first"):
        session.answer("1")


def test_a_world_that_can_not_be_made_is_told_at_once():
    for world in ("amft/Nothing-v0", "nowhere:my/World-v0", "CartPole-v1"):
        with pytest.raises(SessionError, match=world.split(":")[0].split("-")[0]):
            Session(world).reset(seed=0)
        with pytest.raises(SessionError):
            environment_factory(world)
    # A file that is not there was a traceback in `python -m envs.serve`.
    with pytest.raises(SessionError, match="no such folder of card pictures"):
        Session(GP, {"deck": "no/such/folder"}).reset(seed=0)
    with pytest.raises(ValueError, match="'wins'"):
        environment_factory(GP, reward="wins")


class Endless(World):
    """Goes on until whoever registered it says stop. The tool is named with an episode."""

    verdicts = StrEnum("Verdict", ["noted"])

    def begin(self, rng, options):
        self.tools = (Tool("look", "Looks around."),)
        return Scene("Begin.")

    def respond(self, text):
        return Outcome(self.verdicts.noted, float(text), Scene("On."))


gymnasium.register("tests/Endless-v0", Endless, max_episode_steps=2)


def test_the_time_limit_of_a_world_holds_in_a_session():
    """Defect: wrappers that a world is registered with were taken off, so that served episodes had no end."""
    session = Session("tests/Endless-v0")
    session.reset(seed=0)
    assert not session.answer("1")["done"]
    shown = session.answer("1")
    assert (shown["done"], shown["ended_by"], shown["success"]) == (True, "out_of_steps", False)


def test_a_reward_that_is_no_number_is_told():
    """Defect: JSON made null of it, which the other side takes for 0."""
    session = Session("tests/Endless-v0")
    session.reset(seed=0)
    with pytest.raises(SessionError, match="reward is no finite number: nan"):
        session.answer("nan")


def test_trl_tells_tools_that_come_with_an_episode():
    """Defect: a model was never told of tools that a world's `begin` declares."""
    environment = environment_factory("tests/Endless-v0")()
    told = environment.reset(seed=0)
    assert '"name": "look"' in told
    assert told.endswith("Begin.")
    assert environment.answer("1") == "On."


@pytest.mark.parametrize("name", ["reset", "get_reward", "_look"])
def test_trl_refuses_tools_by_names_that_it_keeps(monkeypatch, name):
    """Defect: a world's tool `reset` took the place of TRL's, and each episode ended in a TypeError."""
    monkeypatch.setattr(Endless, "tools", (Tool(name, "Looks around."),))
    with pytest.raises(ValueError, match=f"tool {name}: TRL .*rename"):
        environment_factory("tests/Endless-v0")


def test_trl_sees_one_tool_with_its_words():
    """TRL reads tools off the class: names, hints and the docstring; anything public would be one."""
    make = environment_factory(GP, split="train", attempts=2, **TEXT)
    public = {n for n, _ in inspect.getmembers(make, inspect.isfunction) if not n.startswith("_")}
    assert public == {"reset", "answer", "get_reward"}
    assert make.__name__ == "GeneralPoints"
    assert "Args:\n            text:" in make.answer.__doc__


def test_members_of_a_group_play_one_instance():
    make = environment_factory(GP, split="train", attempts=2, **TEXT)
    one, other = make(), make()
    assert one.reset(seed=3, prompt="ignored") == other.reset(seed=3) != other.reset(seed=4)
    assert "left" in one.answer("1+1")
    assert "ended" in one.answer("1+1")
    assert one.answer("1+1").startswith("The episode has ended")
    assert one.get_reward() == -4.0
    one.reset(seed=3)
    assert one.get_reward() == 0.0


def test_pictures_are_content_blocks():
    environment = environment_factory(GP, size=(84, 84), reward="success")()
    picture, text = environment.reset(seed=3)
    assert (picture["type"], text["type"]) == ("image", "text")
    assert picture["image"].size == (84, 84)
    assert isinstance(environment.answer("1+1"), str)  # the picture is the one of before
    environment.answer(environment._session.expert())
    assert environment.get_reward() == 1.0
