"""SAM's two-way transformer, for prompts of several kinds in one pass and with an adapter inside.

Prompts have different numbers of tokens. In one pass the shorter ones are filled up, and what
fills them is absent: nothing attends to it. Where no token is absent all is computed as in SAM.
PA-SAM's adapter (section 3.1) is handed to the last block and owned elsewhere. Parameters keep
SAM's names.
"""

# Shapes: N prompts, n tokens each, C channels, g the grid of image tokens.

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

from torch import Tensor, nn
from torch.nn import functional as F

import pasam.models.before_segment_anything  # noqa: F401
from pasam.models.prompt_adapter import AdapterOutput
from segment_anything.modeling.transformer import (
    Attention,
    TwoWayAttentionBlock,
    TwoWayTransformer,
)

NEVER = -math.inf
"""The score of what is absent."""


class TokenAttention(Attention):  # type: ignore[misc]  # the package has no types
    """SAM's attention of tokens to tokens, some of which may be absent."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor, absent: Tensor | None = None) -> Tensor:
        """Attend from q to the rows of k and v, (N, n, C), but for the `absent`, bool (N, n)."""
        if absent is None:
            attended: Tensor = super().forward(q, k, v)
            return attended
        query, key, value = _heads(self, q, k, v)
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        weights = scores.masked_fill(absent[:, None, None], NEVER).softmax(dim=-1)
        merged: Tensor = self.out_proj(self._recombine_heads(weights @ value))
        return merged


class ImageToTokenAttention(Attention):  # type: ignore[misc]  # the package has no types
    """SAM's attention of many image tokens to few others, weighed the other way round.

    A softmax over the last axis is slow where that axis has a dozen entries and all others have
    thousands. Here the image's axis is last; as a training step it takes a third of the time.
    """

    def forward(self, q: Tensor, k: Tensor, v: Tensor, absent: Tensor | None = None) -> Tensor:
        """Attend from q, (N, g*g, C), to the rows of k and v, (N, n, C), but for the `absent`."""
        query, key, value = _heads(self, q, k, v)
        scores = (key * query.shape[-1] ** -0.5) @ query.transpose(-1, -2)  # (N, heads, n, g*g)
        if absent is not None:
            scores = scores.masked_fill(absent[:, None, :, None], NEVER)
        seen = value.transpose(-1, -2) @ scores.softmax(dim=-2)  # (N, heads, width, g*g)
        attended: Tensor = self.out_proj(seen.flatten(1, 2).transpose(1, 2))
        return attended


def _heads(attention: Attention, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Project queries, keys and values, (N, heads, rows, width) each."""
    query, key, value = (
        attention._separate_heads(projected, attention.num_heads)
        for projected in (attention.q_proj(q), attention.k_proj(k), attention.v_proj(v))
    )
    return query, key, value


