"""Every stage of a reproduction becomes one run, made from its files, and never a second."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pandas as pd
import pytest
from made_up_run import made_up_scores
from small_world import dump_yaml, load_yaml
from tracked_world import KEPT, commit, git, write_lock

from pasam.errors import DataError, TrackingError
from pasam.evaluation.scores import read_scores, write_scores
from pasam.registry import runs
from pasam.registry.live_curves import clone_id
from pasam.registry.runs import (
    SOURCE_COMMIT,
    MetricPoint,
    _Recorder,
    _scores,
    data_sets_of,
    files_of,
    hardware,
    headline,
    is_score_file,
    metrics_of,
    overview,
    params_of,
    source_tags,
    summary_table,
    sync,
)
from pasam.registry.snapshot import take_snapshot
from pasam.registry.store import NOTE, Tag, open_store


def run_of(project, stage):
    synced = sync(project)
    return open_store(project).client.get_run(synced.runs[stage])


@pytest.mark.long
def test_every_stage_of_the_lock_becomes_one_run_and_a_second_call_adds_nothing(tracked):
    first = sync(tracked.folder)
    assert set(first.new) == set(first.runs) == set(KEPT)
    second = sync(tracked.folder)
    assert second.new == ()
    assert second.runs == first.runs
    assert second.parent == first.parent
    assert second.missing == {}


def test_a_call_without_news_asks_for_all_stages_at_once_and_writes_nothing(project, monkeypatch):
    from mlflow import MlflowClient

    first, asked = sync(project.folder), []
    real = MlflowClient.search_runs
    monkeypatch.setattr(
        MlflowClient, "search_runs", lambda *a, **k: asked.append(a[2:]) or real(*a, **k)
    )
    for name in ("create_run", "set_tag", "log_batch", "log_artifact", "log_dict", "delete_run"):
        monkeypatch.setattr(MlflowClient, name, lambda *a, name=name, **k: pytest.fail(name))
    again = sync(project.folder)
    assert (again.new, again.runs) == ((), first.runs)
    assert len(asked) == 2  # the reproduction, and its stages


@pytest.mark.long
def test_two_machines_that_write_one_row_at_once_both_end_well(tracked, monkeypatch):
    """As PostgreSQL tells it through MLflow's server: a bad request with the database's words."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import BAD_REQUEST

    words = "(psycopg2.errors.UniqueViolation) duplicate key"
    real, times = MlflowClient.log_inputs, []

    def outrun(*arguments, **options):
        times.append(1)
        if len(times) == 1:
            raise MlflowException(words, error_code=BAD_REQUEST)
        return real(*arguments, **options)

    monkeypatch.setattr(MlflowClient, "log_inputs", outrun)
    assert set(sync(tracked.folder).runs) == set(KEPT)
    assert sync(tracked.folder).new == ()


@pytest.mark.long
def test_a_stage_that_another_machine_recorded_meanwhile_is_one_run_in_the_end(
    tracked, monkeypatch
):
    """The other one began earlier by its clock, and was seen by nobody when this one looked."""
    store, others = open_store(tracked.folder), []
    real = _Recorder._log_data_sets

    def meanwhile(self, run_id, stage):
        real(self, run_id, stage)
        if stage.name == "train@pa_sam":
            tags = {"pasam.key": stage.digest, "pasam.recorded": "complete"}
            made = store.client.create_run(store.experiment_id, start_time=1, tags=tags)
            others.append(made.info.run_id)

    monkeypatch.setattr(_Recorder, "_log_data_sets", meanwhile)
    synced = sync(tracked.folder)
    assert [synced.runs["train@pa_sam"]] == others
    every = store.client.search_runs([store.experiment_id])
    assert len(every) == len(KEPT) + 1  # and the reproduction


def test_a_run_that_was_deleted_is_recorded_again(project):
    first = sync(project.folder)
    open_store(project.folder).client.delete_run(first.runs["train@pa_sam"])
    again = sync(project.folder)
    assert again.new == ("train@pa_sam",)
    assert sync(project.folder).new == ()


