"""Worlds that fail cost their episode, are seen, and do not take what was learnt with them."""

import json

import pytest

from agents.conversation import Conversation, Limits
from agents.trajectory import ERROR, Trajectory
from amft_mm.commands import main
from amft_mm.data.rollouts import PlaySettings, RolloutWorker
from amft_mm.data.sources import together
from amft_mm.runs import checkpoints
from amft_mm.runs.failures import Failures, WorldsFail, told
from amft_mm.runs.processes import ProcessGroup
from tests.amft_mm.test_train import TINY, rows

WORLD = """
from enum import StrEnum

import gymnasium
from envs import EndedBy, Outcome, Scene, World


class Verdict(StrEnum):
    RIGHT = "right"


class Shaky(World):
    verdicts = Verdict

    def __init__(self, raises=0.0, shy=0.0, split="train", render_mode=None):
        super().__init__(render_mode=render_mode)
        self.raises = 1.0 if split == "broken" else raises
        self.shy = shy

    def begin(self, rng, options):
        self.draw = rng.random()
        return Scene("Say a.")

    def respond(self, text):
        if self.draw < self.raises:
            raise KeyError("a bug of the world")
        return Outcome(Verdict.RIGHT, 1.0, Scene(""), ended_by=EndedBy.SUCCESS)

    def expert(self):
        if self.draw < self.shy:
            raise KeyError("a bug of the expert")
        return "a"


gymnasium.register("my/Shaky-v0", entry_point=Shaky)
"""
OWN = [
    "env=own",
    "env.name=shaky",
    "env.id=shaky:my/Shaky-v0",
    "play.replacements=0",
    "eval.every=0",
]
ALONE = ["method=grpo", "train.warmup_steps=0", "demos.n=0"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "shaky.py").write_text(WORLD)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path / "here"


@pytest.mark.slow
def test_a_world_that_raises_at_times_is_told_of(here, capsys):
    words = ["+env.raises=0.5", "play.failing=1", "train.tasks=8"]
    main(["train", *TINY, *OWN, *ALONE, *words, "out=here"])
    out = capsys.readouterr().out
    assert "tries failed" in out
    kept = [json.loads(line) for line in (here / "failures.jsonl").read_text().splitlines()]
    assert len(kept) == 1  # the first of its kind
    assert "a bug of the world" in kept[0]["message"]
    assert "respond" in kept[0]["traceback"]
    row = rows(here)[0]
    assert row["rollout/tries"] == 16
    assert row["rollout/failure/exception"] == row["rollout/failed"] > 0
    main(["watch", "here", "--once"])
    assert "tries failed" in capsys.readouterr().out


@pytest.mark.slow
def test_worlds_that_fail_too_often_end_the_run_with_its_reason_and_what_it_learnt(here):
    failing = ["+env.raises=1.0", "play.failing_steps=1"]
    with pytest.raises(
        SystemExit, match=r"4 of 4 tries failed \(4 exception\).*a bug of the world"
    ):
        main(["train", *TINY, *OWN, *ALONE, *failing, "out=here"])
    main(["demos", *OWN[:3], "n=4", "out=there"])
    with pytest.raises(SystemExit, match="tries failed"):  # after a warm-up
        main(["train", *TINY, *OWN, *failing, "demos.folder=there", "out=warm"])
    assert (here.parent / "warm" / "model").is_dir()
    assert (here.parent / "warm" / "checkpoints" / "step_000002").is_dir()


def test_worlds_that_fail_right_after_a_run_has_gone_on_leave_its_checkpoint(here, monkeypatch):
    """Defect: the same checkpoint was written anew over itself, and lost where the disk was full."""
    words = [*TINY, *OWN, *ALONE, "play.failing_steps=1", "out=here"]
    main(["train", *words, "train.steps=2"])

    def failing(self, plan):
        error = {"kind": "hang", "where": "step", "message": "took long", "traceback": ""}
        conversation = Conversation(self._policy, Limits())
        members = range(plan.tasks * plan.group)
        return [
            Trajectory(conversation, "w", k // plan.group, k, 0, stop=ERROR, error=error)
            for k in members
        ]

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RolloutWorker, "_play", failing)
    monkeypatch.setattr(checkpoints.tensors, "save", full)
    with pytest.raises(SystemExit, match="4 of 4 tries failed"):
        main(["train", *words, "train.steps=4", "resume=true"])
    assert checkpoints.names(here / "checkpoints") == "step_000002"


