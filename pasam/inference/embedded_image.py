"""An image that the frozen encoder has seen: encode once, prompt as often as one likes."""

# Shapes: H, W of the original image, h, w of its part of the input, S the input's side,
# g grid cells a side, C and E channels.

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import cast

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from pasam.errors import CheckpointError, DataError
from pasam.inference.placement import Placement, Resize
from pasam.modeling.base_sam import BaseSam, Encoded

TENSORS = ("pixels", "embedding", "early")
NUMBERS = ("height", "width", "side")


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedImage:
    """All that a decoder needs of one image; nothing changes it."""

    placement: Placement
    pixels: Tensor
    """The image in its part of the input, uint8 (3, h, w); PA-SAM looks at it again."""
    encoded: Encoded
    """What the encoder said, (1, C, g, g) and (1, E, g, g)."""
    base: str
    """Digest of the base's checkpoint: adapters of the same base share embeddings."""

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return sum(part.nbytes for part in self._tensors().values())

    def padded(self) -> Tensor:
        """Fill the input square round the image, float32 (3, S, S) in [0, 255]."""
        return self.placement.padded(self.pixels)

    def to_bytes(self) -> bytes:
        """Write it as safetensors, to be kept or sent elsewhere."""
        words = {name: str(getattr(self.placement, name)) for name in NUMBERS}
        words |= {"resize": self.placement.resize, "base": self.base}
        plain = {name: part.cpu().contiguous() for name, part in self._tensors().items()}
        return safetensors.torch.save(plain, metadata=words)

    @staticmethod
    def from_bytes(content: bytes) -> EmbeddedImage:
        """Read what `to_bytes` has written; nothing in it is ever executed.

        Raises:
            DataError: It is something else, or damaged.
        """
        try:
            tensors = safetensors.torch.load(content)
            words = _metadata(content)
            height, width, side = (int(words[name]) for name in NUMBERS)
            pixels, embedding, early = (tensors[name] for name in TENSORS)
        except (SafetensorError, KeyError, ValueError) as error:
            raise DataError(
                f"this is no embedded image ({error}); embed the image again."
            ) from None
        if words.get("resize") not in ("longest", "squash") or min(height, width, side) < 1:
            raise DataError(f"this embedded image is damaged: it says {words}. Embed it again.")
        placement = Placement(height, width, side, cast(Resize, words["resize"]))
        if pixels.dtype != torch.uint8 or pixels.shape != (3, *placement.inner):
            raise DataError(
                f"this embedded image is damaged: its pixels are {tuple(pixels.shape)}, expected "
                f"{(3, *placement.inner)}. Embed the image again."
            )
        encoded = Encoded(embedding=embedding, early=early)
        return EmbeddedImage(placement, pixels, encoded, words.get("base", ""))

    def to(self, device: torch.device) -> EmbeddedImage:
        """Move it to a device."""
        encoded = Encoded(self.encoded.embedding.to(device), self.encoded.early.to(device))
        return EmbeddedImage(self.placement, self.pixels.to(device), encoded, self.base)

    def check_fits(self, base: BaseSam, digest: str) -> None:
        """Refuse an embedding that another base has made.

        Raises:
            CheckpointError: It was, or its shapes say so.
        """
        shapes = (tuple(self.encoded.embedding.shape), tuple(self.encoded.early.shape))
        wanted = (
            (1, base.dim, base.grid, base.grid),
            (1, base.early_dim, base.grid, base.grid),
        )
        if self.base != digest or shapes != wanted or self.placement.side != base.side:
            raise CheckpointError(
                f"the image was embedded by base {self.base[:12] or 'unknown'} as {shapes[0]}, but "
                f"this model's base is {digest[:12]} and takes {wanted[0]}. Embed it again."
            )

    def _tensors(self) -> dict[str, Tensor]:
        return {
            "pixels": self.pixels,
            "embedding": self.encoded.embedding,
            "early": self.encoded.early,
        }


def _metadata(content: bytes) -> dict[str, str]:
    """Read the words of safetensors bytes, whose header the library has already checked."""
    size = int.from_bytes(content[:8], "little")
    words: dict[str, str] = json.loads(content[8 : 8 + size]).get("__metadata__", {})
    return words
