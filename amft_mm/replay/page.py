"""One HTML file of episodes: `page(sources)` gives its text, which needs no network and no other file.

What the page holds: an index of the runs and all their episodes (small, read at once), one block of JSON for
each episode and each sketch, and one of base64 for each picture (read when they are looked at). Everything is
data for the scripts, which write it into the page as text, never as markup; a number that is none is null.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib import resources
from typing import Any, TypeGuard

from amft_mm.replay.overview import overview
from amft_mm.replay.reader import Source
from amft_mm.runs.curves import is_success
from amft_mm.runs.look import head
from amft_mm.runs.metrics import weights_of

SCRIPTS = (
    *("elements", "data", "tokens", "difference", "sketch", "curves", "run"),
    *("list", "turn", "episode", "notes", "keys", "main"),
)
"""In the order in which they are joined."""
STOPS = "rollout/stop/"
CURVES = (
    *("mu", "policy/entropy", "rollout/return", "loss/imitation", "loss/exploration"),
    *("grad/imitation_norm", "grad/exploration_norm", "rollout/turns", "time/step"),
)
MOST_POINTS = 5000
"""Of a curve."""
SUMMARY = ("name", "env", "seed", "instance", "phase", "label", "step", "member", "success", "stop")


def page(sources: Sequence[Source], live: str = "") -> str:
    return "".join(parts(sources, live))


def parts(sources: Sequence[Source], live: str = "") -> Iterator[str]:
    """The page's text, piece by piece: it may be larger than one would hold twice. `live` is the version of
    what a page follows, which it asks its server for."""
    title, script = ", ".join(source.name for source in sources), _scripts()
    yield head(title, _text_of("page.css"), script=script, connects=True)
    yield _text_of("body.html")
    yield _block("index", index(sources) | {"live": live})
    sketches: dict[str, str] = {}
    for number, source in enumerate(sources):
        for place, episode in enumerate(source.episodes):
            drawn = _json(episode["sketch"])
            key = hashlib.sha1(drawn.encode()).hexdigest()[:12] if episode["sketch"] else None
            if key is not None:
                sketches[key] = drawn
            yield _block(f"e-{number}-{place}", {"turns": episode["turns"], "sketch": key})
    for key, drawn in sketches.items():
        yield f"<script type='application/json' id='s-{key}'>{drawn}</script>\n"
    for key, data in {k: v for s in sources for k, v in s.pictures.items()}.items():
        text = base64.b64encode(data).decode("ascii")
        yield f"<script type='text/plain' id='p-{key}'>{text}</script>\n"
    yield f"<script>{script}</script>\n</body></html>\n"


def index(sources: Sequence[Source]) -> dict[str, Any]:
    """Columns of all episodes, and of each run what is told of it and its curves."""
    return {
        "sources": [
            {
                "name": name,
                "overview": overview(source),
                "curves": curves(source.metrics),
                "chosen": source.chosen,
                "episodes": _summaries(name, source.episodes),
            }
            for name, source in zip(_names(sources), sources, strict=True)
        ]
    }


def _names(sources: Sequence[Source]) -> list[str]:
    """Their own, with a number where several have the same."""
    seen: Counter[str] = Counter()
    names = []
    for source in sources:
        seen[source.name] += 1
        again = seen[source.name]
        names.append(source.name if again == 1 else f"{source.name} ({again})")
    return names


def curves(rows: Sequence[dict[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    keys = {key for row in rows for key in row if is_success(key) or key.startswith(STOPS)}
    found: dict[str, list[tuple[int, float]]] = {}
    for key in (*sorted(keys), *CURVES):
        absent = 0.0 if key.startswith(STOPS) else None  # a reason that did not occur is not listed
        played = (row for row in rows if absent is None or "rollout/success" in row)
        values = [(weights_of(row), row.get(key, absent)) for row in played]
        known = [(step, float(value)) for step, value in values if _is_number(value)]
        points = sorted((step, value) for step, value in known if step is not None)
        found[key] = points[:: math.ceil(len(points) / MOST_POINTS) or 1]
    return {key: points for key, points in found.items() if points}


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and math.isfinite(value)


def _summaries(run: str, episodes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """With a key each that stays the same when episodes are added."""
    found, seen = [], set()
    for episode in episodes:
        known = [run, *(str(episode[name]) for name in ("phase", "label", "step", "name"))]
        text = "\0".join([*known, str(episode["member"])])
        while text in seen:
            text += "\0"
        seen.add(text)
        key = hashlib.sha1(text.encode(errors="replace")).hexdigest()[:8]
        found.append(_summary(episode) | {"key": key})
    return found


def _summary(episode: dict[str, Any]) -> dict[str, Any]:
    turns = episode["turns"]
    verdicts = list(dict.fromkeys(turn["verdict"] for turn in turns if turn["verdict"]))
    rewards = [turn["reward"] if _is_number(turn["reward"]) else None for turn in turns]
    return {name: episode[name] for name in SUMMARY} | {
        "return": sum(reward or 0.0 for reward in rewards),
        "rewards": rewards,
        "turns": len(turns),
        "verdicts": verdicts,
        "last": turns[-1]["verdict"] if turns else "",
        "corrupted": episode["corrupted"],
        "picture": next((key for turn in turns for key in turn["pictures"]), None),
    }


def _scripts() -> str:
    """As one, in a function of its own."""
    joined = "\n".join(_text_of(f"script/{name}.js") for name in SCRIPTS)
    return f'"use strict";\n(() => {{\n{joined}\n}})();\n'


def _text_of(name: str) -> str:
    return resources.files("amft_mm.replay").joinpath(name).read_text("utf-8")


def _block(name: str, value: Any) -> str:
    return f"<script type='application/json' id='{name}'>{_json(value)}</script>\n"


def _json(value: Any) -> str:
    """In which nothing can end the block or begin markup, and every number is one."""
    written: dict[str, Any] = {"ensure_ascii": True, "separators": (",", ":"), "default": str}
    try:
        text = json.dumps(value, allow_nan=False, **written)
    except ValueError:
        text = json.dumps(_finite(value), **written)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
