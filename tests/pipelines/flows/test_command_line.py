"""A flow as a command: its flags, its words, its exit codes."""

from __future__ import annotations

import os
import signal
from typing import Literal

import pytest

from pasam.errors import StageError, TransientError
from pipelines.flows import command_line
from pipelines.flows.command_line import run
from pipelines.flows.engine import Outcome


@pytest.fixture(autouse=True)
def _restore_signal_handlers():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def flow(
    *,
    how: Literal["a", "b"] = "a",
    loud: bool = False,
    hours: float = 1.0,
    notify: str | None = None,
) -> Outcome:
    """Do something.

    At length.

    Args:
        how: In which way,
            exactly.
        loud: Whether to shout.
        hours: How long.
        notify: Who is told.
    """
    return Outcome("done", f"{how} {loud} {hours} {notify}")


def code_of(function, *arguments):
    with pytest.raises(SystemExit) as caught:
        run(function, arguments)
    return caught.value.code


def test_parameters_are_flags_with_the_flows_defaults(capsys):
    assert code_of(flow, "--local") == 0
    assert code_of(flow, "--local", "--how", "b", "--loud", "--hours", "2", "--notify", "me") == 0
    assert capsys.readouterr().out == "done: a False 1.0 None\ndone: b True 2.0 me\n"


def test_help_has_the_docstrings_words_and_an_example(capsys):
    assert code_of(flow, "--help") == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for words in ("Do something.", "In which way, exactly.", "Example: python -m pipelines.flows."):
        assert words in text
    assert "Args" not in text


def test_a_wrong_flag_is_a_wrong_configuration(capsys):
    assert code_of(flow, "--local", "--how", "c") == 2
    assert "'c' is not one of 'a', 'b'" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("error", "code"),
    [(TransientError("away"), 75), (StageError("bad", exit_code=3), 3), (StageError("x"), 2)],
)
def test_a_failure_is_one_line_its_exit_code_and_told(error, code, capsys, monkeypatch):
    told = []
    monkeypatch.setattr(command_line, "tell", lambda *words: told.append(words))

    def fails(*, notify: str | None = None) -> Outcome:
        """Fail.

        Args:
            notify: Who is told.
        """
        raise error

    assert code_of(fails, "--local", "--notify", "team") == code
    assert capsys.readouterr().err == f"error: {error}\n"
    assert told == [("team", "fails failed", str(error))]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stopped_flow_says_so_by_its_exit_code(number, code):
    def stopped() -> Outcome:
        """Be stopped."""
        os.kill(os.getpid(), number)
        raise AssertionError

    assert code_of(stopped, "--local") == code


def test_every_flow_is_a_command(root):
    for name in ("reproduce", "retrain", "ablate", "promote", "nightly"):
        text = (root / "pipelines" / "flows" / f"{name}.py").read_text()
        assert text.endswith(f"    run({name})\n")
