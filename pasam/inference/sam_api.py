"""The names of `segment_anything` for our models, so that what SAM's notebooks call runs here.

    from pasam.inference.sam_api import SamAutomaticMaskGenerator, SamPredictor, sam_model_registry

    sam = sam_model_registry["default"]()            # what comes with the package, or
    sam = sam_model_registry["vit_b"](checkpoint="sam_vit_b_01ec64.pth")
    predictor = SamPredictor(sam)

For SAM the numbers are SAM's own; an adapter answers with its one refined mask.
"""

# Shapes: B images, N prompts of one, k points, C masks, S the encoder's input, m mask logits.

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pasam.errors import CheckpointError, ParamsError
from pasam.inference.automatic_masks import AutomaticMaskOptions, segment_everything
from pasam.inference.image_transform import MASK_THRESHOLD
from pasam.inference.model_files import (
    DEFAULT,
    SAM,
    find_model,
    open_model,
    packaged_models,
)
from pasam.inference.predictor import PromptAdapterPredictor, PromptedModel
from pasam.masks.run_lengths import decode
from pasam.models.build import SIZES


class SamModel:
    """What SAM's notebooks call `sam`: a model that answers batches of images.

    Args:
        prompted: The model.
    """

    mask_threshold = MASK_THRESHOLD
    image_format = "RGB"

    def __init__(self, prompted: PromptedModel) -> None:
        self.prompted = prompted
        self.image_encoder = SimpleNamespace(img_size=prompted.side)

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        return self.prompted.device

    def to(self, device: str | torch.device) -> SamModel:
        """Move the model, as modules of torch are moved."""
        self.prompted.segmenter.to(device)
        return self

    def eval(self) -> SamModel:
        """Return the model, which never trains here."""
        return self

    def __call__(
        self, batched_input: Sequence[Mapping[str, Any]], multimask_output: bool
    ) -> list[dict[str, Tensor]]:
        """Predict masks on several images.

        Args:
            batched_input: B images: `image`, RGB (3, h, w) at the input's size; `original_size`,
                its H, W; and prompts in pixels of the input: `boxes` (N, 4), `point_coords`
                (N, k, 2) with `point_labels` (N, k), `mask_inputs` (N, 1, m, m).
            multimask_output: SAM's three candidates.

        Returns:
            For each image `masks`, bool (N, C, H, W), `iou_predictions` (N, C) and
            `low_res_logits` (N, C, m, m).
        """
        predictor, answers = SamPredictor(self), []
        for each in batched_input:
            predictor.set_torch_image(each["image"][None], each["original_size"])
            masks, scores, logits = predictor.predict_torch(
                each.get("point_coords"), each.get("point_labels"), each.get("boxes"),
                each.get("mask_inputs"), multimask_output,
            )  # fmt: skip
            answers.append({"masks": masks, "iou_predictions": scores, "low_res_logits": logits})
        return answers


class SamPredictor(PromptAdapterPredictor):
    """SAM's predictor, for a model of `sam_model_registry`.

    Args:
        sam_model: The model.
    """

    def __init__(self, sam_model: SamModel) -> None:
        own = sam_model.prompted
        super().__init__(
            own.segmenter, name=own.name, base=own.base, resize=own.resize, origin=own.origin,
            trained_on=own.trained_on,
        )  # fmt: skip


class SamAutomaticMaskGenerator:
    """SAM's generator of all masks of an image, for a model of `sam_model_registry`.

    Args:
        model: The model.
        options: Fields of `AutomaticMaskOptions`, which are SAM's arguments; what is not given is
            what suits the model.
    """

    def __init__(self, model: SamModel, **options: Any) -> None:
        self.model = model.prompted
        unknown = sorted(options.keys() - AutomaticMaskOptions.__dataclass_fields__.keys())
        if unknown:
            known = ", ".join(AutomaticMaskOptions.__dataclass_fields__)
            raise ParamsError(f"there is no option {unknown[0]!r}; expected some of {known}.")
        self.options = dataclasses.replace(AutomaticMaskOptions.suited_to(self.model), **options)

    def generate(self, image: NDArray[np.uint8]) -> list[dict[str, Any]]:
        """Find all objects of an RGB image (H, W, 3): SAM's records, `segmentation` bool (H, W)."""
        found = segment_everything(self.model, image, self.options)
        return [{**each, "segmentation": decode(each["segmentation"])} for each in found]


class _ModelRegistry(Mapping[str, Callable[..., SamModel]]):
    """Models by SAM's names of sizes, by ours, and `default`."""

    def __getitem__(self, name: str) -> Callable[..., SamModel]:
        if name not in self._names():
            raise KeyError(name)
        return functools.partial(_open, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def _names(self) -> list[str]:
        return ["default", *SIZES, SAM, *packaged_models()]


sam_model_registry: Mapping[str, Callable[..., SamModel]] = _ModelRegistry()


def _open(name: str, checkpoint: str | Path | None = None) -> SamModel:
    if checkpoint is None and name in SIZES:
        raise CheckpointError(
            f"sam_model_registry[{name!r}] needs the file of its weights: (checkpoint='...')."
        )
    known = DEFAULT if name == "default" else name
    files = find_model(known if checkpoint is None else str(checkpoint))
    return SamModel(open_model(files, resize="longest"))
