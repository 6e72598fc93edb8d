"""From outcomes to the verdict, and to the words that end a run on unfit data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from pasam.data.faults import QUARANTINED
from pasam.validation.outcomes import Outcome, failed
from pasam.validation.tables import KEYS
from pasam.validation.verdict import Verdict

_SHOWN = 10


def conclude(census: pd.DataFrame, outcomes: tuple[Outcome, ...], manifest_sha256: str) -> Verdict:
    """Sum the outcomes up: any failed expectation of the level `error` stops training."""
    errors = failed(outcomes, "error")
    faults = census["fault"].dropna()
    quarantined = int((faults == QUARANTINED).sum())
    return Verdict(
        passed=not errors,
        errors=errors,
        warnings=failed(outcomes, "warning"),
        masks=len(census) - len(faults),
        unfit=len(faults) - quarantined,
        quarantined=quarantined,
        manifest_sha256=manifest_sha256,
    )


def refusal(census: pd.DataFrame, outcomes: Iterable[Outcome], page: str) -> str:
    """Say in a few lines why the data is not fit, which files are to blame and what to do.

    Args:
        census: One row per item.
        outcomes: Those of all expectations.
        page: Where the whole story stands.
    """
    stopping = [outcome for outcome in outcomes if outcome.level == "error" and not outcome.held]
    names = ", ".join(outcome.name for outcome in stopping)
    lines = [f"The data is not fit for use: {names} failed. Look at {page}."]
    for outcome in stopping:
        if outcome.name == "few_items_are_unfit":
            lines += _unfit(census)
        else:
            lines += [f"{outcome.name}: {outcome.says}, but: {_shown(outcome)}"]
    if names != "few_items_are_unfit":
        lines.append(
            "Limits stand in params.yaml under `validate`; a name that is added to "
            "validate.warnings is reported without a stop."
        )
    return "\n- ".join(lines)


def _unfit(census: pd.DataFrame) -> list[str]:
    faults = census[census["fault"].notna() & (census["fault"] != QUARANTINED)]
    messages = list(dict.fromkeys(str(message) for message in faults["message"]))
    lines = messages[:_SHOWN]
    if len(messages) > _SHOWN:
        lines.append(f"and {len(messages) - _SHOWN} more unfit items")
    lines.append(
        "Repair these files, or leave them out with `pasam data quarantine`. Up to the share "
        "validate.unreviewed_share of a data set, unfit items are left out without a stop."
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
