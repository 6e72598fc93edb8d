"""A model that embeds images and answers prompts on them, keeping nothing in between."""

# Shapes: H, W of an image, N prompts, S the side of the encoder's input, m the side of
# low-resolution logits, g grid cells a side, C channels.

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pasam.errors import DataError
from pasam.inference.decoding import Decoded, decode
from pasam.inference.embedded_image import EmbeddedImage
from pasam.inference.image_prompt import ImagePrompt, grouped
from pasam.inference.placement import Placement, Resize
from pasam.inference.predicted_masks import PredictedMasks, placed
from pasam.modeling.base_sam import Encoded
from pasam.modeling.segmenter import Prompts, Segmenter

Request = tuple[EmbeddedImage, ImagePrompt]


class PromptedModel:
    """Encode once, prompt many times; every method may be called from several threads.

    Args:
        segmenter: The model.
        name: What the model is called, for people.
        base: Digest of the base's checkpoint file.
        resize: How images are brought to the encoder's input.
    """

    def __init__(
        self, segmenter: Segmenter, *, name: str, base: str, resize: Resize = "longest"
    ) -> None:
        self.segmenter = segmenter.eval().requires_grad_(False)
        self.name = name
        self.base = base
        self.resize: Resize = resize
        self._encoding = threading.Lock()  # the encoder's early features are caught by a hook

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        return next(self.segmenter.parameters()).device

    @property
    def side(self) -> int:
        """Side S of the encoder's input, in pixels."""
        return self.segmenter.base.side

    @property
    def mask_side(self) -> int:
        """Side m of low-resolution logits and of mask prompts: four per cell of the grid."""
        return self.segmenter.base.mask_side

    @property
    def is_adapted(self) -> bool:
        """Whether a trained decoder stands beside SAM's own."""
        return self.segmenter.decoder is not self.segmenter.base.sam.mask_decoder

    @property
    def frozen_base(self) -> PromptedModel:
        """The base by itself, sharing its weights: SAM's own answers, on the same embeddings."""
        base = self.segmenter.base
        segmenter = Segmenter(base=base, decoder=base.sam.mask_decoder)
        return PromptedModel(segmenter, name="sam", base=self.base, resize=self.resize)

    def embed(self, image: NDArray[np.uint8], image_format: str = "RGB") -> EmbeddedImage:
        """Run the encoder on an image.

        Args:
            image: Pixels, (H, W, 3) in 0..255.
            image_format: Order of the channels, `RGB` or `BGR`.

        Raises:
            DataError: The image or its format is something else.
        """
        return self.embed_many([image], image_format)[0]

    def embed_many(
        self, images: Sequence[NDArray[np.uint8]], image_format: str = "RGB"
    ) -> list[EmbeddedImage]:
        """Run the encoder on several images of any sizes, in one pass.

        Raises:
            DataError: An image or the format is something else.
        """
        nothing = Encoded(torch.empty(0), torch.empty(0))
        inputs = []
        for image in images:
            _check_image(image, image_format)
            placement = Placement(image.shape[0], image.shape[1], self.side, self.resize)
            pixels = placement.resized(image if image_format == "RGB" else image[..., ::-1])
            inputs.append(EmbeddedImage(placement, pixels, nothing, self.base).to(self.device))
        if not inputs:
            return []
        with self._encoding, torch.no_grad():
            encoded = self.segmenter.base.encode(torch.stack([each.padded() for each in inputs]))
        # Copies, for a part of the batch would keep the whole of it in memory.
        parts = [
            Encoded(encoded.embedding[i : i + 1].clone(), encoded.early[i : i + 1].clone())
            for i in range(len(inputs))
        ]
        return [
            EmbeddedImage(each.placement, each.pixels, part, self.base)
            for each, part in zip(inputs, parts, strict=True)
        ]

    def predict_many(
        self,
        requests: Sequence[Request],
        *,
        multimask_output: bool = False,
        return_logits: bool = False,
        return_details: bool = False,
        batch_size: int = 64,
    ) -> list[PredictedMasks]:
        """Answer prompts on one or several images; each result is what it would be alone.

        Args:
            requests: N images, each with a prompt; an image may come with many.
            multimask_output: SAM's three candidates per prompt; an adapter's mask is always one.
            return_logits: Mask logits in place of masks.
            return_details: SAM's masks beside an adapter's, and PA-SAM's maps and points.
            batch_size: Prompts per pass of the decoder; changes nothing but time and memory.

        Returns:
            The answers, in the order of the requests.

        Raises:
            PromptError: A mask prompt is of another base's side.
            CheckpointError: Another base has embedded an image.
        """
        for image in {id(image): image for image, _ in requests}.values():
            image.check_fits(self.segmenter.base, self.base)
        groups = grouped(
            [prompt for _, prompt in requests],
            [image.placement for image, _ in requests],
            mask_side=self.mask_side,
            device=self.device,
        )
        results: dict[int, PredictedMasks] = {}
        for group in itertools.chain.from_iterable(_parts(each, batch_size) for each in groups):
            images = [requests[place][0] for place in group.indices.tolist()]
            decoded = self.decode(images, group, multimask_output, with_sam=return_details)
            for row, place in enumerate(group.indices.tolist()):
                results[place] = placed(
                    decoded,
                    row,
                    images[row].placement,
                    return_logits=return_logits,
                    return_details=return_details,
                )
        return [results[place] for place in range(len(requests))]

    def decode(
        self, images: Sequence[EmbeddedImage], prompts: Prompts, multimask: bool, *, with_sam: bool
    ) -> Decoded:
        """Run the decoder on n prompts of equal parts, given in pixels of the encoder's input.

        Args:
            images: The image of each prompt; the same one may come often.
            prompts: The prompts.
            multimask: SAM's three candidates in place of its one mask.
            with_sam: Run the frozen base's decoder beside an adapter's.
        """
        single = list({id(image): image for image in images}.values())
        number = {id(image): i for i, image in enumerate(single)}
        there = [image.to(self.device) for image in single]
        # Adapters may look at the pixels again; SAM's decoder never does.
        looks = self.is_adapted
        return decode(
            self.segmenter,
            images=torch.stack([image.padded() for image in there]) if looks else torch.empty(0),
            encoded=Encoded(
                torch.cat([image.encoded.embedding for image in there]),
                torch.cat([image.encoded.early for image in there]),
            ),
            image_index=torch.tensor([number[id(image)] for image in images], device=self.device),
            prompts=prompts,
            multimask=multimask,
            with_sam=with_sam,
        )


def _parts(group: Prompts, size: int) -> list[Prompts]:
    """Split prompts of equal parts into passes of at most `size`."""

    def rows(part: Tensor | None, first: int) -> Tensor | None:
        return None if part is None else part[first : first + size]

    return [
        Prompts(
            indices=group.indices[first : first + size],
            boxes=rows(group.boxes, first),
            points=rows(group.points, first),
            point_labels=rows(group.point_labels, first),
            masks=rows(group.masks, first),
        )
        for first in range(0, len(group.indices), size)
    ]


def _check_image(image: NDArray[np.uint8], image_format: str) -> None:
    if image_format not in ("RGB", "BGR"):
        raise DataError(f"image_format is {image_format!r}, expected 'RGB' or 'BGR'.")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise DataError(
            f"the image is {image.dtype} {image.shape}, expected uint8 (H, W, 3) in 0..255. "
            "`read_image` of pasam.data.images makes one of any file."
        )
