"""The comparison figure: chosen images, what every model makes of them, drawn as one PNG."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from pasam.errors import DataError, ShapeError
from pasam.files import draft_file
from pasam.reporting import style as palette
from pasam.reporting.overlay import comparison, dimmed, paint
from pasam.reporting.style import label, ordered_benchmarks, ordered_models

if TYPE_CHECKING:
    from pasam.evaluation.predictions import Predicted

# Shapes: H and W of the original image, g of the uncertainty map, k hard points of one sign.

DPI = 150

_CELL = 2.05  # Inches: width of an image, and the greatest height of one.
_ROUND = 1.5  # Inches above and below the rows: title, legend and caption.
_NAME = 22  # Letters of an image's name that fit beside its row.
_PIXELS = 640  # Longest side of an image as drawn; larger ones are averaged down.

_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "text.color": palette.INK,
    "axes.edgecolor": palette.RULE,
    "xtick.color": palette.MUTED,
    "figure.facecolor": palette.PAPER,
    "savefig.facecolor": palette.PAPER,
    "legend.frameon": False,
}


@contextmanager
def style() -> Iterator[None]:
    """Draw inside this: the project's style on matplotlib's own defaults, whatever the user set."""
    kept = {"backend", "backend_fallback", "interactive", "toolbar", "webagg.port"}
    rc: dict[Any, Any] = {k: v for k, v in mpl.rcParamsDefault.items() if k not in kept}
    with mpl.rc_context(rc | _STYLE):
        yield


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparedImage:
    """An image with its ground truth and what every model makes of it."""

    image_id: str
    benchmark: str
    image: NDArray[np.uint8]
    """RGB, (H, W, 3)."""
    truth: NDArray[np.bool_]
    """Ground truth, (H, W)."""
    predictions: Mapping[str, NDArray[np.bool_]]
    """Predicted mask (H, W) by model."""
    scores: Mapping[str, tuple[float, float]]
    """IoU and boundary IoU by model, in [0, 1]."""
    details: Predicted
    """Box, mined points and maps of the subject."""

    def __post_init__(self) -> None:
        """Check that all masks have the size of the image."""
        size = self.image.shape[:2]
        masks = {"truth": self.truth, **self.predictions}
        wrong = {name: mask.shape for name, mask in masks.items() if mask.shape != size}
        if wrong:
            raise ShapeError(
                f"Example '{self.image_id}' is {size} pixels, but these masks are not: {wrong}. "
                "Bring predictions to the original size first."
            )


def choose_examples(scores: pd.DataFrame, *, model: str, per_benchmark: int) -> list[str]:
    """Pick images by rank, not by looks: evenly spaced quantiles of a model's boundary IoU.

    One image per benchmark is the median, two are the terciles, three the quartiles. A benchmark
    with fewer images than asked for gives all it has.

    Returns:
        Ids by benchmark in report order, each from the lowest quantile to the highest.

    Raises:
        DataError: The model was not scored.
    """
    ranked = scores[scores["model"] == model].sort_values(["boundary_iou", "image_id"])
    if not len(ranked):
        raise DataError(
            f"Examples are chosen by the scores of '{model}', but only "
            f"{sorted(set(scores['model']))} were scored."
        )
    chosen = []
    for benchmark in ordered_benchmarks(ranked["benchmark"]):
        ids = ranked[ranked["benchmark"] == benchmark]["image_id"].tolist()
        count = min(per_benchmark, len(ids))
        chosen += [ids[place * len(ids) // (count + 1)] for place in range(1, count + 1)]
    return chosen


def choice_caption(*, model: str, per_benchmark: int) -> str:
    """Say in one line how the images of the figure were chosen."""
    at = ", ".join(f"{100 * i / (per_benchmark + 1):.0f} %" for i in range(1, per_benchmark + 1))
    return (
        f"Images are chosen by rank, not by looks: within each benchmark, those at {at} of "
        f"{label(model)}'s boundary IoU, lowest first."
    )


def compared_image(
    image_id: str,
    scores: pd.DataFrame,
    *,
    image: NDArray[np.uint8],
    truth: NDArray[np.bool_],
    predicted: Mapping[str, Predicted],
    subject: str,
) -> ComparedImage:
    """Put together what is shown of an image, from its score rows and every model's prediction.

    Box, map and points are the subject's alone: words beside them speak of it.
    """
    rows = scores[scores["image_id"] == image_id].set_index("model")
    pairs = zip(rows.index, rows["iou"], rows["boundary_iou"], strict=True)
    return ComparedImage(
        image_id=image_id,
        benchmark=str(rows["benchmark"].iloc[0]),
        image=image,
        truth=truth,
        predictions={model: p.mask for model, p in predicted.items()},
        scores={str(m): (float(a), float(b)) for m, a, b in pairs if m in predicted},
        details=predicted[subject],
    )


def comparison_figure(
    examples: Sequence[ComparedImage], path: Path, *, title: str, caption: str
) -> None:
    """Draw one row per example and one column per view, as PNG without a date or a version.

    Raises:
        DataError: There is no example, or examples differ in their models.
    """
    models = _models(examples)
    views = ["Image and box", "Ground truth", *map(label, models), "Uncertainty", "Mined points"]
    # A wide image makes a low row, though never lower than its label needs.
    heights = [float(np.clip(e.image.shape[0] / e.image.shape[1], 0.5, 1)) for e in examples]
    size = (_CELL * len(views), _CELL * sum(heights) + 0.25 * len(heights) + _ROUND)
    with style():
        figure = Figure(figsize=size, dpi=DPI, layout="constrained")
        grid = figure.subplots(
            len(examples), len(views), squeeze=False, height_ratios=heights,
            subplot_kw={"xticks": [], "yticks": [], "frame_on": False},
        )  # fmt: skip
        for row, example in zip(grid, examples, strict=True):
            stem = example.image_id.split("/")[-1]
            stem = stem if len(stem) <= _NAME else f"{stem[: _NAME - 1]}…"
            row[0].set_ylabel(f"{example.benchmark}\n{stem}", size=8)
            _draw_image(row[0], example)
            _show(row[1], paint(dimmed(example.image), example.truth, palette.PAPER), example)
            for axes, model in zip(row[2:-2], models, strict=True):
                _draw_prediction(axes, example, model)
            _draw_uncertainty(row[-2], example)
            _draw_points(row[-1], example)
        for axes, name in zip(grid[0], views, strict=True):
            axes.set_title(name, size=10.5, weight="bold")
        _surround(figure, grid[-1, -2], title=title, caption=caption)
        with draft_file(path) as draft:
            figure.savefig(draft, format="png", dpi=DPI, metadata={"Software": None})


def _models(examples: Sequence[ComparedImage]) -> list[str]:
    if not examples:
        raise DataError("The comparison figure needs at least one example; got none.")
    models = ordered_models(examples[0].predictions)
    for example in examples:
        if ordered_models(example.predictions) != models:
            raise DataError(
                f"Example '{example.image_id}' has predictions of "
                f"{sorted(example.predictions)}, the first example of {models}; "
                "every row must show the same models."
            )
    return models


def _draw_image(axes: Axes, example: ComparedImage) -> None:
    _show(axes, example.image, example)
    if example.details.box is not None:
        left, upper, right, lower = (float(v) for v in example.details.box)
        outline = Rectangle((left, upper), right - left, lower - upper, fill=False, lw=1.6)
        outline.set_edgecolor(palette.BOX)
        outline.set_path_effects([withStroke(linewidth=3.2, foreground=palette.INK)])
        axes.add_patch(outline)


def _draw_prediction(axes: Axes, example: ComparedImage, model: str) -> None:
    _show(axes, comparison(example.image, example.truth, example.predictions[model]), example)
    if model in example.scores:
        iou, boundary = example.scores[model]
        axes.set_xlabel(f"IoU {100 * iou:.1f}   BIoU {100 * boundary:.1f}", size=8)


def _draw_uncertainty(axes: Axes, example: ComparedImage) -> None:
    if example.details.uncertainty is None:
        _nothing(axes)
        return
    height, width = example.image.shape[:2]
    axes.imshow(
        example.details.uncertainty.astype(np.float32), cmap=palette.UNCERTAINTY_MAP, vmin=0,
        vmax=1, interpolation="nearest", extent=(0, width, height, 0), aspect="equal",
    )  # fmt: skip


def _draw_points(axes: Axes, example: ComparedImage) -> None:
    if example.details.positive is None and example.details.negative is None:
        _nothing(axes)
        return
    _show(axes, paint(dimmed(example.image), example.truth, palette.MUTED), example)
    for points, (marker, colour, _) in (
        (example.details.negative, _NEGATIVE), (example.details.positive, _POSITIVE),
    ):  # fmt: skip
        if points is not None and len(points):
            axes.scatter(
                points[:, 0], points[:, 1], s=46, marker=marker, c=colour,
                edgecolors=palette.PAPER, linewidths=0.8, clip_on=False, zorder=3,
            )  # fmt: skip


def _show(axes: Axes, shown: NDArray[np.uint8], example: ComparedImage) -> None:
    """Draw something in the pixel coordinates of the example's image."""
    height, width = example.image.shape[:2]
    scale = min(1.0, _PIXELS / max(height, width))
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        shown = cv2.resize(shown, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    axes.imshow(shown, extent=(0, width, height, 0), aspect="equal", interpolation="antialiased")


def _nothing(axes: Axes) -> None:
    axes.text(
        0.5, 0.5, "none", transform=axes.transAxes, ha="center", va="center", color=palette.MUTED
    )


_POSITIVE = ("P", palette.POSITIVE_POINT, "mined foreground")
_NEGATIVE = ("X", palette.NEGATIVE_POINT, "mined background")


def legend_handles() -> list[Patch | Line2D]:
    """List the entries of the figure's legend."""
    marks = [
        Line2D(
            [], [], linestyle="", marker=marker, ms=8, color=colour, label=name,
            markeredgecolor=palette.INK, markeredgewidth=0.5,
        )
        for marker, colour, name in (_POSITIVE, _NEGATIVE)
    ]  # fmt: skip
    return [
        Patch(facecolor=palette.TRUE_POSITIVE, label="true positive"),
        Patch(facecolor=palette.FALSE_POSITIVE, label="false positive"),
        Patch(facecolor=palette.FALSE_NEGATIVE, label="false negative"),
        *marks,
    ]


def _surround(figure: Figure, last: Axes, *, title: str, caption: str) -> None:
    """Set the title above; below, caption and legend, and the scale of the last uncertainty map."""
    figure.suptitle(title, x=0.01, ha="left", size=12.5, weight="bold")
    handles = legend_handles()
    legend = figure.legend(
        handles=handles, loc="outside lower left", ncols=len(handles), handlelength=1.2,
        title=caption, title_fontsize=8.5, alignment="left",
    )  # fmt: skip
    legend.get_title().set_color(palette.MUTED)
    scale = ScalarMappable(Normalize(0, 1), palette.UNCERTAINTY_MAP)
    place = last.inset_axes((0, -0.16, 1, 0.08))
    bar = figure.colorbar(scale, cax=place, orientation="horizontal", ticks=[0, 0.5, 1])
    bar.outline.set_visible(False)
    place.tick_params(length=2, labelsize=7.5, pad=2)
    place.set_xticklabels(["sure", "0.5", "unsure"])
