"""Where MLflow's records live, and what to do when they cannot be reached.

Without a word from the environment they are a sqlite file and a folder of artifacts inside the
project; `MLFLOW_TRACKING_URI` (and `MLFLOW_REGISTRY_URI`) name any other place, as everywhere.

No record says on which machine or in which folder it lies: artifacts have addresses of MLflow's
proxy scheme, which a server looks up in its own folder, and `artifact_repository` in the folder
beside the sqlite file. So a project may be moved, copied, or mounted elsewhere.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import shutil
import sqlite3
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, TypeVar

from filelock import FileLock

from pasam.errors import RegistryError, TrackingError
from pasam.files import TEMPORARY, portable_path

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.store.artifact.artifact_repo import ArtifactRepository
    from mlflow.store.entities.paged_list import PagedList

T = TypeVar("T")

FOLDER, ARTIFACTS = "mlruns", "artifacts"
"""The project's folder for MLflow, and that of the artifacts beside the sqlite file; the latter is
also the folder of a version for what is loaded."""
SCHEME = "mlflow-artifacts"
ROOT = f"{SCHEME}:/"
"""Address of all artifacts, wherever they lie."""
EXPERIMENT = "pasam"
TRAININGS = "workflowType=machine_learning"
"""Ends an address of MLflow's page that is to show trainings, not chat programs."""
NOTE = "mlflow.note.content"
"""Tag that MLflow shows as the description of a run or an experiment, in Markdown."""
TAGS = {
    # Else MLflow's page guesses, and asks whether it guessed well.
    "mlflow.experimentKind": "custom_model_development",
    NOTE: (
        "One run per stage and digest of its entry in `dvc.lock`, under the run of its "
        "reproduction. Runs are made from the stages' result files, restored ones too: the times "
        "shown are those of the recording, not of the training."
    ),
}

_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # two lines for each run, at a server
    # An unreachable server is said within seconds; MLflow's own patience is minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}

_NOISE = ("Any type hint is inferred as AnyType", "An input example was not provided")
"""Warnings of MLflow about its own types and advice."""


class Tag:
    """Names of the tags of runs and of versions; those of lineage stand in both."""

    COMMIT, DIRTY, PUSHED = "git.commit", "git.dirty", "git.pushed"
    LOCK_SHA256, PARAMS_SHA256 = "dvc.lock_sha256", "params.sha256"
    STAGE, STAGE_DIGEST, COMMAND = "dvc.stage", "dvc.stage_digest", "dvc.command"
    MANIFEST_MD5, VALIDATION = "data.manifest_md5", "data.validation"
    EVALUATION_SET, EVALUATOR_VERSION = "evaluation.set_md5", "evaluation.evaluator"
    BASE_SHA256, ADAPTER_SHA256, MODEL_MD5 = "base.sha256", "adapter.sha256", "model.md5"
    SEED, FLOW_RUN = "seed", "prefect.flow_run"

    KEY = "pasam.key"
    """The same key means the same stage with the same inputs; of a version, the same bytes."""
    KIND, RECORDED = "pasam.kind", "pasam.recorded"
    RUNS = "pasam.runs"
    """Of a reproduction: ids of the runs of its stages."""

    STATUS, WHY = "pasam.status", "pasam.why"
    VERDICT = "pasam.verdict"
    """The page of the gate's last verdict, among the version's files."""
    MODEL, WEIGHTS = "pasam.model", "pasam.weights"
    LOG = "pasam.log"
    """Of the registered model: digest of the first entry of the log that is shown there."""
    CARRIED = "pasam.entries"
    """Number of the last entry of the log of decisions that is stored with a version."""
    PREDECESSOR, INTENT = "pasam.predecessor", "pasam.in_progress"
    """Of registries from before the log: the champion before, and an unfinished transition."""
    SCORES = "scores.mbiou"
    DECISION, REASONS = "gate.decision", "gate.reasons"
    OPPONENT, MODE = "gate.champion", "gate.mode"


@dataclass(frozen=True, slots=True)
class TrackingStore:
    """An MLflow backend that answers."""

    client: MlflowClient
    tracking_uri: str
    registry_uri: str
    experiment_id: str
    folder: Path
    """The project's own folder for MLflow; locks and logs lie here, whatever the backend."""


