"""Makes a bad episode data, not a crash.

`GuardedEnv(make_env, seconds=10)` is the environment that `make_env()` builds, except that

- an exception in `reset` or `step`,
- a call that takes longer than `seconds`,
- a reward that is not a finite number,
- an observation outside the observation space

ends its own episode: `step` returns reward 0.0 and `truncated=True`, the last good observation (or
an empty one), and an `info` with `ended_by="error"` and

    error = {"kind": "exception" | "hang" | "reward" | "observation", "where": "reset" | "step",
             "message": ..., "traceback": ...}

A `reset` that fails returns that `info` at once. Until the next reset every step returns the same.
After a hang or a failed reset the environment is built anew, when it is next reset. `errors` counts
what happened by kind. KeyboardInterrupt passes through.

With a time limit the environment lives in a thread of its own. A call that hangs cannot be stopped,
only abandoned: its thread ends when the call does, and never keeps the program from ending. An
environment that holds Python's lock for ever cannot be guarded this way. Who waits is told: a warning is
logged where a call takes longer than `PATIENCE` seconds or is given up, one in as long at the most.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import math
import queue
import threading
import time
import traceback
import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from gymnasium import spaces

from envs.contract import EndedBy
from envs.image import Pictures

log = logging.getLogger(__name__)
PATIENCE = 10.0
LONGEST_MESSAGE = 500
LONGEST_TRACEBACK = 4_000


def failure_of(info: dict[str, Any]) -> dict[str, Any] | None:
    """The error that a guard put there. A world's own `error` is a word of the world, and no failure."""
    error = info.get("error")
    if isinstance(error, dict) and {"kind", "where", "message"} <= error.keys():
        return error
    return None


class _Failure(Exception):
    """Something went wrong within the environment; `kind` says what."""

    def __init__(self, kind: str, message: str, trace: str = "") -> None:
        super().__init__(message)
        self.kind, self.message, self.trace = kind, message, trace


class CallFailed(RuntimeError):
    """The environment's own `expert` or `mistake` raised or took too long."""


