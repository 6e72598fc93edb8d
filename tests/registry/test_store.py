"""MLflow's place is the project's own or the environment's, and its faults are told in words."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import warnings
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from tracked_world import place_store

from pasam.errors import BusyError, DataError, RegistryError, TrackingError
from pasam.registry import runs, versions
from pasam.registry import store as stores
from pasam.registry.store import (
    NOTE,
    addresses,
    artifact_repository,
    open_store,
    quiet_pyfunc,
    without_password,
    wrap_mlflow_errors,
)
from pasam.registry.transitions import open_decisions
from pasam.registry.versions import NAME, ShownInFile, list_versions, open_registry, shown_versions


@pytest.fixture
def project(tmp_path, mlflow_tables, monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(name, raising=False)
    place_store(mlflow_tables, tmp_path)
    return tmp_path


def record(store, text):
    """Record a run with one artifact."""
    run = store.client.create_run(store.experiment_id)
    store.client.log_text(run.info.run_id, text, "note.txt")
    return run.info.run_id


def read(store, run_id, folder):
    folder.mkdir(exist_ok=True)
    return Path(store.client.download_artifacts(run_id, "note.txt", str(folder))).read_text()


def every_text(project):
    """All that the sqlite file says, as bytes."""
    return b"".join(path.read_bytes() for path in (project / "mlruns").glob("mlflow.db*"))


def test_by_default_all_lies_in_the_project_and_no_record_says_where_that_is(project, monkeypatch):
    monkeypatch.chdir(project)
    store = open_store(Path())
    assert store.tracking_uri == f"sqlite:///{project}/mlruns/mlflow.db"
    assert open_store(project).experiment_id == store.experiment_id
    run_id = record(store, "kept")
    assert (project / "mlruns" / "artifacts" / run_id / "artifacts" / "note.txt").is_file()
    assert str(project).encode() not in every_text(project)


def test_a_project_that_was_moved_reads_what_it_recorded_and_writes_nothing_at_the_old_place(
    project, tmp_path
):
    first = project / "first"
    (project / "mlruns").rename(first.mkdir() or first / "mlruns")
    run_id = record(open_store(first), "kept")
    moved = first.rename(project / "moved")
    store = open_store(moved)
    assert read(store, run_id, tmp_path / "out") == "kept"
    assert read(store, record(store, "new"), tmp_path / "out") == "new"
    assert not first.exists()


def test_records_from_before_are_freed_of_the_folder_that_they_were_made_in(project, tmp_path):
    run_id = record(open_store(project), "kept")
    old = "file:///somewhere/else/mlruns/artifacts"
    database = sqlite3.connect(project / "mlruns" / "mlflow.db")
    with database:
        database.execute("UPDATE experiments SET artifact_location = ?", (old,))
        database.execute("UPDATE runs SET artifact_uri = ?", (f"{old}/{run_id}/artifacts",))
    database.close()
    store = open_store(project)
    assert read(store, run_id, tmp_path / "out") == "kept"
    assert read(store, record(store, "new"), tmp_path / "out") == "new"
    assert not Path("/somewhere").exists()


def test_a_folder_is_brought_whole_and_a_link_in_it_leads_nowhere(project, tmp_path):
    from mlflow.exceptions import MlflowException

    store = open_store(project)
    run_id = record(store, "kept")
    folder = project / "mlruns" / "artifacts" / run_id / "artifacts"
    (folder / "model" / "code").mkdir(parents=True)
    (folder / "model" / "code" / "a.py").write_text("a")
    (folder / "model" / "MLmodel").write_text("m")
    (tmp_path / "out" / "model").mkdir(parents=True)  # of an earlier try that was cut off
    found = Path(store.client.download_artifacts(run_id, "model", str(tmp_path / "out")))
    assert found == tmp_path / "out" / "model"
    texts = {p.relative_to(found).as_posix(): p.read_text() for p in found.rglob("*.*")}
    assert texts == {"code/a.py": "a"}
    assert (found / "MLmodel").read_text() == "m"
    (found / "MLmodel").write_text("changed")  # a copy
    assert (folder / "model" / "MLmodel").read_text() == "m"
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("secret")
    (folder / "model" / "more").symlink_to(tmp_path / "secret")
    (tmp_path / "two").mkdir()
    with pytest.raises(MlflowException, match="Failed to download"):
        store.client.download_artifacts(run_id, "model", str(tmp_path / "two"))
    assert not list((tmp_path / "two").rglob("key"))


def test_an_address_that_leads_out_of_the_artifacts_is_refused(project):
    store = open_store(project)
    with pytest.raises(DataError, match="leads out of its folder"):
        artifact_repository("mlflow-artifacts:/../../secret", store.tracking_uri)


def test_the_usual_variables_name_another_place(project, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    assert addresses(project) == ("http://tracking:5000", "http://tracking:5000")
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "http://registry:5000")
    assert addresses(project)[1] == "http://registry:5000"


def test_a_server_that_does_not_answer_is_one_message_and_exit_code_75(project, monkeypatch):
    with socket.socket() as taken:  # bound, never listening: refused at once
        taken.bind(("127.0.0.1", 0))
        address = f"http://user:secret@127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        with pytest.raises(TrackingError) as caught:
            open_store(project)
    text = str(caught.value)
    assert "nothing answers there. Check that the server runs" in text
    assert "pasam track sync" in text
    assert "secret" not in text
    assert caught.value.exit_code == 75


def test_a_server_that_fails_is_told_from_one_that_is_not_there(project, monkeypatch):
    class Failing(BaseHTTPRequestHandler):
        def do_GET(self):  # noqa: N802
            self.send_response(503)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Failing)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    words = r"used: the server answers with HTTP status 503\. Its own log says why\."
    try:
        with pytest.raises(TrackingError, match=words):
            open_store(project)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_server_prints_no_lines_for_each_run(project, monkeypatch, capsys):
    from mlflow.tracking._tracking_service.client import TrackingServiceClient

    monkeypatch.delenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", raising=False)
    open_store(project)
    # It would ask the server, which is not there, for the run's name.
    TrackingServiceClient("http://127.0.0.1:9")._log_url("a run")
    assert capsys.readouterr().out == ""


def test_a_locked_database_is_said_to_be_locked(project):
    store = open_store(project)
    from sqlalchemy.exc import OperationalError

    fault = OperationalError("INSERT", {}, sqlite3.OperationalError("database is locked"))
    with (
        pytest.raises(TrackingError, match="used: database is locked. End the process"),
        wrap_mlflow_errors(store.tracking_uri),
    ):
        raise fault


@pytest.mark.parametrize("change", [lambda old: b"x" * 5000, lambda old: old[: len(old) // 2]])
def test_a_damaged_database_is_no_passing_fault(change, mlflow_tables, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    place_store(mlflow_tables, tmp_path)
    file = tmp_path / "mlruns" / "mlflow.db"
    file.write_bytes(change(file.read_bytes()))
    # MLflow tries ten times, with ever longer pauses, before it gives a database up.
    monkeypatch.setattr("mlflow.store.db.utils.time.sleep", lambda seconds: pytest.fail("it waits"))
    with pytest.raises(RegistryError, match=r"mlflow.db are damaged: .*from a backup") as caught:
        open_registry(tmp_path).versions()
    assert caught.value.exit_code == 2


def test_mlflow_prints_no_trace_beside_our_sentence(project, capfd):
    store = open_store(project)
    database = sqlite3.connect(project / "mlruns" / "mlflow.db")
    database.execute("DROP TABLE tags")
    database.close()
    with (
        pytest.raises(TrackingError, match="no such table: tags"),
        wrap_mlflow_errors(store.tracking_uri),
    ):
        store.client.create_run(store.experiment_id)
    assert "Traceback" not in capfd.readouterr().err


def test_a_database_that_cannot_grow_says_that_the_disk_is_full(project):
    store = open_store(project)
    database = sqlite3.connect(project / "mlruns" / "mlflow.db")
    pages = database.execute("PRAGMA page_count").fetchone()[0]
    database.execute(f"PRAGMA max_page_count = {pages}")
    rows = [(str(number), "x" * 1000) for number in range(10_000)]
    with (
        pytest.raises(TrackingError, match="disk is full. Free some space"),
        wrap_mlflow_errors(store.tracking_uri),
    ):
        database.executemany("INSERT INTO experiment_tags VALUES (?, ?, 0)", rows)
    database.close()


TORN = """
import os, signal, sqlite3, sys
tables = sqlite3.connect(sys.argv[1])
tables.execute("PRAGMA cache_size = 1")  # what is not committed goes to the file at once
tables.execute("BEGIN")
tables.execute("CREATE TABLE half (content BLOB)")
tables.executemany("INSERT INTO half VALUES (?)", [(bytes(4096),)] * 100)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_records_whose_writer_was_killed_amidst_a_change_are_what_they_were_before_it(project):
    run = record(open_store(project), "kept")
    file = project / "mlruns" / "mlflow.db"
    done = subprocess.run([sys.executable, "-c", TORN, str(file)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert file.with_name("mlflow.db-journal").stat().st_size > 0
    assert read(open_store(project), run, project / "read") == "kept"
    with contextlib.closing(sqlite3.connect(file)) as tables:
        names = {name for (name,) in tables.execute("SELECT name FROM sqlite_master")}
    assert "half" not in names
    assert "runs" in names


READ_ONLY = 'mount --bind . . && mount -o remount,bind,ro . && cd "$PWD" && ! touch x 2>&1 && '
"""Makes the current folder one that can only be read, for the command that follows it."""


@pytest.mark.slow  # each command in a process of its own
def test_what_is_on_a_disk_that_can_only_be_read_may_be_looked_at(registry, tmp_path, root):
    def run(command):
        return subprocess.run(
            ["unshare", "--map-root-user", "--mount", "sh", "-c", READ_ONLY + command],
            cwd=tmp_path, capture_output=True, text=True, check=False,
            env={**os.environ, "PYTHONPATH": str(root)},
        )  # fmt: skip

    if shutil.which("unshare") is None or run("true").returncode:
        pytest.skip("no folder can be made read-only here")
    words = f"{sys.executable} -c 'from pasam.cli.app import app; app()' "
    done = run(f"{words} registry list --json && {words} registry reject 3 --why x")
    listed = json.loads(done.stdout[done.stdout.index("[") :])
    assert [(each["number"], each["aliases"]) for each in listed] == [
        (3, ["candidate"]), (2, ["champion"]), (1, ["previous"]),
    ]  # fmt: skip
    assert done.returncode != 0
    assert done.stderr.splitlines()[-1].startswith("error: ")


def test_mistakes_of_the_program_are_not_called_faults_of_the_backend(project):
    from mlflow.exceptions import MlflowException

    store = open_store(project)
    with pytest.raises(KeyError), wrap_mlflow_errors(store.tracking_uri):
        raise KeyError("x")
    with pytest.raises(MlflowException, match="not found"), wrap_mlflow_errors(store.tracking_uri):
        store.client.get_run("0" * 32)


def test_a_password_is_left_out_of_messages():
    assert without_password("postgresql://me:word@host/db") == "postgresql://host/db"
    assert without_password("https://me:w@rd@host:5000/a@b") == "https://host:5000/a@b"
    assert without_password("sqlite:////a/b.db") == "sqlite:////a/b.db"


def test_mlflow_opens_its_pages_of_trainings_also_where_live_curves_came_first(project):
    store = open_store(project)
    tags = store.client.get_experiment(store.experiment_id).tags
    assert tags["mlflow.experimentKind"] == "custom_model_development"
    store.client.delete_experiment_tag(store.experiment_id, "mlflow.experimentKind")
    store.client.set_experiment_tag(store.experiment_id, NOTE, "ours")
    tags = open_store(project).client.get_experiment(store.experiment_id).tags
    assert tags["mlflow.experimentKind"] == "custom_model_development"
    assert tags[NOTE] == "ours"


def test_pyfunc_comes_without_its_noise_and_other_warnings_stay():
    with quiet_pyfunc() as pyfunc:
        assert callable(pyfunc.load_model)
        warnings.warn("An input example was not provided when logging", UserWarning, stacklevel=1)
        with pytest.warns(UserWarning, match="something else"):
            warnings.warn("something else", UserWarning, stacklevel=1)


def test_versions_come_newest_first_with_their_aliases(registry):
    found = [(version.number, version.aliases) for version in registry.versions()]
    assert found == [(3, ("candidate",)), (2, ("champion",)), (1, ("previous",))]


def test_versions_are_ordered_as_numbers(registry):
    for number in range(4, 11):
        registry.client.create_model_version(NAME, f"file:///nowhere/{number}")
    assert [version.number for version in registry.versions()] == list(range(10, 0, -1))


@pytest.mark.long
def test_a_list_of_many_versions_asks_mlflow_as_often_as_one_of_few(registry, monkeypatch):
    from mlflow import MlflowClient

    project, asked = registry.store.folder.parent, []
    open_decisions(project)
    for name in [each for each in dir(MlflowClient) if each.startswith(("search_", "get_"))]:
        real = getattr(MlflowClient, name)
        monkeypatch.setattr(
            MlflowClient,
            name,
            lambda *a, real=real, name=name, **k: asked.append(name) or real(*a, **k),
        )

    def questions():
        asked.clear()
        found, odd = list_versions(project, open_registry(project))
        assert len(odd) == len(found) - 3  # those that the log does not know
        return len(asked)

    few = questions()
    for number in range(4, 40):
        registry.client.create_model_version(NAME, f"file:///nowhere/{number}")
    assert questions() == few <= 10


@pytest.mark.long
def test_mlflows_file_shows_without_mlflow_what_its_client_shows(registry):
    project, client = registry.store.folder.parent, registry.client
    open_decisions(project)
    client.set_model_version_tag(NAME, "3", "of", "three")
    client.create_model_version(NAME, "file:///nowhere/4", run_id=None)
    client.delete_model_version(NAME, "4")
    shown = shown_versions(project)
    assert isinstance(shown, ShownInFile)
    assert shown.aliases() == registry.aliases() == {"champion": 2, "previous": 1, "candidate": 3}
    assert shown.versions() == registry.versions()
    assert [each.number for each in shown.versions()] == [3, 2, 1]
    assert list_versions(project, shown) == list_versions(project, registry)


@pytest.mark.long
def test_a_list_of_versions_does_not_wait_for_mlflow_to_be_imported(registry):
    project = registry.store.folder.parent
    open_decisions(project)
    program = (
        "import sys; from pasam.cli.registry import registry_list; from pathlib import Path; "
        f"registry_list(project=Path({str(project)!r})); assert 'mlflow' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [
        ["3", "candidate"], ["2", "champion"], ["1", "previous"],
    ]  # fmt: skip


def test_mlflows_file_shows_our_versions_the_newest_first_and_none_that_was_deleted(tmp_path):
    (tmp_path / "mlruns").mkdir()
    assert shown_versions(tmp_path) == ShownInFile((), {})
    assert list((tmp_path / "mlruns").iterdir()) == [], "who only looks makes none"
    versions = [
        ("pasam", "default", 1, "r1", 10, "None"), ("pasam", "default", 10, None, 30, "Staging"),
        ("pasam", "default", 2, "r2", 20, None), ("pasam", "default", 4, "", 40,
                                                  "Deleted_Internal"),
        ("other", "default", 5, "", 50, None), ("pasam", "theirs", 6, "", 60, None),
    ]  # fmt: skip
    tags = [
        ("pasam", "default", 1, "a", "one"), ("pasam", "default", 10, "a", "ten"),
        ("pasam", "default", 4, "a", "four"), ("other", "default", 1, "a", "other"),
        ("pasam", "theirs", 2, "a", "theirs"), ("pasam", "default", 1, "b", "both"),
    ]  # fmt: skip
    aliases = [
        ("pasam", "default", "champion", 2), ("pasam", "default", "previous", 1),
        ("pasam", "default", "candidate", 2), ("other", "default", "champion", 5),
        ("pasam", "theirs", "staging", 1),
    ]  # fmt: skip
    with contextlib.closing(sqlite3.connect(tmp_path / "mlruns" / "mlflow.db")) as tables, tables:
        for name, columns, rows in (
            ("model_versions", "name, workspace, version, run_id, creation_time, current_stage",
             versions),
            ("model_version_tags", "name, workspace, version, key, value", tags),
            ("registered_model_aliases", "name, workspace, alias, version", aliases),
        ):  # fmt: skip
            tables.execute(f"CREATE TABLE {name} ({columns})")
            places = ", ".join("?" * len(rows[0]))
            tables.executemany(f"INSERT INTO {name} VALUES ({places})", rows)
    shown = shown_versions(tmp_path)
    assert shown.aliases() == {"champion": 2, "previous": 1, "candidate": 2}
    assert [dataclasses.astuple(each) for each in shown.versions()] == [
        (10, (), {"a": "ten"}, "", 30), (2, ("candidate", "champion"), {}, "r2", 20),
        (1, ("previous",), {"a": "one", "b": "both"}, "r1", 10),
    ]  # fmt: skip


def test_a_file_of_another_mlflow_is_left_to_mlflow(registry):
    project, file = registry.store.folder.parent, registry.store.folder / "mlflow.db"
    with contextlib.closing(sqlite3.connect(file)) as tables:
        tables.execute("ALTER TABLE registered_model_aliases RENAME COLUMN alias TO name_of_it")
    with pytest.raises(TrackingError):
        shown_versions(project).versions()


def test_versions_beyond_one_page_of_mlflow_are_read_too(registry, monkeypatch):
    monkeypatch.setattr(versions, "PAGE", 2)
    for number in range(4, 8):
        registry.client.create_model_version(NAME, f"file:///nowhere/{number}")
    assert [version.number for version in registry.versions()] == list(range(7, 0, -1))


@pytest.mark.parametrize(("which", "number"), [(2, 2), ("2", 2), ("champion", 2), ("previous", 1)])
def test_a_version_is_found_by_number_or_alias(which, number, registry):
    assert registry.version(which).number == number


@pytest.mark.long
@pytest.mark.parametrize("which", [9, "9", "best"])
def test_an_unknown_version_is_told_with_those_there_are(which, registry):
    with pytest.raises(RegistryError, match=r"no version .*; the registry holds \[3, 2, 1\]"):
        registry.version(which)


def test_an_alias_that_points_nowhere_can_be_removed_again(registry):
    registry.set_alias("candidate", None)
    registry.set_alias("candidate", None)
    assert registry.aliases() == {"champion": 2, "previous": 1}


@pytest.mark.parametrize(
    ("errors", "recorded", "told"),
    [
        (4, True, None), (5, False, TrackingError), (1, False, "no race"), (0, False, "locked"),
    ],
)  # fmt: skip
def test_a_recording_that_meets_another_is_gone_through_again_and_at_last_given_up(
    errors, recorded, told, tmp_path, monkeypatch
):
    tried = []

    def record(self):
        tried.append((self.snapshot, self.store))
        if len(tried) <= errors:
            raise TrackingError("MLflow says no") from OSError("race")
        return "synced"

    monkeypatch.setattr(runs._Recorder, "record", record)
    monkeypatch.setattr(runs, "is_race", lambda cause: told != "no race" and str(cause) == "race")
    monkeypatch.setattr(runs.time, "sleep", lambda seconds: None)
    if told == "locked":
        monkeypatch.setattr(runs, "FileLock", MagicMock(side_effect=runs.Timeout("sync.lock")))
    store = SimpleNamespace(folder=tmp_path, tracking_uri="sqlite:///x")
    if recorded:
        assert runs.record_runs("look", store) == "synced"
    else:
        with pytest.raises(BusyError if told == "locked" else TrackingError):
            runs.record_runs("look", store)
    tries = {"no race": 1, "locked": 0}.get(told, 5)
    assert tried == [("look", store)] * tries


OLD = "file:///then/mlruns/artifacts"


@pytest.mark.parametrize(
    ("folder", "address", "freed"),
    [
        ("mlruns", OLD, True), ("mlruns", "/then/mlruns/artifacts", True),
        ("elsewhere", OLD, False),
        ("mlruns", "s3://bucket/mlruns/artifacts", False), ("mlruns", "file:///shared/disk", False),
        ("mlruns", "mlflow-artifacts:/", False),
    ],
)  # fmt: skip
def test_only_what_lay_beside_the_file_is_freed_of_its_folder_and_its_neighbours_are_not(
    folder, address, freed, tmp_path
):
    file = tmp_path / folder / "mlflow.db"
    file.parent.mkdir()
    places = [address, f"{address}/7/artifacts", f"{address}-more/7", "s3://other/7"]
    columns = {
        "experiments": ["name", "artifact_location"], "runs": ["artifact_uri"],
        "logged_models": ["artifact_location"], "model_versions": ["source", "storage_location"],
    }  # fmt: skip
    with contextlib.closing(sqlite3.connect(file)) as tables, tables:
        for table, names in columns.items():
            tables.execute(f"CREATE TABLE {table} ({', '.join(names)})")
            for place in places:
                row = [stores.EXPERIMENT if name == "name" else place for name in names]
                tables.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
    stores.forget_folder(file)
    root = stores.ROOT
    wanted = [root, f"{root}7/artifacts", *places[2:]] if freed else places
    with contextlib.closing(sqlite3.connect(file)) as tables:
        for table, names in columns.items():
            for name in names:
                found = [row[0] for row in tables.execute(f"SELECT {name} FROM {table}")]
                assert found == ([stores.EXPERIMENT] * 4 if name == "name" else wanted), table


@pytest.mark.parametrize(
    ("address", "error", "cause", "advice"),
    [
        ("sqlite:///x", ValueError("No space left on device"), "No space left on device",
         "Free some space on the disk."),
        ("sqlite:///x", OSError(122, "quota"), "[Errno 122] quota", "Free some space on the disk."),
        ("sqlite:///x", ValueError("(sqlite3.Error) database is locked\n[SQL: SELECT]"),
         "database is locked", "End the process that holds the database, or wait for it."),
        ("sqlite:///x", ValueError("UNIQUE constraint failed: disk is full"),
         "another machine wrote the same at the same time", "Try again."),
        ("http://x", ValueError("Max retries exceeded: too many 503 error responses"),
         "the server answers with HTTP status 503", "Its own log says why."),
        ("http://x", ValueError("Max retries exceeded"), "nothing answers there",
         "Check that the server runs and that MLFLOW_TRACKING_URI names it."),
        ("sqlite:///x", ValueError("(raised as a result of a)\nthe schema is old. "),
         "the schema is old",
         "Its tables are another version's: run `mlflow db upgrade` on it."),
        ("sqlite:///x", ValueError(""), "ValueError",
         "Check that the place exists, can be written, and is named by MLFLOW_TRACKING_URI."),
    ],
)  # fmt: skip
def test_each_fault_of_a_backend_is_told_with_what_helps_against_it(address, error, cause, advice):
    assert stores._cause(error) == cause
    assert stores._advice(address, error) == advice


def test_numbers_of_a_file_are_metrics_and_truths_and_words_are_none(tmp_path):
    content = {"a": {"b": 2, "ok": True}, "word": "3", "c": 0.5, "none": None}
    (tmp_path / "m.json").write_text(json.dumps(content))
    found = runs.metrics_of(tmp_path, SimpleNamespace(outs={"m.json": None}))
    assert [(each.name, each.value, each.step) for each in found] == [("a/b", 2, 0), ("c", 0.5, 0)]


@pytest.mark.parametrize(("code", "found"), [(0, ["H200", "T4"]), (9, [])])
def test_graphics_cards_are_named_by_a_driver_that_answers(code, found, monkeypatch):
    said = SimpleNamespace(returncode=code, stdout="H200\nT4\n" if code == 0 else "no driver\n")
    monkeypatch.setattr(runs.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(runs.subprocess, "run", lambda *command, **how: said)
    assert runs._graphics() == found


def test_of_the_runs_that_a_reproduction_lists_the_complete_ones_are_its_stages():
    def run(**tags):
        return SimpleNamespace(data=SimpleNamespace(tags=tags))

    key, done = stores.Tag.KEY, {stores.Tag.RECORDED: runs.COMPLETE}
    whole, asked = run(**{key: "a"}, **done), []
    client = SimpleNamespace(search_runs=lambda *given, **how: asked.append((given, how)) or [
        run(**{key: "b"}), whole, run(**done), run(**{key: "c", stores.Tag.RECORDED: "begun"}),
    ])  # fmt: skip
    recorder = runs._Recorder(None, SimpleNamespace(client=client, experiment_id="7"))
    assert recorder._recorded(run(**{stores.Tag.RUNS: "r1 r2"})) == {"a": whole}
    assert asked == [((["7"], "attributes.run_id IN ('r1', 'r2')"), {"max_results": 2})]
    assert recorder._recorded(run()) == {}
    assert len(asked) == 1, "none is listed"


def test_a_file_is_begun_whatever_its_address_asks_for_besides(tmp_path, monkeypatch):
    monkeypatch.setattr(stores, "addresses", lambda _: [f"sqlite:///{tmp_path}/m.db?timeout=60"])
    assert not stores.is_begun(tmp_path)
    (tmp_path / "m.db").touch()
    assert stores.is_begun(tmp_path)
