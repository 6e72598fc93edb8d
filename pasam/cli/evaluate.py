"""The command `pasam evaluate`: the measures of any model on any set."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table

from pasam.cli import options
from pasam.cli.sets.set_options import complete_set, own_folder
from pasam.config.params_file import DEFAULT_PATH
from pasam.errors import DataError, ParamsError
from pasam.workers import progress_bar

if TYPE_CHECKING:
    from pasam.evaluation.set_scores import ImageWithMasks
    from pasam.inference.predictor import PromptAdapterPredictor

Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model", autocompletion=options.complete_model,
        help="Repeatable: a name, file or alias, as of `pasam predict`, and by default the model "
        "that answers there.",
    ),
]  # fmt: skip
Sets = Annotated[
    list[str] | None,
    typer.Option("--data", help="A set of the manifest; repeatable.", autocompletion=complete_set),
]
Images = Annotated[Path | None, typer.Option(help="Or a folder of images ...", file_okay=False)]
Masks = Annotated[
    Path | None, typer.Option(help="... and one of masks, named like them.", file_okay=False)
]
Pairs = Annotated[
    Path | None,
    typer.Option(
        "--csv", dir_okay=False,
        help="Or a table with the columns image and mask, and, if there are, split and group.",
    ),
]  # fmt: skip
Split = Annotated[
    Literal["val", "train", "all"],
    typer.Option(help="Split of the manifest or table; rows without one count for each."),
]
Zoom = Annotated[
    bool,
    typer.Option("--zoom", help="Measure each model with `pasam predict --zoom` too, and compare."),
]
Rows = Annotated[
    Path | None,
    typer.Option(help="Write a row per model and mask: .csv or .parquet.", dir_okay=False),
]
Manifest = Annotated[Path, typer.Option(help="The manifest of `dvc repro prepare`.")]
BoundaryFraction = Annotated[
    float, typer.Option(min=0.0001, max=0.5, help="Boundary band, as a fraction of the diagonal.")
]


def evaluate(
    model: Models = None,
    data: Sets = None,
    images: Images = None,
    masks: Masks = None,
    csv: Pairs = None,
    split: Split = "val",
    zoom: Zoom = False,
    rows: Rows = None,
    manifest: Manifest = Path("data/manifest.parquet"),
    boundary_fraction: BoundaryFraction = 0.02,
    as_json: options.AsJson = False,
    resize: options.Resize = "squash",
    device: options.Device = "auto",
    base: options.Base = None,
    adapters: options.Adapters = options.ADAPTERS,
    params_file: options.ParamsFile = DEFAULT_PATH,
) -> None:
    """Measure models on sets of images with masks: every mask is prompted by its box.

    mIoU and mBIoU are means over the masks, at the images' own size, in percent, with their 95 %
    intervals over images, or over the groups that images belong to. Several models are compared on
    the same masks. All of it speaks of these weights: of other seeds of training it knows nothing.

    Example: pasam evaluate --model pa_sam --model sam --data dis_like
    """
    sets = _chosen_sets(data, images, masks, csv, manifest, split, params_file)
    from pasam.evaluation import set_scores

    if rows is not None:
        set_scores.check_suffix(rows)
    found: list[dict[str, Any]] = []
    known: dict[str, tuple[str, str]] = {}
    asked: list[str | None] = [*dict.fromkeys(model or ())]
    for name in asked or [None]:
        predictor = options.named_model(
            name, params_file=params_file, adapters=adapters, base=base, device=device,
            resize=resize,
        )  # fmt: skip
        if _is_known(predictor, name or predictor.name, known):
            continue
        for title, pairs in sets.items():
            shown = progress_bar(pairs, total=len(pairs), label=f"{predictor.name} on {title}")
            found += set_scores.score_set(
                predictor, shown, data=title, boundary_fraction=boundary_fraction, zoom=zoom
            )
    if rows is not None:
        set_scores.write_rows(found, rows)
    scores, differences = set_scores.summarise_sets(found), set_scores.compare_models(found)
    if as_json:
        content = {"scores": scores, "differences": differences}
        options.print_result(content, (), as_json=True)
        return
    console = Console(soft_wrap=True)
    console.print(_table(scores))
    if any(row["covered"] for row in scores):
        typer.echo(
            "Thin: of the masks, those whose boundary band is all of them, so that boundary\n"
            "IoU says no more than IoU."
        )
    if differences:
        console.print(_compared(differences))
        each = len(differences) // len(sets)
        typer.echo(
            "Intervals: 95 %, over images or their groups, of these weights alone.\n"
            f"Verdict: after Holm's correction over the {each} comparisons of a set, which\n"
            "asks for more than an interval without 0."
        )


def _is_known(
    predictor: PromptAdapterPredictor, typed: str, known: dict[str, tuple[str, str]]
) -> bool:
    """Whether a model is there already under another word, which is said.

    Args:
        predictor: The model.
        typed: What it was called on the command line.
        known: Of the models before, by name, what was typed and the digest of the weights; this one
            is put in.

    Raises:
        ParamsError: Two models have one name.
    """
    from pasam.models.build import digest

    name, weights = predictor.name, digest(predictor.segmenter.state_dict())
    before, same = known.setdefault(name, (typed, weights))
    if weights != same:
        raise ParamsError(
            f"{before} and {typed} are two models that are both called {name}, so their rows could "
            "not be told apart. Rename one of the files."
        )
    if before != typed:
        typer.echo(f"{typed} is left out: it is {name}, as {before} is", err=True)
    return before != typed


def _chosen_sets(
    data: list[str] | None,
    images: Path | None,
    masks: Path | None,
    csv: Path | None,
    manifest: Path,
    split: str,
    params_file: Path,
) -> dict[str, list[ImageWithMasks]]:
    """Find the sets that were named, each with its images and their masks."""
    if (images is None) is not (masks is None):
        raise DataError("--images and --masks go together: one folder each.")
    if sum(bool(way) for way in (data, images, csv)) != 1:
        raise DataError(
            "say which set: --data NAME, --images DIR with --masks DIR, or --csv FILE, not both "
            "and not none."
        )
    if images is not None and masks is not None:
        return {_folders_name(images): _of_folders(images, masks)}
    if csv is not None:
        return {csv.stem: _of_csv(csv, split)}
    return {name: _of_manifest(name, manifest, split, params_file) for name in data or ()}


def _folders_name(images: Path) -> str:
    """Name a set by its folder of images; data/own/cats/im, of a registered set, is cats."""
    from pasam.data.pairing import SET_FILE

    return (images.parent if (images.parent / SET_FILE).is_file() else images).name


def _of_manifest(name: str, manifest: Path, split: str, params_file: Path) -> list[ImageWithMasks]:
    from pasam.data.manifest import read_manifest
    from pasam.evaluation.set_scores import ImageWithMasks

    own = _own_set(name, params_file)
    if own is not None and not manifest.exists():
        raise DataError(f"{manifest} does not exist yet. {_before_prepare(own)}")
    frame = read_manifest(manifest)
    rows = frame[(frame["dataset"] == name) & frame["split"].isin(_splits(split))]
    if rows.empty:
        others = sorted(set(frame.loc[frame["dataset"] == name, "split"]))
        if others:
            raise DataError(
                f"{manifest} has the set '{name}' in {' and '.join(others)} only, not in {split}. "
                "Say --split all."
            )
        known = ", ".join(sorted(set(frame["dataset"])))
        raise DataError(
            f"{manifest} has no set '{name}' yet. {_before_prepare(own)}"
            if own is not None
            else f"{manifest} has no set '{name}'; it has {known}. Name one of these, register "
            f"your own by `pasam data add {name} ...`, or measure two folders: --images, --masks."
        )
    return [
        ImageWithMasks(Path(str(image)), [Path(mask) for mask in of["mask"]], of["group"].iloc[0])
        for image, of in rows.groupby("image", sort=True)
    ]


def _own_set(name: str, params_file: Path) -> Path | None:
    """Find the folder of a set that was registered by `pasam data add`."""
    from pasam.data.pairing import registered_sets

    try:
        own = own_folder(None, params_file)
    except ParamsError:  # not in a project
        return None
    return next((folder for folder in registered_sets(own) if folder.name == name), None)


def _before_prepare(own: Path) -> str:
    return (
        f"The set is registered in {own}: `dvc repro prepare` puts it there; or measure it at "
        f"once, all of it, by --images {own}/im --masks {own}/gt in place of --data {own.name}."
    )


def _of_csv(table: Path, split: str) -> list[ImageWithMasks]:
    from pasam.data.pairing import from_csv
    from pasam.evaluation.set_scores import ImageWithMasks

    source = from_csv(table)
    if source.faults:
        count = len(source.faults) + source.more_faults
        more = f" ({count} faults in all)" if count > 1 else ""
        raise DataError(f"{source.faults[0]}{more}")
    kept = [one for one in source.candidates if not one.split or one.split in _splits(split)]
    if not kept:
        raise DataError(f"{table} has no pair of the split {split}. Say --split all.")
    return [ImageWithMasks(one.image, one.masks, one.group or "") for one in kept]


def _splits(split: str) -> tuple[str, ...]:
    return ("train", "val") if split == "all" else (split,)


def _of_folders(images: Path, masks: Path) -> list[ImageWithMasks]:
    from pasam.data.names.folder_images import READ_MASKS, list_images, unread_images
    from pasam.data.names.mask_names import match_names, said_of_alike
    from pasam.evaluation.set_scores import ImageWithMasks

    for folder in (images, masks):
        if not folder.is_dir():
            raise DataError(f"the folder {folder} does not exist.")
    found, drawn = (
        list_images(images, deep=True),
        list_images(masks, deep=True, suffixes=READ_MASKS),
    )
    matching = match_names(found, drawn, image_root=images, mask_root=masks)
    if not matching.masks_of:
        raise DataError(
            f"no mask of {masks} is named like an image of {images}: the masks of cat.jpg are "
            "cat.png, cat_<anything>.png, and what lies in a folder cat."
        )
    _say_what_is_left(matching.without_mask, "images have no mask")
    _say_what_is_left(matching.without_image, "masks have no image")
    _say_what_is_left(unread_images(images, deep=True), "images cannot be read here")
    if matching.alike:
        typer.echo(f"note: {said_of_alike(matching.alike)}", err=True)
    return [ImageWithMasks(*found) for found in matching.masks_of.items()]


def _say_what_is_left(paths: Iterable[Path], what: str) -> None:
    names = [str(path) for path in paths]
    if names:
        typer.echo(f"left out: {len(names)} {what}, e.g. {names[0]}", err=True)


_WHOLE = ("mIoU", "mBIoU", "Points")
"""Columns whose cells hold an interval; a narrow terminal breaks the others first."""


def _table(scores: list[dict[str, Any]]) -> Table:
    thin = any(row["covered"] for row in scores)  # masks whose boundary band is all of them
    numbers = ("Masks", "mIoU", "mBIoU", "Pooled IoU", *(["Thin"] if thin else []))
    table = _empty("Model", "Set", numbers=numbers)
    for row in scores:
        means = (_with_ends(row, metric) for metric in ("iou", "boundary_iou"))
        names = ("pooled_iou", "covered") if thin else ("pooled_iou",)
        others = (f"{100 * row[name]:.1f}" for name in names)
        table.add_row(row["model"], row["data"], f"{row['masks']:,}", *means, *others)
    return table


def _compared(differences: list[dict[str, Any]]) -> Table:
    table = _empty(
        "Comparison", "Set", numbers=("Metric", "Points", "Better / worse (%)", "Verdict")
    )
    for row in differences:
        names = f"{row['model']} minus {row['against']}"
        metric = {"iou": "mIoU", "boundary_iou": "mBIoU"}[row["metric"]]
        sides = " / ".join(f"{100 * row[side]:.0f}" for side in ("better", "worse"))
        points = _with_ends({**row, "_low": row["low"], "_high": row["high"]}, "", "+")
        table.add_row(names, row["data"], metric, points, sides, row["verdict"])
    return table


def _empty(*titles: str, numbers: tuple[str, ...]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in titles:
        table.add_column(title, overflow="fold")
    for title in numbers:
        table.add_column(title, justify="right", no_wrap=title in _WHOLE)
    return table


def _with_ends(row: dict[str, Any], metric: str, sign: str = "") -> str:
    """Write a mean, or a difference, with its interval in per cent; of one image there is none."""
    low, high = row[f"{metric}_low"], row[f"{metric}_high"]
    if metric and low is not None:  # of few images Student's interval knows no bounds; a mean has
        low, high = max(low, 0.0), min(high, 1.0)
    ends = "" if low is None else f" [{100 * low:{sign}.1f}, {100 * high:{sign}.1f}]"
    return f"{100 * row[metric or 'difference']:{sign}.1f}{ends}"
