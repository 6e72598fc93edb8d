"""What `make reproduce` runs: trainings side by side, then an ordinary `dvc repro` for the rest.

DVC runs one stage after another, and a small training cannot keep two cores busy. Trainings do not
need each other, and DVC holds its lock of the project only between their commands, so that several
`dvc repro --single-item` get on with each other as long as each waits for that lock. Evaluations
stay one after another: they state times. Where a GPU is at hand a training has it to itself.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from rich.progress import Progress, TaskID

from pasam.config.params_file import load_section
from pasam.config.schema import BaseParams
from pasam.workers import count_progress
from pipelines.dvc import (
    STATE,
    Dvc,
    expect_whole_results,
    failure,
    forget_half_written_locks,
)
from pipelines.process import run_child
from pipelines.stage_runner import exit_codes

TRAININGS = ("train", "repeat", "ablate")
"""Stages that may run beside each other."""
MOST = 4
"""How many at once: each holds about 1 GB, and more gain little on the small base."""
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


def lanes(params_file: Path, cores: int, *, has_gpu: bool) -> int:
    """Say how many trainings may run at once.

    Args:
        params_file: Which base they train on: larger ones than `tiny` fill cores and memory alone.
        cores: How many this process may use.
        has_gpu: Whether trainings run on a GPU.
    """
    base = load_section(BaseParams, "base", params_file)
    return min(cores, MOST) if base.size == "tiny" and not has_gpu else 1


class SideBySide:
    """A project whose trainings share its folder.

    Args:
        project: DVC in the project.
        count: How many trainings at once.
        cores: How many they share.
        progress: Shows how many are done, in a terminal.
    """

    def __init__(self, project: Dvc, *, count: int, cores: int, progress: Progress) -> None:
        self.project, self.count, self.progress = project, count, progress
        self.threads = max(cores // count, 1)
        self.stop = threading.Event()
        self.at_work: list[str] = []

    def run(self) -> None:
        """Run whatever changed, trainings first, with what they need.

        Raises:
            PasamError: A stage failed, or was stopped; the other trainings are stopped too, and go
                on from their saved states next time.
        """
        with self.project.alone():
            trainings, needs = self._trainings()
            if len(trainings) > 1:
                self._train(trainings, needs)

    def _trainings(self) -> tuple[list[str], set[str]]:
        """Name the trainings that are out of date, and what they need."""
        changed = self.project.status()
        if not changed:
            return [], set()
        graph = self.project.graph()
        todo = graph.after(changed)
        found = sorted(stage for stage in todo if stage.partition("@")[0] in TRAININGS)
        return found, {need for stage in found for need in graph.needs[stage] if need in todo}

    def _train(self, trainings: Sequence[str], needs: Collection[str]) -> None:
        if needs:
            self.project.repro(*sorted(needs))
        bar = self.progress.add_task("trainings", total=len(trainings), note="")
        with ThreadPoolExecutor(self.count) as pool:
            waiting: set[Future[str]] = {pool.submit(self._one, stage, bar) for stage in trainings}
            try:
                while waiting:
                    ended, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    for each in ended:
                        done = f"{len(trainings) - len(waiting)} of {len(trainings)} trainings done"
                        self.project.on_line(f"{each.result()}, {done}")
                        self.progress.advance(bar)
            except BaseException:
                self.stop.set()
                pool.shutdown(cancel_futures=True)
                raise

    def _one(self, stage: str, bar: TaskID) -> str:
        """Train one model; return what is said of it, nothing if all are to stop."""
        if self.stop.is_set():
            return stage
        self.at_work.append(stage)
        self.progress.update(bar, note=" and ".join(self.at_work))
        log, began = self.project.state / "logs" / f"{stage}.log", time.monotonic()
        command = ["dvc", "--wait-for-lock", "repro", "--single-item", stage]
        code = run_child(
            [sys.executable, "-m", *command], cwd=self.project.project, log=log,
            on_line=lambda line: self._show(stage, line), stop=self.stop,
            env={**self.project.environment(), "OMP_NUM_THREADS": str(self.threads)},
        )  # fmt: skip
        self.at_work.remove(stage)
        if code:
            text = log.read_text(encoding="utf-8", errors="replace")
            raise failure(" ".join(command), code, text, log)
        return f"{stage}: {time.monotonic() - began:.0f} s"

    def _show(self, stage: str, line: str) -> None:
        if not line.lstrip().startswith(_ASIDE):
            self.project.on_line(f"{stage}: {line}")


def main() -> None:
    """Run the trainings that are out of date, if several may run at once."""
    # Of this process: a batch system or a container gives it fewer than the machine has.
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    with exit_codes():
        forget_half_written_locks(Path())
        expect_whole_results(Path())
        count = lanes(Path("params.yaml"), cores, has_gpu=shutil.which("nvidia-smi") is not None)
        if count > 1:
            with count_progress() as progress:

                def say(line: str) -> None:
                    progress.console.print(line, markup=False, highlight=False, soft_wrap=True)

                project = Dvc(project=Path(), state=STATE, on_line=say)
                SideBySide(project, count=count, cores=cores, progress=progress).run()


if __name__ == "__main__":
    main()
