"""What a comparison plans: who begins with what, what is told before anything is made."""

from dataclasses import replace

import pytest

from amft_mm.compare.__main__ import check_beginnings, check_settings
from amft_mm.compare.grid import variant
from amft_mm.compare.report import report
from amft_mm.compare.result import Score, fingerprint
from amft_mm.compare.searching import at_edges, best_of, edge, without_a_choice
from amft_mm.compare.selecting import on_shared_splits
from amft_mm.compare.sequential import pairs_of
from amft_mm.compare.terms import terms
from tests.amft_mm.test_compare import USUAL, grid, result

CONDITIONS = (
    "++conditions={clean:{},few:{demos.n:32},answers:{env.thought:none},short:{train.warmup_steps:15},"
    "brief:{env.thought:none,demos.n:64},elsewhere:{env.splits:[ood_hard]}}"
)


def settings_of(run):
    return dict(word.lstrip("+").split("=", 1) for word in run.settings)


def test_a_condition_of_the_world_or_the_warm_up_has_a_warm_up_of_its_own():
    """Defect: all conditions began with the same, so that the world changed and its demonstrations did not,
    and a warm-up of other length ended each run with a file that was not there."""
    made = grid("envs=[math]", "methods=[hpt]", "seeds=1", CONDITIONS)
    runs = {run.condition: run for run in made.runs({})}
    begun = {name: run.warm.folder.name for name, run in runs.items()}
    assert begun == {
        "clean": "math-0",
        "few": "math-0",
        "answers": "math-answers-0",
        "short": "math-short-0",
        "brief": "math-answers-0",  # it begins with the same
        "elsewhere": "math-0",
    }
    for run in runs.values():
        own, warm = settings_of(run), settings_of(run.warm)
        assert own["train.warm_from"] == str(run.warm.folder)
        assert own.get("env.thought") == warm.get("env.thought")
        assert own.get("train.warmup_steps") == warm.get("train.warmup_steps")
        assert "demos.n" not in warm  # what is imitated afterwards is changed after it
    recorded = {name for name, run in runs.items() if "demos.folder" not in settings_of(run)}
    assert recorded == {"few", "brief"}
    assert [run.folder.name for run in made.warm(made.runs({}))] == [
        "math-0",
        "math-answers-0",
        "math-short-0",
    ]


def test_a_run_is_told_beside_the_warm_up_that_it_began_with():
    """Gained is what a run came to since its own beginning; and runs of another are told apart."""
    warm, own = (
        result("sft", 0, success, condition=name, scores={"id": Score(success, 2, [success])})
        for name, success in (("warm", 0.4), ("warm-answers", 0.1))
    )
    rows = [
        result(
            method,
            0,
            0.5,
            condition=condition,
            begun=fingerprint(began),
            scores={"id": Score(0.5, 2)},
            settings=[f"train.warm_from='a=b/warm/math{began.condition[4:]}-0'"],
        )
        for method in ("amft", "sft")
        for condition, began in (("clean", warm), ("answers", own))
    ]
    check_beginnings(rows, [warm, own])
    with pytest.raises(ValueError, match="2 runs, math/answers/amft/0 the first"):
        check_beginnings(rows, [warm, result("sft", 0, 0.3, condition="warm-answers")])
    told = report(rows, [warm, own], "here", USUAL).markdown
    assert "All begin with id 40.0" in told
    assert "All begin with id 10.0" in told
    assert "| amft | +40.0 (" in told
    assert "begin with warm-ups of their own" in told


def test_slips_of_a_budget_are_of_the_warm_up_that_records_them():
    """Defect: each run ended, since demonstrations that are there are taken as they are."""
    made = grid("envs=[math]", "methods=[amft]", "seeds=1", "++budgets.math.demos.slips=0.3")
    (warm, *_), (run, *_) = made.warm(made.runs({})), made.runs({})
    assert "demos.slips=0.3" in warm.settings
    assert not any(word.startswith("demos.slips") for word in run.settings)


