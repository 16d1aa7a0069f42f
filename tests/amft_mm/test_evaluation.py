"""Evaluation: figures with intervals, splits told apart, episodes that can be looked at."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file
from scipy import stats

from agents.demonstrations import Demonstrations
from agents.locate import locate_model
from amft_mm.commands import main
from amft_mm.config.command_line import configuration
from amft_mm.config.composition import composition
from amft_mm.data.rollouts import Played, RolloutWorker
from amft_mm.evaluate import evaluate, out_folder, show
from amft_mm.evaluation.evaluator import Evaluator, check_splits, chosen_splits, validation_splits
from amft_mm.evaluation.intervals import pass_at, wilson, wilson_of_tries
from amft_mm.evaluation.table import markdown_row
from amft_mm.replay.reader import read_source
from amft_mm.runs import checkpoints
from amft_mm.runs.curves import is_success
from amft_mm.runs.metrics import read_rows, weights_of
from amft_mm.runs.processes import ProcessGroup
from amft_mm.runs.progress import Progress
from amft_mm.train import train
from tests.agents.token_server import TokenServer
from tests.amft_mm.test_train import TINY, run


@pytest.mark.parametrize(("right", "count"), [(0, 10), (10, 10), (3, 20), (50, 100), (1, 1)])
def test_wilson_agrees_with_scipy(right, count):
    expected = stats.binomtest(right, count).proportion_ci(0.95, method="wilson")
    assert wilson(right, count) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_nothing_counted_says_nothing():
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize("hard", [0.3, 2.0, 50.0], ids=["all or nothing", "apart", "alike"])
def test_an_interval_of_tries_knows_that_those_of_an_instance_are_alike(hard):
    """Defect: 16 tries of 50 instances counted as 800 independent episodes, and 95 % intervals held the truth
    in 46 of 100 evaluations."""
    rng, held, naive, wide = np.random.default_rng(0), 0, 0, []
    for _ in range(500):
        right = rng.binomial(16, rng.beta(hard, hard, 50))
        low, high = wilson_of_tries(right.sum() / 800, (right / 16).tolist(), 800)
        held += low <= 0.5 <= high
        wide.append(high - low)
        low, high = wilson(right.sum(), 800)
        naive += low <= 0.5 <= high
    assert held / 500 >= 0.93
    assert naive / 500 < 0.6 or hard > 1
    assert np.mean(wide) < 0.085 or hard < 50  # and knows when they are not


def test_an_interval_of_single_tries_is_that_of_a_share():
    for each in ([1.0, 0.0, 0.0, 1.0, 1.0], [1.0] * 4, [0.0], [1.0, 0.0]):
        assert wilson_of_tries(np.mean(each), each, len(each)) == pytest.approx(
            wilson(sum(each), len(each))
        )
    assert wilson_of_tries(1.0, [1.0] * 10, 160) == wilson(
        10, 10
    )  # nothing says how alike they are
    assert wilson_of_tries(0.0, [], 0) == (0.0, 1.0)


def test_pass_at_k_is_the_share_of_draws_with_a_success():
    from itertools import combinations

    for right in range(6):
        tries = [True] * right + [False] * (5 - right)
        for k in (1, 2, 5):
            draws = [any(draw) for draw in combinations(tries, k)]
            assert pass_at(k, 5, right) == pytest.approx(np.mean(draws))
    with pytest.raises(ValueError, match="pass@6"):
        pass_at(6, 5, 1)


def test_splits_are_chosen_by_name_and_the_trained_one_too():
    env = composition("train", ["env=virl"]).env
    mix = composition("train", ["env=mix"]).env
    assert [split.label for split in chosen_splits(env, None)] == ["id"]
    assert [s.world().options["split"] for s in chosen_splits(env, ["train", "id"])] == [
        "train",
        "id",
    ]
    assert {split.label for split in chosen_splits(mix, None)} >= {"virl/id", "math/id"}
    for wrong in (["nowhere"], ["id", "nowhere"], []):
        with pytest.raises(
            ValueError, match=r"eval\.splits=.*there are train, id, ood_rule, ood_city"
        ):
            chosen_splits(env, wrong)


def test_a_world_that_a_mix_has_twice_is_evaluated_twice():
    """Defect: parts were told apart by their world's name, so that the second was never looked at."""
    env = composition("train", ["env=mix"]).env
    OmegaConf.set_struct(env, False)
    env.parts.again, env.shares.again = env.parts.virl, 0.5
    labels = [split.label for split in chosen_splits(env, None)]
    assert {"virl/id", "again/id"} <= set(labels)


