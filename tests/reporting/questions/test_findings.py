"""Tests of question 9."""

from made_up_run import ABLATIONS, made_up_ablations

from pasam.reporting.questions import findings_answer


def test_it_needs_variants(results):
    assert not findings_answer(results).answered


def test_it_counts_what_is_shown_and_says_what_follows(make_results):
    found = findings_answer(make_results(**made_up_ablations(gradient_image=0.1, no_dense=-0.1)))
    assert found.sentence.startswith(
        f"Of {len(ABLATIONS)} variants, 1 are shown to be better than PA-SAM in boundary IoU, 1 "
        "worse, and for 8 no difference is shown."
    )
    assert "What to adopt, by these numbers: edges of the image itself" in found.sentence
    assert "What costs most: no dense compensation" in found.sentence
    assert "With fewer numbers, and no difference shown:" in found.sentence
    assert found.blocks[0].folded


def test_other_numbers_give_another_sentence(make_results):
    sentences = {
        findings_answer(make_results(**made_up_ablations(no_dense=by))).sentence
        for by in (0, -0.1, 0.1)
    }
    assert len(sentences) == 3
