"""Scores summed up: matrices, means, paired differences, groups of images."""

import numpy as np
import pandas as pd
import pytest
from made_up_run import change_scores

from pasam.errors import DataError
from pasam.evaluation.statistics import Difference, holm, interval, paired_difference
from pasam.reporting.summary import (
    Bootstrap,
    check_paired,
    compare,
    default_pairs,
    gain_by_quantile,
    held_together,
    in_points,
    paired_values,
    places,
    score_matrix,
    summarise,
)
from pasam.reporting.tables import table_notes


def test_what_is_told_together_is_corrected_together(bootstrap):
    p = [0.03, 0.001, 0.6]
    rows = [{"n": 5, "seeds": 3, "p": value, "verdict": "gain shown"} for value in p]
    told = held_together(rows, bootstrap)
    assert [row["p_holm"] for row in told] == [0.06, 0.003, 0.6]
    assert [row["verdict"] for row in told] == [
        "no difference shown", "gain shown", "no difference shown",
    ]  # fmt: skip
    [alone] = held_together([{**rows[0], "seeds": 1}], bootstrap)
    assert alone["verdict"] == "gain shown"
    assert np.isnan(alone["p_holm"])
    assert held_together([], bootstrap) == []


def test_images_and_seeds_come_sorted_whatever_the_order_of_rows(make_scores):
    scores = make_scores(models=("sam",), seeds=(2, 1), n=3).sample(frac=1, random_state=0)
    found = score_matrix(scores, "sam", "iou")
    assert list(found.index) == [1, 2]
    images = list(found.columns.get_level_values("image_id"))
    assert images == sorted(images)
    assert found.shape == (2, 12)
    benchmarks, groups = places(found.columns)
    assert (benchmarks[0], groups[0]) == ("coift_like", "image 0")


def test_models_are_paired_on_the_seeds_that_both_have(make_scores):
    a = score_matrix(make_scores(models=("a",), seeds=(1, 2, 3)), "a", "iou")
    b = score_matrix(make_scores(models=("b",), seeds=(0, 2, 3, 4)), "b", "iou")
    first, second = paired_values(a, b)
    assert not np.isin(a.to_numpy()[0], a.to_numpy()[1:]).any()  # or any seed would do
    np.testing.assert_array_equal(first, a.to_numpy()[1:])
    np.testing.assert_array_equal(second, b.to_numpy()[1:3])


def test_a_model_without_training_goes_with_every_seed(make_scores):
    a = score_matrix(make_scores(models=("a",), seeds=(1, 2)), "a", "iou")
    b = score_matrix(make_scores(models=("sam",), seeds=(0,)), "sam", "iou")
    first, second = paired_values(a, b)
    assert (len(first), len(second)) == (2, 1)


def test_a_model_that_was_trained_once_is_held_against_that_training_alone(make_scores, bootstrap):
    """Its row against every seed of the other would tell of the other's chance and not of its."""
    once = make_scores(models=("hq_sam",), seeds=(2,))
    often = make_scores(models=("pa_sam",), seeds=(1, 2, 3))
    rows = compare(pd.concat([once, often]), [("pa_sam", "hq_sam")], bootstrap)
    assert set(rows["seeds"]) == {1}
    assert rows["p"].isna().all()
    alone = compare(pd.concat([once, often[often["seed"] == 2]]), [("pa_sam", "hq_sam")], bootstrap)
    pd.testing.assert_frame_equal(rows, alone)


def test_a_p_value_is_never_rounded_to_0():
    shares = {"low": 1.0, "high": 1.0, "better": 1.0, "worse": 0.0, "tied": 0.0, "seeds": 3}
    assert in_points(Difference(mean=1.0, p=2e-6, **shares))["p"] == 1e-4


def test_models_without_a_common_seed_are_not_compared(make_scores):
    a = score_matrix(make_scores(models=("a",), seeds=(1, 2)), "a", "iou")
    b = score_matrix(make_scores(models=("b",), seeds=(3, 4)), "b", "iou")
    with pytest.raises(DataError, match=r"\[1, 2\] and \[3, 4\], none of them the same"):
        paired_values(a, b)


