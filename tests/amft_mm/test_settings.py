"""Every setting has a type and a range: what is not allowed is told by every command before it starts."""

import os
import re
import subprocess
import sys
from contextlib import suppress

import gymnasium
import pytest

from amft_mm.commands import COMMANDS, main
from amft_mm.config import threads
from amft_mm.config.choices import config_groups
from amft_mm.config.command_line import configuration
from amft_mm.config.composition import composition
from amft_mm.config.fields import SettingError, checked, rules_of
from amft_mm.config.schema import SCHEMAS
from amft_mm.config.schema.method import Credit
from amft_mm.config.schema.worlds import WORLDS
from amft_mm.learning.credit import CREDITS


def composed(command, words=()):
    return composition(command, list(words))


def refused(words):
    """What a command says that ends by a sentence."""
    with pytest.raises(SystemExit) as ended:
        main(words.split())
    return str(ended.value)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("train train.steps=-3", "train.steps=-3: give a whole number from 0 up"),
        ("train train.final_lr=-2", "train.final_lr=-2: give a number from 0 to 1"),
        ("train train.lr=1e9", "give a number from 0 to 1 (learning rate"),
        ("train train.lr=abc", "train.lr=abc: give a number"),
        ("train train.lr=null", "train.lr=null: give a number"),
        ("train train.tasks=0", "train.tasks=0: give a whole number from 1 up"),
        ("train train.group=0", "train.group=0: give a whole number from 1 up"),
        ("train train.warmup_demos=0", "train.warmup_demos=0: give a whole number from 1"),
        ("train train.betas=[0.9]", "a list of 2 numbers from 0 up to, but not, 1"),
        ("train train.steps=3.5", "train.steps=3.5: give a whole number"),
        ("train train.steps=true", "train.steps=true: give a whole number"),
        ("train train=3", "train=3: give settings by their names, as train.NAME=VALUE"),
        (
            "train wandb=null",
            "wandb=null: give settings by their names",
        ),  # a traceback, as all sections
        ("train method.credit=null", "method.credit=null: give settings by their names"),
        ("train env=mix env.parts=null", "env.parts=null: give settings by their names"),
        ("demos env=math limits=null", "limits=null: give settings by their names"),
        ("train env=math eval.validation=foo", "eval.validation=foo: math has"),
        (
            "train env=math train.curriculum.name=varance",
            "varance",
        ),  # when all demonstrations were played
        ("train ~train.steps", "train.steps has to have a value"),
        ("train train.lr=0.1,0.2", "give one value; a list is written [1,2]"),
        ("train method.kl=-3", "method.kl=-3: give a number from 0 up"),
        ("train method.kl=nan", "method.kl=nan: give a number"),
        ("train method.cut=foo", "give learn, mask or bootstrap"),
        ("train method.rival={rank:0}", "method.rival.rank=0: give a whole number from 1"),
        ("train method.horizon=1.5", "method.horizon=1.5: give a number from 0 to 1"),
        ("train method.mu_per=task", "method.mu_per=task: give env or difficulty"),
        ("train train.reward_noise=1.5", "train.reward_noise=1.5: give a number from 0 to 1"),
        ("train checkpoint.keep=0", "checkpoint.keep=0: give a whole number from 1 up"),
        ("train checkpoint.every=0", "checkpoint.every=0: give a whole number from 1 up"),
        ("train checkpoint.minutes=0", "checkpoint.minutes=0: give a number above 0"),
        ("train play.slots=0", "play.slots=0: give a whole number from 1 to 100000"),
        ("train play.kind=foo", "play.kind=foo: give threads or processes"),
        ("train play.workers=0", "play.workers=0: give a whole number from 1"),
        ("train play.seconds=-1", "play.seconds=-1: give a number above 0, or null"),
        ("train eval.tries=0", "eval.tries=0: give a whole number from 1"),
        ("train eval.episodes=0", "eval.episodes=0: give a whole number from 1"),
        ("train resume=maybe", "resume=maybe: give true or false"),
        ("train resume=true", "give the run's folder too, as out=FOLDER"),
        ("train resume=true out=nowhere", "there is no run to go on with"),
        ("train +foo=3", "foo: there is no such setting"),
        ("train eval.passes={tries:4,episodes:2} train.stps=3", "train.stps: there is no such"),
        ("train +train.stps=3", "train.stps: there is no such setting. Did you mean train.steps"),
        ("train env.splits=id", "env.splits=id: give a list of names, as env.splits=[id]"),
        ("train env.attempts=0", "env.attempts=0: give a whole number from 1"),
        ("train env=mix env.parts.math.attempts=0", "env.parts.math.attempts=0: give a whole"),
        ("train env=mix env.shares.math=-1", "env.shares"),
        ("train model.dtype=foo", "give float32, bfloat16 or float16, or null"),
        ("train model=3", "model=3: give one of"),
        (
            "train method=grpo method.exploration.clip=0.3",
            "no file sets: +method.exploration.clip=VALUE",
        ),
        (
            "train recipe=tiny_vril",
            "recipe=tiny_vril: there is no such setting. Did you mean tiny_virl",
        ),
        ("train resume=true out=nowhere recipe=foo", "recipe=foo: there is no such setting"),
        ("train env=mix env.shares={virl:1,chess:2}", "env.shares.chess: there is no such setting"),
        ("train seed=-1", "seed=-1: give a whole number from 0"),
        # names
        ("train env=vril", "Did you mean virl"),
        ("train trian.steps=3", "Did you mean train.steps"),
        ("train steps=4", "Did you mean train.steps"),
        ("train env.modalty=text", "Did you mean env.modality"),
        ("train method=amtf", "Did you mean amft"),
        ("train method=gradnorm", "gradnorm is called norm_matching now"),
        ("train env=nope", "There are: frozen_lake, general_points, math"),
        ("train foo", "settings are written name=value"),
        ("train --fast", "--fast: there is no such option"),
        ("train --config-dir=nowhere", "--config-dir=nowhere: there is no such folder"),
        # other commands
        ("evaluate eval.temperature=3", "eval.temperature=3: give a number from 0 to 2"),
        ("evaluate eval.episodes=-5", "eval.episodes=-5: give a whole number from 1"),
        ("evaluate record=-1", "record=-1: give a whole number from 0"),
        ("demos n=0", "n=0: give a whole number from 1"),
        ("demos machine=one_80gb", "machine: there is no such setting"),
        ("evaluate recipe=tiny_math", "recipe: there is no such setting"),
        ("demos corrupt.share=2", "corrupt.share=2: give a number from 0 to 1"),
        ("demos corrupt.kind=foo", "give wrong_actions, wrong_answers or shuffled_pictures"),
        ("compare seeds=0", "seeds=0: give a whole number from 1"),
        ("compare more_seeds={amft:0}", "more_seeds.amft=0: give a whole number from 1"),
        ("compare jobs=0", "jobs=0: give a whole number from 1"),
        ("pretrain seeing.batch.scenes=-1", "seeing.batch.scenes=-1: give a whole number from 0"),
        ("pretrain seeing.steps=-1", "seeing.steps=-1: give a whole number from 1"),
        ("demos slots=0", "slots=0: give a whole number from 1"),
        ("train eval.quick.share=0", "eval.quick.share=0: give a number above 0, up to 0.5"),
        ("trian", "there is no such command. There are: train, evaluate"),
        # a word for a part, which was a traceback
        ("train method.balance=fixed", "as method.balance.name=fixed"),
        ("train method.imitation=sft", "as method.imitation.name=sft"),
        ("train method.credit.credit=foo", "give episode, turn, gigpo or gae"),
        # groups
        ("train model=Qwen/Qwen2.5-VL-3B-Instruct", "by model.name=Qwen/Qwen2.5-VL-3B-Instruct"),
        ("train model=/", "by model.name=/"),
        ("train env=my_file:my/Env-v0", "is env=own env.id=my_file:my/Env-v0"),
        ("train method=AMFT", "Did you mean amft"),
        ("train ~env", "~env: give one of frozen_lake"),
        ("train engine=null", "engine=null: give one of hf"),
        ("demos engine=3", "openai, vllm, or ~engine for none"),
        # what Hydra says in its own words, or took and did not heed
        ("compare only=[a]", "only=[a]: give settings by their names, as only={NAME:VALUE}"),
        ("train env.splits={a:1}", "env.splits={a:1}: give a list"),
        ("train ~train.steps=5", "~train.steps: its value is 40; leave out what is behind"),
        ("train +train.steps=5", "+train.steps: it is there already; leave out the +"),
        ("train +env=math", "+env: one is chosen already; leave out the +"),
        ("train ~method.exploration.nothing", "method.exploration.nothing: there is no such"),
        ("train hydra.run.dir=here", "hydra.run.dir=here: settings of Hydra itself do nothing"),
        ("train hydra/launcher=basic", "hydra/launcher=basic: settings of Hydra itself do nothing"),
        # what would do nothing
        ("evaluate env=math checkpoint=best", "checkpoint=best: only a run has checkpoints"),
        ("evaluate env=math checkpoint=last", "give it as run=RUN"),
        ("evaluate env=math sampling.top_p=0.5", "sampling.top_p=0.5: answers are greedy"),
        ("evaluate env=math eval.temperature=0.5", "a single try is greedy"),
        ("evaluate env=math eval.in_order=true eval.seed=5", "plays the seeds 0, 1, 2"),
        (
            "evaluate env=math eval.tries=4 eval.temperature=0",
            "makes all tries at a task instance the same",
        ),
        ("demos env=math pictures=here", "pictures=here: it is of chats that import_from=FILE"),
        ("demos env=math sampling.temperature=0.5", "the world's expert plays"),
        ("demos env=math limits.max_turns=3", "the world's expert plays"),
        ("demos engine=hf slips=0.2", "slips=0.2: with engine=hf a model's episodes are taken as"),
        ("demos engine=hf corrupt.share=0.5", "corrupt.share=0.5: with engine=hf a model's"),
        ("demos engine=hf import_from=a.json", "import_from=a.json: with engine=hf a model's"),
        ("demos import_from=a.json slips=0.2", "slips=0.2: import_from= takes the chats"),
        ("demos import_from=a.json corrupt.share=0.5", "corrupt.share=0.5: import_from= takes"),
        # true, however it is written
        ("train resume=1", "give the run's folder too, as out=FOLDER"),
        ("train resume=yes out=nowhere", "there is no run to go on with"),
    ],
)
def test_what_is_not_allowed_is_told_with_what_is(words, told):
    assert told in refused(words)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("replay somewhere --limit 0", "give a whole number from 1 up"),
        ("replay somewhere --port 99999", "give a whole number from 0 to 65535"),
        ("replay somewhere --episode -1", "give a whole number from 0 up"),
        ("play amft/Math-v0 --episodes -5", "give a whole number from 1 up"),
        ("play amft/Math-v0 --seed -1", "give a whole number from 0 up"),
        ("serve amft/Math-v0 --port 99999", "give a whole number from 0 to 65535"),
        ("serve amft/Math-v0 --sessions 0", "give a whole number from 1"),
        ("methods grpo", "unrecognized arguments: grpo"),
    ],
)
def test_numbers_behind_dashes_have_their_range(words, told, capsys):
    assert refused(words) == "2"
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("command", SCHEMAS)
def test_every_setting_that_has_a_default_is_in_the_schema_and_the_other_way_round(command):
    """Also those of each environment; a setting that is added needs its type, range and sentence."""
    configuration(command, [])


