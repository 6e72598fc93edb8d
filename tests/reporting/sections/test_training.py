"""Tests of the training curves."""

from pasam.reporting.sections import training_section


def test_every_model_has_a_chart_and_every_term_an_entry_in_the_legend(results):
    charts = training_section(results).blocks[0]
    assert [panel.heading for panel in charts.panels] == ["HQ-SAM", "PA-SAM"]
    assert [key.name for key in charts.legend] == ["loss (total)", "loss_dice"]
    assert "loss_dice, 1: 1" in charts.panels[0].svg  # the first epoch is called 1
