"""Drift needs both a significant test and a distance that matters."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from pasam.errors import DataError
from pasam.files import write_text
from pasam.validation import duplicates as duplicates_module
from pasam.validation.drift import (
    COLUMNS,
    QUANTITIES,
    WHOLE,
    Sketch,
    accepted_text,
    compare,
    group_values,
    read_accepted,
)
from pasam.validation.duplicates import find_duplicates, images_of, mask_copies, originals

KEY = ("train", "cats")


def sketch(seed: int, count: int, **moved: float) -> Sketch:
    rng = np.random.default_rng(seed)
    values = {name: rng.normal(moved.get(name, 0.0), 1, count) for name in QUANTITIES}
    return Sketch(masks=count, images=count, values=values)


def drifted(now: Sketch, then: Sketch, *, p: float = 0.01, effect: float = 0.15) -> list[str]:
    table = compare({KEY: now}, {KEY: then}, p=p, effect=effect)
    assert tuple(table.columns) == COLUMNS
    return table.loc[table["drifted"], "quantity"].tolist()


def test_a_quantity_that_moved_is_named_alone():
    assert drifted(sketch(0, 300, complexity=0.8), sketch(1, 200)) == ["complexity"]


@pytest.mark.long
def test_a_difference_that_does_not_matter_is_no_drift_however_many_images():
    now = sketch(0, 50_000, area=0.1)
    table = compare({KEY: now}, {KEY: sketch(1, 50_000)}, p=0.01, effect=0.15)
    area = table[table["quantity"] == "area"].iloc[0]
    assert area["p"] < 1e-20
    assert not area["drifted"]
    assert drifted(now, sketch(1, 50_000), effect=0.03) == ["area"]


def test_a_difference_of_a_few_images_is_no_drift():
    assert drifted(sketch(0, 5, area=0.8), sketch(1, 200)) == []


def test_the_same_data_never_drifts():
    assert drifted(sketch(0, 40), sketch(0, 40)) == []


@pytest.mark.long
def test_false_alarms_are_as_rare_as_stated_over_all_comparisons_together():
    keys = [("train", str(index)) for index in range(5)]
    alarms = 0
    for trial in range(30):
        now = {key: sketch(1000 * trial + i, 80) for i, key in enumerate(keys)}
        then = {key: sketch(1000 * trial + 500 + i, 80) for i, key in enumerate(keys)}
        alarms += bool(compare(now, then, p=0.05, effect=0.01)["drifted"].any())
    assert alarms / 30 <= 0.1


def test_the_limits_themselves_are_no_drift_and_what_is_compared_can_be_chosen():
    now, then = sketch(0, 300, area=0.9), sketch(1, 200)
    table = compare({KEY: now}, {KEY: then}, p=0.01, effect=0.15, quantities=("area", "resolution"))
    assert table["quantity"].tolist() == ["area", "resolution"]
    assert table["limit_p"].tolist() == [0.005] * 2
    distance, p = table[["distance", "p"]].to_numpy()[0]
    assert distance > 0.15
    assert table["drifted"].tolist() == [True, False]
    only = {"quantities": ("area",)}
    at_effect = compare({KEY: now}, {KEY: then}, p=0.01, effect=distance, **only)
    at_p = compare({KEY: now}, {KEY: then}, p=p, effect=0.15, **only)
    assert at_effect["drifted"].tolist() == at_p["drifted"].tolist() == [False]
    assert compare({KEY: now}, {KEY: then}, p=1.01 * p, effect=0.15, **only)["drifted"].all()


def test_data_that_is_rounded_as_it_was_accepted_has_not_drifted(tmp_path):
    pairs, images = frames({("train", "cats"): 12}, seed=4)
    (tmp_path / "a.json").write_text(accepted_text(pairs, images))
    table = compare(
        dict(group_values(pairs, images)), read_accepted(tmp_path / "a.json"), p=0.5, effect=0.01
    )
    assert table["distance"].tolist() == [0.0] * 4
    one = Sketch(masks=1, images=1, values={name: np.array([1.0]) for name in QUANTITIES})
    assert compare({KEY: one}, {KEY: one}, p=0.5, effect=0.1)["p"].tolist() == [1.0] * 4


def test_a_split_is_known_by_its_own_images_alone():
    pairs, images = frames({("train", "cats"): 4, ("val", "cats"): 4})
    images.loc[images["split"] == "val", "brightness"] += 50
    found = dict(group_values(pairs, images))
    assert sorted(found["train", "cats"].values["brightness"]) == [100, 101]
    assert sorted(found["val", "cats"].values["brightness"]) == [150, 151]
    assert sorted(found["val", WHOLE].values["brightness"]) == [150, 151]


def test_sets_of_only_one_version_are_not_compared():
    table = compare({KEY: sketch(0, 9)}, {("val", "cats"): sketch(0, 9)}, p=0.01, effect=0.1)
    assert len(table) == 0
    both, one = {KEY: sketch(0, 9), ("val", "cats"): sketch(0, 9)}, {KEY: sketch(0, 9)}
    for versions in ((one, both), (both, one)):  # and share no part of the false alarms
        table = compare(*versions, p=0.01, effect=0.1)
        assert table["limit_p"].tolist() == pytest.approx([0.01 / 4] * 4)


def compared(now: list[str], then: list[str]) -> set[str]:
    """Name the sets of one split that two versions are compared by."""
    versions = [{("train", name): sketch(0, 9) for name in [*sets, WHOLE]} for sets in (now, then)]
    return set(compare(*versions, p=0.01, effect=0.1)["dataset"])


def test_a_new_set_beside_an_accepted_one_is_seen_in_the_whole():
    assert compared(["cats", "new"], ["cats"]) == {"cats", WHOLE}
    assert compared(["cats"], ["cats", "old"]) == {"cats", WHOLE}


def test_a_whole_of_one_set_is_compared_once_and_other_data_not_at_all():
    assert compared(["cats"], ["cats"]) == {"cats"}
    assert compared(["cats", "dogs"], ["horses"]) == set()
    each = {(split, name): sketch(0, 9) for split in ("train", "val") for name in (split, WHOLE)}
    assert set(compare(each, each, p=0.01, effect=0.1)["dataset"]) == {"train", "val"}


def frames(sets: dict[tuple[str, str], int], seed: int = 0):
    """Pairs with two masks per image."""
    rng = np.random.default_rng(seed)
    rows = [
        {
            "split": split, "dataset": dataset, "image": f"{dataset}{index // 2}",
            "height": 50, "width": 200, "area": rng.random(), "complexity": rng.random() * 9,
            "brightness": 100 + index // 2,
        }
        for (split, dataset), count in sets.items()
        for index in range(count)
    ]  # fmt: skip
    pairs = pd.DataFrame(rows)
    return pairs, pairs.drop_duplicates(["split", "image"])


SETS = {("train", "cats"): 6, ("train", "dogs"): 4, ("val", "cats"): 2}


def test_every_set_stands_alone_and_every_split_as_a_whole_too():
    sketches = dict(group_values(*frames(SETS)))
    assert list(sketches) == [
        ("train", "cats"), ("train", "dogs"), ("train", WHOLE), ("val", "cats"), ("val", WHOLE),
    ]  # fmt: skip
    whole = sketches["train", WHOLE]
    assert (whole.masks, whole.images) == (10, 5)
    assert whole.values["resolution"].tolist() == [100.0] * 5
    assert sorted(whole.values["area"]) == sorted(
        [*sketches["train", "cats"].values["area"], *sketches["train", "dogs"].values["area"]]
    )


def test_what_is_written_is_read(tmp_path):
    pairs, images = frames(SETS)
    write_text(tmp_path / "a.json", accepted_text(pairs, images))
    read = read_accepted(tmp_path / "a.json")
    for key, sketch in group_values(pairs, images):
        assert (read[key].masks, read[key].images) == (sketch.masks, sketch.images)
        for name in QUANTITIES:
            np.testing.assert_allclose(read[key].values[name], np.sort(sketch.values[name]), 1e-3)


def test_without_data_nothing_is_accepted(tmp_path):
    pairs, images = frames(SETS)
    (tmp_path / "a.json").write_text(accepted_text(pairs[:0], images[:0]))
    assert read_accepted(tmp_path / "a.json") == {}


def test_up_to_two_hundred_values_are_kept_themselves_with_four_digits():
    pairs, images = frames({("train", "cats"): 200})
    entry, whole = json.loads(accepted_text(pairs, images))["sets"]
    kept = entry["values"]["area"]
    assert kept == [float(f"{value:.4g}") for value in sorted(pairs["area"])]
    assert (entry["masks"], entry["images"], len(entry["values"]["brightness"])) == (200, 100, 100)
    assert (whole["dataset"], whole["values"]) == (WHOLE, entry["values"])


@given(count=st.integers(201, 1500), seed=st.integers(0, 99))
@settings(max_examples=10)
def test_two_hundred_values_stand_for_any_number(count, seed):
    pairs, images = frames({("train", "cats"): count}, seed)
    entry, _ = json.loads(accepted_text(pairs, images))["sets"]
    kept = entry["values"]["area"]
    assert len(kept) == 200
    assert ks_2samp(pairs["area"], kept).statistic < 0.02


def test_of_three_times_as_many_values_the_middle_one_of_each_three_is_kept():
    pairs, images = frames({("train", "cats"): 600})
    pairs["area"] = np.arange(600)[::-1] / 1000
    entry, _ = json.loads(accepted_text(pairs, images))["sets"]
    assert entry["values"]["area"] == [number / 1000 for number in range(1, 600, 3)]


@pytest.mark.parametrize("text", ["", "[]", '{"sets": [{"split": "train"}]}', '{"sets": 3}'])
def test_a_file_of_another_form_is_refused(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=r"a.json is not .*accept"):
        read_accepted(tmp_path / "a.json")


def test_a_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match=r"does not exist.*pasam data accept"):
        read_accepted(tmp_path / "a.json")


def image(path: str, *, split: str = "train", sha: str | None = None, phash: int = 0,
          dhash: int = 0, contrast: float = 50.0) -> dict:  # fmt: skip
    return {
        "split": split, "image": path, "image_sha256": sha or path, "phash": f"{phash:016x}",
        "dhash": f"{dhash:016x}", "contrast": contrast,
    }  # fmt: skip


def found_among(*images: dict, bits: int = 4):
    found = find_duplicates(pd.DataFrame(images), bits=bits, contrast=2)
    return [(pair.first, pair.second, pair.bits, pair.same_bytes) for pair in found]


FAR = 0xFFFF0000FFFF0000


def test_both_hashes_must_be_close():
    close = image("b", phash=0b1111, dhash=0b1)
    assert found_among(image("a"), close, image("c", phash=FAR), image("d", dhash=FAR)) == [
        ("a", "b", 4, False)
    ]
    assert found_among(image("a"), close, bits=3) == []


def test_equal_bytes_are_doubles_whatever_shows():
    blank = {"contrast": 0.5}
    assert found_among(image("a", sha="x", **blank), image("b", sha="x", **blank)) == [
        ("a", "b", 0, True)
    ]
    assert found_among(image("a", **blank), image("b", **blank)) == []


def test_an_image_of_exactly_the_least_contrast_shows_something():
    for contrast, pairs in ((2.0, [("a", "b", 0, False)]), (1.999, [])):
        assert found_among(image("a"), image("b", contrast=contrast)) == pairs
        assert found_among(image("a", contrast=contrast), image("b")) == pairs


def test_of_several_originals_the_first_is_named_and_bits_are_those_of_the_farther_hash():
    near = image("b", phash=0b1, dhash=0b111)
    assert found_among(image("a"), near, bits=3) == [("a", "b", 3, False)]
    images = pd.DataFrame([image(name, sha="x") for name in ("c", "a", "b")])
    found = find_duplicates(images, bits=0, contrast=2)
    assert originals(found, across=False, same_bytes=True) == {"b": "a", "c": "a"}


def test_the_training_image_comes_first():
    found = found_among(image("b", split="train"), image("a", split="val"))
    assert found == [("b", "a", 0, False)]


def test_one_path_in_two_splits_is_no_pair():
    assert found_among(image("a", split="train"), image("a", split="val")) == []


def test_partners_are_told_apart_by_split_and_by_bytes():
    found = find_duplicates(
        pd.DataFrame(
            [
                image("a", sha="x"), image("b", sha="x"), image("c", phash=1),
                image("v", split="val", sha="x"), image("w", split="val", phash=3),
            ]
        ), bits=4, contrast=2,
    )  # fmt: skip
    assert originals(found, across=False, same_bytes=True) == {"b": "a"}
    assert originals(found, across=False, same_bytes=False) == {"c": "a", "w": "v"}
    assert originals(found, across=True, same_bytes=True) == {"v": "a"}
    assert originals(found, across=True, same_bytes=False) == {"v": "c", "w": "a"}


def test_images_that_look_alike_are_found_wherever_the_comparison_is_cut(monkeypatch):
    images = [image(f"{index}", phash=value) for index, value in enumerate([1, 64, 9, 64, 1, 9])]
    for cells in (1, 12, 18, 36):  # one, two, three and all rows at a time
        monkeypatch.setattr(duplicates_module, "_CELLS", cells)
        found = [(one, other) for one, other, _, _ in found_among(*images, bits=0)]
        assert found == [("0", "4"), ("1", "3"), ("2", "5")]


@pytest.mark.long
@given(
    hashes=st.lists(st.integers(0, 31), min_size=2, max_size=12),
    bits=st.integers(0, 3),
    chunk=st.integers(1, 40),
)
def test_chunks_find_what_a_comparison_of_every_pair_finds(hashes, bits, chunk):
    images = [image(f"{index:02}", phash=value) for index, value in enumerate(hashes)]
    expected = [
        (i, j)
        for i in range(len(hashes))
        for j in range(i + 1, len(hashes))
        if (hashes[i] ^ hashes[j]).bit_count() <= bits
    ]
    before, duplicates_module._CELLS = duplicates_module._CELLS, chunk
    try:
        found = [(int(a), int(b)) for a, b, _, _ in found_among(*images, bits=bits)]
    finally:
        duplicates_module._CELLS = before
    assert found == expected


def pair(image_path: str, mask: str, *, image_sha: str, mask_sha: str) -> dict:
    return {
        "split": "train", "image": image_path, "mask": mask, "image_sha256": image_sha,
        "mask_sha256": mask_sha,
    }  # fmt: skip


def test_a_mask_is_a_copy_unless_its_image_is_one_too():
    pairs = pd.DataFrame(
        [
            pair("a", "m0", image_sha="A", mask_sha="M"),
            pair("a", "m1", image_sha="A", mask_sha="M"),
            pair("b", "m2", image_sha="B", mask_sha="M"),
            pair("copy of a", "m3", image_sha="A", mask_sha="M"),
            pair("c", "m4", image_sha="C", mask_sha="N"),
        ]
    )
    assert mask_copies(pairs) == {"m1": "m0", "m2": "m0"}
    held_out = pair("v", "a", image_sha="V", mask_sha="N") | {"split": "val"}  # the copy, though
    of_both = pd.concat([pd.DataFrame([held_out]), pairs[4:]])  # its name comes first
    assert mask_copies(of_both) == {"a": "m4"}
    of_two_images = [pair(name, "m", image_sha=name, mask_sha="M") for name in "ab"]
    assert mask_copies(pd.DataFrame(of_two_images)) == {}


def test_an_image_counts_once_per_split():
    rows = [image("a"), image("a"), image("a", split="val")]
    assert len(images_of(pd.DataFrame(rows))) == 2
