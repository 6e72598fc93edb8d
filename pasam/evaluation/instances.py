"""Instance segmentation from a detector's boxes: each box is a prompt, its score the mask's score.

Each image is encoded once for all models. Images are squashed to the input side as in all
benchmarks here, or keep their aspect as in the published numbers: `instances.resize`. There is no
time in the files: the same weights, images and boxes give the same bytes.
"""

# Shapes: S pixels a side of the input, H, W of the image, n boxes of one image.

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from pasam.config.schema import InstancesParams
from pasam.data.coco import (
    SEGINW_ANNOTATIONS,
    AnnotatedImage,
    Annotations,
    Detection,
    best_of_each_image,
    read_annotations,
    read_detections,
)
from pasam.errors import DataError
from pasam.evaluation.average_precision import (
    AveragePrecision,
    Bands,
    Overlap,
    average_precision,
    boundary_rle,
    objects_by_size,
)
from pasam.evaluation.model_set import ModelEntry, ModelSet
from pasam.evaluation.protocol import (
    PromptBatch,
    image_batch,
    look,
    masks_at_original_size,
    predict,
    slices,
    threads_beside,
)
from pasam.evaluation.scores import Row
from pasam.files import read_table, write_table
from pasam.inference.image_transform import ImageTransform, Resize
from pasam.masks.images import read_image
from pasam.masks.run_lengths import Rle, area, encode, from_segmentation, overlaps
from pasam.models.segmenter import Prediction
from pasam.training.samples import box_prompts
from pasam.workers import ALONE, ProcessGroup, progress_bar, threads_ahead

OVERLAPS: tuple[Overlap, ...] = ("mask", "boundary")
MEAN = "mean"
"""Set of the row that averages a benchmark's sets."""


def _schema(required: Mapping[str, pa.DataType], *optional: str) -> pa.Schema:
    fields = [pa.field(name, kind, nullable=False) for name, kind in required.items()]
    return pa.schema(fields + [pa.field(name, pa.float64()) for name in optional])


_WHO = {
    "model": pa.string(),
    "seed": pa.int32(),
    "benchmark": pa.string(),
    "set": pa.string(),
}

INSTANCES = _schema(
    {
        **_WHO,
        "image_id": pa.int64(),
        "detection": pa.int64(),
        "category_id": pa.int64(),
        "category": pa.string(),
        "score": pa.float64(),
        "x0": pa.float64(),
        "y0": pa.float64(),
        "x1": pa.float64(),
        "y1": pa.float64(),
        "object_id": pa.int64(),
        "object_area": pa.int64(),
        "iou": pa.float64(),
        "boundary_iou": pa.float64(),
        "area": pa.int64(),
        "height": pa.int32(),
        "width": pa.int32(),
        "counts": pa.string(),
    }
)
"""One row per model and detection: the box, the object of its category that the mask overlaps
most (-1: none), both IoUs with it in [0, 1], areas in pixels, and the mask as run lengths."""

INSTANCES_ORDER = ["benchmark", "set", "image_id", "detection", "model", "seed"]

PRECISIONS = _schema(
    {
        **_WHO,
        "overlap": pa.string(),
        "images": pa.int64(),
        "objects": pa.int64(),
        **dict.fromkeys(("objects_small", "objects_medium", "objects_large"), pa.int64()),
        "detections": pa.int64(),
    },
    "ap",
    "ap50",
    "ap75",
    "ap_small",
    "ap_medium",
    "ap_large",
)
"""One row per model, set and overlap ("mask" or "boundary"); precisions in [0, 1], null where the
set has no object of that size."""

PRECISIONS_ORDER = ["benchmark", "set", "overlap", "model", "seed"]

_ADVICE = "Run `dvc repro instances` to make it."
_NUMBERS = [field.name for field in fields(AveragePrecision)]
_COUNTS = [field.name for field in PRECISIONS if field.type == pa.int64()]


