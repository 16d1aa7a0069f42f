"""engine=vllm against a running server: token ids both ways with pictures, new weights, its death."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
import torch

pytest.importorskip("vllm", reason="vLLM is not installed here")

from agents.conversation import Conversation, Limits
from agents.engines import Request, make_engine, written
from agents.engines.base import GREEDY
from agents.engines.hf import HFEngine
from agents.engines.server import Server
from agents.engines.vllm_local import merged_copy
from agents.engines.web import ServerError
from agents.policy import Policy
from tests.agents.gloo_group import in_the_place_of_nccl
from tests.agents.gloo_worker import installed
from tests.agents.test_conversation import picture
from tests.agents.test_hf_engine import played
from tests.ports import free_port
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.vllm, pytest.mark.slow]


class Served:
    """vLLM in processes of its own, which can be killed and begun again at the same address."""

    def __init__(self, folder, log, plugins, *flags):
        self.port = free_port()
        self.folder, self.log, self.url = folder, log, f"http://127.0.0.1:{self.port}"
        self.plugins, self.flags = plugins, flags

    def begin(self):
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
        command += ["--model", str(self.folder), "--port", str(self.port), "--host", "127.0.0.1"]
        command += ["--dtype", "float32", "--enforce-eager", "--enable-scale-out"]
        command += ["--max-model-len", "1024", "--max-num-seqs", "8"]
        command += ["--limit-mm-per-prompt", '{"image": 4, "video": 0}']
        command += ["--weight-transfer-config", '{"backend": "gloo"}', *self.flags]
        environment = {
            **os.environ,
            "PYTHONPATH": f"{self.plugins}:{ROOT}",
            "VLLM_ENABLE_V1_MULTIPROCESSING": "1",
            "VLLM_SERVER_DEV_MODE": "1",
            "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
            "VLLM_CPU_KVCACHE_SPACE": "1",
            # Bound to a core, all servers have the same one: who begins starved beside one that writes.
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "VLLM_NO_USAGE_STATS": "1",
            "OMP_NUM_THREADS": "1",
        }
        with open(self.log, "w") as log:
            # In a group of its own: its workers live on when it alone is killed.
            self.process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        return self

    def ready(self):
        for _ in range(900):
            if self.process.poll() is not None:
                pytest.fail(self.log.read_text()[-3000:])
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}/health").status_code == 200:
                    return self
            time.sleep(1)
        pytest.fail(f"the server did not come up: {self.log.read_text()[-3000:]}")

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)


@pytest.fixture(scope="module")
def policy():
    policy = Policy.load("tiny-random", device="cpu")
    policy.model.eval()
    return policy


@pytest.fixture(scope="module")
def servers(policy, tmp_path_factory):
    """Two of the same model."""
    folder = tmp_path_factory.mktemp("served")
    merged_copy(policy, folder)
    plugins = installed(tmp_path_factory.mktemp("plugins"))
    logs = [folder / f"server-{number}.log" for number in range(2)]
    begun = [Served(folder, log, plugins).begin() for log in logs]
    yield [server.ready() for server in begun]
    for server in begun:
        server.kill()


def test_a_server_answers_as_the_training_model_and_takes_new_weights(policy, servers, tmp_path):
    server = servers[0]
    url = server.url
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
    reload = {"method": "reload_weights", "kwargs": {"weights_path": str(server.folder)}}
    httpx.post(f"{url}/collective_rpc", json=reload, timeout=300)
    for cache in ("prefix", "mm", "encoder"):  # else a picture seen before ends it
        httpx.post(f"{url}/reset_{cache}_cache")
    httpx.post(f"{url}/update_weight_version", json={"new_version": "default"})
    [again] = written(engine, [request])
    assert again.error is None
    assert again.log_probs == pytest.approx(after.log_probs, abs=1e-4)

    # A second server that is down is passed over.
    both = make_engine("vllm", policy, servers=["http://127.0.0.1:9", url], retries=0)
    assert [sample.error for sample in written(both, [request])] == [None]


def other_weights(seed):
    """The policy with other weights, the eye's among them."""
    other, generator = Policy.load("tiny-random", device="cpu"), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in other.model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
    return other


def test_a_server_takes_the_adapter_of_lora_alone(servers, tmp_path):
    """Defect: vLLM tells in words, and not in JSON, that it has an adapter, which was taken for a failure."""
    lora = Policy.load("tiny-random", device="cpu", lora={"r": 4})
    flags = ("--enable-lora", "--max-lora-rank", "64")
    server = Served(servers[0].folder, tmp_path / "log", servers[0].plugins, *flags).begin()
    try:
        urls, folder = [server.ready().url], str(tmp_path / "weights")
        engine = make_engine("vllm", lora, servers=urls, weights_folder=folder, retries=0)
        for seed in (1, 2):
            generator = torch.Generator().manual_seed(seed)
            with torch.no_grad():
                for name, parameter in lora.model.named_parameters():
                    if "lora_B" in name:
                        parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
            engine.refresh()
            theirs, mine = played(lora, engine, GREEDY), played(lora, HFEngine(lora), GREEDY)
            assert [c.ids for c in theirs] == [c.ids for c in mine]
    finally:
        server.kill()


