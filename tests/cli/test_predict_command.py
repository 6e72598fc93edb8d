"""The command `pasam predict`."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from inference_models import picture
from PIL import Image
from typer.testing import CliRunner

from pasam.cli import predict as command
from pasam.cli.app import app
from pasam.cli.options import named_model
from pasam.cli.predict import (
    FORMATS,
    PredictionOutputs,
    chosen_prompting,
    find_images,
    names_in_set,
    output_names,
    typed_prompts,
)
from pasam.errors import DataError, ParamsError, PromptError
from pasam.inference import prompting
from pasam.inference.mask_record import MaskRecord
from pasam.inference.prompting import AutomaticMasks, FixedPrompts
from pasam.inference.zoomed_boxes import predict_zoomed
from pasam.masks.run_lengths import decode

BOX = "12,8,70,50"


@pytest.fixture
def photos(tmp_path):
    """Two pictures in a folder of their own."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed, name in enumerate(("one", "two")):
        Image.fromarray(picture(60, 90, seed)).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def pasam(model_project):
    """The command, with the project's own PA-SAM where no other model is named."""

    def run(*arguments):
        words = [str(argument) for argument in arguments]
        model = [] if {"--model", "--help"} & set(words) else ["--model", "pa_sam"]
        return CliRunner().invoke(app, [*words, *model])

    return run


def test_a_box_gives_the_librarys_own_mask_and_an_overlay(pasam, photos, tmp_path):
    out = tmp_path / "out"
    result = pasam("predict", photos / "one.png", "--box", BOX, "--out", out)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in out.iterdir()) == ["one_mask.png", "one_overlay.png"]
    predictor = named_model("pa_sam")
    predictor.set_image(picture(60, 90, 0))
    expected = predictor.predict(box=[12, 8, 70, 50], multimask_output=False)[0][0]
    assert np.array_equal(np.array(Image.open(out / "one_mask.png")) > 0, expected)


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "whose", "words"),
    [
        ("pa_sam", "project", "pa_sam (this project's), trained on synthetic images only"),
        (None, "packaged", "pa_sam (packaged), trained on photographs too; --model asks "),
    ],
)
def test_which_model_answers_and_whose_it_is_is_said(
    name, whose, words, pasam, photos, tmp_path, monkeypatch
):
    arguments = ["predict", str(photos / "one.png"), "--box", BOX, "--out", str(tmp_path / "out")]
    if name is None:
        monkeypatch.undo()  # the package's own base, and no project
        monkeypatch.chdir(tmp_path)
    named = ["--model", name] if name else []
    result = CliRunner().invoke(app, [*arguments, *named])
    assert result.stderr.startswith(f"model: {words}")
    result = CliRunner().invoke(app, [*arguments, *named, "--json"])
    found = json.loads(result.stdout)
    assert found["model_from"] == whose
    assert "model: " not in result.stderr


@pytest.mark.parametrize("name", ["champion", "2", "runs:/0123"])
def test_a_registered_name_where_nothing_is_registered_is_refused_and_leaves_nothing(
    name, photos, in_empty_folder
):
    before = sorted(in_empty_folder.rglob("*"))
    arguments = ["predict", str(photos / "one.png"), "--box", BOX, "--model", name]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert f"there is no model '{name}' here" in result.stderr
    assert sorted(in_empty_folder.rglob("*")) == before


def test_a_folder_and_points_and_another_model(pasam, photos, tmp_path):
    arguments = ("--point", "20,20", "--point", "5,5,0", "--model", "sam", "--json")
    result = pasam("predict", photos, *arguments, "--out", tmp_path / "out", "--format", "rle")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["image"].rpartition("/")[2] for line in lines] == ["one.png", "two.png"]
    assert {line["model"] for line in lines} == {"sam"}
    assert lines[0]["prompt"] == {"points": [[20, 20], [5, 5]], "labels": [1, 0]}
    kept = json.loads((tmp_path / "out" / "two.json").read_text())
    assert kept[0]["segmentation"] == lines[1]["segmentation"]
    assert decode(kept[0]["segmentation"]).shape == (60, 90)


