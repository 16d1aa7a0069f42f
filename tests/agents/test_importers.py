"""Chats from JSON: both forms, and every broken row told by its number and reason."""

import base64
import io
import json
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from agents.importers import import_chats
from tests.agents.test_conversation import picture


@pytest.fixture
def folder(tmp_path):
    for name, seed in (("a.png", 1), ("b.png", 2)):
        Image.fromarray(picture(seed)).save(tmp_path / name)
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    return tmp_path


def taken(folder, rows, lines=False):
    path = folder / "chats.json"
    text = "\n".join(map(json.dumps, rows)) if lines else json.dumps(rows)
    path.write_text(text, encoding="utf-8")
    report = import_chats(path)
    return list(report.rows()), report


LLAVA = {
    "id": "one",
    "image": ["a.png", "b.png"],
    "conversations": [
        {"from": "system", "value": "Be brief."},
        {"from": "human", "value": "<image>\nWhat now?"},
        {"from": "gpt", "value": "forward()"},
        {"from": "human", "value": "Right.<image>"},
        {"from": "gpt", "value": "stop()"},
    ],
}
MESSAGES = {
    "messages": [
        {
            "role": "user",
            "content": [{"type": "image", "image": "a.png"}, {"type": "text", "text": "What?"}],
        },
        {"role": "assistant", "content": "A card."},
        {"role": "user", "content": "Which?"},
        {"role": "assistant", "content": [{"type": "text", "text": "8 of clubs"}]},
    ]
}


@pytest.mark.parametrize("lines", [False, True])
def test_llava_chats(folder, lines):
    [row], report = taken(folder, [LLAVA], lines)
    assert row.name == "one"
    assert (row.system, row.messages) == ("Be brief.", ["What now?", "Right."])
    assert row.answers == ["forward()", "stop()"]
    assert row.picture_of == [0, 1]
    assert np.array_equal(row.pictures[1], picture(2))
    assert report.left_out == []


def said(role, content, **more):
    return {"role": role, "content": content} | more


ASKED, SHOWN = said("user", "What?"), [{"type": "image", "image": "a.png"}]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"messages": [said("system", SHOWN), ASKED, said("assistant", "A card.")]}, "picture"),
        ({"messages": [ASKED, said("assistant", SHOWN)]}, "a picture that no user shows"),
        (
            {"messages": [ASKED, said("assistant", "Looking.", tool_calls=[{"id": "1"}])]},
            "a call of a tool",
        ),
        (MESSAGES | {"tools": [{"type": "function"}]}, "tools are declared"),
        (
            {"messages": [ASKED, said("assistant", "a"), said("system", "Say b."), ASKED]},
            "a later system message",
        ),
        ({"messages": [said("system", "x" * 1_000_001), *MESSAGES["messages"]]}, "too long a text"),
        (LLAVA | {"images": ["b.png"]}, "pictures under two keys"),
    ],
)
def test_what_would_be_lost_is_told(folder, row, why):
    """Defects: pictures of a system or an assistant, calls of tools and what was declared of them were left
    out without a word, and a later system message was moved to the beginning."""
    rows, report = taken(folder, [row])
    assert rows == []
    assert why in report.left_out[0][1]


def test_pictures_under_the_other_key_are_found(folder):
    """Defect: an empty `image` hid what `images` had."""
    [row], _ = taken(folder, [LLAVA | {"image": [], "images": ["a.png", "b.png"]}])
    assert len(row.pictures) == 2


def test_a_row_has_a_bounded_number_of_pixels(folder, monkeypatch):
    """Defect: a small file of large pictures in one colour took all memory. Each row has its own bound."""
    monkeypatch.setattr("agents.importers.pictures.MOST_PIXELS", 2 * picture(1)[..., 0].size)
    more = LLAVA | {"image": ["a.png"] * 3}
    more["conversations"] = [{**part} for part in LLAVA["conversations"]]
    more["conversations"][1]["value"] = "<image><image>What now?"
    rows, report = taken(folder, [LLAVA, more, LLAVA])
    assert len(rows) == 2
    assert "too many pixels" in report.left_out[0][1]


