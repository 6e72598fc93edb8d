"""A version's files: written, registered with its evidence, fetched, and opened again.

They are weights as safetensors and metadata as JSON, with MLflow's folder round them: no pickle.
The evidence (scores, pages) lies beside the run of the training.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from pasam.config.params_file import recorded_variant
from pasam.errors import CheckpointError, ParamsError, RegistryError
from pasam.evaluation.scores import read_scores, write_scores
from pasam.inference.model_files import ModelFiles, open_model
from pasam.inference.predictor import PromptAdapterPredictor
from pasam.models.checkpoint import file_digest, read_metadata, read_weights, write_weights
from pasam.registry.candidate import Candidate, metadata
from pasam.registry.gate import EvaluationKey, per_image
from pasam.registry.store import Tag, quiet_pyfunc
from pasam.registry.versions import CANDIDATE, CHAMPION, NAME, REGISTERED, Registry, Version

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

ADAPTER, BASE, METADATA = "adapter.safetensors", "base.safetensors", "model.json"
ARTIFACTS = "artifacts"
"""Folder of these files in the folder that MLflow serves."""
ENTRY = "pyfunc_model.py"
"""File of this folder that MLflow runs to get the model: no pickle is involved."""

SCORES = "scores.parquet"
"""Per-image scores among the evidence."""

COLUMNS = ("image", "path", "prompts")
"""What a row of a request may hold; only the prompts are always there."""

PACKAGES = (
    "mlflow", "torch", "torchvision", "segment-anything", "safetensors", "numpy", "pandas",
    "opencv-python-headless", "pillow", "pyarrow", "pycocotools", "pydantic", "pyyaml", "rich",
    "scikit-image", "filelock",
)  # fmt: skip
"""What a server of the model has to have installed, at the versions it was registered with."""


def write_files(folder: Path, candidate: Candidate) -> dict[str, str]:
    """Write a candidate's weights and metadata; equal candidates give equal bytes.

    SAM's official checkpoints are pickles: such a base is written as safetensors, and the adapter
    then names the new file as its base.

    Returns:
        Path of each file by its name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(candidate.adapter, folder / ADAPTER)
    if candidate.base.suffix == ".safetensors":
        shutil.copyfile(candidate.base, folder / BASE)
    else:
        origin = {"sha256": candidate.lineage[Tag.BASE_SHA256]}
        write_weights(folder / BASE, read_weights(candidate.base), metadata=origin)
        about = {**read_metadata(candidate.adapter), "base": file_digest(folder / BASE)}
        write_weights(folder / ADAPTER, read_weights(candidate.adapter), metadata=about)
    (folder / METADATA).write_text(metadata(candidate), encoding="utf-8")
    return {name: str(folder / name) for name in (ADAPTER, BASE, METADATA)}


def describe_files(folder: Path) -> ModelFiles:
    """Say how the model of a version's files is opened, for `pasam.inference.model_files`.

    Raises:
        CheckpointError: The metadata do not describe a model.
    """
    metadata_file = folder / METADATA
    try:
        about = json.loads(metadata_file.read_text(encoding="utf-8"))
        name, size = str(about["model"]), str(about["size"])
        variant = recorded_variant(about["variant"], path=metadata_file)
    except (OSError, KeyError, TypeError, json.JSONDecodeError, ParamsError) as error:
        raise CheckpointError(
            f"{metadata_file} does not describe a model ({type(error).__name__}: {error}). "
            "Download the version again, or register the model again."
        ) from None
    return ModelFiles(
        name=name, base=folder / BASE, size=size, kind="adapter", weights=folder / ADAPTER,
        variant=variant,
    )  # fmt: skip


def open_files(folder: Path) -> PromptAdapterPredictor:
    """Open the model of a version's files.

    Raises:
        CheckpointError: The files do not belong together, or are damaged.
    """
    return open_model(describe_files(folder))


def save_model(path: Path, candidate: Candidate, *, model_id: str) -> None:
    """Write the folder that MLflow loads and serves.

    The package's own code travels with it, so that a server needs nothing of the project.

    Args:
        path: The folder; it must not exist.
        candidate: The model.
        model_id: Id of MLflow's logged model.
    """
    from mlflow.models import Model

    here = Path(__file__).resolve().parent
    with tempfile.TemporaryDirectory() as folder, quiet_pyfunc() as pyfunc:
        files = write_files(Path(folder) / "files", candidate)
        code = Path(folder) / "code" / "pasam"
        shutil.copytree(here.parent, code, ignore=shutil.ignore_patterns("__pycache__"))
        pyfunc.save_model(
            path,
            python_model=str(here / ENTRY),
            artifacts=files,
            code_paths=[str(code)],
            signature=signature(),
            pip_requirements=_requirements(),
            mlflow_model=Model(model_id=model_id),
            metadata={"weights": candidate.weights},
        )


