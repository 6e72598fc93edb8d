"""TIFF files beyond what Pillow says of them: pages, bands, and what their numbers stand for."""

# Shapes: H, W of a page; S its samples, as bands and an alpha channel are called in TIFF.

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Self

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from pasam.errors import InvalidItemError


class ChoiceError(InvalidItemError):
    """A file that is intact holds more than an image, and nobody said which part is meant."""


def to_choose(
    source: Path | bytes, found: str, which: str, what: str = "image", *, is_damaged: bool = False
) -> InvalidItemError:
    """Say what a file holds and what has to be chosen of it.

    Args:
        source: The file, or its content.
        found: What it holds.
        which: What has to be chosen, as a noun.
        what: `image` or `mask`, as in `open_image`.
        is_damaged: Whether it holds nothing at all, so that no choice would help.
    """
    kind = f"undecodable_{what}"
    error = InvalidItemError if is_damaged else ChoiceError
    return error(f"{what}{_name(source)} {found}. Choose {which}.", kind=kind)


def _name(source: Path | bytes) -> str:
    return "" if isinstance(source, bytes) else f" {source}"


class TiffTag(IntEnum):
    """Numbers of the tags that are looked at here, as TIFF 6.0 lists them."""

    KIND = 254
    """Bit 0: a smaller version of another page; bit 2: where another page is transparent."""
    OLD_KIND = 255
    """2: a smaller version of another page."""
    WIDTH = 256
    HEIGHT = 257
    BITS = 258
    WHITE = 262
    """What the samples mean: 0 that white is stored as 0, 1 that black is, 2 that they are RGB."""
    DESCRIPTION = 270
    SAMPLES = 277
    PLANES = 284
    """2: one sample of all pixels after the other, rather than all samples of each pixel."""
    SOFTWARE = 305
    EXTRA = 338
    """What further samples are: 0 unknown, 1 or 2 an alpha channel."""
    FORMAT = 339
    """1: from 0; 2: with a sign; 3: fractions."""
    DEPTH = 32997
    """Slices of a volume that a page holds one behind the other."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TiffForm:
    """How one page stores its pixels."""

    samples: int
    bits: int
    number_format: int
    """As `TiffTag.FORMAT`."""
    white: int
    """As `TiffTag.WHITE`."""
    slices: int
    """1, unless the page is a volume."""
    is_planar: bool
    has_alpha: bool
    """Whether the last sample is an alpha channel."""
    writer: str
    """What wrote the file, as far as it says so."""

    @classmethod
    def of_tags(cls, tags: Any) -> Self:  # noqa: ANN401 Pillow's and tifffile's mappings share `get`
        """Read the form off the tags of a page, from number to value."""

        def first(tag: TiffTag, usual: int) -> int:
            value = tags.get(tag, usual)
            value = value[0] if isinstance(value, tuple) and value else value
            return int(value) if isinstance(value, int) else usual

        samples, extra = first(TiffTag.SAMPLES, 1), tags.get(TiffTag.EXTRA, ())
        extra = extra if isinstance(extra, tuple) else (extra,)
        return cls(
            samples=samples,
            bits=first(TiffTag.BITS, 1),
            number_format=first(TiffTag.FORMAT, 1),
            white=first(TiffTag.WHITE, 0),
            slices=first(TiffTag.DEPTH, 1),
            is_planar=samples > 1 and first(TiffTag.PLANES, 1) == 2,
            has_alpha=bool(extra) and extra[-1] in (1, 2),
            writer=" ".join(
                str(tags.get(tag, "")) for tag in (TiffTag.SOFTWARE, TiffTag.DESCRIPTION)
            ),
        )

    @classmethod
    def of_image(cls, image: Image.Image) -> Self:
        """Read the form of an image that Pillow has opened, and not loaded."""
        return cls.of_tags(getattr(image, "tag_v2", {}))

    @property
    def is_coloured(self) -> bool:
        """Whether the file says that its samples are red, green and blue."""
        return self.white == _RGB

    @property
    def is_white_low(self) -> bool:
        """Whether one sample a pixel is stored with white as 0."""
        return self.white == _WHITE_IS_ZERO and self.samples == 1

    @property
    def is_beyond_pillow(self) -> bool:
        """Whether Pillow would decode it without an error to other values than it holds."""
        is_pair = self.samples == 2 and not self.has_alpha  # of which Pillow gives the first
        return is_pair or self.slices > 1 or (self.is_planar and self.bits != _PILLOWS_BITS)

    @property
    def is_array(self) -> bool:
        """Whether it is an array of booleans by tifffile: each says that white is 0, True is 1."""
        is_by_tifffile = self.writer.startswith("tifffile") or '{"shape":' in self.writer
        return self.bits == 1 and is_by_tifffile

    @property
    def is_by_imagej(self) -> bool:
        """Whether ImageJ wrote it: of its masks, of 0 and 255, white may be 0 to show 255 dark."""
        return "ImageJ=" in self.writer


_WHITE_IS_ZERO, _RGB = 0, 2  # of `TiffTag.WHITE`
_PILLOWS_BITS = 8  # that it reads of samples that lie one after the other
_REDUCED = 2  # of `TiffTag.OLD_KIND`
_MOST_PAGES = 100
"""Pages that are looked at to find the main one; previews are a few."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TiffPage:
    """The samples of one page, as stored."""

    values: NDArray[Any]
    """(H, W, S)."""
    form: TiffForm
    orientation: int
    """As EXIF's; 1 where the file says none."""
    number: int
    """From 1."""
    notes: tuple[str, ...]
    """What a person should know of the choice of the page."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MainPages:
    """The pages that are no preview and no transparency of another one."""

    numbers: tuple[int, ...]
    """From 0; the first is the one to read. None of a file without a page."""
    is_stack: bool
    """Whether a further one is as large as the first, so that one has to be chosen."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Say that there are further pages of other sizes, which an image is not made of."""
        said = "its first page is the image, and further ones of other sizes are left out"
        return (said,) if len(self.numbers) > 1 and not self.is_stack else ()


