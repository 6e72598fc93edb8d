"""Which files of the project a piece of work walks through: traced, not read off the imports.

And what stands in the files.
"""

from __future__ import annotations

import ast
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


@cache
def tree(path: Path) -> ast.Module:
    """The syntax of a file, whose path is relative to the root; read once for all tests."""
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """Everything in it."""
    return tuple(ast.walk(tree(path)))


GROUND = ("pasam/errors.py", "pasam/files.py", "pasam/workers.py", "pasam/config/")


@dataclass
class Walk:
    """Files whose functions ran, in the order in which they were first stepped into."""

    steps: dict[str, set[str]] = field(default_factory=dict)
    """File -> files whose functions called into it; None of the project stands for the start."""

    def files(self) -> list[str]:
        """Every file that ran, without the ground."""
        return [name for name in self.steps if not name.startswith(GROUND)]

    def of(self, *homes: str) -> list[str]:
        """The files of some rooms and their doors: files of other rooms that those call.

        What a door calls further down is its own business, and no step of the walk.
        """
        return [
            name
            for name in self.files()
            if name.startswith(homes)
            or any(caller.startswith(homes) for caller in self.steps[name])
        ]


def _project_file(frame: FrameType) -> str | None:
    path = Path(frame.f_code.co_filename)
    if path.suffix != ".py" or not path.is_relative_to(ROOT):
        return None
    name = path.relative_to(ROOT).as_posix()
    return name if name.startswith(("pasam/", "pipelines/")) else None


@contextmanager
def traced() -> Iterator[Walk]:
    """Note every call of a function of the project; importing a module is no call."""
    walk = Walk()
    known: dict[str, str | None] = {}

    def name_of(frame: FrameType) -> str | None:
        place = frame.f_code.co_filename
        if place not in known:
            known[place] = _project_file(frame)
        return known[place]

    def note(frame: FrameType, _event: str, _argument: Any) -> None:
        # Giving nothing back asks for no event from inside the function: calls alone are told, and
        # only those of Python's own functions, a small part of what a profiler is told.
        if frame.f_code.co_name == "<module>":
            return
        name = name_of(frame)
        if name is None:
            return
        caller, back = "", frame.f_back
        while back is not None:
            found = name_of(back)
            if found is not None and back.f_code.co_name == "<module>":
                return  # a decorator or a class body at import
            if found is not None and not caller:
                caller = found
                break
            back = back.f_back
        callers = walk.steps.setdefault(name, set())
        if caller != name:
            callers.add(caller)

    before, of_threads = sys.gettrace(), threading.gettrace()
    sys.settrace(note)
    threading.settrace(note)  # a service works in threads of its own
    try:
        yield walk
    finally:
        sys.settrace(before)
        threading.settrace(of_threads)  # type: ignore[arg-type]