class TwoWayBlock(TwoWayAttentionBlock):  # type: ignore[misc]  # the package has no types
    """SAM's two-way block, some of whose tokens may be absent."""

    def forward(
        self,
        queries: Tensor,
        keys: Tensor,
        query_pe: Tensor,
        key_pe: Tensor,
        absent: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Exchange between tokens and image, once.

        Args:
            queries: Tokens, (N, n, C).
            keys: Image tokens, (N, g*g, C).
            query_pe: Position code of the tokens, (N, n, C).
            key_pe: Position code of the grid, (1 or N, g*g, C).
            absent: Which tokens are not there, bool (N, n); None where all are.

        Returns:
            Tokens and image tokens.
        """
        if self.skip_first_layer_pe:
            queries = self.norm1(self.self_attn(queries, queries, queries, absent))
        else:
            placed = queries + query_pe
            queries = self.norm1(queries + self.self_attn(placed, placed, queries, absent))
        attended = self.cross_attn_token_to_image(q=queries + query_pe, k=keys + key_pe, v=keys)
        queries = self.norm2(queries + attended)
        queries = self.norm3(queries + self.mlp(queries))
        seen = self.cross_attn_image_to_token(keys + key_pe, queries + query_pe, queries, absent)
        return queries, self.norm4(keys + seen)


class PackedTwoWayTransformer(TwoWayTransformer):  # type: ignore[misc]  # no types
    """SAM's two-way transformer for prompts of several kinds in one pass."""

    def forward(
        self,
        image_embedding: Tensor,
        image_pe: Tensor,
        point_embedding: Tensor,
        absent: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Let tokens and image exchange through all blocks.

        Args:
            image_embedding: What the tokens attend to, (N, C, g, g).
            image_pe: Position code of the grid, (1 or N, C, g, g).
            point_embedding: Tokens, which are their own position code, (N, n, C).
            absent: Which tokens are not there, bool (N, n); None where all are.

        Returns:
            Tokens, (N, n, C), and image tokens, (N, g*g, C).
        """
        keys = image_embedding.flatten(2).transpose(1, 2)  # (N, g*g, C)
        key_pe = image_pe.flatten(2).transpose(1, 2)
        queries = point_embedding
        for layer in self.layers:
            queries, keys = layer(queries, keys, point_embedding, key_pe, absent)
        attended = self.final_attn_token_to_image(
            q=queries + point_embedding, k=keys + key_pe, v=keys
        )
        return self.norm_final_attn(queries + attended), keys


Transformer = TypeVar("Transformer", bound=nn.Module)


def quickened(transformer: Transformer) -> Transformer:
    """Let a two-way transformer take prompts of several kinds, and its image tokens attend faster.

    Neither weights nor names change. The frozen decoder stays as it is: it gives SAM's masks bit
    for bit.
    """
    for name, module in transformer.named_modules():
        if name.endswith("cross_attn_image_to_token"):
            module.__class__ = ImageToTokenAttention
        elif name.endswith("self_attn"):
            module.__class__ = TokenAttention
        elif type(module) is TwoWayAttentionBlock:
            module.__class__ = TwoWayBlock
        elif type(module) is TwoWayTransformer:
            module.__class__ = PackedTwoWayTransformer
    return transformer


Adapt = Callable[[Tensor, Tensor, Tensor, Tensor], AdapterOutput]
"""(tokens, keys, query_pe, key_pe) -> what the adapter makes of them."""


class AdaptedTwoWayBlock(TwoWayAttentionBlock):  # type: ignore[misc]  # no types
    """SAM's two-way block with the adapter before the residual of the token-to-image attention.

    Constructor and parameter names are those of `TwoWayAttentionBlock`.
    """

    def forward(
        self,
        queries: Tensor,
        keys: Tensor,
        query_pe: Tensor,
        key_pe: Tensor,
        adapt: Adapt,
        absent: Tensor | None = None,
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
            absent: Which tokens are not there, bool (N, n); None where all are.

        Returns:
            Tokens, (N, n', C) with n' = n + the mined points; image tokens, (N, g*g, C); and
            what the adapter gave, with the new position code of the tokens.
        """
        placed = queries + query_pe
        queries = self.norm1(queries + self.self_attn(placed, placed, queries, absent))

        attended = self.cross_attn_token_to_image(q=queries + query_pe, k=keys + key_pe, v=keys)
        adapted = adapt(queries, keys, query_pe, key_pe)
        mined = adapted.tokens.shape[1] - queries.shape[1]
        queries = self.norm2(F.pad(queries + attended, (0, 0, 0, mined)) + adapted.tokens)
        keys = keys + adapted.dense

        queries = self.norm3(queries + self.mlp(queries))
        if absent is not None:
            absent = F.pad(absent, (0, mined))
        seen = self.cross_attn_image_to_token(
            keys + key_pe, queries + adapted.query_pe, queries, absent
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
    """

    def __init__(self, *, depth: int, embedding_dim: int, num_heads: int, mlp_dim: int) -> None:
        assert depth >= 2, "the first block of a two-way transformer is never adapted"
        super().__init__(
            depth=depth, embedding_dim=embedding_dim, num_heads=num_heads, mlp_dim=mlp_dim
        )
        self.layers[-1] = AdaptedTwoWayBlock(
            embedding_dim=embedding_dim, num_heads=num_heads, mlp_dim=mlp_dim
        )
        quickened(self)

    def forward(
        self,
        image_embedding: Tensor,
        image_pe: Tensor,
        point_embedding: Tensor,
        adapt: Adapt,
        absent: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, AdapterOutput]:
        """Let tokens and image exchange through all blocks.

        Args:
            image_embedding: What the tokens attend to, (N, C, g, g).
            image_pe: Position code of the grid, (1 or N, C, g, g).
            point_embedding: Tokens, which are their own position code, (N, n, C).
            adapt: The adapter of the last block.
            absent: Which tokens are not there, bool (N, n); None where all are.

        Returns:
            Tokens, (N, n', C) with n' = n + the mined points; image tokens, (N, g*g, C); and
            what the adapter gave.
        """
        keys = image_embedding.flatten(2).transpose(1, 2)  # (N, g*g, C)
        key_pe = image_pe.flatten(2).transpose(1, 2).contiguous()
        queries = point_embedding
        for layer in self.layers[:-1]:
            queries, keys = layer(queries, keys, point_embedding, key_pe, absent)
        queries, keys, adapted = self.layers[-1](
            queries, keys, point_embedding, key_pe, adapt, absent
        )
        attended = self.final_attn_token_to_image(
            q=queries + adapted.query_pe, k=keys + key_pe, v=keys
        )
        return self.norm_final_attn(queries + attended), keys, adapted
