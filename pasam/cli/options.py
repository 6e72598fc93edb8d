"""Options that several commands share, and the way from a model's name to the model."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pasam.cli.every_command import Project as Project
from pasam.config.params_file import DEFAULT_PATH, read_params
from pasam.errors import CheckpointError, ParamsError

if TYPE_CHECKING:  # torch comes only when a model is really opened
    from pasam.inference.predictor import PromptAdapterPredictor

ADAPTERS = Path("data/adapters")
"""Where the pipeline leaves trained adapters."""

REGISTERED = ("champion", "candidate", "previous")


def complete_model(incomplete: str) -> list[str]:
    """Name the models that begin with what was typed, for the shell's completion."""
    try:
        models = read_params().get("models", {})
    except ParamsError:
        models = {}
    return [
        name for name in ("sam", "packaged", *models, *REGISTERED) if name.startswith(incomplete)
    ]


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Model = Annotated[
    str | None,
    typer.Option(
        autocompletion=complete_model,
        help="By default the PA-SAM+ that comes with the package (packaged), until the project's "
        "own was trained on photographs too; with --base what was trained on it, or it itself. "
        "A model of params.yaml (pa_sam, hq_sam), sam for the base, a file of weights "
        "(ours or a reference's), a registry alias such as champion, or a run as runs:/ID.",
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
    Literal["longest", "squash"],
    typer.Option(help="longest keeps the aspect as SAM does; squash is what the tables use."),
]


def named_model(
    name: str | None,
    *,
    params_file: Path = DEFAULT_PATH,
    adapters: Path = ADAPTERS,
    base: Path | None = None,
    device: str = "cpu",
    resize: Literal["longest", "squash"] = "longest",
) -> PromptAdapterPredictor:
    """Open the model that a person has named."""
    from pasam.registry.load import load_predictor

    return load_predictor(
        name,
        params_file=params_file,
        adapters=adapters,
        base=fetched_base(base),
        device=device,
        resize=resize,
    )


def print_result(content: Any, lines: Iterable[str], *, as_json: bool) -> None:
    """Print what a command found: as JSON for programs, or as lines for people."""
    typer.echo(json.dumps(content, indent=2) if as_json else "\n".join(lines))
