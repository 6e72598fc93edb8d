"""Tests of question 3."""

from made_up_run import made_up_ablations, made_up_diagnostics

from pasam.reporting.questions import prompt_changes_answer


def test_it_needs_diagnostics(results):
    assert not prompt_changes_answer(results).answered


def test_the_sentence_follows_the_sizes(make_results):
    dense = prompt_changes_answer(make_results(diagnostics=made_up_diagnostics())).sentence
    sparse = prompt_changes_answer(
        make_results(diagnostics=made_up_diagnostics(sparse_change=0.9))
    ).sentence
    assert "dense change of 29.8 %" in dense
    assert "the dense one is relatively larger" in dense
    assert "the sparse one is relatively larger" in sparse


def test_each_change_left_out_is_compared(make_results):
    changes = made_up_ablations(no_dense=-0.2)
    found = prompt_changes_answer(make_results(diagnostics=made_up_diagnostics(), **changes))
    assert "no dense compensation" in found.sentence.split("loses")[0]
    assert found.blocks[-1].kind == "strips"
