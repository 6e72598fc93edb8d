"""Running the suite with Great Expectations, and its pages for those who want every number."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import great_expectations as gx
import pandas as pd
from great_expectations.data_context.types.base import ProgressBarsConfig

from pasam.errors import DataError
from pasam.validation.expectations import Expected
from pasam.validation.outcomes import Outcome
from pasam.validation.tables import KEYS

_ROW = "row"
_SITE = "pages"


def judge(
    expected: Sequence[Expected], tables: Mapping[str, pd.DataFrame], docs: Path | None = None
) -> tuple[Outcome, ...]:
    """Check every expectation against its table.

    Args:
        expected: The suite.
        tables: By the names in `KEYS`.
        docs: Folder that receives Great Expectations' data docs, replacing what is there; they
            hold times and random ids, so they are no output to compare. None leaves them out.

    Returns:
        One outcome per expectation, in the suite's order.

    Raises:
        DataError: Great Expectations could not compute an expectation.
    """
    _silence()
    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    if docs is not None:
        _add_site(context, docs)
    outcomes: dict[str, Outcome] = {}
    for name in KEYS:
        of_table = [one for one in expected if one.table == name]
        frame = tables[name].reset_index(drop=True)
        results = _run(context, name, of_table, frame)
        for one, result in zip(of_table, results, strict=True):
            outcomes[one.name] = _outcome(one, result, frame)
    if docs is not None:
        context.build_data_docs()
    return tuple(outcomes[one.name] for one in expected)


def _silence() -> None:
    """Keep Great Expectations' remarks on its own workings to itself; failures are exceptions."""
    logger = logging.getLogger("great_expectations")
    logger.propagate = False  # its modules set levels of their own
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())


def _run(context: Any, name: str, expected: Sequence[Expected], frame: pd.DataFrame) -> list[Any]:
    """Validate one table; results come in the order of the expectations."""
    asset = context.data_sources.add_pandas(name).add_dataframe_asset(name)
    suite = context.suites.add(
        gx.ExpectationSuite(name, expectations=[one.check for one in expected])
    )
    definition = context.validation_definitions.add(
        gx.ValidationDefinition(
            name=name, data=asset.add_batch_definition_whole_dataframe(name), suite=suite
        )
    )
    result = definition.run(
        batch_parameters={"dataframe": frame.assign(**{_ROW: frame.index})},
        result_format={
            "result_format": "COMPLETE",
            "unexpected_index_column_names": [_ROW, *KEYS[name]],
        },
    )
    by_name = {one.expectation_config.meta["name"]: one for one in result.results}
    return [by_name[one.name] for one in expected]


def _outcome(expected: Expected, result: Any, frame: pd.DataFrame) -> Outcome:
    found = result.result
    if "element_count" not in found:
        raise DataError(
            f"The expectation {expected.name} could not be computed: {result.exception_info}"
        )
    rows = sorted({int(index[_ROW]) for index in found.get("unexpected_index_list") or []})
    offenders = tuple(frame.loc[rows].to_dict("records"))
    if bool(offenders) == bool(result.success):
        raise DataError(f"The expectation {expected.name} contradicts itself: {found}")
    return Outcome(
        name=expected.name,
        table=expected.table,
        level=expected.level,
        says=expected.says,
        column=expected.column,
        checked=int(found["element_count"]),
        offenders=offenders,
    )


def _add_site(context: Any, docs: Path) -> None:
    """Let the data docs be written to a folder of ours rather than to a temporary one."""
    shutil.rmtree(docs, ignore_errors=True)
    for name in list(context.variables.data_docs_sites):
        context.delete_data_docs_site(name)
    context.add_data_docs_site(
        _SITE,
        {
            "class_name": "SiteBuilder",
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            "store_backend": {
                "class_name": "TupleFilesystemStoreBackend",
                "base_directory": str(docs.resolve()),
            },
        },
    )
