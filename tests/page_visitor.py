"""A service in a thread, and somebody at its page in a real browser."""

from __future__ import annotations

import json
import shutil
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import uvicorn

from pasam.masks.run_lengths import decode
from pasam.serving.server import address_of, listen
from pasam.serving.web_app import create_app

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"


@contextmanager
def running(models, settings):
    """Serve; gives the address."""
    with listen("127.0.0.1", 0) as taken:
        app = create_app(models, settings)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [taken]})
        thread.start()
        while not server.started:
            time.sleep(0.05)
        try:
            yield address_of(taken)
        finally:
            server.should_exit = True
            thread.join()


class Visitor:
    """Somebody at the page, who notes what is asked and what goes wrong."""

    def __init__(self, browser, address, **how):
        self.page = browser.new_page(**how)
        self.faults, self.asked = [], []
        self.page.on("pageerror", lambda fault: self.faults.append(str(fault)))
        self.page.on("console", self._note)
        self.page.on("response", self._keep)
        self.page.goto(address)
        self.settle("Image embedding")

    def _note(self, message):
        if message.type == "error":
            self.faults.append(message.text)

    def _keep(self, response):
        if response.url.endswith(("/predict", "/everything")):
            self.asked.append(response)

    def settle(self, text):
        """Wait until the result says a text, and nothing is under way."""
        self.page.locator("#frame[aria-busy=false]").wait_for(timeout=60_000)
        self.page.locator("#facts", has_text=text).wait_for(timeout=60_000)

    def at(self, x, y):
        """A place of the image's frame, in fractions of it."""
        edge = self.page.locator("#image").bounding_box()
        return edge["x"] + x * edge["width"], edge["y"] + y * edge["height"]

    def facts(self):
        return self.page.inner_text("#facts")

    def answer(self, model):
        """The last answer of a model."""
        # The newest first: of old ones the browser may have let the text go. A search tells its
        # progress in lines; the last one is the answer.
        asked = (each for each in reversed(self.asked) if each.status == 200)
        answers = (json.loads(each.text().splitlines()[-1]) for each in asked)
        return next(each for each in answers if each["model"]["name"] == model)

    def save(self, button):
        with self.page.expect_download() as saved:
            self.page.click(button)
        return Path(saved.value.path()).read_bytes()

    def open(self, *paths):
        """Open files, and wait until the first can be clicked."""
        self.page.set_input_files("#file", [str(path) for path in paths])
        self.page.locator("#hint", has_text="Click the object").wait_for(timeout=60_000)

    def click(self, x, y, **how):
        """Click the image, and wait for the answer."""
        self.page.mouse.click(*self.at(x, y), **how)
        self.settle("px")

    def drag(self, *places):
        """Press at a place of the image, move over the others and let go."""
        self.page.mouse.move(*self.at(*places[0]))
        self.page.mouse.down()
        for place in places[1:]:
            self.page.mouse.move(*self.at(*place), steps=5)
        self.page.mouse.up()

    def choose(self, tool):
        self.page.locator("#tools label", has_text=tool).click()

    def records(self):
        """What the button RLE saves: a record of each object of the image."""
        return json.loads(self.save("#get-rle"))

    def masks(self):
        return [decode(each["segmentation"]) for each in self.records()]

    def seen(self):
        """The canvas as it is on the screen, (H, W, 3)."""
        import io

        from PIL import Image

        self.page.wait_for_timeout(150)
        shot = self.page.locator("#image").screenshot()
        return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"), np.float64)
