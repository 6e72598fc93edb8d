"""Which mask belongs to which image, told by their names alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

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


def pictures(folder: Path, *, deep: bool = False) -> list[Path]:
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
