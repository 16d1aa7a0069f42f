"""Every command that a document tells people to type works, as it stands there.

Training commands are made short by settings that are added to them; what cannot be run here is listed with
the reason, so that no command is forgotten. Each is a test of its own, so that workers share a page, and has
what the documents speak of; those that are the same once they are short are run once.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from amft_mm.compare.__main__ import check_settings, composed, pilots
from amft_mm.compare.again import as_it_lies, found_in
from amft_mm.compare.grid import Grid
from amft_mm.config.command_line import configuration
from envs.general_points.cards import RANKS, SUITS
from tests import started
from tests.agents.token_server import TokenServer
from tests.amft_mm.test_train import TINY, run
from tests.envs.virl.published_folder import write_folder
from tests.ports import free_port

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "examples/*.md", "results/*.md")
    for path in ROOT.glob(pattern)
)
COMMAND = re.compile(
    r"^    ((?:python|amft-mm|torchrun|accelerate|uv|pip|cd|[A-Z_]+=\S+|\S+/\S+\.sh) .*?)(?:  +#.*)?$"
)
LEFT_OUT = {  # what is in a command: why it is not run here
    "pip install": "needs the network; .ci/run installs the wheel",
    "uv sync": "needs the network; .ci/run does it",
    "uv run": "tests that CI runs anyway",
    "vllm serve": "tests/agents/test_vllm_server.py",
    "engine.servers=": "test_the_command_that_asks_servers",
    "engine=openai": "needs an endpoint; tests/agents/test_openai_engine.py",
    "resume=true out=runs/sums": "goes on with that run",
    "smollm2_from_package": "needs a package of 93 MB",
    "envs.serve": "goes on until Ctrl+C; tests/envs/test_openenv.py",
    "amft_mm.watch": "goes on until Ctrl+C; tests/amft_mm/test_watch.py does that",
    "amft_mm.compare": "takes hours; test_the_comparison_of makes ready for each",
    "amft_mm.pretrain": "takes hours; tests/amft_mm/test_pretrain.py runs a small one",
}
IN_LITTLE = {  # what follows a word: what takes its place here
    "--nnodes": "1",
    "--nproc_per_node": "2",
    "--rdzv_endpoint": "localhost:0",
}
MEETING = ("--nnodes", "--rdzv_backend", "--rdzv_endpoint")
"""How processes find each other, which torchrun reads and nobody else."""
SMALL = {
    # Pictures for large models, which take the tiny one most of a run, and what it is taught to read.
    "env.size=[448,448]": "env.size=[168,168]",
    # Weights that are not here; what is trained of them is tests/amft_mm/test_smollm2.py.
    "model.name=smollm2": "model.name=tiny-random",
}
SHORTEST = {
    "train.warmup_steps": "1",
    "train.steps": "2",  # the second has an effect of mu to look at
    "eval.every": "0",
    "eval.episodes": "1",
}
"""A command has to work; what its steps and evaluations make is tested elsewhere."""
SHORTER = {
    "amft_mm.train": [
        f"{name}={SHORTEST.get(name, value)}"
        for name, _, value in (word.partition("=") for word in TINY)
    ]
    + ["limits.max_tokens=4096"],  # as many as the tiny model reads
    "amft_mm.evaluate": ["eval.episodes=2", "limits.max_new_tokens=8", "threads=1"],
    "amft_mm.demos": ["n=2"],
    "benchmarks/study_mu.py": ["seeds=1", "steps=10"],
    "benchmarks/study_controller.py": ["runs=3"],
    "examples/minimal.py": ["amft/Math-v0", "2", "3"],
}


def typed(document):
    """[(line, folder of the repository it is to be run in or "", command)]"""
    folder, found = "", []
    for number, line in enumerate(document.read_text(encoding="utf-8").splitlines(), start=1):
        told = COMMAND.match(line)
        if not told:
            if line and not line.startswith(" "):
                folder = ""
            continue
        command = told[1].strip()
        if command.startswith("cd "):
            folder = command[3:].strip()
        else:
            found.append((number, folder, command))
    return found


def commands(document):
    """Those that are run here."""
    return [told for told in typed(document) if not any(part in told[2] for part in LEFT_OUT)]


def comparisons(document):
    """[(line, words)], of those too that a batch system is given or that go on in the next line."""
    text = document.read_text(encoding="utf-8")
    command = r"(?m)^    (.*)python -m amft_mm\.compare (?!--help)((?:.*\\\n)*.*)$"
    for told in re.finditer(command, text):
        said = told[2].replace("\\\n", " ")
        wrapped = "--wrap" in told[1]
        yield text[: told.start()].count("\n") + 1, said.rstrip('"') if wrapped else said


def in_small(command):
    for large, small in SMALL.items():
        command = command.replace(large, small)
    return command


def shortened(command):
    """As words that can be started here."""
    words = shlex.split(in_small(command))
    if "engine=vllm" in words and "engine.servers=" not in command:
        words.append("train.dry_run=true")  # needs a GPU
    for module, more in SHORTER.items():
        if module in words and "train.dry_run=true" not in words:
            names = tuple(setting.partition("=")[0] + "=" for setting in more)
            words = [word for word in words if not word.startswith(names)] + more
    if words[0] == "python":
        words[0] = sys.executable
    if words[0] == "amft-mm":
        words[:1] = [sys.executable, "-m", "amft_mm"]
    if words[0] == "torchrun":
        words = [
            IN_LITTLE.get(before, word) for before, word in zip(["", *words], words, strict=False)
        ]
        words = [word for word in words if not word.startswith("out=")]
        if any(word.startswith("machine=") for word in words):
            words.append("model.dtype=float32")  # what CPUs are fast in
        words[:1] = [sys.executable, "-m", "torch.distributed.run"]
    return words


def asked_of_this_suite(words):
    pairs = zip(["", *words], words, strict=False)
    return tuple(word for before, word in pairs if not {before, word} & {*MEETING})


TOLD = {  # by document and line; the first of those that are the same
    f"{document.relative_to(ROOT)}:{line}": (folder, shortened(command))
    for document in DOCUMENTS
    for line, folder, command in commands(document)
}
ONCE = {
    (folder, *asked_of_this_suite(words)): place
    for place, (folder, words) in reversed(TOLD.items())
}
COMPARISONS = {  # by document and line: what is said to amft_mm.compare
    f"{document.relative_to(ROOT)}:{number}": said
    for document in DOCUMENTS
    for number, said in comparisons(document)
}
HERE = {  # what a comparison needs that is not here: what takes its place
    "model.name:smollm2": "model.name:tiny",
}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with what the documents speak of: a run, a deck, questions, chats, street views."""
    place = tmp_path_factory.mktemp("workplace")
    done = run(place, "env=math", "out=runs/NAME")
    assert done.returncode == 0, done.stderr
    for name in ("ONE", "TWO"):
        shutil.copytree(place / "runs" / "NAME", place / "runs" / name)
    (place / "cards").mkdir()
    from PIL import Image

    for suit in SUITS:
        for rank in range(1, len(RANKS) + 1):
            name = f"{RANKS[rank - 1]}_of_{suit}.png".lower()
            Image.new("RGB", (50, 70), "white").save(place / "cards" / name)
    questions = [{"question": f"What is {k} + 1?", "answer": str(k + 1)} for k in range(100)]
    (place / "questions.jsonl").write_text("\n".join(map(json.dumps, questions)))
    chats = [
        {
            "conversations": [
                {"from": "human", "value": q["question"]},
                {"from": "gpt", "value": q["answer"]},
            ]
        }
        for q in questions[:10]
    ]
    (place / "chats.json").write_text(json.dumps(chats))
    write_folder(place / "FOLDER")
    mine = ("import_from=chats.json", "out=demos/mine")
    done = run(place, *mine, module="amft_mm.demos", base=())
    assert done.returncode == 0, done.stderr
    done = run(
        place,
        "env=virl",
        "n=2",
        "out=demos/virl",
        "env.modality=visual",
        module="amft_mm.demos",
        base=(),
    )
    assert done.returncode == 0, done.stderr
    guides = "".join(
        (ROOT / "docs" / name).read_text() for name in ("environments.md", "your_method.md")
    )
    for name in ("doubling.py", "gentle.py", "own_successes.py"):
        code = re.search(rf"(?ms)^    # {re.escape(name)}\n.*?(?=^\S)", guides)[0]
        (place / name).write_text(re.sub(r"(?m)^    ", "", code))
    shutil.copytree(ROOT / "examples", place / "examples")
    shutil.copytree(ROOT / "benchmarks", place / "benchmarks")
    return place


