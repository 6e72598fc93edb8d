"""A clean set of a few small pictures, for tests to break."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 48, 64
TRAIN, VAL = "train", "val"


@dataclass
class SmallSet:
    """A clean set of its own name; `rows` are those of its table, which a kind may change."""

    root: Path
    name: str
    counts: tuple[int, int] = (3, 1)
    """Images for training and in the benchmark."""
    rows: list[list[str]] = field(default_factory=list)
    quarantined: list[tuple[str, str]] = field(default_factory=list)
    """Files and reasons."""

    def file(self, kind: str, split: str = TRAIN, index: int = 0, suffix: str = "png") -> Path:
        """A file of the set; `kind` is im or gt."""
        return self.root / split / self.name / kind / f"{split}{index}.{suffix}"

    def image(self, split: str = TRAIN, index: int = 0) -> np.ndarray:
        return np.asarray(Image.open(self.file("im", split, index)))

    def mask(self, split: str = TRAIN, index: int = 0) -> np.ndarray:
        return np.asarray(Image.open(self.file("gt", split, index)))

    def pairs(self, *splits: str) -> Iterator[tuple[str, int]]:
        for split, count in zip((TRAIN, VAL), self.counts, strict=True):
            for index in range(count if split in splits or not splits else 0):
                yield split, index

    def draw(self, seed: int) -> None:
        """Write images of coloured patches, each with a rectangle as its mask."""
        rng = np.random.default_rng(seed)
        for split, index in self.pairs():
            patches = rng.integers(20, 160, (6, 8, 3)).astype(np.uint8)
            save(self.file("im", split, index), np.kron(patches, np.ones((8, 8, 1), np.uint8)))
            label = np.zeros((HEIGHT, WIDTH), np.uint8)
            top, left = rng.integers(2, 12, 2)
            high, wide = rng.integers(8, 30, 2)
            label[top : top + high, left : left + wide] = 255
            save(self.file("gt", split, index), label)
            names = [self.file(kind, split, index) for kind in ("im", "gt")]
            self.rows.append([split, self.name, *(str(n.relative_to(self.root)) for n in names)])


def save(path: Path, array: np.ndarray, **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


def jpeg(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def write_table(root: Path, sets: Sequence[SmallSet]) -> None:
    with (root / "manifest.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["split", "dataset", "image", "mask"])
        writer.writerows(row for one in sets for row in one.rows)
