"""Run lengths hold a mask in any form; what the values of a mask look like decides what it is."""

import io
import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from pasam.data.coco import from_coco
from pasam.errors import DataError, InvalidItemError, ParamsError, ShapeError
from pasam.masks import run_lengths
from pasam.masks.images import encode_png
from pasam.masks.mask_files import MaskKind, read_mask, understand
from pasam.masks.overlap import Region, band_width, boundary, boundary_iou, mask_iou, overlap
from pasam.masks.polygons import polygons_of
from pasam.masks.run_lengths import (
    MOST_PIXELS,
    area,
    bounding_box,
    decode,
    encode,
    from_segmentation,
    overlaps,
    runs,
)

MASKS = arrays.arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9)))


@given(mask=MASKS)
def test_a_mask_comes_back_from_its_run_lengths_even_through_json(mask):
    code = json.loads(json.dumps(encode(mask)))
    assert np.array_equal(decode(code), mask)
    assert area(code) == mask.sum()


def registered(folder, segmentation, size):
    """Read one object of a set's COCO file: its mask, or what is wrong with it."""
    (folder / "a.jpg").touch()
    image = {"id": 1, "file_name": "a.jpg", "height": size[0], "width": size[1]}
    drawn = {"id": 1, "image_id": 1, "segmentation": segmentation}
    (folder / "c.json").write_text(json.dumps({"images": [image], "annotations": [drawn]}))
    source = from_coco(folder / "c.json", folder)
    return source.faults or decode(source.candidates[0].encoded[0].code())


@given(
    st.lists(st.tuples(st.integers(0, 89), st.integers(0, 69)), min_size=3, max_size=12),
    st.sampled_from(["plain", "bytes as Python shows them", "in a text"]),
)
@settings(max_examples=40)
def test_compressed_run_lengths_of_any_polygon_are_read_in_a_set(tmp_path_factory, corners, form):
    mask = cv2.fillPoly(np.zeros((70, 90), np.uint8), [np.array(corners, np.int32)], 1) > 0
    code = encode(mask)
    if form != "plain":
        shown = str(code["counts"].encode())
        code = code | {"counts": shown} if form != "in a text" else code["counts"]
    found = registered(tmp_path_factory.mktemp("coco"), code, mask.shape)
    assert np.array_equal(found, mask)


@pytest.mark.parametrize("sign", [";", "\\"])
def test_signs_of_the_compressed_form_part_no_numbers(tmp_path, sign):
    random = np.random.default_rng(0)
    masks = (np.cumsum(random.random((40, 50)) < 0.1) % 2 > 0 for _ in range(99))
    mask = next(
        one for one in (flat.reshape(50, 40).T for flat in masks) if sign in encode(one)["counts"]
    )
    for counts in (encode(mask)["counts"], f"{encode(mask)['counts'].encode()}"):
        code = {"size": [40, 50], "counts": counts}
        assert np.array_equal(registered(tmp_path, code, (40, 50)), mask)


@pytest.mark.parametrize(
    "counts",
    [
        [str(one) for one in (103, 4, 16, 4, 16, 4, 16, 4, 433)],
        "103 4 16 4 16 4 16 4 433",
        "[103, 4, 16, 4, 16, 4, 16, 4, 433]",
        "103.0, 4; 16, 4; 16, 4; 16, 4; 433",
    ],
)
def test_run_lengths_may_be_texts_of_numbers(tmp_path, counts):
    found = registered(tmp_path, {"size": [20, 30], "counts": counts}, (20, 30))
    assert np.array_equal(found, square(3, 5))


def square(top, left, side=4):
    mask = np.zeros((20, 30), np.bool_)
    mask[top : top + side, left : left + side] = True
    return mask


@pytest.mark.parametrize(
    "segmentation",
    [
        [[5, 3, 9, 3, 9, 7, 5, 7]],
        {"size": [20, 30], "counts": [103, 4, 16, 4, 16, 4, 16, 4, 433]},
        encode(square(3, 5)),
    ],
    ids=["polygon", "plain", "compressed"],
)
def test_every_form_of_an_annotation_is_understood(segmentation):
    assert np.array_equal(decode(from_segmentation(segmentation, 20, 30)), square(3, 5))


