"""`mode=free`: actions are executed on the street graph; a wrong turn leads astray.

The agent stands on the points of a `StreetMap`. `forward()` walks to the next point within 45
degrees of where it faces; a turn faces the street nearest to the direction it names; `stop()` ends
the episode, well if within `success_radius` metres of the goal.

    arrived            +1                stopped in reach of the goal
    stopped_elsewhere   0                stopped anywhere else
    moved, turned       0                plus `shaping` * (metres gained on the goal / metres at the start)
    blocked            -0.05             nothing to walk on to ahead
    not_an_action      -0.05

At the end `facts()` holds SPL (success weighted by path length, against the shortest way; Anderson
et al. 2018) and nDTW (normalised dynamic time warping against the instructed route, which need not be
the shortest; Ilharco et al. 2019).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from enum import StrEnum

import numpy as np

from envs.contract import EndedBy
from envs.virl.actions import FORWARD, STOP, Action, Style, directions, new_heading
from envs.virl.answer import Answer
from envs.virl.geo import XY, as_xy, bearing_xy, turn_between
from envs.virl.language import Instruction
from envs.virl.rail import Judgement, Position
from envs.virl.route import Place, Route
from envs.virl.street_map import StreetMap


class FreeVerdict(StrEnum):
    MOVED = "moved"
    TURNED = "turned"
    BLOCKED = "blocked"
    ARRIVED = "arrived"
    STOPPED_ELSEWHERE = "stopped_elsewhere"
    NOT_AN_ACTION = "not_an_action"


REWARDS = {
    FreeVerdict.MOVED: 0.0,
    FreeVerdict.TURNED: 0.0,
    FreeVerdict.BLOCKED: -0.05,
    FreeVerdict.ARRIVED: 1.0,
    FreeVerdict.STOPPED_ELSEWHERE: 0.0,
    FreeVerdict.NOT_AN_ACTION: -0.05,
}

AHEAD_DEGREES = 45.0
"""How far from straight ahead a street may lie and still be walked by `forward()`."""


def ndtw(
    walked: Sequence[XY] | np.ndarray, reference: Sequence[XY] | np.ndarray, radius: float
) -> float:
    """exp(-DTW / (|reference| * radius)): 1 for the reference itself, falling towards 0."""
    a, b = np.asarray(walked, float), np.asarray(reference, float)
    gaps = np.linalg.norm(a[:, None] - b[None], axis=-1)
    cost = np.full((len(a) + 1, len(b) + 1), math.inf)
    cost[0, 0] = 0.0
    for i in range(len(a)):
        for j in range(len(b)):
            cost[i + 1, j + 1] = gaps[i, j] + min(cost[i, j], cost[i, j + 1], cost[i + 1, j])
    return math.exp(-float(cost[-1, -1]) / (len(b) * radius))


class FreeJourney:
    """An episode on the street graph."""

    def __init__(
        self,
        street_map: StreetMap,
        route: Route,
        positions: Sequence[Position],
        instructions: tuple[Instruction, ...],
        *,
        style: Style,
        success_radius: float,
        shaping: float,
        max_steps: int | None,
    ) -> None:
        """`positions` are those of the route's rail. `max_steps` None allows three times what the
        expert needs, and ten more."""
        self.instructions = instructions
        self.sentences = tuple(instruction.sentence for instruction in instructions)
        self._positions = [
            list(here) for _, here in itertools.groupby(positions, lambda p: p.place)
        ]
        self.heading = route.start_heading
        self._map, self._style = street_map, style
        self._radius, self._shaping = success_radius, shaping
        reference = route.way
        self._reference = [street_map.nearest(place.position) for place in reference]
        self._goal = self._reference[-1]
        self._to_goal = street_map.distances_to(self._goal)
        self._visited = [self._reference[0]]
        self._progress = 0  # the farthest point of the route reached so far
        self._shortest = float(self._to_goal[self._visited[0]])
        self._success = self._ended = False
        self._steps = 0
        self._max_steps = max_steps or 3 * (len(reference) + 2 * len(route.legs) + 1) + 10

    @property
    def _here(self) -> int:
        return self._visited[-1]

    @property
    def place(self) -> Place:
        return self._map.place(self._here)

    @property
    def walked(self) -> list[Place]:
        return [self._map.place(point) for point in self._visited]

    def facts(self) -> dict[str, object]:
        facts: dict[str, object] = {
            "instruction_index": None,
            "distance_to_goal": float(self._to_goal[self._here]),
            "steps_left": self._max_steps - self._steps,
        }
        return facts | self._scores() if self._ended else facts

    def _scores(self) -> dict[str, object]:
        points = self._map.points
        walked = points[self._visited]
        length = float(np.linalg.norm(np.diff(walked, axis=0), axis=1).sum())
        longest = max(length, self._shortest)
        return {
            "path_length": length,
            "spl": (self._shortest / longest if longest else 1.0) if self._success else 0.0,
            "ndtw": ndtw(walked, points[self._reference], self._radius),
        }

    def respond(self, answer: Answer) -> Judgement:
        self._steps += 1
        before = float(self._to_goal[self._here])
        verdict, feedback = self._act(answer)
        gained = (before - float(self._to_goal[self._here])) / max(self._shortest, 1.0)
        ended = None
        if verdict in (FreeVerdict.ARRIVED, FreeVerdict.STOPPED_ELSEWHERE):
            ended = EndedBy.SUCCESS if self._success else EndedBy.FAILURE
        elif self._steps >= self._max_steps:
            ended, feedback = EndedBy.OUT_OF_STEPS, f"{feedback} No steps left."
        self._ended = ended is not None
        return Judgement(verdict, REWARDS[verdict] + self._shaping * gained, feedback, ended)

    def _act(self, answer: Answer) -> tuple[FreeVerdict, str]:
        if answer.action is None:
            return FreeVerdict.NOT_AN_ACTION, f"No such action: {answer.action_words}."
        if answer.action == STOP:
            self._success = float(self._to_goal[self._here]) <= self._radius
            if self._success:
                return FreeVerdict.ARRIVED, "You have arrived."
            return FreeVerdict.STOPPED_ELSEWHERE, "You stopped, but this is not the destination."
        if answer.action == FORWARD:
            ahead = self._exit_towards(self.heading, AHEAD_DEGREES)
            if ahead is None:
                return FreeVerdict.BLOCKED, "There is no way ahead."
            self._walk_to(ahead)
            return FreeVerdict.MOVED, "You moved forward."
        self.heading = self._after_turn(answer.action.direction or "")
        return FreeVerdict.TURNED, "You turned."

    def _exit_towards(self, heading: float, within: float) -> int | None:
        """The neighbouring point that lies nearest to a heading, if any is within some degrees."""
        exits = self._map.neighbours(self._here)
        if not exits:
            return None
        point, towards = min(exits, key=lambda exit: abs(turn_between(heading, exit[1])))
        return point if abs(turn_between(heading, towards)) <= within else None

    def _walk_to(self, point: int) -> None:
        arrival = bearing_xy(as_xy(self._map.points[self._here]), as_xy(self._map.points[point]))
        self._visited.append(point)
        if point in self._reference[self._progress :]:
            self._progress = self._reference.index(point, self._progress)
        # A walker follows a bend: it faces the street that goes on, if one does.
        self.heading = self._facing(arrival, AHEAD_DEGREES)

    def _facing(self, wanted: float, within: float) -> float:
        exits = [towards for _, towards in self._map.neighbours(self._here)]
        nearest = min(exits, key=lambda towards: abs(turn_between(wanted, towards)), default=wanted)
        return nearest if abs(turn_between(wanted, nearest)) <= within else wanted

    def _after_turn(self, direction: str) -> float:
        """A turn faces the street nearest to what it says, within half the gap to the next name."""
        return self._facing(new_heading(self.heading, direction, self._style), 22.5 + 1e-9)

    def followed(self) -> Position | None:
        """What applies here, as long as the agent is on the way."""
        if self._here != self._reference[self._progress]:
            return None
        here = self._positions[self._progress]
        return here[0] if self.expert_action().verb == "turn_direction" else here[-1]

    def right_actions(self) -> tuple[Action, ...]:
        return (self.expert_action(),)

    def confusions(self) -> list[tuple[int, Action]]:
        """None: off the route no instruction is nearer than another."""
        return []

    def expert_action(self) -> Action:
        """Along the instructed route; after going astray, first back to where it was left."""
        if self._here == self._goal:
            return STOP
        left_at = self._reference[self._progress]
        if self._here == left_at:
            following = self._reference[self._progress + 1]
        else:
            to_there = self._map.distances_to(left_at)
            following, _ = min(
                self._map.neighbours(self._here),
                key=lambda exit: to_there[exit[0]] + self._map.gap(self._here, exit[0]),
            )
        if self._exit_towards(self.heading, AHEAD_DEGREES) == following:
            return FORWARD
        here = as_xy(self._map.points[self._here])
        target = bearing_xy(here, as_xy(self._map.points[following]))
        name = min(
            directions(self._style),
            key=lambda name: abs(turn_between(self._after_turn(name), target)),
        )
        return Action("turn_direction", name)
