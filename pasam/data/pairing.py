"""Which mask belongs to which image: by names, in two folders, or in a table."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pasam.data.manifest import SPLITS
from pasam.errors import DataError

# --- pairing: Which mask belongs to which image, told by their names alone.

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""Endings of the files that count as pictures."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Matching:
    """Images with their masks, and whatever is left."""

    masks_of: dict[Path, tuple[Path, ...]]
    """The masks of every image that has one."""
    without_mask: tuple[Path, ...]
    without_image: tuple[Path, ...]
    """Masks whose name leads to no image."""
    same_name: tuple[tuple[Path, Path], ...]
    """Images that differ in nothing but their suffix, so that masks cannot tell them apart."""


def match_names(
    images: Sequence[Path], masks: Sequence[Path], *, image_root: Path, mask_root: Path
) -> Matching:
    """Pair masks with images by their names below the two roots.

    The masks of `cat.jpg` are `cat.png`, `cat.jpg.png`, `cat_<anything>.png` and every file in a
    folder `cat`; the longest image name that fits wins.

    Args:
        images: Files below `image_root`.
        masks: Files below `mask_root`.
        image_root: Folder that the images' names start from.
        mask_root: Folder that the masks' names start from.
    """
    by_name: dict[str, Path] = {}
    same_name = []
    for image in images:
        other = by_name.setdefault(_name(image, image_root), image)
        if other != image:
            same_name.append((other, image))
    whole_names = {image.relative_to(image_root).as_posix(): image for image in images}
    masks_of: dict[Path, list[Path]] = {}
    without_image = []
    for mask in masks:
        name = _name(mask, mask_root)
        owner = whole_names.get(name) or next(
            (by_name[owner] for owner in _possible_owners(name) if owner in by_name), None
        )
        if owner is None:
            without_image.append(mask)
        else:
            masks_of.setdefault(owner, []).append(mask)
    return Matching(
        masks_of={image: tuple(masks_of[image]) for image in images if image in masks_of},
        without_mask=tuple(image for image in images if image not in masks_of),
        without_image=tuple(without_image),
        same_name=tuple(same_name),
    )


def list_images(folder: Path, *, deep: bool = False) -> list[Path]:
    """List the pictures of a folder, sorted; hidden ones are left out.

    Args:
        folder: Where they lie.
        deep: Whether those in folders inside it count too.
    """
    return sorted(
        path
        for path in (folder.rglob("*") if deep else folder.iterdir())
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )


def _name(path: Path, root: Path) -> str:
    """Name a file by its place below the root, without its suffix."""
    return path.relative_to(root).with_suffix("").as_posix()


def _possible_owners(name: str) -> Iterator[str]:
    """List what the image of a mask may be called, from the longest name to the shortest."""
    folder, slash, short = name.rpartition("/")
    while short:
        yield folder + slash + short
        short = short.rpartition("_")[0]
    while folder:
        yield folder
        folder = folder.rpartition("/")[0]


# --- sources: Where a set of one's own comes from, two folders or a table: pairs found before
# any is read.

GROUP_COLUMN = "group"


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodedMask:
    """One object of a COCO file, as a run-length code."""

    label: str
    size: tuple[int, int]
    """Height and width."""
    counts: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """One image and what marks its objects, not yet looked at."""

    image: Path
    name: str
    """What the image is called within its source, without suffix."""
    masks: tuple[Path, ...] = ()
    """Mask files."""
    encoded: tuple[EncodedMask, ...] = ()
    """Masks that lie in no file of their own."""
    group: str | None = None
    """What must not be torn apart by the split."""
    split: str | None = None
    """Given by the source; chosen by a hash if none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """All candidates of a source, with whatever is wrong and whatever should be said."""

    kind: str
    """folders, csv or coco."""
    candidates: tuple[Candidate, ...]
    faults: tuple[str, ...] = ()
    """What does not pair, in words."""
    notes: tuple[str, ...] = ()
    """What was left out on purpose."""


