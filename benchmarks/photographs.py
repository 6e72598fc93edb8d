"""How good a base's own masks are on photographs: boxes and clicks, set by set.

    python benchmarks/photographs.py FOLDER --base tiny --weights pasam/packaged/tiny.safetensors

FOLDER has the pool's form (`manifest.csv` with split, dataset, image, mask), or is the word
`packages` for the photographs of the benchmark `photos`. Prints a table of
mIoU and mBIoU (the mean over masks) with 95 % intervals by photograph: the filled box, box prompts,
and one and three clicks. The first click lies where the object is thickest, the next ones where the
largest error is, with the last logits as a mask prompt; with `--zoom` boxes and clicks are answered
from near as the page answers them, the clicks without a mask prompt. Images are squashed to the
input's square, masks are judged at the photograph's size.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from pasam.data.package_photographs import PackagePhotograph, package_photographs
from pasam.evaluation.statistics import interval
from pasam.inference.image_prompt import image_prompt
from pasam.inference.predictor import PromptedModel
from pasam.inference.zoomed_boxes import predict_zoomed, zoom_window
from pasam.masks.images import FOREGROUND, read_image
from pasam.masks.mask_files import read_mask
from pasam.masks.overlap import boundary_iou, mask_iou
from pasam.masks.prompts import tight_box
from pasam.masks.transforms import squash
from pasam.models.base_sam import BaseSam
from pasam.models.build import SIZES, load_base
from pasam.models.segmenter import Segmenter
from pasam.training.annotated import read_pool_manifest
from pasam.workers import progress_bar

# Shapes: H, W of a photograph, S the input's side, m the side of mask logits, N masks of a
# photograph, k clicks.

LEVEL = 0.95
DRAWS = 2000


@dataclass(frozen=True, slots=True)
class Row:
    """The scores of one mask, in percent."""

    dataset: str
    image: str
    mask: str
    filled: float
    """IoU of the filled box."""
    box: float
    box_boundary: float
    click: float
    """IoU after one click."""
    clicks: float
    """IoU after three clicks."""
    clicks_boundary: float


@dataclass(frozen=True, slots=True, eq=False)
class Photograph:
    """What is measured on."""

    dataset: str
    image: str
    pixels: NDArray[np.uint8]
    """RGB, (H, W, 3)."""
    truths: dict[str, NDArray[np.bool_]]
    """Masks by name, (H, W) each."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="Photographs in the pool's form.")
    parser.add_argument("--base", choices=SIZES, default="tiny")
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--images", type=int, help="Photographs per set; all if left out.")
    parser.add_argument("--sets", nargs="*", help="Only these sets.")
    parser.add_argument("--clicks", type=int, default=3, help="Clicks; 0 leaves them out.")
    parser.add_argument(
        "--zoom", type=float, nargs="*", default=[],
        help="Windows in sides of the box, 1.5 3 as `predict` has them; none: no zoom.",
    )  # fmt: skip
    parser.add_argument("--rows", type=Path, help="Also write every mask's scores, as JSON lines.")
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    base = load_base(chosen.base, chosen.weights)
    rows: list[Row] = []
    if chosen.folder == Path("packages"):
        photographs = [_of_package(photograph) for photograph in package_photographs()]
    else:
        listed = _listed(chosen.folder, chosen.split, chosen.sets, chosen.images)
        photographs = [partial(_of_folder, chosen.folder, *entry) for entry in listed]
    for read in progress_bar(photographs, total=len(photographs), label="measuring"):
        rows += measure(base, read(), clicks=chosen.clicks, zoom=chosen.zoom)
    if chosen.rows:
        chosen.rows.write_text("".join(json.dumps(asdict(row)) + "\n" for row in rows))
    print(table(rows))  # noqa: T201


def _listed(
    folder: Path, split: str, sets: Sequence[str] | None, most: int | None
) -> Iterator[tuple[str, str, list[str]]]:
    """Yield set, image and masks; of large sets, images spread evenly over the list."""
    frame = read_pool_manifest(folder)
    frame = frame[frame["split"] == split]
    for dataset, rows in frame.groupby("dataset", sort=True):
        if sets and dataset not in sets:
            continue
        groups = [(str(image), list(part["mask"])) for image, part in rows.groupby("image")]
        count = len(groups) if most is None else min(most, len(groups))
        for number in np.linspace(0, len(groups) - 1, count).round().astype(int):
            yield str(dataset), *groups[number]


def _of_folder(folder: Path, dataset: str, image: str, masks: Sequence[str]) -> Photograph:
    truths = {path: read_mask(folder / path) > FOREGROUND for path in masks}
    return Photograph(dataset, image, read_image(folder / image), truths)


def _of_package(photograph: PackagePhotograph) -> Callable[[], Photograph]:
    def read() -> Photograph:
        pixels = photograph.read()
        shape = pixels.shape[0], pixels.shape[1]
        truths = {drawn.name: drawn.mask(shape) > FOREGROUND for drawn in photograph.objects}
        return Photograph(photograph.name, photograph.name, pixels, truths)

    return read


