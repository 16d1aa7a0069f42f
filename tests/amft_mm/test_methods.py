"""Methods: every preset is made of parts that exist, and what guides exploration guides it."""

import json
import re
import sys
from dataclasses import replace
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
import torch

from agents.conversation import Conversation, Limits
from agents.demonstrations import Demonstration, write_part
from agents.engines.hf import HFEngine
from agents.experts import demonstrate
from agents.policy import Policy
from agents.rollout import NOTHING, Given, Plan, play
from agents.worlds import World, Worlds
from amft_mm.config.composition import composition
from amft_mm.config.settings import options_of
from amft_mm.data.sources import beginning
from amft_mm.learning.example import Example
from amft_mm.learning.learner import Learner, OptimizerSettings
from amft_mm.learning.objective import Objective
from amft_mm.learning.reference import Behaviour
from amft_mm.methods.balance import balance
from amft_mm.methods.exploration import exploration
from amft_mm.methods.guidance import Choice, guidance
from amft_mm.methods.guidance.failing import Failing
from amft_mm.methods.objectives import Objectives
from amft_mm.methods.presets import STATUSES, methods
from amft_mm.runs.episodes import answer_tokens
from amft_mm.runs.processes import ProcessGroup
from amft_mm.train import train
from envs.guard import GuardedEnv
from tests import started
from tests.amft_mm.processes import mixed

WORLDS = {
    "virl": World("amft/VIRL-v0", {"modality": "text", "attempts": 2}),
    "general_points": World("amft/GeneralPoints-v0", {"modality": "visual"}),
    "math": World("amft/Math-v0", {}),
}
LIMITS = Limits(max_new_tokens=120)
RNG = np.random.default_rng(0)


def demonstration(name, slips=0.0):
    world = WORLDS[name]
    env = GuardedEnv(world.make, seconds=10)
    found = demonstrate(env, world, 5, slips=slips)
    env.close()
    return found


def played(policy, name, given, group=2):
    worlds = Worlds(WORLDS[name], slots=group)
    plan = Plan(tasks=1, group=group, seeds=(5,), limits=LIMITS, given=given)
    trajectories = play(worlds, policy, HFEngine(policy), plan)
    worlds.close()
    return trajectories


@pytest.mark.parametrize("name", sorted(methods()))
def test_every_preset_is_made_of_parts_that_exist(tiny, name):
    given = ["++method.imitation.behaviour=tiny-random"] if name == "pear" else []
    config = composition("train", ["env=math", f"method={name}", "seed=3", *given])
    method = config.method
    assert method.name == name
    assert method.about
    assert method.source
    objectives = Objectives(method, tiny)
    assert objectives.imitation.loss
    assert guidance(method.guidance.name, options_of(method.guidance))
    assert 0 <= balance(method.balance.name, 10, options_of(method.balance)).mu(0) <= 1


def test_the_model_that_wrote_demonstrations_sees_as_many_tokens_a_picture_as_the_policy():
    """Defect: it was loaded with its own pixel budget, and given conversations of another."""
    policy = Policy.load("tiny-random", device="cpu", max_pixels=28 * 28 * 4)
    conversation = Conversation(policy)
    conversation.observe("Look.", np.full((168, 168, 3), 90, np.uint8))
    conversation.say("forward()")
    with torch.no_grad():
        own = policy.score([conversation]).log_probs
    assert torch.allclose(Behaviour("tiny-random", policy)([conversation]), own, atol=1e-5)


def test_pear_is_refused_without_the_model_that_wrote_the_demonstrations(tiny):
    """With the policy's own beginning in its place it would weigh by what was learnt: another method."""
    config = composition("train", ["env=math", "method=pear"])
    with pytest.raises(ValueError, match="give that model as"):
        Objectives(config.method, tiny)


