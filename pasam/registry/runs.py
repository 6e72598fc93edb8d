"""MLflow runs made from what the stages left: one per stage and digest of its lock entry.

A stage that DVC restored from its cache is recorded like one that ran, and nothing is recorded
twice: the digest is a tag that is looked up first. What an outage cut short is completed by the
next call, since a run counts only once its last tag is there.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import random
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from pasam.errors import BusyError, TrackingError
from pasam.registry.live_curves import CLONE, LIVE, clone_id
from pasam.registry.snapshot import (
    LOCK,
    PARAMS,
    Snapshot,
    StageRecord,
    read_lock,
    rows_md5,
    take_snapshot,
)
from pasam.registry.store import (
    NOTE,
    TRAININGS,
    Tag,
    TrackingStore,
    is_race,
    open_store,
    without_password,
    wrap_mlflow_errors,
)

if TYPE_CHECKING:
    from mlflow.entities import Run

PARENT = "mlflow.parentRunId"
SOURCE_COMMIT = "mlflow.source.git.commit"
COMPLETE = "complete"

DOCUMENTS = (LOCK, PARAMS, "requirements.lock")
METRICS, TABLE = "metrics.json", "table1.md"
"""Ends of the outputs that sum up a reproduction."""
FILES = (".jsonl", ".json", ".parquet", ".png", ".svg", ".md", ".csv", ".tex", ".html")
"""Results that people read; weights and predictions stay with DVC."""
LARGEST = 64 * 2**20
"""Bytes of a file above which it stays with DVC."""
HEADLINES = ("miou", "mbiou", "loss", "iou")
"""Last parts of the names of metrics that are worth a glance."""
PACKAGES = ("torch", "torchvision", "segment-anything", "numpy", "opencv-python-headless")
"""Packages that decide the numbers."""

_PATIENCE = 600  # seconds that one recording waits for another
_TURNS = 5  # times that a recording is gone through because another machine wrote the same at once
_MOST_HEADLINES = 4

# Limits of MLflow: 1,000 metrics and 100 params at a time; lengths of params and of tags.
_MOST_METRICS, _MOST_PARAMS = 900, 100
_LONGEST_VALUE, _LONGEST_NOTE = 6000, 8000
_UNKNOWN_LETTER = re.compile(r"[^\w\-. /:]")
"""What MLflow does not take in the name of a metric."""


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
    return record_runs(take_snapshot(project, flow_run=flow_run), open_store(project))


def record_runs(snapshot: Snapshot, store: TrackingStore) -> Synced:
    """Do as `sync` for a project that was looked at already, in a store that is open already."""
    for turn in range(_TURNS):
        try:
            with (
                FileLock(store.folder / "sync.lock", timeout=_PATIENCE),
                wrap_mlflow_errors(store.tracking_uri),
            ):
                return _Recorder(snapshot, store).record()
        except Timeout:
            break
        except TrackingError as error:  # what was written is found by the next turn
            if turn == _TURNS - 1 or not is_race(error.__cause__):
                raise
            time.sleep(random.uniform(0.1, 0.5))
    raise BusyError(
        f"another recording has held {store.folder / 'sync.lock'} for {_PATIENCE} s; end it, or "
        "wait and run `pasam track sync` again."
    )


def reproduction_key(lock_sha256: str) -> str:
    """Say which key the run of a whole `dvc.lock` carries, by the lock's digest."""
    return f"reproduction-{lock_sha256}"


def find_run(store: TrackingStore, key: str) -> Run | None:
    """Find the run that carries a key; of several, the one that everybody takes."""
    found = _runs_of(store, key)
    return found[0] if found else None


def _runs_of(store: TrackingStore, key: str) -> list[Run]:
    """All runs of a key, as two machines that record at once may make; the one that counts first.

    MLflow has no key of its own: both see both, and both take the complete one, or the older.
    """
    found = store.client.search_runs([store.experiment_id], f"tags.`{Tag.KEY}` = '{key}'")

    def order(run: Run) -> tuple[bool, int, str]:
        return not _is_complete(run), int(run.info.start_time), str(run.info.run_id)

    return sorted(found, key=order)


def _is_complete(run: Run) -> bool:
    return bool(run.data.tags.get(Tag.RECORDED) == COMPLETE)


