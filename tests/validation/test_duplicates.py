"""Doubles are found by bytes and by looks, with the training image first."""

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from pasam.validation import duplicates as duplicates_module
from pasam.validation.duplicates import find_duplicates, images_of, mask_copies, originals


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


def test_an_image_counts_once_per_split():
    rows = [image("a"), image("a"), image("a", split="val")]
    assert len(images_of(pd.DataFrame(rows))) == 2
