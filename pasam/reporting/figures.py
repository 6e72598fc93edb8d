"""The comparison figure: chosen images, what every model makes of them, drawn as one PNG."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
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
_GAP = 0.09
_LABEL = 0.42  # Room left of a row for its benchmark and image.
_SCORE = 0.2  # Room above a row for the scores.
_TOP = 0.95
_FOOT = 0.8
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


def new_figure(width: float, height: float) -> Figure:
    """Open an empty figure of a size in inches, without pyplot's registry."""
    figure = Figure(figsize=(width, height), dpi=DPI)
    FigureCanvasAgg(figure)
    return figure


def save_png(figure: Figure, path: Path) -> None:
    """Write a figure as PNG; its bytes hold neither a date nor a version."""
    with draft_file(path) as draft:
        figure.savefig(draft, format="png", dpi=DPI, metadata={"Software": None})


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparedImage:
    """An image with its ground truth and what every model makes of it."""

    image_id: str
    benchmark: str
    image: NDArray[np.uint8]
    """RGB, (H, W, 3)."""
    truth: NDArray[np.bool_]
    """Ground truth, (H, W)."""
    box: NDArray[np.float32] | None
    """Box prompt, (4,) xyxy in image pixels."""
    predictions: Mapping[str, NDArray[np.bool_]]
    """Predicted mask (H, W) by model."""
    scores: Mapping[str, tuple[float, float]]
    """IoU and boundary IoU by model, in [0, 1]."""
    uncertainty: NDArray[np.float32] | None
    """Probability that the coarse mask is wrong, (g, g) in [0, 1], over the whole image."""
    positive: NDArray[np.float32] | None
    """Mined points of the foreground, (k, 2) xy in image pixels."""
    negative: NDArray[np.float32] | None
    """Mined points of the background, (k, 2) xy in image pixels."""
    maps: Mapping[str, NDArray[np.float16]] = field(default_factory=dict)
    """The adapter's maps by name, each (g, g) over the whole image."""

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """An image picked for the figure."""

    benchmark: str
    image_id: str
    quantile: float
    """Where it stands among its benchmark's images, in (0, 1)."""


def choose_examples(scores: pd.DataFrame, *, model: str, per_benchmark: int) -> list[Choice]:
    """Pick images by rank, not by looks: evenly spaced quantiles of a model's boundary IoU.

    One image per benchmark is the median, two are the terciles, three the quartiles. A benchmark
    with fewer images than asked for gives all it has.

    Args:
        scores: Score rows of the run, of one kind of prompt.
        model: Key of the model whose boundary IoU ranks the images.
        per_benchmark: Images per benchmark.

    Returns:
        Choices by benchmark in report order, each from the lowest quantile to the highest.

    Raises:
        DataError: The model was not scored.
    """
    ranked = scores[scores["model"] == model].sort_values(["boundary_iou", "image_id"])
    if not len(ranked):
        raise DataError(
            f"Examples are chosen by the scores of '{model}', but only "
            f"{sorted(set(scores['model']))} were scored."
        )
    choices = []
    for benchmark in ordered_benchmarks(ranked["benchmark"]):
        ids = ranked[ranked["benchmark"] == benchmark]["image_id"].tolist()
        count = min(per_benchmark, len(ids))
        for place in range(1, count + 1):
            quantile = place / (count + 1)
            image_id = ids[int(quantile * len(ids))]
            choices.append(Choice(benchmark=benchmark, image_id=image_id, quantile=quantile))
    return choices


def choice_caption(*, model: str, per_benchmark: int) -> str:
    """Say in one line how the images of the figure were chosen."""
    at = ", ".join(f"{100 * i / (per_benchmark + 1):.0f} %" for i in range(1, per_benchmark + 1))
    return (
        f"Images are chosen by rank, not by looks: within each benchmark, those at {at} of "
        f"{label(model)}'s boundary IoU, lowest first."
    )


def compared_image(
    choice: Choice,
    scores: pd.DataFrame,
    *,
    image: NDArray[np.uint8],
    truth: NDArray[np.bool_],
    predicted: Mapping[str, Predicted],
) -> ComparedImage:
    """Put together what is shown of one image.

    Args:
        choice: The image.
        scores: Score rows of the run, of one kind of prompt.
        image: RGB, (H, W, 3).
        truth: Ground truth, (H, W).
        predicted: Prediction of each model; the map and the points are of the one that has them.
    """
    rows = scores[scores["image_id"] == choice.image_id].set_index("model")
    mapped = next((p for p in predicted.values() if p.uncertainty is not None), None)
    first = next(iter(predicted.values()))
    iou, boundary_iou = (rows[name].to_dict() for name in ("iou", "boundary_iou"))
    uncertainty = None if mapped is None else mapped.uncertainty
    return ComparedImage(
        image_id=choice.image_id,
        benchmark=choice.benchmark,
        image=image,
        truth=truth,
        box=first.box,
        predictions={model: p.mask for model, p in predicted.items()},
        scores={model: (float(iou[model]), float(boundary_iou[model])) for model in predicted},
        uncertainty=None if uncertainty is None else uncertainty.astype(np.float32),
        positive=None if mapped is None else mapped.positive,
        negative=None if mapped is None else mapped.negative,
        maps={} if mapped is None else mapped.maps,
    )


