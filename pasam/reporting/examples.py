"""The images of the comparison figure: what is shown of each, and how they are chosen."""

# Shapes: H and W of the original image, g of the uncertainty map, k hard points of one sign.

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pasam.errors import DataError, ShapeError
from pasam.reporting.names import label, ordered_benchmarks


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """One row of the comparison figure."""

    image_id: str
    benchmark: str
    image: NDArray[np.uint8]
    """RGB, (H, W, 3)."""
    truth: NDArray[np.bool_]
    """Ground truth, (H, W)."""
    box: NDArray[np.float32] | None
    """Box prompt, (4,) xyxy in image pixels."""
    predictions: Mapping[str, NDArray[np.bool_]]
    """Predicted mask (H, W) by model."""
    scores: Mapping[str, tuple[float, float]]
    """IoU and boundary IoU by model, in [0, 1]."""
    uncertainty: NDArray[np.float32] | None
    """Probability that the coarse mask is wrong, (g, g) in [0, 1], over the whole image."""
    positive: NDArray[np.float32] | None
    """Mined points of the foreground, (k, 2) xy in image pixels."""
    negative: NDArray[np.float32] | None
    """Mined points of the background, (k, 2) xy in image pixels."""
    maps: Mapping[str, NDArray[np.float16]] = field(default_factory=dict)
    """The adapter's maps by name, each (g, g) over the whole image."""

    def __post_init__(self) -> None:
        """Check that all masks have the size of the image."""
        size = self.image.shape[:2]
        masks = {"truth": self.truth, **self.predictions}
        wrong = {name: mask.shape for name, mask in masks.items() if mask.shape != size}
        if wrong:
            raise ShapeError(
                f"Example '{self.image_id}' is {size} pixels, but these masks are not: {wrong}. "
                "Bring predictions to the original size first."
            )


class PredictedMask(Protocol):
    """What an example needs of a prediction, in pixels of the original image."""

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Predicted mask, (H, W)."""

    @property
    def box(self) -> NDArray[np.float32] | None:
        """Box prompt, (4,) xyxy."""

    @property
    def uncertainty(self) -> NDArray[np.float16] | None:
        """Uncertainty map, (g, g)."""

    @property
    def positive(self) -> NDArray[np.float32] | None:
        """Mined points of the foreground, (k, 2) xy."""

    @property
    def negative(self) -> NDArray[np.float32] | None:
        """Mined points of the background, (k, 2) xy."""

    @property
    def maps(self) -> Mapping[str, NDArray[np.float16]]:
        """The adapter's maps by name, (g, g)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """An image picked for the figure."""

    benchmark: str
    image_id: str
    quantile: float
    """Where it stands among its benchmark's images, in (0, 1)."""


def choose_examples(scores: pd.DataFrame, *, model: str, per_benchmark: int) -> list[Choice]:
    """Pick images by rank, not by looks: evenly spaced quantiles of a model's boundary IoU.

    One image per benchmark is the median, two are the terciles, three the quartiles. A benchmark
    with fewer images than asked for gives all it has.

    Args:
        scores: Score rows of the run, of one kind of prompt.
        model: Key of the model whose boundary IoU ranks the images.
        per_benchmark: Images per benchmark.

    Returns:
        Choices by benchmark in report order, each from the lowest quantile to the highest.

    Raises:
        DataError: The model was not scored.
    """
    ranked = scores[scores["model"] == model].sort_values(["boundary_iou", "image_id"])
    if not len(ranked):
        raise DataError(
            f"Examples are chosen by the scores of '{model}', but only "
            f"{sorted(set(scores['model']))} were scored."
        )
    choices = []
    for benchmark in ordered_benchmarks(ranked["benchmark"]):
        ids = ranked[ranked["benchmark"] == benchmark]["image_id"].tolist()
        count = min(per_benchmark, len(ids))
        for place in range(1, count + 1):
            quantile = place / (count + 1)
            image_id = ids[int(quantile * len(ids))]
            choices.append(Choice(benchmark=benchmark, image_id=image_id, quantile=quantile))
    return choices


def choice_caption(*, model: str, per_benchmark: int) -> str:
    """Say in one line how the images of the figure were chosen."""
    at = ", ".join(f"{100 * i / (per_benchmark + 1):.0f} %" for i in range(1, per_benchmark + 1))
    return (
        f"Images are chosen by rank, not by looks: within each benchmark, those at {at} of "
        f"{label(model)}'s boundary IoU, lowest first."
    )


def build_example(
    choice: Choice,
    scores: pd.DataFrame,
    *,
    image: NDArray[np.uint8],
    truth: NDArray[np.bool_],
    predicted: Mapping[str, PredictedMask],
) -> Example:
    """Put together one row of the figure.

    Args:
        choice: The image.
        scores: Score rows of the run, of one kind of prompt.
        image: RGB, (H, W, 3).
        truth: Ground truth, (H, W).
        predicted: Prediction of each model; the map and the points are of the one that has them.
    """
    rows = scores[scores["image_id"] == choice.image_id].set_index("model")
    mapped = next((p for p in predicted.values() if p.uncertainty is not None), None)
    first = next(iter(predicted.values()))
    iou, boundary_iou = (rows[name].to_dict() for name in ("iou", "boundary_iou"))
    uncertainty = None if mapped is None else mapped.uncertainty
    return Example(
        image_id=choice.image_id,
        benchmark=choice.benchmark,
        image=image,
        truth=truth,
        box=first.box,
        predictions={model: p.mask for model, p in predicted.items()},
        scores={model: (float(iou[model]), float(boundary_iou[model])) for model in predicted},
        uncertainty=None if uncertainty is None else uncertainty.astype(np.float32),
        positive=None if mapped is None else mapped.positive,
        negative=None if mapped is None else mapped.negative,
        maps={} if mapped is None else mapped.maps,
    )
