"""Work done in several processes, its results in order, and progress bars for terminals."""

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

Item = TypeVar("Item")
Result = TypeVar("Result")


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
        chunk = max(1, min(16, len(items) // (4 * workers)))
        results = pool.map(work, items, chunksize=chunk)
        try:
            yield from progress_bar(results, total=len(items), label=label)
        except BaseException:  # an interruption too; leaving the pool would wait for the work
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            raise


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
