"""A predicted mask is written alike by the command line, the service and MLflow's model."""

from __future__ import annotations

import base64
import contextlib
import io
import json

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from pasam.errors import PromptError
from pasam.inference.image_prompt import image_prompt
from pasam.inference.mask_record import (
    CocoSet,
    MaskRecord,
    mlflow_answer,
    record_of_object,
    records_of,
    write_masks,
    write_records,
    write_uncertainty,
)
from pasam.inference.predictor import PredictedMasks, PredictionDetails
from pasam.masks.run_lengths import decode, encode

MASK = np.random.default_rng(0).random((7, 5)) > 0.5
MAP = np.linspace(0, 1, 35, dtype=np.float32).reshape(7, 5)


def record(seed: int) -> MaskRecord:
    rng = np.random.default_rng(seed)
    mask, unsure = rng.random((8, 10)) > 0.5, rng.random((8, 10), np.float32)
    return MaskRecord(mask, 0.5, {"box": [0, 0, 5, 5]}, unsure if seed else None)


def predicted(*, uncertainty=None):
    masks = np.stack([MASK, ~MASK])
    scores = np.array([0.75, 0.2512345], np.float32)
    details = PredictionDetails(masks, scores, uncertainty, None, None, None, None)
    return PredictedMasks(masks, scores, np.zeros((2, 4, 4), np.float32), details)


def pixels(text):
    return np.array(Image.open(io.BytesIO(base64.b64decode(text))))


def test_a_record_survives_json():
    mask = np.zeros((4, 6), bool)
    mask[1:3, 2:5] = True
    made = MaskRecord(mask, 0.51234567, {"box": [1, 2, 3, 4]}, extra={"category": "dog"})
    read = json.loads(json.dumps(made.with_prompt()))
    assert (read["area"], read["bbox"], read["score"]) == (6, [2, 1, 3, 2], 0.512346)
    assert np.array_equal(decode(read["segmentation"]), mask)
    assert (read["prompt"], read["category"]) == ({"box": [1, 2, 3, 4]}, "dog")
    assert "png" not in read
    assert np.array_equal(pixels(made.as_json(png=True)["png"]), mask * np.uint8(255))


def test_every_candidate_has_a_record_with_its_score_and_the_prompt():
    first, second = records_of(predicted(uncertainty=MAP), image_prompt(points=[[1, 2]]))
    assert np.array_equal(first.mask, MASK)
    assert np.array_equal(second.mask, ~MASK)
    assert [first.score, second.score] == [0.75, pytest.approx(0.2512345)]
    assert second.prompt == {"points": [[1, 2]], "labels": [1]}
    assert np.array_equal(first.uncertainty, MAP)


def test_an_object_that_was_found_brings_the_point_that_found_it():
    found = {"segmentation": encode(MASK), "predicted_iou": 0.9, "point_coords": [[3, 4]]}
    made = record_of_object(found)
    assert np.array_equal(made.mask, MASK)
    assert (made.score, made.prompt) == (0.9, {"points": [[3, 4]], "labels": [1]})


def test_mlflows_run_lengths_are_cocos_own_one_of_each_candidate():
    (answer,) = json.loads(mlflow_answer([predicted()], form="rle", uncertainty=False))
    assert answer["masks"][0]["size"] == [7, 5]
    assert np.array_equal(decode(answer["masks"][0]), MASK)
    assert np.array_equal(decode(answer["masks"][1]), ~MASK)
    assert answer["scores"] == [0.75, 0.251235]
    assert "uncertainty" not in answer


def test_mlflows_pngs_hold_the_mask_and_the_uncertainty():
    found = [predicted(uncertainty=MAP)]
    (answer,) = json.loads(mlflow_answer(found, form="png", uncertainty=True))
    assert np.array_equal(pixels(answer["masks"][0]), MASK * np.uint8(255))
    assert np.abs(pixels(answer["uncertainty"]) / 255 - MAP).max() <= 0.5 / 255 + 1e-6


