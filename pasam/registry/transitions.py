"""Decisions about versions: made in the log, then shown by MLflow.

A decision is made when the log has taken its entry, in one step, and not before: killed earlier
nothing has happened, killed later the next command lets MLflow show it. Whoever is outrun by
another machine reads what was decided there and thinks again on that ground.

Nothing here needs a model or its scores, so that the way back takes seconds.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pasam.errors import BusyError, PasamError, RegistryError, TrackingError
from pasam.files import sha256_of, temporary_folder
from pasam.registry.decision_log import (
    LIFT,
    REGISTER,
    REJECTED_BY,
    ROLLBACK,
    DecisionLog,
    Entry,
    OutrunError,
    Standing,
    VersionStanding,
    standing_of,
)
from pasam.registry.store import Tag, without_password, wrap_mlflow_errors
from pasam.registry.upkeep.first_registries import imported
from pasam.registry.upkeep.stored_files import digests_of, verify_files
from pasam.registry.versions import (
    NAME,
    Registry,
    damaged_files,
    differences,
    download,
    fetched,
    open_registry,
    show,
)

if TYPE_CHECKING:
    from pasam.registry.gate import GateDecision

_LOG = logging.getLogger(__name__)

TURNS = 20
"""Times that a decision is thought over because others were quicker."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """Entries to be added together, and the evidence that they name, by sha256."""

    entries: tuple[Entry, ...] = ()
    evidence: Mapping[str, bytes] = field(default_factory=dict)


def by_digest(tables: Mapping[str, bytes]) -> tuple[dict[str, str], dict[str, bytes]]:
    """Name evidence by its digest: as an entry refers to it, and as the log keeps it."""
    digests = {name: sha256_of(content) for name, content in tables.items()}
    return digests, {digests[name]: content for name, content in tables.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Transition:
    """A way back that was taken."""

    to: int
    """Version that is champion again."""
    champion: int
    """Champion before."""
    previous: int | None
    """Where the next way back would lead."""
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PromotionResult:
    """What a call of `promote` did."""

    version: int
    promoted: bool
    """Whether this version is the champion now."""
    moved: bool
    """Whether this call made it so."""
    gate: GateDecision | None
    """What the gate said; None where it was not asked."""
    page: Path | None
    """The verdict as a page."""
    message: str
    address: str | None = None
    """Where a browser shows the version; None where no server is known."""
    seed: str = ""
    """Of the version's training, as the log has it; empty where it does not."""


