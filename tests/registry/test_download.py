"""A version's files come back as they were registered, and make a predictor."""

from __future__ import annotations

import pytest

from pasam.errors import RegistryError
from pasam.registry.model_files import fetch, fetched, predictor_of
from pasam.registry.versions import open_registry


def test_the_fetched_weights_are_the_trained_bytes(promoted, champion_folder):
    files = {path.name: path.read_bytes() for path in (champion_folder / "artifacts").iterdir()}
    trained = promoted.path("data/adapters/pa_sam.safetensors").read_bytes()
    assert files["adapter.safetensors"] == trained
    assert files["base.safetensors"] == promoted.path("data/base/vit_tiny.safetensors").read_bytes()


def test_nothing_that_is_fetched_is_a_pickle(champion_folder):
    files = [path for path in champion_folder.rglob("*") if path.is_file()]
    assert not [path for path in files if path.suffix in (".pkl", ".pickle", ".pth", ".pt", ".bin")]
    assert not [path for path in files if path.read_bytes()[:2] in (b"\x80\x04", b"\x80\x05")]


def test_a_fetched_folder_makes_a_predictor_of_the_models_name(champion_folder):
    assert predictor_of(champion_folder).name == "pa_sam"


def test_a_temporary_copy_is_gone_afterwards(promoted):
    registry = open_registry(promoted.folder)
    with fetched(registry, registry.version("champion")) as folder:
        assert (folder / "MLmodel").is_file()
    assert not folder.exists()


def test_files_that_are_gone_are_told_with_their_place(registry, tmp_path):
    with pytest.raises(RegistryError, match="files of version 1 are gone from file:///nowhere/1"):
        fetch(registry, registry.version(1), tmp_path / "x")
