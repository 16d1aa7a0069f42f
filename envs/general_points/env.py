"""`amft/GeneralPoints-v0`: use the number of each card once to make the target.

Hands are dealt from one deck without replacement, uniformly among those that have a solution and
belong to the split. None of these ever shows what `train` shows, and each changes one thing:

    id         cards whose numbers training may have dealt in other suits; in words, which tell no suits,
               in another order
    ood_hand      numbers that training never deals: a formula that was never shown
    ood_rule      faces, at least one of them, counted by the other rule
    ood_color     the other colour (pictures only)
    ood_deck      other drawings (pictures only)

and those that arXiv 2510.00237 reports on, where J, Q, K count as ten in training:

    ood_regular   faces count 11, 12, 13; `ood_rule` is the same where training counts ten
    ood_all_12    faces all count 12
    ood_large     at least one number from 14 to 19, which no card has (text only)
    ood_five      five cards
    ood_fake      the prompt says 11, 12, 13, and judged is as in training: who succeeds does not read it

`all` makes no division.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from envs.contract import (
    EndedBy,
    Outcome,
    Scene,
    World,
    no_unknown_options,
    one_of,
    picture_size,
    whole_number,
)
from envs.derivation import stray
from envs.general_points.cards import (
    FACE_RULES,
    LARGE_RANKS,
    SUITS_OF,
    VARIED_FACES,
    Card,
    Faces,
    read_card,
)
from envs.general_points.decks import find_deck, other_deck, table_picture
from envs.general_points.formula import read_formula
from envs.general_points.prompts import (
    THOUGHTS,
    Task,
    answer,
    prompt,
    right_answer,
)
from envs.general_points.solver import solutions, solvable
from envs.general_points.verdict import REWARDS, GeneralPointsVerdict, judge

SPLITS = (
    "all", "train", "id", "ood_hand", "ood_rule", "ood_color", "ood_deck",
    "ood_regular", "ood_all_12", "ood_large", "ood_five", "ood_fake",
)  # fmt: skip
_RULE_OF = {"ood_regular": "rank", "ood_all_12": "twelve"}
_WITH_A_FACE = ("ood_rule", "ood_regular", "ood_all_12", "ood_fake")
"""Splits where it matters how faces count: each hand has one."""
KEPT_SHARE = 0.15
"""Of the hands, and of the numbers, that training never deals."""
_TRIES = 20_000
_SEARCHES = {5: 500, 6: 40}
"""Hands of so many cards that are searched in vain; of five one takes 0.1 seconds, of six up to 5."""


class Solutions(Sequence[str]):
    """All distinct solutions of a hand, found when first looked at."""

    def __init__(self, numbers: Sequence[int], target: int) -> None:
        self._question = (tuple(numbers), target)

    @property
    def _found(self) -> tuple[str, ...]:
        return solutions(*self._question)

    def __len__(self) -> int:
        return len(self._found)

    def __getitem__(self, index: Any) -> Any:
        return self._found[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    def __hash__(self) -> int:
        return hash(self._question)

    def __repr__(self) -> str:
        return repr(list(self))


class GeneralPointsEnv(World):
    """See the module's docstring; the arguments are those of `gymnasium.make`."""

    verdicts = GeneralPointsVerdict

    def __init__(
        self,
        *,
        modality: str = "visual",
        target: int = 24,
        num_cards: int = 4,
        face_rule: str = "ten",
        colors: str = "black",
        deck: str | Path = "classic",
        attempts: int = 5,
        size: Sequence[int] = (300, 300),
        prompts: str = "fixed",
        thought: str = "none",
        split: str = "all",
        render_mode: str | None = None,
    ) -> None:
        """
        modality   "visual" (a picture of the cards) or "text" (their names)
        target     what the formula must make
        num_cards  3 to 6
        face_rule  J, Q, K count "ten", by their "rank" 11, 12, 13, all "twelve", or "varied": by a rule
                   that each episode draws, and its prompt tells
        colors     suits that are dealt: "black", "red" or "all"
        deck       a drawn deck ("classic", "flat", "chalk") or a folder of 52 pictures
        attempts   answers allowed
        size       (height, width) of the picture
        prompts    "fixed" wording, or "varied" by the seed
        thought    what the example and the expert write before the formula: "none", the "steps" that
                   derive it, or a "search" for them through all that three numbers come to;
                   agents may always write a thought or leave it out
        split      one of SPLITS
        """
        self._visual = one_of("modality", modality, ("visual", "text")) == "visual"
        self._size = picture_size("size", size)
        super().__init__(image_size=self._size if self._visual else None, render_mode=render_mode)
        self._target = whole_number("target", target, 1, 10_000)
        self._num_cards = whole_number("num_cards", num_cards, 3, 6)
        self._attempts = whole_number("attempts", attempts, 1, 1000)
        self._varied = one_of("prompts", prompts, ("fixed", "varied")) == "varied"
        self._thought = one_of("thought", thought, THOUGHTS)
        self._split = one_of("split", split, SPLITS)
        face_rule = one_of("face_rule", face_rule, (*FACE_RULES, "varied"))
        colors = one_of("colors", colors, tuple(SUITS_OF))
        _refuse_what_is_not_unseen(split, colors, face_rule, num_cards, self._visual)
        if split == "ood_color":
            colors = "red" if colors == "black" else "black"
        self._rules = _rules(face_rule, split)
        self._said: Faces | None = _other_rule(self._rules[0]) if split == "ood_fake" else None
        self._faces = self._rules[0]
        self._deck = find_deck(deck)
        if split == "ood_deck":
            self._deck = find_deck(other_deck(deck))
        if split == "ood_five":
            self._num_cards = 5
        ranks = [*range(1, 14), *(LARGE_RANKS if split == "ood_large" else ())]
        self._pack = [Card(rank, suit) for suit in SUITS_OF[colors] for rank in ranks]
        self._cards: tuple[Card, ...] = ()
        self._numbers: tuple[int, ...] = ()
        self._left = 0
        self._deal(np.random.default_rng(0))  # says at once if there is nothing to deal

    def begin(self, rng: np.random.Generator, options: dict[str, Any]) -> Scene:
        no_unknown_options(options, ("hand",))
        if len(self._rules) > 1:
            self._faces = self._rules[int(rng.integers(len(self._rules)))]
        self._cards = self._given(options["hand"]) if "hand" in options else self._deal(rng)
        self._numbers = tuple(card.number(self._faces) for card in self._cards)
        self._left = self._attempts
        task = Task(
            self._target,
            self._said or self._faces,
            self._visual,
            self._names,
            self._numbers,
            self._thought,
        )
        text = prompt(task, rng if self._varied else None)
        if not self._visual:
            return Scene(text)
        return Scene(text, table_picture(self._deck, self._cards, self._size))

    def respond(self, text: str) -> Outcome:
        judgement = judge(
            text,
            ranks=[card.rank for card in self._cards],
            numbers=self._numbers,
            target=self._target,
            cards_count=self._visual,
        )
        self._left -= 1
        feedback, ended_by = judgement.feedback, None
        if judgement.verdict is GeneralPointsVerdict.CORRECT:
            ended_by = EndedBy.SUCCESS
        elif self._left == 0:
            feedback, ended_by = f"{feedback} No attempts left.", EndedBy.OUT_OF_ATTEMPTS
        else:
            feedback += f" {self._left} attempt{'s' if self._left > 1 else ''} left."
        image = self._scene.image if self._scene else None
        reward = REWARDS[judgement.verdict]
        return Outcome(judgement.verdict, reward, Scene(feedback, image), feedback, ended_by)

    def expert(self) -> str:
        return right_answer(self._names, self._numbers, self._target, self._thought)

    def mistake(self, rng: np.random.Generator) -> str:
        """A formula of the right numbers that does not make the target; where it is derived, by steps
        that are true and end elsewhere, or by a search for something else."""
        if self._thought != "none":
            wrong = stray(self._numbers, self._target, rng)
            return right_answer(self._names, self._numbers, int(wrong.value), self._thought)
        while True:
            numbers = [str(self._numbers[i]) for i in rng.permutation(len(self._numbers))]
            signs = ["+-*"[i] for i in rng.integers(3, size=len(numbers) - 1)]
            formula = "".join(a + b for a, b in zip(numbers, [*signs, ""], strict=True))
            if read_formula(formula).value != self._target:
                return answer(self._names, self._numbers, f"{formula}={self._target}")

    @property
    def _names(self) -> list[str]:
        return [card.name for card in self._cards]

    @property
    def splits(self) -> tuple[str, ...]:
        return SPLITS

    def facts(self) -> dict[str, Any]:
        return {
            "cards": [str(card) for card in self._cards],
            "numbers": list(self._numbers),
            "solutions": Solutions(self._numbers, self._target),
            "attempts_left": self._left,
        }

    def sketch(self) -> dict[str, Any]:
        """The hand, and its first solutions."""
        return {
            "kind": "hand",
            "cards": [str(card) for card in self._cards],
            "numbers": list(self._numbers),
            "solutions": list(Solutions(self._numbers, self._target)[:20]),
        }

    def _deal(self, rng: np.random.Generator) -> tuple[Card, ...]:
        """Uniform over the ordered hands that may be dealt: draws until one may."""
        searches = _SEARCHES.get(self._num_cards, _TRIES)
        for deals in range(1, _TRIES + 1):  # noqa: B007
            order = rng.permutation(len(self._pack))[: self._num_cards].tolist()
            hand = tuple(self._pack[i] for i in order)
            if not self._is_of_split(hand):
                continue
            if self._has_solution(hand):
                return hand
            searches -= 1
            if not searches:
                break
        fewer = " or fewer cards" if self._num_cards in _SEARCHES else ""
        raise ValueError(
            f"target={self._target}, num_cards={self._num_cards}, split={self._split!r}: found no hand "
            f"with a solution in {deals} deals; choose another target{fewer}."
        )

    def _is_of_split(self, hand: tuple[Card, ...]) -> bool:
        return self._split == "all" or self._of_split(hand)

    def _has_solution(self, hand: tuple[Card, ...]) -> bool:
        # Where the prompt says another rule, the hand has a solution by that too.
        return all(
            solvable(sorted(card.number(faces) for card in hand), self._target)
            for faces in (self._faces, self._said)
            if faces is not None
        )

    def _of_split(self, hand: tuple[Card, ...]) -> bool:
        if self._split == "ood_five":
            return True
        if self._split == "ood_large":
            return any(card.rank in LARGE_RANKS for card in hand)
        if self._split in _WITH_A_FACE:
            return self._kept(hand) and any(card.is_face for card in hand)
        if kept_numbers(hand):
            return self._split == "ood_hand"
        return self._split != "ood_hand" and self._kept(hand) == (self._split != "train")

    def _kept(self, hand: Sequence[Card]) -> bool:
        return kept_cards(hand) if self._visual else kept_names(hand)

    def _given(self, names: Any) -> tuple[Card, ...]:
        """The hand that reset(options={"hand": ...}) names."""
        if not isinstance(names, list | tuple) or len(names) != self._num_cards:
            raise ValueError(
                f"reset option 'hand'={names!r:.100} must list {self._num_cards} cards "
                "such as '3S', '10H', 'KD'."
            )
        cards = [read_card(name) for name in names]
        for name, card in zip(names, cards, strict=True):
            if card is None:
                raise ValueError(
                    f"reset option 'hand': {name!r:.40} is not a card: write rank (A, 2 to 10, J, Q, K) "
                    "and suit (S, C, H, D)."
                )
        if len(set(cards)) < len(cards):
            raise ValueError(f"reset option 'hand'={names!r:.100} names a card twice.")
        return tuple(card for card in cards if card is not None)


