"""Files are read for what they are, and doubtful masks are refused."""

import os
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from pasam.errors import DataError, InvalidItemError
from pasam.masks.images import (
    IMAGE_FORMATS,
    eight_bits,
    encode_bits,
    foreground,
    load_image,
    open_image,
    read_image,
    turned,
    upright_size,
    write_png,
)
from pasam.masks.mask_areas import flat_areas
from pasam.masks.mask_files import Reading, _present, check_fitness, read_mask, understand

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


@pytest.mark.parametrize("height", [255, 256, 257, 513])
def test_every_row_of_a_tall_image_comes_back_as_written(tmp_path, height):
    image = np.random.default_rng(height).integers(0, 256, (height, 3, 3), dtype=np.uint8)
    write_png(tmp_path / "a.png", image)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), image)


@pytest.mark.parametrize("tag", [0, 9])
def test_a_tag_that_says_no_way_to_lie_turns_nothing(tmp_path, tag):
    exif, stored = Image.Exif(), np.random.default_rng(0).integers(0, 256, (5, 8, 3), np.uint8)
    exif[0x0112] = tag
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    loaded = load_image(tmp_path / "a.png")
    np.testing.assert_array_equal(loaded.pixels, stored)
    assert (loaded.orientation, loaded.notes) == (1, ())


