"""Tests of the intervals and p-values of means and paired differences."""

from __future__ import annotations

import re
import time
import zlib
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from benchmarks.statistics_simulation import EQUAL, GAINS, Design, simulate
from pasam.errors import DataError, ParamsError, ShapeError
from pasam.evaluation import statistics
from pasam.evaluation.statistics import (
    Difference,
    by_stratum,
    estimate_many,
    holm,
    interval,
    paired_difference,
    worded,
)

SETTINGS = {"n_resamples": 200, "confidence": 0.95, "seed": 0}
scores = st.lists(st.floats(0, 1), min_size=1, max_size=12).map(np.array)
benchmarks = st.dictionaries(st.sampled_from(["dis", "coift", "thin"]), scores, min_size=1)


@settings(max_examples=40)
@given(benchmarks)
def test_the_mean_weighs_benchmarks_alike_and_lies_in_its_interval(groups):
    found = interval(groups, **SETTINGS)
    assert found.mean == pytest.approx(np.mean([v.mean() for v in groups.values()]))
    assert found.low <= found.high
    if all(len(v) != 2 for v in groups.values()):  # of two images each draw takes one
        assert found.low - 1e-9 <= found.mean <= found.high + 1e-9


@settings(max_examples=40)
@given(benchmarks)
def test_the_order_of_benchmarks_does_not_matter(groups):
    assert interval(dict(reversed(groups.items())), **SETTINGS) == interval(groups, **SETTINGS)


@settings(max_examples=40)
@given(scores.filter(lambda values: len(values) > 1))
def test_a_model_against_itself_differs_by_exactly_nothing(values):
    found = paired_difference(values, values.copy(), ["dis"] * len(values), **SETTINGS)
    assert (found.mean, found.low, found.high) == (0.0, 0.0, 0.0)
    assert (found.better, found.worse, found.tied) == (0.0, 0.0, 1.0)
    assert (found.p, found.verdict) == (1.0, "no difference shown")


@settings(max_examples=40)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=12))
def test_swapping_the_models_mirrors_the_difference(pairs):
    a, b = np.array(pairs).T
    strata = ["dis" if i % 2 else "thin" for i in range(len(a))]
    one, other = (paired_difference(x, y, strata, **SETTINGS) for x, y in ((a, b), (b, a)))
    assert (one.mean, one.low) == pytest.approx((-other.mean, -other.high))
    assert (one.better, one.worse, one.tied) == (other.worse, other.better, other.tied)


def test_one_seed_gives_one_result_and_another_seed_another():
    groups = {"dis": np.linspace(0, 1, 30)}
    again = interval(groups, **SETTINGS)
    assert again == interval(groups, **SETTINGS)
    assert again.low != interval(groups, **{**SETTINGS, "seed": 1}).low


def test_draws_are_the_same_however_few_are_made_at_once(monkeypatch):
    groups = {"dis": np.linspace(0, 1, 7) ** 2, "thin": np.linspace(0, 1, 5)}
    whole = interval(groups, **SETTINGS)
    monkeypatch.setattr(statistics, "_CHUNK", 7 * 9)  # 9 or 12 of the 200
    assert interval(groups, **SETTINGS) == whole


def test_few_draws_of_seeds_stand_for_equal_parts_of_students_distribution():
    values = np.repeat([[0.0], [1.0]], 5, axis=1)  # seeds alone differ, by an error of a half
    found = interval({"a": values}, n_resamples=4, confidence=0.5, seed=0)
    parts = stats.t.ppf([0.125, 0.375, 0.625, 0.875], 1)
    ends = 0.5 + 0.5 * np.quantile(parts, [0.25, 0.75])
    assert (found.low, found.high) == pytest.approx(tuple(ends))


def test_draws_are_the_same_for_all_models_so_a_shift_shifts_the_interval():
    values = np.random.default_rng(0).random(40)
    low, high = interval({"dis": values}, **SETTINGS), interval({"dis": values + 2}, **SETTINGS)
    assert high.low - low.low == pytest.approx(2)
    assert high.high - low.high == pytest.approx(2)


