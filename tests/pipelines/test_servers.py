"""Prefect's and MLflow's servers: settings, start, end; deployments, pages, stale runs."""

from __future__ import annotations

import datetime
import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from contextlib import contextmanager, nullcontext
from functools import partial
from types import SimpleNamespace
from unittest.mock import AsyncMock, MagicMock

import httpx
import psutil
import pytest
from small_world import load_yaml

from pasam.errors import ParamsError, StageError, TransientError
from pipelines.flows import endings, schedule, servers
from pipelines.flows.operations import POOL
from pipelines.flows.schedule import (
    _schedules,
    deployments,
    flow_name,
    missed,
    read_deployments,
)
from pipelines.flows.servers import (
    ENDED,
    answers,
    end_stale_runs,
    free_port,
    own_server,
    prefect_server,
    runs_page,
    service,
    ui,
    use_own_settings,
)

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


def serving(port):
    """Processes of this one that serve a port; what another test has left behind is passed over."""
    alive = [c for c in psutil.Process().children() if c.status() != psutil.STATUS_ZOMBIE]
    return [child for child in alive if str(port) in child.cmdline()]


@pytest.mark.long
def test_a_server_lasts_as_long_as_the_block(port, in_empty_folder):
    address = f"http://127.0.0.1:{port}/"
    with service([sys.executable, "-c", SERVER, str(port)], "test", address):
        assert answers(address)
        (child,) = serving(port)
    assert not answers(address)
    assert not child.is_running()


def test_a_server_that_ends_at_once_is_an_error_that_names_its_log(port, in_empty_folder):
    with (
        pytest.raises(StageError, match=r"the server of test ended; .*test\.server"),
        service([sys.executable, "-c", "print('no port')"], "test", f"http://127.0.0.1:{port}/"),
    ):
        raise AssertionError
    assert (in_empty_folder / ".flows" / "logs" / "test.server").read_text() == "no port\n"


@pytest.mark.long
def test_a_server_that_never_answers_is_ended(port, in_empty_folder, monkeypatch):
    monkeypatch.setattr(servers, "START_LIMIT", 0.2)
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
    monkeypatch.setattr(servers, "answers", lambda address: asked.append(address) or True)
    with prefect_server() as page:
        assert page == "https://prefect.example.org"
    assert asked == ["https://prefect.example.org/api/health"]


def test_a_team_s_server_that_does_not_answer_is_named(environment, monkeypatch):
    environment["PREFECT_API_URL"] = "http://127.0.0.1:9/api"
    monkeypatch.setattr(servers, "START_LIMIT", 0.0)
    with (
        pytest.raises(TransientError, match=r"127\.0\.0\.1:9/api, does not answer"),
        prefect_server(),
    ):
        raise AssertionError


def test_a_port_that_another_project_has_is_left_to_it(port, in_empty_folder, capsys):
    with service([sys.executable, "-c", SERVER, str(port)], "test", f"http://127.0.0.1:{port}/"):
        ours = free_port(port, "Prefect")
        assert ours != port
        assert f"Port {port} is another program's" in capsys.readouterr().out
        assert own_server("test") == port, "another command of this project finds its own server"
        assert own_server("prefect") is None
    assert own_server("test") is None
    assert free_port(port, "Prefect") == port


@pytest.mark.long
def test_a_server_that_dies_is_started_again_at_its_address(port, in_empty_folder, monkeypatch):
    monkeypatch.setattr(servers, "RESTART_PAUSE", 0.1)
    address = f"http://127.0.0.1:{port}/"

    with service([sys.executable, "-c", SERVER, str(port)], "test", address):
        (first,) = serving(port)
        first.kill()
        first.wait(10)
        deadline = time.monotonic() + 30
        while not answers(address):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        (second,) = serving(port)
        assert second.pid != first.pid
    assert not answers(address)


