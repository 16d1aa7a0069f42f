"""The recipes of the tiny model: few demonstrations, that fit the limits and have the form that is played."""

import json

import pytest
import yaml
from omegaconf import OmegaConf

from agents.demonstrations import Demonstration
from agents.experts import BadEpisode, demonstrate
from agents.seeds import demonstration_seed
from agents.worlds import World
from amft_mm.config.command_line import config_groups, configuration
from amft_mm.config.settings import parts_of, world_of
from amft_mm.pretraining.exam import TASKS, TOKENS
from envs.guard import GuardedEnv
from tests.amft_mm.test_train import ROOT

MINE = ("env.id=amft/FrozenLake-v0", "+env.modality=text", "+env.split=train")
RECIPES = {
    name.removeprefix("tiny_"): MINE if name == "tiny_own" else ()
    for name in config_groups("train")["recipe"]
    if name.startswith("tiny_")
}


def of(name):
    return configuration("train", [f"env={name}", *RECIPES[name]])


@pytest.mark.parametrize("name", RECIPES)
def test_demonstrations_are_few(name):
    """Defect: those of several worlds at once were 2048 of each, and 1024 of one's own."""
    assert 0 < of(name).demos.n <= 512


def parts(name):
    return [
        pytest.param(name, part.name, id=f"{name}-{part.name}") for part in parts_of(of(name).env)
    ]


PARTS = [part for name in RECIPES for part in parts(name)]


def part_of(name, part):
    return next(one for one in parts_of(of(name).env) if one.name == part)


@pytest.mark.parametrize(("name", "part"), PARTS)
def test_what_the_expert_says_fits(name, part, tiny):
    config, env = of(name), part_of(name, part).env
    world = world_of(env)
    guarded, rows = GuardedEnv(world.make, seconds=60.0), list[Demonstration]()
    for seed in range(12):
        try:
            rows.append(demonstrate(guarded, world, seed, slips=config.demos.slips))
        except BadEpisode:
            continue
    guarded.close()
    rows = [row for row in rows if row.success]
    assert len(rows) > 4
    assert max(len(tiny.chat_format.answer(a)) for row in rows for a in row.answers) <= (
        config.limits.max_new_tokens
    )
    assert max(len(row.answers) for row in rows) <= config.limits.max_turns
    assert json.loads(rows[0].options) == json.loads(json.dumps(world.options))


def test_searches_of_cards_fit(tiny):
    """Defect: of 512 demonstrations one to three were longer than the recipe lets the agent write."""
    config = of("general_points")
    env = world_of(config.env).make().unwrapped
    for number in range(400):
        env.reset(seed=demonstration_seed(0, number))
        assert len(tiny.chat_format.answer(env.expert())) <= config.limits.max_new_tokens
    env.close()


@pytest.mark.parametrize(("name", "part"), PARTS)
def test_the_command_for_demonstrations_writes_the_form_that_is_played(name, part):
    """Those of a mix are made by each environment's own name, and a mix took the old forms."""
    own = part if name == "mix" else name
    made = world_of(configuration("demos", [f"env={own}", *RECIPES[own]]).env)
    played = World(made.id, world_of(part_of(name, part).env).options)
    assert OmegaConf.create(made.options) == OmegaConf.create(played.options)


@pytest.mark.parametrize("name", TASKS)
def test_the_tiny_model_is_examined_in_the_form_that_is_trained(name):
    """Defect: when the recipes' forms changed, its card went on telling of those before."""
    recipe = yaml.safe_load((ROOT / "configs" / "recipe" / f"tiny_{name}.yaml").read_text())
    assert recipe["env"].items() <= TASKS[name].options.items()
    assert TOKENS[name] >= configuration("train", [f"env={name}"]).limits.max_new_tokens
