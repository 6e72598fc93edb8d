"""Impossible values of the gate are refused at once, and quoted."""

from __future__ import annotations

import pytest
import yaml

from pasam.config.sections import GateParams
from pasam.errors import ParamsError


@pytest.fixture
def content(root):
    return yaml.safe_load((root / "params" / "default.yaml").read_text())["gate"]


def test_every_size_has_a_possible_gate_whose_mode_is_a_word(root):
    for path in (root / "params").glob("*.yaml"):
        gate = GateParams(**yaml.safe_load(path.read_text())["gate"])
        assert gate.mode in ("on", "dry-run", "off")


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("margin", -0.1, "margin is -0.1, expected 0 or more"),
        ("minimum_gain", -1.0, "minimum_gain is -1.0, expected 0 or more"),
        ("n_resamples", 99, "n_resamples is 99, expected 100 or more"),
        ("floor_mean", 101.0, "floor_mean is 101.0, expected points, 100 at most"),
        ("confidence", 0.5, "confidence is 0.5, expected between 0.5 and 1"),
        ("confidence", 1.0, "confidence is 1.0, expected between 0.5 and 1"),
        ("latency_ms", 0.0, "latency_ms is 0.0, expected more than 0"),
        ("latency_ratio", 0.9, "latency_ratio is 0.9, expected 1 or more"),
    ],
)
def test_an_impossible_value_is_quoted(key, value, expected, content):
    with pytest.raises(ParamsError, match=expected):
        GateParams(**{**content, key: value})
