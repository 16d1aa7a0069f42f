"""How a model writes conversations: its own chat template, rendered turn by turn, as token ids.

    opening(text, grids, briefing)  ids of the first message, up to where the model's answer begins
    following(text, grids, tool)    ids that follow an answer's stop token: the next message, up to its answer
    answer(text)                    ids of an answer that somebody else wrote, with the stop token
    past(text, grids, answer, ...)  ids of a whole turn as the template writes it once it is an earlier one

The template is read by rendering it with placeholders, so every family's own system prompt and
separators are kept, and opening + answer + following + ... equals the template rendered at once.
Some templates write a turn otherwise once it is an earlier one, or once a message follows that is no tool's
result: they drop its thoughts, or what they had begun its answer with. What then becomes of a conversation is
the choice of its limits (keep or strip).
What is said is data: a text that spells special tokens is read as the plain characters it is made of.

A world's own system prompt takes the place of the family's, or stands before the first message where the
template has none. Its tools are given to the template (`tools=`), and their results are messages of the role
`tool`, where the template takes tools and writes calls in the form of envs/tools.py (`takes_tools`).
Otherwise they are told in words before the first message, and results are messages like others.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

from jinja2 import TemplateError

from agents.pictures import Grid
from envs.shown import NO_BRIEFING, Briefing
from envs.tools import Tool, in_words, write_call

_SYSTEM, _USER, _ANSWER, _LATER = (
    f"\ue000{name}\ue000" for name in ("system", "first", "answer", "later")
)
"""Placeholders from Unicode's private area, which no template writes itself."""
_UNLIKE = ("red 1", "2 blue")
"""Words that neither begin nor end alike."""
_PROBE = Tool("probe", "A probe.", {"type": "object", "properties": {"x": {"type": "integer"}}})


class UnsupportedTemplate(ValueError):
    """A chat template whose conversations can not be written turn by turn."""


