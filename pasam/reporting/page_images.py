"""Images of the page: chosen by their scores, cut to the object, packed into the file."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, replace

import cv2
import matplotlib as mpl
import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image as PillowImage

from pasam.evaluation.predictions import Predicted
from pasam.reporting.blocks import Card, ImageStrip, ImageView
from pasam.reporting.figures import ComparedImage
from pasam.reporting.overlay import Image, comparison
from pasam.reporting.results import BASELINE, Results
from pasam.reporting.style import (
    BOX,
    INK,
    NEGATIVE_POINT,
    POSITIVE_POINT,
    UNCERTAINTY_MAP,
    label,
    signed,
)
from pasam.reporting.summary import score_matrix
from pasam.reporting.svg import element

# Shapes: H and W of the image, h and w of the part that is shown, g of a map of the adapter.

MAPS = {
    "guiding": "Guiding embedding",
    "dense_change": "Dense change",
    "attention": "Attention of the mask token",
}
"""Map of the adapter -> what the page calls it."""

UNSURE = 0.5
"""Uncertainty from which the refined mask takes the coarse one's place."""

_MARGIN = 0.12
"""Room round the object, as a fraction of the longer side of what is shown of it."""
_QUALITY = 80
_OUTCOMES = "true positives, false positives and false negatives"
_SHARPEST = 0.99
"""Quantile that a heat map shows as its brightest."""


Window = tuple[slice, slice]
"""The rows and the columns of an image that are shown."""


def window_round(image: ComparedImage) -> Window:
    """Find the part of an image that holds the object and all predictions, with room round them.

    A box prompt round the object lies within it; of a box that reaches farther a part is cut off.
    """
    inside = np.logical_or.reduce([image.truth, *image.predictions.values()])
    if not inside.any():
        return slice(0, inside.shape[0]), slice(0, inside.shape[1])
    filled = [np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0)]
    margin = _MARGIN * max(ends[-1] + 1 - ends[0] for ends in filled)
    rows, columns = (
        slice(max(0, int(ends[0] - margin)), min(size, int(np.ceil(ends[-1] + 1 + margin))))
        for ends, size in zip(filled, inside.shape, strict=True)
    )
    return rows, columns


