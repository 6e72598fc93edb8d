"""A version's files as MLflow keeps them: their base apart, signed, compared with the log.

A version stores its adapter and what names its base; the base itself, up to 1.2 GB, is stored once
for all versions, and put beside the other files whenever a version is brought to a disk. Its bytes
are compared with the log there, like those of every other file. Where a key is set, the files are
signed in OpenSSF's format, too.

Besides what is loaded, a version carries what the log says of it, for machines without a clone.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pasam.errors import DataError, RegistryError, installing
from pasam.files import file_sha256, put_in_place, read_json, sha256_of, temporary_folder
from pasam.registry.decision_log import (
    ACCEPTED,
    BEGIN,
    CHAMPION,
    PROMOTED,
    REJECTED_BY,
    ROLLBACK,
    VERDICT,
    DecisionLog,
    Entry,
    Standing,
    VersionStanding,
    read_entry,
)
from pasam.registry.store import (
    ARTIFACTS,
    EXPERIMENT,
    Tag,
    every_page,
    expect_gone,
    without_passwords,
)
from pasam.registry.verdict_page import verdict_pages

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from model_signing.hashing import Config as Hashing

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
            expect_gone(error, f"the base {digest[:12]}", found.artifact_location)
            raise RegistryError(
                f"the base {digest[:12]} is gone from {found.artifact_location} "
                f"({without_passwords(str(error))}). "
                "Register a version again with `pasam registry promote` where its base is."
            ) from None
        put_in_place(Path(brought), target)


def digests_of(folder: Path) -> dict[str, str]:
    """Digest a version's files: each of those that are loaded, and all others together.

    Returns:
        Sha256 by path; that of the others, such as the code for MLflow's own server, by `*`. What
        a version carries of the log is left out, for it grows.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    all_ = {path.relative_to(folder).as_posix(): file_sha256(path) for path in paths}
    apart = (f"{DECISIONS}/", f"{EVIDENCE}/")
    loaded = {name: sha for name, sha in all_.items() if name.startswith(f"{ARTIFACTS}/")}
    rest = [
        f"{name} {sha}" for name, sha in all_.items()
        if name not in loaded and not name.startswith(apart)
    ]  # fmt: skip
    return {**loaded, "*": sha256_of("\n".join(rest))}


def lacks_signature(evidence: Container[str]) -> bool:
    """Whether what there is about a version has no signature, though a key to sign with is set."""
    return bool(os.environ.get(SIGNING_KEY)) and SIGNATURE not in evidence


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
        signer = Config().set_hashing_config(_hashing()).use_elliptic_key_signer(private_key=key)
        signer.sign(folder, signature)
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
        from model_signing.verifying import Config

        verifier = Config().set_hashing_config(_hashing()).use_elliptic_key_verifier(public_key=key)
        verifier.verify(folder, signature)


def _hashing() -> Hashing:
    """Say how files are hashed: all bytes of all of them, but of those folders that grow.

    With BLAKE3, one of that format's three, for ViT-L's 1.25 GB take SHA-256 over a second on one
    core, and BLAKE3 a quarter of one; `digests_of` has the SHA-256 besides.
    """
    from model_signing.hashing import Config

    hashing = Config().use_file_serialization(hashing_algorithm="blake3")
    return hashing.set_ignored_paths(paths=[DECISIONS, EVIDENCE])


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


def carried_files(log: DecisionLog, entry: Entry) -> dict[str, bytes]:
    """Content by path of what a version carries of an entry; numbered, so never overwritten."""
    stem = f"{entry.number:06}"
    files = {f"{DECISIONS}/{stem}.json": entry.content()}
    for name, digest in entry.evidence.items():
        files[f"{EVIDENCE}/{stem}-{name}"] = log.evidence(digest)
    if entry.event == VERDICT:
        pages = verdict_pages(entry).items()
        files |= {f"{EVIDENCE}/{stem}-{name}": text.encode() for name, text in pages}
    return files


def verify_files(
    folder: Path, number: int, standing: Standing | None, *, alias: str = "", logged: bool = True
) -> Entry | None:
    """See that a version's files are those that were decided on, before anything is made of them.

    Args:
        folder: The version's fetched folder.
        number: Which version it is.
        standing: What follows from the log; None on a machine without a clone, where the entries
            that the version carries have to do.
        alias: The alias that it was asked for by, if any.
        logged: Whether MLflow shows a log at all; a registry from before it has no digests.

    Returns:
        The entry that says where it comes from; None in a registry from before the log.

    Raises:
        RegistryError: A file is not the one that was registered, or the alias was set by other
            means than a decision.
    """
    if standing is None:
        known, in_use = _carried(folder)
    else:
        version = standing.versions.get(number)
        known = None if version is None else version.registered
        in_use = standing.champion == number
    if known is None:
        if not logged and standing is None:
            return None
        raise RegistryError(
            f"version {number} is not in the log of decisions, so that nothing says which files it "
            "should have. Use one that is: `pasam registry list`."
        )
    if alias == CHAMPION and not in_use:
        raise RegistryError(
            f"MLflow's alias '{alias}' points to version {number}, which no decision made champion:"
            " it was set by other means. Set it back with `pasam registry check --repair`."
        )
    verify_signature(folder, number, f"{known.number:06}")
    for what, now, then in _changes(known.files, digests_of(folder)):
        raise RegistryError(
            f"version {number} was changed after it was registered: {what} is {now}, expected "
            f"{then} (entry {known.number} of the log of decisions). Nothing is made of it; go "
            "back to another version, or register it again with `pasam registry promote`."
        )
    return known


def _changes(wanted: Mapping[str, str], found: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """List what differs: which file, its digest now and as it was registered.

    Files that are there come first: without its metadata nobody finds a version's base.
    """
    for name in sorted(wanted.keys() | found.keys(), key=lambda name: (name not in found, name)):
        if wanted.get(name) != found.get(name):
            what = "its code or MLmodel" if name == "*" else name
            yield what, found.get(name, "not there")[:12], wanted.get(name, "none")[:12]


def _carried(folder: Path) -> tuple[Entry | None, bool]:
    """Read the entries that a version carries: where it comes from, and whether it is in use."""
    known: Entry | None = None
    names: set[int | None] = set()
    in_use = False
    for path in sorted((folder / DECISIONS).glob("*.json")):
        entry = read_entry(path.read_bytes())
        if entry.event in BEGIN:
            known = entry
            names.add(entry.version)
            in_use = in_use or entry.details.get("status") == ACCEPTED
        elif entry.event == PROMOTED:
            in_use = True
        elif entry.event == REJECTED_BY or (entry.event == ROLLBACK and entry.version in names):
            in_use = False
        elif entry.event == ROLLBACK:
            in_use = True
    return known, in_use


def damages(folder: Path, version: VersionStanding) -> Iterator[str]:
    """Say which files in a version's fetched folder are not those that the log names."""
    for what, now, then in _changes(version.registered.files, digests_of(folder)):
        yield f"version {version.number}: {what} is {now}, the log says {then}"
    for entry in version.entries:
        stem = f"{entry.number:06}"
        carried = {f"{DECISIONS}/{stem}.json": entry.digest} | {
            f"{EVIDENCE}/{stem}-{name}": digest for name, digest in entry.evidence.items()
        }
        for name, digest in carried.items():
            place = folder / name
            if not place.is_file():
                yield f"version {version.number}: {name} is not stored with it"
            elif file_sha256(place) != digest:
                yield f"version {version.number}: {name} was changed"
