"""What ordinary tools store in odd forms is read as what it is, or refused with the reason."""

import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from pasam.data.manifest import stored_form
from pasam.errors import DataError, InvalidItemError
from pasam.masks.images import load_image, open_image, read_header, read_image, turned
from pasam.masks.mask_files import MaskKind, Reading, read_mask, understand
from pasam.masks.mask_pixels import decode_mask


def disk(x=22, y=24, radius=14):
    rows, columns = np.mgrid[:48, :64]
    return (columns - x) ** 2 + (rows - y) ** 2 < radius**2


FIRST, SECOND = disk(), disk(52, 30, 9)
LABELS = (FIRST * 1 + SECOND * 2).astype(np.uint8)
DEEP = np.dstack([FIRST * 300 + SECOND * 301, SECOND * 5, FIRST * 7]).astype(np.uint16)
"""Two colours of 16 bits that differ in the lower eight only."""
SPLIT = np.moveaxis(DEEP, -1, 0)
WHITE_LOW = {"photometric": "miniswhite"}
UNNAMED = {"software": False, "metadata": None}
"""Leaves out what tifffile says of itself."""


def masks_of(path, reading=Reading.AUTO):
    found = understand(path, reading)
    return [found.mask(label) > 128 for label, _ in found.objects]


def assert_both(path):
    found = masks_of(path)
    assert len(found) == 2
    for wanted in (FIRST, SECOND):
        assert sum(np.array_equal(mask, wanted) for mask in found) == 1


def chunk(name, content):
    crc = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + crc


def write_png(path, values, bits, kind, *chunks):
    """Write a PNG of any depth, with chunks of one's own before its pixels."""
    height, width = values.shape[:2]
    if bits == 16:
        rows = [row.astype(">u2").tobytes() for row in values]
    else:
        spread = np.unpackbits(values.astype(np.uint8).reshape(height, -1, 1), axis=2)[..., -bits:]
        rows = [np.packbits(row).tobytes() for row in spread]
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    middle = b"".join(chunk(*each) for each in chunks)
    content = chunk(b"IHDR", header) + middle + pixels + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_colours_of_16_bits_number_objects_to_the_last_bit(tmp_path, compression, order):
    path, options = tmp_path / "m.tif", {"photometric": "rgb", "compression": compression}
    tifffile.imwrite(path, DEEP, byteorder=order, **options)
    assert_both(path)
    tifffile.imwrite(path, SPLIT, byteorder=order, planarconfig="separate", **options)
    assert_both(path)
    names = [label for label, _ in understand(path).objects]
    assert names == ["c012c00000007", "c012d00050000"]


def test_colours_of_16_bits_in_a_png_or_with_lzw_do_so_too(tmp_path):
    for name, options in (("m.png", []), ("m.tif", [cv2.IMWRITE_TIFF_COMPRESSION, 5])):
        cv2.imwrite(str(tmp_path / name), DEEP[:, :, ::-1], options)
        assert_both(tmp_path / name)
        assert not understand(tmp_path / name).is_plain
    layers = np.dstack([DEEP, np.where(FIRST | SECOND, 65535, 0)]).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "m.png"), layers)
    assert_both(tmp_path / "m.png")
    options = {"photometric": "rgb", "extrasamples": ["unassalpha"]}
    tifffile.imwrite(tmp_path / "m.tif", layers, **options)
    assert_both(tmp_path / "m.tif")
    split = np.moveaxis(layers, -1, 0)
    tifffile.imwrite(tmp_path / "m.tif", split, planarconfig="separate", **options)
    assert_both(tmp_path / "m.tif")


def test_colours_of_16_bits_that_say_no_more_than_8_are_named_as_8(tmp_path):
    colours = np.array([[0, 0, 0], [255, 0, 0], [0, 0, 3]], np.uint16)[LABELS]
    for factor, names in ((257, ["c000003", "cff0000"]), (1, ["c000003", "cff0000"])):
        tifffile.imwrite(tmp_path / "m.tif", colours * np.uint16(factor), photometric="rgb")
        assert [label for label, _ in understand(tmp_path / "m.tif").objects] == names
    grey = np.repeat(FIRST[:, :, None] * np.uint16(65535), 3, axis=2)
    tifffile.imwrite(tmp_path / "m.tif", grey, photometric="rgb")
    assert understand(tmp_path / "m.tif").kind is MaskKind.ZERO_255
    for bright in (129, 128):  # of 255; the other channels keep it deep
        colours = np.dstack([FIRST * bright * 257, FIRST * 7, FIRST * 7]).astype(np.uint16)
        tifffile.imwrite(tmp_path / "m.tif", colours, photometric="rgb")
        if bright > 128:
            assert np.array_equal(masks_of(tmp_path / "m.tif", Reading.BINARY)[0], FIRST)
        else:
            with pytest.raises(InvalidItemError, match="has no pixel above 128"):
                understand(tmp_path / "m.tif", Reading.BINARY)


