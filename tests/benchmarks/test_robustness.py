"""Robustness rows: every model under every condition, and nothing depends on the batch."""

import numpy as np
import pandas as pd
import pytest

from pasam.config.schema import RobustnessParams
from pasam.evaluation.conditions import evaluate_robustness, evenly
from pasam.evaluation.protocol import evaluate_segmenter
from pasam.evaluation.scores import ORDER, write_scores
from pasam.masks.prompts import tight_box

PARAMS = RobustnessParams(
    images=4, seed=1, jitter=(0.2, 0.4), points=(1, 3), blur=(0.01,), noise=(20.0, 60.0), jpeg=(10,)
)
CONDITIONS = {
    ("box_jitter_0.2", "none"), ("box_jitter_0.4", "none"), ("points_1", "none"),
    ("points_3", "none"), ("box", "blur_1"), ("box", "noise_1"), ("box", "noise_2"),
    ("box", "jpeg_1"),
}  # fmt: skip


@pytest.fixture(scope="module")
def evaluate(lineup, store, manifest):
    def run(rows=manifest, params=PARAMS, batch_size=4):
        found = evaluate_robustness(
            lineup, store, rows, params, batch_size=batch_size, boundary_fraction=0.02
        )
        return pd.DataFrame(found).sort_values(ORDER, ignore_index=True)

    return run


@pytest.fixture(scope="module")
def rows(evaluate):
    return evaluate()


def test_every_model_meets_every_condition_on_every_image(rows, manifest):
    assert set(zip(rows["prompt"], rows["corruption"], strict=True)) == CONDITIONS
    assert len(rows) == len(CONDITIONS) * 3 * len(manifest)
    assert set(zip(rows["model"], rows["seed"], strict=True)) == {
        ("sam", 0), ("hq_sam", 5), ("pa_sam", 5),
    }  # fmt: skip
    assert set(rows["image_id"]) == set(manifest["id"])


def test_the_rows_fit_the_score_file(rows, tmp_path):
    write_scores(rows, tmp_path / "robustness.parquet")


@pytest.mark.parametrize("batch_size", [1, 3])
def test_neither_batch_size_nor_order_changes_a_row(batch_size, rows, evaluate, manifest):
    found = evaluate(manifest.iloc[[2, 0, 3, 1]], batch_size=batch_size)
    pd.testing.assert_frame_equal(found, rows)


def test_conditions_make_a_difference(rows):
    pa_sam = rows[rows["model"] == "pa_sam"]
    by_condition = pa_sam.groupby(["prompt", "corruption"])["intersection"].apply(tuple)
    assert by_condition.nunique() >= len(CONDITIONS) - 2


def test_a_corruption_that_changes_nothing_gives_the_clean_rows(evaluate, lineup, store, manifest):
    harmless = PARAMS.replaced(jitter=(), points=(), blur=(), noise=(1e-6,), jpeg=())
    found = evaluate(params=harmless)
    for contender in lineup.contenders:
        clean = evaluate_segmenter(
            contender.segmenter, store, manifest, model=contender.name, seed=0, batch_size=4,
            boundary_fraction=0.02,
        ).scores  # fmt: skip
        expected = {row["image_id"]: row["iou"] for row in clean}
        of_model = found[found["model"] == contender.name]
        assert dict(zip(of_model["image_id"], of_model["iou"], strict=True)) == pytest.approx(
            expected, abs=0.01
        )


def test_another_seed_draws_other_boxes_points_and_noise_and_leaves_the_rest(rows, evaluate):
    other = evaluate(params=PARAMS.replaced(seed=2))
    same = (other["intersection"] == rows["intersection"]) & (other["union"] == rows["union"])
    agrees = same.groupby(rows["prompt"] + rows["corruption"]).all()
    assert agrees[["boxblur_1", "boxjpeg_1"]].all()
    assert not agrees.drop(["boxblur_1", "boxjpeg_1"]).any()


def test_the_boxes_of_a_label_are_tight_before_they_are_loosened(store):
    assert all((tight_box(label) >= 0).all() for label in store.labels)


@pytest.mark.parametrize(("count", "places"), [(2, [0, 5]), (3, [0, 3, 6]), (99, range(10))])
def test_a_subset_is_evenly_spaced_whatever_the_order_of_the_rows(count, places):
    frame = pd.DataFrame({"id": [f"{k:02d}" for k in range(10)]})
    shuffled = frame.iloc[np.random.default_rng(0).permutation(10)]
    assert evenly(shuffled, count)["id"].tolist() == [f"{k:02d}" for k in places]