@dataclass(frozen=True, slots=True)
class _Recorder:
    snapshot: Snapshot
    store: TrackingStore

    def record(self) -> Synced:
        lock = self.snapshot.lock
        key, name = reproduction_key(lock.sha256), f"reproduction {lock.sha256[:8]}"
        parent = self._start(key, "reproduction", name, source_tags(), _runs_of(self.store, key))
        parent_id = parent.info.run_id
        runs, new, missing = {}, [], {}
        recorded = self._recorded(parent)
        for stage in lock.stages.values():
            listed = recorded.get(stage.digest)
            known = [listed] if listed else _runs_of(self.store, stage.digest)
            run = known[0] if known else None
            self._remove_doubles(known)
            if run is not None and _is_complete(run):
                self._refresh(run)
            elif (reason := self.snapshot.stale_output(stage)) is not None:
                missing[stage.name] = reason
                continue
            else:
                run = self._record_stage(stage, parent_id, known)
                new.append(stage.name)
            runs[stage.name] = run.info.run_id
        self._remove_live(new)
        self._close_parent(parent, runs, missing)
        return Synced(
            parent=parent_id, runs=runs, new=tuple(new), missing=missing,
            address=without_password(self.store.tracking_uri), page=self.page(parent_id),
        )  # fmt: skip

    def _recorded(self, parent: Run) -> dict[str, Run]:
        """The complete runs that a reproduction lists, by key: one query for all of its stages."""
        ids = parent.data.tags.get(Tag.RUNS, "").split()
        if not ids:
            return {}
        names = ", ".join(f"'{run_id}'" for run_id in ids if run_id.isalnum())
        found = self.store.client.search_runs(
            [self.store.experiment_id], f"attributes.run_id IN ({names})", max_results=len(ids)
        )
        complete = [run for run in found if _is_complete(run)]
        return {run.data.tags[Tag.KEY]: run for run in complete if Tag.KEY in run.data.tags}

    def page(self, run_id: str) -> str | None:
        """Where a browser shows a run."""
        address = without_password(self.store.tracking_uri).rstrip("/")
        if not address.startswith("http"):
            return None
        return f"{address}/#/experiments/{self.store.experiment_id}/runs/{run_id}?{TRAININGS}"

    def _start(
        self, key: str, kind: str, name: str, tags: Mapping[str, str], known: Sequence[Run]
    ) -> Run:
        """Take the run of a key, or make it; one that was cut short is used again."""
        if known:
            self._refresh(known[0])
            self._remove_doubles(known)
            return known[0]
        lineage = self.snapshot.lineage
        own = {SOURCE_COMMIT: lineage[Tag.COMMIT], Tag.KEY: key, Tag.KIND: kind}
        every = {**lineage, **own, **tags}
        client = self.store.client
        made = client.create_run(self.store.experiment_id, tags=every, run_name=name)
        first = _runs_of(self.store, key)[0]
        if first.info.run_id != made.info.run_id:  # another machine was quicker: both write there
            client.delete_run(made.info.run_id)
        return first

    def _remove_doubles(self, runs: Sequence[Run]) -> None:
        """Remove what another machine has recorded, too; one that is being written is left.

        Whoever ends last sees all that are complete, and both would remove the same ones.
        """
        from mlflow.exceptions import MlflowException

        for double in runs[1:]:
            if _is_complete(double):
                with contextlib.suppress(MlflowException):  # it is gone already
                    self.store.client.delete_run(double.info.run_id)

    def _refresh(self, run: Run) -> None:
        """Take over the commit of results that were recorded before they were committed."""
        was_dirty = run.data.tags.get(Tag.DIRTY) != "false"
        same = run.data.tags.get(Tag.LOCK_SHA256) == self.snapshot.lock.sha256
        if same and was_dirty and not self.snapshot.git.dirty:
            lineage = self.snapshot.lineage
            fresh = {name: lineage[name] for name in (Tag.COMMIT, Tag.DIRTY, Tag.PUSHED)}
            for name, value in {**fresh, SOURCE_COMMIT: lineage[Tag.COMMIT]}.items():
                self.store.client.set_tag(run.info.run_id, name, value)

    def _record_stage(self, stage: StageRecord, parent: str, known: Sequence[Run]) -> Run:
        client, project = self.store.client, self.snapshot.project
        tags = {PARENT: parent, **source_tags(stage.name), **stage.lineage()}
        run = self._start(stage.digest, "stage", stage.name, tags, known)
        run_id, moment = run.info.run_id, run.info.start_time
        self._log(run_id, moment, metrics_of(project, stage), params_of(stage))
        for path in files_of(project, stage):
            client.log_artifact(run_id, str(path), str(path.relative_to(project).parent))
        self._log_data_sets(run_id, stage)
        client.set_terminated(run_id, "FINISHED")
        client.set_tag(run_id, Tag.RECORDED, COMPLETE)
        known = _runs_of(self.store, stage.digest)
        self._remove_doubles(known)
        return known[0]

    def _remove_live(self, stages: Sequence[str]) -> None:
        """Remove the runs that showed this clone's training of them: the record holds it all."""
        if not stages:
            return
        ours = {Tag.KIND: LIVE, CLONE: clone_id(self.snapshot.project)}
        query = " AND ".join(f"tags.`{name}` = '{text}'" for name, text in ours.items())
        for run in self.store.client.search_runs([self.store.experiment_id], query):
            if run.data.tags.get(Tag.STAGE) in stages:
                self.store.client.delete_run(run.info.run_id)

    def _log(
        self, run_id: str, moment: int, points: Sequence[MetricPoint], params: Mapping[str, str]
    ) -> None:
        """Write metrics and params in as few requests as MLflow's limits allow."""
        from mlflow.entities import Metric, Param

        # The run's own time for all: writing a value again then changes nothing.
        metrics = [Metric(point.name, point.value, moment, point.step) for point in points]
        settings = [Param(name, value) for name, value in params.items()]
        while metrics or settings:
            self.store.client.log_batch(run_id, metrics[:_MOST_METRICS], settings[:_MOST_PARAMS])
            metrics, settings = metrics[_MOST_METRICS:], settings[_MOST_PARAMS:]

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
            for found in data_sets_of(self.snapshot, stage)
        ]  # fmt: skip
        if inputs:
            self.store.client.log_inputs(run_id, inputs)

    def _close_parent(
        self, parent: Run, runs: Mapping[str, str], missing: Mapping[str, str]
    ) -> None:
        client, run_id = self.store.client, parent.info.run_id
        if _is_complete(parent):
            return
        self._log(run_id, parent.info.start_time, headline(self.snapshot), {})
        table = summary_table(self.snapshot)
        if table is not None:
            client.set_tag(run_id, NOTE, table)
        for name in DOCUMENTS:
            if (self.snapshot.project / name).is_file():
                client.log_artifact(run_id, str(self.snapshot.project / name))
        client.log_dict(run_id, hardware(), "hardware.json")
        listed: dict[str, Any] = {"runs": dict(runs), "missing": dict(missing)}
        client.log_dict(run_id, listed, "stages.json")
        client.set_terminated(run_id, "FINISHED", end_time=int(time.time() * 1000))
        if not missing:
            client.set_tag(run_id, Tag.RUNS, " ".join(runs.values())[:_LONGEST_NOTE])
            client.set_tag(run_id, Tag.RECORDED, COMPLETE)
            self._remove_doubles(_runs_of(self.store, parent.data.tags[Tag.KEY]))


