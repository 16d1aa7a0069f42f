"""`python -m envs.play`: by hand, by the expert, through a pipe."""

import io
import subprocess
import sys

import gymnasium
import pytest
from PIL import Image

from envs import gallery
from envs.arguments import keyword
from envs.contract import EndedBy, Outcome, Scene, World
from envs.math_tasks.env import MathVerdict
from envs.play import main


class Doubles(World):
    """What is twice the number? Without a render mode it has no pictures."""

    verdicts = MathVerdict

    def begin(self, rng, options):
        self.number = int(rng.integers(1, 50))
        return Scene(f"What is twice {self.number}?")

    def respond(self, text):
        self.heard = text
        if text == "7\n8":
            return Outcome(MathVerdict.NO_ANSWER, 0.0, Scene("Go on."), "Go on.")
        return Outcome(
            MathVerdict.WRONG_ANSWER, -1.0, Scene("The end."), "No.", EndedBy.OUT_OF_ATTEMPTS
        )


@pytest.fixture(autouse=True)
def _doubles():
    gymnasium.register("test/Doubles-v0", Doubles)
    yield
    del gymnasium.registry["test/Doubles-v0"]


def run(monkeypatch, capsys, *arguments, lines=()):
    answers = iter(lines)

    def next_line(prompt=""):
        print(prompt, end="")
        try:
            return next(answers)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("builtins.input", next_line)
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_command_shows_the_expert(tmp_path):
    command = [sys.executable, "-m", "envs.play", "amft/Discrete-v0", "--expert", "--episodes", "2"]
    command += ["-k", "modality=text", "-k", "is_slippery=false", "-k", "game=FrozenLake-v1"]
    done = subprocess.run(
        [*command, "--out", tmp_path / "out"],
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("=== success (success), return +1") == 2
    pictures = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in pictures[:2]] == ["turn_000.png", "turn_001.png"]
    assert len(pictures) == 2 * 7
    assert Image.open(pictures[0]).size == (960, 540)


def test_by_hand_until_the_episode_ends(tmp_path, monkeypatch, capsys):
    code, out, _ = run(
        monkeypatch,
        capsys,
        "test/Doubles-v0",
        "--out",
        tmp_path,
        lines=["7\\", "8", "none of these"],
    )
    assert code == 0
    assert "What is twice" in out
    assert "--- no_answer, reward +0" in out
    assert "No.\nThe end." in out
    assert "=== no success (out_of_attempts), return -1" in out
    assert str(tmp_path) in out
    assert len(list(tmp_path.glob("turn_*.png"))) == 3


def test_the_end_of_the_input_ends_the_game(tmp_path, monkeypatch, capsys):
    code, out, err = run(monkeypatch, capsys, "test/Doubles-v0", "--out", tmp_path)
    assert code == 0
    assert out.endswith("Good-bye.\n")
    assert not err


def test_pictures_of_an_earlier_game_do_not_stay(tmp_path, monkeypatch, capsys):
    (tmp_path / "turn_042.png").touch()
    (tmp_path / "mine.png").touch()
    run(monkeypatch, capsys, "test/Doubles-v0", "--out", tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"mine.png", "turn_000.png"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["amft/Meth-v0"], ["'amft/Meth-v0'", "Did you mean 'amft/Math-v0'?"]),
        (
            ["amft/Math-v0", "-k", "sorce=countdown"],
            ["amft/Math-v0 has no argument sorce. Did you mean 'source'? It takes source, "],
        ),
        (["amft/OpenEnv-v0"], ["amft/OpenEnv-v0 needs the argument url. It takes url, "]),
        (["amft/Math-v0", "-k", "attempts=many"], ["attempts='many'", "1 to 1000"]),
        (["CartPole-v1"], ["Discrete(2)", "game=CartPole-v1"]),
        (["test/Doubles-v0", "--expert"], ["no expert", "without --expert"]),
        (["no_such_module:Env-v0"], ["no_such_module"]),
    ],
)
def test_mistakes_are_explained(arguments, words, tmp_path, monkeypatch, capsys):
    code, _, err = run(monkeypatch, capsys, *arguments, "--out", tmp_path)
    assert code == 2
    assert err.startswith("error: ")
    for word in words:
        assert word in err


class Bare(Doubles):
    """Takes no render mode."""

    def __init__(self):
        super().__init__()


def test_a_world_without_a_render_mode_is_played(tmp_path, monkeypatch):
    """Defect: it was refused for lacking the argument render_mode, which nobody had given."""
    monkeypatch.setattr("sys.stdin", io.StringIO("14\n"))
    gymnasium.register("test/Bare-v0", Bare)
    assert main(["test/Bare-v0", "--out", str(tmp_path)]) == 0
    del gymnasium.registry["test/Bare-v0"]


class Refuses(Doubles):
    """Reads something as it begins that is not as it should be."""

    def begin(self, rng, options):
        raise ValueError("panorama 3 is broken")


def test_what_goes_wrong_later_is_explained_too(tmp_path, monkeypatch, capsys):
    """A folder that cannot be made, and a world that refuses to begin, ended in a traceback."""
    (tmp_path / "file").touch()
    code, _, err = run(monkeypatch, capsys, "test/Doubles-v0", "--out", tmp_path / "file")
    assert (code, err.count("\n")) == (2, 1)
    assert str(tmp_path / "file") in err
    gymnasium.register("test/Refuses-v0", Refuses)
    code, _, err = run(monkeypatch, capsys, "test/Refuses-v0", "--out", tmp_path)
    del gymnasium.registry["test/Refuses-v0"]
    assert (code, err) == (2, "error: panorama 3 is broken\n")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a=3", 3),
        ("a=text", "text"),
        ("a=false", False),
        ("a=[1, 2]", [1, 2]),
        ('a="3"', "3"),
        ("a=", ""),
        ("a=b=c", "b=c"),
    ],
)
def test_keywords(text, value):
    assert keyword(text) == ("a", value)


@pytest.mark.parametrize("words", [["gallery"], ["gallery.doc"], ["gallery.psd"], ["--seed", "-1"]])
def test_what_the_gallery_cannot_do_is_told_before_it_is_drawn(words, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gallery", *words])
    with pytest.raises(SystemExit):
        gallery.main()
    assert "give a" in capsys.readouterr().err
