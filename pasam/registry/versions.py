"""The versions of the model as MLflow shows them, written from the log of decisions.

They are written and read through MLflow's client. Who only looks at them reads MLflow's own sqlite
file, where there is one: importing MLflow takes some three seconds, and they are three tables.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from pasam.errors import RegistryError, TransientError
from pasam.files import temporary_folder, write_bytes
from pasam.registry.decision_log import (
    CANDIDATE,
    CHAMPION,
    PREVIOUS,
    REGISTERED,
    SHORT_PATIENCE,
    STAGING,
    DecisionLog,
    Entry,
    Standing,
    VersionStanding,
    standing_of,
)
from pasam.registry.snapshot import has_repository
from pasam.registry.store import (
    Tag,
    TrackingStore,
    addresses,
    every_page,
    expect_gone,
    is_local,
    open_store,
    sqlite_file,
    without_password,
    without_passwords,
    wrap_mlflow_errors,
)
from pasam.registry.upkeep.stored_files import EVIDENCE, carried_files, damages, put_base_in

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

T = TypeVar("T")

NAME = "pasam"
"""Name of the registered model; `models:/pasam@champion` is what a server asks for."""

ALIASES = (CANDIDATE, CHAMPION, PREVIOUS, STAGING)
PAGE = 1000
"""Versions that MLflow is asked for at a time."""

PROMOTE, REJECT, REEVALUATE = "promote", "reject", "re-evaluate the champion"
"""The three ways in which the gate decides; the tag `gate.decision` of a version says which."""

SCORES = "scores.parquet"
"""Per-image scores among the evidence."""
PARAMS = "params"
"""Flattened params that a version was made with, among the details of its registration."""
PAGES = "verdicts"
"""Folder of the verdicts' pages, beside MLflow's records."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Version:
    """One version."""

    number: int
    aliases: tuple[str, ...]
    tags: Mapping[str, str]
    run_id: str
    created: int
    """Milliseconds since 1970."""

    @property
    def status(self) -> str:
        """What became of it: registered, accepted, refused, rejected or rolled back."""
        return self.tags.get(Tag.STATUS, REGISTERED)


class Registry:
    """The registered model of a project. Its methods change one thing each."""

    def __init__(self, store: TrackingStore) -> None:
        self.store = store
        self.client = store.client
        self.writes = 0
        """Changes made so far of what MLflow shows."""

    def ensure(self) -> None:
        """Make the registered model, if this is the first version ever."""
        from mlflow.exceptions import MlflowException

        if self.model() is None:
            try:
                self.client.create_registered_model(NAME, description="PA-SAM on its frozen base.")
            except MlflowException as taken:  # another machine was quicker
                if taken.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise

    def model(self) -> RegisteredModel | None:
        """Return what is shown of the model as a whole; None before the first version."""
        return _if_any(lambda: self.client.get_registered_model(NAME))

    def versions(self, aliases: Mapping[str, int] | None = None) -> list[Version]:
        """List all versions, the newest first; `aliases` if they were asked for already."""
        known = self.aliases() if aliases is None else aliases
        found = every_page(
            lambda token: self.client.search_model_versions(
                f"name = '{NAME}'", max_results=PAGE, page_token=token
            )
        )
        return sorted((_version(each, known) for each in found), key=lambda each: -each.number)

    def aliases(self) -> dict[str, int]:
        """Return the version that each alias points to."""
        return _aliases(self.model())

    def find(self, number: int) -> Version | None:
        """Find a version by number; None if MLflow does not have it."""
        found = _if_any(lambda: self.client.get_model_version(NAME, str(number)))
        return None if found is None else _version(found, dict.fromkeys(found.aliases, number))

    def version(self, which: int | str) -> Version:
        """Find a version by number or alias.

        Raises:
            RegistryError: There is no such version.
        """
        number = int(which) if str(which).isdecimal() else self.aliases().get(str(which))
        found = None if number is None else self.find(number)
        if found is not None:
            return found
        numbers = [version.number for version in self.versions()]
        raise RegistryError(
            f"there is no version {which!r}; the registry holds {numbers or 'none'} and the "
            f"aliases {self.aliases() or 'none'}. See `pasam registry list`."
        )

    def log_mark(self) -> str:
        """Digest of the first entry of the log that is shown here; empty before any was."""
        return _log_mark(self.model())

    def mark_log(self, digest: str) -> None:
        """Say which log is shown here."""
        self.writes += 1
        self.client.set_registered_model_tag(NAME, Tag.LOG, digest)

    def unfinished(self) -> str | None:
        """What a registry from before the log says of a transition that was cut short."""
        found = self.client.get_registered_model(NAME).tags.get(Tag.INTENT)
        return None if found is None else str(found)

    def model_id(self, number: int) -> str:
        """Id of MLflow's logged model, which has a version's files; empty for none."""
        found = self.client.get_model_version(NAME, str(number))
        place = re.search(r"/models/(m-\w+)/artifacts", str(found.source))  # databases keep no id
        return str(found.model_id or (place[1] if place else ""))

    def page(self, number: int) -> str | None:
        """Where a browser shows a version; None where no server is known."""
        return version_page(self.store.registry_uri, number)

    def set_alias(self, alias: str, number: int | None) -> None:
        """Let an alias point to a version, or to none."""
        self.writes += 1
        if number is not None:
            self.client.set_registered_model_alias(NAME, alias, str(number))
        else:
            self.client.delete_registered_model_alias(NAME, alias)

    def tag_version(self, number: int, tags: Mapping[str, str]) -> None:
        """Write tags of a version."""
        for name, value in tags.items():
            self.writes += 1
            self.client.set_model_version_tag(NAME, str(number), name, value)

    def untag_version(self, number: int, names: Iterable[str]) -> None:
        """Remove tags of a version."""
        for name in names:
            self.writes += 1
            self.client.delete_model_version_tag(NAME, str(number), name)


