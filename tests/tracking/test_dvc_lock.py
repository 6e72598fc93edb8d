"""The lock is read as DVC wrote it, and the digest of a stage is its identity."""

from __future__ import annotations

import pytest

from pasam.errors import DataError
from pasam.registry.snapshot import parse_lock, read_lock

TEXT = """\
schema: '2.0'
stages:
  train@pa_sam:
    cmd: python -m train
    deps:
    - {path: data/manifest.parquet, hash: md5, md5: aa, size: 1}
    params:
      params.yaml:
        train: {seed: 42}
    outs:
    - {path: weights/b.jsonl, hash: md5, md5: dd}
    - {path: weights/a.safetensors, hash: md5, md5: cc}
  report:
    cmd: [python one, python two]
    outs:
    - {path: weights, hash: md5, md5: ee.dir}
"""


def parse(text):
    return parse_lock(text.encode(), source="dvc.lock")


def test_a_stage_has_its_command_files_and_params():
    stage = parse(TEXT).stages["train@pa_sam"]
    assert stage.kind == "train"
    assert stage.command == "python -m train"
    assert stage.params == {"train": {"seed": 42}}
    assert stage.deps["data/manifest.parquet"].md5 == "aa"
    assert stage.out_with(".safetensors").md5 == "cc"
    assert stage.out_with(".png") is None
    assert parse(TEXT).stages["report"].command == "python one && python two"


def test_makers_and_users_of_a_path_are_found():
    lock = parse(TEXT)
    assert [(s.name, e.path) for s, e in lock.makers(".jsonl")] == [
        ("train@pa_sam", "weights/b.jsonl")
    ]
    assert [s.name for s in lock.users("data/manifest.parquet")] == ["train@pa_sam"]


@pytest.mark.parametrize(("old", "new"), [("aa", "ab"), ("cc", "cd"), ("42", "43"), ("-m", "-n")])
def test_any_change_of_a_stage_changes_its_digest_and_no_other(old, new):
    before, after = parse(TEXT), parse(TEXT.replace(old, new, 1))
    assert before.sha256 != after.sha256
    assert before.stages["train@pa_sam"].digest != after.stages["train@pa_sam"].digest
    assert before.stages["report"].digest == after.stages["report"].digest


@pytest.mark.parametrize("text", ["", "stages: 3", "a: [", "stages: {x: 1}", "schema: '2.0'"])
def test_anything_else_is_refused_with_its_name(text):
    with pytest.raises(DataError, match="dvc.lock is not a lock of DVC"):
        parse(text)


def test_the_projects_own_lock_can_be_read(root):
    lock = read_lock(root)
    assert {"prepare", "train@pa_sam", "report"} <= set(lock.stages)
    assert len({stage.digest for stage in lock.stages.values()}) == len(lock.stages)


def test_a_stage_that_the_project_no_longer_has_is_left_out(tmp_path):
    (tmp_path / "dvc.lock").write_text(TEXT)
    (tmp_path / "dvc.yaml").write_text("stages: {report: {cmd: one}}\n")
    (tmp_path / "params.yaml").touch()
    assert set(read_lock(tmp_path).stages) == {"report"}
    assert read_lock(tmp_path).sha256 == parse(TEXT).sha256
