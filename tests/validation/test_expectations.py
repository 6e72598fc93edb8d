"""Each kind of broken data is caught by the expectation meant for it, and by no other."""

from __future__ import annotations

import dataclasses
import zlib
from pathlib import Path

import pandas as pd
import pytest
from broken_data import KINDS, TABLE_KINDS
from small_set import SmallSet, write_table

from pasam.data.manifest import inventory_frame, valid_rows
from pasam.data.preparation import collect_own
from pasam.data.quarantine import Quarantine
from pasam.errors import DataError, ParamsError
from pasam.files import file_sha256
from pasam.validation.conclusion import conclude
from pasam.validation.drift import accepted_text, read_accepted
from pasam.validation.duplicates import images_of
from pasam.validation.expectations import ITEMS, KEYS, Outcome, judge, make_tables, suite
from pasam.validation.verdict import require_passed, write_verdict

EVERY = (*KINDS, *TABLE_KINDS)
each_kind = pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.name)
COUNTED = "fewer_than_published"
DRIFTING = {kind.name for kind in KINDS if kind.expectation.endswith("_has_not_drifted")}


@dataclasses.dataclass(frozen=True)
class Judged:
    """What came of one project that holds a small set per kind."""

    inventory: pd.DataFrame
    outcomes: tuple[Outcome, ...]

    def of(self, name: str) -> tuple[Outcome, ...]:
        """The outcomes as if the set of that name were all there is."""

        def belongs(outcome, row):
            return any(name in Path(str(row[key])).parts for key in KEYS[outcome.table]) or any(
                f"{name}_too" == row.get(key) for key in KEYS[outcome.table]
            )

        return tuple(
            dataclasses.replace(
                outcome, offenders=tuple(row for row in outcome.offenders if belongs(outcome, row))
            )
            for outcome in self.outcomes
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
    assert [outcome.name for outcome in both[0].outcomes if not outcome.held] == []


@each_kind
def test_a_kind_breaks_the_expectation_meant_for_it_and_no_other(kind, both):
    broken = {outcome.name for outcome in both[1].of(kind.name) if not outcome.held}
    assert broken == {kind.expectation, *kind.also}


@each_kind
def test_training_starts_only_where_a_failure_is_no_error(kind, both, tmp_path, validate_params):
    (tmp_path / "manifest").touch()
    outcomes = both[1].of(kind.name)
    verdict = conclude(both[1].inventory, outcomes, file_sha256(tmp_path / "manifest"))
    write_verdict(tmp_path / "verdict", verdict)
    if kind.expectation in validate_params.warnings:
        assert kind.expectation in verdict.warnings
        require_passed(tmp_path / "verdict", tmp_path / "manifest")
    else:
        with pytest.raises(DataError, match="is not fit"):
            require_passed(tmp_path / "verdict", tmp_path / "manifest")


def test_what_is_measured_wrong_is_listed_by_row(both):
    by_name = {outcome.name: outcome for outcome in both[1].outcomes}
    (tiny,) = both[1].of("tiny_mask")[list(by_name).index("areas_are_in_range")].offenders
    assert Path(tiny["mask"]).parts[-3:] == ("tiny_mask", "gt", "train0.png")
    assert tiny["area"] == pytest.approx(2 / (48 * 64))


def test_a_limit_of_unfit_items_lets_a_few_pass(validate_params):
    few = next(one for one in suite(validate_params) if one.name == "few_items_are_unfit")
    assert few.check.max_value == 0
    loose = validate_params.replaced(unreviewed_fraction=0.1)
    few = next(one for one in suite(loose) if one.name == "few_items_are_unfit")
    assert few.check.max_value == 0.1


def test_severities_are_those_of_the_params(validate_params):
    levels = {one.name: one.level for one in suite(validate_params)}
    assert {name for name, level in levels.items() if level == "warning"} == set(
        validate_params.warnings
    )
    assert {name for name, level in levels.items() if level == "item"} == set(ITEMS)
    strict = {one.name: one.level for one in suite(validate_params.replaced(warnings=()))}
    assert strict["areas_are_in_range"] == "error"


@pytest.mark.parametrize("name", ["areas_in_range", "images_decode"])
def test_a_name_that_cannot_be_a_warning_is_refused(name, validate_params):
    with pytest.raises(ParamsError, match=rf"validate.warnings names \['{name}'\]"):
        suite(validate_params.replaced(warnings=(name,)))
