"""segment_anything can be imported whatever torch build there is, and nms is a correct one."""

import subprocess
import sys

import torch

from pasam.models.before_segment_anything import non_maximum_suppression


def test_segment_anything_imports_in_a_fresh_interpreter():
    code = "import pasam.models.before_segment_anything, segment_anything"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_boxes_come_best_first_and_overlapping_ones_are_dropped():
    boxes = torch.tensor([[0, 0, 10, 10], [1, 1, 10, 10], [20, 20, 30, 30], [0, 0, 5, 10.0]])
    scores = torch.tensor([0.5, 0.9, 0.95, 0.1])
    assert non_maximum_suppression(boxes, scores, 0.5).tolist() == [2, 1, 3]


def test_an_overlap_of_exactly_the_threshold_stays():
    boxes = torch.tensor([[0, 0, 10, 10], [0, 0, 5, 10.0]])
    scores = torch.tensor([0.9, 0.5])
    assert non_maximum_suppression(boxes, scores, 0.5).tolist() == [0, 1]
    assert non_maximum_suppression(boxes, scores, 0.49).tolist() == [0]


def test_no_boxes_give_no_indices():
    assert non_maximum_suppression(torch.empty(0, 4), torch.empty(0), 0.5).shape == (0,)


def test_the_operator_that_torchvision_looks_up_exists_and_works():
    boxes = torch.tensor([[0, 0, 10, 10], [1, 1, 10, 10.0]])
    assert torch.ops.torchvision.nms(boxes, torch.tensor([0.5, 0.9]), 0.5).tolist() == [1]


def run(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_no_stage_and_no_prediction_pays_for_torchvision_and_the_compiler_at_its_start():
    modules = "pipelines.stages.evaluate, pipelines.stages.embed, pasam.inference.predictor"
    run(
        f"import {modules}, sys\n"
        "late = [name for name in ('torchvision', 'torch._dynamo') if name in sys.modules]\n"
        "assert not late, late"
    )


def test_the_names_of_segment_anything_itself_are_there_when_somebody_wants_them():
    run(
        "import pasam.models.base_sam\n"
        "from segment_anything import SamPredictor, sam_model_registry\n"
        "import segment_anything, segment_anything.modeling as parts\n"
        "assert segment_anything.modeling is parts\n"
        "assert SamPredictor.__module__ == 'segment_anything.predictor'\n"
        "assert isinstance(sam_model_registry['vit_b'], type(lambda: 0))\n"
    )


def test_a_name_that_segment_anything_lacks_is_an_attribute_error():
    run(
        "import pasam.models.base_sam, segment_anything\n"
        "assert not hasattr(segment_anything, '__wrapped__')\n"
        "assert not hasattr(segment_anything, 'Sam3')\n"
        "assert hasattr(segment_anything, 'SamPredictor')\n"
    )
