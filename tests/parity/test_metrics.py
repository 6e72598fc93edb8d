"""Both metrics give what the reference gives, on masks and from logits to the original size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from pasam.masks.overlap import band_width, boundary, boundary_iou, mask_iou

EXACT = 1e-6
"""The recorded values are float32."""


def unpacked(bits: np.ndarray, width: int) -> np.ndarray:
    return np.unpackbits(bits, axis=1, count=width).astype(bool)


def cases(path: Path, first: str) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    with np.load(path) as arrays:
        names = [key.removeprefix(first) for key in arrays.files if key.startswith(first)]
        for name in names:
            suffix = f"_{name}"
            keys = [key for key in arrays.files if key.endswith(suffix)]
            yield name, {key.removesuffix(suffix): arrays[key] for key in keys}


def require(found: float, recorded: np.ndarray, case: str) -> None:
    """Compare; where both masks are empty the reference has nan and we have 1."""
    expected = 1.0 if np.isnan(recorded) else float(recorded)
    assert found == pytest.approx(expected, abs=EXACT), case


def test_masks_score_as_recorded(metrics_file: Path) -> None:
    for case, stored in cases(metrics_file, "meta_"):
        height, width, band = (int(value) for value in stored["meta"])
        gt, pred = unpacked(stored["gt"], width), unpacked(stored["dt"], width)
        assert gt.shape == (height, width)
        assert band_width(height, width) == band, case
        assert [boundary(m, band).sum() for m in (gt, pred)] == stored["nboundary"].tolist(), case
        require(mask_iou(gt, pred), stored["iou"], case)
        require(boundary_iou(gt, pred), stored["biou"], case)


def test_logits_score_as_recorded_at_the_original_size(metrics_file: Path) -> None:
    for case, stored in cases(metrics_file, "logits_"):
        height, width = (int(value) for value in stored["size"])
        logits = torch.from_numpy(stored["logits"])
        resized = F.interpolate(logits, size=(height, width), mode="bilinear", align_corners=False)
        pred, gt = (resized[0, 0] > 0).numpy(), unpacked(stored["gt"], width)
        require(mask_iou(gt, pred), stored["iou"], case)
        require(boundary_iou(gt, pred), stored["biou"], case)
