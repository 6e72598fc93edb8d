"""Images: the one place that decodes them, strictly, and the one that writes them.

Every reader gets the same pixels: turned upright as the file's EXIF or XMP tag says, in RGB, values
of more than 8 bits scaled by a rule that is stated here (`eight_bits`).
"""

# Shapes: H and W of the file's image, C its channels.

from __future__ import annotations

import importlib.metadata
import io
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from pasam.errors import DataError, InvalidItemError
from pasam.files import write_bytes
from pasam.masks.tiff_files import (
    ChoiceError,
    TiffForm,
    pages_of,
    read_bands,
    read_form,
    to_choose,
    turn_to_page,
    unread_bands,
)

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""What a file of a folder must end with, in either case, to be taken for an image."""
MASK_SUFFIXES = (*IMAGE_SUFFIXES, ".gif")
"""The same for a mask."""

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
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # how every TIFF begins
_UPRIGHT = 1
_XMP_PREFIX = re.compile(r"""xmlns:([\w.-]+)\s*=\s*["']http://ns\.adobe\.com/tiff/1\.0/["']""")
_BRIGHTEST = 0.999  # fraction of the values that must fit into the bits that are assumed
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
            file = io.BytesIO(source) if isinstance(source, bytes) else _regular(located(source))
            with Image.open(file, formats=formats) as image:
                if image.format == "TIFF":
                    # By its name Pillow maps greys into memory, and mixes them up in turning.
                    image.filename = ""
                    pages_of(image)  # a preview may come first
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
        shown = name.encode("utf-8", "backslashreplace").decode()
        raise InvalidItemError(
            f"{what} {shown} cannot be decoded ({type(error).__name__ if unknown else error}). "
            "Expected an intact PNG, JPEG, WebP, BMP or TIFF: export it again, or remove it and "
            "its entry.",
            kind=f"undecodable_{what}",
        ) from None


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadedImage:
    """An image as everything sees it, and what was done to the file's pixels."""

    pixels: NDArray[np.uint8]
    """RGB, (H, W, 3)."""
    orientation: int
    """EXIF's number, 1 for upright, of how the pixels are stored."""
    notes: tuple[str, ...]
    """What a person should know: how it was turned and scaled, which bands it was made of."""
    reduction: int = 1
    """How many of the file's pixels, down and across, a pixel stands for: 1, 2, 4 or 8."""


def read_image(
    source: Path | bytes,
    *,
    upright: bool = True,
    formats: tuple[str, ...] | None = None,
    most_pixels: int | None = None,
) -> NDArray[np.uint8]:
    """Read an image as RGB; `load_image` says what was done to it.

    Args:
        source: A file in any format that Pillow decodes, or its content.
        upright: Turn the image as its EXIF or XMP tag says, and as viewers show it.
        formats: As in `open_image`.
        most_pixels: As in `open_image`.

    Returns:
        The image, (H, W, 3), 0..255.

    Raises:
        InvalidItemError: The file is missing, is not an intact image, or is too large.
    """
    return load_image(source, upright=upright, formats=formats, most_pixels=most_pixels).pixels


def load_image(
    source: Path | bytes,
    *,
    upright: bool = True,
    formats: tuple[str, ...] | None = None,
    most_pixels: int | None = None,
    page: int | None = None,
    bands: tuple[int, ...] | None = None,
    least: int | None = None,
) -> LoadedImage:
    """Read an image as `read_image` does, and say what was done to it.

    Grey images are repeated to three channels, an alpha channel is dropped, values of more than 8
    bits are scaled as `eight_bits` says.

    Args:
        source: A file, or its content.
        upright: As in `read_image`.
        formats: As in `open_image`.
        most_pixels: As in `open_image`.
        page: Which page of a stack, from 1; a stack without a choice is refused.
        bands: One band, or three for red, green and blue, from 1; an image of two bands, or of
            more than four, without a choice is refused.
        least: Pixels of the longer side that suffice: a JPEG of twice as many comes smaller.

    Raises:
        InvalidItemError: The file is missing, is not an intact image, is too large, or is a stack
            or has bands of which none were chosen.
    """
    stored = _stored(source, formats, most_pixels, page, bands, least)
    left, orientation = stored.left, stored.orientation
    notes = [*stored.notes, *([f"made of its bands {bands}"] if bands else [])]
    pixels, scaled = eight_bits(stored.values)
    notes += [scaled] if scaled else []
    if stored.is_negative:
        pixels = 255 - pixels
    if upright:
        pixels = turned(pixels, left)
    elif left != orientation:  # Pillow and OpenCV turn a TIFF anyhow
        pixels = turned(pixels, {6: 8, 8: 6}.get(orientation, orientation))
    if orientation != (_UPRIGHT if upright else left):
        notes.append(f"turned upright, as its EXIF orientation {orientation} says")
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, axis=2)
    return LoadedImage(
        pixels=np.ascontiguousarray(pixels), orientation=orientation, notes=tuple(notes),
        reduction=stored.reduction,
    )  # fmt: skip