def test_our_own_server_listens_to_this_machine_only(port, environment, monkeypatch):
    started, named = [], []

    class Started(Exception):  # noqa: N818
        pass

    def start(command, name, health):
        started.append(command)
        named.append(environment["PREFECT_API_URL"])
        raise Started

    monkeypatch.setattr(servers, "service", start)
    with pytest.raises(Started), prefect_server(port):
        pass
    assert started[0][-4:] == ["--host", "127.0.0.1", "--port", str(port)]
    assert named == [f"http://127.0.0.1:{port}/api"]
    assert "PREFECT_API_URL" not in environment, "else it would pass for a team's"


def test_a_server_that_this_project_has_is_named_while_it_is_used(environment, monkeypatch):
    monkeypatch.setattr(servers, "own_server", {"prefect": 4207}.get)
    with prefect_server(1) as page:
        assert environment["PREFECT_API_URL"] == f"{page}/api" == "http://127.0.0.1:4207/api"
    assert "PREFECT_API_URL" not in environment


def test_what_ran_is_crashed_and_what_was_being_cancelled_is_cancelled(
    monkeypatch, in_empty_folder
):
    made = MagicMock()
    for name in ("", ".client", ".client.orchestration", ".client.schemas", ".states"):
        monkeypatch.setitem(sys.modules, f"prefect{name}", made)
    monkeypatch.setitem(sys.modules, "prefect.client.schemas.objects", made)
    for state in ("Crashed", "Cancelled"):
        getattr(made, state).side_effect = partial(SimpleNamespace, name=state)
    made.filters.FlowRunFilterStateType.side_effect = lambda any_: any_
    made.filters.FlowRunFilterState.side_effect = lambda type: type
    made.filters.FlowRunFilter.side_effect = lambda state: state
    types = [made.StateType.RUNNING, made.StateType.PENDING, made.StateType.CANCELLING]
    runs = [SimpleNamespace(id=uuid.uuid4(), state_type=each) for each in types]
    alive = SimpleNamespace(id=uuid.uuid4(), state_type=made.StateType.RUNNING)
    endings.note_running(str(alive.id))
    asked, ended = [], []

    def read(flow_run_filter):
        asked.extend(flow_run_filter)
        return [*runs, alive]

    @contextmanager
    def client(sync_client):
        yield SimpleNamespace(
            read_flow_runs=read,
            set_flow_run_state=lambda run, state: ended.append((run, state.name, state.message)),
        )

    made.get_client = client
    assert end_stale_runs() == 3
    assert asked == types
    names = ["Crashed", "Crashed", "Cancelled"]
    assert ended == [(run.id, name, ENDED) for run, name in zip(runs, names, strict=True)]


@pytest.mark.parametrize("known", [False, True])
def test_a_server_is_told_once_to_end_runs_whose_heartbeats_stop(known, monkeypatch):
    made, wanted = MagicMock(), SimpleNamespace(acreate=AsyncMock(), aupdate=AsyncMock())
    objects, events = ".client.schemas.objects", ".events.schemas.automations"
    for name in ("", ".automations", objects, ".events.actions", events):
        monkeypatch.setitem(sys.modules, f"prefect{name}", made)
    found = {"return_value": SimpleNamespace(id="7")} if known else {"side_effect": ValueError}
    made.Automation.aread, made.Automation.return_value = AsyncMock(**found), wanted
    schedule.end_silent_runs("mine")
    assert (wanted.acreate.await_count, wanted.aupdate.await_count) == (not known, known)
    assert getattr(wanted, "id", None) == ("7" if known else None)
    trigger = made.EventTrigger.call_args.kwargs
    assert trigger["within"] == datetime.timedelta(seconds=schedule.SILENCE)
    assert trigger["after"] == {"prefect.flow-run.heartbeat"} < trigger["expect"]
    assert len(trigger["expect"]) == 5
    assert trigger["match_related"]["prefect.resource.id"] == "prefect.tag.mine"
    made.ChangeFlowRunState.assert_called_once_with(
        state=made.StateType.CRASHED, name="Crashed", message=schedule.SILENT, force=False
    )
    assert schedule.SILENCE >= 3 * servers.HEARTBEAT


FLOWS = {"reproduce", "retrain", "nightly", "ablate", "promote"}
POOLS = {POOL, "docker", "kubernetes"}


