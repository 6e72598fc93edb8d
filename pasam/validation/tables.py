"""The tables that the expectations look at: pairs, images, data sets, drift and the quarantine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from pasam.data.census import fit_rows
from pasam.data.faults import QUARANTINED
from pasam.data.quarantine import Quarantine
from pasam.validate_params import ValidateParams
from pasam.validation.accepted import QUANTITIES, Key, Sketch, group_values
from pasam.validation.drift import compare
from pasam.validation.duplicates import Twins, find_twins, images_of, mask_copies, partner_of

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
    census: pd.DataFrame,
    quarantine: Quarantine,
    accepted: Mapping[Key, Sketch],
    expected_images: Mapping[str, int],
    params: ValidateParams,
) -> Tables:
    """Derive the tables from the census and what it is compared with.

    Args:
        census: One row per item, fit or not.
        quarantine: Files that are left out on purpose.
        accepted: The last accepted data version.
        expected_images: How many images a data set should have, for those where it is known.
        params: Limits.
    """
    fit = fit_rows(census)
    images = images_of(fit)
    twins = find_twins(images, bits=params.near_bits, contrast=params.contrast)
    present = dict(group_values(fit, images))
    comparisons = compare(present, accepted, p=params.drift_p, effect=params.drift_effect)
    return Tables(
        by_name={
            PAIRS: _pairs(census, fit),
            IMAGES: _images(images, twins),
            SETS: _sets(census, accepted, expected_images),
            DRIFT: _drift(comparisons),
            LISTED: _listed(census, quarantine),
        },
        twins=twins,
        comparisons=comparisons,
    )


def _pairs(census: pd.DataFrame, fit: pd.DataFrame) -> pd.DataFrame:
    copies = mask_copies(fit)
    of_fit = census["fault"].isna()
    return census.assign(mask_copy_of=census["mask"].map(copies).where(of_fit))


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
    census: pd.DataFrame, accepted: Mapping[Key, Sketch], expected_images: Mapping[str, int]
) -> pd.DataFrame:
    """Count every data set, with those that only the accepted version has."""
    rows = []
    in_all_splits = census.groupby("dataset")["image"].nunique()
    for (split, dataset), items in census.groupby(["split", "dataset"], sort=True):
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
                "unfit_share": (len(items) - fit - quarantined) / len(items),
                "quarantined_share": quarantined / len(items),
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


def _listed(census: pd.DataFrame, quarantine: Quarantine) -> pd.DataFrame:
    left_out = census[census["fault"] == QUARANTINED]
    used = {*left_out["image"].dropna(), *left_out["mask"].dropna()}
    return pd.DataFrame(
        [(entry.file, entry.reason, entry.file in used) for entry in quarantine.entries.values()],
        columns=["file", "reason", "applies"],
    )
