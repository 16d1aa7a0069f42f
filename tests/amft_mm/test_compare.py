"""Comparisons: fair by construction, honest about ties and crashes, and never made twice."""

import json
import os
import re
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes

from amft_mm.compare.__main__ import check_beginnings, compare
from amft_mm.compare.conditions import Standing
from amft_mm.compare.figures import conditions_figure, splits_figure
from amft_mm.compare.grid import Grid
from amft_mm.compare.jobs import make_all
from amft_mm.compare.looks import level
from amft_mm.compare.places import places
from amft_mm.compare.report import report
from amft_mm.compare.result import Result, Score, result_from, write_result
from amft_mm.compare.sequential import pairs_of
from amft_mm.compare.statistics import (
    Estimate,
    area,
    area_to,
    difference,
    flattened,
    improves,
    mean_difference,
    mean_of,
    mean_ranks,
)
from amft_mm.compare.verdicts import by_looks
from amft_mm.config.command_line import configuration
from amft_mm.config.composition import composition
from amft_mm.config.settings import options_of
from amft_mm.config.threads import cores
from amft_mm.methods.balance import balance
from amft_mm.methods.utility import utility
from tests import started

ROOT = Path(__file__).parents[2]
USUAL = ["sft_then_rl", "best_fixed"]


def grid(*settings):
    return Grid(composition("compare", ["more_seeds.sft=1", *settings]))


def scores(*shares, episodes=200):
    return {seed: Score(share, episodes) for seed, share in enumerate(shares)}


def result(method, seed, success, *, state="finished", **changes):
    made = Result(
        env="math",
        condition="clean",
        method=method,
        seed=seed,
        settings=[],
        choice={"train.lr": 0.001},
        state=state,
        scores={"id": Score(success, 200), "ood_hard": Score(0.02, 200)},
        curves={"success": [(0, 0.1), (10, success), (20, success)], "mu": [(0, 0.5), (20, 0.4)]},
        totals={"demonstration tokens": 100.0, "generated tokens": 200.0, "optimizer steps": 20},
    )
    return Result(**{**vars(made), **changes})


def test_methods_differ_in_nothing_but_the_method():
    made = grid(
        "methods=[sft,grpo,best_fixed,amft]",
        "seeds=2",
        "more_seeds={amft:3,best_fixed:2}",
        "envs=[math,virl]",
    )
    runs = made.runs({("math", "amft"): {"train.lr": 0.3}})
    by_method = {}
    for run in runs:
        by_method.setdefault((run.env, run.method), []).append(run)
    assert [len(by_method["math", m]) for m in ("sft", "grpo", "best_fixed", "amft")] == [
        2,
        2,
        2,
        3,
    ]
    sft, grpo = (by_method["math", m][1].settings for m in ("sft", "grpo"))
    assert [(a, b) for a, b in zip(sft, grpo, strict=True) if a != b] == [
        ("method=sft", "method=grpo")
    ]
    assert "train.lr=0.3" in by_method["math", "amft"][0].settings
    trials = made.trials()
    assert {run.seed for run in made.warm([*trials, *runs])} == {0, 1, 2, 1000}
    assert {run.seed for run in trials} == {1000}  # no reported seed
    assert all("env.splits=[train]" in run.settings for run in trials)  # no reported split
    lengths = [w for r in trials for w in r.settings if w.startswith("train.steps=")]
    assert set(lengths) == {"train.steps=15", "train.steps=20"}  # shorter than the runs
    each = [sum(r.method == m and r.env == "math" for r in trials) for m in ("sft", "best_fixed")]
    assert each == [4, 20]


def test_settings_may_be_nested_as_a_command_line_has_them():
    dotted, nested = (
        grid("envs=[math]", f"++budgets.math{setting}", "methods=[sft]").runs({})[0].settings
        for setting in ("={train.steps:7}", ".train.steps=7")
    )
    assert dotted == nested
    assert "train.steps=7" in nested


def test_names_are_searched_as_numbers_are_and_nested_or_not():
    """The folder of a trial was made by a format for numbers."""
    words = "++search={train.lr:[0.5],method.exploration.name:[grpo,my/loss.py:mine]}"
    folders = [run.folder.name for run in grid("envs=[math]", "methods=[amft]", words).trials()]
    assert folders == ["name-grpo_lr-0.5", "name-my-loss.py:mine_lr-0.5"]
    nested = grid("envs=[math]", "methods=[amft]", "++search.train.lr=[0.25,0.5]").trials()
    assert [run.choice for run in nested] == [{"train.lr": 0.25}, {"train.lr": 0.5}]


def test_shards_are_disjoint_and_together_everything():
    whole = {run.name for run in grid().runs({})}
    parts = [{run.name for run in grid(f"shard={k}/3").runs({})} for k in (1, 2, 3)]
    assert set.union(*parts) == whole
    assert sum(map(len, parts)) == len(whole)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("methods=[stf]", "Did you mean 'sft'"),
        ("baselines=[best_fixd]", "baselines='best_fixd'.*Did you mean 'best_fixed'"),
        ("envs=[maths]", "Did you mean 'math'.*budgets.maths"),
        ("+variants.sft={methd:amft}", "variants.sft={methd:amft}: give the preset"),
        ("+variants.sft={method:amft,setting:{}}", "variants.sft=.*: give the preset"),
        ("+variants.sft=amft", "variants.sft=amft: give the preset"),
        ("shard=3/2", "shard=2/8"),
        ("shard=x", "shard=2/8"),
        ("trial_length=2", "from 0 to 1"),
        ("search={train.lr:0.1}", r"search=\{train.lr:\[0.1,"),
        ("++search.train.lr=[]", "give a list of what is tried"),
    ],
)
def test_mistakes_are_named(setting, words):
    with pytest.raises(ValueError, match=words):
        grid(setting).runs({})


def test_more_seeds_say_nothing_of_other_instances():
    """All are evaluated on the same ones: five seeds that fare alike are no five times as many instances."""
    each = [float(k % 2) for k in range(200)]
    own = {seed: Score(0.5, 200, each) for seed in range(5)}
    found = mean_of(own)
    error = (0.25 / 200) ** 0.5
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_a_condition_may_have_splits_that_the_warm_up_was_not_evaluated_on():
    """After all runs the report ended with a KeyError."""
    other = {"ood_fake": Score(0.3, 200), "id": Score(0.4, 200)}
    rows = [result("sft", s, 0.0, condition="other", scores=other) for s in range(2)]
    warm = [result("sft", s, 0.1, condition="warm") for s in range(2)]
    made = report(rows, warm, "command", ["sft"])
    assert "ood_fake" in made.markdown


