"""The registry's versions as a service follows them: fetched once, verified, freed when unused."""

from __future__ import annotations

import shutil
from collections.abc import Set
from pathlib import Path
from time import monotonic

from pasam.errors import RegistryError
from pasam.inference.model_files import ModelFiles
from pasam.registry.load import RUN, is_registered_name, registered_files
from pasam.registry.store import is_begun, wrap_mlflow_errors
from pasam.registry.versions import Registry, open_registry

CHAMPION = "champion"
PAUSES = 20
"""Times that it took to fetch a version that was refused, until it is fetched again."""


class RegisteredVersions:
    """Finds the files of an alias, a number or a run, as `ModelPool` wants them.

    Args:
        project: The project's root, which says where the registry is.
        folder: Where fetched versions lie as long as the service runs.
    """

    def __init__(self, project: Path, folder: Path) -> None:
        self.project, self.folder = project, folder
        self._registry: Registry | None = None
        self._asked: dict[str, int] = {}  # which version each name stood for last
        self._failed: dict[Path, tuple[float, RegistryError]] = {}
        self._fetched: dict[int, ModelFiles] = {}
        self._champion: tuple[int, ModelFiles] | None = None
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
        if not is_registered_name(name) or not is_begun(self.project):
            return None
        if self._registry is None:
            self._registry = open_registry(self.project)
        with wrap_mlflow_errors(self._registry.store.registry_uri):
            number = int(name) if name.isdecimal() else self._registry.aliases().get(name)
        if number is None:
            self._asked.pop(name, None)
            return None
        if name == CHAMPION:
            files = self._decided(number)
        else:
            if number not in self._fetched:
                self._fetched[number] = self._fetch(str(number), str(number))
            files = self._fetched[number]
        if self._asked.get(name, number) != number:
            self._forget_all_but({*self._asked.values(), number})  # and what it stood for before
        self._asked[name] = number
        return files

    def _forget_all_but(self, used: Set[int]) -> None:
        """Free the disk of versions that no name stands for; a base has up to 1.2 GB."""
        for number in self._fetched.keys() - used:
            del self._fetched[number]
            for folder in (str(number), f"{number}-{CHAMPION}"):
                shutil.rmtree(self.folder / folder, ignore_errors=True)

    def _decided(self, number: int) -> ModelFiles:
        """See again that a decision made it champion, whatever it was served as before."""
        if self._champion is None or self._champion[0] != number:
            folder = f"{number}-{CHAMPION}" if number in self._fetched else str(number)
            files = self._fetch(str(number), folder, alias=CHAMPION)
            self._fetched.setdefault(number, files)
            self._champion = number, files
        return self._champion[1]

    def _of_run(self, name: str) -> ModelFiles:
        """A run's model never changes: it is looked for once."""
        if name not in self._runs:
            self._runs[name] = self._fetch(name, name.removeprefix(RUN).replace("/", ""))
        return self._runs[name]

    def _fetch(self, name: str, folder: str, *, alias: str = "") -> ModelFiles:
        """Fetch a version; one that was refused is not brought again and again at every look."""
        place = self.folder / folder
        until, refusal = self._failed.get(place, (0.0, None))
        if refusal is not None and monotonic() < until:
            raise refusal.with_traceback(None)  # else it grows at every look
        shutil.rmtree(place, ignore_errors=True)  # what a fetch that was refused has left
        begun = monotonic()
        try:
            found = registered_files(name, project=self.project, folder=place, alias=alias)
        except RegistryError as error:
            now = monotonic()
            self._failed[place] = now + PAUSES * (now - begun), error
            raise
        assert found is not None, "such a name is known or an error"
        return found
