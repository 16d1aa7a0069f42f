"""Presets for real models: what they name is of the size that is known, without a download."""

import pytest
from hydra import compose, initialize_config_dir

from amft_mm.config.command_line import config_groups
from amft_mm.config.dry_run import describe
from envs.paths import data_folder

CONFIGS = str(data_folder("configs"))

BILLIONS = {
    "tiny": 0.0024,
    "smollm2": 0.1345,
    "qwen2_5_vl_3b": 3.75,
    "qwen2_5_vl_7b": 8.29,
    "qwen3_vl_4b": 4.44,
    "qwen2_5_math_7b": 7.62,
}


def composed(*overrides):
    with initialize_config_dir(CONFIGS, version_base="1.3"):
        return compose("train", list(overrides))


def test_every_preset_is_known_here():
    assert set(BILLIONS) == set(config_groups()["model"])


@pytest.mark.parametrize("model", BILLIONS)
def test_the_model_has_its_published_size_and_fits(model):
    found = describe(composed(f"model={model}"))
    base = found["parameters (billions)"]
    if model != "tiny":
        base -= found["trained (billions)"]  # LoRA's
    assert base == pytest.approx(BILLIONS[model], rel=0.02)
    assert found["together"] < 80


def test_every_method_is_a_configuration_that_loads():
    for method in config_groups()["method"]:
        assert composed(f"method={method}").method.name == method