def test_validation_is_on_a_split_outside_training():
    mix, own = (composition("train", [f"env={env}"]).env for env in ("mix", "own"))
    found = [split.label for split in validation_splits(mix, "ood")]
    assert found == ["virl/ood_rule", "general_points/ood_hand", "math/ood_hard"]
    assert validation_splits(mix, None) == []
    for env, wanted, told in ((own, "ood", "own has no splits"), (mix, "ood_hard", "virl has id")):
        with pytest.raises(ValueError, match=rf"eval\.validation={wanted}: {told}.*or null"):
            validation_splits(env, wanted)


def test_a_run_that_is_validated_ends_with_its_peak(tmp_path, monkeypatch):
    """In the warm-up too; by task instances that neither training nor any evaluation plays."""
    peaks, seeds = iter([0.1, 0.5, 0.5, 0.3]), {}
    play, validate = RolloutWorker.play, Evaluator.validate

    def noted(self, seed, *given):
        seeds.setdefault(self.world.options["split"], set()).add(seed)
        return play(self, seed, *given)

    def scripted(self):
        assert list(validate(self)) == ["validation/ood_hard/success"]
        return {"validation/ood_hard/success": next(peaks)}

    monkeypatch.setattr(RolloutWorker, "play", noted)
    monkeypatch.setattr(Evaluator, "validate", scripted)
    config = composition(
        "train",
        [
            *(
                "env=math",
                "method=sft_peak",
                "model.name=tiny-random",
                "threads=1",
                "demos.n=8",
            ),
            *(f"out={tmp_path}/run", "eval={every:1,episodes:2}", "limits.max_new_tokens=4"),
            "train={warmup_steps:3,steps:1,warmup_demos:2,demos:2,tasks:2,group:2}",
        ],
    )
    train(config)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["weights"] == "step_000002"
    assert summary["splits"] == ["id", "ood_hard"]
    # Defect: these weights' figures were told as those of the last step.
    told = [row for row in read_rows(tmp_path / "run") if row.get("phase") == "evaluation"]
    assert [weights_of(row) for row in told] == [1, 2, 3, 4, 2]
    assert told[-1]["step"] == 4
    assert not any(key.startswith("validation/") for key in summary)
    assert len(seeds["ood_hard"]) == 2
    assert len(seeds["id"]) == 1
    assert seeds["id"] < seeds["ood_hard"]
    kept = checkpoints.load(tmp_path / "run" / "checkpoints" / "step_000002")["model"]
    saved = load_file(tmp_path / "run" / "model" / "model.safetensors")
    assert saved
    assert all(torch.equal(value, kept[name]) for name, value in saved.items() if name in kept)


@pytest.mark.parametrize("method", ["sft", "sft_peak"])
def test_a_last_evaluation_that_broke_off_is_made_when_the_run_goes_on_and_no_second_time(
    tmp_path, monkeypatch, method
):
    """Defects: the run was over without it, with no summary.json or that of earlier weights; and one that was
    validated added a row each time that it was gone on with."""
    words = [
        *("env=math", f"method={method}", "model.name=tiny-random", "threads=1", "demos.n=8"),
        *(f"out={tmp_path}/run", "limits.max_new_tokens=4", "eval={every:1,episodes:2}"),
        "train={warmup_steps:2,steps:1,warmup_demos:2,demos:2,tasks:2,group:2}",
    ]
    evaluate = Evaluator.evaluate

    def breaks_off(self, *, last):
        number = len(read_rows(tmp_path / "run"))
        if number >= 4:  # all steps, and the evaluation before the last
            raise RuntimeError("the server went away")
        return evaluate(self, last=last)

    monkeypatch.setattr(Evaluator, "evaluate", breaks_off)
    with pytest.raises(RuntimeError, match="went away"):
        train(composition("train", words))
    monkeypatch.undo()
    summary = train(composition("train", [*words, "resume=true"]))
    assert summary["splits"] == ["id", "ood_hard"]
    rows = read_rows(tmp_path / "run")
    assert [row["step"] for row in rows if row["phase"] != "evaluation"] == [1, 2, 3]
    assert train(composition("train", [*words, "resume=true"])) == summary
    assert read_rows(tmp_path / "run") == rows


