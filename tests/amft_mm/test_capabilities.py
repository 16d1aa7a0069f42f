"""What docs/architecture.md calls tested under "What goes together": short runs, to the end."""

import numpy as np
import pytest

from amft_mm.train import train
from tests.agents.families import FAMILIES, READING, build_family
from tests.amft_mm.processes import mixed
from tests.amft_mm.test_methods import config_of

pytestmark = pytest.mark.slow
SHORT = ["limits.max_turns=2", "limits.max_tokens=1024"]


@pytest.mark.parametrize("family", FAMILIES)
def test_models_of_every_family_train(tmp_path, family):
    build_family(family, tmp_path / family)
    env = "env=math" if family in READING else "env=virl"
    train(config_of(tmp_path, "amft", *SHORT, env, f"model.name={tmp_path / family}"))
    found = mixed(tmp_path / "run")
    assert len(found) == 3
    for row in found:
        assert row["loss/imitation"] > 0
        assert row["rollout/failed"] == 0
        assert row["rollout/ratio_error"] < 1e-3


@pytest.mark.parametrize(
    "words",
    [
        "method=amft model.lora={r:4}",
        "method=balanced model.lora={r:4}",
        "method=grpo method.kl=0.1 model.lora={r:4}",
        "method=asft model.lora={r:4}",
        "method=bridge method.kl=0.1",
        "method=amft method.guidance.name=joined",
        "method=amft method.guidance.name=prefix",
        "method=amft method.guidance.name=micro_groups",
        "method=amft model.dtype=bfloat16",
        "method=grpo sampling.top_p=0.5 sampling.top_k=40",
        "env=mix env.shares.general_points=0 method=hpt",
        "env=mix env.shares.general_points=0 method=bridge",
    ],
)
def test_what_the_table_says_works(tmp_path, words):
    """A model that knows nothing fails as one: with wrong rewards groups have something to teach, but for
    methods that imitate where all fail, or never explore."""
    explores = "method=asft" not in words and "method=hpt" not in words
    noise = ["train.reward_noise=0.5"] if explores else []
    train(config_of(tmp_path, "amft", *SHORT, *words.split(), *noise))
    found = mixed(tmp_path / "run")
    assert len(found) == 3
    for row in found:
        assert 0 < row["grad/norm"] < np.inf
        assert row.get("rollout/failed", 0) == 0
        assert not explores or 0 < row["grad/exploration_norm"] < np.inf
