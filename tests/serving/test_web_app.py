"""The application as a whole: a full queue, a new champion under load, replicas, start and stop."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import inspect
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
import uvicorn
from fastapi.testclient import TestClient
from serving_world import BOX, Shelf, encoded_picture, form, small_embedding

from pasam.cli import serve as cli
from pasam.cli.serve import offered_models
from pasam.config.params_file import DEFAULT_PATH
from pasam.errors import ParamsError, RefusedError, TrackingError
from pasam.inference.model_files import find_model
from pasam.registry.version_files import ADAPTER, BASE, METADATA, describe_files
from pasam.serving import last_good
from pasam.serving import server as web_server
from pasam.serving import service as service_module
from pasam.serving.last_good import RECORD, LastGood, folder_of
from pasam.serving.limits import MEGA, Limits
from pasam.serving.server import BoundedConnection, address_of, is_loopback, listen
from pasam.serving.service import EmbeddingCache, Metrics, Service, Settings
from pasam.serving.web_app import create_app


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
            late, deadline = 0, time.monotonic() + 60
            while late < 3:
                assert time.monotonic() < deadline, "the new champion never came"
                late += app.state.service.models.swaps > 0
                answers.append(client.post("/predict", data=form({"box": BOX}, embedding=name)))
                if len(answers) > 6 and not swapped.is_set():
                    swapped.set()
                    shelf.place("champion", "pa_sam")

        with ThreadPoolExecutor(4) as pool:
            for each in [pool.submit(ask) for _ in range(4)]:
                each.result(70)
    assert {answer.status_code for answer in answers} == {200}
    assert answers[0].json()["model"]["kind"] == "hq_sam"
    assert answers[-1].json()["model"]["kind"] == "pa_sam"
    masks = {a.json()["model"]["version"]: a.json()["masks"][0]["area"] for a in answers}
    assert all(a.json()["masks"][0]["area"] == masks[a.json()["model"]["version"]] for a in answers)


SERVER = """
import asyncio
from fastapi import FastAPI
from pasam.serving.server import listen, run_server, address_of
app = FastAPI()
@app.get("/slow")
async def slow():
    print("begun", flush=True)
    await asyncio.sleep(0.5)
    return "done"
taken = listen("127.0.0.1", 0)
run_server(app, taken, log_level="info", when_ready=lambda: print(address_of(taken), flush=True))
"""


def test_a_taken_port_is_an_error_that_says_so():
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        assert address_of(taken) == f"http://127.0.0.1:{port}/"
        with pytest.raises(ParamsError, match="something else listens there"):
            listen("127.0.0.1", port)
    with pytest.raises(ParamsError, match="cannot listen on no such host"):
        listen("no such host", 0)


@pytest.mark.parametrize(
    ("host", "inside"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("box", False),
    ],
)  # fmt: skip
def test_loopback_is_told_from_the_rest(host, inside):
    assert is_loopback(host) is inside


@pytest.mark.slow  # a service in a process of its own
def test_told_to_stop_it_finishes_what_is_in_flight():
    from concurrent.futures import ThreadPoolExecutor
    from urllib.request import urlopen

    process = subprocess.Popen(
        [sys.executable, "-c", SERVER], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr, ThreadPoolExecutor(1) as pool:
        address = process.stdout.readline().strip()
        answer = pool.submit(lambda: urlopen(f"{address}slow", timeout=20).read())
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGTERM)
        assert answer.result() == b'"done"'
        assert process.wait(20) == -signal.SIGTERM
        assert process.stdout.read() == ""  # nobody need read on who started it for its address
        assert '"GET /slow HTTP/1.1" 200' in process.stderr.read()


@pytest.mark.parametrize("level", ["info", "warning"])
def test_the_server_has_bounds_and_is_gone_some_time_after_it_was_told_to_stop(level, monkeypatch):
    made, ends, said = [], [], []
    real = uvicorn.Config
    monkeypatch.setattr(uvicorn, "Config", lambda app, **how: made.append(how) or real(app, **how))
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: ends.append((self, sockets)))

    async def started(self, sockets=None):
        said.append(sockets)

    monkeypatch.setattr(uvicorn.Server, "startup", started)
    monkeypatch.setattr(uvicorn.Server, "handle_exit", lambda self, sig, frame: said.append(sig))
    web_server.run_server("app", "socket", log_level=level, when_ready=lambda: said.append("ready"))
    ((how,), ((server, sockets),)) = made, ends
    assert sockets == ["socket"]
    assert issubclass(how["http"], BoundedConnection)
    assert how["log_level"] == level
    assert (how["timeout_graceful_shutdown"], how["server_header"]) == (15, False)
    assert how["log_config"]["handlers"]["access"]["stream"] == "ext://sys.stderr"
    assert uvicorn.config.LOGGING_CONFIG["handlers"]["access"]["stream"] == "ext://sys.stdout"
    asyncio.run(server.startup(["socket"]))
    assert said == [["socket"], "ready"], "told once requests are taken"
    timers = []

    class Timer:
        daemon = False

        def __init__(self, *words):
            timers.append((words, self))

        def start(self):
            assert self.daemon, "it keeps nothing alive that ends by itself"

    monkeypatch.setattr(web_server.threading, "Timer", Timer)
    server.handle_exit(signal.SIGTERM, None)
    ((words, _),) = timers
    assert words == (web_server.LAST, os._exit, (web_server.EXIT_HUNG,))
    assert said[2:] == [signal.SIGTERM]
    assert web_server.GRACE + service_module.CLOSING < web_server.LAST < 25


def test_a_service_that_never_started_can_be_closed(shelf):
    service = Service(shelf.offered(), Settings())
    service.close()
    assert service.stopping


def test_its_numbers_are_those_of_its_parts(client):
    text = client.get("/metrics").text
    assert "pasam_models 3.0" in text
    assert "pasam_waiting_prompts 0.0" in text


def number(text, name):
    """A number of Prometheus's text; 0.0 where it is not there."""
    found = re.search(rf"^{re.escape(name)} (.*)$", text, re.MULTILINE)
    return 0.0 if found is None else float(found[1])


