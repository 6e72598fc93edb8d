"""A store holds what the encoder says of each view, and knows what it was made from."""

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from pasam.config.schema import BaseParams
from pasam.errors import CheckpointError, DataError
from pasam.masks.images import load_image, read_image, turned, write_png
from pasam.masks.transforms import squash, squash_mask
from pasam.models.checkpoint import file_digest
from pasam.training.embeddings import (
    SMALLEST_LABEL,
    ViewTask,
    _copy,
    benchmark_tasks,
    made_by,
    make_view,
    open_store,
    training_tasks,
    write_empty_store,
    write_store,
)
from pasam.workers import ProcessGroup


def write(folder, tasks, ids, base, *, batch_size=4, origin=None):
    write_store(
        folder, tasks, ids, base, jitter=(0.9, 1.0), batch_size=batch_size, workers=1,
        origin=origin or {"base": "a", "views": 2},
    )  # fmt: skip
    return open_store(folder)


@pytest.fixture
def base(make_base):
    return make_base().eval()


def test_embeddings_are_a_direct_encoding_in_half_precision(store, base):
    images = torch.from_numpy(np.array(store.images[:4]))
    with torch.no_grad():
        encoded = base.encode(images)
    np.testing.assert_array_equal(store.embedding[:4], encoded.embedding.half().numpy())
    np.testing.assert_array_equal(store.early[:4], encoded.early.half().numpy())


def test_images_and_labels_are_those_of_their_view(store, manifest, ids):
    tasks = training_tasks(manifest, views=2, seed=3)
    paths = {identity: path for path, identity in ids.items()}
    for entry, label in zip(store.index.itertuples(), store.labels, strict=True):
        task = tasks[entry.row]
        view = make_view(task, side=64, jitter=(0.9, 1.0))
        assert task.view == entry.view
        np.testing.assert_array_equal(store.images[entry.row].transpose(1, 2, 0), view.image)
        number = task.masks.index(paths[entry.id])
        np.testing.assert_array_equal(label, view.masks[number])


def test_labels_that_are_too_small_after_the_crop_are_left_out(store):
    assert set(store.index["id"]) == {f"own/{n}_{part}" for n in range(4) for part in (0, 1)}
    assert ((store.labels > 128).sum(axis=(1, 2)) >= SMALLEST_LABEL).all()


@pytest.mark.parametrize(("pixels", "there"), [(SMALLEST_LABEL, True), (SMALLEST_LABEL - 1, False)])
def test_the_smallest_label_that_is_prompted_for_has_sixteen_pixels(
    pixels, there, manifest, ids, base, tmp_path
):
    mask = np.zeros((64, 64), np.uint8)
    mask[20, 20 : 20 + pixels] = 255
    write_png(tmp_path / "small.png", mask)
    first = manifest.iloc[0]
    task = ViewTask(first["image"], (str(tmp_path / "small.png"), first["mask"]), 0, (1, 0, 0))
    write_store(
        tmp_path / "store", [task], {**ids, task.masks[0]: "small"}, base, jitter=(1.0, 1.0),
        batch_size=1, workers=1, origin={"base": "a"},
    )  # fmt: skip
    found = open_store(tmp_path / "store").index["id"].tolist()
    assert found == (["small"] if there else []) + [first["id"]]


def test_an_object_of_a_benchmark_that_lies_between_the_views_pixels_is_a_label_too(
    manifest, ids, base, tmp_path
):
    for name, side in (("speck", 1), ("block", 100)):
        mask = np.zeros((640, 640), np.uint8)
        mask[1 : 1 + side, 1 : 1 + side] = 255
        write_png(tmp_path / f"{name}.png", mask)
    names = {str(tmp_path / f"{name}.png"): name for name in ("speck", "block")}
    task = ViewTask(manifest.iloc[0]["image"], tuple(names), 0, None)
    store = write(tmp_path / "store", [task], {**ids, **names}, base)
    assert store.index["id"].tolist() == ["speck", "block"]
    assert np.argwhere(store.labels[0] > 128).tolist() == [[0, 0]]


