"""Flows as commands: their flags, their words, their exit codes."""

from __future__ import annotations

import inspect
import os
import signal
from typing import Literal

import pytest

from pasam.errors import StageError, TransientError
from pipelines.flows import __main__ as commands
from pipelines.flows.engine import Outcome
from pipelines.flows.servers import deployments, ui
from pipelines.stage_runner import docstring_parts


@pytest.fixture(autouse=True)
def _restore_signal_handlers():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def example(
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
        hours: How long, 100 % of it.
        notify: Who is told.
    """
    return Outcome("done", f"{how} {loud} {hours} {notify}")


@pytest.fixture
def run(monkeypatch):
    """Run a command of one flow and return its exit code."""

    def run_flow(function, *arguments):
        monkeypatch.setattr(commands, "FLOWS", (function,))
        try:
            commands.main([function.__name__, *arguments])
        except SystemExit as ended:
            return ended.code
        return 0

    return run_flow


def test_parameters_are_flags_with_the_flows_defaults(run, capsys):
    assert run(example, "--local") == 0
    assert run(example, "--local", "--how", "b", "--loud", "--hours", "2", "--notify", "me") == 0
    assert run(example, "--local", "--no-loud") == 0
    said = ["a False 1.0 None", "b True 2.0 me", "a False 1.0 None"]
    assert capsys.readouterr().out == "".join(f"done: {each}\n" for each in said)


def test_help_has_the_docstrings_words_and_an_example(run, capsys):
    assert run(example, "--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    for words in (
        "Do something. At length.",
        "In which way, exactly. [default: a]",
        "How long, 100 % of it.",
        "Example: python -m pipelines.flows example --local",
    ):
        assert words in text
    assert "Args" not in text


@pytest.mark.parametrize("wrong", [("--how", "c"), ("--lou",), ("--size", "7")])
def test_a_wrong_flag_is_a_wrong_configuration(wrong, run, capsys):
    assert run(example, "--local", *wrong) == 2
    assert wrong[-1] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [(TransientError("away"), 75), (StageError("bad", exit_code=3), 3), (StageError("x"), 2)],
)
def test_a_failure_is_one_line_its_exit_code_and_told(error, code, run, capsys, monkeypatch):
    told = []
    monkeypatch.setattr(commands, "notify", lambda *words: told.append(words))

    def fails(*, notify: str | None = None) -> Outcome:
        """Fail.

        Args:
            notify: Who is told.
        """
        raise error

    assert run(fails, "--local", "--notify", "team") == code
    assert capsys.readouterr().err == f"error: {error}\n"
    assert told == [("team", "fails failed", str(error))]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stopped_flow_says_so_by_its_exit_code(number, code, run):
    def stopped() -> Outcome:
        """Be stopped."""
        os.kill(os.getpid(), number)
        raise AssertionError

    assert run(stopped, "--local") == code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_stopped_has_done_its_work(number, monkeypatch):
    def serves() -> None:
        """Serve."""
        os.kill(os.getpid(), number)
        raise AssertionError

    monkeypatch.setattr(commands, "SERVERS", (serves,))
    commands.main(["serves"])


def test_every_flow_and_server_is_a_command():
    names = {function.__name__ for function in commands.FLOWS}
    assert names == {"reproduce", "retrain", "ablate", "promote", "nightly"}
    assert (deployments, ui) == commands.SERVERS


@pytest.mark.parametrize("function", [*commands.FLOWS, *commands.SERVERS])
def test_every_flag_is_explained(function, capsys):
    words = docstring_parts(function)[1]
    assert set(words) == set(inspect.signature(function).parameters)
    assert all(words.values())
    with pytest.raises(SystemExit, match="0"):
        commands.main([function.__name__, "--help"])
    text = "".join(capsys.readouterr().out.split())
    assert all("".join(each.split()) in text for each in words.values())


def test_a_flag_of_a_list_may_be_repeated(monkeypatch):
    given = []

    def serves(*, cron: list[str] | None = None) -> None:
        """Serve."""
        given.append(cron)

    monkeypatch.setattr(commands, "SERVERS", (serves,))
    commands.main(["serves"])
    commands.main(["serves", "--cron", "a=1", "--cron", "b=2"])
    assert given == [None, ["a=1", "b=2"]]
