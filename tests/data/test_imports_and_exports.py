"""Files of the usual tools are read right, and what is exported comes back as it was."""

import base64
import io
import json
import re
import zipfile

import cv2
import numpy as np
import pytest
from PIL import Image

from pasam.data.exports import FORMS, ExportedImage, annotation_files, export_set
from pasam.data.imports import SetPlaces, from_annotations, read_source
from pasam.data.pairing import Pair
from pasam.errors import DataError
from pasam.masks.images import write_png
from pasam.masks.polygons import polygons_of
from pasam.masks.run_lengths import decode, encode, from_segmentation

H, W = 60, 80
SQUARE = np.zeros((H, W), np.uint8)
SQUARE[10:30, 20:60] = 1
CORNERS = [20, 10, 60, 10, 60, 30, 20, 30]
POINTS = [[20, 10], [60, 10], [60, 30], [20, 30]]


@pytest.fixture
def images(tmp_path):
    write_png(tmp_path / "im" / "a.png", np.zeros((H, W, 3), np.uint8))
    return tmp_path / "im"


def read(file, images, **options):
    source = from_annotations(file, SetPlaces(images=images, **options))
    assert source.faults == ()
    (candidate,) = source.candidates
    assert candidate.image == images / "a.png"
    return source, [decode(mask.code()) for mask in candidate.encoded]


def as_file(folder, content, name="a.json"):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder / name


def labelme(shapes, image="..\\\\im\\\\a.png"):
    return {"imagePath": image, "imageHeight": H, "imageWidth": W, "shapes": shapes}


def shape(kind="polygon", points=POINTS, group=None, **more):
    return {"label": "cat", "points": points, "shape_type": kind, "group_id": group, **more}


def test_labelmes_polygons_groups_circles_and_masks(tmp_path, images):
    png = io.BytesIO()
    Image.fromarray(np.full((20, 40), 1, np.uint8)).save(png, "PNG")
    mask = shape("mask", [[19.6, 10.4], [59, 29]], mask=base64.b64encode(png.getvalue()).decode())
    half = [[20, 10], [40, 10], [40, 30], [20, 30]]
    other = [[40, 10], [60, 10], [60, 30], [40, 30]]
    shapes = [
        shape(), shape(points=half, group=0), shape(points=other, group=0), mask,
        shape("circle", [[40, 30], [46, 38]]), shape("rectangle", [[0, 0], [9, 9]]),
    ]  # fmt: skip
    as_file(tmp_path / "labels", labelme(shapes))
    source, masks = read(tmp_path / "labels", images)
    for mask in masks[:3]:
        assert np.array_equal(mask, SQUARE)
    assert masks[3].sum() == pytest.approx(np.pi * 100, rel=0.03)
    assert "1 rectangles are left out, no masks" in source.notes


def test_shapes_of_one_group_number_and_two_labels_are_two_objects(tmp_path, images):
    shapes = [shape(group=0), shape(group=0) | {"label": "dog"}, shape(kind=None)]
    as_file(tmp_path / "a", labelme(shapes))
    source, masks = read(tmp_path / "a", images)
    labels = ["cat-g0", "dog-g0", "cat-3"]
    assert [mask.label for mask in source.candidates[0].encoded] == labels
    assert all(np.array_equal(mask, SQUARE) for mask in masks)
    assert len(read(tmp_path / "a", images, categories=["dog"])[1]) == 1


def test_vias_regions(tmp_path, images):
    region = {"name": "polygon", "all_points_x": CORNERS[::2], "all_points_y": CORNERS[1::2]}
    circle = {"name": "circle", "cx": 40, "cy": 30, "r": 10}
    regions = [
        {"shape_attributes": region, "region_attributes": {"kind": "cat"}},
        {"shape_attributes": circle, "region_attributes": {}},
        {"shape_attributes": {"name": "rect"}, "region_attributes": {}},
    ]
    content = {"a.png123": {"filename": "a.png", "regions": regions}}
    for wrapped in (content, {"_via_img_metadata": content}):
        source, masks = read(as_file(tmp_path, wrapped), images)
        assert np.array_equal(masks[0], SQUARE)
        assert masks[1].sum() == pytest.approx(np.pi * 100, rel=0.03)
        assert source.notes == ("1 rects are left out, no masks",)
    _, masks = read(as_file(tmp_path, content), images, categories=["cat"])
    assert len(masks) == 1


