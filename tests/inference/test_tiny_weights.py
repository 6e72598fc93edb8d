"""The committed weights of `tiny`: they load, they are small, and they segment photographs."""

import importlib.util

import pytest

from pasam.data.package_photographs import package_photographs
from pasam.inference.model_files import find_model, open_model
from pasam.inference.predictor import PromptAdapterPredictor
from pasam.inference.zoomed_boxes import predict_zoomed
from pasam.masks.images import FOREGROUND
from pasam.masks.overlap import mask_iou
from pasam.masks.prompts import tight_box
from pasam.models.build import load_base
from pasam.models.checkpoint import file_digest, read_metadata
from pasam.models.segmenter import Segmenter

MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def weights(root):
    return root / "pasam" / "packaged" / "tiny.safetensors"


@pytest.fixture(scope="module")
def model(weights):
    base = load_base("tiny", weights)
    segmenter = Segmenter(base=base, decoder=base.sam.mask_decoder)
    return PromptAdapterPredictor(segmenter, name="sam", base=file_digest(weights))


def test_the_weights_are_small_and_say_what_they_are(weights):
    assert weights.stat().st_size < 20 * MEGABYTE
    assert read_metadata(weights) == {"size": "tiny"}


@pytest.mark.parametrize(
    ("photograph", "name", "least"),
    [("chelsea", "cat", 0.85), ("coffee", "cup", 0.85), ("flower", "flower", 0.9)],
)
def test_a_box_gives_the_object(model, photograph, name, least):
    image, box, truth = drawn(photograph, name)
    model.set_image(image)
    masks, _, _ = model.predict(box=box, multimask_output=False)
    assert mask_iou(truth, masks[0]) > least


def test_a_small_box_is_answered_better_from_near(model):
    image, box, truth = drawn("rocket", "payload fairing")
    model.set_image(image)
    plain, _, _ = model.predict(box=box, multimask_output=False)
    (zoomed,) = predict_zoomed(model, image, [box])
    assert mask_iou(truth, zoomed.masks[0]) > 0.8
    assert mask_iou(truth, zoomed.masks[0]) > mask_iou(truth, plain[0])


def drawn(photograph, name):
    """A photograph of a package, an object's box, and its mask."""
    (found,) = (each for each in package_photographs() if each.name == photograph)
    if importlib.util.find_spec("sklearn") is None:
        pytest.skip("scikit-learn is not installed")
    image = found.read()
    (thing,) = (each for each in found.objects if each.name == name)
    label = thing.mask(image.shape[:2])
    return image, tight_box(label), label > FOREGROUND


@pytest.mark.parametrize("name", ["hq_sam", "pa_sam", "pa_sam_plus"])
def test_a_packaged_adapter_needs_no_training_and_is_small(name):
    files = find_model(name)
    assert files.packaged
    assert files.weights is not None
    assert files.weights.stat().st_size < 1.5 * MEGABYTE
    image, box, truth = drawn("coffee", "cup")
    predictor = open_model(files)
    predictor.set_image(image)
    masks, _, _ = predictor.predict(box=box, multimask_output=False)
    assert mask_iou(truth, masks[0]) > 0.8


def test_packaged_pa_sam_plus_is_no_worse_than_its_base_on_the_packages_photographs(model):
    plus = open_model(find_model("pa_sam_plus"))
    scores = []
    for name, thing in (("chelsea", "cat"), ("coffee", "cup"), ("flower", "flower")):
        image, box, truth = drawn(name, thing)
        for predictor in (model, plus):
            predictor.set_image(image)
            masks, _, _ = predictor.predict(box=box, multimask_output=False)
            scores.append(mask_iou(truth, masks[0]))
    base, adapted = scores[0::2], scores[1::2]
    assert sum(adapted) > sum(base) - 0.01
    assert min(adapted) > 0.85
