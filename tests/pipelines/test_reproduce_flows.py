"""Flows `reproduce` and `ablate`: groups of targets in order, another preset for a while."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pasam.config.presets import compose_text
from pasam.errors import DataError, ParamsError, StageError
from pipelines.dvc import STATE
from pipelines.flows import reproduce as flow
from pipelines.flows.reproduce import (
    GROUPS,
    ablate,
    dvc,
    keep_report,
    outputs,
    reproduce,
    results,
    size_in_place,
)
from pipelines.flows.retrain import begin, finish, is_unfinished


@pytest.fixture
def steps(monkeypatch, in_empty_folder):
    """Names of what was done, with stand-ins for all tasks."""
    done = []
    monkeypatch.setattr(flow, "fetch", lambda hours: done.append("fetch"))
    monkeypatch.setattr(flow, "repro", lambda group, hours: done.append(group))
    monkeypatch.setattr(flow, "show_results", lambda: done.append("show"))
    return done


def test_the_groups_run_in_order_and_the_results_are_shown(steps):
    assert reproduce().name == "reproduced"
    assert steps == ["data", "train", "evaluate", "report", "show"]


def test_what_others_have_made_is_fetched_first_if_asked(steps):
    reproduce(pull=True)
    assert steps[:2] == ["fetch", "data"]


def test_a_failed_group_ends_the_flow(steps, monkeypatch):
    def fail(group, hours):
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


OWN = "repeats: {models: []}  # my own\n"
GRAPH = "stages: {train: {cmd: make}, repeat: {foreach: '${repeats.models}', do: {cmd: make}}}\n"


@pytest.fixture
def project(root, in_empty_folder):
    """A current folder with the repository's sizes."""
    Path("params").mkdir()
    for path in (root / "params").glob("*.yaml"):
        (Path("params") / path.name).write_bytes(path.read_bytes())
    Path("params.yaml").write_text(OWN)
    Path("dvc.yaml").write_text(GRAPH)
    Path("dvc.lock").write_text(lock_of("train"))
    return in_empty_folder


def lock_of(*stages):
    """A lock in which every stage makes a file of its name."""
    entry = "  {0}:\n    cmd: make\n    outs:\n    - path: {0}.parquet\n      md5: '1'\n"
    return "schema: '2.0'\nstages:\n" + "".join(entry.format(name) for name in stages)


def smoke():
    return compose_text("smoke")


def test_the_present_params_come_back_whatever_happens(project):
    def interrupted():
        with size_in_place("smoke"):
            assert Path("params.yaml").read_text() == smoke()
            raise KeyboardInterrupt

    pytest.raises(KeyboardInterrupt, interrupted)
    assert Path("params.yaml").read_text() == OWN
    left = {"dvc.lock", "dvc.yaml", "params", "params.yaml"}
    assert {path.name for path in project.iterdir()} == left


def test_what_only_the_study_has_made_is_gone_after_it(project):
    Path("train.parquet").touch()
    with size_in_place("smoke"):
        Path("dvc.lock").write_text(lock_of("train", "repeat@pa_sam"))
        Path("repeat@pa_sam.parquet").touch()
    assert Path("dvc.lock").read_text() == lock_of("train")
    assert Path("train.parquet").exists()
    assert not Path("repeat@pa_sam.parquet").exists()


def test_without_a_run_to_come_back_to_nothing_changes(project):
    Path("dvc.lock").unlink()
    with pytest.raises(DataError, match="nothing has run yet"), size_in_place("smoke"):
        pass
    assert Path("params.yaml").read_text() == OWN


def test_an_unknown_size_changes_nothing(project):
    with pytest.raises(ParamsError, match="there is no preset 'huge'"), size_in_place("huge"):
        pass
    assert Path("params.yaml").read_text() == OWN


def test_the_study_is_reproduced_kept_and_left_again(project, monkeypatch):
    done = []

    def note(step):
        return lambda *args, **kwargs: done.append((step, Path("params.yaml").read_text()))

    monkeypatch.setattr(flow, "reproduce", note("reproduce"))
    monkeypatch.setattr(flow, "keep_report", note("keep"))
    monkeypatch.setattr(flow, "repro", note("repro"))
    assert ablate(size="smoke").name == "studied"
    assert done[:2] == [("reproduce", smoke()), ("keep", smoke())]
    assert set(done[2:]) == {("repro", OWN)}


def test_the_kept_report_is_this_studys_alone_and_has_its_folders(project, monkeypatch):
    Path("out/plots").mkdir(parents=True)
    Path("out/table.md").touch()
    Path("out/plots/a.csv").touch()
    made = {"report": [Path("out/table.md"), Path("out/plots")]}
    monkeypatch.setattr(flow, "outputs", made.__getitem__)
    stale = Path(".flows/results/smoke/out/old.md")
    stale.parent.mkdir(parents=True)
    stale.touch()
    folder = keep_report("smoke")
    kept = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*"))
    assert kept == ["out/plots/a.csv", "out/table.md"]


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
