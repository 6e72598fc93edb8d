"""The one way from images and prompts to scored masks: benchmarks, own sets, worse conditions.

The protocol is the reference's (PA-SAM's code, section 7 of its evaluation): the image squashed to
the input side, the tight box of the squashed label as prompt, points mined as the model mines in
prediction, logits resized bilinearly straight to the original size, foreground above 0.

Everything that is measured goes through `PromptBatch`, `predict` and `masks_at_original_size`.
"""

# Shapes: B images, N prompts, k points, S pixels a side of the input, g grid cells a side,
# m mask pixels a side, H, W of an original image, n masks of one image.

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from pasam.config.schema import EvaluateParams
from pasam.errors import DataError, ShapeError
from pasam.evaluation.model_set import ModelEntry, Pixels, encode
from pasam.evaluation.predictions import Predicted
from pasam.evaluation.scores import BOX, CLEAN, UNTRAINED, Row, Truth, score_mask
from pasam.inference.image_transform import ImageTransform
from pasam.masks.images import foreground
from pasam.masks.mask_files import read_mask
from pasam.masks.prompts import tight_box
from pasam.models.base_sam import BaseSam, Encoded, synchronize
from pasam.models.segmenter import ImageFeatures, Prediction, Prompts, Segmenter
from pasam.training.embeddings import Store
from pasam.training.samples import box_prompts
from pasam.workers import ALONE, ProcessGroup, threads_ahead


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptBatch:
    """N prompts on B images: all that a model is given, and where its masks belong."""

    images: Pixels
    """(B, 3, S, S)"""
    encoded: Encoded
    """What the frozen encoder said of them."""
    prompts: list[Prompts]
    """The N prompts, by kind."""
    transforms: Sequence[ImageTransform]
    """How the image of each prompt was brought to the input, (N,)."""
    image_index: NDArray[np.int64] | None = None
    """Image of each prompt, (N,); None if there is one prompt for each image."""
    boxes: Sequence[NDArray[np.float32]] = ()
    """Where the prompts are boxes: these, in input pixels, (4,) each."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What came of one model; benchmarks are put together with `extend`."""

    scores: list[Row] = field(default_factory=list)
    """Rows of `pasam.evaluation.scores`."""
    predictions: dict[str, Predicted] = field(default_factory=dict)
    """What was predicted, by id."""
    seconds: list[float] = field(default_factory=list)
    """Time of each pass of the decoder; no part of any reproducible output."""

    def extend(self, other: Evaluated) -> None:
        """Put what was evaluated after it behind it."""
        self.scores.extend(other.scores)
        self.predictions.update(other.predictions)
        self.seconds.extend(other.seconds)

    def gathered(self, group: ProcessGroup) -> Evaluated:
        """Put all processes' shares together, in the first of them; in the others there is none."""
        whole = Evaluated()
        for part in group.gather([self]):
            whole.extend(part)
        return whole


def look(segmenter: Segmenter, batch: PromptBatch) -> ImageFeatures:
    """Make what a model needs of a batch's images, for several passes of prompts on them."""
    with torch.no_grad():
        return segmenter.look(**_images_on(segmenter.device, batch))


def predict(
    segmenter: Segmenter, batch: PromptBatch, features: ImageFeatures | None = None
) -> Prediction:
    """Predict the masks of a batch's prompts, without gradient.

    Args:
        segmenter: The model; it is to be in `eval`.
        batch: The prompts.
        features: What `look` made of the batch's images; None to look now.
    """
    device = segmenter.device
    index = np.arange(len(batch.images)) if batch.image_index is None else batch.image_index
    asked: dict[str, Any] = {
        "image_index": torch.from_numpy(index).to(device),
        "prompts": [_on(device, group) for group in batch.prompts],
    }
    with torch.no_grad():
        if features is not None:
            return segmenter.answer(features, **asked)
        prediction: Prediction = segmenter(**_images_on(device, batch), **asked)
    return prediction


