"""An expectation holds when nothing offends it."""

from pasam.validation.expectations import Outcome, failed


def outcome(name: str, level: str, offenders: int) -> Outcome:
    return Outcome(
        name=name, table="sets", level=level, says="", column="fit", checked=3,
        offenders=({"fit": 0},) * offenders,
    )  # fmt: skip


def test_the_failed_of_one_level_are_named_in_order():
    outcomes = (
        outcome("b", "error", 1), outcome("a", "error", 2), outcome("c", "error", 0),
        outcome("d", "warning", 1),
    )  # fmt: skip
    assert [one.held for one in outcomes] == [False, False, True, False]
    assert failed(outcomes, "error") == ("b", "a")
    assert failed(outcomes, "warning") == ("d",)
    assert failed(outcomes, "item") == ()
