"""All objects of an image: with SAM exactly its generator's, with an adapter refined."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from inference_models import KINDS, make_predictor, objects, picture

import pasam.models.before_segment_anything
import segment_anything
from pasam.errors import PromptError
from pasam.inference.automatic_masks import (
    AutomaticMaskOptions,
    _remove_small_regions,
    segment_everything,
)
from pasam.inference.image_prompt import image_prompt
from pasam.inference.image_transform import ImageTransform
from pasam.inference.predictor import Decoded
from pasam.inference.zoomed_boxes import predict_zoomed
from pasam.masks.run_lengths import decode
from pasam.models import pa_mask_decoder
from pasam.models.build import load_base
from pasam.models.segmenter import Segmenter
from segment_anything.utils import amg

LOOSE = {"points_per_side": 4, "pred_iou_thresh": 0.3, "stability_score_thresh": 0.6}
SHAPE = (120, 180)


@pytest.fixture(scope="module")
def predictors(root):
    """Each kind on the committed base, which sees objects; the adapters know nothing yet."""
    base = load_base("tiny", root / "pasam" / "packaged" / "tiny.safetensors")
    return {kind: make_predictor(kind, base) for kind in KINDS}


@pytest.fixture(
    params=[
        kind if kind == "pa_sam" else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS
    ]
)
def predictor(request, predictors):
    return predictors[request.param]


@pytest.fixture
def generator(predictors, monkeypatch):
    """SAM's own generator; beside a CPU torch the wrapper it calls does not work."""

    def suppress(boxes, scores, _categories, iou_threshold):
        return pasam.models.before_segment_anything.non_maximum_suppression(
            boxes, scores, iou_threshold
        )

    generator = segment_anything.SamAutomaticMaskGenerator
    monkeypatch.setattr(segment_anything.automatic_mask_generator, "batched_nms", suppress)
    sam = predictors["sam"].segmenter.base.sam
    return lambda **options: generator(sam, output_mode="coco_rle", **options)


@pytest.mark.long
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"points_per_batch": 3},
        {"stability_score_thresh": 0.0, "min_mask_region_area": 200},
        pytest.param(
            {"crop_n_layers": 1, "crop_n_points_downscale_factor": 2}, marks=pytest.mark.slow
        ),
        {"pred_iou_thresh": 10.0},
    ],
    ids=str,
)
def test_sams_objects_are_exactly_those_of_sams_own_generator(options, predictors, generator):
    image = objects(*SHAPE)
    chosen = {**LOOSE, **options}
    if options.get("pred_iou_thresh") == 10.0:
        assert segment_everything(predictors["sam"], image, AutomaticMaskOptions(**chosen)) == []
        return
    expected = generator(**chosen).generate(image)
    assert len(expected) > 2
    assert segment_everything(predictors["sam"], image, AutomaticMaskOptions(**chosen)) == expected


@pytest.mark.long
@pytest.mark.parametrize("kind", [pytest.param("hq_sam", marks=pytest.mark.slow), "pa_sam"])
def test_an_adapter_refines_what_sam_proposes(kind, predictors):
    image = objects(*SHAPE)
    options = AutomaticMaskOptions(**LOOSE)
    proposed = segment_everything(predictors["sam"], image, options)
    refined = segment_everything(predictors[kind], image, options)
    assert 0 < len(refined) <= len(proposed)
    points = [record["point_coords"] for record in proposed]
    assert all(record["point_coords"] in points for record in refined)
    assert [r["segmentation"] for r in refined] != [r["segmentation"] for r in proposed]


def test_a_record_says_of_its_mask_what_is_so(predictor):
    for record in segment_everything(predictor, objects(*SHAPE), AutomaticMaskOptions(**LOOSE)):
        mask = decode(record["segmentation"])
        assert mask.shape == SHAPE
        assert record["area"] == mask.sum() > 0
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        x, y, width, height = record["bbox"]
        assert (x, y) == (columns[0], rows[0])
        assert (x + width, y + height) == (columns[-1], rows[-1])


class BrightThings:
    """Stands for a model: at any point it finds what is bright in the part that it has embedded."""

    is_adapted, side, mask_side, device = False, 64, 64, torch.device("cpu")
    score = 0.9

    @property
    def frozen_base(self):
        return self

    def embed(self, image):
        transform = ImageTransform(image.shape[0], image.shape[1], self.side, "squash")
        return SimpleNamespace(transform=transform, bright=np.float32(image[..., 0] > 128))

    def decode(self, images, prompts, multimask, *, with_sam):
        size = (self.mask_side, self.mask_side)
        masks = np.stack([cv2.resize(image.bright, size) * 20 - 10 for image in images])
        logits = torch.from_numpy(masks)[:, None].repeat(1, 3, 1, 1)
        scores = torch.full((len(images), 3), self.score)
        return Decoded(logits, scores, logits, scores, maps=None)