def main_pages(sizes: Sequence[tuple[int, int]], kinds: Sequence[int]) -> MainPages:
    """Find the main pages: all but those that call themselves less, or are another one, smaller.

    Args:
        sizes: Of each page.
        kinds: `TiffTag.KIND` of each page; bit 0 also where `TiffTag.OLD_KIND` says so.
    """
    whole = [n for n, kind in enumerate(kinds) if not kind & 0b101] or list(range(len(kinds)))
    of_whole = {sizes[n] for n in whole}
    numbers = [n for n in whole if not any(_is_smaller(sizes[n], size) for size in of_whole)]
    count = sum(sizes[n] == sizes[numbers[0]] for n in numbers)
    return MainPages(numbers=tuple(numbers), is_stack=count > 1)


def _is_smaller(size: tuple[int, int], whole: tuple[int, int]) -> bool:
    """Tell whether a page could be a preview of another: half of either side at most, and alike."""
    if min(size) == 0 or any(2 * one - 1 > of for one, of in zip(size, whole, strict=True)):
        return False  # an odd side is rounded up
    return size != whole and abs(size[1] - whole[1] * size[0] / whole[0]) <= _UNLIKE


_UNLIKE = 2  # pixels by which rounding and blocks make a side of a preview longer or shorter


def pages_of(image: Image.Image) -> MainPages:
    """Find the main pages of a TIFF that Pillow has opened, and turn to the first of them."""
    count = min(getattr(image, "n_frames", 1), _MOST_PAGES)
    if count == 1:
        return MainPages(numbers=(0,), is_stack=False)
    sizes, kinds = [], []
    for number in range(count):
        with contextlib.suppress(Exception):  # of a page that Pillow cannot decode, its tags say
            image.seek(number)
        tags = getattr(image, "tag_v2", {})
        sizes.append((int(tags.get(TiffTag.WIDTH, 0)), int(tags.get(TiffTag.HEIGHT, 0))))
        kinds.append(int(tags.get(TiffTag.KIND, 0)) | (tags.get(TiffTag.OLD_KIND) == _REDUCED))
    found = main_pages(sizes, kinds)
    image.seek(found.numbers[0])
    return found


def turn_to_page(image: Image.Image, source: Path | bytes, page: int | None) -> tuple[str, ...]:
    """Turn to a page of a TIFF file; other formats' further frames are previews or animations.

    Args:
        image: As Pillow has opened it.
        source: The file, or its content.
        page: Which one, from 1; None: the first main one, unless it is a stack.

    Returns:
        What a person should know of the page.
    """
    count = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1
    if page is not None and not 1 <= page <= count:
        raise to_choose(source, f"has {count} pages, and no page {page}", "one of them: page")
    if count == 1:
        return ()
    if page is not None:
        image.seek(page - 1)
        return ()
    found = pages_of(image)
    if found.is_stack:
        raise stack(source, count)
    return found.notes


def read_page(source: Path | bytes, page: int | None, what: str = "image") -> TiffPage:
    """Read a page of a TIFF file without Pillow.

    Args:
        source: The file, or its content.
        page: Which one, from 1; None: the only one that is no preview.
        what: As in `open_image`.

    Raises:
        InvalidItemError: It cannot be decoded, or holds several pages and none was chosen.
    """
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        with tifffile.TiffFile(file) as opened:
            count = len(opened.pages)
            chosen = MainPages(numbers=((page or 1) - 1,), is_stack=False)
            found = chosen if page else _main_of(opened)
            is_one = len(found.numbers) == 1 or (what == "image" and not found.is_stack)
            if found.numbers and is_one:
                one = opened.pages[found.numbers[0]].aspage()
                form, orientation = _form_of(one)
                values, axes = one.asarray(), one.axes
    except Exception as error:  # noqa: BLE001 it raises whatever a damaged file makes of it
        raise _undecoded(source, error, what) from None
    if not found.numbers:
        raise to_choose(source, "has no page", "an intact TIFF", what, is_damaged=True)
    if not is_one:
        raise stack(source, count, what)
    if not values.size:
        raise to_choose(source, "has no pixels", "an intact TIFF", what, is_damaged=True)
    if values.ndim == 2:
        values = values[:, :, None]
    elif axes.startswith("S"):
        values = np.moveaxis(values, 0, -1)
    if values.dtype.kind == "c":
        which = "another export, of real ones"
        raise to_choose(source, "holds complex numbers", which, what)
    if form.slices > 1 or values.ndim != 3:
        which = "an export of its slices, a file each"
        raise to_choose(source, f"is a volume of {form.slices} slices", which, what)
    return TiffPage(
        values=values, form=form, number=found.numbers[0] + 1, orientation=orientation,
        notes=found.notes,
    )  # fmt: skip


