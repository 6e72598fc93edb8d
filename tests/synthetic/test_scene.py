"""Scenes: the same seed gives the same bytes, masks are usable, and cheap tricks fail."""

import hashlib

import cv2
import numpy as np
import pytest

from pasam.errors import DataError
from pasam.synthetic import scene as composition
from pasam.synthetic.randomness import Draws
from pasam.synthetic.scene import (
    FAMILIES,
    KINDS,
    LOOKS,
    SHAPES,
    Canvas,
    compose,
    draw_group,
    draw_scene,
    simulate_detections,
    usual_targets,
    with_look,
)
from pasam.synthetic.strokes import THINNEST_HAIR, rasterise
from pasam.synthetic.surfaces import KINDS as TEXTURES
from pasam.synthetic.surfaces import tile

PINNED = {
    ("dis", 11, 128, False, 1): "aafaf990ec077c80",
    ("coift", 12, 128, True, 1): "def26224398faf63",
    ("hrsod", 13, 128, False, 1): "803f815f58548b61",
    ("thin", 14, 128, True, 1): "29548fde62f21de6",
    ("mixed", 15, 96, False, 3): "39591e0f53282c13",
    ("dis", 21, 96, True, 1): "86fec42ccbb6965c",
    ("coift", 22, 96, False, 1): "e263dbdc2c2250d5",
    ("hrsod", 23, 96, True, 1): "f35f98d2d85ac338",
    ("thin", 24, 96, False, 1): "0c70c9e18628e77e",
    ("mixed", 25, 128, True, 2): "0a5cb4090b2a12c6",
    ("dis", 26, 160, False, 2): "16feafba809e0d73",
}
PINNED_SHAPES = {
    "animal": "45f4b6a64305", "basket": "c6ca4a2dc989", "beast": "fbdec6c89f4e",
    "bicycle": "c0e05a47f76f", "bird": "247c6a1e4a64", "blob": "8895b3956ba8",
    "bush": "0276b3e367d4", "cable": "5ae31578d9c2", "chair": "31368c4b172a",
    "comb": "745f31c2f091", "fish": "c40062c6b045", "fork": "99767ed5afb6",
    "furry": "e3577a3a548b", "gate": "5bcafe97263b", "gear": "2bd0fdb675f9",
    "ladder": "e82e19f4368e", "leaf": "3b3e9bc87f35", "parasol": "9ebd3dbf1a4d",
    "pennant": "51ceb5034397", "person": "99a0df79bab9", "plumage": "9fcbe6fafa6f",
    "portrait": "11ead940f2fc", "racket": "22ecab287a08", "scissors": "7b21549622ad",
    "shelf": "502a1a976e49", "spectacles": "6c7c9b158b0c", "star": "bcc29751b3c2",
    "thistle": "6ab728162d11", "tree": "ef55b9de2934", "truss": "c8387ee49186",
    "vessel": "817a02ef6d93", "wheel": "66e5cc2d6488",
}  # fmt: skip
PINNED_TEXTURES = {
    "clouds": "8b89a6b26d7e", "wood": "f2e473cffbc9", "stripes": "5559324325ca",
    "checks": "fd2cfe52440e", "bricks": "3714a5e977b4", "grass": "19c5a4becf5b",
    "pebbles": "c702efa996a0", "spots": "41ebfcf636fe", "slope": "11ab63fbe7ba",
    "photographed": "b6f6923432c0",
}  # fmt: skip


def _of_all(arrays):
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()


def _digest(scene):
    return _of_all((scene.image, *scene.masks))[:16]


def _box(mask):
    rows, columns = np.nonzero((mask > 128).any(axis=1))[0], np.nonzero((mask > 128).any(axis=0))[0]
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _iou(one, two):
    return (one & two).sum() / max((one | two).sum(), 1)


@pytest.mark.parametrize(("arguments", "digest"), PINNED.items())
def test_pixels_are_those_of_the_day_the_seed_was_pinned(arguments, digest):
    family, seed, side, held_out, objects = arguments
    scene = draw_scene(family=family, seed=seed, side=side, held_out=held_out, objects=objects)
    assert _digest(scene) == digest