@dataclass(frozen=True)
class _Frame:
    """What a template writes around words: one piece before, between and after them; `past` is what it
    writes in the place of the last one once these are of an earlier turn. `result`: they are a tool's."""

    pieces: tuple[str, ...]
    past: str
    result: bool = False

    def as_past(self, answer: str = "") -> _Frame:
        return replace(self, pieces=(*self.pieces[:-1], self.past + answer))


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
            self._image_token = processor.image_token  # as templates write it
            own = (getattr(processor, "image_token_ids", None) or [None])[0]
            self.image_id = own or self.tokenizer.convert_tokens_to_ids(self._image_token)
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
        self._around_answers = lru_cache(maxsize=2)(self._derive_around_answers)
        *_, between = self._around(self._message("user", _LATER))
        self.stop_id = self._stop_id(between)
        self._stop = self.tokenizer.convert_ids_to_tokens(self.stop_id)
        begins_answers = False  # in a way that the template does not keep
        for count in (0, 1) if self.sees else (0,):  # a template that does not fit is told at once
            opening, following = self._opening(count, False, ""), self._following(count, False)
            for frame in (opening, following):
                begins_answers |= not frame.past.startswith(frame.pieces[-1])
        plain = self._opening(0, False, "")
        self._before_answers = plain.pieces[-1]
        # What stands between, as a space, is the model's to write.
        self._lead = "" if begins_answers else plain.past[len(plain.pieces[-1]) :]

    def opening(
        self, text: str, grids: Sequence[Grid] = (), briefing: Briefing = NO_BRIEFING
    ) -> list[int]:
        self._check_pictures(grids)
        frame, words = self._first_frame(text, grids, briefing)
        return self._encode(frame, words, grids)

    def _first_frame(
        self, text: str, grids: Sequence[Grid], briefing: Briefing
    ) -> tuple[_Frame, list[str]]:
        """What stands around a first message, and the words in it."""
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
        return frame, [system, text] if system else [text]

    def following(self, text: str, grids: Sequence[Grid] = (), tool: str = "") -> list[int]:
        self._check_pictures(grids)
        return self._encode(self._later_frame(grids, tool), [text], grids)[1:]

    def around_words(self, grids: Sequence[Grid], tool: str = "") -> tuple[int, int]:
        """How many of the ids of a later message (`following`) stand before its words, and how many after."""
        one, other = (self.following(words, grids, tool) for words in _UNLIKE)
        return alike(one, other), alike(one[::-1], other[::-1])

    def is_result(self, grids: Sequence[Grid], tool: str) -> bool:
        """Whether the template is given a later message as a tool's result."""
        return self._later_frame(grids, tool).result

    def kept_of(self, answer: str, *, result: bool = False) -> str | None:
        """What the template writes of an answer once the next message is there, a tool's `result` or
        another; None where that is how it was written. Many keep thoughts while only results follow."""
        first, (later, tools) = self._message("user", _USER), self._later_message(result)
        written = self._render([first, self._message("assistant", answer), later], tools)
        head, tail = self._around_answers(result)
        if not written.startswith(head) or not written.endswith(tail):
            return None
        kept, plain = written[len(head) : len(written) - len(tail)], self._opening(0, False, "")
        return None if plain.past + kept == plain.pieces[-1] + self._lead + answer else kept

    def _later_message(self, result: bool) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """A later message, and the tools that have to be declared for it."""
        role, tools = ("tool", [_PROBE.declared()]) if result else ("user", [])
        return self._message(role, _LATER), tools

    def _derive_around_answers(self, result: bool) -> tuple[str, str]:
        """What is written before and after an earlier answer that such a message follows."""
        before, _, _, rest = self._around(*self._later_message(result))
        return before + _USER + self._opening(0, False, "").past, rest

    def past(
        self,
        text: str,
        grids: Sequence[Grid],
        answer: str,
        *,
        tool: str = "",
        briefing: Briefing | None = None,
    ) -> list[int]:
        """A turn, stop token included, of which `answer` was kept; `briefing` is given of the first one."""
        if briefing is None:
            frame, words, before = self._later_frame(grids, tool), [text], 1
        else:
            (frame, words), before = self._first_frame(text, grids, briefing), 0
        if self._special.search(answer):
            frame, ending = frame.as_past(), [*self._plain(answer), self.stop_id]
        else:  # as one, as below
            frame, ending = frame.as_past(f"{answer}{self._stop}"), []
        return [*self._encode(frame, words, grids)[before:], *ending]

    def answer(self, text: str) -> list[int]:
        return [*self._plain(self._lead + text), self.stop_id]

    def text(self, ids: list[int]) -> str:
        """What an answer's ids say, without the stop token."""
        if ids and ids[-1] == self.stop_id:
            ids = ids[:-1]
        said: str = self.tokenizer.decode(
            ids, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return said.removeprefix(self._lead)

    def unsaid(self, rows: int) -> list[int]:
        """Ids, of a head of so many rows, that no answer holds: special tokens but the one that ends it, and
        rows beyond the tokenizer. Some tokenizers have tokens beyond the rows, of which none can be said."""
        special = {i for i in self.special_ids if i < rows}
        return sorted({*special, *range(len(self.tokenizer), rows)} - {self.stop_id})

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
            self._around(result, declared)
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

    def _later_frame(self, grids: Sequence[Grid], tool: str) -> _Frame:
        return self._following(len(grids), bool(tool) and self.takes_tools)

    def _derive_opening(self, pictures: int, system: bool, tools: str) -> _Frame:
        """Of a first message with so many pictures; `tools` as JSON, "" for none."""
        before, after, past, _ = self._around(
            self._message("user", _LATER),
            json.loads(tools) if tools else (),
            pictures=pictures,
            system=_SYSTEM if system else None,
        )
        pieces = (*before.split(_SYSTEM), after)
        if len(pieces) != 2 + system or _SYSTEM in after or _USER in after:
            raise UnsupportedTemplate(
                f"the chat template changes a first message: {before!r:.300} and {after!r:.100}"
            )
        self._check_count(before + after, pictures)
        return _Frame(pieces, past)

    def _derive_following(self, pictures: int, result: bool) -> _Frame:
        """Of a later message with so many pictures, or of a tool's result."""
        if result:
            try:
                message = self._message("tool", _LATER, pictures)
                frame = self._between([_PROBE.declared()], message)
                self._check_count("".join(frame.pieces), pictures)
            except Exception:  # a template whose tools show no pictures
                return self._following(pictures, False)
            return replace(frame, result=True)
        frame = self._between((), self._message("user", _LATER, pictures))
        self._check_count("".join(frame.pieces), pictures)
        return frame

    def _between(self, tools: Sequence[Any], later: dict[str, Any]) -> _Frame:
        """What stands around a later message, from the stop token on."""
        _, end, past, rest = self._around(later, tools)
        before, said, after = rest.partition(_LATER)
        if not said or not before.startswith(self._stop) or not after.endswith(end):
            raise UnsupportedTemplate(f"the chat template changes a later message: {rest!r:.400}")
        return _Frame((before, after), after.removesuffix(end) + past)

    def _around(
        self,
        later: dict[str, Any],
        tools: Sequence[Any] = (),
        *,
        pictures: int = 0,
        system: str | None = None,
    ) -> tuple[str, str, str, str]:
        """What a template writes before a first message's words, after them while they are the last and once
        they are earlier ones, and after the answer to them, where `later` follows."""
        first = self._message("user", _USER, pictures)
        opening = self._render([first], tools, system)
        both = self._render([first, self._message("assistant", _ANSWER), later], tools, system)
        before, user, after = opening.partition(_USER)
        past, answer, rest = both[len(before) + len(_USER) :].partition(_ANSWER)
        if not user or not both.startswith(before + _USER) or not answer or _LATER in past:
            raise UnsupportedTemplate(
                "the chat template writes an earlier turn otherwise than when it was the last one, "
                f"so a conversation's beginning would change: {opening!r:.200} is not the beginning "
                f"of {both!r:.400}"
            )
        return before, after, past, rest

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
        try:
            return str(
                self._template.apply_chat_template(
                    messages,
                    tools=list(tools) or None,
                    tokenize=False,
                    add_generation_prompt=True,
                )
            )
        except (ValueError, TemplateError) as error:
            asked = "" if system is None else f" with model.system={system!r:.100}"
            raise UnsupportedTemplate(
                f"the model's chat template cannot be rendered{asked}: {error!s:.300}. A model that was not "
                "trained to chat has none: take its instruct variant"
            ) from error

    def _stop_id(self, between: str) -> int:
        match = self._special.match(between)
        if match is None:
            raise UnsupportedTemplate(f"no stop token ends an answer: {between!r:.100} follows it")
        return int(self.tokenizer.convert_tokens_to_ids(match.group()))

    def _spells_marks(self, text: str) -> bool:
        numbers = (self.tokenizer.convert_tokens_to_ids(m) for m in self._special.findall(text))
        return not self.special_ids.isdisjoint(numbers)

    def _encode(self, frame: _Frame, words: Sequence[str], grids: Sequence[Grid]) -> list[int]:
        first, *others = self._with_pictures(frame.pieces, grids)
        if any(map(self._special.search, words)):
            ids = self._raw(first)
            for word, piece in zip(words, others, strict=True):
                ids += [*self._plain(word), *self._raw(piece)]
        else:  # as one, so that the ids are those of the template rendered at once
            pairs = zip(words, others, strict=True)
            ids = self._raw(first + "".join(word + piece for word, piece in pairs))
        return ids if _written(grids) else self._spread(ids, grids)

    def _with_pictures(self, pieces: Sequence[str], grids: Sequence[Grid]) -> list[str]:
        """Pictures that are written as more than their tokens, each in the place of its mark."""
        if not (told := _written(grids)):
            return list(pieces)
        written = iter(told)
        return [re.sub(re.escape(self._image_token), lambda _: next(written), p) for p in pieces]

    def _spread(self, ids: list[int], grids: Sequence[Grid]) -> list[int]:
        """Each picture's placeholder as often as it has tokens."""
        if not grids:
            return ids
        sizes = iter(grids)
        out: list[int] = []
        for number in ids:
            out += [number] * (next(sizes).tokens if number == self.image_id else 1)
        return out

    @cached_property
    def _literal(self) -> Any:
        """The tokenizer for words that spell special tokens. Whether it splits them is a state of a
        tokenizer, and threads share the other one: one that plays, and one that learns."""
        own = copy.deepcopy(self.tokenizer)
        own("", add_special_tokens=False, split_special_tokens=True)  # changed now, and no more
        return own

    def _raw(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _plain(self, text: str) -> list[int]:
        """The ids of words that are only words."""
        if not self._special.search(text):  # as it is read where it will stand
            head, whole = self._raw(self._before_answers), self._raw(self._before_answers + text)
            if whole[: len(head)] == head:
                return whole[len(head) :]
        ids: list[int] = self._literal(text, add_special_tokens=False, split_special_tokens=True)[
            "input_ids"
        ]
        if self.special_ids.isdisjoint(ids):
            return ids
        # A tokenizer that cannot be told: each special token's spelling is broken after one sign.
        pieces = self._special.sub(lambda m: f"{m.group()[0]}\0{m.group()[1:]}", text).split("\0")
        return [number for piece in pieces for number in self._raw(piece)]


def alike(one: Sequence[int], other: Sequence[int]) -> int:
    """How many of their first ids are the same."""
    differing = (at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return next(differing, min(len(one), len(other)))


def _written(grids: Sequence[Grid]) -> list[str]:
    return [grid.written for grid in grids if grid.written is not None]
