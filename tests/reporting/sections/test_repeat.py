"""Tests of how to repeat a run."""

from pasam.reporting.sections import repeat_section


def test_seeds_and_commands_are_told(results):
    section = repeat_section(results)
    assert "Seeds: training 42" in section.lead
    assert any(line.startswith("dvc repro") for line in section.blocks[0].lines)
    assert any(line.startswith("dvc metrics diff") for line in section.blocks[0].lines)
