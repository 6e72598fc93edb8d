"""The tables count every set, and put each double beside the picture it doubles."""

import pandas as pd

from pasam.data.quarantine import Quarantine
from pasam.validation.expectations import DRIFT, IMAGES, KEYS, LISTED, PAIRS, SETS, make_tables


def test_every_table_has_the_columns_that_name_its_rows(mixed):
    assert set(mixed.tables.by_name) == set(KEYS)
    for name, keys in KEYS.items():
        assert set(keys) <= set(mixed.tables.by_name[name].columns)


def test_items_are_counted_by_set(mixed):
    sets = mixed.tables.by_name[SETS].set_index(["dataset", "split"])
    assert sets.loc[("black_mask", "train"), ["fit", "unfit", "quarantined"]].tolist() == [2, 1, 0]
    assert sets.loc[("deep_image", "train"), ["fit", "unfit", "quarantined"]].tolist() == [2, 0, 1]
    assert sets.at[("black_mask", "train"), "unfit_fraction"] == 1 / 3
    assert sets.at[("deep_image", "train"), "quarantined_fraction"] == 1 / 3
    assert sets.at[("deep_image", "train"), "images"] == 3
    assert sets.at[("deep_image", "val"), "all_images"] == 4


def test_doubles_stand_in_the_column_of_their_kind(mixed):
    images = mixed.tables.by_name[IMAGES].set_index("image")
    base = mixed.folder.as_posix()
    columns = ["trained_on", "copy_of_trained", "looks_trained", "copy_of", "looks_like"]
    found = {
        (path.removeprefix(f"{base}/"), column): images.at[path, column].removeprefix(f"{base}/")
        for path in images.index
        for column in columns
        if pd.notna(images.at[path, column])
    }
    assert found == {
        ("val/jpeg_in_the_benchmark/im/val0.png", "looks_trained"): (
            "train/jpeg_in_the_benchmark/im/train0.png"
        ),
        ("train/copy_of_an_image/im/train1.png", "copy_of"): (
            "train/copy_of_an_image/im/train0.png"
        ),
    }


def test_unfit_items_are_among_the_pairs_and_not_among_the_images(mixed):
    assert len(mixed.tables.by_name[PAIRS]) == len(mixed.inventory)
    assert not mixed.tables.by_name[IMAGES]["image"].str.contains("lost_mask/im/train0").any()


def test_a_line_of_the_quarantine_applies_while_something_is_left_out_for_it(mixed):
    quarantine = Quarantine().including([("gone.png", "lost")])
    tables = make_tables(mixed.inventory, quarantine, {}, {}, mixed.params)
    assert tables.by_name[LISTED]["applies"].tolist() == [False]
    assert mixed.tables.by_name[LISTED]["applies"].tolist() == [True]


def test_without_an_accepted_version_nothing_is_compared(mixed):
    assert len(mixed.tables.by_name[DRIFT]) == 0
    assert len(mixed.tables.comparisons) == 0