def test_a_variant_has_demonstrations_of_its_own():
    """Defect: it was given those of the warm-up, whatever it said, and what was to spoil them was gone."""
    made = grid(
        "envs=[math]",
        "methods=[amft,few,wrong]",
        "seeds=1",
        "++budgets.math.demos.slips=0.3",
        "+variants.few={method:amft,settings:{demos.n:32}}",
        "+variants.wrong={method:amft,settings:{demos.corrupt.share:0.5}}",
    )
    runs = {run.method: settings_of(run) for run in made.runs({})}
    assert "demos.folder" in runs["amft"]
    for name, setting, value in (("few", "demos.n", "32"), ("wrong", "demos.corrupt.share", "0.5")):
        assert runs[name][setting] == value
        assert "demos.folder" not in runs[name]


def test_what_a_variant_or_a_condition_says_is_not_searched():
    """Defect: a variant's own learning rate was replaced by what was searched, and a condition's was told as
    what was found."""
    words = ["+variants.fast={method:amft,settings:{train.lr:0.01}}"]
    words += [
        "search={train.lr:[0.0001,0.0003]}",
        "++conditions={clean:{},slow:{train.lr:0.00001}}",
    ]
    made = grid("envs=[math]", "methods=[amft,fast]", "seeds=1", *words)
    assert {run.method for run in made.trials()} == {"amft"}
    runs = {(r.method, r.condition): r for r in made.runs({("math", "amft"): {"train.lr": 0.0003}})}
    assert settings_of(runs["fast", "clean"])["train.lr"] == "0.01"
    assert settings_of(runs["amft", "clean"])["train.lr"] == "0.0003"
    assert float(settings_of(runs["amft", "slow"])["train.lr"]) == 1e-5
    assert runs["amft", "clean"].choice == {"train.lr": 0.0003}
    assert runs["amft", "slow"].choice == {}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["methods=[long]", "+variants.long={method:amft,settings:{train.warmup_steps:20}}"],
            "train.warmup_steps is of the warm-up too, .*give it as a condition",
        ),
        (
            ["methods=[v]", "+variants.v={method:amft,settings:{env.thought:none}}"],
            "env.thought is of the warm-up too",
        ),
        (
            [
                "methods=[v]",
                "+variants.v={method:sft,settings:{train.lr:1},search:{train.lr:[1,2]}}",
            ],
            "train.lr is among its settings and in its search",
        ),
        (
            ["methods=[v]", "+variants.v={method:amft,search:{train.warmup_steps:[20,40]}}"],
            "train.warmup_steps is of the warm-up too, .* nor searched",
        ),
        (["methods=[v]", "+variants.v={method:amft,settings:{seed:7}}"], "seed is each run's own"),
        (["methods=[sft,amft]", "seeds=1", "max_seeds=4"], "all have 5 at first"),
    ],
)
def test_what_would_do_nothing_or_something_else_is_refused(words, told):
    with pytest.raises(ValueError, match=told):
        grid("envs=[math]", "more_seeds={sft:5,amft:5}", *words)


def test_what_a_condition_says_of_episodes_is_what_can_be_told():
    """Defect: the budget's were taken, and six times as much promised as it can tell."""
    made = grid(
        "envs=[math]",
        "methods=[sft]",
        "seeds=1",
        "++conditions={clean:{},small:{eval.episodes:50}}",
    )
    episodes = {name: plan.episodes for (_, name), plan in made.planned().items()}
    assert episodes["small"] == 50
    assert episodes["clean"] > 50


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["++budgets.math.train.group=1"], "train.group=1 leaves nobody to compare"),
        (["++budgets.math.env.splits=[id,odd]"], "odd"),
        (["+variants.hpt.method=hpt", "+variants.hpt.settings.train.pool=4"], "train.pool=4 goes"),
    ],
)
def test_what_its_runs_would_refuse_is_told_beforehand(words, told):
    """Defect: only settings were checked, and what does not go together ended each run after its warm-up."""
    made = grid("envs=[math]", "methods=[hpt]", "seeds=1", *words)
    with pytest.raises(ValueError, match=told):
        check_settings(made.runs({}))
    check_settings(grid("envs=[math]", "methods=[hpt]", "seeds=1").runs({}))


def test_trials_of_a_method_that_is_validated_are_not():
    """Defect: all of them crashed, for want of the split and the looks that validation asks for, and the
    method was compared at the first of the learning rates."""
    made = grid("envs=[math]", "methods=[sft,sft_peak]", "seeds=1")
    trials = {run.method: run for run in made.trials()}
    assert settings_of(trials["sft_peak"])["eval.validation"] == "null"
    assert "eval.validation" not in settings_of(trials["sft"])  # as it was tried before
    assert not any("eval.validation" in settings_of(run) for run in made.runs({}))
    check_settings([trials["sft_peak"]])


