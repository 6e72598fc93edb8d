"""The endpoints of the service, each a few lines: check, queue, wait, answer."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any, BinaryIO, cast

from fastapi import APIRouter, Depends, File, Form, Request, Response, Security, UploadFile
from fastapi.responses import StreamingResponse
from fastapi.security import HTTPBearer
from pydantic import BeforeValidator, Json
from starlette.concurrency import run_in_threadpool

from pasam.data.catalogue import read_catalogue
from pasam.data.exports import expect_own_names
from pasam.errors import CheckpointError, RefusedError
from pasam.inference.automatic_masks import AutomaticMaskOptions
from pasam.inference.image_prompt import ImagePrompt, MaskRunLengths, PromptRequests, once
from pasam.inference.image_transform import EmbeddedImage
from pasam.inference.mask_record import CocoSet
from pasam.inference.model_files import SEEN_WORDS
from pasam.inference.zoomed_boxes import can_be_zoomed
from pasam.models.pa_mask_decoder import PaMaskDecoder
from pasam.serving.jobs import (
    AnnotationsJob,
    EmbedJob,
    EverythingJob,
    JobProgress,
    PromptJob,
    Records,
    keep_correction,
    progress_lines,
    wait_for,
    wait_for_all,
)
from pasam.serving.payloads import (
    AnnotatedUpload,
    AnnotationForm,
    AnnotationsAnswer,
    EmbedAnswer,
    ErrorAnswer,
    FeedbackAnswer,
    MaskFormat,
    ModelAnswer,
    ModelsAnswer,
    PooledModelAnswer,
    PredictAnswer,
    ReadyAnswer,
    StateAnswer,
)
from pasam.serving.request_guard import known_fields
from pasam.serving.service import PooledModel, Service

NOTE = (
    "{names}: trained on synthetic images only. They show how the models differ, not how well one "
    "segments photographs."
)
SYNTHETIC, PHOTOGRAPHS = "synthetic images", "photographs"


TOKEN = HTTPBearer(auto_error=False, description="Where the service was started with a token.")
"""For the description only: `RequestGuard` asks for the token before anything is read."""

router = APIRouter(
    dependencies=[Depends(known_fields)],
    responses={"4XX": {"model": ErrorAnswer}, "5XX": {"model": ErrorAnswer}},
)

_MASKS: dict[str, Any] = {"tags": ["masks"], "dependencies": [Security(TOKEN)]}
_SERVICE: dict[str, Any] = {"tags": ["service"], "dependencies": [Security(TOKEN)]}


def running_service(request: Request) -> Service:
    """Return the service of the app."""
    service: Service = request.app.state.service
    return service


Prompts = Annotated[Json[PromptRequests], BeforeValidator(once)]
Running = Annotated[Service, Depends(running_service)]
Upload = Annotated[UploadFile | None, File(description="A PNG, JPEG, WebP, BMP or TIFF.")]
Embedding = Annotated[
    str | None,
    Form(
        description="What /embed said. With an image beside it, that is used where the name is not "
        "known, as behind several replicas."
    ),
]
Model = Annotated[str | None, Form(description="A name of /models; the first if absent.")]
Format = Annotated[MaskFormat, Form(alias="format", description="How masks are written.")]


@dataclass(frozen=True, slots=True, eq=False)
class _Embedded:
    """An embedded image under its name."""

    name: str
    image: EmbeddedImage
    milliseconds: float


@router.post("/embed", summary="Embed an image once, to prompt it many times", **_MASKS)
async def embed(
    request: Request, service: Running, image: Annotated[UploadFile, File()], model: Model = None
) -> EmbedAnswer:
    """Decode and embed an image, and keep it as long as there is room."""
    chosen = service.models.get(model)
    embedded = await _embed(service, image, chosen, _client(request))
    return EmbedAnswer(
        embedding=embedded.name,
        height=embedded.image.transform.height,
        width=embedded.image.transform.width,
        model=model_info(chosen),
        milliseconds={"embed": embedded.milliseconds},
    )


@router.post("/predict", summary="Masks of prompts", response_model_exclude_none=True, **_MASKS)
async def predict(
    request: Request,
    service: Running,
    prompts: Annotated[
        Prompts,
        Form(description='JSON, such as [{"box": [80, 40, 420, 380]}]'),
    ],
    image: Upload = None,
    embedding: Embedding = None,
    multimask: Annotated[bool, Form(description="SAM's three candidates.")] = False,
    details: Annotated[bool, Form(description="How the mask came about.")] = False,
    low_res: Annotated[bool, Form(description="Logits that can be the next prompt.")] = False,
    zoom: Annotated[
        bool,
        Form(
            description="Look at small boxes, and where points are what they find, from near. No "
            "prompt has a mask, there are neither details nor logits, and the image has to come "
            "along where a model of /models has no `zoom`."
        ),
    ] = False,
    form: Format = "rle",
    model: Model = None,
) -> PredictAnswer:
    """Answer prompts on an image, or on one that was embedded before.

    What still waits when the client goes away is left out.
    """
    start, limits = perf_counter(), service.settings.limits
    asked = prompts.prompts(most=limits.prompts, most_points=limits.points)
    chosen = service.models.get(model)
    if zoom:
        _expect_zoomable(asked, plain=not (multimask or details or low_res))
    embedded = await _embedded(service, image, embedding, chosen, _client(request))
    source = _source(service, image, embedded) if zoom else None
    jobs: list[PromptJob] = []
    transform = embedded.image.transform
    for each in asked:
        # Before they are queued: one that does not fit would spoil the pass it shares.
        prompt = each.clipped(transform.height, transform.width)
        prompt = prompt.with_logits(transform, chosen.predictor.mask_side)
        jobs.append(
            PromptJob(
                model=chosen.predictor, image=embedded.image, prompt=prompt, multimask=multimask,
                details=details, low_res=low_res, form=form, source=source,
                most_pixels=limits.pixels,
            )
        )  # fmt: skip
    if jobs and jobs[0].pixels > limits.prompt_pixels:
        raise RefusedError(
            f"a prompt makes {jobs[0].pixels} mask pixels, at most {limits.prompt_pixels} are made "
            "at once. Ask without details or multimask, or send a smaller image.",
            status=413,
        )
    waited = perf_counter()
    queue = service.decoder if source is None else service.encoder
    queued = cast("list[Future[Records]]", queue.submit(jobs, _client(request)))
    found = await wait_for_all(
        [asyncio.wrap_future(each) for each in queued], request.is_disconnected
    )
    spent = {"embed": embedded.milliseconds, "predict": _since(waited), "total": _since(start)}
    return _answer(embedded, chosen, found, form, spent)


def _expect_zoomable(prompts: Sequence[ImagePrompt], *, plain: bool) -> None:
    """Refuse, with 422, what cannot be looked at from near."""
    if not plain or not all(can_be_zoomed(each) for each in prompts):
        raise RefusedError(
            "zoom answers boxes and points with one mask each: no prompt may have a mask, and "
            "multimask, details and low_res have to be left out.",
            status=422,
        )


def _source(service: Service, image: UploadFile | None, embedded: _Embedded) -> BinaryIO:
    """Take the upload that is to be looked at from near, or the one that was kept.

    Raises:
        RefusedError: 422, there is none; 404, it had to go meanwhile.
    """
    if image is not None:
        return image.file
    kept = service.cache.upload(embedded.name)
    if not kept:
        raise RefusedError(
            "zoom looks at the image itself, which is kept on small bases only: send it too "
            "(image), beside its embedding.",
            status=422,
        )
    return io.BytesIO(kept)


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
    given = {
        "points_per_side": points_per_side, "pred_iou_thresh": pred_iou_thresh,
        "stability_score_thresh": stability_score_thresh, "box_nms_thresh": box_nms_thresh,
        "min_mask_region_area": min_mask_region_area,
    }  # fmt: skip
    return {name: value for name, value in given.items() if value is not None}


@router.post(
    "/everything",
    summary="Masks of all objects",
    response_model=PredictAnswer,
    response_model_exclude_none=True,
    **_MASKS,
)
async def everything(
    request: Request,
    service: Running,
    grid: Annotated[dict[str, Any], Depends(chosen_grid)],
    image: Upload = None,
    embedding: Embedding = None,
    form: Format = "rle",
    progress: Annotated[
        bool,
        Form(description='Lines of JSON: {"progress": 0.25}, ..., then the answer or an error.'),
    ] = False,
    model: Model = None,
) -> PredictAnswer | StreamingResponse:
    """Segment everything from a grid of points; options are SAM's automatic mask generator's.

    A search whose client goes away is stopped.
    """
    start, most = perf_counter(), service.settings.limits.search_pixels
    chosen = service.models.get(model)
    embedded = await _embedded(service, image, embedding, chosen, _client(request))
    pixels = embedded.image.transform.height * embedded.image.transform.width
    if pixels > most:
        raise RefusedError(
            f"the image has {pixels} pixels; everything is segmented in at most {most}. Make it "
            "smaller.",
            status=413,
        )
    waited, watched = perf_counter(), JobProgress()
    options = dataclasses.replace(AutomaticMaskOptions.suited_to(chosen.predictor), **grid)
    job = EverythingJob(embedded.image, chosen.predictor, options, form, watched)
    found = asyncio.wrap_future(service.searcher.submit([job], _client(request))[0])

    def answer(records: Records) -> PredictAnswer:
        spent = {
            "embed": embedded.milliseconds,
            "everything": _since(waited),
            "total": _since(start),
        }
        return _answer(embedded, chosen, [[each] for each in records], form, spent)

    if not progress:
        return answer(await wait_for(found, watched, request.is_disconnected))
    lines = progress_lines(
        found, watched, lambda records: answer(records).model_dump_json(exclude_none=True)
    )
    return StreamingResponse(lines, media_type="application/x-ndjson")


@router.post("/annotations", summary="Masks as another tool's annotations", **_MASKS)
async def annotated(
    request: Request,
    service: Running,
    images: Annotated[
        Json[list[AnnotatedUpload]],
        Form(description="JSON: images with the names and run lengths of their objects."),
    ],
    form: Annotated[AnnotationForm, Form(alias="format", description="The tool.")] = "coco",
) -> AnnotationsAnswer:
    """Write COCO with polygons or run lengths, YOLO's segments or labelme; no image is needed."""
    limits, count = service.settings.limits, sum(len(each.objects) for each in images)
    if count > limits.exported_objects:
        raise RefusedError(
            f"there are {count} objects, at most {limits.exported_objects} are written at once.",
            status=413,
        )
    checked = await run_in_threadpool(lambda: [each.checked(limits) for each in images])
    expect_own_names((each.name for each in checked), form)
    watched = JobProgress()
    job = AnnotationsJob(checked, form, watched)
    made = asyncio.wrap_future(service.writer.submit([job], _client(request))[0])
    return AnnotationsAnswer(files=await wait_for(made, watched, request.is_disconnected))


