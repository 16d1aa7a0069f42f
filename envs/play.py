"""`python -m envs.play ENVIRONMENT` plays an environment by hand, or shows how its expert does.

Each turn's text is printed and its picture saved; an answer is a line, or several lines of which
all but the last end with a backslash. The end of the input or ctrl-c ends the game.

    python -m envs.play amft/GeneralPoints-v0 --seed 3
    python -m envs.play amft/VIRL-v0 --expert -k city=helsinki -k mode=free
    python -m envs.play amft/Discrete-v0 -k game=FrozenLake-v1 -k is_slippery=false
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from PIL import Image as PILImage

import envs  # noqa: F401  registers the worlds
from envs.arguments import make_env, may_take, take_keywords, whole
from envs.contract import did_you_mean
from envs.names import check_names
from envs.printed import reader_may_leave
from envs.shown import pictures_of
from envs.tools import Tool, in_words

PROMPT = "> "
Player = Callable[[Any], str]


class PlayError(Exception):
    """What the user can put right; its text says how."""


class TheEnd(Exception):
    """The player has left."""


def play(
    env: gymnasium.Env[Any, Any],
    answer: Player,
    folder: Path,
    *,
    seed: int,
    episodes: int,
    say: Callable[[str], None] = print,
) -> int:
    """Plays episodes with seeds from `seed` on; returns how many succeeded."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("turn_[0-9][0-9][0-9]*.png"):
        old.unlink()  # pictures of two games must not mix
    successes = turn = 0
    for episode in range(episodes):
        if episodes > 1:
            say(f"=== Episode {episode + 1} of {episodes}, seed {seed + episode}")
        observation, info = env.reset(seed=seed + episode)
        total, ended = 0.0, False
        while True:
            _show(env, observation, info, folder / f"turn_{turn:03d}.png", say)
            turn += 1
            if ended:
                break
            observation, reward, terminated, truncated, info = env.step(answer(env))
            total, ended = total + float(reward), terminated or truncated
            say(f"\n--- {info.get('verdict')}, reward {float(reward):+g}")
        successes += bool(info.get("success"))
        outcome = "success" if info.get("success") else "no success"
        say(f"=== {outcome} ({info.get('ended_by')}), return {total:+g}\n")
    return successes


def _show(
    env: gymnasium.Env[Any, Any],
    observation: Any,
    info: dict[str, Any],
    path: Path,
    say: Callable[[str], None],
) -> None:
    """Prints the text and saves the pictures: what the agent sees, else what `render` shows."""
    seen = observation if isinstance(observation, dict) else {"text": str(observation)}
    text, feedback = str(seen.get("text", "")), str(info.get("feedback", ""))
    if info.get("system"):
        say(f"[system] {info['system']}")
    if info.get("tools"):
        say(in_words([Tool.of(tool) for tool in info["tools"]]))
    say(text if feedback in text else f"{feedback}\n{text}")
    pictures: list[Any] = list(pictures_of(seen))
    if not pictures and (drawn := env.render()) is not None:
        pictures = [drawn]
    for number, picture in enumerate(pictures, 1):
        file = path if len(pictures) == 1 else path.with_stem(f"{path.stem}_{number}")
        PILImage.fromarray(np.asarray(picture)).save(file)
        say(f"[picture: {file}]")


def ask_person(env: gymnasium.Env[Any, Any]) -> str:
    """An answer from the standard input."""
    lines: list[str] = []
    try:
        while True:
            line = input("" if lines else PROMPT)
            if not sys.stdin.isatty():
                print(line)
            lines.append(line.removesuffix("\\"))
            if not line.endswith("\\"):
                return "\n".join(lines)
    except (EOFError, KeyboardInterrupt):
        raise TheEnd from None


def ask_expert(env: gymnasium.Env[Any, Any]) -> str:
    """What the environment's expert writes."""
    expert = getattr(env.unwrapped, "expert", None)
    if expert is None:
        raise PlayError(f"{type(env.unwrapped).__name__} has no expert: play it without --expert.")
    try:
        text = str(expert())
    except NotImplementedError as error:
        raise PlayError(f"{error}: play it without --expert.") from error
    print(f"{PROMPT}{text}")
    return text


def make(name: str, arguments: dict[str, Any]) -> gymnasium.Env[Any, Any]:
    """`gymnasium.make`, with an error that helps where that is not possible."""
    if ":" not in name and name not in gymnasium.registry:
        ours = sorted(known for known in gymnasium.registry if known.startswith("amft/"))
        hint = did_you_mean(name, gymnasium.registry)
        raise PlayError(
            f"there is no environment {name!r}.{hint} Those of this suite are {', '.join(ours)}; "
            f"one of your own is named my_package:MyEnv-v0."
        )
    try:
        drawn = {"render_mode": "rgb_array"} if may_take(name, "render_mode") else {}
        env = make_env(name, drawn | arguments)
    except (
        gymnasium.error.Error,
        ImportError,
        OSError,
        SyntaxError,
        TypeError,
        ValueError,
    ) as error:
        raise PlayError(f"{name} cannot be made: {error}") from error
    if not isinstance(env.action_space, spaces.Text):
        raise PlayError(
            f"the actions of {name} are no texts but {env.action_space}: if they are discrete, "
            f"play it as amft/Discrete-v0 -k game={name}."
        )
    return env


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m envs.play",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("environment", help="such as amft/GeneralPoints-v0")
    parser.add_argument("--expert", action="store_true", help="watch the expert")
    parser.add_argument("--seed", type=whole(0), default=0, help="of the first episode (default 0)")
    parser.add_argument("--episodes", type=whole(1), default=1, help="how many (default 1)")
    parser.add_argument("--out", type=Path, default=Path("play"), help="folder of the pictures")
    take_keywords(parser, "environment")
    chosen = parser.parse_args(arguments)
    try:
        check_names()
        env = make(chosen.environment, dict(chosen.keywords))
        print(f"Pictures go to {chosen.out.resolve()}")
        player = ask_expert if chosen.expert else ask_person
        play(env, player, chosen.out, seed=chosen.seed, episodes=chosen.episodes)
    except BrokenPipeError:
        raise  # who reads has seen enough
    except (
        PlayError,
        ImportError,
        gymnasium.error.Error,
        OSError,  # of the folder of pictures
        RuntimeError,  # of a world elsewhere
        ValueError,  # of data that a world reads as it begins
    ) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (TheEnd, KeyboardInterrupt):
        print("\nGood-bye.")
    else:
        env.close()
    return 0


if __name__ == "__main__":
    with reader_may_leave():
        sys.exit(main())
