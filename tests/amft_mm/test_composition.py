"""Configurations that are copied from what was composed before are those that Hydra composes."""

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from amft_mm.config.command_line import configuration
from amft_mm.config.composition import composition
from envs.paths import data_folder


def by_hydra(command, words):
    with initialize_config_dir(str(data_folder("configs")), version_base="1.3"):
        return compose(command, words)


@pytest.mark.parametrize(
    "words",
    [
        "env=math train.steps=3 train={tasks:2}",
        "env=virl method=grpo ~method.credit.baseline +method.credit.states=[1] ++method.horizon=0.5",
        "env=math ~recipe machine=one_80gb env.splits=[id]",
        "hydra.job.name=x env=own +env.options={a:1,b:null}",
    ],
)
def test_it_is_what_hydra_composes(words):
    for _ in range(2):
        assert composition("train", words.split()) == by_hydra("train", words.split())


@pytest.mark.parametrize(
    "word", ["method=nowhere", "train.stepz=3", "+train.steps=3", "~trian", "env@x=math", "seed=[1"]
)
def test_it_refuses_what_hydra_refuses(word):
    said = []
    for made in (composition, by_hydra):
        with pytest.raises(HydraException) as refused:
            made("train", ["env=math", word])
        said.append(str(refused.value))
    assert said[0] == said[1]


def test_what_one_does_to_it_the_next_does_not_see():
    composition("train", ["env=math"]).train.steps = 3
    assert composition("train", ["env=math"]) == by_hydra("train", ["env=math"])


def test_files_of_a_folder_of_ones_own_are_read_as_they_are_now(tmp_path):
    (tmp_path / "env").mkdir()
    for name in ("first", "second"):
        (tmp_path / "env" / "mine.yaml").write_text(f"name: {name}\n")
        assert composition("train", ["env=mine"], tmp_path).env.name == name


def test_a_word_is_parsed_once_for_all_that_is_made_of_it(monkeypatch):
    """Each step on the way from words to a configuration parsed them for itself."""
    words = ["env=math", "train.steps=3", "model.name=none"]
    configuration("train", words)
    seen = []

    def parse(self, word, rule):
        seen.append(word)
        return parse_rule(self, word, rule)

    parse_rule = OverridesParser.parse_rule
    monkeypatch.setattr(OverridesParser, "parse_rule", parse)
    configuration("train", words)
    assert [word for word in seen if word in words] == words
