"""AP is pycocotools' own, and boundary AP equals a computation by brute force."""

import contextlib
import copy
import io

import cv2
import numpy as np
import pandas as pd
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from pasam.data.coco import AnnotatedImage, Annotations
from pasam.errors import DataError
from pasam.evaluation.average_precision import (
    Bands,
    BoundaryEvaluation,
    average_precision,
    boundary_rle,
    objects_by_size,
)
from pasam.evaluation.instances import (
    INSTANCES,
    PRECISIONS,
    InstanceSet,
    _objects,
    average_precisions,
    read_instances,
    read_precisions,
    results_of,
    write_instances,
    write_precisions,
)
from pasam.masks.overlap import boundary
from pasam.masks.run_lengths import area, bounding_box, decode, encode

FRACTION = 0.02
SIZE = (120, 160)


def ellipse(rng, centre=None, axes=None):
    mask = np.zeros(SIZE, np.uint8)
    centre = rng.integers((20, 20), (140, 100)) if centre is None else centre
    axes = rng.integers(6, 45, 2) if axes is None else axes
    cv2.ellipse(mask, [int(c) for c in centre], [int(a) for a in axes], 30, 0, 360, 1, -1)
    return mask, centre, axes


def world(seed=0, images=5):
    """Random objects of two classes, and detections: good ones, poor ones and inventions."""
    rng = np.random.default_rng(seed)
    annotations, results = [], []
    for image in range(1, images + 1):
        for _ in range(rng.integers(1, 5)):
            mask, centre, axes = ellipse(rng)
            category = int(rng.integers(1, 3))
            annotations.append(
                {
                    "id": len(annotations) + 1, "image_id": image, "category_id": category,
                    "segmentation": encode(mask), "area": int(mask.sum()), "iscrowd": 0,
                    "bbox": [float(v) for v in bounding_box(encode(mask))],
                }
            )  # fmt: skip
            for _ in range(rng.integers(0, 3)):
                off = rng.integers(-3, 4, 2)
                loose = np.maximum(axes + rng.integers(-4, 5, 2), 2)
                results.append((image, category, ellipse(rng, centre + off, loose)[0]))
        results.append((image, int(rng.integers(1, 3)), ellipse(rng)[0]))
    truth = {
        "images": [
            {"id": n, "file_name": f"{n}.png", "height": SIZE[0], "width": SIZE[1]}
            for n in range(1, images + 1)
        ],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
    }
    scores = rng.permutation(len(results)) / len(results)
    found = [
        {
            "image_id": image, "category_id": category, "segmentation": encode(mask),
            "score": float(score),
        }
        for (image, category, mask), score in zip(results, scores, strict=True)
    ]  # fmt: skip
    return truth, found


def by_pycocotools(truth, results):
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO()
        gt.dataset = copy.deepcopy(truth)
        gt.createIndex()
        evaluation = COCOeval(gt, gt.loadRes(copy.deepcopy(results)), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[:6]


def naive_band(mask):
    """The mask minus its repeated 3 x 3 erosion, in an image with a border of ground."""
    padded = np.pad(mask.astype(np.uint8), 1)
    steps = round(FRACTION * np.hypot(*mask.shape))
    eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=steps)
    return (padded - eroded)[1:-1, 1:-1] > 0


def brute_force(truth, results, overlap, threshold):
    """AP of all sizes at one threshold: greedy matching, 101 recalls, mean over categories."""
    precisions = []
    for category in (1, 2):
        objects = [a for a in truth["annotations"] if a["category_id"] == category]
        found = sorted(
            (r for r in results if r["category_id"] == category), key=lambda r: -r["score"]
        )
        taken, hits = set(), []
        for result in found:
            rivals = [
                (
                    overlap(decode(result["segmentation"]), decode(a["segmentation"])),
                    a["id"],
                )
                for a in objects
                if a["image_id"] == result["image_id"] and a["id"] not in taken
            ]
            best = max(rivals, default=(0, 0))
            hits.append(best[0] >= threshold)
            if hits[-1]:
                taken.add(best[1])
        right = np.cumsum(hits)
        recall = right / len(objects)
        precision = right / np.arange(1, len(hits) + 1)
        precision = np.maximum.accumulate(precision[::-1])[::-1]
        places = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
        precisions.append(np.append(precision, 0)[places].mean())
    return np.mean(precisions)


