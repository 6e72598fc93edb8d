"""The endpoints of the service, and what their answers are put together from."""

from __future__ import annotations

import dataclasses
import json
import re
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest
from inference_models import objects, picture
from serving_world import BOX, encoded_picture, form, small_embedding

from pasam.errors import RefusedError
from pasam.inference.automatic_masks import AutomaticMaskOptions
from pasam.inference.image_prompt import image_prompt
from pasam.inference.zoomed_boxes import predict_zoomed
from pasam.masks.overlap import mask_iou
from pasam.masks.run_lengths import decode, encode, from_segmentation
from pasam.serving.limits import Limits
from pasam.serving.payloads import AnnotatedUpload
from pasam.serving.routes import models_answer, read_scores


def test_embedding_once_and_prompting_by_name_equals_sending_the_picture(client, shelf, embedding):
    by_name = client.post("/predict", data=form({"box": BOX}, embedding=embedding)).json()
    sent = client.post(
        "/predict", data=form({"box": BOX}), files={"image": encoded_picture()}
    ).json()
    assert by_name["masks"] == sent["masks"]
    assert (by_name["height"], by_name["width"]) == (60, 90)
    predictor = shelf.open(shelf.find("pa_sam"))
    predictor.set_image(picture(60, 90))
    expected = predictor.predict(box=BOX, multimask_output=False)[0][0]
    assert np.array_equal(decode(by_name["masks"][0]["segmentation"]), expected)
    assert set(by_name["milliseconds"]) == {"embed", "predict", "total"}


def test_one_embedding_serves_every_model_of_the_base(client, embedding):
    kinds = set()
    for name in ("sam", "hq_sam", "pa_sam"):
        answer = client.post("/predict", data=form({"box": BOX}, embedding=embedding, model=name))
        kinds.add((answer.json()["model"]["name"], answer.json()["masks"][0]["area"]))
    assert len(kinds) == 3


def test_many_prompts_equal_single_ones(client, embedding):
    prompts = [
        {"box": BOX},
        {"points": [[30, 30], [4, 4]], "labels": [1, 0]},
        {"points": [[60, 9]]},
    ]
    together = client.post("/predict", data=form(*prompts, embedding=embedding)).json()["masks"]
    for number, prompt in enumerate(prompts):
        alone = client.post("/predict", data=form(prompt, embedding=embedding)).json()["masks"][0]
        same = decode(together[number]["segmentation"]) == decode(alone["segmentation"])
        assert together[number]["prompt"] == number
        assert same.mean() > 0.999  # sums in another order


def test_candidates_details_and_a_coco_set(client, embedding):
    data = form({"box": BOX}, embedding=embedding, multimask=True, model="sam", format="coco")
    answer = client.post("/predict", data=data).json()
    assert [each["candidate"] for each in answer["masks"]] == [0, 1, 2]
    assert len(answer["coco"]["annotations"]) == 3
    data = form({"box": BOX}, embedding=embedding, details=True, format="png", low_res=True)
    (mask,) = client.post("/predict", data=data).json()["masks"]
    assert {"png", "low_res", "details"} <= set(mask)
    assert {"sam", "uncertainty", "positive", "negative"} == set(mask["details"])
    again = client.post("/predict", data=form({"mask": mask["low_res"]}, embedding=embedding))
    assert again.status_code == 200