@pytest.mark.parametrize("kind", [np.float32, np.uint32, np.int16])
def test_colours_of_other_kinds_are_refused_unless_they_are_grey(tmp_path, kind):
    tifffile.imwrite(tmp_path / "m.tif", DEEP.astype(kind), photometric="rgb")
    with pytest.raises(InvalidItemError, match=f"has colours of {np.dtype(kind)}"):
        understand(tmp_path / "m.tif")
    tifffile.imwrite(tmp_path / "m.tif", np.dstack([LABELS] * 3).astype(kind), photometric="rgb")
    assert_both(tmp_path / "m.tif")


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("alpha", [False, True])
def test_an_image_of_16_bits_is_read_whichever_way_its_colours_lie(tmp_path, split, alpha):
    colours = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    layers = colours if not alpha else np.dstack([colours, np.full((20, 30), 255, np.uint8)])
    values = layers.astype(np.uint16) * 257
    options = {"photometric": "rgb", "planarconfig": "separate" if split else "contig"}
    stored = np.moveaxis(values, -1, 0) if split else values
    tifffile.imwrite(
        tmp_path / "a.tif", stored, extrasamples=["assocalpha"] if alpha else None, **options
    )
    assert np.array_equal(read_image(tmp_path / "a.tif"), colours)
    if split:
        with pytest.raises(InvalidItemError, match="of 16 bits one after the other. Choose an exp"):
            read_image(tmp_path / "a.tif", formats=("TIFF",))  # Pillow alone would give noise
    else:
        assert np.array_equal(read_image(tmp_path / "a.tif", formats=("TIFF",)), colours)


def test_booleans_of_numpy_are_objects_though_tifffile_calls_white_0(tmp_path):
    path = tmp_path / "m.tif"
    for options in (
        {},
        {"compression": "zlib"},
        {"software": "mine"},
        {"photometric": "minisblack"},
    ):
        tifffile.imwrite(path, FIRST, **options)
        assert np.array_equal(read_mask(path) > 128, FIRST)
        assert np.array_equal(read_image(path)[:, :, 0] > 128, FIRST)
    tifffile.imwrite(path, FIRST)
    assert understand(path).notes == ("white is stored as 0, and its values are taken as stored",)
    assert not understand(path).is_plain


def test_where_white_is_0_a_mask_is_what_viewers_show(tmp_path):
    path = tmp_path / "m.tif"
    for stored in (
        ~FIRST, (~FIRST).astype(np.uint8) * 255, (~FIRST).astype(np.uint16) * 65535,
        (~FIRST).astype(np.uint32) * (2**32 - 1),
    ):  # fmt: skip
        for order in "<>":
            tifffile.imwrite(path, stored, byteorder=order, **WHITE_LOW, **UNNAMED)
            (mask,) = masks_of(path)
            assert np.array_equal(mask, FIRST)
            assert "as viewers show it" in understand(path).notes[0]
    Image.fromarray(FIRST).save(path, compression="group4")
    assert np.array_equal(read_mask(path) > 128, FIRST)
    tifffile.imwrite(
        path, 65535 - np.arange(6000, dtype=np.uint16).reshape(60, 100) * 10, **WHITE_LOW
    )
    assert read_image(path)[0, 0, 0] == 0  # an image likewise, however deep
    assert read_image(path)[-1, -1, 0] == np.rint(59990 / 257)