def test_pairing_finds_a_small_gain_that_hard_images_would_hide():
    generator = np.random.default_rng(0)
    b = generator.random(60)
    found = paired_difference(b + 0.01, b, ["dis"] * 60, **SETTINGS)
    assert found.low == pytest.approx(0.01)
    assert found.verdict == "gain shown"
    assert found.better == 1.0
    alone = interval({"dis": b}, **SETTINGS)
    assert alone.high - alone.low > 0.05


def test_a_clear_loss_is_called_a_loss():
    b = np.linspace(0, 1, 20)
    assert paired_difference(b - 0.1, b, ["dis"] * 20, **SETTINGS).verdict == "loss shown"


@pytest.mark.parametrize(
    ("low", "high", "seeds", "words"),
    [
        (0.1, 0.3, 1, "gain shown for these weights"), (0.1, 0.3, 2, "gain shown"),
        (0.0, 0.3, 3, "no difference shown"), (-0.1, 0.0, 3, "no difference shown"),
        (-0.3, -0.1, 3, "loss shown"), (-0.3, -0.1, 1, "loss shown for these weights"),
        (-0.1, 0.1, 1, "no difference shown"), (-np.inf, np.inf, 1, "no difference shown"),
    ],
)  # fmt: skip
def test_an_interval_that_touches_zero_shows_nothing_and_one_seed_speaks_of_its_weights(
    low, high, seeds, words
):
    shares = {"better": 0.0, "worse": 0.0, "tied": 1.0, "p": 0.5}
    found = Difference(mean=0.0, low=low, high=high, seeds=seeds, **shares)
    assert worded(found.verdict, seeds) == words


def test_seeds_that_differ_decide_together_which_masks_are_better():
    a = np.array([[0.9, 0.1, 0.5, 0.5], [0.2, 0.3, 0.6, 0.5]])
    found = paired_difference(a, np.full(4, 0.5), ["a"] * 4, **SETTINGS)
    assert (found.better, found.worse, found.tied) == (0.5, 0.25, 0.25)
    other = paired_difference(np.full((1, 4), 0.5), a, ["a"] * 4, **SETTINGS)
    assert (other.mean, other.better) == pytest.approx((-found.mean, 0.25))


@pytest.mark.parametrize("confidence", [0.5, 0.8, 0.99])
def test_the_level_decides_how_wide_an_interval_of_few_images_is(confidence):
    values = np.tile([0.1, 0.4, 0.2, 0.9, 0.6, 0.5, 0.3, 0.3, 0.8, 0.7], 3)
    draws = np.random.default_rng([3, zlib.crc32(b"dis")]).integers(30, size=(500, 29))
    low = np.quantile(values[draws].mean(axis=1), (1 - confidence) / 2)
    upper = (1 + confidence) / 2
    wider = stats.t.ppf(upper, 29) / stats.norm.ppf(upper)
    found = interval({"dis": values}, n_resamples=500, confidence=confidence, seed=3)
    assert found.low == pytest.approx(values.mean() + wider * (low - values.mean()))


def test_units_of_unequal_size_weigh_by_their_masks_and_belong_to_their_benchmark():
    values = {"a": np.array([1.0, 1, 1, 0]), "b": np.array([0.5, 0.7, 0.2, 0.3])}
    units = {"a": ["x", "x", "x", "y"], "b": ["x", "y", "y", "z"]}
    found = interval(values, units_by_stratum=units, **SETTINGS)
    assert found.mean == pytest.approx((0.75 + 0.425) / 2)
    renamed = {"a": ["2", "2", "2", "3"], "b": ["k", "l", "l", "m"]}
    assert interval(values, units_by_stratum=renamed, **SETTINGS) == found
    with pytest.raises(ShapeError, match="'b' has 4 scores, but 3 images of them are named"):
        interval(values, units_by_stratum={**units, "b": ["x", "y", "z"]}, **SETTINGS)
    strata = ["a"] * 4 + ["b"] * 4
    both, named = np.concatenate(list(values.values())), [*units["a"], *units["b"]]
    paired = paired_difference(both, 0 * both, strata, units=named, **SETTINGS)
    assert (paired.mean, paired.low, paired.high) == pytest.approx(
        (found.mean, found.low, found.high)
    )


