"""Tests of what a run is said to be unable to show."""

import dataclasses

from pasam.reporting.sections import cannot_show, setting_section


def test_a_small_base_generated_data_one_seed_and_few_images_are_limits(results):
    text = "; ".join(cannot_show(results))
    for words in ("small one", "generated", "paper", "another seed", "6 images"):
        assert words in text


def test_a_run_without_these_limits_still_claims_nothing_more(make_scores, make_results):
    scores = make_scores(benchmarks=("a", "b"), n=40, seeds=(1, 2, 3))
    results = make_results(scores, comparable=True)
    large = dataclasses.replace(
        results,
        base=results.base.replaced(size="vit_l"),
        manifest=results.manifest[results.manifest["split"] == "val"],
    )
    assert cannot_show(large) == ["what happens on data unlike these benchmarks"]


def test_the_facts_name_data_recipes_and_seeds(results):
    rows = dict(setting_section(results).blocks[0].grid.rows)
    assert rows["Training set"] == "1 image, 2 masks"
    assert "1,234 numbers" in rows["Trained: PA-SAM"]
    assert rows["Seeds of training"] == "42"
