"""The suite of expectations in Great Expectations' terms, the tables they look at.

And how it is run.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import great_expectations as gx
import great_expectations.expectations as gxe
import pandas as pd
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.expectations.expectation import Expectation
from great_expectations.expectations.metadata_types import FailureSeverity

from pasam.config.schema import ValidateParams
from pasam.data.manifest import KINDS, QUARANTINED, valid_rows
from pasam.data.quarantine import Quarantine
from pasam.errors import DataError, ParamsError
from pasam.validation.drift import QUANTITIES, Key, Sketch, compare, group_values
from pasam.validation.duplicates import Twins, find_twins, images_of, mask_copies, partner_of

# --- outcomes: What came of every expectation, in words that no library knows and no clock changes.

Level = Literal["item", "error", "warning"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """One expectation after a look at the data."""

    name: str
    table: str
    level: Level
    """What a failure does: `item` leaves the items out, `error` stops, `warning` is reported."""
    says: str
    """What was expected."""
    column: str
    """Column of the table in which an offender's value stands."""
    checked: int
    """Rows that were looked at."""
    offenders: tuple[Mapping[Any, Any], ...]
    """Rows of the table that break the expectation, in the table's order."""

    @property
    def held(self) -> bool:
        """Whether every row is as expected."""
        return not self.offenders


def failed(outcomes: tuple[Outcome, ...], level: Level) -> tuple[str, ...]:
    """Name the expectations of one level that did not hold."""
    return tuple(o.name for o in outcomes if o.level == level and not o.held)


# --- tables: The tables that the expectations look at: pairs, images, data sets, drift and the
# quarantine.

PAIRS, IMAGES, SETS, DRIFT, LISTED = "pairs", "images", "sets", "drift", "quarantine"

