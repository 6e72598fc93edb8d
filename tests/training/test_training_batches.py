"""Batches depend on the seed, the epoch and the step, and on nothing else."""

import contextlib
import dataclasses
import hashlib
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from photograph_pool import picture, rectangle
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.data import DataLoader
from variants import hq_sam, image_adapter, pa_sam

from pasam.config.schema import EmbedParams
from pasam.errors import CheckpointError, DataError
from pasam.masks.images import foreground, write_png
from pasam.masks.transforms import View, squash_mask
from pasam.models.base_sam import PIXEL_MEAN
from pasam.models.build import build_trainable
from pasam.training import samples
from pasam.training.embeddings import SMALLEST_LABEL, make_view
from pasam.training.fit import _sampling, flushed_denormals, reproducible
from pasam.training.object_batches import ObjectBatches, ObjectSampler, ViewMix
from pasam.training.objectives import TrainingStep
from pasam.training.samples import (
    CachedBatches,
    FreshBatches,
    Sampling,
    batches_by_epoch,
    box_prompts,
    prompt_tensors,
)

SAMPLING = Sampling(batch_size=3, mix="thirds", mask_side=32, seed=5)


def flat(batch):
    """All tensors of a batch, in a fixed order."""
    parts = [getattr(batch, f.name) for f in dataclasses.fields(batch) if f.name != "prompts"]
    for group in batch.prompts:
        parts += [getattr(group, field.name) for field in dataclasses.fields(group)]
    return [part for part in parts if part is not None]


def same(one, other):
    return len(one) == len(other) and all(map(torch.equal, one, other))


def crops(folder, mask, *, jitter, epoch=0):
    """Fresh batches of one image with one object."""
    write_png(folder / "image.png", np.zeros((*mask.shape, 3), np.uint8))
    write_png(folder / "mask.png", mask)
    row = {"split": "train", "image": folder / "image.png", "mask": folder / "mask.png"}
    frame = pd.DataFrame([row] * 3).astype(str)
    return FreshBatches(frame, SAMPLING, epoch=epoch, side=64, jitter=jitter)


@given(
    samples=st.integers(0, 60),
    batch_size=st.integers(1, 5),
    world=st.integers(1, 4),
)
def test_processes_share_an_epoch_without_overlap(samples, batch_size, world):
    order = np.random.default_rng(0).permutation(samples)
    ranks = [dataclasses.replace(SAMPLING, batch_size=batch_size, world=world, rank=rank)
             for rank in range(world)]  # fmt: skip
    steps = ranks[0].steps(samples)
    seen = [sampling.own_part(order, step) for sampling in ranks for step in range(steps)]
    assert all(len(part) == batch_size for part in seen)
    together = np.concatenate([np.empty(0, int), *seen])
    assert len(set(together.tolist())) == len(together)
    assert samples - len(together) < batch_size * world


@pytest.mark.parametrize(("world", "accumulate"), [(2, 2), (4, 1)])
def test_several_processes_see_the_batches_that_one_accumulates(world, accumulate, store):
    def seen(**how):
        ranks = [dataclasses.replace(small, rank=rank, **how) for rank in range(how["world"])]
        parts = [CachedBatches(store, sampling, epoch=1) for sampling in ranks]
        return [flat(part[step]) for step in range(len(parts[0])) for part in parts]

    small = dataclasses.replace(SAMPLING, batch_size=1)
    alone, together = seen(world=1, accumulate=4), seen(world=world, accumulate=accumulate)
    assert len(alone) == len(together) == 8
    assert all(map(same, together, alone))


@pytest.mark.parametrize(
    ("samples", "batches"), [(0, 0), (2, 0), (3, 1), (8, 2), (11, 3), (12, 4), (23, 4), (24, 8)]
)
def test_every_step_is_of_all_its_batches_unless_there_are_too_few_for_one(samples, batches):
    assert dataclasses.replace(SAMPLING, accumulate=4).steps(samples) == batches


@pytest.mark.parametrize("workers", [1, 2])
def test_the_number_of_workers_changes_nothing(workers, store):
    batches = CachedBatches(store, SAMPLING, epoch=1)
    here = [flat(batches[step]) for step in range(len(batches))]
    loaded = list(map(flat, DataLoader(batches, batch_size=None, num_workers=workers)))
    assert len(loaded) == len(here) == 2
    assert all(map(same, loaded, here))


