"""Where an image lies in the encoder's square input, and an image that the encoder has embedded.

Embed once, prompt as often as one likes: an `EmbeddedImage` is all that a decoder needs, and keeps
what an adapter has once made of it.
"""

# Shapes: H, W of the original image, h, w of its part of the input, S the input's side, m the
# side of a mask's logits, N prompts, C masks of each or channels, E early channels, g grid cells
# a side, k points.

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor
from torch.nn import functional as F

from pasam.errors import CheckpointError, DataError
from pasam.masks.transforms import squash
from pasam.models.base_sam import PIXEL_MEAN, BaseSam, Encoded
from pasam.models.segmenter import KeptFeatures

if TYPE_CHECKING:
    from segment_anything.utils.transforms import ResizeLongestSide

Resize = Literal["longest", "squash"]
"""`longest` keeps the aspect as SAM does; `squash` fills the square as the reference evaluates."""


MASK_THRESHOLD = 0.0
"""Logit above which a pixel belongs to the mask, as in SAM."""
CERTAIN = 10.0
"""Logit of a pixel that a given mask has or has not, as in SAM 2."""
TENSORS = ("pixels", "embedding", "early")
NUMBERS = ("height", "width", "side")


def sam_transform(side: int, resize: Resize) -> ResizeLongestSide:
    """Make SAM's own object that brings images, points and boxes to an input of S pixels a side."""
    from segment_anything.utils.transforms import ResizeLongestSide  # with torchvision: seconds

    transform = ResizeLongestSide(side)
    if resize == "squash":
        transform.get_preprocess_shape = lambda *sizes: (side, side)
        transform.apply_image = lambda image: squash(image, side)
    return transform


@dataclass(frozen=True, slots=True)
class ImageTransform:
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
        scale = self.side / max(self.height, self.width)
        return int(self.height * scale + 0.5), int(self.width * scale + 0.5)

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
            h, w = self.inner
            # What SAM's `ResizeLongestSide` does, by torchvision's detour over Pillow.
            pixels = np.asarray(Image.fromarray(image).resize((w, h), Image.Resampling.BILINEAR))
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

    def mask_logits(self, mask: NDArray[np.bool_], side: int) -> NDArray[np.float32]:
        """Bring a mask of the original image, (H, W), to logits over the input, (side, side)."""
        shown = torch.from_numpy(np.ascontiguousarray(mask))[None, None].float()
        h, w = self.inner
        square = torch.zeros(1, 1, self.side, self.side)
        square[..., :h, :w] = F.interpolate(shown, (h, w), mode="bilinear", antialias=True)
        small = F.interpolate(square, (side, side), mode="bilinear", antialias=True)[0, 0]
        return np.asarray((2 * small - 1) * CERTAIN, np.float32)

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
        return F.interpolate(self._filled(maps), size, mode="bilinear", align_corners=False)

    def masks_at_original_size(self, logits: Tensor) -> Tensor:
        """Bring mask logits back to the original image, where they become masks.

        The same as `at_original_size(logits) > MASK_THRESHOLD`, but rows of the image that lie
        between rows of logits without foreground are not computed: there is none in them.

        Args:
            logits: (N, C, m, m), at any resolution m.

        Returns:
            (N, C, H, W), bool
        """
        logits = self._filled(logits)
        masks = [_foreground(each, self.height, self.width) for each in logits.flatten(0, 1)]
        return torch.stack(masks).reshape(*logits.shape[:2], self.height, self.width)

    def _filled(self, maps: Tensor) -> Tensor:
        """Take the part of maps over the input, (N, C, m, m), that the image fills."""
        if self.resize == "squash":
            return maps
        h, w = self.inner
        square = (self.side, self.side)
        return F.interpolate(maps, square, mode="bilinear", align_corners=False)[..., :h, :w]


