"""Removing the small holes and islands of masks that were found on a grid, as SAM does."""

from __future__ import annotations

import torch

import pasam.modeling.torchvision_operators  # noqa: F401  (must come before segment_anything)
from segment_anything.utils import amg


def without_small_regions(found: amg.MaskData, smallest: int, limit: float) -> None:
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
