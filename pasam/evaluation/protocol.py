"""From images and prompts to masks and score rows: one protocol for every benchmark."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from pasam.errors import DataError, ShapeError
from pasam.evaluation.scores import BOX, CLEAN, UNTRAINED, score_mask
from pasam.masks.images import read_mask
from pasam.masks.prompts import tight_box
from pasam.models.base_sam import BaseSam, Encoded
from pasam.models.segmenter import Prediction, Prompts, Segmenter
from pasam.training.embeddings import Store
from pasam.training.samples import box_prompts

# --- predict: From images and prompts to masks, as every benchmark does it: one encoding, one
# protocol.
#
# No gradient, points mined as the model mines in prediction, logits resized bilinearly straight to
# the original size, foreground above 0.

# Shapes: B images, N prompts, k points, S pixels a side of the input, g grid cells a side,
# m mask pixels a side, H, W of the original image.

Pixels = NDArray[np.uint8] | NDArray[np.float32]
"""RGB in 0..255, (B, 3, S, S)."""


def encode(base: BaseSam, images: Pixels) -> Encoded:
    """Encode images (B, 3, S, S), rounded to half precision as packed embeddings are.

    A model thus sees the same numbers whether an image was encoded ahead or is encoded now.
    """
    pixels = torch.from_numpy(np.array(images))  # a copy: packed images cannot be written to
    with torch.no_grad():
        encoded = base.encode(pixels.to(_device(base)))
    return Encoded(embedding=encoded.embedding.half().float(), early=encoded.early.half().float())


def encoded_rows(store: Store, rows: Sequence[int]) -> Encoded:
    """Read what the encoder said of some views of a store."""
    return Encoded(
        embedding=torch.from_numpy(store.embedding[rows].astype(np.float32)),
        early=torch.from_numpy(store.early[rows].astype(np.float32)),
    )


def predict(
    segmenter: Segmenter,
    images: Pixels,
    encoded: Encoded,
    prompts: Sequence[Prompts],
    *,
    image_index: NDArray[np.int64] | None = None,
) -> Prediction:
    """Predict the masks of N prompts.

    Args:
        segmenter: The model, in evaluation mode.
        images: Pixels at the input side, (B, 3, S, S).
        encoded: What the frozen encoder says of them.
        prompts: The prompts.
        image_index: Image of each prompt, (N,); None if there is one prompt for each image.
    """
    device = _device(segmenter)
    index = np.arange(len(images)) if image_index is None else image_index
    with torch.no_grad():
        prediction: Prediction = segmenter(
            images=torch.from_numpy(np.array(images)).to(device),
            encoded=Encoded(embedding=encoded.embedding.to(device), early=encoded.early.to(device)),
            image_index=torch.from_numpy(index).to(device),
            prompts=[_on(device, group) for group in prompts],
        )
    return prediction


def point_prompts(points: Sequence[NDArray[np.float32]]) -> list[Prompts]:
    """Stack equally many foreground points of each object, x, y in input pixels, (k, 2) each."""
    stacked = torch.from_numpy(np.stack(points))
    return [
        Prompts(
            indices=torch.arange(len(points)),
            boxes=None,
            points=stacked,
            point_labels=torch.ones(stacked.shape[:2]),
            masks=None,
        )
    ]


def at_original_size(logits: Tensor, size: tuple[int, ...]) -> NDArray[np.bool_]:
    """Resize mask logits (1, m, m) bilinearly to (H, W) and cut them at 0."""
    height, width = size
    resized = F.interpolate(
        logits[None].float(), size=(height, width), mode="bilinear", align_corners=False
    )
    mask: NDArray[np.bool_] = (resized[0, 0] > 0).cpu().numpy()
    return mask


def batches(count: int, size: int) -> Iterator[slice]:
    """Cut `count` places into slices of at most `size`."""
    for first in range(0, count, size):
        yield slice(first, min(first + size, count))


def _device(module: torch.nn.Module) -> torch.device:
    return next(module.parameters()).device


def _on(device: torch.device, group: Prompts) -> Prompts:
    parts = (group.boxes, group.points, group.point_labels, group.masks)
    moved = (None if part is None else part.to(device) for part in parts)
    return Prompts(group.indices.to(device), *moved)


# --- oracle: The oracle: what is left of the ground truth at the resolution of the decoder's masks.

# Shapes: H and W of the original image.


def oracle_mask(mask: NDArray[np.uint8], *, mask_side: int) -> NDArray[np.bool_]:
    """Bring a ground truth down to the mask resolution and back.

    Its score is the ceiling that a decoder of this resolution works under: where it is low, a
    finer grid is needed and no amount of training helps. It is a ceiling in practice rather than
    a bound, since freely chosen logits can place an outline a little better than cell averages.

    Args:
        mask: Ground truth, (H, W) in 0..255, foreground above 128.
        mask_side: Height and width of the decoder's masks.

    Returns:
        The mask as the decoder could hold it, (H, W): cell averages, enlarged bilinearly,
        foreground above one half.

    Raises:
        ShapeError: The mask is not two-dimensional, or `mask_side` is not positive.
    """
    if mask.ndim != 2 or mask_side < 1:
        raise ShapeError(
            "The oracle needs a mask (H, W) and a positive mask side; got "
            f"{mask.shape} and {mask_side}."
        )
    height, width = mask.shape
    truth = (mask > 128).astype(np.float32)
    # One axis at a time: OpenCV averages areas only while no axis is enlarged.
    narrow = _resize(truth, (height, mask_side))
    small = _resize(narrow, (mask_side, mask_side))
    back = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(back > 0.5)


def _resize(array: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Average areas when shrinking to (height, width), interpolate when enlarging."""
    shrinks = size[0] <= array.shape[0] and size[1] <= array.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(array, size[::-1], interpolation=method), dtype=np.float32)


