"""Tests of question 5."""

from made_up_run import made_up_ablations, made_up_diagnostics

from pasam.reporting.questions import curves, mining_answer


def test_without_variants_the_spread_alone_is_told(results, make_results):
    assert mining_answer(results).sentence == "This run does not answer it."
    found = mining_answer(make_results(diagnostics=made_up_diagnostics(point_spread=0.33)))
    assert "PA-SAM: 33.0 %" in found.sentence
    assert not found.answered


def test_ways_to_choose_are_compared_and_the_sentence_follows(make_results):
    changes = made_up_ablations(mining_random=-0.1)
    found = mining_answer(make_results(diagnostics=made_up_diagnostics(), **changes))
    assert found.answered
    assert "random points" in found.sentence.split("loses")[0]
    assert "random points: 20." in found.sentence
    assert "loses" not in mining_answer(make_results(**made_up_ablations())).sentence


def test_numbers_become_curves_through_pa_sams_own_choice(make_results):
    charts = curves(make_results(**made_up_ablations()))
    assert [panel.heading for panel in charts.panels] == ["Number of points"]
    svg = charts.panels[0].svg
    assert ">4</text>" in svg
    assert ">8</text>" in svg
