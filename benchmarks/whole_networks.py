"""Rows of whole networks in prediction: SAM's encoders, and the evaluation of an image.

All have random weights, which take the time of any others. On a GPU they are SAM's sizes; at toy
size a network of the same parts stands in for all of them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from device_times import ENCODERS, Line, Setting, compared, operations_of
from torch import Tensor
from torch.nn import functional as F

import pasam.models.before_segment_anything  # noqa: F401
from pasam.cli.space_costs import training_memory
from pasam.config.params_file import load_section, load_variant
from pasam.config.schema import EmbedParams, TrainParams
from pasam.evaluation.model_set import ModelEntry
from pasam.evaluation.protocol import Asked, evaluate_all, image_batch, predict, threads_beside
from pasam.evaluation.scores import UNTRAINED, Truth
from pasam.inference.image_transform import ImageTransform
from pasam.masks.images import foreground
from pasam.masks.overlap import band_width
from pasam.masks.prompts import tight_box
from pasam.models.base_sam import PIXEL_MEAN, PIXEL_STD, BaseSam
from pasam.models.build import build_base, build_trainable
from pasam.models.encoders.fused_attention import FusedAttention, fused
from pasam.models.sam_mask_decoder import SamMaskDecoder
from pasam.models.segmenter import Segmenter
from segment_anything.modeling import ImageEncoderViT, PromptEncoder, Sam, TwoWayTransformer
from segment_anything.modeling.image_encoder import Attention

SEED = 7
PARAMS = Path("params/default.yaml")
PLAIN = "segment-anything's attention"


def base_of(size: str, setting: Setting) -> BaseSam:
    """Build a frozen SAM with random weights, positions too; at toy size always the same small one.

    Args:
        size: One of segment-anything's.
        setting: Where it is to be.
    """
    torch.manual_seed(SEED)
    base = _toy_base() if setting.toy else build_base(size)
    for name, table in base.sam.image_encoder.named_parameters():
        if "rel_pos" in name:  # they begin at 0, which would leave the positions out
            torch.nn.init.normal_(table, std=0.1)
    return base.eval().requires_grad_(False).to(setting.device)


def _toy_base() -> BaseSam:
    """Put SAM's parts together for images of 128 px, with windows and global attention."""
    side, grid, dim = 128, 8, 32
    encoder = ImageEncoderViT(
        img_size=side, embed_dim=48, depth=4, num_heads=4, out_chans=dim, use_rel_pos=True,
        window_size=3, global_attn_indexes=(1, 3),
    )  # fmt: skip
    transformer = TwoWayTransformer(depth=2, embedding_dim=dim, num_heads=8, mlp_dim=64)
    sam = Sam(
        image_encoder=fused(encoder),
        prompt_encoder=PromptEncoder(
            embed_dim=dim, image_embedding_size=(grid, grid), input_image_size=(side, side),
            mask_in_chans=16,
        ),
        mask_decoder=SamMaskDecoder(
            transformer_dim=dim, transformer=transformer, iou_head_hidden_dim=dim
        ),
        pixel_mean=list(PIXEL_MEAN), pixel_std=list(PIXEL_STD),
    )  # fmt: skip
    return BaseSam(sam=sam, early_layer="blocks.1", early_dim=48)


def plain_copy(base: BaseSam) -> BaseSam:
    """Make a SAM of the same parameters, not copied, with segment-anything's own attention."""
    other = copy.deepcopy(base, {id(each): each for each in base.parameters()})
    for module in other.modules():
        if type(module) is FusedAttention:
            module.__class__ = Attention
    return other


def images_for(base: BaseSam, count: int) -> Tensor:
    """Draw pixels, uint8 (count, 3, S, S)."""
    random = np.random.default_rng(SEED)
    pixels = random.integers(0, 255, (count, 3, base.side, base.side), np.uint8)
    return torch.from_numpy(pixels)


def predicted_memory(
    size: str, setting: Setting, *, batch: int, half: bool, encodes: bool, trains: bool
) -> int | None:
    """Ask the doctor's model for the memory of tensors on a GPU; None at toy size.

    Args:
        size: One of segment-anything's.
        setting: Where it is to be known.
        batch: Images, and masks, at a time.
        half: Whether the encoder is in bfloat16.
        encodes: Whether the encoder runs.
        trains: Whether a decoder learns.
    """
    if setting.toy:
        return None
    embed = load_section(EmbedParams, "embed", PARAMS).replaced(views=0 if encodes else 1)
    train = load_section(TrainParams, "train", PARAMS).replaced(batch_size=batch)
    memory = training_memory(size, train, embed, "bf16" if half else "32-true")
    then = max(memory.encoder, memory.decoder) if trains else memory.encoder
    return memory.weights + memory.batch + then


