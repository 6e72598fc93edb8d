"""The report for programs: every number of the page as JSON, keys sorted, the same every time."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from pasam.reporting.gallery import most_harmed, most_improved, ranked, worst
from pasam.reporting.plot_data import plot_frames
from pasam.reporting.questions.answer import Answer
from pasam.reporting.results import Results

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