@pytest.mark.slow
def test_an_evaluation_whose_episodes_all_crashed_is_no_zero(here, capsys):
    main(["train", *TINY, *OWN, *ALONE, "env.splits=[train,broken]", "out=here"])
    assert "every episode crashed" in capsys.readouterr().out
    summary = json.loads((here / "summary.json").read_text())
    assert summary["eval/broken/success"] is None
    assert "a bug of the world" in summary["eval/broken/crash"]
    with pytest.raises(SystemExit, match="every episode crashed"):
        main(["evaluate", "run=here", "out=there", "env.splits=[broken]", "eval.episodes=2"])
    assert not (here.parent / "there" / "summary.json").exists()


def test_an_expert_that_raises_costs_a_demonstration(here, capsys):
    main(["demos", *OWN[:3], "+env.shy=0.3", "n=20", "out=there"])
    counts = json.loads(capsys.readouterr().out)
    assert counts["kept"] == 20
    [(reason, number)] = counts["left_out"].items()
    assert "a bug of the expert" in reason
    assert number > 0


def test_failures_are_counted_in_a_row(tmp_path):
    failures = Failures(tmp_path, share=0.5, steps=2)
    errors = [{"kind": "hang", "where": "step", "message": "took long", "traceback": ""}]
    bad, good = ({"rollout/tries": 4, "rollout/failure/hang": n} for n in (3, 1))
    for row in (bad, good, bad):
        failures.tell(1, row, errors)
    assert told(bad) == "3 of 4 tries failed (3 hang)"
    with pytest.raises(WorldsFail, match="for 2 steps in a row"):
        failures.tell(4, bad, errors)
    assert len((tmp_path / "failures.jsonl").read_text().splitlines()) == 1


def test_a_run_that_goes_on_adds_no_failure_that_it_has_told(tmp_path):
    """Defect: each start told the first of each kind once more."""
    row = {"rollout/tries": 4, "rollout/failure/hang": 1}
    known, new = ({"kind": "hang", "message": words} for words in ("took long", "took longer"))
    Failures(tmp_path, share=0.5, steps=2).tell(1, row, [known])
    with (tmp_path / "failures.jsonl").open("a") as lines:
        lines.write('{"step": 2, "ki\n')  # of a kill
    Failures(tmp_path, share=0.5, steps=2).tell(7, row, [known, new])
    told = (tmp_path / "failures.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in (told[0], *told[2:])] == [1, 7]


def test_an_environment_of_a_mix_that_failed_alone_is_no_zero():
    """Defect: it counted with all its episodes, as if none of them had succeeded."""
    played = {
        "episodes": 4,
        "failed": 0,
        "tries": 4,
        "generated": 9,
        "success": 0.5,
        "stop/end": 1.0,
    }
    failed = {"episodes": 4, "failed": 4, "tries": 4, "generated": 0, "stop/error": 1.0}
    found = together([played, failed])
    assert found["success"] == 0.5
    assert (found["stop/end"], found["stop/error"], found["failed"]) == (0.5, 0.5, 4)
    assert "success" not in together([failed, failed])


def test_verdicts_of_several_environments_are_shares_of_their_turns():
    """Defect: they counted by episodes, and an environment without verdicts as if it had had others."""
    counts = {"episodes": 8, "failed": 0, "tries": 8, "generated": 9}
    routes = counts | {"turns": 10.0, "verdict/right": 1.0}
    hands = counts | {"turns": 1.0, "verdict/wrong": 1.0}
    silent = counts | {"turns": 5.0}
    found = together([routes, hands, silent])
    assert found["verdict/right"] == pytest.approx(80 / 88)
    assert found["verdict/wrong"] == pytest.approx(8 / 88)
    assert found["turns"] == pytest.approx(16 / 3)


def test_failures_of_episodes_that_an_expert_began_are_counted(tiny, monkeypatch):
    """Defect: where all are helped, a world that always fails never ended the run."""
    conversation = Conversation(tiny, Limits())
    error = {"kind": "hang", "where": "step", "message": "took long", "traceback": ""}
    broken = Trajectory(
        conversation, "w", 0, 0, 0, stop=ERROR, aided=True, error=error, earlier=[error], tries=2
    )
    broken.written_earlier = 9
    monkeypatch.setattr(RolloutWorker, "_play", lambda self, plan: [broken])
    worker = RolloutWorker(None, tiny, None, PlaySettings(), ProcessGroup())
    metrics = worker.play(0, 1, tasks=1, group=1).metrics
    assert (metrics["episodes"], metrics["tries"], metrics["failure/hang"]) == (0, 2, 2)
    assert metrics["generated"] == 9
