"""A prompt for one object of an image: checked, read from JSON, and brought to the decoder.

A prompt is a box, points, a mask, or several of them together. What comes over HTTP or to the
model that MLflow serves is JSON from outside, which may be anything: one model of it
(`PromptRequests`) reads both.
"""

# Shapes: k points, m side of a mask prompt, N prompts, n prompts of one kind.

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    RootModel,
    ValidationError,
    model_validator,
)
from torch import Tensor

from pasam.errors import DataError, InvalidItemError, PromptError
from pasam.files import keys_once
from pasam.inference.image_transform import ImageTransform
from pasam.masks.images import IMAGE_FORMATS, foreground, read_image
from pasam.masks.run_lengths import Rle, decode, from_segmentation
from pasam.models.segmenter import Prompts

PADDING = -1
"""Label of a point that says nothing; SAM's users pad unequal numbers of points with it."""
LARGEST_IMAGE = 64_000_000
"""Pixels of an image that a request to MLflow's server may bring."""
MARGIN = 0.5
"""Pixels outside the image that count as its edge."""
SHOWN = 60
"""Characters of a wrong value that a message repeats."""


@dataclass(frozen=True, slots=True, eq=False)
class ImagePrompt:
    """One object, as it is pointed out. Make it with `image_prompt`, which checks the values."""

    box: NDArray[np.float64] | None
    """Corners x0, y0, x1, y1 in pixels of the original image, (4,)."""
    points: NDArray[np.float64] | None
    """x, y in pixels of the original image, (k, 2)."""
    labels: NDArray[np.int64] | None
    """1 on the object, 0 beside it, (k,)."""
    mask: NDArray[np.float32] | NDArray[np.bool_] | Rle | None
    """Mask logits over the encoder's input, such as an earlier prediction's, float32 (m, m); or a
    mask of the original image, bool (H, W) or as run lengths, which stay so until they are used."""

    def clipped(self, height: int, width: int) -> ImagePrompt:
        """Bring what lies up to half a pixel outside an image to its edge; refuse what is farther.

        Detectors and annotators round: a box of 640.4 in an image of 640 pixels means its edge.

        Raises:
            PromptError: A corner or a point lies outside.
        """
        limits = np.array([width, height], np.float64)

        def inside(places: NDArray[np.float64], what: str) -> NDArray[np.float64]:
            kept = np.clip(places, 0, limits)
            for x, y in places[(np.abs(places - kept) > MARGIN).any(axis=1)]:
                raise PromptError(
                    f"{what} {x:g},{y:g} lies outside the image of {width} x {height} pixels. "
                    "Coordinates are x,y from the upper left corner."
                )
            return kept

        box = None if self.box is None else inside(self.box.reshape(2, 2), "box corner").reshape(4)
        points = None if self.points is None else inside(self.points, "point")
        if box is not None:
            _check_box(box)
        return dataclasses.replace(self, box=box, points=points)

    def with_logits(self, transform: ImageTransform, side: int) -> ImagePrompt:
        """Bring a mask of the image to logits of the side m that a model's mask prompts have.

        Raises:
            PromptError: A mask is not of the image's size, or logits are of another side.
        """
        mask = self.mask
        if mask is None:
            return self
        if isinstance(mask, Mapping):
            if list(mask["size"]) != [transform.height, transform.width]:
                raise PromptError(
                    f"the mask prompt's size is {list(mask['size'])}, expected "
                    f"[{transform.height}, {transform.width}], the image's height and width."
                )
            mask = decode(mask)
        if mask.dtype == np.bool_:
            if mask.shape != (transform.height, transform.width):
                raise PromptError(
                    f"the mask prompt has {mask.shape[1]} x {mask.shape[0]} pixels, expected "
                    f"{transform.width} x {transform.height}, as the image has."
                )
            return dataclasses.replace(self, mask=transform.mask_logits(mask > 0, side))
        if mask.shape != (side, side):
            raise PromptError(
                f"the mask prompt is {mask.shape}, expected ({side}, {side}): the low-resolution "
                "logits of an earlier prediction by a model of this base; or a mask of the image "
                "itself, as booleans or as 0 and 255."
            )
        return self