# --- predictions: Predicted masks on disk: bits, and what a report shows besides, in one file
# per benchmark.

# Shapes: H, W of the image, g grid cells a side, k mined points of each sign.


@dataclass(frozen=True, slots=True)
class Predicted:
    """One predicted mask and how it came about. Coordinates are pixels of the original image."""

    mask: NDArray[np.bool_]
    """(H, W)"""
    box: NDArray[np.float32] | None = None
    """The box prompt, x0, y0, x1, y1, (4,)."""
    uncertainty: NDArray[np.float16] | None = None
    """PA-SAM's uncertainty map, (h, h) in [0, 1]: the grid's cells, or finer ones."""
    positive: NDArray[np.float32] | None = None
    """PA-SAM's positive points x, y, (k, 2)."""
    negative: NDArray[np.float32] | None = None
    """PA-SAM's negative points x, y, (k, 2)."""
    maps: Mapping[str, NDArray[np.float16]] = field(default_factory=dict)
    """PA-SAM's inner maps by name, each (g, g)."""


MAP = ":map:"
EXTRAS = ("box", "uncertainty", "positive", "negative")


def with_maps(
    predictions: Mapping[str, Predicted], maps: Sequence[Mapping[str, NDArray[np.float16]]]
) -> dict[str, Predicted]:
    """Put inner maps beside the predictions that they belong to.

    Args:
        predictions: By id, in the order of prediction.
        maps: One entry per prediction in the same order, or none at all.

    Raises:
        DataError: There are other predictions than maps.
    """
    if not maps:
        return dict(predictions)
    if len(maps) != len(predictions):
        raise DataError(
            f"{len(maps)} sets of inner maps were taken of {len(predictions)} predictions; watch "
            "exactly one evaluation."
        )
    return {
        name: replace(item, maps=own)
        for (name, item), own in zip(predictions.items(), maps, strict=True)
    }