def open_registry(project: Path) -> Registry:
    """Connect to the registry of a project.

    Raises:
        TrackingError: MLflow cannot be reached.
    """
    registry = Registry(open_store(project))
    with wrap_mlflow_errors(registry.store.registry_uri):
        registry.ensure()
    return registry


def _if_any(ask: Callable[[], T]) -> T | None:
    """Ask MLflow for something that it may not have."""
    from mlflow.exceptions import MlflowException

    try:
        return ask()
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None


def _aliases(model: RegisteredModel | None) -> dict[str, int]:
    found = {} if model is None else model.aliases
    return {str(alias): int(number) for alias, number in found.items()}


def _pointing_to(number: int, aliases: Mapping[str, int]) -> tuple[str, ...]:
    return tuple(alias for alias in ALIASES if aliases.get(alias) == number)


def _log_mark(model: RegisteredModel | None) -> str:
    return "" if model is None else str(model.tags.get(Tag.LOG, ""))


def _version(found: ModelVersion, aliases: Mapping[str, int]) -> Version:
    number = int(found.version)
    return Version(
        number=number,
        aliases=_pointing_to(number, aliases),
        tags=dict(found.tags),
        run_id=str(found.run_id or ""),
        created=int(found.creation_timestamp),
    )


def fetch(registry: Registry, version: Version, folder: Path) -> Path:
    """Bring a version's model folder, as MLflow serves it, into a folder, made if need be.

    Returns:
        The model's folder: its weights lie in `artifacts`.

    Raises:
        RegistryError: The files are gone from the store.
    """
    source = registry.client.get_model_version_download_uri(NAME, str(version.number))
    return download(registry, source, folder, what=f"version {version.number}")


def download(registry: Registry, source: str, folder: Path, *, what: str) -> Path:
    """Bring a model folder to this disk from where MLflow keeps it.

    Raises:
        RegistryError: It is gone.
    """
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    folder.mkdir(parents=True, exist_ok=True)
    try:
        found = download_artifacts(
            artifact_uri=source, dst_path=str(folder), tracking_uri=registry.store.tracking_uri
        )
    except (OSError, MlflowException) as error:
        expect_gone(error, f"the files of {what}", source)
        raise RegistryError(
            f"the files of {what} are gone from {without_password(source)} "
            f"({without_passwords(str(error))}). Register the model again with "
            "`pasam registry promote` where it was made."
        ) from None
    put_base_in(registry.client, Path(found))
    return Path(found)


@contextmanager
def fetched(registry: Registry, version: Version) -> Iterator[Path]:
    """Bring a version's model folder to this disk for as long as it is needed."""
    with temporary_folder() as folder:
        yield fetch(registry, version, Path(folder))


class ShownVersions(Protocol):
    """Whatever says what MLflow shows: its client, or its file."""

    def aliases(self) -> dict[str, int]:
        """Return the version that each alias points to."""

    def versions(self, aliases: Mapping[str, int] | None = None) -> list[Version]:
        """List all versions, the newest first; `aliases` if they were asked for already."""


@dataclass(frozen=True, slots=True)
class ShownInFile:
    """What a sqlite file of MLflow's shows; read once, when it is made."""

    found: tuple[Version, ...]
    known: Mapping[str, int]

    def aliases(self) -> dict[str, int]:
        """Return the version that each alias points to."""
        return dict(self.known)

    def versions(self, aliases: Mapping[str, int] | None = None) -> list[Version]:
        """List all versions, the newest first."""
        return list(self.found)


