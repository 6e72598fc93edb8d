"""Preparation takes good data whatever the number of processes, and lists what is unfit."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pasam.data.images import read_image, read_mask, write_png
from pasam.data.manifest import complexity
from pasam.data.prepare import (
    BENCHMARKS,
    PRETRAINING_SET,
    TRAINING_SET,
    SceneTask,
    collect_own,
    draw_generated,
    prepare_manifest,
    scene_seed,
    training_objects,
    write_scene,
)
from pasam.errors import DataError
from pasam.params import DataParams, GeneratedParams

SETS = [TRAINING_SET, *BENCHMARKS, PRETRAINING_SET]


def own_data(folder: Path, images: int = 3, side: int = 8) -> Path:
    rng = np.random.default_rng(0)
    for index in range(images):
        base = folder / "train" / "cats"
        write_png(base / f"im/{index}.png", rng.integers(0, 256, (side, side, 3), np.uint8))
        for part in range(2):
            label = np.zeros((side, side), np.uint8)
            label[part : part + 2 + index] = 255
            write_png(base / f"gt/{index}_{part}.png", label)
    return folder


def generated(train: int, benchmark: int) -> GeneratedParams:
    return GeneratedParams(train_images=train, benchmark_images=benchmark, side=64, seed=5)


def data(own: Path, *, train: int = 0, benchmark: int = 0, workers: int = 1) -> DataParams:
    sizes = generated(train, benchmark)
    return DataParams(generated=sizes, catalogue=(), own=str(own), workers=workers)


def test_one_process_and_two_find_the_same_rows(tmp_path):
    own = own_data(tmp_path)
    rows = collect_own(own, workers=1)
    assert collect_own(own, workers=2) == rows
    assert [row["id"] for row in rows] == [f"cats/{i}_{part}" for i in range(3) for part in (0, 1)]
    assert rows[0]["area"] == 2 / 8
    assert rows[0]["image_sha256"] == rows[1]["image_sha256"] != rows[2]["image_sha256"]


def test_every_unfit_file_is_listed_at_once(tmp_path):
    base = own_data(tmp_path) / "train/cats"
    write_png(base / "gt/0_1.png", np.full((8, 9), 255, np.uint8))
    write_png(base / "gt/1_0.png", np.zeros((8, 8), np.uint8))
    (base / "im/2.png").write_bytes(b"no picture")
    with pytest.raises(DataError) as caught:
        collect_own(tmp_path, workers=1)
    message = str(caught.value)
    assert "holds 3 unfit files" in message
    assert "0_1.png is 8 x 9 (height x width) but its image" in message
    assert "1_0.png is all black" in message
    assert "2.png cannot be decoded" in message


def test_a_long_list_of_faults_is_cut_short(tmp_path):
    for mask in (own_data(tmp_path, images=6) / "train/cats/gt").iterdir():
        write_png(mask, np.zeros((8, 8), np.uint8))
    with pytest.raises(DataError, match=r"holds 12 unfit files(.|\n)*and 2 more"):
        collect_own(tmp_path, workers=1)


@given(
    st.lists(
        st.tuples(st.integers(0, 50), st.sampled_from(SETS), st.integers(0, 9_999_999)),
        unique=True,
    )
)
def test_no_two_scenes_share_a_seed(scenes):
    seeds = {scene_seed(seed, dataset=dataset, index=index) for seed, dataset, index in scenes}
    assert len(seeds) == len(scenes)


def test_more_scenes_than_seeds_are_refused():
    with pytest.raises(DataError, match="Scene 10000000 of dis_like"):
        scene_seed(0, dataset="dis_like", index=10_000_000)


def test_training_scenes_have_one_to_three_objects():
    assert {training_objects(seed) for seed in range(50)} == {1, 2, 3}


def test_a_scene_is_written_as_its_row_says(tmp_path):
    task = SceneTask(
        split="train", dataset="made", family="mixed", seed=3, side=64, objects=2,
        held_out=False, folder=tmp_path, stem="00007",
    )  # fmt: skip
    rows = write_scene(task)
    assert [row["id"] for row in rows] == ["made/00007_0", "made/00007_1"]
    for row in rows:
        image, mask = read_image(Path(row["image"])), read_mask(Path(row["mask"]))
        assert image.shape[:2] == mask.shape == (row["height"], row["width"])
        assert row["area"] == (mask > 128).mean() > 0
        assert row["complexity"] == complexity(mask)


def test_generated_sets_have_the_numbers_names_and_splits_asked_for(tmp_path):
    rows = draw_generated(generated(2, 1), tmp_path, workers=1)
    found = sorted({(row["split"], row["dataset"], row["image"]) for row in rows})
    assert [(split, dataset) for split, dataset, _ in found] == [
        ("train", "generated_train"),
        ("train", "generated_train"),
        ("val", "coift_like"),
        ("val", "dis_like"),
        ("val", "hrsod_like"),
        ("val", "thin_like"),
    ]
    assert sum(row["split"] == "val" for row in rows) == 4


def test_drawing_again_gives_the_same_bytes(tmp_path):
    first, second = (
        draw_generated(generated(1, 0), tmp_path / name, workers=1) for name in ("a", "b")
    )
    for one, other in zip(first, second, strict=True):
        assert one["image_sha256"] == other["image_sha256"]
        assert one["mask_sha256"] == other["mask_sha256"]


def test_the_manifest_joins_own_and_generated_pairs(tmp_path):
    frame = prepare_manifest(data(own_data(tmp_path / "own"), train=1), tmp_path / "made")
    assert set(frame["dataset"]) == {"cats", "generated_train"}
    assert frame["id"].is_unique


def test_no_data_at_all_is_an_error_that_names_the_keys(tmp_path):
    (tmp_path / "own").mkdir()
    with pytest.raises(DataError, match=r"data.generated.train_images.*data.own"):
        prepare_manifest(data(tmp_path / "own"), tmp_path / "made")