def test_epochs_and_seeds_have_their_own_order_and_prompts(store):
    def first(sampling, epoch):
        return flat(CachedBatches(store, sampling, epoch=epoch)[0])

    assert same(first(SAMPLING, 0), first(SAMPLING, 0))
    assert not same(first(SAMPLING, 0), first(SAMPLING, 2))
    assert not same(first(SAMPLING, 0), first(dataclasses.replace(SAMPLING, seed=6), 0))


@pytest.mark.parametrize(("epoch", "view"), [(0, 0), (1, 1), (2, 0), (5, 1)])
def test_an_epoch_uses_its_view_modulo_their_number(epoch, view, store):
    batches = CachedBatches(store, SAMPLING, epoch=epoch)
    assert sorted(batches.order) == list(np.flatnonzero(store.index["view"] == view))
    later = CachedBatches(store, SAMPLING, epoch=epoch + 2)  # the same view in another order
    assert sorted(later.order) == sorted(batches.order)
    assert list(later.order) != list(batches.order)


def test_a_cached_batch_shows_each_label_on_its_own_view(store):
    batches = CachedBatches(store, SAMPLING, epoch=0)
    batch = batches[1]
    for place, number in enumerate(batches.order[3:6]):
        row = store.index["row"][number]
        np.testing.assert_array_equal(batch.labels[place], store.labels[number])
        np.testing.assert_array_equal(batch.images[place], store.images[row])
        np.testing.assert_array_equal(batch.embedding[place], store.embedding[row])
        np.testing.assert_array_equal(batch.early[place], store.early[row])
    assert batch.embedding.dtype == torch.float32
    assert batch.encoded().embedding is batch.embedding


def test_fresh_batches_are_left_to_be_encoded_and_repeat_themselves(manifest):
    batches = FreshBatches(manifest, SAMPLING, epoch=0, side=64, jitter=(0.5, 2.0))
    assert len(batches) == 4  # 12 training masks, three at a time
    batch = batches[1]
    assert batch.encoded() is None
    assert batch.images.shape == (3, 3, 64, 64)
    assert batch.images.dtype == batch.labels.dtype == torch.uint8
    assert same(flat(batch), flat(batches[1]))


def test_fresh_views_differ_from_epoch_to_epoch(tmp_path):
    mask = np.zeros((64, 64), np.uint8)
    mask[10:50, 10:50] = 255
    one, two = (crops(tmp_path, mask, jitter=(0.5, 1.5), epoch=e)[0].labels for e in (0, 1))
    assert not torch.equal(one, two)


def test_views_of_one_image_differ_within_an_epoch(tmp_path):
    mask = np.zeros((64, 64), np.uint8)
    mask[10:50, 10:50] = 255
    labels = crops(tmp_path, mask, jitter=(0.5, 1.5))[0].labels
    assert len({label.numpy().tobytes() for label in labels}) == 3


def test_a_crop_that_misses_the_object_is_drawn_anew(tmp_path):
    mask = np.zeros((64, 64), np.uint8)
    mask[2:12, 2:12] = 255  # one crop in twenty of a fourfold view shows this corner
    labels = torch.cat(
        [crops(tmp_path, mask, jitter=(2.0, 2.0), epoch=epoch)[0].labels for epoch in range(4)]
    )
    assert ((labels > 128).sum(dim=(1, 2)) >= SMALLEST_LABEL).all()


def test_each_crop_that_is_drawn_anew_is_another_one(tmp_path):
    mask = np.zeros((64, 64), np.uint8)
    mask[2:12, 2:12] = 255
    labels = torch.cat(
        [crops(tmp_path, mask, jitter=(2.0, 2.0), epoch=epoch)[0].labels for epoch in range(8)]
    )
    close = (labels > 128).sum(dim=(1, 2)) > 150  # else all ten missed: 100 pixels of the whole
    assert close.sum() >= 5  # of 24; of one crop each it would be one or two


def test_a_crops_seed_is_its_epoch_its_mask_and_its_trial_and_the_whole_image_comes_last(
    manifest, monkeypatch
):
    tasks, empty = [], View(image=np.zeros((8, 8, 3)), masks=np.zeros((1, 8, 8), np.uint8))
    monkeypatch.setattr(
        samples, "make_view", lambda task, **how: tasks.append((task, how)) or empty
    )
    batches = FreshBatches(manifest, SAMPLING, epoch=2, side=64, jitter=(0.5, 2.0))
    assert batches._view(4) is empty
    train = manifest[manifest["split"] == "train"]
    image, mask = train.iloc[4][["image", "mask"]]
    assert [task.seed for task, _ in tasks] == [*((5, 2, 4, trial) for trial in range(10)), None]
    assert {(task.image, task.masks) for task, _ in tasks} == {(image, (mask,))}
    asked = {"side": 64, "jitter": (0.5, 2.0)}
    assert [how for _, how in tasks] == [*[{**asked, "decode": "whole"}] * 10, asked]
    empty.masks[0, :4, :4] = 129  # as many pixels as a label needs
    tasks.clear()
    batches._view(4)
    assert [task.seed for task, _ in tasks] == [(5, 2, 4, 0)]


