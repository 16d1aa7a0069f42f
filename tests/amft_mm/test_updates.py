"""Several updates on the same rollouts: minibatches and epochs."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from agents.conversation import Conversation, Limits
from agents.engines.hf import HFEngine
from agents.trajectory import Trajectory
from amft_mm.config.composition import composition
from amft_mm.data.sources import Sources
from amft_mm.learning.example import Example
from amft_mm.learning.learner import Learner, OptimizerSettings
from amft_mm.learning.objective import Objective
from amft_mm.methods.exploration import exploration
from amft_mm.methods.parts import together
from amft_mm.runs import checkpoints
from amft_mm.runs.processes import ProcessGroup
from amft_mm.train import train
from amft_mm.training.minibatches import divided, over_updates
from amft_mm.training.mixing import Mixing
from tests.amft_mm.processes import mixed


def config_of(*settings):
    return composition("train", ["env=math", "model.name=tiny-random", *settings])


def rollouts(policy):
    """Four answers of a group, sampled by nobody in particular, scored by the policy."""
    random = np.random.default_rng(0)
    examples = []
    for number, advantage in enumerate([1.0, -1.0, 1.0, -1.0]):
        conversation = Conversation(policy, Limits())
        conversation.observe("What is 1 + 1?")
        ids = [*random.integers(20, 90, 3 + 2 * number).tolist(), policy.chat_format.stop_id]
        conversation.act(ids, [0.0] * len(ids))
        policy.model.eval()
        with torch.no_grad():
            conversation.answers[-1].log_probs = policy.score([conversation]).log_probs.tolist()
        examples.append(Example(conversation, np.array([advantage])))
    return examples


def gradient(learner, examples, name):
    learner.drop_gradients()
    learner.gradients(examples, Objective(exploration(name).loss))
    return torch.cat([p.grad.flatten().clone() for p in learner.parameters if p.grad is not None])


@pytest.fixture
def learning(tiny):
    """The model that many tests share, to be changed: its weights come back, also where a test fails."""
    before = {k: v.clone() for k, v in tiny.model.state_dict().items()}
    yield tiny
    tiny.model.load_state_dict(before)


@pytest.mark.parametrize("names", [("grpo", "gspo"), ("ppo", "dapo")])
def test_what_is_the_same_at_ratio_1_differs_once_it_is_left(learning, names):
    """grpo = gspo and ppo = dapo where every update has rollouts of its own."""
    examples = rollouts(learning)
    learner = Learner(learning, OptimizerSettings(lr=2e-4), ProcessGroup(), 3000)
    distances = []
    for _ in range(16):
        one, other = (gradient(learner, examples, name) for name in names)
        size = max(float(one.norm()), float(other.norm()), 1e-9)
        distances.append(float((one - other).norm()) / size)
        learner.mixed.take_exploration()
        learner.mixed.mix(0.0, learn=False)
        learner.mixed.step()
    assert distances[0] < 1e-4
    assert max(distances) > 0.01


class Two(ProcessGroup):
    """One of two processes that sees what both would."""

    def __init__(self, rank, everyone):
        self.rank, self.size, self._everyone = rank, 2, everyone

    def gather(self, parts):
        return self._everyone


def groups_of(tasks):
    return [((0, -1), [Trajectory(None, "", task, 0, 0)]) for task in tasks]


def test_minibatches_are_the_same_whatever_the_processes():
    tasks = [0, 1, 2, 5, 6, 7, 8]
    alone = divided(groups_of(tasks), 3, ProcessGroup())
    found = [[group[1][0].task for group in part] for part in alone]
    assert found == [[0, 5, 8], [1, 6], [2, 7]]
    shared = [divided(groups_of(tasks[rank::2]), 3, Two(rank, tasks)) for rank in (0, 1)]
    together = [
        sorted(g[1][0].task for part in both for g in part) for both in zip(*shared, strict=True)
    ]
    assert together == found
    assert [len(part) for part in divided(groups_of([4, 9]), 5, ProcessGroup())] == [1, 1]
    assert divided([], 3, ProcessGroup()) == [[]]


def test_figures_of_updates():
    rows = [
        {
            "mu": 0.5,
            "tokens/demo": 3,
            "rollout/ratio_error": 0.0,
            "meta/x": 1.0,
            "grad/scale": None,
        },
        {"mu": 1.0, "tokens/demo": 5, "rollout/ratio_error": 0.2},
        {"mu": 0.5, "tokens/demo": 3, "rollout/ratio_error": 0.3},
        {"mu": 1.0, "tokens/demo": 5, "rollout/ratio_error": 0.4},
    ]
    for k, row in enumerate(rows):
        row["policy/moved"] = float(k)
    found = over_updates(rows, 2)
    assert found == {
        "mu": 0.75,
        "tokens/demo": 8,  # of one epoch
        "rollout/ratio_error": 0.0,  # of what was just sampled
        "policy/moved": 3.0,  # in the end
        "meta/x": 1.0,
        "grad/scale": None,
        "updates": 4,
    }
    del rows[0]["policy/moved"]
    assert over_updates(rows[:1], 1) == rows[0]


def test_figures_that_the_first_update_lacks_are_told():
    """Defect: of hpt, whose first minibatch may imitate nothing, no loss of imitation was told."""
    rows = [{"mu": 0.0}, {"mu": 1.0, "loss/imitation": 2.0, "tokens/demo": 5}]
    assert over_updates(rows, 2) == {
        "mu": 0.5,
        "loss/imitation": 2.0,
        "tokens/demo": 5,
        "updates": 2,
    }


def test_tokens_of_parts_add_up():
    """Defect: those of a stream were averaged."""
    parts = [SimpleNamespace(name=name, weight=0.5) for name in ("one", "other")]
    row = together(parts, [{"tokens/stream": 2, "mu": 0.0}, {"tokens/stream": 4, "mu": 1.0}])
    assert (row["tokens/stream"], row["mu"]) == (6, 0.5)


def test_the_furthest_of_parts_is_that_of_the_one_that_went_furthest():
    """Defect: the mean of their largest was told for the largest."""
    parts = [SimpleNamespace(name=name, weight=0.5) for name in ("one", "other")]
    assert together(parts, [{"policy/moved": 9.0}, {"policy/moved": 1.0}])["policy/moved"] == 9.0


SHORT = [
    "threads=1",
    "demos.n=8",
    "train={warmup_steps:1,steps:3,warmup_demos:2,demos:4,tasks:4,group:2,reward_noise:0.5}",
    "eval={every:0,episodes:2}",
    "record.rollouts=0",
    "limits.max_new_tokens=6",
]


def rows_of(folder, *settings):
    train(config_of(f"out={folder}", *SHORT, *settings))
    return mixed(folder)


def test_amft_looks_at_the_rollouts_of_the_weights_that_played(tmp_path, monkeypatch):
    """Once a step, at the first of its minibatches; mu moves once a step."""
    looked = []
    original = Mixing._look
    monkeypatch.setattr(Mixing, "_look", lambda self, *a: (looked.append(a), original(self, *a))[1])
    rows = rows_of(tmp_path / "run", "method=amft", "train.minibatches=2", "train.epochs=2")
    assert [row["updates"] for row in rows] == [4] * 3
    assert [a[1].share for a in looked] == [(0, 2)] * 3
    assert all(row["rollout/ratio_error"] < 1e-3 < row["policy/moved"] for row in rows)
    assert all(row["tokens/demo"] > 0 for row in rows)


def test_ratios_of_several_updates_are_to_the_weights_that_played(tmp_path):
    """Where the engine's probabilities are corrected for, too: the first update is at ratio 1."""
    corrected = ["method=grpo", "method.correction.name=token", "train.minibatches=2"]
    rows = rows_of(tmp_path / "run", *corrected)
    assert all(row["rollout/ratio_error"] < 1e-3 < row["policy/moved"] for row in rows)


