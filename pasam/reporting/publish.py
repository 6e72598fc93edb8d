"""The page and every other file of the report, the same bytes for the same results."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pasam.reporting.analyses import complexity_measure, gains, thinness_measure
from pasam.reporting.blocks import Answer, Grid, Section, comma_separated, latex, markdown
from pasam.reporting.figures import (
    choice_caption,
    choose_examples,
    comparison_figure,
    score_chart,
    training_chart,
)
from pasam.reporting.model_card import base_card, model_card
from pasam.reporting.pictures import most_harmed, most_improved, ranked, worst
from pasam.reporting.questions import answers
from pasam.reporting.results import Results
from pasam.reporting.sections import (
    MARK_KEYS,
    OVERLAY_KEYS,
    ablation_grid,
    ablations_section,
    coco_section,
    fine_structure_section,
    galleries_section,
    glance_section,
    high_quality_section,
    open_set_section,
    precision_grids,
    repeat_section,
    robustness_section,
    setting_section,
    training_section,
)
from pasam.reporting.style import (
    FALSE_NEGATIVE,
    FALSE_POSITIVE,
    MEAN,
    PAGE_MODELS,
    PAGE_OTHERS,
    TRUE_POSITIVE,
    label,
)
from pasam.reporting.tables import (
    cost_grid,
    csv_text,
    overview,
    pairs,
    table_notes,
    write_tables,
    write_text,
)
from pasam.reporting.variants import ablation_names
from pasam.reporting.wording import listed

# --- page: The page: one HTML file with everything in it, the same bytes for the same results.

_TEMPLATES = "templates"


def render_page(
    *, title: str, setting: str, sections: Sequence[Section], answers: Sequence[Answer]
) -> str:
    """Write the page.

    Args:
        title: Its heading.
        setting: What the run was made on, below the heading.
        sections: In the order of the page; the one with the key "questions" holds the answers.
        answers: The ten questions.

    Returns:
        HTML that needs no other file and no network.
    """
    environment = Environment(
        loader=PackageLoader("pasam.reporting", _TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_unbroken,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(overlay_keys=OVERLAY_KEYS, mark_keys=MARK_KEYS)
    style = environment.get_template("style.css.j2").render(
        models=PAGE_MODELS, others=PAGE_OTHERS,
        hit=TRUE_POSITIVE, false_alarm=FALSE_POSITIVE, miss=FALSE_NEGATIVE,
    )  # fmt: skip
    script = files("pasam.reporting").joinpath(_TEMPLATES, "page.js").read_text(encoding="utf-8")
    page = environment.get_template("index.html.j2").render(
        title=title, setting=setting, description=setting, sections=sections, answers=answers,
        style=Markup(style), script=Markup(script),
    )  # fmt: skip
    return page + "\n"


def _unbroken(value: object) -> object:
    """Keep a number and its per cent sign on one line."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return value.replace(" %", "\N{NO-BREAK SPACE}%")
    return value


# --- plot_data: The page's charts as plain data, for `dvc plots` and for whoever draws them anew.
#
# One column per curve, since that is what `dvc plots` can draw.


def plot_frames(results: Results) -> dict[str, pd.DataFrame]:
    """Collect the data of the charts by the name of its file.

    Returns:
        `training` (epoch, total loss by model), `scores` (row, model, benchmark, both means with
        their intervals), `fineness` (group from coarse to fine, gain by complexity and by
        thinness) and, for every curve that was measured, `robustness_<condition>` (amount,
        boundary IoU by model).
    """
    frames = {
        "training": _training(results),
        "scores": _scores(results.summary),
        "fineness": _fineness(results),
    }
    for family, points in results.curves.groupby("family", sort=True):
        table = points.pivot(index="amount", columns="model", values="mean").reset_index()
        frames[f"robustness_{family}"] = table.rename_axis(columns=None)
    return frames


def _training(results: Results) -> pd.DataFrame:
    curves = {m: h.set_index("epoch")["loss"] for m, h in results.histories.items()}
    table = pd.DataFrame(curves).sort_index().rename_axis("epoch").reset_index()
    return table.assign(epoch=table["epoch"].astype(int) + 1)


def _scores(summary: pd.DataFrame) -> pd.DataFrame:
    names = [
        f"{label(str(model))}, {'mean' if benchmark == MEAN else benchmark}"
        for model, benchmark in zip(summary["model"], summary["benchmark"], strict=True)
    ]
    scores = [f"{metric}{end}" for metric in ("mbiou", "miou") for end in ("", "_low", "_high")]
    table = summary[["model", "benchmark", *scores]].assign(row=names)
    return table[["row", "model", "benchmark", *scores]]


def _fineness(results: Results) -> pd.DataFrame:
    measures = (complexity_measure(results), thinness_measure(results))
    columns = {measure.key: gains(results, measure)["difference"] for measure in measures}
    table = pd.DataFrame(columns)
    return table.assign(group=range(1, len(table) + 1))[["group", *columns]]


# --- report_json: The report for programs: every number of the page as JSON, keys sorted, the
# same every time.

VERSION = 1
"""Raised when a key is renamed or means something else."""


def report_json(results: Results, answers: Sequence[Answer]) -> str:
    """Write the report as JSON.

    Args:
        results: The run.
        answers: The ten questions.

    Returns:
        An object with `version`, `setting`, `seeds`, `confidence`, `models`, `table1`,
        `differences`, `ablations`, `precisions`, `plots`, `galleries` and `questions`; what was
        not measured is null or empty, and no number is NaN.
    """
    images, count = ranked(results), results.report.gallery
    picks = {"worst": worst, "most_improved": most_improved, "most_harmed": most_harmed}
    content = {
        "version": VERSION,
        "setting": results.setting,
        "seeds": results.seeds,
        "confidence": results.report.confidence,
        "models": results.models,
        "table1": records(results.summary),
        "differences": records(results.differences),
        "ablations": records(results.ablation_differences),
        "precisions": None if results.precisions is None else records(results.precisions),
        "plots": {name: records(frame) for name, frame in plot_frames(results).items()},
        "galleries": {
            name: [shown.image_id for shown in pick(images, count)] for name, pick in picks.items()
        },
        "questions": [
            {"number": a.number, "question": a.title, "answer": a.sentence} for a in answers
        ],
    }
    return json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n"


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Turn a table into JSON's own types."""
    return [
        {str(name): _plain(value) for name, value in row.items()}
        for row in frame.to_dict("records")
    ]


def _plain(value: Any) -> Any:
    number = value.item() if hasattr(value, "item") else value
    if number is None or (isinstance(number, float) and not math.isfinite(number)):
        return None
    return number


# --- publish: Every file of the report, written into its folder.


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
