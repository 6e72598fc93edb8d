"""Analyses that parts of a report share: ablations, fine structure, what stays of SAM."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from made_up_run import ABLATIONS, change_scores, made_up_ablations, made_up_diagnostics

from pasam.reporting import analyses
from pasam.reporting.analyses import (
    Ablation,
    best_benchmark,
    by_verdict,
    change_over_reference,
    effects_sentence,
    flat,
    gain_of,
    gains,
    group_names,
    kept_sentence,
    measures,
    of_group,
    scored_variants,
    trend_sentences,
)
from pasam.reporting.style import gain_in_brackets
from pasam.reporting.summary import held_together


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
        ({"mining": {"method": "random"}}, "mining", "random points"),
        (
            {"adapter": {"dense": False}, "mining": {"points": 8}},
            "correction",
            "no dense compensation, hard points of each sign: 8",
        ),
        (
            {"adapter": {"dense": False}, "mining": {"method": "none"}},
            "component",
            "no dense compensation, no hard points",
        ),
        (
            {"trains": "adapter", "gradient": "image"},
            "correction",
            "adapter alone learns, edges of the image itself",
        ),
        ({"epochs": 3}, "repeat", "3 epochs"),
        ({"mining": {"score_scale": 5.0}}, "mining", "score scaled by 5"),
        ({"trains": "decoder"}, "trained", "whole decoder learns"),
        ({"gradient": "image"}, "correction", "edges of the image itself"),
        ({"adapter": {"maps": "double"}}, "correction", "maps at twice the grid"),
        ({"adapter": {"start": "sam"}}, "correction", "adapter starts at SAM"),
        ({"something": 3}, "correction", "something 3"),
        ({"epochs": 9, "trains": "adapter"}, "trained", "9 epochs, adapter alone learns"),
        ({"adapter": {"sparse": False}}, "component", "no sparse optimisation"),
        ({"adapter": {"tokens": False}}, "component", "no refined and uncertain token"),
        ({"adapter": {"fine": True}}, "correction", "compensation at the masks' resolution"),
        ({"mining": {"method": "top"}}, "mining", "top points without noise"),
        ({"mining": {"cells": "uncertain"}}, "mining", "hard points in the uncertain band alone"),
        ({"mining": {"temperature": 0.5}}, "mining", "temperature 0.5"),
        ({"prompts": "intended"}, "correction", "combined prompts and jittered boxes"),
        ({"uncertainty_loss": "balanced"}, "correction", "class-weighted uncertainty loss"),
        ({"iou_head": "trained"}, "correction", "trained IoU head"),
        ({"trains": "mask_head"}, "trained", "adapter and mask head learn"),
        ({"trains": "everything"}, "trained", "all of SAM learns"),
        ({"adapter_rate": 0.1}, "correction", "adapter's rate times 0.1"),
        ({"keep_sam": 2.0}, "correction", "held to SAM with weight 2"),
        ({"prompts_per_mask": 4}, "correction", "4 prompts per mask"),
        ({"lr_step_size": 7}, "repeat", "rate dropped every 7 epochs"),
    ],
)
def test_a_change_says_its_group_and_its_words(change, group, words):
    assert variant(change).group == group
    assert variant(change).words == words


def test_a_variant_of_another_model_is_named_by_it_and_answers_no_question_about_pa_sam():
    image = variant({}, of="image_adapter")
    assert (image.group, image.words) == ("image", "adapter of the image features")
    more = variant({"epochs": 3}, of="image_adapter")
    assert more.words == "adapter of the image features, 3 epochs"
    plus = variant({"adapter": {"maps": "grid"}}, of="pa_sam_plus")
    assert (plus.group, plus.words) == ("other", "PA-SAM+, adapter.maps grid")
    assert variant({}, of="hq_sam").words == "HQ-SAM"


def test_variants_come_by_group_and_only_if_they_were_scored(make_results, equal_variants):
    results = equal_variants
    groups = [ablation.group for ablation in scored_variants(results)]
    assert groups == sorted(groups, key=["component", "mining", "image", "trained",
                                         "correction", "repeat"].index)  # fmt: skip
    fewer = make_results(**{**made_up_ablations(), "ablations": None})
    assert scored_variants(fewer) == []
    assert [a.name for a in of_group(results, "image")] == ["image_features"]


def test_a_variant_that_changes_nothing_differs_by_exactly_nothing(equal_variants):
    row = gain_of(equal_variants, "nothing")
    assert (row["difference"], row["low"], row["high"]) == (0.0, 0.0, 0.0)
    assert np.isnan(row["p"])  # one seed carries no p-value
    assert row["verdict"] == "no difference shown"


def test_rows_are_sorted_by_what_is_shown_the_largest_first(make_results):
    results = make_results(**made_up_ablations(no_dense=-0.1, no_sparse=-0.2))
    found = by_verdict(results, ("no_dense", "no_sparse", "nothing"))
    assert [row["model"] for row in found["loss shown"]] == ["no_sparse", "no_dense"]
    assert [row["model"] for row in found["no difference shown"]] == ["nothing"]


def test_nested_changes_get_dotted_names():
    assert flat({"a": {"b": {"c": 1}}, "d": 2}) == {"a.b.c": 1, "d": 2}


def sentence(make_results, **gains):
    results = make_results(**made_up_ablations(**gains))
    return effects_sentence(results, of_group(results, "component"))


def test_losses_gains_and_open_questions_are_told_apart(make_results):
    said = sentence(make_results, no_dense=-0.1, no_sparse=0.1)
    loss, rest = said.split(";", 1)
    assert "no dense compensation" in loss
    assert loss.endswith("loses")
    assert "no sparse optimisation" in rest.split(".")[0] + rest.split("gains")[0]
    assert "No difference from PA-SAM is shown for" in said
    assert "equal" not in said


def test_variants_of_one_seed_are_said_to_be_these_weights(make_results):
    assert sentence(make_results).endswith("(95 % intervals of these weights, Holm-adjusted.)")


@pytest.mark.long
def test_the_sentence_changes_with_the_numbers(make_results):
    assert sentence(make_results, no_dense=-0.1) != sentence(make_results, no_dense=-0.2)
    assert "loses" not in sentence(make_results)


def test_several_losses_take_the_plural(make_results):
    said = sentence(make_results, no_dense=-0.1, no_sparse=-0.1)
    assert " lose. " in said


def test_numbers_have_their_interval():
    assert gain_in_brackets({"difference": 1.0, "low": 0.5, "high": 1.5}) == "(+1.0, +0.5 to +1.5)"


def by_complexity(factor):
    return lambda rows: factor * rows["complexity"].to_numpy()


def test_the_sentence_follows_the_numbers(make_scores, make_results):
    scores = make_scores(n=12)
    sentences = [
        trend_sentences(results)[0]
        for results in (
            make_results(change_scores(scores, "pa_sam", by_complexity(factor)))
            for factor in (0.01, 0.0, -0.01)
        )
    ]
    assert "larger on the finer ones" in sentences[0]
    assert "no difference between the two is shown" in sentences[1]
    assert "smaller on the finer ones" in sentences[2]


def test_the_trends_of_all_measures_are_corrected_for_each_other(results, monkeypatch):
    together = []

    def corrected(rows, bootstrap):
        together.append([row["p"] for row in rows])
        return held_together(rows, bootstrap)

    monkeypatch.setattr("pasam.reporting.analyses.held_together", corrected)
    assert len(trend_sentences(results)) == len(measures(results)) == 2
    assert [len(ps) for ps in together] == [2]


def test_gains_can_be_asked_for_any_model(results):
    measure = measures(results)[0]
    for model, lead in ((None, 20.0), ("hq_sam", 15.0)):
        table = gains(results, measure, model=model).table
        assert len(set(table["difference"])) == len(table) == 4
        assert table["difference"].mean() == pytest.approx(lead, abs=1e-3)


def test_thinner_objects_come_last_and_groups_are_named_by_their_width(make_results):
    results = make_results()
    measure = measures(results)[1]
    assert set(measure.values.values()) == {-next(iter(results.widths.values()))}
    names = group_names(gains(results, measure).table, measure)
    width = next(iter(results.widths.values()))
    assert names[0] == f"{width:.0f}\N{EN DASH}{width:.0f}"


def test_each_measure_says_what_its_ends_and_its_axis_are(results):
    told = [(m.key, m.coarsest, m.finest, m.axis) for m in measures(results)]
    assert told == [
        ("complexity", "the smoothest outlines", "the most intricate outlines",
         "complexity (a disk has 1)"),
        ("thinness", "the thickest objects", "the thinnest objects", "width, % of the diagonal"),
    ]  # fmt: skip


def test_a_group_is_named_by_its_range_with_a_decimal_below_ten(results):
    table = pd.DataFrame([{"from": 1.04, "to": 9.94}, {"from": 10.0, "to": 25.4}])
    complexity, thinness = measures(results)
    assert group_names(table, complexity) == ["1.0\N{EN DASH}9.9", "10\N{EN DASH}25"]
    assert group_names(-table, thinness) == ["1.0\N{EN DASH}9.9", "10\N{EN DASH}25"]


def test_each_models_change_of_gain_is_told_with_its_two_ends_and_corrected_with_all(monkeypatch):
    curves = pd.DataFrame(
        {"family": ["blur", "box_jitter", "box_jitter", "box_jitter"], "amount": [9.0, 0.4, 0, 0.1]}
    )
    results = SimpleNamespace(curves=curves, reference="sam", bootstrap="level", level="95 %")
    gain = {("pa_sam", 0.0): 20.0, ("pa_sam", 0.4): 14.0, ("hq_sam", 0.0): 7.0,
            ("hq_sam", 0.4): 9.0}  # fmt: skip

    def row(difference):
        verdict = "gain shown" if difference > 0 else "loss shown"
        ends = {"low": difference - 1, "high": difference + 1}
        return {"difference": difference, **ends, "n": 24, "seeds": 3, "verdict": verdict}

    def between(results, family, places, pair):
        assert (family, pair[1]) == ("box_jitter", "sam")
        return row(gain[pair[0], places[1]] - gain[pair[0], places[0]])

    monkeypatch.setattr(
        analyses, "difference_at",
        lambda results, family, amount, pair: row(gain[pair[0], amount]),
    )  # fmt: skip
    monkeypatch.setattr(analyses, "change_of_gain", between)
    families = []
    monkeypatch.setattr(
        analyses, "held_together", lambda rows, level: families.append((len(rows), level)) or rows
    )
    first, second = analyses.changes_of_gain(results, ["pa_sam", "hq_sam"])
    assert families == [(6, "level")]
    minus = "\N{MINUS SIGN}"
    assert first == (
        f"PA-SAM's gain over SAM shrinks ({minus}6.0 points, 95 % interval {minus}7.0 to "
        f"{minus}5.0, n = 24): from +20.0 points of boundary IoU (+19.0 to +21.0; a gain is shown) "
        "with tight boxes to +14.0 (+13.0 to +15.0; a gain is shown) with boxes jittered by 0.4 of "
        "their sides."
    )
    assert second.startswith("HQ-SAM's gain over SAM grows (+2.0 points")
    assert "from +7.0 points" in second
    assert "to +9.0 (" in second


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["thin_like", "dis_like"], "dis_like and thin_like; no photographs among them."),
        (["photos", "dis_like"], "dis_like and photos."), (["mine"], "mine."),
    ],
)  # fmt: skip
def test_an_answer_says_where_it_was_measured_and_whether_photographs_are_among_that(
    names, said, results
):
    assert analyses.measured_on(results, names) == f"Base: tiny. Measured on {said}"
    assert analyses.measured_on(results, []) == ""


def test_of_sets_of_instances_those_that_are_drawn_hold_no_photographs(results):
    detected = pd.DataFrame({"benchmark": ["coco_like", "coco"]})
    results = replace(results, instances=detected)
    none = "; no photographs among them"
    for name, said in (("coco_like", none), ("coco", ""), ("mine_like", "")):
        words = analyses.measured_on(results, [name])
        assert words == f"Base: tiny. Measured on {name}{said}."


def test_the_sets_of_diagnostics_are_those_of_the_subject(make_results):
    own = made_up_diagnostics(models=("pa_sam",), benchmarks=("dis_like",))
    other = made_up_diagnostics(models=("mining_random",), benchmarks=("thin_like",))
    found = analyses.on_diagnostics(make_results(diagnostics=pd.concat([own, other])))
    assert set(found) == {"dis_like"}


@pytest.fixture
def harmed(make_scores, make_results):
    scores = make_scores()
    best = scores["benchmark"] == "dis_like"
    scores.loc[best & (scores["model"] == "sam"), "boundary_iou"] += 0.4
    return make_results(scores)


def test_the_benchmark_that_sam_does_best_is_found(harmed):
    assert best_benchmark(harmed, "sam") == "dis_like"


def test_it_is_told_apart_from_all_others(harmed):
    table = change_over_reference(harmed, ["pa_sam"]).set_index("benchmark")
    assert table.at["dis_like", "difference"] == pytest.approx(-20)
    assert table.at["mean", "difference"] == pytest.approx(20)
    assert table.at["mean", "n"] == 18


def test_photographs_are_neither_the_best_benchmark_nor_among_the_others(make_scores, make_results):
    """Sam does best on them here, and they are in no mean; unless there is nothing else."""
    scores = make_scores(benchmarks=("thin_like", "dis_like", "photos"))
    of_sam = scores["model"] == "sam"
    for name, gain in (("photos", 0.4), ("dis_like", 0.3)):
        scores.loc[of_sam & (scores["benchmark"] == name), "boundary_iou"] += gain
    results = make_results(scores)
    assert best_benchmark(results, "sam") == "dis_like"
    assert kept_sentence(results, {"pa_sam": "PA-SAM"}).startswith("On dis_like, which SAM does")
    table = change_over_reference(results, ["pa_sam"]).set_index("benchmark")
    assert table["difference"].to_dict() == pytest.approx({"dis_like": -10, "mean": 20})
    assert table.at["mean", "n"] == 6  # of thin_like alone
    photographs = make_results(scores[scores["benchmark"] == "photos"])
    assert best_benchmark(photographs, "sam") == "photos"


def test_photographs_are_in_no_group_of_coarse_or_fine_objects(make_scores, make_results):
    scores = make_scores(benchmarks=("thin_like", "dis_like", "photos"))
    photographs = scores["benchmark"] == "photos"
    scores.loc[photographs & (scores["model"] == "sam"), "boundary_iou"] += 0.4
    results = make_results(scores)
    for measure in measures(results):
        table = gains(results, measure).table
        assert table["n"].sum() == 12
        assert (table["difference"] * table["n"]).sum() / 12 == pytest.approx(20.0, abs=1e-3)
    alone = make_results(scores[photographs])
    assert gains(alone, measures(alone)[0]).table["n"].sum() == 6


def test_the_sentence_names_gain_or_loss(harmed, results):
    assert "a loss is shown" in kept_sentence(harmed, {"pa_sam": "PA-SAM"})
    assert "a gain is shown" in kept_sentence(results, {"pa_sam": "PA-SAM"})


def test_weaker_boxes_are_those_of_looser_prompts_and_of_detectors():
    rows = [("box", "a"), ("box", "b"), ("jitter_0.1", "c"), ("points_3", "d"), ("box", "e")]
    conditions = pd.DataFrame(rows, columns=["prompt", "benchmark"])
    results = SimpleNamespace(conditions=conditions, instances=None)
    assert list(analyses.on_weaker_boxes(results)) == ["c", "d"]
    results.instances = pd.DataFrame({"benchmark": ["f", "g"]})
    assert list(analyses.on_weaker_boxes(results)) == ["c", "d", "f", "g"]
