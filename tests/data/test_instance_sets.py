"""Generated sets with many objects: in the real sets' layouts, and the same bytes every time."""

import json

import pytest

from pasam.config.schema import GeneratedInstancesParams
from pasam.data.coco import read_annotations, read_detections
from pasam.data.instance_sets import SMALL_SETS, draw_instance_sets
from pasam.masks.images import read_image
from pasam.synthetic.scene import KINDS

PARAMS = GeneratedInstancesParams(coco_images=2, seginw_images=1)


def contents(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def draw(folder, *, seed=5, workers=1, params=PARAMS):
    draw_instance_sets(params, folder, seed=seed, side=96, workers=workers)
    return contents(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("instances")
    draw(made)
    return made


def places(folder):
    coco = folder / "coco_like"
    yield coco / "annotations.json", coco / "detections.json", coco / "images"
    for name in SMALL_SETS:
        valid = folder / "seginw_like/sets" / name / "valid"
        found = folder / "seginw_like/detections" / f"{name}.json"
        yield valid / "_annotations_min1cat.coco.json", found, valid


def test_every_set_can_be_read_back_with_its_images_and_detections(folder):
    for annotated, detected, images in places(folder):
        annotations = read_annotations(annotated)
        read_detections(detected, annotations)
        assert annotations.content["annotations"]
        for image in annotations.images.values():
            assert read_image(images / image.file).shape == (image.height, image.width, 3)


def test_the_same_seed_gives_the_same_bytes_with_one_process_or_two(folder, tmp_path):
    assert draw(tmp_path, workers=2) == contents(folder)


def test_another_seed_gives_other_pictures(folder, tmp_path):
    few = GeneratedInstancesParams(coco_images=1, seginw_images=0)
    made = draw(tmp_path, seed=6, params=few)
    name = "coco_like/images/00000.png"
    assert made[name] != (folder / name).read_bytes()


def test_cocos_categories_are_the_families_and_those_of_small_sets_are_kinds(folder):
    coco, *small = (read_annotations(annotated) for annotated, _, _ in places(folder))
    assert list(coco.categories.values()) == ["dis", "coift", "hrsod", "thin"]
    for annotations, (_, kinds) in zip(small, SMALL_SETS.values(), strict=True):
        assert tuple(annotations.categories.values()) == kinds
        assert set(kinds) <= set(KINDS)


def test_small_sets_detections_speak_in_phrases(folder):
    small = [json.loads(detected.read_text()) for _, detected, _ in list(places(folder))[1:]]
    entries = [entry for found in small for entry in found]
    assert entries
    assert all("phrase" in entry and "category_id" not in entry for entry in entries)


def test_areas_of_annotations_fit_into_their_boxes(folder):
    for entry in read_annotations(folder / "coco_like/annotations.json").content["annotations"]:
        assert 0 < entry["area"] <= entry["bbox"][2] * entry["bbox"][3]


def test_no_images_make_empty_sets(tmp_path):
    none = GeneratedInstancesParams(coco_images=0, seginw_images=0)
    draw(tmp_path, params=none)
    annotations = read_annotations(tmp_path / "coco_like/annotations.json")
    assert annotations.images == {}
    assert read_detections(tmp_path / "coco_like/detections.json", annotations) == []
