"""The manifest: one table that lists every mask with its image, size, difficulty and hashes."""

# Shapes: H, W of a mask.

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pasam.data.images import FOREGROUND
from pasam.data.whole_files import write_parquet
from pasam.errors import DataError

SPLITS = ("train", "val")

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("dataset", pa.string()),
        ("split", pa.string()),
        ("image", pa.string()),
        ("mask", pa.string()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("area", pa.float64()),
        ("complexity", pa.float64()),
        ("image_sha256", pa.string()),
        ("mask_sha256", pa.string()),
    ]
)
"""Columns of the manifest; `id` is unique, paths are posix paths."""

COLUMNS: tuple[str, ...] = tuple(SCHEMA.names)

_SORTING = ["split", "dataset", "id"]


def describe_pair(
    *,
    split: str,
    dataset: str,
    image: Path,
    mask: Path,
    label: NDArray[np.uint8],
    image_sha256: str,
) -> dict[str, Any]:
    """Describe one image-mask pair as a row of the manifest.

    Args:
        split: `train` or `val`.
        dataset: Name of the data set.
        image: File of the image.
        mask: File of the mask.
        label: The mask as read, (H, W), 0..255.
        image_sha256: Hash of the image file, given because an image may have many masks.

    Returns:
        One value per column.
    """
    foreground = label > FOREGROUND
    return {
        "id": pair_id(dataset, image, mask),
        "dataset": dataset,
        "split": split,
        "image": project_path(image),
        "mask": project_path(mask),
        "height": label.shape[0],
        "width": label.shape[1],
        "area": float(foreground.mean()),
        "complexity": complexity(label),
        "image_sha256": image_sha256,
        "mask_sha256": file_sha256(mask),
    }


def pair_id(dataset: str, image: Path | None, mask: Path | None) -> str:
    """Name a pair by its data set and mask, or by its image where there is no mask.

    In a folder named like the image (`gt/cat/left.png`) the mask's name in the id is `cat_left`.
    """
    if mask is None:
        return f"{dataset}/{image.stem if image else ''}"
    nested = image is not None and mask.parent.name == image.stem
    return f"{dataset}/{mask.parent.name}_{mask.stem}" if nested else f"{dataset}/{mask.stem}"


def complexity(mask: NDArray[np.uint8]) -> float:
    """Measure how intricate an outline is: perimeter^2 / (4 pi area), about 1 for a disk.

    The perimeter, holes included, follows Crofton's formula: crossings of the outline along rows,
    columns and both diagonals, which is unbiased where counting outline pixels is not.

    Args:
        mask: (H, W), foreground above 128.

    Returns:
        The ratio; 0 for an empty mask.
    """
    inside = np.pad(mask > FOREGROUND, 1)  # the rim of the image counts as outline
    area = np.count_nonzero(inside)
    if not area:
        return 0.0
    straight = np.count_nonzero(inside[1:] != inside[:-1])
    straight += np.count_nonzero(inside[:, 1:] != inside[:, :-1])
    diagonal = np.count_nonzero(inside[1:, 1:] != inside[:-1, :-1])
    diagonal += np.count_nonzero(inside[1:, :-1] != inside[:-1, 1:])
    perimeter = np.pi / 8 * (straight + diagonal / np.sqrt(2))
    return float(perimeter**2 / (4 * np.pi * area))


def file_sha256(path: Path) -> str:
    """Hash the bytes of a file, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def project_path(path: Path) -> str:
    """Write a path relative to the project's root when it lies inside, else absolute (posix).

    Stages run in the project's root, so that is the current folder. Links are not followed.
    """
    absolute, root = Path(os.path.normpath(path.absolute())), Path.cwd()
    inside = absolute.is_relative_to(root)
    return (absolute.relative_to(root) if inside else absolute).as_posix()


def manifest_frame(rows: Sequence[Mapping[Any, Any]]) -> pd.DataFrame:
    """Make the manifest from its rows, sorted by split, data set and id.

    Raises:
        DataError: Two masks would have the same id.
    """
    frame = pd.DataFrame(list(rows), columns=list(COLUMNS))
    frame = frame.sort_values(_SORTING, ignore_index=True)
    for identity, same in frame[frame["id"].duplicated(keep=False)].groupby("id"):
        first, second = same["mask"].tolist()[:2]
        raise DataError(
            f"{first} and {second} would both be '{identity}' in the manifest; ids are "
            "'<dataset>/<name of the mask>'. Rename one file, or give its data set another name."
        )
    return frame


def write_manifest(frame: pd.DataFrame, path: Path) -> None:
    """Write the manifest as parquet, atomically; equal tables give equal bytes.

    Raises:
        DataError: The frame lacks columns or holds values of another type.
    """
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise DataError(f"The manifest for {path} lacks {missing}; it needs {list(COLUMNS)}.")
    try:
        table = pa.Table.from_pandas(frame[list(COLUMNS)], schema=SCHEMA, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(f"The manifest for {path} does not fit its columns: {error}") from None
    write_parquet(path, table)


def read_manifest(path: Path) -> pd.DataFrame:
    """Read a manifest and check its columns, their types, and the splits.

    Returns:
        The table, one row per mask, columns as in `COLUMNS`.

    Raises:
        DataError: The file is missing, is no parquet, or is not a manifest.
    """
    try:
        table = pq.read_table(path, partitioning=None)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist. Run `dvc repro prepare` to make it.") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(
            f"{path} is not a parquet file ({error}). Run `dvc repro prepare`."
        ) from None
    found = {field.name: str(field.type) for field in table.schema}
    wanted = {field.name: str(field.type) for field in SCHEMA}
    wrong = [
        f"{name} is {found.get(name, 'missing')}, expected {kind}"
        for name, kind in wanted.items()
        if found.get(name) != kind
    ]
    if wrong:
        raise DataError(f"{path} is not a manifest: {'; '.join(wrong)}. Run `dvc repro prepare`.")
    frame: pd.DataFrame = table.select(list(COLUMNS)).to_pandas()
    unknown = sorted(set(frame["split"]) - set(SPLITS))
    if unknown:
        raise DataError(f"{path} has the splits {unknown}, expected only {list(SPLITS)}.")
    return frame
