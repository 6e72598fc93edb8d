"""A candidate is what the lock vouches for, and it says what its weights are of."""

from __future__ import annotations

import dataclasses
import json

import pandas as pd
import pytest

from pasam.data.manifest import read_manifest
from pasam.errors import RegistryError
from pasam.registry.snapshot import read_lock, take_snapshot
from pasam.registry.version_files import (
    comparable_rows,
    complete_scores,
    find_candidate,
    metadata,
    weights_label,
)


def test_a_candidate_has_its_files_scores_and_lineage(promoted):
    found = find_candidate(take_snapshot(promoted.folder), "pa_sam")
    assert found.stage == "train@pa_sam"
    assert found.adapter == promoted.path("data/adapters/pa_sam.safetensors")
    assert set(found.scores["benchmark"]) == {"dis_like", "thin_like"}
    assert set(found.scores["model"]) == {"pa_sam"}
    assert len(found.measured.evaluation_set) == 32
    assert found.key == f"{found.lineage['adapter.sha256']}-{found.lineage['base.sha256']}"
    assert json.loads(metadata(found, "0" * 64))["variant"]["decoder"] == "pa_sam"


def test_an_unknown_model_is_told_with_those_there_are(promoted):
    with pytest.raises(RegistryError, match=r"no training of 'best' .*'train@hq_sam'"):
        find_candidate(take_snapshot(promoted.folder), "best")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("data/adapters/pa_sam.safetensors", "train@pa_sam cannot vouch for pa_sam.*has changed"),
        ("data/scores/pa_sam.parquet", "evaluate@pa_sam cannot vouch"),
    ],
)
def test_files_that_are_not_the_locks_are_refused(path, words, tracked):
    tracked.path(path).write_bytes(b"other")
    with pytest.raises(RegistryError, match=words):
        find_candidate(take_snapshot(tracked.folder), "pa_sam")


def relocked(snapshot, name, path, md5):
    """The snapshot as if a stage had made an output anew."""
    stage = snapshot.lock.stages[name]
    outs = {**stage.outs, path: dataclasses.replace(stage.outs[path], md5=md5)}
    stages = {**snapshot.lock.stages, name: dataclasses.replace(stage, outs=outs)}
    return dataclasses.replace(snapshot, lock=dataclasses.replace(snapshot.lock, stages=stages))


@pytest.mark.parametrize(
    ("stage", "path", "words"),
    [
        ("embed@val", "data/embeddings/val",
         "evaluate@pa_sam has read another data/embeddings/val than embed@val made last"),
        ("validate", "reports/validation/verdict.json",
         "has read another reports/validation/verdict.json than validate"),
    ],
)  # fmt: skip
def test_scores_of_data_that_was_made_anew_since_are_refused(stage, path, words, tracked):
    snapshot = relocked(take_snapshot(tracked.folder), stage, path, "0" * 32)
    with pytest.raises(RegistryError, match=words):
        find_candidate(snapshot, "pa_sam")


@pytest.mark.parametrize(
    ("path", "maker"),
    [("reports/validation/verdict.json", "validate"), ("data/manifest.parquet", "prepare")],
)
def test_what_was_edited_since_it_was_made_vouches_for_nothing(path, maker, tracked):
    assert take_snapshot(tracked.folder).validation() == "passed"
    place = tracked.path(path)
    place.write_bytes(place.read_bytes() + b"\n")
    snapshot = take_snapshot(tracked.folder)
    assert snapshot.validation() == "not validated"
    with pytest.raises(RegistryError, match=f"{path} has changed since {maker} made it"):
        find_candidate(snapshot, "pa_sam")


def test_every_mask_of_every_benchmark_needs_a_score(promoted):
    snapshot = take_snapshot(promoted.folder)
    scores = find_candidate(snapshot, "pa_sam").scores
    assert complete_scores(snapshot, scores) is scores
    one_less = scores.drop(index=scores.index[0])
    with pytest.raises(RegistryError, match=r"the scores lack .* of dis_like \(1 in all, of "):
        complete_scores(snapshot, one_less)
    with pytest.raises(RegistryError, match="the scores lack .* of thin_like"):
        complete_scores(snapshot, scores[scores["benchmark"] == "dis_like"])
    renamed = pd.concat([scores, scores.head(1).assign(image_id="dis_like/other")])
    with pytest.raises(RegistryError, match="are of others, such as dis_like/other"):
        complete_scores(snapshot, renamed)


def test_generated_data_the_small_base_and_real_weights_are_told_apart(promoted):
    stage = read_lock(promoted.folder).stages["train@pa_sam"]
    rows = read_manifest(promoted.path("data/manifest.parquet"))

    def label(dataset, size):
        """Name the weights of a project whose images are of these data sets."""
        snapshot = take_snapshot(promoted.folder)
        frame = rows.assign(dataset=dataset)
        vars(snapshot)["manifest"] = frame  # a cached property
        return weights_label(snapshot, stage, size=size)

    generated, own = rows["dataset"], "photographs"
    assert label(generated, "vit_b") == "generated data"
    assert label(generated, "tiny") == "generated data and the small base"
    assert label(own, "vit_b") == "real"
    first = rows.index[rows["split"] == "train"][0]
    for mixed in (
        generated.where(rows.index != first, own),
        pd.Series(own, rows.index).where(rows.index != first, "generated_train"),
    ):
        assert label(mixed, "vit_b") == "partly generated data"
        assert label(mixed, "tiny") == "partly generated data and the small base"
    only_measured = pd.Series(own, rows.index).where(rows["split"] == "train", "dis_like")
    assert label(only_measured, "vit_b") == "real"  # trained on photographs alone


def test_a_model_that_was_never_trained_is_labelled(tracked):
    stage = read_lock(tracked.folder).stages["train@pa_sam"]
    tracked.path("reports/history/pa_sam.jsonl").write_text("")
    snapshot = take_snapshot(tracked.folder)
    assert weights_label(snapshot, stage, size="vit_b") == "an untrained model"


def test_only_clean_images_with_the_box_prompt_are_compared(promoted):
    scores = find_candidate(take_snapshot(promoted.folder), "pa_sam").scores
    others = [scores.assign(corruption="blur_1"), scores.assign(prompt="points_3")]
    kept = comparable_rows(pd.concat([scores, *others]))
    pd.testing.assert_frame_equal(kept, scores)
