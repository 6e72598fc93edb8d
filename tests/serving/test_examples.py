"""Generated pictures to try."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from pasam.errors import RefusedError
from pasam.serving.examples import COUNT, example


@pytest.mark.parametrize("number", range(COUNT))
def test_an_example_is_a_picture_with_the_box_of_its_object(number):
    found = example(number)
    width, height = Image.open(io.BytesIO(found.png)).size
    x0, y0, x1, y1 = found.box
    assert 0 <= x0 < x1 <= width
    assert 0 <= y0 < y1 <= height
    assert example(number) is found


@pytest.mark.parametrize("number", [-1, COUNT])
def test_there_is_no_other(number):
    with pytest.raises(RefusedError, match="there are 0 to"):
        example(number)
