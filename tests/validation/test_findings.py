"""The findings are plain data, complete in number and the same bytes for the same data."""

import base64
import dataclasses
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pasam.data.manifest import INVENTORY_COLUMNS, Fault, invalid_row, inventory_frame
from pasam.errors import DataError
from pasam.files import file_sha256, write_json
from pasam.masks.images import write_png
from pasam.validation import findings as module
from pasam.validation import findings as page_module
from pasam.validation.expectations import ExpectationResult
from pasam.validation.findings import (
    SIDE,
    collect,
    failure_message,
    image_thumbnail,
    mask_thumbnail,
    outlined_thumbnail,
    summarize,
    write_page,
)
from pasam.validation.verdict import Verdict, read_verdict, require_passed, write_verdict


@pytest.fixture(scope="module")
def found(mixed, results):
    return collect(mixed.inventory, mixed.tables, results)


def test_the_file_is_strict_json_and_repeats(found, mixed, results, tmp_path):
    write_json(tmp_path / "a", found, allow_nan=False)
    write_json(tmp_path / "b", collect(mixed.inventory, mixed.tables, results))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert json.loads((tmp_path / "a").read_text(), parse_constant=pytest.fail) == found


def test_every_expectation_is_there_with_its_offenders(found, results):
    assert [one["name"] for one in found["expectations"]] == [one.name for one in results]
    tiny = next(one for one in found["expectations"] if one["name"] == "areas_are_in_range")
    assert (tiny["passed"], tiny["offenders"]) == (False, 1)
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


def test_long_lists_are_cut_and_still_counted(mixed, results, monkeypatch):
    monkeypatch.setattr(module, "MOST", 1)
    found = collect(mixed.inventory, mixed.tables, results)
    assert (len(found["duplicates"]), found["duplicates_count"]) == (1, 2)
    last = dataclasses.replace(mixed.tables, duplicates=mixed.tables.duplicates[::-1])
    for tables in (mixed.tables, last):  # the leak is listed, wherever it stands
        (listed,) = collect(mixed.inventory, tables, results)["duplicates"]
        assert listed["first_split"] != listed["second_split"]
    for one, result in zip(found["expectations"], results, strict=True):
        assert (len(one["listed"]) <= 1, one["offenders"]) == (True, len(result.offenders))
    assert max(one["offenders"] for one in found["expectations"]) > 1


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


def result(name: str, level: str, **offender: object) -> ExpectationResult:
    return ExpectationResult(
        name=name, table="sets", level=level, description="Every set is large",
        column="valid", checked=3,
        offenders=({"split": "train", "dataset": "cats", **offender},) if offender else (),
    )  # fmt: skip


def test_a_failed_error_stops_and_all_is_counted(inventory):
    results = (result("few", "error", valid=0), result("w", "warning", valid=1))
    verdict = summarize(inventory, results, "abc")
    assert (verdict.passed, verdict.errors, verdict.warnings) == (False, ("few",), ("w",))
    assert (verdict.masks, verdict.invalid, verdict.quarantined) == (2, 1, 1)
    assert verdict.manifest_sha256 == "abc"
    assert summarize(inventory, results[1:], "abc").passed


def test_a_failed_expectation_of_items_stops_nothing_by_itself(inventory):
    verdict = summarize(inventory, (result("masks_are_not_empty", "item", valid=0),), "abc")
    assert verdict.passed
    assert verdict.warnings == ()


def test_a_refusal_names_the_set_and_the_value(inventory):
    said = failure_message(inventory, [result("sets_are_large", "error", valid=0.25)], "page.html")
    assert said.splitlines() == [
        "The data is not fit for use: sets_are_large failed. Look at page.html.",
        "- sets_are_large: Every set is large, but: train/cats (valid: 0.25)",
        "- Limits stand in params.yaml under `validate`; a name that is added to "
        "validate.warnings is reported without a stop.",
    ]


