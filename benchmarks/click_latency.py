"""How long a click takes after the image is embedded: over HTTP, and on the page in a browser.

    python benchmarks/click_latency.py                  # prints a table; seconds

Starts `pasam serve` with PA-SAM and SAM, and clicks on an example. HTTP is one request to PA-SAM,
from sending it to having its answer; `zoom` as the page asks, on the whole image and, where the
object is small, from near. The page is a click in a headless Chromium (Playwright; left
out where either is missing) until the masks of both models, split by the slider, are painted.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx
import numpy as np
from serving_load import started

from pasam.serving.web_app import example

if TYPE_CHECKING:
    from playwright.sync_api import Page

PAINTED = """(place) => new Promise((done) => {
  const byId = (name) => document.getElementById(name);
  const [canvas, frame, status] = ['image', 'frame', 'status'].map(byId);
  const start = performance.now();
  const now = () => performance.now() - start;
  const after = (then) => requestAnimationFrame(() => requestAnimationFrame(() => then(now())));
  const first = new Promise((told) => new MutationObserver((_, seen) => {
    if (!status.textContent.includes('\u00b7')) return; // both models have answered
    seen.disconnect();
    after(told);
  }).observe(status, { childList: true }));
  new MutationObserver((_, seen) => {
    if (frame.getAttribute('aria-busy') !== 'false') return;
    seen.disconnect();
    after(async (last) => done([await first, last]));
  }).observe(frame, { attributes: true });
  const how = { clientX: place[0], clientY: place[1], pointerId: 1, bubbles: true };
  canvas.dispatchEvent(new PointerEvent('pointerdown', how));
  canvas.dispatchEvent(new PointerEvent('pointerup', how));
})"""
"""Clicks, and waits until all models have answered and the frame after that is drawn: at first, on
the whole image, and at last, where the object is small, from near."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--clicks", type=int, default=40, help="Clicks of each way.")
    chosen = parser.parse_args()
    with started("--model", "pa_sam", "--model", "sam") as (address, _):
        rows = {"HTTP": over_http(address, chosen.clicks)}
        with page_of(address) as page:
            if page is not None:
                first, last = zip(*on_page(page, chosen.clicks), strict=True)
                rows |= {"page, at first": list(first), "page, from near": list(last)}
    print("| | median | 95 % within | best |\n| --- | --- | --- | --- |")  # noqa: T201
    for name, milliseconds in rows.items():
        median, late = np.percentile(milliseconds, [50, 95])
        print(  # noqa: T201
            f"| {name} | {median:.0f} ms | {late:.0f} ms | {min(milliseconds):.0f} ms |"
        )


def places(count: int) -> list[tuple[float, float]]:
    """Draw places to click at, in fractions of the image; always the same."""
    drawn = np.random.default_rng(0).uniform(0.25, 0.75, (count, 2)).tolist()
    return [(x, y) for x, y in drawn]


def over_http(address: str, clicks: int) -> list[float]:
    """Time prompts on an embedded image, in milliseconds."""
    shown, spent = example(0), []
    with httpx.Client(base_url=address, timeout=60) as client:
        embedded = client.post("embed", files={"image": shown.png}).json()
        size = embedded["width"], embedded["height"]
        for x, y in [(0.5, 0.5), *places(clicks)]:
            prompt = {"points": [[x * size[0], y * size[1]]], "labels": [1]}
            form = {"embedding": embedded["embedding"], "format": "png", "zoom": "true"}
            start = time.perf_counter()
            answer = client.post("predict", data=form | {"prompts": json.dumps([prompt])})
            spent.append((time.perf_counter() - start) * 1000)
            answer.raise_for_status()
    return spent[1:]  # the first one warms up


def on_page(page: Page, clicks: int) -> list[tuple[float, float]]:
    """Time clicks on the page until a mask is painted, and the last one, in milliseconds."""
    spent: list[tuple[float, float]] = []
    for x, y in [(0.5, 0.5), *places(clicks)]:
        page.click("#clear")
        page.locator("#frame[aria-busy=false]").wait_for()
        edge = page.locator("#image").bounding_box()
        place = [edge["x"] + x * edge["width"], edge["y"] + y * edge["height"]]
        spent.append(tuple(page.evaluate(PAINTED, place)))
    return spent[1:]


@contextmanager
def page_of(address: str) -> Iterator[Page | None]:
    """Open the page in a headless browser; None where there is none."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        yield None
        return
    chromium = shutil.which("chromium")
    if chromium is None:
        yield None
        return
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(address)
        page.locator("#facts", has_text="Image embedding").wait_for()
        yield page
        browser.close()


if __name__ == "__main__":
    main()