def image_prompt(
    *,
    box: ArrayLike | None = None,
    points: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    mask: ArrayLike | Rle | None = None,
) -> ImagePrompt:
    """Make a prompt for one object; what is given is combined.

    Args:
        box: Corners x0, y0, x1, y1 in pixels of the original image, (4,).
        points: x, y in pixels of the original image, (k, 2).
        labels: 1 on the object, 0 beside it, (k,); -1 leaves the point out. All 1 when absent.
        mask: Mask logits of an earlier prediction of the same image, (m, m) or (1, m, m); or a
            mask of the image, bool or uint8 (0/1 or 0/255) (H, W) or (1, H, W), or sound run
            lengths of it.

    Raises:
        PromptError: Nothing is given, or only points beside the object; a shape or a label is
            wrong, a number is not finite, or the box ends before it begins.
    """
    corners = None if box is None else _numbers(box, "the box", "(4,): x0, y0, x1, y1").reshape(-1)
    if corners is not None:
        _check_box(corners)
    places, signs = _points(points, labels)
    logits = mask if mask is None or isinstance(mask, Mapping) else _mask(mask)
    if corners is None and places is None and logits is None:
        raise PromptError("the prompt is empty: give a box, a point or a mask.")
    if corners is None and logits is None and signs is not None and not signs.any():
        raise PromptError(
            "the prompt says only where the object is not (label 0): give a point on it (label 1), "
            "a box or a mask too."
        )
    return ImagePrompt(box=corners, points=places, labels=signs, mask=logits)


def _whole(value: Any) -> Any:
    """Take 1.0 for 1, as other languages write it."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def once(text: Any) -> Any:
    """Refuse JSON of which an object has a key twice; other faults are its reader's to name."""
    try:
        json.loads(text, object_pairs_hook=keys_once)
    except DataError as error:
        raise ValueError(str(error)) from None
    except (TypeError, ValueError, RecursionError):
        pass
    return text


def _single(value: Any) -> Any:
    """Take (1, m, m) for (m, m), the form of SAM's low-resolution logits."""
    nested = isinstance(value, list) and len(value) == 1 and isinstance(value[0], list)
    return value[0] if nested and value[0] and isinstance(value[0][0], list) else value


Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Label = Annotated[Literal[-1, 0, 1], BeforeValidator(_whole)]


class MaskLogits(BaseModel):
    """Mask logits of the encoder's input, as an answer's `low_res` brings them."""

    model_config = ConfigDict(extra="forbid")

    side: int = Field(ge=1, le=4096, strict=True, description="Rows, and columns, of the square.")
    float32: str = Field(description="Base64 of the little-endian float32 values, row by row.")

    @staticmethod
    def of(logits: NDArray[np.float32]) -> MaskLogits:
        """Write logits (m, m)."""
        content = np.ascontiguousarray(logits, "<f4").tobytes()
        return MaskLogits(side=len(logits), float32=base64.b64encode(content).decode())

    def values(self) -> NDArray[np.float32]:
        """Read the logits, (m, m).

        Raises:
            PromptError: They are no base64, or of another number than the side says.
        """
        try:
            content = base64.b64decode(self.float32, validate=True)
        except (binascii.Error, ValueError):
            raise PromptError("the mask prompt's float32 is no base64.") from None
        if len(content) != 4 * self.side**2:
            raise PromptError(
                f"the mask prompt's float32 holds {len(content)} bytes, expected "
                f"{4 * self.side**2} for a side of {self.side}."
            )
        return np.frombuffer(content, "<f4").reshape(self.side, self.side).astype(np.float32)


