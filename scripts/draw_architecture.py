"""Draws the pictures of docs/architecture.md, into docs/: `python scripts/draw_architecture.py [FOLDER]`.

    architecture-rooms.svg     packages and rooms: what they are, how large, who imports whom
    architecture-episode.svg   the life of an episode
    architecture-step.svg      the life of a training step

Sizes and arrows of the rooms are read from the code, and what the other pictures name must be there: a
function that was moved or renamed is an error here. Where a test says that a picture is out of date, run
this again and look at it.
"""

from __future__ import annotations

import ast
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from svg_sheet import LINE, Box, Point, Sheet, wrapped

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("envs", "agents", "amft_mm")

# The code: which rooms there are, how large they are, who imports whom.

COMMANDS = "commands"
WORDS = {
    COMMANDS: "Train, evaluate, demos, pretrain, watch; the life of a run",
    "envs": "Worlds: text and pictures in, free text out",
    "agents": "Players: models, conversations, engines, rollouts, demonstrations",
}
"""Of what no docstring tells in a line; the other rooms say it in their __init__.py."""


@dataclass(frozen=True)
class Module:
    path: Path
    room: str

    def imported(self) -> Iterator[str]:
        for node in ast.walk(ast.parse(self.path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield node.module
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules() -> dict[str, Module]:
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            room = package
            if package == "amft_mm":
                house = (ROOT / package / parts[1]).is_dir() and path.name != "__main__.py"
                room = parts[1] if house else COMMANDS
            found[".".join(part for part in parts if part != "__init__")] = Module(path, room)
    return found


def imports(known: dict[str, Module]) -> set[tuple[str, str]]:
    """(room, the room that it imports from), without those that follow from others."""
    known = {name: module for name, module in known.items() if name != "amft_mm"}
    arrows = {
        (module.room, known[name].room)
        for module in known.values()
        for name in module.imported()
        if name in known and known[name].room != module.room
    }
    beyond = set(arrows)
    while more := {(a, d) for a, b in beyond for c, d in arrows if b == c} - beyond:
        beyond |= more
    return arrows - {(a, d) for a, b in beyond for c, d in beyond if b == c}


def about(room: str) -> str:
    if room in WORDS:
        return WORDS[room]
    first = ast.get_docstring(ast.parse((ROOT / "amft_mm" / room / "__init__.py").read_text()))
    line = (first or "").partition("\n")[0].rstrip(".")
    line = line.partition(": ")[2] if line.startswith("`") else line
    return line[0].upper() + line[1:]


def size(room: str, known: dict[str, Module]) -> str:
    """In round figures, which not every change of the code changes."""
    own = [m.path.read_text(encoding="utf-8") for m in known.values() if m.room == room]
    lines = sum(text.count("\n") for text in own)
    return f"{rounded(len(own))} files, {rounded(lines):,} lines"


def rounded(number: int) -> int:
    ten = 10 ** int(math.log10(number))
    return int(
        min((s * ten for s in (1, 1.5, 2, 3, 4, 6, 8, 10)), key=lambda r: abs(math.log(r / number)))
    )


FLOORS = [
    {COMMANDS: (1, 4)},
    {"compare": (2, 2)},
    {"replay": (2, 2)},
    {"training": (1, 1), "evaluation": (2, 2), "pretraining": (3, 3)},
    {"data": (1, 2)},
    {"methods": (0, 2)},
    {"config": (0, 0), "learning": (1, 3)},
    {"runs": (0, 4)},
    {"agents": (0, 4)},
    {"envs": (0, 4)},
]
"""From the top down, which columns each room takes. An arrow goes straight down where both have a column."""
COLUMN, GAP, BETWEEN = 172.0, 16.0, 34.0


def rooms() -> Sheet:
    known = modules()
    placed = {room for floor in FLOORS for room in floor}
    if missing := {module.room for module in known.values()} ^ placed:
        raise SystemExit(f"FLOORS in {__file__}: give each room a place; look at {sorted(missing)}")
    boxes, words, top = dict[str, Box](), dict[str, list[tuple[str, str]]](), 64.0
    for floor in FLOORS:
        for room, (first, last) in floor.items():
            width = (last - first) * (COLUMN + GAP) + COLUMN
            told = [("small", line) for line in wrapped(about(room), width - 16)]
            words[room] = [("title", room), *told, ("small", size(room, known))]
            boxes[room] = Box(36 + first * (COLUMN + GAP), top, width, 0)
        height = LINE * max(len(words[room]) for room in floor) + 12
        for room in floor:
            boxes[room] = Box(boxes[room].x, top, boxes[room].width, height)
        top += height + BETWEEN + (22 if "runs" in floor else 0)
    ground = boxes["runs"].bottom + 12
    sheet = Sheet(36 * 2 + 5 * COLUMN + 4 * GAP, top - BETWEEN + 44, "The rooms of the code")
    sheet.text(
        20, 24, "Who imports from whom; what follows from other arrows is left out.", "small"
    )
    sheet.box(Box(20, 38, 5 * COLUMN + 4 * GAP + 32, ground - 38), "group")
    sheet.text(30, 58, "amft_mm", "title")
    for room, box in boxes.items():
        sheet.box(box, "once" if room in ("envs", "agents") else "box")
        sheet.said(box, words[room])
    for above, below in sorted(imports(known)):
        if boxes[above].bottom >= boxes[below].y:
            raise SystemExit(
                f"FLOORS in {__file__}: {above} imports from {below}, which is not below"
            )
        sheet.arrow(*_down(boxes[above], boxes[below]))
    sheet.text(
        36,
        top - BETWEEN + 28,
        "envs imports neither agents nor torch; agents does not import amft_mm.",
        "small",
    )
    return sheet


def _down(above: Box, below: Box) -> list[Point]:
    left, right = max(above.x, below.x), min(above.right, below.right)
    if left < right:
        x = (left + right) / 2
        return [(x, above.bottom), (x, below.y)]
    turn = below.y - BETWEEN / 2
    return [
        (above.middle, above.bottom),
        (above.middle, turn),
        (below.middle, turn),
        (below.middle, below.y),
    ]


# What is told of functions, each of which must be where it is said to be.


@dataclass(frozen=True)
class Part:
    """A box: what happens, in a few words, and the function that does it."""

    title: str
    told: str
    name: str
    file: str

    def lines(self, width: float) -> list[tuple[str, str]]:
        told = [("small", line) for line in wrapped(self.told, width - 20)]
        return [("title", self.title), *told, ("code", self.name), ("code", self.file)]


def parts(table: str) -> dict[str, Part]:
    """By title; a line of the table is title | words | NAME or CLASS.NAME | file."""
    found = {}
    for line in table.strip().splitlines():
        part = Part(*(cell.strip() for cell in line.split("|")))
        check(part.file, part.name)
        found[part.title] = part
    return found


def check(file: str, name: str) -> None:
    body = ast.parse((ROOT / file).read_text(encoding="utf-8")).body
    for part in name.split("."):
        found = [node for node in body if getattr(node, "name", None) == part]
        if not found:
            raise SystemExit(f"{__file__}: {file} has no {name}; mend the picture")
        body = getattr(found[0], "body", [])


WIDTH, HEIGHT, LEFT = 268.0, 106.0, 24.0
ACROSS, DOWN = 42.0, 44.0


class Chart:
    """Parts on a grid, below a title and a few words."""

    def __init__(
        self, title: str, words: list[str], table: str, places: list[tuple[int, int]]
    ) -> None:
        known = parts(table)
        columns, rows = (1 + max(place[i] for place in places) for i in (0, 1))
        top = 40.0 + 18 * len(words)
        right, bottom = LEFT + columns * (WIDTH + ACROSS), top + rows * (HEIGHT + DOWN)
        self.sheet = Sheet(right - ACROSS + LEFT, bottom - DOWN + 24, title)
        self.sheet.text(LEFT, 26, title, "title")
        for number, line in enumerate(words):
            self.sheet.text(LEFT, 46 + 18 * number, line, "small")
        self.boxes = {}
        for part, (column, row) in zip(known.values(), places, strict=True):
            x, y = LEFT + column * (WIDTH + ACROSS), top + row * (HEIGHT + DOWN)
            self.boxes[part.title] = box = Box(x, y, WIDTH, HEIGHT)
            self.sheet.box(box)
            self.sheet.said(box, part.lines(WIDTH))

    def arrow(self, first: str, then: str, words: str = "") -> None:
        """Between neighbours; words stand beside those that go up or down."""
        a, b = self.boxes[first], self.boxes[then]
        if a.y == b.y:
            start, end = (a.right, b.x) if a.x < b.x else (a.x, b.right)
            self.sheet.arrow((start, a.level), (end, b.level))
            return
        start, end = (a.bottom, b.y) if a.y < b.y else (a.y, b.bottom)
        self.sheet.arrow((a.middle, start), (a.middle, end))
        if words:
            self.sheet.text(a.middle + 10, (start + end) / 2 + 4, words, "small")


EPISODE = """
reset | a seed deals the task instance, to the pixel | World.reset | envs/contract.py
observe | message and picture become ids, after those there | Conversation.observe | agents/conversation.py
generate | many conversations at once: ids, log-probabilities | Engine.answers | agents/engines/base.py
act | the ids that were sampled are the ids that are kept | Conversation.act | agents/conversation.py
step | verdict, reward, feedback, the next observation | World.step | envs/contract.py
trajectory | ids and whose they are, rewards, verdicts, why it ended | Trajectory | agents/trajectory.py
expert | what an expert would write now is said in place of it | demonstrate | agents/experts.py
"""


def episode() -> Sheet:
    words = [
        "play() in agents/rollout.py plays many at once: a world steps while others are answered.",
        "What fails costs its own episode: it is tried again, then kept out of the loss.",
    ]
    check("agents/rollout.py", "play")
    places = [(0, 0), (1, 0), (2, 0), (2, 1), (1, 1), (1, 2), (2, 2)]
    chart = Chart("The life of an episode", words, EPISODE, places)
    chart.arrow("reset", "observe")
    chart.arrow("observe", "generate")
    chart.arrow("generate", "act")
    chart.arrow("act", "step")
    chart.arrow("step", "observe", "it goes on")
    chart.arrow("step", "trajectory", "it has ended")
    chart.arrow("expert", "act", "in demonstrations")
    return chart.sheet


STEP = """
1 draw | task instances and demonstrations, by (seed, step) alone | Sources | amft_mm/data/sources.py
2 play | a group of episodes of each task instance | RolloutWorker.play | amft_mm/data/rollouts.py
3 credit | an advantage for each answer | Credit.examples | amft_mm/training/credit.py
4 g_R | gradient of exploration, over the rollouts | Mixing.add | amft_mm/training/mixing.py
5 look | what the last mixes did for the utility: grad U . z | Utility.look | amft_mm/methods/utility/base.py
6 mu | the balance moves it by what was seen | Balance.update | amft_mm/methods/balance/base.py
7 g_S | gradient of imitation, over the demonstrations | Mixing.add | amft_mm/training/mixing.py
8 mix | g = (1 - mu) g_R + mu g_S | MixedStep.mix | amft_mm/learning/mixed_step.py
9 step | AdamW, on the clipped mix; z, its derivative by mu | MixedStep.step | amft_mm/learning/mixed_step.py
10 tell | figures of all processes; engines take the new weights | TrainingStep.mix | amft_mm/training/step.py
"""


def step() -> Sheet:
    words = [
        "TrainingStep.mix; where each environment has a mu of its own, 3 to 8 are done for each."
    ]
    places = [(0, 0), (1, 0), (2, 0), (2, 1), (1, 1), (0, 1), (0, 2), (1, 2), (2, 2), (2, 3)]
    chart = Chart("The life of a training step", words, STEP, places)
    for first, then in pairwise(chart.boxes):
        chart.arrow(first, then)
    made, look = chart.boxes["9 step"], chart.boxes["5 look"]
    turn = (look.bottom + made.y) / 2
    corners = [(made.middle, made.y), (made.middle, turn), (look.middle, turn)]
    chart.sheet.arrow(*corners, (look.middle, look.bottom))
    chart.sheet.text(look.middle + 10, turn - 6, "z, for the look of the next step", "small")
    return chart.sheet


def draw(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, sheet in (("rooms", rooms()), ("episode", episode()), ("step", step())):
        (folder / f"architecture-{name}.svg").write_text(str(sheet), encoding="utf-8")


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs")