def test_a_run_holds_params_histories_scores_files_data_and_lineage(project):
    synced = sync(project.folder)
    client = open_store(project.folder).client
    train = client.get_run(synced.runs["train@pa_sam"])
    assert train.data.params["models.pa_sam.decoder"] == "pa_sam"
    assert train.data.params["train.seed"] == "42"
    rows = project.path("reports/history/pa_sam.jsonl").read_text().splitlines()
    history = client.get_metric_history(train.info.run_id, "loss")
    assert [(m.step, m.value) for m in history] == [
        (json.loads(row)["epoch"], json.loads(row)["loss"]) for row in rows
    ]
    assert [d.dataset.name for d in train.inputs.dataset_inputs] == ["generated_train"]
    assert train.data.tags["mlflow.parentRunId"] == synced.parent
    assert train.data.tags["git.dirty"] == "false"
    assert train.data.tags["git.pushed"] == "true"
    assert train.data.tags["git.commit"] == git(project.folder, "rev-parse", "HEAD").strip()
    assert len(train.data.tags["base.sha256"]) == 64
    assert train.data.tags["data.validation"] == "passed"
    evaluated = client.get_run(synced.runs["evaluate@pa_sam"])
    assert {"dis_like/miou", "dis_like/mbiou"} <= set(evaluated.data.metrics)
    measured = sorted(d.dataset.name for d in evaluated.inputs.dataset_inputs)
    assert measured == ["dis_like", "thin_like"]
    files = [f.path for f in client.list_artifacts(evaluated.info.run_id, "data/scores")]
    assert files == ["data/scores/pa_sam.parquet"]
    report = client.get_run(synced.runs["report"])
    assert "pa_sam/mean/mbiou" in report.data.metrics


@pytest.mark.long
def test_the_run_of_the_reproduction_holds_its_lock_params_and_machine(tracked):
    synced = sync(tracked.folder, flow_run="flow-7")
    client = open_store(tracked.folder).client
    names = {f.path for f in client.list_artifacts(synced.parent)}
    assert names == {"dvc.lock", "params.yaml", "hardware.json", "stages.json"}
    assert client.get_run(synced.parent).data.tags["prefect.flow_run"] == "flow-7"


def test_a_servers_page_of_the_reproduction_is_named(project):
    assert sync(project.folder).page is None  # a file has no page
    store = open_store(project.folder)
    at_server = dataclasses.replace(store, tracking_uri="https://mlflow.example.org/")
    page = _Recorder(take_snapshot(project.folder), at_server).page("r7")
    runs = f"https://mlflow.example.org/#/experiments/{store.experiment_id}/runs"
    assert page == f"{runs}/r7?workflowType=machine_learning"


@pytest.mark.long
def test_only_what_changed_is_recorded_anew(project):
    first = sync(project.folder)
    project.change("models.pa_sam", epochs=1)
    project.run("train@pa_sam")
    write_lock(project)
    second = sync(project.folder)
    assert second.parent != first.parent
    assert "train@pa_sam" in second.new
    assert "evaluate@pa_sam" in second.new  # its dependency has other bytes
    assert "train@hq_sam" not in second.new
    assert second.runs["train@hq_sam"] == first.runs["train@hq_sam"]


def test_files_that_are_not_the_locks_are_named_and_recorded_once_they_are_back(tracked):
    history = tracked.path("reports/history/pa_sam.jsonl")
    content = history.read_bytes()
    history.write_bytes(content + b"\n")
    tracked.path("data/scores/hq_sam.parquet").rename(tracked.path("kept"))
    first = sync(tracked.folder)
    assert first.missing == {
        "train@pa_sam": "reports/history/pa_sam.jsonl has changed since",
        "evaluate@hq_sam": "data/scores/hq_sam.parquet is not there",
    }
    history.write_bytes(content)
    tracked.path("kept").rename(tracked.path("data/scores/hq_sam.parquet"))
    assert set(sync(tracked.folder).new) == set(first.missing)
    assert sync(tracked.folder).missing == {}


