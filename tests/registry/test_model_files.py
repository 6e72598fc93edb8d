"""A version's files are safetensors and words, complete in themselves."""

from __future__ import annotations

import dataclasses
import json

import pytest

from pasam.errors import CheckpointError
from pasam.models.checkpoint import read_metadata, read_weights, write_state_dict, write_weights
from pasam.registry.candidate import find_candidate
from pasam.registry.model_files import open_files, write_files


@pytest.fixture
def candidate(promoted):
    return find_candidate(promoted.folder, "pa_sam")


def paths(folder):
    return [folder / name for name in ("adapter.safetensors", "base.safetensors", "model.json")]


def test_equal_candidates_give_equal_bytes(candidate, tmp_path):
    write_files(tmp_path / "a", candidate)
    write_files(tmp_path / "b", candidate)
    for a, b in zip(paths(tmp_path / "a"), paths(tmp_path / "b"), strict=True):
        assert a.read_bytes() == b.read_bytes()


def test_the_files_alone_make_the_model(candidate, tmp_path):
    write_files(tmp_path, candidate)
    segmenter = open_files(*paths(tmp_path)).segmenter
    state = segmenter.decoder.state_dict()
    trained = read_weights(candidate.adapter)
    assert trained
    assert all((state[name] == tensor).all() for name, tensor in trained.items())
    words = json.loads((tmp_path / "model.json").read_text())
    assert words["weights"] == "generated data and the small base"


def test_an_official_checkpoint_is_written_as_safetensors_and_still_fits(candidate, tmp_path):
    weights = read_weights(candidate.base)
    write_state_dict(tmp_path / "official.pth", weights)
    official = dataclasses.replace(candidate, base=tmp_path / "official.pth")
    write_files(tmp_path / "files", official)
    written = read_weights(tmp_path / "files" / "base.safetensors")
    assert all((written[name] == tensor).all() for name, tensor in weights.items())
    assert open_files(*paths(tmp_path / "files")).name == "pa_sam"


def test_weights_of_another_base_are_refused(candidate, tmp_path):
    write_files(tmp_path, candidate)
    weights = read_weights(tmp_path / "adapter.safetensors")
    words = {**read_metadata(tmp_path / "adapter.safetensors"), "base": "0" * 64}
    write_weights(tmp_path / "adapter.safetensors", weights, metadata=words)
    with pytest.raises(CheckpointError, match="was trained for base '0000"):
        open_files(*paths(tmp_path))


@pytest.mark.parametrize("text", ["{}", "[", "[]", '{"variant": {"decoder": "x"}}'])
def test_words_that_describe_no_model_are_refused(text, tmp_path):
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(CheckpointError, match="does not describe a model"):
        open_files(*paths(tmp_path))
