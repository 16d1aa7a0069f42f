"""Several pictures in a message, a world's own system prompt, and its tools: as the template wants them."""

import copy
import json
import pickle
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from agents.chat_format import ChatFormat
from agents.conversation import Conversation, Limits
from agents.demonstrations import Demonstration, Demonstrations, pictures_in, recorded, write_part
from agents.engines.chat_messages import answer_text, chat_messages, declared
from agents.engines.hf import HFEngine
from agents.engines.openai import words
from agents.experts import demonstrate
from agents.rollout import Plan, play
from agents.worlds import World, Worlds, settled
from envs.guard import GuardedEnv
from envs.shown import Briefing
from envs.tools import Tool, in_words, write_call
from tests.agents.families import FAMILIES, MESSAGES, PARTS, SEEING, marked
from tests.agents.test_conversation import picture

ROOT = Path(__file__).resolve().parents[2]
LOOK = Tool("look", "Looks.", {"type": "object", "properties": {"at": {"type": "string"}}})
BRIEFED = Briefing("Be brief.", (LOOK,))
WITH_TOOLS = (
    PARTS
    + """\
{%- if tools -%}
{{- '<|im_start|>system\\n' + (said(messages[0].content) if messages[0].role == 'system' else 'Hi.') -}}
{{- '\\n<tools>' -}}{%- for tool in tools -%}{{- '\\n' + (tool | tojson) -}}{%- endfor -%}
{{- '\\n</tools><|im_end|>\\n' -}}
{%- endif -%}
"""
    + MESSAGES.replace(
        "{%- for message in messages -%}",
        """\
{%- for message in messages -%}
{%- if message.role == 'tool' -%}
{{- '<|im_start|>user\\n<tool_response>\\n' + said(message.content) + '\\n</tool_response><|im_end|>\\n' -}}
{%- elif message.tool_calls -%}
{%- for call in message.tool_calls -%}
{{- '<|im_start|>assistant\\n<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' -}}
{{- (call.function.arguments | tojson) + '}\\n</tool_call><|im_end|>\\n' -}}
{%- endfor -%}
{%- elif not (tools and message.role == 'system') -%}""",
    ).replace("{%- endfor -%}\n{%- if add", "{%- endif -%}\n{%- endfor -%}\n{%- if add")
)
"""As Qwen's own templates treat tools."""
DRAWERS = "two_drawers:examples/TwoDrawers-v0"


def with_template(policy, template):
    """The same model with another chat template."""
    processor = copy.copy(policy.processor)
    processor.chat_template = template
    return SimpleNamespace(chat_format=ChatFormat(processor), pictures=policy.pictures)


def rendered(policy, messages, images=(), **more):
    """The ids of the template rendered at once."""
    processor = policy.chat_format._template
    text = processor.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=True, **more
    )
    if policy.pictures is None:
        return processor(text)["input_ids"]
    reader, budget = policy.pictures, {}
    if hasattr(reader, "min_pixels"):
        size = {"shortest_edge": reader.min_pixels, "longest_edge": reader.max_pixels}
        budget = {"images_kwargs": {"size": size}}
    pictures = [Image.fromarray(image) for image in images] or None
    return list(processor(text=[text], images=pictures, **budget)["input_ids"][0])


def message(policy, role, text, count=0):
    if policy.pictures is None:
        return {"role": role, "content": text}
    return {"role": role, "content": [{"type": "image"}] * count + [{"type": "text", "text": text}]}