def test_the_box_of_a_mask_is_tight_and_that_of_nothing_is_empty():
    assert bounding_box(encode(square(3, 5))) == (5, 3, 4, 4)
    assert bounding_box(encode(np.zeros((4, 4), np.bool_)))[2:] == (0, 0)


def test_overlaps_are_ious_and_of_a_crowd_the_share_inside_it():
    one, half = encode(square(3, 5)), encode(square(3, 7))
    assert overlaps([one], [one, half], [0, 0]).tolist() == [[1.0, pytest.approx(8 / 24)]]
    assert overlaps([one], [half], [1]).tolist() == [[0.5]]
    assert overlaps([one], [], []).shape == (1, 0)


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ({"size": [6, 8], "counts": [3]}, "run-length code of 3 pixels, expected 48"),
        ({"size": [6, 8], "counts": "P0"}, "run-length code of .* pixels, expected 48"),
        ({"size": [6, 8], "counts": "\x01x"}, "cannot be drawn"),
        (encode(np.ones((8, 6), np.bool_)), r"8 x 6 pixels \(height x width\).* have 6 x 8"),
        ([[1, 1]], "has a polygon of 2 numbers"),
        ([["a"] * 6], "has the coordinate"),
        (None, "cannot be drawn"),
        ({"size": [6, 8]}, "cannot be drawn"),
    ],
)
def test_a_code_that_is_damaged_or_of_another_size_never_reaches_the_decoder(segmentation, message):
    with pytest.raises(DataError, match=message):
        from_segmentation(segmentation, 6, 8)


def test_a_polygon_may_reach_one_side_beyond_its_image_and_is_cut_off():
    for x, y in ((-8, -6), (16, 12)):
        assert decode(from_segmentation([[x, y, 0, 6, 8, 0]], 6, 8)).shape == (6, 8)
        for far in ([1.01 * x, y], [x, 1.01 * y]):
            with pytest.raises(DataError, match="has the coordinate"):
                from_segmentation([[*far, 0, 6, 8, 0]], 6, 8)


def test_a_coordinate_is_held_against_its_own_side_of_the_image():
    wide = from_segmentation([[0, 0, 15, 0, 15, 5, 0, 5]], 6, 8)
    assert bounding_box(wide) == (0, 0, 8, 5)
    with pytest.raises(DataError, match=r"has the coordinate 15, .* 8 x 6 \(width x height\)"):
        from_segmentation([[0, 0, 5, 0, 5, 15, 0, 15]], 6, 8)


@given(mask=MASKS)
def test_runs_cover_the_whole_mask_and_alternate(mask):
    lengths = runs(encode(mask)["counts"])
    assert sum(lengths) == mask.size
    assert sum(lengths[1::2]) == mask.sum()


@pytest.mark.parametrize("counts", ["", "P", "P" * 8 + "1", "P" * 9, "O"])
def test_a_code_without_an_end_of_too_long_a_length_or_of_a_negative_one_is_damaged(counts):
    assert runs("P" * 7 + "1") == [1 << 35]  # eight groups of five bits, and no more
    for written in (counts, counts.encode()):
        with pytest.raises(ValueError, match="run-length code is damaged"):
            runs(written)


def test_outlines_come_the_largest_first_and_go_along_the_edges_of_pixels():
    mask = np.zeros((20, 30), np.uint8)
    mask[2:4, 3:8], mask[5:15, 10:25], mask[17:20, 0:4] = 255, 255, 255
    found = [(*part.min(axis=0), *part.max(axis=0)) for part in polygons_of(mask)]
    assert found == [(10, 5, 25, 15), (0, 17, 4, 20), (3, 2, 8, 4)]


