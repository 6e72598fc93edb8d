"""Answers that are put together from what the parts of the service know."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pasam.modeling.pa_mask_decoder import PaMaskDecoder
from pasam.serving.benchmark_scores import read_scores
from pasam.serving.offered_models import OfferedModel
from pasam.serving.payloads import ModelAnswer, ModelsAnswer, OfferedAnswer

NOTE = (
    "This is the small model that comes with the project, trained on generated pictures only. It "
    "shows how the models differ, not how well the full-size ones segment photographs."
)


def said_of(offered: OfferedModel) -> ModelAnswer:
    """Say which version answers."""
    return ModelAnswer(name=offered.name, kind=offered.kind, version=offered.version)


def models_answer(models: Sequence[OfferedModel], scores: Path | None) -> ModelsAnswer:
    """Describe all models, with the registry's scores or those of the report.

    The report's belong to its own names, never to a file or an alias of the same model.

    Args:
        models: What is offered.
        scores: `metrics.json` of the report, read anew so that a later run shows.
    """
    reported = read_scores(scores)
    answers = [
        OfferedAnswer(
            **said_of(each).model_dump(),
            size=each.size,
            base=each.model.base[:12],
            mask_side=each.model.mask_side,
            details=_has_map(each),
            small=each.is_small,
            scores=each.scores or reported.get(each.name),
        )
        for each in models
    ]
    return ModelsAnswer(
        models=answers, note=NOTE if any(each.is_small for each in models) else None
    )


def as_coco(masks: Sequence[dict[str, Any]], size: tuple[int, int]) -> dict[str, Any]:
    """Make a COCO set of the masks of one picture of (H, W) pixels."""
    height, width = size
    annotations = [
        {
            "id": number,
            "image_id": 1,
            "category_id": 1,
            "iscrowd": 0,
            **{key: mask[key] for key in ("segmentation", "area", "bbox", "score")},
        }
        for number, mask in enumerate(masks, start=1)
    ]
    return {
        "images": [{"id": 1, "file_name": "picture", "height": height, "width": width}],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "object"}],
    }


def _has_map(offered: OfferedModel) -> bool:
    return isinstance(offered.model.segmenter.decoder, PaMaskDecoder)
