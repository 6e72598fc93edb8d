"""What goes over the wire as JSON.

The prompts themselves are `PromptRequests` of `pasam.inference.image_prompt`; field names and
descriptions make the OpenAPI description.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from pasam.data.exports import ExportedImage
from pasam.errors import DataError, PromptError, RefusedError
from pasam.files import portable_path
from pasam.inference.image_prompt import MaskLogits, MaskRunLengths
from pasam.masks.run_lengths import bounding_box
from pasam.serving.limits import Limits

MaskFormat = Literal["rle", "png", "coco"]


class ErrorAnswer(BaseModel):
    """Every refusal."""

    error: str = Field(description="What was found, what was expected, what to do.")


class ModelAnswer(BaseModel):
    """Which version answers."""

    name: str
    kind: str = Field(description="What the name stands for now.")
    version: str = Field(description="The first digits of its weights' sha256.")


class EmbedAnswer(BaseModel):
    """An image that is embedded and kept."""

    embedding: str = Field(description="Its name, for /predict and /everything.")
    height: int
    width: int
    model: ModelAnswer
    milliseconds: dict[str, float] = Field(description="Time of each step.")


class MaskDetails(BaseModel):
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
    zoomed: bool | None = Field(None, description="Whether it was looked at from near (zoom).")
    low_res: MaskLogits | None = Field(None, description="Can be the next prompt's mask.")
    details: MaskDetails | None = None


class PredictAnswer(BaseModel):
    """Masks of an image."""

    embedding: str
    height: int
    width: int
    model: ModelAnswer
    masks: list[MaskAnswer]
    coco: dict[str, Any] | None = Field(None, description="A whole COCO set (format coco).")
    milliseconds: dict[str, float] = Field(description="Time of each step.")


AnnotationForm = Literal["coco", "coco-rle", "yolo", "labelme"]


class AnnotatedObject(BaseModel):
    """An object of an image."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(
        min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]+$", description="Its category."
    )
    segmentation: MaskRunLengths


class AnnotatedUpload(BaseModel):
    """An image, of which only the size is needed, and its objects."""

    model_config = ConfigDict(extra="forbid")

    file_name: str = Field(min_length=1, max_length=255)
    height: int = Field(ge=1, strict=True)
    width: int = Field(ge=1, strict=True)
    objects: list[AnnotatedObject]

    def checked(self, limits: Limits) -> ExportedImage:
        """Return what is written.

        Raises:
            PasamError: A name or a mask is invalid, or too large.
        """
        try:
            name = portable_path(self.file_name)
            if not name:
                raise DataError("names no file")
        except DataError as error:
            raise DataError(f"the file_name {self.file_name[:60]!r} {error}.") from None
        if self.height * self.width > limits.exported_pixels:
            raise RefusedError(
                f"{name} has {self.height * self.width} pixels, at most {limits.exported_pixels} "
                "are exported.",
                status=413,
            )
        drawn = [(each.name, each.segmentation.checked()) for each in self.objects]
        for label, code in drawn:
            if code["size"] != [self.height, self.width]:
                raise PromptError(
                    f"a mask of {name} is of {code['size']}, expected {[self.height, self.width]}."
                )
            _, _, wide, tall = bounding_box(code)
            if wide * tall > limits.pixels:
                raise RefusedError(
                    f"an object {label!r} of {name} spans {wide} x {tall} pixels, at most "
                    f"{limits.pixels} are drawn round. Take the format coco-rle or the masks.",
                    status=413,
                )
        return ExportedImage(name, self.height, self.width, drawn)


class AnnotationsAnswer(BaseModel):
    """Annotations as another tool's files."""

    files: dict[str, str] = Field(description="Texts by the name of their file.")


class FeedbackAnswer(BaseModel):
    """A correction that waits for review."""

    id: str = Field(description="By which it can be deleted: pasam data forget --id.")


class PooledModelAnswer(ModelAnswer):
    """A model that can be asked."""

    size: str = Field(description="The frozen base's size.")
    base: str = Field(description="Digits of the base; embeddings are shared between equal ones.")
    mask_side: int = Field(description="Side of `low_res`.")
    details: bool = Field(description="Whether it has an uncertainty map.")
    zoom: bool = Field(description="Whether its base is small, so that `zoom` gives better masks.")
    trained_on: str = Field(description="Whether it has seen photographs, in words.")
    scores: Mapping[str, Mapping[str, float]] | None = Field(
        description="mIoU and mBIoU by benchmark, of the last report; a version's, as registered."
    )

    scored_on: str | None = Field(
        description="What their mean is over, such as `4 benchmarks of synthetic images`."
    )


class ModelsAnswer(BaseModel):
    """All models, the default first."""

    models: list[PooledModelAnswer]
    note: str | None = Field(description="What to know of these models, in words.")
    feedback: bool = Field(description="Whether POST /feedback takes corrections.")


class ExampleAnswer(BaseModel):
    """A synthetic image to try."""

    title: str
    url: str
    box: tuple[int, int, int, int] = Field(description="x0, y0, x1, y1 of its object.")


class StateAnswer(BaseModel):
    """Health."""

    status: str


class ReadyAnswer(StateAnswer):
    """Readiness."""

    seconds_since_model_check: float = Field(
        description="Since new versions were last looked for; far above 5 says that it hangs."
    )
