"""Answers put together from several parts."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from pasam.serving.prompt_jobs import mask_record
from pasam.serving.routes import as_coco, models_answer


def test_scores_belong_to_the_name_of_the_report_and_the_small_model_is_called_so(shelf, tmp_path):
    scores = {"pa_sam": {"mean": {"miou": 67.2, "mbiou": 52.3}}}
    (tmp_path / "metrics.json").write_text(json.dumps(scores))
    answer = models_answer(shelf.offered().all(), tmp_path / "metrics.json")
    assert [each.name for each in answer.models] == ["pa_sam", "hq_sam", "sam"]
    assert [each.scores for each in answer.models] == [scores["pa_sam"], None, None]
    assert [each.details for each in answer.models] == [True, False, False]
    assert all(each.small for each in answer.models)
    assert "generated pictures only" in answer.note


def test_a_registered_versions_own_scores_come_before_the_reports(shelf, tmp_path):
    (tmp_path / "metrics.json").write_text('{"pa_sam": {"mean": {"mbiou": 52.3}}}')
    own = {"mean": {"mbiou": 40.0}}
    champion = dataclasses.replace(shelf.offered().get("pa_sam"), scores=own)
    (answer,) = models_answer([champion], tmp_path / "metrics.json").models
    assert answer.scores == own


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # pycocotools speaks numpy 1
def test_a_coco_set_is_read_by_pycocotools(tmp_path):
    from pycocotools.coco import COCO

    mask = np.zeros((6, 9), bool)
    mask[2:4, 3:8] = True
    (tmp_path / "coco.json").write_text(
        json.dumps(as_coco([mask_record(mask, 0.5, "coco")], (6, 9)))
    )
    coco = COCO(str(tmp_path / "coco.json"))
    (annotation,) = coco.loadAnns(coco.getAnnIds())
    assert np.array_equal(coco.annToMask(annotation) > 0, mask)
    assert (annotation["area"], annotation["bbox"]) == (10, [3, 2, 5, 2])