class Decisions:
    """What MLflow shows of a project's versions together with what was decided of them."""

    def __init__(self, registry: Registry, log: DecisionLog) -> None:
        self.registry = registry
        self.log = log
        self.standing = Standing()
        self.notes: list[str] = []
        """What a person should know besides: found and mended, or thought over again."""

    def refresh(self) -> None:
        """Read the log anew; a registry from before there was one is taken over, once.

        Raises:
            RegistryError: MLflow shows another log than this clone has.
        """
        entries = self.log.read()
        marked = self.registry.log_mark()
        if marked and (not entries or entries[0].digest != marked):
            raise RegistryError(
                f"MLflow's registry shows the log of decisions that begins with {marked[:12]}, and "
                f"this clone's {'is empty' if not entries else 'begins with ' + entries[0].digest}"
                ". Check that the git remote, or MLFLOW_TRACKING_URI, is this project's."
            )
        if not entries and (versions := self.registry.versions()):
            entries_then, evidence = imported(self.registry, versions)
            try:
                self.log.append(entries_then, evidence)
            except OutrunError:
                self.log.read()
            self.notes.append(f"{len(versions)} versions of MLflow were taken into the log.")
        self.standing = standing_of(self.log.entries)

    def show(self) -> None:
        """Let MLflow show what was decided, until nobody has decided anything else meanwhile."""
        for turn in range(TURNS):
            tip, writes = self.log.tip, self.registry.writes
            try:
                with wrap_mlflow_errors(self.registry.store.registry_uri):
                    self.notes += show(self.registry, self.log, self.standing)
            except TrackingError:  # such as two machines that set one alias at once
                if turn == TURNS - 1 or turn > 2:
                    raise
                time.sleep(random.uniform(0.1, 0.5))
                continue
            if self.registry.writes == writes:
                return  # nothing of somebody else's was overwritten
            self.log.read()
            if self.log.tip == tip:
                return
            self.standing = standing_of(self.log.entries)

    def decide(self, draft: Callable[[Standing], Draft]) -> tuple[Entry, ...]:
        """Decide on the ground of what is decided already.

        Args:
            draft: Says what to decide as things stand, or nothing; called again after others
                have decided. It raises where the decision is impossible.

        Returns:
            The entries as the log has them.

        Raises:
            BusyError: Others were quicker every time, or git lets nobody write the log; nothing
                was decided.
            TransientError: The log's remote cannot be reached; nothing was decided.
        """
        decided, words = False, ""  # by others, and what git said last
        for turn in range(TURNS):
            wanted = draft(self.standing)
            if not wanted.entries:
                return ()
            try:
                made = self.log.append(wanted.entries, wanted.evidence)
            except OutrunError as outrun:
                tip, words = self.log.tip, str(outrun)
                time.sleep(random.uniform(0, 0.1 * (turn + 1)))
                self.refresh()
                decided = decided or self.log.tip != tip
                continue
            self.standing = standing_of(self.log.entries)
            self._show_decided()
            return made
        if not decided:
            raise BusyError(
                f"git does not let the log of decisions be written, though nobody else has decided "
                f"anything: {words}. Nothing was changed. Is it a lock file that a killed git has "
                "left, remove that once no git is at work here."
            )
        raise BusyError(
            f"others decided {TURNS} times while this was decided. Nothing was changed here; look "
            "at `pasam registry log`, and try again."
        )

    def _show_decided(self) -> None:
        """Show a decision, which stands whatever becomes of this."""
        from mlflow.exceptions import MlflowException

        before = len(self.notes)
        try:
            self.show()
            del self.notes[before:]  # what this very decision has moved is no news
        except (PasamError, MlflowException) as error:
            self.notes.append(
                f"This is decided and stands in the log, but MLflow does not show it yet: {error} "
                "The next command of `pasam registry` completes it; do not decide it again."
            )

    def entry(self, event: str, version: int | None, why: str = "", **more: Any) -> Entry:
        """Draft an entry on the present standing; the champion stays unless `after` is given."""
        champion = self.standing.champion
        gate = self.standing.gate.gate if self.standing.gate else ""
        words = why.encode("utf-8", "backslashreplace").decode()  # a terminal may send no UTF-8
        return Entry(
            event=event, version=version, why=words, before=champion,
            **{"after": champion, "gate": gate, **more},
        )  # fmt: skip

    def version(self, which: int | str) -> VersionStanding:
        """Find a version by number or alias, as the log has it.

        Raises:
            RegistryError: There is no such version.
        """
        number = int(which) if str(which).isdecimal() else self.standing.aliases.get(str(which))
        found = self.standing.versions.get(-1 if number is None else number)
        if found is None:
            raise RegistryError(
                f"there is no version {which!r}; the log of decisions has "
                f"{sorted(self.standing.versions) or 'none'} and the aliases "
                f"{self.standing.aliases or 'none'}. See `pasam registry list`."
            )
        return found

    @contextmanager
    def fetched(self, number: int) -> Iterator[Path]:
        """Bring a version's files to this disk for as long as they are needed, and verify them.

        Raises:
            RegistryError: MLflow has lost it, or its files were changed.
        """
        version = self.registry.find(number)
        if version is None:
            raise RegistryError(
                f"version {number} stands in the log of decisions and not in MLflow at "
                f"{without_password(self.registry.store.registry_uri)}. If that is another MLflow "
                "than the log's, correct MLFLOW_TRACKING_URI; if it was lost there, `pasam "
                "registry promote` in the clone that made it registers it anew in its place, and "
                "`pasam restore` brings a backup's back."
            )
        with fetched(self.registry, version) as folder:
            verify_files(folder, number, self.standing)
            yield folder


def open_decisions(project: Path, *, flow_run: str | None = None) -> Decisions:
    """Open a project's registry to decide, with MLflow showing all that is decided already.

    Args:
        project: The project's root.
        flow_run: The Prefect run that this belongs to, if any.

    Raises:
        RegistryError: There is no repository, or the log was changed.
        TransientError: MLflow or the log's remote cannot be reached; nothing was decided.
    """
    decisions = Decisions(open_registry(project), DecisionLog(project, flow_run=flow_run))
    with wrap_mlflow_errors(decisions.registry.store.registry_uri):
        decisions.refresh()
        decisions.show()
    return decisions


def _tell(decisions: Decisions) -> None:
    """Say what a person should know besides, such as that MLflow does not show it yet."""
    for note in decisions.notes:
        _LOG.warning("note: %s", note)


def reject(project: Path, which: int | str, *, why: str) -> VersionStanding:
    """Bar a version, and whatever has the same bytes, until a person lifts that.

    Raises:
        RegistryError: It is the champion, or does not exist.
    """
    decisions = open_decisions(project)
    number = decisions.version(which).number

    def draft(standing: Standing) -> Draft:
        if number == standing.champion:
            raise RegistryError(
                f"version {number} is the champion and in use; go back to the one before it with "
                '`pasam registry rollback --why "..."`.'
            )
        return Draft(entries=(decisions.entry(REJECTED_BY, number, why),))

    decisions.decide(draft)
    _tell(decisions)
    return decisions.version(number)


def lift(project: Path, which: int | str, *, why: str) -> VersionStanding:
    """Let the bytes of a rejected or rolled-back version be judged again.

    Raises:
        RegistryError: They are not barred.
    """
    decisions = open_decisions(project)
    number = decisions.version(which).number

    def draft(standing: Standing) -> Draft:
        version = decisions.version(number)
        if standing.barring(version) is None:
            raise RegistryError(
                f"version {number} is not barred (it is {version.status}), so there is nothing to "
                f"lift; judge it with `pasam registry promote {number} --why ...`."
            )
        return Draft(entries=(decisions.entry(LIFT, number, why),))

    decisions.decide(draft)
    _tell(decisions)
    return decisions.version(number)


