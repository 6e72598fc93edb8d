"""Flow `promote`: from the registry's answer to a word, a page and a message."""

from __future__ import annotations

from pathlib import Path

import pytest

from pasam.registry.decision import PROMOTE, REJECT, Check, Gain, Verdict
from pasam.registry.transitions import Outcome as Promotion
from pipelines.flows import promote as flow
from pipelines.flows.engine import Outcome
from pipelines.flows.promote import announce, promote, shown


def verdict(decision, gains=()):
    passed = decision == PROMOTE
    checks = (
        Check(name="tree", passed=True, reason="the working tree is clean"),
        Check(name="gain", passed=passed, reason="mean: gain -1.20"),
    )
    return Verdict(decision=decision, checks=checks, scores={"mean": 60}, gains=dict(gains))


WINS = verdict(PROMOTE, {"mean": Gain(mean=1.5, low=0.25, spread=6.0, images=40)}.items())
FIRST = verdict(PROMOTE)
LOSES = verdict(REJECT)


def promotion(promoted, judged=None, moved=False):
    return Promotion(
        version=3, promoted=promoted, moved=moved, verdict=judged, page=Path("v.html"),
        message="version 3 x",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("promoted", "judged", "name", "words"),
    [
        (True, FIRST, "promoted", "all 2 checks hold, boundary IoU 60.00"),
        (True, WINS, "promoted",
         "all 2 checks hold, boundary IoU 60.00, gain +1.50 (at least +0.25)"),
        (False, FIRST, "accepted", "all 2 checks hold, boundary IoU 60.00"),
        (False, LOSES, "rejected", "mean: gain -1.20"),
    ],
)  # fmt: skip
def test_a_judgement_becomes_a_word_with_its_reasons(promoted, judged, name, words):
    outcome = shown(promotion(promoted, judged, moved=promoted))
    assert outcome == Outcome(name, f"version 3 x: {words}.")


def test_a_version_that_is_champion_already_is_not_announced(monkeypatch):
    told = []
    monkeypatch.setattr(flow, "tell", lambda *words: told.append(words))
    outcome = shown(promotion(True))
    announce(outcome, "https://example.org")
    assert (outcome.name, told) == ("champion", [])


def test_a_promotion_without_a_gate_is_one_too():
    assert shown(promotion(True, moved=True)) == Outcome("promoted", "version 3 x.")


def test_a_promotion_is_announced(monkeypatch):
    told = []
    monkeypatch.setattr(flow, "tell", lambda *words: told.append(words))
    announce(Outcome("promoted", "version 3 is champion now"), "team")
    assert told == [("team", "pasam has a new champion", "version 3 is champion now")]


def test_without_a_version_the_last_reproduction_is_judged(monkeypatch, in_empty_folder):
    asked = []
    answer = Outcome("rejected", "worse")
    monkeypatch.setattr(flow, "consider", lambda *words: asked.append(words) or answer)
    assert promote(allow_local=True, why="trial") == answer
    assert asked == [(True, "trial")]


def test_a_named_version_is_promoted_as_it_was_judged(monkeypatch, in_empty_folder):
    asked = []
    answer = Outcome("champion", "version 2 is champion now")
    monkeypatch.setattr(flow, "promote_judged", lambda *words: asked.append(words) or answer)
    assert promote(version="2", why="asked for") == answer
    assert asked == [("2", "asked for")]
