"""`make ui`: which pages are shown where."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from pipelines.flows import ui as pages
from pipelines.flows.servers import answers


@pytest.fixture
def started(monkeypatch, in_empty_folder):
    """Commands of the servers that were started; waiting for Ctrl-C ends at once."""
    commands = []

    @contextmanager
    def service(command, name, health):
        commands.append(command)
        yield

    @contextmanager
    def prefect_server(port):
        yield f"http://127.0.0.1:{port}"

    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(pages, "service", service)
    monkeypatch.setattr(pages, "prefect_server", prefect_server)
    monkeypatch.setattr(pages, "answers", lambda address: False)
    monkeypatch.setattr(pages, "runs_page", lambda server: server)
    monkeypatch.setattr(pages.signal, "pause", interrupted)
    monkeypatch.setattr(pages, "terminate_like_ctrl_c", list)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(name, raising=False)
    return commands


def test_both_pages_say_their_addresses_and_listen_to_this_machine_only(
    started, in_empty_folder, capsys
):
    pages.main(4300, 5001)
    out = capsys.readouterr().out
    assert "Prefect's page: http://127.0.0.1:4300" in out
    assert "MLflow's page:  http://127.0.0.1:5001" in out
    (command,) = started
    assert command[command.index("--host") + 1] == "127.0.0.1"
    place = f"sqlite:///{in_empty_folder}/mlruns/mlflow.db"
    assert command[command.index("--backend-store-uri") + 1] == place


def test_mlflow_has_no_supervisor_that_kills_a_worker_for_starting_slowly(started):
    pages.main(4300, 5001)
    (command,) = started
    assert command[command.index("--workers") + 1] == "1"


def test_a_server_of_mlflow_that_a_team_has_is_named_not_started(started, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example.org")
    pages.main(4300, 5001)
    assert started == []
    assert "MLflow's page:  https://mlflow.example.org" in capsys.readouterr().out


def test_a_page_that_is_there_already_is_not_started_twice(started, monkeypatch, capsys):
    monkeypatch.setattr(pages, "answers", lambda address: True)
    pages.main(4300, 5001)
    assert started == []
    assert "it was there already" in capsys.readouterr().out


class Answer:
    """What MLflow's server says of an experiment."""

    def __init__(self, status, words):
        self.status, self.words = status, words

    def json(self):
        return self.words


def test_the_page_of_the_runs_is_named_as_soon_as_there_are_any(monkeypatch):
    place = "http://127.0.0.1:5000"
    known = Answer(200, {"experiment": {"experiment_id": "7"}})
    for answer, page in ((known, f"{place}/#/experiments/7/runs?"), (Answer(404, {}), place)):
        monkeypatch.setattr(pages.urllib3, "request", lambda *_, found=answer, **__: found)
        assert pages.runs_page(place).startswith(page)


def test_a_server_that_does_not_answer_is_named_all_the_same():
    assert pages.runs_page("http://127.0.0.1:9") == "http://127.0.0.1:9"


SHOWING = """
import contextlib, sys
from pipelines.flows import local_server, pages
local_server.end_left_behind = lambda: 0
web = "import http.server, sys; http.server.test(http.server.SimpleHTTPRequestHandler," \\
      " port=int(sys.argv[1]), bind='127.0.0.1')"
port = sys.argv[1]

def show(mlflow_port):
    with local_server.service([sys.executable, "-c", web, port], "web", f"http://127.0.0.1:{port}"):
        print("shown", flush=True)
        pages.signal.pause()

pages.prefect_server = lambda port: contextlib.nullcontext("a page")
pages._show_mlflow = show
pages.main(1, 2)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_the_servers_end_with_the_command_however_it_ends(number, root, tmp_path):
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
    environment = os.environ | {"PYTHONPATH": str(root)}
    with subprocess.Popen(
        [sys.executable, "-c", SHOWING, str(port)], cwd=tmp_path, env=environment,
        stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert [process.stdout.readline() for _ in range(3)][-1] == "shown\n"
        process.send_signal(number)
        process.wait(30)
    deadline = time.monotonic() + 30
    while answers(f"http://127.0.0.1:{port}"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
