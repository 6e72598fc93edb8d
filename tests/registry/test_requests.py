"""Whatever comes from outside is either a picture with prompts or one clear refusal."""

from __future__ import annotations

import base64
import contextlib
import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pasam.errors import DataError, PasamError, PromptError
from pasam.masks.images import read_image
from pasam.registry.served_model import read_picture, read_prompts


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "photo.jpg"
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def encoded(content):
    return base64.b64encode(content).decode()


@pytest.mark.parametrize("prefix", ["", "data:image/jpeg;base64,"])
def test_bytes_and_path_give_the_pixels_that_the_library_reads(prefix, file):
    wanted = read_image(file)
    assert (read_picture(prefix + encoded(file.read_bytes()), None) == wanted).all()
    assert (read_picture(None, str(file)) == wanted).all()


@pytest.mark.parametrize(
    ("image", "path", "words"),
    [
        (None, None, "either 'image' .* or 'path'"),
        ("aGVsbG8=", "x.png", "either 'image' .* or 'path'"),
        ("no base 64!", None, "'image' is not base64"),
        ("aGVsbG8=", None, "cannot be decoded"),
        (None, "/nowhere.png", "names no file"),
        (None, "/", "names no file"),
        (None, "a\0b", "names no file"),
    ],
)
def test_what_is_no_image_is_refused_in_words(image, path, words):
    with pytest.raises(DataError, match=words):
        read_picture(image, path)


def test_a_picture_cut_short_is_refused_without_a_path_of_the_server(file):
    with pytest.raises(DataError, match="cut short or damaged") as caught:
        read_picture(encoded(file.read_bytes()[:-200]), None)
    assert "/" not in str(caught.value)


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded():
    buffer = io.BytesIO()
    Image.new("1", (9000, 9000)).save(buffer, format="PNG")
    with pytest.raises(DataError, match="81,000,000 pixels, 64,000,000 at most"):
        read_picture(encoded(buffer.getvalue()), None)


def test_prompts_may_be_one_many_or_boxes():
    assert [p.box.tolist() for p in read_prompts('{"box": [1, 2, 3, 4]}')] == [[1, 2, 3, 4]]
    two = read_prompts('{"boxes": [[1, 2, 3, 4], [2, 3, 4, 5]]}')
    assert [prompt.box.tolist() for prompt in two] == [[1, 2, 3, 4], [2, 3, 4, 5]]
    points = read_prompts('[{"points": [[1, 2], [3, 4]], "labels": [1, 0]}, {"box": [1, 2, 3, 4]}]')
    assert points[0].labels.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ("[]", "0 prompts, expected 1 to 1024"),
        ("7", "prompt 0 is 7"),
        ('{"bocks": []}', r"unknown \['bocks'\]"),
        ('[{"box": [1, 2, 3, 4]}, {"box": [3, 3, 1, 1]}]', "prompt 1: the box"),
        ('{"boxes": 3}', "'boxes' is a list"),
        ('{"boxes": [[1,2,3,4]], "points": []}', "stands alone"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_anything_else_is_refused_in_words(text, words):
    with pytest.raises(PromptError, match=words):
        read_prompts(text)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["box", "points", "labels", "mask", "x"]), inner, max_size=3
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(json_values)
def test_no_json_at_all_breaks_the_reading(value):
    with contextlib.suppress(PasamError):  # any other error fails the test
        assert read_prompts(json.dumps(value))
