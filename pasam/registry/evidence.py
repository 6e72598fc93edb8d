"""What is measured when a candidate is judged or watched: parity, latency, scores of today."""

from __future__ import annotations

import base64
import io
import json
import math
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from pasam.config.params_file import DEFAULT_PATH, load_section
from pasam.config.schema import EmbedParams, EvaluateParams
from pasam.data.manifest import read_manifest
from pasam.evaluation.protocol import benchmark_rows, evaluate_segmenter
from pasam.evaluation.scores import UNTRAINED
from pasam.inference.image_prompt import image_prompt
from pasam.inference.mask_record import mlflow_answer
from pasam.inference.predictor import PromptAdapterPredictor
from pasam.masks.images import read_image, read_mask
from pasam.masks.prompts import tight_box
from pasam.models.segmenter import Segmenter
from pasam.registry.candidate import comparable_rows
from pasam.registry.model_files import fetched, predictor_of, scores_of
from pasam.registry.snapshot import MANIFEST, read_lock
from pasam.registry.store import quiet_pyfunc, translated
from pasam.registry.versions import CHAMPION, open_registry
from pasam.training.embeddings import Store, benchmark_tasks, open_store, write_store

# --- evidence: What is measured when a candidate is judged: reload parity, and the time of a
# prediction.

ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Example:
    """A benchmark image with the box of its object."""

    pixels: NDArray[np.uint8]
    """(H, W, 3)."""
    box: tuple[float, ...]
    """Corners x0, y0, x1, y1 in pixels."""


def examples(project: Path, manifest: Path, *, count: int) -> list[Example]:
    """Take the first image of each benchmark, of the first `count` benchmarks."""
    frame = read_manifest(manifest)
    rows = frame[frame["split"] == "val"].groupby("dataset", sort=True).head(1).head(count)
    return [
        Example(
            pixels=read_image(project / image),
            box=tuple(float(edge) for edge in tight_box(read_mask(project / mask))),
        )
        for image, mask in zip(rows["image"], rows["mask"], strict=True)
    ]


def reload_parity(folder: Path, trained: PromptAdapterPredictor, seen: Sequence[Example]) -> bool:
    """Say whether the folder that MLflow serves predicts, bit for bit, what the trained files do.

    Args:
        folder: A fetched model folder.
        trained: The predictor made of the project's own files.
        seen: Images to try.
    """
    import pandas as pd

    rows = [
        {"image": _encoded(each.pixels), "prompts": json.dumps({"box": each.box})} for each in seen
    ]
    with quiet_pyfunc() as pyfunc:
        served = pyfunc.load_model(str(folder))
        answers: list[str] = served.predict(pd.DataFrame(rows))["result"].tolist()
    return answers == [_direct(trained, each) for each in seen]


def latencies(predictors: Sequence[PromptAdapterPredictor], seen: Sequence[Example]) -> list[float]:
    """Time one prediction on an embedded image, the models taking turns on the same machine.

    Returns:
        Median milliseconds of each model.
    """
    requests = [
        [(model.embed(each.pixels), image_prompt(box=each.box)) for each in seen]
        for model in predictors
    ]
    times: list[list[float]] = [[] for _ in predictors]
    for turn in range(ROUNDS + 1):
        for model, asked, spent in zip(predictors, requests, times, strict=True):
            for request in asked:
                start = time.perf_counter()
                model.predict_many([request])
                if turn:  # the first turn warms up
                    spent.append(1000 * (time.perf_counter() - start))
    return [statistics.median(spent) for spent in times]


def _direct(model: PromptAdapterPredictor, example: Example) -> str:
    request = (model.embed(example.pixels), image_prompt(box=example.box))
    return mlflow_answer(model.predict_many([request]), form="rle", uncertainty=False)


