"""Values of maps elsewhere than at their pixels: at points, and at the pixels of larger labels."""

# Shapes: N masks, M candidates of each, P points x, y in [0, 1], maps of h x w, labels of H x W.

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from pasam.models.base_sam import to_device

# Point sampling after PointRend: where a mask's loss is evaluated (HQ-SAM, section 4.1).

POINTS = 112 * 112
"""Points per mask."""
OVERSAMPLE = 3
"""Candidates per point."""
IMPORTANCE = 0.75
"""Share of the points that are the most uncertain candidates; the others are uniform."""


class PointDraws(NamedTuple):
    """Uniform draws that the points are made of."""

    candidates: Tensor
    """(N, M, 2) in [0, 1); the most uncertain are kept."""
    fresh: Tensor
    """(N, P - kept, 2) in [0, 1); all are kept."""


def draw(masks: int, *, generator: torch.Generator | None, device: torch.device) -> PointDraws:
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
        to_device(torch.rand(masks, count, 2, generator=generator, device=source), device)
        for count in (OVERSAMPLE * POINTS, fresh)
    ]
    return PointDraws(*uniform)


def values_at(maps: Tensor, points: Tensor) -> Tensor:
    """Interpolate maps at points, bilinearly, with zeros outside.

    Args:
        maps: (N, 1, h, w).
        points: (N, P, 2).

    Returns:
        The values, (N, P).
    """
    if torch.are_deterministic_algorithms_enabled() and maps.device.type != "cpu":
        return _summed_in_order(maps, points)
    places = (2 * points - 1).unsqueeze(2)  # (N, P, 1, 2)
    return F.grid_sample(maps, places, mode="bilinear", align_corners=False).flatten(1)


def _summed_in_order(maps: Tensor, points: Tensor) -> Tensor:
    """Do as `values_at` by operations whose way back gives the same bits each time on a GPU."""
    height, width = maps.shape[-2:]
    padded = F.pad(maps, (1, 1, 1, 1)).flatten(1)  # zeros outside
    x, y = points[..., 0] * width + 0.5, points[..., 1] * height + 0.5  # pixels' middles, padded
    left, top = x.floor(), y.floor()
    value = torch.zeros_like(x)
    for right in (0, 1):
        for below in (0, 1):
            column = (left + right).clamp(0, width + 1).long()
            row = (top + below).clamp(0, height + 1).long()
            weight = (1 - (x - left - right).abs()) * (1 - (y - top - below).abs())
            value = value + weight * padded.gather(1, row * (width + 2) + column)
    return value


@torch.no_grad()
def uncertain_points(logits: Tensor, draws: PointDraws) -> Tensor:
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


def at_label(maps: Tensor, label: Tensor) -> Tensor:
    """Resize (N, 1, h, w) maps to the label's size, (N, H, W)."""
    return resized_to(maps.float(), label, align_corners=False)


def resized_to(maps: Tensor, label: Tensor, *, align_corners: bool) -> Tensor:
    """Do as `at_label`, with the corners of both at the same places or not."""
    larger: Tensor = _Resize.apply(  # type: ignore[no-untyped-call]  # torch leaves it untyped
        maps, label.shape[-2:], align_corners
    )
    return larger.squeeze(1)


class _Resize(torch.autograd.Function):
    """Bilinear resizing, forward torch's own; going back it is two matrix products.

    Torch's own way back visits pixel by pixel: on a CPU it takes ten times as long as the rest.
    """

    @staticmethod
    def forward(ctx: Any, maps: Tensor, size: tuple[int, int], align_corners: bool) -> Tensor:
        ctx.sizes = tuple(zip(maps.shape[-2:], size, strict=True))
        ctx.align_corners = align_corners
        return F.interpolate(maps, size=size, mode="bilinear", align_corners=align_corners)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = gradients
        kind = gradient.device, gradient.dtype
        rows, columns = (_line_weights(*pair, ctx.align_corners, *kind) for pair in ctx.sizes)
        return rows @ gradient @ columns.T, None, None


@cache
def _line_weights(short: int, long: int, align_corners: bool, *kind: Any) -> Tensor:
    """Say how much each of `short` values counts in each of `long` interpolated ones."""
    units = torch.eye(short).unsqueeze(0)  # (1, short, short): a line for each value
    weights = F.interpolate(units, size=long, mode="linear", align_corners=align_corners)[0]
    return weights.to(*kind)
