"""The prompt adapter: finer dense and sparse prompts out of the decoder's own tokens.

PA-SAM, section 3.2 (adapter) and 3.3 (hard point mining by Gumbel top-k). The maps at twice the
grid are ours, not the reference's: its maps have the grid's cells, which are coarser than what
they judge.
"""

# Shapes: N prompts, n tokens each, C channels, a grid of g x g image tokens, maps of h x h cells
# (h = g, or 2g with finer maps) or K in a row, k mined points of each sign.

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import pasam.models.before_segment_anything  # noqa: F401
from pasam.config.schema import AdapterParams
from pasam.errors import ShapeError
from pasam.models.base_sam import to_device
from segment_anything.modeling.common import LayerNorm2d
from segment_anything.modeling.mask_decoder import MLP
from segment_anything.modeling.transformer import Attention

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
    exponential = torch.empty(maps, 2, cells, device=source).exponential_(generator=generator)
    return to_device(-exponential.log(), device)


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


class ChannelNorm(LayerNorm2d):  # type: ignore[misc]  # the package has no types
    """Normalise every pixel over its channels, as `LayerNorm2d` does.

    Written out as means and squares, the original passes over its input eight times; at mask
    resolution that is half the time of a convolution block's training step.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised tensor, (N, C, H, W) like `x`; its memory is channels-last."""
        last = x.permute(0, 2, 3, 1)
        normal = F.layer_norm(last, self.weight.shape, self.weight, self.bias, self.eps)
        return normal.permute(0, 3, 1, 2)


def enlarged(rows: Tensor, layer: nn.ConvTranspose2d) -> Tensor:
    """Apply a transposed convolution whose kernel and stride are 2: one matrix product.

    As a convolution it costs three times as much on a CPU, and more still going back.

    Args:
        rows: Cells with their channels last, (..., C).
        layer: From C to C' channels.

    Returns:
        The four parts of every cell, upper left, upper right, lower left, lower right,
        (..., 4, C').
    """
    weight = layer.weight.permute(2, 3, 1, 0).flatten(0, 2)  # (4 * C', C)
    assert layer.bias is not None, "SAM's layers have a bias"
    parts = F.linear(rows, weight, layer.bias.repeat(4))
    return parts.reshape(*rows.shape[:-1], 4, layer.out_channels)


def channel_norm(rows: Tensor, layer: LayerNorm2d) -> Tensor:
    """Normalise as a `LayerNorm2d` does, where the channels are last already."""
    return F.layer_norm(rows, layer.weight.shape, layer.weight, layer.bias, layer.eps)


class FinerMaps(nn.Module):
    """Features of twice the grid, and tokens as narrow as these.

    Args:
        dim: Channels C; a multiple of 4.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.enlarge = nn.ConvTranspose2d(dim, dim // 4, kernel_size=2, stride=2)
        self.norm = ChannelNorm(dim // 4)
        self.shrink = nn.Linear(dim, dim // 4)
        """From a token, (N, C), to its projection, (N, C/4)."""

    def forward(self, consistent: Tensor, detail: Tensor) -> Tensor:
        """Enlarge the dense prompt and add the image's own detail.

        Args:
            consistent: Consistent representation, (N, g*g, C).
            detail: Guiding features at twice the grid, (N, C/4, 2g, 2g).

        Returns:
            Features, row by row, (N, 4*g*g, C/4).
        """
        grid = math.isqrt(consistent.shape[1])
        parts = F.gelu(channel_norm(enlarged(consistent, self.enlarge), self.norm))
        # From cell by cell to row by row: (N, g, g, 2, 2, .) to (N, g, 2, g, 2, .).
        split = parts.reshape(parts.shape[0], grid, grid, 2, 2, -1)
        own: Tensor = split.transpose(2, 3).flatten(1, 4)
        return own + detail.flatten(2).transpose(1, 2)


def to_grid(maps: Tensor, cells: int) -> Tensor:
    """Average maps, (N, h*h), to as many cells as the grid has; maps of that size stay."""
    if maps.shape[1] == cells:
        return maps
    side, grid = math.isqrt(maps.shape[1]), math.isqrt(cells)
    square = maps.reshape(maps.shape[0], 1, side, side)
    return F.avg_pool2d(square, kernel_size=side // grid).flatten(1)


UNSURE = 0.5
"""Uncertainty from which the refined mask is trained, and used, in the coarse one's place."""
OUT_OF_QUESTION = 1e4
"""What is taken off a score, in (-1, 1), so that no noise chooses its cell before any other."""
MASK_ROW = 1
"""Row of the first mask token, behind the iou token."""

