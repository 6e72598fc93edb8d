"""Options that commands share, and those that all have; from a model's name to the model."""

from __future__ import annotations

import functools
import glob
import json
import os
import re
import shutil
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from pasam.config.params_file import DEFAULT_PATH, read_params
from pasam.errors import CheckpointError, ParamsError

if TYPE_CHECKING:  # torch comes only when a model is really opened
    from pasam.inference.predictor import PromptAdapterPredictor

ADAPTERS = Path("data/adapters")
"""Where the pipeline leaves trained adapters."""

REGISTERED = ("champion", "candidate", "previous", "staging")
PACKAGED = (
    "packaged", "packaged/sam", "packaged/hq_sam", "packaged/pa_sam", "packaged/pa_sam_plus"
)  # fmt: skip
"""What comes with the package, by names that mean no model of the project's."""


def complete_model(incomplete: str) -> list[str]:
    """Name the models that begin with what was typed, for the shell's completion."""
    try:
        models = read_params().get("models", {})
    except ParamsError:
        models = {}
    return [
        name for name in ("sam", *models, *PACKAGED, *REGISTERED) if name.startswith(incomplete)
    ]


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


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Model = Annotated[
    str | None,
    typer.Option(
        autocompletion=complete_model,
        help="A model of params.yaml (pa_sam, hq_sam), sam (the base alone), a packaged model "
        "(packaged/pa_sam), a file of weights (ours or a reference's), a registry alias "
        "(champion), or a run (runs:/ID). Default: packaged/pa_sam, or the project's own once "
        "it was trained on photographs; with --base the model trained on that base, or the base.",
    ),
]
CATALOGUE = Path("data/catalogue")
"""Where `pasam data fetch` leaves what it brings."""


def fetched_base(base: Path | None) -> Path | None:
    """Find the checkpoint of a published size that is named; any other name is a file's.

    Raises:
        CheckpointError: It is a size, but its checkpoint is not here.
    """
    if base is None or base.exists():
        return base
    from pasam.data.catalogue import published_base
    from pasam.inference.model_files import PACKAGED, PACKAGED_BASE

    if str(base) == PACKAGED_BASE:
        return PACKAGED / f"{PACKAGED_BASE}.safetensors"
    entry = published_base(str(base))
    if entry is None:
        return base
    checkpoint = CATALOGUE / entry.name / entry.archives[0].name
    if not checkpoint.is_file():
        megabytes = (entry.expected_size or 0) / 1e6
        raise CheckpointError(
            f"{base} is not here: {checkpoint} does not exist. Bring it with "
            f"`pasam data fetch {entry.name}` ({megabytes:,.0f} MB), or name a file."
        )
    return checkpoint


Base = Annotated[
    Path | None,
    typer.Option(
        help="SAM's checkpoint, if not that of params.yaml: a file, or a published size that "
        "was fetched. vit_t is MobileSAM: `pasam data fetch mobile_sam`.",
        dir_okay=False,
    ),
]
ParamsFile = Annotated[Path, typer.Option(help="The params file.")]
ChangedParamsFile = Annotated[
    Path, typer.Option("--params-file", help="The params file, which is changed.")
]
"""Of commands that write it, and so take no preset in its place."""
Adapters = Annotated[Path, typer.Option(help="Folder of the trained adapters.")]
Device = Annotated[
    str, typer.Option(help="cpu, cuda, cuda:1, ..., mps, or auto: a GPU where there is one.")
]
Resize = Annotated[
    Literal["longest", "squash"] | None,
    typer.Option(
        help="longest keeps the aspect, as SAM does; squash fills the square, as the tables do. "
        "Default: squash for the base tiny, which is best at it, longest for the others."
    ),
]


def named_model(
    name: str | None,
    *,
    params_file: Path = DEFAULT_PATH,
    adapters: Path = ADAPTERS,
    base: Path | None = None,
    device: str = "cpu",
    resize: Literal["longest", "squash"] | None = None,
    exact: bool = False,
) -> PromptAdapterPredictor:
    """Open the model that a person has named; `exact` as for `load_predictor`."""
    from pasam.registry.load import load_predictor

    return load_predictor(
        name,
        params_file=params_file,
        adapters=adapters,
        base=fetched_base(base),
        device=device,
        resize=resize,
        exact=exact,
    )


_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


_LONGEST = 2000
"""Characters of a line of an error."""


def plain(text: str) -> str:
    """Write control characters as escapes: words of a foreign file must not steer a terminal."""
    return _STEERING.sub(lambda found: ascii(found[0])[1:-1], text)


def error_line(error: Exception) -> str:
    """Write an error for a person; of a line that repeats a huge value, beginning and end."""
    lines = plain(f"error: {error}").split("\n")
    short = (
        each if len(each) <= _LONGEST else f"{each[:1500]} ... {each[-300:]}" for each in lines
    )
    return "\n".join(short)


def below(text: str, *, indent: int) -> str:
    """Break a long text into lines of the terminal's width, to stand below what it is about."""
    width = max(shutil.get_terminal_size((100, 24)).columns, 40)
    return textwrap.indent(textwrap.fill(text, width - indent), " " * indent)


def columns(facts: Iterable[tuple[str, str]], *, indent: int = 0) -> list[str]:
    """Write names and values as lines in which the values stand under each other."""
    rows = list(facts)
    width = max((len(name) for name, _ in rows), default=0)
    return [f"{' ' * indent}{name:<{width}}  {value}" for name, value in rows]


def print_result(content: Any, lines: Iterable[str], *, as_json: bool) -> None:
    """Print what a command found: as JSON for programs, or as lines for people."""
    if as_json:
        typer.echo(json.dumps(content, indent=2))
        return
    for line in lines:
        typer.echo(plain(line))


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


@functools.cache
def _shared() -> tuple[Any, ...]:
    """Let typer make the options, as it makes those of a command; once, not for each command."""

    def shared(project: Project = Path(), preset: Preset = None) -> None: ...

    app = typer.Typer(add_completion=False)
    app.command()(shared)
    return tuple(typer.main.get_command(app).params)


def _from_here(value: Any, may_be_name: bool) -> Any:
    """Make a typed path absolute; a name, a number and an address stay as they are."""
    if isinstance(value, list | tuple):
        return type(value)(_from_here(each, may_be_name) for each in value)
    if isinstance(value, Path):
        return value.absolute()
    if not may_be_name or not isinstance(value, str):
        return value
    if Path(value).exists():  # also one that looks like a pattern
        return str(Path(value).absolute())
    return str(Path(glob.escape(str(Path.cwd())), value)) if glob.has_magic(value) else value


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