def iou(a, b):
    return (a & b).sum() / max((a | b).sum(), 1)


def smaller_iou(a, b):
    return min(iou(a, b), iou(naive_band(a), naive_band(b)))


@pytest.mark.parametrize("seed", range(4))
def test_mask_ap_is_pycocotools_own(seed):
    truth, results = world(seed)
    found = average_precision(truth, results, overlap="mask", bands=Bands(FRACTION))
    values = (
        found.ap, found.ap50, found.ap75, found.ap_small, found.ap_medium, found.ap_large,
    )  # fmt: skip
    expected = [None if value < 0 else value for value in by_pycocotools(truth, results)]
    assert list(values) == expected
    assert 0.05 < found.ap < 0.95


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("kind", "overlap"), [("mask", iou), ("boundary", smaller_iou)])
def test_ap_equals_brute_force(seed, kind, overlap):
    truth, results = world(seed)
    found = average_precision(truth, results, overlap=kind, bands=Bands(FRACTION))
    for value, threshold in ((found.ap50, 0.5), (found.ap75, 0.75)):
        assert value == pytest.approx(brute_force(truth, results, overlap, threshold))
    every = [brute_force(truth, results, overlap, t) for t in np.arange(0.5, 0.96, 0.05).round(2)]
    assert found.ap == pytest.approx(np.mean(every))


def test_boundary_ap_is_lower_than_mask_ap_and_perfect_masks_reach_one_whatever_their_ids():
    truth, results = world(1)
    truth["annotations"][0]["id"] = 0
    pair = [
        average_precision(truth, results, overlap=kind, bands=Bands(FRACTION)).ap
        for kind in ("mask", "boundary")
    ]
    assert pair[1] < pair[0]
    perfect = [
        {key: a[key] for key in ("image_id", "category_id", "segmentation")} | {"score": 0.5}
        for a in truth["annotations"]
    ]
    for kind in ("mask", "boundary"):
        found = average_precision(truth, perfect, overlap=kind, bands=Bands(FRACTION))
        assert found.ap == pytest.approx(1.0)


def test_objects_are_counted_by_size_and_crowds_are_none():
    areas = [(100, 0), (1023, 0), (1025, 0), (9215, 0), (9217, 0), (50, 1)]
    truth = {"annotations": [{"area": area, "iscrowd": crowd} for area, crowd in areas]}
    counts = {"objects": 5, "objects_small": 2, "objects_medium": 2, "objects_large": 1}
    assert objects_by_size(truth) == counts


@pytest.mark.parametrize("area", [1023, 1024, 1025, 9215, 9216, 9217])
def test_a_precision_is_of_the_objects_that_are_counted(area):
    truth, results = world(0)
    for annotation in truth["annotations"]:
        annotation["area"] = area
    found = average_precision(truth, results, overlap="mask", bands=Bands(FRACTION))
    counted = objects_by_size(truth)
    for size in ("small", "medium", "large"):
        assert (getattr(found, f"ap_{size}") is not None) == (counted[f"objects_{size}"] > 0)


def test_sizes_without_objects_have_no_precision():
    truth, results = world(0)
    for annotation in truth["annotations"]:
        annotation["area"] = 100
    found = average_precision(truth, results, overlap="mask", bands=Bands(FRACTION))
    assert found.ap_medium is None
    assert found.ap_large is None
    assert found.ap_small is not None


def test_a_detector_that_found_nothing_scores_zero():
    truth, _ = world(0)
    for kind in ("mask", "boundary"):
        assert average_precision(truth, [], overlap=kind, bands=Bands(FRACTION)).ap == 0.0


def test_the_inputs_stay_as_they_are():
    truth, results = world(2)
    before = copy.deepcopy((truth, results))
    average_precision(truth, results, overlap="boundary", bands=Bands(FRACTION))
    assert (truth, results) == before


def test_a_crowd_excuses_detections_and_asks_for_none():
    truth, results = world(0)
    crowd = copy.deepcopy(truth["annotations"][0])
    truth["annotations"].append({**crowd, "id": 99, "iscrowd": 1})
    found = average_precision(truth, results, overlap="mask", bands=Bands(FRACTION))
    assert found.ap == by_pycocotools(truth, results)[0]