def test_sed_finds_its_threshold_among_demonstrations_and_keeps_it(tiny, tmp_path):
    """The lowest 30 % of their tokens are open ended; a run that goes on finds the same number."""
    config = composition("train", ["env=math", "method=sed"])
    row = demonstration("math").conversation(tiny)
    learner = Learner(tiny, OptimizerSettings(lr=0.0), ProcessGroup(), 3000)
    shares = []
    for shown in ([row], []):
        made = Objectives(config.method, tiny)
        with pytest.raises(ValueError, match="needs tau"):
            made.imitation.loss(*[None] * 2)
        tiny.model.train()  # nothing is to be dropped out where a threshold is measured
        made.calibrate(tmp_path / "tau.json", lambda rows=shown: rows, ProcessGroup(), 3000)
        assert tiny.model.training is not bool(shown)
        shares.append(learner.gradients([Example(row)], made.imitation).figures["sed/open_ended"])
    with pytest.raises(FileNotFoundError, match=r"gone.json is not there any more.*out=FOLDER"):
        made.calibrate(tmp_path / "gone.json", lambda: [row], ProcessGroup(), 3000, begun=True)
    learner.drop_gradients()
    assert shares[0] == shares[1] == pytest.approx(0.3, abs=0.5 / row.chosen().sum() + 0.05)


def measured_by_one_length():
    losses = {
        name: exploration(preset["exploration"]["name"]).loss for name, preset in methods().items()
    }
    return sorted(name for name, loss in losses.items() if "length" in signature(loss).parameters)


@pytest.mark.parametrize("name", measured_by_one_length())
def test_presets_with_one_length_for_all_have_the_same(tmp_path, name):
    """Defect: three had 512, the others what an answer may be long, so that on short answers the three made
    smaller steps of the same learning rate."""
    config = config_of(tmp_path, name, "limits.max_new_tokens=37")
    assert config.method.exploration.length == 37


@pytest.mark.parametrize("more", [[], ["--check"]])
def test_the_list_of_methods_names_each(more):
    told = started.run([sys.executable, "-m", "amft_mm.methods", *more])
    assert told.returncode == 0
    begin_a_row = re.findall(r"(?m)^\S (\w+) ", told.stdout)
    assert methods().keys() <= set(begin_a_row)


def test_every_preset_says_how_it_is_known_and_which_tests_hold_it():
    """An identity that no test of that name holds is only words."""
    files = Path(__file__).parent.glob("test_*.py")
    tests = {t for f in files for t in re.findall(r"^def (test_\w+)", f.read_text(), re.MULTILINE)}
    for name, preset in methods().items():
        assert preset.get("status") in STATUSES, name
        assert preset.get("identities"), name
        assert set(preset["identities"]) <= tests, name


@pytest.mark.parametrize("name", WORLDS)
def test_a_demonstration_that_joins_a_group_is_scored_by_the_world(tiny, name):
    row = demonstration(name)
    given = {(0, 1): beginning(row, 1.0, tiny)}
    alone, aided = played(tiny, name, given)
    assert not alone.aided
    assert aided.aided
    assert aided.success
    assert aided.rewards == row.rewards
    assert [a.text for a in aided.conversation.answers] == row.answers
    assert aided.conversation.given()[aided.conversation.chosen()].all()


def test_a_wrong_demonstration_gets_the_reward_of_being_wrong(tiny):
    row = demonstration("math")
    row.answers = ["no number"]
    _, aided = played(tiny, "math", {(0, 1): beginning(row, 1.0, tiny)})
    assert not aided.success


def test_slips_of_a_demonstration_are_given_and_not_learnt(tiny):
    row = demonstration("virl", slips=0.9)
    assert row.slips
    _, aided = played(tiny, "virl", {(0, 1): beginning(row, 1.0, tiny)})
    learnt = [answer.learnt for answer in aided.conversation.answers]
    assert [i for i, good in enumerate(learnt) if not good] == row.slips


