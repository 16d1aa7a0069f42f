"""A mistake of the user's is told in a sentence, by the command that was typed, and never by a traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from agents.demonstrations import Demonstration, Demonstrations, write_part
from amft_mm.commands import main
from amft_mm.config.command_line import configuration
from amft_mm.replay.overview import overview
from amft_mm.replay.reader import Source
from amft_mm.runs.metrics import read_rows
from tests.amft_mm.test_train import ROOT, TINY

RUN = ["env=math", "limits.max_tokens=777", "model.name=tiny-random"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with the configuration and metrics of a run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    OmegaConf.save(configuration("train", RUN), tmp_path / "run" / "config.yaml")
    (tmp_path / "run" / "metrics.jsonl").write_text(json.dumps({"step": 1, "phase": "mix"}) + "\n")
    return tmp_path


def refused(words):
    with pytest.raises(SystemExit) as ended:
        main(words.split())
    return str(ended.value)


def test_an_evaluation_takes_what_its_run_says(here):
    config = configuration("evaluate", ["run=run", "limits.max_turns=3", "env.attempts=2"])
    assert config.env.name == "math"
    assert config.env.attempts == 2
    assert dict(config.limits)["max_tokens"] == 777
    assert config.limits.max_turns == 3
    assert config.model.name == "tiny-random"
    assert "takes its env" in refused("evaluate run=run env=virl")
    assert "takes its model" in refused("evaluate run=run model=tiny")
    assert "Did you mean env.attempts" in refused("evaluate run=run env.atempts=2")
    assert "holds no run" in refused("evaluate run=nowhere")
    changed = configuration("evaluate", ["run=run", "env.source=chain_sum"])
    assert changed.env.source == "chain_sum"  # which the default world, of streets, does not have
    assert "env.prompts has to have a value" in refused("evaluate run=run ~env.prompts")
    assert "choose another folder" in refused("evaluate run=run out=run")


@pytest.mark.parametrize(
    ("env", "words"),
    [
        (["env=mix"], ["env.parts.math.attempts=2"]),
        (["env=own", "env.id=a:b/C-v0", "+env.size=3"], ["env.size=4"]),
    ],
)
def test_an_evaluation_changes_what_the_world_of_its_run_has(here, env, words):
    """Defect: words were held against the default world, and what that does not have was refused."""
    OmegaConf.save(configuration("train", env), here / "run" / "config.yaml")
    name, value = words[0].split("=")
    assert OmegaConf.select(configuration("evaluate", ["run=run", *words]), name) == int(value)
    assert "takes its env" in refused("evaluate run=run env=own")


@pytest.mark.parametrize("true", ["true", "1", "yes"])
def test_a_run_is_gone_on_with_however_true_is_written(here, true):
    """Defect: `resume=1` was true to the run, and not to what takes its settings."""
    config = configuration("train", [f"resume={true}", "out=run"])
    assert config.resume is True
    assert config.limits.max_tokens == 777
    assert configuration("train", [f"resume={true}", "out=run", "machine=null"]) == config


@pytest.mark.parametrize("text", ["a: [", "- 1\n- 2\n", "seed: 1\n", "\x00"])
def test_a_broken_configuration_is_told_by_its_path(here, text):
    (here / "run" / "config.yaml").write_text(text)
    for words in ("evaluate run=run", "watch run", "train resume=true out=run"):
        assert "config.yaml" in refused(words)


@pytest.mark.parametrize(
    "words", ["evaluate run=run", "watch run", "train resume=true out=run", "replay run"]
)
def test_a_configuration_of_others_takes_nothing_of_the_environment(here, words, monkeypatch):
    """Defect: its ${oc.env:...} was resolved, into a replay's page and an evaluation's addresses."""
    monkeypatch.setenv("MYSECRET", "do-not-tell")
    with (here / "run" / "config.yaml").open("a") as file:
        file.write("leak: ${oc.env:MYSECRET}\n")
    if words == "replay run":
        found = overview(Source("run", [], {}, path=here / "run"))
        assert "a value from elsewhere" in found["problems"][0]
        assert "do-not-tell" not in json.dumps(found)
    else:
        said = refused(words)
        assert "a value from elsewhere" in said
        assert "do-not-tell" not in said


def test_a_machine_or_recipe_is_used_where_a_run_goes_on(here):
    """Defect: both words did nothing, and nothing was said."""
    words = ["resume=true", "out=run"]
    assert configuration("train", words).limits.max_tokens == 777
    config = configuration("train", [*words, "train.micro_batch_tokens=99", "machine=one_80gb"])
    assert config.model.lora["r"] == 64
    assert config.train.micro_batch_tokens == 99
    assert configuration("train", [*words, "recipe=smollm2_math"]).train.warmup_steps == 24
    assert "as --config-dir=FOLDER" in refused("train resume=true out=run --config-dir")


def test_metrics_that_are_spoilt_are_read_as_far_as_they_can_be(here, capsys):
    lines = [b'{"step": 1, "phase": "mix", "mu": NaN}', b"\xff\xfe", b"{", b'{"step": "x"}', b"[1]"]
    lines += [b'{"step": 2, "phase": "mix", "mu": 0.5, "time/step": 1.0}']
    (here / "run" / "metrics.jsonl").write_bytes(b"\n".join(lines))
    rows = read_rows(here / "run")
    assert [(row["step"], row["mu"]) for row in rows] == [(1, None), (2, 0.5)]
    main(["watch", "run", "--once"])
    assert "step 2" in capsys.readouterr().out


def test_demonstrations_of_another_world_or_that_are_none_are_told(here):
    row = Demonstration("one", ["What is 1 + 1?"], ["2"], world="amft/Math-v0")
    write_part(here / "sums", 0, [row])
    told = refused("train env=general_points demos.folder=sums out=there")
    assert "holds demonstrations of amft/Math-v0" in told
    assert not (here / "there").exists()
    (here / "sums" / "data" / "second.parquet").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match=r"second\.parquet is no file of demonstrations"):
        Demonstrations(here / "sums")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            "env=math +env.sorce=countdown",
            "amft/Math-v0 has no argument sorce. Did you mean 'source'?",
        ),
        ("env=math recipe=tiny_virl", "amft/Math-v0 has no argument instruction_as."),
    ],
)
def test_arguments_that_a_world_does_not_have_are_told(here, words, told):
    """They ended training by a traceback of gymnasium."""
    said = refused(f"train out=there {words}")
    assert said.startswith("train: the split id of env.splits can not be played: ")
    assert told in said
    assert not (here / "there").exists()


def test_a_file_of_ones_own_that_is_no_python_is_told_with_its_line(here, monkeypatch, capsys):
    """Defect: a traceback through the import system, in training and in playing."""
    monkeypatch.syspath_prepend(here)
    (here / "mine.py").write_text("\ndef x(:\n")
    where = "invalid syntax (mine.py, line 2)"
    assert where in refused("train env=own env.id=mine:my/World-v0 out=there")
    assert where in refused("train env=math method.balance.name=mine:Mine out=there")
    with pytest.raises(SystemExit):
        main(["play", "mine:my/World-v0"])
    assert capsys.readouterr().err == f"error: mine:my/World-v0 cannot be made: {where}\n"


def test_a_demonstration_is_cut_where_it_is_too_long(tiny):
    """It was trained on whole; one of a million tokens held a run up for minutes."""
    from agents.conversation import Limits

    limits = Limits(max_tokens=60, max_new_tokens=10)
    short = Demonstration("short", ["1?"] * 2, ["2"] * 2)
    assert short.conversation(tiny, limits).stopped in (None, "")
    for long in (["2", "3 " * 100], ["2", "3 " * 10**6]):
        cut = Demonstration("long", ["1?"] * 2, long).conversation(tiny, limits)
        assert cut.stopped == "out_of_tokens"
        assert len(cut.answers) == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("compare search={train.lrr:[0.1,0.2]}", "Did you mean train.lr"),
        ("compare search={train.lr:[0.1,1e9]}", "train.lr=1000000000.0: give a number from 0 to 1"),
        ("compare conditions={odd:{demos.corupt:1}}", "demos.corupt"),
    ],
)
def test_what_a_comparison_would_end_with_is_told_before_it_begins(here, words, told):
    assert told in refused(f"{words} envs=[math] methods=[grpo] baselines=[grpo] out=there")
    assert not (here / "there").exists()


def test_nothing_is_nothing_and_not_what_the_files_say():
    assert configuration("compare", ["more_seeds={}"]).more_seeds == {}


def test_a_full_disk_is_told_as_such_whoever_wrote():
    """It was told as "enforce fail at inline_container", or as a traceback of the safetensors library."""
    import torch
    from safetensors import SafetensorError

    from agents.files import reason_of, weights_written, write_text

    with pytest.raises((OSError, RuntimeError)) as full, open("/dev/full", "wb") as file:
        torch.save({"weights": torch.zeros(1000)}, file)
    assert reason_of(full.value) == "No space left on device"
    with pytest.raises(OSError, match="No space left on device: 'model'"), weights_written("model"):
        raise SafetensorError("Error while serializing: I/O error: ... (os error 28)")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        write_text(Path("nowhere") / "a", "")


@pytest.mark.slow
def test_a_run_on_a_full_disk_ends_with_what_to_do(tmp_path):
    """Files may grow to 5 MB alone, less than a checkpoint is."""
    words = [*TINY, "model.name=tiny", "env=math", "out=here", "eval.every=0"]
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000,) * 2);"
        "from amft_mm.commands import main; sys.exit(main(['train', *sys.argv[1:]]))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "could not be written: File too large" in done.stderr
    assert "resume=true" in done.stderr
    assert not list(tmp_path.glob("here/checkpoints/.*"))
