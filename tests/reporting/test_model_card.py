"""Tests of the model cards."""

import dataclasses
import re

import pytest
import yaml

from pasam.reporting.model_card import base_card, model_card

HEADINGS = (
    "Model details", "Uses", "Bias, risks and limitations",
    "How to get started with the model", "Training details", "Evaluation",
    "Environmental impact", "Technical specifications", "Citation", "Model card contact",
)  # fmt: skip


@pytest.fixture(scope="module")
def card(request):
    from made_up_run import made_up_results

    return model_card(made_up_results(), "pa_sam")


def test_the_headings_are_hugging_faces(card):
    assert tuple(re.findall(r"^## (.*)$", card, re.MULTILINE)) == HEADINGS


def test_the_front_matter_is_yaml_with_the_results(card):
    front = yaml.safe_load(card.split("---")[1])
    assert front["pipeline_tag"] == "mask-generation"
    assert front["license"] == "apache-2.0"
    measured = front["model-index"][0]["results"]
    assert [row["dataset"]["name"] for row in measured][-1] == "mean"
    assert {m["type"] for m in measured[0]["metrics"]} == {"mean_iou", "boundary_iou"}


def test_numbers_limits_and_every_hyperparameter_are_in_it(card):
    assert "1,234" in card
    assert "cannot show" in card
    assert "since the base is the small one" in card
    assert "| learning_rate" in card
    assert "| gradient" in card
    assert "PA-SAM is 20.0 points of boundary IoU above SAM" in card


def test_other_numbers_make_another_card(card, make_scores, make_results):
    scores = make_scores()
    scores.loc[scores["model"] == "pa_sam", "boundary_iou"] -= 0.3
    other = model_card(make_results(scores), "pa_sam")
    assert "PA-SAM is 10.0 points of boundary IoU below SAM" in other
    assert other != card


def test_every_trained_model_has_a_card_of_its_own(results):
    hq = model_card(results, "hq_sam")
    assert "# Model card: HQ-SAM" in hq
    assert "2306.01567" in hq


def test_the_small_base_has_a_card_too_and_a_foreign_one_has_none(results):
    card = base_card(results)
    assert "# Model card: vit_tiny" in card
    assert "| warmup_steps" in card
    assert "make pretrain" in card
    official = results.base.replaced(size="vit_l")
    assert base_card(dataclasses.replace(results, base=official)) is None
    assert base_card(dataclasses.replace(results, pretrain=None)) is None
