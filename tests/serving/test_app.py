"""The application as a whole: a full queue, and a new champion under load."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed

from fastapi.testclient import TestClient
from serving_world import BOX, Shelf, encoded_picture, form

from pasam.serving.app import create_app
from pasam.serving.payloads import Limits
from pasam.serving.service import Settings


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
                late += app.state.service.models.swaps > 0
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
