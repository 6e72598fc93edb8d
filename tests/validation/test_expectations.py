"""Each kind of broken data is caught by the expectation meant for it, and by no other."""

from __future__ import annotations

import dataclasses
import zlib
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from broken_data import KINDS, TABLE_KINDS
from small_set import SmallSet, write_table

from pasam.data.manifest import inventory_frame, valid_rows
from pasam.data.preparation import collect_own
from pasam.data.quarantine import Quarantine
from pasam.errors import DataError, ParamsError
from pasam.files import file_sha256
from pasam.validation.drift import accepted_text, group_values, read_accepted
from pasam.validation.duplicates import images_of
from pasam.validation.expectations import (
    DRIFT,
    IMAGES,
    ITEMS,
    KEYS,
    LISTED,
    PAIRS,
    SETS,
    ExpectationResult,
    _result,
    failed,
    judge,
    make_tables,
    suite,
)
from pasam.validation.findings import summarize
from pasam.validation.verdict import require_passed, write_verdict

EVERY = (*KINDS, *TABLE_KINDS)
each_kind = pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.name)
COUNTED = "fewer_than_published"
DRIFTING = {kind.name for kind in KINDS if kind.expectation.endswith("_has_not_drifted")}


@dataclasses.dataclass(frozen=True)
class Judged:
    """What came of one project that holds a small set per kind."""

    inventory: pd.DataFrame
    results: tuple[ExpectationResult, ...]

    def of(self, name: str) -> tuple[ExpectationResult, ...]:
        """The results as if the set of that name were all there is."""

        def belongs(result, row):
            return any(name in Path(str(row[key])).parts for key in KEYS[result.table]) or any(
                f"{name}_too" == row.get(key) for key in KEYS[result.table]
            )

        return tuple(
            dataclasses.replace(
                result, offenders=tuple(row for row in result.offenders if belongs(result, row))
            )
            for result in self.results
        )


def draw(folder):
    sets = {}
    for place, kinds in (("folders", KINDS), ("table", TABLE_KINDS)):
        for kind in kinds:
            counts = (12, 1) if kind.name in DRIFTING else (3, 1)
            small = SmallSet(folder / place, kind.name, counts)
            small.draw(seed=zlib.crc32(kind.name.encode()))
            sets[kind.name] = small
        if place == "table":
            write_table(folder / place, [sets[kind.name] for kind in kinds])
    return sets


def judged(folder, quarantine, accepted, params):
    rows = [
        row
        for place in ("folders", "table")
        for row in collect_own(folder / place, quarantine, workers=1)
    ]
    inventory = inventory_frame(rows)
    tables = make_tables(inventory, quarantine, accepted, {COUNTED: 4}, params)
    return Judged(inventory, judge(suite(params), tables.by_name))


@pytest.fixture(scope="module")
def both(tmp_path_factory, validate_params):
    """The judgement before and after every kind was planted."""
    folder = tmp_path_factory.mktemp("broken")
    sets = draw(folder)
    clean = judged(folder, Quarantine(), {}, validate_params)
    fit = valid_rows(clean.inventory)
    (folder / "accepted").write_text(accepted_text(fit, images_of(fit)))
    accepted = {
        key: sketch
        for key, sketch in read_accepted(folder / "accepted").items()
        if key[0] == "train" and key[1] in {*DRIFTING, "whole_set_gone"}
    }
    for kind in EVERY:
        kind.plant(sets[kind.name])
    listed = [entry for small in sets.values() for entry in small.quarantined]
    quarantine = Quarantine().including(listed)
    repaired = sets["repaired_in_quarantine"]
    repaired.file("gt").write_bytes(repaired.file("gt").read_bytes() + b"\n")
    write_table(folder / "table", [sets[kind.name] for kind in TABLE_KINDS])
    return clean, judged(folder, quarantine, accepted, validate_params)