def test_an_object_in_several_tiles_is_the_smallest_ones_which_are_embedded_by_themselves():
    image = bright_thing()
    model, options = BrightThings(), AutomaticMaskOptions(**{**LOOSE, "crop_n_layers": 1})
    (found,) = segment_everything(model, image, options)
    assert np.array_equal(decode(found["segmentation"]), image[..., 0] > 0)
    x, y, width, height = found["crop_box"]
    assert (x, y) == (0, 0)
    assert width * height < SHAPE[0] * SHAPE[1]
    again = segment_everything(model, image, options, embedded=model.embed(image))
    assert again == [found]


def bright_thing():
    image = np.zeros((*SHAPE, 3), np.uint8)
    image[30:50, 25:60] = 255
    return image


@pytest.mark.parametrize(
    ("score", "threshold", "count"),
    [(0.5, 0.5, 0), (0.5, 0.49, 1), (-0.25, 0.0, 1), (-0.25, -1.0, 1), (-0.25, 0.1, 0)],
)
def test_a_proposal_has_to_be_trusted_above_the_threshold_unless_that_is_0(score, threshold, count):
    model = BrightThings()
    model.score = score
    options = AutomaticMaskOptions(**{**LOOSE, "pred_iou_thresh": threshold})
    assert len(segment_everything(model, bright_thing(), options)) == count


def test_a_proposal_that_is_as_stable_as_was_asked_stays():
    image = np.zeros((64, 64, 3), np.uint8)  # the input's own size: no logit lies in between
    image[20:40, 10:30] = 255
    options = AutomaticMaskOptions(**{**LOOSE, "stability_score_thresh": 1.0})
    (found,) = segment_everything(BrightThings(), image, options)
    assert found["stability_score"] == 1.0


@pytest.mark.parametrize(("ratio", "size"), [(0.0, [90, 60]), (0.25, [105, 75])])
def test_tiles_overlap_by_the_share_of_the_image_that_was_asked(ratio, size):
    options = AutomaticMaskOptions(**LOOSE, crop_n_layers=1, crop_overlap_ratio=ratio)
    image = np.roll(bright_thing(), -20, axis=0)  # what is near a tile's inner edge is not its own
    (found,) = segment_everything(BrightThings(), image, options)
    assert found["crop_box"] == [0, 0, *size]


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({"crop_n_layers": 1, "crop_nms_thresh": 1.0}, 2),
        ({"crop_n_layers": 1, "crop_nms_thresh": 1.0, "min_mask_region_area": 9}, 2),
        ({"box_nms_thresh": 1.0}, 48),
        ({"box_nms_thresh": 1.0, "min_mask_region_area": 9}, 48),
        ({"stability_score_offset": 9.0}, 1),
        ({"stability_score_offset": 11.0}, 0),
    ],
)
def test_each_limit_of_what_is_the_same_object_holds_for_its_own_step(options, count):
    """Of a limit of 1 nothing is the same: 16 points with 3 answers each, or tile and image."""
    chosen = AutomaticMaskOptions(**LOOSE, **options)
    assert len(segment_everything(BrightThings(), bright_thing(), chosen)) == count


