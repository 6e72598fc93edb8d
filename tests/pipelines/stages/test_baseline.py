"""The stage `baseline`: SAM itself and the oracle on one benchmark."""

import pytest

from pasam.data.manifest import read_manifest
from pasam.evaluation.scores import read_scores

each_model = pytest.mark.parametrize("model", ["sam", "oracle"])


@each_model
def test_a_second_run_gives_the_same_bytes(model, world, own_world):
    name = f"baseline@{model}-thin_like"
    own_world.run(name)
    assert own_world.contents(name) == world.contents(name)


@each_model
def test_every_mask_of_the_benchmark_has_one_row(model, world):
    frame = read_manifest(world.path("data/manifest.parquet"))
    rows = read_scores(world.path(f"data/scores/{model}-thin_like.parquet"))
    assert sorted(rows["image_id"]) == sorted(frame[frame["dataset"] == "thin_like"]["id"])
    assert set(rows["model"]) == {model}


def test_the_oracle_knows_more_than_an_untrained_sam(world):
    for benchmark in ("dis_like", "thin_like"):
        sam, oracle = (
            read_scores(world.path(f"data/scores/{model}-{benchmark}.parquet"))["iou"]
            for model in ("sam", "oracle")
        )
        assert (oracle > sam).all()


def test_the_oracle_needs_no_embeddings(own_world):
    own_world.remove_outs("embed@val")
    own_world.run("baseline@oracle-dis_like")
    assert own_world.contents("baseline@oracle-dis_like")
