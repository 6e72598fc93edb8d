"""Mask files: the one place that understands them, whatever tool has drawn them.

A file holds one object (0/1, 0/255, a soft edge, an alpha channel) or several by number or colour.
What could mean two things is refused with what was found and what can be said instead.
"""

# Shapes: H, W of a mask.

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from pasam.errors import InvalidItemError
from pasam.masks.images import (
    FOREGROUND,
    IMAGE_SUFFIXES,
    foreground,
    is_tiff,
    open_image,
    orientation_left,
    read_bands,
    turned,
)
from pasam.masks.mask_areas import (
    are_small_cells,
    flat_areas,
    in_patches,
    is_cut_out,
    is_soft,
    share_alike,
    unblended,
)

_VOC_VOID = (224, 224, 192)
"""Colour of what Pascal VOC's masks leave undecided, number 255."""
MOST_OBJECTS = 65_535
"""More than that are no objects of one image."""

_COLOUR = 1 << 24
"""Added to the number of a colour, so that none is taken for a value."""
_VOIDS = {255: 254, 65535: 65534}
"""Numbers that stand for no object, unless the number before them is there as well."""
_FLAT = 0.3  # fraction of an index mask that lies inside something; of a photograph hardly any does
_FEW = 16  # values that a photograph has at least, and of which few lie beside their like
_ALIKE = 0.65  # fraction of a photograph's pixels that are at most like the next; of cells more
_SHADES = 64  # more values than that, and hardly any area, are a photograph
_SAID = "--masks-are binary takes what is above 128, --masks-are index every value as an object"


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
    """One object per file: 1 of 1, 2, 3 (border 3), or 255 of 0, 127 or 128, 255."""


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
    """Whether 255 or 65535 stands for what belongs to no object."""
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
        value = int(label[1:], 16) + _COLOUR if label.startswith("c") else int(label)
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
    pixels, is_lossy, notes = _decoded(path)
    if reading is Reading.TRIMAP:
        return _trimap(path, pixels)
    if pixels.ndim == 3:
        if reading is Reading.BINARY:
            return _one_object(path, MaskKind.SOFT, _grey_of_colours(pixels), notes, is_plain=False)
        if is_lossy:
            raise _doubt(path, "numbers its objects by colour in a format that blurs them")
        return _index(path, pixels, reading, notes)
    top, is_plain = float(pixels.max()), not notes and path.suffix.lower() in IMAGE_SUFFIXES
    if top == 0:
        raise _empty(path, "is all black: the mask marks no pixel")
    if pixels.dtype.kind == "f":  # no number of an object is a fraction
        scaled = np.rint(pixels * 255).astype(np.uint8)
        return _one_object(path, MaskKind.SOFT, scaled, notes, is_plain=is_plain)
    kind = (
        _grey_kind(path, pixels, is_lossy)
        if reading is Reading.AUTO
        else MaskKind(MaskKind.INDEX if reading is Reading.INDEX else MaskKind.SOFT)
    )
    if kind is MaskKind.INDEX:
        return _index(path, pixels, reading, notes)
    if top == 1:
        pixels = pixels * np.uint8(255)
    elif top > 255:
        pixels = pixels // (int(top) // 255) if top in (255, 65535) else pixels * 255.0 / top
    mask = pixels.astype(np.uint8)
    if reading is Reading.BINARY:  # the greys of the file itself could mean something else
        mask, is_plain = np.where(foreground(mask), 255, 0).astype(np.uint8), False
    return _one_object(path, kind, mask, notes, is_plain=is_plain and top <= 255)


