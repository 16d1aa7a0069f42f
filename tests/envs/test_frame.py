"""Frames are of one size and survive any text."""

from pathlib import Path

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageFont

from envs.fonts import typeface
from envs.frame import BAD, GOOD, compose_frame, drawable, wrap

FONT = typeface("DejaVuSans.ttf", 14)


def picture(height, width):
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("image", [None, picture(1, 1), picture(3, 900), picture(600, 20)])
@pytest.mark.parametrize("text", ["", "short", "word " * 3_000, "x" * 1_000_000, "\n" * 5_000])
def test_every_frame_has_the_same_size(image, text):
    frame = compose_frame(image, prompt=text, action=text, verdict=text, reward=-1, feedback=text)
    assert frame.shape == (540, 960, 3)
    assert frame.dtype == np.uint8
    assert frame.flags.writeable


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_every_text_can_be_drawn(text):
    compose_frame(None, prompt=text, action=text, verdict=text, reward=1.0, feedback=text)
    assert all(char == "\n" or char.isprintable() or char.isspace() for char in drawable(text))


def has_colour(frame, colour):
    return (frame == colour).all(axis=2).any()


def test_good_and_bad_differ_in_colour():
    good = compose_frame(None, prompt="?", verdict="correct", reward=1.0)
    bad = compose_frame(None, prompt="?", verdict="wrong", reward=-1.0)
    assert has_colour(good, GOOD)
    assert not has_colour(good, BAD)
    assert has_colour(bad, BAD)


def test_the_picture_is_shown_whole_and_sharp():
    image = np.zeros((4, 4, 3), np.uint8)
    image[:, :2] = (250, 0, 0)
    image[:, 2:] = (0, 0, 250)
    frame = compose_frame(image, prompt="?")
    red = (frame == (250, 0, 0)).all(axis=2).sum()
    blue = (frame == (0, 0, 250)).all(axis=2).sum()
    assert red == blue > 100_000


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=400))
@settings(max_examples=60, deadline=None)
def test_lines_fit_and_nothing_is_lost(text):
    lines = wrap(text, FONT, 200, most_lines=1_000)
    assert all(FONT.getlength(line.rstrip()) <= 200 for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_what_is_cut_is_marked():
    text = " ".join(f"word{number}" for number in range(200))
    start = wrap(text, FONT, 200, most_lines=3)
    end = wrap(text, FONT, 200, most_lines=3, keep="end")
    assert len(start) == len(end) == 3
    assert start[0].startswith("word0")
    assert start[-1].endswith("…")
    assert end[0].startswith("…")
    assert end[-1].endswith("word199")


def test_marks_that_turn_lines_around_are_left_out():
    assert drawable("a\u202eb\u200fc\x1b[31md\x00e\tf\r\ng") == "abc[31mde    f\ng"


def test_gymnasium_can_film_it(tmp_path):
    env = gymnasium.make("amft/Math-v0", render_mode="rgb_array")
    env = gymnasium.wrappers.RenderCollection(env)
    env.reset(seed=0)
    env.step(env.unwrapped.expert())
    frames = env.render()
    assert {frame.shape for frame in frames} == {(540, 960, 3)}
    assert len(frames) == 2


def test_pictures_do_not_depend_on_what_lays_text_out():
    """Defect: without FriBiDi on the machine street names and ranks were drawn otherwise by the same seed."""
    assert typeface("DejaVuSans.ttf", 14).layout_engine == ImageFont.Layout.BASIC
    root = Path(__file__).parents[2]
    files = [path for room in ("envs", "agents", "amft_mm") for path in (root / room).rglob("*.py")]
    using = [path.name for path in files if "truetype(" in path.read_text(encoding="utf-8")]
    assert using == ["fonts.py"]
