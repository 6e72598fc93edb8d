"""The promotion gate.

Two tables of per-image scores and some facts in, a decision out; and its simulation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pasam.config.schema import GateParams
from pasam.errors import DataError
from pasam.evaluation.statistics import interval, lower_ends
from pasam.registry.decision import PROMOTE, REEVALUATE, REJECT, Check, Gain, Verdict

# --- gate: The promotion gate: two tables of per-image scores and some facts in, a verdict out.
#
# A candidate is accepted when every check holds. Against a champion it must show a gain: the lower
# bound of its mean gain in boundary IoU, paired by image and stratified by benchmark, lies above
# the stated minimum; and it must show that it harms no benchmark: there the lower bound lies above
# the negative margin (non-inferiority). A lower bound is the lower end of the two-sided interval
# that the report shows. All bounds have to hold at once, so the rate at which a model without gain,
# or with harm, is promoted is at most 1 - confidence however many benchmarks there are; nominally
# it is half of that. The first version has nothing to be compared with and must meet the floors
# only.

Values = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What a model was measured with; scores compare only where all of it is the same."""

    evaluation_set: str
    evaluator: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """One of the two models."""

    scores: pd.DataFrame
    """Rows of `pasam.evaluation.scores` for this model alone."""
    measured: Measured
    latency_ms: float
    """Median time of one prediction of an embedded image; nan if it was not measured."""


def judge(candidate: Side, champion: Side | None, facts: Facts, params: GateParams) -> Verdict:
    """Decide whether a candidate replaces the champion.

    Args:
        candidate: The new model.
        champion: The model in use, measured in the same way; None if there is none yet.
        facts: What holds of the candidate besides its scores.
        params: What is asked for.

    Raises:
        DataError: A table is empty or holds another number of models than one.
    """
    ours = per_image(candidate.scores)
    means = _means(ours)
    checks = [*_preconditions(facts, params), *_floors(means, params)]
    if champion is None:
        checks.append(_latency(candidate.latency_ms, None, params))
        return _verdict(checks, means, {})
    theirs = per_image(champion.scores)
    comparable = _comparable(candidate.measured, champion.measured, ours, theirs)
    if not comparable.passed:
        return Verdict(decision=REEVALUATE, checks=(comparable,), scores=means, gains={})
    gains = gains_of(ours, theirs, params)
    checks += _gain_checks(gains, params)
    checks.append(_latency(candidate.latency_ms, champion.latency_ms, params))
    return _verdict(checks, means, gains)


def per_image(scores: pd.DataFrame) -> pd.Series[float]:
    """Mean boundary IoU in points by benchmark and image, over the prompts of an image.

    Raises:
        DataError: The table is empty or holds several models.
    """
    models = sorted(scores["model"].unique())
    if len(models) != 1:
        raise DataError(
            f"a judgement needs the scores of one model on each side, got those of {models}. "
            "Evaluate the model first, or give its rows alone."
        )
    means = scores.groupby(["benchmark", "image_id"], sort=True)["boundary_iou"].mean() * 100
    return means.astype(float)


def gains_of(
    ours: pd.Series[float], theirs: pd.Series[float], params: GateParams
) -> dict[str, Gain]:
    """Compare two models image by image; both have the same images in the same order."""
    by_benchmark = (ours - theirs).groupby(level="benchmark", sort=True)
    deltas = {str(name): np.asarray(part, dtype=np.float64) for name, part in by_benchmark}
    gains = {"mean": _gain(deltas, params)}
    for name, delta in deltas.items():
        gains[name] = _gain({name: delta}, params)
    return gains


def _gain(deltas: Mapping[str, Values], params: GateParams) -> Gain:
    found = interval(
        deltas, n_resamples=params.n_resamples, confidence=params.confidence, seed=params.seed
    )
    images = sum(len(delta) for delta in deltas.values())
    spread = float(np.mean([delta.std() for delta in deltas.values()]))
    return Gain(mean=found.mean, low=found.low, spread=spread, images=images)


def _preconditions(facts: Facts, params: GateParams) -> list[Check]:
    committed = facts.clean and facts.pushed
    state = "clean" if facts.clean else "dirty"
    pushed = "pushed" if facts.pushed else "not pushed"
    validated = facts.validation == "passed"
    local = facts.local_allowed
    excuse = ", which --allow-local permits"
    unreal = "allowed by" if params.allow_generated else "barred by"
    barred = f", {unreal} gate.allow_generated" if facts.weights != "real" else ""
    parity = "predict" if facts.reload_parity else "do not predict"
    return [
        Check(
            name="tree",
            passed=committed or local,
            reason=f"the working tree is {state} and its commit {pushed}"
            + (excuse if local and not committed else ""),
        ),
        Check(
            name="data",
            passed=validated or (local and facts.validation != "failed"),
            reason=f"the validation of the data says: {facts.validation}"
            + (excuse if local and facts.validation == "not validated" else ""),
        ),
        Check(
            name="weights",
            passed=facts.weights == "real" or params.allow_generated,
            reason=f"the weights are of {facts.weights}{barred}",
        ),
        Check(
            name="reload",
            passed=facts.reload_parity,
            reason=f"the registered files, loaded again, {parity} the same masks",
        ),
    ]


