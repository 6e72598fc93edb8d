"""Where an image lies in the input, the way back, and an embedded image as bytes."""

from __future__ import annotations

import contextlib
import dataclasses

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from inference_models import BASE, make_predictor, picture
from variants import hq_sam, image_adapter, pa_sam

import pasam.models.before_segment_anything  # noqa: F401
from pasam.errors import CheckpointError, DataError, PromptError
from pasam.inference.image_prompt import image_prompt
from pasam.inference.image_transform import EmbeddedImage, ImageTransform, sam_transform
from pasam.inference.predictor import PromptedModel
from pasam.inference.zoomed_boxes import predict_zoomed, zoom_window
from pasam.models.build import build_decoder
from pasam.models.segmenter import Segmenter

SIZES = st.integers(8, 3000)


@given(SIZES, SIZES, st.sampled_from([64, 256, 1024]))
def test_keeping_the_aspect_fills_one_side_and_distorts_by_less_than_a_pixel(height, width, side):
    inner = ImageTransform(height, width, side, "longest").inner
    assert max(inner) == side
    assert abs(inner[0] - height * side / max(height, width)) <= 0.5
    assert abs(inner[1] - width * side / max(height, width)) <= 0.5


@given(SIZES, SIZES)
def test_the_squash_fills_the_input(height, width):
    assert ImageTransform(height, width, 64, "squash").inner == (64, 64)


@pytest.mark.parametrize(("height", "width"), [(37, 61), (61, 37), (40, 40), (7, 300), (255, 33)])
@pytest.mark.parametrize("side", [32, 64, 1024])
def test_keeping_the_aspect_is_sams_own_resize_to_the_bit(height, width, side):
    image = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
    from segment_anything.utils.transforms import ResizeLongestSide

    theirs = ResizeLongestSide(side).apply_image(image)
    ours = ImageTransform(height, width, side, "longest").resized(image)
    assert np.array_equal(ours.permute(1, 2, 0).numpy(), theirs)


@pytest.mark.parametrize(
    ("height", "width", "side", "inner"),
    [(5, 64, 32, (3, 32)), (64, 13, 32, (32, 7)), (1001, 2048, 1024, (501, 1024))],
)
def test_a_short_side_that_ends_on_half_a_pixel_is_rounded_up_as_sam_does(
    height, width, side, inner
):
    assert ImageTransform(height, width, side, "longest").inner == inner
    assert sam_transform(side, "longest").get_preprocess_shape(height, width, side) == inner


@pytest.mark.parametrize("resize", ["longest", "squash"])
def test_the_image_is_resized_to_its_part_of_the_input(resize):
    transform = ImageTransform(60, 90, 64, resize)
    pixels = transform.resized(picture(60, 90))
    assert pixels.shape == (3, *transform.inner)
    assert pixels.dtype == torch.uint8


def test_an_image_of_one_line_is_refused_where_the_aspect_is_kept():
    line = np.zeros((1, 500, 3), np.uint8)
    with pytest.raises(DataError, match="500 x 1 pixels"):
        ImageTransform(1, 500, 64, "longest").resized(line)
    assert ImageTransform(1, 500, 64, "squash").resized(line).shape == (3, 64, 64)


@pytest.mark.parametrize("resize", ["longest", "squash"])
def test_the_corners_of_the_image_are_the_corners_of_its_part(resize):
    transform = ImageTransform(60, 90, 64, resize)
    h, w = transform.inner
    assert transform.into_input(np.array([[0.0, 0.0], [90.0, 60.0]])).tolist() == [[0, 0], [w, h]]


@pytest.mark.parametrize("resize", ["longest", "squash"])
def test_a_map_over_the_input_comes_back_where_it_was(resize):
    """A map that grows from left to right in the input does so in the image, from rim to rim."""
    transform = ImageTransform(60, 90, 64, resize)
    ramp = torch.arange(16.0).expand(1, 1, 16, 16)
    back = transform.at_original_size(ramp)
    assert back.shape == (1, 1, 60, 90)
    assert torch.all(back.diff(dim=3) >= 0)
    columns = back[0, 0, 30]
    middle = (columns[44] + columns[45]) / 2
    assert middle.item() == pytest.approx(7.5, abs=0.05)  # 90 wide: the width fills the input