class GuardedEnv(gymnasium.Wrapper[Any, Any, Any, Any]):
    """See the module's docstring."""

    def __init__(
        self, make_env: Callable[[], gymnasium.Env[Any, Any]], *, seconds: float | None = None
    ) -> None:
        if not callable(make_env):
            raise TypeError(
                f"make_env={make_env!r:.80} is not a function that builds the environment, such as "
                f"lambda: gymnasium.make('my/Env-v0')"
            )
        if seconds is not None and not seconds > 0:
            raise ValueError(f"seconds={seconds!r} is not a number above 0, nor None for no limit.")
        self.errors: Counter[str] = Counter()
        self._make_env, self._seconds = make_env, seconds
        self._thread = _CallThread() if seconds is not None else None
        # What cannot even be built is a mistake in the set-up, not a bad episode: it raises.
        try:
            env = (
                self._thread.call(make_env, None, "a world that is made")
                if self._thread
                else make_env()
            )
        except _Raised as raised:
            raise raised.error from None
        super().__init__(env)
        self._name = getattr(self.env.spec, "id", None) or type(self.env.unwrapped).__name__
        self._fits = _membership(env.observation_space)
        self._last_observation = empty_observation(env.observation_space)
        self._must_rebuild = False
        self._abandoned = self._closed = False
        self._ended: dict[str, Any] | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        self._ended = None
        try:
            if self._must_rebuild:
                self._rebuild()
            observation, info = self._guarded(
                lambda: _pair(self.env.reset(seed=seed, options=options))
            )
            self._check_observation(observation)
        except _Failure as failure:
            self._must_rebuild = True
            return self._last_observation, self._fail(failure, "reset")
        self._last_observation = observation
        return observation, info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        if self._ended is not None:
            return self._last_observation, 0.0, False, True, copy.deepcopy(self._ended)
        try:
            observation, reward, terminated, truncated, info = self._guarded(
                lambda: _quintuple(self.env.step(action))
            )
            _check_reward(reward)
            self._check_observation(observation)
        except _Failure as failure:
            return self._last_observation, 0.0, False, True, self._fail(failure, "step")
        self._last_observation = observation
        return observation, reward, terminated, truncated, info

    def ask(self, method: str, *arguments: Any) -> Any:
        """What the environment's own `expert` or `mistake` says, within the time limit. NotImplementedError
        is its answer that it has none; all else is a CallFailed."""
        if not hasattr(self.env.unwrapped, method):
            raise NotImplementedError(f"{self._name} has no {method}()")
        try:
            return self._guarded(lambda: getattr(self.env.unwrapped, method)(*arguments))
        except _Failure as failure:
            if isinstance(failure.__cause__, NotImplementedError):
                raise failure.__cause__ from None
            if self._abandoned:  # it still hangs there: nothing more is to be had of this episode
                self._fail(failure, method)
            raise CallFailed(f"{method}(): {failure.kind}: {failure.message}") from None

    def close(self) -> None:
        """Closes the environment, unless it hangs; what it raises while closing helps no one."""
        if self._closed:
            return
        if not self._abandoned:
            with contextlib.suppress(_Failure):
                self._guarded(self.env.close)
        self._closed = True
        if self._thread is not None:
            self._thread.end()

    def _rebuild(self) -> None:
        if not self._abandoned:
            with contextlib.suppress(_Failure):
                self._guarded(self.env.close)
        self.env = self._guarded(self._make_env)
        self._must_rebuild = self._abandoned = False

    def _guarded(self, function: Callable[[], Any]) -> Any:
        if self._closed:  # its thread has ended, and nobody would answer
            raise _Failure("exception", "the environment was closed")
        try:
            if self._thread is None:
                return function()
            return self._thread.call(function, self._seconds, self._name)
        except _Failure:  # a hang
            self._abandon()
            raise
        except KeyboardInterrupt:
            # While it waits: what comes would be taken for the next call's answer.
            if self._thread is not None:
                self._thread.end()
                self._abandon()
                self._fail(_Failure("interrupt", "the call was interrupted"), "call")
            raise
        except _Raised as raised:
            raise _described(raised.error) from raised.error
        except (Exception, SystemExit) as error:
            raise _described(error) from error

    def _abandon(self) -> None:
        """The call goes on in its thread, and is nobody's any more."""
        self._thread = _CallThread()
        self._must_rebuild = self._abandoned = True

    def _check_observation(self, observation: Any) -> None:
        try:
            fits = self._fits(observation)
        except Exception:  # spaces expect a value of about the right kind
            fits = False
        if fits and (text := _unwritable(observation)) is not None:
            raise _Failure("observation", f"a text with a lone surrogate: {text!r:.100}")
        if not fits:
            raise _Failure(
                "observation",
                f"the observation is outside the space {self.env.observation_space}: "
                f"{_short_repr(observation)}",
            )

    def _fail(self, failure: _Failure, where: str) -> dict[str, Any]:
        self.errors[failure.kind] += 1
        self._ended = {
            "verdict": None,
            "success": False,
            "feedback": "",
            "ended_by": EndedBy.ERROR,
            "new_image": False,
            "error": {
                "kind": failure.kind,
                "where": where,
                "message": failure.message[:LONGEST_MESSAGE],
                "traceback": failure.trace[-LONGEST_TRACEBACK:],
            },
        }
        return copy.deepcopy(self._ended)


class _Raised(Exception):
    """Carries what a call raised from its thread to the caller's."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


class _CallThread:
    """A thread that runs one call after another, for a caller who waits only so long."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Callable[[], Any] | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
        thread = threading.Thread(
            target=_run_calls, args=(self._calls, self._results), name="GuardedEnv", daemon=True
        )
        thread.start()
        self.end = weakref.finalize(self, self._calls.put, None)

    def call(self, function: Callable[[], Any], seconds: float | None, name: str) -> Any:
        self._calls.put(function)
        try:
            value, error = self._waited_for(seconds, name)
        except queue.Empty:
            self.end()
            _notice(f"{name}: a call took longer than {seconds:g} s and is given up")
            raise _Failure("hang", f"the call took longer than {seconds} seconds") from None
        if isinstance(error, KeyboardInterrupt):
            raise error
        if error is not None:
            raise _Raised(error)
        return value

    def _waited_for(self, seconds: float | None, name: str) -> tuple[Any, BaseException | None]:
        end = "there is no limit" if seconds is None else f"it is given up after {seconds:g} s"
        waited = 0.0
        while seconds is None or waited + PATIENCE < seconds:
            try:
                return self._results.get(timeout=PATIENCE)
            except queue.Empty:
                waited += PATIENCE
                _notice(f"{name}: a call takes longer than {waited:g} s; {end}")
        return self._results.get(timeout=seconds - waited)


