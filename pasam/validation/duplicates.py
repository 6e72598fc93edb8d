"""Images that are there twice: the same bytes, or bytes that look the same."""

# Shapes: N images.

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_CELLS = 4_000_000
"""Pairs that are compared at a time: tens of megabytes, whatever the number of images."""


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Duplicate:
    """Two images that show the same thing."""

    first: str
    """Path of the one that stays: the training image, or the first in order."""
    second: str
    first_split: str
    second_split: str
    bits: int
    """Bits by which their hashes differ at most; 0 may still be two different files."""
    same_bytes: bool


def images_of(pairs: pd.DataFrame) -> pd.DataFrame:
    """Reduce valid rows of the inventory to one row per image and split."""
    return pairs.drop_duplicates(["split", "image"]).reset_index(drop=True)


def find_duplicates(images: pd.DataFrame, *, bits: int, contrast: float) -> tuple[Duplicate, ...]:
    """Find all pairs of different files that show the same thing, sorted, the training image first.

    A pair counts when both of its hashes, of frequencies and of gradients, differ by at most
    `bits` of their 64 bits: either alone takes images of one kind (the fundus of two eyes) for
    the same. Images in which nothing shows, as the standard deviation of their grey values is
    below `contrast`, are compared by their bytes only.
    """
    frame = images.sort_values(["split", "image"], ignore_index=True)
    content = pd.factorize(frame["image_sha256"])[0]
    shows = (frame["contrast"] >= contrast).to_numpy()
    hashes = [_words(frame[name]) for name in ("phash", "dhash")]
    split, path = frame["split"].tolist(), frame["image"].tolist()
    found = [
        Duplicate(
            first=path[i], second=path[j], first_split=split[i], second_split=split[j],
            bits=distance, same_bytes=bool(content[i] == content[j]),
        )
        for i, j, distance in _close(content, shows, hashes, bits)
        if path[i] != path[j]
    ]  # fmt: skip
    return tuple(sorted(found))


def originals(
    duplicates: tuple[Duplicate, ...], *, across: bool, same_bytes: bool
) -> dict[str, str]:
    """Say by path of which image each second one is the duplicate; of several, of the first.

    Only pairs `across` training and benchmarks count, or else those within one split; and of them
    equal files, or else those that only look the same.
    """
    return {
        pair.second: pair.first
        for pair in reversed(duplicates)
        if (pair.first_split != pair.second_split, pair.same_bytes) == (across, same_bytes)
    }


def mask_copies(pairs: pd.DataFrame) -> dict[str, str]:
    """Find masks that are byte for byte another one, though not of a copy of the same image.

    Returns:
        Path of each copy to the path of the first mask with its bytes.
    """
    copies: dict[str, str] = {}
    repeated = pairs[pairs["mask_sha256"].duplicated(keep=False)]
    for _, same in repeated.groupby("mask_sha256", sort=True):
        first, *others = same.sort_values(["split", "mask", "image"]).to_dict("records")
        for row in others:
            same_content = row["image_sha256"] == first["image_sha256"]
            copied_image = row["image"] != first["image"] and same_content
            if row["mask"] != first["mask"] and not copied_image:
                copies[str(row["mask"])] = str(first["mask"])
    return copies


def _words(hashes: pd.Series[str]) -> NDArray[np.uint64]:
    return np.array([int(text, 16) for text in hashes], dtype=np.uint64)


def _close(
    content: NDArray[np.intp],
    shows: NDArray[np.bool_],
    hashes: list[NDArray[np.uint64]],
    bits: int,
) -> Iterator[tuple[int, int, int]]:
    """Give the index pairs i < j that are close, with their distance, in chunks of rows."""
    count = len(content)
    height = max(1, _CELLS // max(1, count))
    for start in range(0, count, height):
        rows = slice(start, min(start + height, count))
        distance = np.zeros((rows.stop - start, count - start), np.uint8)
        for words in hashes:
            np.maximum(
                distance, np.bitwise_count(words[rows, None] ^ words[None, start:]), out=distance
            )
        alike = (distance <= bits) & shows[rows, None] & shows[None, start:]
        alike |= content[rows, None] == content[None, start:]
        for i, j in np.argwhere(np.triu(alike, 1)):
            yield int(start + i), int(start + j), int(distance[i, j])
