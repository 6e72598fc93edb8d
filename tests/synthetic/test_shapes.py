"""Objects of the simple family: solid, with a smooth but varied outline."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pasam.data.manifest import complexity
from pasam.errors import DataError
from pasam.synthetic import dichotomous, thin
from pasam.synthetic.dichotomous import gate, ladder, wheel
from pasam.synthetic.randomness import HELD_OUT_SLOTS, SLOTS, Draws
from pasam.synthetic.rims import FRAYED, SMOOTH, blob
from pasam.synthetic.strokes import (
    THINNEST,
    THINNEST_HAIR,
    Drawing,
    circle,
    ellipse,
    limb,
    points,
    rasterise,
    smooth,
)
from pasam.synthetic.surfaces import (
    HELD_OUT_GREYS,
    HELD_OUT_PHOTOGRAPHS,
    KINDS,
    TILE,
    TRAINING_GREYS,
    TRAINING_PHOTOGRAPHS,
    blend,
    colour_table,
    crop,
    expose,
    ground,
    material,
    paint,
    photograph,
    photograph_crop,
    tile,
)
from pasam.synthetic.thin import cable, comb


@pytest.mark.parametrize("shape", SMOOTH, ids=lambda shape: shape.__name__)
@pytest.mark.parametrize("held_out", [False, True])
def test_every_object_is_mostly_body(shape, held_out, solid, kept):
    shares = [kept(solid(shape, seed, held_out=held_out), 9) for seed in range(3)]
    assert np.mean(shares) > 0.6


def test_a_blob_is_whole(solid, holes):
    assert all(holes(solid(blob, seed)) == 0 for seed in range(5))


def test_no_two_blobs_are_alike(solid):
    assert len({solid(blob, seed).tobytes() for seed in range(5)}) == 5


@pytest.mark.parametrize("shape", FRAYED, ids=lambda shape: shape.__name__)
@pytest.mark.parametrize("held_out", [False, True])
def test_strands_vanish_under_an_opening_and_the_body_stays(shape, held_out, solid, kept):
    shares = [kept(solid(shape, seed, held_out=held_out), 9) for seed in range(3)]
    assert 0.2 < np.mean(shares) < 0.995


@pytest.mark.parametrize("shape", FRAYED, ids=lambda shape: shape.__name__)
def test_a_rim_is_more_complex_than_a_smooth_outline(shape, solid):
    smooth = np.mean([complexity(255 * solid(blob, seed)) for seed in range(3)])
    assert np.mean([complexity(255 * solid(shape, seed)) for seed in range(3)]) > 1.5 * smooth


@pytest.mark.parametrize("shape", thin.SHAPES, ids=lambda shape: shape.__name__)
@pytest.mark.parametrize("held_out", [False, True])
def test_most_of_every_object_vanishes_under_an_opening(shape, held_out, solid, kept):
    shares = [kept(solid(shape, seed, held_out=held_out), 17) for seed in range(3)]
    assert np.mean(shares) < 0.5


@pytest.mark.parametrize("shape", thin.SHAPES, ids=lambda shape: shape.__name__)
def test_no_stroke_is_too_fine_to_be_seen(shape, solid, kept):
    assert np.mean([kept(solid(shape, seed), 2) for seed in range(3)]) > 0.9


def test_seeds_give_different_cables_and_combs(solid):
    for shape in (cable, comb):
        assert len({solid(shape, seed).tobytes() for seed in range(4)}) == 4


@pytest.mark.parametrize("shape", dichotomous.SHAPES, ids=lambda shape: shape.__name__)
@pytest.mark.parametrize("held_out", [False, True])
def test_every_object_encloses_ground_or_spans_gaps(shape, held_out, solid, holes):
    masks = [solid(shape, seed, held_out=held_out) for seed in range(3)]
    assert max(holes(mask) for mask in masks) >= 2


@pytest.mark.parametrize(("shape", "fewest"), [(wheel, 3), (ladder, 2), (gate, 4)])
def test_spokes_rungs_and_bars_divide_the_inside(shape, fewest, solid, holes):
    assert min(holes(solid(shape, seed)) for seed in range(4)) >= fewest


def test_two_wheels_differ_in_what_they_enclose(solid, holes):
    assert len({holes(solid(wheel, seed)) for seed in range(8)}) > 1


seeds = st.integers(0, 2**32)


@given(seeds)
def test_the_same_entropy_gives_the_same_stream(seed):
    one, two = Draws(seed, 3, held_out=False), Draws(seed, 3, held_out=False)
    assert one.free(0, 1) == two.free(0, 1)
    assert np.array_equal(one.levels(0, 255, (4, 4)), two.levels(0, 255, (4, 4)))


@given(seeds)
def test_real_shape_values_lie_in_the_slots_of_their_side_of_the_split(seed):
    for held_out in (False, True):
        value = Draws(seed, held_out=held_out).shape(10.0, 18.0)
        assert 10.0 <= value < 18.0
        slot = int((value - 10.0) / 8.0 * SLOTS)
        assert (slot in HELD_OUT_SLOTS) == held_out


@given(seeds, st.integers(0, 20), st.integers(0, 20))
def test_whole_shape_values_of_both_sides_never_coincide(seed, low, extra):
    training = Draws(seed, held_out=False).whole(low, low + extra)
    held_out = Draws(seed, held_out=True).whole(low, low + extra)
    assert training % 3 != 2
    assert held_out % 3 == 2
    assert low <= min(training, held_out)
    assert max(training, held_out) <= max(low + extra, low + 2)


@given(seeds, st.integers(1, 9))
def test_an_index_stays_inside_its_range(seed, count):
    assert 0 <= Draws(seed, held_out=False).index(count) < count


def test_a_negative_seed_is_refused_with_its_value():
    with pytest.raises(DataError, match="-4"):
        Draws(-4, held_out=False)


def test_grounds_have_the_asked_shape_and_differ_between_seeds():
    one = ground(Draws(1, held_out=False), height=70, width=90)
    two = ground(Draws(2, held_out=False), height=70, width=90)
    assert one.shape == (70, 90, 3)
    assert one.dtype == np.uint8
    assert np.abs(one.astype(int) - two).mean() > 5


def test_materials_are_reproducible():
    one, two = (material(Draws(5, held_out=True), height=40, width=30) for _ in range(2))
    assert np.array_equal(one, two)


def test_blending_follows_the_coverage():
    picture, surface = np.full((1, 3, 3), 10, np.uint8), np.full((1, 3, 3), 210, np.uint8)
    blend(picture, surface, np.array([[0, 51, 255]], np.uint8))
    assert picture[0, :, 0].tolist() == [10, 50, 210]


@pytest.mark.parametrize("kind", KINDS)
def test_a_tile_has_structure_and_another_form_when_held_out(kind):
    training, held_out = (tile(kind, 0, held_out=side) for side in (False, True))
    assert training.shape == (TILE, TILE)
    assert training.dtype == np.uint8
    assert training.std() > 8
    assert not np.array_equal(training, held_out)


def test_a_table_runs_smoothly_from_one_colour_to_another():
    for seed in range(20):
        table = colour_table(Draws(seed, held_out=False), contrast=(0.1, 0.5))
        assert table.shape == (256, 3)
        assert np.abs(np.diff(table.astype(int), axis=0)).max() <= 2


def test_the_brightness_of_the_ends_differs_by_at_least_the_contrast():
    for seed in range(20):
        table = colour_table(Draws(seed, held_out=False), contrast=(0.3, 0.5)).astype(int)
        assert abs(table[0].max() - table[-1].max()) >= 0.25 * 255 or table.max() == 255


def test_held_out_photographs_are_not_used_in_training():
    training = {*TRAINING_PHOTOGRAPHS, *TRAINING_GREYS}
    assert training.isdisjoint({*HELD_OUT_PHOTOGRAPHS, *HELD_OUT_GREYS})


@pytest.mark.parametrize("name", [*TRAINING_PHOTOGRAPHS, *HELD_OUT_PHOTOGRAPHS])
def test_every_photograph_is_in_the_package(name):
    assert photograph(name, grey=False).ndim == 3


def test_a_missing_photograph_is_named():
    with pytest.raises(DataError, match=r"nowhere\.png"):
        photograph("nowhere.png", grey=False)


def test_a_window_of_a_flat_picture_is_flat():
    flat = np.full((50, 80), 77, np.uint8)
    window = crop(flat, Draws(3, held_out=False), height=33, width=21, zoom=(0.3, 0.9))
    assert window.shape == (33, 21)
    assert (window == 77).all()


def test_crops_differ_between_seeds():
    one, two = (photograph_crop(Draws(s, held_out=False), height=64, width=64) for s in (1, 2))
    assert one.shape == (64, 64, 3)
    assert not np.array_equal(one, two)


def _painted(seed):
    drawing = Drawing()
    drawing.fill(circle(64, 64, 40))
    layer = rasterise(drawing, side=256, height=128, width=128)
    before = np.full((128, 128, 3), 120, np.uint8)
    after = before.copy()
    paint(after, layer, Draws(seed, held_out=False), unit=1.0)
    inside = np.zeros((128, 128), np.uint8)
    inside[layer.window] = layer.coverage
    return before.astype(int), after.astype(int), inside


def test_an_object_stands_out_from_what_it_covers():
    for seed in range(30):
        before, after, inside = _painted(seed)
        assert (np.abs(after - before).max(axis=2)[inside > 128] > 20).mean() > 0.6


def test_the_ground_is_at_most_darkened():
    for seed in range(30):
        before, after, inside = _painted(seed)
        assert (after <= before)[inside == 0].all()


def test_exposure_changes_little_and_is_reproducible():
    ramp = np.tile(np.arange(40, 200, 2, dtype=np.uint8)[None, :, None], (60, 1, 3))
    for seed in range(10):
        one, two = (expose(ramp, Draws(seed, held_out=False)) for _ in range(2))
        assert np.array_equal(one, two)
        assert one.shape == ramp.shape
        assert np.corrcoef(one.ravel(), ramp.ravel())[0, 1] > 0.9


def test_every_exposed_picture_has_some_noise():
    flat = np.full((64, 64, 3), 128, np.uint8)
    for seed in range(10):
        assert expose(flat, Draws(seed, held_out=False)).std() > 0.5


@given(st.floats(0.0, 9.0))
def test_lines_are_never_thinner_than_the_least_width(width):
    drawing = Drawing()
    drawing.line(points((0, 0), (5, 5)), width=width)
    assert drawing.marks[0].width >= max(width, THINNEST)


def test_hair_is_thickest_at_the_root_and_never_too_thin():
    drawing = Drawing()
    drawing.hair([points((0, 0), (1, 0), (2, 0), (3, 0))], width=3.0)
    strand, root = drawing.marks
    assert root.width > strand.width >= THINNEST_HAIR
    assert len(root.lines[0]) < len(strand.lines[0])


@given(st.floats(-3.0, 3.0), st.booleans())
def test_turning_keeps_a_centred_circle_where_it_is(angle, mirrored):
    drawing = Drawing()
    drawing.fill(circle(0, 0, 10))
    turned = drawing.turned(angle=angle, mirrored=mirrored, stretch=1.0)
    assert turned.bounds() == pytest.approx((-10, -10, 10, 10), abs=0.05)


def test_bounds_count_half_the_stroke_width_and_ignore_cuts():
    drawing = Drawing()
    drawing.line(points((0, 0), (10, 0)), width=4.0)
    drawing.cut(circle(0, 0, 100))
    assert drawing.bounds() == (-2.0, -2.0, 12.0, 2.0)


def test_a_smooth_curve_passes_through_its_corners():
    corners = points((0, 0), (4, 3), (9, -2))
    curve = smooth(corners, closed=False, steps=5)
    assert np.allclose(curve[[0, 5, 10]], corners)


def test_a_limb_is_as_wide_as_asked():
    outline = limb(points((0, 0), (10, 0)), (4.0, 4.0))
    assert np.ptp(outline[:, 1]) == pytest.approx(4.0)


def test_a_turned_ellipse_swaps_its_axes():
    assert np.ptp(ellipse(0, 0, 4, 2, turn=np.pi / 2), axis=0) == pytest.approx((4, 8))


def _disc(x=128.0, y=128.0, radius=50.0):
    drawing = Drawing()
    drawing.fill(circle(x, y, radius))
    return drawing


@pytest.mark.parametrize("side", [64, 128, 256])
def test_a_disc_covers_its_area_at_every_size(side):
    layer = rasterise(_disc(), side=side, height=side, width=side)
    assert layer.coverage.sum() / 255 == pytest.approx(np.pi * (50 * side / 256) ** 2, rel=0.025)


def test_a_line_covers_its_length_times_its_width():
    drawing = Drawing()
    drawing.line(points((20, 100), (220, 100)), width=5.0)
    layer = rasterise(drawing, side=256, height=256, width=256)
    assert layer.coverage[:, 100].sum() / 255 == pytest.approx(5.0, abs=0.5)


def test_edges_are_soft_and_the_inside_is_solid():
    layer = rasterise(_disc(), side=256, height=256, width=256)
    assert ((layer.coverage > 0) & (layer.coverage < 255)).any()
    middle = layer.coverage.shape[0] // 2
    assert layer.coverage[middle, middle] == 255


def test_cuts_go_through_all_parts():
    drawing = _disc()
    drawing.fill(circle(128, 128, 30), part=1)
    drawing.cut(circle(128, 128, 10))
    layer = rasterise(drawing, side=256, height=256, width=256)
    centre = 128 - layer.top, 128 - layer.left
    assert len(layer.parts) == 2
    assert all(part[centre] == 0 for part in (*layer.parts, layer.coverage))


def test_what_juts_out_of_the_picture_is_clipped():
    layer = rasterise(_disc(x=0.0), side=256, height=256, width=200)
    assert layer.left == 0
    assert layer.coverage.sum() / 255 == pytest.approx(np.pi * 50**2 / 2, rel=0.02)
    assert np.zeros((256, 200))[layer.window].shape == layer.coverage.shape
