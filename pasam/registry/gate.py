"""The promotion gate: two tables of per-image scores and some facts in, a decision out.

A candidate is accepted when every check holds. Against a champion it must show a gain: the lower
bound of its mean gain in boundary IoU, paired by image and stratified by benchmark, lies above
the stated minimum; and it must show that it harms no benchmark: there the lower bound lies above
the negative margin (non-inferiority). A lower bound is the lower end of a two-sided interval: for
harm of the one that the report shows; for the gain of one that is wider, because the same images
are asked again and again. All bounds have to hold at once, so the chance that a model without gain
is promoted is at most 1 - confidence over all judgements of a year on one evaluation set, however
many benchmarks there are (Bonferroni: each may spend one part in `attempts` of it; those of the
next year share half, and so on). The first version has nothing to be compared with and must meet
the floors only.

`simulate` shows what the gate does to models whose true difference is known: its error rate and
its power. Differences per image are drawn from Student's t with five degrees of freedom, whose
tails are as heavy as those of two trained models' differences, scaled to a stated deviation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pasam.config.requirements import GateParams
from pasam.errors import DataError
from pasam.evaluation.scores import averaged
from pasam.evaluation.statistics import estimate_many, interval
from pasam.registry.versions import PROMOTE, REEVALUATE, REJECT

# Shapes: n images of a benchmark, P simulated pairs of models.

Values = NDArray[np.float64]

_FREEDOM = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class GateCheck:
    """One condition."""

    name: str
    passed: bool
    reason: str
    """What was found and what was expected, in one sentence."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gain:
    """How far the candidate is ahead, in points of boundary IoU."""

    mean: float
    low: float
    """Lower end of the interval."""
    std: float
    """Standard deviation of the difference per mask, within a benchmark."""
    images: int
    """Images, or groups of images, that the interval resampled."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GateDecision:
    """What the gate says, and why."""

    decision: str
    """`PROMOTE`, `REJECT` or `REEVALUATE`."""
    checks: tuple[GateCheck, ...]
    mean_score: float
    """The candidate's mean boundary IoU over benchmarks, in points."""
    scores: Mapping[str, float]
    """The same by benchmark."""
    mean_gain: Gain | None = None
    """Gain over the champion in the mean over benchmarks; None for a first version."""
    gains: Mapping[str, Gain]
    """The same by benchmark; empty for a first version."""

    @property
    def accepted(self) -> bool:
        """Whether the candidate may become champion."""
        return self.decision == PROMOTE

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why not, or, of an accepted candidate, why."""
        return tuple(c.reason for c in self.checks if self.accepted or not c.passed)


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationKey:
    """What a model was measured with; scores compare only where all of it is the same."""

    evaluation_set: str
    evaluator: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Preconditions:
    """What must be true of a candidate before its scores are looked at."""

    clean: bool
    """The working tree is committed, so that the version can be made again."""
    pushed: bool
    """A remote holds the commit."""
    local_allowed: bool
    """A person has said that neither is needed."""
    validation: str
    """Verdict on the data: `passed`, `failed` or `not validated`."""
    weights: str
    """`real`, or what makes them unreal: `generated data`, `small base`, `untrained`."""
    reload_parity: bool
    """The registered files, loaded again, predict what the trained ones do."""
    remeasured: float
    """Mean difference, in points, between the scores and those of a sample measured again now."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoredModel:
    """One of the two models that are compared."""

    scores: pd.DataFrame
    """Rows of `pasam.evaluation.scores` for this model alone."""
    measured: EvaluationKey
    latency_ms: float
    """Median time of one prediction of an embedded image; nan if it was not measured."""


LARGEST_DIFFERENCE = 0.5
"""Points by which scores may differ from a sample measured again, as on another processor."""


def gain_confidence(params: GateParams, attempt: int) -> float:
    """Level of the two-sided interval of the gain at a judgement on the same images, from 1."""
    year = (attempt - 1) // params.attempts
    tail = (1 - params.confidence) / params.attempts / 2**year
    return float(max(params.confidence, 1 - 2 * tail))


