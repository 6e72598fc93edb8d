"""Robustness: the same benchmarks with jittered boxes, few points, and worse images."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pasam.config.schema import RobustnessParams
from pasam.errors import DataError
from pasam.evaluation.model_set import Lineup
from pasam.evaluation.protocol import (
    at_original_size,
    batches,
    describe,
    encode,
    encoded_rows,
    places_of,
    point_prompts,
    predict,
)
from pasam.evaluation.scores import BOX, CLEAN, condition_name, score_mask
from pasam.masks.images import FOREGROUND, read_image, read_mask
from pasam.masks.prompts import tight_box
from pasam.masks.transforms import squash
from pasam.models.base_sam import Encoded
from pasam.models.segmenter import Prompts
from pasam.training.embeddings import Store
from pasam.training.samples import box_prompts
from pasam.workers import progress_bar

# --- corruptions: Images made worse: out of focus, noisy, or squeezed by JPEG, each at a stated
# strength.

Kind = Literal["blur", "noise", "jpeg"]


@dataclass(frozen=True, slots=True)
class Corruption:
    """One way of making an image worse."""

    kind: Kind
    strength: int
    """1, 2, ...: its place among the amounts of its kind."""
    amount: float
    """Blur: deviation as a share of the shorter side; noise: deviation in grey levels; JPEG:
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


# --- weak_prompts: Prompts of a careless or a lazy user: loose boxes, and few points.
#
# Draws depend on the seed and the object's name alone, and are shared by all strengths: a looser
# box errs the same way but further, and three points are the first three of ten.

# Shapes: S side of the label in input pixels, k points.

_BOX, _POINTS = 0, 1  # streams of draws


def loose_box(
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
    inside = np.flatnonzero(label > FOREGROUND)
    if not len(inside):
        raise DataError(f"{name} has no pixel at the input side, so no point can lie on it.")
    chosen = _rng(name, seed, _POINTS).choice(inside, size=most, replace=len(inside) < most)
    rows, columns = np.divmod(chosen[:count], label.shape[1])
    return np.stack([columns, rows], axis=1).astype(np.float32)


def _rng(name: str, seed: int, stream: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(name.encode()), stream])


# --- robustness: Robustness curves: the same benchmarks with looser boxes, few points, and worse
# images.

# Shapes: n masks of a batch, S pixels a side of the input.

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Condition:
    """What is made worse. At most one of the prompt and the image is."""

    prompt: str
    """As in the column `prompt` of the scores."""
    corruption: str
    """As in the column `corruption` of the scores."""
    images: NDArray[np.uint8]
    """(n, 3, S, S)"""
    encoded: Encoded
    prompts: list[Prompts]


@dataclass(frozen=True, slots=True)
class Objects:
    """A batch of masks with their views in the store."""

    items: list[Row]
    """Rows of the manifest."""
    labels: NDArray[np.uint8]
    """(n, S, S)"""
    boxes: list[NDArray[np.float32]]
    images: NDArray[np.uint8]
    """(n, 3, S, S)"""
    encoded: Encoded


def evenly(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    """Take `count` rows, evenly spaced in the order of their ids; all if there are fewer."""
    ordered = rows.sort_values("id", ignore_index=True)
    if len(ordered) <= count:
        return ordered
    places = np.arange(count) * len(ordered) // count
    return ordered.iloc[places].reset_index(drop=True)


def evaluate_robustness(
    lineup: Lineup,
    store: Store,
    rows: pd.DataFrame,
    params: RobustnessParams,
    *,
    batch_size: int,
    boundary_fraction: float,
) -> list[Row]:
    """Score every model under every condition; tight boxes on clean images are left out.

    Args:
        lineup: The models.
        store: Embeddings of the `val` split; worse prompts need no other encoding.
        rows: Rows of the manifest to measure on.
        params: The conditions.
        batch_size: Masks per call; changes nothing but the time.
        boundary_fraction: Width of the boundary band as a share of the diagonal.

    Returns:
        Rows of `pasam.evaluation.scores`.
    """
    records = [{str(k): v for k, v in row.items()} for row in rows.to_dict("records")]
    parts = list(batches(len(records), batch_size))
    found: list[Row] = []
    for part in progress_bar(parts, total=len(parts), label="robustness"):
        objects = _objects(store, records[part])
        truths = [read_mask(Path(item["mask"])) for item in objects.items]
        for condition in _conditions(lineup, objects, params):
            found += _scores(lineup, objects, truths, condition, boundary_fraction)
    return found


def _objects(store: Store, items: list[Row]) -> Objects:
    places = places_of(store, items)
    labels = np.stack([store.labels[label] for label, _ in places])
    views = [view for _, view in places]
    return Objects(
        items=items,
        labels=labels,
        boxes=[tight_box(label) for label in labels],
        images=store.images[views],
        encoded=encoded_rows(store, views),
    )


def _conditions(lineup: Lineup, objects: Objects, params: RobustnessParams) -> Iterator[Condition]:
    for name, prompts in _weak_prompts(objects, params):
        yield Condition(name, CLEAN, objects.images, objects.encoded, prompts)
    tight = box_prompts(objects.boxes)
    amounts: dict[Kind, Sequence[float]] = {
        "blur": params.blur,
        "noise": params.noise,
        "jpeg": params.jpeg,
    }
    for corruption in corruptions(amounts):
        worse = [_worse(item, corruption, lineup, params) for item in objects.items]
        images = np.stack(worse).transpose(0, 3, 1, 2)
        yield Condition(BOX, corruption.name, images, encode(lineup.base, images), tight)


def _weak_prompts(
    objects: Objects, params: RobustnessParams
) -> Iterator[tuple[str, list[Prompts]]]:
    ids = [str(item["id"]) for item in objects.items]
    side = objects.labels.shape[-1]
    for scale in params.jitter:
        boxes = [
            loose_box(box, scale, side=side, name=name, seed=params.seed)
            for name, box in zip(ids, objects.boxes, strict=True)
        ]
        yield condition_name("box_jitter", scale), box_prompts(boxes)
    most = max(params.points, default=0)
    for count in params.points:
        points = [
            first_points(label, count, most=most, name=name, seed=params.seed)
            for name, label in zip(ids, objects.labels, strict=True)
        ]
        yield condition_name("points", count), point_prompts(points)


def _worse(
    item: Row, corruption: Corruption, lineup: Lineup, params: RobustnessParams
) -> NDArray[np.uint8]:
    image = read_image(Path(item["image"]))
    worse = corrupt(image, corruption, name=str(item["image_sha256"]), seed=params.seed)
    return squash(worse, lineup.base.side)


def _scores(
    lineup: Lineup,
    objects: Objects,
    truths: Sequence[NDArray[np.uint8]],
    condition: Condition,
    boundary_fraction: float,
) -> Iterator[Row]:
    for contender in lineup.contenders:
        found = predict(contender.segmenter, condition.images, condition.encoded, condition.prompts)
        for number, (item, truth) in enumerate(zip(objects.items, truths, strict=True)):
            mask = at_original_size(found.masks[number], truth.shape)
            yield {
                **describe(item, contender.name, contender.seed),
                "prompt": condition.prompt,
                "corruption": condition.corruption,
                **score_mask(truth, mask, boundary_fraction=boundary_fraction),
            }
