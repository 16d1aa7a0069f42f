"""What a comparison runs: `Grid(config)` gives its runs as commands of amft_mm.train, in three phases.

    warm     one warm-up for each environment and seed, shared by all methods; conditions that change what a
             run begins with (`from_the_beginning`) have their own
    trials   each method's learning rate (and what else its variant searches), by one seed of its own, on
             a split that is not reported
    runs     every method, environment, condition and seed

A run is a name, a folder and a list of settings; everything else is read from its folder.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from amft_mm.compare.looks import fewest
from amft_mm.config.command_line import written
from amft_mm.methods.presets import NOTHING, demonstrations_of, methods
from amft_mm.runs.dotted import flat
from envs.contract import one_of, share

Settings = dict[str, Any]
"""By name, as `train.lr: 0.001`."""
Choice = Settings
"""What was searched for and found."""
More = dict[tuple[str, str, str], int]
"""Numbers of seeds, by environment, condition and method."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
"""Of a method or a condition."""
WARM = "warm"
"""Folder of warm-ups, and the condition of those that plain conditions begin with."""
VALIDATION = "train"
"""The split that trials are compared on, by instances that no run trains on."""
UNLEARNT = ("eval.passes", "record.")
"""How settings begin that change nothing of what a run learns or how its greedy evaluations fare: runs with
others are the same, but for what is told of them."""
RECORDED = "record.evaluation"
AFTER_WARMUP = ("train.steps", "train.demos", "train.tasks", "train.group")
"""What a budget says and a warm-up does not ask for."""
SPOILT = ("demos.slips", "demos.corrupt")
"""How settings begin that are of demonstrations while they are recorded."""


@dataclass(frozen=True)
class Run:
    """One call of amft_mm.train."""

    env: str
    condition: str
    method: str
    seed: int
    folder: Path
    settings: tuple[str, ...]
    choice: Choice = field(default_factory=dict)
    warm: Run | None = None
    """What it begins with."""
    shown: bool = False
    """Whether the episodes of its last evaluation are kept to be looked at."""

    @property
    def name(self) -> str:
        return f"{self.env}/{self.condition}/{self.method}/{self.seed}"

    @property
    def title(self) -> str:
        """Its name, and what sets it apart from the other trials."""
        return " ".join(
            [self.name, *(f"{n.rsplit('.', 1)[-1]}={v}" for n, v in self.choice.items())]
        )


@dataclass(frozen=True)
class Variant:
    """A method as it is compared: a preset with other settings, perhaps some that are searched for."""

    name: str
    method: str
    settings: Settings
    search: dict[str, list[Any]]
    heedless_of: str | None
    """How settings begin that change nothing for it."""
    validated: bool = False
    """Whether its runs end with weights that a split tells, as trials, of one split and one look, can not."""

    def choices(self) -> list[Choice]:
        names = sorted(self.search)
        values = product(*(self.search[name] for name in names))
        return [dict(zip(names, one, strict=True)) for one in values]


@dataclass(frozen=True)
class Plan:
    """What a comparison of two methods has."""

    seeds: int
    episodes: int
    most: int
    """Seeds, where those do not tell."""


PARTS_OF_A_VARIANT = {"method", "settings", "search"}


