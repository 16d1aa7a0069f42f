"""engine=vllm against a running server: token ids both ways with pictures, new weights, its death."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest
import torch

pytest.importorskip("vllm", reason="vLLM is not installed here")

from agents.conversation import Conversation, Limits
from agents.engines import Request, make_engine, written
from agents.engines.base import GREEDY
from agents.engines.hf import HFEngine
from agents.engines.vllm_local import merged_copy
from agents.policy import Policy
from tests.agents.test_conversation import picture
from tests.agents.test_hf_engine import played

pytestmark = [pytest.mark.vllm, pytest.mark.slow]


def kill(process):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)


@pytest.fixture(scope="module")
def policy():
    policy = Policy.load("tiny-random", device="cpu")
    policy.model.eval()
    return policy


@pytest.fixture(scope="module")
def server(policy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    merged_copy(policy, folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder)]
    command += ["--port", str(port), "--host", "127.0.0.1", "--dtype", "float32"]
    command += ["--enforce-eager", "--max-model-len", "1024", "--max-num-seqs", "8"]
    command += ["--limit-mm-per-prompt", '{"image": 4, "video": 0}', "--enable-scale-out"]
    environment = {
        **os.environ,
        "VLLM_ENABLE_V1_MULTIPROCESSING": "1",
        "VLLM_SERVER_DEV_MODE": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "OMP_NUM_THREADS": "1",
    }
    log = open(folder / "server.log", "w")  # noqa: SIM115 - outlives this function
    # In a group of its own: its workers live on when it alone is killed.
    process = subprocess.Popen(
        command, env=environment, stdout=log, stderr=log, start_new_session=True
    )
    url = f"http://127.0.0.1:{port}"
    for _ in range(900):
        if process.poll() is not None:
            pytest.fail((folder / "server.log").read_text()[-3000:])
        try:
            if httpx.get(f"{url}/health").status_code == 200:
                break
        except httpx.HTTPError:
            pass
        time.sleep(1)
    yield url, process
    kill(process)


def test_a_server_answers_as_the_training_model_and_takes_new_weights(policy, server, tmp_path):
    url, process = server
    engine = make_engine("vllm", policy, servers=[url], weights_folder=str(tmp_path / "weights"))
    mine, theirs = played(policy, HFEngine(policy), GREEDY), played(policy, engine, GREEDY)
    assert [c.ids for c in mine] == [c.ids for c in theirs]
    sampled = played(policy, engine)
    with torch.no_grad():
        scores = policy.score(sampled).log_probs
    told = torch.tensor([p for c in sampled for a in c.answers for p in a.log_probs])
    assert (told - scores).exp().sub(1).abs().max() < 1e-4

    conversation = Conversation(policy, Limits(max_new_tokens=12))
    conversation.observe("Look.", picture(1))
    request = Request(conversation, 0, GREEDY, 12)
    [before] = written(engine, [request])
    changed = Policy.load("tiny-random", device="cpu")
    with torch.no_grad():
        for name, parameter in changed.model.named_parameters():
            if "visual" in name:
                parameter.mul_(1.3).add_(0.01)
    engine._backend.update(changed)
    [after] = written(engine, [request])
    [expected] = written(HFEngine(changed), [request])
    assert after.log_probs == pytest.approx(expected.log_probs, abs=1e-4)
    assert after.log_probs != pytest.approx(before.log_probs, abs=1e-3)

    # Started again, it would have other weights and know no version: it is handed the current ones.
    folder = process.args[process.args.index("--model") + 1]
    reload = {"method": "reload_weights", "kwargs": {"weights_path": folder}}
    httpx.post(f"{url}/collective_rpc", json=reload, timeout=300)
    for cache in ("prefix", "mm", "encoder"):  # else a picture seen before ends it
        httpx.post(f"{url}/reset_{cache}_cache")
    httpx.post(f"{url}/update_weight_version", json={"new_version": "default"})
    [again] = written(engine, [request])
    assert again.error is None
    assert again.log_probs == pytest.approx(after.log_probs, abs=1e-4)

    # A second server that is down is passed over; one that died is an error in words.
    both = make_engine("vllm", policy, servers=["http://127.0.0.1:9", url], retries=0)
    assert [sample.error for sample in written(both, [request])] == [None]
    kill(process)
    [dead] = written(make_engine("vllm", policy, servers=[url], retries=1), [request])
    assert "gave no answer" in dead.error


def test_new_weights_need_a_folder(policy):
    engine = make_engine("vllm", policy, servers=["http://127.0.0.1:9"])
    with pytest.raises(ValueError, match="weights_folder"):
        engine.refresh()
