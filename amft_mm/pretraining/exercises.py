"""What a base model is taught: one exercise is a short conversation with right (or random) answers.

`EXERCISES` maps a kind to a function of a random generator. Perception (cards, signs, sides), small
skills with text (sums, lists, lines, compass), and the form of the worlds' answers: there, what is
seen is answered rightly and what is to be done is drawn at random, so that no task's policy is taught.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import gymnasium
import numpy as np
from PIL import Image as PILImage

import envs  # noqa: F401 - makes the worlds known
from envs.contract import Image
from envs.general_points.cards import RANKS, Card
from envs.general_points.decks import find_deck, table_picture
from envs.general_points.prompts import FACES
from envs.virl import grid
from envs.virl.actions import directions
from envs.virl.city import City, Emblem, Landmark, Look
from envs.virl.city_files import load_city
from envs.virl.geo import VIEW_SIDES, as_xy
from envs.virl.language import SIDES, observation_words, sighting_words
from envs.virl.route import Place
from envs.virl.signs import emblem_image
from envs.virl.street_map import StreetMap
from envs.virl.streetview import SignBox, StreetViews

Rng = np.random.Generator

DECKS = ("classic", "classic", "flat", "flat", "chalk")
SUIT_NAMES = {"S": "spades", "C": "clubs", "H": "hearts", "D": "diamonds"}
CARD_SIZES = (56, 56, 84, 112)
TABLE_SIZES = (112, 112, 112, 140, 168)
STREET_SIZES = (168, 168, 168, 224)
"""Sides of the pictures in pixels; the most frequent are those of the tiny model's configuration."""
TOWNS = 60
"""How many towns there are to look around in."""


@dataclass(frozen=True)
class Turn:
    """What is shown and said, and what the model shall answer."""

    text: str
    image: Image | None
    answer: str


Exercise = list[Turn]


def pick(rng: Rng, options: Any) -> Any:
    return options[int(rng.integers(len(options)))]


# One thing.


def one_sign(rng: Rng) -> Exercise:
    """A shop's sign somewhere in a plain picture, small or large."""
    mark = pick(rng, load_city("gridtown").landmarks)
    size = int(rng.integers(34, 55) if rng.random() < 0.5 else rng.integers(9, 34))
    colour = tuple(int(c) for c in rng.integers(40, 240, 3))
    picture = PILImage.new("RGB", (56, 56), colour)
    sign = emblem_image(mark.emblem, size)
    corner = (int(rng.integers(57 - size)), int(rng.integers(57 - size)))
    picture.paste(sign, corner, sign)
    return [Turn("Which sign is this?", np.asarray(picture), mark.name)]


def one_card(rng: Rng) -> Exercise:
    [card], side = some_cards(rng, 1), pick(rng, CARD_SIZES)
    picture = table_picture(find_deck(pick(rng, DECKS)), [card], (side, side))
    name = f"{RANKS[card.rank - 1]} of {SUIT_NAMES[card.suit]}"
    return [Turn("Which card is this?", picture, name)]


def sign_part(rng: Rng) -> Exercise:
    """One property of a sign by itself, so that they are not learnt as fixed companies."""
    [turn] = one_sign(rng)
    number = int(rng.integers(3))
    asked = ("colour", "shape", "shop")[number]
    return [Turn(f"Which {asked} has this sign?", turn.image, turn.answer.split()[number])]


# Cards.


def table_of_cards(rng: Rng) -> Exercise:
    """Four cards (at times three or five), by rank, as the agent has to list them."""
    cards = some_cards(rng, pick(rng, (4, 4, 4, 4, 3, 5)))
    picture = _table(rng, cards)
    return [Turn("Which cards are these?", picture, json.dumps(_ranks(cards)))]


def table_by_a_rule(rng: Rng) -> Exercise:
    """What the cards of a picture count, by the rule that is told."""
    cards = some_cards(rng, 4)
    told, counts = _count_by_a_rule(rng, cards)
    return [Turn(told, _table(rng, cards), counts)]


