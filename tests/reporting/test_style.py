"""Units, words and colours of the reports."""

import math

import numpy as np
import pytest
from PIL.ImageColor import getrgb

from pasam.reporting import style as palette
from pasam.reporting.style import (
    MEAN,
    NOTHING,
    comparison_sentence,
    counted,
    label,
    listed,
    mean_label,
    of_weights,
    ordered_benchmarks,
    ordered_models,
    p_text,
    percent,
    points,
    row_label,
    signed,
    span,
)


def test_true_positives_false_positives_and_false_negatives_differ_in_lightness_too():
    weights = np.array([0.299, 0.587, 0.114])
    colours = (palette.FALSE_POSITIVE, palette.TRUE_POSITIVE, palette.FALSE_NEGATIVE)
    lightness = [float(np.dot(getrgb(colour), weights)) for colour in colours]
    assert np.diff(lightness).min() > 30


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
    drawn = ["dis_like", "thin_like"]
    assert mean_label([*drawn, "photos", MEAN]) == "Mean of 2 synthetic"
    assert mean_label(["mine", *drawn]) == "Mean of 3"
    assert mean_label(["photos"]) == "Mean of 1"


@pytest.mark.parametrize(
    ("share", "shown"), [(0.123456789, 12.3457), (-0.2, 0.0), (math.inf, 100.0), (1.0, 100.0)]
)
def test_shares_are_per_cent_between_nothing_and_everything(share, shown):
    assert percent(share) == shown


@pytest.mark.parametrize(
    ("difference", "shown"), [(-0.5, -50.0), (-math.inf, -100.0), (math.inf, 100.0), (-1e-9, 0.0)]
)
def test_differences_are_points_that_cannot_leave_the_scale(difference, shown):
    assert points(difference) == shown
    assert math.copysign(1, points(-1e-9)) == 1


def test_what_is_unknown_stays_unknown():
    assert math.isnan(points(math.nan))
    assert math.isnan(percent(math.nan))


ROW = {
    "model": "pa_sam", "against": "sam", "metric": "mbiou", "difference": 2.14, "low": 1.2,
    "high": 3.0, "better": 62.0, "worse": 38.0, "verdict": "gain shown",
    "seeds": 3,
}  # fmt: skip
MINUS = "\N{MINUS SIGN}"


def test_a_gain_a_loss_and_an_open_question_are_three_sentences():
    gain = comparison_sentence(ROW, level="95 %")
    assert gain == (
        "PA-SAM is 2.1 points of boundary IoU above SAM (95 % interval +1.2 to +3.0; better in 62 "
        "% of cases, worse in 38 %)."
    )
    loss = comparison_sentence({**ROW, "difference": -2.1, "verdict": "loss shown"}, level="95 %")
    assert "PA-SAM is 2.1 points of boundary IoU below SAM" in loss
    still_open = comparison_sentence(
        {**ROW, "low": -0.1, "verdict": "no difference shown"}, level="95 %"
    )
    assert still_open.startswith("No difference in boundary IoU is shown between PA-SAM and SAM")
    assert "equal" not in still_open


def test_a_comparison_of_one_seed_says_that_it_is_of_these_weights():
    said = comparison_sentence({**ROW, "seeds": 1}, level="95 %")
    assert "(95 % interval +1.2 to +3.0, of these weights; better" in said
    assert "weights" not in comparison_sentence(ROW, level="95 %")


def test_intervals_are_of_these_weights_where_all_are_of_one_seed():
    one, three = {"seeds": 1}, {"seeds": 3}
    said = [of_weights(rows) for rows in ([one, one], [one, three], [three])]
    assert said == [" of these weights", "", ""]


def test_what_holms_correction_makes_of_a_row_stands_beside_its_interval():
    open_row = {**ROW, "verdict": "no difference shown", "p_holm": 0.142}
    said = comparison_sentence(open_row, level="95 %")
    assert said.endswith("(95 % interval +1.2 to +3.0; p = 0.142 after Holm's correction).")
    assert "p <0.001 after Holm" in comparison_sentence({**ROW, "p_holm": 0.0}, level="95 %")
    without = {**open_row, "seeds": 1, "p_holm": float("nan")}
    assert "of these weights; not after Holm's correction)" in comparison_sentence(
        without, level="95 %"
    )
    assert "Holm" not in comparison_sentence({**without, "low": -1.0}, level="95 %")
    assert "Holm" not in comparison_sentence(ROW, level="95 %")
    below = {**without, "difference": -2.1, "low": -3.0, "high": -1.2}
    assert "of these weights; not after Holm's correction)" in comparison_sentence(
        below, level="95 %"
    )
    kept = {**below, "verdict": "loss shown"}
    assert "Holm" not in comparison_sentence(kept, level="95 %")


def test_other_numbers_give_another_sentence():
    assert comparison_sentence(ROW, level="95 %") != comparison_sentence(
        {**ROW, "difference": 3.4}, level="95 %"
    )


@pytest.mark.parametrize(
    ("value", "text"), [(1.26, "+1.3"), (-1.26, f"{MINUS}1.3"), (0.0, "0.0"), (-0.04, "0.0")]
)
def test_a_difference_has_its_sign_unless_it_rounds_to_nothing(value, text):
    assert signed(value) == text


def test_ends_lists_and_counts_read_as_words():
    assert span(-1, 2) == f"{MINUS}1.0 to +2.0"
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert (counted(1, "image"), counted(1200, "image")) == ("1 image", "1,200 images")


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.0, "<0.001"), (0.00099, "<0.001"), (0.001, "0.001"), (0.0011, "0.001"), (1.0, "1.000")],
)
def test_a_p_value_has_three_decimals_and_none_is_nought(p, text):
    assert p_text(p) == text


def test_where_seeds_carry_no_p_value_there_is_none():
    assert p_text(float("nan")) == NOTHING
