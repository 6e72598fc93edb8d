"""Tests of tables as text."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pasam.errors import ShapeError
from pasam.reporting.blocks import Grid, comma_separated, escape_latex, latex, markdown

GRID = Grid(
    caption="50 % of it", head=("Model", "A & B"), rows=(("pa_sam", "\N{MINUS SIGN}1"),),
    notes=("x_1",),
)  # fmt: skip


def test_markdown_lines_up_and_keeps_bars_inside_cells():
    grid = Grid(caption="", head=("a", "b"), rows=(("x|y", "1"),))
    assert markdown(grid) == "| a    | b |\n| ---- | - |\n| x\\|y | 1 |"


def test_latex_uses_booktabs_and_escapes_what_latex_would_take_for_commands():
    text = latex(GRID, name="t1")
    assert [text.count(rf"\{rule}") for rule in ("toprule", "midrule", "bottomrule")] == [1, 1, 1]
    assert r"\begin{tabular}{lr}" in text
    assert r"Model & A \& B \\" in text
    assert r"pa\_sam & $-$1 \\" in text
    assert r"\caption{50 \% of it}" in text
    assert r"x\_1" in text
    assert r"\label{tab:t1}" in text


def test_a_column_of_words_is_flush_left():
    grid = Grid(caption="", head=("a", "b", "c"), rows=(), texts=(2,))
    assert r"{lrl}" in latex(grid, name="t")


@given(st.text(st.characters(codec="ascii", categories=["P", "S", "L"])))
def test_no_special_letter_is_left_bare(text):
    bare = escape_latex(text)
    for command in (r"\textbackslash{}", r"\textasciitilde{}", r"\textasciicircum{}", "$<$", "$>$"):
        bare = bare.replace(command, "")
    for letter in "&%#_{}$":
        assert bare.count(letter) == bare.count(f"\\{letter}")


@given(st.lists(st.tuples(st.text(), st.text()), max_size=4))
def test_csv_gives_back_every_cell(rows):
    grid = Grid(caption="", head=("a", "b"), rows=tuple(rows))
    text = comma_separated(grid)
    read = list(csv.reader(io.StringIO(text, newline="")))
    if not any("\r" in cell or "\x00" in cell for row in rows for cell in row):
        assert read == [["a", "b"], *map(list, rows)]


def test_a_row_of_the_wrong_length_is_refused():
    with pytest.raises(ShapeError, match=r"'scores' has 2 columns, but a row with 1 cells"):
        Grid(caption="scores", head=("a", "b"), rows=(("x",),))
