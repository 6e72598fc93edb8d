"""Weights on disk: safetensors for ours, the official and the reference's `.pth` files besides."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from pasam.errors import CheckpointError


def write_weights(path: Path, weights: Mapping[str, Tensor], *, metadata: Mapping[str, str]) -> None:
    """Write tensors as safetensors, atomically; equal tensors give equal bytes.

    Args:
        path: The file; its folder is made if need be.
        weights: Tensors by name.
        metadata: Words that travel with them (architecture, origin).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = {name: weights[name].detach().cpu().contiguous() for name in sorted(weights)}
    draft = path.with_name(path.name + ".part")
    safetensors.torch.save_file(plain, draft, metadata=dict(sorted(metadata.items())))
    os.replace(draft, path)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a safetensors, `.pth` or `.pt` file; nothing in it is ever executed.

    Raises:
        CheckpointError: The file is missing or cannot be read as plain tensors.
    """
    if not path.is_file():
        raise CheckpointError(
            f"{path} does not exist. Put the weights there, or set base.checkpoint in params.yaml "
            "to where they are."
        )
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, ValueError, EOFError, KeyError) as error:
        raise CheckpointError(f"{path} cannot be read as weights: {error}") from None
    except Exception as error:
        if type(error).__name__ != "UnpicklingError":
            raise
        raise CheckpointError(
            f"{path} holds more than tensors ({error}); only plain state dicts are read, since "
            "anything else can run code."
        ) from None
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise CheckpointError(f"{path} holds {type(content).__name__}, expected tensors by name.")
    return content


def read_metadata(path: Path) -> dict[str, str]:
    """Read the words that travel with a safetensors file."""
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata() or {})


def load_strictly(module: nn.Module, weights: Mapping[str, Tensor], *, source: str) -> None:
    """Load tensors into a module that has exactly these names and shapes.

    Half-precision tensors are widened to the module's precision.

    Args:
        module: What receives the weights.
        weights: Tensors by name.
        source: Where they come from, for the error.

    Raises:
        CheckpointError: A tensor is missing, unknown, or of another shape.
    """
    wanted = module.state_dict()
    missing = sorted(set(wanted) - set(weights))
    unknown = sorted(set(weights) - set(wanted))
    other = [
        f"{name} is {tuple(weights[name].shape)}, expected {tuple(wanted[name].shape)}"
        for name in sorted(set(wanted) & set(weights))
        if weights[name].shape != wanted[name].shape
    ]
    if missing or unknown or other:
        raise CheckpointError(
            f"{source} does not fit this architecture ({len(wanted)} tensors expected, "
            f"{len(weights)} found): missing {_few(missing)}; unknown {_few(unknown)}; "
            f"of another shape {_few(other)}. Check base.size against base.checkpoint."
        )
    module.load_state_dict(dict(weights), strict=True)


def _few(names: list[str]) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
