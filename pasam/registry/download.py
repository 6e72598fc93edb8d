"""A version's files on this disk, and the model that they make."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pasam.errors import RegistryError
from pasam.inference.predictor import PromptAdapterPredictor
from pasam.registry.model_files import ADAPTER, BASE, WORDS, open_files
from pasam.registry.versions import NAME, Registry, Version


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
    return open_files(*(folder / "artifacts" / name for name in (ADAPTER, BASE, WORDS)))
