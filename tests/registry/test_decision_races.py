"""Two clones that decide at once come to one order, whoever wins."""

from __future__ import annotations

import itertools
import multiprocessing
import os

import pytest
from tracked_world import git, leave_servers, place_store

from pasam.errors import PasamError
from pasam.registry.decision_log import PROMOTED, DecisionLog, standing_of
from pasam.registry.transitions import Draft, lift, open_decisions, reject, rollback
from pasam.registry.versions import NAME, open_registry

VERSIONS = 6


def promote_unjudged(project, number):
    """Decide as `promote` does, with no model to load: what is barred or in use stays as it is."""
    decisions = open_decisions(project)

    def draft(standing):
        if number == standing.champion or standing.versions[number].key in standing.barred:
            return Draft()
        details = {"met": standing.champion}
        entry = decisions.entry(PROMOTED, number, "better", after=number, details=details)
        return Draft(entries=(entry,))

    return len(decisions.decide(draft))


def act(project, action, number):
    if action == "promote":
        return promote_unjudged(project, number)
    if action == "rollback":
        rollback(project, why="worse")
    else:
        {"reject": reject, "lift": lift}[action](project, number, why="seen")
    return 1


def work(project, tracking, actions, barrier, results):
    """Do one action after the other, each together with the other clone."""
    os.environ["MLFLOW_TRACKING_URI"] = tracking
    os.environ["TMPDIR"] = str(project.parent)
    for action, number in actions:
        barrier.wait(120)
        try:
            results.put(("done", act(project, action, number)))
        except PasamError as error:
            results.put((type(error).__name__, str(error)))
        except BaseException as error:  # noqa: BLE001  (a raw error is what must not be)
            results.put(("raw", repr(error)))
        barrier.wait(120)


PAIRS = [
    (("promote", 3), ("promote", 4)), (("rollback", 0), ("promote", 5)),
    (("reject", 6), ("promote", 6)), (("lift", 6), ("promote", 2)),
    (("rollback", 0), ("rollback", 0)), (("promote", 1), ("promote", 1)),
    (("reject", 3), ("lift", 3)),
]  # fmt: skip


@pytest.fixture
def clones(tmp_path, mlflow_tables, monkeypatch):
    """Two clones of one remote, and MLflow's records that both use."""
    leave_servers(monkeypatch)
    git(tmp_path, "init", "--quiet", "--bare", "shared.git")
    one, two = tmp_path / "one" / "clone", tmp_path / "two" / "clone"
    for place in (one, two):
        place.parent.mkdir()
        git(tmp_path, "clone", "--quiet", "shared.git", str(place))
    place_store(mlflow_tables, one)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{one}/mlruns/mlflow.db")
    registry = open_registry(one)
    for number in range(1, VERSIONS + 1):
        tags = {"pasam.key": f"k{number}"}
        registry.client.create_model_version(NAME, f"file:///nowhere/{number}", tags=tags)
    registry.set_alias("champion", 1)
    open_decisions(one)
    return one, two


def race(clones, pairs):
    """Let both clones act at once, pair by pair; return what became of each action."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(2), context.Queue()
    tracking = os.environ["MLFLOW_TRACKING_URI"]
    children = [
        context.Process(
            target=work,
            args=(clone, tracking, [pair[i] for pair in pairs], barrier, results),
        )
        for i, clone in enumerate(clones)
    ]
    for child in children:
        child.start()
    found = [results.get(timeout=300) for _ in range(2 * len(pairs))]
    for child in children:
        child.join()
    return found


def check_one_order(clones, outcomes):
    """No raw error; every entry once, on the champion that there then was; MLflow shows the end."""
    assert [each for each in outcomes if each[0] == "raw"] == []
    assert {kind for kind, _ in outcomes} <= {"done", "BusyError", "RegistryError"}, outcomes
    entries = DecisionLog(clones[0]).read()
    assert DecisionLog(clones[1]).read() == entries
    made = [entry for entry in entries if entry.event != "import"]
    assert len(made) == sum(count for kind, count in outcomes if kind == "done")
    assert len({entry.digest for entry in entries}) == len(entries)
    standing = standing_of(entries)  # which refuses what contradicts the entries before
    for entry in made:
        if entry.event == PROMOTED:
            assert entry.details["met"] == entry.before
    registry = open_registry(clones[0])
    open_decisions(clones[1])
    assert registry.aliases() == standing.aliases
    return made


def test_two_clones_that_decide_at_once_come_to_one_order(clones):
    outcomes = race(clones, PAIRS[:2])
    made = check_one_order(clones, outcomes)
    assert len(made) >= 3


@pytest.mark.slow
def test_twenty_pairs_of_decisions_at_once_come_to_one_order(clones):
    outcomes = race(clones, list(itertools.islice(itertools.cycle(PAIRS), 20)))
    made = check_one_order(clones, outcomes)
    assert len(made) >= 10  # the others were refused: barred, in use, or another champion
