"""Registering a candidate: its files as a model of MLflow, its evidence beside its training run."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pandas as pd

from pasam.benchmarks.scores import read_scores, write_scores
from pasam.errors import RegistryError
from pasam.registry.candidate import Candidate
from pasam.registry.gate import Measured, per_image
from pasam.registry.model_files import save_model
from pasam.registry.versions import (
    CANDIDATE,
    CHAMPION,
    KEY,
    NAME,
    REGISTERED,
    STATUS,
    Registry,
    Version,
)
from pasam.tracking.lineage import DIRTY

SCORES = "scores.parquet"


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
    registry.tag(version.number, _tags(candidate) if known is None else _news(known, candidate))
    if CHAMPION not in version.aliases:
        registry.point(CANDIDATE, version.number)
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


def measured_of(version: Version) -> Measured:
    """Say what a version was measured with."""
    return Measured(
        evaluation_set=version.tags.get("evaluation.set_md5", ""),
        evaluator=version.tags.get("evaluation.evaluator", ""),
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
    tags = {KEY: candidate.key, STATUS: REGISTERED, **_tags(candidate)}
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


def _news(known: Version, candidate: Candidate) -> dict[str, str]:
    """What to write anew of a version that is registered again.

    A commit from which it can be made again is not given up for a dirty tree.
    """
    tags = _tags(candidate)
    if known.tags.get(DIRTY) != "false" or tags[DIRTY] == "false":
        return tags
    return {name: tags[name] for name in tags if name.startswith(("evaluation.", "scores."))}


def _tags(candidate: Candidate) -> dict[str, str]:
    means = _means(candidate)
    scores = {str(name): round(float(value), 4) for name, value in means.items()}
    return {
        **candidate.lineage,
        "pasam.model": candidate.model,
        "pasam.weights": candidate.weights,
        "scores.mbiou": json.dumps({"mean": round(float(means.mean()), 4), **scores}),
    }
