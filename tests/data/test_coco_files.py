"""COCO annotations and detections are read strictly: a wrong file is refused in words."""

import copy
import json
import math
import zlib
from pathlib import Path

import numpy as np
import pytest

from pasam.config.schema import GeneratedInstancesParams
from pasam.data import instance_sets
from pasam.data.coco import (
    AnnotatedFile,
    AnnotatedImage,
    Annotations,
    Detection,
    DrawnAs,
    best_of_each_image,
    encoded_source,
    read_annotations,
    read_detections,
)
from pasam.data.exports import ExportedImage, annotation_files, export_set
from pasam.data.imports import SetPlaces, _form, _of_folder, from_annotations
from pasam.data.instance_sets import (
    SMALL_SETS,
    ImageToDraw,
    SetPlan,
    draw_image,
    draw_instance_sets,
)
from pasam.data.pairing import Pair
from pasam.errors import DataError
from pasam.files import Faults
from pasam.masks.images import read_image, write_png
from pasam.masks.run_lengths import decode, encode
from pasam.synthetic.randomness import Draws
from pasam.synthetic.scene import KINDS, draw_group, simulate_detections

CONTENT = {
    "images": [{"id": 7, "file_name": "a.jpg", "height": 30, "width": 40}],
    "annotations": [
        {
            "id": 1, "image_id": 7, "category_id": 3, "area": 100, "iscrowd": 0,
            "bbox": [5, 5, 10, 10], "segmentation": [[5, 5, 15, 5, 15, 15, 5, 15]],
        }
    ],
    "categories": [{"id": 3, "name": "cat"}],
}  # fmt: skip


def written(folder, change=None):
    content = copy.deepcopy(CONTENT)
    if change is not None:
        change(content)
    path = folder / "annotations.json"
    path.write_text(json.dumps(content))
    return path


def test_images_and_categories_come_by_their_id(tmp_path):
    found = read_annotations(written(tmp_path))
    assert found.images == {7: AnnotatedImage("a.jpg", 30, 40)}
    assert found.categories == {3: "cat"}
    assert found.content == CONTENT


def test_a_missing_file_and_one_that_is_no_json_are_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.json does not exist.*section `instances`"):
        read_annotations(tmp_path / "gone.json")
    (tmp_path / "a.json").write_text("{")
    for read in (read_annotations, lambda path: read_detections(path, ANNOTATIONS)):
        with pytest.raises(DataError, match=r"a\.json is not readable JSON.*section `instances`"):
            read(tmp_path / "a.json")


def entry(**values):
    return lambda content: content["annotations"][0].update(values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("categories"), r"lacks \['categories'\]"),
        (lambda c: c["images"][0].pop("height"), "not in COCO's form .KeyError: 'height'"),
        (lambda c: c["images"].append(c["images"][0]), "id 7 is there 2 times among the images"),
        (lambda c: c["annotations"].append(c["annotations"][0]), "id 1 is there 2 times among"),
        (entry(image_id=8), "annotation 1 is of image 8, which is not listed"),
        (entry(category_id=1), r"annotation 1 has category 1, not of \[3\]"),
        (entry(segmentation=[]), "annotation 1 has no segmentation"),
        (entry(area=0), "annotation 1 has area 0, expected more than 0"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, change, message):
    with pytest.raises(DataError, match=message):
        read_annotations(written(tmp_path, change))


def test_a_detection_file_is_not_taken_for_annotations(tmp_path):
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(DataError, match="lacks"):
        read_annotations(tmp_path / "a.json")


ANNOTATIONS = Annotations(
    images={1: AnnotatedImage("a.png", 100, 200), 2: AnnotatedImage("b.png", 100, 200)},
    categories={1: "night_gate", 18: "dog"},
    content={},
)
ENTRY = {"image_id": 1, "category_id": 18, "bbox": [10, 20, 30, 40], "score": 0.5}


def read(folder, *entries):
    path = folder / "detections.json"
    path.write_text(json.dumps(list(entries)))
    return read_detections(path, ANNOTATIONS)


def test_boxes_become_edges_and_keep_their_place_in_the_file(tmp_path):
    found = read(tmp_path, ENTRY, {**ENTRY, "image_id": 2, "score": 1})
    assert found[0] == Detection(
        number=0, image_id=1, category_id=18, box=(10.0, 20.0, 40.0, 60.0), score=0.5
    )
    assert (found[1].number, found[1].image_id, found[1].score) == (1, 2, 1.0)


