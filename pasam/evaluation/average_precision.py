"""Average precision of instance masks, as COCO measures it, and its boundary form.

The matching is pycocotools'. For boundary AP the overlap of two masks is the smaller one of their
mask IoU and their boundary IoU (Cheng et al. 2021, "Boundary IoU", section 6): the boundary form
alone would forgive a mask with a hole.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from pasam.masks.overlap import band_width, boundary
from pasam.masks.run_lengths import Rle, bounding_box, decode, encode, overlaps

Overlap = Literal["mask", "boundary"]


@dataclass(frozen=True, kw_only=True, slots=True)
class AveragePrecision:
    """COCO's six numbers in [0, 1]; None where no object is of that size."""

    ap: float | None
    """Mean over the IoU thresholds 0.5, 0.55, ..., 0.95."""
    ap50: float | None
    ap75: float | None
    ap_small: float | None
    """Objects of up to 32 x 32 pixels."""
    ap_medium: float | None
    ap_large: float | None
    """Objects of at least 96 x 96 pixels."""


class Bands:
    """Boundary bands of objects that many masks are held against, each made once.

    Args:
        fraction: Width of a band as a fraction of the image diagonal.
    """

    def __init__(self, fraction: float) -> None:
        self.fraction = fraction
        self._made: dict[tuple[Any, ...], Rle] = {}

    def of(self, code: Rle) -> Rle:
        """Return the band of a mask in run lengths."""
        name = (*code["size"], code["counts"])
        if name not in self._made:
            self._made[name] = boundary_rle(code, fraction=self.fraction)
        return self._made[name]


def average_precision(
    truth: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    *,
    overlap: Overlap,
    bands: Bands,
) -> AveragePrecision:
    """Measure detected masks against annotated ones.

    Args:
        truth: Content of a COCO annotation file.
        results: `image_id`, `category_id`, `segmentation` (RLE) and `score` of each detection.
        overlap: Which IoU decides whether a detection matches.
        bands: Keeps the objects' bands for the next model's results.
    """
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools talks
        gt = COCO()
        # From 1: to pycocotools an object with id 0, as other tools write it, is never found.
        numbered = enumerate(truth["annotations"], start=1)
        gt.dataset = {**truth, "annotations": [{**a, "id": number} for number, a in numbered]}
        gt.createIndex()
        found = _results(gt, results)
        evaluation = (
            COCOeval(gt, found, "segm")
            if overlap == "mask"
            else BoundaryEvaluation(gt, found, bands=bands)
        )
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    numbers = [None if value < 0 else float(value) for value in evaluation.stats[:6]]
    names = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
    return AveragePrecision(**dict(zip(names, numbers, strict=True)))


class BoundaryEvaluation(COCOeval):  # type: ignore[misc]
    """COCO's evaluation of masks, with the smaller of mask and boundary IoU as overlap.

    Args:
        gt: Annotated masks.
        found: Detected masks.
        bands: Keeps the annotated masks' bands.
    """

    def __init__(self, gt: COCO, found: COCO, *, bands: Bands) -> None:
        super().__init__(gt, found, "segm")
        self._bands = bands

    def computeIoU(self, image: int, category: int) -> NDArray[np.float64] | list[Any]:  # noqa: N802
        """Compute the overlaps of an image's detections and objects of one category.

        Returns:
            One row per detection, of descending score, and one column per object.
        """
        of_masks = super().computeIoU(image, category)
        if not len(of_masks):
            return []
        objects = self._gts[image, category]
        found = self._dts[image, category]
        order = np.argsort([-one["score"] for one in found], kind="mergesort")
        best = [found[place] for place in order[: self.params.maxDets[-1]]]
        width = self._bands.fraction
        bands = [boundary_rle(one["segmentation"], fraction=width) for one in best]
        object_bands = [self._bands.of(one["segmentation"]) for one in objects]
        crowd = [int(one["iscrowd"]) for one in objects]
        smaller: NDArray[np.float64] = np.minimum(of_masks, overlaps(bands, object_bands, crowd))
        return smaller


def objects_by_size(truth: Mapping[str, Any]) -> dict[str, int]:
    """Count the objects that the precisions are of, in all and by size; crowds are none.

    Its ranges hold their ends: an object of 32 x 32 pixels is both small and of medium size.
    """
    areas = [a["area"] for a in truth["annotations"] if not a.get("iscrowd", 0)]
    small, large = (side**2 for side in (32, 96))
    return {
        "objects": len(areas),
        "objects_small": sum(area <= small for area in areas),
        "objects_medium": sum(small <= area <= large for area in areas),
        "objects_large": sum(area >= large for area in areas),
    }


def boundary_rle(code: Rle, *, fraction: float) -> Rle:
    """Find the boundary band of a mask in run lengths.

    Only the mask's bounding box is looked at: what lies outside it is background, as what lies
    outside an image is.

    Args:
        code: The mask.
        fraction: Width of the band as a fraction of the image diagonal.
    """
    height, width = (int(length) for length in code["size"])
    x, y, wide, tall = bounding_box(code)
    if not wide or not tall:
        return code
    part = decode(code)[y : y + tall, x : x + wide]
    band = np.zeros((height, width), np.bool_)
    band[y : y + tall, x : x + wide] = boundary(part, band_width(height, width, fraction))
    return encode(band)


def _results(gt: COCO, results: Sequence[Mapping[str, Any]]) -> COCO:
    if results:
        return gt.loadRes([dict(result) for result in results])
    nothing = COCO()
    nothing.dataset = {**gt.dataset, "annotations": []}
    nothing.createIndex()
    return nothing
