"""Checking takes good pairs whatever the number of processes; what is unfit is named, left out."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pasam.data.preparation import collect_own
from pasam.data.quarantine import Quarantine
from pasam.masks.images import write_png

NONE = Quarantine()


@pytest.fixture
def own(tmp_path):
    rng = np.random.default_rng(0)
    for index in range(3):
        base = tmp_path / "train" / "cats"
        write_png(base / f"im/{index}.png", rng.integers(0, 256, (8, 8, 3), np.uint8))
        for part in range(2):
            label = np.zeros((8, 8), np.uint8)
            label[part : part + 2 + index] = 255
            write_png(base / f"gt/{index}_{part}.png", label)
    return tmp_path


def faults(own: Path, quarantine: Quarantine = NONE) -> dict[str, tuple[str, str]]:
    return {
        Path(row["mask"]).name: (row["fault"], row["message"])
        for row in collect_own(own, quarantine, workers=1)
        if row["fault"]
    }


def test_one_process_and_two_find_the_same_rows(own):
    rows = collect_own(own, NONE, workers=1)
    assert collect_own(own, NONE, workers=2) == rows
    assert [row["id"] for row in rows] == [f"cats/{i}_{part}" for i in range(3) for part in (0, 1)]
    assert [row["fault"] for row in rows] == [None] * 6
    assert rows[0]["area"] == 2 / 8
    assert rows[0]["image_sha256"] == rows[1]["image_sha256"] != rows[2]["image_sha256"]


def test_unfit_masks_are_named_and_the_others_stay(own):
    base = own / "train/cats"
    write_png(base / "gt/0_1.png", np.full((8, 9), 255, np.uint8))
    write_png(base / "gt/1_0.png", np.zeros((8, 8), np.uint8))
    write_png(base / "gt/2_0.png", np.full((8, 8), 255, np.uint8))
    found = faults(own)
    assert {name: kind for name, (kind, _) in found.items()} == {
        "0_1.png": "size_mismatch", "1_0.png": "empty_mask", "2_0.png": "full_mask",
    }  # fmt: skip
    assert "0_1.png is 8 x 9 (height x width) but its image" in found["0_1.png"][1]
    assert "1_0.png is all black" in found["1_0.png"][1]
    assert "2_0.png marks every pixel" in found["2_0.png"][1]
    fit = [row["id"] for row in collect_own(own, NONE, workers=1) if not row["fault"]]
    assert fit == ["cats/0_0", "cats/1_1", "cats/2_1"]


def test_a_mask_of_which_nothing_is_above_the_middle_is_empty(own):
    faint = np.zeros((8, 8), np.float32)
    faint[0] = 0.4
    Image.fromarray(faint).save(own / "train/cats/gt/0.tif")
    kind, message = faults(own)["0.tif"]
    assert kind == "empty_mask"
    assert "0.tif has no pixel above 128" in message


def test_a_picture_in_the_place_of_a_mask_is_told_by_its_grey(own):
    ramp = np.tile(np.arange(8, dtype=np.uint8) * 36, (8, 1))
    ramp[0, 0] = 255
    write_png(own / "train/cats/gt/0_0.png", ramp)
    kind, message = faults(own)["0_0.png"]
    assert kind == "grey_mask"
    assert "0_0.png is a photograph: 88% of its pixels are grey" in message


def test_all_masks_of_an_unreadable_image_are_left_out(own):
    (own / "train/cats/im/2.png").write_bytes(b"no picture")
    found = faults(own)
    assert {kind for kind, _ in found.values()} == {"undecodable_image"}
    assert sorted(found) == ["2_0.png", "2_1.png"]


def test_the_second_mask_of_an_id_is_left_out(own):
    (own / "train/cats/gt/0_0.tif").write_bytes(b"")
    Image.fromarray(np.eye(8, dtype=np.uint8)).save(own / "train/cats/gt/0_0.tif")
    found = faults(own)
    assert list(found) == ["0_0.tif"]
    assert found["0_0.tif"][0] == "id_taken"
    assert "0_0.png and " in found["0_0.tif"][1]
    assert "would both be 'cats/0_0'" in found["0_0.tif"][1]


def test_a_quarantined_mask_is_left_out_without_a_look(own):
    mask = own / "train/cats/gt/0_0.png"
    quarantine = NONE.including([(mask.as_posix(), "wrong cat")])
    assert faults(own, quarantine) == {"0_0.png": ("quarantined", "wrong cat")}


def test_a_quarantined_image_takes_its_masks_along(own):
    image = own / "train/cats/im/1.png"
    found = faults(own, NONE.including([(image.as_posix(), "blurred")]))
    assert found == {
        "1_0.png": ("quarantined", "blurred"), "1_1.png": ("quarantined", "blurred")
    }  # fmt: skip


def test_a_repaired_file_comes_back_from_quarantine(own):
    mask = own / "train/cats/gt/0_0.png"
    quarantine = NONE.including([(mask.as_posix(), "wrong cat")])
    write_png(mask, np.eye(8, dtype=np.uint8) * 255)
    assert faults(own, quarantine) == {}


def test_a_reviewed_fault_of_pairing_is_quarantined_too(own):
    lonely = own / "train/cats/im/lonely.png"
    write_png(lonely, np.zeros((8, 8, 3), np.uint8))
    (row,) = [row for row in collect_own(own, NONE, workers=1) if row["fault"]]
    assert row["fault"] == "image_without_mask"
    quarantine = NONE.including([(lonely.as_posix(), "not drawn yet")])
    (row,) = [row for row in collect_own(own, quarantine, workers=1) if row["fault"]]
    assert (row["fault"], row["message"]) == ("quarantined", "not drawn yet")
