"""What a mask file holds is recognised, and what could mean two things is refused."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pasam.data.mask_kinds import MaskKind, Reading, object_mask, read_labels, recognise
from pasam.errors import DataError


def disk(side=64, radius=20):
    y, x = np.mgrid[:side, :side]
    return (x - side / 2) ** 2 + (y - side / 2) ** 2 < radius**2


def regions(*values, side=64):
    """Stripes of these values on black."""
    labels = np.zeros((side, side), np.uint8)
    for number, value in enumerate(values):
        labels[8 + 10 * number : 16 + 10 * number, 10:50] = value
    return labels


def saved(tmp_path, array, name="m.png", **options):
    Image.fromarray(array).save(tmp_path / name, **options)
    return tmp_path / name


@pytest.mark.parametrize(
    ("mask", "kind"),
    [
        (disk().astype(np.uint8), MaskKind.ZERO_ONE),
        (disk(), MaskKind.ZERO_ONE),
        (disk().astype(np.uint8) * 255, MaskKind.ZERO_255),
        (disk().astype(np.uint16) * 65535, MaskKind.ZERO_255),
        (cv2.GaussianBlur(disk().astype(np.uint8) * 255, (5, 5), 0), MaskKind.SOFT),
    ],
    ids=["0/1", "1 bit", "0/255", "16 bit", "soft"],
)
def test_a_mask_of_one_object_is_recognised(tmp_path, mask, kind):
    found = recognise(saved(tmp_path, mask))
    assert (found.kind, found.size, found.has_void) == (kind, (64, 64), False)
    ((label, pixels),) = found.objects
    assert label == ""
    assert pixels == pytest.approx(disk().sum(), rel=0.05)


def test_numbers_are_objects_and_255_beside_them_is_void(tmp_path):
    path = saved(tmp_path, regions(1, 2, 7, 255))
    found = recognise(path)
    assert (found.kind, found.has_void) == (MaskKind.INDEX, True)
    assert found.objects == (("1", 320), ("2", 320), ("7", 320))
    assert np.array_equal(object_mask(read_labels(path), "7"), (regions(1, 2, 7) == 7) * 255)


def test_an_index_mask_of_bright_numbers_is_no_soft_edge(tmp_path):
    found = recognise(saved(tmp_path, regions(100, 150, 200)))
    assert [label for label, _ in found.objects] == ["100", "150", "200"]


def test_thin_objects_beside_void_are_numbers_too(tmp_path):
    labels = np.zeros((16, 16), np.uint8)
    labels[3], labels[6], labels[9] = 1, 2, 255
    assert [label for label, _ in recognise(saved(tmp_path, labels)).objects] == ["1", "2"]


def test_a_palette_is_read_as_its_indices(tmp_path):
    picture = Image.frombytes("P", (64, 64), regions(1, 2, 255).tobytes())
    picture.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0] + [224, 224, 192] * 253)
    picture.save(tmp_path / "voc.png")
    found = recognise(tmp_path / "voc.png")
    assert ([label for label, _ in found.objects], found.has_void) == (["1", "2"], True)


def test_colours_are_objects_and_blue_is_no_void(tmp_path):
    labels = regions(1, 2)
    colours = np.array([[0, 0, 0], [0, 0, 255], [255, 0, 0]], np.uint8)[labels]
    path = saved(tmp_path, colours)
    found = recognise(path)
    assert [label for label, _ in found.objects] == ["c0000ff", "cff0000"]
    assert np.array_equal(object_mask(read_labels(path), "cff0000"), (labels == 2) * 255)


def test_a_mask_saved_with_loss_is_a_soft_one(tmp_path):
    path = saved(tmp_path, disk().astype(np.uint8) * 255, "m.jpg", quality=80)
    assert recognise(path).kind is MaskKind.SOFT


def test_a_trimap_is_asked_about_and_can_be_said(tmp_path):
    path = saved(tmp_path, regions(128, 255))
    with pytest.raises(DataError, match=r"m.png holds 0, 128 and 255: a trimap, or a numbering\?"):
        recognise(path)
    assert recognise(path, Reading.BINARY).objects == (("", 320),)
    assert recognise(path, Reading.INDEX).objects == (("128", 320),)


@pytest.mark.parametrize(
    ("array", "name", "message"),
    [
        (np.zeros((8, 8), np.uint8), "m.png", "is all black"),
        (regions(1, 2, 3), "m.jpg", "numbers its objects.* Export it as PNG"),
        (np.full((8, 8), 0.5, np.float32), "m.tif", "holds fractions"),
        (
            np.random.default_rng(0).integers(60, 200, (64, 64), np.uint8),
            "m.png",
            r"most of .* neither black nor white: a photograph\?",
        ),
        (
            np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8),
            "m.png",
            r"different values; an index mask has at most 1000",
        ),
    ],
)
def test_what_is_no_mask_is_refused(tmp_path, array, name, message):
    with pytest.raises(DataError, match=message):
        recognise(saved(tmp_path, array, name))


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "m.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"m.png cannot be decoded"):
        recognise(tmp_path / "m.png")


@settings(max_examples=30, deadline=None)
@given(st.sets(st.integers(1, 254), min_size=2, max_size=5))
def test_the_objects_of_an_index_mask_share_out_its_pixels(tmp_path_factory, values):
    labels = regions(*sorted(values))
    path = saved(tmp_path_factory.mktemp("index"), labels)
    masks = [
        object_mask(read_labels(path), label) > 0
        for label, _ in recognise(path, Reading.INDEX).objects
    ]
    assert np.array_equal(np.sum(masks, axis=0), (labels > 0).astype(int))
