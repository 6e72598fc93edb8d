"""Prompts follow the reference's rules and mixes; a trimap has one object, and numbers theirs."""

import struct
import zlib
from collections import Counter

import cv2
import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional

from pasam.errors import DataError, InvalidItemError, ShapeError
from pasam.masks.images import load_image, read_header, read_image
from pasam.masks.mask_files import Reading, understand
from pasam.masks.prompts import (
    Prompt,
    collate_prompts,
    foreground_points,
    jittered_box,
    noisy_mask,
    sample_prompt,
    tight_box,
)
from pasam.masks.transforms import augment, drawn_length, squash, squash_mask

SQUARE = np.zeros((64, 64), np.uint8)
SQUARE[10:31, 20:51] = 255
SPECK = np.zeros((64, 64), np.uint8)
SPECK[5, 5:14] = 255


def shares(label: NDArray[np.uint8], mix: str, draws: int = 2100) -> dict[str, float]:
    rng = np.random.default_rng(0)
    kinds = Counter(
        sample_prompt(label, mix=mix, mask_side=16, rng=rng).kind  # type: ignore[arg-type]
        for _ in range(draws)
    )
    return {kind: count / draws for kind, count in kinds.items()}


def test_tight_box_holds_inclusive_indices_of_pixels_above_128():
    label = SQUARE.copy()
    label[40, 60] = 128
    np.testing.assert_array_equal(tight_box(label), [20, 10, 50, 30])


def test_tight_box_of_nothing_is_an_error():
    with pytest.raises(DataError, match="no pixel above 128"):
        tight_box(np.full((4, 4), 128, np.uint8))


@pytest.mark.long
@pytest.mark.parametrize(
    ("mix", "expected"),
    [
        ("effective", {"box": 4 / 7, "points": 2 / 7, "mask": 1 / 7}),
        ("thirds", {"box": 1 / 3, "points": 1 / 3, "mask": 1 / 3}),
        (
            "intended",
            dict.fromkeys(
                ["box", "points", "mask", "box+points", "box+mask", "points+mask",
                 "box+points+mask"], 1 / 7,
            ),
        ),
    ],
)  # fmt: skip
def test_a_mix_has_the_stated_shares(mix, expected):
    assert shares(SQUARE, mix) == pytest.approx(expected, abs=0.035)


class Kth(np.random.Generator):
    """A generator that chooses the entry of a place, and notes of how many."""

    def __init__(self, place: int) -> None:
        super().__init__(np.random.PCG64(0))
        self.place, self.many = place, 0

    def integers(self, count: int) -> int:  # type: ignore[override]
        self.many = count
        return self.place


@pytest.mark.parametrize(
    ("label", "mix", "kinds"),
    [
        (SQUARE, "effective", "box box box box points points mask"),
        (SQUARE, "thirds", "box points mask"),
        (SQUARE, "intended", "box points mask box+points box+mask points+mask box+points+mask"),
        (SPECK, "effective", "box box mask"),
        (SPECK, "thirds", "box mask"),
        (SPECK, "intended", "box mask box+mask"),
    ],
)
def test_each_kind_of_a_mix_has_its_places_and_none_is_left_out(label, mix, kinds):
    found = []
    for place in range(len(kinds.split())):
        rng = Kth(place)
        found.append(sample_prompt(label, mix=mix, mask_side=16, rng=rng).kind)
        assert rng.many == len(kinds.split())
    assert sorted(found) == sorted(kinds.split())


@pytest.mark.parametrize(
    ("mix", "expected"),
    [
        ("effective", {"box": 2 / 3, "mask": 1 / 3}),
        ("thirds", {"box": 1 / 2, "mask": 1 / 2}),
        ("intended", {"box": 1 / 3, "mask": 1 / 3, "box+mask": 1 / 3}),
    ],
)
def test_fewer_than_ten_pixels_never_get_points(mix, expected):
    assert shares(SPECK, mix) == pytest.approx(expected, abs=0.035)


def test_ten_pixels_are_enough_for_points():
    label = SPECK.copy()
    label[5, 14] = 255
    assert "points" in shares(label, "thirds", draws=60)