def test_the_interval_is_as_wide_as_theory_says():
    values = np.random.default_rng(1).normal(0, 1, 400)
    found = interval({"dis": values}, n_resamples=4000, confidence=0.95, seed=0)
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.06)


@pytest.mark.slow  # it times, which other work beside it disturbs
def test_ten_thousand_draws_of_240_images_take_well_under_half_a_second():
    values, strata = np.random.default_rng(0).random(240), list("abcd") * 60
    start = time.process_time()
    paired_difference(values, values[::-1], strata, n_resamples=10_000, confidence=0.95, seed=0)
    assert time.process_time() - start < 0.5


def test_values_are_split_by_benchmark_in_their_order():
    found = {k: v.tolist() for k, v in by_stratum(np.array([1.0, 2.0, 3.0]), ["b", "a", "b"])}
    assert found == {"a": [2.0], "b": [1.0, 3.0]}


def test_unequal_lengths_are_refused_with_both_sizes():
    with pytest.raises(ShapeError, match=r"\(3,\) and \(2,\) scores for 3 images"):
        paired_difference(np.ones(3), np.ones(2), ["a"] * 3, **SETTINGS)


def test_scores_of_three_dimensions_are_refused():
    with pytest.raises(ShapeError, match=r"\(S, n\); got \(2, 2, 2\)"):
        interval({"dis": np.ones((2, 2, 2))}, **SETTINGS)


def test_benchmarks_scored_with_different_numbers_of_seeds_are_refused():
    with pytest.raises(ShapeError, match=r"scored with \[1, 2\] seeds"):
        interval({"dis": np.ones((2, 3)), "thin": np.ones(3)}, **SETTINGS)


def test_two_models_of_two_and_three_seeds_are_not_compared():
    with pytest.raises(ShapeError, match=r"\(2, 3\) and \(3, 3\) scores for 3 images"):
        paired_difference(np.ones((2, 3)), np.ones((3, 3)), ["a"] * 3, **SETTINGS)


def test_a_model_without_seeds_is_held_against_every_seed_of_the_other():
    b = np.linspace(0, 1, 30)
    found = paired_difference(np.stack([b + 0.1, b + 0.3]), b, ["dis"] * 30, **SETTINGS)
    assert found.mean == pytest.approx(0.2)
    assert found.seeds == 2
    assert found.better == 1.0


def test_seeds_that_disagree_widen_the_interval_and_one_seed_repeated_does_not():
    values = np.random.default_rng(3).normal(0.5, 0.05, 60)
    alone = interval({"dis": values}, **SETTINGS)
    repeated = interval({"dis": np.stack([values] * 3)}, **SETTINGS)
    spread = interval({"dis": np.stack([values - 0.1, values, values + 0.1])}, **SETTINGS)
    assert repeated.low == pytest.approx(alone.low, abs=0.002)
    assert spread.high - spread.low > 3 * (alone.high - alone.low)


def test_the_p_value_falls_below_its_level_when_the_interval_leaves_zero():
    base = np.linspace(0, 1, 40)
    noise = np.random.default_rng(0).normal(0, 0.1, 40)
    for shift in np.linspace(-0.06, 0.06, 13):
        found = paired_difference(
            base + noise + shift, base, ["a"] * 40, n_resamples=2000, confidence=0.95, seed=0
        )
        if abs(found.p - 0.05) > 0.005:  # at the level itself the two may round apart
            assert (found.p < 0.05) == (found.low > 0 or found.high < 0)


def test_one_image_per_benchmark_says_nothing_about_the_next():
    found = paired_difference(np.ones(2), np.zeros(2), ["a", "b"], **SETTINGS)
    assert (found.mean, found.low, found.high, found.p) == (1.0, -np.inf, np.inf, 1.0)
    assert found.verdict == "no difference shown"


