"""A flat deck: the card is its suit's colour, with a large white rank over a large white suit."""

from __future__ import annotations

from PIL import Image as PILImage
from PIL import ImageDraw

from envs.general_points.cards import RANKS, Card
from envs.general_points.decks.suits import bold_font, draw_suit

TABLE = (226, 224, 216)
INK = (255, 255, 255, 255)
GROUND = {
    "S": (34, 38, 50, 255),
    "C": (58, 58, 56, 255),
    "H": (206, 40, 52, 255),
    "D": (224, 78, 40, 255),
}


def draw_card(card: Card, height: int) -> PILImage.Image:
    """The card, RGBA, five wide to seven high."""
    h, w = height * 2, height * 2 * 5 // 7
    image = PILImage.new("RGBA", (w, h), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((0, 0, w - 1, h - 1), w // 7, GROUND[card.suit])
    rank = RANKS[card.rank - 1]
    font = bold_font(round(w * (0.72 if len(rank) == 1 else 0.56)))
    draw.text((w / 2, h * 0.32), rank, INK, font, anchor="mm")
    draw_suit(draw, card.suit, (w / 2, h * 0.74), w * 0.42, INK)
    if card.rank > 10:  # faces carry a bar above and below
        for y in (0.05, 0.92):
            draw.rounded_rectangle((w * 0.25, h * y, w * 0.75, h * (y + 0.03)), w // 40, INK)
    return image.resize((w // 2, h // 2), PILImage.Resampling.LANCZOS)
