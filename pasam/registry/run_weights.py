"""The model that an MLflow run trained or measured: its weights, found by their digest."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from pasam.errors import RegistryError
from pasam.inference.model_files import ModelFiles, find_model
from pasam.params_file import DEFAULT_PATH
from pasam.registry.versions import Registry
from pasam.tracking.dvc_lock import LOCK, read_lock
from pasam.tracking.lineage import COMMIT, WEIGHTS

if TYPE_CHECKING:
    from mlflow.entities import Run

CACHED = Path(".dvc/cache/files/md5")
"""Where DVC keeps what the project's stages have made, by digest."""


def weights_of_run(registry: Registry, run_id: str, *, project: Path, folder: Path) -> ModelFiles:
    """Find the files of a run's model; runs record results, and DVC keeps their weights.

    Args:
        registry: The registry, whose MLflow knows the run.
        run_id: The run of a stage that trained a model, or measured one.
        project: The project's root.
        folder: Where weights go that only DVC's cache has.

    Raises:
        RegistryError: There is no such run, it has no model, or its weights are gone.
        CheckpointError: The weights belong to another base than the project's.
    """
    run = _run(registry, run_id)
    stage, digest = run.data.tags.get("dvc.stage", ""), run.data.tags.get("model.md5", "")
    if not digest:
        raise RegistryError(
            f"run {run_id} ({stage or run.info.run_name}) has no model. Give the run of a stage "
            "that trained one, such as train@pa_sam; `pasam track show` lists them."
        )
    name = stage.partition("@")[2].partition("-")[0] or "model"
    path = _in_project(project, digest) or _in_cache(project, digest, folder / f"{name}{WEIGHTS}")
    if path is None:
        raise RegistryError(
            f"the weights of run {run_id} (md5 {digest}) are neither in the project nor in DVC's "
            f"cache. Bring them with `git checkout {run.data.tags.get(COMMIT, 'COMMIT')}` and `dvc "
            f"pull {stage}`."
        )
    files = find_model(str(path), params_file=project / DEFAULT_PATH)
    return dataclasses.replace(files, name=f"{path.stem} (run {run_id[:8]})")


def _run(registry: Registry, run_id: str) -> Run:
    from mlflow.exceptions import MlflowException

    try:
        return registry.client.get_run(run_id)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        raise RegistryError(
            f"there is no run {run_id!r:.60} in {registry.store.tracking_uri}. `pasam track show` "
            "lists the runs with their ids."
        ) from None


def _in_project(project: Path, digest: str) -> Path | None:
    if not (project / LOCK).is_file():
        return None
    made = (project / entry.path for _, entry in read_lock(project).makers(WEIGHTS))
    return next((path for path in made if path.is_file() and _md5(path) == digest), None)


def _in_cache(project: Path, digest: str, place: Path) -> Path | None:
    kept = project / CACHED / digest[:2] / digest[2:]
    if not kept.is_file():
        return None
    place.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copyfile(kept, place))  # a name by which it is known as weights


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
