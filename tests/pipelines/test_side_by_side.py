"""Stages beside each other in one folder, on a small DVC project of its own."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from dvc.repo import Repo
from small_world import STAGE

from pasam.errors import StageError
from pasam.workers import count_progress
from pipelines import side_by_side as side_by_side_module
from pipelines.dvc import Dvc, Graph, forget_half_written_locks
from pipelines.process import Stopped
from pipelines.side_by_side import SideBySide, lanes, seconds_ahead

PIPELINE = """\
stages:
  embed:
    cmd: python stage.py views
    outs: [views]
  train:
    foreach: [a, b]
    do:
      cmd: python stage.py ${item} views
      deps: [views]
      outs: ["${item}"]
  evaluate:
    cmd: python stage.py scores a b
    deps: [a, b]
    outs: [scores]
"""

INTERRUPTED = """\
from pathlib import Path
from pasam.workers import count_progress
from pipelines.dvc import Dvc, forget_half_written_locks
from pipelines.side_by_side import SideBySide
from pipelines.stage_runner import exit_codes
with exit_codes():
    project = Dvc(project=Path(), state=Path(".flows"), on_line=print)
    SideBySide(project, count=2, cores=2, progress=count_progress()).run()
"""


@pytest.fixture
def project(in_empty_folder, monkeypatch):
    """Two trainings that need embeddings; `RAN` names a file that each run adds a line to."""
    monkeypatch.setenv("LOGGED", "OMP_NUM_THREADS")
    monkeypatch.setenv("RAN", str(in_empty_folder.with_name("ran")))
    Path(os.environ["RAN"]).write_text("")
    Path("stage.py").write_text(STAGE)
    Path("dvc.yaml").write_text(PIPELINE)
    subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet", "--no-scm"], check=True)
    return in_empty_folder


def side_by_side(said):
    project = Dvc(project=Path(), state=Path(".flows"), on_line=said.append)
    return SideBySide(project, count=2, cores=4, progress=count_progress())


def ran():
    lines = (line.split() for line in Path(os.environ["RAN"]).read_text().splitlines())
    return {out: (threads, float(start), float(end)) for out, threads, start, end in lines}


@pytest.mark.parametrize(
    ("size", "cores", "has_gpu", "count"),
    [("tiny", 2, False, 2), ("tiny", 64, False, 4), ("tiny", 8, True, 1), ("vit_b", 8, False, 1)],
)
def test_stages_share_cores_on_the_small_base_alone(tmp_path, size, cores, has_gpu, count):
    path = tmp_path / "params.yaml"
    rest = "checkpoint: base.safetensors\n  encoder_precision: 32-true"
    path.write_text(f"base:\n  size: {size}\n  {rest}\n")
    assert lanes(path, cores, has_gpu=has_gpu) == count


@pytest.mark.slow
def test_stages_run_at_the_same_time_and_leave_nothing_to_repro(project, monkeypatch):
    monkeypatch.setenv("SECONDS_EACH", "4")  # longer than DVC takes to start
    said = []
    side_by_side(said).run()
    spans = ran()
    assert set(spans) == {"views", "a", "b", "scores"}
    assert max(spans["a"][1], spans["b"][1]) < min(spans["a"][2], spans["b"][2])
    assert {threads for threads, _, _ in spans.values()} == {"2"}
    told = [line.partition(":")[0] for line in said if "stages done" in line]
    assert (told[0], set(told[1:3]), told[3]) == ("embed", {"train@a", "train@b"}, "evaluate")
    assert said[-1].endswith("s, 4 of 4 stages done")
    assert Path("scores").read_text() == "scores(a(views())b(views()))"
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "repro"], capture_output=True, text=True, check=True
    )
    assert "Running stage" not in done.stdout
    side_by_side(said := []).run()
    assert said == []


class Changed:
    """DVC in a project where some stages are out of date."""

    project, state = Path(), Path(".flows")

    def __init__(self, graph, changed):
        self.needs = {stage: frozenset(needs) for stage, needs in graph.items()}
        self.changed, self.said = changed, []
        self.on_line, self.held = self.said.append, 0

    @contextlib.contextmanager
    def alone(self):
        self.held += 1
        yield
        self.held -= 1

    def status(self):
        return self.changed

    def graph(self):
        return Graph(self.needs)

    def environment(self):
        return {"DVC_NO_ANALYTICS": "1"}


GRAPH = {
    "prepare": [],
    "validate": ["prepare"],
    "embed": ["prepare"],
    "ablate@x": ["embed", "validate"],
    "repeat@b": ["embed", "validate"],
    "train@a": ["embed", "validate"],
    "train@b": ["embed", "validate"],
    "evaluate@a": ["train@a"],
    "evaluate@b": ["train@b"],
    "robustness": ["train@a", "train@b"],
    "report": ["evaluate@a", "evaluate@b", "robustness", "ablate@x", "repeat@b"],
}


@pytest.mark.long
@pytest.mark.parametrize("count", [1, 2, 3, 20])
def test_each_stage_runs_once_after_those_it_needs_and_the_longest_first(
    in_empty_folder, monkeypatch, count
):
    begun, ended, most, threads, lock = [], [], [], set(), threading.Lock()

    def run(command, *, env, **how):
        with lock:
            begun.append(command[-1])
            assert set(GRAPH[command[-1]]) - {"prepare"} <= set(ended)
            most.append(len(begun) - len(ended))
            threads.add(env["OMP_NUM_THREADS"])
        time.sleep(0.02)
        with lock:
            ended.append(command[-1])
        return 0

    monkeypatch.setattr(side_by_side_module, "run_child", run)
    project = Changed(GRAPH, ("embed", "validate"))  # what was prepared is as it should be
    SideBySide(project, count=count, cores=7, progress=count_progress()).run()
    assert sorted(begun) == sorted(set(GRAPH) - {"prepare"})
    assert max(most) <= count
    assert threads == {str(max(7 // count, 1))}
    assert begun[-1] == "report"
    if count == 1:  # with more, those that begin together do so in any order
        turns = [name for name in begun if GRAPH[name] and name not in ("embed", "validate")]
        assert turns[:5] == ["repeat@b", "train@a", "train@b", "robustness", "ablate@x"]


def test_a_stage_waits_for_a_free_lane_so_that_a_longer_one_may_come_first(
    in_empty_folder, monkeypatch
):
    begun = []
    monkeypatch.setattr(
        side_by_side_module, "run_child", lambda command, **how: begun.append(command[-1]) or 0
    )
    needs = {"embed": [], "validate": [], "train@b": ["embed"], "train@a": ["embed"]}
    project = Changed(needs, tuple(needs))
    SideBySide(project, count=1, cores=3, progress=count_progress()).run()
    assert begun == ["embed", "train@a", "train@b", "validate"]
    assert [line.partition(", ")[2] for line in project.said] == [
        f"{number} of 4 stages done" for number in (1, 2, 3, 4)
    ]


def test_the_first_training_that_fails_has_the_others_stopped(in_empty_folder, monkeypatch):
    both, stopped = threading.Barrier(2, timeout=10), []
    both_changed = Changed(
        {"train@a": [], "train@b": [], "report": ["train@a"]}, ("train@a", "train@b")
    )

    def run(command, *, log, stop, **how):
        both.wait()
        if command[-1] == "train@b":
            stopped.append(stop.wait(10))
            raise Stopped
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("failed to reproduce 'train@a': it exited with 2")
        return 2

    monkeypatch.setattr(side_by_side_module, "run_child", run)
    with pytest.raises(StageError, match="stage train@a failed"):
        SideBySide(both_changed, count=2, cores=2, progress=count_progress()).run()
    assert stopped == [True]


@pytest.mark.slow
def test_a_training_that_fails_stops_the_others_and_says_why(project, monkeypatch):
    monkeypatch.setenv("BROKEN", "a")
    subprocess.run([sys.executable, "-m", "dvc", "repro", "--quiet", "embed"], check=True)
    monkeypatch.setenv("SECONDS_EACH", "3")
    with pytest.raises(StageError, match="stage train@a failed: the configuration or the data"):
        side_by_side([]).run()
    assert still_running(project) == []


@pytest.mark.slow
def test_a_run_that_is_interrupted_leaves_no_training_behind(project, root):
    subprocess.run([sys.executable, "-m", "dvc", "repro", "--quiet", "embed"], check=True)
    environment = {**os.environ, "PYTHONPATH": str(root), "SECONDS_EACH": "60"}
    run = subprocess.Popen([sys.executable, "-c", INTERRUPTED], env=environment)
    deadline = time.monotonic() + 60
    while not still_running(project):
        assert time.monotonic() < deadline, "no training began"
        time.sleep(0.1)
    run.send_signal(signal.SIGTERM)
    assert run.wait(30) == 143
    assert still_running(project) == []


def still_running(project):
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        with contextlib.suppress(psutil.Error):  # it has just ended
            if words[1:2] == ["stage.py"] and process.cwd() == str(project):
                found.append(words)
    return found


@pytest.mark.long
def test_locks_that_a_kill_left_half_written_stop_nobody(tmp_path):
    Repo.init(str(tmp_path), no_scm=True).close()
    (tmp_path / "dvc.yaml").write_text("stages:\n  a:\n    cmd: 'true'\n")
    listed = tmp_path / ".dvc" / "tmp" / "rwlock"
    project = Dvc(project=tmp_path, state=tmp_path / ".flows", on_line=lambda line: None)
    for half in ("", '{"read": {"/x/da'):
        listed.write_text(half)
        assert project.status() == ("a",)


def test_locks_that_somebody_is_writing_and_whole_ones_stay(tmp_path):
    folder = tmp_path / ".dvc" / "tmp"
    folder.mkdir(parents=True)
    forget_half_written_locks(tmp_path)  # nothing was locked yet
    listed = folder / "rwlock"
    listed.write_text("{}")
    forget_half_written_locks(tmp_path)
    assert listed.read_text() == "{}"
    listed.write_text("")
    with (folder / "rwlock.lock").open("a") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        forget_half_written_locks(tmp_path)
        assert listed.exists()
    forget_half_written_locks(tmp_path)
    assert not listed.exists()
    listed.write_text("[")
    with Dvc(project=tmp_path, state=tmp_path / ".flows", on_line=lambda line: None).alone():
        assert not listed.exists(), "before any command is run"


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (("prepare",), set(GRAPH)),
        (("train@a", "ablate@x"), {"train@a", "ablate@x", "evaluate@a", "robustness", "report"}),
        (("evaluate@a",), {"evaluate@a", "report"}),
        (("report",), set()),  # an ordinary `dvc repro` does one as well, with all cores
        ((), set()),
    ],
)
def test_what_changed_and_all_that_follows_runs_with_its_part_of_the_cores(
    changed, expected, in_empty_folder, monkeypatch
):
    ran, project = {}, Changed(GRAPH, changed)
    project.environment = lambda: {"X": "1", "OMP_NUM_THREADS": "9"}

    def run(command, **how):
        assert project.held == 1
        assert set(GRAPH[command[-1]]) & expected <= set(ran), "what it needs is out of date"
        time.sleep(0.01)
        how["on_line"]("Running stage 'x':")
        how["on_line"]("epoch 1")
        ran[command[-1]] = (command[1:-1], how["cwd"], how["log"], how["env"])
        return 0

    monkeypatch.setattr(side_by_side_module, "run_child", run)
    SideBySide(project, count=2, cores=5, progress=count_progress()).run()
    assert set(ran) == expected
    assert project.held == 0
    for stage, (words, folder, log, environment) in ran.items():
        assert words == ["-m", "dvc", "--wait-for-lock", "repro", "--single-item"]
        assert (folder, log) == (Path(), Path(".flows/logs") / f"{stage}.log")
        kept = {name for name in environment if name.startswith("MALLOC_")}
        assert kept == {"MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"}
        assert {environment[name] for name in kept} == {"1073741824"}
        own = {name: value for name, value in environment.items() if name not in kept}
        assert own == {"X": "1", "OMP_NUM_THREADS": "2"}
        assert f"{stage}: epoch 1" in project.said
    assert not any("Running stage" in line for line in project.said)


def test_a_stage_takes_its_share_of_what_the_whole_run_does():
    parts = {"embed": 10, "train": 40, "ablations": 7, "repeats": 9, "evaluate": 6, "rest": 8}
    parts |= {"robustness": 5, "instances": 3}
    assert seconds_ahead(parts, GRAPH, GRAPH) == sum(parts.values()) - 3  # no such stage
    assert seconds_ahead(parts, GRAPH, ["train@b", "evaluate@a", "report"]) == 20 + 3 + 8 / 3
    baseline = {**GRAPH, "baseline@sam": []}
    assert seconds_ahead(parts, baseline, ["baseline@sam"]) == 6 / 3


@pytest.mark.parametrize("size", ["tiny", "vit_b"])
def test_whoever_starts_a_run_sees_its_time_before_the_first_stage(
    size, in_empty_folder, root, monkeypatch, capsys
):
    text = (root / "params" / "default.yaml").read_text()
    assert text.count("  size: tiny ") == 1
    Path("params.yaml").write_text(text.replace("  size: tiny ", f"  size: {size} "))
    Path("data/own").mkdir(parents=True)
    project, began = Changed(GRAPH, ("prepare",)), []

    def run(command, **how):
        began.append(capsys.readouterr().err)
        return 0

    monkeypatch.setattr(side_by_side_module, "run_child", run)
    monkeypatch.setattr(side_by_side_module, "Dvc", lambda **how: project)
    monkeypatch.setattr(side_by_side_module.shutil, "which", lambda name: None)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1}, raising=False)
    side_by_side_module.main()
    first = began[0] if size == "tiny" else capsys.readouterr().err
    assert bool(began) is (size == "tiny")
    words = r"11 of 11 stages are to be run: about ([\d.,]+) (s|min|h) on a machine like those "
    number, unit = re.search(words, first).groups()
    assert (float(number) > 1, unit) == (True, "min" if size == "tiny" else "h")
    project.changed = ()
    side_by_side_module.main()
    assert "to be run" not in capsys.readouterr().err
    project.changed = ("report",)
    rest = "checkpoint: x\n  encoder_precision: 32-true"
    Path("params.yaml").write_text(f"base:\n  size: {size}\n  {rest}\n")
    side_by_side_module.main()  # without an estimate the run begins as it would
    assert "to be run" not in capsys.readouterr().err
