"""The commands `pasam registry`, as a person types them."""

from __future__ import annotations

import dataclasses
import importlib
import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from small_world import write_yaml
from tracked_world import KEPT, git, leave_servers, place_store
from typer.testing import CliRunner

from pasam.cli import registry
from pasam.cli.app import app
from pasam.config.presets import compose
from pasam.errors import RegistryError
from pasam.registry import promotion
from pasam.registry.decision_log import Entry
from pasam.registry.gate import REJECT, GateCheck, GateDecision
from pasam.registry.transitions import (
    PromotionResult,
    RegistryCheck,
    Transition,
    open_decisions,
)
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
    for way in ("versions.open_registry", "versions.shown_versions"):
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
        ("promote", "1", "--to", "staging"),
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


class ReachedError(RegistryError):
    """A command has called what it is for."""


P = Path("p")


@pytest.mark.parametrize(
    ("words", "function", "given"),
    [
        ("registry promote", "promotion.promote",
         ((Path(), None), {"to": "production", "allow_local": False, "why": ""})),
        ("registry promote 3 --to staging --allow-local --why w --project p", "promotion.promote",
         ((P, "3"), {"to": "staging", "allow_local": True, "why": "w"})),
        ("registry reject 3 --why w --project p", "transitions.reject", ((P, "3"), {"why": "w"})),
        ("registry lift 3 --why w --project p", "transitions.lift", ((P, "3"), {"why": "w"})),
        ("registry rollback --why w --project p", "transitions.rollback", ((P,), {"why": "w"})),
        ("registry gate --adopt --why w --project p", "promotion.set_gate", ((P,), {"why": "w"})),
        ("registry check --project p", "transitions.check", ((P,), {"repair": False})),
        ("registry check --repair", "transitions.check", ((Path(),), {"repair": True})),
        ("registry verify --project p", "load.verify_versions", ((P, None), {})),
        ("registry verify 2", "load.verify_versions", ((Path(), "2"), {})),
        ("registry claim --project p", "upkeep.claims.claim", ((P, None), {})),
        ("registry claim --against 2", "upkeep.claims.claim", ((Path(), "2"), {})),
        ("verify-cache --project p", "upkeep.damaged_cache.damaged_cache", ((P,), {})),
        ("track sync --project p --flow-run r", "runs.sync", ((P,), {"flow_run": "r"})),
        ("track sync", "runs.sync", ((Path(),), {"flow_run": None})),
        ("track show --project p", "runs.overview", ((P,), {})),
        ("clean", "upkeep.cleaning.clean",
         ((Path(),), {"keep": 10, "days": 30, "dry_run": False})),
        ("clean --dry-run --keep 2 --days 3 --project p", "upkeep.cleaning.clean",
         ((P,), {"keep": 2, "days": 3, "dry_run": True})),
        ("backup b.tar --project p", "upkeep.backup.back_up", ((P, Path("b.tar")), {})),
        ("restore b.tar q", "upkeep.backup.restore", ((Path("b.tar"), Path("q")), {})),
    ],
)  # fmt: skip
def test_every_option_of_a_command_reaches_what_it_is_for(
    words, function, given, monkeypatch, in_empty_folder
):
    def reach(*arguments, **options):
        assert (arguments, options) == given
        raise ReachedError("as it was typed")

    monkeypatch.setattr("pasam.registry.store.is_begun", lambda project: True)
    importlib.import_module(f"pasam.registry.{function.rpartition('.')[0]}")
    monkeypatch.setattr(f"pasam.registry.{function}", reach)
    result = CliRunner().invoke(app, words.split())
    assert result.exit_code == 2, result.output
    assert result.stderr == "error: as it was typed\n"


