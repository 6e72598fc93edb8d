"""The page in a real browser, as people use it."""

from __future__ import annotations

import base64
import io
import json
import time
from pathlib import Path

import numpy as np
import pytest
from inference_models import objects
from page_visitor import CHROMIUM, Visitor, running
from PIL import Image
from serving_world import Shelf, encoded_picture

from pasam.inference.automatic_masks import AutomaticMaskOptions
from pasam.masks.run_lengths import decode
from pasam.serving.service import Settings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path(CHROMIUM).is_file(), reason="there is no Chromium here"),
]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """What the service offers."""
    return Shelf(tmp_path_factory.mktemp("shelf"), "pa_sam", "hq_sam", "sam")


@pytest.fixture(scope="module")
def address(shelf):
    """Where the service runs."""
    with running(shelf.offered(), Settings(look_every=0.1)) as found:
        yield found


def test_an_image_is_opened_prompted_and_its_mask_saved_as_the_service_gave_it(visitor, tmp_path):
    page, path = visitor.page, tmp_path / "four_things.png"
    path.write_bytes(encoded_picture(objects(120, 160)))
    page.set_input_files("#file", path)
    page.locator("#hint", has_text="Click the object").wait_for()
    assert page.is_disabled("#get-png")
    page.mouse.click(*visitor.at(0.35, 0.35))
    visitor.settle("PA-SAM")
    clicked = visitor.facts()
    page.mouse.click(*visitor.at(0.6, 0.7), button="right")
    visitor.settle("PA-SAM")
    x, y = visitor.at(0.3, 0.25)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(*visitor.at(0.5, 0.6), steps=5)
    page.mouse.up()
    visitor.settle("PA-SAM")
    answer = visitor.answer("pa_sam")
    assert visitor.save("#get-png") == base64.b64decode(answer["masks"][0]["png"])
    (record,) = json.loads(visitor.save("#get-rle"))
    assert record["area"] == answer["masks"][0]["area"]
    assert decode(record["segmentation"]).shape == (120, 160)
    coco = json.loads(visitor.save("#get-coco"))
    assert coco["images"][0]["file_name"] == "four_things.png"
    assert coco["annotations"][0]["segmentation"] == record["segmentation"]
    page.click("#undo")
    page.keyboard.press("Control+z")
    visitor.settle("PA-SAM")
    first = visitor.facts().splitlines()
    assert [line for line in first if "px" in line] == [
        line for line in clicked.splitlines() if "px" in line
    ]
    page.click("#redo")
    page.click("#clear")
    page.locator("#hint", has_text="Click the object").wait_for()


def test_models_are_switched_and_compared_and_their_maps_shown(visitor):
    page = visitor.page
    assert page.inner_text("#tag-left") == "SAM"
    assert page.inner_text("#tag-right") == "PA-SAM"
    assert page.is_hidden("#note")  # they have seen photographs
    page.check("#show-unsure")
    page.check("#show-mined")
    visitor.settle("PA-SAM")
    assert visitor.answer("pa_sam")["masks"][0]["details"]["uncertainty"]
    before = page.locator("#image").screenshot()
    page.fill("#split", "80")
    page.wait_for_timeout(200)
    assert page.locator("#image").screenshot() != before
    page.check("#models input[value=hq_sam]")
    visitor.settle("HQ-SAM")
    page.select_option("#compare", "")
    assert page.is_hidden("#tag-left")
    assert page.is_disabled("#show-unsure")


def test_everything_is_found(visitor):
    visitor.page.click("#everything")
    visitor.settle("Found")
    count = len(visitor.answer("pa_sam")["masks"])
    assert f"{count} object" in visitor.facts()


def test_a_version_that_took_anothers_place_is_shown_with_its_first_answer(visitor, shelf):
    page, line = visitor.page, visitor.page.locator("#models .model", has_text="PA-SAM")
    before = line.inner_text()
    shelf.place("pa_sam", "pa_sam", "retrained")
    deadline = time.monotonic() + 20
    while line.inner_text() == before and time.monotonic() < deadline:
        page.mouse.click(*visitor.at(0.5, 0.5))
        visitor.settle("PA-SAM")
    assert line.inner_text() != before
    assert page.is_checked("#models input[value=pa_sam]")


def searching(monkeypatch, **options):
    """Let the service search like this, and keep whatever the small model finds."""
    chosen = AutomaticMaskOptions(pred_iou_thresh=0, stability_score_thresh=0.01, **options)
    monkeypatch.setattr(AutomaticMaskOptions, "suited_to", staticmethod(lambda model: chosen))


def test_a_search_tells_how_far_it_is_and_can_be_stopped(visitor, monkeypatch):
    searching(monkeypatch, points_per_side=32, points_per_batch=1)
    page = visitor.page
    page.click("#everything")
    page.locator("#hint", has_text="Segmenting everything").wait_for()
    assert page.inner_text("#everything") == "Stop"
    assert page.is_visible("#searched")
    page.click("#everything")
    visitor.settle("PA-SAM")
    assert page.inner_text("#everything") == "Segment everything"
    assert page.is_hidden("#searched")
    assert "Found" not in visitor.facts()


