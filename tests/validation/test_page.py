"""The page stands alone, shows what was found, and repeats byte for byte."""

import dataclasses
import re
from html.parser import HTMLParser

import pytest

from pasam.validation import page as module
from pasam.validation.conclusion import collect, conclude
from pasam.validation.expectations import Outcome
from pasam.validation.page import write_page


@pytest.fixture(scope="module")
def parts(mixed, outcomes):
    verdict = conclude(mixed.inventory, outcomes, "abc")
    return verdict, collect(mixed.inventory, mixed.tables, outcomes), mixed.tables, outcomes


@pytest.fixture(scope="module")
def text(parts, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "index.html"
    write_page(path, *parts)
    return path.read_text()


def test_the_page_repeats_byte_for_byte(parts, text, tmp_path):
    write_page(tmp_path / "again.html", *parts)
    assert (tmp_path / "again.html").read_text() == text


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


def test_the_verdict_and_every_expectation_are_told(text, outcomes):
    assert "No: training does not start." in text
    assert "in the manifest. Unfit and left out: 2. In quarantine and left out: 1. Failed: " in text
    for outcome in outcomes:
        assert f">{outcome.name}</code>" in text
    held = sum(outcome.held for outcome in outcomes)
    assert f"{held} of {len(outcomes)} hold" in text


def test_what_was_left_out_is_shown_with_its_reason_and_harmless(text):
    assert "wrong &lt;object&gt;" in text
    assert "<object>" not in text
    assert "black_mask/gt/train0.png is all black" in text
    assert re.search(r"image without mask</b> <code>[^<]*lost_mask/im/train0.png</code>", text)


def test_doubles_stand_side_by_side_with_leaks_first(text):
    section = text.partition('id="doubles"')[2].partition("<h2")[0]
    captions = re.findall(r"<b>(.*?)</b>", section)
    assert captions[0].startswith("training and benchmark: ")
    assert captions[1] == "the same bytes"
    assert section.count("<img") == 4


def test_a_tiny_mask_is_shown(text):
    section = text.partition("<h3><code>areas_are_in_range")[2].partition("<h3>")[0]
    assert "covers 0.065%" in section
    assert "tiny_mask/gt/train0.png" in section
    assert section.count("<img") == 1


def test_beside_a_copied_mask_stands_its_first_picture(parts, mixed, tmp_path):
    verdict, findings, tables, outcomes = parts
    row = mixed.tables.by_name["pairs"].iloc[-1].to_dict()
    first = mixed.inventory.dropna(subset=["mask"]).iloc[0]["mask"]
    copied = Outcome(
        name="masks_are_unique", table="pairs", level="warning", says="No copies", checked=9,
        column="mask_copy_of", offenders=({**row, "mask_copy_of": first},),
    )  # fmt: skip
    write_page(tmp_path / "a.html", verdict, findings, tables, (copied,))
    section = (tmp_path / "a.html").read_text().partition("<code>masks_are_unique")[2]
    assert section.count("<img") == 2
    assert f"mask copy of {first}" in section


def test_every_picture_says_what_it_is(text):
    assert all(re.search(r'alt="[^"]+"', image) for image in re.findall(r"<img[^>]*>", text))


def test_beyond_the_number_shown_the_rest_is_counted(parts, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SHOWN", 1)
    write_page(tmp_path / "a.html", *parts)
    text = (tmp_path / "a.html").read_text()
    assert "And 2 more in <code>findings.json</code>" in text
    assert "And 1 more in <code>findings.json</code>" in text


def test_drift_is_told_with_its_distance(parts, mixed, tmp_path):
    verdict, findings, tables, outcomes = parts
    assert "Look at this page, then run <code>pasam data accept</code>" in _drift(parts, tmp_path)
    row = {"split": "train", "dataset": "cats", "quantity": "area", "distance": 0.4, "p": 1e-9}
    moved = {**findings, "drift": [{**row, "drifted": True}, {**row, "drifted": False}]}
    assert "1 of 2 distributions have moved" in _drift((verdict, moved, tables, outcomes), tmp_path)
    still = {**findings, "drift": [{**row, "drifted": False}]}
    assert "None of 1 distributions has moved" in _drift(
        (verdict, still, tables, outcomes), tmp_path
    )


def test_sound_data_gets_a_yes(parts, tmp_path):
    verdict, findings, tables, outcomes = parts
    sound = dataclasses.replace(verdict, passed=True, errors=(), warnings=(), unfit=0)
    write_page(tmp_path / "a.html", sound, findings, tables, outcomes)
    assert "<strong>Yes.</strong>" in (tmp_path / "a.html").read_text()
    remarks = dataclasses.replace(sound, warnings=("images_are_unique",))
    write_page(tmp_path / "a.html", remarks, findings, tables, outcomes)
    assert "<strong>Yes, with remarks.</strong>" in (tmp_path / "a.html").read_text()


def _drift(parts, tmp_path):
    write_page(tmp_path / "a.html", *parts)
    return (tmp_path / "a.html").read_text().partition('id="drift"')[2]
