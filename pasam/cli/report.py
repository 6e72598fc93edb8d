"""The commands `pasam report`: what the last run found."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from pasam.cli.options import AsJson, print_result
from pasam.errors import DataError

report_app = typer.Typer(no_args_is_help=True, help="Read the results of the last run.")

Folder = Annotated[Path, typer.Argument(help="Where the report lies.")]
REPORTS = Path("reports")

PAGE, TABLE = "index.html", "table1.md"
FIGURE = "figure1.png"
IMAGES = Path("docs/images")
MEAN = "mean"
"""Row of Table 1 that is no set: the mean of all but `photos`."""
UNIT = "per cent"
NO_DIFFERENCE = "no difference shown"
MOST_DIFFERENCES = 5
"""Of those that are shown; the page and the table have all of them."""
COLUMNS = 80
"""Width of a terminal, in which the table of means has to stay."""
Row = Mapping[str, str]
WIDEST = 1600
"""Pixels of an image that is part of the repository."""


@report_app.command("show")
def report_show(folder: Folder = REPORTS, as_json: AsJson = False) -> None:
    """Print means and photographs of Table 1, the differences shown, and where all of it lies.

    Example: pasam report show
    """
    rows = _rows(folder / "table1.csv")
    compared = folder / "differences.csv"
    shown = [
        row
        for row in (_rows(compared) if compared.is_file() else ())
        if row["benchmark"] == MEAN and row["verdict"] != NO_DIFFERENCE
    ]
    names = [folder / TABLE, *sorted(folder.glob("*.png")), folder / PAGE]
    files = [str(path) for path in names if path.is_file()]
    lines = [*_means(rows), *map(_difference, shown[:MOST_DIFFERENCES])]
    if len(shown) > MOST_DIFFERENCES:
        lines.append(f"and {len(shown) - MOST_DIFFERENCES} differences more")
    content = {"table1": rows, "differences": shown, "files": files}
    print_result(content, [*lines, ", ".join(files)], as_json=as_json)


def _rows(path: Path) -> list[dict[str, str]]:
    with _reported(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _means(rows: Sequence[Row]) -> list[str]:
    """Lay out Table 1's means, and beside them the sets of photographs, one's own first."""
    from pasam.data.catalogue import GENERATED, PHOTOS
    from pasam.reporting.style import label

    sets = dict.fromkeys(row["benchmark"] for row in rows)
    real = [name for name in sets if name not in (MEAN, *GENERATED)]
    real.sort(key=lambda name: name == PHOTOS)
    models = list(dict.fromkeys(row["model"] for row in rows))
    found = {(row["model"], row["benchmark"]): row for row in rows}
    names = {model: label(model) for model in models}
    width = max(len(name) for name in (UNIT, *names.values()))
    head, shown = f"{UNIT:<{width}}", []
    for name in (MEAN, *real):
        longer = f"{head}  {name} mIoU  mBIoU"
        if len(longer) <= COLUMNS:
            head = longer
            shown.append(name)
    lines = [head]
    for model in models:
        line = f"{names[model]:<{width}}"
        for name in shown:
            row = found[model, name]
            line += f"  {_number(row, 'miou'):>{len(name) + 5}}  {_number(row, 'mbiou'):>5}"
        lines.append(line)
    rest = [name for name in real if name not in shown]
    return [*lines, f"{TABLE} has {', '.join(rest)}, too"] if rest else lines


def _number(row: Row, name: str) -> str:
    return f"{float(row[name]):.1f}"


def _difference(row: Row) -> str:
    from pasam.reporting.style import METRIC_LABELS, label

    a, b = label(row["model"]), label(row["against"])
    low, high = float(row["low"]), float(row["high"])
    points = f"{float(row['difference']):+.1f} [{low:+.1f}, {high:+.1f}]"
    return f"{a} minus {b}: {METRIC_LABELS[row['metric']]} {points}, {row['verdict']}"


@report_app.command("open")
def report_open(folder: Folder = REPORTS, as_json: AsJson = False) -> None:
    """Open the page in the browser.

    Example: pasam report open
    """
    page = _reported(folder / PAGE)
    print_result({"page": str(page)}, [f"Page: {page}"], as_json=as_json)
    typer.launch(page.resolve().as_uri())


@report_app.command("images")
def report_images(
    folder: Folder = REPORTS,
    out: Annotated[Path, typer.Option(help="Where README and docs look for images.")] = IMAGES,
    as_json: AsJson = False,
) -> None:
    """Renew the figure that README shows from the last run; `make images` does this and more.

    Example: pasam report images
    """
    from pasam.masks.images import open_image

    target = out / FIGURE
    with open_image(_reported(folder / FIGURE)) as figure:
        shown = figure.convert("RGB")
    shown.thumbnail((WIDEST, 10 * WIDEST))
    out.mkdir(parents=True, exist_ok=True)
    # 256 colours: a quarter of the bytes, and every new version stays in git for ever.
    shown.quantize(256).save(target, optimize=True)
    print_result({"image": str(target)}, [f"Image: {target}"], as_json=as_json)


def _reported(path: Path) -> Path:
    if not path.is_file():
        raise DataError(f"{path} does not exist: nothing was reported yet. Run `dvc repro` first.")
    return path