@pytest.mark.parametrize("env", config_groups("train")["env"])
def test_every_environment_passes(env):
    checked(SCHEMAS["train"], composed("train", [f"env={env}"]))


@pytest.mark.parametrize(
    ("world", "name", "allowed"),
    [
        (world, name, rule.among)
        for world, schema in WORLDS.items()
        for name, (_, rule) in rules_of(schema).items()
        if rule.among
    ],
)
def test_a_worlds_settings_allow_what_the_world_takes(world, name, allowed):
    """Defect: `env.face_rule=twelve` and `env.thought=search` of sums, told by guides, were refused."""
    with pytest.raises(ValueError, match=f"^{name}='nothing' is not one of ") as refusal:
        gymnasium.make(world, **{name: "nothing"})
    taken = re.findall(r"'(\w+)'", str(refusal.value).partition(" is not one of ")[2])
    assert set(taken) == set(allowed)


def test_values_get_the_types_of_the_schema():
    words = ["env=math", "train.steps='7'", "train.lr=0", "+env.extra=1", "method.rival={rank:3}"]
    config = configuration("train", words)
    assert config.train.steps == 7
    assert isinstance(config.train.lr, float)
    assert config.env.extra == 1
    assert config.method.rival == {"rank": 3}
    assert configuration("train", ["++method.balance.doubt=0"]).method.balance.doubt == 0


