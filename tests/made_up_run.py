"""A run that was never made: scores, pictures and histories that reports can be built from."""

from __future__ import annotations

import dataclasses
import zlib
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

SMOKE = Path(__file__).resolve().parent.parent / "params" / "smoke.yaml"
LEVELS = {"oracle": 0.95, "sam": 0.5, "hq_sam": 0.65, "pa_sam": 0.7}
BENCHMARKS = ("thin_like", "dis_like", "hrsod_like", "coift_like")
HEIGHT, WIDTH = 40, 60


@dataclasses.dataclass(frozen=True)
class Predicted:
    """A predicted mask and what came with it."""

    mask: np.ndarray
    box: np.ndarray | None = None
    uncertainty: np.ndarray | None = None
    positive: np.ndarray | None = None
    negative: np.ndarray | None = None
    maps: dict = dataclasses.field(default_factory=dict)


def made_up_scores(
    models=tuple(LEVELS), benchmarks=BENCHMARKS, n=6, seeds=(42,), prompt="box", corruption="none"
) -> pd.DataFrame:
    """Score rows in which every model is ahead of the one before by its level on average.

    Images, seeds and both metrics have noise of their own, centred on every benchmark: means and
    mean differences are round numbers, and nothing else is.
    """
    generator = np.random.default_rng(0)
    rows = []
    for benchmark in benchmarks:
        hardness = generator.uniform(-0.05, 0.05, n)
        for model, seed in product(models, seeds):
            level = LEVELS.get(model, 0.6)
            key = (benchmark, model, seed, prompt, corruption)
            iou = level + hardness + _noise(n, model, "iou", *key)
            boundary_iou = level - 0.2 + hardness + _noise(n, model, "boundary_iou", *key)
            rows += [
                {
                    "model": model,
                    "benchmark": benchmark,
                    "image_id": f"{benchmark}/{k}",
                    "group": f"image {k}",
                    "prompt": prompt,
                    "corruption": corruption,
                    "seed": seed,
                    "iou": iou[k],
                    "boundary_iou": boundary_iou[k],
                    "intersection": round(1000 * iou[k]),
                    "union": 1000,
                    "boundary_covers": benchmark == "thin_like" and k < n / 2,
                    "area": 0.2,
                    "complexity": 1.0 + k + (benchmark == "dis_like"),
                    "height": HEIGHT,
                    "width": WIDTH,
                }
                for k in range(n)
            ]
    return pd.DataFrame(rows)


def _noise(n: int, model: str, *key: object) -> np.ndarray:
    """Noise of n images around zero; the oracle has none."""
    values = np.random.default_rng([8, zlib.crc32(repr(key).encode())]).normal(0, 0.03, n)
    return (values - values.mean()) * (model != "oracle")


def change_scores(scores: pd.DataFrame, model: str, by) -> pd.DataFrame:
    """Add to a model's boundary IoU: a number, or a value per row of its own."""
    changed = scores.copy()
    rows = changed["model"] == model
    changed.loc[rows, "boundary_iou"] += by(changed[rows]) if callable(by) else by
    return changed


@cache
def _sections() -> dict[str, Any]:
    from pasam.config.params_file import load_section
    from pasam.config.schema import (
        BaseParams,
        DataParams,
        EvaluateParams,
        ReportParams,
        TrainParams,
    )

    kinds = {
        "base": BaseParams, "data": DataParams, "train": TrainParams,
        "evaluate": EvaluateParams, "report": ReportParams,
    }  # fmt: skip
    return {name: load_section(kind, name, SMOKE) for name, kind in kinds.items()}


@cache
def _variants() -> dict[str, Any]:
    from pasam.config.params_file import load_models

    return load_models(SMOKE)


class MadeUpImages:
    """The same image and ground truth for every id, and a prediction for every model."""

    def __init__(self, predicted=None):
        self.predicted = predicted or (lambda model, benchmark, image_id: _predicted(model))

    def image(self, image_id: str) -> np.ndarray:
        return _image()

    def truth(self, image_id: str) -> np.ndarray:
        return _truth()


def made_up_results(scores: pd.DataFrame | None = None, **changes: Any):
    """Build the inputs of a report.

    Any field of `Results`, `RunParams`, `PublishedNumbers` or `AblationResults` can be changed,
    the last as `published`, `comparable`, `published_precisions`, `ablations`,
    `ablation_changes` and `ablation_facts`.
    """
    from pasam.reporting.results import AblationResults, PublishedNumbers, Results, RunParams

    rows = made_up_scores() if scores is None else scores
    models = [m for m in dict.fromkeys(rows["model"]) if m in ("hq_sam", "pa_sam")]
    resamples = 1000 if "ablations" in changes else 300  # enough for Holm over so many rows
    report = _sections()["report"].replaced(n_resamples=resamples, gallery=3)
    variants = {m: v for m, v in _variants().items() if m in models}
    params = {**_sections(), "report": report, "variants": variants}
    history = pd.DataFrame({"epoch": [0.0, 1.0], "loss": [2.0, 1.0], "loss_dice": [1.0, 0.5]})
    published = changes.pop("published", None)
    if published is None:
        columns = ["model", "benchmark", "published_benchmark", "miou", "mbiou", "tolerance"]
        published = pd.DataFrame(columns=columns)
    ablations, told, facts = (
        changes.pop(name, None) for name in ("ablations", "ablation_changes", "ablation_facts")
    )
    parts = {
        "setting": "A run that was never made.",
        "params": RunParams(**{k: changes.pop(k, value) for k, value in params.items()}),
        "images": MadeUpImages(),
        "manifest": made_up_manifest(rows),
        "scores": rows,
        "conditions": rows,
        "histories": dict.fromkeys(models, history),
        "published": PublishedNumbers(
            scores=published,
            comparable=changes.pop("comparable", False),
            precisions=changes.pop("published_precisions", None),
        ),
        "costs": dict.fromkeys(models, {"parameters": 5000, "trainable": 1234}),
        "ablations": None
        if ablations is None
        else AblationResults(scores=ablations, changes=told or {}, facts=facts or {}),
    }
    return Results(**{**parts, **changes})


