"""Every file of the report: the page, tables, the figure, the charts' data, JSON and model cards.

Equal results give equal bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pasam.files import write_text
from pasam.reporting import style as palette
from pasam.reporting import tables
from pasam.reporting.analyses import gains, measures, scored_variants
from pasam.reporting.blocks import Answer, Grid, PageSection, comma_separated, latex, markdown
from pasam.reporting.figures import choice_caption, choose_examples, comparison_figure
from pasam.reporting.model_card import model_card
from pasam.reporting.page_images import GALLERIES, ranked
from pasam.reporting.page_sections import MARK_KEYS, OUTCOME_KEYS, SECTIONS
from pasam.reporting.questions import answers
from pasam.reporting.results import ORACLE, Results
from pasam.reporting.style import MEAN, METRICS, label, listed
from pasam.reporting.summary import rows_where

VERSION = 1
"""Of `report.json`; raised when a key is renamed or means something else."""

_TEMPLATES = "templates"


def publish(results: Results, folder: Path) -> None:
    """Write the page, tables, figures, plots' data, JSON and model cards into a folder."""
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
    found = answers(results)
    write_text(folder / "report.json", report_json(results, found))
    others = listed([label(model) for model in results.shown if model != results.subject])
    page = render_page(
        title=label(results.subject) + (f" against {others}" if others else ""),
        setting=results.setting, sections=page_sections(results, found), answers=found,
        links=page_links(results),
    )  # fmt: skip
    write_text(folder / "index.html", page)


def page_links(results: Results) -> list[tuple[str, str]]:
    """List what lies beside the page: address and words, validation first."""
    cards = [(f"model_cards/{m}.md", f"Card: {label(m)}") for m in results.params.variants]
    runs = [(f"history/{m}.jsonl", f"Training run: {label(m)}") for m in results.histories]
    return [
        ("validation/index.html", "Validation of the data"), ("table1.md", "Table 1"),
        ("tables/", "All tables"), *cards, *runs, ("report.json", "All numbers"),
    ]  # fmt: skip


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
        folded=True,
    )
    sections = [row.section(results) for row in SECTIONS]
    place = [section.key for section in sections].index("training")
    return [*sections[:place], questions, *sections[place:]]


def _grids(results: Results) -> dict[str, Grid]:
    notes = tables.table_notes(results.summary, results.bootstrap)
    grids = {
        "table1": replace(tables.overview(results.summary), notes=notes),
        "differences": tables.pairs(results.differences, level=results.level),
        "recipes": tables.recipes(results),
    }
    cost = tables.cost_grid(results)
    if cost is not None:
        grids["cost"] = cost
    grids |= tables.precision_grids(results)
    if scored_variants(results):
        grids["table4"] = tables.ablation_grid(results)
    return grids


def _write_figure(results: Results, path: Path) -> None:
    count, by = results.params.report.figure_rows, results.subject
    chosen = choose_examples(results.shown_scores, model=by, per_benchmark=count)
    comparison_figure(
        [results.example(image_id) for image_id in chosen], path,
        title="One box prompt each, and what the models make of it",
        caption=f"{results.setting}\n{choice_caption(model=by, per_benchmark=count)}",
    )  # fmt: skip


def write_tables(results: Results, folder: Path) -> None:
    """Write `table1.md`, `table1.csv`, `differences.csv`, `scores.json` and `metrics.json`."""
    summary, differences = results.summary, results.differences
    write_text(folder / "table1.md", table1_text(results))
    write_text(folder / "table1.csv", csv_text(summary))
    write_text(folder / "differences.csv", csv_text(differences))
    nested = nested_scores(summary)
    write_text(folder / "scores.json", json.dumps(nested, indent=2) + "\n")
    write_text(folder / "metrics.json", json.dumps(metrics(nested), indent=2) + "\n")


def metrics(nested: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    """Keep what a table of experiments has room for: each model's means, without the ceiling."""
    return {
        model: {name: of_mean[name] for name in METRICS}
        for model, benchmarks in nested.items()
        if model != ORACLE and (of_mean := benchmarks.get(MEAN)) is not None
    }


def nested_scores(summary: pd.DataFrame) -> dict[str, dict[str, dict[str, float]]]:
    """Nest a summary as model -> benchmark -> mIoU and mBIoU, per cent with four decimals."""
    nested: dict[str, dict[str, dict[str, float]]] = {}
    for row in rows_where(summary):
        scores = {name: round(row[name], 4) for name in METRICS}
        nested.setdefault(row["model"], {})[row["benchmark"]] = scores
    return nested


def table1_text(results: Results) -> str:
    """Compose Table 1, its paired differences and all its intervals as Markdown."""
    summary, level = results.summary, results.level
    first = tables.overview(summary)
    parts = ["# Table 1", results.setting, tables.READING, markdown(first.head, first.rows)]
    grids = [tables.pairs(results.differences, level=level)] if len(results.differences) else []
    for grid in (tables.recipes(results), *grids, tables.details(summary, level=level)):
        parts += [f"## {grid.caption}", markdown(grid.head, grid.rows)]
    notes = tables.table_notes(summary, results.bootstrap)
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
    curves = {m: h.set_index("epoch")["loss"] for m, h in results.histories.items()}
    training = pd.DataFrame(curves).sort_index().rename_axis("epoch").reset_index()
    names = [
        f"{label(str(model))}, {benchmark}"
        for model, benchmark in zip(
            results.summary["model"], results.summary["benchmark"], strict=True
        )
    ]
    scores = [f"{metric}{end}" for metric in ("mbiou", "miou") for end in ("", "_low", "_high")]
    table = results.summary[["model", "benchmark", *scores]].copy()
    table.insert(0, "row", names)
    fineness = pd.DataFrame(
        {measure.key: gains(results, measure).table["difference"] for measure in measures(results)}
    )
    fineness.insert(0, "group", range(1, len(fineness) + 1))
    frames = {
        "training": training.assign(epoch=training["epoch"].astype(int) + 1),
        "scores": table,
        "fineness": fineness,
    }
    for family, points in results.curves.groupby("family", sort=True):
        table = points.pivot(index="amount", columns="model", values="mean").reset_index()
        frames[f"robustness_{family}"] = table.rename_axis(columns=None)
    return frames


def report_json(results: Results, answers: Sequence[Answer]) -> str:
    """Write the run and the answers to the ten questions as JSON.

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
        "galleries": {key: list(pick(images, count).index) for key, _, _, pick in GALLERIES},
        "questions": [
            {"number": a.number, "question": a.title, "answer": a.sentence} for a in answers
        ],
    }
    return json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n"


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Turn a table into JSON's own types."""
    found: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", double_precision=15))
    return found


def render_page(
    *, title: str, setting: str, sections: Sequence[PageSection], answers: Sequence[Answer],
    links: Sequence[tuple[str, str]] = (),
) -> str:  # fmt: skip
    """Write the page as HTML that needs no other file and no network.

    The section with the key "questions" holds the answers; the setting stands below the title, then
    the links, address and words of each.
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
    style = environment.get_template("style.css.j2").render(palette=palette)
    script = files("pasam.reporting").joinpath(_TEMPLATES, "page.js").read_text(encoding="utf-8")
    page = environment.get_template("index.html.j2").render(
        title=title, setting=setting, description=setting, sections=sections, answers=answers,
        links=links, style=Markup(style), script=Markup(script),
    )  # fmt: skip
    return page + "\n"


def _unbroken(value: object) -> object:
    """Keep a number and its per cent sign on one line."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return value.replace(" %", "\N{NO-BREAK SPACE}%")
    return value