@pytest.mark.parametrize("seed", range(6))
def test_a_band_found_in_the_bounding_box_is_the_one_of_the_whole_mask(seed):
    rng = np.random.default_rng(seed)
    mask = ellipse(rng)[0] if seed % 2 else (rng.random(SIZE) > 0.6).astype(np.uint8)
    band = decode(boundary_rle(encode(mask), fraction=FRACTION))
    assert np.array_equal(band, naive_band(mask))
    assert np.array_equal(band, boundary(mask > 0, round(FRACTION * np.hypot(*SIZE))))


def test_an_empty_mask_has_an_empty_band():
    empty = encode(np.zeros(SIZE, np.uint8))
    assert not decode(boundary_rle(empty, fraction=FRACTION)).any()


@pytest.mark.parametrize("overlap", ["mask", "boundary"])
def test_a_detection_inside_a_crowd_is_excused(overlap):
    """It lies in the crowd's band and scores highest: charged, it would halve the precision."""
    thing, crowd, inside = (np.zeros(SIZE, np.uint8) for _ in range(3))
    thing[10:50, 10:50] = crowd[60:115, 40:150] = inside[60:64, 40:150] = 1
    truth = {
        "images": [{"id": 1, "file_name": "1.png", "height": SIZE[0], "width": SIZE[1]}],
        "annotations": [
            {
                "id": number, "image_id": 1, "category_id": 1, "iscrowd": number - 1,
                "segmentation": encode(mask), "area": int(mask.sum()),
                "bbox": [float(v) for v in bounding_box(encode(mask))],
            }
            for number, mask in ((1, thing), (2, crowd))
        ],
        "categories": [{"id": 1, "name": "a"}],
    }  # fmt: skip
    results = [
        {"image_id": 1, "category_id": 1, "segmentation": encode(mask), "score": score}
        for mask, score in ((inside, 0.9), (thing, 0.5))
    ]
    found = average_precision(truth, results, overlap=overlap, bands=Bands(FRACTION))
    assert found.ap == pytest.approx(1.0)
    alone = {**truth, "annotations": truth["annotations"][:1]}
    charged = average_precision(alone, results, overlap=overlap, bands=Bands(FRACTION))
    assert charged.ap == pytest.approx(0.5, abs=0.01)


def one_square(mask):
    """A truth of one object in one image."""
    return {
        "images": [{"id": 1, "file_name": "1.png", "height": SIZE[0], "width": SIZE[1]}],
        "annotations": [
            {
                "id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0,
                "segmentation": encode(mask), "area": int(mask.sum()),
                "bbox": [float(v) for v in bounding_box(encode(mask))],
            }
        ],
        "categories": [{"id": 1, "name": "a"}],
    }  # fmt: skip


def test_a_mask_with_a_hole_is_not_forgiven_by_its_outline():
    """The rim of an object, as wide as the band, has the object's band and little of its area."""
    thing = np.zeros(SIZE, np.uint8)
    thing[10:90, 10:90] = 1
    rim = thing.copy()
    rim[14:86, 14:86] = 0
    assert np.array_equal(naive_band(rim), naive_band(thing))
    found = [{"image_id": 1, "category_id": 1, "segmentation": encode(rim), "score": 0.9}]
    precision = average_precision(one_square(thing), found, overlap="boundary", bands=Bands(0.02))
    assert precision.ap == 0.0


def test_of_more_boxes_than_count_in_an_image_the_best_are_compared():
    thing = np.zeros(SIZE, np.uint8)
    thing[10:50, 10:50] = 1
    masks = [thing if k == 60 else np.roll(thing, k + 3, axis=1) for k in range(101)]
    results = [
        {
            "image_id": 1,
            "category_id": 1,
            "segmentation": encode(mask),
            "score": 0.9 if k == 60 else k / 999,
        }
        for k, mask in enumerate(masks)
    ]
    for overlap in ("mask", "boundary"):
        found = average_precision(
            one_square(thing), results, overlap=overlap, bands=Bands(FRACTION)
        )
        assert found.ap == pytest.approx(1.0)


PLANE = (60, 80)


def square(shift, side=30):
    mask = np.zeros(PLANE, np.bool_)
    mask[5 : 5 + side, 5 + shift : 5 + shift + side] = True
    return encode(mask)