class Grid:
    def __init__(self, config: DictConfig) -> None:
        plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
        refuse_names(plain)
        self.out = Path(plain["out"])
        self.envs: list[str] = plain["envs"]
        self.variants = [variant(name, plain) for name in plain["methods"]]
        self.baselines = [variant(name, plain, "baselines").name for name in plain["baselines"]]
        self._budgets = each_settings("budgets", plain)
        self._conditions = each_settings("conditions", plain)
        self.seeds, self._more = int(plain["seeds"]), plain["more_seeds"]
        self.at_first = fewest(self.seeds, self._more, plain["methods"])
        self.max_seeds = int(plain["max_seeds"] or self.seeds)
        if plain["max_seeds"] and self.max_seeds <= self.at_first:
            raise ValueError(
                f"max_seeds={self.max_seeds} seeds={self.seeds} more_seeds={written(self._more)}: who is not "
                f"told apart gets seeds up to max_seeds, and all have {self.at_first} at first. Give more "
                "than these, or null, or more_seeds={}"
            )
        for name in self._more:
            one_of("more_seeds", name, (*methods(), *plain["variants"]))
        self._tune_seed = int(plain["tune_seed"])
        self._trial_length = share("trial_length", plain["trial_length"])
        self._evaluation = {f"eval.{name}": value for name, value in plain["eval"].items()}
        self._replay = bool(plain["replay"])
        self._passes = {"eval.passes": plain["passes"]} if plain["passes"] else {}
        for env in self.envs:
            with_a_budget(env, self._budgets)
        self._part, self._parts = shard(str(plain["shard"]))
        if self._parts > 1 and self.max_seeds > self.seeds:
            raise ValueError(
                f"max_seeds={plain['max_seeds']} shard={plain['shard']}: who needs more seeds is told by all "
                "runs together. Let the machines share a folder instead, or leave max_seeds out"
            )

    def warm(self, runs: Iterable[Run]) -> list[Run]:
        """The warm-ups that these runs begin with."""
        needed = {run.warm.folder: run.warm for run in runs if run.warm}
        return sorted(needed.values(), key=lambda warm: (warm.env, warm.condition, warm.seed))

    def trials(self) -> list[Run]:
        return list(self._all_trials())

    def runs(self, chosen: dict[tuple[str, str], Choice], more: More | None = None) -> list[Run]:
        """With what the trials found, by environment and method; with more seeds for some."""
        return list(self._all_runs(chosen, more or {}))

    def every_condition(self) -> list[Run]:
        """By a method that heeds all settings: what is misspelt is told though none compared sees it."""
        every = product(self.envs, self._conditions.items())
        return [
            Run(env, name, "amft", 0, self.out, words_of(env, "amft", settings))
            for env, (name, settings) in every
        ]

    def seeds_of(self, method: str) -> range:
        return range(max(self.seeds, int(self._more.get(method, 0))))

    def planned(self) -> dict[tuple[str, str], Plan]:
        """By environment and condition."""
        seeds = self.at_first
        most = max(seeds, self.max_seeds)
        return {
            (env, condition): Plan(seeds, int(self._given(env, own)["eval.episodes"]), most)
            for env, (condition, own) in product(self.envs, self._conditions.items())
        }

    def _given(self, env: str, condition: Settings) -> Settings:
        return {**self._evaluation, **self._budgets[env], **condition}

    def _warm(self, env: str, seed: int, condition: Settings) -> Run:
        """Conditions that begin with the same share one, which has the name of the first of them."""
        own = from_the_beginning(condition)
        asked = {n: v for n, v in self._budgets[env].items() if n not in AFTER_WARMUP}
        settings = {**self._evaluation, **self._passes, **asked, **own}
        settings |= {"eval.every": 0, "train.steps": 0}
        settings |= {"seed": seed, "demos.seed": seed}
        alike = (n for n, one in self._conditions.items() if from_the_beginning(one) == own)
        name = f"{WARM}-{next(alike)}" if own else WARM
        folder = self.out / WARM / warm_up_name(env, name, seed)
        return Run(env, name, "sft", seed, folder, words_of(env, "sft", settings))

    def _all_trials(self) -> Iterator[Run]:
        for env, method in product(self.envs, self.variants):
            choices = method.choices()
            if len(choices) < 2 or not self._mine(f"{env}/{method.name}"):
                continue  # there is nothing to choose, or others do
            for choice in choices:
                label = "_".join(f"{n.rsplit('.', 1)[-1]}-{brief(v)}" for n, v in choice.items())
                label = label.replace("/", "-")
                folder = self.out / "trials" / env / method.name / label
                settings: Settings = {"env.splits": [VALIDATION], "eval.every": 0}
                if method.validated:
                    settings["eval.validation"] = None
                if steps := self._steps_of(env):
                    settings["train.steps"] = max(1, round(self._trial_length * steps))
                yield self._after_warm(
                    env, "trial", method, self._tune_seed, folder, choice, settings
                )

    def _steps_of(self, env: str) -> int | None:
        """Of its budget, which is not checked yet."""
        steps = self._budgets[env].get("train.steps")
        if steps is not None and not isinstance(steps, int):
            raise ValueError(f"budgets.{env}.train.steps={written(steps)}: give a whole number")
        return steps

    def _all_runs(self, chosen: dict[tuple[str, str], Choice], more: More) -> Iterator[Run]:
        everything = product(self.envs, self._conditions.items(), self.variants)
        for env, (condition, settings), method in everything:
            if not self._mine(f"{env}/{method.name}"):
                continue
            heedless = method.heedless_of
            if settings and heedless and all(name.startswith(heedless) for name in settings):
                continue  # as clean
            choice = chosen.get((env, method.name), method.choices()[0])
            seeds = more.get((env, condition, method.name), 0)
            for seed in range(max(seeds, len(self.seeds_of(method.name)))):
                folder = self.out / "runs" / env / condition / method.name / str(seed)
                shown = self._replay and seed == 0
                more_told = {
                    **self._passes,
                    **(self._all_episodes(env, settings) if shown else {}),
                    **settings,
                }
                run = self._after_warm(env, condition, method, seed, folder, choice, more_told)
                yield replace(run, shown=shown)

    def _all_episodes(self, env: str, condition: Settings) -> Settings:
        """Kept until it is known where methods differ."""
        given = self._given(env, condition)
        return {RECORDED: given.get(RECORDED, given["eval.episodes"])}

    def _after_warm(
        self,
        env: str,
        condition: str,
        method: Variant,
        seed: int,
        folder: Path,
        choice: Choice,
        more: Settings,
    ) -> Run:
        warm = self._warm(env, seed, more)
        choice = {name: value for name, value in choice.items() if name not in more}
        own = {**method.settings, **choice, **more}
        settings = {**self._evaluation, **self._budgets[env]}
        settings |= {"train.warm_from": str(warm.folder), "seed": seed, "demos.seed": seed, **own}
        if not any(name.startswith("demos.") for name in own):
            settings = {n: v for n, v in settings.items() if not n.startswith(SPOILT)}
            settings["demos.folder"] = str(warm.folder / "demos")
        words = words_of(env, method.method, settings)
        return Run(env, condition, method.name, seed, folder, words, choice, warm)

    def _mine(self, name: str) -> bool:
        """A method's trials and runs on an environment stay in one shard."""
        return zlib.crc32(name.encode()) % self._parts == self._part


