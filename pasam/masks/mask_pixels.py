"""Mask files decoded: the values or colours that mark objects, whatever form they are stored in.

What they mean is found out in `mask_files`; here it is only what the file holds.
"""

# Shapes: H, W of a mask.

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pasam.errors import InvalidItemError
from pasam.masks.images import (
    deep_colours,
    is_tiff,
    open_image,
    orientation_left,
    signed,
    stored_depth,
    turned,
)
from pasam.masks.mask_areas import flat_areas, is_soft
from pasam.masks.tiff_files import TiffForm, pages_of, read_page, stack

SHADES = 64
"""More values than that, and hardly any area, are a photograph."""
FLAT = 0.3
"""Fraction of an index mask that lies inside something; of a photograph hardly any does."""
VOC_VOID = (224, 224, 192)
"""Colour of what Pascal VOC's masks leave undecided, number 255."""

_SAID = "--masks-are binary takes what is above 128, --masks-are index every value as an object"
_LOSSY_SPREAD = 32  # by which a lossy form may part the three colours of a grey
_RGBA = 4
_WHITE = 255
_ANIMATED = ("AVIF", "GIF", "MPO", "PNG", "WEBP")  # formats whose frames are images of one kind
_NONE: tuple[str, ...] = ()
_EXACT = 1 << 53  # up to which fractions are exact numbers
_FEW_NUMBERS = 16  # of a file whose white is 0; a soft edge has more


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskPixels:
    """What a mask file holds."""

    values: NDArray[Any]
    """(H, W) of whole numbers from 0, or of fractions from 0 to 1; or colours, (H, W, 3), of 8 or
    16 bits."""
    is_lossy: bool = False
    """Whether the file's form blurs values."""
    notes: tuple[str, ...] = ()
    """What was understood that a person might have meant otherwise."""
    is_exact: bool = True
    """Whether other readers give the same values."""
    step: int = 1
    """What was stored as 1 is this much, where numbers of 2 or 4 bits are spread over 0..255."""
    border: int | None = None
    """Number that the palette gives Pascal VOC's colour of borders, where a tool has sorted it."""


def decode_mask(path: Path) -> MaskPixels:
    """Decode a mask file, upright.

    Raises:
        InvalidItemError: It cannot be decoded, holds several masks, or values that number nothing.
    """
    found: MaskPixels | None = None
    try:
        with open_image(path, "mask") as image:
            _refuse_frames(path, image)
            form = TiffForm.of_image(image) if image.format == "TIFF" else None
            # Before anything else: to look for EXIF in a PNG loads it, and forgets its depth.
            depth, step = stored_depth(image), _step(image)
            orientation = orientation_left(image)
            if form is None or not form.is_beyond_pillow:
                found = _by_pillow(path, image, form, depth, step)
    except InvalidItemError as error:
        if error.kind != "undecodable_mask" or not is_tiff(path):
            raise
    if found is None:  # Pillow knows no TIFF of 64 bits, in which NumPy's labels come
        found, orientation = _by_tifffile(path)
    if orientation != 1:
        notes = (*found.notes, "turned upright by its EXIF tag")
        found = replace(found, values=turned(found.values, orientation), notes=notes)
    return replace(found, values=_numbers(path, _one_channel(path, found)))


def _refuse_frames(path: Path, image: Image.Image) -> None:
    """Refuse a file with a page or frame for each object, of which all but one would be lost."""
    count = getattr(image, "n_frames", 1)
    if image.format == "TIFF" and len(pages_of(image).numbers) > 1:
        raise stack(path, count, "mask")
    if count == 1 or image.format not in _ANIMATED:
        return
    size = image.size
    image.seek(1)
    is_preview = image.size != size  # as cameras add one to a JPEG
    image.seek(0)
    if not is_preview:
        raise InvalidItemError(
            f"mask {path} has {count} frames, and a mask is one of them. Write each frame as a "
            "file of its own: NAME_1.png, NAME_2.png.",
            kind="label_map",
        )


def _by_pillow(
    path: Path, image: Image.Image, form: TiffForm | None, depth: int, step: int
) -> MaskPixels | None:
    """Decode by Pillow, or by OpenCV what Pillow would cut to 8 bits; None where neither does."""
    is_deep = image.mode in ("RGB", "RGBA") and depth > 8 and image.format in ("PNG", "TIFF")
    page = image.tell() if form is not None else 0
    image.load()
    is_lossy = _is_lossy(path, image)
    if is_deep:
        deep = None if page else deep_colours(path)
        if deep is None:
            return None
        values: NDArray[Any] = deep[:, :, :3]
        notes = _beyond_colours(form)
        if deep.shape[2] == _RGBA and (form is None or form.has_alpha):
            values, notes = _of_layers(path, values, deep[:, :, 3])
        return MaskPixels(values=_narrowed(values), notes=notes, is_exact=False)
    values, notes = _channels(path, image, step)
    if form is not None and form.is_white_low:
        values, more = _white_low(path, values, form, is_shown=form.bits <= 8)
        notes = (*notes, more)
    if page:
        notes = (*notes, f"its page {page + 1} is the mask, and what is before it a preview")
    notes = (*notes, *_beyond_colours(form))
    is_exact = form is None or form.number_format == 1
    border = _border_of_palette(image, values) if image.mode == "P" and values.ndim == 2 else None
    return MaskPixels(
        values=values, is_lossy=is_lossy, notes=notes, step=step, is_exact=is_exact, border=border
    )


