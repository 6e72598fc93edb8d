"""The drawing surface of all figures: one style, no global state, the same bytes every time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pasam.reporting.palette import INK, MUTED, PAPER, RULE

DPI = 150

_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": RULE,
    "axes.titlesize": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
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
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png", dpi=DPI, metadata={"Software": None})
