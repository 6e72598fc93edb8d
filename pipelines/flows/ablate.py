"""Flow `ablate`: the study of another size of params, and the way back to this one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pasam.config.params_file import DEFAULT_PATH
from pasam.config.presets import use_size
from pasam.registry.snapshot import LOCK, read_lock
from pipelines.flows.engine import Outcome, task
from pipelines.flows.reproduce import GROUPS, repro, reproduce
from pipelines.flows.workspace import STATE, dvc, outputs


@task("keep the report of {size}", timeout=300)
def keep_report(size: str) -> Path:
    """Copy the tables, figures and pages aside, before the way back replaces them."""
    folder = STATE / "results" / size
    shutil.rmtree(folder, ignore_errors=True)
    for path in outputs("report"):
        (folder / path.parent).mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if path.is_dir() else shutil.copyfile
        copy(path, folder / path)
    return folder


@contextmanager
def size_in_place(size: str, params: Path = DEFAULT_PATH) -> Iterator[None]:
    """Have another size as the params file until the end of the block, whatever happens in it.

    At the end `dvc.lock` is as it was, too, and the files of stages that only the other size has
    are gone, since the report reads whole folders. DVC's cache keeps them for the next time.

    Raises:
        DataError: Nothing has run yet, so there is nothing to come back to.
        ParamsError: There is no such size.
    """
    stages = set(read_lock(Path()).stages)
    former, lock = params.read_bytes(), Path(LOCK).read_bytes()
    use_size(size, target=params)
    try:
        yield
    finally:
        try:
            for name in set(read_lock(Path()).stages) - stages:
                _remove(outputs(name))
        finally:
            _put_back(params, former)
            _put_back(Path(LOCK), lock)


def _put_back(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_bytes(content)
    draft.replace(path)


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def ablate(*, size: str = "ablation", hours: float = 48.0, notify: str | None = None) -> Outcome:
    """Reproduce another size, keep its report, and come back to the present one.

    The way back costs little: DVC restores what its cache holds. Interrupted, the study goes on
    where it was when it is run again.

    Args:
        size: A file of `params/`, by name.
        hours: Longest time of one DVC command.
        notify: Who is told of a failure: a webhook, or a Prefect block.
    """
    with dvc(hours).alone():
        with size_in_place(size):
            reproduce(hours=hours)
            folder = keep_report(size)
        for group in GROUPS:
            repro(group, hours)
    return Outcome("studied", f"The report of '{size}' is in {folder}.")


if __name__ == "__main__":
    from pipelines.flows.command_line import run

    run(ablate)
