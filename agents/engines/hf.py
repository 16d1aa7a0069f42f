"""engine=hf: batched sampling on the training model itself.

Each conversation keeps its row of the cache from turn to turn, so a turn reads its new tokens alone.
Equal beginnings (the members of a group) are read once, equal pictures are looked at once. A row
whose answer is complete leaves at once; the others go on without it, and what is asked for meanwhile joins
them between two tokens.
"""

from __future__ import annotations

import copy
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from agents import anatomy
from agents.batches import token_positions
from agents.chat_format import alike
from agents.conversation import Conversation
from agents.engines.base import Request, Sample, Written
from agents.engines.reach import Reach, blocks_of
from agents.engines.row_cache import RowCache
from agents.engines.sampling import choose
from agents.image_features import name_of
from agents.policy import Policy
from envs.contract import whole_number

MOST_ROWS = 1_000_000
"""More than any memory has room for."""


@dataclass
class _Row:
    """What the cache holds of a conversation: ids and pictures so far, the next token's position."""

    index: int
    known: list[int] = field(default_factory=list)
    images: int = 0
    position: int = 0
    window: int = 0

    @property
    def ids(self) -> int:
        return len(self.known)

    def rewind(self, conversation: Conversation) -> None:
        """Forgets what the conversation did not become: an answer that was dropped or cut, and turns that a
        new window leaves out. The last id is always read again, as its successor is what is asked for."""
        ids, images = conversation.ids, conversation.images
        keep = min(len(self.known), len(ids) - 1)
        if self.window != conversation.opened:  # other pictures may stand at the same ids
            self.window, keep = conversation.opened, min(keep, conversation.first_turn)
        elif self.known == ids[:keep]:
            return
        keep = alike(self.known[:keep], ids[:keep])
        tokens = sum(number == conversation.image_id for number in ids[:keep]) if images else 0
        whole = 0
        while tokens > 0:
            tokens -= conversation.grids[whole].tokens
            whole += 1
        if tokens < 0:  # within a picture: read anew
            keep = whole = 0
        self.known, self.images = ids[:keep], whole
        where = token_positions(self.known, conversation.grids[:whole], conversation.image_id)
        self.position = int(where[:, -1].max()) + 1 if keep else 0


@dataclass(eq=False)
class _Writing:
    """An answer on its way."""

    request: Request
    row: _Row
    uniforms: torch.Tensor
    sample: Sample = field(default_factory=Sample)

    @property
    def conversation(self) -> Conversation:
        return self.request.conversation


