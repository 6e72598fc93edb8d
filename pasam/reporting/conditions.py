"""Curves over prompts and corruptions: what the score rows' names mean, and the means on them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pasam.metrics.bootstrap import by_stratum, interval
from pasam.reporting.score_matrix import check_paired, score_matrix
from pasam.reporting.summary import METRICS, Bootstrap, difference
from pasam.reporting.units import percent

PLAIN_PROMPT, PLAIN_IMAGE = "box", "none"

JITTER, POINTS = "box_jitter", "points"
CURVES = {
    JITTER: ("Boxes that are off", "jitter of the box, share of its sides"),
    POINTS: ("Points in place of a box", "points inside the object"),
    "blur": ("Blur", "strength"),
    "noise": ("Noise", "strength"),
    "jpeg": ("JPEG", "strength"),
}
"""Family of conditions -> heading of its curve and name of its axis, in report order."""
OTHER_AXIS = "strength"

_NAME = re.compile(r"(?P<family>[a-z][a-z_]*?)_(?P<amount>\d+(?:\.\d+)?)")


@dataclass(frozen=True, slots=True)
class Condition:
    """One kind of prompt on one kind of image, as a place on a curve."""

    family: str
    amount: float


def condition(prompt: str, corruption: str) -> Condition | None:
    """Place a row's prompt and corruption on a curve; None for Table 1's own or an unknown name."""
    name = prompt if corruption == PLAIN_IMAGE else corruption
    if corruption != PLAIN_IMAGE and prompt != PLAIN_PROMPT:
        return None
    found = _NAME.fullmatch(name)
    return Condition(found["family"], float(found["amount"])) if found else None


def families(conditions: pd.DataFrame) -> list[str]:
    """List the curves that there are rows for, in report order."""
    pairs = conditions[["prompt", "corruption"]].drop_duplicates().itertuples(index=False)
    found = {c.family for c in (condition(str(p), str(k)) for p, k in pairs) if c is not None}
    return [name for name in CURVES if name in found] + sorted(found - set(CURVES))


def rows_by_amount(conditions: pd.DataFrame, family: str) -> dict[float, pd.DataFrame]:
    """Split the rows of a curve by their place on it.

    Jittered boxes and corruptions begin at 0 with Table 1's rows of the same images and models;
    points begin at the fewest.
    """
    found: dict[float, pd.DataFrame] = {}
    plain = conditions[:0]
    for (prompt, corruption), rows in conditions.groupby(["prompt", "corruption"]):
        place = condition(str(prompt), str(corruption))
        if (prompt, corruption) == (PLAIN_PROMPT, PLAIN_IMAGE):
            plain = rows
        elif place is not None and place.family == family:
            found[place.amount] = rows
    if found and family != POINTS:
        first = next(iter(found.values()))
        shared = plain["image_id"].isin(first["image_id"]) & plain["model"].isin(first["model"])
        found |= {0.0: plain[shared]} if shared.any() else {}
    return {amount: found[amount] for amount in sorted(found)}


def curve(conditions: pd.DataFrame, family: str, metric: str, bootstrap: Bootstrap) -> pd.DataFrame:
    """Average every model at every place of a curve.

    Args:
        conditions: Score rows of all prompts and corruptions.
        family: One of `families`.
        metric: `miou` or `mbiou`.
        bootstrap: Settings of the intervals.

    Returns:
        Columns family, amount, model, n, mean, low, high (per cent).
    """
    rows = []
    for amount, part in rows_by_amount(conditions, family).items():
        check_paired(part)
        for model in sorted(set(part["model"])):
            scored = score_matrix(part, str(model), METRICS[metric])
            found = interval(
                dict(by_stratum(scored.values, scored.strata)),
                draws=bootstrap.draws, confidence=bootstrap.confidence, seed=bootstrap.seed,
            )  # fmt: skip
            ends = {
                "mean": percent(found.mean),
                "low": percent(found.low),
                "high": percent(found.high),
            }
            place = {"family": family, "amount": amount, "model": str(model)}
            rows.append({**place, "n": len(scored.images), **ends})
    columns = ["family", "amount", "model", "n", "mean", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def difference_at(
    conditions: pd.DataFrame,
    family: str,
    amount: float,
    pair: tuple[str, str],
    metric: str,
    bootstrap: Bootstrap,
) -> Mapping[str, Any]:
    """Compare two models at one place of a curve, as a row of `summary.compare`."""
    part = rows_by_amount(conditions, family)[amount]
    model, against = pair
    check_paired(part[part["model"].isin(pair)])
    found = difference(part, model, against, metric, bootstrap)
    return {"model": model, "against": against, "metric": metric, **found}
