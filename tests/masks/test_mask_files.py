"""What a mask file holds is recognised, and what could mean two things is refused."""

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from pasam.errors import DataError, InvalidItemError
from pasam.masks.images import turned
from pasam.masks.mask_files import (
    MaskKind,
    Reading,
    check_fitness,
    grey_fraction,
    read_mask,
    understand,
)


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
        (disk(), MaskKind.ZERO_255),
        (disk().astype(np.uint8) * 255, MaskKind.ZERO_255),
        (disk().astype(np.uint16) * 65535, MaskKind.ZERO_255),
        (cv2.GaussianBlur(disk().astype(np.uint8) * 255, (5, 5), 0), MaskKind.SOFT),
    ],
    ids=["0/1", "1 bit", "0/255", "16 bit", "soft"],
)
def test_a_mask_of_one_object_is_recognised(tmp_path, mask, kind):
    found = understand(saved(tmp_path, mask))
    assert (found.kind, found.values.shape, found.has_void) == (kind, (64, 64), False)
    ((label, pixels),) = found.objects
    assert label == ""
    assert pixels == pytest.approx(disk().sum(), rel=0.05)


def test_numbers_are_objects_and_255_beside_them_is_void(tmp_path):
    found = understand(saved(tmp_path, regions(1, 2, 7, 255)))
    assert (found.kind, found.has_void) == (MaskKind.INDEX, True)
    assert found.objects == (("1", 320), ("2", 320), ("7", 320))
    assert np.array_equal(found.mask("7"), (regions(1, 2, 7) == 7) * 255)


def test_an_index_mask_of_bright_numbers_is_no_soft_edge(tmp_path):
    found = understand(saved(tmp_path, regions(100, 150, 200)))
    assert [label for label, _ in found.objects] == ["100", "150", "200"]


def test_thin_objects_beside_void_are_numbers_too(tmp_path):
    labels = np.zeros((16, 16), np.uint8)
    labels[3], labels[6], labels[9] = 1, 2, 255
    assert [label for label, _ in understand(saved(tmp_path, labels)).objects] == ["1", "2"]


def test_a_palette_is_read_as_its_indices(tmp_path):
    picture = Image.frombytes("P", (64, 64), regions(1, 2, 255).tobytes())
    picture.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0] + [224, 224, 192] * 253)
    picture.save(tmp_path / "voc.png")
    found = understand(tmp_path / "voc.png")
    assert ([label for label, _ in found.objects], found.has_void) == (["1", "2"], True)


def test_colours_are_objects_and_blue_is_no_void(tmp_path):
    labels = regions(1, 2)
    colours = np.array([[0, 0, 0], [0, 0, 255], [255, 0, 0]], np.uint8)[labels]
    found = understand(saved(tmp_path, colours))
    assert [label for label, _ in found.objects] == ["c0000ff", "cff0000"]
    assert np.array_equal(found.mask("cff0000"), (labels == 2) * 255)
    faint = np.array([[0, 0, 0], [0, 0, 1], [1, 1, 0]], np.uint8)[labels]  # numbers, as colours
    found = understand(saved(tmp_path, faint))
    assert [label for label, _ in found.objects] == ["c000001", "c010100"]


def test_no_more_objects_than_a_file_can_number_are_taken(tmp_path, monkeypatch):
    monkeypatch.setattr("pasam.masks.mask_files.MOST_OBJECTS", 3)
    assert len(understand(saved(tmp_path, regions(5, 6, 7))).objects) == 3
    with pytest.raises(InvalidItemError, match="holds 4 values, 3 at most are objects"):
        understand(saved(tmp_path, regions(5, 6, 7, 8)))


def test_a_mask_saved_with_loss_is_a_soft_one(tmp_path):
    path = saved(tmp_path, disk().astype(np.uint8) * 255, "m.jpg", quality=80)
    assert understand(path).kind is MaskKind.SOFT


@pytest.mark.parametrize("grey", [127, 128])
def test_a_trimap_is_asked_about_and_can_be_said(tmp_path, grey):
    path = saved(tmp_path, regions(grey, 255))
    with pytest.raises(DataError, match=rf"holds \[0, {grey}, 255\]: a trimap, or a numbering\?"):
        understand(path)
    assert understand(path, Reading.BINARY).objects == (("", 320),)
    assert understand(path, Reading.INDEX).objects == ((f"{grey}", 320),)
    alone = saved(tmp_path, regions(0, 255), "alone.png")  # with nothing to be void beside
    assert understand(alone, Reading.INDEX).objects == (("255", 320),)
    assert understand(path, Reading.TRIMAP).objects == (("", 320),)


