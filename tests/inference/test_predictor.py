"""`SamPredictor`: exactly its numbers for SAM, and the same shape of answer for all."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from inference_models import BASE, make_predictor, picture
from small_world import dump_yaml, load_yaml

import pasam.models.before_segment_anything  # noqa: F401
import segment_anything
from pasam.errors import CheckpointError, DataError, ParamsError, PromptError
from pasam.inference.image_prompt import image_prompt
from pasam.inference.image_transform import EmbeddedImage, ImageTransform
from pasam.inference.model_files import find_model, open_model
from pasam.inference.onnx_export import export_onnx
from pasam.inference.predictor import Decoded, postprocess
from pasam.models.build import digest
from pasam.models.pa_mask_decoder import PaPrediction
from pasam.models.segmenter import Prompts

BOX = [12, 8, 70, 50]
POINTS, LABELS = [[30, 20], [60, 44], [5, 5]], [1, 1, 0]
SHAPES = [(60, 90), (100, 40), (64, 64)]
PROMPTS = {
    "box": {"box": BOX},
    "point": {"point_coords": POINTS[:1], "point_labels": [1]},
    "points": {"point_coords": POINTS, "point_labels": LABELS},
    "box and points": {"box": BOX, "point_coords": POINTS, "point_labels": LABELS},
    "mask": {"mask_input": "logits"},
    "box and mask": {"box": BOX, "mask_input": "logits"},
    "all": {
        "box": BOX,
        "point_coords": POINTS,
        "point_labels": LABELS,
        "mask_input": "logits",
    },
}


def given(name: str, side: int = 32) -> dict:
    """The prompt of a name as arrays."""
    logits = np.random.default_rng(5).normal(0, 5, (1, side, side)).astype(np.float32)
    return {
        key: logits if isinstance(value, str) else np.array(value)
        for key, value in PROMPTS[name].items()
    }


def details(model, *, point_coords=None, point_labels=None, mask_input=None, box=None, **options):
    """What is known beside the masks of a prompt on the image that is set."""
    prompt = image_prompt(box=box, points=point_coords, labels=point_labels, mask=mask_input)
    return model.predict_many([(model.image, prompt)], return_details=True, **options)[0].details


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", PROMPTS)
def test_sams_masks_are_exactly_those_of_sams_own_predictor(name, shape, predictors):
    ours = predictors["sam"]
    theirs = segment_anything.SamPredictor(ours.segmenter.base.sam)
    image = picture(*shape)
    ours.set_image(image)
    theirs.set_image(image)
    assert torch.equal(ours.get_image_embedding(), theirs.get_image_embedding())
    for multimask in (True, False):
        for logits in (True, False):
            options = {"multimask_output": multimask, "return_logits": logits}
            expected = theirs.predict(**given(name), **options)
            found = ours.predict(**given(name), **options)
            for mine, reference in zip(found, expected, strict=True):
                assert mine.dtype == reference.dtype
                assert np.array_equal(mine, reference)


@pytest.mark.parametrize("kind", ["hq_sam", "pa_sam"])
def test_an_adapters_details_hold_exactly_the_bases_masks(kind, predictors):
    image = picture(60, 90)
    adapted = predictors[kind]
    base = segment_anything.SamPredictor(adapted.segmenter.base.sam)
    adapted.set_image(image)
    base.set_image(image)
    for multimask in (True, False):
        expected = base.predict(**given("all"), multimask_output=multimask)
        found = details(adapted, multimask_output=multimask, **given("all"))
        assert np.array_equal(found.sam_masks, expected[0])
        assert np.array_equal(found.sam_scores, expected[1])


def test_the_channels_may_come_in_opencvs_order(predictor):
    image = picture(40, 64)
    predictor.set_image(image)
    expected = predictor.predict(box=BOX, return_logits=True)
    predictor.set_image(image[..., ::-1], "BGR")
    found = predictor.predict(box=BOX, return_logits=True)
    assert np.array_equal(found[0], expected[0])


@pytest.mark.parametrize("multimask", [True, False])
def test_masks_have_the_images_size_and_an_adapter_refines_one(predictor, multimask):
    predictor.set_image(picture(60, 90))
    masks, scores, low_res = predictor.predict(box=BOX, multimask_output=multimask)
    count = 3 if predictor.name == "sam" and multimask else 1
    assert masks.shape == (count, 60, 90)
    assert masks.dtype == bool
    assert scores.shape == (count,)
    assert low_res.shape == (count, 32, 32)


def test_an_adapters_mask_is_not_sams(predictors):
    predictors["pa_sam"].set_image(picture(60, 90))
    masks, _, _ = predictors["pa_sam"].predict(box=BOX, return_logits=True)
    found = details(predictors["pa_sam"], box=BOX, return_logits=True)
    assert np.abs(masks - found.sam_masks).max() > 1e-2


def test_pa_sams_details_are_maps_and_points_in_the_images_pixels(predictors):
    predictors["pa_sam"].set_image(picture(60, 90))
    found = details(predictors["pa_sam"], box=BOX)
    assert found.uncertainty.shape == found.coarse.shape == found.refined.shape == (60, 90)
    assert 0 <= found.uncertainty.min() <= found.uncertainty.max() <= 1
    assert found.positive.shape == found.negative.shape == (4, 2)


def test_hq_sam_has_no_maps(predictors):
    predictors["hq_sam"].set_image(picture(60, 90))
    found = details(predictors["hq_sam"], box=BOX)
    assert found.uncertainty is None
    assert found.positive is None


def test_a_masks_logits_can_be_the_next_prompt(predictor):
    predictor.set_image(picture(60, 90))
    _, _, low_res = predictor.predict(box=BOX, multimask_output=False)
    masks, _, _ = predictor.predict(box=BOX, mask_input=low_res, multimask_output=False)
    assert masks.shape == (1, 60, 90)


@pytest.mark.parametrize("name", PROMPTS)
def test_a_batch_in_the_inputs_pixels_is_sams_too(name, predictors):
    ours = predictors["sam"]
    theirs = segment_anything.SamPredictor(ours.segmenter.base.sam)
    ours.set_image(picture(60, 90))
    theirs.set_image(picture(60, 90))
    prompt = {key: torch.tensor(np.stack([value] * 3)) for key, value in given(name).items()}
    points, labels = prompt.get("point_coords"), prompt.get("point_labels")
    arguments = (points, labels, prompt.get("box"), prompt.get("mask_input"), True, True)
    found, expected = ours.predict_torch(*arguments), theirs.predict_torch(*arguments)
    for mine, reference in zip(found, expected, strict=True):
        assert torch.equal(mine, reference)


def test_without_an_image_there_is_no_answer(predictor):
    assert not predictor.is_image_set
    with pytest.raises(PromptError, match="no image is set: call set_image"):
        predictor.predict(box=BOX)
    with pytest.raises(PromptError, match="no image is set"):
        predictor.get_image_embedding()
    predictor.set_image(picture(60, 90))
    assert predictor.is_image_set
    predictor.reset_image()
    assert not predictor.is_image_set


def test_an_empty_prompt_is_refused(predictor):
    predictor.set_image(picture(60, 90))
    with pytest.raises(PromptError, match="the prompt is empty"):
        predictor.predict()
    with pytest.raises(PromptError, match="the prompt is empty"):
        predictor.predict_torch(None, None)


def test_an_image_embedded_before_can_be_set(predictors):
    maker, user = predictors["sam"], predictors["pa_sam"]
    image = maker.embed(picture(60, 90))
    user.set_image(picture(60, 90))
    expected = user.predict(box=BOX, return_logits=True)[0]
    user.set_embedded(image)
    assert np.array_equal(user.predict(box=BOX, return_logits=True)[0], expected)


def test_an_image_of_another_base_is_refused(predictors):
    other = make_predictor("sam")
    other.base = "another"
    with pytest.raises(CheckpointError, match="embedded by base another"):
        predictors["sam"].set_embedded(other.embed(picture(60, 90)))
    assert predictors["sam"].base == BASE


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((4, 4), np.uint8), r"uint8 \(4, 4\), expected"),
        (np.zeros((4, 4, 3), np.float32), r"float32 \(4, 4, 3\), expected uint8"),
        (np.zeros((0, 4, 3), np.uint8), r"\(0, 4, 3\), expected"),
        (torch.zeros(4, 4, 3, dtype=torch.uint8), r"a Tensor, expected a NumPy array, uint8"),
        ("photo.jpg", r"a str, expected a NumPy array, uint8 \(H, W, 3\)"),
    ],
)
def test_what_is_no_picture_is_refused(image, words, predictors):
    with pytest.raises(DataError, match=words):
        predictors["sam"].set_image(image)


def test_an_unknown_order_of_channels_is_refused(predictors):
    with pytest.raises(DataError, match="image_format is 'GBR', expected 'RGB' or 'BGR'"):
        predictors["sam"].set_image(picture(40, 40), "GBR")


def test_the_squash_fills_the_input_and_comes_back_in_one_step():
    squashing = make_predictor("sam", resize="squash")
    squashing.set_image(picture(60, 90))
    assert squashing.image.transform.inner == (64, 64)
    masks, _, low_res = squashing.predict(box=BOX, multimask_output=False, return_logits=True)
    expected = torch.nn.functional.interpolate(
        torch.tensor(low_res)[None], (60, 90), mode="bilinear", align_corners=False
    )
    assert np.array_equal(masks, expected[0].numpy())


LOGITS = np.random.default_rng(5).normal(0, 5, (32, 32))
MIXED = [
    image_prompt(box=[12, 8, 50, 30]),
    image_prompt(points=[[20, 20]]),
    image_prompt(points=[[20, 20], [30, 10], [5, 5]], labels=[1, 1, 0]),
    image_prompt(box=[2, 3, 20, 38], points=[[9, 9]], labels=[1]),
    image_prompt(mask=LOGITS),
    image_prompt(box=[1, 1, 30, 30]),
    image_prompt(box=[4, 4, 35, 20], mask=LOGITS),
    image_prompt(points=[[11, 22]]),
]


@pytest.fixture(scope="module")
def images(predictors):
    """Pictures of three shapes, embedded by the base that all models share."""
    shapes = [(40, 60), (64, 64), (90, 45)]
    return predictors["sam"].embed_many([picture(*s, seed=i) for i, s in enumerate(shapes)])


@pytest.fixture(scope="module")
def requests(images):
    return [(images[i % 3], prompt) for i, prompt in enumerate(MIXED)]


def assert_same(found, expected):
    np.testing.assert_allclose(found.masks, expected.masks, atol=1e-4)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
    np.testing.assert_allclose(found.low_res, expected.low_res, atol=1e-4)


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_a_batch_of_mixed_prompts_equals_each_alone(batch_size, predictor, requests):
    options = {"return_logits": True, "return_details": True}
    together = predictor.predict_many(requests, batch_size=batch_size, **options)
    assert len(together) == len(requests)
    for request, found in zip(requests, together, strict=True):
        expected = predictor.predict_many([request], **options)[0]
        assert_same(found, expected)
        np.testing.assert_allclose(found.details.sam_masks, expected.details.sam_masks, atol=1e-4)
        if expected.details.positive is not None:
            assert np.array_equal(found.details.positive, expected.details.positive)
            np.testing.assert_allclose(
                found.details.uncertainty, expected.details.uncertainty, atol=1e-5
            )


def test_several_images_embedded_at_once_equal_each_alone(predictor, images):
    for seed, image in enumerate(images):
        size = (image.transform.height, image.transform.width)
        alone = predictor.embed(picture(*size, seed=seed))
        np.testing.assert_allclose(image.encoded.embedding, alone.encoded.embedding, atol=1e-5)
        np.testing.assert_allclose(image.encoded.early, alone.encoded.early, atol=1e-5)
        assert np.array_equal(image.pixels, alone.pixels)


def test_no_image_and_no_prompt_are_no_error(predictor):
    assert predictor.embed_many([]) == []
    assert predictor.predict_many([]) == []


def test_a_point_of_label_minus_one_says_nothing(predictor, images):
    padded = image_prompt(points=[[20, 20], [0, 0], [0, 0]], labels=[1, -1, -1])
    plain = image_prompt(points=[[20, 20]], labels=[1])
    found = predictor.predict_many([(images[0], padded), (images[0], plain)], return_logits=True)
    assert np.array_equal(found[0].masks, found[1].masks) or np.allclose(
        found[0].masks, found[1].masks, atol=1e-5
    )


def test_details_come_only_when_asked_for(predictor, requests):
    assert predictor.predict_many(requests[:1])[0].details is None


def test_predicting_leaves_nothing_behind(predictor, requests):
    predictor.predict_many(requests)
    assert not predictor.is_image_set


def test_threads_get_their_own_images(predictor):
    """The encoder's early features are caught by a hook on a layer that all threads share."""
    pictures = [picture(40, 60, seed=seed) for seed in range(6)]
    expected = [predictor.embed(image).encoded.early for image in pictures]
    found = [None] * len(pictures)

    def work(place):
        for _ in range(5):
            found[place] = predictor.embed(pictures[place]).encoded.early

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(pictures))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for mine, reference in zip(found, expected, strict=True):
        assert np.array_equal(mine, reference)


