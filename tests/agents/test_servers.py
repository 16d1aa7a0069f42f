"""Servers that die, come back with old weights, or are asked by several processes: nothing is learnt from
what other weights than the current ones wrote."""

import contextlib
import gc
import os
import re
import signal
import subprocess
import sys
import threading
import time
import types
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import torch
from accelerate import PartialState

from agents.conversation import Conversation, Limits
from agents.engines import Request, make_engine, written
from agents.engines.base import GREEDY
from agents.engines.by_nccl import NCCLGroup, gpu_of, opened_to
from agents.engines.hf import HFEngine
from agents.engines.servers import Servers, check_versions
from agents.engines.web import ServerError
from agents.policy import Policy
from agents.rollout import Plan, play
from agents.worlds import World, Worlds
from tests.agents.gloo_group import in_the_place_of_nccl
from tests.agents.token_server import FAILED, TokenServer
from tests.amft_mm.processes import finish, started
from tests.ports import free_port, free_ports
from tests.waiting import wait_until

MODEL = "tiny-random"
LIMITS = Limits(max_new_tokens=8)


@pytest.fixture
def policy():
    return Policy.load(MODEL, device="cpu")


@pytest.fixture
def servers():
    begun = [TokenServer(MODEL).begin() for _ in range(2)]
    yield begun
    for server in begun:
        server.http.shutdown()


def engine_of(policy, servers, folder, **options):
    urls = [server if isinstance(server, str) else server.url for server in servers]
    options = {"retries": 0, "again": 0.0, "weights_folder": str(folder), **options}
    return make_engine("vllm", policy, servers=urls, **options)


