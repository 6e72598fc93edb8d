"""What every command of `pasam` has: `--project`, and `--preset` wherever a params file is read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from pasam.errors import ParamsError

PROJECT, PRESET, PARAMS_FILE = "project", "preset", "params_file"
FILE_OR_NAME = frozenset({"images", "model", "what"})
"""Arguments of text that may be a file, a folder or a pattern as well as a name."""


def complete_preset(incomplete: str) -> list[str]:
    """Name the presets that begin with what was typed, for the shell's completion."""
    from pasam.config.presets import known_presets, preset_folder

    return [name for name in known_presets(preset_folder()) if name.startswith(incomplete)]


def complete_folder(incomplete: str) -> list[str]:
    """Name the folders that begin with what was typed, for the shell's completion."""
    typed = Path(incomplete)
    parent = typed if incomplete.endswith("/") else typed.parent
    below = sorted(parent.glob("*/")) if parent.is_dir() else []
    return [f"{path}/" for path in below if str(path).startswith(incomplete.removeprefix("./"))]


Project = Annotated[
    Path,
    typer.Option(
        "--project",
        autocompletion=complete_folder,
        help="The project's root, as if run there; paths that are typed count from here.",
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        "--preset", autocompletion=complete_preset, help="Take this preset, not the params file."
    ),
]


class EveryCommand(TyperCommand):
    """A command with the options that all of them share.

    `--project DIR` runs it as if in that folder, so that every default (`params.yaml`,
    `data/adapters`, `mlruns`) is the project's; a path that was typed is still the caller's.
    A command that asks for `project` itself is given it as it was typed.
    """

    def __init__(self, **options: Any) -> None:
        own = options.pop("params", None) or []
        names = {each.name for each in own}
        shared = [each for each in _shared() if each.name not in names]
        if PARAMS_FILE not in names:
            shared = [each for each in shared if each.name != PRESET]
        # Plain text: rich's tables cut names of options where a terminal is narrow.
        super().__init__(**{**options, "params": [*own, *shared], "rich_markup_mode": None})
        self._added = {each.name for each in shared}

    def invoke(self, ctx: Any) -> Any:
        """Run the command, in the project and with the preset that were named."""
        added = {name: ctx.params.pop(name) for name in self._added}
        project = added.get(PROJECT, Path())
        if project != Path():
            for name, value in ctx.params.items():
                if ctx.get_parameter_source(name).name == "COMMANDLINE":
                    ctx.params[name] = _from_here(value, name in FILE_OR_NAME)
        with _inside(project):
            preset = added.get(PRESET)
            if preset is not None:
                ctx.params[PARAMS_FILE] = _preset_file(preset, ctx)
            return super().invoke(ctx)


def use_everywhere(app: typer.Typer) -> None:
    """Make every command of an app, and of the apps below it, an `EveryCommand`."""
    for command in app.registered_commands:
        command.cls = EveryCommand
    for group in app.registered_groups:
        if group.typer_instance is not None:
            use_everywhere(group.typer_instance)


def _shared() -> list[Any]:
    """Let typer make the options, as it makes those of a command."""

    def shared(project: Project = Path(), preset: Preset = None) -> None: ...

    app = typer.Typer(add_completion=False)
    app.command()(shared)
    return typer.main.get_command(app).params


def _from_here(value: Any, may_be_name: bool) -> Any:
    """Make a typed path absolute; a name, a number and an address stay as they are."""
    if isinstance(value, list | tuple):
        return type(value)(_from_here(each, may_be_name) for each in value)
    if isinstance(value, Path):
        return value.absolute()
    is_path = may_be_name and isinstance(value, str) and (Path(value).exists() or "*" in value)
    return str(Path(value).absolute()) if is_path else value


@contextmanager
def _inside(project: Path) -> Iterator[None]:
    if project == Path():
        yield
        return
    if not project.is_dir():
        raise ParamsError(f"--project is {project}, which is no folder; expected a project's root.")
    before = Path.cwd()
    os.chdir(project)
    try:
        yield
    finally:
        os.chdir(before)


def _preset_file(preset: str, ctx: Any) -> Path:
    from pasam.config.presets import preset_folder, preset_path

    if ctx.get_parameter_source(PARAMS_FILE).name == "COMMANDLINE":
        raise ParamsError("--preset and --params-file both say which params; give one of them.")
    return preset_path(preset, preset_folder())