def write_predictions(path: Path, predictions: Mapping[str, Predicted]) -> None:
    """Write predictions atomically; equal predictions give equal bytes.

    Args:
        path: An `.npz` file; its folder is made if need be.
        predictions: By id of the mask.
    """
    arrays: dict[str, NDArray[np.generic]] = {}
    for name in sorted(predictions):
        item = predictions[name]
        arrays[f"{name}:shape"] = np.array(item.mask.shape, np.int32)
        arrays[f"{name}:mask"] = np.packbits(item.mask)
        for extra in EXTRAS:
            value = getattr(item, extra)
            if value is not None:
                arrays[f"{name}:{extra}"] = value
        for key in sorted(item.maps):
            arrays[f"{name}{MAP}{key}"] = item.maps[key]
    packed = io.BytesIO()
    np.savez_compressed(packed, allow_pickle=False, **arrays)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".part")
    draft.write_bytes(packed.getvalue())
    draft.replace(path)


def read_prediction(path: Path, name: str) -> Predicted:
    """Read one prediction.

    Args:
        path: A file of `write_predictions`.
        name: Id of the mask.

    Raises:
        DataError: The file is missing, or has no such mask.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist; run `dvc repro evaluate` to make it.")
    with np.load(path, allow_pickle=False) as pack:
        if f"{name}:mask" not in pack:
            raise DataError(f"{path} has no mask '{name}'; evaluate and report disagree. Repro.")
        height, width = (int(length) for length in pack[f"{name}:shape"])
        bits = np.unpackbits(pack[f"{name}:mask"], count=height * width)
        extras = {e: pack[f"{name}:{e}"] for e in EXTRAS if f"{name}:{e}" in pack}
        found = [entry for entry in pack.files if entry.startswith(f"{name}{MAP}")]
        maps = {entry.removeprefix(f"{name}{MAP}"): pack[entry] for entry in found}
    mask = bits.reshape(height, width).astype(np.bool_)
    return Predicted(mask=mask, maps=maps, **extras)


# --- run: Running a model over one benchmark: predictions at original size, one score row per
# image.
#
# The protocol is the reference's (PA-SAM's code, section 7 of its evaluation): the image squashed
# to the input side, the tight box of the squashed label as prompt, logits resized bilinearly
# straight to the original size, foreground above 0.

# Shapes: N masks in a call, S pixels a side of the input, g grid cells a side, H, W of the image.


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What came of one model on one benchmark."""

    scores: list[dict[str, Any]]
    """Rows of `pasam.evaluation.scores`."""
    predictions: dict[str, Predicted]
    """What was predicted, by id."""
    seconds: float
    """Time spent in the decoder; no part of any reproducible output."""


def benchmark_rows(manifest: pd.DataFrame, benchmark: str) -> pd.DataFrame:
    """Return a benchmark's rows of the manifest.

    Raises:
        DataError: The manifest's `val` split has no such data set.
    """
    val = manifest[manifest["split"] == "val"]
    rows = val[val["dataset"] == benchmark]
    if rows.empty:
        known = sorted(set(val["dataset"]))
        raise DataError(
            f"benchmark '{benchmark}' has no images; the manifest's val split holds {known}. "
            "Correct evaluate.benchmarks in params.yaml, or add the data."
        )
    return rows


def evaluate_segmenter(
    segmenter: Segmenter,
    store: Store,
    rows: pd.DataFrame,
    *,
    model: str,
    seed: int,
    batch_size: int,
    boundary_fraction: float,
) -> Evaluated:
    """Predict and score every mask of a benchmark.

    Args:
        segmenter: The model.
        store: Embeddings of the `val` split.
        rows: The benchmark's rows of the manifest.
        model: Its name in the scores.
        seed: Seed of its training, `UNTRAINED` if there was none.
        batch_size: Prompts per decoder call; changes nothing but the time.
        boundary_fraction: Width of the boundary band as a share of the diagonal.
    """
    segmenter.eval()
    evaluated = Evaluated(scores=[], predictions={}, seconds=0.0)
    seconds = 0.0
    for part in _parts(rows, batch_size):
        places = places_of(store, part)
        boxes = [tight_box(store.labels[label]) for label, _ in places]
        start = time.perf_counter()
        views = [row for _, row in places]
        encoded = encoded_rows(store, views)
        prediction = predict(segmenter, store.images[views], encoded, box_prompts(boxes))
        seconds += time.perf_counter() - start
        for number, item in enumerate(part):
            truth = read_mask(Path(item["mask"]))
            mask = at_original_size(prediction.masks[number], truth.shape)
            found = _predicted(mask, prediction, number, boxes[number], segmenter.base)
            evaluated.predictions[item["id"]] = found
            scores = score_mask(truth, mask, boundary_fraction=boundary_fraction)
            evaluated.scores.append({**describe(item, model, seed), **scores})
    return Evaluated(evaluated.scores, evaluated.predictions, seconds)


