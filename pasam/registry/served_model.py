"""What a served model is asked, and what it answers."""

from __future__ import annotations

import base64
import binascii
import io
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pasam.errors import DataError, PromptError
from pasam.inference.image_prompt import ImagePrompt, image_prompt
from pasam.inference.predicted_masks import PredictedMasks
from pasam.masks.images import read_image
from pasam.masks.run_lengths import encode

# --- requests: What a served model is asked: an image and prompts, as text from outside that may
# be anything.

LARGEST_PIXELS = 64_000_000
MOST_PROMPTS = 1024
PARTS = ("box", "points", "labels", "mask")


def read_picture(image: str | None, path: str | None) -> NDArray[np.uint8]:
    """Read the image of a request as the library reads a file.

    Args:
        image: Bytes of an image file in base64, with or without a `data:` prefix.
        path: Path of an image file on the server, in place of the bytes.

    Returns:
        Pixels, (H, W, 3).

    Raises:
        DataError: Both or none are given, or it is no image that can be decoded.
    """
    if bool(image) == bool(path):
        raise DataError("give either 'image' (base64) or 'path', and not both.")
    if path:
        content = _file(Path(path))
    else:
        text = (image or "").strip()
        encoded = text.partition(",")[2] if text.startswith("data:") else text
        try:
            content = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError) as error:
            raise DataError(f"'image' is not base64 ({error}); encode the file's bytes.") from None
    return _decode(content)


def read_prompts(text: str) -> list[ImagePrompt]:
    """Read the prompts of a request.

    Args:
        text: JSON: one prompt or a list of them. A prompt is an object of `box` (x0, y0, x1, y1),
            `points` (a list of x, y), `labels` (1 on the object, 0 beside it) and `mask`
            (low-resolution logits); `boxes` stands for one prompt per box.

    Raises:
        PromptError: It is anything else.
    """
    try:
        found = json.loads(text)
    except (json.JSONDecodeError, TypeError, RecursionError) as error:
        raise PromptError(f"'prompts' is not JSON: {error}.") from None
    if isinstance(found, dict) and "boxes" in found:
        if len(found) > 1 or not isinstance(found["boxes"], list):
            raise PromptError("'boxes' is a list of boxes and stands alone; else list the prompts.")
        found = [{"box": box} for box in found["boxes"]]
    prompts = found if isinstance(found, list) else [found]
    if not 1 <= len(prompts) <= MOST_PROMPTS:
        raise PromptError(f"there are {len(prompts)} prompts, expected 1 to {MOST_PROMPTS}.")
    return [_prompt(number, each) for number, each in enumerate(prompts)]


def _prompt(number: int, words: Any) -> ImagePrompt:
    if not isinstance(words, dict):
        raise PromptError(f"prompt {number} is {words!r:.80}, expected an object of {PARTS}.")
    unknown = sorted(set(words) - set(PARTS))
    if unknown:
        raise PromptError(f"prompt {number} has unknown {unknown}, expected some of {PARTS}.")
    try:
        return image_prompt(**{name: words.get(name) for name in PARTS})
    except PromptError as error:
        raise PromptError(f"prompt {number}: {error}") from None


def _file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError):  # one message for all: the server's files are not its clients'
        raise DataError("'path' names no file that the server can read.") from None


def _decode(content: bytes) -> NDArray[np.uint8]:
    try:
        with Image.open(io.BytesIO(content)) as picture:
            width, height = picture.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"the image cannot be decoded ({type(error).__name__}).") from None
    if width * height > LARGEST_PIXELS:
        raise DataError(f"the image has {width * height:,} pixels, {LARGEST_PIXELS:,} at most.")
    with tempfile.NamedTemporaryFile(suffix=".img") as file:
        file.write(content)
        file.flush()
        try:
            return read_image(Path(file.name))
        except DataError:
            raise DataError("the image cannot be decoded; it is cut short or damaged.") from None


# --- answers: What a served model answers: masks as COCO RLE or PNG, scores, and the uncertainty
# map.


def answer(found: Sequence[PredictedMasks], *, form: str, uncertainty: bool) -> str:
    """Write the answers to all prompts of one image as JSON.

    Args:
        found: What was predicted.
        form: `rle`: COCO's compressed run lengths, `{size: [H, W], counts: text}`; `png`: base64
            of a black and white PNG.
        uncertainty: Add the uncertainty map, base64 of an 8-bit PNG, of models that have one.

    Raises:
        PromptError: There is no such format.
    """
    if form not in ("rle", "png"):
        raise PromptError(f"'format' is {form!r}, expected 'rle' or 'png'.")
    return json.dumps([_one(each, form, uncertainty) for each in found])


def png(values: NDArray[np.uint8]) -> str:
    """Write a grey picture (H, W) as PNG in base64."""
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _one(found: PredictedMasks, form: str, uncertainty: bool) -> dict[str, Any]:
    words: dict[str, Any] = {
        "masks": [
            encode(mask) if form == "rle" else png(mask.astype(np.uint8) * 255)
            for mask in found.masks
        ],
        "scores": [round(float(score), 6) for score in found.scores],
    }
    if uncertainty:
        map_ = None if found.details is None else found.details.uncertainty
        words["uncertainty"] = None if map_ is None else png((map_ * 255).round().astype(np.uint8))
    return words
