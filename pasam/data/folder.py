"""One's own images and masks: pairing them from a CSV file or from a folder's layout."""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pasam.data.manifest import SPLITS, Fault
from pasam.data.pairing import list_images, match_names
from pasam.errors import DataError

CSV_NAME = "manifest.csv"
CSV_COLUMNS = ("split", "dataset", "image", "mask")
SET_FILE = "set.json"
"""Marks a folder as a data set that was registered, with a table of its own."""


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Pair:
    """One mask and the image it belongs to."""

    split: str
    """`train` or `val`."""
    dataset: str
    image: Path
    mask: Path

    def fault(self, kind: str, message: str) -> Fault:
        """Say what is wrong with this pair; `kind` is one of `pasam.data.manifest.KINDS`."""
        return Fault(
            kind=kind, split=self.split, dataset=self.dataset, image=self.image, mask=self.mask,
            message=message,
        )  # fmt: skip


def find_pairs(own: Path) -> tuple[tuple[Pair, ...], tuple[Fault, ...]]:
    """List the pairs of a folder, sorted, and what is wrong with single pairings.

    A `manifest.csv` with the columns split, dataset, image and mask (paths relative to the
    folder, further columns ignored) is read. Without one it is the layout
    `<split>/<dataset>/im` and `<split>/<dataset>/gt`, where the masks of `im/cat.jpg`
    are `gt/cat.png`, `gt/cat_<anything>.png` and every file in `gt/cat/`. Beside either, every
    folder with a `set.json` is a registered set, listed by its own `manifest.csv`.

    Args:
        own: Folder that the params key `data.own` names.

    Returns:
        The pairs, none when the folder holds no data; and the faults: rows that are incomplete,
        files that are named but absent, images without a mask, masks without an image, images
        that share a name, and pairs that are listed twice.

    Raises:
        DataError: The folder is missing, or neither of its forms.
    """
    if not own.is_dir():
        raise DataError(
            f"The folder {own} (params.yaml: data.own) does not exist. Make it, empty if you have "
            "no data of your own, or correct the key."
        )
    table = own / CSV_NAME
    loose = _pairs_of_csv(table) if table.is_file() else _pairs_of_layout(own)
    registered = (found for folder in registered_sets(own) for found in _pairs_of_set(folder))
    every = list(itertools.chain(loose, registered))
    faults = [found for found in every if isinstance(found, Fault)]
    pairs: list[Pair] = []
    for pair in sorted(found for found in every if isinstance(found, Pair)):
        if pairs and pairs[-1] == pair:
            message = f"{own} lists {pair.mask} twice for {pair.image}. Remove one entry."
            faults.append(pair.fault("listed_twice", message))
        else:
            pairs.append(pair)
    return tuple(pairs), tuple(faults)


def count_pairs(pairs: Iterable[Pair]) -> dict[tuple[str, str], tuple[int, int]]:
    """Count the images and the masks of every (split, data set)."""
    images: dict[tuple[str, str], set[Path]] = {}
    masks: Counter[tuple[str, str]] = Counter()
    for pair in pairs:
        images.setdefault((pair.split, pair.dataset), set()).add(pair.image)
        masks[pair.split, pair.dataset] += 1
    return {key: (len(found), masks[key]) for key, found in images.items()}


def registered_sets(own: Path) -> list[Path]:
    """List the folders of the registered sets, sorted; none where there is no folder."""
    if not own.is_dir():
        return []
    return [folder for folder in _folders(own) if (folder / SET_FILE).is_file()]


def _pairs_of_set(folder: Path) -> Iterator[Pair | Fault]:
    table = folder / CSV_NAME
    if not table.is_file():
        raise DataError(
            f"{folder} has a {SET_FILE} but no {CSV_NAME}. Register the set again with "
            f"`pasam data add {folder.name} ... --replace`, or remove the folder."
        )
    return _pairs_of_csv(table)


def _pairs_of_csv(table: Path) -> Iterator[Pair | Fault]:
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


