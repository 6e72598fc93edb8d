"""A version's files in MLflow: the base of all of them, stored once, and their signatures.

A version stores its adapter and what names its base; the base itself, up to 1.2 GB, is put beside
them whenever a version is brought to a disk. Its bytes are compared with the log there, like those
of every other file of a version.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pasam.errors import DataError, RegistryError, installing
from pasam.files import put_in_place, read_json, temporary_folder
from pasam.registry.store import ARTIFACTS, EXPERIMENT, Tag

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

ADAPTER, BASE, METADATA = "adapter.safetensors", "base.safetensors", "model.json"
"""Files of a version."""
BASE_FILE = "base_file_sha256"
"""Key of the metadata that names the base's bytes."""
BASE_TYPE = "pasam-base"
"""MLflow's type of a logged model that is a base."""

SIGNATURE = "model.sig"
"""A signature of all files of a version, among its evidence."""
SIGNING_KEY, VERIFY_KEY = "PASAM_SIGNING_KEY", "PASAM_VERIFY_KEY"
"""Variables that name the files of the private and of the public key."""
DECISIONS, EVIDENCE = "decisions", "evidence"
"""Folders of a version for its entries of the log, and for what they rest on; they grow."""


def stored_bases(client: MlflowClient) -> dict[str, LoggedModel]:
    """List the bases that are stored whole, by their sha256."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        return {}
    found: dict[str, LoggedModel] = {}
    page: str | None = None
    while page != "":
        models = client.search_logged_models(
            [experiment.experiment_id], filter_string=f"model_type = '{BASE_TYPE}'", page_token=page
        )
        found |= {
            model.tags[Tag.BASE_SHA256]: model for model in models if str(model.status) == "READY"
        }
        page = models.token or ""
    return found


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


def sign_files(folder: Path) -> bytes | None:
    """Sign a version's files with the key that `PASAM_SIGNING_KEY` names; None where it names none.

    Returns:
        A signature in OpenSSF's format, which `model_signing verify` understands, too.

    Raises:
        RegistryError: The key, or the package for it, cannot be used.
    """
    key = os.environ.get(SIGNING_KEY)
    if not key:
        return None
    with temporary_folder() as place, _signing_errors(SIGNING_KEY, key, "be signed"):
        from model_signing.signing import Config

        signature = Path(place) / SIGNATURE
        Config().use_elliptic_key_signer(private_key=key).sign(folder, signature)
        return signature.read_bytes()


def verify_signature(folder: Path, number: int, stem: str) -> None:
    """Verify a version's files with the key that `PASAM_VERIFY_KEY` names, if it names one.

    Args:
        folder: The version's fetched folder.
        number: Which version it is.
        stem: Number of the entry that registered it, as the files that it carries are named.

    Raises:
        RegistryError: The files are not signed by that key, or the key cannot be used.
    """
    key = os.environ.get(VERIFY_KEY)
    if not key:
        return
    signature = folder / EVIDENCE / f"{stem}-{SIGNATURE}"
    if not signature.is_file():
        raise RegistryError(
            f"version {number} is not signed, and {VERIFY_KEY} asks for a signature. Register it "
            f"again with `pasam registry promote` where {SIGNING_KEY} names the private key."
        )
    with _signing_errors(VERIFY_KEY, key, f"be verified (version {number})"):
        from model_signing.hashing import Config as Hashing
        from model_signing.verifying import Config

        grows = Hashing().set_ignored_paths(paths=[DECISIONS, EVIDENCE])
        verifier = Config().use_elliptic_key_verifier(public_key=key).set_hashing_config(grows)
        verifier.verify(folder, signature)


@contextmanager
def _signing_errors(variable: str, key: str, what: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise RegistryError(
            f"{variable} is set and the files cannot {what}: {error.name} is not installed. "
            f"Add its group: {installing('sign')}"
        ) from None
    except Exception as error:  # noqa: BLE001  (whatever a foreign parser raises of foreign bytes)
        raise RegistryError(
            f"the files cannot {what} with {key}, which {variable} names: "
            f"{type(error).__name__}: {str(error)[:200]}"
        ) from None
