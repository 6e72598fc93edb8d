"""`make ui`: which pages are shown where."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from pipelines.flows import pages


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
    monkeypatch.setattr(pages.signal, "pause", interrupted)
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
