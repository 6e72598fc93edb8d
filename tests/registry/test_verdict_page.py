"""The page of a verdict holds every check and number, and nothing that could run."""

from __future__ import annotations

from pasam.registry.verdict_page import html_page, markdown_page

WORDS = {
    "version": 4,
    "champion": 3,
    "decision": "reject",
    "checks": [
        {"name": "gain", "passed": False, "reason": "mean: gain +0.10 <script>alert(1)</script>"},
        {"name": "tree", "passed": True, "reason": "clean"},
    ],
    "scores": {"mean": 61.5, "dis": 50.25},
    "gains": {"mean": {"mean": 0.1, "low": -0.4, "spread": 6.25, "images": 9}},
    "lineage": {"git.commit": "abc", "other": "not shown"},
}


def test_the_html_page_shows_all_and_runs_nothing():
    page = html_page(WORDS)
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
    page = markdown_page(WORDS)
    assert page.startswith("# Version 4: reject\n")
    assert "| gain | **no** |" in page
    assert "| dis | 50.25 |  |  |  |" in page


def test_a_first_version_says_that_nothing_was_compared():
    page = markdown_page({**WORDS, "champion": None, "gains": {}})
    assert "There is no champion yet" in page
