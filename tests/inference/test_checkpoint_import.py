"""The references' files, taken over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from inference_models import picture

from pasam.errors import CheckpointError
from pasam.inference.model_files import find_model, import_checkpoint, open_model
from pasam.models.adapter_weights import export_merged
from pasam.models.checkpoint import read_weights, write_state_dict

ADAPTERS = Path("data/adapters")
BASE = Path("base.safetensors")
each_kind = pytest.mark.parametrize("kind", ["hq_sam", "pa_sam"])


def low_res(predictor) -> np.ndarray:
    predictor.set_image(picture(60, 90))
    return predictor.predict(box=[12, 8, 70, 50], multimask_output=False)[2]


@each_kind
def test_a_decoder_becomes_an_adapter_that_answers_the_same(kind, project, tmp_path):
    ours = open_model(find_model(kind, adapters=ADAPTERS))
    write_state_dict(tmp_path / "decoder.pth", ours.segmenter.decoder.state_dict())
    out = tmp_path / f"{kind}.safetensors"
    assert "mask decoder alone" in import_checkpoint(tmp_path / "decoder.pth", out)
    assert out.read_bytes() == (ADAPTERS / f"{kind}.safetensors").read_bytes()


@each_kind
def test_a_merged_file_becomes_an_adapter_with_its_own_base(kind, project, tmp_path):
    ours = open_model(find_model(kind, adapters=ADAPTERS))
    merged, out, base = (tmp_path / n for n in ("m.pth", "a.safetensors", "b.safetensors"))
    export_merged(ours.segmenter.base, ours.segmenter.decoder, merged)
    import_checkpoint(merged, out, base_out=base)
    again = open_model(find_model(str(out), base=base))
    assert np.array_equal(low_res(again), low_res(ours))
    import_checkpoint(merged, out)  # the params file's base is the same SAM
    assert np.array_equal(low_res(open_model(find_model(str(out)))), low_res(ours))


def test_a_whole_sam_becomes_safetensors(project, tmp_path):
    write_state_dict(tmp_path / "sam.pth", read_weights(BASE))
    import_checkpoint(tmp_path / "sam.pth", tmp_path / "sam.safetensors")
    found, expected = read_weights(tmp_path / "sam.safetensors"), read_weights(BASE)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@each_kind
def test_a_decoder_of_another_base_is_refused(kind, project, tmp_path):
    decoder = open_model(find_model(kind, adapters=ADAPTERS)).segmenter.decoder
    with torch.no_grad():
        decoder.iou_token.weight.add_(1)
    write_state_dict(tmp_path / "d.pth", decoder.state_dict())
    with pytest.raises(CheckpointError, match=r"its frozen iou_token.weight differs"):
        import_checkpoint(tmp_path / "d.pth", tmp_path / "x.safetensors")
    assert not (tmp_path / "x.safetensors").exists()


def test_a_merged_file_of_another_base_says_how_to_go_on(project, tmp_path):
    ours = open_model(find_model("pa_sam", adapters=ADAPTERS)).segmenter
    with torch.no_grad():
        ours.base.sam.image_encoder.pos_embed.add_(1)
    export_merged(ours.base, ours.decoder, tmp_path / "m.pth")
    with pytest.raises(CheckpointError, match=r"image_encoder.pos_embed differs.*--base-out"):
        import_checkpoint(tmp_path / "m.pth", tmp_path / "x.safetensors")


def test_what_is_ours_already_is_left_alone(project, tmp_path):
    with pytest.raises(CheckpointError, match="already; copy it"):
        import_checkpoint(ADAPTERS / "pa_sam.safetensors", tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match=r"ends in '.pth', expected .safetensors"):
        import_checkpoint(ADAPTERS / "pa_sam.safetensors", tmp_path / "x.pth")
