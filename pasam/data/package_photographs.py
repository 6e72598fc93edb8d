"""The benchmark `photos`: photographs that ship with scikit-image and scikit-learn, masks of ours.

The photographs are read from the installed packages and never copied; `photos_objects.json` holds
their digests and licences, and every object as polygons and holes.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pasam.errors import DataError
from pasam.files import file_sha256, read_json
from pasam.masks.images import package_path, read_image

# Shapes: H, W of a photograph.

OBJECTS = Path(__file__).with_name("photos_objects.json")
MODULES = {"scikit-image": "skimage", "scikit-learn": "sklearn"}
"""Module of each package."""
_SUBPIXEL = 4  # bits after the point in which a polygon's corners are rounded

Polygon = tuple[tuple[float, float], ...]
"""Corners x, y, as pixel indices."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DrawnObject:
    """An object of a photograph as it was drawn."""

    name: str
    polygons: tuple[Polygon, ...]
    """Its parts, in one or several pieces."""
    holes: tuple[Polygon, ...]
    """What is taken away again: true holes, and what lies before it."""

    def mask(self, shape: tuple[int, int]) -> NDArray[np.uint8]:
        """Fill the polygons and empty the holes, 0 or 255, (H, W)."""
        drawn = np.zeros(shape, np.uint8)
        for polygon, value in [(p, 255) for p in self.polygons] + [(h, 0) for h in self.holes]:
            corners = np.rint(np.array(polygon) * 2**_SUBPIXEL).astype(np.int32)
            cv2.fillPoly(drawn, [corners], value, shift=_SUBPIXEL)
        return drawn


@dataclass(frozen=True, kw_only=True, slots=True)
class PackagePhotograph:
    """A photograph of a package, and its objects."""

    name: str
    package: str
    file: str
    """Path below the package's module."""
    sha256: str
    licence: str
    objects: tuple[DrawnObject, ...]

    @property
    def path(self) -> Path:
        """Where the installed package keeps the file.

        Raises:
            DataError: The package is not installed.
        """
        found = importlib.util.find_spec(MODULES[self.package])
        if found is None or found.origin is None:
            raise DataError(
                f"photograph {self.name!r} ships with {self.package}, which is not installed. "
                f"Install it with `pip install {self.package}`."
            )
        return Path(found.origin).parent / self.file

    @property
    def listed(self) -> Path:
        """The path by which a manifest names it, with the package's version."""
        return package_path(self.package, f"{MODULES[self.package]}/{self.file}")

    def read(self) -> NDArray[np.uint8]:
        """Read the photograph, RGB (H, W, 3).

        Raises:
            DataError: The package is not installed, or ships another file under this name.
        """
        path = self.path
        if not path.is_file():
            raise DataError(f"{path} does not exist: this {self.package} ships no {self.file}.")
        digest = file_sha256(path)
        if digest != self.sha256:
            raise DataError(
                f"{path} has the digest {digest[:12]}..., expected {self.sha256[:12]}...: the "
                f"objects were drawn on another picture. Install the {self.package} of the lock."
            )
        return read_image(path)


def package_photographs(path: Path = OBJECTS) -> list[PackagePhotograph]:
    """Read which photographs there are and what was drawn on them, sorted by name.

    Raises:
        DataError: The file is missing or is not of this form.
    """
    content = read_json(path, advice="It is part of the package.")
    try:
        return [
            PackagePhotograph(
                name=name,
                package=entry["package"],
                file=entry["file"],
                sha256=entry["sha256"],
                licence=entry["licence"],
                objects=tuple(_objects(content["objects"], name)),
            )
            for name, entry in sorted(content["images"].items())
        ]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is not a list of drawn objects: {error!r}.") from None


def _objects(entries: Sequence[Mapping[str, Any]], image: str) -> list[DrawnObject]:
    return [
        DrawnObject(
            name=entry["name"],
            polygons=tuple(map(_polygon, entry["polygons"])),
            holes=tuple(map(_polygon, entry["holes"])),
        )
        for entry in entries
        if entry["image"] == image
    ]


def _polygon(corners: Sequence[Sequence[float]]) -> Polygon:
    if len(corners) < 3:
        raise ValueError(f"a polygon of {len(corners)} corners")
    return tuple((float(x), float(y)) for x, y in corners)