def test_requests_steps_and_batches_are_counted_by_what_they_were(client, embedding):
    names = [
        'pasam_requests_total{route="/predict",status="200"}',
        'pasam_requests_total{route="/predict",status="404"}',
        'pasam_requests_total{route="other",status="404"}',
        'pasam_requests_total{route="other",status="421"}',
        'pasam_request_seconds_count{route="/predict"}',
        'pasam_step_seconds_count{step="predict"}',
        'pasam_step_seconds_count{step="embed"}',
        'pasam_step_seconds_count{step="everything"}',
        "pasam_batch_prompts_sum",
    ]
    before = client.get("/metrics").text
    client.post("/predict", data=form({"box": BOX}, {"box": BOX}, embedding=embedding))
    client.post("/predict", data=form({"box": BOX}, embedding="no"))
    client.post("/everything", data={"points_per_side": 1, "embedding": embedding})
    client.post("/embed", files={"image": encoded_picture()})
    client.get("/nowhere")
    client.get("/models", headers={"Host": "evil.example"})
    after = client.get("/metrics").text
    told = [number(after, name) - number(before, name) for name in names]
    assert told[:5] == [1, 1, 1, 1, 2]
    assert 1 <= told[5] <= 2  # the two prompts may have come into the queue one after the other
    assert told[6:] == [1, 1, 2]


def test_every_limit_reaches_its_queue_and_every_gauge_shows_its_own(shelf):
    limits = Limits(
        waiting_images=3, waiting_prompts=5, batch=7, batch_pixels=11, cache_bytes=2 * SIZE
    )
    service = Service(shelf.offered(), Settings(limits=limits))
    assert {
        queue.name: (queue._most_waiting, queue._most, queue._most_weight)
        for queue in service.queues
    } == {"images": (3, 1, 1), "prompts": (5, 7, 11), "searches": (3, 1, 1), "exports": (3, 1, 1)}
    assert service.cache.most_bytes == 2 * SIZE
    for count, queue in ((1, service.encoder), (2, service.decoder), (3, service.searcher)):
        queue.submit([object()] * count)
    service.cache.put(small_embedding())
    service.models.swaps = 4
    text = service.metrics.text().decode()
    assert {
        name: number(text, f"pasam_{name}")
        for name in ("waiting_pictures", "waiting_prompts", "waiting_searches", "embeddings",
                     "embedding_bytes", "models", "model_swaps")
    } == {
        "waiting_pictures": 1, "waiting_prompts": 2, "waiting_searches": 3, "embeddings": 1,
        "embedding_bytes": SIZE, "models": 3, "model_swaps": 4,
    }  # fmt: skip


def test_a_service_looks_as_often_as_it_was_told_and_ends_with_all_its_parts(tmp_path):
    said = []
    models = SimpleNamespace(
        watch=said.append, close=lambda seconds: said.append("models"), seconds_since_look=None
    )
    service = Service(models, Settings(look_every=0.7, feedback=tmp_path))
    service.demand.close = lambda: said.append("demand")
    service.start()
    assert all(queue._worker.is_alive() for queue in service.queues)
    service.close()
    assert said == [0.7, "models", "demand"]
    assert not any(queue._worker.is_alive() for queue in service.queues)