@pytest.mark.parametrize(("number", "digest"), [(1, "aff91bdc8c0bdefb"), (7, "9501001f98a5a219")])
def test_groups_are_those_of_the_day_too_and_hold_objects_smaller_than_a_lone_one(number, digest):
    kinds = ("fork", "leaf", "cable")
    group = draw_group(entropy=(5, number), side=96, kinds=kinds, objects=(3, 5))
    assert _digest(group) == digest
    assert min((mask > 128).mean() for mask in group.masks) < 0.01
    other = draw_group(entropy=(5, number), side=97, kinds=kinds, objects=(3, 5))
    assert other.kinds != group.kinds  # another picture, not the same one larger


def _rastered(shape, seed):
    """Coverage of a shape, and of each of its parts; every other seed is held out."""
    drawing = shape(Draws(seed, held_out=seed % 2 == 1), 180.0)
    left, top, right, bottom = drawing.bounds()
    moved = drawing.mapped(np.eye(2), np.array([4 - left, 4 - top]))
    layer = rasterise(moved, side=256, height=int(bottom - top) + 8, width=int(right - left) + 8)
    return layer.coverage, *layer.parts


def test_shapes_and_textures_are_those_that_the_published_tables_were_made_of():
    shapes = {shape for of_family in SHAPES.values() for shape in of_family}
    drawn = {
        shape.__name__: _of_all(array for seed in range(4) for array in _rastered(shape, seed))[:12]
        for shape in shapes
    }
    assert drawn == PINNED_SHAPES
    both = {
        kind: (tile(kind, 0, held_out=False), tile(kind, 1, held_out=True)) for kind in TEXTURES
    }
    assert {kind: _of_all(tiles)[:12] for kind, tiles in both.items()} == PINNED_TEXTURES


def test_the_number_of_threads_changes_nothing():
    threads = cv2.getNumThreads()
    try:
        digests = set()
        for count in (1, 4):
            cv2.setNumThreads(count)
            digests.add(_digest(draw_scene(family="dis", seed=4, side=128, held_out=False)))
    finally:
        cv2.setNumThreads(threads)
    assert len(digests) == 1


def test_seeds_families_and_splits_give_different_scenes():
    variants = [
        {"family": "dis", "seed": 1, "held_out": False},
        {"family": "dis", "seed": 2, "held_out": False},
        {"family": "thin", "seed": 1, "held_out": False},
        {"family": "dis", "seed": 1, "held_out": True},
    ]
    assert len({_digest(draw_scene(side=96, **variant)) for variant in variants}) == 4


@pytest.mark.long
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("held_out", [False, True])
def test_masks_keep_their_limits(family, held_out):
    for seed in range(8):
        scene = draw_scene(family=family, seed=seed, side=128, held_out=held_out)
        (mask,) = scene.masks
        height, width = mask.shape
        assert scene.image.shape == (height, width, 3)
        assert scene.image.dtype == mask.dtype == np.uint8
        assert 0.01 <= (mask > 128).mean() <= 0.75
        assert ((mask > 0) & (mask < 255)).any()
        if held_out:
            assert 96 <= height <= 160
            assert 96 <= width <= 160
        else:
            assert (height, width) == (128, 128)


@pytest.mark.parametrize("objects", [2, 3])
def test_a_mixed_scene_has_as_many_targets_as_asked(objects):
    for seed in range(4):
        scene = draw_scene(family="mixed", seed=seed, side=128, held_out=False, objects=objects)
        assert len(scene.masks) == objects
        assert all((mask > 128).mean() >= 0.01 for mask in scene.masks)


@pytest.mark.long
def test_neither_the_filled_box_nor_a_colour_threshold_solves_a_family():
    for family in FAMILIES:
        filled, thresholded = [], []
        for seed in range(16):
            scene = draw_scene(family=family, seed=seed, side=128, held_out=True)
            truth = scene.masks[0] > 128
            box = np.zeros_like(truth)
            box[_box(scene.masks[0])] = True
            outside = np.median(scene.image[~box], axis=0)
            distance = np.abs(scene.image - outside).max(axis=2)[box].astype(np.uint8)
            level, _ = cv2.threshold(distance, 0, 255, cv2.THRESH_OTSU)
            guess = np.zeros_like(truth)
            guess[box] = distance > level
            filled.append(_iou(box, truth))
            thresholded.append(_iou(guess, truth))
        assert np.mean(filled) < 0.65, family
        assert np.mean(thresholded) < 0.7, family


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"family": "cars"}, "'cars'"),
        ({"side": 10}, "10 pixels"),
        ({"objects": 4}, "4 objects"),
        ({"seed": -1}, "-1"),
    ],
)
def test_arguments_out_of_range_are_refused_with_their_value(wrong, message):
    arguments = {"family": "dis", "seed": 0, "side": 128, "held_out": False, "objects": 1}
    with pytest.raises(DataError, match=message):
        draw_scene(**{**arguments, **wrong})


