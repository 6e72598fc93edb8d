"""Any model on any set, without manifest or cached embeddings: a row per mask, and what they show.

One model has one set of weights here, so that every interval is one over images, or groups of
images, and speaks of these weights; no p-value is given.
"""

# Shapes: H, W of an image and its masks.

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from pasam.errors import DataError
from pasam.evaluation import statistics
from pasam.evaluation.protocol import image_batch, masks_at_original_size, predict
from pasam.evaluation.scores import Row, Truth, score_mask
from pasam.files import write_table, write_text
from pasam.inference.image_transform import ImageTransform
from pasam.inference.predictor import PromptedModel
from pasam.inference.zoomed_boxes import predict_zoomed, zoom_window
from pasam.masks.images import foreground, read_image
from pasam.masks.mask_files import check_fitness, grey_fraction, read_mask
from pasam.masks.prompts import tight_box
from pasam.masks.transforms import squash_mask

SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("model", "data", "image", "mask", "group")),
        *(pa.field(name, pa.float64()) for name in ("iou", "boundary_iou")),
        *(pa.field(name, pa.int64()) for name in ("intersection", "union")),
        pa.field("boundary_covers", pa.bool_()),
    ]
)
"""One row per model, set and mask: scores in [0, 1], counts in pixels; `group` is what intervals
resample, the image itself where it belongs to nothing."""

METRICS = ("iou", "boundary_iou")
SETTINGS: dict[str, Any] = {"n_resamples": 10_000, "confidence": 0.95, "seed": 0}


class ImageWithMasks(NamedTuple):
    """An image, its masks, and the group (film, patient, scene) that it belongs to, if any."""

    image: Path
    masks: Sequence[Path]
    group: str = ""


def score_set(
    model: PromptedModel, pairs: Iterable[ImageWithMasks], *, data: str, boundary_fraction: float,
    zoom: bool = False,
) -> list[Row]:  # fmt: skip
    """Predict and score every mask of a set by its box.

    With the resize `squash` the scores are those that the tables would show of this set.

    Args:
        model: The model; its resize is part of the protocol.
        pairs: Images, each with its masks.
        data: Name of the set.
        boundary_fraction: Width of the boundary band as a fraction of the image diagonal.
        zoom: Look at small boxes from near too (`pasam.inference.zoomed_boxes`).

    Returns:
        Rows of `SCHEMA`, in the order of the pairs; those of `zoom` after the others, as a model
        of its own, so that the two are compared.

    Raises:
        DataError: A file is unreadable, a mask has another size than its image, or there is none.
    """
    rows: dict[str, list[Row]] = {}
    for pair in pairs:
        image, truths = _image_with_masks(pair.image, pair.masks)
        found = _masks_of(model, image, truths)
        for path, truth, mask in zip(pair.masks, truths, found, strict=True):
            measured = Truth.of(truth, boundary_fraction=boundary_fraction)
            names = {
                "data": data, "image": str(pair.image), "mask": str(path),
                "group": pair.group or str(pair.image),
            }  # fmt: skip
            ways = {model.name: mask}
            if zoom:
                box = tight_box(truth)
                large = zoom_window(box, image.shape) is None
                near = mask if large else predict_zoomed(model, image, [box])[0].masks[0]
                ways[f"{model.name} zoomed"] = near
            for name, each in ways.items():
                row = {"model": name, **names, **score_mask(measured, each)}
                rows.setdefault(name, []).append(row)
    if not rows:
        raise DataError("there is no mask to score; give a set that has some.")
    return [row for of_model in rows.values() for row in of_model]


def _masks_of(
    model: PromptedModel, image: NDArray[np.uint8], truths: Sequence[NDArray[np.uint8]]
) -> Iterator[NDArray[np.bool_]]:
    """Predict the mask of each label's box, (H, W), one after the other to spare memory."""
    height, width, _ = image.shape
    transform = ImageTransform(height, width, model.side, model.resize)
    boxes = [box_in_input(truth, transform) for truth in truths]
    batch = image_batch(model.segmenter.base, image, transform, boxes)
    return masks_at_original_size(predict(model.segmenter, batch), batch)


