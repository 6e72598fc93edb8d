"""Every error_response is one JSON object with a message."""

from __future__ import annotations

import json

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from pasam.errors import CheckpointError, PromptError, RefusedError
from pasam.serving.request_guard import add_error_handlers, error_response


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (PromptError("p"), 422),
        (CheckpointError("c"), 409),
        (RefusedError("r", status=429, retry_after=3), 429),
    ],
)
def test_a_deliberate_error_has_its_status(error, status):
    answer = error_response(error)
    assert answer.status_code == status
    assert json.loads(answer.body) == {"error": str(error)}
    assert answer.headers.get("retry-after") == ("3" if status == 429 else None)


def test_an_unforeseen_fault_shows_nothing_of_the_inside():
    app = FastAPI()
    add_error_handlers(app)

    @app.get("/fault")
    def fault() -> None:
        raise ZeroDivisionError("secret")

    answer = TestClient(app, raise_server_exceptions=False).get("/fault")
    assert answer.status_code == 500
    assert list(answer.json()) == ["error"]
    assert "secret" not in answer.text


def test_unknown_addresses_and_methods_are_said_to_be_so(client):
    assert client.get("/nowhere").json() == {
        "error": "there is nothing at '/nowhere'; /openapi.json lists all."
    }
    assert client.get("/predict").status_code == 405


def test_a_value_that_is_no_unicode_is_answered_all_the_same():
    answer = error_response(PromptError("found \ud800"))
    assert json.loads(answer.body) == {"error": "found \\ud800"}
