"""How much a model gains on easy and on hard images: differences by quantile of a measure."""

# Shapes: N images.

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from pasam.metrics.bootstrap import Difference, Values, interval, paired_difference
from pasam.reporting.score_matrix import paired_values, score_matrix
from pasam.reporting.summary import METRICS, Bootstrap
from pasam.reporting.units import percent, points

ORDINALS = {1: "whole", 2: "half", 3: "third", 4: "quarter", 5: "fifth", 10: "tenth"}


def gain_by_quantile(
    scores: pd.DataFrame,
    measure: Mapping[str, float],
    *,
    model: str,
    against: str,
    metric: str,
    bins: int,
    bootstrap: Bootstrap,
) -> pd.DataFrame:
    """Compare two models in each of several equally large groups of images.

    Args:
        scores: Score rows of one prompt.
        measure: How hard each image is, by id; it orders the images.
        model: The model that may gain.
        against: The model it is held against.
        metric: `miou` or `mbiou`.
        bins: Groups, fewer where there are fewer images.
        bootstrap: Settings of the intervals.

    Returns:
        One row per group, from the lowest measure to the highest: bin, from, to, n, score,
        against_score (per cent), difference, low, high (points).
    """
    delta, first, second, values = _per_image(scores, measure, model, against, metric)
    order = np.lexsort((np.arange(len(values)), values))
    rows = []
    for number, places in enumerate(np.array_split(order, min(bins, len(order)))):
        group = delta[:, places]
        found = interval(
            {f"bin {number}": group},
            draws=bootstrap.draws, confidence=bootstrap.confidence, seed=bootstrap.seed,
        )  # fmt: skip
        rows.append(
            {
                "bin": number,
                "from": float(values[places].min()),
                "to": float(values[places].max()),
                "n": len(places),
                "score": percent(float(first[places].mean())),
                "against_score": percent(float(second[places].mean())),
                "difference": points(found.mean),
                "low": points(found.low),
                "high": points(found.high),
            }
        )
    return pd.DataFrame(rows)


def hardest_against_easiest(
    scores: pd.DataFrame,
    measure: Mapping[str, float],
    *,
    model: str,
    against: str,
    metric: str,
    bins: int,
    bootstrap: Bootstrap,
) -> Difference | None:
    """Ask whether the gain is larger in the last group than in the first.

    Returns:
        The difference of the two gains as shares, not points; None where there is one group only.
    """
    delta, _, _, values = _per_image(scores, measure, model, against, metric)
    groups = np.array_split(np.lexsort((np.arange(len(values)), values)), min(bins, len(values)))
    if len(groups) < 2:
        return None
    first, last = groups[0], groups[-1]
    # The mean over two strata of (last, -first) is half the difference of their means.
    doubled = np.concatenate([2 * delta[:, last], -2 * delta[:, first]], axis=1)
    strata = ["last"] * len(last) + ["first"] * len(first)
    return paired_difference(
        doubled, np.zeros(doubled.shape[1]), strata,
        draws=bootstrap.draws, confidence=bootstrap.confidence, seed=bootstrap.seed,
    )  # fmt: skip


def _per_image(
    scores: pd.DataFrame, measure: Mapping[str, float], model: str, against: str, metric: str
) -> tuple[Values, Values, Values, Values]:
    """Differences (S, N), both models' scores (N,) and the measure (N,)."""
    a, b = (score_matrix(scores, name, METRICS[metric]) for name in (model, against))
    first, second = paired_values(a, b)
    values = np.array([measure[image] for image in a.images], np.float64)
    return np.atleast_2d(first - second), a.per_image, b.per_image, values
