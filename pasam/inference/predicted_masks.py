"""One pass of a decoder over prompts of equal parts, and what comes back for one prompt."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pasam.inference.image_transform import Placement
from pasam.models.base_sam import Encoded
from pasam.models.pa_mask_decoder import PaPrediction
from pasam.models.segmenter import Prediction, Prompts, Segmenter

# --- decoding: One pass of a decoder over prompts of equal parts: its masks, and SAM's beside them.

# Shapes: B images, n prompts, C masks of each, S the input's side, m the side of mask logits.


@dataclass(frozen=True, slots=True)
class Decoded:
    """What n prompts gave, before it is brought to the images' own pixels."""

    masks: Tensor
    """Mask logits, (n, C, m, m): SAM's one or three; of an adapter always the one refined mask."""
    scores: Tensor
    """Predicted IoU of each, (n, C)."""
    sam_masks: Tensor
    """The frozen base's mask logits, (n, 1 or 3, m, m); of SAM itself, and where they were not
    asked for, the same as `masks`."""
    sam_scores: Tensor
    """Predicted IoU of each, (n, 1 or 3)."""
    maps: PaPrediction | None
    """PA-SAM's own maps and points; None for other decoders."""


@torch.no_grad()
def decode(
    segmenter: Segmenter,
    *,
    images: Tensor,
    encoded: Encoded,
    image_index: Tensor,
    prompts: Prompts,
    multimask: bool,
    with_sam: bool,
) -> Decoded:
    """Predict the masks of n prompts of B images.

    Args:
        segmenter: The model.
        images: Pixels, (B, 3, S, S) in [0, 255].
        encoded: What the frozen encoder said of them.
        image_index: Image of each prompt, int64 (n,).
        prompts: Prompts of equal parts; their `indices` do not matter here.
        multimask: SAM's three candidates in place of its one mask. An adapter refines SAM's one
            mask all the same.
        with_sam: Run the frozen base's own decoder beside an adapter's.
    """
    if segmenter.decoder is segmenter.base.sam.mask_decoder:
        masks, scores = _by_base(segmenter, encoded, image_index, prompts, multimask)
        return Decoded(masks, scores, masks, scores, maps=None)
    here = torch.arange(len(image_index), device=image_index.device)
    refined: Prediction = segmenter(
        images=images,
        encoded=encoded,
        image_index=image_index,
        prompts=[dataclasses.replace(prompts, indices=here)],
    )
    masks, scores = refined.masks, refined.iou
    if not with_sam:
        return Decoded(masks, scores, masks, scores, refined.details)
    sam = _by_base(segmenter, encoded, image_index, prompts, multimask)
    return Decoded(masks, scores, *sam, refined.details)


def _by_base(
    segmenter: Segmenter, encoded: Encoded, image_index: Tensor, prompts: Prompts, multimask: bool
) -> tuple[Tensor, Tensor]:
    """Ask the frozen base itself; for one image this is bit for bit what SAM computes."""
    base = segmenter.base
    sparse, dense = base.embed_prompts(
        points=prompts.points,
        point_labels=prompts.point_labels,
        boxes=prompts.boxes,
        masks=prompts.masks,
    )
    masks, scores = base.sam.mask_decoder.decode(
        image_embeddings=encoded.embedding,
        image_pe=base.image_pe(),
        sparse=sparse,
        dense=dense,
        image_index=image_index,
    )
    chosen = slice(1, None) if multimask else slice(0, 1)
    return masks[:, chosen], scores[:, chosen]


# --- predicted_masks: What comes back for one prompt: masks at the image's own size, scores, and
# the details.

# Shapes: H, W of the image, C masks, m the side of low-resolution logits, k mined points.


MASK_THRESHOLD = 0.0
"""Logit above which a pixel belongs to the mask, as in SAM."""


@dataclass(frozen=True, slots=True, eq=False)
class Details:
    """How a prediction came about, in pixels of the original image."""

    sam_masks: NDArray[Any]
    """The frozen base's masks (or logits, where those were asked for), (1 or 3, H, W)."""
    sam_scores: NDArray[np.float32]
    """The base's predicted IoU of each, (1 or 3,)."""
    uncertainty: NDArray[np.float32] | None
    """PA-SAM's probability that the coarse mask needs the refined one, (H, W) in [0, 1]."""
    coarse: NDArray[np.float32] | None
    """Logits of PA-SAM's coarse mask, (H, W)."""
    refined: NDArray[np.float32] | None
    """Logits of the adapter's refined mask, (H, W); made on the grid, so soft."""
    positive: NDArray[np.float32] | None
    """Mined points that ask for more mask, x, y (k, 2); some may lie in the padding."""
    negative: NDArray[np.float32] | None
    """Mined points that ask for less mask, x, y (k, 2); some may lie in the padding."""


@dataclass(frozen=True, slots=True, eq=False)
class PredictedMasks:
    """The answer to one prompt."""

    masks: NDArray[Any]
    """bool (C, H, W), or float32 logits where those were asked for."""
    scores: NDArray[np.float32]
    """Predicted IoU of each, (C,); stale for PA-SAM, see `pasam.inference.predictor`."""
    low_res: NDArray[np.float32]
    """Logits over the encoder's input, (C, m, m); each can be the next prompt's mask."""
    details: Details | None


def placed(
    decoded: Decoded,
    row: int,
    placement: Placement,
    *,
    return_logits: bool,
    return_details: bool,
) -> PredictedMasks:
    """Bring one prompt's part of a pass to its image.

    Args:
        decoded: What the pass gave.
        row: Which of its prompts.
        placement: The placement of the prompt's image.
        return_logits: Keep logits in place of masks.
        return_details: Bring the details too.
    """

    def masks(logits: Tensor) -> NDArray[Any]:
        whole = placement.at_original_size(logits[row : row + 1])[0]
        return _numpy(whole if return_logits else whole > MASK_THRESHOLD)

    return PredictedMasks(
        masks=masks(decoded.masks),
        scores=_numpy(decoded.scores[row]),
        low_res=_numpy(decoded.masks[row]),
        details=_details(decoded, row, placement, masks(decoded.sam_masks))
        if return_details
        else None,
    )


def _details(decoded: Decoded, row: int, placement: Placement, sam_masks: NDArray[Any]) -> Details:
    sam_scores, maps = _numpy(decoded.sam_scores[row]), decoded.maps
    if maps is None:
        return Details(sam_masks, sam_scores, None, None, None, None, None)

    def whole(part: Tensor) -> NDArray[np.float32]:
        return _numpy(placement.at_original_size(part[row : row + 1])[0, 0])

    def points(cells: Tensor | None) -> NDArray[np.float32] | None:
        grid = maps.masks.shape[-1] // 4  # the maps may be finer than the grid
        return None if cells is None else placement.cell_centres(cells[row], grid)

    return Details(
        sam_masks=sam_masks,
        sam_scores=sam_scores,
        uncertainty=whole(maps.uncertainty),
        coarse=whole(maps.coarse),
        refined=whole(maps.refined),
        positive=points(maps.positive),
        negative=points(maps.negative),
    )


def _numpy(part: Tensor) -> NDArray[Any]:
    # A copy of its own: a view would keep the whole batch in memory.
    return np.array(part.detach().cpu().numpy())
