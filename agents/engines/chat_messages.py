"""A conversation in the words of chat endpoints, and an endpoint's reply as an answer's text.

    chat_messages(conversation, system)  the messages: roles, texts, pictures
    declared(conversation)               the request's field `tools`, where the world declares some
    answer_text(message)                 what the endpoint's message says

An endpoint gives calls of tools apart from the text; here they are the end of the answer, in the form of
envs/tools.py. The other way round, a call that a tool has answered is told as a call, and its result as one.
"""

from __future__ import annotations

import json
from typing import Any

from PIL import Image as PILImage

from agents.conversation import Conversation, Message
from agents.engines.web import data_url
from envs.tools import BEGIN, END, Call, read_call


def chat_messages(conversation: Conversation, system: str | None = None) -> list[dict[str, Any]]:
    """`system` is said where the world has no system prompt of its own."""
    system = conversation.briefing.system or system
    out: list[dict[str, Any]] = [] if system is None else [{"role": "system", "content": system}]
    for number, (message, answer) in enumerate(conversation.shown()):
        if message.tool and out:
            out += _result(conversation, message, out.pop(), f"call_{number}")
        else:
            out.append({"role": "user", "content": _content(message.text, message)})
        if answer is not None:
            out.append({"role": "assistant", "content": answer.text})
    return out


def declared(conversation: Conversation) -> dict[str, Any]:
    tools = conversation.briefing.tools
    return {"tools": [tool.declared() for tool in tools]} if tools else {}


def answer_text(message: dict[str, Any]) -> str:
    content = message["content"] if "tool_calls" not in message else message.get("content")
    if isinstance(content, list):  # as some endpoints have it, thoughts apart
        content = "".join(part["text"] for part in content if part["type"] == "text")
    parts = [content] if isinstance(content, str) and content else []
    for call in message.get("tool_calls") or ():
        name, said = json.dumps(call["function"]["name"]), call["function"]["arguments"]
        said = said if isinstance(said, str) else json.dumps(said)
        parts.append(f'{BEGIN}\n{{"name": {name}, "arguments": {said or "{}"}}}\n{END}')
    return "\n".join(parts)


def _result(
    conversation: Conversation, message: Message, called: dict[str, Any], number: str
) -> list[dict[str, Any]]:
    """The call and its result; pictures come after it, since results are text alone there."""
    text = str(called.get("content"))
    call = read_call(text, conversation.briefing.tools)
    if not isinstance(call, Call):
        return [called, {"role": "user", "content": _content(message.text, message)}]
    function = {"name": call.name, "arguments": json.dumps(call.arguments)}
    said: list[dict[str, Any]] = [
        {
            "role": "assistant",
            "content": text.partition(BEGIN)[0].strip() or None,
            "tool_calls": [{"id": number, "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": number, "content": message.text},
    ]
    if message.images:
        said.append({"role": "user", "content": _content("", message)})
    return said


def _content(text: str, message: Message) -> Any:
    """Text alone, or pictures and the text."""
    if not message.images:
        return text
    parts: list[dict[str, Any]] = [
        {"type": "image_url", "image_url": {"url": data_url(PILImage.fromarray(image))}}
        for image in message.images
    ]
    return [*parts, {"type": "text", "text": text}] if text else parts
