"""Tests of sentences computed from numbers."""

import pytest

from pasam.reporting.wording import comparison, counted, listed, signed, span

ROW = {
    "model": "pa_sam", "against": "sam", "metric": "mbiou", "difference": 2.14, "low": 1.2,
    "high": 3.0, "better": 62.0, "worse": 38.0, "verdict": "gain shown",
}  # fmt: skip
MINUS = "\N{MINUS SIGN}"


def test_a_gain_a_loss_and_an_open_question_are_three_sentences():
    gain = comparison(ROW, level="95 %")
    assert gain == (
        "PA-SAM is 2.1 points of boundary IoU above SAM (95 % interval +1.2 to +3.0; better on 62 "
        "% of the images, worse on 38 %)."
    )
    loss = comparison({**ROW, "difference": -2.1, "verdict": "loss shown"}, level="95 %")
    assert "PA-SAM is 2.1 points of boundary IoU below SAM" in loss
    still_open = comparison({**ROW, "low": -0.1, "verdict": "no difference shown"}, level="95 %")
    assert still_open.startswith("No difference in boundary IoU is shown between PA-SAM and SAM")
    assert "equal" not in still_open


def test_other_numbers_give_another_sentence():
    assert comparison(ROW, level="95 %") != comparison({**ROW, "difference": 3.4}, level="95 %")


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
