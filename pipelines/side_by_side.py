"""What `make reproduce` runs: stages side by side, each as soon as what it needs is there.

DVC runs one stage after another, and a stage on the small base cannot keep two cores busy. DVC
holds its lock of the project only between the commands of stages, so that several
`dvc repro --single-item` get on with each other as long as each waits for that lock. Each has the
same number of threads whatever runs beside it, since that number decides how sums are rounded.
Where a GPU is at hand a stage has it to itself.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from rich.progress import Progress, TaskID

from pasam.config.params_file import load_section
from pasam.config.schema import BaseParams
from pasam.errors import PasamError
from pasam.workers import count_progress
from pipelines.dvc import (
    STATE,
    Dvc,
    Graph,
    expect_whole_results,
    failure,
    forget_half_written_locks,
)
from pipelines.process import run_child
from pipelines.stage_runner import exit_codes

LONGEST_FIRST = ("repeat", "train", "robustness", "ablate", "instances", "develop", "evaluate")
"""Which of the stages that could begin does; the others come after them."""
MOST = 4
"""How many at once: each holds about 1 GB, and more gain little on the small base."""
KEPT = str(2**30)
"""Bytes up to which a stage keeps what it has freed for its next arrays."""
_ARRAYS = {"MALLOC_MMAP_THRESHOLD_": KEPT, "MALLOC_TRIM_THRESHOLD_": KEPT}
# By itself glibc hands larger arrays back to the system, which clears new pages for the next: half
# of the small encoder's time. Other C libraries do not know these names.
_ASIDE = (
    "Running stage",
    ">",
    "Updating lock file",
    "Use `dvc push`",
    "To track the changes",
    "git add",
    "To enable auto",
    "dvc config core.autostage",
)
"""Beginnings of DVC's lines that are the same for every stage."""


PARTS = {
    "embed": "embed", "train": "train", "repeat": "repeats", "ablate": "ablations",
    "evaluate": "evaluate", "baseline": "evaluate", "develop": "evaluate",
    "instances": "instances", "robustness": "robustness",
}  # fmt: skip
"""Which part of the estimated time a stage belongs to; all others share the rest."""
Announce = Callable[[Graph, Collection[str]], None]
"""Told all stages and those that will run, before the first of them does."""


def seconds_ahead(
    parts: Mapping[str, float], stages: Collection[str], todo: Collection[str]
) -> float:
    """Estimate what some stages take, each its equal share of what all of its part do.

    Args:
        parts: Seconds by part, of a whole run.
        stages: All stages.
        todo: Those to be run.
    """

    def part(stage: str) -> str:
        return PARTS.get(stage.partition("@")[0], "rest")

    whole = Counter(map(part, stages))
    return sum(
        parts[name] * count / whole[name] for name, count in Counter(map(part, todo)).items()
    )


def announcement(params_file: Path, cores: int, say: Callable[[str], None]) -> Announce:
    """Make what tells a person how long it will take; it keeps nobody from running.

    Args:
        params_file: What the estimate goes by.
        cores: How many the run may use.
        say: Shows a line.
    """

    def announce(graph: Graph, todo: Collection[str]) -> None:
        from pasam.cli.doctor import PLACES, seconds_by_part  # with pandas and torch
        from pasam.cli.run_costs import duration

        try:
            parts = seconds_by_part(params_file, PLACES, cores=cores)
        except PasamError:  # the stage that needs it says so itself
            return
        ahead = duration(seconds_ahead(parts, graph.needs, todo))
        say(
            f"{len(todo)} of {len(graph.needs)} stages are to be run: about {ahead} on a machine "
            "like those measured; `pasam doctor` says what takes it."
        )

    return announce


def lanes(params_file: Path, cores: int, *, has_gpu: bool) -> int:
    """Say how many stages may run at once.

    Args:
        params_file: Which base they run: larger ones than `tiny` fill cores and memory alone.
        cores: How many this process may use.
        has_gpu: Whether stages run on a GPU.
    """
    base = load_section(BaseParams, "base", params_file)
    return min(cores, MOST) if base.size == "tiny" and not has_gpu else 1


