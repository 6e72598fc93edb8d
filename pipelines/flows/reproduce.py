"""Flows `reproduce`, run whatever changed; and `ablate`, the same for another preset, and back."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pasam.config.params_file import DEFAULT_PATH
from pasam.config.presets import write_preset
from pasam.files import write_bytes
from pasam.registry.snapshot import LOCK, read_lock, results_note
from pipelines.dvc import STATE, Dvc
from pipelines.flows.engine import Outcome, log, show_image, show_text, task

GROUPS: Mapping[str, tuple[str, ...]] = {
    "data": ("prepare", "validate", "prepare_instances", "embed"),
    "train": ("train", "repeat", "ablate"),
    "evaluate": ("evaluate", "baseline", "instances", "robustness"),
    "report": ("report",),
}
"""DVC targets by the tasks that a person sees; what needs what is in `dvc.yaml` alone."""


def dvc(hours: float) -> Dvc:
    """DVC in the current folder, which is the project's root.

    Args:
        hours: Longest time of one command, and of waiting for another flow.
    """
    seconds = hours * 3600
    return Dvc(project=Path.cwd(), state=STATE, on_line=log, timeout=seconds, patience=seconds)


def results(suffix: str) -> list[Path]:
    """List the stages' outputs whose path ends so and which are there."""
    lock = read_lock(Path())
    found = [Path(entry.path) for _, entry in lock.makers(suffix)]
    return [path for path in found if path.exists()]


def outputs(stage: str) -> list[Path]:
    """List the files and folders that a stage has made, if it is in the lock."""
    record = read_lock(Path()).stages.get(stage)
    return [] if record is None else [Path(path) for path in record.outs if Path(path).exists()]


@task("dvc pull", delays=(30, 300))
def fetch(hours: float) -> None:
    """Bring what others have made already."""
    dvc(hours).pull()


@task("dvc repro: {group}", delays=(60, 600))
def repro(group: str, hours: float) -> None:
    """Run the stages of a group that anything touched."""
    dvc(hours).repro(*GROUPS[group])


@task("show the results", timeout=300)
def show_results() -> None:
    """Put the tables and figures on the run's page."""
    for path in results(".md"):
        show_text(path.stem, path.read_text(encoding="utf-8"), str(path))
    for path in results(".png"):
        show_image(path.stem, path, str(path))
    for path in results("index.html"):
        log(f"A page to look at: {path}")


def reproduce(*, pull: bool = False, hours: float = 24.0) -> Outcome:
    """Run whatever changed, from the data to the report.

    Args:
        pull: Bring what the DVC remote has first.
        hours: Longest time of one DVC command.
    """
    with dvc(hours).alone():
        if pull:
            fetch(hours)
        for group in GROUPS:
            repro(group, hours)
        show_results()
    note = results_note(Path())
    if note is not None:
        log(f"Note: {note}")
    return Outcome("reproduced", "Every stage is as dvc.yaml, the code and the data log.")


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
    write_preset(size, target=params)
    try:
        yield
    finally:
        try:
            for name in set(read_lock(Path()).stages) - stages:
                for path in outputs(name):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        finally:
            write_bytes(params, former)
            write_bytes(Path(LOCK), lock)


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