@given(seed=st.integers(0, 10_000), mix=st.sampled_from(["effective", "intended", "thirds"]))
@settings(max_examples=80)
def test_the_parts_are_those_the_kind_names(seed, mix):
    prompt = sample_prompt(SQUARE, mix=mix, mask_side=16, rng=np.random.default_rng(seed))
    parts = {"box": prompt.box, "points": prompt.points, "mask": prompt.mask}
    assert "+".join(name for name, part in parts.items() if part is not None) == prompt.kind
    if prompt.mask is not None:
        assert prompt.mask.shape == (16, 16)
        assert set(np.unique(prompt.mask)) <= {0, 255}
    if prompt.box is not None and mix != "intended":
        np.testing.assert_array_equal(prompt.box, tight_box(SQUARE))


@given(seed=st.integers(0, 10_000))
@settings(max_examples=50)
def test_points_are_distinct_foreground_pixels_in_xy_order(seed):
    points = foreground_points(SQUARE, rng=np.random.default_rng(seed)).astype(int)
    assert points.shape == (10, 2)
    assert len({tuple(point) for point in points}) == 10
    assert (SQUARE[points[:, 1], points[:, 0]] == 255).all()


def test_too_few_pixels_for_the_points_asked_for_is_an_error():
    with pytest.raises(DataError, match="9 foreground pixels, 10 distinct points"):
        foreground_points(SPECK, rng=np.random.default_rng(0))


@given(
    corners=st.tuples(*[st.integers(0, 99)] * 4), seed=st.integers(0, 10_000)
)  # fmt: skip
@settings(max_examples=80)
def test_a_jittered_box_stays_near_and_inside(corners, seed):
    x0, x1 = sorted(corners[:2])
    y0, y1 = sorted(corners[2:])
    box = np.array([x0, y0, x1, y1], np.float32)
    moved = jittered_box(box, shape=(100, 100), rng=np.random.default_rng(seed))
    limit = 0.2 * np.array([x1 - x0, y1 - y0] * 2)
    assert (np.abs(moved - box) <= limit + 1e-4).all()
    assert ((moved >= 0) & (moved <= 99)).all()
    assert (moved[:2] <= moved[2:]).all()


def test_a_box_is_moved_by_a_tenth_of_its_sides_as_a_rule_and_by_a_fifth_at_most():
    box, rng = np.array([400, 300, 600, 400], np.float32), np.random.default_rng(0)
    moved = np.array([jittered_box(box, shape=(900, 900), rng=rng) for _ in range(1000)])
    shifts = (moved - box) / [200, 100, 200, 100]
    np.testing.assert_allclose(shifts.std(axis=0), 0.096, atol=0.008)
    np.testing.assert_allclose(np.abs(shifts).max(axis=0), 0.2, atol=1e-5)
    assert np.abs(np.corrcoef(shifts.T) - np.eye(4)).max() < 0.15  # each corner by itself


def test_a_noisy_mask_is_exact_away_from_edges_and_random_near_them():
    label = np.zeros((256, 256), np.uint8)
    label[64:192, 64:192] = 255
    tiny = noisy_mask(label, side=4, rng=np.random.default_rng(0))  # of a grid of one cell
    assert (tiny.shape, set(np.unique(tiny)) <= {0, 255}) == ((4, 4), True)
    first, second = (noisy_mask(label, side=64, rng=np.random.default_rng(s)) for s in (0, 1))
    small = torch.from_numpy(label[None, None] / np.float32(255))
    small = functional.interpolate(small, size=(64, 64), mode="bilinear")
    down = functional.interpolate(small, size=(8, 8), mode="bilinear")
    up = functional.interpolate(down, size=(64, 64), mode="bilinear")
    value, near = small.numpy()[0, 0], (small - up).abs().numpy()[0, 0] >= 0.01
    np.testing.assert_array_equal(first[~near], (value > 0.5)[~near] * 255.0)
    flipped = (first[near] != second[near]).mean()
    assert 0.25 < flipped < 0.6


def test_groups_hold_every_prompt_once_and_unchanged():
    rng = np.random.default_rng(3)
    prompts = [sample_prompt(SQUARE, mix="intended", mask_side=8, rng=rng) for _ in range(40)]
    groups = collate_prompts(prompts)
    assert sorted(np.concatenate([group.indices for group in groups])) == list(range(40))
    for group in groups:
        for row, index in enumerate(group.indices):
            prompt = prompts[index]
            assert (group.boxes is None) == (prompt.box is None)
            if group.boxes is not None:
                np.testing.assert_array_equal(group.boxes[row], prompt.box)
            if group.points is not None:
                np.testing.assert_array_equal(group.points[row], prompt.points)
                assert (group.point_labels[row] == 1).all()
            if group.masks is not None:
                np.testing.assert_array_equal(group.masks[row, 0], prompt.mask)


