"""The commands `pasam registry`, as a person types them."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest
from small_world import write_yaml
from tracked_world import KEPT, git, leave_servers, place_store
from typer.testing import CliRunner

from pasam.cli.app import app
from pasam.config.presets import compose
from pasam.errors import RegistryError
from pasam.registry import promotion
from pasam.registry.gate import REJECT, GateCheck, GateDecision
from pasam.registry.transitions import PromotionResult, open_decisions
from pasam.registry.versions import NAME, Version, open_registry

COMMANDS = (
    "list", "show", "lineage", "promote", "reject", "lift", "rollback", "gate", "log", "check",
    "reproduce", "simulate", "claim",
)  # fmt: skip
VERSIONS = [
    Version(
        number=2, aliases=("champion",), run_id="r2", created=2,
        tags={
            "pasam.status": "accepted", "pasam.model": "pa_sam", "git.commit": "c0ffee" * 7,
            "scores.mbiou": '{"mean": 61.25}', "pasam.weights": "generated data",
            "gate.decision": "promote", "gate.reasons": "gain +2.0; floor", "git.dirty": "false",
            "seed": "42",
        },
    ),
    Version(
        number=1, aliases=(), run_id="r1", created=1,
        tags={"pasam.weights": "real", "git.dirty": "true"},
    ),
]  # fmt: skip


class Registry:
    def versions(self):
        return VERSIONS

    def version(self, which):
        return VERSIONS[0] if which in ("2", "champion") else VERSIONS[1]


@pytest.fixture
def pasam(monkeypatch, in_empty_folder):
    monkeypatch.setattr("pasam.registry.store.is_begun", lambda project: True)
    for way in ("versions.open_registry", "upkeep.shown_in_file.shown_versions"):
        monkeypatch.setattr(f"pasam.registry.{way}", lambda project: Registry())
    return lambda *arguments: CliRunner().invoke(app, ("registry", *arguments))


def test_the_list_shows_aliases_status_scores_and_what_is_unreal(pasam):
    first, second = pasam("list").output.splitlines()
    assert first.split() == [
        "2", "champion", "accepted", "pa_sam", "boundary", "IoU", "61.25", "c0ffeec0ff",
        "seed", "42", "generated", "data",
    ]  # fmt: skip
    assert second.split() == [
        "1", "-", "registered", "-", "boundary", "IoU", "-", "cannot", "be", "made",
        "again:", "of", "uncommitted", "changes",
    ]  # fmt: skip
    listed = json.loads(pasam("list", "--json").output)
    assert [v["number"] for v in listed] == [2, 1]
    assert [v["not_again"] for v in listed] == [None, "of uncommitted changes"]


def test_a_version_is_shown_with_the_gates_reasons(pasam):
    output = pasam("show").output
    assert "gate.decision  promote" in output
    assert [line.strip() for line in output.splitlines()[-2:]] == ["gain +2.0", "floor"]
    assert json.loads(pasam("show", "1", "--json").output)["number"] == 1


def test_lineage_leaves_the_gate_out(pasam):
    words = json.loads(pasam("lineage", "2", "--json").output)
    assert words["mlflow.run_id"] == "r2"
    assert words["git.dirty"] == "false"
    assert not any(name.startswith("gate.") for name in words)
    assert "git.dirty" in pasam("lineage", "2").output


def test_a_refused_candidate_is_exit_code_1_with_every_reason(pasam, monkeypatch, tmp_path):
    failed = GateCheck(name="gain", passed=False, reason="mean: gain +0.10")
    verdict = GateDecision(decision=REJECT, checks=(failed,), mean_score=50.0, scores={}, gains={})
    page = tmp_path / "v.html"
    refused = PromotionResult(
        version=3, promoted=False, moved=False, gate=verdict, page=page, message="version 3 no",
        seed="42",
    )  # fmt: skip
    monkeypatch.setattr(promotion, "promote", lambda project, which, **options: refused)
    result = pasam("promote")
    assert result.exit_code == 1
    seed = "Scores are of this version's seed 42 alone; Table 1 has the mean over seeds."
    assert result.output == f"version 3 no\n  mean: gain +0.10\n{seed}\nVerdict: {page}\n"
    words = json.loads(pasam("promote", "--json").output)
    assert (words["decision"], words["promoted"]) == ("reject", False)
    good = dataclasses.replace(refused, promoted=True, gate=None, page=None)
    monkeypatch.setattr(promotion, "promote", lambda project, which, **options: good)
    assert pasam("promote").exit_code == 0
    barred = dataclasses.replace(refused, gate=None, message="version 3 has bytes that are barred")
    monkeypatch.setattr(promotion, "promote", lambda project, which, **options: barred)
    assert pasam("promote").exit_code == 1


def test_it_is_said_before_a_promotion_that_nobody_could_make_it_again(
    pasam, monkeypatch, in_empty_folder
):
    def promote(project, which, **options):
        raise RegistryError("judged")

    monkeypatch.setattr(promotion, "promote", promote)
    git(in_empty_folder, "init", "--quiet")
    for name in ("a.py", "b.py"):
        (in_empty_folder / name).touch()
    result = pasam("promote", "--allow-local")
    assert result.output.startswith("note: a.py and 1 more differ from the commit, so what comes")
    assert not pasam("promote", "2", "--why", "again").output.startswith("note")


@pytest.mark.parametrize(
    "arguments",
    [
        ("rollback", "--why", " "),
        ("reject", "1", "--why", ""),
        ("promote", "1"),
        ("lift", "1", "--why", " "),
        ("gate", "--adopt"),
    ],
)
def test_what_changes_the_champion_by_hand_needs_a_reason(arguments, pasam):
    result = pasam(*arguments)
    assert result.exit_code == 2
    assert "a reason is needed for the log" in result.stderr


def test_the_simulation_reads_the_gate_in_place(pasam, root, in_empty_folder):
    params = compose("default", root / "params")
    params["gate"] |= {"n_resamples": 200, "attempts": 3}
    write_yaml(in_empty_folder / "params.yaml", params)
    found = json.loads(pasam("simulate", "--images", "20", "--pairs", "50", "--json").output)
    assert found["judgements"][0]["name"] == "equal models"
    assert found["judgements"][4]["name"].startswith("any of 3 candidates")
    assert found["years"]["promotions"] >= 0
    assert "promotions a year" in pasam("simulate", "--images", "20", "--pairs", "5").output


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example(command, pasam):
    assert f"Example: pasam registry {command}" in pasam(command, "--help").output


@pytest.fixture
def decided(tmp_path, mlflow_tables, monkeypatch):
    """The current folder: a repository whose log knows two versions, of which 2 is champion."""
    leave_servers(monkeypatch)
    monkeypatch.chdir(tmp_path)
    place_store(mlflow_tables, tmp_path)
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    registry = open_registry(tmp_path)
    for number in (1, 2):
        registry.client.create_model_version(NAME, f"file:///nowhere/{number}")
    registry.set_alias("champion", 2)
    registry.set_alias("previous", 1)
    open_decisions(tmp_path)
    return registry


def test_decisions_are_shown_with_who_and_why(decided):
    run = lambda *words: CliRunner().invoke(app, ("registry", *words))  # noqa: E731
    assert run("rollback", "--why", "halos at night").exit_code == 0
    shown = run("show", "2").output
    assert re.search(r"may not be promoted +rollback; entry .*: halos at night; `pasam reg", shown)
    assert "came back when version 2 was rolled back" in run("show").output
    assert "version 2 may be judged again" in run("lift", "2", "--why", "it was the lens").output
    lines = run("log").output.splitlines()
    assert "rollback 2" in lines[-2]
    assert "champion 2 -> 1" in lines[-2]
    assert "halos at night" in lines[-2]
    assert " on " in lines[-2]
    entries = json.loads(run("log", "--json").output)
    assert [entry["event"] for entry in entries[-2:]] == ["rollback", "lift"]
    assert {"who", "host", "clone", "commit", "flow_run"} <= set(entries[-1]["by"])
    assert run("gate").output.startswith("None yet")


def test_a_difference_is_named_mended_and_a_code_of_its_own(decided):
    run = lambda *words: CliRunner().invoke(app, ("registry", *words))  # noqa: E731
    decided.set_alias("champion", 1)
    line = "MLflow's alias 'champion' points to 1, the log says 2"
    assert line in run("list").stderr
    result = run("check")
    assert result.exit_code == 2
    assert f"differs  {line}" in result.output
    assert f"mended   {line}" in run("check", "--repair").output
    assert decided.aliases()["champion"] == 2


@pytest.mark.parametrize("command", ["list", "show champion", "lineage 1", "log"])
def test_who_only_reads_leaves_nothing_behind_where_only_the_log_is(command, decided):
    for path in sorted(Path("mlruns").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    CliRunner().invoke(app, ("registry", *command.split()))
    assert not list(Path("mlruns").rglob("*.db"))


def track_pasam(*arguments):
    return CliRunner().invoke(app, arguments)


def test_results_are_recorded_once_and_shown(tracked):
    first = track_pasam("track", "sync")
    assert first.exit_code == 0, first.output
    assert first.output.startswith(f"{len(KEPT)} recorded now, 0 before, in sqlite:///")
    again = json.loads(track_pasam("track", "sync", "--json").output)
    assert again["new"] == []
    assert "not recorded" not in track_pasam("track", "show").output
    rows = json.loads(track_pasam("track", "show", "--json").output)
    assert {row["stage"]: row["run"] for row in rows} == again["runs"]


def test_a_missing_file_is_named_with_what_to_run(tracked):
    tracked.path("data/adapters/pa_sam.safetensors").unlink()
    output = track_pasam("track", "sync").output
    assert "missing  train@pa_sam: data/adapters/pa_sam.safetensors is not there" in output
    assert "Record what is missing with `pasam track sync`" in track_pasam("track", "show").output


def test_without_a_lock_it_is_one_line_and_exit_code_2(in_empty_folder):
    result = track_pasam("track", "sync")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: dvc.lock does not exist: nothing has run yet.")
