"""The pairs of fetched data sets, and what is odd about them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pasam.catalogue.pictures import PictureSet, fetched_pictures
from pasam.data.folder import Pair, pairs_of_pictures

_SHOWN = 5


def public_pairs(
    names: Sequence[str], root: Path, lock: Path
) -> tuple[tuple[Pair, ...], tuple[str, ...]]:
    """Pair the pictures of fetched sets; files without a partner are left out, and named.

    Args:
        names: Names or groups of the catalogue, as `data.catalogue` lists them.
        root: Folder of the fetched sets.
        lock: File of the recorded checksums.

    Returns:
        The pairs, and remarks: what was left out, and counts that differ from the catalogue's.

    Raises:
        DataError: A set is unknown, not made of pictures, or was not fetched.
    """
    pairs: list[Pair] = []
    remarks: list[str] = []
    for found in fetched_pictures(names, root, lock):
        of_set, left_out = pairs_of_pictures(
            found.images, found.masks, split=found.split, dataset=found.name,
            image_suffix=found.image_suffix, mask_suffix=found.mask_suffix,
        )  # fmt: skip
        pairs += of_set
        remarks += _remarks(found, len({pair.image for pair in of_set}), left_out)
    return tuple(pairs), tuple(remarks)


def _remarks(found: PictureSet, images: int, left_out: Sequence[Path]) -> list[str]:
    remarks = []
    if left_out:
        shown = ", ".join(path.name for path in left_out[:_SHOWN])
        more = ", ..." if len(left_out) > _SHOWN else ""
        remarks.append(
            f"{found.name}: {len(left_out)} files have no partner and are left out ({shown}{more})."
        )
    if found.expected not in (None, images):
        remarks.append(
            f"{found.name}: {images} images with a mask; the catalogue says {found.expected}."
        )
    return remarks