@router.post("/feedback", summary="Send a corrected mask, for review", **_MASKS)
async def feedback(
    service: Running,
    image: Annotated[UploadFile, File(description="The image.")],
    mask: Annotated[
        Json[MaskRunLengths], Form(description="The corrected mask, as run lengths of the image.")
    ],
    who: Annotated[
        str, Form(min_length=1, max_length=80, description="Who sends it, to find it again.")
    ],
    why: Annotated[str, Form(max_length=500, description="What was wrong.")] = "",
    before: Annotated[
        Json[MaskRunLengths] | None, Form(description="The model's mask, in the same form.")
    ] = None,
    prompts: Annotated[Prompts | None, Form(description="What was asked.")] = None,
    model: Model = None,
) -> FeedbackAnswer:
    """Keep an image and its corrected mask until `pasam data review` accepts or deletes them.

    Off unless the service was started with `--feedback`.
    """
    folder, limits = service.settings.feedback, service.settings.limits
    if folder is None:
        raise RefusedError(
            "this service takes no corrections; it would with --feedback DIR.", status=404
        )
    asked = None if prompts is None else prompts.model_dump(mode="json", exclude_none=True)
    about = {"who": who, "why": why, "prompt": asked, "model": model}
    codes = [None if each is None else each.checked() for each in (mask, before)]
    identity = await run_in_threadpool(
        keep_correction, folder, image.file, codes, about, most_pixels=limits.pixels
    )
    if service.demand is not None:
        await run_in_threadpool(service.demand.corrected)
    return FeedbackAnswer(id=identity)


