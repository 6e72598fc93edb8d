"""Great Expectations' results come back in our own words, and its pages are written."""

import dataclasses

import pytest

from pasam.errors import DataError
from pasam.validation.expectations import PAIRS, judge, suite


def test_outcomes_come_in_the_suites_order_with_the_offending_rows(mixed, outcomes):
    assert [outcome.name for outcome in outcomes] == [one.name for one in suite(mixed.params)]
    empty = next(outcome for outcome in outcomes if outcome.name == "masks_are_not_empty")
    assert empty.checked == len(mixed.inventory)
    (row,) = empty.offenders
    assert row["mask"].endswith("black_mask/gt/train0.png")
    assert (row["fault"], row["dataset"]) == ("empty_mask", "black_mask")


def test_the_same_tables_give_the_same_outcomes(mixed, outcomes):
    assert repr(judge(suite(mixed.params), mixed.tables.by_name)) == repr(outcomes)


def test_the_data_docs_replace_what_was_there(mixed, tmp_path):
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "old.html").touch()
    judge(suite(mixed.params), mixed.tables.by_name, docs)
    assert not (docs / "old.html").exists()
    assert len(list(docs.glob("validations/**/*.html"))) == len(mixed.tables.by_name)
    suites = [path.read_text() for path in docs.glob("expectations/*.html")]
    assert any("masks_are_not_empty" in page for page in suites)


def test_an_expectation_that_cannot_be_computed_is_an_error(mixed):
    tables = dict(mixed.tables.by_name)
    tables[PAIRS] = tables[PAIRS].drop(columns="area")
    expected = [one for one in suite(mixed.params) if one.name == "areas_are_in_range"]
    with pytest.raises(DataError, match="areas_are_in_range could not be computed"):
        judge(expected, tables)


def test_a_table_without_rows_holds_to_everything(mixed):
    tables = {name: table[:0] for name, table in mixed.tables.by_name.items()}
    assert all(outcome.held for outcome in judge(suite(mixed.params), tables))


def test_an_outcome_knows_what_was_expected(mixed, outcomes):
    for outcome, expected in zip(outcomes, suite(mixed.params), strict=True):
        fields = {field.name for field in dataclasses.fields(expected)} & {"says", "level", "table"}
        assert all(getattr(outcome, name) == getattr(expected, name) for name in fields)
        assert outcome.column in mixed.tables.by_name[outcome.table].columns