def test_what_is_the_same_is_a_tie_and_what_is_apart_is_not():
    even = difference(scores(0.50, 0.56, 0.44), scores(0.52, 0.50, 0.49))
    assert even.verdict == "tie"
    apart = difference(scores(0.90, 0.92, 0.91), scores(0.50, 0.51, 0.52))
    assert apart.verdict == "better"
    assert apart.mean == pytest.approx(0.4)
    assert difference(scores(0.5), {7: Score(0.5, 10)}) is None


def test_intervals_hold_the_luck_of_the_episodes_too():
    """Three seeds that happen to agree are not certain."""
    found = mean_of(scores(0.5, 0.5, 0.5, episodes=100))
    assert found.low < 0.46
    assert found.high > 0.54
    assert mean_of(scores(0.5, 0.5, 0.5, episodes=10_000)).low > found.low


def test_intervals_cover_what_they_should():
    """Of many comparisons of a method with itself, few are called different."""
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(100):
        draws = rng.binomial(200, rng.normal(0.5, 0.03, (2, 4)).clip(0, 1)) / 200
        wrong += difference(scores(*draws[0]), scores(*draws[1])).verdict != "tie"
    assert wrong <= 12


def test_small_statistics():
    assert improves(scores(0.1, 0.2, 0.5), scores(0.0, 0.2)) == pytest.approx((1 + 0.5) / 2)
    assert improves({0: Score(0.5, 200)}, {1: Score(0.4, 200)}) is None  # no seed that both have
    assert mean_ranks({"a": scores(0.9, 0.2), "b": scores(0.1, 0.8)}) == {"a": 1.5, "b": 1.5}
    assert area([(0, 0.0), (10, 1.0), (20, 1.0)]) == pytest.approx(0.75)
    assert flattened([(0, 0.0), (50, 0.8), (100, 0.8)])
    assert not flattened([(0, 0.0), (100, 0.8)])


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.seen, self.text = [], ""

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        assert not {"src", "onload", "onerror"} & {name for name, _ in attrs}

    def handle_data(self, data):
        self.text += data


def test_the_report_says_who_crashed_and_never_averages_it_away():
    """With hostile words in the log of a crash."""
    good = [
        result(m, s, 0.5 + 0.1 * (m == "amft")) for m in ("amft", "sft_then_rl") for s in range(3)
    ]
    bad = result("sft", 0, 0.0, state="crashed", why="x\n<script>alert(1)</script>")
    made = report([*good, bad], [], "python -m amft_mm.compare", USUAL)
    assert "math/clean/sft/0: crashed (<script>" in made.markdown
    rows = [line for line in made.markdown.splitlines() if line.startswith("| amft |")]
    assert rows[0] == "| amft | 60.0 | 2.0 |"  # at a glance
    assert "60.0" in rows[1]
    assert "+10.0" in rows[1]
    page = Tags()
    page.feed(made.page)
    assert page.seen.count("script") == 1  # the page's own
    assert "<code>python -m amft_mm.compare</code>" in made.page
    assert "<script>alert(1)" in page.text
    assert set(made.figures) == {"math-clean-success.svg", "math-clean-mu.svg"}


def test_a_single_point_is_no_flat_curve():
    short = [result("amft", s, 0.5, curves={"success": [(20, 0.5)]}) for s in range(3)]
    told = report(short, [], "here", USUAL).markdown
    assert "Evaluated at the end alone." in told
    assert "flattened" not in told


def test_what_all_begin_with_is_told_and_what_was_gained_since():
    warmups = [result("sft", s, 0.4, condition="warm") for s in range(3)]
    short = [result("amft", s, 0.9, curves={"success": [(40, 0.9)]}) for s in range(3)]
    told = report(short, warmups, "here", USUAL).markdown
    assert "All begin with id 40.0 (" in told
    assert "+50.0 (" in told
    assert f"| {100 * (0.4 + 0.9) / 2:.1f} (" in told  # the curve begins where the warm-up ended


def test_splits_that_are_evaluated_on_the_way_are_drawn_by_the_time_that_was_taken():
    """What generalises and what does not is a matter of the way there, which the end alone does not tell."""
    warmups = [result("sft", s, 0.2, condition="warm") for s in range(2)]
    hard = {
        "success on ood_hard": [(20, 0.1), (40, 0.3)],
        "seconds spent": [(20, 60.0), (40, 120.0)],
    }
    both = {"success": [(20, 0.4), (40, 0.5)], **hard}
    rows = [result(m, s, 0.5, curves=both) for m in ("amft", "grpo") for s in range(2)]
    made = report(rows, warmups, "here", USUAL)
    assert {"math-clean-splits.svg", "math-clean-success-on-ood_hard.svg"} < set(made.figures)
    assert "figures/math-clean-splits.svg" in made.markdown
    assert "success on ood_hard" in made.page
    drawn = made.figures["math-clean-splits.svg"]
    assert all(word in drawn for word in ("minutes", "ood_hard", "grpo", "amft"))
    # Of more points than a line has, each still stands at the time that it took.
    steps = range(20, 1620, 20)
    spent = [(step, 3.0 * step) for step in steps]
    long = {"success": [(step, 0.5) for step in steps], "seconds spent": spent}
    long["success on ood_hard"] = long["success"]
    many = splits_figure([result("amft", 0, 0.5, curves=long)], {"success": "id"}, "long")
    assert ">80<" in many
    at_the_end = [result("amft", s, 0.5, curves={"success": [(40, 0.5)]}) for s in range(2)]
    assert not any("splits" in name for name in report(at_the_end, warmups, "here", USUAL).figures)


def test_every_method_of_a_figure_is_named_in_it():
    """Defect: of the curves on each split those alone were named that the last split has."""
    steps = [(20, 0.4), (40, 0.5)]
    known = {"success": steps, "seconds spent": [(20, 60.0), (40, 120.0)]}
    rows = [
        result("amft", 0, 0.5, curves={**known, "success on ood_hard": steps}),
        result("grpo", 0, 0.5, curves=known),
    ]
    drawn = splits_figure(rows, {"success": "id", "success on ood_hard": "ood_hard"}, "math")
    assert ">amft<" in drawn
    assert ">grpo<" in drawn


