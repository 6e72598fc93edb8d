"""The stage `instances`: all models on detectors' boxes."""

import json

import pytest

from pasam.evaluation.instances import read_instances, read_precisions

ROWS, PRECISION = (
    f"data/instance_scores/{name}.parquet" for name in ("instances", "average_precision")
)
MODELS = {"sam", "hq_sam", "pa_sam"}


def test_a_second_run_gives_the_same_bytes(world, own_world):
    own_world.run("instances")
    assert own_world.contents("instances") == world.contents("instances")


def test_every_detection_has_a_row_for_every_model(world):
    rows = read_instances(world.path(ROWS))
    coco = rows[rows["benchmark"] == "coco_like"]
    detected = json.loads(world.path("data/instances/coco_like/detections.json").read_text())
    assert len(coco) == len(detected) * len(MODELS)
    assert set(rows["model"]) == MODELS
    assert set(rows.loc[rows["benchmark"] == "seginw_like", "set"]) == {"animals", "x_ray"}


def test_both_benchmarks_have_both_precisions_and_seginw_its_mean(world):
    found = read_precisions(world.path(PRECISION))
    assert set(found["model"]) == MODELS
    assert set(zip(found["set"], found["overlap"], strict=True)) == {
        (name, overlap)
        for name in ("coco_like", "animals", "x_ray", "mean")
        for overlap in ("mask", "boundary")
    }
    assert found["ap"].between(0, 1).all()


def test_detections_of_other_images_stop_the_stage_in_one_line(own_world, capsys):
    path = own_world.path("data/instances/coco_like/detections.json")
    entries = json.loads(path.read_text())
    path.write_text(json.dumps([{**entries[0], "image_id": 999}]))
    with pytest.raises(SystemExit) as stopped:
        own_world.run("instances")
    assert stopped.value.code == 2
    assert "image_id 999 is none of the set's 3 images" in capsys.readouterr().err
