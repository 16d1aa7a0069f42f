"""What a step draws: groups that differ, drawn again until they do."""

from dataclasses import replace

import numpy as np
import pytest

from agents.demonstrations import Demonstration
from agents.engines.hf import HFEngine
from agents.trajectory import Trajectory, Turn
from amft_mm.config.composition import composition
from amft_mm.data.rollouts import Played
from amft_mm.data.sources import Sources, differ
from amft_mm.runs.processes import ProcessGroup
from amft_mm.train import train
from amft_mm.training.companions import HeldoutCounted
from tests.amft_mm.processes import mixed


def config_of(*settings):
    return composition("train", ["env=math", "method=grpo", "model.name=tiny-random", *settings])


class Said:
    """Ten tokens of an agent."""

    def chosen(self):
        return np.ones(10, bool)

    def given(self):
        return np.zeros(10, bool)


def episode(task, member, reward, seed=0):
    return Trajectory(Said(), "", task, member, seed, [Turn(reward, None, "")], success=reward > 0)


class Scripted:
    """A worker whose task instance of a seed differs where `differing` says so."""

    def __init__(self, differing):
        self.differing, self.asked = differing, []

    def settle(self):
        pass

    def play(self, seed, step, tasks, group, guided=None):
        self.asked.append((seed, step, tasks))
        mine = []
        for task in range(tasks):
            differs = self.differing(seed, step, task)
            mine += [episode(task, k, float(differs and k == 0), seed) for k in range(group)]
        figures = {
            "episodes": len(mine),
            "failed": 0,
            "tries": len(mine),
            "generated": 10.0 * len(mine),
        }
        return Played(mine, {**figures, "success": 0.25}, {})


def sources(tiny, differing, *settings):
    config = config_of("train.tasks=4", "train.group=2", "demos.n=0", *settings)
    made = Sources(config, tiny, HFEngine(tiny), ProcessGroup())
    made._workers = [Scripted(differing)]
    return made


def test_a_group_differs_by_its_returns():
    assert differ([episode(0, 0, 1.0), episode(0, 1, 0.0)])
    assert not differ([episode(0, 0, 1.0), episode(0, 1, 1.0)])
    assert not differ([episode(0, 0, 1.0)])
    failed = episode(0, 1, 0.0)
    failed.stop = "error"
    assert not differ([episode(0, 0, 1.0), failed])


def test_groups_that_do_not_differ_are_drawn_again(tiny):
    """The first draw has one that differs, every later one has them all but its first."""
    drawn = sources(
        tiny, lambda seed, step, task: task > 0 if seed else task == 2, "method.resample=9"
    )
    groups, row = drawn.rollouts(1)
    assert [tasks for _, _, tasks in drawn._workers[0].asked] == [4, 3, 1, 1, 1, 1, 1, 1, 1, 1]
    assert len({seed for seed, _, _ in drawn._workers[0].asked}) == 10
    assert len(groups) == 3
    assert all(differ(members) for _, members in groups)
    assert len({members[0].task for _, members in groups}) == 3
    assert {drawn.env_of(members[0]) for _, members in groups} == {"math"}
    assert row["rollout/drawn_again"] == 3 + 8
    assert row["tokens/drawn_again"] == 20.0 * (3 + 8)
    assert row["tokens/generated"] == 20.0 * (4 + 3 + 8)
    assert row["rollout/zero_std"] == 1 - 3 / (4 + 3 + 8)
    assert row["rollout/success"] == 0.25  # of what was drawn first: no group was chosen there


def test_failures_of_what_is_drawn_again_are_told_too(tiny):
    """Defect: they were in no figure and not in failures.jsonl, and never ended a run."""
    drawn = sources(tiny, lambda seed, step, task: seed > 0, "method.resample=1")
    worker, error = drawn._workers[0], {"kind": "hang", "message": "took long"}
    play = worker.play

    def shaky(seed, *given, **more):
        played = play(seed, *given, **more)
        if not seed:  # of the first draw
            return played
        return replace(played, metrics=played.metrics | {"failure/hang": 3}, errors=[error] * 3)

    worker.play = shaky
    row = drawn.rollouts(1)[1]
    assert row["rollout/tries"] == 2 * (4 + 4)
    assert row["rollout/failure/hang"] == 3
    assert drawn.errors == [error] * 3
    assert row["rollout/episodes"] == 2 * 4


def test_the_share_of_tokens_in_groups_that_taught_nothing_is_told(tiny):
    """Of all processes': here another one's groups, as many, all differ."""
    drawn = sources(tiny, lambda seed, step, task: task == 2)
    assert drawn.rollouts(1)[1]["rollout/zero_std"] == 1 - 1 / 4

    class WithAnother(ProcessGroup):
        def sum(self, *figures):
            return [figure + 20.0 * 2 for figure in figures]

    drawn._processes = WithAnother()
    assert drawn.rollouts(1)[1]["rollout/zero_std"] == 1 - 3 / 4


