"""A world that is kept open from step to step plays as many episodes at once as each step has."""

import shutil

import pytest

from agents.conversation import Limits
from agents.engines import make_engine
from agents.worlds import World
from amft_mm.data.rollouts import PlaySettings, RolloutWorker
from amft_mm.runs.processes import ProcessGroup
from amft_mm.train import train
from tests.amft_mm.processes import rows
from tests.amft_mm.test_played_ahead import config_of


def test_a_small_step_does_not_slow_down_those_that_follow(tiny):
    """Defect: a world of a mix of which the first step had one task instance played so few episodes at once
    to the end of the run, and more where the run had gone on from a checkpoint."""
    engine, at_once = make_engine("hf", tiny), []
    ask = engine.ask
    engine.ask = lambda request: (at_once[-1].append(request), ask(request))
    settings = PlaySettings(limits=Limits(max_turns=1, max_new_tokens=2), slots=6)
    worker = RolloutWorker(World("amft/Math-v0"), tiny, engine, settings, ProcessGroup())
    answers = engine.answers
    engine.answers = lambda: (at_once.append([]), answers())[1]
    for step, tasks in enumerate((1, 3, 5)):
        at_once.append([])
        worker.play(0, step, tasks, 2)
    worker.close()
    assert [len(asked) for asked in at_once if asked] == [2, 6, 6, 4]


@pytest.mark.parametrize("method", ["method=grpo", "method=amft demos.n=6 train.demos=2"])
def test_a_mix_goes_on_from_a_checkpoint_to_the_same_numbers(tmp_path, method):
    """To the bit. Defect: its worlds played other episodes together then."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    words = [
        "env=mix",
        *method.split(),
        "limits.max_turns=2",
        "train.tasks=4",
        "checkpoint.every=1",
    ]
    train(config_of(*words, "checkpoint.keep=9", f"out={whole}"))
    shutil.copytree(whole, parts)
    for step in (2, 3, 4):
        shutil.rmtree(parts / "checkpoints" / f"step_{step:06d}")
    train(config_of(*words, "checkpoint.keep=9", f"out={parts}", "resume=true"))
    assert rows(parts) == rows(whole)
