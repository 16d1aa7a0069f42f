"""Presets for real models: what they name is of the size that is known, without a download."""

import pytest
from transformers import (
    BloomConfig,
    FalconConfig,
    GPT2Config,
    GPTNeoXConfig,
    OPTConfig,
    Qwen2Config,
)

from agents.locate import locate_model
from agents.sharding import blocks_of
from amft_mm.config import dry_run
from amft_mm.config.command_line import config_groups, configuration
from amft_mm.config.composition import composition
from amft_mm.config.dry_run import build, describe, model_config
from amft_mm.methods import parts
from amft_mm.methods.exploration import EXPLORATION
from amft_mm.methods.imitation import IMITATION
from amft_mm.train import train

BILLIONS = {
    "tiny": 0.0024,
    "smollm2": 0.1345,
    "qwen2_5_vl_3b": 3.75,
    "qwen2_5_vl_7b": 8.29,
    "qwen3_vl_4b": 4.44,
    "qwen2_5_math_7b": 7.62,
}


def composed(*overrides):
    return composition("train", list(overrides))


def test_every_preset_is_known_here():
    assert set(BILLIONS) == set(config_groups()["model"])


@pytest.mark.parametrize("model", BILLIONS)
def test_the_model_has_its_published_size_and_fits(model):
    found = describe(composed(f"model={model}"))
    base = found["parameters (billions)"]
    if model != "tiny":
        base -= found["trained (billions)"]  # LoRA's
    assert base == pytest.approx(BILLIONS[model], rel=0.02)
    assert found["together, at most"] < 80


@pytest.mark.parametrize(
    ("machine", "model", "processes", "gib"),
    [
        ("one_80gb", "qwen2_5_vl_7b", None, 80),
        ("eight_80gb", "qwen2_5_vl_7b", 8, 80),
        ("two_24gb", "qwen2_5_vl_3b", 2, 24),
    ],
)
def test_what_is_set_up_for_a_machine_fits_it(machine, model, processes, gib):
    """With all that takes memory: the exact derivative over a horizon, rollouts by the model itself."""
    words = [f"model={model}", f"machine={machine}", "method=amft", "method.horizon=0.9"]
    assert describe(composed(*words), processes)["together, at most"] < 0.92 * gib


def test_shards_take_their_part_of_what_is_held():
    """All weights of 7B: too much for any GPU by itself."""
    config = composed("model=qwen2_5_vl_7b", "machine=eight_80gb", "method.horizon=0.9")
    whole, part = describe(config), describe(config, 8)
    assert whole["together, at most"] > 140
    for name in ("optimizer", "derivative by mu, carried through Adam"):
        assert part[name] == pytest.approx(whole[name] / 8)
    without = describe(composed("model=qwen2_5_vl_7b", "machine=eight_80gb", "method=grpo"), 8)
    assert without["derivative by mu, carried through Adam"] == 0


def test_each_process_plays_as_many_at_once_as_one_alone():
    """Defect: slots were divided among processes, and half of their cache was told."""
    words = ["env=math", "train.tasks=32", "train.group=8", "play.slots=64"]
    cache = [describe(composed(*words), n)["cache of the episodes at once"] for n in (1, 2, 8)]
    assert cache[0] == pytest.approx(cache[1])
    assert cache[2] == pytest.approx(cache[0] / 2)  # four tasks of eight


SECOND = "reference or second model"


@pytest.mark.parametrize(
    ("words", "copies"),
    [
        ("method=grpo", None),
        ("method=grpo method.kl=0.1", 1),
        ("method=grpo method.kl=0.1 train.ahead=1", 2),
        ("method=grpo train.ahead=1 engine=vllm", None),
        ("method=bridge", 3),  # with its optimizer
        ("method=asft", 1),
    ],
)
def test_what_is_held_beside_the_model_is_told(words, copies):
    """Defect: as much as the model again, which nobody was told of."""
    found = describe(composed("model=tiny", "model.freeze_vision=false", *words.split()))
    assert found.get(SECOND) == (copies and pytest.approx(copies * found["optimizer"] / 2))
    adapter = describe(composed("model=qwen2_5_vl_3b", "method=grpo", "method.kl=0.1"))
    assert adapter[SECOND] == adapter["optimizer"] / 2


def test_the_model_that_wrote_the_demonstrations_is_told():
    """Defect: it was left out; each process holds all of it, in float32."""
    name, words = (
        "model that wrote the demonstrations",
        ["method=pear", "model.freeze_vision=false"],
    )
    policy = describe(composed(*words))
    assert policy[name] == pytest.approx(policy["optimizer"] / 2)
    larger = describe(composed(*words, "model=smollm2", "method.imitation.behaviour=tiny"), 4)
    assert larger[name] == pytest.approx(policy[name])
    assert name not in describe(composed("method=sft"))


