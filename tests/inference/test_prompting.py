"""Three ways to prompt an image: fixed prompts, automatic masks, a detector's boxes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from inference_models import picture

from pasam.errors import DataError, PromptError
from pasam.inference.image_prompt import image_prompt
from pasam.inference.prompting import (
    AutomaticMasks,
    FixedPrompts,
    PromptedObject,
    PromptsByImage,
    ReadImage,
    detected_boxes,
)

PATH = Path("a.png")
BOX = image_prompt(box=[12, 8, 70, 50])
IMAGES = [Path("x/a.jpg"), Path("x/b.jpg")]


@pytest.fixture
def masks_of(predictors):
    """Prompt one image of 90 x 60 pixels, of PA-SAM unless another model is named."""

    def predicted(prompting, kind="pa_sam", *, uncertainty=False):
        model, pixels = predictors[kind], picture(60, 90)
        image = ReadImage(PATH, pixels, model.embed(pixels))
        return prompting.masks(model, image, uncertainty=uncertainty)

    return predicted


def test_fixed_prompts_give_one_mask_each_with_what_was_asked(masks_of):
    prompting = FixedPrompts([BOX, image_prompt(points=[[5, 6]])])
    found = masks_of(prompting, uncertainty=True)
    assert [each.mask.shape for each in found] == [(60, 90)] * 2
    assert found[0].prompt == {"box": [12, 8, 70, 50]}
    assert found[1].prompt == {"points": [[5, 6]], "labels": [1]}
    assert found[0].uncertainty.shape == (60, 90)
    assert (prompting.categories, prompting.upright) == ({1: "object"}, True)


@pytest.mark.parametrize("kind", ["sam", "hq_sam"])
def test_only_pa_sam_has_an_uncertainty_map_to_bring(kind, masks_of):
    assert masks_of(FixedPrompts([BOX]), kind, uncertainty=True)[0].uncertainty is None


def test_a_prompt_outside_the_image_is_refused(masks_of):
    with pytest.raises(PromptError, match="outside the image of 90 x 60"):
        masks_of(FixedPrompts([image_prompt(box=[1, 2, 300, 40])]))


@pytest.mark.parametrize("kind", ["sam", "pa_sam"])
def test_automatic_masks_take_what_was_typed_and_what_suits_the_model_for_the_rest(kind, masks_of):
    typed = {"points_per_side": 2, "pred_iou_thresh": -9.0, "stability_score_thresh": 0.0}
    found = masks_of(AutomaticMasks(typed), kind)
    points = {tuple(each.prompt["points"][0]) for each in found}
    assert points
    assert points <= {(22.5, 15), (67.5, 15), (22.5, 45), (67.5, 45)}
    assert all(each.prompt["labels"] == [1] and each.mask.any() for each in found)


def test_what_a_detector_says_goes_into_the_record(masks_of):
    extra = {"category_id": 3, "category": "dog", "detection_score": 0.9}
    prompting = PromptsByImage({3: "dog"}, {PATH: [PromptedObject(BOX, extra)]})
    (mask,) = masks_of(prompting)
    assert mask.with_prompt().items() >= extra.items()
    assert (prompting.categories, prompting.upright) == ({3: "dog"}, False)


def test_an_image_without_detections_has_no_masks(masks_of):
    assert masks_of(PromptsByImage({}, {PATH: []})) == []


@pytest.fixture
def match(tmp_path):
    """Write a set and results, and match them to images."""

    def matched(entries, images=IMAGES, names=("a.jpg", "b.jpg"), **choices):
        content = {
            "images": [
                {"id": i + 7, "file_name": name, "height": 60, "width": 90}
                for i, name in enumerate(names)
            ],
            "annotations": [],
            "categories": [{"id": 3, "name": "dog"}],
        }
        (tmp_path / "set.json").write_text(json.dumps(content))
        (tmp_path / "found.json").write_text(json.dumps(entries))
        options = {"lowest": 0.3, "most": 100, **choices}
        return detected_boxes(images, tmp_path / "found.json", tmp_path / "set.json", **options)

    return matched


def entry(score: float, image: int = 7) -> dict:
    return {"image_id": image, "category_id": 3, "bbox": [5, 6, 20, 10], "score": score}


def test_boxes_go_to_their_images_the_best_first(match):
    found = match([entry(0.4), entry(0.9), entry(0.1)])
    first, second = found.by_image[IMAGES[0]]
    assert first.prompt.box.tolist() == [5, 6, 25, 16]
    assert first.extra == {"category_id": 3, "category": "dog", "detection_score": 0.9}
    assert second.extra["detection_score"] == 0.4
    assert found.by_image[IMAGES[1]] == []
    assert found.categories == {3: "dog"}


def test_only_so_many_boxes_are_kept(match):
    assert len(match([entry(0.5)] * 9, most=2).by_image[IMAGES[0]]) == 2


def test_images_that_are_not_given_do_not_matter(match):
    assert match([entry(0.9, image=8)], images=IMAGES[:1]).by_image == {IMAGES[0]: []}


def test_an_image_of_another_set_is_refused(match):
    with pytest.raises(DataError, match="x/c.jpg is none of the 2 images"):
        match([], images=[Path("x/c.jpg")])


def test_names_that_do_not_tell_images_apart_are_refused(match):
    with pytest.raises(DataError, match="one name in several folders"):
        match([], names=("u/a.jpg", "v/a.jpg"))