def from_folders(images: Path, masks: Path, *, group: str | None = None) -> Source:
    """Pair the pictures of two folders by name, folders inside them included.

    Args:
        images: Folder of the images.
        masks: Folder of the masks. If it is the same one, JPEG files are the images and PNG files
            the masks.
        group: Regular expression; what it finds in an image's name (its first parentheses, if it
            has any) is the image's group.

    Raises:
        DataError: A folder is missing or empty, or the expression is none.
    """
    image_files, mask_files = _listed(images, "images"), _listed(masks, "masks")
    if images.resolve() == masks.resolve():
        image_files = [path for path in image_files if path.suffix.lower() in (".jpg", ".jpeg")]
        mask_files = [path for path in mask_files if path.suffix.lower() == ".png"]
        if not image_files or not mask_files:
            raise DataError(
                f"{images} is named for images and masks, but does not hold JPEG files (images) "
                "and PNG files (masks). Put them into two folders."
            )
    found = match_names(image_files, mask_files, image_root=images, mask_root=masks)
    candidates = []
    faults = [
        f"{first} and {second} share a name, so masks cannot tell them apart. Rename one."
        for first, second in found.same_name
    ]
    for image, of_image in found.masks_of.items():
        name = image.relative_to(images).with_suffix("").as_posix()
        group_name = None if group is None else _group_of(name, group)
        if group is not None and group_name is None:
            faults.append(f"'{group}' (--group) finds nothing in the name {name}.")
        candidates.append(Candidate(image=image, name=name, masks=of_image, group=group_name))
    faults += [
        f"{image} has no mask: {masks} holds no {image.stem}.png, {image.stem}_<anything>.png or "
        f"folder {image.stem}/."
        for image in found.without_mask
    ]
    faults += [
        f"{mask} belongs to no image: {images} holds none of its name."
        for mask in found.without_image
    ]
    return Source(kind="folders", candidates=tuple(candidates), faults=tuple(faults))


def from_csv(table: Path, *, group: str | None = None) -> Source:
    """Read a table with the columns image and mask; rows of one image are its objects.

    Args:
        table: CSV in UTF-8. Paths are relative to it, or absolute. A column `split` decides the
            split, a column `group` what must stay together; others are ignored.
        group: Another name for the column `group`.

    Raises:
        DataError: It cannot be read, or lacks columns.
    """
    faults: list[str] = []
    rows: dict[Path, list[Mapping[str, str]]] = {}
    for number, row in _rows(table, group):
        place = f"{table}, row {number}"
        found = list(_row_faults(row, place, table.parent, group))
        if found:
            faults += found
        else:
            rows.setdefault(table.parent / row["image"], []).append(row)
    candidates = []
    for image, of_image in rows.items():
        for column in ("split", group or GROUP_COLUMN):
            if len({row.get(column) for row in of_image}) > 1:
                faults.append(f"{table} gives {image} more than one {column}. Keep one.")
        masks = tuple(table.parent / row["mask"] for row in of_image)
        if len(set(masks)) < len(masks):
            faults.append(f"{table} lists a mask of {image} twice. Remove one row.")
        candidates.append(
            Candidate(
                image=image,
                name=_sources_name(Path(of_image[0]["image"])),
                masks=masks,
                group=of_image[0].get(group or GROUP_COLUMN) or None,
                split=of_image[0].get("split") or None,
            )
        )
    return Source(kind="csv", candidates=tuple(candidates), faults=tuple(faults))


def _sources_name(image: Path) -> str:
    """Name an image by its path in the table; where that is one machine's, by its last part."""
    return image.stem if image.is_absolute() else image.with_suffix("").as_posix()


def _listed(folder: Path, what: str) -> list[Path]:
    if not folder.is_dir():
        raise DataError(f"The folder {folder} (--{what}) does not exist.")
    found = list_images(folder, deep=True)
    if not found:
        raise DataError(f"{folder} (--{what}) holds no JPEG, PNG, WebP, BMP or TIFF file.")
    return found


def _group_of(name: str, expression: str) -> str | None:
    try:
        found = re.search(expression, name)
    except re.error as error:
        raise DataError(f"--group '{expression}' is no regular expression: {error}.") from None
    if found is None:
        return None
    return found[1] if found.re.groups else found[0]


def _rows(table: Path, group: str | None) -> Iterator[tuple[int, dict[str, str]]]:
    """Read the rows with their line numbers, their values stripped."""
    wanted = ["image", "mask", *([group] if group else [])]
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [name for name in wanted if name not in (reader.fieldnames or [])]
            if missing:
                raise DataError(
                    f"{table} lacks the columns {missing}; it has {list(reader.fieldnames or [])}."
                )
            for row in reader:
                yield (
                    reader.line_num,
                    {key: (value or "").strip() for key, value in row.items() if key is not None},
                )
    except FileNotFoundError:
        raise DataError(f"The table {table} (--csv) does not exist.") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table} is not a CSV file in UTF-8 ({error}). Save it as one.") from None


def _row_faults(row: Mapping[str, str], place: str, root: Path, group: str | None) -> Iterator[str]:
    for name in ("image", "mask"):
        if not row[name]:
            yield f"{place}: '{name}' is empty. Fill it in, or remove the row."
        elif not (root / row[name]).is_file():
            yield f"{place}: {name} {root / row[name]} does not exist."
    if group is not None and not row[group]:
        yield f"{place}: '{group}' is empty, but --group names it."
    if row.get("split", "") not in ("", *SPLITS):
        yield f"{place}: split is '{row['split']}', expected one of {list(SPLITS)} or nothing."