@torch.inference_mode()
def measure(
    base: BaseSam, photograph: Photograph, *, clicks: int, zoom: Sequence[float] = ()
) -> list[Row]:
    """Score all masks of a photograph.

    Args:
        base: The SAM.
        photograph: What is shown and what is true.
        clicks: How many clicks are given in all; 0 leaves their scores at 0.
        zoom: Boxes and clicks are looked at anew in windows of so many times their sides, where the
            nearest is smaller than the photograph; without any, at the whole photograph only.
    """
    pixels, truths = photograph.pixels, list(photograph.truths.values())
    square = torch.from_numpy(squash(pixels, base.side)).permute(2, 0, 1)[None]
    embedding = base.encode(square).embedding
    boxes = np.stack([tight_box(truth.astype(np.uint8) * 255) for truth in truths])
    by_box = _decode(base, embedding, boxes=_to_input(boxes.reshape(-1, 2), pixels, base))
    found = _at(by_box, pixels.shape)
    if zoom:
        found = _zoomed(base, pixels, boxes, found, zoom)
        clicked = _click_from_near(base, pixels, truths, clicks, zoom)
    else:
        clicked = _click(base, embedding, pixels, truths, clicks) if clicks else []
    rows = []
    for n, (name, truth) in enumerate(photograph.truths.items()):
        filled = np.zeros_like(truth)
        x0, y0, x1, y1 = boxes[n].astype(int)
        filled[y0 : y1 + 1, x0 : x1 + 1] = True
        first, last = (clicked[0][n], clicked[-1][n]) if clicked else (None, None)
        rows.append(
            Row(
                dataset=photograph.dataset,
                image=photograph.image,
                mask=name,
                filled=100 * mask_iou(truth, filled),
                box=100 * mask_iou(truth, found[n]),
                box_boundary=100 * boundary_iou(truth, found[n]),
                click=0.0 if first is None else 100 * mask_iou(truth, first),
                clicks=0.0 if last is None else 100 * mask_iou(truth, last),
                clicks_boundary=0.0 if last is None else 100 * boundary_iou(truth, last),
            )
        )
    return rows


def _zoomed(
    base: BaseSam,
    pixels: NDArray[np.uint8],
    boxes: NDArray[np.float32],
    found: NDArray[np.bool_],
    zooms: Sequence[float],
) -> NDArray[np.bool_]:
    """Look at every small box from near, and leave the others as they were found."""
    model, looked = _model(base), found.copy()
    for n, box in enumerate(boxes):
        if zoom_window(box, pixels.shape, zoom=zooms[0]) is not None:
            looked[n] = predict_zoomed(model, pixels, [box], zooms=zooms)[0].masks[0]
    return looked


def _model(base: BaseSam) -> PromptedModel:
    segmenter = Segmenter(base=base, decoder=base.sam.mask_decoder)
    return PromptedModel(segmenter, name="sam", base="", resize="squash")


def _click_from_near(
    base: BaseSam,
    pixels: NDArray[np.uint8],
    truths: Sequence[NDArray[np.bool_]],
    clicks: int,
    zooms: Sequence[float],
) -> list[NDArray[np.bool_]]:
    """Return the masks after every click, each (N, H, W), as the page answers them."""
    model = _model(base)
    whole = model.embed(pixels)
    answers = [np.zeros((len(truths), *pixels.shape[:2]), np.bool_) for _ in range(clicks)]
    for n, truth in enumerate(truths):
        places: list[tuple[int, int]] = []
        labels: list[int] = []
        for number, answer in enumerate(answers):
            last = answers[number - 1][n] if number else answer[n]
            place, on = thickest(truth, last)
            places, labels = [*places, place], [*labels, on]
            prompt = image_prompt(points=places, labels=labels)
            (found,) = predict_zoomed(model, pixels, [prompt], zooms=zooms, embedded=whole)
            answer[n] = found.masks[0]
    return answers


def _click(
    base: BaseSam,
    embedding: Tensor,
    pixels: NDArray[np.uint8],
    truths: Sequence[NDArray[np.bool_]],
    clicks: int,
) -> list[NDArray[np.bool_]]:
    """Return the masks after every click, each (N, H, W); later clicks see the last logits."""
    answers: list[NDArray[np.bool_]] = []
    places = np.zeros((len(truths), 0, 2), np.float32)
    labels = np.zeros((len(truths), 0), np.float32)
    logits = None
    for _ in range(clicks):
        last = answers[-1] if answers else np.zeros((len(truths), *pixels.shape[:2]), np.bool_)
        new = [thickest(truth, answer) for truth, answer in zip(truths, last, strict=True)]
        places = np.concatenate([places, np.array([[place] for place, _ in new])], axis=1)
        labels = np.concatenate([labels, np.array([[on] for _, on in new], np.float32)], axis=1)
        points = _to_input(places.reshape(-1, 2), pixels, base).reshape(*labels.shape, 2)
        logits = _decode(
            base, embedding, points=points, labels=torch.from_numpy(labels), masks=logits
        )
        answers.append(_at(logits, pixels.shape))
    return answers


