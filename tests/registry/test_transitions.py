"""Whatever kills a decision, and wherever, it is made or not made, and MLflow shows which."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from types import SimpleNamespace

import pytest
from tracked_world import KEPT, commit, copy_tracked, git, standing_in

from pasam.config.params_file import load_section
from pasam.config.requirements import GateParams
from pasam.errors import BusyError, RegistryError, TrackingError
from pasam.registry import transitions
from pasam.registry.decision_log import (
    PROMOTED,
    REF,
    REGISTER,
    ROLLBACK,
    DecisionLog,
    Entry,
    Standing,
    VersionStanding,
)
from pasam.registry.promotion import change_gate, promote
from pasam.registry.runs import sync
from pasam.registry.store import Tag
from pasam.registry.transitions import (
    Decisions,
    Draft,
    check,
    lift,
    open_decisions,
    reject,
    rollback,
)
from pasam.registry.upkeep import first_registries
from pasam.registry.upkeep.cleaning import clean
from pasam.registry.versions import NAME, Registry, differences, open_registry


class Crash(BaseException):
    """Not an Exception: nothing may catch it."""


def crash_at(patch, step, when, die):
    """Let the step-th change of the registry or the log die, before or after it is done."""
    done = [0]

    def dying(change):
        def wrapped(*arguments, **options):
            done[0] += 1
            mine = done[0] == step  # changes inside this one are counted, too
            if mine and when == "before":
                die()
            result = change(*arguments, **options)
            if mine and when == "after":
                die()
            return result

        return wrapped

    for owner, name in (
        (DecisionLog, "_commit"), (DecisionLog, "append"), (Registry, "set_alias"),
        (Registry, "tag_version"), (Registry, "untag_version"),
    ):  # fmt: skip
        patch.setattr(owner, name, dying(getattr(owner, name)))
    return done


def raise_crash():
    raise Crash


@pytest.fixture
def project(registry, tmp_path):
    """The folder of the registry of three versions, taken over into a log."""
    open_decisions(tmp_path)
    return tmp_path


def promoting(decisions, number, why="better"):
    """Promote as the gate does once it has judged."""
    return decisions.decide(
        lambda standing: Draft(entries=(decisions.entry(PROMOTED, number, why, after=number),))
    )


def walk(project, registry, act, ways, *, old, new):
    """Die at every step in each of the ways, from the same start each time; yield where."""
    start = git(project, "rev-parse", REF).strip()
    steps, survived = 0, False
    while not survived:
        steps += 1
        for when in ways:
            git(project, "update-ref", REF, start)
            open_decisions(project)  # MLflow goes back with the log
            assert registry.aliases()["champion"] == old
            survived, decisions = False, open_decisions(project)
            with pytest.MonkeyPatch.context() as patch:
                crash_at(patch, steps, when, raise_crash)
                try:
                    act(decisions)
                except Crash:
                    pass
                else:
                    survived = True
            assert registry.aliases()["champion"] in (old, new)
            decisions = open_decisions(project)
            assert list(differences(registry, decisions.standing)) == []
            if decisions.standing.champion == old:
                act(decisions)  # it died before anything was decided
            assert registry.aliases() == open_decisions(project).standing.aliases
            yield steps, when


BEFORE = pytest.param("before", marks=pytest.mark.slow)
"""What is there before a step is there after the one before it, too."""


@pytest.mark.long
@pytest.mark.parametrize("when", [BEFORE, "after"])
def test_a_promotion_that_dies_at_any_step_is_decided_or_not_and_shown(when, project, registry):
    seen = 0
    for _ in walk(project, registry, lambda d: promoting(d, 3), [when], old=2, new=3):
        assert registry.aliases() == {"champion": 3, "previous": 2}
        assert registry.version(3).status == "accepted"
        events = [entry.event for entry in DecisionLog(project).read()]
        assert events.count("promote") == 1
        seen += 1
    assert seen >= 6  # the log's two, then tags and aliases


@pytest.mark.slow  # it walks as a promotion does
def test_a_rollback_that_dies_at_any_step_is_decided_or_not_and_shown(project, registry):
    def back(decisions):
        decisions.decide(
            lambda standing: Draft(entries=(decisions.entry(ROLLBACK, 2, "worse", after=1),))
        )

    for _ in walk(project, registry, back, ["before", "after"], old=2, new=1):
        aliases = registry.aliases()
        assert (aliases["champion"], aliases.get("previous")) == (1, None)
        assert registry.version(2).status == "rolled back"
        assert registry.version(2).tags["pasam.why"] == "worse"


def die_for_real(project, step, when):
    decisions = open_decisions(project)
    with pytest.MonkeyPatch.context() as patch:
        crash_at(patch, step, when, lambda: os.kill(os.getpid(), signal.SIGKILL))
        promoting(decisions, 3)


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", range(1, 7))
def test_kill_9_at_any_step_leaves_one_champion_and_the_next_command_completes(
    step, when, project, registry
):
    context = multiprocessing.get_context("spawn")
    child = context.Process(target=die_for_real, args=(project, step, when))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert registry.aliases()["champion"] in (2, 3)
    decisions = open_decisions(project)
    if decisions.standing.champion == 2:
        promoting(decisions, 3)
    assert registry.aliases() == {"champion": 3, "previous": 2}
    assert [entry.event for entry in DecisionLog(project).read()].count("promote") == 1
    assert check(project).left == tuple(
        f"version {n}: the log knows no digests, its files were gone before it" for n in (3, 2, 1)
    )


def test_a_rejected_version_is_barred_by_its_bytes_until_a_person_lifts_it(project, registry):
    version = reject(project, 3, why="halos")
    assert version.status == "rejected"
    assert registry.aliases() == {"champion": 2, "previous": 1}
    assert registry.version(3).tags["pasam.why"] == "halos"
    assert version.key in open_decisions(project).standing.barred
    assert lift(project, 3, why="the labels were wrong").status == "registered"
    assert open_decisions(project).standing.barred == {}
    with pytest.raises(RegistryError, match="version 3 is not barred"):
        lift(project, 3, why="again")


def test_the_champion_cannot_be_rejected(project):
    with pytest.raises(RegistryError, match="version 2 is the champion and in use"):
        reject(project, "champion", why="halos")


def test_the_way_back_restores_the_champion_before_and_ends_somewhere(project, registry):
    move = rollback(project, why="worse in use")
    assert (move.to, move.champion, move.previous) == (1, 2, None)
    assert registry.aliases() == {"champion": 1, "candidate": 3}
    assert registry.version(2).status == "rolled back"
    with pytest.raises(RegistryError, match="version 1 is champion, and none was before it"):
        rollback(project, why="nowhere to go")


def test_a_rollback_never_hits_another_champion_than_the_one_it_was_meant_for(project, monkeypatch):
    other, real = open_decisions(project), transitions.open_decisions

    def opened_just_before(folder):
        decisions = real(folder)
        promoting(other, 3)
        return decisions

    monkeypatch.setattr(transitions, "open_decisions", opened_just_before)
    with pytest.raises(BusyError, match="version 3 became champion while version 2 was to be"):
        rollback(project, why="2 is bad")
    assert other.standing.aliases == {"champion": 3, "previous": 2}


def test_a_version_that_is_not_there_is_said_with_those_that_are(project):
    with pytest.raises(RegistryError, match=r"no version 9; the log of decisions has \[1, 2, 3\]"):
        reject(project, 9, why="x")


@pytest.mark.long
def test_whoever_is_outrun_decides_on_the_new_ground(project):
    one, two = open_decisions(project), open_decisions(project)
    promoting(one, 3)
    seen = []

    def draft(standing):
        seen.append(standing.champion)
        return Draft(entries=(two.entry(PROMOTED, 1, "x", after=1),))

    two.decide(draft)
    assert seen == [2, 3]
    assert [(e.before, e.after) for e in one.log.read()[-2:]] == [(2, 3), (3, 1)]


@pytest.mark.long
def test_mlflow_that_fails_after_a_decision_does_not_undo_it(project, registry, monkeypatch):
    decisions = open_decisions(project)

    def fails(*arguments):
        raise TrackingError("MLflow is away.")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transitions, "show", fails)
        promoting(decisions, 3)
    assert "does not show it yet: MLflow is away" in decisions.notes[-1]
    assert registry.aliases()["champion"] == 2
    assert open_decisions(project).standing.champion == 3
    assert registry.aliases() == {"champion": 3, "previous": 2}


def test_the_gates_settings_change_by_a_decision_with_a_reason(project, root):
    decisions = open_decisions(project)
    gate = load_section(GateParams, "gate", root / "params.yaml")
    assert change_gate(decisions, gate, "the first")
    assert not change_gate(decisions, gate, "again")
    assert change_gate(decisions, gate.replaced(margin=7.5), "twice the images")
    entry = open_decisions(project).standing.gate
    assert (entry.details["settings"]["margin"], entry.why) == (7.5, "twice the images")
    assert entry.details["changed"] == [f"margin {gate.margin} -> 7.5"]


@pytest.mark.long
def test_a_registry_from_before_the_log_is_taken_over_once(registry, tmp_path):
    registry.tag_version(2, {"pasam.status": "accepted"})
    registry.tag_version(3, {"pasam.status": "rejected", "pasam.why": "halos"})
    standing = open_decisions(tmp_path).standing
    assert standing.aliases == {"champion": 2, "previous": 1, "candidate": 3}
    assert standing.champions == [1, 2]
    assert [v.status for v in standing.versions.values()] == ["registered", "accepted", "rejected"]
    assert len(standing.barred) == 1
    entries = DecisionLog(tmp_path).read()
    assert {entry.event for entry in entries} == {"import"}
    open_decisions(tmp_path)
    assert DecisionLog(tmp_path).read() == entries
    assert rollback(tmp_path, why="worse").to == 1


@pytest.mark.long
@pytest.mark.parametrize(
    ("move", "aliases"),
    [
        ({"action": "promote", "to": 3, "champion": 2, "previous": 2, "why": "x"},
         {"champion": 3, "previous": 2}),
        ({"action": "roll back", "to": 1, "champion": 2, "previous": None, "why": "x"},
         {"champion": 1, "candidate": 3}),
    ],
)  # fmt: skip
def test_what_was_cut_short_before_the_log_is_finished(move, aliases, registry, tmp_path):
    registry.client.set_registered_model_tag(NAME, "pasam.in_progress", json.dumps(move))
    assert open_decisions(tmp_path).standing.aliases == aliases
    assert registry.aliases() == aliases


def test_a_tag_that_says_no_transition_is_told(registry, tmp_path):
    registry.client.set_registered_model_tag(NAME, "pasam.in_progress", "{")
    with pytest.raises(RegistryError, match=r"does not say which transition.*'\{'"):
        open_decisions(tmp_path)


def test_every_difference_is_named_and_mended_by_the_log(project, registry):
    registry.set_alias("champion", 3)
    registry.tag_version(1, {"pasam.status": "rejected"})
    extra = registry.client.create_model_version(NAME, "file:///nowhere/4")
    found = check(project).found
    assert "MLflow's alias 'champion' points to 3, the log says 2" in found
    assert any("version 1: MLflow's tag pasam.status is 'rejected'" in line for line in found)
    assert any(line.startswith(f"version {extra.version} is in MLflow and not") for line in found)
    left = check(project, repair=True).left
    assert not any("alias" in line or "tag" in line for line in left)
    assert registry.aliases()["champion"] == 2
    registry.client.delete_model_version(NAME, "1")
    assert "version 1 is not in MLflow any more and is previous" in check(project).left


@pytest.mark.parametrize(("number", "after"), [(1, 2), (2, 4)])
def test_a_version_that_comes_back_under_another_number_is_in_use_if_it_was(
    number, after, monkeypatch
):
    registered = Entry(
        event=REGISTER, version=number, files={"f": "1"}, details={"key": "k", "model_id": "m"}
    )
    version = VersionStanding(number=number, registered=registered, status="")
    client = SimpleNamespace(
        get_logged_model=lambda name: SimpleNamespace(model_id=name, artifact_location="there"),
        create_model_version=lambda *given, **more: SimpleNamespace(version="4"),
    )
    decisions, made = Decisions(SimpleNamespace(client=client), None), []
    decisions.standing = Standing(versions={number: version}, champions=[1, 2])
    decisions.decide = lambda draft: made.extend(draft(decisions.standing).entries) or made
    monkeypatch.setattr(transitions, "download", lambda *given, **more: None)
    monkeypatch.setattr(transitions, "digests_of", lambda place: {"f": "1"})
    transitions._restore(decisions, version)
    (entry,) = made
    assert (entry.version, entry.details["replaces"]) == (4, number)
    assert (entry.before, entry.after) == (2, after)


def test_an_alias_set_by_hand_is_set_back_by_the_next_decision_and_said(project, registry):
    registry.set_alias("champion", 3)
    decisions = open_decisions(project)
    assert registry.aliases()["champion"] == 2
    assert decisions.notes == [
        "MLflow's alias 'champion' pointed to 3; the log of decisions says 2, and so it does now."
    ]


def test_a_registry_that_shows_another_log_is_left_alone(project, registry, tmp_path):
    git(project, "update-ref", "-d", REF)
    with pytest.raises(RegistryError, match=r"begins with .*this clone's is empty.*git remote"):
        open_decisions(project)
    assert registry.aliases()["champion"] == 2


def test_an_emptied_mlflow_is_told_version_by_version(project, mlflow_tables):
    from tracked_world import place_store

    place_store(mlflow_tables, project)
    assert check(project).found[:3] == tuple(
        f"version {n} is not in MLflow any more{use}"
        for n, use in ((1, " and is previous"), (2, " and is champion"), (3, " and is candidate"))
    )
    assert open_registry(project).versions() == []
    with (
        pytest.raises(RegistryError, match="version 2 stands in the log of decisions and not in"),
        open_decisions(project).fetched(2),
    ):
        pass


def test_the_way_back_loads_no_model_library(root):
    code = (
        "import sys, pasam.registry.transitions; "
        "print({'torch', 'pandas', 'matplotlib', 'scipy', 'mlflow'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root
    )
    assert done.stdout == "set()\n"


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
    once = request.getfixturevalue("two_champions" if action == "rollback" else "fresh_once")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    act = ACTIONS[action]
    own = copy_tracked(once, tmp_path / "undisturbed" / "world")
    with standing_in(own):
        act(own.folder)
        wanted = outcome(own.folder)
    own = copy_tracked(once, tmp_path / "timed" / "world")
    with standing_in(own):
        began = time.monotonic()
        assert not run_killed(lambda: act(own.folder), 600)
        took = time.monotonic() - began
        assert outcome(own.folder) == wanted
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
            for left in (*temporary.rglob("*"), *place.rglob("*.part")):
                os.utime(left, (1, 1))  # drafts of the last day may be somebody's
            clean(own.folder, keep=9, days=9)
        assert list(temporary.iterdir()) == []
        assert not list(place.rglob("*.part"))
        shutil.rmtree(place)
    assert killed >= kills // 2
    assert len(DecisionLog(tmp_path / "undisturbed" / "world").read()) == len(wanted["decided"])


@pytest.mark.parametrize(
    ("move", "aliases", "tags"),
    [
        (None, {"champion": 2, "previous": 1, "candidate": 3}, {}),
        (("promote", 3, 2, 2), {"champion": 3, "previous": 2},
         {3: {"pasam.status": "accepted", "pasam.predecessor": "2"}}),
        (("promote", 1, None, None), {"champion": 1, "candidate": 3},
         {1: {"pasam.status": "accepted", "pasam.predecessor": ""}}),
        (("roll back", 1, 2, None), {"champion": 1, "candidate": 3},
         {2: {"pasam.status": "rolled back"}}),
        (("roll back", 3, 9, "1"), {"champion": 3, "previous": 1, "candidate": 3}, {}),
        (("promote", 9, 2, 1), {"champion": 9, "previous": 1, "candidate": 3}, {}),
    ],
)  # fmt: skip
def test_what_was_cut_short_before_the_log_is_finished_in_aliases_and_tags(move, aliases, tags):
    found, changed = {"champion": 2, "previous": 1, "candidate": 3}, {n: {} for n in (1, 2, 3)}
    names = ("action", "to", "champion", "previous")
    text = None if move is None else json.dumps(dict(zip(names, move, strict=True)))
    first_registries._finish_first(text, found, changed)
    assert found == aliases
    assert {number: words for number, words in changed.items() if words} == tags


@pytest.mark.parametrize(
    ("told", "status", "barred"),
    [
        ((), "registered", False),
        (("rejected", "reject", "a", "a"), "refused", False),
        (("rejected", "reject", "b", "a"), "rejected", True),
        (("rejected", "promote", "a", "a"), "rejected", True),
        (("rejected",), "rejected", True),
        (("accepted", "reject"), "accepted", False),
        (("rolled back", "reject"), "rolled back", True),
    ],
)
def test_what_a_person_has_rejected_is_told_from_what_the_gate_refused_before_the_log(
    told, status, barred
):
    told = dict(zip((Tag.STATUS, Tag.DECISION, Tag.WHY, Tag.REASONS), told, strict=False))
    version = SimpleNamespace(number=3)
    found = first_registries._first_details(version, told, {"champion": 2})
    assert (found["status"], found["barred"]) == (status, barred)
    assert found["key"] == "unknown-3"
    in_use = first_registries._first_details(version, told, {"champion": 3})
    assert (in_use["status"], in_use["barred"]) == ("accepted", False)


@pytest.mark.parametrize(
    ("aliases", "before", "champions", "candidate"),
    [
        ({"champion": 3, "candidate": 4}, {3: "2", 2: "1"}, [1, 2, 3], 4),
        ({"champion": 3, "previous": 1}, {3: "2", 2: "1", 1: "2"}, [2, 1, 3], None),
        ({"champion": 3}, {3: "2", 2: "3"}, [2, 3], None),
        ({"champion": 3, "candidate": 9}, {3: "x", 2: "1"}, [3], None),
        ({"candidate": 4}, {4: "3"}, [], 4),
    ],
)
def test_the_line_of_champions_before_the_log_is_read_from_the_tags(
    aliases, before, champions, candidate, monkeypatch
):
    versions = [
        SimpleNamespace(
            number=n, run_id=f"r{n}",
            tags={Tag.PREDECESSOR: before.get(n, ""), Tag.WHY: f"why {n}", Tag.COMMIT: f"c{n}"},
        )
        for n in (4, 2, 1, 3)
    ]  # fmt: skip
    registry = SimpleNamespace(
        aliases=lambda: dict(aliases), unfinished=lambda: None, model_id=lambda n: f"m{n}"
    )
    scores = {2: {"digest": b"table"}}
    monkeypatch.setattr(
        first_registries, "_first_scores", lambda registry, version: scores.get(version.number, {})
    )
    monkeypatch.setattr(
        first_registries, "_first_files", lambda registry, version: {"f": str(version.number)}
    )
    entries, evidence = first_registries.imported(registry, versions)
    *each, last = entries
    assert [(e.event, e.version, e.why, dict(e.files)) for e in each] == [
        ("import", n, f"why {n}", {"f": str(n)}) for n in (1, 2, 3, 4)
    ]  # fmt: skip
    assert [(e.details["model_id"], e.details["run_id"]) for e in each] == [
        (f"m{n}", f"r{n}") for n in (1, 2, 3, 4)
    ]
    assert [e.details["tags"] for e in each] == [{Tag.COMMIT: f"c{n}"} for n in (1, 2, 3, 4)]
    assert [dict(e.evidence) for e in each] == [{}, {"scores.parquet": "digest"}, {}, {}]
    assert evidence == {"digest": b"table"}
    assert last.details == {"champions": champions, "candidate": candidate}
    assert (last.version, last.after) == (None, champions[-1] if champions else None)