@pytest.mark.long
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
    assert calls[2] in second.runs.values()
    assert store.client.get_run(calls[2]).inputs.dataset_inputs, "it was not complete without them"
    assert len(store.client.search_runs([store.experiment_id])) == len(KEPT) + 1


@pytest.mark.long
def test_a_stage_that_nobody_told_it_of_is_one_run_like_every_other(tracked):
    lock = load_yaml(tracked.path("dvc.lock").read_text())
    train = lock["stages"]["train@pa_sam"]
    history, *_ = (out for out in train["outs"] if out["path"].endswith(".jsonl"))
    lock["stages"]["repeat@pa_sam"] = {**train, "outs": [history], "cmd": "python -m repeat"}
    tracked.path("dvc.lock").write_text(dump_yaml(lock))
    synced = sync(tracked.folder)
    assert set(synced.runs) == {*KEPT, "repeat@pa_sam"}
    run = open_store(tracked.folder).client.get_run(synced.runs["repeat@pa_sam"])
    assert "loss" in run.data.metrics


@pytest.mark.long
def test_results_that_are_committed_later_take_over_the_commit(tracked):
    tracked.path("params.yaml").write_text(tracked.path("params.yaml").read_text() + "\n# new\n")
    assert run_of(tracked.folder, "train@pa_sam").data.tags["git.dirty"] == "true"
    commit(tracked.folder)
    head = git(tracked.folder, "rev-parse", "HEAD").strip()
    tags = run_of(tracked.folder, "train@pa_sam").data.tags
    assert (tags["git.dirty"], tags["git.commit"]) == ("false", head)


@pytest.mark.parametrize(
    ("lock", "was_dirty", "is_dirty", "taken"),
    [("a", "true", False, True), ("b", "true", False, False), ("a", "true", True, False),
     ("a", "false", False, False)],
)  # fmt: skip
def test_a_run_takes_over_the_commit_of_the_lock_that_it_was_recorded_of_and_no_other(
    lock, was_dirty, is_dirty, taken
):
    fresh, written = {Tag.COMMIT: "c", Tag.DIRTY: "false", Tag.PUSHED: "true"}, {}
    snapshot = SimpleNamespace(
        lock=SimpleNamespace(sha256="a"), git=SimpleNamespace(dirty=is_dirty), lineage=fresh
    )
    client = SimpleNamespace(set_tag=lambda run, name, text: written.update({name: text}))
    tags = {Tag.DIRTY: was_dirty, Tag.LOCK_SHA256: lock}
    run = SimpleNamespace(data=SimpleNamespace(tags=tags), info=SimpleNamespace(run_id="r"))
    _Recorder(snapshot, SimpleNamespace(client=client))._refresh(run)
    assert written == ({**fresh, SOURCE_COMMIT: "c"} if taken else {})


def test_the_record_replaces_the_run_that_showed_the_training_live(tracked):
    store = open_store(tracked.folder)
    tags = {"pasam.kind": "live", "dvc.stage": "train@pa_sam"}
    ours = {**tags, "pasam.clone": clone_id(tracked.folder)}
    live = store.client.create_run(store.experiment_id, tags=ours)
    theirs = {**tags, "pasam.clone": "another-00000000"}
    training = store.client.create_run(store.experiment_id, tags=theirs)
    other = store.client.create_run(store.experiment_id, tags={**ours, "dvc.stage": "train@x"})
    sync(tracked.folder)
    assert store.client.get_run(live.info.run_id).info.lifecycle_stage == "deleted"
    assert store.client.get_run(other.info.run_id).info.lifecycle_stage == "active"
    assert store.client.get_run(training.info.run_id).info.lifecycle_stage == "active"