def test_a_hole_in_an_island_within_a_hole_is_cut_out_of_the_island():
    mask = np.zeros((40, 40), np.uint8)
    for inset, value in ((2, 255), (6, 0), (10, 255), (14, 0)):
        mask[inset : 40 - inset, inset : 40 - inset] = value
    areas = []
    for part in polygons_of(mask):
        (x, y), (later_x, later_y) = part.T, np.roll(part, -1, axis=0).T
        areas.append(abs(float((x * later_y - later_x * y).sum())) / 2)
    assert areas == pytest.approx([36**2 - 28**2, 20**2 - 12**2], abs=4)


@pytest.mark.parametrize("turn", [0, 1])
def test_an_object_as_wide_as_a_bands_square_has_an_inside(turn):
    mask = np.zeros((9, 14), np.bool_)
    mask[2:5, 3:10] = True  # three rows, as a band of one pixel sees at a time
    inner = mask.copy()
    inner[3, 4:9] = False
    mask, inner = np.rot90(mask, turn), np.rot90(inner, turn)
    assert np.array_equal(boundary(mask, 1), inner)
    assert np.array_equal(boundary(mask, 2), mask)


def test_a_mask_of_255_is_encoded_as_one_of_booleans_is():
    assert encode(square(3, 5).astype(np.uint8) * 255) == encode(square(3, 5))


def masks(seed: int) -> tuple[np.ndarray, np.ndarray]:
    dice = np.random.RandomState(seed)
    return dice.uniform(size=(9, 13)) < 0.4, dice.uniform(size=(9, 13)) < 0.6


def test_a_shared_third_scores_one_third():
    gt, pred = np.zeros((4, 6), bool), np.zeros((4, 6), bool)
    gt[:, :4], pred[:, 2:] = True, True
    assert overlap(gt, pred) == (8, 24)
    assert mask_iou(gt, pred) == pytest.approx(1 / 3)


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_it_is_symmetric_and_one_only_for_equal_masks(seed):
    gt, pred = masks(seed)
    assert mask_iou(gt, pred) == mask_iou(pred, gt)
    assert mask_iou(gt, gt) == 1
    assert (mask_iou(gt, pred) == 1) == np.array_equal(gt, pred)


def test_zero_one_and_zero_255_count_as_booleans_do():
    gt, pred = masks(0)
    assert mask_iou(gt.astype(np.uint8), 255 * pred.astype(np.uint8)) == mask_iou(gt, pred)


@pytest.mark.parametrize("turn", [0, 1])
def test_masks_one_beside_the_other_share_nothing_and_their_union_is_both(turn):
    gt, pred = np.zeros((30, 40), bool), np.zeros((30, 40), bool)
    gt[:3, 5:9], pred[10:27, 2:20] = True, True  # of other rows, in the same columns
    for apart in (pred, np.roll(pred, -7, 0)):  # and where one ends and the other begins
        assert overlap(np.rot90(gt, turn), np.rot90(apart, turn)) == (0, 12 + 17 * 18)
        assert overlap(np.rot90(apart, turn), np.rot90(gt, turn)) == (0, 12 + 17 * 18)


def test_two_empty_masks_agree_and_one_empty_mask_does_not():
    empty, full = np.zeros((3, 3), bool), np.ones((3, 3), bool)
    assert mask_iou(empty, empty) == 1
    assert mask_iou(empty, full) == 0


def test_a_label_with_soft_edges_is_refused_with_the_threshold_to_use():
    soft = np.array([[0, 100, 255]], np.uint8)
    with pytest.raises(DataError, match=r"pred holds several nonzero values up to 255.*> 128"):
        mask_iou(soft > 128, soft)


def test_masks_of_different_size_are_refused_with_both_sizes():
    with pytest.raises(ShapeError, match=r"\(3, 4\) and \(4, 3\)"):
        mask_iou(np.ones((3, 4), bool), np.ones((4, 3), bool))


def test_a_batch_is_refused():
    with pytest.raises(ShapeError, match=r"gt must be a mask \(H, W\); got shape \(1, 3, 3\)"):
        mask_iou(np.ones((1, 3, 3), bool), np.ones((3, 3), bool))