def test_most_commands_are_run():
    assert len(TOLD) > 45
    assert 30 < len(ONCE) < len(TOLD)


@pytest.mark.parametrize("part", LEFT_OUT)
def test_what_is_left_out_is_in_a_document(part):
    """Defect: the reason stayed behind when its command went, and would leave out another one unseen."""
    assert any(part in command for document in DOCUMENTS for _, _, command in typed(document))


def test_comparisons_are_found():
    assert len(COMPARISONS) > 15
    assert any("render=true" in said for said in COMPARISONS.values())


@pytest.mark.parametrize("told", COMPARISONS)
def test_the_comparison_of(told, monkeypatch):
    """It gets as far as its first run, which takes hours: names, settings and what they have to agree with.

    Nor does it give a variant of configs/compare.yaml's name: the two would be merged, so that what the
    command says is not what is compared.
    """
    monkeypatch.chdir(ROOT)
    said = COMPARISONS[told]
    for there, here in HERE.items():
        said = said.replace(there, here)
    words = shlex.split(said)
    config = configuration("compare", words)
    own = {name for word in words for name in re.findall(r"^\+*variants\.(\w+)=", word)}
    assert not own & configuration("compare", []).variants.keys()
    if config.render:
        assert found_in(as_it_lies(config, "", print)[0], print).runs
        return
    grid = Grid(config)
    planned = [*grid.trials(), *grid.runs({})]
    for each in grid.every_condition():
        composed(each)
    check_settings([*grid.warm(planned), *planned])
    pilots(config)
    assert {each.method for each in planned} == {*config.methods}


