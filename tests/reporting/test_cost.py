"""Tests of the table of costs."""

from pasam.reporting.tables import cost_grid


def test_models_have_their_size_and_what_was_trained_of_it(make_results):
    costs = {
        "sam": {"parameters": 4000, "trainable": 0},
        "pa_sam": {"parameters": 5000, "trainable": 1234},
        "oracle": {"parameters": 0, "trainable": 0},
    }
    rows = cost_grid(make_results(costs=costs)).rows
    assert rows == (
        ("SAM (base)", "4,000", "0", "0.0 %"),
        ("PA-SAM", "5,000", "1,234", "30.9 %"),
    )


def test_a_run_that_counted_nothing_has_no_table(make_results):
    assert cost_grid(make_results(costs={})) is None