def _by_tifffile(path: Path) -> tuple[MaskPixels, int]:
    """Decode what Pillow does not know, or would decode to other values; and how that is turned."""
    read = read_page(path, None, "mask")
    values, count, notes = read.values, read.values.shape[2], _NONE
    if values.dtype.kind == "b":
        values = values.astype(np.uint8)
    has_layer = read.form.has_alpha and values.dtype in (np.uint8, np.uint16)
    if count == 1:
        values = values[:, :, 0]
        if read.form.is_white_low:
            values, note = _white_low(path, values, read.form, is_shown=False)
            notes = (note,)
    elif has_layer and (count == 2 or (count == 4 and read.form.is_coloured)):
        colours = values[:, :, :1].repeat(3, axis=2) if count == 2 else values[:, :, :3]
        values, notes = _of_layers(path, colours, values[:, :, -1])
    elif read.form.is_coloured and count in (3, 4):
        values, notes = values[:, :, :3], _beyond_colours(read.form)
    else:
        raise unusable(path, f"has {count} bands", "one (or red, green and blue)")
    if values.ndim == 3:
        values = _narrowed(values)
    if read.number > 1:
        notes = (*notes, f"its page {read.number} is the mask, and what is before it a preview")
    return MaskPixels(values=values, notes=notes, is_exact=False), read.orientation


def _beyond_colours(form: TiffForm | None) -> tuple[str, ...]:
    """Say that a TIFF has more bands than colours, none of which is an alpha channel."""
    if form is None or not form.is_coloured or form.has_alpha or form.samples <= len("RGB"):
        return ()
    return ("its bands beyond red, green and blue are left out",)


