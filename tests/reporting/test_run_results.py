"""What a report is made from: results, conditions, diagnostics and histories."""

import json

import numpy as np
import pandas as pd
import pytest
from made_up_run import change_scores, made_up_diagnostics

from pasam.errors import DataError
from pasam.evaluation.statistics import interval, paired_difference
from pasam.reporting.analyses import best_benchmark, change_over_reference, gain_of
from pasam.reporting.results import (
    change_of_gain,
    curve,
    curve_columns,
    difference_at,
    families,
    read_history,
    rows_by_amount,
)
from pasam.reporting.summary import Bootstrap, places, score_matrix, summarise
from pasam.reporting.tables import ablation_grid


def test_the_report_is_about_pa_sam_against_sam(results):
    assert (results.subject, results.reference) == ("pa_sam", "sam")
    assert results.shown == ["sam", "hq_sam", "pa_sam"]
    assert results.level == "95 %"
    assert results.seeds == [42]


def test_seeds_are_the_subjects_own_in_ascending_order_each_once(make_scores, make_results):
    parts = [("pa_sam", 43), ("pa_sam", 42), ("pa_sam", 7), ("sam", 0)]
    scores = pd.concat([make_scores(models=(name,)).assign(seed=seed) for name, seed in parts])
    assert make_results(scores).seeds == [7, 42, 43]


def test_without_sam_it_is_held_against_another_model(make_scores, make_results):
    assert make_results(make_scores(models=("hq_sam", "pa_sam"))).reference == "hq_sam"
    assert make_results(make_scores(models=("mine", "pa_sam", "hq_sam"))).reference == "hq_sam"
    assert make_results(make_scores(models=("pa_sam",))).reference == "pa_sam"


def test_an_image_is_read_with_what_every_model_makes_of_it(results):
    example = results.example("dis_like/2")
    assert list(example.predictions) == ["sam", "hq_sam", "pa_sam"]
    assert example.benchmark == "dis_like"
    rows = results.scores[results.scores["image_id"] == "dis_like/2"].set_index("model")
    for model, (iou, boundary_iou) in example.scores.items():
        assert (iou, boundary_iou) == (rows.at[model, "iou"], rows.at[model, "boundary_iou"])
    assert example.details.uncertainty is not None


def test_models_trained_with_the_same_prompts_are_compared_too(make_scores, make_results):
    plain = make_results(make_scores())
    variants = dict(plain.params.variants)
    assert variants["pa_sam"].prompts != variants["hq_sam"].prompts
    variants["hq_sam_alike"] = variants["hq_sam"].replaced(prompts=variants["pa_sam"].prompts)
    scores = make_scores(models=("sam", "hq_sam", "pa_sam", "hq_sam_alike"))
    found = make_results(scores, variants=variants).differences
    pairs = list(dict.fromkeys(zip(found["model"], found["against"], strict=True)))
    assert pairs[-1] == ("pa_sam", "hq_sam_alike")
    assert len(pairs) == len(set(pairs)) == 5
    mean = found[(found["benchmark"] == "mean")]
    assert len(mean) == 10  # Holm's correction runs over all of them


def test_a_known_pair_of_the_same_prompts_is_compared_once(make_scores, make_results):
    """Two rules at once: the pair is known by name, and its models were trained alike."""
    scores = make_scores(models=("sam", "hq_sam", "pa_sam"))
    variants = dict(make_results(scores).params.variants)
    variants["hq_sam"] = variants["hq_sam"].replaced(prompts=variants["pa_sam"].prompts)
    found = make_results(scores, variants=variants).differences
    mean = found[found["benchmark"] == "mean"]
    compared = list(zip(mean["model"], mean["against"], mean["metric"], strict=True))
    assert len(compared) == len(set(compared)) == 6  # Holm's correction runs over these
    assert ("pa_sam", "hq_sam", "mbiou") in compared


def test_an_image_with_several_seeds_shows_the_main_one(make_scores, make_results):
    scores = make_scores(seeds=(41, 42))
    scores.loc[scores["seed"] == 41, "iou"] = 0.0
    assert make_results(scores).example("dis_like/2").scores["sam"][0] > 0


