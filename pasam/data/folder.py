"""One's own images and masks: pairing them from a CSV file or from a folder's layout."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pasam.data.manifest import SPLITS
from pasam.errors import DataError

CSV_NAME = "manifest.csv"
CSV_COLUMNS = ("split", "dataset", "image", "mask")
SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Pair:
    """One mask and the image it belongs to."""

    split: str
    """`train` or `val`."""
    dataset: str
    image: Path
    mask: Path


def find_pairs(own: Path) -> tuple[Pair, ...]:
    """List the pairs of a folder, sorted; none when it holds no data.

    A `manifest.csv` with the columns split, dataset, image and mask (paths relative to the
    folder, further columns ignored) decides alone. Without one, the layout
    `<split>/<dataset>/im` and `<split>/<dataset>/gt` is read, where the masks of `im/cat.jpg`
    are `gt/cat.png`, `gt/cat_<anything>.png` and every file in `gt/cat/`.

    Args:
        own: Folder that the params key `data.own` names.

    Raises:
        DataError: The folder is missing, a file is named or expected but absent, an image has no
            mask, a mask has no image, or a split is unknown.
    """
    if not own.is_dir():
        raise DataError(
            f"The folder {own} (params.yaml: data.own) does not exist. Make it, empty if you have "
            "no data of your own, or correct the key."
        )
    table = own / CSV_NAME
    pairs = sorted(_pairs_of_csv(table) if table.is_file() else _pairs_of_layout(own))
    for first, second in itertools.pairwise(pairs):
        if first == second:
            raise DataError(f"{own} lists {first.mask} twice for {first.image}. Remove one entry.")
    return tuple(pairs)


def _pairs_of_csv(table: Path) -> Iterator[Pair]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [name for name in CSV_COLUMNS if name not in (reader.fieldnames or [])]
            if missing:
                raise DataError(
                    f"{table} lacks the columns {missing}; it needs {list(CSV_COLUMNS)} and has "
                    f"{list(reader.fieldnames or [])}."
                )
            for row in reader:
                yield _pair_of_row(row, place=f"{table}, row {reader.line_num}", own=table.parent)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table} is not a CSV file in UTF-8 ({error}). Save it as one.") from None


def _pair_of_row(row: Mapping[str, str | None], *, place: str, own: Path) -> Pair:
    values = {name: (row[name] or "").strip() for name in CSV_COLUMNS}
    for name, value in values.items():
        if not value:
            raise DataError(f"{place}: '{name}' is empty. Fill it in, or remove the row.")
    if values["split"] not in SPLITS:
        raise DataError(
            f"{place}: split is '{values['split']}', expected one of {list(SPLITS)}. Use 'val' "
            "for everything that is only measured."
        )
    for name in ("image", "mask"):
        if not (own / values[name]).is_file():
            raise DataError(
                f"{place}: {name} {own / values[name]} does not exist. Paths are relative to "
                f"{own}; restore the file, or correct or remove the row."
            )
    return Pair(
        split=values["split"],
        dataset=values["dataset"],
        image=own / values["image"],
        mask=own / values["mask"],
    )


def _pairs_of_layout(own: Path) -> Iterator[Pair]:
    for split in _folders(own):
        if split.name not in SPLITS:
            raise DataError(
                f"{own} holds the folder '{split.name}', expected {list(SPLITS)} or a {CSV_NAME}. "
                "Rename or move it."
            )
        for dataset in _folders(split):
            for image, mask in _pairs_of_dataset(dataset):
                yield Pair(split=split.name, dataset=dataset.name, image=image, mask=mask)


def _pairs_of_dataset(dataset: Path) -> Iterator[tuple[Path, Path]]:
    for name in ("im", "gt"):
        if not (dataset / name).is_dir():
            raise DataError(
                f"{dataset} lacks the folder '{name}'; a data set needs 'im' (images) and 'gt' "
                "(masks)."
            )
    images: dict[str, Path] = {}
    for path in _pictures(dataset / "im"):
        if path.stem in images:
            raise DataError(
                f"{images[path.stem]} and {path} share the name '{path.stem}', so masks cannot "
                "tell them apart. Rename one."
            )
        images[path.stem] = path
    without_mask = dict(images)
    for mask, owner in _masks_with_owner(dataset / "gt", images):
        without_mask.pop(owner, None)
        yield images[owner], mask
    if without_mask:
        stem, image = next(iter(without_mask.items()))
        raise DataError(
            f"{image} has no mask ({len(without_mask)} such images in {dataset}). Expected "
            f"{dataset / 'gt' / stem}.png, {stem}_<anything>.png or a folder {stem}/ beside it: "
            "add the mask, or remove the image."
        )


def _masks_with_owner(gt: Path, images: Mapping[str, Path]) -> Iterator[tuple[Path, str]]:
    """Pair each mask with the longest image name that it starts with."""
    for folder in _folders(gt):
        if folder.name not in images:
            raise DataError(_orphan_message(folder, gt, folder.name))
        for mask in _pictures(folder):
            yield mask, folder.name
    for mask in _pictures(gt):
        name = mask.stem
        while name not in images and "_" in name:
            name = name.rpartition("_")[0]
        if name not in images:
            raise DataError(_orphan_message(mask, gt, mask.stem))
        yield mask, name


def _orphan_message(mask: Path, gt: Path, stem: str) -> str:
    return (
        f"{mask} belongs to no image: {gt.parent / 'im'} has no file named '{stem}', nor one "
        "whose name it continues after a '_'. Add the image, or remove the mask."
    )


def _folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _pictures(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    )
