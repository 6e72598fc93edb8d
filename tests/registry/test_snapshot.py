"""A project is read as DVC, git and its files have it, and its lineage changes with just that."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from tracked_world import commit, git, write_lock

from pasam.data.manifest import read_manifest, write_manifest
from pasam.errors import DataError
from pasam.registry import snapshot
from pasam.registry.snapshot import (
    committed_file,
    declared_stages,
    evaluator_version,
    git_state,
    only_results_differ,
    parse_lock,
    read_lock,
    remote_address,
    rows_md5,
    take_snapshot,
)
from pasam.validation.verdict import read_verdict, write_verdict

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
    (tmp_path / "params.yaml").write_text("a: 1\n")
    assert set(read_lock(tmp_path).stages) == {"report"}
    assert read_lock(tmp_path).sha256 == parse(TEXT).sha256


GRAPH = """\
stages:
  report: {cmd: one}
  split:
    foreach: [train, val]
    do: {cmd: "two ${item}"}
  ablate:
    foreach: ${ablations}
    do: {cmd: "three ${key}"}
  repeat:
    foreach: ${repeats.models}
    do: {cmd: "four ${item}"}
  score:
    matrix: {model: "${models}", size: [1, 2]}
    cmd: five ${item.model} ${item.size}
"""
PARAMS = "models: [sam]\nablations: {no_dense: {of: pa_sam}}\nrepeats: {models: []}\n"


@pytest.fixture
def project(tmp_path):
    (tmp_path / "dvc.yaml").write_text(GRAPH)
    (tmp_path / "params.yaml").write_text(PARAMS)
    return tmp_path


def test_lists_and_mappings_of_the_params_name_stages(project):
    assert declared_stages(project) == {
        "report", "split@train", "split@val", "ablate@no_dense", "score@sam-1", "score@sam-2",
    }  # fmt: skip


@pytest.mark.long
def test_the_names_are_those_that_dvc_gives(root):
    listed = subprocess.run(
        [sys.executable, "-m", "dvc", "stage", "list", "--name-only"],
        cwd=root, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert declared_stages(root) == set(listed.stdout.split())


def test_dvc_is_asked_once_about_the_very_same_texts_by_whatever_process(project, monkeypatch):
    (project / ".dvc" / "tmp").mkdir(parents=True)
    names, asked = declared_stages(project), []
    monkeypatch.setattr(snapshot, "_ask_dvc", lambda graph: asked.append(graph) or {"new"})
    snapshot._declared.cache_clear()  # as in another process
    assert declared_stages(project) == names
    assert asked == []
    (project / "params.yaml").write_text(f"{PARAMS}more: 1\n")
    assert declared_stages(project) == {"new"}
    snapshot._declared.cache_clear()
    (project / ".dvc" / "tmp" / "pasam-stages.json").write_text("[")
    assert declared_stages(project) == {"new"}
    snapshot._declared.cache_clear()
    monkeypatch.setattr("importlib.metadata.version", lambda name: "another DVC's")
    assert declared_stages(project) == {"new"}
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("graph", "params"), [("stages: [", PARAMS), ("", PARAMS), (GRAPH, "models: [sam]\n")]
)
def test_what_cannot_be_listed_is_one_error(project, graph, params):
    (project / "dvc.yaml").write_text(graph)
    (project / "params.yaml").write_text(params)
    with pytest.raises(DataError, match="`dvc status` says what is wrong"):
        declared_stages(project)


def test_a_tree_is_dirty_then_committed_then_pushed(tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    (project / "a.txt").write_text("one")
    head = commit(project, push=False)
    assert git_state(project).commit == head
    assert (git_state(project).dirty, git_state(project).pushed) == (False, False)
    commit(project)
    assert git_state(project).pushed
    (project / "b.txt").write_text("new")
    assert git_state(project).dirty
    assert git_state(project).changed == ("b.txt",)


def test_ignored_files_do_not_make_a_tree_dirty(tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    commit(project)
    (project / "mlruns").mkdir()
    (project / "mlruns" / "x").write_text("x")
    assert not git_state(project).dirty


def test_outside_a_repository_everything_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    state = git_state(tmp_path)
    assert (state.commit, state.dirty, state.pushed) == ("", True, False)
    assert remote_address(tmp_path) is None


def test_a_file_is_read_as_of_a_commit(tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    (project / "dvc.lock").write_text("old")
    head = commit(project)
    (project / "dvc.lock").write_text("new")
    assert committed_file(project, head, "dvc.lock") == b"old"
    assert committed_file(project, head, "none") is None
    assert committed_file(project, "0" * 40, "dvc.lock") is None
    assert remote_address(project) == git(project, "remote", "get-url", "origin").strip()


EVALUATE = """\
stages:
  evaluate@m-b:
    cmd: c
    deps:
    - {path: pasam/evaluation, md5: CODE.dir}
    - {path: pasam/masks, md5: MASKS.dir}
    - {path: pasam/data, md5: OTHER}
    params: {params.yaml: {evaluate: {boundary_fraction: SHARE}}}
"""


def lock_of(text):
    return parse_lock(text.encode(), source="dvc.lock")


def evaluator(code="aa", share="0.02", other="x", masks="bb"):
    text = (
        EVALUATE.replace("CODE", code)
        .replace("MASKS", masks)
        .replace("SHARE", share)
        .replace("OTHER", other)
    )
    return evaluator_version(lock_of(text))


def test_the_evaluator_is_its_code_and_its_settings():
    assert evaluator() == evaluator(other="y")
    assert (
        len({evaluator(), evaluator(code="b"), evaluator(masks="c"), evaluator(share="0.03")}) == 4
    )


def test_every_tag_is_a_filled_text(tracked):
    tags = take_snapshot(tracked.folder).lineage
    assert all(isinstance(value, str) and value for value in tags.values())
    assert "unknown" not in tags.values()
    assert (tags["git.dirty"], tags["git.pushed"]) == ("false", "true")
    assert "prefect.flow_run" not in tags
    flow = take_snapshot(tracked.folder, flow_run="flow-7").lineage
    assert flow == {**tags, "prefect.flow_run": "flow-7"}


def evaluation_set(tracked):
    return take_snapshot(tracked.folder).evaluation_set()


def test_the_evaluation_set_depends_on_contents_and_not_on_order_or_paths(tracked):
    frame = read_manifest(tracked.path("data/manifest.parquet"))
    assert rows_md5(frame) == rows_md5(frame[::-1].assign(image="elsewhere"))
    assert rows_md5(frame) != rows_md5(frame.assign(mask_sha256="0"))
    before = evaluation_set(tracked)
    other_training = frame.copy()
    other_training.loc[frame["split"] == "train", "mask_sha256"] = "0"
    write_manifest(other_training, tracked.path("data/manifest.parquet"))
    assert evaluation_set(tracked) == before
    unmeasured = frame[frame["split"] == "val"].head(1).assign(dataset="own_val", id="own_val/x")
    write_manifest(pd.concat([frame, unmeasured]), tracked.path("data/manifest.parquet"))
    assert evaluation_set(tracked) == before
    learned = frame[frame["dataset"] == "dis_like"].assign(split="train", id="dis_like/x")[:1]
    write_manifest(pd.concat([frame, learned]), tracked.path("data/manifest.parquet"))
    assert evaluation_set(tracked) == before, "images of a set that is measured, but trained on"
    write_manifest(frame.assign(mask_sha256="0"), tracked.path("data/manifest.parquet"))
    assert evaluation_set(tracked) != before


def test_the_validation_is_believed_only_of_the_data_that_it_saw(tracked):
    snapshot = take_snapshot(tracked.folder)
    assert snapshot.validation() == "passed"
    path = tracked.path("reports/validation/verdict.json")
    verdict = read_verdict(path)
    write_verdict(path, dataclasses.replace(verdict, passed=False))
    assert snapshot.validation() == "not validated"  # nobody locked it: it was edited
    write_lock(tracked)
    assert take_snapshot(tracked.folder).validation() == "failed"
    write_verdict(path, dataclasses.replace(verdict, manifest_sha256="0" * 64))
    write_lock(tracked)
    assert take_snapshot(tracked.folder).validation() == "not validated"
    path.unlink()
    assert take_snapshot(tracked.folder).validation() == "not validated"


def test_a_stage_names_the_weights_that_it_made_or_used(tracked):
    stages = read_lock(tracked.folder).stages
    made = stages["train@pa_sam"].lineage()["model.md5"]
    assert stages["evaluate@pa_sam"].lineage()["model.md5"] == made
    assert "model.md5" not in stages["prepare"].lineage()


def test_a_lock_without_a_manifest_is_one_error_that_says_what_to_run(tracked):
    snapshot = take_snapshot(tracked.folder)
    stages = {name: s for name, s in snapshot.lock.stages.items() if name != "prepare"}
    bare = dataclasses.replace(snapshot, lock=dataclasses.replace(snapshot.lock, stages=stages))
    with pytest.raises(DataError, match=r"no stage in .*makes a manifest.parquet.*dvc repro prep"):
        _ = bare.manifest
    assert bare.validation() == "not validated"
    assert bare.evaluation_set() == "unknown"


CHAIN = """\
schema: '2.0'
stages:
  train:
    cmd: python -m train
    deps:
    - {path: data/manifest.parquet, md5: aa}
    - {path: pasam/models, md5: bb.dir}
    params: {params.yaml: {train: {seed: 42}}}
    outs:
    - {path: data/adapters/a.safetensors, md5: cc}
  evaluate:
    cmd: python -m evaluate
    deps:
    - {path: data/adapters, md5: dd.dir}
    - {path: data/adapters/a.safetensors, md5: cc}
    outs:
    - {path: data/scores/a.parquet, md5: ee}
"""


@pytest.mark.parametrize(
    ("changes", "same_inputs"),
    [
        ({}, True),
        ({"cc": "c2", "dd": "d2", "md5: ee": "md5: e2"}, True),
        ({"cc": "c2"}, True),
        ({"aa": "a2"}, False),
        ({"bb": "b2"}, False),
        ({"seed: 42": "seed: 43"}, False),
        ({"-m train": "-m train --fast"}, False),
        ({"scores/a.parquet": "scores/b.parquet"}, False),
        ({"  evaluate:": "  evaluate@a:"}, False),
    ],
)
def test_locks_differ_in_results_alone_where_commands_and_inputs_are_the_same(changes, same_inputs):
    text = CHAIN
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    assert only_results_differ(parse(text), parse(CHAIN)) is same_inputs


def test_a_commit_may_know_of_stages_that_are_no_more():
    rest, _, _ = CHAIN.partition("  evaluate:")
    assert only_results_differ(parse(rest), parse(CHAIN))
    assert not only_results_differ(parse(CHAIN), parse(rest))


CODE = ("evaluation", "inference", "masks", "models", "training")
HOW = {"boundary_fraction": 0.02, "accelerator": "cpu", "development": ["d"]}
WHAT = {"models": ["m"], "baselines": ["b"], "benchmarks": ["x"], "batch_size": 1, "devices": 1}


def measured_with(kind="evaluate", code=(), **changes):
    """The evaluator of a lock in which a stage depends on code and settings."""
    names = (*CODE, "data", "reporting", "cli")
    deps = {f"pasam/{name}": "2" if name in code else "1" for name in names}
    stage = {
        "cmd": "c", "deps": [{"path": path, "md5": md5} for path, md5 in deps.items()],
        "params": {"params.yaml": {"evaluate": HOW | WHAT | changes}},
    }  # fmt: skip
    return evaluator_version(parse(json.dumps({"stages": {f"{kind}@m": stage}})))


def test_scores_compare_as_long_as_the_code_from_the_image_on_and_the_way_of_measuring_stay():
    before = measured_with()
    for name in CODE:
        assert measured_with(code=[name]) != before, name
    for name, other in (("boundary_fraction", 0.03), ("accelerator", "gpu")):
        assert measured_with(**{name: other}) != before, name
    assert measured_with(code=["data", "reporting", "cli"]) == before
    for name, other in (
        ("models", ["n"]), ("baselines", []), ("benchmarks", ["y"]), ("batch_size", 2),
        ("devices", 8),
    ):  # fmt: skip
        assert measured_with(**{name: other}) == before, name
    assert measured_with(kind="baseline") == "unknown"
    assert len(before) == 16


LINE = {
    "prepare": ([], ["manifest", "images"]), "embed": (["manifest", "images"], ["store"]),
    "train": (["store", "base"], ["a.safetensors", "curve"]), "other": (["images"], ["page"]),
    "evaluate": (["store", "a.safetensors"], ["scores"]),
}  # fmt: skip


def line(**md5s):
    """Five stages, each of which reads what those before it have made; and what one read then."""
    stages = {
        name: {
            "cmd": name,
            "deps": [{"path": p, "md5": md5s.get(f"{name}_{p}", p)} for p in deps],
            "outs": [{"path": p, "md5": p} for p in outs],
            "params": {"params.yaml": {"train": {"seed": 42}, "base": {"checkpoint": "base"}}},
        }
        for name, (deps, outs) in LINE.items()
    }
    return parse(json.dumps({"stages": stages}))


def test_a_stage_rests_on_all_that_made_what_it_read_but_weights_stand_for_themselves():
    lock = line()
    for name, wanted in (
        ("prepare", {"prepare"}), ("train", {"train", "embed", "prepare"}),
        ("evaluate", {"evaluate", "embed", "prepare"}), ("other", {"other", "prepare"}),
    ):  # fmt: skip
        found = [stage.name for stage in lock.behind(lock.stages[name])]
        assert (found[0], set(found), len(found)) == (name, wanted, len(wanted))


def test_an_input_that_was_made_anew_is_stale_however_far_back_and_whoever_else_is_not(tmp_path):
    def stale(lock, name):
        look = snapshot.Snapshot(project=tmp_path, lock=lock)
        return look.stale_input(lock.stages[name])

    assert [stale(line(), name) for name in LINE] == [None] * 5
    old = line(embed_manifest="before")
    reason = "embed has read another manifest than prepare made last"
    assert [stale(old, name) for name in ("embed", "train", "evaluate")] == [reason] * 3
    assert stale(old, "other") is stale(old, "prepare") is None
    (tmp_path / "images").write_text("edited")
    assert stale(line(), "evaluate") == "images has changed since prepare made it"
    assert stale(line(), "prepare") is None, "it made them and read nothing"


def test_the_files_of_a_stage_are_compared_with_its_lock(tmp_path):
    look = snapshot.Snapshot(project=tmp_path, lock=line())
    stage = look.lock.stages["prepare"]
    assert look.stale_output(stage) == "manifest is not there"
    (tmp_path / "manifest").write_text("m")
    (tmp_path / "images").mkdir()
    assert look.stale_output(stage) == "manifest has changed since"
    digest = hashlib.md5(b"m", usedforsecurity=False).hexdigest()
    outs = {**stage.outs, "manifest": dataclasses.replace(stage.outs["manifest"], md5=digest)}
    assert look.stale_output(dataclasses.replace(stage, outs=outs)) is None
    assert look.base_sha256() == "unknown"
    (tmp_path / "base").write_bytes(b"weights")
    assert look.base_sha256() == hashlib.sha256(b"weights").hexdigest()


@pytest.mark.parametrize(("changed", "told"), [
    (("dvc.lock",), True), ((), False), (("dvc.lock", "a.py"), False), (("a.py",), False),
])  # fmt: skip
def test_results_of_another_processor_are_told_only_where_nothing_else_differs(
    changed, told, tmp_path, monkeypatch
):
    commits = json.dumps({"stages": {
        name: {"cmd": stage.command, "deps": [{"path": p, "md5": e.md5} for p, e in
               stage.deps.items()], "outs": [{"path": p, "md5": "other"} for p in stage.outs],
               "params": {"params.yaml": dict(stage.params)}}
        for name, stage in line().stages.items()
    }})  # fmt: skip
    state = snapshot.GitState(commit="c", dirty=True, pushed=False, changed=changed)
    monkeypatch.setattr(snapshot, "git_state", lambda project: state)
    monkeypatch.setattr(snapshot, "committed_file", lambda *given: commits.encode())
    note = snapshot.Snapshot(project=tmp_path, lock=line()).results_note()
    assert (note is not None) is told
    others = commits.replace("42", "43").encode()
    monkeypatch.setattr(snapshot, "committed_file", lambda *given: others)
    assert snapshot.Snapshot(project=tmp_path, lock=line()).results_note() is None


@pytest.mark.parametrize("column", ["dataset", "id", "image_sha256", "mask_sha256"])
def test_the_digest_of_rows_is_of_their_set_name_image_and_mask(column):
    rows = pd.DataFrame(
        {"dataset": ["a", "a"], "id": ["1", "2"], "image_sha256": ["i", "j"],
         "mask_sha256": ["m", "n"], "split": "val"}
    )  # fmt: skip
    text = b"a\t1\ti\tm\na\t2\tj\tn"
    assert rows_md5(rows) == hashlib.md5(text, usedforsecurity=False).hexdigest()
    assert rows_md5(rows.assign(**{column: ["x", "y"]})) != rows_md5(rows)
    assert rows_md5(rows.assign(split="train")) == rows_md5(rows)


def test_lineage_says_of_each_thing_what_it_is_and_of_what_is_not_known_that(tmp_path, monkeypatch):
    stages = {
        "prepare": {"cmd": "c", "outs": [{"path": "m/manifest.parquet", "md5": "of the manifest"}]},
        "train@b": {"cmd": "c", "params": {"p": {"train": {"seed": 7}}}},
        "train@a": {"cmd": "c", "params": {"p": {"train": {"seed": 42}}}},
        "repeat@a": {"cmd": "c", "params": {"p": {"train": {"seed": 1}}}},
        "train@c": {"cmd": "c", "params": {"p": {"train": {"seed": 7}}}},
    }  # fmt: skip
    state = snapshot.GitState(commit="c0ffee", dirty=True, pushed=False)
    monkeypatch.setattr(snapshot, "git_state", lambda project: state)
    monkeypatch.setattr(snapshot, "evaluator_version", lambda lock: "evaluator")
    monkeypatch.setattr(snapshot.Snapshot, "base_sha256", lambda self: "base")
    (tmp_path / "params.yaml").write_bytes(b"params")
    look = snapshot.Snapshot(project=tmp_path, lock=parse(json.dumps({"stages": stages})))
    assert look.lineage == {
        "git.commit": "c0ffee", "git.dirty": "true", "git.pushed": "false",
        "dvc.lock_sha256": hashlib.sha256(json.dumps({"stages": stages}).encode()).hexdigest(),
        "params.sha256": hashlib.sha256(b"params").hexdigest(),
        "data.manifest_md5": "of the manifest", "data.validation": "not validated",
        "evaluation.set_md5": "unknown", "evaluation.evaluator": "evaluator",
        "base.sha256": "base", "seed": "42, 7",
    }  # fmt: skip
    (tmp_path / "params.yaml").unlink()
    state = snapshot.GitState(commit="", dirty=False, pushed=True)
    bare = snapshot.Snapshot(project=tmp_path, lock=parse('{"stages": {}}'), flow_run="f7").lineage
    names = ("git.commit", "params.sha256", "data.manifest_md5", "seed")
    assert {bare[name] for name in names} == {"unknown"}
    assert (bare["git.dirty"], bare["git.pushed"]) == ("false", "true")
    assert bare["prefect.flow_run"] == "f7"


def test_benchmarks_are_those_of_every_stage_that_measures(tmp_path):
    stages = {
        name: {"cmd": "c", "params": {"params.yaml": {"evaluate": {"benchmarks": sets}}}}
        for name, sets in (("evaluate@a", ["x", "y"]), ("evaluate@b", ["z", "y"]))
    }
    look = snapshot.Snapshot(project=tmp_path, lock=parse(json.dumps({"stages": stages})))
    assert look.benchmarks == {"x", "y", "z"}


def test_weights_of_a_stage_are_those_it_made_before_those_it_used_in_the_order_of_paths():
    def md5_of(deps, outs):
        stage = {
            "cmd": "c", "deps": [{"path": p, "md5": p[0]} for p in deps],
            "outs": [{"path": p, "md5": p[0]} for p in outs],
        }  # fmt: skip
        lock = parse(json.dumps({"stages": {"s": stage}}))
        return lock.stages["s"].lineage().get("model.md5"), [e.path for _, e in lock.makers("s")]

    used = ["z.safetensors", "b.safetensors"]
    assert md5_of(used, []) == ("b", [])
    assert md5_of(used, ["y.safetensors", "c.safetensors"]) == (
        "c", ["c.safetensors", "y.safetensors"]
    )  # fmt: skip
    assert md5_of(["a.json"], ["d.json"]) == (None, [])
    same = {"cmd": "c"}
    stages = parse(json.dumps({"stages": {"one": same, "two": same}})).stages
    assert stages["one"].digest != stages["two"].digest


def test_dvc_is_asked_again_where_further_files_of_variables_may_have_changed(project, monkeypatch):
    (project / ".dvc" / "tmp").mkdir(parents=True)
    (project / "dvc.yaml").write_text(f"vars: [more.yaml]\n{GRAPH}")
    monkeypatch.setattr(snapshot, "_ask_dvc", lambda graph: frozenset({"new"}))
    assert declared_stages(project) == {"new"}
    assert list((project / ".dvc" / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("remotes", "name"), [("a\norigin\n", "origin"), ("up\n", "up"), ("b\na\n", "b"), ("", None)]
)
def test_the_remote_is_origin_or_another_and_its_address_has_no_password(
    remotes, name, monkeypatch
):
    asked = []

    def git_says(project, *words):
        asked.append(words)
        return remotes if words == ("remote",) else "https://ada:secret@host/x.git\n"

    monkeypatch.setattr(snapshot, "_git", git_says)
    found = remote_address(Path("p"))
    assert found == (None if name is None else "https://host/x.git")
    assert asked[1:] == ([] if name is None else [("remote", "get-url", name)])


def test_of_gits_words_those_are_kept_that_say_why_without_a_password():
    def words(errors, output="", **how):
        done = subprocess.CompletedProcess([], 1, output.encode(), errors.encode())
        return snapshot.git_words(done, **how)

    said = "hint: try\nTo https://u:p@h/x.git\nfatal: no https://u:p@h/x.git.\n\n error: two"
    assert words(said, "! [rejected] x\nDone") == (
        "fatal: no https://h/x.git. | error: two | ! [rejected] x"
    )
    assert words("a\nb\nc\nd\ne.") == "a | b | c | d"
    assert words("a\nb.", most=1) == "a"
    assert words("hint: this alone.") == "hint: this alone"
    assert words("") == "it says nothing"


def test_a_folders_digest_is_that_of_its_files_in_the_order_of_their_paths(tmp_path):
    for name, content in (("b/x", b"1"), ("a", b"2"), ("b.txt", b"3")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    listed = [
        {"md5": hashlib.md5(content, usedforsecurity=False).hexdigest(), "relpath": name}
        for name, content in (("a", b"2"), ("b.txt", b"3"), ("b/x", b"1"))
    ]
    whole = hashlib.md5(json.dumps(listed).encode(), usedforsecurity=False).hexdigest()
    assert snapshot.folder_md5(tmp_path) == f"{whole}.dir"
