"""Tests of the published average precisions."""

import yaml

from pasam.evaluation.published import COCO, SEGINW, published_instances


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
    params = yaml.safe_load((root / "params" / "paper.yaml").read_text())
    instances = params["instances"]
    assert (instances["coco"]["name"], instances["seginw"]["name"]) == (COCO, SEGINW)