@router.get("/models", summary="Which versions answer, and how good they are", **_SERVICE)
async def models(service: Running) -> ModelsAnswer:
    """List the models, the default first."""
    settings = service.settings
    answer = models_answer(service.models.all(), settings.scores)
    return answer.model_copy(update={"feedback": settings.feedback is not None})


@router.get("/health", tags=["service"], summary="Whether the service runs")
async def health() -> StateAnswer:
    """Answer as long as the service runs."""
    return StateAnswer(status="running")


@router.get("/ready", tags=["service"], summary="Whether the service takes requests")
async def ready(service: Running) -> ReadyAnswer:
    """Answer 503 while no model is loaded, or while it stops."""
    service.models.get()
    if service.stopping:
        raise RefusedError("the service is stopping.", status=503, retry_after=5)
    waited = round(service.models.seconds_since_look(), 1)
    return ReadyAnswer(status="ready", seconds_since_model_check=waited)


@router.get("/metrics", summary="Numbers for Prometheus", response_class=Response, **_SERVICE)
async def metrics(service: Running) -> Response:
    """Write the counters in Prometheus's text format."""
    return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def model_info(model: PooledModel) -> ModelAnswer:
    """Say which version answers."""
    return ModelAnswer(name=model.name, kind=model.kind, version=model.version)


