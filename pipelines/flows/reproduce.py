"""Flow `reproduce`: run whatever changed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pasam.registry.snapshot import read_lock, results_note
from pipelines.dvc import STATE, Dvc
from pipelines.flows.engine import Outcome, log, show_image, show_text, task

GROUPS: Mapping[str, tuple[str, ...]] = {
    "data": ("prepare", "validate", "prepare_instances", "embed"),
    "train": ("train", "repeat", "ablate"),
    "evaluate": ("evaluate", "baseline", "instances", "robustness", "develop"),
    "report": ("report",),
}
"""DVC targets by the tasks that a person sees; what needs what is in `dvc.yaml` alone."""


def dvc(hours: float, folder: Path = Path()) -> Dvc:
    """DVC in the current folder, which is the project's root, or in the worktree of a study.

    Args:
        hours: Longest time of one command, and of waiting for another flow.
        folder: Where DVC runs; its logs and the lock are the project's all the same.
    """
    seconds = hours * 3600
    # A study is never recorded, so nothing would replace the live curves of its trainings.
    env = {"MLFLOW_TRACKING_URI": ""} if folder.resolve() != Path.cwd() else {}
    return Dvc(
        project=folder.resolve(), state=STATE, on_line=log, timeout=seconds, patience=seconds,
        env=env,
    )  # fmt: skip


def results(suffix: str, folder: Path = Path()) -> list[Path]:
    """List the stages' outputs whose path ends so and which are there."""
    lock = read_lock(folder)
    found = [folder / entry.path for _, entry in lock.makers(suffix)]
    return [path for path in found if path.exists()]


def outputs(stage: str, folder: Path = Path()) -> list[Path]:
    """List the files and folders that a stage has made, as the lock names them, if it is there."""
    record = read_lock(folder).stages.get(stage)
    return [] if record is None else [Path(p) for p in record.outs if (folder / p).exists()]


@task("dvc pull", delays=(30, 300))
def fetch(hours: float) -> None:
    """Bring what others have made already."""
    dvc(hours).pull()


@task("dvc repro: {group}", delays=(60, 600))
def repro(group: str, hours: float, folder: Path = Path()) -> None:
    """Run the stages of a group that anything touched."""
    dvc(hours, folder).repro(*GROUPS[group])


@task("show the results", timeout=300)
def show_results(folder: Path = Path()) -> None:
    """Put the tables and figures on the run's page."""
    for path in results(".md", folder):
        show_text(path.stem, path.read_text(encoding="utf-8"), str(path))
    for path in results(".png", folder):
        show_image(path.stem, path, str(path))
    for path in results("index.html", folder):
        log(f"A page to look at: {path}")


def run_groups(hours: float, folder: Path = Path()) -> None:
    """Run whatever changed, group by group, and show what came of it."""
    for group in GROUPS:
        repro(group, hours, folder)
    show_results(folder)


def reproduce(*, pull: bool = False, hours: float = 24.0, notify: str | None = None) -> Outcome:
    """Run whatever changed, from the data to the report.

    Args:
        pull: Bring what the DVC remote has first.
        hours: Longest time of one DVC command, and of waiting for another.
        notify: Who is told of a failure: a webhook, or a Prefect block; else whom PASAM_NOTIFY
            names.
    """
    with dvc(hours).alone():
        if pull:
            fetch(hours)
        run_groups(hours)
    note = results_note(Path())
    if note is not None:
        log(f"Note: {note}")
    return Outcome("reproduced", "Every stage is as dvc.yaml, the code and the data say.")
