"""Rollouts: decided by (seed, step) alone, groups whole, failures recorded and isolated."""

import math
import os
import signal
import threading
import time
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest

from agents.conversation import Conversation, Limits
from agents.engines.base import Sample
from agents.engines.hf import HFEngine
from agents.experts import demonstrate
from agents.rollout import Given, Plan, play, summary
from agents.seeds import demonstration_seed
from agents.trajectory import Trajectory, Turn
from agents.worlds import World, Worlds, plain
from envs.contract import EndedBy, FreeText, Outcome, Scene
from envs.contract import World as WorldBase
from envs.guard import GuardedEnv

LIMITS = Limits(max_new_tokens=16)
VIRL = World("amft/VIRL-v0", {"size": (112, 112), "attempts": 3})


class Scripted:
    """An engine that says what it is told by a function of the conversation."""

    together = False

    def __init__(self, policy, answer):
        self._policy, self._answer = policy, answer
        self.released, self._asked = 0, []

    def ask(self, request):
        self._asked.append(request)

    def answers(self):
        """The first that was asked for, alone."""
        request = self._asked.pop(0)
        answer = self._answer(request)
        if not isinstance(answer, Sample):
            ids = self._policy.chat_format.answer(answer)
            answer = Sample(ids, [-1.0] * len(ids), [-1.0] * len(ids))
        return [(request, answer)]

    def release(self, conversation):
        self.released += 1

    def refresh(self):
        pass


class Counting(WorldBase):
    """Ends after three answers. What it does wrong is a question of what it is told."""

    import enum

    verdicts: ClassVar[Any] = enum.StrEnum("Verdict", ["noted"])

    def __init__(self, fails: str = "", **_: Any) -> None:
        super().__init__()
        self.fails = fails

    def begin(self, rng, options):
        self.number, self.steps = int(rng.integers(1000)), 0
        if "odd" in self.fails and self.number % 2:
            raise RuntimeError(f"dealt the odd {self.number}")
        return Scene(f"Number {self.number}.")

    def respond(self, text):
        self.steps += 1
        if "raise" in text:
            raise RuntimeError("broken on request")
        if "hang" in text:
            time.sleep(60)
        if "die" in text:
            os.kill(os.getpid(), signal.SIGKILL)
        done = EndedBy.SUCCESS if self.steps == 3 else None
        return Outcome(self.verdicts.noted, 1.0, Scene(f"Noted {self.steps}."), "", done)

    def expert(self):
        return f"expert at {self.steps}"


gymnasium.register("tests/Counting-v0", entry_point=Counting)
COUNTING = World("tests.agents.test_rollout:tests/Counting-v0")


def ids_of(trajectories):
    return [t.conversation.ids for t in trajectories]


def played(policy, plan, slots, workers=1, world=VIRL, kind="threads"):
    worlds = Worlds(world, slots, workers=workers, kind=kind)
    try:
        return play(worlds, policy, HFEngine(policy), plan)
    finally:
        worlds.close()


def test_neither_slots_nor_workers_change_what_is_played(tiny):
    plan = Plan(seed=3, step=5, tasks=3, group=4, limits=LIMITS)
    one = played(tiny, plan, slots=12)
    for slots, workers in ((5, 2), (1, 1), (64, 3)):
        assert ids_of(played(tiny, plan, slots, workers)) == ids_of(one)
    assert [(t.task, t.member) for t in one] == [(i, j) for i in range(3) for j in range(4)]


@pytest.mark.slow
def test_processes_play_as_threads_do(tiny):
    plan = Plan(seed=3, step=5, tasks=2, group=3, limits=LIMITS)
    threads = played(tiny, plan, slots=6)
    assert ids_of(played(tiny, plan, 6, 2, kind="processes")) == ids_of(threads)


def test_no_step_plays_what_a_demonstration_is_of():
    """The first task of step n was that of demonstration n: trailing zeros count for nothing in a seed. So
    was later task 29, in steps of as many."""
    shown = {demonstration_seed(0, number) for number in range(200)}
    played = {Plan(seed=0, step=n, tasks=64).task_seed(k) for n in range(200) for k in range(64)}
    assert not shown & played


