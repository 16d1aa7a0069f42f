"""What a vLLM is called with that shares a GPU with the learner; when it sleeps, wakes and takes weights.

vLLM itself is not needed here: a stand-in writes down what it is told. That it answers as it should is tested
where it is installed, in test_vllm_engine.py.
"""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from accelerate import PartialState
from omegaconf import OmegaConf
from safetensors.torch import load_file
from transformers import AutoProcessor

from agents.conversation import Conversation, Limits
from agents.engines import Request, make_engine, written
from agents.engines.base import GREEDY
from agents.engines.vllm_local import llm_options, merged_copy
from agents.policy import Policy
from amft_mm.config.players import engine_of
from envs.paths import data_folder
from tests.amft_mm.processes import finish, started

ON_GPU = SimpleNamespace(device=torch.device("cuda", 0), pictures=None, dtype=torch.bfloat16)


def test_one_gpu_has_room_for_the_learner():
    """Defect: vLLM wanted 92 % of the card free, of which the policy held 16 GiB already."""
    engine = OmegaConf.load(data_folder("configs") / "engine" / "vllm.yaml")
    chosen = llm_options(ON_GPU, memory=engine.memory, sleep=engine.sleep)
    assert chosen["gpu_memory_utilization"] == 0.4
    assert chosen["enable_sleep_mode"] is True
    assert chosen["tensor_parallel_size"] == 1
    assert "distributed_executor_backend" not in chosen
    assert llm_options(ON_GPU)["gpu_memory_utilization"] == 0.4
    assert llm_options(ON_GPU, memory=0.7, sleep=False)["enable_sleep_mode"] is False


def test_it_computes_as_the_learner_does():
    """Defect: in bfloat16 whatever `model.dtype` said, so that a learner in float32 met other scores."""
    assert llm_options(ON_GPU)["dtype"] == "bfloat16"
    whole = SimpleNamespace(**{**vars(ON_GPU), "dtype": torch.float32})
    assert llm_options(whole)["dtype"] == "float32"
    assert llm_options(whole, dtype="bfloat16")["dtype"] == "bfloat16"


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"servers": ["http://127.0.0.1:9"], "tensor_parallel": 2}, "--tensor-parallel-size 2"),
        ({"weights_folder": "/dev/shm/w"}, r"engine\.weights_folder=/dev/shm/w"),
    ],
)
def test_a_setting_that_does_nothing_where_vllm_is_is_refused(setting, said):
    """Defect: it was taken without a word."""
    with pytest.raises(ValueError, match=said):
        make_engine("vllm", Policy.load("tiny-random", device="cpu", check=False), **setting)


def test_each_of_several_processes_has_vllm_on_its_own_gpu():
    """Defect: by itself vLLM takes the first GPU, in every process."""
    assert llm_options(ON_GPU, several=True)["distributed_executor_backend"] == "external_launcher"
    with pytest.raises(ValueError, match=r"engine\.tensor_parallel=2 with several processes"):
        llm_options(ON_GPU, several=True, tensor_parallel=2)
    assert llm_options(ON_GPU, tensor_parallel=2)["tensor_parallel_size"] == 2


def test_who_is_given_the_processor_scales_pictures_alike(tmp_path):
    """Defect: with a pixel budget other than the processor's own every answer of vLLM was an error."""
    policy = Policy.load("tiny-random", device="cpu", min_pixels=784, max_pixels=3136, check=False)
    merged_copy(policy, tmp_path)
    eye = AutoProcessor.from_pretrained(tmp_path).image_processor
    for side in (28, 112):  # left as it is, and scaled down
        image = np.full((side, side, 3), 7, np.uint8)
        _, grid = policy.pictures.pixels([image])
        assert eye(images=[image], return_tensors="pt")["image_grid_thw"].equal(grid)
        assert grid.prod() == 16 * policy.pictures.measure(image).tokens