def test_different_numbers_of_points_and_sizes_of_masks_do_not_share_a_group():
    prompts = [
        Prompt(kind="points", points=np.zeros((count, 2), np.float32)) for count in (3, 10, 3)
    ]
    groups = collate_prompts(prompts)
    assert [group.indices.tolist() for group in groups] == [[0, 2], [1]]
    assert groups[0].points.shape == (2, 3, 2)
    masks = [Prompt(kind="mask", mask=np.zeros((side, side), np.float32)) for side in (8, 4, 4, 8)]
    assert [group.indices.tolist() for group in collate_prompts(masks)] == [[0, 3], [1, 2]]


def test_no_prompts_make_no_groups():
    assert collate_prompts([]) == []


class Scripted(np.random.Generator):
    """A generator whose draws are known."""

    def __init__(self, *, first: float, scale: float, offset: int = 0) -> None:
        super().__init__(np.random.PCG64(0))
        self.first, self.scale, self.offset = first, scale, offset

    def random(self) -> float:  # type: ignore[override]
        return self.first

    def uniform(self, low: float, high: float) -> float:  # type: ignore[override]
        assert low <= self.scale <= high
        return self.scale

    def integers(self, low: int, high: int) -> int:  # type: ignore[override]
        assert low == 0
        return min(self.offset, high - 1)


def torch_bilinear(array: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.float32]:
    planes = torch.from_numpy(array.astype(np.float32)).permute(2, 0, 1)[None]
    resized = functional.interpolate(planes, size=size, mode="bilinear", align_corners=False)
    return resized[0].permute(1, 2, 0).numpy()


def picture(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(30, 41), (64, 64), (25, 9), (200, 120)])
def test_squash_equals_torchs_bilinear_truncated_to_uint8(size):
    image = picture(*size)
    expected = torch_bilinear(image, (48, 48))
    ours = squash(image, 48).astype(np.float32)
    assert (ours <= expected + 0.01).all()
    assert (ours > expected - 1.01).all()


@pytest.mark.parametrize("size", [(30, 41), (25, 9), (200, 120)])
def test_squashed_mask_agrees_with_float_on_both_sides_of_128(size):
    mask = picture(*size, seed=1)[:, :, :1]
    exact = torch_bilinear(mask, (64, 64))[:, :, 0]
    clear = np.abs(exact - 128) > 0.01
    ours = squash_mask(mask[:, :, 0], 64)
    np.testing.assert_array_equal((ours > 128)[clear], (exact > 128)[clear])
    np.testing.assert_array_equal((ours >= 128)[clear], (exact >= 128)[clear])
    assert np.abs(ours - exact).max() <= 1.01


@given(height=st.integers(1, 90), width=st.integers(1, 90), data=st.data())
@settings(max_examples=60)
def test_no_object_is_lost_to_the_squash_however_small_and_stays_where_it_is(height, width, data):
    row, column = (data.draw(st.integers(0, side - 1)) for side in (height, width))
    mask = np.zeros((height, width), np.uint8)
    mask[row, column] = 255
    found = np.argwhere(squash_mask(mask, 16) > 128)
    assert len(found)
    assert (np.abs((found + 0.5) * np.array([height, width]) / 16 - [row + 0.5, column + 0.5])
            <= np.maximum(1, np.array([height, width]) / 16)).all()  # fmt: skip


def test_a_mask_without_an_object_has_none_when_it_is_squashed():
    grey = np.full((90, 40), 128, np.uint8)
    np.testing.assert_array_equal(squash_mask(grey, 16), np.full((16, 16), 128, np.uint8))


@given(value=st.integers(0, 255), height=st.integers(1, 50), width=st.integers(1, 50))
@settings(max_examples=60)
def test_a_constant_image_stays_constant(value, height, width):
    assert (squash(np.full((height, width, 3), value, np.uint8), 37) == value).all()


def test_squash_of_the_right_size_changes_nothing():
    image = picture(16, 16)
    np.testing.assert_array_equal(squash(image, 16), image)


@pytest.mark.parametrize(("first", "flipped"), [(0.499, False), (0.5, True), (0.9, True)])
def test_flip_happens_from_one_half_on(first, flipped):
    image = picture(16, 16)
    rng = Scripted(first=first, scale=1.0)
    view = augment(image, image[None, :, :, 0], side=16, jitter=(0.1, 2.0), rng=rng)
    expected = image[:, ::-1] if flipped else image
    np.testing.assert_array_equal(view.image, expected)
    np.testing.assert_array_equal(view.masks[0], expected[:, :, 0])


