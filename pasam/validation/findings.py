"""All that validation found, as plain data for programs; the page shows the same."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pasam.data.census import fit_rows
from pasam.data.whole_files import write_whole
from pasam.validation.outcomes import Outcome
from pasam.validation.tables import KEYS, SETS, Tables

MOST = 500
"""Offenders of one expectation, or pairs of doubles, that are listed; all are counted."""


def collect(census: pd.DataFrame, tables: Tables, outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """Gather the findings.

    Returns:
        `sets`, `expectations`, `left_out`, `doubles` and `drift`, each a list of plain mappings.
    """
    left_out = census[census["fault"].notna()]
    fields = ["fault", "split", "dataset", "image", "mask", "message"]
    return {
        "sets": _sets(census, tables.by_name[SETS]),
        "expectations": [_expectation(outcome) for outcome in outcomes],
        "left_out": [_plain(row) for row in left_out[fields].to_dict("records")],
        "doubles": [asdict(twins) for twins in tables.twins[:MOST]],
        "doubles_count": len(tables.twins),
        "drift": [_plain(row) for row in tables.comparisons.to_dict("records")],
    }


def write_findings(path: Path, findings: Mapping[str, Any]) -> None:
    """Write the findings as JSON, whole or not at all."""
    write_whole(path, json.dumps(findings, indent=1, allow_nan=False) + "\n")


def _sets(census: pd.DataFrame, sets: pd.DataFrame) -> list[dict[str, Any]]:
    per_image = fit_rows(census).groupby(["split", "dataset", "image"]).size()
    most = per_image.groupby(["split", "dataset"]).max().rename("most_masks_per_image")
    there = sets[~sets["gone"]].drop(columns="gone")
    joined = there.merge(most, how="left", on=["split", "dataset"])
    return [_plain(row) for row in joined.to_dict("records")]


def _expectation(outcome: Outcome) -> dict[str, Any]:
    shown = [*KEYS[outcome.table], outcome.column]
    return {
        "name": outcome.name,
        "says": outcome.says,
        "level": outcome.level,
        "held": outcome.held,
        "checked": outcome.checked,
        "offenders": len(outcome.offenders),
        "listed": [
            _plain({key: row.get(key) for key in shown}) for row in outcome.offenders[:MOST]
        ],
    }


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Turn numpy's and pandas' values into JSON's; what is missing becomes None."""
    return {str(key): _value(value) for key, value in row.items()}


def _value(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float):
        return int(value) if value.is_integer() else float(f"{value:.6g}")
    return value
