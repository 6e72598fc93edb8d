"""Whatever kills a move, and wherever, there is one valid champion and the move can be finished."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys

import pytest
from filelock import FileLock

from pasam.errors import BusyError, RegistryError
from pasam.registry.store import Tag
from pasam.registry.transitions import (
    AuditLog,
    apply,
    exclusive,
    finish,
    lock_path,
    plan_promotion,
    plan_rollback,
    promote_version,
    reject,
    rollback,
)
from pasam.registry.versions import Registry, open_registry

CHANGES = ("set_alias", "tag_version", "set_tag")


class Crash(BaseException):
    """Not an Exception: nothing may catch it."""


@pytest.fixture
def log(tmp_path):
    return AuditLog(tmp_path / "mlruns")


def crash_at(patch, step, when, die):
    """Let the step-th change of the registry or the log die, before or after it is done."""
    done = [0]

    def dying(change):
        def wrapped(*arguments, **options):
            done[0] += 1
            if done[0] == step and when == "before":
                die()
            change(*arguments, **options)
            if done[0] == step and when == "after":
                die()

        return wrapped

    for name in CHANGES:
        patch.setattr(Registry, name, dying(getattr(Registry, name)))
    patch.setattr(AuditLog, "append", dying(AuditLog.append))
    return done


def raise_crash():
    raise Crash


def walk(registry, log, plan, *, old, new, way_back=False):
    """Die at every step in both ways, from a fresh start each time; return the number of steps."""
    steps = 0
    while True:
        steps += 1
        for when in ("before", "after"):
            start(registry)
            transition = plan()
            with pytest.MonkeyPatch.context() as patch:
                crash_at(patch, steps, when, raise_crash)
                try:
                    apply(registry, log, transition)
                except Crash:
                    survived = False
                else:
                    survived = True
            champion = registry.aliases()["champion"]
            assert champion in (old, new)
            assert registry.version(champion).number == champion
            if way_back and champion == new:
                assert registry.aliases()["previous"] == old
            again = finish(registry, log)
            if again is None and registry.aliases()["champion"] == old:
                apply(registry, log, plan())  # it died before anything was done
            assert finish(registry, log) is None
            yield steps, when
        if survived:
            return


def start(registry):
    registry.set_tag("pasam.in_progress", None)
    for alias, number in (("champion", 2), ("previous", 1), ("candidate", 3)):
        registry.set_alias(alias, number)
    registry.tag_version(2, {"pasam.predecessor": "1", "pasam.status": "accepted"})
    registry.tag_version(3, {"pasam.predecessor": "", "pasam.status": "registered"})


def test_a_promotion_that_dies_at_any_step_is_finished_by_the_next_call(registry, log):
    seen = 0
    plan = lambda: plan_promotion(registry, 3, why="better")  # noqa: E731
    for _ in walk(registry, log, plan, old=2, new=3, way_back=True):
        assert registry.aliases() == {"champion": 3, "previous": 2}
        assert registry.version(3).tags["pasam.predecessor"] == "2"
        assert registry.version(3).status == "accepted"
        last = log.events()[-1]
        assert (last["event"], last["to"], last["champion"]) == ("promote", 3, 2)
        seen += 1
    assert seen >= 16  # eight steps, each before and after


def test_a_rollback_that_dies_at_any_step_is_finished_by_the_next_call(registry, log):
    registry.tag_version(1, {"pasam.predecessor": ""})
    plan = lambda: plan_rollback(registry, why="worse in use")  # noqa: E731
    for _ in walk(registry, log, plan, old=2, new=1):
        aliases = registry.aliases()
        assert (aliases["champion"], aliases.get("previous")) == (1, None)
        assert registry.version(2).status == "rolled back"
        assert registry.version(2).tags["pasam.why"] == "worse in use"


def test_a_finished_move_is_logged_once(registry, log):
    with pytest.MonkeyPatch.context() as patch:
        crash_at(patch, 8, "before", raise_crash)  # after the log, before the intention is gone
        with pytest.raises(Crash):
            apply(registry, log, plan_promotion(registry, 3, why="better"))
    finish(registry, log)
    assert [event["event"] for event in log.events()] == ["promote"]


def test_rolling_back_follows_the_champions_before(registry, log):
    apply(registry, log, plan_promotion(registry, 3, why="better"))
    apply(registry, log, plan_rollback(registry, why="no"))
    assert registry.aliases() == {"champion": 2, "previous": 1}
    apply(registry, log, plan_rollback(registry, why="no again"))
    assert registry.aliases() == {"champion": 1}
    with pytest.raises(RegistryError, match=r"no previous champion .*\{'champion': 1\}"):
        plan_rollback(registry, why="nowhere to go")


def test_the_second_of_two_at_once_is_told_and_changes_nothing(registry):
    with (
        FileLock(lock_path(registry.store)),
        pytest.raises(BusyError, match=r"another process .*registry\.lock.*Nothing was changed"),
        exclusive(registry.store),
    ):
        pytest.fail("two held the registry at once")
    with exclusive(registry.store):
        pass  # free again


def die_for_real(project, step, when):
    registry = open_registry(project)
    with pytest.MonkeyPatch.context() as patch, exclusive(registry.store):
        crash_at(patch, step, when, lambda: os.kill(os.getpid(), signal.SIGKILL))
        transition = plan_promotion(registry, 3, why="better")
        apply(registry, AuditLog(registry.store.folder), transition)


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", range(1, 9))
def test_kill_9_at_any_step_leaves_one_champion_and_no_lock(step, when, registry, tmp_path, log):
    context = multiprocessing.get_context("spawn")
    child = context.Process(target=die_for_real, args=(tmp_path, step, when))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert registry.aliases()["champion"] in (2, 3)
    with exclusive(registry.store):
        if finish(registry, log) is None and registry.aliases()["champion"] == 2:
            apply(registry, log, plan_promotion(registry, 3, why="better"))
    assert registry.aliases() == {"champion": 3, "previous": 2}


@pytest.fixture
def project(registry, tmp_path):
    """The folder of the registry of three versions."""
    return tmp_path


def events(registry):
    return [event["event"] for event in AuditLog(registry.store.folder).events()]


def test_a_version_that_the_gate_accepted_is_promoted_by_number_or_alias(registry, project):
    registry.tag_version(3, {"gate.decision": "promote"})
    outcome = promote_version(project, "candidate", why="looks good")
    assert (outcome.version, outcome.promoted) == (3, True)
    assert registry.aliases() == {"champion": 3, "previous": 2}
    assert "already" in promote_version(project, 3, why="again").message
    assert events(registry) == ["promote"]


@pytest.mark.parametrize("decision", ["reject", None])
def test_a_version_that_the_gate_did_not_accept_is_refused(decision, registry, project):
    if decision:
        registry.tag_version(3, {"gate.decision": decision})
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
    registry.set_tag(
        Tag.INTENT,
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


def test_events_come_back_in_order_with_their_time(tmp_path):
    log = AuditLog(tmp_path / "new" / "folder")
    assert log.events() == []
    log.append({"event": "judge", "version": 1})
    before = log.path.read_bytes()
    log.append({"event": "promote", "version": 1})
    assert [event["event"] for event in log.events()] == ["judge", "promote"]
    assert log.events()[0]["time"].endswith("+00:00")
    assert log.path.read_bytes().startswith(before)


def test_the_same_event_is_not_appended_twice_in_a_row(tmp_path):
    log = AuditLog(tmp_path)
    for version in (1, 1, 2, 1):
        log.append_once({"event": "promote", "version": version})
    assert [event["version"] for event in log.events()] == [1, 2, 1]


def test_a_line_that_a_crash_cut_short_spoils_no_other(tmp_path):
    log = AuditLog(tmp_path)
    log.append({"event": "judge"})
    with log.path.open("a") as file:
        file.write('{"event": "pro')
    log.append({"event": "reject"})
    assert [event["event"] for event in log.events()] == ["judge", "reject"]
