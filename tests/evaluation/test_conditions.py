"""Every model meets every condition; boxes, points and images are made worse as stated."""

import dataclasses
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pasam.config.schema import RobustnessParams
from pasam.errors import DataError
from pasam.evaluation import conditions, protocol
from pasam.evaluation.conditions import (
    Corruption,
    corrupt,
    corruptions,
    evaluate_robustness,
    evenly,
    first_points,
    jitter_box,
    point_prompts,
)
from pasam.evaluation.model_set import ModelEntry, encode
from pasam.evaluation.protocol import (
    Asked,
    PromptBatch,
    evaluate_all,
    evaluate_benchmark,
    predict,
    store_batch,
    threads_beside,
    truths_of,
)
from pasam.evaluation.scores import ORDER, write_scores
from pasam.masks.images import read_image
from pasam.masks.prompts import tight_box
from pasam.masks.transforms import squash
from pasam.models import pa_mask_decoder
from pasam.workers import ProcessGroup

VALUES = {
    "images": 4, "seed": 1, "jitter": (0.2, 0.4), "points": (1, 3), "blur": (0.01,),
    "noise": (20.0, 60.0), "jpeg": (10,),
}  # fmt: skip
NOTHING = dict.fromkeys(("jitter", "points", "blur", "noise", "jpeg"), ())
CONDITIONS = {
    ("box_jitter_0.2", "none"), ("box_jitter_0.4", "none"), ("points_1", "none"),
    ("points_3", "none"), ("box", "blur_1"), ("box", "noise_1"), ("box", "noise_2"),
    ("box", "jpeg_1"),
}  # fmt: skip


@pytest.fixture(scope="module")
def evaluate(model_set, store, manifest):
    def run(rows=manifest, batch_size=4, processes=1, **changes):
        params = RobustnessParams(**{**VALUES, **changes})
        found = [
            row
            for rank in range(processes)
            for row in evaluate_robustness(
                model_set, store, rows, params, batch_size=batch_size, boundary_fraction=0.02,
                group=ProcessGroup(rank, processes),
            )
        ]  # fmt: skip
        return pd.DataFrame(found).sort_values(ORDER, ignore_index=True)

    return run


@pytest.fixture(scope="module")
def rows(evaluate):
    return evaluate()


def test_scoring_in_threads_beside_the_model_changes_no_row(evaluate, rows, monkeypatch):
    scored, score = set(), protocol.score_mask

    def noted(*given):
        scored.add(threading.current_thread())
        return score(*given)

    monkeypatch.setattr(protocol, "score_mask", noted)
    monkeypatch.setattr(conditions, "threads_beside", lambda entry: 3)
    pd.testing.assert_frame_equal(evaluate(), rows)
    assert threading.main_thread() not in scored


def test_only_beside_a_gpu_is_anything_scored_in_threads():
    on = [SimpleNamespace(device=torch.device(name)) for name in ("cpu", "cuda")]
    found = [threads_beside(ModelEntry("m", 0, segmenter)) for segmenter in on]
    assert found == [0, protocol.SCORERS]
    assert protocol.SCORERS > 0


@pytest.mark.slow  # the whole stage three times
def test_the_shares_of_several_processes_are_what_one_measures(evaluate, rows):
    pd.testing.assert_frame_equal(evaluate(batch_size=2, processes=2), evaluate(batch_size=2))


def test_several_processes_share_the_images_of_a_condition(evaluate, manifest):
    how = {**NOTHING, "jitter": (0.2,), "batch_size": 1, "rows": manifest[:2]}
    pd.testing.assert_frame_equal(evaluate(processes=2, **how), evaluate(**how))


def test_every_model_meets_every_condition_on_every_image(rows, manifest):
    assert set(zip(rows["prompt"], rows["corruption"], strict=True)) == CONDITIONS
    assert len(rows) == len(CONDITIONS) * 3 * len(manifest)
    assert set(zip(rows["model"], rows["seed"], strict=True)) == {
        ("sam", 0), ("hq_sam", 5), ("pa_sam", 8),
    }  # fmt: skip
    assert set(rows["image_id"]) == set(manifest["id"])


def test_the_rows_fit_the_score_file(rows, tmp_path):
    write_scores(rows, tmp_path / "robustness.parquet")


@pytest.mark.parametrize("batch_size", [pytest.param(1, marks=pytest.mark.long), 3])
def test_neither_batch_size_nor_order_changes_a_row(batch_size, rows, evaluate, manifest):
    found = evaluate(manifest.iloc[[2, 0, 3, 1]], batch_size=batch_size)
    pd.testing.assert_frame_equal(found, rows)


