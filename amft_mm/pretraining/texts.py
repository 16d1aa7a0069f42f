"""Exercises without pictures: copying, lists, directions."""

from __future__ import annotations

from functools import lru_cache

from amft_mm.pretraining.exercise import Exercise, Rng, Turn, pick
from envs.general_points.cards import RANKS
from envs.virl.actions import directions
from envs.virl.city_files import load_city
from envs.virl.language import SIDES


def echo(rng: Rng) -> Exercise:
    """Saying again what was said: to copy is the first thing to learn of a text."""
    said = sentence(rng) if rng.random() < 0.5 else " ".join(shop(rng) for _ in range(2))
    return [Turn(f"Say: {said}", None, said)]


def echo_of_words(rng: Rng) -> Exercise:
    """The same with words that do not belong together, so that nothing but copying helps."""
    words = [pick(rng, _words()) for _ in range(int(rng.integers(2, 9)))]
    return [Turn(f"Say: {' '.join(words)}", None, " ".join(words))]


def numbers_again(rng: Rng) -> Exercise:
    """The numbers that were told, in the middle of answers of several forms."""
    turns = []
    for _ in range(4):
        numbers = [
            int(rng.integers(1, 14) if rng.random() < 0.5 else rng.integers(1, 171))
            for _ in range(int(rng.integers(2, 6)))
        ]
        listed = ", ".join(map(str, numbers))
        said = pick(rng, ("I have {}.", '{{"number": [{}]}}', "{}")).format(listed)
        turns.append(Turn(f"Numbers: {listed}.", None, said))
    return turns


@lru_cache(maxsize=1)
def _words() -> list[str]:
    """Words of shop names and of sentences, numbers and ranks, each kind about as often."""
    shops = [word for mark in load_city("gridtown").landmarks for word in mark.name.split()]
    few = ("north", "south", "left", "right", "Stop", "turn", "face", *RANKS)
    return [*shops, *few * 15, *"0123456789" * 20]


def lines(rng: Rng) -> Exercise:
    """Questions about a numbered list: line k, the one after, the line that names something. A line is
    said with its number, which is what it is found by."""
    said = [sentence(rng) for _ in range(int(rng.integers(2, 9)))]
    if rng.random() < 0.5:
        said[-1] = "Stop."
    turns = []
    for index in range(5):
        at = int(rng.integers(len(said)))
        kind = pick(rng, ("recite", "recite", "after", "after", "number", "count"))
        if kind == "recite":
            question, answer = f"Recite line {at + 1}.", numbered(said, at)
        elif kind == "after":
            question, answer = f"What comes after line {at + 1}?", numbered(said, at + 1)
        elif kind == "number":
            question, answer = f"Which line says: {said[at]}", str(said.index(said[at]) + 1)
        else:
            question, answer = "How many lines are there?", str(len(said))
        told = "\n".join(numbered(said, line) for line in range(len(said)))
        turns.append(Turn(f"{told}\n{question}" if index == 0 else question, None, answer))
    return turns


def short_lines(rng: Rng) -> Exercise:
    """The same with lines of few words that nothing but their number tells: looking up is learnt where
    each word of the answer needs it, long before it is where most words follow from those before."""
    make = pick(rng, (shop, _awaited, lambda rng: str(pick(rng, _words()))))
    said = [str(make(rng)) for _ in range(int(rng.integers(3, 10)))]
    told = "\n".join(numbered(said, line) for line in range(len(said)))
    turns = []
    for index in range(8):
        at, after = int(rng.integers(len(said))), rng.random() < 0.4
        asked = f"What comes after line {at + 1}?" if after else f"Recite line {at + 1}."
        turns.append(
            Turn(f"{told}\n{asked}" if index == 0 else asked, None, numbered(said, at + after))
        )
    return turns


