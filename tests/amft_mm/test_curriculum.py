"""Curricula: by hand, the same each time, and going on where a run was left."""

import json

import numpy as np
import pytest

from agents.seeds import mixed_seed
from agents.trajectory import Trajectory, Turn
from amft_mm.config.composition import composition
from amft_mm.config.settings import dealt
from amft_mm.data.curriculum import curriculum
from amft_mm.data.rollouts import RolloutWorker
from amft_mm.runs.metrics import read_rows
from amft_mm.runs.processes import ProcessGroup
from amft_mm.train import train


def made(name, pool=None, shares=(1.0,), **settings):
    return curriculum(name, list(shares), pool, 0, settings)


def test_uniform_plays_what_comes_or_all_of_its_pool_in_turn():
    fresh = made("uniform", shares=(0.3, 0.7))
    assert fresh.pick(0, 5, 4) is None
    assert fresh.deal(5, 10) == dealt(10, [0.3, 0.7], 5)
    pooled = made("uniform", pool=6)
    rounds = [i for step in range(6) for i in pooled.pick(0, step, 4)]
    assert all(sorted(rounds[k : k + 6]) == list(range(6)) for k in range(0, 24, 6))
    assert rounds[:6] != rounds[6:12]
    assert pooled.pick(0, 5, 4) == rounds[20:]  # asked again for a step that was played ahead


@pytest.mark.parametrize("name", ["uniform", "variance", "sec"])
def test_a_pool_is_played_once_each_before_any_again(name):
    """Defect: the place in it was step * count. After a warm-up a stage began in the middle of a round; in a
    mix, where count changes from step to step, some instances came twice and others never."""
    counts = [2, 3, 0, 4, 1, 2, 5, 1]
    pooled = made(name, pool=6, shares=(0.5, 0.5))
    played = []
    for step, count in enumerate(counts, start=101):
        if count:
            played += pooled.pick(1, step, count)
            assert (
                pooled.pick(0, step, 2) is not None
            )  # of another environment, with a place of its own
        state = json.loads(json.dumps(pooled.state_dict()))
        pooled = made(name, pool=6, shares=(0.5, 0.5))
        pooled.load_state_dict(state)
    assert all(sorted(played[k : k + 6]) == list(range(6)) for k in range(0, len(played), 6))


def test_difficulty_plays_what_failed_last():
    """1 - s by hand: .5, the floor .1, and 1 for what was not played yet."""
    found = made("difficulty", pool=3, floor=0.1)
    found.fared(0, {0: 0.5, 1: 1.0})
    assert found.weights(0) == pytest.approx(np.array([0.5, 0.1, 1.0]) / 1.6)
    picked = [found.pick(0, step, 1)[0] for step in range(600)]
    assert np.bincount(picked) / 600 == pytest.approx(found.weights(0), abs=0.06)
    assert all(len(set(found.pick(0, step, 3))) == 3 for step in range(20))
    assert len(found.pick(0, 0, 5)) == 5  # more than there are
    more = found.pick(0, 0, 4)
    assert set(more) == {0, 1, 2}  # each, and then one again
    found.fared(0, {1: 0.0})
    assert found.weights(0)[1] > found.weights(0)[0]
    again = made("difficulty", pool=3, floor=0.1)
    again.load_state_dict(json.loads(json.dumps(found.state_dict())))
    assert [again.pick(0, s, 2) for s in range(9)] == [found.pick(0, s, 2) for s in range(9)]


def test_what_is_drawn_again_is_not_what_the_step_has_played():
    """Defect: with method.resample the same task instances came again, first of all those that all failed."""
    found = made("difficulty", pool=8)
    for step in range(20):
        rounds = [found.pick(0, step, 3, again) for again in range(3)]
        assert len({*rounds[0], *rounds[1]}) == 6
        assert {*rounds[0], *rounds[1], *rounds[2]} == set(range(8))


def group(task, *returns):
    members = [
        Trajectory(None, "", task, k, 0, [Turn(value, None, "")]) for k, value in enumerate(returns)
    ]
    return ((0, -1), members)


def test_variance_keeps_the_groups_that_hold_most_of_it():
    """Variances 4, 1, 0, 1/4: four fifths of 5.25 are in the first two."""
    groups = [group(0, 0, 1), group(1, 0, 4), group(2, 3, 3), group(3, 0, 2)]
    kept = made("variance", share=0.8).keep(groups, ProcessGroup())
    assert [members[0].task for _, members in kept] == [1, 3]
    whole = made("variance", share=1.0).keep(groups, ProcessGroup())
    assert [members[0].task for _, members in whole] == [0, 1, 3]
    same = [group(0, 1, 1), group(1, 0, 0)]
    assert made("variance").keep(same, ProcessGroup()) == same