def brush(mask, *, literal=False):
    """Encode as Label Studio does, of words of 8 bits: here runs only, or word by word."""
    values = np.repeat(mask.ravel().astype(int) * 255, 4)
    if literal:  # pale strokes of a colour that says nothing
        values = np.column_stack([255 - values[::4]] * 3 + [40 * mask.ravel()]).ravel()
    bits = (
        f"{len(values):032b}" + f"{7:05b}" + "".join(f"{width - 1:04b}" for width in (3, 4, 8, 16))
    )
    edges = np.flatnonzero(np.diff(values)) + 1
    for first in range(0, len(values), 8) if literal else ():
        part = values[first : first + 8]
        bits += "0" + "00" + f"{len(part) - 1:03b}" + "".join(f"{value:08b}" for value in part)
    for first, end in zip([0, *edges], [*edges, len(values)], strict=True):
        if literal:
            break
        bits += "1" + "11" + f"{end - first - 1:016b}" + f"{values[first]:08b}"
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


def test_label_studios_brush_and_polygons(tmp_path, images):
    points = [[100 * x / W, 100 * y / H] for x, y in POINTS]
    size = {"original_width": W, "original_height": H}
    results = [
        {"type": "brushlabels", **size,
         "value": {"format": "rle", "rle": brush(SQUARE), "brushlabels": ["cat"]}},
        {"type": "polygonlabels", **size, "value": {"points": points, "polygonlabels": ["cat"]}},
        {"type": "rectanglelabels", **size, "value": {"x": 1, "rectanglelabels": ["cat"]}},
    ]  # fmt: skip
    task = {"id": 7, "data": {"image": "/data/local-files/?d=im%2Fa.png"},
            "annotations": [{"result": results}, {"result": []}]}  # fmt: skip
    results[0]["value"]["rle"] = brush(SQUARE, literal=True)
    assert np.array_equal(read(as_file(tmp_path, [task]), images)[1][0], SQUARE)
    results[0]["value"]["rle"] = brush(SQUARE)
    source, masks = read(as_file(tmp_path, [task]), images)
    assert [np.array_equal(mask, SQUARE) for mask in masks] == [True, True]
    assert "1 rectanglelabels are left out, no masks" in source.notes
    assert "1 further annotators' answers are left out, no masks" in source.notes


def test_sa_1bs_files_of_one_image(tmp_path, images):
    code = from_segmentation([CORNERS], H, W)
    content = {"image": {"file_name": "a.png", "height": H, "width": W, "image_id": 1},
               "annotations": [{"id": 5, "segmentation": code}]}  # fmt: skip
    as_file(tmp_path / "labels", content)
    _, masks = read(tmp_path / "labels", images)
    assert np.array_equal(masks[0], SQUARE)


def test_cvats_polygons_and_brush(tmp_path, images):
    points = ";".join(f"{x}.00,{y}.00" for x, y in POINTS)
    rle = "42, 38, 2, 38, 2, 38"  # rows of 40 from the first pixel of the second row
    text = f"""<?xml version="1.0"?><annotations><version>1.1</version>
    <image id="0" name="a.png" width="{W}" height="{H}">
    <polygon label="cat" points="{points}"/><box label="cat" xtl="1" ytl="1" xbr="2" ybr="2"/>
    <mask label="cat" rle="{rle}" left="20" top="10" width="40" height="4"/>
    <mask label="dog" rle="3, 1, 1, 2, 4, 1" left="-2" top="-1" width="4" height="3"/></image>
    </annotations>"""
    source, masks = read(as_file(tmp_path, text, "a.xml"), images)
    assert np.array_equal(masks[0], SQUARE)
    assert masks[1][11, 22:60].all()
    assert masks[1].sum() == 3 * 38
    assert np.argwhere(masks[2]).tolist() == [[0, 0], [1, 1]], "what sticks out is cut off"
    assert source.notes == ("1 boxes are left out, no masks",)
    assert [mask.label for mask in source.candidates[0].encoded] == ["cat-1", "cat-3", "dog-4"]
    _, (dog,) = read(tmp_path / "a.xml", images, categories=["dog"])
    assert np.array_equal(dog, masks[2])


