"""Bounds of the service."""

from __future__ import annotations

import pytest

from pasam.errors import ParamsError
from pasam.serving.payloads import Limits


def test_a_bound_of_nothing_is_refused_by_its_name():
    with pytest.raises(ParamsError, match="the limit pixels is 0"):
        Limits(pixels=0)
