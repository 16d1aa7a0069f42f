"""What the page says of a run before any episode: `overview(source)`, plain data.

    facts     what it is: method, environment, model, how far it came
    changed   (setting, value, default) of what was set otherwise
    splits    success with its interval, now and when evaluated first; verdicts; from the evaluations, or
              where there are none, from the episodes that were kept
    worth     places of failures to look at first, each with the reason
    crashes   the first of each kind of technical failure

Each part is had by itself: what cannot be read costs that part, and is said in `problems`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from amft_mm.config.begun import settings_of
from amft_mm.config.command_line import config_groups, configuration
from amft_mm.evaluation.intervals import wilson_of_tries
from amft_mm.replay.reader import Source
from amft_mm.runs.curves import is_success
from amft_mm.runs.dotted import WHERE, flat, without
from amft_mm.runs.failures import FAILURES, PREFIX, told
from amft_mm.runs.folder import CONFIG
from amft_mm.runs.metrics import EVALUATION, is_step, weights_of

GROUPS = ("env", "method", "model", "engine")
MOST = 8
"""Failures to look at first."""

Row = dict[str, Any]


def overview(source: Source) -> dict[str, Any]:
    problems = list(source.problems)

    def part(name: str, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except Exception as error:  # whatever a spoilt file makes of it: the rest is still shown
            problems.append(f"{name}: {type(error).__name__}: {error!s:.200}")
            return []

    config = part("settings", lambda: _config(source.path)) or {}
    return {
        "facts": part("facts", lambda: _facts(config, source.metrics, source.episodes)),
        "changed": part("settings", lambda: _changed(config)),
        "splits": part("success", lambda: _splits(source)),
        "worth": part("failures", lambda: _worth(source)),
        "crashes": part("crashes", lambda: _crashes(source)),
        "failed": part("crashes", lambda: _failed(source.metrics)) or "",
        "mixes": part("steps", lambda: _first_mix(source.metrics)) or None,
        "problems": problems,
    }


def _config(path: Path | None) -> Row:
    if path is None or not (path / CONFIG).is_file():
        return {}
    found: Row = OmegaConf.to_container(settings_of(path))  # type: ignore[assignment]
    return found


def _facts(config: Row, rows: Sequence[Row], episodes: Sequence[Row]) -> list[tuple[str, str]]:
    steps = [row for row in rows if is_step(row)]
    found = []
    for name, group in (("method", "method"), ("environment", "env"), ("model", "model")):
        if known := config.get(group, {}).get("name"):
            found.append((name, str(known)))
    if not config:
        found.append(("environment", ", ".join(sorted({e["env"] for e in episodes} - {""}))))
    if "seed" in config:
        found.append(("seed", str(config["seed"])))
    if steps and "train" in config:
        warmup, mixed = int(config["train"]["warmup_steps"]), int(config["train"]["steps"])
        words = f"{steps[-1]['step']} of {warmup + mixed}"
        found.append(("steps", f"{words} ({warmup} of them warm-up)" if warmup else words))
    seconds = _sum(steps, "time/step")
    if seconds:
        minutes = round(seconds / 60)
        spent = f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
        found.append(("time in steps", spent if minutes else f"{seconds:.0f} s"))
    for name, key in (("generated", "tokens/generated"), ("demonstrated", "tokens/demo")):
        if count := _sum(steps, key):
            found.append((f"tokens {name}", f"{count:,.0f}"))
    return [(name, value) for name, value in found if value]


def _sum(rows: Sequence[Row], key: str) -> float:
    return sum(row[key] for row in rows if isinstance(row.get(key), int | float))


def _first_mix(rows: Sequence[Row]) -> int | None:
    """The step in which exploration begins, after a warm-up."""
    first = next((row["step"] for row in rows if row.get("phase") == "mix"), None)
    return first if first and first > 1 else None


def _changed(config: Row) -> list[tuple[str, str, str]]:
    """Settings that are not as they stand in the files, for this environment, method, model and engine."""
    if not config:
        return []
    known = config_groups()
    chosen = {g: str(config.get(g, {}).get("name")) for g in GROUPS}
    words = [f"{g}={name}" for g, name in chosen.items() if name in known.get(g, ())]
    own = {g for g, name in chosen.items() if name not in known.get(g, ())}
    before, now = flat(configuration("train", words)), without(flat(config), WHERE)
    return [
        (name, _plain(value), _plain(before[name]) if name in before else "none")
        for name, value in now.items()
        if before.get(name) != value
        and (name.partition(".")[0] not in own or name.endswith(".name"))
    ]


def _plain(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 200 else f"{text[:200]} ..."


# Success.


def _splits(source: Source) -> list[Row]:
    rows = [row for row in source.metrics if row.get("phase") == EVALUATION] or _summary(source)
    found: dict[str, Row] = {}
    for row in rows:  # later ones take the place of earlier ones
        for key, share in row.items():
            if key.startswith("eval/") and is_success(key) and isinstance(share, int | float):
                name = key.removeprefix("eval/").removesuffix("/success")
                first = found[name]["first"] if name in found else [weights_of(row), share]
                found[name] = _split(name, row, share) | {"first": first}
    return list(found.values()) or ([] if source.chosen else _counted(source.episodes))


def _summary(source: Source) -> list[Row]:
    """Of an evaluation's folder, which has no metrics."""
    path = source.path / "summary.json" if source.path else None
    found = json.loads(path.read_text("utf-8")) if path is not None and path.is_file() else None
    return [found] if isinstance(found, dict) else []