def changed(policy, seed):
    """Other weights, in place."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in policy.model.named_parameters():
            if "lora_A" not in name and parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)


def requests(policy, count=4, words="Say something of {}."):
    found = []
    for number in range(count):
        conversation = Conversation(policy, LIMITS)
        conversation.observe(words.format(number))
        found.append(Request(conversation, number, GREEDY, 8))
    return found


def ids(samples):
    assert [s.error for s in samples] == [None] * len(samples)
    return [s.ids for s in samples]


def test_servers_answer_by_the_weights_that_were_handed_over_last(policy, servers, tmp_path):
    engine = engine_of(policy, servers, tmp_path)
    before = ids(written(engine, requests(policy)))
    for seed in (1, 2):
        changed(policy, seed)
        engine.refresh()
        now = ids(written(engine, requests(policy)))
        assert now == ids(written(HFEngine(policy), requests(policy))) != before
        before = now
        assert len(list(tmp_path.iterdir())) == 1  # older ones are forgotten
    assert all(server.asked for server in servers)
    del engine
    gc.collect()
    assert not list(tmp_path.iterdir())  # defect: the last weights stayed, in memory perhaps


def test_a_weights_folder_that_is_full_is_said_in_words(policy, servers, tmp_path, monkeypatch):
    """Defect: it ended a run with the traceback of the library that writes weights."""
    from safetensors import SafetensorError

    def full(*_):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(OSError, match=f"No space left on device: '{tmp_path}"):
        engine_of(policy, servers, tmp_path).refresh()


def test_a_server_that_a_dead_learner_left_paused_answers_the_next(policy, servers, tmp_path):
    servers[0].paused = True
    engine_of(policy, servers, tmp_path).refresh()
    assert not servers[0].paused


def test_a_server_that_is_gone_is_passed_over_and_rejoins_with_current_weights(
    policy, servers, tmp_path
):
    engine = engine_of(policy, servers, tmp_path)
    engine.refresh()
    servers[0].broken = True
    changed(policy, 1)
    engine.refresh()
    expected = ids(written(HFEngine(policy), requests(policy)))
    assert engine._backend.servers.up == [servers[1].url]
    assert ids(written(engine, requests(policy))) == expected
    loaded, asked = len(servers[0].loaded), servers[0].asked
    servers[0].broken = False

    def both_are_up():
        assert ids(written(engine, requests(policy))) == expected
        return len(engine._backend.servers.up) == 2

    wait_until(both_are_up)
    assert ids(written(engine, requests(policy))) == expected
    assert len(servers[0].loaded) == loaded + 1
    assert servers[0].asked > asked


def test_a_server_that_hangs_keeps_nobody_waiting_who_can_ask_another(policy, servers, tmp_path):
    """Defect: one that took a connection and said nothing held all requests until the look at it was given
    up, ten minutes as shipped."""
    engine = engine_of(policy, servers, tmp_path)
    engine.refresh()
    expected = ids(written(HFEngine(policy), requests(policy)))
    servers[0].broken = True
    assert ids(written(engine, requests(policy))) == expected
    assert engine._backend.servers.up == [servers[1].url]
    servers[0].hangs.set()
    servers[0].broken = False
    for _ in range(3):
        assert ids(written(engine, requests(policy))) == expected
    assert engine._backend.servers.up == [servers[1].url]
    servers[0].hangs.clear()
    assert not servers[0].hung


def test_what_a_server_says_by_other_weights_is_not_taken(policy, servers, tmp_path):
    """It was started again, or another run took it, and nobody noticed."""
    engine = engine_of(policy, servers, tmp_path)
    changed(policy, 1)
    engine.refresh()
    expected = ids(written(HFEngine(policy), requests(policy)))
    for version in ("default", "another-7"):
        servers[0].version = version
        before = len(servers[0].loaded)

        def is_taken_back():
            assert ids(written(engine, requests(policy))) == expected
            taken = len(servers[0].loaded) > before  # noqa: B023
            return taken and len(engine._backend.servers.up) == 2

        wait_until(is_taken_back)
        assert len(servers[0].loaded) == before + 1


def test_a_prompt_that_is_refused_passes_no_server_over(policy, servers, tmp_path):
    """Defect: one too long had all servers passed over, and after it one alone was asked for a while."""
    engine = engine_of(policy, servers, tmp_path, again=60.0)
    engine.refresh()
    for server in servers:
        server.refuses = "number 0"
    samples = written(engine, requests(policy, 3, "number {}"))
    assert "HTTP 400" in samples[0].error
    assert ids(samples[1:])
    assert engine._backend.servers.up == [server.url for server in servers]


def test_an_answer_is_refused_where_weights_changed_while_it_was_written(policy, servers, tmp_path):
    engine = engine_of(policy, servers[:1], tmp_path, again=60.0)
    engine.refresh()
    server = servers[0]
    generate = server._generate

    def meanwhile(body):
        server._generate = generate
        sample = generate(body | {})
        sample["choices"][0]["weight_versions"].append({"version": "other"})
        server.version = "other"
        return sample

    server._generate = meanwhile
    before = len(server.loaded)
    [sample] = written(engine, requests(policy, 1))
    assert sample.error is None  # asked again, with the weights handed over anew
    assert len(server.loaded) == before + 1


def test_a_log_probability_that_is_no_number_is_an_error(policy, servers, tmp_path):
    """Defect: NaN is JSON to Python, so that one reply made every weight NaN."""
    engine = engine_of(policy, servers[:1], tmp_path)
    generate = servers[0]._generate

    def spoilt(body):
        reply = generate(body)
        reply["choices"][0]["logprobs"]["content"][0]["logprob"] = float("nan")
        return reply

    servers[0]._generate = spoilt
    [sample] = written(engine, requests(policy, 1))
    assert "no finite number" in sample.error


def test_an_answer_that_a_server_broke_off_is_had_from_another(policy, servers, tmp_path):
    """Defect: a server that is told to end gives what it has of an answer, which was taken for all of it."""
    engine = engine_of(policy, servers, tmp_path, again=60.0)
    engine.refresh()
    generate = servers[0]._generate

    def ends(body):
        reply = generate(body)
        [choice] = reply["choices"]
        choice["finish_reason"] = "abort"
        choice["token_ids"] = choice["token_ids"][:2]
        choice["logprobs"]["content"] = choice["logprobs"]["content"][:2]
        return reply

    servers[0]._generate = ends
    samples = written(engine, requests(policy))
    assert ids(samples) == ids(written(HFEngine(policy), requests(policy)))
    assert engine._backend.servers.up == [servers[1].url]


def test_a_server_that_is_gone_is_looked_at_once_for_those_who_ask_together():
    """Defect: each of them waited for those before, then looked itself: ten seconds each where nothing says
    that nobody is there."""
    asked, looks = threading.Barrier(8), []

    def nobody(request):
        if request.method == "POST":
            asked.wait(60)
        else:
            looks.append(request)
            time.sleep(0.3)
        raise httpx.ConnectTimeout("nobody is there")

    client = httpx.Client(transport=httpx.MockTransport(nobody))
    servers = Servers(["http://gone"], client, way=None, retries=0)

    def why(_):
        with pytest.raises(ServerError, match="nobody is there") as error:
            servers.ask("/inference/v1/generate", {})
        return error

    with ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(why, range(8)))) == 8
    assert len(looks) < 8


@pytest.mark.parametrize(
    ("number", "log_prob"),
    [
        ("9", -1.0),
        (None, -1.0),
        (-1, -1.0),
        (10**6, -1.0),
        ("a picture", -1.0),
        (9, "high"),
        pytest.param(9, 10**400, id="no float"),
    ],
)
def test_what_cannot_be_an_answer_costs_that_answer_alone(tiny, monkeypatch, number, log_prob):
    """Defect: a picture's mark, an id that the model has not, or what is no number, ended the run."""
    engine = make_engine("vllm", tiny, servers=["http://127.0.0.1:9"])
    [request] = requests(tiny, 1)
    number = tiny.chat_format.image_id if number == "a picture" else number
    choice = {"token_ids": [number], "logprobs": {"content": [{"logprob": log_prob}]}}
    reply = {"prompt_token_ids": request.conversation.ids, "choices": [choice]}
    monkeypatch.setattr(Servers, "ask", lambda *_: reply)
    assert written(engine, [request])[0].error


