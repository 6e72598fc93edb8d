"""The embedding store: the frozen encoder's outputs, computed once per image view.

A store is a folder: `embedding.npy` (V, C, g, g) and `early.npy` (V, E, g, g) in half precision,
`images.npy` (V, 3, S, S) and `labels.npy` (M, S, S) in uint8, `index.parquet` with one row per
label, and `origin.json`, which says what it was made from. Arrays are mapped, not read whole.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from numpy.typing import NDArray

from pasam.config.schema import BaseParams, Decode, EncoderPrecision
from pasam.errors import CheckpointError, DataError
from pasam.files import REPEAT, draft_file, read_json, read_table, write_json, write_table
from pasam.masks.images import foreground, load_image, read_image
from pasam.masks.mask_files import read_mask
from pasam.masks.transforms import View, augment, drawn_length, squash, squash_mask
from pasam.models.base_sam import BaseSam
from pasam.models.checkpoint import file_digest
from pasam.workers import ALONE, ProcessGroup, parallel_map

# Shapes: V views, M labels, S pixels a side, g grid cells a side, C and E channels, K masks.

ARRAYS: dict[str, tuple[type, int]] = {
    "embedding": (np.float16, 4), "early": (np.float16, 4), "images": (np.uint8, 4),
    "labels": (np.uint8, 3),
}  # fmt: skip
"""Files of a store, with the kind of their numbers and how many dimensions they have."""
SMALLEST_LABEL = 16
"""Labels with fewer foreground pixels after the crop are left out: no prompt could say them."""

INDEX = pa.schema(
    [pa.field("id", pa.string()), pa.field("view", pa.int64()), pa.field("row", pa.int64())]
)

PRECISION = "encoder_precision"
"""Key of a store's origin."""

Pack = np.memmap[Any, np.dtype[Any]]
"""A file's array, mapped into memory."""


@dataclass(frozen=True, slots=True)
class ViewTask:
    """One view of one image: what to read, and how to look at it."""

    image: str
    masks: tuple[str, ...]
    view: int
    seed: tuple[int, ...] | None
    """Seed of the augmentation, or None for the squash of evaluation."""


@dataclass(frozen=True, slots=True)
class Store:
    """An opened store."""

    embedding: NDArray[np.float16]
    early: NDArray[np.float16]
    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    index: pd.DataFrame
    """One row per label: `id`, `view` (number of the view of its image), `row` (in the views)."""
    origin: dict[str, Any]

    @property
    def encoder_precision(self) -> str:
        """How the encoder computed them; where nothing is said of it, in `32-true`."""
        return str(self.origin.get(PRECISION, "32-true"))

    def check_base(self, checkpoint: Path, precision: EncoderPrecision) -> None:
        """Refuse embeddings that another base has made, or one in another precision.

        Raises:
            CheckpointError: The store's base is not this checkpoint, or not in this precision.
        """
        found = file_digest(checkpoint)
        if self.origin["base"] != found:
            raise CheckpointError(
                f"the embeddings were made with base {self.origin['base'][:12]}, but {checkpoint} "
                f"is {found[:12]}. Run `dvc repro embed` again."
            )
        if self.encoder_precision != precision:
            raise CheckpointError(
                f"the embeddings were made in {self.encoder_precision}, but base.encoder_precision "
                f"is {precision}. Run `dvc repro embed` again."
            )


def made_by(base: BaseParams) -> dict[str, str]:
    """Say which base embeddings are of, for a store's origin; `32-true` goes without saying."""
    made = {"base": file_digest(Path(base.checkpoint))}
    said = base.encoder_precision != "32-true"
    return {**made, PRECISION: base.encoder_precision} if said else made


def training_tasks(manifest: pd.DataFrame, *, views: int, seed: int) -> list[ViewTask]:
    """List `views` augmented views of every training image."""
    return [
        ViewTask(image=image, masks=masks, view=view, seed=(seed, number, view))
        for number, (image, masks) in enumerate(_images(manifest, "train"))
        for view in range(views)
    ]


def benchmark_tasks(manifest: pd.DataFrame) -> list[ViewTask]:
    """List the one squashed view of every benchmark image."""
    return [
        ViewTask(image=image, masks=masks, view=0, seed=None)
        for image, masks in _images(manifest, "val")
    ]


