"""Flow `reproduce`: groups of targets in order, and the results that are shown."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pasam.errors import StageError
from pipelines.dvc import STATE
from pipelines.flows import reproduce as flow
from pipelines.flows.reproduce import (
    GROUPS,
    dvc,
    outputs,
    reproduce,
    results,
)
from pipelines.flows.retrain import begin, finish, is_unfinished


@pytest.fixture
def steps(monkeypatch, in_empty_folder):
    """Names of what was done, with stand-ins for all tasks."""
    done = []
    monkeypatch.setattr(flow, "fetch", lambda hours: done.append("fetch"))
    monkeypatch.setattr(flow, "repro", lambda group, hours, folder: done.append(group))
    monkeypatch.setattr(flow, "show_results", lambda folder: done.append("show"))
    return done


def test_the_groups_run_in_order_and_the_results_are_shown(steps):
    assert reproduce().name == "reproduced"
    assert steps == ["data", "train", "evaluate", "report", "show"]


def test_what_others_have_made_is_fetched_first_if_asked(steps):
    reproduce(pull=True)
    assert steps[:2] == ["fetch", "data"]


def test_a_failed_group_ends_the_flow(steps, monkeypatch):
    def fail(group, hours, folder):
        steps.append(group)
        raise StageError("no")

    monkeypatch.setattr(flow, "repro", fail)
    with pytest.raises(StageError):
        reproduce()
    assert steps == ["data"]


def test_the_groups_name_every_stage_of_dvc_yaml_once(root):
    stages = yaml.safe_load((root / "dvc.yaml").read_text())["stages"]
    wanted = [name for name, stage in stages.items() if not stage.get("frozen")]
    named = [target for group in GROUPS.values() for target in group]
    assert sorted(named) == sorted(wanted), "add the stage to GROUPS in pipelines/flows/reproduce"


def test_unfinished_work_is_remembered_by_the_next_process(root, in_empty_folder):
    assert not is_unfinished()
    begin()
    code = "from pipelines.flows.retrain import is_unfinished; print(is_unfinished())"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={"PYTHONPATH": str(root)},
    )  # fmt: skip
    assert done.stdout == "True\n"
    finish()
    finish()
    assert not is_unfinished()


def test_dvc_waits_for_another_flow_as_long_as_a_command_may_take(in_empty_folder):
    ours = dvc(2)
    assert (ours.timeout, ours.patience, ours.project) == (7200, 7200, in_empty_folder)


def test_results_and_outputs_are_those_of_the_lock_that_are_there(in_empty_folder):
    stages = {"report": {"cmd": "x", "outs": [{"path": p, "md5": "0"} for p in ("a.md", "b.md")]}}
    Path("dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))
    Path("dvc.yaml").write_text("stages: {report: {cmd: x}}\n")
    Path("params.yaml").touch()
    Path("b.md").touch()
    Path("c.md").touch()
    assert results(".md") == [Path("b.md")]
    assert outputs("report") == [Path("b.md")]
    assert outputs("train") == []


def test_neither_git_nor_dvc_looks_at_the_flows_own_folder(root):
    assert f"/{STATE}/" in (root / ".gitignore").read_text().splitlines()
    assert f"{STATE}/" in (root / ".dvcignore").read_text().splitlines()