@pytest.mark.long
def test_two_machines_that_record_at_once_leave_one_run_of_each_stage(tracked, monkeypatch):
    """The other machine makes its run of a stage just before this one does."""
    store = open_store(tracked.folder)
    real, quicker = type(store.client).create_run, {}

    def create(client, experiment, *, tags, run_name=None):
        if tags["pasam.kind"] == "stage" and not quicker:
            quicker[tags["dvc.stage"]] = real(client, experiment, start_time=1, tags=tags)
        return real(client, experiment, tags=tags, run_name=run_name)

    monkeypatch.setattr(type(store.client), "create_run", create)
    synced = sync(tracked.folder)
    ((stage, other),) = quicker.items()
    assert synced.runs[stage] == other.info.run_id
    runs = store.client.search_runs([store.experiment_id], "tags.`pasam.kind` = 'stage'")
    assert len(runs) == len(synced.runs)


def test_what_two_machines_have_recorded_twice_is_once_after_the_next_sync(project):
    store = open_store(project.folder)
    synced = sync(project.folder)
    first = store.client.get_run(synced.runs["prepare"])
    double = store.client.create_run(store.experiment_id, tags=first.data.tags)
    begun = {**first.data.tags, "pasam.recorded": "no"}
    writing = store.client.create_run(store.experiment_id, tags=begun)
    store.client.delete_tag(synced.parent, "pasam.runs")  # as one has left it that was killed
    assert sync(project.folder).runs == synced.runs
    stages = {
        run.info.run_id: store.client.get_run(run.info.run_id).info.lifecycle_stage
        for run in (first, double, writing)
    }
    assert list(stages.values()) == ["active", "deleted", "active"]


def test_without_a_lock_the_message_says_what_to_run(in_empty_folder):
    with pytest.raises(DataError, match="nothing has run yet. Run `dvc repro`"):
        sync(in_empty_folder)


@pytest.fixture
def snapshot(tracked):
    return take_snapshot(tracked.folder)


def test_a_reproduction_carries_the_reports_metrics_and_its_table(project):
    synced = sync(project.folder)
    client = open_store(project.folder).client
    parent = client.get_run(synced.parent)
    assert parent.data.metrics == client.get_run(synced.runs["report"]).data.metrics
    assert "pa_sam/mean/mbiou" in parent.data.metrics
    assert parent.data.tags[NOTE] == project.path("reports/table1.md").read_text()


def test_a_table_that_is_too_long_for_mlflow_ends_with_a_whole_paragraph(tracked):
    path = tracked.path("reports/table1.md")
    path.write_text("\n\n".join(f"{number} " + 990 * "x" for number in range(10)))
    write_lock(tracked)
    text = summary_table(take_snapshot(tracked.folder))
    assert len(text) < 8000
    assert text.split("\n\n")[-1] == "7 " + 990 * "x"


def test_files_of_another_lock_sum_up_nothing(tracked, snapshot):
    tracked.path("reports/table1.md").write_text("# Another table")
    assert headline(snapshot) == []
    assert summary_table(snapshot) is None


def test_a_runs_source_is_the_command_that_makes_it_and_its_commit(project):
    synced = sync(project.folder)
    tags = open_store(project.folder).client.get_run(synced.runs["train@pa_sam"]).data.tags
    assert tags["mlflow.source.name"] == "dvc repro train@pa_sam"
    assert tags["mlflow.source.git.commit"] == tags["git.commit"]
    assert source_tags()["mlflow.source.name"] == "dvc repro"


def test_params_are_flat_and_values_are_json(snapshot):
    params = params_of(snapshot.lock.stages["embed@val"])
    assert params["embed.jitter"] == "[0.5, 2.0]"
    assert params["base.size"] == "tiny"


def test_histories_give_points_and_scores_give_means_in_per_cent(tracked, snapshot):
    points = metrics_of(tracked.folder, snapshot.lock.stages["train@hq_sam"])
    assert {point.step for point in points if point.name == "loss"} == {0, 1}
    assert "epoch" not in {point.name for point in points}
    points = metrics_of(tracked.folder, snapshot.lock.stages["evaluate@pa_sam"])
    found = {point.name: point.value for point in points}
    scores = read_scores(tracked.path("data/scores/pa_sam.parquet")).groupby("benchmark")
    assert found.pop("parameters") > found.pop("trainable") > 0
    assert found == {
        f"{name}/{metric}": pytest.approx(100 * rows[column].mean())
        for name, rows in scores
        for metric, column in (("miou", "iou"), ("mbiou", "boundary_iou"))
    }


