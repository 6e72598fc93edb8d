"""The oracle: what is left of the ground truth at the resolution of the decoder's masks."""

# Shapes: H and W of the original image.

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pasam.errors import ShapeError


def oracle_mask(mask: NDArray[np.uint8], *, mask_side: int) -> NDArray[np.bool_]:
    """Bring a ground truth down to the mask resolution and back.

    Its score is the ceiling that a decoder of this resolution works under: where it is low, a
    finer grid is needed and no amount of training helps. It is a ceiling in practice rather than
    a bound, since freely chosen logits can place an outline a little better than cell averages.

    Args:
        mask: Ground truth, (H, W) in 0..255, foreground above 128.
        mask_side: Height and width of the decoder's masks.

    Returns:
        The mask as the decoder could hold it, (H, W): cell averages, enlarged bilinearly,
        foreground above one half.

    Raises:
        ShapeError: The mask is not two-dimensional, or `mask_side` is not positive.
    """
    if mask.ndim != 2 or mask_side < 1:
        raise ShapeError(
            "The oracle needs a mask (H, W) and a positive mask side; got "
            f"{mask.shape} and {mask_side}."
        )
    height, width = mask.shape
    truth = (mask > 128).astype(np.float32)
    # One axis at a time: OpenCV averages areas only while no axis is enlarged.
    narrow = _resize(truth, (height, mask_side))
    small = _resize(narrow, (mask_side, mask_side))
    back = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(back > 0.5)


def _resize(array: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Average areas when shrinking to (height, width), interpolate when enlarging."""
    shrinks = size[0] <= array.shape[0] and size[1] <= array.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(array, size[::-1], interpolation=method), dtype=np.float32)
