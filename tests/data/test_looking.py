"""An image and its masks are understood, or their faults named, as preparation would."""

import dataclasses
import hashlib
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from pasam.data import inspection
from pasam.data.exports import FORMS, expect_own_names, export_set
from pasam.data.formats import yolo
from pasam.data.imports import SetPlaces, from_annotations
from pasam.data.inspection import CODED, InspectionTask, inspect, survey
from pasam.data.own_sets import Options, _first, _remarks, add, make_plan
from pasam.data.pairing import EncodedMask, Pair, PairCandidate, Source, find_pairs
from pasam.errors import DataError
from pasam.masks.images import read_image, write_png
from pasam.masks.mask_files import Reading, understand
from pasam.masks.run_lengths import encode


@pytest.fixture
def look(tmp_path):
    image = tmp_path / "a.png"
    write_png(image, np.zeros((4, 6, 3), np.uint8))

    def run(*masks, encoded=(), reading=Reading.AUTO):
        files = []
        for number, mask in enumerate(masks):
            files.append(tmp_path / f"{number}.png")
            write_png(files[-1], np.array(mask, np.uint8))
        candidate = PairCandidate(image=image, name="a", masks=tuple(files), encoded=encoded)
        return inspect(InspectionTask(candidate=candidate, reading=reading))

    return run


def test_a_mask_file_that_has_changed_is_read_again_and_no_other(tmp_path, monkeypatch):
    read = []
    understand = inspection.understand
    monkeypatch.setattr(
        inspection, "understand", lambda *given: read.append(given) or understand(*given)
    )
    write_png(tmp_path / "a.png", np.zeros((4, 6, 3), np.uint8))
    mask = tmp_path / "mask.png"
    areas = []
    for when, rows in enumerate((1, 2)):
        drawn = np.zeros((4, 6), np.uint8)
        drawn[:rows] = 255
        write_png(mask, drawn)
        os.utime(mask, ns=(when, when))
        candidate = PairCandidate(image=tmp_path / "a.png", name="a", masks=(mask,))
        task = InspectionTask(candidate=candidate, reading=Reading.BINARY)
        (found,) = inspect(task).objects
        areas.append((found.pixels, int((found.draw() > 0).sum())))
    assert areas == [(6, 6), (12, 12)]
    assert len(read) == 2


def test_every_object_of_every_mask_is_found(look, tmp_path):
    one, numbered = np.zeros((4, 6)), np.zeros((4, 6))
    one[1:3, 1:3] = 255
    numbered[:3, :3], numbered[:3, 3:] = 1, 2
    found = look(one, numbered)
    assert [(item.label, item.kind, item.pixels) for item in found.objects] == [
        ("", "0/255", 4),
        ("1", "index", 9),
        ("2", "index", 9),
    ]
    assert found.sha256 == hashlib.sha256((tmp_path / "a.png").read_bytes()).hexdigest()
    assert (found.faults, found.voids) == ((), 0)


