"""The bounded queue with one worker."""

from __future__ import annotations

import threading

import pytest

from pasam.errors import RefusedError
from pasam.serving.jobs import Batcher


class Bench:
    """A worker that waits to be let go, and notes its batches."""

    def __init__(self, **options):
        self.go, self.begun, self.batches = threading.Event(), threading.Event(), []
        self.batcher = Batcher("jobs", self.work, **{"most_waiting": 8, "most": 4} | options)

    def work(self, jobs):
        self.begun.set()
        assert self.go.wait(10)
        self.batches.append(list(jobs))
        if "bad" in jobs:
            raise ValueError("bad")
        return [str(job) for job in jobs]

    def busy(self):
        """Start it with a job in hand, so that what follows has to wait."""
        self.batcher.start()
        first = self.batcher.submit([0])
        assert self.begun.wait(10)
        return first


def test_what_came_in_meanwhile_is_done_together_in_its_order():
    bench = Bench(most_weight=100)
    first = bench.busy()
    rest = bench.batcher.submit([1, 2]) + bench.batcher.submit([3, 4, 5])
    bench.go.set()
    assert [each.result(10) for each in first + rest] == list("012345")
    assert bench.batches == [[0], [1, 2, 3, 4], [5]]
    bench.batcher.close()


def test_only_like_jobs_share_a_batch_and_weight_bounds_it():
    bench = Bench(alike=lambda job: job % 2, weigh=lambda job: job, most_weight=8)
    bench.busy()
    rest = bench.batcher.submit([1, 2, 3, 5, 4, 90])
    bench.go.set()
    for each in rest:
        each.result(10)
    assert bench.batches == [[0], [1, 3], [2, 4], [5], [90]]
    bench.batcher.close()


def test_a_full_queue_refuses_all_of_a_request_or_nothing():
    bench = Bench()
    bench.busy()
    bench.batcher.submit([1] * 6)
    with pytest.raises(RefusedError, match="6 jobs are waiting already, at most 8") as full:
        bench.batcher.submit([2] * 3)
    assert (full.value.status, full.value.retry_after) == (429, 1)
    assert bench.batcher.waiting == 6
    with pytest.raises(RefusedError, match="9 jobs come at once") as never:
        bench.batcher.submit([2] * 9)
    assert never.value.status == 413
    bench.go.set()
    bench.batcher.close()


def test_a_job_that_fails_fails_alone():
    bench = Bench(most_weight=100)
    bench.busy()
    good, bad, after = bench.batcher.submit([1, "bad", 3])
    bench.go.set()
    assert (good.result(10), after.result(10)) == ("1", "3")
    with pytest.raises(ValueError, match="bad"):
        bad.result(10)
    bench.batcher.close()


def test_closing_finishes_what_waits_and_takes_nothing_more():
    bench = Bench(most_weight=100)
    bench.busy()
    rest = bench.batcher.submit([1, 2])
    bench.go.set()
    bench.batcher.close()
    assert [each.result(0) for each in rest] == ["1", "2"]
    with pytest.raises(RefusedError, match="stopping") as late:
        bench.batcher.submit([3])
    assert late.value.status == 503


def test_a_job_that_nobody_waits_for_is_not_done():
    bench = Bench(most_weight=100)
    bench.busy()
    gone, kept = bench.batcher.submit([1, 2])
    assert gone.cancel()
    bench.go.set()
    assert kept.result(10) == "2"
    assert bench.batches == [[0], [2]]
    bench.batcher.close()