def test_peoples_files_are_taken_and_weights_and_predictions_left_to_dvc(tracked, snapshot):
    report = {path.name for path in files_of(tracked.folder, snapshot.lock.stages["report"])}
    assert {"table1.md", "table1.csv", "figure1.png", "metrics.json"} <= report
    assert [
        path.suffix for path in files_of(tracked.folder, snapshot.lock.stages["train@pa_sam"])
    ] == [".jsonl"]
    evaluated = files_of(tracked.folder, snapshot.lock.stages["evaluate@pa_sam"])
    assert {path.suffix for path in evaluated} == {".json", ".parquet"}  # no .npz


def test_a_score_file_is_known_by_its_columns(tracked):
    assert is_score_file(tracked.path("data/scores/pa_sam.parquet"))
    assert not is_score_file(tracked.path("data/manifest.parquet"))
    assert not is_score_file(tracked.path("params.yaml"))


def test_data_sets_carry_their_contents_digest_and_size(tracked, snapshot):
    trained = data_sets_of(snapshot, snapshot.lock.stages["train@pa_sam"])
    assert [(d.name, d.context, d.masks) for d in trained] == [("generated_train", "training", 12)]
    assert len(trained[0].digest) == 32
    measured = data_sets_of(snapshot, snapshot.lock.stages["evaluate@pa_sam"])
    assert [(d.name, d.context, d.masks) for d in measured] == [
        ("dis_like", "evaluation", 2), ("thin_like", "evaluation", 2),
    ]  # fmt: skip


def test_a_stage_that_trains_and_measures_names_both_kinds_of_data(tracked, snapshot):
    train, measure = (
        snapshot.lock.stages["train@pa_sam"],
        snapshot.lock.stages["evaluate@pa_sam"],
    )
    both = dataclasses.replace(measure, name="repeat@pa_sam", outs={**measure.outs, **train.outs})
    found = [(d.name, d.context) for d in data_sets_of(snapshot, both)]
    assert found == [
        ("generated_train", "training"), ("dis_like", "evaluation"), ("thin_like", "evaluation"),
    ]  # fmt: skip


def test_letters_that_mlflow_refuses_are_left_out_of_names(tracked, snapshot):
    stage = snapshot.lock.stages["report"]
    path = next(path for path in stage.outs if path.endswith("metrics.json"))
    tracked.path(path).write_text('{"at 95 % (mean)": {"miou": 1}, "note": "text"}')
    found = {point.name: point.value for point in metrics_of(tracked.folder, stage)}
    assert found["at 95 _ _mean_/miou"] == 1.0


def test_a_changed_and_a_missing_file_are_told_apart(tracked, snapshot):
    stage = snapshot.lock.stages["train@pa_sam"]
    assert snapshot.stale_output(stage) is None
    weights = tracked.path("data/adapters/pa_sam.safetensors")
    weights.write_bytes(b"other")
    assert snapshot.stale_output(stage) == "data/adapters/pa_sam.safetensors has changed since"
    weights.unlink()
    assert snapshot.stale_output(stage) == "data/adapters/pa_sam.safetensors is not there"


@pytest.mark.long
def test_stages_are_listed_before_and_after_they_are_recorded(tracked):
    before = overview(tracked.folder)
    assert {row.stage for row in before} == set(KEPT)
    assert all(row.run is None for row in before)
    synced = sync(tracked.folder)
    after = {row.stage: row for row in overview(tracked.folder)}
    assert {name: row.run for name, row in after.items()} == synced.runs
    assert {"dis_like/mbiou", "dis_like/miou"} <= set(after["evaluate@pa_sam"].headline)


