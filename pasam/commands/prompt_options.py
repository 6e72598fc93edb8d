"""Prompts as they are typed: `--box 10,20,200,180 --point 50,60 --point 10,10,0`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from pasam.errors import PromptError

if TYPE_CHECKING:
    from pasam.inference.image_prompt import ImagePrompt

Boxes = Annotated[
    list[str] | None,
    typer.Option("--box", metavar="X0,Y0,X1,Y1", help="A box round an object, in pixels."),
]
Points = Annotated[
    list[str] | None,
    typer.Option(
        "--point", metavar="X,Y[,0|1]", help="A point on the object (1, the default) or not (0)."
    ),
]


def typed_prompts(boxes: Sequence[str] | None, points: Sequence[str] | None) -> list[ImagePrompt]:
    """Make prompts of what was typed: one per box; points describe one object, with the box if any.

    Raises:
        PromptError: A number is missing or no number, or points come with several boxes.
    """
    from pasam.inference.image_prompt import image_prompt

    corners = [_numbers(box, "--box", (4,), "x0,y0,x1,y1") for box in boxes or ()]
    places = [_numbers(point, "--point", (2, 3), "x,y or x,y,0 or x,y,1") for point in points or ()]
    if places and len(corners) > 1:
        raise PromptError(
            f"{len(places)} points come with {len(corners)} boxes: points describe one object, so "
            "give one box with them, or run the command once for each object."
        )
    if not places:
        return [image_prompt(box=box) for box in corners]
    return [
        image_prompt(
            box=corners[0] if corners else None,
            points=[place[:2] for place in places],
            labels=[place[2] if len(place) == 3 else 1 for place in places],
        )
    ]


def _numbers(text: str, option: str, counts: tuple[int, ...], form: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in counts:
        raise PromptError(f"{option} is {text!r}, expected {form} in pixels of the picture.")
    return numbers
