"""The append-only log of everything that was judged, promoted, rejected or taken back."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAME = "registry-log.jsonl"


class Journal:
    """One JSON line per event, never changed afterwards.

    Args:
        folder: Where the file lies; it is made at the first event.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME

    def append(self, event: Mapping[str, Any]) -> None:
        """Add an event with its time; the line is on the disk when this returns."""
        moment = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": moment, **event}, sort_keys=True) + "\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # One write to a file opened for appending: lines of two processes never mix.
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, self._mend() + line.encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def append_once(self, event: Mapping[str, Any]) -> None:
        """Add an event unless it is the last one already, as after a crash in between."""
        events = self.events()
        last = {k: v for k, v in events[-1].items() if k != "time"} if events else None
        if last != dict(event):
            self.append(event)

    def events(self) -> list[dict[str, Any]]:
        """Read all events, the oldest first; a line that a crash cut short is left out."""
        if not self.path.is_file():
            return []
        found = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                found.append(json.loads(line))
            except json.JSONDecodeError:
                continue
        return found

    def _mend(self) -> bytes:
        """A line break, if a crash has left the last line without its own."""
        if not self.path.is_file() or not self.path.stat().st_size:
            return b""
        with self.path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return b"" if file.read(1) == b"\n" else b"\n"
