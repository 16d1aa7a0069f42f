"""Exercises with signs and street views.

Towns have the net of gridtown's streets, but of other lengths and widths, other shops in other places and
another day's colours, so that what is learnt is reading signs and not one town by heart.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
from PIL import Image as PILImage

from amft_mm.pretraining.exercise import Exercise, Rng, Turn, pick
from envs.contract import Image
from envs.virl import grid
from envs.virl.city import City, Landmark, Look
from envs.virl.city_files import load_city
from envs.virl.geo import VIEW_SIDES, as_xy, view_side
from envs.virl.language import SIDES, observation_words, sighting_words
from envs.virl.route import Place
from envs.virl.signs import emblem_image
from envs.virl.street_map import StreetMap
from envs.virl.streetview import SignBox, StreetViews

STREET_SIZES = (168, 168, 168, 224)
"""Sides of the pictures in pixels; the most frequent is that of the tiny model's configuration."""
TOWNS = 60
"""How many towns there are to look around in."""
WIDTHS = (15.0, 16.0, 18.0, 18.0, 21.0, 24.0)
CORNER, GAP = 12.0, 60.0
"""Metres: from a street's end to the first shop at least, and about from one shop to the next."""


def signs(rng: Rng) -> Exercise:
    """Shops' signs, each somewhere in a plain picture, small or large: the name, or one word of it by
    itself, so that colour, shape and shop are not learnt as fixed companies."""
    return [_one_sign(rng) for _ in range(4)]


def _one_sign(rng: Rng) -> Turn:
    mark = pick(rng, load_city("gridtown").landmarks)
    size = int(rng.integers(34, 55) if rng.random() < 0.5 else rng.integers(9, 34))
    colour = tuple(int(c) for c in rng.integers(40, 240, 3))
    picture = PILImage.new("RGB", (56, 56), colour)
    sign = emblem_image(mark.emblem, size)
    corner = (int(rng.integers(57 - size)), int(rng.integers(57 - size)))
    picture.paste(sign, corner, sign)
    number = int(rng.integers(6))
    if number > 2:
        return Turn("Which sign is this?", np.asarray(picture), mark.name)
    asked = ("colour", "shape", "shop")[number]
    return Turn(f"Which {asked} has this sign?", np.asarray(picture), mark.name.split()[number])


class Town:
    """A place to look around in: gridtown's streets stretched, of other widths, with other shops in
    other places, under another sky."""

    def __init__(self, rng: Rng) -> None:
        city = load_city("gridtown")
        stretch = rng.uniform(0.7, 1.6, 2)
        widths = rng.choice(WIDTHS, 2)
        self.city: City = replace(
            city,
            name="a town",
            nodes=city.nodes * stretch,
            streets=tuple(replace(s, width=float(pick(rng, widths))) for s in city.streets),
            look=city.look if rng.random() < 0.3 else _other_look(rng),
        )
        self.city = replace(self.city, landmarks=_shops(rng, self.city))
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


def _shops(rng: Rng, city: City) -> tuple[Landmark, ...]:
    """Signs of gridtown along both sides of every street, not too near its corners."""
    emblems = sorted(
        {mark.emblem for mark in load_city("gridtown").landmarks},
        key=lambda e: (e.colour, e.shape, e.kind),
    )
    shops = []
    for street in city.streets:
        start, end = city.nodes[street.u], city.nodes[street.v]
        length = float(np.hypot(*(end - start)))
        along = (end - start) / length
        for side in (1.0, -1.0):
            across = side * np.array([-along[1], along[0]])
            at = CORNER + float(rng.exponential(GAP / 2))
            while at < length - CORNER:
                x, y = (float(v) for v in start + at * along + street.width / 2 * across)
                facing = float(np.degrees(np.arctan2(-across[0], -across[1])) % 360)
                emblem = pick(rng, emblems)
                name = f"{emblem.colour} {emblem.shape} {emblem.kind}".title()
                shops.append(Landmark(name, emblem, x, y, facing))
                at += 8.0 + float(rng.exponential(GAP))
    return tuple(shops)


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
    """The whole observation of four joined views, as the agent has to write it, and more of the same
    picture: what is where, in which colour, and whether a shop is there."""
    town, place, heading = a_place_in_town(rng)
    picture = grid.join(town.look(place, heading, pick(rng, STREET_SIZES) // 2), VIEW_SIDES)
    seen = [(s.name, view_side(heading, s.bearing)) for s in place.sightings]
    whole = Turn("What do you observe?", picture, observation_words(place, heading))
    here = Turn("Where are you?", picture, here_words(place, heading))
    asked = [_of_a_side(rng, seen), _of_a_side(rng, seen), _of_a_name(rng, seen)]
    turns = [whole, here] if rng.random() < 0.6 else [here, whole]
    turns = [*turns[: 1 + int(rng.random() < 0.5)], *asked[int(rng.integers(3)) :]]
    if rng.random() < 0.2:
        turns.reverse()
    return [
        replace(turn, image=picture if index == 0 else None) for index, turn in enumerate(turns)
    ]


def _of_a_side(rng: Rng, seen: list[tuple[str, str]]) -> Turn:
    """The shops on a side, or one word of their names, so that colour, shape and kind are read each by
    itself and not as companies that are known."""
    side = pick(rng, VIEW_SIDES)
    if seen and rng.random() < 0.8:
        side = pick(rng, seen)[1]
    names = [name for name, where in seen if where == side]
    asked = int(rng.integers(4))
    if asked == 3:
        said = "; ".join(names) + "." if names else "Nothing."
        return Turn(f"What is {SIDES[side]}?", None, said)
    words = [name.split()[asked] for name in names]
    question = f"Which {('colour', 'shape', 'shop')[asked]} is {SIDES[side]}?"
    return Turn(question, None, ", ".join(words) or "None")


def _of_a_name(rng: Rng, seen: list[tuple[str, str]]) -> Turn:
    """Whether a shop is there, and where."""
    name = str(pick(rng, load_city("gridtown").landmarks).name)
    if seen and rng.random() < 0.6:
        name = pick(rng, seen)[0]
    where = [SIDES[side] for other, side in seen if other == name]
    return Turn(f"Is {name} there?", None, f"Yes, {where[0]}." if where else "No.")


def here_words(place: Place, heading: float) -> str:
    """The observation in short."""
    return f"Here: {observation_words(place, heading, brief=True)}"


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
