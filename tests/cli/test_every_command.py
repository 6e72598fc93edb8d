"""What holds for every command of `pasam`, found by walking over the app itself."""

from __future__ import annotations

import glob
import json
import re
from pathlib import Path

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from pasam.cli.app import app
from pasam.cli.options import _from_here, named_model
from pasam.cli.predict import find_images

SHARED_OPTIONS = {"--json", "--project"}
ASKED_BY_GIT = "merge-driver"
"""Git's own protocol: it names four files and reads nothing that is printed."""


def every_command(command, words=()):
    below = getattr(command, "commands", None)
    if below is None:
        return [(" ".join(words), command)]
    return [each for name, sub in below.items() for each in every_command(sub, (*words, name))]


COMMANDS = dict(every_command(typer.main.get_command(app)))

GROUPS = sorted({name.rpartition(" ")[0] for name in COMMANDS})
"""The words of every group of commands; none for `pasam` itself."""


def options(command):
    return {name: each for each in command.params for name in each.opts if name.startswith("--")}


def test_every_command_has_the_options_that_all_have_under_one_name():
    for words, command in COMMANDS.items():
        found = options(command)
        expected = {"--project"} if words == ASKED_BY_GIT else SHARED_OPTIONS
        assert expected <= set(found), words
        others = {"--profile", "--size", "--params", "--root-dir", "--as-json"}
        assert not others & set(found), words


def test_a_preset_may_be_named_wherever_a_params_file_is_read():
    for words, command in COMMANDS.items():
        found = options(command)
        params_file = found.get("--params-file")
        reads = params_file is not None and "which is changed" not in params_file.help
        assert ("--preset" in found) is reads, words


CHOICES = {"model", "name", "names", "what", "preset", "project", "which", "data", "role"}
"""Arguments whose values the project knows: names of models, sets, presets and versions."""
FREE = {
    ("data add", "name"),  # a new one
    ("data add", "names"),  # a pattern
    ("serve", "name"),  # a host's
}


def test_the_shell_completes_whatever_the_project_knows_the_names_of():
    for words, command in COMMANDS.items():
        for each in command.params:
            if each.name in CHOICES and (words, each.name) not in FREE:
                assert each._custom_shell_complete is not None, (words, each.name)


@pytest.mark.parametrize("columns", [60, 80])
def test_every_help_is_whole_at_the_width_of_the_terminal(columns):
    for words, command in COMMANDS.items():
        context = command.make_context(
            f"pasam {words}", [], resilient_parsing=True, terminal_width=columns
        )
        text = command.get_help(context)
        assert max(map(len, text.splitlines())) <= columns, words
        assert "…" not in text, words
        for name in options(command):
            assert re.search(rf"{name}[\s,]", text), words


@pytest.mark.parametrize("columns", [60, 80])
@pytest.mark.parametrize("words", GROUPS)
def test_every_list_of_commands_is_whole_at_the_width_of_the_terminal(words, columns):
    arguments = (*words.split(), "--help")
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": str(columns)})
    assert max(map(len, result.output.splitlines())) <= columns
    assert "…" not in result.output
    below = [name.removeprefix(words).split()[0] for name in COMMANDS if name.startswith(words)]
    assert all(name in result.output for name in below if name != ASKED_BY_GIT)


def invoke(*arguments):
    return CliRunner().invoke(app, [str(each) for each in arguments])


@pytest.fixture
def elsewhere(model_project, tmp_path, monkeypatch):
    """A folder beside a project in which `pa_sam` is trained; the project's root."""
    place = tmp_path / "elsewhere"
    place.mkdir()
    monkeypatch.chdir(place)
    Image.new("RGB", (40, 30), (200, 10, 10)).save("a.png")
    return model_project


def test_a_project_is_named_from_anywhere_and_typed_paths_are_ones_own(elsewhere, tmp_path):
    typed = ("predict", "a.png", "--model", "pa_sam", "--box", "5,5,30,25", "--out", "masks")
    assert invoke(*typed).exit_code == 2  # no such model here
    before = Path.cwd()
    result = invoke(*typed, "--project", elsewhere)
    assert result.exit_code == 0, result.output
    assert Path.cwd() == before
    assert (tmp_path / "elsewhere" / "masks" / "a_mask.png").is_file()
    assert not (elsewhere / "masks").exists()


def test_a_project_that_is_no_folder_is_refused_in_a_line(elsewhere):
    result = invoke("doctor", "--project", "nowhere")
    assert result.exit_code == 2
    assert result.stderr == (
        "error: --project is nowhere, which is no folder; expected a project's root.\n"
    )


def test_a_preset_takes_the_place_of_the_params_file(elsewhere, root):
    shown = json.loads(invoke("params", "show", "--json", "--preset", "smoke").stdout)
    assert shown["preset"] == "smoke"
    result = invoke("params", "show", "--preset", "smoke", "--params-file", "x.yaml")
    assert result.exit_code == 2
    assert "both say which params" in result.stderr
    unknown = invoke("predict", "a.png", "--box", "5,5,30,25", "--preset", "huge")
    assert unknown.exit_code == 2
    assert "there is no preset 'huge'" in unknown.stderr


def test_a_named_model_is_opened_with_all_that_was_chosen(in_empty_folder, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "pasam.registry.load.load_predictor", lambda name, **how: seen.append((name, how))
    )
    chosen = {
        "params_file": Path("p.yaml"), "adapters": Path("t"), "base": Path("b.pth"),
        "device": "cuda:1", "resize": "squash",
    }  # fmt: skip
    named_model("champion", **chosen)
    named_model(None)
    usual = {
        "params_file": Path("params.yaml"), "adapters": Path("data/adapters"), "base": None,
        "device": "cpu", "resize": None,
    }  # fmt: skip
    assert seen == [("champion", chosen), (None, usual)]


def test_only_what_is_a_path_counts_from_where_it_was_typed(in_empty_folder):
    (in_empty_folder / "here").touch()
    here = str(in_empty_folder / "here")
    for value, may_be_name, wanted in (
        (Path("x"), False, in_empty_folder / "x"), ("here", True, here), ("here", False, "here"),
        ("champion", True, "champion"), ("p/*.png", True, str(in_empty_folder / "p/*.png")),
        ([Path("x"), Path("/y")], False, [in_empty_folder / "x", Path("/y")]),
        (["here", "sam"], True, [here, "sam"]), (("here", "sam"), True, (here, "sam")),
        ((Path("x"), 2), False, (in_empty_folder / "x", 2)), (3, True, 3), (None, True, None),
    ):  # fmt: skip
        assert _from_here(value, may_be_name) == wanted


def test_a_pattern_is_the_callers_whatever_is_special_in_it(in_empty_folder, monkeypatch):
    folder = in_empty_folder / "[me]"
    (folder / "images").mkdir(parents=True)
    for name in ("b1.png", "b2.png", "b[1].png"):
        (folder / "images" / name).touch()
    monkeypatch.chdir(folder)
    typed = {
        "images/b?.png": ["b1.png", "b2.png"], "images/b[1].png": ["b[1].png"],
        "images/b[2]*": ["b2.png"], f"{glob.escape(str(folder))}/images/?1.png": ["b1.png"],
    }  # fmt: skip
    meant = {name: _from_here(name, True) for name in typed}
    monkeypatch.chdir(in_empty_folder)
    for name, files in typed.items():
        assert find_images([meant[name]]) == [folder / "images" / each for each in files]