SIZE = small_embedding().nbytes


def test_what_was_put_comes_back_under_a_name_of_its_own():
    cache, image = EmbeddingCache(10 * SIZE), small_embedding()
    first, second = cache.put(image), cache.put(image)
    assert first != second
    assert cache.get(first) is image
    assert (len(cache), cache.nbytes) == (2, 2 * SIZE)


def test_the_one_used_longest_ago_goes_when_there_is_no_room():
    cache = EmbeddingCache(2 * SIZE + 1)
    old, used = cache.put(small_embedding()), cache.put(small_embedding())
    cache.get(old)
    cache.put(small_embedding())
    assert cache.get(old) is not None
    with pytest.raises(RefusedError, match="Send the image to /embed again") as gone:
        cache.get(used)
    assert gone.value.status == 404
    assert cache.nbytes == 2 * SIZE


def test_the_memory_that_is_counted_is_that_of_what_is_kept():
    images = [small_embedding(side) for side in (8, 24, 16, 8, 16)]
    cache = EmbeddingCache(images[1].nbytes + images[2].nbytes)
    for image in images:
        name = cache.put(image)
        assert cache.get(name) is image
        assert cache.nbytes <= cache.most_bytes
    assert len(cache) == 3
    assert cache.nbytes == sum(image.nbytes for image in images[2:])


def test_uploads_are_kept_with_their_images_and_count():
    cache = EmbeddingCache(2 * SIZE + 100)
    bare, first = cache.put(small_embedding()), cache.put(small_embedding(), b"a" * 60)
    assert (cache.upload(bare), cache.upload(first)) == (b"", b"a" * 60)
    assert cache.nbytes == 2 * SIZE + 60
    last = cache.put(small_embedding(), b"b" * 40)
    with pytest.raises(RefusedError, match="Send the image to /embed again"):
        cache.upload(bare)
    assert (cache.upload(first), cache.upload(last)) == (b"a" * 60, b"b" * 40)
    assert (len(cache), cache.nbytes) == (2, 2 * SIZE + 100)
    other = cache.put(small_embedding(), b"c" * 41)
    assert (cache.upload(last), cache.upload(other)) == (b"b" * 40, b"c" * 41)
    assert cache.nbytes == 2 * SIZE + 81
    huge = cache.put(small_embedding(), b"d" * (SIZE + 101))
    for gone in (first, huge):
        with pytest.raises(RefusedError):
            cache.upload(gone)
    assert len(cache) == 2


def test_an_image_larger_than_the_memory_is_not_kept_and_pushes_nothing_out():
    cache = EmbeddingCache(2 * SIZE)
    small = cache.put(small_embedding())
    large = cache.put(small_embedding(side=80))
    assert (len(cache), cache.nbytes) == (1, SIZE)
    assert cache.get(small) is not None
    as_large = cache.put(small_embedding(), b"a" * SIZE)
    assert cache.upload(as_large) == b"a" * SIZE
    assert (len(cache), cache.nbytes) == (1, 2 * SIZE)
    with pytest.raises(RefusedError):
        cache.get(large)


def test_two_services_count_apart_and_watched_numbers_are_current():
    one, two = Metrics(), Metrics()
    number = 3
    one.watch("waiting", "Waiting.", lambda: number)
    one.requests.labels("/predict", "200").inc()
    assert "pasam_waiting 3.0" in one.text().decode()
    number = 4
    text = one.text().decode()
    assert "pasam_waiting 4.0" in text
    assert 'pasam_requests_total{route="/predict",status="200"} 1.0' in text
    assert "/predict" not in two.text().decode()


def test_a_bound_of_nothing_is_refused_by_its_name():
    with pytest.raises(ParamsError, match="the limit pixels is 0"):
        Limits(pixels=0)


def test_what_pasam_serve_takes_by_default_are_the_limits_of_the_service_on_loopback_only():
    usual = {
        name: option.default for name, option in inspect.signature(cli.serve).parameters.items()
    }
    limits = Limits()
    assert limits.upload_bytes == usual["max_upload_mb"] * MEGA == 32_000_000
    assert limits.pixels == usual["max_megapixels"] * MEGA == 25_000_000
    assert limits.cache_bytes == usual["max_cache_mb"] * MEGA == 256_000_000
    assert limits.prompts == usual["max_prompts"] == 64
    assert limits.waiting_prompts == usual["max_waiting"] == 256
    assert usual["host"] == "127.0.0.1"