def test_an_array_of_many_pieces_is_copied_whole_to_its_place(monkeypatch):
    monkeypatch.setattr("pasam.training.embeddings._AT_ONCE", 2)
    target = np.zeros(9, int)
    _copy(np.arange(1, 8), target, 3, 5)
    assert target.tolist() == [0, 0, 0, 1, 2, 3, 4, 5, 0]


def test_a_benchmark_keeps_small_objects_and_squashes(manifest, ids, base, tmp_path):
    store = write(tmp_path, benchmark_tasks(manifest), ids, base)
    assert list(store.index["id"]) == ["own/4_0", "own/4_1", "own/4_2"]
    image = read_image(Path(next(iter(manifest[manifest["split"] == "val"]["image"]))))
    np.testing.assert_array_equal(store.images[0].transpose(1, 2, 0), image)
    assert (store.labels[2] > 128).sum() == 9


def test_a_view_of_a_benchmark_does_not_keep_the_aspect(manifest):
    (task,) = benchmark_tasks(manifest)
    view = make_view(task, side=32, jitter=(1.0, 1.0))
    assert view.image.shape == (32, 32, 3)
    np.testing.assert_array_equal(view.masks[0].shape, squash_mask(view.masks[0], 32).shape)


def test_every_training_image_has_every_view_once_and_its_own_seed(manifest):
    tasks = training_tasks(manifest, views=3, seed=5)
    assert len({(task.image, task.view) for task in tasks}) == len(tasks) == 4 * 3
    images = sorted(set(manifest.loc[manifest["split"] == "train", "image"]))
    assert [(task.image, task.view, task.seed) for task in tasks] == [
        (image, view, (5, number, view))
        for number, image in enumerate(images) for view in range(3)
    ]  # fmt: skip
    assert {task.seed for task in tasks}.isdisjoint(
        task.seed for task in training_tasks(manifest, views=3, seed=6)
    )


def test_writing_twice_gives_the_same_bytes(manifest, ids, base, tmp_path):
    tasks = training_tasks(manifest, views=1, seed=3)
    for name in ("one", "two"):
        write(tmp_path / name, tasks, ids, base)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "two").iterdir())
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_the_last_batch_may_be_smaller(manifest, ids, base, tmp_path):
    tasks = training_tasks(manifest, views=1, seed=3)
    whole = write(tmp_path / "whole", tasks, ids, base, batch_size=4)
    split = write(tmp_path / "split", tasks, ids, base, batch_size=3)
    np.testing.assert_array_equal(split.images, whole.images)
    np.testing.assert_array_equal(split.labels, whole.labels)
    np.testing.assert_allclose(split.embedding, whole.embedding, atol=1e-2)


def test_embeddings_of_another_base_are_refused_by_both_digests(manifest, ids, base, tmp_path):
    mine, other = tmp_path / "mine.safetensors", tmp_path / "other.safetensors"
    mine.write_bytes(b"mine")
    other.write_bytes(b"other")
    tasks = training_tasks(manifest, views=1, seed=3)[:1]
    store = write(tmp_path / "store", tasks, ids, base, origin={"base": file_digest(mine)})
    store.check_base(mine, "32-true")
    digests = f"{file_digest(mine)[:12]}.*other.safetensors is {file_digest(other)[:12]}"
    with pytest.raises(CheckpointError, match=digests):
        store.check_base(other, "32-true")
    with pytest.raises(CheckpointError, match="absent.pth does not exist"):
        store.check_base(tmp_path / "absent.pth", "32-true")


@pytest.mark.parametrize("precision", ["32-true", "bf16"])
def test_embeddings_of_another_precision_are_refused(precision, manifest, ids, base, tmp_path):
    mine = tmp_path / "mine.safetensors"
    mine.write_bytes(b"mine")
    origin = made_by(BaseParams(size="tiny", checkpoint=str(mine), encoder_precision=precision))
    assert ("encoder_precision" in origin) is (precision == "bf16"), "as former stores have it"
    tasks = training_tasks(manifest, views=1, seed=3)[:1]
    store = write(tmp_path / "store", tasks, ids, base, origin=origin)
    store.check_base(mine, precision)
    with pytest.raises(CheckpointError, match=f"made in {precision}, .*encoder_precision is tf32"):
        store.check_base(mine, "tf32")