def by_erosion(mask: np.ndarray, width: int) -> np.ndarray:
    """Take from a mask, padded with one pixel of nothing, its repeated erosion by 3 x 3 ones."""
    padded = np.pad(mask.astype(np.uint8), 1)
    inside = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=width)[1:-1, 1:-1]
    return mask & ~inside.astype(bool)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10_000), height=st.integers(1, 60), width=st.integers(1, 60),
    band=st.integers(1, 40), density=st.sampled_from([0.0, 0.5, 0.97, 0.999, 1.0]),
)  # fmt: skip
def test_the_band_equals_repeated_erosion(seed, height, width, band, density):
    mask = np.random.RandomState(seed).uniform(size=(height, width)) < density
    assert np.array_equal(boundary(mask, band), by_erosion(mask, band))


def test_views_and_bytes_are_taken_as_they_are():
    mask = np.random.RandomState(0).uniform(size=(30, 40)) < 0.95
    expected = by_erosion(mask.T[::2], 2)
    assert np.array_equal(boundary(mask.T[::2], 2), expected)
    assert np.array_equal(boundary(255 * mask.T[::2].astype(np.uint8), 2), expected)


@pytest.mark.parametrize(
    ("height", "width", "band"), [(333, 517, 12), (1080, 1920, 44), (1, 1, 1), (75, 100, 2)]
)
def test_the_band_is_two_percent_of_the_diagonal_rounded_half_to_even(height, width, band):
    assert band_width(height, width) == band


def test_a_fraction_that_gives_no_band_is_refused_by_its_key():
    with pytest.raises(ParamsError, match=r"evaluate.boundary_fraction is 0, .* e.g. 0.02"):
        band_width(10, 10, 0)


def test_a_shifted_contour_costs_a_large_object_more_than_its_area_does():
    gt = np.zeros((200, 200), bool)
    gt[20:180, 20:180] = True
    shifted = np.roll(gt, 3, axis=1)
    assert mask_iou(gt, shifted) > 0.95
    assert boundary_iou(gt, shifted) < 0.75
    assert boundary_iou(gt, gt) == 1


def test_a_hollow_object_scores_by_its_outer_contour():
    gt = np.zeros((200, 200), bool)
    gt[20:180, 20:180] = True
    band = band_width(200, 200)
    hollow = boundary(gt, band)
    assert mask_iou(gt, hollow) < 0.2
    assert boundary_iou(gt, hollow) == 1


def test_a_wider_band_forgives_more():
    gt = np.zeros((100, 100), bool)
    gt[20:80, 20:80] = True
    shifted = np.roll(gt, 1, axis=0)
    assert boundary_iou(gt, shifted, fraction=0.01) < boundary_iou(gt, shifted, fraction=0.05)


def test_two_empty_boundaries_agree_and_one_empty_boundary_does_not():
    empty, full = np.zeros((5, 5), bool), np.ones((5, 5), bool)
    assert boundary_iou(empty, empty) == 1
    assert boundary_iou(empty, full) == 0


def test_what_is_no_mask_has_no_boundary():
    with pytest.raises(ShapeError, match=r"got shape \(2, 3, 3\)"):
        boundary(np.ones((2, 3, 3), bool), 1)
    with pytest.raises(DataError, match="several nonzero values"):
        boundary(np.array([[1, 2]], np.uint8), 1)


@given(
    arrays.arrays(np.bool_, st.tuples(st.integers(1, 24), st.integers(1, 24))), st.integers(1, 6)
)
def test_the_band_is_the_mask_without_its_repeated_erosion(mask, width):
    inner = mask.astype(np.uint8)
    for _ in range(width):
        inner = cv2.erode(
            inner, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0.0
        )
    assert np.array_equal(boundary(mask, width), mask & (inner == 0))


