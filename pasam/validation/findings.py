"""What validation found: the verdict for training, findings for programs, a page for people."""

# Shapes: H, W of an image.

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pasam.data.manifest import OF_IMAGE, QUARANTINED, valid_rows
from pasam.errors import DataError
from pasam.files import write_text
from pasam.masks.images import foreground, read_image
from pasam.masks.mask_files import read_mask
from pasam.validation.expectations import (
    IMAGES,
    KEYS,
    PAIRS,
    SETS,
    ExpectationResult,
    Tables,
    failed,
)
from pasam.validation.verdict import Verdict

MOST = 500
"""Offenders of one expectation, or pairs of duplicates, that are listed; all are counted."""
SHOWN = 24
"""Images per finding on the page; the rest is counted, and listed in the findings."""
SAMPLES, BINS = 5, 16
"""Masks of every data set that are shown in any case, and bars of a distribution."""
SIDE = 168
"""Longest side of a thumbnail in pixels."""
_ABOUT_DUPLICATES = {
    "benchmarks_are_unseen", "benchmarks_look_new", "images_are_unique", "images_look_different",
    "splits_are_disjoint",
}  # fmt: skip
"""Findings that the section on duplicates shows, both images side by side."""

_SHOWN = 10  # files or rows that a message of failure names
_OUTLINE = (213, 94, 0)  # vermilion of Okabe and Ito's palette, RGB
_SMALL = 0.01  # share of the image below which a mask gets a box round it
_QUALITY = 82


def summarize(
    inventory: pd.DataFrame, results: tuple[ExpectationResult, ...], manifest_sha256: str
) -> Verdict:
    """Sum the results up: any failed expectation of the level `error` stops training."""
    errors = failed(results, "error")
    faults = inventory["fault"].dropna()
    quarantined = int((faults == QUARANTINED).sum())
    return Verdict(
        passed=not errors, errors=errors, warnings=failed(results, "warning"),
        masks=len(inventory) - len(faults), invalid=len(faults) - quarantined,
        quarantined=quarantined, manifest_sha256=manifest_sha256,
    )  # fmt: skip


def failure_message(
    inventory: pd.DataFrame, results: Iterable[ExpectationResult], page: str
) -> str:
    """Say in a few lines why the data is not fit, which files are to blame and what to do."""
    stopping = [result for result in results if result.level == "error" and not result.passed]
    names = ", ".join(result.name for result in stopping)
    lines = [f"The data is not fit for use: {names} failed. Look at {page}."]
    for result in stopping:
        if result.name == "few_items_are_invalid":
            lines += _invalid_items(inventory)
        else:
            lines += [f"{result.name}: {result.description}, but: {_shown(result)}"]
    if names != "few_items_are_invalid":
        lines.append(
            "Limits stand in params.yaml under `validate`; a name that is added to "
            "validate.warnings is reported without a stop."
        )
    return "\n- ".join(lines)


def _invalid_items(inventory: pd.DataFrame) -> list[str]:
    faults = inventory[inventory["fault"].notna() & (inventory["fault"] != QUARANTINED)]
    messages = list(dict.fromkeys(str(message) for message in faults["message"]))
    lines = messages[:_SHOWN]
    if len(messages) > _SHOWN:
        lines.append(f"and {len(messages) - _SHOWN} more invalid items")
    lines.append(
        "Repair these files, or leave them out with `pasam data quarantine`. Up to the share "
        "validate.unreviewed_fraction of a data set, invalid items are left out without a stop."
    )
    return lines


def _shown(result: ExpectationResult) -> str:
    shown = "; ".join(_row(result, row) for row in result.offenders[:_SHOWN])
    more = len(result.offenders) - _SHOWN
    return f"{shown}; and {more} more" if more > 0 else shown


def _row(result: ExpectationResult, row: Mapping[str, Any]) -> str:
    keys = KEYS[result.table]
    where = "/".join(str(row[key]) for key in keys) if "split" in keys else str(row[keys[-1]])
    value = row[result.column]
    said = f"{value:.4g}" if isinstance(value, float) else str(value)
    return f"{where} ({result.column.replace('_', ' ')}: {said})"