def test_sec_turns_to_where_there_is_something_to_learn():
    """Q = 1/2 (1, 0), then 1/2 (0.2) + 1/2 (0.5); P as the shares times exp(Q / tau)."""
    sec = made("sec", shares=(0.5, 0.5), alpha=0.5, tau=0.25)
    assert sec.chances() == pytest.approx([0.5, 0.5])
    sec.credited({0: 1.0, 1: 0.0})
    assert sec.chances()[0] == pytest.approx(np.exp(2) / (np.exp(2) + 1))
    sec.credited({0: 0.2})
    assert sec.chances()[0] == pytest.approx(np.exp(1.4) / (np.exp(1.4) + 1))
    dealt_ = np.sum([sec.deal(step, 10) for step in range(200)], axis=0)
    assert dealt_.sum() == 2000
    assert dealt_[0] / 2000 == pytest.approx(sec.chances()[0], abs=0.03)
    again = made("sec", shares=(0.5, 0.5), alpha=0.5, tau=0.25)
    again.load_state_dict(json.loads(json.dumps(sec.state_dict())))
    assert [again.deal(s, 10) for s in range(9)] == [sec.deal(s, 10) for s in range(9)]


def config_of(*settings):
    short = [
        "model.name=tiny-random",
        "threads=1",
        "demos.n=4",
        "train={warmup_steps:0,steps:4,demos:2,tasks:3,group:2,reward_noise:0.5}",
        "eval={every:0,episodes:1}",
        "checkpoint={every:2,keep:9}",
        "record.rollouts=0",
        "limits.max_new_tokens=4",
    ]
    return composition("train", [*short, *settings])


def seeds_of(monkeypatch):
    played = []
    original = RolloutWorker.play

    def play(self, seed, step, tasks, group, *more, **named):
        found = original(self, seed, step, tasks, group, *more, **named)
        played.append((self.world.id, step, sorted({t.seed for t in found.mine})))
        return found

    monkeypatch.setattr(RolloutWorker, "play", play)
    return played


def test_a_run_plays_a_pool_and_goes_on_as_if_it_had_not_stopped(tmp_path, monkeypatch):
    played = seeds_of(monkeypatch)
    settings = ["env=math", "method=grpo", "train.pool=5", "train.curriculum.name=difficulty"]
    train(config_of(f"out={tmp_path}/run", *settings))
    whole = [row for row in played if row[1] > 0][:4]
    pool = {mixed_seed(0, 2**28, k) for k in range(5)}
    assert all(set(seeds) <= pool for _, _, seeds in whole)
    metrics = (tmp_path / "run" / "metrics.jsonl").read_text()
    assert "curriculum/solved" in metrics
    for step in (3, 4):
        for path in (tmp_path / "run" / "checkpoints").glob(f"*{step:06d}"):
            path.rename(tmp_path / path.name)
    (tmp_path / "run" / "summary.json").unlink(missing_ok=True)
    played.clear()
    train(config_of(f"out={tmp_path}/run", "resume=true", *settings))
    assert [row for row in played if row[1] in (3, 4)] == whole[2:]


def test_sec_trains_a_mix(tmp_path):
    train(config_of(f"out={tmp_path}/run", "env=mix", "method=grpo", "train.curriculum.name=sec"))
    rows = read_rows(tmp_path / "run")
    shares = [[row[f"curriculum/share_{k}"] for k in range(3)] for row in rows if "mu" in row]
    assert all(sum(share) == pytest.approx(1) for share in shares)
    assert shares[0] != shares[-1]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["train.curriculum.name=difficulty"], "say train.pool=N"),
        (["train.curriculum.name=sec"], "env=mix"),
        (["train.curriculum.name=hard"], "train.curriculum"),
        (["train.pool=0"], "train.pool"),
        (["train.pool=4", "method=hpt"], "goes neither with guidance"),
        (["train.curriculum.name=variance", "+train.curriculum.part=0.5"], "part"),
        (["train.pool=4", "method=sft"], "never explores"),
    ],
)
def test_mistakes_are_named(tmp_path, settings, words):
    named = [
        "env=math",
        *(settings if any("method" in s for s in settings) else ["method=grpo", *settings]),
    ]
    with pytest.raises(ValueError, match=words):
        train(config_of(f"out={tmp_path}/run", "train.reward_noise=0", *named))
