"""`vit_tiny` for images of another side: all weights as they are, its code of place resampled."""

from __future__ import annotations

import copy

from torch import nn
from torch.nn import functional as F

from pasam.errors import ShapeError
from pasam.modeling.base_sam import BaseSam

STRIDE = 8
"""Pixels per cell of `vit_tiny`'s embedding grid."""
COARSEST = 32
"""Pixels per cell of the encoder's last stage, of which the input side is a multiple."""


def at_side(base: BaseSam, side: int) -> BaseSam:
    """Copy a base of the `vit_tiny` kind for another input side.

    Args:
        base: The base; it stays as it is.
        side: New input side S in pixels; the grid has S / 8 cells a side.

    Raises:
        ShapeError: The side is no multiple of 32.
    """
    if side < COARSEST or side % COARSEST:
        raise ShapeError(f"the input side is {side} pixels, expected a multiple of {COARSEST}.")
    sam = copy.deepcopy(base.sam)
    grid = side // STRIDE
    encoder, prompts = sam.image_encoder, sam.prompt_encoder
    if side != base.side:
        code = F.interpolate(encoder.pos_embed.detach(), (grid, grid), mode="bicubic")
        encoder.pos_embed = nn.Parameter(code)
    encoder.img_size = side
    prompts.input_image_size = (side, side)
    prompts.image_embedding_size = (grid, grid)
    prompts.mask_input_size = (4 * grid, 4 * grid)
    return BaseSam(sam=sam, early_layer=base.early_layer, early_dim=base.early_dim)