def evaluate_oracle(
    rows: pd.DataFrame, *, model: str, mask_side: int, boundary_fraction: float
) -> Evaluated:
    """Score the ground truth brought down to the mask resolution and back.

    Args:
        rows: The benchmark's rows of the manifest.
        model: Its name in the scores.
        mask_side: Side of the decoder's masks.
        boundary_fraction: Width of the boundary band as a share of the diagonal.
    """
    evaluated = Evaluated(scores=[], predictions={}, seconds=0.0)
    for item in _records(rows):
        truth = read_mask(Path(item["mask"]))
        mask = oracle_mask(truth, mask_side=mask_side)
        scores = score_mask(truth, mask, boundary_fraction=boundary_fraction)
        evaluated.scores.append({**describe(item, model, UNTRAINED), **scores})
        evaluated.predictions[item["id"]] = Predicted(mask=mask)
    return evaluated


def _predicted(
    mask: NDArray[np.bool_],
    prediction: Prediction,
    number: int,
    box: NDArray[np.float32],
    base: BaseSam,
) -> Predicted:
    """Keep what a report shows, with coordinates in pixels of the original image."""
    scale = np.array(mask.shape[::-1], np.float32) / base.side  # x, y
    corners = (box.reshape(2, 2) + 0.5) * scale - 0.5
    box_there = np.asarray(corners.reshape(4), np.float32)
    details = prediction.details
    if details is None:
        return Predicted(mask=mask, box=box_there)
    cell = np.array(mask.shape[::-1], np.float32) / base.grid

    def centres(cells: Tensor | None) -> NDArray[np.float32] | None:
        if cells is None:  # the model mines no points
            return None
        places = cells[number].cpu().numpy()
        xy = np.stack([places % base.grid, places // base.grid], axis=1).astype(np.float32)
        return np.asarray((xy + 0.5) * cell - 0.5, np.float32)

    return Predicted(
        mask=mask,
        box=box_there,
        uncertainty=details.uncertainty[number, 0].cpu().numpy().astype(np.float16),
        positive=centres(details.positive),
        negative=centres(details.negative),
    )


def places_of(store: Store, part: Sequence[dict[str, Any]]) -> list[tuple[int, int]]:
    """Find each mask's label and view in the store.

    Raises:
        DataError: The store lacks a mask.
    """
    index = store.index
    rows = dict(zip(index["id"], zip(index.index, index["row"], strict=True), strict=True))
    lost = [item["id"] for item in part if item["id"] not in rows]
    if lost:
        raise DataError(
            f"the embeddings lack {lost[:3]} of {len(part)} masks: their object vanishes at the "
            "model's input side, or the embeddings are of other data. Run `dvc repro embed`, or "
            "leave masks out that are too small to be seen."
        )
    return [(int(rows[item["id"]][0]), int(rows[item["id"]][1])) for item in part]


def describe(item: dict[str, Any], model: str, seed: int) -> dict[str, Any]:
    """Say in a score row what was measured, and with a tight box on the clean image."""
    return {
        "model": model,
        "seed": seed,
        "benchmark": item["dataset"],
        "image_id": item["id"],
        "prompt": BOX,
        "corruption": CLEAN,
        **{name: item[name] for name in ("area", "complexity", "height", "width")},
    }


def _records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): v for k, v in row.items()} for row in rows.to_dict("records")]


def _parts(rows: pd.DataFrame, size: int) -> Iterator[list[dict[str, Any]]]:
    records = _records(rows)
    for first in range(0, len(records), size):
        yield records[first : first + size]