@pytest.mark.parametrize(
    ("array", "name", "message"),
    [
        (np.zeros((8, 8), np.uint8), "m.png", "is all black"),
        (regions(1, 2, 3), "m.jpg", "numbers its objects.* Export a PNG"),
        (np.full((8, 8), 1.5, np.float32), "m.tif", "holds fractions"),
        (disk().astype(np.float32) - 0.25, "m.tif", "holds negative values"),
        (np.where(disk(), np.nan, 0.5).astype(np.float32), "m.tif", r"no numbers \(NaN\)"),
        (
            np.random.default_rng(0).integers(60, 200, (64, 64), np.uint8),
            "m.png",
            "hardly two alike|neither black nor white|has no pixel of 0",
        ),
        (
            np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8),
            "m.png",
            "hardly two alike side by side: a photograph",
        ),
    ],
)
def test_what_is_no_mask_is_refused(tmp_path, array, name, message):
    with pytest.raises(DataError, match=message):
        understand(saved(tmp_path, array, name))


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "m.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"m.png cannot be decoded"):
        understand(tmp_path / "m.png")


@settings(max_examples=30)
@given(st.sets(st.integers(1, 254), min_size=2, max_size=5))
def test_the_objects_of_an_index_mask_share_out_its_pixels(tmp_path_factory, values):
    labels = regions(*sorted(values))
    path = saved(tmp_path_factory.mktemp("index"), labels)
    found = understand(path, Reading.INDEX)
    masks = [found.mask(label) > 0 for label, _ in found.objects]
    assert np.array_equal(np.sum(masks, axis=0), (labels > 0).astype(int))


def voc_palette(*colours):
    return [channel for colour in colours for channel in colour] + [0] * 3 * (256 - len(colours))


def test_a_palette_says_which_index_is_black(tmp_path):
    inside = disk().astype(np.uint8)
    picture = Image.frombytes("P", (64, 64), (1 - inside).tobytes())
    picture.putpalette(voc_palette((255, 255, 255), (0, 0, 0)))
    picture.save(tmp_path / "inverted.png")
    assert np.array_equal(read_mask(tmp_path / "inverted.png"), inside * 255)
    coloured = Image.frombytes("P", (64, 64), (1 - inside).tobytes())
    coloured.putpalette(voc_palette((0, 255, 0), (0, 0, 0)))
    coloured.save(tmp_path / "green.png")
    assert np.array_equal(read_mask(tmp_path / "green.png"), inside * 255)


def test_a_palette_of_two_colours_of_which_none_is_black_is_asked_about(tmp_path):
    inside = disk().astype(np.uint8)
    for shift, number in ((0, None), (1, "2")):
        picture = Image.frombytes("P", (64, 64), (inside + shift).tobytes())
        picture.putpalette(voc_palette(*[(0, 0, 255), (255, 0, 0), (0, 255, 0)]))
        picture.save(tmp_path / "m.png")
        said = "of two colours, and neither is black" if number is None else "has no pixel of 0"
        with pytest.raises(InvalidItemError, match=said) as caught:
            understand(tmp_path / "m.png")
        assert caught.value.kind == "label_map"
    grey = Image.frombytes("P", (64, 64), regions(1, 2).tobytes())
    grey.putpalette(voc_palette((0, 0, 0), (100, 100, 100), (200, 200, 200)))
    grey.save(tmp_path / "m.png")  # whose shades are the values
    assert [label for label, _ in understand(tmp_path / "m.png").objects] == ["100", "200"]
    three = Image.frombytes("P", (64, 64), regions(1, 2).tobytes())
    three.putpalette(voc_palette(*[(0, 0, 255), (255, 0, 0), (0, 255, 0)]))
    three.save(tmp_path / "m.png")
    assert [label for label, _ in understand(tmp_path / "m.png").objects] == ["1", "2"]


def test_a_palette_that_is_not_meant_to_be_seen_leaves_the_indices(tmp_path):
    picture = Image.frombytes("P", (64, 64), regions(1, 2).tobytes())
    picture.putpalette([0] * 768)
    picture.save(tmp_path / "m.png")
    assert [label for label, _ in understand(tmp_path / "m.png").objects] == ["1", "2"]