def test_each_difficulty_can_have_its_own_mu(tmp_path, monkeypatch):
    """Also where a minibatch has no group of it; each imitates the demonstrations of its own groups."""
    fared = [0.0, 0.5, 1.0, 0.0]  # by task, whatever they did
    monkeypatch.setattr(
        "amft_mm.training.minibatches.success_rate", lambda members: fared[members[0].task]
    )
    settings = ["method=amft", "method.mu_per=difficulty", "method.guidance.name=shown"]
    rows = rows_of(tmp_path / "whole", *settings)
    assert len(rows) == 3
    for row in rows:
        parts = [row[f"tokens/demo/{name}"] for name in ("hard", "middle", "easy")]
        assert [row[f"share/{n}"] for n in ("hard", "middle", "easy")] == [0.5, 0.25, 0.25]
        assert all(parts)
        assert row["tokens/demo"] == sum(parts)
        mus = [row[f"mu/{name}"] for name in ("hard", "middle", "easy")]
        assert row["mu"] == pytest.approx(0.5 * mus[0] + 0.25 * mus[1] + 0.25 * mus[2])
    divided = rows_of(tmp_path / "divided", *settings, "train.minibatches=2")
    assert [row["updates"] for row in divided] == [2] * 3
    assert all(row["tokens/demo"] for row in divided)