def thickest(truth: NDArray[np.bool_], answer: NDArray[np.bool_]) -> tuple[tuple[int, int], int]:
    """Find the pixel x, y farthest from the rim of what is missed or surplus, and which it is."""
    best, place, sign = -1.0, (0, 0), 1
    for error, on in ((truth & ~answer, 1), (answer & ~truth, 0)):
        framed = np.pad(error.astype(np.uint8), 1)
        depth = cv2.distanceTransform(framed, cv2.DIST_L2, 5)[1:-1, 1:-1]
        row, column = np.unravel_index(int(depth.argmax()), depth.shape)
        if depth[row, column] > best:
            best, place, sign = float(depth[row, column]), (int(column), int(row)), on
    return place, sign


def _to_input(xy: NDArray[np.float32], pixels: NDArray[np.uint8], base: BaseSam) -> Tensor:
    """Bring x, y of the photograph, (..., 2), to pixels of the squashed input."""
    scale = np.array([base.side / pixels.shape[1], base.side / pixels.shape[0]], np.float32)
    return torch.from_numpy(np.asarray((xy + 0.5) * scale - 0.5, np.float32))


def _decode(
    base: BaseSam,
    embedding: Tensor,
    *,
    boxes: Tensor | None = None,
    points: Tensor | None = None,
    labels: Tensor | None = None,
    masks: Tensor | None = None,
) -> Tensor:
    """Return the first mask's logits, (N, 1, m, m)."""
    boxes = None if boxes is None else boxes.reshape(-1, 4)
    given = next(part for part in (boxes, points) if part is not None)
    found = []
    for start in range(0, len(given), 16):
        part = slice(start, start + 16)
        sparse, dense = base.embed_prompts(
            points=None if points is None else points[part],
            point_labels=None if labels is None else labels[part],
            boxes=None if boxes is None else boxes[part],
            masks=None if masks is None else masks[part],
        )
        logits, _ = base.sam.mask_decoder.decode(
            image_embeddings=embedding,
            image_pe=base.image_pe(),
            sparse=sparse,
            dense=dense,
            image_index=torch.zeros(len(sparse), dtype=torch.int64),
        )
        found.append(logits[:, :1])
    return torch.cat(found)


def _at(logits: Tensor, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Bring logits to the photograph's size and threshold them, (N, H, W)."""
    resized = F.interpolate(logits, shape[:2], mode="bilinear", align_corners=False)
    return np.asarray((resized[:, 0] > 0).numpy(), np.bool_)


SCORES = ("filled", "box", "box_boundary", "click", "clicks", "clicks_boundary")


def table(rows: Sequence[Row]) -> str:
    """Write the means by set, and over sets, as Markdown; intervals are of the box's mIoU."""
    lines = [
        "| set | photographs | masks | filled box | box mIoU | 95 % | box mBIoU | 1 click | "
        "3 clicks | 3 clicks mBIoU |",
        "| --- | --: | --: | --: | --: | --- | --: | --: | --: | --: |",
    ]
    sets = sorted({row.dataset for row in rows})
    means = []
    for name in sets:
        part = [row for row in rows if row.dataset == name]
        mean = {score: float(np.mean([getattr(row, score) for row in part])) for score in SCORES}
        means.append(mean)
        low, high = interval_by_photograph(part, "box")
        photographs = len({row.image for row in part})
        ends = f"{low:.0f} to {high:.0f}" if photographs > 1 else ""
        lines.append(_line(name, f"{photographs} | {len(part)}", mean, ends))
    over = {score: float(np.mean([mean[score] for mean in means])) for score in SCORES}
    lines.append(_line("mean of sets", f"{len({r.image for r in rows})} | {len(rows)}", over, ""))
    return "\n".join(lines)


def _line(name: str, counts: str, mean: dict[str, float], interval: str) -> str:
    cells = [f"{mean[score]:.1f}" for score in SCORES]
    return f"| {name} | {counts} | " + " | ".join([*cells[:2], interval, *cells[2:]]) + " |"


def interval_by_photograph(rows: Sequence[Row], score: str) -> tuple[float, float]:
    """Find the 95 % interval of the mean over masks, by photographs with all their masks."""
    found = interval(
        {"": np.array([getattr(row, score) for row in rows], np.float64)},
        units_by_stratum={"": [row.image for row in rows]},
        n_resamples=DRAWS, confidence=LEVEL, seed=0,
    )  # fmt: skip
    low, high = np.clip([found.low, found.high], 0, 100)
    return float(low), float(high)


if __name__ == "__main__":
    main()