def in_short(rng: Rng) -> Exercise:
    """Any line by its first and its last word, after other words: the line is often named by nothing but the
    answer itself, and what is said of it has to be looked up there, wherever in a conversation."""
    told, short = lines_in_short(rng)
    turns = []
    for index in range(int(rng.integers(4, 9))):
        at = int(rng.integers(len(short)))
        asked = pick(rng, ("Right.", ANY_IN_SHORT, f"Line {at + 1} in short."))
        before = f"Here: {' '.join(_some_words(rng, 1, 8))}.\n" if rng.random() < 0.6 else ""
        question = f"{told}\n{asked}" if index == 0 else asked
        turns.append(Turn(question, None, f"{before}{short[at]}"))
    return turns


ANY_IN_SHORT = "Any line in short."


def lines_in_short(rng: Rng) -> tuple[str, list[str]]:
    """A numbered list, and each of its lines in short."""
    first = pick(rng, (("Turn",), ("Turn", "Move", "Say", "Take")))
    last = pick(rng, (directions("absolute"), directions("relative"), _words(), _words()))
    told, short = ["Lines:"], []
    for number in range(1, int(rng.integers(4, 10))):
        verb, end = pick(rng, first), str(pick(rng, last))
        told.append(f"{number}. {' '.join([verb, *_some_words(rng, 0, 4), end])}.")
        short.append(f"{number}: {verb.lower()} {end}")
    return "\n".join(told), short


def _some_words(rng: Rng, least: int, most: int) -> list[str]:
    """Without colours, so that they make up no shop's name that the exam holds to be unseen."""
    return [str(pick(rng, _colourless())) for _ in range(int(rng.integers(least, most + 1)))]


@lru_cache(maxsize=1)
def _colourless() -> list[str]:
    colours = {mark.name.split()[0] for mark in load_city("gridtown").landmarks}
    return [word for word in _words() if word not in colours]


def _awaited(rng: Rng) -> str:
    """What an instruction waits for, in short."""
    return f"{shop(rng)} {pick(rng, ('left', 'right', 'front', 'behind'))}"


def numbered(said: list[str], at: int) -> str:
    """Line `at` (from 0) with its number; "The end." after the last."""
    return f"{at + 1}. {said[at]}" if at < len(said) else "The end."


def same_or_not(rng: Rng) -> Exercise:
    """Whether a name is told in a sentence, and where."""
    names = [shop(rng) for _ in range(2)]
    where = [pick(rng, tuple(SIDES.values())) for _ in range(2)]
    text = "; ".join(f"{n} is {w}" for n, w in zip(names, where, strict=True)) + "."
    other = [part for name in names for part in name.split()]
    asked = pick(rng, (names[0], names[1], " ".join((other[0], other[4], other[2])), shop(rng)))
    found = f"Yes, {where[names.index(asked)]}." if asked in names else "No."
    return [Turn(f"{text}\nIs {asked} there?", None, found)]


def compass(rng: Rng) -> Exercise:
    """Headings after turns."""
    names, turns = (
        directions("absolute"),
        {"right": 2, "left": -2, "slightly right": 1, "around": 4},
    )
    turns |= {"slightly left": -1}
    at = int(rng.integers(8))
    turn = pick(rng, tuple(turns))
    facing = names[(at + turns[turn]) % 8]
    text = f"You face {names[at]} and turn {turn}. Which way do you face?"
    return [Turn(text, None, facing)]


def shop(rng: Rng) -> str:
    mark = pick(rng, load_city("gridtown").landmarks)
    return str(mark.name)


def sentence(rng: Rng) -> str:
    facing = pick(rng, directions("absolute"))
    where = pick(rng, ("the intersection", "the next intersection", "your destination"))
    side = pick(rng, tuple(SIDES.values()))
    return str(
        pick(
            rng,
            (
                f"Move forward until you reach {where}, where {shop(rng)} is {side}.",
                f"Turn {pick(rng, ('left', 'right', 'slightly left', 'slightly right'))} "
                f"to face {facing}.",
            ),
        )
    )
