"""A benchmark's scores depend on the model and the images, and on nothing else."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from variants import pa_sam

from pasam.errors import DataError
from pasam.evaluation.protocol import benchmark_rows, evaluate_oracle, evaluate_segmenter
from pasam.masks.images import read_mask
from pasam.masks.prompts import tight_box
from pasam.models.build import build_decoder
from pasam.models.segmenter import Segmenter

SIZES = [(64, 64), (50, 90), (96, 48), (70, 64)]
SHARE = 0.02


@pytest.fixture(scope="module")
def evaluate(segmenter, store, manifest):
    def run(rows=manifest, *, batch_size=4, store=store):
        return evaluate_segmenter(
            segmenter,
            store,
            rows,
            model="pa_sam",
            seed=5,
            batch_size=batch_size,
            boundary_fraction=SHARE,
        )

    return run


@pytest.fixture(scope="module")
def evaluated(evaluate):
    return evaluate()


def agree(found, expected):
    assert sorted(found.predictions) == sorted(expected.predictions)
    by_id = {row["image_id"]: row for row in found.scores}
    assert by_id == {row["image_id"]: row for row in expected.scores}
    for name, one in found.predictions.items():
        other = expected.predictions[name]
        assert np.array_equal(one.mask, other.mask)
        assert np.array_equal(one.positive, other.positive)
        assert np.array_equal(one.negative, other.negative)
        np.testing.assert_allclose(one.uncertainty, other.uncertainty, atol=2e-3)


def test_the_model_of_these_tests_predicts_neither_nothing_nor_everything(evaluated):
    shares = [found.mask.mean() for found in evaluated.predictions.values()]
    assert all(0.05 < share < 0.95 for share in shares)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_the_batch_size_changes_nothing(batch_size, evaluate, evaluated):
    agree(evaluate(batch_size=batch_size), evaluated)


def test_the_order_of_the_rows_changes_nothing(manifest, evaluate, evaluated):
    agree(evaluate(manifest.iloc[[2, 0, 3, 1]], batch_size=3), evaluated)


def test_every_mask_has_a_score_that_says_what_it_is(manifest, evaluated):
    rows = pd.DataFrame(evaluated.scores)
    assert rows["image_id"].tolist() == manifest["id"].tolist()
    assert set(rows["prompt"]) == {"box"}
    assert set(rows["corruption"]) == {"none"}
    assert set(rows["seed"]) == {5}
    assert set(rows["benchmark"]) == {"mine"}
    assert list(zip(rows["height"], rows["width"], strict=True)) == SIZES


def test_boxes_are_in_pixels_of_the_original_image(manifest, evaluated):
    for item in manifest.to_dict("records"):
        truth = tight_box(read_mask(item["mask"]))
        pixel = max(item["height"], item["width"]) / 64  # of the input, in original ones
        found = evaluated.predictions[item["id"]].box
        assert found.dtype == np.float32
        assert np.abs(found - truth).max() <= pixel


def test_points_are_centres_of_cells_within_the_original_image(manifest, evaluated):
    for item in manifest.to_dict("records"):
        found = evaluated.predictions[item["id"]]
        cell = np.array([item["width"], item["height"]]) / 8
        for points in (found.positive, found.negative):
            assert points.shape == (2, 2)
            places = (points + 0.5) / cell - 0.5
            np.testing.assert_allclose(places, np.rint(places), atol=1e-4)
            assert places.min() > -0.01
            assert places.max() < 7.01


@pytest.mark.parametrize("maps", ["grid", "double"])
def test_a_model_that_mines_nothing_still_says_where_it_is_unsure(maps, base, store, manifest):
    torch.manual_seed(1)
    decoder = build_decoder(base, pa_sam(mining_method="none", adapter_maps=maps))
    evaluated = evaluate_segmenter(
        Segmenter(base=base, decoder=decoder), store, manifest, model="some", seed=5,
        batch_size=4, boundary_fraction=SHARE,
    )  # fmt: skip
    side = base.grid * (2 if maps == "double" else 1)
    for predicted in evaluated.predictions.values():
        assert predicted.uncertainty.shape == (side, side)
        assert predicted.positive is None
        assert predicted.negative is None


def test_a_mask_without_embeddings_is_an_error_that_names_it(store, evaluate, manifest):
    lost = manifest["id"][0]
    index = store.index[store.index["id"] != lost]
    with pytest.raises(DataError, match=f"the embeddings lack \\['{lost}'\\]"):
        evaluate(store=dataclasses.replace(store, index=index))


def test_the_oracle_is_perfect_on_a_mask_at_mask_resolution(manifest):
    rows = manifest[manifest["height"] == manifest["width"]]
    assert len(rows) == 1
    found = evaluate_oracle(rows, model="oracle", mask_side=64, boundary_fraction=SHARE)
    score = found.scores[0]
    assert (score["iou"], score["boundary_iou"], score["model"]) == (1.0, 1.0, "oracle")
    assert score["seed"] == 0
    coarse = evaluate_oracle(rows, model="oracle", mask_side=4, boundary_fraction=SHARE)
    assert coarse.scores[0]["iou"] < 0.95


def test_an_unknown_benchmark_is_named_beside_the_known_ones(manifest):
    training = manifest.assign(split="train", dataset="seen")
    both = pd.concat([manifest, training])
    assert benchmark_rows(both, "mine")["id"].tolist() == manifest["id"].tolist()
    for name in ("nope", "seen"):  # what was trained on is no benchmark
        with pytest.raises(DataError, match=rf"'{name}' has no images; .* holds \['mine'\]"):
            benchmark_rows(both, name)
