"""Many environments at once, in threads or processes, none of which can take the run with it.

    worlds = Worlds(World("amft/VIRL-v0", {"modality": "visual"}), slots=16, workers=2)
    future = worlds.reset(slot, seed)     -> StepResult
    future = worlds.step(slot, text)      -> StepResult

A slot is one environment. It always lives in the same worker, and what it answers depends on its own
calls alone, so the number of workers changes nothing but the time. An environment that raises, hangs
or answers nonsense gives a StepResult with `error`; so does a worker process that dies, which is replaced.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import signal
from concurrent.futures import (
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import gymnasium
import numpy as np

from envs.answers import whole_characters
from envs.arguments import make_env
from envs.contract import one_of, whole_number
from envs.guard import CallFailed, GuardedEnv, failure_of
from envs.shown import NO_BRIEFING, Briefing, shown

KINDS = ("threads", "processes")
MOST_BITS = 10_000
"""Of a whole number that a world tells; Python writes and reads no more than 4,300 digits."""


@dataclass(frozen=True)
class World:
    """An environment by its id and the keyword arguments of `gymnasium.make`."""

    id: str
    options: dict[str, Any] = field(default_factory=dict)

    def make(self) -> gymnasium.Env[Any, Any]:
        import envs  # noqa: F401 - makes the suite's own worlds known

        try:
            return make_env(self.id, self.options, disable_env_checker=True)
        except (gymnasium.error.Error, ModuleNotFoundError) as error:
            module = self.id.partition(":")[0]
            if isinstance(error, ModuleNotFoundError) and f"'{module}'" not in str(error):
                raise  # what the environment itself imports
            raise ValueError(
                f"environment {self.id!r} is not known: {str(error).rstrip('.')}. An environment of "
                "your own is named MODULE:ID, as my_file:my/Env-v0, and the module registers the ID with "
                "gymnasium"
            ) from None


@dataclass
class StepResult:
    """What came of a reset or a step: plain data that travels between processes."""

    text: str
    images: tuple[np.ndarray, ...] = ()
    """None also where they are those of before."""
    tool: str = ""
    """Whose result it is."""
    briefing: Briefing = NO_BRIEFING
    """What the world tells with a reset."""
    reward: float = 0.0
    verdict: str | None = None
    feedback: str = ""
    success: bool = False
    ended_by: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    expert: str | None = None
    error: dict[str, Any] | None = None


class Worlds:
    """See the module's docstring."""

    _numbers = count()

    def __init__(
        self,
        world: World,
        slots: int,
        *,
        workers: int = 1,
        kind: str = "threads",
        seconds: float | None = 60.0,
        experts: bool = False,
    ) -> None:
        """
        workers   threads or processes that the slots are divided among
        seconds   a call that takes longer costs its episode; None is no limit
        experts   StepResult.expert tells what an expert would do now, where the world has one
        """
        self.slots = whole_number("slots", slots, 1, 100_000)
        self._workers = min(whole_number("workers", workers, 1, 1024), slots)
        self._kind = one_of("kind", kind, KINDS)
        self.id = world.id
        self._world, self._seconds, self._experts = world, seconds, experts
        self._name = next(self._numbers)  # tells this object's environments from another's
        # What cannot be built is a mistake in the set-up: said at once.
        GuardedEnv(world.make, seconds=seconds).close()
        if kind == "threads":
            _built.add(self._name)
        self._executors: dict[int, Executor] = {}

    def reset(
        self, slot: int, seed: int, options: dict[str, Any] | None = None
    ) -> Future[StepResult]:
        return self._submit(slot, "reset", (seed, options))

    def step(self, slot: int, text: str) -> Future[StepResult]:
        return self._submit(slot, "step", (text,))

    def close(self) -> None:
        for executor in self._executors.values():
            with contextlib.suppress(BrokenExecutor):  # it died, and its environments with it
                executor.submit(_forget, self._name)
            executor.shutdown(wait=False, cancel_futures=False)

    def _submit(self, slot: int, call: str, arguments: tuple[Any, ...]) -> Future[StepResult]:
        number = slot % self._workers
        setting = (self._world, self._seconds, self._experts)
        job = ((self._name, slot), setting, call, arguments)
        if number not in self._executors:
            self._executors[number] = self._executor()
        try:
            return self._executors[number].submit(_serve, *job)
        except BrokenProcessPool:  # it died before: this call goes to its successor
            self._executors[number] = self._executor()
            return self._executors[number].submit(_serve, *job)

    def _executor(self) -> Executor:
        if self._kind == "threads":
            return ThreadPoolExecutor(1, thread_name_prefix="world")
        # Fresh interpreters: forking a process that has torch's threads can hang.
        spawned = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(1, mp_context=spawned, initializer=_leave_interrupts)


