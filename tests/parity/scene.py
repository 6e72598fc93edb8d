"""Two images with all their prompts, and one recorded file with how it is compared.

Shapes: B = 2 images of 1024 x 1024 pixels, C = 256 channels, a grid of 64 x 64.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import reference_inputs as inputs
import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn import functional as F

import pasam.models.before_segment_anything  # noqa: F401
from segment_anything.modeling import PromptEncoder

BATCH, DIM, GRID, SIDE = 2, 256, 64, 1024
KINDS = ("box", "points", "mask")
TOLERANCE = 2e-4
"""Largest difference, relative to the largest magnitude of the recorded tensor."""
NORM_TOLERANCE = 1e-4
"""Largest relative difference of a gradient's norm."""
ZERO_GRADIENT = 1e-5
"""A gradient that is exactly zero in theory (a softmax ignores its keys' bias) is noise."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A file of recorded results."""

    seed: int
    tensors: dict[str, Tensor]
    metadata: dict[str, str]

    @classmethod
    def read(cls, path: Path) -> Recording:
        """Read a fixture file."""
        with safe_open(path, "pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            metadata = file.metadata()
            return cls(int(metadata["seed"]), tensors, metadata)

    def under(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors whose name starts with `prefix`, without it."""
        return {k.removeprefix(prefix): v for k, v in self.tensors.items() if k.startswith(prefix)}


@dataclass(frozen=True, slots=True)
class Prompt:
    """Embedded prompts of both images."""

    sparse: Tensor
    """(B, n, C)."""
    dense: Tensor
    """(B, C, 64, 64)."""

    def of(self, index: int) -> dict[str, Tensor]:
        """Return one image's prompt as arguments of a decoder."""
        return {
            "sparse": self.sparse[index : index + 1],
            "dense": self.dense[index : index + 1],
            "image_index": torch.tensor([index]),
        }

    def both(self) -> dict[str, Tensor]:
        """Return both images' prompts as arguments of a decoder."""
        return {
            "sparse": self.sparse,
            "dense": self.dense,
            "image_index": torch.arange(BATCH),
        }


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything of a seed that does not depend on the decoder."""

    raw: Tensor
    """Images, (B, 3, 1024, 1024) uint8."""
    images: Tensor
    """Normalised images, (B, 3, 1024, 1024)."""
    labels: Tensor
    """(B, 1024, 1024) uint8."""
    boxes: Tensor
    points: Tensor
    embeddings: Tensor
    image_pe: Tensor
    prompts: dict[str, Prompt]
    point_embeddings: Tensor

    def shared(self) -> dict[str, Tensor]:
        """Return the arguments that every decoder takes."""
        return {"image_embeddings": self.embeddings, "image_pe": self.image_pe}


@cache
@torch.no_grad()
def scene(seed: int) -> Scene:
    """Make the scene of a seed."""
    raw = torch.from_numpy(np.stack([inputs.image(seed, b) for b in range(BATCH)]))
    labels = [inputs.label(seed, b) for b in range(BATCH)]
    mean = torch.tensor([123.675, 116.28, 103.53])[:, None, None]
    std = torch.tensor([58.395, 57.12, 57.375])[:, None, None]
    boxes = torch.from_numpy(np.stack([inputs.tight_box(label) for label in labels]))
    points = np.stack([inputs.points(seed, b, label) for b, label in enumerate(labels)])
    encoder = PromptEncoder(
        embed_dim=DIM,
        image_embedding_size=(GRID, GRID),
        input_image_size=(SIDE, SIDE),
        mask_in_chans=16,
    )
    inputs.fill(encoder, seed)
    stacked = torch.from_numpy(np.stack(labels))
    embeddings = inputs.smooth(seed, "image_embeddings", (BATCH, DIM, GRID, GRID))
    place = torch.from_numpy(points)
    return Scene(
        raw=raw,
        images=(raw.float() - mean) / std,
        labels=stacked,
        boxes=boxes,
        points=place,
        embeddings=torch.from_numpy(embeddings),
        image_pe=encoder.get_dense_pe(),
        prompts=_prompts(encoder, boxes, place, stacked),
        point_embeddings=torch.cat([encoder.point_embeddings[i].weight for i in (0, 1)]),
    )


def _prompts(
    encoder: PromptEncoder, boxes: Tensor, points: Tensor, labels: Tensor
) -> dict[str, Prompt]:
    small = F.interpolate(labels[:, None].float(), size=(256, 256), mode="bilinear")
    masks = (small > 128).float() * 255
    of_points = (points, torch.ones(points.shape[:2]))
    return {
        "box": Prompt(*encoder(points=None, boxes=boxes, masks=None)),
        "points": Prompt(*encoder(points=of_points, boxes=None, masks=None)),
        "mask": Prompt(*encoder(points=None, boxes=None, masks=masks)),
    }


def difference(found: Tensor, recorded: Tensor) -> float:
    """Return the largest difference relative to the recorded tensor's scale."""
    assert found.shape == recorded.shape, (tuple(found.shape), tuple(recorded.shape))
    scale = recorded.abs().max().clamp(min=1e-12)
    return float((found.detach() - recorded).abs().max() / scale)


def thinned(maps: Tensor) -> Tensor:
    """Keep every fourth pixel of 256 x 256 maps, as the files do."""
    return maps[..., ::4, ::4]


def require_gradients(found: dict[str, Tensor], recorded: dict[str, Tensor]) -> None:
    """Compare the norm of every trainable tensor's gradient."""
    assert set(found) == set(recorded)
    for key, norm in recorded.items():
        mine, expected = float(found[key].norm()), float(norm)
        close = abs(mine - expected) <= NORM_TOLERANCE * expected
        assert close or max(mine, expected) < ZERO_GRADIENT, (key, mine, expected)


def gradients(module: torch.nn.Module, prefixes: tuple[str, ...]) -> dict[str, Tensor]:
    """Return the gradients of the trainable tensors."""
    return {
        key: torch.zeros_like(value) if value.grad is None else value.grad.clone()
        for key, value in module.named_parameters()
        if key.startswith(prefixes)
    }
