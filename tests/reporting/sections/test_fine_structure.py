"""Tests of the gain by fineness."""

from pasam.reporting.sections import fine_structure_section


def test_both_measures_are_drawn_told_and_given_in_numbers(results):
    charts, *sentences = fine_structure_section(results).blocks
    assert [panel.heading for panel in charts.panels] == [
        "By boundary complexity", "By thinness",
    ]  # fmt: skip
    assert len(sentences) == 2
    assert {row[0] for row in charts.numbers.rows} == {"complexity", "thinness"}
    assert charts.legend[0].name == "PA-SAM minus SAM"