@given(
    st.integers(0, 2**32 - 1), st.sampled_from(["longest", "squash"]), st.integers(8, 90),
    st.integers(8, 90), st.integers(3, 20),
)  # fmt: skip
def test_masks_are_where_the_resized_logits_are_positive(seed, resize, height, width, side):
    """Some maps have foreground in a few rows only, at a rim, everywhere, or nowhere."""
    random = np.random.default_rng(seed)
    logits = torch.from_numpy(random.normal(-1.5, 1, (2, 3, side, side)).astype(np.float32))
    logits[:, :, : random.integers(side + 1)] -= 5
    transform = ImageTransform(height, width, 32, resize)
    whole, masks = transform.at_original_size(logits), transform.masks_at_original_size(logits)
    assert masks.shape == whole.shape
    clear = whole.abs() > 1e-5
    assert torch.equal(masks[clear], (whole > 0)[clear])


@pytest.mark.parametrize(("size", "step"), [(256, 16), (64, 4)])
def test_thin_lines_of_a_mask_count_by_their_share_of_a_cell(size, step):
    """At either resize: a line between the pixels that are looked at would else be lost."""
    mask = np.zeros((size, size), np.bool_)
    mask[:, ::step] = True
    logits = ImageTransform(size, size, 64, "squash").mask_logits(mask, 16)
    shares = (logits / 10 + 1) / 2
    assert shares[:, 1:-1] == pytest.approx(np.full((16, 14), 1 / step), abs=0.02)


def test_a_cell_that_a_mask_fills_by_half_is_neither_in_nor_out():
    mask = np.zeros((32, 64), np.bool_)
    mask[:, :6] = True
    logits = ImageTransform(32, 64, 64, "longest").mask_logits(mask, 16)
    assert logits[3, :3].tolist() == [pytest.approx(10, abs=1), pytest.approx(0, abs=1e-4),
                                      pytest.approx(-10, abs=1)]  # fmt: skip


def test_the_padding_does_not_come_back():
    transform = ImageTransform(30, 90, 64, "longest")
    marked = torch.zeros(1, 1, 64, 64)
    marked[..., transform.inner[0] :, :] = 1
    assert transform.at_original_size(marked).max() == 0


def test_a_cells_centre_lies_in_the_middle_of_its_pixels():
    transform = ImageTransform(
        64, 64, 64, "longest"
    )  # 8 cells of 8 pixels: indices 0..7, 8..15, ...
    centres = transform.cell_centres(torch.tensor([0, 1, 8, 63]), 8)
    assert centres.tolist() == [[3.5, 3.5], [11.5, 3.5], [3.5, 11.5], [59.5, 59.5]]


def test_a_cell_of_the_padding_lies_outside_the_image():
    transform = ImageTransform(32, 64, 64, "longest")
    x, y = transform.cell_centres(torch.tensor([63]), 8)[0]
    assert x < 64
    assert y > 32


def test_padding_is_sams_mean_colour_right_of_and_below_the_image():
    transform = ImageTransform(height=20, width=40, side=64, resize="longest")
    pixels = torch.full((3, 32, 64), 9, dtype=torch.uint8)
    padded = transform.padded(pixels)
    assert padded.shape == (3, 64, 64)
    assert (padded[:, :32] == 9).all()
    assert torch.equal(padded[:, 40, 5], torch.tensor([123.675, 116.28, 103.53]))


@pytest.fixture(scope="module")
def image(predictors):
    return predictors["sam"].embed(picture(60, 90))


def test_written_and_read_it_is_the_same(image):
    again = EmbeddedImage.from_bytes(image.to_bytes())
    assert again.transform == image.transform
    assert again.base == BASE
    assert torch.equal(again.pixels, image.pixels)
    assert torch.equal(again.encoded.embedding, image.encoded.embedding)
    assert torch.equal(again.encoded.early, image.encoded.early)


