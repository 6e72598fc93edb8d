"""Pictures for the page: cut to the object, as small as they are shown, inside the file."""

# Shapes: H and W of the image, h and w of the part that is shown, g of the uncertainty map.

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, replace

import cv2
import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image as PillowImage

from pasam.reporting.blocks import View
from pasam.reporting.examples import Example
from pasam.reporting.names import label
from pasam.reporting.overlay import Image, comparison
from pasam.reporting.palette import BOX, INK, NEGATIVE_POINT, POSITIVE_POINT, UNCERTAINTY_MAP
from pasam.reporting.svg.markup import element

_MARGIN = 0.12
"""Room round the object, as a share of the longer side of what is shown of it."""
_QUALITY = 80


@dataclass(frozen=True, slots=True)
class Window:
    """The part of an image that is shown, in pixels; ends are outside."""

    top: int
    bottom: int
    left: int
    right: int

    def cut(self, array: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Take this part of an array (H, W, ...)."""
        return array[self.top : self.bottom, self.left : self.right]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.right - self.left, self.bottom - self.top


def window_round(example: Example) -> Window:
    """Find the part of an image that holds the object, all predictions and the box."""
    inside = np.logical_or.reduce([example.truth, *example.predictions.values()])
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    height, width = example.truth.shape
    if not len(rows):
        return Window(0, height, 0, width)
    ends = [rows[0], rows[-1] + 1, columns[0], columns[-1] + 1]
    margin = _MARGIN * max(ends[1] - ends[0], ends[3] - ends[2])
    return Window(
        max(0, int(ends[0] - margin)),
        min(height, int(np.ceil(ends[1] + margin))),
        max(0, int(ends[2] - margin)),
        min(width, int(np.ceil(ends[3] + margin))),
    )


def data_address(image: Image, *, side: int) -> tuple[str, int, int]:
    """Pack an image into a data address as WebP, no larger than it is shown.

    Args:
        image: RGB, (H, W, 3).
        side: Longest side in pixels; smaller images keep their size.

    Returns:
        The address, and the packed image's width and height.
    """
    height, width = image.shape[:2]
    factor = min(1.0, side / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if factor < 1 else image
    packed = io.BytesIO()
    PillowImage.fromarray(np.ascontiguousarray(small)).save(
        packed, format="WEBP", quality=_QUALITY, method=4
    )
    return f"data:image/webp;base64,{base64.b64encode(packed.getvalue()).decode()}", *size


def prompt_view(
    example: Example, window: Window, *, side: int, box: bool = True, points: bool = True
) -> View:
    """Show the image with its box prompt and the mined points, or with one of them."""
    shown = replace(
        example,
        box=example.box if box else None,
        positive=example.positive if points else None,
        negative=example.negative if points else None,
    )
    named = [("its box prompt", shown.box), ("the mined points", shown.positive)]
    marks = " and ".join(name for name, there in named if there is not None)
    name = "Prompt" if box else "Mined points"
    alt = f"Image {example.image_id}" + (f" with {marks}" if marks else "")
    return image_view(name, example.image, window, side, alt, marks=_marks(shown, window))


def model_view(example: Example, model: str, window: Window, *, side: int) -> View:
    """Show a prediction against the ground truth."""
    painted = comparison(example.image, example.truth, example.predictions[model])
    score = 100 * example.scores[model][1]
    name = label(model)
    alt = f"{name} on {example.image_id}, hits, false alarms and misses: boundary IoU {score:.1f} %"
    return image_view(f"{name} {score:.1f}", painted, window, side, alt)


def uncertainty_view(example: Example, window: Window, *, side: int) -> View | None:
    """Show the uncertainty map, where the example's model has one."""
    if example.uncertainty is None:
        return None
    height, width = example.truth.shape
    full = cv2.resize(example.uncertainty, (width, height), interpolation=cv2.INTER_LINEAR)
    coloured = mpl.colormaps[UNCERTAINTY_MAP](np.clip(full, 0, 1))[..., :3]
    painted = np.rint(255 * coloured).astype(np.uint8)
    alt = f"Uncertainty map of {example.image_id}: bright where the coarse mask is doubted"
    return image_view("Uncertainty", painted, window, side, alt)


def image_view(
    name: str, image: Image, window: Window, side: int, alt: str, marks: Markup | None = None
) -> View:
    """Show the part of a painted image (H, W, 3) that a window holds, under a name."""
    source, width, height = data_address(window.cut(image), side=side)
    return View(
        name=name, source=source, alt=alt, width=width, height=height, marks=marks or Markup("")
    )


def _marks(example: Example, window: Window) -> Markup:
    """Draw box and points over the part that is shown, in its own pixels."""
    width, height = window.size
    unit = max(width, height) / 100
    drawn = []
    if example.box is not None:
        x0, y0, x1, y1 = (float(v) for v in example.box)
        place = {"x": x0 - window.left, "y": y0 - window.top}
        size = {"width": x1 - x0 + 1, "height": y1 - y0 + 1}
        for colour, thick in ((INK, 1.8 * unit), (BOX, 0.9 * unit)):
            drawn.append(
                element("rect", **place, **size, fill="none", stroke=colour, stroke_width=thick)
            )
    for points, colour in ((example.positive, POSITIVE_POINT), (example.negative, NEGATIVE_POINT)):
        for x, y in [] if points is None else points:
            drawn.append(
                element(
                    "circle", cx=float(x) - window.left + 0.5, cy=float(y) - window.top + 0.5,
                    r=1.8 * unit, fill=colour, stroke=INK, stroke_width=0.5 * unit,
                )
            )  # fmt: skip
    return element("svg", *drawn, viewBox=f"0 0 {width} {height}", class_="marks")
