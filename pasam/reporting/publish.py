"""Every file of the report, written into its folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pasam.reporting.ablations import ablation_names
from pasam.reporting.blocks import Section
from pasam.reporting.charts import score_chart, training_chart
from pasam.reporting.cost import cost_grid
from pasam.reporting.examples import choice_caption, choose_examples
from pasam.reporting.figures import comparison_figure
from pasam.reporting.grid import Grid, comma_separated, latex, markdown
from pasam.reporting.model_card import base_card, model_card
from pasam.reporting.names import label
from pasam.reporting.page import render_page
from pasam.reporting.plot_data import plot_frames
from pasam.reporting.questions.answer import Answer
from pasam.reporting.questions.ten import answers
from pasam.reporting.report_json import report_json
from pasam.reporting.results import Results
from pasam.reporting.sections.ablations import ablation_grid, ablations_section
from pasam.reporting.sections.detectors import coco_section, open_set_section, precision_grids
from pasam.reporting.sections.fine_structure import fine_structure_section
from pasam.reporting.sections.galleries import galleries_section
from pasam.reporting.sections.glance import glance_section
from pasam.reporting.sections.high_quality import high_quality_section
from pasam.reporting.sections.repeat import repeat_section
from pasam.reporting.sections.robustness import robustness_section
from pasam.reporting.sections.setting import setting_section
from pasam.reporting.sections.training import training_section
from pasam.reporting.table1 import overview, pairs, table_notes
from pasam.reporting.tables import csv_text, write_tables, write_text
from pasam.reporting.wording import listed


def publish(results: Results, folder: Path) -> None:
    """Write the page, tables, figures, plots' data, JSON and model cards.

    Args:
        results: The run.
        folder: Gets `index.html`, `report.json`, `table1.md`, `table1.csv`, `differences.csv`,
            `metrics.json`, three PNG figures, and the folders `tables`, `plots`, `model_cards`.
    """
    write_tables(
        results.summary, results.differences, folder,
        setting=results.setting, bootstrap=results.bootstrap,
    )  # fmt: skip
    _write_figures(results, folder)
    for name, grid in _grids(results).items():
        write_text(folder / "tables" / f"{name}.tex", latex(grid, name=name))
        write_text(folder / "tables" / f"{name}.csv", comma_separated(grid))
        notes = "".join(f"\n- {note}" for note in grid.notes)
        text = f"# {grid.caption}\n\n{results.setting}\n\n{markdown(grid)}\n{notes}\n"
        write_text(folder / "tables" / f"{name}.md", text)
    for name, frame in plot_frames(results).items():
        write_text(folder / "plots" / f"{name}.csv", csv_text(frame))
    for model in results.variants:
        write_text(folder / "model_cards" / f"{model}.md", model_card(results, model))
    base = base_card(results)
    if base is not None:
        write_text(folder / "model_cards" / f"{results.base.size}.md", base)
    found = answers(results)
    write_text(folder / "report.json", report_json(results, found))
    page = render_page(
        title=_title(results), setting=results.setting, sections=page_sections(results, found),
        answers=found,
    )  # fmt: skip
    write_text(folder / "index.html", page)


def _title(results: Results) -> str:
    others = [label(model) for model in results.shown if model != results.subject]
    return " against ".join([label(results.subject), *([listed(others)] if others else [])])


def page_sections(results: Results, found: Sequence[Answer]) -> list[Section]:
    """List the sections of the page in its order."""
    questions = Section(
        key="questions",
        title="Ten questions",
        lead=(
            f"What readers of the paper ask. {sum(a.answered for a in found)} of {len(found)} are "
            "answered by this run; every answer is computed from its numbers."
        ),
        blocks=(),
    )
    return [
        glance_section(results),
        setting_section(results),
        high_quality_section(results),
        galleries_section(results),
        fine_structure_section(results),
        robustness_section(results),
        coco_section(results),
        open_set_section(results),
        ablations_section(results),
        questions,
        training_section(results),
        repeat_section(results),
    ]


def _grids(results: Results) -> dict[str, Grid]:
    notes = table_notes(results.summary, results.bootstrap)
    first = overview(results.summary)
    grids = {
        "table1": Grid(caption=first.caption, head=first.head, rows=first.rows, notes=notes),
        "differences": pairs(results.differences, level=results.level),
    }
    cost = cost_grid(results)
    grids |= {} if cost is None else {"cost": cost}
    grids |= precision_grids(results)
    return grids | ({"table4": ablation_grid(results)} if ablation_names(results) else {})


def _write_figures(results: Results, folder: Path) -> None:
    score_chart(
        results.summary, folder / "scores.png", title="Scores by benchmark",
        confidence=results.report.confidence,
    )  # fmt: skip
    training_chart(results.histories, folder / "training.png", title="Training")
    count, by = results.report.figure_rows, results.subject
    choices = choose_examples(results.shown_scores, model=by, per_benchmark=count)
    comparison_figure(
        [results.example(choice.image_id) for choice in choices], folder / "figure1.png",
        title="One box prompt each, and what the models make of it",
        caption=f"{results.setting}\n{choice_caption(model=by, per_benchmark=count)}",
    )  # fmt: skip
