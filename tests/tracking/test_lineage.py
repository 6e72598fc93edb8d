"""Lineage changes with what it describes, and with nothing else."""

from __future__ import annotations

import dataclasses

from pasam.data.manifest import read_manifest, write_manifest
from pasam.registry.snapshot import (
    GitState,
    evaluation_set,
    evaluator_version,
    parse_lock,
    project_lineage,
    read_lock,
    rows_md5,
    stage_lineage,
    validation_verdict,
)
from pasam.validation.verdict import read_verdict, write_verdict

GIT = GitState(commit="c0ffee", dirty=False, pushed=True)
EVALUATE = """\
stages:
  evaluate@m-b:
    cmd: c
    deps:
    - {path: pasam/evaluation, md5: CODE.dir}
    - {path: pasam/data, md5: OTHER}
    params: {params.yaml: {evaluate: {boundary_fraction: SHARE}}}
"""


def lock_of(text):
    return parse_lock(text.encode(), source="dvc.lock")


def evaluator(code="aa", share="0.02", other="x"):
    text = EVALUATE.replace("CODE", code).replace("SHARE", share).replace("OTHER", other)
    return evaluator_version(lock_of(text))


def test_the_evaluator_is_its_code_and_its_settings():
    assert evaluator() == evaluator(other="y")
    assert len({evaluator(), evaluator(code="bb"), evaluator(share="0.03")}) == 3


def test_every_tag_is_a_filled_text(tracked):
    tags = project_lineage(tracked.folder, read_lock(tracked.folder), GIT, flow_run=None)
    assert all(isinstance(value, str) and value for value in tags.values())
    assert "unknown" not in tags.values()
    assert "prefect.flow_run" not in tags


def test_the_evaluation_set_depends_on_contents_and_not_on_order_or_paths(tracked):
    frame = read_manifest(tracked.path("data/manifest.parquet"))
    assert rows_md5(frame) == rows_md5(frame[::-1].assign(image="elsewhere"))
    assert rows_md5(frame) != rows_md5(frame.assign(mask_sha256="0"))
    lock = read_lock(tracked.folder)
    before = evaluation_set(tracked.folder, lock)
    other_training = frame.copy()
    other_training.loc[frame["split"] == "train", "mask_sha256"] = "0"
    write_manifest(other_training, tracked.path("data/manifest.parquet"))
    assert evaluation_set(tracked.folder, lock) == before
    write_manifest(frame.assign(mask_sha256="0"), tracked.path("data/manifest.parquet"))
    assert evaluation_set(tracked.folder, lock) != before


def test_the_validation_is_believed_only_of_the_data_that_it_saw(tracked):
    lock = read_lock(tracked.folder)
    assert validation_verdict(tracked.folder, lock) == "passed"
    path = tracked.path("reports/validation/verdict.json")
    verdict = read_verdict(path)
    write_verdict(path, dataclasses.replace(verdict, passed=False))
    assert validation_verdict(tracked.folder, lock) == "failed"
    write_verdict(path, dataclasses.replace(verdict, manifest_sha256="0" * 64))
    assert validation_verdict(tracked.folder, lock) == "not validated"
    path.unlink()
    assert validation_verdict(tracked.folder, lock) == "not validated"


def test_a_stage_names_the_weights_that_it_made_or_used(tracked):
    stages = read_lock(tracked.folder).stages
    made = stage_lineage(stages["train@pa_sam"])["model.md5"]
    assert stage_lineage(stages["evaluate@pa_sam-dis_like"])["model.md5"] == made
    assert "model.md5" not in stage_lineage(stages["prepare"])
