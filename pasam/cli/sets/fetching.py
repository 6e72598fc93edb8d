"""The commands `pasam data list`, `show` and `fetch`: what there is, and bringing it here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import yaml
from rich.console import Console
from rich.table import Column, Table

from pasam.cli.options import CATALOGUE, AsJson, print_result
from pasam.cli.sets.set_options import CHECKSUMS, Checksums, Fetches, complete_set, data_params
from pasam.config.params_file import DEFAULT_PATH

if TYPE_CHECKING:
    from pasam.data.catalogue import CatalogueEntry
    from pasam.data.fetch import Fetched

OWN = "own"
"""Role of one's own sets, which no catalogue lists."""
ROLES = ("train", "benchmark", "zero-shot", "open-set", "checkpoint", "generated", OWN)

Extra = Annotated[
    Path | None, typer.Option(help="A catalogue of your own, in the form of catalogue.yaml.")
]


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

    images = generated_images(data_params(DEFAULT_PATH).generated, entry.name)
    return entry.model_copy(update={"images": images})


def _own_entries() -> list[CatalogueEntry]:
    """List the sets in the folder of one's own data, if there is a params.yaml to name it."""
    if not DEFAULT_PATH.is_file():
        return []
    own = Path(data_params(DEFAULT_PATH).own)
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
