"""SAM's mask decoder in reusable pieces, batched over the prompts of several images."""

# Shapes: B images, N prompts, n sparse prompt tokens, C channels, g the grid of image tokens.

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

import pasam.models.before_segment_anything  # noqa: F401
from pasam.errors import ShapeError
from pasam.models.prompt_adapter import channel_norm, enlarged
from segment_anything.modeling import MaskDecoder


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskPrediction:
    """One mask of each of N prompts, by a decoder that refines SAM's."""

    masks: Tensor
    """Mask logits, (N, 1, 4g, 4g)."""
    iou: Tensor
    """SAM's predicted IoU of its four masks, (N, 4), or of a chosen one, (N, 1)."""


class SamMaskDecoder(MaskDecoder):  # type: ignore[misc]  # segment_anything has no types
    """SAM's mask decoder, whose images and prompts are paired by an index.

    `MaskDecoder.forward` takes one image; `decode` takes any number, so that prompts of many
    images share one pass. Decoders with further tokens or outputs build on the pieces.
    Constructor and parameter names are those of `MaskDecoder`.
    """

    def output_tokens(self) -> Tensor:
        """Return the learned tokens that precede the prompt: iou, then the masks', (5, C)."""
        return torch.cat([self.iou_token.weight, self.mask_tokens.weight])

    def tokens(self, sparse: Tensor) -> Tensor:
        """Put the learned tokens before each prompt's.

        Args:
            sparse: Sparse prompt embeddings, (N, n, C); n may be 0.

        Returns:
            Tokens that enter the transformer, (N, 5 + n, C).
        """
        learned = self.output_tokens().expand(sparse.shape[0], -1, -1)
        return torch.cat([learned, sparse], dim=1)

    def exchange(
        self, source: Tensor, image_pe: Tensor, sparse: Tensor, absent: Tensor | None, *adapter: Any
    ) -> Any:
        """Let each prompt's tokens and its image exchange through the transformer.

        Args:
            source: The image's side, (N, C, g, g).
            image_pe: Position code of the grid, (1, C, g, g).
            sparse: Sparse prompt embeddings, (N, n, C).
            absent: Which of them are not there, bool (N, n); None where all are, and for a
                transformer that is SAM's own.
            adapter: The adapter of a transformer that takes one.

        Returns:
            What the transformer gives.
        """
        tokens = self.tokens(sparse)
        if absent is None:
            return self.transformer(source, image_pe, tokens, *adapter)
        learned = tokens.shape[1] - sparse.shape[1]
        return self.transformer(source, image_pe, tokens, *adapter, F.pad(absent, (learned, 0)))

    def image_side(self, image_embeddings: Tensor, dense: Tensor, image_index: Tensor) -> Tensor:
        """Give each prompt its image and add the dense prompt.

        Args:
            image_embeddings: The encoder's outputs, (B, C, g, g).
            dense: Dense prompt embeddings, (N, C, g, g).
            image_index: Which image each prompt belongs to, (N,) int64 in [0, B).

        Returns:
            What the tokens attend to, (N, C, g, g).

        Raises:
            ShapeError: Prompts, index and images do not fit together.
        """
        if image_index.shape != dense.shape[:1] or image_embeddings.shape[1:] != dense.shape[1:]:
            raise ShapeError(
                "dense prompts must be (N, C, g, g) with one image_index each and the images' "
                f"(C, g, g); got dense {tuple(dense.shape)}, image_index "
                f"{tuple(image_index.shape)}, image_embeddings {tuple(image_embeddings.shape)}."
            )
        source = image_embeddings[image_index] + dense
        # Once here instead of in every projection of the transformer: channels last.
        return source.contiguous(memory_format=torch.channels_last)

    def upscale(self, keys: Tensor, grid: int) -> Tensor:
        """Bring the image tokens to the masks' resolution.

        Args:
            keys: Image tokens after the transformer, row by row, (N, g*g, C).
            grid: Their grid g.

        Returns:
            Features of every mask pixel, (N, C/8, 4g, 4g).
        """
        maps = keys.transpose(1, 2).reshape(keys.shape[0], -1, grid, grid)
        upscaled: Tensor = self.output_upscaling(maps)
        return upscaled

    def upscaled_parts(self, keys: Tensor) -> Tensor:
        """Do what `upscale` does by matrix products, which round otherwise than SAM's layers.

        Args:
            keys: Image tokens after the transformer, row by row, (N, g*g, C).

        Returns:
            Features of every mask pixel, cell by cell, (N, g*g, 4, 4, C/8); see `on_map`.
        """
        first, norm, _, second, _ = self.output_upscaling
        halves = F.gelu(channel_norm(enlarged(keys, first), norm))
        return F.gelu(enlarged(halves, second))

    def first_mask(self, tokens: Tensor, parts: Tensor) -> Tensor:
        """Predict the first mask alone, the only one that a model with one output needs.

        Args:
            tokens: Tokens after the transformer, (N, n, C); row 1 is the mask's.
            parts: What `upscaled_parts` gives.

        Returns:
            Mask logits, (N, 1, 4g, 4g).
        """
        # The others' hypernetworks stay part of the graph: training on several processes asks each
        # parameter that learns for a gradient, be it zero.
        weights = torch.stack(self._mask_weights(tokens), dim=-1)[..., :1]  # (N, C/8, 1)
        logits = parts.flatten(1, 3) @ weights  # (N, 16*g*g, 1)
        return on_map(logits.reshape(*parts.shape[:4], 1))

    def mask_from(self, weights: Tensor, upscaled: Tensor) -> Tensor:
        """Weigh the upscaled features.

        Args:
            weights: One mask's weights per prompt, (N, C/8).
            upscaled: Features of every mask pixel, (N, C/8, 4g, 4g).

        Returns:
            Mask logits, (N, 4g, 4g).
        """
        logits = weights.unsqueeze(1) @ upscaled.flatten(2)
        return logits.reshape(weights.shape[0], *upscaled.shape[2:])

    def sam_masks(self, tokens: Tensor, upscaled: Tensor) -> Tensor:
        """Predict every one of SAM's masks.

        Args:
            tokens: Tokens after the transformer, (N, n, C); rows 1 to 4 are the masks'.
            upscaled: Features of every mask pixel, (N, C/8, 4g, 4g).

        Returns:
            Mask logits, (N, 4, 4g, 4g).
        """
        weights = self._mask_weights(tokens)
        # One product for all masks, as in SAM: rounding is then the same, bit for bit.
        logits = torch.stack(weights, dim=1) @ upscaled.flatten(2)
        return logits.reshape(*logits.shape[:2], *upscaled.shape[2:])

    def _mask_weights(self, tokens: Tensor) -> list[Tensor]:
        """Turn each mask's token into the weights of its mask, (N, C/8)."""
        return [
            hypernetwork(tokens[:, 1 + i])
            for i, hypernetwork in enumerate(self.output_hypernetworks_mlps)
        ]

    @staticmethod
    def best_of(masks: Tensor, iou: Tensor) -> tuple[Tensor, Tensor]:
        """Choose each prompt's mask of the highest predicted IoU.

        Args:
            masks: Candidates, (N, M, 4g, 4g).
            iou: Their predicted IoU, (N, M).

        Returns:
            The chosen masks, (N, 1, 4g, 4g), and their predicted IoU, (N, 1).
        """
        best = iou.argmax(dim=1, keepdim=True)
        rows = torch.arange(len(iou), device=iou.device).unsqueeze(1)
        return masks[rows, best], iou[rows, best]

    def image_features(self, *, image_embeddings: Tensor) -> dict[str, Tensor | None]:
        """Make all that `decode` takes of images, by name; it serves all their prompts.

        Args:
            image_embeddings: The encoder's outputs, (B, C, g, g).
        """
        return {"image_embeddings": image_embeddings}

    def decode(
        self,
        *,
        image_embeddings: Tensor,
        image_pe: Tensor,
        sparse: Tensor,
        dense: Tensor,
        image_index: Tensor,
        absent: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Predict SAM's masks for N prompts of B images.

        Args:
            image_embeddings: The encoder's outputs, (B, C, g, g).
            image_pe: Position code of the grid, (1, C, g, g).
            sparse: Sparse prompt embeddings, (N, n, C).
            dense: Dense prompt embeddings, (N, C, g, g).
            image_index: Which image each prompt belongs to, (N,) int64 in [0, B).
            absent: Which sparse embeddings are not there, bool (N, n); see `exchange`.

        Returns:
            Mask logits, (N, 4, 4g, 4g), the first being the single-mask output and the others
            the multimask outputs; and their predicted IoU, (N, 4).
        """
        source = self.image_side(image_embeddings, dense, image_index)
        tokens, keys = self.exchange(source, image_pe, sparse, absent)
        upscaled = self.upscale(keys, source.shape[-1])
        return self.sam_masks(tokens, upscaled), self.iou_prediction_head(tokens[:, 0])


def on_map(parts: Tensor) -> Tensor:
    """Put what was enlarged twice by `enlarged` in its place on the map.

    Args:
        parts: The four parts of the four parts of every cell, (N, g*g, 4, 4, c).

    Returns:
        Maps, (N, c, 4g, 4g); their memory is channels-last.
    """
    grid = math.isqrt(parts.shape[1])
    # A row is that of the cell, of its part, and of the part's part; a column likewise.
    split = parts.reshape(parts.shape[0], grid, grid, 2, 2, 2, 2, -1).permute(
        0, 1, 3, 5, 2, 4, 6, 7
    )
    return split.reshape(parts.shape[0], 4 * grid, 4 * grid, -1).permute(0, 3, 1, 2)
