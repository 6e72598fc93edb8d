"""Three ways to prompt an image: the same prompts on every image, automatic masks, its own prompts.

An image's own prompts come from a detector (`detected_boxes`) or a file (`prompt_files`).
"""

# Shapes: H, W of the image.

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from pasam.data.coco import best_of_each_image, read_annotations, read_detections
from pasam.data.names.folder_images import plain_form, sharing_folders
from pasam.errors import DataError, PromptError
from pasam.inference.automatic_masks import AutomaticMaskOptions, segment_everything
from pasam.inference.image_prompt import ImagePrompt, image_prompt
from pasam.inference.image_transform import EmbeddedImage
from pasam.inference.mask_record import MaskRecord, record_of_object, records_of
from pasam.inference.predictor import PromptedModel
from pasam.inference.zoomed_boxes import can_be_zoomed, predict_zoomed

OBJECT: Mapping[int, str] = {1: "object"}
"""Categories where nobody tells kinds apart."""


@dataclass(frozen=True, slots=True, eq=False)
class ReadImage:
    """An image that is prompted."""

    path: Path
    pixels: NDArray[np.uint8]
    """RGB, (H, W, 3)."""
    embedded: EmbeddedImage


def _unheard(fraction: float) -> None:
    """Let a progress go by that nobody follows."""


class Prompting(Protocol):
    """A way to prompt images."""

    @property
    def categories(self) -> Mapping[int, str]:
        """The kinds of object that masks may be of, by id."""

    @property
    def upright(self) -> bool:
        """Whether coordinates are those of the image as viewers show it, or as stored."""

    def masks(
        self, model: PromptedModel, image: ReadImage, *, uncertainty: bool,
        on_progress: Callable[[float], None] = _unheard,
    ) -> list[MaskRecord]:  # fmt: skip
        """Predict the masks of an image.

        Args:
            model: The model.
            image: The image, embedded by this model's base.
            uncertainty: Bring PA-SAM's map too, where there are prompts.
            on_progress: Told the fraction of the image that is done, in [0, 1], where it takes
                long.

        Raises:
            PromptError: A box or a point lies outside the image.
        """


@dataclass(frozen=True, slots=True)
class FixedPrompts:
    """The same prompts on every image, one mask each."""

    categories: ClassVar[Mapping[int, str]] = OBJECT
    upright: ClassVar[bool] = True

    prompts: Sequence[ImagePrompt]
    zoom: bool | None = False
    """Look at small things from near, see `zoomed_boxes`; None: on a small base, without maps."""

    def masks(
        self, model: PromptedModel, image: ReadImage, *, uncertainty: bool,
        on_progress: Callable[[float], None] = _unheard,
    ) -> list[MaskRecord]:  # fmt: skip
        """Predict a mask of each prompt."""
        return _masks_of_prompts(model, image, self.prompts, uncertainty, zoom=self.zoom)


@dataclass(frozen=True, slots=True)
class AutomaticMasks:
    """All objects, from a grid of points."""

    categories: ClassVar[Mapping[int, str]] = OBJECT
    upright: ClassVar[bool] = True

    typed: Mapping[str, Any]
    """Values of `AutomaticMaskOptions` that differ from what suits the model."""

    def masks(
        self, model: PromptedModel, image: ReadImage, *, uncertainty: bool,
        on_progress: Callable[[float], None] = _unheard,
    ) -> list[MaskRecord]:  # fmt: skip
        """Find all objects, the best first; there are no maps."""
        options = dataclasses.replace(AutomaticMaskOptions.suited_to(model), **self.typed)
        found = segment_everything(
            model, image.pixels, options, embedded=image.embedded, on_progress=on_progress
        )
        return [record_of_object(each) for each in found]


@dataclass(frozen=True, slots=True, eq=False)
class PromptedObject:
    """A prompt of one image, and what is known of the object."""

    prompt: ImagePrompt
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What goes into the mask's record: `category_id`, `category` and `detection_score`."""