class HFEngine:
    """See the module's docstring."""

    reads_policy = True

    def __init__(
        self,
        policy: Policy,
        *,
        prefill_tokens: int = 8192,
        max_rows: int = 256,
        together: bool = True,
        own_weights: bool = False,
    ) -> None:
        """
        prefill_tokens  read in one pass at most; a longer single conversation is read whole
        max_rows        conversations answered at once; more wait for their turn
        together        see Engine; false where worlds are slow
        own_weights     answers by a copy of the model, as it was at the last refresh: for a thread that plays
                        while the model learns
        """
        max_rows = whole_number("max_rows", max_rows, 1, MOST_ROWS)
        self._learner = policy if own_weights else None
        self._policy = policy = copy_of(policy) if own_weights else policy
        self._prefill_tokens, self.together = prefill_tokens, together
        self._max_rows = max_rows
        self._cache = RowCache()
        self._reach, self._dtype = Reach(policy.plain_model), policy.dtype
        self._cache_word = anatomy.cache_word(policy.plain_model)
        self._rows: weakref.WeakKeyDictionary[Conversation, _Row] = weakref.WeakKeyDictionary()
        self._asked: deque[Request] = deque()
        self._writing: list[_Writing] = []  # by row; between calls the last token of each is unread
        banned = policy.chat_format.unsaid(policy.vocabulary)
        self._banned = torch.tensor(banned, dtype=torch.long, device=policy.device)
        self._stop = policy.chat_format.stop_id
        self.tokens_read = self.tokens_written = 0
        self.refresh()

    def ask(self, request: Request) -> None:
        conversation = request.conversation
        if not conversation.ids:
            raise ValueError("a conversation without any message has nothing to answer")
        waiting = [*(r.conversation for r in self._asked), *(w.conversation for w in self._writing)]
        if any(conversation is other for other in waiting):
            raise ValueError("a conversation was given twice: it can have one answer at a time")
        self._asked.append(request)

    def answers(self) -> Written:
        """Writes on until an answer is complete; by one token where others may join meanwhile."""
        done: list[_Writing] = []
        with self._answering():
            while (self._asked or self._writing) and not done:
                done = self._choose(self._advance())
                if not self.together:
                    break
        return [(w.request, w.sample) for w in done]

    def release(self, conversation: Conversation) -> None:
        self._rows.pop(conversation, None)
        self._writing = [w for w in self._writing if w.conversation is not conversation]
        self._asked = deque(r for r in self._asked if r.conversation is not conversation)

    def refresh(self) -> None:
        if self._learner is not None:
            self._policy.model.load_state_dict(self._learner.model.state_dict())
        self._rows.clear()
        if self._policy.image_features is not None:
            self._policy.image_features.forget()

    def rest(self) -> None:
        if self._policy.device.type != "cpu":  # where the learner would miss it
            self._rows.clear()
            self._cache.clear()

    @contextmanager
    def _answering(self) -> Iterator[None]:
        policy = self._policy
        with anatomy.all_of_it(policy.model), torch.inference_mode(), policy.arithmetic():
            yield

    def _advance(self) -> torch.Tensor:
        """Logits of the next token of everything that is written, those included that join now."""
        before, logits = list(self._writing), torch.empty(0)
        if before:
            self._close_up()
            before, logits = list(self._writing), self._next(self._writing)
        joining = self._joining()
        if not joining:
            return logits
        new = self._assign_rows([w.request for w in before], joining)
        read = self._read(new)
        everyone = list(zip([*before, *new], [*logits, *read], strict=True))
        everyone.sort(key=lambda pair: pair[0].row.index)
        self._writing = [w for w, _ in everyone]
        return torch.stack([row for _, row in everyone])

    def _joining(self) -> list[Request]:
        """Those who wait join where they are at least half as many as are being written: reading a few at
        a time costs more than it brings."""
        if 2 * len(self._asked) < len(self._writing):
            return []
        count = min(len(self._asked), self._max_rows - len(self._writing))
        return [self._asked.popleft() for _ in range(count)]

    # Rows.

    def _assign_rows(self, before: list[Request], joining: list[Request]) -> list[_Writing]:
        """Gives all of these conversations rows side by side, moving as few as need be."""
        requests = [*before, *joining]
        highest = max((row.index for row in self._rows.values()), default=-1) + 1
        self._cache.reserve(
            max(highest, len(self._rows) + len(requests)),
            max(len(r.conversation.ids) + r.max_new_tokens for r in requests),
        )
        wanted = [request.conversation for request in requests]
        in_use = {row.index: conversation for conversation, row in self._rows.items()}
        known = [self._rows[c].index for c in wanted if c in self._rows]
        base = min(known, default=self._free_block(in_use, len(wanted)))
        base = max(0, min(base, self._cache.rows - len(wanted)))
        block = range(base, base + len(wanted))
        ours = set(map(id, wanted))
        free = [i for i in block if i not in in_use or id(in_use[i]) not in ours]
        for conversation in wanted:
            row = self._rows.get(conversation)
            if row is not None and row.index in block:
                continue
            target = free.pop()
            other = in_use.get(target)
            if row is None:
                if other is not None:  # moved out of the way
                    self._move(other, self._empty_row(in_use, block), in_use)
                self._rows[conversation] = _Row(target)
                in_use[target] = conversation
            elif other is None:
                self._move(conversation, target, in_use)
            else:
                self._exchange(conversation, other, in_use)
        device = self._policy.device
        writing = []
        for request in joining:
            row = self._rows[request.conversation]
            row.rewind(request.conversation)
            uniforms = torch.from_numpy(request.uniforms()).to(device)
            writing.append(_Writing(request, row, uniforms))
        return writing

    def _free_block(self, in_use: dict[int, Conversation], count: int) -> int:
        """The first of `count` free rows side by side, else where the last row in use ends."""
        run = 0
        for index in range(self._cache.rows):
            run = 0 if index in in_use else run + 1
            if run == count:
                return index - count + 1
        return max(in_use, default=-1) + 1

    def _empty_row(self, in_use: dict[int, Conversation], block: range) -> int:
        return next(i for i in range(self._cache.rows) if i not in in_use and i not in block)

    def _move(self, conversation: Conversation, to: int, in_use: dict[int, Conversation]) -> None:
        row = self._rows[conversation]
        self._cache.copy(row.index, [to], row.ids)
        del in_use[row.index]
        row.index, in_use[to] = to, conversation

    def _exchange(
        self, one: Conversation, other: Conversation, in_use: dict[int, Conversation]
    ) -> None:
        a, b = self._rows[one], self._rows[other]
        self._cache.swap(a.index, b.index, max(a.ids, b.ids))
        a.index, b.index = b.index, a.index
        in_use[a.index], in_use[b.index] = one, other

    # Reading what is new.

    def _read(self, writing: list[_Writing]) -> torch.Tensor:
        """Logits of every conversation's first new token."""
        logits: dict[int, torch.Tensor] = {}
        groups: dict[object, list[_Writing]] = {}
        for number, w in enumerate(writing):
            groups.setdefault(self._beginning(w, number), []).append(w)
        for part in self._by_size([members[0] for members in groups.values()]):
            for w, row in zip(part, self._prefill(part), strict=True):
                logits[w.row.index] = row
        for first, *others in groups.values():
            if others:
                copies = [w.row.index for w in others]
                self._cache.copy(first.row.index, copies, first.row.ids)
                for w in others:
                    w.row.known, w.row.images = list(first.row.known), first.row.images
                    w.row.position = first.row.position
                    logits[w.row.index] = logits[first.row.index]
        return torch.stack([logits[w.row.index] for w in writing])

    def _beginning(self, w: _Writing, number: int) -> object:
        """The same for conversations that are the same so far; others are on their own."""
        if w.row.ids:
            return number
        conversation = w.request.conversation
        pictures = tuple(map(name_of, conversation.images))
        return (tuple(conversation.ids), pictures)

    def _by_size(self, writing: list[_Writing]) -> Iterator[list[_Writing]]:
        """Parts of similar numbers of new tokens, bounded with their padding."""
        part: list[_Writing] = []
        for w in sorted(writing, key=lambda w: len(w.request.conversation.ids) - w.row.ids):
            new = len(w.request.conversation.ids) - w.row.ids
            if part and new * (len(part) + 1) > self._prefill_tokens:
                yield part
                part = []
            part.append(w)
        if part:
            yield part

    def _prefill(self, part: list[_Writing]) -> torch.Tensor:
        device = self._policy.device
        news = [w.request.conversation.ids[w.row.ids :] for w in part]
        longest = max(map(len, news))
        ids = torch.full((len(part), longest), self._policy.pad_id)
        positions = torch.zeros(3, len(part), longest, dtype=torch.long)
        images = []
        for i, (w, new) in enumerate(zip(part, news, strict=True)):
            conversation = w.request.conversation
            grids = conversation.grids[w.row.images :]
            where = token_positions(new, grids, conversation.image_id, w.row.position)
            ids[i, : len(new)] = torch.tensor(new)
            positions[:, i, : len(new)] = torch.from_numpy(where.copy())
            images += conversation.images[w.row.images :]
            w.row.images, w.row.position = len(conversation.images), int(where[:, -1].max()) + 1
        starts = torch.tensor([w.row.ids for w in part], device=device)
        last = torch.tensor([len(new) - 1 for new in news], device=device)
        hidden = self._forward(
            part, ids.to(device), positions.to(device), starts, self._policy.look(images, keep=True)
        )
        for w, new in zip(part, news, strict=True):
            w.row.known += new
            self.tokens_read += len(new)
        return self._logits(hidden[torch.arange(len(part), device=device), last])

    # Writing the answers.

    def _choose(self, logits: torch.Tensor) -> list[_Writing]:
        """One token more for each that is written; those that are complete with it leave."""
        done = []
        for sampling in dict.fromkeys(w.request.sampling for w in self._writing):
            places = [i for i, w in enumerate(self._writing) if w.request.sampling == sampling]
            mine = [self._writing[i] for i in places]
            uniforms = torch.stack([w.uniforms[len(w.sample.ids)] for w in mine])
            theirs = logits if len(mine) == len(logits) else logits[places]
            ids, plain, sampled = choose(theirs, uniforms, sampling, self._banned)
            chosen = zip(mine, ids.tolist(), plain.tolist(), sampled.tolist(), strict=True)
            for w, token, log_prob, sampled_log_prob in chosen:
                w.sample.ids.append(token)
                w.sample.log_probs.append(log_prob)
                w.sample.sampled_log_probs.append(sampled_log_prob)
                if token == self._stop or len(w.sample.ids) == w.request.max_new_tokens:
                    done.append(w)
        self.tokens_written += len(self._writing)
        self._writing = [w for w in self._writing if w not in done]
        return done

    def _close_up(self) -> None:
        """The rows of what is written side by side: the last ones take the places of those that left."""
        base, count = self._writing[0].row.index, len(self._writing)
        staying = {w.row.index for w in self._writing}
        gaps = [i for i in range(base, base + count) if i not in staying]
        movers = [w for w in self._writing if w.row.index >= base + count]
        if not movers:
            return
        owners = {row.index: row for row in self._rows.values()}
        for gap, w in zip(gaps, movers, strict=True):
            mine, other = w.row, owners.get(gap)
            self._cache.swap(mine.index, gap, max(mine.ids, other.ids if other else 0))
            if other is not None:
                other.index = mine.index
            mine.index = gap
        self._writing.sort(key=lambda w: w.row.index)

    def _next(self, active: list[_Writing]) -> torch.Tensor:
        device = self._policy.device
        ids = torch.tensor([[w.sample.ids[-1]] for w in active], device=device)
        positions = torch.tensor([[w.row.position] for w in active], device=device)
        starts = torch.tensor([w.row.ids for w in active], device=device)
        hidden = self._forward(active, ids, positions.expand(3, -1, -1), starts, {})
        for w in active:
            w.row.known.append(w.sample.ids[-1])
            w.row.position += 1
        return self._logits(hidden[:, 0])

    def _forward(
        self,
        part: list[_Writing],
        ids: torch.Tensor,
        positions: torch.Tensor,
        starts: torch.Tensor,
        pictures: dict[str, object],
    ) -> torch.Tensor:
        self._cache.reserve(self._cache.rows, int(starts.max()) + ids.shape[1])
        self._cache.select([w.row.index for w in part], starts, ids.shape[1])
        columns = starts[:, None] + torch.arange(ids.shape[1], device=ids.device)
        blocks = None
        if pictures and self._policy.both_ways:
            blocks = blocks_of(self._policy.of_pictures(ids))
        out = anatomy.body_of(self._policy.plain_model)(
            input_ids=ids,
            attention_mask=self._reach.masks(columns, int(columns.max()) + 1, blocks, self._dtype),
            use_cache=True,
            **{self._cache_word: self._cache},
            **self._policy.at(positions),
            **pictures,
        )
        return out.last_hidden_state

    def _logits(self, hidden: torch.Tensor) -> torch.Tensor:
        return self._policy.logits(hidden)


def copy_of(policy: Policy) -> Policy:
    """The same model with weights of its own, which nobody trains. Which of them the learner does is marked
    there too: what is remembered of pictures stays true only where its eye is frozen."""
    model = copy.deepcopy(policy.model)
    return Policy(model, policy.processor, policy.pictures, policy.below, policy.dtype)
