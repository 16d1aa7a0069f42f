"""Answers as language models write them."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.answers import read_answer

KEYS = ("cards", "number", "formula", "current observation", "action")


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ('{"cards": ["3", "J"], "formula": "3*8=24"}', {"cards": ["3", "J"], "formula": "3*8=24"}),
        ("I think:\n```json\n{'action': 'forward()',}\n```\nDone.", {"action": "forward()"}),
        ("{action: turn_direction(north)}", {"action": "turn_direction(north)"}),
        ("{“action”: “stop()”}", {"action": "stop()"}),
        ("{'action': 'it's Joe's'}", {"action": "it's Joe's"}),
        ('{"Current_Observation": "{Joe\'s} is left"}', {"current observation": "{Joe's} is left"}),
        ('{"action": "a"} no, {"action": "b"}', {"action": "b"}),
        ('{"action": "a"} {"other": 1}', {"action": "a"}),
        ('{"action": {"action": "inner"}}', {"action": {"action": "inner"}}),
        ('{"formula": "(1+2)*8", "cards": [1, 2', {"formula": "(1+2)*8", "cards": [1, 2]}),
        ("{'cards': (1, 'K'), 'formula': (1+2)*8}", {"cards": [1, "K"], "formula": "(1+2)*8"}),
        ('{"action": null, /* why */ "number": 1.5} // end', {"action": None, "number": 1.5}),
        ("{'action': None, 'number': True}", {"action": None, "number": True}),
        ('{"action": "caf\\u00e9 \\"x\\""}', {"action": 'café "x"'}),
        ('{"action": "x" "number": 3}', {"action": "x", "number": 3}),
        ('{"number": ' + "9" * 99 + "}", {"number": "9" * 99}),
        ('{"number": 1e999}', {"number": "1e999"}),
        ('{"number": NaN}', {"number": "NaN"}),
        # Half a character came through, and what told of it could not be written down.
        ('{"action": "a\\ud800b \\ud83c\\udca1"}', {"action": "a\ufffdb \U0001f0a1"}),
        ("{action: a\ud800b}", {"action": "a\ufffdb"}),
        ('{"other": 1}', None),
        ("no object at all", None),
        ("", None),
        ("{", None),
    ],
)
def test_what_models_write_is_read(text, fields):
    assert read_answer(text, KEYS) == fields


plain = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | plain,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(plain, inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=500)
@given(st.dictionaries(st.sampled_from(KEYS), values, min_size=1))
def test_valid_json_is_read_as_json_reads_it(answer):
    """Alone exactly so; amid other text all that has no quotes within quotes still is."""
    text = json.dumps(answer)
    if text.count("{") + text.count("[") <= 30:
        assert read_answer(text, KEYS) == answer
    amid = read_answer(f"I say {text}.", KEYS)
    for key, value in answer.items():
        words = isinstance(value, str) and '"' not in value
        if value is None or isinstance(value, bool | int) or words:
            assert amid[key] == value


pieces = st.sampled_from(
    [
        *"{}[]()\"'`:,#/*\\ \n-+.0189aé“”",
        "//",
        "/*",
        "*/",
        '"action":',
        "'action':",
        "null",
        "\x00",
        "\ud800",
    ]
)


@settings(max_examples=1500, deadline=None)
@given(st.one_of(st.text(), st.lists(pieces, max_size=60).map("".join)), st.integers(1, 5000))
def test_nothing_raises(text, times):
    result = read_answer(text * times if len(text) < 100 else text, KEYS)
    assert result is None or set(result) <= set(KEYS)


@pytest.mark.parametrize(
    "text",
    [
        "{" * 1_000_000,
        "[" * 1_000_000,
        '{"' * 500_000,
        "{'a':[" * 200_000,
        '{"action":' * 100_000,
        "{/*" * 300_000,
        '{"action": ' + "[" * 100_000,
        "{'" + "x'" * 400_000,
    ],
)
def test_a_megabyte_of_brackets_is_looked_at_in_part(text):
    """Counted in characters passed, not in seconds: the reader has a budget of steps."""
    read_answer(text, KEYS)
