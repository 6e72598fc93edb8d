"""AP is pycocotools' own, and boundary AP equals a computation by brute force."""

import contextlib
import copy
import io

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from pasam.evaluation.average_precision import average_precision, boundary_rle
from pasam.masks.overlap import boundary
from pasam.masks.run_lengths import bounding_box, decode, encode

SHARE = 0.02
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
    steps = round(SHARE * np.hypot(*mask.shape))
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
    found = average_precision(truth, results, overlap="mask", boundary_fraction=SHARE)
    values = (
        found.ap, found.ap50, found.ap75, found.ap_small, found.ap_medium, found.ap_large,
    )  # fmt: skip
    expected = [None if value < 0 else value for value in by_pycocotools(truth, results)]
    assert list(values) == expected
    assert 0.05 < found.ap < 0.95


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("kind", "overlap"), [("mask", iou), ("boundary", smaller_iou)])
def test_ap_equals_brute_force(seed, kind, overlap):
    truth, results = world(seed)
    found = average_precision(truth, results, overlap=kind, boundary_fraction=SHARE)
    for value, threshold in ((found.ap50, 0.5), (found.ap75, 0.75)):
        assert value == pytest.approx(brute_force(truth, results, overlap, threshold))
    every = [brute_force(truth, results, overlap, t) for t in np.arange(0.5, 0.96, 0.05).round(2)]
    assert found.ap == pytest.approx(np.mean(every))


def test_boundary_ap_is_lower_than_mask_ap_and_perfect_masks_reach_one_in_both():
    truth, results = world(1)
    pair = [
        average_precision(truth, results, overlap=kind, boundary_fraction=SHARE).ap
        for kind in ("mask", "boundary")
    ]
    assert pair[1] < pair[0]
    perfect = [
        {key: a[key] for key in ("image_id", "category_id", "segmentation")} | {"score": 0.5}
        for a in truth["annotations"]
    ]
    for kind in ("mask", "boundary"):
        found = average_precision(truth, perfect, overlap=kind, boundary_fraction=SHARE)
        assert found.ap == pytest.approx(1.0)


def test_sizes_without_objects_have_no_precision():
    truth, results = world(0)
    for annotation in truth["annotations"]:
        annotation["area"] = 100
    found = average_precision(truth, results, overlap="mask", boundary_fraction=SHARE)
    assert found.ap_medium is None
    assert found.ap_large is None
    assert found.ap_small is not None


def test_a_detector_that_found_nothing_scores_zero():
    truth, _ = world(0)
    for kind in ("mask", "boundary"):
        assert average_precision(truth, [], overlap=kind, boundary_fraction=SHARE).ap == 0.0


def test_the_inputs_stay_as_they_are():
    truth, results = world(2)
    before = copy.deepcopy((truth, results))
    average_precision(truth, results, overlap="boundary", boundary_fraction=SHARE)
    assert (truth, results) == before


def test_a_crowd_excuses_detections_and_asks_for_none():
    truth, results = world(0)
    crowd = copy.deepcopy(truth["annotations"][0])
    truth["annotations"].append({**crowd, "id": 99, "iscrowd": 1})
    found = average_precision(truth, results, overlap="mask", boundary_fraction=SHARE)
    assert found.ap == by_pycocotools(truth, results)[0]


@pytest.mark.parametrize("seed", range(6))
def test_a_band_found_in_the_bounding_box_is_the_one_of_the_whole_mask(seed):
    rng = np.random.default_rng(seed)
    mask = ellipse(rng)[0] if seed % 2 else (rng.random(SIZE) > 0.6).astype(np.uint8)
    band = decode(boundary_rle(encode(mask), share=SHARE))
    assert np.array_equal(band, naive_band(mask))
    assert np.array_equal(band, boundary(mask > 0, round(SHARE * np.hypot(*SIZE))))


def test_an_empty_mask_has_an_empty_band():
    empty = encode(np.zeros(SIZE, np.uint8))
    assert not decode(boundary_rle(empty, share=SHARE)).any()