@pytest.fixture
def every(root):
    return load_yaml((root / "prefect.yaml").read_text())["deployments"]


def test_this_machine_serves_every_flow(root):
    assert {flow_name(entry) for entry in read_deployments(root / "prefect.yaml")} == FLOWS


def test_a_pool_without_deployments_is_an_error(root):
    with pytest.raises(ParamsError, match="no deployment for the work pool 'mars'"):
        read_deployments(root / "prefect.yaml", "mars")


def test_every_deployment_runs_one_at_a_time_and_cancels_the_newer(every):
    for entry in every:
        assert entry["concurrency_limit"] == {"limit": 1, "collision_strategy": "CANCEL_NEW"}


def test_every_deployment_has_a_pool_a_description_and_a_flow(every):
    names = [(flow_name(entry), entry["name"]) for entry in every]
    assert len(set(names)) == len(names)
    for entry in every:
        assert entry["work_pool"]["name"] in POOLS
        assert entry["description"]
        assert entry["entrypoint"] == f"pipelines/flows/prefect_flows.py:{flow_name(entry)}"


def test_what_a_schedule_makes_is_committed_here(every):
    (entry,) = [e for e in every if flow_name(e) == "retrain" and e["work_pool"]["name"] == POOL]
    assert entry["parameters"]["publish"] == "commit"


def test_the_same_flow_runs_in_every_pool(every):
    pools = {entry["work_pool"]["name"] for entry in every if flow_name(entry) == "retrain"}
    assert pools == POOLS


def test_a_clone_brings_and_publishes_what_it_makes(every):
    for entry in every:
        if entry["work_pool"]["name"] != POOL:
            assert entry["parameters"]["pull"] is True
            assert "git_clone" in str(entry["pull"])


def test_another_schedule_is_named_by_its_flow():
    given = ["retrain=*/5 * * * *", "nightly=0 1 * * *"]
    assert _schedules(given, sorted(FLOWS)) == {"retrain": "*/5 * * * *", "nightly": "0 1 * * *"}


@pytest.mark.parametrize("given", ["train=0 1 * * *", "retrain", "retrain="])
def test_a_wrong_schedule_is_an_error(given):
    with pytest.raises(ParamsError, match="is not FLOW=SCHEDULE"):
        _schedules([given], sorted(FLOWS))


def test_a_server_that_goes_away_is_waited_for_and_served_again(monkeypatch, in_empty_folder):
    calls, waits = [], []
    threshold = RuntimeError("Service exceeded error threshold.")
    errors = (httpx.ConnectError("gone"), ExceptionGroup("of a task group", [threshold]))

    def serve(entries, schedules):
        calls.append(schedules)
        if len(calls) <= len(errors):
            raise errors[len(calls) - 1]

    looks = iter([False, False, True, False, False, False, True])
    monkeypatch.setattr(schedule, "prefect_server", lambda port: nullcontext(f"http://h:{port}"))
    monkeypatch.setattr(schedule, "read_deployments", list)
    monkeypatch.setattr(schedule, "serve", serve)
    monkeypatch.setattr(schedule, "answers", lambda address: next(looks))
    monkeypatch.setattr(schedule.time, "sleep", waits.append)
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setenv("PREFECT_API_URL", "http://h:1/api")
    deployments(port=1)
    assert len(calls) == 3
    assert waits == [schedule.RETURN_PAUSE] * 3


def test_a_server_that_another_command_of_ours_had_is_started_anew(monkeypatch, in_empty_folder):
    calls, opened = [], []

    def serve(entries, schedules):
        calls.append(schedules)
        if len(calls) == 1:
            raise httpx.ConnectError("`make ui` was stopped")

    @contextmanager
    def server(port):
        opened.append(port)
        with monkeypatch.context() as within:
            within.setenv("PREFECT_API_URL", "http://h:1/api")
            yield "http://h:1"

    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setattr(schedule, "prefect_server", server)
    monkeypatch.setattr(schedule, "read_deployments", list)
    monkeypatch.setattr(schedule, "serve", serve)
    monkeypatch.setattr(schedule, "answers", lambda address: False)
    monkeypatch.setattr(schedule.time, "sleep", lambda seconds: pytest.fail("nobody is waited for"))
    monkeypatch.setenv("PYTHONPATH", "")
    deployments(port=1)
    assert (len(calls), opened) == (2, [1, 1])


