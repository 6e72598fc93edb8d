"""A verdict's pages show all and run nothing."""

from __future__ import annotations

import json

from pasam.registry.decision_log import Entry
from pasam.registry.verdict_page import html_page, markdown_page, verdict_pages

DECISION = {
    "version": 4,
    "champion": 3,
    "decision": "reject",
    "accepted": False,
    "checks": [
        {"name": "gain", "passed": False, "reason": "mean: gain +0.10 <script>alert(1)</script>"},
        {"name": "tree", "passed": True, "reason": "clean"},
    ],
    "mean_score": 61.5,
    "scores": {"dis": 50.25, "mean": 7.0},
    "mean_gain": {"mean": 0.1, "low": -0.4, "std": 6.25, "images": 9},
    "gains": {},
    "lineage": {"git.commit": "abc", "other": "not shown"},
}


def test_the_html_page_shows_all_and_runs_nothing():
    page = html_page(DECISION)
    assert "<script" not in page
    assert "http" not in page
    for text in (
        "Version 4",
        "reject",
        "61.50",
        "50.25",
        "+0.10",
        "-0.40",
        "6.25",
        "abc",
        "version 3",
    ):
        assert text in page
    assert "not shown" not in page


def test_the_markdown_page_marks_what_failed():
    page = markdown_page(DECISION)
    assert page.startswith("# Version 4: reject\n")
    assert "| gain | **no** |" in page
    assert "| dis | 50.25 |  |  |  |" in page


def test_a_first_version_says_that_nothing_was_compared():
    page = markdown_page({**DECISION, "champion": None, "mean_gain": None})
    assert "There is no champion yet" in page


def test_an_entry_makes_a_page_for_each_reader():
    pages = verdict_pages(Entry(event="verdict", version=4, details=DECISION))
    assert set(pages) == {"verdict.json", "verdict.md", "verdict.html"}
    assert json.loads(pages["verdict.json"])["mean_score"] == 61.5
