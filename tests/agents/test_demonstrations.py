"""Reading a folder of demonstrations: files by the hundred, broken pictures."""

import os
import struct
import zlib

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from agents.demonstrations import Demonstration, Demonstrations, encoded, part_path, write_part
from tests.agents.test_conversation import picture


def test_more_files_than_may_be_open(tmp_path):
    """Defect: every file was kept open, so that of 300 the 251st was "no file of demonstrations (... Too many
    open files)"."""
    resource = pytest.importorskip("resource")
    write_part(tmp_path, 0, [Demonstration("a", ["?"], ["!"])] * 2)
    table = parquet.read_table(part_path(tmp_path, 0))
    for number in range(1, 40):
        named = table.set_column(0, "name", pa.array([f"{number}, 0", f"{number}, 1"]))
        parquet.write_table(named, part_path(tmp_path, number), row_group_size=1)
    lowest_free = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest_free)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free + 20, before[1]))
    try:
        rows = Demonstrations(tmp_path)
        in_order = [row.name for row in rows][2:]
        from_afar = [rows[place].name for place in (78, 2, 79, 3)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert in_order == [f"{number}, {row}" for number in range(1, 40) for row in (0, 1)]
    assert from_afar == ["39, 0", "1, 0", "39, 1", "1, 1"]


def huge(png):
    """Claims to be of 20,000 x 20,000 pixels."""
    header = b"IHDR" + struct.pack(">II", 20_000, 20_000) + png[24:29]
    return png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]


def unended(png):
    """A chunk of no known name follows the pixels' first."""
    place = png.index(b"IDAT") + 4 + struct.unpack(">I", png[33:37])[0] // 2
    return png[:33] + struct.pack(">I", place - 41) + png[37:]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [(huge, "decompression bomb"), (unended, "broken PNG")],
    ids=["huge", "unended"],
)
def test_a_picture_that_pillow_refuses_is_told_with_file_and_row(tmp_path, spoil, words):
    """Defect: a run ended by Pillow's DecompressionBombError, or its SyntaxError, which named no file."""
    shown = Demonstration("a", ["?"], ["!"], [picture(1)], [0])
    path = write_part(tmp_path, 0, [shown] * 2)
    rows = parquet.read_table(path).to_pylist()
    rows[1]["pictures"] = [{"bytes": spoil(encoded(picture(1))), "path": None}]
    parquet.write_table(pa.Table.from_pylist(rows), path)
    assert Demonstrations(tmp_path)[0].answers == ["!"]
    with pytest.raises(ValueError, match=rf"part-00000.parquet, row 1 .*{words}.*make the"):
        Demonstrations(tmp_path)[1]


def test_tools_that_are_nested_too_deep_are_told_with_file_and_row(tmp_path):
    """Defect: "maximum recursion depth exceeded", which named no file."""
    write_part(tmp_path, 0, [Demonstration("a", ["?"], ["!"], tools="[" * 100_000)])
    with pytest.raises(ValueError, match=r"part-00000.parquet, row 0 .*recursion"):
        Demonstrations(tmp_path)[0]
