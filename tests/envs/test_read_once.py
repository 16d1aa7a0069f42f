"""A folder is read once by all who ask for it, and again when it has changed."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from envs.read_once import read_once


def counted(most=4, files=Path.iterdir):
    """A reader that takes a while, and the list of what it has read."""
    seen = []

    def read(folder, word=""):
        time.sleep(0.01)
        seen.append(folder)
        return word + "".join(path.read_text() for path in sorted(files(folder)))

    return read_once(read, files, most), seen


def test_many_that_ask_at_once_get_what_one_of_them_reads(tmp_path):
    """Each would read it: a cache alone makes nobody wait."""
    (tmp_path / "file").write_text("text")
    read, seen = counted()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(read, [tmp_path] * 32))
    assert seen == [tmp_path]
    assert found[0] == "text"
    assert all(one is found[0] for one in found)


def test_it_is_read_again_when_a_file_has_changed_come_or_gone(tmp_path):
    read, _ = counted()
    said = [read(tmp_path)]
    (tmp_path / "file").write_text("old")
    said.append(read(tmp_path))
    (tmp_path / "file").write_text("new")
    os.utime(tmp_path / "file", ns=(0, 0))
    said.append(read(tmp_path))
    (tmp_path / "more").write_text("er")
    said.append(read(tmp_path))
    (tmp_path / "file").unlink()
    said.append(read(tmp_path))
    assert said == ["", "old", "new", "newer", "er"]


def test_what_changes_while_it_is_read_is_noticed_the_next_time(tmp_path):
    (tmp_path / "file").write_text("old")

    def slow(folder):
        text = (folder / "file").read_text()
        (folder / "file").write_text("new")
        os.utime(folder / "file", ns=(0, 0))
        return text

    read = read_once(slow, Path.iterdir, most=4)
    assert [read(tmp_path), read(tmp_path)] == ["old", "new"]


def test_files_that_are_not_its_own_change_nothing(tmp_path):
    read, seen = counted(files=lambda folder: [folder / "file"])
    (tmp_path / "file").write_text("text")
    read(tmp_path)
    (tmp_path / "other").write_text("")
    read(tmp_path)
    assert seen == [tmp_path]


def test_an_error_is_not_kept(tmp_path):
    read, seen = counted(files=lambda folder: [folder / "file"])
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            read(tmp_path)
    assert seen == [tmp_path] * 2
    (tmp_path / "file").write_text("text")
    assert read(tmp_path) == "text"


def test_ways_of_reading_are_kept_apart_and_no_more_than_so_many(tmp_path):
    read, seen = counted(most=2)
    assert [read(tmp_path, word) for word in "abab"] == [*"abab"]
    assert len(seen) == 2
    read(tmp_path, "c")
    read(tmp_path, "b")
    assert len(seen) == 3
    read(tmp_path, "a")  # it was the last but two
    assert len(seen) == 4


def test_one_folder_by_several_names_is_read_once(tmp_path, monkeypatch):
    read, seen = counted()
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    monkeypatch.chdir(tmp_path)
    for name in ("folder", "link", tmp_path / "folder"):
        read(Path(name))
    assert seen == [tmp_path / "folder"]
