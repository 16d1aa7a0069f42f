"""The learning rate over a phase, what decays, and when a run that computes nonsense ends."""

import pytest
import torch

from amft_mm.config.command_line import configuration
from amft_mm.learning.optimization import decay_groups, slope
from amft_mm.train import train
from amft_mm.training.step import NotFinite
from tests.amft_mm.processes import SMALL, trained


@pytest.mark.parametrize(
    ("step", "share"),
    [(1, 0.25), (2, 0.5), (4, 1.0), (8, 0.1 + 0.9 / 2), (12, 0.1), (20, 0.1)],
)
def test_a_ramp_and_then_half_a_cosine(step, share):
    """Of 12 steps with a ramp of 4, down to a tenth: by hand."""
    assert slope(step, 12, 4, 0.1) == pytest.approx(share)


def test_matrices_decay_and_nothing_else_does():
    matrix, bias = torch.zeros(2, 3), torch.zeros(3)
    decaying, kept = decay_groups([matrix, bias], 0.1)
    assert (decaying["weight_decay"], kept["weight_decay"]) == (0.1, 0.0)
    assert decaying["params"] == [matrix]
    assert kept["params"] == [bias]


def test_a_run_that_is_made_longer_has_the_learning_rates_of_a_long_one(tmp_path):
    """From the step on where it goes on; those before are as they were."""
    words = ["env=math", "method=sft", "train.ramp=1", "train.final_lr=0.1", "checkpoint.every=1"]
    short = [row["lr"] for row in trained(tmp_path, *words, "train.steps=2") if "lr" in row]
    longer = ["train.steps=4", "resume=true"]
    gone_on = [row["lr"] for row in trained(tmp_path, *words, *longer) if "lr" in row]
    whole = trained(tmp_path, *words, "train.steps=4", out="whole")
    whole = [row["lr"] for row in whole if "lr" in row]
    assert short[-1] == pytest.approx(0.0001)  # a tenth of SMALL's
    assert gone_on[:3] == short
    assert gone_on[3:] == whole[3:]
    assert whole[-1] == pytest.approx(0.0001)


def test_what_stays_not_finite_ends_the_run(tmp_path, monkeypatch):
    """Steps are left out one by one, and the third in a row says what to do."""
    monkeypatch.setattr(
        "amft_mm.methods.imitation.sft.loss", lambda tokens, _: tokens.log_probs.sum() * torch.nan
    )
    words = ["env=math", "method=sft", "train.warmup_steps=0", "train.steps=9"]
    config = configuration("train", [*SMALL, *words, "train.nonfinite=3", f"out={tmp_path}/run"])
    with pytest.raises(NotFinite, match=r"step 3: .* for 3 steps in a row .*Lower train\.lr"):
        train(config)
