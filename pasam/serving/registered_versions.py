"""Versions of the registry, asked for again and again: fetched once, and only when they change."""

from __future__ import annotations

from pathlib import Path

from pasam.inference.model_files import ModelFiles
from pasam.registry.resolve import registered_files
from pasam.registry.versions import ALIASES, Registry, open_registry
from pasam.tracking.store import FOLDER, addresses, is_local, translated


class RegisteredVersions:
    """Finds the files of an alias or a number, as `OfferedModels` wants them.

    Args:
        project: The project's root, which says where the registry is.
        folder: Where fetched versions lie as long as the service runs.
    """

    def __init__(self, project: Path, folder: Path) -> None:
        self.project, self.folder = project, folder
        self._registry: Registry | None = None
        self._fetched: dict[int, ModelFiles] = {}

    def __call__(self, name: str) -> ModelFiles | None:
        """Find the files of the version that a name stands for now; None where it is no version.

        A project that never registered a model has no version, and gets no registry by this.

        Raises:
            RegistryError: The files are gone.
            TrackingError: MLflow cannot be reached.
        """
        if (name not in ALIASES and not name.isdecimal()) or not self._is_used():
            return None
        if self._registry is None:
            self._registry = open_registry(self.project)
        with translated(self._registry.store.registry_uri):
            number = int(name) if name.isdecimal() else self._registry.aliases().get(name)
        if number is None:
            return None
        if number not in self._fetched:
            found = registered_files(
                str(number), project=self.project, folder=self.folder / str(number)
            )
            assert found is not None, "a number is a version or an error"
            self._fetched[number] = found
        return self._fetched[number]

    def _is_used(self) -> bool:
        _, registry = addresses(self.project)
        return not is_local(registry) or any((self.project / FOLDER).glob("*.db"))
