"""Name a set under `evaluate.benchmarks` in a params file, leaving every other byte as it is."""

from __future__ import annotations

import difflib
import io
import os
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pasam.errors import ParamsError
from pasam.params_file import read_params


def measure(name: str, params_file: Path) -> list[str]:
    """Add a set to the benchmarks.

    Args:
        name: A data set with a `val` split.
        params_file: The file to change.

    Returns:
        The lines that changed, as a diff shows them; none if it was there.

    Raises:
        ParamsError: The file has no list `evaluate.benchmarks`.
    """
    section = read_params(params_file).get("evaluate")
    listed = section.get("benchmarks") if isinstance(section, dict) else None
    if not isinstance(listed, list):
        raise ParamsError(f"{params_file}: evaluate.benchmarks is {listed!r}, expected a list.")
    if name in listed:
        return []
    old = params_file.read_text(encoding="utf-8")
    editor = _editor()
    content = editor.load(old)
    content["evaluate"]["benchmarks"].append(name)
    written = io.StringIO()
    editor.dump(content, written)
    new = written.getvalue()
    draft = params_file.with_name(f".{params_file.name}.{os.getpid()}")
    try:
        draft.write_text(new, encoding="utf-8")
        draft.replace(params_file)
    finally:
        draft.unlink(missing_ok=True)
    changes = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=0)
    return [line for line in changes if not line.startswith(("---", "+++", "@@"))]


def _editor() -> YAML:
    """Make a reader and writer that keeps comments, order and the style of lists."""
    editor = YAML()
    editor.width = 4096
    editor.preserve_quotes = True
    editor.representer.add_representer(type(None), _null)
    return editor


def _null(representer: Any, _: None) -> Any:
    return representer.represent_scalar("tag:yaml.org,2002:null", "null")