def test_more_seeds_do_not_change_the_order():
    """A method that has one more seed, which begins lower, is not therefore behind."""
    starts = [0.4, 0.4, 0.4, 0.1]
    warmups = [result("sft", s, begun, condition="warm") for s, begun in enumerate(starts)]
    end = {"curves": {"success": [(40, 0.5)]}}
    rows = [result("amft", s, begun + 0.1, **end) for s, begun in enumerate(starts)]
    rows += [result("grpo", s, begun + 0.05, **end) for s, begun in enumerate(starts[:3])]
    told = report(rows, warmups, "here", USUAL).markdown
    assert told.index("| amft | +10.0 (") < told.index("| grpo | +5.0 (")
    assert told.index("| 42.5 (") < told.index("| 45.0 (")


def test_who_has_no_known_beginning_is_not_held_to_have_gained_all_of_it():
    """Defect: where a method's warm-ups were not known it stood by success above those that gained more."""
    warmups = [result("sft", 0, 0.4, condition="warm")]
    rows = [result("amft", 0, 0.6), result("grpo", 1, 0.5)]
    told = report(rows, warmups, "here", USUAL).markdown
    table = told[told.index("| method | gained |") :]
    assert table.index("| amft | +20.0 (") < table.index("| grpo |  |")
    # Nor is what it gained since its own first evaluation called what it gained since the warm-up.
    (unseen,) = (replace(one, curves={}) for one in warmups)
    assert "math-clean-gained.svg" not in report(rows[:1], [unseen], "here", USUAL).figures


def test_what_is_compared_with_can_be_chosen():
    rows = [result(m, s, 0.5 + 0.1 * (m == "amft")) for m in ("amft", "hpt") for s in range(3)]
    told = report(rows, [], "here", ["amft", "best_fixed"]).markdown
    assert "| method | over amft |" in told
    assert "-10.0 (" in told
    assert "| chance to beat amft |" in told
    assert "best_fixed" not in told  # which was not run


def test_the_report_says_what_was_searched_and_whose_settings_differ():
    """Defect: it claimed equal steps and searched learning rates where a variant had steps of its own, and
    `search={}` had left nothing to search."""

    def made(method, steps, *own, **changes):
        settings = ["env=math", f"method={method}", "seed=0", "++method.balance.mu=0", *own]
        totals = {"demonstration tokens": 1, "generated tokens": 1, "optimizer steps": steps}
        return result(method, 0, 0.5, settings=settings, totals=totals, **changes)

    def told(rows, trials=()):
        text = report(rows, [], "here", USUAL, trials=trials).markdown
        return next(line for line in text.splitlines() if line.startswith("math: "))

    apart = [made(m, 100, "train.steps=100") for m in ("amft", "explore")]
    apart.append(made("imitate", 300, "train.steps=300", "train.lr=0.0005"))
    assert told(apart) == (
        "math: 100 optimizer steps, but imitate 300. With settings of its own: imitate (train.steps=300, "
        "train.lr=0.0005). All else is the same for all, but what methods are made of. Nothing was "
        "searched, no learning rate either: settings are those of recipe and command."
    )

    rates = {"amft": "0.0001", "best_fixed": "0.001", "at_rest": "0.001"}
    alike = [made(method, 160, f"train.lr={rate}") for method, rate in rates.items()]
    trials = [
        made(method, 80, condition="trial", choice={"train.lr": rate, **more})
        for rate in (0.001, 0.0001)
        for method, more in (
            ("amft", {}),
            ("best_fixed", {"method.balance.mu": 0.5 + rate}),
        )
    ]
    trials.append(made("at_rest", 80, condition="trial", choice={"train.lr": 0.001}))
    assert told(alike, trials) == (
        "math: 160 optimizer steps each. With settings of its own: at_rest (train.lr=0.001). All else is "
        "the same for all, but what methods are made of. Searched, by trials with another seed and split: "
        "train.lr among 0.0001, 0.001 for amft, best_fixed; method.balance.mu among 0.5001, 0.501 for "
        "best_fixed. At the edge of what was searched lies the best of amft (train.lr 0.001, the highest), "
        "best_fixed (train.lr 0.001, the highest)."
    )
    assert "No method has other settings of training than the rest." in told(alike[1:])

    utilities = ("next_rollout", "log_success")
    named = [made("amft", 80, choice={"method.utility.name": one}) for one in utilities]
    assert "method.utility.name among next_rollout, log_success for each." in told(alike[:1], named)


def test_what_is_kept_of_a_seed_is_no_setting_of_a_method():
    """Defect: where methods had other numbers of seeds, the episodes that the first seed alone keeps stood as
    a setting of training that one of them has of its own."""

    def made(method, seed):
        kept = ["record.evaluation=200", "eval.passes={tries:16,episodes:50}"] if seed == 0 else []
        return result(method, seed, 0.5, settings=["env=math", f"method={method}", *kept])

    told = report([made("sft", 0), made("amft", 0), made("amft", 1)], [], "here", USUAL).markdown
    assert "No method has other settings of training than the rest." in told


def test_what_older_files_do_not_tell_is_no_zero_in_the_means():
    """Defect: where the files of before and of now lay together, what the former do not tell counted as 0,
    and what the first file did not tell was left out of the table."""
    now = result("amft", 0, 0.5).totals | {"seconds of steps": 30.0}
    rows = [result("sft_then_rl", 0, 0.5), *(result("amft", s, 0.5) for s in (0, 1))]
    rows[2] = replace(rows[2], totals=now)
    for ordered in (rows, rows[::-1]):
        told = report(ordered, [], "here", USUAL).markdown
        assert "optimizer steps | seconds of steps |" in told
        assert "| amft | 2 | 100 | 200 | 20 | 30 |" in told
        assert "| sft_then_rl | 1 | 100 | 200 | 20 | - |" in told


