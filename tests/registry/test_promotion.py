"""Promotion registers, judges and moves the champion; whatever is asked twice is done once."""

from __future__ import annotations

import json

import pytest
from tracked_world import commit

from pasam.errors import RegistryError
from pasam.registry.promotion import promote
from pasam.registry.transitions import promote_version, rollback
from pasam.registry.versions import open_registry


def set_gate(project, **values):
    project.change("gate", **values)
    commit(project.folder)


def test_the_story_of_two_versions(project, aliases):
    set_gate(project, mode="dry-run")
    judged = promote(project.folder)
    assert (judged.promoted, judged.verdict.accepted) == (False, True)
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
    assert promote(project.folder).verdict is None
    assert aliases() == {"champion": 2, "previous": 1}
    again = promote(project.folder)
    assert (again.version, again.promoted, again.verdict) == (2, True, None)

    assert rollback(project.folder, why="halos").to == 1
    assert aliases() == {"champion": 1}
    lines = (project.folder / "mlruns" / "registry-log.jsonl").read_text().splitlines()
    told = [json.loads(line)["event"] for line in lines]
    assert told == ["judge", "promote", "judge", "promote", "roll back"]


def test_a_dirty_or_unpushed_tree_is_refused_before_anything_is_recorded(project):
    commit(project.folder, push=False)
    with pytest.raises(RegistryError, match="at a commit that no remote has.*--allow-local"):
        promote(project.folder)
    (project.folder / "new.py").write_text("")
    with pytest.raises(RegistryError, match="has uncommitted changes"):
        promote(project.folder)
    assert not list((project.folder / "mlruns").glob("artifacts/**/*.parquet"))