def data_url(image: Image, *, side: int, lossless: bool = False) -> tuple[str, int, int]:
    """Pack an image (H, W, 3) into a data URL as WebP, its longest side at most `side` pixels.

    Lossless is for few colours, of which it makes fewer bytes.

    Returns:
        The URL, and the packed image's width and height.
    """
    height, width = image.shape[:2]
    factor = min(1.0, side / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if factor < 1 else image
    packed = io.BytesIO()
    PillowImage.fromarray(np.ascontiguousarray(small)).save(
        packed, format="WEBP", quality=_QUALITY, method=4, lossless=lossless
    )
    return f"data:image/webp;base64,{base64.b64encode(packed.getvalue()).decode()}", *size


@dataclass(frozen=True, slots=True)
class CroppedImage:
    """An image cut to its object, from which views for the page are made."""

    shown: ComparedImage
    window: Window
    side: int
    """Longest side of a view in pixels."""

    def prompt(self, *, box: bool = True, points: bool = True) -> ImageView:
        """Show the image with its box prompt and the mined points, or with one of them."""
        marked = self.shown.details
        marked = marked if box else replace(marked, box=None)
        marked = marked if points else replace(marked, positive=None, negative=None)
        named = [("its box prompt", marked.box), ("the mined points", marked.positive)]
        marks = " and ".join(name for name, there in named if there is not None)
        alt = f"Image {self.shown.image_id}" + (f" with {marks}" if marks else "")
        name = "Prompt" if box else "Mined points"
        return self._view(name, self.shown.image, alt, _marks(marked, self.window))

    def truth(self) -> ImageView:
        """Show the ground truth alone, white."""
        grey = np.where(self.shown.truth, np.uint8(255), np.uint8(0))
        alt = f"Ground truth of {self.shown.image_id}"
        return self._view("Ground truth", np.stack([grey] * 3, axis=-1), alt, lossless=True)

    def prediction(self, model: str) -> ImageView:
        """Show a model's mask against the ground truth."""
        score, name = 100 * self.shown.scores[model][1], label(model)
        alt = f"{name} on {self.shown.image_id}, {_OUTCOMES}: boundary IoU {score:.1f} %"
        return self._view(f"{name} {score:.1f}", self._painted(self.shown.predictions[model]), alt)

    def adapter_mask(self, name: str, logits: NDArray[np.float32]) -> ImageView:
        """Show mask logits of the adapter's own grid, (g, g), against the ground truth."""
        alt = f"{name} mask of the adapter on {self.shown.image_id}: {_OUTCOMES}"
        return self._view(name, self._painted(self._enlarged(logits) > 0), alt)

    def uncertainty(self) -> list[ImageView]:
        """Show the uncertainty map, where the image's model has one."""
        if self.shown.details.uncertainty is None:
            return []
        values = np.clip(self._enlarged(self.shown.details.uncertainty), 0, 1)
        alt = f"Uncertainty map of {self.shown.image_id}: bright where the coarse mask is doubted"
        return [self._view("Uncertainty", _coloured(values), alt)]

    def heat_map(self, name: str) -> ImageView:
        """Show one of the adapter's maps, dark for its least and bright for its most."""
        values = self._enlarged(self.shown.details.maps[name])
        low, high = float(values.min()), float(np.quantile(values, _SHARPEST))
        scaled = np.clip((values - low) / max(high - low, 1e-12), 0, 1)
        return self._view(MAPS[name], _coloured(scaled), f"{MAPS[name]} on {self.shown.image_id}")

    def _view(
        self, name: str, image: Image, alt: str, marks: Markup | None = None,
        *, lossless: bool = False,
    ) -> ImageView:  # fmt: skip
        part = image[self.window]
        source, width, height = data_url(part, side=self.side, lossless=lossless)
        return ImageView(
            name=name, source=source, alt=alt, width=width, height=height, marks=marks or Markup("")
        )

    def _painted(self, mask: NDArray[np.bool_]) -> Image:
        return comparison(self.shown.image, self.shown.truth, mask)

    def _enlarged(self, values: NDArray[np.floating]) -> NDArray[np.float32]:
        """Bring a map (g, g) to the image's size, (H, W)."""
        height, width = self.shown.truth.shape
        grid = np.asarray(values, np.float32)
        enlarged = cv2.resize(grid, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(enlarged, np.float32)


def cropped(results: Results, image_id: str, *, side: int | None = None) -> CroppedImage:
    """Cut an image of a run to its object, by default at the size of a card."""
    shown = results.example(image_id)
    return CroppedImage(shown, window_round(shown), side or results.params.report.picture_side)


def _coloured(values: NDArray[np.floating]) -> Image:
    """Turn values in [0, 1], (H, W), into colours, (H, W, 3)."""
    colours = mpl.colormaps[UNCERTAINTY_MAP](values)[..., :3]
    return np.asarray(np.rint(255 * colours), np.uint8)


def _marks(details: Predicted, window: Window) -> Markup:
    """Draw box and points over the part that is shown, in its own pixels."""
    (top, left), (bottom, right) = ((w.start for w in window), (w.stop for w in window))
    width, height = right - left, bottom - top
    unit = max(width, height) / 100
    drawn = []
    if details.box is not None:
        x0, y0, x1, y1 = (float(v) for v in details.box)
        place = {"x": x0 - left, "y": y0 - top, "width": x1 - x0 + 1, "height": y1 - y0 + 1}
        for colour, thick in ((INK, 1.8 * unit), (BOX, 0.9 * unit)):
            drawn.append(element("rect", **place, fill="none", stroke=colour, stroke_width=thick))
    for points, colour in ((details.positive, POSITIVE_POINT), (details.negative, NEGATIVE_POINT)):
        for x, y in [] if points is None else points:
            drawn.append(
                element(
                    "circle", cx=float(x) - left + 0.5, cy=float(y) - top + 0.5,
                    r=1.8 * unit, fill=colour, stroke=INK, stroke_width=0.5 * unit,
                )
            )  # fmt: skip
    return element("svg", *drawn, viewBox=f"0 0 {width} {height}", class_="marks")


def ranked(results: Results) -> pd.DataFrame:
    """List the subject's and the reference's boundary IoU as fractions, and the gain, by image.

    Returns:
        Columns score, against and gain; indexed and sorted by id, so that ties fall alike.
    """
    model, against = (
        score_matrix(results.shown_scores, name, "boundary_iou").mean()
        for name in (results.subject, results.reference)
    )
    table = pd.DataFrame({"score": model, "against": against, "gain": model - against})
    return table.droplevel(["benchmark", "group"]).sort_index()


def worst(images: pd.DataFrame, count: int) -> pd.DataFrame:
    """Pick the images with the lowest scores."""
    return images.nsmallest(count, "score")


def most_improved(images: pd.DataFrame, count: int) -> pd.DataFrame:
    """Pick the images with the largest gains; none that did not gain."""
    return images[images["gain"] > 0].nlargest(count, "gain")


def most_harmed(images: pd.DataFrame, count: int) -> pd.DataFrame:
    """Pick the images with the largest losses; none that did not lose."""
    return images[images["gain"] < 0].nsmallest(count, "gain")


GALLERIES = (
    ("worst", "Worst", "where {}'s boundary IoU is lowest", worst),
    ("most_improved", "Most improved", "where {} gains most over {}", most_improved),
    ("most_harmed", "Most harmed", "where {} loses most against {}", most_harmed),
)
"""Key, name and rule of every gallery, and what picks its images."""


def median(images: pd.DataFrame) -> str:
    """Name the image in the middle by gain, so that it stands for the rest."""
    return str(images["gain"].sort_values(kind="stable").index[len(images) // 2])


def compared(results: Results) -> list[str]:
    """List the models of a card: the reference, HQ-SAM where it is in the run, the subject."""
    named = dict.fromkeys((results.reference, BASELINE, results.subject))
    return [model for model in named if model in results.shown]


def card(results: Results, image_id: str, scores: pd.Series[float]) -> Card:
    """Draw an image of a gallery, one row of `ranked`: prompt, truth, models, uncertainty."""
    image = cropped(results, image_id)
    against, score, gain = (100 * scores[name] for name in ("against", "score", "gain"))
    note = (
        f"Boundary IoU {against:.1f} with {label(results.reference)}, "
        f"{score:.1f} with {label(results.subject)}: {signed(gain)} points"
    )
    models = [image.prediction(model) for model in compared(results)]
    views = (image.prompt(), image.truth(), *models, *image.uncertainty())
    return Card(title=image_id, note=note, views=views)


def walk(results: Results) -> list[ImageStrip]:
    """Show one forward pass from the prompt to the mask; nothing where no map was kept."""
    image = best_example(results)
    if not image.shown.details.maps:
        return []
    views = (
        image.prompt(points=False),
        *(image.heat_map(name) for name in MAPS),
        *image.uncertainty(),
        image.prompt(box=False),
        image.prediction(results.subject),
    )
    name = image.shown.image_id
    why = "improved most" if ranked(results)["gain"][name] > 0 else "is worst at, improving none"
    caption = (
        f"One pass of {label(results.subject)} over {name}, which it {why}: prompt; size of the "
        "guiding embedding; size of the dense change; where the mask token looks; uncertainty; "
        "mined points; the mask."
    )
    return [ImageStrip(views=views, caption=caption)]


def prompt_changes(results: Results) -> list[ImageStrip]:
    """Show where the dense prompt changes and where the mask token looks."""
    image = best_example(results)
    if not image.shown.details.maps:
        return []
    heat_maps = [image.heat_map(name) for name in ("dense_change", "attention")]
    caption = (
        f"{image.shown.image_id}: bright is much, dark is little, each map on a scale of its own."
    )
    return [ImageStrip(views=(image.prompt(points=False), *heat_maps), caption=caption)]


def token_maps(results: Results) -> list[ImageStrip]:
    """Show the coarse, refined and final mask of the tokens, and the uncertainty between them."""
    image = best_example(results)
    maps, uncertainty = image.shown.details.maps, image.shown.details.uncertainty
    if not {"coarse", "refined"} <= set(maps) or uncertainty is None:
        return []
    coarse, refined = (maps[name].astype(np.float32) for name in ("coarse", "refined"))
    unsure = cv2.resize(uncertainty, coarse.shape[::-1], interpolation=cv2.INTER_LINEAR) >= UNSURE
    views = (
        image.adapter_mask("Coarse", coarse),
        *image.uncertainty(),
        image.adapter_mask("Refined", refined),
        image.adapter_mask("Final", np.where(unsure, refined, coarse)),
    )
    caption = (
        f"{image.shown.image_id}: masks of the adapter's own grid against the truth. The final one "
        "takes the refined where the uncertainty is a half or more, the coarse elsewhere."
    )
    return [ImageStrip(views=views, caption=caption)]


def best_example(results: Results) -> CroppedImage:
    """Cut the image that the subject improved most, or else its worst."""
    images = ranked(results)
    chosen = pd.concat([most_improved(images, 1), worst(images, 1)])
    return cropped(results, str(chosen.index[0]))