def test_tries_are_told_where_they_were_played_and_files_of_before_are_read():
    """pass@k by the unbiased estimator, with what the warm-up came to; none of it in older files."""
    tried = {"id": [(4, 4), (4, 1), (4, 0), None], "ood_hard": [(4, 0)] * 4}
    begun = {"condition": "warm", "curves": {"success": [(0, 0.4)]}}
    warmups = [result("sft", 0, 0.4, tries={"id": [(4, 1)] * 4, "ood_hard": []}, **begun)]
    rows = [result("amft", 0, 0.5, tries=tried), result("sft_then_rl", 0, 0.5)]
    told = report(rows, warmups, "here", USUAL).markdown
    heads = "| id pass@1, % | id pass@4, % | ood_hard pass@1, % | ood_hard pass@4, % |"
    assert f"| method | pass@1 over sft_then_rl {heads}" in told
    table = told[told.index(heads) :].split("In points over")[0]
    (own,) = [line for line in table.splitlines() if line.startswith("| amft |")]
    assert [cell.split(" (")[0] for cell in own.split(" | ")[2:]] == ["41.7", "66.7", "0.0", "0.0"]
    assert "| the warm-up |  | 25.0 (25 to 25) | 100.0 (100 to 100) | - | - |" in table
    assert "| sft_then_rl |" not in table

    rows[1] = result("sft_then_rl", 0, 0.5, tries={"id": [(4, 0), (4, 1), (4, 0), None]})
    over = report(rows, warmups, "here", USUAL).markdown.split("In points over sft_then_rl")[1]
    heads, _, own = over.splitlines()[2:5]  # another split was never told apart from a baseline
    splits = ("id", "ood_hard", "id pass@1", "id pass@4", "ood_hard pass@1", "ood_hard pass@4")
    assert heads.split(" | ") == ["| method", *splits[:-1], f"{splits[-1]} |"]
    assert "| sft_then_rl |" not in over.split("What it took")[0]
    means = [cell.split(" (")[0] for cell in own.split("|")[1:-1]]
    assert [m.strip() for m in means] == ["amft", "+0.0", "+0.0", "+33.3", "+33.3", "", ""]

    plain = json.loads(json.dumps(asdict(rows[0])))
    assert result_from(plain) == rows[0]
    del plain["tries"]
    assert "pass@" not in report([result_from(plain)], [], "here", USUAL).markdown


def test_success_is_told_by_what_was_spent():
    """A method that is cheap is ahead of one that comes to the same later; what is unknown is not made up."""
    success = [(10, 0.0), (20, 1.0)]
    assert area_to(success, [(20, 100)], 100) == pytest.approx(0.5)  # from the warm-up on, at 0
    assert area_to(success, [(20, 50)], 100) == pytest.approx(0.75)
    assert area_to([(20, 1.0)], [(20, 50)], 100) == pytest.approx(1.0)
    assert area_to(success, [], 100) is None
    assert area_to([(15, 0.0), (25, 1.0)], [(10, 0), (25, 50)], 100) is None

    def spending(method, tokens):
        spent = {"tokens spent": [(0, 0), (10, tokens / 2), (20, tokens)]}
        return result(method, 0, 0.5, curves={"success": [(0, 0.1), (10, 0.5), (20, 0.5)], **spent})

    rows = [spending("amft", 100), spending("grpo", 400), result("sft", 0, 0.5)]
    told = report(rows, [], "here", USUAL).markdown
    lines = told[told.index("success by tokens, %") :].splitlines()
    last = {
        m: next(x for x in lines if x.startswith(f"| {m} |")).split(" | ")[-1].split(" (")[0]
        for m in ("amft", "grpo", "sft")
    }
    assert last == {"amft": "47.5", "grpo": "40.0", "sft": "- |"}
    assert "success by seconds" not in told


def test_what_training_plays_is_compared_step_by_step():
    """Greedy success may hide what sampling shows; the luck of the tasks is the same for all methods."""
    luck = np.random.default_rng(0).random(40)

    def played(method, seed, more):
        points = [(100 + k, float(0.5 * luck[k] + more * (k >= 30))) for k in range(40)]
        totals = {"optimizer steps": 40, "demonstration tokens": 1.0, "generated tokens": 1.0}
        curves = {"success": [(40, 0.5)], "rollout": points}
        words = [f"method={method}"]
        return result(method, seed, 0.5, curves=curves, totals=totals, settings=words)

    rows = [played(m, s, 0.05 * (m == "amft")) for m in ("amft", "best_fixed") for s in range(3)]
    rows += [result("sft", 0, 0.5), played("trapo", 0, 0.2)]
    told = report(rows, [], "here", USUAL).markdown
    words = told[told.index("| sampled, %") :].split("In points over")[0]
    assert (
        f"| amft | +5.0 (+2 to +8), better | {100 * (0.5 * luck[30:].mean() + 0.05):.1f} (" in words
    )
    assert f"| best_fixed | baseline | {100 * 0.5 * luck[30:].mean():.1f} (" in words
    assert "| sft |" not in words  # which plays none
    assert "| trapo |" not in words  # which is shown the beginning of a solution


def test_a_difference_is_drawn_over_the_task_instances_that_both_met():
    """Without that, what sets a run's luck apart hides what sets methods apart."""
    rng = np.random.default_rng(3)
    mine, theirs = {}, {}
    for seed in range(3):
        each = (rng.random(200) < 0.5).astype(float)
        better = np.where(rng.random(200) < 0.08, 1.0, each)
        for scored, found in ((mine, better), (theirs, each)):
            scored[seed] = Score(float(found.mean()), 200, found.tolist())
    paired = difference(mine, theirs)
    apart = difference(*({s: Score(f.success, 200) for s, f in x.items()} for x in (mine, theirs)))
    assert paired.mean == pytest.approx(apart.mean)
    assert paired.verdict == "better"
    assert apart.verdict == "tie"
    theirs[0].each[0] = None  # an episode that failed is left out of the pairs
    assert difference(mine, theirs).verdict == "better"


def test_an_episode_that_failed_makes_no_difference_surer():
    """Defect: where each seed had lost another number, each drew instances of its own, as if five seeds met
    five times as many tasks: +-6 points instead of +-10. And what failed for one counted for the other."""
    one, other = np.random.default_rng(0).integers(2, size=(2, 200)).astype(float)

    def fared(each, lost=0):
        kept = [None if i < lost else value for i, value in enumerate(each)]
        return Score(float(np.mean(each[lost:])), 200, kept)

    theirs = {seed: fared(other) for seed in range(5)}
    whole = difference({seed: fared(one) for seed in range(5)}, theirs)
    lost = difference({seed: fared(one, seed) for seed in range(5)}, theirs)
    assert lost.high - lost.low == pytest.approx(whole.high - whole.low, rel=0.05)
    mine, theirs = {0: Score(1.0, 3, [1.0, None, 1.0])}, {0: Score(0.5, 4, [1.0, 0.0, 1.0])}
    assert difference(mine, theirs) == Estimate(0.0, 0.0, 0.0)
    assert mean_difference(mine, theirs) == 0.0