def models_answer(models: Sequence[PooledModel], scores: Path | None) -> ModelsAnswer:
    """Describe all models, with the registry's scores or those of the report.

    The report's belong to its own names, never to a file or an alias of the same model.

    Args:
        models: What is served.
        scores: `scores.json` of the report, read anew so that a later run shows.
    """
    reported = read_scores(scores)
    scored = {each.name: each.scores or reported.get(each.name) for each in models}
    answers = [
        PooledModelAnswer(
            **model_info(each).model_dump(),
            size=each.size,
            base=each.predictor.base[:12],
            mask_side=each.predictor.mask_side,
            details=isinstance(each.predictor.segmenter.decoder, PaMaskDecoder),
            zoom=each.predictor.looks_from_near,
            trained_on=SEEN_WORDS[each.seen],
            scores=scored[each.name],
            scored_on=_kind_of_image(scored[each.name] or {}),
        )
        for each in models
    ]
    names = ", ".join(each.name for each in models if each.seen == "synthetic")
    note = NOTE.format(names=names) if names else None
    return ModelsAnswer(models=answers, note=note, feedback=False)


def _kind_of_image(scores: Mapping[str, object]) -> str | None:
    """Say what the mean of scores is over; None where there are none."""
    from pasam.evaluation.scores import averaged  # with pandas, which no other answer needs

    benchmarks = averaged(name for name in scores if name != "mean")
    generated = {entry.name for entry in read_catalogue().of_role("generated")}
    drawn = sum(name in generated for name in benchmarks)
    parts = ((drawn, SYNTHETIC), (len(benchmarks) - drawn, PHOTOGRAPHS))
    counted = [f"{count} benchmark{'s'[: count > 1]} of {kind}" for count, kind in parts if count]
    return " and ".join(counted) or None


def read_scores(path: Path | None) -> dict[str, dict[str, dict[str, float]]]:
    """Read `scores.json` of the report: mIoU and mBIoU by model and benchmark.

    What is absent or invalid is left out: scores are an addition.
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


async def _embedded(
    service: Service,
    image: UploadFile | None,
    embedding: str | None,
    model: PooledModel,
    client: str,
) -> _Embedded:
    """Take the embedding that is named; without one, or where it is not known, embed the upload.

    Behind several replicas a client sends both: whichever answers need not have embedded it.
    """
    if embedding is not None:
        try:
            kept = service.cache.get(embedding)
            kept.check_fits(model.predictor.segmenter.base, model.predictor.base)
            return _Embedded(embedding, kept, 0.0)
        except (RefusedError, CheckpointError):
            if image is None:
                raise
    if image is None:
        raise RefusedError(
            "send an image, or the name of an embedded one (embedding): neither came.", status=422
        )
    return await _embed(service, image, model, client)


def _client(request: Request) -> str:
    """Say who asks: the address, behind a proxy of this machine the one that it forwards."""
    return "" if request.client is None else request.client.host


async def _embed(service: Service, image: UploadFile, model: PooledModel, client: str) -> _Embedded:
    start = perf_counter()
    job = EmbedJob(image.file, model.predictor, service.settings.limits.pixels)
    embedded = await asyncio.wrap_future(service.encoder.submit([job], client)[0])
    assert isinstance(embedded, EmbeddedImage)
    upload = b""
    if model.predictor.looks_from_near:  # `zoom` gives better masks, and wants the upload
        await image.seek(0)
        upload = await image.read()
    return _Embedded(service.cache.put(embedded, upload), embedded, _since(start))


def _answer(
    embedded: _Embedded,
    model: PooledModel,
    found: Sequence[Records],
    form: MaskFormat,
    milliseconds: dict[str, float],
) -> PredictAnswer:
    height, width = embedded.image.transform.height, embedded.image.transform.width
    masks = [{"prompt": number, **each} for number, of_one in enumerate(found) for each in of_one]
    coco = CocoSet()
    coco.add("picture", (height, width), masks)
    return PredictAnswer.model_validate(
        {
            "embedding": embedded.name,
            "height": height,
            "width": width,
            "model": model_info(model),
            "masks": masks,
            "coco": coco.as_json({1: "object"}) if form == "coco" else None,
            "milliseconds": milliseconds,
        }
    )


def _since(start: float) -> float:
    return round((perf_counter() - start) * 1000, 1)