def test_a_seed_that_lacks_images_is_named_with_the_first_of_them(make_scores):
    scores = make_scores(models=("a",), benchmarks=("x",), n=3, seeds=(1, 2))[::-1]
    lacking = scores[~((scores["seed"] == 2) & (scores["image_id"] != "x/0"))]
    with pytest.raises(DataError, match=r"'a' \(seed 2\) lacks 2 of 3 images, the first is 'x/1'"):
        check_paired(pd.DataFrame(lacking))


BENCHMARKS = ["dis_like", "coift_like", "hrsod_like", "thin_like", "mean"]


def test_rows_come_in_report_order(scores, bootstrap):
    summary = summarise(scores, bootstrap)
    assert list(dict.fromkeys(summary["model"])) == ["oracle", "sam", "hq_sam", "pa_sam"]
    assert summary["benchmark"].tolist() == BENCHMARKS * 4
    assert summary["n"].tolist() == [6, 6, 6, 6, 24] * 4


def test_a_mean_is_the_per_image_mean_in_per_cent_inside_its_interval(scores, bootstrap):
    row = summarise(scores, bootstrap).set_index(["model", "benchmark"]).loc[("sam", "dis_like")]
    images = scores[(scores["model"] == "sam") & (scores["benchmark"] == "dis_like")]
    assert row["miou"] == pytest.approx(100 * images["iou"].mean(), abs=1e-4)
    assert row["mbiou"] == pytest.approx(100 * images["boundary_iou"].mean(), abs=1e-4)
    assert row["mbiou_low"] < row["mbiou"] < row["mbiou_high"]


def test_the_mean_row_weighs_a_small_benchmark_like_a_large_one(make_scores, bootstrap):
    few, many = make_scores(benchmarks=("a",), n=2), make_scores(benchmarks=("b",), n=20)
    few["iou"] -= 0.3
    summary = summarise(pd.concat([few, many]), bootstrap).set_index(["model", "benchmark"])
    alone = [summary.loc[("sam", name), "miou"] for name in ("a", "b")]
    assert summary.loc[("sam", "mean"), "miou"] == pytest.approx(np.mean(alone), abs=1e-3)


def test_pooled_iou_weighs_pixels_not_images(make_scores, bootstrap):
    scores = make_scores(models=("sam",), benchmarks=("a",), n=2)
    scores["intersection"], scores["union"] = [90, 1], [100, 900]
    assert summarise(scores, bootstrap)["pooled_iou"].tolist() == [9.1, 9.1]


def test_the_means_pooled_iou_and_covered_share_weigh_benchmarks_alike(make_scores, bootstrap):
    few = make_scores(models=("sam",), benchmarks=("a",), n=2)
    many = make_scores(models=("sam",), benchmarks=("b",), n=8)
    few["intersection"], few["union"], few["boundary_covers"] = 1, 4, True
    many["intersection"], many["union"], many["boundary_covers"] = 300, 400, [True] + [False] * 7
    rows = summarise(pd.concat([few, many]), bootstrap).set_index("benchmark")
    assert rows["pooled_iou"].to_dict() == {"a": 25.0, "b": 75.0, "mean": 50.0}
    assert rows["band_covers"].to_dict() == {"a": 100.0, "b": 12.5, "mean": 56.25}


def test_pooled_iou_of_nothing_against_nothing_is_whole(make_scores, bootstrap):
    scores = make_scores(models=("sam",), benchmarks=("a",), n=2)
    scores["intersection"], scores["union"] = 0, 0
    assert summarise(scores, bootstrap)["pooled_iou"].tolist() == [100.0, 100.0]


def test_the_share_of_images_that_the_band_covers_is_given(scores, bootstrap):
    row = summarise(scores, bootstrap).set_index(["model", "benchmark"])["band_covers"]
    assert (row[("sam", "thin_like")], row[("sam", "dis_like")]) == (50.0, 0.0)


def test_published_numbers_stand_beside_their_model_and_benchmark_only(scores, bootstrap):
    published = pd.DataFrame(
        [["pa_sam", "dis_like", "DIS", 81.5, 73.9]],
        columns=["model", "benchmark", "published_benchmark", "miou", "mbiou"],
    )
    summary = summarise(scores, bootstrap, published=published)
    given = summary[summary["published_miou"].notna()]
    assert given[["model", "benchmark", "published_mbiou"]].values.tolist() == [
        ["pa_sam", "dis_like", 73.9]
    ]
    assert len(summary) == 20