@pytest.mark.parametrize(("layers", "points"), [(0, 16), (1, 80)])
def test_progress_is_the_share_of_the_points_of_all_tiles(layers, points):
    shares = []
    options = AutomaticMaskOptions(**LOOSE, points_per_batch=12, crop_n_layers=layers)
    segment_everything(BrightThings(), bright_thing(), options, on_progress=shares.append)
    asked = np.cumsum([12, 4] * (points // 16))
    assert shares == pytest.approx((asked / points).tolist())


@pytest.mark.parametrize("shape", [(1, 1), (2, 40), (40, 2)])
def test_tiles_of_an_image_of_a_few_pixels_are_those_that_have_some(shape, predictors):
    options = AutomaticMaskOptions(points_per_side=1, pred_iou_thresh=0.0, crop_n_layers=2)
    image, progress = np.zeros((*shape, 3), np.uint8), []
    segment_everything(predictors["sam"], image, options, on_progress=progress.append)
    assert progress[-1] == 1.0


def test_tiles_may_be_asked_at_fewer_points_than_the_whole():
    shares = []
    few = {"crop_n_layers": 1, "crop_n_points_downscale_factor": 2}
    options = AutomaticMaskOptions(**LOOSE, **few)
    segment_everything(BrightThings(), bright_thing(), options, on_progress=shares.append)
    assert shares == [16 / 32, 20 / 32, 24 / 32, 28 / 32, 1.0]


@pytest.mark.slow  # two searches
def test_an_image_embedded_before_gives_the_same(predictor, predictors):
    image = objects(*SHAPE)
    few = {"points_per_side": 2, "crop_n_layers": 1}  # tiles are embedded by themselves in any case
    for model, options in ((predictor, {}), (predictors["sam"], few)):
        chosen = AutomaticMaskOptions(**{**LOOSE, **options})
        expected = segment_everything(model, image, chosen)
        found = segment_everything(model, image, chosen, embedded=model.embed(image))
        assert found == expected != []


def test_what_suits_a_model_depends_on_its_side_and_tells_the_small_bases_from_sams(predictors):
    small = AutomaticMaskOptions.suited_to(predictors["sam"])
    assert (small.points_per_side, small.pred_iou_thresh, small.points_per_batch) == (12, 0.55, 24)
    for side, own in ((1023, small), (1024, AutomaticMaskOptions())):
        assert AutomaticMaskOptions.suited_to(SimpleNamespace(side=side)) == own


class OneAnswer(BrightThings):
    """Stands for an adapter: whatever box it is given, all that is bright, or nothing above it."""

    is_adapted = True

    def __init__(self):
        self.asked = []  # boxes in a pass

    @property
    def frozen_base(self):
        return SquaresAtPoints()

    def decode(self, images, prompts, multimask, *, with_sam):
        assert not multimask
        self.asked.append(len(prompts.boxes))
        found = super().decode(images, prompts, multimask, with_sam=with_sam)
        logits = found.masks[:, :1].clone()
        logits[prompts.boxes[:, 1] < 32] = -10.0  # boxes of the upper half show it nothing
        return Decoded(logits, found.scores[:, :1], logits, found.scores[:, :1], maps=None)


class SquaresAtPoints(BrightThings):
    """Stands for SAM: a small square at every point, trusted the more the farther right it lies."""

    def decode(self, images, prompts, multimask, *, with_sam):
        places = prompts.points[:, 0]
        rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
        near = [(abs(columns - x) < 4) & (abs(rows - y) < 4) for x, y in places]
        logits = (torch.stack(near)[:, None] * 20.0 - 10.0).repeat(1, 3, 1, 1)
        scores = (0.4 + places[:, :1] / 128 + places[:, 1:] / 6400).repeat(1, 3).float()
        return Decoded(logits, scores, logits, scores, maps=None)


@pytest.mark.parametrize("points_per_batch", [1, 3, 64])
def test_of_refined_masks_that_are_one_object_the_best_proposals_stays_and_empty_ones_go(
    points_per_batch,
):
    image = np.zeros((*SHAPE, 3), np.uint8)
    image[30:90, 20:160] = 255
    options = AutomaticMaskOptions(**LOOSE, points_per_batch=points_per_batch)
    assert len(segment_everything(SquaresAtPoints(), image, options)) == 16
    model = OneAnswer()
    (found,) = segment_everything(model, image, options)
    assert sum(model.asked) == 16
    assert max(model.asked) == min(points_per_batch, 16)
    assert found["point_coords"] == [[157.5, 105.0]]  # lower right
    assert found["predicted_iou"] == pytest.approx(0.4 + 56 / 128 + 56 / 6400)
    assert np.array_equal(decode(found["segmentation"]), image[..., 0] > 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("points_per_side", 0),
        ("points_per_batch", 0),
        ("crop_n_points_downscale_factor", 0),
        ("crop_n_layers", -1),
        ("min_mask_region_area", -1),
    ],
)
def test_an_impossible_option_is_refused_by_name(name, value):
    with pytest.raises(PromptError, match=f"{name} is {value}, expected"):
        AutomaticMaskOptions(**{name: value})


@pytest.mark.long
def test_progress_grows_to_the_whole_and_may_end_the_search(predictor):
    shares = []
    options = AutomaticMaskOptions(**LOOSE, points_per_batch=5)
    segment_everything(predictor, objects(*SHAPE), options, on_progress=shares.append)
    assert shares == [5 / 16, 10 / 16, 15 / 16, 1.0]

    def enough(share):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        segment_everything(predictor, objects(*SHAPE), options, on_progress=enough)


def data(*masks: np.ndarray) -> amg.MaskData:
    stacked = torch.tensor(np.stack(masks))
    return amg.MaskData(
        rles=amg.mask_to_rle_pytorch(stacked),
        boxes=amg.batched_mask_to_box(stacked),
        names=[str(i) for i in range(len(masks))],
    )


def square() -> np.ndarray:
    mask = np.zeros((20, 20), bool)
    mask[4:16, 4:16] = True
    return mask


def test_a_small_hole_is_filled_and_a_small_island_goes():
    mask = square()
    mask[8, 8] = False
    mask[0, 0] = True
    found = data(mask)
    _remove_small_regions(found, 5, 0.7)
    assert np.array_equal(amg.rle_to_mask(found["rles"][0]), square())
    assert found["boxes"].tolist() == [[4, 4, 15, 15]]


def test_large_ones_stay():
    mask = square()
    mask[7:12, 7:12] = False
    found = data(mask)
    _remove_small_regions(found, 5, 0.7)
    assert np.array_equal(amg.rle_to_mask(found["rles"][0]), mask)


@pytest.mark.parametrize(("place", "there"), [((0, 0), True), ((8, 8), False)])
def test_of_two_that_become_the_same_the_untouched_stays(place, there):
    touched = square()
    touched[place] = there  # an island or a hole
    found = data(touched, square())
    _remove_small_regions(found, 5, 0.7)
    assert found["names"] == ["1"]


def test_nothing_is_no_error():
    found = amg.MaskData(rles=[], boxes=torch.empty(0, 4))
    _remove_small_regions(found, 5, 0.7)
    assert found["rles"] == []


@pytest.mark.parametrize("kind", ["hq_sam", "pa_sam"])
def test_an_image_is_looked_at_once_whatever_the_passes_the_clicks_and_the_way_of_asking(
    kind, monkeypatch
):
    model, looks, image = make_predictor(kind), [], picture(60, 90)
    look = Segmenter.look
    monkeypatch.setattr(Segmenter, "look", lambda self, *of: looks.append(self) or look(self, *of))
    monkeypatch.setattr(pa_mask_decoder, "edge_channel", counted(edges := []))
    whole = model.embed(image)
    boxes = [image_prompt(box=[5 + i, 6, 60, 50 - i]) for i in range(5)]
    model.predict_many([(whole, each) for each in boxes], batch_size=2)
    model.predict_many([(whole, boxes[1])], multimask_output=True, return_details=True)
    predict_zoomed(model, image, [image_prompt(box=[1, 1, 88, 58])], embedded=whole)
    options = AutomaticMaskOptions(
        points_per_side=4, points_per_batch=3, pred_iou_thresh=-9.0, stability_score_thresh=0.0
    )
    segment_everything(model, image, options, embedded=whole)
    model.set_embedded(whole)
    model.predict(box=[12, 8, 70, 50])
    assert looks == [model.segmenter]
    assert len(edges) == (kind == "pa_sam")
    (again,) = model.predict_many([(whole, boxes[0])])
    (fresh,) = model.predict_many([(model.embed(image), boxes[0])])
    assert np.array_equal(again.low_res, fresh.low_res)
    assert len(looks) == 2


def counted(calls):
    """Find edges as ever, and note it."""
    find = pa_mask_decoder.edge_channel
    return lambda *given: calls.append(given) or find(*given)


def test_models_of_one_base_each_keep_what_they_made_of_an_image_as_long_as_they_live():
    base = make_predictor("sam").segmenter.base
    models = {kind: make_predictor(kind, base) for kind in ("pa_sam", "hq_sam", "sam")}
    image, box = models["sam"].embed(picture(60, 90)), image_prompt(box=[12, 8, 70, 50])
    bare = image.nbytes
    for model in models.values():
        alone = dataclasses.replace(image)  # nobody has made anything of it
        assert alone.nbytes == bare
        found, expected = (model.predict_many([(each, box)])[0] for each in (image, alone))
        assert np.array_equal(found.low_res, expected.low_res)
    embedding = image.encoded.embedding.nbytes
    assert image.nbytes == bare + embedding + 2 * embedding
    del models["hq_sam"], model
    assert image.nbytes == bare + embedding
