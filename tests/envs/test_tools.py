"""Tools: what is a call and what is none, told apart without ever raising; and the example that uses them."""

import json
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from envs import BadCall, Call, Scene, Tool, World, read_call, write_call
from envs.guard import GuardedEnv
from envs.image import Pictures, side_by_side
from envs.play import ask_expert, play
from envs.protocols.session import Session
from envs.shown import shown
from envs.tools import in_words
from envs.trl import environment_factory

ROOT = Path(__file__).resolve().parents[2]
LOOK = Tool(
    "look",
    "Shows a drawer.",
    {
        "type": "object",
        "properties": {
            "drawer": {"type": "string", "enum": ["left", "right"]},
            "closely": {"type": "integer", "minimum": 1},
        },
        "required": ["drawer"],
    },
)
STOP = Tool("stop", "Ends it.")
WEIGH = Tool("weigh", "", {"type": "object", "properties": {"grams": {"multipleOf": 0.1}}})
DRAWERS = "two_drawers:examples/TwoDrawers-v0"


@pytest.fixture
def drawers(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "examples" / "two_drawers")
    return gymnasium.make(DRAWERS, render_mode="rgb_array")


def having(argument):
    return {"type": "object", "properties": {"x": argument}}


def wrapped(said):
    return f"<tool_call>\n{said}\n</tool_call>"


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        (write_call("look", drawer="left"), {"drawer": "left"}),
        (
            "I look.\n" + write_call("look", drawer="right", closely=2),
            {"drawer": "right", "closely": 2},
        ),
        (
            '<tool_call>{"arguments": {"drawer": "left"}, "name": "look"}</tool_call> \n',
            {"drawer": "left"},
        ),
    ],
)
def test_a_call_is_read_as_it_was_written(text, arguments):
    assert read_call(text, [LOOK, STOP]) == Call("look", arguments)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "no_call"),
        ('{"name": "look", "arguments": {"drawer": "left"}}', "no_call"),
        (write_call("look", drawer="left") * 2, "several_calls"),
        (write_call("look", drawer="left") + " and so on", "unreadable_call"),
        ('<tool_call>{"name": "look", "arguments": {"drawer": "left"}}', "unreadable_call"),
        (wrapped("{'name': 'look'}"), "unreadable_call"),
        (wrapped('{"name": "look"}'), "unreadable_call"),
        (
            wrapped('{"name": "look", "arguments": {"drawer": "left"}, "more": 1}'),
            "unreadable_call",
        ),
        (wrapped('{"name": "look", "name": "stop", "arguments": {}}'), "unreadable_call"),
        (wrapped('{"name": "stop", "arguments": NaN}'), "unreadable_call"),
        (wrapped("[" * 100_000), "unreadable_call"),
        (
            wrapped('{"name": "stop", "arguments": ' + "[" * 985 + "]" * 985 + "}"),
            "unreadable_call",
        ),
        (wrapped('{"arguments": {}, "name": ' + "[" * 985 + "]" * 985 + "}"), "unreadable_call"),
        (wrapped('{"name": "stop", "arguments": ' + "9" * 6000 + "}"), "unreadable_call"),
        (wrapped("x" * 30_000), "unreadable_call"),
        (
            wrapped('{"name": "look", "arguments": {"drawer": "left", "closely": 1e999}}'),
            "unreadable_call",
        ),
        (wrapped('{"name": "look", "arguments": {"drawer": "\\ud800"}}'), "unreadable_call"),
        (
            wrapped('{"name": "weigh", "arguments": {"grams": ' + "9" * 999 + "}}"),
            "wrong_arguments",
        ),
        (write_call("fly"), "unknown_tool"),
        (wrapped('{"name": ["look"], "arguments": {}}'), "unknown_tool"),
        (write_call("look"), "wrong_arguments"),
        (write_call("look", drawer="up"), "wrong_arguments"),
        (write_call("look", drawer="left", closely="2"), "wrong_arguments"),
        (write_call("look", drawer="left", why="so"), "wrong_arguments"),
        (write_call("stop", now=True), "wrong_arguments"),
        (wrapped('{"name": "stop", "arguments": []}'), "wrong_arguments"),
    ],
)
def test_whatever_is_wrong_with_a_call_has_its_name(text, fault):
    found = read_call(text, [LOOK, STOP, WEIGH])
    assert isinstance(found, BadCall)
    assert found.fault == fault
    assert found.message


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"name": "a b"}, "name"),
        ({"description": "no name"}, "declared by name"),
        ({"name": "look", "parameters": {"type": "string"}}, "object"),
        ({"name": "look", "parameters": {"type": "object", "x": {1, 2}}}, "JSON"),
        # These raised in the middle of an episode, when the tool was called.
        ({"name": "look", "parameters": having({"pattern": "("})}, "no JSON schema"),
        ({"name": "look", "parameters": having({"minimum": "1"})}, "no JSON schema"),
        ({"name": "look", "parameters": having({"$ref": "#/nope"})}, "leads nowhere"),
        # These were fetched from wherever they lead, or raised there.
        ({"name": "look", "parameters": having({"$dynamicRef": "http://host/x"})}, "dynamicRef"),
        ({"name": "look", "parameters": having({"$id": "http://e/x", "$ref": "#/a"})}, r"\$id"),
        (7, "declared by name"),
    ],
)
def test_a_tool_that_is_none_is_told(declared, words):
    with pytest.raises(ValueError, match=words):
        Tool.of(declared)