def _split(name: str, row: Row, share: float) -> Row:
    begin = f"eval/{name}/"
    own = {k.removeprefix(begin): v for k, v in row.items() if k.startswith(begin)}
    return {
        "name": name,
        "step": weights_of(row),
        "success": share,
        "low": own.get("low"),
        "high": own.get("high"),
        "verdicts": _shares(own, "verdict/"),
        "stops": _shares(own, "stop/"),
    }


def _shares(own: Row, prefix: str) -> list[tuple[str, float]]:
    found = [(k.removeprefix(prefix), v) for k, v in own.items() if k.startswith(prefix)]
    return sorted(((k, v) for k, v in found if isinstance(v, int | float)), key=lambda kv: -kv[1])


def _counted(episodes: Sequence[Row]) -> list[Row]:
    """By label, of the newest step that has it."""
    groups: dict[str, list[Row]] = {}
    for episode in episodes:
        groups.setdefault(episode["label"] or episode["phase"], []).append(episode)
    found = []
    for name, all_of_it in groups.items():
        step = max(e["step"] for e in all_of_it)
        own = [e for e in all_of_it if e["step"] == step]
        tasks: dict[str, list[bool]] = {}
        for e in own:
            tasks.setdefault(e["instance"], []).append(e["success"])
        won, each = sum(e["success"] for e in own), [sum(t) / len(t) for t in tasks.values()]
        low, high = wilson_of_tries(won / len(own), each, len(own))
        verdicts = Counter(t["verdict"] for e in own for t in e["turns"] if t["verdict"])
        every, stops = sum(verdicts.values()), Counter(e["stop"] for e in own if e["stop"])
        found.append(
            {
                "name": name,
                "step": step or None,
                "success": won / len(own),
                "low": low,
                "high": high,
                "count": len(own),
                "verdicts": [(v, n / every) for v, n in verdicts.most_common()],
                "stops": [(s, n / len(own)) for s, n in stops.most_common()],
            }
        )
    return found


# Failures.


def _worth(source: Source) -> list[tuple[int, str]]:
    """Of the newest evaluation, or the newest rollouts: what was solved before, then what ends most often in
    the same way, the nearest to success of each kind."""
    played = [(p, e) for p, e in enumerate(source.episodes) if e["phase"] != "demonstration"]
    of_kind = [p for p in played if p[1]["phase"] == "evaluation"] or played
    if not of_kind:
        return []
    newest = max(e["step"] for _, e in of_kind)
    now = [(place, e) for place, e in of_kind if e["step"] == newest]
    failed = [(place, e) for place, e in now if not e["success"]]
    found: dict[int, str] = {}
    for place, episode in failed:
        before = [
            e["step"]
            for _, e in of_kind
            if e["instance"] == episode["instance"] and e["success"] and e["step"] < newest
        ]
        if before and len(found) < MOST // 2:
            found[place] = f"solved at step {max(before)}, not any more"
    kinds: dict[tuple[str, str], list[tuple[int, Row]]] = {}
    for place, episode in failed:
        kinds.setdefault((episode["label"], _end(episode)), []).append((place, episode))
    totals = Counter(e["label"] for _, e in now)
    for (label, end), own in sorted(kinds.items(), key=lambda kind: -len(kind[1])):
        place, _ = max(own, key=lambda p: sum(t["reward"] or 0 for t in p[1]["turns"]))
        if place not in found and len(found) < MOST:
            counted = f"{len(own)} of {totals[label]} end so: {end}"
            found[place] = f"ends so: {end}" if source.chosen else counted
    return list(found.items())


def _end(episode: Row) -> str:
    verdicts = [t["verdict"] for t in episode["turns"] if t["verdict"]]
    return ", ".join(word for word in (*verdicts[-1:], episode["stop"]) if word) or "no reason told"


def _crashes(source: Source) -> list[Row]:
    path = source.path / FAILURES if source.path else None
    if path is None or not path.is_file():
        return []
    found = []
    for line in path.read_text("utf-8", errors="replace").splitlines()[:MOST]:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            names = ("step", "kind", "where", "message", "traceback")
            found.append({name: str(row.get(name) or "")[:4000] for name in names})
    return found


def _failed(rows: Sequence[Row]) -> str:
    total: Counter[str] = Counter()
    for row in rows:
        for key, value in row.items():
            if key.startswith(PREFIX) or key == "rollout/tries":
                total[key] += value or 0
    return told(total)
