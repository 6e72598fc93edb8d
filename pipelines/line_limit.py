"""A limit on how many lines a second pass on; what is left out is counted and said."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path


class LineLimit:
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