WHOLE = AdapterParams(dense=True, sparse=True, tokens=True, maps="grid", fine=False, start="random")
"""The reference's adapter."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mining:
    """How hard points are mined."""

    sampler: PointSampler
    mode: PickMode
    noise: Tensor | None
    """What the sampler drew for this mode, (N, 2, g*g), for positive points first."""
    point_embeddings: Tensor
    """The prompt encoder's embeddings of a background and a foreground point, (2, C)."""
    uncertain_only: bool = False
    """Whether only cells of at least `UNSURE` are mined, as long as there are enough of them."""

    def pick(self, scores: Tensor, sign: int) -> Picks:
        """Take cells by scores, (N, g*g), of positive points (sign 0) or of negative ones (1)."""
        return self.sampler.pick(
            self.mode, scores, None if self.noise is None else self.noise[:, sign]
        )


class AdapterMaps(NamedTuple):
    """What the mask token and the two new tokens see."""

    uncertainty: Tensor
    """Probability that the coarse mask needs the refined one, (N, h*h) in [0, 1]."""
    coarse: Tensor
    """Mask logits by the mask token, (N, h*h)."""
    refined: Tensor
    """Mask logits by the refined token, (N, h*h)."""


class AdapterOutput(NamedTuple):
    """What the adapter hands to the decoder and what it is trained on."""

    tokens: Tensor
    """What is added to the tokens, (N, n, C) or, with mined points, (N, n + 2k, C)."""
    dense: Tensor
    """What is added to the image tokens, the refined dense prompt, (N, g*g, C)."""
    query_pe: Tensor
    """Position code of the tokens, of the shape of `tokens`."""
    maps: AdapterMaps | None
    """Its maps; None without the uncertain and the refined token."""
    positive: Tensor | None
    """Cells of the positive points, ascending, (N, k) int64; None without mining."""
    negative: Tensor | None
    """Cells of the negative points, ascending, (N, k) int64; None without mining."""


