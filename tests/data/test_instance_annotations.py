"""COCO annotations are read strictly: a wrong file is refused in words."""

import copy
import json

import pytest

from pasam.data.coco import AnnotatedImage, read_annotations
from pasam.errors import DataError

CONTENT = {
    "images": [{"id": 7, "file_name": "a.jpg", "height": 30, "width": 40}],
    "annotations": [
        {
            "id": 1, "image_id": 7, "category_id": 3, "area": 100, "iscrowd": 0,
            "bbox": [5, 5, 10, 10], "segmentation": [[5, 5, 15, 5, 15, 15, 5, 15]],
        }
    ],
    "categories": [{"id": 3, "name": "cat"}],
}  # fmt: skip


def written(folder, change=None):
    content = copy.deepcopy(CONTENT)
    if change is not None:
        change(content)
    path = folder / "annotations.json"
    path.write_text(json.dumps(content))
    return path


def test_images_and_categories_come_by_their_id(tmp_path):
    found = read_annotations(written(tmp_path))
    assert found.images == {7: AnnotatedImage("a.jpg", 30, 40)}
    assert found.categories == {3: "cat"}
    assert found.content == CONTENT


def test_a_missing_file_and_one_that_is_no_json_are_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.json does not exist.*section `instances`"):
        read_annotations(tmp_path / "gone.json")
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(DataError, match=r"a\.json is not readable JSON"):
        read_annotations(tmp_path / "a.json")


def entry(**values):
    return lambda content: content["annotations"][0].update(values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("categories"), r"lacks \['categories'\]"),
        (lambda c: c["images"][0].pop("height"), "not in COCO's form .KeyError: 'height'"),
        (lambda c: c["images"].append(c["images"][0]), "id 7 is there 2 times among the images"),
        (lambda c: c["annotations"].append(c["annotations"][0]), "id 1 is there 2 times among"),
        (entry(image_id=8), "annotation 1 is of image 8, which the file does not list"),
        (entry(category_id=1), r"annotation 1 has category 1, known are \[3\]"),
        (entry(segmentation=[]), "annotation 1 has no segmentation"),
        (entry(area=0), "annotation 1 has area 0, expected more than 0"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, change, message):
    with pytest.raises(DataError, match=message):
        read_annotations(written(tmp_path, change))


def test_a_detection_file_is_not_taken_for_annotations(tmp_path):
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(DataError, match="lacks"):
        read_annotations(tmp_path / "a.json")
