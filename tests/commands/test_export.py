"""The command `pasam export`."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from pasam.cli.app import app
from pasam.inference import onnx_export
from pasam.inference.onnx_export import Parity


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