def test_conditions_make_a_difference(rows):
    pa_sam = rows[rows["model"] == "pa_sam"]
    by_condition = pa_sam.groupby(["prompt", "corruption"])["intersection"].apply(tuple)
    assert by_condition.nunique() >= len(CONDITIONS) - 2


def test_a_corruption_that_changes_nothing_gives_the_clean_rows(
    evaluate, model_set, store, manifest
):
    found = evaluate(**{**NOTHING, "noise": (1e-6,)})
    for entry in model_set.entries:
        clean = evaluate_benchmark(
            entry, store, manifest, batch_size=4, boundary_fraction=0.02
        ).scores
        expected = {row["image_id"]: row["iou"] for row in clean}
        of_model = found[found["model"] == entry.name]
        assert dict(zip(of_model["image_id"], of_model["iou"], strict=True)) == pytest.approx(
            expected, abs=0.01
        )


@pytest.mark.parametrize(
    ("corruption", "changes"),
    [
        (Corruption("blur", 1, 0.05), {"blur": (0.05,)}),
        (Corruption("noise", 1, 60.0), {"noise": (60.0,)}),
        (Corruption("jpeg", 1, 2), {"jpeg": (2,)}),
    ],
    ids=["blur", "noise", "jpeg"],
)
def test_images_are_made_worse_at_their_own_size_before_they_are_squashed(
    corruption, changes, evaluate, model_set, store, manifest
):
    found = evaluate(**{**NOTHING, **changes})
    items = manifest.to_dict("records")
    worse = [
        corrupt(read_image(Path(row["image"])), corruption, name=row["image_sha256"], seed=1)
        for row in items
    ]
    assert [one.shape[:2] for one in worse] != [(64, 64)] * len(items)
    images = np.stack([squash(one, 64) for one in worse]).transpose(0, 3, 1, 2)
    clean = store_batch(store, items)
    batch = dataclasses.replace(clean, images=images, encoded=encode(model_set.base, images))
    for entry in model_set.entries:
        truths = truths_of(items, boundary_fraction=0.02)
        asked = Asked(entry=entry, batch=batch, items=items, truths=truths)
        expected = next(evaluate_all([asked], threads=0)).scores
        rows = found[found["model"] == entry.name].set_index("image_id")
        for row in expected:
            assert rows.at[row["image_id"], "intersection"] == row["intersection"]
            assert rows.at[row["image_id"], "union"] == row["union"]


def test_few_points_are_the_first_of_the_most_and_masks_of_one_image_meet_one_noise(
    evaluate, manifest, monkeypatch
):
    given, noisy, of = {}, [], conditions.point_prompts

    def seen(points):
        given.setdefault(len(points[0]), []).append(np.stack(points))
        return of(points)

    def worse(image, corruption, *, name, seed):
        noisy.append(name)
        return corrupt(image, corruption, name=name, seed=seed)

    monkeypatch.setattr(conditions, "point_prompts", seen)
    monkeypatch.setattr(conditions, "corrupt", worse)
    evaluate(**{**NOTHING, "points": (3, 1), "noise": (20.0,)})
    one, three = (np.concatenate(given[count]) for count in (1, 3))
    assert np.array_equal(one, three[:, :1])
    assert noisy == manifest["image_sha256"].tolist()


def test_clean_images_are_looked_at_once_for_all_weak_prompts(rows, evaluate, monkeypatch):
    find, edges = pa_mask_decoder.edge_channel, []
    monkeypatch.setattr(
        pa_mask_decoder, "edge_channel", lambda *given: edges.append(given) or find(*given)
    )
    pd.testing.assert_frame_equal(evaluate(), rows)
    assert len(edges) == 1 + len({one for one in CONDITIONS if one[1] != "none"})


def test_points_are_foreground_and_keep_their_order():
    points = [np.array([[1, 2], [3, 4]], np.float32), np.array([[5, 6], [7, 8]], np.float32)]
    (group,) = point_prompts(points)
    assert group.points.tolist() == np.stack(points).tolist()
    assert group.point_labels.tolist() == [[1, 1], [1, 1]]
    assert group.indices.tolist() == [0, 1]
    assert group.boxes is None


def test_another_point_gives_another_mask(model_set, store, manifest):
    clean = store_batch(store, manifest.to_dict("records")[:1])
    masks = [
        predict(
            model_set.entries[0].segmenter,
            dataclasses.replace(clean, prompts=point_prompts([np.array([[x, 30]], np.float32)])),
        ).masks
        for x in (5, 55)
    ]
    assert not torch.equal(*masks)


