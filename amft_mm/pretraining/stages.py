"""The stages of pretraining: what a step learns from, what it asks, and what it trains.

`lesson(sizes, seed)` lists a step's examples, each drawn from a seed of its own; `learn(examples, processes)`
adds the gradients of all processes' mean loss; `exam(count)` measures on examples that no step draws.
`after` names the stages before, with the part of the model that each has trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import numpy as np
import torch

from agents.conversation import Conversation, Limits
from agents.pictures import PictureReader
from agents.policy import Policy
from amft_mm.learning.batching import by_length
from amft_mm.pretraining import seeing
from amft_mm.pretraining.exercises import (
    COPYING_TEXT,
    ECHOES,
    FORMS,
    IN_SHORT,
    NEAR_RECKONING,
    RECKONING,
    SHORT_TEXT,
    SIGHT,
    TEXT_FORMS,
    Exercise,
    Kinds,
    draw,
)
from amft_mm.runs.processes import ProcessGroup

PASS_TOKENS = 800
"""Read in one pass, padding included: small, so that what is padded together is of a length."""
EXAM_SEED = 2**31

Seed = list[int]


class Stage(Protocol):
    number: int
    parts: ClassVar[Mapping[str, Kinds]]
    """What a step's examples are of; how many of each is told to `lesson`."""
    module: torch.nn.Module
    after: Mapping[str, torch.nn.Module]

    def lesson(self, sizes: Mapping[str, int], seed: Seed) -> list[Any]: ...

    def learn(self, examples: list[Any], processes: ProcessGroup) -> tuple[float, int]:
        """(the mean loss, the tokens read) of all processes together."""
        ...

    def exam(self, count: int) -> dict[str, float]: ...


class Seeing:
    """The vision tower, by scenes."""

    number = 1
    parts: ClassVar[Mapping[str, Kinds]] = {"scenes": {}}

    def __init__(self, policy: Policy) -> None:
        model = policy.plain_model
        self._policy = policy
        self.module = seeing.Eye(model.model.visual, model.config.text_config.hidden_size)
        self.after: Mapping[str, torch.nn.Module] = {}

    def lesson(self, sizes: Mapping[str, int], seed: Seed) -> list[Seed]:
        return [[*seed, 0, number] for number in range(sizes["scenes"])]

    def learn(self, examples: list[Seed], processes: ProcessGroup) -> tuple[float, int]:
        scenes = [seeing.draw_scene(np.random.default_rng(seed)) for seed in examples]
        things, tokens = processes.sum(
            sum(int(scene.labels.any(-1).sum()) for scene in scenes),
            sum(scene.labels[..., 0].size for scene in scenes),
        )
        loss = torch.zeros(())
        if scenes:  # another process may have all of them
            loss = seeing.seeing_loss(self._look(scenes), scenes) / max(1.0, things)
            loss.backward()
        (total,) = processes.sum(loss.item())
        return total, int(tokens)

    @torch.no_grad()
    def exam(self, count: int) -> dict[str, float]:
        right: dict[str, float] = {}
        for make in (seeing.signs_on_a_wall, seeing.street, seeing.cards):
            rng = np.random.default_rng(EXAM_SEED)
            scenes = [make(rng) for _ in range(count)]
            for thing, (known, shown) in seeing.seen_rightly(self._look(scenes), scenes).items():
                if shown:
                    right[f"{make.__name__}/{thing}"] = known / shown
        return right

    def _look(self, scenes: list[seeing.Scene]) -> torch.Tensor:
        assert isinstance(self._policy.pictures, PictureReader)
        return self.module(*self._policy.pictures.pixels([scene.picture for scene in scenes]))


SUMS: Kinds = {"sums": RECKONING["sums"]}
NEAR_SUMS: Kinds = {"near_sums": NEAR_RECKONING["near_sums"]}


