"""Batches that are drawn object by object: which set, which size, and how near the view goes.

Sampling by image shows a base what its largest sets show, mostly large objects. Here a set is drawn
first, then a size within it, then an object; and some views zoom, so that a small object is seen
at any size. A batch is a function of the seed and the step alone, so that neither the number of
workers nor an interruption changes what is seen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from pasam.errors import DataError
from pasam.masks.images import foreground
from pasam.masks.prompts import foreground_points, jittered_box, tight_box
from pasam.models.base_sam import PIXEL_MEAN
from pasam.training.annotated import GENERATED, Annotated, unpack
from pasam.training.samples import each_tensor

# Shapes: B images, N prompts, S pixels a side, m = S / 2 mask pixels a side, k points.

TEMPER = 0.5
"""Sets and sizes are drawn by their number of images or objects to this power: 0 would draw a set
of one photograph as often as one of 500, 1 would sample by image."""
LEAST_PIXELS = 24
"""Objects of which a view shows fewer pixels are not prompted for."""
LEAST_VISIBLE = 0.35
"""Objects of which a view shows a smaller part are not prompted for, the sampled one apart."""
LEAST_EXTENT = 8
"""Zoomed views show the sampled object at this extent in pixels, or more ..."""
MOST_EXTENT_FRACTION = 0.85
"""... up to this fraction of the view's side ..."""
MOST_ENLARGED = 4.0
"""... but never enlarged more than this."""
TIGHT_FRACTION = 0.5
"""Boxes that are tight, as benchmarks draw them; the others are jittered, as SAM was trained."""
BOX_ROUNDS = (0.85, 0.10, 0.05)
"""How often a step that prompts with boxes corrects its answer not at all, once, twice."""
POINT_ROUNDS = (0.35, 0.30, 0.35)
"""How often a step that prompts with one point corrects its answer not at all, once, twice."""
ONE_POINT_FRACTION = 0.7
"""Steps with points that begin with a single one; the others show up to `MOST_POINTS`."""
MOST_POINTS = 8
FEEDBACK_FRACTION = 0.7
"""Corrections that see the last answer as a mask prompt; the others see the clicks alone."""
PADDED_FRACTION = 0.25
"""Whole images that keep their aspect and are padded, as `SamPredictor` resizes; the others are
squashed, as evaluation does."""
GREY_FRACTION = 0.08
TURN_FRACTION = 0.1

Window = tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class ViewMix:
    """Fractions of the views, each in [0, 1]; the rest is a zoom on the sampled object."""

    whole: float
    """Views of the whole image, squashed to the square, as evaluation sees it."""
    crop: float
    """Views of a random part that shows the sampled object, squashed to the square."""


@dataclass  # Fabric moves and casts the fields in place, so it cannot be frozen
class ObjectBatch:
    """What one step sees."""

    images: Tensor
    """Pixels, uint8 (B, 3, S, S)."""
    targets: Tensor
    """Coarse masks, 0 or 1, (N, m, m)."""
    detail: Tensor
    """What the features must not forget, in [0, 1]: RGB and all fine masks in one, (B, 4, m, m)."""
    image_index: Tensor
    """Image of each prompt, int64 (N,)."""
    boxes: Tensor | None
    """Corners in pixels, (N, 4), or None when the step prompts with points."""
    points: Tensor | None
    """Foreground points x, y in pixels, (N, k, 2), or None when the step prompts with boxes."""
    rounds: int
    """How often the step corrects its answer by a click before the answer counts."""
    feedback: bool
    """Whether corrections see the last answer as a mask prompt."""

    def pin_memory(self) -> ObjectBatch:
        """Return a copy in memory from which a GPU fetches while it works; for torch's loaders."""
        return each_tensor(self, Tensor.pin_memory)