def test_a_best_of_another_measure_is_not_compared_with(tmp_path):
    """Defect: a run that went on with eval.validation held its validations against the success that it had
    been scored by before, and could end with weights that were never validated."""
    words = [
        *("env=math", "model.name=tiny-random", "threads=1", "demos.n=8", f"out={tmp_path}/run"),
        *("eval.episodes=2", "limits.max_new_tokens=4", "record.evaluation=0"),
        "train={warmup_steps:1,warmup_demos:2,demos:2,tasks:2,group:2}",
    ]
    train(composition("train", [*words, "train.steps=1", "eval.every=1"]))
    folder = tmp_path / "run" / "checkpoints"
    before = checkpoints.best(folder)
    assert before["by"] == "eval/id/success of 2 from 0 on"
    more = ["resume=true", "train.steps=2", "eval={every:1,validation:ood_hard}"]
    train(composition("train", [*words, *more]))
    assert checkpoints.best(folder) == {
        "step": 3,
        "score": 0.0,
        "by": "validation/ood_hard/success of 2 from 0 on",
    }
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["weights"] == "step_000003"
    assert (
        before["score"] == 0.0
    )  # a model that was never taught: no better than what was validated


def test_a_run_that_is_over_is_judged_anew_by_another_validation(tmp_path):
    """Defects: gone on with another eval.validation, it ended with its best checkpoint being gone; with none,
    it wrote the last weights beside the summary of the best ones."""
    words = [
        *("env=math", "model.name=tiny-random", "threads=1", "demos.n=8", f"out={tmp_path}/run"),
        *("limits.max_new_tokens=4", "record.evaluation=0", "eval={every:1,episodes:2}"),
        "train={warmup_steps:1,steps:1,warmup_demos:2,demos:2,tasks:2,group:2}",
    ]
    first = train(composition("train", [*words, "eval.validation=ood_hard"]))
    assert first["weights"] == "step_000001"  # none is better than it
    for wanted, by in (("id", "validation/id"), ("null", "eval/id")):
        again = composition("train", [*words, "resume=true", f"eval.validation={wanted}"])
        summary = train(again)
        assert summary["weights"] == "step_000002"  # the only ones that were judged so
        assert summary["splits"] == ["id", "ood_hard"]
        best = checkpoints.best(tmp_path / "run" / "checkpoints")
        assert best["by"] == f"{by}/success of 2 from 0 on"
        rows = read_rows(tmp_path / "run")
        assert train(again) == summary
        assert read_rows(tmp_path / "run") == rows
    # Defect: nothing was played, and the settings said 3 beside the figures of 2.
    more = composition("train", [*words, "resume=true", "eval.episodes=3", "eval.validation=null"])
    assert train(more)["episodes"] == 3


def test_the_last_weights_are_scored_on_what_all_before_were(monkeypatch):
    """Defect: the split of training, which eval.splits may name, was not played at the end, so that the last
    weights could not be the best."""
    success = {"train": 1.0, "id": 0.5, "ood_hard": 0.0}

    def play(self, split, seed):
        return Played([], {"success": success[split.name], "episodes": 2, "failed": 0}, {})

    monkeypatch.setattr(Evaluator, "_play", play)
    config = composition("train", ["env=math", "eval.splits=[train,id]"])
    evaluator = Evaluator(config, None, None, ProcessGroup())
    between, last = (evaluator.evaluate(last=last) for last in (False, True))
    assert evaluator.score(between) == evaluator.score(last) == 0.75
    assert last["eval/ood_hard/success"] == 0.0