@pytest.mark.parametrize(("known", "sent"), [(False, True), (True, True), (True, False)])
def test_small_boxes_are_looked_at_from_near(known, sent, client, shelf, embedding):
    small = {"box": [30, 20, 39, 27]}
    clicked = small | {"points": [[32, 22], [36, 24]], "labels": [1, 0]}
    point = {"points": [[36, 24], [60, 24]], "labels": [1, 0]}
    prompts = [small, {"box": [2, 2, 85, 55]}, clicked, {"box": [0, 52, 9, 59]}, point]
    fields = {"embedding": embedding} if known else {}
    answer = client.post(
        "/predict", data=form(*prompts, zoom=True, format="png", model="pa_sam", **fields),
        files={"image": encoded_picture()} if sent else None,
    ).json()  # fmt: skip
    expected = predict_zoomed(
        shelf.open(shelf.find("pa_sam")), picture(60, 90),
        [image_prompt(**each) for each in prompts],
    )  # fmt: skip
    assert [each["prompt"] for each in answer["masks"]] == [0, 1, 2, 3, 4]
    zoomed = [each["zoomed"] for each in answer["masks"]]
    assert zoomed == [True, False, True, True, expected[4].zoomed]
    for found, mask in zip(answer["masks"], expected, strict=True):
        assert np.array_equal(decode(found["segmentation"]), mask.masks[0])
        assert found["score"] == pytest.approx(float(mask.scores[0]), abs=1e-4)
    assert (answer["embedding"] == embedding) is known
    plain = client.post("/predict", data=form(small, embedding=embedding)).json()["masks"][0]
    assert "zoomed" not in plain
    assert plain["segmentation"] != answer["masks"][0]["segmentation"]


@pytest.mark.parametrize(
    ("prompt", "fields", "words"),
    [
        ({"points": [[5, 5]], "mask": encode(np.ones((60, 90), bool))}, {}, "may have a mask"),
        ({"box": BOX, "mask": encode(np.ones((60, 90), bool))}, {}, "may have a mask"),
        *(({"box": BOX}, {flag: True}, "have to be left out") for flag in
          ("multimask", "details", "low_res")),
    ],
)  # fmt: skip
def test_what_cannot_be_looked_at_from_near_is_refused(prompt, fields, words, client, embedding):
    answer = client.post(
        "/predict", data=form(prompt, embedding=embedding, zoom=True, **fields),
        files={"image": encoded_picture()},
    )  # fmt: skip
    assert answer.status_code == 422
    assert words in answer.json()["error"]


def test_another_image_than_the_one_that_was_embedded_is_not_looked_at(client, embedding):
    answer = client.post(
        "/predict", data=form({"box": BOX}, embedding=embedding, zoom=True),
        files={"image": encoded_picture(picture(61, 90))},
    )  # fmt: skip
    assert answer.status_code == 422
    assert "not the one that was embedded" in answer.json()["error"]


def test_on_a_large_base_no_upload_is_kept_and_it_has_to_come_along(client, monkeypatch):
    monkeypatch.setattr("pasam.inference.predictor.SMALL_SIDE", 64)
    image = {"image": encoded_picture()}
    name = client.post("/embed", files=image).json()["embedding"]
    assert client.app.state.service.cache.upload(name) == b""
    data = form({"box": BOX}, embedding=name, zoom=True)
    refused = client.post("/predict", data=data)
    assert refused.status_code == 422
    assert "which is kept on small bases only: send it too" in refused.json()["error"]
    assert client.post("/predict", data=data, files=image).json()["masks"][0]["zoomed"] is False


def test_looks_from_near_wait_for_the_encoder_and_hold_no_more_than_it_takes(client, queued):
    client.post(
        "/predict", data=form({"box": BOX}, {"box": BOX}, zoom=True),
        files={"image": encoded_picture()},
    )  # fmt: skip
    assert [(name, len(jobs), whose) for name, jobs, whose in queued] == [
        ("images", 1, "testclient"), ("images", 2, "testclient"),
    ]  # fmt: skip
    _, jobs, _ = queued[1]
    assert {job.most_pixels for job in jobs} == {client.app.state.service.settings.limits.pixels}


def test_everything_finds_objects_and_obeys_its_options(client):
    data = {"points_per_side": 3, "pred_iou_thresh": 0, "stability_score_thresh": 0.01}
    answer = client.post(
        "/everything", data=data, files={"image": encoded_picture(objects(60, 90))}
    )
    assert answer.json()["masks"]
    strict = client.post(
        "/everything", data=data | {"pred_iou_thresh": 1}, files={"image": encoded_picture()}
    )
    assert strict.json()["masks"] == []