def judge(
    candidate: ScoredModel,
    champion: ScoredModel | None,
    facts: Preconditions,
    params: GateParams,
    *,
    attempt: int = 1,
) -> GateDecision:
    """Decide whether a candidate replaces the champion.

    Args:
        candidate: The new model.
        champion: The model in use, measured in the same way; None if there is none yet.
        facts: What holds of the candidate besides its scores.
        params: What is asked for.
        attempt: Which judgement against a champion on these images it is, from 1.

    Raises:
        DataError: A table is empty or holds another number of models than one.
    """
    ours = per_image(candidate.scores)
    mean, scores = benchmark_means(ours)
    checks = [*_preconditions(facts, params), *_floors(mean, scores, params)]
    if champion is None:
        checks.append(_latency(candidate.latency_ms, None, params))
        return _decision(checks, mean, scores)
    theirs = per_image(champion.scores)
    comparable = _comparable(candidate.measured, champion.measured, ours, theirs)
    if not comparable.passed:
        return GateDecision(
            decision=REEVALUATE, checks=(comparable,), mean_score=mean, scores=scores, gains={}
        )
    level = gain_confidence(params, attempt)
    mean_gain, gains = gains_of(ours, theirs, params, level=level)
    checks += _gain_checks(mean_gain, gains, params, level, attempt)
    checks.append(_latency(candidate.latency_ms, champion.latency_ms, params))
    return _decision(checks, mean, scores, mean_gain, gains)


def _decision(
    checks: list[GateCheck],
    mean: float,
    scores: Mapping[str, float],
    mean_gain: Gain | None = None,
    gains: Mapping[str, Gain] | None = None,
) -> GateDecision:
    return GateDecision(
        decision=PROMOTE if all(check.passed for check in checks) else REJECT,
        checks=tuple(checks), mean_score=mean, scores=scores, mean_gain=mean_gain,
        gains=gains or {},
    )  # fmt: skip


def per_image(scores: pd.DataFrame) -> pd.Series[float]:
    """Mean boundary IoU in points by benchmark, group and mask, over the prompts of a mask.

    The group (column `group` of the scores: the image, or what it belongs to) is what intervals
    resample.

    Raises:
        DataError: The table is empty, holds several models, or a score that is none.
    """
    models = sorted(scores["model"].unique())
    if len(models) != 1:
        raise DataError(
            f"a judgement needs the scores of one model on each side, got those of {models}. "
            "Evaluate the model first, or give its rows alone."
        )
    wrong = ~scores["boundary_iou"].between(0, 1)  # nan is between nothing
    if wrong.any():
        raise DataError(
            f"{int(wrong.sum())} of {len(scores)} scores are not in [0, 1], the first "
            f"{scores['boundary_iou'][wrong].iloc[0]!r}; a judgement needs every score. The table "
            "is damaged: evaluate the model again."
        )
    keys = ["benchmark", "group", "image_id"]
    means = scores.groupby(keys, sort=True)["boundary_iou"].mean() * 100
    return means.astype(float)


def benchmark_means(scores: pd.Series[float]) -> tuple[float, dict[str, float]]:
    """Average scores from `per_image`: over the benchmarks that a mean is of, and each of all."""
    means = scores.groupby(level="benchmark", sort=True).mean()
    every = {str(name): float(value) for name, value in means.items()}
    return float(means[averaged(every)].mean()), every


def gains_of(
    ours: pd.Series[float], theirs: pd.Series[float], params: GateParams, *, level: float
) -> tuple[Gain, dict[str, Gain]]:
    """Compare two models mask by mask; both have the same masks in the same order.

    Args:
        ours: The candidate's scores, from `per_image`.
        theirs: The champion's.
        params: The gate.
        level: Confidence of the interval of the gain in the mean.

    Returns:
        The gain in the mean over benchmarks, and that of every benchmark.
    """
    by_benchmark = (ours - theirs).groupby(level="benchmark", sort=True)
    deltas = {str(name): part for name, part in by_benchmark}
    each = {name: _gain({name: d}, params, params.confidence) for name, d in deltas.items()}
    return _gain({name: deltas[name] for name in averaged(deltas)}, params, level), each


