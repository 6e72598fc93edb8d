"""A probe sees what the model does, in order, and leaves it as it is.

Diagnostics stand beside the masks that they belong to.
"""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_world import small_base
from variants import hq_sam, image_adapter, pa_sam

from pasam.errors import DataError, ShapeError
from pasam.evaluation.diagnostics import (
    KEYS,
    MEASURES,
    AdapterProbe,
    area_under_roc,
    diagnose,
    judge_maps,
    read_diagnostics,
    write_diagnostics,
)
from pasam.models.build import build_decoder
from pasam.models.segmenter import Prompts, Segmenter
from pasam.training.embeddings import Store

SIDE, GRID, BOXES = 64, 8, 3


def segmenter_of(variant) -> Segmenter:
    torch.manual_seed(0)
    base = small_base().eval().requires_grad_(False)
    return Segmenter(base=base, decoder=build_decoder(base, variant)).eval()


@torch.no_grad()
def predict(segmenter, boxes=BOXES):
    noise = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (boxes, 3, SIDE, SIDE), dtype=torch.uint8, generator=noise)
    corners = torch.tensor([[4.0, 6.0, 40.0, 50.0]]).repeat(boxes, 1)
    prompts = Prompts(torch.arange(boxes), corners, points=None, point_labels=None, masks=None)
    return segmenter(
        images=images, encoded=None, image_index=torch.arange(boxes), prompts=[prompts]
    )


def probed(variant):
    segmenter = segmenter_of(variant)
    with AdapterProbe(segmenter) as probe:
        prediction = predict(segmenter)
        predict(segmenter, 1)
    return probe.seen, prediction


def test_every_prompt_is_seen_in_order_and_nothing_after_the_probe():
    segmenter = segmenter_of(pa_sam())
    with AdapterProbe(segmenter) as probe:
        prediction = predict(segmenter)
        predict(segmenter, 1)
    predict(segmenter)
    assert len(probe.seen) == BOXES + 1
    for number in range(BOXES):
        one = probe.seen[number]
        assert one["predicted_iou"] == prediction.iou[number, 0]
        assert torch.equal(one["maps"]["coarse"], prediction.details.coarse[number, 0])
        assert torch.equal(one["maps"]["positive"], prediction.details.positive[number])


def test_probing_changes_no_prediction():
    segmenter = segmenter_of(pa_sam())
    alone = predict(segmenter)
    with AdapterProbe(segmenter):
        assert torch.equal(predict(segmenter).masks, alone.masks)


@pytest.mark.parametrize(
    ("variant", "changed", "still"),
    [
        (pa_sam(), {"dense_change", "sparse_change"}, set()),
        (pa_sam(adapter_dense=False), {"sparse_change"}, {"dense_change"}),
        (
            pa_sam(adapter_sparse=False, adapter_tokens=False, mining_method="none"),
            {"dense_change"},
            {"sparse_change"},
        ),
        (image_adapter(), set(), {"image_change"}),  # it begins as SAM
        (hq_sam(), set(), set()),
    ],
    ids=["whole", "no_dense", "dense_only", "image", "hq"],
)
def test_a_change_is_there_where_its_part_is(variant, changed, still):
    seen, _ = probed(variant)
    found = {name: value for name, value in seen[0].items() if name.endswith("_change")}
    assert {name for name, value in found.items() if value > 0} == changed
    assert {name for name, value in found.items() if value == 0} == still


def test_changes_are_relative_to_what_they_change_and_of_the_prompts_own_tokens():
    """Mined points bring tokens of their own, which change nothing that was there."""
    segmenter, taken = segmenter_of(pa_sam(mining_points=3)), []
    segmenter.decoder.prompt_adapter.register_forward_hook(
        lambda module, inputs, named, output: taken.append((*inputs[:2], named, output)),
        with_kwargs=True,
    )
    with AdapterProbe(segmenter, inner_maps=True) as probe:
        predict(segmenter)
    [(tokens, keys, named, output)] = taken
    assert output.tokens.shape[1] > tokens.shape[1]
    pairs = {"dense_change": (output.dense, keys),
             "sparse_change": (output.tokens[:, : tokens.shape[1]], tokens)}  # fmt: skip
    for number in range(BOXES):
        for name, (change, of) in pairs.items():
            sizes = [float(np.sqrt((part[number].numpy() ** 2).sum())) for part in (change, of)]
            assert probe.seen[number][name] == pytest.approx(sizes[0] / sizes[1], rel=1e-4)
        maps = {"guiding": np.sqrt((named["guiding"][number].numpy() ** 2).sum(axis=1))}
        dense, of = (np.sqrt((part[number].numpy() ** 2).sum(axis=1))
                     for part in (output.dense, keys))  # fmt: skip
        maps["dense_change"] = dense / of
        for name, values in maps.items():
            shown = values.reshape(GRID, GRID)
            np.testing.assert_allclose(probe.maps[number][name], shown, rtol=2e-3)