@pytest.mark.parametrize("phrase", ["night_gate", "Night gate", " night  Gate", "night-gate"])
def test_a_phrase_stands_for_the_category_of_that_name(tmp_path, phrase):
    entry = {key: value for key, value in ENTRY.items() if key != "category_id"}
    assert read(tmp_path, {**entry, "phrase": phrase})[0].category_id == 1


def test_a_box_that_sticks_out_a_little_of_each_side_is_cut_off(tmp_path):
    (found,) = read(tmp_path, {**ENTRY, "bbox": [-8, -4, 217, 50]})
    assert found.box == (0.0, 0.0, 200.0, 46.0)


@pytest.mark.parametrize(
    ("bbox", "box"),
    [
        ([-10, -5, 220, 110], (0, 0, 200, 100)),  # a twentieth of the side beyond each edge
        ([-10.1, 0, 20, 20], None), ([0, -5.1, 20, 20], None),
        ([0, 0, 210.1, 20], None), ([0, 0, 20, 105.1], None),
        ([199, 99, 2, 2], (199, 99, 200, 100)), ([200, 0, 5, 5], None), ([0, 100, 5, 5], None),
        ([-10, 0, 10, 5], None), ([0, -5, 5, 5], None), ([5, 5, 0.5, 0.5], (5, 5, 5.5, 5.5)),
    ],
)  # fmt: skip
def test_the_edges_of_an_image_belong_to_it_and_so_does_a_twentieth_beyond(tmp_path, bbox, box):
    for score in (0, 1):
        entry = {**ENTRY, "bbox": bbox, "score": score}
        if box:
            (found,) = read(tmp_path, entry)
            assert (found.box, found.score) == (box, score)
        else:
            with pytest.raises(DataError, match="leaves its image|lies outside its image"):
                read(tmp_path, entry)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": 3}, "image_id 3 is none of the set's 2 images"),
        ({"image_id": "1"}, "image_id '1' is none"),
        ({"image_id": None}, "image_id None is none"),
        ({"image_id": [1]}, r"image_id \[1\] is none"),
        ({"category_id": [18]}, r"category_id \[18\] is none"),
        ({"category_id": 18.0}, r"category_id 18.0 is none"),
        ({"bbox": [True, 0, 1, 1]}, "is not four finite numbers"),
        ({"category_id": 17}, r"category_id 17 is none of \[1, 18\]; COCO's ids have gaps"),
        ({"phrase": "cat"}, r"phrase 'cat' is none of \['dog', 'night gate'\]"),
        ({"score": None}, "score None is no number from 0 to 1"),
        ({"score": math.nan}, "score nan is no number"),
        ({"score": 1.5}, "score 1.5 is no number from 0 to 1"),
        ({"score": True}, "score True is no number"),
        ({"bbox": [0, 0, 1]}, r"bbox \[0, 0, 1\] is not four finite numbers"),
        ({"bbox": [0, 0, 1, math.nan]}, r"nan\] is not four finite numbers"),
        ({"bbox": [0, 0, math.inf, 1]}, "is not four finite numbers"),
        ({"bbox": [-1e9, 0, 1, 1]}, "is not four finite numbers"),
        ({"bbox": [5, 5, 0, 4]}, r"bbox \[5, 5, 0, 4\] is empty"),
        ({"bbox": [5, 5, 4, 0]}, r"bbox \[5, 5, 4, 0\] is empty"),
        ({"bbox": [300, 20, 10, 10]}, r"leaves its image of 200 x 100 \(width x height\)"),
        ({"bbox": [20, 30, 10, 78]}, "leaves its image"),
        ({"bbox": [150, 20, 190, 60]}, "not corners or fractions"),
        ({"bbox": [-5, 0, 4, 4]}, "lies outside its image"),
    ],
)
def test_what_is_wrong_with_an_entry_is_said(tmp_path, change, message):
    with pytest.raises(DataError, match=f"1 invalid of 2 detections:\n- entry 1: .*{message}"):
        read(tmp_path, ENTRY, {**ENTRY, **change})


@pytest.mark.parametrize("key", ["image_id", "category_id", "bbox", "score"])
def test_every_part_of_an_entry_is_needed(tmp_path, key):
    with pytest.raises(DataError, match=rf"{key} None is"):
        read(tmp_path, {name: value for name, value in ENTRY.items() if name != key})


