"""From a stage's signature to its command line, parameters and exit code."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pasam.config.schema import (
    AblationsParams,
    HqSamParams,
    ModelsParams,
    PaSamParams,
    TrainParams,
    VariantParams,
)
from pasam.errors import DataError, TransientError
from pipelines.stage_runner import ended_with_dvc, run


@pytest.fixture(autouse=True)
def _restore_signal_handlers():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def params_file(root):
    return ["--params-file", str(root / "params" / "default.yaml")]


def test_sections_come_from_the_params_file_and_the_rest_from_flags(params_file):
    seen = {}

    def stage(train: TrainParams, model_path: Path, model: str, repeats: int) -> None:
        """Do something."""
        seen.update(train=train, model_path=model_path, model=model, repeats=repeats)

    run(stage, ["--model-path", "a/b.pt", "--model", "pa_sam", "--repeats", "3", *params_file])
    assert seen.pop("train").seed == 42
    assert seen == {"model_path": Path("a/b.pt"), "model": "pa_sam", "repeats": 3}


@pytest.mark.parametrize(("model", "cls"), [("hq_sam", HqSamParams), ("pa_sam", PaSamParams)])
def test_a_variant_is_the_entry_that_model_names(model, cls, params_file):
    seen = []

    def stage(variant: VariantParams, model: str) -> None:
        seen.append(variant)

    run(stage, ["--model", model, *params_file])
    assert isinstance(seen[0], cls)


def test_models_are_all_entries_by_their_names(params_file):
    seen = []

    def stage(models: ModelsParams) -> None:
        seen.append(models)

    run(stage, params_file)
    kinds = {name: type(variant) for name, variant in seen[0].items()}
    assert kinds.items() >= {"hq_sam": HqSamParams, "pa_sam": PaSamParams}.items()


def test_ablations_are_what_each_variant_changes_as_it_stands(params_file):
    seen = []

    def stage(ablations: AblationsParams) -> None:
        seen.append(ablations)

    run(stage, params_file)
    assert seen[0]["no_mining"] == {"of": "pa_sam", "change": {"mining": {"method": "none"}}}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: --manifest"),
        (["--manifest", "a", "--manifst", "b"], "unrecognized arguments: --manifst b"),
        (["--mani", "a"], "required: --manifest"),
    ],
)
def test_flags_are_required_and_never_guessed(arguments, message, capsys):
    def stage(manifest: Path) -> None:
        raise AssertionError

    with pytest.raises(SystemExit) as caught:
        run(stage, arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("error", "code"), [(DataError("bad"), 2), (TransientError("bad"), 75)])
def test_a_deliberate_error_is_one_line_and_its_exit_code(error, code, capsys):
    def stage() -> None:
        raise error

    with pytest.raises(SystemExit) as caught:
        run(stage, [])
    assert caught.value.code == code
    assert capsys.readouterr().err == "error: bad\n"


def test_a_wrong_params_file_stops_the_stage_before_it_starts(tmp_path, capsys):
    def stage(train: TrainParams) -> None:
        raise AssertionError

    (tmp_path / "params.yaml").write_text("train: {seeed: 1}\n")
    with pytest.raises(SystemExit) as caught:
        run(stage, ["--params-file", str(tmp_path / "params.yaml")])
    assert caught.value.code == 2
    assert re.search(r"error: .*unknown \['seeed'\]", capsys.readouterr().err)


def test_several_processes_are_refused_where_each_would_do_all_the_work(
    capsys, params_file, monkeypatch
):
    ran = []

    def score(model: str) -> None:
        ran.append(model)

    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(SystemExit) as ended:
        run(score, ["--model", "sam", *params_file])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "4 processes were started (WORLD_SIZE), and stage score runs in one" in line
    assert ran == []
    run(score, ["--model", "sam", *params_file], trains=True)
    monkeypatch.setenv("WORLD_SIZE", "1")
    run(score, ["--model", "hq_sam", *params_file])
    assert ran == ["sam", "hq_sam"]


def test_stages_that_train_and_no_others_may_be_started_by_torchrun(root):
    files = (root / "pipelines" / "stages").glob("[a-z]*.py")
    trains = {path.stem for path in files if "trains=True" in path.read_text(encoding="utf-8")}
    assert trains == {"train", "repeat", "ablate", "pretrain"}


def test_an_unexpected_error_is_one_line_and_its_traceback_is_in_a_file(capsys):
    def stage() -> None:
        raise ZeroDivisionError

    with pytest.raises(SystemExit) as ended:
        run(stage, [])
    said = capsys.readouterr().err
    assert (ended.value.code, said.count("\n")) == (70, 1)
    (kept,) = re.findall(r"report it with (\S+)\.$", said.strip())
    assert "raise ZeroDivisionError" in Path(kept).read_text()


STAGE = '''
import time
from pathlib import Path
from pipelines.stage_runner import run

def work(state: Path) -> None:
    """Work until stopped, then save."""
    state.write_text("started")
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        state.write_text("saved")
        raise

run(work)
'''


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_stage_saves_its_state_and_leaves_quietly(number, code, tmp_path, root):
    state = tmp_path / "state"
    process = subprocess.Popen(
        [sys.executable, "-c", STAGE, "--state", str(state)],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(root)},
    )
    deadline = time.monotonic() + 30
    while not (state.exists() and state.read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, state.read_text(), errors) == (code, "saved", "")


def test_a_full_disk_is_named_as_that_in_one_line(capsys, params_file):
    def stage(path: Path) -> None:
        try:
            raise OSError(28, "No space left on device", str(path))
        except OSError as error:
            raise RuntimeError("the library's own words") from error

    with pytest.raises(SystemExit) as ended:
        run(stage, ["--path", "a/b", *params_file])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: the disk is full, while a/b was written.")


ORPHAN = """
import os, pathlib, sys, time
sys.path.insert(0, sys.argv[1])
from pipelines.stage_runner import exit_codes, ended_with_dvc
pathlib.Path("stage.pid").write_text(str(os.getpid()))
with exit_codes(), ended_with_dvc(pause=0.1):
    try:
        time.sleep(120)
    finally:
        pathlib.Path("saved").touch()
