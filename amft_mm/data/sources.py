"""What a step learns from: rollouts and demonstrations of every environment of a run.

Everything drawn is a function of (seed, step). Each process gets its own part of what all processes' step
asks for; figures are all processes'.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
from omegaconf import DictConfig

from agents.conversation import Conversation
from agents.demonstrations import Demonstration
from agents.engines.base import Engine
from agents.policy import Policy
from agents.rollout import Given
from agents.seeds import mixed_seed
from agents.trajectory import Trajectory, by_task
from amft_mm.config.settings import dealt, demonstrations_of, parts_of, world_of
from amft_mm.data.curriculum import curriculum_of
from amft_mm.data.rollouts import Guided, Played, RolloutWorker, play_settings
from amft_mm.learning.example import Example
from amft_mm.methods.guidance.base import Group, Guidance, Place, success_rate
from amft_mm.runs.processes import ProcessGroup

HELDOUT_SEED = 2**29
"""Where something is drawn that no step trains on: added to the run's seed for rollouts. Demonstrations that
are held out are the same for all seeds."""
POOL = 2**28
"""In the place of a step, where task instances are of a pool."""
UNGUIDED = Guidance()


class Sources:
    def __init__(
        self, config: DictConfig, policy: Policy, engine: Engine, processes: ProcessGroup
    ) -> None:
        self._seed, self._tasks, self._group = config.seed, config.train.tasks, config.train.group
        if config.method.rival:  # which explores the same ones: as many rollouts as without it
            self._tasks = max(1, self._tasks // 2)
        self._resample = int(config.method.resample)
        self._numbers = self._tasks * (1 + self._resample)  # of an environment's tasks in a step
        settings = play_settings(config)
        self._cut = self._emptied = 0
        self._heldout_tokens = 0.0
        self.errors: list[dict[str, Any]] = []
        """Of the last step's rollouts, all processes', those that were drawn again among them."""
        self._policy, self._processes, self._limits = policy, processes, settings.limits
        self._engine = engine
        self.parts = parts_of(config.env)
        self._shares = [part.share for part in self.parts]
        self._demonstrations = (
            [demonstrations_of(config.demos.folder, part) for part in self.parts]
            if config.demos.folder
            else []
        )
        self.curriculum = curriculum_of(config)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ahead")
        self._workers = [
            RolloutWorker(world_of(part.env), policy, engine, settings, processes)
            for part in self.parts
        ]

    def rollouts(
        self, step: int, guided_by: Guidance = UNGUIDED, done: float = 0.0
    ) -> tuple[list[Group], dict[str, Any]]:
        """Those of this process by task instance, and figures. `done`: the share of the run's steps."""
        groups: list[Group] = []
        row: dict[str, Any] = {}
        figures: list[dict[str, float]] = []
        self.errors = []
        counts = self.curriculum.deal(step, self._tasks)
        for number, (part, tasks) in enumerate(zip(self.parts, counts, strict=True)):
            if not tasks:
                continue
            places = self._places(number, step, tasks) if guided_by.shown else None
            played = self._play(number, step, tasks, guided_by, done, places)
            own, again = self._groups(number, played, places), list[Played]()
            if self._resample:
                own, again = self._drawn_again(number, step, tasks, own, row)
            groups += own
            self.errors += [error for one in [*played, *again] for error in one.errors]
            metrics = together([one.metrics for one in played])
            metrics |= tried([one.metrics for one in [*played, *again]])
            figures.append(metrics)
            if len(self.parts) > 1 and "success" in metrics:
                row[f"rollout/{part.name}/success"] = metrics["success"]
        row |= {f"rollout/{k}": v for k, v in together(figures).items() if k != "generated"}
        more = row.get("tokens/drawn_again", 0)
        row["tokens/generated"] = sum(f["generated"] for f in figures) + more
        taught = sum(t.written for _, members in groups if differ(members) for t in members)
        (taught_by,) = self._processes.sum(taught)
        if row["tokens/generated"]:
            row["rollout/zero_std"] = 1.0 - taught_by / row["tokens/generated"]
        kept = self.curriculum.keep(groups, self._processes)
        return kept, row | self.curriculum.figures()

    def _groups(
        self, number: int, played: Sequence[Played], places: list[int] | None = None, first: int = 0
    ) -> list[Group]:
        """This process's of an environment. Tasks are told apart by their number, over all of them."""
        groups: list[Group] = []
        for task, members in by_task(t for one in played for t in one.mine).items():
            told = task + first + number * self._numbers
            place = -1 if places is None else places[task]
            groups.append(((number, place), [replace(t, task=told) for t in members]))
        return groups

    def _drawn_again(
        self, number: int, step: int, tasks: int, drawn: list[Group], row: dict[str, Any]
    ) -> tuple[list[Group], list[Played]]:
        """Dynamic sampling (DAPO, arXiv 2503.14476): the groups whose members differ, and new ones instead
        of the others, until all do or `resample` rounds are over. If none does, those that were drawn. And
        what was played for it."""
        kept = [group for group in drawn if differ(group[1])]
        played, extra = list[Played](), 0
        for again in range(1, self._resample + 1):
            (found,) = self._processes.sum(len(kept))
            missing = tasks - int(found)
            if not missing:
                break
            self.settle()  # what other environments play ahead asks the same engine
            played.append(self._unguided(number, step, missing, again))
            more = self._groups(number, played[-1:], first=again * self._tasks)
            kept += [group for group in more if differ(group[1])]
            extra += missing
        row["rollout/drawn_again"] = row.get("rollout/drawn_again", 0) + extra
        tokens = sum(one.metrics["generated"] for one in played)
        row["tokens/drawn_again"] = row.get("tokens/drawn_again", 0) + tokens
        (found,) = self._processes.sum(len(kept))
        return (kept if found else drawn), played

    def _unguided(self, number: int, step: int, tasks: int, again: int = 0) -> Played:
        """New task instances, or what the curriculum picks of the pool."""
        seed = mixed_seed(self._seed, number, again, 17) if again else self._seed
        picked = self.curriculum.pick(number, step, tasks, again)
        guided = self._of_pool(picked)
        played = self._workers[number].play(seed, step, tasks, self._group, guided=guided)
        if picked is not None:
            fared = {picked[task]: rate for task, rate in played.fared.items()}
            self.curriculum.fared(number, fared)
        return played

    def _of_pool(self, picked: list[int] | None) -> Guided:
        if picked is None:
            return Guided()
        return Guided(tuple(mixed_seed(self._seed, POOL, i) for i in picked))

    def play_ahead(self, step: int) -> None:
        """Begins to play a step's episodes in a thread; `rollouts` of that step takes them. Until then the
        engine is that thread's; `settle` waits for it."""
        for number, tasks in enumerate(self.curriculum.deal(step, self._tasks)):
            if tasks:
                guided = self._of_pool(self.curriculum.pick(number, step, tasks))
                worker = self._workers[number]
                worker.play_ahead(self._thread, self._seed, step, tasks, self._group, guided)

    def settle(self) -> None:
        for worker in self._workers:
            worker.settle()

    def _play(
        self,
        number: int,
        step: int,
        tasks: int,
        guided_by: Guidance,
        done: float,
        places: list[int] | None,
    ) -> list[Played]:
        """An environment's episodes of a step, round by round."""
        worker, rounds = self._workers[number], guided_by.rounds(self._group)
        if places is None:
            return [self._unguided(number, step, tasks)]
        rows = [self._demonstrations[number][place] for place in places]
        for row in rows:
            if row.world != worker.world.id:
                raise ValueError(
                    f"this method explores the task instances of its demonstrations, but {row.name} is of "
                    f"{row.world or 'no world'}, not of {worker.world.id}"
                )
        played: list[Played] = []
        for round_, size in enumerate(rounds):
            first, groups = sum(rounds[:round_]), by_task(t for one in played for t in one.mine)
            given: dict[tuple[int, int], Given] = {}
            for task in self._processes.mine(range(tasks)):
                rng = np.random.default_rng([self._seed, step, number, task, round_])
                won = success_rate(groups.get(task, [])) or 0.0
                shares = guided_by.shares(round_, size, done, won, rng)
                for k, learnt in enumerate(guided_by.learnt(round_, size)):
                    if shares[k] > 0:
                        given[task, first + k] = beginning(
                            rows[task], shares[k], self._policy, learnt=learnt
                        )
            guided = Guided(tuple(row.seed for row in rows), given, first)
            played.append(worker.play(self._seed, step, tasks, size, guided=guided))
        return played

    def _places(self, number: int, step: int, count: int) -> list[int]:
        self._need_demonstrations(step)
        return self._demonstrations[number].places(self._seed, step, count)

    def demonstration_at(self, place: Place) -> Demonstration:
        part, row = place
        found: Demonstration = self._demonstrations[part][row]
        return found

    def examples_at(self, places: Sequence[Place]) -> list[Example]:
        return self._imitated(self._demonstrations[part][row] for part, row in places)

    def demonstrations(
        self, step: int, count: int, only: str | None = None, share: tuple[int, int] = (0, 1)
    ) -> list[Example]:
        """Of one environment, if `only` names it. `share` (k, n): every n-th of them from the k-th on."""
        return self._imitated(self._of_step(step, count, only, share))

    def count(self, step: int, count: int, only: str | None, share: tuple[int, int]) -> int:
        """How many that is, of all processes."""
        return len(range(share[0], sum(self._dealt(count, step, only)), share[1]))

    def _of_step(
        self, step: int, count: int, only: str | None = None, share: tuple[int, int] = (0, 1)
    ) -> list[Demonstration]:
        self._need_demonstrations(step)
        counts = self._dealt(count, step, only)
        rows = [
            row
            for demonstrations, wanted in zip(self._demonstrations, counts, strict=True)
            for row in demonstrations.batch(self._seed, step, wanted)
        ]
        return self._processes.mine(rows[share[0] :: share[1]])

    def heldout_rollouts(
        self, step: int, tasks: int, only: str | None = None
    ) -> list[list[Trajectory]]:
        """Groups of this process, of the training split, by seeds that no step draws."""
        self.settle()
        groups: list[list[Trajectory]] = []
        for worker, count in zip(self._workers, self._dealt(tasks, step, only), strict=True):
            if count:
                played = worker.play(HELDOUT_SEED + self._seed, step, count, self._group)
                groups += by_task(played.mine).values()
                self._heldout_tokens += played.metrics["generated"]
        self._engine.rest()
        return groups

    def heldout_tokens(self) -> float:
        """How many were written in held-out rollouts since this was asked last, by all processes."""
        tokens, self._heldout_tokens = self._heldout_tokens, 0.0
        return tokens

    def heldout_demonstrations(
        self, step: int, count: int, only: str | None = None
    ) -> list[Example]:
        """The expert's episodes of seeds that no step draws, the same in runs of all seeds."""
        workers = [
            worker
            for worker, number in zip(self._workers, self._dealt(count, step, only), strict=True)
            for _ in range(number)
        ]
        wanted = [(worker, mixed_seed(HELDOUT_SEED, step, k)) for k, worker in enumerate(workers)]
        return self._examples(
            worker.demonstrate(seed) for worker, seed in self._processes.mine(wanted)
        )

    def measured_on(self, count: int) -> list[Example]:
        """Held-out demonstrations; where the world has no expert, some of those that are trained on."""
        return self.heldout_demonstrations(0, count) or self._examples(self._of_step(0, count))

    def expert_of(self, trajectory: Trajectory) -> Example | None:
        """The expert's episode of the task instance of a rollout."""
        worker = self._workers[self.number_of(trajectory)]
        return next(iter(self._examples([worker.demonstrate(trajectory.seed)])), None)

    def _need_demonstrations(self, step: int) -> None:
        if not self._demonstrations:
            raise ValueError(
                f"step {step} wants demonstrations, and demos.n=0: with method=grpo (or another that "
                "explores alone) and train.warmup_steps=0 none are needed"
            )

    def env_of(self, trajectory: Trajectory) -> str:
        return self.parts[self.number_of(trajectory)].name

    def number_of(self, trajectory: Trajectory) -> int:
        """Of its environment."""
        return trajectory.task // self._numbers

    def _dealt(self, count: int, step: int, only: str | None) -> list[int]:
        counts = dealt(count, self._shares, step)
        wanted = [only in (None, part.name) for part in self.parts]
        return [number if here else 0 for number, here in zip(counts, wanted, strict=True)]

    def _examples(self, rows: Iterable[Demonstration | None]) -> list[Example]:
        """What can be read: conversations in which the limits leave an answer."""
        return [Example(c) for c in self._conversations(rows) if c.answers]

    def _conversations(self, rows: Iterable[Demonstration | None]) -> list[Conversation]:
        return [row.conversation(self._policy, self._limits) for row in rows if row]

    def _imitated(self, rows: Iterable[Demonstration]) -> list[Example]:
        """The same of what a step imitates, and what the limits take of it is counted."""
        conversations = self._conversations(rows)
        longest = self._limits.max_new_tokens
        self._cut += sum(
            bool(c.stopped) or any(answer.stop - answer.start > longest for answer in c.answers)
            for c in conversations
        )
        self._emptied += sum(not conversation.answers for conversation in conversations)
        return [Example(conversation) for conversation in conversations if conversation.answers]

    def cut(self) -> tuple[int, int]:
        """How many demonstrations that were imitated the limits have cut short since this was asked last, or
        have an answer that is longer than the agent's may be, and of how many nothing was left; of all
        processes."""
        cut, emptied = self._processes.sum(self._cut, self._emptied)
        self._cut = self._emptied = 0
        return int(cut), int(emptied)

    def close(self) -> None:
        self._thread.shutdown()
        for worker in self._workers:
            worker.close()


