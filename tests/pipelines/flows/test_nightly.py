"""Flow `nightly`: drift and the champion, nothing trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.flows import nightly as flow
from pipelines.flows.nightly import drifted, nightly


@pytest.fixture
def done(monkeypatch, in_empty_folder):
    """What was done and told, with stand-ins; nothing has drifted."""
    steps = []
    monkeypatch.setattr(flow, "repro", lambda group, hours: steps.append(group))
    monkeypatch.setattr(flow, "drifted", list)
    monkeypatch.setattr(flow, "champion_on_new", lambda: "Version 1 is champion.")
    monkeypatch.setattr(flow, "tell", lambda *words: steps.append(words))
    return steps


def test_only_the_datas_stages_run(done):
    outcome = nightly(notify="team")
    assert (outcome.name, outcome.message) == ("watched", "Version 1 is champion.")
    assert done == ["data"]


def test_drift_is_told(done, monkeypatch):
    row = {"dataset": "own", "quantity": "brightness", "drifted": True}
    monkeypatch.setattr(flow, "drifted", lambda: [row])
    outcome = nightly(notify="team")
    message = "The data has drifted: own (brightness). Version 1 is champion."
    assert (outcome.name, outcome.message) == ("drifted", message)
    assert done[1:] == [("team", "pasam sees drift", message)]


def test_drift_is_what_the_findings_say(monkeypatch, in_empty_folder):
    rows = [{"dataset": name, "quantity": "area", "drifted": name == "b"} for name in "abc"]
    Path("findings.json").write_text(json.dumps({"drift": rows}))
    monkeypatch.setattr(flow, "results", lambda suffix: [Path("findings.json")])
    assert drifted() == [rows[1]]


def test_without_findings_there_is_no_drift(monkeypatch):
    monkeypatch.setattr(flow, "results", lambda suffix: [])
    assert drifted() == []
