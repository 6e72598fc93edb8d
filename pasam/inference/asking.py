"""Three ways to ask for the masks of a picture: typed prompts, everything, a detector's boxes."""

# Shapes: H, W of the picture.

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pasam.inference.detected_prompts import DetectedSet
from pasam.inference.embedded_image import EmbeddedImage
from pasam.inference.everything import Everything
from pasam.inference.found_masks import FoundMask, masks_of_everything, masks_of_prompts
from pasam.inference.image_prompt import ImagePrompt
from pasam.inference.prompted_model import PromptedModel

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