def tried(*successes, method="sft"):
    """A comparison's trials, and what they came to; None is a crash."""
    words = f"search={{train.lr:[{','.join(str(0.1 * 2**k) for k in range(len(successes)))}]}}"
    trials = grid("envs=[math]", f"methods=[{method}]", words).trials()
    ended = [
        result(
            method,
            1000,
            success or 0.0,
            choice=run.choice,
            condition="trial",
            state="crashed" if success is None else "finished",
            why="" if success is not None else "out of memory",
        )
        for run, success in zip(trials, successes, strict=True)
    ]
    return trials, ended


def test_a_method_whose_trials_all_crashed_is_left_out_and_said_to_be():
    trials, ended = tried(None, None)
    assert best_of(trials, ended) == {}
    (words,) = without_a_choice(trials, ended).values()
    assert words.startswith("sft on math is left out: all its 2 trials crashed")
    assert "out of memory" in words
    assert without_a_choice(*tried(None, 0.5)) == {}
    told = terms([result("sft", 0, 0.5)], tried(0.1, None, 0.2)[1])
    assert "1 of 3 trials crashed: sft train.lr=0.2 crashed (out of memory)." in told
    assert "Searched, by trials with another seed and split: train.lr among 0.1, 0.4" in told


def test_a_best_at_the_edge_of_what_was_searched_is_said_to_be_there():
    trials, ended = tried(0.1, 0.2, 0.3)
    (words,) = at_edges(trials, best_of(trials, ended))
    assert words.startswith("sft on math: the best train.lr is 0.4, the highest that was searched.")
    found = terms([result("sft", 0, 0.5, choice={"train.lr": 0.4})], ended)
    assert (
        "At the edge of what was searched lies the best of sft (train.lr 0.4, the highest)."
        in found
    )
    trials, ended = tried(0.1, 0.3, 0.2)
    assert at_edges(trials, best_of(trials, ended)) == []
    assert "edge" not in terms([result("sft", 0, 0.5, choice={"train.lr": 0.2})], ended)


@pytest.mark.parametrize("searched", [[False, True], ["a", "b"], [[0.9, 0.99], [0.9, 0.95]]])
def test_only_numbers_have_an_edge(searched):
    """True was the highest that was searched; lists ended the command when all trials were made."""
    assert [edge(one, searched) for one in searched] == [None, None]


def test_runs_of_other_splits_are_compared_on_those_that_they_share():
    """Defect: a KeyError at the end of all runs; where the first differed, one's id less another's ood."""
    sft, mine = (result(name, 0, share) for name, share in (("sft", 0.5), ("mine", 0.9)))
    own = replace(mine, scores={"id": mine.scores["id"]})
    made = report([sft, own], [], "command", ["sft"])
    assert "not all runs were evaluated on them: ood_hard" in made.markdown
    turned = replace(mine, scores=dict(reversed(mine.scores.items())))
    [_, there], left = on_shared_splits([sft, turned])
    assert (there.first.success, left) == (0.9, [])


def test_who_is_told_apart_is_so_on_a_split_that_both_have():
    """Defect: where runs list their splits in another order, it was one's id less another's ood."""
    mine, theirs = Score(0.5, 200), Score(0.1, 200)
    rows = [result("sft", s, 0.5, scores={"id": mine, "ood": theirs}) for s in range(2)]
    rows += [result("amft", s, 0.5, scores={"ood": theirs, "id": mine}) for s in range(2)]
    (pair,) = pairs_of(rows, ["sft"], [2, 4], 0.05)
    assert pair.apart.mean == 0.0


def test_a_variant_that_imitates_or_explores_otherwise_heeds_what_its_preset_does_not():
    """Defect: it was left out of conditions, and told to be there as without them."""
    imitating = {"method": "grpo", "settings": {"method.balance.name": "fixed"}}
    config = {"variants": {"v": imitating, "w": {"method": "grpo"}}, "search": {}}
    assert variant("v", config).heedless_of is None
    assert variant("w", config).heedless_of == "demos."


