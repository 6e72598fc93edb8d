"""What is expected of data: the tables that are judged, the suite of expectations, and its run.

The suite is written in Great Expectations' terms; its results are in words that no library knows
and no clock changes.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, Literal

import great_expectations as gx
import great_expectations.expectations as gxe
import pandas as pd
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.expectations.expectation import Expectation
from great_expectations.expectations.metadata_types import FailureSeverity

from pasam.config.requirements import ValidateParams
from pasam.data.manifest import KINDS, QUARANTINED, valid_rows
from pasam.data.quarantine import Quarantine
from pasam.errors import DataError, ParamsError
from pasam.validation.drift import QUANTITIES, Key, Sketch, compare, group_values
from pasam.validation.duplicates import (
    Duplicate,
    find_duplicates,
    images_of,
    mask_copies,
    originals,
)

Level = Literal["item", "error", "warning"]
"""What a failure does: `item` leaves the items out, `error` stops, `warning` is reported."""

PAIRS, IMAGES, SETS, DRIFT, LISTED = "pairs", "images", "sets", "drift", "quarantine"

KEYS: Mapping[str, tuple[str, ...]] = {
    PAIRS: ("dataset", "image", "mask"),
    IMAGES: ("dataset", "image"),
    SETS: ("split", "dataset"),
    DRIFT: ("split", "dataset"),
    LISTED: ("file",),
}
"""Tables by name, and the columns that say which row is meant."""

ITEMS: dict[str, str] = {
    "images_have_masks": "image_without_mask",
    "masks_have_images": "mask_without_image",
    "images_have_names_of_their_own": "name_taken",
    "listed_files_exist": "missing_file",
    "rows_are_complete": "bad_row",
    "pairs_are_listed_once": "listed_twice",
    "images_decode": "undecodable_image",
    "masks_decode": "undecodable_mask",
    "sizes_agree": "size_mismatch",
    "masks_show_one_object": "label_map",
    "masks_are_no_pictures": "grey_mask",
    "masks_are_not_empty": "empty_mask",
    "masks_are_not_full": "full_mask",
    "ids_are_unique": "id_taken",
}
"""Expectations of single items, and the fault that breaks each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tables:
    """Everything that is judged."""

    by_name: Mapping[str, pd.DataFrame]
    """One table per key of `KEYS`."""
    duplicates: tuple[Duplicate, ...]
    comparisons: pd.DataFrame
    """Every distribution with its distance from the accepted one."""


def make_tables(
    inventory: pd.DataFrame,
    quarantine: Quarantine,
    accepted: Mapping[Key, Sketch],
    expected_images: Mapping[str, int],
    params: ValidateParams,
) -> Tables:
    """Derive the tables from the inventory, one row per item, and what it is compared with.

    `expected_images` says how many a data set should have, for those where it is known.
    """
    valid = valid_rows(inventory)
    images = images_of(valid)
    duplicates = find_duplicates(images, bits=params.near_bits, contrast=params.contrast)
    present = dict(group_values(valid, images))
    copies = inventory["mask"].map(mask_copies(valid))
    comparisons = compare(present, accepted, p=params.drift_p, effect=params.drift_effect)
    return Tables(
        by_name={
            PAIRS: inventory.assign(mask_copy_of=copies.where(inventory["fault"].isna())),
            IMAGES: _images(images, duplicates),
            SETS: _sets(inventory, accepted, expected_images),
            DRIFT: _drift(comparisons),
            LISTED: _listed(inventory, quarantine),
        },
        duplicates=duplicates,
        comparisons=comparisons,
    )


def _images(images: pd.DataFrame, duplicates: tuple[Duplicate, ...]) -> pd.DataFrame:
    trained = set(images.loc[images["split"] == "train", "image"])
    measured = images["split"] == "val"
    path = images["image"]

    def partner(*, across: bool, same_bytes: bool) -> pd.Series[Any]:
        return path.map(originals(duplicates, across=across, same_bytes=same_bytes))

    return images.assign(
        short_side=images[["height", "width"]].min(axis=1),
        long_side=images[["height", "width"]].max(axis=1),
        trained_on=path.where(measured & path.isin(trained)),
        copy_of_trained=partner(across=True, same_bytes=True).where(measured),
        looks_trained=partner(across=True, same_bytes=False).where(measured),
        copy_of=partner(across=False, same_bytes=True),
        looks_like=partner(across=False, same_bytes=False),
    )


