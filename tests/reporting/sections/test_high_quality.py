"""Tests of Table 1's section."""

import pandas as pd

from pasam.reporting.sections import high_quality_section, legend


def kinds(section):
    return [block.kind for block in section.blocks]


def test_it_holds_table_charts_differences_and_notes(results):
    section = high_quality_section(results)
    assert kinds(section)[:4] == ["table", "charts", "strips", "table"]
    assert [panel.heading for panel in section.blocks[1].panels] == ["Boundary IoU", "IoU"]
    first = section.blocks[2].rows[0]
    assert first.name == "PA-SAM minus SAM"
    assert first.verdict.startswith("gain shown, p ")


def test_published_numbers_have_a_table_of_their_own(make_results):
    published = pd.DataFrame(
        [["pa_sam", "dis_like", "DIS", 81.5, 73.9, 1.0]],
        columns=["model", "benchmark", "published_benchmark", "miou", "mbiou", "tolerance"],
    )
    section = high_quality_section(make_results(published=published))
    captions = [block.grid.caption for block in section.blocks if block.kind == "table"]
    assert any("not comparable" in caption for caption in captions)
    assert not any("published" in head for head in section.blocks[0].grid.head)


def test_one_model_has_no_differences(make_scores, make_results):
    section = high_quality_section(make_results(make_scores(models=("pa_sam",))))
    assert "strips" not in kinds(section)


def test_the_legend_names_every_model_once():
    keys = legend(["sam", "pa_sam", "mine"])
    assert [key.name for key in keys] == ["SAM", "PA-SAM", "mine"]
    assert len({key.colour for key in keys}) == 3
