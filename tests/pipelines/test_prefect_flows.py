"""The flows with Prefect: tasks, states, retries, and a scheduled run that really fires."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import psutil
import pytest
import urllib3

from pasam.errors import DataError, TransientError
from pipelines.flows import endings, operations
from pipelines.flows.engine import (
    Outcome,
    flow_run_id,
    in_flow_run,
    log,
    notify,
    show_text,
    task,
)
from pipelines.flows.reproduce import GROUPS

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

PATIENCE = 420  # seconds; a server of Prefect starts slowly on a busy machine
STAGES = "stages:\n" + "".join(
    f"  {name}:\n    cmd: cp input.txt {name}.txt\n    deps: [input.txt]\n    outs: [{name}.txt]\n"
    for group in GROUPS.values()
    for name in group
)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The module, with a temporary server of Prefect behind it."""
    home = tmp_path_factory.mktemp("prefect")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_HOME", str(home))
        patch.chdir(tmp_path_factory.mktemp("project"))  # endings are kept in it
        patch.setenv("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
        patch.setenv("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180")
        patch.setenv("DO_NOT_TRACK", "1")
        from prefect.testing.utilities import prefect_test_harness

        from pipelines.flows import prefect_flows as module

        with prefect_test_harness(server_startup_timeout=180):
            yield module


def test_an_outcome_becomes_the_runs_state_and_tasks_its_task_runs(served):
    seen = []

    @task("look at {what}")
    def look(what: str) -> str:
        seen.append((in_flow_run(), flow_run_id()))
        log("100 %")
        return what

    def flow(*, what: str = "nothing") -> Outcome:
        """Look."""
        return Outcome("unchanged", look(what))

    state = served.prefect_flow(flow)(what="all", return_state=True)
    assert (state.name, state.message, state.is_completed()) == ("Unchanged", "all", True)
    ((inside, run_id),) = seen
    assert inside
    assert run_id is not None


@pytest.mark.parametrize(
    ("error", "tries"), [(TransientError("busy"), 2), (DataError("bad mask"), 1)]
)
def test_only_a_transient_error_is_tried_again(error, tries, served):
    calls = []

    @task("fail", delays=(0,))
    def fail() -> None:
        calls.append(1)
        raise error

    def flow() -> Outcome:
        """Fail."""
        fail()
        raise AssertionError

    state = served.prefect_flow(flow)(return_state=True)
    assert state.is_failed()
    assert str(error) in state.message
    assert len(calls) == tries


def test_a_failure_is_kept_and_told_to_whom_the_parameters_name(served, monkeypatch):
    told = []
    monkeypatch.setattr(operations, "notify", lambda *words: told.append(words))

    def flow(*, notify: str | None = None) -> Outcome:
        """Fail."""
        raise DataError("bad mask")

    served.prefect_flow(flow)(notify="team", return_state=True)
    ((address, subject, text),) = told
    assert (address, subject) == ("team", f"{endings.project_name()}: flow failed")
    assert "bad mask" in text
    kept = endings.last("flow")
    assert (kept.outcome, kept.succeeded) == ("failed", False)
    assert kept.run


def test_a_run_that_was_killed_or_cancelled_is_kept_and_told_once(served, monkeypatch):
    from types import SimpleNamespace

    from prefect.states import Cancelled, Crashed

    told = []
    monkeypatch.setattr(operations, "notify", lambda *words: told.append(words))
    run = SimpleNamespace(id="7", start_time=endings.now(), parameters={"notify": "team"})
    for state, name in ((Crashed(message="killed"), "crashed"), (Cancelled(), "cancelled")):
        served.follow_cut_run(SimpleNamespace(name="weekly"), run, state)
        assert endings.last("weekly").outcome == name
    assert [subject.rpartition(" ")[2] for _, subject, _ in told] == ["crashed", "cancelled"]


def test_a_late_run_does_its_work_and_further_late_ones_are_skipped(served):
    calls = []

    def nightly_thing() -> Outcome:
        """Count."""
        calls.append(1)
        return Outcome("watched", "")

    missed = endings.now() - datetime.timedelta(days=2)
    assert not served.is_superfluous("nightly_thing", missed)
    served.prefect_flow(nightly_thing)(return_state=True)
    assert served.is_superfluous("nightly_thing", missed)
    assert not served.is_superfluous("nightly_thing", endings.now())
    assert calls == [1]


def test_a_run_that_is_at_work_says_which_process_it_is(served):
    seen = []

    def busy() -> Outcome:
        """Look."""
        seen.append(flow_run_id())
        assert endings.is_running(flow_run_id())
        return Outcome("unchanged", "")

    assert served.prefect_flow(busy)(return_state=True).name == "Unchanged"
    assert not endings.is_running(seen[0])
    assert not endings.running_file(seen[0]).exists()


def test_what_a_page_cannot_show_costs_no_result(served, monkeypatch, caplog):
    def away(*_, **__):
        raise httpx.ConnectError("gone")

    monkeypatch.setattr("prefect.artifacts.create_markdown_artifact", away)

    def flow() -> Outcome:
        """Show."""
        show_text("table", "# T", "The table")
        return Outcome("unchanged", "")

    assert served.prefect_flow(flow)(return_state=True).name == "Unchanged"


def test_a_notification_block_tells_and_its_refusal_is_said_without_its_secret(served, caplog):
    from prefect.blocks.notifications import CustomWebhookNotificationBlock, MattermostWebhook
    from prefect.blocks.system import Secret

    received = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):  # noqa: N802
            received.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(200 if "custom" in self.path else 403)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    port = server.server_port
    body = {"text": "{{subject}}: {{body}}"}
    CustomWebhookNotificationBlock(
        name="team", url=f"http://127.0.0.1:{port}/custom", json_data=body
    ).save("team")
    MattermostWebhook(hostname="127.0.0.1", port=port, token="Secret", secure=False).save("team")
    Secret(value="words").save("team")
    caplog.set_level("INFO", logger="pipelines.flows")

    def said(address):
        caplog.clear()
        notify(address, "drift", "blur")
        return [each.message for each in caplog.records if each.name == "pipelines.flows"]

    try:
        assert said("custom-webhook/team") == []
        assert json.loads(received.pop()) == {"text": "drift: blur"}
        for address, reason in (
            ("mattermost-webhook/team", "NotificationError"),
            ("mattermost-webhook/nobody", "Prefect has no such block; see `prefect block ls`"),
            ("secret/team", "this block of Prefect sends no messages"),
        ):
            assert said(address) == [f"Nobody was told by {address} ({reason}): drift: blur"]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_run_is_named_by_its_flow_and_when_it_was_due(served):
    from prefect import runtime

    def weekly() -> Outcome:
        """Do nothing."""
        return Outcome("unchanged", runtime.flow_run.name)

    state = served.prefect_flow(weekly)(return_state=True)
    assert re.fullmatch(
        re.escape(endings.project_name()) + r" weekly \d{4}-\d\d-\d\d \d\d:\d\d UTC", state.message
    )


