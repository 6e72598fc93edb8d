"""Tests of the ablations' names, groups and rows."""

import pytest
from made_up_run import ABLATIONS, made_up_ablations

from pasam.reporting.variants import Ablation, ablation_names, by_verdict, flat, of_group, row_of


def variant(change, of="pa_sam"):
    return Ablation(name="x", of=of, change=change)


@pytest.mark.parametrize(
    ("change", "group", "words"),
    [
        ({}, "repeat", "nothing changed"),
        ({"adapter": {"dense": False}}, "component", "no dense compensation"),
        ({"mining": {"method": "none"}}, "component", "no hard points"),
        (ABLATIONS["head_only"]["change"], "component", "no adapter: the mask head alone"),
        ({"mining": {"points": 8}}, "mining", "hard points of each sign: 8"),
        ({"mining": {"score_scale": 5.0}}, "mining", "score scaled by 5"),
        ({"trains": "decoder"}, "trained", "whole decoder learns"),
        ({"gradient": "image"}, "correction", "edges of the image itself"),
        ({"adapter": {"maps": "double"}}, "correction", "maps at twice the grid"),
        ({"adapter": {"start": "sam"}}, "correction", "adapter starts at SAM"),
        ({"something": 3}, "correction", "something 3"),
        ({"epochs": 9, "trains": "adapter"}, "trained", "9 epochs, adapter alone learns"),
    ],
)
def test_a_change_says_its_group_and_its_words(change, group, words):
    assert variant(change).group == group
    assert variant(change).words == words


def test_another_model_is_the_adapter_of_image_features():
    assert variant({}, of="image_adapter").group == "image"
    assert "image features" in variant({}, of="image_adapter").words


def test_variants_come_by_group_and_only_if_they_were_scored(make_results):
    results = make_results(**made_up_ablations())
    groups = [ablation.group for ablation in ablation_names(results)]
    assert groups == sorted(groups, key=["component", "mining", "image", "trained",
                                         "correction", "repeat"].index)  # fmt: skip
    fewer = make_results(**{**made_up_ablations(), "ablations": None})
    assert ablation_names(fewer) == []
    assert [a.name for a in of_group(results, "image")] == ["image_features"]


def test_a_variant_that_changes_nothing_differs_by_exactly_nothing(make_results):
    row = row_of(make_results(**made_up_ablations()).ablation_differences, "nothing")
    assert (row["difference"], row["low"], row["high"], row["p"]) == (0.0, 0.0, 0.0, 1.0)
    assert row["verdict"] == "no difference shown"


def test_rows_are_sorted_by_what_is_shown_the_largest_first(make_results):
    results = make_results(**made_up_ablations(no_dense=-0.1, no_sparse=-0.2))
    table = results.ablation_differences
    found = by_verdict([row_of(table, name) for name in ("no_dense", "no_sparse", "nothing")])
    assert [row["model"] for row in found["loss shown"]] == ["no_sparse", "no_dense"]
    assert [row["model"] for row in found["no difference shown"]] == ["nothing"]


def test_nested_changes_get_dotted_names():
    assert flat({"a": {"b": {"c": 1}}, "d": 2}) == {"a.b.c": 1, "d": 2}
