"""Whatever kills a move, and wherever, there is one valid champion and the move can be finished."""

from __future__ import annotations

import multiprocessing
import os
import signal

import pytest
from filelock import FileLock

from pasam.errors import BusyError, RegistryError
from pasam.registry.transitions import (
    Journal,
    carry_out,
    exclusive,
    finish,
    lock_path,
    start_promotion,
    start_rollback,
)
from pasam.registry.versions import Registry, open_registry

CHANGES = ("point", "tag", "note")


class Crash(BaseException):
    """Not an Exception: nothing may catch it."""


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "mlruns")


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
    patch.setattr(Journal, "append", dying(Journal.append))
    return done


def raise_crash():
    raise Crash


def walk(registry, journal, plan, *, old, new):
    """Die at every step in both ways, from a fresh start each time; return the number of steps."""
    steps = 0
    while True:
        steps += 1
        for when in ("before", "after"):
            start(registry)
            move = plan()
            with pytest.MonkeyPatch.context() as patch:
                crash_at(patch, steps, when, raise_crash)
                try:
                    carry_out(registry, journal, move)
                except Crash:
                    survived = False
                else:
                    survived = True
            champion = registry.aliases()["champion"]
            assert champion in (old, new)
            assert registry.version(champion).number == champion
            again = finish(registry, journal)
            if again is None and registry.aliases()["champion"] == old:
                carry_out(registry, journal, plan())  # it died before anything was done
            assert finish(registry, journal) is None
            yield steps, when
        if survived:
            return


def start(registry):
    registry.note("pasam.in_progress", None)
    for alias, number in (("champion", 2), ("previous", 1), ("candidate", 3)):
        registry.point(alias, number)
    registry.tag(2, {"pasam.predecessor": "1", "pasam.status": "accepted"})
    registry.tag(3, {"pasam.predecessor": "", "pasam.status": "registered"})


def test_a_promotion_that_dies_at_any_step_is_finished_by_the_next_call(registry, journal):
    seen = 0
    plan = lambda: start_promotion(registry, 3, why="better")  # noqa: E731
    for _ in walk(registry, journal, plan, old=2, new=3):
        assert registry.aliases() == {"champion": 3, "previous": 2}
        assert registry.version(3).tags["pasam.predecessor"] == "2"
        assert registry.version(3).status == "accepted"
        last = journal.events()[-1]
        assert (last["event"], last["to"], last["champion"]) == ("promote", 3, 2)
        seen += 1
    assert seen >= 16  # eight steps, each before and after


def test_a_rollback_that_dies_at_any_step_is_finished_by_the_next_call(registry, journal):
    registry.tag(1, {"pasam.predecessor": ""})
    plan = lambda: start_rollback(registry, why="worse in use")  # noqa: E731
    for _ in walk(registry, journal, plan, old=2, new=1):
        aliases = registry.aliases()
        assert (aliases["champion"], aliases.get("previous")) == (1, None)
        assert registry.version(2).status == "rolled back"
        assert registry.version(2).tags["pasam.why"] == "worse in use"


def test_a_finished_move_is_logged_once(registry, journal):
    with pytest.MonkeyPatch.context() as patch:
        crash_at(patch, 8, "before", raise_crash)  # after the log, before the intention is gone
        with pytest.raises(Crash):
            carry_out(registry, journal, start_promotion(registry, 3, why="better"))
    finish(registry, journal)
    assert [event["event"] for event in journal.events()] == ["promote"]


def test_rolling_back_follows_the_champions_before(registry, journal):
    carry_out(registry, journal, start_promotion(registry, 3, why="better"))
    carry_out(registry, journal, start_rollback(registry, why="no"))
    assert registry.aliases() == {"champion": 2, "previous": 1}
    carry_out(registry, journal, start_rollback(registry, why="no again"))
    assert registry.aliases() == {"champion": 1}
    with pytest.raises(RegistryError, match=r"no previous champion .*\{'champion': 1\}"):
        start_rollback(registry, why="nowhere to go")


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
        move = start_promotion(registry, 3, why="better")
        carry_out(registry, Journal(registry.store.folder), move)


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", range(1, 9))
def test_kill_9_at_any_step_leaves_one_champion_and_no_lock(
    step, when, registry, tmp_path, journal
):
    context = multiprocessing.get_context("spawn")
    child = context.Process(target=die_for_real, args=(tmp_path, step, when))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert registry.aliases()["champion"] in (2, 3)
    with exclusive(registry.store):
        if finish(registry, journal) is None and registry.aliases()["champion"] == 2:
            carry_out(registry, journal, start_promotion(registry, 3, why="better"))
    assert registry.aliases() == {"champion": 3, "previous": 2}
