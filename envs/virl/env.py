"""`amft/VIRL-v0`: follow walking instructions through a city, in words or by street views.

`mode=rail` asks at every position of a route what to do (envs/virl/rail.py); `mode=free` lets the
agent walk the street graph and get lost (envs/virl/free.py). Routes come from embedded cities or,
with `data=FOLDER`, from published data as it is.

Splits: `train` and `id` are disjoint sets of routes of `city`; `ood_rule` has the routes of `id` with
actions by left and right, or by compass where training has left and right; `ood_city` has routes of another
city's streets and landmarks. `listed` has all routes of `data` by their number, `reset(seed=n)` being route n
(modulo their count), so that each can be played once, as a published list of test routes asks; `listed_rule`
has them with the actions of `ood_rule`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from envs.contract import (
    Image,
    Outcome,
    Scene,
    World,
    no_unknown_options,
    one_of,
    picture_size,
    whole_number,
)
from envs.virl import grid
from envs.virl.actions import DRAWN, FORWARD, STOP, Action, Style, directions
from envs.virl.forms import Asked, Form, JsonForm, Said, ShortForm
from envs.virl.free import FreeJourney, FreeVerdict
from envs.virl.geo import VIEW_SIDES, Projection, as_xy
from envs.virl.language import Wording, observation_words
from envs.virl.map_picture import draw_map
from envs.virl.rail import RailJourney, RailVerdict, lay_rail
from envs.virl.route import Place, Route
from envs.virl.sources import DATA_SPLITS, SPLITS, Source, city_source, data_source

VIRLVerdict = StrEnum(  # type: ignore[misc]
    "VIRLVerdict", {verdict.name: verdict.value for verdict in (*RailVerdict, *FreeVerdict)}
)


NEAR_M = 60.0
"""How far from the way a sketch shows what is there."""


class VIRLEnv(World):
    """See the module's docstring; the arguments are those of `gymnasium.make`."""

    verdicts = VIRLVerdict

    def __init__(
        self,
        *,
        modality: str = "visual",
        mode: str = "rail",
        actions: str = "absolute",
        city: str = "gridtown",
        data: str | Path | None = None,
        strict: bool = True,
        split: str | None = None,
        attempts: int = 2,
        out_of_attempts: str = "end",
        scoring: str = "suite",
        size: Sequence[int] = (448, 448),
        order: Sequence[str] = VIEW_SIDES,
        prompts: str = "fixed",
        distances: bool = False,
        answer: str = "json",
        thought: str = "none",
        instruction_as: str = "number",
        success_radius: float = 15.0,
        shaping: float = 0.0,
        max_steps: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        """
        modality         "visual" (a 2 x 2 grid of street views) or "text" (observations in words)
        mode             "rail" or "free"
        actions          directions are "absolute" (compass), "relative" (left, right, ...), "letters" (n,
                         ne, ...), by "ship" (port, starboard, ...) or "clock" (one to eleven), or words
                         of a "code" (alfa, bravo, ...) that is drawn for each route; "varied" draws one
                         of all these for each route, but for left and right
        city             an embedded city, or the path of a city file; ignored with `data`
        data, strict     folder of published data; strict=False skips its broken routes, counted
        split            default "train" for cities, "all" for data
        attempts         rail: answers allowed at each position
        out_of_attempts  rail: "end" the episode there, or "move_on" to the next position
        scoring          rail: "suite" blames a wrong action on the instruction that was named (-1.75);
                         by the "published" scoring it is -1 whatever was named
        size             (height, width) of the whole picture
        order            sides of the four views from top left to bottom right
        prompts          "fixed" wording, or "varied" by the seed
        distances        instructions say how far to walk
        answer           form of the answers, and of what is seen: "json" as published, or "short"
        thought          the expert writes "none", or in "steps" what is seen, what an instruction waits
                         for and whether it is reached, then the rest; agents may do either
        instruction_as   the prompt asks for the instruction by "number" or "sentence", and so the expert
                         names it; agents may do either
        success_radius   free: metres from the goal at which stopping succeeds
        shaping          free: weight of the reward for getting nearer
        max_steps        free: None allows three times what the expert needs, and ten more
        """
        visual = one_of("modality", modality, ("visual", "text")) == "visual"
        height_width = picture_size("size", size, low=56)
        self._tile = grid.tile_size(height_width)
        super().__init__(image_size=height_width if visual else None, render_mode=render_mode)
        self._visual = visual
        self._free = one_of("mode", mode, ("rail", "free")) == "free"
        if data is None:
            split = one_of("split", "train" if split is None else split, SPLITS)
        else:
            split = one_of("split", "all" if split is None else split, DATA_SPLITS)
            if self._free:
                raise ValueError(
                    "mode='free' needs a street graph, and data=FOLDER has none: use mode='rail'."
                )
        self._listed = split in ("listed", "listed_rule")
        self._styles = _styles(one_of("actions", actions, tuple(DRAWN)), split)
        self._style = self._styles[0]
        self._attempts = whole_number("attempts", attempts, 1, 1000)
        self._move_on = one_of("out_of_attempts", out_of_attempts, ("end", "move_on")) == "move_on"
        self._blame_instructions = one_of("scoring", scoring, ("suite", "published")) == "suite"
        self._order = grid.check_order(order)
        self._varied = one_of("prompts", prompts, ("fixed", "varied")) == "varied"
        self._distances = one_of("distances", distances, (False, True))
        self._thought = one_of("thought", thought, ("none", "steps")) == "steps"
        short = one_of("answer", answer, ("json", "short")) == "short"
        self._form: Form = ShortForm(thought=self._thought) if short else JsonForm()
        self._by_number = (
            one_of("instruction_as", instruction_as, ("number", "sentence")) == "number"
        )
        self._success_radius = _positive("success_radius", success_radius)
        self._shaping = _at_least_zero("shaping", shaping)
        self._max_steps = (
            None if max_steps is None else whole_number("max_steps", max_steps, 1, 100_000)
        )
        strict = one_of("strict", strict, (True, False))
        self._source: Source = (
            city_source(city, split)
            if data is None
            else data_source(data, split, strict=strict, pictures=visual)
        )
        self._route: Route | None = None
        self._journey: RailJourney | FreeJourney | None = None
        self._pictured: tuple[Place, float] | None = None
        self._picture: Image | None = None

    def begin(self, rng: np.random.Generator, options: dict[str, Any]) -> Scene:
        no_unknown_options(options, ("route",))
        if "route" in options:
            index = whole_number("reset option 'route'", options["route"], 0, len(self._source) - 1)
        elif self._listed:
            index = int(self.np_random_seed) % len(self._source)
        else:
            index = int(rng.integers(len(self._source)))
        self._route = route = self._source.route(index, rng)
        self._route_index = index
        wording = Wording(rng if self._varied else None, brief=self._form.brief)
        if len(self._styles) > 1:
            self._style = self._styles[int(rng.integers(len(self._styles)))]
        positions, instructions = lay_rail(
            route, style=self._style, distances=self._distances, wording=wording
        )
        if self._free:
            assert self._source.street_map is not None
            self._journey = FreeJourney(
                self._source.street_map,
                route,
                positions,
                instructions,
                style=self._style,
                success_radius=self._success_radius,
                shaping=self._shaping,
                max_steps=self._max_steps,
            )
        else:
            self._journey = RailJourney(
                positions,
                instructions,
                attempts=self._attempts,
                move_on=self._move_on,
                blame_instructions=self._blame_instructions,
            )
        asked = Asked(
            self._on_the_way.sentences,
            self._style,
            order=self._order if self._visual else None,
            by_number=self._by_number,
            thought=self._thought,
            free=self._free,
        )
        return self._scene_here(self._form.ask(asked, wording))

    def respond(self, text: str) -> Outcome:
        journey = self._on_the_way
        judgement = journey.respond(self._form.read(text, self._style))
        return Outcome(
            verdict=self.verdicts(str(judgement.verdict)),
            reward=judgement.reward,
            scene=self._scene_here(judgement.feedback),
            feedback=judgement.feedback,
            ended_by=judgement.ended_by,
        )

    def expert(self) -> str:
        return self._answer(self._on_the_way.expert_action())

    def mistake(self, rng: np.random.Generator) -> str:
        """What a walker gets wrong: mostly it follows a neighbouring instruction, else it does any action
        that is not right."""
        journey = self._on_the_way
        near = journey.confusions()
        if near and rng.random() < 0.9:
            index, action = near[int(rng.integers(len(near)))]
            return self._answer(action, index)
        right = journey.right_actions()
        turns = [Action("turn_direction", name) for name in directions(self._style)]
        wrong = [action for action in (FORWARD, STOP, *turns) if action not in right]
        return self._answer(wrong[int(rng.integers(len(wrong)))])

    def _answer(self, action: Action, instruction: int | None = None) -> str:
        """As the expert words it; `instruction` is another one than applies."""
        journey = self._on_the_way
        index = journey.facts()["instruction_index"] if instruction is None else instruction
        named = None
        if isinstance(index, int):
            named = str(index + 1) if self._by_number else journey.sentences[index]
        waits = self._waits(instruction) if self._thought else ""
        return self._form.write(Said(self._observed, waits, named, action))

    def _waits(self, instruction: int | None) -> str:
        """What was waited for, and whether it is reached, as one has it who follows an instruction:
        the one that applies, or another, in error."""
        now = self._on_the_way.followed()
        if now is None:
            return "Off the way."
        index, reached = now.instruction, now.arrived
        if instruction is not None and instruction != index:
            index, reached = instruction, instruction > index
        listed = self._on_the_way.instructions
        reached = reached and index > 0 and listed[index - 1].awaits is not None
        if reached:
            index -= 1
        if (awaited := listed[index].awaits) is None:
            return ""
        until = f"{index + 1} until" if self._by_number else "Until"
        return f"{until} {awaited}: {'reached' if reached else 'not reached'}."

    @property
    def _observed(self) -> str:
        journey = self._on_the_way
        return observation_words(journey.place, journey.heading, brief=self._form.brief)

    @property
    def splits(self) -> tuple[str, ...]:
        return SPLITS if self._source.city is not None else DATA_SPLITS

    def facts(self) -> dict[str, Any]:
        journey = self._on_the_way
        return {
            "route": self._route_index,
            "position": journey.place.position,
            "heading": journey.heading,
            "at_intersection": journey.place.at_intersection,
            "observation": self._observed,
            "instructions": journey.sentences,
            **journey.facts(),
        }

    def frame_image(self) -> Image:
        """The street views, if there are any, beside a map of the way."""
        route, journey = self._route, self._on_the_way
        assert route is not None
        city = self._source.city
        to_xy = (city.projection if city else Projection(route.start.position)).to_xy
        height = self._tile[0] * 2 if self._visual else 448
        birds_eye = draw_map(
            city,
            way=[to_xy(place.position) for place in route.way],
            walked=[to_xy(place.position) for place in journey.walked],
            position=to_xy(journey.place.position),
            heading=journey.heading,
            size=(height, height),
        )
        street = self._scene.image if self._scene else None
        return birds_eye if street is None else np.concatenate([street, birds_eye], axis=1)

    def sketch(self) -> dict[str, Any]:
        """A map as (latitude, longitude): the way to go, and what is near it."""
        route, city = self._route, self._source.city
        assert route is not None
        found: dict[str, Any] = {
            "kind": "map",
            "way": [list(place.position) for place in route.way],
        }
        if city is None:
            return found
        to_latlng = city.projection.to_latlng
        at = np.array([city.projection.to_xy(place.position) for place in route.way])
        low, high = at.min(0) - NEAR_M, at.max(0) + NEAR_M

        def near(xy: Any) -> bool:
            return bool(np.all(low <= xy) and np.all(xy <= high))

        ends = [(city.nodes[street.u], city.nodes[street.v]) for street in city.streets]
        found["streets"] = [
            [list(to_latlng(as_xy(xy))) for xy in pair] for pair in ends if any(map(near, pair))
        ]
        found["landmarks"] = [
            {"name": mark.name, "at": list(to_latlng(as_xy((mark.x, mark.y))))}
            for mark in city.landmarks
            if near((mark.x, mark.y))
        ]
        return found

    @property
    def _on_the_way(self) -> RailJourney | FreeJourney:
        if self._journey is None:
            raise RuntimeError("no episode has begun: call reset() first")
        return self._journey

    def _scene_here(self, said: str) -> Scene:
        journey = self._on_the_way
        place, heading = journey.place, journey.heading
        if not self._visual:
            return Scene(self._form.tell(said, self._observed))
        if self._pictured != (place, heading):
            views = self._source.views(place, heading, *self._tile)
            self._picture, self._pictured = grid.join(views, self._order), (place, heading)
        return Scene(said, self._picture)


def _styles(actions: str, split: str) -> tuple[Style, ...]:
    """Those that a route's style is drawn from."""
    if split in ("ood_rule", "listed_rule"):
        return ("absolute",) if actions == "relative" else ("relative",)
    return DRAWN[actions]


def _positive(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
        raise ValueError(f"{name}={value!r:.100} is not a number above 0.")
    return float(value)


def _at_least_zero(name: str, value: Any) -> float:
    return 0.0 if value == 0 else _positive(name, value)
