"""What a mask file holds: one object in 0/1, 0/255 or with a soft edge, or several by number."""

# Shapes: H, W of a mask.

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pasam.errors import DataError
from pasam.masks.images import FOREGROUND, foreground, open_image, read_mask

VOID = 255
"""Value of pixels that belong to nothing certain, in index masks that use others too."""

MOST_OBJECTS = 1000
"""More values than that are no numbering of objects but a photograph."""

_COLOUR = 1 << 24
"""Added to the number of a colour, so that none is taken for a value."""
_WITHOUT_ALPHA = {"LA": "L", "PA": "RGB", "RGBA": "RGB", "CMYK": "RGB", "YCbCr": "RGB"}
_LOSSY = (".jpeg", ".jpg")
_TRIMAPS = ({127, 255}, {128, 255})


class MaskKind(StrEnum):
    """How a mask file marks its objects."""

    ZERO_ONE = "0/1"
    ZERO_255 = "0/255"
    SOFT = "soft edge"
    INDEX = "index"
    """A number, or a colour, per object."""


class Reading(StrEnum):
    """What the masks are taken for."""

    AUTO = "auto"
    BINARY = "binary"
    """One object per file, above half of the brightest possible value."""
    INDEX = "index"
    """Every value but 0 is an object."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recognised:
    """One mask file, understood."""

    kind: MaskKind
    size: tuple[int, int]
    """Height and width."""
    objects: tuple[tuple[str, int], ...]
    """Label and number of pixels of every object; one without a label unless it is an index."""
    has_void: bool


def recognise(path: Path, reading: Reading = Reading.AUTO) -> Recognised:
    """Tell what a mask file holds.

    Soft edges and numbers both lie between black and white; but a number fills the inside of its
    object, while the greys of an edge lie beside other greys.

    Args:
        path: The file.
        reading: What to take it for, instead of finding out.

    Raises:
        DataError: It cannot be read, marks nothing, or could mean two things.
    """
    if reading is Reading.BINARY:
        return _one_object(path, MaskKind.SOFT)
    labels = read_labels(path)
    kind = MaskKind.INDEX if reading is Reading.INDEX else _kind(path, labels)
    if kind is not MaskKind.INDEX:
        return _one_object(path, kind)
    values, counts = np.unique(labels, return_counts=True)
    pixels = dict(zip(values.tolist(), counts.tolist(), strict=True))
    pixels.pop(0, None)
    has_void = len(pixels) > 1 and pixels.pop(VOID, None) is not None
    objects = tuple((_label(value), count) for value, count in pixels.items())
    if not objects:
        raise DataError(f"{path} is all black: the mask marks no pixel. Draw it, or remove it.")
    if len(objects) > MOST_OBJECTS:
        raise DataError(
            f"{path} holds {len(objects)} different values; an index mask has at most "
            f"{MOST_OBJECTS}. Is it a photograph, or was it saved with loss? Export it as PNG."
        )
    height, width = labels.shape
    return Recognised(kind=kind, size=(height, width), objects=objects, has_void=has_void)


def read_labels(path: Path) -> NDArray[np.uint32]:
    """Read the numbers of an index mask.

    Returns:
        (H, W); of a palette its indices, of a colour other than black one number above 2^24.

    Raises:
        DataError: The file is missing or unreadable, or holds fractions or negative values.
    """
    with open_image(path, "mask") as image:
        plain = _WITHOUT_ALPHA.get(image.mode)
        values: NDArray[Any] = np.array(image.convert(plain) if plain else image)
    if values.ndim == 3:
        values = _colour_numbers(values)
    if values.dtype.kind == "f" or (values.dtype.kind == "i" and values.min() < 0):
        raise DataError(
            f"{path} holds fractions or negative values; expected whole numbers. Export it as PNG."
        )
    return values.astype(np.uint32)


def object_mask(labels: NDArray[np.uint32], label: str) -> NDArray[np.uint8]:
    """Cut one object out of an index mask.

    Args:
        labels: As `read_labels` gives them, (H, W).
        label: One of `Recognised.objects`.

    Returns:
        (H, W), 0 or 255.
    """
    value = int(label[1:], 16) + _COLOUR if label.startswith("c") else int(label)
    return np.where(labels == value, 255, 0).astype(np.uint8)


def _label(value: int) -> str:
    return str(value) if value < _COLOUR else f"c{value - _COLOUR:06x}"


def _colour_numbers(values: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Turn (H, W, 3) into (H, W): the value where all channels are one, else a number apart."""
    red, green, blue = (values[:, :, channel].astype(np.uint32) for channel in range(3))
    if (red == green).all() and (green == blue).all():
        return red
    number = (red * 256 + green) * 256 + blue
    return np.where(number > 0, number + _COLOUR, 0).astype(np.uint32)


def _one_object(path: Path, kind: MaskKind) -> Recognised:
    mask = read_mask(path)  # it words what is wrong, as preparation would
    height, width = mask.shape
    pixels = int(np.count_nonzero(foreground(mask)))
    if not pixels:
        raise DataError(f"mask {path} has no pixel above 128. Draw it with 255.")
    return Recognised(kind=kind, size=(height, width), objects=(("", pixels),), has_void=False)


def _kind(path: Path, labels: NDArray[np.uint32]) -> MaskKind:
    top, lossy = int(labels.max()), path.suffix.lower() in _LOSSY
    values = set(np.unique(labels).tolist()) - {0}
    if top <= 1:
        return MaskKind.ZERO_ONE
    if values in ({255}, {65535}):
        return MaskKind.ZERO_255
    if values in _TRIMAPS:
        raise DataError(
            f"{path} holds 0, {min(values)} and 255: a trimap, or a numbering? Say it: "
            f"--masks-are binary takes what is above {FOREGROUND}, --masks-are index takes every "
            "value as an object."
        )
    if lossy and not FOREGROUND < top <= 255:
        raise DataError(
            f"{path} numbers its objects, by value or colour, in a format that blurs the numbers. "
            "Export it as PNG."
        )
    is_edge = lossy or ((top <= 255 or top == 65535) and _beside_others(labels, top))
    if top <= FOREGROUND or top >= _COLOUR or not is_edge:
        return MaskKind.INDEX
    grey = (labels > top // 16) & (labels < top - top // 16)
    if 2 * np.count_nonzero(grey) > grey.size:
        raise DataError(
            f"most of {path} is neither black nor white: a photograph? Name a mask, or say "
            f"--masks-are binary to take what is above {FOREGROUND}."
        )
    return MaskKind.SOFT


def _beside_others(labels: NDArray[np.uint32], top: int) -> bool:
    """Tell whether most of the pixels that are neither black nor white touch another value.

    Dark values alone are numbers beside a void of 255: an edge goes through all greys.
    """
    between = (labels > 0) & (labels < top)
    if between.any() and labels[between].max() <= top // 4:
        return False
    values = labels.astype(np.float32)
    square = np.ones((3, 3), np.uint8)
    flat = cv2.erode(values, square) == cv2.dilate(values, square)
    return bool(2 * np.count_nonzero(between & flat) <= np.count_nonzero(between))