def collect(
    inventory: pd.DataFrame, tables: Tables, results: Iterable[ExpectationResult]
) -> dict[str, Any]:
    """Gather the findings.

    Returns:
        `sets`, `expectations`, `left_out`, `duplicates` and `drift`, each a list of plain mappings.
    """
    left_out = inventory[inventory["fault"].notna()]
    fields = ["fault", "split", "dataset", "image", "mask", "message"]
    duplicates = [asdict(pair) for pair in tables.duplicates]
    return {
        "sets": _sets(inventory, tables.by_name[SETS]),
        "expectations": [_expectation(result) for result in results],
        "left_out": [_plain(row) for row in left_out[fields].to_dict("records")],
        "duplicates": _sharpest(duplicates, MOST) if len(duplicates) > MOST else duplicates,
        "duplicates_count": len(duplicates),
        "drift": [_plain(row) for row in tables.comparisons.to_dict("records")],
    }


def _sets(inventory: pd.DataFrame, sets: pd.DataFrame) -> list[dict[str, Any]]:
    per_image = valid_rows(inventory).groupby(["split", "dataset", "image"]).size()
    most = per_image.groupby(["split", "dataset"]).max().rename("most_masks_per_image")
    there = sets[~sets["gone"]].drop(columns="gone")
    joined = there.merge(most, how="left", on=["split", "dataset"])
    return [_plain(row) for row in joined.to_dict("records")]


def _expectation(result: ExpectationResult) -> dict[str, Any]:
    shown = [*KEYS[result.table], result.column]
    told = ("name", "description", "level", "passed", "checked")
    return {name: getattr(result, name) for name in told} | {
        "offenders": len(result.offenders),
        "listed": [_plain({key: row.get(key) for key in shown}) for row in result.offenders[:MOST]],
    }


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Turn numpy's and pandas' values into JSON's; what is missing becomes None."""
    return {str(key): _value(value) for key, value in row.items()}


