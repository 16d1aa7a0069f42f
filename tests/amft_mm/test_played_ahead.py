"""train.ahead: the next step's episodes are played while this one is learnt from."""

import shutil
import threading
import time

import pytest

from amft_mm.config.composition import composition
from amft_mm.data.rollouts import RolloutWorker
from amft_mm.learning.mixed_step import MixedStep
from amft_mm.methods.combinations import refuse_contradictions
from amft_mm.runs.folder import RunFolder
from amft_mm.train import train
from tests.agents.token_server import TokenServer
from tests.amft_mm import processes

SHORT = [
    "env=math",
    "method=grpo",
    "model.name=tiny-random",
    "threads=1",
    "demos.n=0",
    "train={warmup_steps:0,steps:4,tasks:3,group:2,reward_noise:0.5,lr:0.01,ramp:0}",
    "eval={every:0,episodes:1}",
    "record.rollouts=0",
    "limits.max_new_tokens=6",
]


def config_of(*settings):
    return composition("train", [*SHORT, *settings])


@pytest.fixture
def played(monkeypatch):
    """What was played, (step, thread) -> token ids."""
    found, original = {}, RolloutWorker._play

    def play(self, plan):
        trajectories = original(self, plan)
        if plan.tasks == 3:  # no evaluation's
            thread = threading.current_thread().name.partition("_")[0]
            found[plan.step, thread] = [t.conversation.ids for t in trajectories]
        return trajectories

    monkeypatch.setattr(RolloutWorker, "_play", play)
    return found


def rows_of(folder):
    return [row for row in processes.rows(folder) if row["phase"] == "mix"]


def test_a_step_is_played_by_the_weights_that_the_one_before_began_with(tmp_path, played):
    train(config_of("train.ahead=1", f"out={tmp_path}/ahead"))
    ahead, rows = dict(played), rows_of(tmp_path / "ahead")
    assert [row["rollout/staleness"] for row in rows] == [0, 1, 1, 1]
    assert sorted(ahead) == [(1, "MainThread"), (2, "ahead"), (3, "ahead"), (4, "ahead")]
    # Ratios are to the weights that played, so that a step's age can be seen and is corrected for.
    assert rows[0]["rollout/ratio_error"] < 1e-4 < rows[1]["rollout/ratio_error"]

    played.clear()
    train(config_of("train.lr=0", f"out={tmp_path}/still"))
    assert ahead[2, "ahead"] == played[2, "MainThread"]  # as the first weights would have it
    assert ahead[4, "ahead"] != played[4, "MainThread"]


def test_the_same_run_is_the_same_to_the_last_bit(tmp_path, played):
    """Also with evaluations between steps, which want the engine and the present weights."""
    for name in ("one", "two"):
        train(config_of("train.ahead=1", "eval.every=2", f"out={tmp_path}/{name}"))
    one, two = rows_of(tmp_path / "one"), rows_of(tmp_path / "two")
    assert one == two
    assert [row["rollout/staleness"] for row in one] == [0, 1, 1, 1]


@pytest.mark.slow
def test_worlds_in_processes_are_played_ahead_as_those_in_threads_are(tmp_path):
    for kind in ("threads", "processes"):
        train(
            config_of(
                "train.ahead=1", f"play.kind={kind}", "play.workers=2", f"out={tmp_path}/{kind}"
            )
        )
    assert rows_of(tmp_path / "processes") == rows_of(tmp_path / "threads")


def test_servers_answer_ahead_by_the_weights_of_the_step_before(tmp_path, played):
    """They take new weights between two steps' episodes, and every answer is by one version."""
    servers = [TokenServer("tiny-random").begin() for _ in range(2)]
    urls = ",".join(server.url for server in servers)
    by = ("engine=vllm", f"engine.servers=[{urls}]", f"engine.weights_folder={tmp_path}/weights")
    try:
        train(config_of("train.ahead=1", *by, f"out={tmp_path}/served"))
    finally:
        for server in servers:
            server.http.shutdown()
    assert sorted(played) == [(1, "MainThread"), (2, "ahead"), (3, "ahead"), (4, "ahead")]
    assert not any(row["rollout/failed"] for row in rows_of(tmp_path / "served"))
    assert [row["rollout/staleness"] for row in rows_of(tmp_path / "served")] == [0, 1, 1, 1]
    assert all(server.asked for server in servers)
    assert {len(server.loaded) for server in servers} == {5}, "one for each step, and the last"


def test_playing_and_learning_go_on_at_the_same_time(tmp_path, monkeypatch):
    begun, play, step = threading.Event(), RolloutWorker._play, MixedStep.step

    def noted(self, plan):
        if plan.step == 2:
            begun.set()
        return play(self, plan)

    def waits(self, **settings):
        assert begun.wait(120), "the second step is not played before the first is learnt"
        return step(self, **settings)

    monkeypatch.setattr(RolloutWorker, "_play", noted)
    monkeypatch.setattr(MixedStep, "step", waits)
    train(config_of("train.ahead=1", "train.steps=2", f"out={tmp_path}/run"))