def test_a_certain_difference_still_has_no_p_value_of_zero():
    found = paired_difference(np.ones(20), np.zeros(20), ["a"] * 20, **SETTINGS)
    assert found.p == pytest.approx(2 / 201)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({}, "There is no benchmark"),
        ({"dis": np.array([])}, "'dis' holds no scored image"),
        ({"dis": np.array([0.5, np.nan])}, "'dis' holds 1 scores that are not finite, of 2"),
    ],
)
def test_unusable_scores_are_refused(groups, message):
    with pytest.raises(DataError, match=message):
        interval(groups, **SETTINGS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_resamples": 0}, "report.n_resamples is 0"),
        ({"confidence": 1.0}, "report.confidence is 1.0"),
        ({"confidence": 0.0}, "report.confidence is 0.0"),
    ],
)
def test_impossible_settings_are_refused(change, message):
    with pytest.raises(ParamsError, match=message):
        interval({"dis": np.ones(3)}, **{**SETTINGS, **change})


MANY = {"n_resamples": 150, "confidence": 0.95, "seed": 3}


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(2, 30), st.integers(2, 30), st.integers(1, 4))
def test_many_comparisons_at_once_are_those_of_the_report(seed, n, m, pairs):
    generator = np.random.default_rng(seed)
    values = {
        "dis": generator.normal(0, 5, (pairs, 2, n)),
        "thin": generator.normal(1, 2, (pairs, 2, m)),
    }
    strata = ["dis"] * n + ["thin"] * m
    units = [f"image {i // 2}" for i in range(n)] + [f"image {i}" for i in range(m)]
    by_name = {"dis": units[:n], "thin": units[n:]}
    found = estimate_many(values, units_by_stratum=by_name, **MANY)
    for pair in range(pairs):
        delta = np.concatenate([values[name][pair] for name in values], axis=1)
        alone = paired_difference(delta, 0 * delta, strata, units=units, **MANY)
        assert found.mean[pair] == pytest.approx(alone.mean)
        assert found.low[pair] == pytest.approx(alone.low)
        assert found.high[pair] == pytest.approx(alone.high)
        assert found.p[pair] == pytest.approx(alone.p)


def test_no_difference_at_all_has_an_interval_of_no_width():
    found = estimate_many({"dis": np.zeros((2, 1, 5))}, **MANY)
    assert found.low.tolist() == found.high.tolist() == [0.0, 0.0]
    assert found.p.tolist() == [1.0, 1.0]


def test_no_benchmark_is_an_error():
    with pytest.raises(DataError, match="no benchmark"):
        estimate_many({}, **MANY)


p_values = st.lists(st.floats(0, 1), min_size=1, max_size=8)


def test_the_smallest_is_held_against_all_and_the_largest_against_itself():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


@given(p_values)
def test_adjusting_never_makes_a_finding_stronger_and_keeps_its_order(values):
    adjusted = holm(values)
    assert all(p <= a <= 1 for p, a in zip(values, adjusted, strict=True))
    ranked = [a for _, a in sorted(zip(values, adjusted, strict=True))]
    assert ranked == sorted(ranked)


@given(p_values, st.randoms())
def test_a_row_gets_the_same_value_wherever_it_stands(values, random):
    places = list(range(len(values)))
    random.shuffle(places)
    shuffled = holm([values[place] for place in places])
    straight = holm(values)
    assert shuffled == pytest.approx([straight[place] for place in places])


def test_a_table_of_one_row_needs_no_correction_and_an_empty_one_is_fine():
    assert holm([0.03]) == [0.03]
    assert holm([]) == []


def test_a_value_that_is_no_probability_is_refused():
    for value in (1.2, -0.1, float("nan")):
        with pytest.raises(DataError, match=rf"\[0, 1\]; got \[{value}\]"):
            holm([0.5, value])


