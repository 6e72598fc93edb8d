"""The versions of the model as MLflow shows them, written from the log of decisions."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pasam.errors import RegistryError, TransientError, installing
from pasam.files import file_sha256, sha256_of, temporary_folder, write_bytes
from pasam.registry.decision_log import (
    ACCEPTED,
    BEGIN,
    CANDIDATE,
    CHAMPION,
    PREVIOUS,
    PROMOTED,
    REGISTERED,
    REJECTED_BY,
    ROLLBACK,
    SHORT_PATIENCE,
    VERDICT,
    DecisionLog,
    Entry,
    Standing,
    VersionStanding,
    has_repository,
    read_entry,
    standing_of,
)
from pasam.registry.store import ARTIFACTS, Tag, TrackingStore, open_store, wrap_mlflow_errors
from pasam.registry.upkeep.stored_base import put_base_in
from pasam.registry.verdict_page import verdict_pages

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

NAME = "pasam"
"""Name of the registered model; `models:/pasam@champion` is what a server asks for."""

ALIASES = (CANDIDATE, CHAMPION, PREVIOUS)
PAGE = 1000
"""Versions that MLflow is asked for at a time."""

PROMOTE, REJECT, REEVALUATE = "promote", "reject", "re-evaluate the champion"
"""The three ways in which the gate decides; the tag `gate.decision` of a version says which."""

SCORES = "scores.parquet"
"""Per-image scores among the evidence."""
PAGES = "verdicts"
"""Folder of the verdicts' pages, beside MLflow's records."""
SIGNATURE = "model.sig"
"""A signature of all files of a version, among its evidence."""
SIGNING_KEY, VERIFY_KEY = "PASAM_SIGNING_KEY", "PASAM_VERIFY_KEY"
"""Variables that name the files of the private and of the public key."""
DECISIONS, EVIDENCE = "decisions", "evidence"
"""Folders of a version for its entries of the log, and for what they rest on."""


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
    """The registered model of a project. Its methods change one thing each.

    Args:
        store: The MLflow backend.
    """

    def __init__(self, store: TrackingStore) -> None:
        self.store = store
        self.client = store.client

    def ensure(self) -> None:
        """Make the registered model, if this is the first version ever."""
        from mlflow.exceptions import MlflowException

        try:
            self.client.get_registered_model(NAME)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            try:
                self.client.create_registered_model(NAME, description="PA-SAM on its frozen base.")
            except MlflowException as taken:  # another machine was quicker
                if taken.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise

    def versions(self) -> list[Version]:
        """List all versions, the newest first."""
        aliases, versions, page = self.aliases(), [], None
        while page != "":
            found = self.client.search_model_versions(
                f"name = '{NAME}'", max_results=PAGE, page_token=page
            )
            versions += [_version(each, aliases) for each in found]
            page = found.token or ""
        return sorted(versions, key=lambda version: -version.number)

    def aliases(self) -> dict[str, int]:
        """Return the version that each alias points to."""
        from mlflow.exceptions import MlflowException

        try:
            found = self.client.get_registered_model(NAME).aliases
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return {}
        return {str(alias): int(number) for alias, number in found.items()}

    def find(self, number: int) -> Version | None:
        """Find a version by number; None if MLflow does not have it."""
        return next((each for each in self.versions() if each.number == number), None)

    def version(self, which: int | str) -> Version:
        """Find a version by number or alias.

        Raises:
            RegistryError: There is no such version.
        """
        known = self.versions()
        for version in known:
            if str(which).isdecimal():
                if version.number == int(which):
                    return version
            elif which in version.aliases:
                return version
        numbers = [version.number for version in known]
        raise RegistryError(
            f"there is no version {which!r}; the registry holds {numbers or 'none'} and the "
            f"aliases {self.aliases() or 'none'}. See `pasam registry list`."
        )

    def log_mark(self) -> str:
        """Digest of the first entry of the log that is shown here; empty before any was."""
        return str(self.client.get_registered_model(NAME).tags.get(Tag.LOG, ""))

    def unfinished(self) -> str | None:
        """What a registry from before the log says of a transition that was cut short."""
        found = self.client.get_registered_model(NAME).tags.get(Tag.INTENT)
        return None if found is None else str(found)

    def model_id(self, number: int) -> str:
        """Id of MLflow's logged model, which has a version's files; empty for none."""
        found = self.client.get_model_version(NAME, str(number))
        place = re.search(r"/models/(m-\w+)/artifacts", str(found.source))  # databases keep no id
        return str(found.model_id or (place[1] if place else ""))

    def set_alias(self, alias: str, number: int | None) -> None:
        """Let an alias point to a version, or to none."""
        if number is not None:
            self.client.set_registered_model_alias(NAME, alias, str(number))
        elif alias in self.aliases():
            self.client.delete_registered_model_alias(NAME, alias)

    def tag_version(self, number: int, tags: Mapping[str, str]) -> None:
        """Write tags of a version."""
        for name, value in tags.items():
            self.client.set_model_version_tag(NAME, str(number), name, value)


def open_registry(project: Path) -> Registry:
    """Connect to the registry of a project.

    Raises:
        TrackingError: MLflow cannot be reached.
    """
    registry = Registry(open_store(project))
    with wrap_mlflow_errors(registry.store.registry_uri):
        registry.ensure()
    return registry


def _version(found: ModelVersion, aliases: Mapping[str, int]) -> Version:
    number = int(found.version)
    return Version(
        number=number,
        aliases=tuple(alias for alias in ALIASES if aliases.get(alias) == number),
        tags=dict(found.tags),
        run_id=str(found.run_id or ""),
        created=int(found.creation_timestamp),
    )


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
        raise RegistryError(
            f"the files of {what} are gone from {source} ({error}). Register the model again with "
            "`pasam registry promote` where it was made."
        ) from None
    put_base_in(registry.client, Path(found))
    return Path(found)


@contextmanager
def fetched(registry: Registry, version: Version) -> Iterator[Path]:
    """Bring a version's model folder to this disk for as long as it is needed."""
    with temporary_folder() as folder:
        yield fetch(registry, version, Path(folder))