def test_an_uncertainty_of_a_half_is_in_the_band_where_the_refined_mask_is_used():
    label, flat = np.zeros((8, 8), np.uint8), torch.zeros(4, 4)
    points = {"positive": torch.tensor([0]), "negative": torch.tensor([15])}
    found = [
        judge_maps(maps_of(flat, flat, torch.full((4, 4), unsure), **points), label, grid=4)
        for unsure in (0.5, 0.49)
    ]
    assert [one["uncertain_share"] for one in found] == [1.0, 0.0]
    assert [one["points_in_band"] for one in found] == [1.0, 0.0]


def test_a_model_without_maps_leaves_none():
    seen, _ = probed(pa_sam(adapter_tokens=False, mining_method="none"))
    assert [one["maps"] for one in seen] == [None] * (BOXES + 1)


def maps_of(coarse, refined, uncertainty, **points):
    final = torch.where(uncertainty >= 0.5, refined, coarse)
    return {
        "coarse": coarse, "refined": refined, "uncertainty": uncertainty, "final": final, **points
    }  # fmt: skip


def left_half(side, columns):
    mask = torch.full((side, side), -9.0)
    mask[:, :columns] = 9.0
    return mask


def test_maps_are_judged_against_the_truth():
    label = np.zeros((8, 8), np.uint8)
    label[:, :4] = 255
    unsure = torch.zeros(8, 8)
    unsure[:, 4:6] = 1  # exactly where the coarse mask is wrong
    found = judge_maps(maps_of(left_half(8, 6), left_half(8, 4), unsure), label, grid=8)
    assert found == {
        "coarse_iou": pytest.approx(4 / 6),
        "refined_iou": 1.0,
        "final_iou": 1.0,
        "uncertainty_auroc": 1.0,
        "uncertain_share": 0.25,
    }


def test_points_are_judged_by_their_sign_and_their_distance():
    label = np.zeros((16, 16), np.uint8)
    label[:, :8] = 255
    flat = torch.zeros(4, 4)
    points = {
        "positive": torch.tensor([0, 2]),  # inside, outside
        "negative": torch.tensor([3, 15]),  # both outside
    }
    found = judge_maps(maps_of(flat, flat, flat, **points), label, grid=4)
    assert found["points_right"] == 0.75
    assert found["point_spread"] == pytest.approx((2 / 4 + 3 / 4) / 2)


def test_points_are_told_apart_by_the_uncertain_band():
    label = np.zeros((16, 16), np.uint8)
    label[:, :8] = 255
    unsure = torch.zeros(4, 4)
    unsure[:, 3] = 1.0  # the last column of cells
    flat = torch.zeros(4, 4)
    points = {
        "positive": torch.tensor([0, 3]),  # inside the object and sure, outside and unsure
        "negative": torch.tensor([7, 1]),  # outside and unsure, inside the object and sure
    }
    found = judge_maps(maps_of(flat, flat, unsure, **points), label, grid=4)
    assert found["points_in_band"] == 0.5
    assert found["points_right_in_band"] == 0.5  # the negative one
    assert found["points_right_outside"] == 0.5  # the positive one
    sure = judge_maps(maps_of(flat, flat, flat, **points), label, grid=4)
    assert (sure["points_in_band"], sure["points_right_in_band"]) == (0.0, None)
    assert sure["points_right_outside"] == sure["points_right"]


def test_one_point_of_each_sign_has_no_spread():
    flat, one = torch.zeros(4, 4), torch.tensor([5])
    label = np.full((8, 8), 255, np.uint8)
    found = judge_maps(maps_of(flat, flat, flat, positive=one, negative=one), label, grid=4)
    assert found["point_spread"] is None
    assert found["points_right"] == 0.5