def test_servers_take_weights_that_are_sent_without_a_folder(policy, servers, monkeypatch):
    """By vLLM's own transfer, whose tensors go over gloo here, in the place of NCCL."""
    in_the_place_of_nccl(monkeypatch)
    urls = [server.url for server in servers]
    engine = make_engine("vllm", policy, servers=urls, transfer="nccl", retries=0)
    for seed in (3, 4):
        engine._backend.update(now := other_weights(seed))
        assert engine._backend.servers.up == urls
        with monkeypatch.context() as patch:
            watched = Watched(engine, patch)
            theirs = played(now, watched, GREEDY)
        assert [c.ids for c in theirs] == [c.ids for c in played(now, HFEngine(now), GREEDY)]
        assert {url for url, _ in watched.told} == set(urls)


def test_a_server_takes_weights_that_are_sent_after_some_that_broke_off(
    policy, servers, monkeypatch
):
    """Defect: of a layer that had taken a part of them the others were taken for the rest, or refused."""
    url = servers[0].url
    in_the_place_of_nccl(monkeypatch)
    engine = make_engine("vllm", policy, servers=[url], transfer="nccl", retries=0)
    tell = Server.tell

    def spoilt(server, path, body, **options):
        if path == "/update_weights":
            told = body["update_info"]
            first = next(n for n, name in enumerate(told["names"]) if "q_proj.weight" in name)
            told["dtype_names"][first + 1 :] = ["nothing"] * len(told["names"][first + 1 :])
        tell(server, path, body, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Server, "tell", spoilt)
        with pytest.raises(ServerError):
            engine._backend.update(other_weights(5))
    engine._backend.update(now := other_weights(6))
    theirs, mine = played(now, engine, GREEDY), played(now, HFEngine(now), GREEDY)
    assert [c.ids for c in theirs] == [c.ids for c in mine]


def test_a_server_takes_weights_that_are_sent_while_it_writes_for_somebody_else(
    policy, servers, monkeypatch
):
    """Defect: it ended, as it wrote on with weights that were not there."""
    url = servers[0].url
    in_the_place_of_nccl(monkeypatch)
    engine = make_engine("vllm", policy, servers=[url], transfer="nccl", retries=0)
    ended, settings = threading.Event(), {"max_tokens": 900, "ignore_eos": True}
    body = {"token_ids": [5, 6, 7], "sampling_params": settings | {"detokenize": False}}

    def asks():
        while not ended.is_set():
            httpx.post(f"{url}/inference/v1/generate", json=body, timeout=300)

    somebody = threading.Thread(target=asks, daemon=True)
    somebody.start()
    for seed in (7, 8):
        time.sleep(1)
        engine._backend.update(now := other_weights(seed))
    ended.set()
    somebody.join(300)
    theirs, mine = played(now, engine, GREEDY), played(now, HFEngine(now), GREEDY)
    assert [c.ids for c in theirs] == [c.ids for c in mine]


class Watched:
    """The engine: `told` is [(server, versions)] of each reply; with `loses`, that server is killed in the
    midst, with answers that it owes."""

    def __init__(self, engine, monkeypatch, loses=None):
        self._engine, self._loses, self.told, self._written = engine, loses, [], 0
        self.servers = engine._backend.servers
        post = Server.post

        def watched(server, path, body, **options):
            reply = post(server, path, body, **options)
            if path == "/inference/v1/generate":
                spans = reply["choices"][0]["weight_versions"]
                self.told.append((server.url, {span["version"] for span in spans}))
            return reply

        monkeypatch.setattr(Server, "post", watched)

    def ask(self, request):
        self._engine.ask(request)

    def answers(self):
        came = self._engine.answers()
        self._written += len(came)
        if self._loses and self._written > 4:
            self._loses.kill()
            self._loses = None
        return came


def test_one_of_two_servers_is_killed_and_comes_back_by_current_weights_alone(
    servers, tmp_path, monkeypatch
):
    """Defects guarded against: episodes that are lost or wait with a server that dies or begins; answers by
    the weights with which one was started again."""
    lost, kept = servers
    first, second = other_weights(1), other_weights(2)
    options = {"weights_folder": str(tmp_path / "weights"), "retries": 0, "again": 0.0}
    engine = make_engine("vllm", first, servers=[lost.url, kept.url], **options)
    engine.refresh()

    def play_on(policy, loses=None):
        """Greedily, as the policy's own engine; the addresses of those that answered."""
        with monkeypatch.context() as patch:
            watched = Watched(engine, patch, loses)
            theirs = played(policy, watched, GREEDY)
        assert [c.ids for c in theirs] == [c.ids for c in played(policy, HFEngine(policy), GREEDY)]
        assert {v for _, versions in watched.told for v in versions} == {watched.servers._version}
        return {url for url, _ in watched.told}

    assert play_on(first) == {lost.url, kept.url}
    assert play_on(first, loses=lost) >= {kept.url}
    assert engine._backend.servers.up == [kept.url]
    engine._backend.update(second)
    assert play_on(second) == {kept.url}
    engine._policy = second

    lost.begin()  # by the weights of its folder
    assert play_on(second) == {kept.url}  # which waits for nobody who begins
    lost.ready()
    wait_until(lambda: play_on(second) != {kept.url}, by=lost.process)
    assert engine._backend.servers.up == [lost.url, kept.url]
    assert play_on(second) == {lost.url, kept.url}

    for server in servers:
        server.kill()
    request = Request(Conversation(second, Limits(max_new_tokens=12)), 0, GREEDY, 12)
    request.conversation.observe("Look.", picture(1))
    [dead] = written(engine, [request])
    assert "gave no answer" in dead.error


def test_new_weights_need_a_folder(policy):
    engine = make_engine("vllm", policy, servers=["http://127.0.0.1:9"])
    with pytest.raises(ValueError, match="weights_folder"):
        engine.refresh()
