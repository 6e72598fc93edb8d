"""The Python of docs/predict.md runs as it stands there, block after block."""

from __future__ import annotations

import re
import shutil

import pytest
import skimage
from inference_models import picture
from PIL import Image

from pasam.cli.app import app
from pasam.inference.onnx_export import export_onnx
from pasam.registry.load import load_predictor


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


PHOTOGRAPHS = {
    "coffee": [80, 15, 482, 385],
    "astronaut": [60, 0, 400, 500],
    "chelsea": [60, 20, 400, 290],
    "rocket": [300, 30, 360, 400],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pa_sam", "pa_sam_plus"])
def test_the_recipe_of_onnx_gives_the_predictors_masks(name, blocks, in_empty_folder):
    predictor = load_predictor(name)
    export_onnx(predictor, in_empty_folder / "onnx")
    for photograph, box in PHOTOGRAPHS.items():
        names: dict = {"photo": getattr(skimage.data, photograph)()}
        exec(blocks[2].replace("[80, 15, 482, 385]", str(box)), names)
        predictor.set_image(names["photo"])
        expected = predictor.predict(box=box)[0][0]
        assert 0.02 < expected.mean() < 0.8
        overlap, union = names["mask"] & expected, names["mask"] | expected
        assert overlap.sum() / union.sum() >= 0.999, photograph


def test_every_documented_command_exists(text):
    import typer

    commands = typer.main.get_command(app).commands
    found = re.findall(r"^pasam (\w+)(?: (\w+))?", text, re.MULTILINE)
    assert found
    for name, second in found:
        assert name in commands
        group = getattr(commands[name], "commands", None)
        assert group is None or second in group
