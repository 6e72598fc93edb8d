"""A tiny base, models of unequal seeds on it, and two benchmarks of unequal images and masks."""

import numpy as np
import pandas as pd
import pytest
import torch
from small_world import small_base
from variants import hq_sam, pa_sam

from pasam.data.manifest import describe_pair, manifest_frame
from pasam.evaluation.model_set import ModelEntry, ModelSet
from pasam.masks.images import write_png
from pasam.models.build import build_decoder
from pasam.models.segmenter import Segmenter
from pasam.training.embeddings import benchmark_tasks, open_store, write_store

PA = pa_sam(mining_points=2)
SIZES = {"mine": [(64, 64), (50, 90), (96, 48), (70, 64)], "other": [(80, 60), (40, 100)]}


def pairs(folder, dataset, number, size):
    """Write an image of noise with one bright object, or two in `other`, and describe it."""
    rng = np.random.default_rng(number)
    masks = [np.zeros(size, np.uint8) for _ in range(1 if dataset == "mine" else 2)]
    masks[0][10 : 30 + 2 * number, 8:40] = 255
    if len(masks) > 1:
        masks[1][size[0] // 2 :, 44 : 58 - number] = 255
    image = rng.integers(0, 120, (*size, 3), np.uint8)
    for mask in masks:
        image += mask[..., None] // (2 + number % 2)
    path = folder / f"{dataset}_{number}.png"
    write_png(path, image)
    for part, mask in enumerate(masks):
        named = folder / f"{dataset}_{number}_{part}.png"
        write_png(named, mask)
        yield describe_pair(
            split="val", dataset=dataset, image=path, mask=named, label=mask,
            image_sha256=f"{dataset}{number}",
        )  # fmt: skip


@pytest.fixture(scope="module")
def benchmarks(tmp_path_factory):
    """`mine`, four images with a mask each, and `other`, two with two."""
    folder = tmp_path_factory.mktemp("images")
    return manifest_frame(
        [
            row
            for dataset, sizes in SIZES.items()
            for number, size in enumerate(sizes)
            for row in pairs(folder, dataset, number, size)
        ]
    )


@pytest.fixture(scope="module")
def manifest(benchmarks) -> pd.DataFrame:
    return benchmarks[benchmarks["dataset"] == "mine"].reset_index(drop=True)


@pytest.fixture(scope="module")
def base():
    torch.manual_seed(1)
    tiny = small_base()
    return tiny.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def segmenter(base):
    torch.manual_seed(1)
    return Segmenter(base=base, decoder=build_decoder(base, PA))


@pytest.fixture(scope="module")
def store(benchmarks, base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    ids = dict(zip(benchmarks["mask"], benchmarks["id"], strict=True))
    write_store(
        folder, benchmark_tasks(benchmarks), ids, base, jitter=(1.0, 1.0), batch_size=4,
        workers=1, origin={},
    )  # fmt: skip
    return open_store(folder)


@pytest.fixture(scope="module")
def model_set(base, segmenter):
    torch.manual_seed(1)
    fine = Segmenter(base=base, decoder=build_decoder(base, hq_sam())).eval()
    plain = Segmenter(base=base, decoder=base.sam.mask_decoder).eval()
    entries = (
        ModelEntry("sam", 0, plain), ModelEntry("hq_sam", 5, fine),
        ModelEntry("pa_sam", 8, segmenter.eval()),
    )  # fmt: skip
    return ModelSet(base, entries)