def _pair_of_row(row: Mapping[str, str | None], *, place: str, own: Path) -> Pair | Fault:
    values = {name: (row[name] or "").strip() for name in CSV_COLUMNS}
    pair = Pair(
        split=values["split"],
        dataset=values["dataset"],
        image=own / values["image"],
        mask=own / values["mask"],
    )
    for name, value in values.items():
        if not value:
            message = f"{place}: '{name}' is empty. Fill it in, or remove the row."
            return pair.fault("bad_row", message)
    if pair.split not in SPLITS:
        return pair.fault(
            "bad_row",
            f"{place}: split is '{pair.split}', expected one of {list(SPLITS)}. Use 'val' "
            "for everything that is only measured.",
        )
    for name, path in (("image", pair.image), ("mask", pair.mask)):
        if not path.is_file():
            return pair.fault(
                "missing_file",
                f"{place}: {name} {path} does not exist. Paths are relative to {own}; restore the "
                "file, or correct or remove the row.",
            )
    return pair


def _pairs_of_layout(own: Path) -> Iterator[Pair | Fault]:
    for split in _folders(own):
        if (split / SET_FILE).is_file():
            continue
        if split.name not in SPLITS:
            raise DataError(
                f"{own} holds the folder '{split.name}', expected {list(SPLITS)} or a {CSV_NAME}. "
                "Rename or move it, or register its pictures with `pasam data add`."
            )
        for dataset in _folders(split):
            yield from _pairs_of_dataset(dataset)


def _pairs_of_dataset(dataset: Path) -> Iterator[Pair | Fault]:
    im, gt = dataset / "im", dataset / "gt"
    for folder in (im, gt):
        if not folder.is_dir():
            raise DataError(
                f"{dataset} lacks the folder '{folder.name}'; a data set needs 'im' (images) and "
                "'gt' (masks)."
            )
    masks = [mask for folder in (gt, *_folders(gt)) for mask in list_images(folder)]
    found = match_names(list_images(im), masks, image_root=im, mask_root=gt)
    names = {"split": dataset.parent.name, "dataset": dataset.name}
    for first, second in found.same_name:
        message = (
            f"{first} and {second} share the name '{first.stem}', so masks cannot tell them "
            "apart. Rename one."
        )
        yield Fault(**names, kind="name_taken", image=second, mask=None, message=message)
    for mask in found.without_image:
        message = (
            f"{mask} belongs to no image: {im} has no file named '{mask.stem}', nor one whose "
            "name it continues after a '_'. Add the image, or remove the mask."
        )
        yield Fault(**names, kind="mask_without_image", image=None, mask=mask, message=message)
    taken = {second for _, second in found.same_name}
    for image in (image for image in found.without_mask if image not in taken):
        message = (
            f"{image} has no mask ({len(found.without_mask)} such images in {dataset}). Expected "
            f"{gt / image.stem}.png, {image.stem}_<anything>.png or a folder {image.stem}/ beside "
            "it: add the mask, or remove the image."
        )
        yield Fault(**names, kind="image_without_mask", image=image, mask=None, message=message)
    for image, of_image in found.masks_of.items():
        for mask in of_image:
            yield Pair(**names, image=image, mask=mask)


def pair_folders(
    images: Path,
    masks: Path,
    *,
    split: str,
    dataset: str,
    image_suffix: str,
    mask_suffix: str,
) -> tuple[tuple[Pair, ...], tuple[Path, ...]]:
    """Pair two folders of pictures, which may be one, told apart by their suffix.

    Args:
        images: Folder of the images.
        masks: Folder of the masks, named like their images.
        split: `train` or `val`.
        dataset: Name of the data set.
        image_suffix: Ending of the images, with its dot.
        mask_suffix: Ending of the masks.

    Returns:
        The pairs, sorted, and the files that belong to none.
    """
    found = match_names(
        [path for path in list_images(images) if path.suffix.lower() == image_suffix.lower()],
        [path for path in list_images(masks) if path.suffix.lower() == mask_suffix.lower()],
        image_root=images,
        mask_root=masks,
    )
    pairs = sorted(
        Pair(split=split, dataset=dataset, image=image, mask=mask)
        for image, of_image in found.masks_of.items()
        for mask in of_image
    )
    return tuple(pairs), (*found.without_mask, *found.without_image)


def _folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
