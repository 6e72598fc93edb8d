"""What flows keep between runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml

from pipelines.flows.workspace import STATE, begin, dvc, finish, is_unfinished, outputs, results


def test_unfinished_work_is_remembered_by_the_next_process(root, in_empty_folder):
    assert not is_unfinished()
    begin()
    code = "from pipelines.flows.workspace import is_unfinished; print(is_unfinished())"
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
