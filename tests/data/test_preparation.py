"""Valid pairs are taken whatever the number of processes, invalid ones are named; scenes differ."""

import importlib.metadata
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from pasam.config.schema import DataParams, GeneratedParams
from pasam.data.catalogue import (
    DEVELOPMENT_SETS,
    GENERATED,
    GENERATED_BENCHMARKS,
    PRETRAINING_SET,
    TRAINING_SET,
    generated_images,
)
from pasam.data.manifest import (
    INVENTORY_COLUMNS,
    complexity,
    measure_image,
    soft_fraction,
    stored_form,
)
from pasam.data.package_photographs import package_photographs
from pasam.data.pairing import Pair
from pasam.data.preparation import (
    SceneTask,
    _scene_tasks,
    collect_own,
    draw_generated,
    list_photographs,
    scene_seed,
    take_inventory,
    training_objects,
    write_scene,
)
from pasam.data.quarantine import Quarantine
from pasam.errors import DataError, InvalidItemError
from pasam.masks.images import read_image, write_png
from pasam.masks.mask_files import read_mask
from pasam.synthetic.scene import draw_scene

NONE = Quarantine()


@pytest.fixture
def own(tmp_path):
    rng = np.random.default_rng(0)
    for index in range(3):
        base = tmp_path / "train" / "cats"
        write_png(base / f"im/{index}.png", rng.integers(0, 256, (8, 8, 3), np.uint8))
        for part in range(2):
            label = np.zeros((8, 8), np.uint8)
            label[part : part + 2 + index] = 255
            write_png(base / f"gt/{index}_{part}.png", label)
    return tmp_path


def faults(own: Path, quarantine: Quarantine = NONE) -> dict[str, tuple[str, str]]:
    return {
        Path(row["mask"]).name: (row["fault"], row["message"])
        for row in collect_own(own, quarantine, workers=1)
        if row["fault"]
    }


@pytest.mark.slow  # it starts processes
def test_one_process_and_two_find_the_same_rows(own):
    rows = collect_own(own, NONE, workers=1)
    assert collect_own(own, NONE, workers=2) == rows
    assert [row["id"] for row in rows] == [f"cats/{i}_{part}" for i in range(3) for part in (0, 1)]
    assert [row["fault"] for row in rows] == [None] * 6
    assert rows[0]["area"] == 2 / 8
    assert rows[0]["image_sha256"] == rows[1]["image_sha256"] != rows[2]["image_sha256"]


def test_invalid_masks_are_named_and_the_others_stay(own):
    base = own / "train/cats"
    write_png(base / "gt/0_1.png", np.full((8, 9), 255, np.uint8))
    write_png(base / "gt/1_0.png", np.zeros((8, 8), np.uint8))
    write_png(base / "gt/2_0.png", np.full((8, 8), 255, np.uint8))
    found = faults(own)
    assert {name: kind for name, (kind, _) in found.items()} == {
        "0_1.png": "size_mismatch", "1_0.png": "empty_mask", "2_0.png": "full_mask",
    }  # fmt: skip
    assert "0_1.png is 8 x 9 (height x width) but its image" in found["0_1.png"][1]
    assert "1_0.png is all black" in found["1_0.png"][1]
    assert "2_0.png marks every pixel" in found["2_0.png"][1]
    fit = [row["id"] for row in collect_own(own, NONE, workers=1) if not row["fault"]]
    assert fit == ["cats/0_0", "cats/1_1", "cats/2_1"]


def test_a_mask_of_which_nothing_is_above_the_middle_is_empty(own):
    faint = np.zeros((8, 8), np.float32)
    faint[0] = 0.4
    Image.fromarray(faint).save(own / "train/cats/gt/0.tif")
    kind, message = faults(own)["0.tif"]
    assert kind == "empty_mask"
    assert "0.tif has no pixel above 128" in message


