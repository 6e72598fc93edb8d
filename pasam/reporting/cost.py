"""What the models cost in numbers: all that a prediction runs through, and what was trained."""

from __future__ import annotations

from pasam.reporting.grid import Grid
from pasam.reporting.names import row_label
from pasam.reporting.results import ORACLE, Results


def cost_grid(results: Results) -> Grid | None:
    """Lay out the sizes of all models but the oracle; None where none was counted."""
    base = max(
        (cost["parameters"] - cost["trainable"] for cost in results.costs.values()), default=0
    )
    rows = [
        (
            row_label(model),
            f"{cost['parameters']:,}",
            f"{cost['trainable']:,}",
            f"{100 * cost['trainable'] / base:.1f} %",
        )
        for model in results.models
        if model != ORACLE and (cost := results.costs.get(model)) is not None
    ]
    if not rows:
        return None
    return Grid(
        caption="Cost",
        head=("Model", "Numbers", "Of them trained", "Trained, of the frozen base"),
        rows=tuple(rows),
        notes=(
            "Encoder, prompt encoder and the model's own decoder. Time and memory differ from "
            "machine to machine and are beside this page, in the folder timing.",
        ),
    )
