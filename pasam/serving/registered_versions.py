"""Versions of the registry, asked for again and again: fetched once, and only when they change."""

from __future__ import annotations

from pathlib import Path

from pasam.inference.model_files import ModelFiles
from pasam.registry.resolve import RUN, is_registered_name, registered_files
from pasam.registry.versions import Registry, open_registry
from pasam.tracking.store import FOLDER, addresses, is_local, translated


class RegisteredVersions:
    """Finds the files of an alias, a number or a run, as `OfferedModels` wants them.

    Args:
        project: The project's root, which says where the registry is.
        folder: Where fetched versions lie as long as the service runs.
    """

    def __init__(self, project: Path, folder: Path) -> None:
        self.project, self.folder = project, folder
        self._registry: Registry | None = None
        self._fetched: dict[int, ModelFiles] = {}
        self._runs: dict[str, ModelFiles] = {}

    def __call__(self, name: str) -> ModelFiles | None:
        """Find the files that a name stands for now; None where it is neither version nor run.

        A project that never registered a model has no version, and gets no registry by this.

        Raises:
            RegistryError: The files are gone.
            TrackingError: MLflow cannot be reached.
        """
        if name.startswith(RUN):
            return self._of_run(name)
        if not is_registered_name(name) or not self._is_used():
            return None
        if self._registry is None:
            self._registry = open_registry(self.project)
        with translated(self._registry.store.registry_uri):
            number = int(name) if name.isdecimal() else self._registry.aliases().get(name)
        if number is None:
            return None
        if number not in self._fetched:
            self._fetched[number] = self._fetch(str(number), str(number))
        return self._fetched[number]

    def _of_run(self, name: str) -> ModelFiles:
        """A run's model never changes: it is looked for once."""
        if name not in self._runs:
            self._runs[name] = self._fetch(name, name.removeprefix(RUN).replace("/", ""))
        return self._runs[name]

    def _fetch(self, name: str, folder: str) -> ModelFiles:
        found = registered_files(name, project=self.project, folder=self.folder / folder)
        assert found is not None, "such a name is known or an error"
        return found

    def _is_used(self) -> bool:
        _, registry = addresses(self.project)
        return not is_local(registry) or any((self.project / FOLDER).glob("*.db"))