def write_instances(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the rows of detections atomically, sorted.

    Raises:
        DataError: A row lacks a column, holds a wrong type, or is there twice.
    """
    write_table(path, rows, INSTANCES, order=INSTANCES_ORDER)


def read_instances(path: Path) -> pd.DataFrame:
    """Read rows of detections.

    Raises:
        DataError: The file is missing or holds something else.
    """
    return read_table(path, INSTANCES, what="a file of segmented detections", advice=_ADVICE)


def write_precisions(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the rows of average precision atomically, sorted.

    Raises:
        DataError: A row lacks a column, holds a wrong type, or is there twice.
    """
    write_table(path, rows, PRECISIONS, order=PRECISIONS_ORDER)


def read_precisions(path: Path) -> pd.DataFrame:
    """Read rows of average precision.

    Raises:
        DataError: The file is missing or holds something else.
    """
    return read_table(path, PRECISIONS, what="a file of average precisions", advice=_ADVICE)


@dataclass(frozen=True, kw_only=True, slots=True)
class InstanceFiles:
    """Where a set for instance segmentation lies."""

    benchmark: str
    """What it is measured for: COCO, or SegInW, which consists of many sets."""
    name: str
    images: Path
    """Folder of the images."""
    annotations: Path
    detections: Path


def instance_files(params: InstancesParams) -> list[InstanceFiles]:
    """Say where section `instances` of the params looks for each set."""
    coco, seginw = params.coco, params.seginw
    found = [
        InstanceFiles(
            benchmark=coco.name, name=coco.name, images=Path(coco.images),
            annotations=Path(coco.annotations), detections=Path(coco.detections),
        )
    ]  # fmt: skip
    for name in seginw.sets:
        valid = Path(seginw.folder) / name / "valid"
        detections = Path(seginw.detections) / f"{name}.json"
        found.append(
            InstanceFiles(
                benchmark=seginw.name, name=name, images=valid,
                annotations=valid / SEGINW_ANNOTATIONS, detections=detections,
            )
        )  # fmt: skip
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class InstanceSet:
    """A set to segment: what is annotated, where its images are, and what the detector found."""

    benchmark: str
    name: str
    images: Path
    annotations: Annotations
    detections: Mapping[int, Sequence[Detection]]
    """By image."""


def instance_sets(params: InstancesParams) -> tuple[list[InstanceSet], list[str]]:
    """Read the annotations and detections of all sets that can be measured.

    Detections come from detectors that the project does not run, and whoever only wants the other
    tables has none: such a set is left out and named, while everything that is there has to be
    right.

    Returns:
        The sets, and a line about each that is not measured.

    Raises:
        DataError: There are detections, but the annotations are missing, or a file is invalid.
    """
    sets, absent = [], []
    for files in instance_files(params):
        if not files.detections.exists():
            where = files.detections
            absent.append(f"{files.name} is not measured: there are no detections at {where}.")
            continue
        annotations = read_annotations(files.annotations)
        detections = read_detections(files.detections, annotations)
        sets.append(
            InstanceSet(
                benchmark=files.benchmark, name=files.name, images=files.images,
                annotations=annotations,
                detections=best_of_each_image(detections, params.boxes_per_image),
            )
        )  # fmt: skip
    return sets, absent


def segment_instances(
    models: ModelSet,
    data: InstanceSet,
    *,
    resize: Resize,
    batch_size: int,
    boundary_fraction: float,
    group: ProcessGroup = ALONE,
) -> list[Row]:
    """Segment every detection with every model.

    Args:
        models: The models.
        data: The set.
        resize: Whether images keep their aspect.
        batch_size: Boxes per decoder call; changes nothing but the time.
        boundary_fraction: Width of the boundary band as a fraction of the image diagonal.
        group: The processes that share the images.

    Returns:
        Rows of `INSTANCES`, of this process's share.

    Raises:
        DataError: An image is missing or is not of the annotated size.
    """
    objects = _objects(data.annotations)
    threads = max((threads_beside(entry) for entry in models.entries), default=0)
    own = group.share([(data.annotations.images[k], found) for k, found in data.detections.items()])

    def answered() -> Iterator[_Answered]:
        read = partial(_pixels, data.images)
        images = threads_ahead(read, [image for image, _ in own], threads=threads)
        shown = progress_bar(own, total=len(own), label=f"images of {data.name}")
        for (image, found), pixels in zip(shown, images, strict=True):
            transform = ImageTransform(image.height, image.width, models.base.side, resize)
            boxes = [input_box(one.box, transform) for one in found]
            batch = image_batch(models.base, pixels, transform, boxes)
            bands = Bands(boundary_fraction)  # of the image's objects, for all models
            for entry in models.entries:
                for part, some, prediction in _predicted(entry, batch, batch_size):
                    yield _Answered(entry, image, found[part], some, prediction, bands)

    rows = threads_ahead(partial(_scored, data, objects), answered(), threads=threads)
    return [row for part in rows for row in part]


@dataclass(frozen=True, slots=True)
class _Answered:
    """What a model has answered to some boxes of an image."""

    entry: ModelEntry
    image: AnnotatedImage
    found: Sequence[Detection]
    batch: PromptBatch
    prediction: Prediction
    bands: Bands


def _scored(
    data: InstanceSet,
    objects: Mapping[tuple[int, int], Sequence[tuple[int, Rle]]],
    answered: _Answered,
) -> list[Row]:
    """Hold masks against the objects of their categories."""
    rows = []
    masks = masks_at_original_size(answered.prediction, answered.batch)
    for detection, pixels in zip(answered.found, masks, strict=True):
        mask = encode(pixels)
        match = _best(mask, objects.get((detection.image_id, detection.category_id), []))
        about = _about(answered.entry, data, answered.image, detection, mask)
        rows.append({**about, **_overlaps(mask, match, answered.bands)})
    return rows


def input_box(
    box: tuple[float, float, float, float], transform: ImageTransform
) -> NDArray[np.float32]:
    """Bring a detector's box to the input: from edges to the indices of its first and last pixel.

    Args:
        box: Edges x0, y0, x1, y1 in pixels of the image.
        transform: How the image is brought to the input.

    Returns:
        x0, y0, x1, y1 as the prompt encoder takes them, within the image, (4,).
    """
    edges = np.array(box).reshape(2, 2)
    middles = edges + np.array([[0.5], [-0.5]])
    middles = np.where(middles[0] > middles[1], edges.mean(axis=0), middles)  # less than a pixel
    h, w = transform.inner
    inner = np.clip(transform.into_input(middles) - 0.5, 0, [w - 1, h - 1])
    return np.asarray(inner.reshape(4), dtype=np.float32)


def _predicted(
    entry: ModelEntry, batch: PromptBatch, size: int
) -> Iterator[tuple[slice, PromptBatch, Prediction]]:
    """Predict the masks of one image's boxes, at most `size` in a pass; it is looked at once."""
    features = look(entry.segmenter, batch)
    for part in slices(len(batch.boxes), size):
        boxes = batch.boxes[part]
        some = replace(
            batch, prompts=box_prompts(boxes), boxes=boxes, transforms=batch.transforms[part],
            image_index=np.zeros(len(boxes), np.int64),
        )  # fmt: skip
        yield part, some, predict(entry.segmenter, some, features)


def _pixels(folder: Path, image: AnnotatedImage) -> NDArray[np.uint8]:
    path = folder / image.file
    pixels = read_image(path)
    if pixels.shape[:2] != (image.height, image.width):  # annotated on the stored pixels?
        pixels = read_image(path, upright=False)
    if pixels.shape[:2] != (image.height, image.width):
        raise DataError(
            f"{path} is {pixels.shape[0]} x {pixels.shape[1]} (height x width), but its "
            f"annotations say {image.height} x {image.width}. Take the images they belong to."
        )
    return pixels


def _objects(annotations: Annotations) -> dict[tuple[int, int], list[tuple[int, Rle]]]:
    """Masks of the annotated objects, crowds left out, by image and category."""
    objects: dict[tuple[int, int], list[tuple[int, Rle]]] = {}
    for entry in annotations.content["annotations"]:
        if entry.get("iscrowd"):
            continue
        image = annotations.images[entry["image_id"]]
        try:
            code = from_segmentation(entry["segmentation"], image.height, image.width)
        except DataError as error:
            raise DataError(f"annotation {entry['id']} {error}. Correct the annotations.") from None
        place = (entry["image_id"], entry["category_id"])
        objects.setdefault(place, []).append((entry["id"], code))
    return objects


def _best(mask: Rle, objects: Sequence[tuple[int, Rle]]) -> tuple[int, Rle, float] | None:
    """Find the object of greatest IoU; None if no object overlaps."""
    if not objects:
        return None
    ious = overlaps([mask], [code for _, code in objects], [0] * len(objects))[0]
    place = int(ious.argmax())
    identity, code = objects[place]
    return (identity, code, float(ious[place])) if ious[place] > 0 else None


def _overlaps(mask: Rle, match: tuple[int, Rle, float] | None, bands: Bands) -> Row:
    if match is None:
        return {"object_id": -1, "object_area": 0, "iou": 0.0, "boundary_iou": 0.0}
    identity, code, iou = match
    band, object_band = boundary_rle(mask, fraction=bands.fraction), bands.of(code)
    return {
        "object_id": identity,
        "object_area": area(code),
        "iou": iou,
        "boundary_iou": float(overlaps([band], [object_band], [0])[0, 0]),
    }


def _about(
    entry: ModelEntry, data: InstanceSet, image: AnnotatedImage, found: Detection, mask: Rle
) -> Row:
    return {
        "model": entry.name,
        "seed": entry.seed,
        "benchmark": data.benchmark,
        "set": data.name,
        "image_id": found.image_id,
        "detection": found.number,
        "category_id": found.category_id,
        "category": data.annotations.categories[found.category_id],
        "score": found.score,
        **dict(zip(("x0", "y0", "x1", "y1"), found.box, strict=True)),
        "area": area(mask),
        "height": image.height,
        "width": image.width,
        "counts": mask["counts"],
    }


def average_precisions(
    rows: pd.DataFrame, sets: Sequence[InstanceSet], *, boundary_fraction: float
) -> list[Row]:
    """Sum the rows of segmented detections up, as COCO does.

    Args:
        rows: All rows of `segment_instances`.
        sets: The sets that they are of.
        boundary_fraction: Width of the boundary band as a fraction of the image diagonal.

    Returns:
        One row per model, set and overlap, and one per model, benchmark and overlap with set
        "mean" where a benchmark has several sets.
    """
    found = []
    for data in sets:
        bands = Bands(boundary_fraction)  # of the objects, for all models
        of_set = rows[(rows["benchmark"] == data.benchmark) & (rows["set"] == data.name)]
        for (model, seed), part in _by_model(of_set, rows):
            results = list(results_of(part))
            for overlap in OVERLAPS:
                precision = average_precision(
                    data.annotations.content, results, overlap=overlap, bands=bands
                )  # fmt: skip
                found.append(
                    {
                        "model": model,
                        "seed": seed,
                        "benchmark": data.benchmark,
                        "set": data.name,
                        "overlap": overlap,
                        **asdict(precision),
                        "images": len(data.annotations.images),
                        **objects_by_size(data.annotations.content),
                        "detections": len(results),
                    }
                )
    return found + _means(found)


def results_of(rows: pd.DataFrame) -> Iterator[Row]:
    """Write rows as entries of a COCO result file."""
    for row in rows.to_dict("records"):
        yield {
            "image_id": int(row["image_id"]),
            "category_id": int(row["category_id"]),
            "score": float(row["score"]),
            "segmentation": {
                "size": [int(row["height"]), int(row["width"])],
                "counts": row["counts"],
            },
        }


def _by_model(
    part: pd.DataFrame, everything: pd.DataFrame
) -> Iterator[tuple[tuple[str, int], pd.DataFrame]]:
    """Rows of each model, those included that have none in this part."""
    models = everything[["model", "seed"]].drop_duplicates().sort_values(["model", "seed"])
    for model, seed in models.itertuples(index=False):
        yield (str(model), int(seed)), part[(part["model"] == model) & (part["seed"] == seed)]


def _means(rows: Sequence[Row]) -> list[Row]:
    """Average each benchmark of several sets, each set alike; what a set lacks is left out."""
    if not rows:
        return []
    frame = pd.DataFrame(rows)
    keys = ["model", "seed", "benchmark", "overlap"]
    means: list[Row] = []
    for key, part in frame.groupby(keys, sort=True):
        if len(part) < 2:
            continue
        numbers = {name: _mean(part[name]) for name in _NUMBERS}
        sums = {name: int(part[name].sum()) for name in _COUNTS}
        who = dict(zip(keys, key, strict=True))
        means.append({**who, "set": MEAN, **numbers, **sums})
    return means


def _mean(values: pd.Series) -> float | None:
    known = values.dropna()
    return float(known.mean()) if len(known) else None
