"""Mask files: the one place that understands them, whatever tool has drawn them.

A file holds one object (0/1, 0/255, a soft edge, an alpha channel) or several by number or colour.
What could mean two things is refused with what was found and what can be said instead.
"""

# Shapes: H, W of a mask.

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pasam.errors import InvalidItemError
from pasam.masks.images import FOREGROUND, IMAGE_SUFFIXES, foreground
from pasam.masks.mask_areas import (
    are_one_grey,
    are_plateaus,
    are_small_cells,
    flat_areas,
    in_patches,
    is_cut_out,
    is_soft,
    lies_round,
    scattered_values,
    share_alike,
    unblended,
)
from pasam.masks.mask_pixels import (
    FLAT,
    SHADES,
    VOC_VOID,
    MaskPixels,
    decode_mask,
    doubt,
    empty,
)
from pasam.masks.trimaps import parts_of, possible_trimap, refuse_trimap

MOST_OBJECTS = 65_535
"""More than that are no objects of one image."""

_FEW = 16  # values that a photograph has at least, and of which few lie beside their like
_ALIKE = 0.65  # fraction of a photograph's pixels that are at most like the next; of cells more
_BLURRED = (
    "JPEG, lossy WebP and the like keep a value only about, so that neighbouring numbers run into "
    "each other and no reader can tell them apart"
)
_BYTE = 8  # bits
_WHITE = 255
_BESIDE_VOC = 0x1F1F3F
"""Bits that no colour of Pascal VOC's palette has, red, green and blue one behind the other."""


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
    TRIMAP = "trimap"
    """One object per file: 1 of 1, 2, 3 (border 3), 255 of 0, 127 or 128, 255, or the one of any
    three values that a border parts from a lower background, which lies at the image's rim."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskFile:
    """One mask file, understood."""

    kind: MaskKind
    values: NDArray[Any]
    """(H, W): 0 to 255 of the one object as uint8, or the numbers of an index mask, uint32
    or uint64."""
    objects: tuple[tuple[str, int], ...]
    """Label and number of pixels of every object; one without a label unless it is an index."""
    has_void: bool = False
    """Whether 255 or 65535 stands for what belongs to no object; of a colour the notes say so."""
    notes: tuple[str, ...] = ()
    """What was understood that a person might have meant otherwise."""
    is_plain: bool = True
    """Whether the file's own bytes say the same to every reader: 0/1, 0/255, or grey."""
    boxes: Mapping[str, tuple[slice, slice]] = field(default_factory=dict)
    """Rows and columns that hold the object of a label, where the file numbers objects."""

    def mask(self, label: str = "") -> NDArray[np.uint8]:
        """Give one object's mask, (H, W), 0..255."""
        if not label:
            return np.asarray(self.values, dtype=np.uint8)
        value = int(label[1:], 16) if label.startswith("c") else int(label)
        box = self.boxes[label]  # thousands of objects must not take a pass over the file each
        mask = np.zeros(self.values.shape, np.uint8)
        mask[box][self.values[box] == value] = 255
        return mask


def read_mask(path: Path) -> NDArray[np.uint8]:
    """Read the mask of one object.

    Args:
        path: Any file that `understand` finds one object in.

    Returns:
        The mask, (H, W), 0..255, at least one pixel above 128.

    Raises:
        InvalidItemError: The file is missing or unreadable, holds several objects or none.
    """
    found = read_one(path)
    return found.mask(found.objects[0][0])


def read_one(path: Path) -> MaskFile:
    """Do as `read_mask`, and keep what was understood of the file."""
    found = understand(path)
    if len(found.objects) > 1:
        labels = ", ".join(label for label, _ in found.objects[:8])
        raise InvalidItemError(
            f"{path} holds the values {labels}{', ...' if len(found.objects) > 8 else ''}: that is "
            "an index mask or label map, not the mask of one object. Register the set with "
            "`pasam data add`, which makes one mask of each.",
            kind="label_map",
        )
    return found


