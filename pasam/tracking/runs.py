"""MLflow runs made from what the stages left: one per stage and digest of its lock entry.

A stage that DVC restored from its cache is recorded like one that ran, and nothing is recorded
twice: the digest is a tag that is looked up first. What an outage cut short is completed by the
next call, since a run counts only once its last tag is there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from pasam.errors import BusyError
from pasam.tracking.contents import (
    Point,
    data_sets_of,
    files_of,
    metrics_of,
    params_of,
    unready,
)
from pasam.tracking.dvc_lock import LOCK, DvcLock, StageRecord, read_lock
from pasam.tracking.git_state import git_state
from pasam.tracking.hardware import hardware
from pasam.tracking.lineage import (
    COMMIT,
    DIRTY,
    KEY,
    KIND,
    RECORDED,
    project_lineage,
    stage_lineage,
)
from pasam.tracking.live_curves import LIVE, STAGE
from pasam.tracking.store import NOTE, TRAININGS, Store, open_store, translated
from pasam.tracking.summary import SOURCE_COMMIT, headline, note, source_tags

if TYPE_CHECKING:
    from mlflow.entities import Run

DOCUMENTS = (LOCK, "params.yaml", "requirements.lock")
COMPLETE = "complete"
PARENT = "mlflow.parentRunId"

_BATCH = 900  # MLflow takes at most 1,000 metrics and 100 params at a time.
_PATIENCE = 600  # seconds that one recording waits for another


@dataclass(frozen=True, kw_only=True, slots=True)
class Synced:
    """What a call of `sync` did."""

    parent: str
    """Id of the run of the whole reproduction."""
    runs: Mapping[str, str]
    """Run id of every recorded stage."""
    new: tuple[str, ...]
    """Stages recorded by this call."""
    missing: Mapping[str, str]
    """Stages whose files are not the lock's, each with the reason."""
    address: str
    """The backend."""
    page: str | None
    """Where a browser shows the run of the reproduction; None where no server is known."""


def sync(project: Path, *, flow_run: str | None = None) -> Synced:
    """Record the stages of `dvc.lock` that are not recorded yet; calling it again is free.

    Args:
        project: The project's root.
        flow_run: The Prefect run that this belongs to, if any.

    Raises:
        DataError: Nothing has run yet.
        TrackingError: MLflow cannot be reached; a later call completes the record.
    """
    lock = read_lock(project)
    store = open_store(project)
    tags = project_lineage(project, lock, git_state(project), flow_run=flow_run)
    tags[SOURCE_COMMIT] = tags[COMMIT]
    try:
        with (
            FileLock(store.folder / "sync.lock", timeout=_PATIENCE),
            translated(store.tracking_uri),
        ):
            return _Recorder(project, lock, store, tags).record()
    except Timeout:
        raise BusyError(
            f"another recording has held {store.folder / 'sync.lock'} for {_PATIENCE} s; end it, "
            "or wait and run `pasam track sync` again."
        ) from None


def find_run(store: Store, key: str) -> Run | None:
    """Find the run that carries a key."""
    found = store.client.search_runs(
        [store.experiment_id], f"tags.`{KEY}` = '{key}'", max_results=1
    )
    return found[0] if found else None


