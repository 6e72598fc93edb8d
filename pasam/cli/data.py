"""The commands `pasam data`: public data, and what a person decides about one's own."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import yaml
from rich.console import Console
from rich.table import Table

from pasam.cli.data_add import WORKERS, Own, ParamsFile, Workers, data_add
from pasam.cli.data_add import AsJson as DataCheckAsJson
from pasam.config.params_file import DEFAULT_PATH, load_section
from pasam.config.schema import DataParams
from pasam.data.catalogue import CatalogueEntry, read_catalogue
from pasam.data.fetch import SPLIT_OF_ROLE, Fetched, fetch
from pasam.errors import DataError

if TYPE_CHECKING:
    from pasam.data.inspection import Findings, SetFinding
    from pasam.data.pairing import Pair

# --- data_check: The command `pasam data check`: what is really in a set, and what is wrong with
# it.

SHOWN = 20


def data_check(
    what: Annotated[
        str | None,
        typer.Argument(help="A folder, a set of your own, or a fetched set; all of them if none."),
    ] = None,
    as_json: DataCheckAsJson = False,
    own: Own = None,
    root: Annotated[Path, typer.Option(help="Folder of the fetched sets.")] = Path(
        "data/catalogue"
    ),
    lock: Annotated[Path, typer.Option(help="Checksums that nobody publishes.")] = Path(
        "catalogue.lock"
    ),
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
        typer.echo(json.dumps(dataclasses.asdict(findings), indent=2))
    else:
        _print(findings)
    if findings.faults:
        raise typer.Exit(2)


def _pairs_to_check(
    what: str | None, own: Path | None, root: Path, lock: Path, params_file: Path
) -> tuple[tuple[Pair, ...], tuple[str, ...], tuple[str, ...]]:
    """Find the pairs that an argument means, with what is wrong and what is odd about them."""
    from pasam.data.fetch import public_pairs
    from pasam.data.pairing import find_pairs

    if what is not None and Path(what).is_dir():
        pairs, faults = find_pairs(Path(what))
        return pairs, tuple(fault.message for fault in faults), ()
    catalogue = read_catalogue()
    if what is not None and (what in catalogue.entries or what in catalogue.groups):
        pairs, odd = public_pairs([what], root, lock)
        return pairs, (), odd
    data = load_section(DataParams, "data", params_file)
    folder = own or Path(data.own)
    pairs, faults = find_pairs(folder)
    if what is None:
        public, odd = public_pairs(data.catalogue, root, lock)
        return (*pairs, *public), tuple(fault.message for fault in faults), odd
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
        table.add_row(
            found.dataset,
            found.split,
            f"{found.images:,}",
            f"{found.masks:,}",
            " to ".join(f"{width} x {height}" for width, height in _apart(found)),
            " / ".join(f"{share:.1%}" for share in found.area),
            ", ".join(f"{count} {kind}" for kind, count in found.kinds.items()),
        )
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


def _apart(found: SetFinding) -> list[tuple[int, int]]:
    return list(dict.fromkeys((found.smallest, found.largest)))


# --- data: The commands `pasam data`: what public data there is, and bringing it.

data_app = typer.Typer(
    no_args_is_help=True, help="Data sets, public and your own: see, fetch, add and check."
)
data_app.command("add")(data_add)
data_app.command("check")(data_check)

OWN = "own"
"""Role of one's own sets, which no catalogue lists."""

AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
Extra = Annotated[
    Path | None, typer.Option(help="A catalogue of your own, in the form of catalogue.yaml.")
]


@data_app.command("list")
def data_list(
    role: Annotated[
        str | None,
        typer.Option(
            help="Only train, benchmark, zero-shot, open-set, checkpoint, generated or own."
        ),
    ] = None,
    as_json: AsJson = False,
    extra: Extra = None,
) -> None:
    """List what the catalogue knows, with sizes and groups.

    Example: pasam data list --role benchmark
    """
    catalogue = read_catalogue(extra)
    entries = _own_entries() if role in (None, OWN) else []
    if role != OWN:
        entries = [*map(_counted, catalogue.of_role(role)), *entries]
    if as_json:
        typer.echo(json.dumps([entry.model_dump() for entry in entries], indent=2))
        return
    table = Table("Name", "Role", "Images", "Download", "From", box=None, pad_edge=False)
    for entry in entries:
        table.add_row(entry.name, entry.role, _count(entry), _size(entry), _origin(entry))
    console = Console()
    console.print(table)
    console.print("\nAn archive that holds several sets is fetched once. Groups:", highlight=False)
    for name, members in catalogue.groups.items():
        console.print(f"  {name}: {', '.join(members)}", highlight=False, soft_wrap=True)


@data_app.command("show")
def data_show(
    name: Annotated[str, typer.Argument(help="A name or a group of `pasam data list`.")],
    as_json: AsJson = False,
    extra: Extra = None,
) -> None:
    """Show all that the catalogue knows of a data set; null is what could not be established.

    Example: pasam data show HRSOD
    """
    content = [entry.model_dump() for entry in read_catalogue(extra).select([name])]
    plain = json.loads(json.dumps(content))  # tuples as lists
    if as_json:
        typer.echo(json.dumps(plain, indent=2))
    else:
        text = yaml.safe_dump_all(plain, sort_keys=False, allow_unicode=True, width=100)
        typer.echo(text.rstrip())