def test_an_error_that_no_outage_explains_is_not_waited_out(monkeypatch, in_empty_folder):
    def serve(entries, schedules):
        raise RuntimeError("a bug")

    monkeypatch.setattr(schedule, "prefect_server", lambda port: nullcontext("http://h:1"))
    monkeypatch.setattr(schedule, "read_deployments", list)
    monkeypatch.setattr(schedule, "serve", serve)
    monkeypatch.setattr(schedule, "answers", lambda address: True)
    monkeypatch.setenv("PYTHONPATH", "")
    with pytest.raises(RuntimeError, match="a bug"):
        deployments(port=1)


def test_it_is_told_that_nothing_runs_on_schedule_any_more(monkeypatch, in_empty_folder):
    told = []

    def no_server(port):
        raise StageError("ports 4200 to 4249 are all taken")

    monkeypatch.setattr(schedule, "prefect_server", no_server)
    monkeypatch.setattr(schedule, "read_deployments", list)
    monkeypatch.setattr(schedule, "notify", lambda *words: told.append(words))
    with pytest.raises(StageError):
        deployments(port=1)
    ((_, subject, text),) = told
    assert endings.project_name() in subject
    assert "all taken" in text


def test_a_container_has_an_identity_to_commit_with(every):
    for entry in every:
        if entry["work_pool"]["name"] != POOL:
            environment = entry["work_pool"]["job_variables"]["env"]
            assert {"GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"} <= set(environment)


def begun(days, flow="retrain"):
    """Keep that a flow began and ended some days ago."""
    moment = (endings.now() - datetime.timedelta(days=days)).isoformat(timespec="seconds")
    endings.keep(
        endings.Ending(flow=flow, outcome="unchanged", message="", started=moment, ended=moment)
    )


WEEKLY = [("0 3 * * 0", "UTC")]


def test_a_time_that_passed_while_the_last_run_was_at_work_was_missed_too(
    in_empty_folder, monkeypatch
):
    passed = endings.now() - datetime.timedelta(days=1)
    to_come = passed + datetime.timedelta(days=7)
    monkeypatch.setattr(
        schedule,
        "due",
        lambda schedules, after, count: [m for m in (passed, to_come) if m >= after][:count],
    )
    assert not missed("retrain", WEEKLY), "before the first run nothing is missed"
    began, ended = (endings.now() - datetime.timedelta(days=days) for days in (2, 0.5))
    for start, late in ((began, True), (passed, False)):
        times = {"started": start.isoformat(timespec="seconds"), "ended": ended.isoformat()}
        endings.keep(endings.Ending(flow="retrain", outcome="unchanged", message="", **times))
        assert missed("retrain", WEEKLY) is late
        assert not missed("nightly", WEEKLY)


@pytest.mark.slow  # imports Prefect
@pytest.mark.filterwarnings("default")
def test_a_schedule_that_passed_while_nothing_ran_was_missed(in_empty_folder):
    assert not missed("retrain", WEEKLY), "before the first run nothing is missed"
    begun(8)
    assert missed("retrain", WEEKLY)
    assert not missed("nightly", WEEKLY)
    begun(0)
    assert not missed("retrain", WEEKLY), "once is enough"
    assert not missed("retrain", [])


