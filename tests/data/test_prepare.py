"""Preparation draws what the params ask for, and lists it beside one's own data."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pasam.config.schema import DataParams, GeneratedParams
from pasam.data.catalogue import GENERATED, PRETRAINING_SET
from pasam.data.manifest import (
    INVENTORY_COLUMNS,
    complexity,
    measure_image,
    soft_fraction,
    stored_form,
)
from pasam.data.preparation import (
    SceneTask,
    draw_generated,
    scene_seed,
    take_inventory,
    training_objects,
    write_scene,
)
from pasam.data.quarantine import Quarantine
from pasam.errors import DataError
from pasam.masks.images import read_image, read_mask, write_png

SETS = [*GENERATED, PRETRAINING_SET]


def own_data(folder: Path) -> Path:
    label = np.zeros((8, 8), np.uint8)
    label[2:4] = 255
    write_png(folder / "train/cats/im/a.png", np.full((8, 8, 3), 90, np.uint8))
    write_png(folder / "train/cats/gt/a.png", label)
    write_png(folder / "train/cats/gt/a_empty.png", label * 0)
    return folder


def generated(train: int, benchmark: int) -> GeneratedParams:
    return GeneratedParams(train_images=train, benchmark_images=benchmark, side=64, seed=5)


def data(own: Path, *, train: int = 0) -> DataParams:
    return DataParams(generated=generated(train, 0), catalogue=(), own=str(own), workers=1)


@given(
    st.lists(
        st.tuples(st.integers(0, 50), st.sampled_from(SETS), st.integers(0, 9_999_999)),
        unique=True,
    )
)
@example([(0, SETS[0], 1), (0, SETS[1], 0)])
@example([(0, SETS[-1], 0), (1, SETS[0], 0)])
@example([(0, SETS[0], 9_999_999), (0, SETS[1], 0)])
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


def test_what_is_drawn_is_measured_as_its_files_would_be(tmp_path):
    (row,) = draw_generated(generated(1, 0), tmp_path, workers=1)[:1]
    image = Path(row["image"])
    assert row.items() >= (measure_image(read_image(image)) | stored_form(image)).items()
    assert row["soft"] == soft_fraction(read_mask(Path(row["mask"])))
    assert set(row) == set(INVENTORY_COLUMNS)


def test_the_inventory_joins_own_and_generated_pairs_fit_and_unfit(tmp_path):
    inventory = take_inventory(
        data(own_data(tmp_path / "own"), train=1), Quarantine(), tmp_path / "made"
    )
    assert set(inventory["dataset"]) == {"cats", "generated_train"}
    assert inventory["fault"].dropna().tolist() == ["empty_mask"]
    assert inventory["id"].is_unique


def test_no_data_at_all_is_an_error_that_names_the_keys(tmp_path):
    (tmp_path / "own").mkdir()
    with pytest.raises(DataError, match=r"data.generated.train_images.*data.own"):
        take_inventory(data(tmp_path / "own"), Quarantine(), tmp_path / "made")