ALL_SHAPES = sorted(
    {(family, shape) for family, shapes in SHAPES.items() for shape in shapes},
    key=lambda pair: (pair[0], pair[1].__name__),
)


@pytest.mark.parametrize(
    ("family", "shape"), ALL_SHAPES, ids=[f"{f}-{s.__name__}" for f, s in ALL_SHAPES]
)
@pytest.mark.parametrize("held_out", [False, True])
def test_every_shape_is_one_piece_near_its_nominal_extent(family, shape, held_out):
    pieces = []
    for seed in range(4):
        drawing = shape(Draws(seed, held_out=held_out), 180.0)
        left, top, right, bottom = drawing.bounds()
        assert 90 < max(right - left, bottom - top) < 400
        assert all(m.width is None or m.width >= THINNEST_HAIR for m in drawing.marks)
        centred = drawing.mapped(np.eye(2), np.array([-left, -top]))
        layer = rasterise(
            centred, side=256, height=int(bottom - top) + 2, width=int(right - left) + 2
        )
        solid = (layer.coverage > 128).astype(np.uint8)
        stats = cv2.connectedComponentsWithStats(solid, connectivity=8)[2]
        pieces.append(stats[1:, cv2.CC_STAT_AREA].max() / solid.sum())
    assert sorted(pieces)[1] > 0.9


def test_no_pixel_belongs_to_two_targets():
    canvas, checked = Canvas(side=128, height=128, width=128), 0
    for seed in range(12):
        draws = Draws(seed, held_out=False)
        composed = compose(canvas, draws, targets=usual_targets(("coift", "thin", "dis")))
        if composed is not None:
            claims = sum((mask > 128).astype(int) for mask in composed[1])
            assert claims.max() == 1
            checked += 1
    assert checked >= 3


@pytest.mark.long
def test_pictures_of_simple_objects_hold_fewer_other_things(monkeypatch):
    counts = {}
    for family in ("coift", "hrsod"):
        drawn = []
        monkeypatch.setattr(
            composition, "paint", lambda *_args, drawn=drawn, **_kw: drawn.append(1)
        )
        composed = 0
        for seed in range(60):
            draws = Draws(seed, held_out=False)
            canvas = Canvas(side=64, height=64, width=64)
            composed += compose(canvas, draws, targets=usual_targets((family,))) is not None
        counts[family] = len(drawn) / composed - 1
    assert counts["coift"] < 0.7 * counts["hrsod"]


IMAGE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


@pytest.mark.parametrize("look", LOOKS)
def test_a_look_keeps_size_and_type_and_leaves_the_original_alone(look):
    before = IMAGE.copy()
    found = with_look(IMAGE, look)
    assert found.shape == IMAGE.shape
    assert found.dtype == np.uint8
    assert np.array_equal(IMAGE, before)


def test_all_looks_differ():
    assert len({with_look(IMAGE, look).tobytes() for look in LOOKS}) == len(LOOKS)


def test_looks_do_what_their_names_say():
    assert np.array_equal(with_look(IMAGE, "plain"), IMAGE)
    grey = with_look(IMAGE, "grey")
    assert (grey == grey[:, :, :1]).all()
    assert with_look(IMAGE, "night").mean() < 0.5 * IMAGE.mean()
    assert with_look(IMAGE, "faded").std() < 0.6 * IMAGE.std()
    assert np.array_equal(with_look(with_look(IMAGE, "negative"), "negative"), IMAGE)
    red, _, blue = with_look(np.full((1, 1, 3), 200, np.uint8), "warm")[0, 0]
    assert red > blue


