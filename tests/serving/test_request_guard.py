"""What every request passes: who asks, how much is sent, how many are in hand; and errors."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from fastapi import FastAPI
from fastapi.testclient import TestClient
from serving_world import BOX, encoded_picture, form

from pasam.errors import CheckpointError, ParamsError, PromptError, RefusedError
from pasam.serving import request_guard
from pasam.serving.limits import Limits
from pasam.serving.request_guard import (
    RequestGuard,
    add_error_handlers,
    check_origin,
    check_token,
    error_response,
    read_token,
)
from pasam.serving.routes import chosen_grid
from pasam.serving.server import is_loopback, listen
from pasam.serving.service import Settings
from pasam.serving.web_app import create_app

TOKEN = "0123456789abcdef"


def test_the_token_is_the_first_line_of_its_file(tmp_path):
    (tmp_path / "token").write_text(f"{TOKEN}\nnotes\n")
    (tmp_path / "token").chmod(0o640)
    assert read_token(tmp_path / "token") == TOKEN


@pytest.mark.parametrize("content", ["", "short", "with spaces in the token", "ümläuteümläute1234"])
def test_a_weak_token_is_refused(content, tmp_path):
    (tmp_path / "token").write_text(content, encoding="utf-8")
    (tmp_path / "token").chmod(0o600)
    with pytest.raises(ParamsError, match="expected 16 or more"):
        read_token(tmp_path / "token")


def test_a_token_of_few_characters_is_refused(tmp_path):
    (tmp_path / "token").write_text("a" * 40)
    (tmp_path / "token").chmod(0o600)
    with pytest.raises(ParamsError, match="has 1 different characters, expected 8 or more"):
        read_token(tmp_path / "token")


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o602, 0o604])
def test_a_token_that_others_can_read_or_change_is_refused(mode, tmp_path):
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "token").chmod(mode)
    with pytest.raises(ParamsError, match="by others .*: chmod 600"):
        read_token(tmp_path / "token")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ParamsError, match="does not exist"):
        read_token(tmp_path / "token")


@pytest.mark.parametrize(
    "given", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer \xff"]
)
def test_only_the_token_opens(given):
    check_token({"authorization": f"Bearer {TOKEN}"}, TOKEN)
    check_token({"authorization": given}, None)
    with pytest.raises(RefusedError, match="needs a token") as refused:
        check_token({"authorization": given}, TOKEN)
    assert refused.value.status == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example:8000"}, 421),
        ({"host": ""}, 421),
        ({"host": "[broken"}, 421),
        ({"host": "localhost:8000", "origin": "https://evil.example"}, 403),
        ({"host": "localhost:8000", "origin": "null"}, 403),
        ({"host": "localhost:8000", "origin": ""}, 403),
        ({"host": "localhost:8000", "origin": "http://evil-localhost:8000"}, 403),
        ({"host": "localhost:8000", "origin": "http://localhost:8000.evil.example"}, 403),
        ({"host": "localhost:8000", "origin": "http://localhost:80001"}, 403),
        ({"host": "localhost:8000", "origin": "http://localhost"}, 403),
    ],
)
def test_another_sites_page_is_refused_on_loopback(headers, status):
    with pytest.raises(RefusedError) as refused:
        check_origin(headers, loopback_only=True)
    assert refused.value.status == status


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1:1", "[::1]:8000", "LOCALHOST"])
def test_the_services_own_page_is_let_in(host):
    check_origin({"host": host}, loopback_only=True)
    check_origin({"host": host, "origin": f"http://{host}"}, loopback_only=True)
    check_origin({"host": "models.example"}, loopback_only=False, names=["Models.example"])
    check_origin({"host": "10.0.0.7:8000"}, loopback_only=False)


def test_a_foreign_name_is_refused_outside_loopback_too():
    with pytest.raises(RefusedError, match=r"'evil\.example'.*--name") as refused:
        check_origin({"host": "evil.example"}, loopback_only=False, names=["models.example"])
    assert refused.value.status == 421


def test_probes_may_use_any_name_and_all_else_may_not(client):
    foreign = {"Host": "10.1.2.3:8000"}
    for path in ("/health", "/ready"):
        assert client.get(path, headers=foreign).status_code == 200
    for path in ("/", "/models", "/metrics", "/openapi.json", "/page/main.js", "/examples"):
        assert client.get(path, headers=foreign).status_code == 421


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


OPEN = ("/", "/health", "/ready", "/openapi.json", "/page/main.js", "/examples/0")


def test_all_else_needs_the_token_and_every_answer_is_safe_in_a_browser(guarded):
    forms = ("/embed", "/predict", "/everything", "/annotations", "/feedback")
    asked = [("POST", path) for path in forms]
    others = ("/models", "/metrics", "/examples", "/nowhere", "/pages", "/healthy", "/page")
    asked += [("GET", path) for path in (*others, *OPEN)]
    for method, path in asked:
        answer = guarded.request(method, path)
        assert (answer.status_code == 401) is (path not in OPEN), path
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    with_it = guarded.post("/predict", headers={"Authorization": f"bearer  {TOKEN} "})
    assert with_it.status_code == 422


def test_a_token_may_be_as_short_and_as_plain_as_the_limits_say(tmp_path):
    file = tmp_path / "token"
    for token, fits in (
        ("01234567" * 2, True), ("01234566" * 2, False), ("0123456789abcde", False),
    ):  # fmt: skip
        file.write_text(f" {token} \n")
        file.chmod(0o600)
        if fits:
            assert read_token(file) == token
        else:
            with pytest.raises(ParamsError, match="expected (8|16) or more"):
                read_token(file)


@pytest.mark.parametrize(("length", "status"), [("50000", 422), ("50001", 413)])
def test_a_body_may_announce_as_much_as_the_limit_says(length, status, guarded):
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Length": length}
    assert guarded.post("/embed", content=b"", headers=headers).status_code == status


def test_an_announced_body_that_is_too_large_is_refused(guarded):
    headers = {"Authorization": f"Bearer {TOKEN}"}
    answer = guarded.post("/embed", files={"image": bytes(60_000)}, headers=headers)
    assert answer.status_code == 413
    assert "at most 50000" in answer.json()["error"]


@pytest.mark.parametrize(
    ("sizes", "status"),
    [
        ([30_000] * 2, 413),
        ([20_000] * 2, 415),
        ([25_000, 25_000 - 76], 415),  # with the form round it exactly the limit
        ([25_000, 25_001 - 76], 413),
    ],
)
def test_an_unannounced_body_is_counted_over_all_its_parts(sizes, status, shelf):
    app = create_app(shelf.offered(), Settings(limits=Limits(upload_bytes=50_000)))
    head = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
    parts = [head, *map(bytes, sizes), b"\r\n--x--\r\n"]
    sent = []

    async def receive():
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    async def send(message):
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-type", b"multipart/form-data; boundary=x")]
    scope = {
        "type": "http", "method": "POST", "path": "/embed", "raw_path": b"/embed",
        "headers": headers, "query_string": b"", "root_path": "", "scheme": "http",
        "http_version": "1.1", "server": ("localhost", 80), "client": ("127.0.0.1", 1),
        "asgi": {"version": "3.0"},
    }  # fmt: skip
    app.state.service.encoder.start()
    asyncio.run(app(scope, receive, send))
    app.state.service.encoder.close()
    assert sent[0]["status"] == status
    body = b"".join(message.get("body", b"") for message in sent)
    assert ("at most 50000" in json.loads(body)["error"]) is (status == 413)


@pytest.mark.parametrize("length", ["-5", "x", "99999999999999999999999999", "²"])
def test_a_strange_length_is_refused(length, guarded):
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Length": length.encode()}
    assert guarded.post("/embed", content=b"", headers=headers).status_code == 413


def test_another_sites_page_is_refused_and_the_page_may_load_only_its_own(client):
    answer = client.get("/models", headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403
    assert "default-src 'self'" in client.get("/models").headers["content-security-policy"]


def test_one_more_than_may_be_in_hand_is_refused_and_the_next_one_is_served(shelf):
    app = create_app(shelf.offered(), Settings(limits=Limits(requests=1)))
    decoder = app.state.service.decoder
    work, begun, go = decoder._work, threading.Event(), threading.Event()

    def held(jobs):
        begun.set()
        assert go.wait(20)
        return work(jobs)

    decoder._work = held
    with TestClient(app, base_url="http://localhost") as client, ThreadPoolExecutor(1) as pool:

        def ask(**fields):
            files = {"image": encoded_picture()}
            return client.post("/predict", data=form({"box": BOX}, **fields), files=files)

        first = pool.submit(ask)
        assert begun.wait(20)
        refused = ask()
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert client.get("/health").status_code == 200
        go.set()
        assert first.result(20).status_code == 200
        assert ask(model="best").status_code == 404
        assert [ask().status_code for _ in range(3)] == [200] * 3


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


def test_a_body_that_trickles_is_ended(shelf, monkeypatch):
    monkeypatch.setattr(request_guard, "BODY_GRACE", 0.2)
    app, sent = create_app(shelf.offered(), Settings()), []

    head = [b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n']

    async def receive():
        await asyncio.sleep(0.05)
        return {"type": "http.request", "body": head.pop() if head else b"x", "more_body": True}

    async def send(message):
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-type", b"multipart/form-data; boundary=x")]
    scope = {
        "type": "http", "method": "POST", "path": "/embed", "raw_path": b"/embed",
        "headers": headers, "query_string": b"", "root_path": "", "scheme": "http",
        "http_version": "1.1", "server": ("localhost", 80), "client": ("127.0.0.1", 1),
        "asgi": {"version": "3.0"},
    }  # fmt: skip
    asyncio.run(asyncio.wait_for(app(scope, receive, send), 30))
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]


def test_a_part_that_does_not_say_that_more_comes_is_the_last(monkeypatch):
    monkeypatch.setattr(request_guard, "BODY_GRACE", 0.0)
    sent = [{"type": "http.request", "body": b"x"}, {"type": "http.disconnect"}]

    async def receive():
        await asyncio.sleep(0.05 if len(sent) == 1 else 0)  # a client may stay as long as it likes
        return sent.pop(0)

    async def read():
        bounded = RequestGuard(None, SimpleNamespace(settings=Settings()))._bounded(receive)
        return [(await bounded())["type"] for _ in range(2)]

    assert asyncio.run(read()) == ["http.request", "http.disconnect"]


@pytest.mark.parametrize("encoding", ["chunked", "identity"])
def test_two_lengths_of_one_body_are_refused(encoding, guarded):
    headers = {
        "Authorization": f"Bearer {TOKEN}", "Content-Length": "3", "Transfer-Encoding": encoding,
    }  # fmt: skip
    answer = guarded.post("/embed", content=b"abc", headers=headers)
    assert answer.status_code == 400
    assert "send one of them" in answer.json()["error"]


@pytest.mark.parametrize(("side", "taken"), [(1, True), (5, True), (6, False)])
def test_a_grid_has_as_many_points_a_side_as_the_limit_says_and_only_what_was_given(side, taken):
    service = SimpleNamespace(settings=Settings(limits=Limits(grid=5)))
    given = {"pred_iou_thresh": 0.0, "min_mask_region_area": 0}  # nothing is not left out
    if taken:
        found = chosen_grid(service, side, 0.0, None, None, 0)
        assert found == {"points_per_side": side, **given}
    else:
        with pytest.raises(RefusedError, match="points_per_side is 6, at most 5 are taken") as told:
            chosen_grid(service, side, 0.0, None, None, 0)
        assert told.value.status == 422
    assert chosen_grid(service, None, 0.0, None, None, 0) == given
    assert chosen_grid(service, None, None, 0.25, 0.75, None) == {
        "stability_score_thresh": 0.25, "box_nms_thresh": 0.75
    }  # fmt: skip


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(13, "denied"), "port 80 needs root; choose one above 1023."),
        (OSError(98, "in use"), "cannot listen on ::1:80: something else listens there."),
        (OSError(99, "no such address"), "cannot listen on ::1:80: no such address."),
        (OSError("strange"), "cannot listen on ::1:80: strange."),
    ],
)
def test_it_is_said_why_an_address_cannot_be_listened_on(error, said, monkeypatch):
    def create_server(address, *, family, backlog):
        assert (address, family) == (("::1", 80), socket.AF_INET6)
        raise error

    monkeypatch.setattr(socket, "create_server", create_server)
    with pytest.raises(ParamsError) as told:
        listen("::1", 80)
    assert str(told.value).startswith(said)


@pytest.mark.parametrize(
    ("host", "alone"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True),
     ("0.0.0.0", False), ("::", False), ("192.168.0.2", False), ("localhost.example", False)],
)  # fmt: skip
def test_only_loopback_is_for_this_machine_alone(host, alone):
    assert is_loopback(host) is alone


def test_a_parameter_in_the_address_is_refused_since_only_the_form_counts(client, embedding):
    answer = client.post("/predict?multimask=true", data=form({"box": BOX}, embedding=embedding))
    assert answer.status_code == 422
    assert "parameters 'multimask'" in answer.json()["error"]


def test_a_field_that_comes_twice_is_refused_by_its_name(client, embedding):
    twice = {
        "prompts": [json.dumps([{"box": BOX}]), json.dumps([{"box": BOX}])],
        "embedding": embedding,
    }
    answer = client.post("/predict", data=twice)
    assert answer.status_code == 422
    assert "the field prompts 2 times, expected once" in answer.json()["error"]
    files = [("image", ("a.png", encoded_picture())), ("image", ("b.png", encoded_picture()))]
    answer = client.post("/predict", data=form({"box": BOX}), files=files)
    assert answer.status_code == 422
    assert "the field image 2 times" in answer.json()["error"]


def test_a_key_that_stands_twice_in_the_prompts_is_refused(client, embedding):
    text = '[{"box": [1, 2, 30, 40], "box": [5, 6, 50, 60]}]'
    answer = client.post("/predict", data={"prompts": text, "embedding": embedding})
    assert answer.status_code == 422
    assert "the key 'box' stands twice" in answer.json()["error"]


def test_a_box_in_fractions_is_refused_as_such(client, embedding):
    answer = client.post("/predict", data=form({"box": [0.2, 0.1, 0.7, 0.5]}, embedding=embedding))
    assert answer.status_code == 422
    assert "fractions of the image, expected pixels" in answer.json()["error"]


def test_a_tiff_of_five_bands_is_refused_by_their_number(client):
    content = io.BytesIO()
    pixels = np.zeros((16, 20, 5), np.uint8)
    tifffile.imwrite(content, pixels, photometric="minisblack", planarconfig="contig")
    answer = client.post("/predict", data=form({"box": BOX}), files={"image": content.getvalue()})
    assert answer.status_code == 415, answer.text
    assert "has 5 bands. Choose one, three (red, green and blue)" in answer.json()["error"]
