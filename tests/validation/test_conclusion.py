"""The verdict counts what was left out, and a refusal names files and what to do."""

from pathlib import Path

import pytest

from pasam.data.manifest import INVENTORY_COLUMNS, Fault, invalid_row, inventory_frame
from pasam.validation.conclusion import conclude, refusal
from pasam.validation.expectations import Outcome


def row(kind: str | None, index: int, message: str = "repair it") -> dict:
    fault = Fault(
        kind=kind or "", split="train", dataset="cats", image=Path("a.jpg"),
        mask=Path(f"{index:02}.png"), message=message,
    )  # fmt: skip
    return invalid_row(fault) | ({} if kind else dict.fromkeys(["fault", "message"]))


@pytest.fixture
def inventory():
    rows = [row(None, 0), row(None, 1), row("empty_mask", 2), row("quarantined", 3)]
    assert set(rows[0]) == set(INVENTORY_COLUMNS)
    return inventory_frame(rows)


def outcome(name: str, level: str, **offender: object) -> Outcome:
    return Outcome(
        name=name, table="sets", level=level, says="Every set is large", column="fit", checked=3,
        offenders=({"split": "train", "dataset": "cats", **offender},) if offender else (),
    )  # fmt: skip


def test_a_failed_error_stops_and_all_is_counted(inventory):
    outcomes = (outcome("few", "error", fit=0), outcome("w", "warning", fit=1))
    verdict = conclude(inventory, outcomes, "abc")
    assert (verdict.passed, verdict.errors, verdict.warnings) == (False, ("few",), ("w",))
    assert (verdict.masks, verdict.unfit, verdict.quarantined) == (2, 1, 1)
    assert verdict.manifest_sha256 == "abc"
    assert conclude(inventory, outcomes[1:], "abc").passed


def test_a_failed_expectation_of_items_stops_nothing_by_itself(inventory):
    verdict = conclude(inventory, (outcome("masks_are_not_empty", "item", fit=0),), "abc")
    assert verdict.passed
    assert verdict.warnings == ()


def test_a_refusal_names_the_set_and_the_value(inventory):
    said = refusal(inventory, [outcome("sets_are_large", "error", fit=0.25)], "page.html")
    assert said.splitlines() == [
        "The data is not fit for use: sets_are_large failed. Look at page.html.",
        "- sets_are_large: Every set is large, but: train/cats (fit: 0.25)",
        "- Limits stand in params.yaml under `validate`; a name that is added to "
        "validate.warnings is reported without a stop.",
    ]


def test_a_refusal_lists_unfit_files_once_each_and_says_how_to_leave_them_out():
    same = [row("undecodable_image", index, "image a.jpg cannot be decoded") for index in range(3)]
    others = [row("empty_mask", 10 + index, f"mask {index} is empty") for index in range(12)]
    lines = refusal(
        inventory_frame([*same, *others]), [outcome("few_items_are_unfit", "error", fit=1)], "p"
    ).splitlines()
    assert lines[1] == "- image a.jpg cannot be decoded"
    assert len([line for line in lines if "is empty" in line]) == 9
    assert lines[-2] == "- and 3 more unfit items"
    assert "pasam data quarantine" in lines[-1]
