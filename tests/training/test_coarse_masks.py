"""Coarse masks: what a hurried annotator leaves out and never loses; and how views are coloured."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from photograph_pool import write_pool

from pasam.training import annotated, object_batches
from pasam.training.annotated import coarsen, read_photographs

SIDE = 256


def disk(radius: int, centre: tuple[int, int] = (128, 128)) -> NDArray[np.uint8]:
    return cv2.circle(np.zeros((SIDE, SIDE), np.uint8), centre, radius, 255, -1)


def wheel() -> NDArray[np.uint8]:
    canvas = cv2.circle(np.zeros((SIDE, SIDE), np.uint8), (128, 128), 90, 255, 8)
    for angle in np.linspace(0, np.pi, 12, endpoint=False):
        dx, dy = int(90 * np.cos(angle)), int(90 * np.sin(angle))
        cv2.line(canvas, (128 - dx, 128 - dy), (128 + dx, 128 + dy), 255, 4)
    return canvas


def comb() -> NDArray[np.uint8]:
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    canvas[60:90, 40:220] = 255
    for x in range(40, 220, 24):
        canvas[90:190, x : x + 4] = 255
    return canvas


def wire() -> NDArray[np.uint8]:
    x = np.arange(20, 236)
    y = (128 + 60 * np.sin(x / 20)).astype(int)
    points = np.stack([x, y], axis=1).astype(np.int32)
    return cv2.polylines(np.zeros((SIDE, SIDE), np.uint8), [points], False, 255, 2)


def outline_length(mask: NDArray[np.uint8]) -> float:
    contours, _ = cv2.findContours(
        (mask > 128).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
    )
    return sum(cv2.arcLength(contour, True) for contour in contours)


def complexity(mask: NDArray[np.uint8]) -> float:
    return outline_length(mask) ** 2 / (4 * np.pi * (mask > 128).sum())


def overlap(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    return float(((one > 128) & (other > 128)).sum() / ((one > 128) | (other > 128)).sum())


def coarse(mask: NDArray[np.uint8], share: float = 0.03, seed: int = 0) -> NDArray[np.uint8]:
    return coarsen(mask, radius_fraction=share, rng=np.random.default_rng(seed))


@given(radius=st.integers(32, 110), seed=st.integers(0, 99), share=st.floats(0.005, 0.03))
@settings(max_examples=40)
def test_a_simple_disk_stays(radius, seed, share):
    assert overlap(coarse(disk(radius), share, seed), disk(radius)) > 0.9


@given(seed=st.integers(0, 9999), share=st.floats(0, 0.2), ink=st.integers(1, 60))
@settings(max_examples=60)
def test_no_object_is_ever_lost(seed, share, ink):
    rng = np.random.default_rng(seed)
    height, width = (int(n) for n in rng.integers(1, 80, 2))
    mask = np.zeros((height, width), np.uint8)
    mask[rng.integers(0, height, ink), rng.integers(0, width, ink)] = 255
    result = coarsen(mask, radius_fraction=share, rng=rng)
    assert result.any()
    assert set(np.unique(result)) <= {0, 255}
    assert result.shape == mask.shape
    assert result.dtype == np.uint8


@pytest.mark.parametrize("shape", [wheel, comb, wire])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_outline_becomes_much_simpler(shape, seed):
    assert complexity(coarse(shape(), seed=seed)) < 0.5 * complexity(shape())


def test_gaps_between_spokes_are_filled_and_teeth_are_lost():
    assert (coarse(wheel(), 0.08)[100:156, 100:156] == 255).all()
    shortened = coarse(comb(), 0.02)
    assert not shortened[150:, :].any()
    assert shortened[62:88, 60:200].mean() > 250


def test_a_wheel_becomes_one_solid_disk():
    result = coarse(wheel(), 0.02)
    assert overlap(result, disk(94)) > 0.95
    assert cv2.connectedComponents(result)[0] == 2


def test_a_large_hole_stays_a_hole():
    ring = disk(110) - disk(80)
    assert not coarse(ring, 0.02)[100:156, 100:156].any()


def test_a_thin_wire_is_drawn_thick_rather_than_dropped():
    result = coarse(wire())
    assert (result[wire() > 128] == 255).mean() > 0.8


def test_objects_at_the_rim_of_the_image_stay_there():
    mask = disk(80, centre=(0, 128))
    result = coarse(mask)
    assert overlap(result, mask) > 0.9
    assert result[100:156, 0].all()


@pytest.mark.parametrize("value", [0, 255])
def test_an_empty_and_a_full_mask_stay_what_they_are(value):
    assert (coarse(np.full((30, 40), value, np.uint8)) == value).all()


def test_no_radius_only_thresholds():
    soft = np.array([[0, 128, 129, 255]], np.uint8)
    np.testing.assert_array_equal(coarse(soft, 0.0), [[0, 0, 255, 255]])


def test_the_random_factor_changes_the_result_and_a_seed_repeats_it():
    results = [coarse(wheel(), seed=seed) for seed in (0, 1, 0)]
    np.testing.assert_array_equal(results[0], results[2])
    assert (results[0] != results[1]).any()


def test_every_photograph_and_scene_is_coarsened_by_factors_of_its_own(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        annotated, "annotate", lambda dataset, *parts, rng, **how: drawn.append(rng.random())
    )
    read_photographs(write_pool(tmp_path), coarseness=0.01, workers=1)
    annotated.draw_scenes(2, seed=7, side=64, coarseness=0.01, workers=1)
    seeds = [annotated.scene_seed(7, dataset="generated_pretraining", index=i) for i in (0, 1)]
    streams = [[0, 0], [0, 1], [0, 2], *([1, seed] for seed in seeds)]
    assert drawn == [np.random.default_rng(stream).random() for stream in streams]


@pytest.mark.parametrize("shape", [(100, 200), (200, 100)])
def test_a_radius_is_a_part_of_the_longer_side_and_for_small_objects_of_their_extent(
    shape, monkeypatch
):
    radii = []
    monkeypatch.setattr(
        annotated,
        "coarsen",
        lambda mask, *, radius_fraction, rng: radii.append(radius_fraction) or mask,
    )
    masks = np.zeros((3, *shape), np.uint8)
    masks[0, 3:8, 10:30], masks[1, 20:80, 20:80] = 255, 255  # the last one shows nothing
    image, rng = np.zeros((*shape, 3), np.uint8), np.random.default_rng(0)
    annotated.annotate("cats", image, masks, coarseness=0.01, rng=rng)
    assert radii == pytest.approx([0.05 * 10 / 200, 0.01])


def test_masks_are_brought_down_with_their_photograph(tmp_path, monkeypatch):
    monkeypatch.setattr(annotated, "LONGEST_SIDE", 60)  # of photographs of 120 x 80
    first = read_photographs(write_pool(tmp_path), coarseness=0.0, workers=1)[0]
    assert first.shape == (40, 60)
    assert first.boxes.tolist() == [[3, 5, 26, 24], [35, 25, 44, 32]]
    assert [len(packed) for packed in (*first.fine, *first.coarse, first.union)] == [40] * 5


@pytest.mark.parametrize(("gap", "bridged"), [(12, True), (60, False)])
def test_a_gap_that_a_hurried_hand_does_not_see_is_bridged(gap, bridged):
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[90:160, 30:90], mask[90:160, 90 + gap : 150 + gap] = 255, 255
    drawn = coarsen(mask, radius_fraction=0.05, rng=np.random.default_rng(0))
    assert (drawn[100:150, 90 : 90 + gap] > 0).all() == bridged
    assert (drawn[100:150, 90 : 90 + gap] > 0).any() == bridged


def test_a_second_large_part_stays_and_so_does_what_fills_the_images_corner():
    mask = disk(40, (60, 60)) | disk(30, (60, 190))
    mask[128:, 128:] = 255
    drawn = coarsen(mask, radius_fraction=0.03, rng=np.random.default_rng(0)) > 0
    assert drawn[60, 60]
    assert drawn[190, 60]
    assert drawn[240:, 240:].all()


def test_each_channel_of_a_middle_grey_changes_by_its_own_gain():
    grey = np.full((2, 3, 3), 128, np.uint8)
    for seed in range(9):
        draws = np.random.default_rng(seed)
        gain = draws.uniform(0.7, 1.3) * draws.uniform(0.9, 1.1, 3)
        wanted = 128 * gain + draws.uniform(-25, 25) + 128 * (1 - gain.mean())
        found = object_batches._recoloured(grey, np.random.default_rng(seed))
        assert np.array_equal(found, np.broadcast_to(wanted.astype(np.uint8), (2, 3, 3)))