def test_many_faults_are_counted_and_the_first_shown(tmp_path):
    with pytest.raises(DataError, match=r"holds 9 invalid of 9 detections(.|\n)*- and 4 more"):
        read(tmp_path, *[{**ENTRY, "image_id": 9}] * 9)


def test_annotations_are_not_taken_for_detections(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"images": []}))
    with pytest.raises(DataError, match="is no list of detections"):
        read_detections(path, ANNOTATIONS)


def test_the_best_boxes_of_each_image_come_first_and_equals_in_the_files_order():
    def one(number, image, score):
        return Detection(
            number=number, image_id=image, category_id=1, box=(0, 0, 1, 1), score=score
        )

    detections = [one(0, 2, 0.1), one(1, 1, 0.5), one(2, 1, 0.9), one(3, 1, 0.5)]
    found = best_of_each_image(detections, 2)
    assert {image: [d.number for d in best] for image, best in found.items()} == {1: [2, 1], 2: [0]}
    assert list(found) == [1, 2]
    again = best_of_each_image(detections[::-1], 2)
    assert [d.number for d in again[1]] == [2, 1]


def test_boxes_in_fractions_of_the_image_are_told_by_what_they_are(tmp_path):
    shares = [{**ENTRY, "bbox": [0.1, 0.2, 0.3, 0.4]}, {**ENTRY, "bbox": [0, 0, 1, 1]}]
    with pytest.raises(DataError, match="no bbox reaches beyond 1, so they are fractions"):
        read(tmp_path, *shares)
    assert read(tmp_path, {**ENTRY, "bbox": [0, 0, 1, 1]})[0].box == (0, 0, 1, 1)
    assert len(read(tmp_path, shares[0], shares[1], ENTRY)) == 3  # a large box speaks for all


PARAMS = GeneratedInstancesParams(coco_images=2, seginw_images=1)