def test_what_failed_for_one_is_drawn_among_what_conditions_change():
    """Defect: a difference outside of its own interval ended the report by a traceback."""
    alone, whole = Score(1.0, 3, [1.0, None, 1.0]), Score(2 / 3, 3, [1.0, 0.0, 1.0])
    rows = [result("sft", 0, 1.0, condition=c, scores={"id": alone}) for c in ("clean", "other")]
    warm = [result("sft", 0, 0.5, condition="warm", scores={"id": whole})]
    assert "| other | 100.0 (" in report(rows, warm, "command", ["sft"]).markdown


def test_budgets_that_differ_are_said_to_differ():
    more = {"demonstration tokens": 300.0, "generated tokens": 0.0, "optimizer steps": 20}
    rows = [result(m, 0, 0.5) for m in ("amft", "hpt", "grpo")]
    made = report([*rows, result("sft", 0, 0.4, totals=more)], [], "here", USUAL).markdown
    assert "Demonstration tokens differ from the median of 100 for sft 300%." in made
    assert "Generated tokens differ from the median of 200 for sft 0%." in made


def test_conditions_are_told_side_by_side_and_what_does_not_apply_is_not_run():
    made = grid(
        "study=robustness",
        "methods=[grpo,sft,amft]",
        "seeds=1",
        "more_seeds={amft:1}",
    )
    runs = made.runs({})
    each = {m: [r.condition for r in runs if r.method == m] for m in ("grpo", "sft", "amft")}
    assert each["grpo"] == ["clean", "noise_10", "noise_30"]
    assert "noise_10" not in each["sft"]
    assert "wrong_50" in each["sft"]
    assert len(each["amft"]) == 8
    assert list(dict.fromkeys(r.condition for r in runs)) == each["amft"]  # as they are listed
    wrong = next(r for r in runs if r.name == "math/wrong_50/amft/0").settings
    assert "demos.corrupt.share=0.5" in wrong
    assert not any(word.startswith("demos.folder") for word in wrong)  # it makes its own
    rows = [result(m, s, 0.5) for m in ("grpo", "amft") for s in range(3)]
    rows += [result("amft", s, 0.3, condition="wrong_50") for s in range(3)]
    rows += [result("grpo", s, 0.3, condition="noise_10") for s in range(3)]
    told = report(rows, [], "here", USUAL)
    line = next(x for x in told.markdown.splitlines() if x.startswith("| wrong_50 |"))
    assert "as clean" in line
    assert "30.0 (" in line
    assert "mu 0.40" in line
    figure = told.figures["math-conditions.svg"]
    assert figure.index(">clean<") < figure.index(">wrong_50<") < figure.index(">noise_10<")


def test_many_methods_stand_at_their_condition(monkeypatch):
    """Defect: from nine methods on the outer ones stood nearer to the next condition than to their own."""
    drawn, seen, looks = Axes.errorbar, [], set()

    def watched(axes, where, *words, **more):
        seen.append(where)
        looks.add((more["color"], more["fmt"]))
        return drawn(axes, where, *words, **more)

    monkeypatch.setattr(Axes, "errorbar", watched)
    at = {c: Standing(Estimate(0.5, 0.4, 0.6), None, None) for c in ("clean", "few")}
    conditions_figure({f"m{number}": at for number in range(14)}, [*at], "math")
    assert len(seen) == 14
    assert len(looks) == 14  # defect: from the eleventh on they looked like others
    assert all(abs(x - place) < 0.45 for where in seen for place, x in enumerate(where))


def test_who_was_not_run_under_a_condition_is_not_said_to_fare_as_clean():
    """Defect: in a report of what is there, of methods that were compared without a condition yet, each stood
    with what it came to without, as if wrong demonstrations changed nothing for imitation."""
    wrong = {"condition": "wrong", "settings": ["method=amft", "demos.corrupt.share=0.5"]}
    rows = [result(m, 0, 0.5, settings=[f"method={m}"]) for m in ("grpo", "sft", "amft")]
    made = report([*rows, result("amft", 0, 0.3, **wrong)], [], "here", USUAL).markdown
    lines = made.splitlines()
    assert "| grpo | 50.0 | 2.0 | 50.0 (as clean) | 2.0 (as clean) |" in lines  # it sees none
    assert "| sft | 50.0 | 2.0 |  |  |" in lines
    (told,) = (line.split(" | ") for line in lines if line.startswith("| wrong |"))
    assert told[0] == "| wrong"
    assert sorted(cell for cell in told[1:] if "30.0" not in cell) == ["", "as clean"]


def test_under_a_condition_one_sees_who_does_better_and_who_crashed():
    """What did not run there since it crashed is not told as what it does where all is well."""
    begun = {"condition": "warm", "curves": {"success": [(0, 0.45)]}}
    warmups = [result("sft", s, 0.45, **begun) for s in range(3)]
    rows = [result(m, s, 0.5) for m in ("grpo", "sft", "best_fixed", "amft") for s in range(3)]
    rows += [result("best_fixed", s, 0.1, condition="wrong") for s in range(3)]
    rows += [result("amft", s, 0.4, condition="wrong") for s in range(3)]
    rows += [result("sft", s, 0.0, condition="wrong", state="crashed") for s in range(3)]
    made = report(rows, warmups, "here", ["best_fixed"])
    lines = made.markdown.splitlines()
    success, less = (line.split(" | ") for line in lines if line.startswith("| wrong |"))
    assert success[1:3] == ["as clean", "crashed"]
    # At a glance too, so that the middle of the column is that of all of them.
    assert "| grpo | 50.0 | 2.0 | 50.0 (as clean) | 2.0 (as clean) |" in lines
    assert "| sft | 50.0 | 2.0 |  |  |" in lines
    assert (
        "| condition | grpo over best_fixed | sft over best_fixed | amft over best_fixed |" in lines
    )
    assert less[1].startswith("+40.0 (")  # grpo as clean
    assert less[2] == ""
    assert less[3].startswith("+30.0 (")
    assert "| best_fixed | 40.0 (wrong, to grpo) |" in lines
    assert "| sft | 0.0 (clean, to sft) |" in lines  # nothing is made up for what crashed
    assert {"math-clean-gained.svg", "math-wrong-gained.svg"} <= set(made.figures)
    assert "gained, points" in made.figures["math-conditions.svg"]