def test_where_white_is_0_numbers_and_imagejs_masks_are_what_is_stored(tmp_path):
    path = tmp_path / "m.tif"
    for kind in (np.uint8, np.uint16, np.uint32, np.uint64, np.int16, np.float32):
        tifffile.imwrite(path, LABELS.astype(kind), **WHITE_LOW)
        assert_both(path)
    tifffile.imwrite(path, 255 - LABELS, **WHITE_LOW)  # from the other end
    assert_both(path)
    tifffile.imwrite(path, LABELS, **WHITE_LOW)
    content = path.read_bytes().replace(struct.pack("<HH", 262, 3), struct.pack("<HH", 65000, 3))
    path.write_bytes(content)  # a file that says nothing of white
    assert_both(path)
    tifffile.imwrite(path, FIRST.astype(np.uint8), **WHITE_LOW)
    assert np.array_equal(read_mask(path) > 128, FIRST)
    imagej = {"description": "ImageJ=1.54f\nmin=0.0\nmax=255.0\n", **UNNAMED}
    tifffile.imwrite(path, FIRST.astype(np.uint8) * 255, **WHITE_LOW, **imagej)
    assert np.array_equal(read_mask(path) > 128, FIRST)
    both = (FIRST * 255 + SECOND).astype(np.uint8)
    tifffile.imwrite(path, both, **WHITE_LOW)
    with pytest.raises(InvalidItemError, match=r"from the other end. Expected black as 0"):
        understand(path)


def test_negative_numbers_are_none_of_an_object_however_few_bits_they_have(tmp_path):
    for kind in (np.int8, np.int16, np.int32, np.int64):
        tifffile.imwrite(tmp_path / "m.tif", LABELS.astype(kind))
        assert_both(tmp_path / "m.tif")
        tifffile.imwrite(tmp_path / "m.tif", LABELS.astype(kind) - np.array(1, kind))
        with pytest.raises(InvalidItemError, match=r"negative values \(down to -1\). Expected 0"):
            understand(tmp_path / "m.tif")
    values = np.arange(-100, 100).astype(np.int8).reshape(10, 20)  # an image may have them
    tifffile.imwrite(tmp_path / "a.tif", values)
    assert np.all(np.diff(read_image(tmp_path / "a.tif")[:, :, 0].ravel().astype(int)) > 0)


def test_numbers_of_32_bits_have_no_sign_unless_the_file_says_so(tmp_path):
    for numbers in ([0, 2**30, 2**31], [0, 1, 2**32 - 2]):
        tifffile.imwrite(tmp_path / "m.tif", np.array(numbers, np.uint32)[LABELS])
        assert_both(tmp_path / "m.tif")
    void = LABELS.astype(np.uint32)
    void[:3] = 2**32 - 1
    tifffile.imwrite(tmp_path / "m.tif", void)
    assert_both(tmp_path / "m.tif")
    assert understand(tmp_path / "m.tif").has_void
    tifffile.imwrite(tmp_path / "m.tif", np.where(FIRST, 1e20, 0).astype(np.float32))
    with pytest.raises(InvalidItemError, match=r"values up to 1e\+20. Expected whole numbers"):
        understand(tmp_path / "m.tif")
    tifffile.imwrite(tmp_path / "m.tif", np.array([0, 1 << 24, 5 + (1 << 24)], np.uint32)[LABELS])
    names = [label for label, _ in understand(tmp_path / "m.tif").objects]
    assert names == ["16777216", "16777221"]  # which are no colours


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_of_two_bands_neither_is_guessed_but_an_alpha_channel_is_one(tmp_path, kind):
    top, path = np.iinfo(kind).max, tmp_path / "m.tif"
    bands = np.dstack([FIRST * top, SECOND * top]).astype(kind)
    for planes in ("contig", "separate"):
        stored = bands if planes == "contig" else np.moveaxis(bands, -1, 0)
        options = {"photometric": "minisblack", "planarconfig": planes}
        for extra in (None, ["unspecified"]):
            tifffile.imwrite(path, stored, extrasamples=extra, **options)
            with pytest.raises(InvalidItemError, match="has 2 bands. Expected one") as caught:
                understand(path)
            assert caught.value.kind == "label_map"
            for formats in (None, ("TIFF",)):
                with pytest.raises(InvalidItemError, match="has 2 bands. Choose"):
                    read_image(path, formats=formats)
            chosen = load_image(path, bands=(2,)).pixels[:, :, 0]
            assert np.array_equal(chosen > 128, SECOND)
        layers = np.dstack([LABELS * 100, (LABELS > 0) * int(top)]).astype(kind)
        stored = layers if planes == "contig" else np.moveaxis(layers, -1, 0)
        tifffile.imwrite(path, stored, extrasamples=["unassalpha"], **options)
        assert_both(path)
        assert read_image(path).shape == (48, 64, 3)


