"""What the page is made of: tables of texts, images, charts, and the sections that hold them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from markupsafe import Markup

from pasam.errors import ShapeError
from pasam.reporting.style import MINUS

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    MINUS: "$-$", "\N{MULTIPLICATION SIGN}": r"$\times$", "<": "$<$", ">": "$>$",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """A table as people read it; the first column names the row."""

    kind: ClassVar[str] = "table"
    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    texts: tuple[int, ...] = ()
    """Columns, besides the first, that hold words and not numbers."""
    folded: bool = False
    """Whether the reader has to open it on the page."""

    def __post_init__(self) -> None:
        """Check that every row has a cell per column."""
        wrong = [row for row in self.rows if len(row) != len(self.head)]
        if wrong:
            raise ShapeError(
                f"The table '{self.caption}' has {len(self.head)} columns, but a row with "
                f"{len(wrong[0])} cells: {wrong[0]}."
            )

    def fold(self) -> Grid:
        """The same table, closed until the reader opens it."""
        return replace(self, folded=True)

    def is_text(self, column: int) -> bool:
        """Whether a column is set flush left."""
        return column == 0 or column in self.texts


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a padded Markdown table, which is also readable as plain text."""
    cells = [[cell.replace("|", r"\|") for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rule = ["-" * width for width in widths]
    padded = [
        " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in (cells[0], rule, *cells[1:])
    ]
    return "\n".join(f"| {line} |" for line in padded)


def latex(grid: Grid, *, name: str) -> str:
    r"""Write a LaTeX table, `tab:name`; `\usepackage{booktabs}` is all it needs."""
    columns = "".join("l" if grid.is_text(i) else "r" for i in range(len(grid.head)))
    lines = [" & ".join(map(escape_latex, row)) + r" \\" for row in (grid.head, *grid.rows)]
    body = "\n    ".join([r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"])
    notes = "".join(rf"  \par\footnotesize {escape_latex(note)}" + "\n" for note in grid.notes)
    return rf"""\begin{{table}}
  \centering
  \caption{{{escape_latex(grid.caption)}}}
  \label{{tab:{name}}}
  \begin{{tabular}}{{{columns}}}
    {body}
  \end{{tabular}}
{notes}\end{{table}}
"""


def escape_latex(text: str) -> str:
    """Write a text so that LaTeX sets it as it is."""
    return "".join(_LATEX.get(letter, letter) for letter in text)


def comma_separated(grid: Grid) -> str:
    """Write the texts of a table as CSV."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([grid.head, *grid.rows])
    return file.getvalue()


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """A paragraph."""

    kind: ClassVar[str] = "text"
    words: str
    quiet: bool = False
    """Set small: a note, not the matter."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Code:
    """Commands to type."""

    kind: ClassVar[str] = "code"
    lines: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Absent:
    """What this run did not make, and the command that makes it."""

    kind: ClassVar[str] = "absent"
    what: str
    command: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """One entry of a legend."""

    name: str
    colour: str
    """A CSS colour."""
    shape: str = "circle"


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """One chart among others that share a legend."""

    heading: str
    svg: Markup


@dataclass(frozen=True, kw_only=True, slots=True)
class Charts:
    """Charts side by side, as many as fit."""

    kind: ClassVar[str] = "charts"
    panels: tuple[Panel, ...]
    caption: str
    legend: tuple[Key, ...] = ()
    numbers: Grid | None = None
    """The same in numbers, folded away."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ForestRow:
    """One line of a forest plot."""

    name: str
    note: str
    """Small words below the name."""
    interval: Markup
    value: str
    verdict: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ForestPlot:
    """Intervals under each other on one scale."""

    kind: ClassVar[str] = "forest"
    heading: str
    rows: tuple[ForestRow, ...]
    caption: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Tiles:
    """A few numbers in large letters."""

    kind: ClassVar[str] = "tiles"
    tiles: tuple[tuple[str, str], ...]
    """Each with its words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageView:
    """One image with the marks on it."""

    name: str
    source: str
    """A data URL."""
    alt: str
    width: int
    height: int
    marks: Markup = Markup("")
    """SVG drawn over the image: the prompt and mined points."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageStrip:
    """Images side by side."""

    kind: ClassVar[str] = "images"
    views: tuple[ImageView, ...]
    caption: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """One image of a gallery in several views."""

    title: str
    note: str
    views: tuple[ImageView, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Gallery:
    """Cards that open large and can be walked through by keys."""

    kind: ClassVar[str] = "gallery"
    name: str
    caption: str
    cards: tuple[Card, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Slider:
    """Two views of one image with a handle between them."""

    kind: ClassVar[str] = "slider"
    before: ImageView
    after: ImageView
    caption: str


Block = Text | Code | Absent | Grid | Charts | ForestPlot | Tiles | ImageStrip | Gallery | Slider


@dataclass(frozen=True, kw_only=True, slots=True)
class PageSection:
    """A part of the page with an entry in the table of contents."""

    key: str
    """Its anchor."""
    title: str
    lead: str
    """One or two sentences that say what it shows."""
    blocks: tuple[Block, ...]
    folded: bool = False
    """Whether the reader opens it: all but what is seen at a glance."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One of the ten questions with what this run found."""

    number: int
    short: str
    """As the table of contents calls it."""
    title: str
    """The question."""
    experiment: str
    sentence: str
    """Computed from the numbers of the run."""
    blocks: tuple[Block, ...]
    answered: bool
    """Whether the whole experiment was made."""

    @property
    def key(self) -> str:
        """Its anchor."""
        return f"question-{self.number}"
