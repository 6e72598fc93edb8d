"""What a training on photographs sees: sets, sizes, zooms, and the prompts of each step."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
import torch
from photograph_pool import picture, rectangle, write_pool
from small_world import small_base

from pasam.errors import DataError
from pasam.masks.mask_files import read_mask
from pasam.models.losses import localised_cross_entropy, promptable_loss
from pasam.training import annotated, object_batches
from pasam.training.annotated import draw_scenes, read_photographs, unpack
from pasam.training.clickable import Clickable, worst_click
from pasam.training.object_batches import LEAST_EXTENT, ObjectBatches, ObjectSampler, ViewMix

WHOLE = ViewMix(whole=1.0, crop=0.0)
CROP = ViewMix(whole=0.0, crop=1.0)
ZOOM = ViewMix(whole=0.0, crop=0.0)


def large_and_small(dataset, *, larges, smalls, seed=0):
    """A picture of so many objects of 64 and of 8 pixels, 512 x 128."""
    masks = [rectangle(128, 512, 66 * k, 2, 64, 64) for k in range(larges)]
    masks += [rectangle(128, 512, 12 * k, 100, 8, 8) for k in range(smalls)]
    return picture(dataset, *masks, seed=seed)


def batches(pictures, *, views=WHOLE, **changes):
    values = {
        "side": 64, "full_side": 64, "batch_size": 4, "prompts_per_image": 2, "box_fraction": 0.5,
        "seed": 1,
    }  # fmt: skip
    sampler = ObjectSampler(pictures, generated_fraction=0.35)
    return ObjectBatches(pictures, sampler=sampler, views=views, **{**values, **changes})


def drawn(pictures, count=4000, **changes):
    sampler = ObjectSampler(pictures, **{"generated_fraction": 0.35, **changes})
    rng = np.random.default_rng(0)
    return Counter(sampler.draw(rng) for _ in range(count))


def test_sets_are_drawn_by_the_root_of_their_size():
    pictures = [picture("many", rectangle(64, 64, 8, 8, 30, 30), seed=k) for k in range(16)]
    pictures += [picture("few", rectangle(64, 64, 8, 8, 30, 30), seed=99)]
    counts = drawn(pictures)
    assert counts[16, 0] / 4000 == pytest.approx(1 / 5, abs=0.03)  # by image it would be 1 / 17


def test_an_emphasis_draws_a_set_more_often():
    pictures = [picture(name, rectangle(64, 64, 8, 8, 30, 30)) for name in ("plain", "stressed")]
    counts = drawn(pictures, emphasis={"stressed": 3.0})
    assert counts[1, 0] / 4000 == pytest.approx(0.75, abs=0.03)


def test_generated_scenes_have_their_share():
    pictures = [picture("generated", rectangle(64, 64, 8, 8, 30, 30), seed=k) for k in range(9)]
    pictures += [picture("cats", rectangle(64, 64, 8, 8, 30, 30))]
    assert drawn(pictures)[9, 0] / 4000 == pytest.approx(0.65, abs=0.03)
    assert drawn(pictures[:9])[0, 0] > 0  # alone, they are all there is


def test_within_a_set_sizes_are_drawn_before_objects():
    pictures = [large_and_small("things", larges=1, smalls=25)]
    counts = drawn(pictures)
    small = sum(n for (_, k), n in counts.items() if k > 0)
    assert small / 4000 == pytest.approx(5 / 6, abs=0.03)  # by object it would be 25 / 26


def test_nothing_to_train_on_is_an_error():
    with pytest.raises(DataError, match="nothing to train on"):
        ObjectSampler([], generated_fraction=0.5)


def test_zoomed_views_make_small_objects_large():
    made = batches([large_and_small("things", larges=0, smalls=1)], views=ZOOM, side=128)
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(200):
        mask = made.view(0, 0, rng).fine[0] >= 128
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        shares.append(max(np.ptp(rows), np.ptp(columns)) + 1)
    whole = 8  # rows of the object in a view of everything
    assert min(shares) >= LEAST_EXTENT / 2
    assert np.median(shares) > 2 * whole
    assert max(shares) > 4 * whole


def test_a_zoom_never_enlarges_without_end():
    made = batches([picture("s", rectangle(400, 400, 200, 200, 2, 2))], views=ZOOM, side=64)
    rng = np.random.default_rng(0)
    views = [made.view(0, 0, rng) for _ in range(50)]
    assert all((view.fine[0] >= 128).sum() < 64**2 / 4 for view in views)


@pytest.mark.long
@pytest.mark.parametrize("views", [WHOLE, CROP, ZOOM])
def test_every_view_shows_the_sampled_object(views):
    pictures = [large_and_small("things", larges=2, smalls=3)]
    made = batches(pictures, views=views, side=96, full_side=192)
    rng = np.random.default_rng(0)
    for index in range(5):
        for _ in range(30):
            view = made.view(0, index, rng)
            assert next(iter(view.fine)) == index
            assert view.fine[index].max() >= 64
            assert set(view.fine) == set(view.coarse)


def test_at_a_smaller_side_half_of_the_whole_views_come_as_near_as_at_full_side():
    made = batches([large_and_small("things", larges=1, smalls=0)], side=64, full_side=128)
    rng = np.random.default_rng(0)
    areas = [(made.view(0, 0, rng).fine[0] >= 128).sum() for _ in range(200)]
    far = 64 * 64 / (512 * 128) * 64**2
    near = np.mean([area > 2 * far for area in areas])
    assert near == pytest.approx(0.5, abs=0.15)


def test_a_batch_is_a_function_of_seed_and_step():
    pictures = [large_and_small("things", larges=2, smalls=3)]
    first, again = (batches(pictures, views=ZOOM)[7] for _ in range(2))
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.targets, again.targets)
    other = batches(pictures, views=ZOOM, seed=2)[7]
    assert not torch.equal(first.images, other.images)


def test_every_step_has_the_same_number_of_prompts():
    pictures = [
        large_and_small("many", larges=2, smalls=9),
        picture("one", rectangle(80, 80, 10, 10, 40, 40)),
    ]
    made = batches(pictures)
    for step in range(12):
        batch = made[step]
        assert len(batch.targets) == len(batch.image_index) == 8
        assert set(batch.image_index.tolist()) == {0, 1, 2, 3}
        given = batch.boxes if batch.points is None else batch.points
        assert given is not None
        assert len(given) == 8


def test_prompts_are_boxes_or_points_by_their_share():
    pictures = [large_and_small("things", larges=2, smalls=0)]
    steps = [batches(pictures, box_fraction=0.75)[k] for k in range(60)]
    boxes = sum(batch.boxes is not None for batch in steps)
    assert 35 <= boxes <= 55
    assert any(batch.rounds == 2 for batch in steps if batch.boxes is None)
    assert all(batch.rounds == 0 for batch in steps
               if batch.points is not None and batch.points.shape[1] > 1)  # fmt: skip


def test_single_points_lie_on_the_object():
    pictures = [picture("s", rectangle(64, 64, 10, 20, 20, 12))]
    made = batches(pictures, views=WHOLE, box_fraction=0.01)
    for step in range(10):
        batch = made[step]
        assert batch.points is not None
        for place, target in zip(batch.points[:, 0], batch.targets, strict=True):
            x, y = (place / 2).long().tolist()
            around = target[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2]
            assert around.any()


def test_an_object_that_nearly_vanishes_has_a_target_all_the_same():
    pictures = [picture("s", rectangle(128, 128, 31, 41, 2, 2))]  # one pixel of the view
    made = batches(pictures, views=WHOLE)
    for step in range(10):
        targets = made[step].targets
        assert (targets.flatten(1).sum(dim=1) > 0).all()
        assert set(targets.unique().tolist()) <= {0.0, 1.0}


def test_a_speck_without_a_coarse_mask_is_prompted_for_where_it_is():
    speck = picture("s", rectangle(128, 128, 100, 80, 2, 2))  # one pixel of the view
    made = batches([dataclasses.replace(speck, coarse=np.zeros_like(speck.coarse))])
    for batch in (made[step] for step in range(10)):
        given = batch.points if batch.boxes is None else batch.boxes.reshape(8, 2, 2)
        for places, target in zip(given.long() // 2, batch.targets, strict=True):
            assert places.unique(dim=0).flip(1).tolist() == target.argwhere().tolist()


def test_whole_views_are_squashed_or_padded():
    mask = rectangle(60, 120, 0, 0, 120, 60)
    made = batches([picture("wide", mask)], side=64)
    rng = np.random.default_rng(0)
    shares = {round(float((made.view(0, 0, rng).fine[0] >= 128).mean()), 1) for _ in range(60)}
    assert shares == {1.0, 0.5}


class Dice:
    """Gives the numbers that are put in, whatever is asked for."""

    def __init__(self, *numbers):
        self.random = iter(numbers).__next__


@pytest.mark.parametrize(
    ("numbers", "seen"),
    [
        ((0.19, 0.24), ("whole", True)), ((0.19, 0.25), ("whole", False)),
        ((0.2,), ("crop", False)), ((0.49,), ("crop", False)), ((0.51,), ("zoom", False)),
    ],
)  # fmt: skip
def test_views_are_whole_parts_or_zooms_by_their_fractions_and_only_whole_ones_are_padded(
    numbers, seen, monkeypatch
):
    pictures = [picture("s", rectangle(40, 60, 5, 5, 9, 9), rectangle(40, 60, 30, 20, 9, 9))]
    made = batches(pictures, views=ViewMix(whole=0.2, crop=0.3))
    for name, owner in (("whole", made), ("zoom", made), ("crop", object_batches)):
        monkeypatch.setattr(owner, f"_{name}", lambda p, index, rng, name=name: (name, index))
    made._look = lambda p, index, window, rng, *, padded: (window, index, padded)
    kind, padded = seen
    assert made.view(0, 1, Dice(*numbers)) == ((kind, 1), 1, padded)


@pytest.mark.parametrize("size", [(30, 12), (70, 40), (8, 8), (90, 40), (12, 36)])
@pytest.mark.parametrize("far", [False, True])
def test_a_part_shows_all_of_an_object_that_fits_and_of_another_some_pixel(size, far):
    mask = rectangle(40, 90, 20, 10, 1, 1) + rectangle(40, 90, 29, 21, 1, 1)
    if far:  # two pixels from corner to corner, which no part shows both of
        mask = rectangle(40, 90, 0, 0, 1, 1) + rectangle(40, 90, 89, 39, 1, 1)
    drawn, rng = picture("s", mask), np.random.default_rng(0)
    windows = [object_batches._window_round(drawn, 0, size, rng) for _ in range(200)]
    for x0, y0, x1, y1 in windows:
        assert (x1 - x0, y1 - y0) == size
        assert 0 <= x0 < x1 <= 90
        assert 0 <= y0 < y1 <= 40
        assert (mask[y0:y1, x0:x1] > 0).any()
        if not far:
            assert size[0] < 10 or x0 <= 20 < 30 <= x1
            assert size[1] < 12 or y0 <= 10 < 22 <= y1
    if size == (30, 12) and not far:  # wherever it shows all of the object
        assert {window[0] for window in windows} == set(range(21))
        assert {window[1] for window in windows} == {10}


def test_a_random_part_is_a_sixth_of_the_image_or_more_and_wide_or_tall():
    drawn, rng = picture("s", rectangle(120, 300, 100, 50, 9, 9)), np.random.default_rng(0)
    windows = [object_batches._crop(drawn, 0, rng) for _ in range(300)]
    wide, tall = np.array([((x1 - x0) / 300, (y1 - y0) / 120) for x0, y0, x1, y1 in windows]).T
    uncut = (wide < 1) & (tall < 1)
    assert (wide * tall)[uncut].min() == pytest.approx(1 / 6, abs=0.02)
    assert (wide * tall).max() > 0.85
    for ratio in (wide / tall, tall / wide):
        assert 1.6 < ratio[uncut].max() < np.exp(0.6) + 0.1


def test_how_often_an_answer_is_corrected_is_the_boxes_own_and_the_single_points_own(monkeypatch):
    monkeypatch.setattr(object_batches, "BOX_ROUNDS", (0.0, 1.0, 0.0))
    monkeypatch.setattr(object_batches, "POINT_ROUNDS", (0.0, 0.0, 1.0))
    made = batches([picture("s", rectangle(64, 64, 8, 8, 30, 30))], batch_size=1)
    seen = set()
    for batch in (made[step] for step in range(40)):
        kind = "box" if batch.points is None else min(2, batch.points.shape[1])
        seen.add((kind, batch.rounds))
        assert batch.points is None or batch.points.shape[1] <= 8
    assert seen == {("box", 1), (1, 2), (2, 0)}


@pytest.mark.parametrize(("across", "asked"), [(24, [0, 1]), (23, [0])])
def test_others_are_prompted_for_where_enough_pixels_of_them_are_shown(across, asked):
    two = picture("s", rectangle(64, 64, 4, 4, 20, 20), rectangle(64, 64, 30, 40, across, 1))
    view = batches([two])._look(two, 0, (0, 0, 64, 64), np.random.default_rng(0), padded=False)
    assert list(view.fine) == asked


def test_views_are_averaged_where_they_shrink_and_interpolated_where_they_grow():
    pixels = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
    small = object_batches._resized(pixels, (6, 4), smooth=True)
    mean = pixels.reshape(4, 2, 6, 2, 3).mean(axis=(1, 3))
    assert np.abs(small - mean).max() <= 1
    sharp, smooth = (object_batches._resized(pixels, (18, 20), smooth=s) for s in (False, True))
    assert sharp.shape == (20, 18, 3)
    assert np.array_equal(sharp, smooth)


def test_what_keeps_its_aspect_is_padded_right_and_below():
    image = np.random.default_rng(0).integers(0, 256, (2, 4, 3), np.uint8)
    padded = object_batches._padded(image, 4, (10.4, 20.6, 30.0))
    assert np.array_equal(padded[:2], image)
    assert (padded[2:] == [10, 21, 30]).all()
    mask = object_batches._padded(image.swapaxes(0, 1)[..., 0], 4, (0,))
    assert np.array_equal(mask[:, :2], image[..., 0].T)
    assert not mask[:, 2:].any()
    for turns, size in enumerate([(32, 16), (16, 32), (32, 16), (16, 32)]):
        assert object_batches._inner((80, 40), turns, 32) == size
    assert object_batches._inner((90, 1), 0, 30) == (30, 1)


def test_points_are_as_many_pixels_of_the_object_or_its_brightest_where_it_has_fewer():
    label = np.zeros((9, 12), np.uint8)
    label[3, 2:9], label[6, 4] = 200, 129
    rng = np.random.default_rng(0)
    points = object_batches._points(label, 8, rng)
    assert sorted(map(tuple, points)) == [*((x, 3) for x in range(2, 5)), (4, 6),
                                          *((x, 3) for x in range(5, 9))]  # fmt: skip
    label[6, 4], label[3, 5] = 128, 201
    assert object_batches._points(label, 8, rng).tolist() == [[5, 3]] * 8


def test_a_single_point_lies_half_the_time_where_the_object_is_thickest():
    label = rectangle(20, 30, 4, 3, 7, 7) + rectangle(20, 30, 11, 6, 15, 1)
    rng = np.random.default_rng(0)
    found = Counter(
        tuple(point) for _ in range(200) for point in object_batches._points(label, 1, rng)
    )
    assert found[7, 6] / 200 == pytest.approx(0.5, abs=0.1)
    assert len(found) > 30


def read(folder, **changes):
    return read_photographs(folder, **{"coarseness": 0.0, "workers": 1, **changes})


def test_the_order_of_the_manifests_rows_changes_nothing_but_that_of_the_masks(tmp_path):
    pool = write_pool(tmp_path)
    before = read(pool, coarseness=0.05)
    head, *rows = (pool / "manifest.csv").read_text().splitlines()
    swapped = [row for pair in zip(rows[1::2], rows[::2], strict=True) for row in pair]
    for order in (rows[::-1], swapped[-4:] + swapped[:-4]):
        (pool / "manifest.csv").write_text("\n".join([head, *order]))
        after = read(pool, coarseness=0.05)
        for one, other in zip(before, after, strict=True):
            assert np.array_equal(one.image, other.image)
            assert np.array_equal(one.fine[::-1], other.fine)


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


@pytest.mark.slow  # it starts processes
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


def masks(*rectangles):
    out = torch.zeros(1, 32, 32)
    for x, y, across, down in rectangles:
        out[0, y : y + down, x : x + across] = 1
    return out


def test_a_missed_part_is_clicked_on_the_object():
    click, sign = worst_click(masks() - 1.0, masks((4, 8, 9, 9)), side=64)
    assert sign.tolist() == [[1.0]]
    x, y = ((click[0, 0] + 0.5) / 2 - 0.5).tolist()
    assert abs(x - 8) <= 2
    assert abs(y - 12) <= 2


def test_an_answer_of_exactly_zero_is_ground():
    click, sign = worst_click(masks() * 0.0, masks((4, 8, 9, 9)), side=64)
    assert sign.tolist() == [[1.0]]
    click, sign = worst_click(masks((4, 8, 9, 9)) * 1e-6, masks(), side=32)
    (x, y), ground = click[0, 0].tolist(), sign.tolist()
    assert ground == [[0.0]]
    assert 4 <= x < 13
    assert 8 <= y < 17


def test_a_larger_surplus_is_clicked_as_ground():
    answer = 2 * masks((2, 2, 4, 4), (16, 16, 10, 10)) - 1
    click, sign = worst_click(answer, masks((2, 2, 4, 4), (2, 20, 3, 3)), side=64)
    assert sign.tolist() == [[0.0]]
    x, y = ((click[0, 0] + 0.5) / 2 - 0.5).tolist()
    assert 16 <= x < 26
    assert 16 <= y < 26


def test_a_thick_error_counts_more_than_a_long_thin_one():
    answer = masks() - 1.0
    click, _ = worst_click(answer, masks((0, 0, 32, 1), (20, 20, 6, 6)), side=32)
    assert click[0, 0, 1] >= 20


def test_every_click_is_on_an_error():
    torch.manual_seed(0)
    answer, target = torch.randn(20, 16, 16), (torch.rand(20, 16, 16) < 0.3).float()
    click, sign = worst_click(answer, target, side=16)
    for n in range(20):
        x, y = click[n, 0].round().long().tolist()
        assert target[n, y, x] == sign[n, 0]
        assert (answer[n, y, x] > 0) != (target[n, y, x] > 0.5)


def test_the_detail_head_says_colours_and_outlines_and_counts_by_its_weight():
    torch.manual_seed(0)
    model = Clickable(small_base(), detail_weight=3.0)
    with torch.no_grad():
        model.detail_head.weight.zero_()
        model.detail_head.bias.zero_()
        model.detail_head.bias[:48] = 0.5  # three colours of 16 pixels a cell
    wanted = torch.zeros(1, 4, 32, 32)
    wanted[:, 0], wanted[:, 3, :16] = 0.25, 1.0
    embedding = torch.randn(1, model.base.dim, 8, 8)
    found = model.with_detail({"loss": torch.tensor(7.0)}, embedding, wanted)
    detail = (0.25 + 0.5 + 0.5) / 3 + np.log(2)
    assert found["loss_detail"].item() == pytest.approx(detail)
    assert found["loss"].item() == pytest.approx(7 + 3 * detail)


def test_what_the_features_must_not_forget_is_seen_at_half_the_side():
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    union = rectangle(8, 8, 0, 0, 3, 8)
    detail = object_batches._detail(image, union)
    means = image.reshape(4, 2, 4, 2, 3).mean(axis=(1, 3)) / 255
    assert np.abs(detail[:3] - means.transpose(2, 0, 1)).max() < 0.003
    assert np.abs(detail[3] - [1, 0.5, 0, 0]).max() < 0.003


def test_colours_change_by_channel_and_now_and_then_all_are_grey():
    rng = np.random.default_rng(0)
    image = rng.integers(60, 190, (6, 6, 3), np.uint8)
    views = [object_batches._recoloured(image, rng) for _ in range(300)]
    order, grey = np.argsort(image[..., 0], axis=None, kind="stable"), 0
    for view in views:
        one = [np.unique(view[image[..., 0] == value, 0]) for value in np.unique(image[..., 0])]
        is_grey = any(len(values) > 1 for values in one)
        grey += is_grey
        if not is_grey:  # a brighter value stays brighter
            assert (np.diff(view[..., 0].ravel()[order].astype(int)) >= 0).all()
    assert 0.03 < grey / 300 < 0.14
    assert 90 < np.mean([view.mean() for view in views]) < 160


def test_a_masks_quality_is_its_overlap_however_sure_it_is_and_zero_is_ground():
    target = masks((4, 8, 9, 9))
    faint, none = 0.5 * (2 * target - 1), target - 1.0
    answers = torch.stack([faint, none, faint - 1, -faint], dim=1)
    ious = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    terms = promptable_loss(answers, ious, target, ambiguous=True)
    assert (terms["loss_quality"].item(), terms["iou"].item()) == (0.0, 1.0)
    terms = promptable_loss(answers.flip(1), ious, target, ambiguous=False)
    assert (terms["loss_quality"].item(), terms["iou"].item()) == (1.0, 0.0)


@pytest.fixture(scope="module")
def steps():
    pictures = [picture("s", rectangle(64, 64, 8, 8, 24, 24), rectangle(64, 64, 40, 36, 20, 20))]
    made = ObjectBatches(
        pictures, sampler=ObjectSampler(pictures, generated_fraction=0.5),
        views=ViewMix(whole=1.0, crop=0.0), side=64, full_side=64, batch_size=2,
        prompts_per_image=2, box_fraction=0.5, seed=1,
    )  # fmt: skip
    return [made[k] for k in range(80)]


@pytest.mark.long
@pytest.mark.parametrize("rounds", [0, 1, 2])
@pytest.mark.parametrize("kind", ["boxes", "points"])
def test_every_kind_of_step_teaches(steps, kind, rounds):
    batch = next(b for b in steps if getattr(b, kind) is not None and b.rounds == rounds)
    torch.manual_seed(0)
    model = Clickable(small_base(), detail_weight=0.5)
    terms = model(batch)
    terms["loss"].backward()
    assert torch.isfinite(terms["loss"])
    assert model.base.sam.image_encoder.trunk.stem.conv.weight.grad.any()
    assert (terms["loss_candidates"] > 0) == (kind == "points" and rounds == 0)


@pytest.mark.parametrize("feedback", [True, False])
@pytest.mark.parametrize("kind", ["boxes", "points"])
def test_corrections_add_clicks_to_the_prompt_and_the_last_answer_if_it_is_fed_back(
    steps, kind, feedback, monkeypatch
):
    asked = []
    predict = Clickable.predict

    def noted(self, embedding, image_index, prompt):
        asked.append(dict(prompt))
        answer = predict(self, embedding, image_index, prompt)
        answers.append(answer[0][:, 0].detach())
        return answer

    def judge(*given, **named):
        judged.append(named)
        return promptable_loss(*given, **named)

    answers, judged = [], []
    monkeypatch.setattr(Clickable, "predict", noted)
    monkeypatch.setattr("pasam.training.clickable.promptable_loss", judge)
    batch = next(b for b in steps if getattr(b, kind) is not None and b.rounds == 2)
    torch.manual_seed(0)
    Clickable(small_base(), detail_weight=0.5)(dataclasses.replace(batch, feedback=feedback))
    began = 0 if batch.points is None else batch.points.shape[1]
    for number, prompt in enumerate(asked):
        points, signs = prompt["points"], prompt["point_labels"]
        assert (0 if points is None else points.shape[1]) == began + number
        assert prompt["boxes"] is batch.boxes
        if number:
            click, sign = worst_click(answers[number - 1], batch.targets, side=64)
            assert torch.equal(points[:, -1:], click)
            assert torch.equal(signs[:, -1:], sign)
        fed = prompt.get("masks")
        assert (fed is not None) == (feedback and number > 0)
        assert fed is None or torch.equal(fed[:, 0], answers[number - 1])
    assert len(asked) == 3
    assert judged == [{"ambiguous": False, "cross_entropy": localised_cross_entropy}]


@pytest.mark.parametrize(("seen", "asked"), [(7, [0]), (8, [0, 1])])
def test_others_are_prompted_for_where_a_third_of_them_is_shown(seen, asked):
    two = picture("s", rectangle(64, 64, 4, 4, 20, 20), rectangle(64, 64, 30, 30, 22, 22))
    window = (0, 0, 64, 30 + seen)  # of 22 rows 0.35 are 7.7
    view = batches([two])._look(two, 0, window, np.random.default_rng(0), padded=False)
    assert list(view.fine) == list(view.coarse) == asked
    every = batches([two])._look(two, 1, window, np.random.default_rng(0), padded=False)
    assert list(every.fine) == [1, 0]  # the sampled one comes first, however little is seen of it


@pytest.mark.parametrize("box_fraction", [0.01, 0.99])
def test_prompts_are_drawn_from_the_fine_masks_and_the_answers_wanted_are_coarse(
    box_fraction, monkeypatch
):
    fine, coarse = rectangle(64, 64, 20, 20, 20, 20), rectangle(64, 64, 16, 16, 32, 32)
    drawn = picture("s", fine)
    hurried = dataclasses.replace(drawn, coarse=np.packbits(coarse[None] > 0, axis=-1))
    labels = []
    for name, given in (("_box", [0, 0, 9, 9]), ("_points", [[5, 5]])):
        monkeypatch.setattr(
            f"pasam.training.object_batches.{name}",
            lambda label, *_, given=given: labels.append(label) or np.float32(given),
        )
    batch = batches([hurried], box_fraction=box_fraction)[0]
    assert (batch.boxes is not None) == (box_fraction > 0.5)
    assert {int((label > 128).sum()) for label in labels} == {20 * 20}
    assert {int(target.sum()) for target in batch.targets} == {16 * 16}  # at half the side
