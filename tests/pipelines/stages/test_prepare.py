"""The stage `prepare`: generated and own images, and the manifest that lists them."""

import numpy as np

from pasam.data.manifest import read_manifest
from pasam.masks.images import write_png


def test_a_second_run_gives_the_same_bytes(world, own_world):
    own_world.run("prepare")
    assert own_world.contents("prepare") == world.contents("prepare")


def test_the_manifest_lists_as_many_images_as_the_params_ask_for(world):
    frame = read_manifest(world.path("data/manifest.parquet"))
    images = frame.groupby(["split", "dataset"])["image"].nunique().to_dict()
    benchmarks = ("dis_like", "coift_like", "hrsod_like", "thin_like")
    assert images == {("train", "generated_train"): 6, **{("val", name): 2 for name in benchmarks}}


def test_the_manifest_lists_every_written_file_by_its_path_in_the_project(world):
    frame = read_manifest(world.path("data/manifest.parquet"))
    listed = {*frame["image"], *frame["mask"]}
    tables = {"data/manifest.parquet", "data/inventory.parquet"}
    written = set(world.contents("prepare")) - tables
    assert listed == written


def test_own_images_stand_beside_generated_ones(own_world):
    mask = np.zeros((40, 50), np.uint8)
    mask[10:30, 10:30] = 255
    write_png(own_world.path("data/own/val/mine/im/cup.png"), np.full((40, 50, 3), 90, np.uint8))
    write_png(own_world.path("data/own/val/mine/gt/cup.png"), mask)
    own_world.run("prepare")
    frame = read_manifest(own_world.path("data/manifest.parquet")).set_index("id")
    assert len(frame) > 1
    assert frame.at["mine/cup", "mask"] == "data/own/val/mine/gt/cup.png"
    assert frame.at["mine/cup", "area"] == 0.2


def test_another_seed_draws_other_images(world, own_world):
    own_world.change("data.generated", train_images=1, benchmark_images=1, seed=8)
    own_world.run("prepare")
    name = "data/generated/dis_like/im/00000.png"
    assert own_world.contents("prepare")[name] != world.contents("prepare")[name]