def test_seed_and_step_decide_the_tasks_and_the_luck(tiny):
    first = played(tiny, Plan(seed=0, step=0, tasks=2, group=2, limits=LIMITS), 4)
    again = played(tiny, Plan(seed=0, step=0, tasks=2, group=2, limits=LIMITS), 4)
    assert ids_of(first) == ids_of(again)
    for other in (Plan(seed=1, tasks=2, group=2), Plan(step=1, tasks=2, group=2)):
        seeds = [other.task_seed(task) for task in range(2)]
        assert seeds != [first[0].seed, first[2].seed]
    prompts = [t.conversation.ids[: t.conversation.answers[0].start] for t in first]
    assert prompts[0] == prompts[1] != prompts[2]
    assert first[0].conversation.ids != first[1].conversation.ids


def test_when_answers_are_asked_for_changes_nothing_in_them(tiny):
    """One conversation after the other, all of them together, each as soon as its world has stepped: the
    same token ids, and log-probabilities within rounding."""
    plan = Plan(seed=3, step=5, tasks=3, group=4, limits=LIMITS)

    def told(slots, together):
        worlds = Worlds(VIRL, slots, workers=min(slots, 4))
        engine = HFEngine(tiny, max_rows=5, together=together)
        trajectories = play(worlds, tiny, engine, plan)
        worlds.close()
        answers = [a for t in trajectories for a in t.conversation.answers]
        return ids_of(trajectories), [p for a in answers for p in a.log_probs]

    ids, log_probs = told(1, together=True)
    for slots, together in ((12, True), (12, False), (7, False)):
        others = told(slots, together)
        assert others[0] == ids
        assert others[1] == pytest.approx(log_probs, abs=1e-4)


class Patient(Counting):
    """The world of seed 0 answers only when another episode has come to its end."""

    goes_on: ClassVar[threading.Event] = threading.Event()

    def respond(self, text):
        if "slow" in text:
            assert self.goes_on.wait(50)
        return super().respond(text)


gymnasium.register("tests/Patient-v0", entry_point=Patient)


def test_a_slow_world_holds_nobody_up(tiny):
    """Defect: nobody was asked again before the slowest world had stepped."""
    Patient.goes_on.clear()
    slow = Plan(tasks=3).sampling_seed(0, 0, 0)
    asked = []

    def answer(request):
        asked.append(request.seed)
        if len(asked) >= 7:  # of the others, three each, and the slow one's first
            Patient.goes_on.set()
        return "slow" if request.seed == slow else "fine"

    worlds = Worlds(World("tests.agents.test_rollout:tests/Patient-v0"), 3, workers=3)
    trajectories = play(worlds, tiny, Scripted(tiny, answer), Plan(tasks=3, limits=LIMITS))
    worlds.close()
    assert all(t.success and t.tries == 1 for t in trajectories)
    assert asked[-2:] == [slow, slow]


def test_an_engine_that_wants_all_together_is_asked_when_all_have_stepped(tiny):
    """What a batch holds must not hang on the clock, else a run that goes on differs in the last bit."""
    sizes = []

    class Together(Scripted):
        together = True

        def answers(self):
            sizes.append(len(self._asked))
            return super().answers()

    worlds = Worlds(COUNTING, 4, workers=4)
    play(worlds, tiny, Together(tiny, lambda _: "fine"), Plan(tasks=4, limits=LIMITS))
    worlds.close()
    assert sizes == [4, 3, 2, 1] * 3


def test_a_rollout_that_breaks_off_leaves_nothing_to_be_written(tiny):
    worlds = Worlds(COUNTING, 2)
    broken = Plan(tasks=2, limits=LIMITS)

    class Breaking(HFEngine):
        def answers(self):
            super().answers()
            raise KeyboardInterrupt

    engine = Breaking(tiny)
    with pytest.raises(KeyboardInterrupt):
        play(worlds, tiny, engine, broken)
    worlds.close()
    assert HFEngine.answers(engine) == []


def test_an_episode_is_recorded_turn_by_turn(tiny):
    worlds = Worlds(COUNTING, 2, experts=True)
    engine = Scripted(tiny, lambda request: f"turn {len(request.conversation.answers)}")
    trajectories = play(worlds, tiny, engine, Plan(tasks=3, limits=LIMITS))
    worlds.close()
    for trajectory in trajectories:
        assert trajectory.success
        assert trajectory.stop == "success"
        assert trajectory.rewards == [1.0, 1.0, 1.0]
        assert [a.text for a in trajectory.conversation.answers] == ["turn 0", "turn 1", "turn 2"]
        assert [t.expert for t in trajectory.turns] == [f"expert at {i}" for i in range(3)]
        assert [t.verdict for t in trajectory.turns] == ["noted"] * 3
    assert engine.released == 3
    row = summary(trajectories)
    assert row["success"] == 1
    assert row["return"] == 3
    assert row["stop/success"] == 1