def test_tables_of_a_comparison_that_was_looked_at_often_agree():
    """Defect: the first table said better, by one look's interval, where `Told apart` said open."""

    def fared(method, seed, won):
        """By instance: the baseline solves the first 40."""
        each = [float(k < 40) for k in range(100)]
        if won:
            each[seed : seed + 2] = [0.0] * 2
            each[40 + 5 * seed : 47 + 5 * seed] = [1.0] * 7
        return result(method, seed, 0.5, scores={"id": Score(float(np.mean(each)), 100, each)})

    rows = [fared(m, s, m == "amft") for m in ("sft_then_rl", "amft") for s in range(3)]
    seen, plain = [3, 5, 8], report(rows, [], "here", USUAL).markdown
    pairs = pairs_of(rows, USUAL, seen, 0.01)
    assert [pair.state for pair in pairs] == ["open"]
    told = report(rows, [], "here", USUAL, verdicts=by_looks(seen, pairs)).markdown
    (row,) = [x for x in told.splitlines() if x.startswith("| amft | +")]
    assert row.split(" | ")[1] == pairs[0].apart.as_difference()
    assert "tie" in row
    assert f"after 3, 5, 8 seeds: brackets of differences are {level(tuple(seen)):.1%}" in told
    assert "| amft | +5.0 (+0 to +10), better |" in plain
    assert "It was looked at" not in plain
    assert by_looks([3], pairs).level == 0.95


def test_what_a_condition_changes_for_neither_is_told_as_without_it():
    """Defect: in a comparison that was looked at often the very same runs had a wide interval in the row of
    `clean`, that of `Told apart`, and a narrow one in that of a condition."""
    rows = [result(m, s, 0.5) for m in ("sft_then_rl", "amft", "sft") for s in range(3)]
    rows += [replace(row, condition="wrong") for row in rows if row.method == "sft"]
    (pair, *_) = pairs_of(rows, USUAL, [3, 5], 0.01)
    wide = replace(pair, apart=pair.apart.at_least(0.4))
    told = report(rows, [], "here", USUAL, verdicts=by_looks([3, 5], [wide])).markdown
    table = told[told.index("| condition | amft over sft_then_rl |") :].splitlines()
    cells = [row.split(" | ")[:2] for row in table[2:4]]
    expected = wide.apart.as_difference()
    assert cells == [["| clean", expected], ["| wrong", expected]]


def test_means_over_other_seeds_are_not_said_to_be_over_the_same():
    """Defect: where methods share no seed, means over each one's own stood as over those that all have."""
    rows = [result("amft", 0, 0.6), result("sft_then_rl", 1, 0.5)]
    told = report(rows, [], "here", USUAL).markdown
    assert "| amft | 60.0 | 2.0 |" in told
    assert "or each over its own where they share none" in told


def test_a_method_of_other_seeds_takes_no_chances_from_the_rest():
    """Defect: where one method shared no seed with the others, the table of all together was empty."""
    rows = [result(m, s, won) for m, won in (("amft", 0.6), ("sft_then_rl", 0.5)) for s in range(2)]
    told = report([*rows, result("grpo", 7, 0.5)], [], "here", USUAL).markdown
    assert "| amft | - | 100% |" in told
    assert "| sft_then_rl | - | baseline |" in told
    assert "| grpo | - |  |" in told


def test_what_is_a_mean_of_curves_has_its_interval():
    """Areas and sampled success were means alone; and other splits had none, though they have curves."""
    hard = {
        "success on ood_hard": [(0, 0.0), (10, 0.2), (20, 0.4)],
        "seconds spent": [(10, 5), (20, 9)],
    }
    points = {"success": [(0, 0.1), (10, 0.5), (20, 0.5)], "rollout": [(k, 0.4) for k in range(20)]}
    rows = [result("amft", s, 0.5, curves={**points, **hard}) for s in range(3)]
    lines = report(rows, [], "here", USUAL).markdown.splitlines()
    heads = next(x for x in lines if x.startswith("| method") and "area" in x)
    assert "| area under the curve | area under the curve, ood_hard |" in heads
    assert "| success by seconds, % | ood_hard by seconds, % |" in "\n".join(lines)
    own = [x.split(" | ")[1:] for x in lines if x.startswith("| amft |")]
    interval = r"\d+\.\d \(\d+ to \d+\)"
    assert all(
        re.match(interval, cell) for cell in own[1][-3:-1]
    )  # areas, before what was learnt at
    assert re.match(interval, own[2][-1])  # sampled
    assert all(re.match(interval, cell) for cell in own[3][-2:])


def test_a_report_is_made_again_from_files_that_no_command_of_today_would_make(tmp_path, capsys):
    """Whatever settings made them; what cannot be read is named, and nothing is trained."""

    def left(folder, one, **changes):
        path = tmp_path / folder
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**asdict(one), **changes}))
        return path

    for method, share in (("of_before", 0.5), ("sft_then_rl", 0.4), ("other", 0.3)):
        for seed in range(2):
            one = result(method, seed, share, settings=["env=math", "no.longer=there"])
            left(f"runs/{one.name}.json", one)
    left("warm/math-0.json", result("sft", 0, 0.2, condition="warm"))
    newer = left("runs/math/clean/newer/0.json", result("newer", 0, 0.5), unheard_of=1)
    moved = left("runs/math/clean/moved/0.json", result("../../elsewhere", 0, 0.5))
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "README.md").write_text(
        "# Methods compared\n\nMade by `the command of then`: 2"
    )
    words = ["render=true", f"out={tmp_path}", "report=one", "baselines=[sft_then_rl]"]
    compare(configuration("compare", [*words, "only={methods:[sft_then_rl,of_before]}"]))
    told = capsys.readouterr().out
    assert f"{newer} cannot be read and is left out" in told
    assert f"{moved} cannot be read and is left out" in told
    made = (tmp_path / "one" / "README.md").read_text()
    assert re.search("Made by `the command of then` and shown by `[^`]+`: 4 runs.", made)
    assert "| of_before | +10.0 (" in made
    assert "| other |" not in made
    assert "All begin with id 20.0" in made
    page = (tmp_path / "one" / "index.html").read_text()
    assert "../runs/math/clean/of_before/1.json" in page
    assert str(tmp_path) not in made + page
    assert "looked at several times" not in told
    # A report of before may have been of several looks, each of which asked for more.
    (tmp_path / "one" / "README.md").write_text("Made by `compare seeds=2 max_seeds=4`: 2")
    for more, said in (([], True), (["seeds=2", "max_seeds=4"], False)):
        compare(configuration("compare", [*words, *more]))
        assert ("looked at several times" in capsys.readouterr().out) == said
    with pytest.raises(ValueError, match="of_before"):
        compare(configuration("compare", [*words, "only={methods:[of_befor]}"]))
    with pytest.raises(ValueError, match="by render=true as well"):
        compare(configuration("compare", ["only={methods:[amft]}", f"out={tmp_path}"]))
    with pytest.raises(FileNotFoundError, match="no runs of a comparison that can be read"):
        compare(configuration("compare", ["render=true", f"out={tmp_path}/none"]))