def test_prompts_on_what_was_read_give_the_same_masks(image, predictor):
    again = EmbeddedImage.from_bytes(image.to_bytes())
    prompt = image_prompt(box=[12, 8, 70, 50])
    first, second = predictor.predict_many([(image, prompt), (again, prompt)], batch_size=1)
    assert np.array_equal(first.low_res, second.low_res)


def test_the_padding_is_what_sams_normalisation_turns_to_zero(image, predictors):
    base = predictors["sam"].segmenter.base
    normalised = base.normalise(image.padded()[None])[0]
    h, w = image.transform.inner
    assert (h, w) == (43, 64)
    assert torch.all(normalised[:, h:] == 0)
    assert normalised[:, :h].abs().max() > 0.5


@pytest.mark.parametrize(
    ("variant", "made"),
    [
        (None, 0), (hq_sam(), 8 * 32), (pa_sam(), 4 * 32), (image_adapter(), 4 * 32),
        (pa_sam(adapter_maps="double"), 8 * 32), (pa_sam(adapter_fine=True), 4 * 32 + 1024),
    ],
)  # fmt: skip
def test_it_knows_its_size_with_what_an_adapter_makes_of_it(variant, made):
    base = make_predictor("sam").segmenter.base
    own = base.sam.mask_decoder if variant is None else build_decoder(base, variant)
    model = PromptedModel(Segmenter(base=base, decoder=own), name="any", base=BASE)
    image = model.embed(picture(60, 90))
    assert image.nbytes == 3 * 43 * 64 + 4 * (32 + 16) * 8 * 8
    model.predict_many([(image, image_prompt(box=[12, 8, 70, 50]))])
    assert image.nbytes == 3 * 43 * 64 + 4 * (32 + 16) * 8 * 8 + made * 8 * 8
    assert image.to(torch.device("cpu")) is image
    assert EmbeddedImage.from_bytes(image.to_bytes()).nbytes == image.nbytes - made * 8 * 8


@given(st.binary(max_size=200))
def test_other_bytes_are_refused(content):
    with pytest.raises(DataError, match="no embedded image"):
        EmbeddedImage.from_bytes(content)


@given(st.data())
def test_a_damaged_one_is_refused_or_read_but_breaks_nothing(data):
    content = bytearray(SMALL)
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] = data.draw(st.integers(0, 255))
    with contextlib.suppress(DataError):
        image = EmbeddedImage.from_bytes(bytes(content))
        assert image.pixels.shape == (3, *image.transform.inner)


@pytest.mark.parametrize(
    "words",
    [
        {"height": "60", "width": "90", "side": "64", "resize": "other", "base": "x"},
        {"height": "0", "width": "90", "side": "64", "resize": "squash", "base": "x"},
        {"height": "6", "width": "90", "side": "64", "resize": "longest", "base": "x"},
    ],
)
def test_words_that_do_not_fit_the_tensors_are_refused(words):
    tensors = {
        "pixels": torch.zeros(3, 43, 64, dtype=torch.uint8),
        "embedding": torch.zeros(1, 32, 8, 8),
        "early": torch.zeros(1, 16, 8, 8),
    }
    with pytest.raises(DataError, match="damaged"):
        EmbeddedImage.from_bytes(safetensors.torch.save(tensors, metadata=words))
    tensors["pixels"] = torch.zeros(3, 0, 0, dtype=torch.uint8)  # as an input of no side has
    none = {**words, "height": "60", "side": "0", "resize": "squash"}
    with pytest.raises(DataError, match="damaged: it says"):
        EmbeddedImage.from_bytes(safetensors.torch.save(tensors, metadata=none))


SMALL = make_predictor("sam").embed(picture(8, 8)).to_bytes()[:2000]


def box(*corners):
    return np.array(corners, np.float32)


def test_a_window_is_the_box_grown_on_all_sides():
    assert zoom_window(box(100, 100, 119, 109), (400, 600), zoom=2.0) == (90, 95, 130, 115)


