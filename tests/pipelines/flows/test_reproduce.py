"""Flow `reproduce`: groups of DVC's targets in order."""

from __future__ import annotations

import pytest
import yaml

from pasam.errors import StageError
from pipelines.flows import reproduce as flow
from pipelines.flows.reproduce import GROUPS, reproduce


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
