"""Images made worse: out of focus, noisy, or squeezed by JPEG, each at a stated strength."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Kind = Literal["blur", "noise", "jpeg"]


@dataclass(frozen=True, slots=True)
class Corruption:
    """One way of making an image worse."""

    kind: Kind
    strength: int
    """1, 2, ...: its place among the amounts of its kind."""
    amount: float
    """Blur: deviation as a share of the shorter side; noise: deviation in grey levels; JPEG:
    quality."""

    @property
    def name(self) -> str:
        """As in the column `corruption` of the scores."""
        return f"{self.kind}_{self.strength}"


def corruptions(amounts: dict[Kind, Sequence[float]]) -> list[Corruption]:
    """List every kind at every strength."""
    return [
        Corruption(kind, strength, amount)
        for kind, values in amounts.items()
        for strength, amount in enumerate(values, start=1)
    ]


def corrupt(
    image: NDArray[np.uint8], corruption: Corruption, *, name: str, seed: int
) -> NDArray[np.uint8]:
    """Make an image worse.

    Args:
        image: RGB image at its original size, (H, W, 3).
        corruption: How.
        name: What the image is known by; with the seed, it decides on the noise, which all
            strengths share.
        seed: Seed of the noise.

    Returns:
        The image, (H, W, 3).
    """
    if corruption.kind == "blur":
        deviation = corruption.amount * min(image.shape[:2])
        blurred = cv2.GaussianBlur(image, (0, 0), deviation, borderType=cv2.BORDER_REFLECT_101)
        return np.asarray(blurred, dtype=np.uint8)
    if corruption.kind == "noise":
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        noise = rng.standard_normal(image.shape, dtype=np.float32)
        noisy = np.rint(image + np.float32(corruption.amount) * noise)
        return np.clip(noisy, 0, 255).astype(np.uint8)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(corruption.amount)]
    _, packed = cv2.imencode(".jpg", image[:, :, ::-1], quality)
    unpacked = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), dtype=np.uint8)
    return np.ascontiguousarray(unpacked[:, :, ::-1])
