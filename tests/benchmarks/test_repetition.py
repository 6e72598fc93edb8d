"""A repetition is the same training with another seed, whatever surrounds it."""

import pickle
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from small_world import small_base

from pasam.benchmarks.repetition import Repetition, repeat
from pasam.benchmarks.scores import read_scores, write_scores
from pasam.params import BaseParams, EmbedParams, EvaluateParams, TrainParams
from pasam.params_file import load_section, load_variant


@pytest.fixture
def repetition(world, tmp_path, monkeypatch):
    """A repetition in the small project."""
    monkeypatch.chdir(world.folder)
    monkeypatch.setattr("pasam.modeling.build.build_base", small_base)
    train = load_section(TrainParams, "train")
    return Repetition(
        model="pa_sam", base=load_section(BaseParams, "base"), train=replace(train, seed=43),
        embed=load_section(EmbedParams, "embed"), evaluate=load_section(EvaluateParams, "evaluate"),
        variant=load_variant("pa_sam"), manifest=Path("data/manifest.parquet"),
        store=Path("data/embeddings/train"), benchmark_store=Path("data/embeddings/val"),
        resume=tmp_path / "resume",
    )  # fmt: skip


def test_the_main_seed_repeated_gives_the_main_scores(repetition, world, tmp_path):
    again = repeat(replace(repetition, train=replace(repetition.train, seed=42)))
    write_scores(again.scores, tmp_path / "again.parquet")
    first = read_scores(*sorted(world.path("data/scores").glob("pa_sam-*.parquet")))
    keys = ["benchmark", "image_id"]
    pd.testing.assert_frame_equal(
        read_scores(tmp_path / "again.parquet").sort_values(keys, ignore_index=True),
        first.sort_values(keys, ignore_index=True),
    )


def test_another_seed_gives_others_of_the_same_images(repetition):
    found = {
        seed: repeat(replace(repetition, train=replace(repetition.train, seed=seed)))
        for seed in (43, 44)
    }
    rows = {seed: repeated.scores for seed, repeated in found.items()}
    assert [row["image_id"] for row in rows[43]] == [row["image_id"] for row in rows[44]]
    assert {row["seed"] for row in rows[43]} == {43}
    assert [row["iou"] for row in rows[43]] != [row["iou"] for row in rows[44]]
    assert [row["epoch"] for row in found[44].history] == list(range(repetition.variant.epochs))
    assert {row["seed"] for row in found[44].history} == {44}


def test_a_finished_training_that_was_not_written_is_not_repeated(repetition, monkeypatch):
    first = repeat(repetition)
    monkeypatch.setattr("pasam.training.fit._steps", None)
    again = repeat(repetition)
    assert (again.scores, again.history) == (first.scores, first.history)
    again.checkpointer.clear()
    assert not any(repetition.resume.iterdir())


def test_the_threads_are_as_before_and_another_process_can_have_it(repetition):
    before = torch.get_num_threads()
    repeat(pickle.loads(pickle.dumps(repetition)))
    assert torch.get_num_threads() == before