def test_a_model_without_an_uncertainty_map_answers_mlflow_with_null():
    (answer,) = json.loads(mlflow_answer([predicted()], form="rle", uncertainty=True))
    assert answer["uncertainty"] is None


def test_an_unknown_format_is_refused_by_name():
    with pytest.raises(PromptError, match="'format' is 'gif', expected 'rle' or 'png'"):
        mlflow_answer([predicted()], form="gif", uncertainty=False)


def test_a_png_holds_0_and_255_at_the_images_size(tmp_path):
    (path,) = write_masks(tmp_path, "photo", [record(0)])
    assert path.name == "photo_mask.png"
    assert np.array_equal(np.array(Image.open(path)), record(0).mask * np.uint8(255))


def test_several_masks_are_numbered(tmp_path):
    paths = write_masks(tmp_path, "photo", [record(0), record(1)])
    assert [path.name for path in paths] == ["photo_mask_1.png", "photo_mask_2.png"]


def test_a_map_is_grey_and_a_mask_without_one_gives_no_file(tmp_path):
    (path,) = write_uncertainty(tmp_path, "photo", [record(0), record(1)])
    assert path.name == "photo_uncertainty_2.png"
    np.testing.assert_allclose(
        np.array(Image.open(path)) / 255, record(1).uncertainty, atol=1 / 500
    )


def test_the_file_of_records_holds_every_mask(tmp_path):
    path = write_records(tmp_path, "photo", [record(0), record(1)])
    records = json.loads(path.read_text())
    assert np.array_equal(decode(records[1]["segmentation"]), record(1).mask)


def test_a_coco_set_is_one_that_pycocotools_reads(tmp_path):
    made = CocoSet()
    made.add("one.jpg", (8, 10), [record(0).with_prompt(), record(1).with_prompt()])
    made.add("none.jpg", (8, 10), [])
    detected = MaskRecord(record(2).mask, 0.5, extra={"category_id": 7, "category": "dog"})
    made.add("two.jpg", (8, 10), [detected.with_prompt()])
    made.write(tmp_path / "coco.json", {1: "object", 7: "dog"})
    with contextlib.redirect_stdout(io.StringIO()):
        read = COCO(tmp_path / "coco.json")
    names = [image["file_name"] for image in read.loadImgs(read.getImgIds())]
    assert names == ["one.jpg", "none.jpg", "two.jpg"]
    assert [each["category_id"] for each in read.loadAnns(read.getAnnIds(imgIds=[1]))] == [1, 1]
    (annotation,) = read.loadAnns(read.getAnnIds(imgIds=[3]))
    assert np.array_equal(decode(read.annToRLE(annotation)), record(2).mask)
    assert (annotation["area"], annotation["category_id"]) == (record(2).mask.sum(), 7)
    assert not {"prompt", "png", "category"} & set(annotation)


def test_a_coco_set_keeps_a_detectors_category_and_score_and_numbers_all_its_masks():
    found = CocoSet()
    record = MaskRecord(np.eye(4, dtype=bool), 0.5).with_prompt()
    detected = {**record, "category_id": 7, "category": "dog", "detection_score": 0.25}
    found.add("a.png", (4, 4), [record, detected])
    found.add("b.png", (4, 6), [detected])
    content = found.as_json({1: "object", 7: "dog"})
    told = [
        (a["id"], a["image_id"], a["category_id"], a.get("detection_score"), a["iscrowd"])
        for a in content["annotations"]
    ]
    assert told == [(1, 1, 1, None, 0), (2, 1, 7, 0.25, 0), (3, 2, 7, 0.25, 0)]
    assert [(i["id"], i["height"], i["width"]) for i in content["images"]] == [(1, 4, 4), (2, 4, 6)]
    assert content["categories"] == [{"id": 1, "name": "object"}, {"id": 7, "name": "dog"}]
    assert not {"prompt", "category", "png"} & set().union(*content["annotations"])