def test_the_level_resamples_and_seed_of_the_report_are_those_of_all_its_intervals(make_results):
    report = make_results().params.report.replaced(confidence=0.8, n_resamples=120, seed=5)
    results = make_results(report=report)
    settings = {"n_resamples": 120, "confidence": 0.8, "seed": 5}
    assert results.bootstrap == Bootstrap(**settings)
    assert results.level == "80 %"
    a, b = (score_matrix(results.scores, name, "iou") for name in ("pa_sam", "sam"))
    strata, units = places(a.columns)
    found = results.bootstrap.difference(a.to_numpy(), b.to_numpy(), strata, units)
    assert found == paired_difference(a.to_numpy(), b.to_numpy(), strata, units=units, **settings)
    table = results.summary.set_index(["model", "benchmark"]).loc[("sam", "dis_like")]
    of_one = b.loc[:, "dis_like"].to_numpy()
    wanted = interval({"dis_like": of_one}, units_by_stratum={"dis_like": units[6:12]}, **settings)
    ends = [table["miou_low"], table["miou_high"]]
    assert ends == pytest.approx([100 * wanted.low, 100 * wanted.high], abs=1e-3)


def test_variants_are_chosen_on_the_development_sets_where_there_are_some(
    make_scores, make_results
):
    """Two rules at once: variants, and models that are scored on other sets than Table 1's."""
    sets = ("garden", "kitchen")
    own = make_scores(benchmarks=sets)
    own.loc[(own["model"] == "sam") & (own["benchmark"] == "kitchen"), "boundary_iou"] += 0.4
    better = change_scores(make_scores(models=("pa_sam",), benchmarks=sets), "pa_sam", 0.1)
    told = {"better": {"of": "pa_sam", "change": {"trains": "adapter"}}}
    results = make_results(
        development=own, ablations=better.assign(model="better"), ablation_changes=told,
        ablation_facts={"better": {"trainable": 7}},
    )  # fmt: skip
    assert set(results.ablation_scores["benchmark"]) == set(sets)
    assert set(results.ablation_scores["model"]) == {"pa_sam", "better"}
    assert gain_of(results, "better")["difference"] == pytest.approx(10.0)
    assert best_benchmark(results, "sam") == "kitchen"
    table = change_over_reference(results, ["pa_sam", "better"])
    rows = {(r["model"], r["benchmark"]): r["difference"] for r in table.to_dict("records")}
    assert rows == pytest.approx(
        {("pa_sam", "kitchen"): -20.0, ("better", "kitchen"): -10.0,
         ("pa_sam", "mean"): 20.0, ("better", "mean"): 30.0}
    )  # fmt: skip
    grid = ablation_grid(results)
    assert [row[0] for row in grid.rows] == ["PA-SAM", "better"]
    level = 100 * own[own["model"] == "pa_sam"]["boundary_iou"].mean()
    assert [row[3] for row in grid.rows] == [f"{level:.1f}", f"{level + 10:.1f}"]
    assert "garden and kitchen, sets that Table 1 does not use" in grid.notes[0]
    assert (results.trainable("better"), results.trainable("pa_sam")) == (7, 1234)
    assert set(results.summary["benchmark"]) == {*make_results().summary["benchmark"]}


def test_the_means_of_variants_leave_the_photographs_out_as_their_differences_do(
    make_scores, make_results
):
    sets = ("kitchen", "photos")
    scores = make_scores(models=("sam", "pa_sam"), benchmarks=sets)
    shown = scores["benchmark"] == "photos"
    scores.loc[shown, ["iou", "boundary_iou"]] = 0.0
    better = change_scores(scores[scores["model"] == "pa_sam"], "pa_sam", 0.1)
    results = make_results(
        scores, ablations=better.assign(model="better"),
        ablation_changes={"better": {"of": "pa_sam", "change": {"trains": "adapter"}}},
        ablation_facts={"better": {"trainable": 7}},
    )  # fmt: skip
    first, second = (list(map(float, row[2:4])) for row in ablation_grid(results).rows)
    own = scores[(scores["model"] == "pa_sam") & ~shown]
    wanted = [100 * own[column].mean() for column in ("iou", "boundary_iou")]
    assert first == pytest.approx(wanted, abs=0.05)
    assert second[1] - first[1] == pytest.approx(10, abs=0.11)


