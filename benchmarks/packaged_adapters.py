"""Train the adapters that come with the package, on a frozen `tiny` and a folder of photographs.

    python benchmarks/packaged_adapters.py POOL --out FOLDER

POOL has the form of docs/tiny.md (`manifest.csv` with split, dataset, image and mask); of its split
`train` the last tenth of every set is left out, so that something is left to choose on. The mask
head alone comes first, HQ-SAM for itself; PA-SAM and PA-SAM+ begin at the head, their adapters at
nothing. All learn from the same views, drawn once and encoded once: 65 % photographs, 35 %
generated scenes. Writes one file per model; what is written already is not trained again.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, groupby
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from pasam.config.params_file import laid_over, variant_in
from pasam.config.presets import compose, preset_path
from pasam.config.schema import HqSamParams, PaSamParams, VariantParams
from pasam.masks.images import foreground
from pasam.models.adapter_weights import write_adapter
from pasam.models.base_sam import BaseSam
from pasam.models.build import build_trainable, load_base
from pasam.models.checkpoint import file_digest, read_weights
from pasam.models.losses import mask_loss, object_bce_loss, outline_loss
from pasam.models.segmenter import Segmenter
from pasam.training.annotated import Annotated, draw_scenes, read_photographs
from pasam.training.embeddings import Store
from pasam.training.fit import flushed_denormals
from pasam.training.object_batches import LEAST_PIXELS, ObjectBatches, ObjectSampler, ViewMix
from pasam.training.objectives import TrainingStep
from pasam.training.samples import Batch, CachedBatches, Sampling
from pasam.workers import progress_bar

COARSENESS = 0.009
EMPHASIS = {"coco_cc": 2.5, "openimages_animals": 1.7, "oxford_pets": 1.5}
MASK_HEAD = ("mask_tokens.", "output_")
HEAD = "head_only"


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How one model is trained, beside what the preset `photographs` says of it."""

    steps: int
    rate: float
    head_rate: float
    """Rate of SAM's own mask head, where it learns."""
    change: Mapping[str, Any]
    """What the model has otherwise than in the preset."""


RECIPES = {
    HEAD: Recipe(steps=800, rate=0.0, head_rate=5e-4, change={"interpolation": 1.0}),
    "hq_sam": Recipe(steps=800, rate=1e-3, head_rate=1e-3, change={"prompts": "effective"}),
    "pa_sam": Recipe(
        steps=120, rate=2e-4, head_rate=5e-5,
        change={"interpolation": 1.0, "mining": {"method": "none"}},
    ),
    "pa_sam_plus": Recipe(
        steps=120, rate=5e-4, head_rate=1e-4,
        change={"interpolation": 1.0, "iou_head": "frozen", "adapter_rate": 0.1},
    ),
}  # fmt: skip
"""By model, in their order: PA-SAM and PA-SAM+ begin at the head."""


def main() -> None:
    """Train what is not there yet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("pool", type=Path, help="Photographs in the pool's form.")
    parser.add_argument("--out", type=Path, required=True, help="Folder of the adapters.")
    parser.add_argument("--base", type=Path, default=Path("pasam/packaged/tiny.safetensors"))
    parser.add_argument("--models", nargs="*", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--views", type=int, default=4800)
    parser.add_argument("--scenes", type=int, default=1500, help="Generated scenes among them.")
    parser.add_argument("--seed", type=int, default=5)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    chosen.out.mkdir(parents=True, exist_ok=True)
    missing = [m for m in chosen.models if not (chosen.out / f"{m}.safetensors").is_file()]
    if not missing:
        return
    base = load_base("tiny", chosen.base)
    pictures = trained_on(read_photographs(chosen.pool, coarseness=COARSENESS, workers=1))
    pictures += draw_scenes(chosen.scenes, seed=7, side=256, coarseness=COARSENESS, workers=1)
    views = encoded_views(base, pictures, chosen.views, seed=chosen.seed)
    for model in missing:
        recipe = RECIPES[model]
        start = chosen.out / f"{HEAD}.safetensors" if recipe.rate and model != "hq_sam" else None
        variant = _variant(model, recipe)
        decoder = trained(base, variant, recipe, views, start=start, seed=chosen.seed)
        write_adapter(
            chosen.out / f"{model}.safetensors", decoder, variant=variant,
            base=file_digest(chosen.base),
        )  # fmt: skip


def trained_on(pictures: Sequence[Annotated]) -> list[Annotated]:
    """Leave out the last tenth of every set."""
    kept: list[Annotated] = []
    for _, group in groupby(pictures, key=lambda picture: picture.dataset):
        of_set = list(group)
        kept += of_set[: len(of_set) - len(of_set) // 10]
    return kept


def encoded_views(base: BaseSam, pictures: Sequence[Annotated], number: int, *, seed: int) -> Store:
    """Draw views of one object each, half of them whole images, and run the frozen encoder."""
    sampler = ObjectSampler(pictures, generated_fraction=0.35, emphasis=EMPHASIS)
    drawn = ObjectBatches(
        pictures, sampler=sampler, views=ViewMix(whole=0.5, crop=0.2), side=base.side,
        full_side=base.side, batch_size=1, prompts_per_image=1, box_fraction=1.0, seed=seed,
    )  # fmt: skip
    images, labels, embedding, early = [], [], [], []
    for _ in progress_bar(range(number), total=number, label="encoding views"):
        image, label = _view(drawn, sampler, seed=seed, number=len(images))
        with torch.inference_mode():
            seen = base.encode(torch.from_numpy(image)[None])
        images.append(image)
        labels.append(label)
        embedding.append(seen.embedding[0].half().numpy())
        early.append(seen.early[0].half().numpy())
    index = pd.DataFrame({"id": range(number), "view": 0, "row": range(number)})
    return Store(
        np.stack(embedding), np.stack(early), np.stack(images), np.stack(labels),
        index=index, origin={},
    )  # fmt: skip


def _view(
    drawn: ObjectBatches, sampler: ObjectSampler, *, seed: int, number: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw until a view shows enough of its object; pixels (3, S, S) and label (S, S)."""
    for attempt in count():
        rng = np.random.default_rng([seed, 11, number, attempt])
        picture, index = sampler.draw(rng)
        view = drawn.view(picture, index, rng)
        label = view.fine[index]
        if foreground(label).sum() >= LEAST_PIXELS:
            return np.ascontiguousarray(view.image.transpose(2, 0, 1)), label
    raise AssertionError