def test_a_small_image_is_padded_right_and_below_with_grey_and_empty_label():
    image = np.full((20, 40, 3), 10, np.uint8)
    masks = np.full((1, 20, 40), 255, np.uint8)
    rng = Scripted(first=0.0, scale=0.5)
    view = augment(image, masks, side=32, jitter=(0.1, 2.0), rng=rng)
    assert (view.image[:8, :16] == 10).all()
    assert (view.image[8:] == 128).all()
    assert (view.image[:, 16:] == 128).all()
    assert view.masks.sum() == 8 * 16 * 255


def test_the_crop_takes_the_same_part_of_image_and_mask():
    image = picture(16, 16)
    rng = Scripted(first=0.0, scale=2.0, offset=5)
    view = augment(image, image[None, :, :, 0], side=16, jitter=(0.1, 2.0), rng=rng)
    large = torch_bilinear(image, (32, 32))[5:21, 5:21]
    assert np.abs(view.image - np.floor(large)).max() <= 1
    assert np.abs(view.masks[0] - large[:, :, 0]).max() <= 1.01


@pytest.mark.parametrize("turn", [0, 1])
def test_the_longer_side_alone_is_cropped_where_the_shorter_one_fits(turn):
    image = np.rot90(picture(16, 32), turn)  # at scale 2 of a side of 16 as it is
    rng = Scripted(first=0.0, scale=2.0, offset=5)
    view = augment(image, image[None, :, :, 0], side=16, jitter=(0.1, 2.0), rng=rng)
    part = image[5:21] if turn else image[:, 5:21]
    np.testing.assert_array_equal(view.image, part)
    np.testing.assert_array_equal(view.masks[0], part[:, :, 0])


@given(
    height=st.integers(1, 60), width=st.integers(1, 60), count=st.integers(0, 3),
    seed=st.integers(0, 1000),
)  # fmt: skip
@settings(max_examples=60)
def test_a_view_has_its_shape_for_every_input(height, width, count, seed):
    rng = np.random.default_rng(seed)
    masks = np.full((count, height, width), 255, np.uint8)
    view = augment(picture(height, width), masks, side=24, jitter=(0.1, 2.0), rng=rng)
    assert view.image.shape == (24, 24, 3)
    assert view.masks.shape == (count, 24, 24)
    assert view.image.dtype == view.masks.dtype == np.uint8


def test_equal_generators_give_equal_views():
    image, masks = picture(30, 50), np.full((2, 30, 50), 255, np.uint8)
    first, second = (
        augment(image, masks, side=24, jitter=(0.5, 2.0), rng=np.random.default_rng(4))
        for _ in range(2)
    )
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.masks, second.masks)


@pytest.mark.parametrize("seed", range(4))
def test_the_longer_side_is_known_before_the_image_is(seed):
    draw = {"side": 24, "jitter": (0.1, 1.0)}
    first, again = (np.random.default_rng(seed) for _ in range(2))
    view = augment(picture(60, 30), np.full((1, 60, 30), 255, np.uint8), **draw, rng=first)
    assert view.masks[0].any(axis=1).sum() == drawn_length(**draw, rng=again)


def test_masks_of_another_size_are_refused():
    with pytest.raises(ShapeError, match=r"\(8, 9\).*\(1, 9, 8\)"):
        augment(
            picture(8, 9), np.zeros((1, 9, 8), np.uint8),
            side=8, jitter=(1, 1), rng=np.random.default_rng(0),
        )  # fmt: skip


def test_a_jittered_box_stays_inside_a_wide_image_and_reaches_its_edges():
    box = np.array([150, 10, 195, 47], np.float32)
    moved = np.array(
        [jittered_box(box, shape=(50, 200), rng=np.random.default_rng(seed)) for seed in range(60)]
    )
    assert moved[:, ::2].min() > 130
    assert moved[:, 2:].max(axis=0).tolist() == [199, 49]


