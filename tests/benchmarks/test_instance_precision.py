"""Average precision of rows is that of the masks they hold, by model, set and overlap."""

import numpy as np
import pandas as pd
import pytest

from pasam.data.coco import AnnotatedImage, Annotations
from pasam.evaluation.average_precision import average_precision
from pasam.evaluation.instances import InstanceSet, average_precisions, results_of, write_precisions
from pasam.masks.run_lengths import area, encode

SHARE = 0.02
SIZE = (60, 80)


def square(shift, side=30):
    mask = np.zeros(SIZE, np.bool_)
    mask[5 : 5 + side, 5 + shift : 5 + shift + side] = True
    return encode(mask)


def a_set(benchmark, name):
    content = {
        "images": [{"id": 1, "file_name": "1.png", "height": SIZE[0], "width": SIZE[1]}],
        "annotations": [
            {
                "id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "segmentation": square(0),
                "area": area(square(0)), "bbox": [5, 5, 30, 30],
            }
        ],
        "categories": [{"id": 1, "name": "cat"}],
    }  # fmt: skip
    annotations = Annotations({1: AnnotatedImage("1.png", *SIZE)}, {1: "cat"}, content)
    return InstanceSet(
        benchmark=benchmark, name=name, images=None, annotations=annotations, detections={}
    )


def row(model, data, shift, seed=0, score=0.5):
    return {
        "model": model, "seed": seed, "benchmark": data.benchmark, "set": data.name, "image_id": 1,
        "category_id": 1, "score": score, "height": SIZE[0], "width": SIZE[1],
        "counts": square(shift)["counts"],
    }  # fmt: skip


ONE, TWO, COCO = a_set("seginw", "one"), a_set("seginw", "two"), a_set("coco", "coco")
SETS = [COCO, ONE, TWO]
ROWS = pd.DataFrame(
    [
        row("sam", COCO, 4), row("sam", ONE, 8), row("sam", TWO, 20),
        row("pa_sam", COCO, 0, seed=3), row("pa_sam", ONE, 2, seed=3),
    ]
)  # fmt: skip


@pytest.fixture(scope="module")
def found():
    rows = average_precisions(ROWS, SETS, boundary_fraction=SHARE)
    return pd.DataFrame(rows).set_index(["model", "set", "overlap"])


def test_every_model_has_every_set_in_both_overlaps_and_the_mean_of_several(found):
    expected = {
        (model, name, overlap)
        for model in ("sam", "pa_sam")
        for name in ("coco", "one", "two", "mean")
        for overlap in ("mask", "boundary")
    }
    assert set(found.index) == expected
    assert set(found.loc["pa_sam"]["seed"]) == {3}


def test_a_rows_precision_is_that_of_its_masks(found):
    part = ROWS[(ROWS["model"] == "sam") & (ROWS["set"] == "one")]
    for overlap in ("mask", "boundary"):
        expected = average_precision(
            ONE.annotations.content,
            list(results_of(part)),
            overlap=overlap,
            boundary_fraction=SHARE,
        )
        assert found.at[("sam", "one", overlap), "ap"] == expected.ap
    assert 0 < found.at[("sam", "one", "mask"), "ap"] < 1
    assert found.at[("pa_sam", "coco", "boundary"), "ap"] == pytest.approx(1.0)


def test_a_set_in_which_a_model_found_nothing_counts_as_zero(found):
    assert found.at[("pa_sam", "two", "mask"), "ap"] == 0
    assert found.at[("pa_sam", "two", "mask"), "detections"] == 0
    mean = found.at[("pa_sam", "mean", "mask"), "ap"]
    assert mean == pytest.approx(found.at[("pa_sam", "one", "mask"), "ap"] / 2)


def test_the_mean_counts_images_objects_and_detections_of_all_sets(found):
    row = found.loc[("sam", "mean", "mask")]
    assert (row["images"], row["objects"], row["detections"]) == (2, 2, 2)
    assert row["benchmark"] == "seginw"


def test_the_rows_fit_their_file(tmp_path):
    rows = average_precisions(ROWS, SETS, boundary_fraction=SHARE)
    assert {entry["ap_large"] for entry in rows} == {None}
    write_precisions(rows, tmp_path / "a.parquet")