def test_processor_memory_and_deciding_packages_are_named():
    found = hardware()
    assert found["cores"] == str(os.cpu_count())
    assert float(found["memory_gib"]) > 0
    assert found["torch"].startswith("2.")
    assert all(isinstance(value, str) and value for value in found.values())


def test_torch_is_not_loaded_for_it(root):
    code = (
        "import sys; from pasam.registry.runs import hardware; hardware(); "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root
    )
    assert done.stdout == "False\n"


def test_scores_are_told_by_condition_and_worse_images_are_in_no_mean_of_clean_ones(tmp_path):
    parts = [
        made_up_scores(("sam",), ("dis_like",), prompt=prompt, corruption=corruption)
        for prompt, corruption in (("box", "none"), ("points_3", "none"), ("box", "blur_0.01"))
    ]
    means = [100 * part["iou"].mean() for part in parts]
    write_scores(pd.concat(parts), tmp_path / "robustness.parquet")
    told = {point.name: point.value for point in _scores(tmp_path / "robustness.parquet")}
    names = [f"sam/{condition}/dis_like/miou" for condition in ("box", "points_3", "blur_0.01")]
    assert [told[name] for name in names] == pytest.approx(means)
    write_scores(parts[0], tmp_path / "sam.parquet")
    assert {point.name for point in _scores(tmp_path / "sam.parquet")} == {
        "dis_like/miou",
        "dis_like/mbiou",
    }


def run_with(name, *, start=0, recorded="", **metrics):
    tags = {Tag.RECORDED: recorded} if recorded else {}
    return SimpleNamespace(
        info=SimpleNamespace(run_id=name, start_time=start),
        data=SimpleNamespace(tags=tags, metrics=metrics),
    )


def test_of_several_runs_of_a_key_the_complete_one_counts_then_the_oldest_then_by_its_id():
    found = [
        run_with("f", start=5), run_with("e", start=3), run_with("d", start=3),
        run_with("c", start=9, recorded="complete"), run_with("b", start=8, recorded="complete"),
        run_with("a", start=1, recorded="no"),
    ]  # fmt: skip
    asked = []
    store = SimpleNamespace(
        experiment_id="e",
        client=SimpleNamespace(search_runs=lambda *given: asked.append(given) or found),
    )
    assert [run.info.run_id for run in runs._runs_of(store, "k1")] == list("bcadef")
    assert runs.find_run(store, "k1").info.run_id == "b"
    assert asked[0] == (["e"], "tags.`pasam.key` = 'k1'")
    found.clear()
    assert runs.find_run(store, "k1") is None


def test_metrics_and_params_are_written_in_batches_that_mlflow_takes():
    sent = []
    client = SimpleNamespace(
        log_batch=lambda run_id, metrics, params: sent.append((run_id, metrics, params))
    )
    recorder = _Recorder(None, SimpleNamespace(client=client))
    points = [MetricPoint(f"m{n}", float(n), n % 7) for n in range(1801)]
    recorder._log("r1", 5, points, {f"p{n}": str(n) for n in range(350)})
    assert [(r, len(metrics), len(params)) for r, metrics, params in sent] == [
        ("r1", 900, 100), ("r1", 900, 100), ("r1", 1, 100), ("r1", 0, 50)
    ]  # fmt: skip
    every = [each for _, metrics, _ in sent for each in metrics]
    assert [(m.key, m.value, m.step) for m in every] == [(p.name, p.value, p.step) for p in points]
    assert {m.timestamp for m in every} == {5}
    assert [(p.key, p.value) for _, _, some in sent for p in some] == [
        (f"p{n}", str(n)) for n in range(350)
    ]
    recorder._log("r1", 5, [], {})
    assert len(sent) == 4


