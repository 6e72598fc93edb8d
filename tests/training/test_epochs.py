"""An epoch's batches come from packed embeddings, or from fresh views where there are none."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch

from pasam.config.schema import EmbedParams
from pasam.errors import CheckpointError, DataError
from pasam.training.samples import CachedBatches, FreshBatches, Sampling, batches_by_epoch

PACKED = EmbedParams(views=2, jitter=(0.9, 1.0), seed=3, batch_size=4)
FRESH = EmbedParams(views=0, jitter=(0.9, 1.0), seed=3, batch_size=4)


def sampling(batch_size=4, world=1):
    return Sampling(batch_size=batch_size, mix="effective", mask_side=32, seed=4, world=world)


@pytest.fixture
def choose(store, manifest, make_base, tmp_path):
    """Choose the batches of a training whose base is a file that the store names."""
    checkpoint = tmp_path / "base.safetensors"
    checkpoint.write_bytes(b"weights")
    folder = shutil.copytree(Path(store.embedding.filename).parent, tmp_path / "store")
    digest = hashlib.sha256(b"weights").hexdigest()
    (folder / "origin.json").write_text(json.dumps({"base": digest}))

    def make(embed, how, *, checkpoint=checkpoint, store=folder):
        return batches_by_epoch(
            embed, how, base=make_base(), checkpoint=checkpoint, store=store, manifest=manifest
        )

    return make


def test_packed_views_are_used_where_there_are_some(choose, store):
    make = choose(PACKED, sampling())
    for epoch in (0, 1, 2):
        batches, expected = make(epoch), CachedBatches(store, sampling(), epoch=epoch)
        assert isinstance(batches, CachedBatches)
        assert len(batches) == len(expected) == 2
        assert torch.equal(batches[1].labels, expected[1].labels)
        assert batches[1].embedding is not None


def test_without_packed_views_every_epoch_looks_anew(choose, tmp_path):
    make = choose(FRESH, sampling(), store=tmp_path / "no store")
    first, second = make(0), make(1)
    assert isinstance(first, FreshBatches)
    assert len(first) == 3  # of four images with three masks each
    assert first[0].embedding is None
    assert first[0].images.shape == (4, 3, 64, 64)
    assert not torch.equal(first[0].images, second[0].images)


@pytest.mark.parametrize("embed", [PACKED, FRESH], ids=["packed", "fresh"])
def test_too_few_masks_for_one_step_are_an_error(embed, choose):
    with pytest.raises(DataError, match="fewer than 26 training masks"):
        choose(embed, sampling(batch_size=13, world=2))


def test_embeddings_of_another_base_are_refused(choose, tmp_path):
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"other weights")
    found = hashlib.sha256(b"other weights").hexdigest()[:12]
    with pytest.raises(CheckpointError, match=rf"other\.safetensors is {found}"):
        choose(PACKED, sampling(), checkpoint=other)


def test_missing_embeddings_are_an_error_that_names_the_stage(choose, tmp_path):
    with pytest.raises(DataError, match=r"nothing lacks \[.*run `dvc repro embed`"):
        choose(PACKED, sampling(), store=tmp_path / "nothing")