def summarise_sets(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Average the rows of every model and set.

    Returns:
        model, data, masks, groups (that intervals resample); iou and boundary_iou, means over the
        masks, each with `_low` and `_high` of its 95 % interval over groups (none where there is
        one group); pooled_iou, the IoU of all pixels of the set together; covered, the fraction of
        masks that their boundary band covers whole. From 0 to 1.
    """
    found = []
    for (model, data), part in pd.DataFrame(rows).groupby(["model", "data"], sort=False):
        one: dict[str, Any] = {"model": model, "data": data, "masks": len(part)}
        units = part["group"].to_numpy(str)
        one["groups"] = len(set(units))
        for metric in METRICS:
            interval = statistics.interval(
                {"": part[metric].to_numpy(np.float64)}, units_by_stratum={"": units}, **SETTINGS
            )
            one |= {metric: interval.mean, **_ends(metric, interval.low, interval.high)}
        one["pooled_iou"] = float(part["intersection"].sum() / max(1, part["union"].sum()))
        one["covered"] = float(part["boundary_covers"].mean())
        found.append(one)
    return found


def compare_models(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Compare every two models on the same masks of every set.

    Returns:
        data, metric, model, against, difference (model minus against, from -1 to 1) with `low` and
        `high` of its 95 % interval over groups, better and worse (fractions of the masks), and the
        verdict after Holm's correction over all comparisons of a set: it speaks of these weights.
    """
    found = []
    for data, part in pd.DataFrame(rows).groupby("data", sort=False):
        by_model = dict(list(part.groupby("model", sort=False)))
        compared = []
        for (first, a), (second, b) in itertools.combinations(by_model.items(), 2):
            for metric in METRICS:
                names = {"data": data, "metric": metric, "model": first, "against": second}
                difference = statistics.paired_difference(
                    a[metric].to_numpy(np.float64), b[metric].to_numpy(np.float64),
                    [str(data)] * len(a), units=a["group"].to_numpy(str), **SETTINGS,
                )  # fmt: skip
                compared.append((names, difference))
        adjusted = statistics.holm([one.p for _, one in compared])
        for (names, one), p in zip(compared, adjusted, strict=True):
            shown = one.verdict if p < 1 - SETTINGS["confidence"] else statistics.UNDECIDED
            found.append(
                {
                    **names, "difference": one.mean, **_ends("", one.low, one.high),
                    "better": one.better, "worse": one.worse,
                    "verdict": statistics.worded(shown, one.seeds),
                }
            )  # fmt: skip
    return found


def _ends(name: str, low: float, high: float) -> dict[str, float | None]:
    """Name the ends of an interval; of one group there are none."""
    prefix = f"{name}_" if name else ""
    ends = {"low": low, "high": high}
    return {prefix + end: value if np.isfinite(value) else None for end, value in ends.items()}


def check_suffix(path: Path) -> None:
    """Refuse a name that `write_rows` cannot write, before anything is measured.

    Raises:
        DataError: It ends neither in .csv nor in .parquet.
    """
    if path.suffix not in (".csv", ".parquet"):
        raise DataError(f"{path} ends in '{path.suffix}', expected .csv or .parquet (--rows).")


def write_rows(rows: Sequence[Row], path: Path) -> None:
    """Write the rows, whole or not at all: as CSV or as parquet, by the file's suffix."""
    check_suffix(path)
    if path.suffix == ".parquet":
        write_table(path, rows, SCHEMA)
    else:
        write_text(path, pd.DataFrame(rows, columns=SCHEMA.names).to_csv(index=False))


def box_in_input(truth: NDArray[np.uint8], transform: ImageTransform) -> NDArray[np.float32]:
    """Draw the box of a mask in pixels of the encoder's input.

    Args:
        truth: The mask, (H, W) in 0..255.
        transform: How its image is brought to the input. Of `squash` it is the box of the squashed
            label, as in the tables.

    Returns:
        Corners x0, y0, x1, y1, (4,).
    """
    if transform.resize == "squash":
        return tight_box(squash_mask(truth, transform.side))
    corners = tight_box(truth).astype(np.float64).reshape(2, 2)
    return transform.into_input(corners).reshape(4).astype(np.float32)


def _image_with_masks(
    image: Path, masks: Sequence[Path]
) -> tuple[NDArray[np.uint8], list[NDArray[np.uint8]]]:
    pixels = read_image(image)
    truths = [read_mask(mask) for mask in masks]
    for mask, truth in zip(masks, truths, strict=True):
        soft = grey_fraction(truth)
        inside = int(np.count_nonzero(foreground(truth)))
        height, width = pixels.shape[:2]
        check_fitness(
            truth.shape, (height, width), inside=inside, soft=soft, name=mask, image=image
        )
    return pixels, truths
