"""The manifest of every mask, and the inventory of every item that was found, valid or not."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import imagehash
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import ExifTags, Image

from pasam.errors import DataError
from pasam.files import write_parquet
from pasam.masks.images import FOREGROUND

# --- manifest: The manifest: one table that lists every mask with its image, size, difficulty
# and hashes.

# Shapes: H, W of a mask.


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


# --- faults: What can be wrong with one image, mask or pairing; it is left out, and the rest
# goes on.

KINDS: Mapping[str, str] = {
    "image_without_mask": "an image has no mask",
    "mask_without_image": "a mask belongs to no image",
    "name_taken": "two images differ in nothing but their suffix",
    "missing_file": "a table names a file that does not exist",
    "bad_row": "a table's row is incomplete, or of an unknown split",
    "listed_twice": "a pair is listed more than once",
    "undecodable_image": "an image cannot be decoded",
    "undecodable_mask": "a mask cannot be decoded",
    "size_mismatch": "a mask has another size than its image",
    "label_map": "a mask numbers several objects, or is too faint to mark one",
    "grey_mask": "a mask is mostly grey: a picture, not a mask",
    "empty_mask": "a mask marks no pixel",
    "full_mask": "a mask marks every pixel",
    "id_taken": "another mask of the data set has the same id",
    "quarantined": "a person has put the file into quarantine",
}
"""Faults by name, with what each means."""

OF_IMAGE = frozenset({"image_without_mask", "name_taken", "undecodable_image"})
"""Faults that the image is to blame for; of the others it is the mask."""

OF_TABLE = frozenset({"bad_row", "listed_twice"})
"""Faults that no file is to blame for: the table's row has to be corrected."""

QUARANTINED = "quarantined"
"""The one fault that was reviewed already."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One thing that is wrong with one item of a data set."""

    kind: str
    """One of `KINDS`."""
    split: str
    dataset: str
    image: Path | None
    """None where the image is what is missing."""
    mask: Path | None
    message: str
    """What was found, what was expected and what to do; names the file."""


# --- inventory: The inventory: one row for every item that was found, fit or not, with what was
# measured of it.

# Shapes: H, W of an image and its mask.


INVENTORY_SCHEMA = pa.schema(
    [
        *SCHEMA,
        ("fault", pa.string()),
        ("message", pa.string()),
        ("depth", pa.int32()),
        ("orientation", pa.int32()),
        ("brightness", pa.float64()),
        ("contrast", pa.float64()),
        ("phash", pa.string()),
        ("dhash", pa.string()),
        ("soft", pa.float64()),
    ]
)
"""The manifest's columns, then the fault (none for what is fit) and what was measured."""

INVENTORY_COLUMNS: tuple[str, ...] = tuple(INVENTORY_SCHEMA.names)

_INVENTORY_SORTING = ["split", "dataset", "mask", "image", "fault"]
_UPRIGHT = 1


def measure_image(image: NDArray[np.uint8]) -> dict[str, Any]:
    """Measure an image's light and what it looks like.

    Args:
        image: RGB, (H, W, 3), 0..255.

    Returns:
        `brightness` and `contrast`, mean and standard deviation of the grey values in 0..255, and
        two perceptual hashes of 64 bits as 16 hexadecimal digits: `phash`, of the low
        frequencies, and `dhash`, of the gradient along rows. They change little when the picture
        is scaled, recompressed or made lighter.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    picture = Image.fromarray(grey)
    return {
        "brightness": float(grey.mean(dtype=np.float64)),
        "contrast": float(grey.std(dtype=np.float64)),
        "phash": str(imagehash.phash(picture)),
        "dhash": str(imagehash.dhash(picture)),
    }


def stored_form(path: Path) -> dict[str, int]:
    """Read from an image's header how it is stored, without decoding it.

    Returns:
        `depth`, bits per channel, and `orientation`, the EXIF tag (1 means upright).
    """
    with Image.open(path) as picture:
        raw = [str(part) for tile in picture.tile for part in _flat(tile[3])]
        orientation = picture.getexif().get(ExifTags.Base.Orientation, _UPRIGHT)
        mode = picture.mode
    if mode in ("I", "F"):
        depth = 32
    elif mode.startswith("I;16") or any("16" in part for part in raw):
        depth = 16
    else:
        depth = 1 if mode == "1" else 8
    return {"depth": depth, "orientation": int(orientation)}


def soft_fraction(label: NDArray[np.uint8]) -> float:
    """Give the share of a mask's pixels, (H, W), that are neither black nor white."""
    return float(np.mean((label > 0) & (label < 255)))


def invalid_row(fault: Fault) -> dict[str, Any]:
    """Describe an item that is left out; nothing is measured of it."""
    return {
        **dict.fromkeys(INVENTORY_COLUMNS),
        "id": pair_id(fault.dataset, fault.image, fault.mask),
        "dataset": fault.dataset,
        "split": fault.split,
        "image": None if fault.image is None else project_path(fault.image),
        "mask": None if fault.mask is None else project_path(fault.mask),
        "fault": fault.kind,
        "message": fault.message,
    }


def inventory_frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Make the inventory from its rows, in an order that does not depend on theirs."""
    frame = pd.DataFrame([dict(row) for row in rows], columns=list(INVENTORY_COLUMNS))
    return frame.sort_values(_INVENTORY_SORTING, ignore_index=True, kind="stable")


def valid_rows(inventory: pd.DataFrame) -> pd.DataFrame:
    """Select what is fit for use."""
    return inventory[inventory["fault"].isna()]


def write_inventory(frame: pd.DataFrame, path: Path) -> None:
    """Write the inventory as parquet, whole or not at all; equal tables give equal bytes."""
    table = pa.Table.from_pandas(
        frame[list(INVENTORY_COLUMNS)], schema=INVENTORY_SCHEMA, preserve_index=False
    )
    write_parquet(path, table)


def read_inventory(path: Path) -> pd.DataFrame:
    """Read a inventory.

    Raises:
        DataError: The file is missing or is not a inventory.
    """
    try:
        table = pq.read_table(path, partitioning=None)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist. Run `dvc repro prepare` to make it.") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(
            f"{path} is not a parquet file ({error}). Run `dvc repro prepare`."
        ) from None
    if not table.schema.equals(INVENTORY_SCHEMA):
        raise DataError(
            f"{path} is not a inventory: it has the columns {table.schema.names}, expected "
            f"{list(INVENTORY_COLUMNS)}. Run `dvc repro prepare`."
        )
    frame: pd.DataFrame = table.to_pandas()
    return frame


def _flat(arguments: Any) -> tuple[Any, ...]:
    return arguments if isinstance(arguments, tuple) else (arguments,)
