"""Instance segmentation from a detector's boxes: one row per detection and model, with its mask.

Each image is encoded once for all models; each box of the detector is a prompt, and its score is
the mask's score. Images are squashed to the input side as in all benchmarks here, or keep their
aspect as in the published numbers: `instances.resize`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pasam.benchmark_params import InstancesParams
from pasam.benchmarks.lineup import Contender, Lineup
from pasam.benchmarks.predict import batches, encode, predict
from pasam.data.detections import Detection, best_of_each_image, read_detections
from pasam.data.images import read_image
from pasam.data.instance_annotations import (
    SEGINW_ANNOTATIONS,
    AnnotatedImage,
    Annotations,
    read_annotations,
)
from pasam.errors import DataError
from pasam.inference.placement import Placement, Resize
from pasam.metrics.average_precision import boundary_rle
from pasam.metrics.run_lengths import Rle, area, from_segmentation, overlaps
from pasam.metrics.run_lengths import encode as run_lengths
from pasam.modeling.base_sam import Encoded
from pasam.progress import track
from pasam.training.samples import box_prompts

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
    lineup: Lineup, data: InstanceSet, *, resize: Resize, batch_size: int, boundary_share: float
) -> list[Row]:
    """Segment every detection with every model.

    Args:
        lineup: The models.
        data: The set.
        resize: Whether images keep their aspect.
        batch_size: Boxes per decoder call; changes nothing but the time.
        boundary_share: Width of the boundary band as a share of the image diagonal.

    Returns:
        Rows of `pasam.benchmarks.instance_rows`.

    Raises:
        DataError: An image is missing or is not of the annotated size.
    """
    objects = _objects(data.annotations)
    rows = []
    label = f"images of {data.name}"
    for image_id, found in track(data.detections.items(), total=len(data.detections), label=label):
        image = data.annotations.images[image_id]
        placement = Placement(image.height, image.width, lineup.base.side, resize)
        inner = placement.resized(_read(data.images / image.file, image))
        pixels = placement.padded(inner)[None].numpy()
        encoded = encode(lineup.base, pixels)
        prompts = [input_box(one.box, placement) for one in found]
        for contender in lineup.contenders:
            masks = _masks(contender, pixels, encoded, prompts, placement, batch_size)
            for detection, mask in zip(found, masks, strict=True):
                match = _best(mask, objects.get((image_id, detection.category_id), []))
                rows.append(
                    {
                        **_about(contender, data, image, detection, mask),
                        **_overlaps(mask, match, boundary_share),
                    }
                )
    return rows


def input_box(box: tuple[float, float, float, float], placement: Placement) -> NDArray[np.float32]:
    """Bring a detector's box to the input: from edges to the indices of its first and last pixel.

    Args:
        box: Edges x0, y0, x1, y1 in pixels of the image.
        placement: Where the image lies in the input.

    Returns:
        x0, y0, x1, y1 as the prompt encoder takes them, within the image, (4,).
    """
    middles = np.array(box).reshape(2, 2) + np.array([[0.5], [-0.5]])
    h, w = placement.inner
    inner = np.clip(placement.into_input(middles) - 0.5, 0, [w - 1, h - 1])
    return np.asarray(inner.reshape(4), dtype=np.float32)


def _masks(
    contender: Contender,
    pixels: NDArray[np.float32],
    encoded: Encoded,
    boxes: Sequence[NDArray[np.float32]],
    placement: Placement,
    batch_size: int,
) -> Iterator[Rle]:
    for part in batches(len(boxes), batch_size):
        chosen = boxes[part]
        which = np.zeros(len(chosen), np.int64)
        found = predict(
            contender.segmenter, pixels, encoded, box_prompts(chosen), image_index=which
        )
        for mask in placement.at_original_size(found.masks)[:, 0] > 0:
            yield run_lengths(mask.cpu().numpy())


def _read(path: Path, image: AnnotatedImage) -> NDArray[np.uint8]:
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
