"""engine=openai: any OpenAI-compatible endpoint as a player, for evaluation and demonstrations.

Words and pictures go out, words come back: no token ids, no log-probabilities, so nothing can be
trained on what it samples by importance ratios. The key comes from the environment alone and is never
shown or saved. What the endpoint counts is counted here: `usage` in tokens, `cost()` in money.

Where no model of one's own is at hand, `words()` gives conversations something to count with.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from agents.conversation import Conversation
from agents.engines.base import Request, Sample, Written
from agents.engines.chat_messages import answer_text, chat_messages, declared
from agents.engines.futures import Futures
from agents.engines.web import (
    ServerError,
    checked_retries,
    checked_url,
    client_of,
    key_of,
    post,
)
from agents.pictures import Grid
from agents.seeds import mixed_seed
from envs.answers import whole_characters
from envs.shown import NO_BRIEFING, Briefing
from envs.tools import in_words

KEY = "OPENAI_API_KEY"


class OpenAIEngine:
    """See the module's docstring."""

    together = False

    def __init__(
        self,
        model: str | None,
        base_url: str = "https://api.openai.com/v1",
        *,
        key_variable: str = KEY,
        system: str | None = None,
        at_once: int = 8,
        seconds: float = 120.0,
        retries: int = 4,
        price_per_million: tuple[float, float] = (0.0, 0.0),
        limit: str = "max_tokens",
        extra: dict[str, Any] | None = None,
    ) -> None:
        """
        key_variable       the environment variable that holds the key; unset, none is sent
        price_per_million  what a million tokens cost, (read, written), for `cost()`
        limit              the field that says how long an answer may be: OpenAI's own models that reason
                           have max_completion_tokens
        extra              more fields of the request, such as {"reasoning_effort": "low"}; null leaves
                           a field out, as {"temperature": null} where an endpoint takes none
        """
        if not model:
            raise ValueError(
                "engine=openai: say which model the endpoint has, as engine.model=NAME"
            )
        self._model = model
        self._url = f"{checked_url('engine.base_url', base_url)}/chat/completions"
        self._system, self._retries, self._limit = system, checked_retries(retries), limit
        self._futures: Futures[Sample] = Futures(at_once)
        try:
            read, written = map(float, price_per_million)
            self._price, self._extra = (read, written), {**(extra or {})}
        except (TypeError, ValueError):
            raise ValueError(
                f"engine.price_per_million={price_per_million!r:.60} is to be two numbers, "
                f"[READ,WRITTEN], and engine.extra={extra!r:.60} fields by their names"
            ) from None
        key = key_of(key_variable)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = client_of(seconds, connections=at_once, headers=headers)
        self._lock = threading.Lock()
        self.usage: Counter[str] = Counter()

    def ask(self, request: Request) -> None:
        self._futures.submit(request, lambda: self._said(request))

    def answers(self) -> Written:
        return self._futures.arrived()

    def release(self, conversation: Conversation) -> None:
        self._futures.forget(conversation)

    def refresh(self) -> None:
        """The endpoint's weights are its own."""

    def rest(self) -> None:
        """And its memory."""

    def cost(self) -> float:
        read, written = self._price
        return (self.usage["read"] * read + self.usage["written"] * written) / 1e6

    def _said(self, request: Request) -> Sample:
        sampling = request.sampling
        body = {
            "model": self._model,
            "messages": chat_messages(request.conversation, self._system),
            self._limit: request.max_new_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": mixed_seed(*request.turn_seed()),
            "top_k": sampling.top_k or None,  # which not every endpoint has
            **declared(request.conversation),
            **self._extra,
        }
        body = {name: value for name, value in body.items() if value is not None}
        try:
            reply = post(self._client, self._url, body, retries=self._retries)
            choice = reply["choices"][0]
            text, cut = answer_text(choice["message"]), choice.get("finish_reason") == "length"
        except ServerError as error:
            return Sample(error=str(error))
        except (KeyError, IndexError, TypeError, AttributeError):
            return Sample(error=f"{self._url} replied without choices[0].message.content")
        self._count(reply.get("usage"))
        return Sample(text=whole_characters(text), cut=cut)

    def _count(self, usage: Any) -> None:
        if not isinstance(usage, dict):
            usage = {}
        with self._lock:
            self.usage["answers"] += 1
            for name, field in (("read", "prompt_tokens"), ("written", "completion_tokens")):
                count = usage.get(field, 0)
                self.usage[name] += count if isinstance(count, int) else 0


class words:
    """Stands in for a model of one's own: a token is four bytes, a picture as many as its area says.

    Conversations over it can be played, shown and saved as words; they cannot be trained on.
    """

    stop_id, image_id = -1, -2
    special_ids = frozenset([stop_id, image_id])

    @property
    def chat_format(self) -> Any:
        return self

    @property
    def pictures(self) -> Any:
        return self

    def opening(
        self, text: str, grids: Sequence[Grid] = (), briefing: Briefing = NO_BRIEFING
    ) -> list[int]:
        told = briefing.system + (in_words(briefing.tools) if briefing.tools else "")
        return self._counted(told) + self.following(text, grids)

    def following(self, text: str, grids: Sequence[Grid] = (), tool: str = "") -> list[int]:
        return [self.image_id] * sum(grid.tokens for grid in grids) + self._counted(text)

    def is_result(self, grids: Sequence[Grid], tool: str) -> bool:
        return bool(tool)

    def kept_of(self, answer: str, *, result: bool = False) -> None:
        """The endpoint's own template sees to what is kept."""

    def answer(self, text: str) -> list[int]:
        return [*self._counted(text), self.stop_id]

    def text(self, ids: list[int]) -> str:
        blocks = [i.to_bytes(5, "big") for i in ids if i >= 0]
        return b"".join(block[5 - block[0] :] for block in blocks).decode("utf-8", "replace")

    def measure(self, image: np.ndarray) -> Grid:
        rows, columns = (max(1, round(side / 28)) for side in image.shape[:2])
        return Grid(rows, columns, rows, columns)

    @staticmethod
    def _counted(text: str) -> list[int]:
        """Four bytes an id, with their number before them."""
        data = text.encode("utf-8", "surrogatepass")
        blocks = [data[i : i + 4] for i in range(0, len(data), 4)]
        return [int.from_bytes(bytes([len(b)]) + b.rjust(4, b"\0"), "big") for b in blocks]