def _floors(means: Mapping[str, float], params: GateParams) -> list[Check]:
    floors = dict.fromkeys(means, params.floor_benchmark) | {"mean": params.floor_mean}
    return [
        Check(
            name=f"floor {name}",
            passed=value >= floors[name],
            reason=f"{name}: boundary IoU {value:.2f}, at least {floors[name]:.2f} is asked for",
        )
        for name, value in means.items()
    ]


def _comparable(
    ours: Measured, theirs: Measured, our: pd.Series[float], their: pd.Series[float]
) -> Check:
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
    return Check(name="comparable", passed=not different, reason=reason)


def _gain_checks(gains: Mapping[str, Gain], params: GateParams) -> list[Check]:
    level = f"{params.confidence:.0%} lower bound"
    checks = []
    for name, gain in gains.items():
        least = params.minimum_gain if name == "mean" else -params.margin
        checks.append(
            Check(
                name="gain" if name == "mean" else f"no harm {name}",
                passed=gain.low > least,
                reason=(
                    f"{name}: gain {gain.mean:+.2f} on {gain.images} images, {level} "
                    f"{gain.low:+.2f}, above {least:+.2f} is asked for"
                ),
            )
        )
    return checks


def _latency(ours: float, theirs: float | None, params: GateParams) -> Check:
    limits = [params.latency_ms]
    if theirs is not None and np.isfinite(theirs):
        limits.append(theirs * params.latency_ratio)
    limit = min(limits)
    if not np.isfinite(ours):
        return Check(name="latency", passed=False, reason="the candidate's time was not measured")
    return Check(
        name="latency",
        passed=ours <= limit,
        reason=f"a prediction takes {ours:.1f} ms, at most {limit:.1f} ms is asked for",
    )


def _means(scores: pd.Series[float]) -> dict[str, float]:
    by_benchmark = scores.groupby(level="benchmark", sort=True).mean()
    return {
        "mean": float(by_benchmark.mean()),
        **{str(name): float(value) for name, value in by_benchmark.items()},
    }


def _verdict(checks: list[Check], means: dict[str, float], gains: dict[str, Gain]) -> Verdict:
    decision = PROMOTE if all(check.passed for check in checks) else REJECT
    return Verdict(decision=decision, checks=tuple(checks), scores=means, gains=gains)


# --- simulation: What the gate does to models whose true difference is known: its error rate and
# its power.
#
# Differences per image are drawn from Student's t with five degrees of freedom, whose tails are as
# heavy as those of two trained models' differences, scaled to a stated spread.

# Shapes: n images of a benchmark, P simulated pairs of models.


_FREEDOM = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Simulated:
    """How often pairs with one true difference pass."""

    name: str
    expected: str
    promoted: float
    """Share of the simulated pairs, in [0, 1]."""
    holds: bool
    """Whether the share is what was expected."""


def simulate(
    params: GateParams, images: Mapping[str, int], *, spread: float, pairs: int, seed: int = 0
) -> list[Simulated]:
    """Try the gate's bounds on equal, harmful, worse and better models.

    Args:
        params: The gate.
        images: Number of images of every benchmark.
        spread: Standard deviation of the difference per image, in points.
        pairs: Simulated pairs for each kind.
        seed: Seed of the simulation.
    """
    stated = 1 - params.confidence
    worst = min(images)

    def share(gain: float, harm: Mapping[str, float] | None = None) -> float:
        true = dict.fromkeys(images, gain) | dict(harm or {})
        deltas = draw_deltas(true, images, spread=spread, pairs=pairs, seed=seed)
        return float(passes(deltas, params).mean())

    equal, worse = share(0.0), share(-params.margin)
    harmful, better = share(2.0, {worst: -params.margin}), share(2.0)
    at_most, at_least = f"at most {stated:.1%}", "at least 90%"
    return [
        _row("equal models", at_most, equal, equal <= stated),
        _row(f"worse by the margin ({params.margin:g} points)", at_most, worse, worse <= stated),
        _row(f"better by 2 points, but worse by the margin on {worst}", at_most, harmful,
             harmful <= stated),
        _row("better by 2 points", at_least, better, better >= 0.9),
    ]  # fmt: skip


def draw_deltas(
    true: Mapping[str, float], images: Mapping[str, int], *, spread: float, pairs: int, seed: int
) -> dict[str, NDArray[np.float64]]:
    """Draw differences per image, (n, P) for every benchmark, round their true means."""
    generator = np.random.default_rng(seed)
    scale = spread / np.sqrt(_FREEDOM / (_FREEDOM - 2))
    return {
        name: true[name] + scale * generator.standard_t(_FREEDOM, size=(n, pairs))
        for name, n in sorted(images.items())
    }


def passes(deltas: Mapping[str, NDArray[np.float64]], params: GateParams) -> NDArray[np.bool_]:
    """Say which of P comparisons pass the gate's two kinds of bounds, (P,)."""
    mean_low, lows = lower_ends(
        deltas, n_resamples=params.n_resamples, confidence=params.confidence, seed=params.seed
    )
    found = mean_low > params.minimum_gain
    for low in lows.values():
        found = found & (low > -params.margin)
    return np.asarray(found, dtype=np.bool_)


def _row(name: str, expected: str, promoted: float, holds: bool) -> Simulated:
    return Simulated(name=name, expected=expected, promoted=promoted, holds=holds)
