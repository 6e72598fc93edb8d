"""Every file of the report: the page, tables, the figure, the charts' data, JSON and model cards.

Equal results give equal bytes.
"""

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

from pasam.files import write_text
from pasam.reporting.analyses import complexity_measure, gains, scored_variants, thinness_measure
from pasam.reporting.blocks import Answer, Grid, PageSection, comma_separated, latex, markdown
from pasam.reporting.figures import choice_caption, choose_examples, comparison_figure
from pasam.reporting.model_card import base_card, model_card
from pasam.reporting.page_images import GALLERIES, ranked
from pasam.reporting.page_sections import MARK_KEYS, OUTCOME_KEYS, SECTIONS
from pasam.reporting.questions import answers
from pasam.reporting.results import Results
from pasam.reporting.style import (
    FALSE_NEGATIVE,
    FALSE_POSITIVE,
    MEAN,
    METRICS,
    MODELS,
    OTHERS,
    TRUE_POSITIVE,
    label,
    listed,
)
from pasam.reporting.tables import (
    READING,
    ablation_grid,
    cost_grid,
    details,
    overview,
    pairs,
    precision_grids,
    table_notes,
)

VERSION = 1
"""Of `report.json`; raised when a key is renamed or means something else."""

_TEMPLATES = "templates"


def publish(results: Results, folder: Path) -> None:
    """Write the page, tables, figures, plots' data, JSON and model cards.

    Args:
        results: The run.
        folder: Gets `index.html`, `report.json`, `table1.md`, `table1.csv`, `differences.csv`,
            `metrics.json`, `figure1.png`, and the folders `tables`, `plots`, `model_cards`.
    """
    write_tables(results, folder)
    _write_figure(results, folder / "figure1.png")
    for name, grid in _grids(results).items():
        write_text(folder / "tables" / f"{name}.tex", latex(grid, name=name))
        write_text(folder / "tables" / f"{name}.csv", comma_separated(grid))
        notes = "".join(f"\n- {note}" for note in grid.notes)
        text = (
            f"# {grid.caption}\n\n{results.setting}\n\n{markdown(grid.head, grid.rows)}\n{notes}\n"
        )
        write_text(folder / "tables" / f"{name}.md", text)
    for name, frame in plot_frames(results).items():
        write_text(folder / "plots" / f"{name}.csv", csv_text(frame))
    for model in results.params.variants:
        write_text(folder / "model_cards" / f"{model}.md", model_card(results, model))
    base = base_card(results)
    if base is not None:
        write_text(folder / "model_cards" / f"{results.params.base.size}.md", base)
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


def page_sections(results: Results, found: Sequence[Answer]) -> list[PageSection]:
    """Build the sections of the page in its order, the ten questions before the training."""
    questions = PageSection(
        key="questions",
        title="Ten questions",
        lead=(
            f"What readers of the paper ask. {sum(a.answered for a in found)} of {len(found)} are "
            "answered by this run; every answer is computed from its numbers."
        ),
        blocks=(),
    )
    sections = [row.section(results) for row in SECTIONS]
    place = [section.key for section in sections].index("training")
    return [*sections[:place], questions, *sections[place:]]


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
    return grids | ({"table4": ablation_grid(results)} if scored_variants(results) else {})


def _write_figure(results: Results, path: Path) -> None:
    count, by = results.params.report.figure_rows, results.subject
    choices = choose_examples(results.shown_scores, model=by, per_benchmark=count)
    comparison_figure(
        [results.example(choice.image_id) for choice in choices], path,
        title="One box prompt each, and what the models make of it",
        caption=f"{results.setting}\n{choice_caption(model=by, per_benchmark=count)}",
    )  # fmt: skip


def write_tables(results: Results, folder: Path) -> None:
    """Write `table1.md`, `table1.csv`, `differences.csv` and `metrics.json` into a folder."""
    summary, differences = results.summary, results.differences
    write_text(folder / "table1.md", table1_text(results))
    write_text(folder / "table1.csv", csv_text(summary))
    write_text(folder / "differences.csv", csv_text(differences))
    write_text(folder / "metrics.json", json.dumps(metrics(summary), indent=2) + "\n")


def metrics(summary: pd.DataFrame) -> dict[str, dict[str, dict[str, float]]]:
    """Nest a summary as model -> benchmark -> mIoU and mBIoU, per cent with four decimals."""
    nested: dict[str, dict[str, dict[str, float]]] = {}
    for row in summary.to_dict("records"):
        scores = {name: round(float(row[name]), 4) for name in METRICS}
        nested.setdefault(str(row["model"]), {})[str(row["benchmark"])] = scores
    return nested


def table1_text(results: Results) -> str:
    """Compose Table 1, its paired differences and all its intervals as Markdown."""
    summary, level = results.summary, results.level
    first = overview(summary)
    parts = ["# Table 1", f"{results.setting}\n\n{READING}", markdown(first.head, first.rows)]
    grids = [pairs(results.differences, level=level)] if len(results.differences) else []
    for grid in (*grids, details(summary, level=level)):
        parts += [f"## {grid.caption}", markdown(grid.head, grid.rows)]
    notes = table_notes(summary, results.bootstrap)
    return "\n\n".join([*parts, "\n".join(f"- {note}" for note in notes)]) + "\n"


def csv_text(frame: pd.DataFrame) -> str:
    """Write a table as CSV with four decimals."""
    return frame.to_csv(index=False, float_format="%.4f", lineterminator="\n")


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
    columns = {measure.key: gains(results, measure).table["difference"] for measure in measures}
    table = pd.DataFrame(columns)
    return table.assign(group=range(1, len(table) + 1))[["group", *columns]]


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
    images, count = ranked(results), results.params.report.gallery
    content = {
        "version": VERSION,
        "setting": results.setting,
        "seeds": results.seeds,
        "confidence": results.params.report.confidence,
        "models": results.models,
        "table1": records(results.summary),
        "differences": records(results.differences),
        "ablations": records(results.ablation_differences),
        "precisions": records(results.precisions) or None,
        "plots": {name: records(frame) for name, frame in plot_frames(results).items()},
        "galleries": {
            key: [image.image_id for image in pick(images, count)] for key, _, _, pick in GALLERIES
        },
        "questions": [
            {"number": a.number, "question": a.title, "answer": a.sentence} for a in answers
        ],
    }
    return json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n"


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Turn a table into JSON's own types."""
    return [
        {str(name): _json_value(value) for name, value in row.items()}
        for row in frame.to_dict("records")
    ]


def _json_value(value: Any) -> Any:
    number = value.item() if hasattr(value, "item") else value
    if number is None or (isinstance(number, float) and not math.isfinite(number)):
        return None
    return number


def render_page(
    *, title: str, setting: str, sections: Sequence[PageSection], answers: Sequence[Answer]
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
    environment.globals.update(outcome_keys=OUTCOME_KEYS, mark_keys=MARK_KEYS)
    style = environment.get_template("style.css.j2").render(
        models=MODELS, others=OTHERS, true_positive=TRUE_POSITIVE,
        false_positive=FALSE_POSITIVE, false_negative=FALSE_NEGATIVE,
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
