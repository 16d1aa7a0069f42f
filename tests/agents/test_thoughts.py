"""Chat formats that drop earlier thoughts: kept as they were, or stripped with the template's own tokens."""

from types import SimpleNamespace

import pytest
import torch
from transformers import AutoTokenizer

from agents.chat_format import ChatFormat
from agents.conversation import Conversation, Limits
from agents.engines import Request, written
from agents.engines.base import GREEDY
from agents.engines.hf import HFEngine
from agents.engines.openai import words
from agents.self_check import own_inputs
from envs.paths import data_folder
from envs.shown import Briefing
from envs.tools import write_call
from tests.agents.test_briefing import LOOK, WITH_TOOLS, rendered, with_template

STRIP = Limits(thoughts="strip", max_new_tokens=12)
SAID = ["<think>\n12 and 7\n</think>\n\n19", "22", "<think>\nup\n</think>\n\n30"]
ASKED = ["What is 12 + 7?", "And 3 more?", "And 8 more?", "Thanks."]
BEGINS = """\
{%- for m in messages -%}
{%- set said = m.content.split('</think>')[-1].lstrip('\\n') if m.role == 'assistant' else m.content -%}
{{- '<|im_start|>' + m.role + '\\n' + said + '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n<think>\\n' -}}{%- endif -%}
"""
"""As the models have it that begin every answer with a thought."""
STEPS = """\
{%- set last = namespace(at=-1) -%}
{%- for m in messages if m.role == 'user' -%}{%- set last.at = messages.index(m) -%}{%- endfor -%}
{%- if tools -%}
{{- '<|im_start|>system\\n' -}}
{%- for tool in tools -%}{{- tool | tojson -}}{%- endfor -%}
{{- '<|im_end|>\\n' -}}
{%- endif -%}
{%- for m in messages -%}
{%- if m.role == 'assistant' -%}
{%- set parts = m.content.split('</think>') -%}
{{- '<|im_start|>assistant\\n' -}}
{%- if parts | length > 1 and loop.index0 > last.at -%}
{{- '<think>\\n' + parts[0].split('<think>')[-1].strip('\\n') + '\\n</think>\\n\\n' -}}
{%- endif -%}
{{- parts[-1].lstrip('\\n') -}}
{%- for call in m.tool_calls -%}
{{- '<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' -}}
{{- (call.function.arguments | tojson) + '}\\n</tool_call>' -}}
{%- endfor -%}
{{- '<|im_end|>\\n' -}}
{%- elif m.role == 'tool' -%}
{{- '<|im_start|>user\\n<tool_response>\\n' + m.content + '\\n</tool_response><|im_end|>\\n' -}}
{%- else -%}
{{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""
"""As Qwen3's: thoughts since the last message that was no tool's result are kept, earlier ones dropped."""
BEGUN_STEPS = STEPS.replace(
    "'<|im_start|>assistant\\n' -}}{%- endif", "'<|im_start|>assistant\\n<think>\\n' -}}{%- endif"
)
TALK = [
    ("user", "What is in it?", "open it first"),
    ("tool", "A key.", "look closer"),
    ("tool", "A small key.", None),
    ("user", "And in the other?", "as before"),
    ("tool", "Nothing.", "empty"),
    ("user", "Thanks.", None),
    ("user", "Bye.", None),
]
"""Who speaks, what is said, and what the agent thinks of it."""


def of_text(template):
    """What a conversation needs of a model."""
    tokenizer = AutoTokenizer.from_pretrained(data_folder("assets") / "tiny-vlm")
    return with_template(SimpleNamespace(processor=tokenizer, pictures=None), template)


def at_once(tokenizer, turns):
    """The whole rendered by the template, and tokenized as one."""
    messages = []
    for number in range(turns):
        messages.append({"role": "user", "content": ASKED[number]})
        if number + 1 < turns:
            messages.append({"role": "assistant", "content": SAID[number]})
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def talked(model, limits):
    conversation = Conversation(model, limits)
    for asked, said in zip(ASKED, SAID, strict=False):
        assert conversation.observe(asked)
        conversation.say(said)
    assert conversation.observe(ASKED[-1])
    return conversation


def test_stripped_conversations_are_the_template_rendered_at_once(policies):
    """Defect: thoughts of earlier turns stayed, which the model was trained never to see."""
    policy = policies["qwen3"]
    conversation = Conversation(policy, STRIP)
    for turn, asked in enumerate(ASKED):
        assert conversation.observe(asked)
        assert conversation.ids == at_once(policy.processor, turn + 1), f"turn {turn}"
        if turn < len(SAID):
            conversation.say(SAID[turn])
    assert conversation.opened == 2  # of three answers two had a thought


def test_kept_conversations_only_grow(policies):
    conversation = talked(policies["qwen3"], Limits())
    assert conversation.opened == 0
    for said in SAID:
        assert said in policies["qwen3"].processor.decode(conversation.ids)


@pytest.mark.parametrize("thoughts", ["strip", "keep"])
def test_a_template_that_begins_answers_with_a_thought(policies, thoughts):
    """Defect: refused, since an earlier turn lacks what the last one begins with."""
    tokenizer = policies["qwen2"].processor
    own = tokenizer.chat_template
    tokenizer.chat_template = BEGINS
    try:
        model = SimpleNamespace(chat_format=ChatFormat(tokenizer), pictures=None)
        conversation = talked(model, Limits(thoughts=thoughts))
        stripped = at_once(tokenizer, len(ASKED))
    finally:
        tokenizer.chat_template = own
    assert (conversation.ids == stripped) is (thoughts == "strip")
    assert conversation.opened == (len(SAID) if thoughts == "strip" else 0)


def test_every_answer_is_learnt_from_as_what_was_shown(policies):
    """Each window is scored as it was when its answer was chosen, thoughts of that answer included."""
    policy = policies["qwen3"]
    policy.model.eval()
    conversation = talked(policy, STRIP)
    with torch.no_grad():
        scores = policy.score([conversation]).log_probs
        own = []
        for window in conversation.windows():
            logits = policy.model(**own_inputs(policy, window.ids, [])).logits[0, :-1]
            chosen = torch.from_numpy(window.chosen())[1:]
            ids = torch.tensor(window.ids)[1:]
            own.append(torch.log_softmax(logits, -1).gather(-1, ids[:, None])[:, 0][chosen])
    assert len(scores) == sum(len(policy.chat_format.answer(said)) for said in SAID)
    assert torch.allclose(scores, torch.cat(own), atol=1e-4)


def test_the_engine_goes_on_in_the_stripped_conversation(policies):
    policy = policies["qwen3"]
    policy.model.eval()
    engine = HFEngine(policy)
    conversation = Conversation(policy, STRIP)
    conversation.observe(ASKED[0])
    written(engine, [Request(conversation, 0, GREEDY, 4)])  # the cache holds what is then dropped
    conversation.say(SAID[0])
    conversation.observe(ASKED[1])
    request = Request(conversation, 0, GREEDY, 12)
    [sample], [fresh] = (written(e, [request]) for e in (engine, HFEngine(policy)))
    assert sample.ids == fresh.ids


def test_pictures_stay_where_they_are(policies):
    from tests.agents.test_conversation import picture

    policy = policies["qwen3_vl"]
    kept, stripped = (Conversation(policy, Limits(thoughts=t)) for t in ("keep", "strip"))
    for conversation in (kept, stripped):
        conversation.observe("Look.", picture(0))
        conversation.say("forward()")
        conversation.observe("And here?", picture(1))
    assert kept.ids == stripped.ids  # this template drops nothing
    assert stripped.opened == 0


def test_another_word_is_refused():
    with pytest.raises(ValueError, match="keep or strip"):
        Limits(thoughts="drop")


@pytest.mark.parametrize("history", [None, 2])
@pytest.mark.parametrize("begun", [False, True])
def test_thoughts_are_kept_while_only_tools_answer(begun, history):
    """Defect: what the agent thought was dropped at a tool's result, where the model is trained to see it
    until the next message of a user. The ids are always those of the template rendered at once."""
    policy = of_text(BEGUN_STEPS if begun else STEPS)
    assert policy.chat_format.takes_tools
    limits = Limits(thoughts="strip", max_new_tokens=12, history=history)
    conversation, messages = Conversation(policy, limits), []
    for role, said, thought in TALK:
        assert conversation.observe(
            said, tool="look" if role == "tool" else "", briefing=Briefing(tools=(LOOK,))
        )
        messages.append({"role": role, "content": said})
        if history is None:
            assert conversation.ids == rendered(policy, messages, tools=[LOOK.declared()])
        answer = write_call("look", at=said)
        whole = answer if thought is None else f"<think>\n{thought}\n</think>\n\n{answer}"
        if begun:
            whole = f"<think>\n{thought or 'well'}\n</think>\n\n{answer}"
        conversation.say(whole.removeprefix("<think>\n") if begun else whole)
        messages.append({"role": "assistant", "content": whole})
    text = policy.chat_format.text(conversation.ids)
    assert "closer" not in text
    assert "as before" not in text
    if history is None:
        assert conversation.opened == (3 if begun else 2)  # where a user speaks after thoughts


def test_a_template_that_drops_thoughts_at_once_is_followed_too():
    """Its own way with tools is asked for, and no other's."""
    dropping = WITH_TOOLS.replace(
        "+ said(message.content) + '<|im_end|>\\n' -}}\n{%- endif",
        "+ said(message.content).split('</think>')[-1].lstrip('\\n') + '<|im_end|>\\n' -}}\n{%- endif",
    )
    policy = of_text(dropping)
    conversation, messages = Conversation(policy, STRIP), []
    for role, said in (("user", "Look."), ("tool", "Blue."), ("tool", "Red.")):
        conversation.observe(said, tool=role.removeprefix("user"), briefing=Briefing(tools=(LOOK,)))
        messages.append({"role": role, "content": said})
        assert conversation.ids == rendered(policy, messages, tools=[LOOK.declared()])
        whole = f"<think>\nup\n</think>\n\n{write_call('look')}"
        conversation.say(whole)
        messages.append({"role": "assistant", "content": whole})
    assert conversation.opened == 2


def test_an_endpoint_drops_thoughts_itself():
    """Defect: a conversation of words alone could not be told to."""
    conversation = Conversation(words(), STRIP)
    for said in ASKED:
        conversation.observe(said)
        conversation.say(SAID[0])
    assert conversation.opened == 0