def cards_by_a_rule(rng: Rng) -> Exercise:
    """The same with the cards named."""
    cards = some_cards(rng, 4)
    told, counts = _count_by_a_rule(rng, cards)
    return [Turn(f"Cards: {', '.join(_ranks(cards))}. {told}", None, counts)]


def _count_by_a_rule(rng: Rng, cards: list[Card]) -> tuple[str, str]:
    rule = pick(rng, tuple(FACES))
    counts = {"cards": _ranks(cards), "number": [card.number(rule) for card in cards]}
    return f"{pick(rng, FACES[rule])} What do the cards count?", json.dumps(counts)


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


# Streets. Towns have gridtown's streets, but other shops in other places, and another day's colours,
# so that what is learnt is reading signs and not one town by heart.


class Town:
    """A place to look around in: gridtown's streets, other shops, another look."""

    def __init__(self, rng: Rng) -> None:
        city = load_city("gridtown")
        emblems = sorted(
            {mark.emblem for mark in city.landmarks}, key=lambda e: (e.colour, e.shape, e.kind)
        )
        landmarks = tuple(_other_shop(mark, pick(rng, emblems)) for mark in city.landmarks)
        look = city.look if rng.random() < 0.3 else _other_look(rng)
        self.city: City = replace(city, name="a town", landmarks=landmarks, look=look)
        self.map, self.views = StreetMap(self.city), StreetViews(self.city, cached_bytes=0)

    def stand(self, rng: Rng) -> tuple[Place, float]:
        """A place and a heading along one of its streets; places with shops are likelier."""
        for _ in range(4):
            point = int(rng.integers(len(self.map.points)))
            if self.map.place(point).sightings:
                break
        _, heading = pick(rng, self.map.neighbours(point))
        return self.map.place(point), heading

    def look(self, place: Place, heading: float, tile: int) -> dict[str, Image]:
        position = as_xy(self.city.projection.to_xy(place.position))
        return self.views.views(position, heading, tile, tile)

    def signs(self, place: Place, heading: float, tile: int) -> dict[str, tuple[SignBox, ...]]:
        position = as_xy(self.city.projection.to_xy(place.position))
        return self.views.signs(position, heading, tile, tile)


def _other_shop(mark: Landmark, emblem: Emblem) -> Landmark:
    name = f"{emblem.colour} {emblem.shape} {emblem.kind}".title()
    return replace(mark, name=name, emblem=emblem)


def _other_look(rng: Rng) -> Look:
    def colour(low: int, high: int) -> tuple[int, int, int]:
        return tuple(int(c) for c in rng.integers(low, high, 3))  # type: ignore[return-value]

    def grey(low: int, high: int) -> tuple[int, int, int]:
        return (int(rng.integers(low, high)),) * 3

    lowest = float(rng.uniform(6, 18))
    return Look(
        sky=(colour(90, 230), colour(180, 255)),
        road=grey(50, 125),
        pavement=grey(130, 210),
        facades=tuple(colour(60, 245) for _ in range(5)),
        heights=(lowest, lowest + float(rng.uniform(4, 25))),
    )


@lru_cache(maxsize=TOWNS)
def _town(number: int) -> Town:
    return Town(np.random.default_rng([number, 1]))


def a_place_in_town(rng: Rng) -> tuple[Town, Place, float]:
    town = _town(int(rng.integers(TOWNS)))
    return (town, *town.stand(rng))


