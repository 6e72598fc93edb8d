"""Three ways to prompt an image: fixed prompts, automatic masks, a detector's boxes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pasam.data.coco import best_of_each_image, read_annotations, read_detections
from pasam.errors import DataError
from pasam.inference.automatic_masks import Everything
from pasam.inference.image_prompt import ImagePrompt, image_prompt
from pasam.inference.image_transform import EmbeddedImage
from pasam.inference.mask_record import FoundMask, masks_of_everything, masks_of_prompts
from pasam.inference.predictor import PromptedModel

# --- detected_prompts: A detector's boxes as prompts for the pictures they belong to.


@dataclass(frozen=True, slots=True, eq=False)
class DetectedPrompt:
    """A box of a detector, and what the detector says of it."""

    prompt: ImagePrompt
    about: Mapping[str, Any]
    """`category_id`, `category` and `detection_score`."""


@dataclass(frozen=True, slots=True, eq=False)
class DetectedSet:
    """Detections, ready to be asked for."""

    categories: Mapping[int, str]
    by_picture: Mapping[Path, Sequence[DetectedPrompt]]
    """Every picture that was given; the best box first."""


def detected_set(
    pictures: Sequence[Path],
    detections: Path,
    annotations: Path,
    *,
    lowest: float,
    most: int,
) -> DetectedSet:
    """Match a detector's result file to pictures.

    Args:
        pictures: The pictures' files.
        detections: COCO results: `image_id`, `category_id` or `phrase`, `bbox`, `score`.
        annotations: The COCO set that says which picture an `image_id` is.
        lowest: Boxes that the detector scores below this are left out.
        most: Boxes per picture, the best.

    Raises:
        DataError: A file is missing or unfit, or a picture is not in the set.
    """
    known = read_annotations(annotations)
    best = best_of_each_image(read_detections(detections, known), most)
    ids = {Path(image.file).name: identity for identity, image in known.images.items()}
    if len(ids) < len(known.images):
        raise DataError(
            f"{annotations} has pictures of one name in several folders; give them in parts."
        )
    by_picture: dict[Path, list[DetectedPrompt]] = {}
    for picture in pictures:
        if picture.name not in ids:
            raise DataError(
                f"{picture} is none of the {len(ids)} pictures of {annotations}; give pictures of "
                "that set."
            )
        by_picture[picture] = [
            DetectedPrompt(
                image_prompt(box=found.box),
                {
                    "category_id": found.category_id,
                    "category": known.categories[found.category_id],
                    "detection_score": found.score,
                },
            )
            for found in best.get(ids[picture.name], [])
            if found.score >= lowest
        ]
    return DetectedSet(known.categories, by_picture)


# --- asking: Three ways to ask for the masks of a picture: typed prompts, everything, a
# detector's boxes.

# Shapes: H, W of the picture.


OBJECT: Mapping[int, str] = {1: "object"}
"""Categories where nobody tells kinds apart."""


@dataclass(frozen=True, slots=True, eq=False)
class ReadPicture:
    """A picture of which something is asked."""

    path: Path
    pixels: NDArray[np.uint8]
    """RGB, (H, W, 3)."""
    image: EmbeddedImage
    """What the encoder said of it."""


class Asking(Protocol):
    """A way to ask."""

    @property
    def categories(self) -> Mapping[int, str]:
        """The kinds of object that masks may be of, by id."""

    @property
    def upright(self) -> bool:
        """Whether coordinates are those of the picture as viewers show it, or as stored."""

    def masks(
        self, model: PromptedModel, picture: ReadPicture, *, uncertainty: bool
    ) -> list[FoundMask]:
        """Ask a model for the masks of a picture.

        Args:
            model: The model.
            picture: The picture, embedded by this model's base.
            uncertainty: Bring PA-SAM's map too, where there are prompts.
        """


@dataclass(frozen=True, slots=True)
class AskedPrompts:
    """The same prompts on every picture."""

    prompts: Sequence[ImagePrompt]
    categories: Mapping[int, str] = dataclasses.field(default_factory=lambda: OBJECT)
    upright: bool = True

    def masks(
        self, model: PromptedModel, picture: ReadPicture, *, uncertainty: bool
    ) -> list[FoundMask]:
        """Answer each prompt with a mask."""
        return masks_of_prompts(model, picture.image, self.prompts, uncertainty=uncertainty)


@dataclass(frozen=True, slots=True)
class AskedEverything:
    """All objects, from a grid of points."""

    typed: Mapping[str, Any]
    """Values of `Everything` that differ from what suits the model."""
    categories: Mapping[int, str] = dataclasses.field(default_factory=lambda: OBJECT)
    upright: bool = True

    def masks(
        self, model: PromptedModel, picture: ReadPicture, *, uncertainty: bool
    ) -> list[FoundMask]:
        """Find all objects, the best first; there are no maps."""
        options = dataclasses.replace(Everything.suited_to(model), **self.typed)
        return masks_of_everything(model, picture.pixels, picture.image, options)


@dataclass(frozen=True, slots=True)
class AskedDetections:
    """The boxes that a detector has found in each picture."""

    found: DetectedSet
    upright: bool = False

    @property
    def categories(self) -> Mapping[int, str]:
        """The detector's categories."""
        return self.found.categories

    def masks(
        self, model: PromptedModel, picture: ReadPicture, *, uncertainty: bool
    ) -> list[FoundMask]:
        """Answer each box with a mask; the detector's words go into its record."""
        detected = self.found.by_picture[picture.path]
        prompts = [each.prompt for each in detected]
        masks = masks_of_prompts(model, picture.image, prompts, uncertainty=uncertainty)
        return [
            dataclasses.replace(mask, about=each.about)
            for mask, each in zip(masks, detected, strict=True)
        ]
