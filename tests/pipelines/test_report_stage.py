"""The stage `report`: tables, metrics and pictures of a whole run."""

import json

import pandas as pd
import pytest
import yaml

from pasam.evaluation.scores import read_scores
from pasam.masks.images import read_image


def world_ablations(world):
    return yaml.safe_load(world.path("params.yaml").read_text())["ablations"]


def scores_of(world, model, benchmark):
    """All of a model's rows on a benchmark: the main training's and the repetitions'."""
    again = [path for path in [world.path(f"data/repeats/{model}.parquet")] if path.exists()]
    rows = read_scores(world.path(f"data/scores/{model}-{benchmark}.parquet"), *again)
    return rows[rows["benchmark"] == benchmark]


def test_a_second_run_gives_the_same_bytes(world, own_world):
    own_world.run("report")
    assert own_world.contents("report") == world.contents("report")


def test_the_report_says_what_it_was_made_on(world):
    text = world.path("reports/table1.md").read_text()
    assert "Synthetic data: trained on 6 images" in text
    assert "measured on 4 images (4 masks)" in text  # the benchmarks of the run, not all
    assert "vit_tiny, our own small SAM. Seeds: training 42 and 43, generator 7." in text
    assert "No number of this run is the paper's" in text


def test_published_numbers_stand_beside_the_runs_own(world):
    rows = pd.read_csv(world.path("reports/table1.csv")).set_index(["model", "benchmark"])
    assert rows.at[("pa_sam", "dis_like"), "published_miou"] == 81.5
    assert rows.at[("hq_sam", "thin_like"), "published_mbiou"] == 79.9
    assert "published (ViT-L, HQSeg-44K)" in world.path("reports/table1.md").read_text()


def test_the_metrics_are_the_means_of_the_scores(world):
    metrics = json.loads(world.path("reports/metrics.json").read_text())
    assert sorted(metrics) == ["hq_sam", "oracle", "pa_sam", "sam"]
    for model in metrics:
        for benchmark in ("dis_like", "thin_like"):
            rows = scores_of(world, model, benchmark)
            found = metrics[model][benchmark]
            assert found["miou"] == pytest.approx(100 * rows["iou"].mean(), abs=1e-4)
            assert found["mbiou"] == pytest.approx(100 * rows["boundary_iou"].mean(), abs=1e-4)


def test_the_page_says_what_it_was_made_on_and_holds_every_model(world):
    page = world.path("reports/index.html").read_text()
    assert "Synthetic data: trained on 6 images" in page
    assert "PA-SAM against SAM and HQ-SAM" in page
    assert "data:image/webp;base64," in page


def test_every_trained_model_has_a_card_that_counts_its_numbers(world):
    for model in ("hq_sam", "pa_sam", "vit_tiny"):
        card = world.path(f"reports/model_cards/{model}.md").read_text()
        counted = int(card.split("**Trainable parameters:** ")[1].split("\n")[0].replace(",", ""))
        assert counted > 1000


def test_what_was_not_measured_is_said_and_not_made_up(world):
    page = world.path("reports/index.html").read_text()
    assert "1 of 10 are answered" not in page
    assert "Not in this run." in page  # the small world has no adapter of image features


def test_the_report_holds_what_every_stage_made(world):
    report = json.loads(world.path("reports/report.json").read_text())
    assert {row["benchmark"] for row in report["precisions"]} == {"coco_like", "seginw_like"}
    assert {row["model"] for row in report["ablations"]} == set(world_ablations(world))
    assert "robustness_box_jitter" in report["plots"]
    tables = {path.stem for path in world.path("reports/tables").glob("*.tex")}
    assert tables == {"table1", "recipes", "differences", "cost", "table2", "table3", "table4"}


def test_pictures_from_inside_the_adapter_are_on_the_page(world):
    page = world.path("reports/index.html").read_text()
    for name in ("Guiding embedding", "Attention of the mask token", "Refined", "Final"):
        assert f'<span class="name">{name}</span>' in page


def test_the_comparison_figure_shows_something(world):
    assert read_image(world.path("reports/figure1.png")).std() > 5


def test_repetitions_widen_the_intervals_and_leave_curves_alone(world, own_world):
    own_world.change("repeats", models=[], seeds=[])
    own_world.run("report")
    curves = [path.name for path in world.path("reports/plots").glob("robustness_*.csv")]
    assert curves
    for name in curves:
        place = f"reports/plots/{name}"
        assert own_world.path(place).read_bytes() == world.path(place).read_bytes()
    rows = [pd.read_csv(one.path("reports/table1.csv")) for one in (world, own_world)]
    seeds = [table.set_index(["model", "benchmark"])["seeds"] for table in rows]
    assert [found["pa_sam", "mean"] for found in seeds] == [2, 1]


def test_files_of_another_size_change_nothing(world, own_world):
    for folder in ("scores", "diagnostics"):
        for path in list(own_world.path(f"data/{folder}").glob("pa_sam-*.parquet")):
            path.with_name(path.name.replace("pa_sam-", "former-")).write_bytes(path.read_bytes())
    own_world.run("report")
    assert own_world.contents("report") == world.contents("report")
