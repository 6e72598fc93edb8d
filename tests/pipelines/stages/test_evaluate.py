"""The stage `evaluate`: scores and masks of one trained model on one benchmark."""

import json

import pytest

from pasam.data.manifest import read_manifest
from pasam.evaluation.protocol import read_prediction
from pasam.evaluation.scores import read_scores
from pasam.masks.images import read_mask
from pasam.masks.overlap import boundary_iou, mask_iou

each_model = pytest.mark.parametrize("model", ["hq_sam", "pa_sam"])


@each_model
def test_a_second_run_gives_the_same_bytes(model, world, own_world):
    own_world.run(f"evaluate@{model}-dis_like")
    name = f"evaluate@{model}-dis_like"
    own_world.run(name)
    assert own_world.contents(name) == world.contents(name)


@pytest.mark.parametrize("benchmark", ["dis_like", "thin_like"])
@each_model
def test_every_mask_of_the_benchmark_has_one_row_and_one_prediction(model, benchmark, world):
    frame = read_manifest(world.path("data/manifest.parquet"))
    ids = sorted(frame[frame["dataset"] == benchmark]["id"])
    rows = read_scores(world.path(f"data/scores/{model}-{benchmark}.parquet"))
    assert sorted(rows["image_id"]) == ids
    assert set(rows["model"]) == {model}
    assert set(rows["benchmark"]) == {benchmark}
    sizes = frame.set_index("id")[["height", "width"]]
    for name in ids:
        mask = read_prediction(world.path(f"data/predictions/{model}-{benchmark}.npz"), name).mask
        assert mask.shape == tuple(sizes.loc[name])


def test_the_scores_are_those_of_the_stored_masks(world):
    files = read_manifest(world.path("data/manifest.parquet")).set_index("id")
    for row in read_scores(world.path("data/scores/pa_sam-dis_like.parquet")).to_dict("records"):
        truth = read_mask(world.path(files.at[row["image_id"], "mask"])) > 128
        pack = world.path("data/predictions/pa_sam-dis_like.npz")
        mask = read_prediction(pack, row["image_id"]).mask
        assert row["iou"] == mask_iou(truth, mask)
        assert row["boundary_iou"] == boundary_iou(truth, mask, fraction=0.02)


def test_only_pa_sam_has_a_map_and_points(world):
    name = read_scores(world.path("data/scores/sam-dis_like.parquet"))["image_id"][0]
    predicted = {
        model: read_prediction(world.path(f"data/predictions/{model}-dis_like.npz"), name)
        for model in ("hq_sam", "pa_sam")
    }
    assert predicted["hq_sam"].uncertainty is None
    assert predicted["pa_sam"].uncertainty.shape == (8, 8)
    assert (predicted["pa_sam"].box == predicted["hq_sam"].box).all()


def test_the_time_it_took_is_told_apart_from_the_outputs(world):
    timing = "reports/timing/pa_sam-dis_like.json"
    assert timing not in world.stages["evaluate@pa_sam-dis_like"].outs
    content = json.loads(world.path(timing).read_text())
    assert content.pop("masks") == 2
    names = {"decoder_ms_per_mask", "encoder_ms_per_image", "peak_memory_mib"}
    assert content.keys() == names
    assert min(content.values()) > 0


def test_the_parameters_are_told_and_only_the_adapters_learn(world):
    counts = {
        model: json.loads(world.path(f"data/cost/{model}-dis_like.json").read_text())
        for model in ("sam", "hq_sam", "pa_sam", "oracle")
    }
    assert counts["oracle"] == {"model": "oracle", "parameters": 0, "trainable": 0}
    assert counts["sam"]["trainable"] == 0
    for model in ("hq_sam", "pa_sam"):
        assert 0 < counts[model]["trainable"] < counts["sam"]["parameters"]
        assert counts[model]["parameters"] > counts["sam"]["parameters"]
