"""Weights and inputs of the parity runs, made again from (seed, name) alone.

The fixture files store results only. What went in follows from the file's seed: every array is
drawn from `RandomState(crc32(f"{seed}:{name}"))`, weights by their key, inputs by their name.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

LINE_NORMS = (".norm", "norm_final_attn")
MAP_NORMS = {
    "output_upscaling.1",
    "guiding_conv.1",
    "guiding_conv.4",
    "compress_vit_feat.1",
    "embedding_encoder.1",
    "embedding_maskfeature.1",
    "mask_downscaling.1",
    "mask_downscaling.4",
}
EMBEDDINGS = {
    "iou_token",
    "mask_tokens",
    "hf_token",
    "prompt_adapter.static_uncertain_token",
    "prompt_adapter.static_refined_token",
    "not_a_point_embed",
    "no_mask_embed",
    *(f"point_embeddings.{i}" for i in range(4)),
}
TRANSPOSED = {
    f"{name}.{i}"
    for name in ("output_upscaling", "compress_vit_feat", "embedding_encoder")
    for i in (0, 3)
}
GAINS = {
    "prompt_adapter.uncertain_mlp.layers.2.weight": 0.7,
    "prompt_adapter.refined_mlp.layers.2.weight": 0.9,
    "prompt_adapter.cross_attn_token_to_image.q_proj.weight": 2.0,
    "prompt_adapter.cross_attn_token_to_image.k_proj.weight": 2.0,
    "prompt_adapter.cross_attn_token_to_image.out_proj.weight": 0.7,
    "guiding_conv.6.weight": 0.35,
}
"""Factors on 1 / sqrt(fan in) that keep the maps from being nearly constant."""


def stream(seed: int, name: str) -> np.random.RandomState:
    """Return the random stream of one array."""
    return np.random.RandomState(zlib.crc32(f"{seed}:{name}".encode()) & 0xFFFFFFFF)


def weight(seed: int, key: str, shape: tuple[int, ...]) -> np.ndarray:
    """Make the tensor `key` of a state dict."""
    module, leaf = key.rsplit(".", 1)
    normal = stream(seed, key).standard_normal(math.prod(shape)).reshape(shape)
    if leaf == "positional_encoding_gaussian_matrix" or module in EMBEDDINGS:
        values = normal
    elif module in MAP_NORMS or any(part in key for part in LINE_NORMS):
        values = 1 + 0.1 * normal if leaf == "weight" else 0.05 * normal
    elif leaf == "bias":
        values = 0.1 * normal
    else:
        fan_in = shape[0] if module in TRANSPOSED else math.prod(shape[1:])
        of_mlp = ".layers." in key and "mlp" in key
        values = normal * (GAINS.get(key, 1.6 if of_mlp else 1.0) / math.sqrt(fan_in))
    return values.astype(np.float32)


def fill(module: nn.Module, seed: int) -> None:
    """Give a module the weights of this seed."""
    shapes: Mapping[str, torch.Tensor] = module.state_dict()
    module.load_state_dict(
        {key: torch.from_numpy(weight(seed, key, tuple(t.shape))) for key, t in shapes.items()}
    )


def encoder_weight(seed: int, key: str, shape: tuple[int, ...]) -> np.ndarray:
    """Make the tensor `key` of an image encoder's state dict."""
    leaf = key.rsplit(".", 1)[1]
    values = stream(seed, key).standard_normal(math.prod(shape)).reshape(shape)
    if leaf == "running_var":
        values = 1 + 0.2 * np.abs(values)
    elif leaf in ("running_mean", "bias"):
        values = 0.05 * values
    elif leaf == "attention_biases":
        values = 0.3 * values
    elif len(shape) == 1:
        values = 1 + 0.1 * values
    else:
        values = values * (1.2 / math.sqrt(math.prod(shape[1:])))
    return values.astype(np.float32)