def test_groups_that_the_curriculum_leaves_out_are_not_held_to_be_alike(tiny):
    """Defect: with curriculum=variance they counted among those whose members all have the same return."""
    few = ["train.curriculum.name=variance", "+train.curriculum.share=0.3"]
    drawn = sources(tiny, lambda seed, step, task: task > 0, *few)
    groups, row = drawn.rollouts(1)
    assert len(groups) == 1
    assert row["rollout/zero_std"] == 1 / 4


def test_what_is_played_to_look_at_a_mix_is_counted(tiny):
    """Defect: mu_oracle and utility=heldout told the tokens of the step's own rollouts alone."""
    drawn = sources(tiny, lambda *_: True)
    drawn.heldout_rollouts(1, 3)
    drawn.heldout_rollouts(1, 2)
    counted = HeldoutCounted(drawn)
    assert counted.finished([], {"tokens/generated": 80.0}) == {"tokens/generated": 180.0}
    assert counted.finished([], {"tokens/generated": 80.0}) == {}


def test_drawing_again_ends_where_all_differ_and_is_the_same_each_time(tiny):
    def differs(seed, step, task):
        return np.random.default_rng([seed, step, task]).random() < 0.5

    found = []
    for _ in range(2):
        drawn = sources(tiny, differs, "method.resample=50")
        groups, _ = drawn.rollouts(3)
        assert len(groups) == 4
        found.append(([m[0].seed for _, m in groups], drawn._workers[0].asked))
    assert found[0] == found[1]


def test_where_nothing_differs_the_first_draw_is_kept(tiny):
    """A step of zeros is a step."""
    drawn = sources(tiny, lambda *_: False, "method.resample=2")
    groups, row = drawn.rollouts(1)
    assert [members[0].seed for _, members in groups] == [0] * 4
    assert row["rollout/drawn_again"] == 8


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["method=hpt", "method.resample=2"], "method.resample=2 goes neither with guidance"),
        (["method.resample=-1"], "method.resample"),
        (["method.cut=bootstrap"], "asks a critic"),
        (["method.cut=maks"], "give learn, mask or bootstrap"),
        (["method=sft", "method.cut=mask"], "never explores"),
        (["+method.credit.gamma=0.9"], "credit=turn or gigpo"),
        (["+method.credit.base=std"], "method.credit.base"),
        (["method.overlong={band:2}"], "overlong"),
        (["method.overlong={bnd:0.2}"], "bnd"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path, settings, words):
    with pytest.raises(ValueError, match=words):
        train(config_of(f"out={tmp_path}/run", "demos.n=2", "threads=1", *settings))


@pytest.mark.parametrize(
    "settings",
    [
        ["method=dapo", "method.resample=2", "method.cut=mask"],
        ["method=ppo", "method.cut=bootstrap"],
        ["method=ppo", "method.cut=mask"],
        [
            "method=gigpo",
            "env=general_points",
            "env.attempts=2",
            "env.modality=text",
            "env.splits=[id]",
        ],
        ["method=reinforce", "train.group=1", "method.cut=mask"],
    ],
)
def test_options_train_where_every_answer_is_cut(tmp_path, settings):
    """A model that knows nothing never ends: groups of one, and batches of which nothing is left."""
    short = [
        f"out={tmp_path}/run",
        "threads=1",
        "train={warmup_steps:0,steps:2,tasks:2}",
        "demos.n=0",
        "eval={every:0,episodes:1}",
        "limits.max_new_tokens=3",
    ]
    train(
        config_of(
            *short, *(settings if "train.group=1" in settings else [*settings, "train.group=2"])
        )
    )
    rows = mixed(tmp_path / "run")
    assert len(rows) == 2
    assert all(np.isfinite(row["grad/norm"]) for row in rows)
    assert all(np.isfinite(row["loss/exploration"] or 0.0) for row in rows)  # None: of nothing


def test_answers_that_the_agent_could_never_write_are_counted(tiny):
    """Defect: with a tokenizer that needs more tokens than the recipe's limit, what was imitated was cut
    whenever it was played, and nothing said so."""
    drawn = sources(tiny, lambda *_: True, "limits.max_new_tokens=6")
    rows = [
        Demonstration("", ["1 + 1 = ?"], ["2"]),
        Demonstration("", ["1 + 1 = ?"], ["one and one are two, " * 4]),
    ]
    drawn._demonstrations = [rows]
    assert len(drawn.examples_at([(0, 0), (0, 1)])) == 2
    assert drawn.cut() == (1, 0)
    assert drawn.cut() == (0, 0)


def test_what_is_only_looked_at_is_not_counted_as_cut(tiny):
    """Defect: held-out rows and experts' episodes of a look were told among what the step imitated, and a
    step could end the run by them."""
    drawn = sources(tiny, lambda *_: True, "limits.max_new_tokens=6", "limits.max_tokens=7")
    drawn._workers[0].demonstrate = lambda seed: Demonstration("", ["1 + 1 = ?"], ["2"])
    assert drawn.heldout_demonstrations(1, 2) == []
    assert drawn.expert_of(drawn.rollouts(1)[0][0][1][0]) is None
    assert drawn.cut() == (0, 0)
