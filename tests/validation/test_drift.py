"""Drift needs both a significant test and a distance that matters."""

import numpy as np
import pytest

from pasam.validation.drift import COLUMNS, QUANTITIES, WHOLE, Sketch, compare

KEY = ("train", "cats")


def sketch(seed: int, count: int, **moved: float) -> Sketch:
    rng = np.random.default_rng(seed)
    values = {name: rng.normal(moved.get(name, 0.0), 1, count) for name in QUANTITIES}
    return Sketch(masks=count, images=count, values=values)


def drifted(now: Sketch, then: Sketch, *, p: float = 0.01, effect: float = 0.15) -> list[str]:
    table = compare({KEY: now}, {KEY: then}, p=p, effect=effect)
    assert tuple(table.columns) == COLUMNS
    return table.loc[table["drifted"], "quantity"].tolist()


def test_a_quantity_that_moved_is_named_alone():
    assert drifted(sketch(0, 300, complexity=0.8), sketch(1, 200)) == ["complexity"]


def test_a_difference_that_does_not_matter_is_no_drift_however_many_images():
    now = sketch(0, 50_000, area=0.1)
    table = compare({KEY: now}, {KEY: sketch(1, 50_000)}, p=0.01, effect=0.15)
    area = table[table["quantity"] == "area"].iloc[0]
    assert area["p"] < 1e-20
    assert not area["drifted"]
    assert drifted(now, sketch(1, 50_000), effect=0.03) == ["area"]


def test_a_difference_of_a_few_images_is_no_drift():
    assert drifted(sketch(0, 5, area=0.8), sketch(1, 200)) == []


def test_the_same_data_never_drifts():
    assert drifted(sketch(0, 40), sketch(0, 40)) == []


def test_false_alarms_are_as_rare_as_stated_over_all_comparisons_together():
    keys = [("train", str(index)) for index in range(5)]
    alarms = 0
    for trial in range(30):
        now = {key: sketch(1000 * trial + i, 80) for i, key in enumerate(keys)}
        then = {key: sketch(1000 * trial + 500 + i, 80) for i, key in enumerate(keys)}
        alarms += bool(compare(now, then, p=0.05, effect=0.01)["drifted"].any())
    assert alarms / 30 <= 0.1


def test_sets_of_only_one_version_are_not_compared():
    table = compare({KEY: sketch(0, 9)}, {("val", "cats"): sketch(0, 9)}, p=0.01, effect=0.1)
    assert len(table) == 0
    both = {KEY: sketch(0, 9), ("val", "cats"): sketch(0, 9)}
    assert compare({KEY: sketch(0, 9)}, both, p=0.01, effect=0.1)["limit_p"].iloc[
        0
    ] == pytest.approx(0.01 / 4)


def compared(now: list[str], then: list[str]) -> set[str]:
    """Name the sets of one split that two versions are compared by."""
    versions = [{("train", name): sketch(0, 9) for name in [*sets, WHOLE]} for sets in (now, then)]
    return set(compare(*versions, p=0.01, effect=0.1)["dataset"])


def test_a_new_set_beside_an_accepted_one_is_seen_in_the_whole():
    assert compared(["cats", "new"], ["cats"]) == {"cats", WHOLE}
    assert compared(["cats"], ["cats", "old"]) == {"cats", WHOLE}


def test_a_whole_of_one_set_is_compared_once_and_other_data_not_at_all():
    assert compared(["cats"], ["cats"]) == {"cats"}
    assert compared(["cats", "dogs"], ["horses"]) == set()
