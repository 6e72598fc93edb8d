"""The notebook of docs, as it stands: with our models and with SAM's own predictor alike."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import skimage
import torch
from inference_models import make_predictor, picture

import pasam.models.before_segment_anything  # noqa: F401
import segment_anything
from pasam.errors import CheckpointError, ParamsError, PromptError
from pasam.inference.automatic_masks import segment_everything
from pasam.inference.sam_api import (
    SamAutomaticMaskGenerator,
    SamModel,
    SamPredictor,
    sam_model_registry,
)
from pasam.masks.run_lengths import decode

NOTEBOOK = Path("docs/predictor.ipynb")
BOX = [12, 8, 70, 50]


@pytest.fixture(autouse=True)
def _no_windows(monkeypatch):
    mpl.use("Agg")
    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))


def run(root: Path, opened: dict) -> dict:
    """Run every cell of the notebook in turn, the model's cell replaced by an open model."""
    names: dict = {}
    for cell in json.loads((root / NOTEBOOK).read_text())["cells"]:
        if cell["cell_type"] != "code":
            continue
        if "model" in cell["metadata"].get("tags", ()):
            names |= opened
            continue
        exec("".join(cell["source"]), names)
    return names


def with_ours(model) -> dict:
    sam = SamModel(model)
    return {"sam": sam, "predictor": SamPredictor(sam)}


@pytest.fixture(scope="module")
def with_sams(root, predictors):
    sam = predictors["sam"].segmenter.base.sam
    return run(root, {"sam": sam, "predictor": segment_anything.SamPredictor(sam)})


@pytest.mark.long
def test_the_notebook_gives_sams_own_numbers_for_sam(root, predictors, with_sams):
    ours = run(root, with_ours(predictors["sam"]))
    for name in ("masks", "scores", "logits"):
        assert np.array_equal(np.asarray(ours[name]), np.asarray(with_sams[name])), name
    for mine, theirs in zip(ours["batched_output"], with_sams["batched_output"], strict=True):
        assert mine.keys() == theirs.keys()
        for name in mine:
            assert mine[name].shape == theirs[name].shape
            assert (mine[name].float() - theirs[name].float()).abs().max() < 1e-3, name


@pytest.mark.long
@pytest.mark.parametrize("kind", ["hq_sam", "pa_sam"])
def test_the_notebook_runs_with_an_adapter(kind, root, predictors):
    names = run(root, with_ours(predictors[kind]))
    assert names["masks"].shape == (3, 1, 512, 512)
    assert [each["masks"].shape[-2:] for each in names["batched_output"]] == [
        (512, 512),
        (400, 600),
    ]


def test_the_notebooks_own_model_opens():
    sam = sam_model_registry["default"]()
    predictor = SamPredictor(sam.to("cpu"))
    predictor.set_image(skimage.data.astronaut())
    assert predictor.predict(box=[140, 20, 300, 220])[0].shape[1:] == (512, 512)


def test_batches_equal_each_prompt_alone(predictors):
    model = predictors["pa_sam"]
    sam, image = SamModel(model), picture(60, 90)
    predictor = SamPredictor(sam)
    pixels = torch.as_tensor(predictor.transform.apply_image(image)).permute(2, 0, 1)
    boxes = torch.tensor([[12.0, 8, 70, 50]])
    there = predictor.transform.apply_boxes_torch(boxes, (60, 90))
    (answer,) = sam([{"image": pixels, "boxes": there, "original_size": (60, 90)}], False)
    model.set_image(image)
    masks, scores, _ = model.predict(box=boxes[0].tolist())
    assert np.array_equal(answer["masks"][0], masks)
    assert np.allclose(answer["iou_predictions"][0], scores, atol=1e-5)


def test_sams_predictor_keeps_whose_its_model_is_and_what_it_was_trained_on():
    own = make_predictor("pa_sam", origin="mine", trained_on="photographs")
    made = SamPredictor(SamModel(own))
    assert (made.origin, made.trained_on) == ("mine", "photographs")


def test_a_predictor_has_its_model_as_sams_has(predictors):
    model = predictors["pa_sam"].model
    assert (model.image_encoder.img_size, model.mask_threshold) == (predictors["pa_sam"].side, 0.0)
    assert model.eval().device == predictors["pa_sam"].device


def test_the_generator_gives_masks_as_arrays(predictors):
    sam, image = SamModel(predictors["sam"]), picture(60, 90)
    options = {"points_per_side": 3, "pred_iou_thresh": -9.0, "stability_score_thresh": 0.01}
    generator = SamAutomaticMaskGenerator(sam, **options)
    found = generator.generate(image)
    expected = segment_everything(predictors["sam"], image, generator.options)
    assert found
    for mine, record in zip(found, expected, strict=True):
        assert np.array_equal(mine["segmentation"], decode(record["segmentation"]))
    with pytest.raises(ParamsError, match="no option 'points'"):
        SamAutomaticMaskGenerator(sam, points=3)