def test_a_window_stays_in_the_image():
    assert zoom_window(box(0, 0, 19, 19), (400, 600), zoom=3.0) == (0, 0, 60, 60)
    assert zoom_window(box(590, 380, 599, 399), (400, 600), zoom=2.0) == (580, 360, 600, 400)


def test_a_slim_box_is_seen_with_what_stands_beside_it():
    x0, y0, x1, y1 = zoom_window(box(200, 100, 203, 199), (400, 600), zoom=2.0)
    assert (x1 - x0, y1 - y0) == (100, 200)
    x0, y0, x1, y1 = zoom_window(box(200, 100, 203, 100 + 66), (400, 600), zoom=3.0)
    assert (x1 - x0, y1 - y0) == (100, 201)  # half of an odd side, cut off


def test_a_box_beyond_the_image_is_looked_at_where_it_lies_inside():
    inside = zoom_window(box(560, 360, 599, 399), (400, 600))
    assert zoom_window(box(560, 360, 700, 500), (400, 600)) == inside == (540, 340, 600, 400)


def test_a_large_box_is_seen_with_the_whole_image():
    assert zoom_window(box(50, 50, 400, 350), (400, 600)) is None
    assert zoom_window(box(0, 0, 30, 399), (400, 600)) == (0, 0, 200, 400)


def test_a_zoom_into_the_box_is_refused():
    with pytest.raises(PromptError, match=r"zoom is 0\.5, expected 1 or more"):
        zoom_window(box(0, 0, 9, 9), (100, 100), zoom=0.5)


@pytest.mark.parametrize("kind", ["sam", "pa_sam"])
def test_masks_are_those_of_the_window_at_its_place(kind):
    model, image = make_predictor(kind), picture(120, 160)
    large, small = box(5, 5, 150, 110), box(40, 30, 59, 45)
    found = predict_zoomed(model, image, [large, small], zooms=(2.0,))
    assert np.array_equal(found[0].masks, _plain(model, image, large))
    x0, y0, x1, y1 = zoom_window(small, image.shape, zoom=2.0)
    part = np.ascontiguousarray(image[y0:y1, x0:x1])
    inside = _plain(model, part, small - np.array([x0, y0, x0, y0], np.float32))
    assert np.array_equal(found[1].masks[:, y0:y1, x0:x1], inside)
    outside = found[1].masks.copy()
    outside[:, y0:y1, x0:x1] = False
    assert not outside.any()
    assert found[1].masks.shape == (1, 120, 160)


@pytest.mark.parametrize("kind", ["sam", "pa_sam"])
@pytest.mark.parametrize(
    "corners",
    [(40, 30, 59, 45), (0, 0, 31, 9), (131, 97, 159, 119), (20, 20, 91, 79)],
    ids=["within", "corner", "other corner", "the wider look is the whole image"],
)
def test_two_looks_are_averaged_in_the_nearest_window(kind, corners):
    model, image = make_predictor(kind), picture(120, 160)
    (found,) = predict_zoomed(model, image, [corners], zooms=(1.5, 3.0))
    summed, scores = np.zeros((120, 160)), []
    for zoom in (1.5, 3.0):
        x0, y0, x1, y1 = zoom_window(corners, image.shape, zoom=zoom) or (0, 0, 160, 120)
        model.set_image(np.ascontiguousarray(image[y0:y1, x0:x1]))
        inside = np.array(corners) - [x0, y0, x0, y0]
        logits, score, _ = model.predict(box=inside, multimask_output=False, return_logits=True)
        summed[y0:y1, x0:x1] += 1 / (1 + np.exp(-logits[0].astype(np.float64)))
        scores.append(score)
    x0, y0, x1, y1 = zoom_window(corners, image.shape, zoom=1.5)
    expected = np.zeros((120, 160), bool)
    expected[y0:y1, x0:x1] = summed[y0:y1, x0:x1] > 1
    sure = np.abs(summed - 1) > 1e-6
    assert np.array_equal(found.masks[0][sure], expected[sure])
    assert found.scores == pytest.approx(np.mean(scores, axis=0))
    assert predict_zoomed(model, image, [corners])[0].masks.sum() == found.masks.sum()