def test_a_picture_that_has_not_changed_is_not_shown_again(tiny):
    worlds = Worlds(World("amft/GeneralPoints-v0", {"size": (112, 112)}), 2)
    engine = Scripted(tiny, lambda request: "I do not know.")
    trajectories = play(worlds, tiny, engine, Plan(tasks=2, limits=LIMITS))
    worlds.close()
    assert [len(t.conversation.images) for t in trajectories] == [1, 1]
    assert [len(t.turns) for t in trajectories] == [5, 5]
    assert {t.stop for t in trajectories} == {"out_of_attempts"}


@pytest.mark.parametrize(
    ("limits", "stop"),
    [
        (Limits(max_turns=2, max_new_tokens=16), "out_of_turns"),
        (Limits(max_tokens=70, max_new_tokens=16), "out_of_tokens"),
    ],
)
def test_limits_end_an_episode_with_their_name(tiny, limits, stop):
    worlds = Worlds(COUNTING, 1)
    engine = Scripted(tiny, lambda request: "a few words that take room")
    [trajectory] = play(worlds, tiny, engine, Plan(limits=limits))
    worlds.close()
    assert trajectory.stop == stop
    assert not trajectory.success
    assert not trajectory.failed
    assert len(trajectory.turns) == len(trajectory.conversation.answers) < 3


def test_what_an_expert_gives_keeps_to_the_limit_or_is_not_given(tiny):
    """A long demonstration made a conversation beyond the limit; and where nothing could be given, the
    episode still counted for one that an expert began."""
    long, short = "a word " * 60, tuple(tiny.chat_format.answer("so")[:-1])
    given = {
        (0, 0): Given(("fine",), (True,)),
        (0, 1): Given(("fine", long, "never"), (True,) * 3),
        (0, 2): Given((long, "never"), (True,) * 2),
        (0, 3): Given(begun=short * 200),
    }
    limits = Limits(max_tokens=150, max_new_tokens=8)
    worlds = Worlds(COUNTING, 4)
    engine = Scripted(tiny, lambda request: "own")
    trajectories = play(worlds, tiny, engine, Plan(group=4, given=given, limits=limits))
    worlds.close()
    answers = [[answer.text for answer in t.conversation.answers] for t in trajectories]
    assert answers == [["fine", "own", "own"]] * 2 + [["own"] * 3] * 2
    assert [t.aided for t in trajectories] == [True, True, False, False]
    assert all(len(t.conversation.ids) <= limits.max_tokens for t in trajectories)


def test_a_failed_episode_is_replaced_and_its_group_stays_whole(tiny):
    """The first try of one member raises; the second, with other luck, does not."""
    plan = Plan(tasks=2, group=3, limits=LIMITS)
    unlucky = plan.sampling_seed(1, 2, 0)
    engine = Scripted(tiny, lambda request: "raise" if request.seed == unlucky else "fine")
    worlds = Worlds(COUNTING, 4)
    trajectories = play(worlds, tiny, engine, plan)
    worlds.close()
    assert [(t.task, t.member) for t in trajectories] == [
        (i, j) for i in range(2) for j in range(3)
    ]
    assert [t.tries for t in trajectories] == [1, 1, 1, 1, 1, 2]
    assert all(t.success for t in trajectories)


def test_what_fails_again_and_again_is_masked_and_counted(tiny):
    plan = Plan(tasks=1, group=3, limits=LIMITS, replacements=1)
    bad = {plan.sampling_seed(0, 1, attempt) for attempt in range(2)}
    engine = Scripted(tiny, lambda request: "raise" if request.seed in bad else "fine")
    worlds = Worlds(COUNTING, 3)
    trajectories = play(worlds, tiny, engine, plan)
    worlds.close()
    assert [t.failed for t in trajectories] == [False, True, False]
    assert trajectories[1].error["kind"] == "exception"
    assert "broken on request" in trajectories[1].error["message"]
    row = summary(trajectories)
    assert row["failed"] == 1
    assert row["failure/exception"] == 2  # of all tries
    assert row["tries"] == 4
    assert row["success"] == 1  # of those that were played


