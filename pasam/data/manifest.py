"""The manifest of every mask, and the inventory of every item that was found, valid or not.

The inventory has the manifest's columns, a fault and a message for what is left out, and what was
measured of what is not; its valid rows are the manifest.
"""

# Shapes: H, W of an image and its mask.

from __future__ import annotations

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
from numpy.typing import NDArray
from PIL import Image

from pasam.errors import DataError
from pasam.files import file_sha256, read_table, write_table
from pasam.masks.images import foreground, is_packaged, read_header

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
        ("group", pa.string()),
    ]
)
"""Columns of the manifest; `id` is unique, paths are posix paths. `group` is what the set's table
says must stay together (a film, a patient, a scene), else the image: masks of one group are no
independent evidence, so intervals resample groups."""

COLUMNS: tuple[str, ...] = tuple(SCHEMA.names)

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
"""The manifest's columns, then the fault (none for what is valid) and what was measured."""

INVENTORY_COLUMNS: tuple[str, ...] = tuple(INVENTORY_SCHEMA.names)

_ADVICE = "Run `dvc repro prepare` to make it again."

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
    "grey_mask": "a mask is mostly grey: a photograph, not a mask",
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


def describe_pair(
    *,
    split: str,
    dataset: str,
    image: Path,
    mask: Path,
    label: NDArray[np.uint8],
    image_sha256: str,
    group: str = "",
) -> dict[str, Any]:
    """Describe one image-mask pair as a row of the manifest.

    Args:
        split: `train` or `val`.
        dataset: Name of the data set.
        image: File of the image.
        mask: File of the mask.
        label: The mask as read, (H, W), 0..255.
        image_sha256: Hash of the image file, given because an image may have many masks.
        group: What the image belongs to; nothing makes it a group of its own.

    Returns:
        One value per column.
    """
    return {
        "id": pair_id(dataset, image, mask),
        "dataset": dataset,
        "split": split,
        "image": project_path(image),
        "mask": project_path(mask),
        "height": label.shape[0],
        "width": label.shape[1],
        "area": float(foreground(label).mean()),
        "complexity": complexity(label),
        "image_sha256": image_sha256,
        "mask_sha256": file_sha256(mask),
        "group": group or image_sha256,
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
    inside = np.pad(foreground(mask), 1)  # the rim of the image counts as outline
    area = np.count_nonzero(inside)
    if not area:
        return 0.0
    straight = np.count_nonzero(inside[1:] != inside[:-1])
    straight += np.count_nonzero(inside[:, 1:] != inside[:, :-1])
    diagonal = np.count_nonzero(inside[1:, 1:] != inside[:-1, :-1])
    diagonal += np.count_nonzero(inside[1:, :-1] != inside[:-1, 1:])
    perimeter = np.pi / 8 * (straight + diagonal / np.sqrt(2))
    return float(perimeter**2 / (4 * np.pi * area))


def project_path(path: Path) -> str:
    """Write a path relative to the project's root when it lies inside, else absolute (posix).

    That of an image that ships with a package stays as it is.
    Stages run in the project's root, so that is the current folder. Links are not followed.
    """
    if is_packaged(path):
        return path.as_posix()
    absolute, root = Path(os.path.normpath(path.absolute())), Path.cwd()
    inside = absolute.is_relative_to(root)
    return (absolute.relative_to(root) if inside else absolute).as_posix()


def manifest_frame(rows: Sequence[Mapping[Any, Any]]) -> pd.DataFrame:
    """Make the manifest from its rows, sorted by split, data set and id.

    Raises:
        DataError: Two masks would have the same id.
    """
    frame = pd.DataFrame(list(rows), columns=list(COLUMNS))
    frame = frame.sort_values(["split", "dataset", "id"], ignore_index=True)
    for identity, same in frame[frame["id"].duplicated(keep=False)].groupby("id"):
        first, second = same["mask"].tolist()[:2]
        raise DataError(
            f"{first} and {second} would both be '{identity}' in the manifest; ids are "
            "'<dataset>/<name of the mask>'. Rename one file, or give its data set another name."
        )
    return frame


def write_manifest(frame: pd.DataFrame, path: Path) -> None:
    """Write the manifest as parquet, whole or not at all; equal tables give equal bytes.

    Raises:
        DataError: The frame lacks columns or holds values of another type.
    """
    _write(frame, path, SCHEMA)


def read_manifest(path: Path) -> pd.DataFrame:
    """Read a manifest and check its columns, their types, and the splits.

    Returns:
        The table, one row per mask, columns as in `COLUMNS`.

    Raises:
        DataError: The file is missing, is no parquet, or is not a manifest.
    """
    frame = read_table(path, SCHEMA, what="a manifest", advice=_ADVICE)
    unknown = sorted(set(frame["split"]) - set(SPLITS))
    if unknown:
        raise DataError(f"{path} has the splits {unknown}, expected only {list(SPLITS)}.")
    return frame


def measure_image(image: NDArray[np.uint8]) -> dict[str, Any]:
    """Measure an image's light and what it looks like.

    Args:
        image: RGB, (H, W, 3), 0..255.

    Returns:
        `brightness` and `contrast`, mean and standard deviation of the grey values in 0..255, and
        two perceptual hashes of 64 bits as 16 hexadecimal digits: `phash`, of the low
        frequencies, and `dhash`, of the gradient along rows. They change little when the image
        is scaled, recompressed or made lighter.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    as_image = Image.fromarray(grey)
    return {
        "brightness": float(grey.mean(dtype=np.float64)),
        "contrast": float(grey.std(dtype=np.float64)),
        "phash": str(imagehash.phash(as_image)),
        "dhash": str(imagehash.dhash(as_image)),
    }


def stored_form(path: Path) -> dict[str, int]:
    """Read from an image's header how it is stored, without decoding it.

    Returns:
        `depth`, bits per channel, and `orientation`, the EXIF tag (1 means upright).
    """
    header = read_header(path)
    return {"depth": header.depth, "orientation": header.orientation}


def soft_fraction(label: NDArray[np.uint8]) -> float:
    """Give the fraction of a mask's pixels, (H, W), that are neither black nor white."""
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
    order = ["split", "dataset", "mask", "image", "fault"]
    return frame.sort_values(order, ignore_index=True, kind="stable")


def valid_rows(inventory: pd.DataFrame) -> pd.DataFrame:
    """Select the valid items, which are the manifest's."""
    return inventory[inventory["fault"].isna()]


def write_inventory(frame: pd.DataFrame, path: Path) -> None:
    """Write the inventory as parquet, whole or not at all; equal tables give equal bytes."""
    _write(frame, path, INVENTORY_SCHEMA)


def read_inventory(path: Path) -> pd.DataFrame:
    """Read an inventory.

    Raises:
        DataError: The file is missing or is not an inventory.
    """
    return read_table(path, INVENTORY_SCHEMA, what="an inventory", advice=_ADVICE)


def _write(frame: pd.DataFrame, path: Path, schema: pa.Schema) -> None:
    whole = [field.name for field in schema if pa.types.is_integer(field.type)]
    frame = frame.filter(items=schema.names)
    try:  # pandas holds whole numbers beside missing ones as fractions
        frame = frame.astype({name: "Int32" for name in whole if name in frame})
    except (TypeError, ValueError) as error:
        raise DataError(
            f"The rows for {path} hold something else in {whole}, expected whole numbers: {error}."
        ) from None
    write_table(path, frame, schema)
