"""Each step tells the most memory that any process took."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from amft_mm.runs.metrics import is_step, read_rows
from amft_mm.training import memory
from tests.amft_mm import processes

CPU = torch.device("cpu")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_on_a_cpu_it_is_the_process_s_largest_resident_set():
    """Defect guarded against: one unit taken for another."""
    block = np.ones(2**26)  # 512 MiB, so that the last is about the largest
    status = Path("/proc/self/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    assert memory.peak(CPU) == pytest.approx(int(line.split()[1]) / 2**20, rel=0.02)
    assert memory.peak(CPU) > block.nbytes / memory.GIB


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_it_is_what_was_held_at_once_since_the_step_began():
    device = torch.device("cuda", 0)
    memory.begin_step(device)
    before = memory.peak(device)
    torch.ones(2**28, device=device)
    assert memory.peak(device) == pytest.approx(before + 1.0, abs=0.01)
    memory.begin_step(device)
    assert memory.peak(device) == pytest.approx(before, abs=0.01)


def test_a_step_tells_the_most_of_any_process(tmp_path, monkeypatch):
    """Defect guarded against: the first process's alone, while another is short of it."""
    monkeypatch.setattr(memory, "peak", lambda _: 1.0 + int(os.environ["RANK"]))
    words = [*processes.SMALL, "env=math", "method=sft", "train.steps=1", "out=run"]
    processes.finish(processes.started(processes._train, 2, (str(tmp_path), words)))
    told = [row["memory/peak"] for row in read_rows(tmp_path / "run") if is_step(row)]
    assert told == [2.0, 2.0]
