"""A model that answers prompts, with `SamPredictor`'s methods, for SAM, HQ-SAM and PA-SAM alike.

Masks and scores come back as SAM returns them: masks (C, H, W) at the image's own size, C scores,
C low-resolution logits. For SAM, C is 3 with `multimask_output` and 1 without. HQ-SAM and PA-SAM
refine SAM's one mask, so there C is 1 either way; SAM's candidates are among the details.

The scores are those of SAM's iou head. HQ-SAM's describe SAM's mask, not the refined one. PA-SAM
changes the masks and leaves the head frozen, so its scores are stale: compare them with each other
if you must, and with nothing else.
"""

# Shapes: B images, H, W of one, N prompts, n prompts of equal parts, C masks of a prompt, S the
# side of the encoder's input, m the side of low-resolution logits, g grid cells a side, k points.

from __future__ import annotations

import dataclasses
import itertools
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from pasam.errors import CheckpointError, DataError, PromptError
from pasam.inference.image_prompt import ImagePrompt, grouped, image_prompt
from pasam.inference.image_transform import EmbeddedImage, ImageTransform, Resize, sam_transform
from pasam.models.base_sam import Encoded
from pasam.models.pa_mask_decoder import PaMaskDecoder, PaPrediction
from pasam.models.segmenter import ImageFeatures, Prompts, Segmenter

if TYPE_CHECKING:
    from pasam.inference.sam_api import SamModel
    from segment_anything.utils.transforms import ResizeLongestSide

Request = tuple[EmbeddedImage, ImagePrompt]

SMALL_SIDE = 512
"""Models of a smaller input look at small things from near unless told otherwise."""


@dataclass(frozen=True, slots=True, eq=False)
class PredictionDetails:
    """How a prediction came about, in pixels of the original image."""

    sam_masks: NDArray[Any]
    """The frozen base's masks (or logits, where those were asked for), (1 or 3, H, W)."""
    sam_scores: NDArray[np.float32]
    """The base's predicted IoU of each, (1 or 3,)."""
    uncertainty: NDArray[np.float32] | None
    """PA-SAM's probability that the coarse mask needs the refined one, (H, W) in [0, 1]."""
    coarse: NDArray[np.float32] | None
    """Logits of PA-SAM's coarse mask, (H, W)."""
    refined: NDArray[np.float32] | None
    """Logits of the adapter's refined mask, (H, W); made on the grid, so soft."""
    positive: NDArray[np.float32] | None
    """Mined points that ask for more mask, x, y (k, 2); some may lie in the padding."""
    negative: NDArray[np.float32] | None
    """Mined points that ask for less mask, x, y (k, 2); some may lie in the padding."""


@dataclass(frozen=True, slots=True, eq=False)
class PredictedMasks:
    """The answer to one prompt."""

    masks: NDArray[Any]
    """bool (C, H, W), or float32 logits where those were asked for."""
    scores: NDArray[np.float32]
    """Predicted IoU of each, (C,); stale for PA-SAM, see `pasam.inference.predictor`."""
    low_res: NDArray[np.float32]
    """Logits over the encoder's input, (C, m, m); each can be the next prompt's mask."""
    details: PredictionDetails | None
    zoomed: bool = False
    """Whether it was looked at from near, see `pasam.inference.zoomed_boxes`."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """What n prompts gave, before it is brought to the images' own pixels."""

    masks: Tensor
    """Mask logits, (n, C, m, m): SAM's one or three; of an adapter always the one refined mask."""
    scores: Tensor
    """Predicted IoU of each, (n, C)."""
    sam_masks: Tensor
    """The frozen base's mask logits, (n, 1 or 3, m, m); of SAM itself, and where they were not
    asked for, the same as `masks`."""
    sam_scores: Tensor
    """Predicted IoU of each, (n, 1 or 3)."""
    maps: PaPrediction | None
    """PA-SAM's own maps and points; None for other decoders."""