def test_a_picture_in_the_place_of_a_mask_is_told_by_its_grey(own):
    ramp = np.tile(np.arange(8, dtype=np.uint8) * 36, (8, 1))
    ramp[0, 0] = 255
    write_png(own / "train/cats/gt/0_0.png", ramp)
    kind, message = faults(own)["0_0.png"]
    assert kind == "grey_mask"
    assert "0_0.png is mostly neither black nor white: a photograph" in message


def test_all_masks_of_an_unreadable_image_are_left_out(own):
    (own / "train/cats/im/2.png").write_bytes(b"no picture")
    found = faults(own)
    assert {kind for kind, _ in found.values()} == {"undecodable_image"}
    assert sorted(found) == ["2_0.png", "2_1.png"]


def test_the_second_mask_of_an_id_is_left_out(own):
    (own / "train/cats/gt/0_0.tif").write_bytes(b"")
    Image.fromarray(np.eye(8, dtype=np.uint8)).save(own / "train/cats/gt/0_0.tif")
    found = faults(own)
    assert list(found) == ["0_0.tif"]
    assert found["0_0.tif"][0] == "id_taken"
    assert "0_0.png and " in found["0_0.tif"][1]
    assert "would both be 'cats/0_0'" in found["0_0.tif"][1]


def test_a_quarantined_mask_is_left_out_without_a_look(own):
    mask = own / "train/cats/gt/0_0.png"
    quarantine = NONE.including([(mask.as_posix(), "wrong cat")])
    assert faults(own, quarantine) == {"0_0.png": ("quarantined", "wrong cat")}


def test_a_quarantined_image_takes_its_masks_along(own):
    image = own / "train/cats/im/1.png"
    found = faults(own, NONE.including([(image.as_posix(), "blurred")]))
    assert found == {
        "1_0.png": ("quarantined", "blurred"), "1_1.png": ("quarantined", "blurred")
    }  # fmt: skip


def test_a_repaired_file_comes_back_from_quarantine(own):
    mask = own / "train/cats/gt/0_0.png"
    quarantine = NONE.including([(mask.as_posix(), "wrong cat")])
    write_png(mask, np.eye(8, dtype=np.uint8) * 255)
    assert faults(own, quarantine) == {}


def test_a_name_in_quarantine_is_the_same_in_either_unicode_form(own):
    for kind, name in (("im", "u\u0308.png"), ("gt", "\u00fc.png")):  # a zip made on a Mac
        (own / f"train/cats/{kind}/{'1' if kind == 'im' else '1_0'}.png").rename(
            own / "train/cats" / kind / name
        )
    (own / "train/cats/gt/1_1.png").unlink()
    listed = NONE.including([(str(own / "train/cats/gt/\u00fc.png"), "wrong cat")])
    (entry,) = listed.entries.values()
    turned = Quarantine([replace(entry, file=entry.file.replace("\u00fc", "u\u0308"))])
    assert faults(own, turned) == {"\u00fc.png": ("quarantined", "wrong cat")}


def test_a_reviewed_fault_of_pairing_is_quarantined_too(own):
    lonely = own / "train/cats/im/lonely.png"
    write_png(lonely, np.zeros((8, 8, 3), np.uint8))
    (row,) = [row for row in collect_own(own, NONE, workers=1) if row["fault"]]
    assert row["fault"] == "image_without_mask"
    quarantine = NONE.including([(lonely.as_posix(), "not drawn yet")])
    (row,) = [row for row in collect_own(own, quarantine, workers=1) if row["fault"]]
    assert (row["fault"], row["message"]) == ("quarantined", "not drawn yet")


SETS = (TRAINING_SET, *GENERATED_BENCHMARKS, PRETRAINING_SET)


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


