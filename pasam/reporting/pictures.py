"""Images for the page: cut to the object, chosen by their scores, with the adapter's inner maps."""

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

from pasam.reporting.blocks import Card, Pictures, View
from pasam.reporting.figures import Example
from pasam.reporting.overlay import Image, comparison
from pasam.reporting.results import Results
from pasam.reporting.style import BOX, INK, NEGATIVE_POINT, POSITIVE_POINT, UNCERTAINTY_MAP, label
from pasam.reporting.summary import score_matrix
from pasam.reporting.svg import element
from pasam.reporting.wording import signed

# --- pictures: Pictures for the page: cut to the object, as small as they are shown, inside the
# file.

# Shapes: H and W of the image, h and w of the part that is shown, g of the uncertainty map.


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


# --- gallery: Which images a gallery shows: chosen by their scores alone, never by looks.

METRIC = "boundary_iou"


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """An image of a gallery, with the scores that brought it there, as shares."""

    image_id: str
    score: float
    against: float

    @property
    def gain(self) -> float:
        """How much the subject is ahead on this image."""
        return self.score - self.against


def ranked(results: Results) -> list[Shown]:
    """List every image with the subject's and the reference's boundary IoU, by id."""
    model, against = (
        score_matrix(results.shown_scores, name, METRIC)
        for name in (results.subject, results.reference)
    )
    found = [
        Shown(image_id=image, score=float(a), against=float(b))
        for image, a, b in zip(model.images, model.per_image, against.per_image, strict=True)
    ]
    return sorted(found, key=lambda shown: shown.image_id)


def worst(images: list[Shown], count: int) -> list[Shown]:
    """Pick the images with the lowest scores."""
    return sorted(images, key=lambda shown: shown.score)[:count]


def most_improved(images: list[Shown], count: int) -> list[Shown]:
    """Pick the images with the largest gains; none that did not gain."""
    better = [shown for shown in images if shown.gain > 0]
    return sorted(better, key=lambda shown: -shown.gain)[:count]


def most_harmed(images: list[Shown], count: int) -> list[Shown]:
    """Pick the images with the largest losses; none that did not lose."""
    worse = [shown for shown in images if shown.gain < 0]
    return sorted(worse, key=lambda shown: shown.gain)[:count]


