"""How a model writes conversations: its own chat template, rendered turn by turn, as token ids.

    opening(text, grids, briefing)  ids of the first message, up to where the model's answer begins
    following(text, grids, tool)    ids that follow an answer's stop token: the next message, up to its answer
    answer(text)                    ids of an answer that somebody else wrote, with the stop token

The template is read by rendering it with placeholders, so every family's own system prompt and
separators are kept, and opening + answer + following + ... equals the template rendered at once.
What is said is data: a text that spells special tokens is read as the plain characters it is made of.

A world's own system prompt takes the place of the family's, or stands before the first message where the
template has none. Its tools are given to the template (`tools=`), and their results are messages of the role
`tool`, where the template takes tools and writes calls in the form of envs/tools.py (`takes_tools`).
Otherwise they are told in words before the first message, and results are messages like others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from agents.pictures import Grid
from envs.shown import NO_BRIEFING, Briefing
from envs.tools import Tool, in_words, write_call

_SYSTEM, _USER, _ANSWER, _LATER = (
    f"\ue000{name}\ue000" for name in ("system", "first", "answer", "later")
)
"""Placeholders from Unicode's private area, which no template writes itself."""
_PROBE = Tool("probe", "A probe.", {"type": "object", "properties": {"x": {"type": "integer"}}})


class UnsupportedTemplate(ValueError):
    """A chat template whose conversations can not be written turn by turn."""


@dataclass(frozen=True)
class _Frame:
    """What a template writes around words: one piece before, between and after them."""

    pieces: tuple[str, ...]