@dataclass(frozen=True, kw_only=True, slots=True)
class StageOverview:
    """One stage of the lock, at a glance."""

    stage: str
    run: str | None
    """Id of its run; None if it is not recorded."""
    headline: Mapping[str, float]
    """A few of its metrics."""


def overview(project: Path) -> list[StageOverview]:
    """List the stages of `dvc.lock` in their order.

    Raises:
        DataError: Nothing has run yet.
        TrackingError: MLflow cannot be reached.
    """
    lock = read_lock(project)
    store = open_store(project)
    rows = []
    with wrap_mlflow_errors(store.tracking_uri):
        for stage in lock.stages.values():
            run = find_run(store, stage.digest)
            metrics = {} if run is None else run.data.metrics
            names = [n for n in sorted(metrics) if n.rpartition("/")[2] in HEADLINES][
                :_MOST_HEADLINES
            ]
            rows.append(
                StageOverview(
                    stage=stage.name,
                    run=None if run is None else run.info.run_id,
                    headline={name: metrics[name] for name in names},
                )
            )
    return rows


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """One value of one metric."""

    name: str
    value: float
    step: int


@dataclass(frozen=True, slots=True)
class DataSet:
    """A data set that a stage read."""

    name: str
    digest: str
    context: str
    masks: int
    images: int


def params_of(stage: StageRecord) -> dict[str, str]:
    """Flatten the params that a stage reads: `train.seed`, `models.pa_sam.epochs`."""
    return {
        name: text[:_LONGEST_VALUE]
        for name, value in _flat(stage.params, ".")
        for text in [value if isinstance(value, str) else json.dumps(value)]
    }


def metrics_of(project: Path, stage: StageRecord) -> list[MetricPoint]:
    """Read every number that a stage's files hold: histories, per-image scores, metrics."""
    points: list[MetricPoint] = []
    for path in sorted(stage.outs):
        place = project / path
        if path.endswith(".jsonl"):
            points += _history(place)
        elif path.endswith(".json"):
            content = json.loads(place.read_text(encoding="utf-8"))
            points += [MetricPoint(n, float(v), 0) for n, v in _flat(content, "/") if _is_number(v)]
        elif is_score_file(place):
            points += _scores(place)
    return [MetricPoint(_UNKNOWN_LETTER.sub("_", p.name), p.value, p.step) for p in points]


def files_of(project: Path, stage: StageRecord) -> list[Path]:
    """List the files of a stage that people read."""
    places = (project / path for path in sorted(stage.outs) if path.endswith(FILES))
    return [place for place in places if place.is_file() and place.stat().st_size <= LARGEST]


