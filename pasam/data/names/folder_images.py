"""What lies in a folder: images, files that are no image here, and what a foreign name means."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from urllib.parse import unquote

from pasam.errors import DataError
from pasam.files import is_regular, portable_path
from pasam.masks.images import IMAGE_SUFFIXES, MASK_SUFFIXES

JPEG_SUFFIXES = (".jpg", ".jpeg", ".jfif", ".jpe")
"""Names that browsers and old programs give to JPEG files are among them."""
READ_IMAGES = tuple(dict.fromkeys((*IMAGE_SUFFIXES, *JPEG_SUFFIXES)))
"""What an image's name ends with."""
READ_MASKS = tuple(dict.fromkeys((*MASK_SUFFIXES, *JPEG_SUFFIXES)))
"""What a mask's name ends with."""
OTHER_IMAGES = (
    ".arw", ".avif", ".cr2", ".cr3", ".czi", ".dcm", ".dng", ".eps", ".exr", ".gif", ".hdr",
    ".heic", ".heif", ".hif", ".j2k", ".jp2", ".jpx", ".jxl", ".lif", ".mat", ".mha", ".mrc",
    ".nd2", ".nef", ".nii", ".npy", ".npz", ".orf", ".pbm", ".pdf", ".pgm", ".pnm", ".ppm", ".psd",
    ".raf", ".rw2", ".svg", ".svs", ".tga", ".vsi",
)  # fmt: skip
"""What pictures are called that cannot be read here; other files may lie among images unsaid."""

_SHOWN = 5
_BY_LAST_PART = "the last part of their path"
_UNQUOTED = "their names without the per cent codes"
_OF_UPLOAD = "their names without the prefix of Label Studio's upload"
_ALIKE = "names that differ in capitals or blanks only"
_BY_STEM = "names without a suffix"
_UPLOADED = re.compile(r"[0-9a-f]{8}-(?P<name>.+)")
_NOT_IN_UPLOADS = re.compile(r"[^-\w.]")
_QUERY = re.compile(r"[?#][^/]*$")


def list_images(
    folder: Path, *, deep: bool = False, suffixes: Sequence[str] = READ_IMAGES
) -> list[Path]:
    """List the images of a folder, sorted; hidden ones are left out, links are followed.

    Args:
        folder: Where they lie.
        deep: Whether those in folders inside it count too.
        suffixes: What their names end with.

    Raises:
        DataError: A name is no UTF-8, so that no table can hold it.
    """
    found = [path for path in _files(folder, deep, set()) if path.suffix.lower() in suffixes]
    for path in found:
        name = os.fsencode(path)
        try:
            name.decode()
        except UnicodeDecodeError:
            shown = name.decode(errors="backslashreplace")
            raise DataError(
                f"the name {shown} is no UTF-8. Rename the file (convmv does it for whole folders)."
            ) from None
    return sorted(found)


def unread_images(
    folder: Path, *, deep: bool = False, suffixes: Sequence[str] = READ_IMAGES
) -> list[Path]:
    """List the files of a folder that are pictures by their names, and none that is read here."""
    found = (path for path in _files(folder, deep, set()))
    return sorted(
        path for path in found
        if path.suffix.lower() in OTHER_IMAGES and path.suffix.lower() not in suffixes
    )  # fmt: skip


def said_of_unread(folder: Path, unread: Sequence[Path]) -> str:
    """Say how many pictures of a folder are not read, of which kinds, and what is to be done."""
    kinds = Counter(path.suffix.lower() for path in unread)
    counted = ", ".join(f"{count} {suffix}" for suffix, count in sorted(kinds.items()))
    return (
        f"{len(unread)} files of {folder} that cannot be read here, e.g. {unread[0].name} "
        f"({counted}); convert them to PNG or JPEG"
    )


def _files(folder: Path, deep: bool, above: set[Path]) -> Iterator[Path]:
    """Go through a folder; what is no file, as a pipe, is listed, for its reader to refuse it."""
    here = folder.resolve()
    if here in above:  # a link that leads back up
        return
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if not path.is_dir():
            yield path
        elif deep:
            yield from _files(path, deep, above | {here})


def plain_form(name: str) -> str:
    """Give a name in the one form of its letters that is compared: macOS writes another."""
    return unicodedata.normalize("NFC", name)


def look_of(name: str) -> str:
    """Give what names have in common that differ in capitals and blanks only."""
    return " ".join(plain_form(name.casefold()).split())


def spellings(name: str) -> list[str]:
    """List how a name may be meant: as it stands, with Windows' folders, or as in an address."""
    turned = name.replace("\\", "/")
    return list(dict.fromkeys((name, turned, unquote(turned))))


