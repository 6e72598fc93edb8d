"""COCO's segmentations as programs write them: as text, with texts for numbers, in parts."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any

import numpy as np

from pasam.masks.run_lengths import decode, from_segmentation

_COMPRESSED = re.compile(r"[0-o]{4,}")
_SHOWN_BYTES = re.compile(r"b(['\"])([0-o]*)\1")
"""How Python shows a code that it has as bytes; a backslash in it stands twice."""
_PLAIN = frozenset((int, float))
_PARTED = re.compile(r"[\s,;]+")
_LISTED_RUNS = re.compile(r"(?=.*[\s,])[\[(]?[\d\s,;.]+[\])]?", re.DOTALL)
"""Run lengths as numbers; compressed ones may hold `;` and digits, but no comma and no blank."""


def as_coco_has_it(drawing: Any, size: tuple[int, int]) -> Any:
    """Bring what programs make of segmentations to COCO's own form; what is not known stays.

    Tables hold them as text; numbers come as texts or as fractions, points as records, several
    run lengths as a list, and parts may be empty.
    """
    if isinstance(drawing, str):
        with suppress(ValueError, RecursionError):
            read = json.loads(drawing)
            drawing = read if isinstance(read, list | dict) else drawing  # a code may be digits
    if isinstance(drawing, str) and _COMPRESSED.fullmatch(drawing):
        drawing = {"counts": drawing}
    if isinstance(drawing, dict) and "counts" in drawing:
        counts = drawing["counts"]
        if isinstance(counts, str):
            counts = counts.strip()
            if shown := _SHOWN_BYTES.fullmatch(counts):
                counts = shown[2].replace(r"\\", "\\")
            counts = _numbers(counts) if _LISTED_RUNS.fullmatch(counts) else counts
        if isinstance(counts, list):
            whole = [_whole(_number(one)) for one in counts]
            counts = counts if None in whole else whole
        sides = drawing.get("size", [*size])
        if isinstance(sides, list):
            sides = [one if (n := _whole(_number(one))) is None else n for one in sides]
        return {"size": sides, "counts": counts}
    if not isinstance(drawing, list):
        return drawing
    parts = [part for part in drawing if part not in ([], "")]
    if parts and all(isinstance(part, dict) and "counts" in part for part in parts):
        codes = [from_segmentation(as_coco_has_it(part, size), *size) for part in parts]
        return np.logical_or.reduce([decode(code) for code in codes])
    return [_numbers(part) for part in parts]


def _numbers(part: Any, *, within: bool = False) -> Any:
    """Read a text of numbers, or numbers that are texts, or points x, y; what is none stays."""
    if isinstance(part, str):
        part = _PARTED.split(part.strip("[]() "))
    if isinstance(part, dict) and {"x", "y"} <= part.keys():
        part = [part["x"], part["y"]]
    if not isinstance(part, list) or _PLAIN.issuperset(map(type, part)):
        return part
    return [
        _numbers(one, within=True) if isinstance(one, list | dict) and not within else _number(one)
        for one in part
    ]


def _number(value: Any) -> Any:
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _whole(number: Any) -> int | None:
    """Give a whole number, whatever its type; None if it is none."""
    if isinstance(number, int | float) and not isinstance(number, bool) and number == number // 1:
        return int(number)
    return None
