"""A champion measured in another way is measured again before it is compared with."""

from __future__ import annotations

from pasam.config.params_file import load_section
from pasam.config.schema import GateParams
from pasam.registry import promotion as judgement
from pasam.registry.candidate import find_candidate
from pasam.registry.model_files import register
from pasam.registry.promotion import assess, promote
from pasam.registry.versions import open_registry


def test_a_champion_of_another_evaluator_is_measured_again(project, monkeypatch):
    promote(project.folder, allow_local=True)
    registry = open_registry(project.folder)
    registry.tag(1, {"evaluation.evaluator": "an older one"})
    calls = []
    real = judgement.todays_scores
    monkeypatch.setattr(
        judgement, "todays_scores", lambda *a, **k: calls.append(1) or real(*a, **k)
    )
    gate = load_section(GateParams, "gate")
    candidate = find_candidate(project.folder, "hq_sam")
    version = register(registry, candidate, run_id=registry.version(1).run_id)
    verdict = assess(project.folder, registry, version, candidate, gate, allow_local=True)
    assert calls == [1]
    assert set(verdict.gains) == {"mean", "dis_like", "thin_like"}