def test_everything_obeys_its_options(pasam, photos, tmp_path):
    loose = ("--everything", "--pred-iou-thresh", "-9", "--stability-score-thresh", "0.01")
    arguments = (photos / "one.png", *loose, "--points-per-side", "3", "--json")
    result = pasam("predict", *arguments, "--format", "coco", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert found
    points = {tuple(point) for line in found for point in line["prompt"]["points"]}
    assert points <= {(x, y) for x in (15, 45, 75) for y in (10, 30, 50)}
    written = json.loads((tmp_path / "out" / "coco.json").read_text())
    assert len(written["annotations"]) == len(found)


def test_a_detectors_boxes_give_masks_with_its_categories(pasam, photos, tmp_path):
    images = [
        {"id": 5, "file_name": "one.png", "height": 60, "width": 90},
        {"id": 6, "file_name": "two.png", "height": 60, "width": 90},
    ]
    known = {"images": images, "annotations": [], "categories": [{"id": 3, "name": "dog"}]}
    (tmp_path / "set.json").write_text(json.dumps(known))
    found = [{"image_id": 6, "category_id": 3, "bbox": [12, 8, 58, 42], "score": 0.9}]
    (tmp_path / "found.json").write_text(json.dumps(found))
    arguments = ("--detections", tmp_path / "found.json", "--annotations", tmp_path / "set.json")
    result = pasam("predict", photos, *arguments, "--format", "coco", "--out", tmp_path, "--json")
    assert result.exit_code == 0, result.output
    (line,) = [json.loads(line) for line in result.stdout.splitlines()]
    assert line["image"].endswith("two.png")
    assert (line["category"], line["detection_score"]) == ("dog", 0.9)
    written = json.loads((tmp_path / "coco.json").read_text())
    assert written["categories"] == [{"id": 3, "name": "dog"}]
    assert [a["category_id"] for a in written["annotations"]] == [3]


def test_a_turned_photograph_is_answered_as_viewers_show_it(pasam, tmp_path):
    upright = picture(60, 90)
    turned = Image.fromarray(np.rot90(upright))  # stored lying; the tag says turn it clockwise
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.png", exif=exif)
    result = pasam(
        "predict", tmp_path / "turned.png", "--box", BOX, "--format", "png", "--out", tmp_path
    )
    assert result.exit_code == 0, result.output
    assert np.array(Image.open(tmp_path / "turned_mask.png")).shape == (60, 90)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "say what to segment"),
        (("--everything", "--box", BOX), "say what to segment"),
        (("--box", "1,2,3"), "--box is '1,2,3'"),
        (("--box", "1,2,300,40"), "outside the image of 90 x 60"),
        (("--box", BOX, "--model", "nobody"), "there is no model 'nobody'"),
        (("--box", BOX, "--format", "gif"), "there is no format 'gif'"),
        (("--box", BOX, "--device", "tpu"), "the device is 'tpu'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments, words, pasam, photos, tmp_path):
    result = pasam("predict", photos / "one.png", *arguments, "--out", tmp_path / "out")
    assert result.exit_code == 2
    (error,) = (line for line in result.stderr.splitlines() if not line.startswith("model: "))
    assert error.startswith("error: ")
    assert words in error


def test_a_bad_file_is_named_at_the_end_and_all_others_are_written(pasam, photos, tmp_path):
    (photos / "broken.jpg").write_bytes(b"")
    Image.fromarray(picture(20, 30)).save(photos / "small.png")
    out = tmp_path / "out"
    result = pasam(
        "predict", photos, "--box", BOX, "--format", "png", "--format", "coco", "--out", out
    )
    assert result.exit_code == 2
    assert "\nerror: 2 of 4 images could not be done:" in result.stderr
    assert all(word in result.stderr for word in ("broken.jpg", "small.png: box corner 70,50"))
    names = {"coco.json", "one_mask.png", "two_mask.png"}
    assert {path.name for path in out.iterdir()} == names
    written = json.loads((out / "coco.json").read_text())
    assert [image["file_name"] for image in written["images"]] == ["one.png", "two.png"]


def test_what_was_done_before_an_interruption_is_written(pasam, photos, tmp_path, monkeypatch):
    asked = FixedPrompts.masks

    def stopped_at_the_second(self, model, image, **options):
        if image.path.stem == "two":
            raise KeyboardInterrupt
        return asked(self, model, image, **options)

    monkeypatch.setattr(FixedPrompts, "masks", stopped_at_the_second)
    result = pasam("predict", photos, "--box", BOX, "--format", "coco", "--out", tmp_path)
    assert result.exit_code == 130
    written = json.loads((tmp_path / "coco.json").read_text())
    assert [image["file_name"] for image in written["images"]] == ["one.png"]


def test_prompts_of_a_file_are_each_images_own(pasam, photos, tmp_path):
    prompts = tmp_path / "prompts.csv"
    prompts.write_text(
        "image,x0,y0,x1,y1\none.png,12,8,70,50\ntwo.png,0,0,40,30\ntwo.png,5,5,80,55\n"
    )
    arguments = ("--prompts", prompts, "--format", "rle", "--json", "--out", tmp_path)
    result = pasam("predict", photos, *arguments)
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    found = [(Path(line["image"]).name, line["prompt"]["box"]) for line in lines]
    boxes = ([12, 8, 70, 50], [0, 0, 40, 30], [5, 5, 80, 55])
    assert found == list(zip(("one.png", "two.png", "two.png"), boxes, strict=True))
    (photos / "prompts.csv").write_text(prompts.read_text())
    again = pasam("predict", "--prompts", photos / "prompts.csv", *arguments[2:])
    assert again.stdout.splitlines() == result.stdout.splitlines()


def test_a_mask_image_is_refined(pasam, photos, tmp_path):
    drawn = np.zeros((60, 90), np.uint8)
    drawn[8:50, 12:70] = 255
    Image.fromarray(drawn).save(tmp_path / "drawn.png")
    arguments = ("--mask", tmp_path / "drawn.png", "--format", "png", "--out", tmp_path)
    result = pasam("predict", photos / "one.png", *arguments)
    assert result.exit_code == 0, result.output
    predictor = named_model("pa_sam")
    predictor.set_image(picture(60, 90, 0))
    expected = predictor.predict(mask_input=drawn > 0, multimask_output=False)[0][0]
    assert np.array_equal(np.array(Image.open(tmp_path / "one_mask.png")) > 0, expected)


@pytest.mark.parametrize("typed", [("--zoom",), (), ("--no-zoom",)])
def test_small_boxes_are_looked_at_from_near_on_a_small_base(typed, pasam, photos, tmp_path):
    box = [30, 20, 39, 27]
    arguments = ("--box", "30,20,39,27", *typed, "--format", "png", "--out", tmp_path)
    result = pasam("predict", photos / "one.png", photos / "one.png", *arguments)
    assert result.exit_code == 0, result.output
    assert result.stderr.count("note: small things are looked at from near") == (typed == ())
    predictor, pixels = named_model("pa_sam"), picture(60, 90, 0)
    predictor.set_image(pixels)
    whole, _, _ = predictor.predict(box=box, multimask_output=False)
    (answer,) = predict_zoomed(predictor, pixels, [np.array(box, float)])
    expected = whole[0] if typed == ("--no-zoom",) else answer.masks[0]
    assert not np.array_equal(whole[0], answer.masks[0])
    assert np.array_equal(np.array(Image.open(tmp_path / "one_mask.png")) > 0, expected)


def test_a_box_that_is_too_large_to_zoom_is_said(pasam, photos, tmp_path):
    boxes = ("--box", "30,20,39,27", "--box", "2,2,85,55", "--zoom", "--out", tmp_path)
    result = pasam("predict", photos / "one.png", *boxes, "--json")
    assert [json.loads(line)["zoomed"] for line in result.stdout.splitlines()] == [True, False]
    assert "one.png: box 2,2,85,55 fills so much of the image that zooming " in result.stderr


@pytest.mark.parametrize(
    "arguments", [("--box", BOX, "--model", "sam"), ("--everything",), ("--box", BOX, "--zoom")]
)
def test_a_map_that_there_is_not_is_refused_in_words(arguments, pasam, photos, tmp_path):
    result = pasam(
        "predict", photos, *arguments, "--format", "uncertainty", "--out", tmp_path / "o"
    )
    assert result.exit_code == 2
    assert "has no uncertainty map" in result.stderr
    assert not (tmp_path / "o").exists()


def test_masks_of_an_earlier_run_do_not_stay(tmp_path):
    for name in ("photo_mask_x.png", "photos_mask.png", "photo_mask.png_1.png"):
        (tmp_path / name).touch()
    written(tmp_path, ["png"], [FOUND] * 12)
    left = written(tmp_path, ["png"], [FOUND])
    assert left[1:] == ["photo_mask.png_1.png", "photo_mask_x.png", "photos_mask.png"]


def test_files_that_look_like_images_and_are_left_out_are_said(pictures, capsys):
    (pictures / "p" / "film.gif").touch()
    (pictures / "p" / ".hidden.png").touch()
    assert found("p") == ["p/a.JPG", "p/b.png"]
    assert "1 files of p that cannot be read here, e.g. film.gif" in capsys.readouterr().err


def test_its_help_has_an_example(pasam):
    assert "Example: pasam predict photo.jpg --box" in pasam("predict", "--help").output


NOTHING = {
    "box": None, "point": None, "everything": False, "grid": {}, "detections": None,
    "annotations": None, "min_score": 0.3,
}  # fmt: skip


def chosen(**typed):
    return chosen_prompting([Path("a.png"), Path("b.png")], **{**NOTHING, **typed})


def test_boxes_and_points_are_prompts():
    asking = chosen(box=["1,2,3,4", "5,6,7,8"])
    assert isinstance(asking, FixedPrompts)
    assert len(asking.prompts) == 2


def test_everything_keeps_what_was_typed():
    typed = {"points_per_side": 4, "stability_score_thresh": 0.0}
    asking = chosen(everything=True, grid={**typed, "pred_iou_thresh": None})
    assert (type(asking), asking.typed) == (AutomaticMasks, typed)


@pytest.mark.parametrize(
    "typed",
    [
        {},
        {"everything": True, "box": ["1,2,3,4"]},
        {"detections": Path("x"), "box": ["1,2,3,4"]},
        {"detections": Path("x"), "everything": True},
    ],
    ids=str,
)
def test_exactly_one_thing_is_asked_for(typed):
    with pytest.raises(PromptError, match="say what to segment"):
        chosen(**typed)


@pytest.mark.parametrize("zoom", [False, True])
def test_zoom_holds_for_every_way_to_give_boxes(zoom, tmp_path, monkeypatch):
    (tmp_path / "p.csv").write_text("image,x0,y0,x1,y1\na.png,1,2,3,4\nb.png,1,2,3,4\n")
    boxes = MagicMock(return_value=FixedPrompts([]))
    monkeypatch.setattr(prompting, "detected_boxes", boxes)
    typed = {"detections": Path("d.json"), "annotations": Path("a.json"), "min_score": 0.4}
    for way in ({"box": ["1,2,3,4"]}, {"prompt_file": tmp_path / "p.csv"}, typed):
        assert chosen(**way, zoom=zoom).zoom is zoom, way
    assert boxes.call_args.kwargs == {"lowest": 0.4, "most": 100}  # of an image, as COCO counts


def test_detections_need_their_set():
    with pytest.raises(PromptError, match="--detections needs --annotations"):
        chosen(detections=Path("x.json"))


@pytest.fixture
def pictures(in_empty_folder):
    for name in ("b.png", "a.JPG", "notes.txt", "more/c.png", "more/deep/d.webp"):
        path = in_empty_folder / "p" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return in_empty_folder


def found(*named):
    return [path.as_posix() for path in find_images(named)]


def test_a_folder_means_its_pictures_by_name(pictures):
    assert found("p") == ["p/a.JPG", "p/b.png"]


def test_what_a_folder_holds_and_nothing_can_read_is_said(pictures, capsys):
    (pictures / "p" / "lost.png").symlink_to("nowhere.png")
    (pictures / "p" / "phone.HEIC").touch()
    assert found("p") == ["p/a.JPG", "p/b.png"]
    said = capsys.readouterr().err
    assert "1 links of p that lead nowhere, e.g. lost.png" in said
    assert "1 files of p that cannot be read here, e.g. phone.HEIC" in said


def test_a_pattern_means_what_it_matches(pictures):
    assert found("p/**/*.png") == ["p/b.png", "p/more/c.png"]


def test_a_file_that_is_named_is_taken_whatever_it_is_called(pictures):
    (pictures / "p/cat[1].png").touch()
    assert found("p/notes.txt", "p/cat[1].png") == ["p/notes.txt", "p/cat[1].png"]


def test_each_picture_comes_once_in_the_order_of_naming(pictures):
    assert found("p/b.png", "p", "p/*.png") == ["p/b.png", "p/a.JPG"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gone.png", "gone.png does not exist"),
        ("p/*.gif", r"no file matches 'p/\*.gif'"),
        ("empty", "the folder empty holds no image"),
    ],
)
def test_what_is_not_there_is_said(name, words, pictures):
    (pictures / "empty").mkdir()
    with pytest.raises(DataError, match=words):
        find_images([name])