@pytest.mark.parametrize("replacements", [1, 3])
def test_what_failed_tries_wrote_is_counted_once(tiny, replacements):
    """Defect: only the last try's tokens were, whatever the tries before it had been asked to write."""
    plan = Plan(tasks=1, group=3, limits=LIMITS, replacements=replacements)
    bad = {plan.sampling_seed(0, 1, attempt) for attempt in range(3)}
    written = []

    def answer(request):
        written.append("raise" if request.seed in bad else "fine")
        return written[-1]

    worlds = Worlds(COUNTING, 3)
    trajectories = play(worlds, tiny, Scripted(tiny, answer), plan)
    worlds.close()
    assert [t.failed for t in trajectories] == [False, replacements == 1, False]
    expected = sum(len(tiny.chat_format.answer(text)) for text in written)
    assert sum(t.written for t in trajectories) == expected


def test_a_task_that_can_not_be_dealt_is_recorded(tiny):
    world = World(COUNTING.id, {"fails": "odd"})
    worlds = Worlds(world, 4)
    trajectories = play(
        worlds, tiny, Scripted(tiny, lambda _: "fine"), Plan(tasks=8, limits=LIMITS)
    )
    worlds.close()
    assert len(trajectories) == 8
    failed = [t for t in trajectories if t.failed]
    assert 0 < len(failed) < 8
    assert all(t.error["where"] == "reset" and t.tries == 3 for t in failed)


def test_a_hang_costs_its_own_episode(tiny):
    plan = Plan(tasks=3, limits=LIMITS, replacements=0)
    stuck = plan.sampling_seed(1, 0, 0)
    worlds = Worlds(COUNTING, 3, seconds=4.0)
    engine = Scripted(tiny, lambda request: "hang" if request.seed == stuck else "fine")
    begun = time.monotonic()
    trajectories = play(worlds, tiny, engine, plan)
    worlds.close()
    assert time.monotonic() - begun < 30
    assert [t.failed for t in trajectories] == [False, True, False]
    assert trajectories[1].error["kind"] == "hang"


@pytest.mark.slow
def test_a_worker_process_that_dies_is_replaced(tiny):
    plan = Plan(tasks=4, limits=LIMITS, replacements=2)
    deadly = plan.sampling_seed(1, 0, 0)
    worlds = Worlds(COUNTING, 2, workers=2, kind="processes")
    engine = Scripted(tiny, lambda request: "die" if request.seed == deadly else "fine")
    trajectories = play(worlds, tiny, engine, plan)
    worlds.close()
    assert [t.success for t in trajectories] == [True] * 4
    assert trajectories[1].tries == 2


def test_an_engine_that_fails_costs_the_episode_not_the_run(tiny):
    calls = []

    def answer(request):
        calls.append(request)
        return Sample(error="the server is down") if len(calls) == 2 else "fine"

    worlds = Worlds(COUNTING, 2)
    trajectories = play(worlds, tiny, Scripted(tiny, answer), Plan(tasks=3, limits=LIMITS))
    worlds.close()
    assert all(t.success for t in trajectories)
    assert sorted(t.tries for t in trajectories) == [1, 1, 2]


def test_a_world_that_can_not_be_built_is_said_at_once():
    with pytest.raises(ValueError, match="modality"):
        Worlds(World("amft/VIRL-v0", {"modality": "smell"}), 4)
    with pytest.raises(ValueError, match="Did you mean 'threads'"):
        Worlds(COUNTING, 4, kind="thread")
    for name in (
        "./my_file:my/Env-v0",
        ":my/Env-v0",
        "a:b:my/Env-v0",
    ):  # which ended in a TypeError
        with pytest.raises(ValueError, match=r"is no name of a module.*my_file:my/Env-v0"):
            Worlds(World(name), 4)
    with pytest.raises(ValueError, match="seconds=-1"):
        Worlds(COUNTING, 4, seconds=-1)


class Wordy(Counting):
    """Tells of errors in its own words."""

    def facts(self):
        return {"error": "no such room"}


gymnasium.register("tests/Wordy-v0", entry_point=Wordy)


def test_success_at_once_is_told_apart_from_success_by_trying(tiny):
    """Defect: routes with two attempts at every answer are solved without looking, and nothing told it."""
    at_once, mended = (
        Trajectory(
            Conversation(tiny),
            "street",
            0,
            member,
            0,
            [Turn(reward, None, "") for reward in rewards],
            True,
        )
        for member, rewards in enumerate(([0.0, 1.0], [-1.0, 1.0]))
    )
    row = summary([at_once, mended])
    assert (row["success"], row["flawless"]) == (1.0, 0.5)


