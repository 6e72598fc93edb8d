"""Prompts that stand in a file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pasam.errors import DataError, PromptError
from pasam.inference import prompt_files
from pasam.inference.prompt_files import images_of, read_prompt_file
from pasam.masks.images import write_png
from pasam.masks.run_lengths import decode

IMAGES = [Path("x/a.jpg"), Path("x/b.jpg"), Path("y/b.jpg")]


def read(path: Path, text: str, images=IMAGES):
    path.write_text(text, encoding="utf-8")
    return read_prompt_file(path, images)


def prompts(found, image):
    return [each.prompt for each in found.by_image[Path(image)]]


def test_a_csv_holds_boxes_points_and_what_belongs_together(tmp_path):
    text = (
        "image,object,x0,y0,x1,y1,x,y,label\n"
        "a.jpg,,1,2,30,40,,,\n"
        "a.jpg,,5,6,7,8,,,\n"
        "x/b.jpg,cup,1,1,9,9,,,\n"
        "x/b.jpg,cup,,,,,4,5,0\n"
        "y/b.jpg,,,,,,1,2,\n"
        "y/b.jpg,,,,,,3,4,0\n"
    )
    found = read(tmp_path / "p.csv", "\ufeff" + text)
    assert [each.box.tolist() for each in prompts(found, "x/a.jpg")] == [
        [1, 2, 30, 40],
        [5, 6, 7, 8],
    ]
    (cup,) = prompts(found, "x/b.jpg")
    assert (cup.box.tolist(), cup.points.tolist()) == ([1, 1, 9, 9], [[4, 5]])
    assert cup.labels.tolist() == [0]
    (both,) = prompts(found, "y/b.jpg")
    assert (both.points.tolist(), both.labels.tolist()) == ([[1, 2], [3, 4]], [1, 0])
    assert found.upright


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (("cup,1,1,9,9,,,,,", "cup,2,2,9,9,,,,,"), r"'cup' of 'a\.jpg' has a box already \(\[1\.0"),
        (("cup,,,,,,,,m.png,", "cup,1,1,9,9,,,,n.png,"), r"has a mask already \(m\.png\)"),
        (("cup,1,1,9,9,,,,,mug", "cup,,,,,4,5,1,,jug"), r"has a category already \(mug\)"),
        ((",,,,,4,5,1,,mug", ",,,,,6,7,1,,jug"), r"'' of 'a\.jpg' has a category already"),
    ],
)
def test_a_second_box_mask_or_category_of_an_object_is_refused_and_never_lost(rows, said, tmp_path):
    lines = ["image,object,x0,y0,x1,y1,x,y,label,mask,category", *(f"a.jpg,{row}" for row in rows)]
    with pytest.raises(DataError, match=rf"p\.csv, line 3: .*{said}.*in the column object"):
        read(tmp_path / "p.csv", "\n".join(lines))


def test_what_an_object_has_may_stand_in_each_of_its_rows(tmp_path):
    text = (
        "image,object,x0,y0,x1,y1,x,y,category\n"
        "a.jpg,cup,1,1,9,9,4,5,mug\n"
        "a.jpg,cup,1,1,9,9,6,7,mug\n"
        "a.jpg,row 5,1,1,9,9,,,\n"
        "a.jpg,,2,2,9,9,,,\n"
    )
    cup, *others = prompts(read(tmp_path / "p.csv", text), "x/a.jpg")
    assert (cup.box.tolist(), cup.points.tolist()) == ([1, 1, 9, 9], [[4, 5], [6, 7]])
    assert [each.box.tolist() for each in others] == [[1, 1, 9, 9], [2, 2, 9, 9]]


def test_json_holds_a_list_one_prompt_or_prompts_by_image(tmp_path):
    box, file = {"box": [1, 2, 30.5, 40]}, tmp_path / "p.json"
    forms = (
        [{"image": "a.jpg", **box}],
        {"image": "a.jpg", **box},
        {"a.jpg": [box]},
        {"a.jpg": box},
    )
    for form in forms:
        found = read(file, json.dumps(form))
        assert [each.box.tolist() for each in prompts(found, "x/a.jpg")] == [[1, 2, 30.5, 40]]
        assert prompts(found, "x/b.jpg") == []


def test_a_coco_sets_boxes_are_prompts_with_their_categories(tmp_path):
    content = {
        "images": [{"id": 8, "file_name": "x/b.jpg"}, {"id": 7, "file_name": "a.jpg"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 4, "bbox": [1, 2, 10, 20]},
            {"id": 2, "image_id": 8, "category_id": 5, "bbox": [3, 4, 10, 20]},
            {"id": 3, "image_id": 8, "bbox": [5, 6, 10, 20]},
        ],
        "categories": [{"id": 5, "name": "emu"}, {"id": 4, "name": "dog"}],
    }
    found = read(tmp_path / "set.json", json.dumps(content))
    (dog,) = found.by_image[IMAGES[0]]
    assert dog.prompt.box.tolist() == [1, 2, 11, 22]
    assert dog.extra == {"category_id": 1, "category": "dog"}
    emu, thing = found.by_image[IMAGES[1]]
    assert [each.prompt.box.tolist() for each in (emu, thing)] == [[3, 4, 13, 24], [5, 6, 15, 26]]
    assert [each.extra for each in (emu, thing)] == [{"category_id": 2, "category": "emu"}, {}]
    assert found.categories == {1: "dog", 2: "emu"}


def test_categories_are_numbered_by_name_and_a_prompt_without_one_has_no_number(tmp_path):
    rows = ((x, name) for x, name in enumerate(("mule", "ant", "", "cow", "mule"), start=1))
    text = "".join(f"a.jpg,{x},1,9,9,{name}\n" for x, name in rows)
    found = read(tmp_path / "p.csv", f"image,x0,y0,x1,y1,category\n{text}")
    assert found.categories == {1: "ant", 2: "cow", 3: "mule"}
    extras = [each.extra.get("category_id") for each in found.by_image[IMAGES[0]]]
    assert extras == [3, 1, None, 2, 3]


@pytest.mark.parametrize("name", ["p.csv", "p.json"])
def test_a_file_may_have_so_many_prompts_and_no_more(name, tmp_path, monkeypatch):
    monkeypatch.setattr(prompt_files, "MOST_PROMPTS", 3)
    for count in (3, 4):
        if name == "p.csv":
            text = "image,x0,y0,x1,y1\n" + "a.jpg,1,1,9,9\n" * count
        else:
            text = json.dumps([{"image": "a.jpg", "box": [1, 1, 9, 9]}] * count)
        if count == 3:
            assert len(prompts(read(tmp_path / name, text), "x/a.jpg")) == 3
            continue
        with pytest.raises(DataError, match=f"{name} has more than 3 prompts"):
            read(tmp_path / name, text)


def test_a_folder_before_a_name_is_a_whole_one(tmp_path):
    images = [Path("xy/a.jpg"), Path("y/a.jpg")]
    found = read(tmp_path / "p.csv", "image,x,y\ny/a.jpg,1,2\n", images)
    assert [len(found.by_image[image]) for image in images] == [0, 1]


def test_a_mask_image_is_read_beside_the_file(tmp_path):
    drawn = np.zeros((6, 9), np.uint8)
    drawn[2:4, 3:7] = 255
    write_png(tmp_path / "m.png", drawn)
    found = read(tmp_path / "p.csv", "image,mask\na.jpg,m.png\n")
    (prompt,) = prompts(found, "x/a.jpg")
    assert np.array_equal(decode(prompt.mask), drawn > 0)


def test_a_row_with_a_mask_is_a_prompt_of_its_own_unless_others_are_of_its_object(tmp_path):
    for number in range(3):
        drawn = np.zeros((6, 9), np.uint8)
        drawn[:3, 3 * number : 3 * number + 3] = 255
        write_png(tmp_path / f"{number}.png", drawn)
    rows = "a.jpg,,0.png,,\na.jpg,,1.png,,\na.jpg,cup,2.png,,\na.jpg,cup,,7,1\na.jpg,,,8,2\n"
    found = prompts(read(tmp_path / "p.csv", f"image,object,mask,x,y\n{rows}"), "x/a.jpg")
    firsts = [None if one.mask is None else decode(one.mask)[0].argmax() for one in found]
    points = [None if one.points is None else one.points.tolist() for one in found]
    assert firsts == [0, 3, 6, None]
    assert points == [None, None, [[7, 1]], [[8, 2]]]


def test_a_name_is_the_same_in_either_unicode_form(tmp_path):
    images = [Path("x/u\u0308ber.jpg")]
    found = read(tmp_path / "p.csv", "image,x,y\n\u00fcber.jpg,1,2\n", images)
    assert len(found.by_image[images[0]]) == 1


@pytest.mark.parametrize(
    ("name", "text", "error", "words"),
    [
        ("p.csv", "image,x,y\nc.jpg,1,2\n", DataError, "'c.jpg' is none of the 3 images given"),
        ("p.csv", "image,x,y\nb.jpg,1,2\n", DataError, "'b.jpg' may be x/b.jpg or y/b.jpg"),
        ("p.csv", "image,x,y\na.jpg,1,two\n", DataError, "line 2: y is two, expected a number"),
        ("p.csv", "image,x0,y0\na.jpg,1,2\n", PromptError, "box"),
        ("p.csv", "name,x,y\na.jpg,1,2\n", DataError, "has the columns name, x, y; expected a CSV"),
        ("p.csv", "image,x,y\n", DataError, "holds no prompt"),
        ("p.csv", "image,x,y,label\na.jpg,1,2,0\n", PromptError, "prompt 0: the prompt says only"),
        ("p.json", '[{"image": "a.jpg", "bux": [1]}]', PromptError, "bux"),
        ("p.json", "[", DataError, "is not readable JSON.*Expected a CSV with the columns image"),
        ("p.json", '[{"image": "a.jpg"}]', PromptError, "prompt 0: the prompt is empty"),
        ("p.json", '{"images": [], "annotations": [{}]}', DataError, "is not in COCO's form"),
    ],
)
def test_a_slip_is_said_with_the_file(name, text, error, words, tmp_path):
    with pytest.raises(error, match=words) as caught:
        read(tmp_path / name, text)
    assert name in str(caught.value)


def test_the_images_may_be_those_that_the_file_names(tmp_path):
    (tmp_path / "a.jpg").touch()
    file = tmp_path / "p.csv"
    file.write_text("image,x,y\na.jpg,1,2\na.jpg,3,4\n")
    assert images_of(file) == [tmp_path / "a.jpg"]
    file.write_text("image,x,y\ngone.jpg,1,2\n")
    (tmp_path / "gone.jpg").mkdir()  # a folder is no image
    with pytest.raises(DataError, match=r"gone\.jpg, which does not exist"):
        images_of(file)
    (tmp_path / "Z.jpg").touch()
    file = tmp_path / "p.json"
    boxes = [{"image": name, "box": [1, 1, 9, 9]} for name in ("a.jpg", "Z.jpg", "a.jpg")]
    file.write_text(json.dumps(boxes))
    assert images_of(file) == [tmp_path / "a.jpg", tmp_path / "Z.jpg"]
    file.write_text(json.dumps([boxes[0], {**boxes[1], "image": 7}]))
    with pytest.raises(PromptError, match=r"p\.json: prompts\[1\]\.image: "):
        images_of(file)


def test_a_mask_that_cannot_be_read_is_told_with_its_prompt(tmp_path):
    (tmp_path / "mask.png").write_bytes(b"no image")
    for name, said in (("mask.png", "cannot be decoded"), ("none.png", "does not exist")):
        text = json.dumps([{"image": "a.jpg", "mask": name}])
        with pytest.raises(DataError, match=rf"p\.json, prompt 0: .*{name} {said}") as caught:
            read(tmp_path / "p.json", text)
        assert caught.value.kind


@pytest.mark.parametrize(
    "text", ["image,x,y\n" + "x" * 200_000, "x" * 200_000, 'image\n"' + "x" * 200_000]
)
def test_a_cell_of_any_length_is_refused_in_a_few_words(text, tmp_path):
    with pytest.raises(DataError, match=r"p\.csv is no readable CSV") as caught:
        read(tmp_path / "p.csv", text)
    assert len(str(caught.value)) < 2000


def test_a_path_that_is_an_images_own_means_that_one_though_others_have_its_name(tmp_path):
    images = [Path("x/a.jpg"), tmp_path / "a.jpg", tmp_path / "x" / "a.jpg"]
    found = read(tmp_path / "p.csv", "image,x,y\na.jpg,1,2\nx/a.jpg,3,4\n", images)
    points = [[one.prompt.points.tolist() for one in found.by_image[image]] for image in images]
    assert points == [[], [[[1, 2]]], [[[3, 4]]]]


@pytest.mark.parametrize(
    "prompt",
    [{"box": [0.2, 0.1, 0.7, 0.5]}, {"points": [[0.5, 0.25], [0, 1]], "labels": [1, 0]}],
)
def test_fractions_of_the_image_are_refused_and_not_taken_for_its_first_pixel(prompt, tmp_path):
    with pytest.raises(PromptError, match="prompt 0: .* fractions of the image, expected pixels"):
        read(tmp_path / "p.json", json.dumps([{"image": "a.jpg", **prompt}]))


@pytest.mark.parametrize("prompt", [{"box": [0, 0, 1, 1]}, {"points": [[0.5, 0.25]]}])
def test_the_first_pixel_is_a_box_and_a_place_in_it_a_point(prompt, tmp_path):
    found = read(tmp_path / "p.json", json.dumps([{"image": "a.jpg", **prompt}]))
    assert len(prompts(found, "x/a.jpg")) == 1


def test_an_image_that_stands_twice_in_json_is_refused(tmp_path):
    text = '{"a.jpg": [{"box": [1, 2, 30, 40]}], "a.jpg": [{"box": [5, 6, 50, 60]}]}'
    with pytest.raises(DataError, match=r"the key 'a\.jpg' stands twice"):
        read(tmp_path / "p.json", text)


@pytest.mark.parametrize("mark", [";", "\t", ","])
def test_a_table_of_any_country_is_read(mark, tmp_path):
    rows = [["Image", "X0", "Y0", "X1", "Y1"], ["a.jpg", "1,5", "2", "30,25", "40"]]
    quote = '"' if mark == "," else ""
    text = "\r\n".join(mark.join(f"{quote}{cell}{quote}" for cell in row) for row in rows)
    (tmp_path / "p.csv").write_bytes(f"{text}\r\n\r\n".encode("utf-16"))
    (prompt,) = prompts(read_prompt_file(tmp_path / "p.csv", IMAGES), "x/a.jpg")
    assert prompt.box.tolist() == [1.5, 2, 30.25, 40]


@pytest.mark.parametrize(
    "head",
    [
        'image,x,y,"category"\n"a;b;c;d;e.jpg",1,2,cup\n',
        '"sep=;"\r\nimage;x;y\r\n"a;b;c;d;e.jpg";1;2\r\n',
        '"sep=,"\nIMAGE,X,Y\n"a;b;c;d;e.jpg",1,2\n',
    ],
)
def test_a_tables_delimiter_is_found_outside_quotes_and_told_in_them(head, tmp_path):
    found = read(tmp_path / "p.csv", head, [Path("a;b;c;d;e.jpg")])
    assert prompts(found, "a;b;c;d;e.jpg")[0].points.tolist() == [[1, 2]]


def test_a_comma_that_may_part_thousands_is_no_decimal_one(tmp_path):
    with pytest.raises(DataError, match="line 2: x is 1,234, expected a number with a point"):
        read(tmp_path / "p.csv", "image;x;y\na.jpg;1,234;2\n")


@pytest.mark.parametrize("other", ["5,5", "5"])
def test_a_point_that_may_part_thousands_is_refused_beside_decimal_commas(other, tmp_path):
    text = f"image;x0;y0;x1;y1\na.jpg;1.234;2;1500;9\na.jpg;1;2;{other};9\n"
    if other == "5":
        assert prompts(read(tmp_path / "p.csv", text), "x/a.jpg")[0].box[0] == 1.234
    else:
        with pytest.raises(DataError, match=r"line 2: x0 is 1\.234, and other .*decimal comma"):
            read(tmp_path / "p.csv", text)


def test_a_cell_beyond_the_last_column_is_refused_and_not_lost(tmp_path):
    with pytest.raises(DataError, match="line 2: '9' stands beyond the last column"):
        read(tmp_path / "p.csv", "image,x,y\na.jpg,1,2,9\n")


@pytest.mark.parametrize("name", ["x\\a.jpg", "C:\\im\\x\\a.jpg", "x/%61.jpg"])
def test_names_of_windows_and_of_addresses_are_understood(name, tmp_path):
    text = json.dumps([{"image": name, "box": [1, 2, 30, 40]}])
    if name.startswith("C:"):  # another machine's whole path is none of the images given
        with pytest.raises(DataError, match="is none of the 3 images given"):
            read(tmp_path / "p.json", text)
        return
    assert len(prompts(read(tmp_path / "p.json", text), "x/a.jpg")) == 1


def test_images_that_are_absent_stop_nobody_unless_all_are(tmp_path):
    (tmp_path / "im").mkdir()
    (tmp_path / "im" / "u\u0308.jpg").touch()
    file = tmp_path / "p.csv"
    file.write_text("image,x,y\nim\\\u00fc.jpg,1,2\ngone.jpg,1,2\n", encoding="utf-8")
    assert images_of(file) == [tmp_path / "im" / "u\u0308.jpg", tmp_path / "gone.jpg"]
    file.write_text("image,x,y\ngone.jpg,1,2\nlost.jpg,1,2\n")
    with pytest.raises(DataError, match=r"gone\.jpg and 1 more, which does not exist; names are"):
        images_of(file)


def test_ids_of_a_coco_set_are_alike_as_numbers_and_as_texts(tmp_path):
    content = {
        "images": [{"id": "7", "file_name": "a.jpg"}],
        "annotations": [{"id": 1, "image_id": 7.0, "category_id": "4", "bbox": [1, 2, 10, 20]}],
        "categories": [{"id": 4, "name": "dog"}],
    }
    found = read(tmp_path / "set.json", json.dumps(content))
    assert found.by_image[IMAGES[0]][0].extra == {"category_id": 1, "category": "dog"}


@pytest.mark.parametrize("box", [None, [1, 2, 3], [1, 2, 3, "x"], [1, 2, 3, 10**400], "1234"])
def test_an_annotation_without_a_box_is_named(box, tmp_path):
    content = {
        "images": [{"id": 7, "file_name": "a.jpg"}],
        "annotations": [{"id": 31, "image_id": 7, "bbox": box}],
    }
    with pytest.raises(DataError, match=r"json: the bbox of annotation 31 is .* expected x, y"):
        read(tmp_path / "set.json", json.dumps(content))
    content["annotations"][0] |= {"bbox": [1, 2, 3, 4], "image_id": 8}
    with pytest.raises(DataError, match=r"annotation 31 names no image of the file"):
        read(tmp_path / "set.json", json.dumps(content))


@pytest.mark.parametrize(
    ("part", "records", "said"),
    [
        (
            "images", [{"id": 1, "file_name": "a.jpg"}, {"id": "1", "file_name": "x/b.jpg"}],
            r"two images have the same id 1: \['a\.jpg', 'x/b\.jpg'\]",
        ),
        (
            "categories", [{"id": 1, "name": "cup"}, {"id": 1.0, "name": "mug"}],
            r"two categories have the same id 1: \['cup', 'mug'\]",
        ),
    ],
)  # fmt: skip
def test_two_images_or_categories_of_one_id_are_refused_and_none_is_lost(
    part, records, said, tmp_path
):
    drawn = {"image_id": "1", "category_id": 1, "bbox": [1, 2, 3, 4]}
    content = {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [drawn]}
    text = json.dumps(content | {part: records})
    with pytest.raises(DataError, match=said):
        read(tmp_path / "p.json", text)


def test_a_pointer_of_git_lfs_is_called_so(tmp_path):
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    with pytest.raises(
        DataError, match=r"p\.json is not readable JSON: it is a pointer of Git LFS"
    ):
        read(tmp_path / "p.json", text)
