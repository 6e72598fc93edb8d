"""One pass of a decoder over prompts of equal parts: its masks, and SAM's beside them."""

# Shapes: B images, n prompts, C masks of each, S the input's side, m the side of mask logits.

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor

from pasam.modeling.base_sam import Encoded
from pasam.modeling.pa_mask_decoder import PaPrediction
from pasam.modeling.segmenter import Prediction, Prompts, Segmenter


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
