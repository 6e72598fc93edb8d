"""The page's files: they belong together, and load nothing from elsewhere."""

from __future__ import annotations

import io
import re

import pytest
from PIL import Image

from pasam.errors import RefusedError
from pasam.reporting import style as palette
from pasam.serving.web_app import EXAMPLES, FOLDER, example

HTML = (FOLDER / "index.html").read_text(encoding="utf-8")
CSS = (FOLDER / "style.css").read_text(encoding="utf-8")
SCRIPTS = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.js")}


def test_the_page_and_all_that_it_names_are_served(client):
    assert "text/html" in client.get("/").headers["content-type"]
    named = re.findall(r'(?:href|src)="(/page/[^"]+)"', HTML)
    assert len(named) == 3
    for path in named:
        assert client.get(path).status_code == 200
    assert client.get("/page/no.js").status_code == 404
    assert client.get("/page/../app.py").status_code == 404


def test_examples_are_listed_and_served(client):
    listed = client.get("/examples").json()
    assert len(listed) == 4
    answer = client.get(listed[0]["url"])
    assert answer.headers["content-type"] == "image/png"
    assert client.get("/examples/99").json()["error"].startswith("there is no example 99")
    assert client.get("/examples/x").status_code == 422
    said = client.get("/openapi.json").json()["paths"]["/examples/{number}"]["get"]["responses"]
    assert {"200", "404", "422"} <= set(said)


def test_nothing_comes_from_elsewhere():
    for text in (HTML, CSS, *SCRIPTS.values()):
        assert not re.search(r"https?://|//[a-z]+\.[a-z]|@import|url\(", text)


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_a_script_is_short_says_what_it_is_and_imports_what_is_there(name):
    text = SCRIPTS[name]
    assert text.startswith("// ")
    assert len(text.splitlines()) <= 300
    for names, source in re.findall(r'import (?:\{([^}]*)\}|\* as \w+) from "\./([\w.]+)"', text):
        for each in filter(None, map(str.strip, names.split(","))):
            assert re.search(rf"export (async )?(const|function|class) {each}\b", SCRIPTS[source])


def test_every_element_that_a_script_asks_for_is_on_the_page():
    ids = set(re.findall(r'id="([\w-]+)"', HTML))
    for text in SCRIPTS.values():
        assert set(re.findall(r'(?:byId|getElementById)\("([\w-]+)"\)', text)) <= ids
    assert set(re.findall(r'for="([\w-]+)"', HTML)) <= ids


def test_every_control_has_a_name():
    for tag in re.findall(r"<(?:input|select)[^>]*>", HTML):
        name = re.search(r'id="([\w-]+)"', tag)
        wrapped = re.search(rf"<label[^>]*>(?:(?!</label>).)*{re.escape(tag)}", HTML, re.DOTALL)
        assert wrapped or (name and f'for="{name[1]}"' in HTML), tag


def test_models_and_prompts_have_the_colours_of_the_reports():
    for model in ("sam", "hq_sam", "pa_sam"):
        light, dark = palette.MODELS[model]
        found = re.findall(rf"--model-{model.replace('_', '-')}:(#\w+)", CSS)
        assert found == [light, dark, dark]
    prompts = {"box": palette.BOX, "in": palette.POSITIVE_POINT, "out": palette.NEGATIVE_POINT}
    for name, colour in prompts.items():
        assert f"--{name}:{colour}" in CSS


@pytest.mark.parametrize("pair", [("ink", "paper"), ("muted", "paper"), ("muted", "card"),
                                  ("accent", "card"), ("accent", "accent-soft"),
                                  ("muted", "accent-soft"), ("warn", "warn-soft")])  # fmt: skip
def test_text_has_contrast_on_its_ground_in_light_and_dark(pair):
    for number in (0, 1):
        fore, ground = (re.findall(rf"--{name}:(#\w+)", CSS)[number] for name in pair)
        assert contrast(fore, ground) >= 4.5, (pair, number)


def contrast(one, other):
    """WCAG's ratio of two colours."""

    def lightness(colour):
        digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
        parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((lightness(one), lightness(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("number", range(EXAMPLES))
def test_an_example_is_a_picture_with_the_box_of_its_object(number):
    found = example(number)
    width, height = Image.open(io.BytesIO(found.png)).size
    x0, y0, x1, y1 = found.box
    assert 0 <= x0 < x1 <= width
    assert 0 <= y0 < y1 <= height
    assert example(number) is found


@pytest.mark.parametrize("number", [-1, EXAMPLES])
def test_there_is_no_other(number):
    with pytest.raises(RefusedError, match="there are 0 to"):
        example(number)