def fewest_bytes(base: BaseSam, images: Tensor) -> float:
    """Count the bytes that encoding an image of a batch cannot do without moving.

    Args:
        base: Its encoder's weights are read once for the batch, in the precision they are in.
        images: Pixels, uint8 (B, 3, S, S), which are read; both outputs are written in float32.
    """
    weights = sum(p.numel() * p.element_size() for p in base.sam.image_encoder.parameters())
    numbers = (base.dim + base.early_dim) * base.grid**2
    return weights / len(images) + images[0].numel() * images.element_size() + 4 * numbers


def encoder_lines(size: str, setting: Setting) -> Iterator[Line]:
    """Time a whole encoder: 8 images on a GPU, one on a CPU; milliseconds of an image."""
    base = base_of(size, setting)
    count = 8 if setting.on_gpu else 1 + setting.toy
    images = images_for(base, count).to(setting.device)
    plain = plain_copy(base)
    wanted = plain.encode(images[:1]).embedding
    operations = operations_of(lambda: plain.encode(images[:1]))
    for precision in setting.precisions:
        plain = plain_copy(base.encode_in(ENCODERS[precision]))
        found = base.encode(images[:1]).embedding
        times = compared(
            lambda: base.encode(images), lambda plain=plain: plain.encode(images), setting,
            rounds=10 if setting.on_gpu else 2, of=count, source=PLAIN,
        )  # fmt: skip
        yield Line(
            name=f"{size} encoder whole, batch {count}, an image, {precision}",
            precision=precision, images=1, operations=operations, moved=fewest_bytes(base, images),
            predicted=predicted_memory(
                size, setting, batch=count, half=precision == "bfloat16", encodes=True, trains=False
            ),
            difference=((found - wanted).abs().max() / wanted.abs().max()).item(), **times,
        )  # fmt: skip


def photograph(setting: Setting) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Draw an image of 1500 x 2000, noise, and the mask of an ellipse on it, 0 or 255."""
    height, width = (150, 200) if setting.toy else (1500, 2000)
    image = np.random.default_rng(SEED).integers(0, 255, (height, width, 3), np.uint8)
    mask = np.zeros((height, width), np.uint8)
    cv2.ellipse(mask, (width // 2, height // 2), (width // 5, height // 5), 20, 0, 360, 255, -1)
    return image, mask


def whole_band(mask: np.ndarray[Any, Any], width: int) -> np.ndarray[Any, Any]:
    """Find a mask's boundary band as the measure's paper has it: the whole image, eroded."""
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=width)[1:-1, 1:-1]
    return mask.astype(np.uint8) - eroded


def whole_iou(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    """Intersect two masks over the whole image."""
    return float(((one > 0) & (other > 0)).sum() / max(((one > 0) | (other > 0)).sum(), 1))


def image_lines(setting: Setting) -> Iterator[Line]:
    """Time PA-SAM's evaluation of images from their pixels to both scores, one after the other.

    On a GPU eight in a row, since the scores of one are found while the next one is predicted.
    """
    base = base_of("vit_b", setting)
    segmenter = build_trainable(base, load_variant("pa_sam", PARAMS)).to(setting.device).eval()
    image, label = photograph(setting)
    height, width = label.shape
    transform = ImageTransform(height, width, base.side, "squash")
    box = tight_box(cv2.resize(label, (base.side, base.side)))
    truth = Truth.of(label, boundary_fraction=0.02)
    entry = ModelEntry("pa_sam", UNTRAINED, segmenter)
    item = {
        "dataset": "drawn", "id": "one", "group": "one", "area": 0.1, "complexity": 1.0,
        "height": height, "width": width,
    }  # fmt: skip

    count = 8 if setting.on_gpu else 1 + setting.toy

    def asked() -> Asked:
        batch = image_batch(base, image, transform, [box])
        return Asked(entry=entry, batch=batch, items=[item], truths=[truth])

    def ours() -> None:
        for _ in evaluate_all((asked() for _ in range(count)), threads=threads_beside(entry)):
            pass

    def reference(plain: BaseSam) -> None:
        other = Segmenter(base=plain, decoder=segmenter.decoder).eval()
        logits = predict(other, image_batch(plain, image, transform, [box])).masks
        whole = F.interpolate(logits, (height, width), mode="bilinear", align_corners=False)
        found = (whole[0, 0] > 0).cpu().numpy()
        whole_iou(label, found)
        wide = band_width(height, width)
        whole_iou(whole_band(foreground(label), wide), whole_band(found, wide))

    operations = operations_of(lambda: reference(plain_copy(base)))
    for precision in setting.precisions:
        plain = plain_copy(base.encode_in(ENCODERS[precision]))
        times = compared(
            ours, lambda plain=plain: [reference(plain) for _ in range(count)], setting,
            rounds=10 if setting.on_gpu else 2, of=count,
            source=f"{PLAIN}, scores of the whole image",
        )  # fmt: skip
        name = f"PA-SAM, evaluation of {height} x {width}, encoder included, {precision}"
        yield Line(name=name, precision=precision, images=1, operations=operations, **times)