@pytest.mark.parametrize(
    ("path", "fields", "status", "message"),
    [
        ("/predict", {}, 422, "prompts: Field required"),
        ("/predict", form(), 422, "there are 0 prompts, expected 1 to 8"),
        ("/predict", form(*[{"box": BOX}] * 9), 422, "there are 9 prompts"),
        ("/predict", form({"box": BOX}), 422, "neither came"),
        ("/predict", form({"box": BOX}, embedding="x" * 99), 404, "there is no embedding"),
        ("/predict", form({"box": BOX}, model="best"), 404, "there is no model 'best'"),
        ("/predict", form({"box": BOX}, format="gif"), 422, "format: Input should be"),
        ("/predict", {"prompts": "[{"}, 422, "prompts: Invalid JSON"),
        ("/predict", {"prompts": '[{"box":[NaN,1,2,3]}]'}, 422, "finite number, found nan"),
        ("/embed", {}, 422, "image: Field required"),
        ("/everything", {"points_per_side": 9}, 422, "at most 8 are taken"),
        ("/everything", {"pred_iou_thresh": "nan"}, 422, "pred_iou_thresh: "),
    ],
)
def test_a_request_that_lacks_something_is_told_what(path, fields, status, message, client):
    answer = client.post(path, data=fields)
    assert answer.status_code == status
    assert message in answer.json()["error"]


@pytest.mark.parametrize("path", ["/predict", "/everything", "/embed"])
def test_a_file_that_is_no_picture_is_refused_everywhere(path, client):
    fields = form({"box": BOX}) if path == "/predict" else {}
    answer = client.post(path, data=fields, files={"image": b"hello"})
    assert answer.status_code == 415


def test_a_picture_that_vanishes_when_made_small_is_refused(client):
    thin = encoded_picture(np.zeros((1, 3000, 3), np.uint8))
    answer = client.post("/embed", files={"image": thin})
    assert answer.status_code == 422
    assert "short side vanishes" in answer.json()["error"]


def test_models_say_which_version_answers(client):
    answer = client.get("/models").json()
    assert [each["name"] for each in answer["models"]] == ["pa_sam", "hq_sam", "sam"]
    assert len(answer["models"][0]["version"]) == 12


def test_health_and_readiness(client):
    assert client.get("/health").json() == {"status": "running"}
    ready = client.get("/ready").json()
    assert ready["status"] == "ready"
    assert 0 <= ready["seconds_since_model_check"] < 600
    assert "pasam_seconds_since_model_check" in client.get("/metrics").text


def test_scores_belong_to_the_reports_name_and_what_a_model_has_seen_is_said(shelf, tmp_path):
    scores = {"pa_sam": {"mean": {"miou": 67.2, "mbiou": 52.3}}}
    (tmp_path / "scores.json").write_text(json.dumps(scores))
    answer = models_answer(shelf.offered().all(), tmp_path / "scores.json")
    assert [each.name for each in answer.models] == ["pa_sam", "hq_sam", "sam"]
    assert [each.scores for each in answer.models] == [scores["pa_sam"], None, None]
    assert [each.details for each in answer.models] == [True, False, False]
    assert {each.trained_on for each in answer.models} == {"trained on photographs too"}
    assert answer.note is None
    file = dataclasses.replace(shelf.offered().get("pa_sam"), name="mine.safetensors")
    assert models_answer([file], tmp_path / "scores.json").models[0].scores is None
    first = dataclasses.replace(shelf.offered().get("pa_sam"), seen="synthetic")
    answer = models_answer([first], None)
    assert answer.models[0].trained_on == "trained on synthetic images only"
    assert "pa_sam: trained on synthetic images only" in answer.note


@pytest.mark.long
@pytest.mark.parametrize(
    ("benchmarks", "kind"),
    [
        (("dis_like", "thin_like"), "2 benchmarks of synthetic images"),
        (("cats",), "1 benchmark of photographs"),
        (("photos", "dis_like"), "1 benchmark of synthetic images"),
        (("photos",), "1 benchmark of photographs"),
        (
            ("dis_like", "thin_like", "cats", "photos"),
            "2 benchmarks of synthetic images and 1 benchmark of photographs",
        ),
    ],
)
def test_scores_say_of_what_kind_of_image_they_are(shelf, tmp_path, benchmarks, kind):
    numbers = {name: {"miou": 67.2, "mbiou": 52.3} for name in (*benchmarks, "mean")}
    (tmp_path / "scores.json").write_text(json.dumps({"pa_sam": numbers}))
    answer = models_answer(shelf.offered().all(), tmp_path / "scores.json")
    assert [each.scored_on for each in answer.models] == [kind, None, None]