# One processor reads several pictures in fewer tiles; here each keeps its own.
@pytest.mark.parametrize("family", [f for f in SEEING if f != "llava_onevision"])
def test_several_pictures_are_as_the_template_writes_them(policies, family):
    policy = policies[family]
    images = [picture(0), picture(1, 56, 140), picture(2, 84, 84)]
    conversation = Conversation(policy)
    conversation.observe("Which?", images[:2], briefing=Briefing("Be brief."))
    messages = [message(policy, "system", "Be brief."), message(policy, "user", "Which?", 2)]
    assert conversation.ids == rendered(policy, messages, images[:2])
    conversation.say("the first")
    conversation.observe("And this?", images[2:])
    messages += [message(policy, "assistant", "the first"), message(policy, "user", "And this?", 1)]
    assert conversation.ids == rendered(policy, messages, images)
    assert [grid.tokens for grid in conversation.grids] == [
        policy.pictures.measure(image).tokens for image in images
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_tools_are_given_to_a_template_that_takes_them(policies, family):
    policy = with_template(policies[family], marked(WITH_TOOLS, family))
    assert policy.chat_format.takes_tools
    images = [picture(3), picture(4)] if policy.pictures else []
    images = images[: 1 if family == "llava_onevision" else 2]  # as above
    conversation = Conversation(policy)
    conversation.observe("Look.", briefing=BRIEFED)
    call = write_call("look", at="sky")
    assert conversation.say(call) == call
    conversation.observe("Blue.", images, tool="look")
    messages = [
        message(policy, "system", "Be brief."),
        message(policy, "user", "Look."),
        message(policy, "assistant", call),
        message(policy, "tool", "Blue.", len(images)),
    ]
    assert conversation.ids == rendered(policy, messages, images, tools=[LOOK.declared()])
    assert "<tool_response>" in conversation._chat_format.text(conversation.ids)


@pytest.mark.parametrize("family", FAMILIES)
def test_other_templates_are_told_of_tools_in_words(policies, family):
    policy = policies[family]
    assert not policy.chat_format.takes_tools
    told, plain = Conversation(policy), Conversation(policy)
    told.observe("Look.", briefing=BRIEFED)
    plain.observe(f"{in_words([LOOK])}\n\nLook.", briefing=Briefing("Be brief."))
    assert told.ids == plain.ids
    for conversation, tool in ((told, "look"), (plain, "")):
        conversation.say(write_call("look"))
        conversation.observe("Blue.", tool=tool)
    assert told.ids == plain.ids


def test_a_template_without_system_prompts_has_it_before_the_first_message(policies):
    refusing = "{%- if messages[0].role == 'system' -%}{{ raise_exception('none') }}{%- endif -%}"
    policy = with_template(policies["qwen2"], refusing + PARTS + MESSAGES)
    told, plain = Conversation(policy), Conversation(policy)
    told.observe("Hi.", briefing=Briefing("Be brief."))
    plain.observe("Be brief.\n\nHi.")
    assert told.ids == plain.ids


def test_what_a_world_tells_is_data(policies):
    """Marks in a system prompt stay words; in a declaration, which the template writes, they are refused."""
    policy = with_template(policies["qwen2"], WITH_TOOLS)
    conversation = Conversation(policy)
    conversation.observe("Hi.", briefing=Briefing("a <|im_end|> b"))
    clean = Conversation(policy)
    clean.observe("Hi.", briefing=Briefing("a b"))
    end = policy.chat_format.stop_id
    assert conversation.ids.count(end) == clean.ids.count(end)
    with pytest.raises(ValueError, match="special tokens"):
        Conversation(policy).observe("Hi.", briefing=Briefing("", (Tool("x", "<|im_end|>"),)))


def test_a_window_keeps_the_pictures_of_its_turns(tiny):
    conversation = Conversation(tiny, Limits(history=1))
    shown = [
        [picture(0), picture(1)],
        [],
        [picture(2)],
        [picture(3), picture(4, 84, 84)],
        [picture(5)],
    ]
    for turn, images in enumerate(shown):
        conversation.observe(f"turn {turn}", images)
        conversation.say("go")
    for window in conversation.windows():
        tokens = sum(grid.tokens for grid in window.grids)
        assert window.ids.count(conversation.image_id) == tokens
        assert [g.tokens for g in window.grids] == [
            tiny.pictures.measure(i).tokens for i in window.images
        ]
    assert len(conversation.windows()) > 1


@pytest.fixture
def drawers(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "examples" / "two_drawers")
    return World(DRAWERS)


def test_demonstrations_keep_all_that_was_shown(drawers, tiny, tmp_path):
    """Through the file and back, the ids are those of the episode as it was played."""
    made = demonstrate(GuardedEnv(drawers.make), drawers, seed=3)
    write_part(tmp_path, 0, [made])
    [read] = Demonstrations(tmp_path)
    assert (read.system, read.tools, read.tool_of) == (made.system, made.tools, ["", "open_drawer"])
    assert [len(message.images) for message, _ in read.turns()] == [2, 1]
    one, other = made.conversation(tiny), read.conversation(tiny)
    assert one.ids == other.ids
    assert len(one.answers) == 2
    assert all(np.array_equal(a, b) for a, b in zip(one.images, other.images, strict=True))


@pytest.mark.parametrize(
    ("first", "count", "places"),
    [
        ([0, -1, 2], 3, [[0, 1], [], [2]]),
        ([0, 0], 1, [[0], [0]]),
        ([-1, -1], 0, [[], []]),
        ([], 2, []),
        ([0, 1], 4, [[0], [1, 2, 3]]),
    ],
)
def test_which_pictures_are_of_which_message(first, count, places):
    assert [list(found) for found in pictures_in(first, count)] == places


def test_pictures_that_are_not_there_are_told():
    with pytest.raises(ValueError, match="picture_of has 3"):
        list(Demonstration("one", ["a"], ["b"], picture_of=[3]).turns())


def test_an_agent_plays_and_what_it_played_is_scored_as_it_was_sampled(drawers, tiny):
    worlds = Worlds(drawers, 4)
    seen = settled(worlds.reset(0, 1))
    assert len(seen.images) == 2
    assert pickle.loads(pickle.dumps(seen)).briefing == seen.briefing  # it may come from a process
    plan = Plan(tasks=2, group=2, limits=Limits(max_new_tokens=8))
    episodes = play(worlds, tiny, HFEngine(tiny), plan)
    worlds.close()
    for episode in episodes:
        assert not episode.failed
        assert episode.stop == "out_of_attempts"
        assert len(episode.conversation.images) == 2
        row = recorded(episode, drawers)
        assert (
            row.conversation(tiny).ids[: len(episode.conversation.ids) // 2]
            == (episode.conversation.ids[: len(episode.conversation.ids) // 2])
        )
    scores = tiny.score([episode.conversation for episode in episodes])
    sampled = [p for e in episodes for answer in e.conversation.answers for p in answer.log_probs]
    assert np.allclose(scores.log_probs.detach().numpy(), sampled, atol=1e-4)


def test_an_endpoint_has_tools_of_its_own():
    conversation = Conversation(words())
    conversation.observe("Look.", [picture(0), picture(1)], briefing=BRIEFED)
    reply = {
        "content": "I look.",
        "tool_calls": [{"function": {"name": "look", "arguments": '{"at": "sky"}'}}],
    }
    said = answer_text(reply)
    assert said == "I look.\n" + write_call("look", at="sky")
    conversation.say(said)
    conversation.observe("Blue.", picture(2), tool="look")
    conversation.say("no call at all")
    conversation.observe("Call a tool: look.")
    assert declared(conversation) == {"tools": [LOOK.declared()]}
    told = chat_messages(conversation, "unused")
    roles = ["system", "user", "assistant", "tool", "user", "assistant", "user"]
    assert [m["role"] for m in told] == roles
    assert [part["type"] for part in told[1]["content"]] == ["image_url", "image_url", "text"]
    [call] = told[2]["tool_calls"]
    assert (told[2]["content"], json.loads(call["function"]["arguments"])) == (
        "I look.",
        {"at": "sky"},
    )
    assert told[3] == {"role": "tool", "tool_call_id": call["id"], "content": "Blue."}
    assert [part["type"] for part in told[4]["content"]] == ["image_url"]
    assert answer_text({"content": None}) == ""
    assert chat_messages(Conversation(words()), None) == []


def test_an_answer_in_parts_is_one_text():
    """Defect: where an endpoint gives its words as a list of parts, the answer was empty."""
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    parts = [thought, {"type": "text", "text": "It "}, {"type": "text", "text": "is 7."}]
    assert answer_text({"content": parts}) == "It is 7."
