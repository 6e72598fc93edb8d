"""Compile `pyproject.toml` into `requirements.lock` and `requirements-cuda.lock`: `make lock`.

Every file of a release is listed with its hash, for all platforms, so that one lock serves Linux
and macOS, Python 3.11 to 3.13. What torch needs of CUDA stands in a file of its own: PyTorch's CPU
builds do without these gigabytes. The index does not have them; `requirements-cpu.lock`, written by
hand, names those that `make` takes where an installer is set up to find them.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

LOCK, CUDA_LOCK = Path("requirements.lock"), Path("requirements-cuda.lock")
CUDA = re.compile(r"(nvidia|cuda)-|triton==")

HEAD = """\
# Every package of the environment, tools included, in versions known to work together, with the
# hashes of all their files. Made by `make lock`; installed by `make`, or by
# pip install --no-deps --require-hashes -r {name}
"""
CUDA_HEAD = "# What the index's torch needs of CUDA on Linux; a CPU build does without.\n" + HEAD


def compiled(upgrade: bool) -> str:
    """Let uv resolve all groups for all platforms, staying with what is locked where it can."""
    command = [
        *("uv", "pip", "compile", "pyproject.toml", "-", "--all-extras", "--universal"),
        *("--python-version", "3.11", "--generate-hashes", "--no-header", "--no-annotate"),
        *("--no-config", "--quiet"),  # the default index, whatever this machine is set to
    ]
    if not upgrade:
        kept = [str(path) for path in (LOCK, CUDA_LOCK) if path.is_file()]
        command += [part for path in kept for part in ("--constraints", path)]
    # What builds pasam itself is part of the environment: it is installed without isolation.
    build = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["build-system"]
    given = "\n".join(build["requires"])
    done = subprocess.run(command, input=given, check=True, text=True, stdout=subprocess.PIPE)
    return done.stdout


def blocks(text: str) -> list[str]:
    """Split a lock into the lines of each package."""
    return re.findall(r"^[A-Za-z0-9].*\n(?:    .*\n)*", text, re.MULTILINE)


def main() -> None:
    """Write both locks."""
    found = blocks(compiled("--upgrade" in sys.argv))
    for path, head, wanted in ((LOCK, HEAD, False), (CUDA_LOCK, CUDA_HEAD, True)):
        chosen = [block for block in found if bool(CUDA.match(block)) is wanted]
        path.write_text(head.format(name=path) + "".join(chosen), encoding="utf-8")


if __name__ == "__main__":
    main()