def _encoded(pixels: NDArray[np.uint8]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")


# --- remeasure: Measuring an older version again, on today's images with today's evaluator.


def todays_scores(project: Path, predictor: PromptAdapterPredictor) -> pd.DataFrame:
    """Score a model on the project's data as it was prepared last.

    Args:
        project: The project's root.
        predictor: The model.

    Returns:
        The rows of `pasam.evaluation.scores` that versions are compared on.

    Raises:
        DataError: Nothing was prepared yet.
    """
    lock = read_lock(project)
    manifest = next(entry.path for _, entry in lock.makers(MANIFEST))
    stores = [
        project / path
        for stage in lock.stages.values()
        if stage.kind == "embed" and stage.name.endswith("@val")
        for path in stage.outs
    ]
    scores = remeasure(
        predictor, project=project, manifest=project / manifest,
        embeddings=stores[0] if stores else None,
    )  # fmt: skip
    return comparable_rows(scores)


def remeasure(
    predictor: PromptAdapterPredictor,
    *,
    project: Path,
    manifest: Path,
    embeddings: Path | None,
) -> pd.DataFrame:
    """Score a model on the benchmarks of the project.

    Args:
        predictor: The model.
        project: The project's root, to which the manifest's paths are relative.
        manifest: Today's data.
        embeddings: The project's store of the `val` split, used if the model has the same base.

    Returns:
        Rows of `pasam.evaluation.scores`.
    """
    frame = read_manifest(manifest)
    for column in ("image", "mask"):
        frame[column] = [str(project / path) for path in frame[column]]
    params_file = project / DEFAULT_PATH
    params = load_section(EvaluateParams, "evaluate", params_file)
    with tempfile.TemporaryDirectory() as folder:
        store = _fitting(embeddings, predictor.base) or _encode(
            predictor.segmenter,
            frame,
            Path(folder),
            load_section(EmbedParams, "embed", params_file),
        )
        rows = [
            row
            for benchmark in params.benchmarks
            for row in evaluate_segmenter(
                predictor.segmenter,
                store,
                benchmark_rows(frame, benchmark),
                model=predictor.name,
                seed=UNTRAINED,
                batch_size=params.batch_size,
                boundary_fraction=params.boundary_fraction,
            ).scores
        ]
    return pd.DataFrame(rows)


def _fitting(folder: Path | None, base: str) -> Store | None:
    if folder is None or not folder.is_dir():
        return None
    store = open_store(folder)
    return store if store.origin["base"] == base else None


def _encode(segmenter: Segmenter, frame: pd.DataFrame, folder: Path, params: EmbedParams) -> Store:
    write_store(
        folder,
        benchmark_tasks(frame),
        dict(zip(frame["mask"], frame["id"], strict=True)),
        segmenter.base,
        jitter=params.jitter,
        batch_size=params.batch_size,
        workers=1,
        origin={"split": "val", **params.model_dump()},
    )
    return open_store(folder)


# --- watch: How the champion does on today's data: on what it was judged on, and on what is new.


@dataclass(frozen=True, kw_only=True, slots=True)
class Watched:
    """The champion on one benchmark; scores are mean boundary IoU in points, nan without images."""

    benchmark: str
    known: int
    """Images that it was judged on and that are still there."""
    judged: float
    """Its score on these when it was judged."""
    today: float
    """Its score on these today."""
    new: int
    """Images that have come since."""
    on_new: float
    """Its score on these."""

    def shown(self) -> dict[str, str | int]:
        """The row of a table for people."""
        scores = {"when judged": self.judged, "today": self.today, "on new": self.on_new}
        texts = {
            name: "-" if math.isnan(score) else f"{score:.2f}" for name, score in scores.items()
        }
        return {"benchmark": self.benchmark, "known": self.known, "new": self.new, **texts}


@dataclass(frozen=True, kw_only=True, slots=True)
class ChampionWatch:
    """All benchmarks, and a sentence."""

    version: int
    rows: tuple[Watched, ...]
    message: str


def watch_champion(project: Path) -> ChampionWatch | None:
    """Measure the champion on the benchmarks as they are today; None if there is no champion.

    Args:
        project: The project's root, its data prepared and embedded.

    Raises:
        TrackingError: MLflow cannot be reached.
        DataError: The data was never prepared.
    """
    registry = open_registry(project)
    with translated(registry.store.registry_uri):
        if CHAMPION not in registry.aliases():
            return None
        champion = registry.version(CHAMPION)
        before = scores_of(registry, champion)
        with fetched(registry, champion) as folder:
            predictor = predictor_of(folder)
    return compare(champion.number, before, todays_scores(project, predictor))


def compare(version: int, before: pd.DataFrame, today: pd.DataFrame) -> ChampionWatch:
    """Tell new images from known ones, and what the champion scores on each.

    Args:
        version: The champion's number.
        before: Its score rows when it was judged.
        today: Its score rows on today's data.
    """
    rows = tuple(
        _watched(str(name), before[before["benchmark"] == name], part)
        for name, part in today.groupby("benchmark", sort=True)
    )
    new = sum(row.new for row in rows)
    images = "1 image is" if new == 1 else f"{new or 'no'} images are"
    message = f"Version {version} is champion; {images} new since it was judged."
    if new:
        score = sum(row.on_new * row.new for row in rows if row.new) / new
        message += f" On what is new it scores {score:.2f} points of boundary IoU."
    return ChampionWatch(version=version, rows=rows, message=message)


def _watched(benchmark: str, before: pd.DataFrame, today: pd.DataFrame) -> Watched:
    known = set(before["image_id"]) & set(today["image_id"])
    fresh = today[~today["image_id"].isin(known)]
    return Watched(
        benchmark=benchmark,
        known=len(known),
        judged=_mean(before[before["image_id"].isin(known)]),
        today=_mean(today[today["image_id"].isin(known)]),
        new=fresh["image_id"].nunique(),
        on_new=_mean(fresh),
    )


def _mean(scores: pd.DataFrame) -> float:
    """Mean over images of the mean over an image's masks, in points."""
    return float(scores.groupby("image_id")["boundary_iou"].mean().mean() * 100)
