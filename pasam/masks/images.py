"""Images and masks: the one place that decodes them, strictly, and the one that writes them.

A mask file may hold 0/1 values, 0/255 values, a soft (anti-aliased) 0..255 edge, or one bit per
pixel. Anything else, such as an index mask that numbers several objects, is refused with the
values that were found: guessing would train on the wrong object without a word.
"""

# Shapes: H and W of the file's image.

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from pasam.errors import DataError, InvalidItemError
from pasam.files import write_bytes

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""What a file of a folder must end with, in either case, to be taken for an image."""

IMAGE_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
"""Pillow's names of the formats behind them: what is decoded of an untrusted file."""

FOREGROUND = 128
"""A mask pixel belongs to the object when its value is ABOVE this: boxes, points, metrics.

The one exception is the uncertainty map's target (`pasam.models.losses`), which counts the level
itself as foreground, as the reference does.
"""

# What Pillow's decoders and its reading of EXIF are known to raise on damaged bytes.
_UNREADABLE = (
    ArithmeticError, AttributeError, EOFError, LookupError, OSError, SyntaxError, TypeError,
    ValueError, NotImplementedError, struct.error, zlib.error,
)  # fmt: skip
_BOMBS = (Image.DecompressionBombWarning, Image.DecompressionBombError)