def test_points_go_along_where_the_window_shows_them():
    model, image = make_predictor("pa_sam"), picture(120, 160)
    corners = [40, 30, 59, 45]
    x0, y0, x1, y1 = zoom_window(corners, image.shape, zoom=2.0)
    labels = [1, 0, 0, 0, 1]
    points = [[50, 38], [x0, y0], [x1 - 1, y1 - 1], [x0 - 1, 40], [50, y1]]
    (found,) = predict_zoomed(
        model, image, [image_prompt(box=corners, points=points, labels=labels)], zooms=(2.0,)
    )
    model.set_image(np.ascontiguousarray(image[y0:y1, x0:x1]))
    expected, _, _ = model.predict(
        box=np.array(corners) - [x0, y0, x0, y0], point_coords=np.array(points[:3]) - [x0, y0],
        point_labels=labels[:3], multimask_output=False,
    )  # fmt: skip
    assert np.array_equal(found.masks[:, y0:y1, x0:x1], expected)
    beside = image_prompt(box=corners, points=points[3:], labels=labels[3:])
    alone, plain = predict_zoomed(model, image, [beside, corners], zooms=(2.0,))
    assert np.array_equal(alone.masks, plain.masks)


def clicked(drawn, monkeypatch, *, known=True, points=((50, 38), (45, 31)), labels=(1, 0)):
    """Answer clicks whose mask on the whole image is what is drawn; give the model, too."""
    model, image = make_predictor("pa_sam"), picture(120, 160)
    embedded, answered = model.embed(image), model.predict_many
    prompt = image_prompt(points=points, labels=labels)
    first = dataclasses.replace(*answered([(embedded, prompt)]), masks=drawn[None])
    asked, seen = [], []

    def predict_many(pairs, **how):
        asked.append(pairs[0])
        return answered(pairs, **how) if asked[1:] else [first]

    def embed(pixels):
        seen.append(pixels.shape[:2])
        return embedded if pixels is image else type(model).embed(model, pixels)

    monkeypatch.setattr(model, "predict_many", predict_many)
    monkeypatch.setattr(model, "embed", embed)
    (found,) = predict_zoomed(model, image, [prompt], embedded=embedded if known else None)
    assert asked[0] == (embedded, prompt)
    assert ((120, 160) in seen) is not known
    return found, first, model


def looked(model, points, labels, *windows):
    """Average the looks of clicks at windows by hand: probabilities, (120, 160), and scores."""
    summed, scores = np.zeros((120, 160)), []
    for x0, y0, x1, y1 in windows:
        model.set_image(np.ascontiguousarray(picture(120, 160)[y0:y1, x0:x1]))
        logits, score, _ = model.predict(
            point_coords=np.array(points) - [x0, y0], point_labels=np.array(labels),
            multimask_output=False, return_logits=True,
        )  # fmt: skip
        summed[y0:y1, x0:x1] += 1 / (1 + np.exp(-logits[0].astype(np.float64)))
        scores.append(score)
    return summed / len(windows), np.mean(scores, axis=0)


@pytest.mark.parametrize("known", [False, True])
def test_clicks_are_looked_at_where_their_mask_on_the_whole_image_lies(known, monkeypatch):
    drawn = np.zeros((120, 160), bool)
    drawn[30:46, 40:60] = drawn[33, 61] = True
    found, _, model = clicked(drawn, monkeypatch, known=known)
    monkeypatch.undo()
    corners = box(40, 30, 61, 45)
    near, wide = (zoom_window(corners, (120, 160), zoom=zoom) for zoom in (1.5, 3.0))
    mean, scores = looked(model, [(50, 38), (45, 31)], [1, 0], near, wide)
    expected, sure = np.zeros((120, 160), bool), np.abs(mean - 0.5) > 1e-6
    part = np.s_[near[1] : near[3], near[0] : near[2]]
    expected[part] = mean[part] > 0.5
    assert np.array_equal(found.masks[0][sure], expected[sure])
    assert found.scores == pytest.approx(scores)
    assert found.zoomed


