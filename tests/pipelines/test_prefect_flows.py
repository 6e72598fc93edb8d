"""The flows with Prefect: tasks, states, retries, and a scheduled run that really fires."""

from __future__ import annotations

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

import pytest
import urllib3

from pasam.errors import DataError, TransientError
from pipelines.flows.engine import Outcome, flow_run_id, in_flow_run, log, notify, task
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


def test_a_failure_is_told_to_whom_the_parameters_name(served, monkeypatch):
    told = []
    monkeypatch.setattr(served, "notify", lambda *words: told.append(words))

    def flow(*, notify: str | None = None) -> Outcome:
        """Fail."""
        raise DataError("bad mask")

    served.prefect_flow(flow)(notify="team", return_state=True)
    ((address, subject, text),) = told
    assert (address, subject) == ("team", "flow failed")
    assert "bad mask" in text


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
    assert re.fullmatch(r"weekly \d{4}-\d\d-\d\d \d\d:\d\d UTC", state.message)


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
    (tmp_path / "input.txt").touch()
    for command in (["init", "--no-scm", "--quiet"], ["repro", "--quiet"]):
        subprocess.run([sys.executable, "-m", "dvc", *command], cwd=tmp_path, check=True)
    return tmp_path


@pytest.fixture
def serving(project):
    """`make flows` with a retraining every minute; the address of its server."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
    log = project / "serve.log"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    command = [
        "-m",
        "pipelines.flows",
        "deployments",
        "--port",
        str(port),
        "--cron",
        "retrain=* * * * *",
    ]
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=project, env=environment, stdout=output,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    yield f"http://127.0.0.1:{port}/api"
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(60)


def test_a_scheduled_retraining_fires_and_ends_unchanged(serving):
    body = {"flows": {"name": {"any_": ["retrain"]}}, "sort": "START_TIME_DESC"}
    deadline = time.monotonic() + PATIENCE
    states: list[str] = []
    while "Unchanged" not in states:
        assert time.monotonic() < deadline, states
        assert not {"Failed", "Crashed"} & set(states)
        time.sleep(2)
        try:
            answer = urllib3.request(
                "POST", f"{serving}/flow_runs/filter", json=body, timeout=20, retries=False
            )
        except urllib3.exceptions.HTTPError:
            continue
        states = [run["state_name"] for run in answer.json()] if answer.status == 200 else []