@pytest.mark.parametrize("cached", [False, True])
def test_a_reproduction_is_planned_for_its_folder_and_done_there_or_refused(
    cached, pasam, monkeypatch, tmp_path
):
    from pasam.registry import reproduction

    seen = []
    plan = SimpleNamespace(text=lambda: "plan", files=(("a", "0"),), problems=("x",), version=2)
    monkeypatch.setattr(
        reproduction, "plan_reproduction", lambda *given, **how: seen.append((given, how)) or plan
    )
    monkeypatch.setattr(
        reproduction, "reproduce", lambda *given, **how: seen.append((given, how)) or ["same"]
    )
    refused = pasam("reproduce", "2")
    assert refused.exit_code == 2
    assert "version 2 cannot be made again: x" in refused.stderr
    assert seen == [((Path(), VERSIONS[0]), {"folder": ""})]
    seen.clear()
    done = pasam("reproduce", "2", "--into", tmp_path, *["--cached"] * cached)
    assert done.stdout == "plan\n# a: sha256 0\nsame\n"
    assert seen == [
        ((Path(), VERSIONS[0]), {"folder": str(tmp_path)}),
        ((Path(), plan, tmp_path), {"cached": cached}),
    ]
    real = reproduction.Reproduction(version=2, commands=(), files=(("a", "0"),), problems=())
    monkeypatch.setattr(reproduction, "plan_reproduction", lambda *given, **how: real)
    told = pasam("reproduce", "2", "--into", tmp_path, "--json")
    assert json.loads(told.stdout)["files"] == [["a", "0"]], "the steps are no part of it"
    assert told.stderr == "same\n"


def test_a_simulation_is_of_so_many_images_spread_and_pairs(pasam, monkeypatch, root):
    from pasam.registry import gate

    seen = []

    def simulated(settings, sizes, **how):
        seen.append((sizes, how))
        return [] if "pairs" in how else gate.SimulatedYears(
            promotions=1.0, gain=2.0, judged_excess=3.0, sealed_excess=4.0
        )  # fmt: skip

    monkeypatch.setattr(gate, "simulate", simulated)
    monkeypatch.setattr(gate, "simulate_years", simulated)
    write_yaml(Path("params.yaml"), compose("default", root / "params"))
    words = ("--images", "20", "--spread", "8", "--pairs", "50", "--json")
    years = json.loads(pasam("simulate", *words).output)["years"]
    assert years == {"promotions": 1, "gain": 2, "judged_excess": 3, "sealed_excess": 4}
    (sizes, pairs), (again, spread) = seen
    assert set(sizes.values()) == {20}
    assert len(sizes) > 2
    assert (again, pairs, spread) == (sizes, {"std": 8, "pairs": 50}, {"std": 8, "years": 10})
    assert pasam("simulate", "--pairs", "4", "--json").exit_code == 0
    assert seen[-1][1] == {"std": 6, "years": 1}


def test_files_that_are_not_whole_are_a_code_of_their_own(pasam, monkeypatch):
    found = {1: "", 2: "adapter.safetensors differs"}
    monkeypatch.setattr("pasam.registry.load.verify_versions", lambda *given: found)
    result = pasam("verify")
    assert (result.exit_code, result.output) == (
        2, "version 1: whole\nversion 2: adapter.safetensors differs\n"
    )  # fmt: skip
    found[2] = ""
    assert pasam("verify", "--json").exit_code == 0


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


