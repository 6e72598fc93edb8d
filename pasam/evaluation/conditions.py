"""Robustness: the same benchmarks with jittered boxes, few points, and worse images.

Prompts are those of a careless or a lazy user. Their draws depend on the seed and the object's name
alone, and are shared by all strengths: a looser box errs the same way but further, and three points
are the first three of ten. Images are out of focus, noisy, or JPEG-compressed, made worse at their
original size, before they are brought to the input.
"""

# Shapes: n masks of a batch, S pixels a side of the input, H, W of an image, k points.

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from pasam.config.schema import RobustnessParams
from pasam.errors import DataError
from pasam.evaluation.model_set import ModelSet, encode
from pasam.evaluation.protocol import (
    Asked,
    PromptBatch,
    evaluate_all,
    labels_of,
    look,
    parts_of,
    store_batch,
    threads_beside,
    truths_of,
)
from pasam.evaluation.scores import BOX, CLEAN, Row, condition_name
from pasam.masks.images import foreground, read_image
from pasam.masks.transforms import squash
from pasam.models.segmenter import ImageFeatures, Prompts
from pasam.training.embeddings import Store
from pasam.training.samples import box_prompts
from pasam.workers import ALONE, ProcessGroup, progress_bar, threads_ahead

_BOX, _POINTS = 0, 1  # streams of draws

Kind = Literal["blur", "noise", "jpeg"]


@dataclass(frozen=True, slots=True)
class Corruption:
    """One way of making an image worse."""

    kind: Kind
    strength: int
    """1, 2, ...: its place among the amounts of its kind."""
    amount: float
    """Blur: deviation as a fraction of the shorter side; noise: deviation in grey levels; JPEG:
    quality."""

    @property
    def name(self) -> str:
        """As in the column `corruption` of the scores."""
        return condition_name(self.kind, self.strength)


def corruptions(amounts: dict[Kind, Sequence[float]]) -> list[Corruption]:
    """List every kind at every strength."""
    return [
        Corruption(kind, strength, amount)
        for kind, values in amounts.items()
        for strength, amount in enumerate(values, start=1)
    ]


def corrupt(
    image: NDArray[np.uint8], corruption: Corruption, *, name: str, seed: int
) -> NDArray[np.uint8]:
    """Make an image worse.

    Args:
        image: RGB image at its original size, (H, W, 3).
        corruption: How.
        name: What the image is known by; with the seed, it decides on the noise, which all
            strengths share.
        seed: Seed of the noise.

    Returns:
        The image, (H, W, 3).
    """
    if corruption.kind == "blur":
        deviation = corruption.amount * min(image.shape[:2])
        blurred = cv2.GaussianBlur(image, (0, 0), deviation, borderType=cv2.BORDER_REFLECT_101)
        return np.asarray(blurred, dtype=np.uint8)
    if corruption.kind == "noise":
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        noise = rng.standard_normal(image.shape, dtype=np.float32)
        noisy = np.rint(image + np.float32(corruption.amount) * noise)
        return np.clip(noisy, 0, 255).astype(np.uint8)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(corruption.amount)]
    _, packed = cv2.imencode(".jpg", image[:, :, ::-1], quality)
    unpacked = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), dtype=np.uint8)
    return np.ascontiguousarray(unpacked[:, :, ::-1])


