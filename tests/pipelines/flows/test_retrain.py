"""Flow `retrain`: nothing new costs nothing, new work is finished, in the right order."""

from __future__ import annotations

import pytest

from pasam.errors import StageError, TransientError
from pipelines.flows import retrain as flow
from pipelines.flows.engine import Outcome
from pipelines.flows.retrain import retrain
from pipelines.flows.workspace import is_unfinished


class World:
    """Stand-ins for everything that a retraining touches."""

    def __init__(self):
        self.changed = ("train@pa_sam",)
        self.done = []
        self.told = []
        self.outcome = Outcome("promoted", "version 2 is champion now")
        self.fails = {}

    def step(self, name, result=None):
        def act(*args, **kwargs):
            self.done.append(name)
            if name in self.fails:
                raise self.fails[name]
            return getattr(self, result) if result else None

        return act


@pytest.fixture
def world(monkeypatch, in_empty_folder):
    made = World()
    monkeypatch.setattr(flow, "fetch", made.step("pull"))
    monkeypatch.setattr(flow, "changed_stages", made.step("status", "changed"))
    monkeypatch.setattr(flow, "reproduce", made.step("reproduce"))
    monkeypatch.setattr(flow, "share", made.step("share"))
    monkeypatch.setattr(flow, "record", made.step("record"))
    monkeypatch.setattr(flow, "consider", made.step("consider", "outcome"))
    monkeypatch.setattr("pipelines.flows.promote.tell", lambda *words: made.told.append(words))
    return made


WORK = ["reproduce", "share", "record", "consider"]


def test_nothing_new_ends_unchanged_at_once(world):
    world.changed = ()
    assert retrain().name == "unchanged"
    assert world.done == ["status"]


def test_what_is_new_is_shared_before_it_is_recorded_and_judged(world):
    assert retrain(notify="https://example.org").name == "promoted"
    assert world.done == ["status", *WORK]
    assert world.told == [
        ("https://example.org", "pasam has a new champion", "version 2 is champion now")
    ]
    assert not is_unfinished()


def test_a_rejected_candidate_is_told_to_nobody(world):
    world.outcome = Outcome("rejected", "worse")
    assert retrain(notify="https://example.org") == world.outcome
    assert world.told == []


@pytest.mark.parametrize("step", WORK)
def test_work_that_was_cut_short_is_finished_although_nothing_is_new_then(step, world):
    world.fails = {step: TransientError("MLflow is away")}
    with pytest.raises(TransientError):
        retrain()
    world.fails, world.changed, world.done = {}, (), []
    assert retrain().name == "promoted"
    assert world.done == ["status", *WORK]
    world.done = []
    assert retrain().name == "unchanged"


def test_a_failed_training_is_neither_shared_nor_judged(world):
    world.fails = {"reproduce": StageError("bad mask")}
    with pytest.raises(StageError, match="bad mask"):
        retrain()
    assert world.done == ["status", "reproduce"]


def test_what_others_have_made_counts_as_not_new(world):
    retrain(pull=True)
    assert world.done[:2] == ["pull", "status"]


def test_all_steps_can_be_asked_for(world):
    world.changed = ()
    retrain(force=True)
    assert world.done == ["status", *WORK]