def _reduced(image: Image.Image, least: int | None) -> tuple[int, tuple[slice, slice]]:
    """Let libjpeg decode a JPEG to a half, a quarter or an eighth of its sides, not below `least`.

    Returns:
        2, 4 or 8, or 1 for every pixel; and what to keep: the last row or column is left out where
        most of it sticks out of the image, so that none is further than half of one from its place.
    """
    shorter, longer = sorted(image.size)
    wanted = least if least is not None and image.format in ("JPEG", "MPO") else longer
    for reduction in (8, 4, 2):
        if wanted * reduction <= longer and reduction <= shorter:
            rows, columns = (round(length / reduction) for length in (image.height, image.width))
            image.draft(None, (image.width // reduction, image.height // reduction))
            return reduction, (slice(rows), slice(columns))
    return 1, (slice(None), slice(None))


@dataclass(frozen=True, kw_only=True, slots=True)
class _FileValues:
    """The values of a file, as one of the libraries gives them."""

    values: NDArray[Any]
    """(H, W) or (H, W, 3), in the depth of the file."""
    orientation: int
    """EXIF's number of how they are stored."""
    left: int
    """The same of how they lie now: TIFF files come upright from Pillow."""
    is_negative: bool
    """Whether light has to be taken for dark."""
    reduction: int = 1
    """As in `LoadedImage`."""
    notes: tuple[str, ...] = ()
    """What a person should know of the page that was read."""


def _stored(
    source: Path | bytes,
    formats: tuple[str, ...] | None,
    most_pixels: int | None,
    page: int | None,
    bands: tuple[int, ...] | None,
    least: int | None,
) -> _FileValues:
    """Decode an image, by Pillow where it keeps what is stored."""
    try:
        with open_image(source, formats=formats, most_pixels=most_pixels) as image:
            notes = turn_to_page(image, source, page)
            # Loading forgets the depth, and how a TIFF was stored, which Pillow turns itself.
            depth, orientation = stored_depth(image), orientation_of(image)
            left = orientation_left(image)
            form = TiffForm.of_image(image) if image.format == "TIFF" else None
            values: NDArray[Any] | None = None
            if not bands and (form is None or not form.is_beyond_pillow):
                is_deep = depth > _BYTE and image.mode in ("RGB", "RGBA")  # Pillow keeps 8 bits
                is_deep = is_deep and image.format in ("PNG", "TIFF")
                if is_deep and form is not None:  # OpenCV reads the tag, and no XMP
                    is_tagged = ExifTags.Base.Orientation in getattr(image, "tag_v2", ())
                    left = _UPRIGHT if is_tagged else orientation
                reduction, part = _reduced(image, least)
                image.load()
                values = _deep_rgb(image, source) if is_deep else _channels(image)[part]
            if values is not None:
                # Pillow turns white and black of 8 bits, and leaves deeper numbers as stored.
                is_negative = form is not None and form.is_white_low
                is_negative &= form is not None and (form.bits <= _BYTE) == form.is_array
                return _FileValues(
                    values=values, orientation=orientation, left=left, is_negative=is_negative,
                    reduction=reduction, notes=notes,
                )  # fmt: skip
    except ChoiceError:
        raise
    except InvalidItemError as error:
        if error.kind != "undecodable_image" or not is_tiff(source):
            raise
        if formats is not None:
            raise unread_bands(source) or error from None
    # Pillow knows no TIFF of five bands, and none of doubles.
    if formats is not None:
        raise unread_bands(source) or to_choose(source, "has deep colours", "an export of 8 bits")
    values, read = read_bands(source, page, bands)
    return _FileValues(
        values=values, orientation=read.orientation, left=read.orientation,
        is_negative=read.form.is_white_low and not read.form.is_array and not bands,
        notes=read.notes,
    )  # fmt: skip


def eight_bits(values: NDArray[Any]) -> tuple[NDArray[np.uint8], str | None]:
    """Scale the values of an image, (H, W) or (H, W, 3), to 0..255.

    Whole numbers are taken to have the fewest bits, 8 or more, that hold all but the brightest
    thousandth of them: 12 bits in a file of 16 are scaled as 12 bits. Fractions from 0 to 1 are
    scaled to 255, other fractions and negative numbers from the lowest to the highest one.

    Returns:
        The image, and in words what was done; None if nothing was.
    """
    if values.dtype == np.uint8:
        return values, None
    numbers = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
    low, high = float(numbers.min()), float(numbers.max())
    if values.dtype.kind in "ui" and low >= 0:
        top = int(np.quantile(numbers, _BRIGHTEST, method="higher"))
        low, high = 0.0, float(2 ** max(8, top.bit_length()) - 1)
    elif low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    scaled = np.clip((numbers - low) / max(high - low, 1e-12), 0, 1) * 255
    kind = f"{8 * values.dtype.itemsize} bits"
    return np.rint(scaled).astype(np.uint8), f"{kind}, of which {low:g} to {high:g} became 0 to 255"


def orientation_of(image: Image.Image) -> int:
    """Read EXIF's number for how the pixels are stored, 1 to 8, from EXIF or XMP; 1 is upright."""
    found: int | None = image.getexif().get(ExifTags.Base.Orientation)
    if found is None:
        found = _orientation_of_xmp(image.info.get("xmp") or image.info.get("XML:com.adobe.xmp"))
    return found if found is not None and found in range(1, 9) else _UPRIGHT


def orientation_left(image: Image.Image) -> int:
    """Say what will be left to turn once Pillow has loaded the image; it turns TIFF files itself.

    To be asked before the image is loaded.
    """
    by_pillow = image.format == "TIFF" and ExifTags.Base.Orientation in image.getexif()
    return _UPRIGHT if by_pillow else orientation_of(image)


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Give height and width of an image that is not loaded yet, as viewers show it."""
    by_pillow = orientation_of(image) >= 5 and orientation_left(image) == _UPRIGHT
    is_tagged = by_pillow and ExifTags.Base.Orientation in getattr(image, "tag_v2", ())
    height, width = image.size[::-1]
    # Pillow swaps the size by a TIFF's tag at once, and by its XMP only with the pixels.
    return (width, height) if orientation_of(image) >= 5 and not is_tagged else (height, width)


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageHeader:
    """What an image's header says of it."""

    size: tuple[int, int]
    """Height and width, upright."""
    depth: int
    """Bits per channel."""
    orientation: int
    """EXIF's number of how it is stored, 1 for upright."""


def read_header(path: Path) -> ImageHeader:
    """Read an image's header, without decoding the image.

    Raises:
        InvalidItemError: The file is missing, or no image.
    """
    try:
        with open_image(path) as image:
            # To look for EXIF in a PNG loads it, and forgets its depth.
            depth, form = stored_depth(image), TiffForm.of_image(image)
            depth = form.bits if image.format == "TIFF" and form.is_beyond_pillow else depth
            return ImageHeader(
                size=upright_size(image), depth=depth, orientation=orientation_of(image)
            )
    except InvalidItemError as error:
        if error.kind != "undecodable_image" or not is_tiff(path):
            raise
    form, size, orientation = read_form(path)  # of doubles, or of five bands
    size = size[::-1] if orientation >= 5 else size
    return ImageHeader(size=size, depth=form.bits, orientation=orientation)


def _orientation_of_xmp(content: bytes | str | None) -> int | None:
    """Find XMP's orientation, whatever prefix and quotes its writer has chosen."""
    if content is None:
        return None
    text = content if isinstance(content, str) else content.decode("utf-8", "ignore")
    prefix = _XMP_PREFIX.search(text)
    if prefix is None:
        return None
    name = rf"\b{re.escape(prefix[1])}:Orientation"
    found = re.search(rf"{name}\s*=\s*[\"']\s*([1-8])|<{name}[^>]*>\s*([1-8])", text)
    return None if found is None else int(found[1] or found[2])


def turned(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Turn stored pixels, (H, W) or (H, W, C), upright; from orientation 5 on H and W change."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    down, across = {2: (1, -1), 3: (-1, -1), 4: (-1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}.get(
        orientation, (1, 1)
    )
    return np.ascontiguousarray(pixels[::down, ::across])


PACKAGE = "package:"
"""What the path of an image begins with that ships with an installed package."""


def package_path(package: str, file: str) -> Path:
    """Write where a package keeps an image, the same on every machine: name, version, file.

    Raises:
        PackageNotFoundError: The package is not installed.
    """
    return Path(f"{PACKAGE}{package}@{importlib.metadata.version(package)}", file)


def is_packaged(path: Path) -> bool:
    """Say whether a path is one of `package_path`."""
    return any(part.startswith(PACKAGE) for part in path.parts)


def located(path: Path) -> Path:
    """Find the file of an image; every path but those of `package_path` is its own.

    Raises:
        OSError: The package is not installed in the version that the path names.
    """
    if not is_packaged(path):
        return path
    first = next(n for n, part in enumerate(path.parts) if part.startswith(PACKAGE))
    name, _, version = path.parts[first].removeprefix(PACKAGE).partition("@")
    try:
        found = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        raise OSError(f"{name} is not installed; `pip install {name}=={version}`") from None
    if found.version != version:
        raise OSError(
            f"{name} {found.version} is installed, and the manifest names {version}; run `dvc "
            "repro prepare` to list its images anew"
        )
    return Path(str(found.locate_file(Path(*path.parts[first + 1 :]))))


def _regular(path: Path) -> Path:
    """Refuse what only looks like a file: reading a pipe never ends."""
    try:
        is_file = not path.exists() or path.is_file()
        path.lstat()
    except FileNotFoundError:
        return path  # whoever opens it says so
    except ValueError as error:  # a zero byte in its name, which `exists` calls absent
        raise OSError(f"no file has such a name: {error}") from None
    if not is_file:
        raise OSError("it is no regular file")
    return path


def is_tiff(source: Path | bytes) -> bool:
    """Say whether a file, or its content, is a TIFF by its first bytes."""
    if isinstance(source, bytes):
        return source.startswith(_TIFF)
    try:
        with _regular(source).open("rb") as file:
            return file.read(4) in _TIFF
    except OSError:
        return False


_STRIP = 256  # rows
_BYTE = 8  # bits


def deep_colours(source: Path | bytes) -> NDArray[np.uint16] | None:
    """Read colours of 16 bits, (H, W, 3), or (H, W, 4) with an alpha channel; None where not.

    A PNG's as stored; the first page of a TIFF upright.
    """
    content = source if isinstance(source, bytes) else located(source).read_bytes()
    flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
    deep = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    if deep is None or deep.ndim != 3 or deep.dtype != np.uint16:
        return None
    return np.asarray(deep[:, :, [2, 1, 0, 3][: deep.shape[2]]], np.uint16)


def _deep_rgb(image: Image.Image, source: Path | bytes) -> NDArray[np.uint16] | None:
    """Read the colours of an image without its alpha channel; None of a later page."""
    deep = None if image.format == "TIFF" and image.tell() else deep_colours(source)
    return None if deep is None else deep[:, :, :3]


def signed(image: Image.Image) -> NDArray[Any]:
    """Give the values of a loaded grey image, (H, W), of a TIFF with the sign that it says.

    Pillow takes 8 bits for numbers from 0, and 32 for numbers with a sign, whatever the file says.
    """
    values = np.asarray(image)
    if image.format == "TIFF" and image.mode in ("I", "L"):
        has_sign = TiffForm.of_image(image).number_format == _WITH_SIGN
        return values.view(f"{'i' if has_sign else 'u'}{values.dtype.itemsize}")
    return values


_WITH_SIGN = 2  # of `TiffForm.number_format`


def _channels(image: Image.Image) -> NDArray[Any]:
    """Give a decoded image as (H, W) or (H, W, 3), in the depth of the file."""
    is_grey = image.mode in ("I", "F", "L") or image.mode.startswith("I;16")
    if is_grey and "transparency" not in image.info:
        return signed(image)
    if "transparency" in image.info:
        image = image.convert("RGBA")
    return _rgb(image if image.mode == "RGB" else image.convert("RGB"))


def _rgb(image: Image.Image) -> NDArray[np.uint8]:
    """Copy an RGB image strip by strip, (H, W, 3): whole, Pillow would make two copies more."""
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, _STRIP):
        end = min(top + _STRIP, image.height)
        pixels[top:end] = np.asarray(image.crop((0, top, image.width, end)))
    return pixels


def stored_depth(image: Image.Image) -> int:
    """Give the bits per channel that a file stores, from its header."""
    raw = [str(part) for tile in getattr(image, "tile", ()) for part in np.atleast_1d(tile[3])]
    if image.mode in ("I", "F"):
        return 32
    if image.mode.startswith("I;16") or any("16" in part for part in raw):
        return 16
    return 1 if image.mode == "1" else 8


def encode_png(array: NDArray[np.uint8]) -> bytes:
    """Compress an RGB image (H, W, 3) or a mask (H, W) as PNG; equal arrays give equal bytes."""
    pixels = array if array.ndim == 2 else cv2.cvtColor(array, cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 4])
    return encoded.tobytes()


def encode_bits(mask: NDArray[np.uint8]) -> bytes:
    """Compress a mask of 0 and 255, (H, W), as PNG of one bit a pixel.

    For label images of thousands of objects, each with a mask of the whole image: an eighth of the
    time of a byte a pixel.
    """
    how = [cv2.IMWRITE_PNG_BILEVEL, 1, cv2.IMWRITE_PNG_COMPRESSION, 1]
    return cv2.imencode(".png", mask, how)[1].tobytes()


def encode_rgba(pixels: NDArray[np.uint8]) -> bytes:
    """Compress an image with an alpha channel, (H, W, 4), as PNG."""
    _, encoded = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGBA2BGRA))
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
