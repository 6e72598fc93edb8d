"""Instance segmentation from a detector's boxes, and its average precision."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
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
    Overlap,
    average_precision,
    boundary_rle,
)
from pasam.evaluation.model_set import Contender, Lineup
from pasam.evaluation.protocol import batches, encode, predict
from pasam.inference.image_transform import ImageTransform, Resize
from pasam.masks.images import read_image
from pasam.masks.run_lengths import Rle, area, from_segmentation, overlaps
from pasam.masks.run_lengths import encode as run_lengths
from pasam.models.base_sam import Encoded
from pasam.training.samples import box_prompts
from pasam.workers import progress_bar

# --- instance_rows: The files of instance segmentation: a row per detection, and a row per
# average precision.
#
# There is no time in them: the same weights, images and boxes give the same bytes.


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


def write_instances(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the rows of detections as parquet, sorted.

    Raises:
        DataError: A row lacks a column, holds a wrong type, or is there twice.
    """
    _write(rows, path, INSTANCES, INSTANCES_ORDER)


def read_instances(path: Path) -> pd.DataFrame:
    """Read rows of detections.

    Raises:
        DataError: The file is missing or holds something else.
    """
    return _read(path, INSTANCES)


def write_precisions(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the rows of average precision as parquet, sorted.

    Raises:
        DataError: A row lacks a column, holds a wrong type, or is there twice.
    """
    _write(rows, path, PRECISIONS, PRECISIONS_ORDER)


def read_precisions(path: Path) -> pd.DataFrame:
    """Read rows of average precision.

    Raises:
        DataError: The file is missing or holds something else.
    """
    return _read(path, PRECISIONS)


def _write(
    rows: Sequence[Mapping[str, Any]], path: Path, schema: pa.Schema, order: Sequence[str]
) -> None:
    ordered = sorted(rows, key=lambda row: tuple(row[name] for name in order))
    keys = [tuple(row[name] for name in order) for row in ordered]
    if len(set(keys)) < len(keys):
        twice = next(key for key, after in zip(keys, keys[1:], strict=False) if key == after)
        raise DataError(f"The rows for {path} hold {twice} twice ({', '.join(order)}).")
    wrong = [row for row in ordered if set(row) != set(schema.names)]
    if wrong:
        raise DataError(f"A row for {path} has {sorted(wrong[0])}, expected {schema.names}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        table = pa.Table.from_pylist([dict(row) for row in ordered], schema=schema)
        pq.write_table(table, draft, compression="zstd")
        draft.replace(path)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(f"The rows for {path} do not fit their columns: {error}") from None
    finally:
        draft.unlink(missing_ok=True)


def _read(path: Path, schema: pa.Schema) -> pd.DataFrame:
    try:
        table = pq.read_table(path, partitioning=None)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist. Run `dvc repro instances` to make it.") from None
    except pa.ArrowInvalid as error:
        raise DataError(f"{path} is not a parquet file: {error}") from None
    if table.column_names != schema.names:
        raise DataError(f"{path} has {table.column_names}, expected {schema.names}.")
    frame: pd.DataFrame = table.cast(schema).to_pandas()
    return frame


# --- instances: Instance segmentation from a detector's boxes: one row per detection and model,
# with its mask.
#
# Each image is encoded once for all models; each box of the detector is a prompt, and its score is
# the mask's score. Images are squashed to the input side as in all benchmarks here, or keep their
# aspect as in the published numbers: `instances.resize`.

# Shapes: S pixels a side of the input, H, W of the image, n boxes of one image.

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class InstanceSet:
    """A set to segment: what is annotated, where its images are, and what the detector found."""

    benchmark: str
    name: str
    images: Path
    annotations: Annotations
    detections: Mapping[int, Sequence[Detection]]
    """By image."""


def instance_sets(params: InstancesParams) -> list[InstanceSet]:
    """Read the annotations and detections of all sets.

    Raises:
        DataError: A file is missing or unfit.
    """
    coco, seginw, most = params.coco, params.seginw, params.boxes_per_image
    sets = [
        _read_set(
            coco.name, coco.name, Path(coco.images), Path(coco.annotations),
            Path(coco.detections), most,
        )
    ]  # fmt: skip
    for name in seginw.sets:
        valid = Path(seginw.folder) / name / "valid"
        found = Path(seginw.detections) / f"{name}.json"
        sets.append(_read_set(seginw.name, name, valid, valid / SEGINW_ANNOTATIONS, found, most))
    return sets


def _read_set(
    benchmark: str, name: str, images: Path, annotated: Path, detected: Path, most: int
) -> InstanceSet:
    annotations = read_annotations(annotated)
    detections = best_of_each_image(read_detections(detected, annotations), most)
    return InstanceSet(
        benchmark=benchmark,
        name=name,
        images=images,
        annotations=annotations,
        detections=detections,
    )


def segment_instances(
    lineup: Lineup, data: InstanceSet, *, resize: Resize, batch_size: int, boundary_fraction: float
) -> list[Row]:
    """Segment every detection with every model.

    Args:
        lineup: The models.
        data: The set.
        resize: Whether images keep their aspect.
        batch_size: Boxes per decoder call; changes nothing but the time.
        boundary_fraction: Width of the boundary band as a share of the image diagonal.

    Returns:
        Rows of `pasam.evaluation.instances`.

    Raises:
        DataError: An image is missing or is not of the annotated size.
    """
    objects = _objects(data.annotations)
    rows = []
    label = f"images of {data.name}"
    for image_id, found in progress_bar(
        data.detections.items(), total=len(data.detections), label=label
    ):
        image = data.annotations.images[image_id]
        transform = ImageTransform(image.height, image.width, lineup.base.side, resize)
        inner = transform.resized(_instances_read(data.images / image.file, image))
        pixels = transform.padded(inner)[None].numpy()
        encoded = encode(lineup.base, pixels)
        prompts = [input_box(one.box, transform) for one in found]
        for contender in lineup.contenders:
            masks = _masks(contender, pixels, encoded, prompts, transform, batch_size)
            for detection, mask in zip(found, masks, strict=True):
                match = _best(mask, objects.get((image_id, detection.category_id), []))
                rows.append(
                    {
                        **_about(contender, data, image, detection, mask),
                        **_overlaps(mask, match, boundary_fraction),
                    }
                )
    return rows


def input_box(
    box: tuple[float, float, float, float], transform: ImageTransform
) -> NDArray[np.float32]:
    """Bring a detector's box to the input: from edges to the indices of its first and last pixel.

    Args:
        box: Edges x0, y0, x1, y1 in pixels of the image.
        transform: Where the image lies in the input.

    Returns:
        x0, y0, x1, y1 as the prompt encoder takes them, within the image, (4,).
    """
    middles = np.array(box).reshape(2, 2) + np.array([[0.5], [-0.5]])
    h, w = transform.inner
    inner = np.clip(transform.into_input(middles) - 0.5, 0, [w - 1, h - 1])
    return np.asarray(inner.reshape(4), dtype=np.float32)


def _masks(
    contender: Contender,
    pixels: NDArray[np.float32],
    encoded: Encoded,
    boxes: Sequence[NDArray[np.float32]],
    transform: ImageTransform,
    batch_size: int,
) -> Iterator[Rle]:
    for part in batches(len(boxes), batch_size):
        chosen = boxes[part]
        which = np.zeros(len(chosen), np.int64)
        found = predict(
            contender.segmenter, pixels, encoded, box_prompts(chosen), image_index=which
        )
        for mask in transform.at_original_size(found.masks)[:, 0] > 0:
            yield run_lengths(mask.cpu().numpy())


def _instances_read(path: Path, image: AnnotatedImage) -> NDArray[np.uint8]:
    pixels = read_image(path)
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
        code = from_segmentation(entry["segmentation"], image.height, image.width)
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


def _overlaps(mask: Rle, match: tuple[int, Rle, float] | None, share: float) -> Row:
    if match is None:
        return {"object_id": -1, "object_area": 0, "iou": 0.0, "boundary_iou": 0.0}
    identity, code, iou = match
    band, object_band = (boundary_rle(one, share=share) for one in (mask, code))
    return {
        "object_id": identity,
        "object_area": area(code),
        "iou": iou,
        "boundary_iou": float(overlaps([band], [object_band], [0])[0, 0]),
    }


def _about(
    contender: Contender, data: InstanceSet, image: AnnotatedImage, found: Detection, mask: Rle
) -> Row:
    return {
        "model": contender.name,
        "seed": contender.seed,
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


# --- instance_precision: Average precision of segmented detections: one row per model, set and
# overlap.

OVERLAPS: tuple[Overlap, ...] = ("mask", "boundary")
MEAN = "mean"
"""Set of the row that averages a benchmark's sets."""

_NUMBERS = [field.name for field in fields(AveragePrecision)]

InstancePrecisionRow = dict[str, Any]


def average_precisions(
    rows: pd.DataFrame, sets: Sequence[InstanceSet], *, boundary_fraction: float
) -> list[InstancePrecisionRow]:
    """Sum the rows of segmented detections up, as COCO does.

    Args:
        rows: All rows of `segment_instances`.
        sets: The sets that they are of.
        boundary_fraction: Width of the boundary band as a share of the image diagonal.

    Returns:
        One row per model, set and overlap, and one per model, benchmark and overlap with set
        "mean" where a benchmark has several sets.
    """
    found = []
    for data in sets:
        of_set = rows[(rows["benchmark"] == data.benchmark) & (rows["set"] == data.name)]
        for (model, seed), part in _by_model(of_set, rows):
            results = list(results_of(part))
            for overlap in OVERLAPS:
                precision = average_precision(
                    data.annotations.content, results, overlap=overlap,
                    boundary_fraction=boundary_fraction,
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
                        "objects": len(data.annotations.content["annotations"]),
                        "detections": len(results),
                    }
                )
    return found + _means(found)


def results_of(rows: pd.DataFrame) -> Iterator[InstancePrecisionRow]:
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


def _means(rows: Sequence[InstancePrecisionRow]) -> list[InstancePrecisionRow]:
    """Average each benchmark of several sets, each set alike; what a set lacks is left out."""
    if not rows:
        return []
    frame = pd.DataFrame(rows)
    keys = ["model", "seed", "benchmark", "overlap"]
    means: list[InstancePrecisionRow] = []
    for key, part in frame.groupby(keys, sort=True):
        if len(part) < 2:
            continue
        numbers = {name: _mean(part[name]) for name in _NUMBERS}
        sums = {name: int(part[name].sum()) for name in ("images", "objects", "detections")}
        who = dict(zip(keys, key, strict=True))
        means.append({**who, "set": MEAN, **numbers, **sums})
    return means


def _mean(values: pd.Series) -> float | None:
    known = values.dropna()
    return float(known.mean()) if len(known) else None
