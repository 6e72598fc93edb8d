"""Answers put together from several parts."""

from __future__ import annotations

import dataclasses
import json

from pasam.serving.routes import models_answer


def test_scores_belong_to_the_name_of_the_report_and_the_small_model_is_called_so(shelf, tmp_path):
    scores = {"pa_sam": {"mean": {"miou": 67.2, "mbiou": 52.3}}}
    (tmp_path / "metrics.json").write_text(json.dumps(scores))
    answer = models_answer(shelf.offered().all(), tmp_path / "metrics.json")
    assert [each.name for each in answer.models] == ["pa_sam", "hq_sam", "sam"]
    assert [each.scores for each in answer.models] == [scores["pa_sam"], None, None]
    assert [each.details for each in answer.models] == [True, False, False]
    assert all(each.small for each in answer.models)
    assert "synthetic images only" in answer.note


def test_a_registered_versions_own_scores_come_before_the_reports(shelf, tmp_path):
    (tmp_path / "metrics.json").write_text('{"pa_sam": {"mean": {"mbiou": 52.3}}}')
    own = {"mean": {"mbiou": 40.0}}
    champion = dataclasses.replace(shelf.offered().get("pa_sam"), scores=own)
    (answer,) = models_answer([champion], tmp_path / "metrics.json").models
    assert answer.scores == own
