"""The base of all versions in MLflow, stored once.

A version stores its adapter and what names its base; the base itself, up to 1.2 GB, is put beside
them whenever a version is brought to a disk. Its bytes are compared with the log there, like those
of every other file of a version.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pasam.errors import DataError, RegistryError
from pasam.files import put_in_place, read_json, temporary_folder
from pasam.registry.store import ARTIFACTS, EXPERIMENT, Tag, every_page

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

ADAPTER, BASE, METADATA = "adapter.safetensors", "base.safetensors", "model.json"
"""Files of a version."""
BASE_FILE = "base_file_sha256"
"""Key of the metadata that names the base's bytes."""
BASE_TYPE = "pasam-base"
"""MLflow's type of a logged model that is a base."""


def stored_bases(client: MlflowClient) -> dict[str, LoggedModel]:
    """List the bases that are stored whole, by their sha256."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        return {}
    of_bases, where = f"model_type = '{BASE_TYPE}'", [experiment.experiment_id]
    found = every_page(
        lambda token: client.search_logged_models(where, filter_string=of_bases, page_token=token)
    )
    return {each.tags[Tag.BASE_SHA256]: each for each in found if str(each.status) == "READY"}


def take_base_out(client: MlflowClient, experiment_id: str, place: Path, digest: str) -> None:
    """Store the base of a version's folder if it is not yet, and remove it from the folder."""
    base = place / ARTIFACTS / BASE
    if digest not in stored_bases(client):
        made = client.create_logged_model(
            experiment_id, name=f"base-{digest[:12]}", tags={Tag.BASE_SHA256: digest},
            model_type=BASE_TYPE,
        )  # fmt: skip
        with temporary_folder(place.parent) as folder:  # on the same disk: it is large
            put_in_place(base, Path(folder) / BASE)
            client.log_model_artifacts(made.model_id, folder)
        client.finalize_logged_model(made.model_id, "READY")  # killed before, it does not count
    base.unlink(missing_ok=True)


def put_base_in(client: MlflowClient, place: Path) -> None:
    """Put the base beside the other files of a version that is on this disk now.

    Args:
        client: Of the MLflow that the version is of.
        place: The version's folder; one from before bases were stored once has its own.

    Raises:
        RegistryError: MLflow has lost the base.
    """
    about, target = place / ARTIFACTS / METADATA, place / ARTIFACTS / BASE
    if target.exists() or not about.is_file():
        return
    try:
        digest = str(read_json(about, advice="Download the version again.")[BASE_FILE])
    except (DataError, KeyError, TypeError):
        return  # it was changed, or is from before: whoever verifies or opens it is told
    found = stored_bases(client).get(digest)
    if found is None:
        raise RegistryError(
            f"the base {digest[:12]} of this version is gone from MLflow. Register a version "
            "again with `pasam registry promote` where its base is; that stores it for all."
        )
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    with temporary_folder(place) as folder:
        try:
            brought = download_artifacts(
                artifact_uri=f"{found.artifact_location}/{BASE}", dst_path=folder,
                tracking_uri=client.tracking_uri,
            )  # fmt: skip
        except (OSError, MlflowException) as error:
            raise RegistryError(
                f"the base {digest[:12]} is gone from {found.artifact_location} ({error}). "
                "Register a version again with `pasam registry promote` where its base is."
            ) from None
        put_in_place(Path(brought), target)
