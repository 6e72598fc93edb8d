"""The page on the data: the verdict, and a look at everything that was found."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np
from numpy.typing import NDArray

from pasam.data.manifest import OF_IMAGE
from pasam.errors import DataError
from pasam.files import write_text
from pasam.masks.images import FOREGROUND, read_image, read_mask
from pasam.validation.expectations import IMAGES, PAIRS, Outcome, Tables
from pasam.validation.verdict import Verdict

# --- thumbnails: Small pictures for the page, inside its text: an image with its mask outlined,
# or a bare file.

# Shapes: H, W of an image.


SIDE = 168
"""Longest side of a thumbnail in pixels."""

_OUTLINE = (213, 94, 0)  # vermilion of Okabe and Ito's palette, RGB
_SMALL = 0.01  # share of the image below which a mask gets a box round it
_QUALITY = 82


def picture(path: str | None) -> str | None:
    """Show an image file as it is.

    Returns:
        A data URI of a JPEG; None when there is no file, or none that can be decoded.
    """
    image = _read(path)
    return None if image is None else _encoded(_shrunk(image))


def mask_picture(path: str | None) -> str | None:
    """Show a mask file's own values, stretched so that 0/1 masks and label maps can be seen."""
    image = _read(path)
    if image is None:
        return None
    top = max(1, int(image.max()))
    return _encoded(_shrunk((image.astype(np.float32) * 255 / top).astype(np.uint8)))


def outlined(image_path: str, mask_path: str) -> str | None:
    """Show an image with the outline of a fit mask; a small mask gets a box round it."""
    image = _read(image_path)
    if image is None:
        return None
    try:
        label = read_mask(Path(mask_path))
    except DataError:
        return _encoded(_shrunk(image))
    small = _shrunk(image)
    size = (small.shape[1], small.shape[0])
    inside = (label > FOREGROUND).astype(np.uint8)
    share = cv2.resize(inside.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    edges, _ = cv2.findContours((share > 0).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(small, edges, -1, _OUTLINE, 1)
    if inside.mean() < _SMALL:
        x, y, w, h = cv2.boundingRect((share > 0).astype(np.uint8))
        cv2.rectangle(small, (x - 6, y - 6), (x + w + 5, y + h + 5), _OUTLINE, 1)
    return _encoded(small)


def _read(path: str | None) -> NDArray[np.uint8] | None:
    if path is None:
        return None
    try:
        return read_image(Path(path))
    except DataError:
        return None


def _shrunk(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Fit an image (H, W, 3) into the side of a thumbnail; a small one is enlarged by pixels."""
    scale = SIDE / max(image.shape[:2])
    size = [max(1, round(length * scale)) for length in image.shape[1::-1]]
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(image, size, interpolation=how), dtype=np.uint8)


def _encoded(image: NDArray[np.uint8]) -> str:
    _, jpeg = cv2.imencode(
        ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    )
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode("ascii")


# --- page: The page on the data: the verdict, and a look at everything that was found.

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
        findings: As `pasam.validation.conclusion.collect` gives them.
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
    write_text(path, text)


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