@pytest.mark.parametrize("word", ["debug=true", "debug=True", "debug=1", "debug=yes", "++debug=on"])
def test_where_an_error_came_from_is_shown_however_true_is_written(word):
    with pytest.raises(SettingError):
        main(["train", "train.steps=-3", word])
    assert "train.steps=-3" in refused("train train.steps=-3 debug=false")


def test_null_and_what_is_left_out_are_taken_where_there_may_be_nothing():
    """Defects: the files' and the help's own null was refused, and `~NAME` of what is null told not to be."""
    assert configuration("demos", ["engine=null", "recipe=null"]).engine is None
    assert configuration("demos", ["env=math", "recipe=null"]).n == 512
    assert configuration("train", ["machine=null"]) == configuration("train", [])
    assert configuration("compare", ["study=null"]) == configuration("compare", [])
    left = configuration("train", ["method=luffy", "~method.exploration.clip", "~out"])
    assert left == configuration("train", ["method=luffy"])


def test_threads_are_those_that_suit_the_model_unless_one_asks_for_others(monkeypatch, capsys):
    """Defects: what a command asks for itself, one for all else, was taken for the user's wish; and all cores
    of a machine were taken where a process may use some."""
    from agents.locate import locate_model
    from amft_mm.config.players import automatic_threads

    for name in (threads.VARIABLE, "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    monkeypatch.delenv(threads.VARIABLE)
    monkeypatch.setattr(threads, "ASKED", "")
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    main(["methods"])
    assert os.environ[threads.VARIABLE] == "1"
    for tiny in ("tiny", "tiny-random", locate_model("tiny")):
        assert automatic_threads(tiny) == 1
    assert automatic_threads("owner/model") == 8
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert automatic_threads("owner/model") == 4
    monkeypatch.setattr(threads, "ASKED", "3")
    assert automatic_threads("owner/model") == automatic_threads("tiny") == 3
    monkeypatch.setattr(threads, "ASKED", "1")
    assert automatic_threads("owner/model") == 1
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")  # torchrun says 1 where nobody asked
    assert automatic_threads("owner/model") == 4


def test_a_command_asks_for_threads_before_numpy_is_there():
    code = "import sys, amft_mm.commands; assert not {'numpy', 'torch'} & {*sys.modules}"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_all_ways_to_give_credit_may_be_said():
    assert rules_of(Credit)["credit"][1].among == (*CREDITS, "gae")


MINE = """
name: mine
imitation: {name: sft}
exploration: {name: grpo}
credit: {credit: episode}
balance: {name: rl}
"""


def written(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())


@pytest.mark.parametrize("name", ["it's mine", "with space", "a=b"])
def test_a_folder_of_ones_own_may_be_called_as_one_likes(tmp_path, name):
    written(tmp_path / name, {"method/mine.yaml": MINE})
    own = f"--config-dir={tmp_path / name}"
    assert configuration("train", [own, "method=mine"]).method.name == "mine"
    with pytest.raises(SettingError, match="Did you mean mine"):
        configuration("train", [own, "method=mien"])


@pytest.mark.parametrize(
    ("file", "text", "words", "told"),
    [
        ("method/own.yaml", "name: own\na: {b: 1\n", "method=own", "own.yaml, line 3: expected"),
        ("method/own.yaml", "- 1\n- 2\n", "method=own", "own.yaml holds a list"),
        ("method/own.yaml", b"\xff\xfe\xfa", "method=own", "own.yaml is no text"),
        ("method/own.yaml", b"a: \x00", "method=own", "own.yaml, character 3: special"),
        # Defect: the suite's own was taken, without a word.
        ("method/grpo.yaml", MINE, "method=grpo", "grpo.yaml: method=grpo is the suite's own"),
        ("method/amft.yaml", MINE, "env=math", "amft.yaml: method=amft is the suite's own"),
        ("recipe/tiny_math.yaml", "seed: 3", "env=math", "recipe=tiny_math is the suite's own"),
    ],
)
def test_a_file_of_ones_own_that_is_not_taken_is_told_by_its_name(
    tmp_path, file, text, words, told
):
    written(tmp_path, {file: text, "method/other.yaml": MINE})
    assert told in refused(f"train --config-dir={tmp_path} {words}")
    configuration("train", [f"--config-dir={tmp_path}", "method=other", "env=virl"])


def test_a_slip_in_a_file_that_another_one_takes_is_told_by_its_name(tmp_path):
    """Defect: a traceback of yaml."""
    files = {"method/base.yaml": "a: {b: 1\n", "method/mine.yaml": f"defaults: [base]\n{MINE}"}
    written(tmp_path, files)
    assert "base.yaml, line 2: expected" in refused(f"train --config-dir={tmp_path} method=mine")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_what_it_takes(command, capsys):
    with suppress(SystemExit):  # argparse ends by itself
        main([command, "--help"])
    told = capsys.readouterr().out
    assert len(told.splitlines()) > 5
    if command in SCHEMAS:
        assert "a whole number from" in told
        assert "Settings: name=value" in told


@pytest.mark.parametrize("command", ["evaluate", "demos", "compare"])
def test_without_words_an_hour_of_work_is_not_begun(command, capsys):
    main([command])
    assert "Settings: name=value" in capsys.readouterr().out


def test_help_shows_what_is_chosen(capsys):
    main(["train", "--help", "env=math", "train.steps=11"])
    told = capsys.readouterr().out
    assert "env.source=countdown" in told
    assert "train.steps=11" in told


@pytest.mark.parametrize(
    ("command", "groups"),
    [
        ("train", {"env", "model", "engine", "method", "machine", "recipe"}),
        ("evaluate", {"env", "model", "engine"}),
        ("demos", {"env", "model", "engine", "recipe"}),
        ("compare", {"study"}),
        ("pretrain", set()),
    ],
)
def test_help_names_the_groups_of_a_command_and_no_others(command, groups, capsys):
    """`recipe` and `study` were missing, and `machine` was told of commands that have none."""
    main([command, "--help"])
    told = capsys.readouterr().out.partition("Groups: name=file")[2].partition("Settings:")[0]
    rows = [line.split("=")[0].strip() for line in told.splitlines() if line[2:3].strip()]
    assert set(rows) == groups


def test_help_and_version_load_no_torch(tmp_path):
    code = (
        "import sys; from amft_mm.commands import main\n"
        "main([]); main(['--version']); main(['train', '--help']); main(['train', '--cfg=job'])\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "amft-mm COMMAND" in done.stdout
    assert "source: chain_sum" not in done.stdout


@pytest.mark.parametrize("door", [["amft_mm", "train"], ["amft_mm.train"]])
def test_every_door_tells_the_same(tmp_path, door):
    words = [sys.executable, "-m", *door, "train.steps=-3"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("train: train.steps=-3: give a whole number")
    assert not list(tmp_path.iterdir())