def evenly(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    """Take `count` rows, evenly spaced in the order of their ids; all if there are fewer."""
    ordered = rows.sort_values("id", ignore_index=True)
    if len(ordered) <= count:
        return ordered
    places = np.arange(count) * len(ordered) // count
    return ordered.iloc[places].reset_index(drop=True)


def evaluate_robustness(
    models: ModelSet,
    store: Store,
    rows: pd.DataFrame,
    params: RobustnessParams,
    *,
    batch_size: int,
    boundary_fraction: float,
    group: ProcessGroup = ALONE,
) -> list[Row]:
    """Score every model under every condition; tight boxes on clean images are left out.

    Args:
        models: The models.
        store: Embeddings of the `val` split; weak prompts need no other encoding.
        rows: Rows of the manifest to measure on.
        params: The conditions.
        batch_size: Masks per call; changes nothing but the time.
        boundary_fraction: Width of the boundary band as a fraction of the diagonal.
        group: The processes that share the batches.

    Returns:
        Rows of `pasam.evaluation.scores`, of this process's share.
    """
    parts = group.share(parts_of(rows, batch_size))
    threads = max((threads_beside(entry) for entry in models.entries), default=0)
    read = partial(truths_of, boundary_fraction=boundary_fraction)

    def asked() -> Iterator[Asked]:
        whole = zip(parts, threads_ahead(read, parts, threads=threads), strict=True)
        for items, truths in progress_bar(whole, total=len(parts), label="robustness"):
            clean, labels = store_batch(store, items), labels_of(store, items)
            seen: dict[int, ImageFeatures] = {}  # of the clean images: once for all weak prompts
            for prompt, corruption, batch in _conditions(
                models, clean, items, labels, params, threads=threads
            ):
                for number, entry in enumerate(models.entries):
                    features = None
                    if corruption == CLEAN:
                        features = seen.get(number) or look(entry.segmenter, clean)
                        seen[number] = features
                    yield Asked(
                        entry=entry, batch=batch, items=items, truths=truths, prompt=prompt,
                        corruption=corruption, features=features,
                    )  # fmt: skip

    return [row for each in evaluate_all(asked(), threads=threads) for row in each.scores]


def _conditions(
    models: ModelSet,
    clean: PromptBatch,
    items: Sequence[Row],
    labels: Sequence[NDArray[np.uint8]],
    params: RobustnessParams,
    *,
    threads: int,
) -> Iterator[tuple[str, str, PromptBatch]]:
    """Make a batch worse in every way, each with its names in the columns of the scores."""
    ids = [str(item["id"]) for item in items]
    side = labels[0].shape[-1]
    for scale in params.jitter:
        boxes = [
            jitter_box(box, scale, side=side, name=name, seed=params.seed)
            for name, box in zip(ids, clean.boxes, strict=True)
        ]
        loose = replace(clean, prompts=box_prompts(boxes), boxes=boxes)
        yield condition_name("box_jitter", scale), CLEAN, loose
    most = max(params.points, default=0)
    for count in params.points:
        points = [
            first_points(label, count, most=most, name=name, seed=params.seed)
            for name, label in zip(ids, labels, strict=True)
        ]
        few = replace(clean, prompts=point_prompts(points), boxes=())
        yield condition_name("points", count), CLEAN, few
    amounts: dict[Kind, Sequence[float]] = {
        "blur": params.blur, "noise": params.noise, "jpeg": params.jpeg
    }  # fmt: skip
    ways = corruptions(amounts)
    make = partial(_worse, items, side=side, seed=params.seed)
    for corruption, images in zip(ways, threads_ahead(make, ways, threads=threads), strict=True):
        worse = replace(clean, images=images, encoded=encode(models.base, images))
        yield BOX, corruption.name, worse


def _worse(
    items: Sequence[Row], corruption: Corruption, *, side: int, seed: int
) -> NDArray[np.uint8]:
    """Read images, make them worse at their own size, and squash them: (n, 3, S, S)."""
    images = []
    for item in items:
        image = read_image(Path(item["image"]))
        # Named by content: an image that is in a set twice meets the same noise.
        worse = corrupt(image, corruption, name=str(item["image_sha256"]), seed=seed)
        images.append(squash(worse, side))
    return np.stack(images).transpose(0, 3, 1, 2)


def jitter_box(
    box: NDArray[np.float32], scale: float, *, side: int, name: str, seed: int
) -> NDArray[np.float32]:
    """Move and stretch a box at random, as HQ-SAM tests robustness to boxes.

    The centre moves by U(-1, 1) of half the box's width and height times the scale, width and
    height change by U(-1, 1) of themselves times the scale, and the box is cut off at the image.

    Args:
        box: x0, y0, x1, y1 in input pixels, (4,).
        scale: Noise scale, 0 to leave the box as it is.
        side: Side S of the input.
        name: Name of the object.
        seed: Seed of the draws.

    Returns:
        x0, y0, x1, y1, (4,).
    """
    draws = _rng(name, seed, _BOX).uniform(-1, 1, size=4)
    extent = box[2:] - box[:2]
    centre = (box[:2] + box[2:]) / 2 + draws[:2] * scale * extent / 2
    half = extent * (1 + draws[2:] * scale) / 2
    corners = np.concatenate([centre - half, centre + half])
    return np.asarray(np.clip(corners, 0, side - 1), dtype=np.float32)


def first_points(
    label: NDArray[np.uint8], count: int, *, most: int, name: str, seed: int
) -> NDArray[np.float32]:
    """Take the first few of an object's random foreground points.

    Args:
        label: Mask of the object, (S, S), foreground above 128.
        count: How many.
        most: How many are drawn in all; the same for every count that is compared.
        name: Name of the object.
        seed: Seed of the draws.

    Returns:
        x, y as pixel indices, (k, 2); distinct, unless the object has fewer pixels than `most`.

    Raises:
        DataError: The label has no foreground.
    """
    inside = np.flatnonzero(foreground(label))
    if not len(inside):
        raise DataError(f"{name} has no pixel at the input side, so no point can lie on it.")
    chosen = _rng(name, seed, _POINTS).choice(inside, size=most, replace=len(inside) < most)
    rows, columns = np.divmod(chosen[:count], label.shape[1])
    return np.stack([columns, rows], axis=1).astype(np.float32)


def point_prompts(points: Sequence[NDArray[np.float32]]) -> list[Prompts]:
    """Stack equally many foreground points of each object, x, y in input pixels, (k, 2) each."""
    stacked = torch.from_numpy(np.stack(points))
    labels = torch.ones(stacked.shape[:2])
    return [Prompts(torch.arange(len(points)), points=stacked, point_labels=labels)]


def _rng(name: str, seed: int, stream: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(name.encode()), stream])
