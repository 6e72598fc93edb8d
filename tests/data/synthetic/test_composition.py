"""Objects and arrangements: every shape can be drawn, and targets never share a pixel."""

import cv2
import numpy as np
import pytest

from pasam.synthetic import scene as composition
from pasam.synthetic.randomness import Draws
from pasam.synthetic.scene import SHAPES, Canvas, compose, usual_targets
from pasam.synthetic.strokes import THINNEST_HAIR, rasterise

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
