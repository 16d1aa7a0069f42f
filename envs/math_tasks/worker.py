"""The process that runs math-verify: reads lines of JSON {"reference", "answer", "seconds"}, and
writes lines of JSON {"right"}.

It runs as a script of its own (see grading.py) and not within the trainer, because symbolic algebra
can hang or fill the memory. What a model wrote is read by the LaTeX grammar alone: math-verify's
other reader, for plain expressions, would evaluate it as Python.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys

MOST_MEMORY = 4 * 2**30


def main() -> None:
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing else may write there
    _limit_memory()
    logging.disable(logging.CRITICAL)
    sys.setrecursionlimit(5_000)
    from math_verify import LatexExtractionConfig, parse, verify

    def right(reference: str, answer: str) -> bool:
        latex = [LatexExtractionConfig(boxed_match_priority=0)]
        with contextlib.suppress(Exception, RecursionError, MemoryError):
            read = [
                parse(rf"$\boxed{{{text}}}$", extraction_config=latex, parsing_timeout=None)
                for text in (reference, answer)
            ]
            return bool(verify(*read, timeout_seconds=None))
        return False

    right("1", r"\frac{2}{2}")  # loads what is loaded late
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        # Should whoever asks have died meanwhile, this process must not outlive it for long.
        if hasattr(signal, "alarm"):
            signal.alarm(int(request["seconds"]) + 2)
        verdict = right(request["reference"], request["answer"])
        if hasattr(signal, "alarm"):
            signal.alarm(0)
        print(json.dumps({"right": verdict}), file=answers, flush=True)


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))


if __name__ == "__main__":
    main()