def digests_of(folder: Path) -> dict[str, str]:
    """Digest a version's files: each of those that are loaded, and all others together.

    Args:
        folder: A fetched folder, or one that is to be stored.

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


_LONGEST_TAG = 4000


def shown_tags(version: VersionStanding) -> dict[str, str]:
    """Say what MLflow has to show of a version, whatever it shows now."""
    tags = dict(version.registered.details["tags"])
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


def show(registry: Registry, log: DecisionLog, standing: Standing) -> list[str]:
    """Let MLflow show what the log says: tags, aliases, and each version its entries as files.

    It may be cut off anywhere and called again: only what differs is written.

    Returns:
        A sentence for each alias that pointed elsewhere.
    """
    if log.entries and registry.log_mark() != log.entries[0].digest:
        registry.client.set_registered_model_tag(NAME, Tag.LOG, log.entries[0].digest)
    found = {version.number: version for version in registry.versions()}
    for number, version in standing.versions.items():
        shown = found.get(number)
        if shown is not None:
            tags = shown.tags
            wanted = {n: text for n, text in shown_tags(version).items() if tags.get(n, "") != text}
            if wanted:
                registry.tag_version(number, wanted)
            _carry(registry, log, version, shown)
    aliases, notes = registry.aliases(), []
    for alias in (PREVIOUS, CHAMPION, CANDIDATE):  # the way back is there before it is needed
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
    with temporary_folder() as folder:
        for entry in new:
            for name, content in carried_files(log, entry).items():
                write_bytes(Path(folder) / name, content)
        registry.client.log_model_artifacts(model_id, folder)
    registry.tag_version(version.number, {Tag.CARRIED: str(new[-1].number)})


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


def differences(
    registry: Registry, standing: Standing, shown: Sequence[Version] | None = None
) -> Iterator[str]:
    """Say where MLflow does not show what the log says, files apart.

    Args:
        registry: What MLflow shows.
        standing: What follows from the log.
        shown: All versions, if they were read already: of hundreds that takes a second.
    """
    found = {each.number: each for each in (registry.versions() if shown is None else shown)}
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
    aliases = registry.aliases()
    for alias in ALIASES:
        if aliases.get(alias) != standing.aliases.get(alias):
            yield (
                f"MLflow's alias '{alias}' points to {aliases.get(alias, 'no version')}, the log "
                f"says {standing.aliases.get(alias, 'none')}"
            )


def known_standing(project: Path) -> Standing | None:
    """Say what follows from the log; None without a clone, or before anything was decided.

    While its remote cannot be reached, what this clone knows of it counts.
    """
    if not has_repository(project):
        return None
    log = DecisionLog(project, patience=SHORT_PATIENCE)
    try:
        entries = log.read()
    except TransientError:
        entries = log.read(shared=False)
    return standing_of(entries) if entries else None


def verify_files(
    folder: Path, number: int, standing: Standing | None, *, alias: str = "", logged: bool = True
) -> None:
    """See that a version's files are those that were decided on, before anything is made of them.

    Args:
        folder: The version's fetched folder.
        number: Which version it is.
        standing: What follows from the log; None on a machine without a clone, where the entries
            that the version carries have to do.
        alias: The alias that it was asked for by, if any.
        logged: Whether MLflow shows a log at all; a registry from before it has no digests.

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
            return
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


def _changes(wanted: Mapping[str, str], found: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """List what differs: which file, its digest now and as it was registered.

    Files that are there come first: without its metadata nobody finds a version's base.
    """
    for name in sorted(wanted.keys() | found.keys(), key=lambda name: (name not in found, name)):
        if wanted.get(name) != found.get(name):
            what = "its code or MLmodel" if name == "*" else name
            yield what, found.get(name, "not there")[:12], wanted.get(name, "none")[:12]


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


def oddities(project: Path, registry: Registry, shown: Sequence[Version]) -> list[str]:
    """Say what MLflow shows otherwise than the log, for a command that only looks.

    Nothing is said without a log, or while its remote cannot be reached.
    """
    if not has_repository(project):
        return []
    log = DecisionLog(project, patience=SHORT_PATIENCE)
    try:
        entries = log.read()
    except TransientError:
        return []
    return list(differences(registry, standing_of(entries), shown)) if entries else []


def damaged_files(registry: Registry, version: VersionStanding, shown: Version) -> Iterator[str]:
    """Say which files of a version are not those that the log names, what it carries included."""
    if not version.registered.files:
        yield f"version {version.number}: the log knows no digests, its files were gone before it"
        return
    try:
        with fetched(registry, shown) as folder:
            yield from _damaged(folder, version)
    except RegistryError as error:
        yield f"version {version.number}: {error}"


def _damaged(folder: Path, version: VersionStanding) -> Iterator[str]:
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