def settled(future: Future[StepResult]) -> StepResult:
    """What a call came to; a worker that died is an error of the episode."""
    try:
        return future.result()
    except BrokenProcessPool:
        message = "the worker process died (killed, or out of memory)"
        return StepResult("", error={"kind": "worker", "where": "worker", "message": message})


# What runs in a worker.


def _leave_interrupts() -> None:
    """A Ctrl+C is for the run, which ends its workers itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


_environments: dict[tuple[int, int], GuardedEnv] = {}
_built: set[int] = set()
"""Whose environments could be built in this process: that one more can not is no mistake in the set-up."""


def _serve(
    name: tuple[int, int],
    setting: tuple[World, float | None, bool],
    call: str,
    arguments: tuple[Any, ...],
) -> StepResult:
    world, seconds, experts = setting
    if name not in _environments:
        if call == "step":
            message = "the environment was lost with its worker process"
            return StepResult("", error={"kind": "worker", "where": "step", "message": message})
        try:
            _environments[name] = GuardedEnv(world.make, seconds=seconds)
        except Exception as error:
            if name[0] not in _built:
                raise
            message = f"the world cannot be built: {type(error).__name__}: {error!s:.500}"
            return StepResult("", error={"kind": "exception", "where": call, "message": message})
        _built.add(name[0])
    env = _environments[name]
    try:
        if call == "reset":
            observation, info = env.reset(seed=arguments[0], options=arguments[1])
            return _seen(env, observation, 0.0, _ended(info), info, experts)
        observation, reward, terminated, truncated, info = env.step(arguments[0])
        ended = _ended(info) or ("terminated" if terminated else "truncated" if truncated else None)
        return _seen(env, observation, float(reward), ended, info, experts)
    except Exception as error:  # what a world gives may be anything, and fail where it is read
        message = f"what the world gave cannot be read: {type(error).__name__}: {error!s:.500}"
        return StepResult("", error={"kind": "observation", "where": call, "message": message})


def _forget(name: int) -> None:
    _built.discard(name)
    for key in list(_environments):  # other threads may be adding theirs
        if key[0] == name:
            _environments.pop(key).close()


def _ended(info: dict[str, Any]) -> str | None:
    ended = info.get("ended_by")
    return whole_characters(str(ended)) if ended else None


def _seen(
    env: GuardedEnv,
    observation: Any,
    reward: float,
    ended: str | None,
    info: dict[str, Any],
    experts: bool,
) -> StepResult:
    if (failure := failure_of(info)) is not None:
        return StepResult("", error=plain(failure), ended_by="error")
    try:
        told = shown(observation, info)
    except ValueError as error:
        return StepResult("", error={"kind": "observation", "where": "info", "message": str(error)})
    verdict = info.get("verdict")
    return StepResult(
        text=told.text,
        images=told.images,
        tool=told.tool,
        briefing=told.briefing,
        reward=reward,
        verdict=None if verdict is None else whole_characters(str(verdict)),
        feedback=whole_characters(str(info.get("feedback", ""))),
        success=bool(info.get("success", False)),
        ended_by=ended,
        facts={k: v for k, v in map(_fact, info.items()) if v is not None and k not in _KNOWN},
        expert=_expert(env) if experts and not ended else None,
    )


_KNOWN = (
    "verdict", "success", "feedback", "ended_by", "new_image", "system", "tools", "tool",
)  # fmt: skip


def _expert(env: GuardedEnv) -> str | None:
    try:
        return whole_characters(str(env.ask("expert")))
    except (NotImplementedError, CallFailed):
        return None


def _fact(item: tuple[str, Any]) -> tuple[str, Any]:
    return item[0], plain(item[1])


def plain(value: Any) -> Any:
    """What JSON can hold of a value; None for what it cannot, such as numbers that are none."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        return None
    if isinstance(value, bool | int | float | str) or value is None:
        return value if type(value) in (bool, int, float, str) else str(value)
    if isinstance(value, tuple | list):
        return [plain(part) for part in value]
    if isinstance(value, dict):
        return {str(key): plain(part) for key, part in value.items()}
    return None