def _decoded(path: Path) -> tuple[NDArray[Any], bool, tuple[str, ...]]:
    """Decode a mask file: (H, W) of whole numbers or (H, W, 3) of colours; and if it is lossy."""
    _refuse_stack(path)
    try:
        with open_image(path, "mask") as image:
            orientation = orientation_left(image)
            image.load()
            is_lossy = _is_lossy(path, image)
            pixels, notes = _channels(path, image)
    except InvalidItemError as error:
        if error.kind != "undecodable_mask" or not is_tiff(path):
            raise
        # Pillow knows no TIFF of 64 bits, in which NumPy's labels come.
        pixels, orientation = read_bands(path, 1, None)
        is_lossy, notes = False, ()
    if orientation != 1:
        pixels, notes = turned(pixels, orientation), (*notes, "turned upright by its EXIF tag")
    if pixels.ndim == 3:
        spread = pixels.max(axis=2).astype(np.int16) - pixels.min(axis=2)
        if int(spread.max()) <= (32 if is_lossy else 0):
            pixels = pixels[:, :, 1] if is_lossy else pixels[:, :, 0]
    if pixels.dtype.kind == "f":
        low, high = float(pixels.min()), float(pixels.max())
        if not np.isfinite(pixels).all() or low < 0:
            raise _doubt(path, "holds negative values or none at all")
        if (pixels == np.rint(pixels)).all():
            pixels = pixels.astype(np.int64)
        elif high > 1:
            raise _doubt(path, "holds fractions above 1")
    if pixels.dtype.kind == "i" and int(pixels.min()) < 0:
        raise _doubt(path, "holds negative values")
    if pixels.dtype.kind == "i":
        sizes = (np.uint16, np.uint32, np.uint64)
        pixels = pixels.astype(next(n for n in sizes if int(pixels.max()) <= np.iinfo(n).max))
    return pixels, is_lossy, notes


def _refuse_stack(path: Path) -> None:
    """Refuse a TIFF file with a page for each object, of which all but the first would be lost."""
    if not is_tiff(path):
        return
    try:
        with tifffile.TiffFile(path) as opened:
            sizes = [page.aspage().shape[:2] for page in opened.pages]
    except Exception:  # noqa: BLE001 it raises whatever a damaged file makes of it
        return  # whoever decodes it says so
    if sizes.count(sizes[0]) > 1:
        raise InvalidItemError(
            f"{path} is a stack of {len(sizes)} pages, and a mask is one of them. Write each page "
            "as a file of its own: NAME_1.png, NAME_2.png.",
            kind="label_map",
        )


def _channels(path: Path, image: Image.Image) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Take out of an image what marks the objects: values, colours, or the alpha channel."""
    if image.mode == "P" and "transparency" not in image.info:
        return _of_palette(path, image)
    if image.mode in ("P", "PA", "LA", "La", "RGBA", "RGBa") or "transparency" in image.info:
        layers = np.array(image.convert("RGBA"))
        colours, alpha = layers[:, :, :3], layers[:, :, 3]
        visible = np.unique(colours[alpha > 0], axis=0)
        if alpha.min() < 255 and (len(visible) <= 1 or _is_photograph(colours, alpha, visible)):
            return alpha, ("the mask is the alpha channel",)
        seen = np.where(alpha[:, :, None] > 0, colours, 0)
        return seen, ("transparent pixels are background",) if alpha.min() < 255 else ()
    if image.mode == "1":
        return np.array(image.convert("L")), ()  # its 1 is white
    if image.mode in ("L", "I", "F") or image.mode.startswith("I;16"):
        return np.array(image), ()
    return np.array(image.convert("RGB")), ()


def _is_photograph(
    colours: NDArray[np.uint8], alpha: NDArray[np.uint8], visible: NDArray[np.uint8]
) -> bool:
    """Tell a cut-out, whose mask is its transparency, from colours that number objects."""
    return len(visible) > _SHADES and float(flat_areas(colours)[alpha > 0].mean()) < _FLAT


def _of_palette(path: Path, image: Image.Image) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Read a palette by its colours, of which black is the background; its indices are labels."""
    indices = np.array(image)
    palette = np.array(image.getpalette("RGB") or [], dtype=np.uint8).reshape(-1, 3)
    used = np.unique(indices)
    if used.max() >= len(palette) or len(np.unique(palette[used], axis=0)) < len(used):
        return indices, ()  # two numbers of one colour: the palette is not meant to be seen
    if (palette == palette[:, :1]).all():
        return np.array(image.convert("L")), ()
    colours = palette[used]
    void = used[(colours == _VOC_VOID).all(axis=1)]
    if len(void) and 255 not in used:  # a tool has sorted the palette anew
        indices = np.where(indices == void[0], np.uint8(255), indices)
    black = used[(colours == 0).all(axis=1)]
    if list(black) == [0]:
        return indices, ()
    if len(black):
        return np.array(image.convert("RGB")), ("black of the palette is the background",)
    if 0 in used and len(used) == 2:
        raise _doubt(path, "has a palette of two colours, and neither is black: which is the mask")
    return indices, ()