def every_page(search: Callable[[str | None], PagedList[T]]) -> Iterator[T]:
    """List all that a search of MLflow finds; `search` takes where its next page begins."""
    token: str | None = None
    while token != "":
        page = search(token)
        yield from page
        token = page.token or ""


def default_address(project: Path) -> str:
    """Address of the sqlite file inside a project; absolute, so that any folder may ask."""
    return f"sqlite:///{(project / FOLDER / 'mlflow.db').resolve()}"


def addresses(project: Path) -> tuple[str, str]:
    """Addresses of the runs and of the registry: the environment's, or the project's own."""
    tracking = os.environ.get("MLFLOW_TRACKING_URI") or default_address(project)
    return tracking, os.environ.get("MLFLOW_REGISTRY_URI") or tracking


def is_begun(project: Path) -> bool:
    """Say whether there is a store to read: a server's, or the project's own file."""
    return all(
        not is_local(address) or sqlite_file(address).is_file() for address in addresses(project)
    )


def expect_begun(project: Path, *, wanted: str) -> None:
    """Refuse to read what is not there yet: opening it would make it.

    Raises:
        RegistryError: There is no store; it says so of what was wanted.
    """
    if not is_begun(project):
        raise RegistryError(
            f"there is no {wanted} here: {project.resolve().name}/ has none of MLflow's records, "
            f"{FOLDER}/mlflow.db. `pasam registry promote` begins them; or name the project "
            "(--project), or the server that has them (MLFLOW_TRACKING_URI)."
        )


def open_store(project: Path) -> TrackingStore:
    """Connect to MLflow; make the tables and the experiment at the first use.

    Raises:
        TrackingError: It cannot be reached; every result is still in its file.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    tracking, registry = addresses(project)
    folder = (project / FOLDER).resolve()
    with wrap_mlflow_errors(tracking):
        from mlflow import MlflowClient

        for name in ("alembic", "mlflow"):
            logging.getLogger(name).setLevel(logging.WARNING)
        # It logs the trace of every error that it raises; ours is one sentence.
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
        folder.mkdir(parents=True, exist_ok=True)
        with _opening(folder):
            for address in {tracking, registry}:
                _look_into(address)
            client = MlflowClient(tracking_uri=tracking, registry_uri=registry)
            _look_beside_the_file()
            experiment = _experiment(client, ROOT if is_local(tracking) else None)
            if is_local(tracking):
                forget_folder(sqlite_file(tracking))
    return TrackingStore(client, tracking, registry, experiment, folder)


@contextmanager
def _opening(folder: Path) -> Iterator[None]:
    """Let one process at a time make the tables: two at once would tear them."""
    lock = FileLock(folder / "init.lock")
    try:
        lock.acquire()
    except OSError as error:
        # What is on a disk that can only be read, or is somebody else's, may be looked at.
        if error.errno not in {errno.EROFS, errno.EACCES, errno.EPERM}:
            raise
    try:
        yield
    finally:
        lock.release()


@contextmanager
def quiet_pyfunc() -> Iterator[ModuleType]:
    """Give `mlflow.pyfunc`; importing it takes a second and a half, so only where it is needed."""
    with warnings.catch_warnings():
        for text in _NOISE:
            warnings.filterwarnings("ignore", f"(?s).*{text}")
        import mlflow.pyfunc

        yield mlflow.pyfunc


def is_local(address: str) -> bool:
    """Say whether an address is a sqlite file, whose artifacts lie beside it."""
    return address.startswith("sqlite:")


def sqlite_file(address: str) -> Path:
    """File of an address of sqlite's."""
    return Path(address.partition("///")[2].partition("?")[0])


def _look_into(address: str) -> None:
    """Read the list of a sqlite file's tables: MLflow tries for minutes to open a damaged one.

    A change that a killed process left half done is undone by that.
    """
    file = sqlite_file(address)
    if is_local(address) and file.is_file():
        # For writing where that is allowed, for reading elsewhere: nobody else undoes the change.
        place = f"{file.absolute().as_uri()}?mode=rw"
        with contextlib.closing(sqlite3.connect(place, uri=True)) as database:
            database.execute("SELECT count(*) FROM sqlite_master").fetchone()