@pytest.mark.slow
@pytest.mark.parametrize("told", [place for place in TOLD if place in ONCE.values()])
def test_the_command_of(told, workplace, tmp_path):
    folder, words = TOLD[told]
    place = shutil.copytree(workplace, tmp_path / "place")
    if "resume=true" not in words:  # what it is to make is not there yet
        for made in (word.removeprefix("out=") for word in words if word.startswith("out=")):
            shutil.rmtree(place / folder / made, ignore_errors=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    settings = {"cwd": place / folder, "env": environment, "timeout": 300}
    if words[:2] == [sys.executable, "-m"] and "torch.distributed.run" not in words:
        done = started.run(words, **settings)
    else:
        done = subprocess.run(words, input="", capture_output=True, text=True, **settings)
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stderr[-3000:]}"


@pytest.mark.slow
def test_the_command_that_asks_servers(tmp_path):
    """By a server of tokens as vLLM's, which reads text alone."""
    text = (ROOT / "docs" / "real_models.md").read_text()
    [command] = re.findall(r"(?m)^    (torchrun .* engine\.servers=\S+ .*)$", text)
    server = TokenServer("tiny-random").begin()
    for told, here in (("http://HOST:8000", server.url), ("=/shared/weights", "=weights")):
        assert command.count(told) == 1
        command = command.replace(told, here)
    words = [*shortened(command), "env.modality=text", "out=run"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    settings = {"cwd": tmp_path, "env": environment, "timeout": 600}
    done = subprocess.run(words, capture_output=True, text=True, **settings)
    server.http.shutdown()
    assert done.returncode == 0, done.stderr[-3000:]
    assert server.asked
    adapter = ["adapter_config.json", "adapter_model.safetensors"]
    assert server.loaded[:2] == [adapter, adapter]  # the preset trains LoRA


BATCH_SYSTEM = {  # what a batch system gives a script, in little: two nodes, which are this machine
    "scontrol": "echo localhost; echo localhost",
    "srun": '"$@" & first=$!; "$@" & second=$!; wait $first && wait $second',
    "torchrun": f'exec {sys.executable} -m torch.distributed.run "$@"',
}


def script_of(document):
    """The script that a document tells people to hand to a batch system."""
    [script] = re.findall(r"(?m)^    #!/bin/bash\n(?:    .*\n)+", document.read_text())
    return re.sub("(?m)^    ", "", script)


@pytest.mark.slow
def test_the_script_for_slurm_trains_on_two_nodes(tmp_path):
    """With a process on each; what it is told of nodes and of its job comes from the environment."""
    script = in_small(script_of(ROOT / "docs" / "real_models.md"))
    settings = ["out=run", "model.dtype=float32", *SHORTER["amft_mm.train"], "method=sft"]
    for told, here in (
        ("--nproc_per_node 8", "--nproc_per_node 1"),
        (":29500", f":{free_port()}"),
        ("out=/shared/run", " ".join(settings)),
    ):
        assert script.count(told) == 1
        script = script.replace(told, here)
    (tmp_path / "job.sh").write_text(script)
    for name, does in BATCH_SYSTEM.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{does}\n")
        (tmp_path / name).chmod(0o700)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "SLURM_JOB_ID": "17",
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_NNODES": "2",
    }
    words = ["bash", "-e", "job.sh"]
    done = subprocess.run(
        words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "run" / "summary.json").is_file()
    told = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert told["train"]["shard"]  # by machine=eight_80gb