def test_the_losses_that_hold_other_weights_are_those_that_say_so():
    def that_need(*what):
        modules = {**IMITATION, **EXPLORATION}
        return {name for name in modules if {*what} & {*getattr(modules[name], "NEEDS", ())}}

    assert that_need("reference", "reference_kl") == {*dry_run.NEAR_A_REFERENCE}
    assert that_need("behaviour") == {*dry_run.OF_A_WRITER}
    assert len(parts.DIFFICULTIES) == dry_run.DIFFICULTIES


@pytest.mark.parametrize(("per", "parts"), [("env", 3), ("difficulty", 3)])
def test_each_mu_has_a_derivative(per, parts):
    """Defect: one was told of, however many there are."""
    name = "derivative by mu, carried through Adam"
    one, several = (
        describe(composed("env=mix", "method=amft", f"method.mu_per={mu}")) for mu in ("null", per)
    )
    assert several[name] == parts * one[name] > 0


def test_sizes_without_a_kind_are_told():
    with pytest.raises(ValueError, match=r"model\.sizes=\{hidden_size:3\}: say too what kind"):
        describe(composed("model.sizes={hidden_size:3}"))


def test_vllm_takes_memory_here_where_it_is_here():
    """Defects: servers' weights were counted too; and its own while it sleeps and the learner learns."""
    name = "weights of vLLM in this process"
    assert describe(composed("model=tiny", "engine=vllm"))[name] > 0
    assert name not in describe(composed("model=tiny", "engine=vllm", "engine.servers=[http://a]"))
    learns = ("model=tiny", "engine=vllm", "train.micro_batch_tokens=200000")
    asleep, awake = (
        describe(composed(*learns, f"engine.sleep={sleep}"))["together, at most"]
        for sleep in (True, False)
    )
    assert asleep < awake


@pytest.mark.parametrize(
    "family", [GPT2Config, GPTNeoXConfig, OPTConfig, FalconConfig, BloomConfig]
)
def test_layers_are_found_whatever_a_model_calls_them(tmp_path, family):
    """Defect: AttributeError for decoders without `.layers`, or without grouped heads."""
    family(
        num_hidden_layers=3, num_attention_heads=2, hidden_size=32, vocab_size=100
    ).save_pretrained(tmp_path)
    config = configuration("train", ["env=math", f"model.name={tmp_path}"])
    assert len(blocks_of(build(model_config(config.model), config.model))) == 3
    assert describe(config, 2)["weights brought together for a pass"] > 0


def test_sizes_and_recipes_belong_to_the_model_that_is_loaded(tmp_path):
    """Defects guarded against: the preset's sizes told for another model; thousands of steps at a rate that
    was tried with the tiny model alone."""
    sizes = {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "vocab_size": 1000,
    }
    Qwen2Config(**sizes, num_key_value_heads=2, intermediate_size=128).save_pretrained(tmp_path)
    mine = [f"model.name={tmp_path}"]
    tiny = configuration("train", ["env=math"])
    files = configuration("train", ["env=math", "~recipe"])
    assert tiny.train.steps != files.train.steps
    assert configuration("train", ["env=math", *mine]).train == files.train
    assert configuration("train", ["env=math", "model.name=tiny-random"]).train == tiny.train
    found = configuration("train", ["env=math", "model=qwen2_5_vl_7b", "model.lora=null", *mine])
    assert describe(found)["parameters (billions)"] < 0.001
    kept = configuration("train", ["env=math", f"model.name={locate_model('tiny')}"])
    assert kept.train == tiny.train


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ("method.balance.name=foo", r"method\.balance\.name='foo' is not one of 'fixed'"),
        (
            "method.exploration.name=foo",
            r"method\.exploration\.name='foo' is not one of 'reinforce'",
        ),
        ("method.credit.baseline=foo", r"method\.credit\.baseline='foo' is not one of 'none'"),
        ("train.curriculum.name=foo", r"train\.curriculum\.name='foo' is not one of 'uniform'"),
        ("env.splits=[id,foo]", "split='foo' is not one of 'train'"),
    ],
)
def test_what_no_run_can_be_of_is_no_dry_run_either(wrong, named):
    """Defect: a table of memory for settings that a run refuses; and words that did not say which setting."""
    with pytest.raises(ValueError, match=named):
        train(configuration("train", ["env=math", "train.dry_run=true", wrong]))
