"""Parts of a comparison's results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from amft_mm.compare.grid import WARM, warm_up_name
from amft_mm.compare.result import ELSEWHERE, STEPS, Points, Result, Score
from amft_mm.compare.statistics import BySeed
from amft_mm.evaluation.intervals import pass_at
from amft_mm.methods.presets import SHOWN, demonstrations_of, methods

Before = Mapping[str, Result]
"""The warm-ups, by the names of their folders."""
Setting = tuple[str, str]
"""Environment and condition."""


def settings_of(results: Iterable[Result]) -> list[Setting]:
    return list(dict.fromkeys((r.env, r.condition) for r in results))


def file_name(*words: str) -> str:
    """Of a figure or a page, without its ending."""
    return "-".join(words).replace(" ", "-").replace("%", "")


def conditions_of(results: Iterable[Result]) -> list[str]:
    """Of an environment."""
    return [condition for _, condition in settings_of(results)]


def methods_of(results: Iterable[Result]) -> list[str]:
    return list(dict.fromkeys(r.method for r in results))


def by_seed(results: Sequence[Result], method: str, split: str | None = None) -> BySeed:
    """On a split; on the first where none is named."""
    own = [r for r in results if r.method == method]
    return {r.seed: r.first if split is None else r.scores[split] for r in own}


def on_shared_splits(results: Sequence[Result]) -> tuple[list[Result], list[str]]:
    """Runs of a setting with the splits that all of them were evaluated on, in the same order; and which
    others some have."""
    shared: dict[Setting, list[str]] = {}
    for setting in settings_of(results):
        own = [r.scores for r in results if (r.env, r.condition) == setting and r.scores]
        shared[setting] = [s for s in own[0] if all(s in scores for scores in own)] if own else []
        if own and not shared[setting]:
            raise ValueError(
                f"{' '.join(setting)}: no split was evaluated in all runs: compare fewer by only="
            )
    cut = [
        replace(r, scores={s: r.scores[s] for s in shared[r.env, r.condition]}) if r.scores else r
        for r in results
    ]
    left = {s: None for r in results for s in r.scores if s not in shared[r.env, r.condition]}
    return cut, list(left)


def runs_of(results: Iterable[Result], *methods: str) -> tuple[Result, ...]:
    """In the order of these methods."""
    own = list(results)
    return tuple(r for method in methods for r in own if r.method == method)


def on_the_way(results: Iterable[Result]) -> dict[str, str]:
    """Curves of success on other splits than the first, with the splits' names: those that have points on
    the way."""
    return {
        key: key.removeprefix(ELSEWHERE)
        for result in results
        for key, points in result.curves.items()
        if key.startswith(ELSEWHERE) and len(points) > 1
    }


def begun_with(results: Sequence[Result], before: Before, split: str) -> BySeed:
    """What the warm-ups of these runs came to, where they are known and were evaluated on that split."""
    own = warm_ups_of(results, before)
    return {w.seed: w.scores[split] for w in own if split in w.scores}


def warm_ups_of(results: Sequence[Result], before: Before) -> list[Result]:
    names = {beginning_of(r) for r in results}
    return [warmup for name, warmup in before.items() if name in names]


def by_name(warmups: Iterable[Result]) -> Before:
    return {warm_up_name(w.env, w.condition, w.seed): w for w in warmups}


def beginning_of(result: Result) -> str:
    """The name of the warm-up that a run began with."""
    for word in result.settings:
        if word.startswith("train.warm_from="):
            return word.rstrip("'").rpartition("/")[2]
    return warm_up_name(result.env, WARM, result.seed)


def curves_of(results: Sequence[Result], method: str, key: str) -> dict[int, Points]:
    """By seed, where there are any."""
    return {r.seed: r.curves[key] for r in results if r.method == method and key in r.curves}


def sampled(results: Sequence[Result], method: str) -> BySeed:
    """Success of what training played in the last quarter of its steps: sampled rather than greedy, step by
    step, on the same tasks for all methods. None where it played nothing, or was shown demonstrations."""
    found = {}
    for result in results:
        points = result.curves.get("rollout") if result.method == method else None
        if points and not _is_shown_demonstrations(result):
            end = points[-1][0]
            steps = result.totals.get(STEPS, result.totals["optimizer steps"])
            last = [value for step, value in points if step > end - max(1, steps) / 4]
            found[result.seed] = Score(sum(last) / len(last), len(last), list(last))
    return found


def passes(results: Sequence[Result], method: str, split: str, k: int) -> BySeed:
    """pass@k of sampled tries, of the task instances that had so many; of the runs that played some."""
    found = {}
    for result in results:
        tried = result.tries.get(split, []) if result.method == method else []
        each = [pass_at(k, *one) if one and one[0] >= k else None for one in tried]
        known = [value for value in each if value is not None]
        if known:
            found[result.seed] = Score(sum(known) / len(known), len(known), each)
    return found


def most_tries(results: Iterable[Result]) -> int:
    """That a task instance of these runs had; 0 where none were played."""
    tried = (one for r in results for each in r.tries.values() for one in each if one)
    return max((tries for tries, _ in tried), default=0)


def _is_shown_demonstrations(result: Result) -> bool:
    """While it plays, so that its success is not its own."""
    named = [word.removeprefix("method=") for word in result.settings if word.startswith("method=")]
    return any(demonstrations_of(methods()[name]) == SHOWN for name in named if name in methods())
