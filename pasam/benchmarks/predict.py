"""From images and prompts to masks, as every benchmark does it: one encoding, one protocol.

No gradient, points mined as the model mines in prediction, logits resized bilinearly straight to
the original size, foreground above 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from pasam.errors import ParamsError
from pasam.modeling.base_sam import BaseSam, Encoded
from pasam.modeling.segmenter import Prediction, Prompts, Segmenter
from pasam.training.embeddings import Store

# Shapes: B images, N prompts, k points, S pixels a side of the input, g grid cells a side,
# m mask pixels a side, H, W of the original image.

Pixels = NDArray[np.uint8] | NDArray[np.float32]
"""RGB in 0..255, (B, 3, S, S)."""


def device_of(accelerator: str) -> torch.device:
    """Turn `evaluate.accelerator` into a device; `auto` takes a GPU where there is one.

    Raises:
        ParamsError: A GPU is asked for and there is none.
    """
    has_gpu = torch.cuda.is_available()
    if accelerator == "gpu" and not has_gpu:
        raise ParamsError("evaluate.accelerator is 'gpu', but torch sees none. Take cpu or auto.")
    return torch.device("cuda" if has_gpu and accelerator != "cpu" else "cpu")


def encode(base: BaseSam, images: Pixels) -> Encoded:
    """Encode images (B, 3, S, S), rounded to half precision as packed embeddings are.

    A model thus sees the same numbers whether an image was encoded ahead or is encoded now.
    """
    pixels = torch.from_numpy(np.array(images))  # a copy: packed images cannot be written to
    with torch.no_grad():
        encoded = base.encode(pixels.to(_device(base)))
    return Encoded(embedding=encoded.embedding.half().float(), early=encoded.early.half().float())


def encoded_rows(store: Store, rows: Sequence[int]) -> Encoded:
    """Read what the encoder said of some views of a store."""
    return Encoded(
        embedding=torch.from_numpy(store.embedding[rows].astype(np.float32)),
        early=torch.from_numpy(store.early[rows].astype(np.float32)),
    )


def predict(
    segmenter: Segmenter,
    images: Pixels,
    encoded: Encoded,
    prompts: Sequence[Prompts],
    *,
    image_index: NDArray[np.int64] | None = None,
) -> Prediction:
    """Predict the masks of N prompts.

    Args:
        segmenter: The model, in evaluation mode.
        images: Pixels at the input side, (B, 3, S, S).
        encoded: What the frozen encoder says of them.
        prompts: The prompts.
        image_index: Image of each prompt, (N,); None if there is one prompt for each image.
    """
    device = _device(segmenter)
    index = np.arange(len(images)) if image_index is None else image_index
    with torch.no_grad():
        prediction: Prediction = segmenter(
            images=torch.from_numpy(np.array(images)).to(device),
            encoded=Encoded(embedding=encoded.embedding.to(device), early=encoded.early.to(device)),
            image_index=torch.from_numpy(index).to(device),
            prompts=[_on(device, group) for group in prompts],
        )
    return prediction


def point_prompts(points: Sequence[NDArray[np.float32]]) -> list[Prompts]:
    """Stack equally many foreground points of each object, x, y in input pixels, (k, 2) each."""
    stacked = torch.from_numpy(np.stack(points))
    return [
        Prompts(
            indices=torch.arange(len(points)),
            boxes=None,
            points=stacked,
            point_labels=torch.ones(stacked.shape[:2]),
            masks=None,
        )
    ]


def at_original_size(logits: Tensor, size: tuple[int, ...]) -> NDArray[np.bool_]:
    """Resize mask logits (1, m, m) bilinearly to (H, W) and cut them at 0."""
    height, width = size
    resized = F.interpolate(
        logits[None].float(), size=(height, width), mode="bilinear", align_corners=False
    )
    mask: NDArray[np.bool_] = (resized[0, 0] > 0).cpu().numpy()
    return mask


def batches(count: int, size: int) -> Iterator[slice]:
    """Cut `count` places into slices of at most `size`."""
    for first in range(0, count, size):
        yield slice(first, min(first + size, count))


def _device(module: torch.nn.Module) -> torch.device:
    return next(module.parameters()).device


def _on(device: torch.device, group: Prompts) -> Prompts:
    parts = (group.boxes, group.points, group.point_labels, group.masks)
    moved = (None if part is None else part.to(device) for part in parts)
    return Prompts(group.indices.to(device), *moved)