def test_histories_are_told_by_epoch_step_or_line_and_apart_for_each_seed(tmp_path):
    rows = [
        {"epoch": 3, "step": 9, "loss": 0.5}, {"step": 8, "loss": 0.25, "lr": 1},
        {"loss": 0.125}, {"seed": 7, "epoch": 1, "loss": 2.0},
    ]  # fmt: skip
    (tmp_path / "h.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert [(p.name, p.value, p.step) for p in runs._history(tmp_path / "h.jsonl")] == [
        ("loss", 0.5, 3), ("loss", 0.25, 8), ("lr", 1.0, 8), ("loss", 0.125, 2),
        ("seed_7/loss", 2.0, 1),
    ]  # fmt: skip
    content = {"a": {"b": 1, "yes": True, "text": "1"}, "c": 2.5, "none": None}
    (tmp_path / "m.json").write_text(json.dumps(content))
    stage = SimpleNamespace(outs={"m.json": None}, params={"long": "x" * 6001, "n": {"k": [1, 2]}})
    points = metrics_of(tmp_path, stage)
    assert [(p.name, p.value, p.step) for p in points] == [("a/b", 1.0, 0), ("c", 2.5, 0)]
    assert params_of(stage) == {"long": "x" * 6000, "n.k": "[1, 2]"}


def test_files_up_to_the_largest_are_taken_and_notes_up_to_the_longest(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "LARGEST", 10)
    for name, size in (("b.md", 10), ("a.png", 11), ("c.json", 3), ("d.npz", 3)):
        (tmp_path / name).write_bytes(b"x" * size)
    stage = SimpleNamespace(outs=dict.fromkeys(["c.json", "b.md", "a.png", "d.npz", "gone.md"]))
    assert files_of(tmp_path, stage) == [tmp_path / "b.md", tmp_path / "c.json"]
    made = [(stage, SimpleNamespace(path="t/table1.md"))]
    look = SimpleNamespace(
        project=tmp_path, stale_output=lambda stage: None,
        lock=SimpleNamespace(makers=lambda suffix: made if suffix == "table1.md" else []),
    )  # fmt: skip
    (tmp_path / "t").mkdir()
    for text, kept in (("x\n\n" + "y" * 7997, True), ("x\n\n" + "y" * 7998, False)):
        (tmp_path / "t" / "table1.md").write_text(text)
        assert summary_table(look) == (text if kept else "x")


def test_a_table_with_no_more_than_the_columns_of_scores_is_one(tmp_path):
    row = {"benchmark": ["b"], "image_id": ["i"], "boundary_iou": [0.5]}
    for changes, is_one in (({}, True), ({"other": [1]}, False), ({"iou": [0.5]}, True)):
        pd.DataFrame(row | changes).to_parquet(tmp_path / "x.parquet")
        assert is_score_file(tmp_path / "x.parquet") is is_one
    pd.DataFrame({"benchmark": ["b"], "image_id": ["i"]}).to_parquet(tmp_path / "x.parquet")
    assert not is_score_file(tmp_path / "x.parquet")


def test_an_overview_has_a_few_telling_metrics_of_each_stage(monkeypatch):
    metrics = {f"{name}/mbiou": n / 10 for n, name in enumerate("edcba")}
    metrics |= {"lr": 1.0, "x/parameters": 2.0, "a/miou": 0.9}
    kept = {"d1": run_with("r1", **metrics), "d2": None}
    stages = {n: SimpleNamespace(name=n, digest=d) for n, d in (("train", "d1"), ("report", "d2"))}
    monkeypatch.setattr(runs, "read_lock", lambda project: SimpleNamespace(stages=stages))
    monkeypatch.setattr(runs, "open_store", lambda project: SimpleNamespace(tracking_uri="x"))
    monkeypatch.setattr(runs, "find_run", lambda store, digest: kept[digest])
    first, second = overview("p")
    assert (first.stage, first.run, second) == ("train", "r1", runs.StageOverview(
        stage="report", run=None, headline={}
    ))  # fmt: skip
    assert list(first.headline.items()) == [
        ("a/mbiou", 0.4), ("a/miou", 0.9), ("b/mbiou", 0.3), ("c/mbiou", 0.2)
    ]  # fmt: skip