def median(images: list[Shown]) -> Shown:
    """Pick the image in the middle by gain, so that it stands for the rest."""
    gains = np.array([shown.gain for shown in images])
    return images[int(np.argsort(gains, kind="stable")[len(images) // 2])]


def card(results: Results, shown: Shown) -> Card:
    """Draw an image of a gallery: prompt and points, reference, subject, uncertainty."""
    example, side = results.example(shown.image_id), results.report.picture_side
    window = window_round(example)
    views = [
        prompt_view(example, window, side=side),
        model_view(example, results.reference, window, side=side),
        model_view(example, results.subject, window, side=side),
        uncertainty_view(example, window, side=side),
    ]
    note = (
        f"Boundary IoU {100 * shown.against:.1f} with {label(results.reference)}, "
        f"{100 * shown.score:.1f} with {label(results.subject)}: {signed(100 * shown.gain)} points"
    )
    return Card(title=shown.image_id, note=note, views=tuple(v for v in views if v is not None))


# --- inner_pictures: Pictures of what happens inside the adapter on one image: its maps, masks
# and points.

# Shapes: H and W of the image, g of a map.


UNSURE = 0.5
"""Uncertainty from which the refined mask takes the coarse one's place."""

HEADINGS = {
    "guiding": "Guiding embedding",
    "dense_change": "Dense change",
    "attention": "Attention of the mask token",
}
_SHARPEST = 0.99
"""Quantile that a heat map shows as its brightest."""


def telling_image(results: Results) -> str:
    """Pick the image that the subject improved most, or else its worst."""
    images = ranked(results)
    return (most_improved(images, 1) or worst(images, 1))[0].image_id


def walk(results: Results) -> Pictures | None:
    """Show one forward pass from the prompt to the mask; None where no map was kept."""
    example, window = _telling(results)
    if not example.maps:
        return None
    side = results.report.picture_side
    views = [prompt_view(example, window, side=side, points=False)]
    views += [heat_view(example, name, window, side=side) for name in HEADINGS]
    doubt = uncertainty_view(example, window, side=side)
    views += [] if doubt is None else [doubt]
    views.append(prompt_view(example, window, side=side, box=False))
    views.append(model_view(example, results.subject, window, side=side))
    caption = (
        f"One pass of {label(results.subject)} over {example.image_id}, which it improved most: "
        "prompt; size of the guiding embedding; size of the dense change; where the mask token "
        "looks; uncertainty; mined points; the mask."
    )
    return Pictures(views=tuple(views), caption=caption)


def prompt_changes(results: Results) -> Pictures | None:
    """Show where the dense prompt changes and where the mask token looks."""
    example, window = _telling(results)
    if not example.maps:
        return None
    side = results.report.picture_side
    views = [prompt_view(example, window, side=side, points=False)]
    views += [heat_view(example, n, window, side=side) for n in ("dense_change", "attention")]
    caption = f"{example.image_id}: bright is much, dark is little, each map on a scale of its own."
    return Pictures(views=tuple(views), caption=caption)


def token_maps(results: Results) -> Pictures | None:
    """Show the coarse, refined and final mask of the tokens, and the uncertainty between them."""
    example, window = _telling(results)
    uncertainty = example.uncertainty
    if not {"coarse", "refined"} <= set(example.maps) or uncertainty is None:
        return None
    side = results.report.picture_side
    coarse, refined = (example.maps[name].astype(np.float32) for name in ("coarse", "refined"))
    unsure = cv2.resize(uncertainty, coarse.shape[::-1], interpolation=cv2.INTER_LINEAR) >= UNSURE
    final = np.where(unsure, refined, coarse)
    doubt = uncertainty_view(example, window, side=side)
    views = [
        _mask_view(example, "Coarse", coarse, window, side),
        *([] if doubt is None else [doubt]),
        _mask_view(example, "Refined", refined, window, side),
        _mask_view(example, "Final", final, window, side),
    ]
    caption = (
        f"{example.image_id}: masks of the adapter's own grid against the truth. The final one "
        "takes the refined where the uncertainty is a half or more, the coarse elsewhere."
    )
    return Pictures(views=tuple(views), caption=caption)


def heat_view(example: Example, name: str, window: Window, *, side: int) -> View:
    """Show one of the adapter's maps, dark for its least and bright for its most."""
    values = _at_image_size(example.maps[name], example)
    low, high = float(values.min()), float(np.quantile(values, _SHARPEST))
    scaled = np.clip((values - low) / max(high - low, 1e-12), 0, 1)
    coloured = mpl.colormaps[UNCERTAINTY_MAP](scaled)[..., :3]
    painted = np.rint(255 * coloured).astype(np.uint8)
    heading = HEADINGS[name]
    return image_view(heading, painted, window, side, f"{heading} on {example.image_id}")


def _mask_view(
    example: Example, name: str, logits: NDArray[np.float32], window: Window, side: int
) -> View:
    painted = comparison(example.image, example.truth, _at_image_size(logits, example) > 0)
    alt = f"{name} mask of the adapter on {example.image_id}: hits, false alarms and misses"
    return image_view(name, painted, window, side, alt)


def _at_image_size(values: NDArray[np.floating], example: Example) -> NDArray[np.float32]:
    height, width = example.truth.shape
    resized = cv2.resize(
        np.asarray(values, np.float32), (width, height), interpolation=cv2.INTER_LINEAR
    )
    return np.asarray(resized, np.float32)


def _telling(results: Results) -> tuple[Example, Window]:
    example = results.example(telling_image(results))
    return example, window_round(example)