def _sets(
    inventory: pd.DataFrame, accepted: Mapping[Key, Sketch], expected_images: Mapping[str, int]
) -> pd.DataFrame:
    """Count every data set, with those that only the accepted version has."""
    rows = []
    in_all_splits = inventory.groupby("dataset")["image"].nunique()
    for (split, dataset), items in inventory.groupby(["split", "dataset"], sort=True):
        quarantined = int((items["fault"] == QUARANTINED).sum())
        valid = int(items["fault"].isna().sum())
        invalid = len(items) - valid - quarantined
        rows.append({
            "split": split, "dataset": dataset, "images": items["image"].nunique(),
            "all_images": int(in_all_splits[str(dataset)]),
            "valid": valid, "invalid": invalid, "quarantined": quarantined,
            "invalid_fraction": invalid / len(items),
            "quarantined_fraction": quarantined / len(items),
            "expected_images": expected_images.get(str(dataset)), "gone": False,
        })  # fmt: skip
    found = {(row["split"], row["dataset"]) for row in rows}
    rows += [
        {"split": split, "dataset": dataset, "images": 0, "gone": True}
        for split, dataset in sorted(accepted)
        if (split, dataset) not in found and not dataset.startswith("(")
    ]
    return pd.DataFrame(rows)


def _drift(comparisons: pd.DataFrame) -> pd.DataFrame:
    """Give one row per set, with the distance of every quantity that drifted and 0 for others."""
    shift = comparisons["distance"].where(comparisons["drifted"], 0.0)
    wide = comparisons.assign(shift=shift).pivot(
        index=["split", "dataset"], columns="quantity", values="shift"
    )
    return wide.reindex(columns=list(QUANTITIES)).astype(float).reset_index()


