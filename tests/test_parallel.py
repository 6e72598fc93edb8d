"""Work that is spread gives the same results in the same order."""

import math
import os
import signal
import subprocess
import sys

import psutil
import pytest

from pasam.workers import spread

# Other processes must be able to import the work: builtins and the standard library are.
WHO_AM_I = "__import__('os').getpid()"


def test_one_process_works_here_and_in_order():
    assert list(spread(eval, [WHO_AM_I, "2 + 3"], workers=1, label="")) == [os.getpid(), 5]


def test_two_processes_work_elsewhere_and_in_order():
    found = list(spread(eval, ["0", WHO_AM_I, "2"], workers=2, label=""))
    assert (found[0], found[2]) == (0, 2)
    assert found[1] != os.getpid()


def test_a_single_task_is_not_worth_a_process():
    assert list(spread(eval, [WHO_AM_I], workers=2, label="")) == [os.getpid()]


def test_nothing_to_do_gives_nothing():
    assert list(spread(math.sqrt, [], workers=2, label="")) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_the_work_reaches_the_caller(workers):
    with pytest.raises(ValueError, match="math domain error"):
        list(spread(math.sqrt, [4.0, -1.0], workers=workers, label=""))


def test_results_come_as_they_are_asked_for():
    results = spread(math.sqrt, [4.0, -1.0], workers=1, label="")
    assert next(results) == 2


PROGRAM = """
import os, sys, time
from pasam.parallel import spread
sys.stderr = open(os.devnull, "w")
tasks = ["print(__import__('os').getpid(), flush=True) or __import__('time').sleep(60)"] * 2
if __name__ == "__main__":
    list(spread(eval, tasks, workers=2, label=""))
"""


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_the_processes_end_with_the_one_they_work_for(sent, root, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    with subprocess.Popen(
        [sys.executable, str(program)], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(root)}, start_new_session=True,
    ) as parent:  # fmt: skip
        assert parent.stdout is not None
        workers = [psutil.Process(int(parent.stdout.readline())) for _ in range(2)]
        os.kill(parent.pid, sent)  # the one process, not its group
        parent.wait(timeout=20)
    assert psutil.wait_procs(workers, timeout=20)[1] == []
