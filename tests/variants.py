"""The trained models as tests want them: the default's choices, with what a test changes."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from pasam.config.params_file import load_variant
from pasam.config.schema import HqSamParams, ImageAdapterParams, PaSamParams, VariantParams

DEFAULT = Path(__file__).resolve().parent.parent / "params" / "default.yaml"


@cache
def _default(name: str) -> VariantParams:
    return load_variant(name, DEFAULT)


def hq_sam(**changes: Any) -> HqSamParams:
    """HQ-SAM with one epoch, or what is given instead."""
    return _default("hq_sam").replaced(**{"epochs": 1, **changes})


def pa_sam(**changes: Any) -> PaSamParams:
    """PA-SAM, the reference's choices, with one epoch that mines.

    Args:
        changes: Values by name; those of a nested section as `mining_points=2`.
    """
    params = _default("pa_sam")
    nested: dict[str, dict[str, Any]] = {"adapter": {}, "mining": {"from_epoch": 0}}
    plain: dict[str, Any] = {"epochs": 1}
    for name, value in changes.items():
        section, _, key = name.partition("_")
        if section in nested and key in type(getattr(params, section)).model_fields:
            nested[section][key] = value
        else:
            plain[name] = value
    sections = {k: getattr(params, k).replaced(**v) for k, v in nested.items()}
    return params.replaced(**sections, **plain)


def image_adapter(**changes: Any) -> ImageAdapterParams:
    """The image adapter, trained as `pa_sam` is."""
    like = pa_sam()
    shared = ("epochs", "lr_step_size", "prompts", "prompts_per_mask", "gradient", "trains")
    values = {name: getattr(like, name) for name in shared}
    return ImageAdapterParams(**{"decoder": "image_adapter", **values, **changes})