def test_a_run_that_breaks_off_leaves_no_thread_behind(tmp_path, monkeypatch):
    """Defect: in a notebook the next step was played on, and worlds and their processes stayed, for good."""

    def breaks_off(self, row):
        raise KeyError("a bug")

    monkeypatch.setattr(RunFolder, "log", breaks_off)
    before = threading.enumerate()
    with pytest.raises(KeyError):
        train(config_of("train.ahead=1", "train.tasks=2", f"out={tmp_path}/run"))
    ours = ("ahead", "checkpoints")
    left = [t.name for t in threading.enumerate() if t not in before and t.name.startswith(ours)]
    assert left == []


LEARNT = ["method=amft", "demos.n=8", "train.demos=2", "+method.balance.doubt=0.1"]


@pytest.mark.slow
def test_mu_is_learnt_from_what_older_weights_played(tmp_path):
    """Two runs are equal to the last bit, and one that goes on from a checkpoint as if it had not stopped."""
    words = [*LEARNT, "train.ahead=1", "train.steps=6", "train.group=4", "checkpoint.every=3"]
    for name in ("one", "two"):
        train(config_of(*words, f"out={tmp_path}/{name}"))
    one, two = rows_of(tmp_path / "one"), rows_of(tmp_path / "two")
    assert one == two
    assert [row["rollout/staleness"] for row in one] == [0, 1, 1, 0, 1, 1]
    looked = [row for row in one if "meta/look" in row and row["rollout/staleness"]]
    assert any(row["meta/moved"] for row in looked)
    assert len({row["mu"] for row in one}) > 2

    shutil.rmtree(tmp_path / "two" / "checkpoints" / "step_000006")
    train(config_of(*words, f"out={tmp_path}/two", "resume=true"))
    assert rows_of(tmp_path / "two") == one


@pytest.mark.slow
@pytest.mark.parametrize("words", ["method.utility.name=log_success", "method=amft_paper"])
def test_other_looks_and_balances_play_ahead(tmp_path, words):
    train(config_of("method=amft", *LEARNT[1:3], words, "train.ahead=1", f"out={tmp_path}/run"))
    found = rows_of(tmp_path / "run")
    assert [row["rollout/staleness"] for row in found] == [0, 1, 1, 1]
    assert any("meta/hypergradient" in row for row in found)


@pytest.mark.slow
def test_a_look_that_plays_itself_waits_for_the_engine(tmp_path, played):
    """Defect: two threads asked one engine and stepped the same worlds."""
    words = [
        "method.utility.name=heldout",
        "+method.utility.every=1",
        "+method.utility.tasks=3",
    ]
    train(config_of(*LEARNT[:3], *words, "train.ahead=1", f"out={tmp_path}/run"))
    assert sorted(step for step, thread in played if thread == "ahead") == [2, 3, 4]
    assert sorted(step for step, thread in played if thread == "MainThread") == [1, 2, 3, 4]


def test_groups_that_are_drawn_again_wait_for_the_engine(tmp_path, monkeypatch):
    """Defect: those of a mix's first environment were played while a thread played ahead its last, and two
    threads asked one engine."""
    playing, together, original = set(), [], RolloutWorker._play

    def play(self, plan):
        own = (self.world.id, plan.step, threading.current_thread().name)
        together.extend((own, other) for other in playing)
        playing.add(own)
        time.sleep(0.1 if own[-1].startswith("ahead") else 0.0)
        found = original(self, plan)
        playing.discard(own)
        return found

    monkeypatch.setattr(RolloutWorker, "_play", play)
    words = ["env.shares={math:1,virl:1}", "limits.max_turns=2", "train.steps=2", "train.tasks=2"]
    more = ["train.ahead=1", "train.reward_noise=0", "method.resample=1", f"out={tmp_path}/run"]
    train(config_of("env=mix", *words, *more))
    assert sum(row["rollout/drawn_again"] for row in rows_of(tmp_path / "run")) > 0
    assert together == []


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("method=mu_oracle demos.n=8", "plays after each mix that it tries"),
        ("method=bridge demos.n=8", "method.rival is compared with the model"),
        ("method=hpt demos.n=8", "guidance.name=hpt plays the task instances"),
        ("train.pool=5 train.curriculum.name=difficulty", "picks what a step plays by"),
        ("checkpoint.every=1", "the one after a checkpoint is played in turn"),
    ],
)
def test_what_can_not_be_played_meanwhile_is_refused(words, reason):
    config = config_of(*words.split(), "train.ahead=1")
    with pytest.raises(ValueError, match=rf"train\.ahead=1 plays a step while.*{reason}"):
        refuse_contradictions(config)
    config.train.ahead = 0
    refuse_contradictions(config)


@pytest.mark.parametrize(
    "words",
    [
        "method=amft demos.n=8",
        "method.resample=2 train.reward_noise=0",
        "train.pool=5 train.curriculum.name=variance",
    ],
)
def test_what_draws_without_regard_to_the_step_before_goes_together(words):
    refuse_contradictions(config_of(*words.split(), "train.ahead=1"))