def test_files_are_named_like_the_picture_and_clash_by_capitals_and_long_names_are_cut():
    assert output_names([Path("x/a.png"), Path("y/b.jpg")]) == ["a", "b"]
    assert output_names([Path("A.png"), Path("a.jpg")]) == ["A", "a_2"]
    (name,) = output_names([Path("ü" * 120 + ".png")])
    assert name == "ü" * 90


def test_a_coco_set_tells_images_of_one_name_apart():
    images = [Path("p/x/a.png"), Path("p/y/a.png")]
    assert names_in_set(images) == ["x/a.png", "y/a.png"]
    assert names_in_set(images[:1]) == ["a.png"]


def test_where_names_clash_the_folder_comes_before_them():
    images = map(Path, ("x/a.png", "y/a.jpg", "z/A.png", "b.png"))
    assert output_names([*images]) == ["x_a", "y_a", "z_A", "b"]
    assert output_names([Path("x/a.png"), Path("z/A.png")]) == ["x_a", "z_A"]


SOME = st.sampled_from(
    ["a.png", "a.jpg", "x/a.png", "x_a.png", "y/x_a.png", "x/a_2.png", "a_2.png"]
)


@given(st.lists(SOME, unique=True))
def test_no_two_pictures_ever_share_a_name(names):
    given_names = output_names([Path(name) for name in names])
    assert len(set(given_names)) == len(names)