def test_objects_that_were_found_are_saved_without_another_search(visitor, monkeypatch):
    searching(monkeypatch, points_per_side=3)
    page = visitor.page
    page.click("#everything")
    visitor.settle("Found")
    asked = len(visitor.asked)
    records = json.loads(visitor.save("#get-rle"))
    coco = json.loads(visitor.save("#get-coco"))
    assert [each["segmentation"] for each in coco["annotations"]] == [
        each["segmentation"] for each in records
    ]
    assert len(records) == len(coco["annotations"]) > 0
    assert len(visitor.asked) == asked
    assert page.is_hidden("#split-row")


def test_keys_alone_are_enough(visitor):
    page = visitor.page
    page.locator("#image").focus()
    page.keyboard.press("Delete")
    page.locator("#hint", has_text="Click the object").wait_for()
    for key in ("b", "Shift+ArrowRight", "Shift+ArrowDown", "b"):
        page.keyboard.press(key)
    visitor.settle("PA-SAM")
    page.keyboard.press("Shift+Enter")
    visitor.settle("PA-SAM")
    assert page.is_enabled("#undo")
    before = page.locator("#image").screenshot()
    for key in ("+", "+", "ArrowLeft"):
        page.keyboard.press(key)
    page.wait_for_timeout(200)
    assert page.locator("#image").screenshot() != before


def test_at_phone_width_a_finger_is_enough_and_nothing_sticks_out(browser, address):
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    visitor = Visitor(browser, address, **phone, color_scheme="dark")
    page = visitor.page
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.click("#clear")
    page.touchscreen.tap(*visitor.at(0.4, 0.4))
    visitor.settle("PA-SAM")
    page.locator("#tools label", has_text="Remove").click()
    page.touchscreen.tap(*visitor.at(0.5, 0.5))
    visitor.settle("PA-SAM")
    assert page.is_enabled("#get-png")
    assert visitor.faults == []
    page.close()


def test_what_is_no_image_is_said_so(visitor, tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    visitor.page.set_input_files("#file", tmp_path / "notes.txt")
    visitor.page.locator("#fault", has_text="notes.txt is not an image").wait_for()


def test_several_dropped_files_are_all_in_the_list(visitor):
    visitor.page.evaluate(
        """async () => {
            const canvas = document.createElement("canvas");
            const blob = await new Promise((done) => canvas.toBlob(done));
            const dataTransfer = new DataTransfer();
            for (const name of ["a.png", "b.png", "c.png"]) {
              dataTransfer.items.add(new File([blob], name, { type: "image/png" }));
            }
            document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true }));
        }"""
    )
    visitor.page.locator("#entries [aria-current]", has_text="a.png").wait_for()
    names = visitor.page.locator("#entries .entry b").all_inner_texts()
    assert names == ["a.png", "b.png", "c.png"]


def test_undo_after_a_search_gives_the_prompts_back_that_it_hid(visitor, monkeypatch):
    searching(monkeypatch, points_per_side=3)
    before = [line for line in visitor.facts().splitlines() if "px" in line]
    visitor.page.click("#everything")
    visitor.settle("Found")
    visitor.page.click("#undo")
    visitor.settle("PA-SAM")
    assert [line for line in visitor.facts().splitlines() if "px" in line] == before


def test_the_cut_out_is_the_image_where_the_mask_is_and_clear_elsewhere(visitor, tmp_path):
    page, path, pixels = visitor.page, tmp_path / "four_things.png", objects(120, 160)
    path.write_bytes(encoded_picture(pixels))
    page.set_input_files("#file", path)
    page.locator("#hint", has_text="Click the object").wait_for()
    page.mouse.click(*visitor.at(0.35, 0.35))
    visitor.settle("PA-SAM")
    (record,) = json.loads(visitor.save("#get-rle"))
    mask = decode(record["segmentation"]).astype(bool)
    cut = np.array(Image.open(io.BytesIO(visitor.save("#get-cut"))))
    assert cut.shape == (120, 160, 4)
    assert ((cut[..., 3] > 0) == mask).all()
    assert mask.any()
    assert (cut[mask][:, :3] == pixels[mask]).all()


def test_a_wrong_token_is_said_to_be_wrong(browser, shelf):
    with running(shelf.offered(), Settings(token="0123456789abcdef")) as guarded:
        page = browser.new_page()
        page.goto(guarded)
        page.locator("#door[open]").wait_for()
        assert page.is_hidden("#wrong")
        page.fill("#token", "wrong")
        page.click("#door button")
        page.locator("#wrong", has_text="not the service's token").wait_for()
        assert page.input_value("#token") == ""
        page.fill("#token", "0123456789abcdef")
        page.click("#door button")
        page.locator("#facts", has_text="Image embedding").wait_for(timeout=20_000)
        page.close()


def test_a_phones_photograph_is_searched_and_its_masks_are_of_its_size(
    visitor, monkeypatch, tmp_path
):
    searching(monkeypatch, points_per_side=2)
    page, path = visitor.page, tmp_path / "phone.jpg"
    path.write_bytes(encoded_picture(objects(3024, 4032), "JPEG"))
    page.set_input_files("#file", path)
    page.locator("#hint", has_text="Click the object").wait_for(timeout=60_000)
    page.click("#everything")
    page.locator("#facts", has_text="Found").wait_for(timeout=60_000)
    assert len(visitor.answer("pa_sam")["masks"]) > 0
    cut = Image.open(io.BytesIO(visitor.save("#get-cut")))
    assert cut.size == (4032, 3024)