def test_a_server_that_does_not_tell_its_weights_is_not_trained_with(
    policy, servers, tmp_path, monkeypatch
):
    def answer(self, path, body, own=TokenServer._answer):
        return None if path == "/weight_info" else own(self, path, body)

    monkeypatch.setattr(TokenServer, "_answer", answer)
    engine = engine_of(policy, servers, tmp_path)
    with pytest.raises(ServerError, match=r"vLLM from 0\.32 on, with VLLM_SERVER_DEV_MODE=1"):
        engine.refresh()


@pytest.mark.parametrize(
    "reply",
    [
        None,
        {},
        {"choices": []},
        {"choices": [{}]},
        {"choices": [{"weight_versions": None}]},
        {"choices": [{"weight_versions": [{"version": "a"}, {"version": "b"}]}]},
    ],
)
def test_what_no_weights_are_told_of_is_not_taken(reply):
    with pytest.raises(ServerError, match="a reply"):
        check_versions(reply, "a")
    check_versions({"choices": [{"weight_versions": [{"version": "a"}]}]}, "a")


def test_of_lora_the_adapter_alone_is_handed_over(servers, tmp_path):
    """Defect: vLLM tells in words, and not in JSON, that it has an adapter, which was taken for a failure."""
    lora = Policy.load(MODEL, device="cpu", lora={"r": 4})
    engine = engine_of(lora, servers, tmp_path)
    for seed in (1, 2):
        changed(lora, seed)
        engine.refresh()
        expected = ids(written(HFEngine(lora), requests(lora, 2)))
        assert ids(written(engine, requests(lora, 2))) == expected
    assert servers[0].loaded == [["adapter_config.json", "adapter_model.safetensors"]] * 2
    assert len(servers[0]._adapters) == 1
    whole = engine_of(lora, servers, tmp_path / "whole", adapter_alone=False)
    whole.refresh()
    assert servers[0].loaded[-1] == ["model-00000.safetensors"]
    assert ids(written(whole, requests(lora, 2))) == expected


