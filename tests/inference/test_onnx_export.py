"""What is written as ONNX computes the same in another runtime."""

from __future__ import annotations

import sys

import onnx
import onnxruntime
import pytest
import torch
from inference_models import BASE, KINDS, make_predictor
from small_world import small_base

from pasam.errors import ExportError
from pasam.inference import onnx_export
from pasam.inference.onnx_export import Parity, check_parity, export_onnx
from pasam.models.build import build_tiny

SMALLER = {"widths": (8, 8, 16, 16), "depths": (1, 1, 1, 1), "dim": 16}


@pytest.fixture(scope="module", params=KINDS)
def exported(request, tmp_path_factory):
    """A model of each kind and its files, written once."""
    model = make_predictor(request.param)
    folder = tmp_path_factory.mktemp(request.param)
    return model, folder, export_onnx(model, folder)


def test_logits_differ_by_less_than_a_thousandth_and_masks_agree(exported):
    _, _, parity = exported
    assert parity.difference < 1e-3
    assert parity.iou >= 0.999
    assert parity.prompts == 13


@pytest.mark.parametrize(("prompts", "points"), [(1, 1), (2, 9), (17, 3)])
def test_numbers_of_prompts_and_points_are_free(prompts, points, exported):
    model, folder, _ = exported
    parity = check_parity(model, folder, [(prompts, points)])
    assert parity.difference < 1e-3
    assert parity.iou >= 0.999


@pytest.mark.parametrize("side", [32, pytest.param(96, marks=pytest.mark.slow)])
def test_other_grids_agree_too(side, tmp_path):
    torch.manual_seed(0)
    model = make_predictor("pa_sam", build_tiny(side=side, **SMALLER))
    parity = export_onnx(model, tmp_path)
    assert parity.difference < 1e-3
    assert parity.iou >= 0.999


def test_the_files_say_what_they_are(exported):
    model, folder, _ = exported
    assert sorted(path.name for path in folder.iterdir()) == ["image.onnx", "prompts.onnx"]
    for path in folder.iterdir():
        file = onnx.load(path)
        words = {word.key: word.value for word in file.metadata_props}
        assert (words["model"], words["base"], words["side"]) == (model.name, BASE, "64")
    names = [i.name for i in onnxruntime.InferenceSession(folder / "image.onnx").get_inputs()]
    assert names == (["pixels", "edges"] if model.name == "pa_sam" else ["pixels"])


def test_graphs_of_another_model_are_told_apart(exported):
    model, folder, _ = exported
    torch.manual_seed(9)
    assert check_parity(make_predictor(model.name, small_base()), folder).difference > 1e-3


def test_graphs_that_differ_are_not_kept(monkeypatch, tmp_path):
    monkeypatch.setattr(onnx_export, "_write", lambda graph, given, path, **_: path.touch())
    monkeypatch.setattr(onnx_export, "check_parity", lambda *_: Parity(0.5, 0.9, 13))
    with pytest.raises(ExportError, match="the written graphs differ from sam by 0.5"):
        export_onnx(make_predictor("sam"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_without_onnx_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ExportError, match=r"pip install 'pasam\[export\]'"):
        export_onnx(make_predictor("sam"), tmp_path)
