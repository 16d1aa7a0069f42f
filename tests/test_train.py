"""The training command from end to end, at a tiny size."""

import json
import subprocess
import sys

import pytest
import torch

from amft_mm.byte_model import ByteModel

TINY = [
    "train.steps=4",
    "train.episodes=3",
    "train.batch_size=4",
    "eval.episodes=1",
    "train.width=8",
]


def train(tmp_path, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "amft_mm.train", *TINY, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
@pytest.mark.parametrize("env", ["virl", "general_points", "math"])
def test_every_environment_trains_into_its_folder(tmp_path, env):
    result = train(tmp_path, f"env={env}", "out=here")
    assert result.returncode == 0, result.stderr
    run = tmp_path / "here"
    steps = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in steps] == [1, 2, 3, 4]
    assert all(row["loss/imitation"] > 0 for row in steps)
    summary = json.loads((run / "summary.json").read_text())
    assert summary["episodes"] == 1
    assert f"name: {env}" in (run / "config.yaml").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here"]  # nothing written elsewhere


@pytest.mark.slow
def test_a_run_is_never_written_over(tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "config.yaml").write_text("seed: 1\n")
    result = train(tmp_path, "env=math", "out=here")
    assert result.returncode != 0
    assert "already holds a run" in result.stderr
    assert (tmp_path / "here" / "config.yaml").read_text() == "seed: 1\n"


def test_the_loss_falls_on_what_is_imitated():
    torch.manual_seed(0)
    model = ByteModel(width=32, context=16)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(150):
        loss = model.imitation_loss(["one", "two"], ["eins", "zwei"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]
    assert (model.write("one"), model.write("two")) == ("eins", "zwei")


def test_the_loss_is_a_mean_over_all_bytes_of_the_answers():
    """Padding and the length of what was told must not change it."""
    torch.manual_seed(0)
    model = ByteModel(width=16, context=8)
    alone = [model.imitation_loss([t], [w]) for t, w in (("a", "xyz"), ("longer", "q"))]
    together = model.imitation_loss(["a", "longer"], ["xyz", "q"])
    assert together.item() == pytest.approx(
        (4 * alone[0].item() + 2 * alone[1].item()) / 6, rel=1e-5
    )