def copies_of_its_own(folder, shard):
    rank = PartialState(cpu=True).process_index
    policy = Policy.load("tiny-random", device="cpu", shard=shard, check=False)
    merged_copy(policy, folder / str(rank))


@pytest.mark.parametrize("shard", [False, True])
def test_each_of_several_processes_has_a_folder_with_weights(tmp_path, shard):
    """Defect: the first alone wrote weights, each into a folder of its own; the others' vLLM found none."""
    finish(started(copies_of_its_own, 2, (tmp_path, shard)))
    first, second = (load_file(tmp_path / rank / "model-00000.safetensors") for rank in "01")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_vllms_own_options_come_last():
    assert llm_options(ON_GPU, max_model_len=77, quantization="fp8")["max_model_len"] == 77
    on_cpu = llm_options(SimpleNamespace(device=torch.device("cpu"), pictures=None))
    assert "gpu_memory_utilization" not in on_cpu
    assert on_cpu["enable_sleep_mode"] is False


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"where": "servers"}, r"engine\.servers=\[http"),
        ({"where": "colocated", "servers": ["http://a"]}, "leave one of them out"),
        ({"where": "colocate"}, "Did you mean 'colocated'"),
    ],
)
def test_where_it_runs_and_what_servers_there_are_go_together(options, said):
    with pytest.raises(ValueError, match=said):
        make_engine("vllm", ON_GPU, **options)


class ClientError(Exception):
    """vllm.exceptions.VLLMClientError, which is no ValueError."""


def weights_in(folder):
    return len(list(Path(folder).glob("*.safetensors")))


class StandIn:
    """vllm.LLM: says `hi` after two steps, and writes down what it is told."""

    refusal = ClientError

    def __init__(self, model, **options):
        self.options, self.told, self.asked = options, [], {}
        self.folder, self.shards = Path(model), [weights_in(model)]
        self.llm_engine = self

    def add_request(self, name, prompt, params):
        if len(prompt["prompt_token_ids"]) > 200:
            raise self.refusal("longer than the maximum model length")
        self.told.append("ask")
        self.asked[name] = [prompt["prompt_token_ids"], params, 0]

    def step(self):
        outputs = []
        for name, asked in list(self.asked.items()):
            asked[2] += 1
            if asked[2] == 2:
                del self.asked[name]
                logprob = SimpleNamespace(logprob=-1)
                answer = SimpleNamespace(token_ids=[300], logprobs=[{300: logprob}])
                outputs.append(
                    SimpleNamespace(
                        request_id=name, finished=True, prompt_token_ids=asked[0], outputs=[answer]
                    )
                )
        return outputs

    def abort_request(self, names):
        for name in names:
            del self.asked[name]

    def collective_rpc(self, method, **_):
        self.told.append(method)
        self.shards.append(weights_in(self.folder))

    def __getattr__(self, name):
        def note(**arguments):
            self.told.append((name, *arguments.values()) if arguments else name)

        return note


@pytest.fixture
def stand_in(monkeypatch):
    vllm, params = ModuleType("vllm"), ModuleType("vllm.sampling_params")
    vllm.exceptions = SimpleNamespace(VLLMClientError=ClientError)
    vllm.LLM, vllm.SamplingParams = StandIn, SimpleNamespace
    params.RequestOutputKind = SimpleNamespace(FINAL_ONLY=2)
    monkeypatch.setitem(sys.modules, "vllm", vllm)
    monkeypatch.setitem(sys.modules, "vllm.sampling_params", params)
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")


@pytest.fixture
def engine(tiny, stand_in):
    return make_engine("vllm", tiny, enable_sleep_mode=True, max_images=2)


def request(policy, text="Hi."):
    conversation = Conversation(policy, Limits(max_tokens=2000))
    conversation.observe(text)
    return Request(conversation, 0, GREEDY, 4)