def test_what_is_shown_is_of_the_runs_seed_and_of_models_without_training(
    make_scores, make_results
):
    scores = pd.concat(
        [make_scores(models=("sam",), seeds=(0,)), make_scores(models=("pa_sam",), seeds=(41, 42))]
    )
    results = make_results(scores)
    shown = results.shown_scores.groupby("model")["seed"].agg(set).to_dict()
    assert shown == {"sam": {0}, "pa_sam": {42}}
    assert set(results.file_summary["seeds"]) == {1}
    assert results.seeds == [41, 42]
    found = summarise(results.shown_scores, results.bootstrap)
    pd.testing.assert_frame_equal(results.file_summary, found)


def test_without_pa_sam_the_report_is_about_the_last_model_that_was_trained(
    make_scores, make_results
):
    results = make_results(make_scores(models=("oracle", "packaged", "sam", "hq_sam", "mine")))
    evaluate = results.params.evaluate.replaced(models=("mine", "hq_sam"))
    other = make_results(results.scores, evaluate=evaluate)
    assert (other.subject, other.reference) == ("hq_sam", "sam")
    assert other.shown == ["sam", "hq_sam", "mine"]  # no masks of the ceiling and the packaged


def test_a_change_of_gain_is_that_of_the_same_images_at_both_places(make_scores, make_results):
    scores = make_scores(models=("sam", "pa_sam"), n=4, seeds=(41, 42))
    loose = change_scores(
        make_scores(models=("sam", "pa_sam"), n=3, seeds=(41, 42), prompt="box_jitter_0.4"),
        "pa_sam", lambda rows: -0.1 - 0.02 * (rows["seed"] == 42),
    )  # fmt: skip
    results = make_results(scores, conditions=pd.concat([scores, loose]))
    found = change_of_gain(results, "box_jitter", (0.0, 0.4), ("pa_sam", "sam"))

    def gain(rows):
        rows = rows[rows["image_id"].isin(loose["image_id"])]
        table = rows.pivot(index=["benchmark", "image_id", "seed"], columns="model",
                           values="boundary_iou")  # fmt: skip
        return table["pa_sam"] - table["sam"]

    assert (found["n"], found["seeds"]) == (12, 2)
    assert found["difference"] == pytest.approx(100 * (gain(loose) - gain(scores)).mean(), abs=1e-3)


def test_what_happens_inside_is_averaged_over_seeds_and_without_the_photographs(
    make_scores, make_results
):
    names = ("dis_like", "thin_like", "photos")
    inside = made_up_diagnostics(models=("pa_sam",), benchmarks=names)
    other = inside.assign(seed=43, point_spread=inside["point_spread"] + 0.2)
    inside.loc[inside["benchmark"] == "photos", "point_spread"] = 0.9
    rows = pd.concat([inside, other])
    rows.loc[rows["benchmark"] == "photos", "dense_change"] = 0.0
    scores = make_scores(benchmarks=names)
    results = make_results(scores, diagnostics=rows)
    of_drawn = rows[rows["benchmark"] != "photos"]["point_spread"].mean()
    assert results.mean_inside("pa_sam", "point_spread").mean == pytest.approx(of_drawn)
    photographs = results.seen_on("photos")
    assert photographs.mean_inside("pa_sam", "dense_change").mean == 0.0
    assert results.seen_on("coift_like") is None
    one_film = scores.assign(group=scores["benchmark"].where(scores["benchmark"] == "", "film"))
    alone = make_results(one_film, diagnostics=rows).mean_inside("pa_sam", "point_spread")
    assert (alone.low, alone.high) == (-np.inf, np.inf)  # of one group nothing is known


def test_variants_are_held_against_the_subject_of_their_seed(make_scores, make_results):
    scores = change_scores(
        make_scores(seeds=(41, 42)), "pa_sam", by=lambda rows: 0.1 * (rows["seed"] == 41)
    )
    variant = make_scores(models=("pa_sam",)).assign(model="unchanged")
    table = make_results(scores, ablations=variant).ablation_differences
    assert set(table["difference"]) == {0.0}
    assert set(table["seeds"]) == {1}