def test_every_flow_keeps_its_parameters_and_words(served):
    for name in ("reproduce", "retrain", "ablate", "promote", "nightly"):
        flow = getattr(served, name)
        assert flow.name == name
        assert flow.description
    properties = served.retrain.parameters.properties
    assert set(properties["publish"]["enum"]) == {"nothing", "commit", "push"}
    assert "How far the results may go" in str(properties["publish"])


@pytest.fixture
def project(root, tmp_path):
    """A project whose stages do next to nothing and have run, with this repository's flows."""
    for name in ("pipelines", "pasam", "prefect.yaml"):
        (tmp_path / name).symlink_to(root / name)
    (tmp_path / "dvc.yaml").write_text(STAGES)
    (tmp_path / "params.yaml").write_text("{}\n")
    (tmp_path / "input.txt").touch()
    for command in (["init", "--no-scm", "--quiet"], ["repro", "--quiet"]):
        subprocess.run([sys.executable, "-m", "dvc", *command], cwd=tmp_path, check=True)
    return tmp_path


def free_port():
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return place.getsockname()[1]


@pytest.fixture
def team_server(tmp_path_factory):
    """A server of Prefect that goes on when whoever uses it is killed; its address."""
    port, home = free_port(), tmp_path_factory.mktemp("team")
    ours = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    environment = {**ours, "PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    command = ["-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (home / "server.log").open("w") as output:
        process = subprocess.Popen(
            [sys.executable, *command], env=environment, stdout=output, stderr=output, cwd=home
        )
    yield f"http://127.0.0.1:{port}/api"
    process.terminate()
    process.wait(60)


@pytest.fixture
def serve(project):
    """Serve the project's flows with a reproduction every minute, as often as a test asks."""
    port = free_port()
    started = []
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    command = [
        "-m", "pipelines.flows", "deployments", "--port", str(port),
        "--cron", "reproduce=* * * * *",
    ]  # fmt: skip

    def start(**variables):
        with (project / "serve.log").open("a") as output:
            process = subprocess.Popen(
                [sys.executable, *command], cwd=project, env={**environment, **variables},
                stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        started.append(process)
        return process

    start.address = f"http://127.0.0.1:{port}/api"
    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)


def states_of(address, flow):
    """Names of the states of a flow's runs, the newest first; none while nobody answers."""
    body = {"flows": {"name": {"any_": [flow]}}, "sort": "START_TIME_DESC"}
    try:
        answer = urllib3.request(
            "POST", f"{address}/flow_runs/filter", json=body, timeout=20, retries=False
        )
    except urllib3.exceptions.HTTPError:
        return []
    return [run["state_name"] for run in answer.json()] if answer.status == 200 else []


def wait_for(happened, seconds=PATIENCE):
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(1)


def test_a_scheduled_run_fires_and_what_is_silent_would_be_ended(serve, project):
    serve()
    wait_for(lambda: "Reproduced" in states_of(serve.address, "reproduce"))
    answer = urllib3.request("POST", f"{serve.address}/automations/filter", json={}, timeout=20)
    (automation,) = answer.json()
    assert automation["enabled"]
    assert automation["trigger"]["posture"] == "Proactive"
    assert automation["trigger"]["within"] == 120.0
    kept = (project / ".flows" / "endings.jsonl").read_text().splitlines()
    assert json.loads(kept[-1])["outcome"] == "reproduced"
    page = (project / "reports" / "operations.html").read_text()
    assert "The schedules are active" in page


def test_a_run_whose_machine_is_gone_ends_within_three_minutes_and_leaves_its_place(
    team_server, serve, project
):
    """Runner, flow and DVC are killed at once; the server alone is left."""
    graph = project / "dvc.yaml"
    graph.write_text(STAGES.replace("cp input.txt", "sleep 900; cp input.txt", 1))
    runner = serve(PREFECT_API_URL=team_server)
    wait_for(lambda: "Running" in states_of(team_server, "reproduce"))
    wait_for(lambda: "sleep" in [p.name() for p in processes_of(runner)])
    time.sleep(35)  # a heartbeat comes every 30 s
    gone = processes_of(runner)
    for process in gone:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(gone, 30)
    killed = time.monotonic()
    wait_for(lambda: "Running" not in states_of(team_server, "reproduce"))
    assert "Crashed" in states_of(team_server, "reproduce")
    assert time.monotonic() - killed < 180 + 30  # and what a busy machine takes to say so
    graph.write_text(STAGES)
    serve(PREFECT_API_URL=team_server)
    wait_for(lambda: "Reproduced" in states_of(team_server, "reproduce"))


def processes_of(runner):
    """A runner with all that it has started."""
    one = psutil.Process(runner.pid)
    return [one, *one.children(recursive=True)]