KEYS: Mapping[str, tuple[str, ...]] = {
    PAIRS: ("dataset", "image", "mask"),
    IMAGES: ("dataset", "image"),
    SETS: ("split", "dataset"),
    DRIFT: ("split", "dataset"),
    LISTED: ("file",),
}
"""Tables by name, and the columns that say which row is meant."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tables:
    """Everything that is judged."""

    by_name: Mapping[str, pd.DataFrame]
    """One table per key of `KEYS`."""
    twins: tuple[Twins, ...]
    comparisons: pd.DataFrame
    """Every distribution with its distance from the accepted one."""


def make_tables(
    inventory: pd.DataFrame,
    quarantine: Quarantine,
    accepted: Mapping[Key, Sketch],
    expected_images: Mapping[str, int],
    params: ValidateParams,
) -> Tables:
    """Derive the tables from the inventory and what it is compared with.

    Args:
        inventory: One row per item, fit or not.
        quarantine: Files that are left out on purpose.
        accepted: The last accepted data version.
        expected_images: How many images a data set should have, for those where it is known.
        params: Limits.
    """
    fit = valid_rows(inventory)
    images = images_of(fit)
    twins = find_twins(images, bits=params.near_bits, contrast=params.contrast)
    present = dict(group_values(fit, images))
    comparisons = compare(present, accepted, p=params.drift_p, effect=params.drift_effect)
    return Tables(
        by_name={
            PAIRS: _pairs(inventory, fit),
            IMAGES: _images(images, twins),
            SETS: _sets(inventory, accepted, expected_images),
            DRIFT: _drift(comparisons),
            LISTED: _listed(inventory, quarantine),
        },
        twins=twins,
        comparisons=comparisons,
    )


def _pairs(inventory: pd.DataFrame, fit: pd.DataFrame) -> pd.DataFrame:
    copies = mask_copies(fit)
    of_fit = inventory["fault"].isna()
    return inventory.assign(mask_copy_of=inventory["mask"].map(copies).where(of_fit))


def _images(images: pd.DataFrame, twins: tuple[Twins, ...]) -> pd.DataFrame:
    trained = set(images.loc[images["split"] == "train", "image"])
    measured = images["split"] == "val"
    path = images["image"]
    return images.assign(
        short_side=images[["height", "width"]].min(axis=1),
        long_side=images[["height", "width"]].max(axis=1),
        trained_on=path.where(measured & path.isin(trained)),
        copy_of_trained=path.map(partner_of(twins, across=True, same_bytes=True)).where(measured),
        looks_trained=path.map(partner_of(twins, across=True, same_bytes=False)).where(measured),
        copy_of=path.map(partner_of(twins, across=False, same_bytes=True)),
        looks_like=path.map(partner_of(twins, across=False, same_bytes=False)),
    )


def _sets(
    inventory: pd.DataFrame, accepted: Mapping[Key, Sketch], expected_images: Mapping[str, int]
) -> pd.DataFrame:
    """Count every data set, with those that only the accepted version has."""
    rows = []
    in_all_splits = inventory.groupby("dataset")["image"].nunique()
    for (split, dataset), items in inventory.groupby(["split", "dataset"], sort=True):
        quarantined = int((items["fault"] == QUARANTINED).sum())
        fit = int(items["fault"].isna().sum())
        rows.append(
            {
                "split": split,
                "dataset": dataset,
                "images": items["image"].nunique(),
                "all_images": int(in_all_splits[str(dataset)]),
                "fit": fit,
                "unfit": len(items) - fit - quarantined,
                "quarantined": quarantined,
                "unfit_fraction": (len(items) - fit - quarantined) / len(items),
                "quarantined_fraction": quarantined / len(items),
                "expected_images": expected_images.get(str(dataset)),
                "gone": False,
            }
        )
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
    return (
        wide.reindex(columns=list(QUANTITIES))
        .reset_index()
        .astype(dict.fromkeys(QUANTITIES, float))
    )


def _listed(inventory: pd.DataFrame, quarantine: Quarantine) -> pd.DataFrame:
    left_out = inventory[inventory["fault"] == QUARANTINED]
    used = {*left_out["image"].dropna(), *left_out["mask"].dropna()}
    return pd.DataFrame(
        [(entry.file, entry.reason, entry.file in used) for entry in quarantine.entries.values()],
        columns=["file", "reason", "applies"],
    )


# --- expectations: The suite: every expectation of the data, by name, in Great Expectations' terms.

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
class Expected:
    """One expectation."""

    name: str
    table: str
    """One of `pasam.validation.expectations.KEYS`."""
    level: Level
    """What a failure does: `item` leaves the items out, `error` stops, `warning` is reported."""
    says: str
    """What is expected, in a sentence without its full stop."""
    check: Expectation

    @property
    def column(self) -> str:
        """Column of the table in which an offender's value stands."""
        kwargs = self.check.configuration.kwargs
        return str(kwargs.get("column", kwargs.get("column_A")))


def suite(params: ValidateParams) -> tuple[Expected, ...]:
    """List all expectations with the limits and the severities that the params give.

    Raises:
        ParamsError: `validate.warnings` names something that is no expectation, or one of single
            items, which never stop the run by themselves.
    """
    items = [
        _Draft(name, PAIRS, f"No case where {KINDS[kind]}",
               gxe.ExpectColumnValuesToNotBeInSet(column="fault", value_set=[kind]))
        for name, kind in ITEMS.items()
    ]  # fmt: skip
    others = [
        *_expectations_images(params),
        *_expectations_pairs(params),
        *_expectations_sets(params),
        *_expectations_drift(params),
        *_quarantine(),
    ]
    known = [draft.name for draft in others]
    strangers = [name for name in params.warnings if name not in known]
    if strangers:
        raise ParamsError(
            f"validate.warnings names {strangers}, which cannot be warnings; those that can are "
            f"{sorted(known)}."
        )
    return (
        *(draft.expected("item") for draft in items),
        *(
            draft.expected("warning" if draft.name in params.warnings else "error")
            for draft in others
        ),
    )


class _Draft(NamedTuple):
    """An expectation whose severity is not settled yet."""

    name: str
    table: str
    says: str
    check: Expectation

    def expected(self, level: Level) -> Expected:
        severity = FailureSeverity.CRITICAL if level == "error" else FailureSeverity.WARNING
        check = self.check.copy(
            update={
                "severity": severity,
                "meta": {"name": self.name},
                "notes": f"**{self.name}** {self.says}.",
            }
        )
        return Expected(name=self.name, table=self.table, level=level, says=self.says, check=check)


