"""Polygons and run-length codes become the masks they describe; damaged ones are named."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_mask

from pasam.data.coco import from_coco
from pasam.errors import DataError
from pasam.masks.run_lengths import area, decode

MASK = np.zeros((6, 8), np.uint8)
MASK[1:4, 2:5] = 1


def compressed(mask=MASK):
    code = coco_mask.encode(np.asfortranarray(mask))
    return {"size": code["size"], "counts": code["counts"].decode()}


def counted(mask=MASK):
    flat = mask.flatten(order="F").astype(int)
    edges = [0, *(np.flatnonzero(np.diff(flat)) + 1), flat.size]
    runs = np.diff(edges).tolist()
    return {"size": list(mask.shape), "counts": [0, *runs] if flat[0] else runs}


def write(folder, *annotations, images=None):
    images = images or [{"id": 1, "file_name": "a.jpg", "height": 6, "width": 8, "video": "v"}]
    for image in images:
        (folder / image["file_name"]).touch()
    content = {
        "images": images,
        "annotations": [{"id": n, "image_id": 1, **it} for n, it in enumerate(annotations, 1)],
    }
    (folder / "c.json").write_text(json.dumps(content))
    return folder / "c.json"


@pytest.mark.parametrize(
    "drawn",
    [compressed(), counted(), [[2, 1, 5, 1, 5, 4, 2, 4]]],
    ids=["compressed", "counts", "polygon"],
)
def test_each_form_is_drawn(tmp_path, drawn):
    source = from_coco(write(tmp_path, {"segmentation": drawn}), tmp_path)
    ((mask,),) = [item.encoded for item in source.candidates]
    assert source.faults == ()
    code = {"size": list(mask.size), "counts": mask.counts}
    assert (mask.label, mask.size, area(code)) == ("1", (6, 8), 9)
    assert np.array_equal(decode(code), MASK)


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.just(0)))
def test_an_empty_mask_is_a_fault(tmp_path_factory, mask):
    folder = tmp_path_factory.mktemp("coco")
    images = [{"id": 1, "file_name": "a.jpg", "height": mask.shape[0], "width": mask.shape[1]}]
    path = write(folder, {"segmentation": counted(mask)}, images=images)
    assert from_coco(path, folder).faults == (f"{path}: annotation 1 marks no pixel.",)


@pytest.mark.parametrize(
    ("drawn", "message"),
    [
        ({"size": [6, 8], "counts": [3]}, "has a run-length code of 3 pixels, expected 48"),
        ({"size": [6, 8], "counts": "P0"}, "has a run-length code of .* pixels, expected 48"),
        ({"size": [6, 8], "counts": "\x01x"}, "cannot be drawn"),
        ({"size": [6, 8], "counts": [-5, 53]}, r"cannot be drawn|has a run-length code"),
        (compressed(MASK.T), r"drawn on 8 x 6 pixels \(height x width\).* said to have 6 x 8"),
        ([[1, 1]], "cannot be drawn"),
        ([["a"] * 6], "cannot be drawn"),
        ([], "has no segmentation; a box alone is no mask"),
    ],
)
def test_a_damaged_segmentation_is_named(tmp_path, drawn, message):
    source = from_coco(write(tmp_path, {"segmentation": drawn}), tmp_path)
    (fault,) = source.faults
    assert "annotation 1" in fault
    with pytest.raises(DataError, match=message):
        raise DataError(fault)


def test_crowds_and_images_without_objects_are_left_out_and_told(tmp_path):
    images = [
        {"id": number, "file_name": f"{number}.jpg", "height": 6, "width": 8} for number in (1, 2)
    ]
    path = write(
        tmp_path,
        {"segmentation": compressed()},
        {"segmentation": compressed(), "iscrowd": 1},
        images=images,
    )
    source = from_coco(path, tmp_path)
    assert [item.name for item in source.candidates] == ["1"]
    assert [note.partition(" ")[0] for note in source.notes] == ["1", "1"]


def test_a_key_of_the_images_is_the_group(tmp_path):
    path = write(tmp_path, {"segmentation": compressed()})
    assert from_coco(path, tmp_path, group="video").candidates[0].group == "v"
    assert "image a.jpg has no 'site'" in from_coco(path, tmp_path, group="site").faults[0]


def test_strangers_and_missing_images_are_named(tmp_path):
    path = write(tmp_path, {"segmentation": compressed()}, {"image_id": [9]})
    (tmp_path / "a.jpg").unlink()
    stranger, missing = from_coco(path, tmp_path).faults
    assert "annotation 2 names no image" in stranger
    assert f"image {tmp_path / 'a.jpg'} does not exist" in missing


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not readable JSON"),
        ("[]", "lacks \\['images'"),
        ('{"images": [], "annotations": {}}', "lacks \\['annotations'"),
        ('{"images": [{"id": 1}], "annotations": []}', "lacks 'id' or 'file_name'"),
    ],
)
def test_another_file_is_refused(tmp_path, text, message):
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(DataError, match=message):
        from_coco(tmp_path / "c.json", tmp_path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"c\.json does not exist.* --coco"):
        from_coco(tmp_path / "c.json", tmp_path)