def test_an_environment_that_is_not_in_an_update_leaves_it_to_the_others(tmp_path):
    """Defect: it kept its share, so that what was there weighed less, and its 0 was in the mean of losses."""
    settings = ["env=mix", "method=amft", "method.mu_per=env", "train.tasks=1", "train.demos=1"]
    rows = rows_of(tmp_path / "run", *settings, "env.shares={virl:0,general_points:0.5,math:0.5}")
    played = {"general_points", "math"}
    there = [name for row in rows for name in played if row[f"share/{name}"] == 1.0]
    assert (len(there), set(there)) == (len(rows), played)
    for name, row in zip(there, rows, strict=True):
        assert row["loss/imitation"] == row[f"loss/imitation/{name}"] > 0
        (other,) = played - {name}
        assert row[f"share/{other}"] == 0.0
        assert f"loss/imitation/{other}" not in row


def test_a_loss_of_nothing_is_no_figure(tmp_path, monkeypatch):
    """Defect: it was told as 0, also among minibatches whose mean was told."""
    learnt = ["method.balance.name=amft"]  # so that both gradients are always taken
    for name, rate, loss, more in (
        ("failing", 1.0, "imitation", learnt),
        ("hpt", 0.0, "exploration", []),
    ):
        monkeypatch.setattr(f"amft_mm.methods.guidance.{name}.success_rate", lambda _, r=rate: r)
        rows = rows_of(tmp_path / name, f"method={name}", "train.reward_noise=0", *more)
        assert [row[f"loss/{loss}"] for row in rows] == [None] * 3
    parts = [SimpleNamespace(name=name, weight=0.5) for name in ("one", "other")]
    row = together(parts, [{"loss/imitation": None}, {"loss/imitation": 4.0}])
    assert row["loss/imitation"] == 4.0


@pytest.mark.parametrize("method", ["ppo", "hpt", "relift", "uft"])
def test_methods_make_several_updates(tmp_path, method):
    more = {
        "ppo": ["train.minibatches=2", "train.epochs=2"],
        "uft": ["train.reward_noise=0"],
        "relift": ["train.reward_noise=0"],
    }.get(method, [])
    rows = rows_of(tmp_path / "run", f"method={method}", *more)
    expected = {"ppo": 4, "hpt": 2, "relift": 2, "uft": 4}[method]
    assert [row["updates"] for row in rows] == [expected] * 3
    assert all(np.isfinite(row["grad/norm"]) for row in rows)


def test_a_critic_learns_as_much_where_there_are_fewer_groups_than_minibatches(tmp_path):
    """Defect: its loss was divided by the turns of so many minibatches as were asked for, so that with 8 of
    them and 2 groups it learnt four times as fast."""
    told = ["method=ppo", "train.tasks=2", "train.steps=2", "train.warmup_steps=0", "demos.n=0"]
    heads = []
    for count in (2, 8):
        rows_of(tmp_path / str(count), *told, f"train.minibatches={count}")
        state = checkpoints.load(tmp_path / str(count) / "checkpoints" / "step_000002")
        heads.append(state["companions"]["value"]["optimizer"]["state"][0]["exp_avg"])
    assert heads[0].any()
    assert torch.equal(*heads)


def test_imitation_alone_makes_as_many_updates(tmp_path):
    """Or a recipe with minibatches would set methods that explore against one that steps less often."""
    at_once = ["method=sft", "train.reward_noise=0", "train.minibatches=1"]
    whole = rows_of(tmp_path / "whole", *at_once)
    divided = rows_of(
        tmp_path / "divided", "method=sft", "train.reward_noise=0", "train.minibatches=8"
    )
    assert [row["updates"] for row in divided] == [4] * 3  # of a demonstration each
    for one, other in zip(whole, divided, strict=True):
        assert "updates" not in one
        assert one["tokens/demo"] == other["tokens/demo"] > 0


def test_each_demonstration_of_a_step_is_in_one_minibatch(tiny, tmp_path):
    train(config_of(f"out={tmp_path}/run", *SHORT, "train.steps=0", "method=sft"))
    config = config_of("train.tasks=4", f"demos.folder={tmp_path}/run/demos")
    sources = Sources(config, tiny, HFEngine(tiny), ProcessGroup())
    whole = [e.conversation.ids for e in sources.demonstrations(3, 5)]
    parts = [sources.demonstrations(3, 5, share=(k, 2)) for k in range(2)]
    assert [[e.conversation.ids for e in part] for part in parts] == [whole[0::2], whole[1::2]]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["train.minibatches=0"], "train.minibatches"),
        (["train.epochs=2", "method=sft"], "never explores"),
        (["train.epochs=2", "method=bridge"], "method.rival makes one update"),
    ],
)
def test_mistakes_are_named(tmp_path, settings, words):
    with pytest.raises(ValueError, match=words):
        train(config_of(f"out={tmp_path}/run", *settings))
