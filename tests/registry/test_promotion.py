"""Promotion registers, judges and moves the champion; whatever is asked twice is done once."""

from __future__ import annotations

import json

import pytest
from tracked_world import commit, write_lock

from pasam.errors import RegistryError
from pasam.registry.promotion import promote, promote_version, reject, rollback
from pasam.registry.versions import open_registry


def retrain(project, **changes):
    """Train and evaluate the model anew with other values, commit and push."""
    project.change("models.pa_sam", **changes)
    for name in project.stages:
        if "pa_sam" in name:
            project.run(name)
    write_lock(project)
    commit(project.folder)


def events(project):
    lines = (project.folder / "mlruns" / "registry-log.jsonl").read_text().splitlines()
    return [json.loads(line)["event"] for line in lines]


def test_from_a_first_version_to_a_second_one_and_back(project, aliases):
    first = promote(project.folder, allow_local=True)
    assert first.promoted
    assert aliases() == {"champion": 1}
    again = promote(project.folder, allow_local=True)
    assert (again.version, again.promoted, again.verdict) == (1, True, None)
    project.change("gate", mode="off")
    retrain(project, epochs=1)
    second = promote(project.folder, allow_local=True)
    assert (second.version, second.promoted) == (2, True)
    assert aliases() == {"champion": 2, "previous": 1}
    move = rollback(project.folder, why="halos")
    assert (move.to, move.champion) == (1, 2)
    assert aliases() == {"champion": 1}
    assert open_registry(project.folder).version(2).status == "rolled back"
    assert events(project) == ["judge", "promote", "promote", "roll back"]


def test_a_candidate_without_gain_is_rejected_and_the_champion_stays(project, aliases):
    promote(project.folder, allow_local=True)
    project.change("gate", minimum_gain=50.0)
    retrain(project, epochs=1)
    outcome = promote(project.folder, allow_local=True)
    assert not outcome.promoted
    assert not outcome.verdict.accepted
    assert aliases() == {"champion": 1}
    version = open_registry(project.folder).version(2)
    assert version.status == "rejected"
    assert "above +50.00 is asked for" in version.tags["gate.reasons"]
    with pytest.raises(RegistryError, match="the gate said 'reject' of it"):
        promote_version(project.folder, 2, why="I want it")


def test_a_dry_run_judges_and_a_person_promotes_by_number(project, aliases):
    project.change("gate", mode="dry-run")
    commit(project.folder)
    outcome = promote(project.folder, allow_local=True)
    assert (outcome.promoted, outcome.verdict.accepted) == (False, True)
    assert aliases() == {"candidate": 1}
    assert promote_version(project.folder, "candidate", why="looks good").promoted
    assert aliases() == {"champion": 1}


def test_a_dirty_or_unpushed_tree_is_refused_before_anything_is_recorded(project):
    commit(project.folder, push=False)
    with pytest.raises(RegistryError, match="at a commit that no remote has.*--allow-local"):
        promote(project.folder)
    (project.folder / "new.py").write_text("")
    with pytest.raises(RegistryError, match="has uncommitted changes"):
        promote(project.folder)
    assert not list((project.folder / "mlruns").glob("artifacts/**/*.parquet"))


def test_without_validated_data_a_clean_tree_is_judged_and_rejected(project):
    project.path("reports/validation/verdict.json").unlink()
    write_lock(project)
    commit(project.folder)
    outcome = promote(project.folder)
    assert outcome.verdict.reasons == ("the validation of the data says: not validated",)


def test_a_rejected_version_is_no_candidate_and_the_champion_cannot_be_rejected(project, aliases):
    project.change("gate", mode="dry-run")
    commit(project.folder)
    promote(project.folder, allow_local=True)
    assert reject(project.folder, 1, why="halos").status == "rejected"
    assert aliases() == {}
    promote_version(project.folder, 1, why="never mind")
    with pytest.raises(RegistryError, match="is the champion and in use"):
        reject(project.folder, "champion", why="halos")
