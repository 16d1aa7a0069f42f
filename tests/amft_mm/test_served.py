"""A model behind an endpoint is evaluated and gives demonstrations; a world is served to others."""

import json

import pytest

from agents.demonstrations import Demonstrations
from amft_mm.commands import main
from tests.agents.test_openai_engine import endpoint, said  # noqa: F401 - a fixture
from tests.agents.token_server import TokenServer

SUM = ["env=math"]


def refused(*words):
    with pytest.raises(SystemExit) as ended:
        main([*words])
    return str(ended.value)


def asked(server):
    return ["engine=openai", "engine.model=m", f"engine.base_url={server.url}", *SUM]


def test_a_model_of_an_endpoint_is_evaluated_by_its_name(endpoint, tmp_path, monkeypatch):  # noqa: F811
    """It was told as the evaluation of `tiny`, with that model's probabilities of its words."""
    monkeypatch.chdir(tmp_path)
    server = endpoint(said("I do not know."))
    main(["evaluate", *asked(server), "eval.episodes=2", "env.splits=[id]"])
    summary = json.loads((tmp_path / "evaluation-math-m" / "summary.json").read_text())
    assert summary["weights"] == "m"
    assert summary["eval/id/success"] == 0
    assert summary["eval/id/failed"] == 0
    [kept] = (tmp_path / "evaluation-math-m" / "episodes").iterdir()
    assert kept.name == "000000-evaluation-id.parquet"
    told = refused("evaluate", *asked(server), "limits.max_tokens=20", "eval.episodes=2")
    assert "leave no room for an answer in any of 2 episodes" in told  # it was told as 0.0 %
    told = refused("evaluate", *asked(server), "model.name=tiny")
    assert "name it by engine.model=NAME" in told
    assert "engine.model=NAME" in refused("evaluate", "engine=openai", *SUM)


def test_what_a_model_of_an_endpoint_solves_are_demonstrations(endpoint, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    main(["demos", *SUM, "n=3", "out=experts"])
    right = Demonstrations(tmp_path / "experts")[1].answers[0]
    server = endpoint(said(right))
    words = ["demos", *asked(server), "slots=2", "out=own"]
    main([*words, "n=1"])
    [row] = Demonstrations(tmp_path / "own")
    assert row.success
    assert row.answers == [right]
    assert row.seed == Demonstrations(tmp_path / "experts")[1].seed
    counts = json.loads((tmp_path / "own" / "progress.json").read_text())
    assert counts["left_out"] == {"no success": 1}
    assert "leave one out" in refused(*words, "n=1", "slips=0.5")


def test_weights_are_handed_over_before_anything_is_played_and_to_nobody_else(
    tmp_path, monkeypatch
):
    """Defects: without a warm-up servers played the first step by whatever they held; each step of a warm-up
    handed over weights that nobody read."""
    monkeypatch.chdir(tmp_path)
    server, versions = TokenServer("tiny-random").begin(), []
    generate = server._generate
    server._generate = lambda body: versions.append(server.version) or generate(body)
    words = ["train", *SUM, "method=grpo", "model.name=tiny-random", "threads=1", "demos.n=4"]
    words += ["engine=vllm", f"engine.servers=[{server.url}]", "engine.weights_folder=weights"]
    words += ["eval={every:0,episodes:1}", "limits.max_new_tokens=4"]
    steps = "train={warmup_steps:%d,steps:1,warmup_demos:2,tasks:2,group:2}"
    main([*words, steps % 0, "out=cold"])
    assert len(server.loaded) == 2  # as it begins, and after its one step
    assert "default" not in versions
    main([*words, steps % 3, "out=warm"])
    assert len(server.loaded) == 2 + 3
    server.http.shutdown()
