"""Small models of every kind, on one base, and pictures of several shapes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from small_world import dump_yaml, load_yaml, small_base
from variants import hq_sam, pa_sam

from pasam.config.params_file import load_variant
from pasam.data.catalogue import TRAINING_SET
from pasam.inference.predictor import PromptAdapterPredictor
from pasam.models.adapter_weights import write_adapter
from pasam.models.base_sam import BaseSam
from pasam.models.build import build_decoder, build_trainable
from pasam.models.checkpoint import file_digest, write_weights
from pasam.models.segmenter import Segmenter

VARIANTS = {"hq_sam": hq_sam(), "pa_sam": pa_sam()}
KINDS = ("sam", *VARIANTS)
BASE = "0123456789abcdef"


def make_predictor(kind: str, base: BaseSam | None = None, **choices) -> PromptAdapterPredictor:
    """Build a predictor on the one small base, its weights random but always the same."""
    base = base or _loud_base()
    torch.manual_seed(0)
    own = base.sam.mask_decoder
    decoder = own if kind == "sam" else build_decoder(base, VARIANTS[kind])
    segmenter = Segmenter(base=base, decoder=decoder)
    return PromptAdapterPredictor(segmenter, name=kind, base=BASE, **choices)


def _loud_base() -> BaseSam:
    """Random convolutions barely react; louder ones make masks with edges."""
    torch.manual_seed(0)
    base = small_base()
    with torch.no_grad():
        for parameter in base.sam.mask_decoder.output_upscaling.parameters():
            parameter.mul_(6)
    return base


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A smooth random picture, (H, W, 3) in 0..255."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 8, 3)).astype(np.float32)
    return (
        cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        .clip(0, 255)
        .astype(np.uint8)
    )


def objects(height: int, width: int) -> np.ndarray:
    """A picture of four things on a plain ground, (H, W, 3)."""
    image = np.full((height, width, 3), (90, 120, 100), np.uint8)
    w, h = width // 4, height // 4
    cv2.ellipse(image, (w, h), (w // 2, h // 2), 0, 0, 360, (220, 60, 50), -1)
    cv2.rectangle(image, (2 * w, h // 2), (3 * w, 2 * h), (50, 60, 220), -1)
    cv2.circle(image, (w, 3 * h), h // 2, (230, 220, 90), -1)
    cv2.rectangle(image, (2 * w, 3 * h - h // 3), (4 * w - 9, 3 * h + h // 3), (30, 30, 30), -1)
    return image


def write_project(folder: Path, root: Path) -> None:
    """Lay out a project in a folder: a params file, a small base, and adapters on it.

    `tiny` is the small base there; patch `build_base` to read it.
    """
    params = load_yaml((root / "params.yaml").read_text())
    params["base"] |= {"size": "tiny", "checkpoint": str(folder / "base.safetensors")}
    (folder / "params.yaml").write_text(dump_yaml(params))
    base = _loud_base()
    write_weights(folder / "base.safetensors", base.sam.state_dict(), metadata={})
    digest = file_digest(folder / "base.safetensors")
    for kind in VARIANTS:
        variant = load_variant(kind, folder / "params.yaml")
        torch.manual_seed(1)
        decoder = build_trainable(base, variant).decoder
        path = folder / "data" / "adapters" / f"{kind}.safetensors"
        seen = (TRAINING_SET,)
        write_adapter(path, decoder, variant=variant, base=digest, trained_on=seen)
