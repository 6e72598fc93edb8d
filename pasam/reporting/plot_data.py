"""The page's charts as plain data, for `dvc plots` and for whoever draws them anew.

One column per curve, since that is what `dvc plots` can draw.
"""

from __future__ import annotations

import pandas as pd

from pasam.reporting.difficulty import complexity_measure, gains, thinness_measure
from pasam.reporting.names import MEAN, label
from pasam.reporting.results import Results


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