def _gain(deltas: Mapping[str, pd.Series[float]], params: GateParams, level: float) -> Gain:
    groups = {name: delta.index.get_level_values("group") for name, delta in deltas.items()}
    found = interval(
        {name: np.asarray(delta, np.float64) for name, delta in deltas.items()},
        units_by_stratum={name: [str(one) for one in of] for name, of in groups.items()},
        n_resamples=params.n_resamples, confidence=level, seed=params.seed,
    )  # fmt: skip
    images = sum(of.nunique() for of in groups.values())
    std = float(np.mean([delta.std(ddof=0) for delta in deltas.values()]))
    return Gain(mean=found.mean, low=found.low, std=std, images=images)


def _preconditions(facts: Preconditions, params: GateParams) -> list[GateCheck]:
    committed = facts.clean and facts.pushed
    state = "clean" if facts.clean else "dirty"
    pushed = "pushed" if facts.pushed else "not pushed"
    validated = facts.validation == "passed"
    local = facts.local_allowed
    excuse = ", which --allow-local permits"
    ruled = (
        "allowed by gate.allow_generated" if params.allow_generated else
        "barred by gate.allow_generated; true there in params.yaml, and then `pasam registry gate "
        '--adopt --why "..."`, admits them'
    )  # fmt: skip
    barred = f", {ruled}" if facts.weights != "real" else ""
    parity = "predict" if facts.reload_parity else "do not predict"
    return [
        GateCheck(
            name="tree",
            passed=committed or local,
            reason=f"the working tree is {state} and its commit {pushed}"
            + (excuse if local and not committed else ""),
        ),
        GateCheck(
            name="data",
            passed=validated or (local and facts.validation != "failed"),
            reason=f"the validation of the data says: {facts.validation}"
            + (excuse if local and facts.validation == "not validated" else ""),
        ),
        GateCheck(
            name="weights",
            passed=facts.weights == "real" or params.allow_generated,
            reason=f"the weights are of {facts.weights}{barred}",
        ),
        GateCheck(
            name="reload",
            passed=facts.reload_parity,
            reason=f"the registered files, loaded again, {parity} the same masks",
        ),
        GateCheck(
            name="evidence",
            passed=facts.remeasured <= LARGEST_DIFFERENCE,  # nan fails
            reason=(
                f"a sample measured again differs by {facts.remeasured:.2f} points from the "
                f"scores, at most {LARGEST_DIFFERENCE:.2f} is allowed"
            ),
        ),
    ]


def _floors(mean: float, scores: Mapping[str, float], params: GateParams) -> list[GateCheck]:
    rows = [("mean", mean, params.floor_mean)]
    rows += [(name, score, params.floor_benchmark) for name, score in scores.items()]
    return [
        GateCheck(
            name=f"floor {name}",
            passed=score >= floor,
            reason=f"{name}: boundary IoU {score:.2f}, at least {floor:.2f} is asked for",
        )
        for name, score, floor in rows
    ]


def _comparable(
    ours: EvaluationKey, theirs: EvaluationKey, our: pd.Series[float], their: pd.Series[float]
) -> GateCheck:
    different = [
        name
        for name, same in (
            ("evaluation sets", ours.evaluation_set == theirs.evaluation_set),
            ("evaluators", ours.evaluator == theirs.evaluator),
            ("images", our.index.equals(their.index)),
        )
        if not same
    ]
    reason = (
        f"candidate and champion were measured with different {' and '.join(different)}; the "
        "champion has to be evaluated again first"
        if different
        else "candidate and champion were measured in the same way"
    )
    return GateCheck(name="comparable", passed=not different, reason=reason)


def _gain_checks(
    mean_gain: Gain, gains: Mapping[str, Gain], params: GateParams, level: float, attempt: int
) -> list[GateCheck]:
    rows = [("gain", "mean", mean_gain, params.minimum_gain, level)]
    rows += [
        (f"no harm {name}", name, gain, -params.margin, params.confidence)
        for name, gain in gains.items()
    ]
    which = f" (judgement {attempt} on them)"
    none = ", which one image of a benchmark leaves nothing to estimate from"
    return [
        GateCheck(
            name=check,
            passed=gain.low > least,  # the bound, not the mean: the gain has to be shown
            reason=(
                f"{name}: gain {gain.mean:+.2f} on {gain.images} images"
                f"{which if check == 'gain' else ''}, {100 * sure:.4g}% lower bound "
                f"{gain.low:+.2f}{'' if np.isfinite(gain.low) else none}, above {least:+.2f} is "
                "asked for"
            ),
        )
        for check, name, gain, least, sure in rows
    ]