def a_set(benchmark, name):
    content = {
        "images": [{"id": 1, "file_name": "1.png", "height": PLANE[0], "width": PLANE[1]}],
        "annotations": [
            {
                "id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "segmentation": square(0),
                "area": area(square(0)), "bbox": [5, 5, 30, 30],
            }
        ],
        "categories": [{"id": 1, "name": "cat"}],
    }  # fmt: skip
    annotations = Annotations({1: AnnotatedImage("1.png", *PLANE)}, {1: "cat"}, content)
    return InstanceSet(
        benchmark=benchmark, name=name, images=None, annotations=annotations, detections={}
    )


def row(model, data, shift, seed=0, score=0.5):
    return {
        "model": model, "seed": seed, "benchmark": data.benchmark, "set": data.name, "image_id": 1,
        "category_id": 1, "score": score, "height": PLANE[0], "width": PLANE[1],
        "counts": square(shift)["counts"],
    }  # fmt: skip


ONE, TWO, COCO_SET = (
    a_set("seginw", "one"),
    a_set("seginw", "two"),
    a_set("coco", "coco"),
)
SETS = [COCO_SET, ONE, TWO]
ROWS = pd.DataFrame(
    [
        row("sam", COCO_SET, 4), row("sam", ONE, 8), row("sam", TWO, 20),
        row("pa_sam", COCO_SET, 0, seed=3), row("pa_sam", ONE, 2, seed=3),
    ]
)  # fmt: skip


@pytest.fixture(scope="module")
def found():
    rows = average_precisions(ROWS, SETS, boundary_fraction=FRACTION)
    return pd.DataFrame(rows).set_index(["model", "set", "overlap"])


def test_every_model_has_every_set_in_both_overlaps_and_the_mean_of_several(found):
    expected = {
        (model, name, overlap)
        for model in ("sam", "pa_sam")
        for name in ("coco", "one", "two", "mean")
        for overlap in ("mask", "boundary")
    }
    assert set(found.index) == expected
    assert set(found.loc["pa_sam"]["seed"]) == {3}


def test_a_rows_precision_is_that_of_its_masks(found):
    part = ROWS[(ROWS["model"] == "sam") & (ROWS["set"] == "one")]
    for overlap in ("mask", "boundary"):
        expected = average_precision(
            ONE.annotations.content,
            list(results_of(part)),
            overlap=overlap,
            bands=Bands(FRACTION),
        )
        assert found.at[("sam", "one", overlap), "ap"] == expected.ap
    assert 0 < found.at[("sam", "one", "mask"), "ap"] < 1
    assert found.at[("pa_sam", "coco", "boundary"), "ap"] == pytest.approx(1.0)


def test_a_set_in_which_a_model_found_nothing_counts_as_zero(found):
    assert found.at[("pa_sam", "two", "mask"), "ap"] == 0
    assert found.at[("pa_sam", "two", "mask"), "detections"] == 0
    mean = found.at[("pa_sam", "mean", "mask"), "ap"]
    assert mean == pytest.approx(found.at[("pa_sam", "one", "mask"), "ap"] / 2)


def test_an_annotation_whose_mask_is_damaged_is_named():
    broken = a_set("seginw", "one")
    broken.annotations.content["annotations"][0]["segmentation"] = {"size": [3, 3], "counts": "1"}
    with pytest.raises(DataError, match=r"^annotation 1 .* Correct the annotations\.$"):
        _objects(broken.annotations)


def test_a_crowd_is_none_of_the_objects_of_a_set():
    crowded = a_set("seginw", "one")
    objects = crowded.annotations.content["annotations"]
    objects.append({**objects[0], "id": 2, "iscrowd": 1})
    rows = average_precisions(ROWS[ROWS["set"] == "one"], [crowded], boundary_fraction=FRACTION)
    assert {one["objects"] for one in rows} == {1}


def test_the_mean_counts_images_objects_and_detections_of_all_sets(found):
    row = found.loc[("sam", "mean", "mask")]
    assert (row["images"], row["objects"], row["detections"]) == (2, 2, 2)
    assert row["benchmark"] == "seginw"


def test_seeds_of_a_model_have_rows_and_means_of_their_own():
    rows = pd.DataFrame(
        [row("pa_sam", data, 2 if seed == 3 else 20, seed=seed)
         for seed in (4, 3) for data in (ONE, TWO)]
    )  # fmt: skip
    found = pd.DataFrame(average_precisions(rows, [ONE, TWO], boundary_fraction=FRACTION))
    masks = found[found["overlap"] == "mask"].set_index(["seed", "set"])
    assert set(masks["detections"][:4]) == {1}
    assert masks.at[(3, "mean"), "ap"] == masks.at[(3, "one"), "ap"] > 0.5
    assert masks.at[(4, "mean"), "ap"] == masks.at[(4, "one"), "ap"] == 0.0
    assert masks.at[(3, "mean"), "detections"] == 2


