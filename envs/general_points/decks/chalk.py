"""A deck on a blackboard: wavering chalk outlines, white for black suits and rose for red ones."""

from __future__ import annotations

import itertools
import math

import numpy as np
from PIL import Image as PILImage
from PIL import ImageDraw, ImageFilter

from envs.general_points.cards import RANKS, SUITS, Card
from envs.general_points.decks.suits import OUTLINES, Point, bold_font, draw_suit

TABLE = (38, 52, 48)
SLATE = (46, 62, 57, 255)
WHITE, ROSE = (238, 238, 228, 255), (255, 118, 118, 255)


def draw_card(card: Card, height: int) -> PILImage.Image:
    """The card, RGBA, five wide to seven high. Each card wavers in its own way, always the same."""
    h, w = height * 2, height * 2 * 5 // 7
    rng = np.random.default_rng([card.rank, SUITS.index(card.suit)])
    image = PILImage.new("RGBA", (w, h), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    chalk = ROSE if card.is_red else WHITE
    inset = w * 0.04
    box = [(inset, inset), (w - inset, inset), (w - inset, h - inset), (inset, h - inset)]
    draw.polygon(box, SLATE)
    for _ in range(2):  # a line of chalk is drawn twice, never quite the same
        _stroke(draw, rng, box, chalk, w // 70, waver=w * 0.012)
    rank = RANKS[card.rank - 1]
    font = bold_font(round(w * (0.56 if len(rank) == 1 else 0.46)))
    draw.text((w * 0.5, h * 0.32), rank, chalk, font, anchor="mm")
    centre, half = (w * 0.5, h * 0.73), w * 0.2
    if card.rank > 10:  # faces: the suit is filled and underlined; others: an outline
        draw_suit(draw, card.suit, centre, 2 * half, chalk)
        line = [(w * 0.25, h * 0.53), (w * 0.75, h * 0.53)]
        _stroke(draw, rng, line, chalk, w // 45, waver=w * 0.012)
    else:
        for outline in OUTLINES[card.suit]:
            points = [(centre[0] + x * half, centre[1] - y * half) for x, y in outline]
            _stroke(draw, rng, points, chalk, w // 60, waver=w * 0.004)
    return _dusty(image, rng).resize((w // 2, h // 2), PILImage.Resampling.LANCZOS)


def _stroke(
    draw: ImageDraw.ImageDraw,
    rng: np.random.Generator,
    corners: list[Point],
    colour: tuple[int, ...],
    width: int,
    waver: float,
) -> None:
    """A line through the corners, closed if there are more than two, that wavers a little."""
    closed = [*corners, corners[0]] if len(corners) > 2 else corners
    points: list[Point] = []
    for (x0, y0), (x1, y1) in itertools.pairwise(closed):
        pieces = max(1, round(math.dist((x0, y0), (x1, y1)) / 40))
        for k in range(pieces):
            dx, dy = rng.normal(0, waver, 2)
            points.append((x0 + (x1 - x0) * k / pieces + dx, y0 + (y1 - y0) * k / pieces + dy))
    points.append(points[0] if len(corners) > 2 else closed[-1])
    draw.line(points, colour, max(3, width), joint="curve")


def _dusty(image: PILImage.Image, rng: np.random.Generator) -> PILImage.Image:
    """Chalk leaves gaps: the bright strokes are thinned by fine noise."""
    pixels = np.asarray(image).astype(np.float32)
    noise = rng.random(pixels.shape[:2]).astype(np.float32)
    bright = (pixels[..., :3].max(axis=-1) > 150)[..., None]
    grain = np.where(noise > 0.18, 1.0, 0.62)[..., None]
    pixels[..., :3] = np.where(bright, pixels[..., :3] * grain, pixels[..., :3])
    return PILImage.fromarray(pixels.astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.8))
