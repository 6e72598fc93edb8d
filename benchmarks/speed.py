"""How fast the parts are that a run at the paper's size spends its time in, on one CPU thread.

    python benchmarks/speed.py            # all rows, some four minutes; --rows band encoder

Rows with a reference here alternate with it, A B A B, on the same inputs in one process, and give
the ratio of the medians. PA-SAM's own code cannot be shipped, so the decoder's rows are held
against figures recorded once on a machine of 2 GHz class, and say so: their ratio is no better than
the likeness of the machines.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import torch
from torch.nn import functional as F

import pasam.models.before_segment_anything  # noqa: F401
from pasam.config.params_file import load_variant
from pasam.evaluation.scores import Truth, score_mask
from pasam.inference.image_transform import ImageTransform
from pasam.masks.overlap import Region, band_width
from pasam.models.base_sam import Encoded
from pasam.models.build import build_base, build_trainable
from pasam.models.encoders.fused_attention import fused
from pasam.models.segmenter import Prompts
from pasam.training.objectives import objective_of
from segment_anything.modeling.image_encoder import Block

SEED = 7
RECORDED = {"decoder": 189.2, "step": 2429.0}
"""Milliseconds of PA-SAM's own code: a decoder's pass with one box, a training step of four masks;
one thread, vit_b, the encoder's outputs given."""
Times = list[float]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table."""

    name: str
    ours: float
    """Milliseconds."""
    reference: float
    """Milliseconds."""
    source: str
    """Whose time that is."""


def alternated(ours: Callable[[], Any], reference: Callable[[], Any], rounds: int) -> list[float]:
    """Time two functions in turn, after one call of each; medians in milliseconds."""
    times: tuple[Times, Times] = ([], [])
    for call in range(rounds + 1):
        for function, seconds in zip((ours, reference), times, strict=True):
            start = time.perf_counter()
            function()
            if call:
                seconds.append(time.perf_counter() - start)
    return [1000 * median(each) for each in times]


def scene() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Draw an object of 8 % of 2000 x 3000 pixels and a prediction of it, jagged and shifted."""
    random = np.random.default_rng(SEED)
    angles = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    radius = 380 + random.normal(0, 25, len(angles))
    outline = np.stack([1500 + 1.05 * radius * np.cos(angles), 1000 + radius * np.sin(angles)], 1)
    truth, predicted = np.zeros((2, 2000, 3000), np.uint8)
    cv2.fillPoly(truth, [outline.astype(np.int32)], 255)
    cv2.fillPoly(predicted, [(outline + random.normal(4, 6, outline.shape)).astype(np.int32)], 255)
    return truth, predicted > 0


def whole_band(mask: np.ndarray[Any, Any], width: int) -> np.ndarray[Any, Any]:
    """Find a mask's boundary band as the measure's paper has it: the whole image, eroded."""
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=width)[1:-1, 1:-1]
    return mask.astype(np.uint8) - eroded


