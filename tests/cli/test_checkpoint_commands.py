"""The commands `pasam checkpoint`."""

from __future__ import annotations

import json

import pytest
import torch
from typer.testing import CliRunner

from pasam.cli.app import app
from pasam.inference import onnx_export
from pasam.inference.onnx_export import Parity
from pasam.models.adapter_weights import recognise
from pasam.models.checkpoint import write_weights


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
