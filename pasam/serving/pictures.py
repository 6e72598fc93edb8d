"""Uploaded pictures: looked at before they are decoded, and refused with a reason."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from pasam.data.images import rgb_pixels
from pasam.errors import RefusedError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
"""What is decoded; Pillow's other decoders are for files that one trusts."""

_BOMBS = (Image.DecompressionBombWarning, Image.DecompressionBombError)
# What Pillow's decoders and its reading of EXIF are known to raise on damaged bytes.
_UNREADABLE = (
    ArithmeticError, AttributeError, EOFError, LookupError, OSError, SyntaxError, TypeError,
    ValueError, NotImplementedError, struct.error, zlib.error,
)  # fmt: skip


def decode_picture(file: BinaryIO, *, most_pixels: int) -> NDArray[np.uint8]:
    """Decode an upload as RGB, turned as viewers show it.

    The size is read from the header and checked before any pixel is decoded.

    Args:
        file: The upload, at its start.
        most_pixels: H x W that is still taken.

    Returns:
        The picture, (H, W, 3) in 0..255.

    Raises:
        RefusedError: 413 for a picture that is too large, 415 for what is no intact picture.
    """
    content = file.read()
    if not content:
        raise RefusedError("the picture is empty: 0 bytes arrived.", status=415)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
                _check_size(picture.size, most_pixels)
                picture.load()
                return rgb_pixels(picture, upright=True)
    except _BOMBS:
        raise RefusedError(_too_large("more than that", most_pixels), status=413) from None
    except _UNREADABLE as error:
        reason = type(error).__name__ if isinstance(error, UnidentifiedImageError) else error
        raise RefusedError(
            f"the picture ({len(content)} bytes) cannot be decoded ({reason}). Expected an intact "
            "PNG, JPEG, WebP, BMP or TIFF: export it again.",
            status=415,
        ) from None


def _check_size(size: tuple[int, int], most: int) -> None:
    width, height = size
    if width * height > most:
        raise RefusedError(_too_large(f"{width} x {height}", most), status=413)


def _too_large(found: str, most: int) -> str:
    return (
        f"the picture is too large: {found} pixels, where at most {most / 1e6:g} million are "
        "taken. Make it smaller, or start the service with a larger --max-megapixels."
    )
