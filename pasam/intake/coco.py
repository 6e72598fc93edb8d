"""A set of one's own from a COCO annotation file: polygons and run-length codes, one mask each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from pasam.errors import DataError
from pasam.intake.sources import Candidate, EncodedMask, Source


def from_coco(file: Path, images: Path, *, group: str | None = None) -> Source:
    """Read the objects of a COCO instance file; crowds and images without objects are left out.

    Args:
        file: JSON with `images` and `annotations`.
        images: Folder that the images' `file_name` is relative to.
        group: Key of an image's record that names what must stay together.

    Raises:
        DataError: The file is no COCO instance file.
    """
    content = _read(file)
    records = _records(content["images"], file)
    objects, crowds, faults = _objects(content["annotations"], records, file)
    candidates = []
    for key, of_image in objects.items():
        record, name = records[key], records[key]["file_name"]
        if not (images / name).is_file():
            faults.append(f"{file}: image {images / name} does not exist.")
        if group is not None and group not in record:
            faults.append(f"{file}: image {name} has no '{group}' (--group).")
        candidates.append(
            Candidate(
                image=images / name,
                name=Path(name).with_suffix("").as_posix(),
                encoded=tuple(of_image),
                group=None if group is None else str(record.get(group)),
            )
        )
    bare = len(records) - len(objects)
    notes = [f"{crowds} crowd annotations are left out: a crowd is no object"] if crowds else []
    notes += [f"{bare} images without an object are left out"] if bare else []
    return Source(
        kind="coco", candidates=tuple(candidates), faults=tuple(faults), notes=tuple(notes)
    )


def _records(images: list[Any], file: Path) -> dict[Any, dict[str, Any]]:
    """Find the images' records by their ids."""
    for record in images:
        whole = isinstance(record, dict) and isinstance(record.get("file_name"), str)
        if not whole or not isinstance(record.get("id"), int | str):
            raise DataError(f"{file}: an image lacks 'id' or 'file_name': {record!r}.")
    return {record["id"]: record for record in images}


def _objects(
    annotations: list[Any], records: Mapping[Any, dict[str, Any]], file: Path
) -> tuple[dict[Any, list[EncodedMask]], int, list[str]]:
    """Encode the objects of every image that has some; count the crowds, and name what is bad."""
    found: dict[Any, list[EncodedMask]] = {}
    faults: list[str] = []
    crowds = 0
    for annotation in annotations:
        key = annotation.get("image_id") if isinstance(annotation, dict) else None
        if not isinstance(key, int | str) or key not in records:
            faults.append(f"{file}: annotation {_number(annotation)} names no image of the file.")
        elif annotation.get("iscrowd"):
            crowds += 1
        else:
            encoded = _encoded(annotation, records[key], file)
            if isinstance(encoded, str):
                faults.append(encoded)
            else:
                found.setdefault(key, []).append(encoded)
    return {key: found[key] for key in records if key in found}, crowds, faults


def decoded(mask: EncodedMask) -> NDArray[np.uint8]:
    """Draw a mask from its code: (H, W), 0 or 255."""
    height, width = mask.size
    runs = _runs(mask.counts)  # of black and white by turns, down the columns
    colours = np.arange(len(runs)) % 2 * 255
    columns = np.repeat(colours.astype(np.uint8), runs).reshape(width, height)
    return np.ascontiguousarray(columns.T)


def pixels(mask: EncodedMask) -> int:
    """Count the pixels of an object without drawing it."""
    return int(coco_mask.area({"size": list(mask.size), "counts": mask.counts}))


def _read(file: Path) -> dict[str, list[Any]]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"The file {file} (--coco) does not exist.") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{file} is no JSON file ({error}).") from None
    for key in ("images", "annotations"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise DataError(
                f"{file} has no list '{key}', so it is no COCO instance file. Export the set with "
                "images and annotations."
            )
    return {"images": content["images"], "annotations": content["annotations"]}


def _encoded(
    annotation: Mapping[str, Any], record: Mapping[str, Any], file: Path
) -> EncodedMask | str:
    """Bring a polygon or a code of either kind to one compressed code, or say why not."""
    place = f"{file}: annotation {_number(annotation)}"
    drawn = annotation.get("segmentation")
    if not drawn:
        return f"{place} has no segmentation; a box alone is no mask."
    try:
        height, width = int(record["height"]), int(record["width"])
        if isinstance(drawn, dict) and isinstance(drawn["counts"], str):
            code = {"size": drawn["size"], "counts": drawn["counts"].encode()}
        elif isinstance(drawn, dict):
            code = coco_mask.frPyObjects(drawn, height, width)
        else:
            code = coco_mask.merge(coco_mask.frPyObjects(drawn, height, width))
        height_found, width_found = (int(side) for side in code["size"])
        covered = sum(_runs(code["counts"]))
    except Exception as error:  # noqa: BLE001 - pycocotools raises whatever its input makes of it
        return f"{place} has a segmentation that cannot be drawn ({error})."
    if (height_found, width_found) != (height, width):
        return (
            f"{place} is drawn on {height_found} x {width_found} pixels (height x width), but its "
            f"image is said to have {height} x {width}."
        )
    if covered != height * width:  # pycocotools would draw whatever lies in memory beyond
        return f"{place} has a run-length code of {covered} pixels, expected {height * width}."
    encoded = EncodedMask(label=_number(annotation), size=(height, width), counts=code["counts"])
    return encoded if pixels(encoded) else f"{place} marks no pixel."


def _runs(code: bytes) -> list[int]:
    """Read the lengths of the runs from a compressed code.

    A run is written in groups of five bits, the sixth saying that more follow; from the fourth run
    on it is the difference to the last but one.
    """
    runs: list[int] = []
    value = shift = 0
    for character in code:
        digit = character - 48
        value |= (digit & 0x1F) << shift
        shift += 5
        if digit & 0x20:
            continue
        if digit & 0x10:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift or min(runs, default=-1) < 0:
        raise ValueError("its run-length code is damaged")
    return runs


def _number(annotation: Any) -> str:
    return str(annotation.get("id", "without id")) if isinstance(annotation, dict) else "?"
