"""docs/architecture.md is true: its pictures are those of the code, what it names is there."""

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "architecture.md"
PICTURES = ("rooms", "episode", "step")
LETTER = {"title": 8.0, "small": 6.2, "code": 7.0}
"""Pixels."""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    words = [sys.executable, "scripts/draw_architecture.py", str(folder)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("name", PICTURES)
def test_the_pictures_are_what_the_code_is_now(drawn, name):
    file = f"architecture-{name}.svg"
    stored = (ROOT / "docs" / file).read_text(encoding="utf-8")
    now = (drawn / file).read_text(encoding="utf-8")
    assert stored == now, "run `python scripts/draw_architecture.py` and look at docs/"


@pytest.mark.parametrize("name", PICTURES)
def test_words_stay_in_their_boxes_and_boxes_apart(name):
    """By the usual width of a letter: cut words are what nobody notices in a diff."""
    tree = ElementTree.parse(ROOT / "docs" / f"architecture-{name}.svg").getroot()
    tag = "{http://www.w3.org/2000/svg}"
    page_width = float(tree.attrib["width"])
    boxes = [
        [float(r.attrib[k]) for k in ("x", "y", "width", "height")]
        for r in tree.iter(f"{tag}rect")
        if r.attrib["class"] in ("box", "once")
    ]
    assert len(boxes) > 5
    for i, (x, y, w, h) in enumerate(boxes):
        for x2, y2, w2, h2 in boxes[:i]:
            assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y
    for text in tree.iter(f"{tag}text"):
        x, y = float(text.attrib["x"]), float(text.attrib["y"])
        width = LETTER[text.attrib["class"]] * len(text.text)
        if text.attrib["text-anchor"] == "middle":
            around = [b for b in boxes if b[0] < x < b[0] + b[2] and b[1] < y < b[1] + b[3]]
            assert len(around) == 1
            assert width < around[0][2], text.text
        else:
            assert x + width < page_width, text.text


def test_every_path_that_the_page_names_is_there():
    page = PAGE.read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w./-]+)`", re.sub(r"(?m)^    .*$", "", page)))
    paths = {n for n in named if "/" in n and "NAME" not in n}
    assert len(paths) > 60
    missing = sorted(path for path in paths if not (ROOT / path).exists())
    assert not missing
    pictures = re.findall(r"\]\(([\w.-]+\.svg)\)", page)
    assert [f"architecture-{name}.svg" for name in PICTURES] == pictures


def test_every_test_that_the_page_names_is_there():
    page = PAGE.read_text(encoding="utf-8")
    tests = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "tests").rglob("test_*.py"))
    for name in set(re.findall(r"`(test_\w+)`", page)):
        assert f"def {name}(" in tests, name