def from_the_beginning(condition: Settings) -> Settings:
    """What a condition changes before the warm-up: the world, what the model is and is shown, the warm-up.
    All else, its demonstrations too, it changes after it. Other splits alone ask for no warm-up of theirs."""
    groups = ("env", "model", "limits", "recipe")
    own = {
        name: value
        for name, value in condition.items()
        if name.partition(".")[0] in groups or name.startswith("train.warmup")
    }
    return {} if own.keys() == {"env.splits"} else own


def is_warm_up(condition: str) -> bool:
    return condition == WARM or condition.startswith(f"{WARM}-")


def warm_up_name(env: str, condition: str, seed: int) -> str:
    """Of a warm-up's folder, by the condition that it is made under."""
    return f"{env}{condition.removeprefix(WARM)}-{seed}"


def brief(value: Any) -> str:
    """What was chosen, as a name in a folder or a table has it."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def words_of(env: str, method: str, settings: Settings) -> tuple[str, ...]:
    """As they are written on the command line. A method's own parts check what they are given."""
    words = [
        f"{'++' if name.startswith('method.') else ''}{name}={written(value)}"
        for name, value in settings.items()
    ]
    return (f"env={env}", f"method={method}", *words)


def refuse_names(plain: dict[str, Any]) -> None:
    for setting in ("envs", "methods", "conditions"):
        given = list(plain[setting])
        if not given:
            raise ValueError(f"{setting}={written(plain[setting])}: there is nothing to compare")
        if twice := [one for one in dict.fromkeys(given) if given.count(one) > 1]:
            raise ValueError(f"{setting}={written(given)}: {', '.join(twice)} is there twice")
        for name in given:
            refuse_as_a_folder(setting, str(name))


def refuse_as_a_folder(setting: str, name: str) -> None:
    """Results lie in folders of these names, warm-ups beside them in some of their own; figures and tables
    show them, where other signs have a meaning."""
    if not NAME.fullmatch(name):
        raise ValueError(
            f"{setting}: {name} is to name a folder of runs; give letters, digits and -, _, . or +, of which "
            f"the first is a letter or digit"
        )
    if setting == "conditions" and is_warm_up(name):
        raise ValueError(
            f"conditions: names that begin as {name} does are those of warm-ups; choose another"
        )


