"""The scores of the last report."""

from __future__ import annotations

import json

import pytest

from pasam.serving.routes import read_scores

GOOD = {"sam": {"mean": {"miou": 60.2, "mbiou": 39.4}}}


def test_the_reports_numbers_are_read(tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps(GOOD | {"odd": {"mean": 3}, "odder": 4}))
    assert read_scores(path) == GOOD


@pytest.mark.parametrize("content", [None, "", "[]", "{", "\xff"])
def test_without_a_report_there_are_none(content, tmp_path):
    path = tmp_path / "metrics.json"
    if content is not None:
        path.write_text(content, encoding="latin-1")
    assert read_scores(path) == {}
    assert read_scores(None) == {}