def test_yolos_segments(tmp_path, images):
    corners = " ".join(f"{value / (W if i % 2 == 0 else H):.6f}" for i, value in enumerate(CORNERS))
    lines = (f"0 {corners}", "1 0.5 0.5 0.2 0.2", "2 0 0 0.5 0 0.5 0.5", "", "x 0 0 1 0 1 1")
    as_file(tmp_path / "labels", "\n".join(lines), "a.txt")
    as_file(tmp_path / "labels", "cat\ndog\n", "classes.txt")
    as_file(tmp_path / "labels", "names: [cat, dog]\n", "data.yaml")
    source, masks = read(tmp_path / "labels", images, categories=["cat"])
    assert np.array_equal(masks[0], SQUARE)
    left_out = ["1 boxes are left out, no masks", "2 annotations of other categories are left out"]
    assert list(source.notes) == left_out
    for unnamed, label in (("2", "3"), ("x", "5")):  # a class beyond the names is called as it is
        source, _ = read(tmp_path / "labels", images, categories=[unnamed])
        assert [mask.label for mask in source.candidates[0].encoded] == [label]


RIGHT, DOWN = np.meshgrid(np.arange(W) + 0.5 - 40, np.arange(H) + 0.5 - 30)
ALONG, ACROSS = np.sqrt(0.75) * RIGHT + 0.5 * DOWN, np.sqrt(0.75) * DOWN - 0.5 * RIGHT
TURNED = (ALONG / 25) ** 2 + (ACROSS / 8) ** 2 < 1
"""An ellipse round (40, 30), turned by 30 degrees, clockwise as seen."""


def test_yolos_class_below_0_and_a_zipped_export_are_refused_with_what_to_do(tmp_path, images):
    as_file(tmp_path / "labels", "-1 0.1 0.1 0.9 0.1 0.9 0.9\n", "a.txt")
    (fault,) = from_annotations(tmp_path / "labels", SetPlaces(images=images)).faults
    assert "a.txt, line 1: the class is -1, expected a number from 0" in fault
    with zipfile.ZipFile(tmp_path / "task.zip", "w") as archive:
        archive.writestr("annotations.xml", "<annotations/>")
    with pytest.raises(DataError, match=r"task.zip is an archive. Unpack it, and name the file of"):
        from_annotations(tmp_path / "task.zip", SetPlaces(images=images))


def test_a_coco_polygon_in_fractions_is_no_object_of_one_pixel(tmp_path, images):
    height, width = SQUARE.shape
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": width, "height": height}],
        "annotations": [
            {
                "id": 7,
                "image_id": 1,
                "category_id": 1,
                "segmentation": [[0.1, 0.1, 0.6, 0.1, 0.5, 1]],
            }
        ],
        "categories": [{"id": 1, "name": "cat"}],
    }
    source = from_annotations(as_file(tmp_path, content, "coco.json"), SetPlaces(images=images))
    assert "annotation 7 has corners from 0 to 1 only: fractions" in source.faults[0]


def test_a_turned_ellipse_stays_turned(tmp_path, images):
    cvat = (
        f"<annotations><image name='a.png' width='{W}' height='{H}'><ellipse label='cat' cx='40' "
        "cy='30' rx='25' ry='8' rotation='30'/></image></annotations>"
    )
    ellipse = {"name": "ellipse", "cx": 40, "cy": 30, "rx": 25, "ry": 8, "theta": np.pi / 6}
    via = {"a.png1": {"filename": "a.png", "regions": [{"shape_attributes": ellipse}]}}
    value = {
        "x": 50, "y": 50, "radiusX": 2500 / W, "radiusY": 800 / H, "rotation": 30,
        "ellipselabels": ["cat"],
    }  # fmt: skip
    studio = [task({"type": "ellipselabels", "value": value})]
    for content, name in ((cvat, "a.xml"), (via, "a.json"), (studio, "b.json")):
        _, (mask,) = read(as_file(tmp_path, content, name), images)
        assert iou(mask > 0, TURNED) > 0.93


def task(*results, **data):
    """A task of Label Studio about the image a.png."""
    size = {"original_width": W, "original_height": H}
    whole = [{**size, **result} for result in results]
    return {"id": 1, "data": data or {"image": "/data/upload/1/0f3c2d1e-a.png"},
            "annotations": [{"result": whole}]}  # fmt: skip


