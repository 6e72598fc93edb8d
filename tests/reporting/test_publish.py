"""Tests of the report's files."""

import pytest

from pasam.reporting.publish import publish


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
    assert sorted(files) == [
        "differences.csv", "figure1.png", "index.html", "metrics.json", "model_cards/hq_sam.md",
        "model_cards/pa_sam.md", "plots/fineness.csv", "plots/scores.csv", "plots/training.csv",
        "report.json", "scores.png", "table1.csv", "table1.md", "tables/differences.csv",
        "tables/differences.md", "tables/differences.tex", "tables/table1.csv",
        "tables/table1.md", "tables/table1.tex", "training.png",
    ]  # fmt: skip


def test_the_same_results_give_the_same_bytes(files, tmp_path, make_results):
    publish(make_results(), tmp_path)
    assert contents(tmp_path) == files


def test_the_setting_stands_in_every_file_for_people(files):
    for name in ("index.html", "table1.md", "tables/table1.md", "model_cards/pa_sam.md"):
        assert b"A run that was never made." in files[name], name


def test_it_stays_far_below_its_limit_of_15_megabytes(files):
    assert len(files["index.html"]) < 2_000_000