def understand(path: Path, reading: Reading = Reading.AUTO) -> MaskFile:
    """Tell what a mask file holds.

    Soft edges and numbers both lie between black and white; but a number fills the inside of its
    object, while the greys of an edge lie beside other greys.

    Args:
        path: The file.
        reading: What to take it for, instead of finding out.

    Raises:
        InvalidItemError: It cannot be read, marks nothing, or could mean two things.
    """
    decoded = decode_mask(path)
    if decoded.is_lossy and reading in (Reading.INDEX, Reading.TRIMAP):
        raise _blurred(path, "is in a format that blurs numbers")
    if reading is Reading.TRIMAP:
        return _trimap(path, _as_numbers(decoded.values), decoded.notes)
    if decoded.values.ndim == 2:
        return _of_greys(path, decoded, reading)
    if reading is Reading.BINARY:
        mask = _grey_of_colours(decoded.values)
        return _one_object(path, MaskKind.SOFT, mask, decoded.notes, is_plain=False)
    if decoded.is_lossy:
        found = "is a photograph, or numbers its objects by colour in a format that blurs them"
        raise _blurred(path, found)
    return _index(path, decoded.values, reading, decoded.notes)


def _as_numbers(values: NDArray[Any]) -> NDArray[Any]:
    """Give fractions, which number nothing, as 0 to 255; whole numbers stay."""
    return np.rint(values * 255).astype(np.uint8) if values.dtype.kind == "f" else values