def test_a_size_that_a_set_lacks_is_in_no_mean_of_sets():
    large = a_set("seginw", "two")
    large.annotations.content["annotations"][0]["area"] = 5000
    rows = pd.DataFrame([row("sam", ONE, 2), row("sam", large, 8)])
    found = pd.DataFrame(average_precisions(rows, [ONE, large], boundary_fraction=FRACTION))
    masks = found[found["overlap"] == "mask"].set_index("set")
    assert masks.at["mean", "ap_small"] == masks.at["one", "ap_small"] > 0
    assert masks.at["mean", "ap_medium"] == masks.at["two", "ap_medium"]
    assert pd.isna(masks.at["mean", "ap_large"])
    assert masks.at["mean", "ap"] == pytest.approx(masks.loc[["one", "two"], "ap"].mean())
    counted = ["objects", "objects_small", "objects_medium", "objects_large"]
    assert masks.loc["mean", counted].tolist() == [2, 1, 1, 0]


def test_sets_of_one_name_in_two_benchmarks_and_other_bands_are_told_apart():
    other = a_set("coco", "one")
    rows = pd.DataFrame([row("sam", ONE, 8), row("sam", other, 2), row("hq_sam", other, 1)])
    sizes = {}
    for fraction in (0.02, 0.2):
        found = pd.DataFrame(average_precisions(rows, [ONE, other], boundary_fraction=fraction))
        found = found.set_index(["benchmark", "model", "overlap"])
        assert set(found["set"]) == {"one"}  # no benchmark has several, so no mean
        counted = found["detections"].to_dict()
        assert counted["seginw", "sam", "mask"] == counted["coco", "sam", "mask"] == 1
        assert counted["seginw", "hq_sam", "mask"] == 0  # it found nothing there
        sizes[fraction] = found["ap"].to_dict()
        assert sizes[fraction]["seginw", "sam", "mask"] < sizes[fraction]["coco", "sam", "mask"]
    narrow, wide = sizes.values()
    assert narrow["coco", "sam", "mask"] == wide["coco", "sam", "mask"]
    assert narrow["coco", "sam", "boundary"] < wide["coco", "sam", "boundary"]


def test_the_mean_leaves_out_what_a_set_lacks_and_is_of_every_model_and_seed_by_itself():
    rows = pd.DataFrame(
        [
            row("pa_sam", ONE, 0, seed=3),
            row("pa_sam", TWO, 0, seed=3),
            row("pa_sam", ONE, 0, seed=4),
        ]
    )
    found = pd.DataFrame(average_precisions(rows, [ONE, TWO], boundary_fraction=FRACTION))
    mean = found[(found["set"] == "mean") & (found["overlap"] == "mask")].set_index("seed")
    assert mean["ap"].to_dict() == pytest.approx({3: 1.0, 4: 0.5})
    assert mean["ap_medium"].isna().all()
    lacking = a_set("seginw", "three")
    lacking.annotations.content["annotations"][0]["area"] = 5000  # no small one
    found = pd.DataFrame(
        average_precisions(
            pd.concat([rows[:1], pd.DataFrame([row("pa_sam", lacking, 20, seed=3)])]),
            [ONE, lacking], boundary_fraction=FRACTION,
        )
    ).set_index(["set", "overlap"])  # fmt: skip
    assert found.at[("mean", "mask"), "ap"] == pytest.approx(0.5)
    assert found.at[("mean", "mask"), "ap_small"] == pytest.approx(1.0)
    assert found.at[("mean", "mask"), "ap_medium"] == 0.0


def test_the_rows_fit_their_file(tmp_path):
    rows = average_precisions(ROWS, SETS, boundary_fraction=FRACTION)
    assert {entry["ap_large"] for entry in rows} == {None}
    write_precisions(rows, tmp_path / "a.parquet")


