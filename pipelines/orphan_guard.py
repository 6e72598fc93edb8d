"""A small process that ends a process group if the one that watches over it dies without a word.

`child_process` starts this file as a script beside every command. Standard input is its sign of
life: it ends quietly after a word, and ends the group when the pipe closes without one, as it does
when the other side was killed. It needs nothing but the standard library, so it starts at once.
"""

from __future__ import annotations

import os
import signal
import sys
import time

DONE = b"done"


def watch(group: int, grace: float) -> None:
    """Wait for the word, or for its absence, and then end the group.

    Args:
        group: Id of the process group.
        grace: Seconds between TERM and KILL.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.stdin.buffer.read() == DONE:
        return
    if not _signal(group, signal.SIGTERM):
        return
    deadline = time.monotonic() + grace
    while time.monotonic() < deadline and _signal(group, 0):
        time.sleep(0.1)
    _signal(group, signal.SIGKILL)


def _signal(group: int, number: int) -> bool:
    """Send a signal; say whether there was anyone to receive it."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    watch(int(sys.argv[1]), float(sys.argv[2]))