def _of_greys(path: Path, decoded: MaskPixels, reading: Reading) -> MaskFile:
    """Understand a mask of one number a pixel."""
    pixels, notes = _as_numbers(decoded.values), decoded.notes
    is_plain = not notes and decoded.is_exact and path.suffix.lower() in IMAGE_SUFFIXES
    top = int(pixels.max())
    if top == 0:
        raise empty(path, "is all black: the mask marks no pixel")
    if decoded.values.dtype.kind == "f":
        if reading is Reading.AUTO:
            refuse_trimap(path, pixels, np.unique(pixels))
        return _one_object(path, MaskKind.SOFT, pixels, notes, is_plain=is_plain)
    kind = MaskKind.INDEX if reading is Reading.INDEX else MaskKind.SOFT
    if reading is Reading.AUTO:
        kind = _grey_kind(path, pixels, decoded.is_lossy, decoded.step)
    if kind is MaskKind.INDEX:
        return _index(path, pixels // decoded.step, reading, notes, decoded.border)
    if top == 1:
        pixels = pixels * np.uint8(255)
    elif top > 255:
        pixels = pixels // (top // 255) if top in (255, 65535) else pixels * 255.0 / top
    mask = pixels.astype(np.uint8)
    if reading is Reading.BINARY:  # the greys of the file itself could mean something else
        mask, is_plain = np.where(foreground(mask), 255, 0).astype(np.uint8), False
    return _one_object(path, kind, mask, notes, is_plain=is_plain and top <= 255)


def _grey_kind(path: Path, values: NDArray[Any], is_lossy: bool, step: int) -> MaskKind:
    found = _present(values)
    top, present = int(found[-1]), set(found.tolist())
    if top <= 1 and not is_lossy:
        return MaskKind.ZERO_ONE
    if present in ({0, 255}, {0, 65535}, {255}, {65535}):
        return MaskKind.ZERO_255
    refuse_trimap(path, values // step, found // step)
    # A blurred object may end at any top; numbers of many objects go as far, but lie in patches.
    is_graded = top in (255, 65535) or (len(found) > SHADES and not in_patches(values, top))
    if not (is_lossy or (is_graded and is_soft(values, top))):
        return MaskKind.INDEX
    if top <= FOREGROUND:
        raise _blurred(path, "numbers its objects, or is faint, in a format that blurs the numbers")
    greys = (values > top // 16) & (values < top - top // 16)
    if is_lossy and are_plateaus(values, greys):
        said = "holds areas of grey, as of numbers or a trimap, in a format that blurs them"
        raise _blurred(path, said)
    if top == _WHITE and are_one_grey(values, greys):
        raise doubt(path, "is mostly of one grey between black and white: a trimap, or a number")
    if grey_fraction(values, top) > MOST_SOFT:
        said = "is mostly neither black nor white: a photograph"
        if is_lossy:
            raise _blurred(path, f"{said}, or numbers in a format that blurs them", "grey_mask")
        raise doubt(path, said, kind="grey_mask")
    on_white = top in (255, 65535) and is_cut_out(top - values, greys, MOST_SOFT)
    if on_white or is_cut_out(values, greys, MOST_SOFT):
        said = f"is mostly shades within what is not {'white' if on_white else 'black'}"
        if is_lossy:
            or_what = "a photograph, cut out, or numbers in a format that blurs them"
            raise _blurred(path, f"{said}: {or_what}", "grey_mask")
        raise doubt(path, f"{said}: a photograph, cut out", kind="grey_mask")
    return MaskKind.SOFT


def _present(values: NDArray[Any]) -> NDArray[Any]:
    """List the values that occur, in order, without sorting all pixels where they are short."""
    if values.dtype == np.uint8:
        counts = cv2.calcHist([np.ascontiguousarray(values)], [0], None, [256], [0, 256])
        return np.flatnonzero(counts)
    is_short = values.dtype.itemsize < 4
    return np.flatnonzero(np.bincount(values.ravel())) if is_short else np.unique(values)


def _blurred(path: Path, found: str, kind: str = "label_map") -> InvalidItemError:
    """Say that a lossy file may number objects, and why nothing makes that exact again."""
    return InvalidItemError(
        f"{path} {found}: {_BLURRED}. Export a PNG from where the labels were drawn, not from this "
        "file. If it is one object, --masks-are binary takes what is above 128.",
        kind=kind,
    )


def _index(
    path: Path,
    pixels: NDArray[Any],
    reading: Reading,
    notes: tuple[str, ...],
    border: int | None = None,
) -> MaskFile:
    """Number the objects of an index mask, blended edges given to what they lie beside.

    Args:
        path: The file.
        pixels: Numbers, (H, W), or colours, (H, W, 3).
        reading: What the file is taken for.
        notes: What was understood of it before.
        border: Number of Pascal VOC's colour of borders in the file's palette.
    """
    labels = _colour_numbers(pixels) if pixels.ndim == 3 else pixels
    labels = labels if labels.dtype == np.uint64 else labels.astype(np.uint32)
    digits = 3 * pixels.dtype.itemsize * 2 if pixels.ndim == 3 else 0
    values, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if reading is Reading.AUTO:
        labels, blended = _objects_apart(
            path, pixels, labels, inverse.reshape(labels.shape), counts
        )
        if blended:
            part = f"{blended} pixels of blended edges went to the nearest object"
            notes = (*notes, part)
            values, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    areas = dict(zip(values.tolist(), counts.tolist(), strict=True))
    areas.pop(0, None)
    void = _void(pixels, areas)
    has_void = void is not None and areas.pop(void, None) is not None
    if reading is Reading.AUTO:
        border = _border_of_voc(pixels, areas) if border is None else border
        if _lies_round(border, labels, areas):
            areas.pop(border)
            notes = (*notes, f"Pascal VOC's colour of borders, {VOC_VOID}, is no object")
        elif pixels.ndim == 2:
            notes = (*notes, *possible_trimap(path, labels, values, counts, void))
    if not areas:
        raise empty(path, "is all black: the mask marks no pixel")
    if len(areas) > MOST_OBJECTS:
        raise doubt(path, f"holds {len(areas)} values, {MOST_OBJECTS} at most are objects")
    objects = tuple((_label(value, digits), count) for value, count in areas.items())
    boxes = _boxes(
        [_label(value, digits) for value in values.tolist()], inverse.reshape(labels.shape)
    )
    return MaskFile(
        kind=MaskKind.INDEX, values=labels, objects=objects, has_void=has_void, notes=notes,
        is_plain=False, boxes=boxes,
    )  # fmt: skip


def _void(pixels: NDArray[Any], areas: Mapping[int, int]) -> int | None:
    """Find the number that stands for no object: the highest, unless the one before it is there.

    Args:
        pixels: Numbers, (H, W), or colours, (H, W, 3), of which none is void.
        areas: Pixels of each number or colour but 0.
    """
    void = int(np.iinfo(pixels.dtype).max)
    return void if pixels.ndim == 2 and len(areas) > 1 and void - 1 not in areas else None


def _lies_round(border: int | None, labels: NDArray[Any], areas: Mapping[int, int]) -> bool:
    """Tell whether the number of a border, where it is there, lies thinly round all others."""
    if border not in areas or len(areas) < 2:
        return False
    is_border = labels == border
    return lies_round(is_border, (labels > 0) & ~is_border)


def _border_of_voc(pixels: NDArray[Any], areas: Mapping[int, int]) -> int | None:
    """Give the number of Pascal VOC's colour of borders, where all colours are of its palette."""
    if pixels.ndim == 2 or pixels.dtype != np.uint8 or any(value & _BESIDE_VOC for value in areas):
        return None
    return int(_colour_numbers(np.array([[VOC_VOID]], np.uint8))[0, 0])


def _objects_apart(
    path: Path,
    pixels: NDArray[Any],
    labels: NDArray[Any],
    numbers: NDArray[Any],
    counts: NDArray[Any],
) -> tuple[NDArray[Any], int]:
    """Refuse what numbers nothing; give blended pixels to their objects, and say how many."""
    flat, count = flat_areas(pixels), len(counts)
    found = f"holds {count} values, hardly two alike side by side: a photograph"
    if count > SHADES and flat.mean() < FLAT and not are_small_cells(pixels):
        raise doubt(path, found, kind="grey_mask")
    if labels.min() != 0:
        kind = "grey_mask" if count > SHADES else "label_map"
        raise doubt(path, "has no pixel of 0, the background", trimap=True, kind=kind)
    before = labels
    labels, blended, rims = unblended(pixels, labels, numbers, counts, flat)
    if rims:
        found = f"holds {rims} values that only rim others: resized with a filter that blends"
        raise doubt(path, found)
    if count > _FEW and (left := len(np.unique(labels))) > _FEW:
        alike, brightness = share_alike(pixels), pixels if pixels.ndim == 2 else pixels.max(axis=2)
        is_all_shades = left > SHADES and alike < 0.1
        most = _ALIKE if pixels.dtype.itemsize == 1 else 0.5
        if is_all_shades or (alike < most and is_cut_out(brightness, ~flat, MOST_SOFT)):
            raise doubt(path, f"{found}, cut out on black", kind="grey_mask")
    if noise := scattered_values(pixels, numbers, counts, flat, labels == before):
        said = f"holds {noise} values scattered in a few pixels each"
        raise doubt(path, f"{said}: soft lines or text, or what a JPEG has left")
    return labels, blended


def _boxes(labels: list[str], numbers: NDArray[Any]) -> dict[str, tuple[slice, slice]]:
    """Find the rows and columns of every value, which `numbers`, (H, W), counts from 0."""
    from scipy.ndimage import find_objects  # a third of a second, which few masks need

    return dict(zip(labels, find_objects(numbers.astype(np.int32) + 1), strict=True))


def _trimap(path: Path, pixels: NDArray[Any], notes: tuple[str, ...]) -> MaskFile:
    """Take the object out of a trimap: a known one, or three values with a border between two."""
    found = np.unique(pixels) if pixels.ndim == 2 else np.zeros(0, np.uint8)
    value, border = parts_of(path, pixels, found) if len(found) else (0, 0)
    if not border:
        shown = found.tolist()[:8] or "colours"
        expected = "a trimap 1, 2, 3 or 0, 128, 255, or a thin border between two other values"
        raise doubt(path, f"holds {shown}, and {expected}")
    mask = np.where(pixels == value, 255, 0).astype(np.uint8)
    said = f"{value} of a trimap is the object, its border ({border}) is not"
    return _one_object(path, MaskKind.ZERO_255, mask, (*notes, said), is_plain=False)


def _one_object(
    path: Path, kind: MaskKind, mask: NDArray[np.uint8], notes: tuple[str, ...], *, is_plain: bool
) -> MaskFile:
    pixels = int(np.count_nonzero(foreground(mask)))
    if not pixels:
        raise empty(path, f"has no pixel above {FOREGROUND}")
    return MaskFile(kind=kind, values=mask, objects=(("", pixels),), notes=notes, is_plain=is_plain)


def _colour_numbers(colours: NDArray[Any]) -> NDArray[Any]:
    """Number colours, (H, W, 3), by their channels one behind the other; black is 0."""
    bits = 8 * colours.dtype.itemsize
    wide = colours.astype(np.uint32 if bits == _BYTE else np.uint64)
    numbers: NDArray[Any] = (wide[:, :, 0] * 2**bits + wide[:, :, 1]) * 2**bits + wide[:, :, 2]
    return numbers


def _grey_of_colours(colours: NDArray[Any]) -> NDArray[np.uint8]:
    brightest = colours.max(axis=2)
    brightest = brightest if colours.dtype == np.uint8 else brightest // 257
    return np.where(brightest > FOREGROUND, 255, 0).astype(np.uint8)


def _label(value: int, digits: int) -> str:
    """Name a number, or a colour of so many hexadecimal digits."""
    return f"c{value:0{digits}x}" if digits else str(value)


TINY = 64
"""Pixels below which a mask says little."""
FULL = 0.99
"""Fraction of the image above which a mask leaves nothing to find."""
MOST_SOFT = 0.5
"""Fraction of grey pixels beyond which a file is a photograph, not a mask with soft edges."""


def grey_fraction(values: NDArray[Any], top: int = 255) -> float:
    """Measure how much of a mask, (H, W), is neither black nor white, in [0, 1].

    A sixteenth at either end counts as black or white: JPEG makes 1 and 254 of whole areas.
    """
    return float(np.mean((values > top // 16) & (values < top - top // 16)))


def check_fitness(
    shape: tuple[int, ...],
    size: tuple[int, int],
    *,
    inside: int,
    soft: float,
    name: object,
    image: object,
) -> tuple[str, ...]:
    """Refuse a mask that cannot be learnt from or measured with; the one check for all commands.

    Args:
        shape: Height and width of the mask.
        size: Height and width of its image, upright.
        inside: Pixels of the object.
        soft: Fraction of its pixels that are neither black nor white.
        name: What the mask is called, for messages.
        image: What its image is called.

    Returns:
        What is allowed and yet odd.

    Raises:
        InvalidItemError: `size_mismatch`, `empty_mask`, `full_mask` or `grey_mask`.
    """
    area = shape[0] * shape[1]
    if shape != size:
        how = ": one of the two is turned, perhaps by an EXIF tag" if shape == size[::-1] else ""
        raise InvalidItemError(
            f"mask {name} is {shape[0]} x {shape[1]} (height x width) but its image {image} is "
            f"{size[0]} x {size[1]}{how}. Export both at one size.",
            kind="size_mismatch",
        )
    if inside == 0:
        raise empty(name, f"has no pixel above {FOREGROUND}")
    if inside == area:
        raise InvalidItemError(
            f"mask {name} marks every pixel, so there is nothing to tell apart. Draw the "
            "object alone, or remove the file and its entry.",
            kind="full_mask",
        )
    if soft > MOST_SOFT:
        raise InvalidItemError(
            f"mask {name} is a photograph: {soft:.0%} of its pixels are grey, neither black "
            "nor white. Was an image saved in its place? Export the mask again.",
            kind="grey_mask",
        )
    doubts = [f"{name} marks only {inside} pixels."] if inside < TINY else []
    if inside > FULL * area:
        doubts.append(f"{name} covers {inside / area:.1%} of its image.")
    return tuple(doubts)
