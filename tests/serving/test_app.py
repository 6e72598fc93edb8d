"""The application as a whole: hostile requests, a full queue, and a new champion under load."""

from __future__ import annotations

import itertools
import json
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving_world import BOX, Shelf, encoded_picture, form

from pasam.serving.app import create_app
from pasam.serving.limits import Limits
from pasam.serving.service import Settings

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.sampled_from(["box", "points", "labels", "mask"]), inner, max_size=4)
    ),
    max_leaves=12,
)
NUMBER = st.floats() | st.integers(-200, 200)
NEARLY = st.fixed_dictionaries(
    {},
    optional={
        "box": st.lists(NUMBER, min_size=3, max_size=5),
        "points": st.lists(st.lists(NUMBER, min_size=1, max_size=3), max_size=10),
        "labels": st.lists(st.integers(-2, 3), max_size=10),
        "mask": st.lists(st.lists(NUMBER, max_size=3), max_size=3) | ANYTHING,
    },
)
HOSTILE = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def expect_answer_or_refusal(answer):
    """Anything but a success is a refusal of the client with one message."""
    if answer.status_code != 200:
        assert 400 <= answer.status_code < 500, answer.text
        assert list(answer.json()) == ["error"]
        assert answer.json()["error"]
        assert "Traceback" not in answer.text


@HOSTILE
@given(prompts=st.lists(NEARLY, max_size=9) | ANYTHING)
def test_any_prompts_are_answered_or_refused(prompts, client, embedding):
    data = {"prompts": json.dumps(prompts), "embedding": embedding}
    expect_answer_or_refusal(client.post("/predict", data=data))


@HOSTILE
@given(data=st.data())
def test_any_fields_that_openapi_names_are_answered_or_refused(data, client, embedding):
    schemas = client.get("/openapi.json").json()
    path = data.draw(st.sampled_from(["/predict", "/everything", "/embed"]))
    content = schemas["paths"][path]["post"]["requestBody"]["content"]["multipart/form-data"]
    name = content["schema"]["$ref"].rpartition("/")[2]
    fields = data.draw(
        st.fixed_dictionaries(
            {},
            optional={
                field: st.text(max_size=9) | st.sampled_from(["nan", "-1", "1e400", "", "[]", "0"])
                for field in schemas["components"]["schemas"][name]["properties"]
            },
        )
    )
    fields |= data.draw(st.sampled_from([{}, {"embedding": embedding}]))
    files = data.draw(st.sampled_from([None, {"image": b"?"}, {"prompts": b"[]"}]))
    fields = {k: v.encode("utf-8", "replace").decode() for k, v in fields.items()}
    expect_answer_or_refusal(client.post(path, data=fields, files=files))


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", None),
        (b"{}", "application/json"),
        (b"nonsense", "multipart/form-data"),
        (b"nonsense", "multipart/form-data; boundary=x"),
        (b"--x\r\n\r\n", "multipart/form-data; boundary=x"),
        (b"\xff\xfe" * 50, "application/x-www-form-urlencoded"),
        (
            b"--x\r\nContent-Disposition: form-data\r\n\r\nv\r\n--x--",
            "multipart/form-data; boundary=x",
        ),
        (b"prompts=" + b"[" * 90_000, "application/x-www-form-urlencoded"),
    ],
)
def test_a_broken_body_is_refused(content, kind, client):
    headers = {} if kind is None else {"Content-Type": kind}
    for path in ("/predict", "/embed", "/everything"):
        answer = client.post(path, content=content, headers=headers)
        assert answer.status_code != 200
        expect_answer_or_refusal(answer)


def test_the_service_is_still_up_after_all_that(client, embedding):
    assert client.get("/ready").json() == {"status": "ready"}
    answer = client.post("/predict", data=form({"box": BOX}, embedding=embedding))
    assert answer.status_code in (200, 404)  # the embedding may have had to go


def test_a_full_queue_refuses_with_a_time_to_come_again(shelf):
    app = create_app(shelf.offered(), Settings(limits=Limits(waiting_prompts=2)))
    with TestClient(app, base_url="http://localhost") as client:
        name = client.post("/embed", files={"image": encoded_picture()}).json()["embedding"]
        begun, go, decoder = threading.Event(), threading.Event(), app.state.service.decoder
        work = decoder._work

        def held(jobs):
            begun.set()
            go.wait(10)
            return work(jobs)

        def send():
            return client.post("/predict", data=form({"box": BOX}, embedding=name))

        decoder._work = held
        with ThreadPoolExecutor(8) as pool:
            pending = [pool.submit(send)]
            assert begun.wait(10)  # one is in work, so that two may wait and five are too many
            pending += [pool.submit(send) for _ in range(7)]
            refused = list(itertools.islice(as_completed(pending, timeout=10), 5))
            go.set()
            answers = [each.result() for each in pending]
    assert {each.result().status_code for each in refused} == {429}
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200] * 3 + [429] * 5
    assert refused[0].result().headers["retry-after"] == "1"


def test_a_new_champion_under_load_fails_nobody(tmp_path):
    shelf = Shelf(tmp_path)
    shelf.place("champion", "hq_sam")
    app = create_app(shelf.offered(), Settings(look_every=0.02))
    with TestClient(app, base_url="http://localhost") as client:
        name = client.post("/embed", files={"image": encoded_picture()}).json()["embedding"]
        swapped, answers = threading.Event(), []

        def ask():
            late = 0
            while late < 3:
                late += app.state.service.offered.swaps > 0
                answers.append(client.post("/predict", data=form({"box": BOX}, embedding=name)))
                if len(answers) > 6 and not swapped.is_set():
                    swapped.set()
                    shelf.place("champion", "pa_sam")

        with ThreadPoolExecutor(4) as pool:
            for each in [pool.submit(ask) for _ in range(4)]:
                each.result(60)
    assert {answer.status_code for answer in answers} == {200}
    assert answers[0].json()["model"]["kind"] == "hq_sam"
    assert answers[-1].json()["model"]["kind"] == "pa_sam"
    masks = {a.json()["model"]["version"]: a.json()["masks"][0]["area"] for a in answers}
    assert all(a.json()["masks"][0]["area"] == masks[a.json()["model"]["version"]] for a in answers)
