"""A classic deck: white cards with corner indices and pips, on green felt."""

from __future__ import annotations

from PIL import Image as PILImage
from PIL import ImageDraw

from envs.general_points.cards import RANKS, Card
from envs.general_points.decks.suits import bold_font, draw_suit

TABLE = (21, 102, 60)
PAPER, EDGE = (253, 253, 250, 255), (70, 70, 70, 255)
RED, BLACK, GOLD, SKIN = (
    (200, 16, 32, 255),
    (16, 16, 20, 255),
    (224, 170, 40, 255),
    (246, 214, 178, 255),
)
_TWICE = 2  # drawn at twice the size, then reduced

_LEFT, _RIGHT = 0.34, 0.66
PIPS: dict[int, list[tuple[float, float]]] = {
    1: [(0.5, 0.5)],
    2: [(0.5, 0.2), (0.5, 0.8)],
    3: [(0.5, 0.2), (0.5, 0.5), (0.5, 0.8)],
    4: [(x, y) for x in (_LEFT, _RIGHT) for y in (0.2, 0.8)],
    5: [(x, y) for x in (_LEFT, _RIGHT) for y in (0.2, 0.8)] + [(0.5, 0.5)],
    6: [(x, y) for x in (_LEFT, _RIGHT) for y in (0.2, 0.5, 0.8)],
    7: [(x, y) for x in (_LEFT, _RIGHT) for y in (0.2, 0.5, 0.8)] + [(0.5, 0.35)],
    8: [(x, y) for x in (_LEFT, _RIGHT) for y in (0.2, 0.5, 0.8)] + [(0.5, 0.35), (0.5, 0.65)],
    9: [(x, y) for x in (_LEFT, _RIGHT) for y in (0.2, 0.4, 0.6, 0.8)] + [(0.5, 0.5)],
    10: [(x, y) for x in (_LEFT, _RIGHT) for y in (0.2, 0.4, 0.6, 0.8)] + [(0.5, 0.3), (0.5, 0.7)],
}


def draw_card(card: Card, height: int) -> PILImage.Image:
    """The card, RGBA, five wide to seven high."""
    h, w = height * _TWICE, height * _TWICE * 5 // 7
    image = PILImage.new("RGBA", (w, h), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((1, 1, w - 2, h - 2), w // 12, PAPER, EDGE, max(2, w // 110))
    ink = RED if card.is_red else BLACK
    corner = PILImage.new("RGBA", (w, h), (0, 0, 0, 0))
    _draw_index(ImageDraw.Draw(corner), card, w, h, ink)
    for index in (corner, corner.rotate(180)):
        image.alpha_composite(index)
    if card.rank > 10:
        _draw_court(draw, card, w, h, ink)
    else:
        size = w * (0.46 if card.rank == 1 else 0.19)
        for x, y in PIPS[card.rank]:
            draw_suit(draw, card.suit, (x * w, y * h), size, ink, flipped=y > 0.55)
    return image.resize((w // _TWICE, h // _TWICE), PILImage.Resampling.LANCZOS)


def _draw_index(
    draw: ImageDraw.ImageDraw, card: Card, w: int, h: int, ink: tuple[int, ...]
) -> None:
    rank = RANKS[card.rank - 1]
    font = bold_font(round(w * (0.19 if len(rank) == 1 else 0.15)))
    draw.text((w * 0.12, h * 0.085), rank, ink, font, anchor="mm")
    draw_suit(draw, card.suit, (w * 0.115, h * 0.185), w * 0.13, ink)


def _draw_court(
    draw: ImageDraw.ImageDraw, card: Card, w: int, h: int, ink: tuple[int, ...]
) -> None:
    """A framed bust with the headgear of its rank, and the letter large below it."""
    frame = (w * 0.25, h * 0.12, w * 0.75, h * 0.88)
    tint = (252, 236, 214, 255) if card.is_red else (226, 232, 244, 255)
    draw.rectangle(frame, tint, ink, max(2, w // 90))
    x, y, r = w * 0.5, h * 0.36, w * 0.115
    draw.polygon(
        [(x - 2 * r, h * 0.56), (x - 1.3 * r, y + r), (x + 1.3 * r, y + r), (x + 2 * r, h * 0.56)],
        ink,
    )
    draw.ellipse((x - r, y - r, x + r, y + r), SKIN, BLACK, max(2, w // 130))
    for side in (-1, 1):
        eye = (x + side * 0.4 * r, y + 0.05 * r)
        draw.ellipse((eye[0] - r / 9, eye[1] - r / 9, eye[0] + r / 9, eye[1] + r / 9), BLACK)
    draw.arc((x - r / 2, y, x + r / 2, y + 0.7 * r), 20, 160, BLACK, max(2, w // 130))
    _HEADGEAR[card.rank](draw, x, y - 0.75 * r, r, ink)
    draw.text((x, h * 0.72), RANKS[card.rank - 1], ink, bold_font(round(w * 0.3)), anchor="mm")


def _cap(draw: ImageDraw.ImageDraw, x: float, y: float, r: float, ink: tuple[int, ...]) -> None:
    draw.polygon(
        [
            (x - 1.2 * r, y),
            (x + 1.2 * r, y),
            (x + 0.8 * r, y - 0.8 * r),
            (x - 0.9 * r, y - 0.6 * r),
        ],
        ink,
    )
    draw.line([(x + 0.5 * r, y - 0.5 * r), (x + 1.5 * r, y - 1.5 * r)], GOLD, max(3, round(r / 4)))


def _tiara(draw: ImageDraw.ImageDraw, x: float, y: float, r: float, ink: tuple[int, ...]) -> None:
    draw.pieslice((x - 1.1 * r, y - 1.1 * r, x + 1.1 * r, y + 1.1 * r), 180, 360, GOLD, BLACK)
    for k in (-1, 0, 1):
        cx, cy = x + 0.8 * k * r, y - (1.15 if k == 0 else 0.8) * r
        draw.ellipse((cx - r / 5, cy - r / 5, cx + r / 5, cy + r / 5), ink)


def _crown(draw: ImageDraw.ImageDraw, x: float, y: float, r: float, ink: tuple[int, ...]) -> None:
    points = [
        (-1.1, 0),
        (-1.25, -1.2),
        (-0.55, -0.6),
        (0, -1.5),
        (0.55, -0.6),
        (1.25, -1.2),
        (1.1, 0),
    ]
    draw.polygon([(x + a * r, y + b * r) for a, b in points], GOLD, BLACK)


_HEADGEAR = {11: _cap, 12: _tiara, 13: _crown}