def _expectations_images(params: ValidateParams) -> Iterator[_Draft]:
    for name, column, says in (
        ("splits_are_disjoint", "trained_on", "No benchmark image is listed for training too"),
        (
            "benchmarks_are_unseen",
            "copy_of_trained",
            "No benchmark image is a copy of a training image",
        ),
        ("benchmarks_look_new", "looks_trained", "No benchmark image looks like a training image"),
        ("images_are_unique", "copy_of", "No image is a copy of another one of its split"),
        ("images_look_different", "looks_like", "No image looks like another one of its split"),
    ):
        yield _Draft(name, IMAGES, says, gxe.ExpectColumnValuesToBeNull(column=column))
    low, high = params.side
    for name, column, says, limits in (
        ("images_are_large_enough", "short_side", f"No side is below {low} pixels", (low, None)),
        ("images_are_not_huge", "long_side", f"No side is above {high} pixels", (None, high)),
        (
            "images_show_something", "contrast",
            f"Grey values spread by {params.contrast:g} of 255 or more", (params.contrast, None),
        ),
        ("images_have_8_bits", "depth", "Images have 8 bits per channel", (8, 8)),
        ("images_are_upright", "orientation", "No EXIF tag turns an image", (1, 1)),
    ):  # fmt: skip
        yield _Draft(name, IMAGES, says, _between(column, limits))


def _expectations_pairs(params: ValidateParams) -> Iterator[_Draft]:
    low, high = params.area
    yield _Draft(
        "areas_are_in_range", PAIRS, f"A mask covers {low:.2%} to {high:.2%} of its image",
        _between("area", params.area),
    )  # fmt: skip
    yield _Draft(
        "masks_are_unique", PAIRS, "No mask is a copy of the mask of another object",
        gxe.ExpectColumnValuesToBeNull(column="mask_copy_of"),
    )  # fmt: skip


def _expectations_sets(params: ValidateParams) -> Iterator[_Draft]:
    unfit, listed = params.unreviewed_fraction, params.quarantined_fraction
    yield _Draft(
        "few_items_are_unfit", SETS, f"At most {unfit:.2%} of a set's items are unfit",
        _between("unfit_fraction", (None, unfit)),
    )  # fmt: skip
    yield _Draft(
        "few_items_are_quarantined", SETS, f"At most {listed:.2%} of a set's items are quarantined",
        _between("quarantined_fraction", (None, listed)),
    )  # fmt: skip
    yield _Draft(
        "sets_have_fit_items", SETS, "Every data set has something fit for use",
        _between("fit", (1, None)),
    )  # fmt: skip
    yield _Draft(
        "counts_match_the_catalogue", SETS, "A public data set has as many images as published",
        gxe.ExpectColumnPairValuesToBeEqual(
            column_A="all_images", column_B="expected_images",
            ignore_row_if="either_value_is_missing",
        ),
    )  # fmt: skip
    yield _Draft(
        "accepted_sets_are_there", SETS, "No data set of the accepted version is gone",
        gxe.ExpectColumnValuesToBeInSet(column="gone", value_set=[False]),
    )  # fmt: skip


def _expectations_drift(params: ValidateParams) -> Iterator[_Draft]:
    for quantity, words in (
        ("area", "The areas of masks are distributed"),
        ("complexity", "The complexities of outlines are distributed"),
        ("resolution", "The sizes of images are distributed"),
        ("brightness", "The light of images is distributed"),
    ):
        yield _Draft(
            f"{quantity}_has_not_drifted", DRIFT, f"{words} as in the accepted version",
            _between(quantity, (None, params.drift_effect)),
        )  # fmt: skip


def _quarantine() -> Iterator[_Draft]:
    yield _Draft(
        "quarantine_is_current", LISTED, "Every file in quarantine is there and unchanged",
        gxe.ExpectColumnValuesToBeInSet(column="applies", value_set=[True]),
    )  # fmt: skip


def _between(column: str, limits: tuple[float | None, float | None]) -> Expectation:
    return gxe.ExpectColumnValuesToBeBetween(
        column=column, min_value=limits[0], max_value=limits[1]
    )


# --- judge: Running the suite with Great Expectations, and its pages for those who want every
# number.

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
