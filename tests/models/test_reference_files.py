"""Files in the references' formats, there and back."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_world import small_base
from variants import hq_sam, pa_sam

from pasam.errors import CheckpointError
from pasam.models.adapter_weights import (
    _kind,
    export_merged,
    import_decoder,
    import_merged,
    read_trained_on,
    write_adapter,
)
from pasam.models.base_sam import BaseSam
from pasam.models.before_segment_anything import non_maximum_suppression
from pasam.models.build import build_decoder, digest
from pasam.models.checkpoint import (
    read_metadata,
    read_weights,
    write_state_dict,
    write_weights,
)

HQ, PA = hq_sam(), pa_sam()
LISTS = Path(__file__).parent / "decoder_keys"
BOTH = pytest.mark.parametrize(
    ("variant", "keys"), [(PA, "pa_sam.txt"), (HQ, "hq_sam_vit_b.txt")], ids=["pa", "hq"]
)


def build(variant, seed: int = 0) -> tuple[BaseSam, torch.nn.Module]:
    """Build a small base and a decoder that has learnt something of its own."""
    torch.manual_seed(seed)
    base = small_base()
    decoder = build_decoder(base, variant)
    if variant is PA:
        with torch.no_grad():
            decoder.mask_tokens.weight.add_(1)
    return base, decoder


def names(keys: str) -> set[str]:
    return {line.split()[1] for line in (LISTS / keys).read_text().splitlines()}


def state(module: torch.nn.Module) -> str:
    return digest(module.state_dict())


@BOTH
def test_a_decoders_file_has_the_references_names(tmp_path, variant, keys):
    write_state_dict(tmp_path / "x.pth", build(variant)[1].state_dict())
    content = torch.load(tmp_path / "x.pth", weights_only=True)
    assert type(content) is dict
    assert content.keys() == names(keys)
    assert len(content) == {"pa_sam.txt": 152, "hq_sam_vit_b.txt": 145}[keys]


@BOTH
def test_a_decoder_comes_back_bit_for_bit(tmp_path, variant, keys):
    written, other = build(variant, 0)[1], build(variant, 1)[1]
    assert state(written) != state(other)
    write_state_dict(tmp_path / "x.pth", written.state_dict())
    import_decoder(other, tmp_path / "x.pth")
    assert state(written) == state(other)


def test_another_methods_decoder_is_refused_and_changes_nothing(tmp_path):
    write_state_dict(tmp_path / "hq.pth", build(HQ)[1].state_dict())
    decoder = build(PA)[1]
    before = state(decoder)
    with pytest.raises(CheckpointError) as caught:
        import_decoder(decoder, tmp_path / "hq.pth")
    words = str(caught.value)
    assert "hq.pth does not fit this architecture (152 tensors expected, 145 found)" in words
    assert "missing guiding_conv.0.bias, " in words
    assert "unknown compress_vit_feat.0.bias, " in words
    assert "Take a file of PaMaskDecoder made for the same base.size" in words
    assert state(decoder) == before


def test_pa_sams_merged_file_puts_its_decoder_in_place_of_sams(tmp_path):
    base, decoder = build(PA)
    export_merged(base, decoder, tmp_path / "x.pth")
    content, sam = read_weights(tmp_path / "x.pth"), base.sam.state_dict()
    assert len(content) == len(sam) + 152
    for name, tensor in decoder.state_dict().items():
        assert torch.equal(content[f"mask_decoder.{name}"], tensor)
    for name, tensor in sam.items():
        assert torch.equal(content[name.replace("mask_decoder.", "mask_decoder_ori.")], tensor)


def test_hq_sams_merged_file_only_adds_to_sam(tmp_path):
    base, decoder = build(HQ)
    export_merged(base, decoder, tmp_path / "x.pth")
    content, sam = read_weights(tmp_path / "x.pth"), base.sam.state_dict()
    assert all(torch.equal(content[name], tensor) for name, tensor in sam.items())
    added = {name.removeprefix("mask_decoder.") for name in content.keys() - sam.keys()}
    assert len(added) == 25
    assert all(
        torch.equal(content[f"mask_decoder.{name}"], decoder.state_dict()[name]) for name in added
    )


@BOTH
def test_a_merged_file_comes_back_as_base_and_decoder(tmp_path, variant, keys):
    base, decoder = build(variant, 0)
    export_merged(base, decoder, tmp_path / "x.pth")
    other_base, other_decoder = build(variant, 1)
    import_merged(other_base, other_decoder, tmp_path / "x.pth")
    assert state(other_base) == state(base)
    assert state(other_decoder) == state(decoder)


def test_an_hq_decoder_of_another_base_is_not_merged(tmp_path):
    base, decoder = build(HQ)
    with torch.no_grad():
        base.sam.mask_decoder.iou_token.weight[0, 5] += 1
    with pytest.raises(CheckpointError, match=r"iou_token\.weight differs .*\(1 tensors do\)"):
        export_merged(base, decoder, tmp_path / "x.pth")
    assert not (tmp_path / "x.pth").exists()


def test_a_merged_file_of_the_other_method_changes_neither_part(tmp_path):
    export_merged(*build(HQ), tmp_path / "hq.pth")
    base, decoder = build(PA, 1)
    before = state(base), state(decoder)
    with pytest.raises(CheckpointError, match=r"missing mask_decoder\.guiding_conv\.0\.bias"):
        import_merged(base, decoder, tmp_path / "hq.pth")
    assert (state(base), state(decoder)) == before


def test_a_decoders_file_must_be_named_as_the_references_do(tmp_path):
    with pytest.raises(CheckpointError, match=r"x\.safetensors ends in '\.safetensors'"):
        write_state_dict(tmp_path / "x.safetensors", build(PA)[1].state_dict())


@pytest.mark.slow  # as the last one does
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


@pytest.mark.slow  # of predictions: test_packaging
def test_no_stage_and_no_prediction_pays_for_torchvision_and_the_compiler_at_its_start():
    stages = ("evaluate", "embed", "train", "repeat", "ablate", "pretrain")
    modules = ", ".join(["pasam.inference.predictor", *(f"pipelines.stages.{s}" for s in stages)])
    run(
        f"import {modules}, sys\n"
        "late = [name for name in ('torchvision', 'torch._dynamo') if name in sys.modules]\n"
        "assert not late, late"
    )


@pytest.mark.slow  # it imports all of segment-anything in a process of its own
def test_segment_anything_itself_has_its_names_when_somebody_wants_them_and_no_others():
    run(
        "import pasam.models.base_sam, segment_anything\n"
        "assert not hasattr(segment_anything, '__wrapped__')\n"
        "assert not hasattr(segment_anything, 'Sam3')\n"
        "from segment_anything import SamPredictor, sam_model_registry\n"
        "import segment_anything.modeling as parts\n"
        "assert segment_anything.modeling is parts\n"
        "assert SamPredictor.__module__ == 'segment_anything.predictor'\n"
        "assert isinstance(sam_model_registry['vit_b'], type(lambda: 0))\n"
    )


def test_what_an_adapter_was_trained_on_is_written_in_order_and_read_only_as_names(tmp_path):
    path = tmp_path / "a.safetensors"
    layer = torch.nn.Linear(1, 1)
    write_adapter(path, layer, variant=hq_sam(), base="x", trained_on=("b", "a"))
    assert read_trained_on(path) == ["a", "b"]
    assert json.loads(read_metadata(path)["trained_on"]) == ["a", "b"]
    for words, found in (('["a", 3]', ["a", "3"]), ('{"a": 1}', []), ('"ab"', []), ("{", [])):
        write_weights(path, layer.state_dict(), metadata={"trained_on": words})
        assert read_trained_on(path) == found


def test_only_what_names_its_decoder_and_its_base_is_an_adapter():
    weights = {"iou_token.weight": torch.zeros(1)}
    both = {"decoder": "pa_sam", "base": "x"}
    assert _kind(weights, both) == "adapter"
    for lost in both:
        assert _kind(weights, {lost: both[lost]}) == "sam_decoder"
