"""What a prompt may be, how prompts are read from JSON, and how they are put together."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from inference_models import picture
from PIL import Image
from pydantic import ValidationError

from pasam.errors import DataError, PasamError, PromptError
from pasam.inference.automatic_masks import AutomaticMaskOptions
from pasam.inference.image_prompt import (
    MaskLogits,
    PromptRequest,
    PromptRequests,
    grouped,
    image_prompt,
    read_prompts,
    read_request_image,
    validation_message,
)
from pasam.inference.image_transform import ImageTransform
from pasam.inference.predictor import SMALL_SIDE
from pasam.inference.prompting import (
    AutomaticMasks,
    FixedPrompts,
    PromptedObject,
    PromptsByImage,
    ReadImage,
    detected_boxes,
)
from pasam.inference.zoomed_boxes import predict_zoomed
from pasam.masks.images import read_image

HERE = ImageTransform(60, 90, 64, "longest")


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({}, "the prompt is empty"),
        ({"points": [], "labels": []}, r"the points are \(0,\), expected \(k, 2\)"),
        ({"points": [[1, 2]], "labels": [-1]}, "the prompt is empty"),
        ({"box": [1, 2, 3]}, "the box has 3 numbers"),
        ({"box": [5, 2, 3, 9]}, "the box 5,2,3,9 is empty, expected x0 < x1"),
        ({"box": [1, 2, 3, 2]}, "the box 1,2,3,2 is empty"),
        ({"box": [1, 2, float("nan"), 4]}, "a number of the box is not finite"),
        ({"box": ["a", 2, 3, 4]}, "the box cannot be read as numbers"),
        ({"box": [1, 2, [3], 4]}, "the box cannot be read as numbers"),
        ({"box": [1, 2, 10**400, 4]}, "the box cannot be read as numbers"),
        ({"points": [1, 2]}, r"the points are \(2,\), expected \(k, 2\)"),
        ({"points": [[1, 2, 3]]}, r"the points are \(1, 3\)"),
        ({"points": [[1, 2]], "labels": [1, 0]}, r"1 points and labels \(2,\)"),
        ({"points": [[1, 2]], "labels": [2]}, "the labels hold 2, expected 1"),
        ({"labels": [1]}, "labels but no points"),
        ({"points": [[1, float("inf")]]}, "not finite"),
        ({"mask": np.zeros((2, 4, 4))}, r"the mask prompt is \(2, 4, 4\)"),
        ({"mask": [[1e300]]}, "expected"),
    ],
)
def test_what_says_nothing_usable_is_refused_in_words(parts, words):
    with pytest.raises(PromptError, match=words):
        image_prompt(**parts)


def test_points_without_labels_lie_on_the_object():
    assert image_prompt(points=[[1, 2], [3, 4]]).labels.tolist() == [1, 1]


def test_a_box_of_one_row_is_a_box():
    assert image_prompt(box=[[1, 2, 3, 4]]).box.tolist() == [1, 2, 3, 4]


def test_what_lies_outside_the_image_is_told():
    image_prompt(box=[0, 0, 90, 60], points=[[90, 60]]).clipped(60, 90)
    with pytest.raises(PromptError, match="box corner 91,60 lies outside the image of 90 x 60"):
        image_prompt(box=[0, 0, 91, 60]).clipped(60, 90)
    with pytest.raises(PromptError, match="point -1,3 lies outside"):
        image_prompt(points=[[-1, 3]]).clipped(60, 90)


def test_prompts_of_equal_parts_share_a_group_and_every_place_comes_once():
    prompts = [
        image_prompt(box=[0, 0, 9, 9]),
        image_prompt(points=[[1, 1]]),
        image_prompt(box=[0, 0, 90, 60]),
        image_prompt(points=[[1, 1], [2, 2]]),
        image_prompt(points=[[3, 3], [4, 4]], labels=[0, 1]),
        image_prompt(points=[[1, 1]], box=[0, 0, 9, 9]),
        image_prompt(points=[[1, 1]], mask=np.zeros((32, 32))),
    ]
    groups = grouped([(each, HERE) for each in prompts], mask_side=32, device=torch.device("cpu"))
    assert [group.indices.tolist() for group in groups] == [[0, 2], [1], [3, 4], [5], [6]]
    assert groups[0].boxes[1].tolist() == [0, 0, 64, 43]
    assert groups[0].points is None
    assert groups[2].point_labels.tolist() == [[1, 1], [0, 1]]
    assert groups[1].masks is None


def test_prompts_of_several_images_are_each_brought_by_its_own_images_transform():
    there = ImageTransform(40, 20, 64, "squash")
    masks = [np.zeros((60, 90), bool), np.ones((40, 20), bool)]
    prompts = [image_prompt(box=[0, 0, 10, 20], points=[[10, 20]], mask=mask) for mask in masks]
    placed = list(zip(prompts, (HERE, there), strict=True))
    (group,) = grouped(placed, mask_side=32, device=torch.device("cpu"))
    assert group.boxes[1].tolist() == [0, 0, 32, 32]
    assert group.points[1].tolist() == [[32, 32]]
    assert group.boxes[0].tolist() != group.boxes[1].tolist()
    assert [float(mask.mean()) for mask in group.masks] == pytest.approx([-10, 10])


def read(text):
    return read_prompts(text, most=1024)


def test_whole_and_broken_numbers_are_taken():
    prompt = PromptRequest.model_validate_json('{"box": [1, 2.5, 3, 4], "points": [[5, 6]]}')
    assert prompt.box == (1, 2.5, 3, 4)
    assert prompt.points == [(5, 6)]


@pytest.mark.parametrize(
    "text",
    [
        '{"box": [1, 2, 3]}', '{"box": ["1", 2, 3, 4]}', '{"box": [NaN, 2, 3, 4]}',
        '{"box": [1e999, 2, 3, 4]}', '{"box": [true, 2, 3, 4]}', '{"points": [[1, 2, 3]]}',
        '{"points": [[1, 2]], "labels": [2]}', '{"points": [[1, 2]], "labels": [0.5]}',
        '{"boxes": [1, 2, 3, 4]}', '{"mask": {"side": 0, "float32": ""}}', '{"mask": 3}', "[]",
        '{"mask": [["1"]]}', '{"mask": [[[1, 2]], [[1, 2]]]}',
    ],
)  # fmt: skip
def test_anything_else_is_refused(text):
    with pytest.raises(ValidationError):
        PromptRequest.model_validate_json(text)


def test_labels_are_taken_as_other_languages_write_them():
    (prompt,) = read('{"points": [[1, 2], [3, 4], [5, 6]], "labels": [1.0, 0, -1]}')
    assert prompt.labels.tolist() == [1, 0]
    assert prompt.points.tolist() == [[1, 2], [3, 4]]


def test_prompts_may_be_one_many_or_boxes():
    assert [p.box.tolist() for p in read('{"box": [1, 2, 3, 4]}')] == [[1, 2, 3, 4]]
    two = read('{"boxes": [[1, 2, 3, 4], [2, 3, 4, 5]]}')
    assert [prompt.box.tolist() for prompt in two] == [[1, 2, 3, 4], [2, 3, 4, 5]]
    points = read('[{"points": [[1, 2], [3, 4]], "labels": [1, 0]}, {"box": [1, 2, 3, 4]}]')
    assert points[0].labels.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "prompts: Invalid JSON"),
        ("[]", "0 prompts, expected 1 to 1024"),
        ("7", "prompts: Input should be a valid .*, found 7"),
        ('{"bocks": []}', r"prompts\[0\].bocks: .*not permitted"),
        ('[{"box": [1, 2, 3, 4]}, {"box": [3, 3, 1, 1]}]', "prompt 1: the box"),
        ('{"boxes": 3}', "'boxes' is a list"),
        ('{"boxes": [[1,2,3,4]], "points": []}', "stands alone"),
        ('[{"box": [NaN, 1, 2, 3]}]', "finite number, found nan"),
        ("[" * 100_000, "prompts: Invalid JSON"),
    ],
)
def test_anything_else_is_refused_in_words(text, words):
    with pytest.raises(PromptError, match=words):
        read(text)


def test_too_many_prompts_or_points_are_refused_and_the_limits_are_taken():
    request = PromptRequests.model_validate([{"points": [(1, 1)] * 3}, {"points": [(1, 1)] * 4}])
    assert len(request.prompts(most=2, most_points=4)) == 2
    with pytest.raises(PromptError, match="prompt 1 has 4 points, at most 3"):
        request.prompts(most=2, most_points=3)
    with pytest.raises(PromptError, match="there are 2 prompts, expected 1 to 1"):
        request.prompts(most=1)


def test_mask_logits_come_back_bit_for_bit_as_numbers_or_as_base64():
    logits = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)
    packed = MaskLogits.of(logits).model_dump()
    for mask in (packed, logits.tolist(), [logits.tolist()]):
        (prompt,) = read(json.dumps({"mask": mask}))
        assert np.array_equal(prompt.mask, logits)


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        ({"side": 32, "float32": "?"}, "no base64"),
        ({"side": 32, "float32": "AAAA"}, "3 bytes, expected 4096"),
        (MaskLogits.of(np.full((2, 2), np.inf, np.float32)).model_dump(), "not finite"),
    ],
)
def test_mask_logits_that_are_damaged_are_refused(mask, words):
    with pytest.raises(PromptError, match=words):
        read(json.dumps({"mask": mask}))


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["box", "boxes", "points", "labels", "mask", "x"]), inner, max_size=3
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150)
@given(json_values)
def test_no_json_at_all_breaks_the_reading(value):
    with contextlib.suppress(PasamError):  # any other error fails the test
        assert read(json.dumps(value))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "photo.jpg"
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def encoded(content):
    return base64.b64encode(content).decode()


@pytest.mark.parametrize("prefix", ["", "data:image/jpeg;base64,"])
def test_bytes_and_path_give_the_pixels_that_the_library_reads(prefix, file):
    wanted = read_image(file)
    assert (read_request_image(prefix + encoded(file.read_bytes()), None) == wanted).all()
    assert (read_request_image(None, str(file)) == wanted).all()


@pytest.mark.parametrize(
    ("image", "path", "words"),
    [
        (None, None, "either 'image' .* or 'path'"),
        ("aGVsbG8=", "x.png", "either 'image' .* or 'path'"),
        ("no base 64!", None, "'image' is not base64"),
        ("aGVsbG8=", None, "cannot be decoded"),
        (None, "/nowhere.png", "names no file"),
        (None, "/", "names no file"),
        (None, "a\0b", "names no file"),
    ],
)
def test_what_is_no_image_is_refused_in_words(image, path, words):
    with pytest.raises(DataError, match=words):
        read_request_image(image, path)


def test_a_picture_cut_short_is_refused_without_a_path_of_the_server(file):
    with pytest.raises(DataError, match="cannot be decoded") as caught:
        read_request_image(encoded(file.read_bytes()[:-200]), None)
    assert "/" not in str(caught.value)


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded():
    buffer = io.BytesIO()
    Image.new("1", (9000, 9000)).save(buffer, format="PNG")
    with pytest.raises(DataError, match="9000 x 9000 pixels, where at most 64 million"):
        read_request_image(encoded(buffer.getvalue()), None)


def test_half_a_pixel_outside_is_the_edge_and_more_is_refused():
    prompt = image_prompt(box=[-0.5, 3, 90.5, 60.4], points=[[90.3, -0.2]])
    inside = prompt.clipped(60, 90)
    assert inside.box.tolist() == [0, 3, 90, 60]
    assert inside.points.tolist() == [[90, 0]]
    with pytest.raises(PromptError, match="box corner 90.6,60 lies outside"):
        image_prompt(box=[0, 0, 90.6, 60]).clipped(60, 90)
    for beside in ([90.1, 3, 90.4, 9], [3, -0.4, 9, 0]):  # nothing of it is left at the edge
        with pytest.raises(PromptError, match="is empty, expected x0 < x1"):
            image_prompt(box=beside).clipped(60, 90)


def test_only_where_the_object_is_not_is_no_prompt():
    with pytest.raises(PromptError, match="only where the object is not"):
        image_prompt(points=[[3, 4], [5, 6]], labels=[0, 0])
    assert image_prompt(box=[1, 2, 3, 4], points=[[3, 4]], labels=[0]).labels.tolist() == [0]
    assert image_prompt(points=[[3, 4]], labels=[0], mask=np.zeros((8, 8))).mask is not None


def test_a_soft_mask_is_cut_where_masks_are_and_ones_are_foreground_where_nothing_is_more():
    soft, ones = (np.array([row], np.uint8) for row in ([0, 1, 128, 129], [0, 1, 1, 0]))
    assert image_prompt(mask=soft).mask.tolist() == [[False, False, False, True]]
    assert image_prompt(mask=ones).mask.tolist() == [[False, True, True, False]]


@pytest.mark.parametrize(("kind", "value"), [(np.bool_, 1), (np.uint8, 255), (np.uint8, 1)])
@pytest.mark.parametrize("resize", ["longest", "squash"])
def test_a_mask_of_the_image_becomes_logits_over_the_input(kind, value, resize):
    drawn = np.zeros((60, 90), kind)
    drawn[:, 45:] = value
    transform = ImageTransform(60, 90, 96, resize)
    logits = image_prompt(mask=drawn).with_logits(transform, 32).mask
    assert (logits.shape, logits.dtype) == ((32, 32), np.float32)
    filled = 32 if resize == "squash" else 21
    assert np.allclose(logits[: filled - 1, :14], -10)
    assert np.allclose(logits[: filled - 1, 18:], 10)
    if resize == "longest":  # below the image nothing is
        assert np.allclose(logits[23:], -10)


@pytest.mark.parametrize("mask", [[[], [0.0]], [[], []], [], [[[0.0]], [[0.0], [1.0]]]])
def test_a_mask_prompt_that_is_no_rectangle_is_refused(mask):
    with pytest.raises(PromptError, match="the mask prompt"):
        image_prompt(mask=mask)


def test_a_mask_of_another_size_or_side_is_refused():
    transform = ImageTransform(60, 90, 96, "longest")
    with pytest.raises(PromptError, match="has 80 x 60 pixels, expected 90 x 60"):
        image_prompt(mask=np.zeros((60, 80), bool)).with_logits(transform, 32)
    with pytest.raises(PromptError, match=r"is \(8, 8\), expected \(32, 32\)"):
        image_prompt(mask=np.zeros((8, 8))).with_logits(transform, 32)


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


def test_automatic_masks_take_the_embedding_that_there_is_and_tell_their_progress(
    predictors, monkeypatch
):
    asked = []

    def found(model, pixels, options, *, embedded, on_progress):
        asked.append((model, pixels, options, embedded))
        on_progress(0.5)
        return []

    monkeypatch.setattr("pasam.inference.prompting.segment_everything", found)
    model, pixels, heard = predictors["sam"], picture(60, 90), []
    image = ReadImage(PATH, pixels, model.embed(pixels))
    typed = {"crop_n_layers": 2, "min_mask_region_area": 9}
    AutomaticMasks(typed).masks(model, image, uncertainty=True, on_progress=heard.append)
    options = dataclasses.replace(AutomaticMaskOptions.suited_to(model), **typed)
    ((model_asked, shown, chosen, embedded),) = asked
    assert model_asked is model
    assert (shown is pixels, chosen, embedded is image.embedded) == (True, options, True)
    assert heard == [0.5]


@pytest.mark.parametrize("own", [False, True], ids=["fixed", "by image"])
def test_zoom_goes_with_either_way_to_prompt_but_not_with_masks_or_maps(own, masks_of, predictors):
    small, large = image_prompt(box=[30, 20, 39, 27]), image_prompt(box=[2, 2, 85, 55])

    def asked(*prompts, uncertainty=False):
        objects = [PromptedObject(prompt, {"category_id": k}) for k, prompt in enumerate(prompts)]
        ways = PromptsByImage({}, {PATH: objects}, zoom=True), FixedPrompts(prompts, zoom=True)
        return masks_of(ways[0 if own else 1], uncertainty=uncertainty)

    found = asked(small, large)
    assert [mask.extra["zoomed"] for mask in found] == [True, False]
    assert [mask.extra.get("category_id") for mask in found] == ([0, 1] if own else [None, None])
    answers = predict_zoomed(
        predictors["pa_sam"], picture(60, 90), [each.box for each in (small, large)]
    )
    for mask, answer in zip(found, answers, strict=True):
        assert np.array_equal(mask.mask, answer.masks[0])
        assert mask.score == pytest.approx(float(answer.scores[0]))
    both = image_prompt(box=[30, 20, 39, 27], points=[[32, 22]])
    assert [mask.extra["zoomed"] for mask in asked(both)] == [True]
    point = image_prompt(points=[[32, 22]])
    clicked, boxed = asked(point, small)
    (answer,) = predict_zoomed(predictors["pa_sam"], picture(60, 90), [point])
    assert np.array_equal(clicked.mask, answer.masks[0])
    assert (clicked.extra["zoomed"], boxed.extra["zoomed"]) == (answer.zoomed, True)
    mask = image_prompt(box=[30, 20, 39, 27], mask=np.ones((60, 90), bool))
    for prompts, uncertainty in (((small,), True), ((small, mask), False)):
        with pytest.raises(PromptError, match="zoom looks at boxes and points: no prompt may have"):
            asked(*prompts, uncertainty=uncertainty)


@pytest.mark.parametrize("own", [False, True], ids=["fixed", "by image"])
def test_a_small_base_looks_from_near_where_nobody_said(own, masks_of, predictors, monkeypatch):
    small, large = image_prompt(box=[30, 20, 39, 27]), image_prompt(box=[2, 2, 85, 55])
    point = image_prompt(points=[[32, 22]])
    mask = image_prompt(box=[30, 20, 39, 27], mask=np.ones((60, 90), bool))
    prompts = (point, large, small, mask)

    def asked(zoom, **how):
        objects = [PromptedObject(prompt) for prompt in prompts]
        ways = PromptsByImage({}, {PATH: objects}, zoom=zoom), FixedPrompts(prompts, zoom=zoom)
        return masks_of(ways[0 if own else 1], **how)

    first, near = masks_of(FixedPrompts([point, small], zoom=True))
    whole, found = asked(False), asked(None)
    zoomed = [mask.extra.get("zoomed") for mask in found]
    assert zoomed == [first.extra["zoomed"], False, True, None]
    for mask, expected in zip(found, (first, whole[1], near, whole[3]), strict=True):
        assert np.array_equal(mask.mask, expected.mask)
        assert mask.prompt == expected.prompt
    with_map = asked(None, uncertainty=True)
    assert all(mask.uncertainty is not None and mask.extra == {} for mask in with_map)
    side = predictors["pa_sam"].side
    assert side < SMALL_SIDE == 512
    monkeypatch.setattr("pasam.inference.predictor.SMALL_SIDE", side)  # as of a larger base
    monkeypatch.setattr("pasam.inference.prompting.predict_zoomed", None)
    assert [mask.extra for mask in asked(None)] == [{}] * 4


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


def test_a_box_of_exactly_the_lowest_score_is_kept_and_only_of_the_best(match):
    scores = [0.3, 0.299, 0.9, 0.5]
    for most, kept in ((100, [0.9, 0.5, 0.3]), (2, [0.9, 0.5])):
        found = match([entry(score) for score in scores], most=most).by_image[IMAGES[0]]
        assert [each.extra["detection_score"] for each in found] == kept


def test_only_so_many_boxes_are_kept(match):
    assert len(match([entry(0.5)] * 9, most=2).by_image[IMAGES[0]]) == 2


def test_images_that_are_not_given_do_not_matter(match):
    assert match([entry(0.9, image=8)], images=IMAGES[:1]).by_image == {IMAGES[0]: []}


def test_an_image_of_another_set_is_refused(match):
    with pytest.raises(DataError, match="x/c.jpg is none of the 2 images"):
        match([], images=[Path("x/c.jpg")])


def test_names_that_do_not_tell_images_apart_are_refused(match):
    with pytest.raises(DataError, match=r"x/a\.jpg may be any of \['u/a\.jpg', 'v/a\.jpg'\]"):
        match([], names=("u/a.jpg", "v/a.jpg"))
    with pytest.raises(DataError, match="names an image twice"):
        match([], names=("a.jpg", "a.jpg"))


def test_images_of_one_name_are_told_apart_by_their_folders(match):
    images = [Path("set/u/\u00e4.jpg"), Path("set/v/\u00e4.jpg")]
    names = ("v\\a\u0308.jpg", "im/u/a\u0308.jpg")
    found = match([entry(0.9, image=8), entry(0.5)], images=images, names=names).by_image
    scores = [[each.extra["detection_score"] for each in found[image]] for image in images]
    assert scores == [[0.9], [0.5]]


def test_five_faults_of_a_request_are_told_and_a_long_value_is_cut():
    errors = [
        {"loc": ("body", "points", n), "type": "x", "msg": "Wrong", "input": "v" * 58}
        for n in range(6)
    ]
    told = [f"points[{n}]: Wrong, found '{'v' * 58}'" for n in range(5)]
    assert validation_message(errors) == "; ".join(told)
    errors = [{"loc": ("a",), "type": "missing", "msg": "Value error, gone", "input": "v"}]
    errors.append({"loc": (), "type": "x", "msg": "Wrong", "input": "v" * 59})
    assert validation_message(errors, root="prompts") == (
        f"prompts.a: gone; prompts: Wrong, found '{'v' * 59}..."
    )


def test_a_number_that_is_missing_in_a_box_is_said_to_be():
    with pytest.raises(ValidationError) as caught:
        PromptRequests.model_validate([{"box": [80, 15, 482]}])
    said = validation_message(caught.value.errors(), root="prompts")
    assert said == "prompts[0].box[3]: this number is missing"
