"""Equal bytes are one version; its evidence lies with the run of its training."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest

from pasam.errors import RegistryError
from pasam.registry.candidate import find_candidate
from pasam.registry.model_files import measured_of, register, scores_of
from pasam.registry.versions import open_registry


def test_the_same_bytes_again_are_the_same_version_and_no_candidate(promoted):
    registry = open_registry(promoted.folder)
    champion = registry.version("champion")
    candidate = find_candidate(promoted.folder, "pa_sam")
    again = register(registry, candidate, run_id=champion.run_id)
    assert again.number == champion.number
    assert registry.aliases() == {"champion": 1}
    assert len(registry.versions()) == 1


def test_a_commit_that_gives_a_version_is_not_given_up_for_a_dirty_tree(promoted):
    registry = open_registry(promoted.folder)
    champion = registry.version("champion")
    assert champion.tags["git.dirty"] == "false"
    candidate = find_candidate(promoted.folder, "pa_sam")
    lineage = {**candidate.lineage, "git.dirty": "true", "git.commit": "other"}
    lineage["evaluation.evaluator"] = "newer"
    dirty = dataclasses.replace(candidate, lineage=lineage)
    again = register(registry, dirty, run_id=champion.run_id)
    assert again.tags["git.dirty"] == "false"
    assert again.tags["git.commit"] == champion.tags["git.commit"]
    assert again.tags["evaluation.evaluator"] == "newer"
    lineage["git.dirty"] = "false"
    clean = register(registry, dirty, run_id=champion.run_id)
    assert clean.tags["git.commit"] == "other"
    register(registry, candidate, run_id=champion.run_id)


def test_a_version_carries_lineage_scores_and_what_they_were_measured_with(promoted):
    registry = open_registry(promoted.folder)
    version = registry.version("champion")
    candidate = find_candidate(promoted.folder, "pa_sam")
    pd.testing.assert_frame_equal(scores_of(registry, version), candidate.scores)
    assert measured_of(version) == candidate.measured
    assert version.tags["adapter.sha256"] == candidate.key.partition("-")[0]
    run = registry.client.get_run(version.run_id)
    page = registry.client.get_model_version("pasam", "1")
    assert page.description.startswith("pa_sam on vit_tiny, boundary IoU ")
    assert "generated data" in page.description
    (made,) = run.outputs.model_outputs
    assert registry.client.get_logged_model(made.model_id).artifact_location == page.source
    assert run.data.tags["dvc.stage"] == version.tags["dvc.stage"] == "train@pa_sam"


def test_scores_that_are_gone_are_told(registry):
    run = registry.client.create_run(registry.store.experiment_id)
    version = dataclasses.replace(registry.version(1), run_id=run.info.run_id)
    with pytest.raises(RegistryError, match="scores of version 1 are gone from run"):
        scores_of(registry, version)
