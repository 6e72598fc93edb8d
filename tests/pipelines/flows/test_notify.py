"""Telling people, and never failing over it."""

from __future__ import annotations

import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from pipelines.flows.notify import tell


@pytest.fixture
def webhook():
    """A server that keeps what it is sent; `status` is its answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):  # noqa: N802
            length = int(self.headers["Content-Length"])
            server.received.append(json.loads(self.rfile.read(length)))
            self.send_response(server.status)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.received, server.status = [], 200
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.INFO, logger="pipelines.flows")
    return caplog


def address(server):
    return f"http://127.0.0.1:{server.server_port}/secret"


def test_a_webhook_receives_subject_and_text(webhook, said):
    tell(address(webhook), "retrain failed", "no disk")
    assert webhook.received == [{"subject": "retrain failed", "text": "retrain failed: no disk"}]
    assert said.messages == []


def test_a_webhook_that_refuses_is_logged_without_its_secret(webhook, said):
    webhook.status = 500
    tell(address(webhook), "retrain failed", "no disk")
    assert said.messages == ["Nobody was told by 127.0.0.1 (HTTPError): retrain failed: no disk"]


def test_a_webhook_that_is_not_there_is_logged(webhook, said):
    place = address(webhook).replace(str(webhook.server_port), "9")
    tell(place, "retrain failed", "no disk")
    assert "Nobody was told by 127.0.0.1" in said.text
    assert "secret" not in said.text


def test_nobody_is_told_without_an_address(said):
    tell(None, "retrain failed", "no disk")
    assert said.messages == []