def test_what_no_episode_told_is_no_figure(monkeypatch):
    """Defect: where every episode crashed, a validation was told as 0 %, and a return of 0."""
    crashed = Played([], {"episodes": 2, "failed": 2}, {})
    monkeypatch.setattr(Evaluator, "_play", lambda self, *_: crashed)
    config = composition("train", ["env=math", "eval.validation=ood"])
    evaluator = Evaluator(config, None, None, ProcessGroup())
    assert evaluator.validate() == {"validation/ood_hard/success": None}
    row = evaluator.evaluate(last=False)
    assert {row[f"eval/id/{name}"] for name in ("success", "return", "turns")} == {None}


def test_sampled_tries_are_played_at_the_end_alone_beside_greedy_success(tmp_path, monkeypatch):
    """On the first instances of every split; what came of each is kept, so that any pass@k can be told."""
    play, played = RolloutWorker.play, []

    def first_try_of_the_first(self, seed, step, tasks, group, *more):
        found = play(self, seed, step, tasks, group, *more)
        if group == 3:
            played.append((self.world.options["split"], tasks, more[0].temperature))
            for trajectory in found.mine:
                trajectory.success = trajectory.task == trajectory.member == 0
        return found

    monkeypatch.setattr(RolloutWorker, "play", first_try_of_the_first)
    words = ["env=math", "method=sft", "model.name=tiny-random", "threads=1", "demos.n=8"]
    words += [f"out={tmp_path}/run", "limits.max_new_tokens=4"]
    words += ["eval={every:1,episodes:4,passes:{tries:3,episodes:2}}"]
    config = composition("train", [*words, "train={warmup_steps:1,steps:1,warmup_demos:2,demos:2}"])
    train(config)
    assert played == [("id", 2, 1.0), ("ood_hard", 2, 1.0)]
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    for split in ("id", "ood_hard"):
        assert summary[f"eval/{split}/success"] == 0
        assert summary[f"eval/{split}/pass@1"] == pytest.approx(1 / 6)
        assert summary[f"eval/{split}/pass@3"] == pytest.approx(1 / 2)
    tries = json.loads((tmp_path / "run" / "tries.json").read_text())
    assert tries == {"id": [[3, 1], [3, 0]], "ood_hard": [[3, 1], [3, 0]]}


def test_a_split_that_can_not_be_played_is_told_before_training():
    """Defect guarded against: hours of training, and then no evaluation."""
    config = composition("train", ["env=math", "env.splits=[id,harder]"])
    with pytest.raises(ValueError, match=r"split harder of env\.splits .* 'ood_hard'"):
        check_splits(config)


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_cards_in_words_are_not_evaluated_on_how_they_look(command):
    """Defect: `evaluate` told the figures of `id` as those of another colour and another drawing."""
    words = ["env=general_points", "env.modality=text"]
    with pytest.raises(
        ValueError, match=r"split ood_color of env\.splits .*'ood_deck' would be 'id'"
    ):
        check_splits(composition(command, words))
    check_splits(composition(command, [*words, "env.splits=[id,ood_hand,ood_rule]"]))


def test_a_row_stands_beside_those_of_others():
    """Written as papers write it: shares without the nought, one column a split."""
    cards = {"weights": "tiny", "episodes": 500, "splits": ["id", "ood_all_12", "ood_five"]}
    cards |= {"eval/id/success": 1.0, "eval/ood_all_12/success": 0.074}
    assert markdown_row(cards).splitlines() == [
        "| weights | n | id | ood_all_12 | ood_five |",
        "| --- | --- | --- | --- | --- |",
        "| tiny | 500 | 1.00 | .07 | - |",
    ]