def shown_versions(project: Path) -> ShownVersions:
    """Say what MLflow shows of a project's versions, for whoever only looks.

    A file that is not as expected, such as another MLflow's, is left to MLflow.

    Raises:
        TrackingError: MLflow cannot be reached.
    """
    _, address = addresses(project)
    file = sqlite_file(address)
    if is_local(address) and not file.exists():
        return ShownInFile((), {})  # who only looks makes none
    if is_local(address):
        with suppress(sqlite3.Error):
            return _read(file)
    return open_registry(project)


_DELETED = "Deleted_Internal"  # MLflow keeps the row of a version that was deleted


def _read(file: Path) -> ShownInFile:
    place = f"{file.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(place, uri=True)) as tables, tables:
        tables.execute("BEGIN")  # all of one moment
        asked = "WHERE name = ? AND workspace = 'default'"
        pointed = tables.execute(
            f"SELECT alias, version FROM registered_model_aliases {asked}", (NAME,)
        ).fetchall()
        rows = tables.execute(
            f"SELECT version, run_id, creation_time FROM model_versions {asked} "
            "AND current_stage IS NOT ? ORDER BY version DESC",
            (NAME, _DELETED),
        ).fetchall()
        tags: dict[int, dict[str, str]] = {number: {} for number, *_ in rows}
        for number, key, value in tables.execute(
            f"SELECT version, key, value FROM model_version_tags {asked}", (NAME,)
        ):
            tags.get(number, {})[key] = value
    aliases = {str(alias): int(number) for alias, number in pointed}
    versions = tuple(
        Version(
            number=number, run_id=run or "", created=created, tags=tags[number],
            aliases=_pointing_to(number, aliases),
        )
        for number, run, created in rows
    )  # fmt: skip
    return ShownInFile(versions, aliases)


_LONGEST_TAG = 4000
SHOWN = (Tag.MODEL, Tag.WEIGHTS, Tag.COMMIT, Tag.FLOW_RUN)
"""What MLflow shows of where a version comes from; the log, and its own files, have all of it."""


def known_tags(version: VersionStanding) -> dict[str, str]:
    """Say in tags all that the log knows of a version."""
    tags = version.tags
    tags |= {Tag.KEY: version.key, Tag.STATUS: version.status, Tag.WHY: version.why}
    if version.verdict is not None:
        words = version.verdict.details
        tags |= {
            Tag.DECISION: words["decision"],
            Tag.REASONS: "; ".join(words["reasons"]),
            Tag.OPPONENT: str(words["champion"] or ""),
            Tag.MODE: words["gate"]["mode"],
        }
    return {name: str(value)[:_LONGEST_TAG] for name, value in tags.items()}


def shown_tags(version: VersionStanding) -> dict[str, str]:
    """Say which tags MLflow has to show of a version: at most seven, and how far it is carried."""
    known = known_tags(version)
    tags = {name: known[name] for name in (*SHOWN, Tag.STATUS, Tag.WHY) if name in known}
    if version.verdict is not None:
        tags[Tag.VERDICT] = f"{EVIDENCE}/{version.verdict.number:06}-verdict.html"
    return tags


def as_logged(version: Version, standing: Standing | None) -> Version:
    """Take a version with all that the log knows of it, which nobody can edit in MLflow."""
    known = standing.versions.get(version.number) if standing else None
    return version if known is None else replace(version, tags=known_tags(known))


def show(registry: Registry, log: DecisionLog, standing: Standing) -> list[str]:
    """Let MLflow show what the log says: tags, aliases, and each version its entries as files.

    It may be cut off anywhere and called again: only what differs is written.

    Returns:
        A sentence for each alias that pointed elsewhere.
    """
    model = registry.model()
    aliases, notes = _aliases(model), []
    if log.entries and _log_mark(model) != log.entries[0].digest:
        registry.mark_log(log.entries[0].digest)
    found = {version.number: version for version in registry.versions(aliases)}
    for number, version in standing.versions.items():
        shown = found.get(number)
        if shown is not None:
            tags, wanted = shown.tags, shown_tags(version)
            if new := {name: text for name, text in wanted.items() if tags.get(name, "") != text}:
                registry.tag_version(number, new)
            if more := (known_tags(version).keys() & tags) - wanted.keys():  # from when all stood
                registry.untag_version(number, sorted(more))
            _carry(registry, log, version, shown)
    # The way back is there before it is needed.
    for alias in (PREVIOUS, CHAMPION, CANDIDATE, STAGING):
        wanted_one, pointed = standing.aliases.get(alias), aliases.get(alias)
        if wanted_one != pointed and (wanted_one is None or wanted_one in found):
            registry.set_alias(alias, wanted_one)
            notes.append(
                f"MLflow's alias '{alias}' pointed to {pointed or 'no version'}; the log of "
                f"decisions says {wanted_one or 'none'}, and so it does now."
            )
    return notes


