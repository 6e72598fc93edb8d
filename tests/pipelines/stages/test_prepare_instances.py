"""The stage `prepare_instances`: generated sets of many objects and their detections."""

import json


def test_a_second_run_gives_the_same_bytes(world, own_world):
    own_world.run("prepare_instances")
    assert own_world.contents("prepare_instances") == world.contents("prepare_instances")


def test_there_are_as_many_images_as_the_params_say(world):
    coco = world.path("data/instances/coco_like")
    assert len(list((coco / "images").iterdir())) == 3
    assert len(json.loads((coco / "annotations.json").read_text())["images"]) == 3
    sets = world.path("data/instances/seginw_like/sets")
    assert all(len(list(valid.glob("*.png"))) == 1 for valid in sets.glob("*/valid"))
