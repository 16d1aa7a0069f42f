"""What a test waits for, and no longer than that may take."""

import signal
import subprocess
import time
from collections.abc import Callable

import pytest


def wait_until(
    happens: Callable[[], object], by: subprocess.Popen | None = None, seconds: float = 300
) -> None:
    """`by` is the process that makes it happen: it has failed where it ends before."""
    until = time.monotonic() + seconds
    while not happens():
        assert by is None or by.poll() is None, f"it ended before, with {by.returncode}"
        assert time.monotonic() < until, f"not within {seconds} s"
        time.sleep(0.01)


def needs_ctrl_c() -> None:
    """A shell's script ignores it for what it leaves to run, and so do the children of that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        pytest.skip("SIGINT is ignored here, as nohup has it")
