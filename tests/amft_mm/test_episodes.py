"""What a run keeps to be looked at is what happened."""

import json

import numpy as np
import pyarrow.parquet as parquet
import pytest

from agents.columns import MORE
from agents.conversation import Limits
from agents.demonstrations import Demonstrations
from agents.engines.hf import HFEngine
from agents.rollout import Given, Plan, play
from agents.worlds import World, Worlds
from amft_mm.runs.episodes import Recorder, words_of

VIRL = World("amft/VIRL-v0", {"size": (112, 112), "attempts": 2})
LIMITS = Limits(max_new_tokens=12, max_turns=4)


def kept(tiny, folder, world=VIRL, given=None, **more):
    worlds = Worlds(world, slots=2)
    plan = Plan(group=2, limits=LIMITS, given=given or {})
    played = play(worlds, tiny, HFEngine(tiny), plan)
    worlds.close()
    Recorder(folder, tiny).keep("rollout", 7, "virl", played, world, **more)
    (path,) = folder.glob("*.parquet")
    assert path.name == "000007-rollout-virl.parquet"
    return played, parquet.read_table(path).to_pylist()


def test_every_token_is_told_as_it_was_sampled(tiny, tmp_path):
    credit = [np.full(9, 0.5), np.full(9, -0.5)]
    played, rows = kept(tiny, tmp_path, advantages=credit)
    assert {*MORE} < {*rows[0]}
    for trajectory, row, worth in zip(played, rows, (0.5, -0.5), strict=True):
        answers = trajectory.conversation.answers
        assert len(row["tokens"]) == len(answers) == len(row["experts"])
        for answer, text, told in zip(answers, row["answers"], row["tokens"], strict=True):
            tokens = json.loads(told)
            assert "".join(tokens["words"]) == text == answer.text
            assert np.allclose(tokens["log_probs"], answer.log_probs, atol=1e-3)
            assert tokens["advantage"] == worth
            assert all(len(others) == 3 for others in tokens["others"])
            best = [max(p for _, p in others) for others in tokens["others"]]
            assert np.all(np.array(best) >= np.exp(tokens["log_probs"]) - 2e-3)
        assert row["step"] == 7
        assert all(json.loads(facts)["heading"] is not None for facts in row["facts"])


def test_experts_answer_in_the_place_of_the_agent(tiny, tmp_path):
    """After the agent's own mistakes, which the world goes on from."""
    _, rows = kept(tiny, tmp_path)
    assert all("current instruction" in json.loads(said) for said in rows[0]["experts"])


def test_a_world_that_can_not_be_built_once_more_costs_the_experts_answers(
    tiny, tmp_path, monkeypatch
):
    """Defect: it ended the run, which goes on where such a world fails while it is played."""
    made, make = [], World.make

    def fails_later(self):
        made.append(self)
        if len(made) > 4:  # Worlds tries it, and builds two; one is the first episode's expert
            raise OSError("no more handles")
        return make(self)

    monkeypatch.setattr(World, "make", fails_later)
    _, rows = kept(tiny, tmp_path)
    assert [any(row["experts"]) for row in rows] == [True, False]


def test_given_answers_are_marked(tiny, tmp_path):
    given = {(0, 0): Given(("I do not know.",), (False,), ())}
    _, rows = kept(tiny, tmp_path, given=given)
    assert rows[0]["tokens"][0] == "{}"
    assert json.loads(rows[0]["tokens"][1])["given"] == 0


def test_what_is_kept_opens_as_demonstrations(tiny, tmp_path):
    played, _ = kept(tiny, tmp_path)
    rows = Demonstrations(tmp_path)
    assert [row.answers for row in rows] == [
        [answer.text for answer in t.conversation.answers] for t in played
    ]
    assert all(row.pictures for row in rows)


@pytest.mark.parametrize("text", ["24", "(3+5)*3", "Straße 東京 🂡!", "a\nb\t c"])
def test_words_add_up_to_the_text(tiny, text):
    ids = tiny.chat_format.answer(text)
    words = words_of(tiny.chat_format, ids)
    assert "".join(words) == text
    assert len(words) == len(ids)


def test_a_disk_that_is_full_is_told_with_what_to_do(tiny, tmp_path):
    (tmp_path / "episodes").write_text("a file where the folder should be")
    with pytest.raises(RuntimeError, match=r"under record"):
        kept(tiny, tmp_path / "episodes")
