"""Flow `fan_out`: stages that do not need each other run at the same time, each in its own clone.

DVC locks a project while one of its stages runs, so a second one needs a second folder. A worker
has a clone of the project as it stands, uncommitted changes included, and shares DVC's cache with
it. It runs one stage (`dvc repro --single-item`) and hands the stage's record for `dvc.lock` back.
In the end an ordinary `dvc repro` restores every output from the cache and runs nothing.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from filelock import FileLock

from pasam.cli.doctor import PLACES
from pasam.config.three_way import merge_lock
from pasam.errors import DataError, ParamsError, StageError
from pasam.files import write_text
from pasam.registry.snapshot import LOCK
from pipelines.dvc import STATE, TRANSIENT, Dvc, Graph, failure
from pipelines.flows.engine import Outcome, log, task
from pipelines.flows.publishing import in_git, present_commit
from pipelines.flows.reproduce import dvc, fetch, run_groups
from pipelines.process import GRACE, end_group, guarded

CLONES = STATE / "workers"
UNTRACKED = (PLACES.catalogue, PLACES.archives)
"""What stages read and neither git nor DVC brings to a clone: fetched sets. Linked into it."""
TRIES = 10
"""How often a stage is given out again whose worker was killed or met a transient error."""
_PAUSE = 0.2
_KILLED = (-9, 137)
_EXITED = re.compile(r"exited with (-?\d+)")


@dataclass
class Worker:
    """One clone, and the stage that it is at."""

    folder: Path
    gpu: int | None
    stage: str = ""
    process: subprocess.Popen[bytes] | None = None
    log: Path = Path()
    base: str = ""
    """The text of `dvc.lock` that the stage began with."""
    since: float = 0.0
    guards: ExitStack = field(default_factory=ExitStack)


def fan_out(
    *,
    workers: int = 2,
    gpus: int = 0,
    pull: bool = False,
    hours: float = 24.0,
    notify: str | None = None,
) -> Outcome:
    """Run whatever changed, stages that do not need each other at the same time.

    Args:
        workers: How many stages at once, if no GPUs are given out.
        gpus: How many GPUs; that many stages run at once, each sees one of them.
        pull: Bring what the DVC remote has first.
        hours: Longest time of one stage.
        notify: Who is told of a failure, as for `reproduce`.
    """
    if workers < 1 or gpus < 0:
        raise ParamsError(
            f"workers is {workers} and gpus {gpus}; expected at least one worker, and no fewer "
            "than 0 GPUs."
        )
    with dvc(hours).alone():
        if pull:
            fetch(hours)
        count = run_apart(gpus or workers, gpus, hours)
        run_groups(hours)
    return Outcome("reproduced", f"{count} stages ran in {gpus or workers} clones of the project.")


@task("run stages in {workers} clones")
def run_apart(workers: int, gpus: int, hours: float) -> int:
    """Give every stage that is out of date to a worker, and take its record over.

    Returns:
        How many stages were given out.
    """
    project = dvc(hours)
    return Apart(project, hours=hours).run(workers, gpus)


def stage_apart(
    *,
    stage: str,
    clone: str = "",
    remote: bool = False,
    hours: float = 24.0,
    notify: str | None = None,
) -> Outcome:
    """Run one stage in a clone of the project, as one of several jobs on one or many machines.

    What it needs has to be up to date. Several of them may work for one project at once; when all
    have ended, `dvc repro` restores what they made.

    Args:
        stage: Its name, `train@pa_sam` for one.
        clone: Folder of the clone, which is taken away at the end; by default in `.flows`.
        remote: Bring what it needs from DVC's remote, and what it made back, run cache included.
        hours: Longest time of the stage.
        notify: Who is told of a failure, as for `reproduce`.
    """
    apart = Apart(dvc(hours), hours=hours)
    graph = apart.project.graph()
    if stage not in graph.needs:
        raise ParamsError(f"there is no stage {stage!r}. Known stages: {sorted(graph.needs)}.")
    folder = Path(clone) if clone else CLONES / re.sub(r"[^\w@.]+", "-", stage)
    with apart.clones([folder.resolve()]) as (worker,):
        is_done = False
        while not is_done:
            apart.start(worker, stage, graph, remote=remote)
            apart.wait(worker)
            is_done = apart.finish(worker, remote=remote)
    return Outcome("reproduced", f"Stage {stage} ran; its record is in {LOCK}.")


class Apart:
    """A project whose stages run in clones of it.

    Args:
        project: DVC in the project.
        hours: Longest time of one stage.
    """

    def __init__(self, project: Dvc, *, hours: float) -> None:
        self.project, self.root = project, project.project.resolve()
        self.seconds = hours * 3600
        self.tries: dict[str, int] = {}

    def run(self, count: int, gpus: int) -> int:
        """Run what is out of date in so many clones; the arguments are those of `run_apart`."""
        changed = self.project.status()
        graph = self.project.graph()
        if tracked := [name for name in changed if name.endswith(".dvc")]:
            raise DataError(
                f"{', '.join(tracked)}: the files differ from those that DVC knows, and a clone "
                "would have those. `dvc commit` to keep them, or `dvc checkout` to go back."
            )
        todo = graph.after(changed)
        log(f"{len(todo)} stages to give out: {', '.join(sorted(todo)) or 'none'}")
        given = len(todo)
        if not todo:
            return 0
        folders = [self.root / CLONES / str(number) for number in range(min(count, given))]
        with self.clones(folders, gpus) as free:
            busy: list[Worker] = []
            try:
                while todo or busy:
                    at_work = {worker.stage for worker in busy}
                    ready = (s for s in sorted(todo - at_work) if not graph.needs[s] & todo)
                    for stage, worker in zip(list(ready), list(free), strict=False):
                        free.remove(worker)
                        self.start(worker, stage, graph)
                        busy.append(worker)
                    time.sleep(_PAUSE)
                    for worker in [w for w in busy if w.process and w.process.poll() is not None]:
                        busy.remove(worker)
                        if self.finish(worker):
                            todo.discard(worker.stage)
                        free.append(worker)
                    self._end_late_ones(busy)
            finally:
                for worker in busy:
                    self._stop(worker)
        return given

    def _commit(self) -> str:
        """Name a commit of the tree as it stands, made without touching branch or index.

        Raises:
            DataError: There are files that git neither knows nor ignores: a clone lacks them.
        """
        found = in_git("ls-files", "--others", "--exclude-standard", "-z", folder=self.root)
        # The lock is a first run's, which is brought along.
        new = [name for name in found.split("\0") if name not in ("", LOCK)]
        if new:
            raise DataError(
                f"git does not know {len(new)} files, {new[0]} for one, so that a clone would "
                "lack them. `git add` them, or have git ignore them."
            )
        return present_commit()

    @contextmanager
    def clones(self, folders: Sequence[Path], gpus: int = 0) -> Iterator[list[Worker]]:
        """Make clones of the tree as it stands, and take them away at the end.

        Args:
            folders: Where; whatever is there is taken away first.
            gpus: Whether each sees one GPU only, by its number.

        Raises:
            DataError: A clone would lack files.
        """
        with self._lock_at_rest():
            commit = self._commit()
        cache = self.project.cache_folder().resolve()
        private = self.root / ".dvc" / "config.local"
        in_root = partial(in_git, folder=self.root)
        made = []
        try:
            for number, clone in enumerate(folders):
                shutil.rmtree(clone, ignore_errors=True)
                in_root("clone", "--quiet", "--shared", "--no-checkout", ".", str(clone))
                in_root("-C", str(clone), "checkout", "--quiet", "--detach", commit)
                if private.exists():
                    shutil.copy(private, clone / ".dvc" / "config.local")
                self._dvc(clone, "config", "--local", "cache.dir", str(cache))
                for path in UNTRACKED:
                    if (self.root / path).exists() and not (clone / path).exists():
                        (clone / path).parent.mkdir(parents=True, exist_ok=True)
                        (clone / path).symlink_to(self.root / path)
                made.append(Worker(clone, number if gpus else None))
            yield made
        finally:
            for clone in folders:
                shutil.rmtree(clone, ignore_errors=True)
            with suppress(OSError):  # others' clones are in it, or it was never made
                (self.root / CLONES).rmdir()

    def start(self, worker: Worker, stage: str, graph: Graph, *, remote: bool = False) -> None:
        """Have a clone run a stage, with what it needs beside it."""
        lock = self.root / LOCK
        worker.stage = stage
        worker.base = lock.read_text(encoding="utf-8") if lock.exists() else ""
        if worker.base:
            write_text(worker.folder / LOCK, worker.base)
        for left in ("lock", "rwlock", "rwlock.lock"):  # of a worker that was killed
            (worker.folder / ".dvc" / "tmp" / left).unlink(missing_ok=True)
        tracked = in_git("ls-files", "-z", "*.dvc", folder=self.root).split("\0")
        wanted = [*sorted(graph.needs[stage]), *(name for name in tracked if name)]
        if wanted:
            how = "pull" if remote else "checkout"
            self._dvc(worker.folder, how, "--quiet", "--force", "--allow-missing", *wanted)
        name = re.sub(r"[^\w@.]+", "-", stage)
        worker.log = self.project.state / "logs" / f"fan_out-{name}.log"
        worker.log.parent.mkdir(parents=True, exist_ok=True)
        visible = {} if worker.gpu is None else {"CUDA_VISIBLE_DEVICES": str(worker.gpu)}
        with worker.log.open("wb") as output:
            worker.process = subprocess.Popen(
                [sys.executable, "-m", "dvc", "repro", "--single-item", stage],
                cwd=worker.folder, env={**self.project.environment(), **visible},
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
        worker.since = time.monotonic()
        worker.guards = ExitStack()
        worker.guards.enter_context(guarded(worker.process.pid, GRACE))
        self.tries[stage] = self.tries.get(stage, 0) + 1
        log(f"{stage}: given to clone {worker.folder.name}")

    def finish(self, worker: Worker, *, remote: bool = False) -> bool:
        """Take over what a worker made; False if its stage is to be given out again."""
        assert worker.process is not None
        code = worker.process.returncode
        self._stop(worker)
        text = worker.log.read_text(encoding="utf-8", errors="replace")
        if code == 0:
            if remote:
                self._dvc(worker.folder, "push", "--quiet", "--run-cache", worker.stage)
            self._take_over(worker)
            log(f"{worker.stage}: done in clone {worker.folder.name}")
            return True
        codes = {code, *map(int, _EXITED.findall(text)[-1:])}
        if codes & {*_KILLED, TRANSIENT} and self.tries[worker.stage] <= TRIES:
            log(f"{worker.stage}: its worker ended with {sorted(codes)}; given out again")
            return False
        raise failure(f"dvc repro --single-item {worker.stage}", code, text, worker.log)

    def _take_over(self, worker: Worker) -> None:
        lock = self.root / LOCK
        made = (worker.folder / LOCK).read_text(encoding="utf-8")
        with self._lock_at_rest():  # elements of an array end together
            now = lock.read_text(encoding="utf-8") if lock.exists() else ""
            write_text(lock, merge_lock(worker.base, now, made, LOCK).ours)

    def _lock_at_rest(self) -> FileLock:
        """Keep others from writing `dvc.lock`; its draft is a file that git does not know."""
        self.project.state.mkdir(parents=True, exist_ok=True)
        return FileLock(self.project.state / "take_over.lock")

    def wait(self, worker: Worker) -> None:
        """Wait for a worker's end, however this is interrupted."""
        try:
            while worker.process and worker.process.poll() is None:
                time.sleep(_PAUSE)
                self._end_late_ones([worker])
        except BaseException:
            self._stop(worker)
            raise

    def _end_late_ones(self, busy: list[Worker]) -> None:
        for worker in busy:
            if worker.process and time.monotonic() - worker.since > self.seconds:
                self._stop(worker)
                raise StageError(
                    f"stage {worker.stage} took longer than {self.seconds / 3600:g} h in its clone "
                    f"and was stopped. Its log: {worker.log}. Allow more `hours` if it needs more.",
                    exit_code=143,
                )

    def _stop(self, worker: Worker) -> None:
        if worker.process is not None:
            end_group(worker.process, GRACE)
            worker.guards.close()
            worker.process = None

    def _dvc(self, folder: Path, *arguments: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "dvc", *arguments], cwd=folder, capture_output=True, text=True,
            check=False, env=self.project.environment(),
        )  # fmt: skip
        if done.returncode:
            raise failure(f"dvc {arguments[0]}", done.returncode, done.stdout + done.stderr, folder)