def test_who_explores_otherwise_is_said_to():
    """Defect: it said that all else is the same where methods explored by other losses."""
    alike = [result(m, 0, 0.5, settings=[f"method={m}"]) for m in ("grpo", "sft_then_rl", "sft")]
    assert "All explore alike." in terms(alike, [])
    other = [*alike, result("relift", 0, 0.5, settings=["method=relift"])]
    assert (
        "Exploration: loss grpo, credit by episode, over std, but relift: loss dr_grpo, credit by episode, "
        "over mean, minibatches 2."
    ) in terms(other, [])
    own = result("mine", 0, 0.5, settings=["method=grpo", "++method.exploration.name=maxrl"])
    assert "mine: loss maxrl" in terms([*alike, own], [])
    bounds = ["++method.exploration.clip=null", "++method.exploration.dual=null"]
    own = result("mine", 0, 0.5, settings=["method=amft", *bounds])
    told = terms([result("amft", 0, 0.5, settings=["method=amft"]), own], [])
    assert "loss maxrl, clip 0.2, dual clip 3, credit by turn" in told  # it said alike
    assert "mine: loss maxrl, credit by turn" in told


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("++more_seeds={nonsense:5}", "more_seeds='nonsense' is not one of"),
        ("+more_seeds.sff=4", "Did you mean 'sft'"),
        (["seeds=3", "max_seeds=2"], "max_seeds=2 seeds=3"),
        ("methods=[sft,sft]", r"methods=\[sft,sft\]: sft is there twice"),
        ("methods=[]", r"methods=\[\]: there is nothing to compare"),
        ("envs=[]", r"envs=\[\]: there is nothing to compare"),
        ("envs=[math,math]", "math is there twice"),
        ("~conditions.clean", r"conditions=\{\}: there is nothing"),
        # tracebacks
        ("++conditions.x=5", r"conditions\.x=5: give settings by their names"),
        ("budgets.math=5", r"budgets\.math=5: give settings by their names"),
        (["++variants.x={method:sft,settings:5}", "methods=[x]"], r"variants\.x\.settings=5: give"),
        (["++variants.x={method:sft,search:5}", "methods=[x]"], r"variants\.x\.search=5: give"),
        (["++variants.x={method:[1]}", "methods=[x]"], r"variants\.x=.*: give the preset"),
        (["++variants.x=null", "methods=[x]"], r"variants\.x=null: give the preset"),
        ("methods=[mine]", r"variants=\{mine:\{method:amft,settings:"),
    ],
)
def test_a_comparison_of_nothing_or_of_the_same_twice_is_refused(setting, words):
    """Defect: it planned no runs, or each run twice, and number of seeds was given for what is not there."""
    with pytest.raises(ValueError, match=words):
        grid(*([setting] if isinstance(setting, str) else setting))


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        (
            ["++variants={../x:{method:sft}}", "methods=[../x]"],
            r"methods: \.\./x is to name a folder",
        ),
        (["++conditions={a/b:{demos.n:5}}"], "conditions: a/b is to name a folder"),
        (["++conditions={_half:{demos.n:5}}"], "conditions: _half is to name a folder"),
        (["++conditions={x$y:{demos.n:5}}"], r"conditions: x\$y is to name a folder"),
        (["+conditions.warm-long={train.warmup_steps:99}"], "names that begin as warm-long does"),
    ],
)
def test_names_are_those_of_folders_and_of_no_warm_up(setting, words):
    """Defect: hours of runs that lay where no report finds them; links that led to another warm-up; names
    that a figure took for a formula, or left out of its legend."""
    with pytest.raises(ValueError, match=words):
        grid(*setting)


def test_what_is_null_changes_nothing():
    made = grid("envs=[math]", "methods=[sft]", "++conditions={clean:null}", "budgets.math=null")
    (run, *_) = made.runs({})
    assert run.condition == "clean"
    assert "train.steps" not in settings_of(run)  # the recipe's


def test_steps_that_are_no_number_are_told_before_trials_take_a_share_of_them():
    made = grid("envs=[math]", "methods=[sft]", "++budgets.math.train.steps=abc")
    with pytest.raises(ValueError, match=r"budgets\.math\.train\.steps=abc: give a whole number"):
        made.trials()
