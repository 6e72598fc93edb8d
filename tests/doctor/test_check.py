"""Sizes are written for people."""

import pytest

from pasam.cli.requirements import gigabytes


@pytest.mark.parametrize(
    ("size", "text"), [(1_249_524_607, "1.2 GB"), (11_053_264, "11 MB"), (0, "0 MB")]
)
def test_bytes_are_written_in_the_unit_that_fits(size, text):
    assert gigabytes(size) == text
