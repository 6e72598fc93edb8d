"""PA-SAM's mask decoder: SAM's, with a guiding embedding and the prompt adapter inside.

Shapes: B images of S x S pixels, N prompts, n sparse prompt tokens, C channels, g the grid of
image tokens, k mined points of each sign.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from pasam.modeling.adapted_transformer import AdaptedTwoWayTransformer
from pasam.modeling.guiding_embedding import EdgeMode, guiding_conv, guiding_input
from pasam.modeling.point_sampler import gumbel_noise
from pasam.modeling.prompt_adapter import AdapterOutput, Mining, PromptAdapter
from pasam.modeling.sam_mask_decoder import SamMaskDecoder

MiningMode = Literal["none", "gumbel", "top"]

TRAINABLE = (
    "mask_tokens.",
    "output_upscaling.",
    "output_hypernetworks_mlps.",
    "guiding_conv.",
    "prompt_adapter.",
)
"""Prefixes of the parameters that are trained; the rest is SAM's and stays frozen."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PaPrediction:
    """What PA-SAM predicts for N prompts."""

    masks: Tensor
    """The prediction: mask logits, (N, 1, 4g, 4g)."""
    iou: Tensor
    """SAM's predicted IoU of its four masks, (N, 4), or of the chosen one with multimask, (N, 1).

    The head is frozen while the masks change, so it ranks no better than SAM's.
    """
    uncertainty: Tensor
    """Probability that the coarse mask needs the refined one, (N, 1, g, g) in [0, 1]."""
    final: Tensor
    """Refined logits where uncertain, coarse ones elsewhere, (N, 1, g, g); for inspection."""
    coarse: Tensor
    """Mask logits by the mask token, (N, 1, g, g)."""
    refined: Tensor
    """Mask logits by the refined token, (N, 1, g, g)."""
    positive: Tensor | None
    """Cells (row * g + column) of the positive points, (N, k) int64; None without mining."""
    negative: Tensor | None
    """Cells of the negative points, (N, k) int64; None without mining."""


class PaMaskDecoder(SamMaskDecoder):
    """SAM's mask decoder with the prompt adapter in its transformer's last block.

    Args:
        transformer_dim: Channels C.
        transformer: The adapted two-way transformer.
        gradient: Which edges guide the adapter, see `edge_channel`.
        mining_points: Hard points k of each sign.
        iou_head_hidden_dim: Hidden width of SAM's iou head.
    """

    def __init__(
        self,
        *,
        transformer_dim: int,
        transformer: AdaptedTwoWayTransformer,
        gradient: EdgeMode,
        mining_points: int,
        iou_head_hidden_dim: int = 256,
    ) -> None:
        super().__init__(
            transformer_dim=transformer_dim,
            transformer=transformer,
            iou_head_hidden_dim=iou_head_hidden_dim,
        )
        self.mining_points = mining_points
        self.gradient: EdgeMode = gradient
        self.guiding_conv = guiding_conv(transformer_dim)
        self.prompt_adapter = PromptAdapter(dim=transformer_dim, num_heads=transformer.num_heads)

    def guiding(self, images: Tensor, grid: int) -> Tensor:
        """Make the guiding embedding of images; it serves all their prompts.

        Args:
            images: Normalised images, (B, 3, S, S).
            grid: Grid g of the image tokens.

        Returns:
            Guiding embedding, row by row, (B, g*g, C).
        """
        maps: Tensor = self.guiding_conv(guiding_input(images, grid, self.gradient))
        return maps.flatten(2).transpose(1, 2)

    def decode(  # type: ignore[override]  # it needs the guiding embedding and how to mine
        self,
        *,
        image_embeddings: Tensor,
        image_pe: Tensor,
        sparse: Tensor,
        dense: Tensor,
        image_index: Tensor,
        guiding: Tensor,
        point_embeddings: Tensor,
        mining: MiningMode,
        generator: torch.Generator | None = None,
        noise: Tensor | None = None,
        multimask: bool = False,
    ) -> PaPrediction:
        """Predict the masks of N prompts of B images.

        Args:
            image_embeddings: The encoder's outputs, (B, C, g, g).
            image_pe: Position code of the grid, (1, C, g, g).
            sparse: Sparse prompt embeddings, (N, n, C).
            dense: Dense prompt embeddings, (N, C, g, g).
            image_index: Which image each prompt belongs to, (N,) int64 in [0, B).
            guiding: What `guiding` makes of the images, (B, g*g, C).
            point_embeddings: The prompt encoder's embeddings of a background and a foreground
                point, (2, C).
            mining: "none" adds no points; "gumbel" samples them, for training; "top" takes the
                highest scores, for prediction.
            generator: Source of the Gumbel noise; torch's global one when None.
            noise: Gumbel noise that is already drawn, (N, 2, g*g), positive sample first.
            multimask: Give the better of masks 1 and 2 in place of mask 0.
                Reference: its slice drops mask 3; kept because its results are compared with.

        Returns:
            The masks and the adapter's own maps.

        Raises:
            ShapeError: Prompts, index and images do not fit together, or the grid has fewer
                cells than points are to be mined.
        """
        source = self.image_side(image_embeddings, dense, image_index)
        grid = source.shape[-1]
        if mining == "gumbel" and noise is None:
            noise = gumbel_noise(len(sparse), grid**2, generator=generator, device=source.device)
        how = Mining(
            points=self.mining_points,
            point_embeddings=point_embeddings,
            noise=noise if mining == "gumbel" else None,
        )
        adapt = partial(
            self.prompt_adapter,
            guiding=guiding[image_index],
            mining=None if mining == "none" else how,
        )
        tokens, keys, adapted = self.transformer(source, image_pe, self.tokens(sparse), adapt)
        masks = self.sam_masks(tokens, self.upscale(keys, grid))
        iou = self.iou_prediction_head(tokens[:, 0])
        if multimask:
            masks, iou = self.best_of(masks[:, 1:3], iou[:, 1:3])
        return _prediction(masks[:, :1], iou, adapted, grid)


def _prediction(masks: Tensor, iou: Tensor, adapted: AdapterOutput, grid: int) -> PaPrediction:
    uncertainty, coarse, refined = (
        flat.reshape(-1, 1, grid, grid)
        for flat in (adapted.uncertainty, adapted.coarse, adapted.refined)
    )
    return PaPrediction(
        masks=masks,
        iou=iou,
        uncertainty=uncertainty,
        final=torch.where(uncertainty >= 0.5, refined, coarse),
        coarse=coarse,
        refined=refined,
        positive=adapted.positive,
        negative=adapted.negative,
    )
