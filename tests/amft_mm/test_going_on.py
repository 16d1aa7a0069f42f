"""A run is stopped, killed and gone on with, by the public command; nothing is in the way of the next one."""

import os
import resource
import signal
import subprocess
import threading
from contextlib import nullcontext

import pytest
from omegaconf import OmegaConf
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter

from amft_mm.commands import main
from amft_mm.config.begun import defaults
from amft_mm.config.command_line import configuration
from amft_mm.runs import tensors
from amft_mm.runs.checkpoints import Writer
from amft_mm.runs.folder import RunFolder
from amft_mm.training.step import TrainingStep
from tests.amft_mm.test_train import ROOT, TINY, command, rows
from tests.waiting import needs_ctrl_c, wait_until

QUIET = ["env=math", "eval.every=0"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The folder of a run, named as it is on the command line."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "here"


def train(*settings):
    main(["train", *TINY, *QUIET, "out=here", *settings])


def go_on(*settings):
    """With nothing else than is told to do after a stop."""
    main(["train", "resume=true", "out=here", *settings])


def has_rows(folder, number=4):
    metrics = folder / "metrics.jsonl"
    return metrics.exists() and len(metrics.read_text().splitlines()) >= number


def signalled(folder, number):
    """This process gets the signal once the run has made some steps."""

    def wait():
        wait_until(lambda: has_rows(folder))
        os.kill(os.getpid(), number)

    threading.Thread(target=wait, daemon=True).start()


def begun(folder, *settings, **streams):
    """A training process of its own, once it has made some steps."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    words = command(*QUIET, *settings, "out=here")
    streams = {"stdout": subprocess.DEVNULL, **streams}
    started = subprocess.Popen(words, cwd=folder, env=environment, **streams)
    wait_until(lambda: has_rows(folder / "here"), started)
    return started


def checkpoints(folder):
    return sorted(path.name for path in folder.glob("checkpoints/step_*"))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_writes_a_checkpoint_and_says_so(here, capfd, number):
    if signal.getsignal(number) is signal.SIG_IGN:  # which a run leaves as it is
        pytest.skip("this signal is ignored here, as nohup has it")
    signalled(here, number)
    with pytest.raises(SystemExit) as ended:
        train("train.steps=100000", "checkpoint.every=100000")
    assert ended.value.code == 128 + number
    told = capfd.readouterr()
    assert "stopping after this step" in told.err
    assert "amft-mm train resume=true out=here" in told.out
    first, last = checkpoints(here)
    assert first == "step_000002"  # of the end of the warm-up, whatever checkpoint.every is
    assert rows(here)[-1]["step"] == int(last.removeprefix("step_"))


@pytest.mark.slow
def test_a_second_ctrl_c_ends_at_once(tmp_path):
    """Step 5 has 512 episodes: both come before it is over, or with the row of step 4, which is kept then."""
    needs_ctrl_c()
    words = ["train.steps=100000", "train.tasks=64", "train.group=8"]
    started = begun(tmp_path, *words, stderr=subprocess.PIPE)
    try:
        started.send_signal(signal.SIGINT)
        while b"stopping after this step" not in started.stderr.readline():
            assert started.poll() is None
        started.send_signal(signal.SIGINT)
        assert started.wait(timeout=300) == 130
    finally:
        started.kill()
    assert set(checkpoints(tmp_path / "here")) <= {"step_000002", "step_000004"}


@pytest.mark.slow
def test_a_kill_before_the_first_checkpoint_is_begun_anew(here):
    """The steps that were made once more stood twice in the metrics."""
    words = ["train.warmup_steps=6", "train.steps=1", "checkpoint.every=1000"]
    killed = begun(here.parent, *words)
    killed.kill()
    killed.wait()
    assert checkpoints(here) == []
    go_on()
    steps = [row["step"] for row in rows(here) if row["phase"] != "evaluation"]
    assert steps == [*range(1, 8)]


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["model.freeze_vision=true", "model.lora={r: 2}"])
def test_weights_of_another_model_are_refused(here, setting):
    """Defect: what a warm-up or an evaluated run had trained and the model does not was left out without a
    word; the other way round it was a KeyError."""
    train("train.steps=0", "model.freeze_vision=false")
    with pytest.raises(SystemExit, match=r"warm_from=here has trained other weights.*model\.lora"):
        main(["train", *TINY, *QUIET, "out=there", "train.warm_from=here", setting])
    with pytest.raises(SystemExit, match=r"run=here has trained other weights.*model\.lora"):
        main(["evaluate", "run=here", "eval.episodes=1", "limits.max_new_tokens=4", setting])


@pytest.mark.slow
def test_what_changes_the_past_is_refused_by_name_and_steps_may_grow(here):
    train("train.steps=2")
    main(["demos", "env=math", "n=4", "out=elsewhere"])
    before = rows(here)
    with pytest.raises(SystemExit) as refused:
        go_on("train.lr=0.5", "train.steps=1")
    assert "train.lr: " in str(refused.value)
    assert "0.5 now" in str(refused.value)
    assert "train.steps: 2 then, 1 now" in str(refused.value)
    with pytest.raises(SystemExit, match=r"Did you mean train\.steps"):
        go_on("train.stps=4")
    with pytest.raises(SystemExit, match=r"demos\.folder: None then"):  # accepted
        go_on("demos.folder=elsewhere")
    go_on("train.steps=4", "eval.episodes=3", "checkpoint.every=1", "record.rollouts=0")
    after = rows(here)
    assert after[: len(before)] == before
    assert [row["step"] for row in after[len(before) :]] == [5, 6, 6]
    assert "episodes: 3" in (here / "config.yaml").read_text()


@pytest.mark.slow
def test_a_start_that_failed_leaves_nothing_in_the_way(here):
    """Its demonstrations are of other settings than those of the corrected command."""
    with pytest.raises(SystemExit, match="no model there"):
        train("model.name=./nowhere")
    with pytest.raises(SystemExit, match="nope"):
        train("demos.n=5", "train.curriculum.name=nope")
    train("demos.n=4", "train.steps=1")
    assert rows(here)[-1]["step"] == 3


def test_a_start_that_failed_with_resume_true_is_no_run_either(here, monkeypatch):
    """Defect: it left an empty metrics.jsonl, so that the corrected command was refused."""

    def fails(self):
        raise RuntimeError("no server is there")

    with monkeypatch.context() as patched:
        patched.setattr(TrainingStep, "hand_over", fails)
        with pytest.raises(SystemExit, match="no server"):
            train("resume=true")
    train("demos.n=4", "train.steps=0")
    assert rows(here)[-1]["step"] == 2


@pytest.mark.parametrize("resume", [False, True])
def test_steps_of_a_run_whose_settings_are_gone_are_not_written_over(here, resume):
    """Defect: another run began among them, and its rows were added to theirs."""
    config = configuration("train", ["env=math"])
    run = RunFolder(here, config)
    run.log({"step": 1})
    run.close()
    (here / "config.yaml").unlink()
    with pytest.raises(FileExistsError, match=r"whose config\.yaml is not there any more"):
        RunFolder(here, config, resume=resume)
    assert not (here / "config.yaml").exists()


def test_a_full_disk_leaves_the_settings_of_a_run(here):
    """Defect: config.yaml was emptied before it was written anew, and the run could not be gone on with."""
    config = configuration("train", ["env=math"])
    run = RunFolder(here, config)
    run.log({"step": 1})
    run.close()
    before = (here / "config.yaml").read_bytes()
    most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, most[1]))
    try:
        with pytest.raises(RuntimeError, match="File too large"):
            RunFolder(here, config, resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, most)
    assert (here / "config.yaml").read_bytes() == before


def test_a_start_that_failed_leaves_no_reference_behind(here):
    """Defect: the next start, from other weights, was kept near the old ones and took their threshold."""
    config = configuration("train", ["env=math"])
    RunFolder(here, config).close()
    (here / "reference").mkdir()
    (here / "tau.json").write_text("{}")
    RunFolder(here, config).close()
    assert not (here / "reference").exists()
    assert not (here / "tau.json").exists()


def test_the_reference_is_not_made_anew_of_later_weights(here):
    """Defect: where it had been deleted, a run that went on stayed near later weights, without a word."""
    train("method=grpo", "method.kl=0.1", "demos.n=4", "eval.episodes=1", "train.steps=0")
    (here / "reference").rename(here / "of_the_warm_up")
    go_on("train.steps=1")  # from the weights that it is of
    (here / "reference").rename(here / "elsewhere")
    go_on()  # nothing is left to be learnt
    with pytest.raises(SystemExit, match=r"reference is not there any more.*out=FOLDER"):
        go_on("train.steps=2")
    assert not (here / "reference").exists()


KEPT_NEAR = ["method=grpo", "method.kl=0.1", "demos.n=4", "eval.episodes=1"]


def test_a_reference_that_can_not_be_written_costs_no_warm_up(here, monkeypatch):
    """Defect: it was a traceback, of no Exception, and what the warm-up had learnt was lost."""

    def full(*arguments, **settings):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(HuggingFaceStorageWriter, "write_data", full)
        patched.setattr(Writer, "save", lambda *arguments: None)
        with pytest.raises(SystemExit, match=r"here/reference could not be written \(No space"):
            train(*KEPT_NEAR, "train.steps=1")
    assert (here / "model").is_dir()
    assert not list(here.glob(".unfinished*"))


@pytest.mark.parametrize("spoilt", ["cut", "gone"])
def test_a_reference_that_is_spoilt_is_told(here, monkeypatch, spoilt):
    """Defect: a traceback of safetensors; and without one of its files it was in part the present weights."""
    monkeypatch.setattr(tensors, "FILE_BYTES", 2_000_000)
    train(*KEPT_NEAR, "train.steps=1")
    first, *others = sorted((here / "reference").iterdir())
    assert others
    if spoilt == "cut":
        first.write_bytes(first.read_bytes()[:1000])
    else:
        first.unlink()
    with pytest.raises(SystemExit, match=r"here/reference cannot be read \(.*put back"):
        go_on("train.steps=2")


@pytest.mark.parametrize("ahead", [0, 1])
def test_what_is_played_ahead_goes_by_where_checkpoints_are(here, ahead):
    """Defect: another checkpoint.every made other steps stale, and the run another than it was."""
    first, now = (
        configuration("train", ["env=math", f"train.ahead={ahead}", f"checkpoint.every={every}"])
        for every in (4, 8)
    )
    run = RunFolder(here, first)
    run.log({"step": 1})
    run.close()
    told = r"checkpoint\.every: 4 then, 8 now.*train\.ahead plays by .*eval, record and wandb may"
    refused = pytest.raises(FileExistsError, match=told)
    with refused if ahead else nullcontext():
        RunFolder(here, now, resume=True).close()


def test_a_run_of_another_model_goes_on_by_the_words_that_began_it(here, tmp_path):
    """Defect: `env=math` brought the recipe of the preset's own model back, whose questions are others."""
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    words = ["env=math", f"model.name={model}", f"out={here}"]
    run = RunFolder(here, configuration("train", words))
    run.log({"step": 1})
    run.close()
    RunFolder(here, configuration("train", [*words, "resume=true"]), resume=True).close()


@pytest.mark.parametrize(
    "words",
    [
        "env=math method=amft method.exploration.name=reinforce",
        "env=math method=amft method.balance.name=fixed",
        "method=chord_mu method.balance.name=linear",
        "env=virl method=luffy recipe=tiny_virl",
        "env=math machine=one_80gb recipe=smollm2_math model=smollm2",
        "env=math method=amft ~method.exploration.dual",
        "env=math model=smollm2 model.lora=null",
        "env=frozen_lake method=amft; method=amft",  # and where they are said in part
        "env=math model=smollm2; env=math",
    ],
)
def test_a_run_goes_on_by_the_very_words_that_began_it(here, words):
    """Defect: they were refused, by names of settings that nobody had given."""
    first, _, again = words.partition("; ")
    run = RunFolder(here, configuration("train", [*first.split(), f"out={here}"]))
    run.log({"step": 1})
    run.close()
    said = [*(again or first).split(), f"out={here}", "resume=true"]
    RunFolder(here, configuration("train", said), resume=True).close()


def test_what_changes_no_more_than_rounding_may_change(here):
    """Defect: a run that had ended out of memory was to be begun anew, by the guide's own advice."""
    first, now = (
        configuration("train", ["env=math", f"train.micro_batch_tokens={most}", *more])
        for most, more in ((3000, []), (500, ["model.gradient_checkpointing=true"]))
    )
    run = RunFolder(here, first)
    run.log({"step": 1})
    run.close()
    RunFolder(here, now, resume=True).close()


def test_a_section_that_is_set_is_not_told_as_newer(here):
    """Defect: of each run with one where the files have null it was said that it had begun before there was
    such a setting."""
    config = configuration("train", ["env=math", "method=dapo", f"out={here}"])
    run = RunFolder(here, config)
    run.log({"step": 1})
    run.close()
    again = RunFolder(here, config, resume=True, newer=defaults())
    again.close()
    assert again.newer == {}


def test_a_run_of_before_a_setting_goes_on_with_its_default(here):
    """Defect: each new setting refused the runs that had begun before it."""
    before = configuration("train", ["env=frozen_lake"])
    del before.train["minibatches"], before.play["failing"]
    run = RunFolder(here, before)
    run.log({"step": 1})
    run.close()
    now = configuration("train", ["resume=true", f"out={here}"])
    again = RunFolder(here, now, resume=True, newer=defaults())
    again.close()
    assert again.newer == {"train.minibatches": 1, "play.failing": now.play.failing}
    OmegaConf.save(before, here / "config.yaml")
    other = configuration("train", ["resume=true", f"out={here}", "train.minibatches=2"])
    with pytest.raises(FileExistsError, match=r"train\.minibatches: 1 then, 2 now"):
        RunFolder(here, other, resume=True, newer=defaults())
    of_a_world = configuration("train", ["resume=true", f"out={here}", "+env.level=2"])
    with pytest.raises(FileExistsError, match=r"env\.level: None then, 2 now"):
        RunFolder(here, of_a_world, resume=True, newer=defaults())


@pytest.mark.slow
def test_two_processes_do_not_train_into_one_folder(here):
    first = begun(here.parent, "train.steps=100000")
    try:
        with pytest.raises(SystemExit, match="another process trains there now"):
            go_on()
    finally:
        first.kill()
        first.wait()


@pytest.mark.slow
def test_checkpoints_are_written_by_time_too(here):
    words = ["checkpoint.every=1000", "checkpoint.minutes=0.000001", "checkpoint.keep=100"]
    train(*words, "train.steps=60")
    assert len(checkpoints(here)) > 2


@pytest.mark.slow
def test_success_while_it_warms_up_leaves_no_trace_in_the_run(here, tmp_path):
    """Nothing was told of success before the warm-up was over. Without, the run is bit-equal."""
    words = ["env=virl", "train.warmup_steps=4", "train.steps=1"]
    train(*words, "eval.quick={minutes:0.00001,episodes:2,share:0.5}")
    with_them = rows(here)
    quick = [row for row in with_them if row["phase"] == "quick"]
    assert [0 <= row["quick/id/low"] <= row["quick/id/success"] for row in quick] == [True] * len(
        quick
    )
    assert quick
    assert quick[-1]["step"] < 4
    here.rename(tmp_path / "other")
    train(*words, "eval.quick.minutes=null")
    assert rows(here) == [row for row in with_them if row["phase"] != "quick"]
    weights = [p / "model" / "model.safetensors" for p in (here, tmp_path / "other")]
    assert weights[0].read_bytes() == weights[1].read_bytes()
