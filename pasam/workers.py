"""Work spread over processes, its results in order, under a progress bar."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import wait
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Task as ProgressTask
from rich.text import Text

# --- progress: A progress bar with rate and time left on terminals, silence elsewhere.

T = TypeVar("T")


class _Rate(ProgressColumn):
    """Items per second."""

    def render(self, task: ProgressTask) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f}/s", style="progress.data.speed")


def bar(console: Console | None = None) -> Progress:
    """Make a bar that writes to standard error and shows itself on terminals only."""
    console = console or Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        disable=not console.is_terminal,
    )


def track(items: Iterable[T], *, total: int, label: str) -> Iterator[T]:
    """Pass items through and show how many have passed.

    Args:
        items: What is worked through.
        total: How many there are.
        label: What they are.
    """
    with bar() as progress:
        task = progress.add_task(label, total=total, note="")
        for item in items:
            yield item
            progress.advance(task)


# --- parallel: Work spread over processes, its results in order, under a progress bar.

Task = TypeVar("Task")
Result = TypeVar("Result")


def spread(
    work: Callable[[Task], Result], tasks: Sequence[Task], *, workers: int, label: str
) -> Iterator[Result]:
    """Do `work` on every task; the number of processes changes nothing but the time.

    The processes end with this one, however that ends, and as soon as something is raised here.

    Args:
        work: A function that other processes can import.
        tasks: Its arguments.
        workers: Processes; with one, all happens in this one.
        label: What the progress bar says.

    Yields:
        The results, in the order of the tasks.
    """
    if workers < 2 or len(tasks) < 2:
        yield from track(map(work, tasks), total=len(tasks), label=label)
        return
    context = multiprocessing.get_context("spawn")  # forking is unsafe beside other threads
    others = set(multiprocessing.active_children())
    with ProcessPoolExecutor(
        min(workers, len(tasks)), mp_context=context, initializer=_begin
    ) as pool:
        chunk = max(1, min(16, len(tasks) // (4 * workers)))
        try:
            yield from track(pool.map(work, tasks, chunksize=chunk), total=len(tasks), label=label)
        except BaseException:  # an interruption too; leaving the pool would wait for the work
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            raise


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
