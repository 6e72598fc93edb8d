"""A candidate is what the lock vouches for, and it says what its weights are of."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from pasam.data.manifest import read_manifest, write_manifest
from pasam.errors import RegistryError
from pasam.registry.candidate import comparable_rows, description, find_candidate, weights_label
from pasam.registry.snapshot import read_lock


def test_a_candidate_has_its_files_scores_and_lineage(promoted):
    found = find_candidate(promoted.folder, "pa_sam")
    assert found.stage == "train@pa_sam"
    assert found.adapter == promoted.path("data/adapters/pa_sam.safetensors")
    assert set(found.scores["benchmark"]) == {"dis_like", "thin_like"}
    assert set(found.scores["model"]) == {"pa_sam"}
    assert len(found.measured.evaluation_set) == 32
    assert found.key == f"{found.lineage['adapter.sha256']}-{found.lineage['base.sha256']}"
    assert json.loads(description(found))["variant"]["decoder"] == "pa_sam"


def test_an_unknown_model_is_told_with_those_there_are(promoted):
    with pytest.raises(RegistryError, match=r"no training of 'best' .*'train@hq_sam'"):
        find_candidate(promoted.folder, "best")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("data/adapters/pa_sam.safetensors", "train@pa_sam cannot vouch for pa_sam.*has changed"),
        ("data/scores/pa_sam-dis_like.parquet", "evaluate@pa_sam-dis_like cannot vouch"),
    ],
)
def test_files_that_are_not_the_locks_are_refused(path, words, tracked):
    tracked.path(path).write_bytes(b"other")
    with pytest.raises(RegistryError, match=words):
        find_candidate(tracked.folder, "pa_sam")


def test_generated_data_the_small_base_and_real_weights_are_told_apart(promoted, tmp_path):
    stage = read_lock(promoted.folder).stages["train@pa_sam"]
    manifest = promoted.path("data/manifest.parquet")

    def label(path, size):
        return weights_label(promoted.folder, stage, path, size=size)

    assert label(manifest, "vit_b") == "generated data"
    assert label(manifest, "vit_tiny") == "generated data and the small base"
    own = read_manifest(manifest).assign(dataset="photographs")
    write_manifest(own, tmp_path / "manifest.parquet")
    assert label(tmp_path / "manifest.parquet", "vit_b") == "real"


def test_a_model_that_was_never_trained_is_labelled(tracked):
    stage = read_lock(tracked.folder).stages["train@pa_sam"]
    tracked.path("reports/history/pa_sam.jsonl").write_text("")
    manifest = tracked.path("data/manifest.parquet")
    assert weights_label(tracked.folder, stage, manifest, size="vit_b") == "an untrained model"


def test_only_clean_images_with_the_box_prompt_are_compared(promoted):
    scores = find_candidate(promoted.folder, "pa_sam").scores
    others = [scores.assign(corruption="blur_1"), scores.assign(prompt="points_3")]
    kept = comparable_rows(pd.concat([scores, *others]))
    pd.testing.assert_frame_equal(kept, scores)