def test_a_request_on_an_image_of_another_base_is_refused(images):
    other = make_predictor("sam")
    other.base = "another"
    with pytest.raises(CheckpointError, match="this model's base is another"):
        other.predict_many([(images[0], MIXED[0])])


def test_a_mask_prompt_of_another_side_is_refused(predictor, images):
    prompt = image_prompt(mask=np.zeros((64, 64)))
    with pytest.raises(PromptError, match=r"mask prompt is \(64, 64\), expected \(32, 32\)"):
        predictor.predict_many([(images[0], prompt)])


def test_only_sam_is_not_adapted(predictors):
    assert {k: p.is_adapted for k, p in predictors.items()} == {
        "sam": False,
        "hq_sam": True,
        "pa_sam": True,
    }


BOXES = Prompts(
    indices=torch.tensor([5, 3]),
    boxes=torch.tensor([[4.0, 4, 40, 40], [10, 20, 60, 50]]),
    points=None,
    point_labels=None,
    masks=None,
)


@pytest.fixture
def run(predictor):
    image = predictor.embed(picture(60, 90))
    return lambda **options: predictor.decode(
        [image, image], BOXES, **{"multimask": False, "with_sam": True, **options}
    )


def test_the_places_of_the_prompts_do_not_matter(run):
    assert run().masks.shape == (2, 1, 32, 32)


