"""A command in a process group of its own: followed line by line, and ended as a whole."""

from __future__ import annotations

import codecs
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import psutil

GRACE = 20.0
"""Seconds from TERM to KILL. Prefect kills a cancelled flow after 30: this must fit into it."""

PAUSE = 0.2
_LONGEST_LINE = 8192
_KILL_WAIT = 5.0
_DONE = b"done"


class TimeUp(Exception):  # noqa: N818  (what happened, not what is wrong)
    """The command took longer than it may; its whole group was ended."""


class Stopped(Exception):  # noqa: N818
    """Somebody asked for its end; its whole group was ended."""


def run_child(
    command: Sequence[str],
    *,
    cwd: Path,
    log: Path,
    on_line: Callable[[str], None],
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    grace: float = GRACE,
    stop: threading.Event | None = None,
) -> int:
    """Run a command to its end and return its exit code, negative after a signal.

    The command writes to the log itself, so that no line is lost when this process dies. Whatever
    interrupts the wait (Ctrl-C, a cancelled flow, the timeout, an error of `on_line`) ends the
    whole group first: TERM, so that each can close what it has open, and KILL after the grace. No
    process of the group is left when this returns or raises, and none if this process is killed.

    Args:
        command: Program and arguments; no shell reads them.
        cwd: The folder to run in.
        log: File for the whole of its output, standard output and errors in one.
        on_line: Told every line, without its end.
        env: The environment; this process's own by default.
        timeout: Seconds it may take; None is for ever.
        grace: Seconds between TERM and KILL.
        stop: Set by another thread to end the command.

    Raises:
        TimeUp: It took longer.
        Stopped: It was to end.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output, log.open("rb") as written:
        process = subprocess.Popen(
            command, cwd=cwd, env=env, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        with guarded(process.pid, grace):
            try:
                _follow(process, written, on_line, timeout, stop)
            finally:
                end_group(process, grace)
    return process.returncode


@contextmanager
def guarded(group: int, grace: float) -> Iterator[None]:
    """Have the group ended by another process if this one is killed within the block."""
    watcher = subprocess.Popen(
        # -P: this file's folder has a `dvc.py`, which is not DVC.
        [sys.executable, "-E", "-P", __file__, str(group), str(grace)],
        stdin=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        yield
    finally:
        watcher.communicate(_DONE)


def guard_orphans(group: int, grace: float) -> None:
    """Wait for the word that all is well, or for its absence, and then end the group.

    This runs in a process of its own, started by `guarded`. Standard input is the sign of life:
    the pipe closes without a word when the process at its other end was killed.

    Args:
        group: Id of the process group.
        grace: Seconds between TERM and KILL.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.stdin.buffer.read() == _DONE or not _signal(group, signal.SIGTERM):
        return
    deadline = time.monotonic() + grace
    while time.monotonic() < deadline and _signal(group, 0):
        time.sleep(0.1)
    _signal(group, signal.SIGKILL)


def _follow(
    process: subprocess.Popen[bytes],
    written: BinaryIO,
    on_line: Callable[[str], None],
    timeout: float | None,
    stop: threading.Event | None,
) -> None:
    deadline = None if timeout is None else time.monotonic() + timeout
    lines = _Lines()
    ended = False
    while not ended:
        ended = _ends_within(process, PAUSE)
        for line in lines.add(written.read(), last=ended):
            on_line(line)
        if not ended and deadline is not None and time.monotonic() > deadline:
            raise TimeUp
        if not ended and stop is not None and stop.is_set():
            raise Stopped


class _Lines:
    """Bytes as they come, cut into lines; a progress bar's carriage return ends a line too."""

    def __init__(self) -> None:
        self.decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self.rest = ""

    def add(self, content: bytes, *, last: bool) -> Iterator[str]:
        """Yield the lines that are complete now; all that is left, at the end."""
        *lines, self.rest = re.split(r"[\r\n]+", self.rest + self.decoder.decode(content, last))
        if last or len(self.rest) > _LONGEST_LINE:
            lines.append(self.rest)
            self.rest = ""
        return (line for line in lines if line.strip())


def _ends_within(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def end_group(process: subprocess.Popen[bytes], grace: float) -> None:
    """End every process of a group; a second interruption cuts the grace short."""
    try:
        if _alive(process):
            _signal(process.pid, signal.SIGTERM)
            _wait_until_gone(process, grace)
    finally:
        if _alive(process):
            _signal(process.pid, signal.SIGKILL)
            _wait_until_gone(process, _KILL_WAIT)


def _wait_until_gone(process: subprocess.Popen[bytes], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while _alive(process) and time.monotonic() < deadline:
        time.sleep(0.05)


def _signal(group: int, number: int) -> bool:
    """Send a signal to a group; say whether there was anyone to receive it."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # all have just ended; macOS says the latter
        return False
    return True


def _alive(process: subprocess.Popen[bytes]) -> bool:
    """Say whether a member of the group still runs; one that nobody has waited for does not."""
    if process.poll() is None:
        return True
    return _signal(process.pid, 0) and any(
        _runs_in_group(each, process.pid) for each in psutil.process_iter()
    )


def _runs_in_group(process: psutil.Process, group: int) -> bool:
    try:
        return os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, psutil.Error):
        return False


class LogThrottle:
    """Pass lines on as long as there are not too many of them.

    Lines may come in bursts; over any longer time, `rate` lines a second pass. Lines that do not
    are counted, and the next one that does is preceded by how many there were.

    Args:
        pass_on: Told the lines that pass.
        log: Where all lines are, for the note about those left out.
        rate: Lines a second.
        burst: Lines that may come at once.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        pass_on: Callable[[str], None],
        *,
        log: Path,
        rate: float = 10.0,
        burst: int = 200,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.pass_on = pass_on
        self.log = log
        self.rate = rate
        self.burst = burst
        self.clock = clock
        self.credit = float(burst)
        self.seen = clock()
        self.left_out = 0

    def __call__(self, line: str) -> None:
        """Pass a line on, or count it."""
        now = self.clock()
        self.credit = min(float(self.burst), self.credit + (now - self.seen) * self.rate)
        self.seen = now
        if self.credit < 1:
            self.left_out += 1
            return
        self.credit -= 1
        self.close()
        self.pass_on(line)

    def close(self) -> None:
        """Say how many lines were left out since the last one, if any were."""
        if self.left_out:
            lines = "1 line" if self.left_out == 1 else f"{self.left_out} lines"
            self.pass_on(f"({lines} left out here; all are in {self.log})")
            self.left_out = 0


if __name__ == "__main__":
    guard_orphans(int(sys.argv[1]), float(sys.argv[2]))