class ObjectSampler:
    """Draw objects by set, then by size.

    Args:
        pictures: What there is.
        generated_fraction: Share of the draws that go to generated scenes, where both kinds exist.
        emphasis: Factor by which sets are drawn more often; 1 where a set is not named.
    """

    def __init__(
        self,
        pictures: Sequence[Annotated],
        *,
        generated_fraction: float,
        emphasis: Mapping[str, float] | None = None,
    ) -> None:
        by_set: dict[str, list[int]] = defaultdict(list)
        for number, picture in enumerate(pictures):
            by_set[picture.dataset].append(number)
        if not by_set:
            raise DataError("There is nothing to train on: no photographs and no generated scenes.")
        self.names = sorted(by_set)
        weights = np.array(
            [len(by_set[name]) ** TEMPER * (emphasis or {}).get(name, 1.0) for name in self.names]
        )
        drawn = np.array([name == GENERATED for name in self.names])
        if drawn.any() and not drawn.all():
            weights[drawn] *= generated_fraction / weights[drawn].sum()
            weights[~drawn] *= (1 - generated_fraction) / weights[~drawn].sum()
        self.fractions = weights / weights.sum()
        self.sizes = [_by_size(pictures, by_set[name]) for name in self.names]

    def draw(self, rng: np.random.Generator) -> tuple[int, int]:
        """Draw one object, as (picture, object)."""
        bins, fractions = self.sizes[_choose(self.fractions, rng)]
        objects = bins[_choose(fractions, rng)]
        picture, index = objects[int(rng.integers(len(objects)))]
        return int(picture), int(index)


def _by_size(
    pictures: Sequence[Annotated], numbers: Sequence[int]
) -> tuple[list[NDArray[np.int64]], NDArray[np.float64]]:
    """Group objects by octaves of their extent, with each group's fraction of the draws."""
    bins: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for number in numbers:
        for index, extent in enumerate(pictures[number].extents()):
            bins[int(np.floor(np.log2(extent)))].append((number, index))
    groups = [np.asarray(bins[octave], np.int64) for octave in sorted(bins)]
    weights = np.array([len(group) ** TEMPER for group in groups])
    return groups, weights / weights.sum()


def _choose(fractions: NDArray[np.float64], rng: np.random.Generator) -> int:
    return min(
        int(np.searchsorted(np.cumsum(fractions), rng.random(), side="right")), len(fractions) - 1
    )


@dataclass(frozen=True, slots=True)
class ObjectView:
    """What the network sees of a picture, and of which objects it may be asked."""

    image: NDArray[np.uint8]
    """RGB, (S, S, 3)."""
    union: NDArray[np.uint8]
    """All fine masks in one, 0..255, (S, S)."""
    fine: dict[int, NDArray[np.uint8]]
    """Fine masks of the objects that are shown, the sampled one first, 0..255, (S, S)."""
    coarse: dict[int, NDArray[np.uint8]]
    """Their coarse masks, 0..255, (S, S)."""


