"""Over 300 hostile or broken requests: each gets a message, and the service stays up."""

from __future__ import annotations

import json

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inference_models import picture
from serving_world import BOX, encoded_picture, form, png_that_claims

from pasam.serving.service import Settings
from pasam.serving.web_app import create_app

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
KINDS = ("JPEG", "PNG", "TIFF", "WEBP")
PICTURES = {kind: encoded_picture(picture(12, 16), kind) for kind in KINDS}
DAMAGED = st.builds(
    lambda kind, spots, end: bytes(
        spots.get(place, value) for place, value in enumerate(PICTURES[kind][:end])
    ),
    kind=st.sampled_from(KINDS),
    spots=st.dictionaries(st.integers(0, 200), st.integers(0, 255), max_size=6),
    end=st.integers(0, 1500),
)
BOMBS = [png_that_claims(*size) for size in ((201, 200), (60_000, 60_000), (2**31 - 1, 1), (0, 5))]
TOKEN = "0123456789abcdef"
WRONG = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40).filter(
    lambda token: token != TOKEN
)


EACH = 80
"""Requests of each of the four properties; with the others they are more than 300."""


def asked(strategy, ask):
    """Ask with examples of a strategy."""
    trying = settings(max_examples=EACH, suppress_health_check=list(HealthCheck))
    trying(given(strategy)(ask))()


@pytest.fixture(scope="module")
def guarded(shelf):
    """A client of a service that needs a token."""
    app = create_app(shelf.offered(), Settings(token=TOKEN))
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as made:
        yield made


def expect_answer_or_refusal(answer):
    """Anything but a success is a refusal of the client with one message."""
    if answer.status_code != 200:
        assert 400 <= answer.status_code < 500, answer.text
        assert list(answer.json()) == ["error"]
        assert answer.json()["error"]
        assert "Traceback" not in answer.text


@pytest.mark.long
def test_any_prompts_are_answered_or_refused(client, embedding):
    def ask(prompts):
        data = {"prompts": json.dumps(prompts), "embedding": embedding}
        expect_answer_or_refusal(client.post("/predict", data=data))

    asked(st.lists(NEARLY, max_size=9) | ANYTHING, ask)


def fields_of(schemas, path):
    """Names of the fields that the service's OpenAPI description gives a form."""
    (content,) = schemas["paths"][path]["post"]["requestBody"]["content"].values()
    name = content["schema"]["$ref"].rpartition("/")[2]
    return list(schemas["components"]["schemas"][name]["properties"])


@pytest.mark.long
def test_any_fields_that_openapi_names_are_answered_or_refused(client, embedding):
    schemas = client.get("/openapi.json").json()

    def ask(data):
        path = data.draw(st.sampled_from(["/predict", "/everything", "/embed"]))
        value = st.text(max_size=9) | st.sampled_from(["nan", "-1", "1e400", "", "[]", "0"])
        optional = dict.fromkeys(fields_of(schemas, path), value)
        fields = data.draw(st.fixed_dictionaries({}, optional=optional))
        fields |= data.draw(st.sampled_from([{}, {"embedding": embedding}]))
        files = data.draw(st.sampled_from([None, {"image": b"?"}, {"prompts": b"[]"}]))
        fields = {k: v.encode("utf-8", "replace").decode() for k, v in fields.items()}
        expect_answer_or_refusal(client.post(path, data=fields, files=files))

    asked(st.data(), ask)


def test_text_that_comes_as_a_file_is_refused_by_its_name(client):
    schemas = client.get("/openapi.json").json()
    forms = ("/predict", "/everything", "/embed", "/annotations", "/feedback")
    named = [(path, name) for path in forms for name in fields_of(schemas, path)]
    for to, name in named:
        for content in (b"", b"[]", b"x"):
            answer = client.post(to, files={name: ("a.json", content)})
            assert 400 <= answer.status_code < 500, (to, name, answer.text)
            if name != "image":
                assert f"the field {name} came as a file" in answer.json()["error"]


def test_any_annotations_are_answered_or_refused(client):
    code = st.fixed_dictionaries({"size": st.lists(NUMBER, max_size=3), "counts": st.text()})
    drawn = st.fixed_dictionaries({}, optional={"name": st.text(), "segmentation": code | ANYTHING})
    images = st.lists(
        st.fixed_dictionaries(
            {"file_name": st.text(), "height": NUMBER, "width": NUMBER},
            optional={"objects": st.lists(drawn, max_size=3), "more": ANYTHING},
        ),
        max_size=3,
    )

    def ask(content, form):
        fields = {"images": json.dumps(content), "format": form}
        expect_answer_or_refusal(client.post("/annotations", data=fields))

    forms = st.sampled_from(["coco", "coco-rle", "yolo", "labelme"])
    asked(st.tuples(images | ANYTHING, forms), lambda drawn: ask(*drawn))


@pytest.mark.parametrize(
    ("tool", "names", "are_two"),
    [
        ("coco", ("a.png", "./a.png"), False), ("coco", ("a.png", "A.png"), True),
        ("coco", ("a.png", "a.jpg"), True), ("yolo", ("a.png", "a.jpg"), False),
        ("labelme", ("a.png", "A.jpg"), False), ("yolo", ("x/a.png", "x//a.jpg"), False),
        ("yolo", ("classes.png", "a.png"), False), ("labelme", ("classes.png", "a.png"), True),
        ("yolo", ("x/classes.png", "y/classes.png"), True),
    ],
)  # fmt: skip
def test_no_images_annotations_take_the_place_of_anothers(tool, names, are_two, client):
    images = [{"file_name": each, "height": 6, "width": 9, "objects": []} for each in names]
    answer = client.post("/annotations", data={"images": json.dumps(images), "format": tool})
    assert answer.status_code == (200 if are_two else 422)
    if are_two:
        assert len(answer.json()["files"]) == {"coco": 1, "labelme": 2, "yolo": 3}[tool]
    else:
        assert "needs a name of its own" in answer.json()["error"]


def test_damaged_pictures_are_answered_or_refused(client):
    def ask(content):
        expect_answer_or_refusal(client.post("/embed", files={"image": content}))

    asked(DAMAGED, ask)


@pytest.mark.parametrize("content", BOMBS, ids=len)
def test_a_picture_that_claims_to_be_giant_is_refused_undecoded(content, client):
    for path in ("/embed", "/predict", "/everything"):
        fields = form({"box": BOX}) if path == "/predict" else {}
        answer = client.post(path, data=fields, files={"image": content})
        assert answer.status_code in (413, 415)
        expect_answer_or_refusal(answer)


def test_wrong_tokens_are_refused(guarded):
    def ask(token):
        answer = guarded.get("/models", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401
        expect_answer_or_refusal(answer)

    asked(WRONG, ask)


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
    assert client.get("/ready").json()["status"] == "ready"
    answer = client.post("/predict", data=form({"box": BOX}, embedding=embedding))
    assert answer.status_code in (200, 404)  # the embedding may have had to go
