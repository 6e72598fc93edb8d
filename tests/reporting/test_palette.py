"""Tests of the colours."""

import numpy as np

from pasam.reporting import style as palette


def test_a_colour_turns_into_its_three_values():
    assert palette.rgb("#0A64FF") == (10, 100, 255)


def test_a_known_model_keeps_its_colour_whoever_stands_beside_it():
    found = palette.model_colours(["mine", "pa_sam", "yours"])
    assert found["pa_sam"] == palette.MODELS["pa_sam"]
    assert len(set(found.values())) == 3


def test_hits_false_alarms_and_misses_differ_in_lightness_too():
    weights = np.array([0.299, 0.587, 0.114])
    colours = (palette.FALSE_POSITIVE, palette.TRUE_POSITIVE, palette.FALSE_NEGATIVE)
    lightness = [float(np.dot(palette.rgb(colour), weights)) for colour in colours]
    assert np.diff(lightness).min() > 30
