"""The simulated detector errs as detectors do, and its boxes are fit to be read back."""

import numpy as np

from pasam.synthetic.randomness import Draws
from pasam.synthetic.scene import simulate_detections

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