ABLATIONS = {
    "head_only": {
        "of": "pa_sam",
        "change": {
            "adapter": {"dense": False, "sparse": False, "tokens": False},
            "mining": {"method": "none"},
        },
    },
    "no_mining": {"of": "pa_sam", "change": {"mining": {"method": "none"}}},
    "no_dense": {"of": "pa_sam", "change": {"adapter": {"dense": False}}},
    "no_sparse": {"of": "pa_sam", "change": {"adapter": {"sparse": False}}},
    "mining_random": {"of": "pa_sam", "change": {"mining": {"method": "random"}}},
    "points_8": {"of": "pa_sam", "change": {"mining": {"points": 8}}},
    "image_features": {"of": "image_adapter", "change": {}},
    "adapter_only": {"of": "pa_sam", "change": {"trains": "adapter"}},
    "finer_maps": {"of": "pa_sam", "change": {"adapter": {"maps": "double"}}},
    "gradient_image": {"of": "pa_sam", "change": {"gradient": "image"}},
    "nothing": {"of": "pa_sam", "change": {}},
}


def made_up_ablations(seed: int = 1, **gains: float) -> dict[str, Any]:
    """Fields of `Results` in which each variant is ahead of PA-SAM by its gain, 0 by default."""
    rows = []
    for number, name in enumerate(ABLATIONS):
        own = made_up_scores(models=("pa_sam",))
        noise = np.random.default_rng([seed, number]).normal(0, 0.01, len(own))
        own["boundary_iou"] += 0 if name == "nothing" else gains.get(name, 0.0) + noise
        rows.append(own.assign(model=name))
    digests = {"frozen_before": "a", "frozen_after": "a"}
    return {
        "ablations": pd.concat(rows, ignore_index=True),
        "ablation_changes": ABLATIONS,
        "ablation_facts": {name: {"trainable": 1000, **digests} for name in ABLATIONS},
    }


def made_up_diagnostics(
    models=("pa_sam", "mining_random"), benchmarks=BENCHMARKS, **means: float
) -> pd.DataFrame:
    """Diagnostics with given means and a little noise."""
    levels = {
        "dense_change": 0.3, "sparse_change": 0.2, "coarse_iou": 0.6, "refined_iou": 0.65,
        "final_iou": 0.7, "uncertainty_auroc": 0.8, "uncertain_share": 0.1, "point_spread": 0.2,
        "points_right": 0.7, "points_in_band": 0.3, "points_right_in_band": 0.6,
        "points_right_outside": 0.2, **means,
    }  # fmt: skip
    keys = ["model", "seed", "benchmark", "image_id", "prompt"]
    frame = made_up_scores(models=models, benchmarks=benchmarks)[keys]
    generator = np.random.default_rng(0)
    noise = {k: v + generator.normal(0, 0.01, len(frame)) for k, v in levels.items()}
    return frame.assign(**noise)


def made_up_manifest(scores: pd.DataFrame) -> pd.DataFrame:
    """A manifest of the scored images and two training masks of one image."""
    images = scores.drop_duplicates("image_id")
    rows = [("val", b, i) for b, i in zip(images["benchmark"], images["image_id"], strict=True)]
    rows += [("train", "generated_train", "a"), ("train", "generated_train", "a")]
    return pd.DataFrame(rows, columns=["split", "dataset", "image"])


def _image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def _truth() -> np.ndarray:
    truth = np.zeros((HEIGHT, WIDTH), np.bool_)
    truth[10:30, 10:30] = True
    return truth


def _predicted(model: str) -> Predicted:
    mask, box = np.roll(_truth(), 3, axis=1), np.array([10, 10, 29, 29], np.float32)
    if model != "pa_sam":
        return Predicted(mask=mask, box=box)
    return Predicted(
        mask=mask,
        box=box,
        uncertainty=np.random.default_rng(1).random((8, 8)).astype(np.float16),
        positive=np.array([[12, 12], [14, 20]], np.float32),
        negative=np.array([[50, 35]], np.float32),
        maps={
            name: np.random.default_rng(k).normal(0, 1, (8, 8)).astype(np.float16)
            for k, name in enumerate(("guiding", "dense_change", "attention", "coarse", "refined"))
        },
    )