INSTANCE = {
    "model": "sam", "seed": 0, "benchmark": "coco_like", "set": "coco_like", "image_id": 1,
    "detection": 0, "category_id": 2, "category": "thin", "score": 0.5, "x0": 1.0, "y0": 2.0,
    "x1": 9.0, "y1": 8.0, "object_id": -1, "object_area": 0, "iou": 0.0, "boundary_iou": 0.0,
    "area": 12, "height": 20, "width": 30, "counts": "abc",
}  # fmt: skip
PRECISION = {
    "model": "sam", "seed": 0, "benchmark": "coco_like", "set": "coco_like", "overlap": "mask",
    "images": 2, "objects": 5, "objects_small": 0, "objects_medium": 2, "objects_large": 3,
    "detections": 6, "ap": 0.5, "ap50": 0.75, "ap75": 0.25,
    "ap_small": None, "ap_medium": 0.5, "ap_large": 0.5,
}  # fmt: skip


def test_rows_come_back_sorted_and_with_all_columns(tmp_path):
    rows = [{**INSTANCE, "detection": 3}, {**INSTANCE, "model": "hq_sam", "seed": 4}, INSTANCE]
    write_instances(rows, tmp_path / "new" / "a.parquet")
    found = read_instances(tmp_path / "new" / "a.parquet")
    assert found.columns.tolist() == INSTANCES.names
    places = list(zip(found["detection"], found["model"], strict=True))
    assert places == [(0, "hq_sam"), (0, "sam"), (3, "sam")]
    assert found.iloc[1].to_dict() == INSTANCE


def test_the_order_of_evaluation_leaves_no_trace_in_the_bytes(tmp_path):
    rows = [{**INSTANCE, "detection": k} for k in range(4)]
    write_instances(rows, tmp_path / "a.parquet")
    write_instances(rows[::-1], tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_a_precision_that_is_not_defined_is_no_number(tmp_path):
    write_precisions([{**PRECISION, "seed": 1}, PRECISION], tmp_path / "a.parquet")
    found = read_precisions(tmp_path / "a.parquet")
    assert (found.columns.tolist(), found["seed"].tolist()) == (PRECISIONS.names, [0, 1])
    assert found["ap_small"].isna().tolist() == [True, True]
    assert found["ap50"].tolist() == [0.75, 0.75]


def test_no_rows_make_a_file_without_rows(tmp_path):
    write_instances([], tmp_path / "a.parquet")
    assert len(read_instances(tmp_path / "a.parquet")) == 0


def test_a_row_that_is_there_twice_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"hold \('coco_like', 'coco_like', 1, 0, 'sam', 0\) twice"):
        write_instances([INSTANCE, dict(INSTANCE)], tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seconds": 1.0}, "unknown .'seconds'.*expected"),
        ({"area": "large"}, "do not fit column 'area'"),
        ({"iou": None}, "do not fit their columns"),
    ],
)
def test_what_does_not_fit_the_columns_is_refused(tmp_path, change, message):
    with pytest.raises(DataError, match=message):
        write_instances([{**INSTANCE, **change}], tmp_path / "a.parquet")
    assert list(tmp_path.iterdir()) == []


def test_missing_and_foreign_files_are_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.parquet does not exist.*dvc repro instances"):
        read_instances(tmp_path / "gone.parquet")
    (tmp_path / "a.parquet").write_text("rows")
    with pytest.raises(DataError, match="is not a readable parquet file"):
        read_precisions(tmp_path / "a.parquet")
    write_precisions([PRECISION], tmp_path / "b.parquet")
    with pytest.raises(DataError, match="expected"):
        read_instances(tmp_path / "b.parquet")


def test_many_detections_of_one_score_are_each_held_against_their_own_outline():
    rng = np.random.default_rng(3)
    masks = [np.roll(ellipse(rng, (80, 60), (30, 20))[0], k - 20, axis=1) for k in range(40)]
    truth, _ = world(images=1)
    truth["annotations"] = [{**truth["annotations"][0], "segmentation": encode(masks[20])}]
    one = {"image_id": 1, "category_id": truth["annotations"][0]["category_id"], "score": 0.5}
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO()
        gt.dataset = truth
        gt.createIndex()
        found = gt.loadRes([{**one, "segmentation": encode(mask)} for mask in masks])
        evaluation = BoundaryEvaluation(gt, found, bands=Bands(FRACTION))
        evaluation._prepare()
        ious = evaluation.computeIoU(1, one["category_id"])[:, 0]
    assert np.argmax(ious) == 20
    assert (np.diff(ious[:21]) > 0).all()
    assert (np.diff(ious[20:]) < 0).all()
