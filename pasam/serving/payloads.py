"""What goes over the wire as JSON, in and out, and how much of it the service takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel

from pasam.errors import ParamsError

# --- limits: How much the service takes: of one request, of all that wait, and to remember.

MEGA = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Bounds of the service; `pasam serve --help` names those that a person may set."""

    upload_bytes: int = 32 * MEGA
    """Bytes of a request's body."""
    pixels: int = 25 * MEGA
    """Pixels of a picture, H x W."""
    prompts: int = 64
    """Prompts of one request."""
    points: int = 64
    """Points of one prompt."""
    waiting_prompts: int = 256
    """Prompts that may wait for the decoder; more get 429."""
    waiting_pictures: int = 16
    """Pictures that may wait for the encoder, or to be searched for everything."""
    requests: int = 512
    """Requests in hand at once; more get 429 before their body is read."""
    batch: int = 16
    """Prompts that share a pass of the decoder."""
    batch_pixels: int = 64 * MEGA
    """Mask pixels that a pass may hold; large pictures make smaller passes."""
    cache_bytes: int = 512 * MEGA
    """Memory for embedded pictures; the one used longest ago goes first."""
    search_pixels: int = 8 * MEGA
    """Pixels of a picture in which everything is looked for, which holds many masks at once."""
    grid: int = 32
    """Points a side when everything is looked for."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) < 1:
                value = getattr(self, field.name)
                raise ParamsError(f"the limit {field.name} is {value}, expected 1 or more.")


# --- payloads: What goes over the wire as JSON: prompts in, answers out; also the OpenAPI
# description.

MaskFormat = Literal["rle", "png", "coco"]

Number = Annotated[float, Field(allow_inf_nan=False)]


class Logits(BaseModel):
    """Mask logits of the encoder's input, as an answer's `low_res` brings them."""

    model_config = ConfigDict(extra="forbid", strict=True)

    side: int = Field(ge=1, le=4096, description="Rows, and columns, of the square.")
    float32: str = Field(description="Base64 of the little-endian float32 values, row by row.")


class Prompt(BaseModel):
    """One object: a box, points, a mask, or several of them; coordinates in pixels, x then y."""

    model_config = ConfigDict(extra="forbid", strict=True)

    box: tuple[Number, Number, Number, Number] | None = Field(
        None, description="x0, y0, x1, y1: upper left corner, then lower right."
    )
    points: list[tuple[Number, Number]] | None = Field(None, description="x, y of each.")
    labels: list[Literal[0, 1]] | None = Field(
        None, description="1 on the object, 0 beside it; all 1 when absent."
    )
    mask: Logits | list[list[Number]] | None = Field(
        None, description="An earlier answer's `low_res`, or its numbers as rows."
    )


class Prompts(RootModel[list[Prompt]]):
    """Prompts of one request; FastAPI takes a bare list in a form for a repeated field."""


class ErrorAnswer(BaseModel):
    """Every refusal."""

    error: str = Field(description="What was found, what was expected, what to do.")


class ModelAnswer(BaseModel):
    """Which version answers."""

    name: str
    kind: str = Field(description="What the name stands for now.")
    version: str = Field(description="The first digits of its weights' sha256.")


class EmbedAnswer(BaseModel):
    """A picture that is encoded and kept."""

    embedding: str = Field(description="Its name, for /predict and /everything.")
    height: int
    width: int
    model: ModelAnswer
    milliseconds: dict[str, float] = Field(description="Time of each step.")


class Details(BaseModel):
    """How a mask came about."""

    sam: list[dict[str, Any]] = Field(description="SAM's own masks, each as `masks` are written.")
    uncertainty: str | None = Field(
        description="PA-SAM's map as a grey PNG in base64: black is sure, white is not."
    )
    positive: list[tuple[float, float]] = Field(description="Mined points that ask for more mask.")
    negative: list[tuple[float, float]] = Field(description="Mined points that ask for less mask.")


class MaskAnswer(BaseModel):
    """A mask of one prompt."""

    prompt: int = Field(description="Which prompt, counted from 0.")
    candidate: int = Field(description="Which of its masks, counted from 0.")
    score: float = Field(description="Predicted IoU; that of SAM's mask for adapters.")
    area: int
    bbox: list[int] = Field(description="x, y, width, height.")
    segmentation: dict[str, Any] = Field(description="COCO's run lengths.")
    png: str | None = Field(None, description="The mask as a PNG of 0 and 255, base64 (png).")
    low_res: Logits | None = Field(None, description="Can be the next prompt's mask.")
    details: Details | None = None


class PredictAnswer(BaseModel):
    """Masks of a picture."""

    embedding: str
    height: int
    width: int
    model: ModelAnswer
    masks: list[MaskAnswer]
    coco: dict[str, Any] | None = Field(None, description="A whole COCO set (format coco).")
    milliseconds: dict[str, float] = Field(description="Time of each step.")


class OfferedAnswer(ModelAnswer):
    """A model that can be asked."""

    size: str = Field(description="The frozen base's size.")
    base: str = Field(description="Digits of the base; embeddings are shared between equal ones.")
    mask_side: int = Field(description="Side of `low_res`.")
    details: bool = Field(description="Whether it has an uncertainty map.")
    small: bool = Field(description="Whether it is the small model, trained on generated pictures.")
    scores: Mapping[str, Mapping[str, float]] | None = Field(
        description="mIoU and mBIoU by benchmark, of the last report; a version's, as registered."
    )


class ModelsAnswer(BaseModel):
    """All models, the default first."""

    models: list[OfferedAnswer]
    note: str | None = Field(description="What to know of these models, in words.")


class ExampleAnswer(BaseModel):
    """A generated picture to try."""

    title: str
    url: str
    box: tuple[int, int, int, int] = Field(description="x0, y0, x1, y1 of its object.")


class StateAnswer(BaseModel):
    """Health or readiness."""

    status: str
