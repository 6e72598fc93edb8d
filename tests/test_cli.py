"""The command `pasam`, as a person types it."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from pasam import __version__
from pasam.cli.app import app
from pasam.cli.options import REGISTERED, complete_model, named_model
from pasam.config.params_file import read_params
from pasam.errors import ParamsError
from pasam.inference.model_files import packaged_names


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


def test_the_package_runs_as_a_module(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["pasam", "--version"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("pasam", run_name="__main__")
    assert (ended.value.code, capsys.readouterr().out) == (0, f"pasam {__version__}\n")


def test_the_command_line_loads_without_what_only_some_commands_need():
    code = (
        "import sys, pasam.cli.app; "
        "heavy = {'torch', 'pandas', 'numpy', 'matplotlib', 'pydantic', 'urllib3'}; "
        "print(heavy & set(sys.modules))"
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
        (("report", "show"), "error: reports/table1.csv does not exist"),
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


def test_every_commands_help_has_an_example_of_itself():
    every = commands(typer.main.get_command(app))
    assert [words for words, text in every if f"Example: pasam {words}" not in text] == []


def test_a_trained_model_is_found_where_the_pipeline_leaves_it(model_project):
    assert named_model("pa_sam").name == "pa_sam"


def test_a_name_that_nobody_knows_is_refused(model_project):
    with pytest.raises(ParamsError, match="there is no model 'nobody'"):
        named_model("nobody")


def test_the_shell_completes_names_of_models(model_project, monkeypatch, tmp_path):
    assert complete_model("") == ["sam", *read_params()["models"], *packaged_names(), *REGISTERED]
    own = [m for m in read_params()["models"] if m.startswith("pa")]
    assert complete_model("pa") == [*own, *packaged_names()]
    monkeypatch.chdir(tmp_path)
    assert complete_model("c") == ["champion", "candidate"]


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("pasam predict --model hea", "head_only"),
        ("pasam serve --model hea", "head_only"),
        ("pasam demo --model hea", "head_only"),
        ("pasam evaluate --model hea", "head_only"),
        ("pasam export --model hea", "head_only"),
        ("pasam checkpoint export hea", "head_only"),
        ("pasam predict --format ov", "overlay"),
    ],
)
def test_the_shells_completion_knows_what_may_stand_there(typed, completed, model_project):
    asked = {
        "_PASAM_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(typed.count(" ")),
    }
    result = CliRunner().invoke(app, prog_name="pasam", env=asked)
    assert result.output.split() == [completed]


def test_only_the_two_ways_to_resize_are_taken(pasam):
    result = pasam("predict", "photo.jpg", "--resize", "stretch")
    assert result.exit_code == 2
    assert all(word in result.stderr for word in ("stretch", "longest", "squash"))


@pytest.mark.parametrize(
    ("raised", "code", "words"),
    [
        (
            OSError(28, "No space left on device", "out/a.png"),
            2,
            "the disk is full, while out/a.png",
        ),
        (RuntimeError("[enforce fail] No space left on device"), 2, "error: the disk is full"),
        (PermissionError(13, "Permission denied", "out"), 2, "error: out: Permission denied. Name"),
        (ZeroDivisionError("by zero"), 70, "a fault of pasam itself (ZeroDivisionError: by zero)"),
        (KeyboardInterrupt(), 130, ""),
    ],
    ids=["full", "full in a library's words", "not allowed", "own fault", "Ctrl-C"],
)
def test_no_traceback_reaches_a_person(raised, code, words, pasam, monkeypatch):
    def fail(*arguments, **options):
        raise raised

    monkeypatch.setattr("pasam.data.catalogue.read_catalogue", fail)
    result = pasam("data", "list")
    assert result.exit_code == code
    assert words in result.stderr
    assert "Traceback" not in result.output
    kept = re.search(r"report it with (\S+\.txt)\.", result.stderr)
    assert (kept is not None) is (code == 70)
    if kept:
        assert "ZeroDivisionError" in Path(kept[1]).read_text()
        Path(kept[1]).unlink()


def test_a_place_that_cannot_be_written_is_one_line(pasam, model_project, tmp_path):
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    (tmp_path / "taken").write_text("")
    arguments = (str(tmp_path / "a.png"), "--model", "sam", "--box", "2,2,20,20")
    result = pasam("predict", *arguments, "--out", str(tmp_path / "taken" / "deeper"))
    assert result.exit_code == 2
    model, near, error = result.stderr.splitlines()
    assert model.startswith("model: sam")
    assert near.startswith("note: small things")
    assert error.startswith("error: ")


READING = {
    "params show": "--params-file params.yaml",
    "data list": "",
    "data show": "photos",
    "data check": "",
    "doctor": "",
    "verify-cache": "",
    "report show": "",
    "checkpoint inspect": "pa_sam.safetensors",
    "track show": "",
    "registry list": "",
    "registry show": "",
    "registry lineage": "",
    "registry gate": "",
    "registry log": "",
    "registry check": "",
    "registry verify": "",
    "registry simulate": "--help",
}
"""Commands that show what is there, with what they need to be typed."""

WRITING = {
    "predict", "evaluate", "export", "serve", "demo", "params use", "data fetch", "data add",
    "data export", "data remove", "data quarantine", "data accept", "report open", "report images",
    "checkpoint import", "checkpoint export", "checkpoint merge", "track sync", "registry promote",
    "registry reject", "registry lift",
    "registry claim", "restore", "clean", "backup", "data forget", "data review",
    "registry rollback", "registry reproduce", "merge", "merge-driver",
}  # fmt: skip


def test_every_command_is_known_to_read_or_to_write():
    known = {*READING, *WRITING}
    assert {words for words, _ in commands(typer.main.get_command(app))} - known == set()


@pytest.mark.parametrize("with_params", [False, True], ids=["nothing there", "params.yaml"])
@pytest.mark.parametrize("words", READING)
def test_what_only_reads_leaves_a_folder_as_it_was(
    words, with_params, pasam, in_empty_folder, root
):
    if with_params:
        (in_empty_folder / "params.yaml").write_text((root / "params/smoke.yaml").read_text())
        (in_empty_folder / "default.yaml").write_text((root / "params/default.yaml").read_text())
    before = tree(in_empty_folder)
    result = pasam(*words.split(), *READING[words].split())
    assert result.exit_code in (0, 1, 2), result.output
    assert tree(in_empty_folder) == before
    if result.exit_code == 2 and not result.stdout:
        assert result.stderr.count("\n") == 1  # and what is missing is said in a line


def tree(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }
