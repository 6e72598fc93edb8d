"""Every stage of a reproduction becomes one run, made from its files, and never a second."""

from __future__ import annotations

import dataclasses
import json

import pytest
import yaml
from tracked_world import KEPT, commit, git, write_lock

from pasam.errors import DataError, TrackingError
from pasam.registry.runs import _Recorder, sync
from pasam.registry.snapshot import read_lock
from pasam.registry.store import open_store


def run_of(project, stage):
    synced = sync(project)
    return open_store(project).client.get_run(synced.runs[stage])


def test_every_stage_of_the_lock_becomes_one_run_and_a_second_call_adds_nothing(tracked):
    first = sync(tracked.folder)
    assert set(first.new) == set(first.runs) == set(KEPT)
    second = sync(tracked.folder)
    assert second.new == ()
    assert second.runs == first.runs
    assert second.parent == first.parent
    assert second.missing == {}


def test_a_run_holds_params_histories_scores_files_data_and_lineage(tracked):
    synced = sync(tracked.folder)
    client = open_store(tracked.folder).client
    train = client.get_run(synced.runs["train@pa_sam"])
    assert train.data.params["models.pa_sam.decoder"] == "pa_sam"
    assert train.data.params["train.seed"] == "42"
    rows = tracked.path("reports/history/pa_sam.jsonl").read_text().splitlines()
    history = client.get_metric_history(train.info.run_id, "loss")
    assert [(m.step, m.value) for m in history] == [
        (json.loads(row)["epoch"], json.loads(row)["loss"]) for row in rows
    ]
    assert [d.dataset.name for d in train.inputs.dataset_inputs] == ["generated_train"]
    assert train.data.tags["mlflow.parentRunId"] == synced.parent
    assert train.data.tags["git.dirty"] == "false"
    assert train.data.tags["git.pushed"] == "true"
    assert train.data.tags["git.commit"] == git(tracked.folder, "rev-parse", "HEAD").strip()
    assert len(train.data.tags["base.sha256"]) == 64
    assert train.data.tags["data.validation"] == "passed"
    evaluated = client.get_run(synced.runs["evaluate@pa_sam-dis_like"])
    assert {"dis_like/miou", "dis_like/mbiou"} <= set(evaluated.data.metrics)
    assert [d.dataset.name for d in evaluated.inputs.dataset_inputs] == ["dis_like"]
    files = [f.path for f in client.list_artifacts(evaluated.info.run_id, "data/scores")]
    assert files == ["data/scores/pa_sam-dis_like.parquet"]
    report = client.get_run(synced.runs["report"])
    assert "pa_sam/mean/mbiou" in report.data.metrics


def test_the_run_of_the_reproduction_holds_its_lock_params_and_machine(tracked):
    synced = sync(tracked.folder, flow_run="flow-7")
    client = open_store(tracked.folder).client
    names = {f.path for f in client.list_artifacts(synced.parent)}
    assert names == {"dvc.lock", "params.yaml", "hardware.json", "stages.json"}
    assert client.get_run(synced.parent).data.tags["prefect.flow_run"] == "flow-7"


def test_a_servers_page_of_the_reproduction_is_named(tracked):
    assert sync(tracked.folder).page is None  # a file has no page
    store = open_store(tracked.folder)
    at_server = dataclasses.replace(store, tracking_uri="https://mlflow.example.org/")
    page = _Recorder(tracked.folder, read_lock(tracked.folder), at_server, {}).page("r7")
    runs = f"https://mlflow.example.org/#/experiments/{store.experiment_id}/runs"
    assert page == f"{runs}/r7?workflowType=machine_learning"


def test_only_what_changed_is_recorded_anew(tracked):
    first = sync(tracked.folder)
    tracked.change("models.pa_sam", epochs=1)
    tracked.run("train@pa_sam")
    write_lock(tracked)
    second = sync(tracked.folder)
    assert second.parent != first.parent
    assert "train@pa_sam" in second.new
    assert "evaluate@pa_sam-dis_like" in second.new  # its dependency has other bytes
    assert "train@hq_sam" not in second.new
    assert second.runs["train@hq_sam"] == first.runs["train@hq_sam"]


def test_files_that_are_not_the_locks_are_named_and_recorded_once_they_are_back(tracked):
    history = tracked.path("reports/history/pa_sam.jsonl")
    content = history.read_bytes()
    history.write_bytes(content + b"\n")
    tracked.path("data/scores/hq_sam-dis_like.parquet").rename(tracked.path("kept"))
    first = sync(tracked.folder)
    assert first.missing == {
        "train@pa_sam": "reports/history/pa_sam.jsonl has changed since",
        "evaluate@hq_sam-dis_like": "data/scores/hq_sam-dis_like.parquet is not there",
    }
    history.write_bytes(content)
    tracked.path("kept").rename(tracked.path("data/scores/hq_sam-dis_like.parquet"))
    assert set(sync(tracked.folder).new) == set(first.missing)
    assert sync(tracked.folder).missing == {}


def test_a_record_that_was_cut_short_is_completed_in_the_same_run(tracked, monkeypatch):
    from mlflow import MlflowClient

    calls = []

    def fail(self, run_id, *arguments, **options):
        calls.append(run_id)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_inputs", fail)
        with pytest.raises(TrackingError, match="left on device. Free some space") as caught:
            sync(tracked.folder)
    assert caught.value.exit_code == 75
    assert "pasam track sync" in str(caught.value)
    second = sync(tracked.folder)
    assert calls[-1] in second.runs.values()
    assert set(second.runs) == set(KEPT)
    store = open_store(tracked.folder)
    assert len(store.client.search_runs([store.experiment_id])) == len(KEPT) + 1


def test_a_stage_that_nobody_told_it_of_is_one_run_like_every_other(tracked):
    lock = yaml.safe_load(tracked.path("dvc.lock").read_text())
    train = lock["stages"]["train@pa_sam"]
    history, *_ = (out for out in train["outs"] if out["path"].endswith(".jsonl"))
    lock["stages"]["repeat@pa_sam"] = {**train, "outs": [history], "cmd": "python -m repeat"}
    tracked.path("dvc.lock").write_text(yaml.safe_dump(lock))
    synced = sync(tracked.folder)
    assert set(synced.runs) == {*KEPT, "repeat@pa_sam"}
    run = open_store(tracked.folder).client.get_run(synced.runs["repeat@pa_sam"])
    assert "loss" in run.data.metrics


def test_results_that_are_committed_later_take_over_the_commit(tracked):
    tracked.path("params.yaml").write_text(tracked.path("params.yaml").read_text() + "\n# new\n")
    assert run_of(tracked.folder, "train@pa_sam").data.tags["git.dirty"] == "true"
    commit(tracked.folder)
    head = git(tracked.folder, "rev-parse", "HEAD").strip()
    tags = run_of(tracked.folder, "train@pa_sam").data.tags
    assert (tags["git.dirty"], tags["git.commit"]) == ("false", head)


def test_the_record_replaces_the_run_that_showed_the_training_live(tracked):
    store = open_store(tracked.folder)
    tags = {"pasam.kind": "live", "dvc.stage": "train@pa_sam"}
    live = store.client.create_run(store.experiment_id, tags=tags)
    other = store.client.create_run(store.experiment_id, tags={**tags, "dvc.stage": "train@x"})
    sync(tracked.folder)
    assert store.client.get_run(live.info.run_id).info.lifecycle_stage == "deleted"
    assert store.client.get_run(other.info.run_id).info.lifecycle_stage == "active"


def test_without_a_lock_the_message_says_what_to_run(in_empty_folder):
    with pytest.raises(DataError, match="nothing has run yet. Run `dvc repro`"):
        sync(in_empty_folder)
