"""Images and masks on disk: reading them strictly, writing them atomically.

A mask file may hold 0/1 values, 0/255 values, a soft (anti-aliased) 0..255 edge, or one bit per
pixel. Anything else, such as an index mask that numbers several objects, is refused with the
values that were found: guessing would train on the wrong object without a word.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from pasam.errors import DataError, UnfitError
from pasam.files import write_whole

FOREGROUND = 128
"""A mask pixel belongs to the object when its value is above this."""

_UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


def read_image(path: Path, *, upright: bool = False) -> NDArray[np.uint8]:
    """Read an image as RGB.

    Grey images are repeated to three channels, an alpha channel is dropped, 16-bit values keep
    their upper 8 bits. An EXIF orientation is NOT applied unless asked for: the mask was drawn on
    the stored pixels and carries no such tag, so turning the image alone would tear the two apart.

    Args:
        path: A file in any format that Pillow decodes.
        upright: Turn the image as viewers show it; for images without a mask.

    Returns:
        The image, (H, W, 3), 0..255.

    Raises:
        UnfitError: The file is missing, or is not an intact image.
    """
    return rgb_pixels(_open(path, "image"), upright=upright)


def rgb_pixels(picture: Image.Image, *, upright: bool = False) -> NDArray[np.uint8]:
    """Turn a decoded picture of any mode into RGB, (H, W, 3) in 0..255, as `read_image` does."""
    if upright:
        picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I;16"):
        grey = (np.asarray(picture) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if "transparency" in picture.info:
        picture = picture.convert("RGBA")
    return np.array(picture.convert("RGB"), dtype=np.uint8)


def read_mask(path: Path) -> NDArray[np.uint8]:
    """Read the mask of one object; of several channels the first one counts.

    Args:
        path: 0/1, 0/255, soft 0..255 or 1-bit mask. A coloured palette is read as its indices.

    Returns:
        The mask, (H, W), 0..255, at least one pixel above 128.

    Raises:
        UnfitError: The file is missing or unreadable, holds an index mask or no foreground.
    """
    picture = _open(path, "mask")
    indexed = picture.mode == "P" and not _palette_is_grey(picture)
    if picture.mode == "1" or (picture.mode == "P" and not indexed):
        picture = picture.convert("L")
    values: NDArray[np.generic] = np.array(picture)
    values = values[:, :, 0] if values.ndim == 3 else values
    top = values.max()
    if top <= 0:
        raise UnfitError(
            f"{path} is all black: the mask marks no pixel. Draw the object with 1 or 255, or "
            "remove the file and its entry.",
            kind="empty_mask",
        )
    if top <= 1:
        return np.rint(values.astype(np.float32) * 255).astype(np.uint8)
    if top > 255 and values.dtype.kind in "ui" and top == 65535:
        return (values.astype(np.uint32) // 257).astype(np.uint8)
    if top <= FOREGROUND or top > 255 or (indexed and len(np.unique(values)) > 2):
        raise UnfitError(_index_mask_message(path, values), kind="label_map")
    return values.astype(np.uint8)


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
    pixels = array if array.ndim == 2 else cv2.cvtColor(array, cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 4])
    write_whole(path, encoded.tobytes())


def _open(path: Path, what: str) -> Image.Image:
    try:
        with Image.open(path) as picture:
            picture.load()
            return picture
    except FileNotFoundError:
        raise UnfitError(
            f"{what} {path} does not exist. Restore the file or remove its entry.",
            kind="missing_file",
        ) from None
    except _UNREADABLE as error:
        raise UnfitError(
            f"{what} {path} cannot be decoded ({error}). Expected an intact PNG, JPEG, WebP, BMP "
            "or TIFF: export it again, or remove it and its entry.",
            kind=f"undecodable_{what}",
        ) from None


def _palette_is_grey(picture: Image.Image) -> bool:
    colours = np.array(picture.getpalette("RGB") or [], dtype=np.uint8).reshape(-1, 3)
    return bool((colours == colours[:, :1]).all())


def _index_mask_message(path: Path, values: NDArray[np.generic]) -> str:
    distinct = [value.item() for value in np.unique(values)]
    shown = ", ".join(str(value) for value in distinct[:8]) + (", ..." if len(distinct) > 8 else "")
    return (
        f"{path} holds the values {shown}: that is an index mask or label map, not the mask of one "
        "object. Expected 0/1, 0/255 or a soft edge up to 255: export one binary mask per object."
    )