@pytest.mark.parametrize("quality", [40, 70, 95])
def test_a_jpeg_that_makes_1_of_black_areas_is_a_mask_and_a_photograph_is_none(tmp_path, quality):
    y, x = np.mgrid[:60, :80]
    write_png(tmp_path / "a.png", np.zeros((60, 80, 3), np.uint8))
    disk = ((x - 30) ** 2 + (y - 30) ** 2 < 200).astype(np.uint8) * 255
    grey = (np.random.default_rng(0).random((60, 80)) * 120 + 60).astype(np.uint8)
    for name, pixels in (("disk", disk), ("grey", grey)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.jpg", quality=quality)

    def seen(name):
        masks = (tmp_path / f"{name}.jpg",)
        candidate = PairCandidate(image=tmp_path / "a.png", name="a", masks=masks)
        return inspect(InspectionTask(candidate=candidate, reading=Reading.AUTO))

    (found,) = seen("disk").objects
    assert (found.kind, found.pixels) == ("soft edge", pytest.approx(disk.sum() / 255, rel=0.05))
    assert seen("grey").objects == ()
    assert "photograph" in seen("grey").faults[0]


def test_void_pixels_are_counted_by_mask(look):
    numbered = np.zeros((4, 6))
    numbered[:2, :3], numbered[:2, 3:], numbered[3] = 1, 2, 255
    found = look(numbered)
    assert found.voids == 1
    twice = look(numbered, numbered)
    assert twice.voids == 2
    said = _remarks(make_plan("x", "folders", [found, twice], val_fraction=0))
    assert said[:2] == [
        "255 (65535 in 16 bits) stands for void in 3 index masks, and is no object",
        "1 images are copies of others",
    ]
    noted = dataclasses.replace(found, voids=0, sha256="other", notes=("a", "b"))
    twice = dataclasses.replace(noted, sha256="another", notes=("b",))
    plan = make_plan("x", "folders", [noted, twice], val_fraction=0)
    assert _remarks(plan) == ["b (2 images)", "a"]


def test_images_of_one_name_are_told_apart_by_their_bytes_whatever_their_order(look):
    found = look(np.eye(4, 6))
    both = [dataclasses.replace(found, sha256=digit * 64) for digit in "ba"]
    for order in (both, both[::-1]):
        images = make_plan("x", "folders", order, val_fraction=0).images
        named = {str(image.target): image.inspected.sha256[0] for image in images}
        assert named == {"im/a.png": "a", "im/a_2.png": "b"}


def test_of_many_faults_twenty_are_told_and_the_others_counted():
    faults = [str(number) for number in range(25)]
    assert _first(faults[:20], 20) == faults[:20]
    assert _first(faults[:21], 21) == [*faults[:20], "and 1 more"]
    assert _first(faults, 30) == [*faults[:20], "and 10 more"]


def test_kinds_count_files_and_objects_and_a_copied_mask_keeps_its_suffix(look):
    found = look(np.eye(4, 6), [[1, 1, 1, 2, 2, 2]] * 2 + [[0] * 6] * 2)
    plan = make_plan("x", "folders", [found], val_fraction=0)
    assert plan.kinds() == {"0/1": (1, 1), "index": (1, 2)}
    assert plan.description()["mask_kinds"] == {"0/1": 1, "index": 2}
    both = make_plan("x", "folders", [look(np.eye(4, 6), np.eye(4, 6)[::-1])], val_fraction=0)
    assert both.kinds() == {"0/1": (2, 2)}
    assert (plan.count("train"), plan.count("val")) == ((1, 3), (0, 0))
    plain, one, _ = found.objects
    objects = tuple(
        dataclasses.replace(each, origin=Path("m.TIF"), is_plain=plain)
        for each, plain in ((plain, True), (one, False))
    )
    candidate = dataclasses.replace(found.candidate, masks=(), image=Path("a.JPG"))
    drawn = dataclasses.replace(found, objects=objects, candidate=candidate)
    (image,) = make_plan("x", "folders", [drawn], val_fraction=0).images
    targets = [str(image.target), *(str(mask.target) for mask in image.masks)]
    assert targets == ["im/a.jpg", "gt/a.tif", "gt/a_1.png"]


def test_long_names_of_mask_files_leave_room_for_a_number_and_a_suffix(look):
    found = look(np.eye(4, 6), np.eye(4, 6))
    objects = tuple(
        dataclasses.replace(each, origin=Path(f"{'é' * 120}{number}.png"))
        for number, each in enumerate(found.objects)
    )
    found = dataclasses.replace(found, objects=objects)
    (image,) = make_plan("x", "folders", [found], val_fraction=0).images
    names = [mask.target.name for mask in image.masks]
    assert names == [f"a_{'é' * 114}.png", f"a_{'é' * 114}_2.png"]
    candidate = dataclasses.replace(found.candidate, name="é" * 100)
    long = dataclasses.replace(found, candidate=candidate)
    (image,) = make_plan("x", "folders", [long], val_fraction=0).images
    assert image.target.name == f"{'é' * 60}.png"


def test_a_mask_of_another_size_is_a_fault_and_the_others_stay(look):
    found = look(np.eye(6, 4), np.eye(4, 6))
    assert len(found.objects) == 1
    (fault,) = found.faults
    assert "0.png is 6 x 4 (height x width) but its image" in fault
    assert "is 4 x 6: one of the two is turned" in fault


def test_a_mask_of_fractions_that_are_mostly_grey_is_a_photograph(tmp_path):
    write_png(tmp_path / "a.png", np.zeros((10, 10, 3), np.uint8))
    candidate = PairCandidate(image=tmp_path / "a.png", name="a", masks=(tmp_path / "m.tif",))
    for grey, faults in ((5, 0), (6, 1)):  # rows of ten
        values = np.zeros((10, 10), np.float32)
        values[:grey], values[9] = 0.6, 1.0
        tifffile.imwrite(tmp_path / "m.tif", values)
        found = inspect(InspectionTask(candidate=candidate, reading=Reading.AUTO))
        assert (len(found.faults), len(found.objects)) == (faults, 1 - faults)
        assert all("60% of its pixels are grey" in fault for fault in found.faults)


HALF = np.repeat(np.array([[0, 255]], np.uint8), 8, axis=1).repeat(8, axis=0)


@pytest.mark.parametrize(
    ("pixels", "kind", "objects"),
    [
        (np.full((8, 8), 255, np.uint8), "0/255", (("", 64),)),
        (np.dstack([HALF] * 3 + [HALF | 255]), "0/255", (("", 64),)),
        (np.hstack([HALF // 28, HALF * 257.0]).astype(np.float32), "index", (("9", 64),)),
        (np.dstack([HALF * 0] * 3 + [HALF | 255]), "is all black", None),
        (HALF.astype(np.int32) - 1, "holds negative values", None),
    ],
)
def test_a_mask_is_understood_by_what_it_holds_in_any_form(tmp_path, pixels, kind, objects):
    path = tmp_path / ("m.tif" if pixels.dtype.itemsize == 4 else "m.png")
    Image.fromarray(pixels).save(path)
    if objects is None:
        with pytest.raises(DataError, match=kind):
            understand(path)
        return
    found = understand(path)
    assert (str(found.kind), found.objects, found.notes) == (kind, objects, ())
    assert found.has_void is (kind == "index")


def test_a_palette_is_grey_where_all_of_it_is(tmp_path):
    picture = Image.frombytes("P", HALF.shape[::-1], np.minimum(HALF, 1).tobytes())
    for colours, kind in (([0, 0, 0, 64, 64, 64, 9, 0, 0], "0/1"), ([0] * 3 + [64] * 3, "index")):
        picture.putpalette(colours)
        picture.save(tmp_path / "m.png")
        assert str(understand(tmp_path / "m.png").kind) == kind


def test_a_code_of_another_size_is_named_by_its_annotation(look):
    code = EncodedMask(label="5", size=(6, 4), counts="0h0")
    (fault,) = look(encoded=(code,)).faults
    assert fault.startswith("mask annotation 5 is 6 x 4")


def test_a_code_is_an_object(look):
    from pycocotools import mask as coco_mask

    drawn = np.asfortranarray(np.eye(4, 6, dtype=np.uint8))
    code = EncodedMask(label="5", size=(4, 6), counts=coco_mask.encode(drawn)["counts"].decode())
    (item,) = look(encoded=(code,)).objects
    assert (item.label, item.kind, item.pixels) == ("5", CODED, 4)


def test_an_image_that_cannot_be_read_has_no_objects(look, tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    candidate = PairCandidate(image=tmp_path / "a.png", name="a")
    found = inspect(InspectionTask(candidate=candidate, reading=Reading.AUTO))
    assert (found.sha256, found.objects) == ("", ())
    assert "a.png cannot be decoded" in found.faults[0]


def test_each_object_knows_whether_its_file_can_be_copied_and_else_draws_its_mask(tmp_path):
    y, x = np.mgrid[:40, :60]
    disk = np.where((x - 30) ** 2 + (y - 20) ** 2 < 150, 255, 0).astype(np.uint8)
    numbered = np.where(x < 30, 1, 2).astype(np.uint8) * (y < 20)
    soft = cv2.GaussianBlur(disk, (5, 5), 0)
    write_png(tmp_path / "a.png", np.zeros((40, 60, 3), np.uint8))
    files = tuple(tmp_path / f"{name}.png" for name in ("disk", "soft", "numbered"))
    for file, pixels in zip(files, (disk, soft, numbered), strict=True):
        write_png(file, pixels)
    code = EncodedMask(label="5", size=(40, 60), counts=encode(disk > 0)["counts"])
    candidate = PairCandidate(image=tmp_path / "a.png", name="a", masks=files, encoded=(code,))
    truths = {
        Reading.AUTO: [disk > 0, soft > 128, numbered == 1, numbered == 2, disk > 0],
        Reading.BINARY: [disk > 0, soft > 128, disk > 0],
    }
    plain = {Reading.AUTO: [True, True, False, False, False], Reading.BINARY: [False] * 3}
    for reading, masks in truths.items():
        found = inspect(InspectionTask(candidate=candidate, reading=reading))
        assert [one.is_plain for one in found.objects] == plain[reading]
        assert {(one.reading, one.orientation) for one in found.objects} == {(reading, 1)}
        for one, mask in zip(found.objects, masks, strict=True):
            assert np.array_equal(one.draw() > 128, mask)
            assert one.pixels == np.count_nonzero(mask)
        assert len({one.sha256 for one in found.objects}) == len({*files, code}) - len(found.faults)
    assert len(found.faults) == 1, "as one object, numbers up to 2 are black"
    assert found.chosen is None
    task = InspectionTask(candidate=candidate, reading=Reading.AUTO, page=1)
    assert inspect(task).chosen == task


@pytest.mark.parametrize("side", [30, 40])
def test_a_mask_of_a_turned_image_is_turned_where_its_size_says_so_and_then_not_copied(
    tmp_path, side
):
    exif = Image.Exif()
    exif[0x0112] = 6  # the stored rows are columns
    Image.fromarray(np.zeros((30, side, 3), np.uint8)).save(tmp_path / "a.png", exif=exif)
    mask = np.zeros((30, side), np.uint8)
    mask[:10, :20] = 255
    write_png(tmp_path / "m.png", mask)
    candidate = PairCandidate(image=tmp_path / "a.png", name="a", masks=(tmp_path / "m.png",))
    (found,) = inspect(InspectionTask(candidate=candidate, reading=Reading.AUTO)).objects
    is_square = side == 30  # which says nothing: it is taken as it is
    assert (found.orientation, found.is_plain) == ((1, True) if is_square else (6, False))
    assert np.array_equal(found.draw(), mask if is_square else np.rot90(mask, -1))


def test_what_is_odd_about_one_object_of_several_is_said_of_that_object(look, tmp_path):
    numbered = np.zeros((4, 6))
    numbered[:3, :3], numbered[:3, 3:5] = 1, 2
    file = tmp_path / "0.png"
    assert look(numbered, numbered == 1).notes == (
        f"{file}, object 1 marks only 9 pixels.",
        f"{file}, object 2 marks only 6 pixels.",
        f"{tmp_path / '1.png'} marks only 9 pixels.",
    )


def test_a_code_of_the_same_text_and_another_size_is_another_object(look):
    sizes = ((4, 6), (6, 4))
    mask = encode(np.eye(4, 6, dtype=np.uint8))["counts"]
    codes = [EncodedMask(label="5", size=size, counts=mask) for size in sizes]
    (one,) = look(encoded=(codes[0],)).objects
    assert one.sha256 == hashlib.sha256(f"(4, 6){mask}".encode()).hexdigest()
    assert look(encoded=(codes[1],)).objects == ()


def test_an_image_keeps_its_good_masks_where_a_bad_one_is_left_out(look, tmp_path):
    good, bad = look(np.eye(4, 6), np.eye(6, 4)).candidate.masks
    candidate = PairCandidate(image=tmp_path / "a.png", name="a", masks=(good, bad))
    options = Options(
        val_fraction=0, reading=Reading.AUTO, skip_bad=True, replace=False, link=False,
        dry_run=True, workers=1,
    )  # fmt: skip
    found = add("x", Source("folders", (candidate,)), tmp_path / "own", options)
    assert (found.state, found.plan.count("train")) == ("planned", (1, 1))
    assert [note for note in found.notes if "left out" in note and str(bad) in note]


def test_a_soft_edge_that_is_drawn_anew_keeps_its_greys(tmp_path):
    alpha = np.zeros((8, 9), np.uint8)
    alpha[2:6, 3:8] = 255
    alpha[2:6, 3], alpha[6, 3:8] = 77, 180
    layers = np.dstack([*[np.full((8, 9), 200, np.uint8)] * 3, alpha])
    Image.fromarray(layers).save(tmp_path / "m.png")
    write_png(tmp_path / "a.png", np.zeros((8, 9, 3), np.uint8))
    candidate = PairCandidate(image=tmp_path / "a.png", name="a", masks=(tmp_path / "m.png",))
    options = Options(
        val_fraction=0, reading=Reading.AUTO, skip_bad=False, replace=False, link=False,
        dry_run=False, workers=1,
    )  # fmt: skip
    add("x", Source("folders", (candidate,)), tmp_path / "own", options)
    written = np.array(Image.open(tmp_path / "own" / "x" / "gt" / "a.png"))
    assert np.array_equal(written, alpha)


def test_chosen_bands_are_what_a_set_holds(tmp_path):
    bands = np.random.default_rng(3).integers(0, 256, (8, 9, 5), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", bands, planarconfig="contig", photometric="minisblack")
    write_png(tmp_path / "a.png", np.eye(8, 9, dtype=np.uint8))
    candidate = PairCandidate(image=tmp_path / "a.tif", name="a", masks=(tmp_path / "a.png",))
    options = Options(
        val_fraction=0, reading=Reading.AUTO, skip_bad=False, replace=False, link=False,
        dry_run=False, workers=1, bands=(5, 1, 2),
    )  # fmt: skip
    add("x", Source("folders", (candidate,)), tmp_path / "own", options)
    written = read_image(tmp_path / "own" / "x" / "im" / "a.png")
    assert np.array_equal(written, bands[:, :, [4, 0, 1]])


@pytest.fixture
def check(draw, tmp_path):
    """Three pairs to learn from; a test may change them before it looks."""
    images, masks = draw(tmp_path / "draw", 3)
    (tmp_path / "own/train/cats").mkdir(parents=True)
    images.rename(tmp_path / "own/train/cats/im")
    masks.rename(tmp_path / "own/train/cats/gt")
    return lambda: survey(find_pairs(tmp_path / "own")[0], workers=1)


@pytest.fixture
def cats(tmp_path):
    return tmp_path / "own/train/cats"


def test_counts_sizes_areas_and_kinds_are_summed_up(check, cats):
    write_png(cats / "im/02.png", np.zeros((20, 30, 3), np.uint8))
    write_png(cats / "gt/02.png", np.eye(20, 30, dtype=np.uint8))
    (found,) = check().sets
    assert (found.dataset, found.split, found.images, found.masks) == ("cats", "train", 3, 3)
    assert (found.smallest, found.largest) == ((12, 12), (30, 20))
    assert found.area == (20 / 600, pytest.approx(14 / 144), pytest.approx(21 / 144))
    assert found.kinds == {"0/1": 1, "0/255": 2}


def test_copies_of_an_image_count_and_of_two_middle_areas_it_is_the_larger_one(check, cats):
    write_png(cats / "im/03.png", read_image(cats / "im/00.png"))
    write_png(cats / "gt/03.png", np.eye(12, dtype=np.uint8))
    write_png(cats / "gt/02.png", np.eye(12, k=4, dtype=np.uint8))
    (found,) = check().sets
    assert (found.images, found.masks) == (4, 4)
    areas = sorted(read_image(file)[..., 0].astype(bool).mean() for file in cats.glob("gt/*"))
    assert found.area == pytest.approx((areas[0], areas[2], areas[3]))
    assert areas[1] < areas[2] < areas[3]


def test_faults_are_those_of_preparation(check, cats):
    write_png(cats / "gt/00.png", np.zeros((12, 12), np.uint8))
    (cats / "im/01.png").write_bytes(b"no picture")
    write_png(cats / "gt/02.png", np.full((12, 12), 255, np.uint8))
    write_png(cats / "gt/02_0.png", np.eye(12, dtype=np.uint8))
    findings = check()
    for fault, words in zip(
        findings.faults, ("is all black", "cannot be decoded", "marks every pixel"), strict=True
    ):
        assert words in fault
    assert findings.sets[0].masks == 1


def test_masks_that_say_little_or_everything_are_warned_of(check, cats):
    nearly = np.full((12, 12), 255, np.uint8)
    nearly[0, 0] = 0
    write_png(cats / "gt/00.png", nearly)
    warnings = check().warnings
    assert any("01.png marks only 21 pixels" in warning for warning in warnings)
    assert any("00.png covers 99.3% of its image" in warning for warning in warnings)


def test_an_index_mask_in_the_place_of_a_mask_is_a_fault(check, cats):
    labels = np.zeros((40, 40), np.uint8)
    labels[4:14, 4:30], labels[20:34, 4:30] = 100, 200
    write_png(cats / "im/00.png", np.zeros((40, 40, 3), np.uint8))
    write_png(cats / "gt/00.png", labels)
    (fault,) = check().faults
    assert "00.png holds the values 100, 200: that is an index mask" in fault
    assert "`pasam data add`" in fault


def test_a_soft_edge_is_nothing_to_warn_of(check, cats):
    mask = np.zeros((40, 40), np.uint8)
    mask[8:30, 8:30] = 255
    write_png(cats / "im/00.png", np.zeros((40, 40, 3), np.uint8))
    write_png(cats / "gt/00.png", cv2.GaussianBlur(mask, (5, 5), 0))
    assert not any("gt/00.png" in warning for warning in check().warnings)


def test_a_picture_on_both_sides_is_warned_of(check, cats):
    for kind in ("im", "gt"):
        (cats.parent.parent / "val/dogs" / kind).mkdir(parents=True)
        copy = cats.parent.parent / "val/dogs" / kind / "rex.png"
        copy.write_bytes((cats / kind / "01.png").read_bytes())
    (warning,) = [warning for warning in check().warnings if "the same image" in warning]
    assert "rex.png (val) is the same image as" in warning
    assert "01.png (train)" in warning


def test_masks_that_the_manifest_cannot_tell_apart_are_a_fault(check, cats):
    (cats / "gt/00").mkdir()
    (cats / "gt/00.png").rename(cats / "gt/00/x.png")
    mask = (cats / "gt/01.png").read_bytes()
    (cats / "gt/00_x.png").write_bytes(mask)
    (fault,) = check().faults
    assert "would both be 'cats/00_x' in the manifest" in fault


def test_what_was_known_before_comes_first(check):
    findings = survey((), workers=1, faults=("a",), warnings=("b",))
    assert (findings.sets, findings.faults, findings.warnings) == ((), ("a",), ("b",))


@pytest.fixture
def drawn(tmp_path):
    write_png(tmp_path / "a.png", np.zeros((8, 16, 3), np.uint8))
    mask = np.zeros((8, 16), np.uint8)
    mask[2:6, 4:12], mask[4, 4:12] = 255, 200
    write_png(tmp_path / "0.png", mask)
    write_png(tmp_path / "1.png", np.flipud(mask).copy())
    (tmp_path / "x").mkdir()
    images = (tmp_path / "a.png", tmp_path / "x" / ".." / "a.png")
    return [
        Pair(split="val", dataset="cats", image=image, mask=tmp_path / f"{number}.png")
        for number, image in enumerate(images)
    ]


def test_an_image_that_is_named_in_two_ways_is_exported_once_with_both_its_objects(drawn, tmp_path):
    assert export_set(drawn, tmp_path / "out", "coco-rle") == 1
    content = json.loads((tmp_path / "out" / "annotations.json").read_text())
    assert [image["file_name"] for image in content["images"]] == ["a.png"]
    assert [one["image_id"] for one in content["annotations"]] == [1, 1]


@pytest.mark.parametrize(("form", "kind"), [("coco", list), ("coco-rle", dict)])
def test_a_set_is_exported_in_the_form_that_was_asked_for(drawn, tmp_path, form, kind):
    export_set(drawn, tmp_path / "out", form)
    content = json.loads((tmp_path / "out" / "annotations.json").read_text())
    assert [type(one["segmentation"]) for one in content["annotations"]] == [kind, kind]
    assert content["categories"] == [{"id": 1, "name": "cats"}]


def test_polygons_of_yolo_are_shares_of_the_images_own_sides(drawn, tmp_path):
    export_set(drawn[:1], tmp_path / "out", "yolo")
    number, *places = (tmp_path / "out" / "a.txt").read_text().split()
    x, y = np.array(places, float).reshape(-1, 2).T
    assert (number, x.min(), x.max(), y.min(), y.max()) == ("0", 4 / 16, 12 / 16, 2 / 8, 6 / 8)


def of_yolo(folder, **labels):
    """Read labels by the names of their files, beside images of those names in small letters."""
    (folder / "labels").mkdir()
    for name, lines in labels.items():
        (folder / "labels" / f"{name}.txt").write_text("\n".join(lines))
        write_png(folder / "im" / f"{name.lower()}.png", np.zeros((40, 50, 3), np.uint8))
    return from_annotations(folder / "labels", SetPlaces(images=folder / "im"))


AT_THE_EDGE = [
    "0 0 0 0 0.4 0.5 0.5 1 0.4 1 0",
    "0 0 1 0.4 0.5 0.6 0.5 1 1 0.5 1",
    "0 0.2 0.3 0.7 0.3 0.9 0.6 1 0.9 0.5 1",
]
POSES = [
    "0 0.4 0.4 0.2 0.2 0.31 0.31 2 0.5 0.5 1 0 0 0",
    "0 0.5 0.5 1 1 0.1 0.1 2 0.2 0.2 1 0.9 0.9 2",
    "1 0.9 0.5 0.2 0.4 0.81 0.5 1 0.9 0.6 1 0.8 0.3 1",
]


@pytest.mark.parametrize("line", AT_THE_EDGE)
def test_a_polygon_of_yolos_at_the_edge_of_its_image_is_no_pose(line, tmp_path):
    source = of_yolo(tmp_path, a=[line])
    assert (source.faults, source.notes) == ((), ())
    assert len(source.candidates[0].encoded) == 1


def test_hardly_a_random_polygon_of_yolos_is_taken_for_a_pose(tmp_path):
    random = np.random.default_rng(0)
    corners = np.clip(random.uniform(-0.3, 1.3, (400, 10)), 0, 1)
    lines = [" ".join(map(str, ["0", *each.round(3)])) for each in corners]
    source = of_yolo(tmp_path, **{f"p{n}": [line] for n, line in enumerate(lines)})
    assert (source.notes, len(source.candidates) > 390) == ((), True)
    alone = sum(yolo._are_poses([file]) for file in (tmp_path / "labels").iterdir())
    assert alone <= 4


def test_poses_of_yolos_are_left_out_where_the_whole_set_has_them(tmp_path):
    source = of_yolo(tmp_path, a=POSES[:2], b=[*POSES[2:], "", "no numbers"])
    assert "3 keypoints are left out, no masks" in source.notes
    assert (len(source.candidates), len(source.faults)) == (0, 1)


@pytest.mark.parametrize("odd", [POSES[0].replace("0.31 0.31", "0.6 0.6"), "0 .5 .5" + " 0" * 11])
def test_a_point_beside_its_box_or_a_line_of_zeros_makes_no_polygons_of_poses(odd, tmp_path):
    source = of_yolo(tmp_path, a=POSES * 4, b=[odd, "0 .5 .5 .2 .2"])
    assert (source.candidates, source.faults) == ((), ())
    assert {"13 keypoints are left out, no masks", "1 boxes are left out, no masks"} <= {
        *source.notes
    }


def test_labels_of_yolos_find_their_image_in_other_capitals_with_a_note(tmp_path):
    for split in ("train", "val"):
        (tmp_path / "labels" / split).mkdir(parents=True)
        (tmp_path / "labels" / split / "IMG_1.txt").write_text(AT_THE_EDGE[0])
        write_png(tmp_path / "im" / split / "img_1.png", np.zeros((40, 50, 3), np.uint8))
    source = from_annotations(tmp_path / "labels", SetPlaces(images=tmp_path / "im"))
    assert sorted(item.name for item in source.candidates) == ["train/img_1", "val/img_1"]
    (note,) = source.notes
    assert "2 images were found by names that differ in capitals" in note


def test_a_cutout_keeps_the_greys_of_its_mask(drawn, tmp_path):
    export_set(drawn[:1], tmp_path / "out", "cutout")
    alpha = np.asarray(Image.open(tmp_path / "out" / "a_0.png"))[:, :, 3]
    assert alpha[:, 0].tolist() == [255, 255, 200, 255]


def test_capitals_tell_images_apart_only_where_one_file_holds_them_all():
    expect_own_names(["a.png", "A.png"], "coco")
    for form in ("yolo", "labelme", "cutout"):
        with pytest.raises(DataError, match=f"would both be .* in the form {form}"):
            expect_own_names(["a.png", "A.png"], form)


def test_no_images_labels_take_the_place_of_the_list_of_classes():
    for name in ("classes.png", "Classes.jpg"):
        with pytest.raises(DataError, match=f"{name} and the list of classes would both be"):
            expect_own_names([name], "yolo")
        for form in ("coco", "labelme", "cutout"):
            expect_own_names([name, "train/classes.png"], form)
    expect_own_names(["train/classes.png"], "yolo")


@pytest.mark.parametrize("form", [*FORMS, "cutout"])
def test_a_mask_of_another_size_than_its_image_is_not_exported(form, tmp_path):
    image, mask, out = tmp_path / "im" / "a.png", tmp_path / "gt" / "a.png", tmp_path / "out"
    write_png(image, np.zeros((6, 9, 3), np.uint8))
    write_png(mask, np.full((5, 9), 255, np.uint8))
    pair = Pair(split="val", dataset="cats", image=image, mask=mask)
    with pytest.raises(DataError, match=r"gt/a.png has 9 x 5 pixels, its image .*a.png 9 x 6"):
        export_set([pair], out, form)
    assert not out.exists()
    write_png(mask, np.full((6, 9), 255, np.uint8))
    assert export_set([pair], out, form) == 1


def test_masks_of_a_photograph_stored_on_its_side_are_exported_as_it_is_seen(tmp_path):
    image, mask = tmp_path / "im" / "a.jpg", tmp_path / "gt" / "a.png"
    image.parent.mkdir()
    turned = Image.Exif()
    turned[0x0112] = 6  # stored 8 x 4, seen 4 x 8
    Image.new("RGB", (8, 4)).save(image, exif=turned)
    write_png(mask, np.full((8, 4), 255, np.uint8))
    pair = Pair(split="val", dataset="cats", image=image, mask=mask)
    assert export_set([pair], tmp_path / "out", "coco") == 1
