"""The commands `pasam data`: what public data there is, and bringing it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
import yaml
from rich.console import Console
from rich.table import Table

from pasam.catalogue.catalogue_file import read_catalogue
from pasam.catalogue.entries import Entry
from pasam.catalogue.fetch import Fetched, fetch
from pasam.catalogue.pictures import SPLIT_OF_ROLE
from pasam.commands.data_add import data_add
from pasam.commands.data_check import data_check
from pasam.params import DataParams
from pasam.params_file import DEFAULT_PATH, load_section

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
        typer.echo(json.dumps([dataclasses.asdict(entry) for entry in entries], indent=2))
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
    content = [dataclasses.asdict(entry) for entry in read_catalogue(extra).select([name])]
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


def _counted(entry: Entry) -> Entry:
    """Put the number of images of params.yaml into the entry of a generated set."""
    if entry.role != "generated" or not DEFAULT_PATH.is_file():
        return entry
    generated = load_section(DataParams, "data").generated
    is_training = entry.name.endswith("_train")
    images = generated.train_images if is_training else generated.benchmark_images
    return dataclasses.replace(entry, images=images)


def _own_entries() -> list[Entry]:
    """List the sets in the folder of one's own data, if there is a params.yaml to name it."""
    from pasam.data.folder import count_pairs, find_pairs

    if not DEFAULT_PATH.is_file():
        return []
    own = Path(load_section(DataParams, "data").own)
    if not own.is_dir():
        return []
    counts = count_pairs(find_pairs(own)[0])
    return [
        Entry(
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


def _count(entry: Entry) -> str:
    return "" if entry.images is None else f"{entry.images:,}"


def _size(entry: Entry) -> str:
    if not entry.archives:
        return ""
    return "?" if entry.expected_size is None else f"{entry.expected_size / 1e9:.2f} GB"


def _origin(entry: Entry) -> str:
    if not entry.archives:
        return entry.hint or ""
    return ", ".join(archive.name for archive in entry.archives)