@pytest.mark.parametrize("seed", range(8))
def test_a_view_is_the_part_of_the_scaled_image_that_its_draws_name(seed):
    mask = picture(10, 14)[..., 0]
    draws = np.random.default_rng(seed)
    source = mask[:, ::-1] if draws.random() >= 0.5 else mask
    target = round(12 * draws.uniform(1.0, 1.9))
    height, width = round(10 * target / 14), target
    top = int(draws.integers(0, max(0, height - 12) + 1))
    left = int(draws.integers(0, width - 12 + 1))
    large = cv2.resize(np.float32(source), (width, height), interpolation=cv2.INTER_LINEAR)
    part = large[top : top + 12, left : left + 12] > 128
    view = augment(
        picture(10, 14), mask[None], side=12, jitter=(1.0, 1.9), rng=np.random.default_rng(seed)
    )
    expected = np.pad(part, ((0, 12 - part.shape[0]), (0, 0)))
    np.testing.assert_array_equal(view.masks[0] > 128, expected)


@pytest.mark.parametrize("values", [(1, 2), (2, 1), (80, 160), (127, 254), (1, 255)])
def test_two_objects_of_which_one_lies_thinly_round_the_other_stay_two(tmp_path, values):
    rows, columns = np.mgrid[:140, :170]
    distance = np.hypot(columns - 80, rows - 70)
    for width in (3, 6, 10, 16):
        ring = (distance >= 60 - width) & (distance < 60)
        for kind in (np.uint8, np.uint16, np.int32) if values[1] < 255 else (np.uint16,):
            labels = np.where(ring, values[0], (distance < 60) * values[1]).astype(kind)
            Image.fromarray(labels).save(tmp_path / "m.tif")
            found = understand(tmp_path / "m.tif")
            counts = dict(found.objects)
            assert counts[str(values[0])] == np.count_nonzero(ring)
            assert len(counts) == 2
            assert "--masks-are trimap" in found.notes[-1] or width > 10
        colours = np.array([[0, 0, 0], [90, 200, 40], [0, 0, 255]], np.uint8)
        Image.fromarray(colours[ring + (distance < 60) * np.uint8(1)]).save(tmp_path / "m.png")
        assert len(understand(tmp_path / "m.png").objects) == 2


def test_a_trimap_of_any_values_is_never_turned_round(tmp_path):
    rows, columns = np.mgrid[:80, :100]
    distance = np.hypot(columns - 50, rows - 40)
    parts = np.digitize(distance, [24, 30])  # the object, its border and the background
    filled = np.where(columns < 6, 1, 0)

    def taken(values, parts):
        Image.fromarray(np.array(values, np.uint8)[parts]).save(tmp_path / "m.png")
        return understand(tmp_path / "m.png", Reading.TRIMAP).mask() > 128

    for values in ((1, 3, 2), (3, 2, 1), (255, 128, 0), (2, 1, 0), (200, 100, 0), (1, 2, 0)):
        assert np.array_equal(taken(values, parts), parts == 0)
    for values in ((1, 3, 2), (255, 128, 0)):
        assert np.array_equal(taken(values, filled), filled == 0)
    refused = (((2, 1), filled), ((3, 2), filled), ((0, 100, 200), parts), ((2, 1, 3), parts))
    for values, of in (*refused, ((3, 1, 2), parts)):
        with pytest.raises(
            InvalidItemError, match=r"m\.png holds .* which is the object and which"
        ):
            taken(values, of)
    with pytest.raises(InvalidItemError, match="which is the object"):
        taken((1, 2, 3), parts)  # the background of 1, 2, 3 inside
    corner = np.where(columns + rows < 20, 2, np.where(columns + rows < 26, 1, 0))
    with pytest.raises(InvalidItemError, match="which is the object"):
        taken((2, 1, 0), corner)
    assert np.array_equal(taken((1, 3, 2), corner), corner == 0)


@pytest.mark.parametrize("palette", [False, True])
def test_an_object_in_the_colour_of_vocs_borders_is_one_unless_it_lies_thinly_round(
    tmp_path, palette
):
    colours = np.array([[0, 0, 0], [128, 0, 0], [224, 224, 192]], np.uint8)

    def counts(labels, reading=Reading.AUTO):
        image = Image.fromarray(labels if palette else colours[labels])
        if palette:
            image.putpalette(colours.tobytes())
        image.save(tmp_path / "m.png")
        found = understand(tmp_path / "m.png", reading)
        assert len(found.notes) == 2 - len(found.objects)
        return [pixels for _, pixels in found.objects]

    apart = np.zeros((128, 160), np.uint8)
    apart[20:60, 20:60], apart[70:110, 90:130] = 1, 2
    assert counts(apart) == counts(apart, Reading.INDEX) == [1600, 1600]
    for width, pixels in ((1, []), (5, []), (15, [3300])):
        ringed = np.zeros((128, 160), np.uint8)
        ringed[20 - width : 60 + width, 20 - width : 60 + width] = 2
        ringed[20:60, 20:60] = 1
        assert counts(ringed) == [1600, *pixels]
        assert len(counts(ringed, Reading.INDEX)) == 2