def test_a_paired_difference_cancels_what_makes_images_hard(scores, bootstrap):
    table = compare(scores, [("pa_sam", "sam")], bootstrap)
    assert table["benchmark"].tolist() == [name for name in BENCHMARKS for _ in range(2)]
    assert table["difference"].tolist() == pytest.approx([20.0] * 10)
    assert set(table["verdict"]) == {"gain shown"}
    assert table["better"].tolist() == [100.0] * 10
    harder = scores.copy()
    place = harder["image_id"].str[-1].astype(int)
    harder[["iou", "boundary_iou"]] -= 0.05 * place.to_numpy()[:, None]
    pd.testing.assert_frame_equal(compare(harder, [("pa_sam", "sam")], bootstrap), table)


def test_holms_correction_runs_over_all_benchmarks_and_pairs_of_the_table(make_scores, bootstrap):
    scores = make_scores(models=("a", "b", "c"), n=20, seeds=(1, 2, 3))
    for model, by in (("a", 0.006), ("c", -0.01)):
        scores.loc[scores["model"] == model, ["iou", "boundary_iou"]] += by
    table = compare(scores, [("a", "b"), ("c", "b")], bootstrap)
    for of_mean in (True, False):
        family = table[(table["benchmark"] == "mean") == of_mean]
        assert len(set(family["p"])) > 2  # neither all certain nor all by chance
        assert family["p_holm"].tolist() == pytest.approx(holm(family["p"].tolist()), abs=1e-4)


def test_a_benchmark_may_not_be_called_as_the_mean(make_scores, bootstrap):
    with pytest.raises(DataError, match="'mean'"):
        summarise(make_scores(benchmarks=("mean", "x")), bootstrap)


def test_holms_correction_withdraws_a_verdict_that_only_one_row_alone_would_give(
    make_scores, bootstrap
):
    scores = make_scores(models=("sam", "a", "b", "c", "d"), benchmarks=("x",), n=40)
    noise = np.random.default_rng(4).normal(0, 0.1, 40)
    shift = 0.038 - noise.mean()
    column = scores["model"] == "a"
    scores.loc[column, "iou"] = (
        scores.loc[scores["model"] == "sam", "iou"].to_numpy() + noise + shift
    )
    for other in "bcd":
        same = scores.loc[scores["model"] == "sam", "iou"].to_numpy()
        scores.loc[scores["model"] == other, "iou"] = same
    scores["boundary_iou"] = scores["iou"]
    alone = compare(scores, [("a", "sam")], bootstrap)
    among = compare(scores, [(m, "sam") for m in "abcd"], bootstrap)
    assert set(alone["verdict"]) == {"gain shown"}
    row = among[(among["model"] == "a") & (among["benchmark"] == "mean")].iloc[0]
    assert row["low"] > 0
    assert row["verdict"] == "no difference shown"
    assert np.isnan([row["p"], row["p_holm"]]).all()  # one seed carries no p-value


def test_three_seeds_are_averaged_and_counted_once_per_image(make_scores, bootstrap):
    scores = make_scores(models=("pa_sam",), benchmarks=("x",), n=4, seeds=(1, 2, 3))
    scores.loc[scores["seed"] == 1, "iou"] += 0.03
    row = summarise(scores, bootstrap).iloc[0]
    assert (row["n"], row["seeds"]) == (4, 3)
    one = scores[scores["seed"] == 2]["iou"].mean()
    assert row["miou"] == pytest.approx(100 * (one + 0.01), abs=1e-3)


def test_an_interval_of_scores_stays_between_nothing_and_everything(make_scores, bootstrap):
    scores = make_scores(models=("sam",), benchmarks=("x",), n=3)
    scores["iou"] = [0.0, 0.5, 1.0]
    row = summarise(scores, bootstrap).iloc[0]
    assert (row["miou_low"], row["miou_high"]) == (0.0, 100.0)


def test_the_order_of_rows_in_the_files_does_not_matter(scores, bootstrap):
    shuffled = scores.sample(frac=1, random_state=1)
    pairs = [("pa_sam", "sam")]
    pd.testing.assert_frame_equal(summarise(shuffled, bootstrap), summarise(scores, bootstrap))
    pd.testing.assert_frame_equal(
        compare(shuffled, pairs, bootstrap), compare(scores, pairs, bootstrap)
    )


def test_no_pair_makes_an_empty_table_with_its_columns(scores, bootstrap):
    table = compare(scores, [], bootstrap)
    assert len(table) == 0
    assert "verdict" in table.columns


