"""Muon for the weights of layers, AdamW for everything else: the optimiser of the small base.

Muon (Jordan et al., 2024) makes the step of a weight matrix orthogonal. Measured on `vit_tiny` at
128 px, 250 steps of 16 images: IoU 0.37, against 0.32 with AdamW alone at its best rate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Muon, Optimizer

LEAST_WIDTH = 16
"""Layers with fewer inputs or outputs (the first of the encoder, small heads) are AdamW's."""
MATRIX_RATE = 2.5
"""Muon's learning rate as a multiple of AdamW's."""


class MuonWithAdamW(Optimizer):
    """One optimiser made of two.

    The learning rates of its two parameter groups may be scheduled as usual.

    Args:
        model: The model; weights of its linear and convolution layers go to Muon.
        learning_rate: AdamW's rate; Muon's is `MATRIX_RATE` times that.
        weight_decay: Decoupled weight decay of both.
    """

    def __init__(self, model: nn.Module, *, learning_rate: float, weight_decay: float) -> None:
        matrices = _matrices(model)
        known = {id(weight) for weight in matrices}
        others = [p for p in model.parameters() if p.requires_grad and id(p) not in known]
        # Muon takes matrices only: a convolution is one, its kernels laid out in rows.
        self._flat = [nn.Parameter(weight.detach().flatten(1).clone()) for weight in matrices]
        self._muon = Muon(self._flat, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
        self._adamw = AdamW(others, weight_decay=weight_decay, fused=True)
        groups: list[dict[str, Any]] = [
            {"params": matrices, "lr": MATRIX_RATE * learning_rate},
            {"params": others, "lr": learning_rate},
        ]
        super().__init__(groups, {})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Take one step along the gradients."""
        if closure is not None:
            raise ValueError("MuonWithAdamW takes no closure; call backward before step.")
        matrices: list[Tensor] = self.param_groups[0]["params"]
        for weight, flat in zip(matrices, self._flat, strict=True):
            flat.copy_(weight.flatten(1))
            flat.grad = None if weight.grad is None else weight.grad.flatten(1)
        for group, part in zip(self.param_groups, (self._muon, self._adamw), strict=True):
            part.param_groups[0]["lr"] = group["lr"]
            part.step()
        for weight, flat in zip(matrices, self._flat, strict=True):
            weight.copy_(flat.view_as(weight))

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the next steps depend on."""
        rates = [group["lr"] for group in self.param_groups]
        return {
            "rates": rates, "muon": self._muon.state_dict(), "adamw": self._adamw.state_dict()
        }  # fmt: skip

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        for group, rate in zip(self.param_groups, state_dict["rates"], strict=True):
            group["lr"] = rate
        self._muon.load_state_dict(state_dict["muon"])
        self._adamw.load_state_dict(state_dict["adamw"])


def _matrices(model: nn.Module) -> list[nn.Parameter]:
    """Return the weights of the linear and convolution layers that are wide enough."""
    layers = (m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d))
    return [
        cast(nn.Parameter, layer.weight)
        for layer in layers
        if layer.weight.requires_grad and min(layer.weight.shape[:2]) >= LEAST_WIDTH
    ]
