"""All objects of an image: SAM proposes them from a grid of points, the adapter refines each.

With SAM itself the result is that of its `SamAutomaticMaskGenerator`, whose parameters and records
these are. With HQ-SAM and PA-SAM the frozen base still proposes and ranks, because its scores are
those that its masks were trained with; each proposal that is left goes to the adapter as a box,
the prompt it knows best. `predicted_iou` is then the proposal's; all else is the refined mask's.
"""

# Shapes: H, W of the image, K masks, m the side of low-resolution logits, p points.

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import pasam.models.before_segment_anything  # noqa: F401
from pasam.errors import PromptError
from pasam.inference.image_transform import MASK_THRESHOLD, EmbeddedImage
from pasam.inference.predictor import PromptedModel
from pasam.models.segmenter import Prompts
from segment_anything.utils import amg

SAM_SIDE = 1024
"""Input side of the official SAMs, for which SAM's own values are made."""

_AT_ONCE = 64_000_000
"""Pixels of masks, at the image's size, that are handled at once; SAM takes all masks at once,
which large images forbid."""
_LEAST = {
    "points_per_side": 1,
    "points_per_batch": 1,
    "crop_n_points_downscale_factor": 1,
    "crop_n_layers": 0,
    "min_mask_region_area": 0,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class AutomaticMaskOptions:
    """How objects are looked for; names and values are those of `SamAutomaticMaskGenerator`."""

    points_per_side: int = 32
    points_per_batch: int = 64
    pred_iou_thresh: float = 0.88
    """Proposals whose predicted IoU is not above this are dropped."""
    stability_score_thresh: float = 0.95
    """Proposals that change more than this when the cut moves are dropped."""
    stability_score_offset: float = 1.0
    """How far the cut moves, in logits."""
    box_nms_thresh: float = 0.7
    """Boxes whose IoU exceeds this count as the same object."""
    crop_n_layers: int = 0
    """Layers of crops that are searched besides: 4 crops, then 16, ..."""
    crop_nms_thresh: float = 0.7
    crop_overlap_ratio: float = 512 / 1500
    crop_n_points_downscale_factor: int = 1
    min_mask_region_area: int = 0
    """Holes and islands of fewer pixels are removed."""

    @staticmethod
    def suited_to(model: PromptedModel) -> AutomaticMaskOptions:
        """SAM's own values, or for the small base looser ones: it is less sure, and coarser."""
        if model.side >= SAM_SIDE:
            return AutomaticMaskOptions()
        return AutomaticMaskOptions(
            points_per_side=12, points_per_batch=24, pred_iou_thresh=0.55,
            stability_score_thresh=0.7,
        )  # fmt: skip

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value < least:
                raise PromptError(f"{name} is {value}, expected {least} or more.")


@dataclass(frozen=True, slots=True)
class _Crop:
    """A part of the image that is searched by itself."""

    box: list[int]
    """x0, y0, x1, y1 in the image."""
    whole: tuple[int, int]
    """H, W of the image."""
    image: EmbeddedImage


def segment_everything(
    model: PromptedModel,
    image: NDArray[np.uint8],
    options: AutomaticMaskOptions | None = None,
    *,
    embedded: EmbeddedImage | None = None,
    on_progress: Callable[[float], None] = lambda fraction: None,
) -> list[dict[str, Any]]:
    """Find and refine all objects of an image.

    Args:
        model: SAM, HQ-SAM or PA-SAM.
        image: RGB, (H, W, 3).
        options: How they are looked for; `AutomaticMaskOptions.suited_to(model)` if None.
        embedded: The image as this model has embedded it before, to save the time.
        on_progress: Told the fraction of the grid's points that were asked, in [0, 1], after every
            batch; what it raises ends the search.

    Returns:
        One record per object, the best first: `segmentation` (COCO RLE), `area` in pixels, `bbox`
        and `crop_box` (x, y, width, height), `predicted_iou`, `stability_score`, and
        `point_coords`, the point of the grid that found it.

    Raises:
        PromptError: An option is impossible.
    """
    options = options or AutomaticMaskOptions.suited_to(model)
    whole = (image.shape[0], image.shape[1])
    generated = amg.generate_crop_boxes(whole, options.crop_n_layers, options.crop_overlap_ratio)
    # Of an image of a few pixels some crops have none.
    crops = [
        (box, n) for box, n in zip(*generated, strict=True) if box[2] > box[0] and box[3] > box[1]
    ]
    grids = amg.build_all_layer_point_grids(
        options.points_per_side, options.crop_n_layers, options.crop_n_points_downscale_factor
    )
    asked = _counting([len(grids[layer]) for _, layer in crops], on_progress)
    found = amg.MaskData()
    for box, layer in crops:
        x0, y0, x1, y1 = box
        part = embedded if embedded is not None and layer == 0 else None
        part = part or model.embed(np.ascontiguousarray(image[y0:y1, x0:x1]))
        found.cat(_in_crop(model, _Crop(box, whole, part), grids[layer], options, asked))
    if len(crops) > 1:  # the same object in several crops: the smallest crop shows it best
        extent = found["crop_boxes"][:, 2:] - found["crop_boxes"][:, :2]
        found.filter(_distinct(found["boxes"], 1 / extent.prod(dim=1), options.crop_nms_thresh))
    if options.min_mask_region_area > 0:
        limit = max(options.box_nms_thresh, options.crop_nms_thresh)
        _remove_small_regions(found, options.min_mask_region_area, limit)
    return [_record(found, number) for number in range(len(found["rles"]))]


def _counting(points: list[int], on_progress: Callable[[float], None]) -> Callable[[int], None]:
    """Turn numbers of points, as they are asked, into the fraction of all."""
    done, total = 0, sum(points)

    def asked(count: int) -> None:
        nonlocal done
        done += count
        on_progress(done / total)

    return asked


def _in_crop(
    model: PromptedModel, crop: _Crop, grid: NDArray[np.float64], options: AutomaticMaskOptions,
    asked: Callable[[int], None],
) -> amg.MaskData:  # fmt: skip
    transform = crop.image.transform
    places = grid * np.array([[transform.width, transform.height]])
    data = _measured(torch.empty(0, model.mask_side, model.mask_side), crop, options)
    data["iou_preds"], data["points"] = torch.empty(0), torch.empty(0, 2, dtype=torch.float64)
    proposer = model.frozen_base
    for (points,) in amg.batch_iterator(options.points_per_batch, places):
        data.cat(_proposals(proposer, crop, points, options))
        asked(len(points))
    data.filter(_distinct(data["boxes"], data["iou_preds"], options.box_nms_thresh))
    if model.is_adapted and len(data["rles"]):
        data = _refined(model, crop, data, options)
        data.filter(_distinct(data["boxes"], data["iou_preds"], options.box_nms_thresh))
    data["boxes"] = amg.uncrop_boxes_xyxy(data["boxes"], crop.box)
    data["points"] = amg.uncrop_points(data["points"], crop.box)
    data["crop_boxes"] = torch.tensor([crop.box] * len(data["rles"])).reshape(-1, 4)
    return data


def _proposals(
    proposer: PromptedModel, crop: _Crop, points: NDArray[np.float64], options: AutomaticMaskOptions
) -> amg.MaskData:
    """Ask SAM for three candidates at each point, and keep what it trusts."""
    kind = torch.float32 if proposer.device.type == "mps" else torch.float64  # Apple has no more
    there = torch.as_tensor(crop.image.transform.into_input(points), dtype=kind)
    there = there.to(proposer.device)
    indices = torch.arange(len(points), device=proposer.device)
    labels = torch.ones(len(points), 1, dtype=torch.int, device=proposer.device)
    prompts = Prompts(indices, points=there[:, None], point_labels=labels)
    decoded = proposer.decode([crop.image] * len(points), prompts, True, with_sam=False)
    scores = decoded.scores.flatten()
    # As in SAM, a threshold of 0 or less lets all pass.
    trusted = scores > options.pred_iou_thresh if options.pred_iou_thresh > 0 else ~scores.isnan()
    data = _measured(decoded.masks.flatten(0, 1)[trusted], crop, options)
    data["iou_preds"] = scores[trusted].cpu()
    origin = torch.as_tensor(points).repeat_interleave(decoded.masks.shape[1], dim=0)
    data["points"] = origin[trusted.cpu()]
    if options.stability_score_thresh > 0.0:
        data.filter(data["stability_score"] >= options.stability_score_thresh)
    rim = [0, 0, crop.whole[1], crop.whole[0]]
    data.filter(~amg.is_box_near_crop_edge(data["boxes"], crop.box, rim))
    return data


def _refined(
    model: PromptedModel, crop: _Crop, proposals: amg.MaskData, options: AutomaticMaskOptions
) -> amg.MaskData:
    """Give each proposal's box to the adapter; empty answers are dropped."""
    corners = proposals["boxes"].numpy().astype(np.float64).reshape(-1, 2, 2)
    there = torch.as_tensor(crop.image.transform.into_input(corners).reshape(-1, 4))
    boxes = there.to(model.device, torch.float32)
    logits = []
    for first in range(0, len(boxes), options.points_per_batch):
        part = boxes[first : first + options.points_per_batch]
        indices = torch.arange(len(part), device=model.device)
        prompts = Prompts(indices, boxes=part)
        decoded = model.decode([crop.image] * len(part), prompts, False, with_sam=False)
        logits.append(decoded.masks[:, 0])
    data = _measured(torch.cat(logits), crop, options)
    data["iou_preds"], data["points"] = proposals["iou_preds"], proposals["points"]
    data.filter(torch.tensor([amg.area_from_rle(rle) > 0 for rle in data["rles"]]))
    return data


def _measured(logits: Tensor, crop: _Crop, options: AutomaticMaskOptions) -> amg.MaskData:
    """Bring logits (K, m, m) to the crop's size and take their stability, boxes and RLE."""
    data = amg.MaskData(
        stability_score=torch.empty(0), boxes=torch.empty(0, 4, dtype=torch.int64), rles=[]
    )
    at_once = min(16, max(1, _AT_ONCE // (crop.whole[0] * crop.whole[1])))
    for first in range(0, len(logits), at_once):
        part = logits[first : first + at_once]
        large = crop.image.transform.at_original_size(part[:, None])[:, 0]
        masks = large > MASK_THRESHOLD
        offset = options.stability_score_offset
        stability = amg.calculate_stability_score(large, MASK_THRESHOLD, offset)
        boxes = amg.batched_mask_to_box(masks).cpu()
        rles = amg.mask_to_rle_pytorch(amg.uncrop_masks(masks, crop.box, *crop.whole))
        data.cat(amg.MaskData(stability_score=stability.cpu(), boxes=boxes, rles=rles))
    return data


def _distinct(boxes: Tensor, scores: Tensor, limit: float) -> Tensor:
    """Keep the best of boxes that overlap too much, in the order of their scores."""
    kept: Tensor = torch.ops.torchvision.nms(boxes.float(), scores.float(), limit)
    return kept


def _remove_small_regions(found: amg.MaskData, smallest: int, limit: float) -> None:
    """Fill holes and drop islands below a size, then drop what has become a duplicate.

    Args:
        found: Masks (`rles`) with their `boxes` and more; changed in place.
        smallest: Pixels that a region needs to stay.
        limit: IoU of boxes above which two masks are the same object. Of those, one that was not
            touched is preferred.
    """
    if not len(found["rles"]):
        return
    masks, untouched = [], []
    for rle in found["rles"]:
        filled, holes = amg.remove_small_regions(amg.rle_to_mask(rle), smallest, mode="holes")
        cleared, islands = amg.remove_small_regions(filled, smallest, mode="islands")
        masks.append(torch.as_tensor(cleared))
        untouched.append(not (holes or islands))
    boxes = torch.stack([amg.batched_mask_to_box(mask[None])[0] for mask in masks])
    scores = torch.tensor(untouched, dtype=torch.float32)
    kept = torch.ops.torchvision.nms(boxes.float(), scores, limit)
    for number in kept.tolist():
        if not untouched[number]:
            found["rles"][number] = amg.mask_to_rle_pytorch(masks[number][None])[0]
            found["boxes"][number] = boxes[number]
    found.filter(kept)


def _record(found: amg.MaskData, number: int) -> dict[str, Any]:
    return {
        "segmentation": amg.coco_encode_rle(found["rles"][number]),
        "area": amg.area_from_rle(found["rles"][number]),
        "bbox": amg.box_xyxy_to_xywh(found["boxes"][number]).tolist(),
        "predicted_iou": found["iou_preds"][number].item(),
        "point_coords": [found["points"][number].tolist()],
        "stability_score": found["stability_score"][number].item(),
        "crop_box": amg.box_xyxy_to_xywh(found["crop_boxes"][number]).tolist(),
    }
