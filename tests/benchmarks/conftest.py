"""A tiny base, models on it, and a benchmark of four small images, for all tests of this folder."""

import numpy as np
import pytest
import torch
from variants import hq_sam, pa_sam

from pasam.data.manifest import describe_pair, manifest_frame
from pasam.evaluation.model_set import Contender, Lineup
from pasam.masks.images import write_png
from pasam.models.build import build_decoder, build_tiny
from pasam.models.segmenter import Segmenter
from pasam.training.embeddings import benchmark_tasks, open_store, write_store

PA = pa_sam(mining_points=2)
SIZES = [(64, 64), (50, 90), (96, 48), (70, 64)]


def pair(folder, number, size):
    """Write an image of noise with one brighter object, and describe it."""
    rng = np.random.default_rng(number)
    mask = np.zeros(size, np.uint8)
    mask[10 : 30 + 2 * number, 8:40] = 255
    image = rng.integers(0, 120, (*size, 3), np.uint8) + mask[..., None] // 2
    files = folder / f"{number}.png", folder / f"{number}_mask.png"
    write_png(files[0], image)
    write_png(files[1], mask)
    return describe_pair(
        split="val",
        dataset="mine",
        image=files[0],
        mask=files[1],
        label=mask,
        image_sha256=str(number),
    )


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    return manifest_frame([pair(folder, number, size) for number, size in enumerate(SIZES)])


@pytest.fixture(scope="module")
def base():
    torch.manual_seed(1)
    tiny = build_tiny(side=64, dim=32, widths=(16, 16, 24, 32), depths=(1, 1, 1, 1))
    return tiny.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def segmenter(base):
    torch.manual_seed(1)
    return Segmenter(base=base, decoder=build_decoder(base, PA))


@pytest.fixture(scope="module")
def store(manifest, base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    ids = dict(zip(manifest["mask"], manifest["id"], strict=True))
    write_store(
        folder, benchmark_tasks(manifest), ids, base, jitter=(1.0, 1.0), batch_size=4, workers=1,
        origin={},
    )  # fmt: skip
    return open_store(folder)


@pytest.fixture(scope="module")
def lineup(base, segmenter):
    torch.manual_seed(1)
    fine = Segmenter(base=base, decoder=build_decoder(base, hq_sam())).eval()
    plain = Segmenter(base=base, decoder=base.sam.mask_decoder).eval()
    contenders = (
        Contender("sam", 0, plain), Contender("hq_sam", 5, fine),
        Contender("pa_sam", 5, segmenter.eval()),
    )  # fmt: skip
    return Lineup(base, contenders)