@pytest.mark.parametrize("share", [0.3, 0.55, 0.9])
@pytest.mark.parametrize("name", WORLDS)
def test_a_rollout_goes_on_from_the_beginning_that_it_was_given(tiny, name, share):
    """What it wrote itself is scored as it was sampled: the ratio is 1."""
    row = demonstration(name)
    begins = beginning(row, share, tiny)
    _, aided = played(tiny, name, {(0, 1): begins})
    conversation = aided.conversation
    own_ids = np.array(conversation.ids)[conversation.given()].tolist()
    written = [token for answer in row.answers for token in tiny.chat_format.answer(answer)]
    assert own_ids == written[: int(share * len(written))]
    answer = conversation.answers[len(begins.answers)]
    assert answer.given == len(begins.begun)
    assert len(answer.log_probs) == answer.stop - answer.start - answer.given
    learner = Learner(tiny, OptimizerSettings(lr=1e-3), ProcessGroup(), 3000)
    seen = []

    def loss(tokens, totals):
        seen.append(tokens)
        return 0.0 * tokens.log_probs.sum()

    example = Example(conversation, np.ones(len(conversation.answers)))
    report = learner.gradients([example], Objective(loss))
    assert report.largest_ratio_error < 1e-4
    assert report.given == len(own_ids)
    assert seen[0].given.tolist() == conversation.given()[conversation.chosen()].tolist()
    own = seen[0].entropies[~seen[0].given]  # defect: what the expert wrote counted too
    assert report.entropy == (pytest.approx(float(own.mean()), rel=1e-5) if len(own) else None)


def test_a_beginning_that_leaves_no_room_is_not_given(tiny):
    row = Demonstration("long", ["What?"], ["1 " * 300])
    begins = beginning(row, 0.9, tiny)
    worlds = Worlds(WORLDS["math"], slots=1)
    limits = Limits(max_tokens=200, max_new_tokens=16)
    (alone,) = play(
        worlds, tiny, HFEngine(tiny), Plan(limits=limits, given={(0, 0): begins}, seeds=(5,))
    )
    worlds.close()
    assert alone.conversation.answers[0].given == 0


def test_nothing_given_is_nothing_changed(tiny):
    plain, same = (played(tiny, "math", given) for given in ({}, {(0, 0): NOTHING}))
    assert [t.conversation.ids for t in plain] == [t.conversation.ids for t in same]


def test_a_slip_is_never_begun():
    class Letters:
        class chat_format:
            answer = staticmethod(list)

    row = Demonstration("slips", ["a", "b"], ["abcd", "efgh"], slips=[1])
    assert beginning(row, 0.75, Letters) == Given(("abcd",), (True,), ())
    row.slips = [0]
    assert beginning(row, 0.25, Letters) == Given()
    assert beginning(row, 0.75, Letters) == Given(("abcd",), (False,), ("e", "f"))


class Episode:
    failed = False

    def __init__(self, success):
        self.success = success


def groups(*successes):
    return [((0, i), [Episode(s) for s in members]) for i, members in enumerate(successes)]


def test_hpt_is_exploration_below_0_and_imitation_from_1():
    step = groups([0, 0], [0, 1], [1, 1])
    explores = guidance("hpt", {"gamma": -1.0}).choose(step, ProcessGroup())
    assert (len(explores.explore), explores.imitate, explores.mu) == (6, [], 0.0)
    imitates = guidance("hpt", {"gamma": 1.0}).choose(step, ProcessGroup())
    assert (imitates.explore, len(imitates.imitate), imitates.mu) == ([], 3, 1.0)
    gated = guidance("hpt", {"gamma": 0.0}).choose(step, ProcessGroup())
    assert (len(gated.explore), gated.imitate) == (4, [(0, 0)])
    assert gated.mu == pytest.approx(1 / 3)


def test_failing_imitates_what_failed_and_leaves_mu_to_the_balance():
    """Where nothing failed there is nothing to imitate, and mu is 0."""
    failing = guidance("failing", {})
    some = failing.choose(groups([0, 0], [0, 1]), ProcessGroup())
    assert (len(some.explore), some.imitate, some.mu) == (4, [(0, 0)], None)
    none = failing.choose(groups([0, 1]), ProcessGroup())
    assert (len(none.explore), none.imitate, none.mu) == (2, [], 0.0)


def test_failing_imitates_where_the_balance_explores_nothing():
    """Defect: at mu = 1 nobody plays, so nobody failed, and the step was empty. Of several processes one may
    have no groups."""
    failing = guidance("failing", {})
    assert failing.choose([], ProcessGroup()) == Choice([])

    class BesideAnother(ProcessGroup):
        def sum(self, *figures):
            return [figure + 1 for figure in figures]

    assert failing.choose([], BesideAnother()) == Choice([], [])


