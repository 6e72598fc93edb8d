"""From whatever a person calls a model to a predictor: champion, run, entry, or file.

The registry's names are an alias, a version's number, and a run, whose weights are found by their
digest; all others belong to `pasam.inference.model_files`, which is given a way to ask for these.
"""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pasam.config.params_file import DEFAULT_PATH
from pasam.errors import RegistryError
from pasam.files import file_md5, temporary_folder
from pasam.inference.image_transform import Resize
from pasam.inference.model_files import ModelFiles, default_model, find_model, open_model
from pasam.inference.predictor import PromptAdapterPredictor
from pasam.registry.decision_log import CHAMPION, Standing
from pasam.registry.snapshot import LOCK, WEIGHTS, read_lock
from pasam.registry.store import ARTIFACTS, Tag, expect_begun, without_password, wrap_mlflow_errors
from pasam.registry.upkeep.damaged_cache import cached_file
from pasam.registry.upkeep.stored_files import verify_files
from pasam.registry.versions import (
    ALIASES,
    Registry,
    Version,
    fetch,
    fetched,
    known_standing,
    open_registry,
)

if TYPE_CHECKING:
    from mlflow.entities import Run

RUN = "runs:/"
"""What the name of a run begins with, as in MLflow's own addresses."""


def load_predictor(
    name: str | None = None,
    *,
    params_file: Path = DEFAULT_PATH,
    adapters: Path | None = None,
    base: Path | None = None,
    device: str = "cpu",
    resize: Resize | None = None,
    exact: bool = False,
) -> PromptAdapterPredictor:
    """Open a model by any of its names: in a project's root, or anywhere what the package brings.

    The registry is only opened for names that nobody else knows.

    Args:
        name: A registry alias (`champion`, `candidate`, `previous`, `staging`) or a version's
            number; a run as `runs:/ID`; `sam`, or an entry of `models` in the params file; or a
            file of weights, ours or a reference's; `packaged` for the PA-SAM+ that comes with the
            package, and `packaged/pa_sam` and the like for each of its models. Without one,
            `packaged/pa_sam`, or the project's own model once it was trained on photographs too.
        params_file: Says which base there is and how an entry of `models` is built.
        adapters: Folder of trained adapters, `<entry>.safetensors` each; by default where the
            project's training leaves them.
        base: Another checkpoint of the frozen SAM than the params file's.
        device: `cpu`, `cuda`, `cuda:1`, ..., `mps`, or `auto`.
        resize: `longest` keeps the aspect as SAM does; `squash` is what the tables use; by default
            what the base is best at, `squash` for `tiny` and `longest` for the others.
        exact: Whether the encoder computes in `32-true`, whatever the params say.

    Raises:
        ParamsError: Nobody knows the name, or there is no such device.
        CheckpointError: Weights are missing or do not fit.
        RegistryError: There is no such version or run, or its files are gone.
    """
    adapters = adapters or _trained(Path())
    with temporary_folder() as folder:
        files = find_model(
            name or default_model(params_file, adapters, base),
            params_file=params_file,
            adapters=adapters,
            base=base,
            resolve=partial(registered_files, project=Path(), folder=Path(folder)),
        )
        return open_model(files, device=device, resize=resize, exact=exact)


def _trained(project: Path) -> Path | None:
    """Find the folder in which the project's training leaves its adapters."""
    if not (project / LOCK).is_file():
        return None
    made = read_lock(project).makers(WEIGHTS)
    trained = (Path(entry.path) for stage, entry in made if stage.name.startswith("train@"))
    return next((project / path.parent for path in trained), None)


def is_registered_name(name: str) -> bool:
    """Say whether a name can only be an alias or a version's number."""
    return name in ALIASES or name.isdecimal()


def registered_files(
    name: str, *, project: Path, folder: Path, alias: str = ""
) -> ModelFiles | None:
    """Bring the files of a version, or of a run's model, to this disk, and verify them.

    Args:
        name: An alias such as `champion`, a version's number, or `runs:/ID`.
        project: The project's root, which says where the registry is.
        folder: Where the files go; they are needed until the model is open.
        alias: The alias that a number was found by, if it was.

    Returns:
        The files, or None for a name of another kind.

    Raises:
        RegistryError: There is no such version or run, or its files are gone or were changed.
    """
    if not is_registered_name(name) and not name.startswith(RUN):
        return None
    expect_begun(project, wanted=f"model '{name}'")
    registry = open_registry(project)
    with wrap_mlflow_errors(registry.store.tracking_uri):
        if not name.startswith(RUN):
            standing = known_standing(project)
            # The log says what an alias means, wherever there is one.
            number = standing.aliases.get(name) if standing else None
            version = registry.version(name if number is None else number)
            asked = alias or ("" if name.isdecimal() else name)
            return _of_version(registry, version, folder, standing, alias=asked)
        run_id = name.removeprefix(RUN).strip("/")
        made = next((each for each in registry.versions() if each.run_id == run_id), None)
        if made is not None:
            return _of_version(registry, made, folder, known_standing(project))
        return weights_of_run(registry, run_id, project=project, folder=folder)