class MaskRunLengths(BaseModel):
    """A mask of the image itself, as an answer's `segmentation` brings it."""

    model_config = ConfigDict(extra="forbid")

    size: tuple[int, int] = Field(description="Height and width of the image.")
    counts: str = Field(description="COCO's compressed run lengths.")

    def checked(self) -> Rle:
        """Return the run lengths, which fit their size.

        Raises:
            PromptError: They do not.
        """
        height, width = self.size
        try:
            return from_segmentation(self.model_dump(), height, width)
        except DataError as error:
            raise PromptError(f"the mask prompt: {error}") from None


class PromptRequest(BaseModel):
    """One object: a box, points, a mask, or several of them; coordinates in pixels, x then y."""

    model_config = ConfigDict(extra="forbid")

    box: tuple[Number, Number, Number, Number] | None = Field(
        None, description="x0, y0, x1, y1: upper left corner, then lower right."
    )
    points: list[tuple[Number, Number]] | None = Field(None, description="x, y of each.")
    labels: list[Label] | None = Field(
        None,
        description="1 on the object, 0 beside it, -1 leaves the point out; all 1 when absent.",
    )
    mask: (
        MaskLogits | MaskRunLengths | Annotated[list[list[Number]], BeforeValidator(_single)] | None
    ) = Field(
        None,
        description="An earlier answer's `low_res`, or its numbers as rows; or a mask of the image "
        "as run lengths, such as an answer's `segmentation`.",
    )

    def prompt(self) -> ImagePrompt:
        """Make the prompt.

        Raises:
            PromptError: It is empty, or impossible in itself.
        """
        mask: ArrayLike | Rle | None
        match self.mask:
            case MaskLogits():
                mask = self.mask.values()
            case MaskRunLengths():
                mask = self.mask.checked()
            case _:
                mask = self.mask
        expect_pixels(self.box, self.points)
        return image_prompt(box=self.box, points=self.points, labels=self.labels, mask=mask)


def expect_pixels(
    box: Sequence[float] | None, points: Sequence[Sequence[float]] | None = None
) -> None:
    """Refuse a box, or several points, in fractions of the image, as some tools write them.

    As pixels they would all lie within the first one, where no object is pointed out.

    Raises:
        PromptError: No number is beyond 1, and some are no whole ones.
    """
    numbers = [*(box or ()), *(one for point in points or () for one in point)]
    are_small = len(numbers) >= 4 and all(0 <= number <= 1 for number in numbers)
    if are_small and any(number % 1 for number in numbers):
        what = "box" if box is not None else "points"
        raise PromptError(
            f"the {what} {','.join(f'{one:g}' for one in numbers[:8])} reaches nowhere beyond 1: "
            "fractions of the image, expected pixels. Multiply x by its width and y by its height."
        )