def test_another_seed_draws_other_boxes_points_and_noise_and_leaves_the_rest(rows, evaluate):
    other = evaluate(seed=2)
    same = (other["intersection"] == rows["intersection"]) & (other["union"] == rows["union"])
    agrees = same.groupby(rows["prompt"] + rows["corruption"]).all()
    assert agrees[["boxblur_1", "boxjpeg_1"]].all()
    assert not agrees.drop(["boxblur_1", "boxjpeg_1"]).any()


def test_the_boxes_of_a_label_are_tight_before_they_are_loosened(store):
    assert all((tight_box(label) >= 0).all() for label in store.labels)


@pytest.mark.parametrize(
    ("count", "places"), [(2, [0, 5]), (3, [0, 3, 6]), (4, [0, 2, 5, 7]), (99, range(10))]
)
def test_a_subset_is_evenly_spaced_whatever_the_order_of_the_rows(count, places):
    frame = pd.DataFrame({"id": [f"{k:02d}" for k in range(10)]})
    shuffled = frame.iloc[np.random.default_rng(0).permutation(10)]
    assert evenly(shuffled, count)["id"].tolist() == [f"{k:02d}" for k in places]


AMOUNTS = {"blur": [0.004, 0.008, 0.016], "noise": [10, 25, 50], "jpeg": [40, 20, 8]}
ALL = corruptions(AMOUNTS)


@pytest.fixture(scope="module")
def image():
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (20, 30, 3), np.uint8)
    return blocks.repeat(6, axis=0).repeat(6, axis=1)


def worse(image, corruption, name="a.png", seed=1):
    return corrupt(image, corruption, name=name, seed=seed)


def test_every_kind_comes_at_every_strength_by_its_name():
    names = [corruption.name for corruption in ALL]
    assert names == [f"{kind}_{k}" for kind in ("blur", "noise", "jpeg") for k in (1, 2, 3)]


@pytest.mark.parametrize("kind", AMOUNTS)
def test_each_strength_is_further_from_the_image_than_the_one_before(image, kind):
    errors = [
        np.abs(worse(image, corruption).astype(int) - image).mean()
        for corruption in ALL
        if corruption.kind == kind
    ]
    assert 0 < errors[0] < errors[1] < errors[2]


@pytest.mark.parametrize("corruption", ALL, ids=lambda c: c.name)
def test_size_and_type_stay_and_a_second_call_gives_the_same(image, corruption):
    before = image.copy()
    found = worse(image, corruption)
    assert found.shape == image.shape
    assert found.dtype == np.uint8
    assert np.array_equal(found, worse(image, corruption))
    assert np.array_equal(image, before)


def test_noise_belongs_to_the_images_name_and_the_seed(image):
    noise = Corruption("noise", 1, 20)
    assert not np.array_equal(worse(image, noise), worse(image, noise, name="b.png"))
    assert not np.array_equal(worse(image, noise), worse(image, noise, seed=2))


def test_noise_of_all_strengths_is_one_noise_made_louder():
    grey = np.full((80, 80, 3), 128, np.uint8)
    low, high = (worse(grey, Corruption("noise", 1, amount)) for amount in (8, 16))
    doubled = 2 * (low.astype(int) - 128)
    assert np.abs(high.astype(int) - 128 - doubled).max() <= 2
    assert low.mean() == pytest.approx(128, abs=0.3)
    assert low.std() == pytest.approx(8, abs=0.4)