_Draw = Callable[[Axes, ComparedImage], None]


def comparison_figure(
    examples: Sequence[ComparedImage], path: Path, *, title: str, caption: str
) -> None:
    """Draw one row per example and one column per view, as PNG.

    Args:
        examples: Rows from top to bottom; all with the same models.
        path: Where the PNG goes.
        title: Above the figure.
        caption: Below the figure: setting, and how the images were chosen.

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
                _hide_axes(axes)
                draw(axes, example)
                if row == 0:
                    x, y = (left + _CELL / 2) / width, 1 - (_TOP - 0.1) / height
                    figure.text(x, y, name, ha="center", va="bottom", size=10.5, weight="bold")
            _row_label(figure, example, (top + tall / 2) / height, width)
            top -= _GAP
        figure.text(_LABEL / width, 1 - 0.18 / height, title, va="top", size=12.5, weight="bold")
        _foot(figure, caption, width, height)
        save_png(figure, path)


def _row_height(example: ComparedImage) -> float:
    """Inches: a wide image makes a low row, though never lower than its label needs."""
    height, width = example.image.shape[:2]
    return float(_CELL * min(1.0, max(0.5, height / width)))


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


def _columns(models: Sequence[str]) -> list[tuple[str, _Draw]]:
    return [
        ("Image and box", _draw_image),
        ("Ground truth", _draw_truth),
        *((label(model), _prediction_drawer(model)) for model in models),
        ("Uncertainty", _draw_uncertainty),
        ("Mined points", _draw_points),
    ]


def _draw_image(axes: Axes, example: ComparedImage) -> None:
    _show(axes, example.image, example)
    if example.box is not None:
        left, upper, right, lower = (float(v) for v in example.box)
        outline = Rectangle((left, upper), right - left, lower - upper, fill=False, lw=1.6)
        outline.set_edgecolor(palette.BOX)
        outline.set_path_effects([withStroke(linewidth=3.2, foreground=palette.INK)])
        axes.add_patch(outline)


def _draw_truth(axes: Axes, example: ComparedImage) -> None:
    _show(axes, paint(dimmed(example.image), example.truth, palette.PAPER), example)


def _prediction_drawer(model: str) -> _Draw:
    def draw(axes: Axes, example: ComparedImage) -> None:
        shown = comparison(example.image, example.truth, example.predictions[model])
        _show(axes, shown, example)
        if model in example.scores:
            iou, boundary = example.scores[model]
            text = f"IoU {100 * iou:.1f}   BIoU {100 * boundary:.1f}"
            axes.text(0.5, 1.02, text, transform=axes.transAxes, ha="center", va="bottom", size=8)

    return draw


def _draw_uncertainty(axes: Axes, example: ComparedImage) -> None:
    if example.uncertainty is None:
        _nothing(axes)
        return
    height, width = example.image.shape[:2]
    axes.imshow(
        example.uncertainty, cmap=palette.UNCERTAINTY_MAP, vmin=0, vmax=1,
        interpolation="nearest", extent=(0, width, height, 0), aspect="equal",
    )  # fmt: skip


def _draw_points(axes: Axes, example: ComparedImage) -> None:
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


def _show(axes: Axes, shown: NDArray[np.uint8], example: ComparedImage) -> None:
    """Draw something in the pixel coordinates of the example's image."""
    height, width = example.image.shape[:2]
    scale = min(1.0, _PIXELS / max(height, width))
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        shown = cv2.resize(shown, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    axes.imshow(shown, extent=(0, width, height, 0), aspect="equal", interpolation="antialiased")
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)


def _nothing(axes: Axes) -> None:
    axes.text(
        0.5, 0.5, "none", transform=axes.transAxes, ha="center", va="center", color=palette.MUTED
    )


def _hide_axes(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _row_label(figure: Figure, example: ComparedImage, y: float, width: float) -> None:
    stem = example.image_id.split("/")[-1]
    stem = stem if len(stem) <= _NAME else f"{stem[: _NAME - 1]}…"
    figure.text(0.13 / width, y, example.benchmark, rotation=90, ha="center", va="center", size=9.5)
    figure.text(
        0.31 / width, y, stem, rotation=90, ha="center", va="center", size=7, color=palette.MUTED
    )


def legend_handles() -> list[Patch | Line2D]:
    """List the entries of the figure's legend."""
    return [
        Patch(facecolor=palette.TRUE_POSITIVE, label="true positive"),
        Patch(facecolor=palette.FALSE_POSITIVE, label="false positive"),
        Patch(facecolor=palette.FALSE_NEGATIVE, label="false negative"),
        _mark("P", palette.POSITIVE_POINT, "mined foreground"),
        _mark("X", palette.NEGATIVE_POINT, "mined background"),
    ]


def _foot(figure: Figure, caption: str, width: float, height: float) -> None:
    handles = legend_handles()
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
