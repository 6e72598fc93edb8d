"""The command `pasam evaluate`: the measures of any model on any set."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from pasam.cli import options
from pasam.config.params_file import DEFAULT_PATH
from pasam.errors import DataError
from pasam.workers import progress_bar

if TYPE_CHECKING:
    from pasam.evaluation.protocol import ImageWithMasks, SetScores

Models = Annotated[
    list[str],
    typer.Option(
        "--model", help="A name, file or alias; repeatable.", autocompletion=options.complete_model
    ),
]
Sets = Annotated[
    list[str] | None, typer.Option("--data", help="A set of the manifest; repeatable.")
]
Images = Annotated[Path | None, typer.Option(help="Or a folder of images ...", file_okay=False)]
Masks = Annotated[
    Path | None, typer.Option(help="... and one of masks, named like them.", file_okay=False)
]
Manifest = Annotated[Path, typer.Option(help="The manifest of `dvc repro prepare`.")]
BoundaryFraction = Annotated[
    float, typer.Option(min=0.0001, max=0.5, help="Boundary band, as a fraction of the diagonal.")
]


def evaluate(
    model: Models = ["pa_sam"],  # noqa: B006  (typer copies it)
    data: Sets = None,
    images: Images = None,
    masks: Masks = None,
    manifest: Manifest = Path("data/manifest.parquet"),
    boundary_fraction: BoundaryFraction = 0.02,
    as_json: options.AsJson = False,
    resize: options.Resize = "squash",
    device: options.Device = "cpu",
    base: options.Base = None,
    adapters: options.Adapters = options.ADAPTERS,
    params_file: options.ParamsFile = DEFAULT_PATH,
) -> None:
    """Measure models on sets of images with masks: every mask is prompted by its box.

    mIoU and mBIoU are means over the masks, at the images' own size, in percent.

    Example: pasam evaluate --model pa_sam --model sam --data dis_like
    """
    sets = _chosen_sets(data, images, masks, manifest)
    from pasam.evaluation.protocol import score_set

    found: list[tuple[str, str, SetScores]] = []
    for name in model:
        predictor = options.named_model(
            name, params_file=params_file, adapters=adapters, base=base, device=device,
            resize=resize,
        )  # fmt: skip
        for title, pairs in sets.items():
            shown = progress_bar(pairs, total=len(pairs), label=f"{predictor.name} on {title}")
            scores = score_set(predictor, shown, boundary_fraction=boundary_fraction)
            found.append((predictor.name, title, scores))
    if as_json:
        rows = [{"model": m, "data": d, **dataclasses.asdict(s)} for m, d, s in found]
        options.print_result(rows, (), as_json=True)
    else:
        Console(soft_wrap=True).print(_table(found))


def _chosen_sets(
    data: list[str] | None, images: Path | None, masks: Path | None, manifest: Path
) -> dict[str, list[ImageWithMasks]]:
    """Find the sets that were named, each with its images and their masks."""
    if (images is None) is not (masks is None):
        raise DataError("--images and --masks go together: one folder each.")
    if images is not None and masks is not None:
        if data:
            raise DataError("say which set: --data, or --images with --masks, not both.")
        return {images.name: _of_folders(images, masks)}
    if not data:
        raise DataError("say which set: --data NAME, or --images DIR --masks DIR.")
    return {name: _of_manifest(name, manifest) for name in data}


def _of_manifest(name: str, manifest: Path) -> list[ImageWithMasks]:
    from pasam.data.manifest import read_manifest

    frame = read_manifest(manifest)
    rows = frame[frame["dataset"] == name]
    if rows.empty:
        raise DataError(
            f"{manifest} has no set '{name}'; it holds {sorted(set(frame['dataset']))}."
        )
    return [
        (Path(str(image)), [Path(mask) for mask in group["mask"]])
        for image, group in rows.groupby("image", sort=True)
    ]


def _of_folders(images: Path, masks: Path) -> list[ImageWithMasks]:
    from pasam.data.pairing import list_images, match_names

    for folder in (images, masks):
        if not folder.is_dir():
            raise DataError(f"the folder {folder} does not exist.")
    found, drawn = list_images(images, deep=True), list_images(masks, deep=True)
    matching = match_names(found, drawn, image_root=images, mask_root=masks)
    if not matching.masks_of:
        raise DataError(
            f"no mask of {masks} is named like an image of {images}: the masks of cat.jpg are "
            "cat.png, cat_<anything>.png, and what lies in a folder cat."
        )
    _say_what_is_left(matching.without_mask, "images have no mask")
    _say_what_is_left(matching.without_image, "masks have no image")
    return list(matching.masks_of.items())


def _say_what_is_left(paths: Iterable[Path], what: str) -> None:
    names = [str(path) for path in paths]
    if names:
        typer.echo(f"left out: {len(names)} {what}, e.g. {names[0]}", err=True)


def _table(found: list[tuple[str, str, SetScores]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("Model", "Set"):
        table.add_column(title)
    for title in ("Masks", "mIoU", "mBIoU", "Pooled IoU", "Band covers mask"):
        table.add_column(title, justify="right")
    for model, title, scores in found:
        fractions = (scores.iou, scores.boundary_iou, scores.pooled_iou, scores.covered)
        table.add_row(model, title, f"{scores.masks:,}", *(f"{100 * s:.2f}" for s in fractions))
    return table