# The fast form of the tables in docs/statistics.md. Of 60 tables, 600 intervals: a coverage of 95 %
# is measured with an error of 1 to 2 points, a rate of 5 % of tables with one of 3.
QUICK = {"tables": 60, "n_resamples": 600, "seed": 1}
HARDEST = [
    "one seed, four of 60 images",
    "3 seeds, four of 60 images, spread 0",
    "3 seeds, four of 60 images, spread 4",
    "8 seeds, four of 60 images, spread 2",
    "one seed, 60 photographs of 5 masks, correlation 0.3",
]
USUAL = "8 seeds that vary by 0.6 points"
"""More than the seeds of most pairs of the default run differ."""


@cache
def quick(name):
    return simulate(EQUAL[name], **QUICK)


@pytest.mark.parametrize("name", HARDEST)
def test_equal_models_are_told_apart_no_more_often_than_the_level_says(name):
    found = quick(name)
    assert found.coverage >= 0.92
    assert found.single <= 0.08
    assert found.tables <= 0.12


def test_a_gain_of_two_points_is_shown_by_eight_seeds_and_not_by_three():
    eight = simulate(GAINS[USUAL], **QUICK)
    assert eight.shown >= 0.8
    assert eight.coverage >= 0.93
    assert simulate(GAINS["3 seeds that vary by 0.6 points"], **QUICK).shown <= 0.5


@pytest.fixture(scope="module")
def printed(root):
    """The two tables of docs/statistics.md: numbers in per cent, by name of the design."""
    text = (root / "docs/statistics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+) \| ([\d.]+) % \| ([\d.]+) % \| ([\d.]+) % \|$", text, re.M)
    return {name: tuple(map(float, numbers)) for name, *numbers in rows}


def test_the_document_prints_every_design_and_each_keeps_its_promise(printed):
    assert list(printed) == [*EQUAL, *GAINS]
    for name in EQUAL:
        coverage, _, tables = printed[name]
        assert (coverage >= 93, tables <= 7) == (True, True), name
    for name in GAINS:
        coverage, shown, tables = printed[name]
        assert (coverage >= 93, tables <= 7) == (True, True), name
    assert printed[USUAL][1] >= 80


@pytest.mark.parametrize("name", HARDEST)
def test_what_the_document_prints_is_what_is_simulated(name, printed):
    """Of 60 tables and 600 intervals to the error of the quick form; the slow tests go on."""
    found = quick(name)
    coverage, single, tables = printed[name]
    assert 100 * found.coverage == pytest.approx(coverage, abs=3)
    assert 100 * found.single == pytest.approx(single, abs=3)
    assert 100 * found.tables == pytest.approx(tables, abs=8)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*EQUAL, *GAINS])
def test_the_whole_simulation_gives_the_numbers_of_the_document(name, printed):
    equal = name in EQUAL
    found = simulate((EQUAL if equal else GAINS)[name], tables=2000, n_resamples=4000,
                     seed=1 if equal else 2)  # fmt: skip
    numbers = found.coverage, found.single if equal else found.shown, found.tables
    assert [round(100 * value, 1) for value in numbers] == pytest.approx(printed[name], abs=0.25)


