"""Exercises with signs and street views.

Towns have gridtown's streets, but other shops in other places, and another day's colours, so that what is
learnt is reading signs and not one town by heart.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
from PIL import Image as PILImage

from amft_mm.pretraining.exercise import Exercise, Rng, Turn, pick
from envs.contract import Image
from envs.virl import grid
from envs.virl.city import City, Emblem, Landmark, Look
from envs.virl.city_files import load_city
from envs.virl.geo import VIEW_SIDES, as_xy
from envs.virl.language import SIDES, observation_words, sighting_words
from envs.virl.route import Place
from envs.virl.signs import emblem_image
from envs.virl.street_map import StreetMap
from envs.virl.streetview import SignBox, StreetViews

STREET_SIZES = (168, 168, 168, 224)
"""Sides of the pictures in pixels; the most frequent is that of the tiny model's configuration."""
TOWNS = 60
"""How many towns there are to look around in."""


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


def sign_part(rng: Rng) -> Exercise:
    """One property of a sign by itself, so that they are not learnt as fixed companies."""
    [turn] = one_sign(rng)
    number = int(rng.integers(3))
    asked = ("colour", "shape", "shop")[number]
    return [Turn(f"Which {asked} has this sign?", turn.image, turn.answer.split()[number])]


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
