"""Groups: several objects of the asked kinds, the same bytes for the same names."""

import numpy as np
import pytest

from pasam.errors import DataError
from pasam.synthetic.randomness import Draws
from pasam.synthetic.scene import KINDS, draw_group, simulate_detections


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


def simulated(seed, boxes=BOXES, categories=(0, 1, 2)):
    return simulate_detections(Draws(seed, held_out=True), boxes, categories, size=SIZE, known=3)


def iou(one, two):
    wide = min(one[0] + one[2], two[0] + two[2]) - max(one[0], two[0])
    tall = min(one[1] + one[3], two[1] + two[3]) - max(one[1], two[1])
    shared = max(wide, 0) * max(tall, 0)
    return shared / (one[2] * one[3] + two[2] * two[3] - shared)


def test_the_same_draws_give_the_same_detections():
    assert simulated(1) == simulated(1) != simulated(2)


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