class SpeltFiles:
    """Files by names that another system wrote: with backslashes, per cent codes, or NFD letters.

    Each folder is listed once, and only if a name in it is not found as it stands.
    """

    def __init__(self) -> None:
        self._below: dict[str, dict[str, str]] = {}

    def find(self, root: Path, name: str) -> Path | None:
        """Find a file by its name below a folder, or by its whole path; None if there is none."""
        for spelling in spellings(name):
            if found := self._found(root, spelling):
                return found
        return None

    def _found(self, root: Path, name: str) -> Path | None:
        if is_regular(root / name):
            return root / name
        if name.isascii():  # it has one form
            return None
        here = root
        for part in Path(name).parts:
            there = here / part
            if not os.path.lexists(there):
                known = self._forms(here).get(plain_form(part))
                if known is None:
                    return None
                there = here / known
            here = there
        return here if is_regular(here) else None

    def _forms(self, folder: Path) -> dict[str, str]:
        key = str(folder)
        if key not in self._below:
            try:
                self._below[key] = {plain_form(name): name for name in os.listdir(folder)}  # noqa: PTH208
            except (OSError, ValueError):
                self._below[key] = {}
        return self._below[key]


class NamedImages:
    """A folder of images, in which names are looked up that other machines wrote.

    Args:
        root: The folder, which is there.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ways: Counter[str] = Counter()
        """How often a name had to be read in another way than as it stands."""
        self._listed: dict[str, Path] | None = None
        self._last: dict[str, list[str]] = {}
        self._looks: dict[str, list[str]] = {}

    def find(self, name: str) -> Path:
        """Find an image by its name, as it stands or as a tool has changed it.

        Raises:
            DataError: It is not there, or cannot be told from another; what is to be done.
        """
        turned = name.strip().replace("\\", "/")
        for spelling in dict.fromkeys((name, turned)):
            try:
                path = self.root / portable_path(spelling)
            except DataError:
                continue
            if is_regular(path):
                return path
        listed = self._all()
        form = plain_form(turned)
        unquoted = plain_form(unquote(_QUERY.sub("", turned) if "://" in turned else turned))
        if form in listed:
            return listed[form]
        if unquoted in listed:
            self.ways[_UNQUOTED] += 1
            return listed[unquoted]
        for same, way in self._readings(form, unquoted):
            if len(same) > 1:
                raise DataError(
                    f"{name} may be any of {same[:_SHOWN]}. Write its place below --images"
                )
            if same:
                self.ways[way] += 1
                return listed[same[0]]
        raise DataError(
            f"{self.root / name} does not exist, and below --images no other image has its name"
            f"{self._hint(form)}"
        )

    def _readings(self, form: str, unquoted: str) -> Iterator[tuple[list[str], str]]:
        """Give the images that a name may mean, from the nearest reading to the farthest."""
        last = unquoted.rpartition("/")[2]
        yield sharing_folders(form, self._of_last(form.rpartition("/")[2])), _BY_LAST_PART
        yield sharing_folders(unquoted, self._of_last(last)), _UNQUOTED
        if uploaded := _UPLOADED.match(last):
            same = self._last.get(_upload_name(uploaded["name"]), [])
            yield sharing_folders(uploaded["name"], same), _OF_UPLOAD
        yield sharing_folders(unquoted, self._looks.get(look_of(last), [])), _ALIKE
        if Path(last).suffix.lower() not in (*READ_IMAGES, *OTHER_IMAGES):
            yield sharing_folders(unquoted, self._of_stem(last)), _BY_STEM
            alike = (one for one in self._all() if look_of(Path(one).stem) == look_of(last))
            yield sharing_folders(unquoted, alike), _ALIKE

    def _of_last(self, last: str) -> list[str]:
        same = self._last.get(_upload_name(last), [])
        return [one for one in same if one.rpartition("/")[2] == last]

    def _of_stem(self, stem: str) -> list[str]:
        return [one for one in self._all() if Path(one).stem == stem]

    def _hint(self, form: str) -> str:
        """Name what is there under nearly this name."""
        stem = form.rpartition("/")[2].rpartition(".")[0]
        unread = [path.name for path in unread_images(self.root, deep=True) if path.stem == stem]
        if unread:
            return f"; {unread[0]} is there, and cannot be read here: convert it to PNG or JPEG"
        same = self._of_stem(stem) if stem else []
        return f"; {same[0]} is there: correct the suffix" if same else ""

    def _all(self) -> dict[str, Path]:
        if self._listed is None:
            self._listed = {}
            for path in list_images(self.root, deep=True):
                form = plain_form(path.relative_to(self.root).as_posix())
                self._listed[form] = path
                last = form.rpartition("/")[2]
                self._last.setdefault(_upload_name(last), []).append(form)
                self._looks.setdefault(look_of(last), []).append(form)
        return self._listed


def sharing_folders(name: str, images: Iterable[str]) -> list[str]:
    """Give those of some images that share most folders above them with a name."""
    parts = name.split("/")[-2::-1]
    shared = {
        one: sum(1 for _ in takewhile(_alike, zip(parts, one.split("/")[-2::-1], strict=False)))
        for one in images
    }
    return [one for one in shared if shared[one] == max(shared.values())]


def _alike(both: tuple[str, str]) -> bool:
    return both[0] == both[1]


def _upload_name(name: str) -> str:
    """Give the name under which Label Studio, whose storage is Django's, keeps an upload."""
    return _NOT_IN_UPLOADS.sub("", name.replace(" ", "_"))
