"""The endpoints of the service, each a few lines: check, queue, wait, answer."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, Request, Response, UploadFile
from fastapi.responses import StreamingResponse
from pydantic import Json

from pasam.errors import RefusedError
from pasam.inference.automatic_masks import Everything
from pasam.inference.image_transform import EmbeddedImage
from pasam.models.pa_mask_decoder import PaMaskDecoder
from pasam.serving.image_jobs import EmbedJob, EverythingJob, SearchWatch, told_by_line, waited_for
from pasam.serving.model_pool import OfferedModel
from pasam.serving.payloads import (
    EmbedAnswer,
    ErrorAnswer,
    MaskFormat,
    ModelAnswer,
    ModelsAnswer,
    OfferedAnswer,
    PredictAnswer,
    Prompts,
    StateAnswer,
)
from pasam.serving.prompt_jobs import PromptJob, checked_prompt
from pasam.serving.service import Service

# --- benchmark_scores: The scores of the last report, which models show beside their names.

Scores = dict[str, dict[str, float]]


def read_scores(path: Path | None) -> dict[str, Scores]:
    """Read `metrics.json` of the report: mIoU and mBIoU by model and benchmark.

    What is absent or says something else is left out: scores are an addition.
    """
    try:
        content = {} if path is None else json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {model: scores for model, scores in content.items() if _are_scores(scores)}


def _are_scores(found: Any) -> bool:
    return isinstance(found, dict) and all(
        isinstance(numbers, dict) and all(isinstance(value, float) for value in numbers.values())
        for numbers in found.values()
    )


# --- answers: Answers that are put together from what the parts of the service know.

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


# --- routes: The addresses of the service, each a few lines: check, queue, wait, answer.

router = APIRouter(
    responses={"4XX": {"model": ErrorAnswer}, "5XX": {"model": ErrorAnswer}},
)


def running_service(request: Request) -> Service:
    """Return the service of the app."""
    service: Service = request.app.state.service
    return service


Running = Annotated[Service, Depends(running_service)]
Picture = Annotated[UploadFile | None, File(description="A PNG, JPEG, WebP, BMP or TIFF.")]
Embedding = Annotated[str | None, Form(description="In place of the picture: what /embed said.")]
Model = Annotated[str | None, Form(description="A name of /models; the first if absent.")]
Form_ = Annotated[MaskFormat, Form(alias="format", description="How masks are written.")]


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """A picture that the encoder has seen, under its name."""

    name: str
    image: EmbeddedImage
    milliseconds: float


@router.post("/embed", summary="Encode a picture once, to prompt it many times")
async def embed(
    service: Running, image: Annotated[UploadFile, File()], model: Model = None
) -> EmbedAnswer:
    """Decode and encode a picture, and keep it as long as there is room."""
    offered = service.offered.get(model)
    seen = await _encoded(service, image, offered)
    return EmbedAnswer(
        embedding=seen.name,
        height=seen.image.placement.height,
        width=seen.image.placement.width,
        model=said_of(offered),
        milliseconds={"embed": seen.milliseconds},
    )


@router.post("/predict", summary="Masks of prompts", response_model_exclude_none=True)
async def predict(
    service: Running,
    prompts: Annotated[
        Json[Prompts],
        Form(description='JSON, such as [{"box": [80, 40, 420, 380]}]'),
    ],
    image: Picture = None,
    embedding: Embedding = None,
    multimask: Annotated[bool, Form(description="SAM's three candidates.")] = False,
    details: Annotated[bool, Form(description="How the mask came about.")] = False,
    low_res: Annotated[bool, Form(description="Logits that can be the next prompt.")] = False,
    form: Form_ = "rle",
    model: Model = None,
) -> PredictAnswer:
    """Answer prompts on a picture, or on one that was embedded before."""
    start, most = perf_counter(), service.settings.limits.prompts
    if not 0 < len(prompts.root) <= most:
        raise RefusedError(
            f"there are {len(prompts.root)} prompts, expected 1 to {most}.", status=422
        )
    offered = service.offered.get(model)
    seen = await _seen(service, image, embedding, offered)
    shared: dict[str, Any] = {
        "offered": offered, "image": seen.image, "multimask": multimask,
        "details": details, "low_res": low_res, "form": form,
    }  # fmt: skip
    jobs = [
        PromptJob(
            prompt=checked_prompt(each, seen.image, offered, service.settings.limits), **shared
        )
        for each in prompts.root
    ]
    waited = perf_counter()
    answers = await asyncio.gather(*map(asyncio.wrap_future, service.decoder.submit(jobs)))
    spent = {"embed": seen.milliseconds, "predict": _since(waited), "total": _since(start)}
    return _masks(seen, offered, answers, form, spent)


def chosen_grid(
    service: Running,
    points_per_side: Annotated[int | None, Form(ge=1)] = None,
    pred_iou_thresh: Annotated[float | None, Form(ge=0, le=1)] = None,
    stability_score_thresh: Annotated[float | None, Form(ge=0, le=1)] = None,
    box_nms_thresh: Annotated[float | None, Form(ge=0, le=1)] = None,
    min_mask_region_area: Annotated[int | None, Form(ge=0, le=1_000_000)] = None,
) -> dict[str, Any]:
    """Take the options of a search that differ from what suits the model."""
    most = service.settings.limits.grid
    if points_per_side is not None and points_per_side > most:
        raise RefusedError(
            f"points_per_side is {points_per_side}, at most {most} are taken.", status=422
        )
    typed = {
        "points_per_side": points_per_side, "pred_iou_thresh": pred_iou_thresh,
        "stability_score_thresh": stability_score_thresh, "box_nms_thresh": box_nms_thresh,
        "min_mask_region_area": min_mask_region_area,
    }  # fmt: skip
    return {name: value for name, value in typed.items() if value is not None}


@router.post(
    "/everything",
    summary="Masks of all objects",
    response_model=PredictAnswer,
    response_model_exclude_none=True,
)
async def everything(
    request: Request,
    service: Running,
    grid: Annotated[dict[str, Any], Depends(chosen_grid)],
    image: Picture = None,
    embedding: Embedding = None,
    form: Form_ = "rle",
    progress: Annotated[
        bool,
        Form(description='Lines of JSON: {"progress": 0.25}, ..., then the answer or an error.'),
    ] = False,
    model: Model = None,
) -> PredictAnswer | StreamingResponse:
    """Find all objects from a grid of points; options are SAM's automatic mask generator's.

    A search whose visitor goes away is stopped.
    """
    start, most = perf_counter(), service.settings.limits.search_pixels
    offered = service.offered.get(model)
    seen = await _seen(service, image, embedding, offered)
    pixels = seen.image.placement.height * seen.image.placement.width
    if pixels > most:
        raise RefusedError(
            f"the picture has {pixels} pixels; everything is looked for in at most {most}. Make "
            "it smaller.",
            status=413,
        )
    waited, watch = perf_counter(), SearchWatch()
    options = dataclasses.replace(Everything.suited_to(offered.model), **grid)
    job = EverythingJob(seen.image, offered, options, form, watch)
    answer = asyncio.wrap_future(service.searcher.submit([job])[0])

    def masks(records: list[dict[str, Any]]) -> PredictAnswer:
        spent = {"embed": seen.milliseconds, "everything": _since(waited), "total": _since(start)}
        return _masks(seen, offered, [[each] for each in records], form, spent)

    if not progress:
        return masks(await waited_for(answer, watch, request.is_disconnected))
    lines = told_by_line(
        answer, watch, lambda records: masks(records).model_dump_json(exclude_none=True)
    )
    return StreamingResponse(lines, media_type="application/x-ndjson")


@router.get("/models", summary="Which versions answer, and how good they are")
async def models(service: Running) -> ModelsAnswer:
    """List the models, the default first."""
    return models_answer(service.offered.all(), service.settings.scores)


@router.get("/health", summary="Whether the service runs")
async def health() -> StateAnswer:
    """Answer as long as the service runs."""
    return StateAnswer(status="running")


@router.get("/ready", summary="Whether the service takes requests")
async def ready(service: Running) -> StateAnswer:
    """Answer 503 while no model is loaded, or while it stops."""
    service.offered.get()
    if service.stopping:
        raise RefusedError("the service is stopping.", status=503, retry_after=5)
    return StateAnswer(status="ready")


@router.get("/metrics", summary="Numbers for Prometheus", response_class=Response)
async def metrics(service: Running) -> Response:
    """Write the counters in Prometheus's text format."""
    return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