def test_a_client_that_holds_its_image_is_answered_by_either_replica(shelf):
    apps = [create_app(shelf.offered(), Settings()) for _ in range(2)]
    with (
        TestClient(apps[0], base_url="http://localhost") as one,
        TestClient(apps[1], base_url="http://localhost") as other,
    ):
        name = one.post("/embed", files={"image": encoded_picture()}).json()["embedding"]
        asked = form({"box": BOX}, embedding=name)
        assert other.post("/predict", data=asked).status_code == 404
        masks = []
        for replica in (one, other, one, other):
            sent = replica.post("/predict", data=asked, files={"image": encoded_picture()})
            assert sent.status_code == 200
            masks.append(sent.json()["masks"])
        assert masks == masks[:1] * 4
        assert one.get("/metrics").text.count("pasam_embeddings 1.0") == 1  # its own was used


def version(folder: Path, model: str) -> Path:
    """The files of a version, as the registry stores them."""
    files = find_model(model)  # the packaged one: there is no project
    folder.mkdir()
    shutil.copyfile(files.base, folder / BASE)
    shutil.copyfile(files.weights, folder / ADAPTER)
    about = {"model": model, "size": files.size, "variant": files.variant.model_dump(mode="json")}
    (folder / METADATA).write_text(json.dumps(about))
    return folder


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An account's folder of its own, and a project in which nothing is trained."""
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    return tmp_path


def offered(home):
    return offered_models(None, "cpu", None, home / "none", DEFAULT_PATH, home / "versions")


@pytest.mark.slow  # MLflow is asked again and again
def test_a_service_starts_from_its_last_good_version_while_mlflow_is_away_or_holds_a_broken_one(
    home, monkeypatch
):
    files = describe_files(version(home / "v1", "pa_sam"))
    away = TrackingError("MLflow does not answer.")

    def find(self, name):
        if isinstance(answers[0], Exception):
            raise answers[0]
        return answers[0] if name == "champion" else None

    answers = [away]
    monkeypatch.setattr("pasam.serving.registered_versions.RegisteredVersions.__call__", find)
    with pytest.raises(TrackingError):
        offered(home)  # nothing was kept yet
    answers[0] = files
    version_then = offered(home).get("champion").version
    shutil.rmtree(home / "v1")
    answers[0] = away
    pool = offered(home)
    assert pool.get("champion").version == version_then
    with pytest.raises(TrackingError):  # it goes on asking, and says so
        pool.refresh()
    assert pool.get("champion").version == version_then

    answers[0] = describe_files(version(home / "v2", "hq_sam"))
    (home / "v2" / ADAPTER).write_bytes(b"broken")
    assert offered(home).get("champion").version == version_then


