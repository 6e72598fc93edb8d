"""An interrupted training, run again, ends as if nothing had happened."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_world import dump_yaml
from tracked_world import commit, git

from pasam.registry.upkeep.cleaning import _Cleaner, _needed_objects
from pasam.training.resume import JsonlSink

TOO_LONG = 180  # seconds

TRAINING = """
import sys, time
from small_world import small_base
import pasam.models.build
from pasam.training.resume import Checkpointer
from pipelines.stage_runner import run
from pipelines.stages.train import train

pasam.models.build.build_base = small_base
save = Checkpointer.save

def save_and_wait(self, state):
    save(self, state)
    time.sleep(600)

Checkpointer.save = save_and_wait
run(train, sys.argv[1:])
"""


@pytest.fixture
def rows_written(monkeypatch):
    """Rows that are added to histories, in this process."""
    written = []
    append = JsonlSink.append

    def count(sink, row):
        written.append(row)
        append(sink, row)

    monkeypatch.setattr(JsonlSink, "append", count)
    return written


@pytest.fixture
def interrupted(own_world, monkeypatch):
    """Run a stage and interrupt it when it is about to write the second row of its history."""
    append = JsonlSink.append

    def interrupt(sink, row):
        if sink.rows:
            raise KeyboardInterrupt
        append(sink, row)

    def run(stage):
        with monkeypatch.context() as patch:
            patch.setattr(JsonlSink, "append", interrupt)
            with pytest.raises(SystemExit) as caught:
                own_world.run(stage)
        assert caught.value.code == 130
        return own_world

    return run


@pytest.mark.long
@pytest.mark.parametrize(
    "stage",
    [pytest.param("train@hq_sam", marks=pytest.mark.slow), "train@pa_sam", "pretrain"],
)
def test_a_training_goes_on_where_it_was_interrupted(stage, world, interrupted, rows_written):
    left = interrupted(stage)
    assert [path.name for path in left.path("data/resume").rglob("*.pt")] == ["state.pt"]
    rows_written.clear()
    left.run(stage)
    assert len(rows_written) == 1  # the first of two was not trained again
    assert left.contents(stage) == world.contents(stage)
    assert not any(left.path("data/resume").iterdir())


@pytest.mark.long
def test_the_state_of_other_params_is_left_alone(world, interrupted, rows_written):
    left = interrupted("train@hq_sam")
    left.change("train", seed=43)
    rows_written.clear()
    left.run("train@hq_sam")
    assert len(rows_written) == 2
    assert left.contents("train@hq_sam") != world.contents("train@hq_sam")


def test_a_damaged_state_stops_the_training_in_one_line(interrupted, capsys):
    left = interrupted("train@hq_sam")
    (state,) = left.path("data/resume").rglob("state.pt")
    content = bytearray(state.read_bytes())
    content[len(content) // 2] ^= 4
    state.write_bytes(content)
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        left.run("train@hq_sam")
    said = capsys.readouterr().err
    assert caught.value.code == 2
    assert said.count("\n") == 1
    assert f"{state.name} is damaged" in said


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 143)])
def test_a_killed_process_loses_no_more_than_an_epoch(
    number, code, root, world, own_world, rows_written
):
    own_world.remove_outs("train@pa_sam")
    process = subprocess.Popen(
        [sys.executable, "-c", TRAINING, *own_world.stages["train@pa_sam"].arguments],
        cwd=own_world.folder,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": f"{root}{os.pathsep}{root / 'tests'}"},
    )
    deadline = time.monotonic() + TOO_LONG
    while not list(own_world.path("data/resume").rglob("state.pt")):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    _, errors = process.communicate(timeout=TOO_LONG)
    assert (process.returncode, errors) == (code, "")
    own_world.run("train@pa_sam")
    assert len(rows_written) == 1
    assert own_world.contents("train@pa_sam") == world.contents("train@pa_sam")


def test_what_kills_have_left_is_found_for_a_user_without_a_name_too(tmp_path, monkeypatch):
    def nameless(number):  # as in a container
        raise KeyError(number)

    monkeypatch.setattr("pwd.getpwuid", nameless)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "none"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / ".x.part").touch()
    cleaner = _Cleaner(project=tmp_path, decisions=None, keep=1, dry_run=True)
    assert [Path(each.name).name for each in cleaner.drafts(time.time() + 9)] == [".x.part"]


def test_what_a_study_that_was_cut_short_has_made_stays_in_the_cache(tmp_path):
    project, study = tmp_path / "project", tmp_path / "study"
    project.mkdir()
    (project / "a").touch()
    commit(project, push=False)
    git(project, "worktree", "add", "--quiet", "--detach", str(study))
    made = {"cmd": "x", "outs": [{"path": "weights", "md5": "5" * 32}]}
    (study / "dvc.lock").write_text(dump_yaml({"schema": "2.0", "stages": {"train": made}}))
    assert _needed_objects(project, ["HEAD"]) == {"5" * 32}