def signature() -> ModelSignature:
    """What a request holds and what an answer holds; see `docs/operations.md`."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

    text = DataType.string
    params = [ParamSpec("format", text, "rle")]
    params += [ParamSpec(name, DataType.boolean, False) for name in ("uncertainty", "multimask")]
    return ModelSignature(
        inputs=Schema([ColSpec(text, name, required=name == "prompts") for name in COLUMNS]),
        outputs=Schema([ColSpec(text, "result")]),
        params=ParamSchema(params),
    )


def _requirements() -> list[str]:
    from importlib.metadata import version

    return [f"{name}=={version(name).partition('+')[0]}" for name in PACKAGES]


def fetch(registry: Registry, version: Version, folder: Path) -> Path:
    """Bring a version's model folder, as MLflow serves it, to this disk.

    Args:
        registry: The registry.
        version: Which.
        folder: Where to; made if need be.

    Returns:
        The model's folder: its weights lie in `artifacts`.

    Raises:
        RegistryError: The files are gone from the store.
    """
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    folder.mkdir(parents=True, exist_ok=True)
    source = registry.client.get_model_version_download_uri(NAME, str(version.number))
    try:
        found = download_artifacts(
            artifact_uri=source, dst_path=str(folder), tracking_uri=registry.store.tracking_uri
        )
    except (OSError, MlflowException) as error:
        raise RegistryError(
            f"the files of version {version.number} are gone from {source} ({error}). Register "
            "the model again with `pasam registry promote`."
        ) from None
    return Path(found)


@contextmanager
def fetched(registry: Registry, version: Version) -> Iterator[Path]:
    """Bring a version's model folder to this disk for as long as it is needed."""
    with tempfile.TemporaryDirectory() as folder:
        yield fetch(registry, version, Path(folder))


def predictor_of(folder: Path) -> PromptAdapterPredictor:
    """Make the predictor of a fetched model folder."""
    return open_files(folder / ARTIFACTS)


def register(registry: Registry, candidate: Candidate, *, run_id: str) -> Version:
    """Make a version of a candidate, or find the one that was made of the same bytes.

    The alias `candidate` points to it afterwards, unless it is the champion already.

    Args:
        registry: The registry.
        candidate: The model and its evidence.
        run_id: The run of its training.
    """
    known = registry.by_key(candidate.key)
    version = known or _make(registry, candidate, run_id)
    with tempfile.TemporaryDirectory() as folder:
        write_scores(candidate.scores, Path(folder) / SCORES)
        registry.client.log_artifact(
            version.run_id, str(Path(folder) / SCORES), evidence_folder(version.number)
        )
    registry.tag_version(version.number, _tags(candidate, known))
    if CHAMPION not in version.aliases:
        registry.set_alias(CANDIDATE, version.number)
    return registry.version(version.number)


def evidence_folder(number: int) -> str:
    """Where, among the artifacts of its training run, the evidence of a version lies."""
    return f"registry/v{number}"


def scores_of(registry: Registry, version: Version) -> pd.DataFrame:
    """Read the per-image scores that a version was last measured with.

    Raises:
        RegistryError: They are gone.
    """
    from mlflow.exceptions import MlflowException

    place = f"{evidence_folder(version.number)}/{SCORES}"
    with tempfile.TemporaryDirectory() as folder:
        try:
            file = registry.client.download_artifacts(version.run_id, place, folder)
        except (OSError, MlflowException) as error:
            raise RegistryError(
                f"the scores of version {version.number} are gone from run {version.run_id} "
                f"({error}). Register the model again, or roll back to a version that has them."
            ) from None
        return read_scores(Path(file))


def measured_of(version: Version) -> EvaluationKey:
    """Say what a version was measured with."""
    return EvaluationKey(
        evaluation_set=version.tags.get(Tag.EVALUATION_SET, ""),
        evaluator=version.tags.get(Tag.EVALUATOR_VERSION, ""),
    )


def _make(registry: Registry, candidate: Candidate, run_id: str) -> Version:
    from mlflow.entities import LoggedModelOutput

    client, store = registry.client, registry.store
    logged = client.create_logged_model(
        store.experiment_id, name=NAME, source_run_id=run_id, model_type="pyfunc"
    )
    with tempfile.TemporaryDirectory() as folder:
        save_model(Path(folder) / "model", candidate, model_id=logged.model_id)
        client.log_model_artifacts(logged.model_id, str(Path(folder) / "model"))
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    tags = {Tag.KEY: candidate.key, Tag.STATUS: REGISTERED, **_tags(candidate)}
    made = client.create_model_version(
        NAME, logged.artifact_location, run_id=run_id, tags=tags, model_id=logged.model_id,
        description=_description(candidate),
    )  # fmt: skip
    return registry.version(int(made.version))


def _description(candidate: Candidate) -> str:
    """A sentence for MLflow's page: what it is, and how real."""
    mean = _means(candidate).mean()
    return f"{candidate.model} on {candidate.size}, boundary IoU {mean:.2f}; {candidate.weights}."


def _means(candidate: Candidate) -> pd.Series[float]:
    means: pd.Series[float] = per_image(candidate.scores).groupby(level="benchmark").mean()
    return means


def _tags(candidate: Candidate, known: Version | None = None) -> dict[str, str]:
    """What to write of a version, or anew of one that is registered again."""
    means = _means(candidate)
    scores = {str(name): round(float(value), 4) for name, value in means.items()}
    mean = {"mean": round(float(means.mean()), 4)}
    tags = {
        **candidate.lineage,
        Tag.MODEL: candidate.model,
        Tag.WEIGHTS: candidate.weights,
        # First for those who read it, and last so that no benchmark of that name takes its place.
        Tag.SCORES: json.dumps({**mean, **scores, **mean}),
    }
    if known is None or known.tags.get(Tag.DIRTY) != "false" or tags[Tag.DIRTY] == "false":
        return tags
    # A commit from which it can be made again is not given up for a dirty tree.
    return {name: tags[name] for name in tags if name.startswith(("evaluation.", "scores."))}
