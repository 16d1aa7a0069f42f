"""Drawn decks and folders of card pictures."""

import gymnasium
import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from envs.general_points.cards import RANKS, SUITS, Card, read_card, read_rank
from envs.general_points.decks import DRAWN_DECKS, find_deck, table_picture
from envs.general_points.decks.folder import card_of_name
from envs.picture_files import open_picture

EVERY = [Card(rank, suit) for suit in SUITS for rank in range(1, 14)]


@pytest.mark.parametrize("name", DRAWN_DECKS)
def test_no_two_cards_of_a_deck_look_alike(name):
    deck = find_deck(name)
    pictures = {card: table_picture(deck, [card], (112, 80)).astype(int) for card in EVERY}
    for a in EVERY:
        for b in EVERY:
            if a < b:
                assert np.abs(pictures[a] - pictures[b]).max() > 60, (str(a), str(b))


@pytest.mark.parametrize("name", DRAWN_DECKS)
@pytest.mark.parametrize("count", [3, 4, 5, 6])
@pytest.mark.parametrize("size", [(300, 300), (56, 56), (100, 400), (400, 100)])
def test_any_number_of_cards_fits_any_table(name, count, size):
    deck = find_deck(name)
    picture = table_picture(deck, EVERY[:count], size)
    assert picture.shape == (*size, 3)
    for edge in (picture[0], picture[-1], picture[:, 0], picture[:, -1]):
        assert (edge == deck.table).all()


def test_red_and_black_can_be_told_apart():
    for deck in DRAWN_DECKS.values():
        colours = [
            table_picture(deck, [Card(9, suit)], (140, 100)).reshape(-1, 3).astype(int)
            for suit in "SH"
        ]
        redness = [int((c[:, 0] - c[:, 1:].max(axis=1) > 60).sum()) for c in colours]
        assert redness[1] > 100 > redness[0]


def write_deck(folder, name_of, *, size=(50, 70), suffix="png"):
    for index, card in enumerate(EVERY):
        image = Image.new("RGBA", size, (0, 0, 0, 0))
        image.paste((index * 4, 200, 255 - index * 4, 255), (8, 8, size[0] - 8, size[1] - 8))
        image.convert("RGB" if suffix == "jpg" else "RGBA").save(
            folder / f"{name_of(card)}.{suffix}"
        )


WORDS = dict(zip(RANKS, ("ace", *RANKS[1:10], "jack", "queen", "king"), strict=True))
SUIT_WORDS = {"S": "spades", "C": "clubs", "H": "hearts", "D": "diamonds"}


@pytest.mark.parametrize(
    "name_of",
    [
        lambda c: f"{c.suit}{'T' if c.rank == 10 else RANKS[c.rank - 1]}",
        lambda c: f"{RANKS[c.rank - 1]}{c.suit.lower()}",
        lambda c: f"{WORDS[RANKS[c.rank - 1]]}_of_{SUIT_WORDS[c.suit]}",
        lambda c: f"card_{RANKS[c.rank - 1]}{c.suit}",
        lambda c: f"Card {WORDS[RANKS[c.rank - 1]].title()} of {SUIT_WORDS[c.suit].title()}2",
    ],
)
def test_a_folder_is_read_however_its_files_are_named(tmp_path, name_of):
    write_deck(tmp_path, name_of)
    (tmp_path / "back.png").write_bytes(b"not read, since it is no card")
    env = gymnasium.make("amft/GeneralPoints-v0", deck=str(tmp_path), size=(200, 200))
    image = env.reset(options={"hand": ["AS", "2S", "10C", "KC"]})[0]["image"]
    for card in ("AS", "2S", "10C", "KC"):
        index = EVERY.index(read_card(card))
        assert (image == (index * 4, 200, 255 - index * 4)).all(axis=-1).any(), card


def test_transparent_corners_show_the_table(tmp_path):
    """Published defect 13: they were pasted black."""
    write_deck(tmp_path, str)
    image = table_picture(find_deck(tmp_path), EVERY[:4], (200, 200))
    assert not (image.reshape(-1, 3) == 0).all(axis=1).any()


def test_everything_wrong_with_a_folder_is_said_at_once(tmp_path):
    write_deck(tmp_path, str)
    (tmp_path / "3S.png").unlink()
    (tmp_path / "KD.png").write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"KD\.png cannot be read.*no picture of 3S, KD") as error:
        find_deck(tmp_path)
    assert str(tmp_path) in str(error.value)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        find_deck(tmp_path / "nowhere")


def test_a_folder_is_read_once_until_it_changes(tmp_path):
    """Each environment held pictures of its own."""
    write_deck(tmp_path, str)
    deck = find_deck(tmp_path)
    assert find_deck(str(tmp_path)) is deck
    (tmp_path / "3S.png").unlink()
    with pytest.raises(ValueError, match="no picture of 3S"):
        find_deck(tmp_path)


@pytest.mark.parametrize("card", EVERY, ids=str)
def test_cards_are_read_back(card):
    assert read_card(str(card)) == card
    assert read_rank(str(card)) == card.rank
    assert card_of_name(f"{card.suit}{RANKS[card.rank - 1]}") == card


@pytest.mark.parametrize(
    "name", ["", "joker", "14S", "0H", "SS", "card", "3", None, 7.5, True, "1" * 99]
)
def test_what_is_no_card_is_none(name):
    assert read_card(name) is None


def test_a_file_that_starts_another_program_is_no_picture(tmp_path, monkeypatch):
    """Defect: files were opened as what they hold, PostScript by an interpreter without a limit of time."""
    started = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *given, **more: started.append(given))
    path = tmp_path / "AS.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n{} loop\n")
    with pytest.raises(OSError, match="cannot identify"):
        open_picture(path).load()
    assert not started
