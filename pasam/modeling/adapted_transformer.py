"""SAM's two-way transformer with an adapter inside its last block.

Shapes: N prompts, n tokens each, C channels, a grid of g x g image tokens. PA-SAM, section 3.1.
The blocks' parameters keep SAM's names; the adapter is handed in and owned elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

import pasam.modeling.torchvision_operators  # noqa: F401  (must come before segment_anything)
from pasam.modeling.prompt_adapter import AdapterOutput
from segment_anything.modeling.transformer import TwoWayAttentionBlock, TwoWayTransformer

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
        key_pe = image_pe.flatten(2).transpose(1, 2)
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