def artifacts_folder(address: str) -> Path:
    """Folder of the artifacts of a backend that is a sqlite file; it lies beside the file."""
    return sqlite_file(address).parent / ARTIFACTS


def _look_beside_the_file() -> None:
    """Let MLflow ask `artifact_repository`, also where pasam was not installed as a package."""
    from mlflow.store.artifact.artifact_repository_registry import _artifact_repository_registry

    register = _artifact_repository_registry.register
    register(SCHEME, artifact_repository)  # type: ignore[no-untyped-call]


def artifact_repository(
    artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None
) -> ArtifactRepository:
    """Open artifacts by an address that names no folder; MLflow calls this (an entry point).

    Args:
        artifact_uri: `mlflow-artifacts:/` and a path.
        tracking_uri: The backend; MLflow's own if None. Of a sqlite file the folder beside it is
            meant; of anything else what MLflow itself makes of the address.
        registry_uri: Handed on.

    Raises:
        DataError: The path leads out of the folder.
    """
    import mlflow
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
    from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository

    backend = tracking_uri or mlflow.get_tracking_uri()
    if not is_local(backend):
        return MlflowArtifactsRepository(artifact_uri, tracking_uri, registry_uri)

    class FolderBesideTheFile(LocalArtifactRepository):
        def download_artifacts(self, artifact_path: str, dst_path: str | None = None) -> str:
            # A copy, as of any other store: whoever loads a model writes into its folder.
            own = dst_path or tempfile.mkdtemp(prefix=TEMPORARY)
            source = Path(self.artifact_dir, portable_path(artifact_path))
            # MLflow lists a folder and asks for each file on its own; where there are links it also
            # looks where they lead.
            if not source.is_dir() or any(path.is_symlink() for path in source.rglob("*")):
                return str(super().download_artifacts(artifact_path, own))  # type: ignore[no-untyped-call]
            return shutil.copytree(source, Path(own, artifact_path).as_posix(), dirs_exist_ok=True)

    path = portable_path(artifact_uri.removeprefix(f"{SCHEME}:").strip("/"))
    return FolderBesideTheFile((artifacts_folder(backend) / path).as_uri())


_ADDRESSES = (
    ("experiments", "artifact_location"), ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"), ("model_versions", "source"),
    ("model_versions", "storage_location"),
)  # fmt: skip
"""Tables and columns of MLflow in which an address of artifacts stands."""


def forget_folder(database: Path) -> None:
    """Free records from before addresses named no folder, in one step; others are left alone.

    Wherever that folder was, the artifacts lie beside the file now.
    """
    if database.parent.name != FOLDER:
        return
    with contextlib.closing(sqlite3.connect(database, timeout=60)) as tables, tables:
        query = "SELECT artifact_location FROM experiments WHERE name = ?"
        (old,) = tables.execute(query, (EXPERIMENT,)).fetchone()
        if not old.startswith(("/", "file:")) or not old.endswith(f"/{FOLDER}/{ARTIFACTS}"):
            return
        for table, column in _ADDRESSES:
            tables.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                (ROOT, len(old) + 2, old, len(old) + 1, f"{old}/"),
            )


@contextmanager
def wrap_mlflow_errors(address: str) -> Iterator[None]:
    """Turn whatever MLflow, its database or the disk raise into one error that says what to do.

    Args:
        address: The backend in use; its password is left out of the message.

    Raises:
        TrackingError: The backend failed.
        RegistryError: Its file is damaged, which no other try mends.
    """
    try:
        yield
    except Exception as error:  # noqa: BLE001  (three libraries' errors; the rest is raised again)
        if not _is_backend_fault(error):
            raise
        if any(word in str(error) for word in _DAMAGED):
            raise RegistryError(
                f"MLflow's records at {without_password(address)} are damaged: {_cause(error)}. "
                "Restore the file from a backup. Or move it away: decisions are in git, and `pasam "
                "track sync` and `pasam registry promote` record and register anew what is here."
            ) from error
        raise TrackingError(
            f"MLflow's records at {without_password(address)} cannot be used: {_cause(error)}. "
            f"{_advice(address, error)} No result is lost: run `pasam track sync` afterwards, "
            "which completes the record."
        ) from error


