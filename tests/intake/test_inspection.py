"""One image and its masks are understood, or their faults put in words."""

import hashlib

import numpy as np
import pytest

from pasam.data.inspection import CODED, InspectionTask, inspect
from pasam.data.mask_kinds import Reading
from pasam.data.pairing import EncodedMask, PairCandidate
from pasam.masks.images import write_png


@pytest.fixture
def look(tmp_path):
    image = tmp_path / "a.png"
    write_png(image, np.zeros((4, 6, 3), np.uint8))

    def run(*masks, encoded=(), reading=Reading.AUTO):
        files = []
        for number, mask in enumerate(masks):
            files.append(tmp_path / f"{number}.png")
            write_png(files[-1], np.array(mask, np.uint8))
        candidate = PairCandidate(image=image, name="a", masks=tuple(files), encoded=encoded)
        return inspect(InspectionTask(candidate=candidate, reading=reading))

    return run


def test_every_object_of_every_mask_is_found(look, tmp_path):
    one, numbered = np.zeros((4, 6)), np.zeros((4, 6))
    one[1:3, 1:3] = 255
    numbered[:3, :3], numbered[:3, 3:] = 1, 2
    found = look(one, numbered)
    assert [(item.label, item.kind, item.pixels) for item in found.objects] == [
        ("", "0/255", 4),
        ("1", "index", 9),
        ("2", "index", 9),
    ]
    assert found.sha256 == hashlib.sha256((tmp_path / "a.png").read_bytes()).hexdigest()
    assert (found.faults, found.voids) == ((), 0)


def test_void_pixels_are_counted_by_mask(look):
    numbered = np.zeros((4, 6))
    numbered[:3, :3], numbered[:3, 3:], numbered[3] = 1, 2, 255
    assert look(numbered).voids == 1


def test_a_mask_of_another_size_is_a_fault_and_the_others_stay(look):
    found = look(np.ones((6, 4)), np.ones((4, 6)))
    assert len(found.objects) == 1
    (fault,) = found.faults
    assert "0.png is 6 x 4 (height x width) but its image" in fault
    assert fault.endswith("is 4 x 6. Export both at one size.")


def test_a_code_of_another_size_is_named_by_its_annotation(look):
    code = EncodedMask(label="5", size=(6, 4), counts="0h0")
    (fault,) = look(encoded=(code,)).faults
    assert fault.startswith("mask annotation 5 is 6 x 4")


def test_a_code_is_an_object(look):
    from pycocotools import mask as coco_mask

    drawn = np.asfortranarray(np.eye(4, 6, dtype=np.uint8))
    code = EncodedMask(label="5", size=(4, 6), counts=coco_mask.encode(drawn)["counts"].decode())
    (item,) = look(encoded=(code,)).objects
    assert (item.label, item.kind, item.pixels) == ("5", CODED, 4)


def test_an_image_that_cannot_be_read_has_no_objects(look, tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    candidate = PairCandidate(image=tmp_path / "a.png", name="a")
    found = inspect(InspectionTask(candidate=candidate, reading=Reading.AUTO))
    assert (found.sha256, found.objects) == ("", ())
    assert "a.png cannot be decoded" in found.faults[0]