def test_masks_of_one_image_taken_for_independent_evidence_would_not_cover():
    """The reason for units: the same data, resampled by mask."""
    photographs = Design(seeds=1, images=(60,), masks=5, correlation=0.3)
    generator = np.random.default_rng(0)
    hits = {"by image": 0, "by mask": 0}
    for _ in range(300):
        shared = np.repeat(generator.normal(0, np.sqrt(photographs.correlation), 60), 5)
        values = shared + generator.normal(0, np.sqrt(1 - photographs.correlation), 300)
        units = {"photos": [str(i // 5) for i in range(300)]}
        for how, given_units in (("by image", units), ("by mask", None)):
            found = interval(
                {"photos": values}, units_by_stratum=given_units,
                n_resamples=300, confidence=0.95, seed=0,
            )  # fmt: skip
            hits[how] += found.low <= 0 <= found.high
    assert hits["by image"] / 300 >= 0.93
    assert hits["by mask"] / 300 <= 0.88


def test_the_mean_is_per_mask_however_the_masks_share_images():
    values = np.array([0.1, 0.2, 0.9, 0.8, 0.4])
    alone = interval({"a": values}, **SETTINGS)
    shared = interval({"a": values}, units_by_stratum={"a": ["x", "x", "y", "y", "z"]}, **SETTINGS)
    assert shared.mean == alone.mean == pytest.approx(values.mean())
    assert shared.low != alone.low


def test_every_mask_an_image_of_its_own_is_what_no_units_mean():
    values = np.linspace(0, 1, 30)
    units = {"a": [f"{i:02d}" for i in range(30)]}
    assert interval({"a": values}, units_by_stratum=units, **SETTINGS) == interval(
        {"a": values}, **SETTINGS
    )


def test_other_units_than_masks_are_refused():
    with pytest.raises(ShapeError, match="'a' has 3 scores, but 2 images"):
        interval({"a": np.ones(3)}, units_by_stratum={"a": ["x", "y"]}, **SETTINGS)


def test_fewer_than_three_seeds_carry_no_p_and_one_speaks_of_these_weights():
    assert statistics.SEEDS_FOR_P == 3
    assert worded("gain shown", 1) == "gain shown for these weights"
    assert worded("gain shown", 3) == "gain shown"
    assert worded("no difference shown", 1) == "no difference shown"


def test_seeds_that_alone_differ_have_students_interval():
    """Three seeds, two degrees of freedom: computed once more by its table."""
    values = np.repeat([[0.0], [1.0], [2.0]], 50, axis=1)
    found = paired_difference(
        values, 0 * values, ["a"] * 50, n_resamples=20_000, confidence=0.9, seed=0
    )
    error = 1 / np.sqrt(3)
    assert found.high - 1 == pytest.approx(1 - found.low, rel=0.01)
    assert found.high - 1 == pytest.approx(stats.t.ppf(0.95, 2) * error, rel=0.01)
    assert found.p == pytest.approx(2 * stats.t.sf(1 / error, 2), rel=0.02)


def test_seeds_and_images_together_have_the_interval_of_behrens_and_fisher():
    """The quantile of the sum of two Student's, integrated instead of drawn."""
    generator = np.random.default_rng(6)
    values = generator.normal(0, 1, (4, 80)) * 0.3 + generator.normal(0, 1, 80)
    values += np.array([-0.2, 0.0, 0.1, 0.3])[:, None] + 0.4
    by_image = np.sqrt(values.mean(axis=0).var(ddof=1) / 80)
    by_seed = values.mean(axis=1).std(ddof=1) / 2
    nodes = stats.t.ppf((np.arange(2_000) + 0.5) / 2_000, 3)

    def beyond(x):
        return 2 * stats.t.sf((x - by_seed * nodes) / by_image, 79).mean()

    edges = np.linspace(0, 1, 301)
    reach = edges[np.argmax([beyond(x) <= 0.05 for x in edges])]
    found = paired_difference(
        values, 0 * values, ["a"] * 80, n_resamples=40_000, confidence=0.95, seed=1
    )
    assert (found.high - found.low) / 2 == pytest.approx(reach, rel=0.02)
    assert found.p == pytest.approx(beyond(abs(found.mean)), rel=0.15)


def test_units_of_very_unequal_size_have_the_freedom_of_fewer():
    """The whole computation once more, for thirty groups of 1 to 30 masks."""
    sizes = np.tile([1, 2, 3, 4, 5, 6, 7, 8, 20, 30], 3)
    names = [f"{number:02d}" for number in range(30)]
    values = np.random.default_rng(7).normal(0, 1, sizes.sum())
    units = np.repeat(names, sizes)
    sums = np.array([values[units == unit].sum() for unit in names])
    draws = np.random.default_rng([3, zlib.crc32(b"dis")])
    picked = draws.integers(len(sizes), size=(500, len(sizes) - 1))
    means = sums[picked].sum(axis=1) / sizes[picked].sum(axis=1)
    freedom = (sizes**2).sum() ** 2 / (sizes**4).sum() - 1  # 5.9, of equal sizes it were 29
    wider = stats.t.ppf(0.975, freedom) / stats.norm.ppf(0.975)
    found = interval(
        {"dis": values}, units_by_stratum={"dis": list(units)}, n_resamples=500, confidence=0.95,
        seed=3,
    )  # fmt: skip
    assert found.low == pytest.approx(
        values.mean() + wider * (np.quantile(means, 0.025) - values.mean())
    )


@pytest.mark.parametrize("sizes", [(3, 4, 5, 6, 8), (1, 9), (2,) * 10])
def test_few_units_have_students_interval_and_p_value(sizes):
    """Computed once more by its table; of groups of 1 and 9 masks there is one freedom left."""
    sizes, names = np.array(sizes), list("abcdefghij"[: len(sizes)])
    values = np.random.default_rng(7).normal(0.4, 1, sizes.sum())
    units = np.repeat(names, sizes)
    rests = [(values[units == unit] - values.mean()).sum() for unit in names]
    error = np.sqrt(np.sum(np.square(rests)) * len(sizes) / (len(sizes) - 1)) / sizes.sum()
    freedom = max(1.0, (sizes**2).sum() ** 2 / (sizes**4).sum() - 1)
    found = paired_difference(
        values, 0 * values, ["dis"] * len(values), units=list(units), n_resamples=20_000,
        confidence=0.9, seed=3,
    )  # fmt: skip
    reach = stats.t.ppf(0.95, freedom) * error
    assert (found.low, found.high) == pytest.approx(
        (values.mean() - reach, values.mean() + reach), rel=0.01
    )
    assert found.p == pytest.approx(2 * stats.t.sf(abs(values.mean()) / error, freedom), rel=0.02)


@pytest.mark.parametrize("images", [(2,), (3,), (5,), (10,), (2, 30, 30, 30), (4, 4, 4, 4)])
def test_two_images_or_ten_of_equal_models_cry_wolf_no_more_often_than_sixty(images):
    """Resampled they would: one pair of images in ten had the least p-value that there is."""
    generator = np.random.default_rng(0)
    groups = {f"set {i}": generator.normal(0, 1, (4000, 1, n)) for i, n in enumerate(images)}
    found = estimate_many(groups, n_resamples=999, confidence=0.95, seed=1)
    outside = (found.low > 0) | (found.high < 0)
    assert outside.mean() < 0.062
    assert (found.p < 0.05).mean() < 0.062
    assert (found.p <= 0.004).mean() < 0.009


def test_very_unequal_benchmarks_have_welch_and_satterthwaites_degrees_of_freedom():
    """The whole computation once more, for three benchmarks of 6, 10 and 80 images."""
    generator = np.random.default_rng(5)
    groups = {
        name: generator.normal(0, sigma, n)
        for name, n, sigma in (("a", 6, 9.0), ("b", 10, 1.0), ("c", 80, 4.0))
    }
    variances = {name: v.var(ddof=1) / len(v) / 9 for name, v in groups.items()}
    freedom = sum(variances.values()) ** 2 / sum(
        variance**2 / (len(groups[name]) - 1) for name, variance in variances.items()
    )
    means = []
    for name, values in groups.items():
        draws = np.random.default_rng([3, zlib.crc32(name.encode())])
        picked = draws.integers(len(values), size=(500, len(values) - 1))
        means.append(values[picked].mean(axis=1))
    mean = np.mean([v.mean() for v in groups.values()])
    low = np.quantile(np.mean(means, axis=0), 0.025)
    expected = mean + (stats.t.ppf(0.975, freedom) / stats.norm.ppf(0.975)) * (low - mean)
    settings = {"n_resamples": 500, "confidence": 0.95, "seed": 3}
    assert interval(groups, **settings).low == pytest.approx(expected)
