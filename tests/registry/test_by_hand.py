"""A person's word moves versions within what the gate allows, and is logged."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pasam.errors import RegistryError
from pasam.registry.transitions import INTENT, Journal, promote_version, reject, rollback


@pytest.fixture
def project(registry, tmp_path):
    """The folder of the registry of three versions."""
    return tmp_path


def events(registry):
    return [event["event"] for event in Journal(registry.store.folder).events()]


def test_a_version_that_the_gate_accepted_is_promoted_by_number_or_alias(registry, project):
    registry.tag(3, {"gate.decision": "promote"})
    outcome = promote_version(project, "candidate", why="looks good")
    assert (outcome.version, outcome.promoted) == (3, True)
    assert registry.aliases() == {"champion": 3, "previous": 2}
    assert "already" in promote_version(project, 3, why="again").message
    assert events(registry) == ["promote"]


@pytest.mark.parametrize("decision", ["reject", None])
def test_a_version_that_the_gate_did_not_accept_is_refused(decision, registry, project):
    if decision:
        registry.tag(3, {"gate.decision": decision})
    with pytest.raises(RegistryError, match=f"the gate said '{decision or 'nothing'}' of it"):
        promote_version(project, 3, why="I want it")
    assert registry.aliases()["champion"] == 2


def test_a_rejected_version_is_no_candidate_any_more(registry, project):
    assert reject(project, 3, why="halos").status == "rejected"
    assert registry.aliases() == {"champion": 2, "previous": 1}
    assert registry.version(3).tags["pasam.why"] == "halos"
    assert events(registry) == ["reject"]


def test_the_champion_cannot_be_rejected(project):
    with pytest.raises(RegistryError, match="version 2 is the champion and in use"):
        reject(project, "champion", why="halos")


def test_the_way_back_restores_the_champion_before(registry, project):
    move = rollback(project, why="worse in use")
    assert (move.to, move.champion) == (1, 2)
    assert registry.aliases()["champion"] == 1
    assert registry.version(2).status == "rolled back"


def test_whatever_was_cut_short_is_finished_first(registry, project):
    registry.note(
        INTENT,
        '{"action": "promote", "to": 3, "champion": 2, "previous": 2, "why": "better"}',
    )
    reject(project, 1, why="old")
    assert registry.aliases() == {"champion": 3, "previous": 2}
    assert events(registry) == ["promote", "reject"]


def test_the_way_back_loads_no_model_library(root):
    code = (
        "import sys, pasam.registry.transitions; "
        "print({'torch', 'pandas', 'matplotlib', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root
    )
    assert done.stdout == "set()\n"
