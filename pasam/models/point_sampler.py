"""Hard-point sampling: which cells of a score map become additional point prompts.

Shapes: N score maps of K cells each, k cells taken from every map. PA-SAM, section 3.3 ("hard
point mining" by Gumbel top-k).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from pasam.errors import ShapeError

PickMode = Literal["top", "gumbel", "random", "fixed"]
"""The largest scores; a Gumbel sample of them; cells at random; the same random cells always."""
MiningMode = Literal["none"] | PickMode

FIXED_SEED = 0


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
            "lower mining.points or use a larger grid."
        )
    cells = scores.topk(count, dim=-1).indices.sort(dim=-1).values
    return Picks(cells, torch.ones_like(cells, dtype=scores.dtype))


def gumbel_picks(
    scores: Tensor,
    count: int,
    noise: Tensor,
    *,
    score_scale: float = 1.0,
    temperature: float = 1.0,
) -> Picks:
    """Sample cells by Gumbel top-k with a straight-through gradient.

    The relaxed k-hot vector is the sum of k softmaxes, each over what the earlier ones left.
    Going forward its k largest cells count fully; going back the gradient is the relaxed
    vector's.

    Args:
        scores: Score of each cell, (N, K).
        count: Cells k to take from every map.
        noise: Gumbel(0, 1) noise, (N, K).
        score_scale: Factor of the scores. Reference: none, so that scores in (-1, 1) hardly
            matter beside the noise over thousands of cells.
        temperature: Temperature of the softmaxes; the lower, the fewer cells share the gradient.

    Returns:
        The cells, with weights that are 1 and carry the gradient.

    Raises:
        ShapeError: A map has fewer than k cells.
    """
    logits = score_scale * scores.float() + noise
    tiny = torch.finfo(torch.float32).tiny
    taken = torch.zeros_like(logits)
    relaxed = torch.zeros_like(logits)
    for _ in range(count):
        logits = logits + (1 - taken).clamp(min=tiny).log()
        taken = (logits / temperature).softmax(dim=-1)
        relaxed = relaxed + taken
    cells = top_picks(relaxed.detach(), count).cells
    soft = relaxed.gather(-1, cells)
    return Picks(cells, ((1 - soft.detach()) + soft).to(scores.dtype))


@dataclass(frozen=True, kw_only=True, slots=True)
class PointSampler:
    """How a model takes hard points from its scores."""

    points: int
    """Points k of each sign."""
    score_scale: float = 1.0
    temperature: float = 1.0

    def pick(self, mode: PickMode, scores: Tensor, noise: Tensor | None) -> Picks:
        """Take cells of one sign.

        Args:
            mode: How.
            scores: Score of each cell, (N, K).
            noise: Gumbel noise, (N, K); `top` needs none.

        Returns:
            The cells; only `gumbel` lets a gradient through to the scores.
        """
        if mode == "top":
            return top_picks(scores.detach(), self.points)
        assert noise is not None, f"picking by '{mode}' needs noise"
        if mode == "gumbel":
            return gumbel_picks(
                scores, self.points, noise,
                score_scale=self.score_scale, temperature=self.temperature,
            )  # fmt: skip
        return top_picks(noise.to(scores.dtype), self.points)

    @staticmethod
    def noise(
        mode: PickMode,
        maps: int,
        cells: int,
        *,
        generator: torch.Generator | None,
        device: torch.device,
    ) -> Tensor | None:
        """Draw what a mode needs: nothing, fresh noise, or the one noise that never changes.

        Args:
            mode: How points will be taken.
            maps: Number of maps N.
            cells: Cells K of each.
            generator: Source of fresh noise; torch's global one when None.
            device: Where the noise is needed.

        Returns:
            Gumbel noise, (N, 2, K), or None.
        """
        if mode == "top":
            return None
        if mode == "fixed":  # independent of the batch, so that a prediction repeats
            seeded = torch.Generator().manual_seed(FIXED_SEED)
            return gumbel_noise(1, cells, generator=seeded, device=device).expand(maps, -1, -1)
        return gumbel_noise(maps, cells, generator=generator, device=device)
