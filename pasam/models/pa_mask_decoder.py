"""PA-SAM's mask decoder: SAM's, with a guiding embedding and the prompt adapter inside.

The guiding embedding is image and edges as a map on the grid of the image tokens: "the image and
its gradient" that restore detail lost by the encoder (PA-SAM, section 3.2).
"""

# Shapes: B images of S x S pixels, N prompts, n sparse prompt tokens, C channels, g the grid of
# image tokens, k mined points of each sign.

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple, cast

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pasam.config.schema import AdapterParams
from pasam.models.base_sam import PIXEL_MEAN, PIXEL_STD
from pasam.models.fine_compensation import FineCompensation
from pasam.models.prompt_adapter import (
    WHOLE,
    AdapterMaps,
    AdapterOutput,
    ChannelNorm,
    Mining,
    MiningMode,
    PickMode,
    Picks,
    PointSampler,
    PromptAdapter,
    channel_norm,
    zero,
)
from pasam.models.sam_mask_decoder import SamMaskDecoder, on_map
from pasam.models.two_way_transformer import AdaptedTwoWayTransformer

EdgeMode = Literal["reference", "image"]

CANNY_THRESHOLDS = (10, 100)


def edge_channel(normalised: Tensor, mode: EdgeMode) -> Tensor:
    """Find Canny edges.

    "reference" casts the normalised values, about -2.1 to 2.7, to uint8 as x86 does: truncated
    toward zero, then modulo 256. Only 254, 255, 0, 1 and 2 remain, so that the edges are a
    silhouette at one grey level. The cast is spelt out, since other processors saturate and
    would give no edge at all. "image" undoes the normalisation first and finds the edges that
    one sees.

    Args:
        normalised: Images less SAM's mean over its deviation, (B, 3, s, s).
        mode: Which uint8 image is given to Canny.

    Returns:
        1 on edges and 0 elsewhere, (B, 1, s, s), of the images' type and device.
    """
    values = normalised.detach().float()
    if mode == "reference":
        pixels = values.trunc().to(torch.int64).remainder(256)
    else:
        mean = values.new_tensor(PIXEL_MEAN)[:, None, None]
        std = values.new_tensor(PIXEL_STD)[:, None, None]
        pixels = (values * std + mean).round().clamp(0, 255)
    batch = pixels.to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()  # (B, s, s, 3)
    edges = [cv2.Canny(np.ascontiguousarray(image), *CANNY_THRESHOLDS) > 0 for image in batch]
    return torch.from_numpy(np.stack(edges)).unsqueeze(1).to(normalised)


def guiding_input(images: Tensor, grid: int, mode: EdgeMode, edges: Tensor | None = None) -> Tensor:
    """Resize images to four times the grid and join their edges.

    Args:
        images: Normalised images, (B, 3, S, S).
        grid: Grid g of the image tokens.
        mode: Which edges are found, see `edge_channel`.
        edges: What was found already, (B, 1, 4g, 4g); None to look now, for which a GPU has to be
            waited for.

    Returns:
        Image and edges, (B, 4, 4g, 4g).
    """
    small = shrunk(images, grid)
    found = edge_channel(small, mode) if edges is None else edges.to(small)
    return torch.cat([small, found], dim=1)


def shrunk(images: Tensor, grid: int) -> Tensor:
    """Resize images (B, 3, S, S) to four times the grid, (B, 3, 4g, 4g)."""
    size = (4 * grid, 4 * grid)
    return F.interpolate(images, size=size, mode="bilinear", align_corners=False)


