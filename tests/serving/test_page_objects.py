"""Objects, images, brush and exports of the page in a real browser, and what axe-core finds.

`npm install --no-save axe-core` in the root brings axe-core.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from inference_models import objects
from page_visitor import CHROMIUM, Visitor, running
from PIL import Image
from serving_world import Shelf, encoded_picture
from typer.testing import CliRunner

from pasam.cli.app import app
from pasam.data.manifest import read_manifest
from pasam.data.pairing import find_pairs
from pasam.masks.mask_files import read_mask
from pasam.masks.overlap import mask_iou
from pasam.masks.run_lengths import decode, from_segmentation
from pasam.serving.feedback import FeedbackStore
from pasam.serving.limits import Limits
from pasam.serving.service import Settings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path(CHROMIUM).is_file(), reason="there is no Chromium here"),
]
SIZE = 120, 160


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    shelf = Shelf(tmp_path_factory.mktemp("shelf"), "pa_sam", "hq_sam", "sam")
    with running(shelf.offered(), Settings(feedback=tmp_path_factory.mktemp("sent"))) as found:
        yield found


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "things.png"
    path.write_bytes(encoded_picture(objects(*SIZE)))
    return path


def test_each_object_has_a_name_and_a_mask_and_can_be_taken_up_again(visitor, photo):
    page = visitor.page
    visitor.open(photo)
    visitor.click(0.35, 0.35)
    page.get_by_label("Name of object 1").fill("cat")
    page.get_by_label("Name of object 1").press("Enter")
    first = visitor.facts()
    page.click("#next")
    page.locator("#hint", has_text="Click the next object").wait_for()
    visitor.click(0.7, 0.7)
    page.get_by_label("Name of object 2").fill("dog")
    page.get_by_label("Name of object 2").press("Enter")
    records = visitor.records()
    assert [each["name"] for each in records] == ["cat", "dog"]
    coco = json.loads(visitor.save("#get-coco"))
    assert [each["name"] for each in coco["categories"]] == ["cat", "dog"]
    assert [each["category_id"] for each in coco["annotations"]] == [1, 2]
    page.get_by_label("Object 1, cat").click()
    visitor.settle("PA-SAM")
    area = re.compile(r"[\d\u202f]+ px")
    assert area.findall(visitor.facts()) == area.findall(first)
    page.get_by_label("Remove object 1").click()
    assert [each["name"] for each in visitor.records()] == ["dog"]
    page.click("#undo")
    visitor.settle("PA-SAM")
    assert visitor.records() == records


def test_images_keep_their_objects_while_others_are_open(visitor, photo, tmp_path):
    page, other = visitor.page, tmp_path / "other.png"
    other.write_bytes(encoded_picture(objects(90, 100)))
    visitor.open(photo, other)
    visitor.click(0.35, 0.35)
    kept = visitor.records()
    page.locator("#entries .entry", has_text="other.png").click()
    page.locator("#hint", has_text="Click the object").wait_for()
    assert page.is_disabled("#get-rle")
    page.locator("#entries .entry", has_text="things.png").click()
    visitor.settle("PA-SAM")
    assert visitor.records() == kept
    page.get_by_label("Close things.png").click()
    page.locator("#hint", has_text="Click the object").wait_for()
    assert page.is_hidden("#entries")


def test_what_is_kept_in_the_browser_comes_back_and_is_forgotten_when_told(visitor, photo):
    page = visitor.page
    visitor.open(photo)
    visitor.click(0.35, 0.35)
    page.get_by_label("Name of object 1").fill("cat")
    page.get_by_label("Name of object 1").press("Enter")
    kept = visitor.records()
    page.reload()
    visitor.settle("Image embedding")
    assert page.input_value("#objects input") == "object"  # an example: nothing was to be kept
    visitor.open(photo)
    visitor.click(0.35, 0.35)
    page.check("#keep")
    page.get_by_label("Name of object 1").fill("cat")
    page.get_by_label("Name of object 1").press("Enter")
    page.wait_for_timeout(600)
    page.reload()
    visitor.settle("PA-SAM")
    assert visitor.records() == kept
    page.uncheck("#keep")
    page.locator("#keep-note", has_text="Off").wait_for()
    page.reload()
    visitor.settle("Image embedding")
    assert page.input_value("#objects input") == "object"


def test_a_mended_mask_is_saved_as_it_is_and_goes_along_with_the_next_click(visitor, photo):
    page = visitor.page
    visitor.open(photo)
    visitor.click(0.35, 0.35)
    (before,) = visitor.masks()
    visitor.choose("Brush")
    visitor.drag((0.5, 0.5), (0.6, 0.5))
    visitor.settle("Mended")
    (painted,) = visitor.masks()
    assert (painted | before == painted).all()
    width = painted[60, 70:100]
    assert width.all(), "the stroke's middle"
    visitor.choose("Eraser")
    visitor.drag((0.55, 0.3), (0.55, 0.7))
    visitor.settle("Mended")
    (erased,) = visitor.masks()
    assert not (erased & ~painted).any()
    assert 0 < erased.sum() < painted.sum()
    saved = np.asarray(Image.open(io.BytesIO(visitor.save("#get-png"))).convert("L"))
    assert (saved == 255 * erased).all()
    visitor.choose("Add")
    with page.expect_request("**/predict") as sent:
        page.mouse.click(*visitor.at(0.4, 0.4))
    (text,) = re.findall(r'name="prompts"\r\n\r\n(.*?)\r\n', sent.value.post_data)
    (prompt,) = json.loads(text)
    assert (decode(prompt["mask"]) == erased).all()
    assert len(prompt["points"]) == 2
    visitor.settle("PA-SAM")
    for wanted in (erased, painted, before):
        page.click("#undo")
        visitor.settle("px")
        (now,) = visitor.masks()
        assert (now == wanted).all()


def test_masks_are_as_opaque_as_asked_and_a_look_needs_no_click(visitor, photo):
    page = visitor.page
    visitor.open(photo)
    bare = visitor.seen()
    page.mouse.move(*visitor.at(0.35, 0.35))
    page.wait_for_timeout(1000)
    assert np.abs(visitor.seen() - bare).max() > 20
    page.mouse.move(5, 5)
    assert np.abs(visitor.seen() - bare).max() < 5
    visitor.click(0.35, 0.35)
    page.mouse.move(5, 5)
    seen = {}
    for value in ("0", "50", "100"):
        page.fill("#opacity", value)
        seen[value] = visitor.seen()
    change = [np.abs(seen[value] - bare).sum() for value in ("0", "50", "100")]
    assert 0 < change[0] < change[1] < change[2]


@pytest.mark.parametrize("name", ["things", "THINGS", "classes"])
def test_one_zip_holds_masks_and_annotations_of_all_images(visitor, photo, tmp_path, name):
    page, other = visitor.page, tmp_path / "sub" / f"{name}.png"
    other.parent.mkdir()
    other.write_bytes(encoded_picture(objects(90, 100)))
    visitor.open(photo, other)
    visitor.click(0.35, 0.35)
    page.click("#next")
    visitor.click(0.7, 0.7)
    wanted = [decode(each["segmentation"]) for each in visitor.records()]
    polygons = json.loads(visitor.save("#get-polygons"))
    for annotation, mask in zip(polygons["annotations"], wanted, strict=True):
        drawn = decode(from_segmentation(annotation["segmentation"], *SIZE))
        assert mask_iou(drawn, mask) >= 0.98
    page.locator("#entries .entry").nth(1).click()
    page.locator("#hint", has_text="Click the object").wait_for()
    visitor.click(0.4, 0.4)
    with zipfile.ZipFile(io.BytesIO(visitor.save("#get-all"))) as whole:
        assert whole.testzip() is None
        assert {
            "things/masks/1_object.png", "things/masks/2_object.png", "things/labels.png",
            f"{name}_2/cutouts/1_object.png", "coco/annotations.json", "yolo/things.txt",
            f"yolo/{name}_2.txt", "yolo/classes.txt", f"labelme/{name}_2.json",
        } <= set(whole.namelist())  # fmt: skip
        mask = np.asarray(Image.open(whole.open("things/masks/2_object.png")).convert("L"))
        assert (mask == 255 * wanted[1]).all()
        labels = np.asarray(Image.open(whole.open("things/labels.png")).convert("L"))
        assert (labels == np.where(wanted[1], 2, wanted[0])).all()
        coco = json.loads(whole.read("coco-rle/annotations.json"))
    assert [each["file_name"] for each in coco["images"]] == ["things.png", f"{name}_2.png"]
    assert [each["image_id"] for each in coco["annotations"]] == [1, 1, 2]


def test_the_uncertainty_map_leaves_the_image_to_be_seen(visitor, photo):
    page = visitor.page
    visitor.open(photo)
    page.select_option("#compare", "")
    visitor.click(0.35, 0.35)
    page.mouse.move(5, 5)
    before = visitor.seen()
    assert page.is_hidden("#scale")
    page.check("#show-unsure")
    visitor.settle("PA-SAM")
    after = visitor.seen()
    assert np.abs(after - before).max() > 20
    assert after.mean() > 0.7 * before.mean()
    assert "sure" in page.inner_text("#scale")


def test_a_small_box_is_looked_at_from_near_with_its_clicks_but_for_maps(visitor, photo):
    page = visitor.page
    visitor.open(photo)
    page.select_option("#compare", "")
    visitor.drag((0.3, 0.3), (0.45, 0.45))
    visitor.settle("px")
    (mask,) = visitor.answer("pa_sam")["masks"]
    assert mask["zoomed"] is True
    before = len(visitor.asked)
    visitor.choose("Add")
    visitor.click(0.4, 0.4)
    assert len(visitor.asked) > before
    assert visitor.answer("pa_sam")["masks"][0]["zoomed"] is True
    page.check("#show-unsure")
    visitor.settle("PA-SAM")
    assert "zoomed" not in visitor.answer("pa_sam")["masks"][0]


def test_a_control_that_is_off_says_why(visitor, photo):
    page = visitor.page
    visitor.open(photo)
    assert "click an object first" in page.inner_text("#why-get")
    assert "click an object first" in page.get_attribute("#get-all", "title")
    assert page.get_attribute("#redo", "title") == "Nothing was undone"
    page.check("#models input[value=hq_sam]")
    page.select_option("#compare", "")
    page.locator("#map-note", has_text="Off: HQ-SAM has none. Choose PA-SAM.").wait_for()
    assert page.is_disabled("#show-unsure")


@pytest.mark.parametrize(("name", "how"), [("turned.webp", {"exif": 6}), ("plain.avif", {})])
def test_what_the_browser_shows_is_what_is_segmented(visitor, tmp_path, name, how):
    exif = Image.Exif()
    if how:
        exif[0x0112] = how["exif"]
    Image.fromarray(objects(*SIZE)).save(tmp_path / name, exif=exif)
    visitor.open(tmp_path / name)
    icon = visitor.page.locator("#entries img").first.get_attribute("src")
    shown = visitor.page.evaluate(
        "async (url) => { const image = new Image(); image.src = url; await image.decode();"
        "return [image.naturalHeight, image.naturalWidth]; }",
        icon,
    )
    visitor.click(0.5, 0.5)
    (mask,) = visitor.masks()
    assert list(mask.shape) == shown
    assert visitor.answer("pa_sam")["height"] == shown[0]


def test_an_image_that_the_service_finds_too_large_is_sent_smaller(browser, tmp_path):
    shelf = Shelf(tmp_path, "pa_sam", "sam")
    (tmp_path / "large.png").write_bytes(encoded_picture(objects(480, 640)))
    with running(shelf.offered(), Settings(limits=Limits(pixels=210_000))) as address:
        visitor = Visitor(browser, address, viewport={"width": 1280, "height": 900})
        visitor.open(tmp_path / "large.png")
        visitor.click(0.35, 0.35)
        (mask,) = visitor.masks()
        assert visitor.answer("pa_sam")["height"] < 480
        visitor.page.close()
    assert mask.shape == (480, 640)


def pasam(*words):
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output


def learn(world):
    """Run what a training needs, as `dvc repro train@pa_sam` does."""
    for stage in ("prepare", "validate", "embed@train", "train@pa_sam"):
        world.run(stage)


def corrections(world):
    manifest = read_manifest(world.path("data/manifest.parquet"))
    return manifest[manifest["dataset"] == "corrections"]


def test_a_correction_is_sent_reviewed_learned_from_and_taken_back(
    browser, photo, tmp_path, own_world
):
    shelf = Shelf(tmp_path, "pa_sam", "sam")
    store = FeedbackStore(tmp_path / "feedback")
    with running(shelf.offered(), Settings(feedback=store.folder)) as address:
        visitor = Visitor(browser, address, viewport={"width": 1280, "height": 900})
        page = visitor.page
        visitor.open(photo)
        visitor.click(0.35, 0.35)
        (before,) = visitor.masks()
        visitor.choose("Brush")
        visitor.drag((0.5, 0.5), (0.6, 0.5))
        visitor.settle("Mended")
        (mended,) = visitor.masks()
        page.locator("#feedback summary").click()
        assert "name" in page.get_attribute("#send", "title")
        page.fill("#who", "ada")
        page.fill("#why", "it was too small")
        page.click("#send")
        page.locator("#sent", has_text="waits for review").wait_for()
        page.close()
    (waits,) = store.waiting()
    assert (read_mask(waits.folder / "mask.png") > 0).tolist() == mended.tolist()
    assert (read_mask(waits.folder / "before.png") > 0).tolist() == before.tolist()
    own = own_world.path("data/own")
    weights = own_world.path("data/adapters/pa_sam.safetensors").read_bytes()
    review = ["--feedback", str(store.folder), "--own", str(own)]
    pasam("data", "review", "--accept", waits.identity, "--reviewer", "bob", *review)
    (pair,) = find_pairs(own)[0]
    assert ((read_mask(pair.mask) > 0) == mended).all()
    learn(own_world)
    row = corrections(own_world)
    assert row["split"].tolist() == ["train"]
    assert row["image_sha256"].tolist() == [waits.about["image_sha256"]]
    origin = json.loads((own / "corrections/provenance.json").read_text())[waits.identity]
    assert (origin["who"], origin["why"]) == ("ada", "it was too small")
    assert (origin["reviewer"], origin["model"]) == ("bob", "pa_sam")
    assert row["mask"].tolist() == [f"data/own/corrections/{origin['mask']}"]
    assert own_world.path("data/adapters/pa_sam.safetensors").read_bytes() != weights

    pasam("data", "review", "--withdraw", waits.identity, *review)
    learn(own_world)
    assert corrections(own_world).empty
    assert own_world.path("data/adapters/pa_sam.safetensors").read_bytes() == weights


AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"

WAYS = {
    "desktop": {"viewport": {"width": 1280, "height": 900}},
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "at 200 %": {"viewport": {"width": 640, "height": 450}, "device_scale_factor": 2},
}


@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not installed")
@pytest.mark.parametrize("way", WAYS)
def test_axe_finds_nothing_at_any_width_in_any_colours(browser, address, tmp_path, way):
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path in paths:
        path.write_bytes(encoded_picture(objects(120, 160)))
    visitor = Visitor(browser, address, **WAYS[way], bypass_csp=True)
    page = visitor.page
    assert faults(page) == []
    visitor.open(*paths)
    visitor.click(0.35, 0.35)
    page.click("#next")
    visitor.click(0.7, 0.7)
    page.check("#show-unsure")
    visitor.settle("PA-SAM")
    for summary in page.locator(".keys summary").all():
        summary.click()
    visitor.choose("Brush")
    assert faults(page) == []
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    page.evaluate("document.getElementById('door').showModal()")
    assert faults(page) == []
    page.close()


def faults(page):
    """What breaks WCAG 2.2 or good practice, with the elements."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("async () => (await axe.run()).violations")
    return [
        (each["id"], each["impact"], [n["html"][:120] for n in each["nodes"]]) for each in found
    ]
