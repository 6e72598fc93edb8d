"""Which mask belongs to which image: by their names, in folders, or in a table.

`find_pairs` reads the folder of one's own data; `from_folders` and `from_csv` read a source that
is to be registered there. Nothing is decoded here.
"""

from __future__ import annotations

import functools
import itertools
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pasam.config.schema import SUMMARY_ROWS
from pasam.data.manifest import SPLITS, Fault
from pasam.data.names.folder_images import (
    JPEG_SUFFIXES,
    READ_IMAGES,
    READ_MASKS,
    SpeltFiles,
    list_images,
    plain_form,
    said_of_unread,
    unread_images,
)
from pasam.data.names.mask_names import (
    Matching,
    mask_owners,
    match_names,
    name_below,
    said_of_alike,
)
from pasam.errors import DataError
from pasam.files import Faults, is_regular, read_csv
from pasam.masks.run_lengths import Rle

CSV_NAME = "manifest.csv"
CSV_COLUMNS = ("split", "dataset", "image", "mask")
GROUP_COLUMN = "group"
SET_FILE = "set.json"
"""Marks a folder as a data set that was registered, with a table of its own."""


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Pair:
    """One mask and the image it belongs to."""

    split: str
    """`train` or `val`."""
    dataset: str
    image: Path
    mask: Path
    group: str = ""
    """What must stay together with the image: a film, a patient, a scene; empty if it is alone."""

    def place(self) -> tuple[object, ...]:
        """Give what pairs are sorted by, which compares sooner than the pairs themselves."""
        return self.split, self.dataset, self.image.parts, self.mask.parts, self.group

    def fault(self, kind: str, message: str) -> Fault:
        """Say what is wrong with this pair; `kind` is one of `pasam.data.manifest.KINDS`."""
        return Fault(
            kind=kind, split=self.split, dataset=self.dataset, image=self.image, mask=self.mask,
            message=message,
        )  # fmt: skip


def find_pairs(own: Path) -> tuple[tuple[Pair, ...], tuple[Fault, ...]]:
    """List the pairs of a folder, sorted, and what is wrong with single pairings.

    A `manifest.csv` with the columns split, dataset, image and mask (paths relative to the
    folder, further columns ignored) is read. Without one it is the layout
    `<split>/<dataset>/im` and `<split>/<dataset>/gt`, where the masks of `im/cat.jpg`
    are `gt/cat.png`, `gt/cat_<anything>.png` and every file in `gt/cat/`. Beside either, every
    folder with a `set.json` is a registered set, listed by its own `manifest.csv`.

    Args:
        own: Folder that the params key `data.own` names.

    Returns:
        The pairs, none when the folder holds no data; and the faults: rows that are incomplete,
        files that are named but absent, images without a mask, masks without an image, images
        that share a name, and pairs that are listed twice.

    Raises:
        DataError: The folder is missing, or neither of its forms.
    """
    if not own.is_dir():
        raise DataError(
            f"The folder {own} (params.yaml: data.own) does not exist. Make it, empty if you have "
            "no data of your own, or correct the key."
        )
    table = own / CSV_NAME
    loose = _pairs_of_csv(table) if table.is_file() else _pairs_of_layout(own)
    registered = (found for folder in registered_sets(own) for found in _pairs_of_set(folder))
    every = list(itertools.chain(loose, registered))
    faults = [found for found in every if isinstance(found, Fault)]
    pairs: list[Pair] = []
    for pair in sorted((found for found in every if isinstance(found, Pair)), key=Pair.place):
        if pairs and pairs[-1] == pair:
            message = f"{own} lists {pair.mask} twice for {pair.image}. Remove one entry."
            faults.append(pair.fault("listed_twice", message))
        else:
            pairs.append(pair)
    for dataset in sorted({pair.dataset for pair in pairs} & set(SUMMARY_ROWS)):
        raise DataError(
            f"{own} has a data set '{dataset}', a name that only summaries have. Rename it."
        )
    return tuple(pairs), tuple(faults)


def count_pairs(pairs: Iterable[Pair]) -> dict[tuple[str, str], tuple[int, int]]:
    """Count the images and the masks of every (split, data set)."""
    images: dict[tuple[str, str], set[Path]] = {}
    masks: Counter[tuple[str, str]] = Counter()
    for pair in pairs:
        images.setdefault((pair.split, pair.dataset), set()).add(pair.image)
        masks[pair.split, pair.dataset] += 1
    return {key: (len(found), masks[key]) for key, found in images.items()}


def registered_sets(own: Path) -> list[Path]:
    """List the folders of the registered sets, sorted; none where there is no folder."""
    if not own.is_dir():
        return []
    return [folder for folder in _folders(own) if (folder / SET_FILE).is_file()]


