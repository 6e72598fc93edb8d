"""A table of texts, and its forms as Markdown, LaTeX (booktabs) and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from pasam.errors import ShapeError

MINUS = "\N{MINUS SIGN}"

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    MINUS: "$-$", "\N{MULTIPLICATION SIGN}": r"$\times$", "<": "$<$", ">": "$>$",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """A table as people read it; the first column names the row."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    texts: tuple[int, ...] = ()
    """Columns, besides the first, that hold words and not numbers."""

    def __post_init__(self) -> None:
        """Check that every row has a cell per column."""
        wrong = [row for row in self.rows if len(row) != len(self.head)]
        if wrong:
            raise ShapeError(
                f"The table '{self.caption}' has {len(self.head)} columns, but a row with "
                f"{len(wrong[0])} cells: {wrong[0]}."
            )

    def is_text(self, column: int) -> bool:
        """Whether a column is set flush left."""
        return column == 0 or column in self.texts


def markdown(grid: Grid) -> str:
    """Lay out a Markdown table that is also readable as plain text."""
    return pipe_table(grid.head, grid.rows)


def pipe_table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Lay out rows of cells as a padded Markdown table."""
    cells = [[cell.replace("|", r"\|") for cell in line] for line in (header, *lines)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rule = ["-" * width for width in widths]
    padded = [
        " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in (cells[0], rule, *cells[1:])
    ]
    return "\n".join(f"| {line} |" for line in padded)


def latex(grid: Grid, *, name: str) -> str:
    r"""Write a LaTeX table with booktabs' rules; `\usepackage{booktabs}` is all it needs.

    Args:
        grid: The table.
        name: What `\ref{tab:...}` calls it.
    """
    columns = "".join("l" if grid.is_text(i) else "r" for i in range(len(grid.head)))
    lines = [" & ".join(map(escape_latex, row)) + r" \\" for row in (grid.head, *grid.rows)]
    notes = [rf"\par\footnotesize {escape_latex(note)}" for note in grid.notes]
    return "\n".join(
        [
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{escape_latex(grid.caption)}}}",
            rf"  \label{{tab:{name}}}",
            rf"  \begin{{tabular}}{{{columns}}}",
            r"    \toprule",
            f"    {lines[0]}",
            r"    \midrule",
            *(f"    {line}" for line in lines[1:]),
            r"    \bottomrule",
            r"  \end{tabular}",
            *(f"  {note}" for note in notes),
            r"\end{table}",
            "",
        ]
    )


def escape_latex(text: str) -> str:
    """Write a text so that LaTeX sets it as it is."""
    return "".join(_LATEX.get(letter, letter) for letter in text)


def comma_separated(grid: Grid) -> str:
    """Write the texts of a table as CSV."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([grid.head, *grid.rows])
    return file.getvalue()
