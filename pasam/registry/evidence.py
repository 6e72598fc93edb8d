"""What is measured when a candidate is judged or the champion watched: parity, latency, scores."""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pasam.config.params_file import load_section
from pasam.config.schema import EmbedParams, EvaluateParams
from pasam.errors import PasamError, RegistryError
from pasam.evaluation.model_set import ModelEntry
from pasam.evaluation.protocol import evaluate_benchmarks
from pasam.evaluation.scores import UNTRAINED
from pasam.files import read_json, temporary_folder
from pasam.inference.image_prompt import ImagePrompt, PromptRequest, image_prompt
from pasam.inference.mask_record import mlflow_answer
from pasam.inference.predictor import PromptAdapterPredictor
from pasam.masks.images import encode_png, foreground, read_image
from pasam.masks.mask_files import read_mask
from pasam.masks.overlap import mask_iou
from pasam.masks.prompts import tight_box
from pasam.models.base_sam import choose_device
from pasam.models.segmenter import Segmenter
from pasam.registry.decision_log import CHAMPION
from pasam.registry.snapshot import MANIFEST, PARAMS, Snapshot, folder_md5, take_snapshot
from pasam.registry.store import ARTIFACTS, quiet_pyfunc, wrap_mlflow_errors
from pasam.registry.transitions import open_decisions
from pasam.registry.upkeep.stored_files import METADATA
from pasam.registry.verdict_page import CORRECTIONS, PROVENANCE
from pasam.registry.version_files import comparable_rows, predictor_of, scores_of
from pasam.training.embeddings import Store, benchmark_tasks, open_store, write_store

MOST_CORRECTED = 12
"""Corrections that a verdict's page shows: the latest."""
TURNS, MOST_TURNS, LONGEST = 5, 60, 400
"""Times that every model predicts every image when it is timed, before it is called slow, and at
the most, while the clock and the processor's time disagree."""


@dataclass(frozen=True, slots=True)
class TrialImage:
    """A benchmark image with the box of its object."""

    pixels: NDArray[np.uint8]
    """(H, W, 3)."""
    box: tuple[float, ...]
    """Corners x0, y0, x1, y1 in pixels."""