def test_a_report_that_is_made_again_compares_with_what_it_did(tmp_path, capsys):
    """Defect: without baselines= its differences were gone, since today's usual ones had not been run."""
    for method, share in (("own", 0.5), ("imitate", 0.4), ("sequence", 0.3)):
        one = result(method, 0, share)
        path = tmp_path / f"runs/{one.name}.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(asdict(one)))
    then = (
        "python -m amft_mm.compare 'methods=[own,imitate,sequence]' 'baselines=[imitate,sequence]'"
    )
    readme = tmp_path / "README.md"
    readme.write_text(f"# Methods compared\n\nMade by `{then}`: 3 runs.")

    def made(*words):
        compare(configuration("compare", ["render=true", f"out={tmp_path}", *words]))
        return readme.read_text(), capsys.readouterr().out

    text, told = made()
    assert "| over imitate | over sequence |" in text
    assert f"Made by `{then}`: 3 runs." in text
    assert "none of them" not in told
    # Runs that another command made are not said to be of this one.
    readme.write_text(text.replace("own,imitate,sequence", "own,imitate"))
    text, told = made()
    assert "Shown too are sequence" in told
    assert re.search("Made by `[^`]+` and shown by `[^`]+`: 3 runs.", text)
    # What is asked for since is said beside it, and stays until something else is asked for.
    text, told = made("only={methods:[own,imitate]}")
    assert "| over imitate |" in text
    assert "baselines=[imitate,sequence]'`: 2 runs." in text
    text, told = made("baselines=[nobody]")
    assert "over imitate" not in text
    assert "baselines=[nobody]: none of them is among the runs" in told


STAND_IN = """
import json, os, sys, time
from pathlib import Path
out = Path(next(word[4:] for word in sys.argv if word.startswith("out=")))
began = time.monotonic()
time.sleep(0.3)
with open("seen", "a") as seen:
    print(out, os.environ.get("CUDA_VISIBLE_DEVICES"), began, time.monotonic(), file=seen)
if "method=grpo" in sys.argv:
    raise SystemExit("it broke")
out.mkdir(parents=True)
(out / "metrics.jsonl").touch()
(out / "summary.json").write_text('{"splits": ["id"], "episodes": 2, "eval/id/success": 0.5}')
(out / "instances.json").write_text('{"id": [0.0, 1.0]}')
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Where `python -m amft_mm.train` takes a moment; gives who ran where and when."""
    (tmp_path / "amft_mm").mkdir()
    (tmp_path / "amft_mm" / "__init__.py").touch()
    (tmp_path / "amft_mm" / "train.py").write_text(STAND_IN)
    (tmp_path / "seen").touch()
    monkeypatch.chdir(tmp_path)  # python -m looks here first
    return lambda: [line.split() for line in (tmp_path / "seen").read_text().splitlines()]


def test_what_is_played_beside_it_changes_no_run(stand_in):
    """Runs of before, without tries, are not made again, nor refused; trials play none."""
    before = grid("methods=[hpt]", "seeds=1", "passes=null", "out=here").runs({})
    make_all(before, [{}], lambda _: None, keep=False)
    now = grid("methods=[hpt]", "seeds=1", "passes={tries:3,episodes:2}", "out=here")
    assert any("eval.passes={tries:3,episodes:2}" in run.settings for run in now.warm(now.runs({})))
    assert not any("passes" in word for run in now.trials() for word in run.settings)
    assert now.runs({})[0].settings != before[0].settings
    make_all(now.runs({}), [{}], lambda _: None, keep=False)
    assert len(stand_in()) == len(before)


def test_a_gpu_has_one_run_at_a_time_and_none_is_idle(stand_in, monkeypatch):
    """All runs on the first GPU of eight, as where nobody says which."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,9")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    runs = grid("methods=[sft,hpt]", "out=here").runs({})
    told = []
    made = make_all(runs, places(None), told.append, keep=False)
    assert [line.split("/")[0] for line in told] == [*"123456"]  # each number once
    assert [one.seed for one in made] == [run.seed for run in runs]
    assert {(one.state, one.first.success) for one in made} == {("finished", 0.5)}
    seen = stand_in()
    assert len(seen) == 6
    for gpu in ("3", "5"):
        times = sorted((float(a), float(b)) for _, which, a, b in seen if which == gpu)
        assert len(times) >= 2
        assert all(end <= begin for (_, end), (begin, _) in pairwise(times))


def test_calls_that_share_a_folder_share_the_work(stand_in):
    """And each has all results in the end, with what crashed at the other's."""
    runs = grid("methods=[sft,grpo,hpt]", "seeds=2", "out=here").runs({})
    with ThreadPoolExecutor() as pool:
        calls = [
            pool.submit(make_all, runs, [{}, {}], lambda _: None, keep=False) for _ in range(2)
        ]
        mine, theirs = (call.result() for call in calls)
    assert len(stand_in()) == len({out for out, *_ in stand_in()}) == len(runs)  # each once
    assert mine == theirs
    assert [one.state for one in mine] == ["finished"] * 2 + ["crashed"] * 2 + ["finished"] * 2
    assert "it broke" in mine[2].why
    again = make_all(runs, [{}], lambda _: None, keep=False)
    assert again[0] == mine[0]
    assert len(stand_in()) == len(runs) + 2  # what crashed is tried again


def test_a_mistake_ends_all_workers(stand_in):
    runs = grid("methods=[sft]", "seeds=5", "out=here").runs({})
    runs[0].folder.parent.mkdir(parents=True)
    write_result(runs[0], replace(result("sft", 0, 0.5), settings=["train.steps=3"]))
    with pytest.raises(FileExistsError, match="made with other settings"):
        make_all(runs, [{}, {}], lambda _: None, keep=False)
    assert len(stand_in()) <= 2