def test_there_are_thirty_kinds_and_more_and_each_expectation_has_one(validate_params):
    assert len({kind.name for kind in EVERY}) == len(EVERY) >= 30
    assert {kind.expectation for kind in EVERY} == {one.name for one in suite(validate_params)}


def test_the_sets_are_sound_before_anything_is_planted(both):
    assert [result.name for result in both[0].results if not result.passed] == []


@each_kind
def test_a_kind_breaks_the_expectation_meant_for_it_and_no_other(kind, both):
    broken = {result.name for result in both[1].of(kind.name) if not result.passed}
    assert broken == {kind.expectation, *kind.also}


@each_kind
def test_training_starts_only_where_a_failure_is_no_error(kind, both, tmp_path, validate_params):
    (tmp_path / "manifest").touch()
    results = both[1].of(kind.name)
    verdict = summarize(both[1].inventory, results, file_sha256(tmp_path / "manifest"))
    write_verdict(tmp_path / "verdict", verdict)
    if kind.expectation in validate_params.warnings:
        assert kind.expectation in verdict.warnings
        require_passed(tmp_path / "verdict", tmp_path / "manifest")
    else:
        with pytest.raises(DataError, match="is not fit"):
            require_passed(tmp_path / "verdict", tmp_path / "manifest")


def test_what_is_measured_wrong_is_listed_by_row(both):
    by_name = {result.name: result for result in both[1].results}
    (tiny,) = both[1].of("tiny_mask")[list(by_name).index("areas_are_in_range")].offenders
    assert Path(tiny["mask"]).parts[-3:] == ("tiny_mask", "gt", "train0.png")
    assert tiny["area"] == pytest.approx(2 / (48 * 64))


def test_a_limit_of_unfit_items_lets_a_few_pass(validate_params):
    few = next(one for one in suite(validate_params) if one.name == "few_items_are_invalid")
    assert few.check.max_value == 0
    loose = validate_params.replaced(unreviewed_fraction=0.1)
    few = next(one for one in suite(loose) if one.name == "few_items_are_invalid")
    assert few.check.max_value == 0.1


def test_each_limit_of_the_params_is_that_of_its_own_expectation(validate_params):
    loose = validate_params.replaced(
        unreviewed_fraction=0.1, quarantined_fraction=0.2, area=(0.01, 0.9), side=(40, 50),
        contrast=3.0, drift_effect=0.3,
    )  # fmt: skip
    limits = {
        one.name: (one.column, one.check.min_value, one.check.max_value)
        for one in suite(loose) if hasattr(one.check, "min_value")
    }  # fmt: skip
    assert limits == {
        "images_are_large_enough": ("short_side", 40, None),
        "images_are_not_huge": ("long_side", None, 50),
        "images_show_something": ("contrast", 3.0, None),
        "images_have_8_bits": ("depth", 8, 8), "images_are_upright": ("orientation", 1, 1),
        "areas_are_in_range": ("area", 0.01, 0.9),
        "few_items_are_invalid": ("invalid_fraction", None, 0.1),
        "few_items_are_quarantined": ("quarantined_fraction", None, 0.2),
        "sets_have_valid_items": ("valid", 1, None),
        **{f"{name}_has_not_drifted": (name, None, 0.3)
           for name in ("area", "complexity", "resolution", "brightness")},
    }  # fmt: skip


