"""Which mask belongs to which image, by their names alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pasam.data.names.folder_images import look_of, plain_form
from pasam.errors import DataError

_MASK_PART = re.compile(r"(_[^_]*|[-. ](mask|masks|gt|label|labels|seg|matte))$", re.IGNORECASE)
"""What a mask's name has behind its image's."""


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
    alike: tuple[tuple[Path, Path], ...] = ()
    """Images and masks among the pairs whose names look alike only: `IMG.JPG` and `img.png`."""


def match_names(
    images: Sequence[Path],
    masks: Sequence[Path],
    *,
    image_root: Path,
    mask_root: Path,
    pattern: str | None = None,
) -> Matching:
    """Pair masks with images by their names below the two roots.

    The masks of `cat.jpg` are `cat.png`, `cat.jpg.png`, `cat_<anything>.png`, `cat-mask.png` and
    every file in a folder `cat`; the longest image name that fits wins. What is left then goes
    together where whole names differ in capitals or blanks alone, and one image fits.

    Args:
        images: Files below `image_root`.
        masks: Files below `mask_root`.
        image_root: Folder that the images' names start from.
        mask_root: Folder that the masks' names start from.
        pattern: How a pair is named, without suffixes: `IMAGE=MASK`, each with one `{name}`.
    """
    by_name: dict[str, Path] = {}
    same_name = []
    for image in images:
        named = _named_by(pattern, name_below(image, image_root), 0)
        other = by_name.setdefault(named, image) if named else image  # fits no pattern: no mask
        if other != image:
            same_name.append((other, image))
    whole_names = {name_below(image, image_root, whole=True): image for image in images}
    masks_of: dict[Path, list[Path]] = {}
    without_image = []
    for mask in masks:
        name = _named_by(pattern, name_below(mask, mask_root), 1)
        if pattern is not None and name not in by_name:
            if name:
                without_image.append(mask)
            continue
        owner = whole_names.get(name) or next(
            (by_name[owner] for owner in mask_owners(name) if owner in by_name), None
        )
        if owner is None:
            without_image.append(mask)
        else:
            masks_of.setdefault(owner, []).append(mask)
    alike = {}
    if pattern is None and without_image:
        bare = {name: image for name, image in by_name.items() if image not in masks_of}
        alike = _look_alikes(bare, {mask: name_below(mask, mask_root) for mask in without_image})
    for mask, owner in alike.items():
        masks_of.setdefault(owner, []).append(mask)
    return Matching(
        masks_of={image: tuple(masks_of[image]) for image in images if image in masks_of},
        without_mask=tuple(image for image in images if image not in masks_of),
        without_image=tuple(mask for mask in without_image if mask not in alike),
        same_name=tuple(same_name),
        alike=tuple((owner, mask) for mask, owner in alike.items()),
    )


def _look_alikes(images: Mapping[str, Path], masks: Mapping[Path, str]) -> dict[Path, Path]:
    """Give the masks whose names look like one image's, with that image.

    Args:
        images: Images without a mask, by name.
        masks: Names of the masks without an image.
    """
    looks: dict[str, list[Path]] = {}
    for name, image in images.items():
        looks.setdefault(look_of(name), []).append(image)
    found = {}
    for mask, name in masks.items():
        owners = looks.get(
            look_of(name), []
        )  # no part of it: `A_7` is another photograph's than `a`
        if len(owners) == 1:
            found[mask] = owners[0]
    return found


def _named_by(pattern: str | None, name: str, side: int) -> str:
    """Take out of an image's (0) or a mask's (1) name what both share by a pattern."""
    if pattern is None:
        return name
    parts = plain_form(pattern).partition("=")[::2]
    if not all(part.count("{name}") == 1 for part in parts):
        raise DataError(
            f"--names is '{pattern}', expected IMAGE=MASK with {{name}} once in each, such as "
            "'{name}_leftImg8bit={name}_gtFine_instanceIds'."
        )
    before, after = parts[side].split("{name}")
    folder, slash, short = name.rpartition("/")
    if short.startswith(before) and short.endswith(after):
        return folder + slash + short[len(before) : len(short) - len(after)]
    return ""


def name_below(path: Path, root: Path, *, whole: bool = False) -> str:
    """Name a file by its place below the root, without suffix; all Unicode forms are alike."""
    below = path.relative_to(root)
    return plain_form((below if whole else below.with_suffix("")).as_posix())


def mask_owners(name: str) -> Iterator[str]:
    """List what the image of a mask may be called, from the longest name to the shortest."""
    folder, slash, short = name.rpartition("/")
    yield folder + slash + short
    while end := _MASK_PART.search(short):
        short = short[: end.start()]
        yield folder + slash + short
    while folder:
        yield folder
        folder = folder.rpartition("/")[0]


def said_of_alike(alike: Sequence[tuple[Path, Path]]) -> str:
    """Say which pairs go together by names that only look alike."""
    image, mask = alike[0]
    return (
        f"{len(alike)} masks are named like their images but for capitals or blanks, "
        f"e.g. {mask.name} of {image.name}"
    )
