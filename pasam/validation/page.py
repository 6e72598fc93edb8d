"""The page on the data: the verdict, and a look at everything that was found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from pasam.data.faults import OF_IMAGE
from pasam.data.whole_files import write_whole
from pasam.validation.outcomes import Outcome
from pasam.validation.tables import IMAGES, PAIRS, Tables
from pasam.validation.thumbnails import mask_picture, outlined, picture
from pasam.validation.verdict import Verdict

SHOWN = 24
"""Pictures per finding; the rest is counted, and listed in the findings."""

_DOUBLES = frozenset(
    {
        "benchmarks_are_unseen",
        "benchmarks_look_new",
        "images_are_unique",
        "images_look_different",
        "splits_are_disjoint",
    }
)
"""Findings that the section on doubles shows, both pictures side by side."""


def write_page(
    path: Path,
    verdict: Verdict,
    findings: Mapping[str, Any],
    tables: Tables,
    outcomes: Iterable[Outcome],
) -> None:
    """Write one self-contained HTML file; equal findings and pictures give equal bytes.

    Args:
        path: The page.
        verdict: What it all comes to.
        findings: As `pasam.validation.findings.collect` gives them.
        tables: What was judged.
        outcomes: One per expectation.
    """
    template = resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    left_out = findings["left_out"]
    pairs = tables.by_name[PAIRS]
    image_of = dict(zip(pairs["mask"], pairs["image"], strict=True))
    text = environment.from_string(template).render(
        verdict=verdict,
        summary=_summary(verdict),
        findings=findings,
        left_out=[_left_out_card(row) for row in left_out[:SHOWN]],
        left_out_count=len(left_out),
        doubles=[_double_card(pair) for pair in _sharpest(findings["doubles"])],
        doubles_count=len(tables.twins),
        seen=[_seen(outcome, image_of) for outcome in outcomes if _has_pictures(outcome)],
        drift=[row for row in findings["drift"] if row["drifted"]],
        compared=len(findings["drift"]),
    )
    write_whole(path, text)


def _summary(verdict: Verdict) -> str:
    """Sum the verdict up in a few sentences."""
    sentences = [f"{verdict.masks:,} masks are fit and listed in the manifest."]
    if verdict.unfit:
        sentences.append(f"Unfit and left out: {verdict.unfit:,}.")
    if verdict.quarantined:
        sentences.append(f"In quarantine and left out: {verdict.quarantined:,}.")
    if verdict.errors:
        sentences.append(f"Failed: {', '.join(verdict.errors)}.")
    if verdict.warnings:
        sentences.append(f"To be looked at: {', '.join(verdict.warnings)}.")
    return " ".join(sentences)


def _sharpest(doubles: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Choose the doubles to show: leaks first, then equal files, then the most alike."""
    ranked = sorted(
        doubles,
        key=lambda pair: (
            pair["first_split"] == pair["second_split"], not pair["same_bytes"], pair["bits"],
        ),
    )  # fmt: skip
    return ranked[:SHOWN]


def _left_out_card(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **row,
        "file": row["image"] if row["fault"] in OF_IMAGE or row["mask"] is None else row["mask"],
        "image_src": picture(row["image"]),
        "mask_src": mask_picture(row["mask"]),
    }


def _double_card(pair: Mapping[str, Any]) -> dict[str, Any]:
    leak = pair["first_split"] != pair["second_split"]
    alike = "the same bytes" if pair["same_bytes"] else f"{pair['bits']} of 64 bits differ"
    return {
        **pair,
        "says": f"training and benchmark: {alike}" if leak else alike,
        "leak": leak,
        "first_src": picture(pair["first"]),
        "second_src": picture(pair["second"]),
    }


def _has_pictures(outcome: Outcome) -> bool:
    return (
        not outcome.held
        and outcome.table in (PAIRS, IMAGES)
        and outcome.level != "item"
        and outcome.name not in _DOUBLES
    )


def _seen(outcome: Outcome, image_of: Mapping[Any, Any]) -> dict[str, Any]:
    """Show the worst offenders of one expectation, the smallest values first.

    Beside the copy of a mask stands the picture that the mask was first drawn for.
    """
    column = outcome.column
    ranked = sorted(
        outcome.offenders,
        key=lambda row: (row[column] if isinstance(row[column], int | float) else 0, row["image"]),
    )
    cards = []
    for row in ranked[:SHOWN]:
        of_mask = outcome.table == PAIRS
        first = row[column] if column == "mask_copy_of" else None
        cards.append(
            {
                "file": row["mask"] if of_mask else row["image"],
                "value": _worded(column, row[column]),
                "src": outlined(row["image"], row["mask"]) if of_mask else picture(row["image"]),
                "beside": outlined(image_of[first], first) if first is not None else None,
            }
        )
    return {"outcome": outcome, "cards": cards, "wide": column == "mask_copy_of"}


def _worded(column: str, value: Any) -> str:
    if column == "area":
        return f"covers {value:.3%}"
    words = column.replace("_", " ")
    return f"{words} {value:.4g}" if isinstance(value, int | float) else f"{words} {value}"
