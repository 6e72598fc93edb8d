"""The command `pasam`: parse, call one function, print."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.markdown import Markdown
from rich.text import Text

from pasam import __version__
from pasam.data_commands import data_app
from pasam.errors import DataError, PasamError
from pasam.params_file import DEFAULT_PATH, read_params
from pasam.sizes import use_size, validate

EXAMPLES = """\
PA-SAM: high-quality promptable segmentation, as a pipeline that can be reproduced.

[bold]Examples[/bold]

  pasam params show            what the next `dvc repro` will do

  pasam params use smoke       a run of about a minute, and what that changes

  pasam params use default     back to the default run

  pasam data list              public data sets and weights, and what they need

  dvc repro                    run whatever the change touches

  pasam report show            Table 1, and where the figures are
"""


class OneLineErrors(typer.core.TyperGroup):
    """A command group that turns a deliberate error into one line and its exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that the arguments name."""
        try:
            return super().invoke(ctx)
        except PasamError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(error.exit_code) from None


app = typer.Typer(
    cls=OneLineErrors,
    help=EXAMPLES,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
params_app = typer.Typer(no_args_is_help=True, help="Look at params.yaml, or change its size.")
report_app = typer.Typer(no_args_is_help=True, help="Read the results of the last run.")
app.add_typer(params_app, name="params")
app.add_typer(data_app, name="data")
app.add_typer(report_app, name="report")

ParamsFile = Annotated[Path, typer.Option(help="The params file.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pasam {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Hold the options that stand before any command."""


@params_app.command("use")
def params_use(
    name: Annotated[str, typer.Argument(help="A size: the name of a file in params/.")],
    params_file: ParamsFile = DEFAULT_PATH,
) -> None:
    """Put a size in place as params.yaml and show what that changes.

    Example: pasam params use paper
    """
    console = Console(soft_wrap=True, highlight=False)
    difference = use_size(name, target=params_file)
    for line in difference:
        console.print(Text(line, style=_diff_style(line)))
    verdict = "is now" if difference else "already is"
    console.print(f"{params_file} {verdict} the size '{name}'.", markup=False)


@params_app.command("show")
def params_show(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    params_file: ParamsFile = DEFAULT_PATH,
) -> None:
    """Check params.yaml and print it without its comments.

    Example: pasam params show --json | python -m json.tool
    """
    validate(params_file)
    content = read_params(params_file)
    text = json.dumps(content, indent=2) if as_json else yaml.safe_dump(content, sort_keys=False)
    typer.echo(text.rstrip())


@report_app.command("show")
def report_show(
    folder: Annotated[Path, typer.Argument(help="Where the report lies.")] = Path("reports"),
) -> None:
    """Print Table 1 and the paths of the figures.

    Example: pasam report show
    """
    table = folder / "table1.md"
    if not table.is_file():
        raise DataError(f"{table} does not exist: nothing was reported yet. Run `dvc repro` first.")
    text = table.read_text(encoding="utf-8")
    console = Console(soft_wrap=True)
    if console.is_terminal:
        console.print(Markdown(text))
    else:
        typer.echo(text)
    for figure in sorted(folder.glob("*.png")):
        typer.echo(f"Figure: {figure}")


def _diff_style(line: str) -> str:
    """Choose the colour of a diff's line; it shows on terminals only."""
    if line.startswith(("+++", "---")):
        return "bold"
    return {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")