def test_candidates_leave_an_adapters_mask_as_it_is(run, predictor):
    one, three = run(), run(multimask=True)
    assert three.sam_masks.shape == (2, 3, 32, 32)
    assert three.sam_scores.shape == (2, 3)
    if predictor.is_adapted:
        assert torch.equal(one.masks, three.masks)
        assert torch.equal(one.scores, three.scores)
    else:
        assert torch.equal(three.masks, three.sam_masks)


def test_without_sam_the_base_is_not_asked(run, predictor, monkeypatch):
    if predictor.is_adapted:
        monkeypatch.setattr(predictor.segmenter.base.sam.mask_decoder, "decode", None)
    found = run(with_sam=False)
    assert torch.equal(found.masks, found.sam_masks)


def test_nothing_carries_a_gradient(run):
    assert not run().masks.requires_grad


HERE = ImageTransform(30, 20, 64, "longest")


def decoded() -> Decoded:
    left = torch.full((2, 1, 16, 16), -1.0)
    left[1, :, :, :4] = 1  # of the second prompt, the left quarter of the input
    return Decoded(left, torch.tensor([[0.1], [0.9]]), left, torch.tensor([[0.1], [0.9]]), None)


def test_a_mask_is_where_the_logits_are_above_zero():
    found = postprocess(decoded(), 1, HERE, return_logits=False, return_details=False)
    assert found.masks.shape == (1, 30, 20)
    assert found.masks[0, :, :6].all()
    assert not found.masks[0, :, 10:].any()
    assert found.scores.tolist() == [np.float32(0.9)]
    assert found.details is None