def _variant(model: str, recipe: Recipe) -> VariantParams:
    content = laid_over(compose("photographs"), {"models": {model: dict(recipe.change)}})
    return variant_in(content, model, preset_path("photographs"))


def trained(
    base: BaseSam, variant: VariantParams, recipe: Recipe, views: Store, *,
    start: Path | None, seed: int,
) -> nn.Module:  # fmt: skip
    """Train a decoder along a cosine, and give it the moving average of its weights."""
    torch.manual_seed(seed)
    segmenter = build_trainable(base, variant)
    decoder = segmenter.decoder
    if start is not None:
        decoder.load_state_dict({**decoder.state_dict(), **read_weights(start)})
    learning = {name: p for name, p in decoder.named_parameters() if p.requires_grad}
    rates = {n: recipe.head_rate if n.startswith(MASK_HEAD) else recipe.rate for n in learning}
    driver = torch.optim.AdamW(
        [{"params": [p], "lr": rates[name]} for name, p in learning.items()], weight_decay=0.01
    )
    average = {name: p.detach().clone() for name, p in learning.items()}
    step = TrainingStep(segmenter, variant, cross_entropy="object", outline=1.0).train()
    edges = None if isinstance(variant, HqSamParams) else variant.gradient
    sampling = Sampling(
        batch_size=8, mix=variant.prompts, mask_side=base.mask_side, seed=seed, edges=edges
    )
    batches = progress_bar(
        _batches(views, sampling, recipe.steps), total=recipe.steps, label=variant.decoder
    )
    with flushed_denormals():
        for number, batch in enumerate(batches):
            warm = min(1.0, (number + 1) / 30)
            cosine = 0.01 + 0.99 * (1 + math.cos(math.pi * number / recipe.steps)) / 2
            for group, rate in zip(driver.param_groups, rates.values(), strict=True):
                group["lr"] = rate * warm * cosine
            driver.zero_grad()
            torch.autograd.backward(_loss(step, segmenter, variant, batch))
            nn.utils.clip_grad_norm_(learning.values(), 1.0)
            driver.step()
            with torch.no_grad():
                for name, parameter in learning.items():
                    average[name].lerp_(parameter, max(0.01, 9 / (number + 10)))
    decoder.load_state_dict({**decoder.state_dict(), **average})
    return decoder


def _batches(views: Store, sampling: Sampling, steps: int) -> Iterator[Batch]:
    for epoch in count():
        batches = CachedBatches(views, sampling, epoch=epoch)
        for number in range(len(batches)):
            if epoch * len(batches) + number == steps:
                return
            yield batches[number]


def _loss(step: TrainingStep, segmenter: Segmenter, variant: VariantParams, batch: Batch) -> Tensor:
    """Weigh the adapter's own maps by a quarter; HQ-SAM learns by pixel in place of by points."""
    if isinstance(variant, PaSamParams):
        terms = step(batch, mining="none", generator=None)
        own = [terms[n] for n in ("loss_mask", "loss_dice", "loss_outline")]
        maps = [terms[n] for n in terms if n.endswith(("_final", "_map"))]
        return torch.stack(own).sum() + 0.25 * sum(maps, torch.zeros(()))
    masks = segmenter(
        images=batch.images, encoded=batch.encoded(), image_index=batch.image_index,
        prompts=batch.prompts,
    ).masks  # fmt: skip
    loss = mask_loss(masks=masks, label=batch.labels, pixel_loss=object_bce_loss)["loss"]
    return loss + outline_loss(masks, batch.labels)


if __name__ == "__main__":
    main()
