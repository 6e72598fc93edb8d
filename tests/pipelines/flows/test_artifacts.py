"""What a run's page shows; without a run, only links are said."""

from __future__ import annotations

import base64
import io
import logging

import pytest
from PIL import Image

from pipelines.flows.engine import (
    WIDEST,
    picture_address,
    show_link,
    show_picture,
    show_table,
    show_text,
    slug,
)


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "figure.png"
    Image.new("RGBA", (3 * WIDEST, 300), (250, 10, 10, 255)).save(path)
    return path


def test_a_picture_becomes_an_address_that_holds_it_at_the_width_of_a_page(picture):
    kind, _, content = picture_address(picture).partition(",")
    assert kind == "data:image/jpeg;base64"
    shown = Image.open(io.BytesIO(base64.b64decode(content)))
    assert shown.size == (WIDEST, 100)
    assert shown.getpixel((0, 0))[0] > 230


def test_a_small_picture_is_not_blown_up(tmp_path):
    Image.new("L", (20, 10)).save(tmp_path / "small.png")
    content = picture_address(tmp_path / "small.png").partition(",")[2]
    assert Image.open(io.BytesIO(base64.b64decode(content))).size == (20, 10)


def test_without_a_run_a_link_is_said_and_the_rest_is_left_out(picture, caplog):
    caplog.set_level(logging.INFO, logger="pipelines.flows")
    show_text("a", "# A", "A")
    show_table("b", [{"c": 1}], "B")
    show_picture("d", picture, "D")
    show_link("e", "file:///verdict.html", "The verdict")
    assert caplog.messages == ["The verdict: file:///verdict.html"]


@pytest.mark.parametrize(
    ("key", "taken"), [("table1", "table1"), ("card_PA-SAM.v2", "card-pa-sam-v2"), ("_x_", "x")]
)
def test_a_key_has_the_letters_that_prefect_takes(key, taken):
    assert slug(key) == taken