_last_notice = float("-inf")


def _notice(words: str) -> None:
    """Many worlds may hang at once: one word in `PATIENCE` seconds is enough."""
    global _last_notice
    now = time.monotonic()
    if now - _last_notice >= PATIENCE:
        _last_notice = now
        log.warning("%s", words)


def _run_calls(
    calls: queue.SimpleQueue[Callable[[], Any] | None],
    results: queue.SimpleQueue[tuple[Any, BaseException | None]],
) -> None:
    while (function := calls.get()) is not None:
        try:
            results.put((function(), None))
        except BaseException as error:
            results.put((None, error))
        del function  # it holds the environment


def _described(error: BaseException) -> _Failure:
    trace = "".join(traceback.format_exception(error, limit=-12, chain=False))
    return _Failure("exception", f"{type(error).__name__}: {_safely(str, error)}", trace)


def _unwritable(observation: Any) -> str | None:
    """A text that no file and no tokenizer takes."""
    if isinstance(observation, dict):
        found = (_unwritable(part) for part in observation.values())
        return next((text for text in found if text is not None), None)
    if isinstance(observation, str):
        try:
            observation.encode("utf-8")
        except UnicodeEncodeError:
            return observation
    return None


def _check_reward(reward: Any) -> None:
    try:
        finite = not isinstance(reward, str | bytes) and math.isfinite(float(reward))
    except (TypeError, ValueError, OverflowError):
        finite = False
    if not finite:
        raise _Failure("reward", f"the reward is not a finite number: {_short_repr(reward)}")


def _short_repr(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"array of shape {value.shape} and dtype {value.dtype}"
    if isinstance(value, dict):
        parts = (f"{key!r:.40}: {_short_repr(part)}" for key, part in value.items())
        return "{" + ", ".join(parts) + "}"
    return _safely(repr, value)[:200]


def _safely(describe: Callable[[Any], str], value: Any) -> str:
    try:
        return describe(value)
    except Exception:
        return f"a {type(value).__name__} that cannot be printed"


def _pair(result: Any) -> tuple[Any, dict[str, Any]]:
    observation, info = result
    return observation, dict(info)


def _quintuple(result: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
    observation, reward, terminated, truncated, info = result
    return observation, reward, bool(terminated), bool(truncated), dict(info)


def empty_observation(space: spaces.Space[Any]) -> Any:
    """A member of the space that shows nothing: black pictures, empty texts."""
    if isinstance(space, spaces.Dict):
        return {name: empty_observation(part) for name, part in space.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(empty_observation(part) for part in space)
    if isinstance(space, spaces.Box):
        return np.clip(np.zeros(space.shape, space.dtype), space.low, space.high)
    if isinstance(space, spaces.Text) and space.min_length == 0:
        return ""
    if isinstance(space, Pictures):
        return []
    return space.sample()


def _membership(space: spaces.Space[Any]) -> Callable[[Any], bool]:
    """`space.contains`, without looking at every pixel of pictures whose type says enough."""
    if isinstance(space, spaces.Dict):
        parts = {name: _membership(part) for name, part in space.items()}
        return lambda value: (
            isinstance(value, dict)
            and value.keys() == parts.keys()
            and all(fits(value[name]) for name, fits in parts.items())
        )
    if isinstance(space, spaces.Box) and space.dtype == np.uint8:
        shape = space.shape
        if (space.low == 0).all() and (space.high == 255).all():
            return lambda value: (
                isinstance(value, np.ndarray) and value.shape == shape and value.dtype == np.uint8
            )
    return space.contains
