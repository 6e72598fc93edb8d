"""The stage `ablate`: a variant trained and scored as the models are, and watched besides."""

import json

import pandas as pd
import pytest

from pasam.evaluation.diagnostics import read_diagnostics
from pasam.evaluation.scores import read_scores

KEYS = ["seed", "benchmark", "image_id", "prompt"]
MEASURED = ["iou", "boundary_iou", "intersection", "union"]


def rows_of(world, name):
    return read_scores(world.path(f"data/ablations/{name}.parquet"))


def model_rows(world, model):
    files = sorted(world.path("data/scores").glob(f"{model}-*.parquet"))
    return read_scores(*files)


def test_a_second_run_gives_the_same_bytes(world, own_world):
    own_world.run("ablate@head_only")
    assert own_world.contents("ablate@head_only") == world.contents("ablate@head_only")


def test_an_ablation_that_changes_nothing_differs_by_exactly_zero(world):
    unchanged = rows_of(world, "unchanged").sort_values(KEYS, ignore_index=True)
    model = model_rows(world, "pa_sam").sort_values(KEYS, ignore_index=True)
    model = model[model["benchmark"].isin(unchanged["benchmark"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(unchanged[KEYS + MEASURED], model[KEYS + MEASURED])
    histories = [world.path(f"reports/history/{n}.jsonl") for n in ("unchanged", "pa_sam")]
    assert histories[0].read_bytes() == histories[1].read_bytes()


def test_an_ablation_that_changes_something_differs(world):
    names = ["benchmark", "image_id"]
    pair = [
        rows_of(world, n).sort_values(names)["iou"].tolist() for n in ("unchanged", "head_only")
    ]
    assert len(pair[0]) == len(pair[1]) == 4
    assert pair[0] != pair[1]


@pytest.mark.parametrize("name", ["unchanged", "head_only"])
def test_every_score_has_its_diagnosis(name, world):
    scores, inside = (
        rows_of(world, name),
        read_diagnostics(world.path(f"data/ablations/{name}-diagnostics.parquet")),
    )
    keys = ["model", *KEYS]
    pd.testing.assert_frame_equal(
        scores[keys].sort_values(keys, ignore_index=True),
        inside[keys].sort_values(keys, ignore_index=True),
    )
    assert inside["predicted_iou"].notna().all()


def test_only_an_adapter_with_its_tokens_has_maps_to_judge(world):
    whole, head = (
        read_diagnostics(world.path(f"data/ablations/{name}-diagnostics.parquet"))
        for name in ("unchanged", "head_only")
    )
    for measure in ("coarse_iou", "refined_iou", "final_iou", "point_spread", "points_right"):
        assert whole[measure].notna().all(), measure
        assert head[measure].isna().all(), measure
    assert (whole["dense_change"] > 0).all()
    assert (head["dense_change"] == 0).all()
    assert (head["sparse_change"] == 0).all()


@pytest.mark.parametrize("name", ["unchanged", "head_only"])
def test_the_frozen_weights_are_the_same_before_and_after(name, world):
    facts = json.loads(world.path(f"data/ablations/{name}.json").read_text())
    assert facts["frozen_before"] == facts["frozen_after"]
    assert facts["trainable"] < facts["parameters"]
    assert ("prompt_adapter" in facts["trained"]) == (name == "unchanged")


def test_a_finished_ablation_leaves_no_state(world):
    assert not any(world.path("data/resume").iterdir())