INNER_MAPS_SIDE, INNER_MAPS_GRID, INNER_MAPS_BOXES = 64, 8, 2


@torch.no_grad()
def inner_maps_predict(segmenter):
    noise = torch.Generator().manual_seed(1)
    images = torch.randint(
        0,
        256,
        (INNER_MAPS_BOXES, 3, INNER_MAPS_SIDE, INNER_MAPS_SIDE),
        dtype=torch.uint8,
        generator=noise,
    )
    corners = torch.tensor([[4.0, 6.0, 40.0, 50.0], [0.0, 0.0, 30.0, 30.0]])
    prompts = Prompts(
        torch.arange(INNER_MAPS_BOXES), corners, points=None, point_labels=None, masks=None
    )
    return segmenter(
        images=images, encoded=None, image_index=torch.arange(INNER_MAPS_BOXES), prompts=[prompts]
    )


@pytest.fixture(scope="module")
def seen_and_prediction():
    segmenter = segmenter_of(pa_sam())
    with AdapterProbe(segmenter, inner_maps=True) as probe:
        prediction = inner_maps_predict(segmenter)
    inner_maps_predict(segmenter)  # after the probe: not seen
    return probe.maps, prediction


def test_every_prompt_has_its_maps_on_the_grid(seen_and_prediction):
    seen, _ = seen_and_prediction
    assert len(seen) == INNER_MAPS_BOXES
    assert sorted(seen[0]) == ["attention", "coarse", "dense_change", "guiding", "refined"]
    assert all(values.shape == (INNER_MAPS_GRID, INNER_MAPS_GRID) for values in seen[0].values())


def test_masks_of_the_tokens_are_the_predictions_own(seen_and_prediction):
    seen, prediction = seen_and_prediction
    for number in range(INNER_MAPS_BOXES):
        for name in ("coarse", "refined"):
            own = getattr(prediction.details, name)[number, 0].half().numpy()
            np.testing.assert_array_equal(seen[number][name], own)


def test_attention_is_a_distribution_over_the_cells(seen_and_prediction):
    seen, _ = seen_and_prediction
    assert all((maps["attention"] >= 0).all() for maps in seen)
    assert [float(maps["attention"].sum()) for maps in seen] == pytest.approx([1, 1], abs=0.01)


def test_attention_reproduces_what_the_token_received():
    segmenter = segmenter_of(pa_sam())
    attention = segmenter.decoder.prompt_adapter.cross_attn_token_to_image
    received = {}
    attention.v_proj.register_forward_hook(lambda m, i, out: received.update(values=out))
    attention.out_proj.register_forward_hook(lambda m, i, out: received.update(mixed=i[0]))
    heads = attention.num_heads
    with torch.no_grad():
        for head in range(1, heads):  # with one head that differs, the mean tells it apart
            width = attention.q_proj.out_features // heads
            rows = slice(head * width, (head + 1) * width)
            for layer in (attention.q_proj, attention.k_proj):
                layer.weight[rows] = layer.weight[:width]
                layer.bias[rows] = layer.bias[:width]
    with AdapterProbe(segmenter, inner_maps=True) as probe:
        inner_maps_predict(segmenter)
    weights = torch.from_numpy(np.stack([m["attention"].ravel() for m in probe.maps])).float()
    expected = (weights[:, None] @ received["values"])[:, 0]
    torch.testing.assert_close(received["mixed"][:, 1], expected, atol=2e-3, rtol=1e-2)


def test_taking_maps_changes_no_prediction():
    segmenter = segmenter_of(pa_sam())
    alone = inner_maps_predict(segmenter)
    with AdapterProbe(segmenter, inner_maps=True):
        assert torch.equal(inner_maps_predict(segmenter).masks, alone.masks)


def test_a_model_without_the_adapter_leaves_none():
    segmenter = segmenter_of(hq_sam())
    with AdapterProbe(segmenter, inner_maps=True) as probe:
        inner_maps_predict(segmenter)
    assert probe.maps == []


def score(name, model="pa_sam"):
    return {"model": model, "seed": 1, "benchmark": "b", "image_id": name, "prompt": "box", "x": 0}