@pytest.mark.parametrize(
    ("family", "held_out", "objects"), [("thin", True, 1), ("mixed", False, 3)]
)
def test_a_scene_is_drawn_with_all_that_its_task_says(tmp_path, family, held_out, objects):
    asked = {"family": family, "seed": 11, "side": 72, "held_out": held_out, "objects": objects}
    task = SceneTask(split="val", dataset="made", folder=tmp_path / "made", stem="7", **asked)
    rows, scene = write_scene(task), draw_scene(**asked)
    assert [row["mask"] for row in rows] == [
        (tmp_path / f"made/gt/7_{index}.png").as_posix() for index in range(objects)
    ]
    for row, mask in zip(rows, scene.masks, strict=True):
        assert (row["split"], row["dataset"], row["fault"]) == ("val", "made", None)
        assert row["image"] == (tmp_path / "made/im/7.png").as_posix()
        assert np.array_equal(read_image(Path(row["image"])), scene.image)
        assert np.array_equal(read_mask(Path(row["mask"])), mask)


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


def test_the_inventory_joins_own_and_generated_pairs_valid_and_invalid(tmp_path):
    inventory = take_inventory(
        data(own_data(tmp_path / "own"), train=1), Quarantine(), tmp_path / "made"
    )
    assert set(inventory["dataset"]) == {"cats", "generated_train"}
    assert inventory["fault"].dropna().tolist() == ["empty_mask"]
    assert inventory["id"].is_unique


def test_the_inventory_leaves_out_what_is_in_quarantine_of_ones_own_and_of_public_sets(tmp_path):
    own_data(tmp_path / "own")
    base = own_data(tmp_path / "fetched") / "train/cats"
    public = [
        Pair(split="val", dataset="dogs", image=base / "im/a.png", mask=base / f"gt/{name}.png")
        for name in ("a", "a_empty")
    ]
    reviewed = [
        ((tmp_path / "own/train/cats/gt/a_empty.png").as_posix(), "not drawn"),
        ((base / "gt/a.png").as_posix(), "another dog"),
    ]
    found = take_inventory(
        data(tmp_path / "own"), NONE.including(reviewed), tmp_path / "made", public
    )
    seen = found[["split", "dataset", "fault", "message"]].fillna("").to_numpy().tolist()
    assert [row[:3] for row in seen] == [
        ["train", "cats", ""], ["train", "cats", "quarantined"],
        ["val", "dogs", "quarantined"], ["val", "dogs", "empty_mask"],
    ]  # fmt: skip
    assert [row[3] for row in seen[:3]] == ["", "not drawn", "another dog"]


def with_photographs(folder):
    """Params of one drawn image a benchmark and the packages' photographs, nothing of one's own."""
    (folder / "own").mkdir()
    return DataParams(
        generated=GeneratedParams(train_images=0, benchmark_images=1, side=64, seed=1),
        catalogue=["DIS5K-VD", "photos"], own=str(folder / "own"), workers=1,
    )  # fmt: skip


@pytest.mark.long
def test_the_inventory_leaves_out_what_is_in_quarantine_of_drawn_sets_and_photographs(tmp_path):
    sets = with_photographs(tmp_path)
    before = take_inventory(sets, NONE, tmp_path / "out")
    packaged = before["image"].str.contains("chelsea")
    named = [
        before["mask"][before["dataset"] == "dis_like"].iloc[0],
        before["image"][before["dataset"] == "coift_like"].iloc[0],
        before["mask"][before["dataset"] == "photos"].iloc[-1],
        before["image"][packaged].iloc[0],
    ]
    reviewed = NONE.including((file, f"no. {number}") for number, file in enumerate(named))
    after = take_inventory(sets, reviewed, tmp_path / "out")
    left = after[after["fault"].notna()]
    assert set(left["fault"]) == {"quarantined"}
    assert left["message"].value_counts(sort=False).sort_index().to_dict() == {
        "no. 0": 1, "no. 1": 1, "no. 2": 1, "no. 3": int(packaged.sum())
    }  # fmt: skip
    assert list(after["id"]) == list(before["id"])


