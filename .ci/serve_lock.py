"""Write `deploy/serve.lock`: of `requirements.lock`, what the small image `serve` needs.

The versions and hashes are the lock's own. What needs what is read off the installed packages, so
`make lock` runs this in the environment that the lock describes.
"""

from __future__ import annotations

import importlib.metadata
import tomllib
from collections.abc import Iterable
from pathlib import Path

from lock import LOCK, blocks
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

SERVE_LOCK = Path("deploy/serve.lock")
LINUX = {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"}
HEAD = "# Of requirements.lock, what the image `serve` needs; made by `make lock`.\n"


def needed(wanted: Iterable[Requirement]) -> set[str]:
    """Name the packages that some requirements come to on Linux, those of CUDA left out.

    Raises:
        PackageNotFoundError: One is not installed here.
    """
    found: set[tuple[str, str]] = set()
    todo = [(each, extra) for each in wanted for extra in ("", *each.extras)]
    while todo:
        requirement, extra = todo.pop()
        key = (canonicalize_name(requirement.name), extra)
        if key in found or key[0].startswith(("nvidia-", "cuda-", "triton")):
            continue
        found.add(key)
        for line in importlib.metadata.requires(requirement.name) or ():
            child = Requirement(line)
            if child.marker is None or child.marker.evaluate({**LINUX, "extra": extra}):
                todo += [(child, inner) for inner in ("", *child.extras)]
    return {name for name, _ in found}


def serve_lock(root: Path = Path()) -> str:
    """Write out the lock of the image, from the lock of everything."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    lines = [
        *project["build-system"]["requires"], *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["serve"],
    ]  # fmt: skip
    names = needed(Requirement(line) for line in lines)
    chosen = [
        block
        for block in blocks((root / LOCK).read_text(encoding="utf-8"))
        if canonicalize_name(block.partition("==")[0]) in names
    ]
    return HEAD + "".join(chosen)


if __name__ == "__main__":
    SERVE_LOCK.write_text(serve_lock(), encoding="utf-8")