def _listed(inventory: pd.DataFrame, quarantine: Quarantine) -> pd.DataFrame:
    left_out = inventory[inventory["fault"] == QUARANTINED]
    used = {*left_out["image"].dropna(), *left_out["mask"].dropna()}
    return pd.DataFrame(
        [
            # An image stands in the row of each of its masks, whichever of them is left out.
            (file, entry.reason, file in used and quarantine.reason_for(Path(file)) is not None)
            for file, entry in quarantine.entries.items()
        ],
        columns=["file", "reason", "applies"],
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Expected:
    """What is expected of a table, in our words."""

    name: str
    table: str
    """One of `KEYS`."""
    column: str
    """Column of the table in which an offender's value stands."""
    description: str
    """What is expected, in a sentence without its full stop."""
    level: Level = "error"


@dataclass(frozen=True, kw_only=True, slots=True)
class DataExpectation(Expected):
    """One expectation, in our words and in Great Expectations'."""

    check: Expectation


def suite(params: ValidateParams) -> tuple[DataExpectation, ...]:
    """List all expectations with the limits and the levels that the params give.

    Raises:
        ParamsError: `validate.warnings` names something that is no expectation, or one of single
            items, which never stop the run by themselves.
    """
    others = [*_of_items(params), *_of_sets(params)]
    known = [row[0] for row in others]
    strangers = [name for name in params.warnings if name not in known]
    if strangers:
        raise ParamsError(
            f"validate.warnings names {strangers}, which cannot be warnings; those that can are "
            f"{sorted(known)}."
        )
    items: list[_Row] = [
        (name, PAIRS, "fault", f"No case where {KINDS[kind]}", _none_of(kind))
        for name, kind in ITEMS.items()
    ]
    return (
        *(_expectation(row, "item") for row in items),
        *(_expectation(row, "warning" if row[0] in params.warnings else "error") for row in others),
    )


_Row = tuple[str, str, str, str, Any]
"""Name, table, column, description, and what makes the check of a column, or the check itself."""

_EMPTY = gxe.ExpectColumnValuesToBeNull


def _none_of(bad: Any) -> Any:
    return partial(gxe.ExpectColumnValuesToNotBeInSet, value_set=[bad])


def _between(low: float | None, high: float | None) -> Any:
    return partial(gxe.ExpectColumnValuesToBeBetween, min_value=low, max_value=high)


def _expectation(row: _Row, level: Level) -> DataExpectation:
    """Make an expectation of a level, with what Great Expectations' pages show."""
    name, table, column, description, check = row
    made = check if isinstance(check, Expectation) else check(column=column)
    severe = level == "error"
    noted = {
        "severity": FailureSeverity.CRITICAL if severe else FailureSeverity.WARNING,
        "meta": {"name": name},
        "notes": f"**{name}** {description}.",
    }
    return DataExpectation(
        name=name, table=table, column=column, description=description, level=level,
        check=made.copy(update=noted),
    )  # fmt: skip


def _of_items(params: ValidateParams) -> list[_Row]:
    """What is expected of images and of masks."""
    low, high = params.side
    small, large = params.area
    grey = f"Grey values spread by {params.contrast:g} of 255 or more"
    return [
        ("splits_are_disjoint", IMAGES, "trained_on",
         "No benchmark image is listed for training too", _EMPTY),
        ("benchmarks_are_unseen", IMAGES, "copy_of_trained",
         "No benchmark image is a copy of a training image", _EMPTY),
        ("benchmarks_look_new", IMAGES, "looks_trained",
         "No benchmark image looks like a training image", _EMPTY),
        ("images_are_unique", IMAGES, "copy_of",
         "No image is a copy of another one of its split", _EMPTY),
        ("images_look_different", IMAGES, "looks_like",
         "No image looks like another one of its split", _EMPTY),
        ("images_are_large_enough", IMAGES, "short_side",
         f"No side is below {low} pixels", _between(low, None)),
        ("images_are_not_huge", IMAGES, "long_side",
         f"No side is above {high} pixels", _between(None, high)),
        ("images_show_something", IMAGES, "contrast", grey, _between(params.contrast, None)),
        ("images_have_8_bits", IMAGES, "depth", "Images have 8 bits per channel", _between(8, 8)),
        ("images_are_upright", IMAGES, "orientation", "No EXIF tag turns an image", _between(1, 1)),
        ("areas_are_in_range", PAIRS, "area",
         f"A mask covers {small:.2%} to {large:.2%} of its image", _between(small, large)),
        ("masks_are_unique", PAIRS, "mask_copy_of",
         "No mask is a copy of the mask of another object", _EMPTY),
    ]  # fmt: skip


def _of_sets(params: ValidateParams) -> list[_Row]:
    """What is expected of data sets, of their distributions and of the quarantine."""
    invalid, listed = params.unreviewed_fraction, params.quarantined_fraction
    same_count = gxe.ExpectColumnPairValuesToBeEqual(
        column_A="all_images", column_B="expected_images", ignore_row_if="either_value_is_missing"
    )
    words = {
        "area": "The areas of masks are distributed",
        "complexity": "The complexities of outlines are distributed",
        "resolution": "The sizes of images are distributed",
        "brightness": "The light of images is distributed",
    }
    return [
        ("few_items_are_invalid", SETS, "invalid_fraction",
         f"At most {invalid:.2%} of a set's items are invalid", _between(None, invalid)),
        ("few_items_are_quarantined", SETS, "quarantined_fraction",
         f"At most {listed:.2%} of a set's items are quarantined", _between(None, listed)),
        ("sets_have_valid_items", SETS, "valid",
         "Every data set has something fit for use", _between(1, None)),
        ("counts_match_the_catalogue", SETS, "all_images",
         "A public data set has as many images as published", same_count),
        ("accepted_sets_are_there", SETS, "gone",
         "No data set of the accepted version is gone", _none_of(True)),
        *((f"{name}_has_not_drifted", DRIFT, name, f"{words[name]} as in the accepted version",
           _between(None, params.drift_effect)) for name in QUANTITIES),
        ("quarantine_is_current", LISTED, "applies",
         "Every file in quarantine is there and unchanged", _none_of(False)),
    ]  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpectationResult(Expected):
    """One expectation after a look at the data."""

    checked: int
    """Rows that were looked at."""
    offenders: tuple[Mapping[Any, Any], ...]
    """Rows of the table that break the expectation, in the table's order."""

    @property
    def passed(self) -> bool:
        """Whether every row is as expected."""
        return not self.offenders


def failed(results: Iterable[ExpectationResult], level: Level) -> tuple[str, ...]:
    """Name the expectations of one level that did not hold."""
    return tuple(o.name for o in results if o.level == level and not o.passed)


_ROW = "row"


def judge(
    expected: Sequence[DataExpectation],
    tables: Mapping[str, pd.DataFrame],
    docs: Path | None = None,
) -> tuple[ExpectationResult, ...]:
    """Check every expectation of a suite against its table, named as in `KEYS`.

    Args:
        expected: The suite.
        tables: By name.
        docs: Folder that receives Great Expectations' data docs, replacing what is there; they
            hold times and random ids, so they are no output to compare. None leaves them out.

    Returns:
        One result per expectation, in the suite's order.

    Raises:
        DataError: Great Expectations could not compute an expectation.
    """
    _silence()
    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    if docs is not None:
        _add_site(context, docs)
    results: dict[str, ExpectationResult] = {}
    for name in KEYS:
        of_table = [one for one in expected if one.table == name]
        frame = tables[name].reset_index(drop=True)
        checked = _run(context, name, of_table, frame)
        for one, result in zip(of_table, checked, strict=True):
            results[one.name] = _result(one, result, frame)
    if docs is not None:
        context.build_data_docs()
    return tuple(results[one.name] for one in expected)


def _silence() -> None:
    """Keep Great Expectations' remarks on its own workings to itself; failures are exceptions."""
    logger = logging.getLogger("great_expectations")
    logger.propagate = False  # its modules set levels of their own
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())


