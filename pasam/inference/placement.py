"""Where an image lies in the encoder's square input, and the way back to its own pixels."""

# Shapes: H, W of the original image, h, w of its part of the input, S the input's side, m the
# side of a mask's logits, N prompts, C masks of each, g grid cells a side, k points.

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

import pasam.modeling.torchvision_operators  # noqa: F401  (must come before segment_anything)
from pasam.data.transforms import squash
from pasam.errors import DataError
from pasam.modeling.base_sam import PIXEL_MEAN
from segment_anything.utils.transforms import ResizeLongestSide

Resize = Literal["longest", "squash"]
"""`longest` keeps the aspect as SAM does; `squash` fills the square as the reference evaluates."""


@dataclass(frozen=True, slots=True)
class Placement:
    """How one image is brought to the input of the encoder."""

    height: int
    """H of the original image."""
    width: int
    """W of the original image."""
    side: int
    """S of the encoder's input."""
    resize: Resize

    @property
    def inner(self) -> tuple[int, int]:
        """The part of the input that the image fills, (h, w); padding is right and below."""
        if self.resize == "squash":
            return self.side, self.side
        shape = ResizeLongestSide.get_preprocess_shape(self.height, self.width, self.side)
        return int(shape[0]), int(shape[1])

    def resized(self, image: NDArray[np.uint8]) -> Tensor:
        """Resize an RGB image (H, W, 3) to its part of the input, uint8 (3, h, w).

        Raises:
            DataError: The image is so elongated that nothing of it would be left.
        """
        if min(self.inner) < 1:
            raise DataError(
                f"the image is {self.width} x {self.height} pixels: with its aspect kept, its "
                f"short side vanishes at {self.side} pixels. Crop it, or use the resize 'squash'."
            )
        if self.resize == "squash":
            pixels = squash(image, self.side)
        else:
            pixels = ResizeLongestSide(self.side).apply_image(np.ascontiguousarray(image))
        return torch.from_numpy(np.array(pixels)).permute(2, 0, 1).contiguous()

    def padded(self, pixels: Tensor) -> Tensor:
        """Fill the input square with SAM's mean colour, which its normalisation turns to 0.

        Args:
            pixels: The image in its part of the input, uint8 (3, h, w).

        Returns:
            Pixels, float32 (3, S, S) in [0, 255].
        """
        _, h, w = pixels.shape
        mean = torch.tensor(PIXEL_MEAN, device=pixels.device)
        square = mean[:, None, None].repeat(1, self.side, self.side)
        square[:, :h, :w] = pixels
        return square

    def into_input(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Bring x, y of the original image, (..., 2), to pixels of the input, as SAM does."""
        h, w = self.inner
        return np.asarray(xy * np.array([w / self.width, h / self.height]), np.float64)

    def cell_centres(self, cells: Tensor, grid: int) -> NDArray[np.float32]:
        """Find the middles of grid cells in the original image.

        Args:
            cells: Cells row * g + column, (k,).
            grid: Cells g a side.

        Returns:
            Pixel indices x, y, (k, 2); a cell of the padding lies outside the image.
        """
        places = cells.cpu().numpy()
        middles = np.stack([places % grid, places // grid], axis=1) + 0.5
        h, w = self.inner
        scale = np.array([self.width / w, self.height / h]) * (self.side / grid)
        return np.asarray(middles * scale - 0.5, np.float32)

    def at_original_size(self, maps: Tensor) -> Tensor:
        """Bring mask logits or other maps over the input back to the original image.

        `longest` resizes to the input, cuts the padding off and resizes again, as SAM does;
        `squash` resizes once, as the reference evaluates.

        Args:
            maps: (N, C, m, m), at any resolution m.

        Returns:
            (N, C, H, W)
        """
        size = (self.height, self.width)
        if self.resize == "squash":
            return F.interpolate(maps, size, mode="bilinear", align_corners=False)
        h, w = self.inner
        square = (self.side, self.side)
        whole = F.interpolate(maps, square, mode="bilinear", align_corners=False)
        return F.interpolate(whole[..., :h, :w], size, mode="bilinear", align_corners=False)
