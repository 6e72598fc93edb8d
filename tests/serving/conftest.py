"""What the service's tests share: models on a shelf, and clients of a running service."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from page_visitor import CHROMIUM
from serving_world import Shelf, encoded_picture

from pasam.serving.limits import Limits
from pasam.serving.service import Settings
from pasam.serving.web_app import create_app


@pytest.fixture(scope="module")
def browser():
    """A real browser, for the slow tests of the page; its event loop is nobody else's."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


LIMITS = Limits(
    upload_bytes=400_000, pixels=40_000, points=8, prompts=8, grid=8, exported_objects=20
)


@pytest.fixture(scope="session")
def shelf(tmp_path_factory):
    """All three models; not to be changed."""
    return Shelf(tmp_path_factory.mktemp("shelf"), "pa_sam", "hq_sam", "sam")


@pytest.fixture(scope="session")
def client(shelf):
    """A client of a running service, without a token."""
    app = create_app(shelf.offered(), Settings(limits=LIMITS))
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as made:
        yield made


@pytest.fixture(scope="session")
def embedding(client):
    """The name of an embedded picture of 90 x 60 pixels."""
    return client.post("/embed", files={"image": encoded_picture()}).json()["embedding"]


@pytest.fixture
def visitor(browser, address):
    """Somebody at the page of the module's service, who meets no fault of the page."""
    from page_visitor import Visitor

    made = Visitor(browser, address, viewport={"width": 1280, "height": 900})
    yield made
    assert made.faults == []
    made.page.close()
