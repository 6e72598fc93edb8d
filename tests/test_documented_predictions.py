"""The Python of docs/predict.md runs as it stands there, block after block."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest
from inference_models import picture
from PIL import Image

from pasam.cli.app import app
from pasam.cli.options import named_model
from pasam.inference.onnx_export import export_onnx


@pytest.fixture(scope="module")
def text(root):
    return (root / "docs" / "predict.md").read_text()


@pytest.fixture(scope="module")
def blocks(text):
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def project(model_project, tmp_path, monkeypatch):
    """A copy of a small project with a photograph in it."""
    folder = shutil.copytree(model_project, tmp_path / "project")
    Image.fromarray(picture(60, 90)).save(folder / "photo.jpg", quality=100)
    monkeypatch.chdir(folder)
    return folder


def test_the_predictors_examples_run(blocks, project):
    names: dict = {}
    for block in blocks[:2]:
        exec(block, names)
    assert names["masks"].shape == (1, 60, 90)
    assert names["answer"].details.uncertainty.shape == (60, 90)
    assert len(names["answers"]) == 2


@pytest.mark.slow
def test_the_example_of_onnx_gives_the_predictors_mask(blocks, project):
    export_onnx(named_model("pa_sam"), project / "onnx")
    names: dict = {}
    for block in blocks:
        exec(block, names)
    names["predictor"].set_image(names["photo"])
    expected = names["predictor"].predict(box=[20, 10, 70, 50])[0][0]
    assert np.mean(names["mask"] == expected) > 0.97  # but for the way a picture is shrunk


def test_every_documented_command_exists(text):
    import typer

    commands = typer.main.get_command(app).commands
    found = re.findall(r"^pasam (\w+)(?: (\w+))?", text, re.MULTILINE)
    assert found
    for name, second in found:
        assert name in commands
        group = getattr(commands[name], "commands", None)
        assert group is None or second in group
