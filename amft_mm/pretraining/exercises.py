"""What a base model is taught: tables of kinds of exercises, each a function of a random generator.

Perception (cards, signs, sides), small skills with text, and the form of the worlds' answers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from amft_mm.pretraining.cards import cards_by_a_rule, one_card, table_by_a_rule, table_of_cards
from amft_mm.pretraining.exercise import Exercise, Rng
from amft_mm.pretraining.forms import cards_form, math_form, short_street_form, street_form
from amft_mm.pretraining.going_through import (
    four,
    four_in_json,
    scattered,
    three,
    two,
)
from amft_mm.pretraining.reckoning import (
    asides,
    chains,
    derivations,
    derivations_in_json,
    formulas,
    missing,
    statements,
    sums,
)
from amft_mm.pretraining.streets import one_view, signs, street_corner
from amft_mm.pretraining.texts import (
    compass,
    echo,
    echo_of_words,
    in_short,
    lines,
    numbers_again,
    same_or_not,
    short_lines,
)

Kinds = dict[str, tuple[Callable[[Rng], Exercise], float]]
"""What there is to draw from, each with its share."""

SIGHT: Kinds = {
    "signs": (signs, 0.08),
    "one_card": (one_card, 0.1),
    "table_of_cards": (table_of_cards, 0.14),
    "table_by_a_rule": (table_by_a_rule, 0.08),
    "one_view": (one_view, 0.15),
    "street_corner": (street_corner, 0.45),
}
ECHOES: Kinds = {"echo": (echo, 0.5), "echo_of_words": (echo_of_words, 0.5)}
RECKONING: Kinds = {
    "sums": (sums, 0.1),
    "statements": (statements, 0.2),
    "asides": (asides, 0.15),
    "chains": (chains, 0.15),
    "missing": (missing, 0.1),
    "derivations": (derivations, 0.25),
    "derivations_in_json": (derivations_in_json, 0.1),
    "formulas": (formulas, 0.05),
}
SHORT_TEXT: Kinds = {
    "echo_of_words": (echo_of_words, 0.2),
    "lines": (lines, 0.2),
    "short_lines": (short_lines, 0.25),
    "cards_by_a_rule": (cards_by_a_rule, 0.15),
    "same_or_not": (same_or_not, 0.15),
    "compass": (compass, 0.15),
}
GOING_THROUGH: Kinds = {
    "two": (two, 0.1),
    "three": (three, 0.15),
    "scattered": (scattered, 0.3),
    "four": (four, 0.1),
    "four_in_json": (four_in_json, 0.3),
}
NEAR_RECKONING: Kinds = {
    "near_sums": (partial(sums, wide=False), 0.08),
    "near_statements": (partial(statements, wide=False), 0.15),
    "statements": (statements, 0.1),
    "near_asides": (partial(asides, wide=False), 0.1),
    "asides": (asides, 0.12),
    "near_chains": (partial(chains, wide=False), 0.15),
    "near_missing": (partial(missing, wide=False), 0.18),
    "derivations": (derivations, 0.12),
    "derivations_in_json": (derivations_in_json, 0.1),
    **GOING_THROUGH,
}
COPYING_TEXT: Kinds = {
    "echo": (echo, 0.15),
    "echo_of_words": (echo_of_words, 0.12),
    "numbers_again": (numbers_again, 0.12),
    "lines": (lines, 0.25),
    "short_lines": (short_lines, 0.35),
    "cards_by_a_rule": (cards_by_a_rule, 0.07),
    "same_or_not": (same_or_not, 0.07),
    "compass": (compass, 0.05),
}
IN_SHORT: Kinds = {"in_short": (in_short, 0.2)}
"""Beside the others, and not asked in an exam: which line is said is free."""
TEXT_FORMS: Kinds = {
    "cards_form_in_words": (partial(cards_form, visual=False), 0.4),
    "street_form_in_words": (partial(street_form, visual=False), 0.3),
    "short_street_form_in_words": (partial(short_street_form, visual=False), 0.3),
    "math_form": (math_form, 0.3),
}
FORMS: Kinds = {
    "cards_form": (cards_form, 0.35),
    "street_form": (street_form, 0.25),
    "short_street_form": (short_street_form, 0.25),
    **{name: (make, 0.3 * share) for name, (make, share) in TEXT_FORMS.items()},
}


def draw(kinds: Kinds, seed: list[int]) -> Exercise:
    """The exercise of a seed, of a kind drawn by its share."""
    rng = np.random.default_rng(seed)
    makers, shares = zip(*kinds.values(), strict=True)
    return makers[int(rng.choice(len(makers), p=np.array(shares) / sum(shares)))](rng)