@pytest.mark.parametrize(
    "damaged",
    ["", '{"env": "ma', "[1]", '{"scores": {}, "curves": {}}', {"settings": None}, {"scores": {}}],
)
def test_a_result_that_cannot_be_read_is_named_and_made_anew_once_it_is_gone(stand_in, damaged):
    """Defect: of JSON that was cut off no file was told, and of another shape a traceback."""
    (run,) = grid("methods=[sft]", "seeds=1", "out=here").runs({})
    (made,) = make_all([run], [{}], lambda _: None, keep=False)
    path = Path("here/runs/math/clean/sft/0.json")
    if isinstance(damaged, dict):
        damaged = json.dumps(asdict(made) | damaged)
    path.write_text(damaged)
    with pytest.raises(ValueError, match=f"{path} .*delete it, and the run is made anew"):
        make_all([run], [{}], lambda _: None, keep=False)
    path.unlink()
    assert make_all([run], [{}], lambda _: None, keep=False)[0].scores == made.scores


def test_a_comparison_that_was_moved_is_not_made_again(stand_in, tmp_path):
    """Defect: where its warm-ups had lain counted as a setting of its runs."""
    runs = grid("methods=[sft,hpt]", "seeds=1", "out=here").runs({})
    made = make_all(runs, [{}], lambda _: None, keep=False)
    Path("here").rename("it's there")
    moved = grid("methods=[sft,hpt]", "seeds=1", 'out="it\'s there"').runs({})
    assert make_all(moved, [{}], lambda _: None, keep=False) == made
    assert len(stand_in()) == len(runs)


def test_runs_that_began_with_another_machines_warm_up_are_refused(stand_in):
    made = grid("methods=[sft]", "seeds=2", "out=here")
    runs = made.runs({})
    (warmups,) = [make_all(made.warm(runs), [{}], lambda _: None, keep=True)]
    results = make_all(runs, [{}], lambda _: None, keep=False)
    check_beginnings(results, warmups)
    here = {"id": replace(warmups[1].first, each=[1.0, 0.0])}
    with pytest.raises(ValueError, match="1 runs, math/clean/sft/1 the first, began with other"):
        check_beginnings(results, [warmups[0], replace(warmups[1], scores=here)])


def test_more_jobs_than_gpus_share_them_and_none_is_needed(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert [p["CUDA_VISIBLE_DEVICES"] for p in places(3)] == ["0", "1", "0"]
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert places(3) == [{}, {}, {}]
    assert len(places(None)) == cores()
    with pytest.raises(ValueError, match="jobs=0 "):
        places(0)


@pytest.mark.parametrize(
    "study", ["robustness", "ablation", "conditions", "generalises", "generalises_streets"]
)
def test_what_a_study_changes_is_known_to_training(study):
    """So that no run of hours ends in a name that does not exist."""
    changed, seen = set(), set()
    for run in grid(f"study={study}").runs({}):
        if (run.method, run.condition) in seen:
            continue
        seen.add((run.method, run.condition))
        configuration("train", run.settings)
        changed |= {
            word.lstrip("+").partition("=")[0] for word in run.settings if "method." in word
        }
        kept = [w for w in run.settings if not w.startswith("train.warm_from")]
        config = composition("train", kept)
        settings = options_of(config.method.balance)
        assert balance(config.method.balance.name, 10, settings)
        assert utility(config.method.utility.name, options_of(config.method.utility))
    assert ("method.horizon" in changed) == (study == "ablation")


TINY = [
    "methods=[tuned,amft,broken]",
    "+variants.tuned={method:sft,search:{train.lr:[0.001,0.002]}}",
    "+variants.broken={method:amft,settings:{method.imitation.name:'breaks:loss'}}",
    "seeds=1",
    "more_seeds={}",
    "search={train.lr:[0.001]}",
    "eval={every:2,episodes:2}",
    "passes={tries:2,episodes:2}",
    "++budgets.math={model.name:tiny-random,demos.n:4,limits.max_new_tokens:8,train.warmup_steps:2,train.steps:2,"
    "train.warmup_demos:2,train.demos:2,train.tasks:2}",
    "++budgets.math.train.group=2",
    "jobs=2",
]


@pytest.mark.slow
def test_a_comparison_runs_and_is_not_made_twice(tmp_path):
    words = [sys.executable, "-m", "amft_mm.compare", "out='it is=here'", *TINY]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    breaks = "def loss(tokens, totals):\n    raise ValueError('it broke')\n"
    (tmp_path / "breaks.py").write_text(breaks)

    def run():
        return started.run(words, cwd=tmp_path, env=environment, timeout=900)

    done = run()
    assert done.returncode == 0, done.stdout + done.stderr
    here = tmp_path / "it is=here"
    trials = [json.loads(p.read_text()) for p in here.glob("trials/math/tuned/*.json")]
    assert [trial["state"] for trial in trials] == ["finished"] * 2
    told = (here / "README.md").read_text()
    assert "math/clean/broken/0: crashed" in told
    assert "it broke" in told
    assert "| amft |" in told
    kept = json.loads((here / "runs" / "math" / "clean" / "amft" / "0.json").read_text())
    assert (kept["totals"]["steps"], kept["totals"]["optimizer steps"]) == (2, 4)
    assert {split: len(each) for split, each in kept["tries"].items()} == {"id": 2, "ood_hard": 2}
    assert [step for step, _ in kept["curves"]["tokens spent"]] == [4]
    assert "| the warm-up |" in told
    assert "pass@2" in told
    replay = (here / "replays" / "math-clean.html").read_text()
    assert "id, a failure" in replay
    assert "replays/math-clean.html#at=list&amp;run=amft" in (here / "index.html").read_text()
    assert not (here / "runs" / "math" / "clean" / "amft" / "0" / "checkpoints").exists()
    # As in results that were published: JSON files alone.
    for folder in (here / "warm").glob("math-*/"):
        shutil.rmtree(folder)
    before = {p: p.stat().st_mtime_ns for p in here.rglob("*.json") if "broken" not in str(p)}
    assert run().returncode == 0
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert (here / "warm" / "math-0").exists()  # made again: what crashed begins with it
    assert not (here / "warm" / "math-1000").exists()  # nothing that is left begins with it

    shutil.rmtree(here / "warm" / "math-0")
    other = json.loads((here / "warm" / "math-0.json").read_text())
    other["scores"]["id"]["success"] = 0.75  # as it was on another machine
    (here / "warm" / "math-0.json").write_text(json.dumps(other))
    refused = run()
    assert refused.returncode == 1
    assert "this machine computes otherwise" in refused.stderr
    assert not (here / "warm" / "math-0").exists()  # so that the next call says so too