def _grey_kind(path: Path, values: NDArray[Any], is_lossy: bool) -> MaskKind:
    counts = np.bincount(values.ravel()) if values.dtype.itemsize < 4 else None
    found = np.unique(values) if counts is None else np.flatnonzero(counts)  # far faster
    top, present = int(found[-1]), set(found.tolist())
    if top <= 1:
        return MaskKind.ZERO_ONE
    if present in ({0, 255}, {0, 65535}, {255}, {65535}):
        return MaskKind.ZERO_255
    if present in ({0, 127, 255}, {0, 128, 255}, {1, 2, 3}):
        raise _doubt(path, f"holds {sorted(present)}: a trimap, or a numbering", trimap=True)
    # A blurred object may end at any top; numbers of many objects go as far, but lie in patches.
    is_graded = top in (255, 65535) or (len(found) > _SHADES and not in_patches(values, top))
    if not (is_lossy or (is_graded and is_soft(values, top))):
        return MaskKind.INDEX
    if top <= FOREGROUND:
        raise _doubt(path, "numbers its objects, or is faint, in a format that blurs the numbers")
    if grey_fraction(values, top) > MOST_SOFT:
        raise _doubt(path, "is mostly neither black nor white: a photograph", kind="grey_mask")
    greys = (values > top // 16) & (values < top - top // 16)
    on_white = top in (255, 65535) and is_cut_out(top - values, greys, MOST_SOFT)
    if on_white or is_cut_out(values, greys, MOST_SOFT):
        said = f"is mostly shades within what is not {'white' if on_white else 'black'}"
        raise _doubt(path, f"{said}: a photograph, cut out", kind="grey_mask")
    return MaskKind.SOFT


def _index(path: Path, pixels: NDArray[Any], reading: Reading, notes: tuple[str, ...]) -> MaskFile:
    """Number the objects of an index mask, blended edges given to what they lie beside."""
    if pixels.ndim == 3:
        labels: NDArray[Any] = _colour_numbers(pixels)
    else:
        labels = pixels if pixels.dtype == np.uint64 else pixels.astype(np.uint32)
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
    void = int(np.iinfo(pixels.dtype).max) if pixels.ndim == 2 else 0
    is_void = void in _VOIDS and len(areas) > 1 and _VOIDS[void] not in areas
    has_void = is_void and areas.pop(void, None) is not None
    if not areas:
        raise _empty(path, "is all black: the mask marks no pixel")
    if len(areas) > MOST_OBJECTS:
        raise _doubt(path, f"holds {len(areas)} values, {MOST_OBJECTS} at most are objects")
    objects = tuple((_label(value), count) for value, count in areas.items())
    return MaskFile(
        kind=MaskKind.INDEX, values=labels, objects=objects, has_void=has_void, notes=notes,
        is_plain=False, boxes=_boxes(values, inverse.reshape(labels.shape)),
    )  # fmt: skip


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
    if count > _SHADES and flat.mean() < _FLAT and not are_small_cells(pixels):
        raise _doubt(path, found, kind="grey_mask")
    if labels.min() != 0:
        kind = "grey_mask" if count > _SHADES else "label_map"
        raise _doubt(path, "has no pixel of 0, the background", trimap=True, kind=kind)
    labels, blended, rims = unblended(pixels, labels, numbers, counts, flat)
    if rims:
        found = f"holds {rims} values that only rim others: resized with a filter that blends"
        raise _doubt(path, found)
    if count > _FEW and (left := len(np.unique(labels))) > _FEW:
        alike, brightness = share_alike(pixels), pixels if pixels.ndim == 2 else pixels.max(axis=2)
        is_all_shades = left > _SHADES and alike < 0.1
        most = _ALIKE if pixels.dtype.itemsize == 1 else 0.5
        if is_all_shades or (alike < most and is_cut_out(brightness, ~flat, MOST_SOFT)):
            raise _doubt(path, f"{found}, cut out on black", kind="grey_mask")
    return labels, blended


def _boxes(values: NDArray[Any], numbers: NDArray[Any]) -> dict[str, tuple[slice, slice]]:
    """Find the rows and columns of every value, which `numbers`, (H, W), counts from 0."""
    from scipy.ndimage import find_objects  # a third of a second, which few masks need

    boxes = find_objects(numbers.astype(np.int32) + 1)
    return {_label(value): box for value, box in zip(values.tolist(), boxes, strict=True)}


def _trimap(path: Path, pixels: NDArray[Any]) -> MaskFile:
    present = set(np.unique(pixels).tolist()) if pixels.ndim == 2 else set()
    if not present or not (present <= {1, 2, 3} or present <= {0, 127, 128, 255}):
        shown = sorted(present)[:8]
        raise _doubt(path, f"holds {shown}, and a trimap 1, 2, 3 or 0, 128, 255")
    value, border = (1, 3) if present <= {1, 2, 3} else (255, 128)
    mask = np.where(pixels == value, 255, 0).astype(np.uint8)
    notes = (f"{value} of a trimap is the object, its border ({border}) is not",)
    return _one_object(path, MaskKind.ZERO_255, mask, notes, is_plain=False)


def _one_object(
    path: Path, kind: MaskKind, mask: NDArray[np.uint8], notes: tuple[str, ...], *, is_plain: bool
) -> MaskFile:
    pixels = int(np.count_nonzero(foreground(mask)))
    if not pixels:
        raise _empty(path, f"has no pixel above {FOREGROUND}")
    return MaskFile(kind=kind, values=mask, objects=(("", pixels),), notes=notes, is_plain=is_plain)


def _colour_numbers(colours: NDArray[Any]) -> NDArray[np.uint32]:
    red, green, blue = (colours[:, :, channel].astype(np.uint32) for channel in range(3))
    number = (red * 256 + green) * 256 + blue
    return np.where(number > 0, number + _COLOUR, 0).astype(np.uint32)


def _grey_of_colours(colours: NDArray[Any]) -> NDArray[np.uint8]:
    return np.where(colours.max(axis=2) > FOREGROUND, 255, 0).astype(np.uint8)


def _label(value: int) -> str:
    return str(value) if value < _COLOUR else f"c{value - _COLOUR:06x}"


def _is_lossy(path: Path, image: Image.Image) -> bool:
    """Tell whether the file's form blurs values; of a WebP its chunks tell, in whatever order."""
    if image.format != "WEBP":
        return image.format in ("JPEG", "MPO") or image.info.get("compression") == "jpeg"
    with path.open("rb") as file:
        file.seek(12)  # "RIFF", the length, "WEBP"
        while len(head := file.read(8)) == 8:
            if head[:4] == b"VP8 ":  # VP8L is the lossless form
                return True
            # The chunks of an animation's frame follow behind 16 bytes of its own.
            size = 16 if head[:4] == b"ANMF" else int.from_bytes(head[4:], "little")
            file.seek(size + size % 2, os.SEEK_CUR)
    return False


def _doubt(
    path: Path, found: str, *, trimap: bool = False, kind: str = "label_map"
) -> InvalidItemError:
    more = ", --masks-are trimap one object and its border" if trimap else ""
    return InvalidItemError(
        f"{path} {found}? Export a PNG of one object, or say what it is: {_SAID}{more}.",
        kind=kind,
    )


def _empty(path: object, found: str) -> InvalidItemError:
    return InvalidItemError(
        f"mask {path} {found}. Draw the object with 255, or remove the file and its entry.",
        kind="empty_mask",
    )


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
        raise _empty(name, f"has no pixel above {FOREGROUND}")
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
