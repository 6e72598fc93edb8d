"""Pictures of what happens inside the adapter on one image: its maps, masks and points."""

# Shapes: H and W of the image, g of a map.

from __future__ import annotations

import cv2
import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from pasam.reporting.blocks import Pictures, View
from pasam.reporting.examples import Example
from pasam.reporting.gallery import most_improved, ranked, worst
from pasam.reporting.names import label
from pasam.reporting.overlay import comparison
from pasam.reporting.palette import UNCERTAINTY_MAP
from pasam.reporting.pictures import (
    Window,
    image_view,
    model_view,
    prompt_view,
    uncertainty_view,
    window_round,
)
from pasam.reporting.results import Results

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
