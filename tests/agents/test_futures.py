"""Requests in threads of their own."""

import subprocess
import sys

import pytest

from agents.conversation import Conversation, Limits
from agents.engines.base import Request, Sampling
from agents.engines.futures import Futures
from tests.amft_mm.test_train import ROOT


def test_who_stops_does_not_wait_for_a_silent_server():
    """Defect: a stopped evaluation ended when all retries had, minutes later."""
    code = "import time; from agents.engines.futures import Futures\n"
    code += "Futures(1).submit(None, lambda: time.sleep(600))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60).returncode == 0


def test_answers_come_with_their_requests_and_errors_as_they_were_raised(tiny):
    futures = Futures(2)
    requests = [Request(Conversation(tiny, Limits()), 5, Sampling(), n) for n in range(1, 7)]
    for request in requests:
        futures.submit(request, lambda request=request: request.max_new_tokens)
    came = []
    while len(came) < len(requests):
        came += futures.arrived()
    assert all(request.max_new_tokens == answer for request, answer in came)
    futures.submit(requests[0], lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        all(futures.arrived() == [] for _ in range(1000))