@pytest.mark.parametrize("colour", [0, 255, np.where(disk(), 0, 255)[:, :, None]])
def test_a_mask_in_the_alpha_channel_is_found_and_said(tmp_path, colour):
    colours = np.broadcast_to(np.uint8(colour), (64, 64, 3))
    layers = np.dstack([colours, disk().astype(np.uint8) * 255])
    found = understand(saved(tmp_path, layers))
    assert np.array_equal(found.mask(), disk() * 255)
    assert found.notes == ("the mask is the alpha channel",)


def test_a_soft_edge_in_the_alpha_channel_stays_soft_whatever_the_one_colour(tmp_path):
    soft = cv2.GaussianBlur(disk().astype(np.uint8) * 255, (0, 0), 2)
    red = np.broadcast_to(np.uint8([255, 0, 0]), (64, 64, 3))
    found = understand(saved(tmp_path, np.dstack([red, soft])))
    assert found.notes == ("the mask is the alpha channel",)
    assert np.array_equal(found.mask(), soft)


def test_what_is_transparent_round_colours_is_background(tmp_path):
    labels = regions(1, 2)
    colours = np.array([[255, 255, 255], [0, 0, 255], [255, 0, 0]], np.uint8)[labels]
    path = saved(tmp_path, np.dstack([colours, np.where(labels > 0, 255, 0).astype(np.uint8)]))
    assert [label for label, _ in understand(path).objects] == ["c0000ff", "cff0000"]


def blurred_pair():
    """Two disks in numbers that resizing has blended."""
    y, x = np.mgrid[:64, :96]
    labels = ((x - 30) ** 2 + (y - 30) ** 2 < 400) * 80 + (
        (x - 70) ** 2 + (y - 35) ** 2 < 225
    ) * 160
    small = cv2.resize(labels.astype(np.uint8), (48, 32), interpolation=cv2.INTER_NEAREST)
    return labels, cv2.resize(small, (96, 64), interpolation=cv2.INTER_LINEAR)


def test_blended_numbers_go_to_the_object_they_lie_beside(tmp_path):
    labels, blended = blurred_pair()
    found = understand(saved(tmp_path, blended))
    assert [label for label, _ in found.objects] == ["80", "160"]
    assert np.mean(found.values != labels) < 0.03
    assert "blended edges" in found.notes[0]


def test_one_colour_with_a_blurred_edge_is_one_object(tmp_path):
    red = np.where(disk()[..., None], np.uint8([255, 0, 0]), np.uint8(0))
    found = understand(saved(tmp_path, cv2.GaussianBlur(red, (0, 0), 1)))
    assert [label for label, _ in found.objects] == ["cff0000"]
    assert found.objects[0][1] == pytest.approx(disk().sum(), rel=0.04)


def test_a_thin_wire_between_two_objects_stays_an_object(tmp_path):
    labels = regions(9, 30)
    labels[:, 5] = 20
    labels[30, :] = 20
    found = understand(saved(tmp_path, labels), Reading.INDEX)
    assert [label for label, _ in found.objects] == ["9", "20", "30"]
    labels = np.zeros((64, 96), np.uint8)
    labels[4:24, 4:40], labels[4:24, 44:80], labels[2:60, 42] = 9, 30, 20
    assert understand(saved(tmp_path, labels)).objects == (("9", 720), ("20", 58), ("30", 720))


def wide_square():
    mask = np.zeros((64, 64))
    mask[16:48, 12:52] = 1
    return mask