def test_a_worlds_own_word_for_an_error_is_no_failure(tiny):
    """Defect: an info with `error="text"` was taken for the guard's, whose kind it then lacked."""
    world = World("tests.agents.test_rollout:tests/Wordy-v0")
    worlds = Worlds(world, 1)
    trajectories = play(worlds, tiny, Scripted(tiny, lambda _: "x"), Plan(limits=LIMITS))
    worlds.close()
    assert summary(trajectories)["success"] == 1.0
    assert trajectories[0].turns[0].facts == {"error": "no such room"}
    env = GuardedEnv(world.make)
    assert demonstrate(env, world, 0).success
    env.close()


def test_facts_are_plain_data(tiny):
    import json

    worlds = Worlds(VIRL, 1)
    [trajectory] = play(worlds, tiny, Scripted(tiny, lambda _: "x"), Plan(limits=LIMITS))
    worlds.close()
    facts = [turn.facts for turn in trajectory.turns]
    assert json.loads(json.dumps(facts)) == facts
    assert {"heading", "position", "instruction_index", "instructions"} <= facts[0].keys()
    assert all(np.isfinite(f["heading"]) for f in facts)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (np.float32(0.5), 0.5),
        (np.complex64(1), None),
        (np.datetime64("2020-01-01"), None),
        (np.bytes_(b"x"), None),
        (math.nan, None),
        (np.float32("inf"), None),
        ([10**5000], [None]),
        ({1: (math.nan, np.int8(3))}, {"1": [None, 3]}),
    ],
)
def test_what_json_can_not_hold_is_no_fact(said, kept):
    """Defect: keeping an episode ended a run by a TypeError, or a ValueError; NaN is none of JSON's words."""
    assert plain(said) == kept


class Nonsense(gymnasium.Env):
    """Whose first observation or info is not what it should be."""

    observation_space = gymnasium.spaces.Dict({"text": FreeText()})
    action_space = FreeText()

    def __init__(self, what):
        self._what = what

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        told = {"text": "Go."}
        info: dict[str, Any] = {
            "success": {"success": np.zeros(2)},
            "facts": {"x": told | {"again": []}},
            "feedback": {"feedback": "half of \ud83d"},
        }.get(self._what, {})
        if self._what == "facts":
            info["x"]["again"].append(info["x"])
        return told, info

    def step(self, action):
        return {"text": "Go."}, 1.0, True, False, {}


gymnasium.register("tests/Nonsense-v0", Nonsense)


@pytest.mark.parametrize("what", ["success", "facts"])
def test_what_a_world_gives_may_be_anything_and_costs_its_own_episode(what):
    """Defect: one that could not be read took the whole run with it, by a traceback."""
    worlds = Worlds(World("tests/Nonsense-v0", {"what": what}), slots=1)
    result = worlds.reset(0, 1).result()
    worlds.close()
    assert result.error["kind"] == "observation"
    assert "cannot be read" in result.error["message"]


def test_an_environment_that_shows_no_text_is_told_so():
    """Defect: a traceback."""
    worlds = Worlds(World("CartPole-v1"), slots=1)
    result = worlds.reset(0, 1).result()
    worlds.close()
    assert "a dict with a `text`" in result.error["message"]


def test_feedback_can_be_written_whatever_it_quotes():
    """Defect: a half of a character, which a world quoted of an answer, ended the run when it was kept."""
    worlds = Worlds(World("tests/Nonsense-v0", {"what": "feedback"}), slots=1)
    worlds.reset(0, 1).result().feedback.encode()
    worlds.close()


class Rare(Counting):
    """Cannot be made the third time."""

    made = 0

    def __init__(self):
        Rare.made += 1
        if Rare.made == 3:
            raise ConnectionError("nobody there")
        super().__init__()


gymnasium.register("tests/Rare-v0", entry_point=Rare)


def test_a_world_that_can_not_be_built_once_more_costs_its_own_episode(tiny):
    """Defect: a server that was away when a slot's first episode began ended the run."""
    Rare.made = 0
    worlds = Worlds(World("tests/Rare-v0"), 2)
    engine = Scripted(tiny, lambda _: "fine")
    trajectories = play(worlds, tiny, engine, Plan(tasks=2, limits=LIMITS))
    worlds.close()
    assert [t.success for t in trajectories] == [True, True]
    [error] = [error for t in trajectories for error in t.errors]
    assert "ConnectionError: nobody there" in error["message"]
