"""The commands `pasam params`: which size the next run has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
import yaml
from rich.console import Console
from rich.text import Text

from pasam.config.params_file import DEFAULT_PATH, read_params
from pasam.config.presets import known_sizes, use_size, validate

params_app = typer.Typer(no_args_is_help=True, help="Look at params.yaml, or change its size.")

ParamsFile = Annotated[Path, typer.Option(help="The params file.")]


def complete_size(incomplete: str) -> list[str]:
    """Name the sizes that begin with what was typed, for the shell's completion."""
    return [name for name in known_sizes() if name.startswith(incomplete)]


@params_app.command("use")
def params_use(
    name: Annotated[
        str,
        typer.Argument(help="A size: the name of a file in params/.", autocompletion=complete_size),
    ],
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


def _diff_style(line: str) -> str:
    """Choose the colour of a diff's line; it shows on terminals only."""
    if line.startswith(("+++", "---")):
        return "bold"
    return {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")
