"""Promotion registers, judges and moves the champion; whatever is asked twice is done once."""

from __future__ import annotations

import dataclasses
import json

import pytest
import yaml
from tracked_world import commit

from pasam.config.params_file import load_section
from pasam.config.schema import GateParams
from pasam.errors import RegistryError
from pasam.registry import promotion, versions
from pasam.registry import snapshot as snapshots
from pasam.registry.candidate import find_candidate
from pasam.registry.gate import REJECT, Gain, GateCheck, GateDecision
from pasam.registry.promotion import assess, html_page, markdown_page, promote, record
from pasam.registry.snapshot import take_snapshot
from pasam.registry.transitions import AuditLog, promote_version, rollback
from pasam.registry.version_files import register
from pasam.registry.versions import open_registry


def set_gate(project, **values):
    project.change("gate", **values)
    commit(project.folder)


def test_the_story_of_two_versions(project, aliases):
    set_gate(project, mode="dry-run")
    judged = promote(project.folder)
    assert (judged.promoted, judged.gate.accepted) == (False, True)
    assert aliases() == {"candidate": 1}
    assert promote_version(project.folder, "candidate", why="looks good").promoted
    assert aliases() == {"champion": 1}

    set_gate(project, mode="on", model="hq_sam", minimum_gain=50.0)
    refused = promote(project.folder)
    assert (refused.version, refused.promoted) == (2, False)
    assert aliases() == {"champion": 1}
    version = open_registry(project.folder).version(2)
    assert version.status == "rejected"
    assert "above +50.00 is asked for" in version.tags["gate.reasons"]

    set_gate(project, mode="off")
    assert promote(project.folder).gate is None
    assert aliases() == {"champion": 2, "previous": 1}
    again = promote(project.folder)
    assert (again.version, again.promoted, again.gate) == (2, True, None)

    assert rollback(project.folder, why="halos").to == 1
    assert aliases() == {"champion": 1}
    lines = (project.folder / "mlruns" / "registry-log.jsonl").read_text().splitlines()
    told = [json.loads(line)["event"] for line in lines]
    assert told == ["judge", "promote", "judge", "promote", "roll back"]


def test_a_dirty_or_unpushed_tree_is_refused_before_anything_is_recorded(project):
    commit(project.folder, push=False)
    with pytest.raises(RegistryError, match="at a commit that no remote has.*--allow-local"):
        promote(project.folder)
    lock = project.path("dvc.lock")
    lock.write_text(lock.read_text() + "\n")
    with pytest.raises(RegistryError, match="only dvc.lock differs .*git checkout dvc.lock"):
        promote(project.folder)
    (project.folder / "new.py").write_text("")
    with pytest.raises(RegistryError, match="has uncommitted changes"):
        promote(project.folder)
    assert not list((project.folder / "mlruns").glob("artifacts/**/*.parquet"))


def count_calls(monkeypatch, *functions):
    """Count how often each function of a module is called."""
    counts = {}
    for module, name in functions:
        real, counts[name] = getattr(module, name), 0

        def counted(*arguments, real=real, name=name, **options):
            counts[name] += 1
            return real(*arguments, **options)

        monkeypatch.setattr(module, name, counted)
    return counts


def test_a_champion_of_another_evaluator_is_measured_again(project, monkeypatch):
    read = count_calls(
        monkeypatch,
        (snapshots, "parse_lock"),
        (snapshots, "git_state"),
        (snapshots, "_declared"),
        (versions, "open_store"),
    )
    promote(project.folder, allow_local=True)
    assert read == {"parse_lock": 1, "git_state": 1, "_declared": 1, "open_store": 1}
    registry = open_registry(project.folder)
    registry.tag_version(1, {"evaluation.evaluator": "an older one"})
    calls = []
    real = promotion.reevaluate
    monkeypatch.setattr(promotion, "reevaluate", lambda *a, **k: calls.append(1) or real(*a, **k))
    gate = load_section(GateParams, "gate")
    snapshot = take_snapshot(project.folder)
    candidate = find_candidate(snapshot, "hq_sam")
    version = register(registry, candidate, run_id=registry.version(1).run_id)
    verdict = assess(
        take_snapshot(project.folder), registry, version, candidate, gate, allow_local=True
    )
    assert calls == [1]
    assert set(verdict.gains) == {"dis_like", "thin_like"}
    assert verdict.mean_gain is not None


@pytest.fixture
def gate(root):
    return GateParams(**yaml.safe_load((root / "params" / "default.yaml").read_text())["gate"])


def test_a_verdict_is_kept_in_every_place_with_the_same_words(registry, gate):
    run = registry.client.create_run(registry.store.experiment_id)
    version = dataclasses.replace(registry.version(3), run_id=run.info.run_id)
    verdict = GateDecision(
        decision=REJECT,
        checks=(GateCheck(name="gain", passed=False, reason="no gain"),),
        mean_score=50.0,
        scores={},
        mean_gain=Gain(mean=0.1, low=-1.0, std=6.0, images=8),
        gains={},
    )
    journal = AuditLog(registry.store.folder)
    page = record(registry, journal, version, verdict, gate)
    words = json.loads(page.with_suffix(".json").read_text())
    assert (words["champion"], words["decision"], words["reasons"]) == (2, "reject", ["no gain"])
    assert words["gate"]["margin"] == gate.margin
    assert "no gain" in page.read_text()
    kept = registry.client.list_artifacts(run.info.run_id, "registry/v3")
    assert {file.path.rpartition("/")[2] for file in kept} == {
        "verdict.json", "verdict.md", "verdict.html",
    }  # fmt: skip
    tags = registry.version(3).tags
    assert (tags["gate.decision"], tags["gate.reasons"]) == ("reject", "no gain")
    assert tags["gate.champion"] == "2"
    assert journal.events()[-1]["reasons"] == ["no gain"]


DECISION = {
    "version": 4,
    "champion": 3,
    "decision": "reject",
    "checks": [
        {"name": "gain", "passed": False, "reason": "mean: gain +0.10 <script>alert(1)</script>"},
        {"name": "tree", "passed": True, "reason": "clean"},
    ],
    "mean_score": 61.5,
    "scores": {"dis": 50.25, "mean": 7.0},
    "mean_gain": {"mean": 0.1, "low": -0.4, "std": 6.25, "images": 9},
    "gains": {},
    "lineage": {"git.commit": "abc", "other": "not shown"},
}


def test_the_html_page_shows_all_and_runs_nothing():
    page = html_page(DECISION)
    assert "<script" not in page
    assert "http" not in page
    for text in (
        "Version 4",
        "reject",
        "61.50",
        "50.25",
        "+0.10",
        "-0.40",
        "6.25",
        "abc",
        "version 3",
    ):
        assert text in page
    assert "not shown" not in page


def test_the_markdown_page_marks_what_failed():
    page = markdown_page(DECISION)
    assert page.startswith("# Version 4: reject\n")
    assert "| gain | **no** |" in page
    assert "| dis | 50.25 |  |  |  |" in page


def test_a_first_version_says_that_nothing_was_compared():
    page = markdown_page({**DECISION, "champion": None, "mean_gain": None})
    assert "There is no champion yet" in page
