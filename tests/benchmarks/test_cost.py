"""What a model costs is counted once for each part that a prediction runs through."""

import json

from pasam.evaluation.model_set import (
    encoder_milliseconds,
    parameters,
    peak_memory_mib,
    write_parameters,
    write_timing,
)
from pasam.models.build import freeze_decoder


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_sam_has_the_parameters_of_its_three_parts_and_none_to_train(lineup):
    sam = lineup.contenders[0].segmenter
    assert parameters(sam) == {"parameters": count(lineup.base.sam), "trainable": 0}


def test_an_adapter_replaces_sams_decoder_and_only_its_own_parts_learn(lineup):
    model = lineup.contenders[2].segmenter
    freeze_decoder(model.decoder)
    found = parameters(model)
    sam = lineup.base.sam
    assert found["parameters"] == count(sam) - count(sam.mask_decoder) + count(model.decoder)
    learning = sum(p.numel() for p in model.decoder.parameters() if p.requires_grad)
    assert 0 < found["trainable"] == learning < found["parameters"]


def test_counts_are_written_with_the_models_name_and_the_oracle_has_none(tmp_path, lineup):
    write_parameters(tmp_path / "new" / "sam.json", "sam", lineup.contenders[0].segmenter)
    content = json.loads((tmp_path / "new" / "sam.json").read_text())
    assert content == {"model": "sam", "parameters": count(lineup.base.sam), "trainable": 0}
    write_parameters(tmp_path / "oracle.json", "oracle", None)
    assert json.loads((tmp_path / "oracle.json").read_text())["parameters"] == 0


def test_time_is_per_mask_and_per_image(tmp_path, base, store):
    path = tmp_path / "new" / "a.json"
    write_timing(path, masks=4, decoder_seconds=2.0, encoder_ms=None)
    content = json.loads(path.read_text())
    assert content.pop("peak_memory_mib") > 10
    assert content == {"masks": 4, "decoder_ms_per_mask": 500.0, "encoder_ms_per_image": None}
    assert 0 < encoder_milliseconds(base, store.images) < 10_000


def test_memory_is_in_mib():
    held = bytearray(64 * 2**20)
    held[::4096] = b"x" * len(held[::4096])
    assert 64 < peak_memory_mib() < 100_000
