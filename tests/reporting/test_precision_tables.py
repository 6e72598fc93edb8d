"""Tests of Tables 2 and 3."""

import pandas as pd
import pytest

from pasam.reporting.tables import (
    COCO_STYLE,
    box_difference,
    collection_grid,
    published_precision_grid,
    set_collections,
    single_set_grid,
    single_sets,
)


def precision(model, benchmark, name, overlap, ap, seed=1, **more):
    row = {"model": model, "seed": seed, "benchmark": benchmark, "set": name, "overlap": overlap}
    sizes = {"ap_small": None, "ap_medium": ap, "ap_large": ap}
    counts = {"images": 4, "objects": 9, "detections": 11}
    return {**row, "ap": ap, "ap50": ap + 0.2, "ap75": ap, **sizes, **counts, **more}


@pytest.fixture
def precisions():
    rows = [
        precision(model, benchmark, name, overlap, ap)
        for model, ap in (("sam", 0.4), ("pa_sam", 0.5))
        for overlap in ("mask", "boundary")
        for benchmark, name in (
            ("coco_like", "coco_like"), ("wild", "zebras"), ("wild", "ants"), ("wild", "mean"),
        )
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture
def instances():
    rows = [
        {
            "model": model, "seed": 1, "benchmark": "coco_like", "set": "coco_like",
            "image_id": image, "detection": 2 * image + box, "object_id": 5 if box else -1,
            "boundary_iou": value + 0.01 * image,
        }
        for model, value in (("sam", 0.3), ("pa_sam", 0.5))
        for image in range(6)
        for box in range(2)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_one_set_is_coco_style_and_many_are_seginw_style(precisions):
    assert single_sets(precisions) == ["coco_like"]
    assert set_collections(precisions) == ["wild"]


def test_a_coco_style_table_has_every_precision_and_says_where_nothing_was_to_be_found(precisions):
    grid = single_set_grid(precisions, "coco_like")
    assert grid.head == ("Model", "AP", "AP50", "AP75", "AP S", "AP M", "AP L", "Boundary AP")
    assert grid.rows[1] == ("PA-SAM", "50.0", "70.0", "50.0", "-", "50.0", "50.0", "50.0")
    assert "4 images, 9 objects, 11 boxes" in grid.caption


def test_seeds_are_averaged(precisions):
    more = pd.DataFrame([precision("sam", "coco_like", "coco_like", "mask", 0.6, seed=2)])
    grid = single_set_grid(pd.concat([precisions, more]), "coco_like")
    assert grid.rows[0][1] == "50.0"


def test_a_collection_has_a_column_per_set_and_the_mean_last(precisions):
    grid = collection_grid(precisions, "wild")
    assert grid.head == ("Model", "ants", "zebras", "Mean of 2", "Mean boundary AP")
    assert grid.rows[0] == ("SAM", "40.0", "40.0", "40.0", "40.0")


def published(base="vit_l"):
    row = {"benchmark": "coco", "model": "sam", "base": base, "ap": 48.5, "ap_boundary": 33.3}
    return pd.DataFrame([row | {"ap_small": 34.1, "ap_medium": 53.1, "ap_large": 63.9}])


def test_published_numbers_stand_alone_unless_the_run_scored_their_set_on_their_base(precisions):
    grid = published_precision_grid(published(), precisions, COCO_STYLE, base="vit_l")
    assert "not comparable" in grid.caption
    assert grid.rows == (("SAM", "vit_l", "48.5", "34.1", "53.1", "63.9", "33.3"),)
    assert published_precision_grid(None, precisions, COCO_STYLE, base="vit_l") is None


def test_difference_is_given_where_it_did():
    own = pd.DataFrame([precision("sam", "coco", "coco", "mask", 0.49)])
    grid = published_precision_grid(published(), own, COCO_STYLE, base="vit_l")
    assert "not comparable" not in grid.caption
    assert grid.rows[0][-2:] == ("49.0", "+0.5")
    other = published_precision_grid(published(), own, COCO_STYLE, base="vit_b")
    assert "not comparable" in other.caption


def test_masks_are_compared_on_the_boxes_that_meet_an_object(instances, bootstrap):
    row = box_difference(instances, "coco_like", ("pa_sam", "sam"), bootstrap)
    assert row["n"] == 6
    assert row["difference"] == pytest.approx(20.0)
    assert row["verdict"] == "gain shown"


def test_models_that_share_no_box_are_not_compared(instances, bootstrap):
    missed = instances.assign(object_id=-1)
    assert box_difference(missed, "coco_like", ("pa_sam", "sam"), bootstrap) is None
    assert box_difference(instances, "coco_like", ("pa_sam", "hq_sam"), bootstrap) is None