def test_logits_are_cut_where_masks_are():
    masks = postprocess(decoded(), 1, HERE, return_logits=False, return_details=True)
    logits = postprocess(decoded(), 1, HERE, return_logits=True, return_details=True)
    assert np.array_equal(logits.masks > 0, masks.masks)
    assert np.array_equal(logits.details.sam_masks > 0, masks.details.sam_masks)


def test_a_result_does_not_keep_its_batch_in_memory():
    found = postprocess(decoded(), 1, HERE, return_logits=False, return_details=False)
    assert found.low_res.base is None or found.low_res.base.nbytes == found.low_res.nbytes


@pytest.mark.parametrize("side", [4, 8])
def test_points_stay_in_their_cells_however_fine_the_maps_are(side):
    whole, flat = decoded(), torch.zeros(2, 1, side, side)
    cells = torch.tensor([[0, 5], [1, 4]])  # of a grid of 4 x 4 cells under 16 x 16 logits
    maps = PaPrediction(
        masks=whole.masks, iou=torch.zeros(2, 4), uncertainty=flat, final=flat, coarse=flat,
        refined=flat, positive=cells, negative=None,
    )  # fmt: skip
    found = postprocess(
        dataclasses.replace(whole, maps=maps), 0, HERE, return_logits=False, return_details=True
    )
    assert np.array_equal(found.details.positive, HERE.cell_centres(cells[0], 4))
    assert found.details.negative is None
    assert found.details.uncertainty.shape == (30, 20)


