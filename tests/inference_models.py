"""Small models of every kind, on one base, and pictures of several shapes."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from small_world import small_base
from variants import hq_sam, pa_sam

from pasam.inference.predictor import PromptAdapterPredictor
from pasam.modeling.build import build_decoder
from pasam.modeling.segmenter import Segmenter

VARIANTS = {"hq_sam": hq_sam(), "pa_sam": pa_sam()}
KINDS = ("sam", *VARIANTS)
BASE = "0123456789abcdef"


def make_predictor(kind: str, **choices) -> PromptAdapterPredictor:
    """Build a predictor on the one small base, its weights random but always the same."""
    torch.manual_seed(0)
    base = small_base()
    with torch.no_grad():  # random convolutions barely react; louder ones make masks with edges
        for parameter in base.sam.mask_decoder.output_upscaling.parameters():
            parameter.mul_(6)
    own = base.sam.mask_decoder
    decoder = own if kind == "sam" else build_decoder(base, VARIANTS[kind])
    segmenter = Segmenter(base=base, decoder=decoder)
    return PromptAdapterPredictor(segmenter, name=kind, base=BASE, **choices)


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A smooth random picture, (H, W, 3) in 0..255."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 8, 3)).astype(np.float32)
    return (
        cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        .clip(0, 255)
        .astype(np.uint8)
    )
