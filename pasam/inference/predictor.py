"""A model that answers prompts: `SamPredictor`'s manners, for SAM, HQ-SAM and PA-SAM alike.

Masks and scores come back as SAM returns them: masks (C, H, W) at the image's own size, C scores,
C low-resolution logits. For SAM, C is 3 with `multimask_output` and 1 without. HQ-SAM and PA-SAM
refine SAM's one mask, so there C is 1 either way; SAM's candidates are among the details.

The scores are those of SAM's iou head. HQ-SAM's describe SAM's mask, not the refined one. PA-SAM
changes the masks and leaves the head frozen, so its scores are stale: compare them with each other
if you must, and with nothing else.
"""

# Shapes: H, W of an image, C masks of a prompt, m the side of low-resolution logits, k points,
# N prompts.

from __future__ import annotations

from typing import Any, Literal, overload

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from pasam.errors import PromptError
from pasam.inference.embedded_image import EmbeddedImage
from pasam.inference.image_prompt import image_prompt
from pasam.inference.placement import Resize
from pasam.inference.predicted_masks import MASK_THRESHOLD, Details
from pasam.inference.prompted_model import PromptedModel
from pasam.modeling.segmenter import Prompts, Segmenter

Plain = tuple[NDArray[Any], NDArray[np.float32], NDArray[np.float32]]


class PromptAdapterPredictor(PromptedModel):
    """Answer prompts on the image that is set, with a trained adapter or with SAM itself.

    `embed` and `predict_many` keep nothing; `set_image` and what builds on it remember one image,
    as `SamPredictor` does, so give each thread its own.

    Args:
        segmenter: The model.
        name: What the model is called, for people.
        base: Digest of the base's checkpoint file.
        resize: How images are brought to the encoder's input.
    """

    def __init__(
        self, segmenter: Segmenter, *, name: str, base: str, resize: Resize = "longest"
    ) -> None:
        super().__init__(segmenter, name=name, base=base, resize=resize)
        self._image: EmbeddedImage | None = None

    @property
    def is_image_set(self) -> bool:
        """Whether `predict` has an image to answer on."""
        return self._image is not None

    @property
    def image(self) -> EmbeddedImage:
        """The image that is set.

        Raises:
            PromptError: None is.
        """
        if self._image is None:
            raise PromptError("no image is set: call set_image before asking for masks.")
        return self._image

    def set_image(self, image: NDArray[np.uint8], image_format: str = "RGB") -> None:
        """Embed an image and keep it for `predict`.

        Args:
            image: Pixels, (H, W, 3) in 0..255.
            image_format: Order of the channels, `RGB` or `BGR`.

        Raises:
            DataError: The image or its format is something else.
        """
        self._image = self.embed(image, image_format)

    def set_embedded(self, image: EmbeddedImage) -> None:
        """Keep an image that was embedded before, perhaps elsewhere.

        Raises:
            CheckpointError: Another base has embedded it.
        """
        image.check_fits(self.segmenter.base, self.base)
        self._image = image.to(self.device)

    def reset_image(self) -> None:
        """Forget the image."""
        self._image = None

    def get_image_embedding(self) -> Tensor:
        """Return the embedding of the image that is set, (1, C, g, g)."""
        return self.image.encoded.embedding

    @overload
    def predict(
        self,
        point_coords: ArrayLike | None = ...,
        point_labels: ArrayLike | None = ...,
        box: ArrayLike | None = ...,
        mask_input: ArrayLike | None = ...,
        multimask_output: bool = ...,
        return_logits: bool = ...,
        return_details: Literal[False] = ...,
    ) -> Plain: ...

    @overload
    def predict(
        self,
        point_coords: ArrayLike | None = ...,
        point_labels: ArrayLike | None = ...,
        box: ArrayLike | None = ...,
        mask_input: ArrayLike | None = ...,
        multimask_output: bool = ...,
        return_logits: bool = ...,
        *,
        return_details: Literal[True],
    ) -> tuple[*Plain, Details]: ...

    def predict(
        self,
        point_coords: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
        mask_input: ArrayLike | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
        return_details: bool = False,
    ) -> Plain | tuple[*Plain, Details]:
        """Predict the masks of one object of the image that is set.

        Args:
            point_coords: x, y in pixels, (k, 2).
            point_labels: 1 on the object, 0 beside it, -1 to leave a point out, (k,).
            box: Corners x0, y0, x1, y1 in pixels, (4,).
            mask_input: Low-resolution logits of an earlier prediction, (1, m, m).
            multimask_output: SAM's three candidates; see the module's text for adapters.
            return_logits: Mask logits in place of masks.
            return_details: Return the details as a fourth value.

        Returns:
            Masks, bool (or float logits) (C, H, W); scores (C,); low-resolution logits (C, m, m).

        Raises:
            PromptError: No image is set, or the prompt says nothing usable.
        """
        prompt = image_prompt(box=box, points=point_coords, labels=point_labels, mask=mask_input)
        found = self.predict_many(
            [(self.image, prompt)],
            multimask_output=multimask_output,
            return_logits=return_logits,
            return_details=return_details,
        )[0]
        plain = (found.masks, found.scores, found.low_res)
        return plain if found.details is None else (*plain, found.details)

    def predict_torch(
        self,
        point_coords: Tensor | None,
        point_labels: Tensor | None,
        boxes: Tensor | None = None,
        mask_input: Tensor | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Predict a batch of prompts of equal parts, given in pixels of the encoder's input.

        Points labelled -1 count as SAM counts them: as tokens that say "no point".

        Args:
            point_coords: x, y in pixels of the input, (N, k, 2).
            point_labels: 1, 0 or -1, (N, k).
            boxes: Corners in pixels of the input, (N, 4).
            mask_input: Low-resolution logits, (N, 1, m, m).
            multimask_output: SAM's three candidates.
            return_logits: Mask logits in place of masks.

        Returns:
            Masks (N, C, H, W), scores (N, C), low-resolution logits (N, C, m, m).
        """
        given = [part for part in (point_coords, boxes, mask_input) if part is not None]
        if not given:
            raise PromptError("the prompt is empty: give boxes, points or masks.")
        places = torch.arange(len(given[0]), device=self.device)
        group = Prompts(places, boxes, point_coords, point_labels, mask_input)
        images = [self.image] * len(places)
        decoded = self.decode(images, group, multimask_output, with_sam=False)
        masks = self.image.placement.at_original_size(decoded.masks)
        masks = masks if return_logits else masks > MASK_THRESHOLD
        return masks, decoded.scores, decoded.masks
