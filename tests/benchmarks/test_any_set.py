"""Any model on any images with masks, by the tables' protocol."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from inference_models import make_predictor, picture

from pasam.data.manifest import describe_pair, manifest_frame
from pasam.errors import DataError
from pasam.evaluation.any_set import box_in_input, score_set
from pasam.evaluation.protocol import evaluate_segmenter
from pasam.inference.image_transform import ImageTransform
from pasam.masks.images import write_png
from pasam.training.embeddings import benchmark_tasks, open_store, write_store

SIZES = [(64, 64), (50, 90), (96, 48)]
SHARE = 0.02


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Three images, the first with two masks."""
    folder = tmp_path_factory.mktemp("images")
    rows = []
    for number, size in enumerate(SIZES):
        image = folder / f"{number}.png"
        write_png(image, picture(*size, seed=number))
        for part in range(2 if number == 0 else 1):
            mask = np.zeros(size, np.uint8)
            mask[8 + part : 40, 6 : 30 + 9 * part] = 255
            path = folder / f"{number}_{part}.png"
            write_png(path, mask)
            about = {"image": image, "mask": path, "label": mask, "image_sha256": "0"}
            rows.append(describe_pair(split="val", dataset="mine", **about))
    return manifest_frame(rows)


@pytest.fixture(scope="module")
def pairs(manifest, tmp_path_factory):
    groups = manifest.groupby("image", sort=True)
    return [(Path(image), [Path(mask) for mask in rows["mask"]]) for image, rows in groups]


@pytest.mark.parametrize("kind", ["sam", "pa_sam"])
def test_the_scores_are_those_of_the_tables(kind, manifest, pairs, tmp_path):
    """But for the half precision of packed embeddings."""
    model = make_predictor(kind, resize="squash")
    ids = dict(zip(manifest["mask"], manifest["id"], strict=True))
    write_store(
        tmp_path / "store", benchmark_tasks(manifest), ids, model.segmenter.base,
        jitter=(1.0, 1.0), batch_size=2, workers=1, origin={},
    )  # fmt: skip
    evaluated = evaluate_segmenter(
        model.segmenter, open_store(tmp_path / "store"), manifest,
        model=kind, seed=0, batch_size=2, boundary_fraction=SHARE,
    )  # fmt: skip
    expected = pd.DataFrame(evaluated.scores)
    found = score_set(model, pairs, boundary_fraction=SHARE)
    assert found.masks == 4
    assert found.iou == pytest.approx(expected["iou"].mean(), abs=0.01)
    assert found.boundary_iou == pytest.approx(expected["boundary_iou"].mean(), abs=0.01)
    pooled = expected["intersection"].sum() / expected["union"].sum()
    assert found.pooled_iou == pytest.approx(pooled, abs=0.01)
    assert found.covered == expected["boundary_covers"].mean()


def test_keeping_the_aspect_is_another_protocol(pairs):
    scores = {
        resize: score_set(make_predictor("pa_sam", resize=resize), pairs, boundary_fraction=SHARE)
        for resize in ("squash", "longest")
    }
    assert scores["squash"].iou != scores["longest"].iou


def test_the_box_is_the_squashed_labels_or_the_masks_own():
    mask = np.zeros((32, 64), np.uint8)
    mask[8:16, 10:20] = 255
    squashed = box_in_input(mask, ImageTransform(32, 64, 64, "squash"))
    kept = box_in_input(mask, ImageTransform(32, 64, 64, "longest"))
    assert squashed.tolist() == [10, 16, 19, 31]
    assert kept.tolist() == [10, 8, 19, 15]


def test_a_mask_of_another_size_is_refused(pairs, tmp_path):
    write_png(tmp_path / "m.png", np.full((5, 5), 255, np.uint8))
    with pytest.raises(DataError, match=r"m.png is 5 x 5 pixels, but .* is 64 x 64"):
        score_set(
            make_predictor("sam"), [(pairs[0][0], [tmp_path / "m.png"])], boundary_fraction=0.1
        )


def test_no_mask_is_refused():
    with pytest.raises(DataError, match="there is no mask to score"):
        score_set(make_predictor("sam"), [], boundary_fraction=0.1)