def _carry(registry: Registry, log: DecisionLog, version: VersionStanding, shown: Version) -> None:
    """Store with a version what the log says of it, so that a machine without a clone can look."""
    text = shown.tags.get(Tag.CARRIED, "")
    carried = int(text) if text.isdecimal() else 0
    new = [entry for entry in version.entries if entry.number > carried]
    model_id = version.registered.details.get("model_id")
    if not new or not model_id:
        return
    # MLflow's client finds the place by the model's id alone, which a project's copy has, too.
    logged = _if_any(lambda: registry.client.get_logged_model(model_id))
    if logged is None:  # somebody has deleted it there, which must not keep anybody from deciding
        return
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    with temporary_folder() as folder:
        for entry in new:
            for name, content in carried_files(log, entry).items():
                write_bytes(Path(folder) / name, content)
        place = get_artifact_repository(
            logged.artifact_location, tracking_uri=registry.store.tracking_uri
        )
        place.log_artifacts(folder)  # type: ignore[no-untyped-call]
    registry.tag_version(version.number, {Tag.CARRIED: str(new[-1].number)})


def differences(
    registry: ShownVersions, standing: Standing, shown: Sequence[Version] | None = None
) -> Iterator[str]:
    """Say where MLflow does not show what the log says, files apart.

    Args:
        registry: What MLflow shows.
        standing: What follows from the log.
        shown: All versions, if they were read already: of hundreds that takes a second.
    """
    aliases = registry.aliases()
    found = {each.number: each for each in (shown or registry.versions(aliases))}
    for number, version in standing.versions.items():
        if number not in found and version.removed:
            continue
        if number not in found:
            use = [alias for alias, used in standing.aliases.items() if used == number]
            yield f"version {number} is not in MLflow any more{' and is ' if use else ''}" + (
                ", ".join(use)
            )
            continue
        wanted, tags = shown_tags(version), found[number].tags
        for name in sorted(n for n, text in wanted.items() if tags.get(n, "") != text):
            yield (
                f"version {number}: MLflow's tag {name} is {tags.get(name, '')!r:.60}, the log "
                f"says {wanted[name]!r:.60}"
            )
    for number in sorted(set(found) - set(standing.versions)):
        yield f"version {number} is in MLflow and not in the log, so that nothing promotes it"
    for alias in ALIASES:
        if aliases.get(alias) != standing.aliases.get(alias):
            yield (
                f"MLflow's alias '{alias}' points to {aliases.get(alias, 'no version')}, the log "
                f"says {standing.aliases.get(alias, 'none')}"
            )


def version_page(address: str, number: int) -> str | None:
    """Where a browser shows a version; None where the address is no server's."""
    place = f"{without_password(address).rstrip('/')}/#/models/{NAME}/versions/{number}"
    return place if address.startswith("http") else None


def known_standing(project: Path) -> Standing | None:
    """Say what follows from the log; None without a clone, or before anything was decided.

    While its remote cannot be reached, what this clone knows of it counts.
    """
    entries, _ = _known_entries(project)
    return standing_of(entries) if entries else None


def _known_entries(project: Path) -> tuple[tuple[Entry, ...], bool]:
    """Read the log for who only looks; say also whether its remote could be asked."""
    if not has_repository(project):
        return (), True
    log = DecisionLog(project, patience=SHORT_PATIENCE)
    try:
        return log.read(), True
    except TransientError:
        return log.read(shared=False), False


def list_versions(project: Path, registry: ShownVersions) -> tuple[list[Version], list[str]]:
    """List all versions as the log has them, and what MLflow shows otherwise, for whoever looks.

    Nothing of the latter is said without a log, or while its remote cannot be reached.
    """
    shown = registry.versions()
    entries, current = _known_entries(project)
    if not entries:
        return shown, []
    standing = standing_of(entries)
    odd = list(differences(registry, standing, shown)) if current else []
    return [as_logged(version, standing) for version in shown], odd


def damaged_files(registry: Registry, version: VersionStanding, shown: Version) -> Iterator[str]:
    """Say which files of a version are not those that the log names, what it carries included."""
    if not version.registered.files:
        yield f"version {version.number}: the log knows no digests, its files were gone before it"
        return
    try:
        with fetched(registry, shown) as folder:
            yield from damages(folder, version)
    except RegistryError as error:
        yield f"version {version.number}: {error}"
