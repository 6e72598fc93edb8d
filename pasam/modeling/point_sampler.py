"""Hard-point sampling: which cells of a score map become additional point prompts.

Shapes: N score maps of K cells each, k cells taken from every map. PA-SAM, section 3.3 ("hard
point mining" by Gumbel top-k).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pasam.errors import ShapeError


class Picks(NamedTuple):
    """Cells that were taken, in ascending order of their index."""

    cells: Tensor
    """Indices into the score map, (N, k) int64."""
    weights: Tensor
    """Exactly 1 for every cell, (N, k); carries the gradient to the scores when relaxed."""


def gumbel_noise(
    maps: int, cells: int, *, generator: torch.Generator | None, device: torch.device
) -> Tensor:
    """Draw the noise of a positive and a negative sample per map.

    Args:
        maps: Number of maps N.
        cells: Cells K of each.
        generator: Source of randomness; torch's global one when None.
        device: Where the noise is needed; the generator may live elsewhere.

    Returns:
        Independent Gumbel(0, 1) noise, (N, 2, K), in the order of drawing: map by map, the
        positive sample first.
    """
    source = device if generator is None else generator.device
    uniform = torch.empty(maps, 2, cells, device=source).exponential_(generator=generator)
    return -uniform.log().to(device)


def top_picks(scores: Tensor, count: int) -> Picks:
    """Take the cells of the largest scores, without gradient.

    Args:
        scores: Score of each cell, (N, K).
        count: Cells k to take from every map.

    Returns:
        The cells, with constant weights.

    Raises:
        ShapeError: A map has fewer than k cells.
    """
    if scores.shape[-1] < count:
        raise ShapeError(
            f"cannot take {count} points from a map of {scores.shape[-1]} cells; "
            "lower mining_points or use a larger grid."
        )
    cells = scores.topk(count, dim=-1).indices.sort(dim=-1).values
    return Picks(cells, torch.ones_like(cells, dtype=scores.dtype))


def gumbel_picks(scores: Tensor, count: int, noise: Tensor) -> Picks:
    """Sample cells by Gumbel top-k with a straight-through gradient.

    The relaxed k-hot vector is the sum of k softmaxes, each over what the earlier ones left.
    Going forward its k largest cells count fully; going back the gradient is the relaxed
    vector's.

    Args:
        scores: Score of each cell, (N, K).
        count: Cells k to take from every map.
        noise: Gumbel(0, 1) noise, (N, K).

    Returns:
        The cells, with weights that are 1 and carry the gradient.

    Raises:
        ShapeError: A map has fewer than k cells.
    """
    logits = scores.float() + noise
    tiny = torch.finfo(torch.float32).tiny
    taken = torch.zeros_like(logits)
    relaxed = torch.zeros_like(logits)
    for _ in range(count):
        logits = logits + (1 - taken).clamp(min=tiny).log()
        taken = logits.softmax(dim=-1)
        relaxed = relaxed + taken
    cells = top_picks(relaxed.detach(), count).cells
    soft = relaxed.gather(-1, cells)
    return Picks(cells, ((1 - soft.detach()) + soft).to(scores.dtype))
