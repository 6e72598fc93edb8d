"""Tests of the published numbers."""

import numpy as np
import pytest

from pasam.config.presets import compose
from pasam.evaluation.published import (
    BENCHMARKS,
    COCO,
    MEAN,
    PUBLIC_SETS,
    PUBLISHED,
    SEGINW,
    STAND_INS,
    published_for,
    published_instances,
    repeats_protocol,
)

OURS = list(STAND_INS)


@pytest.mark.parametrize("model", ["hq_sam", "pa_sam"])
@pytest.mark.parametrize("metric", ["miou", "mbiou"])
def test_published_means_are_the_means_of_the_published_benchmarks(model, metric):
    values = {p.benchmark: getattr(p, metric) for p in PUBLISHED if p.model == model}
    assert np.mean([values[name] for name in BENCHMARKS]) == pytest.approx(values[MEAN], abs=0.051)


def test_of_sam_only_the_confirmed_mean_is_given():
    sam = [p for p in PUBLISHED if p.model == "sam"]
    assert [(p.benchmark, p.miou, p.mbiou) for p in sam] == [(MEAN, 79.5, 71.1)]


def test_every_number_names_its_source_and_is_there_once():
    assert all(p.source for p in PUBLISHED)
    keys = [(p.model, p.benchmark) for p in PUBLISHED]
    assert len(keys) == len(set(keys)) == 11


def test_each_generated_family_stands_in_for_one_published_benchmark():
    assert sorted(STAND_INS.values()) == sorted(BENCHMARKS)
    found = published_for(OURS).set_index(["model", "benchmark"])
    assert found.loc[("pa_sam", "thin_like"), "published_benchmark"] == "ThinObject"
    assert found.loc[("pa_sam", "thin_like"), "miou"] == 92.7
    assert found.loc[("hq_sam", "dis_like"), "mbiou"] == 70.4
    assert found.loc[("sam", MEAN), "miou"] == 79.5


def test_the_catalogues_names_are_those_of_the_published_benchmarks():
    found = published_for(["DIS5K-VD", "COIFT", "HRSOD", "ThinObject5K-TE"])
    found = found.set_index(["model", "benchmark"])
    assert found.loc[("pa_sam", "DIS5K-VD"), "miou"] == 81.5
    assert found.loc[("pa_sam", "ThinObject5K-TE"), "mbiou"] == 84.0
    assert found.loc[("pa_sam", MEAN), "miou"] == 91.2


@pytest.mark.parametrize("benchmarks", [OURS[:3], [*OURS, "horses"]])
def test_the_published_mean_is_left_out_unless_the_run_has_the_same_four(benchmarks):
    assert MEAN not in set(published_for(benchmarks)["benchmark"])


def test_data_of_ones_own_has_no_published_numbers():
    found = published_for(["horses", "roots"])
    assert len(found) == 0
    assert "published_benchmark" in found.columns


def test_the_published_benchmarks_stand_for_themselves():
    assert set(published_for(BENCHMARKS)["benchmark"]) == {*BENCHMARKS, MEAN}


def test_only_the_published_base_on_the_published_sets_repeats_the_protocol():
    public = [*PUBLIC_SETS, "COIFT", "HRSOD"]
    assert repeats_protocol("vit_l", public)
    assert repeats_protocol("vit_l", BENCHMARKS)
    assert not repeats_protocol("vit_b", public)
    assert not repeats_protocol("vit_l", OURS)
    assert not repeats_protocol("vit_l", public[:3])


def test_a_tolerance_stands_where_one_was_agreed():
    table = published_for(OURS).set_index(["model", "published_benchmark"])["tolerance"]
    assert table[("pa_sam", "DIS")] == 1.0
    assert table[("pa_sam", MEAN)] == 0.5
    assert np.isnan(table[("pa_sam", "COIFT")])


def test_every_number_has_its_source_and_its_base_and_is_there_once():
    table = published_instances()
    assert len(table) == 8
    assert table["source"].str.len().min() > 0
    assert not table.duplicated(["benchmark", "model", "base"]).any()


def test_of_pa_sam_nothing_is_claimed():
    assert "pa_sam" not in set(published_instances()["model"])


def test_hq_sam_is_published_above_sam_on_every_base():
    table = published_instances().set_index(["benchmark", "base", "model"])["ap"]
    for benchmark, base in {(b, s) for b, s, _ in table.index}:
        assert table[benchmark, base, "hq_sam"] > table[benchmark, base, "sam"]


def test_the_names_are_those_of_the_papers_size(root):
    params = compose("paper", root / "params")
    instances = params["instances"]
    assert (instances["coco"]["name"], instances["seginw"]["name"]) == (COCO, SEGINW)