def test_an_incomplete_store_names_what_it_lacks(manifest, ids, base, tmp_path):
    write(tmp_path, training_tasks(manifest, views=1, seed=3)[:1], ids, base)
    (tmp_path / "early.npy").unlink()
    (tmp_path / "index.parquet").unlink()
    with pytest.raises(DataError, match=r"lacks \['early.npy', 'index.parquet'\].*dvc repro embed"):
        open_store(tmp_path)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("images", np.zeros((1, 3, 8, 8), np.float32), r"float32 .*8\), expected uint8 in 4"),
        ("labels", np.zeros((1, 1, 8, 8), np.uint8), r"uint8 .*8\), expected uint8 in 3 d"),
        ("early", np.zeros((1, 8, 8), np.float16), "expected float16 in 4 dimensions"),
        ("embedding", np.zeros((1, 4, 8, 8), np.float64), "expected float16 in 4 dimensions"),
        ("early", np.array([{}], object), "early.npy is damaged"),
    ],
)  # fmt: skip
def test_an_array_of_another_kind_is_none_of_a_store(
    name, array, message, manifest, ids, base, tmp_path
):
    write(tmp_path, training_tasks(manifest, views=1, seed=3)[:1], ids, base)
    np.save(tmp_path / f"{name}.npy", array, allow_pickle=True)
    with pytest.raises(DataError, match=message):
        open_store(tmp_path)


def test_an_empty_store_says_only_where_it_comes_from(tmp_path):
    write_empty_store(tmp_path / "store", {"base": "a"})
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["origin.json"]
    with pytest.raises(DataError, match="lacks"):
        open_store(tmp_path / "store")


def test_nothing_to_encode_is_an_error(ids, base, tmp_path):
    with pytest.raises(DataError, match="no image to embed"):
        write(tmp_path, [], ids, base)


def test_training_views_that_show_nothing_are_an_error(manifest, ids, base, tmp_path, monkeypatch):
    monkeypatch.setattr("pasam.training.embeddings.SMALLEST_LABEL", 10**6)
    with pytest.raises(DataError, match="nothing to train"):
        write(tmp_path, training_tasks(manifest, views=1, seed=3)[:1], ids, base)
    with pytest.raises(DataError, match="lacks"):  # what says that it is whole comes last
        open_store(tmp_path)


@pytest.mark.parametrize("fails", ["write_table", "_cut_labels"])
def test_a_store_that_is_cut_off_at_any_step_is_no_store(
    fails, manifest, ids, base, tmp_path, monkeypatch
):
    def killed(*given, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"pasam.training.embeddings.{fails}", killed)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, training_tasks(manifest, views=1, seed=3)[:1], ids, base)
    with pytest.raises(DataError, match=r"lacks \[.*'origin.json'\]"):
        open_store(tmp_path)


class InTurn(ProcessGroup):
    """Processes that run one after the other, the first one last; what they gather is kept."""

    told: ClassVar[dict[int, list[object]]] = {}

    def gather(self, found):
        self.told[self.rank] = list(found)
        return [] if self.rank else [one for rank in range(self.size) for one in self.told[rank]]


@pytest.mark.parametrize("size", [2, 4])  # four processes have three batches to share
def test_several_processes_write_the_bytes_that_one_writes(size, manifest, ids, base, tmp_path):
    tasks = training_tasks(manifest, views=2, seed=3)
    one, many = tmp_path / "one", tmp_path / "many"
    (many / "part-9").mkdir(parents=True)  # left by a run of more processes that was killed
    write(one, tasks, ids, base, batch_size=3)
    for rank in reversed(range(size)):
        write_store(
            many, tasks, ids, base, jitter=(0.9, 1.0), batch_size=3, workers=1,
            origin={"base": "a", "views": 2}, group=InTurn(rank, size),
        )  # fmt: skip
    files = sorted(path.name for path in one.iterdir())
    assert files == sorted(path.name for path in many.iterdir())
    assert [(many / n).read_bytes() for n in files] == [(one / n).read_bytes() for n in files]


