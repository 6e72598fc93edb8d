"""Estimates follow the shapes of the models, and agree with what was measured."""

import dataclasses

import pytest
import yaml

from pasam.doctor.estimate import (
    SHAPES,
    fitting_batch,
    generated_bytes,
    generated_masks,
    store_bytes,
    training_memory,
)
from pasam.params import EmbedParams, GeneratedParams, TrainParams


@pytest.fixture
def paper(root):
    content = yaml.safe_load((root / "params" / "paper.yaml").read_text())
    return TrainParams(**content["train"]), EmbedParams(**content["embed"])


@pytest.mark.parametrize("size", ["tiny", "vit_tiny", "vit_b"])
def test_the_shapes_are_those_of_the_models(size):
    from pasam.modeling.build import build_base, count_parameters

    base, shape = build_base(size), SHAPES[size]
    assert count_parameters(base)[0] == shape.parameters
    assert (base.dim, base.early_dim) == (shape.dim, shape.early_dim)
    assert base.sam.image_encoder.img_size == shape.side
    assert base.sam.prompt_encoder.image_embedding_size == (shape.grid, shape.grid)


def test_the_official_sizes_differ_in_width_only():
    from pasam.modeling.build import OFFICIAL_WIDTHS

    widths = {size: shape.early_dim for size, shape in SHAPES.items() if shape.side == 1024}
    assert widths == OFFICIAL_WIDTHS


@pytest.mark.parametrize(("size", "measured"), [("vit_b", 2.47e9), ("vit_l", 3.29e9)])
def test_the_encoders_memory_is_what_was_measured(paper, size, measured):
    train, embed = paper
    one = dataclasses.replace(train, batch_size=1)
    assert training_memory(size, one, embed).encoder == pytest.approx(measured, rel=0.03)


def test_packed_views_need_no_encoder_and_mixed_precision_half(paper):
    train, embed = paper
    packed = dataclasses.replace(embed, views=2)
    assert training_memory("vit_l", train, packed).encoder == 0
    mixed = dataclasses.replace(train, precision="bf16-mixed")
    whole = training_memory("vit_l", train, embed)
    assert training_memory("vit_l", mixed, embed).encoder * 2 == whole.encoder
    assert whole.total == whole.weights + whole.encoder + whole.decoder + whole.context


def test_the_batch_that_fits_is_the_largest_one(paper):
    train, embed = paper
    memory = 24_000_000_000
    batch = fitting_batch("vit_l", train, embed, memory)
    sizes = [dataclasses.replace(train, batch_size=size) for size in (batch, batch + 1)]
    fits = [training_memory("vit_l", size, embed).total <= memory for size in sizes]
    assert (batch > 1, fits) == (True, [True, False])
    assert fitting_batch("vit_h", train, embed, 3_000_000_000) == 0


def test_the_store_is_as_large_as_the_files_it_is_written_to():
    # Sizes of the four arrays of the default run's training split: 500 images, 994 masks.
    arrays = 196_608_000 + 262_144_000 + 196_608_000
    labels = 2 * 994 * 256 * 256
    assert store_bytes("vit_tiny", images=500, masks=994, views=2) == arrays + labels


def test_generated_pictures_count_all_sets():
    size = GeneratedParams(train_images=500, benchmark_images=60, side=256, seed=0)
    assert generated_bytes(size, 4) == pytest.approx(100e6, rel=0.1)
    assert generated_masks(size) == 1000
