"""HQ-SAM gives what the reference gives: predictions, losses and gradients."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import pytest
import reference_inputs as inputs
import torch
from scene import KINDS, TOLERANCE, Recording, difference, gradients, require_gradients, thinned
from scene import scene as scene_of
from torch import Tensor

from pasam.models.hq_mask_decoder import TRAINABLE, HqMaskDecoder, HqPrediction
from pasam.models.losses import PointDraws, hq_sam_loss
from segment_anything.modeling import TwoWayTransformer

EARLY_DIM = 768


@cache
def decoder_of(seed: int) -> HqMaskDecoder:
    transformer = TwoWayTransformer(depth=2, embedding_dim=256, num_heads=8, mlp_dim=2048)
    decoder = HqMaskDecoder(transformer_dim=256, transformer=transformer, early_dim=EARLY_DIM)
    inputs.fill(decoder, seed)
    for key, value in decoder.named_parameters():
        value.requires_grad_(key.startswith(TRAINABLE))
    return decoder


@cache
def early_of(seed: int) -> Tensor:
    return torch.from_numpy(inputs.smooth(seed, "interm", (2, EARLY_DIM, 64, 64)))


def decode(
    seed: int, prompt: dict[str, Tensor], *, sam: Literal["first", "best"] | None = None
) -> HqPrediction:
    decoder, scene = decoder_of(seed), scene_of(seed)
    details = decoder.details(scene.embeddings, early_of(seed))
    return decoder.decode(details=details, sam=sam, **scene.shared(), **prompt)


@cache
@torch.no_grad()
def predicted(seed: int, kind: str, sam: Literal["first", "best"] = "first") -> HqPrediction:
    decoder_of(seed).eval()
    return decode(seed, scene_of(seed).prompts[kind].both(), sam=sam)


@dataclass(frozen=True)
class Step:
    """A training step on both images' boxes or, as recorded, image 0's box and 1's points."""

    masks: Tensor
    losses: dict[str, Tensor]
    gradients: dict[str, Tensor]


@cache
def trained(seed: int) -> Step:
    scene, decoder = scene_of(seed), decoder_of(seed).train()
    predictions = [
        decode(seed, scene.prompts[kind].of(i)) for i, kind in enumerate(("box", "points"))
    ]
    masks = torch.cat([prediction.masks for prediction in predictions])
    draws = PointDraws(
        torch.from_numpy(inputs.uniform(seed, "u0", (2, 37632, 2))),
        torch.from_numpy(inputs.uniform(seed, "u1", (2, 3136, 2))),
    )
    losses = hq_sam_loss(masks=masks, label=scene.labels, draws=draws)
    decoder.zero_grad()
    losses["loss"].backward()
    found = gradients(decoder, TRAINABLE)
    decoder.zero_grad()
    return Step(masks.detach(), {k: v.detach() for k, v in losses.items()}, found)


@pytest.fixture(scope="session")
def recording(hq_file: Path) -> Recording:
    return Recording.read(hq_file)


@pytest.mark.long
def test_the_inputs_are_the_recorded_ones(recording: Recording) -> None:
    scene = scene_of(recording.seed)
    assert torch.equal(scene.boxes, recording.tensors["in.boxes"])
    assert torch.equal(scene.points, recording.tensors["in.points"])
    early = early_of(recording.seed).permute(0, 2, 3, 1)
    assert difference(early[:, ::8, ::8, ::16], recording.tensors["in.interm_slice"]) < TOLERANCE


@pytest.mark.parametrize(
    "kind", [KINDS[0], *(pytest.param(kind, marks=pytest.mark.long) for kind in KINDS[1:])]
)
def test_predictions_agree(recording: Recording, kind: str) -> None:
    prediction, recorded = predicted(recording.seed, kind), recording.under(f"out.{kind}.")
    assert set(recorded) == {"masks_hq", "masks_sam"}
    assert difference(thinned(prediction.masks), recorded["masks_hq"]) < TOLERANCE
    assert difference(thinned(prediction.sam_masks), recorded["masks_sam"]) < TOLERANCE


@pytest.mark.long
def test_multimask_predictions_agree(recording: Recording) -> None:
    prediction = predicted(recording.seed, "box", sam="best")
    recorded = recording.tensors["out.box_multimask.masks_sam"]
    assert difference(thinned(prediction.sam_masks), recorded) < TOLERANCE


@pytest.mark.long
def test_the_losses_agree(recording: Recording) -> None:
    step, recorded = trained(recording.seed), recording.under("train.")
    assert difference(thinned(step.masks), recorded["masks_hq"]) < TOLERANCE
    for name in ("loss_mask", "loss_dice"):
        assert difference(step.losses[name].reshape(1), recorded[name]) < TOLERANCE, name
    total = recorded["loss_mask"] + recorded["loss_dice"]
    assert difference(step.losses["loss"].reshape(1), total) < TOLERANCE


def test_every_gradient_norm_agrees(recording: Recording) -> None:
    require_gradients(trained(recording.seed).gradients, recording.under("train.gradnorm."))


def test_whole_gradients_agree(recording: Recording) -> None:
    found, recorded = trained(recording.seed).gradients, recording.under("train.grad.")
    assert recorded
    for name, value in recorded.items():
        assert difference(found[name], value) < TOLERANCE, name
