"""What axe-core finds on the page; `npm install --no-save axe-core` in the root brings it."""

from __future__ import annotations

from pathlib import Path

import pytest
from inference_models import objects
from page_visitor import CHROMIUM, Visitor, running
from serving_world import Shelf, encoded_picture

from pasam.serving.service import Settings

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path(CHROMIUM).is_file(), reason="there is no Chromium here"),
    pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not installed"),
]
WAYS = {
    "desktop": {"viewport": {"width": 1280, "height": 900}},
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "at 200 %": {"viewport": {"width": 640, "height": 450}, "device_scale_factor": 2},
}


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    shelf = Shelf(tmp_path_factory.mktemp("shelf"), "pa_sam", "hq_sam", "sam")
    with running(shelf.offered(), Settings(feedback=tmp_path_factory.mktemp("sent"))) as found:
        yield found


@pytest.mark.parametrize("way", WAYS)
def test_axe_finds_nothing_at_any_width_in_any_colours(browser, address, tmp_path, way):
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path in paths:
        path.write_bytes(encoded_picture(objects(120, 160)))
    visitor = Visitor(browser, address, **WAYS[way], bypass_csp=True)
    page = visitor.page
    assert faults(page) == []
    visitor.open(*paths)
    visitor.click(0.35, 0.35)
    page.click("#next")
    visitor.click(0.7, 0.7)
    page.check("#show-unsure")
    visitor.settle("PA-SAM")
    for summary in page.locator(".keys summary").all():
        summary.click()
    visitor.choose("Brush")
    assert faults(page) == []
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    page.evaluate("document.getElementById('door').showModal()")
    assert faults(page) == []
    page.close()


def faults(page):
    """What breaks WCAG 2.2 or good practice, with the elements."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("async () => (await axe.run()).violations")
    return [
        (each["id"], each["impact"], [n["html"][:120] for n in each["nodes"]]) for each in found
    ]