def street_corner(rng: Rng) -> Exercise:
    """The whole observation of four joined views, as the agent has to write it."""
    town, place, heading = a_place_in_town(rng)
    picture = grid.join(town.look(place, heading, pick(rng, STREET_SIZES) // 2), VIEW_SIDES)
    return [Turn("What do you observe?", picture, observation_words(place, heading))]


def one_side(rng: Rng) -> Exercise:
    """What is on one side, of four joined views."""
    town, place, heading = a_place_in_town(rng)
    picture = grid.join(town.look(place, heading, pick(rng, STREET_SIZES) // 2), VIEW_SIDES)
    side = pick(rng, tuple(SIDES.values()))
    words = [sighting_words(sighting, heading) for sighting in place.sightings]
    there = [said.removesuffix(f" is {side}") for said in words if said.endswith(side)]
    return [Turn(f"What is {side}?", picture, "; ".join(there) + "." if there else "Nothing.")]


def one_view(rng: Rng) -> Exercise:
    """A single view: the landmarks in it."""
    town, place, heading = a_place_in_town(rng)
    words = [sighting_words(sighting, heading) for sighting in place.sightings]
    said = [said for said in words if said.endswith(tuple(SIDES.values()))]
    side = pick(rng, VIEW_SIDES)
    if said and rng.random() < 0.8:
        shown = pick(rng, said)
        side = next(s for s, name in SIDES.items() if shown.endswith(name))
    picture = town.look(place, heading, pick(rng, (56, 84, 112)))[side]
    there = [s.removesuffix(f" is {SIDES[side]}") for s in said if s.endswith(SIDES[side])]
    answer = "; ".join(there) + "." if there else "No landmarks nearby."
    return [Turn("Which landmarks are in this view?", picture, answer)]


# Text.

SIGNS: dict[str, Callable[[int, int], int]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
}


def sums(rng: Rng) -> Exercise:
    """A few sums of two terms, small ones often."""
    return [Turn(*sum_of_two(rng)) for _ in range(6)]


def sum_of_two(rng: Rng) -> tuple[str, None, str]:
    sign = pick(rng, ("+", "-", "+", "-", "*"))
    if sign == "*":
        a, b = int(rng.integers(1, 14)), int(rng.integers(1, 14))
    else:
        large = rng.random() < 0.6
        a = int(rng.integers(0, 100) if large else rng.integers(-20, 31))
        b = int(rng.integers(0, 100) if large else rng.integers(0, 14))
    return f"{a} {sign} {b} = ?", None, str(SIGNS[sign](a, b))


def echo(rng: Rng) -> Exercise:
    """Saying again what was said: to copy is the first thing to learn of a text."""
    said = _sentence(rng) if rng.random() < 0.5 else " ".join(_shop(rng) for _ in range(2))
    return [Turn(f"Say: {said}", None, said)]


def echo_of_words(rng: Rng) -> Exercise:
    """The same with words that do not belong together, so that nothing but copying helps."""
    words = [pick(rng, _words()) for _ in range(int(rng.integers(2, 9)))]
    return [Turn(f"Say: {' '.join(words)}", None, " ".join(words))]


@lru_cache(maxsize=1)
def _words() -> list[str]:
    """Words of shop names and of sentences, numbers and ranks, each kind about as often."""
    shops = [word for mark in load_city("gridtown").landmarks for word in mark.name.split()]
    few = ("north", "south", "left", "right", "Stop", "turn", "face", *RANKS)
    return [*shops, *few * 15, *"0123456789" * 20]


def lines(rng: Rng) -> Exercise:
    """Questions about a numbered list: line k, the one after, the line that names something."""
    said = [_sentence(rng) for _ in range(int(rng.integers(2, 9)))]
    if rng.random() < 0.5:
        said[-1] = "Stop."
    text = "\n".join(f"{number}. {sentence}" for number, sentence in enumerate(said, 1))
    turns = []
    for index in range(3):
        at = int(rng.integers(len(said)))
        kind = pick(rng, ("recite", "after", "number", "count"))
        if kind == "recite":
            question, answer = f"Recite line {at + 1}.", said[at]
        elif kind == "after":
            nxt = said[at + 1] if at + 1 < len(said) else "The end."
            question, answer = f"What comes after line {at + 1}?", nxt
        elif kind == "number":
            question, answer = f"Which line says: {said[at]}", str(said.index(said[at]) + 1)
        else:
            question, answer = "How many lines are there?", str(len(said))
        turns.append(Turn(f"{text}\n{question}" if index == 0 else question, None, answer))
    return turns


def same_or_not(rng: Rng) -> Exercise:
    """Whether a name is told in a sentence, and where."""
    names = [_shop(rng) for _ in range(2)]
    where = [pick(rng, tuple(SIDES.values())) for _ in range(2)]
    text = "; ".join(f"{n} is {w}" for n, w in zip(names, where, strict=True)) + "."
    other = [part for name in names for part in name.split()]
    asked = pick(rng, (names[0], names[1], " ".join((other[0], other[4], other[2])), _shop(rng)))
    found = f"Yes, {where[names.index(asked)]}." if asked in names else "No."
    return [Turn(f"{text}\nIs {asked} there?", None, found)]


def compass(rng: Rng) -> Exercise:
    """Headings after turns."""
    names, turns = (
        directions("absolute"),
        {"right": 2, "left": -2, "slightly right": 1, "around": 4},
    )
    turns |= {"slightly left": -1}
    at = int(rng.integers(8))
    turn = pick(rng, tuple(turns))
    facing = names[(at + turns[turn]) % 8]
    text = f"You face {names[at]} and turn {turn}. Which way do you face?"
    return [Turn(text, None, facing)]


def _shop(rng: Rng) -> str:
    mark = pick(rng, load_city("gridtown").landmarks)
    return str(mark.name)


def _sentence(rng: Rng) -> str:
    facing = pick(rng, directions("absolute"))
    where = pick(rng, ("the intersection", "the next intersection", "your destination"))
    side = pick(rng, tuple(SIDES.values()))
    return str(
        pick(
            rng,
            (
                f"Move forward until you reach {where}, where {_shop(rng)} is {side}.",
                f"Turn {pick(rng, ('left', 'right', 'slightly left', 'slightly right'))} "
                f"to face {facing}.",
            ),
        )
    )


# The worlds' own prompts and forms. What is to be done is drawn at random.


def cards_form(rng: Rng, visual: bool = True) -> Exercise:
    """General Points: the cards are read rightly, the formula is any formula of their numbers."""
    env = _world(
        "amft/GeneralPoints-v0",
        modality="visual" if visual else "text",
        deck=pick(rng, DECKS[1:3]),
        colors=pick(rng, ("black", "red")),
        face_rule=pick(rng, tuple(FACES)),
        size=(112, 112),
        prompts=pick(rng, ("fixed", "varied")),
        split="train",
    )

    def answer(facts: dict[str, Any]) -> str:
        ranks, numbers = [name[:-1] for name in facts["cards"]], facts["numbers"]
        fields = {"cards": ranks, "number": numbers, "formula": f"{any_formula(rng, numbers)}=24"}
        return json.dumps(fields)

    return _played(env, rng, answer, most=int(rng.integers(1, 6)))


def any_formula(rng: Rng, numbers: list[int]) -> str:
    """A formula of all numbers in any order with any signs and any one pair of parentheses."""
    parts = [str(numbers[i]) for i in rng.permutation(len(numbers))]
    signs = [pick(rng, "+-*/" if rng.random() < 0.2 else "+-*") for _ in parts[1:]]
    if rng.random() < 0.6:
        first = int(rng.integers(0, len(parts) - 1))
        last = first + (2 if first + 2 < len(parts) and rng.random() < 0.3 else 1)
        parts[first], parts[last] = f"({parts[first]}", f"{parts[last]})"
    return "".join(part + sign for part, sign in zip(parts, [*signs, ""], strict=True))


def street_form(rng: Rng, visual: bool = True) -> Exercise:
    """V-IRL: the observation is right; instruction and action are any that there are."""
    style = pick(rng, ("absolute", "absolute", "relative"))
    side = STREET_SIZES[0]
    env = _world(
        "amft/VIRL-v0",
        modality="visual" if visual else "text",
        actions=style,
        size=(side, side),
        prompts=pick(rng, ("fixed", "fixed", "varied")),
        out_of_attempts="move_on",
        attempts=pick(rng, (1, 2)),  # with 2, what is said after a mistake comes too
    )

    def answer(facts: dict[str, Any]) -> str:
        action = pick(rng, ("forward()", "stop()", "turn", "turn"))
        if action == "turn":
            action = f"turn_direction({pick(rng, directions(style))})"
        fields = {
            "current observation": facts["observation"],
            "current instruction": str(int(rng.integers(len(facts["instructions"]))) + 1),
            "action": action,
        }
        return json.dumps(fields)

    return _played(env, rng, answer, most=int(rng.integers(1, 9)))


def math_form(rng: Rng) -> Exercise:
    r"""Math: an answer in its box, which is any small number."""
    env = _world(
        "amft/Math-v0",
        source="chain_sum",
        split="train",
        prompts=pick(rng, ("fixed", "fixed", "varied")),
    )

    def answer(facts: dict[str, Any]) -> str:
        return rf"The answer is \boxed{{{int(rng.integers(-20, 31))}}}."

    return _played(env, rng, answer, most=1)


@lru_cache(maxsize=64)
def _made(name: str, options: tuple[tuple[str, Any], ...]) -> Any:
    return gymnasium.make(name, disable_env_checker=True, **dict(options)).unwrapped


def _world(name: str, **options: Any) -> Any:
    return _made(name, tuple(sorted(options.items())))


def _played(env: Any, rng: Rng, answer: Callable[[dict[str, Any]], str], most: int) -> Exercise:
    """A few turns of an episode in which `answer` writes what the agent says."""
    observation, info = env.reset(seed=int(rng.integers(2**31)))
    turns: Exercise = []
    while len(turns) < most and not info["ended_by"]:
        image = observation.get("image") if info["new_image"] else None
        turns.append(Turn(observation["text"], image, answer(info)))
        observation, _, _, _, info = env.step(turns[-1].answer)
    return turns


Kinds = dict[str, tuple[Callable[[Rng], Exercise], float]]
"""What there is to draw from, each with its share."""

SHORT_SIGHT: Kinds = {
    "one_sign": (one_sign, 0.08),
    "sign_part": (sign_part, 0.06),
    "one_card": (one_card, 0.08),
    "table_of_cards": (table_of_cards, 0.16),
    "table_by_a_rule": (table_by_a_rule, 0.1),
    "one_view": (one_view, 0.16),
    "one_side": (one_side, 0.1),
    "street_corner": (street_corner, 0.3),
}
STREETS: Kinds = {
    "one_card": (one_card, 0.08),
    "table_of_cards": (table_of_cards, 0.08),
    "table_by_a_rule": (table_by_a_rule, 0.06),
    "one_view": (one_view, 0.32),
    "one_side": (one_side, 0.06),
    "street_corner": (street_corner, 0.4),
}
ECHOES: Kinds = {"echo": (echo, 0.5), "echo_of_words": (echo_of_words, 0.5)}
SHORT_TEXT: Kinds = {
    "sums": (sums, 0.42),
    "echo_of_words": (echo_of_words, 0.1),
    "lines": (lines, 0.2),
    "cards_by_a_rule": (cards_by_a_rule, 0.1),
    "same_or_not": (same_or_not, 0.1),
    "compass": (compass, 0.08),
}
TEXT_FORMS: Kinds = {
    "cards_form_in_words": (partial(cards_form, visual=False), 0.4),
    "street_form_in_words": (partial(street_form, visual=False), 0.3),
    "math_form": (math_form, 0.3),
}
FORMS: Kinds = {
    "cards_form": (cards_form, 0.35),
    "street_form": (street_form, 0.35),
    **{name: (make, 0.3 * share) for name, (make, share) in TEXT_FORMS.items()},
}


def draw(kinds: Kinds, seed: list[int]) -> Exercise:
    """The exercise of a seed, of a kind drawn by its share."""
    rng = np.random.default_rng(seed)
    makers, shares = zip(*kinds.values(), strict=True)
    return makers[int(rng.choice(len(makers), p=np.array(shares) / sum(shares)))](rng)
