"""The comparison figure: image, ground truth, every model, uncertainty map and mined points."""

# Shapes: H and W of an example's image.

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke

from pasam.errors import DataError
from pasam.reporting import palette
from pasam.reporting.canvas import new_figure, save_png, style
from pasam.reporting.examples import Example
from pasam.reporting.names import label, ordered_models
from pasam.reporting.overlay import comparison, dimmed, paint

_CELL = 2.05  # Inches: width of a picture, and the greatest height of one.
_GAP = 0.09
_LABEL = 0.42  # Room left of a row for its benchmark and image.
_SCORE = 0.2  # Room above a row for the scores.
_TOP = 0.95
_FOOT = 0.8
_NAME = 22  # Letters of an image's name that fit beside its row.
_PIXELS = 640  # Longest side of a picture as drawn; larger ones are averaged down.

_Draw = Callable[[Axes, Example], None]


def comparison_figure(examples: Sequence[Example], path: Path, *, title: str, caption: str) -> None:
    """Draw one row per example and one column per view, as PNG.

    Args:
        examples: Rows from top to bottom; all with the same models.
        path: Where the PNG goes.
        title: Says what was run: data and size.
        caption: Says how the images were chosen.

    Raises:
        DataError: There is no example, or examples differ in their models.
    """
    models = _models(examples)
    columns = _columns(models)
    heights = [_row_height(example) for example in examples]
    width = _LABEL + len(columns) * (_CELL + _GAP) + _GAP
    height = _TOP + sum(heights) + len(heights) * (_SCORE + _GAP) + _FOOT
    with style():
        figure = new_figure(width, height)
        top = height - _TOP
        for row, (example, tall) in enumerate(zip(examples, heights, strict=True)):
            top -= _SCORE + tall
            for column, (name, draw) in enumerate(columns):
                left = _LABEL + column * (_CELL + _GAP)
                axes = figure.add_axes((left / width, top / height, _CELL / width, tall / height))
                _frame(axes)
                draw(axes, example)
                if row == 0:
                    _head(figure, (left + _CELL / 2) / width, 1 - (_TOP - 0.1) / height, name)
            _row_label(figure, example, (top + tall / 2) / height, width)
            top -= _GAP
        _title(figure, title, width, height)
        _foot(figure, caption, width, height)
        save_png(figure, path)


def _row_height(example: Example) -> float:
    """Inches: a wide image makes a low row, though never lower than its label needs."""
    height, width = example.image.shape[:2]
    return float(_CELL * min(1.0, max(0.5, height / width)))


def _models(examples: Sequence[Example]) -> list[str]:
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


def _columns(models: Sequence[str]) -> list[tuple[str, _Draw]]:
    return [
        ("Image and box", _draw_image),
        ("Ground truth", _draw_truth),
        *((label(model), _prediction_drawer(model)) for model in models),
        ("Uncertainty", _draw_uncertainty),
        ("Mined points", _draw_points),
    ]


def _draw_image(axes: Axes, example: Example) -> None:
    _show(axes, example.image, example)
    if example.box is not None:
        left, upper, right, lower = (float(v) for v in example.box)
        outline = Rectangle((left, upper), right - left, lower - upper, fill=False, lw=1.6)
        outline.set_edgecolor(palette.BOX)
        outline.set_path_effects([withStroke(linewidth=3.2, foreground=palette.INK)])
        axes.add_patch(outline)


def _draw_truth(axes: Axes, example: Example) -> None:
    _show(axes, paint(dimmed(example.image), example.truth, palette.PAPER), example)


def _prediction_drawer(model: str) -> _Draw:
    def draw(axes: Axes, example: Example) -> None:
        shown = comparison(example.image, example.truth, example.predictions[model])
        _show(axes, shown, example)
        if model in example.scores:
            iou, boundary = example.scores[model]
            text = f"IoU {100 * iou:.1f}   BIoU {100 * boundary:.1f}"
            axes.text(0.5, 1.02, text, transform=axes.transAxes, ha="center", va="bottom", size=8)

    return draw


