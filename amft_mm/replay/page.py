"""One HTML file of episodes: `page(sources)` gives its text, which needs no network and no other file.

What the page holds: an index of all episodes (small, read at once), one block of JSON for each episode and
one of base64 for each picture (read when they are looked at). Everything is data for `app.js`, which writes
it into the page as text, never as markup.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterator, Sequence
from importlib import resources
from typing import Any

from amft_mm.replay.reader import Source
from amft_mm.runs.curves import is_success

STOPS = "rollout/stop/"
CURVES = (
    *("mu", "policy/entropy", "rollout/return", "loss/imitation", "loss/exploration"),
    *("grad/imitation_norm", "grad/exploration_norm"),
)
SUMMARY = ("name", "env", "seed", "instance", "phase", "label", "step", "member", "success", "stop")


def page(sources: Sequence[Source], live: bool = False) -> str:
    return "".join(parts(sources, live))


def parts(sources: Sequence[Source], live: bool = False) -> Iterator[str]:
    """The page's text, piece by piece: it may be larger than one would hold twice."""
    here = resources.files("amft_mm.replay")
    style, script = (here.joinpath(name).read_text("utf-8") for name in ("style.css", "app.js"))
    body = here.joinpath("body.html").read_text("utf-8")
    title = ", ".join(source.name for source in sources)
    yield "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>\n"
    yield "<meta name='viewport' content='width=device-width, initial-scale=1'>\n"
    yield "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'; img-src data:; "
    yield "style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'\">\n"
    yield f"<title>{html.escape(title)}</title>\n<style>{style}</style></head>\n{body}\n"
    yield _block("index", index(sources) | {"live": live})
    for number, source in enumerate(sources):
        for place, episode in enumerate(source.episodes):
            yield _block(f"e-{number}-{place}", detail(episode))
    for key, data in {k: v for s in sources for k, v in s.pictures.items()}.items():
        text = base64.b64encode(data).decode("ascii")
        yield f"<script type='text/plain' id='p-{key}'>{text}</script>\n"
    yield f"<script>{script}</script>\n</html>\n"


def index(sources: Sequence[Source]) -> dict[str, Any]:
    """Columns of all episodes, and the runs' curves."""
    return {
        "sources": [
            {
                "name": source.name,
                "curves": curves(source.metrics),
                "episodes": [_summary(episode) for episode in source.episodes],
            }
            for source in sources
        ]
    }


def detail(episode: dict[str, Any]) -> dict[str, Any]:
    return {"turns": episode["turns"], "sketch": episode["sketch"]}


def curves(rows: Sequence[dict[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    keys = {key for row in rows for key in row if is_success(key) or key.startswith(STOPS)}
    found: dict[str, list[tuple[int, float]]] = {}
    for key in (*sorted(keys), *CURVES):
        absent = 0.0 if key.startswith(STOPS) else None  # a reason that did not occur is not listed
        played = (row for row in rows if absent is None or "rollout/success" in row)
        values = [(row["step"], row.get(key, absent)) for row in played]
        found[key] = [(step, value) for step, value in values if isinstance(value, int | float)]
    return {key: points for key, points in found.items() if points}


def _summary(episode: dict[str, Any]) -> dict[str, Any]:
    turns = episode["turns"]
    verdicts = list(dict.fromkeys(turn["verdict"] for turn in turns if turn["verdict"]))
    first = turns[0]["said"] if turns else ""
    return {name: episode[name] for name in SUMMARY} | {
        "return": sum(turn["reward"] or 0.0 for turn in turns),
        "turns": len(turns),
        "verdicts": verdicts,
        "corrupted": episode["corrupted"],
        "words": (first[:300] + " " + " ".join(turn["answer"][:200] for turn in turns))[:2000],
    }


def _block(name: str, value: Any) -> str:
    """JSON in which nothing can end the block or begin markup."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    text = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return f"<script type='application/json' id='{name}'>{text}</script>\n"
