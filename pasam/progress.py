"""A progress bar with rate and time left on terminals, silence elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

T = TypeVar("T")


class _Rate(ProgressColumn):
    """Items per second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f}/s", style="progress.data.speed")


def bar(console: Console | None = None) -> Progress:
    """Make a bar that writes to standard error and shows itself on terminals only."""
    console = console or Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        disable=not console.is_terminal,
    )


def track(items: Iterable[T], *, total: int, label: str) -> Iterator[T]:
    """Pass items through and show how many have passed.

    Args:
        items: What is worked through.
        total: How many there are.
        label: What they are.
    """
    with bar() as progress:
        task = progress.add_task(label, total=total, note="")
        for item in items:
            yield item
            progress.advance(task)