def _draw_uncertainty(axes: Axes, example: Example) -> None:
    if example.uncertainty is None:
        _nothing(axes)
        return
    height, width = example.image.shape[:2]
    axes.imshow(
        example.uncertainty,
        cmap=palette.UNCERTAINTY_MAP,
        vmin=0,
        vmax=1,
        interpolation="nearest",
        extent=(0, width, height, 0),
        aspect="equal",
    )


def _draw_points(axes: Axes, example: Example) -> None:
    if example.positive is None and example.negative is None:
        _nothing(axes)
        return
    _show(axes, paint(dimmed(example.image), example.truth, palette.MUTED), example)
    marks = (
        (example.negative, "X", palette.NEGATIVE_POINT),
        (example.positive, "P", palette.POSITIVE_POINT),
    )
    for points, marker, colour in marks:
        if points is not None and len(points):
            axes.scatter(
                points[:, 0], points[:, 1], s=46, marker=marker, c=colour,
                edgecolors=palette.PAPER, linewidths=0.8, clip_on=False, zorder=3,
            )  # fmt: skip


def _show(
    axes: Axes, picture: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], example: Example
) -> None:
    """Draw a picture in the pixel coordinates of the example's image."""
    height, width = example.image.shape[:2]
    scale = min(1.0, _PIXELS / max(height, width))
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    axes.imshow(picture, extent=(0, width, height, 0), aspect="equal", interpolation="antialiased")
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)


def _nothing(axes: Axes) -> None:
    axes.text(
        0.5, 0.5, "none", transform=axes.transAxes, ha="center", va="center", color=palette.MUTED
    )


def _frame(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _head(figure: Figure, x: float, y: float, name: str) -> None:
    figure.text(x, y, name, ha="center", va="bottom", size=10.5, weight="bold")


def _row_label(figure: Figure, example: Example, y: float, width: float) -> None:
    stem = example.image_id.split("/")[-1]
    stem = stem if len(stem) <= _NAME else f"{stem[: _NAME - 1]}…"
    figure.text(0.13 / width, y, example.benchmark, rotation=90, ha="center", va="center", size=9.5)
    figure.text(
        0.31 / width, y, stem, rotation=90, ha="center", va="center", size=7, color=palette.MUTED
    )


def _title(figure: Figure, title: str, width: float, height: float) -> None:
    figure.text(_LABEL / width, 1 - 0.18 / height, title, va="top", size=12.5, weight="bold")


def _foot(figure: Figure, caption: str, width: float, height: float) -> None:
    handles = [
        Patch(facecolor=palette.TRUE_POSITIVE, label="found"),
        Patch(facecolor=palette.FALSE_POSITIVE, label="false alarm"),
        Patch(facecolor=palette.FALSE_NEGATIVE, label="missed"),
        _mark("P", palette.POSITIVE_POINT, "mined foreground"),
        _mark("X", palette.NEGATIVE_POINT, "mined background"),
    ]
    figure.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(_LABEL / width, (_FOOT - 0.08) / height),
        ncols=len(handles), borderaxespad=0, borderpad=0, handlelength=1.2, columnspacing=1.6,
    )  # fmt: skip
    figure.text(_LABEL / width, 0.14 / height, caption, va="bottom", size=8.5, color=palette.MUTED)
    left = width - 2 * (_CELL + _GAP)
    bar = figure.add_axes((left / width, (_FOOT - 0.21) / height, _CELL / width, 0.11 / height))
    scale = ScalarMappable(Normalize(0, 1), palette.UNCERTAINTY_MAP)
    colours = figure.colorbar(scale, cax=bar, orientation="horizontal", ticks=[0, 0.5, 1])
    colours.outline.set_visible(False)
    bar.tick_params(length=2, labelsize=7.5, pad=2)
    bar.set_xticklabels(["sure", "0.5", "unsure"])


def _mark(marker: str, colour: str, name: str) -> Line2D:
    return Line2D(
        [], [], linestyle="", marker=marker, ms=8, color=colour, label=name,
        markeredgecolor=palette.INK, markeredgewidth=0.5,
    )  # fmt: skip
