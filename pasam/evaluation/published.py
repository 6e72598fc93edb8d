"""Numbers that others published, each with the place it was read at; in per cent.

Only numbers that were read at their source are here. On the four benchmarks all are for ViT-L with
tight boxes of the ground truth as prompts, trained on HQSeg-44K where anything was trained. Masks
from detectors' boxes: COCO val2017, zero-shot, boxes from FocalNet-DINO; and SegInW's 25 sets,
boxes from Grounding DINO with a Swin-B, ViT-H. PA-SAM's rows are in its paper only and were not
read, so they are not here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pandas as pd

BENCHMARKS = ("DIS", "COIFT", "HRSOD", "ThinObject")
MEAN = "mean"

STAND_INS = {
    "dis_like": "DIS",
    "coift_like": "COIFT",
    "hrsod_like": "HRSOD",
    "thin_like": "ThinObject",
}
"""Generated benchmark -> the published one whose difficulty it carries."""

PUBLIC_SETS = {"DIS5K-VD": "DIS", "ThinObject5K-TE": "ThinObject"}
"""Public set by its full name, as the catalogue has it -> the name in the papers' tables."""

TOLERANCES = {"DIS": 1.0, "ThinObject": 1.0, MEAN: 0.5}
"""Points by which a full retraining on the published protocol may differ from what is published."""

SAME_WEIGHTS = 0.2
"""The same of the mean, where nothing is trained: SAM's weights are the published ones."""

PROTOCOL_BASE = "vit_l"
"""The SAM that the published numbers stand on."""

_PA_SAM_README = "README of the pa-sam repository"
_SAM_HQ_FIGURE = "backbone figure of the sam-hq repository"

COCO = "coco"
SEGINW = "seginw"
"""Names of the two benchmarks, as `params/paper.yaml` calls them."""
COCO_IMAGES, SEGINW_SETS = 5000, 25
"""What their published numbers are of; those of a part of them are other numbers."""

_SEGINW_SOURCE = "README and logs of the sam-hq repository"

_COCO = {  # boundary AP, AP, AP large, AP medium, AP small
    ("sam", "vit_b"): (28.2, 44.4, 57.7, 48.7, 32.1),
    ("hq_sam", "vit_b"): (31.3, 46.7, 62.9, 50.5, 32.0),
    ("sam", "vit_l"): (33.3, 48.5, 63.9, 53.1, 34.1),
    ("hq_sam", "vit_l"): (34.4, 49.5, 66.2, 53.8, 33.9),
    ("sam", "vit_h"): (34.0, 48.9, 64.5, 53.3, 34.4),
    ("hq_sam", "vit_h"): (34.9, 49.9, 66.5, 54.0, 34.2),
}
_SEGINW = {("sam", "vit_h"): 48.7, ("hq_sam", "vit_h"): 49.6}

COLUMNS = ("ap_boundary", "ap", "ap_large", "ap_medium", "ap_small")


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """One published result."""

    model: str
    """Key of the model, as in the score files."""
    benchmark: str
    """One of `BENCHMARKS`, or `MEAN` for the mean of the four."""
    miou: float
    mbiou: float
    source: str


def _of(model: str, source: str, scores: dict[str, tuple[float, float]]) -> tuple[Published, ...]:
    return tuple(
        Published(model=model, benchmark=name, miou=miou, mbiou=mbiou, source=source)
        for name, (miou, mbiou) in scores.items()
    )


PUBLISHED: tuple[Published, ...] = (
    # SAM's four single numbers were not confirmed at their source, so only its mean is here.
    *_of("sam", _SAM_HQ_FIGURE, {MEAN: (79.5, 71.1)}),
    *_of(
        "hq_sam",
        f"{_PA_SAM_README}; {_SAM_HQ_FIGURE}",
        {
            "DIS": (78.6, 70.4),
            "COIFT": (94.8, 90.1),
            "HRSOD": (93.6, 86.9),
            "ThinObject": (89.5, 79.9),
            MEAN: (89.1, 81.8),
        },
    ),
    *_of(
        "pa_sam",
        _PA_SAM_README,
        {
            "DIS": (81.5, 73.9),
            "COIFT": (95.8, 92.1),
            "HRSOD": (94.6, 88.0),
            "ThinObject": (92.7, 84.0),
            MEAN: (91.2, 84.5),
        },
    ),
)


def published_for(benchmarks: Sequence[str]) -> pd.DataFrame:
    """Line the published numbers up with the benchmarks of a run.

    Args:
        benchmarks: Names as in the score files: generated stand-ins (`STAND_INS`), the published
            benchmarks themselves, or data of one's own, for which nothing is published.

    Returns:
        Columns model, benchmark (the run's name), published_benchmark, miou, mbiou, source,
        tolerance (points that a full retraining may be off, or SAM with the same weights; empty
        where none was agreed). The published mean is included only if the run covers each of the
        four exactly once and nothing else. Empty if none of the benchmarks has published numbers.
    """
    known = {**STAND_INS, **PUBLIC_SETS}
    names = {name: known.get(name, name) for name in benchmarks}
    if sorted(names.values()) == sorted(BENCHMARKS):
        names[MEAN] = MEAN
    rows = [
        {
            **asdict(entry),
            "benchmark": name,
            "published_benchmark": entry.benchmark,
            "tolerance": SAME_WEIGHTS if entry.model == "sam" else TOLERANCES.get(entry.benchmark),
        }
        for name, published in names.items()
        for entry in PUBLISHED
        if entry.benchmark == published
    ]
    columns = ["model", "benchmark", "published_benchmark", "miou", "mbiou", "source", "tolerance"]
    return pd.DataFrame(rows, columns=columns)


def repeats_protocol(base: str, benchmarks: Sequence[str]) -> bool:
    """Say whether a run's numbers may be held against the published ones.

    Args:
        base: Size of the frozen SAM.
        benchmarks: Names as in the score files; stand-ins are not the published ones.
    """
    names = sorted(PUBLIC_SETS.get(name, name) for name in benchmarks)
    return base == PROTOCOL_BASE and names == sorted(BENCHMARKS)


def is_whole(precisions: pd.DataFrame, benchmark: str) -> bool:
    """Say whether average precisions of COCO or of SegInW are of all its images, or all its sets.

    Args:
        precisions: Rows of one benchmark, as `pasam.evaluation.instances` writes them.
        benchmark: `COCO` or `SEGINW`.
    """
    if benchmark == COCO:
        return bool((precisions["images"] == COCO_IMAGES).any())
    return len(set(precisions["set"]) - {MEAN}) == SEGINW_SETS


def published_instances() -> pd.DataFrame:
    """List the published average precisions.

    Returns:
        Columns benchmark, model, base, ap_boundary, ap, ap_large, ap_medium, ap_small (per cent;
        empty where not published) and source.
    """
    rows = [
        {"benchmark": COCO, "model": model, "base": base, "source": _SAM_HQ_FIGURE}
        | dict(zip(COLUMNS, values, strict=True))
        for (model, base), values in _COCO.items()
    ]
    rows += [
        {"benchmark": SEGINW, "model": model, "base": base, "source": _SEGINW_SOURCE, "ap": ap}
        for (model, base), ap in _SEGINW.items()
    ]
    return pd.DataFrame(rows, columns=["benchmark", "model", "base", *COLUMNS, "source"])
