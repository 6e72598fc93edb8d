"""A value that breaks its bound is quoted with its key."""

import re
from types import SimpleNamespace

import pytest

from pasam.config.checks import above_zero, at_least, require, share
from pasam.errors import ParamsError

SECTION = SimpleNamespace(low=0, half=0.5, one=1.0, nan=float("nan"))


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (lambda: require(False, "key", "x", "y"), "key is 'x', expected y."),
        (lambda: at_least(SECTION, 1, "one", "low"), "low is 0, expected 1 or more."),
        (lambda: above_zero(SECTION, "half", "low"), "low is 0, expected more than 0."),
        (lambda: above_zero(SECTION, "nan"), "nan is nan, expected more than 0."),
        (lambda: share(SECTION, "one"), "one is 1.0, expected more than 0 and less than 1."),
        (lambda: share(SECTION, "low"), "low is 0, expected more than 0 and less than 1."),
    ],
)
def test_a_broken_bound_is_told(check, message):
    with pytest.raises(ParamsError, match=f"^{re.escape(message)}$"):
        check()


def test_a_value_within_its_bound_passes():
    require(True, "key", 1, "")
    at_least(SECTION, 0, "low", "half")
    above_zero(SECTION, "half")
    share(SECTION, "half")
