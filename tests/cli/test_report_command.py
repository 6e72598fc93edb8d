"""The commands `pasam report`, as a person types them."""

from __future__ import annotations

from PIL import Image
from typer.testing import CliRunner

from pasam.cli.app import app


def test_the_report_is_table_1_and_the_figures_paths(in_empty_folder):
    reports = in_empty_folder / "reports"
    reports.mkdir()
    (reports / "table1.md").write_text("| Model | mIoU |\n|---|---|\n| PA-SAM | 81.2 |\n")
    (reports / "figure1.png").write_bytes(b"")
    output = CliRunner().invoke(app, ("report", "show")).output
    assert "| PA-SAM | 81.2 |" in output
    assert output.endswith("Figure: reports/figure1.png\n")
    (reports / "index.html").write_text("<p>")
    output = CliRunner().invoke(app, ("report", "show")).output
    assert output.endswith("Page: reports/index.html\n")


def test_the_page_is_opened_in_the_browser(in_empty_folder, monkeypatch):
    opened = []
    monkeypatch.setattr("typer.launch", opened.append)
    (in_empty_folder / "reports").mkdir()
    (in_empty_folder / "reports" / "index.html").write_text("<p>")
    assert CliRunner().invoke(app, ("report", "open")).exit_code == 0
    assert opened == [(in_empty_folder / "reports" / "index.html").resolve().as_uri()]


def test_without_a_page_nothing_is_opened_and_the_command_to_make_it_is_named(in_empty_folder):
    result = CliRunner().invoke(app, ("report", "open"))
    assert result.exit_code == 2
    assert "reports/index.html does not exist" in result.output
    assert "dvc repro" in result.output


def test_the_figure_of_the_last_run_becomes_the_one_that_the_readme_shows(in_empty_folder, root):
    result = CliRunner().invoke(app, ("report", "images"))
    assert result.exit_code == 2
    assert "reports/figure1.png does not exist" in result.output
    (in_empty_folder / "reports").mkdir()
    Image.new("RGBA", (3200, 400), (10, 200, 10, 255)).save("reports/figure1.png")
    result = CliRunner().invoke(app, ("report", "images"))
    assert result.output == "Image: docs/images/figure1.png\n"
    with Image.open("docs/images/figure1.png") as shown:
        assert shown.size == (1600, 200)
        assert shown.convert("RGB").getpixel((5, 5)) == (10, 200, 10)
    assert "(docs/images/figure1.png)" in (root / "README.md").read_text()
