"""Training or validation, by a hash: a picture keeps its side whatever else is added."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from pasam.data.inspection import CODED, FoundObject, Inspected
from pasam.data.mask_kinds import MaskKind
from pasam.errors import DataError

# --- splitting: Training or validation, by a hash: a picture keeps its side whatever else is added.


def split_of(key: str, *, val_share: float) -> str:
    """Choose the split of all pictures that share a key.

    Args:
        key: What must not be torn apart: the group, or the sha256 of the image.
        val_share: Share of the keys that go to `val`, in [0, 1].

    Returns:
        `train` or `val`. Raising the share never moves a key from `val` to `train`.
    """
    number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
    return "val" if number < val_share * 2**64 else "train"


# --- plan: What a set will be once registered: names, splits and origins of its files, and a
# digest.

FORMAT = 1
DRAWN = (CODED, str(MaskKind.INDEX))
"""Kinds of masks whose objects get a file each; files of the other kinds are copied."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedMask:
    """One binary mask to be."""

    target: PurePosixPath
    """Place within the set's folder."""
    found: FoundObject

    @property
    def is_drawn(self) -> bool:
        """Whether a new file is drawn, rather than the found one copied."""
        return self.found.kind in DRAWN


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedImage:
    """One image to be, with its masks."""

    target: PurePosixPath
    inspected: Inspected
    split: str
    masks: tuple[PlannedMask, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A whole set."""

    name: str
    source: str
    """folders, csv or coco."""
    val_share: float
    images: tuple[PlannedImage, ...]

    def rows(self) -> Iterator[tuple[str, str, str, str, str]]:
        """Give the rows of the set's table: split, dataset, image, mask, group."""
        for image in self.images:
            group = image.inspected.candidate.group or ""
            for mask in image.masks:
                yield image.split, self.name, str(image.target), str(mask.target), group

    def count(self, split: str) -> tuple[int, int]:
        """Count the images and the masks of a split."""
        of_split = [image for image in self.images if image.split == split]
        return len(of_split), sum(len(image.masks) for image in of_split)

    def kinds(self) -> dict[str, tuple[int, int]]:
        """Count, for every kind of mask, what it comes from and the objects in it."""
        origins: Counter[str] = Counter()
        objects: Counter[str] = Counter()
        for image in self.images:
            for kind, _ in {(mask.found.kind, mask.found.origin) for mask in image.masks}:
                origins[kind] += 1
            objects.update(mask.found.kind for mask in image.masks)
        return {kind: (origins[kind], objects[kind]) for kind in sorted(origins)}

    def description(self) -> dict[str, Any]:
        """Describe the set; equal for equal files and options, on any machine."""
        listed = [
            [
                image.split,
                str(image.target),
                image.inspected.sha256,
                image.inspected.candidate.group,
            ]
            + [[str(mask.target), mask.found.kind, mask.found.sha256] for mask in image.masks]
            for image in self.images
        ]
        digest = hashlib.sha256(json.dumps(listed).encode()).hexdigest()
        return {
            "format": FORMAT,
            "name": self.name,
            "source": self.source,
            "val_share": self.val_share,
            "train": dict(zip(("images", "masks"), self.count("train"), strict=True)),
            "val": dict(zip(("images", "masks"), self.count("val"), strict=True)),
            "mask_kinds": {kind: objects for kind, (_, objects) in self.kinds().items()},
            "sha256": digest,
        }


def make_plan(name: str, source: str, inspected: Sequence[Inspected], *, val_share: float) -> Plan:
    """Choose splits and names; both depend on nothing but the pictures and how they are called.

    Args:
        name: Name of the set.
        source: Kind of the source.
        inspected: Images that are fit, each with one object or more.
        val_share: Share of the images, or groups, that are held out; what the source decides
            itself stays as it is.

    Raises:
        DataError: One split would be empty although it was not asked to be.
    """
    images = []
    taken_images: set[str] = set()
    taken_masks: set[str] = set()
    for item in sorted(inspected, key=lambda item: (item.candidate.name, item.sha256)):
        stem = _free(_plain(item.candidate.name), taken_images)
        masks = tuple(
            PlannedMask(
                target=PurePosixPath("gt", _free(_mask_stem(stem, item, found), taken_masks) + end),
                found=found,
            )
            for found, end in ((found, _ending(found)) for found in item.objects)
        )
        key = item.candidate.group or item.sha256
        images.append(
            PlannedImage(
                target=PurePosixPath("im", stem + item.candidate.image.suffix.lower()),
                inspected=item,
                split=item.candidate.split or split_of(key, val_share=val_share),
                masks=masks,
            )
        )
    plan = Plan(name=name, source=source, val_share=val_share, images=tuple(images))
    _check_splits(plan)
    return plan


def _check_splits(plan: Plan) -> None:
    if any(image.inspected.candidate.split for image in plan.images):
        return
    for split, wanted in (("train", plan.val_share < 1), ("val", plan.val_share > 0)):
        if wanted and not plan.count(split)[0]:
            keys = {image.inspected.candidate.group or image.target for image in plan.images}
            raise DataError(
                f"With --val-share {plan.val_share} none of the {len(keys)} images or groups falls "
                f"into '{split}'. Give another share (0: all is for training, 1: all is for "
                "measuring), more images, or a column 'split' in a --csv."
            )


def _mask_stem(stem: str, item: Inspected, found: FoundObject) -> str:
    """Name a mask after its image, and what tells it from the image's other masks."""
    parts = [stem]
    if len(item.candidate.masks) > 1:
        own = found.origin.stem  # type: ignore[union-attr]  # there are files, so it is one
        short = item.candidate.image.stem
        parts.append(own.removeprefix(short).strip("_-. ") or own)
    if found.label:
        parts.append(found.label)
    return "_".join(parts)


def _ending(found: FoundObject) -> str:
    drawn = found.kind in DRAWN
    return ".png" if drawn else found.origin.suffix.lower()  # type: ignore[union-attr]


def _plain(name: str) -> str:
    """Make one part of a path, and not a hidden one, from a path."""
    return "-".join(part for part in name.split("/") if part.strip(".")).lstrip(".")


def _free(name: str, taken: set[str]) -> str:
    """Make a name that no file has yet, on file systems that ignore case too."""
    free, number = name, 2
    while free.casefold() in taken:
        free, number = f"{name}_{number}", number + 1
    taken.add(free.casefold())
    return free