def test_the_tables_are_made_with_the_params_and_versions_that_are_given(mixed):
    here = mixed.params.replaced(near_bits=2, drift_p=0.4, drift_effect=0.9)
    inventory = mixed.inventory.copy()
    (leak,) = inventory.index[inventory["image"].str.endswith("jpeg_in_the_benchmark/im/val0.png")]
    inventory.loc[leak, "phash"] = f"{int(str(inventory.at[leak, 'phash']), 16) ^ 0b11:016x}"
    fit = valid_rows(inventory)
    accepted = dict(group_values(fit, images_of(fit)))
    gone = ("train", "gone_set")
    accepted[gone] = accepted["train", "deep_image"]
    tables = make_tables(inventory, Quarantine(), accepted, {"tiny_mask": 4}, here)
    assert [pair.bits for pair in tables.duplicates] == [0, 2]
    apart = make_tables(inventory, Quarantine(), {}, {}, here.replaced(near_bits=1))
    blind = make_tables(inventory, Quarantine(), {}, {}, here.replaced(contrast=255.0))
    for one in (apart, blind):
        assert [pair.same_bytes for pair in one.duplicates] == [True]
    compared = len(tables.comparisons)
    assert tables.comparisons["limit_p"].tolist() == [0.4 / compared] * compared
    sets = tables.by_name[SETS].set_index(["split", "dataset"])
    assert sets[sets["gone"]].index.tolist() == [gone]
    assert sets["expected_images"].dropna().to_dict() == {
        ("train", "tiny_mask"): 4, ("val", "tiny_mask"): 4
    }  # fmt: skip


def test_a_set_is_gone_from_a_split_that_lost_it_though_the_other_split_has_it_still(mixed):
    fit = valid_rows(mixed.inventory)
    accepted = dict(group_values(fit, images_of(fit)))
    lost = (mixed.inventory["split"] == "val") & (mixed.inventory["dataset"] == "tiny_mask")
    tables = make_tables(mixed.inventory[~lost], Quarantine(), accepted, {}, mixed.params)
    sets = tables.by_name[SETS]
    gone = sets.loc[sets["gone"], ["split", "dataset"]]
    assert gone.to_numpy().tolist() == [["val", "tiny_mask"]]


def test_severities_are_those_of_the_params(validate_params):
    levels = {one.name: one.level for one in suite(validate_params)}
    assert {name for name, level in levels.items() if level == "warning"} == set(
        validate_params.warnings
    )
    assert {name for name, level in levels.items() if level == "item"} == set(ITEMS)
    grave = {one.name for one in suite(validate_params) if one.check.severity == "critical"}
    assert grave == {name for name, level in levels.items() if level == "error"}
    strict = {one.name: one.level for one in suite(validate_params.replaced(warnings=()))}
    assert strict["areas_are_in_range"] == "error"


@pytest.mark.parametrize("name", ["areas_in_range", "images_decode"])
def test_a_name_that_cannot_be_a_warning_is_refused(name, validate_params):
    with pytest.raises(ParamsError, match=rf"validate.warnings names \['{name}'\]"):
        suite(validate_params.replaced(warnings=(name,)))


@pytest.mark.long
def test_outcomes_come_in_the_suites_order_with_the_offending_rows(mixed, results):
    assert [result.name for result in results] == [one.name for one in suite(mixed.params)]
    empty = next(result for result in results if result.name == "masks_are_not_empty")
    assert empty.checked == len(mixed.inventory)
    (row,) = empty.offenders
    assert row["mask"].endswith("black_mask/gt/train0.png")
    assert (row["fault"], row["dataset"]) == ("empty_mask", "black_mask")


@pytest.mark.long
def test_the_same_tables_give_the_same_outcomes(mixed, results):
    assert repr(judge(suite(mixed.params), mixed.tables.by_name)) == repr(results)


@pytest.mark.long
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


@pytest.mark.long
def test_a_table_without_rows_holds_to_everything(mixed):
    tables = {name: table[:0] for name, table in mixed.tables.by_name.items()}
    assert all(result.passed for result in judge(suite(mixed.params), tables))


def test_an_outcome_knows_what_was_expected(mixed, results):
    for result, expected in zip(results, suite(mixed.params), strict=True):
        fields = {field.name for field in dataclasses.fields(expected)} & {
            "description",
            "level",
            "table",
        }
        assert all(getattr(result, name) == getattr(expected, name) for name in fields)
        assert result.column in mixed.tables.by_name[result.table].columns


def result(name: str, level: str, offenders: int) -> ExpectationResult:
    return ExpectationResult(
        name=name, table="sets", level=level, description="", column="valid", checked=3,
        offenders=({"valid": 0},) * offenders,
    )  # fmt: skip