class PromptAdapter(nn.Module):
    """Refine the mask token, the image tokens and, by mined points, the sparse prompt.

    Args:
        dim: Channels C; a multiple of 4.
        num_heads: Heads of the cross attention.
        parts: Which parts it has. It is built whole and then cut, so that what is left starts
            from the same random values as in the whole.
    """

    def __init__(self, *, dim: int, num_heads: int, parts: AdapterParams = WHOLE) -> None:
        super().__init__()
        self.parts = parts
        self.static_uncertain_token = nn.Embedding(1, dim)
        self.static_refined_token = nn.Embedding(1, dim)
        self.uncertain_mlp = MLP(2 * dim, dim // 4, dim, 3)
        self.refined_mlp = MLP(2 * dim, dim // 4, dim, 3)
        self.cross_attn_token_to_image = Attention(dim, num_heads, downsample_rate=2)
        self.finer_maps = FinerMaps(dim) if parts.maps == "double" else None
        if parts.start == "sam":
            zero(self.cross_attn_token_to_image.out_proj)
            zero(self.refined_mlp.layers[-1])
        if not parts.tokens:
            del self.static_uncertain_token, self.static_refined_token
            del self.uncertain_mlp, self.refined_mlp
        if not (parts.tokens or parts.sparse):
            del self.cross_attn_token_to_image

    def forward(
        self,
        tokens: Tensor,
        keys: Tensor,
        query_pe: Tensor,
        key_pe: Tensor,
        *,
        guiding: Tensor,
        detail: Tensor | None = None,
        mining: Mining | None,
    ) -> AdapterOutput:
        """Adapt the prompt.

        Args:
            tokens: Tokens after the block's self attention, (N, n, C).
            keys: Image tokens of the block before, (N, g*g, C).
            query_pe: Position code of the tokens, (N, n, C).
            key_pe: Position code of the grid, (1 or N, g*g, C).
            guiding: Guiding embedding of each prompt's image, (N, g*g, C).
            detail: Guiding features at twice the grid, (N, C/4, 2g, 2g), for finer maps.
            mining: How hard points are mined; None adds no points.

        Returns:
            What is added to tokens, image tokens and position codes, and the adapter's own maps.
        """
        parts = self.parts
        consistent = guiding * keys
        change, maps = torch.zeros_like(tokens), None
        if parts.sparse or parts.tokens:
            attended = self.cross_attn_token_to_image(
                q=tokens + query_pe, k=consistent + key_pe, v=consistent
            )
            change = attended if parts.sparse else change
        if parts.tokens:
            mask_token = attended[:, MASK_ROW]
            uncertain_token = self._mix(self.uncertain_mlp, self.static_uncertain_token, mask_token)
            refined_token = self._mix(self.refined_mlp, self.static_refined_token, mask_token)
            change = torch.cat(
                [change[:, :MASK_ROW], refined_token[:, None], change[:, MASK_ROW + 1 :]], dim=1
            )
            seen = consistent
            if self.finer_maps is not None:
                assert detail is not None, "finer maps need the guiding features at twice the grid"
                seen = self.finer_maps(consistent, detail)
            maps = AdapterMaps(
                uncertainty=self._project(seen, uncertain_token).sigmoid(),
                coarse=self._project(seen, mask_token),
                refined=self._project(seen, refined_token),
            )
        dense = consistent if parts.dense else torch.zeros_like(keys)
        adapted = AdapterOutput(change, dense, query_pe, maps, positive=None, negative=None)
        return adapted if mining is None else _with_points(adapted, keys + dense, key_pe, mining)

    def _project(self, seen: Tensor, token: Tensor) -> Tensor:
        """Say how much each cell, (N, h*h, .), is like a token, (N, C): logits, (N, h*h)."""
        fitting = token if self.finer_maps is None else self.finer_maps.shrink(token)
        return (seen @ fitting.unsqueeze(-1)).squeeze(-1)

    @staticmethod
    def _mix(mlp: nn.Module, static: nn.Embedding, mask_token: Tensor) -> Tensor:
        # `shape`, not `len`: an exported graph then takes any number of prompts.
        learned = static.weight.expand(mask_token.shape[0], -1)
        mixed: Tensor = mlp(torch.cat([learned, mask_token], dim=-1))
        return mixed


def zero(layer: nn.Module) -> None:
    """Let a layer begin as nothing; its own weights learn from the first step."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


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
    assert adapted.maps is not None, "hard points are mined from the adapter's maps"
    uncertainty, coarse, refined = adapted.maps
    scores = to_grid(uncertainty * (refined.sigmoid() - coarse.sigmoid()), content.shape[1])
    background, foreground = mining.point_embeddings
    sure = to_grid(uncertainty, content.shape[1]) < UNSURE if mining.uncertain_only else None
    positive, negative = (
        mining.pick(signed if sure is None else signed - OUT_OF_QUESTION * sure, number)
        for number, signed in enumerate((scores, -scores))
    )
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


def _rows(maps: Tensor, picks: Picks) -> Tensor:
    index = picks.cells.unsqueeze(-1).expand(-1, -1, maps.shape[-1])
    return maps.gather(1, index) * picks.weights.unsqueeze(-1)  # (N, k, C)
