"""The options of `pasam predict` that say which objects are meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pasam.commands.prompt_options import typed_prompts
from pasam.errors import PromptError

if TYPE_CHECKING:
    from pasam.inference.asking import Asking

MOST_DETECTIONS = 100
"""Boxes per picture, as COCO counts them."""

All = Annotated[bool, typer.Option("--everything", help="Find all objects, from a grid of points.")]
Detections = Annotated[
    Path | None,
    typer.Option(help="A detector's COCO results: its boxes are the prompts.", dir_okay=False),
]
Annotations = Annotated[
    Path | None, typer.Option(help="The COCO set that --detections is of.", dir_okay=False)
]
Lowest = Annotated[
    float, typer.Option(min=0, max=1, help="With --detections: leave out boxes of lower score.")
]
Side = Annotated[
    int | None, typer.Option(min=1, max=256, help="With --everything: points per side of the grid.")
]
LowestIou = Annotated[
    float | None, typer.Option(help="With --everything: drop proposals of lower predicted IoU.")
]
LowestStability = Annotated[
    float | None, typer.Option(help="With --everything: drop proposals that are less stable.")
]
Smallest = Annotated[
    int, typer.Option(min=0, help="With --everything: remove holes and islands of fewer pixels.")
]


def chosen_asking(
    pictures: Sequence[Path],
    *,
    box: Sequence[str] | None,
    point: Sequence[str] | None,
    everything: bool,
    grid: Mapping[str, float | None],
    detections: Path | None,
    annotations: Path | None,
    min_score: float,
) -> Asking:
    """Make of what was typed the way to ask.

    Args:
        pictures: The pictures' files.
        box: Typed boxes.
        point: Typed points.
        everything: Whether all objects are meant.
        grid: Typed values of everything, None where nothing was.
        detections: A detector's results.
        annotations: The set they are of.
        min_score: Boxes of a lower score are left out.

    Raises:
        PromptError: Nothing was asked for, or more than one thing.
        DataError: The detections or their set are unfit.
    """
    prompts = typed_prompts(box, point)
    if [bool(prompts), everything, detections is not None].count(True) != 1:
        raise PromptError(
            "say what to cut out: a --box or a --point, or else --everything, or --detections."
        )
    from pasam.inference.asking import AskedDetections, AskedEverything, AskedPrompts
    from pasam.inference.detected_prompts import detected_set

    if prompts:
        return AskedPrompts(prompts)
    if detections is None:
        return AskedEverything({name: v for name, v in grid.items() if v is not None})
    if annotations is None:
        raise PromptError("--detections needs --annotations, the COCO set whose images they name.")
    return AskedDetections(
        detected_set(pictures, detections, annotations, lowest=min_score, most=MOST_DETECTIONS)
    )