def read_form(source: Path | bytes) -> tuple[TiffForm, tuple[int, int], int]:
    """Read from a TIFF's header how its main page is stored, its height and width, and its turn.

    Raises:
        InvalidItemError: It cannot be read.
    """
    try:
        with tifffile.TiffFile(io.BytesIO(source) if isinstance(source, bytes) else source) as file:
            page = file.pages[_main_of(file).numbers[0]].aspage()
            form, orientation = _form_of(page)
            return form, (page.imagelength, page.imagewidth), orientation
    except Exception as error:  # noqa: BLE001 it raises whatever a damaged file makes of it
        raise _undecoded(source, error, "image") from None


def _main_of(opened: tifffile.TiffFile) -> MainPages:
    """Find the main pages, from 0, as `main_pages` does."""
    seen = [opened.pages[n].aspage() for n in range(min(len(opened.pages), _MOST_PAGES))]
    kinds = [int(one.subfiletype) for one in seen]
    return main_pages([(one.imagewidth, one.imagelength) for one in seen], kinds)


def _form_of(page: tifffile.TiffPage) -> tuple[TiffForm, int]:
    """Read the form of a page, and EXIF's number of how it is turned."""
    orientation = int(page.tags.valueof("Orientation", 1))
    form = TiffForm.of_tags({tag.code: tag.value for tag in page.tags})
    return form, orientation if orientation in range(1, 9) else 1


def stack(source: Path | bytes, count: int, what: str = "image") -> InvalidItemError:
    """Say that a file is a stack of pages, of which one would have to be chosen."""
    if what == "image":
        return to_choose(source, f"is a stack of {count} pages", "one of them: page")
    return InvalidItemError(
        f"{what}{_name(source)} is a stack of {count} pages, and a mask is one of them. Write each "
        "page as a file of its own: NAME_1.png, NAME_2.png.",
        kind="label_map",
    )


def _undecoded(source: Path | bytes, error: Exception, what: str) -> InvalidItemError:
    which = "an intact TIFF"
    if "imagecodecs" in str(error):  # tifffile has few codecs of its own
        which = "an export that is not compressed, or with deflate"
    return to_choose(source, f"cannot be decoded ({error})", which, what, is_damaged=True)


def read_bands(
    source: Path | bytes, page: int | None, bands: tuple[int, ...] | None
) -> tuple[NDArray[Any], TiffPage]:
    """Read bands of an image, (H, W) or (H, W, 3) as stored, and the page that they are of.

    One band, two of which one is an alpha channel, and the three or four of a file that says that
    they are colours, need no choice.
    """
    read = read_page(source, page)
    count = read.values.shape[-1]
    if bands is None and (count == 1 or (count == 2 and read.form.has_alpha)):
        bands = (1,)
    elif bands is None and read.form.is_coloured and count in (3, 4):
        bands = (1, 2, 3)
    if bands is None:
        which = "one of them, or three for red, green and blue: bands"
        raise to_choose(source, f"has {count} bands", which)
    if len(bands) not in (1, 3) or not all(1 <= band <= count for band in bands):
        raise to_choose(source, f"has {count} bands, not {bands}", "one or three of them: bands")
    chosen = read.values[:, :, [band - 1 for band in bands]]
    return (chosen[:, :, 0] if len(bands) == 1 else chosen), read


def unread_bands(source: Path | bytes) -> InvalidItemError | None:
    """Say by the header alone why a TIFF is not decoded: by its bands, or by how they are stored.

    None where neither is unusual.
    """
    try:
        form, _, _ = read_form(source)
    except InvalidItemError:
        return None
    if form.samples not in (1, 3, 4):
        which = "one, three (red, green and blue) or four (and alpha) of them; export these alone"
        return to_choose(source, f"has {form.samples} bands", which)
    if form.slices > 1:
        return to_choose(
            source, f"is a volume of {form.slices} slices", "an export of its slices, a file each"
        )
    if form.is_planar and form.bits != _PILLOWS_BITS:
        which = "an export that stores them pixel by pixel"
        return to_choose(source, f"stores its bands of {form.bits} bits one after the other", which)
    return None
