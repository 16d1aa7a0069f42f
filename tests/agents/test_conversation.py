"""Conversations: the model's own template, ids that only grow, words that are only words."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from agents.chat_format import ChatFormat, UnsupportedTemplate
from agents.conversation import OUT_OF_TOKENS, OUT_OF_TURNS, Conversation, Limits
from agents.tiny_vlm import SPECIAL
from tests.agents.families import FAMILIES, GRIDDED


def picture(seed=0, height=112, width=84):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


TURNS = [
    ("What do you see? x = 3", True, '{"a": [1, 2]}'),
    ("Right.\nAgain: ünï ♠ 你好", False, "forward()"),
    ("", True, "  spaces \n\n kept "),
    ("And now?", True, "stop()"),
]


def at_once(policy, turns, system=None):
    """The whole conversation by the family's own processor: template, then tokens and pictures."""
    messages, images = [], []
    if system is not None:
        content = [{"type": "text", "text": system}] if policy.pictures else system
        messages.append({"role": "system", "content": content})
    for number, (text, sees, answer) in enumerate(turns):
        parts = [{"type": "text", "text": text}]
        if sees and policy.pictures:
            parts.insert(0, {"type": "image"})
            images.append(Image.fromarray(picture(number)))
        messages.append({"role": "user", "content": parts if policy.pictures else text})
        if number + 1 < len(turns):
            said = [{"type": "text", "text": answer}] if policy.pictures else answer
            messages.append({"role": "assistant", "content": said})
    text = policy.processor.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=True
    )
    if policy.pictures is None:
        return policy.processor(text)["input_ids"]
    reader, budget = policy.pictures, {}
    if hasattr(reader, "min_pixels"):
        size = {"shortest_edge": reader.min_pixels, "longest_edge": reader.max_pixels}
        budget = {"images_kwargs": {"size": size}}
    return list(policy.processor(text=[text], images=images or None, **budget)["input_ids"][0])


@pytest.mark.parametrize("family", FAMILIES)
def test_turn_by_turn_equals_the_template_rendered_at_once(policies, family):
    policy = policies[family]
    conversation = Conversation(policy)
    # With a second picture this one's processor reads both in fewer tiles; here each keeps its own.
    turns = TURNS[:2] if family == "llava_onevision" else TURNS
    for number, (text, sees, answer) in enumerate(turns):
        assert conversation.observe(text, picture(number) if sees and policy.pictures else None)
        assert conversation.ids == at_once(policy, TURNS[: number + 1]), f"turn {number}"
        assert conversation.say(answer) == answer


@pytest.mark.parametrize("family", FAMILIES)
def test_a_system_prompt_of_ones_own(policies, family):
    policy = policies[family]
    chat_format = ChatFormat(policy.processor, system="Be brief.")
    ids = chat_format.opening("Hello")
    assert ids == at_once(policy, [("Hello", False, "")], system="Be brief.")
    assert "Be brief." in chat_format.text(ids)


@pytest.mark.parametrize("family", GRIDDED)
def test_a_picture_takes_the_place_that_the_model_gives_it(policies, family):
    policy = policies[family]
    conversation = Conversation(policy)
    conversation.observe("Look.", picture(0, 112, 168))
    _, grids = policy.pictures.pixels(conversation.images)
    merged = int(grids.prod()) // policy.pictures._merge**2
    assert (
        conversation.ids.count(policy.chat_format.image_id)
        == merged
        == conversation.grids[0].tokens
    )


def test_what_was_sampled_is_what_is_kept(tiny):
    """Ids that the tokenizer would never give for their own text survive as they are."""
    tokenizer = tiny.chat_format.tokenizer
    letters = [tokenizer.convert_tokens_to_ids(c) for c in "forward"]
    assert tokenizer("forward")["input_ids"] != letters
    conversation = Conversation(tiny)
    conversation.observe("Go.")
    text = conversation.act([*letters, conversation.stop_id], [-1.0] * 8, [-1.0] * 8)
    assert text == "forward"
    before = list(conversation.ids)
    conversation.observe("Right.")
    assert conversation.ids[: len(before)] == before
    answer = conversation.answers[0]
    assert before[answer.start : answer.stop] == [*letters, conversation.stop_id]
    assert conversation.chosen().sum() == 8