def contents(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def draw(folder, *, seed=5, workers=1, params=PARAMS):
    draw_instance_sets(params, folder, seed=seed, side=96, workers=workers)
    return contents(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("instances")
    draw(made)
    return made


def places(folder):
    coco = folder / "coco_like"
    yield coco / "annotations.json", coco / "detections.json", coco / "images"
    for name in SMALL_SETS:
        valid = folder / "seginw_like/sets" / name / "valid"
        found = folder / "seginw_like/detections" / f"{name}.json"
        yield valid / "_annotations_min1cat.coco.json", found, valid


def test_every_set_can_be_read_back_with_its_images_and_detections(folder):
    for annotated, detected, images in places(folder):
        annotations = read_annotations(annotated)
        read_detections(detected, annotations)
        assert annotations.content["annotations"]
        for image in annotations.images.values():
            assert read_image(images / image.file).shape == (image.height, image.width, 3)


@pytest.mark.slow  # so does prepare: test_preparation
def test_the_same_seed_gives_the_same_bytes_with_one_process_or_two(folder, tmp_path):
    assert draw(tmp_path, workers=2) == contents(folder)


def test_another_seed_gives_other_pictures(folder, tmp_path):
    few = GeneratedInstancesParams(coco_images=1, seginw_images=0)
    made = draw(tmp_path, seed=6, params=few)
    name = "coco_like/images/00000.png"
    assert made[name] != (folder / name).read_bytes()


def test_cocos_categories_are_the_families_and_those_of_small_sets_are_kinds(folder):
    coco, *small = (read_annotations(annotated) for annotated, _, _ in places(folder))
    assert list(coco.categories.values()) == ["dis", "coift", "hrsod", "thin"]
    for annotations, (_, kinds) in zip(small, SMALL_SETS.values(), strict=True):
        assert tuple(annotations.categories.values()) == kinds
        assert set(kinds) <= set(KINDS)


def test_small_sets_detections_speak_in_phrases(folder):
    small = [json.loads(detected.read_text()) for _, detected, _ in list(places(folder))[1:]]
    entries = [entry for found in small for entry in found]
    assert entries
    assert all("phrase" in entry and "category_id" not in entry for entry in entries)


def test_areas_of_annotations_fit_into_their_boxes(folder):
    for entry in read_annotations(folder / "coco_like/annotations.json").content["annotations"]:
        assert 0 < entry["area"] <= entry["bbox"][2] * entry["bbox"][3]


def test_each_generated_set_is_drawn_as_its_plan_says(tmp_path, monkeypatch):
    tasks = []
    monkeypatch.setattr(
        instance_sets,
        "parallel_map",
        lambda work, items, **more: tasks.extend(items) or iter(items),
    )
    monkeypatch.setattr(instance_sets, "_write_set", lambda plan, drawn: None)
    params = GeneratedInstancesParams(coco_images=2, seginw_images=1)
    draw_instance_sets(params, tmp_path, seed=7, side=96, workers=3)
    assert [(task.plan.name, task.number) for task in tasks] == [
        ("coco_like", 0), ("coco_like", 1), *((name, 0) for name in SMALL_SETS)
    ]  # fmt: skip
    assert {task.side for task in tasks} == {96}
    assert len({task.entropy for task in tasks}) == len(tasks)
    for task in tasks:
        plan, (look, kinds) = task.plan, SMALL_SETS.get(task.plan.name, ("plain", tuple(KINDS)))
        is_coco = plan.name == "coco_like"
        assert task.entropy == (zlib.crc32(plan.name.encode()), 7, task.number)
        assert (plan.look, plan.kinds) == (look, kinds)
        assert (plan.objects, plan.phrases) == (((2, 5), False) if is_coco else ((2, 4), True))


@pytest.mark.parametrize("phrases", [True, False])
def test_an_image_of_a_set_shows_and_says_what_its_plan_asks_for(tmp_path, phrases):
    kinds = ("bird", "gear")
    plan = SetPlan(
        name="x", count=9, kinds=kinds, categories=("gear", KINDS["bird"]), objects=(2, 3),
        look="negative", phrases=phrases, images=tmp_path, annotations=tmp_path / "a",
        detections=tmp_path / "d",
    )  # fmt: skip
    found = draw_image(ImageToDraw(plan=plan, entropy=(5, 6, 7), number=4, side=96))
    group = draw_group(entropy=(5, 6, 7, 0), side=96, kinds=kinds, objects=(2, 3))
    assert np.array_equal(read_image(tmp_path / "00004.png"), 255 - group.image)
    height, width = group.image.shape[:2]
    assert found.image == {"id": 5, "file_name": "00004.png", "height": height, "width": width}
    numbers = [1 if kind == "gear" else 2 for kind in group.kinds]
    assert [one["category_id"] for one in found.annotations] == numbers
    for one, mask in zip(found.annotations, group.masks, strict=True):
        assert np.array_equal(decode(one["segmentation"]), mask > 128)
        assert (one["image_id"], one["area"]) == (5, np.count_nonzero(mask > 128))
    names = ("gear", KINDS["bird"])
    simulated = simulate_detections(
        Draws(5, 6, 7, 1, held_out=True), [one["bbox"] for one in found.annotations],
        [number - 1 for number in numbers], size=(height, width), known=2,
    )  # fmt: skip
    for one, truth in zip(found.detections, simulated, strict=True):
        assert (one["image_id"], one["bbox"], one["score"]) == (5, list(truth.box), truth.score)
        said = {"phrase": names[truth.category]} if phrases else {"category_id": truth.category + 1}
        assert said.items() <= one.items()


def test_no_images_make_empty_sets(tmp_path):
    none = GeneratedInstancesParams(coco_images=0, seginw_images=0)
    draw(tmp_path, params=none)
    annotations = read_annotations(tmp_path / "coco_like/annotations.json")
    assert annotations.images == {}
    assert read_detections(tmp_path / "coco_like/detections.json", annotations) == []


@pytest.mark.parametrize("form", ["coco", "coco-rle", "yolo", "labelme"])
def test_what_is_written_for_other_tools_comes_back_in_its_place(tmp_path, form):
    ring, dot = np.zeros((2, 60, 90), np.uint8)
    ring[10:30, 30:80], ring[16:24, 40:70], dot[40:50, 5:20] = 255, 0, 255
    ring[40:58, 60:85] = 255  # a second part of the same object
    pairs = []
    write_png(tmp_path / "im" / "a.png", np.zeros((60, 90, 3), np.uint8))
    for number, mask in enumerate((ring, dot)):
        write_png(tmp_path / "gt" / f"a_{number}.png", mask)
        pairs.append(
            Pair(split="val", dataset="cats", image=tmp_path / "im" / "a.png",
                 mask=tmp_path / "gt" / f"a_{number}.png")
        )  # fmt: skip
    (tmp_path / "out").mkdir()  # an empty folder may be there
    assert export_set(pairs, tmp_path / "out", form) == 1
    file = tmp_path / "out" / ("annotations.json" if form.startswith("coco") else "")
    (candidate,) = from_annotations(file, SetPlaces(images=tmp_path / "im")).candidates
    assert len(candidate.encoded) == 2
    for code, mask in zip(candidate.encoded, (ring, dot), strict=True):
        found = decode(code.code())
        assert (found & (mask > 0)).sum() / (found | (mask > 0)).sum() >= 0.97


@pytest.mark.parametrize("form", ["coco", "coco-rle", "yolo", "labelme", "cutout"])
def test_images_whose_files_would_be_one_are_not_exported(tmp_path, form):
    for name in ("a.png", "a.bmp"):
        write_png(tmp_path / "im" / "any.png", np.zeros((6, 9, 3), np.uint8))
        (tmp_path / "im" / "any.png").rename(tmp_path / "im" / name)
    write_png(tmp_path / "gt.png", np.eye(6, 9, dtype=np.uint8) * 255)
    pairs = [
        Pair(split="val", dataset="cats", image=tmp_path / "im" / name, mask=tmp_path / "gt.png")
        for name in ("a.bmp", "a.png")
    ]
    if form.startswith("coco"):
        assert export_set(pairs, tmp_path / "out", form) == 2
        return
    with pytest.raises(DataError, match=r"a\.png and a\.bmp would both be 'a.* needs a name of"):
        export_set(pairs, tmp_path / "out", form)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", ["coco", "yolo", "cutout"])
def test_images_are_exported_however_their_table_names_them(tmp_path, form, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_png(Path("gt.png"), np.eye(6, 9, dtype=np.uint8) * 255)
    named = ("own/a.png", "own/../b/c.png", tmp_path / "own/d.png", tmp_path / "own/a.png")
    for name in named:
        write_png(Path(name), np.zeros((6, 9, 3), np.uint8))
    pairs = [
        Pair(split="val", dataset="cats", image=Path(name), mask=Path("gt.png")) for name in named
    ]
    assert export_set(pairs, Path("out"), form) == 3
    written = {path.relative_to("out").as_posix() for path in Path("out").rglob("*.*")}
    if form == "coco":
        images = json.loads(Path("out/annotations.json").read_text())["images"]
        assert [each["file_name"] for each in images] == ["own/a.png", "b/c.png", "own/d.png"]
    elif form == "yolo":
        assert written == {"own/a.txt", "b/c.txt", "own/d.txt", "classes.txt"}
    else:
        assert written == {"own/a_0.png", "own/a_1.png", "b/c_0.png", "own/d_0.png"}


def test_zero_is_a_group_and_an_image_without_objects_needs_none(tmp_path):
    def change(content):
        content["images"][0].update(file_name="a.png", film=0)
        content["images"].append({"id": 8, "file_name": "gone.png", "height": 3, "width": 4})

    write_png(tmp_path / "a.png", np.zeros((30, 40, 3), np.uint8))
    found = from_annotations(written(tmp_path, change), SetPlaces(images=tmp_path, group="film"))
    assert ([one.group for one in found.candidates], found.faults) == (["0"], ())
    assert found.notes == ("1 images without an object are left out",)


@pytest.mark.parametrize("record", [{"id": None}, {"id": True}, {"file_name": None}])
def test_an_image_without_a_number_or_a_name_is_refused(tmp_path, record):
    def change(content):
        content["images"][0].update(record)
        content["annotations"][0]["image_id"] = record.get("id", 7)

    with pytest.raises(DataError, match="an image lacks 'id' or 'file_name'"):
        from_annotations(written(tmp_path, change), SetPlaces(images=tmp_path))


@pytest.mark.parametrize("number", [" 7 ", "7", 7.0])
def test_an_image_is_meant_however_a_tool_writes_its_number(tmp_path, number):
    def change(content):
        content["images"][0]["file_name"] = "a.png"
        content["annotations"][0]["image_id"] = number

    write_png(tmp_path / "a.png", np.zeros((30, 40, 3), np.uint8))
    found = from_annotations(written(tmp_path, change), SetPlaces(images=tmp_path))
    assert (len(found.candidates), found.faults) == (1, ())


@pytest.mark.parametrize("size", [{"height": 0}, {"width": 0}, {"height": None}, {"width": -40}])
def test_a_size_that_a_tool_did_not_know_is_that_of_the_image(tmp_path, size):
    def change(content):
        content["images"][0].update(size, file_name="a.png")

    write_png(tmp_path / "a.png", np.zeros((31, 42, 3), np.uint8))
    (one,) = from_annotations(written(tmp_path, change), SetPlaces(images=tmp_path)).candidates
    assert [code.size for code in one.encoded] == [(31, 42)]


def test_of_images_of_one_name_the_one_whose_folders_agree_furthest_is_meant(tmp_path):
    for folder in ("one/train", "two/cats/train", "three"):
        write_png(tmp_path / folder / "a.png", np.zeros((30, 40, 3), np.uint8))

    def change(content):
        content["images"][0]["file_name"] = "/data/cats/train/a.png"

    (one,) = from_annotations(written(tmp_path, change), SetPlaces(images=tmp_path)).candidates
    assert (one.image, one.name) == (tmp_path / "two/cats/train/a.png", "two/cats/train/a")


def test_a_name_is_taken_as_it_stands_before_what_an_upload_may_have_made_of_it(tmp_path):
    for name in ("0a1b2c3d-a.png", "a.png"):
        write_png(tmp_path / "sub" / name, np.zeros((30, 40, 3), np.uint8))
    for name, found in (("0a1b2c3d-a.png", "0a1b2c3d-a.png"), ("ffffffff-a.png", "a.png")):

        def change(content, name=name):
            content["images"][0]["file_name"] = name

        (one,) = from_annotations(written(tmp_path, change), SetPlaces(images=tmp_path)).candidates
        assert one.image == tmp_path / "sub" / found


def test_an_object_whose_number_has_no_plain_letter_is_called_object(tmp_path):
    def change(content):
        content["images"][0]["file_name"] = "a.png"
        more = [{**content["annotations"][0], "id": name} for name in ("*/ ?", "-a b-")]
        content["annotations"] = more

    write_png(tmp_path / "a.png", np.zeros((30, 40, 3), np.uint8))
    (one,) = from_annotations(written(tmp_path, change), SetPlaces(images=tmp_path)).candidates
    assert [code.label for code in one.encoded] == ["object", "a-b"]


def test_faults_beyond_those_that_are_shown_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr("pasam.files.MOST_FAULTS", 2)

    def change(content):
        content["images"][0]["file_name"] = "a.png"
        content["annotations"] += [{"id": n, "image_id": 9} for n in range(2, 7)]

    write_png(tmp_path / "a.png", np.zeros((30, 40, 3), np.uint8))
    found = from_annotations(written(tmp_path, change), SetPlaces(images=tmp_path))
    assert (len(found.candidates), len(found.faults), found.more_faults) == (1, 2, 3)


def test_a_drawn_mask_has_the_height_and_the_width_of_its_image(tmp_path):
    write_png(tmp_path / "a.png", np.zeros((2, 3, 3), np.uint8))
    for size, said in (((2, 3), ()), ((3, 2), (r"of a is drawn on (3, 2) pixels",))):
        drawn = DrawnAs(label="1", drawing=np.ones(size, np.uint8), name="of a")
        image = AnnotatedFile(name="a.png", size=(2, 3), objects=(drawn,))
        found = encoded_source("any", tmp_path / "x.json", tmp_path, [image])
        assert len(found.faults) == len(said)
        assert all(words in fault for words, fault in zip(said, found.faults, strict=True))


def test_a_task_whose_answers_have_their_former_name_is_read(tmp_path):
    drawn = {"points": [[10, 10], [50, 10], [50, 50]], "polygonlabels": ["cat"]}
    answer = {"result": [{"type": "polygonlabels", "value": drawn}]}
    task = {"id": 1, "data": {"image": "a.png"}, "annotations": [], "completions": [answer]}
    write_png(tmp_path / "a.png", np.zeros((30, 40, 3), np.uint8))
    (tmp_path / "set.json").write_text(json.dumps([task]))
    (one,) = from_annotations(tmp_path / "set.json", SetPlaces(images=tmp_path)).candidates
    assert [code.label for code in one.encoded] == ["1"]


def test_a_mask_whose_first_run_is_of_no_pixel_begins_with_the_object(tmp_path):
    write_png(tmp_path / "a.png", np.zeros((30, 40, 3), np.uint8))
    shape = '<mask label="cat" rle="0, 3, 1" left="5" top="7" width="2" height="2"/>'
    (tmp_path / "set.xml").write_text(
        f"<annotations><image name='a.png' width='40' height='30'>{shape}</image></annotations>"
    )
    (one,) = from_annotations(tmp_path / "set.xml", SetPlaces(images=tmp_path)).candidates
    (code,) = one.encoded
    expected = np.zeros((30, 40), np.bool_)
    expected[7, 5:7], expected[8, 5] = True, True
    assert np.array_equal(decode(code.code()), expected)


def test_a_large_file_of_cvat_with_images_beside_a_track_is_read(tmp_path):
    write_png(tmp_path / "a.png", np.zeros((30, 40, 3), np.uint8))
    shape = '<polygon label="cat" points="2,3;12,3;12,9"/>'
    image = f"<image name='a.png' width='40' height='30'>{shape}</image>"
    padding = " " * 10**7  # more than other texts may have
    text = f"<annotations><track id='0'/>{padding}{image}</annotations>"
    (tmp_path / "set.xml").write_text(text)
    (one,) = from_annotations(tmp_path / "set.xml", SetPlaces(images=tmp_path)).candidates
    assert [code.label for code in one.encoded] == ["cat-1"]


def test_an_object_without_a_pixel_has_no_line_in_yolos_form():
    full, empty = (encode(np.full((4, 6), value, np.uint8)) for value in (1, 0))
    image = ExportedImage("a.png", 4, 6, [("cat", empty), ("dog", full)])
    files = annotation_files([image], "yolo")
    assert files["classes.txt"] == "cat\ndog\n"
    (line,) = files["a.txt"].splitlines()
    assert line.startswith("1 ")


@pytest.mark.parametrize(
    ("content", "form"),
    [
        ({"annotations": [], "image": {}}, "sa-1b"), ({"annotations": [], "image": "a"}, "coco"),
        ({"images": [], "info": {"year": 1}}, "coco"), ({"a": {"b": 1}}, ""),
        ({"a": {"regions": []}, "b": 1}, "via"), ({"shapes": [], "images": []}, "labelme"),
    ],
)  # fmt: skip
def test_a_form_is_told_by_what_only_its_tool_writes(content, form):
    assert _form(content) == form


def test_a_folder_of_two_forms_names_both_whichever_comes_last(tmp_path):
    image = {"file_name": "a.jpg", "height": 4, "width": 4}
    labelme = {"imagePath": "b.jpg", "imageHeight": 4, "imageWidth": 4, "shapes": []}
    (tmp_path / "a.json").write_text(json.dumps({"image": image, "annotations": []}))
    (tmp_path / "b.json").write_text(json.dumps(labelme))
    kind, found = _of_folder(tmp_path, sorted(tmp_path.iterdir()), tmp_path, [], Faults())
    assert (kind, [one.name for one in found]) == ("labelme and sa-1b", ["a.jpg", "b.jpg"])


def test_what_lies_hidden_beside_labels_is_none_and_suffixes_may_be_in_capitals(tmp_path):
    write_png(tmp_path / "im/night/a.png", np.zeros((30, 40, 3), np.uint8))
    (tmp_path / "im/night/a.png").rename(tmp_path / "im/night/a.PNG")
    (tmp_path / "gt").mkdir()
    (tmp_path / "gt/a.TXT").write_text("7 0 0 0.5 0 0.5 0.5\n")
    (tmp_path / "gt/._a.txt").write_bytes(b"\0\5\xff")
    points = {"points": [[10, 10], [50, 10], [50, 50]]}
    answer = {"result": [{"type": "polygonlabels", "value": points}]}
    data = {"page": "https://x/y.html", "image": "s3://x/a.PNG"}
    (tmp_path / "a.json").write_text(json.dumps([{"id": 1, "data": data, "annotations": [answer]}]))
    for place in ("gt", "a.json"):
        (one,) = from_annotations(tmp_path / place, SetPlaces(images=tmp_path / "im")).candidates
        assert one.name == "night/a"