def test_a_gpu_embeds_what_the_cpu_does(manifest, ids, base, store, tmp_path, tested_device):
    tasks = training_tasks(manifest, views=2, seed=3)
    write_store(
        tmp_path, tasks, ids, base.to(tested_device), jitter=(0.9, 1.0), batch_size=4, workers=1,
        origin=store.origin,
    )  # fmt: skip
    base.to("cpu")
    found = open_store(tmp_path)
    difference = np.abs(np.float32(found.embedding) - np.float32(store.embedding))
    assert difference.max() < 1e-2 * np.abs(np.float32(store.embedding)).max()
    assert np.array_equal(found.labels, store.labels)


def save_jpeg(file, pixels, orientation=1):
    """Store an image such that viewers show these pixels, turned by its tag."""
    back = {6: 8, 8: 6}.get(orientation, orientation)  # the others undo themselves
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(turned(pixels, back)).save(file, quality=95, exif=exif)
    return file


def edges_of(profile):
    """Where what is bright begins and ends, in parts of a pixel."""
    middle = int((profile * np.arange(len(profile))).sum() / profile.sum())
    return middle - profile[:middle].sum(), middle + profile[middle:].sum()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(403, 271), (275, 401), (390, 407)])
def test_a_view_of_a_jpeg_decoded_near_its_size_lies_where_its_edges_are(
    size, orientation, tmp_path
):
    mask, (top, left), (bottom, right) = np.zeros(size, np.uint8), (90, 70), np.subtract(size, 33)
    mask[top:bottom, left:right] = 255
    image = save_jpeg(tmp_path / "image.jpg", np.repeat(mask[..., None], 3, axis=2), orientation)
    write_png(tmp_path / "mask.png", mask)
    for side, reduction, seed in ((50, 8, 0), (97, 4, 2), (133, 2, 0), (200, 2, 2)):
        assert load_image(image, least=side).reduction == reduction
        task = ViewTask(str(image), (str(tmp_path / "mask.png"),), view=0, seed=(seed,))
        near, whole = (
            make_view(task, side=side, jitter=(1.0, 1.0), decode=how) for how in ("near", "whole")
        )
        np.testing.assert_array_equal(near.masks, whole.masks)
        height, width = (round(length * side / max(size)) for length in size)
        shown = near.image[:height, :width, 1] / 255  # the rest is padding
        ends = left, right
        if np.random.default_rng([seed]).random() >= 0.5:  # flipped
            ends = size[1] - right, size[1] - left
        found = *edges_of(shown[:, width // 2]), *edges_of(shown[height // 2])
        rows, columns = (np.array(pair) for pair in ((top, bottom), ends))
        wanted = *(rows * height / size[0]), *(columns * width / size[1])
        assert np.abs(np.subtract(found, wanted)).max() <= 0.5


def test_what_is_not_augmented_is_decoded_whole(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (91, 203, 3)).astype(np.uint8)
    mask = np.full((91, 203), 255, np.uint8)
    mask[:40] = 0
    write_png(tmp_path / "mask.png", mask)
    image = save_jpeg(tmp_path / "image.jpg", pixels)
    task = ViewTask(str(image), (str(tmp_path / "mask.png"),), view=0, seed=None)
    view = make_view(task, side=24, jitter=(1.0, 1.0), decode="near")
    np.testing.assert_array_equal(view.image, squash(read_image(image), 24))


def test_a_jpeg_is_decoded_to_no_fewer_pixels_than_are_needed_and_other_formats_whole(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (91, 203, 3)).astype(np.uint8)
    jpeg, png = save_jpeg(tmp_path / "image.jpg", pixels), tmp_path / "image.png"
    write_png(png, pixels)
    for least, reduction, size in (
        (25, 8, (11, 25)), (26, 4, (23, 51)), (50, 4, (23, 51)), (51, 2, (46, 102)),
        (101, 2, (46, 102)), (102, 1, (91, 203)), (None, 1, (91, 203)),
    ):  # fmt: skip
        found = load_image(jpeg, least=least)
        assert (found.reduction, found.pixels.shape) == (reduction, (*size, 3))
        assert max(size) >= (least or 203)
        assert load_image(png, least=least).reduction == 1
    thin = save_jpeg(tmp_path / "thin.jpg", pixels[:3])
    assert load_image(thin, least=10).pixels.shape == (2, 102, 3)
    np.testing.assert_array_equal(load_image(jpeg).pixels, read_image(jpeg))
