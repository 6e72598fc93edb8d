"""PA-SAM gives what the reference gives: predictions, losses and gradients."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import reference_inputs as inputs
import torch
from scene import (
    KINDS,
    TOLERANCE,
    Recording,
    Scene,
    difference,
    gradients,
    require_gradients,
    thinned,
)
from scene import scene as scene_of
from torch import Tensor
from torch.nn import functional as F

from pasam.models.losses import pa_sam_loss, uncertainty_target
from pasam.models.pa_mask_decoder import (
    TRAINABLE,
    PaMaskDecoder,
    PaPrediction,
    edge_channel,
    guiding_input,
)
from pasam.models.two_way_transformer import AdaptedTwoWayTransformer

UNDECIDED = 1e-5
"""Distance of an uncertainty from 0.5 below which rounding chooses between two masks."""
MINING = {"off": "none", "on": "gumbel"}
NAMES = {
    "masks_sam": lambda p: thinned(p.masks),
    "iou_preds": lambda p: p.iou,
    "uncertain": lambda p: p.uncertainty,
    "final": lambda p: p.final,
    "coarse": lambda p: p.coarse,
    "refined": lambda p: p.refined,
    "topk_pos": lambda p: p.positive,
    "topk_neg": lambda p: p.negative,
}


@cache
def decoder_of(seed: int) -> PaMaskDecoder:
    transformer = AdaptedTwoWayTransformer(depth=2, embedding_dim=256, num_heads=8, mlp_dim=2048)
    decoder = PaMaskDecoder(
        transformer_dim=256, transformer=transformer, gradient="reference", mining_points=4
    )
    inputs.fill(decoder, seed)
    for key, value in decoder.named_parameters():
        value.requires_grad_(key.startswith(TRAINABLE))
    return decoder


@dataclass(frozen=True)
class Run:
    """A prediction with what was seen inside the decoder."""

    prediction: PaPrediction
    inside: dict[str, Tensor]


def decode(decoder: PaMaskDecoder, scene: Scene, **how: Any) -> Run:
    inside: dict[str, Tensor] = {}

    def keep_adapted(_module: Any, _args: Any, output: Any) -> None:
        inside.update(adapter_queries=output.tokens, adapter_query_pe=output.query_pe)

    def keep(name: str, _module: Any, _args: Any, output: Tensor) -> None:
        inside[name] = output

    hooks = [
        decoder.prompt_adapter.register_forward_hook(keep_adapted),
        decoder.transformer.norm_final_attn.register_forward_hook(partial(keep, "final_tokens")),
    ]
    joined = guiding_input(scene.images, scene.embeddings.shape[-1], decoder.gradient)
    guiding = decoder.guiding(joined)
    inside["guiding"] = guiding.transpose(1, 2).reshape_as(scene.embeddings)
    prediction = decoder.decode(
        **scene.shared(), guiding=guiding, point_embeddings=scene.point_embeddings, **how
    )
    for hook in hooks:
        hook.remove()
    return Run(prediction, inside)


@cache
@torch.no_grad()
def predicted(seed: int, kind: str, multimask: bool = False) -> Run:
    scene = scene_of(seed)
    prompt = scene.prompts[kind].both()
    return decode(decoder_of(seed).eval(), scene, mining="top", multimask=multimask, **prompt)


@dataclass(frozen=True)
class Step:
    """A training step: image 0 by its box, image 1 by its points."""

    parts: dict[str, Tensor]
    losses: dict[str, Tensor]
    gradients: dict[str, Tensor]


@cache
def trained(seed: int, mining: str) -> Step:
    scene, decoder = scene_of(seed), decoder_of(seed).train()
    noise = torch.from_numpy(inputs.gumbel(seed, 2))
    runs = [
        decode(decoder, scene, mining=mining, noise=noise[i : i + 1], **scene.prompts[kind].of(i))
        for i, kind in enumerate(("box", "points"))
    ]
    names = ("masks", "iou", "uncertainty", "final", "coarse", "refined")
    parts = {n: torch.cat([getattr(r.prediction, n) for r in runs]) for n in names}
    losses = pa_sam_loss(
        label=scene.labels,
        **{name: parts[name] for name in ("masks", "coarse", "refined", "uncertainty")},
    )
    decoder.zero_grad()
    losses["loss"].backward()
    found = gradients(decoder, TRAINABLE)
    decoder.zero_grad()
    detached = {name: part.detach() for name, part in parts.items()}
    return Step(detached, {k: v.detach() for k, v in losses.items()}, found)


def decided(recorded: dict[str, Tensor], *finals: Tensor) -> list[Tensor]:
    """Leave out cells whose recorded uncertainty is at the threshold up to rounding."""
    clear = (recorded["uncertain"] - 0.5).abs() > UNDECIDED
    return [final[clear] for final in finals]


@pytest.fixture(scope="session")
def recording(pa_file: Path) -> Recording:
    return Recording.read(pa_file)


def test_the_inputs_are_the_recorded_ones(recording: Recording) -> None:
    scene, recorded = scene_of(recording.seed), recording.under("in.")
    assert torch.equal(scene.boxes, recorded["boxes"])
    assert torch.equal(scene.points, recorded["points"])
    assert difference(scene.prompts["box"].sparse, recorded["sparse_box"]) < TOLERANCE
    assert difference(scene.prompts["points"].sparse, recorded["sparse_points"]) < TOLERANCE
    no_mask = scene.prompts["box"].dense[0, :, 0, 0]
    assert torch.equal(no_mask, recorded["dense_nomask"])
    sums = torch.stack([scene.raw.long().sum((1, 2, 3)), scene.labels.long().sum((1, 2))])
    assert torch.equal(sums, recorded["image_sums"])


def test_as_many_pixels_are_edges(recording: Recording) -> None:
    scene = scene_of(recording.seed)
    small = F.interpolate(scene.images, size=(256, 256), mode="bilinear", align_corners=False)
    edges = edge_channel(small, "reference")
    assert torch.equal(edges.sum((1, 2, 3)).long(), recording.tensors["in.canny_count"])
    assert torch.equal(guiding_input(scene.images, 64, "reference")[:, 3:], edges)


def test_as_many_pixels_are_uncertain(recording: Recording) -> None:
    target = uncertainty_target(scene_of(recording.seed).labels)
    assert torch.equal(target.sum((1, 2)).long(), recording.tensors["in.uncertain_gt_count"])


@pytest.mark.parametrize("kind", KINDS)
def test_predictions_agree(recording: Recording, kind: str) -> None:
    prediction = predicted(recording.seed, kind).prediction
    recorded = recording.under(f"out.{kind}.")
    assert set(recorded) == set(NAMES)
    for name, value in recorded.items():
        found = NAMES[name](prediction)
        if name.startswith("topk"):
            assert torch.equal(found, value), name
        elif name == "final":
            assert difference(*decided(recorded, found, value)) < TOLERANCE, name
        else:
            assert difference(found, value) < TOLERANCE, name


def test_multimask_predictions_agree(recording: Recording) -> None:
    prediction = predicted(recording.seed, "box", multimask=True).prediction
    for name, value in recording.under("out.box_multimask.").items():
        assert difference(NAMES[name](prediction), value) < TOLERANCE, name


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_inside_the_decoder_agree(recording: Recording, kind: str) -> None:
    inside = predicted(recording.seed, kind).inside
    recorded = recording.under(f"mid.{kind}.")
    assert len(recorded) == 3
    for name, value in recorded.items():
        assert difference(inside[name], value) < TOLERANCE, name


def test_the_guiding_embedding_agrees(recording: Recording) -> None:
    guiding = predicted(recording.seed, "box").inside["guiding"]
    recorded = recording.tensors["mid.guiding_conv_slice"]
    assert difference(guiding[:, :, ::8, ::8], recorded) < TOLERANCE


@pytest.mark.parametrize("mode", MINING)
def test_predictions_in_training_agree(recording: Recording, mode: str) -> None:
    parts = trained(recording.seed, MINING[mode]).parts
    recorded = recording.under(f"train.{mode}.")
    found = {
        "masks_sam": thinned(parts["masks"]),
        "iou_preds": parts["iou"],
        "uncertain": parts["uncertainty"],
        **{name: parts[name] for name in ("final", "coarse", "refined")},
    }
    for name, value in found.items():
        pair = (value, recorded[name])
        pair = decided(recorded, *pair) if name == "final" else pair
        assert difference(*pair) < TOLERANCE, name


@pytest.mark.parametrize("mode", MINING)
def test_every_loss_term_and_the_total_agree(recording: Recording, mode: str) -> None:
    losses = trained(recording.seed, MINING[mode]).losses
    recorded = recording.under(f"train.{mode}.")
    terms = {k: v for k, v in recorded.items() if k.startswith("loss_")}
    assert set(losses) == {*terms, "loss"}
    for name, value in {**terms, "loss": recorded["total"]}.items():
        assert difference(losses[name].reshape(1), value) < TOLERANCE, name


@pytest.mark.parametrize("mode", MINING)
def test_every_gradient_norm_agrees(recording: Recording, mode: str) -> None:
    found = trained(recording.seed, MINING[mode]).gradients
    require_gradients(found, recording.under(f"train.{mode}.gradnorm."))


@pytest.mark.parametrize("mode", MINING)
def test_whole_gradients_agree(recording: Recording, mode: str) -> None:
    found = trained(recording.seed, MINING[mode]).gradients
    recorded = recording.under(f"train.{mode}.grad.")
    assert recorded
    for name, value in recorded.items():
        assert difference(found[name], value) < TOLERANCE, name
