"""Commands killed at any moment: nothing is lost or doubled, and the next call completes them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import time
import warnings
from collections import Counter

import pytest
from tracked_world import KEPT, commit, copy_tracked, standing_in

from pasam.errors import RegistryError
from pasam.registry.decision_log import PROMOTED, ROLLBACK, DecisionLog
from pasam.registry.promotion import promote
from pasam.registry.runs import sync
from pasam.registry.transitions import Draft, check, open_decisions, rollback
from pasam.registry.upkeep.cleaning import clean
from pasam.registry.versions import open_registry

KILLS = int(os.environ.get("PASAM_KILLS", "20"))
"""Kills in all, spread evenly over the time that each command takes."""


def promoted_unjudged(folder):
    """Promote version 2, whatever the gate would say of it."""
    decisions = open_decisions(folder)
    entry = decisions.entry(PROMOTED, 2, "better", after=2)
    decisions.decide(lambda _: Draft(entries=(entry,)))


@pytest.fixture(scope="module")
def two_champions(champion_once, tmp_path_factory):
    """Version 2 is champion, and version 1 the one before; to be copied."""
    own = copy_tracked(champion_once, tmp_path_factory.mktemp("champions") / "world")
    own.change("gate", model="hq_sam")
    commit(own.folder)
    with standing_in(own):
        promote(own.folder)
        promoted_unjudged(own.folder)
    return own


def rolled_back(folder):
    """Go back, unless the call before has done so."""
    with contextlib.suppress(RegistryError):  # there is no way back from the first one
        rollback(folder, why="worse")


ACTIONS = {"promote": promote, "rollback": rolled_back, "sync": sync}


def run_killed(act, seconds):
    """Do something in a process of its own that is killed after a while; say if it was at it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it has threads, which are idle
        child = os.fork()
    if child == 0:
        try:
            act()
        finally:
            os._exit(0)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def outcome(folder):
    """What a decision or a recording left: bytes in use, decisions by them, runs, differences."""
    decisions = open_decisions(folder)
    standing, log = decisions.standing, decisions.log
    keys = {number: version.key for number, version in standing.versions.items()}
    store = decisions.registry.store
    runs = store.client.search_runs([store.experiment_id])
    stages = Counter(run.data.tags.get("dvc.stage", run.data.tags["pasam.kind"]) for run in runs)
    found = [line for line in check(folder).found if "not in the log" not in line]
    return {
        "aliases": {alias: keys[n] for alias, n in open_registry(folder).aliases().items()},
        "decided": [(entry.event, keys.get(entry.version)) for entry in log.entries],
        "status": {keys[n]: version.status for n, version in standing.versions.items()},
        "runs": stages,
        "states": {run.info.status for run in runs},
        "differs": found,
    }


@pytest.mark.slow
@pytest.mark.parametrize("action", ACTIONS)
def test_whenever_it_is_killed_the_next_call_gives_what_an_undisturbed_one_does(
    action, request, tmp_path, monkeypatch
):
    once = request.getfixturevalue("two_champions" if action == "rollback" else "accepted_once")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    act, began = ACTIONS[action], time.monotonic()
    own = copy_tracked(once, tmp_path / "undisturbed" / "world")
    with standing_in(own):
        act(own.folder)
        took, wanted = time.monotonic() - began, outcome(own.folder)
    assert wanted["runs"].keys() >= set(KEPT) or action == "rollback"
    assert Counter(event for event, _ in wanted["decided"])[ROLLBACK] == (action == "rollback")
    kills = KILLS // len(ACTIONS) + 1
    killed = 0
    for number in range(kills):
        place = tmp_path / str(number)
        own = copy_tracked(once, place / "world")
        with standing_in(own):
            killed += run_killed(lambda own=own: act(own.folder), took * (number + 0.5) / kills)
            act(own.folder)
            assert outcome(own.folder) == wanted
            for left in (*temporary.iterdir(), *place.rglob("*.part")):
                os.utime(left, (1, 1))  # drafts of the last day may be somebody's
            clean(own.folder, keep=9, days=9)
        assert list(temporary.iterdir()) == []
        assert not list(place.rglob("*.part"))
        shutil.rmtree(place)
    assert killed >= kills // 2
    assert len(DecisionLog(tmp_path / "undisturbed" / "world").read()) == len(wanted["decided"])