def test_an_adapter_that_a_server_has_already_is_handed_over_again(servers, tmp_path, monkeypatch):
    """Defect: a server whose reply to it was lost was refused for as long as there were no newer weights."""
    lora = Policy.load(MODEL, device="cpu", lora={"r": 4})
    answer = TokenServer._answer

    def lost(self, path, body):
        said = answer(self, path, body)
        return FAILED if path == "/v1/load_lora_adapter" and len(self.loaded) == 1 else said

    monkeypatch.setattr(TokenServer, "_answer", lost)
    engine = engine_of(lora, servers, tmp_path)
    with pytest.raises(ServerError):
        engine.refresh()
    assert ids(written(engine, requests(lora, 2))) == ids(
        written(HFEngine(lora), requests(lora, 2))
    )


@pytest.fixture
def over_gloo(monkeypatch):
    in_the_place_of_nccl(monkeypatch)


def sending(policy, servers, **options):
    return engine_of(policy, servers, None, transfer="nccl", weights_folder=None, **options)


VLLMS = ["", "distributed", "distributed.utils", "distributed.device_communicators", "utils"]
VLLMS += ["distributed.device_communicators.pynccl", "utils.nccl"]


class FakeGPUs:
    """torch's and vLLM's, as far as a group is made and sent to; every thread begins on the first GPU."""

    def __init__(self, monkeypatch):
        self._here, self.sent, self.aborted = threading.local(), [], False
        known = {name: types.ModuleType(f"vllm.{name}") for name in VLLMS}
        known["distributed.utils"].StatelessProcessGroup = self
        known["distributed.device_communicators.pynccl"].PyNcclCommunicator = self._communicator
        known["utils.nccl"].unpinned_nccl_env = contextlib.nullcontext
        for name, module in known.items():
            monkeypatch.setitem(sys.modules, f"vllm.{name}".rstrip("."), module)
        monkeypatch.setattr(torch.cuda, "device", self._on)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"stream of {device}")

    @contextlib.contextmanager
    def _on(self, device):
        before, self._here.gpu = getattr(self._here, "gpu", 0), device
        yield
        self._here.gpu = before

    def create(self, host, port, rank, size, listen_socket):
        assert (host, port) == listen_socket.getsockname()
        assert (rank, size) == (0, 2)

    def _communicator(self, met, device):
        assert device == getattr(self._here, "gpu", 0)
        return types.SimpleNamespace(
            disabled=False,
            device=torch.device("cuda", getattr(self._here, "gpu", 0)),
            broadcast=lambda tensor, src, stream=None: self.sent.append((src, stream)),
            destroy=lambda: setattr(self, "aborted", True),
        )


def test_weights_go_by_the_gpu_and_the_stream_that_the_learner_computes_on(monkeypatch):
    """Defects: a group was made in a thread, which is on the first GPU whatever model.device says, where a
    server may be; vLLM made another stream the learner's; a group was sent to while its memory was freed."""
    gpus = FakeGPUs(monkeypatch)
    with ThreadPoolExecutor(1) as pool:
        door = opened_to("http://127.0.0.1:9")
        group = pool.submit(NCCLGroup, door, 2, gpu_of(torch.device("cuda:1"))).result()
        door.close()
    assert group.device == torch.device("cuda:1")
    assert gpu_of(torch.device("cuda")) == torch.device("cuda:0")
    group.send(torch.zeros(1))
    assert gpus.sent == [(0, "stream of cuda:1")]
    group.destroy()
    assert gpus.aborted
    with pytest.raises(RuntimeError):
        group.send(torch.zeros(1))
    assert len(gpus.sent) == 1


