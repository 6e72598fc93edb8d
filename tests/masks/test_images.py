"""Files are read for what they are, and doubtful masks are refused."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from pasam.errors import DataError, InvalidItemError
from pasam.masks.images import IMAGE_FORMATS, foreground, read_image, read_mask, write_png

DOT = np.zeros((6, 7), np.uint8)
DOT[2:4, 3:5] = 1


def save(path: Path, array: np.ndarray, mode: str | None = None) -> Path:
    picture = Image.fromarray(array)
    (picture.convert(mode) if mode else picture).save(path)
    return path


def test_a_colour_image_comes_back_as_written(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (5, 8, 3), dtype=np.uint8)
    write_png(tmp_path / "new" / "a.png", image)
    np.testing.assert_array_equal(read_image(tmp_path / "new" / "a.png"), image)


def test_a_grey_image_is_repeated_to_three_channels(tmp_path):
    image = read_image(save(tmp_path / "a.png", DOT * 100))
    assert image.shape == (6, 7, 3)
    assert (image == DOT[:, :, None] * 100).all()


def test_alpha_is_dropped(tmp_path):
    assert read_image(save(tmp_path / "a.png", DOT * 100, "RGBA")).shape == (6, 7, 3)


def test_a_16_bit_image_keeps_its_upper_bits(tmp_path):
    image = read_image(save(tmp_path / "a.png", DOT.astype(np.uint16) * 40000))
    assert image.max() == 40000 // 256


def test_exif_orientation_is_not_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(DOT * 200).convert("RGB").save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg").shape == (6, 7, 3)


@pytest.mark.parametrize("scale", [1, 255])
def test_masks_of_0_1_and_of_0_255_mean_the_same(tmp_path, scale):
    np.testing.assert_array_equal(read_mask(save(tmp_path / "m.png", DOT * scale)), DOT * 255)


def test_a_one_bit_mask_is_recognised(tmp_path):
    np.testing.assert_array_equal(read_mask(save(tmp_path / "m.png", DOT * 255, "1")), DOT * 255)


def test_a_soft_mask_keeps_its_greys(tmp_path):
    soft = DOT * 255
    soft[1, 3] = 77
    np.testing.assert_array_equal(read_mask(save(tmp_path / "m.png", soft)), soft)


def test_a_16_bit_mask_is_brought_to_8_bits(tmp_path):
    path = save(tmp_path / "m.png", DOT.astype(np.uint16) * 65535)
    np.testing.assert_array_equal(read_mask(path), DOT * 255)


def test_of_several_channels_the_first_counts(tmp_path):
    layers = np.stack([DOT * 255, DOT * 0 + 9, DOT * 0], axis=2)
    np.testing.assert_array_equal(read_mask(save(tmp_path / "m.png", layers)), DOT * 255)


def test_an_index_mask_is_refused_with_its_values(tmp_path):
    index = np.arange(42, dtype=np.uint8).reshape(6, 7) % 4
    with pytest.raises(DataError, match=r"0, 1, 2, 3: that is an index mask.*one binary mask"):
        read_mask(save(tmp_path / "m.png", index))


def test_a_coloured_palette_with_a_void_value_is_an_index_mask(tmp_path):
    index = DOT * 15
    index[0] = 255
    picture = Image.frombytes("P", (7, 6), index.tobytes())
    picture.putpalette([channel for i in range(256) for channel in (i, 255 - i, 7)])
    picture.save(tmp_path / "m.png")
    with pytest.raises(DataError, match="values 0, 15, 255"):
        read_mask(tmp_path / "m.png")


def test_an_all_black_mask_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"m\.png is all black"):
        read_mask(save(tmp_path / "m.png", DOT * 0))


@pytest.mark.parametrize("read", [read_image, read_mask])
def test_a_damaged_file_is_named(tmp_path, read):
    path = save(tmp_path / "whole.png", np.random.default_rng(0).integers(0, 2, (99, 99), np.uint8))
    broken = tmp_path / "broken.png"
    broken.write_bytes(path.read_bytes()[:300])
    (tmp_path / "text.png").write_text("no picture")
    for name in ("broken.png", "text.png"):
        with pytest.raises(DataError, match=f"{name} cannot be decoded"):
            read(tmp_path / name)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"mask .*gone\.png does not exist"):
        read_mask(tmp_path / "gone.png")


@given(
    array=arrays.arrays(
        np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 255)
    )
)
@settings(max_examples=30, deadline=None)
def test_equal_arrays_give_equal_bytes_and_no_leftovers(tmp_path_factory, array):
    folder = tmp_path_factory.mktemp("png")
    write_png(folder / "a.png", array)
    write_png(folder / "b.png", array)
    assert (folder / "a.png").read_bytes() == (folder / "b.png").read_bytes()
    assert sorted(path.name for path in folder.iterdir()) == ["a.png", "b.png"]


def test_an_array_of_another_kind_is_not_written(tmp_path):
    with pytest.raises(DataError, match=r"float64 \(3, 3\)"):
        write_png(tmp_path / "a.png", np.zeros((3, 3)))  # type: ignore[arg-type]


def test_a_photograph_is_turned_upright_only_when_asked(tmp_path):
    lying = np.zeros((2, 3, 3), np.uint8)
    lying[0, 0] = 255
    picture = Image.fromarray(lying)
    exif = picture.getexif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    picture.save(tmp_path / "x.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "x.png"), lying)
    upright = read_image(tmp_path / "x.png", upright=True)
    assert np.array_equal(upright, np.rot90(lying, -1))


def test_content_is_read_as_its_file_is(tmp_path):
    image = np.random.default_rng(1).integers(0, 256, (5, 8, 3), dtype=np.uint8)
    write_png(tmp_path / "a.png", image)
    np.testing.assert_array_equal(read_image((tmp_path / "a.png").read_bytes()), image)


def test_damaged_content_is_refused_without_an_address_in_memory():
    with pytest.raises(InvalidItemError, match=r"image \(10 bytes\) cannot be decoded") as caught:
        read_image(b"no picture")
    assert caught.value.kind == "undecodable_image"
    assert "0x" not in str(caught.value)


def test_the_size_is_looked_up_before_a_pixel_is_decoded(tmp_path):
    path = save(tmp_path / "a.png", np.random.default_rng(0).integers(0, 255, (50, 90), np.uint8))
    cut = path.read_bytes()[:300]  # its header is whole, most of its pixels are gone
    with pytest.raises(
        InvalidItemError, match=r"90 x 50 pixels, where at most 0.004499 mill"
    ) as caught:
        read_image(cut, most_pixels=4499)
    assert caught.value.kind == "too_large"
    assert read_image(path, most_pixels=4500).shape == (50, 90, 3)


def test_only_the_formats_asked_for_are_decoded(tmp_path):
    path = save(tmp_path / "a.gif", DOT * 255)
    assert read_image(path).shape == (6, 7, 3)
    with pytest.raises(InvalidItemError, match="cannot be decoded"):
        read_image(path, formats=IMAGE_FORMATS)


def test_a_mask_pixel_is_foreground_above_128_not_at_it():
    assert foreground(np.array([[127, 128, 129]], np.uint8)).tolist() == [[False, False, True]]