"""


def wait_until(happened, seconds=60):
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.slow  # it waits for what was killed
def test_a_training_whose_dvc_was_killed_saves_its_state_and_ends(root, in_empty_folder):
    Path("stage.py").write_text(ORPHAN)
    Path("dvc.yaml").write_text(
        f"stages:\n  train:\n    cmd: {sys.executable} stage.py {root}\n    always_changed: true\n"
    )
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "init", "--no-scm", "--quiet"], check=True)
    repro = subprocess.Popen([*dvc, "repro"], start_new_session=True)
    wait_until(Path("stage.pid").exists)
    wait_until(lambda: Path("stage.pid").read_text())
    stage = psutil.Process(int(Path("stage.pid").read_text()))
    time.sleep(1)  # it has to have looked for its DVC
    repro.kill()
    repro.wait(10)
    wait_until(lambda: not stage.is_running() or stage.status() == psutil.STATUS_ZOMBIE, 30)
    assert Path("saved").exists()


def test_a_stage_that_a_person_started_runs_to_its_end():
    with ended_with_dvc(pause=0.01):
        time.sleep(0.1)


@pytest.mark.parametrize(
    "door", ["pipelines.flows stage_apart --local", "pipelines.stages.prepare"]
)
def test_another_python_is_told_where_the_projects_own_is(root, door):
    command = [sys.executable, "-S", "-m", *door.split()]  # bare
    done = subprocess.run(
        command, cwd=root, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"{sys.executable}, Python 3." in line
    assert re.search("lacks (pydantic|torch|psutil);", line)
    assert ".venv/bin/activate" in line