def whole_iou(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    """Intersect two masks over the whole image."""
    return float(((one > 0) & (other > 0)).sum() / ((one > 0) | (other > 0)).sum())


def band() -> Line:
    """Boundary IoU of the scene, the truth prepared once."""
    label, predicted = scene()
    truth = Truth.of(label, boundary_fraction=0.02)
    width = band_width(*label.shape)

    def reference() -> float:
        return whole_iou(whole_band(label > 0, width), whole_band(predicted, width))

    def ours() -> float:
        return truth.band.iou(Region.of(predicted).band(truth.width))

    assert abs(reference() - ours()) < 1e-12, "the two measure the same"
    return Line("boundary IoU, 8 % of 2000 x 3000", *alternated(ours, reference, 7), "whole image")


def evaluation() -> Line:
    """Logits to scores at 1500 x 2000: resize, threshold, both measures."""
    label, predicted = (cv2.resize(each.astype(np.uint8), (2000, 1500)) for each in scene())
    label = 255 * (label > 0).astype(np.uint8)
    small = cv2.resize(predicted.astype(np.float32), (256, 256), interpolation=cv2.INTER_AREA)
    logits = torch.from_numpy(small)[None, None] - 0.5
    truth = Truth.of(label, boundary_fraction=0.02)
    width = band_width(*label.shape)

    transform = ImageTransform(1500, 2000, 1024, "squash")

    def reference() -> tuple[float, float]:
        whole = F.interpolate(logits, (1500, 2000), mode="bilinear", align_corners=False)
        found = (whole[0, 0] > 0).numpy()
        bands = whole_band(label > 0, width), whole_band(found, width)
        return whole_iou(label, found), whole_iou(*bands)

    def ours() -> tuple[float, float]:
        row = score_mask(truth, transform.masks_at_original_size(logits)[0, 0].numpy())
        return float(row["iou"]), float(row["boundary_iou"])

    assert np.allclose(reference(), ours(), atol=1e-12), "the two measure the same"
    return Line("evaluation, 1500 x 2000", *alternated(ours, reference, 7), "whole image")


def encoder() -> Line:
    """A quarter of vit_b's encoder: two blocks with windows and a global one, 64 x 64 cells."""
    torch.manual_seed(SEED)
    plain, quick = (
        torch.nn.Sequential(
            *(
                Block(768, 12, use_rel_pos=True, window_size=w, input_size=(64, 64))
                for w in (14, 14, 0)
            )
        ).eval()
        for _ in range(2)
    )
    for name, table in plain.named_parameters():
        if "rel_pos" in name:
            torch.nn.init.normal_(table, std=0.1)
    quick.load_state_dict(plain.state_dict())
    fused(quick)
    cells = torch.randn(1, 64, 64, 768)
    wanted, given = plain(cells), quick(cells)
    assert ((wanted - given).abs().max() / wanted.abs().max()).item() < 1e-5, "the same features"
    times = alternated(lambda: quick(cells), lambda: plain(cells), 3)
    return Line("vit_b encoder, three blocks of twelve", *times, "segment-anything")


def decoder_and_step(*, step: bool) -> Line:
    """PA-SAM on vit_b with the encoder's outputs given: one box, or a training step of four."""
    count = 4 if step else 1
    torch.manual_seed(SEED)
    base = build_base("vit_b").requires_grad_(False)
    variant = load_variant("pa_sam", Path("params/default.yaml"))
    segmenter = build_trainable(base, variant).train(step)
    random = np.random.default_rng(SEED)
    boxes = torch.tensor([[200.0, 240.0, 800.0, 720.0]]).repeat(count, 1)
    prompts = [
        Prompts(
            indices=torch.arange(count), boxes=boxes, points=None, point_labels=None, masks=None
        )
    ]
    images = torch.from_numpy(random.integers(0, 255, (count, 3, 1024, 1024), np.uint8))
    encoded = Encoded(
        embedding=torch.randn(count, 256, 64, 64), early=torch.randn(count, 768, 64, 64)
    )
    labels = torch.zeros(count, 1024, 1024, dtype=torch.uint8)
    labels[:, 260:700, 220:780] = 255
    generator = torch.Generator().manual_seed(SEED)
    objective = objective_of(variant)
    learning = [each for each in segmenter.parameters() if each.requires_grad]
    optimizer = torch.optim.AdamW(learning)

    def predicted() -> Any:
        return segmenter(
            images=images, encoded=encoded, image_index=torch.arange(count), prompts=prompts,
            mining="gumbel" if step else None, generator=generator,
        )  # fmt: skip

    def ours() -> None:
        if not step:
            predicted()
            return
        with torch.enable_grad():
            optimizer.zero_grad()
            objective(predicted(), labels, generator)["loss"].backward()
            optimizer.step()

    milliseconds = alternated(ours, lambda: None, 3 if step else 7)[0]
    name = "PA-SAM, training step of 4 masks" if step else "PA-SAM's decoder, one box"
    return Line(name, milliseconds, RECORDED["step" if step else "decoder"], "recorded")


ROWS: dict[str, Callable[[], Line]] = {
    "band": band,
    "evaluation": evaluation,
    "encoder": encoder,
    "decoder": lambda: decoder_and_step(step=False),
    "step": lambda: decoder_and_step(step=True),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    print("| | ours, ms | reference, ms | times as fast | reference |\n|---|--:|--:|--:|---|")  # noqa: T201
    with torch.no_grad():
        for name in chosen.rows:
            line = ROWS[name]()
            print(  # noqa: T201
                f"| {line.name} | {line.ours:.1f} | {line.reference:.1f} | "
                f"{line.reference / line.ours:.2f} | {line.source} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
