"""Tests of names and their order."""

from pasam.reporting.style import label, mean_label, ordered_benchmarks, ordered_models, row_label


def test_models_come_oracle_first_and_strangers_last_by_name():
    found = ordered_models(["zeta", "pa_sam", "sam", "alpha", "oracle", "hq_sam", "sam"])
    assert found == ["oracle", "sam", "hq_sam", "pa_sam", "alpha", "zeta"]


def test_the_best_combination_stands_behind_pa_sam_and_has_a_name():
    assert ordered_models(["pa_sam_plus", "pa_sam"]) == ["pa_sam", "pa_sam_plus"]
    assert label("pa_sam_plus") == "PA-SAM+"


def test_benchmarks_come_in_the_usual_order_and_strangers_by_name():
    found = ordered_benchmarks(["roots", "thin_like", "dis_like", "horses"])
    assert found == ["dis_like", "thin_like", "horses", "roots"]


def test_a_stranger_keeps_its_key():
    assert (label("mine"), row_label("mine")) == ("mine", "mine")


def test_rows_say_what_oracle_and_sam_are():
    assert row_label("oracle") == "Oracle (ceiling of the mask resolution)"
    assert row_label("sam") == "SAM (base)"
    assert row_label("pa_sam") == "PA-SAM"


def test_the_mean_says_of_how_many():
    assert mean_label(4) == "Mean of 4"
