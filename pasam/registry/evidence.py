"""What is measured when a candidate is judged: reload parity, and the time of a prediction."""

from __future__ import annotations

import base64
import io
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pasam.data.images import read_image, read_mask
from pasam.data.manifest import read_manifest
from pasam.data.prompts import tight_box
from pasam.inference.image_prompt import image_prompt
from pasam.inference.predictor import PromptAdapterPredictor
from pasam.registry.answers import answer
from pasam.registry.mlflow_pyfunc import quiet_pyfunc

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
    return answer(model.predict_many([request]), form="rle", uncertainty=False)


def _encoded(pixels: NDArray[np.uint8]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")