def rollback(project: Path, *, why: str) -> Transition:
    """Bring the previous champion back; the one that goes is barred until a person lifts that.

    Raises:
        RegistryError: There is none.
        BusyError: Another version became champion meanwhile.
    """
    decisions = open_decisions(project)
    seen = decisions.standing.champion

    def draft(standing: Standing) -> Draft:
        if standing.champion != seen:
            raise BusyError(
                f"version {standing.champion} became champion while version {seen} was to be "
                "rolled back. Nothing was changed here; look at `pasam registry log`, and decide "
                "again."
            )
        if seen is None or standing.previous is None:
            held = (
                "no version has been promoted"
                if seen is None
                else f"version {seen} is champion, and none was before it that may come back"
            )
            raise RegistryError(
                f"there is nothing to go back to: {held}. `pasam registry log` says what was "
                "decided; `pasam registry promote VERSION` makes another version champion."
            )
        if decisions.registry.find(standing.previous) is None:
            raise RegistryError(
                f"version {standing.previous}, to which the way back leads, is not in MLflow any "
                f"more, so that version {seen} would go on answering. `pasam registry check "
                "--repair` brings it back where MLflow still has its files, `pasam restore` a "
                "backup's; `pasam registry promote VERSION` makes another version champion."
            )
        return Draft(entries=(decisions.entry(ROLLBACK, seen, why, after=standing.previous),))

    (entry,) = decisions.decide(draft)
    _tell(decisions)
    assert entry.before is not None
    assert entry.after is not None
    return Transition(
        to=entry.after, champion=entry.before, previous=decisions.standing.previous, why=why
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class RegistryCheck:
    """What MLflow shows otherwise than the log."""

    found: tuple[str, ...]
    """A sentence for each difference."""
    left: tuple[str, ...]
    """Those that are left after a repair; all of them without one."""


def check(project: Path, *, repair: bool = False) -> RegistryCheck:
    """Compare what MLflow shows, and the files it keeps, with the log of decisions.

    Args:
        project: The project's root.
        repair: Mend what differs by one rule: the log is right. Tags and aliases are written
            from it; a version that was deleted comes back under a new number if MLflow still has
            its files. What the log does not know is left as it is: nothing promotes it.

    Raises:
        RegistryError: There is no repository, or the log was changed.
    """
    decisions = Decisions(open_registry(project), DecisionLog(project))
    with wrap_mlflow_errors(decisions.registry.store.registry_uri):
        decisions.refresh()
        found = tuple(_differences(decisions))
        if not repair:
            return RegistryCheck(found=found, left=found)
        shown = {version.number for version in decisions.registry.versions()}
        for number, version in list(decisions.standing.versions.items()):
            if number not in shown and not version.removed:
                _restore(decisions, version)
        decisions.show()
        return RegistryCheck(found=found, left=tuple(_differences(decisions)))


def _differences(decisions: Decisions) -> Iterator[str]:
    registry, standing = decisions.registry, decisions.standing
    every = registry.versions()
    yield from differences(registry, standing, every)
    for shown in every:
        version = standing.versions.get(shown.number)
        if version is not None:
            yield from damaged_files(registry, version, shown)


def _restore(decisions: Decisions, version: VersionStanding) -> None:
    """Let a version that was deleted in MLflow come back, if its files are still there."""
    from mlflow.exceptions import MlflowException

    client, details = decisions.registry.client, dict(version.registered.details)
    try:
        logged = client.get_logged_model(details.get("model_id", ""))
        with temporary_folder() as folder:
            place = download(
                decisions.registry, logged.artifact_location, Path(folder), what="a logged model"
            )
            if digests_of(place) != version.registered.files:
                return
    except (RegistryError, MlflowException):
        return  # it stays among what is left
    made = client.create_model_version(
        NAME, logged.artifact_location, run_id=details.get("run_id"), model_id=logged.model_id
    )
    number = int(made.version)

    def draft(standing: Standing) -> Draft:
        if version.number not in standing.versions or number in standing.versions:
            return Draft()  # somebody else was quicker, or has an MLflow that counts alike
        entry = decisions.entry(
            REGISTER, number, f"version {version.number} was deleted in MLflow",
            files=version.registered.files, evidence=version.registered.evidence,
            details={**details, "replaces": version.number},
            after=number if version.number == standing.champion else standing.champion,
        )  # fmt: skip
        return Draft(entries=(entry,))

    if not decisions.decide(draft):
        client.delete_model_version(NAME, str(number))


def result_of(
    decisions: Decisions,
    number: int,
    promoted: bool,
    message: str,
    moved: bool = False,
    gate: GateDecision | None = None,
    page: Path | None = None,
) -> PromotionResult:
    """Say what became of a version."""
    words = " ".join([f"version {number} {message}", *decisions.notes])
    version = decisions.standing.versions.get(number)
    tags = {} if version is None else version.tags
    return PromotionResult(
        version=number, promoted=promoted, moved=moved, gate=gate, page=page, message=words,
        address=decisions.registry.page(number), seed=str(tags.get(Tag.SEED, "")),
    )  # fmt: skip
