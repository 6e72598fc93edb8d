"""Result files become params, metrics, files and data sets; changed ones are named."""

from __future__ import annotations

import dataclasses

import pytest

from pasam.evaluation.scores import read_scores
from pasam.registry.runs import (
    data_sets_of,
    files_of,
    is_score_file,
    metrics_of,
    params_of,
    unready,
)
from pasam.registry.snapshot import read_lock


@pytest.fixture
def lock(tracked):
    return read_lock(tracked.folder)


def test_params_are_flat_and_values_are_json(lock):
    params = params_of(lock.stages["embed@val"])
    assert params["embed.jitter"] == "[0.5, 2.0]"
    assert params["base.size"] == "vit_tiny"


def test_histories_give_points_and_scores_give_means_in_per_cent(tracked, lock):
    points = metrics_of(tracked.folder, lock.stages["train@hq_sam"])
    assert {point.step for point in points if point.name == "loss"} == {0, 1}
    assert "epoch" not in {point.name for point in points}
    points = metrics_of(tracked.folder, lock.stages["evaluate@pa_sam-thin_like"])
    found = {point.name: point.value for point in points}
    scores = read_scores(tracked.path("data/scores/pa_sam-thin_like.parquet"))
    assert found.pop("parameters") > found.pop("trainable") > 0
    assert found == {
        "thin_like/miou": pytest.approx(100 * scores["iou"].mean()),
        "thin_like/mbiou": pytest.approx(100 * scores["boundary_iou"].mean()),
    }


def test_peoples_files_are_taken_and_weights_and_predictions_left_to_dvc(tracked, lock):
    report = {path.name for path in files_of(tracked.folder, lock.stages["report"])}
    assert {"table1.md", "table1.csv", "figure1.png", "metrics.json"} <= report
    assert [path.suffix for path in files_of(tracked.folder, lock.stages["pretrain"])] == [".jsonl"]
    evaluated = files_of(tracked.folder, lock.stages["evaluate@pa_sam-dis_like"])
    assert {path.suffix for path in evaluated} == {".json", ".parquet"}  # no .npz


def test_a_score_file_is_known_by_its_columns(tracked):
    assert is_score_file(tracked.path("data/scores/pa_sam-dis_like.parquet"))
    assert not is_score_file(tracked.path("data/manifest.parquet"))
    assert not is_score_file(tracked.path("params.yaml"))


def test_data_sets_carry_their_contents_digest_and_size(tracked, lock):
    trained = data_sets_of(tracked.folder, lock, lock.stages["train@pa_sam"])
    assert [(d.name, d.context, d.masks) for d in trained] == [("generated_train", "training", 12)]
    assert len(trained[0].digest) == 32
    measured = data_sets_of(tracked.folder, lock, lock.stages["evaluate@pa_sam-dis_like"])
    assert [(d.name, d.context, d.masks) for d in measured] == [("dis_like", "evaluation", 2)]


def test_a_stage_that_trains_and_measures_names_both_kinds_of_data(tracked, lock):
    train, measure = lock.stages["train@pa_sam"], lock.stages["evaluate@pa_sam-dis_like"]
    both = dataclasses.replace(measure, name="repeat@pa_sam", outs={**measure.outs, **train.outs})
    found = [(d.name, d.context) for d in data_sets_of(tracked.folder, lock, both)]
    assert found == [("generated_train", "training"), ("dis_like", "evaluation")]


def test_letters_that_mlflow_refuses_are_left_out_of_names(tracked, lock):
    stage = lock.stages["report"]
    path = next(path for path in stage.outs if path.endswith("metrics.json"))
    tracked.path(path).write_text('{"at 95 % (mean)": {"miou": 1}, "note": "text"}')
    found = {point.name: point.value for point in metrics_of(tracked.folder, stage)}
    assert found["at 95 _ _mean_/miou"] == 1.0


def test_a_changed_and_a_missing_file_are_told_apart(tracked, lock):
    stage = lock.stages["train@pa_sam"]
    assert unready(tracked.folder, stage) is None
    weights = tracked.path("data/adapters/pa_sam.safetensors")
    weights.write_bytes(b"other")
    assert unready(tracked.folder, stage) == "data/adapters/pa_sam.safetensors has changed since"
    weights.unlink()
    assert unready(tracked.folder, stage) == "data/adapters/pa_sam.safetensors is not there"