class PromptRequests(RootModel[list[PromptRequest]]):
    """Prompts on one image: a list of them, a single one, or `{"boxes": [...]}`, one per box."""

    @model_validator(mode="before")
    @classmethod
    def _as_list(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        if "boxes" not in given:
            return [given]
        if len(given) > 1 or not isinstance(given["boxes"], list):
            raise ValueError("'boxes' is a list of boxes and stands alone; else list the prompts")
        return [{"box": box} for box in given["boxes"]]

    def prompts(self, *, most: int, most_points: int | None = None) -> list[ImagePrompt]:
        """Make the prompts.

        Args:
            most: How many there may be; at least one is expected.
            most_points: How many points one may have.

        Raises:
            PromptError: There are none or too many, or one is impossible in itself.
        """
        if not 1 <= len(self.root) <= most:
            raise PromptError(f"there are {len(self.root)} prompts, expected 1 to {most}.")
        made = []
        for number, each in enumerate(self.root):
            points = len(each.points or ())
            if most_points is not None and points > most_points:
                raise PromptError(
                    f"prompt {number} has {points} points, at most {most_points} are taken."
                )
            try:
                made.append(each.prompt())
            except PromptError as error:
                raise PromptError(f"prompt {number}: {error}") from None
        return made


def read_prompts(text: str, *, most: int) -> list[ImagePrompt]:
    """Read prompts from JSON, see `PromptRequests`.

    Args:
        text: The JSON.
        most: How many there may be.

    Raises:
        PromptError: It is anything else.
    """
    try:
        return PromptRequests.model_validate_json(once(text)).prompts(most=most)
    except ValidationError as error:
        message = validation_message(error.errors(include_url=False), root="prompts")
        raise PromptError(f"{message}.") from None
    except ValueError as error:
        raise PromptError(f"prompts: {error}.") from None


def read_request_image(image: str | None, path: str | None) -> NDArray[np.uint8]:
    """Read the image of a request as the library reads a file, (H, W, 3).

    Args:
        image: Bytes of an image file in base64, with or without a `data:` prefix.
        path: Path of an image file on the server, in place of the bytes.

    Raises:
        DataError: Both or none are given, or it is no image that can be decoded.
    """
    if bool(image) == bool(path):
        raise DataError("give either 'image' (base64) or 'path', and not both.")
    text = (image or "").strip()
    encoded = text.partition(",")[2] if text.startswith("data:") else text
    try:
        content = Path(path).read_bytes() if path else base64.b64decode(encoded, validate=True)
    except (binascii.Error, OSError, ValueError) as error:
        # One message for all: the server's files are not its clients'.
        reason = f"'image' is not base64 ({error}); encode the file's bytes."
        raise DataError(
            "'path' names no file that the server can read." if path else reason
        ) from None
    try:
        return read_image(content, formats=IMAGE_FORMATS, most_pixels=LARGEST_IMAGE)
    except InvalidItemError as error:
        raise DataError(f"the {error}") from None


def validation_message(errors: Sequence[Mapping[str, Any]], *, root: str = "") -> str:
    """Put pydantic's errors into words: `prompts[0].box: Input should be ..., found ...`.

    Args:
        errors: The errors; five of them are told.
        root: Name of what was validated, if the errors do not have it.
    """
    return "; ".join(_told(each, root) for each in errors[:5])


def _told(error: Mapping[str, Any], where: str) -> str:
    for part in error["loc"]:
        if part != "body":
            where += f"[{part}]" if isinstance(part, int) else f".{part}" if where else str(part)
    words = error["msg"].removeprefix("Value error, ")
    if error["type"] == "missing":  # of a box of three numbers pydantic says "Field required"
        numbered = bool(error["loc"]) and isinstance(error["loc"][-1], int)
        return f"{where or 'the request'}: {'this number is missing' if numbered else words}"
    return f"{where or 'the request'}: {words}, found {_shortened(error.get('input'))}"


def _shortened(value: Any) -> str:
    plain = isinstance(value, str | int | float | bool | None)
    text = repr(value) if plain else type(value).__name__
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def grouped(
    placed: Sequence[tuple[ImagePrompt, ImageTransform]], *, mask_side: int, device: torch.device
) -> list[Prompts]:
    """Put prompts of equal parts together, so that they share a pass of the decoder.

    Unequal numbers of points are never padded: SAM's decoder attends to padding too, and a
    result would then depend on what else is in the batch.

    Args:
        placed: N prompts, each with the transform of its image.
        mask_side: Side m that a mask prompt must have.
        device: Where the tensors are needed.

    Raises:
        PromptError: A mask prompt is of another side, or not of the image's size.
    """
    members: dict[tuple[bool, int, bool], dict[int, tuple[ImagePrompt, ImageTransform]]] = {}
    for place, (prompt, transform) in enumerate(placed):
        prompt = prompt.with_logits(transform, mask_side)
        count = 0 if prompt.points is None else len(prompt.points)
        key = (prompt.box is not None, count, prompt.mask is not None)
        members.setdefault(key, {})[place] = prompt, transform
    return [_group(group, device) for group in members.values()]


def _group(members: dict[int, tuple[ImagePrompt, ImageTransform]], device: torch.device) -> Prompts:
    def stacked(parts: list[NDArray[Any]], kind: torch.dtype) -> Tensor | None:
        return torch.as_tensor(np.stack(parts), dtype=kind, device=device) if parts else None

    chosen = members.values()
    boxes = [at.into_input(p.box.reshape(2, 2)).reshape(4) for p, at in chosen if p.box is not None]
    points = [at.into_input(p.points) for p, at in chosen if p.points is not None]
    return Prompts(
        indices=torch.tensor(list(members), device=device),
        boxes=stacked(boxes, torch.float32),
        points=stacked(points, torch.float32),
        point_labels=stacked([p.labels for p, _ in chosen if p.labels is not None], torch.int32),
        masks=stacked(
            [np.asarray(p.mask)[None] for p, _ in chosen if p.mask is not None], torch.float32
        ),
    )


def _check_box(corners: NDArray[np.float64]) -> None:
    if corners.shape != (4,):
        raise PromptError(f"the box has {corners.size} numbers, expected x0, y0, x1, y1.")
    x0, y0, x1, y1 = corners
    if x1 <= x0 or y1 <= y0:
        raise PromptError(
            f"the box {x0:g},{y0:g},{x1:g},{y1:g} is empty, expected x0 < x1 and y0 < y1: its "
            "upper left corner, then its lower right one."
        )


def _points(
    points: ArrayLike | None, labels: ArrayLike | None
) -> tuple[NDArray[np.float64] | None, NDArray[np.int64] | None]:
    if points is None:
        if labels is not None:
            raise PromptError("there are labels but no points; give both, or points alone.")
        return None, None
    places = _numbers(points, "the points", "(k, 2): x, y of each")
    if places.ndim != 2 or places.shape[1] != 2:
        raise PromptError(f"the points are {places.shape}, expected (k, 2): x, y of each.")
    signs = np.ones(len(places)) if labels is None else _numbers(labels, "the labels", "(k,)")
    if signs.shape != (len(places),):
        raise PromptError(
            f"there are {len(places)} points and labels {signs.shape}, expected one each."
        )
    wrong = sorted(set(signs.tolist()) - {PADDING, 0.0, 1.0})
    if wrong:
        raise PromptError(
            f"the labels hold {wrong[0]:g}, expected 1 (on the object), 0 (beside it) or -1 (none)."
        )
    real = signs != PADDING
    if not real.any():
        return None, None
    return places[real], signs[real].astype(np.int64)


def _mask(mask: ArrayLike) -> NDArray[np.float32] | NDArray[np.bool_]:
    given = np.asarray(_as_numpy(mask)) if isinstance(mask, np.ndarray | Tensor) else None
    if given is not None and given.dtype in (np.bool_, np.uint8):  # logits are never of these
        drawn = given[0] if given.ndim == 3 and len(given) == 1 else given
        if drawn.ndim == 2 and drawn.size:
            return drawn if drawn.dtype == np.bool_ else _image_mask(drawn)
    with np.errstate(over="ignore"):  # what float32 cannot hold is refused below
        logits = _numbers(mask, "the mask prompt", "(m, m) mask logits").astype(np.float32)
    logits = logits[0] if logits.ndim == 3 and len(logits) == 1 else logits
    if logits.ndim != 2 or not logits.size or not np.isfinite(logits).all():
        raise PromptError(f"the mask prompt is {logits.shape}, expected (m, m) finite mask logits.")
    return logits


def _image_mask(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Read 0/1 or 0/255; a soft edge is cut where masks are."""
    return mask.astype(np.bool_) if mask.max(initial=0) <= 1 else foreground(mask)


def _as_numpy(values: ArrayLike | Tensor) -> ArrayLike:
    """Take a tensor of any kind and place, also one with a gradient, for its numbers."""
    if not isinstance(values, Tensor):
        return values
    plain = values.detach().cpu()
    return (plain.double() if plain.is_floating_point() else plain).numpy()


def _numbers(values: ArrayLike | Tensor, what: str, expected: str) -> NDArray[np.float64]:
    try:
        numbers = np.array(_as_numpy(values), dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise PromptError(f"{what} cannot be read as numbers, expected {expected}.") from None
    if not np.isfinite(numbers).all():
        raise PromptError(f"a number of {what} is not finite, expected {expected}.")
    return numbers
