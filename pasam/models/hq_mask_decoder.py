"""HQ-SAM's mask decoder: SAM's, with one more token and early features of the encoder.

Shapes: B images, N prompts, n sparse prompt tokens, C channels, E channels of the early
features, g the grid of image tokens. HQ-SAM ("Segment Anything in High Quality"), section 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import pasam.models.before_segment_anything  # noqa: F401
from pasam.models.prompt_adapter import ChannelNorm, channel_norm, enlarged
from pasam.models.sam_mask_decoder import MaskPrediction, SamMaskDecoder, on_map
from segment_anything.modeling import TwoWayTransformer
from segment_anything.modeling.mask_decoder import MLP

TRAINABLE = (
    "hf_token.",
    "hf_mlp.",
    "compress_vit_feat.",
    "embedding_encoder.",
    "embedding_maskfeature.",
)
"""Prefixes of the parameters that are trained; the rest is SAM's and stays frozen."""

HQ_ROW = 5
"""Row of the high-quality token, behind the iou token and the four mask tokens."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HqPrediction(MaskPrediction):
    """What HQ-SAM predicts for N prompts: high-quality masks."""

    sam_masks: Tensor | None
    """Logits of SAM's own mask, (N, 1, 4g, 4g), where it was asked for."""


class HqMaskDecoder(SamMaskDecoder):
    """SAM's mask decoder with a high-quality output token.

    Args:
        transformer_dim: Channels C; a multiple of 8.
        transformer: SAM's two-way transformer.
        early_dim: Channels E of the encoder's first global-attention block.
        iou_head_hidden_dim: Hidden width of SAM's iou head.
    """

    trainable = TRAINABLE

    def __init__(
        self,
        *,
        transformer_dim: int,
        transformer: TwoWayTransformer,
        early_dim: int,
        iou_head_hidden_dim: int = 256,
    ) -> None:
        super().__init__(
            transformer_dim=transformer_dim,
            transformer=transformer,
            iou_head_hidden_dim=iou_head_hidden_dim,
        )
        dim, quarter, eighth = transformer_dim, transformer_dim // 4, transformer_dim // 8
        self.hf_token = nn.Embedding(1, dim)
        self.hf_mlp = MLP(dim, dim, eighth, 3)
        self.compress_vit_feat = _upscaling(early_dim, dim, eighth)
        self.embedding_encoder = _upscaling(dim, quarter, eighth)
        self.embedding_maskfeature = nn.Sequential(
            nn.Conv2d(eighth, quarter, kernel_size=3, padding=1),
            ChannelNorm(quarter),
            nn.GELU(),
            nn.Conv2d(quarter, eighth, kernel_size=3, padding=1),
        )

    def output_tokens(self) -> Tensor:
        """Return the learned tokens that precede the prompt: SAM's, then the new one, (6, C)."""
        return torch.cat([super().output_tokens(), self.hf_token.weight])

    def details(self, image_embeddings: Tensor, early: Tensor) -> Tensor:
        """Say what is fine in images; it serves all their prompts.

        Args:
            image_embeddings: The encoder's outputs, (B, C, g, g).
            early: Outputs of the encoder's first global-attention block, (B, E, g, g).

        Returns:
            The image's part of HQ-SAM's mask features, (B, C/8, 4g, 4g).
        """
        return on_map(
            _upscaled(self.embedding_encoder, image_embeddings)
            + _upscaled(self.compress_vit_feat, early)
        )

    def image_features(  # type: ignore[override]  # it sees more of the images
        self, *, image_embeddings: Tensor, early: Tensor
    ) -> dict[str, Tensor | None]:
        """Make all that `decode` takes of images, by name; see `details`."""
        details = self.details(image_embeddings, early)
        return {"image_embeddings": image_embeddings, "details": details}

    def decode(  # type: ignore[override]  # it needs the images' details
        self,
        *,
        image_embeddings: Tensor,
        details: Tensor,
        image_pe: Tensor,
        sparse: Tensor,
        dense: Tensor,
        image_index: Tensor,
        absent: Tensor | None = None,
        sam: Literal["first", "best"] | None = None,
    ) -> HqPrediction:
        """Predict the masks of N prompts of B images.

        Args:
            image_embeddings: The encoder's outputs, (B, C, g, g).
            details: What `details` says of the images, (B, C/8, 4g, 4g).
            image_pe: Position code of the grid, (1, C, g, g).
            sparse: Sparse prompt embeddings, (N, n, C).
            dense: Dense prompt embeddings, (N, C, g, g).
            image_index: Which image each prompt belongs to, (N,) int64 in [0, B).
            absent: Which sparse embeddings are not there, bool (N, n); see `exchange`.
            sam: Which of SAM's masks is given besides: its mask 0, or the best of masks 1 to 3;
                by default none is made, for nothing is trained on it.

        Returns:
            The high-quality masks, and SAM's where they are wanted.

        Raises:
            ShapeError: Prompts, index and images do not fit together.
        """
        source = self.image_side(image_embeddings, dense, image_index)
        tokens, keys = self.exchange(source, image_pe, sparse, absent)
        upscaled = on_map(self.upscaled_parts(keys))
        iou = self.iou_prediction_head(tokens[:, 0])
        masks = None
        if sam is not None:
            masks = self.sam_masks(tokens, upscaled)
        if masks is not None and sam == "best":
            masks, iou = self.best_of(masks[:, 1:], iou[:, 1:])
        fine = self.embedding_maskfeature(upscaled) + details[image_index]
        return HqPrediction(
            masks=self.mask_from(self.hf_mlp(tokens[:, HQ_ROW]), fine).unsqueeze(1),
            sam_masks=None if masks is None else masks[:, :1],
            iou=iou,
        )


def _upscaled(layers: nn.Sequential, maps: Tensor) -> Tensor:
    """Run a network of `_upscaling` on maps, (B, ., g, g), by matrix products; see `on_map`."""
    first, norm, _, second = layers
    rows = maps.flatten(2).transpose(1, 2)
    parts = enlarged(rows, cast("nn.ConvTranspose2d", first))
    halves = F.gelu(channel_norm(parts, cast("ChannelNorm", norm)))
    return enlarged(halves, cast("nn.ConvTranspose2d", second))


def _upscaling(incoming: int, hidden: int, outgoing: int) -> nn.Sequential:
    """Build a fourfold upscaling, (., incoming, g, g) to (., outgoing, 4g, 4g)."""
    return nn.Sequential(
        nn.ConvTranspose2d(incoming, hidden, kernel_size=2, stride=2),
        ChannelNorm(hidden),
        nn.GELU(),
        nn.ConvTranspose2d(hidden, outgoing, kernel_size=2, stride=2),
    )
