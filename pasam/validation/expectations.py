"""The suite: every expectation of the data, by name, in Great Expectations' terms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import great_expectations.expectations as gxe
from great_expectations.expectations.expectation import Expectation
from great_expectations.expectations.metadata_types import FailureSeverity

from pasam.data.faults import KINDS
from pasam.errors import ParamsError
from pasam.validate_params import ValidateParams
from pasam.validation.outcomes import Level
from pasam.validation.tables import DRIFT, IMAGES, LISTED, PAIRS, SETS

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
    """One of `pasam.validation.tables.KEYS`."""
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
    others = [*_images(params), *_pairs(params), *_sets(params), *_drift(params), *_quarantine()]
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


def _images(params: ValidateParams) -> Iterator[_Draft]:
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


def _pairs(params: ValidateParams) -> Iterator[_Draft]:
    low, high = params.area
    yield _Draft(
        "areas_are_in_range", PAIRS, f"A mask covers {low:.2%} to {high:.2%} of its image",
        _between("area", params.area),
    )  # fmt: skip
    yield _Draft(
        "masks_are_unique", PAIRS, "No mask is a copy of the mask of another object",
        gxe.ExpectColumnValuesToBeNull(column="mask_copy_of"),
    )  # fmt: skip


def _sets(params: ValidateParams) -> Iterator[_Draft]:
    unfit, listed = params.unreviewed_share, params.quarantined_share
    yield _Draft(
        "few_items_are_unfit", SETS, f"At most {unfit:.2%} of a set's items are unfit",
        _between("unfit_share", (None, unfit)),
    )  # fmt: skip
    yield _Draft(
        "few_items_are_quarantined", SETS, f"At most {listed:.2%} of a set's items are quarantined",
        _between("quarantined_share", (None, listed)),
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


def _drift(params: ValidateParams) -> Iterator[_Draft]:
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