@pytest.mark.parametrize("how", ["{name:failing}", "{name:shown} method.mu_per=difficulty"])
def test_no_phase_of_a_guided_run_is_empty(tmp_path, how):
    """Defect: the half that imitates made updates of nothing."""
    settings = f"method.guidance={how}".split()
    rows = trained(config_of(tmp_path, "sft_then_rl", *settings, "train.steps=2"))
    assert rows[0]["mu"] == 1.0
    assert rows[0]["tokens/demo"] > 0
    assert rows[0]["grad/norm"] > 0


def test_relift_imitates_what_it_failed_at_once_enough_has_come_together():
    relift, again = (guidance("relift", {"size": 2}) for _ in range(2))
    first = relift.choose(groups([0, 0], [0, 1]), ProcessGroup())
    assert (first.mu, len(first.explore)) == (0.0, 4)
    assert first.afterwards is None
    again.load_state_dict(json.loads(json.dumps(relift.state_dict())))
    for one in (relift, again):
        now = one.choose(groups([1, 1], [0, 0]), ProcessGroup())
        assert (now.mu, now.imitate, len(now.explore)) == (0.0, [], 4)
        assert now.afterwards == [(0, 1), (0, 0)]  # the newest first
        assert one.choose(groups([1, 1]), ProcessGroup()).afterwards is None


def test_micro_groups_help_where_a_group_fails():
    trapo = guidance("micro_groups", {})
    assert trapo.rounds(8) == [4, 2, 1, 1]
    assert sum(trapo.rounds(5)) == 5

    def given(*won):
        shares = [trapo.shares(r, n, 0.0, won[r], RNG) for r, n in enumerate(trapo.rounds(8))]
        return [share for of_round in shares for share in of_round]

    # So many of 4, of 6 and of 7 episodes have succeeded.
    assert given(0.0, 1 / 4, 3 / 6, 6 / 7) == [0.0] * 4 + [0.25, 0.25, 0.5, 1.0]
    assert given(0.0, 2 / 4, 4 / 6, 7 / 7) == [0.0] * 8
    assert given(0.0, 1 / 4, 4 / 6, 5 / 7) == [0.0] * 4 + [0.25, 0.25, 0.0, 1.0]
    assert [trapo.learnt(r, size) for r, size in enumerate(trapo.rounds(8))][1:] == [
        [False, True],
        [True],
        [True],
    ]


@pytest.mark.parametrize("name", WORLDS)
def test_a_beginning_can_be_gone_on_from_without_being_learnt(tiny, name):
    """Of the members that begin alike, one learns the beginning."""
    row = demonstration(name)
    shown, learnt = (beginning(row, 0.7, tiny, learnt=learnt) for learnt in (False, True))
    one, other = played(tiny, name, {(0, 0): shown, (0, 1): learnt})
    given = other.conversation.given()
    assert given.sum() == one.conversation.given().sum() > 0
    assert (other.conversation.chosen() & given).sum() == given.sum()
    assert not (one.conversation.chosen() & one.conversation.given()).any()
    learner = Learner(tiny, OptimizerSettings(lr=1e-3), ProcessGroup(), 3000)
    examples = [Example(t.conversation, np.ones(len(t.conversation.answers))) for t in (one, other)]
    report = learner.gradients(examples, Objective(lambda tokens, totals: 0.0 * tokens.own.sum()))
    assert report.given == given.sum()
    assert report.largest_ratio_error < 1e-4
    tokens = json.loads(answer_tokens(tiny, one.conversation, None)[-1])
    assert len(tokens["words"]) == len(one.conversation.answers[-1].log_probs)
    assert tokens["given"] == 0