class ChatFormat:
    """The conversations of one processor (models that see) or tokenizer (models of text alone)."""

    def __init__(self, processor: Any, system: str | None = None) -> None:
        """`system` replaces the template's own system prompt."""
        self._template = processor
        self.tokenizer = getattr(processor, "tokenizer", processor)
        self.sees = processor is not self.tokenizer
        self._system = system
        self.image_id: int | None = None
        self._image_token = ""
        if self.sees:
            self._image_token = processor.image_token
            self.image_id = self.tokenizer.convert_tokens_to_ids(self._image_token)
        self.special_ids = frozenset(
            number
            for number, token in self.tokenizer.added_tokens_decoder.items()
            if token.special or number == self.image_id
        )
        self._special = re.compile(
            "|".join(
                re.escape(token.content)
                for number, token in self.tokenizer.added_tokens_decoder.items()
            )
            or r"(?!)"
        )
        self._opening = lru_cache(maxsize=256)(self._derive_opening)
        self._following = lru_cache(maxsize=256)(self._derive_following)
        between = self._after_answer(())
        self.stop_id = self._stop_id(between)
        self._stop = self.tokenizer.convert_ids_to_tokens(self.stop_id)
        for count in (0, 1) if self.sees else (0,):  # a template that does not fit is told at once
            self._opening(count, False, "")
            self._following(count, False)

    def opening(
        self, text: str, grids: Sequence[Grid] = (), briefing: Briefing = NO_BRIEFING
    ) -> list[int]:
        self._check_pictures(grids)
        system, tools = briefing.system or self._system or "", ""
        if briefing.tools and self.takes_tools:
            tools = json.dumps([tool.declared() for tool in briefing.tools])
            if self._spells_marks(tools):
                raise ValueError("a tool's declaration spells one of the model's special tokens")
        elif briefing.tools:
            text = f"{in_words(briefing.tools)}\n\n{text}"
        if system and not self.takes_system:
            system, text = "", f"{system}\n\n{text}"
        frame = self._opening(len(grids), bool(system), tools)
        return self._encode(frame, [system, text] if system else [text], grids)

    def following(self, text: str, grids: Sequence[Grid] = (), tool: str = "") -> list[int]:
        self._check_pictures(grids)
        frame = self._following(len(grids), bool(tool) and self.takes_tools)
        return self._encode(frame, [text], grids)

    def answer(self, text: str) -> list[int]:
        return [*self._plain(text), self.stop_id]

    def text(self, ids: list[int]) -> str:
        """What an answer's ids say, without the stop token."""
        if ids and ids[-1] == self.stop_id:
            ids = ids[:-1]
        return self.tokenizer.decode(
            ids, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )

    @cached_property
    def takes_system(self) -> bool:
        """Whether the template has a place for a system prompt."""
        try:
            frame = self._render([self._message("user", _USER)], system=_SYSTEM)
        except Exception:  # templates raise whatever they like
            return False
        return 0 <= frame.find(_SYSTEM) < frame.find(_USER)

    @cached_property
    def takes_tools(self) -> bool:
        """Whether the template declares tools, writes calls as envs/tools.py does, and has results."""
        declared = [_PROBE.declared()]
        user, result = self._message("user", _USER), self._message("tool", _LATER)
        function = {"name": _PROBE.name, "arguments": {"x": 1}}
        call = self._message("assistant", "") | {
            "tool_calls": [{"type": "function", "function": function}]
        }
        try:
            opening = self._render([user], declared)
            called = self._render([user, call, result], declared)
            self._after_answer(declared, result)
        except Exception:  # as above
            return False
        known = _PROBE.description in opening and opening.count(_USER) == 1
        return known and write_call(_PROBE.name, x=1) in called and _LATER in called

    def _check_pictures(self, grids: Sequence[Grid]) -> None:
        if grids and not self.sees:
            raise ValueError(
                "this model reads text alone, but the world shows pictures: use modality='text' "
                "or a model that sees"
            )

    def _derive_opening(self, pictures: int, system: bool, tools: str) -> _Frame:
        """Of a first message with so many pictures; `tools` as JSON, "" for none."""
        declared = json.loads(tools) if tools else ()
        first = self._message("user", _USER, pictures)
        said = self._render([first], declared, _SYSTEM if system else None)
        pieces = re.split(f"({_SYSTEM}|{_USER})", said)
        if pieces[1::2] != ([_SYSTEM, _USER] if system else [_USER]):
            raise UnsupportedTemplate(f"the chat template changes a first message: {said!r:.400}")
        self._check_count(said, pictures)
        return _Frame(tuple(pieces[::2]))

    def _derive_following(self, pictures: int, result: bool) -> _Frame:
        """Of a later message with so many pictures, or of a tool's result."""
        if result:
            try:
                message = self._message("tool", _LATER, pictures)
                frame = self._between([_PROBE.declared()], message)
                self._check_count("".join(frame.pieces), pictures)
            except Exception:  # a template whose tools show no pictures
                return self._following(pictures, False)
            return frame
        frame = self._between((), self._message("user", _LATER, pictures))
        self._check_count("".join(frame.pieces), pictures)
        return frame

    def _between(self, tools: Sequence[Any], later: dict[str, Any]) -> _Frame:
        """What stands around a later message, after the stop token."""
        before, said, after = self._after_answer(tools, later).partition(_LATER)
        end = self._render([self._message("user", _USER)], tools).partition(_USER)[2]
        if not said or not after.endswith(end):
            raise UnsupportedTemplate(f"the chat template changes a later message: {before!r:.400}")
        return _Frame((before[len(self._stop) :], after))

    def _after_answer(self, tools: Sequence[Any], later: dict[str, Any] | None = None) -> str:
        """What a template writes after an answer, where it leaves all before as it was."""
        first, later = self._message("user", _USER), later or self._message("user", _LATER)
        opening = self._render([first], tools)
        both = self._render([first, self._message("assistant", _ANSWER), later], tools)
        if _USER not in opening or not both.startswith(opening + _ANSWER):
            raise UnsupportedTemplate(
                "the chat template writes an earlier turn otherwise than when it was the last one, "
                f"so a conversation's beginning would change: {opening!r:.200} is not the beginning "
                f"of {both!r:.400}"
            )
        return both[len(opening) + len(_ANSWER) :]

    def _check_count(self, said: str, pictures: int) -> None:
        if pictures and said.count(self._image_token) != pictures:
            raise UnsupportedTemplate(
                f"the chat template does not write {pictures} pictures in one message: {said!r:.400}"
            )

    def _message(self, role: str, text: str, pictures: int = 0) -> dict[str, Any]:
        return {"role": role, "content": self._content(text, pictures)}

    def _content(self, text: str, pictures: int) -> Any:
        if not self.sees:
            return text
        return [*([{"type": "image"}] * pictures), {"type": "text", "text": text}]

    def _render(
        self, messages: list[dict[str, Any]], tools: Sequence[Any] = (), system: str | None = None
    ) -> str:
        system = self._system if system is None else system
        if system is not None:
            messages = [self._message("system", system), *messages]
        return str(
            self._template.apply_chat_template(
                messages,
                tools=list(tools) or None,
                tokenize=False,
                add_generation_prompt=True,
            )
        )

    def _stop_id(self, between: str) -> int:
        match = self._special.match(between)
        if match is None:
            raise UnsupportedTemplate(f"no stop token ends an answer: {between!r:.100} follows it")
        return int(self.tokenizer.convert_tokens_to_ids(match.group()))

    def _spells_marks(self, text: str) -> bool:
        numbers = (self.tokenizer.convert_tokens_to_ids(m) for m in self._special.findall(text))
        return not self.special_ids.isdisjoint(numbers)

    def _encode(self, frame: _Frame, words: Sequence[str], grids: Sequence[Grid]) -> list[int]:
        first, *others = frame.pieces
        if any(map(self._special.search, words)):
            ids = self._raw(first)
            for word, piece in zip(words, others, strict=True):
                ids += [*self._plain(word), *self._raw(piece)]
        else:  # as one, so that the ids are those of the template rendered at once
            pairs = zip(words, others, strict=True)
            ids = self._raw(first + "".join(word + piece for word, piece in pairs))
        return self._spread(ids, iter(grids)) if grids else ids

    def _spread(self, ids: list[int], grids: Iterable[Grid]) -> list[int]:
        """Each picture's placeholder as often as it has tokens."""
        sizes = iter(grids)
        out: list[int] = []
        for number in ids:
            out += [number] * (next(sizes).tokens if number == self.image_id else 1)
        return out

    def _raw(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _plain(self, text: str) -> list[int]:
        """The ids of words that are only words."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)[
            "input_ids"
        ]
        if self.special_ids.isdisjoint(ids):
            return ids
        # A tokenizer that cannot be told: each special token's spelling is broken after one sign.
        pieces = self._special.sub(lambda m: f"{m.group()[0]}\0{m.group()[1:]}", text).split("\0")
        return [number for piece in pieces for number in self._raw(piece)]
