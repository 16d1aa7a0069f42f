"""Episodes, many at once: `play(worlds, policy, engine, plan)` gives the trajectories in order.

An environment steps as soon as its answer is written, while the engine goes on with the answers of
the others, and its next answer is asked for as soon as it has stepped. An engine that wants to be asked
`together` is asked when it has nothing left to write, and all worlds have stepped. Everything is decided by
(seed, step): which task instances are played, and with what random numbers each member of a group; neither
the number of slots nor of workers changes it.

A failed episode is replaced by another try with other random numbers, and after `replacements` tries it stays
as it is, with stop reason `error`, to be masked: a group never gets shorter.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field

import numpy as np

from agents.conversation import ChatModel, Conversation, Limits
from agents.engines.base import Engine, Request, Sample, Sampling
from agents.seeds import mixed_seed
from agents.trajectory import ERROR, Trajectory, Turn
from agents.worlds import StepResult, Worlds, settled


@dataclass(frozen=True)
class Given:
    """How an episode begins: an expert's first answers, and the first ids of its next one."""

    answers: tuple[str, ...] = ()
    learnt: tuple[bool, ...] = ()
    """Which of them are to be learnt from."""
    begun: tuple[int, ...] = ()
    begun_learnt: bool = True


NOTHING = Given()


@dataclass(frozen=True)
class Plan:
    """What is played: `tasks` task instances, `group` episodes of each."""

    seed: int = 0
    step: int = 0
    tasks: int = 1
    group: int = 1
    sampling: Sampling = field(default_factory=Sampling)
    limits: Limits = field(default_factory=Limits)
    replacements: int = 2
    """Tries after a failure; 0 masks at once."""
    share: tuple[int, int] = (0, 1)
    """(k, n): of the tasks, those that process k of n plays."""
    seeds: tuple[int, ...] | None = None
    """The environment's, one a task; None draws them."""
    given: Mapping[tuple[int, int], Given] = field(default_factory=dict)
    """How the episode of (task, member) begins, where an expert begins it."""
    first_member: int = 0
    """Of the group, where it is played in parts."""

    def task_seed(self, task: int) -> int:
        """The environment's seed: the same for all members of a group."""
        return mixed_seed(self.seed, self.step, task) if self.seeds is None else self.seeds[task]

    def sampling_seed(self, task: int, member: int, attempt: int) -> int:
        return mixed_seed(self.seed, self.step, task, member, attempt, 1)


@dataclass
class _Episode:
    """A slot with the episode that is being played there."""

    slot: int
    trajectory: Trajectory
    seed: int
    given: Given
    seen: Future[StepResult]
    now: StepResult | None = None
    seconds: float = 0.0
    """That its last answer took."""
    began: float = 0.0
    """When it was asked for."""
    asked: Request | None = None
    """What is being written."""


def play(worlds: Worlds, model: ChatModel, engine: Engine, plan: Plan) -> list[Trajectory]:
    """The trajectories by task, then member."""
    first, stride = plan.share
    tasks = range(first, plan.tasks, stride)
    members = range(plan.first_member, plan.first_member + plan.group)
    waiting = deque((task, member, 0) for task in tasks for member in members)
    done: dict[tuple[int, int], Trajectory] = {}
    failed: dict[tuple[int, int], Trajectory] = {}
    playing: list[_Episode] = []
    free = deque(range(min(worlds.slots, len(waiting))))

    def begin(slot: int) -> None:
        task, member, attempt = waiting.popleft()
        conversation = Conversation(model, plan.limits)
        seed = plan.task_seed(task)
        given = plan.given.get((task, member), NOTHING)
        trajectory = Trajectory(conversation, worlds.id, task, member, seed, tries=attempt + 1)
        trajectory.aided = given != NOTHING
        sampling = plan.sampling_seed(task, member, attempt)
        playing.append(_Episode(slot, trajectory, sampling, given, worlds.reset(slot, seed)))

    def end(episode: _Episode) -> None:
        playing.remove(episode)
        free.append(episode.slot)
        trajectory = episode.trajectory
        engine.release(trajectory.conversation)
        key = (trajectory.task, trajectory.member)
        if (before := failed.pop(key, None)) is not None:
            trajectory.earlier, trajectory.written_earlier = before.errors, before.written
        if trajectory.failed and trajectory.tries <= plan.replacements:
            failed[key] = trajectory
            waiting.append((*key, trajectory.tries))
        else:
            done[key] = trajectory

    try:
        while waiting or playing:
            while free and waiting:
                begin(free.popleft())
            for episode in _stepped(playing, together=engine.together):
                if _look(episode) and not _prompt(worlds, episode):
                    episode.asked, episode.began = _request(episode, plan), time.monotonic()
                    engine.ask(episode.asked)
            asked = {id(episode.asked): episode for episode in playing if episode.asked}
            for request, sample in engine.answers() if asked else ():
                _answer(worlds, asked[id(request)], sample)
            for episode in [episode for episode in playing if episode.trajectory.stop]:
                end(episode)
    finally:
        for episode in playing:  # of a rollout that broke off
            engine.release(episode.trajectory.conversation)
    return [done[key] for key in sorted(done)]


