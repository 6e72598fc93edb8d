"""How quality falls when the prompt is off, the points are few or the image is poor."""

from __future__ import annotations

from pasam.reporting.blocks import Absent, Block, Charts, Panel, Section, Text
from pasam.reporting.conditions import CURVES, OTHER_AXIS, POINTS, difference_at
from pasam.reporting.grid import Grid
from pasam.reporting.names import label, ordered_models
from pasam.reporting.results import Results
from pasam.reporting.sections.high_quality import legend
from pasam.reporting.svg.lines import line_chart
from pasam.reporting.svg.series import SHAPES, model_series
from pasam.reporting.wording import comparison

METRIC = "mbiou"
COMMAND = "dvc repro robustness"


def robustness_section(results: Results) -> Section:
    """Show the curves over prompts and corruptions."""
    found = [str(name) for name in dict.fromkeys(results.curves["family"])]
    blocks: list[Block] = []
    if found:
        blocks += [condition_charts(results, found)]
        blocks += [Text(words=end_sentence(results, family)) for family in found]
    else:
        what = "No score rows of other prompts or of corrupted images were made in this run."
        blocks.append(Absent(what=what, command=COMMAND))
    return Section(
        key="robustness",
        title="Robustness",
        lead="The same models, unchanged, with prompts and images that are worse than Table 1's.",
        blocks=tuple(blocks),
    )


def condition_charts(results: Results, chosen: list[str]) -> Charts:
    """Draw one curve chart per family of conditions."""
    panels, models = [], set()
    for family in chosen:
        points = results.curves[results.curves["family"] == family]
        names = ordered_models(points["model"])
        others = [name for name in names if name not in SHAPES]
        series = []
        for model in names:
            rows = points[points["model"] == model]
            values = [rows[name].tolist() for name in ("amount", "mean", "low", "high")]
            series.append(model_series(model, *values, others=others))
        heading, axis = CURVES.get(family, (family, OTHER_AXIS))
        svg = line_chart(
            series, title=f"{heading}: mean boundary IoU by model", x_label=axis,
            y_label="boundary IoU, %",
        )  # fmt: skip
        panels.append(Panel(heading=heading, svg=svg))
        models |= set(names)
    caption = f"Mean boundary IoU over the benchmarks; bands are {results.level} intervals."
    return Charts(
        panels=tuple(panels), caption=caption, legend=legend(ordered_models(models)),
        numbers=curve_grid(results, chosen),
    )  # fmt: skip


def end_sentence(results: Results, family: str) -> str:
    """Compare subject and reference at the worst end of a curve."""
    amounts = results.curves[results.curves["family"] == family]["amount"]
    worst = float(amounts.min() if family == POINTS else amounts.max())
    pair = (results.subject, results.reference)
    row = difference_at(results.conditions, family, worst, pair, METRIC, results.bootstrap)
    heading = CURVES.get(family, (family, OTHER_AXIS))[0]
    return f"{heading}, at {worst:g}: {comparison(row, level=results.level)}"


def curve_grid(results: Results, chosen: list[str]) -> Grid:
    """Give the curves in numbers."""
    rows = []
    for family in chosen:
        for row in results.curves[results.curves["family"] == family].to_dict("records"):
            value = f"{row['mean']:.1f} [{row['low']:.1f}, {row['high']:.1f}]"
            rows.append((family, f"{row['amount']:g}", label(str(row["model"])), value))
    head = ("Condition", "Amount", "Model", "mBIoU")
    return Grid(caption="Robustness", head=head, rows=tuple(rows), texts=(2,))