@pytest.mark.parametrize(
    "info",
    [{"system": "\ud800"}, {"tool": "\ud800"}, {"tools": [{"name": "a", "description": "\ud800"}]}],
)
def test_half_a_character_is_told(info):
    """Defect: a tokenizer or an endpoint got it, and the whole run ended."""
    with pytest.raises(ValueError, match="surrogates"):
        shown({"text": "Hi."}, info)


def test_a_schema_may_refer_to_its_own_parts():
    schema = having({"$ref": "#/$defs/side"}) | {"$defs": {"side": {"enum": ["left"]}}}
    tool = Tool("look", "", schema)
    assert read_call(write_call("look", x="left"), [tool]) == Call("look", {"x": "left"})
    assert read_call(write_call("look", x="up"), [tool]).fault == "wrong_arguments"


def test_patterns_of_others_are_not_run():
    """Defect: 25 letters kept this one busy for a second, and 40 for days."""
    schema = having({"type": "string", "pattern": r"^(\w|\w)*!$"})
    schema["properties"]["pattern"] = {"type": "integer"}  # a name, and no word of the schema
    said = write_call("look", x="a" * 60, pattern=1)
    schema["properties"]["z"] = {"enum": [{"pattern": "a"}], "$ref": "#/definitions/pattern"}
    schema["definitions"] = {"pattern": {"type": "object"}}
    tool = Tool.of_others({"name": "look", "parameters": schema})
    assert read_call(write_call("look", x="a", z={"pattern": "a"}), [tool]) == Call(
        "look", {"x": "a", "z": {"pattern": "a"}}
    )
    assert read_call(said, [tool]) == Call("look", {"x": "a" * 60, "pattern": 1})
    assert read_call(write_call("look", x=1), [tool]).fault == "wrong_arguments"
    assert tool.declared()["function"]["parameters"] == schema  # what the model reads is as it was
    free = {"type": "object", "patternProperties": {"^(a|a)*$": {"type": "integer"}}}
    of_others = Tool.of_others({"name": "look", "parameters": free})
    assert read_call(write_call("look", anything=1), [of_others]) == Call("look", {"anything": 1})
    own = Tool("look", "", having({"type": "string", "pattern": "^a$"}))
    assert read_call(write_call("look", x="b"), [own]).fault == "wrong_arguments"


def test_a_tool_is_the_same_after_its_declaration():
    assert Tool.of(LOOK.declared()) == Tool.of(LOOK.declared()["function"]) == LOOK
    assert json.dumps(LOOK.declared()["function"]) in in_words([LOOK, STOP])


def test_the_example_shows_pictures_and_tells_its_tools(drawers):
    observation, info = drawers.reset(seed=0)
    told = shown(observation, info)
    assert [picture.shape for picture in told.images] == [(56, 56, 3), (56, 112, 3)]
    assert told.briefing.system.startswith("You act by calling tools")
    assert [tool.name for tool in told.briefing.tools] == ["open_drawer", "take"]
    observation, *_, info = drawers.step(drawers.unwrapped.expert())
    told = shown(observation, info)
    assert (len(told.images), told.tool, info["verdict"]) == (1, "open_drawer", "opened")
    assert not {"system", "tools"} & info.keys()
    sizes = set()
    for seed in range(12):
        drawers.reset(seed=seed)
        sizes.add(drawers.step(write_call("open_drawer", drawer="left"))[0]["images"][0].shape)
    assert len(sizes) == 2
    assert drawers.render().shape == (540, 960, 3)


def test_the_expert_of_the_example_is_right(drawers):
    for seed in range(20):
        drawers.reset(seed=seed)
        for _ in range(2):
            _, reward, ended, _, info = drawers.step(drawers.unwrapped.expert())
        assert (reward, ended, info["success"]) == (1.0, True, True)


def test_bad_calls_are_verdicts_of_the_example(drawers):
    drawers.reset(seed=0)
    faults = ["left", write_call("take"), write_call("steal", drawer="left")]
    seen = [drawers.step(text) for text in faults]
    assert [info["verdict"] for *_, info in seen] == ["no_call", "wrong_arguments", "unknown_tool"]
    assert all(reward == -0.1 and not observation["images"] for observation, reward, *_ in seen)
    assert seen[-1][-1]["ended_by"] == "out_of_attempts"


