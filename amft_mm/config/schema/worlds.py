"""Settings of environments: `world(env)` is the schema of one, by what it holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from amft_mm.config.fields import setting
from amft_mm.config.schema.parts import MOST


@dataclass
class Env:
    name: str = setting("how figures, folders and the run call it")
    id: str | None = setting("MODULE:ID; the module is imported and has to register the ID")
    splits: list[str] = setting("that it is evaluated on; none: as it is")


@dataclass
class Picture(Env):
    modality: str = setting("what is seen", among=("visual", "text"))
    size: list[int] = setting("height and width of the picture", length=2, least=28, most=4096)


@dataclass
class GeneralPoints(Picture):
    target: int = setting("what the formula must make", least=1, most=10_000)
    num_cards: int = setting("that are dealt", least=3, most=6)
    face_rule: str = setting(
        "J, Q, K count ten, by their rank, twelve, or by a rule that each hand is told",
        among=("ten", "rank", "twelve", "varied"),
    )
    colors: str = setting("suits that are dealt", among=("black", "red", "all"))
    deck: str = setting("classic, flat, chalk, or a folder of 52 pictures")
    attempts: int = setting("answers allowed", least=1, most=1000)
    prompts: str = setting("wording", among=("fixed", "varied"))
    thought: str = setting(
        "what the expert writes before the formula", among=("none", "steps", "search")
    )
    split: str = setting("that is trained on")


@dataclass
class Streets(Picture):
    mode: str = setting("along the true route, or on the whole graph", among=("rail", "free"))
    actions: str = setting(
        "what directions are called; code, varied: drawn for each route, never left and right",
        among=("absolute", "relative", "letters", "ship", "clock", "code", "varied"),
    )
    city: str = setting("an embedded one, or the path of a city file")
    data: str | None = setting("a folder of published data, instead of a city")
    strict: bool = setting("with false, broken routes of `data` are skipped")
    split: str | None = setting("that is trained on")
    attempts: int = setting("answers allowed at each position", least=1, most=1000)
    out_of_attempts: str = setting("what then happens", among=("end", "move_on"))
    scoring: str = setting("of a wrong action", among=("suite", "published"))
    order: list[str] = setting("of the four views", length=4)
    prompts: str = setting("wording", among=("fixed", "varied"))
    distances: bool = setting("instructions say how far to walk")
    answer: str = setting("form of the answers", among=("json", "short"))
    thought: str = setting("what the expert says before it acts", among=("none", "steps"))
    instruction_as: str = setting("how the instruction is named", among=("number", "sentence"))
    success_radius: float = setting("mode=free: metres from the goal", above=0)
    shaping: float = setting("mode=free: weight of the reward for getting nearer", least=0)
    max_steps: int | None = setting(
        "mode=free: null is three times what the expert needs", least=1, most=MOST
    )


@dataclass
class Sums(Env):
    source: str = setting(
        "chain_sum, countdown, gsm_symbolic, a file of questions, or hf:owner/name"
    )
    split: str = setting("that is trained on")
    attempts: int = setting("answers allowed", least=1, most=1000)
    prompts: str = setting("wording", among=("fixed", "varied"))
    thought: str = setting(
        "what the expert writes before the answer", among=("none", "steps", "search")
    )


WORLDS = {
    "amft/GeneralPoints-v0": GeneralPoints,
    "amft/VIRL-v0": Streets,
    "amft/Math-v0": Sums,
}


def world(env: Any) -> type:
    """The schema of an environment's settings, by what they hold."""
    if not isinstance(env, Mapping):
        return Env
    return Mix if "parts" in env else WORLDS.get(str(env.get("id")), Env)


@dataclass
class Mix:
    name: str = setting("how figures, folders and the run call it")
    shares: dict[str, float] = setting(
        "of task instances and demonstrations, by environment", least=0
    )
    parts: Any = setting("the environments", schema=world, each=True)