@pytest.mark.parametrize("kind", [np.uint8, np.float64])  # Pillow reads the one, tifffile the other
@pytest.mark.parametrize("size", [(49, 64), (60, 60), (24, 24), (24, 36), (25, 32), (96, 140)])
def test_a_page_that_is_no_small_version_of_the_first_is_not_read_in_its_place(
    tmp_path, kind, size
):
    image, other = np.full((48, 64), 200, kind), np.zeros(size, kind)
    for first, second in ((image, other), (other, image)):
        with tifffile.TiffWriter(tmp_path / "a.tif") as file:
            file.write(first, metadata=None)
            file.write(second, metadata=None)
        found = load_image(tmp_path / "a.tif")
        assert found.pixels.shape[:2] == read_header(tmp_path / "a.tif").size == first.shape
        said = "its first page is the image, and further ones of other sizes are left out"
        assert said in found.notes
        with pytest.raises(InvalidItemError, match="is a stack of 2 pages"):
            understand(tmp_path / "a.tif")
        assert load_image(tmp_path / "a.tif", page=2).pixels.shape[:2] == second.shape
        assert said not in load_image(tmp_path / "a.tif", page=1).notes


@pytest.mark.parametrize("kind", [np.uint8, np.float64])
def test_small_versions_of_a_page_are_passed_over_wherever_they_lie(tmp_path, kind):
    whole, small = np.full((48, 65), 200, kind), np.zeros((24, 33), kind)
    whole[:9] = 0
    for pages in ((small, whole), (whole, small), (small[:13, :16], whole, small)):
        with tifffile.TiffWriter(tmp_path / "a.tif") as file:
            for page in pages:
                file.write(page, metadata=None)
        assert load_image(tmp_path / "a.tif").pixels.shape == (48, 65, 3)
        assert understand(tmp_path / "a.tif").objects[0][1] == 39 * 65


def test_deep_colours_that_only_xmp_turns_are_turned_once_and_only_if_that_is_wanted(tmp_path):
    names = 'xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
    said = 'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"'
    body = f"<r:RDF {names}><r:Description {said}/></r:RDF>"
    xmp = f'<x:xmpmeta xmlns:x="adobe:ns:meta/">{body}</x:xmpmeta>'.encode()
    for kind in (np.uint8, np.uint16):
        deep = np.full((6, 7, 3), np.iinfo(kind).max, kind)
        tag = [(700, "B", len(xmp), xmp, True)]
        tifffile.imwrite(tmp_path / "a.tif", deep, photometric="rgb", extratags=tag)
        assert load_image(tmp_path / "a.tif").pixels.shape == (7, 6, 3)
        assert read_image(tmp_path / "a.tif", upright=False).shape == (6, 7, 3)


def test_two_numbers_of_2_bits_are_no_shades_of_a_trimap(tmp_path):
    rows, columns = np.mgrid[:140, :160]
    distance = np.hypot(columns - 80, rows - 70)
    labels = np.where(distance < 54, 3, distance < 60).astype(np.uint8)
    packed = (labels.reshape(140, 40, 4) * [64, 16, 4, 1]).sum(axis=2).astype(np.uint8)
    (tmp_path / "m.png").write_bytes(png_of_2_bits(packed, 160))
    found = understand(tmp_path / "m.png")
    assert [label for label, _ in found.objects] == ["1", "3"]
    assert "--masks-are trimap" in found.notes[-1]


def png_of_2_bits(packed, width):
    """Write greys of 2 bits, four a byte, as (H, W / 4)."""

    def chunk(name, content):
        crc = zlib.crc32(name + content)
        return len(content).to_bytes(4, "big") + name + content + crc.to_bytes(4, "big")

    header = struct.pack(">IIBBBBB", width, len(packed), 2, 0, 0, 0, 0)
    rows = zlib.compress(b"".join(b"\0" + row.tobytes() for row in packed))
    parts = chunk(b"IHDR", header), chunk(b"IDAT", rows), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