IMAGE = np.full((8, 10, 3), 90, np.uint8)
MASK = np.zeros((8, 10), bool)
MASK[2:6, 3:7] = True
FOUND = MaskRecord(MASK, 0.5, {"box": [3, 2, 6, 5]}, MASK.astype(np.float32))


def written(folder: Path, formats, masks, **choices) -> list[str]:
    outputs = PredictionOutputs(folder, formats, model="m", **{"as_json": False, **choices})
    outputs.add(Path("x/photo.jpg"), "photo", IMAGE, masks)
    outputs.finish({1: "object"})
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize(
    ("formats", "names"),
    [
        (["png"], ["photo_mask.png"]),
        (["overlay"], ["photo_overlay.png"]),
        (["rle"], ["photo.json"]),
        (["coco"], ["coco.json"]),
        (["uncertainty"], ["photo_uncertainty.png"]),
        (["png", "overlay"], ["photo_mask.png", "photo_overlay.png"]),
        ([], []),
    ],
)
def test_what_was_asked_for_is_written_and_nothing_else(formats, names, tmp_path, capsys):
    assert written(tmp_path / "out", formats, [FOUND]) == names


def test_every_format_is_tried(tmp_path):
    assert len(written(tmp_path / "out", FORMATS, [FOUND])) == len(FORMATS)


