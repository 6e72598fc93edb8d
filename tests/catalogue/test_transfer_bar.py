"""Transfers show themselves on terminals and nowhere else."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from pasam.data.download import transfer_bar


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_sees_name_and_bytes_and_a_log_file_nothing(terminal):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
    with transfer_bar(console) as bar:
        task = bar.add_task("DIS5K.zip", total=4_000_000)
        bar.update(task, completed=1_000_000)
        bar.refresh()
    text = console.file.getvalue()
    assert ("DIS5K.zip" in text) is terminal
    assert ("1.0/4.0 MB" in text) is terminal
