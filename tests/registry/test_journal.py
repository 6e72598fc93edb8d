"""The log only ever grows, and survives a crash in the middle of a line."""

from __future__ import annotations

from pasam.registry.transitions import Journal


def test_events_come_back_in_order_with_their_time(tmp_path):
    journal = Journal(tmp_path / "new" / "folder")
    assert journal.events() == []
    journal.append({"event": "judge", "version": 1})
    before = journal.path.read_bytes()
    journal.append({"event": "promote", "version": 1})
    assert [event["event"] for event in journal.events()] == ["judge", "promote"]
    assert journal.events()[0]["time"].endswith("+00:00")
    assert journal.path.read_bytes().startswith(before)


def test_the_same_event_is_not_appended_twice_in_a_row(tmp_path):
    journal = Journal(tmp_path)
    for version in (1, 1, 2, 1):
        journal.append_once({"event": "promote", "version": version})
    assert [event["version"] for event in journal.events()] == [1, 2, 1]


def test_a_line_that_a_crash_cut_short_spoils_no_other(tmp_path):
    journal = Journal(tmp_path)
    journal.append({"event": "judge"})
    with journal.path.open("a") as file:
        file.write('{"event": "pro')
    journal.append({"event": "reject"})
    assert [event["event"] for event in journal.events()] == ["judge", "reject"]
