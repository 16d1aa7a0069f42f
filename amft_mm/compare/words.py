"""What a report says in words: how it was made, what all began with, which budgets differ, who crashed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from amft_mm.compare.result import Result
from amft_mm.compare.selecting import Before, begun_with, curves_of, methods_of, warm_ups_of
from amft_mm.compare.statistics import flattened, mean_of
from amft_mm.compare.terms import terms
from amft_mm.compare.verdicts import Verdicts

CONDITIONS = (
    "Success on the first split, with mu at the end. A method that uses no demonstrations, or no rewards, "
    "is not run again where only these are changed."
)
LOSSES = (
    "What choosing a method may cost: the most that it loses to another of these under a condition."
)
FLAWLESS = (
    "Succeeded greedily without an answer that cost something. Where several attempts are allowed, a task "
    "may also be solved by trying what is left:"
)
SAMPLED = "Of episodes as training plays them, sampled, in the last quarter of its steps, on the same tasks:"
GLANCE = (
    "Greedy success in percent, over the seeds that all methods have, or each over its own where they share "
    "none. A method for which a condition changes nothing stands there with what it came to without, marked "
    "as clean."
)
COST = (
    "What it took. Success by tokens (imitated and generated) or by seconds is the mean of the curve while "
    "as much was spent as the dearest run spent; who had ended before keeps what it came to."
)


def introduction(
    results: Sequence[Result], trials: Sequence[Result], command: str, verdicts: Verdicts
) -> str:
    seeds = {m: len({r.seed for r in results if r.method == m}) for m in methods_of(results)}
    counts = ", ".join(f"{m} {n}" for m, n in seeds.items())
    episodes = {s.episodes for r in results for s in r.scores.values()}
    return (
        f"Made by `{command}`: {len(results)} runs. Every method of an environment begins with the same "
        f"warm-up of its seed under a condition.\n\n{terms(results, trials)}\n\n"
        f"Seeds: {counts}. Success is greedy, over {', '.join(map(str, sorted(episodes)))} episodes of each "
        "split; in brackets are 95 % bootstrap intervals over seeds and episodes. What a method has over a "
        "baseline comes first, in points, over the same seeds, in an interval no narrower than all pairs' "
        "seeds scatter together; where it holds 0 it is a tie. A "
        "mean over other seeds is no comparison: methods are ordered by what they gained, and chances to "
        f"beat another are shares of the seeds that both have.{_looks_words(verdicts)}"
    )


def _looks_words(verdicts: Verdicts) -> str:
    if not verdicts.looks:
        return ""
    return (
        f" It was looked at after {', '.join(map(str, verdicts.looks))} seeds: brackets of differences are "
        f"{verdicts.level:.1%} intervals, so that a tie of one look is not told a difference by another, and "
        "those of greedy success on the first split are the ones of the table of who is told apart."
    )


def passes_words(tries: int) -> str:
    return (
        f"Of sampled tries after training, {tries} of each of the same task instances: the chance that one "
        f"(pass@1), or at least one of {tries} (pass@{tries}), succeeds."
    )


def before_words(results: Sequence[Result], before: Before) -> str:
    if len({w.condition for w in warm_ups_of(results, before)}) > 1:
        return "Conditions that change the world or the warm-up begin with warm-ups of their own."
    shares = [
        f"{split} {mean_of(known).as_share()} %"
        for split in results[0].scores
        if (known := begun_with(results, before, split))
    ]
    return f"All begin with {', '.join(shares)}." if shares else ""


def curve_words(results: Sequence[Result]) -> str:
    longest = max((len(r.curves.get("success", [])) for r in results), default=0)
    if longest < 3:
        return "Evaluated at the end alone."
    rising = [
        method
        for method in methods_of(results)
        if any(not flattened(points) for points in curves_of(results, method, "success").values())
    ]
    if not rising:
        return "All curves have flattened: the last quarter of the steps gained less than 2 points."
    return (
        f"Still rising in the last quarter of the steps, for a seed at least: {', '.join(rising)}."
    )


def budget_words(results: Sequence[Result]) -> str:
    """Which methods use fewer or more tokens than most."""
    sentences = []
    for name in ("demonstration tokens", "generated tokens"):
        means = {
            m: float(np.mean([r.totals[name] for r in results if r.method == m]))
            for m in methods_of(results)
        }
        usual = float(np.median([v for v in means.values() if v > 0] or [0.0]))
        apart = [
            f"{m} {v / usual:.0%}" for m, v in means.items() if usual and not 0.9 < v / usual < 1.1
        ]
        sentences.append(
            f"{name.capitalize()} differ from the median of {usual:,.0f} for {', '.join(apart)}."
            if apart
            else f"{name.capitalize()} are equal within a tenth."
        )
    return " ".join(sentences)


def crash_words(crashes: Sequence[Result]) -> str:
    if not crashes:
        return "No run crashed."
    crashed = "\n".join(f"- {r.name}: {r.as_text()}" for r in crashes)
    return f"Crashed, and in no mean:\n\n{crashed}"