def test_the_example_is_an_environment_like_others(drawers):
    check_env(drawers.unwrapped, skip_render_check=True)
    guarded = GuardedEnv(lambda: gymnasium.make(DRAWERS), seconds=60)
    observation, info = guarded.reset(seed=0)
    assert not info.get("error")
    assert len(observation["images"]) == 2


class Broken(World):
    def begin(self, rng, options):
        return Scene("look", images=[np.zeros((4, 4), np.uint8)])


def test_what_is_no_picture_is_told_with_its_world():
    with pytest.raises(ValueError, match="Broken: pictures are"):
        Broken(images=True).reset()
    with pytest.raises(ValueError, match="images=True"):
        Broken(images=True, image_size=(8, 8))


def test_pictures_of_any_size_fit_the_space():
    space = Pictures(seed=0)
    assert all(space.contains(space.sample()) for _ in range(5))
    assert space.contains([])
    assert not space.contains([np.zeros((4, 4, 3), np.float32)])
    assert not space.contains(np.zeros((2, 4, 4, 3), np.uint8))
    assert side_by_side([]) is None
    both = side_by_side([np.zeros((4, 6, 3), np.uint8), np.zeros((10, 2, 3), np.uint8)])
    assert both.shape == (10, 16, 3)


def test_a_session_tells_all_of_it(drawers):
    session = Session(DRAWERS)
    told = session.reset(seed=0)
    assert (len(told["images"]), told["image"]) == (2, None)
    assert [tool["function"]["name"] for tool in told["tools"]] == ["open_drawer", "take"]
    told = session.answer(session.expert())
    assert (len(told["images"]), told["tool"], told["tools"]) == (1, "open_drawer", [])
    assert told["image"] == told["images"][0]
    told = session.answer("nonsense")
    assert (told["images"], told["verdict"]) == ([], "no_call")


def test_trl_calls_the_worlds_own_tools(drawers):
    from transformers.utils import get_json_schema

    make = environment_factory(DRAWERS)
    schema = get_json_schema(make.take)["function"]
    assert (schema["name"], schema["description"]) == ("take", "Takes what is in a drawer.")
    drawer = schema["parameters"]["properties"]["drawer"]
    assert (drawer["type"], drawer["enum"]) == ("string", ["left", "right"])
    assert not hasattr(make, "answer")
    environment = make()
    *pictures, text = environment.reset(seed=0)
    assert (len(pictures), text["text"].startswith("You act by")) == (2, True)
    picture, text = environment.open_drawer(drawer="left")
    assert (picture["type"], text["text"]) == ("image", "The left drawer.")
    right = json.loads(environment._session.expert().split("\n")[1])["arguments"]["drawer"]
    assert "ended" in environment.take(right)
    assert environment.get_reward() == 1.0


def taking(monkeypatch, drawers, properties, required=("drawer",)):
    """The drawers' `take`, with more arguments."""
    drawer = {"drawer": {"type": "string", "enum": ["left", "right"]}}
    schema = {"type": "object", "properties": drawer | properties, "required": [*required]}
    take = Tool("take", "Takes what is in a drawer.", schema)
    monkeypatch.setattr(type(drawers.unwrapped), "tools", (take,))
    return environment_factory(DRAWERS)


def test_trl_has_arguments_of_any_legal_schema(drawers, monkeypatch):
    """Defect: an argument of several types ended in TypeError: unhashable, one of a boolean schema in
    AttributeError."""
    from transformers.utils import get_json_schema

    maybe = {
        "note": {"type": ["null", "string"]},
        "count": {"type": ["integer", "null"], "description": "How many."},
        "more": True,
        "never": False,
    }
    make = taking(monkeypatch, drawers, maybe, required=("drawer", "note"))
    told = get_json_schema(make.take)["function"]["parameters"]
    assert told["required"] == ["drawer", "note"]
    assert {name: schema["type"] for name, schema in told["properties"].items()} == {
        "drawer": "string",
        "note": "string",
        "count": "integer",
        "more": "object",
    }
    environment = make()
    environment.reset(seed=0)
    assert "ended" in environment.take("left", None, count=None)  # an argument that must be, null


@pytest.mark.parametrize("name", ["from", "max-price", "self", ""])
def test_trl_refuses_arguments_that_no_python_parameter_can_be_named_by(drawers, monkeypatch, name):
    """Defect: "'from' is not a valid parameter name", or "duplicate parameter name": no tool was named."""
    with pytest.raises(ValueError, match=rf"tool take: its argument '{name}' cannot be .*rename"):
        taking(monkeypatch, drawers, {name: {"type": "string"}})


def test_by_hand_one_sees_every_picture_and_the_tools(drawers, tmp_path):
    lines = []
    assert play(drawers, ask_expert, tmp_path, seed=0, episodes=1, say=lines.append) == 1
    assert {"turn_000_1.png", "turn_000_2.png", "turn_001.png"} <= {
        p.name for p in tmp_path.iterdir()
    }
    assert any("open_drawer" in line for line in lines)