def test_processes_draw_prompts_of_their_own(store, manifest, monkeypatch):
    drawn = []

    def note(_labels, _sampling, rng):
        drawn.append(rng.random())
        return []

    monkeypatch.setattr(samples, "prompt_tensors", note)
    for rank in (0, 1):
        own = dataclasses.replace(SAMPLING, batch_size=1, world=2, rank=rank)
        for epoch in (0, 1):
            made = (
                CachedBatches(store, own, epoch=epoch),
                FreshBatches(manifest, own, epoch=epoch, side=64, jitter=(1.0, 1.0)),
            )
            for batches in made:
                assert batches[0].prompts == batches[1].prompts == []
    assert len(drawn) == 16
    assert sorted(drawn.count(value) for value in drawn) == [2] * 16  # the two kinds agree


@pytest.mark.parametrize("pixels", [30, 1])
def test_an_object_that_no_crop_shows_is_shown_with_the_whole_image(pixels, tmp_path):
    mask = np.zeros((96 * 30 // pixels, 80), np.uint8)
    mask[40 : 40 + pixels, 20 : 20 + pixels] = 255  # one pixel lies between those of the squash
    batch = crops(tmp_path, mask, jitter=(0.05, 0.05))[0]  # the image shrinks to three pixels
    for label in batch.labels.numpy():
        np.testing.assert_array_equal(label, squash_mask(mask, 64))


def test_prompts_of_a_kind_are_stacked_and_hold_every_place_once(store):
    labels = np.asarray(store.labels[np.arange(30) % len(store.labels)])
    groups = prompt_tensors(labels, SAMPLING, np.random.default_rng(0))
    assert sorted(torch.cat([group.indices for group in groups]).tolist()) == list(range(30))
    for group in groups:
        given = [part for part in (group.boxes, group.points, group.masks) if part is not None]
        assert len(given) == 1  # thirds never combine
        assert len(given[0]) == len(group.indices)
        assert (group.point_labels is None) == (group.points is None)
    assert len(groups) == 3


def test_evaluation_prompts_with_boxes_in_their_order():
    boxes = [np.array([k, 0, k + 2, 3], np.float32) for k in range(3)]
    (group,) = box_prompts(boxes)
    assert group.indices.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(group.boxes, np.stack(boxes))
    assert group.points is group.point_labels is group.masks is None


PACKED = EmbedParams(views=2, jitter=(0.9, 1.0), seed=3, batch_size=4, accelerator="cpu", devices=1)
FRESH = PACKED.replaced(views=0)


def sampling(batch_size=4, world=1):
    return Sampling(batch_size=batch_size, mix="effective", mask_side=32, seed=4, world=world)


@pytest.fixture
def choose(store, manifest, make_base, tmp_path):
    """Choose the batches of a training whose base is a file that the store names."""
    checkpoint = tmp_path / "base.safetensors"
    checkpoint.write_bytes(b"weights")
    folder = shutil.copytree(Path(store.embedding.filename).parent, tmp_path / "store")
    digest = hashlib.sha256(b"weights").hexdigest()
    (folder / "origin.json").write_text(json.dumps({"base": digest}))

    def make(embed, how, *, checkpoint=checkpoint, store=folder):
        return batches_by_epoch(
            embed, [how], base=make_base(), checkpoint=checkpoint, store=store, manifest=manifest
        )

    return make


def test_packed_views_are_used_where_there_are_some(choose, store):
    make = choose(PACKED, sampling())
    for epoch in (0, 1, 2):
        batches, expected = make(epoch), CachedBatches(store, sampling(), epoch=epoch)
        assert isinstance(batches, CachedBatches)
        assert len(batches) == len(expected) == 2
        assert torch.equal(batches[1].labels, expected[1].labels)
        assert batches[1].embedding is not None


def test_without_packed_views_every_epoch_looks_anew(choose, tmp_path):
    make = choose(FRESH, sampling(), store=tmp_path / "no store")
    first, second = make(0), make(1)
    assert isinstance(first, FreshBatches)
    assert len(first) == 3  # of four images with three masks each
    assert first[0].embedding is None
    assert first[0].images.shape == (4, 3, 64, 64)
    assert not torch.equal(first[0].images, second[0].images)
    assert first.jitter == FRESH.jitter
    assert [make(epoch).epoch for epoch in (0, 3)] == [0, 3]
    both = choose(FRESH, dataclasses.replace(sampling(), prompts_per_mask=2))(0)[1]
    assert both.image_index.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert torch.equal(both.labels[::2], both.labels[1::2])
    assert torch.equal(both.labels[::2], first[1].labels)


@pytest.mark.parametrize("embed", [PACKED, FRESH], ids=["packed", "fresh"])
def test_too_few_masks_for_one_step_are_an_error(embed, choose):
    with pytest.raises(DataError, match="fewer than 26 training masks"):
        choose(embed, sampling(batch_size=13, world=2))


def test_embeddings_of_another_base_are_refused(choose, tmp_path):
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"other weights")
    found = hashlib.sha256(b"other weights").hexdigest()[:12]
    with pytest.raises(CheckpointError, match=rf"other\.safetensors is {found}"):
        choose(PACKED, sampling(), checkpoint=other)


def test_missing_embeddings_are_an_error_that_names_the_stage(choose, tmp_path):
    with pytest.raises(DataError, match=r"nothing lacks \[.*run `dvc repro embed`"):
        choose(PACKED, sampling(), store=tmp_path / "nothing")


@pytest.fixture
def stepped(make_base):
    """A model in training with its loss, and what its batches are drawn with."""

    def make(variant):
        torch.manual_seed(2)
        step = TrainingStep(build_trainable(make_base(), variant), variant, outline=1.0).train()
        return step, dataclasses.replace(SAMPLING, edges=getattr(variant, "gradient", None))

    return make


@pytest.mark.parametrize("variant", [pa_sam(), image_adapter()], ids=["pa_sam", "image_adapter"])
def test_edges_that_come_with_a_batch_give_the_same_losses_to_the_bit(variant, stepped, store):
    step, sampling = stepped(variant)
    with torch.no_grad():  # an adapter that starts at nothing would show nothing
        for parameter in step.parameters():
            parameter += 0.01 * torch.randn_like(parameter) * parameter.requires_grad
    batch = CachedBatches(store, sampling, epoch=0)[0]
    assert batch.edges.shape == (3, 1, 32, 32)
    assert batch.edges.unique().tolist() == [0, 1]

    def losses(edges):
        terms = step(dataclasses.replace(batch, edges=edges), mining="none", generator=None)
        return {name: term.item() for name, term in terms.items()}

    found_in_the_step = losses(None)
    assert losses(batch.edges) == found_in_the_step
    assert losses(torch.zeros_like(batch.edges)) != found_in_the_step


@pytest.mark.parametrize(
    "variant", [hq_sam(), pa_sam(), image_adapter()], ids=["hq_sam", "pa_sam", "image_adapter"]
)
def test_a_step_of_training_reads_nothing_back_from_its_device(
    variant, stepped, store, monkeypatch
):
    """A GPU is far behind the program that feeds it; whatever is read of it has to be waited for.

    On torch's device without memory nothing can be read at all.
    """
    step, sampling = stepped(variant)
    step.to("meta")
    monkeypatch.setattr(torch, "autocast", lambda *_given, **_named: contextlib.nullcontext())
    batch = on(CachedBatches(store, dataclasses.replace(sampling, mix="effective"), epoch=1)[0])
    for seen in (Devices(), Devices()):  # what never changes is brought there in the first
        with seen:
            terms = step(batch, mining=step.mining_in(1), generator=None)
            terms["loss"].backward()
    assert seen.found == {"meta"}, "numbers are made elsewhere and have to be brought"


WITHOUT_ORDER = {
    "_adaptive_avg_pool2d_backward", "_adaptive_avg_pool3d_backward", "_ctc_loss_backward",
    "_embedding_bag_backward", "adaptive_max_pool2d_backward", "avg_pool3d_backward", "bincount",
    "cumsum", "fractional_max_pool2d_backward", "fractional_max_pool3d_backward",
    "grid_sampler_2d_backward", "grid_sampler_3d_backward", "histc", "kthvalue",
    "max_pool3d_with_indices_backward", "max_unpool2d", "max_unpool3d", "median",
    "nll_loss2d_forward", "put_", "reflection_pad1d_backward", "reflection_pad2d_backward",
    "reflection_pad3d_backward", "replication_pad1d_backward", "replication_pad2d_backward",
    "replication_pad3d_backward", "scatter_reduce", "upsample_bicubic2d_backward",
    "upsample_linear1d_backward", "upsample_trilinear3d_backward",
}  # fmt: skip
"""What torch's documentation of `use_deterministic_algorithms` says is an error on a GPU."""


@pytest.mark.parametrize(
    "variant", [hq_sam(), pa_sam(), image_adapter()], ids=["hq_sam", "pa_sam", "image_adapter"]
)
def test_no_operation_of_a_step_lacks_a_kernel_that_gives_the_same_bits_each_time(
    variant, stepped, store, monkeypatch
):
    step, sampling = stepped(variant)
    step.to("meta")
    monkeypatch.setattr(torch, "autocast", lambda *_given, **_named: contextlib.nullcontext())
    batch = on(CachedBatches(store, dataclasses.replace(sampling, mix="effective"), epoch=1)[0])
    with Devices() as seen, reproducible(on=True):
        step(batch, mining=step.mining_in(1), generator=None)["loss"].backward()
    assert "_softmax_backward_data" in seen.operations
    assert sorted(seen.operations & WITHOUT_ORDER) == []


def on(part, device="meta"):
    """A copy of a dataclass with all its tensors on a device."""
    if isinstance(part, list):
        return [on(each) for each in part]
    if torch.is_tensor(part):
        return part.to(device)
    if not dataclasses.is_dataclass(part):
        return part
    names = [field.name for field in dataclasses.fields(part)]
    return dataclasses.replace(part, **{name: on(getattr(part, name)) for name in names})


class Devices(TorchDispatchMode):
    """Notes every operation, and the devices of the tensors that they make."""

    def __init__(self):
        super().__init__()
        self.found, self.operations = set(), set()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        made = operation(*args, **(kwargs or {}))
        self.operations.add(operation.overloadpacket.__name__)
        self.found |= {t.device.type for t in tree_leaves(made) if torch.is_tensor(t)}
        return made


def test_a_batch_is_pinned_with_all_its_prompts(store, monkeypatch):
    batch = CachedBatches(store, dataclasses.replace(SAMPLING, edges="image"), epoch=0)[0]
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor.clone())
    pinned = batch.pin_memory()
    assert same(flat(pinned), flat(batch))
    own = {part.data_ptr() for part in flat(batch)}
    assert not own & {part.data_ptr() for part in flat(pinned)}