def test_uft_gives_a_group_one_hint_that_gets_shorter():
    """By the official constants: p is 0.95 at first, 0.5 half the way to `until`, then 0."""
    uft = guidance("uft", {"until": 0.6})
    assert [uft.chance(done) for done in (0.0, 0.3, 0.6, 1.0)] == pytest.approx([0.95, 0.5, 0, 0])
    assert uft.chance(0.6 - 1e-9) == pytest.approx(0.05)
    hints = [uft.shares(0, 4, 0.3, 0.0, RNG) for _ in range(300)]
    assert all(len(set(hint)) == 1 for hint in hints)
    assert {hint[0] for hint in hints} == {k / 5 for k in range(6)}
    assert np.mean(hints) == pytest.approx(0.5, abs=0.05)
    assert uft.shares(0, 4, 0.7, 0.0, RNG) == [0.0] * 4


def test_superrl_imitates_where_nothing_succeeded():
    found = guidance("superrl", {}).choose(groups([0, 0], [0, 1], [0, 0], [1, 1]), ProcessGroup())
    assert (found.imitate, len(found.explore), found.mu) == ([(0, 0), (0, 2)], 4, 0.5)


def test_prefixes_get_shorter():
    prefix = guidance("prefix", {})
    early, late = ([prefix.shares(0, 4, d, 0.0, RNG)[-1] for _ in range(200)] for d in (0.0, 1.0))
    assert min(early) == pytest.approx(0.95)
    assert np.mean(late) == pytest.approx(0.5, abs=0.08)
    assert prefix.shares(0, 4, 0.0, 0.0, RNG)[:-1] == [0.0] * 3


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("jiond", {}, "Did you mean 'joined'"),
        ("hpt", {"gama": 1}, "gama"),
        ("prefix", {"low": 0.9, "high": 0.1}, "must not be above"),
        ("relift", {"size": 0}, "size"),
    ],
)
def test_mistakes_in_guidance_are_named(name, settings, words):
    with pytest.raises(ValueError, match=words):
        guidance(name, settings)


BEHAVIOUR = "method.imitation.behaviour"
GUIDED = sorted(name for name, preset in methods().items() if "guidance" in preset)
OTHERS = [
    "sasr",
    "gac",
    "norm_matching",
    "pcgrad",
    "mgda",
    "cosine_gate",
    "chord_mu",
    "mu_oracle",
    "asft",
    "pear",
    "sed",
    "nft",
    "cispo",
    "dppo",
    "gmpo",
    "maxrl",
]


def config_of(folder, name, *settings):
    short = [
        "env=math",
        f"method={name}",
        "model.name=tiny-random",
        "threads=1",
        f"out={folder}/run",
        "demos.n=8",
        "train={warmup_steps:1,steps:3,warmup_demos:2,demos:2,tasks:2,group:4}",
        "eval={every:0,episodes:2}",
        "checkpoint.every=2",
        "limits.max_new_tokens=8",
    ]
    return composition("train", [*short, *settings])


@pytest.mark.parametrize("name", [*GUIDED, *OTHERS])
def test_every_kind_of_method_trains(tmp_path, name):
    """On sums, with a model that knows nothing: guided methods meet groups that all fail, those that learn
    from rewards alone are given wrong ones, so that groups have something to teach."""
    more = {
        "relift": ["method.guidance.size=2"],
        "pear": [f"++{BEHAVIOUR}=tiny-random"],
        "nft": ["method.resample=0"],
    }
    explores = name in OTHERS and methods()[name]["balance"]["name"] != "sft"
    share = 0.7 if name == "maxrl" else 0.5  # it learns from groups whose mean is above 0
    noise = [f"train.reward_noise={share}"] if explores else []
    train(config_of(tmp_path, name, *more.get(name, []), *noise))
    rows = mixed(tmp_path / "run")
    assert len(rows) == 3
    assert all(0 < row["grad/norm"] < np.inf for row in rows)
    assert all(0 < row["grad/exploration_norm"] < np.inf for row in rows if explores)
    if name in ("luffy", "srft", "prefix_rft", "trapo", "rl_plus"):
        assert all(row["tokens/demo"] > 0 for row in rows)
    if name in ("hpt", "superrl"):
        assert [row["mu"] for row in rows] == [1.0] * 3
    if name == "mu_oracle":
        assert all(len([key for key in row if key.startswith("oracle/")]) == 5 for row in rows)
    if name == "relift":  # it explores at every step, and imitates beside
        assert [row["mu"] for row in rows] == [0.0] * 3
        assert all(row["tokens/demo"] > 0 for row in rows)
        assert all("rollout/success" in row for row in rows)