def square(height=60, width=90):
    """A mask as run lengths, with a hole."""
    mask = np.zeros((height, width), np.uint8)
    mask[10:40, 20:70] = 1
    mask[20:25, 30:40] = 0
    return encode(mask)


def test_a_mask_of_the_image_is_a_prompt_as_run_lengths(client, embedding):
    alone = {"mask": square()}
    other = {"mask": encode(np.ones((60, 90), np.uint8)), "points": [[30, 30]], "labels": [0]}
    answer = client.post("/predict", data=form(alone, other, embedding=embedding))
    assert answer.status_code == 200
    first, second = answer.json()["masks"]
    assert first["segmentation"] != second["segmentation"]


@pytest.mark.parametrize(
    ("mask", "why"),
    [
        (square(90, 60), r"size is \[90, 60\], expected \[60, 90\]"),
        ({"size": [60, 90], "counts": "o" * 50_000}, "damaged"),
        ({"size": [60, 90], "counts": "1"}, "damaged"),
        ({"size": [1 << 20, 1 << 20], "counts": "1"}, "pixels"),
    ],
)
def test_run_lengths_that_are_no_mask_of_the_image_are_refused(client, embedding, mask, why):
    answer = client.post("/predict", data=form({"mask": mask}, embedding=embedding))
    assert answer.status_code == 422
    assert re.search(why, answer.json()["error"])


@pytest.mark.parametrize("tool", ["coco", "coco-rle", "yolo", "labelme"])
def test_masks_are_written_as_another_tools_annotations(client, tool):
    image = {"height": 60, "width": 90, "objects": [{"name": "cat", "segmentation": square()}]}
    images = [image | {"file_name": "a.png"}, image | {"file_name": "b.png", "objects": []}]
    answer = client.post("/annotations", data={"images": json.dumps(images), "format": tool})
    files = answer.json()["files"]
    if tool.startswith("coco"):
        (annotation,) = json.loads(files["annotations.json"])["annotations"]
        drawn = decode(from_segmentation(annotation["segmentation"], 60, 90))
        assert mask_iou(drawn, decode(square())) >= 0.98
    elif tool == "yolo":
        assert files["a.txt"].startswith("0 ")
        assert files["classes.txt"] == "cat\n"
    else:
        assert json.loads(files["a.json"])["shapes"][0]["label"] == "cat"


@pytest.mark.parametrize(
    ("change", "status", "why"),
    [
        ({"file_name": "../a.png"}, 422, "leads out"),
        ({"file_name": "./"}, 422, "names no file"),
        ({"height": 61}, 422, r"expected \[61, 90\]"),
        ({"height": 100_000_000}, 413, "at most"),
        ({"objects": [{"name": "a\nb", "segmentation": square()}]}, 422, "name"),
        ({"objects": [{"name": "x", "segmentation": square()}] * 21}, 413, "at most 20"),
        ({"pixels": "AAAA"}, 422, "pixels"),
    ],
)
def test_annotations_that_cannot_be_written_are_refused(client, change, status, why):
    image = {"file_name": "a.png", "height": 60, "width": 90, "objects": []}
    image["objects"] = [{"name": "cat", "segmentation": square()}]
    answer = client.post("/annotations", data={"images": json.dumps([image | change])})
    assert answer.status_code == status
    assert re.search(why, answer.json()["error"])
    twice = client.post("/annotations", data={"images": json.dumps([image, image])})
    assert "needs a name of its own" in twice.json()["error"]


def test_a_registered_versions_own_scores_come_before_the_reports(shelf, tmp_path):
    (tmp_path / "scores.json").write_text('{"pa_sam": {"mean": {"mbiou": 52.3}}}')
    own = {"mean": {"mbiou": 40.0}}
    champion = dataclasses.replace(shelf.offered().get("pa_sam"), scores=own)
    (answer,) = models_answer([champion], tmp_path / "scores.json").models
    assert answer.scores == own


