"""Uploaded pictures: what is taken, and what is refused with which status."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inference_models import picture
from PIL import Image
from serving_world import encoded_picture, png_that_claims

from pasam.errors import RefusedError
from pasam.serving.image_jobs import decode_picture

MOST = 10_000
PNG = encoded_picture()


def decoded(content):
    return decode_picture(io.BytesIO(content), most_pixels=MOST)


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "WEBP", "JPEG"])
def test_usual_pictures_are_decoded(form):
    found = decoded(encoded_picture(picture(60, 90), form))
    assert found.shape == (60, 90, 3)
    assert np.abs(found.astype(int) - picture(60, 90)).mean() < 12


def test_a_turned_photograph_is_turned_as_viewers_show_it():
    turned = Image.fromarray(np.rot90(picture(60, 90)))
    exif = turned.getexif()
    exif[0x0112] = 6
    file = io.BytesIO()
    turned.save(file, "PNG", exif=exif)
    assert np.array_equal(decoded(file.getvalue()), picture(60, 90))


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        (b"", 415, "the picture is empty"),
        (b"hello", 415, "cannot be decoded"),
        (PNG[: len(PNG) // 2], 415, "cannot be decoded"),
        (PNG[:20], 415, "cannot be decoded"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 415, "cannot be decoded"),
        (b"GIF89a" + bytes(20), 415, "cannot be decoded"),
        (png_that_claims(101, 100), 413, "101 x 100 pixels, where at most 0.01 million"),
        (png_that_claims(11_000, 10_000), 413, "at most 0.01 million"),
        (png_that_claims(60_000, 60_000), 413, "at most 0.01 million"),
        (png_that_claims(0, 5), 415, "cannot be decoded"),
    ],
)
def test_anything_else_is_refused_with_a_reason(content, status, message):
    with pytest.raises(RefusedError, match=message) as refused:
        decoded(content)
    assert refused.value.status == status


@settings(max_examples=150, deadline=None)
@given(
    form=st.sampled_from(["PNG", "BMP", "TIFF", "WEBP", "JPEG"]),
    spots=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=8),
    end=st.integers(0, 4000),
)
def test_damaged_bytes_decode_or_are_refused_and_nothing_else(form, spots, end):
    content = bytearray(encoded_picture(picture(12, 16), form)[:end])
    for place, value in spots:
        if place < len(content):
            content[place] = value
    with contextlib.suppress(RefusedError):
        assert decoded(bytes(content)).ndim == 3