def test_the_looks_of_a_pixel_are_those_of_the_published_sets():
    pixel = np.array([[[10, 100, 200]]], np.uint8)
    assert {look: with_look(pixel, look).ravel().tolist() for look in LOOKS} == {
        "plain": [10, 100, 200], "grey": [84] * 3, "night": [2, 31, 86],
        "faded": [105, 150, 200], "negative": [245, 155, 55], "warm": [10, 84, 117],
    }  # fmt: skip


def test_white_and_black_stay_in_range():
    for value in (0, 255):
        flat = np.full((2, 2, 3), value, np.uint8)
        assert with_look(flat, "faded").max() <= 255
        assert with_look(flat, "grey")[0, 0, 0] in range(256)


def test_an_unknown_look_is_named():
    with pytest.raises(DataError, match="Unknown look 'sepia'"):
        with_look(IMAGE, "sepia")


def group(*entropy, kinds=tuple(KINDS), objects=(2, 5), side=128):
    return draw_group(entropy=entropy, side=side, kinds=kinds, objects=objects)


def test_the_same_entropy_gives_the_same_picture_and_another_one_another():
    first, again, other = group(1, 2), group(1, 2), group(1, 3)
    assert np.array_equal(first.image, again.image)
    assert first.kinds == again.kinds
    assert first.image.shape != other.image.shape or not np.array_equal(first.image, other.image)


def test_the_number_of_objects_varies_within_its_range():
    counts = {len(group(seed, objects=(2, 4)).masks) for seed in range(12)}
    assert counts == {2, 3, 4}


def test_every_object_is_of_an_asked_kind_and_can_be_seen():
    for seed in range(4):
        found = group(seed, kinds=("bird", "gate"))
        assert set(found.kinds) <= {"bird", "gate"}
        assert len(found.kinds) == len(found.masks)
        for mask in found.masks:
            assert mask.shape == found.image.shape[:2]
            assert (mask > 128).mean() >= 0.002


def test_each_of_four_objects_is_half_as_large_as_one_alone():
    extents = [
        max(np.ptp(places) + 1 for places in np.nonzero(mask > 128)) / 128
        for seed in range(3)
        for mask in group(seed, kinds=("bird",), objects=(4, 4)).masks
    ]
    assert 0.4 / 2 - 0.05 < min(extents) < max(extents) < 0.95 / 2 + 0.05
    assert np.mean(extents) > 0.22


def test_no_pixel_belongs_to_two_objects():
    for seed in range(4):
        masks = np.stack(group(seed).masks)
        assert (masks > 128).sum(axis=0).max() == 1


@pytest.mark.parametrize("kinds", [("bird", "spaceship"), ()])
def test_unknown_kinds_are_named(kinds):
    with pytest.raises(DataError, match="Unknown kinds of objects"):
        group(1, kinds=kinds)


SIZE = (200, 300)
BOXES = [(20.0, 30.0, 60.0, 50.0), (150.0, 80.0, 100.0, 90.0), (0.0, 0.0, 300.0, 200.0)]


def simulated(seed, boxes=BOXES, categories=(0, 1, 2), size=SIZE):
    return simulate_detections(Draws(seed, held_out=True), boxes, categories, size=size, known=3)


def iou(one, two):
    wide = min(one[0] + one[2], two[0] + two[2]) - max(one[0], two[0])
    tall = min(one[1] + one[3], two[1] + two[3]) - max(one[1], two[1])
    shared = max(wide, 0) * max(tall, 0)
    return shared / (one[2] * one[3] + two[2] * two[3] - shared)


def test_the_same_draws_give_the_same_detections():
    assert simulated(1) == simulated(1) != simulated(2)
    values = [(*one.box, one.category, one.score) for seed in range(40) for one in simulated(seed)]
    assert len(values) == 162
    assert np.sum(values, axis=0).tolist() == pytest.approx(
        [10446.56, 7144.99, 22753.58, 16250.0, 175.0, 98.9705]
    )


def test_boxes_lie_in_the_picture_and_scores_between_nothing_and_one():
    for seed in range(200):
        for found in simulated(seed):
            x, y, wide, tall = found.box
            assert min(x, y) >= 0
            assert min(wide, tall) > 0
            assert x + wide <= SIZE[1] + 0.01
            assert y + tall <= SIZE[0] + 0.01
            assert 0 < found.score < 1
            assert found.category in range(3)