def data_sets_of(snapshot: Snapshot, stage: StageRecord) -> list[DataSet]:
    """List the data sets that a stage trained on or was measured on."""
    if not snapshot.has_manifest:
        return []
    from pasam.evaluation.scores import read_scores  # with OpenCV, as in the functions below

    project, frame = snapshot.project, snapshot.manifest
    if snapshot.manifest_path.relative_to(project).as_posix() not in stage.deps:
        return []
    files = [project / path for path in stage.outs if is_score_file(project / path)]
    benchmarks = set(read_scores(*files)["benchmark"]) if files else set()
    measured = frame[(frame["split"] == "val") & frame["dataset"].isin(sorted(benchmarks))]
    trains = stage.out_with(".jsonl") is not None  # a history
    learned = frame[(frame["split"] == "train") & trains]
    return [
        DataSet(str(name), rows_md5(part), context, len(part), part["image"].nunique())
        for context, rows in (("training", learned), ("evaluation", measured))
        for name, part in rows.groupby("dataset")
    ]


def is_score_file(path: Path) -> bool:
    """Say whether a file is a table of per-image scores."""
    if path.suffix != ".parquet" or not path.is_file():
        return False
    import pyarrow.parquet as pq

    from pasam.evaluation.scores import SCHEMA

    names = set(pq.read_schema(path).names)
    return {"benchmark", "image_id", "boundary_iou"} <= names and names <= set(SCHEMA.names)


def _history(path: Path) -> Iterator[MetricPoint]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
        row: dict[str, float] = json.loads(line)
        step = int(row.get("epoch", row.get("step", number)))
        of_seed = f"seed_{row['seed']:.0f}/" if "seed" in row else ""  # of a repetition
        for name, value in row.items():
            if name not in {"epoch", "step", "seed"}:
                yield MetricPoint(f"{of_seed}{name}", float(value), step)


def _scores(path: Path) -> Iterator[MetricPoint]:
    from pasam.evaluation.scores import CLEAN, read_scores

    frame = read_scores(path)
    kinds = ["model", "prompt", "corruption"]
    several = len(frame[kinds].drop_duplicates()) > 1
    for (model, prompt, corruption), part in frame.groupby(kinds):
        condition = prompt if corruption == CLEAN else corruption  # worse images have tight boxes
        prefix = f"{model}/{condition}/" if several else ""
        means = part.groupby("benchmark")[["iou", "boundary_iou"]].mean() * 100
        for benchmark, row in means.iterrows():
            yield MetricPoint(f"{prefix}{benchmark}/miou", float(row["iou"]), 0)
            yield MetricPoint(f"{prefix}{benchmark}/mbiou", float(row["boundary_iou"]), 0)


def _flat(node: Any, separator: str, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _flat(value, separator, f"{prefix}{separator}{key}" if prefix else str(key))
    else:
        yield prefix, node


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def source_tags(stage: str = "") -> dict[str, str]:
    """Name the command that makes a run's results again, where MLflow shows a run's source."""
    return {"mlflow.source.name": f"dvc repro {stage}".strip(), "mlflow.source.type": "LOCAL"}


def headline(snapshot: Snapshot) -> list[MetricPoint]:
    """Read the metrics that sum up a reproduction, so that reproductions can be compared."""
    return [
        point
        for stage, _ in snapshot.lock.makers(METRICS)
        if snapshot.stale_output(stage) is None
        for point in metrics_of(snapshot.project, stage)
    ]


def summary_table(snapshot: Snapshot) -> str | None:
    """Read the table that sums up a reproduction, as Markdown."""
    for stage, entry in snapshot.lock.makers(TABLE):
        if snapshot.stale_output(stage) is None:
            text = (snapshot.project / entry.path).read_text(encoding="utf-8")
            return text if len(text) <= _LONGEST_NOTE else _whole_paragraphs(text)
    return None


def _whole_paragraphs(text: str) -> str:
    """Leave out what MLflow would not take, from a blank line on: half a table is none."""
    return text[:_LONGEST_NOTE].rpartition("\n\n")[0]


def hardware() -> dict[str, str]:
    """Describe processor, memory, graphics cards and the packages that decide the numbers."""
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory_gib": f"{pages * size / 2**30:.1f}",
        "graphics": ", ".join(_graphics()) or "none",
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model n")]
    except OSError:  # not Linux
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def _graphics() -> list[str]:
    """Names of the NVIDIA cards; asked of the driver, since importing torch takes seconds."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    done = subprocess.run(
        [tool, "--query-gpu=name", "--format=csv,noheader"],
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    return done.stdout.splitlines() if done.returncode == 0 else []


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