def test_curves_are_empty_without_other_conditions(results):
    assert len(results.curves) == 0


def test_curves_hold_every_condition(make_scores, make_results):
    rows = pd.concat(
        [make_scores(), make_scores(prompt="points_1"), make_scores(corruption="blur_1")]
    )
    results = make_results(conditions=rows)
    assert list(dict.fromkeys(results.curves["family"])) == ["points", "blur"]


def test_widths_are_in_per_cent_of_the_diagonal(results):
    assert set(results.widths) == set(results.by_image.index)
    assert 5 < next(iter(results.widths.values())) < 30


@pytest.fixture
def conditions(make_scores):
    few = {"n": 2, "models": ("sam", "pa_sam")}
    return pd.concat(
        [
            make_scores(),
            make_scores(prompt="box_jitter_0.4", **few),
            make_scores(prompt="box_jitter_0.1", **few),
            make_scores(prompt="points_3", **few),
            make_scores(corruption="blur_2", **few),
        ]
    )


def test_curves_come_in_report_order_and_unknown_ones_last(conditions, make_scores):
    assert families(conditions) == ["box_jitter", "points", "blur"]
    others = [make_scores(prompt="wobble_3"), make_scores(corruption="fog_1"), conditions]
    assert families(pd.concat(others)) == ["box_jitter", "points", "blur", "fog", "wobble"]


def test_a_curve_of_jitter_begins_with_the_tight_box_on_the_same_images_and_models(conditions):
    parts = rows_by_amount(conditions, "box_jitter")
    assert list(parts) == [0.0, 0.1, 0.4]
    assert len(parts[0.0]) == len(parts[0.1]) == 2 * 2 * 4
    assert list(rows_by_amount(conditions, "points")) == [3.0]


def test_a_curve_holds_the_mean_of_every_model_inside_its_interval(conditions, bootstrap):
    table = curve(conditions, "blur", "mbiou", bootstrap)
    assert table[["amount", "model"]].values.tolist() == [
        [0.0, "pa_sam"], [0.0, "sam"], [2.0, "pa_sam"], [2.0, "sam"],
    ]  # fmt: skip
    assert ((table["low"] <= table["mean"]) & (table["mean"] <= table["high"])).all()


def test_two_models_are_compared_at_one_place(conditions, make_results):
    row = difference_at(make_results(conditions=conditions), "points", 3.0, ("pa_sam", "sam"))
    assert row["difference"] == pytest.approx(20.0)
    assert row["n"] == 8


def test_without_diagnostics_there_is_nothing(results, make_results):
    assert not results.diagnosed("pa_sam", "dense_change")
    other = make_results(diagnostics=made_up_diagnostics())
    assert other.diagnosed("pa_sam", "dense_change")
    assert not other.diagnosed("hq_sam", "dense_change")


def test_the_pages_name_all_weights_and_look_for_the_first(make_results):
    weights = {"hq_sam": "1" * 32, "pa_sam": "2" * 32}
    assert make_results(weights_md5=weights, manifest_md5="3" * 32).about == (
        f"Of the manifest of the data, md5 {'3' * 32}; weights of HQ-SAM, md5 {'1' * 32}; weights "
        f"of PA-SAM, md5 {'2' * 32}. dvc.lock and the registry have the same digests: "
        f"git log -S {'1' * 32} -- dvc.lock finds the commit and its date."
    )


def test_what_was_counted_of_a_model_goes_before_what_its_training_wrote(make_scores, make_results):
    variant = make_scores(models=("pa_sam",)).assign(model="better")
    facts = {"pa_sam": {"trainable": 7}, "better": {"trainable": 8}, "silent": {}}
    results = make_results(
        ablations=variant, ablation_changes={"better": {"of": "pa_sam", "change": {}}},
        ablation_facts=facts,
    )  # fmt: skip
    known = [results.trainable(name) for name in ("pa_sam", "better", "silent", "unknown")]
    assert known == [1234, 8, None, None]