def studio_polygon(**more):
    points = [[100 * x / W, 100 * y / H] for x, y in POINTS]
    return {"type": "polygonlabels", "value": {"points": points}, **more}


def test_a_task_of_label_studio_with_texts_relations_and_untouched_images(tmp_path, images):
    relation = {"type": "relation", "from_id": "a", "to_id": "b"}
    with_text = task(studio_polygon(), relation, caption="A red cup", image="s3://x/a.png?v=1")
    untouched = {"id": 2, "data": {"image": "gone.png"}, "annotations": []}
    source, (mask,) = read(as_file(tmp_path, [with_text, untouched]), images)
    assert np.array_equal(mask, SQUARE)
    assert "1 images without an object are left out" in source.notes
    valid = task({**studio_polygon(), "type": "polygonlabels"})
    given = valid.pop("annotations")
    given[0]["result"][0]["value"]["polygonlabels"] = ["dog", "cat"]  # of which the first counts
    skipped = {"result": [{"type": "brushlabels"}], "was_cancelled": True}
    older = {**valid, "completions": [skipped, *given]}  # as older versions call them
    source, (mask,) = read(as_file(tmp_path, [older]), images, categories=["dog"])
    assert np.array_equal(mask, SQUARE)
    assert source.notes == ("1 images were found by their names without the prefix of Label "
                            "Studio's upload in a.json",)  # fmt: skip
    turned = as_file(tmp_path, [task(studio_polygon(image_rotation=90))])
    assert "turned by 90 degrees" in from_annotations(turned, SetPlaces(images=images)).faults[0]


def test_labelmes_masks_of_one_group_are_one_object_and_its_size_may_be_missing(tmp_path, images):
    png = io.BytesIO()
    Image.fromarray(np.full((20, 20), 255, np.uint8)).save(png, "PNG")
    drawn = base64.b64encode(png.getvalue()).decode()
    rest = [[50, 10], [60, 10], [60, 30], [50, 30]]
    shapes = [
        shape("mask", [[20, 10], [39, 29]], group=1, mask=drawn),
        shape("mask", [[30, 10], [49, 29]], group=1, mask=drawn),
        shape(points=rest, group=1),
    ]
    as_file(tmp_path / "labels", labelme(shapes))
    _, (mask,) = read(tmp_path / "labels", images)
    assert np.array_equal(mask, SQUARE)
    for missing in ({"imageWidth": None}, {"imageHeight": None, "imageWidth": None}):
        as_file(images, {**labelme([shape()], image="a.png"), **missing})
        source = from_annotations(images, SetPlaces())  # beside its images
        assert np.array_equal(decode(source.candidates[0].encoded[0].code()), SQUARE)
        assert source.notes == ()