def test_weights_are_sent_to_servers_without_a_folder(policy, servers, over_gloo):
    engine = sending(policy, servers)
    before = ids(written(engine, requests(policy)))
    for seed in (1, 2):
        changed(policy, seed)
        engine.refresh()
        now = ids(written(engine, requests(policy)))
        assert now == ids(written(HFEngine(policy), requests(policy))) != before
        before = now
    assert [server.loaded for server in servers] == [["sent"] * 2] * 2
    assert all(server.asked and not server.paused for server in servers)


def test_loras_changes_are_added_in_where_weights_are_sent(servers, over_gloo):
    lora = Policy.load(MODEL, device="cpu", lora={"r": 4})
    engine = sending(lora, servers)
    changed(lora, 1)
    engine.refresh()
    assert ids(written(engine, requests(lora, 2))) == ids(
        written(HFEngine(lora), requests(lora, 2))
    )
    assert servers[0]._adapters == {}


def test_a_server_that_is_gone_or_new_takes_the_next_weights_that_are_sent(
    policy, servers, over_gloo
):
    engine = sending(policy, servers)
    engine.refresh()
    gone, stays = servers
    gone.broken = True
    for seed in (1, 2):
        changed(policy, seed)
        engine.refresh()
        assert engine._backend.servers.up == [stays.url]
    expected = ids(written(HFEngine(policy), requests(policy)))
    gone.broken, gone.version, gone.group = False, "default", None  # started again
    asked = gone.asked
    assert ids(written(engine, requests(policy))) == expected
    assert gone.asked == asked  # not by the weights that it began with
    gone.updating = True  # or broken off in the midst
    changed(policy, 3)
    engine.refresh()
    assert engine._backend.servers.up == [gone.url, stays.url]
    assert ids(written(engine, requests(policy))) == ids(
        written(HFEngine(policy), requests(policy))
    )
    assert gone.asked > asked


def test_a_server_that_dies_while_weights_are_sent_holds_up_no_other(policy, servers, over_gloo):
    engine = sending(policy, servers)
    engine.refresh()
    dies, stays = servers
    changed(policy, 1)
    received = dies.group.received

    def dying(told):
        next(received(told))
        dies.broken = True
        raise ConnectionError("killed")

    dies.group.received = dying
    engine.refresh()
    assert engine._backend.servers.up == [stays.url]
    assert ids(written(engine, requests(policy))) == ids(
        written(HFEngine(policy), requests(policy))
    )


class Interrupted(Exception):
    pass


def test_what_ends_a_run_while_weights_are_sent_does_not_wait_for_servers(
    policy, servers, over_gloo, monkeypatch
):
    """Defect: an error of the learner's own, or Ctrl+C, was told when the last server had waited for weights
    in vain: after ten minutes."""

    def breaks_off(policy):
        raise Interrupted

    given_up = threading.Event()
    monkeypatch.setattr("agents.engines.by_nccl.named_weights", breaks_off)
    monkeypatch.setattr(TokenServer, "_take", lambda *_: None)
    monkeypatch.setattr(
        "tests.agents.gloo_group.GlooGroup.received", lambda *_: given_up.wait(20) and []
    )
    engine, began = sending(policy, servers), time.monotonic()
    with pytest.raises(Interrupted):
        engine.refresh()
    assert time.monotonic() - began < 10
    given_up.set()


def test_a_learner_that_can_not_join_says_why_at_once(policy, servers, over_gloo, monkeypatch):
    """Defect: the server was waited for, and said to lack a flag."""
    meant = threading.Event()

    def can_not(*_):
        raise RuntimeError("two of one GPU")

    def waits(self, path, body, own=TokenServer._transfer):
        if path == "/init_weight_transfer_engine":
            return meant.wait(20) and FAILED
        return own(self, path, body)

    monkeypatch.setattr("agents.engines.by_nccl.NCCLGroup", can_not)
    monkeypatch.setattr(TokenServer, "_transfer", waits)
    engine, began = sending(policy, servers[:1]), time.monotonic()
    with pytest.raises(ServerError, match="two of one GPU"):
        engine.refresh()
    assert time.monotonic() - began < 10
    meant.set()