def test_spaces_around_pictures_are_read_in_bounded_time(folder):
    """Defect: a million of them took a quarter of an hour."""
    row = {**LLAVA, "conversations": [{**part} for part in LLAVA["conversations"]]}
    row["conversations"][1]["value"] = f"{' ' * 300_000}<image>x"
    began = time.monotonic()
    rows, report = taken(folder, [row])
    assert time.monotonic() - began < 30
    assert len(rows) + len(report.left_out) == 1


def test_messages(folder):
    [row], _ = taken(folder, [MESSAGES])
    assert row.messages == ["What?", "Which?"]
    assert row.answers == ["A card.", "8 of clubs"]
    assert row.picture_of == [0, -1]
    assert np.array_equal(row.pictures[0], picture(1))


def test_pictures_inside_the_row(folder):
    buffer = io.BytesIO()
    Image.fromarray(picture(3)).save(buffer, "PNG")
    address = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    content = [{"type": "image_url", "image_url": {"url": address}}]
    said = [{"role": "user", "content": content}, {"role": "assistant", "content": "x"}]
    [row], _ = taken(folder, [{"messages": said}])
    assert np.array_equal(row.pictures[0], picture(3))


def test_unmarked_pictures_belong_to_the_first_question(folder):
    chat = [{"from": "human", "value": "What?"}, {"from": "gpt", "value": "This."}]
    [row], _ = taken(folder, [{"image": "a.png", "conversations": chat}])
    assert row.picture_of == [0]


def test_several_pictures_in_one_turn(folder):
    chat = said("<image><image> Which is right?", "The first.", "<image> And this?", "No.")
    [row], report = taken(folder, [{"image": ["a.png", "b.png", "a.png"], **chat}])
    assert not report.left_out
    shown = [message.images for message, _ in row.turns()]
    assert [len(images) for images in shown] == [2, 1]
    assert np.array_equal(shown[0][1], picture(2))
    assert np.array_equal(shown[1][0], picture(1))


def said(*turns):
    names = ("human", "gpt")
    return {"conversations": [{"from": names[i % 2], "value": t} for i, t in enumerate(turns)]}


BROKEN = [
    (7, "not an object"),
    ({"text": "hello"}, "unknown form"),
    ({"conversations": "hello"}, "conversations is no list"),
    ({"messages": {}}, "messages is no list"),
    (said(), "no turns"),
    (said("a"), "no last answer"),
    (said("a", " "), "empty answer"),
    ({"conversations": [{"from": "gpt", "value": "a"}]}, "turns do not alternate"),
    ({"conversations": [{"from": "cat", "value": "a"}]}, "unknown speaker"),
    ({"conversations": [{"from": "human"}]}, "entry not understood"),
    ({"image": "a.png", **said("<image> <image>", "b")}, "pictures and markers differ"),
    ({"image": "nowhere.png", **said("a", "b")}, "picture missing"),
    ({"image": "../../etc/passwd", **said("a", "b")}, "picture outside the folder"),
    ({"image": "/etc/passwd", **said("a", "b")}, "picture outside the folder"),
    ({"image": "broken.png", **said("a", "b")}, "picture can not be read"),
    ({"image": "https://example.org/a.png", **said("a", "b")}, "picture on the network"),
    ({"image": "data:image/png;base64,%%%", **said("a", "b")}, "picture can not be read"),
    # Defects: a name that no file can have, and half a character, ended the whole import.
    ({"image": "iVBORw0KGgo" * 99, **said("a", "b")}, "picture missing"),
    ({"image": "a\0.png", **said("a", "b")}, "picture missing"),
    (said("a", "b \ud800"), "half a character"),
    ({"id": "\ud800", **said("a", "b")}, "half a character"),
    ({"image": 5, **said("a", "b")}, "picture not understood"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "entry not understood"),
    ({"messages": [{"role": "user", "content": 5}]}, "content not understood"),
    ({"messages": [{"role": "user", "content": [{"type": "audio"}]}]}, "content not understood"),
    ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "picture not named"),
    ({"images": ["a.png"], **MESSAGES}, "pictures left over"),
]


