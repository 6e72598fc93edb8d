"""What a training changed and what it left: parameter counts, and digests of the frozen weights."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from pasam.modeling.build import count_parameters
from pasam.modeling.freezing import digest, frozen_tensors
from pasam.modeling.segmenter import Segmenter


def training_facts(
    segmenter: Segmenter, *, model: str, frozen_before: str, base: str
) -> dict[str, Any]:
    """Describe a trained model.

    Args:
        segmenter: The model after its training.
        model: Its name.
        frozen_before: Digest of its frozen tensors before training.
        base: Digest of the base's checkpoint file.

    Returns:
        `parameters` of encoders and decoder together, of which `trainable` learn, by part under
        `trained`; `frozen_before` and `frozen_after`, which are equal; `base`; `model`.
    """
    parts: Counter[str] = Counter()
    for name, parameter in segmenter.named_parameters():
        if parameter.requires_grad:
            parts[_part(name)] += parameter.numel()
    total, _ = count_parameters(segmenter)
    replaced, _ = count_parameters(segmenter.base.sam.mask_decoder)
    return {
        "model": model,
        "base": base,
        "parameters": total - replaced,
        "trainable": sum(parts.values()),
        "trained": dict(sorted(parts.items())),
        "frozen_before": frozen_before,
        "frozen_after": digest(frozen_tensors(segmenter)),
    }


def write_facts(
    path: Path, segmenter: Segmenter, *, model: str, frozen_before: str, base: str
) -> None:
    """Write `training_facts` as JSON, atomically."""
    facts = training_facts(segmenter, model=model, frozen_before=frozen_before, base=base)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".part")
    draft.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    draft.replace(path)


def _part(name: str) -> str:
    """Name the part of the model that a parameter belongs to: `prompt_adapter`, ..."""
    words = name.split(".")
    return words[1] if words[0] == "decoder" else words[2]  # base.sam.<part>
