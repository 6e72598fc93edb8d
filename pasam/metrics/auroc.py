"""How well a score tells two classes apart: the area under its ROC curve."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pasam.errors import ShapeError


def area_under_roc(scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> float | None:
    """Return the probability that a positive scores higher than a negative, ties counting half.

    Args:
        scores: Score of each item, any shape.
        positive: Whether it is a positive, the same shape.

    Returns:
        The area in [0, 1], or None where one of the classes is empty.

    Raises:
        ShapeError: The two shapes differ.
    """
    if scores.shape != positive.shape:
        raise ShapeError(
            f"scores and classes must have one shape; got {scores.shape} and {positive.shape}."
        )
    total = int(positive.sum())
    others = positive.size - total
    if not total or not others:
        return None
    ranks = pd.Series(scores.ravel()).rank()[positive.ravel()]  # scipy.stats loads for long
    return float((ranks.sum() - total * (total + 1) / 2) / (total * others))
