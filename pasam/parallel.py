"""Work spread over processes, its results in order, under a progress bar."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import wait
from typing import TypeVar

import cv2

from pasam.progress import track

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
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)  # from a thread, there is no other way to end the process