class SideBySide:
    """A project whose stages share its folder.

    Args:
        project: DVC in the project.
        count: How many stages at once.
        cores: How many they share.
        progress: Shows how many are done, in a terminal.
        announce: Says what is ahead.
    """

    def __init__(
        self, project: Dvc, *, count: int, cores: int, progress: Progress,
        announce: Announce | None = None,
    ) -> None:  # fmt: skip
        self.project, self.count, self.progress = project, count, progress
        self.announce = announce
        self.threads = max(cores // count, 1)
        self.stop = threading.Event()
        self.at_work: list[str] = []

    def run(self) -> None:
        """Run whatever changed.

        Raises:
            PasamError: A stage failed, or was stopped; the others are stopped too, and trainings go
                on from their saved states next time.
        """
        with self.project.alone():
            changed = self.project.status()
            graph = self.project.graph() if changed else Graph({})
            todo = graph.after(changed)
            if todo and self.announce:
                self.announce(graph, todo)
            if len(todo) > 1:
                self._run({stage: graph.needs[stage] & todo for stage in todo})

    def _run(self, needs: Mapping[str, frozenset[str]]) -> None:
        """Run stages, each after those that it needs."""
        bar = self.progress.add_task("stages", total=len(needs), note="")
        waiting, done = sorted(needs, key=_turn), set[str]()
        with ThreadPoolExecutor(self.count) as pool:
            running: dict[Future[str], str] = {}
            try:
                while waiting or running:
                    ready = [stage for stage in waiting if needs[stage] <= done]
                    for stage in ready[: self.count - len(running)]:
                        waiting.remove(stage)
                        running[pool.submit(self._one, stage, bar)] = stage
                    for ended in wait(running, return_when=FIRST_COMPLETED).done:
                        done.add(running.pop(ended))
                        counted = f"{len(done)} of {len(needs)} stages done"
                        self.project.on_line(f"{ended.result()}, {counted}")
                        self.progress.advance(bar)
            except BaseException:
                self.stop.set()
                raise

    def _one(self, stage: str, bar: TaskID) -> str:
        """Run one stage; return what is said of it."""
        self.at_work.append(stage)
        self.progress.update(bar, note=" and ".join(self.at_work))
        log, began = self.project.state / "logs" / f"{stage}.log", time.monotonic()
        command = ["dvc", "--wait-for-lock", "repro", "--single-item", stage]
        code = run_child(
            [sys.executable, "-m", *command], cwd=self.project.project, log=log,
            on_line=lambda line: self._show(stage, line), stop=self.stop,
            env={**self.project.environment(), "OMP_NUM_THREADS": str(self.threads), **_ARRAYS},
        )  # fmt: skip
        self.at_work.remove(stage)
        if code:
            text = log.read_text(encoding="utf-8", errors="replace")
            raise failure(" ".join(command), code, text, log)
        return f"{stage}: {time.monotonic() - began:.0f} s"

    def _show(self, stage: str, line: str) -> None:
        if not line.lstrip().startswith(_ASIDE):
            self.project.on_line(f"{stage}: {line}")


def _turn(stage: str) -> tuple[int, str]:
    """Order stages that could begin at the same time."""
    kind = stage.partition("@")[0]
    place = LONGEST_FIRST.index(kind) if kind in LONGEST_FIRST else len(LONGEST_FIRST)
    return place, stage


def main() -> None:
    """Say what is ahead, and run the stages that are out of date if several may run at once."""
    # Of this process: a batch system or a container gives it fewer than the machine has.
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    with exit_codes():
        forget_half_written_locks(Path())
        expect_whole_results(Path())
        params_file = Path("params.yaml")
        count = lanes(params_file, cores, has_gpu=shutil.which("nvidia-smi") is not None)
        with count_progress() as progress:

            def say(line: str) -> None:
                progress.console.print(line, markup=False, highlight=False, soft_wrap=True)

            project = Dvc(project=Path(), state=STATE, on_line=say)
            announce = announcement(params_file, cores, say)
            if count > 1:
                SideBySide(
                    project, count=count, cores=cores, progress=progress, announce=announce
                ).run()
            elif changed := project.status():  # `dvc repro` runs them, one after another
                graph = project.graph()
                announce(graph, graph.after(changed))


if __name__ == "__main__":
    main()