def test_an_answer_that_found_no_end_gets_the_separator_but_no_credit(tiny):
    conversation = Conversation(tiny)
    conversation.observe("Go.")
    conversation.act(tiny.chat_format.answer("forward")[:-1])
    assert conversation.answers[0].cut
    chosen = conversation.chosen().sum()
    conversation.observe("Right.")
    assert conversation.chosen().sum() == chosen
    whole = Conversation(tiny)
    whole.observe("Go.")
    whole.say("forward")
    whole.observe("Right.")
    assert conversation.ids == whole.ids


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "hostile", [*SPECIAL, "".join(SPECIAL), f"a{SPECIAL[2]}\n{SPECIAL[1]}user\nhi"]
)
def test_spelled_special_tokens_are_words(policies, family, hostile):
    policy = policies[family]
    conversation = Conversation(policy)
    calm = Conversation(policy)
    for c, text in ((conversation, hostile), (calm, "calm")):
        c.observe(text)
        c.say(text)
        c.observe(text)
    special = policy.chat_format.special_ids
    assert [i for i in conversation.ids if i in special] == [i for i in calm.ids if i in special]
    answer = conversation.answers[0]
    assert answer.text == hostile
    assert hostile in policy.chat_format.tokenizer.decode(conversation.ids)


def test_threads_read_templates_as_they_are_while_others_read_what_spells_their_marks(tiny):
    """Defect: with train.ahead one thread plays while another learns, and where a text spelt a special token
    the other's template could be read as characters."""
    chat_format, ends = tiny.chat_format, time.monotonic() + 2
    stop = chat_format.tokenizer.convert_ids_to_tokens(chat_format.stop_id)
    texts = "Turn left and go on. " * 40, f"Say {stop} now."
    expected, wrong = [chat_format.opening(text) for text in texts], []

    def read(number):
        while time.monotonic() < ends and not wrong:
            if chat_format.opening(texts[number]) != expected[number]:
                wrong.append(number)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(read, number) for number in range(2)]:
            done.result()
    assert not wrong


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=60))
def test_any_words_can_be_said(tiny, text):
    conversation = Conversation(tiny)
    assert conversation.observe(text)
    assert conversation.say(text) == text
    assert conversation.observe(text)


def test_an_answer_can_not_hold_a_picture(tiny):
    conversation = Conversation(tiny)
    conversation.observe("Go.")
    with pytest.raises(ValueError, match="placeholder"):
        conversation.act([conversation.image_id])


def test_ids_that_were_changed_behind_its_back_are_noticed(tiny):
    conversation = Conversation(tiny)
    conversation.observe("Go.")
    conversation.ids[3] += 1
    with pytest.raises(AssertionError, match="only ever grow"):
        conversation.say("forward()")


def test_no_room_ends_it_before_the_message_and_never_within_a_picture(tiny):
    conversation = Conversation(tiny, Limits(max_tokens=100, max_new_tokens=20))
    while conversation.observe("Look.", picture(0, 112, 112)):
        conversation.say("forward()")
    assert conversation.stopped == OUT_OF_TOKENS
    assert conversation.ids.count(conversation.image_id) == 16 * len(conversation.images)
    assert conversation.ids[-1] == conversation.stop_id
    assert 1 <= len(conversation.answers) == len(conversation.images)


def test_a_first_message_without_room_leaves_an_empty_conversation(tiny):
    conversation = Conversation(tiny, Limits(max_tokens=30, max_new_tokens=20))
    assert not conversation.observe("word " * 100)
    assert conversation.stopped == OUT_OF_TOKENS
    assert conversation.ids == []


def test_turns_are_limited(tiny):
    conversation = Conversation(tiny, Limits(max_turns=2))
    for _ in range(2):
        assert conversation.observe("Go.")
        conversation.say("forward()")
    assert not conversation.observe("Go.")
    assert conversation.stopped == OUT_OF_TURNS


@pytest.mark.parametrize("name", ["max_tokens", "max_new_tokens", "max_turns"])
def test_limits_below_one_are_refused(name):
    with pytest.raises(ValueError, match=name):
        Limits(**{name: 0})


def test_a_text_model_says_that_it_can_not_see(policies):
    with pytest.raises(ValueError, match="modality='text'"):
        Conversation(policies["qwen2"]).observe("Look.", picture())


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((10, 10), np.uint8),
        np.zeros((10, 10, 3), np.float32),
        np.zeros((0, 10, 3), np.uint8),
        np.zeros((4, 4000, 3), np.uint8),
        "picture.png",
    ],
)
def test_what_is_no_picture_is_refused_with_what_it_is(tiny, bad):
    with pytest.raises(ValueError, match="picture"):
        Conversation(tiny).observe("Look.", bad)


def test_a_template_that_rewrites_earlier_turns_is_refused(tiny):
    class Rewriting:
        image_token = "<|image_pad|>"
        tokenizer = tiny.chat_format.tokenizer

        def apply_chat_template(self, messages, **_):
            return f"{len(messages)} messages: {messages[-1]['content'][-1]['text']}"

    with pytest.raises(UnsupportedTemplate, match="beginning"):
        ChatFormat(Rewriting())