@given(st.data(), st.tuples(st.integers(1, 12), st.integers(1, 12)))
def test_regions_count_as_whole_masks_do(data, shape):
    first, second = (
        data.draw(arrays.arrays(np.bool_, shape)),
        data.draw(arrays.arrays(np.bool_, shape)),
    )
    one, other = Region.of(first), Region.of(second)
    assert one.overlap(other) == ((first & second).sum(), (first | second).sum())
    assert np.array_equal(one.mask(), first)
    assert one.area == first.sum()


def test_the_band_is_rounded_to_the_nearest_width():
    assert band_width(30, 40, 0.039) == 2  # 1.95
    assert band_width(30, 40, 0.049) == 2  # 2.45


@pytest.mark.parametrize("height", [MOST_PIXELS // 1024 + 1, 0])
def test_an_image_of_no_or_too_many_pixels_is_refused(height):
    with pytest.raises(DataError, match="pixels"):
        from_segmentation([[0, 0, 2, 0, 2, 2]], height, 1024)


def test_the_largest_image_is_still_drawn_for(monkeypatch):
    monkeypatch.setattr(run_lengths, "MOST_PIXELS", 12)
    assert area(from_segmentation([[0, 0, 4, 0, 4, 3, 0, 3]], 3, 4)) == 12
    with pytest.raises(DataError, match="is of an image of 13 x 1 pixels"):
        from_segmentation([[0, 0, 1, 0, 1, 13]], 13, 1)


Y, X = np.mgrid[:64, :96]
LARGE, SMALL = (X - 30) ** 2 + (Y - 30) ** 2 < 400, (X - 70) ** 2 + (Y - 35) ** 2 < 225


def saved(tmp_path, array, name="m.png", **options):
    Image.fromarray(array).save(tmp_path / name, **options)
    return tmp_path / name


def iou_of(found, label, truth):
    mask = found.mask(label) > 128
    return np.sum(mask & truth) / np.sum(mask | truth)


def photograph():
    """A lit slope in three colours, with noise."""
    slope = np.dstack([60 + X, 200 - X, 80 + Y])
    return (
        (slope + np.random.default_rng(0).normal(0, 8, (64, 96, 3))).clip(0, 255).astype(np.uint8)
    )


@pytest.mark.parametrize("ground", [0, 255])
@pytest.mark.parametrize("is_grey", [False, True])
@pytest.mark.parametrize("name", ["m.png", "m.jpg"])
def test_a_photograph_that_was_cut_out_is_no_mask(tmp_path, ground, is_grey, name):
    picture = np.where(LARGE[..., None], photograph(), np.uint8(ground))
    picture = picture[:, :, 1] if is_grey else picture
    path = saved(tmp_path, picture, name)
    said = "photograph" if is_grey or name == "m.png" else "in a format that blurs"
    with pytest.raises(InvalidItemError, match=f"{said}|has no pixel of 0") as caught:
        understand(path)
    assert caught.value.kind in ("grey_mask", "label_map")


def test_a_dim_smooth_photograph_of_few_shades_that_was_cut_out_is_no_mask(tmp_path):
    noise = cv2.GaussianBlur(np.random.default_rng(0).normal(60, 30, (64, 96)), (0, 0), 2)
    shades = np.where(LARGE, noise, 0).astype(np.uint8)
    assert 16 < len(np.unique(shades)) < 64
    with pytest.raises(InvalidItemError, match="a photograph, cut out on black") as caught:
        understand(saved(tmp_path, shades))
    assert caught.value.kind == "grey_mask"


@pytest.mark.parametrize("radius", [3, 6, 12, 20])
@pytest.mark.parametrize("blur", ["gauss", "box", "area"])
def test_soft_edges_of_any_width_are_no_photograph(tmp_path, radius, blur):
    disk = np.where(np.hypot(X - 48, Y - 32) < radius, np.float32(255), np.float32(0))
    soft = {
        "gauss": cv2.GaussianBlur(disk, (0, 0), 3),
        "box": cv2.blur(disk, (5, 5)),
        "area": cv2.resize(cv2.resize(disk, (24, 16), interpolation=cv2.INTER_AREA), (96, 64)),
    }[blur]
    grey = np.rint(soft / soft.max() * 255).astype(np.uint8)
    assert understand(saved(tmp_path, grey)).kind is MaskKind.SOFT
    assert np.array_equal(read_mask(tmp_path / "m.png"), grey)


def resized(labels, times, method):
    """Resize an array as a labelling tool should not."""
    height, width = (round(times * side) for side in labels.shape[:2])
    return np.asarray(Image.fromarray(labels).resize((width, height), method))


@pytest.mark.parametrize("times", [0.5, 2])
@pytest.mark.parametrize("colours", [[220, 20, 60, 0, 0, 142], [128, 64, 128, 70, 130, 180]])
def test_colours_that_a_cubic_filter_took_beyond_themselves_are_given_back(
    tmp_path, times, colours
):
    first, second = np.uint8(colours).reshape(2, 3)
    drawn = np.where(LARGE[..., None], first, np.where(SMALL[..., None], second, np.uint8(0)))
    found = understand(saved(tmp_path, resized(drawn, times, Image.Resampling.BICUBIC)))
    assert {label for label, _ in found.objects} == {f"c{hexadecimal(c)}" for c in (first, second)}
    for colour, truth in ((first, LARGE), (second, SMALL)):
        whole = resized(truth.astype(np.uint8) * 255, times, Image.Resampling.BICUBIC) > 128
        assert iou_of(found, f"c{hexadecimal(colour)}", whole) > 0.95
    assert "blended edges" in found.notes[0]


def hexadecimal(colour):
    return "".join(f"{channel:02x}" for channel in colour)


def test_numbers_that_a_cubic_filter_took_beyond_themselves_are_given_back(tmp_path):
    numbers = (LARGE * 80 + SMALL * 160).astype(np.uint8)
    found = understand(saved(tmp_path, resized(numbers, 2, Image.Resampling.BICUBIC)))
    assert [label for label, _ in found.objects] == ["80", "160"]
    assert iou_of(found, "80", np.kron(LARGE, np.ones((2, 2))) > 0) > 0.97


def test_many_rims_round_few_objects_are_refused(tmp_path):
    first, second = np.uint8([220, 20, 60]), np.uint8([0, 0, 142])
    drawn = np.where(LARGE[..., None], first, np.where(SMALL[..., None], second, np.uint8(0)))
    small = resized(drawn, 0.5, Image.Resampling.LANCZOS)
    path = saved(tmp_path, resized(small, 2, Image.Resampling.LANCZOS))
    with pytest.raises(InvalidItemError, match="values that only rim others: resized"):
        understand(path)


def test_a_wire_beside_an_object_and_a_little_brighter_stays_one(tmp_path):
    numbers = (LARGE * 80).astype(np.uint8)
    numbers[:, 54:56] = 90
    path = tmp_path / "m.png"
    path.write_bytes(encode_png(numbers))
    assert [label for label, _ in understand(path).objects] == ["80", "90"]


def test_a_web_of_thin_lines_is_no_photograph_where_they_run_together(tmp_path):
    fine = np.zeros((256, 384), np.uint8)
    for x in range(10, 370, 44):
        cv2.line(fine, (x, 10), (x + 9, 245), 255, 6, cv2.LINE_AA)
    for x in range(160, 200, 6):  # closer than pixels: shades as of a photograph
        cv2.line(fine, (x, 110), (x + 15, 150), 255, 2, cv2.LINE_AA)
    web = cv2.resize(fine, (96, 64), interpolation=cv2.INTER_AREA)
    assert understand(saved(tmp_path, web)).kind is MaskKind.SOFT


def through_jpeg(array, quality):
    """What is left of an array in a JPEG, to be saved in an exact form after that."""
    return np.asarray(Image.open(io.BytesIO(jpeg(array, quality))))


def jpeg(array, quality):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "JPEG", quality=quality)
    return file.getvalue()


def rings(side):
    """An object, its border and another object, (S, S)."""
    rows, columns = np.mgrid[:side, :side] * 64 / side
    distance, other = np.hypot(columns - 24, rows - 26), np.hypot(columns - 52, rows - 50)
    return distance < 14, (distance >= 14) & (distance < 19), other < 8


@pytest.mark.parametrize("quality", [60, 85, 95])
@pytest.mark.parametrize("side", [64, 256])
def test_colours_that_were_a_jpeg_before_number_no_hundreds_of_objects(tmp_path, side, quality):
    first, _, second = rings(side)
    for colours in (first[..., None] * [255, 0, 0], second[..., None] * [0, 200, 80]):
        Image.fromarray(through_jpeg(colours.astype(np.uint8), quality)).save(tmp_path / "m.png")
        with pytest.raises(
            InvalidItemError, match=r"scattered in a few pixels each|hardly two alike"
        ):
            understand(tmp_path / "m.png")
    numbers = (first * 100 + second * 200).astype(np.uint8)
    Image.fromarray(through_jpeg(numbers, quality)).save(tmp_path / "m.png")
    try:
        found = understand(tmp_path / "m.png")
    except InvalidItemError:
        return
    assert [label for label, _ in found.objects] == ["100", "200"]


def test_single_pixels_of_a_kind_of_their_own_and_touching_cells_are_no_noise(tmp_path):
    labels = np.zeros((64, 64), np.uint8)
    labels[5:25, 5:25], labels[40:60, 10:30] = 100, 200
    labels[30:38:2, 30:60:3] = 1
    Image.fromarray(labels).save(tmp_path / "m.png")
    assert [label for label, _ in understand(tmp_path / "m.png").objects] == ["1", "100", "200"]


def test_a_soft_outline_numbers_no_hundred_of_objects(tmp_path):
    drawn = np.zeros((64, 96, 3), np.uint8)
    cv2.circle(drawn, (30, 30), 20, (0, 0, 255), -1, cv2.LINE_AA)
    cv2.circle(drawn, (30, 30), 20, (255, 255, 255), 2, cv2.LINE_AA)
    Image.fromarray(drawn).save(tmp_path / "m.png")
    with pytest.raises(InvalidItemError, match="scattered in a few pixels each: soft lines"):
        understand(tmp_path / "m.png")


def test_lines_of_a_pixel_are_objects_where_nothing_is_wider(tmp_path):
    labels = np.zeros((80, 1), np.uint8)
    labels[1::4], labels[2::4] = 1, 2
    Image.fromarray(labels).save(tmp_path / "m.png")
    assert understand(tmp_path / "m.png").objects == (("1", 20), ("2", 20))


@pytest.mark.parametrize("how", [cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_AREA])
@pytest.mark.parametrize("side", [100, 300])
def test_a_trimap_is_asked_about_after_it_was_resized_or_a_jpeg(tmp_path, how, side):
    inside, border, _ = rings(192)
    trimap = (inside * 255 + border * 128).astype(np.uint8)
    resized = cv2.resize(trimap, (side, side), interpolation=how)
    for array in (resized, through_jpeg(trimap, 60), through_jpeg(trimap, 95)):
        Image.fromarray(array).save(tmp_path / "m.png")
        with pytest.raises(InvalidItemError, match="a trimap, or a number|scattered in a few"):
            understand(tmp_path / "m.png")


def test_fractions_from_0_to_255_are_greys_where_they_are_an_edge(tmp_path):
    inside, _, other = rings(64)
    soft = cv2.GaussianBlur(inside * 255.0, (0, 0), 1.5).astype(np.float32)
    Image.fromarray(soft).save(tmp_path / "m.tif")
    assert understand(tmp_path / "m.tif").kind is MaskKind.SOFT
    assert np.array_equal(read_mask(tmp_path / "m.tif"), np.rint(soft))
    for wrong in (inside * 1.5 + other * 2.5, soft * 2, soft / 2):
        Image.fromarray(wrong.astype(np.float32)).save(tmp_path / "m.tif")
        with pytest.raises(InvalidItemError, match=r"fractions above 1 \(up to .* Expected fract"):
            understand(tmp_path / "m.tif")