def test_every_broken_row_is_told_and_the_good_ones_are_taken(folder):
    rows = [row for row, _ in BROKEN]
    good, report = taken(folder, [LLAVA, *rows, MESSAGES])
    assert len(good) == 2
    assert [number for number, _ in report.left_out] == list(range(1, len(BROKEN) + 1))
    for (_, why), (number, reason) in zip(BROKEN, report.left_out, strict=True):
        assert reason.startswith(why), (number, reason)
    assert sum(report.reasons.values()) == len(BROKEN)


def test_no_pictures_may_be_said_by_null(folder):
    """A null was taken for a picture, and the row left out."""
    messages = {"messages": [{"role": r, "content": "a"} for r in ("user", "assistant")]}
    rows = [{"image": None, **said("a", "b")}, {"images": None, **messages}]
    rows.append({"image": None, "images": ["a.png"], **said("a", "b")})
    good, report = taken(folder, rows)
    assert report.left_out == []
    assert [len(row.pictures) for row in good] == [0, 0, 1]


def test_markers_are_of_a_humans_words_alone(folder):
    """Defect: <image> in an answer was counted and cut out, so that the question lost its picture."""
    chat = said("What is in the picture?", "The <image> shows red.")
    marked = said("<image>What now?", "An <image>.", "And <image> this?", "No.")
    rows = [{"image": "a.png", **chat}, {"image": ["a.png", "b.png"], **marked}]
    (first, second), report = taken(folder, rows)
    assert not report.left_out
    assert (first.picture_of, first.answers) == ([0], ["The <image> shows red."])
    assert second.messages == ["What now?", "And\nthis?"]
    assert (second.picture_of, second.answers) == ([0, 1], ["An <image>.", "No."])


@pytest.mark.parametrize("lines", [False, True])
def test_a_byte_order_mark_is_no_part_of_the_rows(folder, lines):
    """Defect: behind one, the first line was "not JSON", and a list was refused whole."""
    path = folder / "chats.json"
    rows = [said("a", "b"), said("c", "d")]
    text = "\n".join(map(json.dumps, rows)) if lines else json.dumps(rows)
    path.write_text(text, encoding="utf-8-sig")
    report = import_chats(path)
    assert [row.answers for row in report.rows()] == [["b"], ["d"]]
    assert report.left_out == []


@pytest.mark.parametrize("lines", [False, True])
def test_bytes_that_are_no_utf8_cost_their_row(folder, lines):
    """Defect: of a file in latin-1 the answer "na\\ufffdve" was imported, and nothing was counted."""
    path = folder / "chats.json"
    rows = [said("a", "good"), said("a", "naïve"), {"id": "ï", **said("a", "b")}, said("a", "fine")]
    texts = [json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_bytes(("\n".join(texts) if lines else f"[{','.join(texts)}]").encode("latin-1"))
    report = import_chats(path)
    assert [row.answers for row in report.rows()] == [["good"], ["fine"]]
    assert [number for number, _ in report.left_out] == [1, 2]
    assert report.reasons == {"not UTF-8": 2}
    assert "byte 0xef after" in report.left_out[0][1]


def test_a_broken_line_is_one_row(folder):
    path = folder / "chats.jsonl"
    path.write_text(f"{json.dumps(LLAVA)}\n{{nonsense\n\n{json.dumps(MESSAGES)}\n")
    report = import_chats(path)
    assert len(list(report.rows())) == 2
    assert report.left_out[0][0] == 1
    assert report.reasons == {"not JSON": 1}


def test_a_file_that_is_no_list_is_said_so(folder):
    (folder / "bad.json").write_text("[1, 2")
    with pytest.raises(ValueError, match="begins as a JSON list"):
        list(import_chats(folder / "bad.json").rows())
    with pytest.raises(FileNotFoundError):
        import_chats(folder / "none.json")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["messages", "conversations", "from", "value", "role", "content", "type", "image"]
            )
            | st.text(max_size=5),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(rows=st.lists(json_values, max_size=5))
def test_no_json_raises(rows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("json")
    good, report = taken(folder, rows)
    assert len(good) + len(report.left_out) == len(rows)