def test_a_refusal_lists_unfit_files_once_each_and_says_how_to_leave_them_out():
    same = [row("undecodable_image", index, "image a.jpg cannot be decoded") for index in range(3)]
    others = [row("empty_mask", 10 + index, f"mask {index} is empty") for index in range(12)]
    lines = failure_message(
        inventory_frame([*same, *others]), [result("few_items_are_invalid", "error", valid=1)], "p"
    ).splitlines()
    assert lines[1] == "- image a.jpg cannot be decoded"
    assert len([line for line in lines if "is empty" in line]) == 9
    assert lines[-2] == "- and 3 more invalid items"
    assert "pasam data quarantine" in lines[-1]


def test_a_refusal_is_silent_about_files_that_are_in_quarantine_already():
    before = [row("quarantined", index, f"mask {index} is blurred") for index in range(11)]
    new = [row("empty_mask", 20 + index, f"mask {20 + index} is empty") for index in range(2)]
    lines = failure_message(
        inventory_frame([row(None, 30), *before, *new]),
        [result("few_items_are_invalid", "error", valid=1)], "p",
    ).splitlines()  # fmt: skip
    assert lines[1:-1] == ["- mask 20 is empty", "- mask 21 is empty"]
    assert lines[-1].startswith("- Repair these files")


@pytest.mark.parametrize(
    ("table", "shown"),
    [("sets", "train/cats"), ("drift", "train/cats"), ("pairs", "m{}.png"), ("images", "i{}.png"),
     ("quarantine", "f{}.png")],
)  # fmt: skip
@pytest.mark.parametrize("count", [10, 11])
def test_a_refusal_names_ten_rows_by_what_tells_them_apart_and_counts_the_rest(table, shown, count):
    rows = tuple(
        {"split": "train", "dataset": "cats", "image": f"i{n}.png", "mask": f"m{n}.png",
         "file": f"f{n}.png", "long_side": 0.123456 if n else n}
        for n in range(count)
    )  # fmt: skip
    failed = dataclasses.replace(
        result("odd", "error"), table=table, column="long_side", offenders=rows
    )
    line = failure_message(inventory_frame([row(None, 0)]), [failed], "p").splitlines()[1]
    places = [shown.format(n) for n in range(10)]
    told = [f"{place} (long side: {0.1235 if n else 0})" for n, place in enumerate(places)]
    more = "; and 1 more" if count == 11 else ""
    assert line == f"- odd: Every set is large, but: {'; '.join(told)}{more}"


def test_a_refusal_speaks_of_limits_unless_invalid_items_are_all_there_is():
    items, other = (result(name, "error", valid=1) for name in ("few_items_are_invalid", "b"))
    warned = result("c", "warning", valid=1)
    for results, limits in (([items, warned], False), ([items, other], True), ([other], True)):
        said = failure_message(inventory_frame([row("empty_mask", 0)]), results, "p")
        assert ("Limits stand in params.yaml" in said) is limits
        assert ("repair it" in said) is (items in results)
        assert "c:" not in said


def test_values_of_tables_become_jsons_own():
    given = {
        "whole": np.int32(3), "round": np.float64(2.0), "long": 1 / 3, "none": np.nan, 7: np.True_,
        "text": "a", "gap": None, "half": 0.5, "tiny": 1.25e-9,
    }  # fmt: skip
    found = page_module._plain(given)
    assert found == {
        "whole": 3, "round": 2, "long": 0.333333, "none": None, "7": True, "text": "a", "gap": None,
        "half": 0.5, "tiny": 1.25e-9,
    }  # fmt: skip
    assert [type(found[key]) for key in ("whole", "round", "7")] == [int, int, bool]


def test_a_distribution_is_drawn_from_end_to_end_with_its_median():
    spread = page_module._spread("w", pd.Series([0.0, 0.0, 0.0, 1500.0, np.nan, 30.0]))
    assert spread["heights"] == [1.0, *[0.0] * 14, 0.25]
    assert (spread["ends"], spread["median"], spread["words"]) == (["0", "1500"], "0", "w")