def _foreground(logits: Tensor, height: int, width: int) -> Tensor:
    """Resize one map of logits, (h, w), bilinearly, and threshold it; see above."""
    mask = torch.zeros(height, width, dtype=torch.bool, device=logits.device)
    filled = (logits > MASK_THRESHOLD).any(dim=1).nonzero()
    if not len(filled):
        return mask
    last = logits.shape[0] - 1
    at = (torch.arange(height, device=logits.device) + 0.5) * (logits.shape[0] / height) - 0.5
    at = at.clamp(min=0)
    above = at.floor().long().clamp(max=last)
    below = (above + 1).clamp(max=last)
    touched = ((above <= filled[-1]) & (below >= filled[0])).nonzero()
    if not len(touched):  # a smaller image may step over the only rows with foreground
        return mask
    rows = slice(int(touched[0]), int(touched[-1]) + 1)
    share = (at - above)[rows, None].to(logits.dtype)
    between = logits[above[rows]] * (1 - share) + logits[below[rows]] * share
    wide = F.interpolate(between[None], width, mode="linear", align_corners=False)[0]
    mask[rows] = wide > MASK_THRESHOLD
    return mask


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedImage:
    """All that a decoder needs of one image; nothing changes it, but models add what they make."""

    transform: ImageTransform
    pixels: Tensor
    """The image in its part of the input, uint8 (3, h, w); PA-SAM looks at it again."""
    encoded: Encoded
    """Embeddings, (1, C, g, g), and early features, (1, E, g, g)."""
    base: str
    """Digest of the base's checkpoint: adapters of the same base share embeddings."""
    kept: KeptFeatures = field(default_factory=KeptFeatures, init=False, repr=False)
    """What adapters made of it when first asked, each as long as it lives; not written or moved.

    Bytes of float32: of PA-SAM and the image adapter 4Cgg, as the embedding; of HQ-SAM 8Cgg; of an
    adapter with finer maps 4Cgg more, and with fine compensation 1024gg more.
    """

    @property
    def nbytes(self) -> int:
        """Memory that it takes now, what adapters have made of it included."""
        own = self._tensors()
        made = [part for part in self.kept.tensors() if part is not self.encoded.embedding]
        return sum(part.nbytes for part in (*own.values(), *made))

    def padded(self) -> Tensor:
        """Fill the input square round the image, float32 (3, S, S) in [0, 255]."""
        return self.transform.padded(self.pixels)

    def to_bytes(self) -> bytes:
        """Write it as safetensors, to be kept or sent elsewhere."""
        metadata = {name: str(getattr(self.transform, name)) for name in NUMBERS}
        metadata |= {"resize": self.transform.resize, "base": self.base}
        plain = {name: part.cpu().contiguous() for name, part in self._tensors().items()}
        return safetensors.torch.save(plain, metadata=metadata)

    @staticmethod
    def from_bytes(content: bytes) -> EmbeddedImage:
        """Read what `to_bytes` has written; nothing in it is ever executed.

        Raises:
            DataError: It is something else, or damaged.
        """
        try:
            tensors = safetensors.torch.load(content)
            metadata = _metadata(content)
            height, width, side = (int(metadata[name]) for name in NUMBERS)
            pixels, embedding, early = (tensors[name] for name in TENSORS)
        except (SafetensorError, KeyError, ValueError) as error:
            raise DataError(
                f"this is no embedded image ({error}); embed the image again."
            ) from None
        if metadata.get("resize") not in ("longest", "squash") or min(height, width, side) < 1:
            raise DataError(f"this embedded image is damaged: it says {metadata}. Embed it again.")
        transform = ImageTransform(height, width, side, cast(Resize, metadata["resize"]))
        if pixels.dtype != torch.uint8 or pixels.shape != (3, *transform.inner):
            raise DataError(
                f"this embedded image is damaged: its pixels are {tuple(pixels.shape)}, expected "
                f"{(3, *transform.inner)}. Embed the image again."
            )
        encoded = Encoded(embedding=embedding, early=early)
        return EmbeddedImage(transform, pixels, encoded, metadata.get("base", ""))

    def to(self, device: torch.device) -> EmbeddedImage:
        """Move it to a device; the same image where it is there already."""
        if {part.device for part in self._tensors().values()} == {device}:
            return self
        encoded = Encoded(self.encoded.embedding.to(device), self.encoded.early.to(device))
        return EmbeddedImage(self.transform, self.pixels.to(device), encoded, self.base)

    def check_fits(self, base: BaseSam, digest: str) -> None:
        """Refuse an embedding that another base has made.

        Raises:
            CheckpointError: It was, or its shapes say so.
        """
        shapes = (tuple(self.encoded.embedding.shape), tuple(self.encoded.early.shape))
        wanted = tuple((1, dim, base.grid, base.grid) for dim in (base.dim, base.early_dim))
        if self.base != digest or shapes != wanted or self.transform.side != base.side:
            raise CheckpointError(
                f"the image was embedded by base {self.base[:12] or 'unknown'} as {shapes[0]}, but "
                f"this model's base is {digest[:12]} and takes {wanted[0]}. Embed it again."
            )

    def _tensors(self) -> dict[str, Tensor]:
        parts = (self.pixels, self.encoded.embedding, self.encoded.early)
        return dict(zip(TENSORS, parts, strict=True))


def _metadata(content: bytes) -> dict[str, str]:
    """Read the metadata of safetensors bytes, whose header the library has already checked."""
    size = int.from_bytes(content[:8], "little")
    metadata: dict[str, str] = json.loads(content[8 : 8 + size]).get("__metadata__", {})
    return metadata
