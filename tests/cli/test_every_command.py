"""What holds for every command, found by walking over the app; and what `predict` says."""

from __future__ import annotations

import contextlib
import glob
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from pasam.cli import predict
from pasam.cli.app import app
from pasam.cli.options import (
    _from_here,
    _inside,
    below,
    complete_folder,
    error_line,
    fetched_base,
    named_model,
)
from pasam.cli.predict import find_images
from pasam.errors import CheckpointError, DataError, PromptError

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
        "device": "cuda:1", "resize": "squash", "exact": True,
    }  # fmt: skip
    named_model("champion", **chosen)
    named_model(None)
    usual = {
        "params_file": Path("params.yaml"), "adapters": Path("data/adapters"), "base": None,
        "device": "cpu", "resize": None, "exact": False,
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


def seen(prompt, zoomed=None, score=0.5):
    """A mask as a model gives it, with the prompt that it answers."""
    extra = {} if zoomed is None else {"zoomed": zoomed}
    return SimpleNamespace(prompt=prompt, extra=extra, score=score)


@pytest.mark.parametrize(
    ("masks", "said"),
    [
        ([], None), ([seen({"box": [1, 2, 3, 4]}, True)], None),
        ([seen({"box": [1, 2, 3, 4]})], None),
        ([seen({"box": [1.5, 2, 3, 4]}, False)], "box 1.5,2,3,4 fills so much"),
        ([seen({"points": [[7, 8.25], [9, 9]]}, False)], "the object at 7,8.25 fills so much"),
        ([seen({"box": [1, 1, 2, 2]}, True), seen({"box": [5, 6, 7, 8]}, False)],
         "box 5,6,7,8 fills so much"),
        ([seen({"box": [5, 6, 7, 8]}, False), seen({"points": [[1, 1]]}, False),
          seen({"box": [1, 1, 2, 2]}, True)], "box 5,6,7,8 (and 1 more of 3) fills so much"),
    ],
)  # fmt: skip
def test_what_zooming_left_is_told_by_the_first_and_how_many_more(masks, said, capsys):
    predict._say_what_zoom_left(Path("a.png"), masks)
    told = capsys.readouterr().err
    assert told.startswith(f"note: a.png: {said}") if said else told == ""


def test_each_mask_has_its_own_file_and_what_all_of_an_image_share():
    written = {"png": [Path("a_1.png"), Path("a_2.png")], "rle": [Path("a.json")], "overlay": []}
    assert [predict._of_mask(written, number) for number in (0, 1, 2)] == [
        {"png": "a_1.png", "rle": "a.json"}, {"png": "a_2.png", "rle": "a.json"},
        {"png": "a_1.png", "rle": "a.json"},
    ]  # fmt: skip
    drawn = predict._drawn_prompts(
        [
            seen({"box": [1, 2, 3, 4]}),
            seen({"points": [[5, 6], [7, 8]], "labels": [1, 0]}),
            seen({}),
        ]
    )
    assert (drawn.boxes, drawn.points, drawn.labels) == ([[1, 2, 3, 4]], [[5, 6], [7, 8]], [1, 0])


@pytest.mark.parametrize(("what", "other"), [("mask", "uncertainty"), ("uncertainty", "mask")])
def test_of_an_earlier_run_the_files_of_every_number_go_and_nobody_elses(what, other, tmp_path):
    own = [f"a_{what}.png", *(f"a_{what}_{number}.png" for number in (1, 9, 10, 99, 100))]
    others = [f"a_{what}_0.png", f"a_{what}_01.png", f"a_{what}_1.jpg", f"a_{what}_1_2.png",
              f"b_{what}_10.png", f"ba_{what}_10.png", f"a_{other}_10.png"]  # fmt: skip
    for name in (*own, *others):
        (tmp_path / name).touch()
    outputs = predict.PredictionOutputs(tmp_path, [], model="m", as_json=False)
    outputs._remove_stale("a", what, [tmp_path / name for name in own[1:4:2]])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([own[1], own[3], *others])


def test_a_line_about_an_image_has_the_score_of_its_only_mask_and_counts_files(monkeypatch):
    lines = []
    monkeypatch.setattr(
        predict.PredictionOutputs, "_write",
        lambda self, name, image, masks: {"png": [Path(f"{n}.png") for n in range(len(masks))],
                                          "rle": [Path("a.json")]},
    )  # fmt: skip
    outputs = predict.PredictionOutputs(Path("o"), [], model="m", as_json=False)
    outputs.say, outputs.coco = lines.append, SimpleNamespace(add=lambda *given: None)
    for count in (0, 1, 3):
        masks = [seen({}, score=0.875) for _ in range(count)]
        for mask in masks:
            mask.with_prompt = dict
        outputs.add(Path("x/a.png"), "a", np.zeros((2, 3, 3), np.uint8), masks)
    assert lines == [
        "x/a.png: 0 masks -> a.json", "x/a.png: 1 mask, score 0.88 -> 0.png, a.json",
        "x/a.png: 3 masks -> 0.png, a.json and 2 more",
    ]  # fmt: skip


@pytest.mark.parametrize("zoom", [None, True, False])
def test_what_is_seen_from_near_is_told_once_and_faults_at_the_end(zoom, capsys, monkeypatch):
    maps, turned = set(), set()

    class Prompting:
        upright, categories = zoom is True, {1: "object"}

        def masks(self, predictor, image, *, uncertainty, on_progress):
            maps.add(uncertainty)
            if "bad" in image.path.name:
                raise PromptError(f"{image.path} is odd" if "2" in image.path.name else "is odd")
            return [seen({}, zoomed="near" in image.path.name)]

    added, finished = [], []
    outputs = SimpleNamespace(
        formats={"png", "uncertainty" if zoom is None else "rle"},
        add=lambda *given, listed: added.append((given[1], listed)), finish=finished.append,
    )  # fmt: skip
    monkeypatch.setattr(predict, "_say_what_zoom_left", lambda path, masks: None)
    every = (SimpleNamespace(embed=lambda pixels: pixels), Prompting(), outputs)

    def read(path, upright):
        turned.add(upright)
        return path

    def run(*names):
        paths = [Path("p") / name for name in names]
        predict._predict_all(every[0], paths, *every[1:], read, zoom=zoom)

    run("far.png", "near1.png", "near2.png")
    assert added == [(name, f"{name}.png") for name in ("far", "near1", "near2")]
    assert capsys.readouterr().err.count("--no-zoom leaves it") == (zoom is None)
    assert finished == [{1: "object"}]
    with pytest.raises(DataError, match=r"^p/bad\.png: is odd$"):
        run("bad.png")
    with pytest.raises(DataError, match=r"^1 of 2 images could not.*:\n  p/bad2\.png is odd$"):
        run("bad2.png", "far.png")
    assert (len(added), len(finished)) == (4, 3)
    assert (maps, turned) == ({zoom is None}, {zoom is True})


def test_whatever_was_done_to_pixels_is_said_but_that_they_were_turned(monkeypatch, capsys):
    asked = []
    notes = ("turned upright (6)", "16 bits, brought to 8", "not turned upright: no such turn")
    monkeypatch.setattr(
        "pasam.masks.images.load_image",
        lambda path, **how: asked.append((path, how)) or SimpleNamespace(pixels=1, notes=notes),
    )
    assert predict._read(Path("a.tif"), upright=False, page=3, bands=(1, 2, 4)) == 1
    assert asked == [(Path("a.tif"), {"upright": False, "page": 3, "bands": (1, 2, 4)})]
    said = [f"note: a.tif: {note}" for note in notes[1:]]
    assert capsys.readouterr().err.splitlines() == said


def test_folders_are_completed_below_what_was_typed(in_empty_folder):
    for name in ("one/a", "one/b", "only", "two"):
        (in_empty_folder / name).mkdir(parents=True)
    (in_empty_folder / "one" / "file").touch()
    (in_empty_folder / "on.txt").touch()
    for typed, folders in (
        ("", ["one/", "only/", "two/"]), ("on", ["one/", "only/"]), ("./on", ["one/", "only/"]),
        ("one", ["one/"]), ("one/", ["one/a/", "one/b/"]), ("one/b", ["one/b/"]), ("one/x", []),
        ("none/a", []), (f"{in_empty_folder}/tw", [f"{in_empty_folder}/two/"]),
    ):  # fmt: skip
        assert complete_folder(typed) == folders


@pytest.mark.parametrize(("columns", "width"), [("60", 60), ("40", 40), ("20", 40), ("200", 200)])
def test_a_long_reason_stands_below_its_line_as_wide_as_the_terminal(columns, width, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    lines = below("word " * 200, indent=6).splitlines()
    assert all(line.startswith("      word") for line in lines)
    assert max(map(len, lines)) == 6 + (width - 6 + 1) // 5 * 5 - 1


def test_an_error_is_shown_whole_up_to_a_limit_and_steers_no_terminal():
    for length in (2000 - len("error: "), 2001 - len("error: ")):
        shown = error_line(ValueError("a" * length))
        whole = f"error: {'a' * length}"
        assert shown == (whole if len(whole) <= 2000 else f"{whole[:1500]} ... {'a' * 300}")
    assert error_line(ValueError("a\nb\x1b[2J\r\u202e")) == ("error: a\nb\\x1b[2J\\r\\u202e")
    assert error_line(ValueError("tab\there")) == "error: tab\there"


def test_a_file_that_is_there_is_taken_whatever_it_is_called(in_empty_folder):
    assert fetched_base(None) is None
    assert fetched_base(Path("own.pth")) == Path("own.pth")
    with pytest.raises(CheckpointError, match=r"pasam data fetch mobile_sam.*or name a file"):
        fetched_base(Path("vit_t"))
    brought = in_empty_folder / "data/catalogue/mobile_sam/mobile_sam.pt"
    brought.parent.mkdir(parents=True)
    brought.touch()
    assert fetched_base(Path("vit_t")) == brought.relative_to(in_empty_folder)
    for name in ("vit_t", "tiny"):
        (in_empty_folder / name).touch()
        assert fetched_base(Path(name)) == Path(name)


@pytest.mark.parametrize("fails", [False, True])
def test_the_folder_is_the_callers_again_however_a_command_ends(fails, in_empty_folder):
    (in_empty_folder / "p").mkdir()
    with contextlib.suppress(DataError), _inside(Path("p")):
        assert Path.cwd() == in_empty_folder / "p"
        if fails:
            raise DataError("no.")
    assert Path.cwd() == in_empty_folder
    with _inside(Path()):
        assert Path.cwd() == in_empty_folder