@pytest.mark.parametrize("resize", ["longest", "squash"])
def test_an_image_that_the_transform_has_resized_gives_the_same_masks(resize):
    ours = make_predictor("pa_sam", resize=resize)
    image = picture(60, 90)
    ours.set_image(image)
    expected = ours.predict(box=BOX, return_logits=True)[0]
    assert (ours.original_size, ours.input_size) == ((60, 90), ours.image.transform.inner)
    assert torch.equal(ours.features, ours.image.encoded.embedding)
    pixels = torch.as_tensor(ours.image.pixels)[None].float()
    same = torch.as_tensor(ours.transform.apply_image(image)).permute(2, 0, 1)[None]
    assert torch.equal(pixels, same.float())
    ours.reset_image()
    ours.set_torch_image(pixels, (60, 90))
    there = ours.transform.apply_boxes(np.array([BOX]), ours.original_size)
    assert np.allclose(
        there[0], ours.image.transform.into_input(np.array(BOX).reshape(2, 2)).ravel()
    )
    assert np.array_equal(ours.predict(box=BOX, return_logits=True)[0], expected)
    with pytest.raises(DataError, match=r"the image is \(1, 3, 8, 8\), expected"):
        ours.set_torch_image(torch.zeros(1, 3, 8, 8), (60, 90))


def test_a_resized_image_beyond_0_and_255_is_cut_off_there(predictors):
    ours = predictors["pa_sam"]
    pixels = torch.as_tensor(ours.embed(picture(60, 90)).pixels)[None].float()
    beyond = 2 * pixels - 120
    answers = []
    for one in (beyond, beyond.clamp(0, 255)):
        ours.set_torch_image(one, (60, 90))
        answers.append((ours.predict(box=BOX, return_logits=True)[0], ours.image.pixels))
    assert beyond.max() > 255 > 0 > beyond.min()
    assert np.array_equal(answers[0][0], answers[1][0])
    assert torch.equal(answers[0][1], answers[1][1])


def test_a_mask_of_the_image_is_refined(predictors):
    ours = predictors["sam"]
    ours.set_image(picture(60, 90))
    drawn = np.zeros((60, 90), bool)
    drawn[10:40, 20:60] = True
    logits = ours.image.transform.mask_logits(drawn, ours.mask_side)
    found = ours.predict(mask_input=drawn, box=BOX, multimask_output=False)
    expected = ours.predict(mask_input=logits, box=BOX, multimask_output=False)
    assert np.array_equal(found[0], expected[0])


@pytest.mark.parametrize("kind", ["bool", "uint8"])
def test_a_mask_of_an_image_as_large_as_logits_is_a_mask_in_every_form(kind, predictors):
    ours = predictors["sam"]
    side = ours.mask_side
    drawn = np.zeros((side, side), np.uint8)
    drawn[side // 4 : side // 2, side // 4 :] = 255
    drawn = drawn > 0 if kind == "bool" else drawn
    ours.set_image(picture(side, side))
    expected = ours.predict(mask_input=drawn)[2]
    for form in (drawn[None], torch.as_tensor(drawn), torch.as_tensor(drawn)[None]):
        assert np.array_equal(ours.predict(mask_input=form)[2], expected)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float64])
def test_prompts_may_be_tensors_of_any_kind_also_with_a_gradient(kind, predictors):
    ours = predictors["sam"]
    ours.set_image(picture(60, 90))
    logits = ours.predict(box=BOX, multimask_output=False)[2]
    given = {"box": BOX, "point_coords": [[20.0, 30.0]], "mask_input": logits}
    tensors = {n: torch.tensor(p).to(kind).requires_grad_() for n, p in given.items()}
    plain = {name: part.detach().double().numpy() for name, part in tensors.items()}
    found = ours.predict(**tensors, point_labels=torch.ones(1, dtype=torch.int32))
    assert np.array_equal(found[2], ours.predict(**plain, point_labels=[1])[2])


