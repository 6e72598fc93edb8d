"""The limit on lines that are passed on."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.process import LineLimit


@pytest.fixture
def passed():
    return []


def limit(passed, clock, **options):
    return LineLimit(passed.append, log=Path("a.log"), clock=clock, **options)


def test_a_burst_passes_whole(passed):
    told = limit(passed, lambda: 0.0, rate=1, burst=3)
    for line in "abc":
        told(line)
    told.close()
    assert passed == ["a", "b", "c"]


def test_what_is_left_out_is_counted_where_it_was(passed):
    now = [0.0]
    told = limit(passed, lambda: now[0], rate=1, burst=2)
    for line in "abcde":
        told(line)
    now[0] = 1.0
    told("f")
    assert passed == ["a", "b", "(3 lines left out here; all are in a.log)", "f"]


def test_what_is_left_out_at_the_end_is_said_at_the_end(passed):
    told = limit(passed, lambda: 0.0, rate=1, burst=1)
    told("a")
    told("b")
    told.close()
    assert passed == ["a", "(1 line left out here; all are in a.log)"]


@given(st.lists(st.floats(0, 2), max_size=60))
def test_no_line_is_lost_without_being_counted_and_the_rate_holds(pauses):
    now, passed = [0.0], []
    told = limit(passed, lambda: now[0], rate=2, burst=5)
    for pause in pauses:
        now[0] += pause
        told("line")
    told.close()
    lines = passed.count("line")
    counted = sum(int(note[1:].split()[0]) for note in passed if note != "line")
    assert lines + counted == len(pauses)
    assert lines <= 5 + 2 * now[0]
