"""Registries from before the log of decisions, in which MLflow alone knew what was decided."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pasam.errors import RegistryError
from pasam.files import sha256_of, temporary_folder
from pasam.registry.decision_log import (
    ACCEPTED,
    CANDIDATE,
    CHAMPION,
    IMPORT,
    PREVIOUS,
    REFUSED,
    REGISTERED,
    REJECTED,
    ROLLED_BACK,
    Entry,
)
from pasam.registry.store import Tag, expect_gone
from pasam.registry.upkeep.stored_files import digests_of
from pasam.registry.versions import PROMOTE, SCORES, fetched

if TYPE_CHECKING:
    from pasam.registry.versions import Registry, Version


def imported(
    registry: Registry, versions: list[Version]
) -> tuple[tuple[Entry, ...], dict[str, bytes]]:
    """Take over what MLflow shows of a registry from before there was a log.

    Returns:
        Entries for the log, and the evidence that they name, by sha256.

    Raises:
        RegistryError: A transition was cut short, and what is left does not say which.
    """
    aliases, tags = registry.aliases(), {v.number: dict(v.tags) for v in versions}
    _finish_first(registry.unfinished(), aliases, tags)
    entries: list[Entry] = []
    evidence: dict[str, bytes] = {}
    for version in sorted(versions, key=lambda version: version.number):
        scores = _first_scores(registry, version)
        evidence |= scores
        entries.append(
            Entry(
                event=IMPORT,
                version=version.number,
                why=tags[version.number].get(Tag.WHY, ""),
                files=_first_files(registry, version),
                evidence=dict.fromkeys([SCORES][: len(scores)], *scores),
                details={
                    **_first_details(version, tags[version.number], aliases),
                    "model_id": registry.model_id(version.number),
                    "run_id": version.run_id,
                },
            )
        )
    line: list[int] = []
    number = aliases.get(CHAMPION)
    while number in tags and number not in line:
        line.insert(0, number)
        before = aliases.get(PREVIOUS) if len(line) == 1 else None
        text = tags[number].get(Tag.PREDECESSOR, "")
        number = before or (int(text) if text.isdecimal() else 0)
    candidate = aliases.get(CANDIDATE)
    entries.append(
        Entry(
            event=IMPORT,
            why="taken over from MLflow, which alone knew it before there was a log",
            after=line[-1] if line else None,
            details={"champions": line, "candidate": candidate if candidate in tags else None},
        )
    )
    return tuple(entries), evidence


def _first_details(
    version: Version, tags: Mapping[str, str], aliases: Mapping[str, int]
) -> dict[str, Any]:
    status = tags.get(Tag.STATUS, REGISTERED)
    by_gate = tags.get(Tag.DECISION) not in (None, PROMOTE)
    by_gate = by_gate and tags.get(Tag.WHY, "") == tags.get(Tag.REASONS, "")
    if version.number == aliases.get(CHAMPION):
        status = ACCEPTED  # whatever a tag says: it is in use
    if status == REJECTED and by_gate:
        status = REFUSED
    return {
        "key": tags.get(Tag.KEY, f"unknown-{version.number}"),
        "tags": {n: text for n, text in tags.items() if not n.startswith(_SHOWN)},
        "status": status,
        "barred": status in (REJECTED, ROLLED_BACK),
    }


_SHOWN = ("gate.", "pasam.status", "pasam.why", "pasam.key", "pasam.predecessor", "pasam.entries")
"""Tags that are written from the log itself."""


def _first_files(registry: Registry, version: Version) -> dict[str, str]:
    try:
        with fetched(registry, version) as folder:
            return digests_of(folder)
    except RegistryError:
        return {}  # they are gone: whoever loads it is told


def _finish_first(
    text: str | None, aliases: dict[str, int], tags: Mapping[int, dict[str, str]]
) -> None:
    """Finish a transition that was cut short before there was a log, as it then was finished."""
    if text is None:
        return
    try:
        move = json.loads(text)
        to, champion, previous = int(move["to"]), move["champion"], move["previous"]
        way_back = move["action"] == "roll back"
    except (ValueError, TypeError, KeyError, RecursionError):
        raise RegistryError(
            f"MLflow's tag {Tag.INTENT} of the registered model does not say which transition was "
            f"cut short: {text!r:.80}. Remove the tag on MLflow's page, and look at the aliases."
        ) from None
    aliases[CHAMPION] = to
    aliases.pop(PREVIOUS, None)
    if previous is not None:
        aliases[PREVIOUS] = int(previous)
    if way_back and champion in tags:
        tags[champion][Tag.STATUS] = ROLLED_BACK
    elif not way_back and to in tags:
        tags[to] |= {Tag.STATUS: ACCEPTED, Tag.PREDECESSOR: str(champion or "")}
        if aliases.get(CANDIDATE) == to:
            del aliases[CANDIDATE]


def _first_scores(registry: Registry, version: Version) -> dict[str, bytes]:
    """Read the scores that a registry from before the log keeps with a run, by their digest."""
    from mlflow.exceptions import MlflowException

    with temporary_folder() as folder:
        place = f"registry/v{version.number}/scores.parquet"
        try:
            file = registry.client.download_artifacts(version.run_id, place, folder)
        except (OSError, MlflowException) as error:
            expect_gone(error, f"{place} of run {version.run_id}", registry.store.tracking_uri)
            return {}  # gone, and measured again where they are needed
        content = Path(file).read_bytes()
    return {sha256_of(content): content}
