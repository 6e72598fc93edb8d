"""Tests of Table 1 in its three forms."""

import io
import json

import pandas as pd
import pytest

from pasam.reporting.summary import compare, default_pairs, summarise
from pasam.reporting.tables import PUBLISHED_HEAD, write_tables

PUBLISHED = pd.DataFrame(
    [["pa_sam", "dis_like", "DIS", 81.5, 73.9], ["sam", "mean", "mean", 79.5, 71.1]],
    columns=["model", "benchmark", "published_benchmark", "miou", "mbiou"],
)
SETTING = "Run on generated data, vit_tiny, seed 42."


@pytest.fixture
def write(tmp_path, bootstrap):
    def call(scores, folder="report", published=None):
        target = tmp_path / folder
        summary = summarise(scores, bootstrap, published=published)
        differences = compare(scores, default_pairs(list(summary["model"])), bootstrap)
        write_tables(summary, differences, target, setting=SETTING, bootstrap=bootstrap)
        return {path.name: path.read_text(encoding="utf-8") for path in target.iterdir()}

    return call


def lines(text, start):
    return [line for line in text.splitlines() if line.startswith(f"| {start}")]


def test_the_table_says_what_it_was_run_on_and_how_it_averages(write, scores):
    text = write(scores)["table1.md"]
    assert text.startswith(f"# Table 1\n\n{SETTING}\n")
    assert "per-image mean" in text
    assert "not the seed of training" in text


def test_the_first_table_has_one_row_per_model_the_oracle_first(write, scores):
    table = write(scores)["table1.md"].split("##")[0]
    rows = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")]
    assert rows[0] == "Model"
    assert rows[2:] == ["Oracle (ceiling of the mask resolution)", "SAM (base)", "HQ-SAM", "PA-SAM"]


def test_numbers_are_in_per_cent_with_one_decimal(write, make_scores):
    scores = make_scores(models=("sam",), benchmarks=("dis_like",), n=1)
    scores["iou"], scores["boundary_iou"] = 0.12345, 0.5
    row = lines(write(scores)["table1.md"], "SAM (base)")[0]
    assert row.split("|")[2].strip() == "12.3 / 50.0"


def test_published_numbers_stand_in_their_own_column_under_their_warning(write, scores):
    text = write(scores, published=PUBLISHED)["table1.md"]
    header, _, oracle, sam = lines(text, "")[:4]
    assert header.rstrip(" |").endswith(
        "published (ViT-L, HQSeg-44K): not comparable with this run"
    )
    assert sam.rstrip(" |").endswith("79.5 / 71.1")
    assert oracle.rstrip(" |").endswith("-")
    assert any("DIS 81.5 / 73.9" in line for line in lines(text, "dis_like"))


def test_data_of_ones_own_gets_no_published_column(write, make_scores):
    text = write(make_scores(benchmarks=("horses", "roots")))["table1.md"]
    assert "published" not in text.lower()
    assert PUBLISHED_HEAD not in text
    assert "Mean of 2 (n=12)" in text


def test_differences_are_worded_by_their_interval(write, scores):
    scores.loc[scores["model"] == "hq_sam", ["iou", "boundary_iou"]] = scores.loc[
        scores["model"] == "pa_sam", ["iou", "boundary_iou"]
    ].to_numpy()
    text = write(scores)["table1.md"]
    gain, same = lines(text, "PA-SAM minus SAM")[1], lines(text, "PA-SAM minus HQ-SAM")[1]
    assert "| mBIoU" in gain
    assert "+20.0 [+20.0, +20.0]" in gain
    assert "100 / 0 / 0" in gain
    assert gain.rstrip(" |").endswith("gain shown")
    assert "+0.0 [+0.0, +0.0]" in same
    assert same.rstrip(" |").endswith("no difference shown")


def test_the_share_of_images_covered_by_the_band_is_told_per_benchmark(write, scores):
    assert (
        "dis_like 0 %, coift_like 0 %, hrsod_like 0 %, thin_like 50 %" in write(scores)["table1.md"]
    )


def test_the_csv_holds_every_number_of_every_model_and_benchmark(write, scores):
    table = pd.read_csv(io.StringIO(write(scores, published=PUBLISHED)["table1.csv"]))
    assert table.columns.tolist() == [
        *("model", "benchmark", "n", "seeds", "miou", "miou_low", "miou_high"),
        *("mbiou", "mbiou_low", "mbiou_high", "pooled_iou", "band_covers"),
        *("published_benchmark", "published_miou", "published_mbiou"),
    ]
    assert len(table) == 4 * 5
    found = table.set_index(["model", "benchmark"])
    assert found.loc[("pa_sam", "dis_like"), "published_miou"] == 81.5


def test_the_metrics_file_nests_model_benchmark_and_metric(write, scores):
    files = write(scores)
    found, table = json.loads(files["metrics.json"]), pd.read_csv(io.StringIO(files["table1.csv"]))
    row = table.set_index(["model", "benchmark"]).loc[("pa_sam", "mean")]
    assert found["pa_sam"]["mean"] == {"miou": row["miou"], "mbiou": row["mbiou"]}
    assert list(found) == ["oracle", "sam", "hq_sam", "pa_sam"]


def test_a_single_model_has_a_table_without_differences(write, make_scores):
    files = write(make_scores(models=("mine",)))
    assert "Paired differences" not in files["table1.md"]
    assert files["differences.csv"].startswith("model,against,benchmark,metric")
    assert lines(files["table1.md"], "mine")


def test_identical_scores_give_identical_bytes_in_every_file(write, scores):
    first = write(scores, "a", PUBLISHED)
    assert first == write(scores.sample(frac=1, random_state=3), "b", PUBLISHED)
    assert sorted(first) == ["differences.csv", "metrics.json", "table1.csv", "table1.md"]