def without_password(address: str) -> str:
    """Leave user and password out of an address."""
    scheme, separator, rest = address.partition("://")
    place, slash, path = rest.partition("/")
    return f"{scheme}{separator}{place.rpartition('@')[2]}{slash}{path}"


def without_passwords(text: str) -> str:
    """Leave users and passwords out of all addresses in what a program said."""
    return re.sub(r"://[^@/\s]+@", "://", text)


def _experiment(client: MlflowClient, artifacts: str | None) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(EXPERIMENT)
    if found is None:
        try:
            return str(client.create_experiment(EXPERIMENT, artifacts, dict(TAGS)))
        except MlflowException:  # another machine was quicker
            found = client.get_experiment_by_name(EXPERIMENT)
            if found is None:
                raise
    for name, value in TAGS.items():
        if name not in found.tags:  # a training that showed its curves live has made it
            client.set_experiment_tag(found.experiment_id, name, value)
    return str(found.experiment_id)


_MISTAKES = (
    "INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS", "BAD_REQUEST",
)  # fmt: skip
"""Codes of MLflow for what another try cannot mend."""


_DAMAGED = ("disk image is malformed", "file is not a database")
"""SQLite's words for a file with other bytes than it wrote."""

_RACES = ("UniqueViolation", "UNIQUE constraint", "IntegrityError", "deadlock", "serialize access")
"""Words of databases for two that wrote the same row at once; MLflow calls it a bad request."""


def is_race(error: BaseException | None) -> bool:
    """Say whether somebody else has written the same at the same time, so that a retry helps."""
    return error is not None and any(word in str(error) for word in _RACES)


_PASSING = re.compile(
    r"too many \d{3} error|Max retries|\b5\d\d Server Error|\b40[13] Client Error|[Tt]imed? ?out"
    r"|Connection (re|ab|br)|No space left|[Qq]uota exceeded|Too many open files|Input/output error"
)
"""Words of servers and disks for a file that may well be there."""


def expect_gone(error: Exception, what: str, source: str) -> None:
    """Tell a file that a store does not have from one that cannot be had now.

    Raises:
        TrackingError: The server, the connection or the disk failed.
    """
    if _PASSING.search(str(error)):
        raise TrackingError(
            f"{what} cannot be brought from {without_password(source)} now: {_cause(error)}. "
            f"{_advice(source, error)}"
        ) from error


_STATUS = re.compile(r"too many (\d{3}) error responses")
"""Words of urllib3 after its last try, for a server that is there and fails."""


def _is_backend_fault(error: Exception) -> bool:
    module = type(error).__module__.partition(".")[0]
    if module == "mlflow":
        return is_race(error) or getattr(error, "error_code", "") not in _MISTAKES
    return isinstance(error, OSError) or module in {"sqlalchemy", "sqlite3", "alembic"}


def _cause(error: Exception) -> str:
    """The part of a message that a person needs: its first line, without SQL."""
    text = without_passwords(str(error).strip()) or type(error).__name__
    if is_race(error):
        return "another machine wrote the same at the same time"
    failing = _STATUS.search(text)
    if failing is not None:
        return f"the server answers with HTTP status {failing[1]}"
    if "Max retries exceeded" in text:
        return "nothing answers there"
    lines = [line for line in text.splitlines() if not line.startswith("(raised as a result of")]
    return re.sub(r"^\([\w.]+\) ", "", lines[0] if lines else text)[:200].rstrip(" .:")


def _advice(address: str, error: Exception) -> str:
    text = str(error)
    if is_race(error):
        return "Try again."
    full = "disk is full" in text or "No space left" in text
    if full or (isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}):
        return "Free some space on the disk."
    if "locked" in text:
        return "End the process that holds the database, or wait for it."
    if _STATUS.search(text):
        return "Its own log says why."
    if address.startswith("http"):
        return "Check that the server runs and that MLFLOW_TRACKING_URI names it."
    if "alembic" in text or "schema" in text:
        return "Its tables are another version's: run `mlflow db upgrade` on it."
    return "Check that the place exists, can be written, and is named by MLFLOW_TRACKING_URI."
