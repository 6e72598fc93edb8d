"""The command `pasam evaluate`."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from inference_models import make_predictor, picture
from PIL import Image
from typer.testing import CliRunner

from pasam.cli import evaluate
from pasam.cli.app import app
from pasam.cli.evaluate import _chosen_sets
from pasam.cli.options import named_model
from pasam.data.manifest import describe_pair, manifest_frame, write_manifest
from pasam.data.pairing import SET_FILE
from pasam.errors import DataError
from pasam.evaluation.set_scores import ImageWithMasks, score_set
from pasam.inference.zoomed_boxes import predict_zoomed
from pasam.masks.images import write_png
from pasam.masks.overlap import mask_iou
from pasam.masks.prompts import tight_box
from pasam.registry.load import load_predictor


@pytest.fixture
def pasam(model_project):
    runner = CliRunner(env={"COLUMNS": "200"})
    return lambda *arguments: runner.invoke(app, [str(a) for a in ("evaluate", *arguments)])


@pytest.fixture
def folders(tmp_path):
    """Two images with a mask each, and one more of both that belong to nothing."""
    images, masks = tmp_path / "im", tmp_path / "gt"
    label = np.zeros((60, 90), np.uint8)
    label[10:40, 20:70] = 255
    for seed, name in enumerate(("a", "b", "alone")):
        write_png(images / f"{name}.png", picture(60, 90, seed))
    for name in ("a", "b_1", "stray"):
        write_png(masks / f"{name}.png", label)
    return images, masks


@pytest.mark.long
def test_folders_are_paired_by_name_and_what_is_left_is_said(pasam, folders):
    images, masks = folders
    result = pasam("--model", "sam", "--images", images, "--masks", masks, "--json")
    assert result.exit_code == 0, result.output
    (found,) = json.loads(result.stdout)["scores"]
    pairs = [
        ImageWithMasks(images / "a.png", [masks / "a.png"]),
        ImageWithMasks(images / "b.png", [masks / "b_1.png"]),
    ]
    model = named_model("sam", resize="squash")
    expected = score_set(model, pairs, data="im", boundary_fraction=0.02)
    assert (found["model"], found["data"], found["masks"]) == ("sam", "im", 2)
    assert found["iou"] == np.mean([row["iou"] for row in expected])
    assert found["boundary_iou"] == np.mean([row["boundary_iou"] for row in expected])
    assert found["iou_low"] <= found["iou"] <= found["iou_high"]
    assert "1 images have no mask" in result.stderr
    assert "1 masks have no image" in result.stderr


def test_an_object_that_is_lost_between_the_models_pixels_is_measured_all_the_same(tmp_path):
    label = np.zeros((90, 1200), np.uint8)
    label[40, 606] = 255
    write_png(tmp_path / "a.png", picture(90, 1200))
    write_png(tmp_path / "b.png", label)
    pair = ImageWithMasks(tmp_path / "a.png", [tmp_path / "b.png"])
    model = make_predictor("sam", resize="squash")
    (row,) = score_set(model, [pair], data="im", boundary_fraction=0.02)
    assert row["union"] > 0


def test_several_models_on_a_set_of_the_manifest(pasam, folders, tmp_path):
    images, masks = folders
    label = np.full((60, 90), 255, np.uint8)
    row = describe_pair(
        split="val", dataset="mine", image=images / "a.png", mask=masks / "a.png",
        label=label, image_sha256="0",
    )  # fmt: skip
    more = {**row, "dataset": "more", "id": "val/more/a"}
    write_manifest(manifest_frame([row, more]), tmp_path / "m.parquet")
    models = ("--model", "sam", "--model", "pa_sam", "--manifest", tmp_path / "m.parquet")
    result = pasam(*models, "--data", "mine")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0][:4] == ["Model", "Set", "Masks", "mIoU"]
    assert [line[:3] for line in lines[1:3]] == [["sam", "mine", "1"], ["pa_sam", "mine", "1"]]
    assert lines[3][0] == "Comparison"
    assert [line[:5] for line in lines[4:6]] == [
        ["sam", "minus", "pa_sam", "mine", metric] for metric in ("mIoU", "mBIoU")
    ]
    assert "Holm's correction over the 2 comparisons of a set" in result.stdout
    both = pasam(*models, "--data", "mine", "--data", "more")
    assert sum("sam minus pa_sam" in line for line in both.stdout.splitlines()) == 4
    assert "Holm's correction over the 2 comparisons of a set" in both.stdout
    unknown = pasam("--data", "other", "--manifest", tmp_path / "m.parquet")
    assert "has no set 'other'; it has mine, more. Name one of these" in unknown.stderr


def test_a_set_that_is_registered_and_not_yet_prepared_says_how_to_measure_it(
    pasam, folders, tmp_path
):
    images, masks = folders
    own = tmp_path / "own" / "coins"  # as `pasam data add` leaves it
    own.mkdir(parents=True)
    params = tmp_path / "params.yaml"
    params.write_text(Path("params.yaml").read_text().replace("data/own", str(own.parent)))
    shutil.copytree(images, own / "im")
    shutil.copytree(masks, own / "gt")
    (own / SET_FILE).touch()
    row = describe_pair(
        split="val", dataset="mine", image=images / "a.png", mask=masks / "a.png",
        label=np.full((60, 90), 255, np.uint8), image_sha256="0",
    )  # fmt: skip
    write_manifest(manifest_frame([row]), tmp_path / "m.parquet")
    for manifest, words in (("m", "has no set 'coins' yet"), ("gone", "does not exist yet")):
        file = tmp_path / f"{manifest}.parquet"
        result = pasam("--data", "coins", "--manifest", file, "--params-file", params)
        assert result.exit_code == 2
        assert words in result.stderr
        assert "`dvc repro prepare`" in result.stderr
    instead = re.search(r"--images \S+ --masks \S+", result.stderr)[0].split()
    measured = pasam("--model", "sam", *instead, "--json")
    (scores,) = json.loads(measured.stdout)["scores"]
    assert (scores["data"], scores["masks"]) == ("coins", 2)  # by the set's name, not its folder's


def test_without_a_name_the_model_that_predict_asks_is_measured(folders, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images, masks = folders
    sets = ("--images", str(images), "--masks", str(masks), "--json")
    result = CliRunner().invoke(app, ["evaluate", *sets])
    assert [row["model"] for row in json.loads(result.stdout)["scores"]] == [load_predictor().name]


def test_one_model_by_two_names_is_measured_once_and_two_of_one_name_are_refused(
    pasam, folders, tmp_path
):
    images, masks = folders
    sets = ("--images", images, "--masks", masks, "--json")
    file = tmp_path / "pa_sam.safetensors"
    shutil.copy("data/adapters/pa_sam.safetensors", file)
    result = pasam("--model", "pa_sam", "--model", file, *sets)
    assert result.exit_code == 0, result.output
    assert [row["masks"] for row in json.loads(result.stdout)["scores"]] == [2]
    assert f"{file} is left out: it is pa_sam, as pa_sam is" in result.stderr
    shutil.copy("data/adapters/hq_sam.safetensors", file)
    result = pasam("--model", "pa_sam", "--model", file, *sets)
    assert result.exit_code == 2
    assert f"pa_sam and {file} are two models that are both called pa_sam" in result.stderr


def test_zoom_is_measured_beside_the_whole_image_with_predicts_own_windows(
    pasam, folders, tmp_path
):
    images, masks = folders
    small = np.zeros((60, 90), np.uint8)
    small[20:28, 30:40] = 255
    write_png(masks / "a.png", small)
    (masks / "b_1.png").unlink()
    large = np.zeros((60, 90), np.uint8)
    large[2:58, 2:88] = 255  # too much for a window
    write_png(masks / "b_2.png", large)
    rows = tmp_path / "rows.csv"
    sets = ("--images", images, "--masks", masks, "--rows", rows, "--json")
    result = pasam("--model", "pa_sam", "--zoom", *sets)
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert [row["model"] for row in content["scores"]] == ["pa_sam", "pa_sam zoomed"]
    assert {row["against"] for row in content["differences"]} == {"pa_sam zoomed"}
    found = pd.read_csv(rows).set_index(["model", "mask"])["iou"].unstack("model")
    assert found["pa_sam"].iloc[1] == found["pa_sam zoomed"].iloc[1]
    model = named_model("pa_sam", resize="squash")
    (answer,) = predict_zoomed(model, picture(60, 90, 0), [tight_box(small)])
    overlap = mask_iou(small > 0, answer.masks[0])
    assert found["pa_sam zoomed"].iloc[0] == pytest.approx(overlap, abs=0.03)
    assert overlap != pytest.approx(found["pa_sam"].iloc[0], abs=0.03)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "say which set"),
        (("--images", "x"), "--images and --masks go together"),
        (("--images", "x", "--masks", "y"), "the folder x does not exist"),
        (("--images", "x", "--masks", "y", "--data", "z"), "not both"),
        (("--data", "z", "--manifest", "gone.parquet"), "gone.parquet does not exist"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments, words, pasam):
    result = pasam(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stderr.count("\n") == 1


def test_groups_of_the_manifest_are_what_intervals_resample(pasam, folders, tmp_path):
    images, masks = folders
    rows = [
        describe_pair(
            split="val", dataset="mine", image=images / image, mask=masks / mask,
            label=np.full((60, 90), 255, np.uint8), image_sha256=image, group=group,
        )
        for image, mask, group in (
            ("a.png", "a.png", "film 1"), ("b.png", "b_1.png", "film 1"),
            ("alone.png", "stray.png", ""),
        )
    ]  # fmt: skip
    write_manifest(manifest_frame(rows), tmp_path / "m.parquet")
    arguments = ("--model", "sam", "--data", "mine", "--manifest", tmp_path / "m.parquet")
    (found,) = json.loads(pasam(*arguments, "--json").stdout)["scores"]
    assert (found["masks"], found["groups"]) == (3, 2)


def test_folders_that_share_no_name_are_refused(pasam, folders, tmp_path):
    write_png(tmp_path / "other" / "zzz.png", np.full((4, 4), 255, np.uint8))
    result = pasam("--images", folders[0], "--masks", tmp_path / "other")
    assert "is named like an image of" in result.stderr


def test_its_help_has_an_example(pasam):
    assert "Example: pasam evaluate --model pa_sam" in pasam("--help").output


def test_the_table_has_the_numbers_of_the_json_each_under_its_title(pasam, folders):
    images, masks = folders
    label = np.zeros((60, 90), np.uint8)
    label[5:20, 5:30] = 255
    write_png(masks / "a.png", label)  # of another size, so that pooling makes a difference
    arguments = ("--images", images, "--masks", masks, "--model", "sam")
    (row,) = json.loads(pasam(*arguments, "--json").stdout)["scores"]
    lines = pasam(*arguments).stdout.splitlines()[:2]
    titles, values = (re.split(r"\s{2,}", line.strip()) for line in lines)
    shown = dict(zip(titles, values, strict=True))
    wanted = {"mIoU": "iou", "mBIoU": "boundary_iou", "Pooled IoU": "pooled_iou"}
    assert {title: shown[title].split(" ")[0] for title in wanted} == {
        title: f"{100 * row[key]:.1f}" for title, key in wanted.items()
    }
    assert len({shown[title] for title in wanted}) == 3  # or a swap would not show


@pytest.fixture
def table(folders, tmp_path):
    """A CSV of three pairs: one of val, one of train, one of no split; two of one film."""
    images, masks = folders
    write_png(masks / "alone.png", np.pad(np.full((20, 30), 255, np.uint8), ((10, 30), (10, 50))))
    path = tmp_path / "films.csv"
    path.write_text(
        "image,mask,split,group\n"
        "im/a.png,gt/a.png,val,film 1\nim/b.png,gt/b_1.png,train,\n"
        "im/alone.png,gt/alone.png,,film 1\n"
    )
    return path


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_rows_of_a_table_are_written_one_a_mask_and_their_means_are_those_printed(
    pasam, table, tmp_path, suffix
):
    path = tmp_path / f"rows{suffix}"
    models = ("--model", "sam", "--model", "pa_sam")
    result = pasam("--csv", table, "--split", "all", "--rows", path, "--json", *models)
    assert result.exit_code == 0, result.output
    rows = pd.read_csv(path) if suffix == ".csv" else pd.read_parquet(path)
    assert len(rows) == 6
    names = [Path(image).stem for image in rows[rows["model"] == "sam"]["image"]]
    assert names == ["a", "b", "alone"]
    assert rows["group"].tolist()[::2][:2] == ["film 1", "film 1"]
    content = json.loads(result.stdout)
    for found in content["scores"]:
        own = rows[rows["model"] == found["model"]]
        assert found["iou"] == pytest.approx(own["iou"].mean())
        assert (found["masks"], found["groups"]) == (3, 2)
    sam, pa_sam = (rows[rows["model"] == m].reset_index() for m in ("sam", "pa_sam"))
    for found in content["differences"]:
        delta = sam[found["metric"]] - pa_sam[found["metric"]]
        assert found["difference"] == pytest.approx(delta.mean())
        assert found["low"] <= found["difference"] <= found["high"]
        assert found["better"] == pytest.approx((delta > 0).mean())


def test_only_val_is_measured_unless_told_otherwise(pasam, table):
    def masks(*arguments):
        return json.loads(pasam("--csv", table, "--model", "sam", "--json", *arguments).stdout)[
            "scores"
        ][0]["masks"]

    assert masks() == 2
    assert masks("--split", "train") == 2
    assert masks("--split", "all") == 3


def test_a_file_of_rows_with_another_suffix_is_refused_before_anything_is_measured(pasam, table):
    result = pasam("--csv", table, "--model", "sam", "--rows", "x.xlsx")
    assert result.exit_code == 2
    assert "expected .csv or .parquet (--rows)" in result.stderr


def test_a_broken_table_names_its_row(pasam, tmp_path):
    (tmp_path / "t.csv").write_text("image,mask\ngone.png,gone_too.png\n")
    result = pasam("--csv", tmp_path / "t.csv", "--model", "sam")
    assert result.exit_code == 2
    assert "row 2: image" in result.stderr


@pytest.mark.parametrize("given", [False, True])
def test_every_option_of_evaluate_reaches_what_it_is_for(given, table, tmp_path, monkeypatch):
    seen, model = [], make_predictor("sam")
    monkeypatch.setattr(
        "pasam.cli.options.named_model", lambda name, **how: seen.append((name, how)) or model
    )

    def score(predictor, pairs, **how):
        seen.append(([pair.image.stem for pair in pairs], how))
        raise DataError("measured")

    monkeypatch.setattr("pasam.evaluation.set_scores.score_set", score)
    words = (
        "--split train --zoom --boundary-fraction 0.01 --resize longest --device cuda:1 --base b "
        "--adapters t --params-file p.yaml --model a --model b"
    )
    found = CliRunner().invoke(app, ["evaluate", "--csv", str(table), *words.split() * given])
    assert found.exit_code == 2
    assert "measured" in found.stderr
    (name, how), (names, measured) = seen
    assert (name, names) == (("a", ["b", "alone"]) if given else (None, ["a", "alone"]))
    paths = ("p.yaml", "t") if given else ("params.yaml", "data/adapters")
    assert how == {
        "params_file": Path(paths[0]), "adapters": Path(paths[1]),
        "base": Path("b") if given else None, "device": "cuda:1" if given else "auto",
        "resize": "longest" if given else "squash",
    }  # fmt: skip
    assert measured == {
        "data": "films", "boundary_fraction": 0.01 if given else 0.02, "zoom": given
    }  # fmt: skip


def test_rows_are_told_apart_by_split_set_and_group_of_the_manifest(folders, tmp_path):
    images, masks = folders
    rows = [
        describe_pair(
            split=split, dataset=name, image=images / "a.png", mask=masks / mask,
            label=np.full((60, 90), 255, np.uint8), image_sha256=name + split, group=group,
        )
        for split, name, mask, group in (
            ("val", "mine", "a.png", "g"), ("val", "mine", "b_1.png", "g"),
            ("train", "mine", "stray.png", ""), ("val", "other", "stray.png", ""),
        )
    ]  # fmt: skip
    manifest = tmp_path / "m.parquet"
    write_manifest(manifest_frame(rows), manifest)

    def found(name, split):
        sets = _chosen_sets([name], None, None, None, manifest, split, Path("params.yaml"))
        assert list(sets) == [name]
        return [(len(each.masks), each.group) for each in sets[name]]

    assert found("mine", "val") == [(2, "g")]
    assert [count for count, _ in found("mine", "train")] == [1]
    assert [count for count, _ in found("mine", "all")] == [3]
    assert [count for count, _ in found("other", "val")] == [1]


TABLE = """model,benchmark,miou,mbiou
sam,dis_like,50.0,40.0
sam,photos,67.5,59.6
sam,mean,59.08,41.84
pa_sam,dis_like,51.0,41.0
pa_sam,photos,47.4,37.4
pa_sam,mean,56.75,39.56
"""
DIFFERENCES = """model,against,benchmark,metric,difference,low,high,verdict
pa_sam,sam,dis_like,miou,1.0,0.5,1.5,gain shown
pa_sam,sam,mean,miou,-2.3314,-4.3,-0.4,loss shown
pa_sam,sam,mean,mbiou,-0.3,-1.0,0.6,no difference shown
"""


@pytest.mark.parametrize(
    ("ends", "mean", "difference"),
    [
        ((-0.05, 0.01), "-2.0 [0.0, 1.0]", "-2.0 [-5.0, +1.0]"),
        ((0.5, 1.04), "-2.0 [50.0, 100.0]", "-2.0 [+50.0, +104.0]"),
        ((None, None), "-2.0", "-2.0"),
    ],
)
def test_the_interval_of_a_mean_keeps_its_bounds_and_that_of_a_difference_has_none(
    ends, mean, difference
):
    names = ("miou", "miou_low", "miou_high"), ("difference", "_low", "_high")
    rows = [dict(zip(each, (-0.02, *ends), strict=True)) for each in names]
    assert evaluate._with_ends(rows[0], "miou") == mean
    assert evaluate._with_ends(rows[1], "", "+") == difference


def test_no_interval_is_broken_at_80_columns(pasam, folders, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    images, masks = folders
    models = ("--model", "sam", "--model", "pa_sam")
    lines = pasam("--images", images, "--masks", masks, *models).stdout.splitlines()
    intervals = [line for line in lines if re.search(r"\[[-+]?\d", line)]
    assert len(intervals) == 4
    assert all(re.search(r"\[[-+]?\d+\.\d, [-+]?\d+\.\d\]", line) for line in intervals)


def test_the_report_is_told_in_a_few_lines_of_means_and_shown_differences(in_empty_folder):
    reports = in_empty_folder / "reports"
    reports.mkdir()
    (reports / "table1.csv").write_text(TABLE)
    (reports / "differences.csv").write_text(DIFFERENCES)
    for name in ("table1.md", "figure1.png", "index.html"):
        (reports / name).write_bytes(b"")
    lines = CliRunner().invoke(app, ("report", "show")).output.splitlines()
    assert lines == [
        "per cent  mean mIoU  mBIoU  photos mIoU  mBIoU",
        "SAM            59.1   41.8         67.5   59.6",
        "PA-SAM         56.8   39.6         47.4   37.4",
        "PA-SAM minus SAM: mIoU -2.3 [-4.3, -0.4], loss shown",
        "reports/table1.md, reports/figure1.png, reports/index.html",
    ]
    found = json.loads(CliRunner().invoke(app, ("report", "show", "--json")).output)
    assert [row["verdict"] for row in found["differences"]] == ["loss shown"]
    assert found["table1"][2]["mbiou"] == "41.84"


def test_the_table_in_the_terminal_has_ones_own_sets_in_80_columns(in_empty_folder):
    reports = in_empty_folder / "reports"
    reports.mkdir()
    own = "".join(
        f"{model},{name},{value},{value}\n"
        for model, value in (("sam", 61.26), ("pa_sam_plus", 63.5))
        for name in ("cats", "a_set_with_a_name_that_is_long_enough")
    )
    table = TABLE.replace("pa_sam,", "pa_sam_plus,")
    (reports / "table1.csv").write_text(table + own)
    shown = CliRunner().invoke(app, ("report", "show"))
    assert shown.exit_code == 0, shown.output
    lines = shown.output.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split("  ")[1:] == [
        "mean mIoU", "mBIoU", "cats mIoU", "mBIoU", "photos mIoU", "mBIoU",
    ]  # fmt: skip
    assert lines[1].split() == ["SAM", "59.1", "41.8", "61.3", "61.3", "67.5", "59.6"]
    assert lines[3] == "table1.md has a_set_with_a_name_that_is_long_enough, too"


def test_the_page_is_opened_in_the_browser(in_empty_folder, monkeypatch):
    opened = []
    monkeypatch.setattr("typer.launch", opened.append)
    (in_empty_folder / "reports").mkdir()
    (in_empty_folder / "reports" / "index.html").write_text("<p>")
    assert CliRunner().invoke(app, ("report", "open")).exit_code == 0
    assert opened == [(in_empty_folder / "reports" / "index.html").resolve().as_uri()]


def test_without_a_page_nothing_is_opened_and_the_command_to_make_it_is_named(in_empty_folder):
    result = CliRunner().invoke(app, ("report", "open"))
    assert result.exit_code == 2
    assert "reports/index.html does not exist" in result.output
    assert "dvc repro" in result.output


def test_the_figure_of_the_last_run_becomes_the_one_that_the_readme_shows(in_empty_folder, root):
    result = CliRunner().invoke(app, ("report", "images"))
    assert result.exit_code == 2
    assert "reports/figure1.png does not exist" in result.output
    (in_empty_folder / "reports").mkdir()
    Image.new("RGBA", (3200, 400), (10, 200, 10, 255)).save("reports/figure1.png")
    result = CliRunner().invoke(app, ("report", "images"))
    assert result.output == "Image: docs/images/figure1.png\n"
    with Image.open("docs/images/figure1.png") as shown:
        assert shown.size == (1600, 200)
        assert shown.convert("RGB").getpixel((5, 5)) == (10, 200, 10)
    assert "(docs/images/figure1.png)" in (root / "README.md").read_text()


def test_pairs_of_a_manifest_are_of_the_set_and_the_split_that_were_asked_for(
    tmp_path, monkeypatch
):
    rows = [
        ("own", "val", "b.png", "b1.png", "g1"), ("own", "val", "a.png", "a1.png", "g2"),
        ("own", "val", "b.png", "b2.png", "g1"), ("own", "train", "c.png", "c1.png", "g3"),
        ("other", "val", "d.png", "d1.png", "g4"), ("thin", "train", "e.png", "e1.png", "g5"),
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["dataset", "split", "image", "mask", "group"])
    monkeypatch.setattr("pasam.data.manifest.read_manifest", lambda path: frame)
    monkeypatch.setattr(evaluate, "_own_set", lambda name, params_file: None)

    def pairs(name, split):
        found = evaluate._of_manifest(name, tmp_path / "m", split, tmp_path / "p")
        return [(str(one.image), [str(mask) for mask in one.masks], one.group) for one in found]

    measured = [("a.png", ["a1.png"], "g2"), ("b.png", ["b1.png", "b2.png"], "g1")]
    assert pairs("own", "val") == measured
    assert pairs("own", "train") == [("c.png", ["c1.png"], "g3")]
    assert pairs("own", "all") == [*measured, ("c.png", ["c1.png"], "g3")]
    with pytest.raises(DataError, match="has the set 'thin' in train only, not in val. Say --spl"):
        pairs("thin", "val")
    with pytest.raises(DataError, match="has no set 'none'; it has other, own, thin. Name one of"):
        pairs("none", "all")
    monkeypatch.setattr(evaluate, "_own_set", lambda name, params_file: Path("sets/none"))
    with pytest.raises(DataError, match="--images sets/none/im --masks sets/none/gt in place of"):
        pairs("none", "all")


def test_pairs_of_a_table_are_those_of_the_split_and_those_of_none(tmp_path, monkeypatch):
    def one(name, split, group):
        return SimpleNamespace(image=Path(name), masks=[Path("m")], split=split, group=group)

    source = SimpleNamespace(
        faults=[], more_faults=0,
        candidates=[one("a", "val", "g"), one("b", "train", None), one("c", None, None)],
    )  # fmt: skip
    monkeypatch.setattr("pasam.data.pairing.from_csv", lambda table: source)

    def pairs(split):
        return [(str(each.image), each.group) for each in evaluate._of_csv(tmp_path, split)]

    assert pairs("val") == [("a", "g"), ("c", "")]
    assert pairs("train") == [("b", ""), ("c", "")]
    assert pairs("all") == [("a", "g"), ("b", ""), ("c", "")]
    del source.candidates[1:]
    with pytest.raises(DataError, match="has no pair of the split train. Say --split all"):
        pairs("train")
    for faults, more, told in (
        (["line 2 is short"], 0, "short$"), (["x"], 4, r"^x \(5 faults in all"),
        (["x", "y"], 0, r"^x \(2 faults in all"),
    ):  # fmt: skip
        source.faults, source.more_faults = faults, more
        with pytest.raises(DataError, match=told):
            pairs("all")


def test_the_column_of_thin_masks_is_there_where_any_set_has_some():
    row = {"model": "sam", "data": "a", "masks": 1234, "pooled_iou": 0.5, "covered": 0.0}
    row |= {f"{m}{end}": 0.25 for m in ("iou", "boundary_iou") for end in ("", "_low", "_high")}
    for covered, thin in (((0.0, 0.0), []), ((0.0, 0.125), ["0.0", "12.5"])):
        table = evaluate._table([{**row, "covered": each} for each in covered])
        columns = {str(each.header): list(each.cells) for each in table.columns}
        assert columns.get("Thin", []) == thin
        assert (columns["Masks"], columns["Pooled IoU"]) == (["1,234"] * 2, ["50.0"] * 2)
