"""The findings are plain data, complete in number and the same bytes for the same data."""

import json

import pytest

from pasam.validation import conclusion as module
from pasam.validation.conclusion import collect, write_findings


@pytest.fixture(scope="module")
def found(mixed, outcomes):
    return collect(mixed.inventory, mixed.tables, outcomes)


def test_the_file_is_strict_json_and_repeats(found, mixed, outcomes, tmp_path):
    write_findings(tmp_path / "a", found)
    write_findings(tmp_path / "b", collect(mixed.inventory, mixed.tables, outcomes))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert json.loads((tmp_path / "a").read_text(), parse_constant=pytest.fail) == found


def test_every_expectation_is_there_with_its_offenders(found, outcomes):
    assert [one["name"] for one in found["expectations"]] == [one.name for one in outcomes]
    tiny = next(one for one in found["expectations"] if one["name"] == "areas_are_in_range")
    assert (tiny["held"], tiny["offenders"]) == (False, 1)
    assert tiny["listed"][0]["area"] == pytest.approx(2 / (48 * 64), rel=1e-4)
    assert tiny["listed"][0]["mask"].endswith("tiny_mask/gt/train0.png")


def test_what_is_left_out_has_its_reason(found):
    reasons = {row["fault"]: row["message"] for row in found["left_out"]}
    assert sorted(reasons) == ["empty_mask", "image_without_mask", "quarantined"]
    assert reasons["quarantined"] == "wrong <object>"
    assert [row["mask"] for row in found["left_out"] if row["fault"] == "image_without_mask"] == [
        None
    ]


def test_sets_say_how_many_masks_an_image_has(found):
    row = next(row for row in found["sets"] if row["dataset"] == "tiny_mask")
    assert row["most_masks_per_image"] == 1
    assert row["expected_images"] is None


def test_long_lists_are_cut_and_still_counted(mixed, outcomes, monkeypatch):
    monkeypatch.setattr(module, "MOST", 1)
    found = collect(mixed.inventory, mixed.tables, outcomes)
    assert (len(found["doubles"]), found["doubles_count"]) == (1, 2)
    assert all(len(one["listed"]) <= 1 for one in found["expectations"])