def test_only_pa_sam_has_an_uncertainty_map(predictors):
    assert {k: p.has_uncertainty for k, p in predictors.items()} == {
        "sam": False,
        "hq_sam": False,
        "pa_sam": True,
    }


@pytest.mark.parametrize("resize", ["longest", "squash"])
def test_the_frozen_base_sees_images_as_its_adapter_does(resize):
    model = make_predictor("pa_sam", resize=resize)
    base = model.frozen_base
    assert (base.resize, base.base, base.is_adapted) == (resize, BASE, False)
    assert base.segmenter.base is model.segmenter.base


def test_weights_that_answer_the_same_everywhere_are_refused(predictor, monkeypatch):
    decode = type(predictor).decode
    predictor.try_out()

    def empty(self, *given, **named):
        found = decode(self, *given, **named)
        return dataclasses.replace(found, masks=torch.full_like(found.masks, 3.0))

    monkeypatch.setattr(type(predictor), "decode", empty)
    with pytest.raises(CheckpointError, match=f"weights of {predictor.name} give every pixel"):
        predictor.try_out()


@pytest.mark.parametrize("part", ["masks", "scores"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_give_no_numbers_are_refused_by_masks_and_by_scores(
    part, value, predictor, images, monkeypatch
):
    decode = type(predictor).decode

    def broken(self, *given, **named):
        found = decode(self, *given, **named)
        changed = getattr(found, part).clone()
        changed.flatten()[-1] = value
        return dataclasses.replace(found, **{part: changed})

    monkeypatch.setattr(type(predictor), "decode", broken)
    with pytest.raises(CheckpointError, match=f"weights of {predictor.name} give NaN or infinity"):
        predictor.predict_many([(images[0], MIXED[0])])
    with pytest.raises(CheckpointError, match="NaN or infinity"):
        predictor.try_out()


def test_an_image_that_was_embedded_elsewhere_is_brought_to_the_model(monkeypatch):
    user, moved = make_predictor("sam"), []
    image = user.embed(picture(60, 90))
    monkeypatch.setattr(
        EmbeddedImage, "to", lambda self, device: moved.append((self, device)) or "there"
    )
    user.set_embedded(image)
    assert (moved, user.image) == ([(image, user.device)], "there")


def test_the_pixels_of_an_image_given_as_fractions_are_kept_as_whole_numbers():
    user = make_predictor("sam")
    height, width = ImageTransform(60, 90, user.side, "longest").inner
    user.set_torch_image(torch.full((1, 3, height, width), 7.9), (60, 90))
    assert (user.image.pixels.dtype, user.image.pixels.unique().tolist()) == (torch.uint8, [7])


def test_a_model_of_the_params_computes_as_they_say_and_its_numbers_are_its_files_where_asked(
    project, tmp_path
):
    params = load_yaml((project / "params.yaml").read_text())
    params["base"]["encoder_precision"] = "bf16"
    (tmp_path / "params.yaml").write_text(dump_yaml(params))
    where = {"adapters": Path("data/adapters"), "params_file": tmp_path / "params.yaml"}
    for name in ("sam", "pa_sam", "data/adapters/hq_sam.safetensors"):
        files = find_model(name, **where)
        half, exact = open_model(files), open_model(files, exact=True)
        plain = open_model(find_model(name, adapters=where["adapters"]))
        assert half.segmenter.base.encoder_precision == "bf16"
        assert digest(exact.segmenter.state_dict()) == digest(plain.segmenter.state_dict())
        found, wanted = (each.embed(picture(60, 90)).encoded for each in (half, plain))
        assert found.embedding.dtype == torch.float32
        assert not torch.equal(found.embedding, wanted.embedding)
    assert half.base == plain.base, "the digest is the file's"
    other = find_model("sam", base=project / "base.safetensors", params_file=where["params_file"])
    assert other.encoder_precision == find_model("packaged", **where).encoder_precision == "32-true"
    with pytest.raises(ParamsError, match="writing graphs needs base.encoder_precision: 32-true"):
        export_onnx(half, tmp_path)
