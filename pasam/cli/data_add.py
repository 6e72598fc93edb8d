"""The command `pasam data add`: register images and masks of one's own."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pasam.config.params_file import DEFAULT_PATH, load_section
from pasam.config.schema import DataParams
from pasam.errors import DataError

if TYPE_CHECKING:
    from pasam.data.own_sets import Added
    from pasam.data.pairing import Source

ParamsFile = Annotated[Path, typer.Option(help="The params file.")]
Workers = Annotated[int, typer.Option(min=1, help="Processes.")]
Own = Annotated[Path | None, typer.Option(help="Folder of your own data; by default data.own.")]

Name = Annotated[str, typer.Argument(help="What the set is called from now on.")]
Images = Annotated[Path | None, typer.Option(help="Folder of the images.")]
Masks = Annotated[Path | None, typer.Option(help="Folder of the masks, named like their images.")]
TableFile = Annotated[
    Path | None,
    typer.Option("--csv", help="Table with the columns image and mask; also split and group."),
]
Coco = Annotated[
    Path | None,
    typer.Option(help="COCO annotations; --images says where the images are, if not beside it."),
]
ValFraction = Annotated[float, typer.Option(help="Fraction that is only measured, 0 to 1.")]
Group = Annotated[
    str | None,
    typer.Option(
        help="What keeps images in one split: a column of the table, a key of the COCO images, or "
        "a regular expression that finds the group in an image's name."
    ),
]
MasksAre = Annotated[
    Literal["auto", "binary", "index"],
    typer.Option(help="One object per mask, or a number per object; found out by default."),
]
Measure = Annotated[bool, typer.Option(help="Name the set under evaluate.benchmarks.")]
Replace = Annotated[bool, typer.Option(help="Put it in the place of a set so called.")]
SkipBad = Annotated[bool, typer.Option(help="Leave bad pairs out, and say which.")]
Link = Annotated[bool, typer.Option(help="Give files a second name instead of copying them.")]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
DryRun = Annotated[bool, typer.Option(help="Look at everything and write nothing.")]

WORKERS = min(4, os.cpu_count() or 1)


def data_add(
    name: Name,
    images: Images = None,
    masks: Masks = None,
    table: TableFile = None,
    coco: Coco = None,
    val_fraction: ValFraction = 0.2,
    group: Group = None,
    masks_are: MasksAre = "auto",
    measure: Measure = True,
    replace: Replace = False,
    skip_bad: SkipBad = False,
    link: Link = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    own: Own = None,
    workers: Workers = WORKERS,
    params_file: ParamsFile = DEFAULT_PATH,
) -> None:
    """Register images and masks of your own; then `dvc repro` trains on them and measures them.

    Example: pasam data add cats --images ~/cats/photos --masks ~/cats/masks
    """
    from pasam.data.mask_kinds import Reading
    from pasam.data.own_sets import Options, add

    options = Options(
        val_fraction=val_fraction, reading=Reading(masks_are), skip_bad=skip_bad, replace=replace,
        link=link, dry_run=dry_run, workers=workers,
    )  # fmt: skip
    source = _source(images, masks, table, coco, group)
    folder = own or own_folder(params_file)
    added = add(name, source, folder, options, taken=_names_of_other_sets())
    lines = [*_told(added), *_next(added, params_file, wanted=measure)]
    if as_json:
        content = {"state": added.state, "notes": added.notes, **added.plan.description()}
        lines = [json.dumps(content, indent=2)]
    typer.echo("\n".join(lines))


def own_folder(params_file: Path) -> Path:
    """Read which folder holds one's own data."""
    return Path(load_section(DataParams, "data", params_file).own)


def _source(
    images: Path | None,
    masks: Path | None,
    table: Path | None,
    coco: Path | None,
    group: str | None,
) -> Source:
    """Read the one source that the options name."""
    from pasam.data.coco import from_coco
    from pasam.data.pairing import from_csv, from_folders

    if coco and not masks and not table:
        return from_coco(coco, images or coco.parent, group=group)
    if table and not coco and not images and not masks:
        return from_csv(table, group=group)
    if images and masks and not table and not coco:
        return from_folders(images, masks, group=group)
    raise DataError(
        "Say where the set is, in one of three ways: --images DIR --masks DIR, --csv FILE, or "
        "--coco FILE (with --images DIR if they are not beside it)."
    )


def _told(added: Added) -> list[str]:
    """Say in words what is, or would be, registered."""
    from pasam.data.own_sets import DRAWN

    plan = added.plan
    verb = {
        "new": "registered in",
        "replaced": "registered anew in",
        "unchanged": "is registered already, exactly so, in",
        "planned": "would be registered in",
    }[added.state]
    lines = [f"{plan.name} {verb} {added.folder}"]
    for split, what in (("train", "to learn from"), ("val", "to measure")):
        images, objects = plan.count(split)
        lines.append(f"  {split}: {images} images, {objects} masks {what}")
    for kind, (files, objects) in plan.kinds().items():
        several = f", {objects} objects: one 0/255 mask each" if kind in DRAWN else ""
        lines.append(f"  masks: {files} {kind}{several}")
    return [*lines, *(f"  note: {note}" for note in added.notes)]


def _next(added: Added, params_file: Path, *, wanted: bool) -> list[str]:
    """Have the set measured, if it was asked for, and say so; and say what comes next."""
    from pasam.data.own_sets import add_benchmark

    name, is_dry = added.plan.name, added.state == "planned"
    lines = []
    if added.plan.count("val")[0] and wanted and not is_dry:
        verb = "now has" if add_benchmark(name, params_file) else "has"
        lines.append(f"  {params_file}: evaluate.benchmarks {verb} {name}")
    elif added.plan.count("val")[0]:
        lines.append(f"  to measure it, add {name} to evaluate.benchmarks in {params_file}")
    if is_dry:
        return [*lines, "Nothing was written (--dry-run)."]
    share = f"dvc add {added.folder}, git add what that names, and dvc push"
    return [*lines, "Next: dvc repro", f"To share it: {share}"]


def _names_of_other_sets() -> list[str]:
    """Names that one's own set cannot have: the catalogue's, the generated sets among them."""
    from pasam.data.catalogue import read_catalogue

    catalogue = read_catalogue()
    return [*catalogue.entries, *catalogue.groups]
