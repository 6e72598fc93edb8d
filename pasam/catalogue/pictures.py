"""Where the pictures of fetched data sets lie, and on which side of the split they belong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pasam.catalogue.catalogue_file import read_catalogue
from pasam.catalogue.checksums import read_lock
from pasam.catalogue.entries import Entry
from pasam.catalogue.installed import installed_digests
from pasam.errors import DataError

SPLIT_OF_ROLE = {"train": "train", "benchmark": "val"}


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureSet:
    """One fetched set of images and mask pictures."""

    name: str
    split: str
    """`train` or `val`, by its role."""
    images: Path
    masks: Path
    """The same folder as `images` where only the suffix tells them apart."""
    image_suffix: str
    mask_suffix: str
    expected: int | None
    """How many images the catalogue says there are."""


def fetched_pictures(names: Sequence[str], root: Path, lock: Path) -> tuple[PictureSet, ...]:
    """Find fetched sets, each made of exactly the archives that are expected today.

    Args:
        names: Names or groups of the catalogue, as `data.catalogue` lists them.
        root: Folder of the fetched sets.
        lock: File of the recorded checksums.

    Raises:
        DataError: A name is unknown, has no mask pictures, or was not fetched; names the command.
    """
    entries = read_catalogue().select(names)
    for entry in entries:
        if entry.role not in SPLIT_OF_ROLE or entry.layout is None or entry.layout.masks is None:
            raise DataError(
                f"params.yaml: data.catalogue names {entry.name}, which has the role "
                f"'{entry.role}' and no mask pictures to train on or to measure with. Name sets "
                "of the roles train and benchmark; `pasam data list` shows them."
            )
    missing = missing_sets(entries, root, lock)
    if missing:
        words = " ".join(entry.name for entry in missing)
        raise DataError(
            f"params.yaml: data.catalogue names {words}, not fetched to {root} yet. Run "
            f"`pasam data fetch {words}`."
        )
    return tuple(_picture_set(entry, root) for entry in entries)


def missing_sets(entries: Sequence[Entry], root: Path, lock: Path) -> tuple[Entry, ...]:
    """List those entries that are not there, or are made of other archives than expected."""
    known = read_lock(lock)
    return tuple(entry for entry in entries if installed_digests(entry, root, known) is None)


def _picture_set(entry: Entry, root: Path) -> PictureSet:
    layout = entry.layout
    assert layout is not None  # just checked
    assert layout.masks is not None
    folder = root / entry.name
    return PictureSet(
        name=entry.name,
        split=SPLIT_OF_ROLE[entry.role],
        images=folder / layout.images,
        masks=folder / layout.masks,
        image_suffix=layout.image_suffix,
        mask_suffix=layout.mask_suffix,
        expected=entry.images,
    )