def test_the_worst_are_shown_first_and_equals_in_order(monkeypatch):
    monkeypatch.setattr(page_module, "SHOWN", 3)
    monkeypatch.setattr(page_module, "image_thumbnail", lambda path: f"of {path}")
    monkeypatch.setattr(page_module, "outlined_thumbnail", lambda image, mask: f"{image} {mask}")
    rows = [("d", 0.5), ("c", 0.1), ("b", 0.5), ("a", 0.9)]
    offenders = tuple({"image": name, "mask": f"{name}.m", "area": value} for name, value in rows)
    seen = {
        table: page_module._seen(
            dataclasses.replace(result("x", "error"), table=table, column="area",
                                offenders=offenders), {}
        )["cards"]
        for table in ("images", "pairs")
    }  # fmt: skip
    assert [(card["file"], card["src"]) for card in seen["images"]] == [
        ("c", "of c"), ("b", "of b"), ("d", "of d")
    ]  # fmt: skip
    assert [(card["file"], card["src"]) for card in seen["pairs"]][0] == ("c.m", "c c.m")
    assert seen["images"][0]["value"] == "covers 10.000%"


def test_samples_of_a_set_reach_from_its_first_to_its_last_mask(monkeypatch):
    monkeypatch.setattr(page_module, "outlined_thumbnail", lambda image, mask: mask)
    frame = pd.DataFrame(
        {"split": "train", "dataset": "cats", "id": f"cats/{n:02}", "image": f"{n // 2}.png",
         "mask": f"{n:02}", "area": n / 100, "width": 10 * (n // 2), "height": 5, "brightness": 7.0}
        for n in reversed(range(19))
    )  # fmt: skip
    (shown,) = page_module._samples(frame)  # at 0, 4.5, 9, 13.5 and 18
    assert [card["src"] for card in shown["cards"]] == ["00", "04", "09", "14", "18"]
    assert [spread["median"] for spread in shown["spreads"]] == ["9", "45", "5", "7"]
    assert len(page_module._samples(frame[:2])[0]["cards"]) == 2, "each mask once"


@pytest.fixture(scope="module")
def parts(mixed, results):
    verdict = summarize(mixed.inventory, results, "abc")
    return verdict, collect(mixed.inventory, mixed.tables, results), mixed.tables, results


@pytest.fixture(scope="module")
def text(parts, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "index.html"
    write_page(path, *parts)
    return path.read_text()


def test_the_page_repeats_byte_for_byte(parts, text, tmp_path):
    write_page(tmp_path / "again.html", *parts)
    assert (tmp_path / "again.html").read_text() == text


def test_the_page_says_of_which_manifest_it_is_and_how_git_finds_the_date(parts, tmp_path):
    write_page(tmp_path / "a.html", *parts, manifest_md5="5" * 32)
    page = (tmp_path / "a.html").read_text()
    assert parts[0].manifest_sha256 in page
    assert f"git log -S {'5' * 32} -- dvc.lock" in page


def test_the_page_asks_nothing_of_the_network(text):
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", text)
    assert "<script" not in text
    assert "url(" not in text


def test_the_page_is_well_formed(text):
    open_tags = []

    class Checker(HTMLParser):
        def handle_starttag(self, tag, attributes):
            if tag not in {"meta", "img", "br"}:
                open_tags.append(tag)

        def handle_endtag(self, tag):
            assert open_tags.pop() == tag

    Checker().feed(text)
    assert open_tags == []


def test_the_verdict_and_every_expectation_are_told(text, results):
    assert "No: training does not start." in text
    assert (
        "in the manifest. Invalid and left out: 2. In quarantine and left out: 1. Failed: " in text
    )
    for result in results:
        assert f">{result.name}</code>" in text
    held = sum(result.passed for result in results)
    assert f"{held} of {len(results)} hold" in text


def test_what_was_left_out_is_shown_with_its_reason_and_harmless(text):
    assert "wrong &lt;object&gt;" in text
    assert "<object>" not in text
    assert "black_mask/gt/train0.png is all black" in text
    assert re.search(r"image without mask</b> <code>[^<]*lost_mask/im/train0.png</code>", text)


def test_doubles_stand_side_by_side_with_leaks_first(text):
    section = text.partition('id="duplicates"')[2].partition("<h2")[0]
    captions = re.findall(r"<b>(.*?)</b>", section)
    assert captions[0].startswith("training and benchmark: ")
    assert captions[1] == "the same bytes"
    assert section.count("<img") == 4


def test_all_doubles_are_counted_where_the_file_lists_some(mixed, results, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "MOST", 1)
    collected = collect(mixed.inventory, mixed.tables, results)
    verdict = summarize(mixed.inventory, results, "abc")
    write_page(tmp_path / "a.html", verdict, collected, mixed.tables, results)
    page = (tmp_path / "a.html").read_text()
    assert "<p>2 pairs of files show the same thing" in page
    assert "And 1 more in <code>findings.json</code>" in page


def test_of_doubles_leaks_are_shown_first_then_equal_files_then_the_most_alike():
    def double(split, same_bytes, bits):
        return {
            "first_split": "train", "second_split": split, "same_bytes": same_bytes, "bits": bits,
        }  # fmt: skip

    ranked = [
        double("val", True, 0), double("val", False, 1), double("train", True, 0),
        double("train", False, 0), *(double("train", False, 3) for _ in range(page_module.SHOWN)),
    ]  # fmt: skip
    shown = page_module._sharpest(ranked[::-1], page_module.SHOWN)
    assert shown == ranked[: page_module.SHOWN]


def test_only_what_failed_and_is_no_single_item_nor_a_duplicate_is_to_be_looked_at(text, results):
    section = text.partition('id="seen"')[2].partition('id="samples"')[0]
    seen = re.findall("<h3><code>(.*?)</code>", section)
    about = page_module._ABOUT_DUPLICATES
    assert seen == [
        one.name for one in results
        if one.offenders and one.table in ("pairs", "images") and one.level != "item"
        and one.name not in about
    ]  # fmt: skip
    assert seen


def test_a_tiny_mask_is_shown(text):
    section = text.partition("<h3><code>areas_are_in_range")[2]
    section = section.partition("<h3>")[0].partition('id="samples"')[0]
    assert "covers 0.065%" in section
    assert "tiny_mask/gt/train0.png" in section
    assert section.count("<img") == 1


def test_beside_a_copied_mask_stands_its_first_picture(parts, mixed, tmp_path):
    verdict, findings, tables, results = parts
    row = mixed.tables.by_name["pairs"].iloc[-1].to_dict()
    first = mixed.inventory.dropna(subset=["mask"]).iloc[0]["mask"]
    copied = ExpectationResult(
        name="masks_are_unique", table="pairs", level="warning", description="No copies", checked=9,
        column="mask_copy_of", offenders=({**row, "mask_copy_of": first},),
    )  # fmt: skip
    write_page(tmp_path / "a.html", verdict, findings, tables, (copied,))
    section = (tmp_path / "a.html").read_text().partition("<code>masks_are_unique")[2]
    section = section.partition('id="samples"')[0]
    assert section.count("<img") == 2
    assert f"mask copy of {first}" in section


def test_every_picture_says_what_it_is(text):
    assert all(re.search(r'alt="[^"]+"', image) for image in re.findall(r"<img[^>]*>", text))


def test_beyond_the_number_shown_the_rest_is_counted(parts, tmp_path, monkeypatch):
    monkeypatch.setattr(page_module, "SHOWN", 1)
    write_page(tmp_path / "a.html", *parts)
    text = (tmp_path / "a.html").read_text()
    assert "And 2 more in <code>findings.json</code>" in text
    assert "And 1 more in <code>findings.json</code>" in text


def test_drift_is_told_with_its_distance(parts, mixed, tmp_path):
    verdict, findings, tables, results = parts
    assert "Look at this page, then run <code>pasam data accept</code>" in _drift(parts, tmp_path)
    row = {"split": "train", "dataset": "cats", "quantity": "area", "distance": 0.4, "p": 1e-9}
    moved = {**findings, "drift": [{**row, "drifted": True}, {**row, "drifted": False}]}
    assert "1 of 2 distributions have moved" in _drift((verdict, moved, tables, results), tmp_path)
    still = {**findings, "drift": [{**row, "drifted": False}]}
    assert "None of 1 distributions has moved" in _drift(
        (verdict, still, tables, results), tmp_path
    )


def test_sound_data_gets_a_yes(parts, tmp_path):
    verdict, findings, tables, results = parts
    sound = dataclasses.replace(verdict, passed=True, errors=(), warnings=(), invalid=0)
    write_page(tmp_path / "a.html", sound, findings, tables, results)
    assert "<strong>Yes.</strong>" in (tmp_path / "a.html").read_text()
    remarks = dataclasses.replace(sound, warnings=("images_are_unique",))
    write_page(tmp_path / "a.html", remarks, findings, tables, results)
    assert "<strong>Yes, with remarks.</strong>" in (tmp_path / "a.html").read_text()


def test_sound_data_is_shown_too_with_its_distributions(parts, mixed, text):
    valid = mixed.inventory[mixed.inventory["fault"].isna()]
    shown = text.partition('id="samples"')[2].partition('id="drift"')[0]
    for name in sorted(set(valid["dataset"])):
        assert f"<b>{name}</b>" in shown
    sets = valid.groupby(["split", "dataset"]).ngroups
    assert shown.count("area of the mask, per cent of the image: ") == sets
    assert shown.count("data:image/jpeg;base64,") >= sets


def test_every_wide_table_can_be_scrolled_by_keys_and_all_is_in_the_main_part(text):
    assert text.count('class="scroll" tabindex="0"') == text.count('class="scroll"') >= 2
    assert text.index("<main>") < text.index("<h1>")
    assert text.index("</main>") > text.rindex("</table>")


def _drift(parts, tmp_path):
    write_page(tmp_path / "a.html", *parts)
    return (tmp_path / "a.html").read_text().partition('id="drift"')[2]


def pixels(uri: str) -> np.ndarray:
    head, _, content = uri.partition(",")
    assert head == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content)))).astype(int)