def test_a_size_needs_its_weights_and_an_unknown_one_is_a_key_error():
    with pytest.raises(CheckpointError, match=r"sam_model_registry\['vit_b'\] needs the file"):
        sam_model_registry["vit_b"]()
    with pytest.raises(KeyError, match="vit_x"):
        sam_model_registry["vit_x"]
    assert {"default", "vit_b", "sam"} <= set(sam_model_registry)


@pytest.mark.parametrize("resize", ["longest", "squash"])
def test_every_part_of_the_api_resizes_as_its_model_does(resize):
    own = make_predictor("pa_sam", resize=resize)
    assert own.frozen_base.resize == resize
    assert (own.frozen_base.base, own.frozen_base.is_adapted) == (own.base, False)
    predictor, image = SamPredictor(SamModel(own)), picture(60, 90)
    assert (predictor.resize, predictor.base, predictor.name) == (resize, own.base, "pa_sam")
    predictor.set_image(image)
    own.set_image(image)
    prompt = {"box": [12, 8, 70, 50], "return_logits": True}
    assert np.array_equal(predictor.predict(**prompt)[0], own.predict(**prompt)[0])


def test_a_batch_takes_points_with_their_labels_masks_and_candidates_as_sam_does(predictors):
    model, image = predictors["sam"], picture(60, 90)
    sam, theirs = SamModel(model), model.segmenter.base.sam
    predictor = SamPredictor(sam)
    predictor.set_image(image)
    pixels = torch.as_tensor(predictor.transform.apply_image(image)).permute(2, 0, 1)
    noise = torch.Generator().manual_seed(0)
    prompt = {
        "image": pixels, "original_size": (60, 90),
        "point_coords": torch.rand(2, 3, 2, generator=noise) * 60,
        "point_labels": torch.tensor([[1, 0, 1], [0, 1, 0]]),
        "mask_inputs": 5 * torch.randn(2, 1, 32, 32, generator=noise),
    }  # fmt: skip
    for multimask in (True, False):
        (found,), (wanted,) = sam([prompt], multimask), theirs([prompt], multimask)
        assert found["masks"].shape == (2, 3 if multimask else 1, 60, 90)
        for name in ("masks", "iou_predictions", "low_res_logits"):
            torch.testing.assert_close(found[name], wanted[name], rtol=1e-4, atol=1e-4)


def test_models_of_the_registry_keep_the_aspect_whatever_their_base_is_best_at(monkeypatch):
    opened = []
    monkeypatch.setattr("pasam.inference.sam_api.find_model", lambda name: name)
    monkeypatch.setattr(
        "pasam.inference.sam_api.open_model", lambda files, **how: opened.append((files, how))
    )
    monkeypatch.setattr("pasam.inference.sam_api.SamModel", lambda model: model)
    sam_model_registry["default"]()
    sam_model_registry["pa_sam"]()
    sam_model_registry["vit_b"](checkpoint=Path("some.pth"))
    kept = {"resize": "longest"}
    assert opened == [("packaged/pa_sam", kept), ("pa_sam", kept), ("some.pth", kept)]


def test_a_model_is_moved_with_its_weights_and_stays_what_is_asked():
    moved = []
    sam = SamModel(SimpleNamespace(side=64, segmenter=SimpleNamespace(to=moved.append)))
    assert sam.to("cuda:1") is sam
    assert moved == ["cuda:1"]
    assert sam.eval() is sam


@pytest.mark.parametrize("return_logits", [True, False])
@pytest.mark.parametrize("part", ["boxes", "point_coords", "mask_input"])
def test_a_batch_of_no_prompts_has_no_masks(part, return_logits, predictor):
    predictor.set_image(picture(60, 90))
    side = predictor.mask_side
    shapes = {"boxes": (4,), "point_coords": (2, 2), "mask_input": (1, side, side)}
    given = {"point_coords": None, "point_labels": None, "return_logits": return_logits}
    given[part] = torch.zeros(0, *shapes[part])
    if part == "point_coords":
        given["point_labels"] = torch.zeros(0, 2)
    masks, scores, low_res = predictor.predict_torch(**given)
    alone = predictor.predict(box=BOX, return_logits=return_logits)
    assert [tuple(each.shape) for each in (masks, scores, low_res)] == [
        (0, *each.shape) for each in alone
    ]
    assert (masks.dtype == torch.bool) is not return_logits


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((torch.zeros(2, 1, 2), None), "point_coords and point_labels go together"),
        ((None, torch.ones(2, 1), torch.zeros(2, 4)), "point_coords and point_labels go together"),
        ((torch.zeros(2, 1, 2), torch.ones(2, 1), torch.zeros(3, 4)),
         "2 in point_coords, 2 in point_labels, 3 in boxes"),
    ],
)  # fmt: skip
def test_the_parts_of_a_batch_are_of_one_number(given, words, predictors):
    predictors["sam"].set_image(picture(60, 90))
    with pytest.raises(PromptError, match=words):
        predictors["sam"].predict_torch(*given)
