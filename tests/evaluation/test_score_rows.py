"""Tests of the scores per image and of their file."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pasam.config.presets import compose
from pasam.data.catalogue import PHOTOS
from pasam.errors import DataError, ShapeError
from pasam.evaluation.published import (
    BENCHMARKS,
    COCO,
    MEAN,
    PUBLIC_SETS,
    PUBLISHED,
    SEGINW,
    STAND_INS,
    published_for,
    published_instances,
    repeats_protocol,
)
from pasam.evaluation.scores import (
    SCHEMA,
    Truth,
    averaged,
    clean_box_rows,
    condition_name,
    mean_width,
    read_condition,
    read_scores,
    score_mask,
    write_scores,
)
from pasam.files import write_table

ROW = {
    "model": "sam",
    "seed": 0,
    "benchmark": "dis",
    "image_id": "dis/0001",
    "group": "0001",
    "prompt": "box",
    "corruption": "none",
    "iou": 0.5,
    "boundary_iou": 0.25,
    "intersection": 10,
    "union": 20,
    "boundary_covers": False,
    "area": 0.1,
    "complexity": 1.5,
    "height": 40,
    "width": 60,
}
ROWS = [
    {**ROW, "benchmark": benchmark, "image_id": image}
    for benchmark, image in [("thin", "b"), ("dis", "c"), ("thin", "a"), ("dis", "b")]
]


def score(gt: np.ndarray, prediction: np.ndarray) -> dict:
    return score_mask(Truth.of(gt, boundary_fraction=0.02), prediction)


def square(top: int, left: int, side: int, size: int = 100) -> np.ndarray:
    mask = np.zeros((size, size), np.uint8)
    mask[top : top + side, left : left + side] = 255
    return mask


def test_a_perfect_prediction_scores_one_on_both_metrics():
    gt = square(20, 20, 60)
    found = score(gt, gt > 128)
    assert (found["iou"], found["boundary_iou"]) == (1.0, 1.0)
    assert found["intersection"] == found["union"] == 3600
    assert found["boundary_covers"] is False


def test_pixels_are_counted_and_the_scores_follow_from_them():
    found = score(square(20, 20, 40), square(20, 30, 40) > 0)
    assert (found["intersection"], found["union"]) == (1200, 2000)
    assert found["iou"] == pytest.approx(0.6)
    assert found["boundary_iou"] < 0.6


def test_soft_edges_count_as_foreground_above_128_only():
    gt = np.array([[0, 128, 129, 255]], np.uint8)
    found = score(gt, np.ones((1, 4), np.bool_))
    assert (found["intersection"], found["union"]) == (2, 4)


def test_a_thin_object_is_covered_by_its_band():
    gt = np.zeros((100, 100), np.uint8)
    gt[:, 50:53] = 255
    found = score(gt, gt > 128)
    assert found["boundary_covers"] is True


def test_nothing_found_where_nothing_is_scores_one():
    empty = np.zeros((30, 40), np.uint8)
    found = score(empty, empty > 128)
    assert (found["iou"], found["boundary_iou"], found["union"]) == (1.0, 1.0, 0)


def test_a_prediction_of_another_size_is_refused():
    with pytest.raises(ShapeError, match=r"\(3, 4\) for \(4, 4\)"):
        score(np.zeros((4, 4), np.uint8), np.zeros((3, 4), np.bool_))


def test_scores_come_back_as_they_were_written_sorted_by_benchmark_and_image(tmp_path):
    write_scores(ROWS, tmp_path / "deep" / "sam.parquet")
    frame = read_scores(tmp_path / "deep" / "sam.parquet")
    places = list(zip(frame["benchmark"], frame["image_id"], strict=True))
    assert places == [("dis", "b"), ("dis", "c"), ("thin", "a"), ("thin", "b")]
    assert frame.columns.tolist() == SCHEMA.names
    assert frame.iloc[0].to_dict() == {**ROW, "benchmark": "dis", "image_id": "b"}


def test_scores_of_before_groups_are_read_with_each_mask_a_group_of_its_own(tmp_path):
    old = pa.schema([field for field in SCHEMA if field.name != "group"])
    rows = [{name: row[name] for name in old.names} for row in ROWS]
    write_table(tmp_path / "old.parquet", rows, old)
    frame = read_scores(tmp_path / "old.parquet")
    assert frame["group"].tolist() == frame["image_id"].tolist()
    assert frame.columns.tolist() == SCHEMA.names


def test_the_order_of_evaluation_leaves_no_trace_in_the_bytes(tmp_path):
    write_scores(ROWS, tmp_path / "a.parquet")
    write_scores(pd.DataFrame(ROWS[::-1])[SCHEMA.names[::-1]], tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


@pytest.mark.parametrize("other", [{"seed": 7}, {"corruption": "blur_1"}, {"prompt": "points_3"}])
def test_seeds_corruptions_and_prompts_tell_rows_of_one_image_apart(tmp_path, other):
    write_scores([ROW, {**ROW, **other}], tmp_path / "a.parquet")
    write_scores([{**ROW, **other}, ROW], tmp_path / "b.parquet")
    assert len(read_scores(tmp_path / "a.parquet")) == 2
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_a_table_is_made_of_tight_boxes_on_clean_images():
    others = [{"prompt": "box_jitter_0.2"}, {"corruption": "noise_2"}, {"seed": 7}]
    kept = clean_box_rows(pd.DataFrame([{**ROW, **other} for other in [*others, {}]]))
    assert kept["seed"].tolist() == [7, 0]


def test_a_mean_is_of_each_benchmark_once_in_their_order_and_of_photographs_if_alone():
    assert averaged(["z", PHOTOS, "a", "z"]) == ["z", "a"]
    assert averaged([PHOTOS, PHOTOS]) == [PHOTOS]


def test_several_files_make_one_frame(tmp_path):
    write_scores(ROWS, tmp_path / "sam.parquet")
    write_scores([{**row, "model": "pa_sam"} for row in ROWS], tmp_path / "pa.parquet")
    frame = read_scores(tmp_path / "sam.parquet", tmp_path / "pa.parquet")
    assert frame["model"].tolist() == ["pa_sam", "sam"] * 4


def test_files_that_repeat_a_row_are_refused_with_the_row(tmp_path):
    write_scores(ROWS, tmp_path / "a.parquet")
    write_scores([ROWS[0]], tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"1 rows are there twice, the first is \(thin, b, box"):
        read_scores(tmp_path / "a.parquet", tmp_path / "b.parquet")


def test_no_rows_make_a_file_without_rows(tmp_path):
    write_scores([], tmp_path / "none.parquet")
    assert len(read_scores(tmp_path / "none.parquet")) == 0


def test_a_missing_and_an_unknown_column_are_named(tmp_path):
    row = {key: value for key, value in ROW.items() if key != "iou"}
    with pytest.raises(DataError, match=r"lack \['iou'\] and have unknown \['seconds'\]"):
        write_scores([{**row, "seconds": 1.0}], tmp_path / "a.parquet")


def test_a_row_that_is_there_twice_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"hold \('dis', 'dis/0001"):
        write_scores([ROW, ROW], tmp_path / "a.parquet")


def test_a_value_of_the_wrong_kind_is_refused(tmp_path):
    with pytest.raises(DataError, match="do not fit column 'iou'"):
        write_scores([{**ROW, "iou": "high"}], tmp_path / "a.parquet")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.parquet does not exist"):
        read_scores(tmp_path / "gone.parquet")


def test_a_file_that_is_no_parquet_is_refused(tmp_path):
    (tmp_path / "a.parquet").write_text("scores", encoding="utf-8")
    with pytest.raises(DataError, match="is not a readable parquet file"):
        read_scores(tmp_path / "a.parquet")


def test_no_file_at_all_is_refused():
    with pytest.raises(DataError, match="No score file"):
        read_scores()


@pytest.mark.parametrize(
    ("prompt", "corruption", "condition"),
    [
        ("box", "none", None),
        ("box_jitter_0.2", "none", ("box_jitter", 0.2)),
        ("points_10", "none", ("points", 10.0)),
        ("box", "jpeg_3", ("jpeg", 3.0)),
        ("points_3", "jpeg_3", None),
        ("something else", "none", None),
    ],
)
def test_a_row_says_its_condition_and_its_amount(prompt, corruption, condition):
    assert read_condition(prompt, corruption) == condition


@pytest.mark.parametrize("amount", [0.05, 0.2, 1, 30])
def test_the_name_of_a_condition_is_read_as_it_was_written(amount):
    assert read_condition(condition_name("box_jitter", amount), "none") == ("box_jitter", amount)


@pytest.mark.parametrize("width", [6, 12, 24])
def test_a_long_strip_has_its_own_width(width):
    mask = np.zeros((300, 400), np.bool_)
    mask[20:280, 100 : 100 + width] = True
    assert mean_width(mask) * 500 == pytest.approx(width, rel=0.12)


def test_a_wire_is_thinner_than_a_disk():
    rows, columns = np.mgrid[:100, :100]
    disk = (rows - 50) ** 2 + (columns - 50) ** 2 < 30**2
    wire = np.zeros((100, 100), np.bool_)
    wire[50:53, 10:90] = True
    assert mean_width(wire) < mean_width(disk) / 5


def test_nothing_has_no_width_and_a_full_image_is_bounded_by_its_rim():
    assert mean_width(np.zeros((8, 8), np.bool_)) == 0.0
    assert mean_width(np.ones((100, 100), np.bool_)) < 1.0


@given(st.integers(1, 12), st.integers(1, 12))
def test_turning_an_object_leaves_its_width(height, width):
    mask = np.zeros((40, 40), np.bool_)
    mask[10 : 10 + height, 12 : 12 + width] = True
    assert mean_width(mask.T) == pytest.approx(mean_width(mask))


OURS = list(STAND_INS)


@pytest.mark.parametrize("model", ["hq_sam", "pa_sam"])
@pytest.mark.parametrize("metric", ["miou", "mbiou"])
def test_published_means_are_the_means_of_the_published_benchmarks(model, metric):
    values = {p.benchmark: getattr(p, metric) for p in PUBLISHED if p.model == model}
    assert np.mean([values[name] for name in BENCHMARKS]) == pytest.approx(values[MEAN], abs=0.051)


def test_each_published_number_is_the_one_of_its_benchmark():
    found = {
        model: [(p.miou, p.mbiou) for p in PUBLISHED if p.model == model and p.benchmark != MEAN]
        for model in ("hq_sam", "pa_sam")
    }
    assert found == {  # DIS, COIFT, HRSOD, ThinObject, as the README of PA-SAM has them
        "hq_sam": [(78.6, 70.4), (94.8, 90.1), (93.6, 86.9), (89.5, 79.9)],
        "pa_sam": [(81.5, 73.9), (95.8, 92.1), (94.6, 88.0), (92.7, 84.0)],
    }
    assert [p.benchmark for p in PUBLISHED if p.model == "pa_sam"] == [*BENCHMARKS, MEAN]


def test_published_precisions_rise_with_the_size_of_objects_and_are_less_at_the_boundary():
    table = published_instances()
    coco = table[table["benchmark"] == COCO]
    for smaller, larger in (("ap_small", "ap_medium"), ("ap_medium", "ap_large")):
        assert (coco[smaller] + 8 < coco[larger]).all()
    assert (coco["ap_boundary"] + 10 < coco["ap"]).all()
    assert ((coco["ap_medium"] - 6 < coco["ap"]) & (coco["ap"] < coco["ap_medium"])).all()
    seginw = table[table["benchmark"] == SEGINW]
    assert dict(zip(seginw["model"], seginw["ap"], strict=True)) == {"sam": 48.7, "hq_sam": 49.6}
    assert seginw["ap_boundary"].isna().all()


def test_of_sam_only_the_confirmed_mean_is_given():
    sam = [p for p in PUBLISHED if p.model == "sam"]
    assert [(p.benchmark, p.miou, p.mbiou) for p in sam] == [(MEAN, 79.5, 71.1)]


def test_every_number_names_its_source_and_is_there_once():
    assert all(p.source for p in PUBLISHED)
    keys = [(p.model, p.benchmark) for p in PUBLISHED]
    assert len(keys) == len(set(keys)) == 11


def test_each_generated_family_stands_in_for_one_published_benchmark():
    assert sorted(STAND_INS.values()) == sorted(BENCHMARKS)
    found = published_for(OURS).set_index(["model", "benchmark"])
    assert found.loc[("pa_sam", "thin_like"), "published_benchmark"] == "ThinObject"
    assert found.loc[("pa_sam", "thin_like"), "miou"] == 92.7
    assert found.loc[("hq_sam", "dis_like"), "mbiou"] == 70.4
    assert found.loc[("sam", MEAN), "miou"] == 79.5


def test_the_catalogues_names_are_those_of_the_published_benchmarks():
    found = published_for(["DIS5K-VD", "COIFT", "HRSOD", "ThinObject5K-TE"])
    found = found.set_index(["model", "benchmark"])
    assert found.loc[("pa_sam", "DIS5K-VD"), "miou"] == 81.5
    assert found.loc[("pa_sam", "ThinObject5K-TE"), "mbiou"] == 84.0
    assert found.loc[("pa_sam", MEAN), "miou"] == 91.2


@pytest.mark.parametrize("benchmarks", [OURS[:3], [*OURS, "horses"], [*OURS, "DIS"]])
def test_the_published_mean_is_left_out_unless_the_run_has_the_same_four(benchmarks):
    assert MEAN not in set(published_for(benchmarks)["benchmark"])


def test_data_of_ones_own_has_no_published_numbers():
    found = published_for(["horses", "roots"])
    assert len(found) == 0
    assert "published_benchmark" in found.columns


def test_the_published_benchmarks_stand_for_themselves():
    assert set(published_for(BENCHMARKS)["benchmark"]) == {*BENCHMARKS, MEAN}


def test_only_the_published_base_on_the_published_sets_repeats_the_protocol():
    public = [*PUBLIC_SETS, "COIFT", "HRSOD"]
    assert repeats_protocol("vit_l", public)
    assert repeats_protocol("vit_l", BENCHMARKS)
    assert not repeats_protocol("vit_b", public)
    assert not repeats_protocol("vit_l", OURS)
    assert not repeats_protocol("vit_l", public[:3])


def test_a_tolerance_stands_where_one_was_agreed():
    table = published_for(OURS).set_index(["model", "published_benchmark"])["tolerance"]
    assert table[("pa_sam", "DIS")] == 1.0
    assert table[("pa_sam", MEAN)] == 0.5
    assert table[("sam", MEAN)] == 0.2  # it is not trained again
    assert np.isnan(table[("pa_sam", "COIFT")])


def test_every_number_has_its_source_and_its_base_and_is_there_once():
    table = published_instances()
    assert len(table) == 8
    assert table["source"].str.len().min() > 0
    assert not table.duplicated(["benchmark", "model", "base"]).any()


def test_of_pa_sam_nothing_is_claimed():
    assert "pa_sam" not in set(published_instances()["model"])


def test_hq_sam_is_published_above_sam_on_every_base():
    table = published_instances().set_index(["benchmark", "base", "model"])["ap"]
    for benchmark, base in {(b, s) for b, s, _ in table.index}:
        assert table[benchmark, base, "hq_sam"] > table[benchmark, base, "sam"]


def test_the_names_are_those_of_the_papers_size(root):
    params = compose("paper", root / "params")
    instances = params["instances"]
    assert (instances["coco"]["name"], instances["seginw"]["name"]) == (COCO, SEGINW)
