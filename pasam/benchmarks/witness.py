"""Watching a model while it predicts: what its adapter changed, and whether its doubts are right.

The model knows nothing of it: all is read by hooks from outside, so that watching changes nothing.
"""

from __future__ import annotations

import itertools
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from pasam.metrics.auroc import area_under_roc
from pasam.metrics.iou import mask_iou
from pasam.modeling.image_adapter import ImageAdaptedMaskDecoder
from pasam.modeling.pa_mask_decoder import PaMaskDecoder, PaPrediction
from pasam.modeling.segmenter import Prediction, Segmenter

# Shapes: N prompts of a call, one of each image; g grid cells a side; S pixels a side.

Seen = dict[str, Any]
"""What one prompt's prediction left: numbers by the names of the diagnostics, and its maps."""


class Witness:
    """Collects, prompt by prompt in the order of prediction, what a model does inside.

    Use it as a context round the predictions.

    Args:
        segmenter: The model; it stays as it is.
    """

    def __init__(self, segmenter: Segmenter) -> None:
        self.seen: list[Seen] = []
        self._segmenter = segmenter
        self._changes: Seen = {}
        self._handles: list[Any] = []

    def __enter__(self) -> Self:
        decoder = self._segmenter.decoder
        if isinstance(decoder, PaMaskDecoder):
            self._handles.append(decoder.prompt_adapter.register_forward_hook(self._prompt_side))
        if isinstance(decoder, ImageAdaptedMaskDecoder):
            self._handles.append(decoder.image_adapter.register_forward_hook(self._image_side))
        self._handles.append(self._segmenter.register_forward_hook(self._predicted))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _prompt_side(self, _module: nn.Module, inputs: Any, output: Any) -> None:
        tokens, keys, *_ = inputs
        added = output.tokens[:, : tokens.shape[1]]
        self._changes = {
            "dense_change": _relative(output.dense, keys),
            "sparse_change": _relative(added, tokens),
        }

    def _image_side(self, _module: nn.Module, inputs: Any, output: Tensor) -> None:
        features = inputs[0]
        self._changes = {"image_change": _relative(output - features, features)}

    def _predicted(self, _module: nn.Module, _inputs: Any, output: Prediction) -> None:
        for number in range(len(output.masks)):
            row: Seen = {name: float(of[number]) for name, of in self._changes.items()}
            row["predicted_iou"] = float(output.iou[number, 0])
            row["maps"] = None if output.details is None else _one(output.details, number)
            self.seen.append(row)


def judge_maps(maps: dict[str, Tensor], label: NDArray[np.uint8], grid: int) -> dict[str, Any]:
    """Compare an adapter's maps and points with the truth, at the input's size.

    Args:
        maps: One prompt's part of a `PaPrediction`, by name: maps (h, h) and points (k,).
        label: Its label, (S, S), foreground above 128.
        grid: Grid g that the points' cells belong to.

    Returns:
        The diagnostics of `pasam.benchmarks.diagnostics_file` that maps and points decide.
    """
    truth = label > 128
    logits = {n: _at_side(maps[n], len(label)) > 0 for n in ("coarse", "refined", "final")}
    unsure = _at_side(maps["uncertainty"], len(label))
    found: dict[str, Any] = {f"{n}_iou": mask_iou(truth, mask) for n, mask in logits.items()}
    found["uncertainty_auroc"] = area_under_roc(unsure, logits["coarse"] != truth)
    found["uncertain_share"] = float((unsure >= 0.5).mean())
    if "positive" in maps:
        signs = [_places(maps[sign], grid) for sign in ("positive", "negative")]
        found["point_spread"] = _spread(signs)
        inside = [truth[tuple((places * len(label)).astype(int).T)] for places in signs]
        found["points_right"] = float(np.concatenate([inside[0], ~inside[1]]).mean())
    return found


def _relative(change: Tensor, of: Tensor) -> Tensor:
    """Size of a change as a share of what it changes, by Euclidean norms, (N,)."""
    change, of = change.flatten(1), of.flatten(1)
    size: Tensor = torch.linalg.vector_norm(change, dim=1) / torch.linalg.vector_norm(of, dim=1)
    return size


def _one(details: PaPrediction, number: int) -> dict[str, Tensor]:
    names = ("uncertainty", "coarse", "refined", "final")
    maps = {name: getattr(details, name)[number, 0].detach().cpu() for name in names}
    for sign in ("positive", "negative"):
        cells = getattr(details, sign)
        if cells is not None:
            maps[sign] = cells[number].cpu()
    return maps


def _at_side(maps: Tensor, side: int) -> NDArray[np.float32]:
    resized = F.interpolate(
        maps[None, None].float(), size=(side, side), mode="bilinear", align_corners=False
    )
    return np.asarray(resized[0, 0].numpy(), np.float32)


def _places(cells: Tensor, grid: int) -> NDArray[np.float64]:
    """Centres of cells as row and column in [0, 1], (k, 2)."""
    return (torch.stack([cells // grid, cells % grid], dim=1).numpy() + 0.5) / grid


def _spread(signs: list[NDArray[np.float64]]) -> float | None:
    """Mean distance between points of one sign, in sides of the image."""
    distances = [
        float(np.linalg.norm(one - other))
        for places in signs
        for one, other in itertools.combinations(places, 2)
    ]
    return float(np.mean(distances)) if distances else None