def test_kept_files_that_were_changed_are_not_used_and_old_ones_go(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kept = LastGood(tmp_path / "kept")
    assert kept.get("champion") is None
    first = describe_files(version(tmp_path / "v1", "pa_sam"))
    kept.keep("champion", first)
    second = describe_files(version(tmp_path / "v2", "hq_sam"))
    kept.keep("champion", second)
    kept.keep("champion", second)
    (folder,) = [path for path in (tmp_path / "kept").iterdir() if path.is_dir()]
    assert kept.get("champion").name == "hq_sam"
    shutil.copyfile(first.weights, tmp_path / "other")
    (tmp_path / "other").replace(folder / ADAPTER)
    assert kept.get("champion") is None
    (tmp_path / "kept" / "last.json").write_text("{")
    assert kept.get("champion") is None


def test_each_name_keeps_its_own_version_with_its_scores(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kept = LastGood(tmp_path / "kept")
    scores = {"mean": {"miou": 61.0, "mbiou": 52.0}}
    first = describe_files(version(tmp_path / "v1", "pa_sam"))
    first = dataclasses.replace(first, name="pa_sam (version 1)", scores=scores)
    other = describe_files(version(tmp_path / "v2", "hq_sam"))
    kept.keep("champion", first)
    kept.keep("staging", other)
    found = LastGood(tmp_path / "kept").get("champion")
    assert (found.name, found.scores) == ("pa_sam (version 1)", scores)
    assert found.weights.read_bytes() == first.weights.read_bytes()
    assert kept.get("staging").weights.read_bytes() == other.weights.read_bytes()
    kept.keep("champion", other)  # the same files under both names: those of neither go
    assert kept.get("champion").name == kept.get("staging").name == "hq_sam"
    assert sum(path.is_dir() for path in (tmp_path / "kept").iterdir()) == 1


def test_projects_and_registries_keep_apart(tmp_path, monkeypatch):
    here = folder_of(tmp_path / "a")
    assert here != folder_of(tmp_path / "b")
    monkeypatch.chdir(tmp_path)
    assert here == folder_of(Path("a"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example.org")
    there = folder_of(tmp_path / "a")
    assert here != there
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "https://mlflow.example.org")
    assert folder_of(tmp_path / "a") == there  # whatever tracks, the registry has the versions
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "https://registry.example.org")
    assert folder_of(tmp_path / "a") not in (here, there)


def test_versions_are_copied_to_another_disk_and_a_full_one_keeps_what_was_there(
    home, monkeypatch, caplog
):
    kept, full = LastGood(home / "kept"), [False]

    def no_link(source, target):
        raise OSError(errno.ENOSPC if full[0] else errno.EXDEV, "no")

    monkeypatch.setattr("os.link", no_link)
    first, second = (
        describe_files(version(home / folder, model))
        for folder, model in (("v1", "pa_sam"), ("v2", "hq_sam"))
    )
    (home / "v1" / "folder").mkdir()  # none of the version's files
    kept.keep("champion", first)
    found = kept.get("champion")
    assert found.weights.read_bytes() == first.weights.read_bytes()
    assert sorted(path.name for path in found.weights.parent.iterdir()) == sorted(
        (ADAPTER, BASE, METADATA)
    )
    full[0] = True
    monkeypatch.setattr(last_good.shutil, "copyfile", no_link)
    kept.keep("champion", second)
    assert "hq_sam is not kept for a start without MLflow" in caplog.text
    assert kept.get("champion").name == "pa_sam"


@pytest.mark.parametrize("part", ["folder", "files", "name", "scores", METADATA, "its files"])
def test_what_is_kept_in_part_or_describes_no_model_is_not_used(part, home):
    source = version(home / "v1", "pa_sam")
    files = describe_files(source)
    if part == METADATA:
        (source / METADATA).write_text("{}")
    kept = LastGood(home / "kept")
    kept.keep("champion", dataclasses.replace(files, name="good"))
    record = json.loads((home / "kept" / RECORD).read_text())
    assert record["champion"].pop(part, None) is not None or part in (METADATA, "its files")
    (home / "kept" / RECORD).write_text(json.dumps(record))
    if part == "its files":
        assert kept.get("champion").name == "good"
        kept.get("champion").base.unlink()
    assert kept.get("champion") is None


def test_all_that_is_closed_shares_the_time_to_close(shelf, monkeypatch):
    service, closed = Service(shelf.offered(), Settings()), []
    moments = iter([0.0, 1.0, 3.0, 10.0, 20.0, 30.0])
    monkeypatch.setattr(service_module, "CLOSING", 5.0)
    monkeypatch.setattr(service_module, "monotonic", lambda: next(moments))
    for each in (*service.queues, service.models):
        monkeypatch.setattr(each, "close", closed.append)
    service.close()
    assert (closed, service.stopping) == ([4.0, 2.0, 0.1, 0.1, 0.1], True)


HUNG = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from serving_world import Shelf
from pasam.serving.server import address_of, listen, run_server
from pasam.serving.web_app import create_app
from pasam.serving.service import Settings
app = create_app(Shelf(Path({folder!r}), "sam").offered(), Settings())
app.state.service.encoder._work = lambda jobs: time.sleep(600)
app.state.service.models.refresh = lambda: time.sleep(600)
with listen("127.0.0.1", 0) as taken:
    run_server(app, taken, log_level="warning",
               when_ready=lambda: print(address_of(taken), flush=True))
"""


@pytest.mark.slow
def test_it_stops_within_25_seconds_although_a_job_and_a_look_hang(tmp_path, root):
    code = HUNG.format(tests=str(root / "tests"), folder=str(tmp_path))
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as served:
        address = served.stdout.readline().strip()
        asked = threading.Thread(target=_embed, args=(address,))
        asked.start()
        time.sleep(6)  # it looks for new versions every five seconds
        start = time.monotonic()
        served.send_signal(signal.SIGTERM)
        served.wait(40)
        assert time.monotonic() - start < 25
        asked.join()


def _embed(address):
    with contextlib.suppress(httpx.HTTPError):  # it was stopped
        httpx.post(f"{address}embed", files={"image": encoded_picture()}, timeout=60)