def verify_versions(project: Path, which: str | None = None) -> dict[int, str]:
    """Compare the files of versions with what was recorded when they were registered.

    Args:
        project: The project's root.
        which: A version's number or alias; all versions, if None.

    Returns:
        By number, what does not fit; empty for a version that is whole.
    """
    expect_begun(project, wanted="version")
    registry, standing = open_registry(project), known_standing(project)
    with wrap_mlflow_errors(registry.store.registry_uri):
        logged = bool(registry.log_mark())
        versions = registry.versions() if which is None else [registry.version(which)]
        found = {}
        for version in versions:
            alias = next((each for each in version.aliases if each == CHAMPION), "")
            try:
                with fetched(registry, version) as folder:
                    verify_files(folder, version.number, standing, alias=alias, logged=logged)
                found[version.number] = ""
            except RegistryError as error:
                found[version.number] = str(error)
        return found


def _of_version(
    registry: Registry,
    version: Version,
    folder: Path,
    standing: Standing | None,
    *,
    alias: str = "",
) -> ModelFiles:
    from pasam.registry.version_files import describe_files  # with pandas

    place = fetch(registry, version, folder)
    logged = bool(registry.log_mark())
    known = verify_files(place, version.number, standing, alias=alias, logged=logged)
    files = describe_files(place / ARTIFACTS)
    name = f"{files.name} (version {version.number})"
    scores = _scores(known.details["tags"] if known else version.tags)
    origin = f"registry version {version.number}"
    return dataclasses.replace(files, name=name, scores=scores, origin=origin)


def _scores(tags: Mapping[str, str]) -> Mapping[str, Mapping[str, float]]:
    """Mean boundary IoU by benchmark, in per cent, as the gate took it."""
    try:
        means = {str(n): float(value) for n, value in json.loads(tags[Tag.SCORES]).items()}
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return {}  # a tag that somebody has edited, or none
    return {name: {"mbiou": value} for name, value in means.items()}


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
    stage, digest = run.data.tags.get(Tag.STAGE, ""), run.data.tags.get(Tag.MODEL_MD5, "")
    if not re.fullmatch("[0-9a-f]{32}", digest):
        raise RegistryError(
            f"run {run_id} ({stage or run.info.run_name}) has no model. Give the run of a stage "
            "that trained one, such as train@pa_sam; `pasam track show` lists them."
        )
    name = stage.partition("@")[2].partition("-")[0]
    name = name if re.fullmatch(r"\w{1,80}", name) else "model"  # a tag names no other folder
    path = _in_project(project, digest) or _in_cache(project, digest, folder / f"{name}{WEIGHTS}")
    if path is None:
        raise RegistryError(
            f"the weights of run {run_id} (md5 {digest}) are neither in the project nor in DVC's "
            f"cache. Bring them with `git checkout {run.data.tags.get(Tag.COMMIT, 'COMMIT')}` and "
            f"`dvc pull {stage}`."
        )
    files = find_model(str(path), params_file=project / DEFAULT_PATH)
    name = f"{path.stem} (run {run_id[:8]})"
    return dataclasses.replace(files, name=name, origin=f"run {run_id}")


def _run(registry: Registry, run_id: str) -> Run:
    from mlflow.exceptions import MlflowException

    try:
        return registry.client.get_run(run_id)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        raise RegistryError(
            f"there is no run {run_id!r:.60} in {without_password(registry.store.tracking_uri)}. "
            "`pasam track show` lists the runs with their ids."
        ) from None


def _in_project(project: Path, digest: str) -> Path | None:
    if not (project / LOCK).is_file():
        return None
    made = (project / entry.path for _, entry in read_lock(project).makers(WEIGHTS))
    return next((path for path in made if path.is_file() and file_md5(path) == digest), None)


def _in_cache(project: Path, digest: str, place: Path) -> Path | None:
    kept = cached_file(project, digest)
    if not kept.is_file():
        return None
    if file_md5(kept) != digest:
        raise RegistryError(
            f"DVC's cache holds other bytes under {digest} than it should: {kept} is damaged. "
            "Remove it and run `dvc pull`; `pasam verify-cache` looks at all of them."
        )
    place.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copyfile(kept, place))  # a name by which it is known as weights
