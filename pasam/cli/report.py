"""The commands `pasam report`: what the last run found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown

from pasam.errors import DataError

report_app = typer.Typer(no_args_is_help=True, help="Read the results of the last run.")

Folder = Annotated[Path, typer.Argument(help="Where the report lies.")]
REPORTS = Path("reports")

PAGE = "index.html"
FIGURE = "figure1.png"
IMAGES = Path("docs/images")
WIDEST = 1600
"""Pixels of an image that is part of the repository."""


@report_app.command("show")
def report_show(folder: Folder = REPORTS) -> None:
    """Print Table 1 and the paths of the figures.

    Example: pasam report show
    """
    text = _reported(folder / "table1.md").read_text(encoding="utf-8")
    console = Console(soft_wrap=True)
    if console.is_terminal:
        console.print(Markdown(text))
    else:
        typer.echo(text)
    for figure in sorted(folder.glob("*.png")):
        typer.echo(f"Figure: {figure}")
    page = folder / PAGE
    if page.is_file():
        typer.echo(f"Page: {page}")


@report_app.command("open")
def report_open(folder: Folder = REPORTS) -> None:
    """Open the page in the browser.

    Example: pasam report open
    """
    page = _reported(folder / PAGE)
    typer.echo(f"Page: {page}")
    typer.launch(page.resolve().as_uri())


@report_app.command("images")
def report_images(
    folder: Folder = REPORTS,
    out: Annotated[Path, typer.Option(help="Where README and docs look for images.")] = IMAGES,
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
    typer.echo(f"Image: {target}")


def _reported(path: Path) -> Path:
    if not path.is_file():
        raise DataError(f"{path} does not exist: nothing was reported yet. Run `dvc repro` first.")
    return path
