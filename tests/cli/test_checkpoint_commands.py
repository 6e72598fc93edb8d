"""The commands `pasam checkpoint` and `pasam report`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from small_world import dump_yaml, load_yaml
from typer.testing import CliRunner

from pasam.cli.app import app
from pasam.errors import CheckpointError
from pasam.inference import model_files, onnx_export
from pasam.inference.onnx_export import Parity
from pasam.models.adapter_weights import recognise
from pasam.models.checkpoint import read_weights, write_weights


@pytest.fixture
def pasam(model_project):
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, [str(a) for a in ("checkpoint", *arguments)])


def test_inspect_says_what_a_file_is(pasam):
    result = pasam("inspect", "base.safetensors")
    assert "base.safetensors: a whole SAM, tiny" in result.output
    assert "float32" in result.output
    about = json.loads(pasam("inspect", "data/adapters/pa_sam.safetensors", "--json").output)
    assert (about["kind"], about["size"]) == ("adapter", None)
    assert about["metadata"]["decoder"] == "pa_sam"
    assert len(about["sha256"]) == 64


def test_words_of_a_foreign_file_do_not_steer_the_terminal(pasam, tmp_path):
    words = {"decoder": "pa_sam", "base": "0", "note": "a\x1b[2J\x07b\u202ec"}
    write_weights(tmp_path / "x.safetensors", {"a": torch.ones(1)}, metadata=words)
    assert r"note: a\x1b[2J\x07b\u202ec" in pasam("inspect", tmp_path / "x.safetensors").output
    refused = pasam("inspect", tmp_path / "no\x1b[31m.safetensors")
    assert r"no\x1b[31m.safetensors" in refused.stderr


def test_export_merge_and_import_close_a_circle(pasam, tmp_path):
    decoder, merged = tmp_path / "decoder.pth", tmp_path / "merged.pth"
    assert "152 tensors" in pasam("export", "pa_sam", "--out", decoder).output
    assert pasam("merge", "pa_sam", "--out", merged).exit_code == 0
    assert recognise(decoder).kind == "pa_sam_decoder"
    assert recognise(merged).kind == "pa_sam_merged"
    for file in (decoder, merged):
        out = tmp_path / "adapter.safetensors"
        result = pasam("import", file, "--out", out)
        assert result.exit_code == 0, result.output
        assert recognise(out).kind == "adapter"


@pytest.mark.parametrize(
    ("command", "name", "choices"),
    [
        ("export", "pa_sam", "(mining)"),
        ("merge", "pa_sam", "(mining)"),
        ("export", "pa_sam_plus", "(adapter, gradient, mining)"),
        ("export", "hq_sam", None),
    ],
)
def test_choices_that_a_references_file_does_not_tell_are_said(command, name, choices, tmp_path):
    words = ["checkpoint", command, f"packaged/{name}", "--out", str(tmp_path / "d.pth")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    told = f"packaged) has other choices than the reference {choices}"
    assert told in result.stderr if choices else not result.stderr


@pytest.mark.parametrize(
    "own",
    [{"gradient": "image"}, {"mining": {"method": "none"}}, {"mining": {"points": 2}},
     {"mining": {"cells": "uncertain"}}, {"trains": "adapter"}, {"iou_head": "trained"}],
    ids=str,
)  # fmt: skip
def test_a_references_file_is_opened_as_published_whatever_the_params_choose(own, model_project):
    content = load_yaml(Path("params.yaml").read_text())
    entry = content["models"]["pa_sam"]
    changed = {k: {**entry[k], **v} if isinstance(v, dict) else v for k, v in own.items()}
    params = Path("own.yaml")
    params.write_text(dump_yaml({**content, "models": {"own": {**entry, **changed}}}))
    found = model_files._variant_of("pa_sam", params)
    assert found == model_files._variant_of("pa_sam", Path("params.yaml"))
    assert (found.gradient, found.trains, found.iou_head) == ("reference", "mask_head", "frozen")
    assert (found.mining.method, found.mining.points, found.mining.cells) == ("gumbel", 4, "all")


def test_sams_own_decoder_can_be_cut_out_but_not_merged(pasam, tmp_path):
    assert pasam("export", "sam", "--out", tmp_path / "d.pth").exit_code == 0
    assert recognise(tmp_path / "d.pth").kind == "sam_decoder"
    result = pasam("merge", "sam", "--out", tmp_path / "m.pth")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: sam has no decoder to merge")


@pytest.mark.parametrize("command", ["inspect", "import", "export", "merge"])
def test_every_help_has_an_example(command, pasam):
    assert f"Example: pasam checkpoint {command}" in pasam(command, "--help").output


def test_a_file_that_is_no_weights_is_one_line_and_exit_code_2(pasam, tmp_path):
    (tmp_path / "x.pth").write_text("hello")
    result = pasam("inspect", tmp_path / "x.pth")
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1


@pytest.fixture(autouse=True)
def written(monkeypatch):
    """What was asked to be written; tests/inference/test_onnx_export.py really writes."""
    asked = []

    def write(model, folder):
        asked.append((model.name, folder))
        return Parity(2e-6, 1.0, 13)

    monkeypatch.setattr(onnx_export, "export_onnx", write)
    return asked


def test_a_model_is_written_and_its_parity_said(written, model_project, tmp_path):
    result = CliRunner().invoke(app, ["export", "--model", "pa_sam", "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert written == [("pa_sam", tmp_path)]
    assert result.output.splitlines() == [
        f"{tmp_path / 'image.onnx'}, {tmp_path / 'prompts.onnx'}",
        "Against pa_sam on 13 prompts: logits differ by at most 2.0e-06, masks agree with "
        "IoU 1.00000.",
    ]


def test_programs_read_json(model_project, tmp_path):
    arguments = ["export", "--model", "sam", "--out", str(tmp_path), "--json"]
    assert json.loads(CliRunner().invoke(app, arguments).output) == {
        "model": "sam",
        "files": [str(tmp_path / "image.onnx"), str(tmp_path / "prompts.onnx")],
        "difference": 2e-6,
        "iou": 1.0,
        "prompts": 13,
    }


def test_its_help_has_an_example():
    result = CliRunner().invoke(app, ["export", "--help"])
    assert "Example: pasam export --model pa_sam" in result.output


@pytest.mark.parametrize("words", ["checkpoint export m --out o", "checkpoint merge m --out o",
                                   "export --model m --out o"])  # fmt: skip
def test_whatever_is_written_is_of_the_model_that_was_named(words, in_empty_folder, monkeypatch):
    seen = []

    def named(name, **how):
        seen.append((name, how))
        raise CheckpointError("named")

    monkeypatch.setattr("pasam.cli.options.named_model", named)
    chosen = "--base b.pth --adapters t --params-file p.yaml"
    result = CliRunner().invoke(app, f"{words} {chosen}".split())
    assert result.stderr == "error: named\n"
    paths = {"params_file": Path("p.yaml"), "adapters": Path("t"), "base": Path("b.pth")}
    assert seen == [("m", {**paths, "exact": True})]


def test_an_import_is_told_its_base_where_that_goes_and_the_params(in_empty_folder, monkeypatch):
    seen = []
    monkeypatch.setattr(
        model_files, "import_checkpoint", lambda *given, **how: seen.append((given, how)) or "it"
    )
    words = "checkpoint import f.pth --out o --base b.pth --base-out s --params-file p.yaml"
    result = CliRunner().invoke(app, words.split())
    assert result.stdout == "f.pth: it -> o, its SAM -> s\n"
    how = {"base": Path("b.pth"), "base_out": Path("s"), "params_file": Path("p.yaml")}
    assert seen == [((Path("f.pth"), Path("o")), how)]


@pytest.mark.parametrize(("count", "rest"), [(5, None), (7, "and 2 differences more")])
def test_of_many_differences_the_first_are_told_the_rest_counted_and_all_handed_on_as_json(
    count, rest, in_empty_folder
):
    reports = in_empty_folder / "reports"
    reports.mkdir()
    (reports / "table1.csv").write_text("model,benchmark,miou,mbiou\nsam,mean,50.0,40.0\n")
    rows = [f"pa_sam,sam,mean,miou,{number},0.1,9.9,gain shown" for number in range(count)]
    rows += ["pa_sam,sam,dis_like,miou,1,0.1,9.9,gain shown",
             "pa_sam,sam,mean,miou,1,-1,9.9,no difference shown"]  # fmt: skip
    head = "model,against,benchmark,metric,difference,low,high,verdict"
    (reports / "differences.csv").write_text("\n".join([head, *rows]) + "\n")
    lines = CliRunner().invoke(app, ("report", "show")).output.splitlines()
    told = [line for line in lines if " minus " in line]
    assert [float(line.split()[4]) for line in told] == list(range(5))
    assert [line for line in lines if line.startswith("and ")] == ([rest] if rest else [])
    content = json.loads(CliRunner().invoke(app, ("report", "show", "--json")).output)
    assert [float(row["difference"]) for row in content["differences"]] == list(range(count))


@pytest.mark.parametrize(
    ("own", "shown", "rest"),
    [("ab", ["mean", "cats", "ab", "photos"], None),  # 80 columns
     ("abc", ["mean", "cats", "abc"], "table1.md has photos, too")],
)  # fmt: skip
def test_sets_of_ones_own_stand_beside_the_mean_before_photographs_as_far_as_there_is_room(
    own, shown, rest, in_empty_folder
):
    reports = in_empty_folder / "reports"
    reports.mkdir()
    sets = ["dis_like", "photos", "mean", "cats", own]
    rows = [
        f"{model},{name},{place + more}.04,{place + more + 5}.96"
        for model, more in (("sam", 40), ("pa_sam", 60)) for place, name in enumerate(sets)
    ]  # fmt: skip
    (reports / "table1.csv").write_text("\n".join(["model,benchmark,miou,mbiou", *rows]) + "\n")
    (reports / "b.png").touch()
    head, *lines, files = CliRunner().invoke(app, ("report", "show")).output.splitlines()
    assert head == "per cent" + "".join(f"  {name} mIoU  mBIoU" for name in shown)
    assert len(head) <= 80
    assert [line.split() for line in lines[:2]] == [
        [name, *(f"{more + sets.index(each) + late}" for each in shown for late in (0.0, 6.0))]
        for name, more in (("SAM", 40), ("PA-SAM", 60))
    ]
    assert {len(line) for line in lines[:2]} == {len(head)}
    assert lines[2:] == ([rest] if rest else [])
    assert files == "reports/b.png"


def test_the_figure_is_renewed_no_wider_than_a_page_needs_and_the_page_opened(
    in_empty_folder, monkeypatch
):
    opened = []
    monkeypatch.setattr("typer.launch", opened.append)
    reports = in_empty_folder / "reports"
    reports.mkdir()
    Image.new("RGB", (3200, 100), "red").save(reports / "figure1.png")
    result = CliRunner().invoke(app, ("report", "images", "--out", "docs"))
    assert result.output == "Image: docs/figure1.png\n"
    with Image.open("docs/figure1.png") as image:
        assert (image.size, image.mode) == ((1600, 50), "P")
    assert CliRunner().invoke(app, ("report", "open")).exit_code == 2
    assert opened == []
    (reports / "index.html").touch()
    assert CliRunner().invoke(app, ("report", "open")).output == "Page: reports/index.html\n"
    assert opened == [(reports / "index.html").resolve().as_uri()]


def test_inspect_says_what_a_sam_lacks_and_which_numbers_are_none(pasam, tmp_path):
    weights = dict(recognise(Path("base.safetensors")).weights)
    name = next(name for name, each in weights.items() if each.is_floating_point())
    write_weights(
        tmp_path / "less.safetensors",
        {each: weights[each] for each in weights if each != name},
        metadata={},
    )
    less = pasam("inspect", tmp_path / "less.safetensors")
    assert (less.exit_code, "a whole SAM, tiny" in less.stdout) == (2, True)
    assert f"missing {name}; unknown none" in less.stderr
    weights[name] = torch.full_like(weights[name], torch.nan)
    write_weights(tmp_path / "nan.safetensors", weights, metadata={})
    nan = pasam("inspect", tmp_path / "nan.safetensors", "--json")
    assert (nan.exit_code, json.loads(nan.stdout)["kind"]) == (2, "sam")
    assert f"holds NaN or infinity in {name}" in nan.stderr


def test_weights_are_found_in_the_states_of_training_programs(tmp_path):
    weights = {"image_encoder.a": torch.ones(1), "iou_token.weight": torch.ones(1)}
    for state in (
        {"model": {"state_dict": weights}},
        {"sam_model": weights, "epoch": 1},
        {"params": {"lr": 0.1}, "net": weights},
        {"model": {"params": {"name": "sam"}}, "sam": {"params": {}, "net": weights}},
    ):
        torch.save(state, tmp_path / "x.pth")
        assert read_weights(tmp_path / "x.pth").keys() == weights.keys()


def test_weights_of_a_kind_that_is_not_read_are_refused_in_a_line(pasam, tmp_path):
    weights = {"iou_token.weight": torch.zeros(1).to(torch.float8_e4m3fn)}
    write_weights(tmp_path / "x.safetensors", weights, metadata={})
    result = pasam("inspect", tmp_path / "x.safetensors")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "holds tensors of a kind that is not read" in result.stderr