@pytest.mark.parametrize("shape", [disk, wide_square])
@pytest.mark.parametrize("top", [200, 254, 1000, 4095, 65535])
def test_a_blurred_object_is_one_wherever_its_greys_end(tmp_path, shape, top):
    soft = cv2.GaussianBlur(shape().astype(np.float64), (0, 0), 3)
    grey = np.rint(soft / soft.max() * top).astype(np.uint8 if top < 256 else np.uint16)
    found = understand(saved(tmp_path, grey))
    assert found.kind is MaskKind.SOFT
    expected = grey if top < 256 else grey * 255.0 / top
    assert np.abs(found.mask().astype(float) - expected).max() <= 1


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [2, 3, 5])
def test_many_small_cells_stay_many_objects(tmp_path, kind, size):
    labels = np.zeros((160, 160), kind)
    for number in range(144):
        y, x = 4 + 13 * (number // 12), 4 + 13 * (number % 12)
        labels[y : y + size, x : x + size] = number + 1
    assert len(understand(saved(tmp_path, labels)).objects) == 144


def test_a_mask_in_a_form_that_blurs_is_a_soft_one(tmp_path):
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    icc += bytes(1 - len(icc) % 2)  # of odd length, which the file fills up
    picture = Image.fromarray(np.repeat(disk()[..., None] * np.uint8(255), 3, 2))
    faint, preview = picture.point(lambda value: value // 3), picture.resize((16, 16))
    for name, options in (
        ("a.webp", {}), ("b.webp", {"icc_profile": icc}), ("c.tif", {"compression": "jpeg"}),
        ("d.jpg", {"save_all": True, "append_images": [preview], "format": "MPO"}),
    ):  # fmt: skip
        picture.save(tmp_path / name, quality=30, **options)
        found = understand(tmp_path / name)
        assert (found.kind, len(found.objects)) == (MaskKind.SOFT, 1), name
        assert found.objects[0][1] == pytest.approx(disk().sum(), rel=0.03)
        faint.save(tmp_path / name, quality=90, **options)
        with pytest.raises(InvalidItemError, match="numbers its objects, or is faint"):
            understand(tmp_path / name)
    picture.save(tmp_path / "exact.webp", lossless=True, icc_profile=icc)
    assert understand(tmp_path / "exact.webp").kind is MaskKind.ZERO_255


def test_no_background_at_all_is_asked_about(tmp_path):
    trimap = np.where(disk(), 1, np.where(disk(radius=22), 3, 2)).astype(np.uint8)
    path = saved(tmp_path, trimap)
    with pytest.raises(DataError, match=r"holds \[1, 2, 3\]: a trimap.*--masks-are trimap"):
        understand(path)
    assert np.array_equal(understand(path, Reading.TRIMAP).mask(), disk() * 255)
    with pytest.raises(InvalidItemError, match="has no pixel of 0, the background") as caught:
        understand(saved(tmp_path, trimap + 4))
    assert caught.value.kind == "label_map"
    y, x = np.mgrid[:72, :72]
    steps = (1 + x // 8 + 9 * (y // 8)).astype(np.uint8)  # 81 patches
    with pytest.raises(InvalidItemError, match="has no pixel of 0") as caught:
        understand(saved(tmp_path, steps))
    assert caught.value.kind == "grey_mask"


def cells(count, side):
    labels = np.zeros((side, side), np.uint16)
    for number in range(count):
        row, column = divmod(number, side // 10)
        labels[row * 10 + 2 : row * 10 + 8, column * 10 + 2 : column * 10 + 8] = number + 1
    return labels


def test_thousands_of_cells_are_objects_and_none_of_them_is_void(tmp_path):
    found = understand(saved(tmp_path, cells(1225, 360)))
    assert len(found.objects) == 1225
    assert ("255", 36) in found.objects
    assert not found.has_void


def test_65535_is_void_in_16_bits_as_255_is_in_8(tmp_path):
    labels = cells(300, 300)
    labels[-2:] = 65535
    found = understand(saved(tmp_path, labels))
    assert (len(found.objects), found.has_void) == (300, True)
    for kind in (np.uint8, np.uint16):  # of 16 bits 255 is a number like others
        few = understand(saved(tmp_path, cells(255, 160).astype(kind)))
        assert (len(few.objects), few.has_void) == (255, False)
        lines = cells(25, 160)
        lines[-2:] = 255
        found = understand(saved(tmp_path, lines.astype(kind)))
        assert (len(found.objects), found.has_void) == ((25, True), (26, False))[kind is np.uint16]


def test_fractions_from_0_to_1_are_a_mask(tmp_path):
    path = saved(tmp_path, disk().astype(np.float32), "m.tif")
    assert np.array_equal(read_mask(path), disk() * 255)
    path = saved(tmp_path, cv2.GaussianBlur(disk().astype(np.float32), (0, 0), 1), "soft.tif")
    assert understand(path).kind is MaskKind.SOFT


def test_dim_and_bright_areas_beside_a_soft_edge_number_nothing(tmp_path):
    soft = cv2.GaussianBlur(disk(radius=16).astype(np.uint8) * 255, (0, 0), 1)
    for grey, level in ((15, 0), (240, 255)):  # a sixteenth from either end
        mask = np.where(soft == level, np.uint8(grey), soft)
        mask[0, 0], mask[32, 32] = 0, 255
        assert understand(saved(tmp_path, mask)).kind is MaskKind.SOFT
        assert np.array_equal(read_mask(tmp_path / "m.png"), mask)


@pytest.mark.parametrize(("value", "kind"), [(63, MaskKind.INDEX), (64, MaskKind.SOFT)])
def test_thin_lines_are_numbers_beside_void_up_to_a_quarter_of_white(tmp_path, value, kind):
    lines = np.zeros((16, 16), np.uint8)
    lines[3], lines[6], lines[9] = 1, value, 255
    assert understand(saved(tmp_path, lines)).kind is kind


def test_a_mask_of_which_half_is_grey_is_one_and_of_a_pixel_more_is_a_photograph(tmp_path):
    ramp = [*[0] * 12, *np.linspace(16, 238, 25), *[255] * 13]  # an edge, however wide
    mask = np.tile(np.array(ramp).astype(np.uint8), (40, 1))
    assert grey_fraction(mask) == 0.5
    assert understand(saved(tmp_path, mask)).kind is MaskKind.SOFT
    mask[39, 49] = 140
    with pytest.raises(InvalidItemError, match="is mostly neither black nor white") as caught:
        understand(saved(tmp_path, mask))
    assert caught.value.kind == "grey_mask"


def test_a_trimap_may_have_both_greys_and_no_other(tmp_path):
    path = saved(tmp_path, regions(127, 128, 255))
    assert understand(path, Reading.TRIMAP).objects == (("", 320),)
    for other in (regions(1, 255), regions(1, 2, 3, 4), np.dstack([regions(255)] * 2 + [disk()])):
        with pytest.raises(InvalidItemError, match="and a trimap 1, 2, 3 or 0, 128, 255"):
            understand(saved(tmp_path, other.astype(np.uint8)), Reading.TRIMAP)


def test_a_palette_with_a_transparent_colour_is_read_as_transparency(tmp_path):
    picture = Image.frombytes("P", (64, 64), disk().astype(np.uint8).tobytes())
    picture.putpalette(voc_palette((0, 255, 0), (255, 0, 0)))
    picture.save(tmp_path / "m.png", transparency=0)
    found = understand(tmp_path / "m.png")
    assert found.notes == ("the mask is the alpha channel",)
    assert np.array_equal(found.mask(), disk() * 255)


def test_numbers_beyond_a_short_palette_are_numbers(tmp_path):
    for top in (2, 3):  # the first without a colour, and one further on
        picture = Image.frombytes("P", (64, 64), regions(1, top).tobytes())
        picture.putpalette([255, 255, 255, 0, 0, 0])
        picture.save(tmp_path / "m.bmp")
        with Image.open(tmp_path / "m.bmp") as opened:
            opened.load()
            assert len(opened.getpalette("RGB")) // 3 == 2
        found = understand(tmp_path / "m.bmp")
        assert [label for label, _ in found.objects] == ["1", str(top)]


def test_noise_round_black_and_white_is_no_numbering(tmp_path):
    noise = np.random.default_rng(0).integers(0, 4, (64, 64))
    mask = np.where(disk(), 255 - noise, noise).astype(np.uint8)
    assert understand(saved(tmp_path, mask)).kind is MaskKind.SOFT


@pytest.mark.parametrize(
    ("shape", "inside", "soft", "kind"),
    [
        ((6, 4), 9, 0.0, "size_mismatch"),
        ((4, 6), 0, 0.0, "empty_mask"),
        ((4, 6), 24, 0.0, "full_mask"),
        ((4, 6), 9, 0.6, "grey_mask"),
    ],
)
def test_a_mask_that_nothing_can_use_is_refused_by_its_kind(shape, inside, soft, kind):
    with pytest.raises(InvalidItemError) as caught:
        check_fitness(shape, (4, 6), inside=inside, soft=soft, name="m.png", image="a.png")
    assert caught.value.kind == kind
    assert ("is turned" in str(caught.value)) == (kind == "size_mismatch")


@pytest.mark.parametrize(
    ("inside", "soft", "doubts"),
    [
        (64, 0.5, []), (63, 0.0, ["m.png marks only 63 pixels."]), (9900, 0.0, []),
        (9901, 0.0, ["m.png covers 99.0% of its image."]), (1, 0.0, ["m.png marks only 1 pixels."]),
    ],
)  # fmt: skip
def test_what_lies_at_a_limit_of_fitness_is_fit_and_what_is_odd_is_said(inside, soft, doubts):
    size = (50, 200)
    found = check_fitness(size, size, inside=inside, soft=soft, name="m.png", image="a.png")
    assert list(found) == doubts
    with pytest.raises(InvalidItemError, match="a photograph: 51% of its pixels"):
        check_fitness(size, size, inside=inside, soft=0.51, name="m.png", image="a.png")


def test_a_sixteenth_at_either_end_is_black_or_white():
    assert grey_fraction(np.array([0, 15, 16, 239, 240, 255])) == 2 / 6
    assert grey_fraction(np.array([0, 4096, 4095, 61440, 61439]), top=65535) == 2 / 5


def test_void_is_void_only_beside_other_numbers_and_not_where_numbering_reaches_it(tmp_path):
    for values, labels, has_void in (
        ((1, 2, 255), ["1", "2"], True),
        ((1, 254, 255), ["1", "254", "255"], False),
        ((255,), ["255"], False),
    ):
        found = understand(saved(tmp_path, regions(*values)), Reading.INDEX)
        assert ([label for label, _ in found.objects], found.has_void) == (labels, has_void)


@pytest.mark.parametrize(
    ("values", "border", "inside"),
    [((0, 127, 255), 128, 1), ((0, 128, 255), 128, 1), ((1, 2, 3), 3, None), ((0, 255), 128, 1)],
)
def test_every_trimap_has_one_object_and_its_border_is_none(tmp_path, values, border, inside):
    labels = regions(*values[1:] if inside else values)
    if not inside:
        labels[labels == 0] = 2
    found = understand(saved(tmp_path, labels), Reading.TRIMAP)
    value = 1 if border == 3 else 255
    assert np.array_equal(found.mask() == 255, labels == value)
    assert found.notes == (f"{value} of a trimap is the object, its border ({border}) is not",)
    assert not found.is_plain
    for wrong in (regions(1, 2, 4), regions(64, 255), np.dstack([labels] * 2 + [labels // 2])):
        with pytest.raises(DataError, match="and a trimap 1, 2, 3 or 0, 128, 255"):
            understand(saved(tmp_path, wrong), Reading.TRIMAP)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_mask_is_turned_by_its_tag_in_every_reading_and_is_then_not_copied(tmp_path, orientation):
    stored = regions(255)[:40]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, stored, exif=exif)
    for reading in (Reading.AUTO, Reading.BINARY, Reading.TRIMAP):
        found = understand(path, reading)
        assert np.array_equal(found.mask(), turned(stored, orientation))
    found = understand(path)
    assert found.is_plain is (orientation == 1)
    assert found.notes == (() if orientation == 1 else ("turned upright by its EXIF tag",))
    (one,) = understand(path, Reading.INDEX).objects
    assert one == ("255", 320)


def test_binary_takes_what_is_above_half_of_the_brightest_value_of_any_depth(tmp_path):
    for top, kind in ((255, np.uint8), (65535, np.uint16), (4095, np.uint16), (1, np.uint8)):
        values = np.zeros((40, 40), kind)
        values[:10], values[10:20], values[20:30] = top, top * 0.52, top * 0.48
        found = understand(saved(tmp_path, values), Reading.BINARY)
        rows = 20 if top > 1 else 10
        assert np.array_equal(
            found.mask(), np.where(np.arange(40) < rows, 255, 0)[:, None].repeat(40, 1)
        )
        assert not found.is_plain
    colours = np.zeros((40, 40, 3), np.uint8)
    colours[:10, :, 2], colours[10:20, :, 0], colours[30:, :, 1] = 255, 129, 128
    found = understand(saved(tmp_path, colours), Reading.BINARY)
    assert np.array_equal(found.mask()[:, 0] == 255, np.arange(40) < 20)
    assert not found.is_plain


def test_a_mask_drawn_by_us_is_plain_and_one_of_an_odd_form_is_not(tmp_path):
    for name in ("a.PNG", "a.png"):
        assert understand(saved(tmp_path, disk() * np.uint8(255), name)).is_plain
    assert not understand(tmp_path / "a.png", Reading.BINARY).is_plain
    assert not understand(saved(tmp_path, disk() * np.uint8(255), "a.gif")).is_plain
    assert not understand(saved(tmp_path, disk() * np.uint16(65535))).is_plain


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_the_mask_of_a_cut_out_photograph_is_its_transparency(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    inside = np.zeros((60, 90), np.uint8)
    inside[10:40, 20:70] = 255
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.dstack([noise, inside])).save(path, lossless=True)
    found = understand(path)
    assert (found.kind, len(found.objects)) == (MaskKind.ZERO_255, 1)
    np.testing.assert_array_equal(found.values > 128, inside > 0)


def test_vocs_void_is_known_by_its_colour_wherever_a_tool_has_put_it(tmp_path):
    indices = np.zeros((40, 60), np.uint8)
    indices[4:21, 4:21], indices[4:21, 29:51] = 3, 3
    indices[5:20, 5:20], indices[5:20, 30:50] = 1, 2
    image = Image.fromarray(indices, "P")
    image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, 224, 224, 192])
    image.save(tmp_path / "a.png")
    found = understand(tmp_path / "a.png")
    assert (len(found.objects), len(found.notes), found.has_void) == (2, 1, False)
    indices[indices == 2] = 255  # where another colour has that number, the void keeps its own
    image = Image.fromarray(indices, "P")
    colours = [0, 0, 0, 128, 0, 0, 0, 0, 9, 224, 224, 192, *range(4, 256)] * 9
    image.putpalette(colours[: 255 * 3] + [0, 128, 0])
    image.save(tmp_path / "a.png")
    assert [label for label, _ in understand(tmp_path / "a.png").objects] == ["1", "3"]


def test_a_ramp_that_ends_at_the_level_of_the_foreground_marks_too_little_to_be_one(tmp_path):
    ramp = np.tile(np.arange(129, dtype=np.uint8), (90, 1))
    with pytest.raises(InvalidItemError, match="numbers its objects, or is faint"):
        understand(saved(tmp_path, ramp))


@pytest.mark.parametrize("kind", [np.int64, np.uint64, np.float64])
def test_labels_of_64_bits_are_read(tmp_path, kind):
    labels = np.zeros((40, 60), kind)
    labels[5:20, 5:20], labels[5:20, 30:50] = 1, 1 << 16
    tifffile.imwrite(tmp_path / "a.tif", labels)
    assert understand(tmp_path / "a.tif").objects == (("1", 225), ("65536", 300))
    labels[5:20, 30:50] = (1 << 32) + 1
    tifffile.imwrite(tmp_path / "a.tif", labels)
    found = understand(tmp_path / "a.tif")
    assert [int(found.mask(label).sum()) // 255 for label, _ in found.objects] == [225, 300]


def test_cells_of_a_few_pixels_are_objects_and_a_deep_photograph_is_none(tmp_path):
    cells = np.arange(1, 1501, dtype=np.uint16).reshape(30, 50)
    cells[:, ::5] = 0
    tifffile.imwrite(tmp_path / "cells.tif", np.kron(cells, np.ones((3, 4), np.uint16)))
    assert len(understand(tmp_path / "cells.tif").objects) == 1200
    photograph = np.random.default_rng(0).integers(0, 4000, (80, 90)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "photograph.tif", photograph)
    with pytest.raises(InvalidItemError, match="a photograph"):
        understand(tmp_path / "photograph.tif")


@pytest.mark.parametrize("kind", [np.uint8, np.int64])  # Pillow reads the one, tifffile the other
def test_a_stack_with_a_page_for_each_object_is_not_read_as_its_first(tmp_path, kind):
    pages = np.zeros((2, 40, 60), kind)
    pages[0, 5:20, 5:20], pages[1, 20:35, 30:50] = 1, 1
    tifffile.imwrite(tmp_path / "stack.tif", pages)
    with pytest.raises(InvalidItemError, match="is a stack of 2 pages.*Write each page as a file"):
        understand(tmp_path / "stack.tif")
    with tifffile.TiffWriter(tmp_path / "preview.tif") as file:  # a smaller page is a preview
        file.write(pages[0])
        file.write(pages[0, ::4, ::4])
    assert read_mask(tmp_path / "preview.tif").any()