def _latency(ours: float, theirs: float | None, params: GateParams) -> GateCheck:
    limits = [params.latency_ms]
    if theirs is not None and np.isfinite(theirs):
        limits.append(theirs * params.latency_ratio)
    limit = min(limits)
    if not np.isfinite(ours):
        return GateCheck(
            name="latency", passed=False, reason="the candidate's time was not measured"
        )
    only_told = ours > limit and params.latency == "advisory"
    note = "; gate.latency is advisory, so that this refuses nothing" if only_told else ""
    return GateCheck(
        name="latency",
        passed=ours <= limit or only_told,
        reason=f"a prediction takes {ours:.1f} ms, at most {limit:.1f} ms is asked for{note}",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Simulated:
    """How often pairs with one true difference pass."""

    name: str
    expected: str
    promoted: float
    """Fraction of the simulated pairs, in [0, 1]."""
    holds: bool
    """Whether the fraction is what was expected."""


def simulate(
    params: GateParams, images: Mapping[str, int], *, std: float, pairs: int, seed: int = 0
) -> list[Simulated]:
    """Try the gate's bounds on equal, harmful, worse and better models, and over a year.

    Args:
        params: The gate.
        images: Number of images of every benchmark.
        std: Standard deviation of the difference per image, in points.
        pairs: Simulated pairs for each kind, and simulated years.
        seed: Seed of the simulation.
    """
    stated = 1 - params.confidence
    worst = min(images)

    def fraction(gain: float, harm: Mapping[str, float] | None = None) -> float:
        true = dict.fromkeys(images, gain) | dict(harm or {})
        deltas = draw_deltas(true, images, std=std, pairs=pairs, seed=seed)
        return float(passes(deltas, params).mean())

    equal, worse = fraction(0.0), fraction(-params.margin)
    harmful, better = fraction(2.0, {worst: -params.margin}), fraction(2.0)
    year = simulate_tries(
        params, images, gain=0.0, tries=params.attempts, std=std, years=pairs, seed=seed
    )
    soon = simulate_tries(params, images, gain=1.5, tries=4, std=std, years=pairs, seed=seed)
    at_most = f"at most {stated:.1%}"
    rows = [
        ("equal models", at_most, equal, equal <= stated),
        (f"worse by the margin ({params.margin:g} points)", at_most, worse, worse <= stated),
        (f"better by 2 points, but worse by the margin on {worst}", at_most, harmful,
         harmful <= stated),
        ("better by 2 points", "at least 90%", better, better >= 0.9),
        (f"any of {params.attempts} candidates that are equal to the champion", at_most, year,
         year <= stated),
        ("better by 1.5 points, within four tries", "at least 80%", soon, soon >= 0.8),
    ]  # fmt: skip
    return [
        Simulated(name=name, expected=expected, promoted=promoted, holds=holds)
        for name, expected, promoted, holds in rows
    ]


def simulate_tries(
    params: GateParams,
    images: Mapping[str, int],
    *,
    gain: float,
    tries: int,
    std: float,
    years: int,
    seed: int = 0,
) -> float:
    """Fraction of years in which one of several candidates passes against one champion.

    Half of the variance of a difference is the champion's, which all of its judgements share.
    Every candidate is truly better by `gain` points; all else is as in `simulate`.
    """
    none, part = dict.fromkeys(images, 0.0), std / np.sqrt(2)
    champion = draw_deltas(none, images, std=part, pairs=years, seed=seed)
    promoted = np.zeros(years, dtype=np.bool_)
    for attempt in range(1, tries + 1):
        one = draw_deltas(none, images, std=part, pairs=years, seed=seed + 7919 * attempt)
        deltas = {name: gain + one[name] - champion[name] for name in images}
        promoted |= _passing(deltas, params, attempt, ~promoted)
    return float(promoted.mean())


def _passing(
    deltas: Mapping[str, Values], params: GateParams, attempt: int, asked: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Say which of the pairs that are asked for pass, (P,)."""
    # Whose mean is within one standard error of the limit cannot pass: spares the resampling.
    errors = [deltas[n].var(axis=0, ddof=1) / len(deltas[n]) for n in averaged(deltas)]
    far = _mean(deltas) - np.sqrt(np.sum(errors, axis=0)) / len(errors)
    likely = np.flatnonzero((far > params.minimum_gain) & asked)
    found = np.zeros(len(asked), dtype=np.bool_)
    if len(likely):
        some = {name: delta[:, likely] for name, delta in deltas.items()}
        found[likely] = passes(some, params, attempt=attempt)
    return found


def _mean(deltas: Mapping[str, Values]) -> Values:
    """Average the benchmarks that a mean is of, (P,)."""
    each = [deltas[name].mean(axis=0) for name in averaged(deltas)]
    return np.asarray(np.mean(each, axis=0), np.float64)


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulatedYears:
    """What promotions of many years were said to gain, and did; points of boundary IoU."""

    promotions: float
    """Promotions a year."""
    gain: float
    """What a promoted candidate truly gained, on average."""
    judged_excess: float
    """By how much its judgement said more."""
    sealed_excess: float
    """By how much its measurement on the sealed set says more."""


def simulate_years(
    params: GateParams, images: Mapping[str, int], *, std: float, years: int, seed: int = 0
) -> SimulatedYears:
    """Judge 52 weekly candidates round the champion (0.5 points up or down) and measure again.

    Whoever is picked for its scores was lucky with the images: there the promoted gain more than
    they do. On images that no judgement has seen they do not. The sealed set is as large as the
    benchmarks together. The arguments are as in `simulate`.
    """
    none, part = dict.fromkeys(images, 0.0), std / np.sqrt(2)
    generator = np.random.default_rng([seed, 1])  # apart from the draws of the images
    champion = draw_deltas(none, images, std=part, pairs=years, seed=seed)
    everybody, rows = np.ones(years, dtype=np.bool_), []
    for week in range(1, 53):
        true = generator.normal(0, 0.5, years)
        one = draw_deltas(none, images, std=part, pairs=years, seed=seed + 7919 * week)
        deltas = {name: true + one[name] - champion[name] for name in images}
        promoted = np.flatnonzero(_passing(deltas, params, week, everybody))
        judged = _mean(deltas)
        fresh = draw_deltas(none, images, std=std, pairs=years, seed=seed + 104729 * week)
        sealed = true + _mean(fresh)
        rows += [(true[i], judged[i] - true[i], sealed[i] - true[i]) for i in promoted]
        for name in images:
            champion[name][:, promoted] = one[name][:, promoted]
    means = np.mean(rows, axis=0) if rows else np.zeros(3)
    return SimulatedYears(
        promotions=len(rows) / years, gain=float(means[0]), judged_excess=float(means[1]),
        sealed_excess=float(means[2]),
    )  # fmt: skip


def draw_deltas(
    true: Mapping[str, float], images: Mapping[str, int], *, std: float, pairs: int, seed: int
) -> dict[str, NDArray[np.float64]]:
    """Draw differences per image, (n, P) for every benchmark, round their true means."""
    generator = np.random.default_rng(seed)
    scale = std / np.sqrt(_FREEDOM / (_FREEDOM - 2))
    return {
        name: true[name] + scale * generator.standard_t(_FREEDOM, size=(n, pairs))
        for name, n in sorted(images.items())
    }


def passes(
    deltas: Mapping[str, NDArray[np.float64]],
    params: GateParams,
    *,
    attempt: int = 1,
    units: Mapping[str, Sequence[str]] | None = None,
) -> NDArray[np.bool_]:
    """Say which of P comparisons pass the gate's two kinds of bounds, (P,).

    Args:
        deltas: Differences per mask, (n, P) for every benchmark.
        params: The gate.
        attempt: Which judgement on these images they are.
        units: Image or group of every mask, (n,), by benchmark; None for one mask an image.
    """

    def lows(level: float, *names: str) -> Values:
        one_seed = {name: deltas[name].T[:, None, :] for name in names}  # (P, 1, n)
        return estimate_many(
            one_seed, units_by_stratum=units, n_resamples=params.n_resamples, confidence=level,
            seed=params.seed,
        ).low  # fmt: skip

    found = lows(gain_confidence(params, attempt), *averaged(deltas)) > params.minimum_gain
    for name in deltas:
        if found.any():
            found = found & (lows(params.confidence, name) > -params.margin)
    return np.asarray(found, dtype=np.bool_)
