"""Tests of question 7."""

from made_up_run import change_scores

from pasam.reporting.questions import fine_structure_answer


def test_the_sentence_changes_with_the_gain_on_intricate_outlines(make_scores, make_results):
    scores = make_scores(n=12)
    rising = change_scores(scores, "pa_sam", lambda rows: 0.01 * rows["complexity"].to_numpy())
    falling = change_scores(scores, "pa_sam", lambda rows: -0.01 * rows["complexity"].to_numpy())
    flat, up, down = (
        fine_structure_answer(make_results(s)).sentence for s in (scores, rising, falling)
    )
    assert "no difference between the two is shown" in flat
    assert "larger on the finer ones" in up
    assert "smaller on the finer ones" in down


def test_every_benchmark_is_shown_with_how_fine_it_is(results):
    rows = fine_structure_answer(results).blocks[0].rows
    assert [row.name for row in rows] == ["dis_like", "coift_like", "hrsod_like", "thin_like"]
    assert rows[0].note.startswith("median complexity 4, width ")


def test_one_model_has_no_gain_to_show(make_scores, make_results):
    assert fine_structure_answer(make_results(make_scores(models=("pa_sam",)))).blocks == ()