def test_a_look_that_shows_no_point_of_the_object_is_left_out(monkeypatch):
    drawn = np.zeros((120, 160), bool)
    drawn[30:46, 40:60] = True
    near, wide = (zoom_window(box(40, 30, 59, 45), (120, 160), zoom=zoom) for zoom in (1.5, 3.0))
    beside = (wide[0] + 1, 40)  # within the wider look alone
    assert beside[0] < near[0]
    found, _, model = clicked(drawn, monkeypatch, points=(beside, (50, 38)))
    monkeypatch.undo()
    mean, scores = looked(model, [beside, (50, 38)], [1, 0], wide)
    sure = np.abs(mean - 0.5) > 1e-6
    assert np.array_equal(found.masks[0][sure], (mean > 0.5)[sure])
    assert found.scores == pytest.approx(scores)
    monkeypatch.undo()
    far, first, _ = clicked(drawn, monkeypatch, points=((150, 110), (50, 38)))
    assert far is first


@pytest.mark.parametrize("rows", [slice(0, 0), slice(5, 110)], ids=["nothing", "nearly all"])
def test_a_click_whose_mask_is_empty_or_large_is_not_asked_again(rows, monkeypatch):
    drawn = np.zeros((120, 160), bool)
    drawn[rows, 5:150] = True
    found, first, _ = clicked(drawn, monkeypatch, known=True)
    assert found is first
    assert not found.zoomed


def test_a_mask_is_no_prompt_for_a_part_of_the_image():
    prompt = image_prompt(box=[4, 4, 9, 9], mask=np.ones((120, 160), bool))
    with pytest.raises(PromptError, match="zoom takes boxes and points, and no mask"):
        predict_zoomed(make_predictor("sam"), picture(120, 160), [prompt])


def _plain(model, image, corners):
    model.set_image(image)
    return model.predict(box=corners, multimask_output=False)[0]


def test_no_boxes_give_no_masks():
    assert predict_zoomed(make_predictor("sam"), picture(60, 60), []) == []


@pytest.mark.parametrize("changed", ["base", "side", "embedding", "early"])
def test_an_embedding_fits_by_digest_side_and_both_shapes(changed, image, predictors):
    own = predictors["sam"]
    image.check_fits(own.segmenter.base, own.base)
    encoded, base = image.encoded, image.base
    transform = image.transform
    if changed == "base":
        base = "another"
    elif changed == "side":
        transform = dataclasses.replace(transform, side=2 * transform.side)
    else:
        encoded = dataclasses.replace(encoded, **{changed: getattr(encoded, changed)[..., :-1]})
    other = EmbeddedImage(transform, image.pixels, encoded, base)
    with pytest.raises(CheckpointError, match="Embed it again"):
        other.check_fits(own.segmenter.base, own.base)


@pytest.mark.parametrize(
    ("box", "window"),
    [
        ([10, 10, 49, 49], (0, 0, 80, 80)),  # both sides exactly at the limit
        ([10, 10, 50, 50], None),  # both beyond it
        ([10, 30, 54, 54], (0, 18, 90, 68)),  # one side beyond it
        ([90, 0, 99, 9], (80, 0, 100, 20)),  # held within the image
        ([0, 90, 9, 99], (0, 80, 20, 100)),
    ],
)
def test_a_window_is_used_unless_both_its_sides_are_nearly_the_images(box, window):
    assert zoom_window(np.array(box, np.float32), (100, 100, 3), zoom=2.0) == window


def test_the_zoom_that_is_asked_for_is_that_of_every_window(predictors, monkeypatch):
    seen, embed = [], type(predictors["sam"]).embed
    monkeypatch.setattr(
        type(predictors["sam"]), "embed",
        lambda self, pixels, *more: seen.append(pixels.shape[:2]) or embed(self, pixels, *more),
    )  # fmt: skip
    boxes = [[10, 10, 19, 19], [40, 30, 59, 39]]
    for zoom in (1.0, 3.0):
        predict_zoomed(predictors["sam"], picture(100, 100), boxes, zooms=(zoom,))
    assert seen == [(10, 10), (10, 20), (30, 30), (30, 60)]
