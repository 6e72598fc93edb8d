"""Point sampling after PointRend: where a mask's loss is evaluated.

Shapes: N masks of h x w logits, M candidates and P points per mask; points are x, y in [0, 1].
HQ-SAM, section 4.1, with PointRend's numbers.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

POINTS = 112 * 112
"""Points per mask."""
OVERSAMPLE = 3
"""Candidates per point."""
IMPORTANCE = 0.75
"""Share of the points that are the most uncertain candidates; the others are uniform."""


class Draws(NamedTuple):
    """Uniform draws that the points are made of."""

    candidates: Tensor
    """(N, M, 2) in [0, 1); the most uncertain are kept."""
    fresh: Tensor
    """(N, P - kept, 2) in [0, 1); all are kept."""


def draw(masks: int, *, generator: torch.Generator | None, device: torch.device) -> Draws:
    """Draw candidates, then fresh points.

    Args:
        masks: Number of masks N.
        generator: Source of randomness; torch's global one when None.
        device: Where the draws are needed; the generator may live elsewhere.

    Returns:
        The draws for `uncertain_points`.
    """
    source = device if generator is None else generator.device
    fresh = POINTS - int(IMPORTANCE * POINTS)
    uniform = [
        torch.rand(masks, count, 2, generator=generator, device=source).to(device)
        for count in (OVERSAMPLE * POINTS, fresh)
    ]
    return Draws(*uniform)


def values_at(maps: Tensor, points: Tensor) -> Tensor:
    """Interpolate maps at points, bilinearly, with zeros outside.

    Args:
        maps: (N, 1, h, w).
        points: (N, P, 2).

    Returns:
        The values, (N, P).
    """
    places = (2 * points - 1).unsqueeze(2)  # (N, P, 1, 2)
    return F.grid_sample(maps, places, mode="bilinear", align_corners=False).flatten(1)


@torch.no_grad()
def uncertain_points(logits: Tensor, draws: Draws) -> Tensor:
    """Keep the candidates nearest to the decision boundary and add the fresh points.

    Args:
        logits: Mask logits, (N, 1, h, w).
        draws: Uniform draws.

    Returns:
        Points, (N, P, 2).
    """
    kept = POINTS - draws.fresh.shape[1]
    order = (-values_at(logits, draws.candidates).abs()).topk(kept, dim=1).indices
    chosen = draws.candidates.gather(1, order.unsqueeze(-1).expand(-1, -1, 2))
    return torch.cat([chosen, draws.fresh], dim=1)