def write_store(
    folder: Path,
    tasks: Sequence[ViewTask],
    ids: dict[str, str],
    base: BaseSam,
    *,
    jitter: tuple[float, float],
    batch_size: int,
    workers: int,
    origin: dict[str, Any],
    group: ProcessGroup = ALONE,
) -> None:
    """Make the views, encode them and write all into a folder.

    Several processes encode whole batches, those that one would encode, and so the same numbers.

    Args:
        folder: The store; made if need be.
        tasks: The views.
        ids: Id of each mask by its path.
        base: The frozen SAM.
        jitter: Range of the large-scale jitter of augmented views.
        batch_size: Views per encoder call.
        workers: Processes that read and augment.
        origin: What the store is made from; `origin.json`.
        group: The processes that share the views, on machines with one file system.

    Raises:
        DataError: There is nothing to encode.
    """
    if not tasks:
        raise DataError("there is no image to embed: the manifest's split is empty.")
    batches = [tasks[first : first + batch_size] for first in range(0, len(tasks), batch_size)]
    own = [task for batch in group.share(batches) for task in batch]
    # Not into one file: machines that write to the same page of it would undo each other's bytes.
    place = folder if group.size == 1 else folder / f"{_PART}{group.rank}"
    rows = _encode_views(
        place, own, ids, base, jitter=jitter, batch_size=batch_size, workers=workers
    )
    parts = group.gather([_EncodedPart(place, len(own), rows)])
    if group.rank:
        return
    if group.size > 1:
        rows = _put_together(folder, base, parts)
    _cut_labels(folder, count=len(rows))
    write_table(folder / "index.parquet", rows, INDEX)
    write_json(folder / "origin.json", origin)  # last: it says that the rest is whole


_PART = "part-"


@dataclass(frozen=True, slots=True)
class _EncodedPart:
    """What one process has encoded."""

    folder: Path
    views: int
    rows: list[dict[str, Any]]
    """Of the index, as if there were no other views."""


def _encode_views(
    folder: Path,
    tasks: Sequence[ViewTask],
    ids: dict[str, str],
    base: BaseSam,
    *,
    jitter: tuple[float, float],
    batch_size: int,
    workers: int,
) -> list[dict[str, Any]]:
    """Write the arrays of some views, room for every label, and return the rows of the index."""
    if not tasks:  # more processes than batches
        return []
    folder.mkdir(parents=True, exist_ok=True)
    make = partial(make_view, side=base.side, jitter=jitter)
    views = parallel_map(make, tasks, workers=workers, label="views")
    most = sum(len(task.masks) for task in tasks)
    packs = _open_packs(folder, base, views=len(tasks), labels=most)
    rows: list[dict[str, Any]] = []
    device = next(base.parameters()).device
    for first, batch in _batches(views, batch_size):
        images = np.stack([view.image for view in batch]).transpose(0, 3, 1, 2)
        with torch.no_grad():
            encoded = base.encode(torch.from_numpy(np.ascontiguousarray(images)).to(device))
        span = slice(first, first + len(batch))
        packs["images"][span] = images
        packs["embedding"][span] = encoded.embedding.half().cpu().numpy()
        packs["early"][span] = encoded.early.half().cpu().numpy()
        for row, view in enumerate(batch, start=first):
            for path, label in zip(tasks[row].masks, view.masks, strict=True):
                # A benchmark's object is kept however small: it has to be found all the same.
                if tasks[row].seed is None or foreground(label).sum() >= SMALLEST_LABEL:
                    packs["labels"][len(rows)] = label
                    rows.append({"id": ids[path], "view": tasks[row].view, "row": row})
    for pack in packs.values():
        pack.flush()
    return rows


def _put_together(
    folder: Path, base: BaseSam, parts: Sequence[_EncodedPart]
) -> list[dict[str, Any]]:
    """Copy all processes' arrays behind each other, remove their folders, and number the rows."""
    views, labels = sum(part.views for part in parts), sum(len(part.rows) for part in parts)
    packs = _open_packs(folder, base, views=views, labels=max(1, labels))
    rows: list[dict[str, Any]] = []
    first = 0
    for part in parts:
        if not part.views:
            continue
        for name, pack in packs.items():
            start, count = (len(rows), len(part.rows)) if name == "labels" else (first, part.views)
            _copy(np.load(part.folder / f"{name}.npy", mmap_mode="r"), pack, start, count)
        rows += [{**row, "row": row["row"] + first} for row in part.rows]
        first += part.views
    for pack in packs.values():
        pack.flush()
    for left in folder.glob(f"{_PART}*"):  # those of a run that was killed, too
        shutil.rmtree(left)
    return rows