def test_it_takes_what_the_limits_of_a_run_allow(tiny, stand_in):
    """Defect: 16 pictures and 4,096 tokens whatever the limits said, where routes show 21 pictures."""
    limits = OmegaConf.create({"max_tokens": 9000, "max_turns": 40})
    config = OmegaConf.create({"engine": {"name": "vllm"}, "limits": limits})
    made = engine_of(config, tiny)._backend._llm.options
    assert made["max_model_len"] == 9000
    assert made["limit_mm_per_prompt"]["image"] == 40
    config.engine.max_images = 3
    assert engine_of(config, tiny)._backend._llm.options["limit_mm_per_prompt"]["image"] == 3
    config.engine = {"name": "vllm", "servers": ["http://127.0.0.1:9"]}
    engine_of(config, tiny)  # whose limits are their own


CACHES = ["reset_prefix_cache", "reset_mm_cache", "reset_encoder_cache"]


def test_it_sleeps_while_the_learner_learns_and_wakes_when_it_is_wanted(tiny, engine):
    """Weights wake to be replaced, the cache when something is asked; and after new weights nothing that was
    computed before is left in any of the three caches."""
    llm = engine._backend._llm
    assert llm.options["limit_mm_per_prompt"] == {"image": 2, "video": 0}
    assert written(engine, [request(tiny)])[0].ids == [300]
    engine.rest()
    engine.rest()
    assert llm.told == ["ask", ("sleep", 1)]
    llm.told.clear()
    engine.refresh()
    assert llm.told == [("wake_up", ["weights"]), "take_weights", *CACHES]
    llm.told.clear()
    engine.rest()  # defect: the weights stayed awake where only the cache still slept
    engine.refresh()
    assert llm.told == [("sleep", 1), ("wake_up", ["weights"]), "take_weights", *CACHES]
    llm.told.clear()
    written(engine, [request(tiny), request(tiny)])
    assert llm.told == [("wake_up", ["kv_cache"]), "ask", "ask"]
    llm.told.clear()
    engine.rest()
    written(engine, [request(tiny)])
    asleep = ("sleep", 1)
    assert llm.told == [asleep, ("wake_up", ["weights"]), ("wake_up", ["kv_cache"]), "ask"]


@pytest.mark.parametrize("refusal", [ClientError, ValueError])
def test_answers_come_as_they_are_written_and_what_is_too_long_is_an_error_of_its_own(
    tiny, engine, monkeypatch, refusal
):
    """Defect: vLLM's refusal of one prompt, which is no ValueError from 0.32 on, ended the run."""
    monkeypatch.setattr(StandIn, "refusal", refusal)
    first, long = request(tiny), request(tiny, "word " * 300)
    engine.ask(first)
    engine.ask(long)
    came = [*engine.answers(), *engine.answers()]
    assert [asked for asked, _ in came] == [long, first]
    assert "longer than the maximum" in came[0][1].error
    assert came[1][1].ids == [300]


@pytest.mark.parametrize("in_this_process", [True, False])
def test_no_copy_of_the_weights_is_left_once_they_are_read(
    tiny, stand_in, monkeypatch, in_this_process
):
    """Defect: it lay in a temporary folder, perhaps of the machine's memory, as long as the run."""
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", str(int(not in_this_process)))
    engine = make_engine("vllm", tiny)
    llm = engine._backend._llm
    assert (llm.folder / "config.json").is_file()
    assert weights_in(llm.folder) == 0
    engine.refresh()
    assert llm.told[0] == ("take_weights" if in_this_process else "reload_weights")
    assert llm.shards == [1, 0 if in_this_process else 1]  # at the start, and when they are new
    assert weights_in(llm.folder) == 0


def test_an_episode_that_is_over_is_written_on_no_more(tiny, engine):
    dropped, kept = request(tiny), request(tiny)
    engine.ask(dropped)
    engine.ask(kept)
    engine.release(dropped.conversation)
    came = [*engine.answers(), *engine.answers()]
    assert [asked for asked, _ in came] == [kept]
    refused = request(tiny, "word " * 300)
    engine.ask(refused)
    engine.release(refused.conversation)
    assert engine.answers() == []  # defect: the next rollout was told of it, and ended
