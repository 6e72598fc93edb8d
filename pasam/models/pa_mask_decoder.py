"""PA-SAM's mask decoder: SAM's, with a guiding embedding and the prompt adapter inside.

The guiding embedding is image and edges as a map on the grid of the image tokens: "the image and
its gradient" that restore detail lost by the encoder (PA-SAM, section 3.2).
"""

# Shapes: B images of S x S pixels, N prompts, n sparse prompt tokens, C channels, g the grid of
# image tokens, m = 4g mask pixels a side, F = C/8 features of a mask pixel, k mined points of each
# sign.

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
from pasam.models.prompt_adapter import (
    UNSURE,
    WHOLE,
    AdapterMaps,
    AdapterOutput,
    ChannelNorm,
    Mining,
    MiningMode,
    PointSampler,
    PromptAdapter,
    channel_norm,
    zero,
)
from pasam.models.sam_mask_decoder import MaskPrediction, SamMaskDecoder, on_map
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


WIDTH = 16
"""Channels of the fine compensation, at the masks' resolution."""
MIDDLE = 32
"""Its channels at half of it."""
REACH = (1, 2, 4, 8)
"""Dilations of its layers at half the resolution: they see 60 mask pixels across."""
SURE = 4.0
"""Logit that counts as sure: the mask enters as tanh(logit / SURE)."""


class FineCompensation(nn.Module):
    """Correct a mask's logits by the image itself, at the masks' resolution.

    Ours, not the reference's: its dense prompt has the grid's cells, sixteen mask pixels each, and
    what the frozen encoder has forgotten of an outline no prompt brings back.

    It ends in a layer of zeros, so that training starts at the masks as they are.

    Args:
        features: Channels F of the mask decoder's upscaled features.
        fold: Pixels of the image's side to one of the mask's, S / m.
    """

    def __init__(self, *, features: int, fold: int) -> None:
        super().__init__()
        self.fold = fold
        self.image = nn.Sequential(
            nn.Conv2d(3 * fold**2 + 1, WIDTH, kernel_size=3, padding=1),
            nn.GELU(),
            nn.Conv2d(WIDTH, WIDTH, kernel_size=3, padding=1),
            nn.GELU(),
        )
        seen = features + WIDTH + 1
        self.shrink = nn.Conv2d(seen, MIDDLE, kernel_size=3, stride=2, padding=1)
        self.reach = nn.ModuleList(
            nn.Conv2d(MIDDLE, MIDDLE, kernel_size=3, padding=step, dilation=step) for step in REACH
        )
        self.back = nn.Conv2d(MIDDLE, WIDTH, kernel_size=1)
        self.join = nn.Conv2d(seen, WIDTH, kernel_size=1)
        self.mix = nn.Conv2d(WIDTH, WIDTH, kernel_size=3, padding=1)
        self.out = nn.Conv2d(WIDTH, 1, kernel_size=1)
        zero(self.out)

    def image_part(self, images: Tensor, edges: Tensor) -> Tensor:
        """Make what serves all prompts of images.

        Args:
            images: Normalised images, (B, 3, S, S).
            edges: 1 on edges, (B, 1, m, m).

        Returns:
            (B, WIDTH, m, m)
        """
        folded = F.pixel_unshuffle(images, self.fold)
        found: Tensor = self.image(torch.cat([folded, edges], dim=1))
        return found

    def forward(self, masks: Tensor, upscaled: Tensor, image: Tensor) -> Tensor:
        """Say what is to be added to masks.

        Args:
            masks: Mask logits, (N, 1, m, m).
            upscaled: Features of every mask pixel, (N, F, m, m).
            image: What `image_part` makes of each prompt's image, (N, WIDTH, m, m).

        Returns:
            Logits, (N, 1, m, m).
        """
        seen = torch.cat([upscaled, image, (masks / SURE).tanh()], dim=1)
        wide = F.gelu(self.shrink(seen))
        for layer in self.reach:
            wide = wide + F.gelu(layer(wide))
        near = F.interpolate(self.back(wide), scale_factor=2.0, mode="nearest") + self.join(seen)
        change: Tensor = self.out(F.gelu(self.mix(F.gelu(near))))
        return change


ADAPTER = ("guiding_conv.", "prompt_adapter.", "fine_compensation.")
MASK_HEAD = ("mask_tokens.", "output_upscaling.", "output_hypernetworks_mlps.")
IOU_HEAD = ("iou_prediction_head.",)

TRAINABLE = (*MASK_HEAD, *ADAPTER)
"""Prefixes of the parameters that the reference trains; the rest is SAM's and stays frozen."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PaPrediction(MaskPrediction):
    """What PA-SAM predicts for N prompts; maps have h x h cells, g or, with finer maps, 2g.

    The reference's iou head is frozen while the masks change, so it ranks no better than SAM's.
    """

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

    def image_features(  # type: ignore[override]  # it sees more of the images
        self, *, image_embeddings: Tensor, images: Tensor, joined: Tensor
    ) -> dict[str, Tensor | None]:
        """Make all that `decode` takes of images, by name, the guiding embedding among it.

        Args:
            image_embeddings: The encoder's outputs, (B, C, g, g).
            images: Normalised images, (B, 3, S, S).
            joined: The same with edges, (B, 4, 4g, 4g), see `guiding_input`.
        """
        made: dict[str, Tensor | None] = {"image_embeddings": image_embeddings, "fine": None}
        if self.fine_compensation is not None:
            made["fine"] = self.fine_compensation.image_part(images, joined[:, 3:])
        if self.prompt_adapter.finer_maps is None:
            return {**made, "guiding": self.guiding(joined), "detail": None}
        found = guided(self.guiding_conv, joined)
        return {**made, "guiding": found.rows, "detail": found.half}

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
            noise: What the decoder's sampler draws for that, (N, 2, g*g); "top" needs none.
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
            how = Mining(
                sampler=self.sampler,
                mode=mining,
                noise=noise,
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


def _prediction(masks: Tensor, iou: Tensor, adapted: AdapterOutput) -> MaskPrediction:
    if adapted.maps is None:
        return MaskPrediction(masks=masks, iou=iou)
    side = math.isqrt(adapted.maps.coarse.shape[1])
    maps = AdapterMaps(*(flat.reshape(-1, 1, side, side) for flat in adapted.maps))
    return PaPrediction(
        masks=masks,
        iou=iou,
        uncertainty=maps.uncertainty,
        final=torch.where(maps.uncertainty >= UNSURE, maps.refined, maps.coarse),
        coarse=maps.coarse,
        refined=maps.refined,
        positive=adapted.positive,
        negative=adapted.negative,
    )
