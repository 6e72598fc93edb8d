"""The model of an MLflow run, found by the digest of its weights."""

from __future__ import annotations

import shutil

import pytest
from inference_models import picture

from pasam.errors import RegistryError
from pasam.registry.load import CACHED, load_predictor, weights_of_run
from pasam.registry.runs import sync
from pasam.registry.versions import open_registry

OTHER = "train@hq_sam"
"""A stage whose model nobody has registered."""


@pytest.fixture
def run(promoted):
    """The id of the run of that stage."""
    return sync(promoted.folder).runs[OTHER]


@pytest.fixture
def found(promoted, tmp_path):
    """Look for the weights of a run."""
    registry = open_registry(promoted.folder)
    return lambda run: weights_of_run(registry, run, project=promoted.folder, folder=tmp_path)


def test_a_runs_weights_are_those_that_the_project_still_has(promoted, run, found):
    files = found(run)
    assert files.weights == promoted.folder / "data" / "adapters" / "hq_sam.safetensors"
    assert files.name == f"hq_sam (run {run[:8]})"


def test_a_run_opens_by_its_address_and_answers(run):
    predictor = load_predictor(f"runs:/{run}")
    predictor.set_image(picture(60, 90))
    assert predictor.predict(box=[12, 8, 70, 50])[0].shape == (1, 60, 90)


def test_weights_that_the_project_has_replaced_come_from_dvcs_cache(
    promoted, run, found, tmp_path, monkeypatch
):
    tree = promoted.folder / "data" / "adapters" / "hq_sam.safetensors"
    digest = open_registry(promoted.folder).client.get_run(run).data.tags["model.md5"]
    cached = promoted.folder / CACHED / digest[:2] / digest[2:]
    cached.parent.mkdir(parents=True, exist_ok=True)
    kept = shutil.copyfile(tree, tmp_path / "kept")
    shutil.move(tree, cached)
    try:
        files = found(run)
        assert files.weights == tmp_path / "hq_sam.safetensors"
        assert files.weights.read_bytes() == kept.read_bytes()
        cached.unlink()
        with pytest.raises(RegistryError, match="neither in the project nor in DVC's cache"):
            found(run)
    finally:
        shutil.copyfile(kept, tree)


def test_a_run_without_a_model_and_one_that_is_not_there_are_said(promoted, run, found):
    report = sync(promoted.folder).runs["prepare"]
    with pytest.raises(RegistryError, match=r"\(prepare\) has no model"):
        found(report)
    with pytest.raises(RegistryError, match="there is no run 'nothing'"):
        found("nothing")
