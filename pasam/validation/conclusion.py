"""From outcomes to the verdict, for people and for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pasam.data.manifest import QUARANTINED, valid_rows
from pasam.files import write_text
from pasam.validation.expectations import KEYS, SETS, Outcome, Tables, failed
from pasam.validation.verdict import Verdict

# --- conclusion: From outcomes to the verdict, and to the words that end a run on unfit data.

_SHOWN = 10


def conclude(
    inventory: pd.DataFrame, outcomes: tuple[Outcome, ...], manifest_sha256: str
) -> Verdict:
    """Sum the outcomes up: any failed expectation of the level `error` stops training."""
    errors = failed(outcomes, "error")
    faults = inventory["fault"].dropna()
    quarantined = int((faults == QUARANTINED).sum())
    return Verdict(
        passed=not errors,
        errors=errors,
        warnings=failed(outcomes, "warning"),
        masks=len(inventory) - len(faults),
        unfit=len(faults) - quarantined,
        quarantined=quarantined,
        manifest_sha256=manifest_sha256,
    )


def refusal(inventory: pd.DataFrame, outcomes: Iterable[Outcome], page: str) -> str:
    """Say in a few lines why the data is not fit, which files are to blame and what to do.

    Args:
        inventory: One row per item.
        outcomes: Those of all expectations.
        page: Where the whole story stands.
    """
    stopping = [outcome for outcome in outcomes if outcome.level == "error" and not outcome.held]
    names = ", ".join(outcome.name for outcome in stopping)
    lines = [f"The data is not fit for use: {names} failed. Look at {page}."]
    for outcome in stopping:
        if outcome.name == "few_items_are_unfit":
            lines += _unfit(inventory)
        else:
            lines += [f"{outcome.name}: {outcome.says}, but: {_shown(outcome)}"]
    if names != "few_items_are_unfit":
        lines.append(
            "Limits stand in params.yaml under `validate`; a name that is added to "
            "validate.warnings is reported without a stop."
        )
    return "\n- ".join(lines)


def _unfit(inventory: pd.DataFrame) -> list[str]:
    faults = inventory[inventory["fault"].notna() & (inventory["fault"] != QUARANTINED)]
    messages = list(dict.fromkeys(str(message) for message in faults["message"]))
    lines = messages[:_SHOWN]
    if len(messages) > _SHOWN:
        lines.append(f"and {len(messages) - _SHOWN} more unfit items")
    lines.append(
        "Repair these files, or leave them out with `pasam data quarantine`. Up to the share "
        "validate.unreviewed_fraction of a data set, unfit items are left out without a stop."
    )
    return lines


def _shown(outcome: Outcome) -> str:
    shown = "; ".join(_row(outcome, row) for row in outcome.offenders[:_SHOWN])
    more = len(outcome.offenders) - _SHOWN
    return f"{shown}; and {more} more" if more > 0 else shown


def _row(outcome: Outcome, row: Mapping[str, Any]) -> str:
    keys = [key for key in KEYS[outcome.table] if key != "dataset" or outcome.table == "sets"]
    where = "/".join(str(row[key]) for key in keys[-2:]) if "split" in keys else str(row[keys[-1]])
    value = row[outcome.column]
    said = f"{value:.4g}" if isinstance(value, float) else str(value)
    return f"{where} ({outcome.column.replace('_', ' ')}: {said})"


# --- findings: All that validation found, as plain data for programs; the page shows the same.

MOST = 500
"""Offenders of one expectation, or pairs of doubles, that are listed; all are counted."""


def collect(inventory: pd.DataFrame, tables: Tables, outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """Gather the findings.

    Returns:
        `sets`, `expectations`, `left_out`, `doubles` and `drift`, each a list of plain mappings.
    """
    left_out = inventory[inventory["fault"].notna()]
    fields = ["fault", "split", "dataset", "image", "mask", "message"]
    return {
        "sets": _sets(inventory, tables.by_name[SETS]),
        "expectations": [_expectation(outcome) for outcome in outcomes],
        "left_out": [_plain(row) for row in left_out[fields].to_dict("records")],
        "doubles": [asdict(twins) for twins in tables.twins[:MOST]],
        "doubles_count": len(tables.twins),
        "drift": [_plain(row) for row in tables.comparisons.to_dict("records")],
    }


def write_findings(path: Path, findings: Mapping[str, Any]) -> None:
    """Write the findings as JSON, whole or not at all."""
    write_text(path, json.dumps(findings, indent=1, allow_nan=False) + "\n")


def _sets(inventory: pd.DataFrame, sets: pd.DataFrame) -> list[dict[str, Any]]:
    per_image = valid_rows(inventory).groupby(["split", "dataset", "image"]).size()
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