def with_a_budget(env: str, budgets: dict[str, Settings]) -> None:
    try:
        one_of("envs", env, tuple(budgets))
    except ValueError as error:
        raise ValueError(
            f"{error} Another one is compared with a budget of its own: ++budgets.{env}.train.steps=60"
        ) from None


def each_settings(setting: str, config: dict[str, Any]) -> dict[str, Settings]:
    return {name: settings_in(f"{setting}.{name}", own) for name, own in config[setting].items()}


def settings_in(name: str, given: Any) -> Settings:
    """By their dotted names; null is none."""
    if not isinstance(given, dict | None):
        raise ValueError(
            f"{name}={written(given)}: give settings by their names, as {name}={{train.lr:0.001}}"
        )
    return flat(given or {})


EXAMPLE = "{method:amft,settings:{method.horizon:0.5}}"


def variant(name: str, config: dict[str, Any], setting: str = "methods") -> Variant:
    """By its name among `variants`, or a preset's; `setting` is where it is named."""
    variants, presets = config["variants"], methods()
    if name not in variants:
        among_these(setting, name, (*presets, *variants))
    own = variants.get(name, {"method": name})
    told = isinstance(own, dict) and not own.keys() - PARTS_OF_A_VARIANT
    if not told or not isinstance(own.get("method"), str):
        raise ValueError(
            f"variants.{name}={written(own)}: give the preset that it is of, and perhaps settings and a "
            f"search, as {EXAMPLE}"
        )
    tried = settings_in(f"variants.{name}.search", own.get("search"))
    settings = settings_in(f"variants.{name}.settings", own.get("settings"))
    if twice := sorted(settings.keys() & tried.keys()):
        raise ValueError(
            f"variants.{name}: {', '.join(twice)} is among its settings and in its search; leave one out"
        )
    usual = {one: values for one, values in flat(config["search"]).items() if one not in settings}
    search = searched({**usual, **tried})
    if early := sorted(from_the_beginning({**settings, **search})):
        raise ValueError(
            f"{name}: {', '.join(early)} is of the warm-up too, with which all methods begin, and neither a "
            f"variant's own nor searched; give it as a condition: conditions={{{name}:{{{early[0]}:...}}}}"
        )
    if given := sorted({"seed", "train.warm_from"} & {*settings, *search}):
        raise ValueError(f"{name}: {', '.join(given)} is each run's own; leave it out")
    preset = presets.get(own["method"], {})
    validated = (
        preset.get("validation") or {"method.validation", "eval.validation"} & settings.keys()
    )
    heedless = heedless_of(preset, settings) if preset else None
    return Variant(name, own["method"], settings, search, heedless, bool(validated))


def among_these(setting: str, name: str, known: tuple[str, ...]) -> None:
    try:
        one_of(setting, name, known)
    except ValueError as error:
        raise ValueError(
            f"{error} A preset of your own is compared as one of the suite's with other settings: "
            f"variants={{{name}:{EXAMPLE}}}"
        ) from None


def searched(search: Settings) -> dict[str, list[Any]]:
    for name, values in search.items():
        if not isinstance(values, list) or not values:
            raise ValueError(
                f"search={{{name}:{written(values)}}}: give a list of what is tried, as "
                f"search={{{name}:[{written(values)},...]}}"
            )
    return search


SAY_WHAT_IS_HEEDED = ("method.balance", "method.guidance", "method.imitation")


def heedless_of(preset: dict[str, Any], settings: Iterable[str] = ()) -> str | None:
    """How settings begin that a method does not heed, since it uses no demonstrations or no rewards. None
    where it has other parts than its preset, by these `settings`: they may."""
    if any(name.startswith(SAY_WHAT_IS_HEEDED) for name in settings):
        return None
    if demonstrations_of(preset) == NOTHING:
        return "demos."
    return "train.reward_noise" if preset["balance"]["name"] == "sft" else None


def shard(text: str) -> tuple[int, int]:
    """From "2/8" to (1, 8)."""
    part, _, parts = text.partition("/")
    if not (part.isdigit() and parts.isdigit() and 1 <= int(part) <= int(parts)):
        raise ValueError(f"shard={text!r}: give which of how many, as shard=2/8")
    return int(part) - 1, int(parts)