def fill_encoder(encoder: nn.Module, seed: int) -> None:
    """Give an image encoder the weights of this seed; counts of batches stay as they are."""
    own = encoder.state_dict()
    drawn = {
        key: torch.from_numpy(encoder_weight(seed, key, tuple(tensor.shape)))
        for key, tensor in own.items()
        if tensor.is_floating_point()
    }
    encoder.load_state_dict({**own, **drawn})


def enlarge(grid: np.ndarray, step: int) -> np.ndarray:
    """Interpolate integers (C, g, g) bilinearly and exactly to (C, (g-1)*step, (g-1)*step)."""
    corners = grid.astype(np.int64)[:, :, None, :, None]
    share = np.arange(step)
    down, right = share[None, None, :, None, None], share[None, None, None, None, :]
    upper, lower = corners[:, :-1], corners[:, 1:]
    above = upper[..., :-1, :] * (step - right) + upper[..., 1:, :] * right
    below = lower[..., :-1, :] * (step - right) + lower[..., 1:, :] * right
    mixed = (above * (step - down) + below * down) // (step * step)
    side = (grid.shape[1] - 1) * step
    return mixed.reshape(len(grid), side, side)


def image(seed: int, index: int) -> np.ndarray:
    """Make an image, (3, 1024, 1024) uint8."""
    draw = stream(seed, f"image{index}")
    base = enlarge(draw.randint(0, 256, (3, 9, 9)), 128)
    middle = enlarge(draw.randint(-60, 61, (3, 65, 65)), 16)
    fine = enlarge(draw.randint(-25, 26, (3, 257, 257)), 4)
    return np.clip(base + middle + fine, 0, 255).astype(np.uint8)


def label(seed: int, index: int) -> np.ndarray:
    """Make a label with soft edges and an object in the middle, (1024, 1024) uint8."""
    grid = stream(seed, f"label{index}").randint(0, 256, (1, 9, 9))
    grid[:, 3:6, 3:6] += 130
    grid[:, :1] -= 160
    grid[:, -1:] -= 160
    grid[:, :, :1] -= 160
    return np.clip((enlarge(grid, 128)[0] - 150) * 24 + 128, 0, 255).astype(np.uint8)


def smooth(seed: int, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Make smooth maps with some noise, (..., 64, 64) float32."""
    draw = stream(seed, name)
    maps = math.prod(shape[:-2])
    coarse = draw.standard_normal((maps, 9, 9))
    noise = draw.standard_normal((maps, 64, 64))
    weights = np.zeros((64, 9))
    i = np.arange(64)
    weights[i, i // 8] += 1 - (i % 8) / 8
    weights[i, i // 8 + 1] += (i % 8) / 8
    values = weights @ coarse @ weights.T + 0.3 * noise
    return values.reshape(shape).astype(np.float32)


def points(seed: int, index: int, mask: np.ndarray) -> np.ndarray:
    """Choose ten foreground pixels as x, y, (10, 2) float32."""
    rows, columns = np.nonzero(mask > 128)
    chosen = stream(seed, f"points{index}").choice(len(columns), 10, replace=False)
    return np.stack([columns[chosen], rows[chosen]], axis=1).astype(np.float32)


def tight_box(mask: np.ndarray) -> np.ndarray:
    """Return the box of the foreground as x0, y0, x1, y1, inclusive pixels, (4,) float32."""
    rows, columns = np.nonzero(mask > 128)
    box = [columns.min(), rows.min(), columns.max(), rows.max()]
    return np.array(box, dtype=np.float32)


def gumbel(seed: int, samples: int) -> np.ndarray:
    """Make Gumbel noise, (samples, 2, 4096) float32: per sample the positive, then the negative."""
    uniform = stream(seed, "gumbel").uniform(1e-6, 1 - 1e-6, (2 * samples, 4096))
    return (-np.log(-np.log(uniform))).astype(np.float32).reshape(samples, 2, 4096)


def uniform(seed: int, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Make uniform draws in [0, 1), float32."""
    return stream(seed, name).uniform(0, 1, shape).astype(np.float32)
