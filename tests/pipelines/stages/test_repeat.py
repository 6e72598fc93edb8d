"""The stage `repeat`: a model's further seeds, scored as its first."""

import json

import pandas as pd
import pytest

from pasam.evaluation.scores import read_scores

SCORES, HISTORY = "data/repeats/pa_sam.parquet", "reports/history/pa_sam-repeats.jsonl"


def interrupt(*_):
    raise KeyboardInterrupt


def test_a_second_run_gives_the_same_bytes(world, own_world):
    own_world.run("repeat@pa_sam")
    assert own_world.contents("repeat@pa_sam") == world.contents("repeat@pa_sam")


def test_the_main_seed_among_the_further_ones_would_give_the_main_scores(world, own_world):
    own_world.change("train", seed=41)
    own_world.change("repeats", seeds=[42])
    own_world.run("repeat@pa_sam")
    keys = ["benchmark", "image_id"]
    first = read_scores(*sorted(world.path("data/scores").glob("pa_sam-*.parquet")))
    pd.testing.assert_frame_equal(
        read_scores(own_world.path(SCORES)).sort_values(keys, ignore_index=True),
        first.sort_values(keys, ignore_index=True),
    )


def test_a_training_that_finished_before_an_interruption_is_not_repeated(own_world, monkeypatch):
    before = own_world.contents("repeat@pa_sam")
    monkeypatch.setattr("pipelines.stages.repeat.write_scores", interrupt)
    with pytest.raises(SystemExit):
        own_world.run("repeat@pa_sam")
    assert any(own_world.path("data/resume").iterdir())
    monkeypatch.undo()
    monkeypatch.setattr("pasam.training.fit._steps", None)
    own_world.run("repeat@pa_sam")
    assert own_world.contents("repeat@pa_sam") == before
    assert not any(own_world.path("data/resume").iterdir())


def test_every_seed_scores_every_image_of_every_benchmark(own_world):
    own_world.change("repeats", seeds=[44, 43])
    own_world.run("repeat@pa_sam")
    again = read_scores(own_world.path(SCORES))
    first = read_scores(*sorted(own_world.path("data/scores").glob("pa_sam-*.parquet")))
    assert sorted(set(again["seed"])) == [43, 44]
    for _, rows in again.groupby("seed"):
        assert sorted(rows["image_id"]) == sorted(first["image_id"])
    lines = own_world.path(HISTORY).read_text().splitlines()
    assert {json.loads(line)["seed"] for line in lines} == {43, 44}


def test_a_finished_stage_leaves_no_state(world):
    assert not any(world.path("data/resume").iterdir())


def test_it_waits_for_data_that_passed(own_world):
    verdict = own_world.path("reports/validation/verdict.json")
    verdict.write_text(verdict.read_text().replace('"passed"', '"failed"'))
    with pytest.raises(SystemExit):
        own_world.run("repeat@pa_sam")


def test_the_main_seed_is_no_further_seed(own_world, capsys):
    own_world.change("repeats", seeds=[41, 42])
    with pytest.raises(SystemExit) as stopped:
        own_world.run("repeat@pa_sam")
    assert stopped.value.code == 2
    assert "repeats.seeds is [41, 42], expected others than train.seed, 42." in (
        capsys.readouterr().err
    )