def test_an_unknown_format_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ParamsError, match="there is no format 'gif'"):
        written(tmp_path / "out", ["png", "gif"], [FOUND])
    assert not (tmp_path / "out").exists()


def test_people_read_a_line_per_picture(tmp_path, capsys):
    written(tmp_path, ["png"], [FOUND])
    written(tmp_path, ["png"], [FOUND, FOUND])
    written(tmp_path, [], [])
    mask = tmp_path / "photo_mask.png"
    assert capsys.readouterr().out.splitlines() == [
        f"x/photo.jpg: 1 mask, score 0.50 -> {mask}",
        f"x/photo.jpg: 2 masks -> {tmp_path / 'photo_mask_1.png'} and 1 more",
        "x/photo.jpg: 0 masks",
    ]


def test_programs_read_a_json_line_per_mask(tmp_path, capsys):
    written(tmp_path, ["png", "overlay", "coco"], [FOUND, FOUND], as_json=True)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["image"] for line in lines] == ["x/photo.jpg"] * 2
    assert lines[1]["files"] == {
        "png": str(tmp_path / "photo_mask_2.png"),
        "overlay": str(tmp_path / "photo_overlay.png"),
    }
    assert lines[0]["area"] == 16
    assert lines[0]["segmentation"]["size"] == [8, 10]