def test_a_mask_of_several_frames_is_refused_in_every_format(tmp_path):
    frames = [Image.fromarray(mask.astype(np.uint8) * 255) for mask in (FIRST, SECOND)]
    for name, form in (("m.gif", "GIF"), ("m.png", "PNG"), ("m.webp", "WEBP"), ("m.jpg", "MPO")):
        options = {"save_all": True, "append_images": frames[1:], "format": form}
        frames[0].convert("L" if form != "WEBP" else "RGB").save(tmp_path / name, **options)
        with pytest.raises(InvalidItemError, match=r"has 2 frames.*each frame as a file") as caught:
            understand(tmp_path / name)
        assert caught.value.kind == "label_map"
        frames[0].convert("RGB").save(tmp_path / name, format=form.replace("MPO", "JPEG"))
        assert np.array_equal(read_mask(tmp_path / name) > 128, FIRST)


def test_an_animation_of_one_frame_is_as_lossy_as_that(tmp_path):
    path = tmp_path / "m.webp"
    Image.fromarray(np.repeat(FIRST[:, :, None] * np.uint8(255), 3, 2)).save(path, quality=60)
    still = path.read_bytes()[12:]
    size = (63).to_bytes(3, "little") + (47).to_bytes(3, "little")
    frame = bytes(6) + size + bytes(4) + still
    parts = (b"VP8X", b"\x02" + bytes(3) + size), (b"ANIM", bytes(6)), (b"ANMF", frame)
    body = b"".join(name + len(each).to_bytes(4, "little") + each for name, each in parts)
    path.write_bytes(b"RIFF" + (len(body) + 4).to_bytes(4, "little") + b"WEBP" + body)
    assert decode_mask(path).is_lossy
    assert understand(path).kind is MaskKind.SOFT


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.uint64])
@pytest.mark.parametrize("says", [{"subfiletype": 1}, {}])
def test_a_preview_before_the_page_that_it_is_of_is_passed_over(tmp_path, kind, says):
    with tifffile.TiffWriter(tmp_path / "m.tif") as file:
        file.write(LABELS[::4, ::4].astype(kind), photometric="minisblack", **says)
        file.write(LABELS.astype(kind), photometric="minisblack")
    assert_both(tmp_path / "m.tif")
    assert "its page 2 is the mask" in understand(tmp_path / "m.tif").notes[0]
    colours = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)
    deep = colours.astype(np.uint16) * 257 if kind is np.uint16 else colours
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(deep[::4, ::4].copy(), photometric="rgb", **says)
        file.write(deep, photometric="rgb")
    assert np.array_equal(read_image(tmp_path / "a.tif"), colours)
    assert read_image(tmp_path / "a.tif", upright=False).shape == (48, 64, 3)
    assert load_image(tmp_path / "a.tif", page=1).pixels.shape == (12, 16, 3)
    with open_image(tmp_path / "a.tif") as opened:
        assert opened.size == (64, 48)


