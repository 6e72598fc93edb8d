"""The versions of the model that MLflow's registry knows, and the three aliases among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pasam.errors import RegistryError
from pasam.registry.store import Tag, TrackingStore, open_store, wrap_mlflow_errors

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

NAME = "pasam"
"""Name of the registered model; `models:/pasam@champion` is what a server asks for."""

CANDIDATE, CHAMPION, PREVIOUS = "candidate", "champion", "previous"
ALIASES = (CANDIDATE, CHAMPION, PREVIOUS)

REGISTERED, ACCEPTED, REJECTED, ROLLED_BACK = "registered", "accepted", "rejected", "rolled back"
PROMOTE, REJECT, REEVALUATE = "promote", "reject", "re-evaluate the champion"
"""The three ways in which the gate decides; the tag `gate.decision` of a version says which."""


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
        """What became of it: registered, accepted, rejected or rolled back."""
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
            self.client.create_registered_model(NAME, description="PA-SAM on its frozen base.")

    def versions(self) -> list[Version]:
        """List all versions, the newest first."""
        found = self.client.search_model_versions(f"name = '{NAME}'", max_results=1000)
        aliases = self.aliases()
        versions = [_version(each, aliases) for each in found]
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

    def by_key(self, key: str) -> Version | None:
        """Find the version that was made of the same bytes."""
        return next((v for v in self.versions() if v.tags.get(Tag.KEY) == key), None)

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

    def set_tag(self, name: str, value: str | None) -> None:
        """Write or remove a tag of the registered model itself."""
        if value is not None:
            self.client.set_registered_model_tag(NAME, name, value)
        elif self.get_tag(name) is not None:
            self.client.delete_registered_model_tag(NAME, name)

    def get_tag(self, name: str) -> str | None:
        """Read a tag of the registered model itself."""
        value = self.client.get_registered_model(NAME).tags.get(name)
        return None if value is None else str(value)


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
