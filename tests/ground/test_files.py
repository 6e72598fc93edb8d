"""A file, a folder or a table is whole or not there, and equal content gives equal bytes."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pasam import files
from pasam.errors import DataError, ParamsError, RegistryError, in_words, installing, own_fault
from pasam.files import (
    Faults,
    discard_folder,
    draft_file,
    draft_folder,
    file_md5,
    file_sha256,
    md5_of,
    parse_yaml,
    portable_path,
    read_csv,
    read_json,
    read_table,
    read_text,
    sha256_of,
    temporary_folder,
    write_bytes,
    write_json,
    write_json_lines,
    write_table,
    write_text,
)

SCHEMA = pa.schema(
    [
        pa.field("name", pa.string(), nullable=False),
        pa.field("count", pa.int32(), nullable=False),
        pa.field("iou", pa.float64()),
    ]
)
ROWS = [{"name": "b", "count": 2, "iou": 0.5}, {"name": "a", "count": 10, "iou": None}]


def write_half(draft_of_target):
    with draft_of_target as draft:
        place = draft / "new" if draft.is_dir() else draft
        place.write_text("half")
        raise RuntimeError


def content(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_text_and_bytes_arrive_in_a_new_folder(tmp_path):
    write_text(tmp_path / "new" / "a", "\u00e4\r\n")
    write_bytes(tmp_path / "new" / "b", b"\x00", durable=True)
    assert (tmp_path / "new" / "a").read_bytes() == "\u00e4\r\n".encode()
    assert (tmp_path / "new" / "b").read_bytes() == b"\x00"
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["a", "b"]


@pytest.mark.parametrize("durable", [False, True])
def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, durable):
    (tmp_path / "a").write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "a", "\ud800", durable=durable)
    with pytest.raises(RuntimeError):
        write_half(draft_file(tmp_path / "a", durable=durable))
    assert content(tmp_path) == {"a": "old"}


def test_readers_see_the_old_file_until_the_new_one_is_complete(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with draft_file(tmp_path / "a.txt") as draft, draft_file(tmp_path / "a.txt") as other:
        assert draft != other  # two writers do not meet in one draft
        draft.write_text("new")
        other.write_text("newer")
        assert (tmp_path / "a.txt").read_text() == "old"
        assert list(tmp_path.glob("*.txt")) == [tmp_path / "a.txt"]
    assert content(tmp_path) == {"a.txt": "new"}


def test_the_longest_names_that_a_disk_takes_can_be_written(tmp_path):
    write_text(tmp_path / ("\u00e4" * 127), "there")
    assert list(content(tmp_path).values()) == ["there"]


def test_a_durable_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(os, "fsync", lambda handle: seen.append(sorted(content(tmp_path))))
    write_text(tmp_path / "a", "new", durable=True)
    before, after = seen
    assert "a" not in before
    assert after == ["a"]


def test_other_files_do_not_wait_for_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: pytest.fail("it waited"))
    write_text(tmp_path / "a", "new")
    write_bytes(tmp_path / "b", b"new")
    write_json(tmp_path / "c", {})
    assert sorted(content(tmp_path)) == ["a", "b", "c"]


def test_the_folders_that_a_durable_file_needed_are_on_the_disk_too(tmp_path, monkeypatch):
    synced = []

    def fsync(handle):
        synced.append(str(Path(f"/proc/self/fd/{handle}").readlink()))

    monkeypatch.setattr(os, "fsync", fsync)
    write_text(tmp_path / "a" / "b" / "c.txt", "new", durable=True)
    folders = [path for path in synced if not path.endswith(".part")]
    assert folders == [str(tmp_path), str(tmp_path / "a"), str(tmp_path / "a" / "b")]


def write_cats(target, number):
    """Write a folder of a hundred files, all of which say who wrote them."""
    with draft_folder(target) as draft:
        for each in range(100):
            (draft / f"{each}.txt").write_text(str(number))


def test_writers_of_one_folder_never_meet_in_a_draft(tmp_path):
    target = tmp_path / "cats"
    children = []
    for number in range(6):
        if (child := os.fork()) == 0:
            try:
                for _ in range(10):
                    write_cats(target, number)
                os._exit(0)
            except BaseException:  # noqa: BLE001  (a child of a fork must not run the tests' end)
                os._exit(1)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 6
    written = content(target)
    assert len(written) == 100
    assert len(set(written.values())) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["cats"]


def test_where_folders_cannot_be_locked_no_writers_draft_is_removed(tmp_path, monkeypatch):
    def flock(handle, how):
        raise OSError(errno.ENOLCK, "no locks on this disk")

    monkeypatch.setattr(fcntl, "flock", flock)
    with draft_folder(tmp_path / "cats") as first:
        with draft_folder(tmp_path / "cats") as second:
            (second / "a.txt").write_text("second")
        (first / "a.txt").write_text("first")
    assert content(tmp_path / "cats") == {"a.txt": "first"}
    assert [path.name for path in tmp_path.iterdir()] == ["cats"]


def test_json_is_sorted_and_ends_with_a_line_end(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1, "a": [2]}, indent=None)
    write_json_lines(tmp_path / "a.jsonl", [{"b": 1, "a": 2}, {}])
    assert content(tmp_path) == {
        "a.json": '{"a": [2], "b": 1}\n',
        "a.jsonl": '{"a": 2, "b": 1}\n{}\n',
    }
    assert read_json(tmp_path / "a.json") == {"a": [2], "b": 1}


@pytest.mark.parametrize("there", [None, b"{", b"\xff", b"[" * 100_000])
def test_a_file_that_is_no_json_is_named_with_what_to_do(tmp_path, there):
    path = tmp_path / "a.json"
    if there is not None:
        path.write_bytes(there)
    with pytest.raises(RegistryError, match=r"a\.json .*Fetch it") as caught:
        read_json(path, advice="Fetch it.", error=RegistryError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("older", [False, True])
def test_a_folder_takes_its_place_once_it_is_complete(tmp_path, older):
    target = tmp_path / "sets" / "cats"
    if older:
        write_text(target / "old", "old")
    with draft_folder(target, durable=True) as draft:
        (draft / "new").write_text("new")
        assert target.exists() is older
    assert content(target) == {"new": "new"}
    assert [path.name for path in target.parent.iterdir()] == ["cats"]


def test_a_folder_that_fails_leaves_the_older_one(tmp_path):
    write_text(tmp_path / "cats" / "old", "old")
    with pytest.raises(RuntimeError):
        write_half(draft_folder(tmp_path / "cats"))
    assert content(tmp_path / "cats") == {"old": "old"}
    assert [path.name for path in tmp_path.iterdir()] == ["cats"]


@pytest.mark.parametrize("killed_after", [1, 2])
def test_a_folder_survives_a_kill_between_its_two_renames(tmp_path, monkeypatch, killed_after):
    target = tmp_path / "cats"
    write_text(target / "old", "old")
    true_replace, renames = Path.replace, []

    def replace(path: Path, to: Path) -> Path:
        if len(renames) == killed_after:
            os._exit(0)
        renames.append(to)
        return true_replace(path, to)

    if (child := os.fork()) == 0:  # a kill runs no `finally`
        monkeypatch.setattr(Path, "replace", replace)
        with draft_folder(target) as draft:
            (draft / "new").write_text("new")
        os._exit(0)
    os.waitpid(child, 0)
    with pytest.raises(RuntimeError):
        write_half(draft_folder(target))
    assert content(target) == ({"old": "old"} if killed_after == 1 else {"new": "new"})
    assert [path.name for path in tmp_path.iterdir()] == ["cats"]


@pytest.mark.parametrize("durable", [False, True])
def test_a_durable_folder_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch, durable):
    target, synced = tmp_path / "new" / "cats", []

    def fsync(handle):
        synced.append((Path(f"/proc/self/fd/{handle}").readlink().name, target.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "sync", lambda: synced.append(("all", target.exists())))
    with draft_folder(target, durable=durable) as draft:
        (draft / "a").write_text("new")
    wanted = [(tmp_path.name, False), ("all", False), (draft.name, False), ("new", True)]
    assert synced == (wanted if durable else [])


def test_only_what_is_left_of_the_same_folder_is_cleared(tmp_path, monkeypatch):
    write_text(tmp_path / "cats" / "old", "old")
    for name in (".cats.0123abcd.draft", ".cats.0123abcd.old", ".cats.draft", ".cats.old"):
        write_text(tmp_path / name / "half", "half")
    kept = {
        "cats",
        ".cats2.0123abcd.draft",
        ".cats.0123abcd.draft.mine",
        ".cats.mine.old",
        "a.draft",
    }
    for name in kept:
        write_text(tmp_path / name / "whole", "whole")
    flock, asked = fcntl.flock, []

    def at_once(handle, how):
        asked.append((Path(f"/proc/self/fd/{handle}").readlink().name, bool(how & fcntl.LOCK_NB)))
        flock(handle, how | fcntl.LOCK_NB)

    with draft_folder(tmp_path / "cats") as draft:
        monkeypatch.setattr(fcntl, "flock", at_once)
        with draft_folder(tmp_path / "cats") as other:
            assert draft.is_dir(), "its writer is alive"
            assert other != draft
        assert (draft.name, True) in asked, "nobody waits for a writer that is alive"
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_a_discarded_folder_is_gone_at_once_and_the_rest_of_it_the_next_time(tmp_path, monkeypatch):
    for name in "ab":
        write_text(tmp_path / "cats" / name, name)
    with monkeypatch.context() as stuck:
        stuck.setattr(shutil, "rmtree", lambda path, **more: (path / "a").unlink())
        discard_folder(tmp_path / "cats")
    assert not (tmp_path / "cats").exists()
    with draft_folder(tmp_path / "cats") as draft:
        assert not (tmp_path / "cats").exists(), "half of it is no whole set"
        (draft / "new").write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["cats"]
    discard_folder(tmp_path / "cats")
    assert list(tmp_path.iterdir()) == []


def test_a_temporary_folder_lies_where_it_is_asked_for_under_a_name_that_clean_finds(tmp_path):
    for beside, place in ((tmp_path, tmp_path), (None, Path(tempfile.gettempdir()))):
        with temporary_folder(beside) as folder:
            assert Path(folder).parent == place
            assert Path(folder).name.startswith("pasam-")
        assert not Path(folder).exists()


def test_digests_are_those_of_the_bytes(tmp_path):
    data = b"\x00abc" * 100_000
    (tmp_path / "a").write_bytes(data)
    wanted = hashlib.sha256(data).hexdigest()
    assert file_sha256(tmp_path / "a") == sha256_of(data) == sha256_of([data[:5], data[5:]])
    assert sha256_of(data) == wanted
    assert sha256_of("\u00e4") == hashlib.sha256("\u00e4".encode()).hexdigest()
    assert file_md5(tmp_path / "a") == hashlib.md5(data).hexdigest()
    assert md5_of("abc") == hashlib.md5(b"abc").hexdigest()


def test_a_table_comes_back_sorted_and_typed(tmp_path):
    write_table(tmp_path / "t", ROWS, SCHEMA, order=["name"])
    frame = read_table(tmp_path / "t", SCHEMA)
    turned = pa.schema(reversed(list(SCHEMA)))
    assert list(read_table(tmp_path / "t", turned)) == ["iou", "count", "name"]
    assert frame["name"].tolist() == ["a", "b"]
    assert frame["count"].tolist() == [10, 2]
    assert pd.isna(frame["iou"][0])


def test_equal_tables_give_equal_bytes_whatever_they_come_from(tmp_path):
    frame = pd.DataFrame(ROWS[::-1], columns=["iou", "count", "name"]).set_index([[7, 7]])
    frame.attrs["note"] = "of no meaning"
    write_table(tmp_path / "a", ROWS, SCHEMA, order=["name"])
    write_table(tmp_path / "b", frame, SCHEMA, order=["name"])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"iou": "high"}, "'iou', expected double"),
        ({"count": 1.5}, "'count', expected int32"),
        ({"count": 2.0}, "'count', expected int32"),
        ({"count": True}, "'count', expected int32"),
        ({"count": 2**40}, "'count', expected int32"),
        ({"count": 2**70}, "'count', expected int32"),
        ({"name": None}, "non-nullable"),
        ({"dice": 1.0}, r"unknown \['dice'\]"),
    ],
)
def test_rows_that_do_not_fit_are_refused_with_file_and_column(tmp_path, change, said):
    with pytest.raises(DataError, match=said) as caught:
        write_table(tmp_path / "t", [ROWS[0], {**ROWS[1], **change}], SCHEMA)
    assert str(tmp_path / "t") in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_column_and_a_row_that_is_there_twice_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"lack \['count'\]"):
        write_table(tmp_path / "t", pd.DataFrame(ROWS)[["name", "iou"]], SCHEMA)
    with pytest.raises(DataError, match=r"\('b', 2\) twice \(name, count\)"):
        write_table(tmp_path / "t", [ROWS[0], ROWS[1], ROWS[0]], SCHEMA, order=["name", "count"])


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (pa.table({"name": ["a"], "count": [1]}), "count is int64, expected int32; iou is missing"),
        (pa.table({"name": ["a"], "dice": [1.0]}), "dice is unknown"),
    ],
)
def test_a_file_of_other_columns_is_named_with_what_to_do(tmp_path, table, said):
    pq.write_table(table, tmp_path / "t")
    with pytest.raises(DataError, match=f"t is not a manifest: .*{said}.* Prepare again"):
        read_table(tmp_path / "t", SCHEMA, what="a manifest", advice="Prepare again.")


@pytest.mark.parametrize("there", [None, b"", b"PAR1" * 100])
def test_a_file_that_is_no_table_is_named_with_what_to_do(tmp_path, there):
    if there is not None:
        (tmp_path / "t").write_bytes(there)
    with pytest.raises(DataError, match=r"/t .*Prepare again"):
        read_table(tmp_path / "t", SCHEMA, advice="Prepare again.")
    with pytest.raises(DataError, match="parquet"):
        read_table(tmp_path, SCHEMA)


def test_a_frames_gaps_are_empty_and_a_rows_nan_stays_a_number(tmp_path):
    rows = [{"name": "a", "count": 1, "iou": float("nan")}]
    write_table(tmp_path / "rows", rows, SCHEMA)
    write_table(tmp_path / "frame", pd.DataFrame(rows), SCHEMA)
    empty = {name: pq.read_table(tmp_path / name)["iou"].null_count for name in ("rows", "frame")}
    assert empty == {"rows": 0, "frame": 1}
    optional = pa.schema([*SCHEMA][:2] + [pa.field("iou", pa.float64(), nullable=False)])
    with pytest.raises(DataError, match="iou is empty in 1 rows. Mend"):
        read_table(tmp_path / "frame", optional, advice="Mend it.")


def test_what_is_no_json_for_everybody_leaves_the_older_file(tmp_path):
    write_json(tmp_path / "a.json", {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"a": float("nan")}, allow_nan=False)
    assert content(tmp_path) == {"a.json": '{\n "a": 1\n}\n'}
    write_json(tmp_path / "a.json", {"a": float("nan")})
    assert "NaN" in content(tmp_path)["a.json"]


def test_a_table_of_text_gives_cells_by_name_with_the_number_of_their_last_line(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('\ufeff image , ,mask\n"a\nb",x, m \n\n,,\nc,d,e,f\n', encoding="utf-8")
    names, rows = read_csv(path, advice="Mend it.")
    assert names == ("image", "", "mask")
    assert list(rows) == [
        (3, {"image": "a\nb", "mask": "m"}), (5, {}), (6, {"image": "c", "mask": "e", "": "f"})
    ]  # fmt: skip


def test_the_first_line_of_a_table_has_the_names_even_if_it_is_empty(tmp_path):
    (tmp_path / "t.csv").write_text("\nimage,mask\na,b\n")
    assert read_csv(tmp_path / "t.csv", advice="Mend it.")[0] == ()


def test_a_table_of_text_may_have_so_many_rows_and_no_more(tmp_path, monkeypatch):
    path = tmp_path / "t.csv"
    monkeypatch.setattr(files, "MOST_ROWS", 3)
    path.write_text("a\n1\n2\n3\n")
    assert len(list(read_csv(path, advice="Mend it.")[1])) == 3
    path.write_text("a\n1\n2\n3\n4\n")
    with pytest.raises(DataError, match=r"t.csv has more than 3 rows. Mend it."):
        list(read_csv(path, advice="Mend it.")[1])
    path.write_text("a\n" + "x" * 200_000)
    with pytest.raises(DataError, match=r"t.csv is no readable CSV: .* Mend it."):
        list(read_csv(path, advice="Mend it.")[1])


def test_a_json_file_may_be_far_larger_than_a_text_and_neither_endless(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MOST_JSON", 4)
    (tmp_path / "a").write_text("[10]")
    assert read_json(tmp_path / "a") == [10]
    (tmp_path / "a").write_text("[100]")
    with pytest.raises(DataError, match="has 5 bytes, 4 at most are read. Run `dvc repro`"):
        read_json(tmp_path / "a")
    assert files.MOST_TEXT >= 10**7
    monkeypatch.setattr(files, "MOST_TEXT", 3)  # tables may be as large as JSON
    (tmp_path / "a").write_text("b\n1\n")
    assert dict(read_csv(tmp_path / "a", advice="")[1]) == {2: {"b": "1"}}
    with pytest.raises(ParamsError, match="is not valid YAML"):
        parse_yaml("a: [", Path("params.yaml"), error=ParamsError)


def test_the_first_faults_are_kept_and_all_are_counted():
    faults = Faults(f"{number}" for number in range(files.MOST_FAULTS))
    assert (len(faults), faults.more, faults.kept[-1]) == (1000, 0, "999")
    faults.add("one")
    faults.extend(["two"])
    assert (len(faults), faults.more, len(faults.kept)) == (1002, 2, 1000)
    assert not Faults()


BOMB = "a: &a [x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{former}'] * 9)}]\n"
    for former, name in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "aliases stand for more than"),
        ("a: &a [*a]\n", "aliases stand for more than"),
        ("a: 1\na: 2\n", "'a' stands twice, in lines 1 and 2"),
        ("b: {a: 1, c: 2, a: 3}\n", "'a' stands twice, in line 1;"),
        ("a: 2020-99-99\n", "is not valid YAML"),
        ("[" * 50_000, "nested more than 100 deep"),
        ("- " * 50_000 + "x", "nested more than 100 deep"),
    ],
)  # fmt: skip
def test_yaml_that_means_harm_is_refused_in_our_words(text, message):
    with pytest.raises(DataError, match=message):
        parse_yaml(text, Path("some.yaml"))


def test_what_lies_exactly_at_its_limit_is_taken_and_one_more_is_not(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("0123456789")
    assert read_text(path, advice="Mend it.", most_bytes=10) == "0123456789"
    with pytest.raises(DataError, match="has 10 bytes, 9 at most"):
        read_text(path, advice="Mend it.", most_bytes=9)
    assert parse_yaml("[" * 100 + "]" * 100, path)
    with pytest.raises(DataError, match="nested more than 100 deep"):
        parse_yaml("[" * 101 + "]" * 101, path)
    assert portable_path("\N{BLACK STAR}" * 85) == "\N{BLACK STAR}" * 85  # of three bytes each
    with pytest.raises(DataError, match="a part of more than 255 bytes"):
        portable_path("\N{BLACK STAR}" * 86)
    longest = "/".join(["x" * 199] * 10) + "/"
    assert portable_path(longest) == longest[:-1]
    stars = "/".join(["\N{BLACK STAR}" * 83] * 9)  # 755 characters, 2249 bytes
    for longer in (f"{longest}x", stars):
        with pytest.raises(DataError, match="has more than 2000 bytes"):
            portable_path(longer)


def test_a_number_that_nobody_can_print_is_no_yaml():
    assert parse_yaml(f"a: {2**63}\nb: -0x7f", Path("some.yaml")) == {"a": 2**63, "b": -127}
    with pytest.raises(DataError, match="whole number in line 2 has more than 64 bits"):
        parse_yaml("a: 1\nb: -0x" + "f" * 5000, Path("some.yaml"))


def test_a_table_may_have_so_many_rows_and_no_more(tmp_path, monkeypatch):
    write_table(tmp_path / "t", ROWS, SCHEMA)
    monkeypatch.setattr(files, "MOST_ROWS", len(ROWS))
    assert len(read_table(tmp_path / "t", SCHEMA)) == len(ROWS)
    monkeypatch.setattr(files, "MOST_ROWS", len(ROWS) - 1)
    with pytest.raises(DataError, match=r"has 2 rows; at most 1 are read\. Run `dvc repro`"):
        read_table(tmp_path / "t", SCHEMA)


def test_a_small_file_of_very_many_rows_is_refused_unread(tmp_path):
    many = pa.table({"x": pa.array(["a"]).dictionary_encode().take(pa.array([0] * 1_000_001))})
    pq.write_table(many, tmp_path / "t")
    assert (tmp_path / "t").stat().st_size < 10_000
    with pytest.raises(DataError, match="has 1000001 rows; at most 1000000 are read"):
        read_table(tmp_path / "t", many.schema)


def test_yaml_with_a_few_aliases_is_read():
    assert parse_yaml("a: &a [1]\nb: [*a, *a]\n", Path("some.yaml"))["b"] == [[1], [1]]
    assert parse_yaml("", Path("some.yaml")) is None


def test_text_is_read_of_regular_files_of_a_sane_size_only(tmp_path):
    pipe, large, marked = tmp_path / "pipe", tmp_path / "large", tmp_path / "marked"
    os.mkfifo(pipe)
    large.write_bytes(b"x" * 11)
    marked.write_bytes(b"\xef\xbb\xbfx\r\ny")
    for path, said in ((pipe, "no regular file"), (large, "has 11 bytes, 10 at most")):
        with pytest.raises(DataError, match=said):
            read_text(path, advice="Mend it.", most_bytes=10)
    assert read_text(marked, advice="Mend it.") == "x\ny"
    with pytest.raises(DataError, match="cannot be read as text"):
        read_text(tmp_path / "a\0b", advice="Mend it.")


def test_json_of_any_depth_ends_in_our_words(tmp_path):
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(DataError, match="is not readable JSON"):
        read_json(tmp_path / "deep.json")


@pytest.mark.parametrize(
    ("module", "group"),
    [
        ("mlflow", "serve"),
        ("mlflow.pyfunc.model", "serve"),
        ("dvc.repo", "train"),
        ("prefect.flows", "team"),
    ],
)
def test_a_missing_package_is_named_with_the_group_that_brings_it(module, group):
    error = in_words(ModuleNotFoundError(f"No module named {module!r}", name=module))
    assert f"this needs {module}, which the group '{group}' brings" in str(error)
    assert installing(group) in str(error)


@pytest.mark.parametrize("name", ["numpy.typing", "no_such_module", None])
def test_a_package_of_no_group_is_no_matter_of_installing_one(name):
    assert in_words(ModuleNotFoundError("No module", name=name)) is None


def chained(error: BaseException, *, by_cause: bool) -> BaseException:
    """What a library makes of an error: one of its own."""
    try:
        try:
            raise error
        except OSError as first:
            if by_cause:
                raise RuntimeError("of its own") from first
            raise RuntimeError("of its own")  # noqa: B904
    except RuntimeError as second:
        return second


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_with_its_file_whatever_was_made_of_it(number):
    full = OSError(number, "of another language", "/data/a.bin")
    for error in (full, chained(full, by_cause=True), chained(full, by_cause=False)):
        assert "the disk is full, while /data/a.bin was written. Free" in str(in_words(error))
    known = "database or disk is full", "OSError: No space left on device", "Disk quota exceeded"
    for error in (kind(words) for words in known for kind in (RuntimeError, OSError)):
        assert "the disk is full. Free" in str(in_words(error))
        if isinstance(error, OSError):
            assert "the disk is full. Free" in str(in_words(chained(error, by_cause=True)))


def test_other_faults_of_the_system_are_told_with_their_file_and_strangers_not_at_all():
    said = str(in_words(PermissionError(errno.EACCES, "Permission denied", "/root/x")))
    assert said.startswith("/root/x: Permission denied. Name a file or folder")
    assert str(in_words(OSError("broken"))).startswith("broken. Name a file")
    assert in_words(chained(OSError(errno.EIO, "I/O", "x"), by_cause=True)) is None
    assert in_words(ValueError("odd")) is None


def test_a_fault_of_our_own_keeps_its_traceback_or_does_without(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    with pytest.raises(ValueError, match="odd") as caught:
        raise ValueError("odd\nand long")
    kept = tmp_path / f"pasam-{os.getpid()}.txt"
    assert own_fault(caught.value) == (
        f"this is a fault of pasam itself (ValueError: odd). Please report it with {kept}."
    )
    assert "raise ValueError" in kept.read_text()
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path / "gone"))
    assert own_fault(caught.value).endswith("(ValueError: odd). Please report it.")
