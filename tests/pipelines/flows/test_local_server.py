"""Servers of our own: settings, start, failure to start, end."""

from __future__ import annotations

import os
import socket
import sys

import psutil
import pytest

from pasam.errors import StageError
from pipelines.flows import servers as local_server
from pipelines.flows.servers import answers, prefect_server, service, use_own_settings

SERVER = """
import http.server, sys
http.server.test(http.server.SimpleHTTPRequestHandler, port=int(sys.argv[1]), bind="127.0.0.1")
"""


@pytest.fixture
def port():
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return place.getsockname()[1]


@pytest.fixture
def environment(monkeypatch, in_empty_folder):
    """An environment without Prefect's variables, restored afterwards."""
    before = dict(os.environ)
    for name in [name for name in before if name.startswith("PREFECT_")]:
        monkeypatch.delenv(name)
    yield os.environ
    os.environ.clear()
    os.environ.update(before)


def test_prefect_keeps_its_files_in_the_project_and_sends_nothing(environment, in_empty_folder):
    use_own_settings()
    assert environment["PREFECT_HOME"] == str(in_empty_folder / ".flows" / "prefect")
    assert environment["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert environment["PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"] == "180"


def test_a_persons_own_settings_stay(environment):
    environment["PREFECT_HOME"] = "elsewhere"
    use_own_settings()
    assert environment["PREFECT_HOME"] == "elsewhere"


def test_a_server_lasts_as_long_as_the_block(port, in_empty_folder):
    address = f"http://127.0.0.1:{port}/"
    with service([sys.executable, "-c", SERVER, str(port)], "test", address):
        assert answers(address)
        (child,) = (c for c in psutil.Process().children() if str(port) in c.cmdline())
    assert not answers(address)
    assert not child.is_running()


def test_a_server_that_ends_at_once_is_an_error_that_names_its_log(port, in_empty_folder):
    with (
        pytest.raises(StageError, match=r"the server of test ended; .*test\.server"),
        service([sys.executable, "-c", "print('no port')"], "test", f"http://127.0.0.1:{port}/"),
    ):
        raise AssertionError
    assert (in_empty_folder / ".flows" / "logs" / "test.server").read_text() == "no port\n"


def test_a_server_that_never_answers_is_ended(port, in_empty_folder, monkeypatch):
    monkeypatch.setattr(local_server, "START_LIMIT", 0.2)
    before = psutil.Process().children()
    with (
        pytest.raises(StageError, match="did not answer in 0.2 s"),
        service(
            [sys.executable, "-c", "import time; time.sleep(600)"],
            "test",
            f"http://127.0.0.1:{port}/",
        ),
    ):
        raise AssertionError
    assert psutil.Process().children() == before


def test_a_server_that_answers_already_is_used(environment, monkeypatch):
    environment["PREFECT_API_URL"] = "https://prefect.example.org/api"
    asked = []
    monkeypatch.setattr(local_server, "answers", lambda address: asked.append(address) or True)
    with prefect_server() as page:
        assert page == "https://prefect.example.org"
    assert asked == ["https://prefect.example.org/api/health"]


def test_our_own_server_listens_to_this_machine_only(environment, monkeypatch):
    started = []

    class Started(Exception):  # noqa: N818
        pass

    def start(command, name, health):
        started.append(command)
        raise Started

    monkeypatch.setattr(local_server, "answers", lambda address: False)
    monkeypatch.setattr(local_server, "service", start)
    with pytest.raises(Started), prefect_server(4301):
        pass
    assert started[0][-4:] == ["--host", "127.0.0.1", "--port", "4301"]
    assert environment["PREFECT_API_URL"] == "http://127.0.0.1:4301/api"
