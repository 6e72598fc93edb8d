"""The history is one line per row, whole at any moment and free of chance."""

import json

import pytest

from pasam.training.resume import JsonlSink, write_rows


def test_every_row_is_a_line_with_sorted_keys(tmp_path):
    sink = JsonlSink(tmp_path / "made" / "history.jsonl")
    sink.append({"loss": 0.5, "epoch": 0})
    sink.append({"loss": 0.25, "epoch": 1})
    lines = sink.path.read_text().splitlines()
    assert lines == ['{"epoch": 0.0, "loss": 0.5}', '{"epoch": 1.0, "loss": 0.25}']


def test_every_row_is_echoed_as_it_is_written_restored_ones_too(tmp_path):
    heard = []
    sink = JsonlSink(tmp_path / "history.jsonl", echo=heard.append)
    sink.restore([{"epoch": 0}])
    sink.append({"epoch": 1, "loss": 1 / 3})
    assert heard == [{"epoch": 0}, {"epoch": 1, "loss": 0.3333333}]


def test_values_are_rounded_to_seven_digits(tmp_path):
    sink = JsonlSink(tmp_path / "history.jsonl")
    sink.append({"loss": 1 / 3, "rate": 1.23456789e-8})
    assert json.loads(sink.path.read_text()) == {"loss": 0.3333333, "rate": 1.234568e-08}


def test_a_run_that_goes_on_continues_the_old_rows(tmp_path):
    whole, half, rest = (JsonlSink(tmp_path / name) for name in ("whole", "half", "rest"))
    rows = [{"epoch": e, "loss": 1 / (e + 3)} for e in range(4)]
    for row in rows:
        whole.append(row)
    for row in rows[:2]:
        half.append(row)
    rest.restore(half.rows)
    for row in rows[2:]:
        rest.append(row)
    assert rest.path.read_bytes() == whole.path.read_bytes()
    assert len(half.rows) == 2


def test_a_crash_while_writing_leaves_the_old_rows(tmp_path, monkeypatch):
    sink = JsonlSink(tmp_path / "history.jsonl")
    sink.append({"epoch": 0})
    before = sink.path.read_bytes()

    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(type(sink.path), "replace", die)
    with pytest.raises(KeyboardInterrupt):
        sink.append({"epoch": 1})
    assert sink.path.read_bytes() == before


def test_nothing_but_the_history_is_left(tmp_path):
    JsonlSink(tmp_path / "history.jsonl").append({"epoch": 0})
    assert [path.name for path in tmp_path.iterdir()] == ["history.jsonl"]


def test_a_sink_without_a_file_only_collects(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sink = JsonlSink(None)
    sink.append({"epoch": 0, "loss": 0.5})
    assert sink.rows == [{"epoch": 0, "loss": 0.5}]
    assert list(tmp_path.iterdir()) == []


def test_rows_replace_a_file_and_leave_no_draft(tmp_path):
    path = tmp_path / "made" / "rows.jsonl"
    for rows in ([{"b": 1, "a": 2}, {"a": 3}], [{"a": 4}]):
        write_rows(path, rows)
    assert path.read_text() == '{"a": 4}\n'
    assert [file.name for file in path.parent.iterdir()] == ["rows.jsonl"]
