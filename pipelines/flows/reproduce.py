"""Flow `reproduce`: run whatever changed, group by group, and show what came of it."""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.flows.engine import Outcome, say, show_picture, show_text, task
from pipelines.flows.workspace import dvc, results

GROUPS: Mapping[str, tuple[str, ...]] = {
    "data": ("prepare", "validate", "prepare_instances", "embed"),
    "train": ("train", "repeat", "ablate"),
    "evaluate": ("evaluate", "baseline", "instances", "robustness"),
    "report": ("report",),
}
"""DVC targets by the tasks that a person sees; what needs what is in `dvc.yaml` alone."""


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
        show_picture(path.stem, path, str(path))
    for path in results("index.html"):
        say(f"A page to look at: {path}")


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
    return Outcome("reproduced", "Every stage is as dvc.yaml, the code and the data say.")


if __name__ == "__main__":
    from pipelines.flows.command_line import run

    run(reproduce)
