"""A detector's file is matched to the images of a set, or refused in words."""

import json
import math

import pytest

from pasam.data.coco import (
    AnnotatedImage,
    Annotations,
    Detection,
    best_of_each_image,
    read_detections,
)
from pasam.errors import DataError

ANNOTATIONS = Annotations(
    images={1: AnnotatedImage("a.png", 100, 200), 2: AnnotatedImage("b.png", 100, 200)},
    categories={1: "night_gate", 18: "dog"},
    content={},
)
ENTRY = {"image_id": 1, "category_id": 18, "bbox": [10, 20, 30, 40], "score": 0.5}


def read(folder, *entries):
    path = folder / "detections.json"
    path.write_text(json.dumps(list(entries)))
    return read_detections(path, ANNOTATIONS)


def test_boxes_become_edges_and_keep_their_place_in_the_file(tmp_path):
    found = read(tmp_path, ENTRY, {**ENTRY, "image_id": 2, "score": 1})
    assert found[0] == Detection(
        number=0, image_id=1, category_id=18, box=(10.0, 20.0, 40.0, 60.0), score=0.5
    )
    assert (found[1].number, found[1].image_id, found[1].score) == (1, 2, 1.0)


@pytest.mark.parametrize("phrase", ["night_gate", "Night gate", " night  Gate", "night-gate"])
def test_a_phrase_stands_for_the_category_of_that_name(tmp_path, phrase):
    entry = {key: value for key, value in ENTRY.items() if key != "category_id"}
    assert read(tmp_path, {**entry, "phrase": phrase})[0].category_id == 1


def test_a_box_that_sticks_out_a_little_is_cut_off(tmp_path):
    (found,) = read(tmp_path, {**ENTRY, "bbox": [-3, -1, 206, 50]})
    assert found.box == (0.0, 0.0, 200.0, 49.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": 3}, "image_id 3 is none of the set's 2 images"),
        ({"image_id": "1"}, "image_id '1' is none"),
        ({"image_id": None}, "image_id None is none"),
        ({"category_id": 17}, r"category_id 17 is none of \[1, 18\]; COCO's ids have gaps"),
        ({"phrase": "cat"}, r"phrase 'cat' is none of \['dog', 'night gate'\]"),
        ({"score": None}, "score None is no number from 0 to 1"),
        ({"score": math.nan}, "score nan is no number"),
        ({"score": 1.5}, "score 1.5 is no number from 0 to 1"),
        ({"score": True}, "score True is no number"),
        ({"bbox": [0, 0, 1]}, r"bbox \[0, 0, 1\] is not four finite numbers"),
        ({"bbox": [0, 0, 1, math.nan]}, r"nan\] is not four finite numbers"),
        ({"bbox": [0, 0, math.inf, 1]}, "is not four finite numbers"),
        ({"bbox": [5, 5, 0, 4]}, r"bbox \[5, 5, 0, 4\] is empty"),
        ({"bbox": [300, 20, 10, 10]}, r"leaves its image of 200 x 100 \(width x height\)"),
        ({"bbox": [150, 20, 190, 60]}, "not corners or shares"),
        ({"bbox": [-5, 0, 4, 4]}, "lies outside its image"),
    ],
)
def test_what_is_wrong_with_an_entry_is_said(tmp_path, change, message):
    with pytest.raises(DataError, match=f"1 invalid of 2 detections:\n- entry 1: .*{message}"):
        read(tmp_path, ENTRY, {**ENTRY, **change})


@pytest.mark.parametrize("key", ["image_id", "category_id", "bbox", "score"])
def test_every_part_of_an_entry_is_needed(tmp_path, key):
    with pytest.raises(DataError, match=rf"{key} None is"):
        read(tmp_path, {name: value for name, value in ENTRY.items() if name != key})


def test_many_faults_are_counted_and_the_first_shown(tmp_path):
    with pytest.raises(DataError, match=r"holds 9 invalid of 9 detections(.|\n)*- and 4 more"):
        read(tmp_path, *[{**ENTRY, "image_id": 9}] * 9)


def test_annotations_are_not_taken_for_detections(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"images": []}))
    with pytest.raises(DataError, match="is no list of detections"):
        read_detections(path, ANNOTATIONS)


def test_the_best_boxes_of_each_image_come_first_and_equals_in_the_files_order():
    def one(number, image, score):
        return Detection(
            number=number, image_id=image, category_id=1, box=(0, 0, 1, 1), score=score
        )

    detections = [one(0, 2, 0.1), one(1, 1, 0.5), one(2, 1, 0.9), one(3, 1, 0.5)]
    found = best_of_each_image(detections, 2)
    assert {image: [d.number for d in best] for image, best in found.items()} == {1: [2, 1], 2: [0]}
    assert list(found) == [1, 2]