def test_every_box_is_a_prompt_of_its_own():
    boxes = [each.box.tolist() for each in typed_prompts(["1,2,3,4", "5.5,6,7,8"], [])]
    assert boxes == [[1, 2, 3, 4], [5.5, 6, 7, 8]]


def test_points_describe_one_object_with_the_box():
    (prompt,) = typed_prompts(["1,2,30,40"], ["5,6", "7,8,0", "9,9,1"])
    assert prompt.box.tolist() == [1, 2, 30, 40]
    assert (prompt.points.tolist(), prompt.labels.tolist()) == ([[5, 6], [7, 8], [9, 9]], [1, 0, 1])


def test_nothing_typed_is_nothing_asked_and_a_mask_describes_one_box():
    assert typed_prompts(None, None) == []
    with pytest.raises(PromptError, match="a mask comes with 2 boxes"):
        typed_prompts(["1,2,3,4", "5.5,6,7,8"], None, Path("none.png"))  # refused before it is read


@pytest.mark.parametrize(
    ("boxes", "points", "words"),
    [
        (["1,2,3"], None, "--box is '1,2,3', expected x0,y0,x1,y1 in pixels"),
        (["1,2,3,x"], None, "--box is '1,2,3,x'"),
        (None, ["5"], "--point is '5', expected x,y or x,y,0 or x,y,1"),
        (None, ["5,6,2"], "the labels hold 2"),
        (["9,9,1,1"], None, "the box 9,9,1,1 is empty"),
        (["1,1,2,2", "3,3,4,4"], ["1,1"], "1 points come with 2 boxes"),
    ],
)
def test_a_slip_is_said_with_what_was_typed(boxes, points, words):
    with pytest.raises(PromptError, match=words):
        typed_prompts(boxes, points)


