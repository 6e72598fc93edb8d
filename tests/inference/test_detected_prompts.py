"""A detector's boxes and the pictures they belong to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pasam.errors import DataError
from pasam.inference.prompting import detected_set

PICTURES = [Path("x/a.jpg"), Path("x/b.jpg")]


@pytest.fixture
def match(tmp_path):
    """Write a set and results, and match them to pictures."""

    def matched(entries, pictures=PICTURES, names=("a.jpg", "b.jpg"), **choices):
        images = [
            {"id": i + 7, "file_name": name, "height": 60, "width": 90}
            for i, name in enumerate(names)
        ]
        content = {
            "images": images,
            "annotations": [],
            "categories": [{"id": 3, "name": "dog"}],
        }
        (tmp_path / "set.json").write_text(json.dumps(content))
        (tmp_path / "found.json").write_text(json.dumps(entries))
        options = {"lowest": 0.3, "most": 100, **choices}
        return detected_set(pictures, tmp_path / "found.json", tmp_path / "set.json", **options)

    return matched


def entry(score: float, image: int = 7) -> dict:
    return {"image_id": image, "category_id": 3, "bbox": [5, 6, 20, 10], "score": score}


def test_boxes_go_to_their_pictures_the_best_first(match):
    found = match([entry(0.4), entry(0.9), entry(0.1)])
    first, second = found.by_picture[PICTURES[0]]
    assert first.prompt.box.tolist() == [5, 6, 25, 16]
    assert first.about == {"category_id": 3, "category": "dog", "detection_score": 0.9}
    assert second.about["detection_score"] == 0.4
    assert found.by_picture[PICTURES[1]] == []
    assert found.categories == {3: "dog"}


def test_only_so_many_boxes_are_kept(match):
    assert len(match([entry(0.5)] * 9, most=2).by_picture[PICTURES[0]]) == 2


def test_pictures_that_are_not_given_do_not_matter(match):
    found = match([entry(0.9, image=8)], pictures=PICTURES[:1])
    assert found.by_picture == {PICTURES[0]: []}


def test_a_picture_of_another_set_is_refused(match):
    with pytest.raises(DataError, match="x/c.jpg is none of the 2 pictures"):
        match([], pictures=[Path("x/c.jpg")])


def test_names_that_do_not_tell_pictures_apart_are_refused(match):
    with pytest.raises(DataError, match="one name in several folders"):
        match([], names=("u/a.jpg", "v/a.jpg"))