def test_decisions_are_shown_with_who_and_why(decided, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    run = lambda *words: CliRunner().invoke(app, ("registry", *words))  # noqa: E731
    reason = "halos at night " * 12
    assert run("rollback", "--why", reason).exit_code == 0
    shown = run("show", "2").output
    assert re.search(
        r"may not be promoted +rollback; entry .*: halos at night .*; `pasam reg", shown
    )
    assert "came back when version 2 was rolled back" in run("show").output
    assert "version 2 may be judged again" in run("lift", "2", "--why", "it was the lens").output
    head, *why, lift, lens = run("log").output.splitlines()[-5:]
    assert "rollback 2" in head
    assert "champion 2 -> 1" in head
    assert " on " in head
    assert " ".join(line.strip() for line in why) == reason.strip()  # below it, in short lines
    assert all(line.startswith("      ") and len(line) <= 100 for line in why)
    assert ("lift 2" in lift, lens.strip()) == (True, "it was the lens")
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


@pytest.mark.long
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


def entry(number, event, version=None, **more):
    by = {"who": "Ada", "host": "h", "flow_run": more.pop("flow_run", "")}
    return Entry(
        event=event, version=version, number=number, time=f"2026-05-0{number}T10:11:12", by=by,
        **more,
    )  # fmt: skip


def logged(monkeypatch, *entries):
    monkeypatch.setattr(
        "pasam.registry.decision_log.DecisionLog",
        lambda project: SimpleNamespace(read=lambda: entries),
    )


def test_the_log_has_a_line_for_each_decision_with_what_it_moved_and_what_ran_it(
    pasam, monkeypatch
):
    logged(
        monkeypatch,
        entry(1, "gate", details={"changed": ["margin 2 -> 1", "seed 0 -> 1"]}, why="more images"),
        entry(2, "promote", 3, before=1, after=3, flow_run="f7"),
        entry(3, "reject", 1, before=3, after=3),
    )
    lines = pasam("log").output.splitlines()
    assert [" ".join(line.split()) for line in lines] == [
        "1 2026-05-01T10:11 gate Ada on h margin 2 -> 1, seed 0 -> 1", "more images",
        "2 2026-05-02T10:11 promote 3 champion 1 -> 3 Ada on h, flow run f7",
        "3 2026-05-03T10:11 reject 1 Ada on h",
    ]  # fmt: skip
    logged(monkeypatch)
    assert pasam("log").output == "Nothing was decided yet.\n"


def test_versions_are_completed_by_alias_and_by_number_in_their_order(monkeypatch):
    numbers = (10, 9, None, 10, 1)
    logged(monkeypatch, *(entry(1, "register", number) for number in numbers))
    assert registry.complete_version("") == [*registry.REGISTERED, "1", "9", "10"]
    assert registry.complete_version("1") == ["1", "10"]
    assert registry.complete_version("ca") == ["candidate"]

    def fails(project):
        raise RegistryError("no repository")

    monkeypatch.setattr("pasam.registry.decision_log.DecisionLog", fails)
    assert set(registry.complete_version("c")) == {"champion", "candidate"}


@pytest.mark.parametrize(
    ("words", "function", "found", "line", "content"),
    [
        ("reject 3 --why w", "transitions.reject", SimpleNamespace(number=3),
         "version 3 is rejected: w", {"version": 3, "status": "rejected", "why": "w"}),
        ("lift 3 --why w", "transitions.lift", SimpleNamespace(number=3),
         "version 3 may be judged again: w",
         {"version": 3, "status": "may be judged again", "why": "w"}),
        ("rollback --why w", "transitions.rollback",
         Transition(to=1, champion=2, previous=None, why="w"),
         "version 1 is champion again; version 2 is rolled back: w",
         {"to": 1, "champion": 2, "previous": None, "why": "w"}),
        ("gate --adopt --why w", "promotion.set_gate", True,
         "in force from the next judgement on", {"changed": True}),
        ("gate --adopt --why w", "promotion.set_gate", False, "in force already",
         {"changed": False}),
        ("check", "transitions.check", RegistryCheck(found=(), left=()),
         "MLflow shows what the log of decisions says.", {"found": [], "left": []}),
    ],
)  # fmt: skip
def test_what_a_command_has_done_is_said_in_a_line_and_as_json(
    words, function, found, line, content, pasam, monkeypatch
):
    importlib.import_module(f"pasam.registry.{function.rpartition('.')[0]}")
    monkeypatch.setattr(f"pasam.registry.{function}", lambda *given, **how: found)
    assert pasam(*words.split()).output == f"{line}\n"
    assert json.loads(pasam(*words.split(), "--json").output) == content


def test_the_gate_in_force_is_shown_with_who_adopted_it(pasam, monkeypatch):
    standing = SimpleNamespace(
        gate=entry(4, "gate", why="more images", details={"settings": {"margin": 1.0, "seed": 7}})
    )
    monkeypatch.setattr(
        "pasam.registry.transitions.open_decisions",
        lambda project: SimpleNamespace(standing=standing),
    )
    assert pasam("gate").output.splitlines() == [
        "entry 4, 2026-05-04, Ada: more images", "  margin: 1.0", "  seed: 7"
    ]  # fmt: skip
    assert json.loads(pasam("gate", "--json").output) == {"margin": 1.0, "seed": 7}
    standing.gate = None
    assert json.loads(pasam("gate", "--json").output) == {}


@pytest.mark.parametrize(
    ("words", "found", "left", "code", "lines"),
    [
        ((), ("a", "b"), ("a", "b"), 2, ["differs  a", "differs  b"]),
        (("--repair",), ("a", "b"), ("b",), 2, ["mended   a", "differs  b"]),
        (("--repair",), ("a", "b"), (), 0, ["mended   a", "mended   b"]),
    ],
)  # fmt: skip
def test_a_check_ends_well_only_if_nothing_is_left(
    words, found, left, code, lines, pasam, monkeypatch
):
    monkeypatch.setattr(
        "pasam.registry.transitions.check",
        lambda project, repair: RegistryCheck(found=found, left=left),
    )
    result = pasam("check", *words)
    assert (result.exit_code, result.output.splitlines()) == (code, lines)
    assert pasam("check", *words, "--json").exit_code == code


@pytest.mark.parametrize(("promoted", "accepted", "code"), [
    (True, False, 0), (False, True, 0), (False, False, 1),
])  # fmt: skip
def test_a_dry_run_that_accepts_ends_well(promoted, accepted, code, pasam, monkeypatch):
    gate = SimpleNamespace(accepted=accepted, reasons=(), decision="d")
    outcome = PromotionResult(
        version=3, promoted=promoted, moved=False, gate=gate, page=None, message="said"
    )
    monkeypatch.setattr(promotion, "promote", lambda project, which, **options: outcome)
    assert pasam("promote").exit_code == code


def test_a_simulation_says_where_more_images_are_needed(pasam, monkeypatch, root):
    from pasam.registry import gate

    rows = [
        gate.Simulated(name=name, holds=holds, promoted=0.25, expected="at most 5%")
        for name, holds in (("equal", True), ("better", False))
    ]
    years = gate.SimulatedYears(promotions=1.25, gain=2.0, judged_excess=3.0, sealed_excess=-0.125)
    monkeypatch.setattr(gate, "simulate", lambda *given, **how: rows)
    monkeypatch.setattr(gate, "simulate_years", lambda *given, **how: years)
    write_yaml(Path("params.yaml"), compose("default", root / "params"))
    equal, better, last = pasam("simulate").output.splitlines()
    assert equal == "equal   promoted  25.0%  (at most 5%)"
    assert better == "better  promoted  25.0%  (at most 5%)   more images are needed"
    assert last.startswith("52 weekly candidates round the champion: 1.2 promotions a year, each ")
    assert "gains +2.00; its judgement says 3.00 more, the sealed set -0.12" in last


@pytest.mark.parametrize("found", [[], ["00/1 holds bytes of md5 2"]])
def test_a_cache_is_said_to_be_whole_or_what_is_damaged(found, monkeypatch, in_empty_folder):
    importlib.import_module("pasam.registry.upkeep.damaged_cache")
    monkeypatch.setattr(
        "pasam.registry.upkeep.damaged_cache.damaged_cache", lambda project: iter(found)
    )
    said = CliRunner().invoke(app, ["verify-cache"])
    whole = "Every file in DVC's cache is what its name says.\n"
    assert said.stdout == ("00/1 holds bytes of md5 2\n" if found else whole)
    as_json = CliRunner().invoke(app, ["verify-cache", "--json"])
    assert json.loads(as_json.stdout) == {"damaged": found}
    assert said.exit_code == as_json.exit_code == (2 if found else 0)


@pytest.mark.parametrize(
    ("which", "aliases", "asked"),
    [("champion", {"champion": 2}, 2), ("3", {"champion": 2}, "3"), ("staging", {}, "staging"),
     ("champion", None, "champion")],
)  # fmt: skip
def test_what_an_alias_means_is_said_by_the_log_wherever_there_is_one(
    which, aliases, asked, tmp_path, monkeypatch
):
    seen = []
    found = SimpleNamespace(number=2)
    registered = SimpleNamespace(details={"params": {"train.seed": "42"}})
    standing = (
        None
        if aliases is None
        else SimpleNamespace(aliases=aliases, versions={2: SimpleNamespace(registered=registered)})
    )
    monkeypatch.setattr("pasam.registry.store.expect_begun", lambda project, wanted: None)
    monkeypatch.setattr("pasam.registry.versions.known_standing", lambda project: standing)
    monkeypatch.setattr(
        "pasam.registry.versions.as_logged", lambda version, known: (version, known)
    )
    monkeypatch.setattr(
        "pasam.registry.versions.open_registry",
        lambda project: SimpleNamespace(version=lambda name: seen.append(name) or found),
    )
    version, params = registry._found(tmp_path, which)
    assert (version, seen) == ((found, standing), [asked])
    assert params == ({} if aliases is None else {"train.seed": "42"})
