"""What the tests of the four families share: a shape as a solid mask."""

import cv2
import numpy as np
import pytest

from pasam.synthetic.randomness import Draws
from pasam.synthetic.strokes import rasterise

SPAN = 180.0


@pytest.fixture(scope="session")
def solid():
    """Draw a shape from a seed as a mask (H, W) with a border of ground."""

    def draw(shape, seed=0, *, held_out=False):
        drawing = shape(Draws(seed, held_out=held_out), SPAN)
        left, top, right, bottom = drawing.bounds()
        moved = drawing.mapped(np.eye(2), np.array([4 - left, 4 - top]))
        height, width = int(bottom - top) + 8, int(right - left) + 8
        layer = rasterise(moved, side=256, height=height, width=width)
        return (layer.coverage > 128).astype(np.uint8)

    return draw


@pytest.fixture(scope="session")
def holes():
    """Count the pieces of ground that a mask encloses."""

    def count(mask):
        stats = cv2.connectedComponentsWithStats(1 - mask, connectivity=4)[2]
        return int((stats[1:, cv2.CC_STAT_AREA] >= 6).sum()) - 1  # less the ground outside

    return count


@pytest.fixture(scope="session")
def kept():
    """Say which share of a mask survives an opening with a disk."""

    def share(mask, diameter):
        disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter))
        return cv2.morphologyEx(mask, cv2.MORPH_OPEN, disk).sum() / mask.sum()

    return share