def test_a_row_of_street_routes_tells_steps_and_whole_routes_apart():
    routes = {"weights": "tiny", "episodes": 18, "splits": ["listed", "listed_rule"]}
    routes |= {"eval/listed/success": 0.5, "eval/listed/verdict/correct_action": 0.956}
    # Where no step was right, only wrong ones are counted.
    routes |= {"eval/listed_rule/success": 0.0, "eval/listed_rule/verdict/wrong_action": 1.0}
    assert markdown_row(routes).splitlines()[::2] == [
        "| weights | n | listed, steps | listed, routes | listed_rule, steps | listed_rule, routes |",
        "| tiny | 18 | .96 | .50 | .00 | .00 |",
    ]


def test_an_engine_with_weights_of_its_own_plays_by_the_checkpoint(tmp_path, monkeypatch):
    """Defect: vLLM played by the model that the run began with, which was told as the run's checkpoint."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("agents.engines.by_folder.forget", lambda *_, **__: None)  # to be looked at
    quick = ["eval.episodes=1", "limits.max_new_tokens=4", "threads=1"]
    steps = "train={warmup_steps:1,steps:0,warmup_demos:2,warmup_lr:0.01}"
    words = ["env=math", "method=sft", "model.name=tiny-random", "demos.n=4", steps, "out=run"]
    main(["train", *words, *quick])
    server = TokenServer("tiny-random").begin()
    asked = ["evaluate", "run=run", "engine=vllm", f"engine.servers=[{server.url}]", *quick]
    with pytest.raises(SystemExit, match=r"engine\.weights_folder=FOLDER"):
        main(asked)
    main([*asked, f"engine.weights_folder={tmp_path}/weights"])
    server.http.shutdown()
    assert server.asked
    kept = checkpoints.load(checkpoints.latest(tmp_path / "run" / "checkpoints"))["model"]
    [given] = (tmp_path / "weights").glob("*/*.safetensors")
    assert all(
        torch.equal(value, kept[name]) for name, value in load_file(given).items() if name in kept
    )


def test_episodes_of_an_evaluation_are_those_of_its_weights(tmp_path, monkeypatch):
    """Defect: all were told as of step 0, as if played before training; those of splits that an evaluation
    before had played stayed beside them; and where the run had kept none itself, there were none."""
    monkeypatch.chdir(tmp_path)
    quick = ["eval.episodes=1", "limits.max_new_tokens=4", "threads=1"]
    steps = "train={warmup_steps:2,steps:0,warmup_demos:2}"
    words = ["env=math", "method=sft", "model.name=tiny-random", "demos.n=4", steps, "out=run"]
    main(["train", *words, "record.evaluation=0", *quick])
    for more in ([], ["eval.splits=[id]"]):
        main(["evaluate", "run=run", *quick, *more])
    found = read_source(tmp_path / "run").episodes
    assert {(e["step"], e["label"]) for e in found if e["phase"] == "evaluation"} == {(2, "id")}


def test_a_place_that_can_not_be_written_is_found_before_all_is_played(tmp_path, monkeypatch):
    """Defect: hours later, and no figure was told."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(Evaluator, "evaluate", lambda *_, **__: pytest.fail("it was played"))
    with pytest.raises(SystemExit, match="file"):
        main(["evaluate", "model=tiny", "env=math", "threads=1", "out=file"])


