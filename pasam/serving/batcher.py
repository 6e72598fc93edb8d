"""A bounded queue with one worker, which takes together what can be done together."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

from pasam.errors import RefusedError

Job = TypeVar("Job")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting(Generic[Job, Answer]):
    job: Job
    answer: Future[Answer]


class Batcher(Generic[Job, Answer]):
    """Do jobs in batches: whatever came in while the last batch was done makes the next one.

    Nothing waits for company: an idle worker starts at once, and under load batches grow.

    Args:
        name: What the queue is called, in messages.
        work: Does a batch, one answer each, in their order.
        most_waiting: Jobs that may wait.
        most: Jobs of one batch.
        most_weight: Sum of weights of one batch; a heavier job goes alone.
        alike: Jobs of one batch have equal keys.
        weigh: The weight of a job.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[Sequence[Job]], Sequence[Answer]],
        *,
        most_waiting: int,
        most: int = 1,
        most_weight: int = 1,
        alike: Callable[[Job], Hashable] = lambda job: None,
        weigh: Callable[[Job], int] = lambda job: 0,
    ) -> None:
        self.name = name
        self._work = work
        self._most_waiting, self._most, self._most_weight = most_waiting, most, most_weight
        self._alike, self._weigh = alike, weigh
        self._queue: deque[_Waiting[Job, Answer]] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._worker = threading.Thread(target=self._run, name=f"pasam {name}", daemon=True)

    def start(self) -> None:
        """Start the worker."""
        self._worker.start()

    def close(self) -> None:
        """Take nothing more, finish what waits, and stop the worker."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._worker.ident is not None:
            self._worker.join()

    @property
    def waiting(self) -> int:
        """Jobs that wait."""
        return len(self._queue)

    def submit(self, jobs: Sequence[Job]) -> list[Future[Answer]]:
        """Queue jobs, all of them or none.

        Raises:
            RefusedError: 429, there is no room now; 413, there never is; 503, it is stopping.
        """
        entries: list[_Waiting[Job, Answer]] = [_Waiting(job, Future()) for job in jobs]
        with self._changed:
            if self._closing:
                raise RefusedError("the service is stopping.", status=503, retry_after=5)
            if len(entries) > self._most_waiting:
                raise RefusedError(
                    f"{len(entries)} {self.name} come at once, where {self._most_waiting} may "
                    "wait. Send fewer together.",
                    status=413,
                )
            if len(self._queue) + len(entries) > self._most_waiting:
                raise RefusedError(
                    f"{len(self._queue)} {self.name} are waiting already, at most "
                    f"{self._most_waiting} may. Try again in a second.",
                    status=429,
                    retry_after=1,
                )
            self._queue.extend(entries)
            self._changed.notify()
        return [entry.answer for entry in entries]

    def _run(self) -> None:
        while batch := self._next():
            self._do([each for each in batch if each.answer.set_running_or_notify_cancel()])

    def _do(self, batch: Sequence[_Waiting[Job, Answer]]) -> None:
        """Do a batch; when it fails, do its jobs one by one, so that each fails for itself."""
        try:
            answers = self._work([each.job for each in batch]) if batch else []
            pairs = list(zip(batch, answers, strict=True))
        except Exception as error:  # noqa: BLE001  (it belongs to the one who waits for it)
            if len(batch) == 1:
                batch[0].answer.set_exception(error)
                return
            for each in batch:
                self._do([each])
            return
        for each, answer in pairs:
            each.answer.set_result(answer)

    def _next(self) -> list[_Waiting[Job, Answer]]:
        """Wait for jobs and take those that go with the oldest; nothing once all is done."""
        with self._changed:
            while not self._queue and not self._closing:
                self._changed.wait()
            batch: list[_Waiting[Job, Answer]] = []
            left: deque[_Waiting[Job, Answer]] = deque()
            weight = 0
            for each in self._queue:
                more = self._weigh(each.job)
                fits = not batch or (
                    len(batch) < self._most
                    and weight + more <= self._most_weight
                    and self._alike(each.job) == self._alike(batch[0].job)
                )
                (batch if fits else left).append(each)
                weight += more if fits else 0
            self._queue = left
            return batch