def test_the_known_models_are_compared_and_any_other_with_sam():
    assert default_pairs(["pa_sam", "oracle", "sam", "hq_sam", "mine"]) == [
        ("pa_sam", "sam"),
        ("hq_sam", "sam"),
        ("pa_sam", "hq_sam"),
        ("mine", "sam"),
    ]
    assert default_pairs(["pa_sam", "oracle"]) == []
    assert ("pa_sam", "head_only") in default_pairs(["pa_sam", "sam", "head_only"])
    assert default_pairs(["pa_sam", "pa_sam_plus"]) == [("pa_sam_plus", "pa_sam")]


def test_every_known_pair_is_compared_in_its_order_and_each_model_alone_with_those_there_are():
    known = [
        ("pa_sam", "sam"), ("hq_sam", "sam"), ("pa_sam", "hq_sam"), ("pa_sam_plus", "pa_sam"),
        ("pa_sam_plus", "hq_sam"), ("head_only", "sam"), ("pa_sam", "head_only"),
        ("pa_sam_plus", "head_only"),
    ]  # fmt: skip
    models = ["z", "oracle", "head_only", "pa_sam_plus", "a", "pa_sam", "hq_sam", "sam"]
    assert default_pairs(models) == [*known, ("a", "sam"), ("z", "sam")]
    for left_out in ("sam", "hq_sam", "pa_sam", "pa_sam_plus", "head_only"):
        fewer = [model for model in models if model != left_out]
        others = [] if left_out == "sam" else [("a", "sam"), ("z", "sam")]
        assert default_pairs(fewer) == [p for p in known if left_out not in p] + others


@pytest.mark.parametrize(("confidence", "shown"), [(0.95, False), (0.8, True), (0.9, False)])
def test_a_verdict_is_held_by_the_level_of_the_report(confidence, shown):
    level = Bootstrap(n_resamples=10, confidence=confidence, seed=0)
    rows = [{"n": 5, "seeds": 3, "p": 0.06, "verdict": "loss shown"}] * 2
    verdicts = {row["verdict"] for row in held_together(rows, level)}
    assert verdicts == {"loss shown" if shown else "no difference shown"}  # p is 0.12 by Holm
    assert level.level == f"{100 * confidence:g} %"


