"""Tests of the report's files."""

import pytest

from pasam.reporting.publish import publish

TABLES = ("cost", "differences", "table1")
OTHER_FILES = (
    "differences.csv",
    "figure1.png",
    "index.html",
    "metrics.json",
    "model_cards/hq_sam.md",
    "model_cards/pa_sam.md",
    "model_cards/vit_tiny.md",
    "plots/fineness.csv",
    "plots/scores.csv",
    "plots/training.csv",
    "report.json",
    "scores.png",
    "table1.csv",
    "table1.md",
    "training.png",
)


def contents(folder):
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    from made_up_run import made_up_results

    folder = tmp_path_factory.mktemp("report")
    publish(made_up_results(), folder)
    return contents(folder)


def test_the_report_has_all_its_files_and_no_draft(files):
    tables = [f"tables/{name}.{kind}" for name in TABLES for kind in ("csv", "md", "tex")]
    assert sorted(files) == sorted([*tables, *OTHER_FILES])


def test_the_same_results_give_the_same_bytes(files, tmp_path, make_results):
    publish(make_results(), tmp_path)
    assert contents(tmp_path) == files


def test_the_setting_stands_in_every_file_for_people(files):
    for name in ("index.html", "table1.md", "tables/table1.md", "model_cards/pa_sam.md"):
        assert b"A run that was never made." in files[name], name


def test_it_stays_far_below_its_limit_of_15_megabytes(files):
    assert len(files["index.html"]) < 2_000_000
