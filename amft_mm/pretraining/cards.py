"""Exercises with pictures of cards."""

from __future__ import annotations

import json

import numpy as np

from amft_mm.pretraining.exercise import Exercise, Rng, Turn, pick
from envs.contract import Image
from envs.general_points.cards import FACE_RULES, RANKS, Card
from envs.general_points.decks import find_deck, table_picture
from envs.general_points.prompts import faces_words

DECKS = ("classic", "classic", "flat", "flat", "chalk")
RULES = ("ten", "rank")
"""How faces may count in what is taught."""
SUIT_NAMES = {"S": "spades", "C": "clubs", "H": "hearts", "D": "diamonds"}
CARD_SIZES = (56, 56, 84, 112)
TABLE_SIZES = (112, 112, 112, 140, 168)
"""Sides of the pictures in pixels; the most frequent are those of the tiny model's configuration."""


def one_card(rng: Rng) -> Exercise:
    """A few, each in a picture of its own."""
    turns = []
    for card in some_cards(rng, 4):
        side = pick(rng, CARD_SIZES)
        picture = table_picture(find_deck(pick(rng, DECKS)), [card], (side, side))
        name = f"{RANKS[card.rank - 1]} of {SUIT_NAMES[card.suit]}"
        turns.append(Turn("Which card is this?", picture, name))
    return turns


def table_of_cards(rng: Rng) -> Exercise:
    """Four cards (at times three or five), by rank, as the agent has to list them."""
    cards = some_cards(rng, pick(rng, (4, 4, 4, 4, 3, 5)))
    picture = _table(rng, cards)
    return [Turn("Which cards are these?", picture, json.dumps(_ranks(cards)))]


def table_by_a_rule(rng: Rng) -> Exercise:
    """What the cards of a picture count, by the rule that is told."""
    cards = some_cards(rng, 4)
    rule, counts = _count_by_a_rule(rng, cards)
    return [Turn(rule, _table(rng, cards), counts)]


def cards_by_a_rule(rng: Rng) -> Exercise:
    """The same with the cards named."""
    cards = some_cards(rng, 4)
    rule, counts = _count_by_a_rule(rng, cards)
    return [Turn(f"Cards: {', '.join(_ranks(cards))}. {rule}", None, counts)]


def _count_by_a_rule(rng: Rng, cards: list[Card]) -> tuple[str, str]:
    faces = FACE_RULES[pick(rng, RULES)]
    counts = {"cards": _ranks(cards), "number": [card.number(faces) for card in cards]}
    return f"{pick(rng, faces_words(faces))} What do the cards count?", json.dumps(counts)


def some_cards(rng: Rng, count: int) -> list[Card]:
    """Faces come half of the time, as they are harder to tell apart."""
    suits = pick(rng, ("SC", "HD", "SCHD"))
    pack = [Card(rank, suit) for rank in range(1, 14) for suit in suits]
    weights = np.array([2.0 if card.rank > 9 else 1.0 for card in pack])
    chosen = rng.choice(len(pack), size=count, replace=False, p=weights / weights.sum())
    return [pack[i] for i in chosen]


def _ranks(cards: list[Card]) -> list[str]:
    return [RANKS[card.rank - 1] for card in cards]


def _table(rng: Rng, cards: list[Card]) -> Image:
    side = pick(rng, TABLE_SIZES)
    return table_picture(find_deck(pick(rng, DECKS)), cards, (side, side))
