"""`pasam data add`, as a newcomer with two folders types it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from small_world import dump_yaml, load_yaml
from typer.testing import CliRunner

from pasam.cli.app import app
from pasam.cli.sets import registering
from pasam.cli.sets.set_options import WORKERS
from pasam.data import exports, imports, own_sets
from pasam.data.imports import SetPlaces, from_annotations
from pasam.errors import DataError, ParamsError
from pasam.masks.images import write_png
from pasam.masks.mask_files import Reading
from pasam.masks.run_lengths import decode, encode


@pytest.fixture
def photos(in_empty_folder, root):
    """Twelve photographs and masks in two folders, beside the default params."""
    shutil.copy(root / "params" / "default.yaml", "params.yaml")
    rng = np.random.default_rng(0)
    for number in range(12):
        image = rng.integers(0, 256, (16, 20, 3), np.uint8)
        write_png(in_empty_folder / "photos" / f"cat{number}.png", image)
        mask = np.zeros((16, 20), np.uint8)
        mask[3:12, 3:15] = 255
        write_png(in_empty_folder / "masks" / f"cat{number}.png", mask)
    return ("--images", "photos", "--masks", "masks", "--workers", "1")


def add(*arguments):
    return CliRunner().invoke(app, ("data", "add", *arguments))


def benchmarks():
    with open("params.yaml") as file:  # noqa: PTH123
        return load_yaml(file)["evaluate"]["benchmarks"]


def test_help_has_an_example():
    assert "Example: pasam data add " in add("--help").output


def test_two_folders_are_registered_and_measured(photos, in_empty_folder):
    result = add("cats", *photos)
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0] == "cats registered in data/own/cats"
    assert lines[1].endswith("masks to learn from")
    assert lines[2].endswith("masks to measure")
    assert lines[3] == "  masks: 12 0/255"
    assert "  params.yaml: evaluate.benchmarks now has cats" in lines
    assert "  dvc repro trains and measures, and pasam report show prints the table" in lines
    assert "To undo it: pasam data remove cats" in lines
    assert benchmarks()[-1] == "cats"
    assert (in_empty_folder / "data/own/cats/manifest.csv").is_file()


@pytest.mark.slow  # it measures
def test_the_command_that_it_names_next_measures_the_set_at_once(photos, root):
    Path("pasam").mkdir()
    Path("pasam/packaged").symlink_to(root / "pasam" / "packaged")  # where a clone has them
    lines = add("cats", *photos).output.splitlines()
    (line,) = (line for line in lines if line.startswith("Next: pasam evaluate "))
    arguments = line.removeprefix("Next: pasam ").split()
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    scores = json.loads(result.stdout)["scores"]
    assert [(row["model"], row["masks"]) for row in scores] == [
        ("sam", 12), ("pa_sam_plus (packaged)", 12)
    ]  # fmt: skip


def remove(*arguments):
    return CliRunner().invoke(app, ("data", "remove", *arguments))


def test_what_was_added_is_undone_to_the_letter(photos, in_empty_folder):
    before = (in_empty_folder / "params.yaml").read_text()
    add("cats", *photos)
    (in_empty_folder / "data/own/cats.dvc").touch()
    result = remove("cats")
    assert result.exit_code == 0, result.output
    assert (in_empty_folder / "params.yaml").read_text() == before
    assert [path.name for path in (in_empty_folder / "data/own").iterdir()] == ["cats.dvc"]
    assert len(list((in_empty_folder / "photos").iterdir())) == 12
    assert "dvc remove data/own/cats.dvc" in result.output
    assert result.output.splitlines()[-1].startswith("If it was trained on or measured: dvc repro")
    assert add("cats", *photos).output.startswith("cats registered in")


def test_only_what_add_has_written_is_removed(photos, in_empty_folder):
    add("cats", *photos)
    (in_empty_folder / "data/own/cats/provenance.json").touch()
    (in_empty_folder / "data/own/mine").mkdir()
    for name, words in (
        ("cats", "holds ['provenance.json'], which `pasam data add` has not written"),
        ("mine", "there is no registered set 'mine' in data/own. Known: ['cats']"),
        ("../own/cats", "there is no registered set"),
    ):
        result = remove(name)
        assert result.exit_code == 2
        assert words in result.output
    assert (in_empty_folder / "data/own/cats/manifest.csv").is_file()
    assert benchmarks()[-1] == "cats"


def test_a_set_that_is_no_benchmark_is_removed_and_leaves_the_params_alone(photos, in_empty_folder):
    before = (in_empty_folder / "params.yaml").read_text()
    add("cats", *photos, "--no-measure")
    assert own_sets.remove("cats", Path("data/own"), Path("params.yaml")) == (
        Path("data/own/cats"), False
    )  # fmt: skip
    add("cats", *photos)
    assert own_sets.remove("cats", Path("data/own"), Path("params.yaml"))[1]
    assert (in_empty_folder / "params.yaml").read_text() == before


def test_a_set_whose_folder_cannot_go_is_told_and_one_that_params_hold_on_to_stays(
    photos, in_empty_folder, monkeypatch
):
    add("cats", *photos)
    with monkeypatch.context() as stuck:
        stuck.setattr(own_sets, "discard_folder", lambda folder: Path("/nowhere").rmdir())
        assert "data/own/cats cannot be removed" in remove("cats").output
        assert benchmarks()[-1] == "cats"
        stuck.undo()
        stuck.setattr("pasam.files.shutil.rmtree", lambda folder: Path("/nowhere").rmdir())
        assert "data/own/cats cannot be removed" in remove("cats").output
        assert "cats" not in benchmarks()  # only files are left, in a draft that is cleared later
    add("cats", *photos)
    (in_empty_folder / "params.yaml").write_text("evaluate: {benchmarks: cats}\n")
    with pytest.raises(ParamsError, match=r"evaluate.benchmarks is 'cats', expected a list"):
        own_sets.remove("cats", Path("data/own"), Path("params.yaml"))
    assert (in_empty_folder / "data/own/cats/set.json").is_file()


def test_the_last_benchmark_is_not_removed(photos, in_empty_folder):
    add("cats", *photos)
    params = load_yaml((in_empty_folder / "params.yaml").read_text())
    params["evaluate"]["benchmarks"] = ["cats"]
    (in_empty_folder / "params.yaml").write_text(dump_yaml(params))
    assert "cats is the only set of evaluate.benchmarks" in remove("cats").output
    assert (in_empty_folder / "data/own/cats").is_dir()


def test_again_says_that_it_is_there(photos):
    add("cats", *photos)
    output = add("cats", *photos).output
    assert "cats is registered already, exactly so, in data/own/cats" in output
    assert "evaluate.benchmarks has cats" in output
    assert benchmarks().count("cats") == 1


def test_not_to_be_measured_tells_the_line_to_put(photos):
    output = add("cats", *photos, "--no-measure").output
    assert "to measure it, add cats to evaluate.benchmarks in params.yaml" in output
    assert "cats" not in benchmarks()


def test_a_set_without_a_val_split_is_not_measured(photos):
    output = add("cats", *photos, "--val-fraction", "0").output
    assert "val: 0 images" in output
    assert "evaluate.benchmarks" not in output
    assert "cats" not in benchmarks()


def test_a_dry_run_leaves_everything_as_it_is(photos, in_empty_folder):
    output = add("cats", *photos, "--dry-run").output
    assert "cats would be registered in data/own/cats" in output
    assert output.endswith("Nothing was written (--dry-run).\n")
    assert not (in_empty_folder / "data").exists()
    assert "cats" not in benchmarks()


def test_a_program_gets_counts_kinds_and_notes(photos):
    content = json.loads(add("cats", *photos, "--json").output)
    assert (content["state"], content["notes"]) == ("new", [])
    assert content["train"]["images"] + content["val"]["images"] == 12
    assert content["mask_kinds"] == {"0/255": 12}
    assert benchmarks()[-1] == "cats"


def test_bad_pairs_are_named_and_nothing_is_written(photos, in_empty_folder):
    write_png(in_empty_folder / "masks" / "cat3.png", np.zeros((16, 20), np.uint8))
    result = add("cats", *photos)
    assert result.exit_code == 2
    assert "'cats' was not registered: 1 faults" in result.stderr
    assert "cat3.png is all black" in result.stderr
    assert not (in_empty_folder / "data").exists()
    assert "cats" not in benchmarks()


def test_index_masks_are_told(photos, in_empty_folder):
    labels = np.zeros((16, 20), np.uint8)
    labels[1:8, 2:16], labels[9:15, 2:16] = 3, 4
    write_png(in_empty_folder / "masks" / "cat3.png", labels)
    assert "  masks: 1 index, 2 objects: one 0/255 mask each" in add("cats", *photos).output


def test_a_table_is_a_source(photos, in_empty_folder):
    rows = [f"photos/cat{n}.png,masks/cat{n}.png,{'val' if n < 3 else 'train'}" for n in range(12)]
    (in_empty_folder / "t.csv").write_text("\n".join(["image,mask,split", *rows]))
    output = add("cats", "--csv", "t.csv", "--workers", "1").output
    assert "  val: 3 images, 3 masks to measure" in output


def test_a_coco_file_is_a_source(photos, in_empty_folder):
    content = {
        "images": [
            {"id": n, "file_name": f"cat{n}.png", "height": 16, "width": 20} for n in range(12)
        ],
        "annotations": [
            {"id": n, "image_id": n, "segmentation": [[2, 2, 12, 2, 12, 9]]} for n in range(12)
        ],
    }
    (in_empty_folder / "c.json").write_text(json.dumps(content))
    output = add("cats", "--coco", "c.json", "--images", "photos", "--workers", "1").output
    assert "masks: 12 coded in COCO, 12 objects: one 0/255 mask each" in output


@pytest.mark.parametrize("arguments", [[], ["--images", "photos"], ["--csv", "a", "--coco", "b"]])
def test_a_source_is_named_in_one_of_three_ways(photos, arguments):
    result = add("cats", *arguments)
    assert result.exit_code == 2
    assert "Say where the set is, in one of three ways" in result.stderr


def test_names_of_generated_sets_are_taken(photos):
    result = add("dis_like", *photos)
    assert result.exit_code == 2
    assert "'dis_like' is a set of the catalogue" in result.stderr


@pytest.mark.parametrize("given", [False, True])
def test_every_option_of_add_reaches_what_it_is_for(given, in_empty_folder, monkeypatch):
    seen = []

    def stopped(*arguments, **options):
        seen.append((arguments, options))
        raise ParamsError("added")

    monkeypatch.setattr(imports, "read_source", lambda places: seen.append(places) or "source")
    monkeypatch.setattr(own_sets, "add", stopped)
    words = (
        "--images i --masks m --csv t.csv --annotations a.json --val-fraction 0.4 --group film "
        "--names {name}={name}_x --page 2 --bands 3,2,1 --crowds --category cat --category dog "
        "--masks-are index --replace --skip-bad --link --dry-run --workers 7"
    )
    result = add("cats", "--own", "place", *words.split() * given)
    assert result.stderr == "error: added\n", result.output
    places, ((name, source, folder, options), more) = seen
    assert (name, source, folder) == ("cats", "source", Path("place"))
    assert {"HRSOD", "hqseg44k"} <= set(more["taken"])
    if given:
        assert places == imports.SetPlaces(
            images=Path("i"), masks=Path("m"), table=Path("t.csv"), annotations=Path("a.json"),
            group="film", names="{name}={name}_x", crowds=True, categories=["cat", "dog"],
        )  # fmt: skip
        assert options == own_sets.Options(
            val_fraction=0.4, reading=Reading.INDEX, skip_bad=True, replace=True, link=True,
            dry_run=True, workers=7, page=2, bands=(3, 2, 1),
        )  # fmt: skip
    else:
        assert places == imports.SetPlaces(categories=())
        assert options == own_sets.Options(
            val_fraction=0.2, reading=Reading.AUTO, skip_bad=False, replace=False, link=False,
            dry_run=False, workers=WORKERS,
        )  # fmt: skip


@pytest.mark.parametrize("form", [None, "yolo", "cutout"])
def test_only_the_masks_of_the_set_that_was_named_are_written_in_the_form_asked_for(
    form, photos, monkeypatch
):
    seen = []
    for name in ("cats", "dogs"):
        assert add(name, *photos, "--masks-are", "binary", "--no-measure").exit_code == 0
    monkeypatch.setattr(
        exports, "export_set", lambda pairs, *how: seen.append(([*pairs], *how)) or 12
    )
    chosen = [] if form is None else ["--format", form]
    words = ("data", "export", "cats", "--out", "o", *chosen)
    assert CliRunner().invoke(app, words).output == "12 images, 12 masks written to o\n"
    ((pairs, *how),) = seen
    assert {pair.dataset for pair in pairs} == {"cats"}
    assert (len(pairs), how) == (12, [Path("o"), form or "coco"])


@pytest.mark.parametrize(
    ("count", "shown", "last"), [(19, 19, "18"), (20, 20, "19"), (21, 20, "and 1 more (all of")]
)
def test_lines_are_shown_up_to_a_number_and_the_rest_is_counted(count, shown, last, capsys):
    lines = tuple(str(number) for number in range(count))
    registering._print(SimpleNamespace(sets=(), warnings=lines, faults=()))
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("- ")]
    assert len(said) == shown + (count > shown)
    assert said[-1].startswith(f"- {last}")


@pytest.mark.parametrize(
    ("state", "val", "wanted", "listed", "said"),
    [
        ("new", 2, True, True, "  p.yaml: evaluate.benchmarks now has cats"),
        ("unchanged", 2, True, False, "  p.yaml: evaluate.benchmarks has cats"),
        ("replaced", 2, False, None, "  to measure it, add cats to evaluate.benchmarks in p.yaml"),
        ("planned", 2, True, None, "  to measure it, add cats to evaluate.benchmarks in p.yaml"),
        ("new", 0, True, None, None), ("planned", 0, False, None, None),
    ],
)  # fmt: skip
def test_a_set_is_named_as_a_benchmark_where_it_was_registered_and_has_what_to_measure(
    state, val, wanted, listed, said, monkeypatch
):
    asked = []
    monkeypatch.setattr(
        "pasam.data.own_sets.add_benchmark", lambda *given: asked.append(given) or bool(listed)
    )
    counts = {"train": (3, 3), "val": (val, val)}
    plan = SimpleNamespace(name="cats", count=counts.__getitem__)
    added = SimpleNamespace(plan=plan, state=state, folder=Path("own/cats"))
    lines = registering._next(added, Path("p.yaml"), wanted=wanted)
    assert asked == ([] if listed is None else [("cats", Path("p.yaml"))])
    assert [line for line in lines if "evaluate.benchmarks" in line] == ([said] if said else [])
    if state == "planned":
        assert lines[-1] == "Nothing was written (--dry-run)."
        assert not any("data remove" in line for line in lines)
    else:
        assert "Next: pasam evaluate --images own/cats/im --masks own/cats/gt" in "\n".join(lines)
        assert lines[-2:] == [
            "To undo it: pasam data remove cats",
            "To share it, or for `dvc exp run --temp`: dvc add own/cats, git add what that names, "
            "and dvc push",
        ]


@pytest.mark.parametrize(
    ("state", "verb"),
    [("new", "registered in"), ("replaced", "registered anew in"),
     ("unchanged", "is registered already, exactly so, in"),
     ("planned", "would be registered in")],
)  # fmt: skip
def test_what_is_registered_is_told_by_split_by_kind_of_mask_and_with_every_note(state, verb):
    counts = {"train": (3, 5), "val": (2, 4)}
    drawn, coded = own_sets.DRAWN
    kinds = {"0/255": (4, 4), drawn: (2, 5), coded: (1, 7)}
    plan = SimpleNamespace(name="cats", count=counts.__getitem__, kinds=lambda: kinds)
    added = SimpleNamespace(
        plan=plan, state=state, folder=Path("own/cats"), notes=("a is odd", "b is too")
    )
    lines = registering._description(added)
    assert lines[:3] == [
        f"cats {verb} own/cats", "  train: 3 images, 5 masks to learn from",
        "  val: 2 images, 4 masks to measure",
    ]  # fmt: skip
    each = "objects: one 0/255 mask each"
    assert lines[3:] == [
        "  masks: 4 0/255", f"  masks: 2 {drawn}, 5 {each}", f"  masks: 1 {coded}, 7 {each}",
        "  note: a is odd", "  note: b is too",
    ]  # fmt: skip


def test_a_table_of_a_german_excel_on_windows_is_read(photos):
    rows = [f"photos\\cat{number}.png;masks\\cat{number}.png;" for number in range(3)]
    text = "sep=;\r\nImage;Mask;Group\r\n" + "\r\n\r\n".join(rows)
    Path("t.csv").write_bytes(text.encode("utf-16"))
    result = add("cats", "--csv", "t.csv", "--workers", "1", "--no-measure", "--json")
    assert (result.exit_code, json.loads(result.stdout)["train"]["images"]) == (0, 2)
    assert Path("data/own/cats/im/photos-cat0.png").is_file()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('image,mask\n"photos/cat0.png,masks/cat0.png\n', "no readable CSV: unexpected end"),
        ("image,MASK,Mask\nphotos/cat0.png,masks/cat0.png,x\n", "has the column 'mask' twice"),
        ("image,mask\nphotos/cat0.png,masks/cat0.png,x\n", "row 2: 'x' stands beyond the last"),
        ("photos/cat0.png,masks/cat0.png\n", "['photos/cat0.png', 'masks/cat0.png'] in its first"),
    ],
)
def test_a_table_that_cannot_be_meant_so_is_refused(text, said, photos):
    Path("t.csv").write_text(text)
    result = add("cats", "--csv", "t.csv", "--workers", "1")
    assert (result.exit_code, said in result.stderr) == (2, True), result.stderr


def test_names_of_a_table_are_the_same_in_either_unicode_form(photos):
    Path("photos/cat0.png").rename("photos/u\u0308.png")
    Path("t.csv").write_text("image,mask\nphotos/\u00fc.png,masks/cat0.png\n", encoding="utf-8")
    result = add("cats", "--csv", "t.csv", "--workers", "1", "--val-fraction", "0")
    assert (result.exit_code, Path("data/own/cats/im/photos-\u00fc.png").is_file()) == (0, True)


def test_pictures_that_are_not_read_are_counted_by_kind(photos):
    Path("photos/cat1.png").rename("photos/cat1.jfif")  # told by content; a name of JPEG's
    for name in ("x.heic", "y.HEIC", "z.avif", "notes.txt"):
        Path("photos", name).touch()
    result = add("cats", *photos, "--dry-run")
    said = "note: left out: 3 files of photos that cannot be read here, e.g. x.heic "
    assert (result.exit_code, said + "(1 .avif, 2 .heic)" in result.output) == (0, True)
    shutil.copy("masks/cat1.png", "masks/x.png")
    refused = add("cats", *photos).stderr
    assert "masks/x.png belongs to no image: x.heic cannot be read here" in refused
    Path("raw").mkdir()
    Path("raw/x.heic").touch()
    refused = add("cats", "--images", "raw", *photos[2:]).stderr
    assert "There are 1 files of raw that cannot be read here, e.g. x.heic" in refused


def test_a_jfif_is_registered_as_the_jpeg_that_it_is(in_empty_folder, photos):
    with Image.open("photos/cat0.png") as image:
        image.save("photos/cat0.jfif", "JPEG")
    Path("photos/cat0.png").unlink()
    assert add("cats", *photos).exit_code == 0
    assert Path("data/own/cats/im/cat0.jpg").is_file()


SQUARE = np.zeros((16, 20), np.uint8)
SQUARE[2:10, 3:13] = 1
CORNERS = [3, 2, 13, 2, 13, 10, 3, 10]
RUNS = [50, *[8, 8] * 9, 8, 118]


def read(name, content, *, categories=()):
    """Read annotations of images of 16 x 20 pixels, which lie in `photos`."""
    path = Path(name)
    path.parent.mkdir(exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    file = path.parent if path.suffix == ".txt" else path
    return from_annotations(file, SetPlaces(images=Path("photos"), categories=categories))


def coco(segmentation, *, name="cat0.png", **more):
    annotation = {"id": 1, "image_id": 7, "category_id": 1, "segmentation": segmentation}
    images = [{"id": 7, "file_name": name, "height": 16, "width": 20}]
    return {"images": images, "annotations": [annotation | more], "categories": []}


@pytest.mark.parametrize(
    "drawing",
    [
        {"size": [16, 20], "counts": RUNS},
        {"size": ["16", 20.0], "counts": [float(run) for run in RUNS]},
        {"counts": ",".join(map(str, RUNS))},
        {"size": [16, 20], "counts": str(encode(SQUARE)["counts"].encode())},
        encode(SQUARE)["counts"],
        [encode(SQUARE)],
        [CORNERS],
        [CORNERS, []],
        json.dumps([CORNERS]),
        [" ".join(map(str, CORNERS))],
        [list(map(str, CORNERS))],
        [[{"x": x, "y": y} for x, y in zip(CORNERS[::2], CORNERS[1::2], strict=True)]],
    ],
)
def test_segmentations_are_read_as_programs_write_them(drawing, photos):
    source = read("a.json", coco(drawing))
    assert source.faults == ()
    (mask,) = source.candidates[0].encoded
    assert np.array_equal(decode(mask.code()), SQUARE)


@pytest.mark.parametrize(
    ("drawing", "said"),
    [
        ("no polygon", "has the segmentation 'no polygon'"),
        ([["1", "two", "3", "4", "5", "6"]], "has the coordinate 'two'"),
        ({"counts": "1 3 10 5"}, "has a run-length code of 19 pixels, expected 320"),
        ({"counts": [0.5, 319.5]}, "has a run-length code of other than whole numbers"),
    ],
)
def test_a_segmentation_that_is_none_is_refused_by_its_annotation(drawing, said, photos):
    (fault,) = read("a.json", coco(drawing)).faults
    assert f"annotation 1 {said}" in fault


@pytest.mark.parametrize(
    "name",
    ["CAT0.PNG", "https://x.org/im/cat0.png?size=1#a", " cat0.png", "cat0", "C:\\im\\cat0.png"],
)
def test_an_image_is_found_under_names_of_other_systems(name, photos):
    source = read("a.json", coco([CORNERS], name=name))
    assert (source.faults, source.candidates[0].image) == ((), Path("photos/cat0.png"))
    assert len(source.notes) == (name != " cat0.png")


def test_an_image_that_is_not_found_is_told_with_what_is_there(photos):
    Path("photos/dog.heic").touch()
    said = {"cat0.tif": "; cat0.png is there: correct", "dog.jpg": "dog.heic is there, and cannot"}
    for name, hint in said.items():
        (fault,) = read("a.json", coco([CORNERS], name=name)).faults
        assert hint in fault


def test_a_mark_of_crowds_is_yes_or_no(photos):
    for mark, count in (("false", 1), (None, 1), ("1", 0), (True, 0)):
        assert len(read("a.json", coco([CORNERS], iscrowd=mark)).candidates) == count
    assert "annotation 1 has iscrowd 2, " in read("a.json", coco([CORNERS], iscrowd=2)).faults[0]


def test_two_categories_of_one_id_are_refused(photos):
    content = coco([CORNERS]) | {"categories": [{"id": 1, "name": n} for n in ("cat", "dog")]}
    with pytest.raises(DataError, match=r"two categories have the same id 1: \['cat', 'dog'\]"):
        read("a.json", content)


POLYGON = "0.15 0.125 0.65 0.125 0.65 0.625 0.15 0.625"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("0 0.1 0.1 0.9 x", "is not YOLO's"),
        ("-1 " + POLYGON, "the class is -1"),
        (f"0 {POLYGON} 0.93", "it has 9 numbers, expected x and y of each corner"),
        ("0 0.1 0.1 1.5 0.1 0.9 0.9", "it has the coordinate 1.5, expected a fraction"),
        ("0 nan 0.1 0.5 0.1 0.9 0.9", "it has the coordinate nan, expected a fraction"),
    ],
)
def test_one_bad_line_of_yolos_is_left_out_alone(line, said, photos):
    source = read("labels/cat0.txt", f"0.0 {POLYGON}\r\n\r\n{line}\r\n")
    (fault,) = source.faults
    assert "labels/cat0.txt, line 3: " in fault
    assert said in fault
    (mask,) = source.candidates[0].encoded
    assert np.array_equal(decode(mask.code()), SQUARE)
    places = ("--annotations", "labels", "--images", "photos", "--workers", "1")
    added = add("cats", *places, "--skip-bad", "--dry-run", "--val-fraction", "0")
    assert (added.exit_code, f"note: left out: {fault}" in added.output) == (0, True)


def test_what_stands_before_a_polygon_of_yolos_and_boxes_are_known(photos):
    source = read("labels/cat0.txt", f"0 0.4 0.375 0.5 0.5 {POLYGON}\n0 0.4 0.4 0.2 0.2 0.9\n")
    (mask,) = source.candidates[0].encoded
    assert np.array_equal(decode(mask.code()), SQUARE)
    assert source.notes == ("1 boxes are left out, no masks",)


def test_words_about_an_export_among_labels_are_one_fault(photos):
    read("labels/cat0.txt", f"0 {POLYGON}\n")
    source = read("labels/README.txt", "Exported.\nBy whom?\n")
    (fault,) = source.faults
    assert "README.txt, line 1: 'Exported.' is not YOLO's" in fault


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", [{"image": "cat0.png", "label": []}], "Export it as JSON, not as JSON-MIN"),
        ("a.json", {"size": {}, "objects": []}, "Export the project as COCO instances"),
        ("a.json", {"shapes": [], "imagePath": None}, "no imagePath, which names its image"),
        ("v/a.xml", "<annotation/>", "its masks are two folders: --images JPEGImages"),
    ],
)
def test_other_forms_are_refused_with_what_to_export(name, content, said, photos):
    with pytest.raises(DataError, match=said):
        read(name, content)
    if name.startswith("v/"):
        with pytest.raises(DataError, match=said):
            from_annotations(Path("v"), SetPlaces(images=Path("photos")))


def test_a_group_or_series_on_both_sides_of_the_split_is_noted(photos):
    splits = ["train", "VAL", "Val", "train"]
    rows = [
        f"photos/cat{n}.png,masks/cat{n}.png,{split},{n // 2}" for n, split in enumerate(splits)
    ]
    Path("t.csv").write_text("\n".join(["image,mask,split,group", *rows]))
    result = add("cats", "--csv", "t.csv", "--workers", "1", "--no-measure")
    assert "note: 2 groups are in train and in val, e.g. 0, so the scores will" in result.output
    check = CliRunner().invoke(app, ["data", "check", "cats", "--workers", "1"])
    assert "the group 1 is in train and in val." in check.output
    for number in range(12):
        name = f"patient{number % 3}_slice{number}.png"
        Path(f"photos/cat{number}.png").rename(f"photos/{name}")
        Path(f"masks/cat{number}.png").rename(f"masks/{name}")
    result = add("dogs", *photos, "--no-measure", "--dry-run")
    assert "series, by their names, are in train and in val, e.g. those of patient" in result.output
    grouped = add("dogs", *photos, "--dry-run", "--group", "^.*[0-9](?=[^0-9]+[0-9]+$)")
    assert (grouped.exit_code, "in train and in val" in grouped.output) == (0, False)


def test_names_of_a_layout_that_only_look_alike_are_noted(photos):
    for what, there in (("photos", "im/A.png"), ("masks", "gt/a.png")):
        Path(f"own/train/pets/{there}").parent.mkdir(parents=True)
        Path(f"{what}/cat0.png").rename(f"own/train/pets/{there}")
    for which in (["own"], ["pets", "--own", "own"], ["--own", "own"]):
        check = CliRunner().invoke(app, ["data", "check", *which, "--workers", "1"])
        assert "1 masks are named like their images but for capitals" in check.output
        assert check.exit_code == 0
