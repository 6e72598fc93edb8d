"""What of SAM's ability stays: the benchmark that SAM does best, before and after training."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from pasam.metrics.bootstrap import GAIN, LOSS
from pasam.reporting.names import MEAN, label
from pasam.reporting.results import Results
from pasam.reporting.summary import compare
from pasam.reporting.wording import listed, signed, span


def best_benchmark(results: Results, model: str) -> str:
    """Name the benchmark on which a model's mean boundary IoU is highest."""
    rows = results.summary[
        (results.summary["model"] == model) & (results.summary["benchmark"] != MEAN)
    ]
    return str(
        rows.sort_values(["mbiou", "benchmark"], ascending=[False, True])["benchmark"].iloc[0]
    )


def change_over_reference(results: Results, models: list[str]) -> pd.DataFrame:
    """Compare models and variants with the reference on its best benchmark and on all others.

    Returns:
        Rows of `summary.compare` in boundary IoU, benchmark "mean" being that of the others.
    """
    best = best_benchmark(results, results.reference)
    rows = [results.scores] if results.ablations is None else [results.scores, results.ablations]
    scores = pd.concat(rows, ignore_index=True)
    scores = scores[scores["model"].isin([*models, results.reference])]
    pairs = [(model, results.reference) for model in models]
    on_best = compare(scores[scores["benchmark"] == best], pairs, results.bootstrap)
    on_best = on_best[on_best["benchmark"] == best]
    others = scores[scores["benchmark"] != best]
    parts = [on_best]
    if len(others):
        on_others = compare(others, pairs, results.bootstrap)
        parts.append(on_others[on_others["benchmark"] == MEAN])
    table = pd.concat(parts, ignore_index=True)
    return table[table["metric"] == "mbiou"].reset_index(drop=True)


def kept_sentence(results: Results, words: Mapping[str, str]) -> str:
    """Say what each of several models does to the benchmark that the reference does best.

    Args:
        results: The run.
        words: Names for the sentence by model or variant.
    """
    best = best_benchmark(results, results.reference)
    table = change_over_reference(results, list(words))
    rows = table[table["benchmark"] == best].to_dict("records")
    says = {GAIN: "a gain is shown", LOSS: "a loss is shown"}
    clauses = [
        f"{words[str(row['model'])]} {signed(row['difference'])} ({span(row['low'], row['high'])}; "
        f"{says.get(str(row['verdict']), 'no difference is shown')})"
        for row in rows
    ]
    return (
        f"On {best}, which {label(results.reference)} does best by itself, the points of boundary "
        f"IoU over {label(results.reference)} are: {listed(clauses)}."
    )
