"""The prompt adapter: finer dense and sparse prompts out of the decoder's own tokens.

Shapes: N prompts, n tokens each, C channels, a grid of g x g image tokens, k mined points of
each sign. PA-SAM, section 3.2 (adapter) and 3.3 (hard point mining).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

import pasam.modeling.torchvision_operators  # noqa: F401  (must come before segment_anything)
from pasam.modeling.point_sampler import Picks, gumbel_picks, top_picks
from segment_anything.modeling.mask_decoder import MLP
from segment_anything.modeling.transformer import Attention

MASK_ROW = 1
"""Row of the first mask token, behind the iou token."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mining:
    """How hard points are mined."""

    points: int
    """Points k of each sign."""
    point_embeddings: Tensor
    """The prompt encoder's embeddings of a background and a foreground point, (2, C)."""
    noise: Tensor | None
    """Gumbel noise of the positive and the negative sample, (N, 2, g*g); None takes the top."""


class AdapterOutput(NamedTuple):
    """What the adapter hands to the decoder and what it is trained on."""

    tokens: Tensor
    """Adapted tokens, (N, n, C) or, with mined points, (N, n + 2k, C)."""
    dense: Tensor
    """Adapted image tokens, the refined dense prompt, (N, g*g, C)."""
    query_pe: Tensor
    """Position code of the tokens, of the shape of `tokens`."""
    uncertainty: Tensor
    """Probability that the coarse mask needs the refined one, (N, g*g) in [0, 1]."""
    coarse: Tensor
    """Mask logits by the mask token, (N, g*g)."""
    refined: Tensor
    """Mask logits by the refined token, (N, g*g)."""
    positive: Tensor | None
    """Cells of the positive points, ascending, (N, k) int64; None without mining."""
    negative: Tensor | None
    """Cells of the negative points, ascending, (N, k) int64; None without mining."""


class PromptAdapter(nn.Module):
    """Refine the mask token, the image tokens and, by mined points, the sparse prompt.

    Args:
        dim: Channels C; a multiple of 4.
        num_heads: Heads of the cross attention.
        attention_downsample_rate: Factor by which the cross attention is narrower than C.
    """

    def __init__(self, *, dim: int, num_heads: int, attention_downsample_rate: int = 2) -> None:
        super().__init__()
        self.static_uncertain_token = nn.Embedding(1, dim)
        self.static_refined_token = nn.Embedding(1, dim)
        self.uncertain_mlp = MLP(2 * dim, dim // 4, dim, 3)
        self.refined_mlp = MLP(2 * dim, dim // 4, dim, 3)
        self.cross_attn_token_to_image = Attention(
            dim, num_heads, downsample_rate=attention_downsample_rate
        )

    def forward(
        self,
        tokens: Tensor,
        keys: Tensor,
        query_pe: Tensor,
        key_pe: Tensor,
        *,
        guiding: Tensor,
        mining: Mining | None,
    ) -> AdapterOutput:
        """Adapt the prompt.

        Args:
            tokens: Tokens after the block's self attention, (N, n, C).
            keys: Image tokens of the block before, (N, g*g, C).
            query_pe: Position code of the tokens, (N, n, C).
            key_pe: Position code of the grid, (1 or N, g*g, C).
            guiding: Guiding embedding of each prompt's image, (N, g*g, C).
            mining: How hard points are mined; None adds no points.

        Returns:
            Adapted tokens, image tokens and position codes, and the adapter's own maps.
        """
        dense = guiding * keys
        attended = self.cross_attn_token_to_image(q=tokens + query_pe, k=dense + key_pe, v=dense)
        mask_token = attended[:, MASK_ROW]
        uncertain_token = self._mix(self.uncertain_mlp, self.static_uncertain_token, mask_token)
        refined_token = self._mix(self.refined_mlp, self.static_refined_token, mask_token)
        adapted = AdapterOutput(
            tokens=torch.cat(
                [attended[:, :MASK_ROW], refined_token[:, None], attended[:, MASK_ROW + 1 :]], dim=1
            ),
            dense=dense,
            query_pe=query_pe,
            uncertainty=_project(dense, uncertain_token).sigmoid(),
            coarse=_project(dense, mask_token),
            refined=_project(dense, refined_token),
            positive=None,
            negative=None,
        )
        return adapted if mining is None else _with_points(adapted, keys + dense, key_pe, mining)

    @staticmethod
    def _mix(mlp: nn.Module, static: nn.Embedding, mask_token: Tensor) -> Tensor:
        learned = static.weight.expand(len(mask_token), -1)
        mixed: Tensor = mlp(torch.cat([learned, mask_token], dim=-1))
        return mixed


def _project(dense: Tensor, token: Tensor) -> Tensor:
    return (dense @ token.unsqueeze(-1)).squeeze(-1)  # (N, g*g)


def _with_points(
    adapted: AdapterOutput, content: Tensor, key_pe: Tensor, mining: Mining
) -> AdapterOutput:
    """Append the positive, then the negative points where the refined mask corrects the coarse.

    Args:
        adapted: The adapter's output without points.
        content: Image tokens with the dense prompt added, (N, g*g, C).
        key_pe: Position code of the grid, (1 or N, g*g, C).
        mining: How hard points are mined.

    Returns:
        The output with 2k more tokens, their position codes and the cells they stand for.
    """
    scores = adapted.uncertainty * (adapted.refined.sigmoid() - adapted.coarse.sigmoid())
    background, foreground = mining.point_embeddings
    positive, negative = _pick(scores, mining, sign=0), _pick(-scores, mining, sign=1)
    positions = key_pe.expand_as(content)
    return adapted._replace(
        tokens=torch.cat(
            [adapted.tokens, _rows(content, positive), _rows(content, negative)], dim=1
        ),
        query_pe=torch.cat(
            [
                adapted.query_pe,
                _rows(positions, positive) + foreground,
                _rows(positions, negative) + background,
            ],
            dim=1,
        ),
        positive=positive.cells,
        negative=negative.cells,
    )


def _pick(scores: Tensor, mining: Mining, *, sign: int) -> Picks:
    if mining.noise is None:
        return top_picks(scores.detach(), mining.points)
    return gumbel_picks(scores, mining.points, mining.noise[:, sign])


def _rows(maps: Tensor, picks: Picks) -> Tensor:
    index = picks.cells.unsqueeze(-1).expand(-1, -1, maps.shape[-1])
    return maps.gather(1, index) * picks.weights.unsqueeze(-1)  # (N, k, C)