def test_a_box_typed_with_blanks_is_told_of_commas(pasam, tmp_path):
    Image.fromarray(picture(60, 90)).save(tmp_path / "a.png")
    result = pasam("predict", tmp_path / "a.png", "--box", "12", "8", "70", "50")
    assert result.exit_code == 2
    assert "--box is '12', expected x0,y0,x1,y1 in pixels, with commas and" in result.stderr


def test_of_a_file_with_many_bands_those_that_are_chosen_are_seen(pasam, tmp_path):
    image = picture(60, 90)
    bands = np.moveaxis(np.dstack([image, image[..., :2]]), -1, 0)
    tifffile.imwrite(
        tmp_path / "five.tif", bands, planarconfig="separate", photometric="minisblack"
    )
    arguments = (tmp_path / "five.tif", "--box", BOX, "--format", "png", "--out", tmp_path)
    result = pasam("predict", *arguments)
    assert result.exit_code == 2
    assert "bands" in result.stderr
    result = pasam("predict", *arguments, "--bands", "1,2,3")
    assert (result.exit_code, "note:" in result.stdout, "note:" in result.stderr) == (0, 0, 1)
    predictor = named_model("pa_sam")
    predictor.set_image(image)
    expected = predictor.predict(box=[12, 8, 70, 50])[0][0]
    assert np.array_equal(np.array(Image.open(tmp_path / "five_mask.png")) > 0, expected)


def test_every_option_reaches_what_it_is_for(in_empty_folder, monkeypatch):
    seen = {}
    model = SimpleNamespace(name="m", origin="project", trained_on="", has_uncertainty=True)
    monkeypatch.setattr(
        "pasam.cli.options.named_model", lambda name, **how: seen.update(name=name, **how) or model
    )
    monkeypatch.setattr(
        command, "chosen_prompting", lambda paths, **typed: seen.update(typed, paths=paths)
    )
    monkeypatch.setattr(
        command, "_predict_all", lambda *given, zoom: seen.update(given=given, told=zoom)
    )
    Path("a.png").touch()
    words = (
        "a.png --box 1,2,3,4 --point 5,6 --mask m.png --prompts p.csv --zoom --tiles 2 "
        "--detections d.json --annotations a.json --min-score 0.7 --model champion --out o "
        "--format rle --format coco --page 3 --bands 3,2,1 --points-per-side 9 "
        "--pred-iou-thresh 0.1 --stability-score-thresh 0.2 --min-mask-region-area 5 "
        "--resize squash --device cuda:1 --base b.pth --adapters t --params-file p.yaml"
    )
    assert CliRunner().invoke(app, ["predict", *words.split()]).exit_code == 0
    assert seen.pop("told") is True
    predictor, paths, _, outputs, read = seen.pop("given")
    assert (predictor, paths, outputs.folder) == (model, [Path("a.png")], Path("o"))
    assert (outputs.formats, outputs.model, outputs.model_from, outputs.as_json) == (
        {"rle", "coco"}, "champion", "project", False
    )  # fmt: skip
    assert read.keywords == {"page": 3, "bands": (3, 2, 1)}
    assert seen == {
        "paths": [Path("a.png")], "name": "champion", "params_file": Path("p.yaml"),
        "adapters": Path("t"), "base": Path("b.pth"), "device": "cuda:1", "resize": "squash",
        "box": ["1,2,3,4"], "point": ["5,6"], "mask": Path("m.png"), "prompt_file": Path("p.csv"),
        "zoom": True, "everything": False, "detections": Path("d.json"),
        "annotations": Path("a.json"), "min_score": 0.7,
        "grid": {
            "points_per_side": 9, "pred_iou_thresh": 0.1, "stability_score_thresh": 0.2,
            "min_mask_region_area": 5, "crop_n_layers": 2,
        },
    }  # fmt: skip