@dataclass(frozen=True, slots=True, eq=False)
class PromptsByImage:
    """Prompts of its own for every image."""

    categories: Mapping[int, str]
    """The kinds of object, by id."""
    by_image: Mapping[Path, Sequence[PromptedObject]]
    """Every image that was given; of a detector the best box first."""
    upright: bool = False  # a detector's boxes are of the pixels as stored
    zoom: bool | None = False
    """Look at small things from near, see `zoomed_boxes`; None: on a small base, without maps."""

    def masks(
        self, model: PromptedModel, image: ReadImage, *, uncertainty: bool,
        on_progress: Callable[[float], None] = _unheard,
    ) -> list[MaskRecord]:  # fmt: skip
        """Predict a mask of each prompt; what is known of the object goes into its record."""
        objects = self.by_image[image.path]
        prompts = [each.prompt for each in objects]
        masks = _masks_of_prompts(model, image, prompts, uncertainty, zoom=self.zoom)
        return [
            dataclasses.replace(mask, extra={**each.extra, **mask.extra})
            for mask, each in zip(masks, objects, strict=True)
        ]


def detected_boxes(
    images: Sequence[Path], detections: Path, annotations: Path, *, lowest: float, most: int
) -> PromptsByImage:
    """Match a detector's result file to images.

    Args:
        images: The images' files.
        detections: COCO results: `image_id`, `category_id` or `phrase`, `bbox`, `score`.
        annotations: The COCO set that says which image an `image_id` is.
        lowest: Boxes that the detector scores below this are left out.
        most: Boxes per image, the best.

    Raises:
        DataError: A file is missing or invalid, or an image is not in the set.
    """
    known = read_annotations(annotations)
    best = best_of_each_image(read_detections(detections, known), most)
    ids = {plain_form(each.file.replace("\\", "/")): one for one, each in known.images.items()}
    if len(ids) < len(known.images):
        raise DataError(f"{annotations} names an image twice. Keep one of its records.")
    by_last: dict[str, list[str]] = {}
    for name in ids:
        by_last.setdefault(name.rpartition("/")[2], []).append(name)
    by_image: dict[Path, list[PromptedObject]] = {}
    for path in images:
        place = plain_form(path.absolute().as_posix())
        same = sharing_folders(place, by_last.get(place.rpartition("/")[2], []))
        if not same:
            raise DataError(
                f"{path} is none of the {len(ids)} images of {annotations}; give images of "
                "that set."
            )
        if len(same) > 1:
            raise DataError(
                f"{path} may be any of {same[:2]} of {annotations}; give the images in the folders "
                "that the set names."
            )
        by_image[path] = [
            PromptedObject(image_prompt(box=found.box), {
                "category_id": found.category_id,
                "category": known.categories[found.category_id],
                "detection_score": found.score,
            })
            for found in best.get(ids[same[0]], []) if found.score >= lowest
        ]  # fmt: skip
    return PromptsByImage(known.categories, by_image)


def _masks_of_prompts(
    model: PromptedModel, image: ReadImage, prompts: Sequence[ImagePrompt], uncertainty: bool,
    *, zoom: bool | None,
) -> list[MaskRecord]:  # fmt: skip
    """Predict one mask of each prompt; of those that may be looked at from near it says whether."""
    inside = [prompt.clipped(*image.pixels.shape[:2]) for prompt in prompts]
    fitting = [can_be_zoomed(each) for each in inside]
    if zoom and (uncertainty or not all(fitting)):
        raise PromptError("zoom looks at boxes and points: no prompt may have a mask, nor a map.")
    if zoom is None:
        zoom = model.looks_from_near and not uncertainty
    near = [zoom and each for each in fitting]
    asked = list(zip(inside, near, strict=True))
    close = [prompt for prompt, from_near in asked if from_near]
    zoomed = iter(
        predict_zoomed(model, image.pixels, close, embedded=image.embedded) if close else ()
    )
    pairs = [(image.embedded, prompt) for prompt, from_near in asked if not from_near]
    whole = iter(model.predict_many(pairs, return_details=uncertainty))
    records = []
    for prompt, from_near in asked:
        answer = next(zoomed if from_near else whole)
        record = records_of(answer, prompt)[0]
        if from_near:
            record = dataclasses.replace(record, extra={"zoomed": answer.zoomed})
        records.append(record)
    return records