def trained(config):
    """Rows of its mixed steps."""
    train(config)
    return mixed(config.out)


class NothingFailed(Failing):
    """As where no group failed."""

    def choose(self, groups, processes):
        return replace(super().choose(groups, processes), imitate=[], mu=0.0)


NOTHING_FAILED = f"method.guidance.name={__name__}:NothingFailed"


def test_where_guidance_says_mu_no_balance_says_another(tmp_path):
    """Defect: half of the exploration gradient was given to nothing."""
    rows = trained(config_of(tmp_path, "pcgrad", NOTHING_FAILED, "train.steps=1"))
    assert [row["mu"] for row in rows] == [0.0]


def test_nothing_is_learnt_of_a_mu_that_guidance_said(tmp_path):
    """Defect: d = -g_R was held for what mu did, and looks found that more of it costs return."""
    rows = trained(config_of(tmp_path, "amft", NOTHING_FAILED, "train.reward_noise=0.5"))
    assert all(row["mu"] == 0.0 and row["grad/exploration_norm"] > 0 for row in rows)
    assert not any("meta/hypergradient" in row for row in rows)


def test_demonstrations_that_relift_found_too_long_do_not_end_a_later_step(tmp_path):
    """Defect: they were counted in the step after, which imitates nothing, as if none were left."""
    row, long = demonstration("math"), demonstration("math")
    long.messages[0] *= 100
    write_part(tmp_path / "demos", 0, [row, long])
    more = [f"demos.folder={tmp_path}/demos", "method.guidance.size=4", "limits.max_tokens=1000"]
    rows = trained(config_of(tmp_path, "relift", *more, "train.warmup_steps=0"))
    assert [row["tokens/demo"] > 0 for row in rows] == [False, True, False]
    assert [row["demos/cut"] > 0 for row in rows] == [False, True, False]


def test_demonstrations_that_the_agent_cannot_write_are_told_of_once(tmp_path, capsys):
    """Defect: a run learnt from answers that its limit cut, and said nothing."""
    more = ["limits.max_new_tokens=4", "train.warmup_steps=2", "train.steps=1"]
    trained(config_of(tmp_path, "grpo", *more))
    [told] = [line for line in capsys.readouterr().out.splitlines() if "demonstrations are" in line]
    assert "step 1: " in told
    assert "limits.max_new_tokens=4," in told


@pytest.mark.parametrize("name", ["hpt", "failing"])
def test_a_chosen_demonstration_that_is_too_long_does_not_end_a_run(tmp_path, name):
    """Defect: what fails is long, and where a step imitates nothing else the run ended."""
    long = demonstration("math")
    long.messages[0] *= 100
    write_part(tmp_path / "demos", 0, [long, long])
    more = [f"demos.folder={tmp_path}/demos", "limits.max_tokens=1000", "train.warmup_steps=0"]
    rows = trained(config_of(tmp_path, name, *more, "train.steps=1"))
    assert [row["demos/cut"] > 0 for row in rows] == [True]
    assert [row["tokens/demo"] for row in rows] == [0]


def test_relift_imitates_by_a_loss_that_is_calibrated(tmp_path):
    """Defect: it held the loss as it was before its threshold was found, and the run ended at its first
    imitation."""
    more = ["method.guidance.size=2", "method.imitation.name=sed", "train.steps=1"]
    (row,) = trained(config_of(tmp_path, "relift", *more))
    assert row["tokens/demo"] > 0


def test_guided_methods_refuse_demonstrations_of_another_world(tmp_path):
    """They explore the task instances of their demonstrations."""
    row = demonstration("math")
    row.world = ""
    write_part(tmp_path / "chats", 0, [row])
    with pytest.raises(ValueError, match="is of no world, not of amft/Math-v0"):
        train(config_of(tmp_path, "luffy", f"demos.folder={tmp_path}/chats"))


def test_methods_that_do_not_go_together_are_refused(tmp_path):
    with pytest.raises(ValueError, match="goes neither"):
        train(config_of(tmp_path, "luffy", "method.mu_per=env"))