def _images_on(device: torch.device, batch: PromptBatch) -> dict[str, Any]:
    """Bring a batch's images and what was said of them to a device."""
    found = batch.encoded
    return {
        # a copy: cached images cannot be written to, and torch warns of that
        "images": torch.from_numpy(np.array(batch.images)).to(device),
        "encoded": Encoded(embedding=found.embedding.to(device), early=found.early.to(device)),
    }


def masks_at_original_size(
    prediction: Prediction, batch: PromptBatch
) -> Iterator[NDArray[np.bool_]]:
    """Bring each mask to its image's own size, (H, W), one after the other to spare memory."""
    for number, transform in enumerate(batch.transforms):
        logits = prediction.masks[number : number + 1].float()
        mask: NDArray[np.bool_] = transform.masks_at_original_size(logits)[0, 0].cpu().numpy()
        yield mask


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What a model is asked, and what the answers are held against."""

    entry: ModelEntry
    """The model."""
    batch: PromptBatch
    """One prompt for each mask."""
    items: Sequence[Row]
    """The masks' rows of the manifest."""
    truths: Sequence[Truth]
    """The masks themselves."""
    prompt: str = BOX
    """Name of the prompts, as in the scores."""
    corruption: str = CLEAN
    """Name of what was done to the images, as in the scores."""
    features: ImageFeatures | None = None
    """What `look` made of the batch's images; None to look when asked."""


SCORERS = 4
"""Threads that read and score masks beside a GPU."""


def threads_beside(entry: ModelEntry) -> int:
    """Say how many threads read and score while a model predicts.

    None on a CPU: there prediction has use for every core.
    """
    return SCORERS if entry.segmenter.device.type == "cuda" else 0


def evaluate_all(asked: Iterable[Asked], *, threads: int) -> Iterator[Evaluated]:
    """Predict and score batches, one after the other.

    Args:
        asked: The batches; each is made when its turn comes.
        threads: Threads that score the last batches while the next ones are predicted.

    Yields:
        What came of each batch, in their order.
    """
    answered = ((each, *_timed(each)) for each in asked)
    return threads_ahead(_scored, answered, threads=threads)


def _timed(asked: Asked) -> tuple[Prediction, float]:
    """Predict the masks of a batch; return how many seconds that took, too."""
    start = time.perf_counter()
    prediction = predict(asked.entry.segmenter, asked.batch, asked.features)
    synchronize(prediction.masks.device)
    return prediction, time.perf_counter() - start


def _scored(answered: tuple[Asked, Prediction, float]) -> Evaluated:
    """Score the masks of a batch."""
    asked, prediction, seconds = answered
    found, entry = Evaluated(seconds=[seconds]), asked.entry
    masks = masks_at_original_size(prediction, asked.batch)
    for number, (item, truth, mask) in enumerate(
        zip(asked.items, asked.truths, masks, strict=True)
    ):
        found.scores.append(
            {
                **_described(item, entry.name, entry.seed),
                "prompt": asked.prompt,
                "corruption": asked.corruption,
                **score_mask(truth, mask),
            }
        )
        found.predictions[item["id"]] = _predicted(
            mask, prediction, asked.batch, number, entry.segmenter
        )
    return found


def evaluate_benchmark(
    entry: ModelEntry,
    store: Store,
    rows: pd.DataFrame,
    *,
    batch_size: int,
    boundary_fraction: float,
    group: ProcessGroup = ALONE,
) -> Evaluated:
    """Predict and score every mask of a benchmark.

    Args:
        entry: The model.
        store: Embeddings of the `val` split.
        rows: The benchmark's rows of the manifest.
        batch_size: Prompts per decoder call; changes nothing but the time.
        boundary_fraction: Width of the boundary band as a fraction of the diagonal.
        group: The processes that share the batches; what is returned is this one's share.
    """
    entry.segmenter.eval()
    found, threads = Evaluated(), threads_beside(entry)
    parts = group.share(parts_of(rows, batch_size))
    read = partial(truths_of, boundary_fraction=boundary_fraction)
    asked = (
        Asked(entry=entry, batch=store_batch(store, items), items=items, truths=truths)
        for items, truths in zip(parts, threads_ahead(read, parts, threads=threads), strict=True)
    )
    for each in evaluate_all(asked, threads=threads):
        found.extend(each)
    return found


