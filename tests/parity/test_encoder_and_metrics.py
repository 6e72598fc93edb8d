"""MobileSAM's image encoder and both metrics give what the reference gives.

The encoder's early feature, which Light HQ-SAM takes, is compared, too; the metrics on masks and
from logits to the original size.

The reference caches its attention biases in `eval()`. Its builder calls that before the weights are
loaded, so that an encoder which nobody puts into evaluation mode again has zeros for biases (its
README does call `eval()` again; SysCV/sam-hq#44 is about the difference). A recording is of one of
the two states; ours has the loaded biases at all times, and zeros where a test asks for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import reference_inputs as inputs
import torch
from scene import TOLERANCE, Recording, difference
from torch.nn import functional as F

from pasam.masks.overlap import band_width, boundary, boundary_iou, mask_iou
from pasam.models.base_sam import BaseSam, Encoded
from pasam.models.build import build_base

Biases = Literal["loaded", "cached before loading"]
EXACT = 1e-6
"""The recorded values of the metrics are float32."""


@cache
def base_of(seed: int, biases: Biases) -> BaseSam:
    base = build_base("vit_t").eval()
    encoder = base.sam.image_encoder
    inputs.fill_encoder(encoder, seed)
    if biases == "cached before loading":
        for name, parameter in encoder.named_parameters():
            if name.endswith(".attention_biases"):
                torch.nn.init.zeros_(parameter)
    return base


@cache
@torch.no_grad()
def encoded(seed: int, biases: Biases) -> Encoded:
    return base_of(seed, biases).encode(torch.from_numpy(inputs.image(seed, 0))[None])


def differences(recording: Recording, biases: Biases) -> dict[str, float]:
    """How far both outputs are from the recorded ones."""
    found = encoded(recording.seed, biases)
    outputs = {
        "out.embedding": found.embedding[0, ::4, ::2, ::2],
        "out.early": found.early[0].permute(1, 2, 0)[::2, ::2, ::4],
    }
    return {name: difference(ours, recording.tensors[name]) for name, ours in outputs.items()}


@pytest.fixture(scope="session")
def recording(encoder_file: Path) -> Recording:
    return Recording.read(encoder_file)


def test_the_encoder_has_the_recorded_keys_and_shapes(recording: Recording) -> None:
    named = (entry.split(":") for entry in recording.metadata["shapes"].split(";"))
    recorded = {key: tuple(map(int, shape.split(","))) for key, shape in named}
    own = base_of(recording.seed, "loaded").sam.image_encoder.state_dict()
    drawn = {key: tuple(t.shape) for key, t in own.items() if t.is_floating_point()}
    assert drawn == recorded
    assert all(key.endswith("num_batches_tracked") for key in set(own) - set(drawn))


@pytest.mark.long
def test_embedding_and_early_feature_agree_in_the_recorded_state(recording: Recording) -> None:
    states: tuple[Biases, ...] = ("loaded", "cached before loading")
    found = {state: differences(recording, state) for state in states}
    best = min(found.values(), key=lambda each: max(each.values()))
    assert max(best.values()) < TOLERANCE, found


@pytest.mark.long
def test_the_two_states_differ_and_the_loaded_biases_are_used(recording: Recording) -> None:
    zeros, loaded = (encoded(recording.seed, b) for b in ("cached before loading", "loaded"))
    assert difference(loaded.embedding, zeros.embedding) > 10 * TOLERANCE


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
