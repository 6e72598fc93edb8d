"""What can be wrong with one image, mask or pairing; it is left out, and the rest goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

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
