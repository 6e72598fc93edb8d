"""The scores of the last report, which models show beside their names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Scores = dict[str, dict[str, float]]


def read_scores(path: Path | None) -> dict[str, Scores]:
    """Read `metrics.json` of the report: mIoU and mBIoU by model and benchmark.

    What is absent or says something else is left out: scores are an addition.
    """
    try:
        content = {} if path is None else json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {model: scores for model, scores in content.items() if _are_scores(scores)}


def _are_scores(found: Any) -> bool:
    return isinstance(found, dict) and all(
        isinstance(numbers, dict) and all(isinstance(value, float) for value in numbers.values())
        for numbers in found.values()
    )
