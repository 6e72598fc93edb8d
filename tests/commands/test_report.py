"""The commands `pasam report`, as a person types them."""

from __future__ import annotations

from typer.testing import CliRunner

from pasam.cli import app


def test_the_report_is_table_1_and_the_figures_paths(in_empty_folder):
    reports = in_empty_folder / "reports"
    reports.mkdir()
    (reports / "table1.md").write_text("| Model | mIoU |\n|---|---|\n| PA-SAM | 81.2 |\n")
    (reports / "figure1.png").write_bytes(b"")
    output = CliRunner().invoke(app, ("report", "show")).output
    assert "| PA-SAM | 81.2 |" in output
    assert output.endswith("Figure: reports/figure1.png\n")