def test_yolos_file_of_two_images_or_of_none_is_named(tmp_path, images):
    labels = tmp_path / "labels"
    as_file(labels, "0 0.1 0.1 0.9 0.1 0.9 0.9\n", "a.txt")
    as_file(labels, "This data set was exported.\n", "README.txt")
    write_png(images / "night" / "a.png", np.zeros((H, W, 3), np.uint8))
    words, torn = from_annotations(labels, SetPlaces(images=images)).faults
    assert "README.txt, line 1: 'This data set was exported.' is not YOLO's" in words
    assert "a.txt may be of any of ['a.png', 'night/a.png']" in torn


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", {"a": 1}, "is of no known form"),
        ("a.json", {"_via_img_metadata": [{"regions": []}]}, "is of no known form"),
        ("a.json", {"images": []}, r"lacks \['annotations'\]"),
        (
            "a.json",
            [
                {
                    "data": {"image": "s3://x/a.jp2"},
                    "annotations": [
                        {"result": [{"type": "polygonlabels", "value": {"points": POINTS}}]}
                    ],
                }
            ],
            "a.jp2 does not exist",
        ),
        ("a.json", labelme([shape(points=[[1]])]), "1 numbers, expected .*3 points"),
        ("a.json", labelme([{"label": "cat"}]), "is not written as its tool does it"),
        ("a.json", labelme([shape("mask", mask="?")]), "is not written as its tool does it"),
        ("a.json", [{"data": {}}], "is not written as its tool does it"),
        (
            "a.json",
            [
                {
                    "data": {"i": "a.png"},
                    "annotations": [
                        {
                            "result": [
                                {
                                    "type": "brushlabels",
                                    "original_width": W,
                                    "original_height": H,
                                    "value": {"format": "rle", "rle": [0, 0, 75]},
                                }
                            ]
                        }
                    ],
                }
            ],
            "breaks off",
        ),
        (
            "a.json",
            {
                "a": {
                    "filename": "a.png",
                    "regions": [
                        {
                            "shape_attributes": {
                                "name": "polygon",
                                "all_points_x": [1, 2, 3, 4],
                                "all_points_y": [1, 2, 3],
                            }
                        }
                    ],
                }
            },
            "is not written as its tool does it",
        ),
        ("a.xml", "<a/>", "begins with <a>"),
        ("a.xml", "<annotations>", "is no XML"),
        ("a.xml", "<annotation><object/></annotation>", "Pascal VOC's XML holds boxes"),
        ("a.xml", "<annotations><track/></annotations>", 'export it as "CVAT for images"'),
        ("a.xml", "<!DOCTYPE x><annotations/>", "has a document type"),
        (
            "a.xml",
            "<annotations><image name='a.png' width='9' height='9'><mask rle='1' left='0' top='0' "
            "width='99999' height='99999'/></image></annotations>",
            "a mask of 99999 x 99999 pixels",
        ),
    ],
)
def test_what_is_not_in_a_tools_form_is_refused_in_a_line(tmp_path, images, name, content, message):
    try:
        (said, *_) = from_annotations(
            as_file(tmp_path, content, name), SetPlaces(images=images)
        ).faults
    except DataError as error:
        said = str(error)
    assert re.search(message, said)
    assert "\n" not in said


def test_an_image_of_another_folder_is_neither_found_nor_touched(tmp_path, images):
    write_png(tmp_path / "secret.png", np.zeros((H, W, 3), np.uint8))
    file = as_file(tmp_path, labelme([shape()], image=str(tmp_path / "secret.png")))
    source = from_annotations(file, SetPlaces(images=images))
    assert source.candidates == ()
    assert "does not exist" in source.faults[0]


@pytest.mark.parametrize(
    "named", ["", "im", "gt", "im gt a", "im gt t", "gt t", "im t", "t a", "gt a"]
)
def test_one_source_and_no_other_is_named(tmp_path, named):
    keys = {"im": "images", "gt": "masks", "t": "table", "a": "annotations"}
    with pytest.raises(DataError, match="in one of three ways"):
        read_source(SetPlaces(**{keys[part]: tmp_path for part in named.split()}))


def coco(**record):
    """A file of two objects, the second one a crowd, on the image a.png."""
    cats = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    drawn = [
        {"id": n, "image_id": 7, "category_id": n, "iscrowd": n - 1, "segmentation": [CORNERS]}
        for n in (1, 2)
    ]
    image = {"id": 7, "file_name": "a.png", "height": H, "width": W, **record}
    return {"images": [image], "annotations": drawn, "categories": cats}


@pytest.mark.parametrize("record", [{}, {"film": None}])
def test_an_image_that_belongs_to_no_group_is_named_and_belongs_to_none(tmp_path, images, record):
    source = read_source(
        SetPlaces(images=images, annotations=as_file(tmp_path, coco(**record)), group="film")
    )
    assert [each.group for each in source.candidates] == [None]
    assert len(source.faults) == 1
    assert "a.png has no 'film' (--group)" in str(source.faults[0])


@pytest.mark.parametrize(
    ("options", "labels", "group"),
    [
        ({}, ["1"], None),
        ({"crowds": True}, ["1", "2"], None),
        ({"group": "film"}, ["1"], "f3"),
        ({"categories": ["cat"]}, ["1"], None),
        ({"crowds": True, "categories": ["dog"], "group": "film"}, ["2"], "f3"),
    ],
)
def test_what_is_asked_of_a_coco_file_is_done_wherever_it_is_named(
    tmp_path, images, options, labels, group
):
    file = as_file(tmp_path, coco(film="f3"))
    (candidate,) = read_source(SetPlaces(images=images, annotations=file, **options)).candidates
    assert ([mask.label for mask in candidate.encoded], candidate.group) == (labels, group)
    beside = as_file(images, coco(film="f3"))  # its images need no naming
    (candidate,) = read_source(SetPlaces(annotations=beside, **options)).candidates
    assert ([mask.label for mask in candidate.encoded], candidate.group) == (labels, group)


