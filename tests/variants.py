"""The trained models as tests want them: the default's choices, with what a test changes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from pasam.params import HqSamParams, ImageAdapterParams, PaSamParams
from pasam.params_file import load_variant

DEFAULT = Path(__file__).resolve().parent.parent / "params" / "default.yaml"


def hq_sam(**changes: Any) -> HqSamParams:
    """HQ-SAM with one epoch, or what is given instead."""
    return dataclasses.replace(load_variant("hq_sam", DEFAULT), **{"epochs": 1, **changes})


def pa_sam(**changes: Any) -> PaSamParams:
    """PA-SAM, the reference's choices, with one epoch that mines.

    Args:
        changes: Values by name; those of a nested section as `mining_points=2`.
    """
    params = load_variant("pa_sam", DEFAULT)
    nested: dict[str, dict[str, Any]] = {"adapter": {}, "mining": {"from_epoch": 0}}
    plain: dict[str, Any] = {"epochs": 1}
    for name, value in changes.items():
        section, _, key = name.partition("_")
        if section in nested and key:
            nested[section][key] = value
        else:
            plain[name] = value
    sections = {k: dataclasses.replace(getattr(params, k), **v) for k, v in nested.items()}
    return dataclasses.replace(params, **sections, **plain)


def image_adapter(**changes: Any) -> ImageAdapterParams:
    """The image adapter, trained as `pa_sam` is."""
    like = pa_sam()
    shared = ("epochs", "lr_drop_every", "prompts", "prompts_per_mask", "gradient", "trains")
    values = {name: getattr(like, name) for name in shared}
    return ImageAdapterParams(**{"decoder": "image_adapter", **values, **changes})
