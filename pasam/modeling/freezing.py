"""What learns and what stays: freezing by name, and the proof that frozen weights did not move."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn


def freeze_except(module: nn.Module, trainable: Iterable[str]) -> list[str]:
    """Let only the parameters learn whose names begin with one of the prefixes.

    Args:
        module: Changed in place.
        trainable: Prefixes; none freezes everything.

    Returns:
        Names of the parameters that learn.
    """
    prefixes = tuple(trainable)
    learning = []
    for name, parameter in module.named_parameters():
        learns = name.startswith(prefixes) if prefixes else False
        parameter.requires_grad_(learns)
        if learns:
            learning.append(name)
    return learning


def frozen_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return every tensor that must not move: frozen parameters and all buffers."""
    learning = {name for name, p in module.named_parameters() if p.requires_grad}
    return {name: t for name, t in module.state_dict().items() if name not in learning}


def digest(tensors: Mapping[str, Tensor]) -> str:
    """Hash names and bytes of tensors; equal digests mean equal bits."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        plain = tensors[name].detach().cpu().contiguous()
        total.update(f"{name} {plain.dtype} {tuple(plain.shape)}".encode())
        total.update(plain.flatten().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()
