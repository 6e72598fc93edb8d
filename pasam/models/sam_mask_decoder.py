"""SAM's mask decoder in reusable pieces, batched over the prompts of several images.

With it SAM's two-way transformer with an adapter inside its last block (PA-SAM, section 3.1): the
blocks' parameters keep SAM's names; the adapter is handed in and owned elsewhere.
"""

# Shapes: B images, N prompts, n sparse prompt tokens, C channels, g the grid of image tokens.

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

import pasam.models.before_segment_anything  # noqa: F401
from pasam.errors import ShapeError
from pasam.models.prompt_adapter import AdapterOutput, channel_norm, enlarged, quickened
from segment_anything.modeling import MaskDecoder
from segment_anything.modeling.transformer import TwoWayAttentionBlock, TwoWayTransformer


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

    def hypernetwork(self, index: int, token: Tensor) -> Tensor:
        """Turn mask token `index`, (N, C), into the weights of its mask, (N, C/8)."""
        weights: Tensor = self.output_hypernetworks_mlps[index](token)
        return weights

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
        return [
            self.hypernetwork(i, tokens[:, 1 + i])
            for i in range(len(self.output_hypernetworks_mlps))
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

    def decode(
        self,
        *,
        image_embeddings: Tensor,
        image_pe: Tensor,
        sparse: Tensor,
        dense: Tensor,
        image_index: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Predict SAM's masks for N prompts of B images.

        Args:
            image_embeddings: The encoder's outputs, (B, C, g, g).
            image_pe: Position code of the grid, (1, C, g, g).
            sparse: Sparse prompt embeddings, (N, n, C).
            dense: Dense prompt embeddings, (N, C, g, g).
            image_index: Which image each prompt belongs to, (N,) int64 in [0, B).

        Returns:
            Mask logits, (N, 4, 4g, 4g), the first being the single-mask output and the others
            the multimask outputs; and their predicted IoU, (N, 4).
        """
        source = self.image_side(image_embeddings, dense, image_index)
        tokens, keys = self.transformer(source, image_pe, self.tokens(sparse))
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


Adapt = Callable[[Tensor, Tensor, Tensor, Tensor], AdapterOutput]
"""(tokens, keys, query_pe, key_pe) -> what the adapter makes of them."""


class AdaptedTwoWayBlock(TwoWayAttentionBlock):  # type: ignore[misc]  # no types
    """SAM's two-way block with the adapter before the residual of the token-to-image attention.

    Constructor and parameter names are those of `TwoWayAttentionBlock`.
    """

    def forward(
        self, queries: Tensor, keys: Tensor, query_pe: Tensor, key_pe: Tensor, adapt: Adapt
    ) -> tuple[Tensor, Tensor, AdapterOutput]:
        """Exchange between tokens and image, once, through the adapter.

        Points that the adapter mines enter with their content alone: they have neither a token
        from before nor an attention of their own.

        Args:
            queries: Tokens, (N, n, C).
            keys: Image tokens, (N, g*g, C).
            query_pe: Position code of the tokens, (N, n, C).
            key_pe: Position code of the grid, (1 or N, g*g, C).
            adapt: The adapter.

        Returns:
            Tokens, (N, n', C) with n' = n + the mined points; image tokens, (N, g*g, C); and
            what the adapter gave, with the new position code of the tokens.
        """
        placed = queries + query_pe
        queries = self.norm1(queries + self.self_attn(q=placed, k=placed, v=queries))

        attended = self.cross_attn_token_to_image(q=queries + query_pe, k=keys + key_pe, v=keys)
        adapted = adapt(queries, keys, query_pe, key_pe)
        mined = adapted.tokens.shape[1] - queries.shape[1]
        queries = self.norm2(F.pad(queries + attended, (0, 0, 0, mined)) + adapted.tokens)
        keys = keys + adapted.dense

        queries = self.norm3(queries + self.mlp(queries))
        seen = self.cross_attn_image_to_token(
            q=keys + key_pe, k=queries + adapted.query_pe, v=queries
        )
        return queries, self.norm4(keys + seen), adapted


class AdaptedTwoWayTransformer(TwoWayTransformer):  # type: ignore[misc]  # no types
    """SAM's two-way transformer whose last block is adapted.

    Parameter names are those of `TwoWayTransformer`.

    Args:
        depth: Blocks, at least 2: the first differs from the others and is never adapted.
        embedding_dim: Channels C.
        num_heads: Attention heads.
        mlp_dim: Hidden width of the blocks' MLPs.
        attention_downsample_rate: Factor by which cross attentions are narrower than C.
    """

    def __init__(
        self,
        *,
        depth: int,
        embedding_dim: int,
        num_heads: int,
        mlp_dim: int,
        attention_downsample_rate: int = 2,
    ) -> None:
        assert depth >= 2, "the first block of a two-way transformer is never adapted"
        super().__init__(
            depth=depth,
            embedding_dim=embedding_dim,
            num_heads=num_heads,
            mlp_dim=mlp_dim,
            attention_downsample_rate=attention_downsample_rate,
        )
        self.layers[-1] = AdaptedTwoWayBlock(
            embedding_dim=embedding_dim,
            num_heads=num_heads,
            mlp_dim=mlp_dim,
            attention_downsample_rate=attention_downsample_rate,
        )
        quickened(self)

    def forward(
        self, image_embedding: Tensor, image_pe: Tensor, point_embedding: Tensor, adapt: Adapt
    ) -> tuple[Tensor, Tensor, AdapterOutput]:
        """Let tokens and image exchange through all blocks.

        Args:
            image_embedding: What the tokens attend to, (N, C, g, g).
            image_pe: Position code of the grid, (1 or N, C, g, g).
            point_embedding: Tokens, which are their own position code, (N, n, C).
            adapt: The adapter of the last block.

        Returns:
            Tokens, (N, n', C) with n' = n + the mined points; image tokens, (N, g*g, C); and
            what the adapter gave.
        """
        keys = image_embedding.flatten(2).transpose(1, 2)  # (N, g*g, C)
        key_pe = image_pe.flatten(2).transpose(1, 2).contiguous()
        queries = point_embedding
        for layer in self.layers[:-1]:
            queries, keys = layer(
                queries=queries, keys=keys, query_pe=point_embedding, key_pe=key_pe
            )
        queries, keys, adapted = self.layers[-1](queries, keys, point_embedding, key_pe, adapt)
        attended = self.final_attn_token_to_image(
            q=queries + adapted.query_pe, k=keys + key_pe, v=keys
        )
        return self.norm_final_attn(queries + attended), keys, adapted
