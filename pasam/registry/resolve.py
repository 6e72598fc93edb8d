"""Names that MLflow knows, for `pasam.inference.load`: a version's alias or number, and a run."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

from pasam.inference.model_files import ModelFiles
from pasam.registry.download import fetch
from pasam.registry.model_files import ADAPTER, BASE, WORDS, describe_files
from pasam.registry.run_weights import weights_of_run
from pasam.registry.versions import ALIASES, Registry, Version, open_registry
from pasam.tracking.store import translated

RUN = "runs:/"
"""What the name of a run begins with, as in MLflow's own addresses."""


def is_registered_name(name: str) -> bool:
    """Say whether a name can only be an alias or a version's number."""
    return name in ALIASES or name.isdecimal()


def registered_files(name: str, *, project: Path, folder: Path) -> ModelFiles | None:
    """Bring the files of a version, or of a run's model, to this disk.

    Args:
        name: An alias such as `champion`, a version's number, or `runs:/ID`.
        project: The project's root, which says where the registry is.
        folder: Where the files go; they are needed until the model is open.

    Returns:
        The files, or None for a name of another kind.

    Raises:
        RegistryError: There is no such version or run, or its files are gone.
    """
    if not is_registered_name(name) and not name.startswith(RUN):
        return None
    registry = open_registry(project)
    if not name.startswith(RUN):
        return _of_version(registry, registry.version(name), folder)
    run_id = name.removeprefix(RUN).strip("/")
    with translated(registry.store.tracking_uri):
        made = next((each for each in registry.versions() if each.run_id == run_id), None)
        if made is not None:
            return _of_version(registry, made, folder)
        return weights_of_run(registry, run_id, project=project, folder=folder)


def _of_version(registry: Registry, version: Version, folder: Path) -> ModelFiles:
    here = fetch(registry, version, folder) / "artifacts"
    files = describe_files(*(here / part for part in (ADAPTER, BASE, WORDS)))
    name = f"{files.name} (version {version.number})"
    return dataclasses.replace(files, name=name, scores=_scores(version))


def _scores(version: Version) -> Mapping[str, Mapping[str, float]]:
    """Mean boundary IoU by benchmark, in per cent, as the gate took it."""
    means: dict[str, float] = json.loads(version.tags.get("scores.mbiou", "{}"))
    return {name: {"mbiou": value} for name, value in means.items()}