async def _seen(
    service: Service, image: UploadFile | None, embedding: str | None, offered: OfferedModel
) -> _Seen:
    if (image is None) is (embedding is None):
        raise RefusedError(
            "send either a picture (image) or the name of an embedded one (embedding): "
            f"{'both' if image else 'neither'} came.",
            status=422,
        )
    if image is not None:
        return await _encoded(service, image, offered)
    assert embedding is not None
    kept = service.cache.get(embedding)
    kept.check_fits(offered.model.segmenter.base, offered.model.base)
    return _Seen(embedding, kept, 0.0)


async def _encoded(service: Service, image: UploadFile, offered: OfferedModel) -> _Seen:
    start = perf_counter()
    job = EmbedJob(image.file, offered, service.settings.limits)
    embedded = await asyncio.wrap_future(service.encoder.submit([job])[0])
    return _Seen(service.cache.put(embedded), embedded, _since(start))


def _masks(
    seen: _Seen,
    offered: OfferedModel,
    answers: list[list[dict[str, Any]]],
    form: MaskFormat,
    milliseconds: dict[str, float],
) -> PredictAnswer:
    placement = seen.image.placement
    masks = [{"prompt": i, **each} for i, found in enumerate(answers) for each in found]
    size = (placement.height, placement.width)
    return PredictAnswer.model_validate(
        {
            "embedding": seen.name,
            "height": placement.height,
            "width": placement.width,
            "model": said_of(offered),
            "masks": masks,
            "coco": as_coco(masks, size) if form == "coco" else None,
            "milliseconds": milliseconds,
        }
    )


def _since(start: float) -> float:
    return round((perf_counter() - start) * 1000, 1)