@pytest.fixture
def grey(tmp_path):
    write_png(tmp_path / "im.png", np.full((400, 600, 3), 90, np.uint8))
    return str(tmp_path / "im.png")


@pytest.fixture
def dot(tmp_path):
    label = np.zeros((400, 600), np.uint8)
    label[200:204, 300:304] = 255
    write_png(tmp_path / "gt.png", label)
    return str(tmp_path / "gt.png")


def test_a_picture_keeps_its_shape(grey):
    assert pixels(image_thumbnail(grey)).shape == (SIDE * 2 // 3, SIDE, 3)


def test_a_tiny_picture_is_enlarged(tmp_path):
    write_png(tmp_path / "im.png", np.full((3, 6, 3), 90, np.uint8))
    assert pixels(image_thumbnail(str(tmp_path / "im.png"))).shape == (SIDE // 2, SIDE, 3)


def test_what_cannot_be_read_has_no_picture(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    assert image_thumbnail(None) is None
    assert image_thumbnail(str(tmp_path / "a.png")) is None
    assert mask_thumbnail(str(tmp_path / "b.png")) is None
    assert outlined_thumbnail(str(tmp_path / "a.png"), str(tmp_path / "a.png")) is None


def test_a_label_map_can_be_seen(tmp_path):
    Image.fromarray(np.kron([[0, 3]], np.ones((9, 9))).astype(np.uint8)).save(tmp_path / "m.png")
    assert pixels(mask_thumbnail(str(tmp_path / "m.png"))).max() > 240


def test_a_small_mask_is_boxed_and_the_rest_stays(grey, dot):
    changed = (
        np.abs(pixels(outlined_thumbnail(grey, dot)) - pixels(image_thumbnail(grey))).max(axis=2)
        > 60
    )
    rows, columns = np.nonzero(changed)
    assert abs(rows.mean() - SIDE / 3) < 3
    assert abs(columns.mean() - SIDE / 2) < 3
    assert 10 < np.ptp(rows) < 20
    assert not changed[:30].any()


def test_a_mask_that_can_be_seen_has_its_outline_and_no_box(grey, tmp_path):
    label = np.zeros((400, 600), np.uint8)
    label[100:300, 200:400] = 255
    write_png(tmp_path / "large.png", label)
    shown = pixels(outlined_thumbnail(grey, str(tmp_path / "large.png")))
    changed = np.abs(shown - pixels(image_thumbnail(grey))).max(axis=2) > 60
    rows, columns = np.nonzero(changed)
    assert rows.min() == pytest.approx(SIDE / 6, abs=2)
    assert columns.max() == pytest.approx(SIDE * 2 / 3, abs=2)
    assert not changed[38:74, 66:102].any()


def test_an_unfit_mask_leaves_the_image_bare(grey, tmp_path):
    (tmp_path / "m.png").write_bytes(b"")
    assert outlined_thumbnail(grey, str(tmp_path / "m.png")) == image_thumbnail(grey)


def test_the_same_files_give_the_same_text(grey, dot):
    assert outlined_thumbnail(grey, dot) == outlined_thumbnail(grey, dot)
    assert Path(grey).exists()


@pytest.fixture
def manifest(tmp_path):
    (tmp_path / "manifest").write_text("rows")
    return tmp_path / "manifest"


@pytest.fixture
def passed(manifest):
    return Verdict(
        passed=True, errors=(), warnings=("images_are_unique",), masks=3, invalid=1, quarantined=2,
        manifest_sha256=file_sha256(manifest),
    )  # fmt: skip


def test_what_is_written_is_read(tmp_path, passed):
    write_verdict(tmp_path / "v", passed)
    assert read_verdict(tmp_path / "v") == passed


def test_warnings_do_not_stop_training(tmp_path, manifest, passed):
    write_verdict(tmp_path / "v", passed)
    require_passed(tmp_path / "v", manifest)


def test_an_error_stops_training_by_name(tmp_path, manifest, passed):
    failed = dataclasses.replace(passed, passed=False, errors=("images_decode", "sizes_agree"))
    write_verdict(tmp_path / "v", failed)
    with pytest.raises(DataError, match="not fit: images_decode, sizes_agree failed"):
        require_passed(tmp_path / "v", manifest)


def test_a_verdict_on_another_manifest_is_none(tmp_path, manifest, passed):
    write_verdict(tmp_path / "v", passed)
    manifest.write_text("other rows")
    with pytest.raises(DataError, match=r"v is about another .*manifest than the present one"):
        require_passed(tmp_path / "v", manifest)


def test_a_verdict_on_a_manifest_that_is_gone_is_none(tmp_path, manifest, passed):
    write_verdict(tmp_path / "v", passed)
    manifest.unlink()
    with pytest.raises(DataError, match=r"manifest does not exist\. Run `dvc repro prepare`"):
        require_passed(tmp_path / "v", manifest)


def test_without_a_verdict_nothing_starts(tmp_path, manifest):
    with pytest.raises(DataError, match=r"v does not exist: the data was not validated"):
        require_passed(tmp_path / "v", manifest)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"passed": true}'])
def test_another_file_is_no_verdict(tmp_path, text):
    (tmp_path / "v").write_text(text)
    with pytest.raises(DataError, match="v is not a verdict"):
        read_verdict(tmp_path / "v")


def test_the_ends_of_a_spread_are_whole_numbers_from_a_thousand_on():
    ends = [
        page_module._spread("pixels", pd.Series([low, high]))["ends"]
        for low, high in ((0.5, 1000), (999.4, 1234.5))
    ]
    assert ends == [["0.5", "1000"], ["999", "1234"]]
