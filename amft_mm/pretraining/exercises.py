"""What a base model is taught: tables of kinds of exercises, each a function of a random generator.

Perception (cards, signs, sides), small skills with text, and the form of the worlds' answers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from amft_mm.pretraining.cards import cards_by_a_rule, one_card, table_by_a_rule, table_of_cards
from amft_mm.pretraining.exercise import Exercise, Rng
from amft_mm.pretraining.forms import cards_form, math_form, street_form
from amft_mm.pretraining.streets import one_side, one_sign, one_view, sign_part, street_corner
from amft_mm.pretraining.texts import compass, echo, echo_of_words, lines, same_or_not, sums

Kinds = dict[str, tuple[Callable[[Rng], Exercise], float]]
"""What there is to draw from, each with its share."""

SHORT_SIGHT: Kinds = {
    "one_sign": (one_sign, 0.08),
    "sign_part": (sign_part, 0.06),
    "one_card": (one_card, 0.08),
    "table_of_cards": (table_of_cards, 0.16),
    "table_by_a_rule": (table_by_a_rule, 0.1),
    "one_view": (one_view, 0.16),
    "one_side": (one_side, 0.1),
    "street_corner": (street_corner, 0.3),
}
STREETS: Kinds = {
    "one_card": (one_card, 0.08),
    "table_of_cards": (table_of_cards, 0.08),
    "table_by_a_rule": (table_by_a_rule, 0.06),
    "one_view": (one_view, 0.32),
    "one_side": (one_side, 0.06),
    "street_corner": (street_corner, 0.4),
}
ECHOES: Kinds = {"echo": (echo, 0.5), "echo_of_words": (echo_of_words, 0.5)}
SHORT_TEXT: Kinds = {
    "sums": (sums, 0.42),
    "echo_of_words": (echo_of_words, 0.1),
    "lines": (lines, 0.2),
    "cards_by_a_rule": (cards_by_a_rule, 0.1),
    "same_or_not": (same_or_not, 0.1),
    "compass": (compass, 0.08),
}
TEXT_FORMS: Kinds = {
    "cards_form_in_words": (partial(cards_form, visual=False), 0.4),
    "street_form_in_words": (partial(street_form, visual=False), 0.3),
    "math_form": (math_form, 0.3),
}
FORMS: Kinds = {
    "cards_form": (cards_form, 0.35),
    "street_form": (street_form, 0.35),
    **{name: (make, 0.3 * share) for name, (make, share) in TEXT_FORMS.items()},
}


def draw(kinds: Kinds, seed: list[int]) -> Exercise:
    """The exercise of a seed, of a kind drawn by its share."""
    rng = np.random.default_rng(seed)
    makers, shares = zip(*kinds.values(), strict=True)
    return makers[int(rng.choice(len(makers), p=np.array(shares) / sum(shares)))](rng)