def test_an_image_that_cannot_be_read_leaves_reviewed_masks_their_reasons(own):
    (own / "train/cats/im/2.png").write_bytes(b"no picture")
    mask = own / "train/cats/gt/2_1.png"
    found = faults(own, NONE.including([(mask.as_posix(), "wrong cat")]))
    assert {name: kind for name, (kind, _) in found.items()} == {
        "2_0.png": "undecodable_image", "2_1.png": "quarantined",
    }  # fmt: skip
    assert found["2_1.png"][1] == "wrong cat"


def test_of_two_reasons_the_images_is_told_and_a_reviewed_mask_takes_no_id(own):
    base = own / "train/cats"
    Image.fromarray(np.eye(8, dtype=np.uint8)).save(base / "gt/0_0.tif")
    both = [
        (base / "im/1.png", "blurred"),
        (base / "gt/1_0.png", "cut"),
        (base / "gt/0_0.png", "x"),
    ]
    found = faults(own, NONE.including([(path.as_posix(), reason) for path, reason in both]))
    assert found == {
        "0_0.png": ("quarantined", "x"), "1_0.png": ("quarantined", "blurred"),
        "1_1.png": ("quarantined", "blurred"),
    }  # fmt: skip


def test_a_group_of_ones_own_table_is_in_the_inventory_and_else_the_image_is_one(own):
    masks = [f"train/cats/gt/{number}_0.png" for number in range(3)]
    lines = [
        f"train,cats,train/cats/im/{number}.png,{masks[number]},{group}"
        for number, group in enumerate(("film 1", "film 1", ""))
    ]
    (own / "manifest.csv").write_text("\n".join(["split,dataset,image,mask,group", *lines]))
    rows = collect_own(own, NONE, workers=1)
    assert [row["group"] for row in rows[:2]] == ["film 1", "film 1"]
    assert rows[2]["group"] == rows[2]["image_sha256"]


def test_a_turned_deep_image_is_measured_upright_and_its_form_is_that_of_the_file(own):
    stored = np.zeros((8, 12), np.uint16)
    stored[:, :3] = 4095
    exif = Image.Exif()
    exif[0x0112] = 6
    (own / "val/dogs/im").mkdir(parents=True)
    Image.fromarray(stored).save(own / "val/dogs/im/a.png", exif=exif)
    label = np.zeros((12, 8), np.uint8)
    label[:3, :4], label[3, :2] = 255, 100
    write_png(own / "val/dogs/gt/a.png", label)
    (row,) = [row for row in collect_own(own, NONE, workers=1) if row["dataset"] == "dogs"]
    assert (row["height"], row["width"], row["depth"], row["orientation"]) == (12, 8, 16, 6)
    assert (row["brightness"], row["soft"], row["fault"]) == (255 / 4, 2 / 96, None)
    assert row["split"] == "val"
    assert [note for note in row["doubts"] if "12 bits" in note or "0 to 255" in note]
    assert any("gt/a.png marks only 12 pixels" in note for note in row["doubts"])
    assert any("EXIF orientation 6" in note for note in row["doubts"])


def test_each_generated_scene_is_drawn_as_the_params_and_its_set_say(tmp_path):
    params = GeneratedParams(train_images=3, benchmark_images=4, side=80, seed=7)
    tasks = list(_scene_tasks(params, tmp_path))
    counted = Counter(task.dataset for task in tasks)
    assert counted == {
        TRAINING_SET: 3, **dict.fromkeys(GENERATED_BENCHMARKS, 4),
        **dict.fromkeys(DEVELOPMENT_SETS, 2),
    }  # fmt: skip
    assert counted == {name: generated_images(params, name) for name in GENERATED}
    for task in tasks:
        trained = task.dataset == TRAINING_SET
        like = DEVELOPMENT_SETS.get(task.dataset, task.dataset)
        later = task.dataset in DEVELOPMENT_SETS
        assert task == SceneTask(
            split="train" if trained else "val", dataset=task.dataset, side=80,
            family="mixed" if trained else GENERATED_BENCHMARKS[like],
            seed=scene_seed(7 + later, dataset=like, index=int(task.stem)),
            objects=training_objects(task.seed) if trained else 1, held_out=not trained,
            folder=tmp_path / task.dataset, stem=task.stem,
        )  # fmt: skip
    assert len({(task.dataset, task.stem) for task in tasks}) == len(tasks)


