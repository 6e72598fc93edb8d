"""A file is whole or not there, and equal content gives equal bytes."""

import pyarrow as pa
import pytest

from pasam.files import write_parquet, write_whole


def test_text_and_bytes_arrive_in_a_new_folder(tmp_path):
    write_whole(tmp_path / "new" / "a", "\u00e4")
    write_whole(tmp_path / "new" / "b", b"\x00")
    assert (tmp_path / "new" / "a").read_bytes() == "\u00e4".encode()
    assert (tmp_path / "new" / "b").read_bytes() == b"\x00"
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["a", "b"]


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(tmp_path / "a", "\ud800")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "old")]


def test_equal_tables_give_equal_bytes(tmp_path):
    for name, note in (("a", b"1"), ("b", b"2")):
        table = pa.table({"x": [1, 2]}).replace_schema_metadata({b"written": note})
        write_parquet(tmp_path / name, table)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