def _pairs_of_set(folder: Path) -> Iterator[Pair | Fault]:
    table = folder / CSV_NAME
    if not table.is_file():
        raise DataError(
            f"{folder} has a {SET_FILE} but no {CSV_NAME}. Register the set again with "
            f"`pasam data add {folder.name} ... --replace`, or remove the folder."
        )
    return _pairs_of_csv(table)


def _pairs_of_csv(table: Path) -> Iterator[Pair | Fault]:
    files = _NamedFiles(table.parent)
    for line, row in _read_rows(table, CSV_COLUMNS):
        faults = _row_faults(
            row, CSV_COLUMNS, place=f"{table}, row {line}", files=files, splits=SPLITS
        )
        first = next(faults, None)
        pair = Pair(
            split=row["split"], dataset=row["dataset"], image=files.path(row["image"]),
            mask=files.path(row["mask"]), group=row.get(GROUP_COLUMN, ""),
        )  # fmt: skip
        yield pair if first is None else pair.fault(*first)


def _read_rows(table: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Read a table's rows with their line numbers, all values stripped.

    Raises:
        DataError: It is missing, no CSV in UTF-8, or lacks one of the columns.
    """
    advice = "Correct its name (--csv), or save it as CSV in UTF-8."
    asked = {name.casefold() for name in columns}  # `Split` may be a column of somebody's own
    others = (name for name in (*CSV_COLUMNS, GROUP_COLUMN) if name not in asked)
    names, rows = read_csv(table, advice=advice, known=(*others, *columns))
    missing = [name for name in columns if name not in names]
    if missing:
        raise DataError(
            f"{table} lacks the columns {missing}; it needs {list(columns)} and has {list(names)} "
            "in its first line."
        )
    empty = dict.fromkeys(names, "")
    return ((line, {**empty, **cells, **_split_in(cells)}) for line, cells in rows)


def _split_in(cells: Mapping[str, str]) -> dict[str, str]:
    """Give the split that a row names, in whatever capitals."""
    return {"split": cells["split"].lower()} if "split" in cells else {}


class _NamedFiles(dict[str, bool]):
    """Whether the files that a table names are there, each looked at once.

    Args:
        root: Folder that the names are relative to.
    """

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.path = functools.cache(lambda name: self._spelt.get(name) or root / name)
        self.root = str(root)
        self._spelt: dict[str, Path] = {}
        self._others = SpeltFiles()

    def __missing__(self, name: str) -> bool:
        # A `Path` takes longer to make than to look for, and most are never needed.
        found = is_regular(os.path.join(self.root, name))  # noqa: PTH118
        if not found and ("\\" in name or "%" in name or not name.isascii()):
            other = self._others.find(Path(self.root), name)
            found = other is not None
            self._spelt |= {name: other} if other else {}
        self[name] = found
        return found


def _row_faults(
    row: Mapping[str, str],
    columns: Sequence[str],
    *,
    place: str,
    files: _NamedFiles,
    splits: Sequence[str],
) -> Iterator[tuple[str, str]]:
    """Say what is wrong with a table's row: the fault's kind and its message."""
    for name in columns:
        if not row[name]:
            yield "bad_row", f"{place}: '{name}' is empty. Fill it in, or remove the row."
    if row.get(""):
        yield (
            "bad_row",
            f"{place}: '{row['']:.60}' stands beyond the last column. Put a name with a comma in "
            "it between quotes, or name the column.",
        )
    if row.get("split", "") not in splits:
        yield (
            "bad_row",
            f"{place}: split is '{row['split']}', expected one of {list(SPLITS)}"
            f"{' or nothing' if '' in splits else ''}. Use 'val' for everything that is only "
            "measured.",
        )
    for name in ("image", "mask"):
        if row[name] and not files[row[name]]:
            yield (
                "missing_file",
                f"{place}: {name} {files.root}/{row[name]} does not exist. Paths are relative to "
                f"{files.root}; restore the file, or correct or remove the row.",
            )


def _pairs_of_layout(own: Path) -> Iterator[Pair | Fault]:
    for split in _folders(own):
        if (split / SET_FILE).is_file():
            continue
        if split.name not in SPLITS:
            raise DataError(
                f"{own} holds the folder '{split.name}', expected {list(SPLITS)} or a {CSV_NAME}. "
                "Rename or move it, or register its images with `pasam data add`."
            )
        for dataset in _folders(split):
            yield from _pairs_of_dataset(dataset)


def _pairs_of_dataset(dataset: Path) -> Iterator[Pair | Fault]:
    im, gt = dataset / "im", dataset / "gt"
    for folder in (im, gt):
        if not folder.is_dir():
            raise DataError(
                f"{dataset} lacks the folder '{folder.name}'; a data set needs 'im' (images) and "
                "'gt' (masks)."
            )
    found = _matched(im, gt)
    names = {"split": dataset.parent.name, "dataset": dataset.name}
    for first, second in found.same_name:
        message = (
            f"{first} and {second} share the name '{first.stem}', so masks cannot tell them "
            "apart. Rename one."
        )
        yield Fault(**names, kind="name_taken", image=second, mask=None, message=message)
    for mask in found.without_image:
        message = (
            f"{mask} belongs to no image: {im} has no file named '{mask.stem}', nor one whose "
            "name it continues after a '_'. Add the image, or remove the mask."
        )
        yield Fault(**names, kind="mask_without_image", image=None, mask=mask, message=message)
    taken = {second for _, second in found.same_name}
    for image in (image for image in found.without_mask if image not in taken):
        message = (
            f"{image} has no mask ({len(found.without_mask)} such images in {dataset}). Expected "
            f"{gt / image.stem}.png, {image.stem}_<anything>.png or a folder {image.stem}/ beside "
            "it: add the mask, or remove the image."
        )
        yield Fault(**names, kind="image_without_mask", image=image, mask=None, message=message)
    for image, of_image in found.masks_of.items():
        for mask in of_image:
            yield Pair(**names, image=image, mask=mask)


def notes_on_layout(own: Path, name: str = "") -> tuple[str, ...]:
    """Say what is odd about the layout's folders: names that only look alike, files not read.

    Args:
        own: Folder as `find_pairs` reads it.
        name: The data set that is meant; all if empty.
    """
    if (own / CSV_NAME).is_file():
        return ()
    splits = (own / split for split in SPLITS)
    sets = [folder for split in splits if split.is_dir() for folder in _folders(split)]
    notes = []
    for im, gt in ((one / "im", one / "gt") for one in sets if name in ("", one.name)):
        parts = [part for part in (im, gt) if part.is_dir()]
        unread = {part: unread_images(part, deep=True, suffixes=READ_MASKS) for part in parts}
        notes += [f"{said_of_unread(part, found)}." for part, found in unread.items() if found]
        if len(parts) == 2 and (alike := _matched(im, gt).alike):
            notes.append(f"{im.parent}: {said_of_alike(alike)}.")
    return tuple(notes)


def _matched(im: Path, gt: Path) -> Matching:
    masks = list_images(gt, deep=True, suffixes=READ_MASKS)
    return match_names(list_images(im, deep=True), masks, image_root=im, mask_root=gt)


def _folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodedMask:
    """One object of a COCO file, as a run-length code."""

    label: str
    size: tuple[int, int]
    """Height and width."""
    counts: str

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"annotation {self.label}"

    def code(self) -> Rle:
        """Give it as COCO's run lengths."""
        return {"size": list(self.size), "counts": self.counts}


@dataclass(frozen=True, kw_only=True, slots=True)
class PairCandidate:
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


@dataclass(frozen=True, slots=True)
class Source:
    """All candidates of a source, with whatever is wrong and whatever should be said."""

    kind: str
    """folders, csv or coco."""
    candidates: tuple[PairCandidate, ...]
    faults: tuple[str, ...] = ()
    """What does not pair, in words: the first `MOST_FAULTS`."""
    more_faults: int = 0
    """How many there are beyond those."""
    notes: tuple[str, ...] = ()
    """What was left out on purpose."""


def from_folders(
    images: Path, masks: Path, *, group: str | None = None, pattern: str | None = None
) -> Source:
    """Pair the images of two folders by name, folders inside them included.

    Args:
        images: Folder of the images.
        masks: Folder of the masks. If it is the same one, JPEG files are the images and PNG files
            the masks.
        group: Regular expression; what it finds in an image's name (its first parentheses, if it
            has any) is the image's group.
        pattern: As in `match_names`; images without a mask are then left out with a note.

    Raises:
        DataError: A folder is missing or empty, or the expression is none.
    """
    image_files = _listed(images, "images", READ_IMAGES)
    mask_files = _listed(masks, "masks", READ_MASKS)
    unread = {
        folder: unread_images(folder, deep=True, suffixes=suffixes)
        for folder, suffixes in ((images, READ_IMAGES), (masks, READ_MASKS))
    }
    if images.resolve() == masks.resolve():
        image_files = [path for path in image_files if path.suffix.lower() in JPEG_SUFFIXES]
        mask_files = [path for path in mask_files if path.suffix.lower() == ".png"]
        if not image_files or not mask_files:
            raise DataError(
                f"{images} is named for images and masks, but does not hold JPEG files (images) "
                "and PNG files (masks). Put them into two folders."
            )
    found = match_names(
        image_files, mask_files, image_root=images, mask_root=masks, pattern=pattern
    )
    candidates = []
    faults = Faults(
        f"{first} and {second} share a name, so masks cannot tell them apart. Rename one."
        for first, second in found.same_name
    )
    for image, of_image in found.masks_of.items():
        name = name_below(image, images)
        group_name = None if group is None else _group_of(name, group)
        if group is not None and group_name is None:
            faults.add(f"'{group}' (--group) finds nothing in the name {name}.")
        candidates.append(PairCandidate(image=image, name=name, masks=of_image, group=group_name))
    bare = len(found.without_mask) if pattern else 0
    notes = [f"{bare} images without a mask are left out"] if bare else []
    notes += [f"left out: {said_of_unread(*each)}" for each in unread.items() if each[1]]
    notes += [said_of_alike(found.alike)] if found.alike else []
    faults.extend(
        f"{image} has no mask: {masks} holds no {image.stem}.png, {image.stem}_<anything>.png or "
        f"folder {image.stem}/. If masks have other names, say how: --names '{{name}}=gt_{{name}}'."
        for image in found.without_mask
        if not bare
    )
    others = {name_below(path, images): path.name for path in unread[images]}
    for mask in found.without_image:
        other = next((others[n] for n in mask_owners(name_below(mask, masks)) if n in others), None)
        why = f"{other} cannot be read here" if other else f"{images} holds none of its name"
        faults.add(f"{mask} belongs to no image: {why}.")
    return Source("folders", tuple(candidates), tuple(faults.kept), faults.more, tuple(notes))


def from_csv(table: Path, *, group: str | None = None) -> Source:
    """Read a table with the columns image and mask; rows of one image are its objects.

    Args:
        table: CSV in UTF-8. Paths are relative to it, or absolute. A column `split` decides the
            split, a column `group` what must stay together; others are ignored.
        group: Another name for the column `group`.

    Raises:
        DataError: It cannot be read, or lacks columns.
    """
    faults, files = Faults(), _NamedFiles(table.parent)
    by_image: dict[Path, list[Mapping[str, str]]] = {}
    columns, splits = ("image", "mask", *([group] if group else ())), ("", *SPLITS)
    for line, row in _read_rows(table, columns):
        found = _row_faults(row, columns, place=f"{table}, row {line}", files=files, splits=splits)
        before = len(faults)
        faults.extend(message for _, message in found)
        if len(faults) == before:
            by_image.setdefault(files.path(row["image"]), []).append(row)
    candidates = []
    for image, of_image in by_image.items():
        for column in ("split", group or GROUP_COLUMN):
            if len({row.get(column) for row in of_image}) > 1:
                faults.add(f"{table} gives {image} more than one {column}. Keep one.")
        masks = tuple(files.path(row["mask"]) for row in of_image)
        if len(set(masks)) < len(masks):
            faults.add(f"{table} lists a mask of {image} twice. Remove one row.")
        candidates.append(
            PairCandidate(
                image=image,
                name=_sources_name(image, table.parent, of_image[0]["image"]),
                masks=masks,
                group=of_image[0].get(group or GROUP_COLUMN) or None,
                split=of_image[0].get("split") or None,
            )
        )
    return Source("csv", tuple(candidates), tuple(faults.kept), faults.more)


def _sources_name(image: Path, root: Path, given: str) -> str:
    """Name an image by its path in the table; where that is one machine's, by its last part."""
    return plain_form(image.stem) if Path(given).is_absolute() else name_below(image, root)


def _listed(folder: Path, what: str, suffixes: Sequence[str]) -> list[Path]:
    if not folder.is_dir():
        raise DataError(f"The folder {folder} (--{what}) does not exist.")
    found = list_images(folder, deep=True, suffixes=suffixes)
    if not found:
        unread = unread_images(folder, deep=True, suffixes=suffixes)
        there = f" There are {said_of_unread(folder, unread)}." if unread else ""
        expected = ", ".join(suffixes)
        raise DataError(f"{folder} (--{what}) holds no file that ends in {expected}.{there}")
    return found


def _group_of(name: str, expression: str) -> str | None:
    try:
        found = re.search(plain_form(expression), name)
    except re.error as error:
        raise DataError(f"--group '{expression}' is no regular expression: {error}.") from None
    if found is None:
        return None
    return found[1] if found.re.groups else found[0]