@pytest.mark.parametrize("size", [(200, 300), (300, 200)])
def test_a_box_in_the_last_corner_is_found_there_whatever_the_pictures_form(size):
    height, width = size
    corner = (width - 20.0, height - 20.0, 20.0, 20.0)
    for seed in range(40):
        for found in simulated(seed, [corner], (0,), size):
            x, y, wide, tall = found.box
            assert x + wide <= width + 0.01
            assert y + tall <= height + 0.01
            if found.score > 0.56:  # no false alarm
                assert iou(found.box, corner) > 0.5


def test_no_box_is_below_four_pixels_however_thin_its_object_and_wherever_it_lies():
    upright, level, corner = (150.0, 40.0, 1.0, 120.0), (40.0, 90.0, 200.0, 1.0), (299, 199, 1, 1)
    sides = [
        min(found.box[2:])
        for seed in range(60)
        for found in simulated(seed, [upright, level, corner])
    ]
    assert min(sides) == pytest.approx(4, abs=0.011)  # numbers are rounded to two digits


def test_it_misses_doubles_mistakes_and_invents():
    runs = [simulated(seed, boxes=BOXES[:1], categories=(0,)) for seed in range(400)]
    hits = [[one for one in run if iou(one.box, BOXES[0]) > 0.5] for run in runs]
    assert 0.05 < np.mean([not hit for hit in hits]) < 0.2
    assert np.mean([len(hit) > 1 for hit in hits]) > 0.05
    assert any(one.category != 0 for hit in hits for one in hit)
    assert any(iou(one.box, BOXES[0]) == 0 for run in runs for one in run)


def test_hits_score_higher_than_false_alarms_and_tight_boxes_higher_than_loose_ones():
    found = [one for seed in range(400) for one in simulated(seed, BOXES[:1], (0,))]
    overlaps = np.array([iou(one.box, BOXES[0]) for one in found])
    scores = np.array([one.score for one in found])
    assert scores[overlaps > 0.5].mean() > scores[overlaps < 0.1].mean() + 0.2
    assert np.corrcoef(overlaps[overlaps > 0.5], scores[overlaps > 0.5])[0, 1] > 0.3


def lines(*counts):
    """Masks of 100 x 100 of which so many pixels, from the first on, are of the target."""
    flat = np.zeros((len(counts), 100 * 100), np.uint8)
    for row, count in zip(flat, counts, strict=True):
        row[:count] = 129
    return flat.reshape(-1, 100, 100)


@pytest.mark.parametrize(
    ("whole", "seen", "fits"),
    [
        (120, 99, False), (120, 100, True), (100, 100, True), (7500, 7500, True),
        (7501, 7501, False), (9000, 7500, True), (1000, 600, True), (1000, 599, False),
    ],
)  # fmt: skip
def test_what_is_seen_of_a_target_is_neither_small_nor_all_and_most_of_it(whole, seen, fits):
    assert composition._fit(*lines(whole, seen), least_area=0.01) is fits
    nearly, none = lines(whole, 0)
    nearly[nearly == 0] = none[none == 0] = 128  # half a pixel is not of it
    (shown,) = lines(seen)
    assert composition._fit(nearly, shown, least_area=0.01) is fits
    assert not composition._fit(nearly, none, least_area=0.0001)


@pytest.mark.parametrize(("piece", "fits"), [(111, True), (112, False)])
def test_a_target_is_of_one_piece_but_for_a_tenth(piece, fits):
    (whole,) = lines(1000)
    whole[50:52] = lines(piece)[0, :2]
    for seen in (whole, lines(700)[0]):
        assert composition._fit(whole, seen, least_area=0.01) is fits
    (joined,) = lines(1000)
    joined[10, 0] = joined[11, 1] = joined[12:15, 2:] = 129  # corner by corner
    assert composition._fit(joined, joined, least_area=0.01)


def test_the_far_corner_of_a_simulated_box_is_where_it_was_though_the_near_one_is_rounded():
    size = (20, 30)
    assert composition._inside((1.0051, 2.0051, 9.0049, 8.0049), size) == (1.01, 2.01, 7.99, 5.99)
    assert composition._inside((28.0, -3.0, 40.0, 1.0), size) == (26.0, 0.0, 4.0, 4.0)
