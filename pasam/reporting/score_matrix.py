"""Score rows turned into arrays of seeds by images, with the check that models can be compared."""

# Shapes: S seeds of training, N images of all benchmarks together.

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pasam.errors import DataError
from pasam.metrics.bootstrap import Values
from pasam.reporting.names import MEAN


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreMatrix:
    """One model's scores by one metric, images in an order that the files do not decide."""

    values: Values
    """(S, N), seeds ascending."""
    strata: list[str]
    """Benchmark of every image, (N,)."""
    images: list[str]
    """Id of every image, (N,)."""
    seeds: list[int]
    """(S,)"""

    @property
    def per_image(self) -> Values:
        """Mean over the seeds, (N,)."""
        return np.asarray(self.values.mean(axis=0), np.float64)

    def only(self, benchmark: str) -> ScoreMatrix:
        """Keep one benchmark's images; "mean" keeps all."""
        if benchmark == MEAN:
            return self
        kept = [place for place, name in enumerate(self.strata) if name == benchmark]
        return ScoreMatrix(
            values=self.values[:, kept],
            strata=[benchmark] * len(kept),
            images=[self.images[place] for place in kept],
            seeds=self.seeds,
        )


def score_matrix(scores: pd.DataFrame, model: str, column: str) -> ScoreMatrix:
    """Arrange a model's scores by seed and image.

    Args:
        scores: Score rows of one prompt and corruption, checked by `check_paired`.
        model: Key of the model.
        column: `iou` or `boundary_iou`.
    """
    rows = scores[scores["model"] == model]
    table = rows.pivot(index="seed", columns=["benchmark", "image_id"], values=column)
    table = table.sort_index(axis=0).sort_index(axis=1)
    return ScoreMatrix(
        values=table.to_numpy(np.float64),
        strata=[str(name) for name in table.columns.get_level_values("benchmark")],
        images=[str(name) for name in table.columns.get_level_values("image_id")],
        seeds=[int(seed) for seed in table.index],
    )


def paired_values(a: ScoreMatrix, b: ScoreMatrix) -> tuple[Values, Values]:
    """Line two models' seeds up: the ones both were trained with, or the only one there is.

    Raises:
        DataError: Both have several seeds, but none in common.
    """
    if len(a.seeds) == 1 or len(b.seeds) == 1:
        return a.values, b.values
    shared = [seed for seed in a.seeds if seed in b.seeds]
    if not shared:
        raise DataError(
            f"Two models were trained with the seeds {a.seeds} and {b.seeds}, none of them the "
            "same, so they cannot be paired; train both with the same seeds."
        )
    first, second = ([m.seeds.index(seed) for seed in shared] for m in (a, b))
    return a.values[first], b.values[second]


def check_paired(scores: pd.DataFrame) -> None:
    """Make sure that all models were scored on the same images with the same kind of prompt.

    Raises:
        DataError: They were not, or there is no score at all.
    """
    if not len(scores):
        raise DataError("There are no scores to report; evaluate at least one model first.")
    for kind in ("prompt", "corruption"):
        found = sorted(set(scores[kind]))
        if len(found) > 1:
            raise DataError(f"A table holds one kind of {kind}, got {found}; report them apart.")
    images = {}
    for model, seed in scores[["model", "seed"]].drop_duplicates().itertuples(index=False):
        rows = scores[(scores["model"] == model) & (scores["seed"] == seed)]
        seen = set(zip(rows["benchmark"], rows["image_id"], strict=True))
        images[str(model), int(seed)] = seen
    everything = set.union(*images.values())
    for (model, seed), seen in sorted(images.items()):
        if seen != everything:
            benchmark, image = min(everything - seen)
            raise DataError(
                f"Model '{model}' (seed {seed}) lacks {len(everything - seen)} of "
                f"{len(everything)} images, the first is '{image}' of '{benchmark}'. Evaluate "
                "every model on every benchmark."
            )