@data_app.command("fetch")
def data_fetch(
    names: Annotated[list[str], typer.Argument(help="Names or groups of `pasam data list`.")],
    source: Annotated[
        str | None,
        typer.Option("--from", help="A mirror's address, or a folder, with the archives in it."),
    ] = None,
    root: Annotated[Path, typer.Option(help="Receives a folder per data set.")] = Path(
        "data/catalogue"
    ),
    lock: Annotated[Path, typer.Option(help="Checksums that nobody publishes; commit it.")] = Path(
        "catalogue.lock"
    ),
    archives: Annotated[
        Path, typer.Option(help="Receives the archives; `dvc add` it, and the team has them.")
    ] = Path("data/archives"),
    extra: Extra = None,
    workers: Annotated[int, typer.Option(min=1, help="Transfers at the same time.")] = 4,
    keep_archives: Annotated[
        bool, typer.Option(help="Keep the archives once they are extracted.")
    ] = True,
) -> None:
    """Download, verify and extract data sets; stopped, the same command goes on from there.

    Example: pasam data fetch hqseg44k sam_vit_l --from /mnt/archives
    """
    results = fetch(
        read_catalogue(extra).select(names),
        root,
        source=source,
        lock=lock,
        archives=archives,
        workers=workers,
        keep_archives=keep_archives,
    )
    for line in (*map(_report, results), *_advice(results, lock)):
        typer.echo(line)


def _advice(results: Sequence[Fetched], lock: Path) -> list[str]:
    """Say what can be done with fetched sets, and what to commit."""
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
    generated = load_section(DataParams, "data").generated
    is_training = entry.name.endswith("_train")
    images = generated.train_images if is_training else generated.benchmark_images
    return entry.model_copy(update={"images": images})


def _own_entries() -> list[CatalogueEntry]:
    """List the sets in the folder of one's own data, if there is a params.yaml to name it."""
    from pasam.data.pairing import count_pairs, find_pairs

    if not DEFAULT_PATH.is_file():
        return []
    own = Path(load_section(DataParams, "data").own)
    if not own.is_dir():
        return []
    counts = count_pairs(find_pairs(own)[0])
    return [
        CatalogueEntry(
            name=name, role=OWN, archives=(), layout=None, licence=None, citation=None,
            images=sum(counts.get((split, name), (0, 0))[0] for split in ("train", "val")),
            hint=f"{own}: " + ", ".join(
                f"{counts[split, name][0]} {split}" for split in ("train", "val")
                if (split, name) in counts
            ),
        )
        for name in sorted({name for _, name in counts})
    ]  # fmt: skip


def _report(result: Fetched) -> str:
    """Say in a line what became of one data set."""
    there = "fetched to" if result.is_new else "is there already:"
    line = f"{result.entry.name} {there} {result.folder}"
    if result.images is None:
        return line
    line += f", {result.images} images"
    expected = result.entry.images
    if expected in (None, result.images):
        return line
    return f"{line}; warning: the catalogue says {expected}"


def _count(entry: CatalogueEntry) -> str:
    return "" if entry.images is None else f"{entry.images:,}"


def _size(entry: CatalogueEntry) -> str:
    if not entry.archives:
        return ""
    return "?" if entry.expected_size is None else f"{entry.expected_size / 1e9:.2f} GB"


def _origin(entry: CatalogueEntry) -> str:
    if not entry.archives:
        return entry.hint or ""
    return ", ".join(archive.name for archive in entry.archives)


# --- data_review: The commands `pasam data quarantine` and `accept`: what a person decides about
# the data.

review_app = typer.Typer()

Inventory = Annotated[Path, typer.Option(help="What `dvc repro prepare` found.")]


@review_app.command("quarantine")
def data_quarantine(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Images or masks; none takes all that the last run found invalid."),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why the named files are left out.")] = "",
    table: Annotated[Path, typer.Option("--quarantine", help="The table to add to.")] = Path(
        "data/quarantine.csv"
    ),
    inventory: Inventory = Path("data/inventory.parquet"),
) -> None:
    """Leave files out of training and benchmarks, with the reason; review and commit the table.

    Example: pasam data quarantine data/own/train/cats/gt/tom.png --reason "the wrong cat"
    """
    from pasam.data.manifest import read_inventory
    from pasam.data.quarantine import quarantine_files, read_quarantine, write_quarantine

    after, new = quarantine_files(
        read_quarantine(table), files or [], reason, read_inventory(inventory)
    )
    if not new:
        typer.echo(f"Nothing to add: {table} stays as it is.")
        return
    write_quarantine(table, after)
    for entry in new:
        typer.echo(f"{entry.file}: {entry.reason}")
    count = "1 file is" if len(new) == 1 else f"{len(new)} files are"
    typer.echo(
        f"{count} in {table} now. Look at them, commit it, and run `dvc repro`. To bring one back, "
        "repair the file or remove its row."
    )


@review_app.command("accept")
def data_accept(
    accepted: Annotated[Path, typer.Option(help="The accepted data version.")] = Path(
        "data/accepted.json"
    ),
    inventory: Inventory = Path("data/inventory.parquet"),
) -> None:
    """Accept the present data: later versions are compared with it for drift. Commit the file.

    Example: pasam data accept
    """
    from pasam.data.manifest import read_inventory, valid_rows
    from pasam.validation.drift import accepted_text, write_accepted
    from pasam.validation.duplicates import images_of

    fit = valid_rows(read_inventory(inventory))
    write_accepted(accepted, accepted_text(fit, images_of(fit)))
    for row in fit.value_counts(["split", "dataset"], sort=False).reset_index().to_dict("records"):
        typer.echo(f"{row['split']} {row['dataset']}: {row['count']} masks")
    typer.echo(f"{accepted} holds this version now. Commit it.")
