"""A check reads like preparation, and says what preparation would take without a word."""

import cv2
import numpy as np
import pytest

from pasam.data.inspection import survey
from pasam.data.pairing import find_pairs
from pasam.masks.images import write_png


@pytest.fixture
def check(draw, tmp_path):
    """Three pairs to learn from; a test may change them before it looks."""
    images, masks = draw(tmp_path / "draw", 3)
    (tmp_path / "own/train/cats").mkdir(parents=True)
    images.rename(tmp_path / "own/train/cats/im")
    masks.rename(tmp_path / "own/train/cats/gt")
    return lambda: survey(find_pairs(tmp_path / "own")[0], workers=1)


@pytest.fixture
def cats(tmp_path):
    return tmp_path / "own/train/cats"


def test_counts_sizes_areas_and_kinds_are_summed_up(check, cats):
    write_png(cats / "im/02.png", np.zeros((20, 30, 3), np.uint8))
    write_png(cats / "gt/02.png", np.eye(20, 30, dtype=np.uint8))
    (found,) = check().sets
    assert (found.dataset, found.split, found.images, found.masks) == ("cats", "train", 3, 3)
    assert (found.smallest, found.largest) == ((12, 12), (30, 20))
    assert found.area == (20 / 600, pytest.approx(14 / 144), pytest.approx(21 / 144))
    assert found.kinds == {"0/1": 1, "0/255": 2}


def test_faults_are_those_of_preparation(check, cats):
    write_png(cats / "gt/00.png", np.zeros((12, 12), np.uint8))
    (cats / "im/01.png").write_bytes(b"no picture")
    write_png(cats / "gt/02.png", np.full((12, 12), 255, np.uint8))
    write_png(cats / "gt/02_0.png", np.eye(12, dtype=np.uint8))
    findings = check()
    for fault, words in zip(
        findings.faults, ("is all black", "cannot be decoded", "marks every pixel"), strict=True
    ):
        assert words in fault
    assert findings.sets[0].masks == 1


def test_masks_that_say_little_or_everything_are_warned_of(check, cats):
    nearly = np.full((12, 12), 255, np.uint8)
    nearly[0, 0] = 0
    write_png(cats / "gt/00.png", nearly)
    warnings = check().warnings
    assert any("01.png marks only 21 pixels" in warning for warning in warnings)
    assert any("00.png covers 99.3% of its image" in warning for warning in warnings)


def test_an_index_mask_that_reads_as_one_object_is_warned_of(check, cats):
    labels = np.zeros((40, 40), np.uint8)
    labels[4:14, 4:30], labels[20:34, 4:30] = 100, 200
    write_png(cats / "im/00.png", np.zeros((40, 40, 3), np.uint8))
    write_png(cats / "gt/00.png", labels)
    findings = check()
    assert any(
        "00.png looks like an index mask, but is read as one" in w for w in findings.warnings
    )
    assert findings.sets[0].kinds == {"0/255": 2, "index": 1}


def test_a_soft_edge_is_nothing_to_warn_of(check, cats):
    mask = np.zeros((40, 40), np.uint8)
    mask[8:30, 8:30] = 255
    write_png(cats / "im/00.png", np.zeros((40, 40, 3), np.uint8))
    write_png(cats / "gt/00.png", cv2.GaussianBlur(mask, (5, 5), 0))
    assert not any("gt/00.png" in warning for warning in check().warnings)


def test_a_picture_on_both_sides_is_warned_of(check, cats):
    for kind in ("im", "gt"):
        (cats.parent.parent / "val/dogs" / kind).mkdir(parents=True)
        copy = cats.parent.parent / "val/dogs" / kind / "rex.png"
        copy.write_bytes((cats / kind / "01.png").read_bytes())
    (warning,) = [warning for warning in check().warnings if "the same image" in warning]
    assert "rex.png (val) is the same image as" in warning
    assert "01.png (train)" in warning


def test_masks_that_the_manifest_cannot_tell_apart_are_a_fault(check, cats):
    (cats / "gt/00").mkdir()
    (cats / "gt/00.png").rename(cats / "gt/00/x.png")
    mask = (cats / "gt/01.png").read_bytes()
    (cats / "gt/00_x.png").write_bytes(mask)
    (fault,) = check().faults
    assert "would both be 'cats/00_x' in the manifest" in fault


def test_what_was_known_before_comes_first(check):
    findings = survey((), workers=1, faults=("a",), warnings=("b",))
    assert (findings.sets, findings.faults, findings.warnings) == ((), ("a",), ("b",))