def test_blur_is_a_share_of_the_shorter_side_and_not_of_a_pixel():
    def width(rows, columns):
        edge = np.zeros((rows, columns, 3), np.uint8)
        edge[:, columns // 2 :] = 255
        line = worse(edge, Corruption("blur", 1, 0.02))[rows // 2, :, 0]
        return ((line > 25) & (line < 230)).sum()

    assert width(400, 400) == pytest.approx(2 * width(200, 200), abs=2)
    assert width(200, 400) == width(400, 200) == width(200, 200)


def test_colours_are_not_swapped_by_jpeg():
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 250
    found = worse(red, Corruption("jpeg", 1, 90))
    assert np.abs(found.astype(int) - red).max() < 12


BOX = np.array([100, 120, 139, 199], np.float32)
SIDE = 512


def loose(scale, box=BOX, name="dis/1", seed=3):
    return jitter_box(box, scale, side=SIDE, name=name, seed=seed)


def test_no_noise_leaves_the_box_as_it_is():
    np.testing.assert_allclose(loose(0.0), BOX)


def test_a_looser_box_errs_the_same_way_but_further():
    np.testing.assert_allclose(loose(0.4) - BOX, 4 * (loose(0.1) - BOX), rtol=1e-4)
    assert np.abs(loose(0.1) - BOX).max() > 0


def test_objects_and_seeds_err_in_ways_of_their_own():
    boxes = [loose(0.3), loose(0.3, name="dis/2"), loose(0.3, seed=4)]
    assert len({box.tobytes() for box in boxes}) == 3
    assert loose(0.3).tobytes() == boxes[0].tobytes()


@given(scale=st.floats(0, 0.4), name=st.text(max_size=5), seed=st.integers(0, 9))
def test_centre_and_size_move_by_at_most_the_scale(scale, name, seed):
    found = loose(scale, name=name, seed=seed)
    extent = BOX[2:] - BOX[:2]
    moved = np.abs((found[:2] + found[2:]) / 2 - (BOX[:2] + BOX[2:]) / 2)
    assert (moved <= scale * extent / 2 + 1e-3).all()
    assert (np.abs(found[2:] - found[:2] - extent) <= scale * extent + 1e-3).all()


def test_boxes_err_to_every_side_and_are_too_small_as_often_as_too_large():
    found = np.array([loose(0.3, name=f"dis/{k}") for k in range(200)])
    moved = (found[:, :2] + found[:, 2:]) / 2 - (BOX[:2] + BOX[2:]) / 2
    grown = found[:, 2:] - found[:, :2] - (BOX[2:] - BOX[:2])
    for errors in (*moved.T, *grown.T):
        assert 0.35 < (errors > 0).mean() < 0.65
    related = np.corrcoef([*moved.T, *grown.T]) - np.eye(4)
    assert np.abs(related).max() < 0.25, "each of the four errs by itself"


def test_a_box_stays_inside_the_image():
    corner = np.array([0, 0, 511, 511], np.float32)
    for name in "abcdefgh":
        found = loose(0.4, box=corner, name=name)
        assert found.min() >= 0
        assert found.max() <= SIDE - 1
        assert (found[2:] > found[:2]).all()


def label(pixels=400):
    mask = np.zeros((64, 64), np.uint8)
    mask.flat[np.random.default_rng(1).choice(64 * 64, pixels, replace=False)] = 200
    return mask


def points(count, mask=None, most=10, name="dis/1", seed=3):
    mask = label() if mask is None else mask
    return first_points(mask, count, most=most, name=name, seed=seed)


def test_points_lie_on_the_object_and_are_distinct():
    found = points(10).astype(int)
    assert (label()[found[:, 1], found[:, 0]] == 200).all()
    assert len({tuple(point) for point in found}) == 10


def test_three_points_are_the_first_three_of_ten():
    assert np.array_equal(points(3), points(10)[:3])


def test_few_points_of_an_object_with_fewer_pixels_than_the_most_are_on_it():
    small = label(pixels=5)
    found = points(3, mask=small).astype(int)
    assert (small[found[:, 1], found[:, 0]] == 200).tolist() == [True] * 3
    assert np.array_equal(found, points(10, mask=small)[:3])


def test_all_numbers_of_points_are_drawn_from_as_many_as_the_largest(monkeypatch):
    asked = []
    monkeypatch.setattr(
        conditions,
        "first_points",
        lambda mask, count, **how: asked.append((count, how)) or np.zeros((count, 2), np.float32),
    )
    batch = PromptBatch(images=np.zeros((1, 3, 8, 8)), encoded=None, prompts=[], transforms=[])
    params = SimpleNamespace(jitter=(), points=(3, 5, 1), blur=(), noise=(), jpeg=(), seed=4)
    labels = [np.zeros((8, 8))]
    made = list(conditions._conditions(None, batch, [{"id": "a"}], labels, params, threads=0))
    assert [prompt for prompt, _, _ in made] == ["points_3", "points_5", "points_1"]
    assert asked == [(count, {"most": 5, "name": "a", "seed": 4}) for count in (3, 5, 1)]


def test_each_object_has_points_of_its_own():
    assert not np.array_equal(points(5), points(5, name="dis/2"))


@pytest.mark.parametrize(("pixels", "distinct"), [(2, 2), (10, 10)])
def test_an_object_of_fewer_pixels_repeats_some_and_one_of_just_as_many_none(pixels, distinct):
    found = points(10, mask=label(pixels=pixels))
    assert found.shape == (10, 2)
    assert len(np.unique(found, axis=0)) == distinct


def test_an_object_that_has_vanished_is_named():
    with pytest.raises(DataError, match="dis/1 has no pixel"):
        points(1, mask=np.zeros((8, 8), np.uint8))