def evaluate_benchmarks(
    entry: ModelEntry, store: Store, manifest: pd.DataFrame, params: EvaluateParams,
    *, names: Sequence[str] | None = None, group: ProcessGroup = ALONE,
) -> Evaluated:  # fmt: skip
    """Predict and score every mask of some data sets, by default of all benchmarks.

    Of a group of processes each returns what `evaluate_benchmark` does: its own share.
    """
    found = Evaluated()
    for name in params.benchmarks if names is None else names:
        found.extend(
            evaluate_benchmark(
                entry, store, benchmark_rows(manifest, name), batch_size=params.batch_size,
                boundary_fraction=params.boundary_fraction, group=group,
            )
        )  # fmt: skip
    return found


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
            "If the set was added since, run `dvc repro`, which prepares and measures it; an "
            "experiment (--temp, --queue) has only what is committed, so first `dvc add "
            f"data/own/{benchmark}` and commit. Else correct evaluate.benchmarks in params.yaml."
        )
    return rows


def parts_of(rows: pd.DataFrame, size: int) -> list[list[Row]]:
    """Cut rows of the manifest into lists of at most `size`."""
    items = [{str(k): v for k, v in row.items()} for row in rows.to_dict("records")]
    return [items[part] for part in slices(len(items), size)]


def slices(count: int, size: int) -> Iterator[slice]:
    """Cut `count` places into slices of at most `size`."""
    for first in range(0, count, size):
        yield slice(first, min(first + size, count))


def truths_of(items: Sequence[Row], *, boundary_fraction: float) -> list[Truth]:
    """Read the masks of some rows of the manifest.

    Args:
        items: The rows.
        boundary_fraction: Width of the boundary band as a fraction of the diagonal.
    """
    return [
        Truth.of(read_mask(Path(item["mask"])), boundary_fraction=boundary_fraction)
        for item in items
    ]


def store_batch(store: Store, items: Sequence[Row]) -> PromptBatch:
    """Ask for some masks of the manifest, each by the tight box of its label in the store.

    Raises:
        DataError: The store lacks a mask.
    """
    places = _places(store, items)
    views = [view for _, view in places]
    boxes = [tight_box(store.labels[label]) for label, _ in places]
    side = store.images.shape[-1]
    return PromptBatch(
        images=store.images[views],
        encoded=Encoded(
            embedding=torch.from_numpy(store.embedding[views].astype(np.float32)),
            early=torch.from_numpy(store.early[views].astype(np.float32)),
        ),
        prompts=box_prompts(boxes),
        transforms=[
            ImageTransform(item["height"], item["width"], side, "squash") for item in items
        ],
        boxes=boxes,
    )


def labels_of(store: Store, items: Sequence[Row]) -> list[NDArray[np.uint8]]:
    """Find the labels of some masks of the manifest at the input side, (S, S) each."""
    return [store.labels[label] for label, _ in _places(store, items)]


def image_batch(
    base: BaseSam,
    image: NDArray[np.uint8],
    transform: ImageTransform,
    boxes: Sequence[NDArray[np.float32]],
) -> PromptBatch:
    """Encode an image now and ask for the objects of some boxes.

    Args:
        base: What encodes it.
        image: RGB, (H, W, 3).
        transform: How it is brought to the input.
        boxes: In input pixels, (4,) each.
    """
    pixels = transform.padded(transform.resized(image))[None].numpy()
    return PromptBatch(
        images=pixels,
        encoded=encode(base, pixels),
        prompts=box_prompts(boxes),
        transforms=[transform] * len(boxes),
        image_index=np.zeros(len(boxes), np.int64),
        boxes=boxes,
    )