@pytest.fixture
def store():
    """Two labels: `b` is all object, `a` is empty."""
    labels = np.stack([np.full((8, 8), 255, np.uint8), np.zeros((8, 8), np.uint8)])
    empty = np.zeros(0, np.float16)
    index = pd.DataFrame({"id": ["b", "a"], "view": 0, "row": [0, 1]})
    return Store(empty, empty, empty, labels, index, origin={})


def seen(value, maps=False):
    flat = torch.full((4, 4), 5.0)
    every = dict.fromkeys(("coarse", "refined", "uncertainty", "final"), flat)
    return {"dense_change": value, "predicted_iou": 0.5, "maps": every if maps else None}


def test_a_row_has_its_masks_keys_and_what_was_seen_of_it(store):
    rows = diagnose([score("a"), score("b")], [seen(1.0), seen(2.0)], store, grid=4)
    assert [(row["image_id"], row["dense_change"]) for row in rows] == [("a", 1.0), ("b", 2.0)]
    assert all(set(row) <= {*KEYS, *MEASURES} for row in rows)


def test_maps_are_judged_by_the_label_of_their_own_mask(store):
    rows = diagnose([score("a"), score("b")], [seen(1.0, True), seen(2.0, True)], store, grid=4)
    assert [row["coarse_iou"] for row in rows] == [0.0, 1.0]


def test_another_number_of_predictions_is_refused(store):
    with pytest.raises(DataError, match="1 predictions were probed, but 2 scored"):
        diagnose([score("a"), score("b")], [seen(1.0)], store, grid=4)


def row(name, model="pa_sam", **measures):
    keys = {"model": model, "seed": 1, "benchmark": "b", "image_id": name, "prompt": "box"}
    return keys | measures


def test_the_file_repeats_in_any_order_and_leaves_gaps_empty(tmp_path):
    rows = [row("a", dense_change=1.0), row("b", dense_change=2.0, coarse_iou=0.5)]
    write_diagnostics(rows, tmp_path / "one.parquet")
    write_diagnostics(rows[::-1], tmp_path / "other.parquet")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "other.parquet").read_bytes()
    frame = read_diagnostics(tmp_path / "one.parquet")
    assert list(frame.columns) == [*KEYS, *MEASURES]
    assert frame["coarse_iou"].isna().tolist() == [True, False]
    assert frame["image_change"].isna().all()


def test_several_files_become_one_table(tmp_path):
    for model in ("one", "other"):
        write_diagnostics([row("a", model)], tmp_path / f"{model}.parquet")
    frame = read_diagnostics(tmp_path / "one.parquet", tmp_path / "other.parquet")
    assert frame["model"].tolist() == ["one", "other"]


def test_a_file_that_is_missing_or_of_other_columns_is_told(tmp_path):
    with pytest.raises(DataError, match=r"absent\.parquet does not exist\. Run `dvc repro`"):
        read_diagnostics(tmp_path / "absent.parquet")
    pd.DataFrame({"model": ["x"]}).to_parquet(tmp_path / "old.parquet")
    with pytest.raises(DataError, match="seed is missing"):
        read_diagnostics(tmp_path / "old.parquet")


@settings(max_examples=60)
@given(
    values=st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=40).filter(
        lambda items: len({positive for _, positive in items}) == 2
    )
)
def test_the_area_equals_a_count_of_pairs(values):
    scores = np.array([score for score, _ in values], np.float64)
    positive = np.array([flag for _, flag in values])
    pairs = [
        float(high > low) + 0.5 * float(high == low)
        for high in scores[positive]
        for low in scores[~positive]
    ]
    assert area_under_roc(scores, positive) == pytest.approx(np.mean(pairs))


def test_a_perfect_score_has_one_and_a_constant_one_half():
    positive = np.array([[True, False], [False, True]])
    assert area_under_roc(positive.astype(float), positive) == 1
    assert area_under_roc(np.zeros((2, 2)), positive) == 0.5


@pytest.mark.parametrize("flag", [True, False])
def test_one_class_alone_has_no_area(flag):
    assert area_under_roc(np.arange(3.0), np.full(3, flag)) is None


def test_other_shapes_are_refused():
    with pytest.raises(ShapeError, match=r"got \(3,\) and \(2,\)"):
        area_under_roc(np.zeros(3), np.zeros(2, bool))
