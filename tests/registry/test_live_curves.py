"""Live curves reach a server that answers, and no other ever delays or fails a training."""

from __future__ import annotations

import io
import logging
import socket
import threading
import time
from types import SimpleNamespace

import pytest

from pasam.registry import live_curves as module
from pasam.registry import runs
from pasam.registry.live_curves import LiveCurves, live_curves
from pasam.registry.store import TAGS, _experiment

ROWS = [{"epoch": 0.0, "loss": 0.5}, {"epoch": 1.0, "loss": 0.25}]


class Server:
    """A client that remembers, waits for a gate, or fails at a row."""

    def __init__(self, *, fails_at=None, gate=None):
        self.seen, self.ended = [], []
        self.fails_at, self.gate = fails_at, gate

    def log_metric(self, run_id, name, value, step):
        if self.gate is not None:
            self.gate.wait(10)
        if step == self.fails_at:
            raise OSError("the server went away\nwith details")
        self.seen.append((run_id, name, value, step))

    def set_terminated(self, run_id):
        self.ended.append(run_id)


def send(monkeypatch, server):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    monkeypatch.setattr(LiveCurves, "_start", lambda self: (server, "r1"))
    with live_curves("train@pa_sam") as curves:
        for row in ROWS:
            curves.append(row)


def test_rows_arrive_in_order_with_their_epoch(monkeypatch):
    server = Server()
    send(monkeypatch, server)
    assert server.seen == [("r1", "loss", 0.5, 0), ("r1", "loss", 0.25, 1)]
    assert server.ended == ["r1"]