def _stepped(playing: Sequence[_Episode], *, together: bool) -> list[_Episode]:
    """Those whose world has something to show: all of them, where they are to be asked together; else those
    that are ready, the first to be so where nothing is written meanwhile."""
    stepping = [episode for episode in playing if episode.asked is None]
    if together:
        return stepping if len(stepping) == len(playing) else []
    if len(stepping) == len(playing):
        wait([episode.seen for episode in stepping], return_when=FIRST_COMPLETED)
    return [episode for episode in stepping if episode.seen.done()]


def _request(episode: _Episode, plan: Plan) -> Request:
    conversation = episode.trajectory.conversation
    return Request(conversation, episode.seed, plan.sampling, plan.limits.max_new_tokens)


def _look(episode: _Episode) -> bool:
    """Takes in what the world shows; whether the agent is to answer."""
    trajectory, before, seen = episode.trajectory, episode.now, settled(episode.seen)
    if before is not None and not seen.error:
        told = seen.reward, seen.verdict, seen.feedback, before.facts, before.expert
        trajectory.turns.append(Turn(*told, seconds=episode.seconds))
    episode.now = seen
    if seen.error:
        trajectory.stop, trajectory.error = ERROR, seen.error
    elif seen.ended_by:
        trajectory.stop, trajectory.success = seen.ended_by, seen.success
    else:
        try:
            if not trajectory.conversation.observe(
                seen.text, seen.images, tool=seen.tool, briefing=seen.briefing
            ):
                trajectory.stop = trajectory.conversation.stopped or ERROR
        except ValueError as error:  # a picture that cannot be read
            trajectory.stop = ERROR
            trajectory.error = {"kind": "observation", "where": "observe", "message": str(error)}
    return not trajectory.stop


def _prompt(worlds: Worlds, episode: _Episode) -> bool:
    """Says or begins what is given; whether that was the whole answer. What has no room is not given, nor
    what comes after it: the agent goes on alone."""
    conversation, given = episode.trajectory.conversation, episode.given
    turn, room = len(conversation.answers), True
    if turn < len(given.answers):
        room = conversation.has_room_for(given.answers[turn])
        if room:
            text = conversation.say(given.answers[turn], learnt=given.learnt[turn])
            episode.seconds = 0.0
            episode.seen = worlds.step(episode.slot, text)
            return True
    elif turn == len(given.answers) and given.begun:
        room = conversation.begin(list(given.begun), learnt=given.begun_learnt)
    if not room:
        episode.given, episode.trajectory.aided = NOTHING, turn > 0
    return False


def _answer(worlds: Worlds, episode: _Episode, sample: Sample) -> None:
    """Takes in an answer that has just been written and lets its environment step."""
    episode.asked, episode.seconds = None, time.monotonic() - episode.began
    conversation = episode.trajectory.conversation
    if sample.error is not None:
        episode.trajectory.stop = ERROR
        episode.trajectory.error = {"kind": "engine", "where": "generate", "message": sample.error}
        return
    if sample.text is not None:
        text = conversation.say(sample.text, cut=sample.cut)
    else:
        text = conversation.act(sample.ids, sample.log_probs, sample.sampled_log_probs)
    episode.seen = worlds.step(episode.slot, text)


def summary(trajectories: Sequence[Trajectory]) -> dict[str, float]:
    """Counts that a run logs: success, reward, turns, stop reasons, verdicts; of all tries, how many there
    were and what went wrong in them by kind."""
    everyone, played = trajectories, [t for t in trajectories if not t.failed]
    row: dict[str, float] = {"episodes": len(everyone), "failed": len(everyone) - len(played)}
    row["tries"] = sum(t.tries for t in everyone)
    if played:
        row["success"] = float(np.mean([t.success for t in played]))
        row["flawless"] = float(np.mean([t.flawless for t in played]))
        row["return"] = float(np.mean([t.total_reward for t in played]))
        row["turns"] = float(np.mean([len(t.turns) for t in played]))
    for stop, count in sorted(Counter(t.stop for t in everyone).items()):
        row[f"stop/{stop}"] = count / len(everyone)
    verdicts = Counter(turn.verdict for t in played for turn in t.turns if turn.verdict)
    for verdict, count in sorted(verdicts.items()):
        row[f"verdict/{verdict}"] = count / sum(verdicts.values())
    for kind, count in sorted(
        Counter(error["kind"] for t in everyone for error in t.errors).items()
    ):
        row[f"failure/{kind}"] = count
    return row