def trial_images(snapshot: Snapshot, *, count: int) -> list[TrialImage]:
    """Take the first image of each of `count` benchmarks, those that the manifest names first."""
    frame, project = snapshot.manifest, snapshot.project
    rows = frame[frame["split"] == "val"].groupby("dataset").head(1).head(count)
    return [
        TrialImage(
            pixels=read_image(project / image),
            box=tuple(float(edge) for edge in tight_box(read_mask(project / mask))),
        )
        for image, mask in zip(rows["image"], rows["mask"], strict=True)
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class CorrectedImage:
    """An image whose mask a person has corrected, and what models make of it now."""

    identity: str
    image: Path
    who: str
    why: str
    masks: Mapping[str, NDArray[np.bool_]]
    """(H, W): `before`, the mask that was corrected, if it is known; `corrected`, the person's;
    `champion` and `candidate`, today's of the first prompt that was recorded with the correction,
    of the box of the person's mask where none was that can be answered by itself."""

    def iou(self, name: str) -> float:
        """Return a mask's IoU with the person's, in per cent."""
        return 100.0 * mask_iou(self.masks["corrected"], self.masks[name])


def corrected_images(
    own: Path, models: Mapping[str, PromptAdapterPredictor]
) -> list[CorrectedImage]:
    """Let models predict what people have corrected; what cannot be read is left out.

    Args:
        own: Folder of one's own data.
        models: By the names of their masks.
    """
    try:
        origins = read_json(own / CORRECTIONS / PROVENANCE)
    except PasamError:
        return []
    listed = origins.items() if isinstance(origins, dict) else ()
    known = [(identity, about) for identity, about in listed if isinstance(about, dict)]
    latest = sorted(known, key=lambda item: str(item[1].get("when")))[-MOST_CORRECTED:]
    found = []
    for identity, about in latest:
        with suppress(PasamError, OSError, KeyError, TypeError, ValueError):
            found.append(_corrected(own / CORRECTIONS, identity, about, models))
    return found


def _corrected(
    folder: Path, identity: str, about: Mapping[str, Any],
    models: Mapping[str, PromptAdapterPredictor],
) -> CorrectedImage:  # fmt: skip
    place = folder / about["image"]
    image, label = read_image(place), read_mask(folder / about["mask"])
    prompt = _recorded_prompt(about, label)
    masks = {}
    if about.get("before"):
        masks["before"] = foreground(read_mask(folder / about["before"]))
    masks["corrected"] = foreground(label)
    for name, model in models.items():
        embedded = model.embed(image)
        request = embedded, prompt.with_logits(embedded.transform, model.mask_side)
        masks[name] = model.predict_many([request])[0].masks[0]
    return CorrectedImage(
        identity=identity, image=place, who=str(about.get("who")), why=str(about.get("why")),
        masks=masks,
    )  # fmt: skip


def _recorded_prompt(about: Mapping[str, Any], label: NDArray[np.uint8]) -> ImagePrompt:
    """Give the prompt of a correction, or the box of its mask, (H, W)."""
    recorded = (about.get("prompt") or [None])[0]
    with suppress(PasamError, ValueError):  # such as points beside an object that was painted
        if recorded:
            return PromptRequest.model_validate(recorded).prompt().clipped(*label.shape)
    return image_prompt(box=[float(edge) for edge in tight_box(label)])


def reload_parity(
    folder: Path, trained: PromptAdapterPredictor, seen: Sequence[TrialImage]
) -> bool:
    """Say whether a fetched version predicts, bit for bit, what the project's own files do."""
    with quiet_pyfunc():  # which speaks of our model's types as soon as its class is made
        from mlflow.pyfunc.model import PythonModelContext

        from pasam.registry.pyfunc_model import ServedModel
    rows = [
        {
            "image": base64.b64encode(encode_png(each.pixels)).decode("ascii"),
            "prompts": json.dumps({"box": each.box}),
        }
        for each in seen
    ]
    served = ServedModel()  # this package's own: code that lies with a version is never run here
    files = {METADATA: str(folder / ARTIFACTS / METADATA)}
    context = PythonModelContext(files, None)  # type: ignore[no-untyped-call]
    served.load_context(context)
    answers: list[str] = served.predict(context, pd.DataFrame(rows))["result"].tolist()
    return answers == [_direct(trained, each) for each in seen]


def latencies(
    predictors: Sequence[PromptAdapterPredictor],
    seen: Sequence[TrialImage],
    *,
    settled: Callable[[Sequence[float]], bool] = lambda times: True,
) -> list[float]:
    """Time the first prediction on an embedded image, the models taking turns on one machine.

    What a machine does besides only ever makes a prediction slower, so that the best of many turns
    is the model's own time. After few turns that may be luck: of two models the one that was left
    alone looks fast. So it is believed only once the processor's time, which other work does not
    lengthen, says the same; while they disagree the turns go on, and at last the clock decides.

    Args:
        predictors: The models.
        seen: Images to try.
        settled: Whether these times decide; if not, it is tried more often before it is believed.

    Returns:
        Milliseconds of each model, the mean over images of the best of all turns.
    """
    requests = [
        [(model.embed(each.pixels), image_prompt(box=each.box)) for each in seen]
        for model in predictors
    ]
    best = np.full((len(predictors), len(seen)), np.inf)
    worked = np.zeros(len(predictors))
    for turn in range(LONGEST + 1):
        for place, (model, asked) in enumerate(zip(predictors, requests, strict=True)):
            for which, request in enumerate(asked):
                image, prompt = request
                fresh = dataclasses.replace(image)  # nothing is made of it: the first prompt's time
                start, work = time.perf_counter(), time.process_time()
                model.predict_many([(fresh, prompt)])
                if turn:  # the first turn warms up
                    spent = 1000 * (time.perf_counter() - start)
                    best[place, which] = min(best[place, which], spent)
                    worked[place] += 1000 * (time.process_time() - work)
        times = [float(each) for each in best.mean(axis=1)]
        if turn < TURNS:
            continue
        said = {settled(times), settled([float(each) for each in worked / (turn * len(seen))])}
        if said == {True} or (said == {False} and turn >= MOST_TURNS):
            break
    return times


def _direct(model: PromptAdapterPredictor, example: TrialImage) -> str:
    request = (model.embed(example.pixels), image_prompt(box=example.box))
    return mlflow_answer(model.predict_many([request]), form="rle", uncertainty=False)


def remeasure(
    snapshot: Snapshot,
    predictor: PromptAdapterPredictor,
    scores: pd.DataFrame,
    *,
    champion: pd.DataFrame | None = None,
    count: int = 4,
) -> float:
    """Measure some masks of each benchmark again.

    A few are drawn, so that nobody knows them beforehand. Against a champion those are added by
    which the model gains most: a few scores that were raised a lot would seldom be drawn.

    Args:
        snapshot: The project.
        predictor: The model.
        scores: Its scores as they were handed in.
        champion: The champion's scores, if there is one.
        count: Masks of each benchmark that are drawn, and those of the largest gain.

    Returns:
        Mean difference between the two, in points; nan if a mask has no score.
    """
    frame = snapshot.manifest
    rows = frame[(frame["split"] == "val") & frame["dataset"].isin(set(scores["benchmark"]))]
    order = rows.sample(frac=1, random_state=secrets.randbits(32))
    drawn = order.groupby("dataset").head(count)
    keys = ["benchmark", "image_id", "prompt"]
    if champion is not None:
        both = scores.merge(champion, on=keys, suffixes=("", "_champion"))
        gains = (both["boundary_iou"] - both["boundary_iou_champion"]).sort_values(ascending=False)
        most = both.loc[gains.index].groupby("benchmark").head(count)
        named = set(zip(most["benchmark"], most["image_id"], strict=True))
        is_named = [pair in named for pair in zip(rows["dataset"], rows["id"], strict=True)]
        drawn = rows.loc[sorted({*drawn.index, *rows.index[is_named]})]
    again = reevaluate(snapshot, predictor, drawn)
    both = again.merge(scores, on=keys, how="left", suffixes=("", "_before"))
    differences = (both["boundary_iou"] - both["boundary_iou_before"]).abs()
    return float(100 * differences.mean(skipna=False))  # nan if one of them had no score


def reevaluate(
    snapshot: Snapshot,
    predictor: PromptAdapterPredictor,
    rows: pd.DataFrame | None = None,
    *,
    benchmarks: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Score a model on the project's data as it was prepared last, with today's evaluator.

    Args:
        snapshot: The project.
        predictor: The model.
        rows: Rows of the manifest; None takes all.
        benchmarks: Data sets to measure on; None takes those of `evaluate.benchmarks`.

    Returns:
        The rows of `pasam.evaluation.scores` that versions are compared on.

    Raises:
        DataError: Nothing was prepared yet.
    """
    project, frame = snapshot.project, (snapshot.manifest if rows is None else rows).copy()
    for column in ("image", "mask"):
        frame[column] = [str(project / path) for path in frame[column]]
    params = load_section(EvaluateParams, "evaluate", project / PARAMS)
    if benchmarks is not None:
        params = params.replaced(benchmarks=tuple(benchmarks))
    embed = load_section(EmbedParams, "embed", project / PARAMS)
    segmenter = predictor.segmenter
    with temporary_folder() as folder:
        store = _embedded(snapshot, predictor.base, segmenter.base.encoder_precision)
        if store is None:
            with _measured_on(segmenter, embed.accelerator):
                store = _encode(segmenter, frame, Path(folder), embed)
        entry = ModelEntry(predictor.name, UNTRAINED, segmenter)
        with _measured_on(segmenter, params.accelerator):
            found = evaluate_benchmarks(entry, store, frame, params).scores
    return comparable_rows(pd.DataFrame(found))


@contextmanager
def _measured_on(segmenter: Segmenter, accelerator: str) -> Iterator[None]:
    """Bring a model to the device on which the run measures, and back.

    A machine without a GPU may judge what another has measured on one: it takes longer there, and
    the last digits differ.
    """
    before = segmenter.device
    segmenter.to(choose_device("cpu" if accelerator == "cpu" else "auto"))
    try:
        yield
    finally:
        segmenter.to(before)


def _embedded(snapshot: Snapshot, base: str, precision: str) -> Store | None:
    """Open the project's own embeddings, if they are of this base, made so, and of today's data.

    Raises:
        RegistryError: They were changed after they were made.
    """
    manifest = snapshot.lock.output(MANIFEST)
    for stage in snapshot.lock.stages.values():
        if stage.kind != "embed" or not stage.name.endswith("@val"):
            continue
        known = manifest is not None and stage.deps.get(manifest.path) == manifest
        for path, entry in stage.outs.items():
            if known and (snapshot.project / path).is_dir():
                store = open_store(snapshot.project / path)
                if (store.origin["base"], store.encoder_precision) != (base, precision):
                    continue
                if folder_md5(snapshot.project / path) != entry.md5:
                    raise RegistryError(
                        f"{path} has changed since {stage.name} made it, so that nothing can be "
                        "measured on it. Run `dvc checkout`, or `dvc repro` to make it anew."
                    )
                return store
    return None


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


@dataclass(frozen=True, kw_only=True, slots=True)
class WatchedBenchmark:
    """The champion on one benchmark; scores are mean boundary IoU in points, nan without masks."""

    benchmark: str
    known: int
    """Masks that it was judged on and that are still there."""
    judged: float
    """Its score on these when it was judged."""
    today: float
    """Its score on these today."""
    new: int
    """Masks that have come since."""
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
    rows: tuple[WatchedBenchmark, ...]
    message: str


def watch_champion(project: Path) -> ChampionWatch | None:
    """Measure the champion on the benchmarks as they are today; None if there is no champion.

    Raises:
        TrackingError: MLflow cannot be reached.
        DataError: The data was never prepared.
    """
    decisions = open_decisions(project)
    if decisions.standing.champion is None:
        return None
    champion = decisions.version(CHAMPION)
    before = scores_of(decisions.log, champion)
    with (
        wrap_mlflow_errors(decisions.registry.store.registry_uri),
        decisions.fetched(champion.number) as folder,
    ):
        predictor = predictor_of(folder)
    today = reevaluate(take_snapshot(project), predictor)
    return compare(champion.number, today.head(0) if before is None else before, today)


def compare(version: int, before: pd.DataFrame, today: pd.DataFrame) -> ChampionWatch:
    """Tell new masks from known ones, and what the champion scores on each."""
    rows = tuple(
        _watched(str(name), before[before["benchmark"] == name], part)
        for name, part in today.groupby("benchmark", sort=True)
    )
    new = sum(row.new for row in rows)
    masks = "1 mask is" if new == 1 else f"{new or 'no'} masks are"
    message = f"Version {version} is champion; {masks} new since it was judged."
    if new:
        score = sum(row.on_new * row.new for row in rows if row.new) / new
        message += f" On what is new it scores {score:.2f} points of boundary IoU."
    return ChampionWatch(version=version, rows=rows, message=message)


def _watched(benchmark: str, before: pd.DataFrame, today: pd.DataFrame) -> WatchedBenchmark:
    known = set(before["image_id"]) & set(today["image_id"])
    fresh = today[~today["image_id"].isin(known)]
    return WatchedBenchmark(
        benchmark=benchmark,
        known=len(known),
        judged=_mean(before[before["image_id"].isin(known)]),
        today=_mean(today[today["image_id"].isin(known)]),
        new=fresh["image_id"].nunique(),
        on_new=_mean(fresh),
    )


def _mean(scores: pd.DataFrame) -> float:
    """Mean over masks, whose ids the rows name as `image_id`, in points."""
    return float(scores.groupby("image_id")["boundary_iou"].mean().mean() * 100)