def _rules(face_rule: str, split: str) -> tuple[Faces, ...]:
    """What J, Q, K may count in a split where training counts them by `face_rule`."""
    if split in _RULE_OF:
        return (FACE_RULES[_RULE_OF[split]],)
    if face_rule == "varied":
        return {"ood_rule": (FACE_RULES["rank"],), "ood_fake": (FACE_RULES["ten"],)}.get(
            split, VARIED_FACES
        )
    rule = FACE_RULES[face_rule]
    return (_other_rule(rule) if split == "ood_rule" else rule,)


def _other_rule(faces: Faces) -> Faces:
    return FACE_RULES["rank" if faces == FACE_RULES["ten"] else "ten"]


def _refuse_what_is_not_unseen(
    split: str, colors: str, face_rule: str, num_cards: int, visual: bool
) -> None:
    """Splits that would not differ from training, and one that can not be drawn."""
    if split == "ood_color" and colors == "all":
        raise ValueError(
            "split='ood_color' needs colors='black' or 'red': with 'all', none is unseen."
        )
    if split in ("ood_color", "ood_deck") and not visual:
        raise ValueError(
            f"split={split!r} needs modality='visual': in words no card shows its colour or its drawing, so "
            "that 'ood_color' and 'ood_deck' would be 'id'. Leave both out."
        )
    if _RULE_OF.get(split) == face_rule:
        raise ValueError(
            f"split={split!r} needs another face_rule than {face_rule!r}: it is the same rule."
        )
    if split == "ood_hand" and face_rule == "varied":
        raise ValueError(
            "split='ood_hand' needs one face_rule, not 'varied': what J, Q, K count in other episodes makes "
            "its numbers of cards that training deals."
        )
    if split == "ood_five" and num_cards == 5:
        raise ValueError("split='ood_five' needs another num_cards than 5: training deals as many.")
    if split == "ood_large" and visual:
        raise ValueError(
            "split='ood_large' needs modality='text': its numbers are on no card of any deck."
        )


def kept_cards(hand: Sequence[Card]) -> bool:
    """Whether training never deals these cards, in any order."""
    return _kept(tuple(sorted(map(str, hand))))


def kept_names(hand: Sequence[Card]) -> bool:
    """Whether training never names these cards in this order, whatever their suits."""
    return _kept(tuple(card.name for card in hand))


def kept_numbers(hand: Sequence[Card]) -> bool:
    """Whether training never deals cards of these numbers, faces counted as ten."""
    return _kept(tuple(sorted(card.number(FACE_RULES["ten"]) for card in hand)))


@lru_cache(maxsize=100_000)
def _kept(instance: tuple[Any, ...]) -> bool:
    return hashlib.sha256(repr(instance).encode()).digest()[0] < 256 * KEPT_SHARE
