"""Where an agent first leaves the expert on street views.

    python scripts/first_wrong_answers.py EPISODES ...

EPISODES are files that a run keeps, as RUN/episodes/000120-evaluation-id.parquet (a hundred episodes by
`record.evaluation=100`), of short answers with steps (env.answer=short env.thought=steps
env.instruction_as=number):

    Here: Black Star Cafe left. 2 until your destination, Blue Square Bank right: not reached.
    2: forward

Of each episode's first wrong answer it says which parts are not the expert's, and of all answers that read
the street and the instruction rightly how many judge wrongly whether it is reached.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow.parquet as parquet

ANSWER = re.compile(
    r"Here: (?P<seen>.*)\. (?P<instruction>\d+) until (?P<awaited>.*): (?P<judged>reached|not reached)\.\n"
    r"(?P<next>\d+): (?P<action>.*)"
)
READ = ("seen", "instruction", "awaited")


def first_wrong(episodes: Iterable[Mapping[str, Sequence[str]]]) -> Counter[str]:
    """What differs from the expert's, as `judged + next + action`."""
    found: Counter[str] = Counter()
    for episode in episodes:
        told = zip(episode["answers"], episode["experts"], episode["verdicts"], strict=True)
        wrong = next(((a, e) for a, e, v in told if v != "correct_action"), None)
        if wrong is not None:
            mine, theirs = map(ANSWER.fullmatch, wrong)
            parts = (
                [part for part in mine.groupdict() if mine[part] != theirs[part]]
                if mine and theirs
                else []
            )
            found[" + ".join(parts) or "another form"] += 1
    return found


def judgements(episodes: Iterable[Mapping[str, Sequence[str]]]) -> tuple[int, int]:
    """(how many answers read all rightly, how many of these judge wrongly)."""
    wrong = []
    for episode in episodes:
        for pair in zip(episode["answers"], episode["experts"], strict=True):
            mine, theirs = map(ANSWER.fullmatch, pair)
            if mine and theirs and all(mine[part] == theirs[part] for part in READ):
                wrong.append(mine["judged"] != theirs["judged"])
    return len(wrong), sum(wrong)


def main(paths: Sequence[str]) -> None:
    for path in paths:
        try:
            table = parquet.read_table(path, columns=["answers", "experts", "verdicts"])
        except (OSError, ValueError) as error:
            sys.exit(f"{path} is no file of episodes that a run keeps: {error}")
        episodes: list[dict[str, Any]] = table.to_pylist()
        found = first_wrong(episodes)
        print(f"{path}: {found.total()} of {len(episodes)} episodes have a wrong answer.")
        print("The first differs from the expert's in")
        for parts, count in found.most_common():
            print(f"  {count:4}  {parts}")
        read, wrong = judgements(episodes)
        print(
            f"Of {read} answers that read all rightly {wrong} judge wrongly whether it is reached."
        )


if __name__ == "__main__":
    if not sys.argv[1:]:
        sys.exit(__doc__)
    main(sys.argv[1:])