def objects_in(pictures):
    """Batches of views of these pictures, 64 pixels a side."""
    return ObjectBatches(
        pictures, sampler=ObjectSampler(pictures, generated_fraction=0.5),
        views=ViewMix(whole=0.0, crop=0.0), side=64, full_side=64, batch_size=1,
        prompts_per_image=2, box_fraction=0.5, seed=1,
    )  # fmt: skip


def test_a_batch_of_objects_is_pinned_with_all_its_tensors(monkeypatch):
    batch = objects_in([picture("s", rectangle(40, 80, 4, 3, 40, 8))])[0]
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor.clone())
    kept, pinned = (
        [part for part in vars(each).values() if torch.is_tensor(part)]
        for each in (batch, batch.pin_memory())
    )
    assert len(kept) == 5
    assert same(pinned, kept)
    assert not {part.data_ptr() for part in kept} & {part.data_ptr() for part in pinned}


@pytest.mark.parametrize("padded", [False, True])
def test_an_image_and_all_its_masks_are_mirrored_turned_and_padded_alike(padded, monkeypatch):
    monkeypatch.setattr("pasam.training.object_batches._recoloured", lambda image, rng: image)
    monkeypatch.setattr("pasam.training.object_batches.TURN_FRACTION", 0.75)
    masks = [rectangle(40, 80, 4, 3, 40, 8), rectangle(40, 80, 60, 20, 16, 18)]
    image = np.dstack([20 + (mask > 0) * np.uint8(180) for mask in (*masks, masks[0] | masks[1])])
    drawn = dataclasses.replace(picture("s", *masks), image=image)
    batches, seen = objects_in([drawn]), set()
    for seed in range(40):
        rng = np.random.default_rng(seed)
        view = batches._look(drawn, 0, (0, 0, 80, 40), rng, padded=padded)
        inside = foreground(view.union) | True
        if padded:
            inside = (view.image != np.rint(PIXEL_MEAN).astype(np.uint8)).any(axis=-1)
            assert inside.sum() == 64 * 32
        shown = [view.fine[0], view.fine[1], view.union, view.coarse[0], view.coarse[1]]
        for mask, channel in zip(shown, (0, 1, 2, 0, 1), strict=True):
            assert not mask[~inside].any()
            assert (((view.image[..., channel] > 110) == (mask > 127)) | ~inside).mean() > 0.99
        seen.add(foreground(view.fine[0]).tobytes())
    assert len(seen) >= 8


