"""A version of the registry by its alias or number, for `pasam.inference.load`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from pasam.inference.model_files import ModelFiles
from pasam.registry.download import fetch
from pasam.registry.model_files import ADAPTER, BASE, WORDS, describe_files
from pasam.registry.versions import ALIASES, open_registry


def registered_files(name: str, *, project: Path, folder: Path) -> ModelFiles | None:
    """Bring a version's files to this disk.

    Args:
        name: An alias such as `champion`, or a version's number.
        project: The project's root, which says where the registry is.
        folder: Where the files go; they are needed until the model is open.

    Returns:
        The files, or None for a name that is neither alias nor number.

    Raises:
        RegistryError: There is no such version, or its files are gone.
    """
    if name not in ALIASES and not name.isdecimal():
        return None
    registry = open_registry(project)
    version = registry.version(name)
    here = fetch(registry, version, folder) / "artifacts"
    files = describe_files(*(here / part for part in (ADAPTER, BASE, WORDS)))
    return dataclasses.replace(files, name=f"{files.name} (version {version.number})")