def _narrowed(values: NDArray[Any]) -> NDArray[Any]:
    """Give colours of 16 bits in 8 where they say no more."""
    if values.dtype != np.uint16:
        return values
    if not (values % 257).any():
        return (values // 257).astype(np.uint8)
    return values.astype(np.uint8) if int(values.max()) <= 255 else values


def _one_channel(path: Path, found: MaskPixels) -> NDArray[Any]:
    """Give greys that are stored as colours as one number a pixel."""
    values = found.values
    if values.ndim == 2:
        return values
    if found.is_lossy:
        spread = values.max(axis=2).astype(np.int16) - values.min(axis=2)
        return values[:, :, 1] if int(spread.max()) <= _LOSSY_SPREAD else values
    if (values == values[:, :, :1]).all():
        return np.ascontiguousarray(values[:, :, 0])
    if values.dtype not in (np.uint8, np.uint16):
        raise unusable(path, f"has colours of {values.dtype}", "colours of 8 or 16 bits")
    return values


def _numbers(path: Path, pixels: NDArray[Any]) -> NDArray[Any]:
    """Give whole numbers as the fewest bits, 16 or more, that hold them; fractions stay.

    Raises:
        InvalidItemError: There are negative numbers, fractions above 1, or none at all.
    """
    if pixels.dtype.kind == "f":
        if not np.isfinite(pixels).all():
            raise unusable(path, "holds values that are no numbers (NaN)", "numbers from 0")
        if (pixels == np.rint(pixels)).all():
            if float(np.abs(pixels).max()) > _EXACT:
                raise unusable(
                    path, f"holds values up to {pixels.max():g}", "whole numbers of 53 bits"
                )
            pixels = pixels.astype(np.int64)
        elif float(pixels.min()) < 0:
            raise unusable(path, "holds negative values", "numbers from 0")
        elif float(pixels.max()) > 1:
            pixels = _greys_of_fractions(path, pixels)
    if pixels.dtype.kind == "i":
        if int(pixels.min()) < 0:
            found = f"holds negative values (down to {int(pixels.min())})"
            raise unusable(path, found, "0 for the background, and numbers from 1")
        sizes = (np.uint16, np.uint32, np.uint64)
        pixels = pixels.astype(next(n for n in sizes if int(pixels.max()) <= np.iinfo(n).max))
    return pixels


def _greys_of_fractions(path: Path, pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Round greys from 0 to 255 that a filter has left as fractions, (H, W)."""
    greys: NDArray[np.uint8] = np.rint(np.clip(pixels, 0, _WHITE)).astype(np.uint8)
    if greys.max() < _WHITE or pixels.max() > _WHITE + 1 or not is_soft(greys, _WHITE):
        found = f"holds fractions above 1 (up to {float(pixels.max()):g})"
        raise unusable(path, found, "fractions from 0 to 1, or soft edges from 0 to 255")
    return greys


def _white_low(
    path: Path, values: NDArray[Any], form: TiffForm, *, is_shown: bool
) -> tuple[NDArray[Any], str]:
    """Take values of a TIFF that says that white is 0 as stored or as viewers show them.

    A mask is what viewers show, unless its writer is known to say so of any array. Numbers are
    what their writer meant by them: of the two ways it is the one that has a background, 0.

    Args:
        path: The file.
        values: As decoded, (H, W).
        form: How it stores them.
        is_shown: Whether whoever decoded them has turned them already.

    Returns:
        The values, and in words which way was taken.
    """
    if values.dtype.kind != "u":
        return values, "white is stored as 0, and its values are taken as stored"
    top = 255 if is_shown else (1 << form.bits) - 1
    other = (top - values).astype(values.dtype)
    shown, stored = (values, other) if is_shown else (other, values)
    as_stored = "white is stored as 0, and its values are taken as stored"
    if form.is_array or form.is_by_imagej:
        return stored, as_stored
    if shown.min() > 0:
        return (stored, as_stored) if stored.min() == 0 else (shown, "white is stored as 0")
    if stored.min() == 0 and 2 < len(np.unique(stored)) <= _FEW_NUMBERS:
        found = "numbers its objects, and says that white is stored as 0, so that they could as"
        raise unusable(path, f"{found} well be meant from the other end", "black as 0 (MINISBLACK)")
    return shown, "white is stored as 0, and the mask is taken as viewers show it"


def _step(image: Image.Image) -> int:
    """Say what was stored as 1, of greys of 2 or 4 bits, which Pillow spreads over 0..255.

    To be asked before the image is loaded.
    """
    for tile in getattr(image, "tile", ()):
        raw = re.match(r"L;([24])(?!\d)", str(np.atleast_1d(tile[3])[0]))
        return 255 // (2 ** int(raw[1]) - 1) if raw else 1
    return 1


def _channels(path: Path, image: Image.Image, step: int) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Take out of an image what marks the objects: values, colours, or the alpha channel."""
    if image.mode == "P":
        return _of_palette(path, image)
    key = image.info.get("transparency")
    if image.mode == "1" or image.mode in ("L", "I", "F") or image.mode.startswith("I;16"):
        values = np.array(image.convert("L")) if image.mode == "1" else signed(image)
        if isinstance(key, int) and values.dtype.kind == "u":
            return _without_key(path, values, key * step)
        return values, ()
    if image.mode in ("PA", "LA", "La", "RGBA", "RGBa") or key is not None:
        layers = np.array(image.convert("RGBA"))
        if image.format == "BMP" and not layers[:, :, 3].any():  # a fourth byte that says nothing
            return layers[:, :, :3], ()
        return _of_layers(path, layers[:, :, :3], layers[:, :, 3])
    if image.mode == "LAB":
        raise unusable(path, "has colours in CIELab", "greys, a palette, or red, green and blue")
    return np.array(image.convert("RGB")), ()


def _without_key(
    path: Path, values: NDArray[Any], key: int
) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Read greys, (H, W), of which one is transparent."""
    is_key = values == key
    if is_key.any() and key and not values[~is_key].any():
        found = f"is black where it is not transparent ({key}), and does not say which is the mask"
        raise unusable(path, found, "an object that is lighter than its background")
    alpha = np.where(is_key, 0, np.iinfo(values.dtype).max).astype(values.dtype)
    return _of_layers(path, values[:, :, None].repeat(3, axis=2), alpha)


def _of_layers(
    path: Path, colours: NDArray[Any], alpha: NDArray[Any]
) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Find the mask in colours, (H, W, 3), and what is opaque of them, (H, W), of the same type."""
    if not alpha.any():
        raise empty(path, "is transparent everywhere: the mask marks no pixel")
    opaque = np.iinfo(alpha.dtype).max
    visible = np.unique(colours[alpha > 0], axis=0)
    if alpha.min() < opaque and (len(visible) <= 1 or _is_photograph(colours, alpha, visible)):
        return alpha, ("the mask is the alpha channel",)
    seen = np.where(alpha[:, :, None] > 0, colours, 0).astype(colours.dtype)
    return seen, ("transparent pixels are background",) if alpha.min() < opaque else ()


def _is_photograph(colours: NDArray[Any], alpha: NDArray[Any], visible: NDArray[Any]) -> bool:
    """Tell a cut-out, whose mask is its transparency, from colours that number objects."""
    return len(visible) > SHADES and float(flat_areas(colours)[alpha > 0].mean()) < FLAT


def _of_palette(path: Path, image: Image.Image) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Read a palette by its colours, of which black is the background; its indices are labels."""
    indices, opacity = np.array(image), _opacity(image)
    palette = np.array(image.getpalette("RGB") or [], dtype=np.uint8).reshape(-1, 3)
    used = np.unique(indices)
    visible = used[opacity[used] > 0]
    if used.max() < len(palette):
        entries = np.column_stack([palette[visible], opacity[visible]])
    if used.max() >= len(palette) or len(np.unique(entries, axis=0)) < len(visible):
        # Two numbers of one colour: the palette is not meant to be seen.
        seen = np.where(opacity[indices] > 0, indices, 0).astype(indices.dtype)
        return seen, ("transparent pixels are background",) if len(visible) < len(used) else ()
    if opacity[used].min() < 255:
        layers = np.array(image.convert("RGBA"))
        return _of_layers(path, layers[:, :, :3], layers[:, :, 3])
    said = ("black of the palette is the background",)
    if (palette == palette[:, :1]).all():
        is_turned = list(used) == [0, 1] and palette[0].any() and not palette[1].any()
        return np.array(image.convert("L")), said if is_turned else ()
    black = used[(palette[used] == 0).all(axis=1)]
    if list(black) == [0]:
        return indices, ()
    if len(black):
        return np.array(image.convert("RGB")), said
    if 0 in used and len(used) == 2:
        raise doubt(path, "has a palette of two colours, and neither is black: which is the mask")
    return indices, ()


def _border_of_palette(image: Image.Image, indices: NDArray[Any]) -> int | None:
    """Find Pascal VOC's colour of borders among the indices, (H, W); as 255 it is void anyhow."""
    palette = np.array(image.getpalette("RGB") or [], dtype=np.uint8).reshape(-1, 3)
    found = np.flatnonzero((palette == VOC_VOID).all(axis=1))
    return int(found[0]) if len(found) == 1 and not (indices == _WHITE).any() else None


def _opacity(image: Image.Image) -> NDArray[np.uint8]:
    """Read how opaque each entry of a palette is, (256,), 255 where the file says nothing."""
    opacity, key = np.full(256, 255, np.uint8), image.info.get("transparency")
    if isinstance(key, bytes):
        opacity[: len(key)] = np.frombuffer(key, np.uint8)
    elif isinstance(key, int):
        opacity[key] = 0
    return opacity


def _is_lossy(path: Path, image: Image.Image) -> bool:
    """Tell whether the file's form blurs values, or may; of a WebP its chunks tell."""
    if image.format == "WEBP":
        return _is_lossy_webp(path)
    is_blurred = image.info.get("compression") in ("jpeg", "tiff_jpeg", "webp")  # within a TIFF
    # JPEG 2000 is cut off at any size, its lossless form, too.
    return image.format in ("AVIF", "JPEG", "JPEG2000", "MPO") or is_blurred


def _is_lossy_webp(path: Path) -> bool:
    """Look through a WebP's chunks, in whatever order they are."""
    with path.open("rb") as file:
        file.seek(12)  # "RIFF", the length, "WEBP"
        while len(head := file.read(8)) == 8:
            if head[:4] == b"VP8 ":  # VP8L is the lossless form
                return True
            # The chunks of an animation's frame follow behind 16 bytes of its own.
            size = 16 if head[:4] == b"ANMF" else int.from_bytes(head[4:], "little")
            file.seek(size + size % 2, os.SEEK_CUR)
    return False


def doubt(
    path: Path,
    found: str,
    *,
    trimap: bool = False,
    kind: str = "label_map",
) -> InvalidItemError:
    """Say that a mask could mean two things, and how a person says which."""
    more = ", --masks-are trimap one object and its border" if trimap else ""
    return InvalidItemError(
        f"{path} {found}? Export a PNG of one object, or say what it is: {_SAID}{more}.",
        kind=kind,
    )


def unusable(path: Path, found: str, expected: str) -> InvalidItemError:
    """Say that a mask holds what nothing said of it makes usable, and what it should hold."""
    return InvalidItemError(
        f"mask {path} {found}. Expected {expected}: export it again, as a PNG of one object "
        "(0 and 255) or of a number for each (0 the background).",
        kind="label_map",
    )


def empty(path: object, found: str) -> InvalidItemError:
    """Say that a mask marks nothing."""
    return InvalidItemError(
        f"mask {path} {found}. Draw the object with 255, or remove the file and its entry.",
        kind="empty_mask",
    )
