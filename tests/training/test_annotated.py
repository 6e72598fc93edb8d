"""Photographs in memory: which are read, how large, and what their masks become."""

import numpy as np
import pytest
from photograph_pool import picture, rectangle, write_pool

from pasam.errors import DataError
from pasam.masks.mask_files import read_mask
from pasam.training import annotated
from pasam.training.annotated import draw_scenes, read_photographs, unpack


def read(folder, **changes):
    return read_photographs(folder, **{"coarseness": 0.0, "workers": 1, **changes})


def test_photographs_of_val_are_never_opened(tmp_path, monkeypatch):
    pool, opened = write_pool(tmp_path), []
    original = annotated.read_image
    monkeypatch.setattr(
        annotated, "read_image", lambda path: opened.append(path.stem) or original(path)
    )
    found = read(pool)
    assert sorted(opened) == ["0", "1", "2"]
    assert sorted(p.dataset for p in found) == ["cats", "cats", "cups"]


def test_a_manifest_of_val_alone_is_refused(tmp_path):
    pool = write_pool(tmp_path)
    text = (pool / "manifest.csv").read_text().replace("train,", "val,")
    (pool / "manifest.csv").write_text(text)
    with pytest.raises(DataError, match="'train' among its 10 rows"):
        read(pool)


def test_a_folder_without_manifest_says_which_columns_it_needs(tmp_path):
    with pytest.raises(DataError, match=r"manifest\.csv does not exist.*'split', 'dataset'"):
        read(tmp_path)
    (tmp_path / "manifest.csv").write_text("split,image\ntrain,a.png\n")
    with pytest.raises(DataError, match=r"lacks the columns \['dataset', 'mask'\]"):
        read(tmp_path)


def test_masks_come_back_as_they_were(tmp_path):
    pool = write_pool(tmp_path)
    first = read(pool)[0]
    for part in range(2):
        mask = read_mask(pool / f"cats/gt/0_{part}.png") > 128
        whole = unpack(first.fine[part], (0, 0, 120, 80))
        assert np.array_equal(whole.astype(bool), mask)
    both = unpack(first.union, (0, 0, 120, 80))
    assert both.sum() == 50 * 40 + 20 * 16
    assert first.boxes.tolist() == [[5, 10, 54, 49], [70, 50, 89, 65]]


def test_a_part_of_a_packed_mask_is_that_part():
    rng = np.random.default_rng(0)
    mask = rng.random((30, 45)) < 0.5
    packed = np.packbits(mask, axis=-1)
    for window in [(0, 0, 45, 30), (3, 2, 20, 9), (8, 0, 16, 30), (44, 29, 45, 30)]:
        x0, y0, x1, y1 = window
        assert np.array_equal(unpack(packed, window), mask[y0:y1, x0:x1])


def test_large_photographs_are_brought_down(tmp_path, monkeypatch):
    monkeypatch.setattr(annotated, "LONGEST_SIDE", 60)
    assert {p.shape for p in read(write_pool(tmp_path))} == {(40, 60)}


def test_processes_change_nothing(tmp_path):
    pool = write_pool(tmp_path)
    one, two = (read(pool, coarseness=0.02, workers=n) for n in (1, 2))
    assert all(np.array_equal(a.coarse, b.coarse) for a, b in zip(one, two, strict=True))


def test_small_objects_are_coarsened_by_less():
    small = rectangle(200, 200, 20, 20, 12, 12)
    small[25:27, 32:40] = 255  # a thin arm, that a radius made for the image would cut off
    lost = picture("s", small, coarseness=0.02)
    whole, coarse = (unpack(part[0], (0, 0, 200, 200)) for part in (lost.fine, lost.coarse))
    union, both = (whole | coarse).sum(), (whole & coarse).sum()
    assert both / union > 0.75


def test_scenes_repeat_themselves_and_are_a_set_of_their_own():
    first, second = (draw_scenes(2, seed=7, side=64, coarseness=0.01, workers=1) for _ in range(2))
    assert {p.dataset for p in first} == {"generated"}
    assert all(np.array_equal(a.image, b.image) for a, b in zip(first, second, strict=True))