def test_no_data_at_all_is_an_error_that_names_the_keys(tmp_path):
    (tmp_path / "own").mkdir()
    with pytest.raises(DataError, match=r"data.generated.train_images.*data.own"):
        take_inventory(data(tmp_path / "own"), Quarantine(), tmp_path / "made")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Rows of the photographs that ship with packages, and the folder of their masks."""
    folder = tmp_path_factory.mktemp("photos")
    return list_photographs(folder), folder


def test_photographs_of_packages_are_listed_by_version_and_digest_and_never_copied(photographs):
    rows, folder = photographs
    assert len(rows) == 68
    assert len({row["image"] for row in rows}) == 11
    drawn = {each.name: each for each in package_photographs()}
    (cat,) = {row["image"] for row in rows if "/chelsea." in row["image"]}
    version = importlib.metadata.version("scikit-image")
    assert cat == f"package:scikit-image@{version}/skimage/data/chelsea.png"
    mine = [row for row in rows if row["image"] == cat]
    assert {row["image_sha256"] for row in mine} == {drawn["chelsea"].sha256}
    assert {row["group"] for row in mine} == {drawn["chelsea"].sha256}  # intervals draw photographs
    assert np.array_equal(read_image(Path(cat)), drawn["chelsea"].read())
    assert read_mask(Path(mine[0]["mask"])).shape == (mine[0]["height"], mine[0]["width"])
    assert {path.parent.name for path in folder.rglob("*.png")} == {"gt"}
    assert {row["split"] for row in rows} == {"val"}


def test_the_manifest_of_another_version_of_a_package_is_refused(photographs):
    rows, _ = photographs
    other = rows[0]["image"].replace("@", "@9")
    with pytest.raises(InvalidItemError, match="run `dvc repro prepare`"):
        read_image(Path(other))
    with pytest.raises(InvalidItemError, match="nobody is not installed"):
        read_image(Path("package:nobody@1.0/data/x.png"))


def test_the_photographs_are_in_the_inventory_where_the_catalogue_names_them(tmp_path):
    data = with_photographs(tmp_path)
    found = take_inventory(data, NONE, tmp_path / "out")
    assert int((found["dataset"] == "photos").sum()) == 68
    assert not found["fault"].notna().any()


def test_development_sets_are_the_benchmarks_of_the_next_seed(tmp_path):
    params = GeneratedParams(train_images=0, benchmark_images=2, side=64, seed=5)
    drawn = draw_generated(params, tmp_path / "now", workers=1)
    later = draw_generated(params.replaced(seed=6), tmp_path / "later", workers=1)
    digests = {
        name: [r["image_sha256"] for r in drawn if r["dataset"] == name] for name in GENERATED
    }
    for name, like in DEVELOPMENT_SETS.items():
        assert len(digests[name]) == 1  # half as many
        assert digests[name][0] not in digests[like]
        assert digests[name][0] == next(r["image_sha256"] for r in later if r["dataset"] == like)
    assert {row["split"] for row in drawn} == {"val"}


def test_masks_of_one_name_in_two_folders_have_ids_of_their_own(own):
    for folder in ("a", "b"):
        for kind in ("im", "gt"):
            (own / "train/cats" / kind / folder).mkdir()
        shutil.copy(own / "train/cats/im/1.png", own / f"train/cats/im/{folder}/7.png")
        shutil.copy(own / "train/cats/gt/1_0.png", own / f"train/cats/gt/{folder}/7.png")
    rows = [row for row in collect_own(own, NONE, workers=1) if Path(row["mask"]).stem == "7"]
    assert [(row["id"], row["fault"]) for row in rows] == [("cats/a_7", None), ("cats/b_7", None)]
