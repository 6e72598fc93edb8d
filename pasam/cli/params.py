"""The commands `pasam params`: what the next run will do, and which preset it is made of."""

from __future__ import annotations

import dataclasses
from itertools import takewhile
from typing import Annotated

import typer
import yaml
from rich.console import Console

from pasam.cli import options
from pasam.cli.options import complete_preset
from pasam.config.params_file import DEFAULT_PATH, read_params

params_app = typer.Typer(no_args_is_help=True, help="Look at params.yaml, or change its preset.")


@params_app.command("use")
def params_use(
    name: Annotated[
        str,
        typer.Argument(
            help="A preset: the name of a file in params/.", autocompletion=complete_preset
        ),
    ],
    as_json: options.AsJson = False,
    target: options.ChangedParamsFile = DEFAULT_PATH,
) -> None:
    """Change params.yaml to a preset, keep what you changed in it, and show the difference.

    Refused where both you and the preset changed one key.

    Example: pasam params use paper
    """
    from pasam.config.presets import preset_folder, use_preset

    used = use_preset(name, folder=preset_folder(), target=target)
    if as_json:
        content = {"preset": name, "params_file": str(target), **dataclasses.asdict(used)}
        options.print_result(content, (), as_json=True)
        return
    console = Console(soft_wrap=True, highlight=False)
    for line in used.changed:
        console.print(line, markup=False)
    for line in used.kept:
        console.print(f"kept your {line}", markup=False)
    verdict = "is now" if used.difference else "already is"
    changes = ", with your changes" if used.kept else ""
    console.print(f"{target} {verdict} the preset '{name}'{changes}.", markup=False)
    if used.difference:  # what the preset is for, and what comes next: the file's first lines
        first = target.read_text(encoding="utf-8").splitlines()
        for line in takewhile(lambda line: line.startswith("#"), first):
            console.print(line, markup=False)


@params_app.command("show")
def params_show(
    as_json: options.AsJson = False, params_file: options.ParamsFile = DEFAULT_PATH
) -> None:
    """Check params.yaml and print it without its comments.

    Example: pasam params show --json | python -m json.tool
    """
    from pasam.config.presets import validate

    validate(params_file)
    content = read_params(params_file)
    text = yaml.safe_dump(content, sort_keys=False)
    options.print_result(content, [text.rstrip()], as_json=as_json)