def differ(members: Sequence[Trajectory]) -> bool:
    """Whether the episodes of a group that did not fail have different returns."""
    return len({t.total_reward for t in members if not t.failed}) > 1


def beginning(row: Demonstration, share: float, policy: Policy, *, learnt: bool = True) -> Given:
    """The first `share` of a demonstration's tokens: whole answers, then a part of one. A slip is never
    given in part: what ends it is not imitated. Without `learnt`, nothing of it is to be learnt from."""
    written = [policy.chat_format.answer(answer) for answer in row.answers]
    left = int(share * sum(map(len, written)) + 1e-9)
    whole = 0
    while whole < len(written) and left >= len(written[whole]):
        left -= len(written[whole])
        whole += 1
    begun = written[whole][:left] if whole < len(written) and whole not in row.slips else []
    whole_learnt = tuple(learnt and number not in row.slips for number in range(whole))
    return Given(tuple(row.answers[:whole]), whole_learnt, tuple(begun), learnt or not begun)


def tried(figures: Sequence[dict[str, float]]) -> dict[str, float]:
    """How many tries there were, and what went wrong in them by kind."""
    names = sorted({k for f in figures for k in f if k == "tries" or k.startswith("failure/")})
    return {name: sum(f.get(name, 0) for f in figures) for name in names}


def together(figures: Sequence[dict[str, float]]) -> dict[str, float]:
    """Figures of several environments: counts add up, shares and means by numbers of the episodes that they
    are of. Those that failed have nothing but a reason to stop."""
    counts = ("episodes", "failed", "tries", "generated")
    out: dict[str, float] = {name: sum(f[name] for f in figures) for name in counts}
    for name in sorted({key for f in figures for key in f} - set(counts)):
        if name.startswith("failure/"):
            out[name] = sum(f.get(name, 0) for f in figures)
        else:
            weights = [_counted(name, f) for f in figures]
            parts = (f.get(name, 0.0) * w for f, w in zip(figures, weights, strict=True))
            out[name] = sum(parts) / sum(weights)
    return out


def _counted(name: str, figures: dict[str, float]) -> float:
    """How many a share or mean is of: verdicts are turns', reasons to stop all episodes'."""
    played = figures["episodes"] - figures["failed"]
    if name.startswith("verdict/"):
        told = any(other.startswith("verdict/") for other in figures)
        return played * figures["turns"] if told else 0
    return figures["episodes"] if name.startswith("stop/") else played