GOOD = {"sam": {"mean": {"miou": 60.2, "mbiou": 39.4}}}


def test_the_reports_numbers_are_read(tmp_path):
    path = tmp_path / "scores.json"
    path.write_text(json.dumps(GOOD | {"odd": {"mean": 3}, "odder": 4}))
    assert read_scores(path) == GOOD


@pytest.mark.parametrize("content", [None, "", "[]", "{", "\xff"])
def test_without_a_report_there_are_none(content, tmp_path):
    path = tmp_path / "scores.json"
    if content is not None:
        path.write_text(content, encoding="latin-1")
    assert read_scores(path) == {}
    assert read_scores(None) == {}


@pytest.mark.parametrize("path", ["/predict", "/everything"])
def test_an_embedding_of_another_base_is_refused(path, client):
    name = client.app.state.service.cache.put(small_embedding(base="another"))
    prompts = form({"box": [1, 1, 5, 5]}) if path == "/predict" else {}
    answer = client.post(path, data={**prompts, "embedding": name})
    assert answer.status_code == 409
    assert "embedded by base another" in answer.json()["error"]
    files = {"image": encoded_picture()}  # which is embedded anew, as where the name is not known
    assert client.post(path, data={**prompts, "embedding": name}, files=files).status_code == 200


@pytest.mark.parametrize(("count", "status"), [(8, 200), (9, 422)])
def test_as_many_points_as_the_limit_says_are_taken(count, status, client, embedding):
    data = form({"points": [[30, 30]] * count}, embedding=embedding)
    assert client.post("/predict", data=data).status_code == status


def test_requests_with_and_without_details_at_the_same_time_get_what_they_asked_for(
    client, embedding
):
    decoder = client.app.state.service.decoder
    work, begun, go = decoder._work, threading.Event(), threading.Event()

    def held(jobs):
        begun.set()
        assert go.wait(20)
        return work(jobs)

    def ask(details):
        data = form({"box": BOX}, embedding=embedding, details=details)
        return client.post("/predict", data=data).json()["masks"][0]

    asked = [False, True, False, True, True, False]
    decoder._work = held
    try:
        with ThreadPoolExecutor(7) as pool:
            first = pool.submit(ask, False)
            assert begun.wait(20)
            rest = [pool.submit(ask, details) for details in asked]
            deadline = time.monotonic() + 20
            while decoder.waiting < len(asked) and time.monotonic() < deadline:
                time.sleep(0.01)
            go.set()
            found = [each.result(20) for each in (first, *rest)]
    finally:
        decoder._work = work
    assert ["details" in mask for mask in found] == [False, *asked]
    assert len({mask["area"] for mask in found}) == 1


@pytest.mark.parametrize("path", ["/predict", "/embed", "/everything"])
def test_a_misspelt_field_is_refused_and_named(path, client, embedding):
    fields = {"modl": "x"} | ({} if path == "/embed" else {"embedding": embedding})
    fields |= {"prompts": "[]"} if path == "/predict" else {}
    files = {"image": encoded_picture()} if path == "/embed" else None
    answer = client.post(path, data=fields, files=files)
    assert answer.status_code == 422
    assert "unknown fields 'modl'" in answer.json()["error"]
    assert "model" in answer.json()["error"]


def test_openapi_says_what_needs_the_token_and_groups_endpoints(client):
    described = client.get("/openapi.json").json()
    assert "HTTPBearer" in described["components"]["securitySchemes"]
    for path, methods in described["paths"].items():
        for operation in methods.values():
            assert operation["tags"]
            open_paths = ("/health", "/ready", "/examples/{number}")
            asks = path not in open_paths
            assert ("security" in operation) is asks


