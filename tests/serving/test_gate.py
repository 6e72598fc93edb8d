"""The gate that every request passes."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from serving_world import BOX, encoded_picture, form

from pasam.serving.app import create_app
from pasam.serving.payloads import Limits
from pasam.serving.service import Settings

TOKEN = "0123456789abcdef"


@pytest.fixture(scope="module")
def guarded(shelf):
    app = create_app(shelf.offered(), Settings(token=TOKEN, limits=Limits(upload_bytes=50_000)))
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as made:
        yield made


def test_without_the_token_only_its_state_is_told(guarded):
    assert guarded.get("/health").status_code == 200
    assert guarded.get("/ready").status_code == 200
    for path in ("/models", "/metrics", "/predict"):
        answer = guarded.get(path)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
    wrong = guarded.get("/models", headers={"Authorization": "Bearer wrong"})
    assert wrong.status_code == 401
    right = guarded.get("/models", headers={"Authorization": f"Bearer {TOKEN}"})
    assert right.status_code == 200


def test_too_large_a_body_is_refused_announced_or_not(guarded):
    headers = {"Authorization": f"Bearer {TOKEN}"}
    large = {"image": bytes(60_000)}
    answer = guarded.post("/embed", files=large, headers=headers)
    assert answer.status_code == 413
    assert "at most 50000" in answer.json()["error"]

    def chunks():
        yield b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
        for _ in range(60):
            yield bytes(1000)

    headers["Content-Type"] = "multipart/form-data; boundary=x"
    answer = guarded.post("/embed", content=chunks(), headers=headers)
    assert answer.status_code == 413
    assert "at most 50000" in answer.json()["error"]


@pytest.mark.parametrize("length", ["-5", "x", "99999999999999999999999999", "²"])
def test_a_strange_length_is_refused(length, guarded):
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Length": length.encode()}
    assert guarded.post("/embed", content=b"", headers=headers).status_code == 413


def test_another_sites_page_is_refused_and_the_page_may_load_only_its_own(client):
    answer = client.get("/models", headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403
    assert "default-src 'self'" in client.get("/models").headers["content-security-policy"]


def test_a_service_with_too_much_in_hand_says_so(shelf):
    app = create_app(shelf.offered(), Settings(limits=Limits(requests=1)))
    with TestClient(app, base_url="http://localhost") as client:
        gate = _gate(app)
        gate._in_hand = 1
        answer = client.post(
            "/predict", data=form({"box": BOX}), files={"image": encoded_picture()}
        )
        assert answer.status_code == 429
        assert answer.headers["retry-after"] == "1"
        assert client.get("/health").status_code == 200
        gate._in_hand = 0
        answer = client.post(
            "/predict", data=form({"box": BOX}), files={"image": encoded_picture()}
        )
        assert answer.status_code == 200


def _gate(app):
    from pasam.serving.request_guard import RequestGuard

    layer = app.middleware_stack
    while not isinstance(layer, RequestGuard):
        layer = layer.app
    return layer
