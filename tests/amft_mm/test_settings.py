"""Every setting has a type and a range: what is not allowed is told by every command before it starts."""

import re
import subprocess
import sys
from contextlib import suppress

import gymnasium
import pytest

from amft_mm.commands import COMMANDS, main
from amft_mm.config.command_line import configuration
from amft_mm.config.composition import composition
from amft_mm.config.fields import checked, rules_of
from amft_mm.config.schema import SCHEMAS
from amft_mm.config.schema.worlds import WORLDS


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
        ("pretrain seeing.steps=-1", "seeing.steps=-1: give a whole number from 0"),
        ("demos slots=0", "slots=0: give a whole number from 1"),
        ("train eval.quick.share=0", "eval.quick.share=0: give a number above 0, up to 0.5"),
        ("trian", "there is no such command. There are: train, evaluate"),
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


@pytest.mark.parametrize(
    "env", ["virl", "general_points", "math", "mix", "own", "frozen_lake", "sokoban"]
)
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


def test_a_folder_of_ones_own_adds_to_the_files(tmp_path):
    (tmp_path / "method").mkdir()
    lines = ["name: mine", "imitation: {name: sft}", "exploration: {name: grpo}"]
    lines += ["credit: {credit: episode}", "balance: {name: rl}"]
    (tmp_path / "method" / "mine.yaml").write_text("\n".join(lines))
    words = [f"--config-dir={tmp_path}", "method=mine"]
    assert configuration("train", words).method.name == "mine"
    assert "Did you mean mine" in refused(f"train --config-dir={tmp_path} method=mien")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_what_it_takes(command, capsys):
    with suppress(SystemExit):  # argparse ends by itself
        main([command, "--help"])
    told = capsys.readouterr().out
    assert len(told.splitlines()) > 5
    if command in SCHEMAS:
        assert "a whole number from" in told
        assert "Settings: name=value" in told


@pytest.mark.parametrize("command", ["evaluate", "demos"])
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