def test_a_later_page_of_deep_colours_is_not_read_as_the_first(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (2, 20, 30, 3)).astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "a.tif", colours, photometric="rgb")
    for page in (1, 2):
        found = load_image(tmp_path / "a.tif", page=page).pixels
        assert np.array_equal(found, colours[page - 1] // 257)


def test_a_page_that_says_where_another_is_transparent_is_no_second_mask(tmp_path):
    with tifffile.TiffWriter(tmp_path / "m.tif") as file:
        file.write(LABELS, photometric="minisblack")
        file.write(np.ones((48, 64), bool), subfiletype=4)
    assert_both(tmp_path / "m.tif")
    with tifffile.TiffWriter(tmp_path / "m.tif") as file:  # of a kind that Pillow does not know
        file.write(LABELS, photometric="minisblack")
        file.write(LABELS.astype(np.float64), photometric="minisblack")
    with pytest.raises(InvalidItemError, match="is a stack of 2 pages"):
        understand(tmp_path / "m.tif")


@pytest.mark.parametrize("content", [b"II*\0", b"II*\0" + bytes(4), b"II*\0\x08" + bytes(9)])
def test_a_tiff_without_a_page_is_a_damaged_mask(tmp_path, content):
    (tmp_path / "m.tif").write_bytes(content)
    with pytest.raises(InvalidItemError, match=r"mask .*m\.tif .*an intact TIFF") as caught:
        understand(tmp_path / "m.tif")
    assert caught.value.kind == "undecodable_mask"
    with pytest.raises(InvalidItemError, match=r"image .*m\.tif .*an intact TIFF") as caught:
        read_image(tmp_path / "m.tif")
    assert caught.value.kind == "undecodable_image"


def test_a_tiff_that_is_cut_off_is_a_damaged_mask_of_any_kind(tmp_path):
    for kind in (np.uint8, np.uint64):
        tifffile.imwrite(tmp_path / "m.tif", LABELS.astype(kind))
        content = (tmp_path / "m.tif").read_bytes()
        (tmp_path / "m.tif").write_bytes(content[: len(content) // 2])
        with pytest.raises(InvalidItemError, match=r"mask .* cannot be decoded") as caught:
            understand(tmp_path / "m.tif")
        assert caught.value.kind == "undecodable_mask"


@pytest.mark.parametrize("bits", [2, 4])
def test_numbers_of_2_and_4_bits_are_numbers_and_their_highest_is_no_void(tmp_path, bits):
    path, top = tmp_path / "m.png", 2**bits - 1
    write_png(path, FIRST * 1 + SECOND * top, bits, 0)
    assert [label for label, _ in understand(path).objects] == ["1", str(top)]
    assert_both(path)
    write_png(path, FIRST * top, bits, 0)
    assert understand(path).kind is MaskKind.ZERO_255
    soft = np.rint(cv2.GaussianBlur(FIRST.astype(np.float32), (0, 0), 2) * 15)
    write_png(path, soft, 4, 0)
    found = understand(path)
    assert (found.kind, found.is_plain) == (MaskKind.SOFT, True)


def test_a_grey_that_is_transparent_is_background(tmp_path):
    path = tmp_path / "m.png"
    for factor, bits in ((1, 8), (300, 16), (1, 4)):
        values = (FIRST * 1 + SECOND * 2) * factor
        write_png(path, values, bits, 0, (b"tRNS", bytes(2)))
        assert_both(path)
        marked = np.where((values == 0) & (np.arange(64) > 40), 9 * factor, values)
        write_png(path, marked, bits, 0, (b"tRNS", struct.pack(">H", 9 * factor)))
        assert_both(path)
        assert understand(path).notes == ("transparent pixels are background",)
    write_png(path, FIRST * 1, 1, 0, (b"tRNS", struct.pack(">H", 1)))
    with pytest.raises(InvalidItemError, match="is black where it is not transparent"):
        understand(path)
    write_png(path, DEEP, 16, 2, (b"tRNS", bytes(6)))
    assert_both(path)
    write_png(path, np.dstack([LABELS * 300.0, (LABELS > 0) * 65535]), 16, 4)
    assert_both(path)


def test_a_palette_with_alpha_is_read_by_its_colours_unless_they_are_alike(tmp_path):
    path, colours = tmp_path / "m.png", bytes([0, 0, 0, 255, 0, 0, 0, 255, 0])
    write_png(path, LABELS, 8, 3, (b"PLTE", colours), (b"tRNS", bytes([0, 128])))
    assert_both(path)
    for key in ([0], [255, 255, 255]):  # nothing to be seen: the numbers are what is meant
        write_png(path, LABELS, 8, 3, (b"PLTE", bytes(9)), (b"tRNS", bytes(key)))
        assert_both(path)
    write_png(path, LABELS * 2, 8, 3, (b"PLTE", colours[:6]), (b"tRNS", b"\0"))
    assert_both(path)
    ramp = bytes(range(256))
    write_png(path, FIRST * 255, 8, 3, (b"PLTE", b"\xff" * 768), (b"tRNS", ramp))
    assert understand(path).notes == ("the mask is the alpha channel",)
    assert np.array_equal(read_mask(path) > 128, FIRST)


def test_it_is_said_where_a_palette_of_greys_turns_the_numbers_round(tmp_path):
    for colours, notes in (
        (b"\xff\xff\xff\0\0\0", ("black of the palette is the background",)),
        (b"\0\0\0\xff\xff\xff", ()),
    ):
        write_png(tmp_path / "m.png", FIRST, 1, 3, (b"PLTE", colours))
        found = understand(tmp_path / "m.png")
        assert found.notes == notes
        assert np.array_equal(found.mask() > 128, ~FIRST if notes else FIRST)


def test_what_is_transparent_everywhere_marks_nothing_but_a_bitmaps_fourth_byte_does(tmp_path):
    grey = np.repeat(FIRST[:, :, None] * np.uint8(255), 3, axis=2)
    Image.fromarray(np.dstack([grey, grey[:, :, 0] * 0])).save(tmp_path / "m.png")
    with pytest.raises(InvalidItemError, match="is transparent everywhere") as caught:
        understand(tmp_path / "m.png")
    assert caught.value.kind == "empty_mask"
    header = struct.pack("<IiiHHIIiiII", 108, 64, -48, 1, 32, 3, 64 * 48 * 4, 0, 0, 0, 0)
    header += struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"BGRs" + bytes(48)
    content = np.dstack([grey, grey[:, :, 0] * 0]).tobytes()
    start = b"BM" + struct.pack("<IHHI", 122 + len(content), 0, 0, 122)
    (tmp_path / "m.bmp").write_bytes(start + header + content)
    assert np.array_equal(read_mask(tmp_path / "m.bmp") > 128, FIRST)


def test_vocs_border_is_void_as_a_colour_too_beside_its_other_colours_alone(tmp_path):
    colours = np.array([[0, 0, 0], [128, 0, 0], [0, 128, 0], [224, 224, 192]], np.uint8)
    border = (cv2.dilate(LABELS, np.ones((5, 5))) > 0) & (LABELS == 0)
    drawn = np.where(border, 3, LABELS)
    for name in ("m.png", "m.gif"):
        Image.fromarray(colours[drawn]).save(tmp_path / name)
        assert_both(tmp_path / name)
        said = "Pascal VOC's colour of borders, (224, 224, 192), is no object"
        assert said in understand(tmp_path / name).notes
    Image.fromarray(colours[drawn * (drawn != 2)]).save(tmp_path / "m.png")
    assert np.array_equal(masks_of(tmp_path / "m.png")[0], FIRST)  # and not a trimap
    colours[2] = 0, 255, 0  # another palette, in which this is a colour like any
    Image.fromarray(colours[drawn]).save(tmp_path / "m.png")
    found = understand(tmp_path / "m.png")
    assert (len(found.objects), found.has_void) == (3, False)


def bordered(outer=3, inner=3):
    """A large object, and its border of so many pixels outside and inside it."""
    rows, columns = np.mgrid[:96, :128]
    distance = np.sqrt((columns - 60) ** 2 + (rows - 48) ** 2)
    return distance < 30 - inner, (distance >= 30 - inner) & (distance < 30 + outer)


TRIMAPS = [(0, 128, 255), (0, 127, 255), (0, 100, 255), (0, 85, 255), (0, 129, 255)]


@pytest.mark.parametrize("values", TRIMAPS)
def test_a_thin_border_round_an_object_is_asked_about_whatever_its_number(tmp_path, values):
    inside, border = bordered()
    for kind, factor in ((np.uint8, 1), (np.uint16, 257), (np.int32, 1)):
        mask = np.where(inside, values[2], np.where(border, values[1], values[0])) * factor
        tifffile.imwrite(tmp_path / "m.tif", mask.astype(kind))
        with pytest.raises(InvalidItemError, match="a trimap, or a numbering.*--masks-are trimap"):
            understand(tmp_path / "m.tif")
        assert np.array_equal(masks_of(tmp_path / "m.tif", Reading.TRIMAP)[0], inside)


def test_the_border_of_a_trimap_may_have_the_highest_number_be_a_fraction_or_a_colour(tmp_path):
    inside, border = bordered()
    outside = ~inside & ~border
    for mask in (inside + border * 2, inside + border * 0.5, inside + outside * 2 + border * 3):
        kind = np.float32 if mask.dtype == np.float64 else np.uint8
        tifffile.imwrite(tmp_path / "m.tif", mask.astype(kind))
        if mask.max() == 2:  # two objects, until it is said
            assert "--masks-are trimap" in understand(tmp_path / "m.tif").notes[-1]
        else:
            with pytest.raises(InvalidItemError, match="a trimap, or a numbering"):
                understand(tmp_path / "m.tif")
        assert np.array_equal(masks_of(tmp_path / "m.tif", Reading.TRIMAP)[0], inside)
    colours = np.array([[0, 0, 0], [255, 0, 0], [0, 0, 255]], np.uint8)
    Image.fromarray(colours[inside + border * 2]).save(tmp_path / "m.png")
    assert len(understand(tmp_path / "m.png").objects) == 2
    with pytest.raises(InvalidItemError, match="holds colours, and a trimap 1, 2, 3"):
        understand(tmp_path / "m.png", Reading.TRIMAP)


def nested(outer, inner, x=60):
    rows, columns = np.mgrid[:96, :128]
    first = (columns - 60) ** 2 + (rows - 48) ** 2 < outer**2
    second = (columns - x) ** 2 + (rows - 48) ** 2 < inner**2
    return (first * 1 + second * 1).astype(np.uint8)


def test_objects_within_beside_and_across_one_another_are_no_trimap(tmp_path):
    bands, split = np.zeros((96, 128), np.uint8), np.zeros((96, 128), np.uint8)
    bands[40:64], bands[64:] = 1, 2
    split[:, :60], split[:, 63:] = 1, 2  # parted by a line of background
    side = np.zeros((96, 128), np.uint8)
    side[20:60, 20:60], side[20:60, 60:66] = 1, 2
    for labels in (
        nested(40, 20), nested(40, 30, x=66), nested(30, 12), bands, split, side,
        np.where(nested(40, 37, x=60) == 1, 255, nested(40, 37)).astype(np.uint8),  # void round it
    ):  # fmt: skip
        Image.fromarray(labels).save(tmp_path / "m.png")
        found = understand(tmp_path / "m.png")
        assert found.kind is MaskKind.INDEX
        assert len(found.objects) == (1 if found.has_void else 2)
    Image.fromarray(side).save(tmp_path / "m.png")
    with pytest.raises(DataError, match="or a thin border between two other values"):
        understand(tmp_path / "m.png", Reading.TRIMAP)


def test_what_was_noted_before_stays_noted_of_a_trimap(tmp_path):
    inside, border = bordered()
    exif = Image.Exif()
    exif[0x0112] = 3
    mask = (inside * 255 + border * 128).astype(np.uint8)
    Image.fromarray(mask).save(tmp_path / "m.png", exif=exif)
    said = understand(tmp_path / "m.png", Reading.TRIMAP).notes
    assert said[0] == "turned upright by its EXIF tag"
    assert said[1].startswith("255 of a trimap is the object")


@pytest.mark.parametrize("quality", [50, 75, 95])
def test_numbers_in_a_jpeg_are_refused_because_it_keeps_them_only_about(tmp_path, quality):
    grid = np.kron(np.arange(20).reshape(4, 5) + 1, np.ones((16, 16))).astype(np.uint8)
    edged = np.pad(grid, 16)
    inside, border = bordered(5, 5)
    for mask in (edged, edged * 12, LABELS * 100, inside * 255 + border * np.uint8(128)):
        picture = Image.fromarray(mask.astype(np.uint8))
        picture.save(tmp_path / "m.jpg", quality=quality)
        with pytest.raises(InvalidItemError, match="keep a value only about.*--masks-are binary"):
            understand(tmp_path / "m.jpg")
        for reading in (Reading.INDEX, Reading.TRIMAP):
            with pytest.raises(InvalidItemError, match="no reader can tell them apart") as caught:
                understand(tmp_path / "m.jpg", reading)
            assert "--masks-are index" not in str(caught.value)
    for soft in (0.1, 1, 2, 4):  # an edge, however wide, is none
        mask = cv2.GaussianBlur(FIRST.astype(np.uint8) * 255, (0, 0), soft)
        Image.fromarray(mask).save(tmp_path / "m.jpg", quality=quality)
        assert understand(tmp_path / "m.jpg").kind is MaskKind.SOFT


@pytest.mark.parametrize("name", ["m.jp2", "m.avif"])
def test_other_forms_that_may_blur_number_nothing_and_hold_one_object(tmp_path, name):
    for labels in (LABELS, LABELS * 100, FIRST):
        Image.fromarray(np.repeat(np.uint8(labels)[:, :, None], 3, 2)).save(tmp_path / name)
        assert decode_mask(tmp_path / name).is_lossy
        with pytest.raises(InvalidItemError, match="keep a value only about"):
            understand(tmp_path / name)
    Image.fromarray(np.repeat(np.uint8(FIRST)[:, :, None] * 255, 3, 2)).save(tmp_path / name)
    assert np.array_equal(read_mask(tmp_path / name) > 128, FIRST)


def test_a_mask_in_cielab_and_one_of_more_bands_say_what_they_are(tmp_path):
    Image.fromarray(np.repeat(FIRST[:, :, None] * np.uint8(255), 3, 2)).convert("LAB").save(
        tmp_path / "m.tif"
    )
    with pytest.raises(InvalidItemError, match="has colours in CIELab. Expected greys"):
        understand(tmp_path / "m.tif")
    five = np.stack([FIRST] * 5).astype(np.uint8)
    tifffile.imwrite(tmp_path / "m.tif", five, planarconfig="separate", photometric="minisblack")
    with pytest.raises(InvalidItemError, match=r"mask .* has 5 bands. Expected one") as caught:
        understand(tmp_path / "m.tif")
    assert caught.value.kind == "label_map"


def test_a_volume_in_one_page_is_not_read_as_its_first_slice(tmp_path):
    volume = np.stack([LABELS] * 16)
    options = {"volumetric": True, "tile": (16, 16, 16), "photometric": "minisblack"}
    tifffile.imwrite(tmp_path / "m.tif", volume, **options)
    for read in (understand, read_image, lambda path: read_image(path, formats=("TIFF",))):
        with pytest.raises(InvalidItemError, match="is a volume of 16 slices. Choose an export"):
            read(tmp_path / "m.tif")


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_band_beyond_colours_is_left_out_and_that_is_said(tmp_path, kind):
    bands = np.dstack([LABELS * 3, LABELS * 7, LABELS, LABELS * 0 + 9]).astype(kind)
    tifffile.imwrite(tmp_path / "m.tif", bands, photometric="rgb", extrasamples=["unspecified"])
    assert_both(tmp_path / "m.tif")
    said = "its bands beyond red, green and blue are left out"
    assert said in understand(tmp_path / "m.tif").notes


UNDONE = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}
"""Orientation that undoes each."""


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_tiff_of_any_form_is_turned_as_it_says(tmp_path, orientation):
    path, tag = tmp_path / "m.tif", [(274, "H", 1, orientation, True)]

    def assert_turned(values, **options):
        stored = turned(values, UNDONE[orientation])
        stored = np.moveaxis(stored, -1, 0) if "planarconfig" in options else stored
        tifffile.imwrite(path, stored, extratags=tag, **options)
        assert_both(path)
        as_stored = turned(load_image(path).pixels, UNDONE[orientation])
        assert np.array_equal(read_image(path, upright=False), as_stored)
        assert read_header(path).size == (48, 64)
        assert read_header(path).orientation == load_image(path).orientation == orientation

    for kind in (np.uint8, np.int8, np.uint16, np.int32, np.float32, np.uint64):
        assert_turned(LABELS.astype(kind))
    assert_turned(LABELS.astype(np.uint16), **WHITE_LOW)
    assert_turned(LABELS, compression="zlib")
    assert_turned(DEEP, photometric="rgb")
    assert_turned(DEEP, photometric="rgb", planarconfig="separate")


def test_the_header_of_an_image_that_pillow_does_not_know_is_read_too(tmp_path):
    for kind, depth in ((np.float64, 64), (np.float16, 16), (np.uint64, 64)):
        tifffile.imwrite(tmp_path / "a.tif", np.zeros((48, 64), kind))
        assert stored_form(tmp_path / "a.tif") == {"depth": depth, "orientation": 1}
    tifffile.imwrite(tmp_path / "a.tif", SPLIT, photometric="rgb", planarconfig="separate")
    assert read_header(tmp_path / "a.tif").depth == 16
    (tmp_path / "a.tif").write_bytes(b"II*\0" + bytes(9))
    with pytest.raises(InvalidItemError, match="cannot be decoded"):
        read_header(tmp_path / "a.tif")