@pytest.mark.parametrize("turned", [False, True])
def test_how_near_a_zoom_comes_is_told_by_an_objects_longer_share_of_the_sides(turned):
    long, speck = rectangle(400, 100, 50, 20, 4, 360), rectangle(400, 100, 50, 200, 2, 2)
    spans = []
    for mask in (long, speck):
        drawn = picture("s", mask.T.copy() if turned else mask)
        batches, rng = objects_in([drawn]), np.random.default_rng(0)
        windows = np.array([batches._zoom(drawn, 0, rng) for _ in range(60)])
        spans.append(windows[:, 2 + (not turned)] - windows[:, int(not turned)])
    assert spans[0].min() >= 311  # 400 times the least stretch
    assert spans[1].min() >= 12  # a view of 64 pixels shows 16 of the longer side, stretched
    assert np.median(spans[1]) < 32


def test_a_zoom_stretches_either_side_on_its_own():
    drawn = picture("s", rectangle(400, 400, 100, 150, 60, 60))
    batches, rng = objects_in([drawn]), np.random.default_rng(0)
    windows = np.array([batches._zoom(drawn, 0, rng) for _ in range(100)])
    wide, tall = (windows[:, 2:] - windows[:, :2]).T
    shapes = (wide / tall)[np.maximum(wide, tall) < 400]
    assert 0.6 < shapes.min() < 0.75
    assert 1.33 < shapes.max() < 1.67