def evaluate_oracle(
    rows: pd.DataFrame, *, model: str, mask_side: int, boundary_fraction: float,
    group: ProcessGroup = ALONE,
) -> Evaluated:  # fmt: skip
    """Score the ground truth brought down to the mask resolution and back.

    Args:
        rows: The benchmark's rows of the manifest.
        model: Its name in the scores.
        mask_side: Side of the decoder's masks.
        boundary_fraction: Width of the boundary band as a fraction of the diagonal.
        group: The processes that share the masks; what is returned is this one's share.
    """
    found = Evaluated()
    for (item,) in group.share(parts_of(rows, 1)):
        label = read_mask(Path(item["mask"]))
        mask = oracle_mask(label, mask_side=mask_side)
        scores = score_mask(Truth.of(label, boundary_fraction=boundary_fraction), mask)
        about = {**_described(item, model, UNTRAINED), "prompt": BOX, "corruption": CLEAN}
        found.scores.append({**about, **scores})
        found.predictions[item["id"]] = Predicted(mask=mask)
    return found


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
    truth = foreground(mask).astype(np.float32)
    # One axis at a time: OpenCV averages areas only while no axis is enlarged.
    narrow = _averaged(truth, (height, mask_side))
    small = _averaged(narrow, (mask_side, mask_side))
    back = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(back > 0.5)


def _described(item: Row, model: str, seed: int) -> Row:
    """The part of a score row that says which model and which mask it is of."""
    return {
        "model": model,
        "seed": seed,
        "benchmark": item["dataset"],
        "image_id": item["id"],
        **{name: item[name] for name in ("group", "area", "complexity", "height", "width")},
    }


def _predicted(
    mask: NDArray[np.bool_],
    prediction: Prediction,
    batch: PromptBatch,
    number: int,
    segmenter: Segmenter,
) -> Predicted:
    """Keep what a report shows, with coordinates in pixels of the original image."""
    transform, box, base = batch.transforms[number], None, segmenter.base
    if batch.boxes:
        scale = np.array(mask.shape[::-1], np.float32) / base.side  # x, y
        corners = (batch.boxes[number].reshape(2, 2) + 0.5) * scale - 0.5  # pixels' middles
        box = np.asarray(corners.reshape(4), np.float32)
    details = prediction.details
    if details is None:
        return Predicted(mask=mask, box=box)

    def centres(cells: Tensor | None) -> NDArray[np.float32] | None:  # None: no mined points
        return None if cells is None else transform.cell_centres(cells[number], base.grid)

    return Predicted(
        mask=mask,
        box=box,
        uncertainty=details.uncertainty[number, 0].cpu().numpy().astype(np.float16),
        positive=centres(details.positive),
        negative=centres(details.negative),
    )


def _places(store: Store, items: Sequence[Row]) -> list[tuple[int, int]]:
    """Find each mask's label and view in the store."""
    index = store.index
    rows = dict(zip(index["id"], zip(index.index, index["row"], strict=True), strict=True))
    lost = [item["id"] for item in items if item["id"] not in rows]
    if lost:
        raise DataError(
            f"the embeddings lack {lost[:3]} of {len(items)} masks: they are of other data. Run "
            "`dvc repro embed`."
        )
    return [(int(rows[item["id"]][0]), int(rows[item["id"]][1])) for item in items]


def _averaged(array: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Average areas when shrinking to (height, width), interpolate when enlarging."""
    shrinks = size[0] <= array.shape[0] and size[1] <= array.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(array, size[::-1], interpolation=method), dtype=np.float32)


def _on(device: torch.device, group: Prompts) -> Prompts:
    parts = (group.boxes, group.points, group.point_labels, group.masks)
    moved = (None if part is None else part.to(device) for part in parts)
    return Prompts(group.indices.to(device), *moved)