def guiding_conv(dim: int) -> nn.Sequential:
    """Build the network that turns image and edges into the map that guides the adapter.

    Args:
        dim: Channels C of the embedding; a multiple of 4.

    Returns:
        A network from (B, 4, 4g, 4g) to (B, C, g, g); its parameters are named 0, 1, 3, 4 and 6
        as the reference's.
    """
    return nn.Sequential(
        nn.Conv2d(4, dim // 4, kernel_size=2, stride=2),
        ChannelNorm(dim // 4),
        nn.GELU(),
        nn.Conv2d(dim // 4, dim, kernel_size=2, stride=2),
        ChannelNorm(dim),
        nn.GELU(),
        nn.Conv2d(dim, dim, kernel_size=1),
    )


class Guided(NamedTuple):
    """What a guiding network makes of images with edges."""

    half: Tensor
    """Its features half way, at twice the grid, (B, C/4, 2g, 2g); memory is channels-last."""
    rows: Tensor
    """The guiding embedding, row by row, (B, g*g, C)."""


def guided(layers: nn.Sequential, joined: Tensor) -> Guided:
    """Run a guiding network by matrix products, cell by cell: kernel and stride are the same.

    Args:
        layers: Made by `guiding_conv`.
        joined: Images with edges, (B, 4, 4g, 4g).
    """
    first, norm, _, second, last_norm, _, last = (cast("Any", layer) for layer in layers)
    grid = joined.shape[-1] // 4
    # Row and column split into cell, its part (a, b), and the part's pixel (c, d).
    pixels = joined.reshape(joined.shape[0], -1, grid, 2, 2, grid, 2, 2)  # (B, 4, g, a, c, g, b, d)
    parts = pixels.permute(0, 2, 5, 3, 6, 1, 4, 7).flatten(5)  # (B, g, g, a, b, 16)
    half = F.gelu(channel_norm(F.linear(parts, first.weight.flatten(1), first.bias), norm))
    weight = second.weight.permute(0, 2, 3, 1).flatten(1)  # over a, b and the channels
    cells = F.linear(half.flatten(3).flatten(1, 2), weight, second.bias)  # (B, g*g, C)
    rows = F.linear(F.gelu(channel_norm(cells, last_norm)), last.weight.flatten(1), last.bias)
    square = half.transpose(2, 3).reshape(joined.shape[0], 2 * grid, 2 * grid, -1)
    return Guided(half=square.permute(0, 3, 1, 2), rows=rows)


ADAPTER = ("guiding_conv.", "prompt_adapter.", "fine_compensation.")
MASK_HEAD = ("mask_tokens.", "output_upscaling.", "output_hypernetworks_mlps.")
IOU_HEAD = ("iou_prediction_head.",)

TRAINABLE = (*MASK_HEAD, *ADAPTER)
"""Prefixes of the parameters that the reference trains; the rest is SAM's and stays frozen."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskPrediction:
    """Masks of N prompts."""

    masks: Tensor
    """The prediction: mask logits, (N, 1, 4g, 4g)."""
    iou: Tensor
    """Predicted IoU of SAM's four masks, (N, 4), or of the chosen one with multimask, (N, 1).

    The reference's head is frozen while the masks change, so it ranks no better than SAM's.
    """


@dataclass(frozen=True, kw_only=True, slots=True)
class PaPrediction(MaskPrediction):
    """What PA-SAM predicts for N prompts; maps have h x h cells, g or, with finer maps, 2g."""

    uncertainty: Tensor
    """Probability that the coarse mask needs the refined one, (N, 1, h, h) in [0, 1]."""
    final: Tensor
    """Refined logits where uncertain, coarse ones elsewhere, (N, 1, h, h); for inspection."""
    coarse: Tensor
    """Mask logits by the mask token, (N, 1, h, h)."""
    refined: Tensor
    """Mask logits by the refined token, (N, 1, h, h)."""
    positive: Tensor | None
    """Cells (row * g + column) of the positive points, (N, k) int64; None without mining."""
    negative: Tensor | None
    """Cells of the negative points, (N, k) int64; None without mining."""


class PaMaskDecoder(SamMaskDecoder):
    """SAM's mask decoder with the prompt adapter in its transformer's last block.

    All that has a default is the reference's choice.

    Args:
        transformer_dim: Channels C.
        transformer: The adapted two-way transformer.
        gradient: Which edges guide the adapter, see `edge_channel`.
        mining_points: Hard points k of each sign.
        score_scale: Factor of the mining score beside Gumbel noise.
        mines_uncertain_only: Whether only uncertain cells are mined.
        temperature: Temperature of the Gumbel relaxation.
        predicts_by: How points are mined in prediction.
        parts: Which parts the adapter has.
        trainable: Prefixes of the parameters that are trained.
        iou_head_hidden_dim: Hidden width of SAM's iou head.
        fold: Pixels of the image's side to one of the mask's, for an adapter with `fine`.
    """

    def __init__(
        self,
        *,
        transformer_dim: int,
        transformer: AdaptedTwoWayTransformer,
        gradient: EdgeMode,
        mining_points: int,
        score_scale: float = 1.0,
        mines_uncertain_only: bool = False,
        temperature: float = 1.0,
        predicts_by: MiningMode = "top",
        parts: AdapterParams = WHOLE,
        trainable: tuple[str, ...] = TRAINABLE,
        iou_head_hidden_dim: int = 256,
        fold: int = 4,
    ) -> None:
        super().__init__(
            transformer_dim=transformer_dim,
            transformer=transformer,
            iou_head_hidden_dim=iou_head_hidden_dim,
        )
        self.sampler = PointSampler(
            points=mining_points, score_scale=score_scale, temperature=temperature
        )
        self.mines_uncertain_only = mines_uncertain_only
        self.predicts_by: MiningMode = predicts_by
        self.trainable = trainable
        self.gradient: EdgeMode = gradient
        self.guiding_conv = guiding_conv(transformer_dim)
        self.prompt_adapter = PromptAdapter(
            dim=transformer_dim, num_heads=transformer.num_heads, parts=parts
        )
        if parts.start == "sam":
            zero(self.guiding_conv[-1])
        if not parts.guided():
            del self.guiding_conv
        self.fine_compensation = (
            FineCompensation(features=transformer_dim // 8, fold=fold) if parts.fine else None
        )

    def guiding(self, joined: Tensor) -> Tensor:
        """Make the guiding embedding of images; it serves all their prompts.

        Args:
            joined: Images with edges, (B, 4, 4g, 4g), see `guiding_input`.

        Returns:
            Guiding embedding, row by row, (B, g*g, C); zeros for an adapter without parts.
        """
        if not self.prompt_adapter.parts.guided():
            cells = joined.shape[-1] ** 2 // 16
            return joined.new_zeros(len(joined), cells, self.transformer_dim)
        return guided(self.guiding_conv, joined).rows

    def image_features(self, images: Tensor, joined: Tensor) -> dict[str, Tensor | None]:
        """Make all that `decode` needs of images, the guiding embedding among it.

        Args:
            images: Normalised images, (B, 3, S, S).
            joined: The same with edges, (B, 4, 4g, 4g), see `guiding_input`.
        """
        fine = None
        if self.fine_compensation is not None:
            fine = self.fine_compensation.image_part(images, joined[:, 3:])
        if self.prompt_adapter.finer_maps is None:
            return {"guiding": self.guiding(joined), "detail": None, "fine": fine}
        found = guided(self.guiding_conv, joined)
        return {"guiding": found.rows, "detail": found.half, "fine": fine}

    def decode(  # type: ignore[override]  # it needs the guiding embedding and how to mine
        self,
        *,
        image_embeddings: Tensor,
        image_pe: Tensor,
        sparse: Tensor,
        dense: Tensor,
        image_index: Tensor,
        absent: Tensor | None = None,
        guiding: Tensor,
        detail: Tensor | None = None,
        fine: Tensor | None = None,
        point_embeddings: Tensor,
        mining: MiningMode,
        generator: torch.Generator | None = None,
        noise: Tensor | None = None,
        multimask: bool = False,
    ) -> MaskPrediction:
        """Predict the masks of N prompts of B images.

        Args:
            image_embeddings: The encoder's outputs, (B, C, g, g).
            image_pe: Position code of the grid, (1, C, g, g).
            sparse: Sparse prompt embeddings, (N, n, C).
            dense: Dense prompt embeddings, (N, C, g, g).
            image_index: Which image each prompt belongs to, (N,) int64 in [0, B).
            absent: Which sparse embeddings are not there, bool (N, n); see `exchange`.
            guiding: What `guiding` makes of the images, (B, g*g, C).
            detail: Guiding features at twice the grid, (B, C/4, 2g, 2g), for finer maps.
            fine: The images' part of fine compensation, (B, 16, 4g, 4g).
            point_embeddings: The prompt encoder's embeddings of a background and a foreground
                point, (2, C).
            mining: "none" adds no points; "gumbel" samples them, for training; "top" takes the
                highest scores, for prediction; "random" and "fixed" ignore the scores.
            generator: Source of the Gumbel noise; torch's global one when None.
            noise: Gumbel noise that is already drawn, (N, 2, g*g), positive sample first.
            multimask: Give the better of masks 1 and 2 in place of mask 0.
                Reference: its slice drops mask 3; kept because its results are compared with.

        Returns:
            The masks and, if the adapter makes maps, a `PaPrediction` with them.

        Raises:
            ShapeError: Prompts, index and images do not fit together, or the grid has fewer
                cells than points are to be mined.
        """
        source = self.image_side(image_embeddings, dense, image_index)
        grid = source.shape[-1]
        how = None
        if mining != "none":
            if noise is None:
                noise = self.sampler.noise(
                    mining, len(sparse), grid**2, generator=generator, device=source.device
                )
            how = Mining(
                pick=partial(_pick, self.sampler, mining, noise),
                point_embeddings=point_embeddings,
                uncertain_only=self.mines_uncertain_only,
            )
        adapt = partial(
            self.prompt_adapter,
            guiding=guiding[image_index],
            detail=None if detail is None else detail[image_index],
            mining=how,
        )
        tokens, keys, adapted = self.exchange(source, image_pe, sparse, absent, adapt)
        parts = None
        if multimask:
            upscaled = self.upscale(keys, grid)
            masks = self.sam_masks(tokens, upscaled)
        else:
            parts = self.upscaled_parts(keys)
            masks = self.first_mask(tokens, parts)
        # Detached, so that a quality head that learns changes no mask.
        iou = self.iou_prediction_head(tokens[:, 0].detach())
        if multimask:
            masks, iou = self.best_of(masks[:, 1:3], iou[:, 1:3])
        masks = masks[:, :1]
        if self.fine_compensation is not None:
            assert fine is not None, "fine compensation needs the images' part of it"
            features = upscaled if parts is None else on_map(parts)
            masks = masks + self.fine_compensation(masks, features, fine[image_index])
        return _prediction(masks, iou, adapted)


def _pick(
    sampler: PointSampler, mode: PickMode, noise: Tensor | None, scores: Tensor, sign: int
) -> Picks:
    return sampler.pick(mode, scores, None if noise is None else noise[:, sign])


def _prediction(masks: Tensor, iou: Tensor, adapted: AdapterOutput) -> MaskPrediction:
    if adapted.maps is None:
        return MaskPrediction(masks=masks, iou=iou)
    side = math.isqrt(adapted.maps.coarse.shape[1])
    maps = AdapterMaps(*(flat.reshape(-1, 1, side, side) for flat in adapted.maps))
    return PaPrediction(
        masks=masks,
        iou=iou,
        uncertainty=maps.uncertainty,
        final=torch.where(maps.uncertainty >= 0.5, maps.refined, maps.coarse),
        coarse=maps.coarse,
        refined=maps.refined,
        positive=adapted.positive,
        negative=adapted.negative,
    )