@pytest.mark.parametrize("before", [False, True])
def test_numbers_near_nothing_are_afterwards_taken_as_they_were_before(before):
    tiny = torch.tensor(1e-40)
    try:
        torch.set_flush_denormal(before)
        with flushed_denormals():
            assert tiny.mul(1).item() == 0
        assert (tiny.mul(1).item() == 0) is before
    finally:
        torch.set_flush_denormal(False)


def test_which_others_a_step_prompts_for_is_drawn_and_every_sampled_object_is_among_them():
    views = [SimpleNamespace(fine=dict.fromkeys(shown)) for shown in ([3, 0, 1, 2], [5])]
    batches = objects_in([picture("s", rectangle(64, 64, 4, 4, 40, 8))])
    batches.batch_size = 2
    found = [batches._objects(views, np.random.default_rng(seed)) for seed in range(60)]
    assert all(len(chosen) == 4 and {(0, 3), (1, 5)} < set(chosen) for chosen in found)
    assert all(chosen == sorted(chosen) for chosen in found)
    asked = {tuple(k for row, k in chosen if row == 0 and k != 3) for chosen in found}
    assert asked == {(0, 1), (0, 2), (1, 2)}


def test_objects_are_of_one_size_within_an_octave_of_their_extent():
    squares = [rectangle(100, 200, 0, 0, 2 * side, side) for side in (26, 48, 52)]
    ((groups, fractions),) = ObjectSampler([picture("s", *squares)], generated_fraction=0.5).sizes
    assert [group.tolist() for group in groups] == [[[0, 0], [0, 1]], [[0, 2]]]
    assert fractions[0] / fractions[1] == pytest.approx(2**0.5)


@pytest.mark.parametrize("decode", ["whole", "near"])
def test_fresh_views_are_decoded_as_the_training_says(decode, tmp_path, monkeypatch):
    fixed = {"batch_size": 3, "seed": 5, "accumulate": 1, "decode": decode}
    trainee = SimpleNamespace(variant=hq_sam())
    fabric = SimpleNamespace(global_rank=0, world_size=1)
    seen, mask = [], np.zeros((40, 30), np.uint8)
    mask[5:30, 4:20] = 255

    def noted(task, *, decode, **how):
        seen.append(decode)
        return make_view(task, **how)

    monkeypatch.setattr(samples, "make_view", noted)
    batches = crops(tmp_path, mask, jitter=(1.0, 1.0))
    batches.sampling = _sampling(trainee, SimpleNamespace(**fixed), 32, fabric)
    batches[0]
    assert seen == [decode] * 3
