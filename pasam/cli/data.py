"""The commands `pasam data`: public sets, one's own, and what a person decides about them."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
import yaml
from rich.console import Console
from rich.table import Column, Table

from pasam.cli.options import (
    CATALOGUE,
    AsJson,
    ChangedParamsFile,
    ParamsFile,
    print_result,
)
from pasam.config.params_file import DEFAULT_PATH, load_section
from pasam.errors import DataError, PasamError

if TYPE_CHECKING:
    from pasam.config.schema import DataParams
    from pasam.data.catalogue import CatalogueEntry
    from pasam.data.fetch import Fetched
    from pasam.data.inspection import Findings
    from pasam.data.own_sets import Added
    from pasam.data.pairing import Pair

data_app = typer.Typer(
    no_args_is_help=True, help="Data sets, public and your own: see, fetch, add and check."
)

OWN = "own"
"""Role of one's own sets, which no catalogue lists."""
ROLES = ("train", "benchmark", "zero-shot", "open-set", "checkpoint", "generated", OWN)
SHOWN = 20
WORKERS = min(4, os.cpu_count() or 1)

Extra = Annotated[
    Path | None, typer.Option(help="A catalogue of your own, in the form of catalogue.yaml.")
]
Fetches = Annotated[Path, typer.Option(help="Folder of the fetched sets.")]
Checksums = Annotated[Path, typer.Option(help="Checksums that nobody publishes; commit it.")]
Inventory = Annotated[Path, typer.Option(help="What `dvc repro prepare` found.")]
CHECKSUMS = Path("catalogue.lock")
INVENTORY = Path("data/inventory.parquet")
Workers = Annotated[int, typer.Option(min=1, help="Processes.")]
Own = Annotated[Path | None, typer.Option(help="Folder of your own data; by default data.own.")]


def complete_set(incomplete: str) -> list[str]:
    """Name the public sets, groups and own sets that begin with what was typed."""
    from pasam.data.catalogue import read_catalogue

    catalogue = read_catalogue()
    known = [*catalogue.entries, *catalogue.groups, *complete_own_set("")]
    return [name for name in dict.fromkeys(known) if name.startswith(incomplete)]


def complete_own_set(incomplete: str) -> list[str]:
    """Name the sets in the project's `data.own` that begin with what was typed."""
    try:
        own = Path(_data_params(DEFAULT_PATH).own)
    except PasamError:  # not in a project
        return []
    from pasam.data.pairing import registered_sets

    return [each.name for each in registered_sets(own) if each.name.startswith(incomplete)]


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


@data_app.command("list")
def data_list(
    role: Annotated[
        str | None,
        typer.Option(
            help=f"Only {', '.join(ROLES)}.",
            autocompletion=lambda incomplete: [r for r in ROLES if r.startswith(incomplete)],
        ),
    ] = None,
    as_json: AsJson = False,
    extra: Extra = None,
) -> None:
    """List what the catalogue knows, with sizes and groups.

    Example: pasam data list --role benchmark
    """
    from pasam.data.catalogue import read_catalogue

    catalogue = read_catalogue(extra)
    entries = _own_entries() if role in (None, OWN) else []
    if role != OWN:
        entries = [*map(_counted, catalogue.of_role(role)), *entries]
    if as_json:
        print_result([entry.model_dump() for entry in entries], (), as_json=True)
        return
    whole, origin = Column("Name", no_wrap=True), Column("From", overflow="fold")
    table = Table(whole, "Role", "Images", "Download", origin, box=None, pad_edge=False)
    for entry in entries:
        images = "" if entry.images is None else f"{entry.images:,}"
        table.add_row(entry.name, entry.role, images, *_download(entry))
    console = Console()
    console.print(table)
    console.print("\nAn archive that holds several sets is fetched once. Groups:", highlight=False)
    for name, members in catalogue.groups.items():
        console.print(f"  {name}: {', '.join(members)}", highlight=False, soft_wrap=True)


@data_app.command("show")
def data_show(
    name: Annotated[
        str,
        typer.Argument(help="A name or a group of `pasam data list`.", autocompletion=complete_set),
    ],
    as_json: AsJson = False,
    extra: Extra = None,
) -> None:
    """Show all that the catalogue knows of a data set; null is what could not be established.

    Example: pasam data show HRSOD
    """
    from pasam.data.catalogue import read_catalogue

    content = [entry.model_dump() for entry in read_catalogue(extra).select([name])]
    plain = json.loads(json.dumps(content))  # tuples as lists
    text = yaml.safe_dump_all(plain, sort_keys=False, allow_unicode=True, width=100)
    print_result(plain, [text.rstrip()], as_json=as_json)


