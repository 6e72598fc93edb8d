"""An impossible limit is refused at once, and quoted."""

import re
from pathlib import Path

import pytest
import yaml

from pasam.config.params_file import load_section
from pasam.config.sections import ValidateParams
from pasam.errors import ParamsError

ROOT = Path(__file__).resolve().parent.parent
CONTENT = yaml.safe_load((ROOT / "params.yaml").read_text())["validate"]
VALUES = {key: tuple(value) if isinstance(value, list) else value for key, value in CONTENT.items()}


@pytest.mark.parametrize("path", sorted((ROOT / "params").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_size_has_the_section(path):
    assert load_section(ValidateParams, "validate", path).warnings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unreviewed_fraction": -0.1}, "unreviewed_fraction is -0.1, expected a share, 0 to 1."),
        ({"quarantined_fraction": 1.1}, "quarantined_fraction is 1.1, expected a share"),
        ({"area": (0.5, 0.5)}, "area is [0.5, 0.5], expected two shares, 0 <= low < high <= 1"),
        ({"area": (0.5, 1.5)}, "area is [0.5, 1.5], expected two shares"),
        ({"side": (9, 8)}, "side is [9, 8], expected two sides, 1 <= low <= high"),
        ({"contrast": -1.0}, "contrast is -1.0, expected 0 or more"),
        ({"near_bits": 17}, "near_bits is 17, expected 0 to 16 bits"),
        ({"drift_p": 0.0}, "drift_p is 0.0, expected more than 0 and less than 1"),
        ({"drift_effect": 1.0}, "drift_effect is 1.0, expected more than 0 and less than 1"),
    ],
)
def test_a_value_out_of_its_range_is_quoted(changes, message):
    with pytest.raises(ParamsError, match=f"^{re.escape(message)}"):
        ValidateParams(**{**VALUES, **changes})


def test_the_edges_of_a_range_belong_to_it():
    ValidateParams(**{**VALUES, "unreviewed_fraction": 0.0, "quarantined_fraction": 1.0})
    ValidateParams(**{**VALUES, "area": (0.0, 1.0), "side": (1, 1), "near_bits": 0})
