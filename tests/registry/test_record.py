"""A verdict can be found with the run, in the tags, as a page and in the log."""

from __future__ import annotations

import json

import pytest
import yaml

from pasam.config.schema import GateParams
from pasam.registry.decision import REJECT, Check, Gain, Verdict
from pasam.registry.transitions import Journal
from pasam.registry.verdict_page import record


@pytest.fixture
def gate(root):
    return GateParams(**yaml.safe_load((root / "params" / "default.yaml").read_text())["gate"])


def test_a_verdict_is_kept_in_every_place_with_the_same_words(registry, gate):
    import dataclasses

    run = registry.client.create_run(registry.store.experiment_id)
    version = dataclasses.replace(registry.version(3), run_id=run.info.run_id)
    verdict = Verdict(
        decision=REJECT,
        checks=(Check(name="gain", passed=False, reason="no gain"),),
        scores={"mean": 50.0},
        gains={"mean": Gain(mean=0.1, low=-1.0, spread=6.0, images=8)},
    )
    journal = Journal(registry.store.folder)
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