@data_app.command("fetch")
def data_fetch(
    names: Annotated[
        list[str],
        typer.Argument(help="Names or groups of `pasam data list`.", autocompletion=complete_set),
    ],
    source: Annotated[
        str | None,
        typer.Option("--from", help="A mirror's address, or a folder, with the archives in it."),
    ] = None,
    root: Fetches = CATALOGUE,
    lock: Checksums = CHECKSUMS,
    archives: Annotated[
        Path, typer.Option(help="Receives the archives; `dvc add` it, and the team has them.")
    ] = Path("data/archives"),
    extra: Extra = None,
    workers: Annotated[int, typer.Option(min=1, help="Transfers at the same time.")] = 4,
    keep_archives: Annotated[
        bool, typer.Option(help="Keep the archives once they are extracted.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Download, verify and extract data sets; stopped, the same command goes on from there.

    Example: pasam data fetch hqseg44k sam_vit_l --from /mnt/archives
    """
    from pasam.data.catalogue import read_catalogue
    from pasam.data.fetch import fetch

    results = fetch(
        read_catalogue(extra).select(names), root, source=source, lock=lock, archives=archives,
        workers=workers, keep_archives=keep_archives,
    )  # fmt: skip
    content = [
        {
            "name": result.entry.name, "folder": str(result.folder), "new": result.is_new,
            "images": result.images, "recorded": list(result.recorded),
        }
        for result in results
    ]  # fmt: skip
    print_result(content, [*map(_report, results), *_advice(results, lock)], as_json=as_json)


def _advice(results: Sequence[Fetched], lock: Path) -> list[str]:
    """Say what can be done with fetched sets, and what to commit."""
    from pasam.data.fetch import SPLIT_OF_ROLE

    lines = []
    if any(result.entry.role in SPLIT_OF_ROLE for result in results):
        lines.append(
            "To train on them or measure with them, name them in params.yaml: data.catalogue, and "
            "the benchmarks among them in evaluate.benchmarks too."
        )
    recorded = sorted({name for result in results for name in result.recorded})
    if recorded:
        lines.append(
            f"Nobody publishes checksums of {', '.join(recorded)}: {lock} now holds what came "
            "this time. Commit it, and every later fetch has to bring the same."
        )
    return lines


def _counted(entry: CatalogueEntry) -> CatalogueEntry:
    """Put the number of images of params.yaml into the entry of a generated set."""
    if entry.role != "generated" or not DEFAULT_PATH.is_file():
        return entry
    from pasam.data.catalogue import generated_images

    images = generated_images(_data_params(DEFAULT_PATH).generated, entry.name)
    return entry.model_copy(update={"images": images})


def _own_entries() -> list[CatalogueEntry]:
    """List the sets in the folder of one's own data, if there is a params.yaml to name it."""
    if not DEFAULT_PATH.is_file():
        return []
    own = Path(_data_params(DEFAULT_PATH).own)
    if not own.is_dir():
        return []
    from pasam.data.catalogue import CatalogueEntry
    from pasam.data.pairing import count_pairs, find_pairs  # with pandas

    images: dict[str, dict[str, int]] = {}
    for (split, name), (count, _) in sorted(count_pairs(find_pairs(own)[0]).items()):
        images.setdefault(name, {})[split] = count
    return [
        CatalogueEntry(
            name=name, role=OWN, archives=(), layout=None, licence=None, citation=None,
            images=sum(of_split.values()),
            hint=f"{own}: " + ", ".join(f"{count} {split}" for split, count in of_split.items()),
        )
        for name, of_split in sorted(images.items())
    ]  # fmt: skip


def _report(result: Fetched) -> str:
    """Say in a line what became of one data set."""
    there = "fetched to" if result.is_new else "is there already:"
    line = f"{result.entry.name} {there} {result.folder}"
    if result.images is None:
        return line
    expected = result.entry.images
    odd = "" if expected in (None, result.images) else f"; warning: the catalogue says {expected}"
    return f"{line}, {result.images} images{odd}"


def _download(entry: CatalogueEntry) -> tuple[str, str]:
    """Write how much a set's download is, and what of; or why there is none."""
    if not entry.archives:
        return "", entry.hint or ""
    size = "?" if entry.expected_size is None else f"{entry.expected_size / 1e9:.2f} GB"
    return size, ", ".join(archive.name for archive in entry.archives)


@data_app.command("add")
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
    folder = own or Path(_data_params(target).own)
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


def _data_params(params_file: Path) -> DataParams:
    from pasam.config.schema import DataParams

    return load_section(DataParams, "data", params_file)


def own_folder(own: Path | None, params_file: Path) -> Path:
    """Say where one's own sets are: as the option says, or else `data.own`."""
    return own or Path(_data_params(params_file).own)


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
    lines.append(f"Next: dvc repro (to undo: pasam data remove {name})")
    return [*lines, f"To share it, or for `dvc exp run --temp`: {share}"]


@data_app.command("export")
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

    pairs, _ = find_pairs(own or Path(_data_params(params_file).own))
    mine = [pair for pair in pairs if pair.dataset == name]
    if not mine:
        known = sorted({pair.dataset for pair in pairs})
        raise DataError(f"there is no set '{name}' of your own. Known: {known}.")
    images = export_set(mine, out, form)
    content = {"name": name, "format": form, "out": str(out), "images": images, "masks": len(mine)}
    line = f"{images} images, {len(mine)} masks written to {out}"
    print_result(content, [line], as_json=as_json)


@data_app.command("check")
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
    from pasam.data.pairing import find_pairs

    def below(folder: Path) -> tuple[tuple[Pair, ...], tuple[str, ...]]:
        pairs, faults = find_pairs(folder)
        return pairs, tuple(fault.message for fault in faults)

    is_set = what in complete_own_set("")  # of the two that may be called so; ./cats is the folder
    if what is not None and Path(what).is_dir() and not is_set:
        return (*below(Path(what)), ())
    catalogue = read_catalogue()
    if what is not None and (what in catalogue.entries or what in catalogue.groups):
        pairs, odd = public_pairs([what], root, lock)
        return pairs, (), odd
    data = _data_params(params_file)
    folder = own or Path(data.own)
    pairs, faults = below(folder)
    if what is None:
        public, odd = public_pairs(data.catalogue, root, lock)
        return (*pairs, *public), faults, odd
    chosen = tuple(pair for pair in pairs if pair.dataset == what)
    if not chosen:
        known = sorted({pair.dataset for pair in pairs})
        raise DataError(
            f"'{what}' is no folder, no set of the catalogue, and none of {folder}, which holds "
            f"{known}."
        )
    return chosen, (), ()


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


@data_app.command("quarantine")
def data_quarantine(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Images or masks; none takes all that the last run found invalid."),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why the named files are left out.")] = "",
    table: Annotated[Path, typer.Option("--quarantine", help="The table to add to.")] = Path(
        "data/quarantine.csv"
    ),
    inventory: Inventory = INVENTORY,
    as_json: AsJson = False,
) -> None:
    """Leave files out of training and benchmarks, with the reason; review and commit the table.

    Example: pasam data quarantine data/own/train/cats/gt/tom.png --reason "the wrong cat"
    """
    from pasam.data.manifest import read_inventory
    from pasam.data.quarantine import quarantine_files, read_quarantine, write_quarantine

    after, new = quarantine_files(
        read_quarantine(table), files or [], reason, read_inventory(inventory)
    )
    content = [{"file": str(entry.file), "reason": entry.reason} for entry in new]
    if not new:
        print_result(content, [f"Nothing to add: {table} stays as it is."], as_json=as_json)
        return
    write_quarantine(table, after)
    count = "1 file is" if len(new) == 1 else f"{len(new)} files are"
    advice = (
        f"{count} in {table} now. Look at them, commit it, and run `dvc repro`. To bring one back, "
        "repair the file or remove its row."
    )
    lines = [*(f"{entry.file}: {entry.reason}" for entry in new), advice]
    print_result(content, lines, as_json=as_json)


@data_app.command("accept")
def data_accept(
    accepted: Annotated[Path, typer.Option(help="The accepted data version.")] = Path(
        "data/accepted.json"
    ),
    inventory: Inventory = INVENTORY,
    as_json: AsJson = False,
) -> None:
    """Accept the present data: later versions are compared with it for drift. Commit the file.

    Example: pasam data accept
    """
    from pasam.data.manifest import read_inventory, valid_rows
    from pasam.files import write_text
    from pasam.validation.drift import accepted_text
    from pasam.validation.duplicates import images_of

    fit = valid_rows(read_inventory(inventory))
    write_text(accepted, accepted_text(fit, images_of(fit)))
    counts = fit.value_counts(["split", "dataset"], sort=False).reset_index().to_dict("records")
    rows = [{str(name): value for name, value in row.items()} for row in counts]
    lines = [f"{row['split']} {row['dataset']}: {row['count']} masks" for row in rows]
    lines.append(f"{accepted} holds this version now. Commit it.")
    print_result({"accepted": str(accepted), "sets": rows}, lines, as_json=as_json)