def test_what_is_no_stack_has_one_page_though_its_frames_are_many(tmp_path):
    frames = [Image.fromarray(np.full((6, 7, 3), value, np.uint8)) for value in (10, 90, 200)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    for page in (None, 1):
        assert (load_image(tmp_path / "a.png", page=page).pixels == 10).all()
    with pytest.raises(InvalidItemError, match="has 1 pages, and no page 2"):
        load_image(tmp_path / "a.png", page=2)


def test_a_grey_image_is_repeated_to_three_channels(tmp_path):
    image = read_image(save(tmp_path / "a.png", DOT * 100))
    assert image.shape == (6, 7, 3)
    assert (image == DOT[:, :, None] * 100).all()


def test_alpha_is_dropped(tmp_path):
    assert read_image(save(tmp_path / "a.png", DOT * 100, "RGBA")).shape == (6, 7, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_as_viewers_show_it(tmp_path, orientation):
    stored = np.random.default_rng(0).integers(0, 256, (5, 8, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as opened:
        shown = np.array(ImageOps.exif_transpose(opened))
    loaded = load_image(tmp_path / "a.png")
    np.testing.assert_array_equal(loaded.pixels, shown)
    assert loaded.orientation == orientation
    assert any(f"orientation {orientation}" in note for note in loaded.notes) is (orientation > 1)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", upright=False), stored)


RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
TIFF_NAMES = "http://ns.adobe.com/tiff/1.0/"
XMP_AS_WRITTEN = {
    "attribute": f'<r:Description xmlns:tiff="{TIFF_NAMES}" tiff:Orientation="6"/>',
    "single quotes": f"<r:Description xmlns:tiff='{TIFF_NAMES}' tiff:Orientation='6'/>",
    "element": f'<r:Description xmlns:tiff="{TIFF_NAMES}"><tiff:Orientation>6</tiff:Orientation>'
    "</r:Description>",
    "another prefix": f'<r:Description xmlns:t="{TIFF_NAMES}" t:Orientation="6"/>',
}


@pytest.mark.parametrize("kind", ["jpg", "webp", "png", "tif"])
@pytest.mark.parametrize("form", XMP_AS_WRITTEN)
def test_xmp_turns_an_image_as_exif_does(tmp_path, form, kind):
    body = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF xmlns:r="{RDF}">{XMP_AS_WRITTEN[form]}'
    content, path = f"{body}</r:RDF></x:xmpmeta>".encode(), tmp_path / f"a.{kind}"
    stored = Image.fromarray(DOT * 200).convert("RGB")
    if kind == "png":
        texts = PngInfo()
        texts.add_itxt("XML:com.adobe.xmp", content.decode())
        stored.save(path, pnginfo=texts)
    elif kind == "tif":
        stored.save(path, tiffinfo={700: content})
    else:
        stored.save(path, xmp=content)
    loaded = load_image(path)
    assert loaded.pixels.shape == (7, 6, 3)
    assert (loaded.orientation, len(loaded.notes)) == (6, 1)
    with open_image(path) as opened:
        assert upright_size(opened) == (7, 6)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["tif", "png", "jpg"])
def test_an_images_own_tag_turns_it_once_and_its_size_is_known_beforehand(
    tmp_path, suffix, orientation
):
    exif, path = Image.Exif(), tmp_path / f"a.{suffix}"
    exif[274] = orientation
    Image.fromarray(DOT * 200).convert("RGB").save(path, exif=exif)
    size = (7, 6) if orientation >= 5 else (6, 7)
    assert load_image(path).pixels.shape == (*size, 3)
    with open_image(path) as opened:
        assert upright_size(opened) == size


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("values", ["8 bits", "16 bits", "floats", "five bands"])
def test_a_tiff_is_turned_once_whoever_decodes_it(tmp_path, values, orientation):
    shown = np.random.default_rng(3).integers(0, 256, (5, 8, 3), dtype=np.uint8)
    turns = {2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}  # what undoes each
    stored = turned(shown, turns[orientation])
    content = {
        "8 bits": stored,
        "16 bits": stored.astype(np.uint16) * 257,
        "floats": (stored / 255).astype(np.float32),
        "five bands": np.dstack([stored, stored[:, :, :2]]),
    }[values]
    colours = "minisblack" if values == "five bands" else "rgb"
    more = {"planarconfig": "contig"} if values == "five bands" else {}
    tag = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(tmp_path / "a.tif", content, photometric=colours, extratags=tag, **more)
    bands = (1, 2, 3) if values == "five bands" else None
    loaded = load_image(tmp_path / "a.tif", bands=bands)
    assert np.abs(loaded.pixels.astype(int) - shown).max() <= 1
    assert any(f"orientation {orientation}" in note for note in loaded.notes)


def test_a_tiffs_whole_numbers_are_as_it_says_with_or_without_a_sign(tmp_path):
    values = np.linspace(0, 4e9, 60).astype(np.uint32).reshape(6, 10)
    tifffile.imwrite(tmp_path / "a.tif", values)
    assert (np.diff(read_image(tmp_path / "a.tif")[:, :, 0].ravel().astype(int)) >= 0).all()


@pytest.mark.parametrize("kind", [np.float16, np.float64])
def test_fractions_of_any_size_are_read(tmp_path, kind):
    tifffile.imwrite(tmp_path / "a.tif", (GREY / 255).astype(kind))
    loaded = load_image(tmp_path / "a.tif")
    assert np.abs(loaded.pixels[:, :, 0].astype(int) - GREY).max() <= 1
    bits = 8 * np.dtype(kind).itemsize
    assert loaded.notes == (f"{bits} bits, of which 0 to 1 became 0 to 255",)


def test_complex_numbers_are_no_image(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GREY.astype(np.complex64))
    with pytest.raises(InvalidItemError, match="holds complex numbers"):
        read_image(tmp_path / "a.tif")


GREY = np.random.default_rng(1).integers(0, 256, (40, 50))


@pytest.mark.parametrize(
    ("name", "values", "low", "high"),
    [
        ("12_in_16.png", (GREY * 16).astype(np.uint16), 0, 4095),
        ("8_in_16.tif", GREY.astype(np.uint16), 0, 255),
        ("16.png", (GREY * 257).astype(np.uint16), 0, 65535),
        ("fractions.tif", (GREY / 255).astype(np.float32), 0, 1),
        ("bright.tif", (0.5 + GREY / 510).astype(np.float32), 0, 1),
        ("dim.tif", (GREY / 510).astype(np.float32), 0, 1),
        ("above_1.tif", (GREY / 250).astype(np.float32), 0, 1.02),
        ("int32.tif", (GREY * 200).astype(np.int32), 0, 65535),
        ("signed.tif", (GREY * 2 - 100).astype(np.float32), -100, 410),
    ],
)
def test_values_of_more_than_8_bits_are_scaled_and_it_is_said(tmp_path, name, values, low, high):
    Image.fromarray(values).save(tmp_path / name)
    loaded = load_image(tmp_path / name)
    expected = (values.astype(float) - low) / (high - low) * 255
    assert np.abs(loaded.pixels[:, :, 0] - expected).max() <= 0.51
    assert f"{low} to {high} became 0 to 255" in loaded.notes[0]


def test_whole_numbers_begin_at_0_however_bright_the_darkest_is():
    pixels, said = eight_bits(np.array([[1000, 4095]], np.uint16))
    assert pixels.tolist() == [[62, 255]]
    assert said == "16 bits, of which 0 to 4095 became 0 to 255"
    dark = np.array([[0, 3, 63]], np.uint16)  # as dark in 16 bits as it was in 8
    assert eight_bits(dark)[0].tolist() == dark.tolist()
    for hot, top in ((5, 255), (50, 4095)):  # of 10,000: a thousandth may be brighter
        dim = np.full((100, 100), 100, np.uint16)
        dim[0, :hot] = 4000
        assert eight_bits(dim)[1] == f"16 bits, of which 0 to {top} became 0 to 255"
    assert eight_bits(np.array([[-1.0, 3.0]]))[0].tolist() == [[0, 255]]
    assert eight_bits(np.array([[0.25, 1.0]]))[0].tolist() == [[64, 255]]
    assert eight_bits(np.array([[-0.5, 0.0, 0.5]]))[0].tolist() == [[0, 128, 255]]
    assert eight_bits(np.array([[2.0, 2.25, 2.5]]))[0].tolist() == [[0, 128, 255]]
    lost = np.array([[0.5, np.inf, -np.inf, np.nan]])  # count as nothing, and stretch nothing
    assert eight_bits(lost)[0].tolist() == [[128, 0, 0, 0]]


def test_a_hot_pixel_does_not_blacken_a_dim_image(tmp_path):
    values = GREY.astype(np.uint16)
    values[0, 0] = 65535
    Image.fromarray(values).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").std() > 50


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("alpha", [False, True])
def test_colours_of_16_bits_keep_what_they_hold(tmp_path, suffix, alpha):
    colours = np.random.default_rng(2).integers(0, 256, (20, 30, 3))
    path = tmp_path / f"a.{suffix}"
    stored = np.dstack([colours[:, :, ::-1] * 16, *([np.full((20, 30), 65535)] if alpha else ())])
    cv2.imwrite(str(path), stored.astype(np.uint16))
    assert np.abs(read_image(path).astype(int) - colours).max() <= 1


def test_colours_that_only_a_tiff_holds_are_three_and_what_else_is_there_is_chosen(tmp_path):
    colours = np.random.default_rng(2).random((20, 30, 5))
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, colours[:, :, :4], photometric="rgb", extrasamples=["unassalpha"])
    wanted = colours[:, :, :3] * 255
    assert np.abs(read_image(path) - wanted).max() <= 1
    with pytest.raises(InvalidItemError, match=r"a\.tif cannot be decoded \("):
        read_image(path, formats=("TIFF",))  # nobody asked for more than Pillow's own
    tag = [(274, "H", 1, 9, True)]  # which says no way to lie
    kinds = ["unspecified"] * 2
    tifffile.imwrite(path, colours, photometric="rgb", extrasamples=kinds, extratags=tag)
    with pytest.raises(InvalidItemError, match="has 5 bands. Choose"):
        read_image(path)
    loaded = load_image(path, bands=(1, 2, 3))
    assert np.abs(loaded.pixels - wanted).max() <= 1
    assert loaded.orientation == 1


def test_bands_are_chosen_of_deep_colours_too(tmp_path):
    colours = np.random.default_rng(2).integers(0, 256, (20, 30, 3)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", colours * 16, photometric="rgb")
    chosen = load_image(tmp_path / "a.tif", bands=(3, 1, 3))
    assert np.abs(chosen.pixels.astype(int) - colours[:, :, [2, 0, 2]]).max() <= 1
    said = "made of its bands (3, 1, 3)", "16 bits, of which 0 to 4095 became 0 to 255"
    assert chosen.notes == said


@pytest.mark.parametrize("orientation", [1, 2, 6])
@pytest.mark.parametrize("upright", [True, False])
@pytest.mark.parametrize("deep", [True, False])
def test_a_png_of_any_depth_is_turned_when_that_is_wanted_and_it_is_said(
    tmp_path, orientation, upright, deep
):
    stored = np.random.default_rng(2).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    values = stored.astype(np.uint16) * 257 if deep else stored
    content = cv2.imencode(".png", values[:, :, ::-1])[1].tobytes()
    exif = Image.Exif()
    exif[0x0112] = orientation
    tag = exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = b"eXIf" + tag
    chunk = len(tag).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    (tmp_path / "a.png").write_bytes(content[:33] + chunk + content[33:])  # behind its header
    found = load_image(tmp_path / "a.png", upright=upright)
    wanted = turned(stored, orientation) if upright else stored
    assert np.abs(found.pixels.astype(int) - wanted).max() <= 1
    assert found.orientation == orientation
    said = " ".join(found.notes)
    assert ("turned upright" in said) is (upright and orientation > 1)
    assert ("16 bits" in said) is deep


def test_chosen_bands_of_a_turned_page_are_turned_and_told_and_more_than_three_are_none(tmp_path):
    bands = np.random.default_rng(3).integers(0, 256, (2, 5, 20, 30), dtype=np.uint8)
    tags = [(274, "H", 1, 6, True)]  # orientation
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for page in bands:
            file.write(page, planarconfig="separate", photometric="minisblack", extratags=tags)
    for chosen in ((3, 1, 2), (4,)):
        found = load_image(tmp_path / "a.tif", page=2, bands=chosen)
        layers = [bands[1, band - 1] for band in chosen] * (3 // len(chosen))
        assert np.array_equal(found.pixels, turned(np.dstack(layers), 6))
        assert found.orientation == 6
        assert found.notes[0] == f"made of its bands {chosen}"
        stored = load_image(tmp_path / "a.tif", page=2, bands=chosen, upright=False)
        assert np.array_equal(stored.pixels, np.dstack(layers))
    for wrong in ((1, 2), (1, 2, 3, 4), (0,), (1, 2, 6)):
        with pytest.raises(InvalidItemError, match="has 5 bands, not"):
            load_image(tmp_path / "a.tif", page=1, bands=wrong)


def test_bands_and_pages_are_chosen_not_guessed(tmp_path):
    bands = np.random.default_rng(3).integers(0, 256, (5, 20, 30), dtype=np.uint8)
    options = {"planarconfig": "separate", "photometric": "minisblack"}
    tifffile.imwrite(tmp_path / "five.tif", bands, **options)
    with pytest.raises(InvalidItemError, match="has 5 bands. Choose"):
        read_image(tmp_path / "five.tif")
    for count in (3, 4):  # not colours unless the file says so: infrared comes in fours, too
        tifffile.imwrite(tmp_path / "some.tif", bands[:count].astype(float), **options)
        with pytest.raises(InvalidItemError, match=f"has {count} bands. Choose"):
            read_image(tmp_path / "some.tif")
    chosen = load_image(tmp_path / "five.tif", bands=(5, 1, 2)).pixels
    np.testing.assert_array_equal(chosen, np.moveaxis(bands[[4, 0, 1]], 0, 2))
    with pytest.raises(InvalidItemError, match="has 5 bands, not"):
        load_image(tmp_path / "five.tif", bands=(6,))
    pages = [Image.fromarray(layer) for layer in bands[:3]]
    pages[0].save(tmp_path / "stack.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(InvalidItemError, match="is a stack of 3 pages. Choose"):
        read_image(tmp_path / "stack.tif")
    np.testing.assert_array_equal(
        load_image(tmp_path / "stack.tif", page=2).pixels[:, :, 0], bands[1]
    )
    for page in (0, 4):
        with pytest.raises(InvalidItemError, match=f"has 3 pages, and no page {page}"):
            load_image(tmp_path / "stack.tif", page=page)
    with tifffile.TiffWriter(tmp_path / "preview.tif") as file:  # a smaller page is a preview
        for layer in (bands[0], bands[0, ::4]):
            file.write(layer)
    for page, layer in ((None, bands[0]), (1, bands[0]), (2, bands[0, ::4])):
        found = load_image(tmp_path / "preview.tif", page=page).pixels
        np.testing.assert_array_equal(found[:, :, 0], layer)


def test_a_pipe_or_a_device_that_is_named_like_an_image_is_never_read(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    for read in (read_image, read_mask):
        for name in ("a.png", "zero.png"):
            with pytest.raises(InvalidItemError, match="no regular file"):
                read(tmp_path / name)


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


def test_an_index_mask_is_refused_with_its_values(tmp_path):
    index = np.arange(42, dtype=np.uint8).reshape(6, 7) % 4
    with pytest.raises(DataError, match=r"values 1, 2, 3: that is an index mask.*data add"):
        read_mask(save(tmp_path / "m.png", index))


def test_the_void_of_a_palette_is_no_part_of_the_object(tmp_path):
    index = DOT * 15
    index[0] = 255
    picture = Image.frombytes("P", (7, 6), index.tobytes())
    picture.putpalette([channel for i in range(256) for channel in (i, i // 2, 0)])
    picture.save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), DOT * 255)


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
@settings(max_examples=30)
def test_equal_arrays_give_equal_bytes_and_no_leftovers(tmp_path_factory, array):
    folder = tmp_path_factory.mktemp("png")
    write_png(folder / "a.png", array)
    write_png(folder / "b.png", array)
    assert (folder / "a.png").read_bytes() == (folder / "b.png").read_bytes()
    assert sorted(path.name for path in folder.iterdir()) == ["a.png", "b.png"]


@given(
    mask=arrays.arrays(
        np.uint8,
        st.tuples(st.integers(1, 20), st.integers(1, 20)),
        elements=st.sampled_from([0, 255]),
    )
)
@settings(max_examples=30)
def test_a_mask_of_one_bit_is_white_where_it_was_in_every_reader(tmp_path_factory, mask):
    path = tmp_path_factory.mktemp("bits") / "m.png"
    path.write_bytes(encode_bits(mask))
    np.testing.assert_array_equal(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), mask)
    np.testing.assert_array_equal(np.array(Image.open(path)), mask > 0)
    if mask.any():
        np.testing.assert_array_equal(read_mask(path), mask)


def test_an_array_of_another_kind_is_not_written(tmp_path):
    with pytest.raises(DataError, match=r"float64 \(3, 3\)"):
        write_png(tmp_path / "a.png", np.zeros((3, 3)))  # type: ignore[arg-type]
    for shape in ((3, 3, 4), (3, 3, 1), (3,)):
        with pytest.raises(DataError, match=r"uint8 \(3.*expected uint8 of shape \(H, W\)"):
            write_png(tmp_path / "a.png", np.zeros(shape, np.uint8))


def test_content_is_read_as_its_file_is(tmp_path):
    image = np.random.default_rng(1).integers(0, 256, (5, 8, 3), dtype=np.uint8)
    write_png(tmp_path / "a.png", image)
    np.testing.assert_array_equal(read_image((tmp_path / "a.png").read_bytes()), image)


def test_damaged_content_is_refused_without_an_address_in_memory():
    with pytest.raises(InvalidItemError, match=r"image \(10 bytes\) cannot be decoded") as caught:
        read_image(b"no picture")
    assert caught.value.kind == "undecodable_image"
    assert "0x" not in str(caught.value)


def test_the_size_is_looked_up_before_a_pixel_is_decoded(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png", np.random.default_rng(0).integers(0, 255, (50, 90), np.uint8))
    cut = path.read_bytes()[:300]  # its header is whole, most of its pixels are gone
    with pytest.raises(
        InvalidItemError, match=r"90 x 50 pixels, where at most 0.004499 mill"
    ) as caught:
        read_image(cut, most_pixels=4499)
    assert caught.value.kind == "too_large"
    assert read_image(path, most_pixels=4500).shape == (50, 90, 3)
    for limit in (2000, 3000):  # more than twice as much as Pillow dares, and a little more
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        for most, kind in ((None, "undecodable_image"), (10**9, "too_large")):
            with pytest.raises(InvalidItemError) as caught:
                read_image(path, most_pixels=most)
            assert caught.value.kind == kind


def test_only_the_formats_asked_for_are_decoded(tmp_path):
    path = save(tmp_path / "a.gif", DOT * 255)
    assert read_image(path).shape == (6, 7, 3)
    with pytest.raises(InvalidItemError, match="cannot be decoded"):
        read_image(path, formats=IMAGE_FORMATS)


def test_a_mask_pixel_is_foreground_above_128_not_at_it():
    assert foreground(np.array([[127, 128, 129]], np.uint8)).tolist() == [[False, False, True]]


def test_cells_of_two_rows_are_cells_while_most_pixels_have_their_like_below(tmp_path):
    cells = np.kron(np.arange(100).reshape(10, 10), np.ones((2, 6))).astype(np.uint16)
    Image.fromarray(cells).save(tmp_path / "cells.png")
    assert len(understand(tmp_path / "cells.png").objects) == 99
    Image.fromarray(cells[1:]).save(tmp_path / "cells.png")  # just half of them
    with pytest.raises(InvalidItemError, match="hardly two alike side by side: a photograph"):
        understand(tmp_path / "cells.png")
    Image.fromarray(cells.astype(np.uint8)).save(tmp_path / "cells.png")  # numbers of 8 bits
    with pytest.raises(InvalidItemError, match="hardly two alike side by side: a photograph"):
        understand(tmp_path / "cells.png")


def blocks(*values: object, rows: int = 16) -> np.ndarray:
    """Areas side by side, as wide as JPEG's blocks."""
    return np.repeat(np.array([values] * rows, np.uint8), 16, axis=1)


@pytest.mark.parametrize(
    ("colour", "said"),
    [((110, 140, 120), None), ((140, 140, 172), None), ((140, 140, 180), "by colour in a format")],
)
def test_a_mask_that_was_tinted_slightly_is_what_its_green_says(tmp_path, colour, said):
    picture = Image.fromarray(blocks((0, 0, 0), colour))
    picture.save(tmp_path / "m.jpg", quality=100, subsampling=0)
    if said is None:
        assert understand(tmp_path / "m.jpg").objects == (("", 256),)
    else:
        with pytest.raises(InvalidItemError, match=said):
            understand(tmp_path / "m.jpg")


def test_labels_of_64_bits_have_one_band(tmp_path):
    labels = np.dstack([blocks(0, 1), blocks(1, 0)]).astype(np.uint64)
    options = {"planarconfig": "contig", "photometric": "minisblack"}
    tifffile.imwrite(tmp_path / "m.tif", labels, **options)
    with pytest.raises(InvalidItemError, match="has 2 bands. Expected one"):
        understand(tmp_path / "m.tif")
    tifffile.imwrite(tmp_path / "m.tif", labels[:, :, 0], **options)
    assert understand(tmp_path / "m.tif").objects == (("", 256),)


def test_what_is_seen_faintly_has_a_colour_too(tmp_path):
    picture = np.dstack([blocks((0, 0, 0), (200, 0, 0), (0, 0, 200)), blocks(0, 255, 100)])
    Image.fromarray(picture).save(tmp_path / "m.png")
    assert understand(tmp_path / "m.png").objects == (("c0000c8", 256), ("cc80000", 256))


@pytest.mark.parametrize(("greys", "kind"), [(62, "index"), (63, "soft edge")])
def test_an_edge_of_more_than_64_values_is_soft_wherever_it_ends(tmp_path, greys, kind):
    ramp = np.linspace(2, 198, greys).astype(np.uint8)
    row = np.concatenate([np.zeros(200, np.uint8), ramp, np.full(200, 200, np.uint8)])
    path = save(tmp_path / "m.png", np.array([row] * 20))
    assert str(understand(path).kind) == kind


def test_numbers_near_white_are_numbers_where_they_fill_areas(tmp_path):
    found = understand(save(tmp_path / "m.png", blocks(0, 250, 255, 0)))
    assert str(found.kind) == "index"
    assert found.objects[0] == ("250", 256)


def test_a_wire_beside_a_larger_object_is_one_as_long_as_a_part_of_it_stands_alone(tmp_path):
    index = np.zeros((60, 90), np.uint8)
    index[:20, :40] = 200
    index[24, 20:60] = 100  # two thirds of it within 7 pixels of the other object
    assert understand(save(tmp_path / "m.png", index)).objects == (("100", 40), ("200", 800))


def test_a_trimap_that_lies_on_its_side_and_colours_of_which_some_are_clear_are_told(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(blocks(0, 128, 255)).save(tmp_path / "t.png", exif=exif)
    found = understand(tmp_path / "t.png", Reading.TRIMAP)
    assert np.array_equal(found.mask(), turned(blocks(0, 0, 255), 6))
    clear = np.dstack([blocks((0, 0, 90), (200, 0, 0), (0, 200, 0)), blocks(0, 255, 255)])
    Image.fromarray(clear).save(tmp_path / "m.png")
    found = understand(tmp_path / "m.png", Reading.BINARY)
    assert found.notes == ("transparent pixels are background",)
    assert found.objects == (("", 512),)
    Image.fromarray(clear).save(tmp_path / "m.png", exif=exif)
    notes = ("transparent pixels are background", "turned upright by its EXIF tag")
    assert understand(tmp_path / "m.png", Reading.BINARY).notes == notes


def test_every_value_is_an_object_where_that_was_said_be_there_no_background_nor_areas(tmp_path):
    numbers = np.arange(1, 101, dtype=np.uint16).reshape(10, 10)
    found = understand(save(tmp_path / "m.png", numbers), Reading.INDEX)
    assert found.objects == tuple((str(number), 1) for number in range(1, 101))


@pytest.mark.parametrize(("shape", "turned_hint"), [((6, 4), True), ((5, 5), False)])
def test_a_mask_of_its_images_sides_the_other_way_round_is_called_turned(shape, turned_hint):
    with pytest.raises(InvalidItemError, match="is 4 x 6 .height x width. but its image b is") as e:
        check_fitness((4, 6), shape, inside=9, soft=0.0, name="a", image="b")
    assert ("one of the two is turned" in str(e.value)) is turned_hint
    nearly = check_fitness((40, 40), (40, 40), inside=1599, soft=0.5, name="a", image="b")
    assert nearly == ("a covers 99.9% of its image.",)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.uint32])
def test_values_and_areas_are_the_same_in_numbers_of_any_length(kind):
    values = 9 * np.random.default_rng(5).integers(0, 3, (7, 4)).repeat(3, axis=1).astype(kind)
    assert _present(values[:, ::-1]).tolist() == [0, 9, 18]
    flat, plain = flat_areas(values), flat_areas(values.astype(np.float32))
    assert (flat.any(), flat.tolist()) == (True, plain.tolist())