def test_a_server_that_is_named_twice_is_one(policy, servers, over_gloo):
    """Defect: each tensor was sent to it twice, and taken for the next one."""
    engine = sending(policy, [servers[0], f"{servers[0].url}/"], seconds=20.0)
    engine.refresh()
    assert servers[0].loaded == ["sent"]
    assert ids(written(engine, requests(policy, 1))) == ids(
        written(HFEngine(policy), requests(policy, 1))
    )


def test_servers_take_weights_together_however_few_requests_there_may_be(
    policy, servers, over_gloo
):
    """Defect: with engine.at_once=1 the second waited to be told of the weights until the first had them, and
    the first for weights that the second did not take."""
    engine = sending(policy, servers, at_once=1, seconds=20.0)
    engine.refresh()
    assert engine._backend.servers.up == [server.url for server in servers]


def test_a_server_that_takes_no_weights_so_is_told_how_to_start_it(
    policy, servers, over_gloo, monkeypatch
):
    answer = TokenServer._transfer

    def without(self, path, body):
        return FAILED if path == "/init_weight_transfer_engine" else answer(self, path, body)

    monkeypatch.setattr(TokenServer, "_transfer", without)
    with pytest.raises(ServerError, match="--weight-transfer-config"):
        sending(policy, servers[:1]).refresh()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("http://127.0.0.1:9", r"a list: engine\.servers=\[http://127\.0\.0\.1:9\]"),
        (["127.0.0.1:9"], r"engine\.servers='127\.0\.0\.1:9'.*http://127\.0\.0\.1:8000$"),
        ([8000], r"engine\.servers=8000"),
    ],
)
def test_what_is_no_address_of_a_server_is_refused_before_anything_is_played(policy, given, told):
    """Defect: each letter was a server, and each answer an error; a number was a traceback."""
    with pytest.raises(ValueError, match=told):
        make_engine("vllm", policy, servers=given)


def test_ways_that_can_not_be_are_refused(policy, tmp_path):
    with pytest.raises(ValueError, match=r"engine\.transfer.*folder.*nccl"):
        engine_of(policy, ["http://127.0.0.1:9"], tmp_path, transfer="post")
    with pytest.raises(ValueError, match="leave one out"):
        engine_of(policy, ["http://127.0.0.1:9"], tmp_path, transfer="nccl")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match=r"engine\.transfer=nccl.*engine\.transfer=folder"):
            sending(policy, ["http://127.0.0.1:9"])
    with pytest.raises(ValueError, match=r"engine\.transfer=nccl.*leave it out"):
        make_engine("vllm", policy, transfer="nccl")


def comes_late(folder):
    """The second process has something asked still, when the first comes to hand over weights."""
    rank = PartialState(cpu=True).process_index
    engine = engine_of(
        Policy.load(MODEL, device="cpu", check=False), ["http://127.0.0.1:9"], folder
    )
    if rank == 1:
        time.sleep(3)
        assert not list(folder.iterdir())
    with pytest.raises(ServerError):  # nobody is there
        engine.refresh()
    assert list(folder.iterdir())
    PartialState().wait_for_everyone()  # the first takes them with it


def test_no_weights_are_replaced_while_another_process_is_answered(tmp_path):
    """Defect: with train.ahead=1 the first process handed over new ones when its own episodes had ended."""
    finish(started(comes_late, 2, (tmp_path,)))


def process_on(port):
    command = [sys.executable, "-m", "tests.agents.token_server", MODEL, str(port)]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    for _ in range(600):
        assert process.poll() is None
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200:
                return process
        time.sleep(0.5)
    raise AssertionError("the server did not come up")


