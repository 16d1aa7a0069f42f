"""Files are whole or as they were."""

import pytest

from agents.files import whole_file, write_text


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "part.parquet"
    write_text(path, "before")

    def fail():
        with whole_file(path) as unfinished:
            unfinished.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert path.read_text() == "before"
    assert [p.name for p in tmp_path.glob("*")] == ["part.parquet"]


def test_what_is_unfinished_is_not_taken_for_data(tmp_path):
    """A killed process leaves it behind."""
    with whole_file(tmp_path / "part.parquet") as unfinished:
        unfinished.write_text("half")
        assert not list(tmp_path.glob("*.parquet"))
