"""DVC as a child process: what its failures mean, its lock, and a real repro of small stages."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock

from pasam.errors import StageError, TransientError
from pipelines.dvc import Dvc, failure

STAGE = """\
stages:
  first:
    cmd: python first.py
    deps: [first.py]
    outs: [first.txt]
"""
LOG = Path("x.log")


@pytest.fixture
def dvc(tmp_path):
    """DVC in a folder that has none yet."""
    return Dvc(project=tmp_path, state=tmp_path / ".flows", on_line=lambda line: None)


@pytest.fixture
def project(dvc):
    """A project with one stage, whose code a test writes."""
    subprocess.run(
        [sys.executable, "-m", "dvc", "init", "--no-scm", "--quiet"], cwd=dvc.project, check=True
    )
    (dvc.project / "dvc.yaml").write_text(STAGE)
    return dvc


def stage_said(code, stage="train@pa_sam"):
    return (
        f"error: the stage's own words\n"
        f"ERROR: failed to reproduce '{stage}': failed to run: python x, exited with {code}\n"
    )


def test_wrong_configuration_or_data_is_never_worth_another_try():
    error = failure("dvc repro", 255, stage_said(2), LOG)
    assert isinstance(error, StageError)
    assert error.exit_code == 2
    assert "stage train@pa_sam failed: the configuration or the data is wrong" in str(error)
    assert "error: the stage's own words" in str(error)
    assert str(LOG) in str(error)


def test_a_stages_transient_error_is_worth_another_try():
    error = failure("dvc repro", 255, stage_said(75), LOG)
    assert isinstance(error, TransientError)
    assert "stage train@pa_sam met a transient error" in str(error)


@pytest.mark.parametrize(("code", "kept"), [(143, 143), (-15, 143), (130, 130), (-2, 130)])
def test_a_stopped_stage_is_not_run_again_at_once(code, kept):
    error = failure("dvc repro", 255, stage_said(code), LOG)
    assert isinstance(error, StageError)
    assert error.exit_code == kept
    assert "the next `dvc repro` goes on" in str(error)


@pytest.mark.parametrize(("code", "kept"), [(1, 1), (-9, 2), (137, 2)])
def test_an_unforeseen_failure_is_not_retried_and_its_code_is_said(code, kept):
    error = failure("dvc repro", 255, stage_said(code), LOG)
    assert isinstance(error, StageError)
    assert error.exit_code == kept
    assert f"exit code {code}" in str(error)


@pytest.mark.parametrize(
    ("command", "code", "text"),
    [
        ("dvc repro", 255, "ERROR: Unable to acquire lock. Most likely another DVC process"),
        ("dvc repro", 255, "ERROR: 'data' is busy, it is being blocked by:"),
        ("dvc push", 255, "ERROR: failed to push data to the cloud - 3 files failed"),
        ("dvc pull train", 255, "ERROR: failed to connect to s3 (bucket/files)"),
    ],
)
def test_a_busy_project_and_an_unreachable_remote_pass(command, code, text):
    assert isinstance(failure(command, code, text, LOG), TransientError)


@pytest.mark.parametrize(
    ("command", "code", "text"),
    [
        ("dvc push", 251, "ERROR: configuration error - config file error: no remote specified"),
        ("dvc pull", 253, "ERROR: you are not inside of a DVC repository"),
        ("dvc repro", 255, "ERROR: 'dvc.yaml' is invalid."),
    ],
)
def test_a_wrong_setting_of_dvc_does_not_pass(command, code, text):
    error = failure(command, code, text, LOG)
    assert isinstance(error, StageError)
    assert error.exit_code == 2


def test_only_the_tail_of_a_long_log_is_in_the_message():
    text = "".join(f"line {number}\n" for number in range(100)) + stage_said(1)
    message = str(failure("dvc repro", 255, text, LOG))
    assert "line 99" in message
    assert "line 80" not in message


def test_a_second_command_is_told_that_one_is_running(dvc):
    held = threading.Event()
    done = threading.Event()

    def hold():
        with dvc.alone():
            held.set()
            done.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(30)
    try:
        with pytest.raises(TransientError, match=r"repro.lock for 0 s. Wait until"):
            dvc.repro("x")
    finally:
        done.set()
        holder.join()


def test_a_patient_command_says_that_it_waits_and_then_runs(dvc):
    held = threading.Event()
    lines = []

    def hold():
        with dvc.alone():
            held.set()
            time.sleep(0.3)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(30)
    patient = Dvc(project=dvc.project, state=dvc.state, on_line=lines.append, patience=30)
    with patient.alone():
        assert not holder.is_alive() or holder.join() is None
    assert lines == ["Another run is at work on this project; waiting for it."]


def test_who_holds_the_lock_may_take_it_again(dvc):
    with dvc.alone(), dvc.alone():
        pass


def test_the_oldest_logs_make_room(dvc, monkeypatch):
    monkeypatch.setattr("pipelines.dvc.KEPT_LOGS", 3)
    (dvc.state / "logs").mkdir(parents=True)
    made = []
    for number in range(5):
        made.append(dvc._new_log(("repro", f"data/x {number}")))
        made[-1].touch()
    assert sorted((dvc.state / "logs").iterdir()) == made[-3:]
    assert made[-1].name.endswith("-repro-data-x-4.log")


def test_the_lock_is_let_go_after_an_error_even_if_somebody_still_has_its_object(dvc):
    dvc.state.mkdir()
    lock = FileLock((dvc.state / "repro.lock").resolve(), is_singleton=True)
    with pytest.raises(ZeroDivisionError), dvc.alone():
        math.sqrt(1 / (1 - lock.is_locked))
    assert not lock.is_locked


def test_a_project_runs_says_what_changed_and_maps_its_stages_code(project):
    script = project.project / "first.py"
    script.write_text("import os; open('first.txt', 'w').write('1'); print('made')")
    lines = []
    told = Dvc(project=project.project, state=project.state, on_line=lines.append)
    assert told.status() == ("first",)
    told.repro("first")
    assert "made" in lines
    assert told.status() == ()
    script.write_text("raise SystemExit(75)")
    with pytest.raises(TransientError, match="stage first met a transient error"):
        told.repro()


@pytest.mark.slow
def test_a_stopped_repro_leaves_no_process_and_the_next_one_runs(project):
    script = project.project / "first.py"
    script.write_text(
        "import pathlib, signal, sys, time\n"
        "def save(number, frame):\n"
        "    pathlib.Path('saved').touch()\n"
        "    sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, save)\n"
        "if not pathlib.Path('saved').exists():\n"
        "    print('training', flush=True)\n"
        "    time.sleep(600)\n"
        "pathlib.Path('first.txt').touch()\n"
    )

    def interrupt(line):
        if line == "training":
            os.kill(os.getpid(), signal.SIGINT)

    stopped = Dvc(project=project.project, state=project.state, on_line=interrupt)
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        stopped.repro()
    assert time.monotonic() - start < 60
    assert (project.project / "saved").exists()
    project.repro()
    assert (project.project / "first.txt").exists()