def test_the_failed_of_one_level_are_named_in_order():
    results = (
        result("b", "error", 1), result("a", "error", 2), result("c", "error", 0),
        result("d", "warning", 1),
    )  # fmt: skip
    assert [one.passed for one in results] == [False, False, True, False]
    assert failed(results, "error") == ("b", "a")
    assert failed(results, "warning") == ("d",)
    assert failed(results, "item") == ()


def test_every_table_has_the_columns_that_name_its_rows(mixed):
    assert set(mixed.tables.by_name) == set(KEYS)
    for name, keys in KEYS.items():
        assert set(keys) <= set(mixed.tables.by_name[name].columns)


def test_both_fractions_are_of_all_of_a_sets_items(mixed):
    deep = mixed.inventory["dataset"] == "deep_image"
    first = mixed.inventory.index[deep & (mixed.inventory["split"] == "train")].tolist()
    unfit = mixed.inventory.copy()
    whole = [row for row in first if pd.isna(unfit.at[row, "fault"])]
    unfit.loc[whole[0], "fault"] = "empty_mask"
    unfit.loc[whole, "image"] = "one.png"  # of two masks
    sets = make_tables(unfit, Quarantine(), {}, {}, mixed.params).by_name[SETS]
    row = sets.set_index(["dataset", "split"]).loc[("deep_image", "train")]
    assert [row["valid"], row["invalid"], row["quarantined"]] == [1, 1, 1]
    assert (row["invalid_fraction"], row["quarantined_fraction"]) == (1 / 3, 1 / 3)
    assert (row["images"], row["all_images"]) == (2, 3)


def test_items_are_counted_by_set(mixed):
    sets = mixed.tables.by_name[SETS].set_index(["dataset", "split"])
    assert sets.loc[("black_mask", "train"), ["valid", "invalid", "quarantined"]].tolist() == [
        2,
        1,
        0,
    ]
    assert sets.loc[("deep_image", "train"), ["valid", "invalid", "quarantined"]].tolist() == [
        2,
        0,
        1,
    ]
    assert sets.at[("black_mask", "train"), "invalid_fraction"] == 1 / 3
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


def test_a_changed_image_is_not_in_quarantine_because_its_mask_is(tmp_path, validate_params):
    small = SmallSet(tmp_path, "own")
    small.draw(0)
    image, mask = (tmp_path / "train" / "own" / kind / "train0.png" for kind in ("im", "gt"))
    quarantine = Quarantine().including([(str(image), "dark"), (str(mask), "coarse")])
    image.write_bytes(image.read_bytes() + b"\0")  # as after a repair
    inventory = inventory_frame(collect_own(tmp_path, quarantine, workers=1))
    listed = make_tables(inventory, quarantine, {}, {}, validate_params).by_name[LISTED]
    assert dict(zip(listed["file"], listed["applies"], strict=True)) == {
        str(image): False, str(mask): True,
    }  # fmt: skip


def test_without_an_accepted_version_nothing_is_compared(mixed):
    assert len(mixed.tables.by_name[DRIFT]) == 0
    assert len(mixed.tables.comparisons) == 0


@pytest.mark.parametrize(("success", "row"), [(True, 0), (False, None)])
def test_a_verdict_that_its_own_rows_contradict_is_no_result(validate_params, success, row):
    expected = next(one for one in suite(validate_params) if one.name == "areas_are_in_range")
    frame = pd.DataFrame({"dataset": ["a"], "image": ["b"], "mask": ["c"], "area": [0.5]})
    found = {"element_count": 1, "unexpected_index_list": [] if row is None else [{"row": row}]}
    with pytest.raises(DataError, match="areas_are_in_range contradicts itself"):
        _result(expected, SimpleNamespace(result=found, success=success), frame)
    fitting = _result(expected, SimpleNamespace(result=found, success=not success), frame)
    assert (fitting.passed, fitting.checked) == (row is None, 1)
