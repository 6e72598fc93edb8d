"""segment_anything can be imported whatever torch build there is, and nms is a correct one."""

import subprocess
import sys

import torch

from pasam.models.torchvision_operators import non_maximum_suppression


def test_segment_anything_imports_in_a_fresh_interpreter():
    code = "import pasam.models.torchvision_operators, segment_anything"
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
