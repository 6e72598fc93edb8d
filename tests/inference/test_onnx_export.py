"""What is written as ONNX computes the same in another runtime."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from inference_models import BASE, make_predictor, picture
from small_world import small_base
from variants import image_adapter, pa_sam

from pasam.errors import ExportError
from pasam.inference import onnx_export
from pasam.inference.image_prompt import image_prompt
from pasam.inference.onnx_export import (
    ImageGraph,
    Parity,
    PromptGraph,
    check_parity,
    export_onnx,
    graph_edges,
)
from pasam.inference.predictor import PromptAdapterPredictor
from pasam.models.build import build_decoder
from pasam.models.segmenter import Segmenter


@pytest.fixture(
    scope="module",
    params=["sam", pytest.param("hq_sam", marks=pytest.mark.slow), "pa_sam"],
)
def exported(request, tmp_path_factory):
    """A model of each kind and its files, written once."""
    model = make_predictor(request.param)
    folder = tmp_path_factory.mktemp(request.param)
    return model, folder, export_onnx(model, folder)


@pytest.mark.long
def test_logits_differ_by_less_than_a_thousandth_and_masks_agree(exported):
    _, _, parity = exported
    assert parity.difference < 1e-3
    assert parity.iou >= 0.999
    assert parity.prompts == 13


@pytest.mark.long
@pytest.mark.parametrize(("prompts", "points"), [(1, 1), (2, 9), (17, 3)])
def test_numbers_of_prompts_and_points_are_free(prompts, points, exported):
    model, folder, _ = exported
    parity = check_parity(model, folder, [(prompts, points)])
    assert parity.difference < 1e-3
    assert parity.iou >= 0.999


@pytest.mark.slow  # an export
@pytest.mark.parametrize("side", [32, pytest.param(96, marks=pytest.mark.slow)])
def test_other_grids_agree_too(side, tmp_path):
    torch.manual_seed(0)
    model = make_predictor("pa_sam", small_base(side=side, dim=16))
    parity = export_onnx(model, tmp_path)
    assert parity.difference < 1e-3
    assert parity.iou >= 0.999


@pytest.mark.long
def test_finer_maps_and_fine_compensation_are_in_the_graphs(tmp_path):
    plain = make_predictor("pa_sam")
    torch.manual_seed(0)
    decoder = build_decoder(
        plain.segmenter.base, pa_sam(adapter_maps="double", adapter_fine=True, mining_method="none")
    )
    with torch.no_grad():
        decoder.fine_compensation.out.weight.normal_()
    segmenter = Segmenter(base=plain.segmenter.base, decoder=decoder)
    parity = export_onnx(PromptAdapterPredictor(segmenter, name="pa_sam", base=BASE), tmp_path)
    assert parity.difference < 1e-3
    assert parity.iou >= 0.999
    names = [i.name for i in onnxruntime.InferenceSession(tmp_path / "prompts.onnx").get_inputs()]
    assert names[:4] == ["image_embeddings", "guiding", "detail", "fine"]


@pytest.mark.long
def test_the_files_say_what_they_are(exported):
    model, folder, _ = exported
    assert sorted(path.name for path in folder.iterdir()) == ["image.onnx", "prompts.onnx"]
    for path in folder.iterdir():
        file = onnx.load(path)
        words = {word.key: word.value for word in file.metadata_props}
        assert (words["model"], words["base"], words["side"]) == (model.name, BASE, "64")
    names = [i.name for i in onnxruntime.InferenceSession(folder / "image.onnx").get_inputs()]
    assert names == (["pixels", "edges"] if model.name == "pa_sam" else ["pixels"])


@pytest.mark.long
def test_graphs_of_another_model_are_told_apart_whichever_prompts_differ_most(exported):
    model, folder, _ = exported
    torch.manual_seed(9)
    other = make_predictor(model.name, small_base())
    orders = [(1, 1), (5, 3)], [(5, 3), (1, 1)]
    first, second = (check_parity(other, folder, order).difference for order in orders)
    assert first == second > 1e-3


def test_graphs_that_differ_are_not_kept(monkeypatch, tmp_path):
    monkeypatch.setattr(onnx_export, "_write", lambda graph, given, path, **_: path.touch())
    monkeypatch.setattr(onnx_export, "check_parity", lambda *_: Parity(0.0011, 0.9, 13))
    with pytest.raises(ExportError, match="the written graphs differ from sam by 0.0011"):
        export_onnx(make_predictor("sam"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_graphs_that_differ_by_just_what_is_allowed_are_kept(monkeypatch, tmp_path):
    monkeypatch.setattr(onnx_export, "_write", lambda graph, given, path, **_: path.touch())
    parity = Parity(onnx_export.TOLERANCE, 0.9, 13)
    monkeypatch.setattr(onnx_export, "check_parity", lambda *_: parity)
    assert export_onnx(make_predictor("sam"), tmp_path / "new") is parity
    kept = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert kept == ["image.onnx", "prompts.onnx"]


@pytest.mark.parametrize("kind", ["sam", "pa_sam"])
@pytest.mark.parametrize("off", [0.0, 0.25, -0.25])
def test_the_largest_difference_of_all_that_was_tried_counts(kind, off, predictors, monkeypatch):
    model = predictors[kind]

    class Session:
        """Stands for another runtime, which is off for three prompts at once."""

        def __init__(self, path):
            graph = {"image.onnx": ImageGraph, "prompts.onnx": PromptGraph}[path.name]
            self.graph = graph(model.segmenter)

        @torch.no_grad()
        def run(self, _, named):
            assert set(named) == set(self.graph.inputs)
            given = (torch.from_numpy(named[name]) for name in self.graph.inputs)
            found = [part.numpy() for part in self.graph(*given)]
            if isinstance(self.graph, PromptGraph) and len(found[0]) == 3:
                found[0] = found[0] + np.float32(off)
            return found

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    for tried in ([(1, 1), (3, 2)], [(3, 2), (1, 1)]):
        parity = check_parity(model, Path("x"), tried)
        assert parity.difference == pytest.approx(abs(off), abs=1e-5)
        assert (parity.iou < 0.9999, parity.prompts) == (off != 0, 4)


def test_a_file_says_which_model_it_is_and_how_images_are_brought_to_it():
    said = {"base": BASE, "resize": "squash", "side": "64", "mask_side": "32"}
    model = make_predictor("pa_sam", resize="squash")
    gradient = model.segmenter.decoder.gradient
    assert onnx_export._metadata(model) == {**said, "model": "pa_sam", "gradient": gradient}
    plain = onnx_export._metadata(make_predictor("sam"))
    assert plain == {**said, "model": "sam", "resize": "longest", "gradient": "none"}


@pytest.mark.parametrize(
    ("kind", "image", "prompts"),
    [
        ("sam", ["pixels"], ["masks", "scores"]), ("hq_sam", ["pixels"], ["masks", "scores"]),
        ("pa_sam", ["pixels", "edges"], ["masks", "scores", "uncertainty"]),
    ],
)  # fmt: skip
def test_numbers_of_prompts_and_of_points_are_free_in_what_is_written(
    kind, image, prompts, predictors, monkeypatch, tmp_path
):
    written = {}

    def write(graph, given, path, *, dynamic, metadata):
        assert len(given) == len(graph.inputs)
        assert metadata == onnx_export._metadata(predictors[kind])
        written[path.name] = (graph.inputs, graph.outputs, dynamic)
        path.touch()

    def check(model, folder, tried=onnx_export.CHECKED):
        assert {path.name for path in folder.iterdir()} == set(written)
        assert (model, tried) == (predictors[kind], onnx_export.CHECKED)
        return Parity(0.0, 1.0, 13)

    monkeypatch.setattr(onnx_export, "_write", write)
    monkeypatch.setattr(onnx_export, "check_parity", check)
    export_onnx(predictors[kind], tmp_path)
    inputs, features, fixed = written["image.onnx"]
    assert (inputs, fixed) == (image, {})
    asked = ["point_coords", "point_labels", "mask_input", "has_mask_input"]
    inputs, outputs, free = written["prompts.onnx"]
    assert (inputs, outputs) == ([*features, *asked], prompts)
    assert free == {
        **{name: {0: "N"} for name in (*asked, *prompts)},
        **{name: {0: "N", 1: "k"} for name in asked[:2]},
    }


@torch.no_grad()
def test_finer_maps_and_fine_compensation_pass_through_the_graphs():
    plain = make_predictor("pa_sam")
    torch.manual_seed(0)
    decoder = build_decoder(
        plain.segmenter.base, pa_sam(adapter_maps="double", adapter_fine=True, mining_method="none")
    )
    decoder.fine_compensation.out.weight.normal_()
    segmenter = Segmenter(base=plain.segmenter.base, decoder=decoder)
    model = PromptAdapterPredictor(segmenter, name="pa_sam", base=BASE)
    assert ImageGraph(segmenter).outputs == ["image_embeddings", "guiding", "detail", "fine"]
    image = model.embed(picture(60, 90))
    expected = model.predict_many([(image, image_prompt(box=BOX))])[0]
    masks, scores, uncertainty = by_graphs(model, image, [BOX[:2], BOX[2:]], [2, 3])
    np.testing.assert_allclose(masks[0, 0], expected.low_res[0], atol=1e-4)
    np.testing.assert_allclose(scores[0, 0], expected.scores[0], atol=1e-5)
    assert uncertainty.shape == (1, 1, 16, 16)


def test_without_onnx_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ExportError, match=r'pip install "prompt-adapter-sam\[export\]"'):
        export_onnx(make_predictor("sam"), tmp_path)


BOX, POINT = [12.0, 8, 70, 50], [30.0, 20]


@torch.no_grad()
def by_graphs(predictor, image, coords, labels, mask=None):
    """Ask the graphs as another runtime would."""
    pixels = image.padded()[None]
    graph, prompts = ImageGraph(predictor.segmenter), PromptGraph(predictor.segmenter)
    edges = (graph_edges(predictor.segmenter, pixels),) if graph.sees_edges else ()
    there = image.transform.into_input(np.array(coords))
    side = predictor.mask_side
    given = torch.zeros(1, 1, side, side) if mask is None else torch.tensor(mask)[None]
    return prompts(
        *graph(pixels, *edges),
        torch.tensor(there, dtype=torch.float32)[None],
        torch.tensor([labels], dtype=torch.float32),
        given,
        torch.tensor([0.0 if mask is None else 1.0]),
    )


@pytest.mark.parametrize("with_mask", [False, True])
def test_a_box_is_two_points_labelled_2_and_3(predictor, with_mask):
    image = predictor.embed(picture(60, 90))
    mask = np.random.default_rng(0).normal(size=(1, 32, 32)).astype(np.float32)
    mask = mask if with_mask else None
    expected = predictor.predict_many([(image, image_prompt(box=BOX, mask=mask))])[0]
    found = by_graphs(predictor, image, [BOX[:2], BOX[2:]], [2, 3], mask)
    np.testing.assert_allclose(found[0][0, 0], expected.low_res[0], atol=1e-4)
    np.testing.assert_allclose(found[1][0, 0], expected.scores[0], atol=1e-5)


def test_a_point_alone_is_followed_by_one_that_says_nothing(predictor):
    image = predictor.embed(picture(60, 90))
    beside = image_prompt(points=[POINT, [70.0, 5]], labels=[1, 0])
    for prompt, points, labels in (
        (image_prompt(points=[POINT]), [POINT, [0, 0]], [1, -1]),
        (beside, [POINT, [70, 5], [0, 0]], [1, 0, -1]),
    ):
        expected = predictor.predict_many([(image, prompt)])[0]
        found = by_graphs(predictor, image, points, labels)
        np.testing.assert_allclose(found[0][0, 0], expected.low_res[0], atol=1e-4)


def test_the_image_adapters_graph_gives_its_one_mask_on_adapted_features():
    base = make_predictor("sam").segmenter.base
    torch.manual_seed(1)
    decoder = build_decoder(base, image_adapter())
    with torch.no_grad():
        decoder.image_adapter.change[-1].weight.normal_(std=0.1)
    segmenter = Segmenter(base=base, decoder=decoder)
    model = PromptAdapterPredictor(segmenter, name="rival", base=BASE)
    image = model.embed(picture(60, 90))
    expected = model.predict_many([(image, image_prompt(box=BOX))])[0]
    masks, scores = by_graphs(model, image, [BOX[:2], BOX[2:]], [2, 3])
    assert (masks.shape, scores.shape) == ((1, 1, 32, 32), (1, 1))
    np.testing.assert_allclose(masks[0, 0], expected.low_res[0], atol=1e-4)


def test_pa_sams_graph_gives_the_uncertainty_too(predictors):
    image = predictors["pa_sam"].embed(picture(64, 64))
    masks, _, uncertainty = by_graphs(predictors["pa_sam"], image, [BOX[:2], BOX[2:]], [2, 3])
    assert masks.shape == (1, 1, 32, 32)
    assert uncertainty.shape == (1, 1, 8, 8)


def test_sams_graph_gives_all_four_masks(predictors):
    image = predictors["sam"].embed(picture(64, 64))
    masks, scores = by_graphs(predictors["sam"], image, [BOX[:2], BOX[2:]], [2, 3])
    assert masks.shape == (1, 4, 32, 32)
    assert scores.shape == (1, 4)


def test_the_edges_can_be_found_without_torch(predictors):
    """The recipe of docs/predict.md, which other languages follow."""
    predictor = predictors["pa_sam"]
    image = predictor.embed(picture(64, 64))
    pixels = image.padded().numpy()
    mean = np.array([123.675, 116.28, 103.53], np.float32)[:, None, None]
    deviation = np.array([58.395, 57.12, 57.375], np.float32)[:, None, None]
    normalised = ((pixels - mean) / deviation).transpose(1, 2, 0)
    small = cv2.resize(normalised, (32, 32), interpolation=cv2.INTER_LINEAR)
    edges = cv2.Canny((np.trunc(small).astype(np.int64) % 256).astype(np.uint8), 10, 100) > 0
    expected = graph_edges(predictor.segmenter, image.padded()[None])[0, 0].numpy()
    assert expected.any()
    assert (edges == expected).mean() > 0.99


def test_a_model_that_mines_at_random_cannot_be_exported():
    base = make_predictor("sam").segmenter.base
    decoder = build_decoder(base, pa_sam(mining_method="random"))
    with pytest.raises(ExportError, match="mines its points at random"):
        PromptGraph(Segmenter(base=base, decoder=decoder))
