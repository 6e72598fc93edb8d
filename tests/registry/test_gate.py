"""The gate promotes what is better and harms nothing, and says why."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pasam.config.presets import compose
from pasam.config.requirements import GateParams
from pasam.config.section import checked
from pasam.errors import DataError, ParamsError
from pasam.evaluation.statistics import paired_difference
from pasam.registry import gate
from pasam.registry.gate import (
    PROMOTE,
    REEVALUATE,
    REJECT,
    EvaluationKey,
    GateCheck,
    GateDecision,
    Preconditions,
    ScoredModel,
    _floors,
    _latency,
    draw_deltas,
    gain_confidence,
    gains_of,
    judge,
    passes,
    per_image,
    simulate,
    simulate_tries,
)

BENCHMARKS = ("dis", "coift", "hrsod", "thin")
FACTS = Preconditions(
    clean=True, pushed=True, local_allowed=False, validation="passed", weights="real",
    reload_parity=True, remeasured=0.0,
)  # fmt: skip
HOW = EvaluationKey(evaluation_set="e1", evaluator="v1")


@pytest.fixture(scope="module")
def params(root):
    content = compose("paper", root / "params")["gate"]
    less = {"n_resamples": 400, "floor_mean": 40.0, "floor_benchmark": 20.0, "attempts": 1}
    return GateParams(**content | less)


def table(values, model="pa_sam", prompt="box"):
    """Scores of one model; `values` are boundary IoU in [0, 1] by benchmark."""
    return pd.DataFrame(
        [
            {"model": model, "benchmark": name, "image_id": f"{name}/{i:03d}",
             "group": f"{name}/{i:03d}", "prompt": prompt, "boundary_iou": float(value)}
            for name, row in values.items()
            for i, value in enumerate(row)
        ]
    )  # fmt: skip


def scores(seed=0, n=30, shift=0.0, shifts=None):
    generator = np.random.default_rng(seed)
    return {
        name: np.clip(generator.uniform(0.45, 0.62, n) + (shifts or {}).get(name, shift), 0, 1)
        for name in BENCHMARKS
    }


def with_another_image():
    """As many rows as `scores` makes, one of them of another image."""
    return table(scores()).replace({"image_id": {"dis/007": "dis/new"}})


def side(values, *, measured=HOW, latency=50.0):
    return ScoredModel(scores=table(values), measured=measured, latency_ms=latency)


def check(decision, name):
    return next(c for c in decision.checks if c.name == name)


def test_the_first_version_needs_only_the_floors(params):
    decision = judge(side(scores()), None, FACTS, params)
    assert decision.decision == PROMOTE
    assert decision.gains == {}
    assert decision.mean_gain is None
    assert {c.name for c in decision.checks} >= {"floor mean", "floor dis", "latency", "tree"}


def test_a_first_version_below_a_floor_is_rejected_with_both_numbers(params):
    decision = judge(side(scores(shifts={"thin": -0.55})), None, FACTS, params)
    assert decision.decision == REJECT
    assert len(decision.reasons) == 1
    assert decision.reasons[0].startswith("thin: boundary IoU ")
    assert decision.reasons[0].endswith("at least 20.00 is asked for")


def test_a_mean_below_its_floor_is_rejected_though_every_benchmark_is_above_its_own(params):
    thirty = {name: np.full(30, 0.3) for name in BENCHMARKS}
    decision = judge(side(thirty), None, FACTS, params)
    assert [c.name for c in decision.checks if not c.passed] == ["floor mean"]
    assert "mean: boundary IoU 30.00, at least 40.00" in decision.reasons[0]


def test_a_clear_gain_everywhere_is_promoted(params):
    decision = judge(side(scores(shift=0.05)), side(scores()), FACTS, params)
    assert decision.accepted
    assert decision.mean_gain.mean == pytest.approx(5.0)
    assert decision.mean_gain.images == 120
    assert decision.gains["dis"].std < 2  # a shift for all, but for what 1 cuts off


def test_the_same_scores_again_show_no_gain(params):
    decision = judge(side(scores()), side(scores()), FACTS, params)
    assert not decision.accepted
    assert [c.name for c in decision.checks if not c.passed] == ["gain"]
    found = "gain +0.00 on 120 images (judgement 1 on them), 95% lower bound +0.00, above +0.00"
    assert found in decision.reasons[0]
    alone = judge(side(scores(n=1)), side(scores(n=1)), FACTS, params)
    assert "which one image of a benchmark leaves nothing to estimate from" in alone.reasons[0]


def test_one_harmed_benchmark_blocks_a_better_mean(params):
    better = dict.fromkeys(BENCHMARKS, 0.08) | {"thin": -0.03}
    decision = judge(side(scores(shifts=better)), side(scores()), FACTS, params)
    assert decision.mean_gain.low > 0
    assert [c.name for c in decision.checks if not c.passed] == ["no harm thin"]


def noisy(mean, std=0.06, n=30):
    """Scores of a champion and of a candidate that is ahead by `mean`, give or take `std`."""
    champion, generator = scores(n=n), np.random.default_rng(7)
    noise = {name: generator.normal(0, std, n) for name in BENCHMARKS}
    candidate = {
        name: champion[name] + mean + noise[name] - noise[name].mean() for name in BENCHMARKS
    }
    return candidate, champion


def test_a_gain_that_the_images_do_not_show_is_no_gain(params):
    candidate, champion = noisy(0.003)
    decision = judge(side(candidate), side(champion), FACTS, params)
    assert decision.mean_gain.mean == pytest.approx(0.3)
    assert decision.mean_gain.low < 0
    assert not check(decision, "gain").passed


def test_a_benchmark_that_may_be_harmed_counts_as_harmed(params):
    champion = scores()
    unsure = np.random.default_rng(3).normal(0, 0.12, 30)
    candidate = {name: champion[name] + 0.05 for name in BENCHMARKS}
    candidate["thin"] = champion["thin"] + unsure - unsure.mean()
    decision = judge(side(candidate), side(champion), FACTS, params)
    assert decision.gains["thin"].mean == pytest.approx(0.0, abs=1e-9)
    assert decision.gains["thin"].low < -params.margin
    assert [c.name for c in decision.checks if not c.passed] == ["no harm thin"]


def test_a_benchmark_called_mean_stands_beside_the_mean(params):
    names = {"mean": 0.05, "dis": 0.09}
    champion = {name: np.full(20, 0.5) for name in names}
    candidate = {name: champion[name] + gain for name, gain in names.items()}
    decision = judge(side(candidate), side(champion), FACTS, params)
    assert decision.scores == pytest.approx({"dis": 59.0, "mean": 55.0})
    assert decision.mean_score == pytest.approx(57.0)
    assert {name: gain.mean for name, gain in decision.gains.items()} == pytest.approx(
        {"dis": 9.0, "mean": 5.0}
    )
    assert decision.mean_gain.mean == pytest.approx(7.0)
    assert decision.mean_gain.images == 40


def test_a_loss_exactly_as_large_as_the_margin_is_harm(params):
    worse = dict.fromkeys(BENCHMARKS, 0.05) | {"coift": -params.margin / 100}
    decision = judge(side(scores(shifts=worse)), side(scores()), FACTS, params)
    assert not decision.accepted


@pytest.mark.parametrize(
    ("changes", "name", "word"),
    [
        ({"clean": False}, "tree", "dirty"),
        ({"pushed": False}, "tree", "not pushed"),
        ({"validation": "failed"}, "data", "failed"),
        ({"validation": "not validated"}, "data", "not validated"),
        ({"weights": "generated data"}, "weights", "generated data, barred by gate.allow"),
        ({"reload_parity": False}, "reload", "do not predict"),
        ({"remeasured": 0.6}, "evidence", "differs by 0.60 points from the scores, at most 0.50"),
        ({"remeasured": float("nan")}, "evidence", "differs by nan points"),
        ({"validation": "failed", "local_allowed": True}, "data", "failed"),
    ],
)
def test_a_missing_precondition_bars_even_the_best_scores(changes, name, word, params):
    facts = dataclasses.replace(FACTS, **changes)
    decision = judge(side(scores(shift=0.1)), side(scores()), facts, params)
    assert decision.decision == REJECT
    assert [c.name for c in decision.checks if not c.passed] == [name]
    assert word in decision.reasons[0]


@pytest.mark.parametrize("changes", [{"clean": False}, {"validation": "not validated"}])
def test_a_person_may_allow_a_local_trial_and_the_decision_says_so(changes, params):
    facts = dataclasses.replace(FACTS, local_allowed=True, **changes)
    decision = judge(side(scores()), None, facts, params)
    assert decision.accepted
    assert sum("which --allow-local permits" in reason for reason in decision.reasons) == 1


def test_generated_data_may_be_allowed_and_stays_labelled(params):
    facts = dataclasses.replace(FACTS, weights="generated data")
    allowed = params.replaced(allow_generated=True)
    decision = judge(side(scores()), None, facts, allowed)
    assert decision.accepted
    assert "generated data, allowed by gate.allow_generated" in check(decision, "weights").reason
    barred = check(judge(side(scores()), None, facts, params), "weights")
    assert barred.reason.startswith(
        "the weights are of generated data, barred by gate.allow_generated; true there in params"
    )
    assert "pasam registry gate --adopt" in barred.reason, "the second of two steps"
    real = check(judge(side(scores()), None, FACTS, params), "weights")
    assert real.reason == f"the weights are of {FACTS.weights}"


@pytest.mark.parametrize(
    ("champion", "word"),
    [
        (
            side(scores(), measured=EvaluationKey(evaluation_set="e2", evaluator="v1")),
            "evaluation sets",
        ),
        (side(scores(), measured=EvaluationKey(evaluation_set="e1", evaluator="v2")), "evaluators"),
        (side({"dis": [0.5], "thin": [0.5]}), "images"),
        (ScoredModel(scores=with_another_image(), measured=HOW, latency_ms=50.0), "images"),
    ],
)
def test_what_was_measured_differently_is_measured_again_before_anything_is_said(
    champion, word, params
):
    decision = judge(side(scores(shift=0.1)), champion, FACTS, params)
    assert decision.decision == REEVALUATE
    assert word in decision.reasons[0]


@pytest.mark.parametrize(("ours", "passes"), [(64.0, True), (66.0, False), (float("nan"), False)])
def test_a_candidate_may_not_be_much_slower_than_the_champion(ours, passes, params):
    candidate = side(scores(shift=0.1), latency=ours)
    assert params.latency_ratio == 1.3
    decision = judge(candidate, side(scores(), latency=50.0), FACTS, params)
    assert decision.accepted is passes
    assert check(decision, "latency").passed is passes


def test_where_latency_is_advisory_a_slow_candidate_is_told_and_not_refused(params):
    slow = side(scores(shift=0.1), latency=params.latency_ms + 1)
    decision = judge(slow, side(scores()), FACTS, params.replaced(latency="advisory"))
    assert decision.accepted
    assert "advisory, so that this refuses nothing" in check(decision, "latency").reason
    assert "advi" not in _latency(1.0, None, params.replaced(latency="advisory")).reason


def test_without_a_champions_time_the_limit_is_the_stated_one(params):
    candidate = side(scores(shift=0.1), latency=params.latency_ms + 1)
    decision = judge(candidate, side(scores(), latency=float("nan")), FACTS, params)
    assert [c.name for c in decision.checks if not c.passed] == ["latency"]


def test_several_prompts_of_an_image_count_as_one_image():
    values = {"dis": [0.2, 0.4]}
    both = pd.concat([table(values), table({"dis": [0.4, 0.8]}, prompt="points")])
    assert per_image(both).tolist() == pytest.approx([30.0, 60.0])


def test_two_models_in_one_table_are_refused_by_name(params):
    both = pd.concat([table(scores()), table(scores(), model="hq_sam")])
    mixed = ScoredModel(scores=both, measured=HOW, latency_ms=1.0)
    with pytest.raises(DataError, match=r"those of \['hq_sam', 'pa_sam'\]"):
        judge(mixed, None, FACTS, params)


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.floats(-0.1, 0.1))
def test_bounds_are_those_of_the_reports_own_bootstrap(seed, shift):
    params = GateParams(
        mode="on", model="m", minimum_gain=0.0, margin=1.0, confidence=0.95, n_resamples=200,
        attempts=1, seed=0, floor_mean=0.0, floor_benchmark=0.0, latency_ms=1.0, latency_ratio=1.0,
        latency="required", sealed=[], allow_generated=False,
    )  # fmt: skip
    ours, theirs = scores(seed), scores(seed + 1, shift=shift)
    mean, _ = gains_of(per_image(table(ours)), per_image(table(theirs)), params, level=0.95)
    strata = [name for name in BENCHMARKS for _ in range(30)]
    a, b = (np.concatenate([v[name] for name in BENCHMARKS]) * 100 for v in (ours, theirs))
    report = paired_difference(a, b, strata, n_resamples=200, confidence=0.95, seed=0)
    assert mean.low == pytest.approx(report.low)
    assert mean.mean == pytest.approx(report.mean)


def test_masks_of_one_image_or_group_are_one_piece_of_evidence(params):
    ours, theirs = table(scores(0, shift=0.01)), table(scores(1))
    alone, _ = gains_of(per_image(ours), per_image(theirs), params, level=0.95)
    together = [
        t.assign(group=t["image_id"].str[:-1])
        for t in (ours, theirs)  # ten masks a film
    ]
    shared, by_benchmark = gains_of(*(per_image(t) for t in together), params, level=0.95)
    assert (alone.images, shared.images, by_benchmark["dis"].images) == (120, 12, 3)
    assert shared.mean == pytest.approx(alone.mean)
    assert shared.low != pytest.approx(alone.low, abs=0.01)


GOOD = GateCheck(name="floor", passed=True, reason="high enough")
BAD = GateCheck(name="gain", passed=False, reason="no gain")


def test_a_rejection_gives_the_reasons_that_failed():
    decision = GateDecision(
        decision=REJECT, checks=(GOOD, BAD), mean_score=50.0, scores={}, gains={}
    )
    assert not decision.accepted
    assert decision.reasons == ("no gain",)


def test_an_acceptance_gives_every_reason():
    decision = GateDecision(decision=PROMOTE, checks=(GOOD,), mean_score=50.0, scores={}, gains={})
    assert decision.accepted
    assert decision.reasons == ("high enough",)


IMAGES = {"dis": 50, "coift": 50, "hrsod": 50, "thin": 50}


@pytest.fixture(scope="module")
def simulation_params(root):
    content = compose("default", root / "params")["gate"]
    return GateParams(**{**content, "n_resamples": 3000})


@pytest.mark.slow  # 500 years
def test_over_500_pairs_and_years_errors_stay_within_the_stated_rate_and_gains_are_found(
    simulation_params,
):
    rows = simulate(simulation_params, IMAGES, std=6.0, pairs=500)
    equal, worse, harmful, better, year, soon = rows
    stated = 1 - simulation_params.confidence
    assert max(equal.promoted, worse.promoted, harmful.promoted, year.promoted) <= stated
    assert year.promoted > equal.promoted  # 52 tries find more luck than one
    assert better.promoted >= 0.9
    assert soon.promoted >= 0.8
    assert all(row.holds for row in rows)


@pytest.mark.slow  # a second simulation of years
def test_few_images_do_not_raise_the_error_rate(simulation_params):
    few = dict.fromkeys(IMAGES, 12)
    equal, _, harmful, better, year, _ = simulate(simulation_params, few, std=6.0, pairs=500)
    errors = (equal.promoted, harmful.promoted, year.promoted)
    assert max(errors) <= 1 - simulation_params.confidence
    assert not better.holds  # what is too little to be found is said


def test_without_sharing_the_rate_a_year_of_tries_would_promote_equal_models(simulation_params):
    alone = simulation_params.replaced(attempts=1)
    lucky = simulate_tries(alone, IMAGES, gain=0.0, tries=2, std=6.0, years=500)
    assert lucky > simulate_tries(simulation_params, IMAGES, gain=0.0, tries=2, std=6.0, years=500)


@pytest.mark.parametrize(
    ("attempt", "level"), [(1, 1 - 0.1 / 52), (52, 1 - 0.1 / 52), (53, 1 - 0.05 / 52)]
)
def test_every_judgement_on_the_same_images_spends_its_part_of_the_error_rate(
    attempt, level, simulation_params
):
    assert gain_confidence(simulation_params, attempt) == pytest.approx(level)
    assert gain_confidence(simulation_params.replaced(attempts=1), 1) == 0.95


def test_a_later_judgement_asks_for_a_clearer_gain_and_says_which_it_is(params):
    candidate, champion = noisy(0.015)
    often = params.replaced(attempts=52, n_resamples=10_000)
    once = judge(side(candidate), side(champion), FACTS, params)
    assert once.accepted
    again = judge(side(candidate), side(champion), FACTS, often, attempt=105)
    assert [c.name for c in again.checks if not c.passed] == ["gain"]
    assert "(judgement 105 on them), 99.95% lower bound" in again.reasons[0]
    harms = [c.reason for c in again.checks if c.name.startswith("no harm")]
    usual = f"images, {100 * params.confidence:g}% lower bound"
    assert [usual in reason for reason in harms] == [True] * 4


@pytest.mark.parametrize("name", ["margin", "minimum_gain"])
def test_a_limit_beyond_all_scores_is_no_setting(name, root):
    content = compose("default", root / "params")["gate"]
    with pytest.raises(ParamsError, match=f"{name}.*points, 100 at most"):
        checked(GateParams, {**content, name: float("inf")}, "gate")


@pytest.mark.parametrize("value", [50.0, -0.1, float("nan"), float("inf")])
def test_a_score_that_is_none_is_refused_with_its_value(value, params):
    rows = table(scores())
    rows.loc[7, "boundary_iou"] = value
    broken = ScoredModel(scores=rows, measured=HOW, latency_ms=1.0)
    with pytest.raises(DataError, match=rf"1 of 120 scores are not in \[0, 1\].*{value}"):
        judge(broken, None, FACTS, params)


def test_masks_of_one_photograph_do_not_promote_equal_models(simulation_params):
    """60 photographs with 5 masks each, whose differences correlate by 0.3 within a photograph."""
    generator, pairs = np.random.default_rng(1), 400
    photographs = generator.normal(0, 6 * 0.3**0.5, (60, 1, pairs))
    masks = generator.normal(0, 6 * 0.7**0.5, (60, 5, pairs))
    deltas = {"own": (photographs + masks).reshape(300, pairs)}
    units = {"own": [str(i // 5) for i in range(300)]}
    lone = simulation_params.replaced(attempts=1, margin=100.0, n_resamples=1000)
    assert passes(deltas, lone, units=units).mean() <= 0.05
    assert passes(deltas, lone).mean() > 0.05  # what counting masks as images would promote


def test_differences_have_the_stated_mean_and_spread():
    deltas = draw_deltas({"dis": 1.5}, {"dis": 400}, std=6.0, pairs=200, seed=0)["dis"]
    assert deltas.shape == (400, 200)
    assert deltas.mean() == pytest.approx(1.5, abs=0.1)
    assert deltas.std() == pytest.approx(6.0, rel=0.05)


def test_all_bounds_have_to_hold_at_once(simulation_params):
    good, bad = np.full((50, 1), 5.0), np.full((50, 1), -3.0)
    assert passes({"a": good, "b": good}, simulation_params).all()
    assert not passes({"a": good, "b": bad}, simulation_params).any()
    wide = simulation_params.replaced(margin=9.0)  # of the mean the photographs are no part
    for one, other, passed in ((5.0, -8.0, True), (-1.0, 8.0, False)):
        deltas = {"a": np.full((50, 1), one), "photos": np.full((50, 1), other)}
        assert passes(deltas, wide).tolist() == [passed]
        assert gate._passing(deltas, wide, 1, np.ones(1, np.bool_)).tolist() == [passed]


def test_what_lies_exactly_at_its_limit_passes(params):
    at, below = params.floor_mean, params.floor_benchmark - 0.01
    floors = _floors(at, {"dis": params.floor_benchmark, "thin": below}, params)
    assert [c.passed for c in floors] == [True, True, False]
    assert _latency(params.latency_ms, None, params).passed
    assert not _latency(params.latency_ms + 0.01, None, params).passed


def test_photographs_of_packages_count_for_floors_and_harm_and_not_for_the_mean(params):
    def both(dis, photos):
        return {"dis": np.full(20, dis), "photos": np.full(10, photos)}

    decision = judge(side(both(0.6, 0.5)), side(both(0.5, 0.5)), FACTS, params)
    assert decision.accepted
    assert decision.mean_score == pytest.approx(60.0)
    assert (decision.mean_gain.mean, decision.mean_gain.images) == (pytest.approx(10.0), 20)
    assert set(decision.gains) == set(decision.scores) == {"dis", "photos"}
    harmed = judge(side(both(0.6, 0.4)), side(both(0.5, 0.5)), FACTS, params)
    assert [c.name for c in harmed.checks if not c.passed] == ["no harm photos"]
    low = judge(side(both(0.6, 0.1)), None, FACTS, params)
    assert [c.name for c in low.checks if not c.passed] == ["floor photos"]
    alone = judge(side({"photos": np.full(10, 0.5)}), None, FACTS, params)
    assert alone.mean_score == pytest.approx(50.0)


def test_benchmarks_of_unequal_sizes_weigh_the_same_in_the_mean_and_its_gain(params):
    ours = {"dis": np.full(5, 0.7), "coift": np.full(45, 0.5)}
    theirs = {"dis": np.full(5, 0.6), "coift": np.full(45, 0.46)}
    decision = judge(side(ours), side(theirs), FACTS, params)
    assert decision.mean_score == pytest.approx(60.0)
    assert decision.mean_gain.mean == pytest.approx((10 + 4) / 2)
    assert {n: g.images for n, g in decision.gains.items()} == {"dis": 5, "coift": 45}


def test_the_level_is_that_of_the_mean_alone_and_seed_and_resamples_are_the_gates(params):
    ours, theirs = (per_image(table(values)) for values in noisy(0.01))
    mean, each = gains_of(ours, theirs, params, level=0.95)
    wide, same = gains_of(ours, theirs, params, level=0.999)
    assert same == each, "harm is judged at the gate's own level"
    assert wide.low < mean.low
    assert wide.mean == mean.mean
    assert each["dis"].std == pytest.approx(float((ours - theirs)["dis"].std(ddof=0)))
    for changes in ({"seed": params.seed + 1}, {"n_resamples": 401}):
        other, others = gains_of(ours, theirs, params.replaced(**changes), level=0.95)
        assert other.low != mean.low
        assert others["dis"].low != each["dis"].low
    surer = gains_of(ours, theirs, params.replaced(confidence=0.99), level=0.95)
    assert surer[0] == mean
    assert all(surer[1][name].low < each[name].low for name in BENCHMARKS)


NOT_SHARED = {"clean": False, "pushed": False, "validation": "not validated"}


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({}, {"tree", "data"}),
        ({"local_allowed": True}, set()),
        ({"local_allowed": True, "validation": "failed"}, {"data"}),
        ({"local_allowed": True, "validation": "passed"}, set()),
        ({"local_allowed": True, "reload_parity": False, "weights": "x"}, {"reload", "weights"}),
        ({"remeasured": 0.5}, {"tree", "data"}),
        ({"remeasured": 0.51}, {"tree", "data", "evidence"}),
    ],
)
def test_several_facts_at_once_are_each_judged_for_themselves(changes, failed, params):
    facts = dataclasses.replace(FACTS, **NOT_SHARED | changes)
    decision = judge(side(scores()), None, facts, params)
    assert {c.name for c in decision.checks if not c.passed} == failed
    excused = {c.name for c in decision.checks if "--allow-local permits" in c.reason}
    validated = facts.validation != "not validated"
    wanted = {"tree"} if validated else {"tree", "data"}
    assert excused == (wanted if facts.local_allowed else set())


@pytest.mark.parametrize(
    ("ours", "theirs", "changes", "passed"),
    [
        (65.0, 50.0, {}, True),  # 1.3 times as long
        (65.1, 50.0, {}, False),
        (130.0, 200.0, {"latency_ms": 130.0}, True),  # beside a slow champion the stated limit
        (131.0, 200.0, {"latency_ms": 130.0}, False),
        (500.0, 50.0, {"latency": "advisory"}, True),
        (float("nan"), 50.0, {"latency": "advisory"}, False),
    ],
)
def test_the_narrower_of_two_limits_of_time_holds(ours, theirs, changes, passed, params):
    assert _latency(ours, theirs, params.replaced(**changes)).passed is passed


def test_the_smallest_gain_and_the_margin_are_the_gates_and_neither_is_enough_itself(params):
    values = {"dis": np.full(20, 0.5), "coift": np.full(20, 0.5)}
    ours = {"dis": np.full(20, 0.54), "coift": np.full(20, 0.49)}
    for asked, margin, failed in (
        (1.0, 2.0, []), (2.0, 2.0, ["gain"]), (1.0, 0.5, ["no harm coift"]),
        (3.0, 0.5, ["gain", "no harm coift"]),
    ):  # fmt: skip
        gate = params.replaced(minimum_gain=asked, margin=margin)
        decision = judge(side(ours), side(values), FACTS, gate)
        assert [c.name for c in decision.checks if not c.passed] == failed
        gains = check(decision, "gain").reason, check(decision, "no harm coift").reason
        assert f"above {asked:+.2f} is asked for" in gains[0]
        assert f"above {-margin:+.2f} is asked for" in gains[1]


@pytest.fixture
def drawn(monkeypatch):
    """Let every draw of the simulation be the number of its seed; return what was drawn."""
    seen = []

    def draw(true, images, *, std, pairs, seed):
        assert set(true.values()) == {0.0}
        seen.append((seed, std))
        return {name: np.full((n, pairs), float(seed)) for name, n in images.items()}

    monkeypatch.setattr(gate, "draw_deltas", draw)
    return seen


def test_a_simulated_year_judges_each_week_against_the_champion_of_then(params, drawn, monkeypatch):
    asked = []

    def passing(deltas, given, attempt, pairs):
        asked.append((given, attempt, pairs.tolist()))
        return np.array([True, False])

    monkeypatch.setattr(gate, "_passing", passing)
    found = gate.simulate_years(params, {"a": 2, "b": 3}, std=2.0, years=2, seed=5)
    assert asked == [(params, week, [True, True]) for week in range(1, 53)]
    assert found.promotions == 26  # all of one year of the two
    # The new one is the week before's champion and 7919 more; the sealed set is drawn apart.
    assert found.judged_excess == pytest.approx(7919)
    assert found.sealed_excess == pytest.approx(5 + 104729 * np.mean(range(1, 53)))
    true = np.random.default_rng([5, 1]).normal(0, 0.5, (52, 2))[:, 0]
    assert found.gain == pytest.approx(true.mean())
    assert drawn[0] == (5, pytest.approx(2**0.5))
    assert drawn[1:3] == [(5 + 7919, pytest.approx(2**0.5)), (5 + 104729, 2.0)]
    monkeypatch.setattr(gate, "_passing", lambda *given: np.zeros(2, bool))
    none = gate.simulate_years(params, {"a": 2}, std=2.0, years=2)
    assert dataclasses.astuple(none) == (0, 0, 0, 0)


def test_tries_of_a_year_are_judged_one_after_the_other_until_one_passes(
    params, drawn, monkeypatch
):
    asked = []

    def passing(deltas, given, attempt, pairs):
        asked.append((attempt, pairs.tolist(), deltas["a"][0].tolist()))
        return np.arange(3) == (2 if attempt == 1 else 0)

    monkeypatch.setattr(gate, "_passing", passing)
    share = simulate_tries(params, {"a": 2}, gain=1.5, tries=2, std=2.0, years=3, seed=5)
    assert share == pytest.approx(2 / 3)
    assert asked == [
        (1, [True, True, True], [7920.5] * 3), (2, [True, True, False], [2 * 7919 + 1.5] * 3)
    ]  # fmt: skip
