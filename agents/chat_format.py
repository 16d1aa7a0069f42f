"""How a model writes conversations: its own chat template, rendered turn by turn, as token ids.

    opening(text, grid)    ids of the first message, up to where the model's answer begins
    following(text, grid)  ids that follow an answer's stop token: the next message, up to its answer
    answer(text)           ids of an answer that somebody else wrote, with the stop token
    past(text, ...)        ids of a whole turn as the template writes it once it is an earlier one

The template is read by rendering it with placeholders, so every family's own system prompt and
separators are kept, and opening + answer + following + ... equals the template rendered at once.
Some templates write a turn otherwise as soon as it is an earlier one: they drop its thoughts, or what they
had begun its answer with. What then becomes of a conversation is the choice of its limits (keep or strip).
What is said is data: a text that spells special tokens is read as the plain characters it is made of.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from jinja2 import TemplateError

from agents.pictures import Grid

_USER, _ANSWER, _LATER = "\ue000first\ue000", "\ue000answer\ue000", "\ue000later\ue000"
"""Placeholders from Unicode's private area, which no template writes itself."""


class UnsupportedTemplate(ValueError):
    """A chat template whose conversations can not be written turn by turn."""


@dataclass(frozen=True)
class _Frame:
    """What a template writes before and after a user's words; `past` is what it writes after them once
    they are of an earlier turn."""

    before: str
    after: str
    past: str


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
        kinds = (False, True) if self.sees else (False,)
        pairs = {kind: self._derive(kind) for kind in kinds}
        self._openings = {kind: pair[0] for kind, pair in pairs.items()}
        self._followings = {kind: pair[1] for kind, pair in pairs.items()}
        self.begins_answers = any(
            not f.past.startswith(f.after) for pair in pairs.values() for f in pair
        )
        """Whether the template begins the last answer in a way that it does not keep."""
        opening = self._openings[False]
        self._before_answers = opening.after
        # What stands between, as a space, is the model's to write.
        self._lead = "" if self.begins_answers else opening.past[len(opening.after) :]
        self.stop_id = self._stop_id(self._followings[False].before)
        self._stop = self.tokenizer.convert_ids_to_tokens(self.stop_id)

    def opening(self, text: str, grid: Grid | None = None) -> list[int]:
        return self._encode(self._openings[self._kind(grid)], text, grid)

    def following(self, text: str, grid: Grid | None = None) -> list[int]:
        return self._encode(self._followings[self._kind(grid)], text, grid)[1:]

    def kept_of(self, answer: str) -> str:
        """What the template keeps of an answer once it is an earlier one: as a rule all of it."""
        first, later = self._message(_USER, False), self._message(_LATER, False)
        said = {"role": "assistant", "content": self._content(answer, False)}
        written = self._render([first, said, later])
        opening, following = self._openings[False], self._followings[False]
        head, tail = (
            opening.before + _USER + opening.past,
            following.before + _LATER + following.after,
        )
        if not written.startswith(head) or not written.endswith(tail):
            return answer
        return written[len(head) : len(written) - len(tail)]

    def past(self, text: str, grid: Grid | None, answer: str, *, first: bool) -> list[int]:
        """A turn, stop token included, of which `answer` was kept."""
        frame = (self._openings if first else self._followings)[self._kind(grid)]
        if self._special.search(answer):
            frame, ending = replace(frame, after=frame.past), self.answer(answer)
        else:  # as one, as above
            frame, ending = replace(frame, after=f"{frame.past}{answer}{self._stop}"), []
        return [*self._encode(frame, text, grid)[0 if first else 1 :], *ending]

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

    def _kind(self, grid: Grid | None) -> bool:
        if grid is not None and not self.sees:
            raise ValueError(
                "this model reads text alone, but the world shows pictures: use modality='text' "
                "or a model that sees"
            )
        return grid is not None

    def _derive(self, picture: bool) -> tuple[_Frame, _Frame]:
        """The frames of a first and of a later message, with or without a picture."""
        first, later = self._message(_USER, picture), self._message(_LATER, picture)
        answered = {"role": "assistant", "content": self._content(_ANSWER, False)}
        opening = self._render([first])
        both = self._render([first, answered, later])
        before, user, after = opening.partition(_USER)
        past, answer, rest = both[len(before) + len(_USER) :].partition(_ANSWER)
        if not user or not both.startswith(before + _USER) or not answer or _LATER in past:
            raise UnsupportedTemplate(
                "the chat template writes an earlier turn otherwise than when it was the last one, "
                f"so a conversation's beginning would change: {opening!r:.200} is not the beginning "
                f"of {both!r:.400}"
            )
        between, user, after_later = rest.partition(_LATER)
        if not user or after_later != after:
            raise UnsupportedTemplate(f"the chat template changes a later message: {both!r:.400}")
        return _Frame(before, after, past), _Frame(between, after, past)

    def _message(self, text: str, picture: bool) -> dict[str, Any]:
        return {"role": "user", "content": self._content(text, picture)}

    def _content(self, text: str, picture: bool) -> Any:
        if not self.sees:
            return text
        return [*([{"type": "image"}] if picture else []), {"type": "text", "text": text}]

    def _render(self, messages: list[dict[str, Any]]) -> str:
        if self._system is not None:
            said = self._content(self._system, False)
            messages = [{"role": "system", "content": said}, *messages]
        try:
            return str(
                self._template.apply_chat_template(
                    messages, tokenize=False, add_generation_prompt=True
                )
            )
        except (ValueError, TemplateError) as error:
            asked = "" if self._system is None else f" with model.system={self._system!r:.100}"
            raise UnsupportedTemplate(
                f"the model's chat template cannot be rendered{asked}: {error!s:.300}. A model that was not "
                "trained to chat has none: take its instruct variant"
            ) from error

    def _stop_id(self, between: str) -> int:
        match = self._special.match(between)
        if match is None:
            raise UnsupportedTemplate(f"no stop token ends an answer: {between!r:.100} follows it")
        return int(self.tokenizer.convert_tokens_to_ids(match.group()))

    def _encode(self, frame: _Frame, text: str, grid: Grid | None) -> list[int]:
        if grid is not None and grid.written is not None:
            before = frame.before.replace(self._image_token, grid.written, 1)
            return self._encode(replace(frame, before=before), text, None)
        if self._special.search(text):
            ids = [*self._raw(frame.before), *self._plain(text), *self._raw(frame.after)]
        else:  # as one, so that the ids are those of the template rendered at once
            ids = self._raw(frame.before + text + frame.after)
        if grid is None:
            return ids
        at = ids.index(self.image_id)  # type: ignore[arg-type]
        return [*ids[:at], *[self.image_id] * grid.tokens, *ids[at + 1 :]]  # type: ignore[list-item]

    def _raw(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _plain(self, text: str) -> list[int]:
        """The ids of words that are only words."""
        if not self._special.search(text):  # as it is read where it will stand
            head, whole = self._raw(self._before_answers), self._raw(self._before_answers + text)
            if whole[: len(head)] == head:
                return whole[len(head) :]
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)[
            "input_ids"
        ]
        if self.special_ids.isdisjoint(ids):
            return ids
        # A tokenizer that cannot be told: each special token's spelling is broken after one sign.
        pieces = self._special.sub(lambda m: f"{m.group()[0]}\0{m.group()[1:]}", text).split("\0")
        return [number for piece in pieces for number in self._raw(piece)]