def test_figures_are_written_where_episodes_can_not_be(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("amft_mm.runs.episodes.write_rows", full)
    words = ["eval.episodes=1", "limits.max_new_tokens=4", "threads=1", "eval.splits=[id]"]
    with pytest.raises(SystemExit, match=r"free some space.*under record"):
        main(["evaluate", "model.name=tiny-random", "env=math", *words, "out=here"])
    assert "eval/id/success" in (tmp_path / "here" / "summary.json").read_text()


def evaluated(folder, *settings):
    quick = [s for s in TINY if s.startswith(("eval.episodes", "limits"))]
    return run(folder, *quick, *settings, module="amft_mm.evaluate", base=())


@pytest.mark.slow
def test_a_run_is_evaluated_on_every_split(tmp_path):
    done = run(tmp_path, "env=virl", "out=here")
    assert done.returncode == 0, done.stderr
    done = evaluated(tmp_path, "run=here", "eval.tries=2", "record=1")
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "here" / "evaluation" / "summary.json").read_text())
    assert summary["weights"] == "here/step_000005"
    assert summary["splits"] == ["id", "ood_rule", "ood_city"]
    instances = json.loads((tmp_path / "here" / "evaluation" / "instances.json").read_text())
    assert list(instances) == summary["splits"]
    for split in summary["splits"]:
        assert len(instances[split]) == summary["episodes"]
        assert np.mean(instances[split]) == pytest.approx(summary[f"eval/{split}/success"])
        low, share, high = (summary[f"eval/{split}/{k}"] for k in ("low", "success", "high"))
        assert 0 <= low <= share <= high <= 1
        assert 0 <= summary[f"eval/{split}/pass@2"] <= 1
    episodes = Demonstrations(tmp_path / "here" / "evaluation" / "episodes")
    assert {json.loads(row.options)["split"] for row in episodes} == set(summary["splits"])
    assert all(len(row.messages) == len(row.answers) for row in episodes)
    assert all(row.pictures for row in episodes)
    done = evaluated(tmp_path, "run=here", "checkpoint=77")
    assert "give last, best or a step" in done.stderr
    done = evaluated(tmp_path, "run=nowhere")
    assert "there is no config.yaml" in done.stderr


@pytest.mark.slow
def test_a_model_is_evaluated_without_a_run(tmp_path):
    listed = ("table=true", "eval.in_order=true")
    done = evaluated(tmp_path, "model.name=tiny-random", "env=math", "out=there", *listed)
    assert done.returncode == 0, done.stderr
    assert "| tiny-random | 2 | .00 | .00 |" in done.stdout
    rows = list(Demonstrations(tmp_path / "there" / "episodes"))
    assert {row.seed for row in rows} == {0, 1}
    summary = json.loads((tmp_path / "there" / "summary.json").read_text())
    assert summary["weights"] == "tiny-random"
    assert summary["eval/id/success"] == 0.0


def test_a_verdict_that_is_called_success_is_no_rate_of_success():
    assert is_success("eval/id/success")
    assert not is_success("eval/all/verdict/success")


def test_names_of_a_world_and_folders_are_told_as_they_are(capsys, tmp_path):
    """Defect: [wrong] was read as markup and left out, [/wrong] ended the evaluation."""
    row = {"success": 0.5, "low": 0.1, "high": 0.9, "flawless": 0.5, "return": 1.0, "turns": 1.0}
    part = {f"eval/id/{name}": value for name, value in row.items()}
    summary = {"splits": ["id"], **part, "eval/id/verdict/[/wrong]": 1.0}
    show(summary, Path("runs/lr[a]"))
    told = capsys.readouterr().out
    assert "[/wrong]" in told
    assert "runs/lr[a]/summary.json" in told
    Progress(configuration("train", ["env=math"]), Path("runs/[/x]"))
    assert "-> runs/[/x]" in capsys.readouterr().out


def test_no_folder_is_the_usual_one():
    """Defect: `out=` wrote into the folder that one is in."""
    words = ["env=math", "model.name=tiny-random"]
    usual = [out_folder(configuration("evaluate", [*words, out])) for out in ("out=", "out=null")]
    assert usual == [Path("evaluation-math-tiny-random")] * 2


def test_who_evaluates_the_model_of_a_run_is_told_where_the_world_asks_otherwise(tmp_path, capsys):
    """Defect: without a word a model was judged on another task than it had learnt."""
    learnt = configuration("train", ["env=math", "recipe=null", "env.thought=none"])
    OmegaConf.save(learnt, tmp_path / "config.yaml")
    shutil.copytree(locate_model("tiny-random"), tmp_path / "model")
    asked = ["env=math", f"model.name={tmp_path}/model", f"out={tmp_path}/found", "eval.episodes=1"]
    for words, told in (([], True), (["env.thought=none", "env.splits=[id]"], False)):
        config = configuration("evaluate", [*asked, "eval.splits=[id]", *words])
        evaluate(config)
        assert (
            "learnt by env.thought=none, and is asked otherwise" in capsys.readouterr().out
        ) is told