class ObjectBatches(Dataset[ObjectBatch]):
    """Batch number t of a training.

    Args:
        pictures: What there is.
        sampler: Which objects are drawn.
        views: How often a view is whole, a crop, a zoom.
        side: Input side S.
        full_side: Input side of the finished base: views at a smaller side come as near, so that
            objects have the size in pixels at which the base will meet them.
        batch_size: Images per step.
        prompts_per_image: Objects per image and step, on average.
        box_fraction: Steps that prompt with boxes; the others prompt with points.
        seed: Seed of objects, views and prompts.
    """

    def __init__(
        self,
        pictures: Sequence[Annotated],
        *,
        sampler: ObjectSampler,
        views: ViewMix,
        side: int,
        full_side: int,
        batch_size: int,
        prompts_per_image: int,
        box_fraction: float,
        seed: int,
    ) -> None:
        self.pictures = pictures
        self.sampler = sampler
        self.views = views
        self.side = side
        self.full_side = full_side
        self.batch_size = batch_size
        self.prompts_per_image = prompts_per_image
        self.box_fraction = box_fraction
        self.seed = seed

    def __getitem__(self, step: int) -> ObjectBatch:
        """Make batch number `step`; there is no last one."""
        rng = np.random.default_rng([self.seed, 4, step])
        with_box = bool(rng.random() < self.box_fraction)
        count = 1 if rng.random() < ONE_POINT_FRACTION else int(rng.integers(2, MOST_POINTS + 1))
        rounds = _choose(np.array(BOX_ROUNDS if with_box else POINT_ROUNDS), rng)
        rounds = rounds if with_box or count == 1 else 0
        views = [self.view(*self.sampler.draw(rng), rng) for _ in range(self.batch_size)]
        chosen = self._objects(views, rng)
        targets, prompts = [], []
        for row, index in chosen:
            fine, coarse = views[row].fine[index], views[row].coarse[index]
            seen = foreground(fine).sum() >= MOST_POINTS or not coarse.any()
            exact = fine if seen else coarse
            target = _halve(coarse) >= 0.5
            if not target.any():
                target = _halve(exact) > 0
            targets.append(target)
            prompts.append(_box(exact, rng) if with_box else _points(exact, count, rng))
        images = torch.from_numpy(np.stack([view.image for view in views]))
        stacked = torch.from_numpy(np.asarray(prompts, np.float32))
        return ObjectBatch(
            images=images.permute(0, 3, 1, 2).contiguous(),
            targets=torch.from_numpy(np.asarray(targets, np.float32)),
            detail=torch.from_numpy(np.stack([_detail(view.image, view.union) for view in views])),
            image_index=torch.tensor([row for row, _ in chosen], dtype=torch.int64),
            boxes=stacked if with_box else None,
            points=None if with_box else stacked,
            rounds=rounds,
            feedback=bool(rng.random() < FEEDBACK_FRACTION),
        )

    def _objects(
        self, views: Sequence[ObjectView], rng: np.random.Generator
    ) -> list[tuple[int, int]]:
        """Choose which objects a step prompts for, as (image, object), image by image.

        Every view's sampled object, then others that are shown, wherever they are; where there are
        too few, some are prompted for again: N is always batch_size * prompts_per_image.
        """
        wanted = self.batch_size * self.prompts_per_image
        first = [(row, next(iter(view.fine))) for row, view in enumerate(views)]
        others = [(row, index) for row, view in enumerate(views) for index in list(view.fine)[1:]]
        more = [others[int(i)] for i in rng.permutation(len(others))][: wanted - len(first)]
        again = rng.integers(len(first), size=max(0, wanted - len(first) - len(more)))
        return sorted(first + more + [first[int(i)] for i in again])

    def view(self, number: int, index: int, rng: np.random.Generator) -> ObjectView:
        """Draw a view of a picture for one of its objects.

        Args:
            number: The picture.
            index: The object that is sampled: the view shows it, at least in part.
            rng: Source of the draws.
        """
        picture = self.pictures[number]
        kind = rng.random()
        padded = False
        if kind < self.views.whole:
            window = self._whole(picture, index, rng)
            padded = bool(rng.random() < PADDED_FRACTION)
        elif kind < self.views.whole + self.views.crop:
            window = _crop(picture, index, rng)
        else:
            window = self._zoom(picture, index, rng)
        return self._look(picture, index, window, rng, padded=padded)

    def _whole(self, picture: Annotated, index: int, rng: np.random.Generator) -> Window:
        """Show everything; while the side is smaller, half the time a part at full scale."""
        height, width = picture.shape
        near = self.side / self.full_side
        if near == 1 or rng.random() < 0.5:
            return 0, 0, width, height
        size = round(width * near), round(height * near)
        return _window_round(picture, index, size, rng)

    def _zoom(self, picture: Annotated, index: int, rng: np.random.Generator) -> Window:
        """Show the sampled object at an extent that is uniform in its logarithm."""
        height, width = picture.shape
        x0, y0, x1, y1 = picture.boxes[index]
        extent = max((x1 - x0 + 1) / width, (y1 - y0 + 1) / height)  # fraction of the image's sides
        low, high = np.log(LEAST_EXTENT), np.log(MOST_EXTENT_FRACTION * self.side)
        seen = np.exp(rng.uniform(low, high)) / self.side  # fraction of the view's sides
        near = min(1.0, max(extent / seen, self.side / (MOST_ENLARGED * max(width, height))))
        stretch = np.exp(rng.uniform(-0.25, 0.25, 2))
        size = (
            min(width, max(8, round(width * near * stretch[0]))),
            min(height, max(8, round(height * near * stretch[1]))),
        )
        return _window_round(picture, index, size, rng)

    def _look(
        self,
        picture: Annotated,
        index: int,
        window: Window,
        rng: np.random.Generator,
        *,
        padded: bool,
    ) -> ObjectView:
        x0, y0, x1, y1 = window
        flip = bool(rng.random() < 0.5)
        turns = int(rng.integers(1, 4)) if rng.random() < TURN_FRACTION else 0
        smooth = bool(rng.random() < 0.5)
        inner = _inner((x1 - x0, y1 - y0), turns, self.side) if padded else (self.side, self.side)

        def place(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
            pixels = pixels[:, ::-1] if flip else pixels
            return _resized(np.rot90(pixels, turns), inner, smooth=smooth)

        def pad(pixels: NDArray[np.uint8], padding: Sequence[float]) -> NDArray[np.uint8]:
            return _padded(pixels, self.side, padding)

        shown: dict[int, NDArray[np.uint8]] = {}
        for other in [index, *(k for k in range(len(picture.boxes)) if k != index)]:
            bx0, by0, bx1, by1 = picture.boxes[other]
            across = min(x1, bx1 + 1) - max(x0, bx0)
            down = min(y1, by1 + 1) - max(y0, by0)
            whole = (bx1 - bx0 + 1) * (by1 - by0 + 1)
            if other != index and (min(across, down) <= 0 or across * down < LEAST_VISIBLE * whole):
                continue
            mask = pad(place(255 * unpack(picture.fine[other], window)), (0,))
            if foreground(mask).sum() >= LEAST_PIXELS or other == index:
                shown[other] = mask
            if len(shown) > 2 * self.prompts_per_image:
                break
        return ObjectView(
            image=pad(_recoloured(place(picture.image[y0:y1, x0:x1]), rng), PIXEL_MEAN),
            union=pad(place(255 * unpack(picture.union, window)), (0,)),
            fine=shown,
            coarse={k: pad(place(255 * unpack(picture.coarse[k], window)), (0,)) for k in shown},
        )


def _crop(picture: Annotated, index: int, rng: np.random.Generator) -> Window:
    """Show a random part of at least a sixth of the image, of a random shape."""
    height, width = picture.shape
    fraction, shape = np.sqrt(rng.uniform(1 / 6, 1)), np.exp(rng.uniform(-0.3, 0.3))
    size = (
        min(width, max(8, round(width * fraction * shape))),
        min(height, max(8, round(height * fraction / shape))),
    )
    return _window_round(picture, index, size, rng)


def _window_round(
    picture: Annotated, index: int, size: tuple[int, int], rng: np.random.Generator
) -> Window:
    """Place a window so that it shows a foreground pixel of the object, and all of it if it can.

    Args:
        picture: The picture.
        index: The object.
        size: Width and height of the window, at most the picture's.
        rng: Source of the draws.
    """
    box = picture.boxes[index]
    mask = None
    start = []
    for axis, length in enumerate(size):
        limit = picture.shape[1 - axis]
        first, last = box[axis], box[axis + 2] + 1
        if last - first > length:  # only a part of it fits: choose the part by a pixel of it
            if mask is None:
                mask = unpack(picture.fine[index], (0, 0, picture.shape[1], picture.shape[0]))
                places = np.flatnonzero(mask)
                at = int(places[int(rng.integers(len(places)))])
                pixel = (at % mask.shape[1], at // mask.shape[1])
            low, high = pixel[axis] - length + 1, pixel[axis]
        else:
            low, high = last - length, first
        low, high = max(0, int(np.ceil(low))), min(limit - length, int(high))
        start.append(int(rng.integers(low, max(low, high) + 1)))
    return start[0], start[1], start[0] + size[0], start[1] + size[1]


def _inner(size: tuple[int, int], turns: int, side: int) -> tuple[int, int]:
    """Width and height of a window, turned and with its aspect kept, in a square of this side."""
    width, height = size if turns % 2 == 0 else size[::-1]
    scale = side / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _resized(
    pixels: NDArray[np.uint8], size: tuple[int, int], *, smooth: bool
) -> NDArray[np.uint8]:
    """Squash to (width, height); `smooth` averages where it shrinks, otherwise as evaluation."""
    shrinks = max(pixels.shape[:2]) > max(size)
    method = cv2.INTER_AREA if smooth and shrinks else cv2.INTER_LINEAR
    source = np.ascontiguousarray(pixels)
    return np.asarray(cv2.resize(source, size, interpolation=method), np.uint8)


def _padded(pixels: NDArray[np.uint8], side: int, padding: Sequence[float]) -> NDArray[np.uint8]:
    """Pad right and below to (side, side)."""
    height, width = pixels.shape[:2]
    if height == width == side:
        return pixels
    canvas = np.empty((side, side, *pixels.shape[2:]), np.uint8)
    canvas[...] = np.rint(padding).astype(np.uint8) if pixels.ndim == 3 else np.uint8(padding[0])
    canvas[:height, :width] = pixels
    return canvas


def _recoloured(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Change contrast, brightness and the balance of the channels; now and then drop the colour."""
    gain = rng.uniform(0.7, 1.3) * rng.uniform(0.9, 1.1, 3)
    offset = rng.uniform(-25, 25) + 128 * (1 - gain.mean())
    levels = np.arange(256)[:, None] * gain + offset
    table = np.clip(levels, 0, 255).astype(np.uint8)  # (256, 3)
    if rng.random() < GREY_FRACTION:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        image = np.repeat(grey[..., None], 3, axis=2)
    return np.stack([table[image[..., c], c] for c in range(3)], axis=-1)


def _halve(mask: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Average (S, S) over 2 x 2 pixels, to [0, 1]."""
    side = mask.shape[0] // 2
    halved = cv2.resize(mask, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(halved, np.float32) / np.float32(255)


def _detail(image: NDArray[np.uint8], union: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Stack RGB and the union of the fine masks at half the side, (4, m, m)."""
    return np.stack([*(_halve(image[..., c]) for c in range(3)), _halve(union)])


def _box(label: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.float32]:
    box = tight_box(label) if foreground(label).any() else _lone_box(label)
    moved = jittered_box(box, shape=label.shape, rng=rng)
    return box if rng.random() < TIGHT_FRACTION else moved


def _lone_box(label: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Box the brightest pixel of a label whose object is too small to have a foreground."""
    row, column = np.unravel_index(int(label.argmax()), label.shape)
    return np.array([column, row, column, row], np.float32)


def _points(label: NDArray[np.uint8], count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw points; a single one lies, half the time, where the object is thickest."""
    if foreground(label).sum() < count:
        return np.repeat(_lone_box(label)[None, :2], count, axis=0)
    if count == 1 and rng.random() < 0.5:
        depth = cv2.distanceTransform(foreground(label).astype(np.uint8), cv2.DIST_L2, 3)
        row, column = np.unravel_index(int(depth.argmax()), label.shape)
        return np.array([[column, row]], np.float32)
    return foreground_points(label, count=count, rng=rng)
