"""Tests of Table 4's section."""

from made_up_run import made_up_ablations

from pasam.reporting.sections import ablation_grid, ablations_section


def test_without_variants_it_names_the_command(results):
    block = ablations_section(results).blocks[0]
    assert (block.kind, block.command) == ("absent", "pasam params use ablation && dvc repro")


def test_every_group_has_its_strips_then_comes_the_table(make_results):
    section = ablations_section(make_results(**made_up_ablations(no_dense=-0.1)))
    kinds = [block.kind for block in section.blocks]
    assert kinds == ["strips"] * 6 + ["table", "text"]
    first = section.blocks[0]
    assert first.heading == "Components"
    assert [row.verdict.split(",")[0] for row in first.rows].count("loss shown") == 1


def test_the_table_begins_with_the_model_itself_and_tells_cost_and_difference(make_results):
    grid = ablation_grid(make_results(**made_up_ablations(no_dense=-0.1)))
    assert grid.rows[0][0] == "PA-SAM"
    assert grid.rows[0][-1] == "1,234"
    rows = {row[0]: row for row in grid.rows}
    assert rows["no_dense"][4].startswith("-10")
    assert rows["no_dense"][-1] == "1,000"
    assert rows["nothing"][4:6] == ("+0.0 [+0.0, +0.0]", "1.000")
    assert "10 variants" in grid.notes[0]