def _copy(source: Pack, target: Pack, start: int, count: int) -> None:
    """Copy the first `count` entries behind `start`, some at a time to spare memory."""
    for first in range(0, count, _AT_ONCE):
        last = min(first + _AT_ONCE, count)
        target[start + first : start + last] = source[first:last]


_AT_ONCE = 256


def _open_packs(folder: Path, base: BaseSam, *, views: int, labels: int) -> dict[str, Pack]:
    """Make the files of the arrays, mapped for writing: they may be larger than the memory."""
    shapes: dict[str, tuple[tuple[int, ...], type]] = {
        "embedding": ((views, base.dim, base.grid, base.grid), np.float16),
        "early": ((views, base.early_dim, base.grid, base.grid), np.float16),
        "images": ((views, 3, base.side, base.side), np.uint8),
        "labels": ((labels, base.side, base.side), np.uint8),
    }
    return {
        name: np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, shape)
        for name, (shape, dtype) in shapes.items()
    }


def write_empty_store(folder: Path, origin: dict[str, Any]) -> None:
    """Say that nothing is cached: training encodes every view as it comes."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "origin.json", origin)


def make_view(
    task: ViewTask, *, side: int, jitter: tuple[float, float], decode: Decode = "whole"
) -> View:
    """Read an image with its masks and bring them to the encoder's input.

    Args:
        task: What is asked for.
        side: Input side S.
        jitter: Range of the large-scale jitter.
        decode: How an image that is augmented is decoded; every other one is decoded whole.
    """
    masks = np.stack([read_mask(Path(path)) for path in task.masks])
    if task.seed is None:
        labels = np.stack([squash_mask(mask, side) for mask in masks])
        return View(image=squash(read_image(Path(task.image)), side), masks=labels)
    how: dict[str, Any] = {"side": side, "jitter": jitter}
    first, again = (np.random.default_rng(list(task.seed)) for _ in range(2))
    least = drawn_length(**how, rng=first) if decode == "near" else None
    image = load_image(Path(task.image), least=least)
    return augment(image.pixels, masks, **how, rng=again, reduction=image.reduction)


def open_store(folder: Path) -> Store:
    """Open a store for reading.

    Raises:
        DataError: The folder is no complete store.
    """
    missing = [
        name
        for name in (*(f"{array}.npy" for array in ARRAYS), "index.parquet", "origin.json")
        if not (folder / name).is_file()
    ]
    if missing:
        raise DataError(f"{folder} lacks {missing}; run `dvc repro embed` to make it.")
    return Store(
        **{name: _mapped(folder / f"{name}.npy", *ARRAYS[name]) for name in ARRAYS},
        index=read_table(folder / "index.parquet", INDEX, what="an index of embeddings"),
        origin=read_json(folder / "origin.json"),
    )


def _mapped(path: Path, kind: type, dimensions: int) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        found = (np.dtype(kind) == array.dtype, array.ndim)
    except Exception as error:  # noqa: BLE001  (numpy evaluates the header, which may be anything)
        raise DataError(f"{path} is damaged ({error}). {REPEAT}") from None
    if found != (True, dimensions):
        raise DataError(
            f"{path} holds {array.dtype} {array.shape}, expected {kind.__name__} in {dimensions} "
            f"dimensions. {REPEAT}"
        )
    return array


def _cut_labels(folder: Path, *, count: int) -> None:
    """Shorten the labels' file, made for every mask, to the views in which one can be seen."""
    path = folder / "labels.npy"
    every = np.load(path, mmap_mode="r")
    if not count:
        raise DataError(
            f"no view shows {SMALLEST_LABEL} pixels of any object, so there is nothing to train "
            "on. Use larger objects, or raise the lower end of embed.jitter."
        )
    if count < len(every):
        with draft_file(path) as draft:
            shape = (count, *every.shape[1:])
            cut: Pack = np.lib.format.open_memmap(draft, "w+", every.dtype, shape)
            _copy(every, cut, 0, count)
            cut.flush()


def _images(manifest: pd.DataFrame, split: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    rows = manifest[manifest["split"] == split]
    for image, group in rows.groupby("image", sort=True):
        yield str(image), tuple(group["mask"])


def _batches(views: Iterator[View], size: int) -> Iterator[tuple[int, list[View]]]:
    batch: list[View] = []
    done = 0
    for view in views:
        batch.append(view)
        if len(batch) == size:
            yield done, batch
            done, batch = done + size, []
    if batch:
        yield done, batch