@pytest.fixture
def queued(client, monkeypatch):
    """What the endpoints queue: the queue, the jobs and whose they are; answered with nothing."""
    found, service = [], client.app.state.service

    def watched(queue, answer):
        def submit(jobs, client=""):
            found.append((queue.name, list(jobs), client))
            futures = [Future() for _ in jobs]
            for each in futures:
                each.set_result(answer)
            return futures

        monkeypatch.setattr(queue, "submit", submit)

    embedded = service.models.get().predictor.embed(picture(60, 90))
    for queue, answer in zip(service.queues, (embedded, [], [], {"a": "b"}), strict=True):
        watched(queue, answer)
    return found


FLAGS = ("multimask", "details", "low_res")


@pytest.mark.parametrize("chosen", [(), *((flag,) for flag in FLAGS), ("format",), ("model",)])
def test_each_option_of_a_prediction_reaches_its_job_and_no_other(
    chosen, client, embedding, queued
):
    values = dict.fromkeys(FLAGS, True) | {"format": "png", "model": "sam"}
    given = {name: values[name] for name in chosen}
    client.post("/predict", data=form({"box": BOX}, embedding=embedding, **given))
    ((queue, (job,), whose),) = queued
    assert (queue, whose) == ("prompts", "testclient")
    assert {flag: getattr(job, flag) for flag in FLAGS} == {flag: flag in chosen for flag in FLAGS}
    assert job.form == ("png" if "format" in chosen else "rle")
    pool = client.app.state.service.models
    assert job.model is pool.get("sam" if "model" in chosen else "pa_sam").predictor


@pytest.mark.parametrize("path", ["/embed", "/predict", "/everything"])
def test_an_upload_is_embedded_by_the_model_that_was_named_for_its_sender(path, client, queued):
    fields = form({"box": BOX}) if path == "/predict" else {}
    client.post(path, data=fields | {"model": "hq_sam"}, files={"image": encoded_picture()})
    queue, (job,), whose = queued[0]
    service = client.app.state.service
    assert (queue, whose) == ("images", "testclient")
    assert job.model is service.models.get("hq_sam").predictor
    assert job.most_pixels == service.settings.limits.pixels
    assert [each[2] for each in queued[1:]] == ["testclient"] * (path != "/embed")
    assert all(each[1][0].model is job.model for each in queued[1:])


SEARCH = {
    "points_per_side": 8, "pred_iou_thresh": 0.1, "stability_score_thresh": 0.2,
    "box_nms_thresh": 0.3, "min_mask_region_area": 4,
}  # fmt: skip


ALONE = [{name: value} for name, value in SEARCH.items()]
NONE = [{"pred_iou_thresh": 0.0}, {"min_mask_region_area": 0}]


@pytest.mark.parametrize("given", [{}, SEARCH, *ALONE, *NONE])
@pytest.mark.parametrize("name", ["sam", "pa_sam"])
def test_options_of_a_search_reach_it_and_the_rest_is_what_suits_its_model(
    given, name, client, embedding, queued
):
    fields = {"embedding": embedding, "model": name, "format": "png", **given}
    client.post("/everything", data=fields)
    ((queue, (job,), _),) = queued
    model = client.app.state.service.models.get(name).predictor
    assert (queue, job.form, job.model) == ("searches", "png", model)
    usual = AutomaticMaskOptions.suited_to(model)
    assert job.options == dataclasses.replace(usual, **given)


@pytest.mark.parametrize("tool", [None, "yolo", "labelme", "coco-rle"])
def test_annotations_are_queued_for_their_tool_and_their_sender(tool, client, queued):
    images = [
        {"file_name": f"{name}.png", "height": 60, "width": 90,
         "objects": [{"name": name, "segmentation": square()}] * 10}
        for name in ("b", "a")
    ]  # fmt: skip
    fields = {"images": json.dumps(images)} | ({} if tool is None else {"format": tool})
    answer = client.post("/annotations", data=fields)  # as many objects as are taken at once
    assert answer.json() == {"files": {"a": "b"}}
    ((queue, (job,), whose),) = queued
    assert (queue, whose, job.form) == ("exports", "testclient", tool or "coco")
    assert [(each.name, len(each.objects)) for each in job.images] == [
        ("b.png", 10), ("a.png", 10)
    ]  # fmt: skip