def foreground(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Say which pixels of a mask in 0..255 belong to the object; the shape stays."""
    inside: NDArray[np.bool_] = mask > FOREGROUND
    return inside


@contextmanager
def open_image(
    source: Path | bytes,
    what: str = "image",
    *,
    formats: tuple[str, ...] | None = None,
    most_pixels: int | None = None,
) -> Iterator[Image.Image]:
    """Open an image without decoding it; whatever Pillow raises inside becomes one of our errors.

    Only what Pillow does belongs inside: reading the header, `load`, `convert`.

    Args:
        source: The file, or its content.
        what: `image` or `mask`, for the message and the fault's kind.
        formats: Pillow's names of the formats that may be decoded; None: all that it knows.
        most_pixels: H x W that is still taken, looked up in the header before any pixel is
            decoded; None: as much as Pillow dares.

    Raises:
        InvalidItemError: `missing_file`, `undecodable_image` or `undecodable_mask`, or
            `too_large` where it has more pixels than `most_pixels`.
    """
    name = f"({len(source)} bytes)" if isinstance(source, bytes) else str(source)
    try:
        with warnings.catch_warnings():
            if most_pixels is not None:
                warnings.simplefilter("ignore")
                warnings.simplefilter("error", Image.DecompressionBombWarning)
            file = io.BytesIO(source) if isinstance(source, bytes) else source
            with Image.open(file, formats=formats) as image:
                if most_pixels is not None:
                    _check_size(image.size, most_pixels, f"{what} {name}")
                yield image
    except FileNotFoundError:
        raise InvalidItemError(
            f"{what} {name} does not exist. Restore the file or remove its entry.",
            kind="missing_file",
        ) from None
    except (*_UNREADABLE, *_BOMBS) as error:
        if most_pixels is not None and isinstance(error, _BOMBS):
            raise _too_large(f"{what} {name}", "far more", most_pixels) from None
        unknown = isinstance(error, UnidentifiedImageError)  # its text shows a memory address
        raise InvalidItemError(
            f"{what} {name} cannot be decoded ({type(error).__name__ if unknown else error}). "
            "Expected an intact PNG, JPEG, WebP, BMP or TIFF: export it again, or remove it and "
            "its entry.",
            kind=f"undecodable_{what}",
        ) from None


def read_image(
    source: Path | bytes,
    *,
    upright: bool = False,
    formats: tuple[str, ...] | None = None,
    most_pixels: int | None = None,
) -> NDArray[np.uint8]:
    """Read an image as RGB.

    Grey images are repeated to three channels, an alpha channel is dropped, 16-bit values keep
    their upper 8 bits. An EXIF orientation is NOT applied unless asked for: the mask was drawn on
    the stored pixels and carries no such tag, so turning the image alone would tear the two apart.

    Args:
        source: A file in any format that Pillow decodes, or its content.
        upright: Turn the image as viewers show it; for images without a mask.
        formats: As in `open_image`.
        most_pixels: As in `open_image`.

    Returns:
        The image, (H, W, 3), 0..255.

    Raises:
        InvalidItemError: The file is missing, is not an intact image, or is too large.
    """
    with open_image(source, formats=formats, most_pixels=most_pixels) as image:
        image.load()
        return rgb_pixels(image, upright=upright)


def read_mask(path: Path) -> NDArray[np.uint8]:
    """Read the mask of one object; of several channels the first one counts.

    Args:
        path: 0/1, 0/255, soft 0..255 or 1-bit mask. A coloured palette is read as its indices.

    Returns:
        The mask, (H, W), 0..255, at least one pixel above 128.

    Raises:
        InvalidItemError: The file is missing or unreadable, holds an index mask or no foreground.
    """
    with open_image(path, "mask") as image:
        indexed = image.mode == "P" and not _palette_is_grey(image)
        grey = image.mode == "1" or (image.mode == "P" and not indexed)
        values: NDArray[np.generic] = np.array(image.convert("L") if grey else image)
    values = values[:, :, 0] if values.ndim == 3 else values
    top = values.max()
    if top <= 0:
        raise InvalidItemError(
            f"{path} is all black: the mask marks no pixel. Draw the object with 1 or 255, or "
            "remove the file and its entry.",
            kind="empty_mask",
        )
    if top <= 1:
        return np.rint(values.astype(np.float32) * 255).astype(np.uint8)
    if top > 255 and values.dtype.kind in "ui" and top == 65535:
        return (values.astype(np.uint32) // 257).astype(np.uint8)
    if top <= FOREGROUND or top > 255 or (indexed and len(np.unique(values)) > 2):
        raise InvalidItemError(_index_mask_message(path, values), kind="label_map")
    return values.astype(np.uint8)


def encode_png(array: NDArray[np.uint8]) -> bytes:
    """Compress an RGB image (H, W, 3) or a mask (H, W) as PNG; equal arrays give equal bytes."""
    pixels = array if array.ndim == 2 else cv2.cvtColor(array, cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 4])
    return encoded.tobytes()


def write_png(path: Path, array: NDArray[np.uint8]) -> None:
    """Write an image or a mask as PNG, whole or not at all; equal arrays give equal bytes.

    Args:
        path: Target; its folder is made when missing.
        array: RGB image (H, W, 3) or mask (H, W), uint8.

    Raises:
        DataError: The array is neither.
    """
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or array.shape[2:] not in ((), (3,)):
        raise DataError(
            f"{path} cannot be written from an array of {array.dtype} {array.shape}; expected "
            "uint8 of shape (H, W) or (H, W, 3)."
        )
    write_bytes(path, encode_png(array))


def rgb_pixels(image: Image.Image, *, upright: bool = False) -> NDArray[np.uint8]:
    """Turn a decoded image of any mode into RGB, (H, W, 3) in 0..255, as `read_image` does."""
    if upright:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        grey = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if "transparency" in image.info:
        image = image.convert("RGBA")
    return np.array(image.convert("RGB"), dtype=np.uint8)


def _check_size(size: tuple[int, int], most: int, which: str) -> None:
    width, height = size
    if width * height > most:
        raise _too_large(which, f"{width} x {height}", most)


def _too_large(which: str, found: str, most: int) -> InvalidItemError:
    return InvalidItemError(
        f"{which} is too large: {found} pixels, where at most {most / 1e6:g} million are taken. "
        "Make it smaller.",
        kind="too_large",
    )


def _palette_is_grey(image: Image.Image) -> bool:
    colours = np.array(image.getpalette("RGB") or [], dtype=np.uint8).reshape(-1, 3)
    return bool((colours == colours[:, :1]).all())


def _index_mask_message(path: Path, values: NDArray[np.generic]) -> str:
    distinct = [value.item() for value in np.unique(values)]
    shown = ", ".join(str(value) for value in distinct[:8]) + (", ..." if len(distinct) > 8 else "")
    return (
        f"{path} holds the values {shown}: that is an index mask or label map, not the mask of one "
        "object. Expected 0/1, 0/255 or a soft edge up to 255: export one binary mask per object."
    )
