"""The command `pasam`, as a person types it."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from pasam import __version__
from pasam.cli.app import app


@pytest.fixture
def pasam():
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, arguments)


@pytest.fixture
def project(root, in_empty_folder):
    """A current folder with the repository's sizes and its default in place."""
    (in_empty_folder / "params").mkdir()
    for path in (root / "params").glob("*.yaml"):
        (in_empty_folder / "params" / path.name).write_text(path.read_text())
    default = (in_empty_folder / "params" / "default.yaml").read_text()
    (in_empty_folder / "params.yaml").write_text(default)
    return in_empty_folder


def test_help_teaches_by_examples(pasam):
    result = pasam("--help")
    assert result.exit_code == 0
    for example in ("pasam params use smoke", "pasam params use default", "pasam report show"):
        assert example in result.output


def test_the_version_is_the_packages(pasam):
    assert pasam("--version").output == f"pasam {__version__}\n"


def test_the_command_line_loads_without_torch():
    code = (
        "import sys, pasam.cli.app; "
        "print({'torch', 'pandas', 'numpy', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("params", "use", "huge"),
            "error: there is no preset 'huge' in params/. Known presets: [",
        ),
        (("params", "show", "--params-file", "no.yaml"), "error: no.yaml does not exist."),
        (("report", "show"), "error: reports/table1.md does not exist"),
    ],
)
def test_a_mistake_is_one_line_on_stderr_and_exit_code_2(arguments, message, pasam, project):
    result = pasam(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith(message)
    assert result.stderr.count("\n") == 1


def commands(command, path=()):
    """Every command below one, with the words that a person types."""
    below = getattr(command, "commands", None)
    if below is None:
        return [(" ".join(path), command.help or "")]
    return [each for name, sub in below.items() for each in commands(sub, (*path, name))]


@pytest.mark.parametrize(("words", "text"), commands(typer.main.get_command(app)))
def test_every_commands_help_has_an_example_of_itself(words, text):
    assert f"Example: pasam {words}" in text