def _run(
    context: Any, name: str, expected: Iterable[DataExpectation], frame: pd.DataFrame
) -> list[Any]:
    """Validate one table; results come in the order of the expectations."""
    asset = context.data_sources.add_pandas(name).add_dataframe_asset(name)
    suite = context.suites.add(
        gx.ExpectationSuite(name, expectations=[one.check for one in expected])
    )
    batch = asset.add_batch_definition_whole_dataframe(name)
    definition = context.validation_definitions.add(
        gx.ValidationDefinition(name=name, data=batch, suite=suite)
    )
    columns = [_ROW, *KEYS[name]]
    result = definition.run(
        batch_parameters={"dataframe": frame.assign(**{_ROW: frame.index})},
        result_format={"result_format": "COMPLETE", "unexpected_index_column_names": columns},
    )
    by_name = {one.expectation_config.meta["name"]: one for one in result.results}
    return [by_name[one.name] for one in expected]


def _result(expected: DataExpectation, result: Any, frame: pd.DataFrame) -> ExpectationResult:
    found = result.result
    if "element_count" not in found:
        raise DataError(
            f"The expectation {expected.name} could not be computed: {result.exception_info}"
        )
    rows = sorted({int(index[_ROW]) for index in found.get("unexpected_index_list") or []})
    offenders = tuple(frame.loc[rows].to_dict("records"))
    if bool(offenders) == bool(result.success):
        raise DataError(f"The expectation {expected.name} contradicts itself: {found}")
    own = {field.name: getattr(expected, field.name) for field in fields(Expected)}
    return ExpectationResult(**own, checked=int(found["element_count"]), offenders=offenders)


def _add_site(context: Any, docs: Path) -> None:
    """Let the data docs be written to a folder of ours rather than to a temporary one."""
    shutil.rmtree(docs, ignore_errors=True)
    for name in list(context.variables.data_docs_sites):
        context.delete_data_docs_site(name)
    store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs.resolve())}
    index = {"class_name": "DefaultSiteIndexBuilder"}
    site = {"class_name": "SiteBuilder", "site_index_builder": index, "store_backend": store}
    context.add_data_docs_site("pages", site)