def _value(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    if pd.isna(value):
        return None
    if isinstance(value, float):
        return int(value) if value.is_integer() else float(f"{value:.6g}")
    return value


def write_page(
    path: Path,
    verdict: Verdict,
    findings: Mapping[str, Any],
    tables: Tables,
    results: Iterable[ExpectationResult],
    *,
    manifest_md5: str = "",
) -> None:
    """Write one self-contained HTML file; equal findings and images give equal bytes.

    Args:
        path: Where to.
        verdict: The verdict.
        findings: What `collect` has gathered.
        tables: What was judged.
        results: What became of each expectation.
        manifest_md5: The manifest's digest as `dvc.lock` has it, by which git finds commit and
            date: a date of its own would make the page of equal data another one.
    """
    template = resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals.update(
        image_thumbnail=image_thumbnail, mask_thumbnail=mask_thumbnail, of_image=OF_IMAGE
    )
    left_out = findings["left_out"]
    shown = [
        result
        for result in results
        if not result.passed and result.table in (PAIRS, IMAGES) and result.level != "item"
    ]
    pairs = tables.by_name[PAIRS]
    image_of = dict(zip(pairs["mask"], pairs["image"], strict=True))
    text = environment.from_string(template).render(
        verdict=verdict, summary=_summary(verdict), findings=findings, manifest_md5=manifest_md5,
        left_out=left_out[:SHOWN], left_out_count=len(left_out),
        duplicates=_sharpest(findings["duplicates"], SHOWN),
        duplicates_count=len(tables.duplicates),
        seen=[_seen(result, image_of) for result in shown if result.name not in _ABOUT_DUPLICATES],
        drift=[row for row in findings["drift"] if row["drifted"]],
        compared=len(findings["drift"]), samples=_samples(valid_rows(pairs)),
    )  # fmt: skip
    write_text(path, text)


def _summary(verdict: Verdict) -> str:
    """Sum the verdict up in a few sentences."""
    told = {
        "Invalid and left out": f"{verdict.invalid:,}" if verdict.invalid else "",
        "In quarantine and left out": f"{verdict.quarantined:,}" if verdict.quarantined else "",
        "Failed": ", ".join(verdict.errors),
        "To be looked at": ", ".join(verdict.warnings),
    }
    sentences = [f"{name}: {words}." for name, words in told.items() if words]
    return " ".join([f"{verdict.masks:,} masks are valid and listed in the manifest.", *sentences])


def _sharpest(duplicates: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """Choose the duplicates to tell: leaks first, then equal files, then the most alike."""
    ranked = sorted(
        duplicates,
        key=lambda pair: (
            pair["first_split"] == pair["second_split"], not pair["same_bytes"], pair["bits"],
        ),
    )  # fmt: skip
    return ranked[:most]


def _seen(result: ExpectationResult, image_of: Mapping[Any, Any]) -> dict[str, Any]:
    """Show the worst offenders of one expectation, the smallest values first.

    Beside the copy of a mask stands the image that the mask was first drawn for.
    """
    column = result.column
    ranked = sorted(
        result.offenders,
        key=lambda row: (row[column] if isinstance(row[column], int | float) else 0, row["image"]),
    )
    of_mask, of_copy = result.table == PAIRS, column == "mask_copy_of"
    cards = []
    for row in ranked[:SHOWN]:
        image, mask, value = row["image"], row.get("mask", ""), row[column]
        said = f"{value:.4g}" if isinstance(value, int | float) else value
        words = f"covers {value:.3%}" if column == "area" else f"{column.replace('_', ' ')} {said}"
        source = outlined_thumbnail(image, mask) if of_mask else image_thumbnail(image)
        beside = outlined_thumbnail(image_of[value], value) if of_copy else None
        file = mask if of_mask else image
        cards.append({"file": file, "value": words, "src": source, "beside": beside})
    return {"result": result, "cards": cards, "wide": of_copy}


def _samples(valid: pd.DataFrame) -> list[dict[str, Any]]:
    """Show some masks of every data set, and how its measurements are spread."""
    shown = []
    for (split, name), rows in valid.groupby(["split", "dataset"], sort=True):
        ranked = rows.sort_values("id")
        places = np.unique(np.linspace(0, len(ranked) - 1, num=SAMPLES).round().astype(int))
        chosen = ranked.iloc[places]
        images = rows.drop_duplicates("image")
        shown.append(
            {
                "split": split, "dataset": name,
                "cards": [
                    {"file": row["mask"], "src": outlined_thumbnail(row["image"], row["mask"])}
                    for row in chosen.to_dict("records")
                ],
                "spreads": [
                    _spread("area of the mask, per cent of the image", 100 * rows["area"]),
                    _spread("width of the image, pixels", images["width"]),
                    _spread("height of the image, pixels", images["height"]),
                    _spread("mean brightness, 0 to 255", images["brightness"]),
                ],
            }
        )  # fmt: skip
    return shown


def _spread(words: str, values: pd.Series[Any]) -> dict[str, Any]:
    """Count values in bins of equal width, as heights from 0 to 1, with their two ends."""
    known = values.dropna().to_numpy(np.float64)
    counts, edges = np.histogram(known, bins=BINS)
    heights = (counts / max(1, counts.max())).round(3).tolist()
    ends = [f"{edge:.3g}" if abs(edge) < 1000 else f"{edge:.0f}" for edge in (edges[0], edges[-1])]
    return {"words": words, "heights": heights, "ends": ends, "median": f"{np.median(known):.4g}"}


def image_thumbnail(path: str | None) -> str | None:
    """Show an image file as the data URI of a JPEG; None where there is none to be decoded."""
    image = _read_or_none(path)
    return None if image is None else _encoded(_shrunk(image))


def mask_thumbnail(path: str | None) -> str | None:
    """Show a mask file's own values, stretched so that 0/1 masks and label maps can be seen."""
    image = _read_or_none(path)
    if image is None:
        return None
    top = max(1, int(image.max()))
    return _encoded(_shrunk((image.astype(np.float32) * 255 / top).astype(np.uint8)))


def outlined_thumbnail(image_path: str, mask_path: str) -> str | None:
    """Show an image with the outline of a valid mask; a small mask gets a box round it."""
    image = _read_or_none(image_path)
    if image is None:
        return None
    try:
        label = read_mask(Path(mask_path))
    except DataError:
        return _encoded(_shrunk(image))
    small = _shrunk(image)
    size = (small.shape[1], small.shape[0])
    inside = foreground(label).astype(np.uint8)
    share = cv2.resize(inside.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    edges, _ = cv2.findContours((share > 0).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(small, edges, -1, _OUTLINE, 1)
    if inside.mean() < _SMALL:
        x, y, w, h = cv2.boundingRect((share > 0).astype(np.uint8))
        cv2.rectangle(small, (x - 6, y - 6), (x + w + 5, y + h + 5), _OUTLINE, 1)
    return _encoded(small)


def _read_or_none(path: str | None) -> NDArray[np.uint8] | None:
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
