"""A verdict says why: all reasons of an acceptance, the failed ones of a rejection."""

from __future__ import annotations

from pasam.registry.decision import PROMOTE, REJECT, Check, Verdict

GOOD = Check(name="floor", passed=True, reason="high enough")
BAD = Check(name="gain", passed=False, reason="no gain")


def test_a_rejection_gives_the_reasons_that_failed():
    verdict = Verdict(decision=REJECT, checks=(GOOD, BAD), scores={}, gains={})
    assert not verdict.accepted
    assert verdict.reasons == ("no gain",)


def test_an_acceptance_gives_every_reason():
    verdict = Verdict(decision=PROMOTE, checks=(GOOD,), scores={}, gains={})
    assert verdict.accepted
    assert verdict.reasons == ("high enough",)