@dataclass(frozen=True, slots=True)
class _Recorder:
    project: Path
    lock: DvcLock
    store: Store
    tags: dict[str, str]

    def record(self) -> Synced:
        key = f"reproduction-{self.lock.sha256}"
        parent = self._start(key, "reproduction", self._title(), source_tags())
        parent_id = parent.info.run_id
        runs, new, missing = {}, [], {}
        for stage in self.lock.stages.values():
            run = find_run(self.store, stage.digest)
            if run is not None and run.data.tags.get(RECORDED) == COMPLETE:
                self._refresh(run)
            elif (reason := unready(self.project, stage)) is not None:
                missing[stage.name] = reason
                continue
            else:
                run = self._record_stage(stage, parent_id)
                new.append(stage.name)
            runs[stage.name] = run.info.run_id
        self._close_parent(parent, runs, missing)
        return Synced(
            parent=parent_id, runs=runs, new=tuple(new), missing=missing,
            address=self.store.tracking_uri, page=self.page(parent_id),
        )  # fmt: skip

    def page(self, run_id: str) -> str | None:
        """Where a browser shows a run."""
        address, experiment = self.store.tracking_uri.rstrip("/"), self.store.experiment_id
        if not address.startswith("http"):
            return None
        return f"{address}/#/experiments/{experiment}/runs/{run_id}?{TRAININGS}"

    def _title(self) -> str:
        return f"reproduction {self.lock.sha256[:8]}"

    def _start(self, key: str, kind: str, name: str, tags: Mapping[str, str]) -> Run:
        """Find the run of a key, or make it; one that was cut short is used again."""
        found = find_run(self.store, key)
        if found is not None:
            self._refresh(found)
            return found
        every = {**self.tags, KEY: key, KIND: kind, **tags}
        return self.store.client.create_run(self.store.experiment_id, tags=every, run_name=name)

    def _refresh(self, run: Run) -> None:
        """Take over the commit of results that were recorded before they were committed."""
        was_dirty = run.data.tags.get(DIRTY) != "false"
        same = run.data.tags.get("dvc.lock_sha256") == self.lock.sha256
        if same and was_dirty and self.tags[DIRTY] == "false":
            for name in (COMMIT, SOURCE_COMMIT, DIRTY, "git.pushed"):
                self.store.client.set_tag(run.info.run_id, name, self.tags[name])

    def _record_stage(self, stage: StageRecord, parent: str) -> Run:
        client = self.store.client
        tags = {PARENT: parent, **source_tags(stage.name), **stage_lineage(stage)}
        run = self._start(stage.digest, "stage", stage.name, tags)
        run_id, moment = run.info.run_id, run.info.start_time
        self._log_metrics(run_id, moment, metrics_of(self.project, stage))
        self._log_params(run_id, stage)
        for path in files_of(self.project, stage):
            client.log_artifact(run_id, str(path), str(path.relative_to(self.project).parent))
        self._log_data_sets(run_id, stage)
        client.set_terminated(run_id, "FINISHED")
        client.set_tag(run_id, RECORDED, COMPLETE)
        self._remove_live(stage)
        return run

    def _remove_live(self, stage: StageRecord) -> None:
        """Remove the runs that showed this stage while it trained: the record holds it all."""
        query = f"tags.`{KIND}` = '{LIVE}' AND tags.`{STAGE}` = '{stage.name}'"
        for run in self.store.client.search_runs([self.store.experiment_id], query):
            self.store.client.delete_run(run.info.run_id)

    def _log_metrics(self, run_id: str, moment: int, points: Sequence[Point]) -> None:
        from mlflow.entities import Metric

        # The run's own time for all: writing a value again then changes nothing.
        metrics = [Metric(p.name, p.value, moment, p.step) for p in points]
        for first in range(0, len(metrics), _BATCH):
            self.store.client.log_batch(run_id, metrics=metrics[first : first + _BATCH])

    def _log_params(self, run_id: str, stage: StageRecord) -> None:
        from mlflow.entities import Param

        params = [Param(name, value) for name, value in params_of(stage).items()]
        for first in range(0, len(params), 100):
            self.store.client.log_batch(run_id, params=params[first : first + 100])

    def _log_data_sets(self, run_id: str, stage: StageRecord) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        inputs = [
            DatasetInput(
                Dataset(
                    name=found.name, digest=found.digest, source_type="local",
                    source=json.dumps({"uri": "dvc.lock", "manifest_digest": found.digest}),
                    profile=json.dumps({"masks": found.masks, "images": found.images}),
                ),
                [InputTag("mlflow.data.context", found.context)],
            )
            for found in data_sets_of(self.project, self.lock, stage)
        ]  # fmt: skip
        if inputs:
            self.store.client.log_inputs(run_id, inputs)

    def _close_parent(
        self, parent: Run, runs: Mapping[str, str], missing: Mapping[str, str]
    ) -> None:
        client, run_id = self.store.client, parent.info.run_id
        if parent.data.tags.get(RECORDED) == COMPLETE:
            return
        self._log_metrics(run_id, parent.info.start_time, headline(self.project, self.lock))
        table = note(self.project, self.lock)
        if table is not None:
            client.set_tag(run_id, NOTE, table)
        for name in DOCUMENTS:
            if (self.project / name).is_file():
                client.log_artifact(run_id, str(self.project / name))
        client.log_dict(run_id, hardware(), "hardware.json")
        listed: dict[str, Any] = {"runs": dict(runs), "missing": dict(missing)}
        client.log_dict(run_id, listed, "stages.json")
        client.set_terminated(run_id, "FINISHED", end_time=int(time.time() * 1000))
        if not missing:
            client.set_tag(run_id, RECORDED, COMPLETE)