def test_a_column_of_nothing_is_nothing(make_results):
    empty = make_results(diagnostics=made_up_diagnostics().assign(dense_change=np.nan))
    assert not empty.diagnosed("pa_sam", "dense_change")
    assert not empty.diagnosed("pa_sam", "point_spread", "dense_change")
    assert not empty.diagnosed("pa_sam", "point_spread", "unknown")
    assert empty.diagnosed("pa_sam", "point_spread", "coarse_iou")


def test_diagnostics_on_development_sets_know_their_groups_too(make_scores, make_results):
    sets = ("garden", "kitchen")
    results = make_results(
        development=make_scores(benchmarks=sets),
        diagnostics=made_up_diagnostics(benchmarks=sets, point_spread=0.4),
    )
    found = results.mean_inside("mining_random", "point_spread")
    assert found.mean == pytest.approx(0.4, abs=0.01)
    both = make_results(
        development=make_scores(benchmarks=sets),
        diagnostics=made_up_diagnostics(benchmarks=("dis_like", "garden"), point_spread=0.3),
    )
    found = both.mean_inside("pa_sam", "point_spread")
    assert found.mean == pytest.approx(0.3, abs=0.01), "of Table 1's masks and of the others"


def test_the_table_of_variants_weighs_benchmarks_alike(make_scores, make_results):
    few, many = make_scores(benchmarks=("a",), n=2), make_scores(benchmarks=("b",), n=10)
    few[["iou", "boundary_iou"]] -= 0.2
    grid = ablation_grid(make_results(pd.concat([few, many])))
    assert grid.rows[0][2:4] == ("60.0", "40.0")  # of 50 and 70, and of 30 and 50


def test_means_leave_out_what_is_undefined(make_results):
    frame = made_up_diagnostics(uncertainty_auroc=0.8)
    frame.loc[frame["image_id"] == "dis_like/0", "uncertainty_auroc"] = np.nan
    found = make_results(diagnostics=frame).mean_inside("pa_sam", "uncertainty_auroc")
    assert found.mean == pytest.approx(0.8, abs=0.01)
    assert found.low < found.mean < found.high


def test_two_columns_are_compared_on_the_same_masks(make_results):
    results = make_results(diagnostics=made_up_diagnostics(coarse_iou=0.5, final_iou=0.6))
    found = results.difference_inside("pa_sam", "final_iou", "coarse_iou")
    assert found.mean == pytest.approx(0.1, abs=0.01)
    assert found.verdict == "gain shown"
    frame = made_up_diagnostics(coarse_iou=0.5, final_iou=0.6)
    for column, mask in (("coarse_iou", "dis_like/0"), ("final_iou", "thin_like/1")):
        frame.loc[frame["image_id"] == mask, column] = np.nan
    found = make_results(diagnostics=frame).difference_inside("pa_sam", "final_iou", "coarse_iou")
    assert found.mean == pytest.approx(0.1, abs=0.01), "a mask without one of them is left out"


def history(path, epochs, **terms):
    rows = [{"epoch": e, "lr": 0.1, **{k: v / (e + 1) for k, v in terms.items()}} for e in epochs]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_history_is_read_in_the_order_of_its_epochs(tmp_path):
    frame = read_history(history(tmp_path / "h.jsonl", [1, 0, 2], loss=1.0))
    assert frame["epoch"].tolist() == [0, 1, 2]
    assert frame["loss"].tolist() == pytest.approx([1.0, 0.5, 1 / 3])


def test_the_curves_of_a_history_are_its_losses_the_total_first():
    row = {"epoch": 0, "step": 9, "lr": 0.1, "seconds": 3.0, "views": 2, "learning_rate": 0.1,
           "loss_dice": 1.0, "bce": 2.0, "loss": 3.0, "words": "x"}  # fmt: skip
    assert curve_columns(pd.DataFrame([row])) == ["loss", "bce", "loss_dice"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no epoch"),
        ('{"epoch": 0}\n{"epo', "line 2 is not JSON"),
        ('{"loss": 1}', "expected an object with 'epoch'"),
        ('["epoch", 0]', "expected an object with 'epoch'"),
    ],
)
def test_a_damaged_history_is_refused(tmp_path, text, message):
    (tmp_path / "h.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_history(tmp_path / "h.jsonl")


def test_a_missing_history_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.jsonl does not exist"):
        read_history(tmp_path / "gone.jsonl")