class PromptedModel:
    """Encode once, prompt many times; every method may be called from several threads.

    Args:
        segmenter: The model.
        name: What the model is called, for people.
        base: Digest of the base's checkpoint file.
        resize: How images are brought to the encoder's input.
        origin: Whose it is, as `pasam.inference.model_files` found it.
        trained_on: What it was trained on, in its words.
    """

    def __init__(
        self, segmenter: Segmenter, *, name: str, base: str, resize: Resize = "longest",
        origin: str = "", trained_on: str = "",
    ) -> None:  # fmt: skip
        self.segmenter = segmenter.eval().requires_grad_(False)
        self.name = name
        self.base = base
        self.origin = origin
        self.trained_on = trained_on
        self.resize: Resize = resize
        self._encoding = threading.Lock()  # the encoder's early features are caught by a hook

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        return self.segmenter.device

    @property
    def side(self) -> int:
        """Side S of the encoder's input, in pixels."""
        return self.segmenter.base.side

    @property
    def mask_side(self) -> int:
        """Side m of low-resolution logits and of mask prompts: four per cell of the grid."""
        return self.segmenter.base.mask_side

    @property
    def looks_from_near(self) -> bool:
        """Whether it looks at small things from near, see `zoomed_boxes`, unless told otherwise."""
        return self.side < SMALL_SIDE

    @property
    def is_adapted(self) -> bool:
        """Whether a trained decoder stands beside SAM's own."""
        return self.segmenter.decoder is not self.segmenter.base.sam.mask_decoder

    @property
    def has_uncertainty(self) -> bool:
        """Whether its details hold an uncertainty map: PA-SAM's, unless it was built without."""
        decoder = self.segmenter.decoder
        return isinstance(decoder, PaMaskDecoder) and decoder.prompt_adapter.parts.tokens

    @property
    def frozen_base(self) -> PromptedModel:
        """The base by itself, sharing its weights: SAM's own answers, on the same embeddings."""
        base = self.segmenter.base
        segmenter = Segmenter(base=base, decoder=base.sam.mask_decoder)
        return PromptedModel(segmenter, name="sam", base=self.base, resize=self.resize)

    def with_segmenter(self, segmenter: Segmenter) -> PromptedModel:
        """Give the model on another copy of its weights, and all else as it is."""
        return PromptedModel(
            segmenter, name=self.name, base=self.base, resize=self.resize, origin=self.origin,
            trained_on=self.trained_on,
        )  # fmt: skip

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
        inputs = []
        for image in images:
            _check_image(image, image_format)
            transform = ImageTransform(image.shape[0], image.shape[1], self.side, self.resize)
            pixels = transform.resized(image if image_format == "RGB" else image[..., ::-1])
            inputs.append((transform, pixels))
        return self._embedded(inputs)

    def _embedded(self, inputs: Sequence[tuple[ImageTransform, Tensor]]) -> list[EmbeddedImage]:
        """Embed pixels that are brought to their part of the input, (3, h, w) in [0, 255]."""
        if not inputs:
            return []
        padded = [transform.padded(pixels.to(self.device)) for transform, pixels in inputs]
        with self._encoding, torch.no_grad():
            encoded = self.segmenter.base.encode(torch.stack(padded))
        # Copies, for a part of the batch would keep the whole of it in memory.
        parts = torch.split(encoded.embedding, 1), torch.split(encoded.early, 1)
        return [
            EmbeddedImage(
                transform, pixels.to(self.device, torch.uint8),
                Encoded(embedding.clone(), early.clone()), self.base,
            )
            for (transform, pixels), embedding, early in zip(inputs, *parts, strict=True)
        ]  # fmt: skip

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
            CheckpointError: Another base has embedded an image, or the weights give no numbers.
        """
        for image in {id(image): image for image, _ in requests}.values():
            image.check_fits(self.segmenter.base, self.base)
        placed = [(prompt, image.transform) for image, prompt in requests]
        groups = grouped(placed, mask_side=self.mask_side, device=self.device)
        results: dict[int, PredictedMasks] = {}
        for group in itertools.chain.from_iterable(_parts(each, batch_size) for each in groups):
            images = [requests[place][0] for place in group.indices.tolist()]
            decoded = self.decode(images, group, multimask_output, with_sam=return_details)
            self._expect_numbers(decoded)
            for row, place in enumerate(group.indices.tolist()):
                results[place] = postprocess(
                    decoded, row, images[row].transform,
                    return_logits=return_logits, return_details=return_details,
                )  # fmt: skip
        return [results[place] for place in range(len(requests))]

    def try_out(self) -> None:
        """Ask for one mask of a small image, so that weights that answer nothing never serve.

        Raises:
            CheckpointError: The answer holds NaN or infinity, or is the same everywhere.
        """
        rows, columns = np.mgrid[0:48, 0:64]
        inside = (abs(rows - 24) < 12) & (abs(columns - 32) < 16)
        image = np.where(inside[..., None], (220, 60, 50), (90, 120, 100)).astype(np.uint8)
        box = image_prompt(box=[16, 12, 48, 36])
        found = self.predict_many([(self.embed(image), box)])[0]
        if found.low_res.min() == found.low_res.max():
            raise CheckpointError(
                f"the weights of {self.name} give every pixel of a trial image the same answer; "
                "they are empty or damaged. Train or fetch them again."
            )

    def _expect_numbers(self, decoded: Decoded) -> None:
        if not (decoded.masks.isfinite().all() and decoded.scores.isfinite().all()):
            raise CheckpointError(
                f"the weights of {self.name} give NaN or infinity in place of masks; they are "
                "damaged. Train or fetch them again."
            )

    @torch.no_grad()
    def decode(
        self, images: Sequence[EmbeddedImage], prompts: Prompts, multimask: bool, *, with_sam: bool
    ) -> Decoded:
        """Run the decoder on n prompts of equal parts, given in pixels of the encoder's input.

        Args:
            images: The image of each prompt; the same one may come often.
            prompts: The prompts; their `indices` do not matter here.
            multimask: SAM's three candidates in place of its one mask. An adapter refines SAM's
                one mask all the same.
            with_sam: Run the frozen base's own decoder beside an adapter's.
        """
        single = list({id(image): image for image in images}.values())
        number = {id(image): i for i, image in enumerate(single)}
        index = torch.tensor([number[id(image)] for image in images], device=self.device)
        if not self.is_adapted:
            masks, scores = self._by_base(single, index, prompts, multimask)
            return Decoded(masks, scores, masks, scores, maps=None)
        refined = self.segmenter.answer(
            ImageFeatures.joined([self._features(image) for image in single]),
            index,
            [dataclasses.replace(prompts, indices=torch.arange(len(index)).to(index))],
        )
        masks, scores = refined.masks, refined.iou
        if not with_sam:
            return Decoded(masks, scores, masks, scores, refined.details)
        sam = self._by_base(single, index, prompts, multimask)
        return Decoded(masks, scores, *sam, refined.details)

    def _features(self, image: EmbeddedImage) -> ImageFeatures:
        """Return what the adapter makes of an image, which the image keeps."""

        def look() -> ImageFeatures:
            there = image.to(self.device)
            return self.segmenter.look(there.padded()[None], there.encoded)

        return image.kept.of(self.segmenter, look)

    def _by_base(
        self, images: Sequence[EmbeddedImage], index: Tensor, prompts: Prompts, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        """Ask the frozen base itself; for one image this is bit for bit what SAM computes."""
        base = self.segmenter.base
        sparse, dense = base.embed_prompts(
            points=prompts.points, point_labels=prompts.point_labels, boxes=prompts.boxes,
            masks=prompts.masks,
        )  # fmt: skip
        embeddings = torch.cat([image.encoded.embedding.to(self.device) for image in images])
        masks, scores = base.sam.mask_decoder.decode(
            image_embeddings=embeddings, image_pe=base.image_pe(), sparse=sparse, dense=dense,
            image_index=index,
        )  # fmt: skip
        chosen = slice(1, None) if multimask else slice(0, 1)
        return masks[:, chosen], scores[:, chosen]


class PromptAdapterPredictor(PromptedModel):
    """Answer prompts on the image that is set, with a trained adapter or with SAM itself.

    `embed` and `predict_many` keep nothing; `set_image` and what builds on it remember one image,
    as `SamPredictor` does, so give each thread its own.
    """

    _image: EmbeddedImage | None = None

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

    def set_torch_image(
        self, transformed_image: Tensor, original_image_size: tuple[int, int]
    ) -> None:
        """Embed an image that `transform` has brought to the input, and keep it for `predict`.

        Args:
            transformed_image: RGB, (1, 3, h, w) in [0, 255], its longest side S.
            original_image_size: H, W of the image that it was.

        Raises:
            DataError: It is of another size.
        """
        height, width = original_image_size
        transform = ImageTransform(int(height), int(width), self.side, self.resize)
        if tuple(transformed_image.shape) != (1, 3, *transform.inner):
            raise DataError(
                f"the image is {tuple(transformed_image.shape)}, expected (1, 3, h, w) with h, w = "
                f"{transform.inner}: bring it there with `transform.apply_image`."
            )
        self._image = self._embedded([(transform, transformed_image[0].clamp(0, 255))])[0]

    @property
    def transform(self) -> ResizeLongestSide:
        """Brings images, points and boxes to the input of the encoder, as SAM's does."""
        return sam_transform(self.side, self.resize)

    @property
    def original_size(self) -> tuple[int, int]:
        """H, W of the image that is set."""
        return self.image.transform.height, self.image.transform.width

    @property
    def input_size(self) -> tuple[int, int]:
        """The part of the encoder's input that the image fills, (h, w)."""
        return self.image.transform.inner

    @property
    def features(self) -> Tensor:
        """The embedding of the image that is set, (1, C, g, g)."""
        return self.get_image_embedding()

    @property
    def model(self) -> SamModel:
        """The model by SAM's names: batches of images, its input's side, its device."""
        from pasam.inference.sam_api import SamModel  # which builds on this file

        return SamModel(self)

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

    def predict(
        self,
        point_coords: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
        mask_input: ArrayLike | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> tuple[NDArray[Any], NDArray[np.float32], NDArray[np.float32]]:
        """Predict the masks of one object of the image that is set.

        Args:
            point_coords: x, y in pixels, (k, 2).
            point_labels: 1 on the object, 0 beside it, -1 to leave a point out, (k,).
            box: Corners x0, y0, x1, y1 in pixels, (4,).
            mask_input: Low-resolution logits of an earlier prediction, (1, m, m); or a mask of the
                image, bool or uint8 (H, W).
            multimask_output: SAM's three candidates; see the module's text for adapters.
            return_logits: Mask logits in place of masks.

        Returns:
            Masks, bool (or float logits) (C, H, W); scores (C,); low-resolution logits (C, m, m).

        Raises:
            PromptError: No image is set, or the prompt says nothing usable.
        """
        prompt = image_prompt(box=box, points=point_coords, labels=point_labels, mask=mask_input)
        found = self.predict_many(
            [(self.image, prompt)], multimask_output=multimask_output, return_logits=return_logits
        )[0]
        return found.masks, found.scores, found.low_res

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
            Masks (N, C, H, W), scores (N, C), low-resolution logits (N, C, m, m); N may be 0.

        Raises:
            PromptError: No image is set, nothing is given, or the parts are of unequal numbers.
        """
        count = _count_of(point_coords, point_labels, boxes, mask_input)
        places = torch.arange(count, device=self.device)
        group = Prompts(places, boxes, point_coords, point_labels, mask_input)
        images, transform = [self.image] * count, self.image.transform
        if not count:
            candidates = 3 if multimask_output and not self.is_adapted else 1
            none = torch.zeros(0, candidates, 1, 1, device=self.device)
            masks = none.expand(-1, -1, transform.height, transform.width)
            low_res = none.expand(-1, -1, self.mask_side, self.mask_side)
            return masks if return_logits else masks > 0, none[..., 0, 0], low_res
        decoded = self.decode(images, group, multimask_output, with_sam=False)
        bring = transform.at_original_size if return_logits else transform.masks_at_original_size
        return bring(decoded.masks), decoded.scores, decoded.masks


def _count_of(
    points: Tensor | None, labels: Tensor | None, boxes: Tensor | None, masks: Tensor | None
) -> int:
    """Return how many prompts there are, which is what all of their parts say."""
    if points is None and boxes is None and masks is None:
        raise PromptError("the prompt is empty: give boxes, points or masks.")
    if (points is None) is not (labels is None):
        raise PromptError("point_coords and point_labels go together: give both or none.")
    given = {"point_coords": points, "point_labels": labels, "boxes": boxes, "mask_input": masks}
    counts = {name: len(part) for name, part in given.items() if part is not None}
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{count} in {name}" for name, count in counts.items())
        raise PromptError(f"there are unequal numbers of prompts: {said}; expected one of each.")
    return next(iter(counts.values()))


def postprocess(
    decoded: Decoded, row: int, transform: ImageTransform, *, return_logits: bool,
    return_details: bool,
) -> PredictedMasks:  # fmt: skip
    """Bring one prompt's part of a pass to its image.

    Args:
        decoded: What the pass gave.
        row: Which of its prompts.
        transform: The transform of the prompt's image.
        return_logits: Keep logits in place of masks.
        return_details: Bring the details too.
    """

    def masks(logits: Tensor) -> NDArray[Any]:
        bring = transform.at_original_size if return_logits else transform.masks_at_original_size
        return _numpy(bring(logits[row : row + 1])[0])

    details = None
    if return_details:
        details = _details(decoded, row, transform, masks(decoded.sam_masks))
    low_res, scores = _numpy(decoded.masks[row]), _numpy(decoded.scores[row])
    return PredictedMasks(masks(decoded.masks), scores, low_res, details)


def _details(
    decoded: Decoded, row: int, transform: ImageTransform, sam_masks: NDArray[Any]
) -> PredictionDetails:
    sam_scores, maps = _numpy(decoded.sam_scores[row]), decoded.maps
    if maps is None:
        return PredictionDetails(sam_masks, sam_scores, None, None, None, None, None)

    def whole(part: Tensor) -> NDArray[np.float32]:
        return _numpy(transform.at_original_size(part[row : row + 1])[0, 0])

    def points(cells: Tensor | None) -> NDArray[np.float32] | None:
        grid = maps.masks.shape[-1] // 4  # the maps may be finer than the grid
        return None if cells is None else transform.cell_centres(cells[row], grid)

    return PredictionDetails(
        sam_masks, sam_scores,
        uncertainty=whole(maps.uncertainty), coarse=whole(maps.coarse), refined=whole(maps.refined),
        positive=points(maps.positive), negative=points(maps.negative),
    )  # fmt: skip


def _numpy(part: Tensor) -> NDArray[Any]:
    # A copy of its own: a view would keep the whole batch in memory.
    return np.array(part.detach().cpu().numpy())


def _parts(group: Prompts, size: int) -> Iterator[Prompts]:
    """Split prompts of equal parts into passes of at most `size`."""
    parts = {field.name: getattr(group, field.name) for field in dataclasses.fields(group)}
    for first in range(0, len(group.indices), size):
        rows = slice(first, first + size)
        some: dict[str, Any] = {k: None if p is None else p[rows] for k, p in parts.items()}
        yield Prompts(**some)


def _check_image(image: NDArray[np.uint8], image_format: str) -> None:
    if image_format not in ("RGB", "BGR"):
        raise DataError(f"image_format is {image_format!r}, expected 'RGB' or 'BGR'.")
    if not isinstance(image, np.ndarray):
        raise DataError(
            f"the image is a {type(image).__name__}, expected a NumPy array, uint8 (H, W, 3) in "
            "0..255. `read_image` of pasam.masks.images makes one of any file."
        )
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise DataError(
            f"the image is {image.dtype} {image.shape}, expected uint8 (H, W, 3) in 0..255. "
            "`read_image` of pasam.masks.images makes one of any file."
        )