def test_what_is_asked_of_folders_and_tables_is_done_and_other_forms_refuse_a_group(
    tmp_path, images
):
    write_png(tmp_path / "gt" / "m_a.png", SQUARE)
    (tmp_path / "t.csv").write_text("image,mask,who\nim/a.png,gt/m_a.png,ann\n")
    (one,) = read_source(SetPlaces(table=tmp_path / "t.csv", group="who")).candidates
    assert one.group == "ann"
    places = {"images": images, "masks": tmp_path / "gt", "names": "{name}=m_{name}"}
    (one,) = read_source(SetPlaces(**places, group="(.)$")).candidates
    assert (one.group, one.masks) == ("a", (tmp_path / "gt" / "m_a.png",))
    as_file(tmp_path / "labels", labelme([shape()]))
    with pytest.raises(DataError, match="--group goes with COCO, tables and folders"):
        from_annotations(tmp_path / "labels", SetPlaces(images=images, group="film"))


def test_a_crowd_is_one_however_its_tool_writes_it(tmp_path, images):
    content = coco()
    for said, taken in ((1, 1), (True, 1), ("1", 1), (0, 2), ("0", 2), (False, 2), (None, 2)):
        content["annotations"][1]["iscrowd"] = said
        (one,) = from_annotations(as_file(tmp_path, content), SetPlaces(images=images)).candidates
        assert len(one.encoded) == taken, said


def test_two_records_of_one_image_are_told_and_labels_are_fit_for_names(tmp_path, images):
    content = coco()
    content["images"].append({**content["images"][0], "id": 8})
    content["annotations"][1] |= {"image_id": 8, "iscrowd": 0, "id": "x" * 70}
    source = from_annotations(as_file(tmp_path, content), SetPlaces(images=images))
    assert source.faults == (
        f"{tmp_path / 'a.json'}: 2 of its images are {images / 'a.png'}. Keep one.",
    )
    assert [len(mask.label) for one in source.candidates for mask in one.encoded] == [1, 60]


def blob(seed):
    """A part with a hole, and another part, of odd outlines."""
    rng = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(rng.normal(size=(H, W)).astype(np.float32), (0, 0), 3)
    mask = (noise > np.quantile(noise, 0.7)).astype(np.uint8)
    mask[5:25, 50:75], mask[10:18, 58:68] = 1, 0
    return mask * np.uint8(255)


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


@pytest.mark.parametrize("seed", range(5))
def test_polygons_keep_parts_and_holes(seed):
    mask = blob(seed)
    drawn = decode(from_segmentation([part.ravel().tolist() for part in polygons_of(mask)], H, W))
    assert iou(drawn, mask > 0) > 0.97
    assert not drawn[12:16, 60:66].any()


def test_a_ring_within_a_ring_keeps_its_own_hole():
    mask = np.zeros((60, 80), np.uint8)
    for margin, value in ((2, 255), (8, 0), (14, 255), (20, 0)):
        mask[margin : 60 - margin, margin : 80 - margin] = value
    parts = polygons_of(mask)
    assert len(parts) == 2
    drawn = decode(from_segmentation([part.ravel().tolist() for part in parts], 60, 80))
    assert iou(drawn, mask > 0) > 0.97


@pytest.mark.long
@pytest.mark.parametrize(
    ("form", "least"), [("coco", 0.98), ("coco-rle", 1), ("yolo", 0.98), ("labelme", 0.98)]
)
def test_what_is_exported_is_imported_as_it_was(tmp_path, form, least):
    pairs, wanted = [], {}
    for number in range(3):
        image, mask = tmp_path / "im" / f"{number}.png", tmp_path / "gt" / f"{number}.png"
        write_png(image, np.full((4 * H, 4 * W, 3), 90, np.uint8))
        large = cv2.resize(blob(number), (4 * W, 4 * H), interpolation=cv2.INTER_NEAREST)
        write_png(mask, large)
        wanted[image] = large > 0
        pairs.append(Pair(split="val", dataset="cats", image=image, mask=mask))
    assert export_set(pairs, tmp_path / "out", form) == 3
    file = tmp_path / "out" / "annotations.json" if form.startswith("coco") else tmp_path / "out"
    source = from_annotations(file, SetPlaces(images=tmp_path / "im"))
    assert source.faults == ()
    assert len(source.candidates) == 3
    for candidate in source.candidates:
        (mask,) = candidate.encoded
        assert iou(decode(mask.code()), wanted[candidate.image]) >= least