@pytest.fixture
def limited(client, monkeypatch):
    """Set limits of the running service."""
    service = client.app.state.service

    def limit(**limits):
        changed = dataclasses.replace(service.settings.limits, **limits)
        settings = dataclasses.replace(service.settings, limits=changed)
        monkeypatch.setattr(service, "settings", settings)

    return limit


@pytest.mark.parametrize(
    ("name", "at", "path", "fields"),
    [
        ("pixels", 5400, "/embed", {}),
        ("pixels", 5400, "/predict", form({"box": BOX})),
        ("prompt_pixels", 5400, "/predict", form({"box": BOX})),
        ("prompt_pixels", 3 * 5400, "/predict", form({"box": BOX}, multimask=True)),
        ("prompt_pixels", 7 * 5400, "/predict", form({"box": BOX}, details=True)),
        ("search_pixels", 5400, "/everything", {"points_per_side": 1}),
    ],
)
def test_an_image_of_just_as_many_pixels_as_a_limit_says_is_taken_and_no_larger_one(
    name, at, path, fields, client, limited
):
    image = {"image": encoded_picture()}
    limited(**{name: at})
    assert client.post(path, data=fields, files=image).status_code == 200
    limited(**{name: at - 1})
    assert client.post(path, data=fields, files=image).status_code == 413


def test_annotations_may_be_as_large_as_the_limits_say_and_no_larger():
    object_ = {"name": "cat", "segmentation": square()}  # of 30 x 50 pixels
    image = {"file_name": "a.png", "height": 60, "width": 90, "objects": [object_]}
    upload = AnnotatedUpload.model_validate(image)
    written = upload.checked(Limits(exported_pixels=5400, pixels=1500))
    assert (written.name, written.height, written.width) == ("a.png", 60, 90)
    for limits, words in (({"exported_pixels": 5399}, "5400 pixels"), ({"pixels": 1499}, "spans")):
        with pytest.raises(RefusedError, match=words) as refused:
            upload.checked(Limits(**limits))
        assert refused.value.status == 413


def test_an_answer_has_no_more_than_was_asked_for(client, embedding):
    usual = {"prompt", "candidate", "score", "area", "bbox", "segmentation"}
    for given, more in (
        ({}, set()), ({"details": True}, {"details"}), ({"low_res": True}, {"low_res"}),
        ({"format": "png"}, {"png"}), ({"format": "coco"}, set()),
    ):  # fmt: skip
        answer = client.post("/predict", data=form({"box": BOX}, embedding=embedding, **given))
        (mask,) = answer.json()["masks"]
        assert set(mask) == usual | more
        assert ("coco" in answer.json()) is (given.get("format") == "coco")


def test_a_service_that_stops_or_has_no_model_is_alive_and_not_ready(client, monkeypatch):
    service = client.app.state.service
    monkeypatch.setattr(service, "stopping", True)
    stopping = client.get("/ready")
    assert (stopping.status_code, stopping.headers["retry-after"]) == (503, "5")
    monkeypatch.undo()
    monkeypatch.setattr(service.models, "_offered", {})
    assert client.get("/ready").status_code == 503
    assert client.get("/health").status_code == 200


def test_each_model_is_described_by_its_own_facts(shelf, monkeypatch):
    one, two, three = shelf.offered().all()
    two, three = (dataclasses.replace(each, seen="synthetic") for each in (two, three))
    answer = models_answer([two, one, three], None)
    assert answer.note.startswith("hq_sam, sam: trained on synthetic images only.")
    for model, found in zip((two, one, three), answer.models, strict=True):
        assert (found.name, found.kind, found.version) == (model.name, model.kind, model.version)
        assert (found.size, found.base) == (model.size, model.predictor.base[:12])
        assert found.mask_side == model.predictor.mask_side
        assert found.scores is found.scored_on is None
    assert [each.details for each in answer.models] == [False, True, False]
    assert all(each.zoom for each in answer.models)
    monkeypatch.setattr("pasam.inference.predictor.SMALL_SIDE", one.predictor.side)
    assert not any(each.zoom for each in models_answer([one, two], None).models)
