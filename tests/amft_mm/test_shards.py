"""Runs with weights in shards (`train.shard=true`): they are the runs of one process with all of them."""

import os
import shutil
import signal
import time

import pytest
import torch

from amft_mm.runs import checkpoints
from tests.amft_mm.processes import begun, finish, rows, trained

SHARD = "train.shard=true"
# A utility that looks at each step, where nobody succeeds. Clipped, a step on demonstrations alone is the
# same for any mu.
LOOKING = ["method.utility.name=demo_nll", "+method.utility.every=1", "train.max_norm=null"]
AMFT = ["env=math", "method=amft", "method.horizon=0.9", *LOOKING]
CASES = {
    "exact tangent": AMFT,
    "value head": ["env=math", "method=ppo"],
    "reference": ["env=math", "method=grpo", "method.kl=0.1"],
    "reference of an adapter": ["env=math", "method=grpo", "method.kl=0.1", "model.lora={r:2}"],
    "adapter": [*AMFT, "model.lora={r:2}"],
    "demonstrations in groups": ["env=math", "method=luffy"],
    "eye that learns": ["env=general_points", "method=amft", "model.freeze_vision=false"],
    "recomputed": ["env=math", "method=amft", "model.gradient_checkpointing=true"],
    "mix": [
        *("env=mix", "env.shares.general_points=0", "method=amft", "method.mu_per=env"),
        *("train.tasks=4", "train.demos=4", "method.utility.name=log_success"),
        "train.max_norm=null",
    ],
}
IDLE = ["train.tasks=1", "train.group=4", "train.demos=1"]


def assert_same(found, expected):
    """Within what adding up in another order does."""
    assert len(found) == len(expected)
    for mine, other in zip(found, expected, strict=True):
        assert mine.keys() == other.keys()
        for key, value in other.items():
            if key == "rollout/ratio_error":  # itself a rounding error
                continue
            if isinstance(value, float):
                assert mine[key] == pytest.approx(value, rel=2e-3, abs=2e-5), (other["step"], key)
            else:
                assert mine[key] == value, (other["step"], key)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_two_processes_with_half_of_the_weights_each_train_as_one_with_all(tmp_path, case):
    whole = trained(tmp_path, *CASES[case], out="whole")
    shared = trained(tmp_path, *CASES[case], SHARD, processes=2, out="shared")
    assert_same(shared, whole)
    if case in ("exact tangent", "adapter"):
        assert any(row.get("meta/hypergradient") for row in shared)
    if "model.lora={r:2}" in CASES[case]:
        assert (tmp_path / "shared" / "model" / "adapter_config.json").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("case", ["exact tangent", "reference of an adapter"])
def test_a_process_without_anything_to_do_takes_part(tmp_path, case):
    """Defect guarded against: waiting for ever for the passes of one that has no episodes; a group that is
    larger than a process's share stays together."""
    whole = trained(tmp_path, *CASES[case], *IDLE, out="whole")
    shared = trained(tmp_path, *CASES[case], *IDLE, SHARD, processes=3, out="shared")
    assert_same(shared, whole)


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2), (2, 3)])
def test_a_run_goes_on_with_another_number_of_processes(tmp_path, before, after):
    words = [*CASES["exact tangent"], "checkpoint.every=1", "checkpoint.keep=9"]
    words += [SHARD] if before > 1 else []
    expected = trained(tmp_path, *words, processes=before)
    for step in (3, 4):
        shutil.rmtree(tmp_path / "run" / "checkpoints" / f"step_{step:06d}")
    own = SHARD if after > 1 else "train.shard=false"
    found = trained(tmp_path, *words, own, "resume=true", processes=after)
    assert_same(found, expected)


@pytest.mark.slow
def test_a_process_that_is_killed_leaves_a_checkpoint_to_go_on_from(tmp_path):
    """The first, which writes what makes a checkpoint of the others' parts, and another."""
    words = [*CASES["exact tangent"], SHARD, "checkpoint.every=1", "train.steps=8"]
    kept = tmp_path / "run" / "checkpoints"
    for rank in (0, 1):
        before = checkpoints.latest(kept)
        processes = begun(tmp_path, *words, *(["resume=true"] if before else []), processes=2)
        while checkpoints.latest(kept) == before:
            assert not processes.join(timeout=0.01)
        time.sleep(0.05)
        os.kill(processes.pids()[rank], signal.SIGKILL)
        with pytest.raises(torch.multiprocessing.ProcessExitedException):
            finish(processes)
    found = trained(tmp_path, *words, "resume=true", processes=2)
    assert [row["step"] for row in found if row["phase"] != "evaluation"] == list(range(1, 10))


@pytest.mark.slow
def test_what_an_adapter_is_on_is_not_kept_again_and_again(tmp_path):
    """Defect guarded against: checkpoints of the whole base at each step of an adapter's training."""
    trained(tmp_path, *CASES["adapter"], SHARD, processes=2)
    path = checkpoints.latest(tmp_path / "run" / "checkpoints")
    assert all("lora_" in name for name in checkpoints.load(path)["model"])
    size = sum(file.stat().st_size for file in path.iterdir())
    assert size < 1_000_000  # the model's own weights are 10 million bytes


@pytest.mark.slow
def test_it_computes_in_bfloat16_and_keeps_float32_also_in_main_memory(tmp_path):
    words = [*CASES["exact tangent"], SHARD, "train.offload=true", "model.dtype=bfloat16"]
    trained(tmp_path, *words, processes=2)
    path = checkpoints.latest(tmp_path / "run" / "checkpoints")
    state = checkpoints.load(path)
    assert {w.dtype for w in state["model"].values()} == {torch.float32}
    moved = [row for row in rows(tmp_path / "run") if row["phase"] == "mix"]
    assert all(row["grad/norm"] > 0 for row in moved)