class _Speaking:
    """Exercises answered in words; `asked` are those of them that have one right answer."""

    parts: ClassVar[Mapping[str, Kinds]]
    asked: ClassVar[tuple[Kinds, ...]]

    def __init__(
        self, policy: Policy, module: torch.nn.Module, after: Mapping[str, torch.nn.Module]
    ) -> None:
        self._policy, self.module, self.after = policy, module, after

    def lesson(self, sizes: Mapping[str, int], seed: Seed) -> list[tuple[Kinds, Seed]]:
        return [
            (kinds, [*seed, part, number])
            for part, (name, kinds) in enumerate(self.parts.items())
            for number in range(sizes[name])
        ]

    def learn(
        self, examples: list[tuple[Kinds, Seed]], processes: ProcessGroup
    ) -> tuple[float, int]:
        self._policy.model.train()
        conversations = [self._conversation(draw(kinds, seed)) for kinds, seed in examples]
        targets, tokens = processes.sum(
            sum(int(c.chosen().sum()) for c in conversations),
            sum(len(c.ids) for c in conversations),
        )
        total = 0.0
        for part in by_length(conversations, PASS_TOKENS):
            loss = -self._policy.score(part).log_probs.sum() / targets
            loss.backward()
            total += loss.item()
        (total,) = processes.sum(total)
        return total, int(tokens)

    @torch.no_grad()
    def exam(self, count: int) -> dict[str, float]:
        """By kind, how many answers the model would give to the letter: every token the likeliest."""
        self._policy.model.eval()
        found = {}
        asked = {name: make for kinds in self.asked for name, (make, _) in kinds.items()}
        for name, make in asked.items():
            rng = np.random.default_rng([EXAM_SEED, len(name)])
            conversations = [self._conversation(make(rng)) for _ in range(count)]
            right = answers = 0
            for part in by_length(conversations, PASS_TOKENS):
                batch = self._policy.batch(part)
                logits = self._policy.logits(self._policy.hidden_states(batch))
                agrees = (logits[:, :-1].argmax(-1) == batch.input_ids[:, 1:]).cpu().numpy()
                for row, conversation in enumerate(part):
                    for answer in conversation.answers:
                        answers += 1
                        right += bool(agrees[row, answer.start - 1 : answer.stop - 1].all())
            found[name] = right / answers
        return found

    def _conversation(self, exercise: Exercise) -> Conversation:
        conversation = Conversation(self._policy, Limits(max_tokens=4096, max_new_tokens=1))
        for turn in exercise:
            if not conversation.observe(turn.text, turn.image):
                break
            conversation.say(turn.answer)
        return conversation


class Copying(_Speaking):
    """The language model, by saying again what was said. Copying comes suddenly, once it is asked
    for alone; among other exercises it came twenty times later."""

    number = 2
    parts: ClassVar = {"echoes": ECHOES}
    asked: ClassVar = (ECHOES,)

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy, policy.plain_model.model.language_model, after={})


class Reading(_Speaking):
    """The language model, by all exercises without pictures."""

    number = 3
    parts: ClassVar = {
        "reckoning": RECKONING,
        "text": {**SHORT_TEXT, **IN_SHORT},
        "forms": TEXT_FORMS,
    }
    asked: ClassVar = (SUMS, SHORT_TEXT)

    def __init__(self, policy: Policy) -> None:
        language_model = policy.plain_model.model.language_model
        super().__init__(policy, language_model, after={"copying": language_model})


class Together(_Speaking):
    """The whole model, by all exercises."""

    number = 4
    parts: ClassVar = {
        "sight": SIGHT,
        "reckoning": RECKONING,
        "text": {**SHORT_TEXT, **IN_SHORT},
        "forms": FORMS,
    }
    asked: ClassVar = (SIGHT, SUMS, SHORT_TEXT)

    def __init__(self, policy: Policy) -> None:
        before = {"seeing": Seeing(policy).module, "reading": Reading(policy).module}
        super().__init__(policy, policy.model, before)


class Settling(_Speaking):
    """The whole model again, while the learning rate falls: the numbers that are met in the worlds, and
    more to copy."""

    number = 5
    parts: ClassVar = {
        "sight": SIGHT,
        "reckoning": NEAR_RECKONING,
        "text": {**COPYING_TEXT, **IN_SHORT},
        "forms": FORMS,
    }
    asked: ClassVar = (SIGHT, NEAR_SUMS, COPYING_TEXT)

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy, policy.model, after={"together": policy.model})


STAGES: dict[str, type[Any]] = {
    "seeing": Seeing,
    "copying": Copying,
    "reading": Reading,
    "together": Together,
    "settling": Settling,
}
WHOLE = ("together", "settling")
"""The stages that train the whole model, from what the others have come to or from another model."""