def test_groups_of_several_seeds_pair_the_shared_ones_and_ties_keep_their_order(
    make_scores, bootstrap
):
    ours = make_scores(models=("pa_sam",), benchmarks=("x",), n=9, seeds=(1, 2, 3))
    theirs = make_scores(models=("sam",), benchmarks=("x",), n=9, seeds=(2, 3, 4))
    scores = pd.concat([ours, theirs])
    measure = {f"x/{k}": float(k // 6) for k in range(9)}  # six alike, then three
    found = gain_by_quantile(scores, measure, bins=2, bootstrap=bootstrap, **PAIR)
    tables = [rows[rows["seed"].isin([2, 3])].pivot(index="seed", columns="image_id",
                                                    values="boundary_iou")
              for rows in (ours, theirs)]  # fmt: skip
    gain = tables[0] - tables[1]
    first, last = [f"x/{k}" for k in range(5)], [f"x/{k}" for k in range(5, 9)]
    wanted = [100 * gain[part].to_numpy().mean() for part in (first, last)]
    assert found.table["difference"].tolist() == pytest.approx(wanted, abs=1e-3)
    assert (found.table["n"].tolist(), found.trend.seeds) == ([5, 4], 2)
    for column, rows in (("score", ours), ("against_score", theirs)):
        shown = rows.groupby("image_id")["boundary_iou"].mean() * 100  # over all of a model's seeds
        means = [shown[part].mean() for part in (first, last)]
        assert found.table[column].tolist() == pytest.approx(means, abs=1e-3)
    assert found.trend.mean == pytest.approx((wanted[1] - wanted[0]) / 100, abs=1e-4)


def test_notes_tell_of_the_seeds_of_the_models_that_were_trained(make_scores, bootstrap):
    trained = make_scores(models=("pa_sam",), seeds=(1, 2, 3))
    summary = summarise(pd.concat([make_scores(models=("sam",)), trained]), bootstrap)
    assert "include seed variance (3 seeds)." in table_notes(summary, bootstrap)[0]
    alone = summarise(make_scores(models=("sam", "pa_sam")), bootstrap)
    assert "do not include seed variance" in table_notes(alone, bootstrap)[0]


def test_a_model_that_lacks_an_image_is_named_with_the_image(scores, bootstrap):
    lacking = scores[~((scores["model"] == "hq_sam") & (scores["image_id"] == "dis_like/3"))]
    with pytest.raises(DataError, match=r"'hq_sam' \(seed 42\) lacks 1 of 24 images.*'dis_like/3'"):
        summarise(lacking, bootstrap)


@pytest.mark.parametrize(
    ("kind", "other", "both"),
    [
        ("prompt", "points_3", r"\['box', 'points_3'\]"),
        ("corruption", "blur_1", r"\['blur_1', 'none'\]"),
    ],
)
def test_two_kinds_of_prompt_or_corruption_are_not_mixed(kind, other, both, scores, bootstrap):
    scores.loc[0, kind] = other
    with pytest.raises(DataError, match=both):
        compare(scores, [("pa_sam", "sam")], bootstrap)


def test_no_scores_are_refused(scores, bootstrap):
    with pytest.raises(DataError, match="no scores to report"):
        summarise(scores[:0], bootstrap)


PAIR = {"model": "pa_sam", "against": "sam", "metric": "mbiou"}


@pytest.fixture
def measured(make_scores):
    scores = make_scores(benchmarks=("x",), n=20)
    return scores, {f"x/{k}": float(k) for k in range(20)}


def test_groups_are_equally_large_and_go_from_low_to_high(measured, bootstrap):
    scores, measure = measured
    table = gain_by_quantile(scores, measure, bins=4, bootstrap=bootstrap, **PAIR).table
    assert table["n"].tolist() == [5, 5, 5, 5]
    assert table["from"].tolist() == [0, 5, 10, 15]
    assert table["difference"].mean() == pytest.approx(20.0, abs=1e-3)
    gaps = (table["score"] - table["against_score"]).tolist()
    assert table["difference"].tolist() == pytest.approx(gaps, abs=1e-3)


def test_no_more_groups_than_images(measured, bootstrap):
    scores, measure = measured
    table = gain_by_quantile(scores, measure, bins=50, bootstrap=bootstrap, **PAIR).table
    assert len(table) == 20


def test_a_gain_that_grows_with_the_measure_is_found(measured, bootstrap):
    scores, measure = measured
    rising = change_scores(
        scores, "pa_sam", lambda rows: rows["image_id"].map(measure).to_numpy() / 100
    )
    found = gain_by_quantile(rising, measure, bins=4, bootstrap=bootstrap, **PAIR).trend
    values = rising.pivot(index="image_id", columns="model", values="boundary_iou")
    gain = (values["pa_sam"] - values["sam"])[[f"x/{k}" for k in range(20)]].to_numpy()
    assert found.mean == pytest.approx(gain[15:].mean() - gain[:5].mean())
    assert found.low > 0


def test_a_gain_that_is_the_same_everywhere_shows_no_trend(measured, bootstrap):
    scores, measure = measured
    noise = np.random.default_rng(0).normal(0, 0.05, 20)
    noisy = change_scores(scores, "pa_sam", lambda rows: noise)
    found = gain_by_quantile(noisy, measure, bins=2, bootstrap=bootstrap, **PAIR).trend
    assert found.low < 0 < found.high


def test_groups_of_two_benchmarks_with_one_name_are_two_groups(make_scores, bootstrap):
    scores = make_scores(benchmarks=("x", "y"), n=12)
    measure = {image: float(image[-1]) + (image[0] == "y") for image in set(scores["image_id"])}
    apart = scores.assign(group=scores["benchmark"] + scores["group"])
    alike, other = (
        gain_by_quantile(table, measure, bins=2, bootstrap=bootstrap, **PAIR)
        for table in (scores, apart)
    )
    assert set(scores["group"]) != set(apart["group"])
    pd.testing.assert_frame_equal(alike.table, other.table)


def test_the_gain_of_coarse_and_fine_images_and_its_trend_draw_groups_of_images(
    make_scores, bootstrap
):
    scores = make_scores(models=("pa_sam", "sam"), benchmarks=("x",), n=24)
    places_of = scores["image_id"].str.split("/").str[1].astype(int)
    measure = {f"x/{k}": float(k) for k in range(24)}
    film = [k // 3 if k < 12 else 10 + k // 4 for k in range(24)]  # of 3 images, then of 4
    films = scores.assign(group=[f"film {film[k]}" for k in places_of])
    found = gain_by_quantile(films, measure, bins=2, bootstrap=bootstrap, **PAIR)
    table = films.assign(k=places_of).pivot(index="k", columns="model", values="boundary_iou")
    gain = (table["pa_sam"] - table["sam"]).to_numpy()
    units = [f"x/film {number}" for number in film]
    settings = {"n_resamples": 1000, "confidence": 0.95, "seed": 0}
    for number, part in enumerate((slice(0, 12), slice(12, 24))):
        name = f"bin {number}"
        wanted = interval({name: gain[part]}, units_by_stratum={name: units[part]}, **settings)
        row = found.table.iloc[number]
        assert (row["low"], row["high"]) == pytest.approx(
            (100 * wanted.low, 100 * wanted.high), abs=1e-3
        )
    doubled = np.concatenate([-2 * gain[:12], 2 * gain[12:]])
    ends = ["first"] * 12 + ["last"] * 12
    wanted = paired_difference(doubled, 0 * doubled, ends, units=units, **settings)
    assert (found.trend.low, found.trend.high) == pytest.approx((wanted.low, wanted.high))


def test_a_single_group_has_no_trend(measured, bootstrap):
    scores, measure = measured
    found = gain_by_quantile(scores, measure, bins=1, bootstrap=bootstrap, **PAIR)
    assert found.trend is None


def test_masks_of_one_group_widen_the_interval_and_leave_the_mean(make_scores, bootstrap):
    scores = make_scores(models=("sam", "pa_sam"), benchmarks=("x",), n=40)
    alike = scores["image_id"].str.split("/").str[1].astype(int) // 10
    scores["iou"] += 0.1 * (alike % 2)  # ten masks of a film are hard or easy together
    films = scores.assign(group=alike.astype(str))
    alone, together = (summarise(table, bootstrap).iloc[0] for table in (scores, films))
    assert together["miou"] == alone["miou"]
    assert together["miou_high"] - together["miou_low"] > 2 * (
        alone["miou_high"] - alone["miou_low"]
    )
    assert (together["mbiou_low"], together["mbiou_high"]) != (
        alone["mbiou_low"],
        alone["mbiou_high"],
    )


def test_two_seeds_give_a_verdict_and_no_p_and_three_give_both(make_scores, bootstrap):
    scores = make_scores(models=("sam", "pa_sam"), seeds=(1, 2, 3), n=20)
    pair = [("pa_sam", "sam")]
    two = compare(scores[scores["seed"] < 3], pair, bootstrap)
    three = compare(scores, pair, bootstrap)
    assert two[["p", "p_holm"]].isna().all(axis=None)
    assert three[["p", "p_holm"]].notna().all(axis=None)


def test_photographs_of_packages_have_a_column_and_are_in_no_mean(make_scores, bootstrap):
    models = ("pa_sam", "sam")
    drawn = make_scores(models=models, benchmarks=("dis_like", "thin_like"))
    photos = make_scores(models=models, benchmarks=("photos",))
    both = pd.concat([drawn, photos], ignore_index=True)
    alone, together = (summarise(scores, bootstrap) for scores in (drawn, both))
    mean = [
        table[table["benchmark"] == "mean"].reset_index(drop=True) for table in (alone, together)
    ]
    pd.testing.assert_frame_equal(*mean)
    assert "photos" in set(together["benchmark"])
    pairs = [("pa_sam", "sam")]
    alone, together = (compare(scores, pairs, bootstrap) for scores in (drawn, both))
    mean = [
        table[table["benchmark"] == "mean"].drop(columns="p_holm").reset_index(drop=True)
        for table in (alone, together)
    ]
    pd.testing.assert_frame_equal(*mean)
    assert len(together[together["benchmark"] == "photos"]) == 2


def test_an_interval_on_photographs_draws_photographs_with_all_their_objects(
    make_scores, bootstrap
):
    scores = make_scores(models=("sam",), benchmarks=("photos",), n=20)
    many = scores.assign(group=["coins"] * 19 + ["cup"], iou=[0.0] * 19 + [1.0])
    row = summarise(many, bootstrap).iloc[0]
    assert (row["n"], row["miou"]) == (20, 5.0)
    assert row["miou_high"] > 50.0  # by mask it would be 15