@pytest.mark.slow  # imports Prefect
@pytest.mark.filterwarnings("default")
def test_deployments_of_two_projects_have_other_names_on_one_server(root, tmp_path, monkeypatch):
    names, tags = [], []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        for shared in ("pipelines", "pasam", "prefect.yaml"):
            (tmp_path / name / shared).symlink_to(root / shared)
        monkeypatch.chdir(tmp_path / name)
        made = [schedule.deployment(entry, {}) for entry in read_deployments()]
        assert all(endings.project_name() in each.name for each in made)
        names.append({each.name for each in made})
        tags.append(endings.project_name())
        assert all(each.tags == [tags[-1]] for each in made)
    assert not names[0] & names[1]
    assert len(names[0]) == len(FLOWS)
    assert tags[0] != tags[1]


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

    monkeypatch.setattr(servers, "service", service)
    monkeypatch.setattr(servers, "prefect_server", prefect_server)
    monkeypatch.setattr(servers, "free_port", lambda first, what: first)
    monkeypatch.setattr(servers, "runs_page", lambda server: server)
    monkeypatch.setattr(servers.signal, "pause", interrupted)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(name, raising=False)
    return commands


def test_both_pages_say_their_addresses_and_listen_to_this_machine_only(
    started, in_empty_folder, capsys
):
    with pytest.raises(KeyboardInterrupt):
        ui(prefect_port=4300, mlflow_port=5001)
    out = capsys.readouterr().out
    assert "Prefect's page: http://127.0.0.1:4300" in out
    assert "MLflow's page:  http://127.0.0.1:5001" in out
    (command,) = started
    assert command[command.index("--host") + 1] == "127.0.0.1"
    place = f"sqlite:///{in_empty_folder}/mlruns/mlflow.db"
    assert command[command.index("--backend-store-uri") + 1] == place


def test_mlflow_has_no_supervisor_that_kills_a_worker_for_starting_slowly(started):
    with pytest.raises(KeyboardInterrupt):
        ui(prefect_port=4300, mlflow_port=5001)
    (command,) = started
    assert command[command.index("--workers") + 1] == "1"


def test_a_server_of_mlflow_that_a_team_has_is_named_not_started(started, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example.org")
    with pytest.raises(KeyboardInterrupt):
        ui(prefect_port=4300, mlflow_port=5001)
    assert started == []
    assert "MLflow's page:  https://mlflow.example.org" in capsys.readouterr().out


def test_a_page_that_is_there_already_is_not_started_twice(started, monkeypatch, capsys):
    monkeypatch.setattr(servers, "own_server", lambda name: 5001)
    with pytest.raises(KeyboardInterrupt):
        ui(prefect_port=4300, mlflow_port=5001)
    assert started == []
    assert "it was there already" in capsys.readouterr().out


class Experiments(http.server.BaseHTTPRequestHandler):
    """A server that says of an experiment what MLflow's does."""

    known = False

    def do_GET(self):
        body = b'{"experiment": {"experiment_id": "7"}}' if type(self).known else b"{}"
        asked = self.path.partition("?")[0].endswith("/experiments/get-by-name")
        self.send_response(200 if asked and type(self).known else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


def test_the_page_of_the_runs_is_named_as_soon_as_there_are_any(monkeypatch):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Experiments) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        place = f"http://127.0.0.1:{server.server_port}"
        assert runs_page(place) == place
        monkeypatch.setattr(Experiments, "known", True)
        assert runs_page(place).startswith(f"{place}/#/experiments/7/runs?")
        server.shutdown()
        thread.join()


def test_a_server_that_does_not_answer_is_named_all_the_same():
    assert runs_page("http://127.0.0.1:9") == "http://127.0.0.1:9"


SHOWING = """
import contextlib, sys
from pipelines.flows import servers
from pipelines.stage_runner import exit_codes
servers.end_stale_runs = lambda: 0
web = "import http.server, sys; http.server.test(http.server.SimpleHTTPRequestHandler," \\
      " port=int(sys.argv[1]), bind='127.0.0.1')"
port = sys.argv[1]

def show(mlflow_port):
    with servers.service([sys.executable, "-c", web, port], "web", f"http://127.0.0.1:{port}"):
        print("shown", flush=True)
        servers.signal.pause()

servers.prefect_server = lambda port: contextlib.nullcontext("a page")
servers._show_mlflow = show
with exit_codes():
    servers.ui(prefect_port=1, mlflow_port=2)
"""


@pytest.mark.slow  # it starts servers
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