def test_an_export_of_images_in_folders_numbers_all_and_keeps_their_places(tmp_path):
    pairs, dot = [], np.zeros((H, W), np.uint8)
    dot[40:44, 5:9] = 255
    for name in ("day/a", "night/a"):
        write_png(tmp_path / f"im/{name}.png", np.zeros((H, W, 3), np.uint8))
        for part, mask in (("0", SQUARE * np.uint8(255)), ("1", dot)):
            write_png(tmp_path / f"gt/{name}_{part}.png", mask)
            pairs.append(
                Pair(split="val", dataset="cats", image=tmp_path / f"im/{name}.png",
                     mask=tmp_path / f"gt/{name}_{part}.png")
            )  # fmt: skip
    assert export_set(pairs, tmp_path / "coco", "coco-rle") == 2
    content = json.loads((tmp_path / "coco" / "annotations.json").read_text())
    assert [(one["id"], one["file_name"]) for one in content["images"]] == [
        (1, "day/a.png"), (2, "night/a.png")
    ]  # fmt: skip
    assert content["categories"] == [{"id": 1, "name": "cats"}]
    found = [(a["id"], a["image_id"], a["area"], a["bbox"]) for a in content["annotations"]]
    square, small = (800, [20, 10, 40, 20]), (16, [5, 40, 4, 4])
    assert found == [(1, 1, *square), (2, 1, *small), (3, 2, *square), (4, 2, *small)]
    export_set(pairs, tmp_path / "labelme", "labelme")
    written = json.loads((tmp_path / "labelme" / "night" / "a.json").read_text())
    assert (written["imagePath"], written["imageHeight"], written["imageWidth"]) == ("a.png", H, W)
    assert [one["group_id"] for one in written["shapes"]] == [1, 2]
    export_set(pairs, tmp_path / "yolo", "yolo")
    assert len((tmp_path / "yolo" / "day" / "a.txt").read_text().splitlines()) == 2
    assert (tmp_path / "yolo" / "classes.txt").read_text() == "cats\n"
    export_set(pairs, tmp_path / "cut", "cutout")
    assert np.array(Image.open(tmp_path / "cut" / "night" / "a_1.png")).shape == (4, 4, 4)


def test_categories_are_numbered_by_their_first_object_and_each_object_is_announced():
    code, announced = encode(SQUARE), []
    images = [
        ExportedImage("a.png", H, W, [("dog", code), ("cat", code)]),
        ExportedImage("b.png", H, W, [("cat", code)]),
    ]
    texts = annotation_files(images, "yolo", on_object=lambda: announced.append(1))
    assert [line[0] for line in (texts["a.txt"] + texts["b.txt"]).splitlines()] == ["0", "1", "1"]
    assert (texts["classes.txt"], len(announced)) == ("dog\ncat\n", 3)
    content = json.loads(annotation_files(images, "coco")["annotations.json"])
    assert [one["category_id"] for one in content["annotations"]] == [1, 2, 2]
    assert [one["name"] for one in content["categories"]] == ["dog", "cat"]


def test_a_cutout_is_the_object_in_its_box(tmp_path):
    image, mask = tmp_path / "im" / "a.png", tmp_path / "gt" / "a.png"
    pixels = np.random.default_rng(0).integers(0, 256, (H, W, 3), dtype=np.uint8)
    write_png(image, pixels)
    write_png(mask, SQUARE * np.uint8(255))
    export_set(
        [Pair(split="val", dataset="cats", image=image, mask=mask)], tmp_path / "o", "cutout"
    )
    cut = np.array(Image.open(tmp_path / "o" / "a_0.png"))
    assert np.array_equal(cut[:, :, :3], pixels[10:30, 20:60])
    assert (cut[:, :, 3] == 255).all()


def test_an_export_never_writes_into_a_folder_that_holds_something(tmp_path):
    (tmp_path / "mine").touch()
    for form in FORMS:
        with pytest.raises(DataError, match="is not empty"):
            export_set([], tmp_path, form)
