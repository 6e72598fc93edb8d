"""Work done in several processes, its results in order, and progress bars for terminals.

`parallel_map` starts processes for one function, `threads_ahead` threads beside what this one does.
A `ProcessGroup` is the same command started several times, each doing its share: by a launcher
(`torchrun`, `srun`), on one machine or on many, or by `run_together`, on this one.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Literal, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from pasam.errors import ParamsError

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """The processes that share the work of one command, seen from one of them."""

    rank: int = 0
    """Which this is, on all machines together; 0 writes the results."""
    size: int = 1
    """How many there are."""
    local_rank: int = 0
    """Which this is on its machine."""
    local_size: int = 1
    """How many there are on its machine."""

    def join(self) -> None:
        """Find the others; all have to call it.

        The first `gather` would do so, too, but hours later, and by then the port on which they
        meet may be somebody else's.
        """
        if self.size > 1:
            _gloo()

    def workers(self, machine: int) -> int:
        """Return how many of a machine's workers this process may start, at least one."""
        return max(1, machine // self.local_size)

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """Return this process's part: those of all processes, by rank, are the items in order."""
        first, end = (len(items) * rank // self.size for rank in (self.rank, self.rank + 1))
        return items[first:end]

    def gather(self, found: Sequence[Item]) -> list[Item]:
        """Bring together what every process has found; all have to call it.

        Returns:
            Everything, by rank, in the first process; nothing in the others.
        """
        if self.size == 1:
            return list(found)
        import torch.distributed as dist  # two seconds, which a process alone need not wait

        parts: list[Any] | None = None if self.rank else [None] * self.size
        dist.gather_object(list(found), parts, group=_gloo())
        return [item for part in parts or [] for item in part]


_LONGEST_WAIT = timedelta(days=1)
"""For the slowest share; of a process that has died the others hear at once."""


@functools.cache
def _gloo() -> Any:
    """Connect the processes. Not by NCCL, which needs a GPU in each and may have trained before."""
    import torch.distributed as dist

    if not dist.is_initialized():
        dist.init_process_group("gloo", timeout=_LONGEST_WAIT)
        return dist.group.WORLD
    return dist.new_group(backend="gloo", timeout=_LONGEST_WAIT)


ALONE = ProcessGroup()


def started_group() -> ProcessGroup:
    """Read from the environment which processes were started together, as `torchrun` says it."""
    rank, size, local = (
        int(os.environ.get(name, default))
        for name, default in (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"))
    )
    return ProcessGroup(rank, size, local, int(os.environ.get("LOCAL_WORLD_SIZE", size)))


_SRUN = "srun"
_FIRST_PORT, _PORTS = 15_000, 10_000
"""Ports below those that systems give to whoever asks for any."""


def adopt_srun() -> None:
    """Give the tasks of one `srun` the names by which processes of `torchrun` know each other.

    What a job may have (SLURM_NTASKS) is not what runs: a shell within a job is one process. Nor
    does a step of one task need this: it starts its processes itself, as without SLURM.

    Raises:
        ParamsError: The machines have unequal numbers of tasks.
    """
    tasks = os.environ.get("SLURM_STEP_NUM_TASKS", "1")
    if tasks == "1" or "WORLD_SIZE" in os.environ:  # each task may be a torchrun
        return
    counts = re.findall(r"(\d+)(?:\(x\d+\))?", os.environ.get("SLURM_STEP_TASKS_PER_NODE", tasks))
    if len(set(counts)) > 1:
        raise ParamsError(
            f"srun has started {' and '.join(counts)} tasks on its machines "
            "(SLURM_STEP_TASKS_PER_NODE); expected as many on each. Set --ntasks-per-node."
        )
    first = re.sub(r"\[([^],-]+)[^]]*\]", r"\1", os.environ.get("SLURM_STEP_NODELIST", "127.0.0.1"))
    step = 100 * int(os.environ.get("SLURM_JOB_ID", "0")) + int(
        os.environ.get("SLURM_STEP_ID", "0")
    )
    os.environ.setdefault("MASTER_ADDR", first.partition(",")[0])
    os.environ.setdefault("MASTER_PORT", str(_FIRST_PORT + step % _PORTS))
    os.environ.update(
        RANK=os.environ["SLURM_PROCID"], LOCAL_RANK=os.environ["SLURM_LOCALID"],
        GROUP_RANK=os.environ.get("SLURM_NODEID", "0"), WORLD_SIZE=tasks,
        LOCAL_WORLD_SIZE=counts[0], TORCHELASTIC_RUN_ID=_SRUN,
    )  # fmt: skip


def require_fitting_launch(key: str, devices: int | Literal["auto"], nodes: int | None) -> None:
    """Refuse processes that a launcher has started in other numbers than the params say.

    Each would wait for others that never come, or do all the work, into the same files.

    Args:
        key: The section's place in the params file.
        devices: Its processes on each machine; `auto` fits any number.
        nodes: Its machines; None where any number shares the work.

    Raises:
        ParamsError: There are more or fewer.
    """
    started = os.environ.get("WORLD_SIZE")
    if started is None:
        return
    by_srun = os.environ.get("TORCHELASTIC_RUN_ID") == _SRUN
    tasks, size, local = (
        ("tasks", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_TASKS_PER_NODE")
        if by_srun
        else ("processes", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
    )
    alone = "by `srun --ntasks=1`" if by_srun else "without torchrun"
    advice = f"or start the stage once, {alone}: it starts its processes itself."
    if nodes is not None and devices != "auto" and int(started) != devices * nodes:
        raise ParamsError(
            f"{started} {tasks} were started ({size}), but {key}.devices {devices} on {key}.nodes "
            f"{nodes} are {devices * nodes}. Set both to what is launched, for example `torchrun "
            f"--nnodes <{key}.nodes> --nproc-per-node <{key}.devices>`, {advice}"
        )
    here = int(os.environ.get("LOCAL_WORLD_SIZE", int(started) // (nodes or 1)))
    if devices not in ("auto", here):
        raise ParamsError(
            f"{here} {tasks} were started on this machine ({local}), but {key}.devices is "
            f"{devices}. Set it to what is launched{'' if nodes else ' or to auto'}, {advice}"
        )


def require_devices(key: str, accelerator: str, devices: int | Literal["auto"]) -> None:
    """Refuse GPUs that are not here, before anything is loaded.

    Args:
        key: The section's place in the params file.
        accelerator: Its `accelerator`: `cpu`, `gpu`, or `auto`, a GPU where there is one.
        devices: Processes on this machine, each with a GPU of its own; `auto` is as many as fit.

    Raises:
        ParamsError: There is no GPU, or fewer than processes.
    """
    if accelerator == "cpu":
        return
    import torch

    gpus = torch.cuda.device_count()
    if accelerator == "gpu" and not gpus and not torch.backends.mps.is_available():
        without = "" if torch.version.cuda else "; this torch is one for CPUs"
        raise ParamsError(
            f"{key}.accelerator is gpu, and there is no GPU that torch can use here{without}. Set "
            "it to cpu, or to auto, which takes a GPU where there is one."
        )
    if gpus and devices != "auto" and devices > gpus:
        raise ParamsError(
            f"{key}.devices is {devices}, and there are {gpus} GPUs that torch can use here, one "
            f"for each process. Set it to {gpus} or fewer, or {key}.accelerator to cpu."
        )


def devices_here(accelerator: str) -> int:
    """Count what `devices: auto` stands for: this machine's GPUs, or one where none is used."""
    if accelerator == "cpu":
        return 1
    import torch

    return max(1, torch.cuda.device_count())


LAST_WORD = "PASAM_LAST_WORD"
"""Variable of the processes of `run_together`: the file for what has ended the first to fail."""
_LISTENING = "PASAM_LISTENING"
"""Variable of the first of them: the file descriptor of the socket on which all of them meet."""
GRACE = 15.0
"""Seconds from TERM to KILL; whoever ends the process that calls `run_together` gives it more."""
_LOOK = 0.05
_SHOWN = 4000


def leave_word(code: int, line: str) -> bool:
    """Leave what ends this process to the one that has started it, which says it once for all.

    The first to fail has met the cause. What others fail of is often that they have lost it.

    Args:
        code: The exit code.
        line: What a person is to read.

    Returns:
        Whether there is such a process; else the line is for this one to say.
    """
    place = os.environ.get(LAST_WORD)
    if place is None:
        return False
    with suppress(FileExistsError), Path(place).open("x", encoding="utf-8") as file:
        file.write(f"{code} {line}")
    return True


def run_together(command: Sequence[str], count: int, *, grace: float = GRACE) -> tuple[int, str]:
    """Start a command several times on this machine, as one group, and wait for the end of all.

    Which of them it is each reads from the environment, by the names that torchrun gives. Only the
    first one speaks: each does the same. Where one fails the others are ended, and so are all when
    this process is interrupted, in whose main thread this has to be called.

    It is not torchrun that starts them: its processes are sessions of their own, which the end of
    this process's group does not reach, it always ends with code 1, and it tells one error in many
    lines, for every process.

    Args:
        command: Program and arguments.
        count: How many processes.
        grace: Seconds between TERM and KILL.

    Returns:
        The exit code of the first process that failed, and what is left to say of it; 0 and nothing
        where all ended well.
    """
    with tempfile.TemporaryDirectory(prefix="pasam-") as place:
        folder, running = Path(place), list[subprocess.Popen[bytes]]()
        try:
            # The first process holds its port from its first moment: it may need it hours later.
            with socket.create_server(("127.0.0.1", 0)) as meeting:
                for rank in range(count):
                    running.append(_start(command, rank, count, meeting, folder))
            failed = _first_to_fail(running)
            has_word = _word(folder).exists()  # one that comes later tells of the end of others
        finally:
            _end(running, grace)
        return _why(failed, running, folder, has_word=has_word) if failed else (0, "")


def _start(
    command: Sequence[str], rank: int, count: int, meeting: socket.socket, folder: Path
) -> subprocess.Popen[bytes]:
    """Start one of several processes; what others than the first say goes into a file."""
    port = meeting.getsockname()[1]
    own = {
        "RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0, "WORLD_SIZE": count,
        "LOCAL_WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
        # By this name Fabric knows that its processes are there, and asks SLURM nothing.
        "TORCHELASTIC_RUN_ID": "together", LAST_WORD: _word(folder),
    }  # fmt: skip
    threads = max(1, (os.cpu_count() or 1) // count)
    env = {"OMP_NUM_THREADS": str(threads), **os.environ, **{k: str(v) for k, v in own.items()}}
    # A terminal tells the whole group of Ctrl-C. It is for this process, which then ends them.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        if rank == 0:
            env[_LISTENING] = str(meeting.fileno())
            return subprocess.Popen(command, env=env, pass_fds=[meeting.fileno()])
        with _said(folder, rank).open("wb") as said:
            return subprocess.Popen(
                command, env=env, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT
            )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _word(folder: Path) -> Path:
    return folder / "word"


def _said(folder: Path, rank: int) -> Path:
    return folder / f"said-{rank}"


def _first_to_fail(running: Sequence[subprocess.Popen[bytes]]) -> list[int]:
    """Wait until all have ended well, or some badly; return which those are."""
    while True:
        codes = [process.poll() for process in running]
        failed = [rank for rank, code in enumerate(codes) if code]
        if failed or None not in codes:
            return failed
        time.sleep(_LOOK)


def _end(running: Sequence[subprocess.Popen[bytes]], grace: float) -> None:
    """End what still runs. Another TERM changes nothing; another Ctrl-C ends the grace."""
    left = [process for process in running if process.poll() is None]
    if not left:
        return
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    deadline = time.monotonic() + grace
    try:
        for process in left:
            process.terminate()
        for process in left:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
    finally:
        for process in left:
            process.kill()  # nothing, where it has ended
            process.wait()
        signal.signal(signal.SIGTERM, before)


def _why(
    failed: Sequence[int], running: Sequence[subprocess.Popen[bytes]], folder: Path, *,
    has_word: bool,
) -> tuple[int, str]:  # fmt: skip
    """Say what has gone wrong first; the others have only lost the one that it happened to."""
    killed = next((rank for rank in failed if running[rank].returncode < 0), None)
    if killed is None and has_word:
        code, _, line = _word(folder).read_text(encoding="utf-8").partition(" ")
        return int(code), line
    first = failed[0] if killed is None else killed
    said = _said(folder, first)
    tail = said.read_bytes()[-_SHOWN:].decode(errors="replace") if said.exists() else ""
    if killed is None:
        return running[first].returncode, tail
    number = -running[first].returncode
    line = f"error: process {first + 1} of {len(running)} was ended by "
    if number == signal.SIGKILL:
        return 128 + number, (
            f"{line}SIGKILL; if nobody has done so, this machine's memory may not hold so many: "
            "set fewer devices.\n"
        )
    return 128 + number, f"{tail}{line}{signal.Signals(number).name}.\n"


def open_meeting() -> None:
    """Let the processes of `run_together` meet on the port that is held for them.

    To be called in each of them, before anything takes time; in others it does nothing.
    """
    listening = os.environ.pop(_LISTENING, None)
    if listening is not None:
        _store(int(os.environ["MASTER_PORT"]), int(listening))
        os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "True"  # this process, too, only joins it


@functools.cache
def _store(port: int, listening: int) -> Any:
    """Answer, as long as this process lives, whoever looks for the others on a listening socket."""
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    os.set_inheritable(listening, False)
    return TCPStore(
        "127.0.0.1", port, is_master=True, wait_for_workers=False, master_listen_fd=listening
    )


def parallel_map(
    work: Callable[[Item], Result], items: Sequence[Item], *, workers: int, label: str
) -> Iterator[Result]:
    """Do `work` on every item; the number of processes changes nothing but the time.

    The processes end with this one, however that ends, and as soon as something is raised here.

    Args:
        work: A function that other processes can import.
        items: Its arguments.
        workers: Processes; with one, all happens in this one.
        label: What the progress bar says.

    Yields:
        The results, in the order of the items.
    """
    if workers < 2 or len(items) < 2:
        yield from progress_bar(map(work, items), total=len(items), label=label)
        return
    context = multiprocessing.get_context("spawn")  # forking is unsafe beside other threads
    others = set(multiprocessing.active_children())
    with ProcessPoolExecutor(
        min(workers, len(items)), mp_context=context, initializer=_begin
    ) as pool:
        size = max(1, min(16, len(items) // (4 * workers)))
        chunks = [items[first : first + size] for first in range(0, len(items), size)]
        results = _some_ahead(pool, work, chunks, ahead=2 * workers)
        try:
            yield from progress_bar(results, total=len(items), label=label)
        except BaseException:  # an interruption too; leaving the pool would wait for the work
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            raise


def _some_ahead(
    pool: ProcessPoolExecutor,
    work: Callable[[Item], Result],
    chunks: Sequence[Sequence[Item]],
    *,
    ahead: int,
) -> Iterator[Result]:
    """Work on a few chunks more than are asked for: the results of all might not fit the memory."""
    waiting: deque[Future[list[Result]]] = deque()
    for chunk in chunks:
        waiting.append(pool.submit(_each, work, chunk))
        if len(waiting) > ahead:
            yield from waiting.popleft().result()
    while waiting:
        yield from waiting.popleft().result()


def threads_ahead(
    work: Callable[[Item], Result], items: Iterable[Item], *, threads: int
) -> Iterator[Result]:
    """Do `work` on items as they come, in threads, while the next items are made here.

    What a thread does has to let the others run meanwhile, as OpenCV and numpy do. A few items are
    ahead of the results, no more: they might not fit the memory.

    Args:
        work: What is done with an item.
        items: Its arguments; they are made in this thread.
        threads: How many; with none all happens here, each item only when it is asked for.

    Yields:
        The results, in the order of the items.
    """
    if not threads:
        yield from map(work, items)
        return
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:  # what has not begun need not, where something was raised
            pool.shutdown(cancel_futures=True)


def _each(work: Callable[[Item], Result], chunk: Sequence[Item]) -> list[Result]:
    return [work(item) for item in chunk]


def progress_bar(items: Iterable[Item], *, total: int, label: str) -> Iterator[Item]:
    """Pass items through and show how many have passed.

    Args:
        items: What is worked through.
        total: How many there are.
        label: What they are.
    """
    with count_progress() as progress:
        task = progress.add_task(label, total=total, note="")
        for item in items:
            yield item
            progress.advance(task)


def count_progress(console: Console | None = None) -> Progress:
    """Make bars that count things, each with a `note`; silence outside terminals."""
    columns = (BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    return _on_terminals(console, *columns, TextColumn("{task.fields[note]}"))


def byte_progress(console: Console | None = None) -> Progress:
    """Make bars that count bytes, one for each transfer; silence outside terminals."""
    return _on_terminals(
        console, BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    )


class _Rate(ProgressColumn):
    """Items per second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f}/s", style="progress.data.speed")


def _on_terminals(console: Console | None, *columns: ProgressColumn) -> Progress:
    console = console or Console(stderr=True)  # standard output is for results
    label = TextColumn("{task.description}")
    return Progress(label, *columns, console=console, disable=not console.is_terminal)


@contextmanager
def loading_processes(count: int) -> Iterator[None]:
    """Keep OpenCV to one thread in processes that are forked off in the block, if there are any.

    Each of them would take all cores. And told so only after the fork, it would wait for ever for
    the threads of a pool that only this process has; so this process has one thread meanwhile.

    Args:
        count: How many processes load data; with none, this one does it, as fast as it can.
    """
    if not count:
        yield
        return
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _begin() -> None:
    """Prepare one of the processes: one thread for OpenCV, and an end with the parent."""
    import cv2  # half a second, which only the workers need

    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)  # from a thread, there is no other way to end the process
