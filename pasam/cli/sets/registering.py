"""The commands `pasam data add`, `check`, `export` and `remove`: sets of one's own."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from pasam.cli.options import (
    CATALOGUE,
    AsJson,
    ChangedParamsFile,
    ParamsFile,
    print_result,
)
from pasam.cli.sets.set_options import (
    CHECKSUMS,
    WORKERS,
    Checksums,
    Fetches,
    Own,
    Workers,
    complete_own_set,
    complete_set,
    data_params,
    own_folder,
)
from pasam.config.params_file import DEFAULT_PATH
from pasam.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pasam.data.inspection import Findings
    from pasam.data.manifest import Fault
    from pasam.data.own_sets import Added
    from pasam.data.pairing import Pair

SHOWN = 20

Name = Annotated[str, typer.Argument(help="What the set is called from now on.")]
Images = Annotated[Path | None, typer.Option(help="Folder of the images.")]
Masks = Annotated[Path | None, typer.Option(help="Folder of the masks, named like their images.")]
TableFile = Annotated[
    Path | None,
    typer.Option("--csv", help="Table with the columns image and mask; also split and group."),
]
Coco = Annotated[
    Path | None,
    typer.Option(
        "--annotations",
        "--coco",
        help="COCO, labelme, VIA, Label Studio, SA-1B, CVAT's XML, or a folder of labelme's, "
        "SA-1B's or YOLO-seg's; --images says where the images are, if not beside it.",
    ),
]
ValFraction = Annotated[
    float,
    typer.Option("--val-fraction", "--val-share", help="Fraction that is only measured, 0 to 1."),
]
Group = Annotated[
    str | None,
    typer.Option(
        help="What keeps images in one split: a column of the table, a key of the COCO images, or "
        "a regular expression that finds the group in an image's name."
    ),
]
Names = Annotated[
    str | None,
    typer.Option(
        help="How pairs are named, without suffixes: IMAGE=MASK with {name} in each, such as "
        "'{name}={name}_seg' or 'img_{name}=gt_{name}'."
    ),
]
Page = Annotated[int | None, typer.Option(min=1, help="Which page of a stack of images, from 1.")]
Bands = Annotated[
    str | None,
    typer.Option(metavar="R,G,B", help="Which bands of images of many: one or three, from 1."),
]
Crowds = Annotated[bool, typer.Option("--crowds", help="Crowds (iscrowd 1) are objects too.")]
Category = Annotated[
    list[str] | None, typer.Option(help="Only objects of this category; repeatable.")
]
MasksAre = Annotated[
    Literal["auto", "binary", "index", "trimap"],
    typer.Option(
        help="One object per mask, a number per object, or one object and its border; found out "
        "by default."
    ),
]
Measure = Annotated[bool, typer.Option(help="Name the set under evaluate.benchmarks.")]
Replace = Annotated[bool, typer.Option(help="Put it in the place of a set so called.")]
SkipBad = Annotated[bool, typer.Option(help="Leave bad pairs out, and say which.")]
Link = Annotated[bool, typer.Option(help="Give files a second name instead of copying them.")]
DryRun = Annotated[bool, typer.Option(help="Look at everything and write nothing.")]


def data_add(
    name: Name,
    images: Images = None,
    masks: Masks = None,
    table: TableFile = None,
    coco: Coco = None,
    val_fraction: ValFraction = 0.2,
    group: Group = None,
    names: Names = None,
    page: Page = None,
    bands: Bands = None,
    crowds: Crowds = False,
    category: Category = None,
    masks_are: MasksAre = "auto",
    measure: Measure = True,
    replace: Replace = False,
    skip_bad: SkipBad = False,
    link: Link = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    own: Own = None,
    workers: Workers = WORKERS,
    target: ChangedParamsFile = DEFAULT_PATH,
) -> None:
    """Register images and masks of your own; then `dvc repro` trains on them and measures them.

    Example: pasam data add cats --images ~/cats/photos --masks ~/cats/masks
    """
    from pasam.data.catalogue import read_catalogue
    from pasam.data.imports import SetPlaces, read_source
    from pasam.data.own_sets import Options, add
    from pasam.masks.mask_files import Reading

    options = Options(
        val_fraction=val_fraction, reading=Reading(masks_are), skip_bad=skip_bad, replace=replace,
        link=link, dry_run=dry_run, workers=workers, page=page, bands=_band_numbers(bands),
    )  # fmt: skip
    source = read_source(
        SetPlaces(
            images=images, masks=masks, table=table, annotations=coco, group=group, names=names,
            crowds=crowds, categories=category or (),
        )
    )  # fmt: skip
    folder = own_folder(own, target)
    catalogue = read_catalogue()
    taken = [*catalogue.entries, *catalogue.groups]
    added = add(name, source, folder, options, taken=taken)
    lines = [*_description(added), *_next(added, target, wanted=measure)]
    content = {"state": added.state, "notes": added.notes, **added.plan.description()}
    print_result(content, lines, as_json=as_json)


def _band_numbers(text: str | None) -> tuple[int, ...] | None:
    try:
        return None if text is None else tuple(int(part) for part in text.split(","))
    except ValueError:
        raise DataError(f"--bands is '{text}', expected one or three numbers: 3,2,1.") from None


def _description(added: Added) -> list[str]:
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
    folders = f"--images {added.folder}/im --masks {added.folder}/gt"
    lines.append(f"Next: pasam evaluate {folders} --model sam --model packaged")
    lines.append("  measures SAM and the packaged PA-SAM+ on it at once; or")
    lines.append("  dvc repro trains and measures, and pasam report show prints the table")
    lines.append(f"To undo it: pasam data remove {name}")
    return [*lines, f"To share it, or for `dvc exp run --temp`: {share}"]


def data_export(
    name: Annotated[
        str, typer.Argument(help="A set of your own.", autocompletion=complete_own_set)
    ],
    out: Annotated[Path, typer.Option(help="Folder to write; new, or empty.")],
    form: Annotated[
        Literal["coco", "coco-rle", "yolo", "labelme", "cutout"],
        typer.Option("--format", help="Polygons, run lengths, or cut-outs with transparency."),
    ] = "coco",
    as_json: AsJson = False,
    own: Own = None,
    params_file: ParamsFile = DEFAULT_PATH,
) -> None:
    """Write the masks of a set for another tool.

    Example: pasam data export cats --format yolo --out cats-yolo
    """
    from pasam.data.exports import export_set
    from pasam.data.pairing import find_pairs

    pairs, faults = find_pairs(own_folder(own, params_file))
    mine, missed = [pair for pair in pairs if pair.dataset == name], _faults_of(name, faults)
    if not mine:
        known = sorted({pair.dataset for pair in pairs})
        raise DataError(f"there is no set '{name}' of your own. Known: {known}.")
    images = export_set(mine, out, form)
    content = {
        "name": name, "format": form, "out": str(out), "images": images, "masks": len(mine),
        "left_out": missed,
    }  # fmt: skip
    lines = [f"{images} images, {len(mine)} masks written to {out}"]
    if missed:
        lines.append(f"  left out, {len(missed)} in all: {missed[0]} (`pasam data check {name}`)")
    print_result(content, lines, as_json=as_json)


def data_check(
    what: Annotated[
        str | None,
        typer.Argument(
            help="A folder, a set of your own, or a fetched set; all of them if none.",
            autocompletion=complete_set,
        ),
    ] = None,
    as_json: AsJson = False,
    own: Own = None,
    root: Fetches = CATALOGUE,
    lock: Checksums = CHECKSUMS,
    workers: Workers = WORKERS,
    params_file: ParamsFile = DEFAULT_PATH,
) -> None:
    """Read images and masks as the pipeline would, and say what is there and what is wrong.

    Example: pasam data check cats
    """
    from pasam.data.inspection import survey

    pairs, faults, warnings = _pairs_to_check(what, own, root, lock, params_file)
    findings = survey(pairs, workers=workers, faults=faults, warnings=warnings)
    if as_json:
        print_result(dataclasses.asdict(findings), (), as_json=True)
    else:
        _print(findings)
    if findings.faults:
        raise typer.Exit(2)


def _pairs_to_check(
    what: str | None, own: Path | None, root: Path, lock: Path, params_file: Path
) -> tuple[tuple[Pair, ...], tuple[str, ...], tuple[str, ...]]:
    """Find the pairs that an argument means, with what is wrong and what is odd about them."""
    from pasam.data.catalogue import read_catalogue
    from pasam.data.fetch import public_pairs
    from pasam.data.pairing import find_pairs, notes_on_layout

    is_set = what in complete_own_set("")  # of the two that may be called so; ./cats is the folder
    if what is not None and Path(what).is_dir() and not is_set:
        pairs, found = find_pairs(Path(what))
        return pairs, tuple(fault.message for fault in found), notes_on_layout(Path(what))
    catalogue = read_catalogue()
    if what is not None and (what in catalogue.entries or what in catalogue.groups):
        pairs, odd = public_pairs([what], root, lock)
        return pairs, (), odd
    data = data_params(params_file)
    folder = own or Path(data.own)
    pairs, found = find_pairs(folder)
    if what is None:
        public, odd = public_pairs(data.catalogue, root, lock)
        odd = (*odd, *notes_on_layout(folder))
        return (*pairs, *public), tuple(fault.message for fault in found), odd
    chosen = tuple(pair for pair in pairs if pair.dataset == what)
    known = sorted({pair.dataset for pair in pairs} | {fault.dataset for fault in found} - {""})
    if what not in known:
        raise DataError(
            f"'{what}' is no folder, no set of the catalogue, and none of {folder}, which holds "
            f"{known}."
        )
    return chosen, _faults_of(what, found), notes_on_layout(folder, what)


def _faults_of(name: str, faults: Sequence[Fault]) -> tuple[str, ...]:
    """Say what is wrong with a set; a row that names none may be of it."""
    return tuple(fault.message for fault in faults if fault.dataset in (name, ""))


def _print(findings: Findings) -> None:
    """Show what was found, as a table and two lists."""
    table = Table("Set", "Split", "Images", "Masks", "Pixels", "Area", "Masks are", box=None)
    for found in findings.sets:
        sizes = dict.fromkeys((found.smallest, found.largest))
        pixels = " to ".join(f"{width} x {height}" for width, height in sizes)
        area = " / ".join(f"{fraction:.1%}" for fraction in found.area)
        kinds = ", ".join(f"{count} {kind}" for kind, count in found.kinds.items())
        counts = (f"{found.images:,}", f"{found.masks:,}")
        table.add_row(found.dataset, found.split, *counts, pixels, area, kinds)
    console = Console(highlight=False)
    console.print(table)
    for title, lines in (("warnings", findings.warnings), ("faults", findings.faults)):
        if lines:
            typer.echo(f"\n{len(lines)} {title}")
            for line in lines[:SHOWN]:
                typer.echo(f"- {line}")
            if len(lines) > SHOWN:
                typer.echo(f"- and {len(lines) - SHOWN} more (all of them: --json)")
    if not findings.faults:
        typer.echo("\nNothing is wrong: `dvc repro` can use it.")


def data_remove(
    name: Annotated[
        str, typer.Argument(help="A set of your own.", autocompletion=complete_own_set)
    ],
    as_json: AsJson = False,
    own: Own = None,
    target: ChangedParamsFile = DEFAULT_PATH,
) -> None:
    """Undo `pasam data add`: remove a set's copies and its name in evaluate.benchmarks.

    Example: pasam data remove cats
    """
    from pasam.data.own_sets import remove

    folder, unlisted = remove(name, own_folder(own, target), target)
    lines = [f"{name} removed: {folder} is gone, the files it was made from are where they were"]
    if unlisted:
        lines.append(f"  {target}: evaluate.benchmarks no longer has {name}")
    tracked = folder.with_name(f"{folder.name}.dvc")
    if tracked.exists():
        lines.append(f"  {tracked} still names it; to forget it there, too: dvc remove {tracked}")
    content = {"name": name, "folder": str(folder), "unlisted": unlisted}
    lines.append("If it was trained on or measured: dvc repro makes all of it anew without it")
    print_result(content, lines, as_json=as_json)
