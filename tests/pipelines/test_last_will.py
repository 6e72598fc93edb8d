"""The process that ends a group after the death of the one that watched over it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pipelines import orphan_guard as last_will
from pipelines.orphan_guard import DONE

SLEEPING = "import time; print('ready', flush=True); time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPING}"


@pytest.fixture
def group():
    """Start Python code in a group of its own; ended after the test."""
    started = []

    def start(code):
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True
        )
        started.append(process)
        assert process.stdout.readline() == b"ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def watch(group, word, grace=0.3):
    return subprocess.run(
        [sys.executable, "-S", "-E", last_will.__file__, str(group), str(grace)],
        input=word, check=True, timeout=60,
    )  # fmt: skip


def test_after_the_word_nothing_is_ended(group):
    process = group(SLEEPING)
    watch(process.pid, DONE)
    assert process.poll() is None


@pytest.mark.parametrize(("code", "number"), [(SLEEPING, -15), (STUBBORN, -9)])
def test_without_a_word_the_group_is_ended_gently_first(code, number, group):
    process = group(code)
    watch(process.pid, b"")
    assert process.wait(30) == number


def test_a_group_that_has_ended_is_no_error(group):
    process = group(SLEEPING)
    process.kill()
    process.wait()
    watch(process.pid, b"")
