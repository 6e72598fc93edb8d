"""Training curves: every loss term of every model."""

from __future__ import annotations

import pandas as pd
from markupsafe import Markup

from pasam.reporting.blocks import Charts, Key, Panel, Section
from pasam.reporting.charts import curve_columns
from pasam.reporting.names import label
from pasam.reporting.results import Results
from pasam.reporting.svg.lines import line_chart
from pasam.reporting.svg.series import OTHER_COLOURS, Series

_SHAPES = ("square", "diamond", "triangle")


def training_section(results: Results) -> Section:
    """Show how the losses fell."""
    terms = sorted(
        {name for h in results.histories.values() for name in curve_columns(h)} - {"loss"}
    )
    panels = [
        Panel(heading=label(model), svg=_chart(model, history, terms))
        for model, history in results.histories.items()
    ]
    legend = [Key(name="loss (total)", colour="var(--ink)")]
    legend += [
        Key(name=term, colour=_colour(terms, term), shape=_shape(terms, term)) for term in terms
    ]
    caption = (
        "Mean over each epoch; models train on losses of their own, so heights do not compare."
    )
    return Section(
        key="training",
        title="Training curves",
        lead="Every term of every loss, epoch by epoch.",
        blocks=(Charts(panels=tuple(panels), caption=caption, legend=tuple(legend)),),
    )


def _chart(model: str, history: pd.DataFrame, terms: list[str]) -> Markup:
    epochs = [float(epoch) + 1 for epoch in history["epoch"]]
    series = [
        Series(
            name="loss" if term == "loss" else term,
            colour="var(--ink)" if term == "loss" else _colour(terms, term),
            shape="circle" if term == "loss" else _shape(terms, term),
            x=tuple(epochs),
            y=tuple(float(value) for value in history[term]),
        )
        for term in curve_columns(history)
    ]
    return line_chart(
        series,
        title=f"Losses of {label(model)} by epoch",
        x_label="epoch",
        y_label="loss",
        zero=True,
    )


def _colour(terms: list[str], term: str) -> str:
    return f"var(--other-{terms.index(term) % OTHER_COLOURS})"


def _shape(terms: list[str], term: str) -> str:
    return _SHAPES[terms.index(term) // OTHER_COLOURS % len(_SHAPES)]
