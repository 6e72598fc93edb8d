"""Work spread over processes, its results in order, under a progress bar."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

import cv2

from pasam.progress import track

Task = TypeVar("Task")
Result = TypeVar("Result")


def spread(
    work: Callable[[Task], Result], tasks: Sequence[Task], *, workers: int, label: str
) -> Iterator[Result]:
    """Do `work` on every task; the number of processes changes nothing but the time.

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
    with ProcessPoolExecutor(
        min(workers, len(tasks)), mp_context=context, initializer=cv2.setNumThreads, initargs=(1,)
    ) as pool:
        chunk = max(1, min(16, len(tasks) // (4 * workers)))
        yield from track(pool.map(work, tasks, chunksize=chunk), total=len(tasks), label=label)