@pytest.mark.parametrize("address", ["", "sqlite:////a/b.db"])
def test_without_a_server_no_thread_is_started(address, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    before = threading.active_count()
    with live_curves("train@pa_sam") as curves:
        curves.append(ROWS[0])
        assert threading.active_count() == before


def test_a_server_that_is_gone_costs_one_line_and_no_time(monkeypatch, caplog):
    with socket.socket() as taken:  # bound, never listening
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{taken.getsockname()[1]}")
        with caplog.at_level(logging.WARNING), live_curves("train@pa_sam") as curves:
            for row in ROWS:
                curves.append(row)
    assert [r.message.partition(":")[0] for r in caplog.records] == [
        "No live curves at the MLflow server"
    ]


def test_a_server_that_fails_in_the_middle_fails_nothing_else(monkeypatch, caplog):
    server = Server(fails_at=1)
    with caplog.at_level(logging.WARNING):
        send(monkeypatch, server)
    assert server.seen == [("r1", "loss", 0.5, 0)]
    assert caplog.messages == ["No live curves at the MLflow server: the server went away"]


def test_a_server_that_hangs_is_left_behind(monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.1)
    gate = threading.Event()
    start = time.monotonic()
    send(monkeypatch, Server(gate=gate))
    assert time.monotonic() - start < 5
    gate.set()


def test_mlflow_prints_no_lines_about_the_run_of_the_curves(monkeypatch, capsys):
    from mlflow import MlflowClient
    from mlflow.tracking._tracking_service.client import TrackingServiceClient

    monkeypatch.delenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", raising=False)
    run = SimpleNamespace(info=SimpleNamespace(run_id="r1"))
    monkeypatch.setattr(MlflowClient, "get_experiment_by_name", lambda *a: None)
    monkeypatch.setattr(MlflowClient, "create_experiment", lambda *a: "1")
    monkeypatch.setattr(MlflowClient, "create_run", lambda *a, **k: run)
    with socket.create_server(("127.0.0.1", 0)) as there:
        address = f"http://127.0.0.1:{there.getsockname()[1]}"
        assert LiveCurves("train@pa_sam", address=address)._start()[1] == "r1"
    # It would ask the server, which is not there, for the run's name.
    TrackingServiceClient("http://127.0.0.1:9")._log_url("a run")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("https://tracking.example.org", ("tracking.example.org", 443)),
        ("http://tracking.example.org/", ("tracking.example.org", 80)),
        ("https://tracking.example.org:8443/mlflow", ("tracking.example.org", 8443)),
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_a_server_is_asked_at_its_port_and_told_whose_training_it_shows(
    address, place, known, monkeypatch, in_empty_folder
):
    from mlflow import MlflowClient

    asked, made = [], []
    monkeypatch.setattr(
        module.socket, "create_connection",
        lambda where, timeout: asked.append(where) or SimpleNamespace(close=lambda: None),
    )  # fmt: skip
    found = SimpleNamespace(experiment_id="7") if known else None
    monkeypatch.setattr(MlflowClient, "get_experiment_by_name", lambda self, name: found)
    monkeypatch.setattr(MlflowClient, "create_experiment", lambda self, name: f"new {name}")
    run = SimpleNamespace(info=SimpleNamespace(run_id="r1"))
    monkeypatch.setattr(
        MlflowClient, "create_run", lambda self, *given, **how: made.append((given, how)) or run
    )
    client, run_id = LiveCurves("train@pa_sam", address=address)._start()
    assert (client.tracking_uri, run_id, asked) == (address, "r1", [place])
    tags = {
        "pasam.kind": "live", "dvc.stage": "train@pa_sam",
        "pasam.clone": module.clone_id(in_empty_folder),
    }  # fmt: skip
    name = {"tags": tags, "run_name": "live train@pa_sam"}
    assert made == [(("7" if known else "new pasam",), name)]


def test_rows_without_an_epoch_are_counted_by_their_step_or_their_place(monkeypatch):
    server = Server()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    monkeypatch.setattr(LiveCurves, "_start", lambda self: (server, "r1"))
    rows = [{"loss": 3.0}, {"step": 70.0, "loss": 2.0}, {"epoch": 5.0, "step": 9.0, "loss": 1.0},
            {"loss": 0.5, "lr": 0.1}]  # fmt: skip
    with live_curves("train@pa_sam") as curves:
        for row in rows:
            curves.append(row)
    assert [(name, value, step) for _, name, value, step in server.seen] == [
        ("loss", 3.0, 0), ("loss", 2.0, 70), ("loss", 1.0, 5), ("loss", 0.5, 3), ("lr", 0.1, 3)
    ]  # fmt: skip


def test_clones_in_the_same_folder_of_two_machines_and_in_two_of_one_have_names_of_their_own(
    monkeypatch, tmp_path
):
    names = set()
    for host in ("one", "two", "one"):
        monkeypatch.setattr(module.socket, "gethostname", lambda host=host: host)
        names |= {module.clone_id(tmp_path / place / "pasam") for place in ("a", "b")}
    assert len(names) == 4, "two machines with two folders each, and the same name once more"
    assert {name.rpartition("-")[0] for name in names} == {"pasam"}


class Experiments:
    """MLflow's experiments, of which another machine may make one a moment earlier."""

    def __init__(self, tags=None, *, raced=False, broken=False):
        self.found = None if tags is None else SimpleNamespace(experiment_id=7, tags=tags)
        self.raced, self.broken, self.made, self.set = raced, broken, [], {}

    def get_experiment_by_name(self, name):
        assert name == "pasam"
        return self.found

    def create_experiment(self, name, artifacts, tags):
        from mlflow.exceptions import MlflowException

        if self.raced or self.broken:
            if self.raced:
                self.found = SimpleNamespace(experiment_id=8, tags=dict(tags))
            raise MlflowException("it exists already")
        self.made.append((name, artifacts, tags))
        return 9

    def set_experiment_tag(self, number, name, value):
        self.set[number, name] = value


def test_the_experiment_is_made_once_and_has_its_words_whoever_made_it():
    fresh = Experiments()
    assert _experiment(fresh, "here") == "9"
    assert (fresh.made, fresh.set) == ([("pasam", "here", dict(TAGS))], {})
    there = Experiments(dict(TAGS))
    assert (_experiment(there, None), there.made, there.set) == ("7", [], {})
    live = Experiments({next(iter(TAGS)): "a person's"})
    assert _experiment(live, None) == "7"
    assert live.set == {(7, name): text for name, text in [*TAGS.items()][1:]}
    raced = Experiments(raced=True)
    assert (_experiment(raced, "here"), raced.set) == ("8", {})
    with pytest.raises(Exception, match="it exists already"):
        _experiment(Experiments(broken=True), "here")


def test_a_processor_is_named_by_the_system_or_else_by_python(monkeypatch):
    text = "processor : 0\nmodel name\t: Fast One\nmodel name\t: Fast Two\n"
    monkeypatch.setattr("builtins.open", lambda *given, **how: io.StringIO(text))
    assert runs._processor() == "Fast One"
    text = "nothing known\n"
    for said, machine, named in (("P", "m", "P"), ("", "m", "m")):
        monkeypatch.setattr(runs.platform, "processor", lambda said=said: said)
        monkeypatch.setattr(runs.platform, "machine", lambda machine=machine: machine)
        assert runs._processor() == named