@pytest.mark.slow
def test_a_server_that_is_killed_costs_no_episode_and_comes_back(policy, tmp_path):
    """Two processes; one is killed in the midst of a rollout, and started again with its old weights."""
    ports = free_ports(2)
    processes = [process_on(port) for port in ports]
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    plan = Plan(tasks=4, group=2, sampling=GREEDY, limits=LIMITS)
    try:
        engine = engine_of(policy, urls, tmp_path)
        changed(policy, 1)
        engine.refresh()

        def played(by):
            worlds = Worlds(World("amft/VIRL-v0", {"modality": "text", "attempts": 3}), 8)
            trajectories = play(worlds, policy, by, plan)
            worlds.close()
            assert not any(t.failed or t.tries > 1 for t in trajectories)
            return [t.conversation.ids for t in trajectories]

        class Killing:
            """The engine, which loses a server after five answers."""

            def __getattr__(self, name):
                return getattr(engine, name)

            def answers(self):
                came = engine.answers()
                self.told = getattr(self, "told", 0) + len(came)
                if self.told >= 5 and processes[0].poll() is None:
                    os.kill(processes[0].pid, signal.SIGKILL)
                    processes[0].wait()
                return came

        expected = played(HFEngine(policy))
        assert played(Killing()) == expected
        assert engine._backend.servers.up == urls[1:]
        processes[0] = process_on(ports[0])
        assert played(engine) == expected
        assert engine._backend.servers.up == urls
    finally:
        for process in processes:
            process.kill()


RANKS = """
import sys, json, torch, torch.distributed as distributed
from types import SimpleNamespace as Plain
import httpx
from agents.engines.servers import Servers
from agents.engines import by_nccl
from agents.engines.vllm_server import way_of
from tests.agents.gloo_group import opened
by_nccl.refuse_without_gpu, by_nccl.NCCLGroup = lambda: None, opened
distributed.init_process_group("gloo")
model = torch.nn.Linear(2, 2)
torch.nn.init.constant_(model.weight, 3.0)
policy = Plain(model=model, plain_model=model, dtype=torch.float32, device=model.weight.device)
servers = Servers([sys.argv[1]], httpx.Client(), way_of(*sys.argv[2:]))
for _ in range(3):
    servers.hand_over(policy)
    reply = servers.ask("/inference/v1/generate", {})
    assert reply["weights"] == 3.0, reply
print(json.dumps(servers._version))
"""


@pytest.mark.slow
@pytest.mark.parametrize("transfer", ["folder", "nccl"])
def test_several_processes_hand_over_weights_once(tmp_path, transfer):
    """Defect: each wrote the same folder and had every server load it, while others read."""
    from safetensors.torch import load_file

    class Plain(TokenServer):
        def _take(self, weights):
            self.weights = float(weights["weight"][0, 0])

        def _answer(self, path, body):
            if path == "/collective_rpc":
                [file] = list(__import__("pathlib").Path(body["kwargs"]["weights_path"]).iterdir())
                self.weights = float(load_file(file)["weight"][0, 0])
                self.loaded.append(file.parent.name)
                return {}
            if path == "/inference/v1/generate":
                told = {"version": self.version}
                return {"weights": self.weights, "choices": [{"weight_versions": [told]}]}
            return super()._answer(path, body)

    server = Plain(MODEL).begin()
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    script = tmp_path / "ranks.py"
    script.write_text(RANKS)
    command += ["--master_port", str(free_port()), str(script), server.url, transfer]
    command += [str(tmp_path / "weights")] if transfer == "folder" else [""]
    done = subprocess.run(command, capture_output=True, text=True, timeout=550)
    assert done.returncode == 0, done.stderr[-3000:]
    server.http.shutdown()
    assert len(server.loaded) == 3
    versions = re.findall('"(.*?)"', done.stdout)  # of both processes, perhaps in one line
    assert versions == [server.version] * 2
    if transfer == "folder":
        assert server.loaded[-1] == server.version
        assert len(set(server.loaded)) == 3
