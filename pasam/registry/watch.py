"""How the champion does on today's data: on what it was judged on, and on what is new."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pasam.registry.download import fetched, predictor_of
from pasam.registry.register import scores_of
from pasam.registry.remeasure import todays_scores
from pasam.registry.versions import CHAMPION, open_registry
from pasam.tracking.store import translated


@dataclass(frozen=True, kw_only=True, slots=True)
class Watched:
    """The champion on one benchmark; scores are mean boundary IoU in points, nan without images."""

    benchmark: str
    known: int
    """Images that it was judged on and that are still there."""
    judged: float
    """Its score on these when it was judged."""
    today: float
    """Its score on these today."""
    new: int
    """Images that have come since."""
    on_new: float
    """Its score on these."""

    def shown(self) -> dict[str, str | int]:
        """The row of a table for people."""
        scores = {"when judged": self.judged, "today": self.today, "on new": self.on_new}
        texts = {
            name: "-" if math.isnan(score) else f"{score:.2f}" for name, score in scores.items()
        }
        return {"benchmark": self.benchmark, "known": self.known, "new": self.new, **texts}


@dataclass(frozen=True, kw_only=True, slots=True)
class ChampionWatch:
    """All benchmarks, and a sentence."""

    version: int
    rows: tuple[Watched, ...]
    message: str


def watch_champion(project: Path) -> ChampionWatch | None:
    """Measure the champion on the benchmarks as they are today; None if there is no champion.

    Args:
        project: The project's root, its data prepared and embedded.

    Raises:
        TrackingError: MLflow cannot be reached.
        DataError: The data was never prepared.
    """
    registry = open_registry(project)
    with translated(registry.store.registry_uri):
        if CHAMPION not in registry.aliases():
            return None
        champion = registry.version(CHAMPION)
        before = scores_of(registry, champion)
        with fetched(registry, champion) as folder:
            predictor = predictor_of(folder)
    return compare(champion.number, before, todays_scores(project, predictor))


def compare(version: int, before: pd.DataFrame, today: pd.DataFrame) -> ChampionWatch:
    """Tell new images from known ones, and what the champion scores on each.

    Args:
        version: The champion's number.
        before: Its score rows when it was judged.
        today: Its score rows on today's data.
    """
    rows = tuple(
        _watched(str(name), before[before["benchmark"] == name], part)
        for name, part in today.groupby("benchmark", sort=True)
    )
    new = sum(row.new for row in rows)
    images = "1 image is" if new == 1 else f"{new or 'no'} images are"
    message = f"Version {version} is champion; {images} new since it was judged."
    if new:
        score = sum(row.on_new * row.new for row in rows if row.new) / new
        message += f" On what is new it scores {score:.2f} points of boundary IoU."
    return ChampionWatch(version=version, rows=rows, message=message)


def _watched(benchmark: str, before: pd.DataFrame, today: pd.DataFrame) -> Watched:
    known = set(before["image_id"]) & set(today["image_id"])
    fresh = today[~today["image_id"].isin(known)]
    return Watched(
        benchmark=benchmark,
        known=len(known),
        judged=_mean(before[before["image_id"].isin(known)]),
        today=_mean(today[today["image_id"].isin(known)]),
        new=fresh["image_id"].nunique(),
        on_new=_mean(fresh),
    )


def _mean(scores: pd.DataFrame) -> float:
    """Mean over images of the mean over an image's masks, in points."""
    return float(scores.groupby("image_id")["boundary_iou"].mean().mean() * 100)
