"""The stage `embed`: one store of embeddings per split."""

import hashlib

import pytest

from pasam.data.manifest import read_manifest
from pasam.training.embeddings import open_store

each_split = pytest.mark.parametrize("split", ["train", "val"])


@pytest.fixture(scope="module")
def manifest(world):
    return read_manifest(world.path("data/manifest.parquet"))


@each_split
def test_a_second_run_gives_the_same_bytes(split, world, own_world):
    own_world.run(f"embed@{split}")
    assert own_world.contents(f"embed@{split}") == world.contents(f"embed@{split}")


@each_split
def test_a_store_says_what_it_was_made_from(split, world):
    origin = open_store(world.path(f"data/embeddings/{split}")).origin
    base = world.path("data/base/vit_tiny.safetensors").read_bytes()
    assert origin["base"] == hashlib.sha256(base).hexdigest()
    assert (origin["split"], origin["views"]) == (split, 2)


def test_training_images_are_seen_in_several_views(world):
    store = open_store(world.path("data/embeddings/train"))
    assert len(store.images) == len(store.embedding) == len(store.early) == 6 * 2
    assert set(store.index["view"]) == {0, 1}
    assert len(store.labels) == len(store.index)


def test_every_mask_of_the_benchmarks_is_there_once(world, manifest):
    store = open_store(world.path("data/embeddings/val"))
    wanted = manifest[manifest["split"] == "val"]["id"]
    assert sorted(store.index["id"]) == sorted(wanted)
    assert len(store.images) == 8


def test_without_views_the_store_of_training_holds_nothing(own_world):
    own_world.change("embed", views=0)
    own_world.run("embed@train")
    assert list(own_world.contents("embed@train")) == ["data/embeddings/train/origin.json"]
